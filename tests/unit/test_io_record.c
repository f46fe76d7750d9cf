/* needs: kernel/io.c kernel/mem.c kernel/lock.c */
/* The recording file service: the journal names every change in order, and a left-out sync is left
 * out. The room is compiled in here, since other builds leave it empty. */

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
#include <stdio.h>

#include "kernel/io_record.c"

static const struct sx_io *io;
static char root_path[64], journal_path[80];
static char journal[65536];
static size_t journal_n, journal_at;

/* The next record; texts and data are borrowed from the journal. */
struct seen {
    struct record r;
    char name[PATH_MAX], name2[PATH_MAX];
    const char *data;
};

static int next(struct seen *s)
{
    if (journal_at == journal_n)
        return 0;
    assert_true(journal_n - journal_at >= sizeof(s->r));
    memcpy(&s->r, journal + journal_at, sizeof(s->r));
    journal_at += sizeof(s->r);
    assert_int_equal(s->r.magic, 0x314a5853);
    assert_true(journal_n - journal_at >= s->r.n_name + s->r.n_name2 + s->r.n_data);
    memcpy(s->name, journal + journal_at, s->r.n_name);
    s->name[s->r.n_name] = 0;
    journal_at += s->r.n_name;
    memcpy(s->name2, journal + journal_at, s->r.n_name2);
    s->name2[s->r.n_name2] = 0;
    journal_at += s->r.n_name2;
    s->data = journal + journal_at;
    journal_at += s->r.n_data;
    return 1;
}

static void expect(uint32_t op, int32_t rc, const char *name, struct seen *s)
{
    char path[PATH_MAX];

    assert_int_equal(next(s), 1);
    assert_int_equal(s->r.op, op);
    assert_int_equal(s->r.rc, rc);
    if (name) {
        snprintf(path, sizeof(path), "%s%s", root_path, name);
        assert_string_equal(s->name, path);
    }
}

static void test_journal(void **state)
{
    struct sx_dir *root = NULL, *sub = NULL;
    struct sx_file *f = NULL;
    struct seen s;
    char buf[16];

    (void)state;
    assert_int_equal(io->dir_open(NULL, root_path, 0, &root, NULL), 0);
    assert_int_equal(io->dir_open(root, "sub", 1, &sub, NULL), 0);
    assert_int_equal(io->open(sub, "f", SX_IO_CREATE, &f, NULL), 0);
    assert_int_equal(io->pwrite(f, "abc", 3, 5, NULL), 0);
    assert_int_equal(io->pread(f, buf, 3, 5, NULL), 3);
    assert_int_equal(io->length(f, NULL), 8);
    assert_int_equal(io->datasync(f, NULL), 0);
    assert_int_equal(io->dir_sync(sub, NULL), 0);
    sx_io_mark_table()->mark("answer 1");
    assert_int_equal(io->sync(f, NULL), 0); /* the third: left out */
    assert_int_equal(io->rename(sub, "f", root, "g", NULL), 0);
    assert_int_equal(io->truncate(f, 2, NULL), 0); /* still the same file */
    assert_int_equal(io->allocate(f, 0, 4096, NULL), 0);
    io->close(f);
    assert_int_equal(io->unlink(root, "nope", NULL), SX_ENOTFOUND);
    assert_int_equal(io->open(sub, "h", SX_IO_CREATE, &f, NULL), 0);
    io->close(f);
    assert_int_equal(io->remove_tree(root, "sub", NULL), 0);
    io->dir_close(sub);
    io->dir_close(root);

    int fd = open(journal_path, O_RDONLY);
    journal_n = (size_t)read(fd, journal, sizeof(journal));
    close(fd);
    expect(OP_MKDIR, 0, "/sub", &s);
    assert_int_equal(s.r.a, 1);
    expect(OP_OPEN, 0, "/sub", &s);
    assert_string_equal(s.name2, "f");
    assert_int_equal(s.r.a, 1);
    uint64_t handle = s.r.handle;
    expect(OP_WRITE, 0, NULL, &s);
    assert_int_equal(s.r.handle, handle);
    assert_int_equal(s.r.a, 5);
    assert_int_equal(s.r.n_data, 3);
    assert_memory_equal(s.data, "abc", 3);
    uint64_t at_sync = journal_at;
    expect(OP_SYNC, 0, NULL, &s);
    assert_int_equal(s.r.a, at_sync); /* promises what stood before it */
    assert_int_equal(s.r.b, 1);
    at_sync = journal_at;
    expect(OP_DIRSYNC, 0, "/sub", &s);
    assert_int_equal(s.r.a, at_sync);
    expect(OP_MARK, 0, NULL, &s);
    assert_string_equal(s.name, "answer 1");
    expect(OP_SKIPPED, 0, NULL, &s);
    assert_int_equal(s.r.handle, handle);
    expect(OP_RENAME, 0, "/sub/f", &s);
    assert_string_equal(s.name2 + strlen(root_path), "/g");
    expect(OP_TRUNCATE, 0, NULL, &s);
    assert_int_equal(s.r.handle, handle);
    expect(OP_ALLOCATE, 0, NULL, &s);
    assert_int_equal(s.r.b, 4096);
    expect(OP_UNLINK, SX_ENOTFOUND, "/nope", &s);
    expect(OP_OPEN, 0, "/sub", &s);
    assert_true(s.r.handle != handle);
    expect(OP_UNLINK, 0, "/sub/h", &s);
    expect(OP_RMDIR, 0, "/sub", &s);
    assert_int_equal(next(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal),
    };

    unsetenv("SEXTANT_IO_JOURNAL");
    unsetenv("SEXTANT_IO_SKIP_SYNC");
    if (sx_io_recording(sx_io_plain()))
        return 1; /* not asked for */
    snprintf(root_path, sizeof(root_path), "/tmp/test_io_record.XXXXXX");
    if (!mkdtemp(root_path))
        return 1;
    snprintf(journal_path, sizeof(journal_path), "%s.journal", root_path);
    setenv("SEXTANT_IO_JOURNAL", journal_path, 1);
    setenv("SEXTANT_IO_SKIP_SYNC", "3", 1);
    io = sx_io_recording(sx_io_plain());
    int rc = io ? cmocka_run_group_tests(tests, NULL, NULL) : 1;

    char file[80];
    snprintf(file, sizeof(file), "%s/g", root_path);
    unlink(file);
    rmdir(root_path);
    unlink(journal_path);
    return rc;
}
