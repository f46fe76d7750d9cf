/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* What a power cut, a bad disk or a careless hand does to the files of a store.
 *
 * Beyond the durable mark anything may have happened: open cuts it off and the store is as it was
 * at the mark. At or below it every missing or changed byte must be reported, with file and offset,
 * by open or by verify; nothing may crash, and nothing may be changed on the way to the report. */
#include "storage_kit.h"

#define ROW 12u
#define SEG 70000u

static const struct sx_store_mark none;

static void for_modes(void (*fn)(struct kit *k, struct kit *other))
{
    struct kit k, other;
    int mode;

    for (mode = 0; mode < KIT_MODES; mode++) {
        kit_start(&k, mode);
        kit_start(&other, mode);
        fn(&k, &other);
        kit_stop(&k);
        kit_stop(&other);
    }
}

/* --- beyond the mark --- */

/* A store of rows with a mark in the second chunk and unsynced data behind it. */
static void make_rows(struct kit *k, uint32_t durable, uint32_t more, struct sx_store_mark *mark)
{
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, &none, &h), 0);
    assert_int_equal(kit_append(k, h, ROW, 0, durable), 0);
    assert_int_equal(kit_rows_flush(k, h, mark), 0);
    if (more)
        assert_int_equal(kit_append(k, h, ROW, durable, more), 0);
    k->rows->close(k->self, h);
}

static void rows_survive(struct kit *k, const struct sx_store_mark *mark)
{
    struct sx_store_mark again;
    void *h;

    assert_int_equal(kit_rows_open(k, ROW, mark, &h), 0);
    kit_rows_are(k, h, ROW, mark->count);
    assert_int_equal(kit_append(k, h, ROW, mark->count, 9000), 0);
    kit_rows_are(k, h, ROW, mark->count + 9000);
    assert_int_equal(kit_rows_flush(k, h, &again), 0);
    assert_int_equal(k->rows->verify(k->self, h, 0, &k->err), 0);
    assert_int_equal(k->rows->verify(k->self, h, 1, &k->err), 0);
    k->rows->close(k->self, h);
    assert_int_equal(kit_rows_open(k, ROW, &again, &h), 0);
    kit_rows_are(k, h, ROW, mark->count + 9000);
    k->rows->close(k->self, h);
}

static void rows_unsynced(struct kit *k, struct kit *other)
{
    const int64_t end = 4096 + 6000 * ROW;
    const int64_t cuts[] = {end, end + 1, end + 511, end + 4096, 131072 - 1};
    struct sx_store_mark mark;
    uint32_t i;

    make_rows(k, 65536 + 6000, 70000, &mark);
    /* The file shrank to any length down to the mark, or to the mark and noise. */
    for (i = 0; i < SX_COUNT(cuts); i++) {
        kit_copy(other, k);
        kit_truncate(other, "v.00000001", cuts[i]);
        rows_survive(other, &mark);
    }
    /* Lengths came through, contents did not: zeros, noise, old checksums, a file without head. */
    kit_copy(other, k);
    kit_truncate(other, "v.00000001", end);
    kit_truncate(other, "v.00000001", 4096 + 65536 * ROW);
    kit_truncate(other, "v.00000001.crc", 4096 + 4);
    kit_truncate(other, "v.00000001.crc", 4096 + 9);
    rows_survive(other, &mark);
    kit_copy(other, k);
    kit_noise(other, "v.00000001", end, end + 100000);
    kit_noise(other, "v.00000001.crc", 4096 + 4, 4096 + 400);
    kit_noise(other, "v.00000002", 0, 70000);
    rows_survive(other, &mark);
    kit_copy(other, k);
    kit_truncate(other, "v.00000002", 0);
    rows_survive(other, &mark);
}

static void test_rows_unsynced(void **state)
{
    (void)state;
    for_modes(rows_unsynced);
}

