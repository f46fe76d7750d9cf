/* Facets: how many points have each value of an indexed field. Always exact: the bits of the filter
 * are counted against the index's values, chunk by chunk. */
#include <string.h>

#include "catalog.h"
#include "field_part.h"
#include "plan.h"
#include "schema.h"

#include "sextant/sx_ban.h"

static int has_facets(const struct eng_field_schema *f)
{
    return f && (f->type == ENG_FIELD_KEYWORD || f->type == ENG_FIELD_UUID ||
                 f->type == ENG_FIELD_BOOL ||
                 (f->type == ENG_FIELD_INTEGER && f->flags & ENG_FIELD_LOOKUP));
}

struct docs {
    struct eng_facet *facet;
    int rc;
};

static int doc_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct docs *d = arg;
    (void)i;
    return d->rc = eng_facet_doc(d->facet, (struct sx_doc){p, n, 0});
}

/* Rows that no part of the index covers yet. */
static int count_docs(struct eng_call *c,
                      const struct eng_reader *r,
                      struct eng_facet *k,
                      uint32_t chunk,
                      const struct eng_bits *rest)
{
    const struct sx_provider *bp = c->shard->table.blobs_p;
    struct docs d = {k, 0};
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        for (uint64_t b = rest->w[w]; b; b &= b - 1) {
            uint32_t row = chunk << SX_CHUNK_SHIFT | (w * 64 + (uint32_t)__builtin_ctzll(b));
            sx_locator loc = eng_reader_row(r, row)->payload;
            if (loc == ENG_NO_BLOB)
                continue;
            int rc = ((const struct sx_blobs_ops *)bp->ops)
                         ->get(bp->self, c->shard->table.payload, &loc, 1, doc_one, &d, &c->err);
            if (rc == SX_ECORRUPT && d.rc == 0)
                eng_shard_damaged(c->shard, &c->err);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static int count_all(struct eng_call *c,
                     const struct eng_reader *r,
                     const struct eng_field_schema *f,
                     struct eng_plan *p,
                     struct eng_facet *k)
{
    struct eng_bits bits, rest;
    int rc = 0;
    for (uint32_t chunk = 0; rc == 0 && chunk < r->v->n_chunks; chunk++) {
        rc = eng_plan_chunk(p, chunk, &bits, &c->err);
        memset(&rest, 0, sizeof(rest));
        if (rc == 0)
            rc = eng_facet_chunk(k, f->field, chunk, r->v->fill[chunk], &bits, &rest);
        if (rc == 0)
            rc = count_docs(c, r, k, chunk, &rest);
    }
    return rc;
}

static int no_index(struct eng_call *c, const struct sx_path *path)
{
    struct sx_buf key;
    sx_buf_init(&key, c->eng->mem);
    sx_path_print(path, &key);
    int rc = sx_err_set(&c->err, SX_EINPUT,
                        "No appropriate index for faceting: `%.*s`. Please create one to facet on "
                        "this field. Check "
                        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see "
                        "which payload schemas support Match conditions",
                        (int)(key.n > 200 ? 200 : key.n), key.p);
    sx_buf_fini(&key);
    return rc;
}

static int facet_body(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    const struct sx_args_facet *a = c->op->args;
    const struct eng_field_schema *f = eng_schema_find(r->v->schema, &a->key);
    if (!has_facets(f)) /* one that need not be exact does not notice in an empty collection */
        return !a->exact && r->v->n_live == 0 ? 0 : no_index(c, &a->key);
    struct eng_facet *k = eng_facet_create(f, c->eng->mem, c->op->arena);
    int rc = k ? count_all(c, r, f, p, k) : SX_ENOMEM;
    if (rc == 0)
        rc = eng_facet_top(k, a->limit, &c->reply.u.facet.hits, &c->reply.u.facet.n);
    if (k)
        eng_facet_destroy(k);
    return rc == SX_ENOMEM ? sx_err_set(&c->err, rc, "out of memory") : rc;
}

static uint64_t facet_cost(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    (void)c;
    return eng_plan_cost(p) + r->v->n_chunks * 40000ull;
}

void eng_op_facet(struct eng_call *c)
{
    const struct sx_args_facet *a = c->op->args;
    struct eng_read_op *op = sx_arena_alloc(c->op->arena, sizeof(*op));
    if (!op) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *op = (struct eng_read_op){SX_R_FACET, 0, a->filter, &a->shards, facet_cost, facet_body};
    eng_read_op_run(c, op);
}
