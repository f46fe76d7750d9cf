/* How many points a filter matches, from the indexes alone: (min, expected, max) per condition,
 * combined as if conditions were independent.
 *
 * Expected values are what an approximate count answers, so the formulas are contract; they are not
 * the best there are. Thread: any, in an epoch. */
#include <math.h>

#include "plan.h"
#include "schema.h"

#include "sextant/sx_ban.h"

static uint64_t sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct eng_estimate exactly(uint64_t n)
{
    return (struct eng_estimate){n, n, n};
}

static struct eng_estimate invert(struct eng_estimate e, uint64_t n)
{
    return (struct eng_estimate){sub(n, e.max), sub(n, e.exp), sub(n, e.min)};
}

static void
leaf(const struct eng_reader *r, const struct eng_leaf *l, uint64_t n, struct eng_estimate *out)
{
    *out = (struct eng_estimate){0, n / 2, n};
    switch (l->kind) {
    case ENG_LEAF_HAS_ID: {
        uint64_t found = 0;
        for (uint32_t i = 0; i < l->cond->n_ids; i++) {
            uint32_t j = 0; /* an id named twice counts once */
            while (j < i && j < 64 && sx_id_cmp(&l->cond->ids[j], &l->cond->ids[i]) != 0)
                j++;
            found += (j == i || j == 64) && eng_reader_find(r, &l->cond->ids[i]) != ENG_NO_ROW;
        }
        *out = exactly(found);
        return;
    }
    case ENG_LEAF_HAS_VECTOR: {
        const struct eng_column_conf *c = eng_config_column(r->v->schema->config, l->cond->vector);
        uint64_t nodes = c ? r->v->columns[c->slot].n_nodes : 0;
        *out = exactly(nodes < n ? nodes : n);
        return;
    }
    case ENG_LEAF_SLICE:
        out->exp = n / l->cond->slice_total;
        return;
    case ENG_LEAF_NESTED:
        eng_estimate_node(r, l->inner, n, out);
        return;
    default:
        if (l->mode == ENG_LEAF_INDEXED && l->schema->field)
            (void)eng_field_estimate(l->schema->field, l, n, out);
        return;
    }
}

static void all_of(struct eng_estimate *acc, struct eng_estimate e, uint64_t n, double *p)
{
    acc->min = sub(acc->min + e.min, n);
    acc->max = e.max < acc->max ? e.max : acc->max;
    *p *= n ? (double)e.exp / (double)n : 0;
}

static void any_of(struct eng_estimate *acc, struct eng_estimate e, uint64_t n, double *p)
{
    acc->min = e.min > acc->min ? e.min : acc->min;
    acc->max = acc->max + e.max < n ? acc->max + e.max : n;
    *p *= n ? 1 - (double)e.exp / (double)n : 0;
}

/* At least k of the kids, as the chance of so many successes among independent trials. The rule is
 * worded over all k-subsets; their number grows too fast to list, and a filter of that many
 * alternatives has no expected value worth the name. Up to SUBSETS_MAX they are listed. */
#define SUBSETS_MAX 4096u

static void at_least(const struct eng_reader *r,
                     const struct eng_filter_node *node,
                     uint64_t n,
                     struct eng_estimate *out)
{
    uint32_t k = (uint32_t)(node->k < node->n ? node->k : node->n), idx[64], listed = 0;
    struct eng_estimate kid[64], acc = {0, 0, 0};
    double p = 1;
    if (node->k > node->n || node->n == 0) {
        *out = exactly(0);
        return;
    }
    if (node->n > 64) {
        *out = (struct eng_estimate){0, n / 2, n};
        return;
    }
    for (uint32_t i = 0; i < node->n; i++)
        eng_estimate_node(r, node->kids[i], n, &kid[i]);
    for (uint32_t i = 0; i < k; i++)
        idx[i] = i;
    for (;;) {
        struct eng_estimate one = {n, n, n};
        double q = 1;
        for (uint32_t i = 0; i < k; i++)
            all_of(&one, kid[idx[i]], n, &q);
        one.exp = (uint64_t)llround((double)n * q);
        any_of(&acc, one, n, &p);
        uint32_t i = k;
        while (i-- > 0 && idx[i] == node->n - k + i)
            ;
        if (i == UINT32_MAX || ++listed == SUBSETS_MAX)
            break;
        idx[i]++;
        while (++i < k)
            idx[i] = idx[i - 1] + 1;
    }
    acc.exp = (uint64_t)llround((double)n * (1 - p));
    *out = acc;
}

void eng_estimate_node(const struct eng_reader *r,
                       const struct eng_filter_node *node,
                       uint64_t n,
                       struct eng_estimate *out)
{
    struct eng_estimate kid;
    double p = 1;
    switch (node->kind) {
    case ENG_NODE_TRUE:
        *out = exactly(n);
        return;
    case ENG_NODE_AND:
        *out = (struct eng_estimate){n, n, n};
        for (uint32_t i = 0; i < node->n; i++) {
            eng_estimate_node(r, node->kids[i], n, &kid);
            all_of(out, kid, n, &p);
        }
        out->exp = (uint64_t)llround((double)n * p);
        return;
    case ENG_NODE_OR:
        *out = exactly(0);
        for (uint32_t i = 0; i < node->n; i++) {
            eng_estimate_node(r, node->kids[i], n, &kid);
            any_of(out, kid, n, &p);
        }
        out->exp = node->n ? (uint64_t)llround((double)n * (1 - p)) : 0;
        return;
    case ENG_NODE_NOT:
        eng_estimate_node(r, node->kids[0], n, &kid);
        *out = invert(kid, n);
        return;
    case ENG_NODE_AT_LEAST:
        at_least(r, node, n, out);
        return;
    case ENG_NODE_LEAF:
        leaf(r, node->leaf, n, out);
        return;
    default:
        *out = exactly(0);
    }
}
