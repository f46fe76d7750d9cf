/* Parts that many bodies have: payload and vector selectors, filters, shard keys.
 *
 * Filters are checked for their outer shape; one that restricts anything makes the body one that is
 * not served.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- selectors ------------------------------------------------------------------------------ */

/* One key of a path: bare or quoted. Returns the byte behind it, NULL when there is none. */
static const char *path_key(const char *p, const char *end)
{
    const char *start = p;

    if (p < end && *p == '"') {
        for (p++; p < end && *p != '"'; p++)
            if (*p == '\\')
                return NULL;
        return p < end ? p + 1 : NULL;
    }
    while (p < end && ((*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') ||
                       *p == '_' || *p == '-' || (unsigned char)*p >= 0x80))
        p++;
    return p != start ? p : NULL;
}

int rest_path_valid(struct sx_str s)
{
    const char *p = s.p, *end = s.p + s.n;

    p = path_key(p, end);
    while (p != NULL && p < end) {
        if (*p == '.') {
            p = path_key(p + 1, end);
        } else if (*p == '[') {
            uint64_t v = 0;

            for (p++; p < end && *p >= '0' && *p <= '9'; p++) {
                uint64_t digit = (uint64_t)(*p - '0');

                if (v > (UINT64_MAX - digit) / 10)
                    return 0;
                v = v * 10 + digit;
            }
            p = p < end && *p == ']' ? p + 1 : NULL;
        } else {
            return 0;
        }
    }
    return p != NULL;
}

/* A list of strings. 1 read, 0 something else (the reader is anywhere), negative. */
static int strings_try(struct rest_dec *d, int paths, struct sx_selector *out)
{
    struct sx_str *names = NULL;
    uint32_t cap = 0, n = 0;
    int rc;

    if (sx_json_peek(&d->j) != SX_JSON_ARR)
        return d->j.failed ? SX_EFORMAT : 0;
    rc = sx_json_arr_begin(&d->j, "a sequence");
    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        if (sx_json_peek(&d->j) != SX_JSON_STR)
            return d->j.failed ? SX_EFORMAT : 0;
        names = rest_push(d, names, n, &cap, sizeof(*names));
        if (names == NULL)
            return SX_ENOMEM;
        rc = sx_json_str(&d->j, "a string", &names[n]);
        if (rc < 0)
            return rc;
        if (paths && !rest_path_valid(names[n]))
            return 0;
        n++;
    }
    out->n = n;
    out->names = names;
    return rc < 0 ? rc : 1;
}

static int bool_selector(struct rest_dec *d, struct sx_selector *out)
{
    int yes = 0, rc = sx_json_bool(&d->j, "a boolean", &yes);

    if (rc < 0)
        return rc;
    *out = (struct sx_selector){yes ? SX_SEL_ALL : SX_SEL_NONE, 0, NULL};
    return 1;
}

/* {"include": [...]} or {"exclude": [...]}, nothing else beside it. */
static int object_selector(struct rest_dec *d, struct sx_selector *out)
{
    uint32_t seen = 0;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_obj_next(&d->j, &key)) > 0) {
        int include = REST_IS(key, "include");

        if (seen++ != 0 || (!include && !REST_IS(key, "exclude")))
            return 0;
        rc = strings_try(d, 1, out);
        if (rc <= 0)
            return rc;
        out->mode = include ? SX_SEL_INCLUDE : SX_SEL_EXCLUDE;
    }
    return rc < 0 ? rc : seen == 1;
}

int rest_with_payload(struct rest_dec *d, struct sx_selector *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_selector sel = {SX_SEL_NONE, 0, NULL};
    int rc;

    switch (sx_json_peek(&d->j)) {
    case SX_JSON_NULL:
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    case SX_JSON_TRUE:
    case SX_JSON_FALSE:
        rc = bool_selector(d, &sel);
        break;
    case SX_JSON_ARR:
        rc = strings_try(d, 1, &sel);
        sel.mode = SX_SEL_INCLUDE;
        break;
    case SX_JSON_OBJ:
        rc = object_selector(d, &sel);
        break;
    default:
        rc = d->j.failed ? SX_EFORMAT : 0;
        break;
    }
    if (rc == 0)
        return rest_fail_union(d, m,
                               "Expected a boolean, an array of strings, or an object with an "
                               "include/exclude field");
    if (rc < 0)
        return rc;
    *out = sel;
    return SX_OK;
}

int rest_with_vector(struct rest_dec *d, struct sx_selector *out, int null_ok)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_selector sel = {SX_SEL_NONE, 0, NULL};
    int kind = sx_json_peek(&d->j), rc;

    if (kind == SX_JSON_NULL && null_ok) {
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    }
    if (kind == SX_JSON_TRUE || kind == SX_JSON_FALSE) {
        rc = bool_selector(d, &sel);
    } else {
        rc = strings_try(d, 0, &sel);
        sel.mode = SX_SEL_INCLUDE;
    }
    if (rc == 0)
        return rest_fail_union(d, m, "Expected a boolean, or an array of strings");
    if (rc < 0)
        return rc;
    *out = sel;
    return SX_OK;
}

