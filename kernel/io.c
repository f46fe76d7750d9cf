/* Files over the system calls: the plain "sx.io".
 *
 * Everything goes through directory handles (openat and its family), so no path is ever resolved
 * twice and a name from outside cannot leave its directory: names are single components, symbolic
 * links are not followed below a handle, and only regular files are opened. The one place that
 * takes a path is dir_open() without a parent, for the directories an administrator configures.
 *
 * EINTR and short transfers are dealt with here. A failed fsync is reported and never repeated: the
 * kernel may already have dropped the dirty pages, and a second call would answer that all is well.
 *
 * Handles are read-only after open and may be used by several threads at once. They come from the
 * kernel's account; an open file is 300 bytes and a descriptor. */
#define _GNU_SOURCE 1
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define TREE_DEPTH_MAX 64
#define TRANSFER_MAX   (1ull << 30) /* the kernel itself stops at 2 GiB - 4 KiB */

struct sx_dir {
    int32_t fd;
    char name[NAME_MAX + 1]; /* for messages */
};

struct sx_file {
    int32_t fd;
    char name[NAME_MAX + 1];
};

/* --- errors and names ------------------------------------------------------------------------- */

int sx_io_errno(struct sx_err *err, int e, const char *what, const char *name)
{
    const char *text = strerrordesc_np(e);
    int code = SX_EIO;

    switch (e) {
    case ENOSPC:
        code = SX_ENOSPACE;
        break;
    case EDQUOT: /* clients and scripts look for the one text */
        code = SX_ENOSPACE;
        text = "No space left on device (disk quota exceeded)";
        break;
    case ENOENT:
        code = SX_ENOTFOUND;
        break;
    case EEXIST:
        code = SX_EEXIST;
        break;
    case ENOMEM:
        code = SX_ENOMEM;
        break;
    default:
        break;
    }
    return sx_err_set(err, code, "%s '%.120s': %s", what, name, text ? text : "unknown error");
}

int sx_io_name_ok(const char *name)
{
    if (!name || name[0] == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    size_t n = strnlen(name, NAME_MAX + 1);
    return n <= NAME_MAX && !memchr(name, '/', n);
}

const char *sx_io_dir_name(const struct sx_dir *d)
{
    return d->name;
}

const char *sx_io_file_name(const struct sx_file *f)
{
    return f->name;
}

static int name_check(const char *name, const char *what, struct sx_err *err)
{
    if (sx_io_name_ok(name))
        return 0;
    return sx_err_set(err, SX_EINPUT, "%s '%.120s': not a file name", what, name ? name : "");
}

static void name_copy(char *out, const char *name)
{
    size_t n = strnlen(name, NAME_MAX);

    memcpy(out, name, n);
    out[n] = 0;
}

/* --- directories ------------------------------------------------------------------------------ */

static struct sx_dir *dir_new(int fd, const char *name)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_dir *d = mem->alloc(mem, sizeof(*d));

    if (d) {
        d->fd = fd;
        name_copy(d->name, name);
    }
    return d;
}

static int fd_sync(int fd)
{
    int rc;

    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

/* mkdir -p for a configured path: every directory made is in its parent for good on return. */
static int path_make(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, n + 1);
    while (n > 1 && part[n - 1] == '/')
        part[--n] = 0;
    if (mkdir(part, 0755) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -1;
    char *slash = strrchr(part, '/');
    if (!slash || slash == part) {
        errno = ENOENT;
        return -1;
    }
    *slash = 0;
    if (path_make(part) != 0)
        return -1;
    *slash = '/';
    if (mkdir(part, 0755) != 0 && errno != EEXIST)
        return -1;
    *slash = 0;
    int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fd_sync(fd), e = errno;
    close(fd);
    errno = e;
    return rc;
}

static int io_dir_open(struct sx_dir *parent,
                       const char *name,
                       uint32_t create,
                       struct sx_dir **out,
                       struct sx_err *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd;

    if (parent) {
        int rc = name_check(name, "directory", err);
        if (rc != 0)
            return rc;
        if (create && mkdirat(parent->fd, name, 0755) != 0 && errno != EEXIST)
            return sx_io_errno(err, errno, "cannot create directory", name);
        fd = openat(parent->fd, name, flags | O_NOFOLLOW);
    } else {
        if (!name || name[0] == 0)
            return sx_err_set(err, SX_EINPUT, "directory: the path is empty");
        if (create && path_make(name) != 0)
            return sx_io_errno(err, errno, "cannot create directory", name);
        fd = open(name, flags);
    }
    if (fd < 0)
        return sx_io_errno(err, errno, "cannot open directory", name);
    struct sx_dir *d = dir_new(fd, name);
    if (!d) {
        close(fd);
        return sx_err_set(err, SX_ENOMEM, "no memory for directory '%.120s'", name);
    }
    *out = d;
    return 0;
}

static void io_dir_close(struct sx_dir *d)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!d)
        return;
    close(d->fd);
    mem->release(mem, d);
}

