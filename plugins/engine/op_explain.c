/* POST /sextant/collections/{collection}/explain: how a filter will be answered, for debugging.
 *
 * The body is that of a count. The answer: the points there are, the estimator's figures, how many
 * match when `exact` (the default), the cost the engine expects, and the compiled filter as a tree.
 * A leaf says its condition, its path, the index on that path with the rows it covers, and how the
 * leaf is looked at: "index" (the index has the answer), "index, then documents" (it narrows), or
 * "documents". */
#include <string.h>

#include "plan.h"
#include "schema.h"

#include "sextant/sx_ban.h"

#define DEEPEST 64u /* nested conditions are no deeper: the decoder's limit on the body */

static const char *const leaf_kinds[] = {
    [ENG_LEAF_MATCH] = "match",       [ENG_LEAF_RANGE] = "range",
    [ENG_LEAF_GEO] = "geo",           [ENG_LEAF_VALUES_COUNT] = "values_count",
    [ENG_LEAF_IS_EMPTY] = "is_empty", [ENG_LEAF_IS_NULL] = "is_null",
    [ENG_LEAF_HAS_ID] = "has_id",     [ENG_LEAF_HAS_VECTOR] = "has_vector",
    [ENG_LEAF_SLICE] = "slice",       [ENG_LEAF_NESTED] = "nested"};

struct explain {
    const struct sx_mem *mem;
    const struct eng_reader *r;
    struct sx_docb *b;
};

static void put_u64(struct sx_docb *b, const char *key, uint64_t v)
{
    sx_docb_ckey(b, key);
    sx_docb_u64(b, v);
}

static void put_text(struct sx_docb *b, const char *key, const char *text)
{
    sx_docb_ckey(b, key);
    sx_docb_cstr(b, text);
}

static void put_estimate(struct explain *x, const struct eng_estimate *e)
{
    sx_docb_ckey(x->b, "estimate");
    sx_docb_obj(x->b);
    put_u64(x->b, "min", e->min);
    put_u64(x->b, "expected", e->exp);
    put_u64(x->b, "max", e->max);
    sx_docb_close(x->b);
}

static void put_path(struct explain *x, const struct sx_path *path)
{
    struct sx_buf text;
    sx_buf_init(&text, x->mem);
    sx_path_print(path, &text);
    sx_docb_ckey(x->b, "key");
    sx_docb_str(x->b, text.p ? text.p : "", (uint32_t)text.n);
    sx_buf_fini(&text);
}

static void put_index(struct explain *x, const struct eng_field_schema *f)
{
    struct eng_fills fills = {x->r->v->fill, x->r->v->n_chunks, 0};
    uint64_t rows = 0;
    for (uint32_t i = 0; i < fills.n; i++)
        rows += fills.fill[i];
    sx_docb_ckey(x->b, "index");
    sx_docb_obj(x->b);
    put_text(x->b, "type", eng_field_type_name(f->type));
    put_u64(x->b, "rows_covered", eng_field_covered(f->field, fills));
    put_u64(x->b, "rows", rows);
    sx_docb_close(x->b);
}

static void put_node(struct explain *x, const struct eng_filter_node *node, uint32_t depth);

/* Members of an open object. */
static void put_leaf(struct explain *x, const struct eng_leaf *l, uint32_t depth)
{
    static const char *const modes[] = {[ENG_LEAF_PLAIN] = "documents",
                                        [ENG_LEAF_INDEXED] = "index",
                                        [ENG_LEAF_COVERED] = "index, then documents"};
    put_text(x->b, "condition", leaf_kinds[l->kind]);
    if (l->path.n)
        put_path(x, &l->path);
    if (l->schema)
        put_index(x, l->schema);
    put_text(x->b, "answered_by",
             l->kind == ENG_LEAF_HAS_ID || l->kind == ENG_LEAF_HAS_VECTOR ||
                     l->kind == ENG_LEAF_SLICE
                 ? "the point"
                 : modes[l->mode]);
    if (l->kind == ENG_LEAF_NESTED) {
        sx_docb_ckey(x->b, "of_each");
        put_node(x, l->inner, depth + 1);
    }
}

static void put_node(struct explain *x, const struct eng_filter_node *node, uint32_t depth)
{
    static const char *const names[] = {
        [ENG_NODE_AND] = "and", [ENG_NODE_OR] = "or", [ENG_NODE_NOT] = "not"};
    struct eng_estimate e;
    if (depth > DEEPEST || node->kind == ENG_NODE_TRUE || node->kind == ENG_NODE_FALSE) {
        sx_docb_bool(x->b, node->kind != ENG_NODE_FALSE);
        return;
    }
    sx_docb_obj(x->b);
    if (node->kind == ENG_NODE_LEAF) {
        put_leaf(x, node->leaf, depth);
    } else {
        if (node->kind == ENG_NODE_AT_LEAST) {
            put_u64(x->b, "at_least", node->k);
            sx_docb_ckey(x->b, "of");
        } else {
            sx_docb_ckey(x->b, names[node->kind]);
        }
        sx_docb_arr(x->b);
        for (uint32_t i = 0; i < node->n; i++)
            put_node(x, node->kids[i], depth + 1);
        sx_docb_close(x->b);
    }
    eng_estimate_node(x->r, node, x->r->v->n_live, &e);
    put_estimate(x, &e);
    sx_docb_close(x->b);
}

static uint64_t explain_cost(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    const struct sx_args_count *a = c->op->args;
    (void)r;
    return a->exact ? eng_plan_cost(p) : 0;
}

static int explain_body(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    const struct sx_args_count *a = c->op->args;
    struct sx_docb b;
    struct explain x = {c->eng->mem, r, &b};
    struct eng_estimate e;
    uint64_t matching = 0, cost = eng_plan_cost(p);
    int rc = a->exact ? eng_plan_count(p, &matching, &c->err) : 0;
    if (rc < 0)
        return rc;
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    put_u64(&b, "points", r->v->n_live);
    if (a->exact)
        put_u64(&b, "matching", matching);
    eng_plan_estimate(p, &e);
    put_estimate(&x, &e);
    put_u64(&b, "expected_ns", cost);
    sx_docb_ckey(&b, "filter");
    put_node(&x, eng_plan_filter(p)->root, 0);
    sx_docb_close(&b);
    c->reply.u.doc = sx_docb_end_arena(&b, c->op->arena);
    sx_docb_fini(&b);
    return c->reply.u.doc.p ? 0 : sx_err_set(&c->err, SX_ENOMEM, "out of memory");
}

void eng_op_explain(struct eng_call *c)
{
    const struct sx_args_count *a = c->op->args;
    struct eng_read_op *op = sx_arena_alloc(c->op->arena, sizeof(*op));
    if (!op) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *op = (struct eng_read_op){SX_R_DOC, 0, a->filter, &a->shards, explain_cost, explain_body};
    eng_read_op_run(c, op);
}
