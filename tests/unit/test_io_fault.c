/* needs: kernel/io.c kernel/mem.c kernel/lock.c */
/* The failing file service: the call that was named fails, whole, by half or with all that follow;
 * space runs out and comes back; a healed disk works. The room is compiled in here, since other
 * builds leave it empty. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#ifndef SX_IO_RECORD
#define SX_IO_RECORD 1
#endif
#include "kernel/io_fault.c"

static const struct sx_io *io;
static char root_path[64], control_path[80];
static struct sx_dir *root;

static void arm(uint64_t kinds, uint64_t nth, int error, uint64_t flags)
{
    memset(ctl, 0, sizeof(*ctl));
    ctl->nth = nth;
    ctl->error = (uint64_t)error;
    ctl->flags = flags;
    ctl->kinds = kinds;
}

static struct sx_file *create(const char *name)
{
    struct sx_file *f = NULL;

    assert_int_equal(io->open(root, name, SX_IO_CREATE, &f, NULL), 0);
    return f;
}

/* One of each call that counts; the index of the call that failed, or -1. All others succeed. */
static int one_of_each(int code)
{
    struct sx_dir *sub = NULL;
    struct sx_file *f = NULL;
    void *p = NULL;
    int rc[12], failed = -1, n = 0;

    rc[n++] = io->dir_open(root, "sub", SX_IO_CREATE, &sub, NULL);
    rc[n++] = io->open(root, "f", SX_IO_CREATE, &f, NULL);
    if (!f) /* go on with a file that is there */
        assert_int_equal(sx_io_plain()->open(root, "f", SX_IO_CREATE, &f, NULL), 0);
    rc[n++] = io->pwrite(f, "abcd", 4, 0, NULL);
    rc[n++] = io->truncate(f, 4096, NULL);
    rc[n++] = io->allocate(f, 0, 8192, NULL);
    rc[n++] = io->datasync(f, NULL);
    rc[n++] = io->sync(f, NULL);
    rc[n++] = io->map(f, 0, 4096, NULL, &p, NULL);
    rc[n++] = io->dir_sync(root, NULL);
    rc[n++] = io->rename(root, "f", root, "g", NULL);
    rc[n++] = io->unlink(root, rc[9] == 0 ? "g" : "f", NULL);
    rc[n++] = io->remove_tree(root, "sub", NULL);
    for (int i = 0; i < n; i++) {
        if (rc[i] == 0)
            continue;
        /* Without the directory there is nothing to remove. */
        if (i == 11 && rc[0] != 0)
            continue;
        assert_int_equal(failed, -1);
        assert_int_equal(rc[i], code);
        failed = i;
    }
    if (p)
        io->unmap(p, 4096);
    io->close(f);
    if (sub)
        io->dir_close(sub);
    (void)sx_io_plain()->remove_tree(root, "f", NULL);
    (void)sx_io_plain()->remove_tree(root, "g", NULL);
    (void)sx_io_plain()->remove_tree(root, "sub", NULL);
    return failed;
}

static void test_nth(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 12; n++) {
        arm(~0ull, n, EIO, 0);
        assert_int_equal(one_of_each(SX_EIO), (int)n - 1);
        assert_int_equal(ctl->hits, 1);
        assert_int_equal(ctl->calls, 12);
        assert_true(strchr(ctl->what, '\'') != NULL);
    }
    arm(0, 1, EIO, 0); /* healed: nothing counts */
    assert_int_equal(one_of_each(SX_EIO), -1);
    assert_int_equal(ctl->calls, 0);
}

static void test_kinds(void **state)
{
    (void)state;
    arm(ON_SYNC, 2, ENOSPC, 0);
    assert_int_equal(one_of_each(SX_ENOSPACE), 6);
    arm(ON_MAP, 1, ENOMEM, 0);
    assert_int_equal(one_of_each(SX_ENOMEM), 7);
    assert_string_equal(ctl->what, "cannot map 'f'");
}

static void test_sticky_and_short(void **state)
{
    struct sx_file *f = create("s");
    char buf[8] = {0};

    (void)state;
    arm(ON_WRITE, 2, ENOSPC, STICKY | SHORT);
    assert_int_equal(io->pwrite(f, "11", 2, 0, NULL), 0);
    assert_int_equal(io->pwrite(f, "2222", 4, 2, NULL), SX_ENOSPACE);
    assert_int_equal(io->pwrite(f, "33", 2, 0, NULL), SX_ENOSPACE);
    assert_int_equal(io->pread(f, buf, 8, 0, NULL), 4);
    assert_memory_equal(buf, "3122", 4);
    assert_int_equal(ctl->hits, 2);
    ctl->kinds = 0;
    assert_int_equal(io->pwrite(f, "4444", 4, 4, NULL), 0);
    io->close(f);
    assert_int_equal(io->unlink(root, "s", NULL), 0);
}

