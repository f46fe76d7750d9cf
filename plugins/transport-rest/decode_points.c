/* Bodies that read points: get many, scroll, count, facet.
 *
 * All are flattened structs: errors of their fields stand at the closing brace.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

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
             : i == 3 ? rest_shard_key(d, f, &args->shards)
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

static int offset_field(struct rest_dec *d, struct sx_args_scroll *args)
{
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    args->has_offset = 1;
    return rest_id_read(d, &args->offset);
}

static int order_by_field(struct rest_dec *d, struct sx_args_scroll *args)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_order_by *order;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    order = sx_arena_alloc(d->arena, sizeof(*order));
    if (order == NULL)
        return SX_ENOMEM;
    args->order_by = order;
    rc = rest_order_by(d, order);
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
             : i == 1 ? rest_optional_u64(d, &args->limit)
             : i == 2 ? rest_filter(d, "scroll_request.", "filter", &args->filter)
             : i == 3 ? rest_with_payload(d, &args->payload)
             : i == 4 ? rest_with_vector(d, &args->vectors, 0)
             : i == 5 ? order_by_field(d, args)
             : i == 6 ? rest_shard_key(d, f, &args->shards)
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
        rc = i == 0   ? rest_filter(d, "count_request.", "filter", &args->filter)
             : i == 1 ? sx_json_bool(&d->j, "a boolean", &exact)
             : i == 2 ? rest_shard_key(d, f, &args->shards)
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

/* Unlike that of a count it may be null. */
static int facet_exact(struct rest_dec *d, struct sx_args_facet *args)
{
    int exact = 0, rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_bool(&d->j, "a boolean", &exact);
    args->exact = (uint32_t)exact;
    return rc < 0 ? rc : SX_OK;
}

static int facet_fields(struct rest_dec *d, struct rest_flat *f, struct sx_args_facet *args)
{
    static const char *const names[] = {"key", "limit", "filter", "exact", "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct FacetRequest");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? rest_path_read(d, &args->key)
             : i == 1 ? rest_optional_u64(d, &args->limit)
             : i == 2 ? rest_filter(d, "facet_request.", "filter", &args->filter)
             : i == 3 ? facet_exact(d, args)
             : i == 4 ? rest_shard_key(d, f, &args->shards)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc == SX_OK && (seen & 1) == 0 ? rest_fail_missing(d, "key") : rc;
}

int rest_decode_facet(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_facet *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct rest_flat f;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    args->limit = 10;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct FacetRequest");
    rest_flat_begin(d, &f);
    rc = rest_flat_end(d, &f, facet_fields(d, &f, args));
    if (rc == SX_OK && args->limit == 0)
        rest_valid_add(d, "facet_request.limit: value 0 invalid, must be 1 or larger");
    return rc;
}
