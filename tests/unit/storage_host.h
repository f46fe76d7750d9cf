/* A host small enough to read, for the storage tests: files over POSIX with faults on demand, one
 * thread per blocking task, epochs under a lock, counted memory.
 *
 * Faults: th_fail(what, n, code) lets the n-th call (1 = the next) of the kinds in `what` fail with
 * `code`; `sticky` makes all later ones fail too. Included by one test program, so everything is
 * static. */
#ifndef STORAGE_HOST_H
#define STORAGE_HOST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sextant/sx_service.h"

enum {
    TH_OPEN = 1,
    TH_PREAD = 2,
    TH_PWRITE = 4,
    TH_ALLOCATE = 8,
    TH_TRUNCATE = 16,
    TH_SYNC = 32,
    TH_DIR_SYNC = 64,
    TH_MAP = 128, /* map, reserve, commit */
    TH_MEM = 256,
    TH_UNLINK = 512
};

static struct {
    _Atomic uint32_t what, sticky, hit;
    _Atomic int32_t left;
    _Atomic int32_t code;
    _Atomic int64_t files, blocks, mapped; /* open, live */
    _Atomic uint64_t pwrites, syncs;
    /* While hold is set a datasync waits; waiting says that one does. */
    pthread_mutex_t gate;
    pthread_cond_t gate_cond;
    uint32_t hold, waiting;
} th = {.gate = PTHREAD_MUTEX_INITIALIZER, .gate_cond = PTHREAD_COND_INITIALIZER};

static inline void th_fail(uint32_t what, int32_t n, int32_t code, uint32_t sticky)
{
    atomic_store(&th.left, n);
    atomic_store(&th.code, code);
    atomic_store(&th.sticky, sticky);
    atomic_store(&th.hit, 0);
    atomic_store(&th.what, what);
}

/* Ends injection; returns whether a fault was delivered. */
static inline uint32_t th_heal(void)
{
    atomic_store(&th.what, 0);
    return atomic_load(&th.hit);
}

static int th_fault(uint32_t kind)
{
    int32_t left;

    if (!(atomic_load(&th.what) & kind))
        return 0;
    left = atomic_fetch_sub(&th.left, 1);
    if (left == 1 || (left < 1 && atomic_load(&th.sticky))) {
        atomic_store(&th.hit, 1);
        return atomic_load(&th.code);
    }
    return 0;
}

/* --- memory --- */

static void *th_alloc(const struct sx_mem *self, uint64_t n)
{
    void *p;

    (void)self;
    if (th_fault(TH_MEM))
        return NULL;
    p = malloc(n ? n : 1);
    if (p)
        atomic_fetch_add(&th.blocks, 1);
    return p;
}

static void *th_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = th_alloc(self, n);

    return p ? memset(p, 0, n) : NULL;
}

static void *th_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    if (!p)
        return th_alloc(self, n);
    return th_fault(TH_MEM) ? NULL : realloc(p, n);
}

static void th_release(const struct sx_mem *self, void *p)
{
    (void)self;
    if (p)
        atomic_fetch_sub(&th.blocks, 1);
    free(p);
}

static void *th_mem_map(const struct sx_mem *self, uint64_t n)
{
    void *p;

    (void)self;
    if (th_fault(TH_MEM))
        return NULL;
    p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    atomic_fetch_add(&th.mapped, (int64_t)n);
    return p;
}

static void th_mem_unmap(const struct sx_mem *self, void *p, uint64_t n)
{
    (void)self;
    (void)munmap(p, n);
    atomic_fetch_sub(&th.mapped, (int64_t)n);
}

static const struct sx_mem th_mem = {
    .size = (uint32_t)sizeof(struct sx_mem),
    .alloc = th_alloc,
    .zalloc = th_zalloc,
    .resize = th_resize,
    .release = th_release,
    .map = th_mem_map,
    .unmap = th_mem_unmap,
};

/* --- files --- */

struct sx_dir {
    int fd;
};

struct sx_file {
    int fd;
    uint32_t writes;
};

static int th_err(struct sx_err *err, const char *what)
{
    int e = errno;
    int code = e == ENOENT   ? SX_ENOTFOUND
               : e == EEXIST ? SX_EEXIST
               : e == ENOSPC ? SX_ENOSPACE
                             : SX_EIO;

    return sx_err_set(err, code, "%s: errno %d", what, e);
}

#define TH_INJECT(kind, err, what)                                                                 \
    do {                                                                                           \
        int th_code = th_fault(kind);                                                              \
        if (th_code)                                                                               \
            return sx_err_set((err), th_code, "%s: injected", (what));                             \
    } while (0)

static int th_dir_open(struct sx_dir *parent,
                       const char *name,
                       uint32_t create,
                       struct sx_dir **out,
                       struct sx_err *err)
{
    struct sx_dir *d = malloc(sizeof(*d));

    if (create)
        (void)mkdirat(parent ? parent->fd : AT_FDCWD, name, 0700);
    d->fd = openat(parent ? parent->fd : AT_FDCWD, name, O_RDONLY | O_DIRECTORY);
    if (d->fd < 0) {
        free(d);
        return th_err(err, name);
    }
    *out = d;
    return SX_OK;
}

