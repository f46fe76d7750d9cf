/* From operation code to decoder, and from its complaints to the client's text.
 *
 * The order of complaints is the contract: form, then trailing characters, then ranges, then forms
 * that may not be used where they stand, then what is not served here.
 *
 * Threads: any, one body at a time per rest_dec. */
#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const struct {
    uint32_t code, pad;
    int (*decode)(struct rest_dec *d, struct sx_op *op);
} decoders[] = {
    {SX_OP_COLLECTION_CREATE, 0, rest_decode_create},
    {SX_OP_COLLECTION_UPDATE, 0, rest_decode_update},
    {SX_OP_ALIASES_UPDATE, 0, rest_decode_aliases},
    {SX_OP_QUOTAS_SET, 0, rest_decode_quotas},
    {SX_OP_INDEX_CREATE, 0, rest_decode_index},
    {SX_OP_VECTOR_NAME_CREATE, 0, rest_decode_vector_name},
    {SX_OP_POINTS_UPSERT, 0, rest_decode_upsert},
    {SX_OP_POINTS_DELETE, 0, rest_decode_delete},
    {SX_OP_VECTORS_UPDATE, 0, rest_decode_vectors_update},
    {SX_OP_VECTORS_DELETE, 0, rest_decode_vectors_delete},
    {SX_OP_PAYLOAD_SET, 0, rest_decode_payload},
    {SX_OP_PAYLOAD_OVERWRITE, 0, rest_decode_payload},
    {SX_OP_PAYLOAD_DELETE, 0, rest_decode_payload_delete},
    {SX_OP_PAYLOAD_CLEAR, 0, rest_decode_delete},
    {SX_OP_POINTS_BATCH, 0, rest_decode_updates},
    {SX_OP_POINTS_GET, 0, rest_decode_get},
    {SX_OP_SCROLL, 0, rest_decode_scroll},
    {SX_OP_COUNT, 0, rest_decode_count},
    {SX_OP_EXPLAIN, 0, rest_decode_count},
    {SX_OP_FACET, 0, rest_decode_facet},
    {SX_OP_QUERY, 0, rest_decode_query},
    {SX_OP_QUERY_BATCH, 0, rest_decode_query_batch},
    {SX_OP_SEARCH, 0, rest_decode_search},
    {SX_OP_SEARCH_BATCH, 0, rest_decode_search_batch},
};

static uint32_t find(uint32_t code)
{
    uint32_t i = 0;

    while (i < SX_COUNT(decoders) && decoders[i].code != code)
        i++;
    return i;
}

int rest_decode_knows(uint32_t code)
{
    return find(code) < SX_COUNT(decoders);
}

static int
text(struct rest_dec *d, int code, const char *before, struct sx_str s, const char *after)
{
    d->err = sx_arena_printf(d->arena, "%s%.*s%s", before, (int)s.n, s.p, after);
    if (d->err.p != NULL)
        return code;
    d->err = (struct sx_str){"out of memory", 13, 0};
    return SX_ENOMEM;
}

int rest_decode(struct rest_dec *d, struct sx_op *op, const char *body, uint64_t n)
{
    static const struct sx_str no_memory = {"out of memory", 13, 0};
    uint32_t i = find(op->code);
    int rc;

    d->prefix = "";
    d->valid = (struct sx_str){"", 0, 0};
    d->n_valid = d->valid_cap = 0;
    d->dim = 0;
    d->grown.array = NULL;
    d->refused = NULL;
    d->unsupported = NULL;
    d->err = no_memory;
    sx_json_init(&d->j, body, n, d->arena);
    if (i == SX_COUNT(decoders))
        return text(d, SX_EUNSUPPORTED, sx_op_table[op->code].method, (struct sx_str){" ", 1, 0},
                    sx_op_table[op->code].path);
    rc = decoders[i].decode(d, op);
    if (rc >= 0)
        rc = sx_json_end(&d->j);
    if (rest_no_memory(d, rc))
        return SX_ENOMEM;
    if (rc < 0) {
        d->err = d->j.msg;
        return SX_EFORMAT;
    }
    if (d->n_valid != 0)
        return d->valid.p != NULL ? text(d, SX_EVALID, "[", d->valid, "]") : SX_ENOMEM;
    if (d->refused != NULL)
        return text(d, SX_EINFERENCE, d->refused, (struct sx_str){"", 0, 0}, "");
    if (d->unsupported != NULL)
        return text(d, SX_EUNSUPPORTED, d->unsupported, (struct sx_str){"", 0, 0}, "");
    return SX_OK;
}
