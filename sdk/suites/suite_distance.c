/* Conformance of kind distance.
 *
 * Every datatype the provider serves, dimensions 1 to 130 and three usual ones, every instruction
 * set of the host's sx.cpu:
 *   - pair, score_ids and score_rows give the same bits for the same row, whatever its place in the
 *     batch, and write nothing beyond n;
 *   - no byte outside a row is read (rows end or start at an unreadable page), with strides larger
 *     than a row and chunks of 16 rows;
 *   - the four distances of the wire agree with a double reference within (dim + 4) * 2^-24 of the
 * sum of the terms' magnitudes, the bound of a sum in any order; byte scores within 2^-22 relative;
 *     other distances agree with their own portable kernel within the same bound of the result;
 *   - SYMMETRIC and TRIANGLE hold; preprocess is idempotent and may work in place; postprocess is
 *     monotone in the direction LARGER_BETTER says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_distance.h"
#include "sextant/sx_text.h"

#include "suite.h"

#define SHIFT         4u
#define CHUNK         (1u << SHIFT)
#define CHUNKS        3u
#define ROWS          (CHUNK * CHUNKS)
#define DIM_MAX       1536u
#define CANARY        1234.5f
#define ROW_BYTES_MAX 8192u /* whole pages: both ends touch an unreadable one */

enum { OTHER, COSINE, DOT, EUCLID, MANHATTAN };

/* One (datatype pair, dim, instruction set) under test. */
struct dist_case {
    const struct sx_distance_ops *ops;
    struct sx_kernel kernel, portable;
    uint32_t q_dtype, row_dtype, dim, metric, es, padded;
    uint64_t cpu;
    const char *cpu_name;
    struct sx_rows rows;
    uint8_t *chunks[CHUNKS];
    uint8_t *q;
    double tolerance[ROWS], expected[ROWS];
};

/* Guarded memory reused by all cases: each chunk of rows and the query. */
struct dist_memory {
    uint8_t *chunk[CHUNKS], *q;
};
#define CHUNK_BYTES (CHUNK * ROW_BYTES_MAX)

static uint32_t elem_bytes(uint32_t dtype)
{
    return dtype == SX_DT_F32 ? 4 : dtype == SX_DT_F16 ? 2 : 1;
}

static uint64_t dtype_cap(uint32_t dtype)
{
    return dtype == SX_DT_F32   ? SX_DISTANCE_F32
           : dtype == SX_DT_F16 ? SX_DISTANCE_F16
                                : SX_DISTANCE_U8;
}

static const char *dtype_name(uint32_t dtype)
{
    return dtype == SX_DT_F32 ? "f32" : dtype == SX_DT_F16 ? "f16" : "u8";
}

static double elem_get(const void *p, uint32_t i, uint32_t dtype)
{
    if (dtype == SX_DT_F32) {
        float v;
        memcpy(&v, (const uint8_t *)p + i * 4ull, 4);
        return (double)v;
    }
    if (dtype == SX_DT_F16) {
        uint16_t v;
        memcpy(&v, (const uint8_t *)p + i * 2ull, 2);
        return (double)sx_f16_to_f32(v);
    }
    return ((const uint8_t *)p)[i];
}

static void elem_set(void *p, uint32_t i, uint32_t dtype, float v)
{
    if (dtype == SX_DT_F32) {
        memcpy((uint8_t *)p + i * 4ull, &v, 4);
    } else if (dtype == SX_DT_F16) {
        uint16_t h = sx_f16_from_f32(v);
        memcpy((uint8_t *)p + i * 2ull, &h, 2);
    } else {
        ((uint8_t *)p)[i] = (uint8_t)(fabsf(v) * 255.0f);
    }
}

