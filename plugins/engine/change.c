/* One log record staged for the table; eng_table_commit() then makes it part of it.
 *
 * The same function at run time and at replay, on the same bytes: what a restart rebuilds is what
 * was there. Replay decides nothing again; a record that failed when it was accepted changes
 * nothing but takes its number. */
#include <string.h>

#include "shard.h"

#include "sextant/sx_ban.h"

/* Bounds-checked reading of a body. */
struct in {
    const uint8_t *p, *end;
    int bad;
};

static const uint8_t *take(struct in *in, uint64_t n)
{
    uint64_t padded = (n + 7) & ~7ull;
    if (in->bad || padded > (uint64_t)(in->end - in->p)) {
        in->bad = 1;
        return NULL;
    }
    const uint8_t *p = in->p;
    in->p += padded;
    return p;
}

static uint32_t u32_at(const uint8_t *p, uint32_t off)
{
    uint32_t v;
    memcpy(&v, p + off, 4);
    return v;
}

static struct sx_id id_at(const uint8_t *p)
{
    struct sx_id id = {0, 0, u32_at(p, 16), 0};
    memcpy(&id.hi, p, 8);
    memcpy(&id.lo, p + 8, 8);
    return id;
}

static int stage_upsert(struct eng_shard *s, uint64_t number, struct in *in, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    const uint8_t *head = take(in, 8);
    uint32_t n = head ? u32_at(head, 0) : 0, nc = t->n_columns ? t->n_columns : 1;
    if (in->bad || n > (uint64_t)(in->end - in->p) / 32)
        return sx_err_set(err, SX_ECORRUPT, "malformed upsert record");
    uint8_t *mem =
        e->mem->zalloc(e->mem, n * (sizeof(struct eng_new_row) + nc * sizeof(void *)) + 1);
    if (!mem)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    struct eng_new_row *rows = (struct eng_new_row *)(void *)mem;
    const void **vecs = (const void **)(void *)(rows + n);

    for (uint32_t i = 0; i < n && !in->bad; i++) {
        const uint8_t *p = take(in, 32);
        const void **v = vecs + (uint64_t)i * nc;
        if (!p)
            break;
        rows[i].id = id_at(p);
        rows[i].vectors = v;
        uint32_t n_vec = u32_at(p, 20), n_payload = u32_at(p, 24);
        for (uint32_t j = 0; j < n_vec && !in->bad; j++) {
            const uint8_t *vh = take(in, 8);
            uint32_t col = vh ? u32_at(vh, 0) : UINT32_MAX;
            if (col >= t->n_columns || u32_at(vh, 4) != t->columns[col].row_bytes) {
                in->bad = 1;
                break;
            }
            v[col] = take(in, t->columns[col].row_bytes);
        }
        const uint8_t *payload = n_payload ? take(in, n_payload) : NULL;
        if (payload)
            rows[i].payload = (struct sx_str){(const char *)payload, n_payload, 0};
    }
    int rc = in->bad ? sx_err_set(err, SX_ECORRUPT, "malformed upsert record")
                     : eng_table_stage_put(t, number, rows, n, err);
    e->mem->release(e->mem, mem);
    return rc;
}

static int stage_delete(struct eng_shard *s, uint64_t number, struct in *in, struct sx_err *err)
{
    struct eng *e = s->eng;
    const uint8_t *head = take(in, 8);
    uint32_t n = head ? u32_at(head, 0) : 0;
    if (in->bad || n > (uint64_t)(in->end - in->p) / 24)
        return sx_err_set(err, SX_ECORRUPT, "malformed delete record");
    struct sx_id *ids = e->mem->alloc(e->mem, (n ? n : 1) * sizeof(*ids));
    if (!ids)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        ids[i] = id_at(take(in, 24));
    int rc = eng_table_stage_kill(&s->table, number, ids, n, err);
    e->mem->release(e->mem, ids);
    return rc;
}

int eng_change_stage(struct eng_shard *s, const struct eng_wal_record *r, struct sx_err *err)
{
    const uint8_t *body = r->body;
    struct in in = {body, body + r->n, 0};
    switch (r->type) {
    case ENG_REC_UPSERT:
        return stage_upsert(s, r->number, &in, err);
    case ENG_REC_DELETE:
        return stage_delete(s, r->number, &in, err);
    case ENG_REC_FAILED:
        eng_table_stage_nothing(&s->table, r->number);
        return 0;
    default:
        return sx_err_set(err, SX_ECORRUPT, "operation %llu is of unknown type %u",
                          (unsigned long long)r->number, r->type);
    }
}
