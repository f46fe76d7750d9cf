/* needs: plugins/index-flat/ sdk/suites/ sdk/fake/ */
/* The flat index: what the conformance suite of its kind does not reach. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_vet.h"

#include "index-flat/flat.h"
#include "sx_fake_host.h"
#include "sx_suite.h"

extern const struct sx_plugin index_flat_LTX_sx_plugin;

#define NODES 1000u
#define SHIFT 8u

/* Vectors of one component: node i holds the number i, the score is the number. */
static float values[NODES];
static const uint8_t *chunks[NODES / (1u << SHIFT) + 1];
static struct sx_rows rows;
static uint32_t n_scored;

static float pair(const void *q, const void *row, uint32_t dim)
{
    (void)q;
    (void)dim;
    n_scored++;
    return *(const float *)row;
}

static void score_ids(const void *q,
                      const struct sx_rows *r,
                      const uint32_t *ids,
                      uint32_t n,
                      uint32_t dim,
                      float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = pair(q, sx_rows_at(r, ids[i]), dim);
}

static void score_rows(
    const void *q, const struct sx_rows *r, uint32_t first, uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = pair(q, sx_rows_at(r, first + i), dim);
}

static const struct sx_kernel test_kernel = {
    .size = (uint32_t)sizeof(struct sx_kernel),
    .align = 4,
    .dim_pad = 1,
    .pair = pair,
    .score_ids = score_ids,
    .score_rows = score_rows,
};

static uint32_t source_count(void *ctx)
{
    (void)ctx;
    return NODES;
}

static void source_rows(void *ctx, struct sx_rows *out)
{
    (void)ctx;
    *out = rows;
}

static const struct sx_index_source source = {
    .size = (uint32_t)sizeof(struct sx_index_source),
    .dim = 1,
    .dtype = SX_DT_F32,
    .count = source_count,
    .rows = source_rows,
};

/* A module instance, an index and one search, as a test wants to change them. */
struct fixture {
    const struct sx_host *host;
    struct flat_plugin plugin;
    void *ix;
    struct sx_scorer scorer;
    const struct sx_scorer *scorers[1];
    struct sx_view view;
    uint32_t fill[1];
    struct sx_index_batch batch;
};

static int setup(void **state)
{
    struct sx_fake_conf conf = SX_FAKE_CONF_INIT;
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL || (f->host = sx_fake_host_create(&conf)) == NULL)
        return -1;
    for (uint32_t i = 0; i < NODES; i++)
        values[i] = (float)i;
    for (uint32_t i = 0; i < SX_COUNT(chunks); i++)
        chunks[i] = (const uint8_t *)(values + (i << SHIFT));
    rows = (struct sx_rows){(uint32_t)sizeof(rows), 4, SHIFT, NODES, chunks};
    n_scored = 0;
    struct sx_err err = SX_ERR_INIT;
    if (index_flat_LTX_sx_plugin.load(f->host, &f->plugin, &err) != 0 ||
        flat_ops.create(&f->plugin, &source, (struct sx_doc){NULL, 0, 0}, &f->ix, &err) != 0)
        return -1;
    f->scorer = (struct sx_scorer){
        .size = (uint32_t)sizeof(f->scorer),
        .flags = SX_SCORER_PLAIN,
        .kernel = &test_kernel,
        .rows = &rows,
        .dim = 1,
    };
    f->scorers[0] = &f->scorer;
    f->fill[0] = NODES;
    f->view = (struct sx_view){.size = (uint32_t)sizeof(f->view), .n_chunks = 1, .fill = f->fill};
    f->batch = (struct sx_index_batch){
        .size = (uint32_t)sizeof(f->batch),
        .nq = 1,
        .k = 3,
        .scorers = f->scorers,
        .view = &f->view,
        .scratch = aligned_alloc(64, 8192),
        .n_nodes = NODES,
    };
    *state = f;
    return f->batch.scratch != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    flat_ops.destroy(&f->plugin, f->ix);
    int is_leaking = sx_fake_host_live() != 0;
    free(f->batch.scratch);
    sx_fake_host_destroy();
    free(f);
    return is_leaking ? -1 : 0;
}

