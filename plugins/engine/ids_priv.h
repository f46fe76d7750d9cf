/* What ids.c (hash, life of the object) and ids_runs.c (ordered runs) share. */
#ifndef ENG_IDS_PRIV_H
#define ENG_IDS_PRIV_H

#include <stdatomic.h>

#include "ids.h"

#define IDS_BLOCK_SHIFT 16
#define IDS_BLOCK       (1u << IDS_BLOCK_SHIFT) /* rows in one block of a run: 256 KiB */
#define IDS_MERGES      32 /* merges under way; sizes grow by 4, so 16 suffice */

/* --- hash -------------------------------------------------------------------------------- */

/* A slot holds ~row, so that zeroed memory is an empty table. */
struct ids_table {
    const struct sx_mem *mem;
    uint64_t cap, bytes;
    _Atomic uint32_t *slots;
};

/* What readers load: the table, and the one before while its entries are still being moved. */
struct ids_map {
    const struct sx_mem *mem;
    struct ids_table *cur, *old;
};

/* --- runs -------------------------------------------------------------------------------- */

/* Rows in the order of their ids. Every block but the last has IDS_BLOCK rows, the last may be
 * smaller. Readers read blocks below the length in their view; the writer fills what lies above and
 * adds blocks. Anything else makes a new run that takes the blocks over. */
struct ids_run {
    const struct sx_mem *mem;
    struct ids_run *next; /* writer's list of what goes away at the next publish */
    uint32_t cap;         /* rows that fit into the blocks */
    uint32_t n_blocks, max_blocks;
    uint32_t own_from, own_to; /* blocks that are released with the run */
    uint32_t pad;
    uint32_t *block[];
};

struct ids_run_ref {
    struct ids_run *run;
    uint32_t n, pad;
};

struct eng_ids_view {
    const struct sx_mem *mem;
    uint32_t n_runs, cap;
    struct ids_run_ref runs[];
};

/* Two neighbouring runs on the way to one: runs[k] and runs[k + 1] of the current view. */
struct ids_merge {
    struct ids_run *dst;
    uint32_t k, na, nb, ia, ib, n;
};

struct ids_key {
    uint64_t hi, lo;
    uint32_t kind, row;
};

struct eng_ids {
    const struct sx_mem *mem;
    const struct sx_epoch *epoch;
    eng_ids_row_fn row_id;
    void *ctx;

    _Atomic(struct ids_map *) map;
    _Atomic(struct eng_ids_view *) view;

    /* [S] */
    uint32_t n_ids;
    uint32_t n_pending, pending_cap;
    uint32_t *pending;    /* rows whose ids are new in this operation */
    uint64_t moved;       /* slots of map->old that were moved to map->cur */
    struct ids_key *keys; /* 2 * keys_cap: sorting and its other half */
    uint32_t keys_cap;
    uint32_t n_merges;
    struct ids_run *spare;           /* holds what commit cannot append in place */
    struct eng_ids_view *spare_view; /* becomes the next view */
    struct ids_run *gone;
    struct ids_merge merges[IDS_MERGES];
};

struct ids_cursor_run {
    struct sx_id id; /* of the row at i */
    const struct ids_run *run;
    uint32_t i, n;
};

struct eng_ids_cursor {
    eng_ids_row_fn row_id;
    void *ctx;
    uint32_t n, pad; /* runs that are not exhausted: a heap, smallest id first */
    uint64_t pad2;
    struct ids_cursor_run heap[];
};

static inline uint32_t ids_run_row(const struct ids_run *r, uint32_t i)
{
    return r->block[i >> IDS_BLOCK_SHIFT][i & (IDS_BLOCK - 1)];
}

/* Copies: what row_id returned may point into its tmp. */
static inline struct sx_id ids_row_id(const struct eng_ids *m, uint32_t row)
{
    struct sx_id tmp;

    return *m->row_id(m->ctx, row, &tmp);
}

struct ids_run *eng_ids_run_create(const struct sx_mem *mem, uint32_t cap);
void eng_ids_run_destroy(void *run);
void eng_ids_view_destroy(void *view); /* not its runs */
/* Room for n pending ids in everything that eng_ids_commit() needs. */
int eng_ids_runs_reserve(struct eng_ids *m, uint32_t n);
/* The first run out of rows in any order. */
int eng_ids_runs_load(struct eng_ids *m, const uint32_t *rows, uint32_t n);
void eng_ids_runs_fini(struct eng_ids *m);

#endif
