/* Conditions of filters, out of buffered values: which one it is, and those without clauses.
 *
 * An object with `key` is a field condition and nothing else, and says what is wrong with it. The
 * other kinds are tried in a fixed order; the first that fits wins, and when none does nobody knows
 * which was meant. So within nested and within filters used as conditions causes are not asked for.
 *
 * Recursion is as deep as the text's brackets, which the reader bounds.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode_filter.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- field conditions ----------------------------------------------------------------------- */

static int tri(struct rest_dec *d, struct sx_doc obj, const char *name, uint32_t *out, void *cause)
{
    struct sx_value v = rest_value_get(obj, name);

    if (rest_value_is_null(&v))
        return 1;
    if (v.num.type != SX_DOC_TRUE && v.num.type != SX_DOC_FALSE)
        return rest_cause_type(d, cause, &v, "a boolean");
    *out = v.num.type == SX_DOC_TRUE ? SX_TRI_TRUE : SX_TRI_FALSE;
    return 1;
}

static int geo(struct rest_dec *d, struct sx_doc obj, struct sx_cond *out, struct sx_str *cause)
{
    static const struct {
        const char *name;
        uint32_t kind, pad;
    } clauses[] = {{"geo_bounding_box", SX_GEO_BOX, 0},
                   {"geo_polygon", SX_GEO_POLYGON, 0},
                   {"geo_radius", SX_GEO_RADIUS, 0}};
    struct sx_geo_cond *g = NULL;
    int rc = 1;

    for (uint32_t i = 0; i < SX_COUNT(clauses) && rc == 1; i++) {
        struct sx_value v = rest_value_get(obj, clauses[i].name);

        if (!rest_value_is_null(&v))
            rc = rest_clause_geo(d, &v, clauses[i].kind, &g, cause);
    }
    out->geo = g;
    return rc;
}

static int has_clause(struct sx_doc obj)
{
    static const char *const names[] = {"match",      "range",       "geo_bounding_box",
                                        "geo_radius", "geo_polygon", "values_count",
                                        "is_empty",   "is_null"};
    uint32_t i = 0;

    while (i < SX_COUNT(names) && !rest_value_has(obj, names[i]))
        i++;
    return i < SX_COUNT(names);
}

static int path(struct rest_dec *d, struct sx_doc obj, struct sx_path *out, struct sx_str *cause)
{
    struct sx_value v = rest_value_get(obj, "key");
    struct sx_str s;
    int rc = rest_value_path(d, &v, out);

    if (rc != 0)
        return rc;
    if (!rest_value_str(&v, &s)) /* two texts, both as recorded */
        return has_clause(obj) ? rest_cause(d, cause, "Filter condition 'key' must be a string")
                               : rest_cause_type(d, cause, &v, "a string");
    return rest_cause(d, cause, "Invalid json path: '%.*s'", (int)s.n, s.p);
}

/* Clauses in the order of their names, which decides whose fault is the one reported. */
static int clauses(struct rest_dec *d, struct sx_doc obj, struct sx_cond *out, struct sx_str *cause)
{
    struct sx_value match = rest_value_get(obj, "match"), range = rest_value_get(obj, "range"),
                    count = rest_value_get(obj, "values_count");
    int rc = geo(d, obj, out, cause);

    if (rc == 1)
        rc = tri(d, obj, "is_empty", &out->is_empty, cause);
    if (rc == 1)
        rc = tri(d, obj, "is_null", &out->is_null, cause);
    if (rc == 1)
        rc = path(d, obj, &out->key, cause);
    if (rc == 1 && !rest_value_is_null(&match))
        rc = rest_clause_match(d, &match, &out->match, cause);
    if (rc == 1 && !rest_value_is_null(&range))
        rc = rest_clause_range(d, &range, &out->range, cause);
    if (rc == 1 && !rest_value_is_null(&count))
        rc = rest_clause_count(d, &count, &out->values_count, cause);
    return rc;
}

static int field(struct rest_dec *d,
                 struct sx_doc obj,
                 const struct rest_where *at,
                 struct sx_cond *out,
                 struct sx_str *cause)
{
    struct sx_value key = rest_value_get(obj, "key");
    int rc;

