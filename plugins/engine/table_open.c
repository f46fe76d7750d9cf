/* The row table at open: numbers in use as the manifest says, then what follows from the rows: ids,
 * node -> row, and how much is alive of every unit.
 *
 * Threads: whoever opens the shard, before any reader. */
#include <stdio.h>
#include <string.h>

#include "schema.h"
#include "shard.h"
#include "table_priv.h"

#include "sextant/sx_ban.h"

static uint32_t fill_of(const struct eng_units *u, uint32_t i)
{
    uint32_t part = (uint32_t)(u->next % SX_CHUNK_ROWS);
    return part && i == u->next >> SX_CHUNK_SHIFT ? part : SX_CHUNK_ROWS;
}

static int restore_chunks(struct eng_units *u, uint64_t next, const struct eng_absent *absent)
{
    uint32_t n = (uint32_t)((next + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
    if (eng_units_restore(u, n > absent->end ? n : absent->end, absent->at, absent->n) != 0)
        return SX_ENOMEM;
    u->next = next;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->at[i].state == ENG_UNIT_FREE)
            continue;
        u->at[i].fill = fill_of(u, i);
        u->bytes += u->at[i].fill;
    }
    return 0;
}

static int restore_segments(const struct eng_table *t,
                            struct eng_units *u,
                            void *blobs,
                            const struct sx_blobs_mark *mark,
                            const struct eng_absent *absent)
{
    uint32_t n = mark->segment + 1;
    if (eng_units_restore(u, n > absent->end ? n : absent->end, absent->at, absent->n) != 0)
        return SX_ENOMEM;
    u->open = mark->segment;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->at[i].state == ENG_UNIT_FREE)
            continue;
        u->at[i].bytes = eng_bops(t->blobs_p)->bytes(t->blobs_p->self, blobs, i);
        u->bytes += u->at[i].bytes;
    }
    return 0;
}

int eng_table_restore(struct eng_table *t, const struct eng_manifest *m)
{
    int rc = restore_chunks(&t->chunks, m->rows.count, &m->rows_absent);
    if (rc == 0)
        rc = restore_segments(t, &t->segments, t->payload, &m->payload, &m->payload_absent);
    for (uint32_t i = 0; rc == 0 && i < m->n_columns; i++) {
        uint32_t slot = eng_table_slot(t, m->columns[i].id);
        struct eng_column *c = slot < t->n_columns ? t->columns[slot] : NULL;
        if (!c)
            continue;
        rc = restore_chunks(&c->nodes, m->columns[i].vec.count, &m->columns[i].vec_absent);
        c->n_nodes = eng_units_end(&c->nodes);
        if (rc == 0 && c->blobs)
            rc = restore_segments(t, &c->segments, c->blobs, &m->columns[i].blobs,
                                  &m->columns[i].blobs_absent);
    }
    t->n_rows = eng_units_end(&t->chunks);
    t->commit = m->operation;
    t->tick = 1; /* of what was dead before */
    for (uint64_t i = 0; rc == 0 && m->dead && i < m->n_bits; i++) {
        if (m->dead[i >> 6] == 0)
            i |= 63;
        else if (m->dead[i >> 6] >> (i & 63) & 1)
            rc = eng_table_mark_dead(t, (uint32_t)i);
    }
    return rc;
}

#define SAMPLE 64u

/* What the blobs of a segment take on average, from a few that are alive. */
static int sample_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    (void)i;
    (void)p;
    *(uint64_t *)arg += eng_blob_room(n);
    return 0;
}

/* Damage of an entry of a rows file: names the file and the place, then says what is wrong. */
#define WRONG(err, store, number, bytes, fmt, ...)                                                 \
    sx_err_set(err, SX_ECORRUPT, "%s.%08x: " fmt " (offset %llu)", store,                          \
               (number) >> SX_CHUNK_SHIFT, __VA_ARGS__,                                            \
               (unsigned long long)(SX_FILE_HEAD_BYTES +                                           \
                                    (uint64_t)((number) & (SX_CHUNK_ROWS - 1)) * (bytes)))

static int wrong_of(const struct eng_column *c,
                    const char *store,
                    uint32_t number,
                    uint32_t bytes,
                    const char *what,
                    uint32_t at,
                    struct sx_err *err)
{
    char name[24];
    snprintf(name, sizeof(name), "%s%u", store, c->conf->id);
    return WRONG(err, name, number, bytes, "%s %u, which is absent", what, at);
}

