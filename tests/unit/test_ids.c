/* External ids against a naive model: finding, order, seeking, growing, merging, short memory, and
 * readers beside the writer. */
/* needs: plugins/engine/ids*.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "../../plugins/engine/ids_priv.h"

static uint64_t rnd(uint64_t *s)
{
    uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* --- memory and epochs ------------------------------------------------------------------- */

static int64_t memory_left = -1; /* allocations until one fails; -1 = never */
static _Atomic int64_t n_live;

static int memory_short(void)
{
    return memory_left >= 0 && (memory_left == 0 || memory_left-- == 0);
}

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (memory_short())
        return NULL;
    atomic_fetch_add(&n_live, 1);
    return malloc(n);
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = mem_alloc(self, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    atomic_fetch_sub(&n_live, 1);
    free(p);
}

static void mem_unmap(const struct sx_mem *self, void *p, uint64_t n SX_UNUSED)
{
    mem_release(self, p);
}

static const struct sx_mem mem = {.size = sizeof(mem),
                                  .alloc = mem_alloc,
                                  .zalloc = mem_zalloc,
                                  .release = mem_release,
                                  .map = mem_zalloc,
                                  .unmap = mem_unmap};

#define MAX_READERS 4

/* A reader's slot holds the time of its enter(), 0 outside. What was retired at time t is freed
 * when no slot holds t or less. */
static _Atomic uint64_t epoch_now = 1, epoch_slot[MAX_READERS];
static struct retired {
    struct retired *next;
    uint64_t at;
    void (*fn)(void *arg);
    void *arg;
} * retired;

static void epoch_enter(uint32_t slot)
{
    uint64_t t;

    do {
        t = atomic_load(&epoch_now);
        atomic_store(&epoch_slot[slot], t);
    } while (atomic_load(&epoch_now) != t);
}

static void epoch_leave(uint32_t slot)
{
    atomic_store(&epoch_slot[slot], 0);
}

static void epoch_free(void)
{
    uint64_t oldest = UINT64_MAX;
    struct retired **p = &retired;

    for (uint32_t i = 0; i < MAX_READERS; i++) {
        uint64_t t = atomic_load(&epoch_slot[i]);

        if (t != 0 && t < oldest)
            oldest = t;
    }
    while (*p != NULL) {
        struct retired *r = *p;

        if (r->at >= oldest) {
            p = &r->next;
            continue;
        }
        *p = r->next;
        r->fn(r->arg);
        free(r);
    }
}

/* Only the writer retires. */
static void epoch_retire(void (*fn)(void *arg), void *arg)
{
    struct retired *r = malloc(sizeof(*r));

    *r = (struct retired){retired, atomic_fetch_add(&epoch_now, 1), fn, arg};
    retired = r;
    epoch_free();
}

static const struct sx_epoch epoch = {.size = sizeof(epoch), .retire = epoch_retire};

/* --- rows and the model ------------------------------------------------------------------ */

#define MAX_ROWS 1300000u

static struct sx_id *rows; /* the id of every row */
static uint32_t n_rows;
static uint32_t *newest; /* model: per distinct id, in the order of first puts, its newest row */
static uint32_t n_distinct;

static void (*in_row_id)(void); /* called once, from the next row_id() */

static const struct sx_id *row_id(void *ctx SX_UNUSED, uint32_t row, struct sx_id *tmp)
{
    void (*fn)(void) = in_row_id;

    assert_true(row < MAX_ROWS);
    if (fn != NULL) {
        in_row_id = NULL;
        fn();
    }
    if (row % 2 == 0)
        return &rows[row];
    *tmp = rows[row];
    return tmp;
}

static int setup(void **state SX_UNUSED)
{
    rows = calloc(MAX_ROWS, sizeof(*rows));
    newest = calloc(MAX_ROWS, sizeof(*newest));
    return 0;
}

static int teardown(void **state SX_UNUSED)
{
    free(rows);
    free(newest);
    return 0;
}

static struct eng_ids *ids_new(void)
{
    struct eng_ids *m = NULL;

