/* Operands of conditions in the form they are compared in: sorted lists, uuids, bounds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "filter_priv.h"

#include "sextant/sx_ban.h"

/* --- lists ------------------------------------------------------------------------------- */

static int str_cmp(const void *pa, const void *pb)
{
    const struct sx_str *a = pa, *b = pb;
    int c = a->n != 0 && b->n != 0 ? memcmp(a->p, b->p, a->n < b->n ? a->n : b->n) : 0;

    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static int int_cmp(const void *pa, const void *pb)
{
    int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;

    return (a > b) - (a < b);
}

static int id_cmp(const void *a, const void *b)
{
    return sx_id_cmp(a, b);
}

/* A copy of the n entries in order, each once; their number in *out_n. NULL when memory is short.
 */
static void *sorted(struct eng_compile *c,
                    const void *list,
                    uint32_t n,
                    size_t width,
                    int (*cmp)(const void *, const void *),
                    uint32_t *out_n)
{
    char *p = eng__compile_alloc(c, n * (uint64_t)width + 1);
    uint32_t kept = n != 0;

    if (p == NULL || n == 0) {
        *out_n = 0;
        return p;
    }
    memcpy(p, list, n * width);
    qsort(p, n, width, cmp);
    for (uint32_t i = 1; i < n; i++) {
        if (cmp(p + (kept - 1) * width, p + i * width) == 0)
            continue;
        if (kept != i)
            memcpy(p + kept * width, p + i * width, width);
        kept++;
    }
    *out_n = kept;
    return p;
}

/* --- match ------------------------------------------------------------------------------- */

const struct sx_str *eng__match_strs(const struct sx_match *m, uint32_t *n)
{
    if (m->kind == SX_MATCH_ANY_STR || m->kind == SX_MATCH_EXCEPT_STR) {
        *n = m->n;
        return m->strs;
    }
    *n = 1;
    return &m->str;
}

int eng__all_uuids(const struct sx_str *strs, uint32_t n)
{
    struct sx_id id;

    for (uint32_t i = 0; i < n; i++) {
        if (sx_uuid_parse(strs[i].p, strs[i].n, &id) != SX_OK)
            return 0;
    }
    return 1;
}

static int prep_uuids(struct eng_compile *c, struct eng_prep_strings *p)
{
    struct sx_id *ids = eng__compile_alloc(c, p->n * sizeof(*ids) + 1);

    if (ids == NULL)
        return 0;
    for (uint32_t i = 0; i < p->n; i++)
        (void)sx_uuid_parse(p->strs[i].p, p->strs[i].n, &ids[i]);
    p->uuids = sorted(c, ids, p->n, sizeof(*ids), id_cmp, &p->n_uuids);
    return p->uuids != NULL;
}

static int prep_strings(struct eng_compile *c, struct eng_leaf *leaf)
{
    const struct sx_match *m = &leaf->cond->match;
    struct eng_prep_strings *p = eng__compile_alloc(c, sizeof(*p));
    const struct sx_str *strs;
    struct sx_str *list;
    uint32_t n;

    if (p == NULL)
        return 0;
    strs = eng__match_strs(m, &n);
    list = sorted(c, strs, n, sizeof(*strs), str_cmp, &p->n);
    if (list == NULL)
        return 0;
    if (p->n != 0 && list[0].n == 0)
        list[0].p = ""; /* tests compare without asking */
    p->strs = list;
    if (leaf->mode != ENG_LEAF_PLAIN && leaf->schema->type == ENG_FIELD_UUID) {
        p->is_uuid = leaf->mode == ENG_LEAF_INDEXED;
        if (!prep_uuids(c, p))
            return 0;
    }
    leaf->prep = p;
    return p->n != 0 || m->kind == SX_MATCH_EXCEPT_STR;
}

static int prep_ints(struct eng_compile *c, struct eng_leaf *leaf)
{
    const struct sx_match *m = &leaf->cond->match;
    struct eng_prep_ints *p = eng__compile_alloc(c, sizeof(*p));
    int is_list = m->kind == SX_MATCH_ANY_INT || m->kind == SX_MATCH_EXCEPT_INT;

    if (p == NULL)
        return 0;
    p->ints =
        sorted(c, is_list ? m->ints : &m->i, is_list ? m->n : 1, sizeof(m->i), int_cmp, &p->n);
    leaf->prep = p;
    return p->ints != NULL && (p->n != 0 || m->kind == SX_MATCH_EXCEPT_INT);
}

int eng__prep_match(struct eng_compile *c, struct eng_leaf *leaf)
{
    uint32_t kind = leaf->cond->match.kind;
    int can_match;

    if (eng__is_text(kind))
        return eng__prep_tokens(c, leaf);
    if (kind == SX_MATCH_INT || kind == SX_MATCH_BOOL || kind == SX_MATCH_ANY_INT ||
        kind == SX_MATCH_EXCEPT_INT)
        can_match = prep_ints(c, leaf);
    else
        can_match = prep_strings(c, leaf);
    leaf->test = eng__match_test(leaf);
    return can_match;
}

/* --- numeric ranges ---------------------------------------------------------------------- */

/* Rounded to an integer, beyond i64 to its ends. */
static int64_t clamp(double v)
{
    if (v >= 0x1p63)
        return INT64_MAX;
    return v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

static void raise_lo(struct eng_prep_range *p, int64_t v)
{
    if (v > p->lo)
        p->lo = v;
}

static void lower_hi(struct eng_prep_range *p, int64_t v)
{
    if (v < p->hi)
        p->hi = v;
}

/* lo > hi: nothing. */
static void nothing(struct eng_prep_range *p)
{
    p->lo = INT64_MAX;
    p->hi = INT64_MIN;
}

/* Integers above, below v; both ways the ends have no neighbour. */
static void above(struct eng_prep_range *p, int64_t v)
{
    if (v == INT64_MAX)
        nothing(p);
    else
        raise_lo(p, v + 1);
}

static void below(struct eng_prep_range *p, int64_t v)
{
    if (v == INT64_MIN)
        nothing(p);
    else
        lower_hi(p, v - 1);
}

/* Of two equal bounds the open one holds: it is taken first. */
static void raise_f_lo(struct eng_prep_range *p, double v, uint32_t is_open)
{
    if (v > p->f_lo) {
        p->f_lo = v;
        p->lo_open = is_open;
    }
}

static void lower_f_hi(struct eng_prep_range *p, double v, uint32_t is_open)
{
    if (v < p->f_hi) {
        p->f_hi = v;
        p->hi_open = is_open;
    }
}

/* 0: a bound that no number satisfies. */
static int number_bounds(struct eng_prep_range *p, const struct sx_range *r)
{
    if (((r->has & SX_BOUND_GT) && isnan(r->gt)) || ((r->has & SX_BOUND_GTE) && isnan(r->gte)) ||
        ((r->has & SX_BOUND_LT) && isnan(r->lt)) || ((r->has & SX_BOUND_LTE) && isnan(r->lte)))
        return 0;
    if (r->has & SX_BOUND_GT) {
        raise_f_lo(p, r->gt, 1);
        above(p, clamp(floor(r->gt)));
    }
    if (r->has & SX_BOUND_GTE) {
        raise_f_lo(p, r->gte, 0);
        raise_lo(p, clamp(ceil(r->gte)));
    }
    if (r->has & SX_BOUND_LT) {
        lower_f_hi(p, r->lt, 1);
        below(p, clamp(ceil(r->lt)));
    }
    if (r->has & SX_BOUND_LTE) {
        lower_f_hi(p, r->lte, 0);
        lower_hi(p, clamp(floor(r->lte)));
    }
    return p->is_int ? p->lo <= p->hi
                     : p->f_lo < p->f_hi || (p->f_lo == p->f_hi && !p->lo_open && !p->hi_open);
}

/* --- ranges of time ---------------------------------------------------------------------- */

static int instant_cmp(const struct sx_instant *a, const struct sx_instant *b)
{
    if (a->s != b->s)
        return a->s < b->s ? -1 : 1;
    return (a->ns > b->ns) - (a->ns < b->ns);
}

static void time_lo(struct eng_prep_range *p, const struct sx_instant *t, uint32_t is_open)
{
    if (instant_cmp(t, &p->t_lo) > 0) {
        p->t_lo = *t;
        p->lo_open = is_open;
    }
}

static void time_hi(struct eng_prep_range *p, const struct sx_instant *t, uint32_t is_open)
{
    if (instant_cmp(t, &p->t_hi) < 0) {
        p->t_hi = *t;
        p->hi_open = is_open;
    }
}

/* Bounds as instants, without an index. */
static int time_bounds(struct eng_prep_range *p, const struct sx_range *r)
{
    int c;

    p->t_lo = (struct sx_instant){INT64_MIN, 0, 0};
    p->t_hi = (struct sx_instant){INT64_MAX, UINT32_MAX, 0};
    if (r->has & SX_BOUND_GT)
        time_lo(p, &r->t_gt, 1);
    if (r->has & SX_BOUND_GTE)
        time_lo(p, &r->t_gte, 0);
    if (r->has & SX_BOUND_LT)
        time_hi(p, &r->t_lt, 1);
    if (r->has & SX_BOUND_LTE)
        time_hi(p, &r->t_lte, 0);
    c = instant_cmp(&p->t_lo, &p->t_hi);
    return c < 0 || (c == 0 && !p->lo_open && !p->hi_open);
}

/* Bounds as microseconds: integers for an integer or datetime index, their f64 for a float one.
 * is_wide: what is cut off below a microsecond may lie on either side, so no bound is open. */
static int us_bounds(struct eng_prep_range *p, const struct sx_range *r, int is_wide)
{
    if (r->has & SX_BOUND_GT)
        (is_wide ? raise_lo : above)(p, eng_instant_us(&r->t_gt));
    if (r->has & SX_BOUND_GTE)
        raise_lo(p, eng_instant_us(&r->t_gte));
    if (r->has & SX_BOUND_LT)
        (is_wide ? lower_hi : below)(p, eng_instant_us(&r->t_lt));
    if (r->has & SX_BOUND_LTE)
        lower_hi(p, eng_instant_us(&r->t_lte));
    if (p->is_int)
        return p->lo <= p->hi;
    if (r->has & SX_BOUND_GT)
        raise_f_lo(p, (double)eng_instant_us(&r->t_gt), 1);
    if (r->has & SX_BOUND_GTE)
        raise_f_lo(p, (double)eng_instant_us(&r->t_gte), 0);
    if (r->has & SX_BOUND_LT)
        lower_f_hi(p, (double)eng_instant_us(&r->t_lt), 1);
    if (r->has & SX_BOUND_LTE)
        lower_f_hi(p, (double)eng_instant_us(&r->t_lte), 0);
    return p->f_lo < p->f_hi || (p->f_lo == p->f_hi && !p->lo_open && !p->hi_open);
}

int eng__prep_range(struct eng_compile *c, struct eng_leaf *leaf)
{
    const struct sx_range *r = &leaf->cond->range;
    uint32_t type = leaf->mode != ENG_LEAF_PLAIN ? leaf->schema->type : 0;
    struct eng_prep_range *p = eng__compile_alloc(c, sizeof(*p));
    int can_match;

    if (p == NULL)
        return 0;
    p->is_int = type == ENG_FIELD_INTEGER || type == ENG_FIELD_DATETIME;
    p->is_time = type == ENG_FIELD_DATETIME || (type == 0 && r->kind == SX_RANGE_TIME);
    p->lo = INT64_MIN;
    p->hi = INT64_MAX;
    p->f_lo = -INFINITY;
    p->f_hi = INFINITY;
    if (r->kind == SX_RANGE_NUM)
        can_match = number_bounds(p, r);
    else if (leaf->mode == ENG_LEAF_INDEXED)
        can_match = us_bounds(p, r, 0);
    else
        can_match = time_bounds(p, r) && (type == 0 || us_bounds(p, r, 1));
    leaf->prep = p;
    leaf->test = eng__range_test(leaf);
    return can_match;
}

/* --- places, ids ------------------------------------------------------------------------- */

int eng__prep_geo(struct eng_compile *c, struct eng_leaf *leaf)
{
    struct eng_prep_geo *p = eng__compile_alloc(c, sizeof(*p));

    if (p == NULL)
        return 0;
    eng_geo_shape_init(&p->shape, leaf->cond->geo, leaf->cond->geo->kinds);
    leaf->prep = p;
    leaf->test = eng__geo_test;
    return 1;
}

int eng__prep_ids(struct eng_compile *c, struct eng_leaf *leaf)
{
    struct eng_prep_ids *p = eng__compile_alloc(c, sizeof(*p));

    if (p == NULL)
        return 0;
    p->ids = sorted(c, leaf->cond->ids, leaf->cond->n_ids, sizeof(*p->ids), id_cmp, &p->n);
    leaf->prep = p;
    return p->ids != NULL && p->n != 0;
}
