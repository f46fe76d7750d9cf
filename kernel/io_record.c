/* The recording "sx.io" of test builds: every change of a file or directory goes into a journal.
 *
 * A power-loss test replays prefixes of the journal, dropping and tearing what was not synced, and
 * starts a server on each state. So the journal says what the disk was asked for, in order:
 *
 *   record: u32 magic 'SXJ1', u32 op, u64 handle, u64 a, u64 b, i32 rc, u32 n_name, u32 n_name2,
 *           u32 site, u64 n_data, then name, name2 and data; little-endian, nothing between records
 *
 *   op           handle  a            b         name           name2          data
 *   OPEN     1   new     1 = created  length    directory path name
 *   WRITE    2   file    offset       -         -              -              the bytes
 *   TRUNCATE 3   file    length       -
 *   ALLOCATE 4   file    offset       length
 *   SYNC     5   file    begin        1 = data only
 *   DIRSYNC  6   -       begin        -         directory path
 *   RENAME   7   -       -            -         from path      to path
 *   UNLINK   8   -       -            -         path
 *   MKDIR    9   -       1 = created  -         path
 *   RMDIR   10   -       -            -         path
 *   MARK    11   -       -            -         text
 *   SKIPPED 12   file    0 = file,    -         directory path (was not synced at all)
 *                        1 = directory
 *
 * `site` of a sync is where in the program it was asked for: the return address of the call,
 * counted from __executable_start, for addr2line. The recording variant is not optimized so far
 * that the call could be the last jump of its function.
 *
 * A handle names a file whatever it is called later. `begin` of a sync is the length of the journal
 * when the sync began: only what stands before that is promised by it. Failed calls are recorded
 * with their code, because a failed write may have written a part.
 *
 * Other changes hold the journal's lock over the system call, so that journal and disk agree on the
 * order; syncs do not, or group commit could not be tested. Paths are as the program sees them
 * (the root as configured).
 *
 * SEXTANT_IO_JOURNAL=<file> turns it on; SEXTANT_IO_SKIP_SYNC=<n> leaves out the n-th sync, of
 * files and directories counted together, and answers success: a test that does not notice is no
 * test. */
#include "io.h"

#if defined(SX_IO_RECORD) && SX_IO_RECORD

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lock.h"
#include "mem.h"

enum {
    OP_OPEN = 1,
    OP_WRITE,
    OP_TRUNCATE,
    OP_ALLOCATE,
    OP_SYNC,
    OP_DIRSYNC,
    OP_RENAME,
    OP_UNLINK,
    OP_MKDIR,
    OP_RMDIR,
    OP_MARK,
    OP_SKIPPED
};

struct record {
    uint32_t magic, op;
    uint64_t handle, a, b;
    int32_t rc;
    uint32_t n_name, n_name2, site;
    uint64_t n_data;
};

struct rec_dir {
    struct sx_dir *base;
    char path[PATH_MAX];
};

struct rec_file {
    struct sx_file *base;
    uint64_t handle;
};

static const struct sx_io *base; /* set once */
static int journal_fd = -1;
static uint64_t skip_sync; /* 0 = none */

/* Guarded by journal_lock. */
static struct sx_lock journal_lock = SX_LOCK_INIT(SX_RANK_IO);
static uint64_t journal_length, next_handle = 1, n_syncs;

extern const char __executable_start[]; /* the linker's */

/* The caller of the function that uses it. */
#define SITE() ((uint32_t)((const char *)__builtin_return_address(0) - __executable_start))

static struct rec_dir *dir_of(struct sx_dir *d)
{
    return (struct rec_dir *)(void *)d;
}

static struct rec_file *file_of(struct sx_file *f)
{
    return (struct rec_file *)(void *)f;
}

/* --- the journal ------------------------------------------------------------------------------ */

