/* The row table of one shard and what readers see of it.
 *
 * A row is one version of one point: fixed 40-byte entries, appended and never changed. Beside the
 * entries, per row chunk and only in memory: `died` (the tick that replaced or deleted the
 * row, 0 = alive) and the dead bits that inner loops test. Both are made when the first row of a
 * chunk dies: a collection that is only filled pays nothing for them.
 *
 * died decides when a candidate enters a result: a row is visible to a view of tick S when it lies
 * below the view's fill and has not died at or before S. Ticks count publications, not operations:
 * a row may also move (take another number) without any operation. The dead bit is set later, by a
 * callback that runs once no view older than the death can remain (sx.epoch), so no reader ever
 * loses the old version before the new one shows.
 *
 * Threads: one writer [S]; readers [W] inside an epoch through a view. */
#ifndef ENG_TABLE_H
#define ENG_TABLE_H

#include "clean_units.h"
#include "config.h"
#include "ids.h"

#define ENG_ROW_UUID 1u
#define ENG_ROW_HELD 2u /* see eng_row_is_hidden() */
/* flags from here on: what the payload takes in its segment, in units of 8 bytes, so that a death
 * can be counted without touching the payload. */
#define ENG_ROW_ROOM_SHIFT 8u

struct eng_row {
    uint64_t id_hi, id_lo;
    uint64_t version;   /* operation number that wrote this version */
    sx_locator payload; /* or ENG_NO_BLOB */
    uint32_t prev; /* row of the version before, or ENG_NO_ROW; valid until that dies for good */
    uint32_t flags;
};
_Static_assert(sizeof(struct eng_row) == 40, "row entries are a file format");

/* A collection may ask that no more than so many points are searched without an index
 * (prevent_unoptimized): points that come then are held back, and so is every version of them, as
 * long as it asks. What was held back at or before the operation shown_to was shown since. */
static inline int eng_row_is_hidden(const struct eng_row *r, const struct eng_config *c)
{
    return (r->flags & ENG_ROW_HELD) && eng_config_holds(c) && r->version > c->shown_to;
}

struct eng_chunk_side {
    _Atomic(uint64_t) *died; /* SX_CHUNK_ROWS entries */
    /* SX_CHUNK_ROWS bits; behind them the number of deaths and the number of bits set: while they
     * are equal the bits tell every death. */
    _Atomic(uint64_t) *dead;
};
#define ENG_SIDE_DIED  (SX_CHUNK_ROWS / 64)
#define ENG_SIDE_SET   (SX_CHUNK_ROWS / 64 + 1)
#define ENG_SIDE_WORDS (SX_CHUNK_ROWS / 64 + 2)

/* Chunk tables as readers see them; replaced as a whole when a chunk gets its side, old ones
 * retired. The arrays they point to live as long as the table. */
struct eng_sides {
    uint32_t n, pad;
    const uint64_t **dead; /* for sx_view: side[i].dead as plain words */
    struct eng_chunk_side side[];
};

/* node -> newest row of one column, u32 chunks in memory; ENG_NO_ROW = nobody's. Replaced as a
 * whole when a chunk comes or goes (NULL). */
struct eng_row_of {
    uint32_t n_chunks, pad;
    uint8_t *chunks[];
};

struct eng_run {
    uint32_t first, n;
};

/* One vector column: where its vectors lie and how they are compared. */
struct eng_column {
    const struct eng_column_conf *conf; /* = &own */
    struct eng_column_conf own;         /* name owned */
    const struct sx_provider *rows_p, *index_p;
    void *vec, *loc; /* stores: vectors by location, u32 location by row */
    void *blobs;     /* of multi and sparse vectors: what the locators in vec lead to */
    void *index;     /* index instance; NULL for multi and sparse vectors */
    struct sx_kernel kernel;
    struct sx_index_source source;
    uint32_t row_bytes;                /* of an entry of vec */
    uint32_t vector_bytes;             /* of a dense vector, or a row of a multivector */
    uint32_t n_nodes;                  /* [S] one behind the highest location */
    uint32_t in_step;                  /* [S] every row's location is the row itself */
    uint32_t next_in_step;             /* [S] between stage and commit */
    uint32_t n_unlinked, cap_unlinked; /* [S] nodes the index has not been told of */
    struct eng_run *unlinked;
    struct eng_units nodes, segments; /* [S] of vec and blobs */
    /* NULL while in step. Entries are written before the view that needs them is published. */
    _Atomic(struct eng_row_of *) row_of;
};

