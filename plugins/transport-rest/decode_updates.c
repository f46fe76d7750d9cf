/* Bodies of batch updates: a list of operations, each with the body of the single one.
 *
 * An element is an untagged union tried in a fixed order, so one that carries several known members
 * is the first of them that fits, and whatever is wrong inside gives the same text. Nearly every
 * element has one member, and that is read in one pass; only when something is odd are the members
 * looked up first.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const char *const names[] = {
    "upsert",         "delete",        "set_payload",    "overwrite_payload",
    "delete_payload", "clear_payload", "update_vectors", "delete_vectors"};
static const struct {
    uint32_t code, pad;
    int (*decode)(struct rest_dec *d, struct sx_op *op);
} arms[] = {
    {SX_OP_POINTS_UPSERT, 0, rest_decode_upsert},
    {SX_OP_POINTS_DELETE, 0, rest_decode_delete},
    {SX_OP_PAYLOAD_SET, 0, rest_decode_payload},
    {SX_OP_PAYLOAD_OVERWRITE, 0, rest_decode_payload},
    {SX_OP_PAYLOAD_DELETE, 0, rest_decode_payload_delete},
    {SX_OP_PAYLOAD_CLEAR, 0, rest_decode_delete},
    {SX_OP_VECTORS_UPDATE, 0, rest_decode_vectors_update},
    {SX_OP_VECTORS_DELETE, 0, rest_decode_vectors_delete},
};

/* The value at the reader as arm i. 1 with the reader behind it, 0 = it does not fit (or has a
 * syntax error: the caller finds out), SX_ENOMEM. */
static int arm_try(struct rest_dec *d, uint32_t i, uint32_t index, struct sx_batch_item *out)
{
    struct rest_kept kept = rest_keep(d);
    uint32_t no_pos = d->j.no_pos;
    struct sx_str prefix;
    struct sx_op op;
    int rc;

    prefix = sx_arena_printf(d->arena, "operations[%u].%s.", index, names[i]);
    if (prefix.p == NULL)
        return SX_ENOMEM;
    memset(&op, 0, sizeof(op));
    op.code = arms[i].code;
    op.arena = d->arena;
    d->prefix = prefix.p;
    rc = arms[i].decode(d, &op);
    d->prefix = "";
    d->j.no_pos = no_pos;
    *out = (struct sx_batch_item){op.code, 0, op.args};
    if (rc == SX_OK)
        return 1;
    rest_back(d, &kept);
    return rest_no_memory(d, rc) ? SX_ENOMEM : 0;
}

/* An element whose first member is an operation that fits and which has no other. 1, 0 = look
 * closer, SX_ENOMEM. */
static int quick_try(struct rest_dec *d, uint32_t index, struct sx_batch_item *out)
{
    struct rest_kept kept = rest_keep(d);
    struct sx_str key;
    uint32_t i;
    int rc;

    if (sx_json_peek(&d->j) != SX_JSON_OBJ || sx_json_obj_begin(&d->j, "a map") < 0 ||
        sx_json_obj_next(&d->j, &key) <= 0)
        return 0;
    i = rest_field_of(key, names, SX_COUNT(names));
    if (i == SX_COUNT(names))
        return 0;
    rc = arm_try(d, i, index, out);
    if (rc == 1 && sx_json_obj_next(&d->j, &key) != 0) {
        rest_back(d, &kept);
        rc = 0;
    }
    return rc;
}

static int element(struct rest_dec *d, uint32_t index, struct sx_batch_item *out)
{
    struct sx_json_mark start = sx_json_mark(&d->j);
    struct rest_marks m;
    int rc = quick_try(d, index, out);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    sx_json_reset(&d->j, start);
    rc = rest_marks_read(d, names, SX_COUNT(names), &m);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc > 0 && i < SX_COUNT(names); i++) {
        int fits = rest_marks_go(d, &m, i) ? arm_try(d, i, index, out) : 0;

        if (fits < 0)
            return fits;
        if (fits > 0) {
            sx_json_reset(&d->j, m.end);
            return SX_OK;
        }
    }
    return rest_fail_union(d, start,
                           "data did not match any variant of untagged enum UpdateOperation");
}

static int elements(struct rest_dec *d, struct sx_args_batch *args)
{
    struct sx_batch_item *items = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        items = rest_push(d, items, n, &cap, sizeof(*items));
        if (items == NULL)
            return SX_ENOMEM;
        rc = element(d, n, &items[n]);
        n++;
    }
    args->items = items;
    args->n = n;
    return rc;
}

int rest_decode_updates(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_batch *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct UpdateOperations");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        if (!REST_IS(key, "operations")) {
            rc = sx_json_skip(&d->j, NULL);
            continue;
        }
        if (seen++ != 0)
            return rest_fail_duplicate(d, key, "operations");
        rc = elements(d, args);
    }
    return rc == SX_OK && seen == 0 ? rest_fail_missing(d, "operations") : rc;
}
