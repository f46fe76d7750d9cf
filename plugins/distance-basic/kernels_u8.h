/* distance-basic: kernels over byte vectors, the second half of kernels.h.
 *
 * Byte scores are exact: sums of products of bytes are integers, rounded once at the end. Partial
 * sums live in 32-bit lanes; 65 536 dimensions times 255^2 still fits a u32, wider vectors go to
 * the scalar table whose lanes are u64. The primitives:
 *
 *   w_t, W_LANES                       partial integer sums; bytes taken per step
 *   w_bytes_t                          W_LANES bytes as loaded (for cheap reuse of the query)
 *   w_zero()  w_load(p, i)  w_load_rest(p, i, dim)
 *   w_cast(p, i)  w_cast_rest(p, i, dim)   the same out of floats
 *   w_dot(acc, q, v)  w_l2(acc, q, v)  w_l1(acc, q, v)
 *   w_sum(acc)                         u64
 *
 * Cosine is not normalised on the way in: score = sum qv / sqrt(sum q^2 * sum v^2), 0 when a length
 * is 0, so it keeps a second sum per row. */
#ifndef DISTB_KERNELS_U8_H
#define DISTB_KERNELS_U8_H

/* A float query becomes bytes as a vector on its way in does: truncated toward zero, kept within 0
 * and 255, NaN is 0. Done once per step for four rows. */
static DISTB_INLINE w_bytes_t q_load(const void *q, uint32_t i, const int qt)
{
    return qt == SX_DT_F32 ? w_cast(q, i) : w_load(q, i);
}

static DISTB_INLINE w_bytes_t q_load_rest(const void *q, uint32_t i, uint32_t dim, const int qt)
{
    return qt == SX_DT_F32 ? w_cast_rest(q, i, dim) : w_load_rest(q, i, dim);
}

static DISTB_INLINE w_t w_step(w_t acc, w_bytes_t q, w_bytes_t v, const int metric)
{
    if (metric == DISTB_L2)
        return w_l2(acc, q, v);
    if (metric == DISTB_L1)
        return w_l1(acc, q, v);
    return w_dot(acc, q, v);
}

static DISTB_INLINE float u8_finish(uint64_t s, uint64_t qq, uint64_t vv, const int metric)
{
    if (metric == DISTB_COS) {
        if (qq == 0 || vv == 0)
            return 0.0f;
        return (float)((double)s / v_sqrt((double)qq * (double)vv));
    }
    return metric == DISTB_DOT ? (float)s : -(float)s;
}

/* Sum of squares. */
static DISTB_INLINE uint64_t u8_square(const void *q, uint32_t dim, const int qt)
{
    w_t a = w_zero();
    uint32_t i = 0;
    for (; i + W_LANES <= dim; i += W_LANES)
        a = w_dot(a, q_load(q, i, qt), q_load(q, i, qt));
    if (i < dim)
        a = w_dot(a, q_load_rest(q, i, dim, qt), q_load_rest(q, i, dim, qt));
    return w_sum(a);
}

static DISTB_INLINE float
u8_one(const void *q, const void *row, uint32_t dim, uint64_t qq, const int metric, const int qt)
{
    w_t a = w_zero(), vv = w_zero();
    uint32_t i = 0;
    for (; i + W_LANES <= dim; i += W_LANES) {
        w_bytes_t v = w_load(row, i);
        a = w_step(a, q_load(q, i, qt), v, metric);
        if (metric == DISTB_COS)
            vv = w_dot(vv, v, v);
    }
    if (i < dim) {
        w_bytes_t v = w_load_rest(row, i, dim);
        a = w_step(a, q_load_rest(q, i, dim, qt), v, metric);
        if (metric == DISTB_COS)
            vv = w_dot(vv, v, v);
    }
    return u8_finish(w_sum(a), qq, metric == DISTB_COS ? w_sum(vv) : 0, metric);
}

static DISTB_INLINE void u8_group(const void *q,
                                  const uint8_t *const r[DISTB_GROUP],
                                  const uint8_t *const next[DISTB_GROUP],
                                  uint32_t dim,
                                  uint64_t qq,
                                  const int metric,
                                  const int qt,
                                  float *out)
{
    w_t a[DISTB_GROUP], vv[DISTB_GROUP];
    for (uint32_t j = 0; j < DISTB_GROUP; j++)
        a[j] = vv[j] = w_zero();
    uint32_t i = 0;
    for (; i + W_LANES <= dim; i += W_LANES) {
        w_bytes_t qv = q_load(q, i, qt);
        if (i % 64 == 0)
            prefetch_group(next, i, 1);
        for (uint32_t j = 0; j < DISTB_GROUP; j++) {
            w_bytes_t v = w_load(r[j], i);
            a[j] = w_step(a[j], qv, v, metric);
            if (metric == DISTB_COS)
                vv[j] = w_dot(vv[j], v, v);
        }
    }
    if (i < dim) {
        w_bytes_t qv = q_load_rest(q, i, dim, qt);
        for (uint32_t j = 0; j < DISTB_GROUP; j++) {
            w_bytes_t v = w_load_rest(r[j], i, dim);
            a[j] = w_step(a[j], qv, v, metric);
            if (metric == DISTB_COS)
                vv[j] = w_dot(vv[j], v, v);
        }
    }
    for (uint32_t j = 0; j < DISTB_GROUP; j++)
        out[j] = u8_finish(w_sum(a[j]), qq, metric == DISTB_COS ? w_sum(vv[j]) : 0, metric);
}

#endif
