/* Strings of an index, numbered per part: keyword values, and uuids as their 16 bytes.
 *
 *   part_keyword.c         the kind "keyword"
 *   part_uuid.c            the kind "uuid": the same with other bytes
 *   part_keyword_dict.c    open form: strings <-> codes
 *   part_keyword_open.c    open form: codes by row
 *   part_keyword_seal.c    open -> sealed, and the check of sealed bytes
 *   part_keyword_sealed.c  what is asked of the sealed form
 *   part_keyword_scan.c    comparing runs of codes
 *
 * Open form. Codes are given in order of arrival. A row has 16 bits: the code of its one value, or
 * NONE, or MANY (several values, or a code that does not fit): then its codes lie in a list beside,
 * each with its row. So a row of one value costs 2 bytes, a condition is a scan of 128 KiB, and
 * readers need no offsets that the writer would have to keep consistent.
 *
 * Sealed form. Values ascend by bytes and codes are their places. Sections, each 8-aligned, in this
 * order; their lengths follow from the head:
 *
 *   head | bitmaps | postings | string offsets | offsets of rows with many | their codes
 *        | code by row | lists | rows with many | text
 *
 * A value of one row has the row in its posting, one of up to 4 096 rows a list, one of more a
 * bitmap. Code by row: 1, 2 or 4 bytes each, n_values = none, n_values + 1 = many. With both
 * directions at hand a facet counts along the shorter one: rows in the mask, or postings. */
#ifndef ENG_PART_KEYWORD_H
#define ENG_PART_KEYWORD_H

#include "field_part.h"

/* Short names in these files, the engine's prefix for the linker: all modules are one program. */
#define kw_check        eng_kw_check
#define kw_cmp          eng_kw_cmp
#define kw_dict_find    eng_kw_dict_find
#define kw_dict_fini    eng_kw_dict_fini
#define kw_dict_intern  eng_kw_dict_intern
#define kw_open_add     eng_kw_open_add
#define kw_open_bytes   eng_kw_open_bytes
#define kw_open_commit  eng_kw_open_commit
#define kw_open_create  eng_kw_open_create
#define kw_open_cut     eng_kw_open_cut
#define kw_open_destroy eng_kw_open_destroy
#define kw_open_facet   eng_kw_open_facet
#define kw_open_is_full eng_kw_open_is_full
#define kw_open_mask    eng_kw_open_mask
#define kw_open_seal    eng_kw_open_seal
#define kw_open_tally   eng_kw_open_tally
#define kw_rows_many    eng_kw_rows_many
#define kw_rows_of      eng_kw_rows_of
#define kw_scan_eq      eng_kw_scan_eq
#define kw_sealed_facet eng_kw_sealed_facet
#define kw_sealed_mask  eng_kw_sealed_mask
#define kw_sealed_tally eng_kw_sealed_tally
#define kw_view_of      eng_kw_view_of
#define kw_want_fits    eng_kw_want_fits
#define kw_want_of      eng_kw_want_of
#define kw_want_str     eng_kw_want_str

#define KW_NONE 0xffffu
#define KW_MANY 0xfffeu /* codes from here on are not kept in 16 bits */

#define KW_LIST_MAX 4096u /* rows of a value that are listed */

/* --- open ------------------------------------------------------------------------------------- */

struct kw_ent {
    uint32_t at, n, hash; /* where in `text` */
};

/* Open addressing; a slot holds code + 1. Replaced as a whole when it is half full. */
struct kw_table {
    const struct sx_mem *mem;
    uint32_t mask, pad;
    _Atomic uint32_t slot[];
};

struct kw_dict {
    struct eng_grow ents, text; /* struct kw_ent, bytes */
    _Atomic(struct kw_table *) table;
    _Atomic uint32_t n; /* codes given; entries below are complete */
    uint32_t text_n;    /* S */
};

struct kw_open {
    const struct eng *eng;
    const struct sx_path *path;
    int is_uuid;
    struct kw_dict dict;
    struct eng_grow one;             /* u16 by row, from `first` */
    struct eng_grow many, many_row;  /* u32 codes, u16 rows; ascending by row */
    uint32_t first;                  /* offset of the first row; fixed before any reader looks */
    uint32_t w_rows, w_many;         /* S: staged ones included */
    _Atomic uint32_t n_rows, n_many; /* committed: what readers may look at */

    /* S: codes of the row being added */
    uint32_t *codes;
    uint32_t n_codes, cap_codes;
};

/* Code of the bytes; 0 or SX_ENOMEM. [S] */
int kw_dict_intern(
    struct kw_dict *d, const struct eng *e, const char *p, uint32_t n, uint32_t *code);
/* The code or KW_NO_CODE. [A] */
#define KW_NO_CODE UINT32_MAX
uint32_t kw_dict_find(const struct kw_dict *d, const char *p, uint32_t n);
void kw_dict_fini(struct kw_dict *d, const struct eng *e);

static inline struct sx_str kw_ent_str(const struct kw_ent *ents, const char *text, uint32_t code)
{
    return (struct sx_str){text + ents[code].at, ents[code].n, 0};
}

