/* Bodies that change points they name: delete, payload operations, update and delete vectors.
 *
 * Delete and clear take a selector, which is one untagged union: whatever is wrong in it gives the
 * same text, points win over a filter that is then not even looked at, and the filter is not
 * checked for ranges. The others are plain structs whose fields are read in place.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- the selector of delete and clear ------------------------------------------------------- */

/* The ids of the `points` arm. 1, 0 = the arm does not fit, negative = syntax or memory. */
static int ids_try(struct rest_dec *d, struct sx_points *out)
{
    struct sx_id *ids = NULL;
    uint32_t n = 0, cap = 0;
    int rc;

    if (sx_json_peek(&d->j) != SX_JSON_ARR)
        return d->j.failed ? SX_EFORMAT : 0;
    rc = sx_json_arr_begin(&d->j, "a sequence");
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        ids = rest_push(d, ids, n, &cap, sizeof(*ids));
        if (ids == NULL)
            return SX_ENOMEM;
        rc = rest_id_try(d, &ids[n]);
        if (rc <= 0)
            return rc;
        n++;
    }
    out->ids = ids;
    out->n = n;
    out->has_ids = 1;
    return rc < 0 ? rc : 1;
}

/* A part that failed: does it end the whole, or only not fit? */
static int misfit(const struct rest_dec *d, int rc)
{
    return rest_no_memory(d, rc) ? SX_ENOMEM : 0;
}

/* {"points": [...]} or {"filter": {...}}, with a shard key: whichever stands first in the text,
 * points go before filter. 1, 0 or negative; the reader is anywhere. */
static int selector(struct rest_dec *d, struct sx_args_points *args)
{
    static const char *const names[] = {"points", "filter", "shard_key"};
    struct rest_marks m;
    int rc = rest_marks_read(d, names, 3, &m);

    if (rc <= 0)
        return rc;
    if ((m.seen & 4) != 0) {
        rc = rest_marks_go(d, &m, 2) ? rest_shard_key(d, NULL, &args->shards) : SX_EFORMAT;
        if (rc < 0)
            return misfit(d, rc);
    }
    if (rest_marks_go(d, &m, 0)) {
        rc = ids_try(d, &args->points);
        if (rc != 0)
            return rc;
    }
    if (!rest_marks_go(d, &m, 1) || sx_json_peek(&d->j) != SX_JSON_OBJ)
        return 0;
    rc = rest_filter(d, NULL, NULL, &args->points.filter);
    return rc < 0 ? misfit(d, rc) : 1;
}

int rest_decode_delete(struct rest_dec *d, struct sx_op *op)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_args_points *args = sx_arena_zalloc(d->arena, sizeof(*args));
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    d->j.no_pos = 1; /* the whole body is one untagged union */
    rc = selector(d, args);
    if (rc == 0)
        return rest_fail_union(d, m,
                               "data did not match any variant of untagged enum PointsSelector");
    return rc < 0 ? rc : rest_skip_from(d, m);
}

/* --- points or filter ----------------------------------------------------------------------- */

static int points_field(struct rest_dec *d, struct sx_points *out)
{
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    out->has_ids = 1;
    return rest_ids_read(d, &out->ids, &out->n);
}

/* A struct that was complete on its own, but names no points. */
static int has_selection(struct rest_dec *d, const struct sx_points *points)
{
    if (points->has_ids || points->filter != NULL)
        return SX_OK;
    d->j.no_pos = 1;
    return sx_json_fail(&d->j, "Either list of point ids or filter must be provided");
}

/* --- payload -------------------------------------------------------------------------------- */

static int payload_field(struct rest_dec *d, struct sx_doc *out)
{
    int kind = sx_json_peek(&d->j), rc;

    if (kind != SX_JSON_OBJ)
        return kind < 0 ? SX_EFORMAT : sx_json_fail_type(&d->j, "a map");
    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    *out = sx_docb_end_arena(d->docb, d->arena);
    return out->p != NULL ? SX_OK : SX_ENOMEM;
}

static int key_field(struct rest_dec *d, struct sx_path *out)
{
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    return rest_path_read(d, out);
}

int rest_decode_payload(struct rest_dec *d, struct sx_op *op)
{
    static const char *const names[] = {"payload", "points", "filter", "shard_key", "key"};
    struct sx_args_payload *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct SetPayload");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? payload_field(d, &args->payload)
             : i == 1 ? points_field(d, &args->points)
             : i == 2 ? rest_filter(d, "", "filter", &args->points.filter)
             : i == 3 ? rest_shard_key(d, NULL, &args->shards)
             : i == 4 ? key_field(d, &args->key)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc == SX_OK && (seen & 1) == 0)
        return rest_fail_missing(d, "payload");
    return rc < 0 ? rc : has_selection(d, &args->points);
}

