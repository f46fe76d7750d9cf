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

static void read_vector(const struct sx_vec_in *v)
{
    uint64_t n = v->kind == SX_VEC_MULTI ? (uint64_t)v->rows * v->dim : v->dim;

    read_str(v->name);
    if (v->kind == SX_VEC_ID)
        return;
    must(v->kind >= SX_VEC_DENSE && v->kind <= SX_VEC_SPARSE);
    for (uint64_t i = 0; i < n; i++)
        sink += v->data[i];
    for (uint32_t i = 0; v->kind == SX_VEC_SPARSE && i < v->dim; i++)
        must(i == 0 || v->indices[i - 1] < v->indices[i]);
}

static void read_doc(struct sx_doc v)
{
    if (v.p != NULL)
        must(sx_doc_check(v.p, v.n) == SX_OK);
}

static void read_selector(const struct sx_selector *s)
{
    must(s->mode <= SX_SEL_EXCLUDE);
    for (uint32_t i = 0; i < s->n; i++)
        read_str(s->names[i]);
}

static void read_upsert(const struct sx_args_upsert *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t k = 0; k < a->points[i].n_vectors; k++)
            read_vector(&a->points[i].vectors[k]);
        must(a->points[i].pad == 0);
        read_doc(a->points[i].payload);
    }
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
        must(q->limit != 0);
    }
}

static void read_ids(const struct sx_args_ids *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        sink += (double)a->ids[i].lo;
    read_selector(&a->payload);
    read_selector(&a->vectors);
}

static void read_op(const struct sx_op *op)
{
    read_doc(op->body);
    switch (op->code) {
    case SX_OP_POINTS_UPSERT:
        read_upsert(op->args);
        break;
    case SX_OP_QUERY:
    case SX_OP_QUERY_BATCH:
    case SX_OP_SEARCH:
    case SX_OP_SEARCH_BATCH:
        read_queries(op->args);
        break;
    case SX_OP_POINTS_GET:
    case SX_OP_POINTS_DELETE:
        read_ids(op->args);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sx_docb docb;
    static uint32_t codes[SX_OP__N], n_codes;
    struct rest_dec dec;
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
    sx_arena_init(&arena, sx_mem_libc(), (1 << 20) + 32 * (uint64_t)size);
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
