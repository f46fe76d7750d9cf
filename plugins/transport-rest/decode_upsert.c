/* Upsert bodies: the list form and the columnar form.
 *
 * The hot path of ingest, so one pass over the text: numbers go into aligned spans, payloads into
 * documents, and both stay where they were written until the engine copies them into its log. The
 * reference reads the body into a tree first and picks the form from it, which shows in two ways
 * that are kept here: errors of the form carry no position, and `batch` wins over `points` wherever
 * it stands, even over a faulty `points`.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- one point ------------------------------------------------------------------------------ */

struct vectors {
    struct sx_vec_in *v;
    uint32_t n, cap;
};

static struct sx_vec_in *vector_slot(struct rest_dec *d, struct vectors *list, struct sx_str name)
{
    uint32_t checked = list->n < REST_NAMES_CHECKED ? list->n : REST_NAMES_CHECKED;

    for (uint32_t i = 0; i < checked; i++)
        if (rest__is(list->v[i].name, name.p, name.n))
            return &list->v[i];
    list->v = rest_push(d, list->v, list->n, &list->cap, sizeof(*list->v));
    return list->v != NULL ? &list->v[list->n++] : NULL;
}

/* {"name": V, ...}. 1, 0 when a value is no vector, negative. */
static int named_try(struct rest_dec *d, struct vectors *list)
{
    struct sx_str name;
    int rc = sx_json_obj_begin(&d->j, "a map");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_obj_next(&d->j, &name)) > 0) {
        struct sx_vec_in v, *slot;

        memset(&v, 0, sizeof(v));
        rc = rest_vector_try(d, REST_V_PAIR, 1, &v);
        if (rc <= 0)
            return rc;
        slot = vector_slot(d, list, name);
        if (slot == NULL)
            return SX_ENOMEM;
        *slot = v;
        slot->name = name;
    }
    return rc < 0 ? rc : 1;
}

/* One unnamed vector; an object must be one to be embedded, for a sparse one has no such form. */
static int unnamed_try(struct rest_dec *d, int is_object, struct sx_point_in *out)
{
    struct sx_vec_in *v = sx_arena_zalloc(d->arena, sizeof(*v));
    int rc;

    if (v == NULL)
        return SX_ENOMEM;
    rc = rest_vector_try(d, 0, is_object, v);
    v->name.p = "";
    out->vectors = v;
    out->n_vectors = 1;
    return is_object && rc == REST_V_VECTOR ? REST_V_NONE : rc;
}

int rest_vectors(struct rest_dec *d, struct sx_point_in *out, uint32_t *is_map)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct vectors list = {NULL, 0, 0};
    int rc = 0, is_object = sx_json_peek(&d->j) == SX_JSON_OBJ;

    *is_map = 0;
    if (is_object) {
        rc = named_try(d, &list);
        if (rc == 0)
            sx_json_reset(&d->j, m);
        *is_map = rc > 0;
        out->vectors = list.v;
        out->n_vectors = list.n;
    }
    if (rc == 0)
        rc = unnamed_try(d, is_object, out);
    if (rc == 0)
        return rest_fail_union(d, m,
                               "data did not match any variant of untagged enum VectorStruct");
    return rc < 0 ? rc : SX_OK;
}

int rest_payload(struct rest_dec *d, struct sx_doc *out)
{
    int kind = sx_json_peek(&d->j), rc;

    if (kind == SX_JSON_NULL) {
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    }
    if (kind != SX_JSON_OBJ)
        return kind < 0 ? SX_EFORMAT : sx_json_fail_type(&d->j, "a map");
    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    *out = sx_docb_end_arena(d->docb, d->arena);
    if (out->p == NULL)
        return SX_ENOMEM;
    if (sx_doc_count(*out) == 0)
        *out = (struct sx_doc){NULL, 0, 0};
    return SX_OK;
}

