/* A failing "sx.io" around the plain one: test builds only.
 *
 * SEXTANT_IO_FAULT names a control file of 512 bytes that the test maps too, so it arms, watches
 * and heals the disk while the server runs. All numbers are u64, little-endian:
 *
 *    0  kinds   which calls count, bits below; 0 = no fault
 *    8  nth     the call that fails, from 1; calls counts on from what the test put there
 *   16  error   errno of the failure
 *   24  flags   1 = all later calls fail too; 2 = a failing write has written its first half; 8 =
 * only calls that take space: of names that are new, of bytes behind the end of a file 32  space
 * bytes by which files may still grow, with flag 4: then nth does not matter 40  calls   counted so
 * far 48  hits    failed so far 64  what    64 bytes of text: the first call that failed
 *
 * Counted are calls that change something, and mappings. Plain handles pass through unchanged, so
 * the recording table can lie around this one and a journal names the failed calls. A sync that is
 * told to fail does not reach the system; which bytes are lost then is the test's to decide.
 *
 * Space counts lengths of files, as a file system without holes would: a growing file takes, a
 * shortened or removed one gives back. A write that finds too little takes what there is. */
#include "io.h"

#if defined(SX_IO_RECORD) && SX_IO_RECORD

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lock.h"

enum {
    ON_CREATE = 1, /* a file opened with SX_IO_CREATE, there or not */
    ON_WRITE = 2,
    ON_TRUNCATE = 4,
    ON_ALLOCATE = 8,
    ON_SYNC = 16,
    ON_DIRSYNC = 32,
    ON_RENAME = 64,
    ON_REMOVE = 128, /* files, directories, trees */
    ON_MKDIR = 256,
    ON_MAP = 512
};
enum { STICKY = 1, SHORT = 2, SPACE = 4, GROWING = 8 };
#define ON_GROWTH (ON_WRITE | ON_TRUNCATE | ON_ALLOCATE)

struct control {
    _Atomic uint64_t kinds, nth, error, flags, space, calls, hits, pad;
    char what[64];
    uint8_t rest[384];
};
_Static_assert(sizeof(struct control) == 512, "tests map this");

static const struct sx_io *base; /* set once */
static struct control *ctl;
static struct sx_io table;
/* Held over calls that change lengths, while space is counted. */
static struct sx_lock space_lock = SX_LOCK_INIT(SX_RANK_IO + 1);

static void tell(const char *what, const char *name)
{
    if (atomic_fetch_add(&ctl->hits, 1) == 0)
        snprintf(ctl->what, sizeof(ctl->what), "%.24s '%.32s'", what, name);
}

/* 0, or the code with which this call fails. */
static int
fault(uint64_t kind, const char *what, const char *name, uint64_t *out_flags, struct sx_err *err)
{
    uint64_t kinds = atomic_load(&ctl->kinds), flags = atomic_load(&ctl->flags);

    *out_flags = flags;
    if (!(kinds & kind))
        return 0;
    uint64_t n = atomic_fetch_add(&ctl->calls, 1) + 1, nth = atomic_load(&ctl->nth);
    if (flags & SPACE || nth == 0 || (flags & STICKY ? n < nth : n != nth))
        return 0;
    tell(what, name);
    return sx_io_errno(err, (int)atomic_load(&ctl->error), what, name);
}

/* --- space ---------------------------------------------------------------------------------------
 */

static uint64_t length_of(struct sx_file *f)
{
    int64_t n = base->length(f, NULL);
    return n > 0 ? (uint64_t)n : 0;
}

static int is_growing_only(void)
{
    return (atomic_load(&ctl->flags) & GROWING) != 0;
}

static int has_file(struct sx_dir *d, const char *name)
{
    struct sx_file *f = NULL;

    if (base->open(d, name, SX_IO_READ, &f, NULL) != 0)
        return 0;
    base->close(f);
    return 1;
}

static int has_dir(struct sx_dir *d, const char *name)
{
    struct sx_dir *sub = NULL;

    if (base->dir_open(d, name, SX_IO_READ, &sub, NULL) != 0)
        return 0;
    base->dir_close(sub);
    return 1;
}

static uint64_t length_at(struct sx_dir *d, const char *name)
{
    struct sx_file *f = NULL;
    uint64_t n = 0;

    if (base->open(d, name, SX_IO_READ, &f, NULL) == 0) {
        n = length_of(f);
        base->close(f);
    }
    return n;
}

/* 1 and the lock held while space is counted. */
static int space_begin(void)
{
    if (!(atomic_load(&ctl->flags) & SPACE))
        return 0;
    sx_lock_take(&space_lock);
    return 1;
}

/* Ends what space_begin() began: `before` bytes have become `after`. */
static void space_end(uint64_t before, uint64_t after)
{
    atomic_fetch_add(&ctl->space, before - after); /* may be "negative": modulo */
    sx_lock_give(&space_lock);
}

/* How much of a growth from `have` to `want` fits: the length that can be reached. */
static uint64_t space_reach(uint64_t have, uint64_t want)
{
    uint64_t left = atomic_load(&ctl->space);
    return want <= have || want - have <= left ? want : have + left;
}

/* --- calls
 * ---------------------------------------------------------------------------------------- */

static int fault_dir_open(struct sx_dir *parent,
                          const char *name,
                          uint32_t create,
                          struct sx_dir **out,
                          struct sx_err *err)
{
    uint64_t flags;
    int counts = create && parent && !(is_growing_only() && has_dir(parent, name));
    int rc = counts ? fault(ON_MKDIR, "cannot create directory", name, &flags, err) : 0;
    return rc ? rc : base->dir_open(parent, name, create, out, err);
}

