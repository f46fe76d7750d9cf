/* The fake host's sx.io: plain POSIX below whatever path the test opens.
 *
 * Counts what passes and can be told to fail one write half way, which is how a full disk looks to
 * a module. Names are single components, as the contract says; others are refused here too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake.h"

struct sx_dir {
    int fd;
};

struct sx_file {
    int fd;
    char name[256];
};

static uint64_t fail_write;
static struct sx_fake_io_counts counts;

static void count(uint64_t *c, uint64_t n)
{
    __atomic_add_fetch(c, n, __ATOMIC_RELAXED);
}

static int fail(struct sx_err *err, const char *what, const char *name)
{
    int no = errno;
    char text[96] = "";
    int code = no == ENOENT ? SX_ENOTFOUND : no == ENOSPC || no == EDQUOT ? SX_ENOSPACE : SX_EIO;
    if (no == EEXIST)
        code = SX_EEXIST;
    return sx_err_set(err, code, "%s '%s': %s", what, name, strerror_r(no, text, sizeof(text)));
}

static int check_name(const char *name, struct sx_err *err)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0 || strlen(name) > 255)
        return sx_err_set(err, SX_EINPUT, "'%.80s' is not a file name", name);
    return SX_OK;
}

static int io_dir_open(struct sx_dir *parent,
                       const char *name,
                       uint32_t create,
                       struct sx_dir **out,
                       struct sx_err *err)
{
    int at = parent != NULL ? parent->fd : AT_FDCWD;
    int rc = parent != NULL ? check_name(name, err) : SX_OK;
    if (rc != 0)
        return rc;
    if (create && mkdirat(at, name, 0777) != 0 && errno != EEXIST)
        return fail(err, "mkdir", name);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open directory", name);
    struct sx_dir *d = malloc(sizeof(*d));
    if (d == NULL) {
        close(fd);
        return sx_err_set(err, SX_ENOMEM, "no memory for directory '%s'", name);
    }
    d->fd = fd;
    *out = d;
    return SX_OK;
}

static void io_dir_close(struct sx_dir *d)
{
    close(d->fd);
    free(d);
}

static int io_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    count(&counts.dir_syncs, 1);
    return fsync(d->fd) == 0 ? SX_OK : fail(err, "fsync", "directory");
}

static int io_dir_list(struct sx_dir *d,
                       int (*sink)(void *arg, const char *name, uint32_t is_dir),
                       void *arg,
                       struct sx_err *err)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return fail(err, "list", "directory");
    }
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        uint32_t is_dir =
            fstatat(d->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
        if (sink(arg, e->d_name, is_dir) != 0)
            break;
    }
    closedir(dir);
    return SX_OK;
}

static int
io_rename(struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    int rc = check_name(a, err);
    if (rc == 0)
        rc = check_name(b, err);
    if (rc == 0 && renameat(from->fd, a, to->fd, b) != 0)
        rc = fail(err, "rename", a);
    return rc;
}

static int remove_at(struct sx_dir *d, const char *name, int flags, struct sx_err *err)
{
    int rc = check_name(name, err);
    if (rc == 0 && unlinkat(d->fd, name, flags) != 0)
        rc = fail(err, "remove", name);
    return rc;
}

static int io_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    return remove_at(d, name, 0, err);
}

static int io_rmdir(struct sx_dir *d, const char *name, struct sx_err *err)
{
    return remove_at(d, name, AT_REMOVEDIR, err);
}

struct tree_removal {
    struct sx_dir *dir;
    struct sx_err *err;
    int rc;
};

static int io_remove_tree(struct sx_dir *d, const char *name, struct sx_err *err);

static int remove_entry(void *arg, const char *name, uint32_t is_dir)
{
    struct tree_removal *r = arg;
    r->rc = is_dir ? io_remove_tree(r->dir, name, r->err) : io_unlink(r->dir, name, r->err);
    return r->rc;
}

static int io_remove_tree(struct sx_dir *d, const char *name, struct sx_err *err)
{
    struct sx_dir *sub = NULL;
    int rc = io_dir_open(d, name, 0, &sub, err);
    if (rc != 0)
        return rc;
    struct tree_removal r = {sub, err, 0};
    rc = io_dir_list(sub, remove_entry, &r, err);
    io_dir_close(sub);
    if (rc == 0)
        rc = r.rc;
    return rc != 0 ? rc : io_rmdir(d, name, err);
}

static int io_open(
    struct sx_dir *d, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    int rc = check_name(name, err);
    if (rc != 0)
        return rc;
    int mode = O_CLOEXEC;
    mode |= (flags & (SX_IO_WRITE | SX_IO_CREATE)) != 0 ? O_RDWR : O_RDONLY;
    mode |= (flags & SX_IO_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & SX_IO_EXCL) != 0 ? O_EXCL : 0;
    struct sx_file *f = malloc(sizeof(*f));
    if (f == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for file '%s'", name);
    f->fd = openat(d->fd, name, mode, 0666);
    if (f->fd < 0) {
        free(f);
        return fail(err, "open", name);
    }
    snprintf(f->name, sizeof(f->name), "%s", name);
    *out = f;
    return SX_OK;
}

static void io_close(struct sx_file *f)
{
    close(f->fd);
    free(f);
}

static int64_t io_length(struct sx_file *f, struct sx_err *err)
{
    struct stat st;
    return fstat(f->fd, &st) == 0 ? st.st_size : fail(err, "stat", f->name);
}

static int64_t io_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    uint64_t done = 0;
    count(&counts.reads, 1);
    while (done < n) {
        ssize_t got = pread(f->fd, (uint8_t *)p + done, n - done, (off_t)(off + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, "read", f->name);
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    count(&counts.bytes_read, done);
    return (int64_t)done;
}

static int write_all(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    for (uint64_t done = 0; done < n;) {
        ssize_t put = pwrite(f->fd, (const uint8_t *)p + done, n - done, (off_t)(off + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(err, "write", f->name);
        done += (uint64_t)put;
    }
    return SX_OK;
}

static int io_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    count(&counts.writes, 1);
    if (__atomic_load_n(&fail_write, __ATOMIC_RELAXED) != 0 &&
        __atomic_sub_fetch(&fail_write, 1, __ATOMIC_RELAXED) == 0) {
        write_all(f, p, n / 2, off, NULL);
        return sx_err_set(err, SX_ENOSPACE, "write '%s': no space left on device", f->name);
    }
    count(&counts.bytes_written, n);
    return write_all(f, p, n, off, err);
}

static int io_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    return ftruncate(f->fd, (off_t)n) == 0 ? SX_OK : fail(err, "truncate", f->name);
}

static int io_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    errno = posix_fallocate(f->fd, (off_t)off, (off_t)n);
    return errno == 0 ? SX_OK : fail(err, "allocate", f->name);
}

static int io_datasync(struct sx_file *f, struct sx_err *err)
{
    count(&counts.syncs, 1);
    return fdatasync(f->fd) == 0 ? SX_OK : fail(err, "fdatasync", f->name);
}

static int io_sync(struct sx_file *f, struct sx_err *err)
{
    count(&counts.syncs, 1);
    return fsync(f->fd) == 0 ? SX_OK : fail(err, "fsync", f->name);
}

static int
io_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    void *p = mmap(at, n, PROT_READ, MAP_SHARED | (at != NULL ? MAP_FIXED : 0), f->fd, (off_t)off);
    if (p == MAP_FAILED)
        return fail(err, "map", f->name);
    *out = p;
    return SX_OK;
}

static void io_unmap(void *p, uint64_t n)
{
    munmap(p, n);
}

static int io_reserve(uint64_t n, void **out, struct sx_err *err)
{
    void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return fail(err, "reserve", "address space");
    *out = p;
    return SX_OK;
}

static int io_advise(void *p, uint64_t n, uint32_t what)
{
    (void)p;
    (void)n;
    (void)what;
    return SX_OK;
}

static int io_commit(void *p, uint64_t n, struct sx_err *err)
{
    void *got = mmap(p, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return got != MAP_FAILED ? SX_OK : fail(err, "commit", "memory");
}

const struct sx_io sx_fake__io = {
    .size = (uint32_t)sizeof(struct sx_io),
    .dir_open = io_dir_open,
    .dir_close = io_dir_close,
    .dir_sync = io_dir_sync,
    .dir_list = io_dir_list,
    .rename = io_rename,
    .unlink = io_unlink,
    .rmdir = io_rmdir,
    .remove_tree = io_remove_tree,
    .open = io_open,
    .close = io_close,
    .length = io_length,
    .pread = io_pread,
    .pwrite = io_pwrite,
    .truncate = io_truncate,
    .allocate = io_allocate,
    .datasync = io_datasync,
    .sync = io_sync,
    .map = io_map,
    .unmap = io_unmap,
    .reserve = io_reserve,
    .advise = io_advise,
    .commit = io_commit,
};

void sx_fake__io_init(void)
{
    memset(&counts, 0, sizeof(counts));
    fail_write = 0;
}

void sx_fake_host_fail_write(uint64_t n)
{
    __atomic_store_n(&fail_write, n, __ATOMIC_RELAXED);
}

void sx_fake_host_io_counts(struct sx_fake_io_counts *out)
{
    *out = counts;
}
