/* A module runs with all rights of the server, so its file must come from whoever may also replace
 * the server: it and its directory belong to root or to the user of the process, and nobody else
 * may write to them. Links are followed first, so that the rules hold for what is really loaded.
 *
 * This is a check against mistakes and loose permissions, not against an attacker who already is
 * that user; the time between check and load does not matter for the former. */
#include "vet.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "sdk/lib/elf_file.h"

#define HEAD_BYTES 16u /* of a descriptor: what no version changes */

static int vet_owner(const struct stat *st, const char *what, const char *path, struct sx_err *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return sx_err_set(err, SX_EFORBIDDEN,
                          "%s %s belongs to user %u; root or the user of the server must own it",
                          what, path, (unsigned)st->st_uid);
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return sx_err_set(err, SX_EFORBIDDEN, "%s %s may be written by others (mode %04o)", what,
                          path, (unsigned)(st->st_mode & 07777));
    return SX_OK;
}

int sx_vet_file(const char *path, struct sx_err *err)
{
    char real[PATH_MAX];
    struct stat st;
    char *slash;
    int rc;

    if (path[0] != '/')
        return sx_err_set(err, SX_EFORBIDDEN, "%.100s is not an absolute path", path);
    if (realpath(path, real) == NULL || stat(real, &st) != 0)
        return sx_err_set(err, errno == ENOENT ? SX_ENOTFOUND : SX_EIO, "%.120s: %s", path,
                          strerror(errno));
    if (!S_ISREG(st.st_mode))
        return sx_err_set(err, SX_EFORBIDDEN, "%.120s is not a regular file", real);
    rc = vet_owner(&st, "file", real, err);
    if (rc != SX_OK)
        return rc;
    slash = strrchr(real, '/');
    *(slash == real ? slash + 1 : slash) = '\0';
    if (stat(real, &st) != 0)
        return sx_err_set(err, SX_EIO, "%.120s: %s", real, strerror(errno));
    return vet_owner(&st, "directory", real, err);
}

int sx_vet_image(const char *path, const char *symbol, struct sx_err *err)
{
    struct sx_elf f;
    int rc = sx_elf_open(&f, path, sx_mem_kernel(), err);

    if (rc != SX_OK)
        return rc;
    rc = sx_elf_check(&f, symbol, HEAD_BYTES, err);
    sx_elf_fini(&f);
    return rc;
}
