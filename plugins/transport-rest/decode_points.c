/* Bodies of the small point operations: delete, get many, scroll, count.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- delete --------------------------------------------------------------------------------- */

/* The ids of the `points` arm. 1, 0 = the arm does not fit, negative = syntax or memory. */
static int ids_try(struct rest_dec *d, struct sx_points *args)
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
    args->ids = ids;
    args->n = n;
    args->has_ids = 1;
    return rc < 0 ? rc : 1;
}

/* {"points": [...]} or {"filter": {...}}: whichever key comes first in the text, points go before
 * filter. */
static int selector(struct rest_dec *d, struct sx_points *args)
{
    static const char *const names[] = {"points", "filter", "shard_key"};
    struct rest_marks m;
    int rc = rest_marks_read(d, names, 3, &m);

    if (rc <= 0)
        return rc;
    if ((m.seen & 4) != 0 && (!rest_marks_go(d, &m, 2) || rest_shard_key(d, NULL) < 0))
        return 0;
    if (rest_marks_go(d, &m, 0)) {
        rc = ids_try(d, args);
        if (rc != 0)
            return rc;
    }
    if (!rest_marks_go(d, &m, 1) || sx_json_peek(&d->j) != SX_JSON_OBJ || rest_filter(d) < 0)
        return 0;
    rest_unsupported(d, "deleting by filter");
    return 1;
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
    rc = selector(d, &args->points);
    if (rc == 0)
        return rest_fail_union(d, m,
                               "data did not match any variant of untagged enum PointsSelector");
    return rc < 0 ? rc : rest_skip_from(d, m);
}

/* --- reads ---------------------------------------------------------------------------------- */

static int get_fields(struct rest_dec *d, struct rest_flat *f, struct sx_args_ids *args)
{
    static const char *const names[] = {"ids", "with_payload", "with_vector|with_vectors",
                                        "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct PointRequest");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? rest_ids_read(d, &args->ids, &args->n)
             : i == 1 ? rest_with_payload(d, &args->payload)
             : i == 2 ? rest_with_vector(d, &args->vectors, 0)
             : i == 3 ? rest_shard_key(d, f)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc == SX_OK && (seen & 1) == 0 ? rest_fail_missing(d, "ids") : rc;
}

int rest_decode_get(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_ids *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct rest_flat f;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct PointRequest");
    rest_flat_begin(d, &f);
    return rest_flat_end(d, &f, get_fields(d, &f, args));
}

/* limit: null is the default. */
static int limit_field(struct rest_dec *d, uint64_t *out)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_u64(&d->j, "usize", UINT64_MAX, out);
    return rc < 0 ? rc : SX_OK;
}

static int offset_field(struct rest_dec *d, struct sx_args_scroll *args)
{
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    args->has_offset = 1;
    return rest_id_read(d, &args->offset);
}

static int order_by_field(struct rest_dec *d)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rest_unsupported(d, "order_by");
    rc = rest_order_by(d);
    if (rc == 0)
        return rest_fail_union(
            d, m, "Expected a string, or an object with a key, direction and/or start_from");
    return rc < 0 ? rc : SX_OK;
}

static int scroll_fields(struct rest_dec *d, struct rest_flat *f, struct sx_args_scroll *args)
{
    static const char *const names[] = {
        "offset",   "limit",    "filter", "with_payload", "with_vector|with_vectors",
        "order_by", "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct ScrollRequest");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? offset_field(d, args)
             : i == 1 ? limit_field(d, &args->limit)
             : i == 2 ? rest_filter(d)
             : i == 3 ? rest_with_payload(d, &args->payload)
             : i == 4 ? rest_with_vector(d, &args->vectors, 0)
             : i == 5 ? order_by_field(d)
             : i == 6 ? rest_shard_key(d, f)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc;
}

int rest_decode_scroll(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_scroll *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct rest_flat f;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    args->limit = 10;
    args->payload.mode = SX_SEL_ALL;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct ScrollRequest");
    rest_flat_begin(d, &f);
    rc = rest_flat_end(d, &f, scroll_fields(d, &f, args));
    if (rc == SX_OK && args->limit == 0)
        rest_valid_add(d, "scroll_request.limit: value 0 invalid, must be 1 or larger");
    return rc;
}

static int count_fields(struct rest_dec *d, struct rest_flat *f, struct sx_args_count *args)
{
    static const char *const names[] = {"filter", "exact", "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int exact = 1, rc = sx_json_obj_begin(&d->j, "struct CountRequest");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? rest_filter(d)
             : i == 1 ? sx_json_bool(&d->j, "a boolean", &exact)
             : i == 2 ? rest_shard_key(d, f)
                      : sx_json_skip(&d->j, NULL);
    }
    args->exact = (uint32_t)exact;
    return rc;
}

int rest_decode_count(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_count *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct rest_flat f;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct CountRequest");
    rest_flat_begin(d, &f);
    return rest_flat_end(d, &f, count_fields(d, &f, args));
}