/* [journal_lock] A journal that cannot be written makes the test worthless: the process ends. */
static void append(struct record *r, const char *name, const char *name2, const void *data)
{
    uint64_t left, total;

    if (journal_fd < 0)
        return;
    r->magic = 0x314a5853u; /* "SXJ1" */
    r->n_name = name ? (uint32_t)strlen(name) : 0;
    r->n_name2 = name2 ? (uint32_t)strlen(name2) : 0;
    struct iovec iov[4] = {
        {r, sizeof(*r)},
        {(void *)(uintptr_t)name, r->n_name},
        {(void *)(uintptr_t)name2, r->n_name2},
        {(void *)(uintptr_t)data, r->n_data},
    };
    total = left = sizeof(*r) + r->n_name + r->n_name2 + r->n_data;
    for (uint32_t i = 0; left > 0;) {
        ssize_t put = writev(journal_fd, iov + i, (int)(4 - i));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            perror("SEXTANT_IO_JOURNAL");
            abort();
        }
        left -= (uint64_t)put;
        while (i < 4 && (size_t)put >= iov[i].iov_len)
            put -= (ssize_t)iov[i++].iov_len;
        if (i < 4) {
            iov[i].iov_base = (char *)iov[i].iov_base + put;
            iov[i].iov_len -= (size_t)put;
        }
    }
    journal_length += total;
}

/* 1 when the sync r (of the directory `path`, or of a file) is the one to leave out; else r->a is
 * set. */
static int sync_begin(struct record *r, const char *path)
{
    int skips = 0;

    sx_lock_take(&journal_lock);
    if (++n_syncs == skip_sync) {
        r->op = OP_SKIPPED;
        r->a = path != NULL;
        append(r, path, NULL, NULL);
        skips = 1;
    }
    r->a = journal_length;
    sx_lock_give(&journal_lock);
    return skips;
}

static void path_join(char out[PATH_MAX], const struct rec_dir *d, const char *name)
{
    int n =
        d ? snprintf(out, PATH_MAX, "%s/%s", d->path, name) : snprintf(out, PATH_MAX, "%s", name);

    if (n >= PATH_MAX)
        out[PATH_MAX - 1] = 0;
}

int sx_io_mark(const char *text)
{
    struct record r = {.op = OP_MARK};

    if (journal_fd < 0)
        return SX_EIO;
    sx_lock_take(&journal_lock);
    append(&r, text, NULL, NULL);
    sx_lock_give(&journal_lock);
    return 0;
}

/* --- directories ------------------------------------------------------------------------------ */

static int rec_dir_open(struct sx_dir *parent,
                        const char *name,
                        uint32_t create,
                        struct sx_dir **out,
                        struct sx_err *err)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct rec_dir *p = parent ? dir_of(parent) : NULL, *d = mem->zalloc(mem, sizeof(*d));
    struct sx_dir *old = NULL;

    if (!d)
        return sx_err_set(err, SX_ENOMEM, "no memory for a directory");
    path_join(d->path, p, name ? name : "");
    sx_lock_take(&journal_lock);
    int existed = base->dir_open(p ? p->base : NULL, name, 0, &old, NULL) == 0;
    if (existed)
        base->dir_close(old);
    int rc = base->dir_open(p ? p->base : NULL, name, create, &d->base, err);
    if (create) {
        struct record r = {.op = OP_MKDIR, .a = !existed, .rc = rc};
        append(&r, d->path, NULL, NULL);
    }
    sx_lock_give(&journal_lock);
    if (rc != 0) {
        mem->release(mem, d);
        return rc;
    }
    *out = (struct sx_dir *)(void *)d;
    return 0;
}

static void rec_dir_close(struct sx_dir *d)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!d)
        return;
    base->dir_close(dir_of(d)->base);
    mem->release(mem, d);
}

