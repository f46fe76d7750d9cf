/* distance-basic: the kernels, written once for all instruction sets.
 *
 * An instruction set's file (scalar.c, avx2.c, avx512.c) defines the vector primitives below, then
 * includes this header, then says DISTB_TABLE(name). All functions take metric and datatypes as
 * constants and are forced inline, so every wrapper the table names is straight-line code.
 *
 *   v_t, V_LANES                      a vector of floats
 *   v_zero() v_add(a,b) v_sub(a,b) v_abs(a) v_fma(a,b,c)      a*b+c, fused or not
 *   v_load(p, i, dt)                  elements i..i+V_LANES of type dt, widened to f32
 *   v_load_rest(p, i, dim, dt)        elements i..dim (fewer than V_LANES), zeros behind
 *   v_sum(a), v_sum4(a,b,c,d,out)     horizontal sums; v_sum4's order of additions is v_sum's
 *   w_t, W_LANES, w_*                 the same for bytes, see kernels_u8.h
 *
 * Two numbers shape everything:
 *   4 rows at once: the query is loaded once for four rows and eight accumulators hide the latency
 *     of the multiply-add; 1.8 times faster than one row after the other at 128-384 dimensions in
 *     cache, and four independent streams when the rows come from memory.
 *   2 accumulators per row, in every function: a row's score has the same bits whether it was
 *     scored alone, in a group or by a scan, so result lists do not depend on the path taken. */
#ifndef DISTB_KERNELS_H
#define DISTB_KERNELS_H

#include "dist.h"

#define DISTB_INLINE inline __attribute__((always_inline))
#define DISTB_GROUP  4u /* rows scored at once */

/* GCC 12 may collapse a loop of prefetches to its first one; an empty asm behind each keeps them
 * apart (scripts count the instructions in the built object). */
static DISTB_INLINE void prefetch(const uint8_t *p)
{
    __builtin_prefetch(p, 0, 3);
    __asm__ volatile("");
}

static DISTB_INLINE uint32_t elem_size(const int dt)
{
    return dt == SX_DT_F32 ? 4 : dt == SX_DT_F16 ? 2 : 1;
}

/* Asks for the 64-byte lines of [off, off + bytes) of the next group's rows. */
static DISTB_INLINE void
prefetch_group(const uint8_t *const next[DISTB_GROUP], uint32_t off, uint32_t bytes)
{
    for (uint32_t o = 0; o < bytes; o += 64) {
        prefetch(next[0] + off + o);
        prefetch(next[1] + off + o);
        prefetch(next[2] + off + o);
        prefetch(next[3] + off + o);
    }
}

static DISTB_INLINE v_t v_step(v_t acc, v_t q, v_t v, const int metric)
{
    if (metric == DISTB_L2) {
        v_t d = v_sub(q, v);
        return v_fma(d, d, acc);
    }
    if (metric == DISTB_L1)
        return v_add(acc, v_abs(v_sub(q, v)));
    return v_fma(q, v, acc);
}

/* Distances become similarities: greater is closer. */
static DISTB_INLINE float finish(float s, const int metric)
{
    return metric == DISTB_L2 || metric == DISTB_L1 ? -s : s;
}

static DISTB_INLINE float float_one(const void *q,
                                    const void *row,
                                    uint32_t dim,
                                    const int metric,
                                    const int qt,
                                    const int rt,
                                    const int tail)
{
    v_t a0 = v_zero(), a1 = v_zero();
    uint32_t i = 0;
    for (; i + 2 * V_LANES <= dim; i += 2 * V_LANES) {
        a0 = v_step(a0, v_load(q, i, qt), v_load(row, i, rt), metric);
        a1 = v_step(a1, v_load(q, i + V_LANES, qt), v_load(row, i + V_LANES, rt), metric);
    }
    if (i + V_LANES <= dim) {
        a0 = v_step(a0, v_load(q, i, qt), v_load(row, i, rt), metric);
        i += V_LANES;
    }
    if (tail && i < dim)
        a1 = v_step(a1, v_load_rest(q, i, dim, qt), v_load_rest(row, i, dim, rt), metric);
    return finish(v_sum(v_add(a0, a1)), metric);
}

