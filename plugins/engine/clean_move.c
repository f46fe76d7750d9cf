/* Putting living rows again that have something in a victim; see clean.h.
 *
 * What lies elsewhere is kept: a row whose vectors' chunk goes takes its payload's place along.
 * Bytes are read through the stores' own checks (payload, blobs) or copied as they are (rows,
 * locations, vectors of fixed size: the pass has verified their chunks). */
#include <string.h>

#include "clean.h"
#include "schema.h"

#include "sextant/sx_ban.h"

#define MOVE_BYTES (4u << 20) /* in one go, when points are large */

struct move {
    struct eng_shard *shard;
    struct eng_new_row *rows;
    const void **vectors; /* n_columns of each */
    uint32_t n, cap, n_columns;
    struct sx_buf bytes; /* payloads and blobs; addressed by offset until all are there */
    struct fix {
        uint32_t row, column; /* column UINT32_MAX: the payload */
        uint64_t at;
    } * fix;
    uint32_t n_fix;
};

static int is_victim(const struct eng_units *u, uint32_t i)
{
    return i < u->n && u->at[i].is_victim;
}

static int append_bytes(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct sx_buf *b = arg;
    uint32_t head[2] = {n, n}; /* the length stands right before the bytes, which are 8-aligned */
    (void)i;
    sx_buf_add(b, head, sizeof(head));
    sx_buf_add(b, p, n);
    while (b->n % 8)
        sx_buf_addc(b, 0);
    return b->failed ? SX_ENOMEM : 0;
}

/* Copies a blob behind the others; the pointer to it is set when all are there. */
static int
take_blob(struct move *m, void *store, sx_locator at, uint32_t column, struct sx_err *err)
{
    const struct sx_provider *bp = m->shard->table.blobs_p;
    struct fix *f = &m->fix[m->n_fix++];
    *f = (struct fix){m->n, column, m->bytes.n + 8};
    int rc = ((const struct sx_blobs_ops *)bp->ops)
                 ->get(bp->self, store, &at, 1, append_bytes, &m->bytes, err);
    return rc == SX_ENOMEM ? sx_err_set(err, rc, "out of memory") : rc;
}

/* 1 when the row has something in a victim. */
static int is_affected(const struct eng_table *t, uint32_t row)
{
    const struct eng_row *r = eng_table_row(t, row);
    if (is_victim(&t->chunks, row >> SX_CHUNK_SHIFT) ||
        (r->payload != ENG_NO_BLOB && is_victim(&t->segments, (uint32_t)(r->payload >> 32))))
        return 1;
    for (uint32_t i = 0; i < t->n_columns; i++) {
        const struct eng_column *c = t->columns[i];
        uint32_t node = c ? eng_table_loc(t, i, row) : ENG_NO_LOC;
        if (node == ENG_NO_LOC)
            continue;
        if (is_victim(&c->nodes, node >> SX_CHUNK_SHIFT) ||
            (c->blobs && is_victim(&c->segments, (uint32_t)(eng_column_locator(c, node) >> 32))))
            return 1;
    }
    return 0;
}

static int
take_vector(struct move *m, uint32_t i, uint32_t row, const void **out, struct sx_err *err)
{
    const struct eng_table *t = &m->shard->table;
    const struct eng_column *c = t->columns[i];
    uint32_t node = c ? eng_table_loc(t, i, row) : ENG_NO_LOC;
    *out = node == ENG_NO_LOC ? NULL : ENG_KEEP;
    if (node == ENG_NO_LOC)
        return 0;
    int goes = is_victim(&c->nodes, node >> SX_CHUNK_SHIFT);
    if (c->blobs) {
        sx_locator at = eng_column_locator(c, node);
        goes = goes || is_victim(&c->segments, (uint32_t)(at >> 32));
        return goes ? take_blob(m, c->blobs, at, i, err) : 0;
    }
    struct sx_rows vec;
    ((const struct sx_rows_ops *)c->rows_p->ops)->rows(c->rows_p->self, c->vec, &vec);
    if (goes) /* the chunk stays while we are on the strand */
        *out = sx_rows_at(&vec, node);
    return 0;
}

