/* Any bytes as the body of any operation, through its decoder; then everything that came out is
 * read, so that a wrong length or a dangling pointer is found. The first byte picks the operation.
 *
 * Memory is bounded as in the server, so a body that grows without end is a refusal here too. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/decode_*.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport-rest/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sink;

static void must(int ok)
{
    if (!ok)
        abort();
}

static void read_str(struct sx_str s)
{
    for (uint32_t i = 0; i < s.n; i++)
        sink += s.p[i];
}

static void read_doc(struct sx_doc v)
{
    if (v.p != NULL)
        must(sx_doc_check(v.p, v.n) == SX_OK);
}

static void read_vector(const struct sx_vec_in *v)
{
    uint64_t n = v->kind == SX_VEC_MULTI ? (uint64_t)v->rows * v->dim : v->dim;

    read_str(v->name);
    if (v->kind == SX_VEC_ID)
        return;
    if (v->kind == SX_VEC_INFER) {
        must(v->infer->kind >= SX_INFER_TEXT && v->infer->kind <= SX_INFER_OBJECT);
        read_str(v->infer->model);
        must(v->infer->data.p != NULL);
        read_doc(v->infer->data);
        read_doc(v->infer->options);
        return;
    }
    must(v->kind >= SX_VEC_DENSE && v->kind <= SX_VEC_SPARSE);
    for (uint64_t i = 0; i < n; i++)
        sink += v->data[i];
    for (uint32_t i = 0; v->kind == SX_VEC_SPARSE && i < v->dim; i++)
        must(i == 0 || v->indices[i - 1] < v->indices[i]);
}

static void read_selector(const struct sx_selector *s)
{
    must(s->mode <= SX_SEL_EXCLUDE);
    for (uint32_t i = 0; i < s->n; i++)
        read_str(s->names[i]);
}

static void read_path(const struct sx_path *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        read_str(p->steps[i].key);
}

static void read_shards(const struct sx_shards *s)
{
    must(s->mode <= SX_SHARDS_FALLBACK && (s->mode != SX_SHARDS_FALLBACK || s->n == 2));
    for (uint32_t i = 0; i < s->n; i++)
        read_str(s->keys[i].text);
}

/* What is inside a filter is fuzz_filter's. */
static void read_points(const struct sx_points *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        sink += (double)p->ids[i].lo;
    if (p->filter != NULL)
        sink += p->filter->n_must;
}

static void read_upsert(const struct sx_args_upsert *a)
{
    must(a->mode <= SX_UPDATE_ONLY);
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t k = 0; k < a->points[i].n_vectors; k++)
            read_vector(&a->points[i].vectors[k]);
        must(a->points[i].pad == 0);
        read_doc(a->points[i].payload);
    }
    read_shards(&a->shards);
}

static void read_queries(const struct sx_args_query *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct sx_query *q = &a->queries[i];

        if (q->kind == SX_Q_NEAREST)
            read_vector(&q->vector);
        read_str(q->using_name);
        read_selector(&q->payload);
        read_selector(&q->vectors);
        read_shards(&q->shards);
        must(q->limit != 0);
    }
}

static void read_ids(const struct sx_args_ids *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        sink += (double)a->ids[i].lo;
    read_selector(&a->payload);
    read_selector(&a->vectors);
    read_shards(&a->shards);
}

static void read_payload(const struct sx_args_payload *a, uint32_t code)
{
    read_points(&a->points);
    must(a->points.has_ids || a->points.filter != NULL);
    must(code == SX_OP_PAYLOAD_DELETE || sx_doc_type(a->payload) == SX_DOC_OBJ);
    read_doc(a->payload);
    read_path(&a->key);
    for (uint32_t i = 0; i < a->n_keys; i++)
        read_path(&a->keys[i]);
    read_shards(&a->shards);
}

static void read_vectors_delete(const struct sx_args_vectors_delete *a)
{
    read_points(&a->points);
    must(a->n_names != 0);
    for (uint32_t i = 0; i < a->n_names; i++)
        read_str(a->names[i]);
    read_shards(&a->shards);
}

static void read_args(uint32_t code, const void *args);

static void read_batch(const struct sx_args_batch *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        read_args(a->items[i].code, a->items[i].args);
}

static void read_scroll(const struct sx_args_scroll *a)
{
    must(a->limit != 0);
    read_selector(&a->payload);
    read_selector(&a->vectors);
    if (a->order_by != NULL) {
        must(a->order_by->key.n != 0 && a->order_by->start <= SX_START_TIME);
        read_path(&a->order_by->key);
    }
    read_shards(&a->shards);
}

static void read_args(uint32_t code, const void *args)
{
    switch (code) {
    case SX_OP_POINTS_UPSERT:
    case SX_OP_VECTORS_UPDATE:
        read_upsert(args);
        break;
    case SX_OP_POINTS_DELETE:
    case SX_OP_PAYLOAD_CLEAR:
        read_points(&((const struct sx_args_points *)args)->points);
        break;
    case SX_OP_PAYLOAD_SET:
    case SX_OP_PAYLOAD_OVERWRITE:
    case SX_OP_PAYLOAD_DELETE:
        read_payload(args, code);
        break;
    case SX_OP_VECTORS_DELETE:
        read_vectors_delete(args);
        break;
    case SX_OP_POINTS_BATCH:
        read_batch(args);
        break;
    case SX_OP_INDEX_CREATE:
        read_path(&((const struct sx_args_field *)args)->field);
        read_doc(((const struct sx_args_field *)args)->schema);
        break;
    case SX_OP_QUERY:
    case SX_OP_QUERY_BATCH:
    case SX_OP_SEARCH:
    case SX_OP_SEARCH_BATCH:
        read_queries(args);
        break;
    case SX_OP_POINTS_GET:
        read_ids(args);
        break;
    case SX_OP_SCROLL:
        read_scroll(args);
        break;
    case SX_OP_FACET:
        read_path(&((const struct sx_args_facet *)args)->key);
        break;
    default:
        break;
    }
}

static void read_op(const struct sx_op *op)
{
    read_doc(op->body);
    read_args(op->code, op->args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sx_docb docb;
    static uint32_t codes[SX_OP__N], n_codes;
    struct rest_dec dec = {.reg = NULL};
    struct sx_arena arena;
    struct sx_op op;
    char *text;
    int rc;

    if (size < 1)
        return 0;
    if (n_codes == 0) {
        sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
        for (uint32_t i = 0; i < SX_OP__N; i++)
            if (rest_decode_knows(i))
                codes[n_codes++] = i;
    }
    memset(&op, 0, sizeof(op));
    op.code = codes[data[0] % n_codes];
    text = malloc(size > 1 ? size - 1 : 1); /* exactly as long, so that a look behind it is found */
    memcpy(text, data + 1, size - 1);
    sx_arena_init(&arena, sx_mem_libc(), (1 << 20) + 128 * (uint64_t)size);
    op.arena = dec.arena = &arena;
    dec.docb = &docb;
    rc = rest_decode(&dec, &op, text, size - 1);
    must(rc <= 0);
    if (rc == SX_OK)
        read_op(&op);
    else
        must(dec.err.n != 0);
    read_str(dec.err);
    sx_arena_fini(&arena);
    free(text);
    return 0;
}
