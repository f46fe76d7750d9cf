/* One log record staged for the table; eng_change_commit() then makes it part of it.
 *
 * The same function at run time and at replay, on the same bytes: what a restart rebuilds is what
 * was there. Replay decides nothing again: selections are ids already, points that were left out
 * are not in the record, and a record that failed when it was accepted changes nothing but takes
 * its number. */
#include <string.h>

#include "payload_edit.h"
#include "schema.h"
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

/* The rows of one record, and the bytes they point at. */
struct rows {
    struct eng_shard *shard;
    struct eng_new_row *rows;
    const void **vectors; /* n_columns of each */
    uint32_t n, cap, n_columns, needs_docs;
    struct sx_buf docs; /* payloads taken over or edited; addressed by offset until all are there */
    uint64_t *doc_at;   /* offset + 1 into docs, 0 = rows[i].payload is set already */
};

static int rows_init(struct rows *r, struct eng_shard *s, uint32_t n, struct sx_err *err)
{
    struct eng *e = s->eng;
    uint32_t nc = s->table.n_columns ? s->table.n_columns : 1;
    uint64_t one = sizeof(struct eng_new_row) + nc * sizeof(void *) + sizeof(uint64_t);
    uint8_t *mem = e->mem->zalloc(e->mem, n * one + 1);
    *r = (struct rows){.shard = s, .cap = n, .n_columns = nc};
    sx_buf_init(&r->docs, e->mem);
    if (!mem)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    r->rows = (struct eng_new_row *)(void *)mem;
    r->vectors = (const void **)(void *)(r->rows + n);
    r->doc_at = (uint64_t *)(void *)(r->vectors + (uint64_t)n * nc);
    r->needs_docs = s->table.schema->n_fields != 0;
    return 0;
}

/* The next row, all vectors NULL; the caller fills it. */
static struct eng_new_row *rows_add(struct rows *r, const struct sx_id *id, const void ***vectors)
{
    struct eng_new_row *row = &r->rows[r->n];
    *vectors = r->vectors + (uint64_t)r->n++ * r->n_columns;
    row->id = *id;
    row->from = ENG_NO_ROW;
    row->vectors = *vectors;
    return row;
}

/* The next row as the newest version of the point, with everything taken over but the payload; NULL
 * when there is no such point. */
static struct eng_new_row *rows_add_over(struct rows *r, const struct sx_id *id, const void ***vecs)
{
    uint32_t from = eng_table_find(&r->shard->table, id);
    if (from == ENG_NO_ROW)
        return NULL;
    struct eng_new_row *row = rows_add(r, id, vecs);
    row->from = from;
    for (uint32_t c = 0; c < r->shard->table.n_columns; c++)
        (*vecs)[c] = ENG_KEEP;
    return row;
}

/* The row keeps its payload; the indexes have to see it all the same. */
static int rows_keep_payload(struct rows *r, struct eng_new_row *row, struct sx_err *err)
{
    uint64_t at = r->docs.n;
    row->keeps_payload = 1;
    if (!r->needs_docs)
        return 0;
    int rc = eng_table_payload(&r->shard->table, row->from, &r->docs, err);
    row->payload.n = (uint32_t)(r->docs.n - at);
    r->doc_at[row - r->rows] = row->payload.n ? at + 1 : 0;
    return rc;
}

static int rows_stage(struct rows *r, uint64_t number, struct sx_err *err)
{
    if (r->docs.failed)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->doc_at[i])
            r->rows[i].payload.p = r->docs.p + r->doc_at[i] - 1;
    }
    return eng_table_stage_put(&r->shard->table, number, r->rows, r->n, err);
}

static void rows_fini(struct rows *r)
{
    const struct sx_mem *mem = r->shard->eng->mem;
    sx_buf_fini(&r->docs);
    mem->release(mem, r->rows);
}

