/* Results as JSON, straight from what the engine hands over into the send buffer.
 *
 * Nothing is built in between. Floats are the shortest text that reads back to the same float;
 * payloads are walked in place.
 *
 * Threads: any, no state. */
#include "sextant/sx_json.h"

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static void put_vector(struct sx_buf *b, const struct sx_vec_out *v)
{
    switch (v->kind) {
    case SX_VEC_SPARSE:
        sx_buf_adds(b, "{\"indices\":[");
        for (uint32_t i = 0; i < v->dim; i++) {
            if (i != 0)
                sx_buf_addc(b, ',');
            sx_jsonw_u64(b, v->indices[i]);
        }
        sx_buf_adds(b, "],\"values\":");
        sx_jsonw_f32s(b, v->data, v->dim);
        sx_buf_addc(b, '}');
        break;
    case SX_VEC_MULTI:
        sx_buf_addc(b, '[');
        for (uint32_t i = 0; i < v->rows; i++) {
            if (i != 0)
                sx_buf_addc(b, ',');
            sx_jsonw_f32s(b, v->data + (uint64_t)i * v->dim, v->dim);
        }
        sx_buf_addc(b, ']');
        break;
    default:
        sx_jsonw_f32s(b, v->data, v->dim);
        break;
    }
}

/* The unnamed vector alone is printed bare; anything else as a map of what the point has. */
static void put_vectors(struct sx_buf *b, const struct sx_record *rec)
{
    if (rec->n_vectors == 1 && rec->vectors[0].name.n == 0) {
        put_vector(b, &rec->vectors[0]);
        return;
    }
    sx_buf_addc(b, '{');
    for (uint32_t i = 0; i < rec->n_vectors; i++) {
        if (i != 0)
            sx_buf_addc(b, ',');
        sx_jsonw_str(b, rec->vectors[i].name.p, rec->vectors[i].name.n);
        sx_buf_addc(b, ':');
        put_vector(b, &rec->vectors[i]);
    }
    sx_buf_addc(b, '}');
}

static void put_record(struct sx_buf *b, const struct sx_record *rec, int is_scored)
{
    sx_buf_add(b, "{\"id\":", 6);
    sx_jsonw_id(b, rec->id);
    if (is_scored) {
        sx_buf_add(b, ",\"version\":", 11);
        sx_jsonw_u64(b, rec->version);
        sx_buf_add(b, ",\"score\":", 9);
        sx_jsonw_f32(b, rec->score);
    }
    if ((rec->flags & SX_REC_PAYLOAD) != 0) {
        sx_buf_add(b, ",\"payload\":", 11);
        if (rec->payload.p != NULL)
            sx_jsonw_doc(b, rec->payload);
        else
            sx_buf_add(b, "{}", 2);
    }
    if ((rec->flags & SX_REC_VECTORS) != 0) {
        sx_buf_add(b, ",\"vector\":", 10);
        put_vectors(b, rec);
    }
    if ((rec->flags & (SX_REC_ORDER_I | SX_REC_ORDER_F)) != 0) {
        sx_buf_adds(b, ",\"order_value\":");
        if ((rec->flags & SX_REC_ORDER_I) != 0)
            sx_jsonw_i64(b, rec->order.i);
        else
            sx_jsonw_f64(b, rec->order.f);
    }
    sx_buf_addc(b, '}');
}

static void put_list(struct sx_buf *b, const struct sx_record_list *list, int is_scored)
{
    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < list->n; i++) {
        if (i != 0)
            sx_buf_addc(b, ',');
        put_record(b, &list->records[i], is_scored);
    }
    sx_buf_addc(b, ']');
}

static void put_update(struct sx_buf *b, const struct sx_update *u)
{
    sx_buf_addc(b, '{');
    if (u->op_id != 0) {
        sx_buf_adds(b, "\"operation_id\":");
        sx_jsonw_u64(b, u->op_id);
        sx_buf_addc(b, ',');
    }
    sx_buf_adds(b, u->status == SX_UPDATE_COMPLETED      ? "\"status\":\"completed\"}"
                   : u->status == SX_UPDATE_WAIT_TIMEOUT ? "\"status\":\"wait_timeout\"}"
                                                         : "\"status\":\"acknowledged\"}");
}

