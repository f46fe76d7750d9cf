/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* Both storage modules, kind rows: what is appended is read back, now and after a start; marks,
 * drops, descriptors, costs. Blobs, faults, damage and threads have programs of their own. */
#include "storage_kit.h"

#define ROW 12u

static const struct sx_store_mark none;

/* --- heads and descriptors of the modules --- */

static void test_file_head(void **state)
{
    struct sx_file_head h = {.kind = SX_FILE_LOG, .version = 3, .number = 9}, bad;
    struct sx_err err = SX_ERR_INIT;
    uint8_t raw[sizeof(h)];
    uint32_t i;

    (void)state;
    sx_file_head_seal(&h);
    assert_int_equal(sx_file_head_check(&h, SX_FILE_LOG, 3, &err), 0);
    assert_int_equal(sx_file_head_check(&h, SX_FILE_LOG, 4, NULL), 0);
    assert_int_equal(sx_file_head_check(&h, SX_FILE_ROWS, 3, &err), SX_ECORRUPT);
    assert_int_equal(sx_file_head_check(&h, SX_FILE_LOG, 2, &err), SX_ECORRUPT);
    for (i = 0; i < sizeof(h) * 8; i++) {
        memcpy(raw, &h, sizeof(h));
        raw[i / 8] ^= (uint8_t)(1u << i % 8);
        memcpy(&bad, raw, sizeof(h));
        assert_int_equal(sx_file_head_check(&bad, SX_FILE_LOG, 3, &err), SX_ECORRUPT);
    }
}

static const void *poor_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    (void)self;
    (void)service;
    (void)min_size;
    return NULL;
}

static void test_load(void **state)
{
    static const struct sx_plugin *const all[] = {&storage_mmap_LTX_sx_plugin,
                                                  &storage_ram_LTX_sx_plugin};
    struct sx_host poor = th_host;
    char self[256] = {0};
    uint32_t i, j;

    (void)state;
    for (i = 0; i < 2; i++) {
        assert_int_equal(all[i]->magic, SX_PLUGIN_MAGIC);
        assert_int_equal(all[i]->n_provides, 2);
        for (j = 0; j < 2; j++)
            assert_string_equal(all[i]->provides[j].name, i ? "ram" : "mmap");
        assert_int_equal(all[i]->load(&th_host, self, NULL), 0);
    }
    poor.get = poor_get;
    for (i = 0; i < 2; i++)
        assert_int_equal(all[i]->load(&poor, self, NULL), SX_EABI);
}

/* --- rows --- */

static void rows_roundtrip(struct kit *k)
{
    static const uint32_t steps[] = {1, 2, 255, 5000, 60000, 300, 1, 65536, 9, 140000};
    const uint8_t *base[8] = {0};
    struct sx_store_mark mark;
    struct sx_rows v;
    uint64_t n = 0, disk, ram;
    uint32_t i, c;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    kit_rows_are(k, h, ROW, 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(mark.count, 0);
    for (i = 0; i < SX_COUNT(steps); i++) {
        assert_int_equal(kit_append(k, h, ROW, n, steps[i]), 0);
        n += steps[i];
        th_enter();
        k->rows->rows(k->self, h, &v);
        for (c = 0; c <= (n - 1) >> SX_CHUNK_SHIFT; c++) {
            if (base[c])
                assert_ptr_equal(base[c], v.chunks[c]); /* chunks never move */
            base[c] = v.chunks[c];
        }
        th_leave();
        kit_rows_are(k, h, ROW, n);
    }
    k->rows->stats(k->self, h, &disk, &ram);
    assert_true(disk >= n * ROW);
    assert_int_equal(ram >= n * ROW, k->mode != KIT_MMAP);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(mark.count, n);
    k->rows->close(k->self, h);

    assert_int_equal(kit_rows_open(k, ROW, &mark, &h), 0);
    kit_rows_are(k, h, ROW, n);
    for (c = 0; c <= n >> SX_CHUNK_SHIFT; c++)
        assert_int_equal(k->rows->verify(k->self, h, c, &k->err), 0);
    assert_int_equal(kit_append(k, h, ROW, n, 70000), 0);
    kit_rows_are(k, h, ROW, n + 70000);
    k->rows->close(k->self, h);
}

static void test_rows_roundtrip(void **state)
{
    (void)state;
    kit_for_modes(rows_roundtrip);
}

/* Large rows: a chunk of many blocks and, in memory, of more than a huge page. */
static void rows_large(struct kit *k)
{
    const uint32_t size = 1536;
    struct sx_store_mark mark;
    uint64_t n;
    void *h;
    int fd;

    assert_int_equal(kit_rows_open(k, size, &none, &h), 0);
    /* A leftover of the name, as of a store that could not clean up, is replaced. */
    fd = openat(k->dir->fd, "v.00000000", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "old", 3), 3);
    (void)close(fd);
    for (n = 0; n < 5120; n += 256)
        assert_int_equal(kit_append(k, h, size, n, 256), 0);
    kit_rows_are(k, h, size, n);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(k->rows->verify(k->self, h, 0, &k->err), 0);
    k->rows->close(k->self, h);
    assert_int_equal(kit_rows_open(k, size, &mark, &h), 0);
    kit_rows_are(k, h, size, n);
    k->rows->close(k->self, h);
}