static int malformed(const char *what, struct sx_err *err)
{
    return sx_err_set(err, SX_ECORRUPT, "malformed %s record", what);
}

/* --- points ----------------------------------------------------------------------------------- */

static void take_vectors(struct in *in, const struct eng_table *t, uint32_t n, const void **vectors)
{
    for (uint32_t j = 0; j < n && !in->bad; j++) {
        const uint8_t *vh = take(in, 8);
        uint32_t col = vh ? eng_table_slot(t, u32_at(vh, 0)) : UINT32_MAX;
        const uint8_t *v = vh ? take(in, u32_at(vh, 4)) : NULL;
        if (!v || col == UINT32_MAX || !eng_column_fits(t->columns[col], v, u32_at(vh, 4))) {
            in->bad = 1;
            return;
        }
        vectors[col] = v; /* its length stands right before it */
    }
}

static int
stage_points(struct eng_shard *s, uint64_t number, struct in *in, int is_update, struct sx_err *err)
{
    const uint8_t *head = take(in, 8);
    uint32_t n = head ? u32_at(head, 0) : 0;
    struct rows r;
    if (in->bad || n > (uint64_t)(in->end - in->p) / 32)
        return malformed("point", err);
    int rc = rows_init(&r, s, n, err);
    for (uint32_t i = 0; rc == 0 && i < n && !in->bad; i++) {
        const uint8_t *p = take(in, 32);
        const void **v = NULL;
        if (!p)
            break;
        struct sx_id id = id_at(p);
        uint32_t n_payload = u32_at(p, 24);
        struct eng_new_row *row = is_update ? rows_add_over(&r, &id, &v) : rows_add(&r, &id, &v);
        if (!row || (is_update && n_payload != 0)) {
            in->bad = 1;
            break;
        }
        take_vectors(in, &s->table, u32_at(p, 20), v);
        const uint8_t *payload = n_payload ? take(in, n_payload) : NULL;
        if (payload)
            row->payload = (struct sx_str){(const char *)payload, n_payload, 0};
        if (is_update)
            rc = rows_keep_payload(&r, row, err);
    }
    if (rc == 0)
        rc = in->bad ? malformed("point", err) : rows_stage(&r, number, err);
    rows_fini(&r);
    return rc;
}

/* --- ids -------------------------------------------------------------------------------------- */

/* n ids out of the body, owned; NULL with in->bad, or when memory is short. */
static struct sx_id *take_ids(struct eng *e, struct in *in, uint32_t n)
{
    if (in->bad || n > (uint64_t)(in->end - in->p) / 24) {
        in->bad = 1;
        return NULL;
    }
    struct sx_id *ids = e->mem->alloc(e->mem, (n + 1ull) * sizeof(*ids));
    for (uint32_t i = 0; ids && i < n; i++)
        ids[i] = id_at(take(in, 24));
    return ids;
}

static int no_ids(const struct in *in, const char *what, struct sx_err *err)
{
    return in->bad ? malformed(what, err) : sx_err_set(err, SX_ENOMEM, "out of memory");
}

static int stage_delete(struct eng_shard *s, uint64_t number, struct in *in, struct sx_err *err)
{
    struct eng *e = s->eng;
    const uint8_t *head = take(in, 8);
    uint32_t n = head ? u32_at(head, 0) : 0;
    struct sx_id *ids = take_ids(e, in, n);
    if (!ids)
        return no_ids(in, "delete", err);
    int rc = eng_table_stage_kill(&s->table, number, ids, n, err);
    e->mem->release(e->mem, ids);
    return rc;
}