static int io_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    if (fd_sync(d->fd) != 0)
        return sx_io_errno(err, errno, "cannot sync directory", d->name);
    return 0;
}

static int entry_is_dir(int fd, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int io_dir_list(struct sx_dir *d,
                       int (*sink)(void *arg, const char *name, uint32_t is_dir),
                       void *arg,
                       struct sx_err *err)
{
    /* A descriptor of its own: a duplicate would share the reading position. */
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    int rc = 0;

    if (!dir) {
        rc = sx_io_errno(err, errno, "cannot list directory", d->name);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (;;) {
        errno = 0;
        if (!(e = readdir(dir))) {
            if (errno != 0)
                rc = sx_io_errno(err, errno, "cannot list directory", d->name);
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (sink(arg, e->d_name, entry_is_dir(fd, e) ? 1 : 0) != 0)
            break;
    }
    closedir(dir);
    return rc;
}

static int
io_rename(struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err)
{
    int rc = name_check(a, "rename", err);

    if (rc == 0)
        rc = name_check(b, "rename", err);
    if (rc != 0)
        return rc;
    if (renameat(from->fd, a, to->fd, b) != 0)
        return sx_io_errno(err, errno, "cannot rename", a);
    return 0;
}

static int io_unlink(struct sx_dir *d, const char *name, struct sx_err *err)
{
    int rc = name_check(name, "remove", err);

    if (rc == 0 && unlinkat(d->fd, name, 0) != 0)
        rc = sx_io_errno(err, errno, "cannot remove", name);
    return rc;
}

static int io_rmdir(struct sx_dir *d, const char *name, struct sx_err *err)
{
    int rc = name_check(name, "remove directory", err);

    if (rc == 0 && unlinkat(d->fd, name, AT_REMOVEDIR) != 0)
        rc = sx_io_errno(err, errno, "cannot remove directory", name);
    return rc;
}

/* Removes what is inside the directory open as fd (taken). 0 or an errno. Entries that vanish
 * meanwhile are fine. */
static int tree_clear(int fd, uint32_t depth)
{
    DIR *dir = fdopendir(fd);
    struct dirent *e;
    int rc = 0;

    if (!dir) {
        rc = errno;
        close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int is_dir = entry_is_dir(fd, e);
        if (is_dir) {
            int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            if (depth >= TREE_DEPTH_MAX)
                rc = ELOOP;
            else if (sub >= 0)
                rc = tree_clear(sub, depth + 1);
            else if (errno != ENOENT)
                rc = errno;
            if (depth >= TREE_DEPTH_MAX && sub >= 0)
                close(sub);
        }
        if (rc == 0 && unlinkat(fd, e->d_name, is_dir ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT)
            rc = errno;
    }
    if (rc == 0 && errno != 0)
        rc = errno == ENOENT ? 0 : errno;
    closedir(dir);
    return rc;
}

static int io_remove_tree(struct sx_dir *d, const char *name, struct sx_err *err)
{
    int rc = name_check(name, "remove", err);

    if (rc != 0)
        return rc;
    int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        if (errno != ENOTDIR && errno != ELOOP)
            return sx_io_errno(err, errno, "cannot remove", name);
        return io_unlink(d, name, err); /* a file or a link */
    }
    int e = tree_clear(fd, 0);
    if (e == 0 && unlinkat(d->fd, name, AT_REMOVEDIR) != 0)
        e = errno;
    return e == 0 ? 0 : sx_io_errno(err, e, "cannot remove", name);
}

/* --- files ------------------------------------------------------------------------------------ */

static int io_open(
    struct sx_dir *d, const char *name, uint32_t flags, struct sx_file **out, struct sx_err *err)
{
    const struct sx_mem *mem = sx_mem_kernel();
    int how = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK; /* non-blocking: a FIFO must not hang us */
    struct stat st;

    int rc = name_check(name, "open", err);
    if (rc != 0)
        return rc;
    how |= flags & (SX_IO_WRITE | SX_IO_CREATE) ? O_RDWR : O_RDONLY;
    if (flags & SX_IO_CREATE)
        how |= O_CREAT | (flags & SX_IO_EXCL ? O_EXCL : 0);
    int fd = openat(d->fd, name, how, 0644);
    if (fd < 0)
        return sx_io_errno(err, errno, "cannot open", name);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return sx_err_set(err, SX_EIO, "cannot open '%.120s': not a regular file", name);
    }
    struct sx_file *f = mem->alloc(mem, sizeof(*f));
    if (!f) {
        close(fd);
        return sx_err_set(err, SX_ENOMEM, "no memory for file '%.120s'", name);
    }
    f->fd = fd;
    name_copy(f->name, name);
    *out = f;
    return 0;
}

static void io_close(struct sx_file *f)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!f)
        return;
    close(f->fd);
    mem->release(mem, f);
}

