/* needs: plugins/distance-basic/ plugins/index-flat/ sdk/suites/ sdk/fake/ */
/* The conformance suites find what they are for: good modules spoiled in one way each.
 *
 * A spoiled provider wraps the good one's callbacks. Each case names a part of the line the suite
 * must write. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_distance.h"
#include "sextant/sx_index.h"

#include "sx_fake_host.h"
#include "sx_suite.h"

extern const struct sx_plugin distance_basic_LTX_sx_plugin, index_flat_LTX_sx_plugin;

struct lines {
    const char *wanted;
    uint32_t is_found, n;
};

static void take_line(void *arg, uint32_t is_failure, const char *text)
{
    struct lines *l = arg;
    if (!is_failure)
        return;
    l->n++;
    if (strstr(text, l->wanted) != NULL)
        l->is_found = 1;
}

static void expect(const struct sx_provider *pr, const struct sx_host *host, const char *wanted)
{
    struct sx_suite_report report = SX_SUITE_REPORT_INIT;
    struct lines l = {wanted, 0, 0};
    report.flags = SX_SUITE_QUICK;
    report.line = take_line;
    report.arg = &l;
    assert_int_equal(sx_suite_provider(pr, host, &report), SX_EINTERNAL);
    if (!l.is_found)
        fail_msg("no line says '%s' among %u findings", wanted, report.n_failures);
}

static struct sx_provider provider_of(const struct sx_plugin *p, uint32_t i, void *self)
{
    return (struct sx_provider){
        .size = (uint32_t)sizeof(struct sx_provider),
        .kind = p->provides[i].kind,
        .iface_version = 1,
        .caps = p->provides[i].caps,
        .name = p->provides[i].name,
        .ops = p->provides[i].ops,
        .self = self,
        .module = p->name,
    };
}

/* --- distance: Dot, with one thing wrong --- */

static const struct sx_distance_ops *dot;
static struct sx_kernel good_kernel;

static float pair_short(const void *q, const void *row, uint32_t dim)
{
    const float *a = q, *b = row;
    float s = 0;
    for (uint32_t i = 0; i + 1 < dim; i++)
        s += a[i] * b[i];
    return s;
}

static float pair_other_order(const void *q, const void *row, uint32_t dim)
{
    const float *a = q, *b = row;
    float s = 0;
    for (uint32_t i = dim; i-- > 0;)
        s += a[i] * b[i];
    return s;
}

static void rows_beyond(
    const void *q, const struct sx_rows *r, uint32_t first, uint32_t n, uint32_t dim, float *out)
{
    good_kernel.score_rows(q, r, first, n, dim, out);
    out[n] = 0;
}

static void ids_shifted(const void *q,
                        const struct sx_rows *r,
                        const uint32_t *ids,
                        uint32_t n,
                        uint32_t dim,
                        float *out)
{
    good_kernel.score_ids(q, r, ids, n, dim, out);
    if (n > 4) {
        float t = out[4];
        out[4] = out[3];
        out[3] = t;
    }
}

static int resolve_with(
    struct sx_kernel *out, uint32_t q_dtype, uint32_t row_dtype, uint32_t dim, uint64_t cpu)
{
    int rc = dot->resolve(NULL, q_dtype, row_dtype, dim, cpu, out);
    good_kernel = *out;
    return rc;
}

#define SPOILED_RESOLVE(name, field, fn)                                                           \
    static int name(void *self, uint32_t q_dtype, uint32_t row_dtype, uint32_t dim, uint64_t cpu,  \
                    struct sx_kernel *out)                                                         \
    {                                                                                              \
        (void)self;                                                                                \
        int rc = resolve_with(out, q_dtype, row_dtype, dim, cpu);                                  \
        if (rc == 0 && q_dtype == SX_DT_F32 && row_dtype == SX_DT_F32)                             \
            out->field = fn;                                                                       \
        return rc;                                                                                 \
    }
SPOILED_RESOLVE(resolve_short, pair, pair_short)
SPOILED_RESOLVE(resolve_order, pair, pair_other_order)
SPOILED_RESOLVE(resolve_beyond, score_rows, rows_beyond)
SPOILED_RESOLVE(resolve_shifted, score_ids, ids_shifted)
SPOILED_RESOLVE(resolve_nothing, pair, NULL)

static void post_negates(void *self, uint32_t n, float *scores)
{
    (void)self;
    for (uint32_t i = 0; i < n; i++)
        scores[i] = -scores[i];
}

static void pre_drifts(void *self, uint32_t dim, const float *in, float *out)
{
    (void)self;
    for (uint32_t i = 0; i < dim; i++)
        out[i] = in[i] * 0.5f;
}