static void put_updates(struct sx_buf *b, const struct sx_reply *reply)
{
    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < reply->u.updates.n; i++) {
        if (i != 0)
            sx_buf_addc(b, ',');
        put_update(b, &reply->u.updates.list[i]);
    }
    sx_buf_addc(b, ']');
}

static void put_facet_value(struct sx_buf *b, const struct sx_facet_hit *hit)
{
    switch (hit->kind) {
    case SX_FACET_STR:
        sx_jsonw_str(b, hit->str.p, hit->str.n);
        break;
    case SX_FACET_INT:
        sx_jsonw_i64(b, hit->i);
        break;
    case SX_FACET_BOOL:
        sx_buf_adds(b, hit->i != 0 ? "true" : "false");
        break;
    default:
        sx_jsonw_id(b, hit->uuid);
        break;
    }
}

static void put_facet(struct sx_buf *b, const struct sx_reply *reply)
{
    sx_buf_adds(b, "{\"hits\":[");
    for (uint32_t i = 0; i < reply->u.facet.n; i++) {
        sx_buf_adds(b, i != 0 ? ",{\"value\":" : "{\"value\":");
        put_facet_value(b, &reply->u.facet.hits[i]);
        sx_buf_adds(b, ",\"count\":");
        sx_jsonw_u64(b, reply->u.facet.hits[i].count);
        sx_buf_addc(b, '}');
    }
    sx_buf_adds(b, "]}");
}

/* Query answers wrap the list in an object, search answers do not. */
static void put_scored(struct sx_buf *b, const struct sx_op *op, const struct sx_record_list *list)
{
    int is_wrapped = op->code == SX_OP_QUERY || op->code == SX_OP_QUERY_BATCH;

    if (is_wrapped)
        sx_buf_add(b, "{\"points\":", 10);
    put_list(b, list, 1);
    if (is_wrapped)
        sx_buf_addc(b, '}');
}

static void put_scroll(struct sx_buf *b, const struct sx_reply *reply)
{
    sx_buf_add(b, "{\"points\":", 10);
    put_list(b, &reply->u.records.list, 0);
    sx_buf_adds(b, ",\"next_page_offset\":");
    if (reply->u.records.has_next)
        sx_jsonw_id(b, reply->u.records.next);
    else
        sx_buf_adds(b, "null");
    sx_buf_addc(b, '}');
}

void rest_encode(struct sx_buf *b, const struct sx_op *op, const struct sx_reply *reply)
{
    switch (reply->kind) {
    case SX_R_BOOL:
        if (op->code == SX_OP_COLLECTION_EXISTS)
            sx_buf_adds(b, reply->u.boolean ? "{\"exists\":true}" : "{\"exists\":false}");
        else
            sx_buf_adds(b, reply->u.boolean ? "true" : "false");
        break;
    case SX_R_DOC:
        sx_jsonw_doc(b, reply->u.doc);
        break;
    case SX_R_UPDATE:
        put_update(b, &reply->u.update);
        break;
    case SX_R_UPDATES:
        put_updates(b, reply);
        break;
    case SX_R_FACET:
        put_facet(b, reply);
        break;
    case SX_R_RECORD:
        if (reply->u.records.list.n != 0)
            put_record(b, &reply->u.records.list.records[0], 0);
        else
            sx_buf_adds(b, "null");
        break;
    case SX_R_RECORDS:
        put_list(b, &reply->u.records.list, 0);
        break;
    case SX_R_SCROLL:
        put_scroll(b, reply);
        break;
    case SX_R_COUNT:
        sx_buf_adds(b, "{\"count\":");
        sx_jsonw_u64(b, reply->u.count);
        sx_buf_addc(b, '}');
        break;
    case SX_R_SCORED:
        put_scored(b, op, &reply->u.scored.lists[0]);
        break;
    case SX_R_BATCH:
        sx_buf_addc(b, '[');
        for (uint32_t i = 0; i < reply->u.scored.n; i++) {
            if (i != 0)
                sx_buf_addc(b, ',');
            put_scored(b, op, &reply->u.scored.lists[i]);
        }
        sx_buf_addc(b, ']');
        break;
    default:
        sx_buf_adds(b, "true");
        break;
    }
}
