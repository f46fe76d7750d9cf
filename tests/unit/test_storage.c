/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* Rows and blobs of both storage modules: what is appended is read back, now and after a start;
 * drops, marks, descriptors; full disks and failed syncs. Damage and threads have programs of their
 * own. */
#include "storage_kit.h"

#define ROW 12u

static const struct sx_store_mark none;

static void for_modes(void (*fn)(struct kit *k))
{
    struct kit k;
    int mode;

    for (mode = 0; mode < KIT_MODES; mode++) {
        kit_start(&k, mode);
        fn(&k);
        kit_stop(&k);
    }
}

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
    for_modes(rows_roundtrip);
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
    for_modes(rows_large);
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
    assert_int_equal(k->rows->drop(k->self, h, 0, &k->err), SX_EPRECOND);
    id = 5;
    k->rows->advise(k->self, h, &id, 1);
    k->rows->close(k->self, h);
}

static void test_rows_bad_conf(void **state)
{
    (void)state;
    for_modes(rows_bad_conf);
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
    for_modes(rows_cost);
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
    for_modes(rows_descriptors);
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
    for_modes(rows_every_mark);
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
    assert_int_equal(k->rows->drop(k->self, h, 4, &k->err), SX_EPRECOND);
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
    for_modes(rows_drop);
}

struct listed {
    uint32_t n;
    char name[16][64];
    uint64_t bytes[16];
};

static void list_sink(void *arg, const char *file, uint64_t bytes)
{
    struct listed *l = arg;

    assert_true(l->n < 16);
    (void)snprintf(l->name[l->n], sizeof(l->name[0]), "%s", file);
    l->bytes[l->n++] = bytes;
}

static void rows_files(struct kit *k)
{
    struct listed l = {0};
    struct sx_store_mark mark;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 65536 + 6000), 0);
    k->rows->files(k->self, h, list_sink, &l);
    assert_int_equal(l.n, 0); /* nothing is durable yet */
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(kit_append(k, h, ROW, mark.count, 6000), 0);
    k->rows->files(k->self, h, list_sink, &l);
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
    for_modes(rows_files);
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
    for_modes(rows_flush_mark);
}

/* --- faults --- */

/* Every call an append makes fails once, in turn: the store is as before, then works. (The last
 * start, where the table of files grows, is the same code in all modes and slow: once is enough.)
 */
static void rows_faults(struct kit *k)
{
    static const struct {
        uint32_t what;
        int code;
    } kinds[] = {{TH_PWRITE, SX_ENOSPACE}, {TH_ALLOCATE, SX_ENOSPACE}, {TH_OPEN, SX_EIO},
                 {TH_MAP, SX_ENOMEM},      {TH_MEM, SX_ENOMEM},        {TH_UNLINK, SX_EIO}};
    static const uint32_t start[] = {0, 5461, 65536 - 6000, 262144 - 3};
    static const char *const after[] = {"v.00000000", "", "v.00000001", "v.00000004"};
    uint32_t s, kind, n, sticky;

    for (sticky = 0; sticky < 2; sticky++)
        for (s = 0; s < SX_COUNT(start) - (k->mode != KIT_MMAP); s++)
            for (kind = 0; kind < (sticky ? 2 : SX_COUNT(kinds)); kind++)
                for (n = 1;; n++) {
                    struct sx_store_mark mark;
                    uint64_t count = start[s];
                    uint32_t hit;
                    void *h;
                    int rc;

                    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
                    if (count)
                        assert_int_equal(kit_append(k, h, ROW, 0, (uint32_t)count), 0);
                    th_fail(kinds[kind].what, (int32_t)n, kinds[kind].code, sticky);
                    rc = kit_append(k, h, ROW, count, 12000);
                    hit = th_heal();
                    if (!hit)
                        assert_int_equal(rc, 0);
                    if (rc) {
                        assert_true(hit);
                        assert_int_equal(rc, kinds[kind].code);
                        /* Not even a file is left of it. */
                        if (kinds[kind].what != TH_UNLINK && s != 1)
                            assert_int_equal(kit_length(k, after[s]), -1);
                    } else {
                        count += 12000;
                    }
                    kit_rows_are(k, h, ROW, count);
                    assert_int_equal(kit_append(k, h, ROW, count, 17), 0);
                    count += 17;
                    assert_int_equal(kit_append(k, h, ROW, count, 6000), 0);
                    count += 6000;
                    kit_rows_are(k, h, ROW, count);
                    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
                    assert_int_equal(k->rows->verify(k->self, h, 0, &k->err), 0);
                    k->rows->close(k->self, h);
                    assert_int_equal(kit_rows_open(k, ROW, &mark, &h), 0);
                    kit_rows_are(k, h, ROW, count);
                    k->rows->close(k->self, h);
                    kit_clear(k);
                    if (!hit)
                        break;
                }
}