static int
stage_vectors_drop(struct eng_shard *s, uint64_t number, struct in *in, struct sx_err *err)
{
    struct eng *e = s->eng;
    const uint8_t *head = take(in, 8);
    uint32_t n = head ? u32_at(head, 0) : 0, nc = head ? u32_at(head, 4) : 0;
    const uint8_t *columns = take(in, nc * 4ull);
    for (uint32_t c = 0; c < nc && !in->bad; c++)
        in->bad = eng_table_slot(&s->table, u32_at(columns, c * 4)) == UINT32_MAX;
    struct sx_id *ids = take_ids(e, in, n);
    struct rows r;
    if (!ids)
        return no_ids(in, "vector delete", err);
    int rc = rows_init(&r, s, n, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const void **v;
        struct eng_new_row *row = rows_add_over(&r, &ids[i], &v);
        if (!row) {
            rc = malformed("vector delete", err);
            break;
        }
        for (uint32_t c = 0; c < nc; c++)
            v[eng_table_slot(&s->table, u32_at(columns, c * 4))] = NULL;
        rc = rows_keep_payload(&r, row, err);
    }
    if (rc == 0)
        rc = rows_stage(&r, number, err);
    rows_fini(&r);
    e->mem->release(e->mem, ids);
    return rc;
}

/* --- payload ---------------------------------------------------------------------------------- */

struct edit {
    uint32_t kind, n_paths;
    struct sx_doc payload;
    struct sx_path *paths;
    struct sx_arena arena;
    struct sx_docb docb;
    struct sx_buf old;
};

static int take_edit(struct eng *e, struct in *in, struct edit *ed, uint32_t *n, struct sx_err *err)
{
    const uint8_t *head = take(in, 16);
    uint32_t n_payload = head ? u32_at(head, 12) : 0;
    *n = head ? u32_at(head, 4) : 0;
    ed->kind = head ? u32_at(head, 0) : 0;
    ed->n_paths = head ? u32_at(head, 8) : 0;
    const uint8_t *payload = take(in, n_payload);
    if (in->bad || ed->n_paths > (uint64_t)(in->end - in->p) / 8 || ed->kind < ENG_PAYLOAD_SET ||
        ed->kind > ENG_PAYLOAD_CLEAR || (n_payload && sx_doc_check(payload, n_payload) != 0))
        return malformed("payload", err);
    ed->payload = (struct sx_doc){n_payload ? payload : NULL, n_payload, 0};
    ed->paths = sx_arena_alloc(&ed->arena, (ed->n_paths + 1ull) * sizeof(*ed->paths));
    if (!ed->paths)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < ed->n_paths; i++) {
        const uint8_t *ph = take(in, 8), *text = ph ? take(in, u32_at(ph, 0)) : NULL;
        if (!text)
            return malformed("payload", err);
        int rc = sx_path_parse(&ed->arena, (struct sx_str){(const char *)text, u32_at(ph, 0), 0},
                               &ed->paths[i], err);
        if (rc != 0)
            return rc;
    }
    (void)e;
    return 0;
}

/* The new payload of one point goes to r->docs. */
static int edit_one(struct edit *ed, struct rows *r, struct eng_new_row *row, struct sx_err *err)
{
    struct eng *e = r->shard->eng;
    struct sx_doc next = ed->payload;
    int rc = 0;
    if (ed->kind == ENG_PAYLOAD_SET || ed->kind == ENG_PAYLOAD_DELETE) {
        ed->old.n = 0;
        rc = eng_table_payload(&r->shard->table, row->from, &ed->old, err);
        if (rc != 0)
            return rc;
        struct sx_doc old = {ed->old.n ? (const uint8_t *)ed->old.p : NULL, (uint32_t)ed->old.n, 0};
        sx_docb_reset(&ed->docb);
        rc = ed->kind == ENG_PAYLOAD_SET
                 ? eng_payload_set(e->mem, old, ed->payload, ed->n_paths ? ed->paths : NULL,
                                   &ed->docb)
                 : eng_payload_delete(e->mem, old, ed->paths, ed->n_paths, &ed->docb);
        next = rc == 0 ? sx_docb_end(&ed->docb) : next;
        if (rc != 0 || !next.p)
            return sx_err_set(err, rc ? rc : SX_ENOMEM, "the payload cannot be edited");
    }
    if (ed->kind == ENG_PAYLOAD_CLEAR || sx_doc_count(next) == 0)
        return 0;
    while (r->docs.n % 8)
        sx_buf_addc(&r->docs, 0);
    r->doc_at[row - r->rows] = r->docs.n + 1;
    row->payload.n = next.n;
    sx_buf_add(&r->docs, next.p, next.n);
    return 0;
}

