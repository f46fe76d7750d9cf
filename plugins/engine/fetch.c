/* Rows -> records; see fetch.h. */
#include "fetch.h"

#include <string.h>

#include "project.h"
#include "schema.h"

#include "sextant/sx_ban.h"

struct payload_sink {
    const struct sx_selector *sel;
    struct eng_projection *projection;
    struct sx_arena *arena;
    struct sx_record **records; /* of the i-th blob asked for */
    struct eng *eng;
    struct sx_err *err;
};

static int payload_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct payload_sink *k = arg;
    struct sx_doc d = {p, n, 0};
    if (k->projection) {
        int rc = eng_project(k->projection, d, k->eng->mem, k->arena, &k->records[i]->payload);
        return rc == 0 ? 0 : sx_err_set(k->err, rc, "out of memory");
    }
    uint8_t *copy = sx_arena_alloc(k->arena, n);
    if (!copy)
        return sx_err_set(k->err, SX_ENOMEM, "out of memory");
    memcpy(copy, p, n);
    k->records[i]->payload = (struct sx_doc){copy, n, 0};
    return 0;
}

static int fetch_payloads(struct eng_shard *s,
                          const struct eng_reader *r,
                          const uint32_t *rows,
                          uint32_t n,
                          const struct sx_selector *sel,
                          struct sx_arena *arena,
                          struct sx_record *records,
                          struct sx_err *err)
{
    const struct sx_provider *bp = s->table.blobs_p;
    sx_locator *locs = sx_arena_alloc(arena, n * sizeof(*locs));
    struct sx_record **to = sx_arena_alloc(arena, n * sizeof(*to));
    struct payload_sink sink = {sel, NULL, arena, to, s->eng, err};
    uint32_t m = 0;
    if (!locs || !to)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    if (sel->mode != SX_SEL_ALL) {
        int rc = eng_projection_create(sel, arena, &sink.projection, err);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct eng_row *row = eng_reader_row(r, rows[i]);
        records[i].flags |= SX_REC_PAYLOAD;
        if (row->payload != ENG_NO_BLOB) {
            locs[m] = row->payload;
            to[m++] = &records[i];
        }
    }
    return ((const struct sx_blobs_ops *)bp->ops)
        ->get(bp->self, s->table.payload, locs, m, payload_one, &sink, err);
}

static int wants(const struct sx_selector *sel, struct sx_str name)
{
    if (sel->mode == SX_SEL_ALL)
        return 1;
    for (uint32_t i = 0; i < sel->n; i++) {
        if (sel->names[i].n == name.n && (!name.n || !memcmp(sel->names[i].p, name.p, name.n)))
            return 1;
    }
    return 0;
}

/* The vectors of a multi or sparse column, one blob after the other. */
struct blob_sink {
    const struct eng_column *c;
    struct sx_str name;
    struct sx_arena *arena;
    struct sx_record *records;
    const uint32_t *at;
    struct sx_err *err;
};

static int blob_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct blob_sink *k = arg;
    const struct eng_column *c = k->c;
    struct sx_record *rec = &k->records[k->at[i]];
    struct sx_vec_out *v = (struct sx_vec_out *)(uintptr_t)&rec->vectors[rec->n_vectors];
    uint32_t count, dim = c->conf->dim;
    if (!eng_column_fits(c, p, n))
        return sx_err_set(k->err, SX_ECORRUPT, "a vector of '%.*s' has an impossible length",
                          (int)c->conf->name.n, c->conf->name.p);
    memcpy(&count, p, 4);
    const uint8_t *data = (const uint8_t *)p + 8;
    int is_sparse = c->conf->kind == ENG_COL_SPARSE;
    float *f = sx_arena_alloc(k->arena, ((uint64_t)count * (is_sparse ? 2 : dim) + 1) * 4);
    if (!f)
        return sx_err_set(k->err, SX_ENOMEM, "out of memory");
    if (is_sparse) {
        uint32_t *indices = (uint32_t *)(void *)(f + count);
        memcpy(indices, data, count * 4ull);
        memcpy(f, data + count * 4ull, count * 4ull);
        *v = (struct sx_vec_out){k->name, SX_VEC_SPARSE, count, 1, 0, f, indices};
    } else {
        for (uint32_t r = 0; r < count; r++)
            eng_column_decode(c, data + (uint64_t)r * c->vector_bytes, f + (uint64_t)r * dim);
        *v = (struct sx_vec_out){k->name, SX_VEC_MULTI, dim, count, 0, f, NULL};
    }
    rec->n_vectors++;
    return 0;
}

