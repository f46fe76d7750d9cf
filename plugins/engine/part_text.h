/* Texts of an index as tokens, numbered per part.
 *
 *   part_text.c         the kind "text", and what a leaf asks of a part
 *   part_text_open.c    open form: adding rows
 *   part_text_scan.c    open form: conditions and figures
 *   part_text_slice.c   tokens of one document against those of a query
 *   part_text_seal.c    open -> sealed
 *   part_text_check.c   layout of the sealed form, and its check
 *   part_text_sealed.c  conditions and figures of the sealed form
 *   part_text_read.c    both forms as BM25 reads them: documents, frequencies, lengths
 *
 * A unit is what a query's tokens must be found in: the row, or, of a nested index, one element of
 * it. The tokens of a unit are a slice of one long sequence of codes; its order depends on what the
 * index was asked for:
 *
 *   phrases       as in the text. GAP stands between two values, and before and after each compound
 *                 of program text, so that a phrase of several tokens cannot reach over either,
 *                 while a phrase of one token finds compounds too.
 *   scores        as in the text, without gaps (with phrases: as above)
 *   neither       ascending, each once
 *
 * Open form. Codes are given in order of arrival. A condition scans the sequence for the rarest of
 * its tokens and looks at the slices it is found in. 4 bytes a token; a part ends with a million of
 * them, which are compared in some 200 us; each row that has the token takes some 20 ns more.
 *
 * Sealed form. Tokens ascend by bytes and codes are their places. Postings are rows: of one row it
 * is in the posting, up to 4 096 are a list, more a bitmap. The slices are kept where postings do
 * not tell all: for phrases, and for nested indexes (are all tokens in one element, how often).
 * Positions in the postings would be as long (a byte a token and one a row, against two a token),
 * and a phrase of frequent words would have to decode them from the beginning. Of package summaries
 * (7 tokens a row) a token takes 2.6 bytes; 5.1 with phrases, 4.0 with scores, 6.6 with both.
 * Sections, each 8-aligned, in this order; their lengths follow from the head:
 *
 *   head | bitmaps | postings | string offsets | tf offsets | large tf | units by row
 *        | slices by unit | codes | lists | lengths by unit | tf | text
 *
 * Units by row: of nested indexes. tf (frequency of a token in a row, 255 = among the large ones):
 * for scores of plain ones. Lengths have 13 leading binary digits, as scores know no more of them.
 */
#ifndef ENG_PART_TEXT_H
#define ENG_PART_TEXT_H

#include "part_keyword.h"

#define TX_GAP     UINT32_MAX /* in slices of 4 bytes; of 2 bytes the largest of these */
#define TX_TOKENS  256u       /* of a query that are looked for in slices; see eng_tx_query */
#define TX_TF_MANY 255u

/* --- what a leaf asks: part_text.c ---------------------------------------------------------- */

/* A query whose tokens must be in one slice. Of more than TX_TOKENS tokens only the first are
 * looked for: what has them is then left to be told by documents, and nothing here needs memory. */
struct eng_tx_query {
    const uint32_t *border; /* of a phrase; else NULL: all tokens in any order */
    uint32_t n, is_partial;
    uint32_t slice, pad; /* how many have been looked at */
    uint32_t codes[TX_TOKENS];
    uint32_t seen[TX_TOKENS]; /* the last slice that had it */
};
/* 1 when the leaf is one of this kind. */
int eng_tx_asks(const struct eng_field_schema *s, const struct eng_leaf *leaf);
/* 1 when each row that has one of the tokens qualifies: no query is needed. */
int eng_tx_is_any(const struct eng_leaf *leaf);
void eng_tx_query_init(struct eng_tx_query *q, const struct eng_leaf *leaf);

/* --- slices: part_text_slice.c -------------------------------------------------------------- */

struct eng_tx_slice {
    const void *p;
    uint32_t width, n; /* bytes of a code, 2 or 4 */
};
/* First place at or after `from`, or n. */
uint32_t eng_tx_slice_find(const struct eng_tx_slice *s, uint32_t from, uint32_t code);
uint32_t eng_tx_slice_count(const struct eng_tx_slice *s, uint32_t code);
/* The slice has the codes of the query: in sequence, or all of them (then q->codes ascend). */
int eng_tx_slice_fits(const struct eng_tx_slice *s, struct eng_tx_query *q);

/* Lengths of documents as 16 bits: exact below 8 192, then 13 leading digits, up to 2^27 - 2^14. */
uint16_t eng_tx_len_pack(uint32_t n);
static inline uint32_t eng_tx_len(uint16_t v)
{
    return v < 4096 ? v : (4096u + (v & 4095u)) << ((v >> 12) - 1);
}

/* --- open ------------------------------------------------------------------------------------ */

struct eng_tx_count {
    _Atomic uint32_t rows; /* committed ones that have the token */
    uint32_t last;         /* S: 1 + the last of them */
};