static int stage_payload(struct eng_shard *s, uint64_t number, struct in *in, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct edit ed = {0};
    struct sx_id *ids = NULL;
    struct rows r = {.shard = s};
    uint32_t n = 0;
    sx_arena_init(&ed.arena, e->mem, 0);
    sx_docb_init(&ed.docb, e->mem, 0);
    sx_buf_init(&ed.old, e->mem);
    int rc = take_edit(e, in, &ed, &n, err);
    if (rc == 0 && !(ids = take_ids(e, in, n)))
        rc = no_ids(in, "payload", err);
    if (rc == 0)
        rc = rows_init(&r, s, n, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const void **v;
        struct eng_new_row *row = rows_add_over(&r, &ids[i], &v);
        rc = row ? edit_one(&ed, &r, row, err) : malformed("payload", err);
    }
    if (rc == 0)
        rc = rows_stage(&r, number, err);
    rows_fini(&r);
    e->mem->release(e->mem, ids);
    sx_buf_fini(&ed.old);
    sx_docb_fini(&ed.docb);
    sx_arena_fini(&ed.arena);
    return rc;
}

/* --- schema ----------------------------------------------------------------------------------- */

static int stage_schema(struct eng_shard *s, const struct eng_wal_record *rec, struct sx_err *err)
{
    struct sx_doc change = {rec->body, rec->n, 0};
    if (sx_doc_check(rec->body, rec->n) != 0)
        return malformed("schema", err);
    eng_table_stage_nothing(&s->table, rec->number);
    switch (rec->type) {
    case ENG_REC_FIELD_CREATE:
        return eng_schema_stage_create(s, rec->number, change, err);
    case ENG_REC_FIELD_DROP:
        return eng_schema_stage_drop(s, rec->number, change, err);
    case ENG_REC_COLUMN_CREATE:
        return eng_schema_stage_column(s, change, err);
    default:
        return eng_schema_stage_column_drop(s, change, err);
    }
}

int eng_change_stage(struct eng_shard *s, const struct eng_wal_record *r, struct sx_err *err)
{
    const uint8_t *body = r->body;
    struct in in = {body, body + r->n, 0};
    switch (r->type) {
    case ENG_REC_UPSERT:
        return stage_points(s, r->number, &in, 0, err);
    case ENG_REC_VECTORS:
        return stage_points(s, r->number, &in, 1, err);
    case ENG_REC_DELETE:
        return stage_delete(s, r->number, &in, err);
    case ENG_REC_VECTORS_DROP:
        return stage_vectors_drop(s, r->number, &in, err);
    case ENG_REC_PAYLOAD:
        return stage_payload(s, r->number, &in, err);
    case ENG_REC_FIELD_CREATE:
    case ENG_REC_FIELD_DROP:
    case ENG_REC_COLUMN_CREATE:
    case ENG_REC_COLUMN_DROP:
        return stage_schema(s, r, err);
    case ENG_REC_FAILED:
    case ENG_REC_NOTHING:
        eng_table_stage_nothing(&s->table, r->number);
        return 0;
    default:
        return sx_err_set(err, SX_ECORRUPT, "operation %llu is of unknown type %u",
                          (unsigned long long)r->number, r->type);
    }
}

void eng_change_commit(struct eng_shard *s)
{
    eng_table_commit(&s->table);
    eng_schema_commit(s);
}

void eng_change_abort(struct eng_shard *s)
{
    eng_table_abort(&s->table);
    eng_schema_abort(s);
}
