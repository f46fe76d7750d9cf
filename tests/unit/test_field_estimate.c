/* Figures an index gives without counting matches: the estimator's table on a collection small
 * enough to work it out by hand, from open and from sealed parts; starts of orders; what facets
 * answer; and what a shard's restarts leave behind. */
/* needs: plugins/engine/field*.c kernel/epoch.c tests/unit/mem_io.c */
#include <math.h>

#include "field_kit.h"

/* --- the table --------------------------------------------------------------------------- */

/* 100 points: 50 a, 30 b, 10 both a and c, 5 without the field, 5 null. */
static struct sx_doc doc_of(uint32_t i)
{
    return fk_doc(i < 50   ? "{\"k\":\"a\"}"
                  : i < 80 ? "{\"k\":\"b\"}"
                  : i < 90 ? "{\"k\":[\"a\",\"c\",\"a\"]}"
                  : i < 95 ? "{}"
                           : "{\"k\":null}");
}

static const struct {
    uint32_t kind, is_empty, is_null, match;
    const char *strs[4];
    struct eng_estimate want;
} rows[] = {
    {SX_COND_FIELD, 0, 0, SX_MATCH_STR, {"a"}, {60, 60, 60}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_STR, {"z"}, {0, 0, 0}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_ANY_STR, {"a", "b"}, {60, 70, 90}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_ANY_STR, {"a", "b", "c"}, {60, 72, 90}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_ANY_STR, {"a", "z"}, {60, 60, 60}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_ANY_STR, {"z"}, {0, 0, 0}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {"a"}, {30, 30, 30}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {"b"}, {60, 60, 60}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {"c"}, {80, 80, 80}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {"b", "z"}, {60, 60, 60}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {NULL}, {90, 90, 90}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_EXCEPT_STR, {"a", "b", "c"}, {0, 0, 0}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_PREFIX, {"a"}, {60, 60, 60}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_PREFIX, {""}, {60, 60, 90}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_PREFIX, {"zz"}, {0, 0, 0}},
    {SX_COND_FIELD, 0, 0, SX_MATCH_SUBSTRING, {"a"}, {0, 45, 90}},
    {SX_COND_IS_EMPTY, 0, 0, 0, {NULL}, {0, 6, 10}},
    {SX_COND_FIELD, SX_TRI_TRUE, 0, 0, {NULL}, {0, 6, 10}},
    {SX_COND_FIELD, SX_TRI_FALSE, 0, 0, {NULL}, {90, 90, 90}},
    {SX_COND_IS_NULL, 0, 0, 0, {NULL}, {5, 5, 5}},
    {SX_COND_FIELD, 0, SX_TRI_FALSE, 0, {NULL}, {0, 63, 95}},
};

static const struct eng_leaf *
leaf_of(const struct eng_field_schema *s, uint32_t i, struct sx_arena *a)
{
    struct sx_str *strs = sx_arena_alloc(a, 4 * sizeof(*strs));
    struct sx_cond c = {
        .kind = rows[i].kind, .is_empty = rows[i].is_empty, .is_null = rows[i].is_null};

    while (c.match.n < 4 && rows[i].strs[c.match.n] != NULL) {
        strs[c.match.n] = fk_str(rows[i].strs[c.match.n]);
        c.match.n++;
    }
    c.match.kind = rows[i].match;
    c.match.strs = strs;
    c.match.str = c.match.n != 0 ? strs[0] : fk_str("");
    return fk_leaf(s, c, a);
}

static void check_table(const struct eng_field *f,
                        const struct eng_field_schema *s,
                        uint64_t n_points,
                        uint64_t times,
                        uint64_t over)
{
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        struct eng_estimate want = rows[i].want, got = {0, 0, 0};

        assert_int_equal(eng_field_estimate(f, leaf_of(s, i, &arena), n_points, &got), 1);
        want.min = (want.min * times + over / 2) / over;
        want.exp = (want.exp * times + over / 2) / over;
        want.max = (want.max * times + over / 2) / over;
        if (n_points > 100)
            want.min = rows[i].want.min;
        if (got.min != want.min || got.exp != want.exp || got.max != want.max)
            fail_msg("row %u: %u %u %u, not %u %u %u", i, (unsigned)got.min, (unsigned)got.exp,
                     (unsigned)got.max, (unsigned)want.min, (unsigned)want.exp, (unsigned)want.max);
    }
    sx_arena_fini(&arena);
}