/* A vector that a new row takes over: its node speaks for the new row from commit on. */
struct eng_kept {
    uint32_t column, node, row;
};

/* [S] What stage has prepared for commit. */
struct eng_staged {
    uint64_t number;
    void *mem;                /* one block that holds what the arrays below point into */
    uint32_t *old;            /* rows that die, ENG_NO_ROW = none; n_old of them */
    const struct sx_id **ids; /* put: id of the new row rows[i] */
    uint32_t *rows;           /* numbers of the new rows */
    uint32_t n_old, n_new, n_kept;
    uint32_t n_hidden;   /* of the new ones */
    uint32_t n_shown;    /* new points that are not */
    uint32_t has_fields; /* the indexes have staged their part */
    struct eng_kept *kept;
    struct eng_taker taker; /* of rows */
    struct {
        struct eng_taker taker;
        uint32_t *nodes, n; /* new ones */
        uint32_t room;      /* average bytes of their blobs */
        uint32_t is_put;    /* something may be in the stores */
    } columns[ENG_MAX_COLUMNS];
};

struct eng_schema;

struct eng_table {
    struct eng *eng;
    const struct sx_provider *rows_p, *blobs_p; /* of the row table and the payload */
    void *rows, *payload;
    struct eng_ids *ids;
    struct eng_units chunks, segments; /* [S] of rows and payload */
    uint32_t n_rows;                   /* [S] one behind the highest row */
    uint32_t n_low;                    /* [S] changes that took numbers below n_rows */
    uint32_t n_columns;                /* slots below this may hold a column */
    uint64_t n_live;                   /* [S] */
    uint64_t n_hidden;                 /* [S] of these; see eng_row_is_hidden() */
    uint32_t last_hidden, pad;         /* [S] hidden rows of the last change */
    uint64_t commit;                   /* [S] last applied operation */
    uint64_t tick;                     /* [S] grows with every change that is published */
    _Atomic(struct eng_sides *) sides; /* written by [S] */
    /* By slot; NULL = none. A column that was dropped stays here until no view and no manifest
     * knows it; then its slot is free again. */
    struct eng_column *columns[ENG_MAX_COLUMNS];
    const struct eng_schema *schema; /* [S] the newest; readers take it from their view */
    struct eng_deaths *deaths;       /* [S] */
    struct eng_staged staged;        /* [S] */
    uint8_t *scratch;                /* [S] for gathering rows before an append */
    uint64_t scratch_n;
    sx_locator *locators; /* [S] of the blobs of a column being put */
};

/* What one reader may see: numbers only. Immutable, published by one release store; superseded
 * views are retired. Tables (chunk addresses, sides, id runs) are not part of it: a reader takes
 * the newest ones inside its epoch, they only ever hold more. Keeping their addresses here would
 * let a reader that enters late reach a table that was retired before it came. */
struct eng_view {
    /* The one address in a view: it is retired only after a view with its successor is out. */
    const struct eng_schema *schema;
    uint64_t commit, tick, n_live, n_hidden;
    /* Rows that came since a view are those from its n_rows on as long as n_low stays the same. */
    uint32_t n_rows, n_chunks, n_columns, n_low;
    struct {
        uint32_t n_nodes, in_step;
    } columns[ENG_MAX_COLUMNS];
    uint32_t fill[];
};
uint32_t eng_table_view_chunks(const struct eng_table *t); /* [S] of a view, staged rows too */
struct eng_view *eng_view_alloc(const struct eng *e, uint32_t n_chunks); /* NULL: memory is short */
void eng_view_fill(struct eng_view *v, const struct eng_table *t);       /* [S] */
void eng_view_destroy(const struct eng *e, struct eng_view *v);