    n_rows = n_distinct = 0;
    assert_int_equal(eng_ids_create(&mem, &epoch, row_id, NULL, &m), 0);
    return m;
}

static void ids_end(struct eng_ids *m)
{
    eng_ids_destroy(m);
    epoch_free();
    assert_null(retired);
    assert_int_equal(n_live, 0);
}

enum { ASCENDING, SCATTERED, UUIDS, MIXED };

static struct sx_id id_make(int kind, uint64_t n)
{
    uint64_t s = n;

    if (kind == MIXED)
        kind = n % 3 == 0 ? ASCENDING : n % 3 == 1 ? SCATTERED : UUIDS;
    if (kind == ASCENDING)
        return (struct sx_id){0, n * 2, SX_ID_NUM, 0};
    if (kind == SCATTERED)
        return (struct sx_id){0, rnd(&s) | 1, SX_ID_NUM, 0};
    return (struct sx_id){rnd(&s), rnd(&s), SX_ID_UUID, 0};
}

static void put_new(struct eng_ids *m, struct sx_id id)
{
    rows[n_rows] = id;
    assert_int_equal(eng_ids_put(m, &id, n_rows), ENG_NO_ROW);
    newest[n_distinct++] = n_rows++;
}

static void put_again(struct eng_ids *m, uint32_t i)
{
    rows[n_rows] = rows[newest[i]];
    assert_int_equal(eng_ids_put(m, &rows[n_rows], n_rows), newest[i]);
    newest[i] = n_rows++;
}

static int cmp_id(const void *a, const void *b)
{
    return sx_id_cmp(a, b);
}

/* Everything the structure knows against the model. */
static void check_all(struct eng_ids *m)
{
    const struct eng_ids_view *v = eng_ids_view(m);
    struct eng_ids_cursor *c = malloc(eng_ids_cursor_size(v));
    struct sx_id *sorted = malloc((n_distinct + 1) * sizeof(*sorted)), id;
    uint64_t s = n_rows;

    assert_int_equal(eng_ids_count(m), n_distinct);
    for (uint32_t i = 0; i < n_distinct; i++) {
        sorted[i] = rows[newest[i]];
        assert_int_equal(eng_ids_find(m, &sorted[i]), newest[i]);
    }
    qsort(sorted, n_distinct, sizeof(*sorted), cmp_id);
    eng_ids_seek(m, v, NULL, c);
    for (uint32_t i = 0; i < n_distinct; i++) {
        assert_int_equal(eng_ids_next(c, &id), 1);
        assert_int_equal(sx_id_cmp(&id, &sorted[i]), 0);
    }
    assert_int_equal(eng_ids_next(c, &id), 0);
    assert_int_equal(eng_ids_next(c, &id), 0);
    for (uint32_t i = 0; i < 20 && n_distinct != 0; i++) {
        struct sx_id from = sorted[rnd(&s) % n_distinct];
        uint32_t lo = 0;

        if (i % 3 != 0)
            from.lo += i % 3 == 1 ? 1 : UINT64_MAX; /* mostly ids that do not exist */
        while (lo < n_distinct && sx_id_cmp(&sorted[lo], &from) < 0)
            lo++;
        eng_ids_seek(m, v, &from, c);
        for (uint32_t k = 0; k < 5; k++) {
            int more = eng_ids_next(c, &id);

            assert_int_equal(more, lo + k < n_distinct);
            if (more)
                assert_int_equal(sx_id_cmp(&id, &sorted[lo + k]), 0);
        }
    }
    free(sorted);
    free(c);
}

/* --- one thread -------------------------------------------------------------------------- */

static void test_empty(void **state SX_UNUSED)
{
    struct eng_ids *m = ids_new();
    struct sx_id id = {0, 7, SX_ID_NUM, 0};

    assert_int_equal(eng_ids_find(m, &id), ENG_NO_ROW);
    eng_ids_commit(m);
    check_all(m);
    assert_int_equal(eng_ids_load(m, NULL, 0), 0);
    check_all(m);
    assert_int_equal(eng_ids_reserve(m, 0), 0);
    assert_int_equal(eng_ids_find(m, &id), ENG_NO_ROW);
    ids_end(m);
}

