/* One vector column: store, distance and index of a named vector; see table.h for the struct.
 *
 * The stored form of a vector is the column's datatype; conversion happens once, when the log
 * record is built, so that log, store and replay hold the same bytes. */
#include <stdio.h>
#include <string.h>

#include "shard.h"

#include "sextant/sx_ban.h"

static const struct sx_rows_ops *rops(const struct sx_provider *p)
{
    return p->ops;
}

static const struct sx_blobs_ops *bops(const struct sx_provider *p)
{
    return p->ops;
}

void eng_column_prepare(const struct eng_column *c, const float *in, float *out)
{
    const struct sx_distance_ops *d = c->conf->distance->ops;
    /* uint8 columns are not normalised: their cosine divides by both norms instead. */
    if (SX_HAS(d, preprocess) && c->conf->dtype != SX_DT_U8)
        d->preprocess(c->conf->distance->self, c->conf->dim, in, out);
    else if (in != out)
        memcpy(out, in, (uint64_t)c->conf->dim * sizeof(float));
}

void eng_column_encode(const struct eng_column *c, const float *v, void *out)
{
    uint32_t dim = c->conf->dim;
    if (c->conf->dtype == SX_DT_F16) {
        uint16_t *h = out;
        for (uint32_t i = 0; i < dim; i++)
            h[i] = sx_f16_from_f32(v[i]);
    } else if (c->conf->dtype == SX_DT_U8) {
        uint8_t *b = out;
        for (uint32_t i = 0; i < dim; i++) /* truncated toward zero, saturated, NaN = 0 */
            b[i] = v[i] >= 255.0f ? 255 : v[i] > 0.0f ? (uint8_t)v[i] : 0;
    } else {
        memcpy(out, v, (uint64_t)dim * sizeof(float));
    }
}

void eng_column_decode(const struct eng_column *c, const void *row, float *out)
{
    uint32_t dim = c->conf->dim;
    if (c->conf->dtype == SX_DT_F16) {
        const uint16_t *h = row;
        for (uint32_t i = 0; i < dim; i++)
            out[i] = sx_f16_to_f32(h[i]);
    } else if (c->conf->dtype == SX_DT_U8) {
        const uint8_t *b = row;
        for (uint32_t i = 0; i < dim; i++)
            out[i] = b[i];
    } else {
        memcpy(out, row, (uint64_t)dim * sizeof(float));
    }
}

uint64_t eng_column_bytes(const struct eng_column *c, const struct sx_vec_in *v)
{
    if (c->conf->kind == ENG_COL_SPARSE)
        return 8 + (uint64_t)v->dim * 8;
    if (c->conf->kind == ENG_COL_MULTI)
        return 8 + (uint64_t)(v->kind == SX_VEC_MULTI ? v->rows : 1) * c->vector_bytes;
    return c->row_bytes;
}

void eng_column_store(const struct eng_column *c, const struct sx_vec_in *v, float *tmp, void *out)
{
    uint32_t rows = v->kind == SX_VEC_MULTI ? v->rows : 1;
    uint32_t head[2] = {c->conf->kind == ENG_COL_SPARSE ? v->dim : rows, 0};
    uint8_t *w = out;
    if (c->conf->kind != ENG_COL_DENSE) {
        memcpy(w, head, 8);
        w += 8;
    }
    if (c->conf->kind == ENG_COL_SPARSE) {
        if (v->dim) {
            memcpy(w, v->indices, v->dim * 4ull);
            memcpy(w + v->dim * 4ull, v->data, v->dim * 4ull);
        }
        return;
    }
    for (uint32_t i = 0; i < rows; i++, w += c->vector_bytes) {
        eng_column_prepare(c, v->data + (uint64_t)i * c->conf->dim, tmp);
        eng_column_encode(c, tmp, w);
    }
}

int eng_column_fits(const struct eng_column *c, const void *p, uint64_t n)
{
    uint32_t count;
    if (c->conf->kind == ENG_COL_DENSE)
        return n == c->row_bytes;
    if (n < 8)
        return 0;
    memcpy(&count, p, 4);
    return n == 8 + (uint64_t)count * (c->conf->kind == ENG_COL_SPARSE ? 8u : c->vector_bytes);
}

