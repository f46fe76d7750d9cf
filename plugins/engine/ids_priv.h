/* What ids.c (hash, life of the object) and ids_runs.c (ordered runs) share. */
#ifndef ENG_IDS_PRIV_H
#define ENG_IDS_PRIV_H

#include <stdatomic.h>

#include "ids.h"

#define IDS_BLOCK_SHIFT 16
#define IDS_BLOCK       (1u << IDS_BLOCK_SHIFT) /* rows in one block of a run: 256 KiB */
#define IDS_MERGES      32 /* merges under way; sizes grow by 4, so 16 suffice */

/* --- hash -------------------------------------------------------------------------------- */

/* A slot holds ~row, so that zeroed memory is an empty table; 1 (~ENG_GONE_ROW) is an entry that
 * was removed: probing goes on behind it. */
#define IDS_REMOVED 1u
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
    uint32_t holes;            /* [S] entries of removed ids: ENG_NO_ROW */
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

/* Two neighbouring runs on the way to one: runs[k] and runs[k + 1] of the current view; runs[k] by
 * itself when is_alone. */
struct ids_merge {
    struct ids_run *dst;
    uint32_t k, na, nb, ia, ib, n, is_alone, pad;
};

/* The first run behind those of the merge. */
static inline uint32_t ids_merge_end(const struct ids_merge *g)
{
    return g->k + (g->is_alone ? 1 : 2);
}

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
    uint32_t n_ids, n_removed; /* slots of map->cur that are IDS_REMOVED */
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

/* ENG_NO_ROW: a hole. */
static inline uint32_t ids_run_row(const struct ids_run *r, uint32_t i)
{
    /* pairs with the release in ids_run_set(): the row's id is readable */
    return __atomic_load_n(&r->block[i >> IDS_BLOCK_SHIFT][i & (IDS_BLOCK - 1)], __ATOMIC_ACQUIRE);
}

static inline void ids_run_set(struct ids_run *r, uint32_t i, uint32_t row)
{
    __atomic_store_n(&r->block[i >> IDS_BLOCK_SHIFT][i & (IDS_BLOCK - 1)], row, __ATOMIC_RELEASE);
}

/* Copies: what row_id returned may point into its tmp. */
static inline struct sx_id ids_row_id(const struct eng_ids *m, uint32_t row)
{
    struct sx_id tmp;

    return *m->row_id(m->ctx, row, &tmp);
}

static inline void ids_run_add(struct ids_run *r, uint32_t i, uint32_t row)
{
    r->block[i >> IDS_BLOCK_SHIFT][i & (IDS_BLOCK - 1)] = row;
}

static inline struct eng_ids_view *ids_view_now(const struct eng_ids *m) /* [S] */
{
    return atomic_load_explicit(&m->view, memory_order_relaxed);
}

static inline int ids_key_less(const struct ids_key *a, const struct ids_key *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->hi != b->hi)
        return a->hi < b->hi;
    return a->lo < b->lo;
}

/* ids_runs.c */
struct ids_run *eng_ids_run_create(const struct sx_mem *mem, uint32_t cap);
void eng_ids_run_destroy(void *run);
struct eng_ids_view *eng_ids_view_create(const struct sx_mem *mem, uint32_t cap);
void eng_ids_view_destroy(void *view); /* not its runs */
/* Shows v to readers; retires the view before and the runs in m->gone. */
void eng_ids_view_publish(struct eng_ids *m, struct eng_ids_view *v);
void eng_ids_run_gone(struct eng_ids *m, struct ids_run *r);
/* Room for n pending ids in everything that eng_ids_commit() needs. */
int eng_ids_runs_reserve(struct eng_ids *m, uint32_t n);
void eng_ids_spare_give(struct eng_ids *m); /* spare space that is large goes back */
void eng_ids_runs_fini(struct eng_ids *m);

/* ids_detach.c: the first entry in [lo, hi) that is not below *id (above: not above it either). */
uint32_t eng_ids_run_bound(const struct eng_ids *m,
                           const struct ids_run *r,
                           uint32_t lo,
                           uint32_t hi,
                           const struct sx_id *id,
                           int above);

/* ids_merge.c */
int eng_ids_keys_reserve(struct eng_ids *m, uint32_t n);
/* The keys of the rows, sorted; n at most what was reserved. */
struct ids_key *eng_ids_rows_sort(struct eng_ids *m, const uint32_t *rows, uint32_t n);
/* Moves at most about `budget` rows of merges; finished ones are entered in v, the next view. */
void eng_ids_merge_some(struct eng_ids *m, struct eng_ids_view *v, uint64_t budget);
/* 1 when work is waiting: a merge under way, or one that could not be begun. */
int eng_ids_merge_wanted(const struct eng_ids *m, const struct eng_ids_view *v);

/* ids_cursor.c: the first run out of rows in any order. */
int eng_ids_runs_load(struct eng_ids *m, const uint32_t *rows, uint32_t n);

#endif