static void th_dir_close(struct sx_dir *d)
{
    (void)close(d->fd);
    free(d);
}

static int th_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    (void)d;
    TH_INJECT(TH_DIR_SYNC, err, "dir sync"); /* as in th_datasync(): the call is what counts */
    return SX_OK;
}

static int th_dir_list(struct sx_dir *d,
                       int (*sink)(void *arg, const char *name, uint32_t is_dir),
                       void *arg,
                       struct sx_err *err)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!dir)
        return th_err(err, "list");
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            sink(arg, e->d_name, e->d_type == DT_DIR))
            break;
    (void)closedir(dir);
    return SX_OK;
}

static int th_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    TH_INJECT(TH_UNLINK, err, name);
    return unlinkat(d->fd, name, 0) ? th_err(err, name) : SX_OK;
}

static int th_open(
    struct sx_dir *d, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    int fl = flags & (SX_IO_WRITE | SX_IO_CREATE) ? O_RDWR : O_RDONLY;
    struct sx_file *f;

    TH_INJECT(TH_OPEN, err, name);
    fl |= (flags & SX_IO_CREATE ? O_CREAT : 0) | (flags & SX_IO_EXCL ? O_EXCL : 0);
    f = malloc(sizeof(*f));
    f->writes = (fl & O_ACCMODE) == O_RDWR;
    f->fd = openat(d->fd, name, fl | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        free(f);
        return th_err(err, name);
    }
    atomic_fetch_add(&th.files, 1);
    *out = f;
    return SX_OK;
}

static void th_close(struct sx_file *f)
{
    (void)close(f->fd);
    free(f);
    atomic_fetch_sub(&th.files, 1);
}

static int64_t th_length(struct sx_file *f, struct sx_err *err)
{
    struct stat st;

    return fstat(f->fd, &st) ? th_err(err, "length") : (int64_t)st.st_size;
}

static int64_t th_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    int64_t got;

    TH_INJECT(TH_PREAD, err, "read");
    got = pread(f->fd, p, n, (off_t)off);
    return got < 0 ? th_err(err, "read") : got;
}

static int th_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    int code = th_fault(TH_PWRITE);

    atomic_fetch_add(&th.pwrites, 1);
    if (code) { /* a full disk takes a part */
        if (pwrite(f->fd, p, n / 2, (off_t)off) < 0)
            return th_err(err, "write");
        return sx_err_set(err, code, "write: injected");
    }
    return pwrite(f->fd, p, n, (off_t)off) == (ssize_t)n ? SX_OK : th_err(err, "write");
}

static int th_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    TH_INJECT(TH_TRUNCATE, err, "truncate");
    return ftruncate(f->fd, (off_t)n) ? th_err(err, "truncate") : SX_OK;
}

static int th_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    int e;

    TH_INJECT(TH_ALLOCATE, err, "allocate");
    e = posix_fallocate(f->fd, (off_t)off, (off_t)n);
    errno = e;
    return e ? th_err(err, "allocate") : SX_OK;
}

static int th_datasync(struct sx_file *f, struct sx_err *err)
{
    pthread_mutex_lock(&th.gate);
    th.waiting++;
    pthread_cond_broadcast(&th.gate_cond);
    while (th.hold)
        pthread_cond_wait(&th.gate_cond, &th.gate);
    th.waiting--;
    pthread_mutex_unlock(&th.gate);
    atomic_fetch_add(&th.syncs, 1);
    TH_INJECT(TH_SYNC, err, "sync");
    /* Nothing here cuts the power: what a test needs is that the call was made. */
    return f->writes ? SX_OK : sx_err_set(err, SX_EIO, "sync of a file opened for reading");
}

/* Lets datasyncs through again, or stops them. */
static inline void th_hold(uint32_t hold)
{
    pthread_mutex_lock(&th.gate);
    th.hold = hold;
    pthread_cond_broadcast(&th.gate_cond);
    pthread_mutex_unlock(&th.gate);
}

static inline void th_wait_held(void)
{
    pthread_mutex_lock(&th.gate);
    while (!th.waiting)
        pthread_cond_wait(&th.gate_cond, &th.gate);
    pthread_mutex_unlock(&th.gate);
}

static int
th_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    struct stat st;
    void *p;

    TH_INJECT(TH_MAP, err, "map");
    /* Mapping beyond the end would be a SIGBUS in waiting: the contract forbids it. */
    if (fstat(f->fd, &st) || off + n > (uint64_t)st.st_size || off % 4096)
        return sx_err_set(err, SX_EINTERNAL, "map beyond the end of the file");
    p = mmap(at, n, PROT_READ, MAP_SHARED | (at ? MAP_FIXED : 0), f->fd, (off_t)off);
    if (p == MAP_FAILED)
        return th_err(err, "map");
    *out = p;
    return SX_OK;
}

static void th_unmap(void *p, uint64_t n)
{
    (void)munmap(p, n);
    atomic_fetch_sub(&th.mapped, (int64_t)n);
}