struct eng_tx_open {
    const struct eng *eng;
    const struct eng_field_schema *schema;
    struct kw_dict dict;
    struct eng_grow tok;      /* u32: codes */
    struct eng_grow end;      /* u32 by unit: where its slice ends and the next one begins */
    struct eng_grow row;      /* u16 by unit, of a nested index; else unit 0 is row `first` */
    struct eng_grow len;      /* u16 by unit, for scores */
    struct eng_grow df;       /* struct eng_tx_count by code */
    uint32_t first;           /* fixed before any reader looks */
    uint32_t w_units, w_tok;  /* S: staged ones included */
    _Atomic uint32_t n_units; /* committed: what readers may look at */
    uint32_t n_counted;       /* S: units that are in df */

    struct {
        uint32_t units, tok; /* as w_ will be */
        uint32_t offset;
        uint32_t from;     /* of the unit's slice */
        uint32_t n_tokens; /* of the unit */
        uint32_t n_strings;
        uint32_t is_parted; /* the next token of the unit is behind a gap */
        uint32_t n_compounds, cap_compounds;
        uint32_t *compounds; /* of the value */
        struct sx_buf work;
        int rc;
    } add; /* S: the row being added */
};

struct eng_tx_open *eng_tx_open_create(const struct eng *e, const struct eng_field_schema *s);
void eng_tx_open_destroy(void *open);
int eng_tx_open_add(void *open, uint32_t offset, struct sx_doc payload);
void eng_tx_open_cut(void *open, uint32_t offset);
void eng_tx_open_commit(void *open);
uint64_t eng_tx_open_bytes(const void *open);
int eng_tx_open_is_full(const void *open);

/* The committed units of rows [lo, hi). */
struct eng_tx_units {
    const uint32_t *tok, *end;
    const uint16_t *row, *len; /* NULL when the index has none */
    uint32_t lo, hi;           /* units */
    uint32_t first, pad;
};
void eng_tx_units_of(const struct eng_tx_open *o, uint32_t lo, uint32_t hi, struct eng_tx_units *u);
static inline uint32_t eng_tx_unit_row(const struct eng_tx_units *u, uint32_t i)
{
    return u->row != NULL ? u->row[i] : u->first + i;
}
static inline uint32_t eng_tx_unit_from(const struct eng_tx_units *u, uint32_t i)
{
    return i != 0 ? u->end[i - 1] : 0;
}
static inline struct eng_tx_slice eng_tx_unit_slice(const struct eng_tx_units *u, uint32_t i)
{
    uint32_t from = eng_tx_unit_from(u, i);

    return (struct eng_tx_slice){u->tok + from, 4, u->end[i] - from};
}

/* Units that have a code, one after the other. */
struct eng_tx_scan {
    const struct eng_tx_units *u;
    uint32_t code, unit; /* unit: not before it */
    uint32_t at, n;      /* the block of codes in `hits` */
    uint32_t end;        /* of all codes */
    uint32_t word;       /* of hits */
    uint32_t past;       /* hits before it are of units already given */
    uint32_t pad;
    struct eng_bits hits;
};
void eng_tx_scan_begin(struct eng_tx_scan *s, const struct eng_tx_units *u, uint32_t code);
int eng_tx_scan_next(struct eng_tx_scan *s, uint32_t *unit);

void eng_tx_open_mask(const struct eng_tx_open *o,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe);
/* Rows that have a token, of all those committed so far. code: of the dictionary. */
uint32_t eng_tx_open_rows(const struct eng_tx_open *o, uint32_t code);
void eng_tx_open_tally(const struct eng_tx_open *o,
                       const struct eng_prep_tokens *prep,
                       struct eng_tally *t);

/* --- sealed ---------------------------------------------------------------------------------- */

#define TX_OPTIONS (ENG_FIELD_PHRASE | ENG_FIELD_SCORING)
#define TX_NESTED  1u

struct eng_tx_head {
    uint32_t n_values, text_n;
    uint32_t lo, hi; /* offsets in the chunk */
    uint32_t flags;  /* TX_OPTIONS of the schema, and TX_NESTED */
    uint32_t width;  /* bytes of a code in slices; 0: there are none */
    uint32_t n_bitmaps, n_list;
    uint32_t n_units, n_seq; /* slices and their codes */
    uint32_t n_entries;      /* (row, token) pairs */
    uint32_t n_docs;         /* units with tokens; of scores */
    uint64_t length;         /* sum of their lengths */
    uint32_t n_many;         /* frequencies from TX_TF_MANY on */
    uint32_t zero;
};
_Static_assert(sizeof(struct eng_tx_head) == 64, "sealed parts are a file format");

struct eng_tx_many {
    uint32_t entry, tf; /* ascending by entry */
};