static int count_blobs(struct eng_table *t,
                       struct eng_column *c,
                       const uint32_t *nodes,
                       uint32_t n,
                       struct sx_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        sx_locator at = eng_column_locator(c, nodes[i]);
        uint32_t segment = (uint32_t)(at >> 32);
        uint64_t room = 0;
        if (segment >= c->segments.n || c->segments.at[segment].state == ENG_UNIT_FREE)
            return wrong_of(c, "vec", nodes[i], 8, "in segment", segment, err);
        int rc = c->segments.at[segment].live < SAMPLE
                     ? eng_bops(t->blobs_p)
                           ->get(t->blobs_p->self, c->blobs, &at, 1, sample_one, &room, err)
                     : 0;
        if (rc != 0)
            room = 8; /* damaged: whoever reads it says so */
        eng_units_keep_blob(&c->segments, segment, room);
    }
    return 0;
}

/* node -> row and the figures of a column, from the live rows. */
static int rebuild_column(
    struct eng_table *t, uint32_t ci, const uint32_t *live, uint32_t n, struct sx_err *err)
{
    struct eng_column *c = t->columns[ci];
    c->in_step = c->n_nodes == t->n_rows;
    for (uint32_t i = 0; i < t->chunks.n && c->in_step; i++) {
        struct sx_rows loc;
        eng_rops(t->rows_p)->rows(t->rows_p->self, c->loc, &loc);
        c->in_step = t->chunks.at[i].state != ENG_UNIT_FREE && i < c->nodes.n &&
                     c->nodes.at[i].state != ENG_UNIT_FREE;
        for (uint32_t k = 0; c->in_step && k < t->chunks.at[i].fill; k++) {
            uint32_t row = (i << SX_CHUNK_SHIFT) + k;
            c->in_step = *(const uint32_t *)sx_rows_at(&loc, row) == row;
        }
    }
    for (uint32_t i = 0; i < c->nodes.n; i++) { /* the index has seen nothing yet */
        struct eng_run all = {i << SX_CHUNK_SHIFT, c->nodes.at[i].fill};
        if (c->nodes.at[i].state == ENG_UNIT_FREE || all.n == 0)
            continue;
        if (eng_column_unlinked_room(c, 1) != 0)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        c->unlinked[c->n_unlinked++] = all;
    }
    if (!c->in_step && eng_column_rows_room(t, c, NULL, 0) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    struct eng_row_of *m = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    for (uint32_t i = 0; !c->in_step && i < m->n_chunks; i++) {
        if (m->chunks[i]) /* vectors of dead rows are nobody's */
            memset(m->chunks[i], 0xff, SX_CHUNK_ROWS * 4u);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t l = eng_table_loc(t, ci, live[i]);
        if (l == ENG_NO_LOC)
            continue;
        if (l >= c->n_nodes || c->nodes.at[l >> SX_CHUNK_SHIFT].state == ENG_UNIT_FREE ||
            (l & (SX_CHUNK_ROWS - 1)) >= c->nodes.at[l >> SX_CHUNK_SHIFT].fill)
            return wrong_of(c, "loc", live[i], 4, "vector", l, err);
        if (!c->in_step)
            eng_column_set_row(c, l, live[i]);
        eng_units_keep(&c->nodes, l);
        int rc = c->blobs ? count_blobs(t, c, &l, 1, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

int eng_table_rebuild(struct eng_table *t, struct sx_err *err)
{
    struct eng *e = t->eng;
    uint64_t present = t->chunks.bytes; /* rows of all chunks that are there */
    uint32_t *live = e->mem->alloc(e->mem, (present ? present : 1) * 4ull);
    uint32_t n = 0;
    int rc = 0;
    if (!live)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < t->chunks.n; i++) {
        uint32_t first = i << SX_CHUNK_SHIFT;
        uint32_t fill = t->chunks.at[i].state != ENG_UNIT_FREE ? t->chunks.at[i].fill : 0;
        for (uint32_t row = first; rc == 0 && row < first + fill; row++) {
            if (eng_table_is_dead(t, row))
                continue;
            const struct eng_row *r = eng_table_row(t, row);
            uint32_t segment = (uint32_t)(r->payload >> 32);
            live[n++] = row;
            t->n_hidden += (uint64_t)eng_row_is_hidden(r, t->schema->config);
            eng_units_keep(&t->chunks, row);
            if (r->payload == ENG_NO_BLOB)
                continue;
            if (segment >= t->segments.n || t->segments.at[segment].state == ENG_UNIT_FREE)
                rc = WRONG(err, "rows", row, sizeof(struct eng_row),
                           "payload in segment %u, which is absent", segment);
            else
                eng_units_keep_blob(&t->segments, segment, (r->flags >> ENG_ROW_ROOM_SHIFT) * 8ull);
        }
    }
    t->n_live = n;
    if (rc == 0 && (rc = eng_ids_load(t->ids, live, n)) != 0)
        sx_err_set(err, rc, "loading the ids failed");
    for (uint32_t i = 0; rc == 0 && i < t->n_columns; i++) {
        if (t->columns[i])
            rc = rebuild_column(t, i, live, n, err);
    }
    e->mem->release(e->mem, live);
    return rc;
}