/* Rows of several characters: uniform, sparse, tiny (subnormal), large, equal to the query. */
static void
fill_vector(struct suite *s, const struct dist_case *c, void *p, uint32_t dtype, uint32_t style)
{
    for (uint32_t i = 0; i < c->dim; i++) {
        float v = sx_suite__uniform(s);
        if (style == 1 && sx_suite__random(s) % 4 != 0)
            v = 0;
        else if (style == 2 && dtype != SX_DT_U8)
            v *= dtype == SX_DT_F32 ? 1e-39f : 5e-6f;
        else if (style == 3)
            v = dtype == SX_DT_F32 ? v * 1e12f : dtype == SX_DT_F16 ? v * 100.0f : 1.0f;
        if (dtype == SX_DT_F32 && c->row_dtype == SX_DT_U8) /* beyond both ends of a byte */
            v = v * 400.0f + 100.0f;
        elem_set(p, i, dtype, v);
    }
}

/* Against byte rows a float query counts as the bytes it would be stored as. */
static double query_get(const struct dist_case *c, const void *q, uint32_t i)
{
    double a = elem_get(q, i, c->q_dtype);
    if (c->row_dtype == SX_DT_U8)
        a = a >= 255 ? 255 : a > 0 ? floor(a) : 0;
    return a;
}

/* The score in double, and the sum of the magnitudes of its terms. */
static double reference(const struct dist_case *c, const void *q, const void *row, double *sum)
{
    double score = 0, magnitude = 0, qq = 0, vv = 0;
    for (uint32_t i = 0; i < c->dim; i++) {
        double a = query_get(c, q, i), b = elem_get(row, i, c->row_dtype), t;
        if (c->metric == EUCLID)
            t = -(a - b) * (a - b);
        else if (c->metric == MANHATTAN)
            t = -fabs(a - b);
        else
            t = a * b;
        qq += a * a;
        vv += b * b;
        score += t;
        magnitude += fabs(t);
    }
    if (c->metric == COSINE && c->row_dtype == SX_DT_U8) {
        score = qq > 0 && vv > 0 ? score / sqrt(qq * vv) : 0;
        magnitude = score;
    }
    *sum = magnitude;
    return score;
}

static const uint8_t *row_at(const struct dist_case *c, uint32_t i)
{
    return sx_rows_at(&c->rows, i);
}

static uint32_t round_up(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Places rows and query against the unreadable page behind (at_end) or before them. */
static void case_fill(struct suite *s, struct dist_case *c, struct dist_memory *m, uint32_t at_end)
{
    uint32_t row_bytes = round_up(c->padded * c->es, c->kernel.align);
    uint32_t q_bytes = c->padded * elem_bytes(c->q_dtype);
    uint32_t stride = row_bytes + c->kernel.align * (1 + sx_suite__random(s) % 3);
    uint64_t used = (uint64_t)(CHUNK - 1) * stride + row_bytes;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        c->chunks[i] = m->chunk[i] + (at_end ? CHUNK_BYTES - used : 0);
        memset(c->chunks[i], 0xff, used);
    }
    c->rows = (struct sx_rows){(uint32_t)sizeof(c->rows), stride, SHIFT, ROWS,
                               (const uint8_t *const *)c->chunks};
    c->q = m->q + (at_end ? ROW_BYTES_MAX - round_up(q_bytes, c->kernel.align) : 0);
    memset(c->q, 0, q_bytes);
    fill_vector(s, c, c->q, c->q_dtype, sx_suite__random(s) % 2);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint8_t *row = c->chunks[i >> SHIFT] + (uint64_t)(i & (CHUNK - 1)) * stride;
        memset(row, 0, row_bytes);
        if (i % 8 == 7 && c->q_dtype == c->row_dtype)
            memcpy(row, c->q, q_bytes);
        else
            fill_vector(s, c, row, c->row_dtype, i % 5);
    }
}

static void case_expect(struct dist_case *c)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        if (c->metric == OTHER) {
            c->expected[i] = (double)c->portable.pair(c->q, row_at(c, i), c->dim);
            c->tolerance[i] = fabs(c->expected[i]) * (c->dim + 4) * 0x1p-24 + 1e-30;
            continue;
        }
        double sum;
        c->expected[i] = reference(c, c->q, row_at(c, i), &sum);
        c->tolerance[i] = c->row_dtype == SX_DT_U8 ? fabs(c->expected[i]) * 0x1p-22
                                                   : sum * (c->dim + 4) * 0x1p-24 + c->dim * 1e-44;
    }
}