/* Of calls on what is there, those that need no room go through a full disk. */
static void test_growing(void **state)
{
    struct sx_file *f = create("f");
    struct sx_dir *sub = NULL;

    (void)state;
    assert_int_equal(io->pwrite(f, "abcd", 4, 0, NULL), 0);
    assert_int_equal(io->dir_open(root, "sub", SX_IO_CREATE, &sub, NULL), 0);
    io->dir_close(sub);
    arm(~0ull, 1, ENOSPC, STICKY | GROWING);
    assert_int_equal(io->pwrite(f, "ab", 2, 2, NULL), 0);
    assert_int_equal(io->pwrite(f, "ab", 2, 3, NULL), SX_ENOSPACE);
    assert_int_equal(io->truncate(f, 5, NULL), SX_ENOSPACE);
    assert_int_equal(io->truncate(f, 3, NULL), 0);
    assert_int_equal(io->allocate(f, 0, 4, NULL), SX_ENOSPACE);
    io->close(f);
    assert_int_equal(io->open(root, "f", SX_IO_CREATE, &f, NULL), 0);
    assert_int_equal(io->dir_open(root, "sub", SX_IO_CREATE, &sub, NULL), 0);
    io->dir_close(sub);
    io->close(f);
    assert_int_equal(io->open(root, "g", SX_IO_CREATE, &f, NULL), SX_ENOSPACE);
    assert_int_equal(io->dir_open(root, "sub2", SX_IO_CREATE, &sub, NULL), SX_ENOSPACE);
    ctl->kinds = 0;
    assert_int_equal(io->unlink(root, "f", NULL), 0);
    assert_int_equal(io->rmdir(root, "sub", NULL), 0);
}

static void test_space(void **state)
{
    struct sx_file *f = create("a"), *g = create("b");
    char page[1000] = {1};

    (void)state;
    arm(ON_GROWTH, 0, ENOSPC, SPACE);
    ctl->space = 2500;
    assert_int_equal(io->pwrite(f, page, 1000, 0, NULL), 0);
    assert_int_equal(io->pwrite(f, page, 1000, 0, NULL), 0); /* does not grow */
    assert_int_equal(ctl->space, 1500);
    assert_int_equal(io->allocate(g, 0, 1501, NULL), SX_ENOSPACE);
    assert_int_equal(ctl->space, 1500);
    assert_int_equal(io->pwrite(g, page, 1000, 0, NULL), 0);
    assert_int_equal(io->pwrite(f, page, 1000, 900, NULL), SX_ENOSPACE); /* 500 of it fit */
    assert_int_equal(io->length(f, NULL), 1500);
    assert_int_equal(ctl->space, 0);
    assert_int_equal(ctl->hits, 2);
    assert_int_equal(io->truncate(f, 1400, NULL), 0);
    assert_int_equal(ctl->space, 100);
    io->close(g);
    assert_int_equal(io->unlink(root, "b", NULL), 0);
    assert_int_equal(ctl->space, 1100);
    assert_int_equal(io->pwrite(f, page, 1000, 1400, NULL), 0);
    g = create("b");
    assert_int_equal(io->pwrite(g, page, 100, 0, NULL), 0);
    assert_int_equal(ctl->space, 0);
    assert_int_equal(io->rename(root, "a", root, "b", NULL), 0); /* the old "b" goes */
    assert_int_equal(ctl->space, 100);
    io->close(f);
    io->close(g);
    assert_int_equal(io->unlink(root, "b", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nth),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_sticky_and_short),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_space),
    };

    unsetenv("SEXTANT_IO_FAULT");
    if (sx_io_faulting(sx_io_plain()))
        return 1; /* not asked for */
    snprintf(root_path, sizeof(root_path), "/tmp/test_io_fault.XXXXXX");
    if (!mkdtemp(root_path))
        return 1;
    snprintf(control_path, sizeof(control_path), "%s.control", root_path);
    int fd = open(control_path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct control)) != 0)
        return 1;
    close(fd);
    setenv("SEXTANT_IO_FAULT", control_path, 1);
    io = sx_io_faulting(sx_io_plain());
    if (!io || io->dir_open(NULL, root_path, 0, &root, NULL) != 0)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    io->dir_close(root);
    rmdir(root_path);
    unlink(control_path);
    return rc;
}