/* Operations of the open form; see struct eng_part_ops. */
struct kw_open *kw_open_create(const struct eng *e, const struct sx_path *path, int is_uuid);
void kw_open_destroy(void *open);
int kw_open_add(void *open, uint32_t offset, struct sx_doc payload);
void kw_open_cut(void *open, uint32_t offset);
void kw_open_commit(void *open);
uint64_t kw_open_bytes(const void *open);
int kw_open_is_full(const void *open);
int kw_open_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);

/* The committed rows of [lo, hi), as a reader or the seal sees them. */
struct kw_rows {
    const uint16_t *one; /* of row `lo` */
    uint32_t lo, hi;
    const uint32_t *many;
    const uint16_t *many_row;
    uint32_t n_many, pad;
};
void kw_rows_of(const struct kw_open *o, uint32_t lo, uint32_t hi, struct kw_rows *r);
/* First entry of `many` of a row at or after it. */
uint32_t kw_rows_many(const struct kw_rows *r, uint32_t row);

/* Which strings a leaf selects; strings of a uuid leaf are bytes in `buf`. */
struct kw_want {
    uint32_t match; /* SX_MATCH_* */
    uint32_t n;
    const struct sx_str *strs; /* ascending, distinct; NULL for uuids */
    const struct sx_id *uuids;
};
int kw_want_of(const struct eng_leaf *leaf, int is_uuid, struct kw_want *w); /* 0: not answered */
/* The i-th operand as bytes; buf: 16 bytes. */
struct sx_str kw_want_str(const struct kw_want *w, uint32_t i, char buf[16]);
/* Prefix and substring: does the value qualify. */
int kw_want_fits(const struct kw_want *w, struct sx_str value);

void kw_open_mask(const struct kw_open *o,
                  const struct kw_want *w,
                  uint32_t lo,
                  uint32_t hi,
                  struct eng_bits *yes,
                  struct eng_bits *maybe);
void kw_open_tally(const struct kw_open *o,
                   const struct kw_want *w,
                   uint32_t hi,
                   struct eng_tally *t);
/* Calls add for each value of the rows in bits with the number of those rows. */
typedef int (*kw_count_fn)(struct eng_facet *k, uint32_t code, struct sx_str v, uint32_t n);
int kw_open_facet(const struct kw_open *o,
                  struct eng_facet *k,
                  uint32_t hi,
                  const struct eng_bits *bits,
                  kw_count_fn add);

/* --- sealed ----------------------------------------------------------------------------------- */

struct kw_head {
    uint32_t n_values, text_n;
    uint32_t lo, hi;           /* offsets in the chunk */
    uint32_t width, n_bitmaps; /* bytes of a code by row */
    uint32_t n_list, n_many_rows;
    uint32_t n_many, n_entries; /* codes of rows with many; (row, value) pairs in all */
    uint32_t zero[6];
};
_Static_assert(sizeof(struct kw_head) == 64, "sealed parts are a file format");

struct kw_post {
    uint32_t at, n; /* n 1: at is the row; up to KW_LIST_MAX: in lists; else number of a bitmap */
};

/* The sections of a sealed part. */
struct kw_view {
    const struct kw_head *h;
    const uint64_t *bitmaps;
    const struct kw_post *post;
    const uint32_t *str_at, *many_at, *many;
    const uint8_t *one;
    const uint16_t *list, *many_row;
    const char *text;
    uint64_t total; /* bytes of all */
};
/* Fills the view by the head's counts; nothing but the head is read. */
void kw_view_of(const uint8_t *p, struct kw_view *v);

static inline struct sx_str kw_str(const struct kw_view *v, uint32_t code)
{
    return (struct sx_str){v->text + v->str_at[code], v->str_at[code + 1] - v->str_at[code], 0};
}
/* i: row - lo */
static inline uint32_t kw_one(const struct kw_view *v, uint32_t i)
{
    if (v->h->width == 1)
        return v->one[i];
    if (v->h->width == 2)
        return ((const uint16_t *)(const void *)v->one)[i];
    return ((const uint32_t *)(const void *)v->one)[i];
}

int kw_check(const uint8_t *p, uint64_t n);
void kw_sealed_mask(const uint8_t *p, const struct kw_want *w, struct eng_bits *yes);
void kw_sealed_tally(const uint8_t *p, const struct kw_want *w, struct eng_tally *t);
int kw_sealed_facet(const uint8_t *p,
                    struct eng_facet *k,
                    const struct eng_bits *bits,
                    kw_count_fn add);

/* Strings by bytes, shorter first where one begins the other. */
int kw_cmp(struct sx_str a, struct sx_str b);

/* --- scans ------------------------------------------------------------------------------------ */

/* Sets the bits first + i of codes[i] == want, i < n; width: bytes of a code. */
void kw_scan_eq(const void *codes,
                uint32_t width,
                uint32_t n,
                uint32_t want,
                uint32_t first,
                struct eng_bits *out);

#endif