static int search(struct fixture *f, struct sx_hit *hits, uint32_t *count)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_hit *const results[1] = {hits};
    return flat_ops.search(&f->plugin, f->ix, &f->batch, results, count, &err);
}

static void test_suite(void **state)
{
    (void)state;
    struct sx_suite_report report = SX_SUITE_REPORT_INIT;
    const struct fixture *f = *state;
    assert_int_equal(sx_suite_run(&index_flat_LTX_sx_plugin, f->host, &report), 0);
    assert_int_equal(report.n_failures, 0);
    assert_true(report.n_checks > 100000);
}

static void test_descriptor(void **state)
{
    (void)state;
    struct sx_err err = SX_ERR_INIT;
    assert_int_equal(sx_plugin_vet(&index_flat_LTX_sx_plugin, &err), 0);
}

static void test_order_is_total(void **state)
{
    (void)state;
    /* Best first. */
    static const struct sx_hit order[] = {
        {9, INFINITY}, {9, 1.0f},    {2, 0.5f},  {3, 0.5f},      {1, 0.0f}, {2, -0.0f},
        {3, 0.0f},     {9, -1e-45f}, {9, -1.0f}, {0, -INFINITY}, {0, NAN},  {1, NAN},
    };
    for (uint32_t i = 0; i < SX_COUNT(order); i++)
        for (uint32_t j = 0; j < SX_COUNT(order); j++) {
            uint64_t a = flat_hit_key(order[i].score, order[i].node);
            uint64_t b = flat_hit_key(order[j].score, order[j].node);
            assert_int_equal(a > b, i < j);
            assert_int_equal(a == b, i == j);
        }
}

/* The caller clamps k; if it does not, nothing beyond n_nodes hits is written or asked for. */
static void test_giant_k(void **state)
{
    struct fixture *f = *state;
    struct sx_hit *hits = malloc((NODES + 1) * sizeof(*hits));
    uint32_t n = 0;
    assert_non_null(hits);
    hits[NODES] = (struct sx_hit){123, 4.5f};
    f->batch.k = UINT32_MAX;
    assert_true(flat_ops.scratch_size(&f->plugin, f->ix, 1, UINT32_MAX,
                                      (struct sx_doc){NULL, 0, 0}) <= 8192);
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        assert_int_equal(hits[i].node, NODES - 1 - i);
    assert_true(hits[NODES].node == 123 && hits[NODES].score == 4.5f);
    free(hits);
}