static uint32_t source_count(void *ctx)
{
    const struct eng_column *c = ctx;
    return __atomic_load_n(&c->n_nodes, __ATOMIC_ACQUIRE);
}

static void source_rows(void *ctx, struct sx_rows *out)
{
    const struct eng_column *c = ctx;
    rops(c->rows_p)->rows(c->rows_p->self, c->vec, out);
}

static void source_score(const struct sx_scorer *s, const uint32_t *ids, uint32_t n, float *out)
{
    s->kernel->score_ids(s->q, s->rows, ids, n, s->dim, out);
}

/* The query is the node's own row: stored rows are prepared already. */
static void source_scorer(void *ctx, uint32_t node, void *scratch, struct sx_scorer *out)
{
    struct eng_column *c = ctx;
    struct sx_rows *rows = scratch;
    source_rows(ctx, rows);
    float *q = (float *)(void *)((char *)scratch + 64);
    eng_column_decode(c, sx_rows_at(rows, node), q);
    *out = (struct sx_scorer){.size = sizeof(*out),
                              .flags = SX_SCORER_PLAIN,
                              .score = source_score,
                              .kernel = &c->kernel,
                              .q = q,
                              .rows = rows,
                              .dim = c->conf->dim};
}

static int column_open(struct eng_shard *s,
                       struct eng_column *c,
                       const struct sx_store_mark *vec,
                       const struct sx_store_mark *loc,
                       const struct sx_blobs_mark *blobs,
                       struct sx_err *err)
{
    struct eng *e = s->eng;
    char name[32];
    uint32_t dim = c->conf->dim;
    c->vector_bytes = dim * (c->conf->dtype == SX_DT_F16  ? 2u
                             : c->conf->dtype == SX_DT_U8 ? 1u
                                                          : 4u);
    c->row_bytes = c->conf->kind == ENG_COL_DENSE ? c->vector_bytes : sizeof(sx_locator);
    c->rows_p = e->reg->find(SX_KIND_ROWS, c->conf->rows_kind);
    c->index_p = e->reg->find(SX_KIND_INDEX, e->conf->index_kind);
    if (!c->rows_p)
        return sx_err_set(err, SX_EUNSUPPORTED, "no loaded module provides storage %s",
                          c->conf->rows_kind);
    if (!c->index_p)
        return sx_err_set(err, SX_EUNSUPPORTED, "no loaded module provides index %s",
                          e->conf->index_kind);

    struct sx_rows_conf rc = {.size = sizeof(rc),
                              .row_size = c->row_bytes,
                              .align = c->conf->kind != ENG_COL_DENSE ? 8
                                       : c->conf->dtype == SX_DT_F32  ? 4
                                                                      : 1,
                              .id = s->id,
                              .known = *vec};
    snprintf(name, sizeof(name), "vec%u", c->conf->id);
    int res = rops(c->rows_p)->open(c->rows_p->self, e->io, s->dir, name, &rc, &c->vec, err);
    if (res != 0)
        return res;
    rc.row_size = 4;
    rc.align = 4;
    rc.known = *loc;
    snprintf(name, sizeof(name), "loc%u", c->conf->id);
    const struct sx_provider *rp = s->table.rows_p;
    res = rops(rp)->open(rp->self, e->io, s->dir, name, &rc, &c->loc, err);
    if (res != 0)
        return res;
    c->n_nodes = (uint32_t)vec->count;
    c->in_step = 1; /* of an empty table; eng_table_rebuild() looks again */
    if (c->conf->kind != ENG_COL_DENSE) {
        struct sx_blobs_conf bc = {.size = sizeof(bc),
                                   .segment_bytes = 64ull << 20,
                                   .id = s->id,
                                   .known = {blobs->bytes, blobs->tail_crc, 0},
                                   .known_segment = blobs->segment};
        const struct sx_provider *bp = s->table.blobs_p;
        snprintf(name, sizeof(name), "var%u", c->conf->id);
        res = bops(bp)->open(bp->self, e->io, s->dir, name, &bc, &c->blobs, err);
        if (res != 0 || c->conf->kind == ENG_COL_SPARSE)
            return res;
    }