static void test_distance(void **state)
{
    const struct {
        struct sx_distance_ops ops;
        uint64_t caps;
        const char *wanted;
    } cases[] = {
        {{.resolve = resolve_short}, 0, "pair gives"},
        {{.resolve = resolve_order}, 0, "pair gives"},
        {{.resolve = resolve_beyond}, 0, "wrote beyond n"},
        {{.resolve = resolve_shifted}, 0, "score_ids of"},
        {{.resolve = resolve_nothing}, 0, "left a function out"},
        {{.resolve = NULL, .postprocess = post_negates}, 0, "turns the order around"},
        {{.resolve = NULL, .preprocess = pre_drifts}, 0, "preprocessed vector changes it"},
        {{.resolve = NULL}, SX_DISTANCE_TRIANGLE, "triangle broken"},
    };
    struct sx_provider good = provider_of(&distance_basic_LTX_sx_plugin, 1, NULL);
    dot = good.ops;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        struct sx_distance_ops ops = cases[i].ops;
        struct sx_provider pr = good;
        ops.size = (uint32_t)sizeof(ops);
        if (ops.resolve == NULL)
            ops.resolve = dot->resolve;
        pr.caps |= cases[i].caps;
        pr.ops = &ops;
        expect(&pr, *state, cases[i].wanted);
    }
}

/* --- index: flat, with one thing wrong --- */

static const struct sx_index_ops *flat;

static int search_good(void *self,
                       void *ix,
                       const struct sx_index_batch *b,
                       struct sx_hit *const *results,
                       uint32_t *counts,
                       struct sx_err *err)
{
    return flat->search(self, ix, b, results, counts, err);
}

#define SPOILED_SEARCH(name, statement)                                                            \
    static int name(void *self, void *ix, const struct sx_index_batch *b,                          \
                    struct sx_hit *const *results, uint32_t *counts, struct sx_err *err)           \
    {                                                                                              \
        int rc = search_good(self, ix, b, results, counts, err);                                   \
        if (rc == 0 && b->nq > 0 && counts[0] > 1)                                                 \
            statement;                                                                             \
        return rc;                                                                                 \
    }
SPOILED_SEARCH(search_less, counts[0]--)
SPOILED_SEARCH(search_twice, results[0][1] = results[0][0])
SPOILED_SEARCH(search_score, results[0][0].score += 0.125f)
SPOILED_SEARCH(search_wild, results[0][0].node = b->n_nodes)
SPOILED_SEARCH(search_beyond, results[0][b->k].node = 1)
SPOILED_SEARCH(search_scratch, ((uint8_t *)b->scratch)[-1] = 0)

static int search_blind(void *self,
                        void *ix,
                        const struct sx_index_batch *b,
                        struct sx_hit *const *results,
                        uint32_t *counts,
                        struct sx_err *err)
{
    struct sx_index_batch all = *b;
    struct sx_view view = *b->view;
    view.dead = NULL;
    all.view = &view;
    return flat->search(self, ix, &all, results, counts, err);
}

static int search_deaf(void *self,
                       void *ix,
                       const struct sx_index_batch *b,
                       struct sx_hit *const *results,
                       uint32_t *counts,
                       struct sx_err *err)
{
    struct sx_index_batch all = *b;
    all.cancel = NULL;
    return flat->search(self, ix, &all, results, counts, err);
}

static int resume_again(void *self,
                        void *ix,
                        const struct sx_index_batch *b,
                        struct sx_hit *result,
                        uint32_t *count,
                        struct sx_err *err)
{
    struct sx_index_batch again = *b;
    again.bound_node--;
    return flat->resume(self, ix, &again, result, count, err);
}

static void test_index(void **state)
{
    const struct {
        __typeof__(flat->search) search;
        __typeof__(flat->resume) resume;
        const char *wanted;
    } cases[] = {
        {search_less, NULL, "exist"},
        {search_twice, NULL, "out of order"},
        {search_score, NULL, "returned"},
        {search_wild, NULL, "is node"},
        {search_beyond, NULL, "wrote beyond k"},
        {search_scratch, NULL, "wrote before its scratch"},
        {search_blind, NULL, "not visible"},
        {search_deaf, NULL, "a cancelled search gives 0"},
        {search_good, resume_again, "ranks before its bound"},
    };
    const struct sx_plugin *p = &index_flat_LTX_sx_plugin;
    struct sx_err err = SX_ERR_INIT;
    void *self = calloc(1, p->instance_size);
    assert_non_null(self);
    assert_int_equal(p->load(*state, self, &err), 0);
    struct sx_provider good = provider_of(p, 0, self);
    flat = good.ops;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        struct sx_index_ops ops = *flat;
        struct sx_provider pr = good;
        ops.search = cases[i].search;
        if (cases[i].resume != NULL)
            ops.resume = cases[i].resume;
        pr.ops = &ops;
        expect(&pr, *state, cases[i].wanted);
    }
    free(self);
}

static int group_setup(void **state)
{
    struct sx_fake_conf conf = SX_FAKE_CONF_INIT;
    const struct sx_host *host = sx_fake_host_create(&conf);
    *state = (void *)(uintptr_t)host;
    return host != NULL ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    sx_fake_host_destroy();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