static void test_rows_faults(void **state)
{
    (void)state;
    for_modes(rows_faults);
}

/* A disk too full for the next doubling may still take the rows themselves. */
static void rows_nearly_full(struct kit *k)
{
    struct sx_store_mark mark;
    void *h;

    assert_int_equal(kit_rows_open(k, 1024, &none, &h), 0);
    assert_int_equal(kit_append(k, h, 1024, 0, 50), 0);
    th_fail(TH_ALLOCATE, 1, SX_ENOSPACE, 0);
    assert_int_equal(kit_append(k, h, 1024, 50, 51), 0);
    assert_int_equal(th_heal(), 1);
    assert_int_equal(kit_length(k, "v.00000000"), 4096 + 26 * 4096);
    assert_int_equal(kit_append(k, h, 1024, 101, 10), 0);
    assert_int_equal(kit_length(k, "v.00000000"), 131072);
    kit_rows_are(k, h, 1024, 111);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    k->rows->close(k->self, h);
    assert_int_equal(kit_rows_open(k, 1024, &mark, &h), 0);
    kit_rows_are(k, h, 1024, 111);
    k->rows->close(k->self, h);
}

static void test_rows_nearly_full(void **state)
{
    (void)state;
    for_modes(rows_nearly_full);
}

/* Open meets every fault in turn: it reports, gives everything back, and works afterwards. */
static void rows_open_faults(struct kit *k)
{
    static const uint32_t kinds[] = {TH_OPEN, TH_PREAD, TH_MAP, TH_MEM, TH_TRUNCATE};
    struct sx_store_mark mark;
    uint32_t kind, n, hit;
    struct kit other;
    void *h;
    int rc;

    kit_start(&other, k->mode);
    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, 65536 + 7000), 0);
    assert_int_equal(kit_rows_flush(k, h, &mark), 0);
    assert_int_equal(kit_append(k, h, ROW, mark.count, 12000), 0);
    k->rows->close(k->self, h);
    for (kind = 0; kind < SX_COUNT(kinds); kind++)
        for (n = 1, hit = 1; hit; n++) {
            kit_copy(&other, k);
            th_fail(kinds[kind], (int32_t)n, kinds[kind] == TH_MEM ? SX_ENOMEM : SX_EIO, 0);
            rc = kit_rows_open(&other, ROW, &mark, &h);
            hit = th_heal();
            if (rc)
                assert_true(hit);
            if (rc) {
                assert_int_equal(rc, kinds[kind] == TH_MEM ? SX_ENOMEM : SX_EIO);
                assert_int_equal(atomic_load(&th.files), 0);
                assert_int_equal(atomic_load(&th.mapped), 0);
                assert_int_equal(kit_rows_open(&other, ROW, &mark, &h), 0);
            }
            kit_rows_are(&other, h, ROW, mark.count);
            other.rows->close(other.self, h);
        }
    kit_stop(&other);
}

static void test_rows_open_faults(void **state)
{
    (void)state;
    for_modes(rows_open_faults);
}

