/* Conditions on a path: which clause decides, and by whose rules.
 *
 * Usually there is one clause. With several, the first one that the index of the path can answer
 * decides alone. When there is none: values_count, else is_empty, else is_null decides alone, else
 * some value satisfies one of the others. An index of any type answers is_empty and is_null, so
 * with an index these come before values_count.
 *
 * Inside of nested conditions an index of the full path changes nothing but how text is analysed,
 * and which places count: see below. A text index whose entries are the very elements that the
 * condition is about has its say about text: it takes all texts of an element together, and knows
 * no phrases unless it was told to. */
#include "filter_priv.h"

#include "sextant/sx_ban.h"

/* --- what an index answers --------------------------------------------------------------- */

static int answers_match(const struct eng_field_schema *s, const struct sx_match *m)
{
    const struct sx_str *strs;
    uint32_t n = 0;

    switch (s->type) {
    case ENG_FIELD_KEYWORD:
        return m->kind == SX_MATCH_STR || m->kind == SX_MATCH_ANY_STR ||
               m->kind == SX_MATCH_EXCEPT_STR || m->kind == SX_MATCH_PREFIX ||
               m->kind == SX_MATCH_SUBSTRING;
    case ENG_FIELD_UUID:
        if (m->kind != SX_MATCH_STR && m->kind != SX_MATCH_ANY_STR &&
            m->kind != SX_MATCH_EXCEPT_STR)
            return 0;
        strs = eng__match_strs(m, &n);
        return eng__all_uuids(strs, n);
    case ENG_FIELD_INTEGER:
        return (s->flags & ENG_FIELD_LOOKUP) != 0 &&
               (m->kind == SX_MATCH_INT || m->kind == SX_MATCH_ANY_INT ||
                m->kind == SX_MATCH_EXCEPT_INT);
    case ENG_FIELD_BOOL:
        return m->kind == SX_MATCH_BOOL;
    case ENG_FIELD_TEXT:
        return eng__is_text(m->kind);
    default:
        return 0;
    }
}

static int answers_range(const struct eng_field_schema *s)
{
    return s->type == ENG_FIELD_FLOAT || s->type == ENG_FIELD_DATETIME ||
           (s->type == ENG_FIELD_INTEGER && (s->flags & ENG_FIELD_RANGE) != 0);
}

/* Inside of a nested condition: do the points the index finds, by its own rules, hold every point
 * that has an element which satisfies the clause without an index? */
static int covers(const struct eng_leaf *leaf)
{
    const struct eng_field_schema *s = leaf->schema;

    if (s == NULL)
        return 0;
    if (leaf->kind == ENG_LEAF_RANGE)
        return (s->type == ENG_FIELD_FLOAT && leaf->cond->range.kind == SX_RANGE_NUM) ||
               (s->type == ENG_FIELD_DATETIME && leaf->cond->range.kind == SX_RANGE_TIME);
    if (leaf->kind != ENG_LEAF_MATCH || leaf->cond->match.kind >= SX_MATCH_EXCEPT_STR)
        return 0;
    if (leaf->cond->match.kind == SX_MATCH_PHRASE && (s->flags & ENG_FIELD_PHRASE) == 0)
        return 0;
    return answers_match(s, &leaf->cond->match);
}

/* --- leaves ------------------------------------------------------------------------------ */

static void indexed(struct eng_leaf *leaf)
{
    leaf->mode = ENG_LEAF_INDEXED;
    if (leaf->skip == 0)
        leaf->unit = leaf->schema->nested_steps;
}