static int same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

#define CASE_FMT     "%s rows, dim %u, %s: "
#define CASE_ARGS(c) dtype_name((c)->row_dtype), (c)->dim, (c)->cpu_name

static void check_scores(struct suite *s, const struct dist_case *c)
{
    float scores[ROWS + 1], one[ROWS + 1];
    uint32_t ids[ROWS];
    for (uint32_t i = 0; i <= ROWS; i++)
        scores[i] = CANARY;
    c->kernel.score_rows(c->q, &c->rows, 0, ROWS, c->dim, scores);
    sx_suite__check(s, same_bits(scores[ROWS], CANARY), CASE_FMT "score_rows wrote beyond n",
                    CASE_ARGS(c));
    for (uint32_t i = 0; i < ROWS; i++) {
        sx_suite__check(s, fabs((double)scores[i] - c->expected[i]) <= c->tolerance[i],
                        CASE_FMT "row %u scores %.9g, expected %.9g within %.2g", CASE_ARGS(c), i,
                        (double)scores[i], c->expected[i], c->tolerance[i]);
        float pair = c->kernel.pair(c->q, row_at(c, i), c->dim);
        sx_suite__check(s, same_bits(pair, scores[i]),
                        CASE_FMT "row %u: pair gives %.9g, score_rows %.9g", CASE_ARGS(c), i,
                        (double)pair, (double)scores[i]);
    }
    /* Parts of the rows, starting anywhere; batches by number of every length, with repeats. */
    for (uint32_t n = 0; n <= 9; n++) {
        uint32_t first = sx_suite__random(s) % (ROWS - n + 1);
        one[n] = CANARY;
        c->kernel.score_rows(c->q, &c->rows, first, n, c->dim, one);
        for (uint32_t i = 0; i < n; i++)
            sx_suite__check(s, same_bits(one[i], scores[first + i]),
                            CASE_FMT "score_rows from %u differs at %u", CASE_ARGS(c), first, i);
        for (uint32_t i = 0; i < n; i++)
            ids[i] = sx_suite__random(s) % ROWS;
        c->kernel.score_ids(c->q, &c->rows, ids, n, c->dim, one);
        for (uint32_t i = 0; i < n; i++)
            sx_suite__check(s, same_bits(one[i], scores[ids[i]]),
                            CASE_FMT "score_ids of %u rows differs at %u", CASE_ARGS(c), n, i);
        sx_suite__check(s, same_bits(one[n], CANARY), CASE_FMT "a batch of %u wrote beyond its end",
                        CASE_ARGS(c), n);
    }
    for (uint32_t i = 0; i < ROWS; i++)
        ids[i] = ROWS - 1 - i;
    c->kernel.score_ids(c->q, &c->rows, ids, ROWS, c->dim, one);
    for (uint32_t i = 0; i < ROWS; i++)
        sx_suite__check(s, same_bits(one[i], scores[ids[i]]),
                        CASE_FMT "score_ids backwards differs at %u", CASE_ARGS(c), i);
}

/* What a client would see. */
static double distance_of(struct suite *s, const struct dist_case *c, uint32_t a, uint32_t b)
{
    float score = c->kernel.pair(row_at(c, a), row_at(c, b), c->dim);
    if (SX_HAS(c->ops, postprocess))
        c->ops->postprocess(s->pr->self, 1, &score);
    return (double)score;
}

static void check_metric(struct suite *s, const struct dist_case *c)
{
    if (c->q_dtype != c->row_dtype)
        return;
    for (uint32_t i = 0; i + 2 < ROWS; i += 3) {
        double ab = distance_of(s, c, i, i + 1), ba = distance_of(s, c, i + 1, i);
        double slack = (fabs(ab) + fabs(ba)) * (c->dim + 4) * 0x1p-23 + 1e-30;
        if ((s->pr->caps & SX_DISTANCE_SYMMETRIC) != 0)
            sx_suite__check(s, fabs(ab - ba) <= slack, CASE_FMT "not symmetric: %.9g and %.9g",
                            CASE_ARGS(c), ab, ba);
        if ((s->pr->caps & SX_DISTANCE_TRIANGLE) != 0) {
            double bc = distance_of(s, c, i + 1, i + 2), ac = distance_of(s, c, i, i + 2);
            slack = (ab + bc) * (c->dim + 4) * 0x1p-22 + 1e-30;
            sx_suite__check(s, ac <= ab + bc + slack,
                            CASE_FMT "triangle broken: %.9g > %.9g + %.9g", CASE_ARGS(c), ac, ab,
                            bc);
        }
    }
}