/* A sync that failed once is never tried again: what is on disk is the last good mark. */
static void rows_sync_fails(struct kit *k)
{
    static const uint32_t kinds[] = {TH_SYNC, TH_DIR_SYNC};
    uint32_t kind, n;

    for (kind = 0; kind < 2; kind++)
        for (n = 1;; n++) {
            struct sx_store_mark good, mark = {0};
            struct listed l = {0};
            uint32_t hit;
            void *h;
            int rc;

            assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
            assert_int_equal(kit_append(k, h, ROW, 0, 6000), 0);
            assert_int_equal(kit_rows_flush(k, h, &good), 0);
            assert_int_equal(kit_append(k, h, ROW, 6000, 65536), 0);
            th_fail(kinds[kind], (int32_t)n, SX_EIO, 0);
            rc = kit_rows_flush(k, h, &mark);
            hit = th_heal();
            assert_int_equal(rc, hit ? SX_EIO : 0);
            if (hit) {
                assert_int_equal(kit_append(k, h, ROW, 71536, 10), 0);
                assert_int_equal(kit_rows_flush(k, h, &mark), SX_EIO);
                assert_int_equal(kit_rows_flush(k, h, &mark), SX_EIO);
                kit_rows_are(k, h, ROW, 71546);
                k->rows->files(k->self, h, list_sink, &l);
                assert_int_equal(l.bytes[0], 4096 + good.count * ROW);
                k->rows->close(k->self, h);
                assert_int_equal(kit_rows_open(k, ROW, &good, &h), 0);
                kit_rows_are(k, h, ROW, good.count);
                assert_int_equal(kit_rows_flush(k, h, &mark), 0);
            }
            k->rows->close(k->self, h);
            kit_clear(k);
            if (!hit) {
                /* Data and checksums of two chunks; the directory once. */
                assert_int_equal(n, kind ? 2 : 5);
                break;
            }
            assert_true(n < 10);
        }
}

static void test_rows_sync_fails(void **state)
{
    (void)state;
    for_modes(rows_sync_fails);
}

/* --- blobs --- */

#define SEG   100000u
#define BLOBS 900u

static void blobs_roundtrip(struct kit *k)
{
    struct sx_blobs_mark mark;
    sx_locator locs[BLOBS];
    uint32_t i, n, step;
    void *h;

    for (step = 1; step <= 500; step = step * 5 + 3) {
        assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
        for (i = 0; i < BLOBS; i += n) {
            n = step < BLOBS - i ? step : BLOBS - i;
            assert_int_equal(kit_put(k, h, i, n, locs + i), 0);
        }
        kit_blobs_are(k, h, locs, BLOBS);
        assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
        assert_true(mark.segment >= 2);
        assert_int_equal(mark.segment, locs[BLOBS - 1] >> 32);
        k->blobs->close(k->self, h);
        assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
        kit_blobs_are(k, h, locs, BLOBS);
        for (i = 0; i <= mark.segment; i++)
            assert_int_equal(k->blobs->verify(k->self, h, i, &k->err), 0);
        /* No blob crosses a segment; a segment is filled as far as its blobs allow. */
        for (i = 1; i < BLOBS; i++)
            if (locs[i] >> 32 != locs[i - 1] >> 32)
                assert_int_equal((uint32_t)locs[i], 0);
        k->blobs->close(k->self, h);
        kit_clear(k);
    }
}

static void test_blobs_roundtrip(void **state)
{
    (void)state;
    for_modes(blobs_roundtrip);
}

static int count_sink(void *arg, uint32_t i, const void *p, uint32_t n)
{
    (void)i;
    (void)p;
    *(uint64_t *)arg += n;
    return 0;
}

static int stop_sink(void *arg, uint32_t i, const void *p, uint32_t n)
{
    (void)p;
    (void)n;
    ++*(uint32_t *)arg;
    return i == 1 ? SX_ECANCELED : 0;
}

