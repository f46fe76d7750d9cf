/* Filters: the object at the top and its lists of conditions, read from the text.
 *
 * The reference reads these from the text too, so their errors are the parser's and stand at the
 * byte that is to blame; each condition is one buffered value (decode_cond.c), whose errors stand
 * at its end. How deep filters nest is bounded by the reader, which opens 127 brackets and no more.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode_filter.h"

#include <string.h>

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- paths of range errors ------------------------------------------------------------------ */

void rest_where_add(struct rest_dec *d, const struct rest_where *at, const char *text)
{
    const struct rest_where *steps[128];
    uint32_t n = 0;
    struct sx_buf b;

    for (; at->up != NULL; at = at->up)
        if (n < SX_COUNT(steps)) /* a level takes at least as many brackets as steps */
            steps[n++] = at;
    sx_buf_init(&b, d->arena->mem);
    sx_buf_adds(&b, at->path);
    sx_buf_adds(&b, at->step);
    while (n-- > 0) {
        sx_buf_addc(&b, '.');
        sx_buf_adds(&b, steps[n]->step);
        if (steps[n]->index != REST_NO_INDEX)
            sx_buf_printf(&b, "[%u]", steps[n]->index);
    }
    if (!b.failed)
        rest_valid_add(d, "%.*s.%s", (int)b.n, b.p, text);
    sx_buf_fini(&b);
}

/* --- conditions ----------------------------------------------------------------------------- */

static const char no_condition[] =
    "Expected some form of condition, which can be a field condition (like {\"key\": ..., "
    "\"match\": ... }), or some other mentioned in the documentation: "
    "https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions";

struct list {
    struct sx_cond *conds;
    uint32_t n, cap;
};

/* The next value into the list. alone: it stands in place of a list. */
static int condition(
    struct rest_dec *d, const struct rest_where *up, const char *step, int alone, struct list *list)
{
    struct rest_where at = {up, NULL, step, list->n, 0};
    struct sx_str cause = {NULL, 0, 0};
    struct sx_value v;
    struct sx_doc doc;
    int rc;

    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    doc = sx_docb_end_arena(d->docb, d->arena);
    list->conds = rest_push(d, list->conds, list->n, &list->cap, sizeof(*list->conds));
    if (doc.p == NULL || list->conds == NULL)
        return SX_ENOMEM;
    v = rest_value(doc);
    rc = rest_cond(d, &v, up != NULL ? &at : NULL, &list->conds[list->n++], &cause);
    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    if (cause.p == NULL)
        cause = (struct sx_str){no_condition, sizeof(no_condition) - 1, 0};
    return alone ? sx_json_fail_at(&d->j, d->j.p - 1, "%.*s", (int)cause.n, cause.p)
                 : sx_json_fail(&d->j, "%.*s", (int)cause.n, cause.p);
}

static int
conditions(struct rest_dec *d, const struct rest_where *up, const char *step, struct list *list)
{
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0)
        rc = condition(d, up, step, 0, list);
    return rc;
}

/* A clause: null, a condition, or a list of them. */
static int clause(struct rest_dec *d,
                  const struct rest_where *up,
                  const char *step,
                  const struct sx_cond **conds,
                  uint32_t *n,
                  uint32_t *is_given)
{
    struct list list = {NULL, 0, 0};
    int kind = sx_json_peek(&d->j), rc;

    if (kind < 0)
        return SX_EFORMAT;
    if (kind == SX_JSON_NULL) {
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    }
    if (kind == SX_JSON_OBJ)
        rc = condition(d, up, step, 1, &list);
    else if (kind == SX_JSON_ARR)
        rc = conditions(d, up, step, &list);
    else
        return sx_json_fail_type(&d->j, "null, array or map");
    *conds = list.conds;
    *n = list.n;
    *is_given = 1;
    return rc;
}

/* --- min_should ----------------------------------------------------------------------------- */

static const char *const min_should_names[] = {"conditions", "min_count"};

static int min_should_field(struct rest_dec *d,
                            uint32_t i,
                            const struct rest_where *at,
                            struct list *list,
                            uint64_t *min_count)
{
    return i == 0   ? conditions(d, at, "conditions", list)
           : i == 1 ? sx_json_u64(&d->j, "usize", UINT64_MAX, min_count)
                    : sx_json_skip(&d->j, NULL);
}

/* The list of the two fields. */
static int min_should_list(struct rest_dec *d,
                           const struct rest_where *at,
                           struct list *list,
                           uint64_t *min_count)
{
    uint32_t i = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        if (i == 2)
            return sx_json_fail_at(&d->j, d->j.p, "trailing characters");
        rc = min_should_field(d, i++, at, list, min_count);
    }
    if (rc == SX_OK && i < 2)
        return sx_json_fail_at(&d->j, d->j.p - 1,
                               "invalid length %u, expected struct MinShould with 2 elements", i);
    return rc;
}

static int min_should_object(struct rest_dec *d,
                             const struct rest_where *at,
                             struct list *list,
                             uint64_t *min_count)
{
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct MinShould");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, min_should_names, 2);
        if (i < 2 && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, min_should_names[i]);
        seen |= 1u << i;
        rc = min_should_field(d, i, at, list, min_count);
    }
    for (i = 0; i < 2 && rc == SX_OK; i++)
        if ((seen & 1u << i) == 0)
            return rest_fail_missing(d, min_should_names[i]);
    return rc;
}

static int min_should(struct rest_dec *d, const struct rest_where *up, struct sx_filter *out)
{
    struct rest_where step = {up, NULL, "min_should", REST_NO_INDEX, 0};
    const struct rest_where *at = up != NULL ? &step : NULL;
    struct list list = {NULL, 0, 0};
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_peek(&d->j) == SX_JSON_ARR ? min_should_list(d, at, &list, &out->min_count)
                                            : min_should_object(d, at, &list, &out->min_count);
    out->min_should = list.conds;
    out->n_min_should = list.n;
    out->has_min_should = 1;
    if (rc == SX_OK && at != NULL && out->min_count == 0)
        rest_where_add(d, at, "min_count: min_count must be greater than 0");
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------ */

static int filter(struct rest_dec *d, const struct rest_where *at, struct sx_filter *out)
{
    static const char *const names[] = {"should", "min_should", "must", "must_not"};
    uint32_t seen = 0, unused, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct Filter");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i == SX_COUNT(names))
            return rest_fail_unknown(d, key,
                                     "expected one of `should`, `min_should`, `must`, `must_not`");
        if ((seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? clause(d, at, names[i], &out->should, &out->n_should, &out->has_should)
             : i == 1 ? min_should(d, at, out)
             : i == 2 ? clause(d, at, names[i], &out->must, &out->n_must, &unused)
                      : clause(d, at, names[i], &out->must_not, &out->n_must_not, &unused);
    }
    return rc;
}

int rest_filter(struct rest_dec *d,
                const char *path,
                const char *step,
                const struct sx_filter **out)
{
    struct rest_where at = {NULL, path, step, REST_NO_INDEX, 0};
    struct sx_filter *f;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    f = sx_arena_zalloc(d->arena, sizeof(*f));
    if (f == NULL)
        return SX_ENOMEM;
    *out = f;
    return filter(d, path != NULL ? &at : NULL, f);
}
