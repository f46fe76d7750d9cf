/* A change in two steps: stage, which may fail, and commit or abort, which may not. See table.h.
 *
 * Threads: the writer. */
#include <string.h>

#include "field.h"
#include "schema.h"
#include "table_priv.h"

#include "sextant/sx_ban.h"

/* Every index takes in the payloads of the staged rows. */
static int stage_fields(struct eng_table *t,
                        const struct eng_new_row *rows,
                        uint32_t n,
                        struct sx_doc *docs,
                        struct sx_err *err)
{
    int rc = 0;
    uint32_t i;
    for (i = 0; i < n; i++)
        docs[i] = rows[i].payload.n
                      ? (struct sx_doc){(const uint8_t *)rows[i].payload.p, rows[i].payload.n, 0}
                      : (struct sx_doc){NULL, 0, 0};
    for (i = 0; rc == 0 && i < t->schema->n_fields; i++) {
        const uint32_t *at = t->staged.rows;
        for (uint32_t k = 0, run; rc == 0 && k < n; k += run) {
            for (run = 1; k + run < n && at[k + run] == at[k] + run;)
                run++;
            rc = eng_field_stage(t->schema->fields[i]->field, at[k], run, docs + k, err);
        }
    }
    if (rc != 0) {
        for (i--; i-- > 0;)
            eng_field_abort(t->schema->fields[i]->field);
    }
    t->staged.has_fields = rc == 0;
    return rc;
}

/* Memory of a change of n rows: one block, cut up here. */
struct put_mem {
    struct eng_row *rows;
    sx_locator *locs;
    struct sx_str *blobs;
    struct sx_id *ids;
    struct sx_doc *docs;
};

static int put_begin(struct eng_table *t,
                     uint64_t number,
                     const struct eng_new_row *rows,
                     uint32_t n,
                     struct put_mem *m,
                     struct sx_err *err)
{
    struct eng_staged *st = &t->staged;
    uint64_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < t->n_columns; c++)
            n_kept += rows[i].vectors[c] == ENG_KEEP;
    }
    uint64_t one = sizeof(*m->rows) + sizeof(*m->locs) + sizeof(*m->blobs) + sizeof(*m->ids) +
                   sizeof(*m->docs) + sizeof(void *) + (2ull + t->n_columns) * 4;
    uint8_t *mem = t->eng->mem->alloc(t->eng->mem, n * one + n_kept * sizeof(struct eng_kept) + 64);
    if (!mem)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    memset(st, 0, sizeof(*st));
    m->rows = (struct eng_row *)(void *)mem;
    m->locs = (sx_locator *)(m->rows + n);
    m->blobs = (struct sx_str *)(m->locs + n);
    m->ids = (struct sx_id *)(m->blobs + n);
    m->docs = (struct sx_doc *)(void *)(m->ids + n);
    st->number = number;
    st->mem = mem;
    st->ids = (const struct sx_id **)(void *)(m->docs + n);
    st->kept = (struct eng_kept *)(void *)(st->ids + n);
    st->old = (uint32_t *)(void *)(st->kept + n_kept);
    st->rows = st->old + n;
    for (uint32_t c = 0; c < t->n_columns; c++)
        st->columns[c].nodes = st->rows + (1ull + c) * n;
    st->taker = eng_units_taker(&t->chunks);
    for (uint32_t i = 0; i < n; i++) {
        m->ids[i] = rows[i].id;
        st->ids[i] = &m->ids[i];
        st->old[i] = eng_table_find(t, &rows[i].id);
        st->rows[i] = eng_units_take(&t->chunks, &st->taker);
        if (st->rows[i] == UINT32_MAX)
            return sx_err_set(err, SX_ENOSPACE, "the shard's row numbers are used up");
    }
    st->n_old = st->n_new = n;
    return 0;
}

static int put_room(struct eng_table *t, uint32_t n, struct sx_err *err)
{
    int rc = eng_units_room(&t->chunks, eng_table_view_chunks(t));
    if (rc == 0)
        rc = eng_ids_reserve(t->ids, n);
    if (rc == 0)
        rc = eng_table_cover_sides(t, eng_table_view_chunks(t));
    return rc == 0 ? eng_table_kill_room(t, t->staged.old, n, err)
                   : sx_err_set(err, rc, rc == SX_ENOSPACE ? "too many points" : "out of memory");
}