static void blobs_limits(struct kit *k)
{
    const uint32_t big = 64u << 20;
    char *p = calloc(1, big + 1);
    struct sx_str v[3] = {{p, 10, 0}, {p, 300000, 0}, {p, 20, 0}};
    struct sx_blobs_mark mark;
    sx_locator locs[3], bad;
    uint64_t sum = 0;
    uint32_t calls = 0;
    void *h;

    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
    /* A blob larger than a segment has one for itself. */
    assert_int_equal(k->blobs->put(k->self, h, v, 3, locs, &k->err), 0);
    assert_int_equal(locs[0], 0);
    assert_int_equal(locs[1], 1ull << 32);
    assert_int_equal(locs[2], 2ull << 32);
    v[0].n = big + 1;
    assert_int_equal(k->blobs->put(k->self, h, v, 1, locs, &k->err), SX_EINPUT);
    v[0].n = big;
    assert_int_equal(k->blobs->put(k->self, h, v, 1, locs, &k->err), 0);
    assert_int_equal(locs[0], 3ull << 32);
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, count_sink, &sum, &k->err), 0);
    assert_int_equal(sum, big + 300000 + 20);
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, stop_sink, &calls, &k->err), SX_ECANCELED);
    assert_int_equal(calls, 2);
    /* Locators that point outside. */
    bad = 9ull << 32;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, count_sink, &sum, &k->err), SX_ECORRUPT);
    bad = 2ull << 32 | 4;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, count_sink, &sum, &k->err), SX_ECORRUPT);
    bad = 2ull << 32 | UINT32_MAX;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, count_sink, &sum, &k->err), SX_ECORRUPT);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(k->blobs->verify(k->self, h, 3, &k->err), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, count_sink, &sum, &k->err), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, 1ull << 40, NULL, NULL, 0, &h), SX_EINPUT);
    free(p);
}

static void test_blobs_limits(void **state)
{
    (void)state;
    for_modes(blobs_limits);
}

static void blobs_every_mark(struct kit *k)
{
    struct sx_blobs_mark marks[30], again;
    sx_locator locs[BLOBS], more[BLOBS];
    struct kit other;
    uint32_t i, n = BLOBS / 30;
    void *h;

    kit_start(&other, k->mode);
    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
    for (i = 0; i < 30; i++) {
        assert_int_equal(kit_put(k, h, i * n, n, locs + i * n), 0);
        assert_int_equal(kit_blobs_flush(k, h, &marks[i]), 0);
    }
    k->blobs->close(k->self, h);
    for (i = 0; i < 30; i++) {
        uint32_t have = (i + 1) * n, s;

        kit_copy(&other, k);
        assert_int_equal(kit_blobs_open(&other, SEG, &marks[i], NULL, 0, &h), 0);
        kit_blobs_are(&other, h, locs, have);
        memcpy(more, locs, sizeof(more));
        assert_int_equal(kit_put(&other, h, have, BLOBS - have, more + have), 0);
        assert_memory_equal(more, locs, sizeof(more));
        assert_int_equal(kit_blobs_flush(&other, h, &again), 0);
        for (s = 0; s <= again.segment; s++)
            assert_int_equal(other.blobs->verify(other.self, h, s, &other.err), 0);
        other.blobs->close(other.self, h);
        assert_int_equal(kit_blobs_open(&other, SEG, &again, NULL, 0, &h), 0);
        kit_blobs_are(&other, h, locs, BLOBS);
        other.blobs->close(other.self, h);
    }
    kit_stop(&other);
}

static void test_blobs_every_mark(void **state)
{
    (void)state;
    for_modes(blobs_every_mark);
}

