/* What compile prepares for the leaves: the operands in the form that documents and payload indexes
 * are compared with. Filled by filter_compile.c, read by filter_match*.c and field*.c. All of it
 * lies in the filter's arena. */
#ifndef ENG_FILTER_PREP_H
#define ENG_FILTER_PREP_H

#include "filter.h"

/* ENG_LEAF_MATCH with STR, ANY_STR, EXCEPT_STR, PREFIX, SUBSTRING. */
struct eng_prep_strings {
    uint32_t n, is_uuid;       /* is_uuid: a uuid index compares uuids; else bytes */
    const struct sx_str *strs; /* ascending by bytes, distinct */
    const struct sx_id *uuids; /* ascending, distinct; is_uuid only (n_uuids of them) */
    uint32_t n_uuids, pad;
};
/* INT, ANY_INT, EXCEPT_INT; BOOL as 0 or 1. */
struct eng_prep_ints {
    uint32_t n, pad;
    const int64_t *ints; /* ascending, distinct */
};
/* TEXT, TEXT_ANY, PHRASE. */
struct eng_prep_tokens {
    uint32_t n, pad; /* distinct tokens; of a phrase all, in order */
    const struct sx_str *tokens;
    struct eng_analyzer *analyzer; /* of the index, or the default one for unindexed text */
};
/* RANGE. For an integer or datetime index the bounds as the exact integers it compares with. */
struct eng_prep_range {
    uint32_t is_int; /* lo and hi count, inclusive; empty when lo > hi */
    uint32_t pad;
    int64_t lo, hi;
    double f_lo, f_hi; /* with the openness below: the set of numbers in f64 */
    uint32_t lo_open, hi_open;
};

#endif