static int64_t io_length(struct sx_file *f, struct sx_err *err)
{
    struct stat st;

    if (fstat(f->fd, &st) != 0)
        return sx_io_errno(err, errno, "cannot stat", f->name);
    return st.st_size;
}

static int64_t io_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    uint64_t done = 0;

    while (done < n) {
        uint64_t part = n - done < TRANSFER_MAX ? n - done : TRANSFER_MAX;
        ssize_t got = pread(f->fd, (char *)p + done, part, (off_t)(off + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sx_io_errno(err, errno, "cannot read", f->name);
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

static int io_pwrite(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err)
{
    uint64_t done = 0;

    while (done < n) {
        uint64_t part = n - done < TRANSFER_MAX ? n - done : TRANSFER_MAX;
        ssize_t put = pwrite(f->fd, (const char *)p + done, part, (off_t)(off + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) /* 0 for a non-empty write: a device that takes nothing */
            return sx_io_errno(err, put < 0 ? errno : EIO, "cannot write", f->name);
        done += (uint64_t)put;
    }
    return 0;
}

static int io_truncate(struct sx_file *f, uint64_t n, struct sx_err *err)
{
    int rc;

    do {
        rc = ftruncate(f->fd, (off_t)n);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : sx_io_errno(err, errno, "cannot truncate", f->name);
}

/* Where the file system cannot allocate, the file only grows: a full disk is then met by the
 * writes. (posix_fallocate would write zeros into every page instead.) */
static int io_allocate(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err)
{
    struct stat st;
    int rc;

    if (n == 0)
        return 0;
    do {
        rc = fallocate(f->fd, 0, (off_t)off, (off_t)n);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return sx_io_errno(err, errno, "cannot allocate", f->name);
    if (fstat(f->fd, &st) != 0)
        return sx_io_errno(err, errno, "cannot stat", f->name);
    return (uint64_t)st.st_size >= off + n ? 0 : io_truncate(f, off + n, err);
}

static int io_datasync(struct sx_file *f, struct sx_err *err)
{
    int rc;

    do {
        rc = fdatasync(f->fd);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : sx_io_errno(err, errno, "cannot sync", f->name);
}

static int io_sync(struct sx_file *f, struct sx_err *err)
{
    return fd_sync(f->fd) == 0 ? 0 : sx_io_errno(err, errno, "cannot sync", f->name);
}

/* --- memory ----------------------------------------------------------------------------------- */

static int
io_map(struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err)
{
    void *p = mmap(at, n, PROT_READ, MAP_SHARED | (at ? MAP_FIXED : 0), f->fd, (off_t)off);

    if (p == MAP_FAILED)
        return sx_io_errno(err, errno, "cannot map", f->name);
    *out = p;
    return 0;
}

static void io_unmap(void *p, uint64_t n)
{
    if (p && n > 0)
        munmap(p, n);
}

static int io_reserve(uint64_t n, void **out, struct sx_err *err)
{
    void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return sx_io_errno(err, errno, "cannot reserve", "address space");
    *out = p;
    return 0;
}

static int io_commit(void *p, uint64_t n, struct sx_err *err)
{
    if (mprotect(p, n, PROT_READ | PROT_WRITE) != 0)
        return sx_io_errno(err, errno, "cannot use", "reserved memory");
    return 0;
}

static int io_advise(void *p, uint64_t n, uint32_t what)
{
    int advice;

    switch (what) {
    case SX_ADVISE_RANDOM:
        advice = MADV_RANDOM;
        break;
    case SX_ADVISE_WILLNEED:
        advice = MADV_WILLNEED;
        break;
    case SX_ADVISE_DONTNEED:
        advice = MADV_DONTNEED;
        break;
    case SX_ADVISE_HUGE:
        advice = MADV_HUGEPAGE;
        break;
    default:
        return SX_EINPUT;
    }
    return madvise(p, n, advice) == 0 ? 0 : SX_EUNSUPPORTED;
}

static const struct sx_io table = {
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

const struct sx_io *sx_io_plain(void)
{
    return &table;
}

const struct sx_io *sx_io_table(void)
{
#if defined(SX_IO_RECORD) && SX_IO_RECORD
    const struct sx_io *faulting = sx_io_faulting(&table), *below = faulting ? faulting : &table;
    const struct sx_io *recording = sx_io_recording(below);
    return recording ? recording : below;
#else
    return &table;
#endif
}
