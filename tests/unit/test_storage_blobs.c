/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* Both storage modules, kind blobs: what is put is read back, now and after a start; segments,
 * marks, drops, locators that point nowhere. */
#include "storage_kit.h"

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
    kit_for_modes(blobs_roundtrip);
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
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, kit_count_sink, &sum, &k->err), 0);
    assert_int_equal(sum, big + 300000 + 20);
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, stop_sink, &calls, &k->err), SX_ECANCELED);
    assert_int_equal(calls, 2);
    /* Locators that point outside. */
    bad = 9ull << 32;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, kit_count_sink, &sum, &k->err),
                     SX_ECORRUPT);
    bad = 2ull << 32 | 4;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, kit_count_sink, &sum, &k->err),
                     SX_ECORRUPT);
    bad = 2ull << 32 | UINT32_MAX;
    assert_int_equal(k->blobs->get(k->self, h, &bad, 1, kit_count_sink, &sum, &k->err),
                     SX_ECORRUPT);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(k->blobs->verify(k->self, h, 3, &k->err), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, SEG, &mark, NULL, 0, &h), 0);
    assert_int_equal(k->blobs->get(k->self, h, locs, 3, kit_count_sink, &sum, &k->err), 0);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, 1ull << 40, NULL, NULL, 0, &h), SX_EINPUT);
    free(p);
}

static void test_blobs_limits(void **state)
{
    (void)state;
    kit_for_modes(blobs_limits);
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
    kit_for_modes(blobs_every_mark);
}

static void blobs_drop(struct kit *k)
{
    static const uint32_t absent[] = {0}, last[] = {0, 3};
    struct sx_blobs_mark mark;
    sx_locator locs[BLOBS], loc;
    uint64_t disk, ram, dead, room = 0;
    uint32_t i, first = 0;
    struct kit_listed l = {0};
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
    assert_int_equal(k->blobs->get(k->self, h, &loc, 1, kit_count_sink, &ram, &k->err),
                     SX_ECORRUPT);
    k->blobs->files(k->self, h, kit_list_sink, &l);
    assert_int_equal(l.n, 5);
    assert_string_equal(l.name[0], "p.00000001");
    assert_int_equal(l.bytes[0], kit_length(k, "p.00000001")); /* sealed: its exact length */
    assert_int_equal(l.bytes[1], 4096 + 2 * 4);
    k->blobs->close(k->self, h);
    assert_int_equal(kit_blobs_open(k, 80000, &mark, NULL, 0, &h), SX_ECORRUPT);
    assert_int_equal(kit_blobs_open(k, 80000, &mark, absent, 1, &h), 0);
    k->blobs->close(k->self, h);
    /* The segment the mark ends in is gone as well: writing goes on in the lowest free one. */
    assert_int_equal(kit_blobs_open(k, 80000, &mark, last, 2, &h), 0);
    assert_int_equal(kit_put(k, h, 1, 1, &loc), 0);
    assert_int_equal(loc, 0);
    assert_int_equal(kit_blobs_flush(k, h, &mark), 0);
    assert_int_equal(mark.segment, 0);
    k->blobs->close(k->self, h);
}

static void test_blobs_drop(void **state)
{
    (void)state;
    kit_for_modes(blobs_drop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blobs_roundtrip),
        cmocka_unit_test(test_blobs_limits),
        cmocka_unit_test(test_blobs_every_mark),
        cmocka_unit_test(test_blobs_drop),
    };

    return cmocka_run_group_tests_name("storage blobs", tests, NULL, NULL);
}
