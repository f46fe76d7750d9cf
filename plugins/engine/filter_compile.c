/* From the request's tree to nodes and leaves.
 *
 * Constants are folded on the way: a list that is empty, a bound that excludes everything, a
 * condition that cannot hold where it stands. What remains needs a document, an id or a vector.
 * Recursion is as deep as the request is nested, which the transports bound. */
#include <string.h>

#include "filter_priv.h"

#include "sextant/sx_ban.h"

const struct eng_filter_node eng__node_true = {.kind = ENG_NODE_TRUE};
const struct eng_filter_node eng__node_false = {.kind = ENG_NODE_FALSE};

void *eng__compile_alloc(struct eng_compile *c, uint64_t n)
{
    void *p = c->rc == SX_OK ? sx_arena_zalloc(c->arena, n) : NULL;

    if (p == NULL && c->rc == SX_OK)
        c->rc = sx_err_set(c->err, SX_ENOMEM, "out of memory");
    return p;
}

/* --- nodes ------------------------------------------------------------------------------- */

static struct eng_filter_node *node(struct eng_compile *c, uint32_t kind)
{
    struct eng_filter_node *n = eng__compile_alloc(c, sizeof(*n));

    if (n != NULL)
        n->kind = kind;
    return n;
}

const struct eng_filter_node *eng__node_leaf(struct eng_compile *c, const struct eng_leaf *leaf)
{
    struct eng_filter_node *n = node(c, ENG_NODE_LEAF);

    if (n == NULL)
        return NULL;
    n->leaf = leaf;
    if (leaf->kind != ENG_LEAF_HAS_ID && leaf->kind != ENG_LEAF_HAS_VECTOR &&
        leaf->kind != ENG_LEAF_SLICE)
        c->filter->reads_payload = 1;
    return n;
}

int eng__kids_init(struct eng_compile *c, struct eng_kids *k, uint64_t n)
{
    memset(k, 0, sizeof(*k));
    k->kids = eng__compile_alloc(c, n * sizeof(*k->kids) + 1);
    return k->kids != NULL;
}

void eng__kids_add(struct eng_kids *k, const struct eng_filter_node *n)
{
    if (n == NULL)
        return;
    if (n->kind == ENG_NODE_TRUE)
        k->n_true++;
    else if (n->kind == ENG_NODE_FALSE)
        k->n_false++;
    else
        k->kids[k->n++] = n;
}

static const struct eng_filter_node *
join(struct eng_compile *c, uint32_t kind, struct eng_kids *k, uint64_t at_least)
{
    struct eng_filter_node *n;

    if (k->n == 1)
        return k->kids[0];
    n = node(c, kind);
    if (n == NULL)
        return NULL;
    n->kids = k->kids;
    n->n = k->n;
    n->k = at_least;
    return n;
}

const struct eng_filter_node *eng__node_and(struct eng_compile *c, struct eng_kids *k)
{
    if (k->n_false != 0)
        return &eng__node_false;
    return k->n != 0 ? join(c, ENG_NODE_AND, k, 0) : &eng__node_true;
}

const struct eng_filter_node *eng__node_or(struct eng_compile *c, struct eng_kids *k)
{
    if (k->n_true != 0)
        return &eng__node_true;
    return k->n != 0 ? join(c, ENG_NODE_OR, k, 0) : &eng__node_false;
}

static const struct eng_filter_node *
at_least(struct eng_compile *c, struct eng_kids *k, uint64_t count)
{
    if (count <= k->n_true)
        return &eng__node_true;
    count -= k->n_true;
    if (count > k->n)
        return &eng__node_false;
    if (count == 1)
        return join(c, ENG_NODE_OR, k, 0);
    return join(c, count == k->n ? ENG_NODE_AND : ENG_NODE_AT_LEAST, k, count);
}