static int keys_field(struct rest_dec *d, struct sx_args_payload *args)
{
    struct sx_path *keys = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        keys = rest_push(d, keys, n, &cap, sizeof(*keys));
        if (keys == NULL)
            return SX_ENOMEM;
        rc = rest_path_read(d, &keys[n++]);
    }
    args->keys = keys;
    args->n_keys = n;
    return rc;
}

int rest_decode_payload_delete(struct rest_dec *d, struct sx_op *op)
{
    static const char *const names[] = {"keys", "points", "filter", "shard_key"};
    struct sx_args_payload *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct DeletePayload");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? keys_field(d, args)
             : i == 1 ? points_field(d, &args->points)
             : i == 2 ? rest_filter(d, "", "filter", &args->points.filter)
             : i == 3 ? rest_shard_key(d, NULL, &args->shards)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc == SX_OK && (seen & 1) == 0)
        return rest_fail_missing(d, "keys");
    return rc < 0 ? rc : has_selection(d, &args->points);
}

/* --- vectors -------------------------------------------------------------------------------- */

static int point_vectors(struct rest_dec *d, struct sx_point_in *out, uint32_t *is_map)
{
    static const char *const names[] = {"id", "vector|vectors"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct PointVectors");

    *out = (struct sx_point_in){.n_vectors = 0};
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? rest_id_read(d, &out->id)
             : i == 1 ? rest_vectors(d, out, is_map)
                      : sx_json_skip(&d->j, NULL);
    }
    for (i = 0; i < 2 && rc == SX_OK; i++)
        if ((seen & 1u << i) == 0)
            return rest_fail_missing(d, names[i]);
    return rc;
}

static int is_empty(const struct sx_vec_in *v)
{
    return v->dim == 0 && (v->kind == SX_VEC_DENSE || (v->kind == SX_VEC_SPARSE && v->rows == 0));
}

/* The ranges of one point; an unnamed vector that is to be embedded may not be used here. */
static int update_check(struct rest_dec *d, struct sx_point_in *p, uint32_t is_map, uint32_t index)
{
    const struct sx_vec_in *v = p->vectors;
    struct sx_str text;
    uint32_t i = 0;

    while (i < p->n_vectors && is_empty(&v[i]))
        i++;
    if (i == p->n_vectors) {
        rest_valid_add(d, "points[%u].vector: must specify vectors to update for point", index);
        return SX_OK;
    }
    if (!is_map && v->kind == SX_VEC_INFER) {
        text = sx_arena_printf(d->arena,
                               "Direct %s processing not supported for PointVectors. Use named "
                               "vectors.",
                               rest_infer_noun(v->infer->kind));
        if (text.p == NULL)
            return SX_ENOMEM;
        rest_refused(d, text.p);
    }
    return rest_vectors_check(d, p, is_map, "points", index, "");
}

static int update_points(struct rest_dec *d, struct sx_args_upsert *args)
{
    struct sx_point_in *list = NULL;
    uint32_t n = 0, cap = 0, is_map;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        list = rest_push(d, list, n, &cap, sizeof(*list));
        if (list == NULL)
            return SX_ENOMEM;
        rc = point_vectors(d, &list[n], &is_map);
        if (rc == SX_OK)
            rc = update_check(d, &list[n], is_map, n);
        n++;
    }
    args->points = list;
    args->n = n;
    if (rc == SX_OK && n == 0)
        rest_valid_add(d, "points: must specify points to update");
    return rc;
}

int rest_decode_vectors_update(struct rest_dec *d, struct sx_op *op)
{
    static const char *const names[] = {"points", "shard_key", "update_filter"};
    struct sx_args_upsert *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct UpdateVectors");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? update_points(d, args)
             : i == 1 ? rest_shard_key(d, NULL, &args->shards)
             : i == 2 ? rest_filter(d, "", "update_filter", &args->update_filter)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc == SX_OK && (seen & 1) == 0 ? rest_fail_missing(d, "points") : rc;
}

static int vector_names(struct rest_dec *d, struct sx_args_vectors_delete *args)
{
    struct sx_str *names = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        names = rest_push(d, names, n, &cap, sizeof(*names));
        if (names == NULL)
            return SX_ENOMEM;
        rc = sx_json_str(&d->j, "a string", &names[n++]);
    }
    args->names = names;
    args->n_names = n;
    if (rc == SX_OK && n == 0)
        rest_valid_add(d, "vector: must specify vector names to delete");
    return rc;
}

int rest_decode_vectors_delete(struct rest_dec *d, struct sx_op *op)
{
    static const char *const names[] = {"points", "filter", "vector|vectors", "shard_key"};
    struct sx_args_vectors_delete *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct DeleteVectors");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? points_field(d, &args->points)
             : i == 1 ? rest_filter(d, "", "filter", &args->points.filter)
             : i == 2 ? vector_names(d, args)
             : i == 3 ? rest_shard_key(d, NULL, &args->shards)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc == SX_OK && (seen & 4) == 0 ? rest_fail_missing(d, "vector") : rc;
}