static void test_like_a_list(void **state SX_UNUSED)
{
    for (int kind = ASCENDING; kind <= MIXED; kind++) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct eng_ids *m = ids_new();
            uint64_t s = seed, made = 0;

            for (uint32_t op = 0; op < 400; op++) {
                uint32_t n = (uint32_t)(rnd(&s) % (op % 7 == 0 ? 300 : 4));

                assert_int_equal(eng_ids_reserve(m, n), 0);
                for (uint32_t i = 0; i < n; i++) {
                    if (n_distinct != 0 && rnd(&s) % 4 == 0)
                        put_again(m, (uint32_t)(rnd(&s) % n_distinct));
                    else
                        put_new(m, id_make(kind, ++made));
                }
                eng_ids_commit(m);
                if (op % 20 == 0 || op < 30)
                    check_all(m);
            }
            check_all(m);
            ids_end(m);
        }
    }
}

/* New ids come into the order at commit, into the hash at once. */
static void test_commit_shows(void **state SX_UNUSED)
{
    struct eng_ids *m = ids_new();
    const struct eng_ids_view *v;
    struct eng_ids_cursor *c = malloc(4096);
    struct sx_id id;

    assert_int_equal(eng_ids_reserve(m, 3), 0);
    put_new(m, id_make(ASCENDING, 5));
    v = eng_ids_view(m);
    eng_ids_seek(m, v, NULL, c);
    assert_int_equal(eng_ids_next(c, &id), 0);
    assert_int_equal(eng_ids_find(m, &rows[0]), 0);
    put_again(m, 0); /* twice in one operation: one entry */
    eng_ids_commit(m);
    check_all(m);
    /* A view stays what it was while the last run grows in place. */
    epoch_enter(0);
    v = eng_ids_view(m);
    for (uint64_t i = 6; i < 400; i++) {
        assert_int_equal(eng_ids_reserve(m, 1), 0);
        put_new(m, id_make(ASCENDING, i));
        eng_ids_commit(m);
    }
    eng_ids_seek(m, v, NULL, c);
    assert_int_equal(eng_ids_next(c, &id), 1);
    assert_int_equal(id.lo, 10);
    assert_int_equal(eng_ids_next(c, &id), 0);
    epoch_leave(0);
    check_all(m);
    free(c);
    ids_end(m);
}

static void test_ascending_is_one_run(void **state SX_UNUSED)
{
    struct eng_ids *m = ids_new();

    for (uint64_t i = 1; i < 200000;) {
        uint32_t n = i % 5 == 0 ? 700 : 64;

        assert_int_equal(eng_ids_reserve(m, n), 0);
        while (n-- != 0)
            put_new(m, id_make(ASCENDING, i++));
        eng_ids_commit(m);
        assert_int_equal(eng_ids_view(m)->n_runs, 1);
    }
    check_all(m);
    /* Some 4 bytes of run and 7 to 13 of hash (small tables double) for an id. */
    assert_true(atomic_load(&m->map)->cur->cap * 5 >= (uint64_t)n_distinct * 8);
    assert_true(atomic_load(&m->map)->cur->cap * 5 <= (uint64_t)n_distinct * 16);
    ids_end(m);
}

/* Ids in no order, one at a time and in batches: the number of runs stays small although a commit
 * never merges more than its portion. */
static void test_scattered_stays_small(void **state SX_UNUSED)
{
    for (uint32_t n = 1; n <= 510; n = n * 22 + 1) {
        struct eng_ids *m = ids_new();
        uint32_t most = 0;

        for (uint64_t i = 1; i < (n == 1 ? 40000 : 250000);) {
            assert_int_equal(eng_ids_reserve(m, n), 0);
            for (uint32_t k = 0; k < n; k++)
                put_new(m, id_make(UUIDS, i++));
            eng_ids_commit(m);
            if (eng_ids_view(m)->n_runs > most)
                most = eng_ids_view(m)->n_runs;
        }
        print_message("batches of %u: at most %u runs\n", n, most);
        assert_true(most <= 20);
        check_all(m);
        ids_end(m);
    }
}

