/* Parts that many bodies have: payload and vector selectors, shard keys, paths.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- selectors ------------------------------------------------------------------------------ */

/* A list of strings. 1 read, 0 something else (the reader is anywhere), negative. */
static int strings_try(struct rest_dec *d, int paths, struct sx_selector *out)
{
    struct sx_str *names = NULL;
    struct sx_path unused;
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
        rc = paths ? sx_path_parse(d->arena, names[n], &unused, NULL) : SX_OK;
        if (rc < 0)
            return rc == SX_ENOMEM ? SX_ENOMEM : 0;
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

/* --- paths ---------------------------------------------------------------------------------- */

int rest_path_read(struct rest_dec *d, struct sx_path *out)
{
    struct sx_str s;
    int rc = sx_json_str(&d->j, "a string", &s);

    if (rc == SX_OK)
        rc = sx_path_parse(d->arena, s, out, NULL);
    return rc != SX_EINPUT ? rc : sx_json_fail(&d->j, "Invalid json path: '%.*s'", (int)s.n, s.p);
}

/* --- shard keys ----------------------------------------------------------------------------- */

/* string or unsigned integer: 1, else 0; the value is consumed then. */
static int key_try(struct rest_dec *d, struct sx_shard_key *out)
{
    int kind = sx_json_peek(&d->j);
    struct sx_json_mark m = sx_json_mark(&d->j);

    *out = (struct sx_shard_key){{NULL, 0, 0}, 0};
    if (kind == SX_JSON_STR)
        return sx_json_str(&d->j, "a string", &out->text) < 0 ? SX_EFORMAT : 1;
    if (kind == SX_JSON_NUM && sx_json_u64(&d->j, "u64", UINT64_MAX, &out->num) == SX_OK)
        return 1;
    if (kind == SX_JSON_ERROR)
        return SX_EFORMAT;
    sx_json_reset(&d->j, m);
    return 0;
}

static int keys_try(struct rest_dec *d, struct sx_shards *out)
{
    struct sx_shard_key *keys = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        keys = rest_push(d, keys, n, &cap, sizeof(*keys));
        if (keys == NULL)
            return SX_ENOMEM;
        rc = key_try(d, &keys[n++]);
        if (rc <= 0)
            return rc;
    }
    *out = (struct sx_shards){SX_SHARDS_KEYS, n, keys};
    return rc < 0 ? rc : 1;
}

static int fallback_try(struct rest_dec *d, struct sx_shards *out)
{
    struct sx_shard_key *keys = sx_arena_zalloc(d->arena, 2 * sizeof(*keys));
    uint32_t seen = 0;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    if (keys == NULL)
        return SX_ENOMEM;
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        uint32_t bit = REST_IS(key, "target") ? 1u : REST_IS(key, "fallback") ? 2u : 0u;

        if ((seen & bit) != 0)
            return 0;
        seen |= bit;
        rc = bit != 0 ? key_try(d, &keys[bit - 1]) : sx_json_skip(&d->j, NULL);
        if (rc < 0 || (rc == 0 && bit != 0))
            return rc;
    }
    *out = (struct sx_shards){SX_SHARDS_FALLBACK, 2, keys};
    return rc < 0 ? rc : seen == 3;
}

static int single_try(struct rest_dec *d, struct sx_shards *out)
{
    struct sx_shard_key *key = sx_arena_alloc(d->arena, sizeof(*key));

    if (key == NULL)
        return SX_ENOMEM;
    *out = (struct sx_shards){SX_SHARDS_KEYS, 1, key};
    return key_try(d, key);
}

int rest_shard_key(struct rest_dec *d, struct rest_flat *f, struct sx_shards *out)
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
            rc = keys_try(d, out);
            break;
        case SX_JSON_OBJ:
            rc = fallback_try(d, out);
            break;
        default:
            rc = single_try(d, out);
            break;
        }
        if (rc == 0)
            rc = rest_fail_union(d, m, "Expected a string or an integer");
    }
    if (f != NULL) {
        f->direct = rc < 0;
        d->j.no_pos = 1;
    }
    return rc < 0 ? rc : SX_OK;
}
