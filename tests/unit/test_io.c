/* needs: kernel/io.c kernel/io_record.c kernel/mem.c kernel/lock.c */
/* Files: what is written is read, names stay inside their directory, and every failure has its
 * code. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/io.h"

static const struct sx_io *io;
static char root_path[64];
static struct sx_dir *root;

static int setup(void **state)
{
    (void)state;
    io = sx_io_plain();
    snprintf(root_path, sizeof(root_path), "/tmp/test_io.XXXXXX");
    if (!mkdtemp(root_path))
        return -1;
    return io->dir_open(NULL, root_path, 0, &root, NULL);
}

static int teardown(void **state)
{
    struct sx_dir *tmp;

    (void)state;
    io->dir_close(root);
    if (io->dir_open(NULL, "/tmp", 0, &tmp, NULL) != 0)
        return -1;
    int rc = io->remove_tree(tmp, root_path + 5, NULL);
    io->dir_close(tmp);
    return rc;
}

static struct sx_file *must_open(const char *name, uint32_t flags)
{
    struct sx_file *f = NULL;
    struct sx_err err = SX_ERR_INIT;

    assert_int_equal(io->open(root, name, flags, &f, &err), 0);
    return f;
}

static void touch(struct sx_dir *d, const char *name)
{
    struct sx_file *f = NULL;

    assert_int_equal(io->open(d, name, SX_IO_CREATE, &f, NULL), 0);
    io->close(f);
}

static void test_read_and_write(void **state)
{
    char buf[32];

    (void)state;
    struct sx_file *f = must_open("a", SX_IO_CREATE);
    assert_int_equal(io->length(f, NULL), 0);
    assert_int_equal(io->pwrite(f, "hello world", 11, 0, NULL), 0);
    assert_int_equal(io->pwrite(f, "W", 1, 6, NULL), 0);
    assert_int_equal(io->pwrite(f, "end", 3, 20, NULL), 0);
    assert_int_equal(io->pwrite(f, NULL, 0, 0, NULL), 0);
    assert_int_equal(io->length(f, NULL), 23);
    assert_int_equal(io->pread(f, buf, 11, 0, NULL), 11);
    assert_memory_equal(buf, "hello World", 11);
    assert_int_equal(io->pread(f, buf, sizeof(buf), 11, NULL), 12); /* short at the end */
    assert_memory_equal(buf, "\0\0\0\0\0\0\0\0\0end", 12);
    assert_int_equal(io->pread(f, buf, 5, 100, NULL), 0);
    assert_int_equal(io->truncate(f, 5, NULL), 0);
    assert_int_equal(io->length(f, NULL), 5);
    assert_int_equal(io->allocate(f, 0, 65536, NULL), 0);
    assert_int_equal(io->length(f, NULL), 65536);
    assert_int_equal(io->allocate(f, 0, 100, NULL), 0); /* never shrinks */
    assert_int_equal(io->length(f, NULL), 65536);
    assert_int_equal(io->datasync(f, NULL), 0);
    assert_int_equal(io->sync(f, NULL), 0);
    assert_int_equal(io->dir_sync(root, NULL), 0);
    io->close(f);

    struct sx_err err = SX_ERR_INIT;
    f = must_open("a", SX_IO_READ);
    assert_int_equal(io->pread(f, buf, 5, 0, NULL), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(io->pwrite(f, "x", 1, 0, &err), SX_EIO); /* read-only */
    assert_non_null(strstr(err.msg, "'a'"));
    io->close(f);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "../x", "/etc/passwd"};
    char longest[257];

    (void)state;
    touch(root, "good");
    for (uint32_t i = 0; i < SX_COUNT(bad); i++) {
        struct sx_file *f = NULL;
        struct sx_dir *d = NULL;
        assert_int_equal(io->open(root, bad[i], SX_IO_CREATE, &f, NULL), SX_EINPUT);
        assert_int_equal(io->dir_open(root, bad[i], 1, &d, NULL), SX_EINPUT);
        assert_int_equal(io->unlink(root, bad[i], NULL), SX_EINPUT);
        assert_int_equal(io->rmdir(root, bad[i], NULL), SX_EINPUT);
        assert_int_equal(io->remove_tree(root, bad[i], NULL), SX_EINPUT);
        assert_int_equal(io->rename(root, "good", root, bad[i], NULL), SX_EINPUT);
        assert_int_equal(io->rename(root, bad[i], root, "x", NULL), SX_EINPUT);
        assert_true(!f && !d);
    }
    memset(longest, 'n', 256);
    longest[256] = 0;
    assert_int_equal(sx_io_name_ok(longest), 0);
    longest[255] = 0;
    assert_int_equal(sx_io_name_ok(longest), 1);
    assert_int_equal(sx_io_name_ok("..."), 1);
    touch(root, longest);
}