static void run_case(struct suite *s, struct dist_case *c, struct dist_memory *m)
{
    void *self = s->pr->self;
    c->kernel = (struct sx_kernel){.size = (uint32_t)sizeof(c->kernel)};
    c->portable = c->kernel;
    int rc = c->ops->resolve(self, c->q_dtype, c->row_dtype, c->dim, c->cpu, &c->kernel);
    int is_extra =
        c->q_dtype == SX_DT_F16 || (c->q_dtype != c->row_dtype && c->row_dtype == SX_DT_U8);
    if (is_extra && rc == SX_EUNSUPPORTED)
        return; /* half queries, and float queries against bytes */
    if ((s->pr->caps & dtype_cap(c->row_dtype)) == 0) {
        sx_suite__check(s, rc == SX_EUNSUPPORTED,
                        CASE_FMT "resolve gives %d for a datatype not in "
                                 "caps",
                        CASE_ARGS(c), rc);
        return;
    }
    const struct sx_kernel *k = &c->kernel;
    if (!sx_suite__check(s, rc == 0, CASE_FMT "resolve fails with %d", CASE_ARGS(c), rc) ||
        !sx_suite__check(s, k->pair != NULL && k->score_ids != NULL && k->score_rows != NULL,
                         CASE_FMT "resolve left a function out", CASE_ARGS(c)) ||
        !sx_suite__check(s,
                         k->align > 0 && k->align <= 64 && (k->align & (k->align - 1)) == 0 &&
                             k->dim_pad > 0 && k->dim_pad <= 64,
                         CASE_FMT "alignment %u or padding %u make no sense", CASE_ARGS(c),
                         k->align, k->dim_pad))
        return;
    c->ops->resolve(self, c->q_dtype, c->row_dtype, c->dim, 0, &c->portable);
    c->es = elem_bytes(c->row_dtype);
    c->padded = round_up(c->dim, k->dim_pad);
    for (uint32_t at_end = 0; at_end < 2; at_end++) {
        case_fill(s, c, m, at_end);
        case_expect(c);
        check_scores(s, c);
        check_metric(s, c);
    }
}

/* --- preprocess and postprocess --- */

static void check_preprocess(struct suite *s, const struct sx_distance_ops *ops, uint32_t dim)
{
    void *self = s->pr->self;
    float in[256], out[256], again[256];
    for (uint32_t style = 0; style < 4; style++) {
        for (uint32_t i = 0; i < dim; i++) {
            static const float scale[] = {1.0f, 1e-3f, 1e4f, 0.0f};
            in[i] = sx_suite__uniform(s) * scale[style];
        }
        memcpy(again, in, sizeof(in));
        ops->preprocess(self, dim, in, out);
        sx_suite__check(s, memcmp(in, again, dim * 4) == 0, "preprocess changed its input, dim %u",
                        dim);
        ops->preprocess(self, dim, again, again);
        sx_suite__check(s, memcmp(again, out, dim * 4) == 0, "preprocess in place differs, dim %u",
                        dim);
        ops->preprocess(self, dim, out, again);
        sx_suite__check(s, memcmp(again, out, dim * 4) == 0,
                        "preprocess of a preprocessed vector changes it, dim %u", dim);
        if (style == 3)
            for (uint32_t i = 0; i < dim; i++)
                sx_suite__check(s, out[i] == 0.0f, "preprocess changed a zero vector, dim %u", dim);
    }
}