    if (key.num.type != SX_DOC_STR) /* before anything else is looked at */
        return path(d, obj, &out->key, cause);
    rc = clauses(d, obj, out, cause);
    if (rc != 1)
        return rc;
    out->kind = SX_COND_FIELD;
    if (out->match.kind == SX_MATCH_NONE && out->range.kind == SX_RANGE_NONE && out->geo == NULL &&
        !out->values_count.present && out->is_empty == SX_TRI_NONE && out->is_null == SX_TRI_NONE) {
        out->kind = SX_COND_NEVER;
        if (at != NULL)
            rest_where_add(d, at,
                           "__all__: Validation error: At least one field condition must be "
                           "specified [{}]");
    }
    return 1;
}

/* --- conditions without clauses ------------------------------------------------------------- */

/* {"key": path} of is_empty and is_null. */
static int payload_field(struct rest_dec *d, const struct sx_value *v, struct sx_cond *out)
{
    static const char *const names[] = {"key"};
    struct sx_value key;

    return rest_value_struct(d, v, "", names, 1, &key, NULL) == 1
               ? rest_value_path(d, &key, &out->key)
               : 0;
}

static int has_id(struct rest_dec *d, const struct sx_value *v, struct sx_cond *out)
{
    uint32_t n = sx_doc_count(v->doc);
    struct sx_id *ids;

    if (!rest_value_is_arr(v))
        return 0;
    ids = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*ids) + 1);
    if (ids == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_value id = rest_value_at(v->doc, i);

        if (!rest_value_id(&id, &ids[i]))
            return 0;
    }
    out->ids = ids;
    out->n_ids = n;
    return 1;
}

static int slice(struct rest_dec *d,
                 const struct sx_value *v,
                 const struct rest_where *at,
                 struct sx_cond *out)
{
    static const char *const names[] = {"total", "index"};
    struct sx_value f[2];
    uint64_t total, index;

    if (rest_value_struct(d, v, "", names, 2, f, NULL) != 1 || !rest_value_u64(&f[0], &total) ||
        !rest_value_u64(&f[1], &index) || total == 0 || total > UINT32_MAX || index > UINT32_MAX)
        return 0;
    out->slice_total = (uint32_t)total;
    out->slice_at = (uint32_t)index;
    if (index >= total && at != NULL)
        rest_where_add(d, at,
                       "__all__: Validation error: Slice index must be less than the total number "
                       "of slices [{}]");
    return 1;
}

static int filter(struct rest_dec *d,
                  const struct sx_value *v,
                  const struct rest_where *at,
                  struct sx_cond *out);

static int nested(struct rest_dec *d,
                  const struct sx_value *v,
                  const struct rest_where *up,
                  struct sx_cond *out)
{
    static const char *const names[] = {"key", "filter"};
    struct rest_where at = {up, NULL, "nested.filter", REST_NO_INDEX, 0};
    struct sx_value f[2];
    int rc;

    if (rest_value_struct(d, v, "", names, 2, f, NULL) != 1)
        return 0;
    rc = rest_value_path(d, &f[0], &out->key);
    return rc == 1 ? filter(d, &f[1], up != NULL ? &at : NULL, out) : rc;
}

/* --- filters used as conditions ------------------------------------------------------------- */

/* The conditions of a list into an array of their own. */
static int list(struct rest_dec *d,
                const struct sx_value *v,
                const struct rest_where *up,
                const char *step,
                const struct sx_cond **out,
                uint32_t *n_out)
{
    uint32_t n = sx_doc_count(v->doc);
    struct sx_cond *conds;

    if (!rest_value_is_arr(v))
        return 0;
    conds = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*conds) + 1);
    if (conds == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct rest_where at = {up, NULL, step, i, 0};
        struct sx_value one = rest_value_at(v->doc, i);
        int rc = rest_cond(d, &one, up != NULL ? &at : NULL, &conds[i], NULL);

        if (rc != 1)
            return rc;
    }
    *out = conds;
    *n_out = n;
    return 1;
}

static int clause(struct rest_dec *d,
                  struct sx_doc obj,
                  const struct rest_where *up,
                  const char *step,
                  const struct sx_cond **out,
                  uint32_t *n_out)
{
    struct rest_where at = {up, NULL, step, 0, 0};
    struct sx_value v = rest_value_get(obj, step);
    struct sx_cond *one;

    if (rest_value_is_null(&v))
        return 1;
    if (!rest_value_is_obj(&v))
        return list(d, &v, up, step, out, n_out);
    one = sx_arena_alloc(d->arena, sizeof(*one));
    if (one == NULL)
        return SX_ENOMEM;
    *out = one;
    *n_out = 1;
    return rest_cond(d, &v, up != NULL ? &at : NULL, one, NULL);
}

