/* What the files of the filter compiler share: filter_compile.c (the tree), filter_field.c (field
 * conditions), filter_prep.c (operands), and the tests on values that they choose from
 * (filter_value.c, filter_text.c). */
#ifndef ENG_FILTER_PRIV_H
#define ENG_FILTER_PRIV_H

#include "filter_prep.h"

struct eng_compile {
    const struct sx_mem *mem;
    const struct eng_schemas *schemas;
    struct sx_arena *arena;
    struct sx_err *err;
    struct eng_filter *filter;
    struct sx_path base; /* of the elements of the enclosing nested conditions; n 0 = none */
    int rc;              /* the first failure; nodes are NULL from then on */
};

/* Nodes. TRUE and FALSE are constants; NULL after a failure. */
extern const struct eng_filter_node eng__node_true, eng__node_false;
const struct eng_filter_node *eng__node_leaf(struct eng_compile *c, const struct eng_leaf *leaf);
/* Collects alternatives or requirements, kids that are constant left out. */
struct eng_kids {
    const struct eng_filter_node **kids;
    uint32_t n, n_true, n_false;
};
int eng__kids_init(struct eng_compile *c, struct eng_kids *k, uint64_t n);
void eng__kids_add(struct eng_kids *k, const struct eng_filter_node *node);
const struct eng_filter_node *eng__node_and(struct eng_compile *c, struct eng_kids *k);
const struct eng_filter_node *eng__node_or(struct eng_compile *c, struct eng_kids *k);

/* Zeroed memory of the filter; NULL and c->rc when it is short. */
void *eng__compile_alloc(struct eng_compile *c, uint64_t n);
/* A leaf on a path relative to the enclosing nested condition: path, skip, schema. */
struct eng_leaf *eng__leaf(struct eng_compile *c,
                           uint32_t kind,
                           const struct sx_cond *cond,
                           const struct sx_path *key);

/* filter_field.c: conditions on a path, is_empty and is_null among them. */
const struct eng_filter_node *eng__compile_field(struct eng_compile *c, const struct sx_cond *cond);
const struct eng_filter_node *eng__compile_presence(struct eng_compile *c,
                                                    const struct sx_cond *cond);

/* filter_prep.c: fill leaf->prep and leaf->test from leaf->cond and leaf->mode. 1, or 0 when
 * nothing can match (or c->rc is set). */
int eng__prep_match(struct eng_compile *c, struct eng_leaf *leaf);
int eng__prep_range(struct eng_compile *c, struct eng_leaf *leaf);
int eng__prep_geo(struct eng_compile *c, struct eng_leaf *leaf);
int eng__prep_ids(struct eng_compile *c, struct eng_leaf *leaf);
/* 1 when every string is a uuid. */
int eng__all_uuids(const struct sx_str *strs, uint32_t n);
/* The strings of a match: one, or a list. */
const struct sx_str *eng__match_strs(const struct sx_match *m, uint32_t *n);

/* filter_value.c */
eng_value_test_fn eng__match_test(const struct eng_leaf *leaf);
eng_value_test_fn eng__range_test(const struct eng_leaf *leaf);
int eng__geo_test(const struct eng_leaf *leaf,
                  const struct sx_value *v,
                  struct eng_match_scratch *s);

/* filter_text.c */
static inline int eng__is_text(uint32_t match_kind)
{
    return match_kind == SX_MATCH_TEXT || match_kind == SX_MATCH_TEXT_ANY ||
           match_kind == SX_MATCH_PHRASE;
}
int eng__prep_tokens(struct eng_compile *c, struct eng_leaf *leaf);
/* Before the first value of a document or element; 0 when memory is short. */
int eng__text_begin(const struct eng_leaf *leaf, struct eng_match_scratch *s);

/* Value tests look at one value each; these walk (filter_match.c). */
static inline int eng__is_array(uint32_t type)
{
    return type == SX_DOC_ARR || type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64;
}

#endif