static void stage_docs(struct eng_field *f, uint32_t base, uint32_t n)
{
    struct sx_doc docs[100] = {{NULL, 0, 0}};

    for (uint32_t i = 0; i < n; i++)
        docs[i] = doc_of(base + i);
    assert_int_equal(eng_field_stage(f, base, n, docs, NULL), 0);
    eng_field_commit(f);
    for (uint32_t i = 0; i < n; i++)
        fk_doc_free(&docs[i]);
}

static uint32_t work_all(struct eng_field *f, uint32_t n_rows)
{
    struct eng_field_job job;
    uint32_t n = 0;

    for (; eng_field_next(f, fk_rows(n_rows), &job); n++) {
        for (uint32_t r = job.lo; job.kind == ENG_FIELD_BUILD && r < job.hi; r++) {
            struct sx_doc doc = doc_of(r % 100);

            assert_int_equal(eng_field_build_add(&job, r, doc, NULL), 0);
            fk_doc_free(&doc);
        }
        assert_int_equal(eng_field_run(&job, NULL), 0);
        eng_field_done(&job, 0);
    }
    return n;
}

static void test_table(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct mem_io *disk = mem_io_create();
    struct eng_estimate e;
    struct sx_arena arena;
    struct eng_field *f;

    fk_start(disk);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    assert_int_equal(eng_field_create(&fk_conf, s, 0, &f, NULL), 0);
    stage_docs(f, 0, 100);
    check_table(f, s, 100, 1, 1);
    check_table(f, s, 50, 1, 2);  /* half of the rows have died */
    check_table(f, s, 200, 2, 1); /* half of the points are not covered */
    eng_field_destroy(f, 1);

    /* The same out of a sealed part. */
    assert_int_equal(eng_field_create(&fk_conf, s, 100, &f, NULL), 0);
    assert_int_equal(eng_field_estimate(f, leaf_of(s, 0, &arena), 100, &e), 0);
    assert_int_equal(work_all(f, 100), 2);
    check_table(f, s, 100, 1, 1);
    check_table(f, s, 50, 1, 2);
    eng_field_destroy(f, 1);
    sx_arena_fini(&arena);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

/* --- leaves that are only covered --------------------------------------------------------- */

static void test_covered(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct eng_bits yes = {{0}}, maybe = {{0}};
    struct eng_leaf leaf;
    struct sx_arena arena;
    struct eng_field *f;

    fk_start(NULL);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    assert_int_equal(eng_field_create(&fk_conf, s, 0, &f, NULL), 0);
    stage_docs(f, 0, 100);
    leaf = *leaf_of(s, 0, &arena);
    leaf.mode = ENG_LEAF_COVERED;
    eng_field_mask(f, &leaf, 0, 100, &yes, &maybe);
    assert_int_equal(eng_bits_count(&yes, 0, SX_CHUNK_ROWS), 0);
    assert_int_equal(eng_bits_count(&maybe, 0, SX_CHUNK_ROWS), 60);
    leaf.mode = ENG_LEAF_PLAIN;
    memset(&maybe, 0, sizeof(maybe));
    eng_field_mask(f, &leaf, 0, 100, &yes, &maybe);
    assert_int_equal(eng_bits_count(&yes, 0, SX_CHUNK_ROWS), 0);
    assert_int_equal(eng_bits_count(&maybe, 0, SX_CHUNK_ROWS), 100);
    eng_field_destroy(f, 0);
    sx_arena_fini(&arena);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
}

/* --- starts of orders -------------------------------------------------------------------- */

static void test_order_bound(void **state SX_UNUSED)
{
    static const struct {
        uint32_t type, is_desc, start;
        int64_t i;
        double f;
        struct sx_instant t;
        int want;
        int64_t want_i;
        double want_f;
    } b[] = {
        {ENG_FIELD_INTEGER, 0, SX_START_NONE, 0, 0, {0, 0, 0}, 0, 0, 0},
        {ENG_FIELD_INTEGER, 0, SX_START_INT, INT64_MIN, 0, {0, 0, 0}, 1, INT64_MIN, 0},
        {ENG_FIELD_INTEGER, 0, SX_START_FLOAT, 0, 3.5, {0, 0, 0}, 1, 4, 0},
        {ENG_FIELD_INTEGER, 1, SX_START_FLOAT, 0, 3.5, {0, 0, 0}, 1, 3, 0},
        {ENG_FIELD_INTEGER, 0, SX_START_FLOAT, 0, -3.5, {0, 0, 0}, 1, -3, 0},
        {ENG_FIELD_INTEGER, 1, SX_START_FLOAT, 0, -3.5, {0, 0, 0}, 1, -4, 0},
        {ENG_FIELD_INTEGER, 0, SX_START_FLOAT, 0, 1e300, {0, 0, 0}, -1, 0, 0},
        {ENG_FIELD_INTEGER, 1, SX_START_FLOAT, 0, 1e300, {0, 0, 0}, 1, INT64_MAX, 0},
        {ENG_FIELD_INTEGER, 0, SX_START_FLOAT, 0, -1e300, {0, 0, 0}, 1, INT64_MIN, 0},
        {ENG_FIELD_INTEGER, 1, SX_START_FLOAT, 0, -1e300, {0, 0, 0}, -1, 0, 0},
        {ENG_FIELD_DATETIME, 0, SX_START_TIME, 0, 0, {1, 5999, 0}, 1, 1000005, 0},
        {ENG_FIELD_DATETIME, 0, SX_START_TIME, 0, 0, {-1, 999999999, 0}, 1, -1, 0},
        {ENG_FIELD_FLOAT, 0, SX_START_FLOAT, 0, -0.5, {0, 0, 0}, 1, 0, -0.5},
        {ENG_FIELD_FLOAT, 0, SX_START_TIME, 0, 0, {1, 0, 0}, 1, 0, 1e6},
        /* 2^53 + 1 lies between two doubles. */
        {ENG_FIELD_FLOAT,
         0,
         SX_START_INT,
         9007199254740993,
         0,
         {0, 0, 0},
         1,
         0,
         9007199254740994.0},
        {ENG_FIELD_FLOAT,
         1,
         SX_START_INT,
         9007199254740993,
         0,
         {0, 0, 0},
         1,
         0,
         9007199254740992.0},
        {ENG_FIELD_FLOAT, 0, SX_START_INT, INT64_MAX, 0, {0, 0, 0}, 1, 0, 9223372036854775808.0},
        {ENG_FIELD_FLOAT, 1, SX_START_INT, INT64_MAX, 0, {0, 0, 0}, 1, 0, 9223372036854774784.0},
        {ENG_FIELD_FLOAT, 1, SX_START_INT, INT64_MIN, 0, {0, 0, 0}, 1, 0, -9223372036854775808.0},
    };

    for (uint32_t i = 0; i < SX_COUNT(b); i++) {
        struct eng_field_schema s = {.type = b[i].type};
        struct sx_order_by by = {.is_desc = b[i].is_desc, .start = b[i].start, .i = b[i].i};
        struct eng_order_entry e = {0, 0, 0, 0};

        by.f = b[i].f;
        by.t = b[i].t;
        if (eng_order_bound(&s, &by, &e) != b[i].want)
            fail_msg("row %u", i);
        if (b[i].want == 1 && (e.i != b[i].want_i || e.f != b[i].want_f))
            fail_msg("row %u: %lld %.17g", i, (long long)e.i, e.f);
    }
}

/* --- facets ------------------------------------------------------------------------------ */

static void test_facet_answer(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct mem_io *disk = mem_io_create();
    const struct sx_facet_hit *hits;
    struct eng_field *f;
    uint32_t n;

    fk_start(disk);
    assert_int_equal(eng_field_create(&fk_conf, s, 100, &f, NULL), 0);
    for (uint32_t round = 0; round < 3; round++) { /* uncovered, sealed, sealed and numbered */
        struct eng_bits bits = {{0}}, rest = {{0}};
        struct sx_arena arena;
        struct eng_facet *k;

        sx_arena_init(&arena, sx_mem_libc(), 0);
        k = eng_facet_create(s, &fk_mem, &arena);
        eng_bits_range(&bits, 10, 88);
        assert_int_equal(eng_facet_chunk(k, f, 0, 100, &bits, &rest), 0);
        assert_int_equal(eng_bits_count(&rest, 0, 65536), round == 0 ? 78 : 0);
        for (uint32_t i = 0; i < 100 && round == 0; i++) {
            struct sx_doc doc = doc_of(i);

            if (eng_bits_get(&rest, i))
                assert_int_equal(eng_facet_doc(k, doc), 0);
            fk_doc_free(&doc);
        }
        assert_int_equal(eng_facet_top(k, 2, &hits, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(hits[0].kind, SX_FACET_STR);
        assert_memory_equal(hits[0].str.p, "a", 1);
        assert_int_equal(hits[0].count, 48);
        assert_memory_equal(hits[1].str.p, "b", 1);
        assert_int_equal(hits[1].count, 30);
        assert_int_equal(eng_facet_top(k, 0, &hits, &n), 0);
        assert_int_equal(n, 0);
        eng_facet_destroy(k);
        sx_arena_fini(&arena);
        if (round == 0)
            assert_int_equal(work_all(f, 100), 2);
    }
    eng_field_destroy(f, 1);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

/* --- restarts ---------------------------------------------------------------------------- */

static int count_file(void *arg, const char *name SX_UNUSED, uint32_t is_dir SX_UNUSED)
{
    ++*(uint32_t *)arg;
    return 0;
}

/* A small shard that is opened again and again with a few rows more has few parts, and no more
 * files than parts. */
static void test_restarts(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct mem_io *disk = mem_io_create();
    uint64_t disk_bytes, ram;
    struct eng_field *f;

    fk_start(disk);
    assert_int_equal(eng_field_create(&fk_conf, s, 0, &f, NULL), 0);
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t files = 0, lo, hi;

        stage_docs(f, i * 10, 10);
        eng_field_destroy(f, 0);
        sx_epoch_drain();
        assert_int_equal(eng_field_open(&fk_conf, s, fk_rows(i * 10 + 10), i * 10 + 10, &f, NULL),
                         0);
        assert_int_equal(eng_field_gap(f, fk_rows(i * 10 + 10), 0, &lo, &hi), 1);
        assert_int_equal(hi, i * 10 + 10);
        (void)work_all(f, i * 10 + 10);
        assert_int_equal(eng_field_gap(f, fk_rows(i * 10 + 10), 0, &lo, &hi), 0);
        (void)fk_eng.io->dir_list(fk_conf.dir, count_file, &files, NULL);
        assert_in_range(files, 1, 7);
        eng_field_stats(f, &disk_bytes, &ram);
        assert_true(disk_bytes != 0 && ram != 0);
    }
    eng_field_destroy(f, 1);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

/* What was saved is mapped, and needs next to no memory of its own. */
static void test_memory(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct mem_io *disk = mem_io_create();
    uint64_t disk_bytes, ram;
    struct eng_field *f;

    fk_start(disk);
    assert_int_equal(eng_field_create(&fk_conf, s, 60000, &f, NULL), 0);
    assert_int_equal(work_all(f, 60000), 2);
    sx_epoch_drain();
    eng_field_stats(f, &disk_bytes, &ram);
    assert_true(disk_bytes > 60000);
    assert_true(ram < 4096);
    assert_true(fk_bytes < 16384);
    eng_field_destroy(f, 1);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),    cmocka_unit_test(test_order_bound),
        cmocka_unit_test(test_covered),  cmocka_unit_test(test_facet_answer),
        cmocka_unit_test(test_restarts), cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