static int take_row(struct move *m, uint32_t row, struct sx_err *err)
{
    const struct eng_table *t = &m->shard->table;
    const struct eng_row *r = eng_table_row(t, row);
    struct eng_new_row *out = &m->rows[m->n];
    const void **v = m->vectors + (uint64_t)m->n * m->n_columns;
    int rc = 0;
    eng_row_id(r, &out->id);
    out->version = r->version;
    out->from = row;
    out->vectors = v;
    if (r->payload != ENG_NO_BLOB) {
        out->keeps_payload = !is_victim(&t->segments, (uint32_t)(r->payload >> 32));
        if (!out->keeps_payload || t->schema->n_fields)
            rc = take_blob(m, t->payload, r->payload, UINT32_MAX, err);
    } else {
        out->keeps_payload = 1;
    }
    for (uint32_t i = 0; rc == 0 && i < t->n_columns; i++)
        rc = take_vector(m, i, row, &v[i], err);
    m->n++;
    return rc;
}

static void fix_pointers(struct move *m)
{
    for (uint32_t i = 0; i < m->n_fix; i++) {
        const struct fix *f = &m->fix[i];
        const char *p = m->bytes.p + f->at;
        uint32_t n;
        memcpy(&n, p - 4, 4);
        if (f->column == UINT32_MAX)
            m->rows[f->row].payload = (struct sx_str){p, n, 0};
        else
            m->vectors[(uint64_t)f->row * m->n_columns + f->column] = p;
    }
}

static int move_init(struct move *m, struct eng_shard *s, uint32_t n)
{
    const struct sx_mem *mem = s->eng->mem;
    uint32_t nc = s->table.n_columns ? s->table.n_columns : 1;
    uint64_t one =
        sizeof(struct eng_new_row) + nc * sizeof(void *) + (nc + 1ull) * sizeof(struct fix);
    *m = (struct move){.shard = s, .cap = n, .n_columns = nc};
    sx_buf_init(&m->bytes, mem);
    m->rows = mem->zalloc(mem, n * one);
    m->vectors = (const void **)(void *)(m->rows + n);
    m->fix = (struct fix *)(void *)(m->vectors + (uint64_t)n * nc);
    return m->rows ? 0 : SX_ENOMEM;
}

static int move_apply(struct move *m, struct sx_err *err)
{
    struct eng_shard *s = m->shard;
    struct eng_table *t = &s->table;
    if (m->bytes.failed)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    fix_pointers(m);
    int rc = eng_table_stage_put(t, t->commit, m->rows, m->n, err);
    if (rc != 0)
        return rc;
    if (eng_shard_publish_room(s) != 0) {
        eng_table_abort(t);
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    s->moves++;
    eng_table_commit(t);
    eng_shard_publish(s);
    return 0;
}

int eng_clean_move(
    struct eng_shard *s, uint32_t *at, uint32_t max_rows, uint32_t max_moves, struct sx_err *err)
{
    struct eng_table *t = &s->table;
    uint32_t row = *at, chunk = row >> SX_CHUNK_SHIFT;
    uint32_t end = (chunk << SX_CHUNK_SHIFT) + t->chunks.at[chunk].fill;
    uint64_t bytes = 0;
    struct move m;
    if (end - row > max_rows)
        end = row + max_rows;
    if (move_init(&m, s, max_moves) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = 0;
    for (; rc == 0 && row < end && m.n < m.cap && bytes < MOVE_BYTES; row++) {
        if (eng_table_is_dead(t, row) || !is_affected(t, row))
            continue;
        rc = take_row(&m, row, err);
        bytes = m.bytes.n;
        for (uint32_t i = 0; i < t->n_columns; i++)
            bytes += t->columns[i] ? (uint64_t)m.n * t->columns[i]->row_bytes : 0;
    }
    if (rc == 0 && m.n)
        rc = move_apply(&m, err);
    if (rc == 0) {
        *at = row;
        rc = (int)m.n;
    }
    sx_buf_fini(&m.bytes);
    s->eng->mem->release(s->eng->mem, m.rows);
    return rc;
}