static int th_reserve(uint64_t n, void **out, struct sx_err *err)
{
    void *p;

    TH_INJECT(TH_MAP, err, "reserve");
    p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return th_err(err, "reserve");
    atomic_fetch_add(&th.mapped, (int64_t)n);
    *out = p;
    return SX_OK;
}

static int th_advise(void *p, uint64_t n, uint32_t what)
{
    static const int of[] = {0, MADV_RANDOM, MADV_WILLNEED, MADV_DONTNEED, MADV_HUGEPAGE};

    return madvise(p, n, of[what]) ? SX_EIO : SX_OK;
}

static int th_commit(void *p, uint64_t n, struct sx_err *err)
{
    TH_INJECT(TH_MAP, err, "commit");
    return mprotect(p, n, PROT_READ | PROT_WRITE) ? th_err(err, "commit") : SX_OK;
}

#define TH_IO                                                                                      \
    .size = (uint32_t)sizeof(struct sx_io), .dir_open = th_dir_open, .dir_close = th_dir_close,    \
    .dir_sync = th_dir_sync, .dir_list = th_dir_list, .unlink = th_unlink, .open = th_open,        \
    .close = th_close, .length = th_length, .pread = th_pread, .pwrite = th_pwrite,                \
    .truncate = th_truncate, .allocate = th_allocate, .datasync = th_datasync,                     \
    .sync = th_datasync, .map = th_map, .unmap = th_unmap, .reserve = th_reserve,                  \
    .advise = th_advise

static const struct sx_io th_io = {TH_IO, .commit = th_commit};
static const struct sx_io th_io_plain = {TH_IO}; /* a host without commit */

/* --- epochs: two parities, a list of retired entries each --- */

struct th_retired {
    struct th_retired *next;
    void (*fn)(void *arg);
    void *arg;
};

static struct {
    pthread_mutex_t lock;
    uint32_t parity, active[2];
    struct th_retired *list[2], **tail[2];
} th_ep = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local uint32_t th_depth, th_parity;

static void th_enter(void)
{
    if (th_depth++)
        return;
    pthread_mutex_lock(&th_ep.lock);
    th_parity = th_ep.parity;
    th_ep.active[th_parity]++;
    pthread_mutex_unlock(&th_ep.lock);
}

static void th_poll(void)
{
    struct th_retired *list = NULL;
    uint32_t old;

    pthread_mutex_lock(&th_ep.lock);
    /* Entries of a parity ripen when it is not the current one and its sections have ended. */
    old = th_ep.parity ^ 1;
    if (th_ep.active[old] == 0) {
        list = th_ep.list[old];
        th_ep.list[old] = NULL;
        th_ep.tail[old] = NULL;
        th_ep.parity = old;
    }
    pthread_mutex_unlock(&th_ep.lock);
    while (list) {
        struct th_retired *r = list;

        list = r->next;
        r->fn(r->arg);
        free(r);
    }
}

static void th_leave(void)
{
    if (--th_depth)
        return;
    pthread_mutex_lock(&th_ep.lock);
    th_ep.active[th_parity]--;
    pthread_mutex_unlock(&th_ep.lock);
}

static void th_retire(void (*fn)(void *arg), void *arg)
{
    struct th_retired *r = malloc(sizeof(*r));
    uint32_t p;

    r->next = NULL;
    r->fn = fn;
    r->arg = arg;
    pthread_mutex_lock(&th_ep.lock);
    p = th_ep.parity;
    *(th_ep.tail[p] ? th_ep.tail[p] : &th_ep.list[p]) = r;
    th_ep.tail[p] = &r->next;
    pthread_mutex_unlock(&th_ep.lock);
    th_poll();
}

/* With no section open: everything that was retired runs. */
static inline void th_drain(void)
{
    th_poll();
    th_poll();
    th_poll();
}

static const struct sx_epoch th_epoch = {
    .size = (uint32_t)sizeof(struct sx_epoch),
    .enter = th_enter,
    .leave = th_leave,
    .retire = th_retire,
    .poll = th_poll,
};

/* --- the blocking pool: a thread per task --- */

static void *th_run(void *arg)
{
    struct sx_task *t = arg;

    t->fn(t, NULL);
    return NULL;
}

static void th_blocking(struct sx_task *t)
{
    pthread_attr_t a;
    pthread_t id;

    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&id, &a, th_run, t))
        abort();
    pthread_attr_destroy(&a);
}

static const struct sx_exec th_exec = {
    .size = (uint32_t)sizeof(struct sx_exec),
    .blocking = th_blocking,
};

static const void *th_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    (void)self;
    (void)min_size;
    if (!strcmp(service, "sx.epoch"))
        return &th_epoch;
    return strcmp(service, "sx.exec") ? NULL : &th_exec;
}

static const struct sx_host th_host = {
    .size = (uint32_t)sizeof(struct sx_host),
    .abi_major = 1,
    .module = "storage",
    .mem = &th_mem,
    .get = th_get,
};

#endif