static struct eng_ids *growing;

static void grow_now(void)
{
    uint32_t n = n_distinct;

    assert_int_equal(eng_ids_reserve(growing, n), 0);
    for (uint32_t i = 0; i < n; i++)
        put_new(growing, id_make(ASCENDING, n_distinct + 1));
    eng_ids_commit(growing);
}

/* A reader is in the middle of a table when the writer replaces that and is done with it. */
static void test_growth_under_a_reader(void **state SX_UNUSED)
{
    growing = ids_new();
    assert_int_equal(eng_ids_reserve(growing, 5000), 0);
    while (n_distinct < 5000)
        put_new(growing, id_make(ASCENDING, n_distinct + 1));
    eng_ids_commit(growing);
    for (uint64_t i = 0; n_distinct < 300000; i++) {
        struct sx_id missing = id_make(UUIDS, i);

        epoch_enter(0);
        in_row_id = grow_now;
        assert_int_equal(eng_ids_find(growing, &missing), ENG_NO_ROW);
        epoch_leave(0);
    }
    in_row_id = NULL;
    check_all(growing);
    ids_end(growing);
}

static void test_load(void **state SX_UNUSED)
{
    static const uint32_t sizes[] = {1, 2, 1000, 70000, 1200000};

    for (int kind = ASCENDING; kind <= MIXED; kind++) {
        for (uint32_t k = 0; k < SX_COUNT(sizes) - (kind != UUIDS); k++) {
            struct eng_ids *m = ids_new();
            uint32_t n = sizes[k];
            uint64_t s = n;

            for (uint32_t i = 0; i < n; i++) {
                rows[i] = id_make(kind, i + 1);
                newest[i] = i;
            }
            n_rows = n_distinct = n;
            for (uint32_t i = n - 1; kind != ASCENDING && i > 0; i--) {
                uint32_t j = (uint32_t)(rnd(&s) % (i + 1)), t = newest[i];

                newest[i] = newest[j];
                newest[j] = t;
            }
            assert_int_equal(eng_ids_load(m, newest, n), 0);
            assert_int_equal(eng_ids_view(m)->n_runs, 1);
            check_all(m);
            assert_int_equal(eng_ids_load(m, newest, n), SX_EINTERNAL);
            for (uint32_t i = 0; i < 1000; i++) {
                assert_int_equal(eng_ids_reserve(m, 2), 0);
                put_again(m, (uint32_t)(rnd(&s) % n_distinct));
                put_new(m, id_make(kind, 2000000 + i));
                eng_ids_commit(m);
            }
            check_all(m);
            ids_end(m);
        }
    }
}

/* A reserve that fails changes nothing, and after one that succeeded nothing needs memory. */
static void test_memory_short(void **state SX_UNUSED)
{
    for (int kind = ASCENDING; kind <= MIXED; kind++) {
        struct eng_ids *m = ids_new();
        uint64_t s = 1, made = 0;
        uint32_t refused = 0;

        for (uint32_t op = 0; op < 3000; op++) {
            uint32_t n = 1 + (uint32_t)(rnd(&s) % 30);
            int rc;

            memory_left = (int64_t)(op % 8);
            rc = eng_ids_reserve(m, n);
            memory_left = op % 3 == 0 ? -1 : 0;
            if (rc == 0) {
                while (n-- != 0)
                    put_new(m, id_make(kind, ++made));
                eng_ids_commit(m);
            } else {
                assert_int_equal(rc, SX_ENOMEM);
                refused++;
            }
            memory_left = -1;
            if (op % 200 == 0)
                check_all(m);
        }
        assert_true(refused > 100);
        check_all(m);
        for (uint32_t i = 0; i < 2000; i++)
            eng_ids_commit(m); /* merges that had no memory are caught up on */
        assert_true(eng_ids_view(m)->n_runs <= 16);
        check_all(m);
        ids_end(m);
    }
    for (int64_t n = 0; n < 12; n++) {
        struct eng_ids *m = ids_new();
        int rc;

        for (uint32_t i = 0; i < 100; i++) {
            rows[i] = id_make(UUIDS, i);
            newest[i] = i;
        }
        memory_left = n;
        rc = eng_ids_load(m, newest, 100);
        memory_left = -1;
        assert_true(rc == 0 || rc == SX_ENOMEM);
        if (rc == 0) {
            n_rows = n_distinct = 100;
            check_all(m);
        }
        ids_end(m);
    }
}