static int point(struct rest_dec *d, struct sx_point_in *out, uint32_t *is_map)
{
    enum { ID = 1, VECTOR = 2, PAYLOAD = 4 };
    uint32_t seen = 0, bit;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct PointStruct");

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    while ((rc = sx_json_obj_next(&d->j, &key)) > 0) {
        bit = REST_IS(key, "id")                                  ? ID
              : REST_IS(key, "vector") || REST_IS(key, "vectors") ? VECTOR
              : REST_IS(key, "payload")                           ? PAYLOAD
                                                                  : 0u;
        if ((seen & bit) != 0)
            return rest_fail_duplicate(d, key,
                                       bit == ID       ? "id"
                                       : bit == VECTOR ? "vector"
                                                       : "payload");
        seen |= bit;
        rc = bit == ID        ? rest_id_read(d, &out->id)
             : bit == VECTOR  ? rest_vectors(d, out, is_map)
             : bit == PAYLOAD ? rest_payload(d, &out->payload)
                              : sx_json_skip(&d->j, NULL);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    if ((seen & ID) == 0)
        return rest_fail_missing(d, "id");
    return (seen & VECTOR) == 0 ? rest_fail_missing(d, "vector") : SX_OK;
}

/* The vectors of a decoded body are this file's own arrays until the engine gets them. */
static struct sx_vec_in *own(const struct sx_vec_in *v)
{
    return (struct sx_vec_in *)(uintptr_t)v;
}

int rest_vectors_check(struct rest_dec *d,
                       const struct sx_point_in *p,
                       uint32_t is_map,
                       const char *at,
                       uint32_t index,
                       const char *field)
{
    struct sx_vec_in *v = own(p->vectors);
    uint32_t n_bad = 0, bad = 0, n;
    struct rest_vec_fault f[2];

    for (uint32_t i = 0; i < p->n_vectors; i++) {
        n = rest_vector_faults(d, &v[i], f);
        n_bad += n != 0;
        if (n == 0 && rest_vector_sort(d, &v[i]) < 0)
            return SX_ENOMEM;
    }
    for (uint32_t i = 0; n_bad != 0 && i < p->n_vectors; i++) {
        char step[24] = "";

        n = rest_vector_faults(d, &v[i], f);
        if (n != 0 && is_map)
            rest_map_step(step, n_bad, bad++);
        for (uint32_t k = 0; k < n; k++)
            rest_valid_add(d, "%s[%u]%s%s.%s: %.*s", at, index, field, step, f[k].leaf,
                           (int)f[k].text.n, f[k].text.p);
    }
    return SX_OK;
}

static int points(struct rest_dec *d, struct sx_args_upsert *args)
{
    struct sx_point_in *list = NULL;
    uint32_t n = 0, cap = 0, is_map;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        list = rest_push(d, list, n, &cap, sizeof(*list));
        if (list == NULL)
            return SX_ENOMEM;
        rc = point(d, &list[n], &is_map);
        if (rc == SX_OK)
            rc = rest_vectors_check(d, &list[n], is_map, "points", n, ".vector");
        if (rc < 0)
            return rc;
        n++;
    }
    args->points = list;
    args->n = n;
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------ */

static int update_mode(struct rest_dec *d, uint32_t *out)
{
    struct sx_str mode;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_str(&d->j, "string or map", &mode);
    if (rc < 0)
        return rc;
    if (REST_IS(mode, "insert_only"))
        *out = SX_INSERT_ONLY;
    else if (REST_IS(mode, "update_only"))
        *out = SX_UPDATE_ONLY;
    else if (!REST_IS(mode, "upsert"))
        return sx_json_fail(&d->j,
                            "unknown variant `%.*s`, expected one of `upsert`, `insert_only`, "
                            "`update_only`",
                            (int)mode.n, mode.p);
    return SX_OK;
}

/* One form of the body. 1 when `batch` was met while reading the list form. */
static int body(struct rest_dec *d, int is_batch, struct sx_args_upsert *args)
{
    static const char *const names[] = {"points", "batch", "shard_key", "update_filter",
                                        "update_mode"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        for (i = 0; i < SX_COUNT(names); i++)
            if (rest__is(key, names[i], (uint32_t)strlen(names[i])))
                break;
        if (i == 1 && !is_batch)
            return 1;
        if (i == SX_COUNT(names) || (i == 0 && is_batch)) {
            rc = sx_json_skip(&d->j, NULL);
            continue;
        }
        if ((seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? points(d, args)
             : i == 1 ? rest_upsert_columns(d, args)
             : i == 2 ? rest_shard_key(d, NULL, &args->shards)
             : i == 3 ? rest_filter(d, "", "update_filter", &args->update_filter)
                      : update_mode(d, &args->mode);
    }
    if (rc == SX_OK && (seen & 3) == 0)
        return sx_json_fail(&d->j, "Invalid PointInsertOperations format");
    return rc;
}

/* 1 when the object at the reader has the key; the syntax is sound. */
static int has_key(struct rest_dec *d, const char *name)
{
    struct sx_str key;
    int found = 0, rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        found |= rest__is(key, name, (uint32_t)strlen(name));
        rc = sx_json_skip(&d->j, NULL);
    }
    return found;
}

/* A failure of the list form stands unless a syntax error follows, or a batch, which makes the
 * fault irrelevant: 1 then. */
static int list_failed(struct rest_dec *d, struct sx_json_mark m)
{
    struct sx_str text = d->j.msg;
    int rc = rest_skip_from(d, m);

    if (rc < 0)
        return rc;
    sx_json_reset(&d->j, m);
    if (has_key(d, "batch"))
        return 1;
    return sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
}

static int columns(struct rest_dec *d, struct sx_json_mark m, struct sx_args_upsert *args)
{
    struct sx_str text;
    int rc;

    sx_json_reset(&d->j, m);
    memset(args, 0, sizeof(*args));
    rc = body(d, 1, args);
    if (rc >= 0 || rest_no_memory(d, rc))
        return rc;
    text = d->j.msg;
    rc = rest_skip_from(d, m);
    return rc < 0 ? rc : sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
}

int rest_decode_upsert(struct rest_dec *d, struct sx_op *op)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_args_upsert *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct rest_kept kept = rest_keep(d);
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    d->j.no_pos = 1;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return d->j.failed ? SX_EFORMAT
                           : rest_fail_union(d, m, "Invalid PointInsertOperations format");
    rc = body(d, 0, args);
    if (rc < 0 && !rest_no_memory(d, rc))
        rc = list_failed(d, m);
    if (rc == 1) {
        rest_back(d, &kept);
        rc = columns(d, m, args);
    }
    return rc;
}