/* 1 when the row is known to the view (numbers come back: below n_rows is not enough). */
static inline int eng_view_has_row(const struct eng_view *v, uint32_t row)
{
    return row >> SX_CHUNK_SHIFT < v->n_chunks &&
           (row & (SX_CHUNK_ROWS - 1)) < v->fill[row >> SX_CHUNK_SHIFT];
}

/* A view with the tables that belong to it, assembled on the reader's stack inside its epoch. */
struct eng_reader {
    const struct eng_view *v;
    const struct eng_table *t;
    struct sx_rows rows;
    const struct eng_sides *sides;
    struct sx_view vis; /* fill and dead; allowed is the caller's */
    /* Some visible rows are not shown: the bits of vis do not know. Whoever reads for the writer
     * sets it to 0 and sees them too. */
    uint32_t hides, pad;
};
void eng_reader_init(struct eng_reader *r, const struct eng_table *t, const struct eng_view *v);

static inline const struct eng_row *eng_reader_row(const struct eng_reader *r, uint32_t row)
{
    return (const struct eng_row *)sx_rows_at(&r->rows, row);
}
static inline int eng_reader_knows(const struct eng_reader *r, uint32_t row)
{
    return eng_view_has_row(r->v, row);
}
/* Points that the reader sees. */
static inline uint64_t eng_reader_points(const struct eng_reader *r)
{
    return r->v->n_live - (r->hides ? r->v->n_hidden : 0);
}
/* 1 when the row, known to the view, is visible in it. */
int eng_reader_alive(const struct eng_reader *r, uint32_t row);
/* Bits of the rows of a chunk that the view sees. */
struct eng_bits;
void eng_reader_visible(const struct eng_reader *r, uint32_t chunk, struct eng_bits *out);
/* Row of the point as this view sees it, or ENG_NO_ROW. */
uint32_t eng_reader_find(const struct eng_reader *r, const struct sx_id *id);
/* From a row that may be newer than the view back to the version it may see, or ENG_NO_ROW. */
uint32_t eng_reader_back(const struct eng_reader *r, uint32_t row);
/* Location of the row's vector in column c, ENG_NO_LOC when it has none. */
uint32_t eng_reader_loc(const struct eng_reader *r, uint32_t c, uint32_t row);
/* The row a node of column c stands for in this view, or ENG_NO_ROW (dead, or another version's).
 */
uint32_t eng_reader_node_row(const struct eng_reader *r, uint32_t c, uint32_t node);
/* node -> row table for sx_view.row_of; 0 when node is row. */
int eng_reader_row_of(const struct eng_reader *r, uint32_t c, struct sx_rows *out);

static inline void eng_row_id(const struct eng_row *r, struct sx_id *id)
{
    id->hi = r->id_hi;
    id->lo = r->id_lo;
    id->kind = r->flags & ENG_ROW_UUID ? SX_ID_UUID : SX_ID_NUM;
    id->pad = 0;
}

/* [S] Rows of one operation. What a change does not name is taken over from the row before. */
struct eng_new_row {
    struct sx_id id;
    uint64_t version;       /* of a row that only moves; 0 = the operation's number */
    uint32_t from;          /* for ENG_KEEP and keeps_payload */
    uint32_t keeps_payload; /* payload is what `from` has already */
    struct sx_str payload;  /* document bytes, n 0 = none; of a kept one only when there are
                               payload indexes */
    /* per column: the encoded row, NULL = none, ENG_KEEP = from's; of a multi or sparse column the
     * bytes, their length (u32) right before them */
    const void *const *vectors;
};
extern const char eng_keep_mark;
#define ENG_KEEP ((const void *)&eng_keep_mark)
/* One change in two steps, so that it happens whole or not at all. Stage does everything that can
 * fail: bytes go into the stores, beyond what any reader is told of. Then the log record is
 * appended; then commit, which cannot fail, makes the change part of the table, or abort, which
 * takes the staged rows back. Replay goes the same way without the log. A move is a change without
 * number: `number` is the last one, the rows keep their versions.
 *
 * Every id at most once. */
