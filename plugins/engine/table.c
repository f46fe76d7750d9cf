/* The row table: appending versions, killing them, and reading through a view. See table.h. */
#include "table.h"

#include <string.h>

#include "field.h"
#include "schema.h"
#include "shard.h"

#include "sextant/sx_ban.h"

static const struct sx_rows_ops *rops(const struct sx_provider *p)
{
    return p->ops;
}
static const struct sx_blobs_ops *bops(const struct sx_provider *p)
{
    return p->ops;
}

/* --- views and readers ---------------------------------------------------------------------------
 */

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
    rops(t->rows_p)->rows(t->rows_p->self, t->rows, &r->rows);
    /* pairs with the release in side_for() */
    r->sides =
        atomic_load_explicit(&((struct eng_table *)(uintptr_t)t)->sides, memory_order_acquire);
    r->vis = (struct sx_view){.size = sizeof(r->vis), .n_chunks = v->n_chunks, .fill = v->fill};
    /* Without any death there is no table of dead bits at all; sides_cover() keeps it as long as
     * the chunks of any view. */
    if (r->sides)
        r->vis.dead = r->sides->dead;
}

static uint64_t died_of(const struct eng_sides *s, uint32_t row)
{
    uint32_t c = row >> SX_CHUNK_SHIFT;
    if (!s || c >= s->n || !s->side[c].died)
        return 0;
    return atomic_load_explicit(&s->side[c].died[row & (SX_CHUNK_ROWS - 1)], memory_order_acquire);
}

int eng_reader_alive(const struct eng_reader *r, uint32_t row)
{
    uint64_t d = died_of(r->sides, row);
    return d == 0 || d > r->v->tick;
}

uint32_t eng_reader_back(const struct eng_reader *r, uint32_t row)
{
    struct sx_rows rows = r->rows;
    /* The row may be newer than the chunk table we took when we began. */
    if (row != ENG_NO_ROW && (row >= rows.n || !rows.chunks[row >> SX_CHUNK_SHIFT]))
        rops(r->t->rows_p)->rows(r->t->rows_p->self, r->t->rows, &rows);
    while (row != ENG_NO_ROW && !eng_reader_knows(r, row))
        row = ((const struct eng_row *)sx_rows_at(&rows, row))->prev;
    return row != ENG_NO_ROW && eng_reader_alive(r, row) ? row : ENG_NO_ROW;
}

uint32_t eng_reader_find(const struct eng_reader *r, const struct sx_id *id)
{
    return eng_reader_back(r, eng_ids_find(r->t->ids, id));
}

void eng_reader_visible(const struct eng_reader *r, uint32_t chunk, struct eng_bits *out)
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

uint32_t eng_reader_loc(const struct eng_reader *r, uint32_t c, uint32_t row)
{
    const struct eng_column *col = r->t->columns[c];
    if (r->v->columns[c].in_step)
        return row;
    struct sx_rows loc;
    rops(r->t->rows_p)->rows(r->t->rows_p->self, col->loc, &loc);
    return *(const uint32_t *)sx_rows_at(&loc, row);
}

