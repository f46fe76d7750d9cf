/* index-mine: what its files share.
 *
 *   mine.c         descriptor: what the module offers and needs
 *   mine_life.c    parameters, create and destroy, taking nodes in, cost
 *   mine_search.c  search and resume
 *
 * As it stands it is an exact scan. Put your own structure into struct mine_index, fill it in
 * mine_insert() or mine_build(), and let mine_search() look at fewer nodes. */
#ifndef MINE_MINE_H
#define MINE_MINE_H

#include "sextant/sx_index.h"

/* The module: one per process, made by the host. */
struct mine_plugin {
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_time *time;
};

/* One index: one per vector column. */
struct mine_index {
    const struct sx_index_source *source; /* borrowed until destroy */
    uint32_t batch;                       /* nodes scored per call; parameter "batch" */
};

#define MINE_BATCH_MAX 1024u

extern const struct sx_index_ops mine_ops;

int mine_search(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *const *results,
                uint32_t *counts,
                struct sx_err *err);
int mine_resume(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *result,
                uint32_t *count,
                struct sx_err *err);
uint64_t mine_scratch_size(void *self, void *ix, uint32_t nq, uint32_t k, struct sx_doc params);

#endif