/* A leaf like `on`, which has the path, of one clause. is_index: by the rules of the index. */
static const struct eng_filter_node *value_leaf(struct eng_compile *c,
                                                const struct eng_leaf *on,
                                                uint32_t kind,
                                                const struct sx_cond *cond,
                                                int is_index)
{
    struct eng_leaf *leaf = eng__compile_alloc(c, sizeof(*leaf));
    int can_match;

    if (leaf == NULL)
        return NULL;
    *leaf = *on;
    leaf->kind = kind;
    leaf->cond = cond;
    /* Places out of range are left out of an index. Here its rules hold everywhere, so that it can
     * find the points. */
    if (kind == ENG_LEAF_GEO && leaf->schema != NULL && leaf->schema->type == ENG_FIELD_GEO)
        is_index = 1;
    if (is_index)
        indexed(leaf);
    else if (c->base.n != 0 && covers(leaf))
        leaf->mode = ENG_LEAF_COVERED;
    if (kind == ENG_LEAF_MATCH)
        can_match = eng__prep_match(c, leaf);
    else if (kind == ENG_LEAF_RANGE)
        can_match = eng__prep_range(c, leaf);
    else
        can_match = eng__prep_geo(c, leaf);
    return can_match ? eng__node_leaf(c, leaf) : &eng__node_false;
}

/* is_empty or is_null of a field condition. */
static const struct eng_filter_node *presence_leaf(struct eng_compile *c,
                                                   struct eng_leaf *leaf,
                                                   const struct sx_cond *cond,
                                                   int is_index)
{
    if (cond->is_empty != SX_TRI_NONE) {
        leaf->kind = ENG_LEAF_IS_EMPTY;
        leaf->form = cond->is_empty;
    } else {
        leaf->kind = ENG_LEAF_IS_NULL;
        leaf->form = cond->is_null;
    }
    if (is_index)
        indexed(leaf);
    return eng__node_leaf(c, leaf);
}

const struct eng_filter_node *eng__compile_presence(struct eng_compile *c,
                                                    const struct sx_cond *cond)
{
    uint32_t kind = cond->kind == SX_COND_IS_EMPTY ? ENG_LEAF_IS_EMPTY : ENG_LEAF_IS_NULL;
    struct eng_leaf *leaf = eng__leaf(c, kind, cond, &cond->key);

    if (leaf == NULL)
        return NULL;
    if (leaf->schema != NULL && c->base.n == 0)
        indexed(leaf);
    return eng__node_leaf(c, leaf);
}

/* --- several clauses --------------------------------------------------------------------- */

/* Value clauses in the order an index tries them. */
struct clauses {
    struct {
        uint32_t kind;
        const struct sx_cond *cond;
    } list[5];
    uint32_t n;
};

static int add_clause(struct clauses *l, uint32_t kind, const struct sx_cond *cond)
{
    if (cond == NULL)
        return 0;
    l->list[l->n].kind = kind;
    l->list[l->n].cond = cond;
    l->n++;
    return 1;
}

/* A copy with nothing but the key. */
static struct sx_cond *alone(struct eng_compile *c, const struct sx_cond *cond)
{
    struct sx_cond *one = eng__compile_alloc(c, sizeof(*one));

    if (one != NULL) {
        one->kind = SX_COND_FIELD;
        one->key = cond->key;
    }
    return one;
}

static const struct sx_cond *
alone_geo(struct eng_compile *c, const struct sx_cond *cond, uint32_t kind)
{
    struct sx_cond *one = alone(c, cond);
    struct sx_geo_cond *geo = eng__compile_alloc(c, sizeof(*geo));

    if (one == NULL || geo == NULL)
        return NULL;
    *geo = *cond->geo;
    geo->kinds = kind;
    one->geo = geo;
    return one;
}