int eng_reader_row_of(const struct eng_reader *r, uint32_t c, struct sx_rows *out)
{
    if (r->v->columns[c].in_step)
        return 0;
    struct eng_column *col = (struct eng_column *)(uintptr_t)r->t->columns[c];
    /* pairs with the release in row_of_room() */
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

/* --- deaths --------------------------------------------------------------------------------------
 */

static void release_sides(void *arg)
{
    struct eng_sides *s = arg;
    const struct sx_mem *mem = *(const struct sx_mem *const *)(s->dead + s->n);
    mem->release(mem, s);
}

/* A table for at least n_chunks chunks that takes over the sides there are. The dead words'
 * addresses lie behind the sides in the same block, and behind those the allocator, for the retire
 * callback. */
static struct eng_sides *sides_copy(struct eng_table *t, uint32_t n_chunks)
{
    struct eng *e = t->eng;
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    if (old && old->n > n_chunks)
        n_chunks = old->n;
    uint64_t bytes = sizeof(*old) +
                     n_chunks * (sizeof(struct eng_chunk_side) + sizeof(uint64_t *)) +
                     sizeof(const struct sx_mem *);
    struct eng_sides *s = e->mem->zalloc(e->mem, bytes);
    if (!s)
        return NULL;
    s->n = n_chunks;
    s->dead = (const uint64_t **)&s->side[n_chunks];
    memcpy(s->dead + n_chunks, &e->mem, sizeof(e->mem));
    if (old) {
        memcpy(s->side, old->side, old->n * sizeof(old->side[0]));
        memcpy(s->dead, old->dead, old->n * sizeof(old->dead[0]));
    }
    return s;
}

static void sides_publish(struct eng_table *t, struct eng_sides *s)
{
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    /* pairs with the acquire in eng_reader_init() */
    atomic_store_explicit(&t->sides, s, memory_order_release);
    if (old)
        t->eng->epoch->retire(release_sides, old);
}

/* Keeps the table of dead words as long as the chunks, so that readers need no second bound. */
static int sides_cover(struct eng_table *t, uint32_t n_chunks)
{
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    if (!old || n_chunks <= old->n)
        return 0;
    struct eng_sides *s = sides_copy(t, n_chunks + n_chunks / 2);
    if (!s)
        return SX_ENOMEM;
    sides_publish(t, s);
    return 0;
}

/* The side of chunk c, made when it is missing; NULL when memory is short. */
static struct eng_chunk_side *side_for(struct eng_table *t, uint32_t c)
{
    const struct sx_mem *mem = t->eng->mem;
    struct eng_sides *s = atomic_load_explicit(&t->sides, memory_order_relaxed);
    if (s && c < s->n && s->side[c].died)
        return &s->side[c];
    uint32_t n_chunks = eng_table_view_chunks(t);
    s = sides_copy(t, n_chunks > c ? n_chunks : c + 1);
    if (!s)
        return NULL;
    s->side[c].died = mem->zalloc(mem, SX_CHUNK_ROWS * sizeof(uint64_t));
    s->side[c].dead = mem->zalloc(mem, ENG_SIDE_WORDS * 8u);
    if (!s->side[c].died || !s->side[c].dead) {
        mem->release(mem, (void *)(uintptr_t)s->side[c].died);
        mem->release(mem, (void *)(uintptr_t)s->side[c].dead);
        mem->release(mem, s);
        return NULL;
    }
    s->dead[c] = (const uint64_t *)(uintptr_t)s->side[c].dead;
    sides_publish(t, s);
    return &s->side[c];
}

static int deaths_room(struct eng_table *t, uint32_t n)
{
    struct eng_deaths *d = t->deaths;
    uint32_t have = d ? d->n : 0, cap = d ? d->cap : 0;
    if (have + n <= cap)
        return 0;
    while (cap < have + n)
        cap = cap ? cap * 2 : 64;
    d = t->eng->mem->resize(t->eng->mem, d, sizeof(*d) + (uint64_t)cap * sizeof(d->bits[0]));
    if (!d)
        return SX_ENOMEM;
    d->n = have;
    d->cap = cap;
    t->deaths = d;
    return 0;
}

/* Room (sides, death list) for killing the rows; afterwards kill() cannot fail. */
static int kill_room(struct eng_table *t, const uint32_t *rows, uint32_t n, struct sx_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i] != ENG_NO_ROW && !side_for(t, rows[i] >> SX_CHUNK_SHIFT))
            return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    if (deaths_room(t, n) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    return 0;
}

uint32_t eng_table_loc(const struct eng_table *t, uint32_t c, uint32_t row)
{
    const struct eng_column *col = t->columns[c];
    struct sx_rows loc;
    if (col->in_step)
        return row;
    rops(t->rows_p)->rows(t->rows_p->self, col->loc, &loc);
    return *(const uint32_t *)sx_rows_at(&loc, row);
}

