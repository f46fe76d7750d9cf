/* Payload indexes of numbers: integer, float, datetime.
 *
 * All three keep i64 keys whose order is the order of the values, so that everything below the
 * conversion is one code: an integer is its own key, a datetime the microseconds since 1970, a
 * float its magnitude's bits with the sign applied as a number (so -0.0 and 0.0 are one key, and
 * keys of floats with few significant bits share trailing zeros, which the sealed form drops). A
 * row's equal values are kept once.
 *
 *   part_numeric_key.c    values of documents, ranges and starts as keys
 *   part_numeric_fwd.c    values by row, growing under readers (of points too)
 *   part_numeric_scan.c   comparing runs of numbers with an interval
 *   part_numeric_open.c   the open form
 *   part_numeric_sort.c   sorting
 *   part_numeric_seal.c   layout of the sealed form; making and checking it
 *   part_numeric_mask.c   conditions and counts on the sealed form
 *   part_numeric_order.c  order of both forms
 *   part_integer.c, part_float.c, part_datetime.c   the tables of the kinds
 *
 * Threads as in field_part.h. */
#ifndef ENG_PART_NUMERIC_H
#define ENG_PART_NUMERIC_H

#include "part_numeric_fwd.h"
#include "part_numeric_scan.h"

/* --- keys: part_numeric_key.c ------------------------------------------------------------ */

/* The key of one value a path leads to. 0: the index does not accept it. */
int eng_num_key(uint32_t type, const struct sx_value *v, int64_t *key);
/* What order reports for a key: i for integer and datetime, f for float, the other one 0. */
void eng_num_entry(uint32_t type, int64_t key, struct eng_order_entry *e);
/* The keys of a range. 0: none. */
int eng_num_range(uint32_t type, const struct eng_prep_range *r, int64_t *lo, int64_t *hi);
/* Order's interval: from the start on, in its direction. 0: none. */
int eng_num_start(const struct eng_field_schema *s,
                  const struct sx_order_by *by,
                  int64_t *lo,
                  int64_t *hi);

/* --- sorting ----------------------------------------------------------------------------- */

struct eng_num_pair {
    int64_t key;
    uint32_t row, pad;
};
/* By key; equal keys keep their order. tmp has room for n. The result is in one of the two, and
 * returned. */
struct eng_num_pair *eng_num_sort(struct eng_num_pair *a, struct eng_num_pair *tmp, uint32_t n);
/* Sorts in place, keeps equal keys once, returns how many are left. */
uint32_t eng_num_distinct(int64_t *v, uint32_t n);

/* --- open form ---------------------------------------------------------------------------- */

struct eng_num_open {
    struct eng_fwd fwd;
    const struct eng *eng;
    const struct eng_field_schema *schema;
    eng_scan_fn scan;
};
void *eng_num_open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s);
void eng_num_open_destroy(void *open);
int eng_num_open_add(void *open, uint32_t offset, struct sx_doc payload);
void eng_num_open_cut(void *open, uint32_t offset);
void eng_num_open_mask(const void *open,
                       const struct eng_leaf *leaf,
                       uint32_t lo,
                       uint32_t hi,
                       struct eng_bits *yes,
                       struct eng_bits *maybe);
uint64_t eng_num_open_bytes(const void *open);
int eng_num_open_is_full(const void *open);
/* Bits of the n keys that lie in [lo, hi], into (n + 63) / 64 words. */
void eng_num_scan(
    eng_scan_fn scan, const int64_t *v, uint32_t n, int64_t lo, int64_t hi, uint64_t *w);
void eng_num_open_tally(const struct eng_num_open *o,
                        uint32_t hi,
                        const struct eng_leaf *leaf,
                        struct eng_tally *out);

/* --- sealed form --------------------------------------------------------------------------- */

int eng_num_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);
int eng_num_check(const struct eng_field_schema *s, const uint8_t *p, uint64_t n);

/* How a part tells the values of a row. */
enum {
    ENG_NUM_BY_ROW = 0, /* no row has two: code i is of row code_from + i */
    ENG_NUM_LISTED,     /* code i is of row code_rows[i]; integers, for facets */
    ENG_NUM_NONE        /* not at all: nobody asks */
};

/* A checked part, spread out. Values are distinct and ascending; code = number of a value. */
struct eng_num_part {
    uint32_t lo, hi; /* rows it spans */
    uint32_t points, entries, distinct;
    uint32_t most;           /* values of one row, at most */
    uint32_t width, shift;   /* bytes of a packed value; key = base + (packed << shift) */
    uint32_t form;           /* ENG_NUM_* */
    uint32_t codes;          /* a multiple of 64 */
    uint32_t code_from, pad; /* a multiple of 64 */
    uint32_t start_width, code_width;
    int64_t base;
    uint64_t packed_mask;
    const uint8_t *packed;
    const void *start;    /* NULL: one entry each */
    const uint16_t *rows; /* of each entry, by value, then row */
    const void *code;     /* by row */
    const uint16_t *code_rows;
};
void eng_num_part_of(const uint8_t *p, struct eng_num_part *out);

#define ENG_NUM_HOLE 0xffffu /* in 16-bit codes by row: no value */

static inline uint64_t eng_num_packed(const struct eng_num_part *t, uint32_t code)
{
    uint64_t x;

    __builtin_memcpy(&x, t->packed + (uint64_t)code * t->width, sizeof(x));
    return x & t->packed_mask;
}
static inline int64_t eng_num_key_of(const struct eng_num_part *t, uint32_t code)
{
    return (int64_t)((uint64_t)t->base + (eng_num_packed(t, code) << t->shift));
}
/* First entry of a value; code may be t->distinct. */
static inline uint32_t eng_num_start_of(const struct eng_num_part *t, uint32_t code)
{
    if (code >= t->distinct)
        return t->entries;
    if (t->start == NULL)
        return code;
    if (t->start_width == 2)
        return ((const uint16_t *)t->start)[code];
    return ((const uint32_t *)t->start)[code];
}
/* First code at or above `from` whose key is >= key. Cheap when it lies near `from`. */
uint32_t eng_num_lower(const struct eng_num_part *t, uint32_t from, int64_t key);

void eng_num_mask(const struct eng_field_schema *s,
                  const uint8_t *p,
                  const struct eng_leaf *leaf,
                  struct eng_bits *yes,
                  struct eng_bits *maybe);
void eng_num_tally(const struct eng_field_schema *s,
                   const uint8_t *sealed,
                   const void *open,
                   uint32_t open_hi,
                   const struct eng_leaf *leaf,
                   struct eng_tally *out);
int eng_num_order(const struct eng_field_schema *s,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct sx_order_by *by,
                  struct sx_arena *arena,
                  struct eng_order_cursor *out);

/* Operands of a match on integers, or NULL when the leaf is none. */
const struct eng_prep_ints *eng_num_ints(const struct eng_leaf *leaf, int *is_except);
/* Leaves of RANGE; the integer kind adds its own. */
int eng_num_answers_range(const struct eng_field_schema *s, const struct eng_leaf *leaf);

#endif
