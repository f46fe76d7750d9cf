/* index-flat: what its files share.
 *
 * plugin.c   descriptor and the services taken at load
 * index.c    life of an index, parameters, cost; a flat index holds nothing but its source
 * search.c   the scan: blocks of nodes, scored for all queries of a batch while they are in cache
 * visible.c  which nodes of a block this reader may be given
 * hits.c     the best k, kept in the caller's result array
 *
 * Everything is exact, all state of a search lies in the caller's scratch and result arrays, and
 * any number of searches run at once. */
#ifndef FLAT_FLAT_H
#define FLAT_FLAT_H

#include "sextant/sx_index.h"

/* Nodes per block: 256 rows of 384 floats are 384 KiB, well inside a second-level cache, and one
 * look at the cancel flag per 25-100 microseconds. */
#define FLAT_BLOCK     256u
#define FLAT_BLOCK_MIN 64u /* one word of visibility bits */
/* With several queries a block is read once from memory and then once per query from cache. */
#define FLAT_BLOCK_BYTES     (384u << 10)
#define FLAT_DEADLINE_BLOCKS 16u /* the clock is read once per this many blocks */

struct flat_plugin {
    const struct sx_mem *mem;
    const struct sx_time *time;
};

struct flat_index {
    const struct sx_index_source *source;
};

/* --- hits.c: [A] --- */

/* The best `cap` hits so far, in the caller's array: unordered until full, then a heap whose root
 * is the worst. Order: higher score first, then smaller node; NaN after everything, -0 equals 0. */
struct flat_top {
    struct sx_hit *hits;
    uint32_t n, cap;
    uint64_t bound; /* only hits of a smaller key are taken */
    float floor;    /* scores below cannot enter */
    uint32_t pad;
};

/* Position in the order as one number, larger is better. */
uint64_t flat_hit_key(float score, uint32_t node);
/* Offers n scored nodes; scores[at(i)], where nodes NULL means first, first + 1, ... */
void flat_top_offer_run(struct flat_top *t, uint32_t first, const float *scores, uint32_t n);
/* score_base: scores[nodes[i] - score_base]. */
void flat_top_offer_part(struct flat_top *t,
                         const uint32_t *nodes,
                         uint32_t n,
                         const float *scores,
                         uint32_t score_base);
void flat_top_offer(struct flat_top *t, const uint32_t *nodes, const float *scores, uint32_t n);
/* Sorts best first; the structure is spent. */
void flat_top_sort(struct flat_top *t);

/* --- visible.c: [A] --- */

/* Writes the nodes of [first, first + n) that may be returned, ascending, and says how many. first
 * is a multiple of 64. `present` are the vectors' rows: nodes of a removed chunk have nothing to
 * score and are left out. */
uint32_t flat_visible(const struct sx_view *view,
                      const struct sx_rows *present,
                      uint32_t first,
                      uint32_t n,
                      uint32_t *out);

/* --- search.c: callbacks of the kind, see sx_index.h --- */

uint64_t flat_scratch_size(void *self, void *ix, uint32_t nq, uint32_t k, struct sx_doc params);
int flat_search(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *const *results,
                uint32_t *counts,
                struct sx_err *err);
int flat_resume(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *result,
                uint32_t *count,
                struct sx_err *err);

/* index.c */
extern const struct sx_index_ops flat_ops;

#endif
