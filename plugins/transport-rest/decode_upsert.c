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
        if (rc == REST_V_INFERENCE) {
            rest_unsupported(d, "inference");
            continue;
        }
        slot = vector_slot(d, list, name);
        if (slot == NULL)
            return SX_ENOMEM;
        *slot = v;
        slot->name = name;
    }
    return rc < 0 ? rc : 1;
}

/* The value of `vector`: one unnamed vector, or a map. */
static int vector_struct(struct rest_dec *d, struct sx_point_in *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct vectors list = {NULL, 0, 0};
    struct sx_vec_in *v;
    int rc;

    if (sx_json_peek(&d->j) == SX_JSON_OBJ) {
        rc = named_try(d, &list);
        if (rc == 0) {
            struct sx_vec_in unused;

            memset(&unused, 0, sizeof(unused));
            sx_json_reset(&d->j, m);
            rc = rest_vector_try(d, 0, 1, &unused);
            if (rc == REST_V_INFERENCE)
                rest_unsupported(d, "inference");
            else if (rc == REST_V_VECTOR) /* a sparse object has no unnamed form */
                rc = REST_V_NONE;
        }
        out->vectors = list.v;
        out->n_vectors = list.n;
        out->pad = 1; /* until checked: the map form */
    } else {
        v = sx_arena_zalloc(d->arena, sizeof(*v));
        if (v == NULL)
            return SX_ENOMEM;
        v->name.p = "";
        rc = rest_vector_try(d, 0, 0, v);
        v->name.p = "";
        out->vectors = v;
        out->n_vectors = 1;
    }
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

static int point(struct rest_dec *d, struct sx_point_in *out)
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
             : bit == VECTOR  ? vector_struct(d, out)
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

/* Range errors of one point's vectors; sorts what is sound. */
static int check_point(struct rest_dec *d, struct sx_point_in *p, uint32_t index)
{
    struct sx_vec_in *v = own(p->vectors);
    uint32_t is_map = p->pad, n_bad = 0, bad = 0, n;
    struct rest_vec_fault f[2];

    p->pad = 0;
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
            rest_valid_add(d, "points[%u].vector%s.%s: %.*s", index, step, f[k].leaf,
                           (int)f[k].text.n, f[k].text.p);
    }
    return SX_OK;
}

static int points(struct rest_dec *d, struct sx_args_upsert *args)
{
    struct sx_point_in *list = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        list = rest_push(d, list, n, &cap, sizeof(*list));
        if (list == NULL)
            return SX_ENOMEM;
        rc = point(d, &list[n]);
        if (rc == SX_OK)
            rc = check_point(d, &list[n], n);
        if (rc < 0)
            return rc;
        n++;
    }
    args->points = list;
    args->n = n;
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------ */

static int update_mode(struct rest_dec *d)
{
    struct sx_str mode;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_str(&d->j, "string or map", &mode);
    if (rc < 0)
        return rc;
    if (REST_IS(mode, "insert_only") || REST_IS(mode, "update_only"))
        rest_unsupported(d, "update_mode");
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
             : i == 2 ? rest_shard_key(d, NULL)
             : i == 3 ? rest_filter(d)
                      : update_mode(d);
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

int rest_decode_upsert(struct rest_dec *d, struct sx_op *op)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_args_upsert *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct sx_str text;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    d->j.no_pos = 1;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return d->j.failed ? SX_EFORMAT
                           : rest_fail_union(d, m, "Invalid PointInsertOperations format");
    rc = body(d, 0, args);
    if (rc < 0 && rc != SX_ENOMEM) {
        /* A syntax error further on comes first, then a batch, which makes the fault irrelevant. */
        text = d->j.msg;
        rc = rest_skip_from(d, m);
        if (rc < 0)
            return rc;
        sx_json_reset(&d->j, m);
        if (!has_key(d, "batch"))
            return sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
        rc = 1;
    }
    if (rc == 1) {
        sx_json_reset(&d->j, m);
        d->n_valid = 0;
        d->unsupported = NULL;
        *args = (struct sx_args_upsert){0, 0, NULL};
        rc = body(d, 1, args);
        if (rc < 0 && rc != SX_ENOMEM) {
            text = d->j.msg;
            rc = rest_skip_from(d, m);
            if (rc == SX_OK)
                rc = sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
        }
    }
    return rc;
}
