/* The filter of a request as a tree in the request's arena.
 *
 * Transports build it from their wire form and report what is malformed there; the engine compiles
 * it against the collection's payload indexes. Paths are parsed once, by the transport. Strict
 * level like sx_op.h. Immutable once the operation has been submitted. */
#ifndef SX_FILTER_H
#define SX_FILTER_H

#include "sextant/sx_path.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sx_cond;

/* All present clauses must hold. A clause without conditions does not restrict, with two
 * exceptions: min_should that is present (even with an empty list: no point), and an empty `should`
 * list inside a nested filter (no element). */
struct sx_filter {
    uint32_t n_must, n_should, n_must_not, n_min_should;
    const struct sx_cond *must, *should, *must_not, *min_should;
    uint64_t min_count;
    uint32_t has_min_should;
    uint32_t has_should; /* `should` was given as a list, perhaps an empty one */
};

enum {
    SX_COND_NEVER = 0, /* a field condition without clause, where validation lets it pass */
    SX_COND_FIELD,
    SX_COND_IS_EMPTY, /* {"is_empty": {"key"}} */
    SX_COND_IS_NULL,
    SX_COND_HAS_ID,
    SX_COND_HAS_VECTOR,
    SX_COND_SLICE,
    SX_COND_NESTED,
    SX_COND_FILTER
};

enum {
    SX_MATCH_NONE = 0,
    SX_MATCH_STR,  /* value */
    SX_MATCH_INT,  /* value */
    SX_MATCH_BOOL, /* value */
    SX_MATCH_TEXT,
    SX_MATCH_TEXT_ANY,
    SX_MATCH_PHRASE,
    SX_MATCH_PREFIX,
    SX_MATCH_SUBSTRING,
    SX_MATCH_ANY_STR, /* strs, n; an empty list is of strings */
    SX_MATCH_ANY_INT,
    SX_MATCH_EXCEPT_STR,
    SX_MATCH_EXCEPT_INT
};
struct sx_match {
    uint32_t kind, n;
    struct sx_str str;         /* STR, TEXT, TEXT_ANY, PHRASE, PREFIX, SUBSTRING */
    int64_t i;                 /* INT; BOOL: 0 or 1 */
    const struct sx_str *strs; /* ANY_STR, EXCEPT_STR */
    const int64_t *ints;       /* ANY_INT, EXCEPT_INT */
};

#define SX_BOUND_LT  1u
#define SX_BOUND_LTE 2u
#define SX_BOUND_GT  4u
#define SX_BOUND_GTE 8u
enum { SX_RANGE_NONE = 0, SX_RANGE_NUM = 1, SX_RANGE_TIME = 2 };
/* Each given bound (has) holds; both lt and lte may be given. */
struct sx_range {
    uint32_t kind, has;
    double lt, lte, gt, gte;                    /* NUM */
    struct sx_instant t_lt, t_lte, t_gt, t_gte; /* TIME */
};
struct sx_count_range {
    uint32_t present, has; /* present with has 0: always true */
    uint64_t lt, lte, gt, gte;
};

struct sx_geo {
    double lon, lat;
};
struct sx_geo_ring {
    uint32_t n, pad;
    const struct sx_geo *points; /* the first is repeated at the end */
};
enum { SX_GEO_NONE = 0, SX_GEO_BOX = 1, SX_GEO_RADIUS = 2, SX_GEO_POLYGON = 4 };
struct sx_geo_cond {
    uint32_t kinds, n_interiors; /* kinds: bits, should several clauses be given */
    struct sx_geo top_left, bottom_right;
    struct sx_geo center;
    double radius; /* metres */
    struct sx_geo_ring exterior;
    const struct sx_geo_ring *interiors;
};

enum { SX_TRI_NONE = 0, SX_TRI_TRUE = 1, SX_TRI_FALSE = 2 };

struct sx_cond {
    uint32_t kind;
    uint32_t is_empty, is_null; /* FIELD: SX_TRI_* of the clauses of that name */
    uint32_t n_ids;             /* HAS_ID */
    struct sx_path key;         /* FIELD, IS_EMPTY, IS_NULL, NESTED */
    struct sx_match match;      /* FIELD, from here on; kinds of 0 are absent clauses */
    struct sx_range range;
    const struct sx_geo_cond *geo; /* NULL = no geo clause */
    struct sx_count_range values_count;
    const struct sx_id *ids;        /* HAS_ID */
    struct sx_str vector;           /* HAS_VECTOR */
    uint32_t slice_total, slice_at; /* SLICE */
    const struct sx_filter *filter; /* NESTED, FILTER */
};

#ifdef __cplusplus
}
#endif
#endif