/* --- filters and shard keys ----------------------------------------------------------------- */

/* A clause: null, a condition, or a list of them. *restricts when it holds any. */
static int clause(struct rest_dec *d, int *restricts)
{
    struct sx_json_mark m;
    int rc;

    switch (sx_json_peek(&d->j)) {
    case SX_JSON_NULL:
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    case SX_JSON_OBJ:
        *restricts = 1;
        return sx_json_skip(&d->j, NULL);
    case SX_JSON_ARR:
        m = sx_json_mark(&d->j);
        rc = sx_json_arr_begin(&d->j, "a sequence");
        if (rc == SX_OK)
            rc = sx_json_arr_next(&d->j);
        if (rc <= 0)
            return rc;
        *restricts = 1;
        return rest_skip_from(d, m);
    case SX_JSON_ERROR:
        return SX_EFORMAT;
    default:
        return sx_json_fail_type(&d->j, "null, array or map");
    }
}

int rest_filter(struct rest_dec *d)
{
    static const char *const names[] = {"should", "min_should", "must", "must_not"};
    int restricts = 0, rc;
    uint32_t seen = 0, i;
    struct sx_str key;

    rc = sx_json_null(&d->j);
    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_obj_begin(&d->j, "struct Filter");
    if (rc < 0)
        return rc;
    while ((rc = sx_json_obj_next(&d->j, &key)) > 0) {
        for (i = 0; i < SX_COUNT(names); i++)
            if (rest__is(key, names[i], (uint32_t)strlen(names[i])))
                break;
        if (i == SX_COUNT(names))
            return sx_json_fail(&d->j,
                                "unknown field `%.*s`, expected one of `should`, `min_should`, "
                                "`must`, `must_not`",
                                (int)key.n, key.p);
        if ((seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        if (i != 1) {
            rc = clause(d, &restricts);
        } else {
            rc = sx_json_null(&d->j);
            if (rc == 0) {
                restricts = 1;
                rc = sx_json_peek(&d->j) == SX_JSON_OBJ || d->j.failed
                         ? sx_json_skip(&d->j, NULL)
                         : sx_json_fail_type(&d->j, "struct MinShould");
            }
        }
        if (rc < 0)
            return rc;
    }
    if (restricts)
        rest_unsupported(d, "filter");
    return rc;
}

/* string or unsigned integer: 1, else 0; the value is consumed then. */
static int key_try(struct rest_dec *d)
{
    int kind = sx_json_peek(&d->j);
    struct sx_json_mark m = sx_json_mark(&d->j);
    uint64_t v;

    if (kind == SX_JSON_STR)
        return sx_json_skip(&d->j, NULL) < 0 ? SX_EFORMAT : 1;
    if (kind == SX_JSON_NUM && sx_json_u64(&d->j, "u64", UINT64_MAX, &v) == SX_OK)
        return 1;
    if (kind == SX_JSON_ERROR)
        return SX_EFORMAT;
    sx_json_reset(&d->j, m);
    return 0;
}

static int keys_try(struct rest_dec *d)
{
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        rc = key_try(d);
        if (rc <= 0)
            return rc;
    }
    return rc < 0 ? rc : 1;
}

static int fallback_try(struct rest_dec *d)
{
    uint32_t seen = 0;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        uint32_t bit = REST_IS(key, "target") ? 1u : REST_IS(key, "fallback") ? 2u : 0u;

        if ((seen & bit) != 0)
            return 0;
        seen |= bit;
        rc = bit != 0 ? key_try(d) : sx_json_skip(&d->j, NULL);
        if (rc < 0 || (rc == 0 && bit != 0))
            return rc;
    }
    return rc < 0 ? rc : seen == 3;
}

int rest_shard_key(struct rest_dec *d, struct rest_flat *f)
{
    struct sx_json_mark m;
    int rc;

    /* The one field that a flattened struct reads in place. */
    if (f != NULL)
        d->j.no_pos = f->no_pos;
    rc = sx_json_null(&d->j);
    if (rc == 0) {
        m = sx_json_mark(&d->j);
        switch (sx_json_peek(&d->j)) {
        case SX_JSON_ARR:
            rc = keys_try(d);
            break;
        case SX_JSON_OBJ:
            rc = fallback_try(d);
            break;
        default:
            rc = key_try(d);
            break;
        }
        if (rc == 0)
            rc = rest_fail_union(d, m, "Expected a string or an integer");
        else if (rc > 0)
            rest_unsupported(d, "shard_key");
    }
    if (f != NULL) {
        f->direct = rc < 0;
        d->j.no_pos = 1;
    }
    return rc < 0 ? rc : SX_OK;
}
