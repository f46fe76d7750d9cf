/* Bodies of log records, built from requests; see record.h for the layout.
 *
 * Points are written on any worker, before the strand: everything that can be decided from the
 * configuration alone (names, dimensions, equal ids) and all copying of vectors is done here, so
 * that the strand only selects, appends and applies. */
#include "record.h"

#include <string.h>

#include "shard.h"

#include "sextant/sx_ban.h"

static uint64_t pad8(uint64_t n)
{
    return (n + 7) & ~7ull;
}

/* Appends n bytes and zeros to 8. */
static uint8_t *put(uint8_t *w, const void *p, uint64_t n)
{
    if (n)
        memcpy(w, p, n);
    memset(w + n, 0, pad8(n) - n);
    return w + pad8(n);
}

static uint8_t *put_ids(uint8_t *w, const struct sx_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, w += 24) {
        memcpy(w, &ids[i].hi, 8);
        memcpy(w + 8, &ids[i].lo, 8);
        memcpy(w + 16, &ids[i].kind, 4);
        memset(w + 20, 0, 4);
    }
    return w;
}

/* Room for a body in the arena, NULL when it is too large or memory is short. */
static uint8_t *body_room(struct sx_arena *arena, uint64_t total)
{
    return total < UINT32_MAX / 2 ? sx_arena_alloc(arena, total) : NULL;
}

/* prev[i]: the point before i with the same id, or UINT32_MAX; is_last[i]: none comes after. Open
 * addressing over the ids. */
static int
link_equal(const struct sx_args_upsert *a, struct sx_arena *arena, uint32_t **prev, uint8_t **last)
{
    uint32_t cap = 16;
    while (cap < a->n * 2)
        cap *= 2;
    uint32_t *slot = sx_arena_alloc(arena, cap * 4ull);
    uint32_t *p = sx_arena_alloc(arena, (a->n ? a->n : 1) * 4ull);
    uint8_t *l = sx_arena_alloc(arena, a->n ? a->n : 1);
    if (!slot || !p || !l)
        return SX_ENOMEM;
    memset(slot, 0xff, cap * 4ull);
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t at = (uint32_t)sx_id_hash(&a->points[i].id) & (cap - 1);
        p[i] = UINT32_MAX;
        l[i] = 1;
        for (; slot[at] != UINT32_MAX; at = (at + 1) & (cap - 1)) {
            if (sx_id_cmp(&a->points[slot[at]].id, &a->points[i].id) == 0) {
                p[i] = slot[at];
                l[slot[at]] = 0;
                break;
            }
        }
        slot[at] = i;
    }
    *prev = p;
    *last = l;
    return 0;
}

static int check_vector(const struct eng_config *config,
                        const struct sx_vec_in *v,
                        const struct eng_column_conf **out,
                        struct sx_err *err)
{
    const struct eng_column_conf *c = eng_config_column(config, v->name);
    if (!c)
        return sx_err_set(err, SX_EINPUT, "Not existing vector name error: %.*s",
                          (int)(v->name.n > 200 ? 200 : v->name.n), v->name.p);
    if (v->kind == SX_VEC_MULTI && c->kind != ENG_COL_MULTI)
        return sx_err_set(err, SX_EINPUT, "Conversion between multi and regular vectors failed");
    if ((v->kind == SX_VEC_SPARSE) != (c->kind == ENG_COL_SPARSE))
        return sx_err_set(err, SX_EINPUT, "Conversion between sparse and regular vectors failed");
    if (c->kind != ENG_COL_SPARSE && v->dim != c->dim)
        return sx_err_set(err, SX_EINPUT, "Vector dimension error: expected dim: %u, got %u",
                          c->dim, v->dim);
    *out = c;
    return 0;
}

