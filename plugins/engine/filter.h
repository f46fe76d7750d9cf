/* Filters: the request's tree compiled against the collection's payload indexes, and its meaning on
 * one document.
 *
 * An index changes what a few conditions mean (a float with an integral value under an integer
 * index, tokens under a text index, ...). So the meaning of each leaf is fixed here, once, from the
 * schema: `mode` says which. The evaluator below then gives the answer on a document, and a payload
 * index is nothing but a faster way to the very same answer: while it is being built, for the rows
 * it does not cover yet, or when a leaf is something it cannot answer, documents are read instead
 * and nobody can tell.
 *
 * Threads: compile and match on any thread; a compiled filter is immutable and may be used by many
 * threads, each with its own scratch. It lives in the arena it was compiled into and borrows the
 * request's tree and the schema's analyzers. */
#ifndef ENG_FILTER_H
#define ENG_FILTER_H

#include "sextant/sx_filter.h"

#include "engine.h"
#include "field_schema.h"

/* How a leaf looks at documents, and what its index knows about it.
 *
 *   PLAIN    as without an index; schema->field, if there is one, knows nothing
 *   INDEXED  as the index does, and schema->field has the answer
 *   COVERED  as without an index, but every point with an element that satisfies the leaf is among
 *            those schema->field finds for it
 *
 * Inside of nested conditions the answer is about one element, so even for an INDEXED leaf what
 * schema->field finds are points that may hold such an element. COVERED is found there only. */
enum { ENG_LEAF_PLAIN = 0, ENG_LEAF_INDEXED = 1, ENG_LEAF_COVERED = 2 };

/* One condition on one path (or on the point itself). A field condition with several clauses
 * becomes the one that decides alone, or several leaves under one node; each has a cond of its own
 * then, with nothing but its clause. */
enum {
    ENG_LEAF_MATCH = 1, /* cond->match */
    ENG_LEAF_RANGE,
    ENG_LEAF_GEO,
    ENG_LEAF_VALUES_COUNT,
    ENG_LEAF_IS_EMPTY, /* the field form with false is no plain negation: form */
    ENG_LEAF_IS_NULL,
    ENG_LEAF_HAS_ID,
    ENG_LEAF_HAS_VECTOR,
    ENG_LEAF_SLICE,
    ENG_LEAF_NESTED /* path ends in []; inner is evaluated per element */
};
struct eng_filter_node;
struct eng_leaf;
struct eng_match_scratch;
typedef int (*eng_value_test_fn)(const struct eng_leaf *leaf,
                                 const struct sx_value *v,
                                 struct eng_match_scratch *scratch);
struct eng_leaf {
    uint32_t kind, mode;
    uint32_t form; /* IS_EMPTY, IS_NULL: 0 the condition form, SX_TRI_TRUE/FALSE the field form */
    uint32_t skip; /* steps of path that the enclosing nested conditions have taken: an element is
                      matched by the rest */
    struct sx_path path;                   /* full path, nested conditions included */
    const struct sx_cond *cond;            /* what the request said */
    const struct eng_field_schema *schema; /* of the index on exactly this path, or NULL */
    const struct eng_filter_node *inner;   /* NESTED */
    const void *prep; /* what compile has prepared (sorted lists, tokens, uuids, bounds):
                         struct eng_prep_* of filter_prep.h */
    /* An index over the elements of an array: steps to these; the leaf holds when it holds for one
     * of them that is an object. 0 = the document as a whole. */
    uint32_t unit, pad;
    eng_value_test_fn test; /* MATCH, RANGE, GEO: one value */
};

enum {
    ENG_NODE_TRUE = 0,
    ENG_NODE_FALSE,
    ENG_NODE_AND, /* kids, two at least */
    ENG_NODE_OR,
    ENG_NODE_NOT,      /* kids[0] */
    ENG_NODE_AT_LEAST, /* k of kids, 1 < k < n */
    ENG_NODE_LEAF
};
struct eng_filter_node {
    uint32_t kind, n;
    uint64_t k;
    const struct eng_filter_node *const *kids;
    const struct eng_leaf *leaf;
};

struct eng_filter {
    const struct eng_filter_node *root;
    uint32_t reads_payload; /* some leaf may need the document */
    uint32_t n_conditions;  /* of the request, nested ones included, as strict mode counts */
    uint64_t largest;       /* longest any / except / has_id list */
};

/* The schemas compile looks at; find returns NULL when the path has no index. The schema stays
 * valid as long as the compiled filter is used (the caller is in an epoch or on the strand). */
struct eng_schemas {
    const struct eng_field_schema *(*find)(const void *ctx, const struct sx_path *path);
    const void *ctx;
    const struct eng_analyzer *plain; /* analysis of text without a text index; the engine's */
};

/* f NULL or without restriction: root is TRUE. What can be decided without a document is decided
 * here: FALSE is the root or nowhere, TRUE the root, the inner tree of a nested leaf or nowhere.
 * mem is for the work only. 0, SX_ENOMEM, SX_EINTERNAL (text, and schemas->plain is NULL). */
int eng_filter_compile(const struct sx_mem *mem,
                       const struct sx_filter *f,
                       const struct eng_schemas *schemas,
                       struct sx_arena *arena,
                       struct eng_filter **out,
                       struct sx_err *err);

/* One point as a filter sees it. payload.p NULL = {}. */
struct eng_subject {
    struct sx_id id;
    struct sx_doc payload;
    int (*has_vector)(const void *ctx, struct sx_str name);
    const void *ctx;
};
/* Memory that matching reuses between documents (tokens of a text, sets). One per thread and
 * filter. */
struct eng_match_scratch {
    const struct sx_mem *mem;
    struct sx_buf buf, work;
    int failed; /* memory ran short: the last answers are not to be trusted */
};
void eng_match_scratch_init(struct eng_match_scratch *s, const struct sx_mem *mem);
void eng_match_scratch_fini(struct eng_match_scratch *s);

/* 1 or 0. The leaf of a nested condition is asked with the element as payload. */
int eng_filter_match(const struct eng_filter_node *node,
                     const struct eng_subject *subject,
                     struct eng_match_scratch *scratch);
int eng_leaf_match(const struct eng_leaf *leaf,
                   const struct eng_subject *subject,
                   struct eng_match_scratch *scratch);

/* SipHash-2-4 with a zero key over the id's bytes: the slices of 7.8. */
uint64_t eng_slice_hash(const struct sx_id *id);

#endif