static const struct eng_filter_node *negate(struct eng_compile *c, const struct eng_filter_node *of)
{
    struct eng_kids k;
    struct eng_filter_node *n;

    if (of == NULL)
        return NULL;
    if (of->kind == ENG_NODE_TRUE)
        return &eng__node_false;
    if (of->kind == ENG_NODE_FALSE)
        return &eng__node_true;
    if (of->kind == ENG_NODE_NOT)
        return of->kids[0];
    n = node(c, ENG_NODE_NOT);
    if (n == NULL || !eng__kids_init(c, &k, 1))
        return NULL;
    eng__kids_add(&k, of);
    n->kids = k.kids;
    n->n = 1;
    return n;
}

/* --- paths ------------------------------------------------------------------------------- */

/* base, then key; with `all` a last [] unless it is there. */
static int full_path(struct eng_compile *c, const struct sx_path *key, int all, struct sx_path *out)
{
    uint32_t n = c->base.n + key->n;
    struct sx_step *steps;

    all = all && (key->n == 0 || key->steps[key->n - 1].kind != SX_STEP_ALL);
    if (c->base.n == 0 && !all) {
        *out = *key;
        return 1;
    }
    steps = eng__compile_alloc(c, ((uint64_t)n + 1) * sizeof(*steps));
    if (steps == NULL)
        return 0;
    if (c->base.n != 0)
        memcpy(steps, c->base.steps, c->base.n * sizeof(*steps));
    if (key->n != 0)
        memcpy(steps + c->base.n, key->steps, key->n * sizeof(*steps));
    if (all)
        steps[n++].kind = SX_STEP_ALL;
    *out = (struct sx_path){n, 0, steps};
    return 1;
}

struct eng_leaf *eng__leaf(struct eng_compile *c,
                           uint32_t kind,
                           const struct sx_cond *cond,
                           const struct sx_path *key)
{
    struct eng_leaf *leaf = eng__compile_alloc(c, sizeof(*leaf));

    if (leaf == NULL)
        return NULL;
    leaf->kind = kind;
    leaf->cond = cond;
    leaf->skip = c->base.n;
    if (key == NULL)
        return leaf;
    if (!full_path(c, key, kind == ENG_LEAF_NESTED, &leaf->path))
        return NULL;
    if (kind != ENG_LEAF_NESTED && c->schemas != NULL && c->schemas->find != NULL)
        leaf->schema = c->schemas->find(c->schemas->ctx, &leaf->path);
    return leaf;
}

/* --- conditions -------------------------------------------------------------------------- */

static const struct eng_filter_node *compile(struct eng_compile *c, const struct sx_filter *f);

static const struct eng_filter_node *nested(struct eng_compile *c, const struct sx_cond *cond)
{
    struct eng_leaf *leaf = eng__leaf(c, ENG_LEAF_NESTED, cond, &cond->key);
    struct sx_path outer = c->base;

    if (leaf == NULL)
        return NULL;
    c->base = leaf->path;
    leaf->inner = compile(c, cond->filter);
    c->base = outer;
    if (leaf->inner == NULL)
        return NULL;
    if (leaf->inner->kind == ENG_NODE_FALSE)
        return &eng__node_false;
    return eng__node_leaf(c, leaf);
}

/* Conditions on the point. Elements have no id and no vectors. */
static const struct eng_filter_node *of_point(struct eng_compile *c, const struct sx_cond *cond)
{
    uint32_t kind = cond->kind == SX_COND_HAS_ID       ? ENG_LEAF_HAS_ID
                    : cond->kind == SX_COND_HAS_VECTOR ? ENG_LEAF_HAS_VECTOR
                                                       : ENG_LEAF_SLICE;
    struct eng_leaf *leaf;

    if (c->base.n != 0)
        return &eng__node_false;
    if (kind == ENG_LEAF_SLICE && cond->slice_at >= cond->slice_total)
        return &eng__node_false;
    if (kind == ENG_LEAF_SLICE && cond->slice_total == 1)
        return &eng__node_true;
    leaf = eng__leaf(c, kind, cond, NULL);
    if (leaf == NULL)
        return NULL;
    if (kind == ENG_LEAF_HAS_ID && !eng__prep_ids(c, leaf))
        return &eng__node_false;
    return eng__node_leaf(c, leaf);
}