static DISTB_INLINE void float_group(const void *q,
                                     const uint8_t *const r[DISTB_GROUP],
                                     const uint8_t *const next[DISTB_GROUP],
                                     uint32_t dim,
                                     const int metric,
                                     const int qt,
                                     const int rt,
                                     const int tail,
                                     float *out)
{
    v_t a0 = v_zero(), a1 = v_zero(), b0 = v_zero(), b1 = v_zero();
    v_t c0 = v_zero(), c1 = v_zero(), d0 = v_zero(), d1 = v_zero();
    const uint32_t step_bytes = 2 * V_LANES * elem_size(rt);
    uint32_t i = 0;
    for (; i + 2 * V_LANES <= dim; i += 2 * V_LANES) {
        v_t q0 = v_load(q, i, qt), q1 = v_load(q, i + V_LANES, qt);
        prefetch_group(next, i * elem_size(rt), step_bytes);
        a0 = v_step(a0, q0, v_load(r[0], i, rt), metric);
        b0 = v_step(b0, q0, v_load(r[1], i, rt), metric);
        c0 = v_step(c0, q0, v_load(r[2], i, rt), metric);
        d0 = v_step(d0, q0, v_load(r[3], i, rt), metric);
        a1 = v_step(a1, q1, v_load(r[0], i + V_LANES, rt), metric);
        b1 = v_step(b1, q1, v_load(r[1], i + V_LANES, rt), metric);
        c1 = v_step(c1, q1, v_load(r[2], i + V_LANES, rt), metric);
        d1 = v_step(d1, q1, v_load(r[3], i + V_LANES, rt), metric);
    }
    if (i + V_LANES <= dim) {
        v_t q0 = v_load(q, i, qt);
        prefetch_group(next, i * elem_size(rt), step_bytes / 2);
        a0 = v_step(a0, q0, v_load(r[0], i, rt), metric);
        b0 = v_step(b0, q0, v_load(r[1], i, rt), metric);
        c0 = v_step(c0, q0, v_load(r[2], i, rt), metric);
        d0 = v_step(d0, q0, v_load(r[3], i, rt), metric);
        i += V_LANES;
    }
    if (tail && i < dim) {
        v_t q1 = v_load_rest(q, i, dim, qt);
        prefetch_group(next, i * elem_size(rt), 1);
        a1 = v_step(a1, q1, v_load_rest(r[0], i, dim, rt), metric);
        b1 = v_step(b1, q1, v_load_rest(r[1], i, dim, rt), metric);
        c1 = v_step(c1, q1, v_load_rest(r[2], i, dim, rt), metric);
        d1 = v_step(d1, q1, v_load_rest(r[3], i, dim, rt), metric);
    }
    v_sum4(v_add(a0, a1), v_add(b0, b1), v_add(c0, c1), v_add(d0, d1), out);
    for (uint32_t j = 0; j < DISTB_GROUP; j++)
        out[j] = finish(out[j], metric);
}

#include "kernels_u8.h"

/* --- one row, four rows: floats or bytes --- */

static DISTB_INLINE float score_one(const void *q,
                                    const void *row,
                                    uint32_t dim,
                                    uint64_t qq,
                                    const int metric,
                                    const int qt,
                                    const int rt,
                                    const int tail)
{
    if (rt == SX_DT_U8)
        return u8_one(q, row, dim, qq, metric, qt);
    return float_one(q, row, dim, metric, qt, rt, tail);
}

static DISTB_INLINE void score_group(const void *q,
                                     const uint8_t *const r[DISTB_GROUP],
                                     const uint8_t *const next[DISTB_GROUP],
                                     uint32_t dim,
                                     uint64_t qq,
                                     const int metric,
                                     const int qt,
                                     const int rt,
                                     const int tail,
                                     float *out)
{
    if (rt == SX_DT_U8)
        u8_group(q, r, next, dim, qq, metric, qt, out);
    else
        float_group(q, r, next, dim, metric, qt, rt, tail, out);
}

/* What of the query is the same for every row: its squared length, for byte cosine. */
static DISTB_INLINE uint64_t
query_part(const void *q, uint32_t dim, const int metric, const int qt, const int rt)
{
    return rt == SX_DT_U8 && metric == DISTB_COS ? u8_square(q, dim, qt) : 0;
}

/* --- many rows --- */

/* Rows by number. While four rows are multiplied, the lines of the next four are on their way: the
 * gain of a batch is this overlap, not the saved calls. */
static DISTB_INLINE void score_ids(const void *q,
                                   const struct sx_rows *rows,
                                   const uint32_t *ids,
                                   uint32_t n,
                                   uint32_t dim,
                                   float *out,
                                   const int metric,
                                   const int qt,
                                   const int rt,
                                   const int tail)
{
    const uint64_t qq = query_part(q, dim, metric, qt, rt);
    const uint8_t *r[DISTB_GROUP], *next[DISTB_GROUP];
    uint32_t i = 0;
    if (n >= DISTB_GROUP)
        for (uint32_t j = 0; j < DISTB_GROUP; j++)
            next[j] = sx_rows_at(rows, ids[j]);
    for (; i + DISTB_GROUP <= n; i += DISTB_GROUP) {
        for (uint32_t j = 0; j < DISTB_GROUP; j++)
            r[j] = next[j];
        /* Behind the last whole group come up to three single rows, or this group again. */
        for (uint32_t j = 0; j < DISTB_GROUP; j++)
            next[j] = i + DISTB_GROUP + j < n ? sx_rows_at(rows, ids[i + DISTB_GROUP + j]) : r[j];
        score_group(q, r, next, dim, qq, metric, qt, rt, tail, out + i);
    }
    for (; i < n; i++)
        out[i] = score_one(q, sx_rows_at(rows, ids[i]), dim, qq, metric, qt, rt, tail);
}