static int min_should(struct rest_dec *d,
                      struct sx_doc obj,
                      const struct rest_where *up,
                      struct sx_filter *out)
{
    static const char *const names[] = {"conditions", "min_count"};
    struct rest_where at = {up, NULL, "min_should", REST_NO_INDEX, 0};
    struct sx_value v = rest_value_get(obj, "min_should"), f[2];
    int rc;

    if (rest_value_is_null(&v))
        return 1;
    if (rest_value_struct(d, &v, "", names, 2, f, NULL) != 1 ||
        !rest_value_u64(&f[1], &out->min_count))
        return 0;
    out->has_min_should = 1;
    rc =
        list(d, &f[0], up != NULL ? &at : NULL, "conditions", &out->min_should, &out->n_min_should);
    if (rc == 1 && up != NULL && out->min_count == 0)
        rest_where_add(d, &at, "min_count: min_count must be greater than 0");
    return rc;
}

/* Any other member makes it something else. */
static int only_clauses(struct sx_doc obj)
{
    static const char *const names[] = {"should", "min_should", "must", "must_not"};
    struct sx_str key;

    for (uint32_t i = 0; i < sx_doc_count(obj); i++) {
        (void)sx_doc_member(obj, i, &key);
        if (rest_field_of(key, names, SX_COUNT(names)) == SX_COUNT(names))
            return 0;
    }
    return 1;
}

static int filter(struct rest_dec *d,
                  const struct sx_value *v,
                  const struct rest_where *at,
                  struct sx_cond *out)
{
    struct sx_filter *f;
    struct sx_value should;
    int rc;

    if (!rest_value_is_obj(v) || !only_clauses(v->doc))
        return 0;
    f = sx_arena_zalloc(d->arena, sizeof(*f));
    if (f == NULL)
        return SX_ENOMEM;
    out->filter = f;
    should = rest_value_get(v->doc, "should");
    f->has_should = !rest_value_is_null(&should);
    rc = clause(d, v->doc, at, "should", &f->should, &f->n_should);
    if (rc == 1)
        rc = min_should(d, v->doc, at, f);
    if (rc == 1)
        rc = clause(d, v->doc, at, "must", &f->must, &f->n_must);
    if (rc == 1)
        rc = clause(d, v->doc, at, "must_not", &f->must_not, &f->n_must_not);
    return rc;
}

/* --- recognition ---------------------------------------------------------------------------- */

/* The kinds other than field, by member; the last one is the object as a whole. */
static const struct {
    const char *member;
    uint32_t kind, pad;
} kinds[] = {
    {"is_empty", SX_COND_IS_EMPTY, 0}, {"is_null", SX_COND_IS_NULL, 0},
    {"has_id", SX_COND_HAS_ID, 0},     {"has_vector", SX_COND_HAS_VECTOR, 0},
    {"slice", SX_COND_SLICE, 0},       {"nested", SX_COND_NESTED, 0},
    {NULL, SX_COND_FILTER, 0},
};

static int one_kind(struct rest_dec *d,
                    uint32_t kind,
                    const struct sx_value *v,
                    const struct rest_where *at,
                    struct sx_cond *out)
{
    switch (kind) {
    case SX_COND_IS_EMPTY:
    case SX_COND_IS_NULL:
        return payload_field(d, v, out);
    case SX_COND_HAS_ID:
        return has_id(d, v, out);
    case SX_COND_HAS_VECTOR:
        return rest_value_str(v, &out->vector);
    case SX_COND_SLICE:
        return slice(d, v, at, out);
    case SX_COND_NESTED:
        return nested(d, v, at, out);
    default:
        return filter(d, v, at, out);
    }
}

int rest_cond(struct rest_dec *d,
              const struct sx_value *v,
              const struct rest_where *at,
              struct sx_cond *out,
              struct sx_str *cause)
{
    int rc = 0;

    memset(out, 0, sizeof(*out));
    if (!rest_value_is_obj(v))
        return 0;
    if (rest_value_has(v->doc, "key"))
        return field(d, v->doc, at, out, cause);
    for (uint32_t i = 0; i < SX_COUNT(kinds) && rc == 0; i++) {
        struct sx_value part = *v;

        if (kinds[i].member != NULL) {
            if (!rest_value_has(v->doc, kinds[i].member))
                continue;
            part = rest_value_get(v->doc, kinds[i].member);
        }
        memset(out, 0, sizeof(*out));
        out->kind = kinds[i].kind;
        rc = one_kind(d, kinds[i].kind, &part, at, out);
    }
    return rc;
}
