/* Clauses of field conditions: match, range, values_count.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode_filter.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- match ---------------------------------------------------------------------------------- */

static int match_value(const struct sx_value *v, struct sx_match *out)
{
    if (rest_value_str(v, &out->str)) {
        out->kind = SX_MATCH_STR;
    } else if (rest_value_i64(v, &out->i)) {
        out->kind = SX_MATCH_INT;
    } else if (v->num.type == SX_DOC_TRUE || v->num.type == SX_DOC_FALSE) {
        out->kind = SX_MATCH_BOOL;
        out->i = v->num.type == SX_DOC_TRUE;
    } else {
        return 0;
    }
    return 1;
}

/* All strings, which an empty list is too. 1, 0 or SX_ENOMEM. */
static int match_strs(struct rest_dec *d, struct sx_doc arr, struct sx_match *out)
{
    uint32_t n = sx_doc_count(arr);
    struct sx_str *strs;

    if (n != 0 && sx_doc_type(sx_doc_elem(arr, 0)) != SX_DOC_STR)
        return 0;
    strs = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*strs) + 1);
    if (strs == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_value v = rest_value_at(arr, i);

        if (!rest_value_str(&v, &strs[i]))
            return 0;
    }
    out->strs = strs;
    return 1;
}

static int match_ints(struct rest_dec *d, struct sx_doc arr, struct sx_match *out)
{
    uint32_t n = sx_doc_count(arr);
    int64_t *ints;

    if (sx_doc_type(arr) != SX_DOC_ARR_I64) /* what arrays of nothing but integers are */
        return 0;
    ints = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*ints) + 1);
    if (ints == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        ints[i] = sx_doc_elem_num(arr, i).v.i;
    out->ints = ints;
    return 1;
}

static int match_list(struct rest_dec *d,
                      const struct sx_value *v,
                      uint32_t strs,
                      uint32_t ints,
                      struct sx_match *out)
{
    int rc;

    if (!rest_value_is_arr(v))
        return 0;
    out->n = sx_doc_count(v->doc);
    out->kind = strs;
    rc = match_strs(d, v->doc, out);
    if (rc != 0)
        return rc;
    out->kind = ints;
    return match_ints(d, v->doc, out);
}

static int
match_variant(struct rest_dec *d, uint32_t kind, const struct sx_value *v, struct sx_match *out)
{
    switch (kind) {
    case SX_MATCH_STR:
        return match_value(v, out);
    case SX_MATCH_ANY_STR:
        return match_list(d, v, SX_MATCH_ANY_STR, SX_MATCH_ANY_INT, out);
    case SX_MATCH_EXCEPT_STR:
        return match_list(d, v, SX_MATCH_EXCEPT_STR, SX_MATCH_EXCEPT_INT, out);
    default:
        out->kind = kind;
        return rest_value_str(v, &out->str);
    }
}

/* The first variant that fits; each is a struct of one field. */
int rest_clause_match(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_match *out,
                      struct sx_str *cause)
{
    static const struct {
        const char *name;
        uint32_t kind, pad;
    } variants[] = {
        {"value", SX_MATCH_STR, 0},         {"text", SX_MATCH_TEXT, 0},
        {"text_any", SX_MATCH_TEXT_ANY, 0}, {"phrase", SX_MATCH_PHRASE, 0},
        {"prefix", SX_MATCH_PREFIX, 0},     {"substring", SX_MATCH_SUBSTRING, 0},
        {"any", SX_MATCH_ANY_STR, 0},       {"except", SX_MATCH_EXCEPT_STR, 0},
    };

    for (uint32_t i = 0; i < SX_COUNT(variants); i++) {
        struct sx_value one;
        int rc = rest_value_struct(d, v, "", &variants[i].name, 1, &one, NULL);

        if (rc == 1 && !rest_value_is_null(&one)) {
            memset(out, 0, sizeof(*out));
            rc = match_variant(d, variants[i].kind, &one, out);
            if (rc != 0)
                return rc;
        }
    }
    memset(out, 0, sizeof(*out));
    return rest_cause(d, cause, "data did not match any variant of untagged enum MatchInterface");
}

/* --- range ---------------------------------------------------------------------------------- */

static const char *const bounds[] = {"lt", "gt", "gte", "lte"};
static const uint32_t bound_bits[] = {SX_BOUND_LT, SX_BOUND_GT, SX_BOUND_GTE, SX_BOUND_LTE};

/* What the bounds are: SX_RANGE_*, NONE for a bound that is neither number nor text. */
static uint32_t range_kind(const struct sx_value *f)
{
    uint32_t kind = SX_RANGE_NUM;
    double unused;

    for (uint32_t i = 0; i < 4; i++)
        if (f[i].num.type == SX_DOC_STR)
            kind = SX_RANGE_TIME;
        else if (!rest_value_is_null(&f[i]) && !rest_value_f64(&f[i], &unused))
            return SX_RANGE_NONE;
    return kind;
}

static int time_bound(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_instant *out,
                      struct sx_str *cause)
{
    struct sx_str s;
    struct sx_buf b;
    int rc;

    if (!rest_value_str(v, &s)) {
        if (cause == NULL)
            return 0;
        sx_buf_init(&b, d->arena->mem);
        rest_show_value(&b, v);
        rc = b.failed
                 ? SX_ENOMEM
                 : rest_cause(d, cause, "invalid type: %.*s, expected a string", (int)b.n, b.p);
        sx_buf_fini(&b);
        return rc;
    }
    if (sx_instant_parse(s.p, s.n, out) == SX_OK)
        return 1;
    return rest_cause(d, cause,
                      "'%.*s' does not match accepted datetime format (RFC3339). Example: "
                      "2014-01-01T00:00:00Z",
                      (int)s.n, s.p);
}

int rest_clause_range(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_range *out,
                      struct sx_str *cause)
{
    double *nums[] = {&out->lt, &out->gt, &out->gte, &out->lte};
    struct sx_instant *times[] = {&out->t_lt, &out->t_gt, &out->t_gte, &out->t_lte};
    struct sx_value f[4];
    int rc = rest_value_struct(d, v, "", bounds, 4, f, NULL);

    if (rc == 1)
        out->kind = range_kind(f);
    if (rc != 1 || out->kind == SX_RANGE_NONE)
        return rest_cause(d, cause,
                          "data did not match any variant of untagged enum "
                          "RangeInterfaceUntagged");
    for (uint32_t i = 0; i < 4; i++) {
        if (rest_value_is_null(&f[i]))
            continue;
        out->has |= bound_bits[i];
        if (out->kind == SX_RANGE_NUM)
            (void)rest_value_f64(&f[i], nums[i]);
        else if ((rc = time_bound(d, &f[i], times[i], cause)) != 1)
            return rc;
    }
    return 1;
}

/* --- values_count --------------------------------------------------------------------------- */

int rest_clause_count(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_count_range *out,
                      struct sx_str *cause)
{
    uint64_t *nums[] = {&out->lt, &out->gt, &out->gte, &out->lte};
    struct sx_value f[4];
    int rc = rest_value_struct(d, v, "struct ValuesCount", bounds, 4, f, cause);

    if (rc != 1)
        return rc;
    out->present = 1;
    for (uint32_t i = 0; i < 4; i++) {
        if (rest_value_is_null(&f[i]))
            continue;
        if (!rest_value_u64(&f[i], nums[i]))
            return rest_cause_type(d, cause, &f[i], "usize");
        out->has |= bound_bits[i];
    }
    return 1;
}
