/* What the files of the row table share.
 *
 *   table.c        what the writer asks: rows, payloads, locations
 *   table_view.c   views, and what readers find through them
 *   table_dead.c   which rows have died, and when
 *   table_nodes.c  node -> row of a column
 *   table_put.c    vectors, locations and payloads of a change into the stores
 *   table_stage.c  stage, commit, abort
 *   table_open.c   restoring at open */
#ifndef ENG_TABLE_PRIV_H
#define ENG_TABLE_PRIV_H

#include "table.h"

static inline const struct sx_rows_ops *eng_rops(const struct sx_provider *p)
{
    return p->ops;
}
static inline const struct sx_blobs_ops *eng_bops(const struct sx_provider *p)
{
    return p->ops;
}

/* --- table.c --- */
/* Two blocks (or one, and NULL) are released when no reader of today is left. The note that says so
 * is made before anything is changed: NULL when memory is short. */
struct eng_retired;
struct eng_retired *eng_retired_new(struct eng *e);
void eng_retire(struct eng *e, struct eng_retired *r, void *a, void *b);

/* --- table_dead.c --- */
/* The tick in which the row died, 0 = it is alive. */
static inline uint64_t eng_died_of(const struct eng_sides *s, uint32_t row)
{
    uint32_t c = row >> SX_CHUNK_SHIFT;
    if (!s || c >= s->n || !s->side[c].died)
        return 0;
    return atomic_load_explicit(&s->side[c].died[row & (SX_CHUNK_ROWS - 1)], memory_order_acquire);
}
/* Keeps the table of sides as long as the chunks. */
int eng_table_cover_sides(struct eng_table *t, uint32_t n_chunks);
/* Room for killing the rows; afterwards eng_table_kill() cannot fail. */
int eng_table_kill_room(struct eng_table *t, const uint32_t *rows, uint32_t n, struct sx_err *err);
void eng_table_kill(struct eng_table *t, uint32_t row);
/* At open: dead before any reader. */
int eng_table_mark_dead(struct eng_table *t, uint32_t row);

/* --- table_nodes.c --- */
/* Entries for the n nodes, and for those there are. */
int eng_column_rows_room(struct eng_table *t,
                         struct eng_column *c,
                         const uint32_t *nodes,
                         uint32_t n);
void eng_column_set_row(struct eng_column *c, uint32_t node, uint32_t row); /* there is room */
int eng_column_unlinked_room(struct eng_column *c, uint32_t n);

/* --- table_put.c --- */
/* Appends entries under the numbers they were given; take_back: undoes it. */
int eng_table_append(const struct sx_provider *p,
                     void *store,
                     const void *entries,
                     uint32_t size,
                     const uint32_t *numbers,
                     uint32_t n,
                     struct sx_err *err);
void eng_table_take_back(
    const struct sx_provider *p, void *store, uint64_t next, const uint32_t *numbers, uint32_t n);
/* Vectors and locations of column ci for n new rows. n_nodes and in_step only move at commit. */
int eng_table_put_column(struct eng_table *t,
                         uint32_t ci,
                         const struct eng_new_row *rows,
                         uint32_t n,
                         struct sx_err *err);
/* Where the payload of each row lies then, or ENG_NO_BLOB. blobs: scratch for n. */
int eng_table_put_payloads(struct eng_table *t,
                           const struct eng_new_row *rows,
                           uint32_t n,
                           sx_locator *locs,
                           struct sx_str *blobs,
                           struct sx_err *err);

#endif
