/* Bodies of log records, built from requests; see shard.h for the layout.
 *
 * Runs on any worker, before the strand: everything that can be decided from the configuration
 * alone (names, dimensions, the last of equal ids) and all copying of vectors is done here, so that
 * the strand only appends and applies. */
#include <string.h>

#include "shard.h"

#include "sextant/sx_ban.h"

static uint64_t pad8(uint64_t n)
{
    return (n + 7) & ~7ull;
}

/* keep[i] = 0 for points whose id comes again later. Open addressing over the ids. */
static int keep_last(const struct sx_args_upsert *a, struct sx_arena *arena, uint8_t **keep)
{
    uint32_t cap = 16;
    while (cap < a->n * 2)
        cap *= 2;
    uint32_t *slot = sx_arena_alloc(arena, cap * 4ull);
    uint8_t *k = sx_arena_alloc(arena, a->n ? a->n : 1);
    if (!slot || !k)
        return SX_ENOMEM;
    memset(slot, 0xff, cap * 4ull);
    for (uint32_t i = a->n; i-- > 0;) {
        uint32_t at = (uint32_t)sx_id_hash(&a->points[i].id) & (cap - 1);
        k[i] = 1;
        for (; slot[at] != UINT32_MAX; at = (at + 1) & (cap - 1)) {
            if (sx_id_cmp(&a->points[slot[at]].id, &a->points[i].id) == 0) {
                k[i] = 0;
                break;
            }
        }
        if (k[i])
            slot[at] = i;
    }
    *keep = k;
    return 0;
}

static int check_vector(struct eng_shard *s,
                        const struct sx_vec_in *v,
                        const struct eng_column_conf **out,
                        struct sx_err *err)
{
    const struct eng_column_conf *c = eng_config_column(s->config, v->name);
    if (!c) {
        if (!eng_config_has_sparse(s->config, v->name))
            return sx_err_set(err, SX_EINPUT, "Not existing vector name error: %.*s",
                              (int)(v->name.n > 200 ? 200 : v->name.n), v->name.p);
        if (v->kind != SX_VEC_SPARSE)
            return sx_err_set(err, SX_EINPUT, "Conversion between %s and regular vectors failed",
                              v->kind == SX_VEC_MULTI ? "multi" : "sparse");
        return sx_err_set(err, SX_EUNSUPPORTED, "sparse vectors");
    }
    if (v->kind == SX_VEC_SPARSE)
        return sx_err_set(err, SX_EINPUT, "Conversion between sparse and regular vectors failed");
    if (c->is_multi)
        return sx_err_set(err, SX_EUNSUPPORTED, "multivectors");
    if (v->kind == SX_VEC_MULTI)
        return sx_err_set(err, SX_EINPUT, "Conversion between multi and regular vectors failed");
    if (v->dim != c->dim)
        return sx_err_set(err, SX_EINPUT, "Vector dimension error: expected dim: %u, got %u",
                          c->dim, v->dim);
    *out = c;
    return 0;
}

int eng_record_upsert(struct eng_shard *s,
                      const struct sx_args_upsert *args,
                      struct sx_arena *arena,
                      struct sx_str *out,
                      struct sx_err *err)
{
    uint8_t *keep;
    uint64_t total = 8, dim_max = 1;
    uint32_t n = 0;

    if (keep_last(args, arena, &keep) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < args->n; i++) {
        const struct sx_point_in *p = &args->points[i];
        uint64_t bytes = 32 + pad8(p->payload.n);
        for (uint32_t j = 0; j < p->n_vectors; j++) {
            const struct eng_column_conf *c = NULL;
            int rc = check_vector(s, &p->vectors[j], &c, err);
            if (rc != 0)
                return rc;
            bytes += 8 + pad8(s->table.columns[c->id].row_bytes);
            if (c->dim > dim_max)
                dim_max = c->dim;
        }
        if (keep[i]) {
            total += bytes;
            n++;
        }
    }
    if (total > UINT32_MAX / 2)
        return sx_err_set(err, SX_EBADREQ, "the update is too large");
    uint8_t *body = sx_arena_alloc(arena, total), *w = body;
    float *tmp = sx_arena_alloc_aligned(arena, dim_max * sizeof(float), 64);
    if (!body || !tmp)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    memset(w, 0, 8);
    memcpy(w, &n, 4);
    w += 8;
    for (uint32_t i = 0; i < args->n; i++) {
        const struct sx_point_in *p = &args->points[i];
        if (!keep[i])
            continue;
        uint32_t head[4] = {p->id.kind, p->n_vectors, p->payload.n, 0};
        memcpy(w, &p->id.hi, 8);
        memcpy(w + 8, &p->id.lo, 8);
        memcpy(w + 16, head, 16);
        w += 32;
        for (uint32_t j = 0; j < p->n_vectors; j++) {
            const struct eng_column_conf *cc = eng_config_column(s->config, p->vectors[j].name);
            const struct eng_column *c = &s->table.columns[cc->id];
            uint32_t vh[2] = {cc->id, c->row_bytes};
            memcpy(w, vh, 8);
            w += 8;
            memset(w + pad8(c->row_bytes) - 8, 0, 8);
            eng_column_prepare(c, p->vectors[j].data, tmp);
            eng_column_encode(c, tmp, w);
            w += pad8(c->row_bytes);
        }
        if (p->payload.n) {
            memset(w + pad8(p->payload.n) - 8, 0, 8);
            memcpy(w, p->payload.p, p->payload.n);
            w += pad8(p->payload.n);
        }
    }
    *out = (struct sx_str){(const char *)body, (uint32_t)(w - body), 0};
    return 0;
}

int eng_record_delete(const struct sx_id *ids,
                      uint32_t n,
                      struct sx_arena *arena,
                      struct sx_str *out,
                      struct sx_err *err)
{
    uint64_t total = 8 + (uint64_t)n * 24;
    uint8_t *body = total < UINT32_MAX / 2 ? sx_arena_alloc(arena, total) : NULL, *w = body;
    if (!body)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    memset(w, 0, 8);
    memcpy(w, &n, 4);
    w += 8;
    for (uint32_t i = 0; i < n; i++, w += 24) {
        memcpy(w, &ids[i].hi, 8);
        memcpy(w + 8, &ids[i].lo, 8);
        memcpy(w + 16, &ids[i].kind, 4);
        memset(w + 20, 0, 4);
    }
    *out = (struct sx_str){(const char *)body, (uint32_t)total, 0};
    return 0;
}