sx_locator eng_column_locator(const struct eng_column *c, uint32_t node)
{
    struct sx_rows vec;
    rops(c->rows_p)->rows(c->rows_p->self, c->vec, &vec);
    return *(const sx_locator *)sx_rows_at(&vec, node);
}

/* What the row has, in the figures of the units it lies in. */
static void count_row(struct eng_table *t,
                      uint32_t row,
                      void (*node)(struct eng_units *, uint32_t),
                      void (*blob)(struct eng_units *, uint32_t, uint64_t))
{
    const struct eng_row *r = eng_table_row(t, row);
    if (r->payload != ENG_NO_BLOB)
        blob(&t->segments, (uint32_t)(r->payload >> 32), (r->flags >> ENG_ROW_ROOM_SHIFT) * 8ull);
    for (uint32_t i = 0; i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        uint32_t n = c ? eng_table_loc(t, i, row) : ENG_NO_LOC;
        if (n == ENG_NO_LOC)
            continue;
        node(&c->nodes, n);
        if (c->blobs)
            blob(&c->segments, (uint32_t)(eng_column_locator(c, n) >> 32), 0);
    }
}

static void kill(struct eng_table *t, uint32_t row)
{
    struct eng_chunk_side *s = side_for(t, row >> SX_CHUNK_SHIFT);
    uint32_t o = row & (SX_CHUNK_ROWS - 1);
    count_row(t, row, eng_units_kill, eng_units_kill_blob);
    eng_units_kill(&t->chunks, row);
    /* Counted before it shows: eng_reader_visible() must not take the bits for complete. */
    atomic_fetch_add_explicit(&s->dead[ENG_SIDE_DIED], 1, memory_order_release);
    atomic_store_explicit(&s->died[o], t->tick, memory_order_release);
    struct eng_deaths *d = t->deaths;
    d->bits[d->n].dead = s->dead;
    d->bits[d->n].offset = o;
    d->n++;
    t->n_live--;
}

struct eng_deaths *eng_table_take_deaths(struct eng_table *t)
{
    struct eng_deaths *d = t->deaths;
    if (!d || d->n == 0)
        return NULL;
    t->deaths = NULL;
    return d;
}

void eng_deaths_apply(struct eng_deaths *d)
{
    for (uint32_t i = 0; i < d->n; i++) {
        _Atomic(uint64_t) *dead = d->bits[i].dead;
        uint32_t o = d->bits[i].offset;
        atomic_fetch_or_explicit(&dead[o >> 6], 1ull << (o & 63), memory_order_relaxed);
        /* pairs with the acquire in eng_reader_visible() */
        atomic_fetch_add_explicit(&dead[ENG_SIDE_SET], 1, memory_order_release);
    }
}

static int mark_dead(struct eng_table *t, uint32_t row)
{
    struct eng_chunk_side *s = side_for(t, row >> SX_CHUNK_SHIFT);
    uint32_t o = row & (SX_CHUNK_ROWS - 1);
    if (!s)
        return SX_ENOMEM;
    atomic_store_explicit(&s->died[o], 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&s->dead[o >> 6], 1ull << (o & 63), memory_order_relaxed);
    atomic_fetch_add_explicit(&s->dead[ENG_SIDE_DIED], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->dead[ENG_SIDE_SET], 1, memory_order_relaxed);
    return 0;
}

int eng_table_is_dead(const struct eng_table *t, uint32_t row)
{
    return died_of(atomic_load_explicit(&((struct eng_table *)(uintptr_t)t)->sides,
                                        memory_order_relaxed),
                   row) != 0;
}

const char eng_keep_mark = 0;

uint32_t eng_table_slot(const struct eng_table *t, uint32_t column_id)
{
    for (uint32_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i] && t->columns[i]->conf->id == column_id)
            return i;
    }
    return UINT32_MAX;
}

