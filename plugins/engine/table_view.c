/* Views, and what a reader finds through one. See table.h.
 *
 * A reader takes its view first and every table (chunk addresses, sides, node -> row) later, inside
 * the same epoch: tables only ever hold more than the view needs. What a view knows of a chunk is
 * its fill; a number at or above it is newer than the view, and the way back leads over the row of
 * the version before.
 *
 * Threads: view_fill by the writer; readers inside an epoch. */
#include <string.h>

#include "field.h"
#include "schema.h"
#include "table_priv.h"

#include "sextant/sx_ban.h"

uint32_t eng_table_view_chunks(const struct eng_table *t)
{
    uint32_t n = t->chunks.n;
    for (uint32_t i = 0; i < t->staged.n_new; i++) {
        if (t->staged.rows[i] >> SX_CHUNK_SHIFT >= n)
            n = (t->staged.rows[i] >> SX_CHUNK_SHIFT) + 1;
    }
    return n;
}

struct eng_view *eng_view_alloc(const struct eng *e, uint32_t n_chunks)
{
    struct eng_view *v;
    return e->mem->alloc(e->mem, sizeof(*v) + n_chunks * sizeof(v->fill[0]));
}

void eng_view_fill(struct eng_view *v, const struct eng_table *t)
{
    uint32_t n_chunks = t->chunks.n;
    v->schema = t->schema;
    v->commit = t->commit;
    v->tick = t->tick;
    v->n_live = t->n_live;
    v->n_hidden = t->n_hidden;
    v->n_rows = t->n_rows;
    v->n_chunks = n_chunks;
    v->n_columns = t->n_columns;
    v->n_low = t->n_low;
    for (uint32_t c = 0; c < t->n_columns; c++) {
        if (!t->columns[c])
            continue;
        v->columns[c].n_nodes = t->columns[c]->n_nodes;
        v->columns[c].in_step = t->columns[c]->in_step;
    }
    for (uint32_t i = 0; i < n_chunks; i++) {
        const struct eng_unit *u = &t->chunks.at[i];
        v->fill[i] = u->state == ENG_UNIT_LIVE || u->state == ENG_UNIT_GOING ? u->fill : 0;
    }
}

void eng_view_destroy(const struct eng *e, struct eng_view *v)
{
    e->mem->release(e->mem, v);
}

void eng_reader_init(struct eng_reader *r, const struct eng_table *t, const struct eng_view *v)
{
    r->v = v;
    r->t = t;
    r->hides = v->n_hidden != 0;
    eng_rops(t->rows_p)->rows(t->rows_p->self, t->rows, &r->rows);
    /* pairs with the release in eng_table_side() */
    r->sides =
        atomic_load_explicit(&((struct eng_table *)(uintptr_t)t)->sides, memory_order_acquire);
    r->vis = (struct sx_view){.size = sizeof(r->vis), .n_chunks = v->n_chunks, .fill = v->fill};
    /* Without any death there is no table of dead bits at all; eng_table_cover_sides() keeps it as
     * long as the chunks of any view. */
    if (r->sides)
        r->vis.dead = r->sides->dead;
}

static int is_hidden(const struct eng_reader *r, uint32_t row)
{
    return eng_row_is_hidden(eng_reader_row(r, row), r->v->schema->config);
}

int eng_reader_alive(const struct eng_reader *r, uint32_t row)
{
    uint64_t d = eng_died_of(r->sides, row);
    return (d == 0 || d > r->v->tick) && !(r->hides && is_hidden(r, row));
}

uint32_t eng_reader_back(const struct eng_reader *r, uint32_t row)
{
    struct sx_rows rows = r->rows;
    /* The row may be newer than the chunk table we took when we began. */
    if (row != ENG_NO_ROW && (row >= rows.n || !rows.chunks[row >> SX_CHUNK_SHIFT]))
        eng_rops(r->t->rows_p)->rows(r->t->rows_p->self, r->t->rows, &rows);
    while (row != ENG_NO_ROW && !eng_reader_knows(r, row))
        row = ((const struct eng_row *)sx_rows_at(&rows, row))->prev;
    return row != ENG_NO_ROW && eng_reader_alive(r, row) ? row : ENG_NO_ROW;
}