/* Does the new version of a point, or a new point, stay hidden? */
static uint32_t held(const struct eng_table *t, struct eng_staged *st, uint32_t i)
{
    const struct eng_config *c = t->schema->config;
    int is = st->old[i] != ENG_NO_ROW ? eng_row_is_hidden(eng_table_row(t, st->old[i]), c)
                                      : t->n_live - t->n_hidden + st->n_shown >= c->most_shown;
    is = is && st->number > c->shown_to; /* a replay comes by what was shown since */
    st->n_shown += st->old[i] == ENG_NO_ROW && !is;
    st->n_hidden += (uint32_t)is;
    return is ? ENG_ROW_HELD : 0;
}

int eng_table_stage_put(struct eng_table *t,
                        uint64_t number,
                        const struct eng_new_row *rows,
                        uint32_t n,
                        struct sx_err *err)
{
    struct eng_staged *st = &t->staged;
    struct put_mem m = {0};
    if (n == 0) { /* selected nothing */
        eng_table_stage_nothing(t, number);
        return 0;
    }
    int rc = put_begin(t, number, rows, n, &m, err);
    if (rc == 0)
        rc = put_room(t, n, err);
    for (uint32_t c = 0; rc == 0 && c < t->n_columns; c++) {
        if (t->columns[c])
            rc = eng_table_put_column(t, c, rows, n, err);
    }
    if (rc == 0)
        rc = eng_table_put_payloads(t, rows, n, m.locs, m.blobs, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        uint32_t room = rows[i].keeps_payload
                            ? eng_table_row(t, rows[i].from)->flags >> ENG_ROW_ROOM_SHIFT
                        : rows[i].payload.n ? (uint32_t)(eng_blob_room(rows[i].payload.n) / 8)
                                            : 0;
        m.rows[i] = (struct eng_row){rows[i].id.hi,
                                     rows[i].id.lo,
                                     rows[i].version ? rows[i].version : number,
                                     m.locs[i],
                                     eng_ids_find(t->ids, &rows[i].id),
                                     (rows[i].id.kind == SX_ID_UUID ? ENG_ROW_UUID : 0) |
                                         held(t, st, i) | room << ENG_ROW_ROOM_SHIFT};
    }
    if (rc == 0)
        rc = eng_table_append(t->rows_p, t->rows, m.rows, sizeof(*m.rows), st->rows, n, err);
    if (rc == 0 && t->schema->n_fields)
        rc = stage_fields(t, rows, n, m.docs, err);
    if (rc != 0)
        eng_table_abort(t);
    return rc;
}

int eng_table_stage_kill(
    struct eng_table *t, uint64_t number, const struct sx_id *ids, uint32_t n, struct sx_err *err)
{
    struct eng *e = t->eng;
    uint32_t *rows = e->mem->alloc(e->mem, (n ? n : 1) * 4ull);
    if (!rows)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        rows[i] = eng_table_find(t, &ids[i]);
    t->staged.number = number;
    t->staged.mem = rows;
    t->staged.old = rows;
    t->staged.n_old = n;
    int rc = eng_table_kill_room(t, rows, n, err);
    if (rc != 0)
        eng_table_abort(t);
    return rc;
}

void eng_table_stage_nothing(struct eng_table *t, uint64_t number)
{
    t->staged.number = number;
}

/* New nodes, for the index to be told of; there is room. */
static void unlinked_add(struct eng_column *c, const uint32_t *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct eng_run *last = c->n_unlinked ? &c->unlinked[c->n_unlinked - 1] : NULL;
        if (last && last->first + last->n == nodes[i])
            last->n++;
        else
            c->unlinked[c->n_unlinked++] = (struct eng_run){nodes[i], 1};
    }
}

static void commit_units(struct eng_table *t)
{
    struct eng_staged *st = &t->staged;
    uint32_t is_low = 0;
    for (uint32_t i = 0; st->n_new && i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        for (uint32_t k = 0; c && k < st->columns[i].n; k++) {
            uint32_t node = st->columns[i].nodes[k];
            eng_units_put(&c->nodes, node);
            if (c->blobs)
                eng_units_keep_blob(&c->segments, (uint32_t)(eng_column_locator(c, node) >> 32),
                                    st->columns[i].room);
        }
        if (!c)
            continue;
        unlinked_add(c, st->columns[i].nodes, st->columns[i].n);
        eng_units_taken(&c->nodes, &st->columns[i].taker);
    }
    for (uint32_t i = 0; i < st->n_kept; i++) {
        struct eng_column *c = t->columns[st->kept[i].column];
        eng_units_keep(&c->nodes, st->kept[i].node);
        if (c->blobs)
            eng_units_keep_blob(&c->segments,
                                (uint32_t)(eng_column_locator(c, st->kept[i].node) >> 32), 0);
    }
    for (uint32_t i = 0; i < st->n_new; i++) {
        const struct eng_row *r = eng_table_row(t, st->rows[i]);
        eng_units_put(&t->chunks, st->rows[i]);
        if (r->payload != ENG_NO_BLOB)
            eng_units_keep_blob(&t->segments, (uint32_t)(r->payload >> 32),
                                (r->flags >> ENG_ROW_ROOM_SHIFT) * 8ull);
        is_low |= st->rows[i] < t->n_rows;
        if (st->rows[i] >= t->n_rows)
            t->n_rows = st->rows[i] + 1;
    }
    if (st->n_new)
        eng_units_taken(&t->chunks, &st->taker);
    t->n_low += is_low;
}