/* Below a handle symbolic links lead nowhere, and only regular files are files. */
static void test_only_plain_files(void **state)
{
    char path[128];
    struct sx_file *f = NULL;
    struct sx_dir *d = NULL;

    (void)state;
    snprintf(path, sizeof(path), "%s/link", root_path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/dirlink", root_path);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", root_path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mkdirat(AT_FDCWD, strcat(strcpy(path, root_path), "/sub"), 0700), 0);
    assert_int_equal(io->open(root, "link", SX_IO_READ, &f, NULL), SX_EIO);
    assert_int_equal(io->open(root, "link", SX_IO_CREATE, &f, NULL), SX_EIO);
    assert_int_equal(io->open(root, "fifo", SX_IO_READ, &f, NULL), SX_EIO);
    assert_int_equal(io->open(root, "sub", SX_IO_READ, &f, NULL), SX_EIO);
    assert_int_equal(io->dir_open(root, "dirlink", 0, &d, NULL), SX_EIO);
    assert_int_equal(io->remove_tree(root, "dirlink", NULL), 0); /* the link, not what it names */
    assert_int_equal(access("/etc/passwd", R_OK), 0);
    assert_null(f);
    assert_null(d);
}

static void test_missing_and_existing(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_file *f = NULL;
    struct sx_dir *d = NULL;

    (void)state;
    assert_int_equal(io->open(root, "nope", SX_IO_READ, &f, &err), SX_ENOTFOUND);
    assert_int_equal(err.code, SX_ENOTFOUND);
    assert_non_null(strstr(err.msg, "'nope'"));
    assert_int_equal(io->open(root, "nope", SX_IO_WRITE, &f, NULL), SX_ENOTFOUND);
    assert_int_equal(io->dir_open(root, "nope", 0, &d, NULL), SX_ENOTFOUND);
    assert_int_equal(io->unlink(root, "nope", NULL), SX_ENOTFOUND);
    assert_int_equal(io->remove_tree(root, "nope", NULL), SX_ENOTFOUND);
    assert_int_equal(io->rename(root, "nope", root, "x", NULL), SX_ENOTFOUND);
    touch(root, "here");
    assert_int_equal(io->open(root, "here", SX_IO_CREATE | SX_IO_EXCL, &f, NULL), SX_EEXIST);
    assert_int_equal(io->dir_open(root, "here", 1, &d, NULL), SX_EIO); /* a file */
    assert_null(f);
    assert_null(d);
}

struct listing {
    char names[16][32];
    uint32_t is_dir[16], n, stop_at;
};

static int list_sink(void *arg, const char *name, uint32_t is_dir)
{
    struct listing *l = arg;

    snprintf(l->names[l->n], sizeof(l->names[0]), "%s", name);
    l->is_dir[l->n++] = is_dir;
    return l->n == l->stop_at;
}