static int rec_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    struct record r = {.op = OP_DIRSYNC, .site = SITE()};

    if (sync_begin(&r, dir_of(d)->path))
        return 0;
    r.rc = base->dir_sync(dir_of(d)->base, err);
    sx_lock_take(&journal_lock);
    append(&r, dir_of(d)->path, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_dir_list(struct sx_dir *d,
                        int (*sink)(void *arg, const char *name, uint32_t is_dir),
                        void *arg,
                        struct sx_err *err)
{
    return base->dir_list(dir_of(d)->base, sink, arg, err);
}

static int
rec_rename(struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    struct record r = {.op = OP_RENAME};
    char path_a[PATH_MAX], path_b[PATH_MAX];

    path_join(path_a, dir_of(from), a);
    path_join(path_b, dir_of(to), b);
    sx_lock_take(&journal_lock);
    r.rc = base->rename(dir_of(from)->base, a, dir_of(to)->base, b, err);
    append(&r, path_a, path_b, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    struct record r = {.op = OP_UNLINK};
    char path[PATH_MAX];

    path_join(path, dir_of(d), name);
    sx_lock_take(&journal_lock);
    r.rc = base->unlink(dir_of(d)->base, name, err);
    append(&r, path, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_rmdir(struct sx_dir *d, const char *name, struct sx_err *err)
{
    struct record r = {.op = OP_RMDIR};
    char path[PATH_MAX];

    path_join(path, dir_of(d), name);
    sx_lock_take(&journal_lock);
    r.rc = base->rmdir(dir_of(d)->base, name, err);
    append(&r, path, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

/* One step of remove_tree: takes the first entry of the directory away, so that each removal is a
 * record of its own. */
struct first_entry {
    char name[NAME_MAX + 1];
    uint32_t is_dir, is_found;
};

static int first_sink(void *arg, const char *name, uint32_t is_dir)
{
    struct first_entry *e = arg;

    snprintf(e->name, sizeof(e->name), "%s", name);
    e->is_dir = is_dir;
    e->is_found = 1;
    return 1;
}

static int rec_remove_tree(struct sx_dir *d, const char *name, struct sx_err *err)
{
    struct sx_dir *sub = NULL;
    struct sx_err why = SX_ERR_INIT;
    int rc = rec_dir_open(d, name, 0, &sub, &why);

    if (rc != 0)
        return rc == SX_ENOTFOUND ? sx_err_set(err, rc, "%s", why.msg) : rec_unlink(d, name, err);
    while (rc == 0) {
        struct first_entry e = {.is_found = 0};
        rc = rec_dir_list(sub, first_sink, &e, err);
        if (rc != 0 || !e.is_found)
            break;
        rc = e.is_dir ? rec_remove_tree(sub, e.name, err) : rec_unlink(sub, e.name, err);
    }
    rec_dir_close(sub);
    return rc == 0 ? rec_rmdir(d, name, err) : rc;
}

/* --- files ------------------------------------------------------------------------------------ */

static int rec_open(
    struct sx_dir *d, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct rec_file *f = mem->zalloc(mem, sizeof(*f));
    struct record r = {.op = OP_OPEN};
    struct sx_file *old = NULL;

    if (!f)
        return sx_err_set(err, SX_ENOMEM, "no memory for a file");
    sx_lock_take(&journal_lock);
    int existed = base->open(dir_of(d)->base, name, SX_IO_READ, &old, NULL) == 0;
    if (existed)
        base->close(old);
    r.rc = base->open(dir_of(d)->base, name, flags, &f->base, err);
    if (r.rc == 0) {
        int64_t length = base->length(f->base, NULL);
        r.handle = f->handle = next_handle++;
        r.a = !existed;
        r.b = length > 0 ? (uint64_t)length : 0;
        append(&r, dir_of(d)->path, name, NULL);
    }
    sx_lock_give(&journal_lock);
    if (r.rc != 0) {
        mem->release(mem, f);
        return r.rc;
    }
    *out = (struct sx_file *)(void *)f;
    return 0;
}

static void rec_close(struct sx_file *f)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!f)
        return;
    base->close(file_of(f)->base);
    mem->release(mem, f);
}

static int64_t rec_length(struct sx_file *f, struct sx_err *err)
{
    return base->length(file_of(f)->base, err);
}

static int64_t rec_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    return base->pread(file_of(f)->base, p, n, off, err);
}

static int
rec_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    struct record r = {.op = OP_WRITE, .handle = file_of(f)->handle, .a = off, .n_data = n};

    sx_lock_take(&journal_lock);
    r.rc = base->pwrite(file_of(f)->base, p, n, off, err);
    append(&r, NULL, NULL, p);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    struct record r = {.op = OP_TRUNCATE, .handle = file_of(f)->handle, .a = n};

    sx_lock_take(&journal_lock);
    r.rc = base->truncate(file_of(f)->base, n, err);
    append(&r, NULL, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    struct record r = {.op = OP_ALLOCATE, .handle = file_of(f)->handle, .a = off, .b = n};

    sx_lock_take(&journal_lock);
    r.rc = base->allocate(file_of(f)->base, off, n, err);
    append(&r, NULL, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int file_sync(struct sx_file *f, int is_data_only, uint32_t site, struct sx_err *err)
{
    struct record r = {
        .op = OP_SYNC, .handle = file_of(f)->handle, .b = (uint64_t)is_data_only, .site = site};

    if (sync_begin(&r, NULL))
        return 0;
    r.rc = is_data_only ? base->datasync(file_of(f)->base, err) : base->sync(file_of(f)->base, err);
    sx_lock_take(&journal_lock);
    append(&r, NULL, NULL, NULL);
    sx_lock_give(&journal_lock);
    return r.rc;
}

static int rec_datasync(struct sx_file *f, struct sx_err *err)
{
    return file_sync(f, 1, SITE(), err);
}

static int rec_sync(struct sx_file *f, struct sx_err *err)
{
    return file_sync(f, 0, SITE(), err);
}

static int
rec_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    return base->map(file_of(f)->base, off, n, at, out, err);
}

static void rec_unmap(void *p, uint64_t n)
{
    base->unmap(p, n);
}

static int rec_commit(void *p, uint64_t n, struct sx_err *err)
{
    return base->commit(p, n, err);
}

static int rec_reserve(uint64_t n, void **out, struct sx_err *err)
{
    return base->reserve(n, out, err);
}

static int rec_advise(void *p, uint64_t n, uint32_t what)
{
    return base->advise(p, n, what);
}

static const struct sx_io table = {
    .size = (uint32_t)sizeof(struct sx_io),
    .dir_open = rec_dir_open,
    .dir_close = rec_dir_close,
    .dir_sync = rec_dir_sync,
    .dir_list = rec_dir_list,
    .rename = rec_rename,
    .unlink = rec_unlink,
    .rmdir = rec_rmdir,
    .remove_tree = rec_remove_tree,
    .open = rec_open,
    .close = rec_close,
    .length = rec_length,
    .pread = rec_pread,
    .pwrite = rec_pwrite,
    .truncate = rec_truncate,
    .allocate = rec_allocate,
    .datasync = rec_datasync,
    .sync = rec_sync,
    .map = rec_map,
    .unmap = rec_unmap,
    .reserve = rec_reserve,
    .commit = rec_commit,
    .advise = rec_advise,
};

const struct sx_io *sx_io_recording(const struct sx_io *plain)
{
    const char *path = getenv("SEXTANT_IO_JOURNAL"), *skip = getenv("SEXTANT_IO_SKIP_SYNC");

    if (base)
        return &table;
    if ((!path || !*path) && (!skip || !*skip))
        return NULL;
    if (path && *path) {
        journal_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (journal_fd < 0) {
            perror(path);
            abort();
        }
    }
    skip_sync = skip ? strtoull(skip, NULL, 10) : 0;
    base = plain;
    return &table;
}

static void mark(const char *text)
{
    sx_io_mark(text);
}

static const struct sx_io_mark mark_table = {
    .size = (uint32_t)sizeof(struct sx_io_mark),
    .mark = mark,
};

const struct sx_io_mark *sx_io_mark_table(void)
{
    return &mark_table;
}

#endif
