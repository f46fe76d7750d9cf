/* What the framework of payload indexes (field.c, field_job.c, field_file.c) and the kinds of
 * values (part_<kind>.c) agree on.
 *
 * A kind knows its open and its sealed form; the framework knows rows, chunks, files, threads and
 * epochs. Presence (has a value of any type, is null, is empty: what is_empty and is_null ask) is
 * the same for all kinds and belongs to the framework: part_presence.c, stored beside each part.
 * Offsets of rows in a part are relative to the chunk (u16), whatever the part's lo. */
#ifndef ENG_FIELD_PART_H
#define ENG_FIELD_PART_H

#include "field.h"
#include "filter_prep.h"

/* Growing array of one writer and many readers: readers load the block with acquire and read only
 * entries below a length they were told of; growing copies to a new block and retires the old. All
 * zero but `width` is an empty one. */
struct eng_grow {
    _Atomic(void *) block;
    uint32_t cap, width; /* entries, bytes an entry */
};

struct eng_tally;
struct eng_order_cursor;

struct eng_part_ops {
    const char *name;
    /* --- open form. All but mask [S] or private. ---------------------------------------------- */
    /* conf is borrowed for the call, the schema until the last call but open_destroy. NULL: memory
     * is short. */
    void *(*open_create)(const struct eng_field_conf *conf, const struct eng_field_schema *s);
    /* May run when field and schema are gone (from the epoch): eng->mem is all it may use. */
    void (*open_destroy)(void *open);
    /* Values of one row (offset ascending; rows left out have none). 1 when the kind accepts at
     * least one value of the row (a text index: any string), 0 when it accepts none, SX_ENOMEM. */
    int (*open_add)(void *open, uint32_t offset, struct sx_doc payload);
    /* Forgets rows at and above offset: an operation that was aborted, or that failed in the middle
     * of a row. Never reaches below what was committed. */
    void (*open_cut)(void *open, uint32_t offset);
    /* Rows [lo, hi) of the chunk; the leaf is one the kind answers. hi may lie above the last row
     * that was added. */
    void (*open_mask)(const void *open,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe);
    uint64_t (*open_bytes)(const void *open);
    /* 1 when the part should be ended early (long texts): sealed before its chunk is full. */
    int (*open_is_full)(const void *open);
    /* --- sealing [W] ---------------------------------------------------------------------------
     */
    /* Appends the sealed form of rows [lo, hi) of the chunk to out, 64-aligned from its start (out
     * holds a multiple of 64 bytes already). All rows are committed. */
    int (*seal)(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);
    /* --- sealed form [A]; p is 64-aligned -------------------------------------------------------
     */
    /* 0 when the bytes are a well-formed part of this kind: every offset checked once. */
    int (*check)(const struct eng_field_schema *s, const uint8_t *p, uint64_t n);
    void (*mask)(const struct eng_field_schema *s,
                 const uint8_t *p,
                 const struct eng_leaf *leaf,
                 struct eng_bits *yes,
                 struct eng_bits *maybe);
    /* --- both; sealed NULL or open NULL ----------------------------------------------------------
     */
    /* Adds what the part has: values, distinct, and what the leaf selects (see the estimator's
     * table). Points are counted by the framework. */
    void (*tally)(const struct eng_field_schema *s,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out);
    /* NULL when the kind has no facets. Bytes from a file may be about other rows than their head
     * says: bits may hold any row of the chunk. 0 or SX_ENOMEM. */
    int (*facet)(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits);
    /* NULL when the kind has no order. Positions a cursor at the first entry not before the start
     * (asc) / not after it (desc). 0 or SX_ENOMEM. */
    int (*order)(const struct eng_field_schema *s,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct sx_order_by *by,
                 struct sx_arena *arena,
                 struct eng_order_cursor *out);
    /* 1 when the kind answers the leaf (whose mode is not PLAIN), fully or as a narrowing. */
    int (*answers)(const struct eng_field_schema *s, const struct eng_leaf *leaf);
    /* --- optional --------------------------------------------------------------------------------
     */
    /* [S] Rows added since the last commit or cut stay; readers are told of them only after this.
     * For lengths that readers share with the writer and that must not go down again. */
    void (*open_commit)(void *open);
    /* What sealed bytes depend on beside the schema (a text index: the version of its analyzer). A
     * saved part with another stamp is built anew. */
    uint64_t (*stamp)(const struct eng_field_schema *s);
};

/* What the estimator needs, summed over parts. Operands: the values of any/except, the tokens of a
 * text, else the one value; len in their order. */
struct eng_tally {
    uint64_t points;   /* with at least one value; filled by the framework */
    uint64_t values;   /* entries in all */
    uint64_t distinct; /* distinct values (upper bound when summed) */
    uint64_t lo, hi;   /* leaves without operands (range, geo, prefix): points that match
                          for certain, entries that match */
    uint32_t n, pad;
    uint64_t *len; /* n: points having operand i */
};