uint32_t eng_reader_find(const struct eng_reader *r, const struct sx_id *id)
{
    return eng_reader_back(r, eng_ids_find(r->t->ids, id));
}

static void alive_rows(const struct eng_reader *r, uint32_t chunk, struct eng_bits *out)
{
    uint32_t fill = chunk < r->v->n_chunks ? r->v->fill[chunk] : 0;
    const struct eng_chunk_side *side =
        r->sides && chunk < r->sides->n && r->sides->side[chunk].died ? &r->sides->side[chunk]
                                                                      : NULL;
    memset(out->w, 0xff, fill / 64 * 8);
    memset(out->w + fill / 64, 0, sizeof(out->w) - fill / 64 * 8);
    if (fill % 64)
        out->w[fill / 64] = (UINT64_C(1) << fill % 64) - 1;
    if (!side)
        return;
    /* Deaths before bits: when they are equal no death is missing that this view has to know. */
    uint64_t set = atomic_load_explicit(&side->dead[ENG_SIDE_SET], memory_order_acquire);
    uint64_t died = atomic_load_explicit(&side->dead[ENG_SIDE_DIED], memory_order_acquire);
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        out->w[i] &= ~atomic_load_explicit(&side->dead[i], memory_order_relaxed);
    if (set == died)
        return;
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        for (uint64_t w = out->w[i]; w; w &= w - 1) {
            uint32_t o = i * 64 + (uint32_t)__builtin_ctzll(w);
            uint64_t d = atomic_load_explicit(&side->died[o], memory_order_acquire);
            if (d != 0 && d <= r->v->tick)
                out->w[i] &= ~(w & -w);
        }
    }
}

void eng_reader_visible(const struct eng_reader *r, uint32_t chunk, struct eng_bits *out)
{
    alive_rows(r, chunk, out);
    for (uint32_t i = 0; r->hides && i < ENG_BITS_WORDS; i++) {
        for (uint64_t w = out->w[i]; w; w &= w - 1) {
            if (is_hidden(r, (chunk << SX_CHUNK_SHIFT) + i * 64 + (uint32_t)__builtin_ctzll(w)))
                out->w[i] &= ~(w & -w);
        }
    }
}

uint32_t eng_reader_loc(const struct eng_reader *r, uint32_t c, uint32_t row)
{
    const struct eng_column *col = r->t->columns[c];
    if (r->v->columns[c].in_step)
        return row;
    struct sx_rows loc;
    eng_rops(r->t->rows_p)->rows(r->t->rows_p->self, col->loc, &loc);
    return *(const uint32_t *)sx_rows_at(&loc, row);
}

int eng_reader_row_of(const struct eng_reader *r, uint32_t c, struct sx_rows *out)
{
    if (r->v->columns[c].in_step)
        return 0;
    struct eng_column *col = (struct eng_column *)(uintptr_t)r->t->columns[c];
    /* pairs with the release in eng_column_rows_room() */
    struct eng_row_of *m = atomic_load_explicit(&col->row_of, memory_order_acquire);
    *out = (struct sx_rows){sizeof(*out), 4, SX_CHUNK_SHIFT, r->v->columns[c].n_nodes,
                            m ? (const uint8_t *const *)m->chunks : NULL};
    return 1;
}

uint32_t eng_reader_node_row(const struct eng_reader *r, uint32_t c, uint32_t node)
{
    struct sx_rows row_of = {.chunks = NULL};
    uint32_t row = node;
    if (eng_reader_row_of(r, c, &row_of) && !row_of.chunks[node >> SX_CHUNK_SHIFT])
        return ENG_NO_ROW;
    if (row_of.chunks)
        row = __atomic_load_n((const uint32_t *)sx_rows_at(&row_of, node), __ATOMIC_ACQUIRE);
    if (eng_reader_knows(r, row))
        return eng_reader_alive(r, row) ? row : ENG_NO_ROW;
    row = eng_reader_back(r, row);
    /* The older version may lie elsewhere: then its own node speaks for it. */
    if (row != ENG_NO_ROW && eng_reader_loc(r, c, row) != node)
        return ENG_NO_ROW;
    return row;
}