static int fault_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_DIRSYNC, "cannot sync directory", sx_io_dir_name(d), &flags, err);
    return rc ? rc : base->dir_sync(d, err);
}

static int fault_rename(
    struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_RENAME, "cannot rename", a, &flags, err);

    if (rc)
        return rc;
    int counted = space_begin();
    uint64_t replaced = counted ? length_at(to, b) : 0;
    rc = base->rename(from, a, to, b, err);
    if (counted)
        space_end(rc == 0 ? replaced : 0, 0);
    return rc;
}

static int fault_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_REMOVE, "cannot remove", name, &flags, err);

    if (rc)
        return rc;
    int counted = space_begin();
    uint64_t n = counted ? length_at(d, name) : 0;
    rc = base->unlink(d, name, err);
    if (counted)
        space_end(rc == 0 ? n : 0, 0);
    return rc;
}

static int fault_rmdir(struct sx_dir *d, const char *name, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_REMOVE, "cannot remove directory", name, &flags, err);
    return rc ? rc : base->rmdir(d, name, err);
}

/* One call, and its space is not given back: tests record too, and then there are no trees. */
static int fault_remove_tree(struct sx_dir *d, const char *name, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_REMOVE, "cannot remove", name, &flags, err);
    return rc ? rc : base->remove_tree(d, name, err);
}

static int fault_open(
    struct sx_dir *d, const char *name, uint32_t how, struct sx_file **out, struct sx_err *err)
{
    uint64_t flags;
    int counts = (how & SX_IO_CREATE) && !(is_growing_only() && has_file(d, name));
    int rc = counts ? fault(ON_CREATE, "cannot open", name, &flags, err) : 0;
    return rc ? rc : base->open(d, name, how, out, err);
}

static int
fault_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    const char *name = sx_io_file_name(f);
    uint64_t flags;
    int counts = !is_growing_only() || off + n > length_of(f);
    int rc = counts ? fault(ON_WRITE, "cannot write", name, &flags, err) : 0;

    if (rc) {
        if (flags & SHORT)
            (void)base->pwrite(f, p, n / 2, off, NULL);
        return rc;
    }
    if (!space_begin())
        return base->pwrite(f, p, n, off, err);
    uint64_t before = length_of(f), end = space_reach(before, off + n);
    if (end < off + n) {
        tell("cannot write", name);
        if (end > off)
            (void)base->pwrite(f, p, end - off, off, NULL);
        rc = sx_io_errno(err, ENOSPC, "cannot write", name);
    } else {
        rc = base->pwrite(f, p, n, off, err);
    }
    space_end(before, length_of(f));
    return rc;
}

/* A new length, by truncating or by allocating. */
static int lengthen(struct sx_file *f,
                    uint64_t off,
                    uint64_t n,
                    uint64_t kind,
                    const char *what,
                    struct sx_err *err)
{
    const char *name = sx_io_file_name(f);
    uint64_t flags;
    int counts = !is_growing_only() || off + n > length_of(f);
    int rc = counts ? fault(kind, what, name, &flags, err) : 0;

    if (rc)
        return rc;
    int counted = space_begin();
    uint64_t before = counted ? length_of(f) : 0;
    if (counted && space_reach(before, off + n) < off + n) {
        tell(what, name);
        rc = sx_io_errno(err, ENOSPC, what, name);
    } else {
        rc = kind == ON_TRUNCATE ? base->truncate(f, n, err) : base->allocate(f, off, n, err);
    }
    if (counted)
        space_end(before, length_of(f));
    return rc;
}

static int fault_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    return lengthen(f, 0, n, ON_TRUNCATE, "cannot truncate", err);
}

static int fault_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    return lengthen(f, off, n, ON_ALLOCATE, "cannot allocate", err);
}

static int fault_datasync(struct sx_file *f, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_SYNC, "cannot sync", sx_io_file_name(f), &flags, err);
    return rc ? rc : base->datasync(f, err);
}

static int fault_sync(struct sx_file *f, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_SYNC, "cannot sync", sx_io_file_name(f), &flags, err);
    return rc ? rc : base->sync(f, err);
}

static int
fault_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    uint64_t flags;
    int rc = fault(ON_MAP, "cannot map", sx_io_file_name(f), &flags, err);
    return rc ? rc : base->map(f, off, n, at, out, err);
}

static void take_over(const struct sx_io *plain)
{
    base = plain;
    table = *plain;
    table.dir_open = fault_dir_open;
    table.dir_sync = fault_dir_sync;
    table.rename = fault_rename;
    table.unlink = fault_unlink;
    table.rmdir = fault_rmdir;
    table.remove_tree = fault_remove_tree;
    table.open = fault_open;
    table.pwrite = fault_pwrite;
    table.truncate = fault_truncate;
    table.allocate = fault_allocate;
    table.datasync = fault_datasync;
    table.sync = fault_sync;
    table.map = fault_map;
}

const struct sx_io *sx_io_faulting(const struct sx_io *plain)
{
    const char *path = getenv("SEXTANT_IO_FAULT");

    if (base)
        return &table;
    if (!path || !*path)
        return NULL;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = fd >= 0 && lseek(fd, 0, SEEK_END) >= (off_t)sizeof(struct control)
                  ? mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                  : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED) { /* a test that fails nothing tests nothing */
        fprintf(stderr, "SEXTANT_IO_FAULT: '%s' is no control file\n", path);
        abort();
    }
    ctl = p;
    take_over(plain);
    return &table;
}

#endif
