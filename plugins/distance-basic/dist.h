/* distance-basic: what its files share.
 *
 * The room in one picture: plugin.c offers four distances; each offer's `resolve` (resolve.c) picks
 * one row of a table; there is one table per instruction set (scalar.c, avx2.c, avx512.c), all made
 * from the same templates (kernels*.h) over a handful of vector primitives. Nothing here has state;
 * every function may run on any thread at any time. A new datatype is one more enum entry, one more
 * template header and one more line in DISTB_TABLE. */
#ifndef DISTB_DIST_H
#define DISTB_DIST_H

#include "sextant/sx_distance.h"

/* Loops over rows by kind of arithmetic. Cosine differs from Dot for bytes only: float vectors are
 * normalised on their way in. */
enum { DISTB_DOT = 0, DISTB_L2 = 1, DISTB_L1 = 2, DISTB_COS = 3, DISTB_METRICS = 4 };

/* Datatype pairs and dim classes a table has kernels for. */
enum {
    DISTB_F32_X16 = 0, /* f32 query, f32 rows, dim a multiple of 16: no tail code */
    DISTB_F32 = 1,     /* the same, any dim */
    DISTB_F16 = 2,     /* f32 query, half rows */
    DISTB_F16_F16 = 3, /* half query (a stored row), half rows */
    DISTB_U8 = 4,      /* byte query, byte rows */
    DISTB_U8_F32 = 5,  /* f32 query, cast to bytes on the way, byte rows */
    DISTB_VARIANTS = 6
};

/* Byte sums are kept in u32: 65 536 * 255^2 is the largest that fits. Wider vectors (the wire stops
 * at 65 536) get the scalar kernels, whose sums are u64. */
#define DISTB_U8_DIM_MAX 65536u

struct distb_fns {
    float (*pair)(const void *q, const void *row, uint32_t dim);
    void (*ids)(const void *q,
                const struct sx_rows *rows,
                const uint32_t *ids,
                uint32_t n,
                uint32_t dim,
                float *out);
    void (*rows)(const void *q,
                 const struct sx_rows *rows,
                 uint32_t first,
                 uint32_t n,
                 uint32_t dim,
                 float *out);
};

struct distb_table {
    struct distb_fns fn[DISTB_METRICS][DISTB_VARIANTS];
};

extern const struct distb_table distb_scalar;
#if defined(__x86_64__)
extern const struct distb_table distb_avx2;
extern const struct distb_table distb_avx512;
#endif

extern const struct sx_distance_ops distb_cosine_ops, distb_dot_ops, distb_euclid_ops,
    distb_manhattan_ops;

/* prepare.c: the callbacks around the kernels. */
void distb_cosine_preprocess(void *self, uint32_t dim, const float *in, float *out);
void distb_euclid_postprocess(void *self, uint32_t n, float *scores);
void distb_manhattan_postprocess(void *self, uint32_t n, float *scores);

#endif
