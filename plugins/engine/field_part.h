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
 * entries below a length they were told of; growing copies to a new block and retires the old. */
struct eng_grow {
    _Atomic(void *) block;
    uint32_t cap, width; /* entries, bytes an entry */
};

struct eng_tally;
struct eng_order_cursor;

struct eng_part_ops {
    const char *name;
    /* --- open form. All but mask [S] or private. ---------------------------------------------- */
    void *(*open_create)(const struct eng_field_conf *conf, const struct eng_field_schema *s);
    void (*open_destroy)(void *open);
    /* Values of one row (offset ascending; rows left out have none). 0, SX_ENOMEM. */
    int (*open_add)(void *open, uint32_t offset, struct sx_doc payload);
    /* Forgets rows at and above offset: an operation that was aborted. */
    void (*open_cut)(void *open, uint32_t offset);
    /* Rows [lo, hi) of the chunk; the leaf is one the kind answers. */
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
    /* Appends the sealed form to out, 64-aligned from its start. */
    int (*seal)(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);
    /* --- sealed form [A] ------------------------------------------------------------------------
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
    /* Entries of the part: points with a value, values, and what the leaf selects (see the
     * estimator's table); summed over parts by the framework. */
    void (*tally)(const struct eng_field_schema *s,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out);
    /* NULL when the kind has no facets. */
    int (*facet)(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits);
    /* NULL when the kind has no order. Positions a cursor at the first entry not before the start
     * (asc) / not after it (desc). */
    int (*order)(const struct eng_field_schema *s,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct sx_order_by *by,
                 struct sx_arena *arena,
                 struct eng_order_cursor *out);
    /* 1 when the kind answers the leaf, fully or as a narrowing. */
    int (*answers)(const struct eng_field_schema *s, const struct eng_leaf *leaf);
};

/* One part's answer for the estimator. Per leaf operand up to `n` lens are summed over parts in the
 * order of the operands (values of any/except, tokens of text). */
struct eng_tally {
    uint64_t points;   /* with at least one value */
    uint64_t values;   /* entries in all */
    uint64_t distinct; /* distinct values (upper bound when summed) */
    uint64_t lo, hi;   /* of a range or geo condition: bounds of what matches */
    uint32_t n, pad;
    uint64_t *len; /* n: points having operand i */
};

/* One part's sorted entries, stepped by the merge. */
struct eng_order_cursor {
    void *priv;
    /* 1 and the entry, 0 at the end. */
    int (*next)(struct eng_order_cursor *c, struct eng_order_entry *e);
    uint32_t row_base, pad; /* added to the entry's offset */
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

/* facet.c, for kinds: adds n to the count of a value. */
int eng_facet_add_str(struct eng_facet *k, struct sx_str v, uint64_t n);
int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n);
int eng_facet_add_uuid(struct eng_facet *k, const struct sx_id *v, uint64_t n);

static inline void eng_bits_set(struct eng_bits *b, uint32_t i)
{
    b->w[i >> 6] |= UINT64_C(1) << (i & 63);
}
static inline int eng_bits_get(const struct eng_bits *b, uint32_t i)
{
    return (int)(b->w[i >> 6] >> (i & 63) & 1);
}

#endif
