/* Kind index: who is near, over the nodes of one vector column.
 *
 * iface_version 1. The engine owns vectors, codes, visibility and locks; an index owns the order in
 * which nodes are looked at. It calls the scorer in batches, tests visibility bits inline, writes
 * hits into the caller's arrays and calls nobody else. */
#ifndef SX_INDEX_H
#define SX_INDEX_H

#include "sextant/sx_service.h"
#include "sextant/sx_vec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_INDEX_IFACE           1u
#define SX_INDEX_INCREMENTAL     1ull   /* insert(); without it: build() only */
#define SX_INDEX_PARALLEL_INSERT 2ull   /* insert() concurrent with itself */
#define SX_INDEX_REMOVE          4ull   /* remove(), forgotten() */
#define SX_INDEX_MASK            8ull   /* honours view->allowed; requires RESUME */
#define SX_INDEX_RANGE           16ull  /* honours batch->bound */
#define SX_INDEX_RESUME          32ull  /* resume() */
#define SX_INDEX_MULTI_QUERY     64ull  /* gains from nq > 1 */
#define SX_INDEX_PARALLEL_BUILD  128ull /* build() uses the pool */
#define SX_INDEX_MMAP_VIEW       256ull /* open() maps its files */
#define SX_INDEX_SPARSE          512ull
#define SX_INDEX_EXACT           1024ull /* results are the true nearest */

/* What the engine lends an index for its life. */
struct sx_index_source {
    uint32_t size, dim, dtype, pad;
    void *ctx;
    /* [W] nodes that exist now; grows only, until the index is destroyed. */
    uint32_t (*count)(void *ctx);
    /* [W] rows to score on (codes where the column has them), valid in the caller's epoch. */
    void (*rows)(void *ctx, struct sx_rows *out);
    /* [W] a scorer whose query is the given node's own vector; scratch of scorer_size bytes. */
    void (*scorer_for_node)(void *ctx, uint32_t node, void *scratch, struct sx_scorer *out);
    uint32_t scorer_size, pad2;
};

struct sx_index_batch {
    uint32_t size, nq, k, flags;
    const struct sx_scorer *const *scorers; /* nq */
    const struct sx_view *view;
    struct sx_doc params;   /* search parameters ("hnsw_ef", "exact", ...), may be absent */
    void *scratch;          /* scratch_size() bytes, 64-aligned, private to the call */
    const uint32_t *cancel; /* relaxed non-zero: stop soon, return SX_ECANCELED */
    uint64_t deadline_ns;   /* monotonic, 0 = none: SX_ETIMEOUT */
    uint32_t n_nodes, pad;  /* nodes of the column that this view may see */
    float bound;            /* RANGE, RESUME: only hits that rank after (bound, bound_node) */
    uint32_t bound_node;
};
#define SX_INDEX_BOUND 1u /* flags: bound and bound_node are set */

struct sx_index_ops {
    uint32_t size, pad;
    /* [A] checks an index's own parameters (the collection's config for it). */
    int (*check_params)(void *self, struct sx_doc conf, struct sx_err *err);
    /* [S] new empty index / saved one. source is borrowed until destroy. */
    int (*create)(void *self,
                  const struct sx_index_source *source,
                  struct sx_doc conf,
                  void **out,
                  struct sx_err *err);
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const struct sx_index_source *source,
                struct sx_doc conf,
                void **out,
                struct sx_err *err);
    void (*destroy)(void *self, void *ix); /* [S] no call runs any more */
    /* [W, long] all nodes below count; cancel as in the batch. */
    int (*build)(void *self,
                 void *ix,
                 uint32_t count,
                 const uint32_t *cancel,
                 void (*progress)(void *arg, uint64_t done, uint64_t total),
                 void *arg,
                 struct sx_err *err);
    int (*insert)(void *self,
                  void *ix,
                  const uint32_t *nodes,
                  uint32_t n,
                  void *scratch,
                  struct sx_err *err); /* [W] */
    /* [as insert] no search that starts later returns the nodes. */
    int (*remove)(
        void *self, void *ix, const uint32_t *nodes, uint32_t n, void *scratch, struct sx_err *err);
    /* [A] 1 when the node numbers [first, first+n) may be used again. */
    int (*forgotten)(void *self, void *ix, uint32_t first, uint32_t n);
    /* [A, cheap] expected cost of one query in nanoseconds. */
    uint64_t (*estimate)(void *self,
                         void *ix,
                         uint32_t k,
                         uint64_t n_nodes,
                         uint64_t n_allowed,
                         struct sx_doc params);
    uint64_t (*scratch_size)(void *self, void *ix, uint32_t nq, uint32_t k, struct sx_doc params);
    /* [W] results[i]: array of k hits, best first, ties by smaller node; counts[i]: how many. Never
     * returns a node whose row lies below its chunk's fill and is dead or not allowed. */
    int (*search)(void *self,
                  void *ix,
                  const struct sx_index_batch *b,
                  struct sx_hit *const *results,
                  uint32_t *counts,
                  struct sx_err *err);
    /* [W] the next k hits after (bound, bound_node), for one query. */
    int (*resume)(void *self,
                  void *ix,
                  const struct sx_index_batch *b,
                  struct sx_hit *result,
                  uint32_t *count,
                  struct sx_err *err);
    int (*flush)(void *self,
                 void *ix,
                 const struct sx_io *io,
                 struct sx_dir *dir,
                 struct sx_err *err);                         /* [S] */
    void (*stats)(void *self, void *ix, struct sx_docb *out); /* [A] members of an open object */
    int (*verify)(void *self, void *ix, struct sx_err *err);  /* [W] integrity, for tests */
};

#ifdef __cplusplus
}
#endif
#endif