const struct eng_row *eng_table_row(const struct eng_table *t, uint32_t row)
{
    struct sx_rows rows;
    rops(t->rows_p)->rows(t->rows_p->self, t->rows, &rows);
    return sx_rows_at(&rows, row);
}

static int append_blob(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct sx_buf *buf = arg;
    (void)i;
    sx_buf_add(buf, p, n);
    return buf->failed ? SX_ENOMEM : 0;
}

int eng_table_payload(struct eng_table *t, uint32_t row, struct sx_buf *buf, struct sx_err *err)
{
    sx_locator loc = eng_table_row(t, row)->payload;
    if (loc == ENG_NO_BLOB)
        return 0;
    int rc = bops(t->blobs_p)->get(t->blobs_p->self, t->payload, &loc, 1, append_blob, buf, err);
    return rc == SX_ENOMEM ? sx_err_set(err, rc, "out of memory") : rc;
}

uint32_t eng_table_find(const struct eng_table *t, const struct sx_id *id)
{
    uint32_t row = eng_ids_find(t->ids, id);
    return row != ENG_NO_ROW && !eng_table_is_dead(t, row) ? row : ENG_NO_ROW;
}

/* --- node -> row ---------------------------------------------------------------------------------
 */

struct retired {
    const struct sx_mem *mem;
    void *p;
};
static void release_retired(void *arg)
{
    struct retired *r = arg;
    const struct sx_mem *mem = r->mem;
    mem->release(mem, r->p);
    mem->release(mem, r);
}

static int retire_block(struct eng *e, void *p)
{
    struct retired *r = e->mem->alloc(e->mem, sizeof(*r));
    if (!r)
        return SX_ENOMEM;
    r->mem = e->mem;
    r->p = p;
    e->epoch->retire(release_retired, r);
    return 0;
}

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
    if (old && retire_block(e, old) != 0)
        return SX_ENOMEM;
    /* pairs with the acquire in eng_reader_row_of() */
    atomic_store_explicit(&c->row_of, m, memory_order_release);
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
static int row_of_room(struct eng_table *t, struct eng_column *c, const uint32_t *nodes, uint32_t n)
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

static void row_of_set(struct eng_column *c, uint32_t node, uint32_t row)
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
        if (c && row_of_room(t, c, NULL, 0) != 0)
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
                row_of_set(c, node, ENG_NO_ROW);
        }
    }
    return 0;
}

int eng_column_forget_nodes(struct eng_table *t, struct eng_column *c, uint32_t chunk)
{
    struct eng *e = t->eng;
    struct eng_row_of *old;
    if (row_of_room(t, c, NULL, 0) != 0)
        return SX_ENOMEM;
    c->in_step = 0;
    old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    if (!row_of_has(old, chunk))
        return 0;
    void *gone = old->chunks[chunk];
    struct eng_row_of *m = row_of_copy(e, c, 0);
    struct retired *r = e->mem->alloc(e->mem, sizeof(*r));
    if (m)
        m->chunks[chunk] = NULL;
    if (!m || !r || row_of_publish(e, c, m) != 0) {
        e->mem->release(e->mem, m);
        e->mem->release(e->mem, r);
        return SX_ENOMEM;
    }
    *r = (struct retired){e->mem, gone};
    e->epoch->retire(release_retired, r);
    return 0;
}