static void count(struct eng_compile *c, const struct sx_cond *cond)
{
    uint64_t n = 0;

    c->filter->n_conditions++;
    if (cond->kind == SX_COND_HAS_ID)
        n = cond->n_ids;
    else if (cond->kind == SX_COND_FIELD && cond->match.kind >= SX_MATCH_ANY_STR)
        n = cond->match.n;
    if (n > c->filter->largest)
        c->filter->largest = n;
}

static const struct eng_filter_node *condition(struct eng_compile *c, const struct sx_cond *cond)
{
    if (cond->kind == SX_COND_NESTED)
        return nested(c, cond);
    if (cond->kind == SX_COND_FILTER)
        return compile(c, cond->filter);
    count(c, cond);
    switch (cond->kind) {
    case SX_COND_FIELD:
        return eng__compile_field(c, cond);
    case SX_COND_IS_EMPTY:
    case SX_COND_IS_NULL:
        return eng__compile_presence(c, cond);
    case SX_COND_HAS_ID:
    case SX_COND_HAS_VECTOR:
    case SX_COND_SLICE:
        return of_point(c, cond);
    default:
        return &eng__node_false;
    }
}

static int
conditions(struct eng_compile *c, const struct sx_cond *conds, uint32_t n, struct eng_kids *k)
{
    if (!eng__kids_init(c, k, n))
        return 0;
    for (uint32_t i = 0; i < n && c->rc == SX_OK; i++)
        eng__kids_add(k, condition(c, &conds[i]));
    return c->rc == SX_OK;
}

/* `should`: without conditions it is no restriction, but for an empty list inside of nested. */
static int should(struct eng_compile *c, const struct sx_filter *f, struct eng_kids *all)
{
    struct eng_kids k;

    if (f->n_should == 0) {
        if (f->has_should && c->base.n != 0)
            eng__kids_add(all, &eng__node_false);
        return 1;
    }
    if (!conditions(c, f->should, f->n_should, &k))
        return 0;
    eng__kids_add(all, eng__node_or(c, &k));
    return c->rc == SX_OK;
}

static int min_should(struct eng_compile *c, const struct sx_filter *f, struct eng_kids *all)
{
    struct eng_kids k;

    if (!f->has_min_should)
        return 1;
    if (!conditions(c, f->min_should, f->n_min_should, &k))
        return 0;
    eng__kids_add(all, at_least(c, &k, f->min_count));
    return c->rc == SX_OK;
}

static const struct eng_filter_node *compile(struct eng_compile *c, const struct sx_filter *f)
{
    struct eng_kids all;

    if (f == NULL)
        return &eng__node_true;
    if (!eng__kids_init(c, &all, (uint64_t)f->n_must + f->n_must_not + 2))
        return NULL;
    for (uint32_t i = 0; i < f->n_must && c->rc == SX_OK; i++)
        eng__kids_add(&all, condition(c, &f->must[i]));
    if (c->rc != SX_OK || !should(c, f, &all) || !min_should(c, f, &all))
        return NULL;
    for (uint32_t i = 0; i < f->n_must_not && c->rc == SX_OK; i++)
        eng__kids_add(&all, negate(c, condition(c, &f->must_not[i])));
    return c->rc == SX_OK ? eng__node_and(c, &all) : NULL;
}

int eng_filter_compile(const struct sx_mem *mem,
                       const struct sx_filter *f,
                       const struct eng_schemas *schemas,
                       struct sx_arena *arena,
                       struct eng_filter **out,
                       struct sx_err *err)
{
    struct eng_compile c = {mem, schemas, arena, err, NULL, {0, 0, NULL}, SX_OK};

    c.filter = eng__compile_alloc(&c, sizeof(*c.filter));
    if (c.filter == NULL)
        return c.rc;
    c.filter->root = compile(&c, f);
    if (c.rc != SX_OK)
        return c.rc;
    if (c.filter->root->kind == ENG_NODE_TRUE || c.filter->root->kind == ENG_NODE_FALSE)
        c.filter->reads_payload = 0;
    *out = c.filter;
    return SX_OK;
}