static void test_rows_large(void **state)
{
    (void)state;
    kit_for_modes(rows_large);
}

static void rows_bad_conf(struct kit *k)
{
    static const uint32_t order[] = {1, 0}, open_chunk[] = {1};
    struct sx_rows_conf conf = {.size = (uint32_t)sizeof(conf), .row_size = 8, .id = kit_id};
    struct sx_rows_conf c;
    char name[400];
    uint32_t id = 0;
    uint8_t buf[8];
    void *h;
#define REFUSED(name)                                                                              \
    assert_int_equal(k->rows->open(k->self, k->io, k->dir, (name), &c, &h, &k->err), SX_EINPUT)

    c = conf, c.row_size = 0;
    REFUSED("v");
    c = conf, c.row_size = 2u << 20;
    REFUSED("v");
    c = conf, c.align = 16;
    REFUSED("v");
    c = conf, c.align = 3, c.row_size = 9;
    REFUSED("v");
    c = conf, c.known.count = (1ull << 32) + 1;
    REFUSED("v");
    c = conf, c.absent = order, c.n_absent = 2, c.known.count = 1 << 20;
    REFUSED("v");
    c = conf, c.absent = open_chunk, c.n_absent = 1, c.known.count = 65537;
    REFUSED("v");
    c = conf;
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = 0;
    REFUSED(name);
    REFUSED("");
#undef REFUSED
    assert_int_equal(kit_rows_open(k, 8, &none, &h), 0);
    assert_int_equal(k->rows->gather(k->self, h, &id, 1, buf, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->rows->verify(k->self, h, 0, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->rows->drop(k->self, h, 0, &k->err), SX_ENOTFOUND);
    id = 5;
    k->rows->advise(k->self, h, &id, 1);
    k->rows->close(k->self, h);
}

static void test_rows_bad_conf(void **state)
{
    (void)state;
    kit_for_modes(rows_bad_conf);
}

/* One write of data and one of checksums for an append; ten rows cost one small file. */
static void rows_cost(struct kit *k)
{
    struct sx_store_mark mark;
    uint64_t before, disk, ram;
    uint32_t ids[3] = {1, 2, 200};
    void *h;

    assert_int_equal(kit_rows_open(k, 1536, &none, &h), 0);
    assert_int_equal(kit_length(k, "v.00000000"), -1);
    assert_int_equal(kit_append(k, h, 1536, 0, 10), 0);
    assert_int_equal(kit_length(k, "v.00000000"), 65536);
    assert_int_equal(kit_length(k, "v.00000000.crc"), -1);
    k->rows->stats(k->self, h, &disk, &ram);
    assert_int_equal(disk, 65536);
    if (k->mode != KIT_RAM_PLAIN)
        assert_true(ram <= 65536);
    assert_int_equal(kit_append(k, h, 1536, 10, 246), 0);
    assert_int_equal(kit_length(k, "v.00000000"), 524288);
    before = atomic_load(&th.pwrites);
    assert_int_equal(kit_append(k, h, 1536, 256, 50), 0);
    assert_int_equal(atomic_load(&th.pwrites) - before, 2);
    before = atomic_load(&th.pwrites);
    assert_int_equal(kit_append(k, h, 1536, 306, 1), 0);
    assert_int_equal(atomic_load(&th.pwrites) - before, 1);
    k->rows->advise(k->self, h, ids, 3);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    /* What has not changed is not synced again. */
    before = atomic_load(&th.syncs);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(atomic_load(&th.syncs), before);
    assert_int_equal(mark.count, 307);
    k->rows->close(k->self, h);
}

static void test_rows_cost(void **state)
{
    (void)state;
    kit_for_modes(rows_cost);
}

/* Descriptors: two of the chunk being written, none of flushed full ones, none after open. */
static void rows_descriptors(struct kit *k)
{
    struct sx_store_mark mark;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 4 * 65536 + 20000), 0);
    assert_int_equal(atomic_load(&th.files), 10);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(atomic_load(&th.files), 2);
    assert_int_equal(kit_append(k, h, ROW, mark.count, 65536 - 20000), 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(atomic_load(&th.files), 0);
    assert_int_equal(kit_append(k, h, ROW, mark.count, 5), 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    kit_rows_are(k, h, ROW, mark.count);
    k->rows->close(k->self, h);
    assert_int_equal(kit_rows_open(k, ROW, &mark, &h), 0);
    assert_int_equal(atomic_load(&th.files), 0);
    k->rows->close(k->self, h);
}

static void test_rows_descriptors(void **state)
{
    (void)state;
    kit_for_modes(rows_descriptors);
}

/* A store can be opened at each mark it ever had; what came later is gone and may come again. */
static void rows_every_mark(struct kit *k)
{
    static const uint32_t steps[] = {1, 5460, 1, 5461, 54000, 612, 1, 1, 70000, 5000};
    struct sx_store_mark marks[SX_COUNT(steps)], again;
    struct kit other;
    char last[32];
    uint64_t n = 0, sums;
    uint32_t i;
    void *h;

    kit_start(&other, k->mode);
    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    for (i = 0; i < SX_COUNT(steps); i++) {
        assert_int_equal(kit_append(k, h, ROW, n, steps[i]), 0);
        n += steps[i];
        assert_int_equal(kit_rows_flush(k, h, &marks[i]), 0);
        assert_int_equal(marks[i].count, n);
    }
    k->rows->close(k->self, h);
    for (i = 0; i < SX_COUNT(steps); i++) {
        uint64_t c = marks[i].count;

        kit_copy(&other, k);
        assert_int_equal(kit_rows_open(&other, ROW, &marks[i], &h), 0);
        if (c <= 65536)
            assert_int_equal(kit_length(&other, "v.00000001"), -1);
        (void)snprintf(last, sizeof(last), "v.%08x", (unsigned)(c >> 16));
        assert_int_equal(kit_length(&other, last),
                         c % 65536 ? (int64_t)(4096 + c % 65536 * ROW) : -1);
        (void)snprintf(last, sizeof(last), "v.%08x.crc", (unsigned)(c >> 16));
        sums = c % 65536 * ROW / SX_BLOCK_BYTES;
        assert_int_equal(kit_length(&other, last), sums ? (int64_t)(4096 + 4 * sums) : -1);
        if (c * ROW < 65536)
            assert_int_equal(kit_length(&other, "v.00000000.crc"), -1);
        kit_rows_are(&other, h, ROW, c);
        assert_int_equal(kit_append(&other, h, ROW, c, 7000), 0);
        kit_rows_are(&other, h, ROW, c + 7000);
        assert_int_equal(kit_rows_flush(&other, h, &again), 0);
        assert_int_equal(other.rows->verify(other.self, h, 0, &other.err), 0);
        other.rows->close(other.self, h);
        assert_int_equal(kit_rows_open(&other, ROW, &again, &h), 0);
        kit_rows_are(&other, h, ROW, c + 7000);
        other.rows->close(other.self, h);
    }
    kit_stop(&other);
}

static void test_rows_every_mark(void **state)
{
    (void)state;
    kit_for_modes(rows_every_mark);
}

static void rows_drop(struct kit *k)
{
    static const uint32_t absent[] = {1, 2};
    struct sx_rows_conf conf = {.size = (uint32_t)sizeof(conf), .row_size = ROW, .id = kit_id};
    struct sx_store_mark mark;
    struct sx_rows v;
    uint64_t disk, ram, disk2, ram2;
    int64_t mapped;
    uint32_t id = 65536;
    uint8_t buf[ROW];
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 3 * 65536 + 10), 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(k->rows->drop(k->self, h, 3, &k->err), SX_EPRECOND);
    assert_int_equal(k->rows->drop(k->self, h, 4, &k->err), SX_ENOTFOUND);
    k->rows->stats(k->self, h, &disk, &ram);

    th_enter();
    k->rows->rows(k->self, h, &v);
    mapped = atomic_load(&th.mapped);
    assert_int_equal(k->rows->drop(k->self, h, 1, &k->err), 0);
    assert_int_equal(kit_length(k, "v.00000001"), -1);
    assert_int_equal(kit_length(k, "v.00000001.crc"), -1);
    th_poll();
    th_poll();
    /* Our epoch began before the drop: its table and the chunk are still there. */
    assert_true(kit_row_is(sx_rows_at(&v, 65536 + 77), ROW, 65536 + 77));
    assert_int_equal(atomic_load(&th.mapped), mapped);
    th_leave();
    th_drain();
    assert_true(atomic_load(&th.mapped) < mapped);

    th_enter();
    k->rows->rows(k->self, h, &v);
    assert_null(v.chunks[1]);
    th_leave();
    assert_int_equal(k->rows->gather(k->self, h, &id, 1, buf, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->rows->drop(k->self, h, 1, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->rows->verify(k->self, h, 1, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->rows->drop(k->self, h, 2, &k->err), 0);
    k->rows->stats(k->self, h, &disk2, &ram2);
    assert_true(disk2 < disk && (k->mode == KIT_MMAP || ram2 < ram));
    assert_int_equal(kit_append(k, h, ROW, 3 * 65536 + 10, 100), 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    kit_rows_are(k, h, ROW, mark.count);
    k->rows->close(k->self, h);

    conf.known = mark;
    assert_int_equal(k->rows->open(k->self, k->io, k->dir, "v", &conf, &h, &k->err), SX_ECORRUPT);
    conf.absent = absent;
    conf.n_absent = 2;
    assert_int_equal(k->rows->open(k->self, k->io, k->dir, "v", &conf, &h, &k->err), 0);
    kit_rows_are(k, h, ROW, mark.count);
    k->rows->close(k->self, h);
}

static void test_rows_drop(void **state)
{
    (void)state;
    kit_for_modes(rows_drop);
}

static void rows_files(struct kit *k)
{
    struct kit_listed l = {0};
    struct sx_store_mark mark;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 65536 + 6000), 0);
    k->rows->files(k->self, h, kit_list_sink, &l);
    assert_int_equal(l.n, 0); /* nothing is durable yet */
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(kit_append(k, h, ROW, mark.count, 6000), 0);
    k->rows->files(k->self, h, kit_list_sink, &l);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.name[0], "v.00000000");
    assert_int_equal(l.bytes[0], 4096 + 65536 * ROW);
    assert_string_equal(l.name[1], "v.00000000.crc");
    assert_int_equal(l.bytes[1], 4096 + ROW * 4);
    assert_string_equal(l.name[2], "v.00000001");
    assert_int_equal(l.bytes[2], 4096 + 6000 * ROW);
    assert_string_equal(l.name[3], "v.00000001.crc");
    assert_int_equal(l.bytes[3], 4096 + 4);
    k->rows->close(k->self, h);
}

static void test_rows_files(void **state)
{
    (void)state;
    kit_for_modes(rows_files);
}

/* The mark is that of the call, whatever is appended while the disk works. */
static void rows_flush_mark(struct kit *k)
{
    struct sx_store_mark none_yet = {0};
    struct kit_flush f;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 100), 0);
    th_hold(1);
    kit_flush_init(&f);
    k->rows->flush(k->self, h, kit_rows_done, &f);
    th_wait_held();
    assert_int_equal(kit_append(k, h, ROW, 100, 80000), 0);
    assert_int_equal(kit_rows_flush(k, h, &none_yet), SX_EPRECOND); /* one at a time */
    kit_rows_are(k, h, ROW, 80100);
    th_hold(0);
    assert_int_equal(kit_flush_wait(&f), 0);
    assert_int_equal(f.mark.count, 100);
    k->rows->close(k->self, h);
    assert_int_equal(kit_rows_open(k, ROW, &f.mark, &h), 0);
    kit_rows_are(k, h, ROW, 100);
    k->rows->close(k->self, h);
}

static void test_rows_flush_mark(void **state)
{
    (void)state;
    kit_for_modes(rows_flush_mark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_head),        cmocka_unit_test(test_load),
        cmocka_unit_test(test_rows_roundtrip),   cmocka_unit_test(test_rows_large),
        cmocka_unit_test(test_rows_bad_conf),    cmocka_unit_test(test_rows_cost),
        cmocka_unit_test(test_rows_descriptors), cmocka_unit_test(test_rows_every_mark),
        cmocka_unit_test(test_rows_drop),        cmocka_unit_test(test_rows_files),
        cmocka_unit_test(test_rows_flush_mark),
    };

    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