/* Consecutive rows, chunk by chunk. */
static DISTB_INLINE void score_rows(const void *q,
                                    const struct sx_rows *rows,
                                    uint32_t first,
                                    uint32_t n,
                                    uint32_t dim,
                                    float *out,
                                    const int metric,
                                    const int qt,
                                    const int rt,
                                    const int tail)
{
    const uint64_t qq = query_part(q, dim, metric, qt, rt);
    const uint32_t stride = rows->stride, in_chunk = 1u << rows->shift;
    while (n > 0) {
        uint32_t run = in_chunk - (first & (in_chunk - 1));
        if (run > n)
            run = n;
        const uint8_t *p = sx_rows_at(rows, first);
        uint32_t i = 0;
        for (; i + DISTB_GROUP <= run; i += DISTB_GROUP, p += (uint64_t)DISTB_GROUP * stride) {
            const uint8_t *r[DISTB_GROUP], *next[DISTB_GROUP];
            /* Prefetching never faults; it must only not be computed past the chunk. */
            uint64_t ahead = i + 2 * DISTB_GROUP <= run ? (uint64_t)DISTB_GROUP * stride : 0;
            for (uint32_t j = 0; j < DISTB_GROUP; j++) {
                r[j] = p + (uint64_t)j * stride;
                next[j] = r[j] + ahead;
            }
            score_group(q, r, next, dim, qq, metric, qt, rt, tail, out + i);
        }
        for (; i < run; i++, p += stride)
            out[i] = score_one(q, p, dim, qq, metric, qt, rt, tail);
        first += run;
        n -= run;
        out += run;
    }
}

/* --- the table --- */

#define DISTB_FNS(name, metric, qt, rt, tail)                                                      \
    static float name##_pair(const void *q, const void *row, uint32_t dim)                         \
    {                                                                                              \
        return score_one(q, row, dim, query_part(q, dim, metric, qt, rt), metric, qt, rt, tail);   \
    }                                                                                              \
    static void name##_ids(const void *q, const struct sx_rows *rows, const uint32_t *ids,         \
                           uint32_t n, uint32_t dim, float *out)                                   \
    {                                                                                              \
        score_ids(q, rows, ids, n, dim, out, metric, qt, rt, tail);                                \
    }                                                                                              \
    static void name##_rows(const void *q, const struct sx_rows *rows, uint32_t first, uint32_t n, \
                            uint32_t dim, float *out)                                              \
    {                                                                                              \
        score_rows(q, rows, first, n, dim, out, metric, qt, rt, tail);                             \
    }

#define DISTB_FLOATS(name, metric)                                                                 \
    DISTB_FNS(name##_f32_x16, metric, SX_DT_F32, SX_DT_F32, 0)                                     \
    DISTB_FNS(name##_f32, metric, SX_DT_F32, SX_DT_F32, 1)                                         \
    DISTB_FNS(name##_f16, metric, SX_DT_F32, SX_DT_F16, 1)                                         \
    DISTB_FNS(name##_f16_f16, metric, SX_DT_F16, SX_DT_F16, 1)

DISTB_FLOATS(dot, DISTB_DOT)
DISTB_FLOATS(l2, DISTB_L2)
DISTB_FLOATS(l1, DISTB_L1)
DISTB_FNS(dot_u8, DISTB_DOT, SX_DT_U8, SX_DT_U8, 1)
DISTB_FNS(dot_u8_f32, DISTB_DOT, SX_DT_F32, SX_DT_U8, 1)
DISTB_FNS(l2_u8, DISTB_L2, SX_DT_U8, SX_DT_U8, 1)
DISTB_FNS(l2_u8_f32, DISTB_L2, SX_DT_F32, SX_DT_U8, 1)
DISTB_FNS(l1_u8, DISTB_L1, SX_DT_U8, SX_DT_U8, 1)
DISTB_FNS(l1_u8_f32, DISTB_L1, SX_DT_F32, SX_DT_U8, 1)
DISTB_FNS(cos_u8, DISTB_COS, SX_DT_U8, SX_DT_U8, 1)
DISTB_FNS(cos_u8_f32, DISTB_COS, SX_DT_F32, SX_DT_U8, 1)

#define DISTB_ENTRY(name)                                                                          \
    {                                                                                              \
        name##_pair, name##_ids, name##_rows                                                       \
    }
#define DISTB_ROW(floats, bytes)                                                                   \
    {                                                                                              \
        DISTB_ENTRY(floats##_f32_x16), DISTB_ENTRY(floats##_f32), DISTB_ENTRY(floats##_f16),       \
            DISTB_ENTRY(floats##_f16_f16), DISTB_ENTRY(bytes##_u8), DISTB_ENTRY(bytes##_u8_f32)    \
    }
#define DISTB_TABLE(name)                                                                          \
    const struct distb_table name = {                                                              \
        {DISTB_ROW(dot, dot), DISTB_ROW(l2, l2), DISTB_ROW(l1, l1), DISTB_ROW(dot, cos)}}

#endif