/* --- readers beside the writer ----------------------------------------------------------- */

struct readers {
    struct eng_ids *m;
    _Atomic uint32_t published; /* rows whose operation is complete */
    _Atomic uint32_t stop;
    _Atomic uint64_t rounds;
    _Atomic uint32_t next_slot;
};

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #x);                                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void *reader_run(void *arg)
{
    struct readers *r = arg;
    uint32_t slot = atomic_fetch_add(&r->next_slot, 1);
    struct eng_ids_cursor *c = malloc(64 * sizeof(struct ids_cursor_run) + sizeof(*c));
    uint64_t s = slot;

    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        uint32_t n, seen = 0, want;
        const struct eng_ids_view *v;
        struct sx_id id, before = {0, 0, 0, 0};

        epoch_enter(slot);
        n = atomic_load_explicit(&r->published, memory_order_acquire);
        v = eng_ids_view(r->m);
        MUST(v->n_runs <= 64);
        for (uint32_t i = 0; n != 0 && i < 50; i++) {
            uint32_t row = (uint32_t)(rnd(&s) % n), now;

            id = rows[row];
            now = eng_ids_find(r->m, &id);
            MUST(now != ENG_NO_ROW && now >= row);
            MUST(sx_id_cmp(&rows[now], &id) == 0);
        }
        want = rnd(&s) % 8 == 0 ? UINT32_MAX : 100;
        eng_ids_seek(r->m, v, n != 0 && want == 100 ? &rows[rnd(&s) % n] : NULL, c);
        while (seen < want && eng_ids_next(c, &id)) {
            MUST(seen == 0 || sx_id_cmp(&before, &id) < 0);
            before = id;
            seen++;
        }
        /* The whole order holds at least the ids that were published before. */
        if (want == UINT32_MAX)
            MUST(seen >= n / 2);
        epoch_leave(slot);
        atomic_fetch_add_explicit(&r->rounds, 1, memory_order_relaxed);
    }
    free(c);
    return NULL;
}

static void test_readers(void **state SX_UNUSED)
{
    struct readers r = {.m = ids_new()};
    pthread_t thread[2];
    uint64_t s = 3, made = 0;

    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader_run, &r), 0);
    while (n_rows < 60000 || atomic_load(&r.rounds) < 200) {
        uint32_t n = 1 + (uint32_t)(rnd(&s) % 60);

        assert_true(n_rows + 200 < MAX_ROWS);
        assert_int_equal(eng_ids_reserve(r.m, n), 0);
        for (uint32_t i = 0; i < n; i++) {
            /* At least every second row has a new id. */
            if (i % 2 == 1)
                put_again(r.m, (uint32_t)(rnd(&s) % n_distinct));
            else
                put_new(r.m, id_make(MIXED, ++made));
        }
        eng_ids_commit(r.m);
        atomic_store_explicit(&r.published, n_rows, memory_order_release);
    }
    atomic_store(&r.stop, 1);
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    check_all(r.m);
    ids_end(r.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_like_a_list),
        cmocka_unit_test(test_commit_shows),
        cmocka_unit_test(test_ascending_is_one_run),
        cmocka_unit_test(test_scattered_stays_small),
        cmocka_unit_test(test_growth_under_a_reader),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_memory_short),
        cmocka_unit_test(test_readers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