static int listing_find(const struct listing *l, const char *name)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (strcmp(l->names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

static void test_directories(void **state)
{
    struct sx_dir *a = NULL, *b = NULL;
    struct listing l = {.n = 0};

    (void)state;
    assert_int_equal(io->dir_open(root, "a", 1, &a, NULL), 0);
    assert_int_equal(io->dir_open(root, "a", 1, &b, NULL), 0); /* existing is fine */
    io->dir_close(b);
    assert_int_equal(io->dir_open(a, "deep", 1, &b, NULL), 0);
    touch(root, "file");
    touch(a, "x");
    touch(b, "y");
    assert_int_equal(io->dir_list(root, list_sink, &l, NULL), 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.is_dir[listing_find(&l, "a")], 1);
    assert_int_equal(l.is_dir[listing_find(&l, "file")], 0);
    l = (struct listing){.stop_at = 1};
    assert_int_equal(io->dir_list(root, list_sink, &l, NULL), 0);
    assert_int_equal(l.n, 1);
    l = (struct listing){.n = 0};
    assert_int_equal(io->dir_list(root, list_sink, &l, NULL), 0); /* from the start again */
    assert_int_equal(l.n, 2);

    assert_int_equal(io->rename(a, "x", b, "z", NULL), 0);
    assert_int_equal(io->unlink(a, "x", NULL), SX_ENOTFOUND);
    assert_int_equal(io->unlink(b, "z", NULL), 0);
    assert_int_equal(io->rmdir(a, "deep", NULL), SX_EIO);  /* not empty */
    assert_int_equal(io->unlink(root, "a", NULL), SX_EIO); /* not a file */
    assert_int_equal(io->remove_tree(root, "a", NULL), 0);
    assert_int_equal(io->remove_tree(root, "file", NULL), 0);
    l = (struct listing){.n = 0};
    assert_int_equal(io->dir_list(root, list_sink, &l, NULL), 0);
    assert_int_equal(l.n, 0);
    io->dir_close(b);
    io->dir_close(a);
}

static void test_path_is_made(void **state)
{
    char path[128];
    struct sx_dir *d = NULL;

    (void)state;
    snprintf(path, sizeof(path), "%s/p/q//r/", root_path);
    assert_int_equal(io->dir_open(NULL, path, 0, &d, NULL), SX_ENOTFOUND);
    assert_int_equal(io->dir_open(NULL, path, 1, &d, NULL), 0);
    touch(d, "x");
    io->dir_close(d);
    snprintf(path, sizeof(path), "%s/p/q/r/x", root_path);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(io->dir_open(NULL, "", 1, &d, NULL), SX_EINPUT);
}

static void test_error_codes(void **state)
{
    static const struct {
        int e, code;
        const char *text;
    } cases[] = {
        {ENOSPC, SX_ENOSPACE, "No space left on device"},
        {EDQUOT, SX_ENOSPACE, "No space left on device"},
        {ENOENT, SX_ENOTFOUND, "No such file"},
        {EEXIST, SX_EEXIST, "exists"},
        {ENOMEM, SX_ENOMEM, "memory"},
        {EIO, SX_EIO, "Input/output error"},
        {EROFS, SX_EIO, "Read-only"},
        {EMFILE, SX_EIO, "open files"},
        {99999, SX_EIO, "unknown"},
    };

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        struct sx_err err = SX_ERR_INIT;
        assert_int_equal(sx_io_errno(&err, cases[i].e, "cannot write", "seg"), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].text));
        assert_non_null(strstr(err.msg, "cannot write 'seg'"));
    }
}

/* A limit on the file's size cuts a write in the middle: the first part is written, the call goes
 * on with the rest and then fails. */
static void test_short_write(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    struct rlimit old, small;
    char buf[5000];

    (void)state;
    struct sx_file *f = must_open("big", SX_IO_CREATE);
    memset(buf, 'b', sizeof(buf));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = io->pwrite(f, buf, sizeof(buf), 0, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, before);
    assert_int_equal(rc, SX_EIO);
    assert_int_equal(io->length(f, NULL), 4096);
    assert_int_equal(io->pwrite(f, buf, sizeof(buf), 0, &err), 0);
    assert_int_equal(io->length(f, NULL), 5000);
    io->close(f);
}

static void test_maps(void **state)
{
    char *p = NULL;
    void *range = NULL, *at = NULL;

    (void)state;
    struct sx_file *f = must_open("m", SX_IO_CREATE);
    assert_int_equal(io->truncate(f, 8192, NULL), 0);
    assert_int_equal(io->pwrite(f, "second", 6, 4096, NULL), 0);
    assert_int_equal(io->map(f, 0, 8192, NULL, &at, NULL), 0);
    p = at;
    assert_memory_equal(p + 4096, "second", 6);
    assert_int_equal(io->pwrite(f, "SEEN", 4, 4096, NULL), 0); /* shared with the file */
    assert_memory_equal(p + 4096, "SEENnd", 6);
    assert_int_equal(io->advise(p, 8192, SX_ADVISE_RANDOM), 0);
    assert_int_equal(io->advise(p, 8192, SX_ADVISE_WILLNEED), 0);
    assert_int_equal(io->advise(p, 8192, 77), SX_EINPUT);
    io->unmap(p, 8192);

    assert_int_equal(io->reserve(1ull << 30, &range, NULL), 0);
    char *inside = (char *)range + 65536;
    assert_int_equal(io->map(f, 4096, 4096, inside, &at, NULL), 0);
    assert_ptr_equal(at, inside);
    assert_memory_equal(inside, "SEENnd", 6);
    io->unmap(range, 1ull << 30);
    struct sx_err err = SX_ERR_INIT;
    assert_true(io->map(f, 1, 4096, NULL, &at, &err) < 0); /* offsets are whole pages */
    assert_true(err.msg[0]);
    io->close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_and_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_plain_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_and_existing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maps, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
