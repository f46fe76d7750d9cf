/* node -> row of a column: who a vector speaks for. See table.h.
 *
 * While a column is in step (every row's vector has the row's number) there is no table. It is made
 * of chunks of u32 in memory; a chunk comes with the first node of its numbers and goes with their
 * file. The table of chunks is replaced as a whole, entries change in place by one store.
 *
 * Threads: the writer; readers as in table_view.c. */
#include <string.h>

#include "table_priv.h"

#include "sextant/sx_ban.h"

static void *row_of_chunk(const struct eng *e)
{
    void *p = e->mem->alloc(e->mem, SX_CHUNK_ROWS * 4u);
    if (p)
        memset(p, 0xff, SX_CHUNK_ROWS * 4u); /* nobody's */
    return p;
}

/* Replaces the table by m, which took over its chunks. */
static int row_of_publish(struct eng *e, struct eng_column *c, struct eng_row_of *m)
{
    struct eng_row_of *old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    struct eng_retired *r = old ? eng_retired_new(e) : NULL;
    if (old && !r)
        return SX_ENOMEM;
    /* pairs with the acquire in eng_reader_row_of() */
    atomic_store_explicit(&c->row_of, m, memory_order_release);
    if (old)
        eng_retire(e, r, old, NULL);
    return 0;
}

static struct eng_row_of *row_of_copy(struct eng *e, struct eng_column *c, uint32_t chunks)
{
    struct eng_row_of *old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    if (old && old->n_chunks > chunks)
        chunks = old->n_chunks;
    struct eng_row_of *m = e->mem->zalloc(e->mem, sizeof(*m) + chunks * sizeof(m->chunks[0]));
    if (!m)
        return NULL;
    m->n_chunks = chunks;
    if (old)
        memcpy(m->chunks, old->chunks, old->n_chunks * sizeof(m->chunks[0]));
    return m;
}

static int row_of_has(const struct eng_row_of *m, uint32_t chunk)
{
    return m && chunk < m->n_chunks && m->chunks[chunk];
}

/* Chunks for the n nodes, and for those there are. A column that leaves step gets identity for the
 * nodes it has. */
int eng_column_rows_room(struct eng_table *t,
                         struct eng_column *c,
                         const uint32_t *nodes,
                         uint32_t n)
{
    struct eng *e = t->eng;
    struct eng_row_of *old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    uint32_t chunks = c->nodes.n ? c->nodes.n : 1, missing = old == NULL;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = nodes[i] >> SX_CHUNK_SHIFT;
        missing |= !row_of_has(old, k);
        chunks = k >= chunks ? k + 1 : chunks;
    }
    if (!missing)
        return 0;
    struct eng_row_of *m = row_of_copy(e, c, chunks);
    int rc = m ? 0 : SX_ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < m->n_chunks; i++) {
        uint32_t wanted = !old && i < c->nodes.n && c->nodes.at[i].state != ENG_UNIT_FREE;
        for (uint32_t k = 0; !m->chunks[i] && !wanted && k < n; k++)
            wanted = nodes[k] >> SX_CHUNK_SHIFT == i;
        if (m->chunks[i] || !wanted)
            continue;
        m->chunks[i] = row_of_chunk(e);
        rc = m->chunks[i] ? 0 : SX_ENOMEM;
        uint32_t fill = rc == 0 && i < c->nodes.n ? c->nodes.at[i].fill : 0;
        for (uint32_t k = 0; !old && k < fill; k++)
            ((uint32_t *)(void *)m->chunks[i])[k] = (i << SX_CHUNK_SHIFT) + k;
    }
    if (rc == 0)
        rc = row_of_publish(e, c, m);
    if (rc != 0 && m) {
        for (uint32_t i = 0; i < m->n_chunks; i++) {
            if (!row_of_has(old, i))
                e->mem->release(e->mem, m->chunks[i]);
        }
        e->mem->release(e->mem, m);
    }
    return rc;
}

void eng_column_set_row(struct eng_column *c, uint32_t node, uint32_t row)
{
    struct eng_row_of *m = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    __atomic_store_n((uint32_t *)(void *)m->chunks[node >> SX_CHUNK_SHIFT] +
                         (node & (SX_CHUNK_ROWS - 1)),
                     row, __ATOMIC_RELEASE);
}

void eng_column_free_rows(struct eng *e, struct eng_column *c)
{
    struct eng_row_of *m = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    for (uint32_t i = 0; m && i < m->n_chunks; i++)
        e->mem->release(e->mem, m->chunks[i]);
    e->mem->release(e->mem, m);
    e->mem->release(e->mem, c->unlinked);
    eng_units_fini(&c->nodes);
    eng_units_fini(&c->segments);
}

int eng_table_forget_rows(struct eng_table *t, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        if (c && eng_column_rows_room(t, c, NULL, 0) != 0)
            return SX_ENOMEM;
        if (c)
            c->in_step = 0;
    }
    for (uint32_t i = 0; i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        struct eng_row_of *m = c ? atomic_load_explicit(&c->row_of, memory_order_relaxed) : NULL;
        for (uint32_t row = first; c && row < first + n; row++) {
            uint32_t node = eng_table_loc(t, i, row);
            if (node == ENG_NO_LOC || !row_of_has(m, node >> SX_CHUNK_SHIFT))
                continue;
            const uint32_t *at = (const uint32_t *)(void *)m->chunks[node >> SX_CHUNK_SHIFT] +
                                 (node & (SX_CHUNK_ROWS - 1));
            if (*at == row)
                eng_column_set_row(c, node, ENG_NO_ROW);
        }
    }
    return 0;
}

int eng_column_forget_nodes(struct eng_table *t, struct eng_column *c, uint32_t chunk)
{
    struct eng *e = t->eng;
    struct eng_row_of *old;
    if (eng_column_rows_room(t, c, NULL, 0) != 0)
        return SX_ENOMEM;
    c->in_step = 0;
    old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    if (!row_of_has(old, chunk))
        return 0;
    void *gone = old->chunks[chunk];
    struct eng_row_of *m = row_of_copy(e, c, 0);
    struct eng_retired *r = eng_retired_new(e);
    if (m)
        m->chunks[chunk] = NULL;
    if (!m || !r || row_of_publish(e, c, m) != 0) {
        e->mem->release(e->mem, m);
        e->mem->release(e->mem, r);
        return SX_ENOMEM;
    }
    eng_retire(e, r, gone, NULL);
    return 0;
}

int eng_column_unlinked_room(struct eng_column *c, uint32_t n)
{
    uint32_t cap =
        c->cap_unlinked * 2 > c->n_unlinked + n ? c->cap_unlinked * 2 : c->n_unlinked + n + 16;
    if (c->n_unlinked + n <= c->cap_unlinked)
        return 0;
    struct eng_run *p = c->nodes.mem->resize(c->nodes.mem, c->unlinked, cap * sizeof(*p));
    if (!p)
        return SX_ENOMEM;
    c->unlinked = p;
    c->cap_unlinked = cap;
    return 0;
}
