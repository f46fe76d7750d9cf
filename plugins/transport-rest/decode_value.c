/* Reading out of values that were buffered as documents.
 *
 * Numbers of packed arrays have no document of their own, so a value is a pair of document and
 * number. Errors read as those of the reference's buffer do: two capitalised sentences.
 *
 * Memory: texts and paths in the arena of d. Threads: one body at a time per rest_dec. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decode_filter.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct sx_value rest_value_at(struct sx_doc arr, uint32_t i)
{
    struct sx_doc doc = sx_doc_elem(arr, i);

    if (doc.p != NULL)
        return rest_value(doc);
    return (struct sx_value){doc, sx_doc_elem_num(arr, i)};
}

struct sx_value rest_value_get(struct sx_doc obj, const char *key)
{
    return rest_value(sx_doc_get(obj, key));
}

int rest_value_u64(const struct sx_value *v, uint64_t *out)
{
    if (v->num.type != SX_DOC_U64 && (v->num.type != SX_DOC_I64 || v->num.v.i < 0))
        return 0;
    *out = v->num.v.u;
    return 1;
}

int rest_value_i64(const struct sx_value *v, int64_t *out)
{
    if (v->num.type != SX_DOC_I64)
        return 0;
    *out = v->num.v.i;
    return 1;
}

int rest_value_f64(const struct sx_value *v, double *out)
{
    switch (v->num.type) {
    case SX_DOC_I64:
        *out = (double)v->num.v.i;
        return 1;
    case SX_DOC_U64:
        *out = (double)v->num.v.u;
        return 1;
    case SX_DOC_F64:
        *out = v->num.v.f;
        return 1;
    default:
        return 0;
    }
}

int rest_value_str(const struct sx_value *v, struct sx_str *out)
{
    struct sx_str s;

    if (v->num.type != SX_DOC_STR)
        return 0;
    s = sx_doc_str(v->doc);
    if (s.p == NULL)
        return 0;
    *out = s;
    return 1;
}

int rest_value_id(const struct sx_value *v, struct sx_id *out)
{
    struct sx_str s;
    uint64_t n;

    if (rest_value_u64(v, &n)) {
        *out = (struct sx_id){0, n, SX_ID_NUM, 0};
        return 1;
    }
    return rest_value_str(v, &s) && sx_uuid_parse(s.p, s.n, out) == SX_OK;
}

int rest_value_path(struct rest_dec *d, const struct sx_value *v, struct sx_path *out)
{
    struct sx_str s;
    int rc;

    if (!rest_value_str(v, &s))
        return 0;
    rc = sx_path_parse(d->arena, s, out, NULL);
    return rc == SX_OK ? 1 : rc == SX_ENOMEM ? SX_ENOMEM : 0;
}

/* --- structs and causes --------------------------------------------------------------------- */

int rest_value_struct(struct rest_dec *d,
                      const struct sx_value *v,
                      const char *noun,
                      const char *const *names,
                      uint32_t n,
                      struct sx_value *out,
                      struct sx_str *cause)
{
    uint32_t given;

    if (rest_value_is_obj(v)) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = rest_value_get(v->doc, names[i]);
        return 1;
    }
    if (!rest_value_is_arr(v))
        return rest_cause_type(d, cause, v, noun);
    given = sx_doc_count(v->doc);
    if (given != n)
        return rest_cause(d, cause, "Invalid length %u. Expected %s with %u element%s", given, noun,
                          n, n != 1 ? "s" : "");
    for (uint32_t i = 0; i < n; i++)
        out[i] = rest_value_at(v->doc, i);
    return 1;
}

int rest_cause(struct rest_dec *d, struct sx_str *cause, const char *fmt, ...)
{
    va_list ap, again;
    char *p;
    int n;

    if (cause == NULL)
        return 0;
    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    p = n < 0 ? NULL : sx_arena_alloc(d->arena, (uint64_t)n + 1);
    if (p != NULL)
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    if (p == NULL)
        return SX_ENOMEM;
    *cause = (struct sx_str){p, (uint32_t)n, 0};
    return 0;
}

int rest_cause_type(struct rest_dec *d,
                    struct sx_str *cause,
                    const struct sx_value *v,
                    const char *noun)
{
    int is_value = strcmp(noun, "usize") == 0 && v->num.type == SX_DOC_I64, rc;
    struct sx_buf b;

    if (cause == NULL)
        return 0;
    sx_buf_init(&b, d->arena->mem);
    rest_show_value(&b, v);
    rc = b.failed ? SX_ENOMEM
                  : rest_cause(d, cause, "Invalid %s %.*s. Expected %s",
                               is_value ? "value" : "type", (int)b.n, b.p, noun);
    sx_buf_fini(&b);
    return rc;
}

int rest_cause_missing(struct rest_dec *d, struct sx_str *cause, const char *name)
{
    return rest_cause(d, cause, "Missing field %s", name);
}