int eng_table_forget_sides(struct eng_table *t, uint32_t chunk)
{
    struct eng *e = t->eng;
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    if (!old || chunk >= old->n || !old->side[chunk].died)
        return 0;
    struct eng_chunk_side gone = old->side[chunk];
    struct eng_sides *s = sides_copy(t, 0);
    struct retired *a = e->mem->alloc(e->mem, sizeof(*a)), *b = e->mem->alloc(e->mem, sizeof(*b));
    if (!s || !a || !b) {
        e->mem->release(e->mem, s);
        e->mem->release(e->mem, a);
        e->mem->release(e->mem, b);
        return SX_ENOMEM;
    }
    s->side[chunk] = (struct eng_chunk_side){NULL, NULL};
    s->dead[chunk] = NULL;
    sides_publish(t, s);
    *a = (struct retired){e->mem, (void *)(uintptr_t)gone.died};
    *b = (struct retired){e->mem, (void *)(uintptr_t)gone.dead};
    e->epoch->retire(release_retired, a);
    e->epoch->retire(release_retired, b);
    return 0;
}

/* --- applying ------------------------------------------------------------------------------------
 */

static void *scratch(struct eng_table *t, uint64_t n)
{
    if (n > t->scratch_n) {
        t->eng->mem->release(t->eng->mem, t->scratch);
        t->scratch_n = 0;
        t->scratch = t->eng->mem->alloc(t->eng->mem, n + n / 2);
        if (t->scratch)
            t->scratch_n = n + n / 2;
    }
    return t->scratch;
}

/* Appends entries under the numbers they were given. */
static int append_at(const struct sx_provider *p,
                     void *store,
                     const void *entries,
                     uint32_t size,
                     const uint32_t *numbers,
                     uint32_t n,
                     struct sx_err *err)
{
    const uint8_t *from = entries;
    int rc = 0;
    for (uint32_t i = 0, run; rc == 0 && i < n; i += run, from += (uint64_t)run * size) {
        uint32_t first = numbers[i];
        for (run = 1; i + run < n && numbers[i + run] == numbers[i] + run &&
                      numbers[i + run] % SX_CHUNK_ROWS != 0;)
            run++;
        if (numbers[i] % SX_CHUNK_ROWS == 0)
            rc = rops(p)->begin(p->self, store, numbers[i] >> SX_CHUNK_SHIFT, err);
        if (rc == 0)
            rc = rops(p)->append(p->self, store, from, run, &first, err);
        if (rc == 0 && first != numbers[i])
            rc = sx_err_set(err, SX_EINTERNAL, "row %u was written as row %u", numbers[i], first);
    }
    return rc;
}

/* Takes back what append_at() may have done. */
static void take_back(
    const struct sx_provider *p, void *store, uint64_t next, const uint32_t *numbers, uint32_t n)
{
    rops(p)->cut(p->self, store, next);
    for (uint32_t i = 0; i < n; i++) {
        /* Without memory the file stays; beginning the chunk again then fails until there is. */
        if (numbers[i] % SX_CHUNK_ROWS == 0)
            (void)rops(p)->drop(p->self, store, numbers[i] >> SX_CHUNK_SHIFT, NULL);
    }
}

/* Counts what a put has written, alive or not yet. */
static int
count_written(struct eng_units *u, const sx_locator *locs, const struct sx_str *blobs, uint32_t n)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = (uint32_t)(locs[i] >> 32) > most ? (uint32_t)(locs[i] >> 32) : most;
    if (n && eng_units_room(u, most + 1) != 0)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        eng_units_written(u, (uint32_t)(locs[i] >> 32), eng_blob_room(blobs[i].n));
    return 0;
}