void eng_table_commit(struct eng_table *t)
{
    struct eng_staged *st = &t->staged;
    t->tick++;
    commit_units(t); /* before the deaths: what is kept must not count as gone in between */
    for (uint32_t i = 0; i < st->n_old; i++) {
        /* Dead already when an id to delete was named twice. */
        if (st->old[i] != ENG_NO_ROW && !eng_table_is_dead(t, st->old[i]))
            eng_table_kill(t, st->old[i]);
    }
    if (st->n_new) {
        for (uint32_t i = 0; i < st->n_new; i++)
            eng_ids_put(t->ids, st->ids[i], st->rows[i]);
        eng_ids_commit(t->ids);
        for (uint32_t i = 0; i < t->n_columns; i++) {
            struct eng_column *c = t->columns[i];
            if (!c)
                continue;
            uint32_t end = eng_units_end(&c->nodes);
            /* pairs with source_count() */
            __atomic_store_n(&c->n_nodes, end > c->n_nodes ? end : c->n_nodes, __ATOMIC_RELEASE);
            c->in_step = c->next_in_step;
        }
        /* Not earlier: numbers of nodes come back, so a search may look at one of them, and the row
         * it leads to has to be there. */
        for (uint32_t k = 0; k < t->n_columns; k++) {
            struct eng_column *c = t->columns[k];
            for (uint32_t i = 0; c && !c->in_step && i < st->n_new; i++) {
                uint32_t node = eng_table_loc(t, k, st->rows[i]);
                if (node != ENG_NO_LOC)
                    eng_column_set_row(c, node, st->rows[i]);
            }
        }
        for (uint32_t i = 0; st->has_fields && i < t->schema->n_fields; i++)
            eng_field_commit(t->schema->fields[i]->field);
        t->n_live += st->n_new;
    }
    t->n_hidden += st->n_hidden;
    t->last_hidden = st->n_hidden;
    t->commit = st->number;
    t->eng->mem->release(t->eng->mem, st->mem);
    memset(st, 0, sizeof(*st));
}

void eng_table_abort(struct eng_table *t)
{
    struct eng_staged *st = &t->staged;
    for (uint32_t i = 0; t->staged.has_fields && i < t->schema->n_fields; i++)
        eng_field_abort(t->schema->fields[i]->field);
    for (uint32_t i = 0; st->n_new && i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        if (!c || !st->columns[i].is_put)
            continue;
        eng_table_take_back(c->rows_p, c->vec, c->nodes.next, st->columns[i].nodes,
                            st->columns[i].n);
        eng_table_take_back(t->rows_p, c->loc, t->chunks.next, st->rows, st->n_new);
        /* A column that has node -> row now does without being in step. */
        c->in_step = c->in_step && !atomic_load_explicit(&c->row_of, memory_order_relaxed);
        for (uint32_t k = 0; k < st->columns[i].n; k++) {
            uint32_t node = st->columns[i].nodes[k];
            if (node % SX_CHUNK_ROWS == 0)
                eng_units_skip(&c->nodes, node >> SX_CHUNK_SHIFT);
        }
    }
    if (st->n_new)
        eng_table_take_back(t->rows_p, t->rows, t->chunks.next, st->rows, st->n_new);
    /* Readers may hold tables that have the chunks begun: their numbers wait like dropped ones. */
    for (uint32_t i = 0; i < st->n_new; i++) {
        if (st->rows[i] % SX_CHUNK_ROWS == 0)
            eng_units_skip(&t->chunks, st->rows[i] >> SX_CHUNK_SHIFT);
    }
    t->eng->mem->release(t->eng->mem, st->mem);
    memset(&t->staged, 0, sizeof(t->staged));
}