static void test_nothing_asked(void **state)
{
    struct fixture *f = *state;
    uint32_t n = 7;
    f->batch.k = 0;
    assert_int_equal(search(f, NULL, &n), 0);
    assert_int_equal(n, 0);
    f->batch.k = 5;
    f->batch.n_nodes = 0;
    n = 7;
    assert_int_equal(search(f, NULL, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(n_scored, 0);
}

/* Chunks of vectors that went away hold no live row; their number may come back as newer rows. */
static void test_absent_chunks(void **state)
{
    struct fixture *f = *state;
    struct sx_hit hits[3];
    uint32_t n = 0;
    chunks[NODES >> SHIFT] = NULL;
    chunks[1] = NULL;
    f->fill[0] = 1u << SHIFT; /* so the absent nodes count as newer than the view */
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(hits[0].node, (3u << SHIFT) - 1);
    assert_int_equal(n_scored, 2u << SHIFT);
}

/* A filter of a few rows scores these few and no others. */
static void test_filter_scores_matches_only(void **state)
{
    struct fixture *f = *state;
    struct sx_hit hits[3];
    uint32_t n = 0;
    static uint64_t words[1024];
    const uint64_t *allowed[1] = {words};
    memset(words, 0, sizeof(words));
    words[0] = 1ull << 7;
    words[10] = 5;
    f->view.allowed = allowed;
    f->view.n_allowed = 3;
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(hits[0].node, 642);
    assert_int_equal(hits[1].node, 640);
    assert_int_equal(hits[2].node, 7);
    assert_int_equal(n_scored, 3);
    allowed[0] = NULL; /* no row of the chunk is allowed */
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, 0);
}

static void test_range(void **state)
{
    struct fixture *f = *state;
    struct sx_hit hits[3];
    uint32_t n = 0;
    f->batch.flags = SX_INDEX_BOUND;
    f->batch.bound = 500.0f;
    f->batch.bound_node = 500;
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(hits[0].node, 499);
    f->batch.bound_node = 499; /* a tie in score with a smaller node comes later in the order */
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(hits[0].node, 500);
}

static void test_resume_needs_a_bound(void **state)
{
    struct fixture *f = *state;
    struct sx_err err = SX_ERR_INIT;
    struct sx_hit hits[3];
    uint32_t n = 0;
    assert_int_equal(flat_ops.resume(&f->plugin, f->ix, &f->batch, hits, &n, &err), SX_EINTERNAL);
}

static void test_stops(void **state)
{
    struct fixture *f = *state;
    struct sx_hit hits[3];
    uint32_t n = 9, cancel = 1;
    f->batch.cancel = &cancel;
    assert_int_equal(search(f, hits, &n), SX_ECANCELED);
    assert_int_equal(n, 0);
    cancel = 0;
    f->batch.deadline_ns = 1;
    assert_int_equal(search(f, hits, &n), SX_ETIMEOUT);
    f->batch.deadline_ns = UINT64_MAX;
    assert_int_equal(search(f, hits, &n), 0);
    assert_int_equal(n, 3);
}

static void test_estimate(void **state)
{
    struct fixture *f = *state;
    const struct sx_doc none = {NULL, 0, 0};
    uint64_t all = flat_ops.estimate(&f->plugin, f->ix, 10, 1u << 20, 1u << 20, none);
    uint64_t few = flat_ops.estimate(&f->plugin, f->ix, 10, 1u << 20, 10, none);
    rows.stride = 3072;
    uint64_t wide = flat_ops.estimate(&f->plugin, f->ix, 10, 1u << 20, 1u << 20, none);
    uint64_t wide_few = flat_ops.estimate(&f->plugin, f->ix, 10, 1u << 20, 10, none);
    uint64_t widest = flat_ops.estimate(&f->plugin, f->ix, 10, UINT32_MAX, UINT32_MAX, none);
    assert_true(all > 0 && few <= all);
    assert_true(wide > 100 * all && wide_few < wide / 100);
    assert_true(widest > wide);
}

static void test_parameters(void **state)
{
    struct fixture *f = *state;
    struct sx_err err = SX_ERR_INIT;
    struct sx_docb b;
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_close(&b);
    assert_int_equal(flat_ops.check_params(&f->plugin, sx_docb_end(&b), &err), 0);
    sx_docb_reset(&b);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "m");
    sx_docb_i64(&b, 16);
    sx_docb_close(&b);
    assert_int_equal(flat_ops.check_params(&f->plugin, sx_docb_end(&b), &err), SX_EINPUT);
    assert_non_null(strstr(err.msg, "'m'"));
    sx_docb_reset(&b);
    sx_docb_i64(&b, 16);
    assert_int_equal(flat_ops.check_params(&f->plugin, sx_docb_end(&b), &err), SX_EINPUT);
    sx_docb_fini(&b);
}

static void test_short_memory(void **state)
{
    struct fixture *f = *state;
    struct sx_err err = SX_ERR_INIT;
    void *ix = NULL;
    sx_fake_host_fail_alloc(1);
    assert_int_equal(flat_ops.create(&f->plugin, &source, (struct sx_doc){NULL, 0, 0}, &ix, &err),
                     SX_ENOMEM);
    assert_null(ix);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptor),    TEST(test_order_is_total),
        TEST(test_giant_k),       TEST(test_nothing_asked),
        TEST(test_absent_chunks), TEST(test_filter_scores_matches_only),
        TEST(test_range),         TEST(test_resume_needs_a_bound),
        TEST(test_stops),         TEST(test_estimate),
        TEST(test_parameters),    TEST(test_short_memory),
        TEST(test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
