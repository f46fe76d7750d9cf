/* What compile prepares for the leaves: the operands in the form that documents and payload indexes
 * are compared with. Filled by filter_compile.c, read by filter_match*.c and field*.c. All of it
 * lies in the filter's arena. */
#ifndef ENG_FILTER_PREP_H
#define ENG_FILTER_PREP_H

#include "filter.h"
#include "geo.h"

/* ENG_LEAF_MATCH with STR, ANY_STR, EXCEPT_STR, PREFIX, SUBSTRING. */
struct eng_prep_strings {
    uint32_t n, is_uuid; /* is_uuid: the leaf compares uuids, as a uuid index does; else bytes */
    const struct sx_str *strs; /* ascending by bytes, distinct */
    const struct sx_id *uuids; /* ascending, distinct: of all strs, when there is a uuid index and
                                  every one of them is a uuid (a COVERED leaf has them too) */
    uint32_t n_uuids, pad;
};
/* INT, ANY_INT, EXCEPT_INT; BOOL as 0 or 1. */
struct eng_prep_ints {
    uint32_t n, pad;
    const int64_t *ints; /* ascending, distinct */
};
/* TEXT, TEXT_ANY, PHRASE. */
struct eng_prep_tokens {
    uint32_t n, pad;             /* distinct tokens, ascending; of a phrase all, in order */
    const struct sx_str *tokens; /* one at least */
    const uint32_t *border; /* PHRASE: length of the longest shorter beginning that tokens[0..i]
                               ends with */
    const struct eng_analyzer *analyzer; /* of the index, or the default one for unindexed text */
};
/* RANGE. Empty sets do not get here. */
struct eng_prep_range {
    uint32_t is_int;   /* lo and hi count, inclusive: what an integer or datetime index compares */
    uint32_t is_time;  /* the values are texts of datetimes, else numbers */
    int64_t lo, hi;    /* COVERED: a little wider than the leaf, so that nothing is missed */
    double f_lo, f_hi; /* numbers, with the openness below: the set in f64 */
    uint32_t lo_open, hi_open;
    struct sx_instant t_lo, t_hi; /* datetimes without an index, with the openness */
};
/* GEO: one shape. */
struct eng_prep_geo {
    struct eng_geo_shape shape;
};
/* HAS_ID. */
struct eng_prep_ids {
    uint32_t n, pad;
    const struct sx_id *ids; /* ascending, distinct, one at least */
};

/* The integer an integer index has for a value; 0 when it has none: integers of i64 and floats with
 * such a value; 2^63, and what is rounded to it as f64, counts as the largest. */
int eng_index_int(const struct sx_value *v, int64_t *out);
/* A number as f64; 0 when the value is none. */
int eng_index_f64(const struct sx_value *v, double *out);
/* Microseconds since 1970 of a datetime text, as a datetime index has them; 0 when it is none. */
int eng_index_us(const struct sx_value *v, int64_t *out);
/* The same of a parsed one; saturates. */
static inline int64_t eng_instant_us(const struct sx_instant *t)
{
    int64_t us;

    if (__builtin_mul_overflow(t->s, INT64_C(1000000), &us) ||
        __builtin_add_overflow(us, (int64_t)(t->ns / 1000), &us))
        return t->s < 0 ? INT64_MIN : INT64_MAX;
    return us;
}

#endif