/* The bytes of multi or sparse vectors; t->locators then tells where they are. */
static int put_blobs(struct eng_table *t,
                     struct eng_column *c,
                     uint32_t ci,
                     const struct eng_new_row *rows,
                     uint32_t n,
                     uint32_t have,
                     struct sx_err *err)
{
    const struct sx_mem *mem = t->eng->mem;
    struct sx_str *blobs = mem->alloc(mem, (have + 1ull) * sizeof(*blobs));
    sx_locator *locs = mem->resize(mem, t->locators, (have + 1ull) * sizeof(*locs));
    uint32_t at = 0;
    int rc = 0;
    if (locs)
        t->locators = locs;
    if (!blobs || !locs)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const char *v = rows[i].vectors[ci];
        if (!v || (const void *)v == ENG_KEEP)
            continue;
        blobs[at].p = v;
        blobs[at].pad = 0;
        memcpy(&blobs[at++].n, v - 4, 4);
    }
    if (rc == 0 && have)
        rc = bops(t->blobs_p)->put(t->blobs_p->self, c->blobs, blobs, have, locs, err);
    if (rc == 0 && count_written(&c->segments, locs, blobs, have) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    uint64_t room = 0;
    for (uint32_t i = 0; rc == 0 && i < have; i++)
        room += eng_blob_room(blobs[i].n);
    t->staged.columns[ci].room = have ? (uint32_t)(room / have) : 0;
    mem->release(mem, blobs);
    return rc;
}

/* May numbers of nodes be used again? An index that takes nodes out answers for itself; one that
 * keeps nothing of a node has nothing to take out. */
static int reuses_nodes(const struct eng_column *c, uint32_t chunk)
{
    const struct sx_index_ops *ix = c->index_p->ops;
    if (!c->index || !(c->index_p->caps & SX_INDEX_REMOVE))
        return 1;
    return ix->forgotten(c->index_p->self, c->index, chunk << SX_CHUNK_SHIFT, SX_CHUNK_ROWS) == 1;
}

static int unlinked_room(struct eng_column *c, uint32_t n)
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

/* Numbers for the new vectors of a column; those of an index that remembers are left out. */
static int take_nodes(struct eng_column *c, struct eng_taker *k, uint32_t *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = eng_units_take(&c->nodes, k);
        while (nodes[i] != UINT32_MAX && nodes[i] % SX_CHUNK_ROWS == 0 &&
               nodes[i] >> SX_CHUNK_SHIFT < c->nodes.n &&
               !reuses_nodes(c, nodes[i] >> SX_CHUNK_SHIFT)) {
            k->next = 0; /* the next free one is looked for */
            nodes[i] = eng_units_take(&c->nodes, k);
        }
        if (nodes[i] == UINT32_MAX)
            return SX_ENOSPACE;
    }
    if (unlinked_room(c, n) != 0)
        return SX_ENOMEM;
    return eng_units_room(&c->nodes, k->floor > c->nodes.n ? k->floor : c->nodes.n);
}

