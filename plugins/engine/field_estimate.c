/* How many points a leaf selects, from the figures of the parts: the estimator's table for the
 * leaves an index answers. What an approximate count answers is made of these, so the formulas are
 * contract.
 *
 * Parts count rows, dead ones included, and may not cover all: every figure is scaled by the points
 * of the shard over the rows covered. While nothing has died and all is covered the factor is 1 and
 * the figures are exact.
 *
 * Thread: any, in an epoch. */
#include <math.h>
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

#define OPERANDS_ON_STACK 64u

/* --- figures of all parts ---------------------------------------------------------------- */

static const struct eng_prep_strings *strings_of(const struct eng_leaf *leaf)
{
    return leaf->prep;
}

/* Operands whose lengths are counted one by one. */
static uint32_t operands(const struct eng_leaf *leaf)
{
    if (leaf->kind != ENG_LEAF_MATCH || leaf->prep == NULL)
        return 0;
    switch (leaf->cond->match.kind) {
    case SX_MATCH_STR:
    case SX_MATCH_INT:
    case SX_MATCH_BOOL:
        return 1;
    case SX_MATCH_ANY_STR:
    case SX_MATCH_EXCEPT_STR:
        return strings_of(leaf)->is_uuid ? strings_of(leaf)->n_uuids : strings_of(leaf)->n;
    case SX_MATCH_ANY_INT:
    case SX_MATCH_EXCEPT_INT:
        return ((const struct eng_prep_ints *)leaf->prep)->n;
    case SX_MATCH_TEXT:
    case SX_MATCH_TEXT_ANY:
    case SX_MATCH_PHRASE:
        return ((const struct eng_prep_tokens *)leaf->prep)->n;
    default:
        return 0;
    }
}

static uint32_t presence_count(const struct field_part *p, uint32_t flag, uint32_t hi)
{
    struct eng_bits b = {{0}};

    if (p->open == NULL)
        return eng_set_count(eng_presence_set(field_presence(p), flag));
    eng_presence_bits(&p->presence, flag, 0, hi, &b);
    return eng_bits_count(&b, 0, hi);
}

struct sums {
    struct eng_tally t;
    uint64_t covered;
    uint64_t present[PRESENT_SETS]; /* rows by flag; those the leaf asks for */
};

static void sum_parts(const struct eng_field *f, const struct eng_leaf *leaf, struct sums *s)
{
    const struct field_list *l = eng_field_list(f);
    uint32_t of_presence;

    of_presence = leaf->kind == ENG_LEAF_IS_EMPTY || leaf->kind == ENG_LEAF_IS_NULL;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct field_ref *r = &l->at[i];
        const struct field_part *p = r->part;
        uint32_t row_hi = field_end(l, r), hi;

        if (row_hi <= r->lo || !eng_field_part_good(f, r->part))
            continue;
        hi = row_hi - (r->lo & ~(SX_CHUNK_ROWS - 1));
        s->covered += row_hi - r->lo;
        for (uint32_t k = 0; k < PRESENT_SETS; k++) {
            if (of_presence || 1u << k == PRESENT_VALUE)
                s->present[k] += presence_count(p, 1u << k, hi);
        }
        if (!of_presence)
            f->ops->tally(f->schema, p->open != NULL ? NULL : field_kind(p), p->open, hi, leaf,
                          &s->t);
    }
    s->t.points = s->present[0];
}

/* --- the table --------------------------------------------------------------------------- */

static uint64_t sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t rounded(double v, uint64_t min, uint64_t max)
{
    uint64_t n = v > 0 ? (uint64_t)llround(v) : 0;

    if (n < min)
        n = min;
    return n > max ? max : n;
}

/* Alternatives, independent of each other, among P points. */
static void any_of(const struct eng_tally *t, struct eng_estimate *out)
{
    double none = 1;

    *out = (struct eng_estimate){0, 0, 0};
    for (uint32_t i = 0; i < t->n && t->points != 0; i++) {
        none *= 1 - (double)t->len[i] / (double)t->points;
        if (out->min < t->len[i])
            out->min = t->len[i];
        out->max += t->len[i];
    }
    out->max = out->max < t->points ? out->max : t->points;
    out->exp = rounded((double)t->points * (1 - none), 0, t->points);
}

static void except(const struct eng_tally *t, struct eng_estimate *out)
{
    uint64_t sum = 0, longest = 0, rest, others = sub(t->distinct, t->n), p = t->points;

    for (uint32_t i = 0; i < t->n; i++) {
        sum += t->len[i];
        longest = t->len[i] > longest ? t->len[i] : longest;
    }
    rest = sub(t->values, sum);
    *out = (struct eng_estimate){0, 0, 0};
    if (others == 0)
        return;
    out->min = (rest + others - 1) / others;
    if (out->min < sub(p, sum))
        out->min = sub(p, sum);
    out->max = sub(p, longest) < rest ? sub(p, longest) : rest;
    if (p != 0)
        out->exp = rounded((double)p * (1 - exp(-(double)rest / (double)p)), out->min, out->max);
    if (out->min > out->max)
        out->min = out->max;
}