static uint8_t *
put_vector(const struct eng_column *c, uint8_t *w, const struct sx_vec_in *v, float *tmp)
{
    uint64_t n = eng_column_bytes(c, v);
    uint32_t head[2] = {c->conf->id, (uint32_t)n};
    memcpy(w, head, 8);
    eng_column_store(c, v, tmp, w + 8);
    memset(w + 8 + n, 0, pad8(n) - n);
    return w + 8 + pad8(n);
}

/* The vectors of point i, and where they are merged those of its earlier occurrences whose names
 * did not come again. Returns how many. */
static uint32_t put_vectors(const struct eng_shard *s,
                            const struct eng_config *config,
                            const struct sx_args_upsert *a,
                            uint32_t i,
                            const uint32_t *prev,
                            uint8_t **w,
                            float *tmp)
{
    uint64_t have[(ENG_MAX_COLUMNS + 63) / 64] = {0};
    uint32_t n = 0;
    for (; i != UINT32_MAX; i = prev ? prev[i] : UINT32_MAX) {
        const struct sx_point_in *p = &a->points[i];
        for (uint32_t j = p->n_vectors; j-- > 0;) {
            uint32_t slot = eng_config_column(config, p->vectors[j].name)->slot;
            if (have[slot >> 6] >> (slot & 63) & 1)
                continue;
            have[slot >> 6] |= 1ull << (slot & 63);
            *w = put_vector(s->table.columns[slot], *w, &p->vectors[j], tmp);
            n++;
        }
    }
    return n;
}

/* Checks everything; bytes an upper bound of the body. */
static int measure(const struct eng_shard *s,
                   const struct eng_config *config,
                   const struct sx_args_upsert *a,
                   uint64_t *bytes,
                   uint64_t *dim_max,
                   struct sx_err *err)
{
    *bytes = 8;
    *dim_max = 1;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct sx_point_in *p = &a->points[i];
        *bytes += 32 + pad8(p->payload.n);
        for (uint32_t j = 0; j < p->n_vectors; j++) {
            const struct eng_column_conf *c = NULL;
            int rc = check_vector(config, &p->vectors[j], &c, err);
            if (rc != 0)
                return rc;
            *bytes += 8 + pad8(eng_column_bytes(s->table.columns[c->slot], &p->vectors[j]));
            if (c->dim > *dim_max)
                *dim_max = c->dim;
        }
    }
    return *bytes > UINT32_MAX / 2 ? sx_err_set(err, SX_EBADREQ, "the update is too large") : 0;
}

int eng_record_points(struct eng_shard *s,
                      const struct eng_config *config,
                      const struct sx_args_upsert *args,
                      int is_update,
                      struct sx_arena *arena,
                      struct eng_points_body *out,
                      struct sx_err *err)
{
    uint8_t *is_last;
    uint32_t *prev;
    uint64_t total, dim_max;