/* Vectors and locations of column ci for n new rows. n_nodes and in_step only move at commit. */
static int put_column(struct eng_table *t,
                      uint32_t ci,
                      const struct eng_new_row *rows,
                      uint32_t n,
                      struct sx_err *err)
{
    struct eng_column *c = t->columns[ci];
    struct eng_staged *st = &t->staged;
    uint32_t *nodes = st->columns[ci].nodes;
    uint32_t have = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        have += rows[i].vectors[ci] != NULL && rows[i].vectors[ci] != ENG_KEEP;
    st->columns[ci].taker = eng_units_taker(&c->nodes);
    int rc = take_nodes(c, &st->columns[ci].taker, nodes, have);
    if (rc != 0)
        return sx_err_set(
            err, rc, rc == SX_ENOMEM ? "out of memory" : "the shard's vector numbers are used up");
    uint64_t loc_at = ((uint64_t)have * c->row_bytes + 63) & ~63ull;
    if (c->blobs) { /* the blobs first: their locators are the rows */
        rc = put_blobs(t, c, ci, rows, n, have, err);
        if (rc != 0)
            return rc;
    }
    uint8_t *buf = scratch(t, loc_at + n * 4ull);
    if (!buf)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    uint32_t *locs = (uint32_t *)(void *)(buf + loc_at);
    int stays = c->in_step && have == n;
    for (uint32_t i = 0; i < n; i++) {
        locs[i] = ENG_NO_LOC;
        if (rows[i].vectors[ci] == ENG_KEEP) {
            locs[i] = eng_table_loc(t, ci, rows[i].from);
            if (locs[i] != ENG_NO_LOC)
                st->kept[st->n_kept++] = (struct eng_kept){ci, locs[i], st->rows[i]};
        } else if (rows[i].vectors[ci]) {
            const void *from = c->blobs ? &t->locators[at] : rows[i].vectors[ci];
            memcpy(buf + (uint64_t)at * c->row_bytes, from, c->row_bytes);
            locs[i] = nodes[at++];
        }
        stays = stays && locs[i] == st->rows[i];
    }
    st->columns[ci].n = have;
    st->columns[ci].is_put = 1;
    if (!stays && row_of_room(t, c, nodes, have) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    rc = append_at(c->rows_p, c->vec, buf, c->row_bytes, nodes, have, err);
    if (rc == 0)
        rc = append_at(t->rows_p, c->loc, locs, sizeof(*locs), st->rows, n, err);
    st->columns[ci].n = have;
    c->next_in_step = (uint32_t)stays;
    return rc;
}

static int put_payloads(struct eng_table *t,
                        const struct eng_new_row *rows,
                        uint32_t n,
                        sx_locator *locs,
                        struct sx_str *blobs,
                        struct sx_err *err)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].payload.n && !rows[i].keeps_payload)
            blobs[have++] = rows[i].payload;
    }
    int rc = have ? bops(t->blobs_p)->put(t->blobs_p->self, t->payload, blobs, have, locs, err) : 0;
    if (rc == 0 && count_written(&t->segments, locs, blobs, have) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc != 0)
        return rc;
    for (uint32_t i = n; i-- > 0;) {
        if (rows[i].keeps_payload)
            locs[i] = eng_table_row(t, rows[i].from)->payload;
        else
            locs[i] = rows[i].payload.n ? locs[--have] : ENG_NO_BLOB;
    }
    return 0;
}

/* Appends n copies of an entry below 64 bytes, in the chunk `chunk` from its start when that has to
 * be begun. */
static int pad(const struct eng_table *t,
               void *store,
               const void *entry,
               uint32_t size,
               uint32_t n,
               struct sx_err *err)
{
    uint8_t buf[64 * 64];
    uint32_t first, m = sizeof(buf) / size;
    for (uint32_t i = 0; i < m; i++)
        memcpy(buf + (uint64_t)i * size, entry, size);
    for (int rc; n; n -= m) {
        m = n < m ? n : m;
        rc = rops(t->rows_p)->append(t->rows_p->self, store, buf, m, &first, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static const uint32_t no_loc = ENG_NO_LOC;

/* Full chunks first: the open one must be the last that is written. */
int eng_table_fill_column(struct eng_table *t, struct eng_column *c, struct sx_err *err)
{
    uint32_t open =
        t->chunks.next % SX_CHUNK_ROWS ? (uint32_t)(t->chunks.next >> SX_CHUNK_SHIFT) : UINT32_MAX;
    int rc = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; rc == 0 && i < t->chunks.n; i++) {
            const struct eng_unit *u = &t->chunks.at[i];
            if (!eng_unit_is_present(u) || u->state == ENG_UNIT_LEFT || (i == open) != pass)
                continue;
            rc = rops(t->rows_p)->begin(t->rows_p->self, c->loc, i, err);
            if (rc == 0)
                rc = pad(t, c->loc, &no_loc, sizeof(no_loc), u->fill, err);
        }
    }
    c->in_step = t->n_rows == 0;
    if (rc == 0 && !c->in_step && row_of_room(t, c, NULL, 0) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    return rc;
}

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
        rc = sides_cover(t, eng_table_view_chunks(t));
    return rc == 0 ? kill_room(t, t->staged.old, n, err)
                   : sx_err_set(err, rc, rc == SX_ENOSPACE ? "too many points" : "out of memory");
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
            rc = put_column(t, c, rows, n, err);
    }
    if (rc == 0)
        rc = put_payloads(t, rows, n, m.locs, m.blobs, err);
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
                                         room << ENG_ROW_ROOM_SHIFT};
    }
    if (rc == 0)
        rc = append_at(t->rows_p, t->rows, m.rows, sizeof(*m.rows), st->rows, n, err);
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
    int rc = kill_room(t, rows, n, err);
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
            kill(t, st->old[i]);
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
                    row_of_set(c, node, st->rows[i]);
            }
        }
        for (uint32_t i = 0; st->has_fields && i < t->schema->n_fields; i++)
            eng_field_commit(t->schema->fields[i]->field);
        t->n_live += st->n_new;
    }
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
        take_back(c->rows_p, c->vec, c->nodes.next, st->columns[i].nodes, st->columns[i].n);
        take_back(t->rows_p, c->loc, t->chunks.next, st->rows, st->n_new);
        /* A column that has node -> row now does without being in step. */
        c->in_step = c->in_step && !atomic_load_explicit(&c->row_of, memory_order_relaxed);
        for (uint32_t k = 0; k < st->columns[i].n; k++) {
            uint32_t node = st->columns[i].nodes[k];
            if (node % SX_CHUNK_ROWS == 0)
                eng_units_skip(&c->nodes, node >> SX_CHUNK_SHIFT);
        }
    }
    if (st->n_new)
        take_back(t->rows_p, t->rows, t->chunks.next, st->rows, st->n_new);
    /* Readers may hold tables that have the chunks begun: their numbers wait like dropped ones. */
    for (uint32_t i = 0; i < st->n_new; i++) {
        if (st->rows[i] % SX_CHUNK_ROWS == 0)
            eng_units_skip(&t->chunks, st->rows[i] >> SX_CHUNK_SHIFT);
    }
    t->eng->mem->release(t->eng->mem, st->mem);
    memset(&t->staged, 0, sizeof(t->staged));
}