static void check_postprocess(struct suite *s, const struct sx_distance_ops *ops)
{
    float scores[5] = {-9.0f, -4.0f, -1.0f, -0.25f, 0.0f};
    int is_larger = (s->pr->caps & SX_DISTANCE_LARGER_BETTER) != 0;
    ops->postprocess(s->pr->self, 4, scores);
    sx_suite__check(s, scores[4] == 0.0f, "postprocess wrote beyond n");
    for (uint32_t i = 0; i + 1 < 4; i++) {
        sx_suite__check(s, is_larger ? scores[i] <= scores[i + 1] : scores[i] >= scores[i + 1],
                        "postprocess turns the order around: %.9g before %.9g", (double)scores[i],
                        (double)scores[i + 1]);
        sx_suite__check(s, is_larger || scores[i] >= 0,
                        "postprocess gives a negative distance %.9g", (double)scores[i]);
    }
}

static uint32_t metric_of(const char *name)
{
    static const char *const names[] = {"", "Cosine", "Dot", "Euclid", "Manhattan"};
    for (uint32_t i = 1; i < SX_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return OTHER;
}

static void run_all(struct suite *s, struct dist_memory *m, uint64_t cpu_bits)
{
    static const uint32_t types[][2] = {{SX_DT_F32, SX_DT_F32},
                                        {SX_DT_F32, SX_DT_F16},
                                        {SX_DT_F16, SX_DT_F16},
                                        {SX_DT_U8, SX_DT_U8},
                                        {SX_DT_F32, SX_DT_U8}};
    static const struct {
        const char *name;
        uint64_t bits;
    } cpus[] = {{"portable", 0},
                {"avx2", SX_CPU_SSE42 | SX_CPU_AVX2},
                {"avx512", SX_CPU_SSE42 | SX_CPU_AVX2 | SX_CPU_AVX512},
                {"neon", SX_CPU_NEON}};
    static const uint32_t usual[] = {384, 768, DIM_MAX};
    const int is_quick = (s->report->flags & SX_SUITE_QUICK) != 0;
    struct dist_case c = {.ops = s->pr->ops, .metric = metric_of(s->pr->name)};
    for (uint32_t t = 0; t < SX_COUNT(types); t++)
        for (uint32_t u = 0; u < SX_COUNT(cpus); u++) {
            if ((cpus[u].bits & ~cpu_bits) != 0)
                continue;
            c.q_dtype = types[t][0];
            c.row_dtype = types[t][1];
            c.cpu = cpus[u].bits;
            c.cpu_name = cpus[u].name;
            for (c.dim = 1; c.dim <= 130; c.dim += is_quick ? 13 : 1)
                run_case(s, &c, m);
            for (uint32_t i = 0; !is_quick && i < SX_COUNT(usual); i++) {
                c.dim = usual[i];
                run_case(s, &c, m);
            }
        }
}

void sx_suite__distance(struct suite *s)
{
    const struct sx_distance_ops *ops = s->pr->ops;
    const struct sx_cpu *cpu = s->host->get(s->host, "sx.cpu", (uint32_t)sizeof(struct sx_cpu));
    struct dist_memory m = {0};
    int is_ready = (m.q = sx_suite__guarded(ROW_BYTES_MAX, 1)) != NULL;
    for (uint32_t i = 0; i < CHUNKS; i++)
        is_ready = (m.chunk[i] = sx_suite__guarded(CHUNK_BYTES, 1)) != NULL && is_ready;
    if (sx_suite__check(s, is_ready, "no memory for the suite"))
        run_all(s, &m, cpu != NULL ? cpu->bits : 0);
    sx_suite__guarded_free(m.q, ROW_BYTES_MAX, 1);
    for (uint32_t i = 0; i < CHUNKS; i++)
        sx_suite__guarded_free(m.chunk[i], CHUNK_BYTES, 1);
    if (SX_HAS(ops, preprocess))
        for (uint32_t dim = 1; dim <= 256; dim += dim < 40 ? 1 : 17)
            check_preprocess(s, ops, dim);
    if (SX_HAS(ops, postprocess))
        check_postprocess(s, ops);
}