static void tokens(const struct eng_tally *t, uint32_t divide, struct eng_estimate *out)
{
    double share = 1;

    *out = (struct eng_estimate){0, 0, t->n != 0 ? t->points : 0};
    for (uint32_t i = 0; i < t->n && t->points != 0; i++) {
        share *= (double)t->len[i] / (double)t->points;
        if (t->len[i] < out->max)
            out->max = t->len[i];
    }
    if (t->n == 1)
        out->min = out->exp = out->max;
    else if (out->max != 0)
        out->exp = (uint64_t)((double)t->points * share);
    if (divide && t->n != 0) {
        uint64_t d = (uint64_t)t->n * t->n;

        *out = (struct eng_estimate){out->min / d, out->exp / d, out->max / d};
    }
}

/* A selection known by its bounds: entries may outnumber points. */
static void bounded(const struct eng_tally *t, struct eng_estimate *out)
{
    out->min = t->lo;
    out->max = t->hi < t->points ? t->hi : t->points;
    if (out->max < out->min)
        out->max = out->min;
    out->exp = t->values != 0 ? rounded((double)t->hi * (double)t->points / (double)t->values,
                                        out->min, out->max)
                              : out->min;
}

/* Values that begin alike, as if they had been dealt to the points at random. */
static void begins_with(const struct eng_tally *t, struct eng_estimate *out)
{
    double p = (double)t->points;

    bounded(t, out);
    if (t->points != 0)
        out->exp = rounded(p * (1 - exp(-(double)t->hi / p)), out->min, out->max);
}

static uint64_t rows_with(const struct sums *s, uint32_t flag)
{
    return s->present[__builtin_ctz(flag)];
}

/* is_empty, is_null. Points that have no value, or no null, as far as an index knows: the table's
 * two thirds of them. */
static void presence(const struct eng_field *f,
                     const struct eng_leaf *leaf,
                     const struct sums *s,
                     struct eng_estimate *out)
{
    int is_null = leaf->kind == ENG_LEAF_IS_NULL, wants = leaf->form != SX_TRI_FALSE;
    int is_nested = f->schema->nested_steps != 0;
    uint64_t n = rows_with(s, is_null ? PRESENT_NULL : PRESENT_EMPTY);

    if (!wants && is_nested)
        n = rows_with(s, is_null ? PRESENT_CLEAR : PRESENT_FULL);
    else if (!wants)
        n = sub(s->covered, n);
    if (is_null == wants)
        *out = (struct eng_estimate){n, n, n};
    else
        *out = (struct eng_estimate){0, 2 * n / 3, n};
}

static int estimate(const struct eng_field *f,
                    const struct eng_leaf *leaf,
                    struct sums *s,
                    struct eng_estimate *out)
{
    if (leaf->kind == ENG_LEAF_IS_EMPTY || leaf->kind == ENG_LEAF_IS_NULL) {
        presence(f, leaf, s, out);
        return 1;
    }
    if (leaf->kind != ENG_LEAF_MATCH) {
        bounded(&s->t, out);
        return 1;
    }
    switch (leaf->cond->match.kind) {
    case SX_MATCH_STR:
    case SX_MATCH_INT:
    case SX_MATCH_BOOL:
        if (s->t.n == 0)
            return 0;
        *out = (struct eng_estimate){s->t.len[0], s->t.len[0], s->t.len[0]};
        return 1;
    case SX_MATCH_ANY_STR:
    case SX_MATCH_ANY_INT:
    case SX_MATCH_TEXT_ANY:
        any_of(&s->t, out);
        return 1;
    case SX_MATCH_EXCEPT_STR:
    case SX_MATCH_EXCEPT_INT:
        except(&s->t, out);
        return 1;
    case SX_MATCH_TEXT:
    case SX_MATCH_PHRASE:
        tokens(&s->t, leaf->cond->match.kind == SX_MATCH_PHRASE, out);
        return 1;
    case SX_MATCH_PREFIX:
        begins_with(&s->t, out);
        return 1;
    default: /* substring: nobody looks through the values for an estimate */
        *out = (struct eng_estimate){0, s->t.points / 2, s->t.points};
        return 1;
    }
}

/* --- the shard's points ------------------------------------------------------------------ */

static uint64_t scaled(uint64_t v, uint64_t n_points, uint64_t covered)
{
    if (n_points == covered)
        return v < n_points ? v : n_points;
    return rounded((double)v * (double)n_points / (double)covered, 0, n_points);
}

int eng_field_estimate(const struct eng_field *f,
                       const struct eng_leaf *leaf,
                       uint64_t n_points,
                       struct eng_estimate *out)
{
    const struct sx_mem *mem = f->eng->mem;
    uint64_t few[OPERANDS_ON_STACK] = {0};
    struct eng_estimate e = {0, 0, 0};
    struct sums s = {.t = {.len = few}};
    int known;

    if (!eng_field_answers(f->schema, leaf))
        return 0;
    s.t.n = operands(leaf);
    if (s.t.n > OPERANDS_ON_STACK)
        s.t.len = mem->zalloc(mem, (uint64_t)s.t.n * sizeof(s.t.len[0]));
    if (s.t.len == NULL)
        return 0;
    sum_parts(f, leaf, &s);
    known = s.covered != 0 || n_points == 0;
    if (known)
        known = estimate(f, leaf, &s, &e);
    if (known && s.covered != 0) {
        /* Of rows nobody has counted none is certain. */
        out->min = n_points > s.covered ? e.min : scaled(e.min, n_points, s.covered);
        out->exp = scaled(e.exp, n_points, s.covered);
        out->max = scaled(e.max, n_points, s.covered);
    } else if (known) {
        *out = (struct eng_estimate){0, 0, 0};
    }
    if (s.t.len != few)
        mem->release(mem, s.t.len);
    return known;
}