    const struct sx_distance_ops *d = c->conf->distance->ops;
    c->kernel.size = sizeof(c->kernel);
    res = d->resolve(c->conf->distance->self, SX_DT_F32, c->conf->dtype, dim, e->cpu->bits,
                     &c->kernel);
    if (res != 0)
        return sx_err_set(err, SX_EUNSUPPORTED, "distance %s does not serve this datatype",
                          c->conf->distance->name);
    if (c->conf->kind != ENG_COL_DENSE)
        return 0; /* scored row by row of each vector, without an index */
    c->source = (struct sx_index_source){.size = sizeof(c->source),
                                         .dim = dim,
                                         .dtype = c->conf->dtype,
                                         .ctx = c,
                                         .count = source_count,
                                         .rows = source_rows,
                                         .scorer_for_node = source_scorer,
                                         .scorer_size = 64 + dim * 4u};
    const struct sx_index_ops *ix = c->index_p->ops;
    return ix->create(c->index_p->self, &c->source, (struct sx_doc){NULL, 0, 0}, &c->index, err);
}

int eng_column_open(struct eng_shard *s,
                    const struct eng_column_conf *conf,
                    const struct sx_store_mark *vec,
                    const struct sx_store_mark *loc,
                    const struct sx_blobs_mark *blobs,
                    struct eng_column **out,
                    struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_column *c = e->mem->zalloc(e->mem, sizeof(*c) + conf->name.n + 1);
    if (!c)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    c->own = *conf;
    c->own.name.p = (char *)(c + 1);
    memcpy(c + 1, conf->name.p, conf->name.n);
    c->conf = &c->own;
    int rc = column_open(s, c, vec, loc, blobs, err);
    if (rc != 0)
        eng_column_close(s, c);
    else
        *out = c;
    return rc;
}

void eng_column_close(struct eng_shard *s, struct eng_column *c)
{
    if (!c)
        return;
    if (c->index)
        ((const struct sx_index_ops *)c->index_p->ops)->destroy(c->index_p->self, c->index);
    if (c->blobs)
        bops(s->table.blobs_p)->close(s->table.blobs_p->self, c->blobs);
    if (c->loc)
        rops(s->table.rows_p)->close(s->table.rows_p->self, c->loc);
    if (c->vec)
        rops(c->rows_p)->close(c->rows_p->self, c->vec);
    eng_column_free_rows(s->eng, c);
    s->eng->mem->release(s->eng->mem, c);
}

void eng_column_link(struct eng_shard *s, uint32_t i)
{
    struct eng *e = s->eng;
    struct eng_column *c = s->table.columns[i];
    struct sx_worker *w = e->exec->self();
    struct sx_err err = SX_ERR_INIT;
    uint32_t nodes[256];
    if (!c || !c->index || !(c->index_p->caps & SX_INDEX_INCREMENTAL) || c->linked >= c->n_nodes)
        return;
    const struct sx_index_ops *ix = c->index_p->ops;
    uint64_t need = ix->scratch_size(c->index_p->self, c->index, 1, 1, (struct sx_doc){NULL, 0, 0});
    void *scratch = w ? w->scratch(w, need ? need : 64) : NULL;
    int rc = scratch ? 0 : sx_err_set(&err, SX_ENOMEM, "out of memory");
    while (rc == 0 && c->linked < c->n_nodes) {
        uint32_t n = c->n_nodes - c->linked < 256 ? c->n_nodes - c->linked : 256;
        for (uint32_t k = 0; k < n; k++)
            nodes[k] = c->linked + k;
        rc = ix->insert(c->index_p->self, c->index, nodes, n, scratch, &err);
        if (rc == 0)
            c->linked += n;
    }
    if (rc != 0) { /* searches would miss points: say so; the next change tries again */
        sx_err_wrap(&err, "index of vector '%.*s'", (int)c->conf->name.n, c->conf->name.p);
        eng_shard_damaged(s, &err);
    }
}