/* Files of other stores in the same directory are nobody's strays. */
static void rows_strays(struct kit *k, struct kit *other)
{
    static const char *const keep[] = {"v.0000000g", "v.000000010", "w.00000001",  "v.00000005.bak",
                                       "v.0000000A", "v.crc",       "vv.00000001", "v."};
    static const char *const gone[] = {"v.00000002", "v.00000002.crc", "v.ffffffff",
                                       "v.0badcafe.crc"};
    struct sx_store_mark mark;
    char name[32];
    uint32_t i;
    void *h;
    int fd;

    (void)other;
    make_rows(k, 65536 + 6000, 0, &mark);
    for (i = 0; i < SX_COUNT(keep) + SX_COUNT(gone) + 200; i++) {
        const char *n = name;

        (void)snprintf(name, sizeof(name), "v.%08x", 0x100 + i);
        if (i < SX_COUNT(keep))
            n = keep[i];
        else if (i < SX_COUNT(keep) + SX_COUNT(gone))
            n = gone[i - SX_COUNT(keep)];
        fd = openat(k->dir->fd, n, O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    assert_int_equal(kit_rows_open(k, ROW, &mark, &h), 0);
    kit_rows_are(k, h, ROW, mark.count);
    k->rows->close(k->self, h);
    for (i = 0; i < SX_COUNT(keep); i++)
        assert_int_equal(kit_length(k, keep[i]), 0);
    for (i = 0; i < SX_COUNT(gone); i++)
        assert_int_equal(kit_length(k, gone[i]), -1);
    for (i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "v.%08x", 0x100 + 20 + i);
        assert_int_equal(kit_length(k, name), -1);
    }
}

static void test_rows_strays(void **state)
{
    (void)state;
    for_modes(rows_strays);
}

/* --- below the mark: lengths --- */

static void rows_cut(struct kit *k, struct kit *other)
{
    const int64_t end = 4096 + 6000 * ROW, side = 4096 + 4;
    struct sx_store_mark mark;
    int64_t n;
    void *h;

    make_rows(k, 65536 + 6000, 0, &mark);
    kit_copy(other, k);
    for (n = end - 1; n >= 0; n = n > end - 600 ? n - 1 : n > 4200 ? n - 977 : n - 13) {
        kit_truncate(other, "v.00000001", n);
        kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000001");
        assert_int_equal(kit_length(other, "v.00000001"), n);
    }
    assert_int_equal(unlinkat(other->dir->fd, "v.00000001", 0), 0);
    kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000001");

    kit_copy(other, k);
    for (n = side - 1; n >= 0; n -= n > 4000 ? 1 : 191) {
        kit_truncate(other, "v.00000001.crc", n);
        kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000001.crc");
    }
    assert_int_equal(unlinkat(other->dir->fd, "v.00000001.crc", 0), 0);
    kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000001.crc");

    /* The first, full chunk. */
    kit_copy(other, k);
    kit_truncate(other, "v.00000000", 4096 + 65536 * ROW - 1);
    kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000000");
    kit_copy(other, k);
    kit_truncate(other, "v.00000000.crc", 4096 + ROW * 4 - 1);
    kit_assert_corrupt(other, kit_rows_open(other, ROW, &mark, &h), "v.00000000.crc");
}

static void test_rows_cut(void **state)
{
    (void)state;
    for_modes(rows_cut);
}

/* --- below the mark: contents --- */

/* Opens and verifies chunk by chunk; the first complaint. */
static int rows_look(struct kit *k, const struct sx_store_mark *mark)
{
    uint32_t c, end = (uint32_t)((mark->count + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
    void *h;
    int rc = kit_rows_open(k, ROW, mark, &h);

    if (rc)
        return rc;
    for (c = 0; c < end && !rc; c++)
        rc = k->rows->verify(k->self, h, c, &k->err);
    k->rows->close(k->self, h);
    return rc;
}

static void rows_flips(struct kit *k, struct kit *other)
{
    static const struct {
        const char *file;
        int64_t from, to, step;
        int at_open; /* mmap too finds it at open */
    } spots[] = {
        {"v.00000000", 0, 60, 1, 1},
        {"v.00000000", 60, 4096, 997, 1},
        {"v.00000000", 4096, 4096 + 65536 * ROW, 61441, 0},
        {"v.00000000", 4096 + 65536 * ROW - 3, 4096 + 65536 * ROW, 1, 0},
        {"v.00000001", 0, 60, 7, 1},
        {"v.00000001", 4096, 4096 + 65536, 9001, 0},
        {"v.00000001", 4096 + 65536, 4096 + 6000 * ROW, 61, 1},
        {"v.00000001", 4096 + 6000 * ROW - 3, 4096 + 6000 * ROW, 1, 1},
        {"v.00000000.crc", 0, 60, 7, 1},
        {"v.00000000.crc", 4096, 4096 + ROW * 4, 5, 0},
        {"v.00000001.crc", 4096, 4100, 1, 0},
    };
    struct sx_store_mark mark;
    uint32_t i;
    int64_t at;
    void *h;

    make_rows(k, 65536 + 6000, 0, &mark);
    kit_copy(other, k);
    assert_int_equal(rows_look(other, &mark), 0);
    for (i = 0; i < SX_COUNT(spots); i++)
        for (at = spots[i].from; at < spots[i].to; at += spots[i].step) {
            /* A damaged checksum shows as a mismatch of the data file. */
            const char *file = at < 4096                    ? spots[i].file
                               : strstr(spots[i].file, "1") ? "v.00000001"
                                                            : "v.00000000";
            int rc;

            kit_poke(other, spots[i].file, at, (uint8_t)(1u << at % 8));
            if (spots[i].at_open || other->mode != KIT_MMAP) {
                rc = kit_rows_open(other, ROW, &mark, &h);
            } else {
                rc = rows_look(other, &mark);
                assert_int_equal(kit_rows_open(other, ROW, &mark, &h), 0);
                other->rows->close(other->self, h);
            }
            kit_assert_corrupt(other, rc, file);
            kit_poke(other, spots[i].file, at, (uint8_t)(1u << at % 8));
        }
    assert_int_equal(rows_look(other, &mark), 0);
}

static void test_rows_flips(void **state)
{
    (void)state;
    for_modes(rows_flips);
}

/* Whole files in the wrong place: another chunk, collection, generation, kind or width. */
static void rows_foreign(struct kit *k, struct kit *other)
{
    struct sx_rows_conf conf = {.size = (uint32_t)sizeof(conf), .row_size = ROW, .id = kit_id}, c;
    struct sx_store_mark mark, wrong;
    void *h;
#define FOREIGN()                                                                                  \
    kit_assert_corrupt(                                                                            \
        other, other->rows->open(other->self, other->io, other->dir, "v", &c, &h, &other->err),    \
        "v.0")

    make_rows(k, 2 * 65536 + 5, 0, &mark);
    kit_copy(other, k);
    conf.known = mark;
    c = conf, c.id.shard++;
    FOREIGN();
    c = conf, c.id.uuid[15]++;
    FOREIGN();
    c = conf, c.id.generation++;
    FOREIGN();
    c = conf, c.row_size = 6;
    FOREIGN();
    c = conf;
    assert_int_equal(renameat(other->dir->fd, "v.00000001", other->dir->fd, "v.00000000"), 0);
    FOREIGN();
    kit_copy(other, k);
    assert_int_equal(renameat(other->dir->fd, "v.00000000.crc", other->dir->fd, "v.00000000"), 0);
    FOREIGN();
    /* A mark that does not fit the files. */
    kit_copy(other, k);
    wrong = mark;
    wrong.tail_crc ^= 1;
    c.known = wrong;
    FOREIGN();
    c = conf, c.known.count -= 1;
    FOREIGN();
    c = conf, c.known.count += 60000;
    FOREIGN();
#undef FOREIGN
}

static void test_rows_foreign(void **state)
{
    (void)state;
    for_modes(rows_foreign);
}

/* --- blobs --- */

static void make_blobs(struct kit *k, uint32_t n, struct sx_blobs_mark *mark, sx_locator *locs)
{
    void *h;

    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
    assert_int_equal(kit_put(k, h, 0, n, locs), 0);
    assert_int_equal(kit_blobs_flush(k, h, mark), 0);
    k->blobs->close(k->self, h);
}

static int nothing_sink(void *arg, uint32_t i, const void *p, uint32_t n)
{
    const uint8_t *b = p;
    uint32_t j, sum = i;

    for (j = 0; j < n; j++)
        sum += b[j];
    *(uint32_t *)arg += sum;
    return 0;
}

static int
blobs_look(struct kit *k, const struct sx_blobs_mark *mark, const sx_locator *locs, uint32_t n)
{
    uint32_t s, sum = 0;
    void *h;
    int rc = kit_blobs_open(k, SEG, mark, NULL, 0, &h), got;

    if (rc)
        return rc;
    for (s = 0; s <= mark->segment && !rc; s++)
        rc = k->blobs->verify(k->self, h, s, &k->err);
    /* Reading damaged blobs may give anything but bytes from outside. */
    got = k->blobs->get(k->self, h, locs, n, nothing_sink, &sum, NULL);
    assert_true(got == 0 || got == SX_ECORRUPT);
    k->blobs->close(k->self, h);
    return rc;
}

/* Every byte of a small segment, head page's padding sampled. */
static void blobs_flips(struct kit *k, struct kit *other)
{
    struct sx_blobs_mark mark;
    sx_locator locs[300];
    int64_t at;

    make_blobs(k, 12, &mark, locs);
    kit_copy(other, k);
    assert_int_equal(blobs_look(other, &mark, locs, 12), 0);
    for (at = 0; at < 4096 + (int64_t)mark.bytes; at += at >= 60 && at < 4000 ? 53 : 1) {
        kit_poke(other, "p.00000000", at, (uint8_t)(1u << at % 8));
        kit_assert_corrupt(other, blobs_look(other, &mark, locs, 12), "p.00000000");
        kit_poke(other, "p.00000000", at, (uint8_t)(1u << at % 8));
    }
    kit_clear(k);

    /* Two segments: the first is sealed; heads of its blobs, its checksums. */
    make_blobs(k, 300, &mark, locs);
    assert_int_equal(mark.segment, 1);
    kit_copy(other, k);
    assert_int_equal(blobs_look(other, &mark, locs, 300), 0);
    for (at = 0; at < 200; at++) {
        int64_t byte = 4096 + (int64_t)(uint32_t)locs[at] * 8 + at % 8;

        assert_int_equal(locs[at] >> 32, 0);
        kit_poke(other, "p.00000000", byte, 0x80);
        kit_assert_corrupt(other, blobs_look(other, &mark, locs, 300), "p.00000000");
        kit_poke(other, "p.00000000", byte, 0x80);
    }
    for (at = 4096; at < kit_length(other, "p.00000000.crc"); at++) {
        kit_poke(other, "p.00000000.crc", at, 2);
        kit_assert_corrupt(other, blobs_look(other, &mark, locs, 300), "p.00000000");
        kit_poke(other, "p.00000000.crc", at, 2);
    }
    assert_int_equal(blobs_look(other, &mark, locs, 300), 0);
}

static void test_blobs_flips(void **state)
{
    (void)state;
    for_modes(blobs_flips);
}

static void blobs_cut(struct kit *k, struct kit *other)
{
    struct sx_blobs_mark mark;
    sx_locator locs[300];
    int64_t n;
    void *h;

    make_blobs(k, 300, &mark, locs);
    kit_copy(other, k);
    for (n = 4096 + (int64_t)mark.bytes - 1; n >= 0;
         n -= n > 4096 + (int64_t)mark.bytes - 200 ? 1 : 607) {
        kit_truncate(other, "p.00000001", n);
        kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000001");
    }
    /* A sealed segment says its length itself; its checksums say whether that can be. */
    kit_copy(other, k);
    for (n = kit_length(k, "p.00000000") - 1; n >= 0; n -= n > 66000 && n < 69500 ? 997
                                                           : n > 69500            ? 1
                                                                                  : 1024) {
        kit_truncate(other, "p.00000000", n);
        kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000000");
    }
    kit_copy(other, k);
    kit_noise(other, "p.00000000", kit_length(k, "p.00000000"), kit_length(k, "p.00000000") + 8);
    kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000000");
    kit_copy(other, k);
    for (n = kit_length(k, "p.00000000.crc") - 1; n >= 0; n -= n > 4090 ? 1 : 400) {
        kit_truncate(other, "p.00000000.crc", n);
        kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000000");
    }
    assert_int_equal(unlinkat(other->dir->fd, "p.00000000.crc", 0), 0);
    kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000000.crc");
    kit_copy(other, k);
    assert_int_equal(unlinkat(other->dir->fd, "p.00000000", 0), 0);
    kit_assert_corrupt(other, kit_blobs_open(other, SEG, &mark, NULL, 0, &h), "p.00000000");
}

static void test_blobs_cut(void **state)
{
    (void)state;
    for_modes(blobs_cut);
}

/* A mark inside a segment that was sealed, torn and followed by others before the power went. */
static void blobs_unsynced(struct kit *k, struct kit *other)
{
    struct sx_blobs_mark mark, again;
    sx_locator locs[600], more[600];
    uint32_t i, s;
    void *h;

    assert_int_equal(kit_blobs_open(k, SEG, NULL, NULL, 0, &h), 0);
    assert_int_equal(kit_put(k, h, 0, 200, locs), 0);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(mark.segment, 0);
    assert_int_equal(kit_put(k, h, 200, 400, locs + 200), 0);
    k->blobs->close(k->self, h);
    for (i = 0; i < 4; i++) {
        int64_t end = 4096 + (int64_t)mark.bytes;

        kit_copy(other, k);
        if (i == 1)
            kit_noise(other, "p.00000000", end, end + 9000);
        if (i == 2) {
            kit_truncate(other, "p.00000000", end + 3);
            kit_noise(other, "p.00000000.crc", 4096, 5000);
            kit_noise(other, "p.00000001", 0, 5000);
        }
        if (i == 3) {
            kit_truncate(other, "p.00000000", end);
            kit_truncate(other, "p.00000001", 100);
            assert_int_equal(unlinkat(other->dir->fd, "p.00000000.crc", 0), 0);
        }
        assert_int_equal(kit_blobs_open(other, SEG, &mark, NULL, 0, &h), 0);
        assert_int_equal(kit_length(other, "p.00000001"), -1);
        kit_blobs_are(other, h, locs, 200);
        assert_int_equal(
            other->blobs->get(other->self, h, locs + 200, 1, nothing_sink, &s, &other->err),
            SX_ECORRUPT);
        assert_int_equal(kit_put(other, h, 200, 400, more + 200), 0);
        assert_memory_equal(more + 200, locs + 200, 400 * sizeof(locs[0]));
        assert_int_equal(kit_blobs_flush(other, h, &again), 0);
        other->blobs->close(other->self, h);
        assert_int_equal(blobs_look(other, &again, locs, 600), 0);
    }
}

static void test_blobs_unsynced(void **state)
{
    (void)state;
    for_modes(blobs_unsynced);
}

/* Blocks that agree with their checksums, a blob that does not: damaged before it was written. */
static void blobs_walk(struct kit *k, struct kit *other)
{
    struct sx_blobs_mark mark, fixed;
    sx_locator locs[12];
    uint8_t data[8192];
    uint32_t i;
    int fd;

    make_blobs(k, 12, &mark, locs);
    assert_true(mark.bytes <= sizeof(data));
    for (i = 0; i < mark.bytes; i += 5) {
        kit_copy(other, k);
        kit_poke(other, "p.00000000", 4096 + i, 0x10);
        fd = openat(other->dir->fd, "p.00000000", O_RDONLY);
        assert_int_equal(pread(fd, data, mark.bytes, 4096), mark.bytes);
        (void)close(fd);
        fixed = mark;
        fixed.tail_crc = sx_crc32c(0, data, mark.bytes);
        if (blobs_look(other, &fixed, locs, 12) == 0) {
            uint32_t j, pad = 0; /* only padding may differ unseen */

            for (j = 0; j < 12; j++) {
                uint32_t at = (uint32_t)locs[j] * 8 + 8 + kit_blob_len(j);

                pad |= i >= at && i < (at + 7) / 8 * 8;
            }
            assert_true(pad);
        } else {
            kit_assert_corrupt(other, SX_ECORRUPT, "p.00000000");
        }
    }
}

static void test_blobs_walk(void **state)
{
    (void)state;
    for_modes(blobs_walk);
}

/* A length that changes under an open store (a page read again from a bad disk). */
static void blobs_length(struct kit *k, struct kit *other)
{
    struct sx_blobs_mark mark;
    sx_locator locs[300];
    uint32_t sum = 0;
    void *h;

    (void)other;
    make_blobs(k, 300, &mark, locs);
    assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
    kit_poke(k, "p.00000000", 4096 + (int64_t)(uint32_t)locs[5] * 8 + 3, 0xff);
    if (k->mode == KIT_MMAP)
        kit_assert_corrupt(k, k->blobs->get(k->self, h, locs + 5, 1, nothing_sink, &sum, &k->err),
                           "p.00000000");
    kit_assert_corrupt(k, k->blobs->verify(k->self, h, 0, &k->err), "p.00000000");
    k->blobs->close(k->self, h);
}

static void test_blobs_length(void **state)
{
    (void)state;
    for_modes(blobs_length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_unsynced), cmocka_unit_test(test_rows_strays),
        cmocka_unit_test(test_rows_cut),      cmocka_unit_test(test_rows_flips),
        cmocka_unit_test(test_rows_foreign),  cmocka_unit_test(test_blobs_flips),
        cmocka_unit_test(test_blobs_cut),     cmocka_unit_test(test_blobs_unsynced),
        cmocka_unit_test(test_blobs_walk),    cmocka_unit_test(test_blobs_length),
    };

    return cmocka_run_group_tests_name("storage damage", tests, NULL, NULL);
}
