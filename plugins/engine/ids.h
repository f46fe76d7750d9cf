/* External ids: id -> newest row, and the ids in order.
 *
 * Two structures over the row table, both derived (rebuilt from rows at open):
 *
 *  - a hash table of u32 row numbers (linear probing, at most 5/8 full, grown by building a new
 *    table and publishing it). A deleted id keeps pointing at its last, dead row, so a reader with
 * an older view still finds its way; its entry goes when the chunk of that row does.
 *  - sorted runs of row numbers, newest run last, sizes growing geometrically towards the front; a
 *    run is immutable below the length that a view has seen and may be extended at its end by
 *    greater ids. One entry per id: an update re-points nothing here, the reader looks the id up
 *    again in the hash. An id occurs in exactly one run. Before a chunk of rows goes, entries that
 *    read their id from it are pointed at the newest row of the id (ids_detach.c).
 *
 * One writer [S]; any number of readers [W] inside an epoch. Readers take a snapshot of the runs
 * with eng_ids_view() as part of the shard's view. */
#ifndef ENG_IDS_H
#define ENG_IDS_H

#include "sextant/sx_service.h"

struct eng_ids;

/* How this room reads the id of a row: the engine's row table. Must be callable by readers too. */
typedef const struct sx_id *(*eng_ids_row_fn)(void *ctx, uint32_t row, struct sx_id *tmp);

#define ENG_NO_ROW   UINT32_MAX
#define ENG_GONE_ROW (UINT32_MAX - 1) /* no row has this number either */

int eng_ids_create(const struct sx_mem *mem,
                   const struct sx_epoch *epoch,
                   eng_ids_row_fn row_id,
                   void *ctx,
                   struct eng_ids **out);
void eng_ids_destroy(struct eng_ids *m); /* no reader left */

/* [S] row of the newest version ever put for the id, or ENG_NO_ROW. [W] the same, concurrently:
 * may answer a row newer than the reader's view (never a torn or foreign one). */
uint32_t eng_ids_find(const struct eng_ids *m, const struct sx_id *id);
/* [S] Makes room for n more ids so that the following n puts cannot fail. */
int eng_ids_reserve(struct eng_ids *m, uint32_t n);
/* [S] id -> row; the row's id is already readable. Returns the previous row or ENG_NO_ROW. New ids
 * enter the ordered runs at the next eng_ids_commit(). Cannot fail after reserve. */
uint32_t eng_ids_put(struct eng_ids *m, const struct sx_id *id, uint32_t row);
/* [S] sorts the new ids of this operation into the runs. After it a fresh view sees them. */
void eng_ids_commit(struct eng_ids *m);
/* [S] Bulk load at open: rows in any order, each id once. */
int eng_ids_load(struct eng_ids *m, const uint32_t *rows, uint32_t n);
uint32_t eng_ids_count(const struct eng_ids *m); /* [S] ids that are held, deleted ones too */

/* Letting go of rows [S]. All of the rows are dead in the newest state and no view sees them alive;
 * nothing else is done between the calls but puts and commits. */
/* 1 when the hash has one table again; else moves some, or waits for memory. */
int eng_ids_settle(struct eng_ids *m);
/* Ids whose newest row is one of [first, first + n) are deleted: their entries are removed. */
void eng_ids_remove_rows(struct eng_ids *m, uint32_t first, uint32_t n);
/* Entries of runs that point into chunks with is_going[chunk] != 0 are pointed elsewhere, some at a
 * time from *at on (zeroed at first). 1 when all are through. */
struct eng_ids_detach {
    struct sx_id from;
    uint32_t is_begun, pad;
};
int eng_ids_detach(struct eng_ids *m,
                   struct eng_ids_detach *at,
                   const uint8_t *is_going,
                   uint32_t n_chunks);

/* Ordered reading. A runs view is a small refcount-free snapshot valid in the epoch in which it was
 * taken (or as long as the shard view that holds it). */
struct eng_ids_view;
const struct eng_ids_view *eng_ids_view(const struct eng_ids *m); /* [S, W] current snapshot */

struct eng_ids_cursor; /* caller's memory: eng_ids_cursor_size(view) bytes, 16-aligned */
uint64_t eng_ids_cursor_size(const struct eng_ids_view *v);
/* [W] positions at the smallest id >= *from (NULL = the smallest). O(runs * log n). */
void eng_ids_seek(const struct eng_ids *m,
                  const struct eng_ids_view *v,
                  const struct sx_id *from,
                  struct eng_ids_cursor *c);
/* [W] next id in ascending order: fills *id and returns 1, or 0 at the end. Every id of the view
 * comes exactly once, dead or alive: the caller looks its row up and judges visibility. */
int eng_ids_next(struct eng_ids_cursor *c, struct sx_id *id);

#endif