static void blobs_drop(struct kit *k)
{
    static const uint32_t absent[] = {0}, last[] = {0, 3};
    struct sx_blobs_mark mark;
    sx_locator locs[BLOBS], loc;
    uint64_t disk, ram, dead, room = 0;
    uint32_t i, first = 0;
    struct listed l = {0};
    void *h;

    assert_int_equal(kit_blobs_open(k, 80000, NULL, NULL, 0, &h), 0);
    assert_int_equal(kit_put(k, h, 0, BLOBS, locs), 0);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(mark.segment, 3);
    assert_true(atomic_load(&th.files) <= 2);
    while (locs[first] >> 32 == 0)
        first++;
    for (i = 0; i < first; i++) {
        k->blobs->dead(k->self, h, locs[i]);
        room += 8 + (kit_blob_len(i) + 7) / 8 * 8;
    }
    k->blobs->dead(k->self, h, locs[first]);
    k->blobs->stats(k->self, h, &disk, &ram, &dead);
    assert_int_equal(dead, room + 8 + (kit_blob_len(first) + 7) / 8 * 8);
    k->blobs->dead(k->self, h, 77ull << 32);
    assert_int_equal(k->blobs->drop(k->self, h, mark.segment, &k->err), SX_EPRECOND);
    assert_int_equal(k->blobs->drop(k->self, h, 9, &k->err), SX_ENOTFOUND);
    assert_int_equal(k->blobs->drop(k->self, h, 0, &k->err), 0);
    k->blobs->stats(k->self, h, &disk, &ram, &dead);
    assert_int_equal(dead, 8 + (kit_blob_len(first) + 7) / 8 * 8);
    assert_int_equal(kit_length(k, "p.00000000"), -1);
    loc = locs[0];
    assert_int_equal(k->blobs->get(k->self, h, &loc, 1, count_sink, &ram, &k->err), SX_ECORRUPT);
    k->blobs->files(k->self, h, list_sink, &l);
    assert_int_equal(l.n, 5);
    assert_string_equal(l.name[0], "p.00000001");
    assert_int_equal(l.bytes[0], kit_length(k, "p.00000001")); /* sealed: its exact length */
    assert_int_equal(l.bytes[1], 4096 + 2 * 4);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, 80000, &mark, NULL, 0, &h), SX_ECORRUPT);
    assert_int_equal(kit_blobs_open(k, 80000, &mark, absent, 1, &h), 0);
    k->blobs->close(k->self, h);
    /* The segment the mark ends in is gone as well: writing goes on in the next. */
    assert_int_equal(kit_blobs_open(k, 80000, &mark, last, 2, &h), 0);
    assert_int_equal(kit_put(k, h, 1, 1, &loc), 0);
    assert_int_equal(loc, 4ull << 32);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, 80000, &mark, last, 2, &h), 0);
    k->blobs->close(k->self, h);
}

static void test_blobs_drop(void **state)
{
    (void)state;
    for_modes(blobs_drop);
}

static void blobs_faults(struct kit *k)
{
    static const struct {
        uint32_t what;
        int code;
    } kinds[] = {{TH_PWRITE, SX_ENOSPACE}, {TH_ALLOCATE, SX_ENOSPACE}, {TH_OPEN, SX_EIO},
                 {TH_MAP, SX_ENOMEM},      {TH_MEM, SX_ENOMEM},        {TH_TRUNCATE, SX_EIO},
                 {TH_UNLINK, SX_EIO}};
    uint32_t start, kind, n, sticky;

    for (sticky = 0; sticky < 2; sticky++)
        for (start = 0; start <= 250; start += 125)
            for (kind = 0; kind < (sticky ? 2 : SX_COUNT(kinds)); kind++)
                for (n = 1;; n++) {
                    struct sx_blobs_mark mark;
                    sx_locator locs[BLOBS];
                    uint32_t have = start, hit, s;
                    void *h;
                    int rc;

                    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
                    if (have)
                        assert_int_equal(kit_put(k, h, 0, have, locs), 0);
                    locs[have] = 1234567;
                    th_fail(kinds[kind].what, (int32_t)n, kinds[kind].code, sticky);
                    rc = kit_put(k, h, have, 600, locs + have); /* crosses two segments */
                    hit = th_heal();
                    if (rc) {
                        assert_true(hit);
                        assert_int_equal(rc, kinds[kind].code);
                        assert_int_equal(locs[have], 1234567);
                    } else {
                        have += 600;
                    }
                    kit_blobs_are(k, h, locs, have);
                    assert_int_equal(kit_put(k, h, have, 1, locs + have), 0);
                    have++;
                    assert_int_equal(kit_put(k, h, have, BLOBS - have, locs + have), 0);
                    kit_blobs_are(k, h, locs, BLOBS);
                    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
                    for (s = 0; s <= mark.segment; s++)
                        assert_int_equal(k->blobs->verify(k->self, h, s, &k->err), 0);
                    k->blobs->close(k->self, h);
                    assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
                    kit_blobs_are(k, h, locs, BLOBS);
                    k->blobs->close(k->self, h);
                    kit_clear(k);
                    if (!hit)
                        break;
                }
}

