/* needs: plugins/storage-mmap/p*.c plugins/storage-ram/p*.c plugins/storage-common/[a-z]*.c */
/* One writer, readers that never wait for it, flushes in between: for the thread sanitizer as much
 * as for the asserts. A reader may use every row below the count the writer has published, whatever
 * chunk was dropped meanwhile. */
#include <sched.h>

#include "storage_kit.h"

#define ROW     8u
#define TOTAL   (5u * 65536u + 1000u)
#define READERS 3
#define BLOBS   6000u

struct shared {
    struct kit *k;
    void *h;
    _Atomic uint32_t published, stop, bad;
    _Atomic uint64_t reads;
    sx_locator *locs;
};

static void *row_reader(void *arg)
{
    struct shared *s = arg;
    uint32_t x = (uint32_t)(uintptr_t)&x;
    uint8_t out[4 * ROW];

    while (!atomic_load(&s->stop)) {
        uint32_t n = atomic_load_explicit(&s->published, memory_order_acquire), i, ids[4];
        struct sx_rows v;

        if (n < 8) {
            sched_yield();
            continue;
        }
        th_enter();
        s->k->rows->rows(s->k->self, s->h, &v);
        if (v.n < n)
            atomic_fetch_add(&s->bad, 1);
        for (i = 0; i < 64; i++) {
            uint32_t r = (x = x * 1664525 + 1013904223) % n;

            if (i < 4)
                r = ids[i] = n - 1 - i;
            if (v.chunks[r >> v.shift] && !kit_row_is(sx_rows_at(&v, r), ROW, r))
                atomic_fetch_add(&s->bad, 1);
        }
        th_leave();
        if (s->k->rows->gather(s->k->self, s->h, ids, 4, out, NULL) == 0 &&
            !kit_row_is(out, ROW, ids[0]))
            atomic_fetch_add(&s->bad, 1);
        s->k->rows->advise(s->k->self, s->h, ids, 4);
        atomic_fetch_add(&s->reads, 1);
    }
    return NULL;
}

static void ignore_file(void *arg, const char *file, uint64_t bytes)
{
    (void)file;
    *(uint64_t *)arg += bytes;
}

/* What background work does beside the writer. */
static void *row_checker(void *arg)
{
    struct shared *s = arg;
    uint64_t disk, ram, sum = 0;
    uint32_t c = 0;

    while (!atomic_load(&s->stop)) {
        int rc = s->k->rows->verify(s->k->self, s->h, c++ % 6, NULL);

        if (rc && rc != SX_ENOTFOUND)
            atomic_fetch_add(&s->bad, 1);
        s->k->rows->files(s->k->self, s->h, ignore_file, &sum);
        s->k->rows->stats(s->k->self, s->h, &disk, &ram);
        th_poll();
    }
    return NULL;
}

static void rows_together(int mode)
{
    struct sx_store_mark mark = {0};
    struct shared s = {0};
    pthread_t id[READERS + 1];
    uint32_t n = 0, i, step = 1, flushing = 0, dropped = 0;
    struct kit_flush f;
    struct kit k;

    kit_start(&k, mode);
    s.k = &k;
    assert_int_equal(kit_rows_open(&k, ROW, &mark, &s.h), 0);
    for (i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&id[i], NULL, row_reader, &s), 0);
    assert_int_equal(pthread_create(&id[READERS], NULL, row_checker, &s), 0);
    while (n < TOTAL) {
        uint32_t run = step < TOTAL - n ? step : TOTAL - n;

        assert_int_equal(kit_append(&k, s.h, ROW, n, run), 0);
        n += run;
        atomic_store_explicit(&s.published, n, memory_order_release);
        step = step * 7 % 2999 + 1;
        if (flushing) {
            pthread_mutex_lock(&f.lock);
            i = (uint32_t)f.done;
            pthread_mutex_unlock(&f.lock);
            if (i) {
                assert_int_equal(kit_flush_wait(&f), 0);
                mark = f.mark;
                flushing = 0;
            }
        }
        if (!flushing) {
            kit_flush_init(&f);
            k.rows->flush(k.self, s.h, kit_rows_done, &f);
            flushing = 1;
        }
        if (dropped < 2 && n > (dropped + 3) * 65536u)
            assert_int_equal(k.rows->drop(k.self, s.h, ++dropped, &k.err), 0);
    }
    if (flushing)
        assert_int_equal(kit_flush_wait(&f), 0);
    while (atomic_load(&s.reads) < 50)
        sched_yield();
    atomic_store(&s.stop, 1);
    for (i = 0; i <= READERS; i++)
        assert_int_equal(pthread_join(id[i], NULL), 0);
    assert_int_equal(atomic_load(&s.bad), 0);
    assert_int_equal(kit_rows_flush(&k, s.h, &mark), 0);
    assert_int_equal(mark.count, TOTAL);
    kit_rows_are(&k, s.h, ROW, TOTAL);
    k.rows->close(k.self, s.h);
    kit_stop(&k);
}