/* --- open ----------------------------------------------------------------------------------------
 */

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
        u->at[i].bytes = bops(t->blobs_p)->bytes(t->blobs_p->self, blobs, i);
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
            rc = mark_dead(t, (uint32_t)i);
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
            return sx_err_set(err, SX_ECORRUPT, "vector %u lies in segment %u, which is absent",
                              nodes[i], segment);
        int rc =
            c->segments.at[segment].live < SAMPLE
                ? bops(t->blobs_p)->get(t->blobs_p->self, c->blobs, &at, 1, sample_one, &room, err)
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
        rops(t->rows_p)->rows(t->rows_p->self, c->loc, &loc);
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
        if (unlinked_room(c, 1) != 0)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        c->unlinked[c->n_unlinked++] = all;
    }
    if (!c->in_step && row_of_room(t, c, NULL, 0) != 0)
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
            return sx_err_set(err, SX_ECORRUPT, "row %u points at vector %u of %u", live[i], l,
                              c->n_nodes);
        if (!c->in_step)
            row_of_set(c, l, live[i]);
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
            eng_units_keep(&t->chunks, row);
            if (r->payload == ENG_NO_BLOB)
                continue;
            if (segment >= t->segments.n || t->segments.at[segment].state == ENG_UNIT_FREE)
                rc = sx_err_set(err, SX_ECORRUPT, "row %u: its payload's segment %u is absent", row,
                                segment);
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

void eng_table_fini(struct eng_table *t)
{
    const struct sx_mem *mem = t->eng->mem;
    struct eng_sides *s = atomic_load_explicit(&t->sides, memory_order_relaxed);
    for (uint32_t i = 0; s && i < s->n; i++) {
        mem->release(mem, (void *)(uintptr_t)s->side[i].died);
        mem->release(mem, (void *)(uintptr_t)s->side[i].dead);
    }
    mem->release(mem, s);
    eng_units_fini(&t->chunks);
    eng_units_fini(&t->segments);
    mem->release(mem, t->deaths);
    mem->release(mem, t->scratch);
    mem->release(mem, t->locators);
}