int eng_table_stage_put(struct eng_table *t,
                        uint64_t number,
                        const struct eng_new_row *rows,
                        uint32_t n,
                        struct sx_err *err);
/* Kills the newest rows of the ids; ids without a live row are skipped. */
int eng_table_stage_kill(
    struct eng_table *t, uint64_t number, const struct sx_id *ids, uint32_t n, struct sx_err *err);
/* An operation that changes nothing but takes its number. */
void eng_table_stage_nothing(struct eng_table *t, uint64_t number);
void eng_table_commit(struct eng_table *t);
void eng_table_abort(struct eng_table *t);
/* [S] Slot of the column with that id, UINT32_MAX when there is none. */
uint32_t eng_table_slot(const struct eng_table *t, uint32_t column_id);
/* [S] Payload bytes of a row, appended to buf (nothing when it has none). */
int eng_table_payload(struct eng_table *t, uint32_t row, struct sx_buf *buf, struct sx_err *err);
const struct eng_row *eng_table_row(const struct eng_table *t, uint32_t row); /* [S] */
/* Alive in the newest state [S]: row of the id or ENG_NO_ROW. */
uint32_t eng_table_find(const struct eng_table *t, const struct sx_id *id);

/* Rows killed by the operations since the last take, as dead bits still to be set. The shard
 * retires the list after publishing; eng_deaths_apply() then sets the bits. */
struct eng_deaths {
    uint32_t n, cap;
    struct {
        _Atomic(uint64_t) *dead; /* of the chunk */
        uint32_t offset, pad;
    } bits[];
};
struct eng_deaths *eng_table_take_deaths(struct eng_table *t); /* [S] NULL when nothing died */
void eng_deaths_apply(struct eng_deaths *d);                   /* [A] */

/* [S] At open, before any reader: the numbers in use and the dead rows, as the manifest says. */
struct eng_manifest;
int eng_table_restore(struct eng_table *t, const struct eng_manifest *m);
/* [S] After open: fills ids and node -> row from the rows. */
int eng_table_rebuild(struct eng_table *t, struct sx_err *err);
/* [S] Is the row dead in the newest state? */
int eng_table_is_dead(const struct eng_table *t, uint32_t row);
/* [S] Location of the row's vector in the column of slot c, ENG_NO_LOC when it has none. */
uint32_t eng_table_loc(const struct eng_table *t, uint32_t c, uint32_t row);
/* [S] Where the blob of a node of a multi or sparse column lies. */
sx_locator eng_column_locator(const struct eng_column *c, uint32_t node);
/* [S] For cleaning: no entry of node -> row leads to the (dead) rows [first, first + n) any more;
 * takes every column out of step. SX_ENOMEM: nothing was done. */
int eng_table_forget_rows(struct eng_table *t, uint32_t first, uint32_t n);
/* [S] The chunk of node -> row goes. */
int eng_column_forget_nodes(struct eng_table *t, struct eng_column *c, uint32_t chunk);
/* [S] The chunk's died numbers and dead bits go with it. */
int eng_table_forget_sides(struct eng_table *t, uint32_t chunk);
/* [S] A new column has no vector for the rows there are. */
int eng_table_fill_column(struct eng_table *t, struct eng_column *c, struct sx_err *err);
void eng_column_free_rows(struct eng *e, struct eng_column *c); /* frees row_of */
void eng_table_fini(struct eng_table *t); /* frees memory; stores are the shard's */

#endif