struct eng_tx_view {
    const struct eng_tx_head *h;
    const uint64_t *bitmaps;
    const struct kw_post *post; /* as those of keywords */
    const uint32_t *str_at, *tf_at, *row_at, *unit_at;
    const struct eng_tx_many *many;
    const uint8_t *seq;
    const uint16_t *list, *len;
    const uint8_t *tf;
    const char *text;
    uint64_t total; /* bytes of all */
};
/* Fills the view by the head's counts; nothing but the head is read. */
void eng_tx_view_of(const uint8_t *p, struct eng_tx_view *v);

static inline int eng_tx_has_slices(uint32_t flags)
{
    return (flags & (ENG_FIELD_PHRASE | TX_NESTED)) != 0;
}
static inline int eng_tx_has_tf(uint32_t flags)
{
    return (flags & (ENG_FIELD_SCORING | TX_NESTED)) == ENG_FIELD_SCORING;
}
static inline uint32_t eng_tx_flags(const struct eng_field_schema *s)
{
    return (s->flags & TX_OPTIONS) | (s->nested_steps != 0 ? TX_NESTED : 0);
}
static inline struct sx_str eng_tx_str(const struct eng_tx_view *v, uint32_t code)
{
    return (struct sx_str){v->text + v->str_at[code], v->str_at[code + 1] - v->str_at[code], 0};
}
static inline struct eng_tx_slice eng_tx_slice(const struct eng_tx_view *v, uint32_t unit)
{
    uint32_t from = v->unit_at[unit];

    return (struct eng_tx_slice){v->seq + (uint64_t)from * v->h->width, v->h->width,
                                 v->unit_at[unit + 1] - from};
}
/* The units of a row: [*from, *to). */
static inline void
eng_tx_row_units(const struct eng_tx_view *v, uint32_t row, uint32_t *from, uint32_t *to)
{
    uint32_t i = row - v->h->lo;

    *from = v->row_at != NULL ? v->row_at[i] : i;
    *to = v->row_at != NULL ? v->row_at[i + 1] : i + 1;
}
static inline const uint64_t *eng_tx_bitmap(const struct eng_tx_view *v, uint32_t code)
{
    return v->bitmaps + (uint64_t)v->post[code].at * ENG_BITS_WORDS;
}
uint32_t eng_tx_find(const struct eng_tx_view *v, struct sx_str token); /* or KW_NO_CODE */

int eng_tx_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);
int eng_tx_check(const struct eng_field_schema *s, const uint8_t *p, uint64_t n);
void eng_tx_sealed_mask(const uint8_t *p,
                        const struct eng_leaf *leaf,
                        struct eng_bits *yes,
                        struct eng_bits *maybe);
void eng_tx_sealed_tally(const uint8_t *p, const struct eng_prep_tokens *prep, struct eng_tally *t);

/* --- what BM25 reads: part_text_read.c ------------------------------------------------------ */

/* A part of an index with ENG_FIELD_SCORING, in one of its forms. A document is a unit with at
 * least one token. Thread: any, in an epoch. `rows` are rows of the chunk that count, NULL = all.
 * Nothing here allocates. */
struct eng_tx_part {
    const uint8_t *sealed;          /* checked; or NULL */
    const struct eng_tx_open *open; /* rows below `hi` of the chunk */
    uint32_t hi, pad;
};

/* Adds the documents, and the sum of their lengths (13 leading digits each). */
struct eng_tx_docs {
    uint64_t n, length;
};
void eng_tx_docs_of(const struct eng_tx_part *p,
                    const struct eng_bits *rows,
                    struct eng_tx_docs *sum);
/* Documents that have the token. */
uint64_t eng_tx_df(const struct eng_tx_part *p, struct sx_str token, const struct eng_bits *rows);

/* One document with the token. unit: its number in the part, the same for every token, ascending as
 * rows do; of a sealed part below n_units of the head, of an open one below n_units of the moment.
 */
struct eng_tx_posting {
    uint32_t row, unit;
    uint32_t tf, len; /* how often it has the token; its length, 13 leading digits */
};
/* The documents of a token, by unit. Large (8 KiB): not for deep stacks. */
struct eng_tx_postings {
    const struct eng_bits *rows;
    uint32_t code, at;           /* at: entries gone through */
    uint32_t word;               /* of a bitmap */
    uint32_t row, unit, unit_to; /* of a nested index: units of the row that are left */
    uint64_t bits;               /* of the word, those left */
    struct eng_tx_view v;        /* h NULL: the open form */
    struct eng_tx_units u;
    struct eng_tx_scan scan;
};
/* 0: there are none. p and rows are borrowed as long as `it` is used; `it` may not be moved. */
int eng_tx_postings_begin(struct eng_tx_postings *it,
                          const struct eng_tx_part *p,
                          struct sx_str token,
                          const struct eng_bits *rows);
/* 1 and the next one, 0 at the end. */
int eng_tx_postings_next(struct eng_tx_postings *it, struct eng_tx_posting *out);

#endif
