/* Hot structs: what kernels, scorers and indexes hand to each other for every candidate.
 *
 * Exposed and frozen per ABI major, because a getter per field in the inner loop is the wrong
 * economy. Three numbers are never mixed up: a *row* is one version of one point, a *location* says
 * where a column's original vector lies, a *node* is the vector's number inside an index. */
#ifndef SX_VEC_H
#define SX_VEC_H

#include "sextant/sx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef SX_SMALL_CHUNKS
#define SX_CHUNK_SHIFT 6u /* a build for tests that use up numbers */
#else
#define SX_CHUNK_SHIFT 16u /* rows per chunk: one roaring container */
#endif
#define SX_CHUNK_ROWS (1u << SX_CHUNK_SHIFT)

/* Fixed-stride rows in chunks that never move. Row r = chunks[r >> shift] + (r & mask) * stride.
 * A chunk may be NULL (removed: no live row). One more load than a flat base costs 0.0-0.4 ns per
 * distance and lets chunks be mapped from files and given back one by one. */
struct sx_rows {
    uint32_t size, stride, shift, n; /* n: rows that exist below this view */
    const uint8_t *const *chunks;
};

static inline const void *sx_rows_at(const struct sx_rows *r, uint32_t i)
{
    return r->chunks[i >> r->shift] + (uint64_t)(i & ((1u << r->shift) - 1)) * r->stride;
}

enum { SX_DT_F32 = 1, SX_DT_F16 = 2, SX_DT_U8 = 3 };

/* Resolved once per (metric, datatypes, dim, cpu). Pure functions: no state, no TLS, no failure.
 * Scores are "greater is closer". */
struct sx_kernel {
    uint32_t size, align, dim_pad, flags;
    float (*pair)(const void *q, const void *row, uint32_t dim);
    void (*score_ids)(const void *q,
                      const struct sx_rows *rows,
                      const uint32_t *ids,
                      uint32_t n,
                      uint32_t dim,
                      float *out);
    void (*score_rows)(const void *q,
                       const struct sx_rows *rows,
                       uint32_t first,
                       uint32_t n,
                       uint32_t dim,
                       float *out);
};

#define SX_SCORER_PLAIN 1u /* kernel, q, rows may be used directly */

/* What an index calls. The engine composes recommend, discover, code scorers behind the same call.
 */
struct sx_scorer {
    uint32_t size, flags;
    void (*score)(const struct sx_scorer *s, const uint32_t *ids, uint32_t n, float *out);
    const struct sx_kernel *kernel;
    const void *q;
    const struct sx_rows *rows;
    uint32_t dim, pad;
    void *priv;
};

/* Visibility of one reader. fill: per row chunk, how many rows of it this view knows (65 536, a
 * part, or 0: chunk numbers come back, so one end mark would not do). dead/allowed: bits by row,
 * words read with relaxed atomics; allowed NULL = no filter. row_of: u32 per node, UINT32_MAX = the
 * node stands for no row and is passed over; NULL = node is row. A node whose row lies at or beyond
 * its chunk's fill is handed back unjudged: the engine follows "previous row" to the version this
 * view may see. */
struct sx_view {
    uint32_t size, n_chunks;
    const uint32_t *fill;
    const uint64_t *const *dead; /* per row chunk: 1024 words, or NULL = none dead */
    const uint64_t *const *allowed;
    uint64_t n_allowed;
    const struct sx_rows *row_of;
};

struct sx_hit {
    uint32_t node;
    float score;
};

#ifdef __cplusplus
}
#endif
#endif
