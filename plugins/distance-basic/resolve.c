/* distance-basic: which kernel serves a field, decided once when the field is opened.
 *
 * The choice is (metric, datatypes, dim class, instruction set). After it the hot path is a plain
 * call through a pointer: checking types or CPU bits per pair costs 20-50 % of a cached distance.
 * The instruction set comes from the caller's `cpu` bits and never from the machine itself, so that
 * tests and SEXTANT_CPU can force any of them. */
#include "sextant/sx_service.h"

#include "dist.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const struct distb_table *table_for(uint64_t cpu)
{
#if defined(__x86_64__)
    if ((cpu & SX_CPU_AVX512) != 0)
        return &distb_avx512;
    if ((cpu & SX_CPU_AVX2) != 0)
        return &distb_avx2;
#else
    (void)cpu;
#endif
    return &distb_scalar;
}

/* The table's column for a pair of datatypes, or -1. */
static int variant_for(uint32_t q_dtype, uint32_t row_dtype, uint32_t dim)
{
    if (q_dtype == SX_DT_F32 && row_dtype == SX_DT_F32)
        return dim % 16 == 0 ? DISTB_F32_X16 : DISTB_F32;
    if (q_dtype == SX_DT_F32 && row_dtype == SX_DT_F16)
        return DISTB_F16;
    if (q_dtype == SX_DT_F16 && row_dtype == SX_DT_F16)
        return DISTB_F16_F16;
    if (q_dtype == SX_DT_U8 && row_dtype == SX_DT_U8)
        return DISTB_U8;
    if (q_dtype == SX_DT_F32 && row_dtype == SX_DT_U8)
        return DISTB_U8_F32;
    return -1;
}

static int resolve_metric(uint32_t metric,
                          uint32_t q_dtype,
                          uint32_t row_dtype,
                          uint32_t dim,
                          uint64_t cpu,
                          struct sx_kernel *out)
{
    int variant = variant_for(q_dtype, row_dtype, dim);
    if (variant < 0 || dim == 0 || out->size < sizeof(struct sx_kernel))
        return SX_EUNSUPPORTED;
    const struct distb_table *t = table_for(cpu);
    if (row_dtype == SX_DT_U8 && dim > DISTB_U8_DIM_MAX)
        t = &distb_scalar;
    const struct distb_fns *f = &t->fn[metric][variant];
    out->align = row_dtype == SX_DT_F32 ? 4 : row_dtype == SX_DT_F16 ? 2 : 1;
    out->dim_pad = 1; /* rows are read to their last element and no further */
    out->flags = 0;
    out->pair = f->pair;
    out->score_ids = f->ids;
    out->score_rows = f->rows;
    return SX_OK;
}

#define DISTB_RESOLVE(name, metric)                                                                \
    static int name(void *self, uint32_t q_dtype, uint32_t row_dtype, uint32_t dim, uint64_t cpu,  \
                    struct sx_kernel *out)                                                         \
    {                                                                                              \
        (void)self;                                                                                \
        return resolve_metric((metric), q_dtype, row_dtype, dim, cpu, out);                        \
    }

DISTB_RESOLVE(resolve_cosine, DISTB_COS)
DISTB_RESOLVE(resolve_dot, DISTB_DOT)
DISTB_RESOLVE(resolve_euclid, DISTB_L2)
DISTB_RESOLVE(resolve_manhattan, DISTB_L1)

const struct sx_distance_ops distb_cosine_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = resolve_cosine,
    .preprocess = distb_cosine_preprocess,
};
const struct sx_distance_ops distb_dot_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = resolve_dot,
};
const struct sx_distance_ops distb_euclid_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = resolve_euclid,
    .postprocess = distb_euclid_postprocess,
};
const struct sx_distance_ops distb_manhattan_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = resolve_manhattan,
    .postprocess = distb_manhattan_postprocess,
};