    if (link_equal(args, arena, &prev, &is_last) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = measure(s, config, args, &total, &dim_max, err);
    if (rc != 0)
        return rc;
    uint8_t *body = sx_arena_alloc(arena, total), *w = body + 8;
    float *tmp = sx_arena_alloc_aligned(arena, dim_max * sizeof(float), 64);
    struct sx_id *ids = sx_arena_alloc(arena, (args->n + 1ull) * sizeof(*ids));
    uint32_t *at = sx_arena_alloc(arena, (args->n + 1ull) * 4);
    if (!body || !tmp || !ids || !at)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    *out = (struct eng_points_body){.ids = ids, .at = at, .config = config};
    for (uint32_t i = 0; i < args->n; i++) {
        const struct sx_point_in *p = &args->points[i];
        if (!is_last[i])
            continue;
        uint8_t *head = w;
        w += 32;
        uint32_t n_vectors = put_vectors(s, config, args, i, is_update ? prev : NULL, &w, tmp);
        uint32_t meta[4] = {p->id.kind, n_vectors, p->payload.n, 0};
        memcpy(head, &p->id.hi, 8);
        memcpy(head + 8, &p->id.lo, 8);
        memcpy(head + 16, meta, 16);
        w = put(w, p->payload.p, p->payload.n);
        at[out->n] = (uint32_t)(head - body);
        ids[out->n++] = p->id;
    }
    at[out->n] = (uint32_t)(w - body);
    memset(body, 0, 8);
    memcpy(body, &out->n, 4);
    out->body = (struct sx_str){(const char *)body, (uint32_t)(w - body), 0};
    return 0;
}

int eng_record_points_select(const struct eng_points_body *b,
                             const uint8_t *keep,
                             struct sx_arena *arena,
                             struct sx_str *out)
{
    uint64_t total = 8;
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        if (keep[i]) {
            total += b->at[i + 1] - b->at[i];
            n++;
        }
    }
    if (n == b->n) {
        *out = b->body;
        return 0;
    }
    uint8_t *body = body_room(arena, total), *w = body;
    if (!body)
        return SX_ENOMEM;
    memset(w, 0, 8);
    memcpy(w, &n, 4);
    w += 8;
    for (uint32_t i = 0; i < b->n; i++) {
        if (keep[i])
            w = put(w, b->body.p + b->at[i], b->at[i + 1] - b->at[i]);
    }
    *out = (struct sx_str){(const char *)body, (uint32_t)total, 0};
    return 0;
}

int eng_record_delete(const struct sx_id *ids,
                      uint32_t n,
                      struct sx_arena *arena,
                      struct sx_str *out)
{
    uint64_t total = 8 + (uint64_t)n * 24;
    uint8_t *body = body_room(arena, total);
    if (!body)
        return SX_ENOMEM;
    memset(body, 0, 8);
    memcpy(body, &n, 4);
    put_ids(body + 8, ids, n);
    *out = (struct sx_str){(const char *)body, (uint32_t)total, 0};
    return 0;
}

int eng_record_vectors_drop(const uint32_t *columns,
                            uint32_t n_columns,
                            const struct sx_id *ids,
                            uint32_t n,
                            struct sx_arena *arena,
                            struct sx_str *out)
{
    uint64_t total = 8 + pad8(n_columns * 4ull) + (uint64_t)n * 24;
    uint8_t *body = body_room(arena, total);
    uint32_t head[2] = {n, n_columns};
    if (!body)
        return SX_ENOMEM;
    put_ids(put(put(body, head, 8), columns, n_columns * 4ull), ids, n);
    *out = (struct sx_str){(const char *)body, (uint32_t)total, 0};
    return 0;
}

int eng_record_payload(uint32_t kind,
                       struct sx_doc payload,
                       const struct sx_path *paths,
                       uint32_t n_paths,
                       const struct sx_id *ids,
                       uint32_t n,
                       const struct sx_mem *mem,
                       struct sx_arena *arena,
                       struct sx_str *out)
{
    struct sx_buf text;
    uint64_t total = 16 + pad8(payload.n) + (uint64_t)n * 24;
    uint32_t head[4] = {kind, n, n_paths, payload.n};

    sx_buf_init(&text, mem);
    for (uint32_t i = 0; i < n_paths; i++) {
        text.n = 0;
        sx_path_print(&paths[i], &text);
        total += 8 + pad8(text.n);
    }
    uint8_t *body = text.failed ? NULL : body_room(arena, total), *w = body;
    if (body) {
        w = put(put(w, head, 16), payload.p, payload.n);
        for (uint32_t i = 0; i < n_paths; i++) {
            text.n = 0;
            sx_path_print(&paths[i], &text);
            uint32_t meta[2] = {(uint32_t)text.n, 0};
            w = put(put(w, meta, 8), text.p, text.n);
        }
        put_ids(w, ids, n);
        *out = (struct sx_str){(const char *)body, (uint32_t)total, 0};
    }
    sx_buf_fini(&text);
    return body ? 0 : SX_ENOMEM;
}