/* 0 when memory is short. */
static int split(struct eng_compile *c, const struct sx_cond *cond, struct clauses *l)
{
    static const uint32_t geo_kinds[] = {SX_GEO_BOX, SX_GEO_RADIUS, SX_GEO_POLYGON};
    struct sx_cond *one;

    if (cond->match.kind != SX_MATCH_NONE) {
        one = alone(c, cond);
        if (one != NULL)
            one->match = cond->match;
        if (!add_clause(l, ENG_LEAF_MATCH, one))
            return 0;
    }
    if (cond->range.kind != SX_RANGE_NONE) {
        one = alone(c, cond);
        if (one != NULL)
            one->range = cond->range;
        if (!add_clause(l, ENG_LEAF_RANGE, one))
            return 0;
    }
    for (uint32_t i = 0; cond->geo != NULL && i < SX_COUNT(geo_kinds); i++) {
        if ((cond->geo->kinds & geo_kinds[i]) != 0 &&
            !add_clause(l, ENG_LEAF_GEO, alone_geo(c, cond, geo_kinds[i])))
            return 0;
    }
    return 1;
}

static int
index_answers(const struct eng_field_schema *s, uint32_t kind, const struct sx_cond *cond)
{
    if (kind == ENG_LEAF_MATCH)
        return answers_match(s, &cond->match);
    return kind == ENG_LEAF_RANGE ? answers_range(s) : s->type == ENG_FIELD_GEO;
}

/* What the index decides, or NULL. */
static const struct eng_filter_node *by_index(struct eng_compile *c,
                                              struct eng_leaf *on,
                                              const struct sx_cond *cond,
                                              const struct clauses *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (index_answers(on->schema, l->list[i].kind, l->list[i].cond))
            return value_leaf(c, on, l->list[i].kind, l->list[i].cond, 1);
    }
    if (on->skip != 0)
        return NULL;
    if (cond->is_empty != SX_TRI_NONE || cond->is_null != SX_TRI_NONE)
        return presence_leaf(c, on, cond, 1);
    return NULL;
}

/* A request with one clause, which is its own condition: nothing to copy. */
static int only_clause(const struct sx_cond *cond, struct clauses *l)
{
    uint32_t geo = cond->geo != NULL ? cond->geo->kinds : 0;
    uint32_t n =
        (cond->match.kind != 0) + (cond->range.kind != 0) + (uint32_t)__builtin_popcount(geo);

    if (n != 1 || cond->is_empty != 0 || cond->is_null != 0 || cond->values_count.present)
        return 0;
    return add_clause(l,
                      cond->match.kind != 0   ? ENG_LEAF_MATCH
                      : cond->range.kind != 0 ? ENG_LEAF_RANGE
                                              : ENG_LEAF_GEO,
                      cond);
}

/* Do the rules of the path's index hold: about a point, or about texts of its entries? */
static int has_rules(const struct eng_leaf *on)
{
    const struct eng_field_schema *s = on->schema;

    return s != NULL &&
           (on->skip == 0 || (s->type == ENG_FIELD_TEXT && on->skip == s->nested_steps));
}

const struct eng_filter_node *eng__compile_field(struct eng_compile *c, const struct sx_cond *cond)
{
    struct eng_leaf *on = eng__leaf(c, ENG_LEAF_VALUES_COUNT, cond, &cond->key);
    const struct eng_filter_node *decided;
    struct clauses l = {.n = 0};
    struct eng_kids k;

    if (on == NULL || (!only_clause(cond, &l) && !split(c, cond, &l)))
        return NULL;
    if (has_rules(on)) {
        decided = by_index(c, on, cond, &l);
        if (decided != NULL || c->rc != SX_OK)
            return decided;
    }
    if (cond->values_count.present)
        return cond->values_count.has != 0 ? eng__node_leaf(c, on) : &eng__node_true;
    if (cond->is_empty != SX_TRI_NONE || cond->is_null != SX_TRI_NONE)
        return presence_leaf(c, on, cond, 0);
    if (!eng__kids_init(c, &k, l.n))
        return NULL;
    for (uint32_t i = 0; i < l.n; i++)
        eng__kids_add(&k, value_leaf(c, on, l.list[i].kind, l.list[i].cond, 0));
    return c->rc == SX_OK ? eng__node_or(c, &k) : NULL;
}