static void test_rows_together(void **state)
{
    int mode;

    (void)state;
    for (mode = 0; mode < KIT_MODES; mode++)
        rows_together(mode);
}

static void *blob_reader(void *arg)
{
    struct shared *s = arg;
    uint32_t x = (uint32_t)(uintptr_t)&x;

    while (!atomic_load(&s->stop)) {
        uint32_t n = atomic_load_explicit(&s->published, memory_order_acquire);
        struct kit_seen seen = {0};

        if (n < 8) {
            sched_yield();
            continue;
        }
        seen.first = (x = x * 1664525 + 1013904223) % (n - 7);
        if (s->k->blobs->get(s->k->self, s->h, s->locs + seen.first, 8, kit_blob_sink, &seen,
                             NULL) ||
            seen.bad)
            atomic_fetch_add(&s->bad, 1);
        if (x % 64 == 0) {
            uint64_t disk, ram, dead;
            int rc = s->k->blobs->verify(s->k->self, s->h, x / 64 % 4, NULL);

            if (rc && rc != SX_ENOTFOUND)
                atomic_fetch_add(&s->bad, 1);
            s->k->blobs->files(s->k->self, s->h, ignore_file, &disk);
            s->k->blobs->stats(s->k->self, s->h, &disk, &ram, &dead);
        }
        atomic_fetch_add(&s->reads, 1);
    }
    return NULL;
}

static void blobs_together(int mode)
{
    struct sx_blobs_mark mark;
    struct shared s = {0};
    pthread_t id[READERS];
    uint32_t n = 0, i, step = 1;
    struct kit k;

    kit_start(&k, mode);
    s.k = &k;
    s.locs = calloc(BLOBS, sizeof(*s.locs));
    assert_int_equal(kit_blobs_open(&k, 300000, NULL, NULL, 0, &s.h), 0);
    for (i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&id[i], NULL, blob_reader, &s), 0);
    while (n < BLOBS) {
        uint32_t run = step < BLOBS - n ? step : BLOBS - n;
        struct kit_flush f;

        kit_flush_init(&f);
        k.blobs->flush(k.self, s.h, kit_blobs_done, &f);
        assert_int_equal(kit_put(&k, s.h, n, run, s.locs + n), 0);
        if (n)
            k.blobs->dead(k.self, s.h, s.locs[n - 1]);
        n += run;
        atomic_store_explicit(&s.published, n, memory_order_release);
        step = step * 7 % 199 + 1;
        assert_int_equal(kit_flush_wait(&f), 0);
    }
    while (atomic_load(&s.reads) < 50)
        sched_yield();
    atomic_store(&s.stop, 1);
    for (i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(id[i], NULL), 0);
    assert_int_equal(atomic_load(&s.bad), 0);
    assert_int_equal(kit_blobs_flush(&k, s.h, &mark), 0);
    for (i = 0; i <= mark.segment; i++)
        assert_int_equal(k.blobs->verify(k.self, s.h, i, &k.err), 0);
    k.blobs->close(k.self, s.h);
    free(s.locs);
    kit_stop(&k);
}

static void test_blobs_together(void **state)
{
    int mode;

    (void)state;
    for (mode = 0; mode < KIT_MODES; mode++)
        blobs_together(mode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_together),
        cmocka_unit_test(test_blobs_together),
    };

    return cmocka_run_group_tests_name("storage threads", tests, NULL, NULL);
}
