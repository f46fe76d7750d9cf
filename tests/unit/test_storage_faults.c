/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* Full disks, short memory, failing calls: each call of an operation fails in turn, and the store
 * is as it was before, works afterwards and survives a start. A failed sync is final. */
#include "storage_kit.h"

#define ROW   12u
#define SEG   100000u
#define BLOBS 900u

static const struct sx_store_mark none;

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
    kit_for_modes(rows_faults);
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
    kit_for_modes(rows_nearly_full);
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
    kit_for_modes(rows_open_faults);
}

/* A sync that failed once is never tried again: what is on disk is the last good mark. */
static void rows_sync_fails(struct kit *k)
{
    static const uint32_t kinds[] = {TH_SYNC, TH_DIR_SYNC};
    uint32_t kind, n;

    for (kind = 0; kind < 2; kind++)
        for (n = 1;; n++) {
            struct sx_store_mark good, mark = {0};
            struct kit_listed l = {0};
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
                k->rows->files(k->self, h, kit_list_sink, &l);
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
    kit_for_modes(rows_sync_fails);
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
    kit_for_modes(blobs_faults);
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
    assert_int_equal(k->blobs->get(k->self, h, locs, 4, kit_count_sink, &sum, &k->err), 0);
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
    kit_for_modes(blobs_seal_short);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_faults),      cmocka_unit_test(test_rows_nearly_full),
        cmocka_unit_test(test_rows_open_faults), cmocka_unit_test(test_rows_sync_fails),
        cmocka_unit_test(test_blobs_faults),     cmocka_unit_test(test_blobs_seal_short),
    };

    return cmocka_run_group_tests_name("storage faults", tests, NULL, NULL);
}