static void test_blobs_faults(void **state)
{
    (void)state;
    for_modes(blobs_faults);
}

/* A failed put leaves checksums and data behind the end; a segment sealed before that point must
 * not keep them. */
static void blobs_seal_short(struct kit *k)
{
    char *p = malloc(200000);
    struct sx_str first = {p, 1000, 0}, one = {p, 1, 0}, big = {p, 200000, 0};
    struct sx_str two[2] = {{p, 90000, 0}, {p, 60000, 0}};
    struct sx_blobs_mark mark;
    sx_locator locs[4];
    uint8_t raw[16];
    uint64_t sum = 0;
    void *h;
    int fd;

    memset(p, 0xff, 200000);
    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
    assert_int_equal(k->blobs->put(k->self, h, &first, 1, locs, &k->err), 0);
    assert_int_equal(k->blobs->put(k->self, h, &one, 1, locs + 1, &k->err), 0);
    th_fail(TH_ALLOCATE, 2, SX_ENOSPACE,
            1); /* the first grows this segment, the second begins one */
    assert_int_equal(k->blobs->put(k->self, h, two, 2, locs + 2, &k->err), SX_ENOSPACE);
    assert_int_equal(th_heal(), 1);
    assert_true(kit_length(k, "p.00000000.crc") > 4096 + 4);
    assert_int_equal(k->blobs->put(k->self, h, &big, 1, locs + 2, &k->err), 0);
    assert_int_equal(k->blobs->put(k->self, h, &one, 1, locs + 3, &k->err), 0);
    assert_int_equal(kit_length(k, "p.00000000"), 4096 + 1008 + 16);
    assert_int_equal(kit_length(k, "p.00000000.crc"), 4096 + 4);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(k->blobs->verify(k->self, h, 0, &k->err), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
    assert_int_equal(k->blobs->get(k->self, h, locs, 4, count_sink, &sum, &k->err), 0);
    assert_int_equal(sum, 1000 + 1 + 200000 + 1);
    k->blobs->close(k->self, h);
    /* Padding is zeros, never what the buffer held before. */
    fd = openat(k->dir->fd, "p.00000000", O_RDONLY);
    assert_int_equal(pread(fd, raw, 16, 4096 + 1008), 16);
    (void)close(fd);
    assert_int_equal(raw[8], 0xff);
    assert_memory_equal(raw + 9, "\0\0\0\0\0\0\0", 7);
    free(p);
}

static void test_blobs_seal_short(void **state)
{
    (void)state;
    for_modes(blobs_seal_short);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_head),        cmocka_unit_test(test_load),
        cmocka_unit_test(test_rows_roundtrip),   cmocka_unit_test(test_rows_large),
        cmocka_unit_test(test_rows_bad_conf),    cmocka_unit_test(test_rows_cost),
        cmocka_unit_test(test_rows_descriptors), cmocka_unit_test(test_rows_every_mark),
        cmocka_unit_test(test_rows_drop),        cmocka_unit_test(test_rows_files),
        cmocka_unit_test(test_rows_flush_mark),  cmocka_unit_test(test_rows_faults),
        cmocka_unit_test(test_rows_nearly_full), cmocka_unit_test(test_rows_open_faults),
        cmocka_unit_test(test_rows_sync_fails),  cmocka_unit_test(test_blobs_roundtrip),
        cmocka_unit_test(test_blobs_limits),     cmocka_unit_test(test_blobs_every_mark),
        cmocka_unit_test(test_blobs_drop),       cmocka_unit_test(test_blobs_faults),
        cmocka_unit_test(test_blobs_seal_short),
    };

    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