/* One part's sorted entries, stepped by the merge: by value in the order asked for, equal values by
 * ascending row in either order, each (value, row) once. */
struct eng_order_cursor {
    void *priv;
    /* 1 and the entry (row: its offset in the chunk), 0 at the end. */
    int (*next)(struct eng_order_cursor *c, struct eng_order_entry *e);
    uint32_t row_base, pad; /* the framework's */
};

/* part_*.c */
extern const struct eng_part_ops eng_part_keyword, eng_part_uuid,
    eng_part_bool; /* part_keyword.c, ... */
extern const struct eng_part_ops eng_part_integer, eng_part_float, eng_part_datetime;
extern const struct eng_part_ops eng_part_geo;
extern const struct eng_part_ops eng_part_text;
const struct eng_part_ops *eng_part_ops_of(uint32_t type); /* field.c */

/* grow.c: room for n entries in all; 0 or SX_ENOMEM. */
int eng_grow_room(struct eng_grow *g, const struct eng *e, uint32_t n);
void *eng_grow_read(const struct eng_grow *g); /* [A] acquire */
void eng_grow_fini(struct eng_grow *g, const struct eng *e);

/* facet.c, field_facet.c, for kinds: adds n points to the count of a value. 0 or SX_ENOMEM. */
int eng_facet_add_str(struct eng_facet *k, struct sx_str v, uint64_t n);
int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n);
int eng_facet_add_uuid(struct eng_facet *k, const struct sx_id *v, uint64_t n);
int eng_facet_add_bool(struct eng_facet *k, int v, uint64_t n);
/* The same for strings that the part numbers: the number of the value is looked up once per part
 * and kept, not once per request. code < the n_codes given to eng_facet_codes(), which comes first.
 * For sealed parts. */
void eng_facet_codes(struct eng_facet *k, uint32_t n_codes);
int eng_facet_add_code(struct eng_facet *k, uint32_t code, struct sx_str v, uint64_t n);
/* n counters, all 0, valid until the next call; NULL when memory is short. */
uint32_t *eng_facet_counts(struct eng_facet *k, uint32_t n);

/* field_value.c: which values each type accepts, for documents, indexes, facets and order alike.
 * 1 and the value as it is compared, or 0. */
int eng_value_str(const struct sx_value *v, struct sx_str *out);
int eng_value_uuid(const struct sx_value *v, struct sx_id *out);
int eng_value_bool(const struct sx_value *v, int *out);
int eng_value_int(const struct sx_value *v, int64_t *out);
int eng_value_float(const struct sx_value *v, double *out);
int eng_value_time(const struct sx_value *v, int64_t *us); /* microseconds */

/* As sx_path_values() and sx_path_each(), faster where keys lead to one value. */
int eng_path_values(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg);
int eng_path_each(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg);

/* The start of an order in the terms of the index: 0 when none was given; 1 and the smallest value
 * not before it (asc) or the largest not after it (desc), in bound->i (integer, datetime) or
 * bound->f; -1 when no value of the type qualifies. */
int eng_order_bound(const struct eng_field_schema *s,
                    const struct sx_order_by *by,
                    struct eng_order_entry *bound);

/* part_presence.c: a set of rows of one chunk as relocatable bytes: few rows, all but a few, or a
 * bitmap, whichever is shortest. Begins 8-aligned. */
struct eng_set {
    uint32_t kind, n; /* n: rows listed */
    uint32_t lo, hi;  /* rows outside are not in it */
};
void eng_set_put(struct sx_buf *out, const struct eng_bits *bits, uint32_t lo, uint32_t hi);
/* Bytes of the set at p, or 0 when it is not well formed within n. */
uint64_t eng_set_check(const uint8_t *p, uint64_t n);
void eng_set_or(const uint8_t *p, struct eng_bits *out);
uint32_t eng_set_count(const uint8_t *p);
uint32_t eng_set_count_in(const uint8_t *p, const struct eng_bits *bits);

/* Rows [lo, hi) of the chunk. */
void eng_bits_range(struct eng_bits *b, uint32_t lo, uint32_t hi);
/* Clears everything outside [lo, hi). */
void eng_bits_clip(struct eng_bits *b, uint32_t lo, uint32_t hi);
uint32_t eng_bits_count(const struct eng_bits *b, uint32_t lo, uint32_t hi);

/* Bits of a word. Without an instruction for it the compiler calls a function; this is inlined. */
static inline uint32_t eng_popcount(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(x * UINT64_C(0x0101010101010101) >> 56);
}

static inline void eng_bits_set(struct eng_bits *b, uint32_t i)
{
    b->w[i >> 6] |= UINT64_C(1) << (i & 63);
}
static inline int eng_bits_get(const struct eng_bits *b, uint32_t i)
{
    return (int)(b->w[i >> 6] >> (i & 63) & 1);
}

#endif