static int fetch_column(struct eng_shard *s,
                        const struct eng_reader *r,
                        uint32_t ci,
                        const uint32_t *rows,
                        uint32_t n,
                        struct sx_arena *arena,
                        struct sx_record *records,
                        struct sx_err *err)
{
    const struct eng_column *c = s->table.columns[ci];
    const struct sx_rows_ops *ops = c->rows_p->ops;
    /* The reply outlives the epoch, the column perhaps not. */
    struct sx_str name = {sx_arena_strdup(arena, c->conf->name.p, c->conf->name.n), c->conf->name.n,
                          0};
    uint32_t *locs = sx_arena_alloc(arena, n * sizeof(*locs)),
             *at = sx_arena_alloc(arena, n * 4ull);
    uint32_t m = 0;
    if (!locs || !at || !name.p)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t loc = eng_reader_loc(r, ci, rows[i]);
        if (loc != ENG_NO_LOC) {
            locs[m] = loc;
            at[m++] = i;
        }
    }
    uint8_t *raw = sx_arena_alloc(arena, (uint64_t)m * c->row_bytes + 1);
    float *out =
        sx_arena_alloc(arena, c->blobs ? 1 : (uint64_t)m * c->conf->dim * sizeof(float) + 1);
    if (!raw || !out)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = ops->gather(c->rows_p->self, c->vec, locs, m, raw, err);
    if (rc == 0 && c->blobs) {
        const struct sx_provider *bp = s->table.blobs_p;
        struct blob_sink sink = {c, name, arena, records, at, err};
        return ((const struct sx_blobs_ops *)bp->ops)
            ->get(bp->self, c->blobs, (const sx_locator *)(const void *)raw, m, blob_one, &sink,
                  err);
    }
    for (uint32_t i = 0; rc == 0 && i < m; i++) {
        struct sx_record *rec = &records[at[i]];
        struct sx_vec_out *v = (struct sx_vec_out *)(uintptr_t)&rec->vectors[rec->n_vectors++];
        float *f = out + (uint64_t)i * c->conf->dim;
        eng_column_decode(c, raw + (uint64_t)i * c->row_bytes, f);
        *v = (struct sx_vec_out){name, SX_VEC_DENSE, c->conf->dim, 1, 0, f, NULL};
    }
    return rc;
}

static int fetch_vectors(struct eng_shard *s,
                         const struct eng_reader *r,
                         const uint32_t *rows,
                         uint32_t n,
                         const struct sx_selector *sel,
                         struct sx_arena *arena,
                         struct sx_record *records,
                         struct sx_err *err)
{
    const struct eng_config *config = r->v->schema->config;
    for (uint32_t i = 0; sel->mode == SX_SEL_INCLUDE && i < sel->n; i++) {
        const struct sx_str *name = &sel->names[i];
        if (!eng_config_column(config, *name))
            return sx_err_set(err, SX_EINPUT, "Not existing vector name error: %.*s",
                              (int)(name->n > 200 ? 200 : name->n), name->p);
    }
    uint32_t nc = config->n_columns ? config->n_columns : 1;
    struct sx_vec_out *slots = sx_arena_alloc(arena, (uint64_t)n * nc * sizeof(*slots));
    if (!slots)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        records[i].flags |= SX_REC_VECTORS;
        records[i].vectors = slots + (uint64_t)i * nc;
    }
    for (uint32_t c = 0; c < config->n_columns; c++) {
        if (!wants(sel, config->columns[c].name))
            continue;
        int rc = fetch_column(s, r, config->columns[c].slot, rows, n, arena, records, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int eng_fetch(struct eng_shard *s,
              const struct eng_reader *r,
              const uint32_t *rows,
              uint32_t n,
              const struct sx_selector *payload,
              const struct sx_selector *vectors,
              struct sx_arena *arena,
              struct sx_record *records,
              struct sx_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct eng_row *row = eng_reader_row(r, rows[i]);
        eng_row_id(row, &records[i].id);
        records[i].version = row->version;
        records[i].flags = 0;
        records[i].n_vectors = 0;
        records[i].vectors = NULL;
        records[i].payload = (struct sx_doc){NULL, 0, 0};
    }
    if (n && payload->mode != SX_SEL_NONE) {
        rc = fetch_payloads(s, r, rows, n, payload, arena, records, err);
        if (rc == SX_ECORRUPT)
            eng_shard_damaged(s, err);
    }
    if (rc == 0 && n && vectors->mode != SX_SEL_NONE) {
        rc = fetch_vectors(s, r, rows, n, vectors, arena, records, err);
        if (rc == SX_ECORRUPT)
            eng_shard_damaged(s, err);
    }
    return rc;
}
