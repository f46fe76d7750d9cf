/* The row table: appending versions, killing them, and reading through a view. See table.h. */
#include "table.h"

#include <string.h>

#include "field.h"
#include "schema.h"

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

uint32_t eng_view_chunks(uint32_t n_rows)
{
    return (uint32_t)(((uint64_t)n_rows + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
}

struct eng_view *eng_view_alloc(const struct eng *e, uint32_t n_chunks)
{
    struct eng_view *v;
    return e->mem->alloc(e->mem, sizeof(*v) + n_chunks * sizeof(v->fill[0]));
}

void eng_view_fill(struct eng_view *v, const struct eng_table *t)
{
    uint32_t n_chunks = eng_view_chunks(t->n_rows);
    v->schema = t->schema;
    v->commit = t->commit;
    v->tick = t->tick;
    v->n_live = t->n_live;
    v->n_rows = t->n_rows;
    v->n_chunks = n_chunks;
    v->n_columns = t->n_columns;
    v->pad = 0;
    for (uint32_t c = 0; c < t->n_columns; c++) {
        if (!t->columns[c])
            continue;
        v->columns[c].n_nodes = t->columns[c]->n_nodes;
        v->columns[c].in_step = t->columns[c]->in_step;
    }
    for (uint32_t i = 0; i < n_chunks; i++)
        v->fill[i] = i + 1 < n_chunks ? SX_CHUNK_ROWS : t->n_rows - (i << SX_CHUNK_SHIFT);
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
    if (row != ENG_NO_ROW && row >= rows.n)
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
    struct sx_rows row_of;
    uint32_t row = node;
    if (eng_reader_row_of(r, c, &row_of))
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
static int sides_cover(struct eng_table *t, uint64_t n_rows)
{
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    uint32_t n_chunks = (uint32_t)((n_rows + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
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
    uint32_t n_chunks = (uint32_t)(((uint64_t)t->n_rows + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
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

static void kill(struct eng_table *t, uint32_t row)
{
    struct eng_chunk_side *s = side_for(t, row >> SX_CHUNK_SHIFT);
    uint32_t o = row & (SX_CHUNK_ROWS - 1);
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

int eng_table_mark_dead(struct eng_table *t, uint32_t row)
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

/* Chunks for nodes below n. A column that leaves step gets identity for the nodes it has. */
static int row_of_room(struct eng_table *t, struct eng_column *c, uint32_t n)
{
    struct eng *e = t->eng;
    struct eng_row_of *old = atomic_load_explicit(&c->row_of, memory_order_relaxed);
    uint32_t chunks = (uint32_t)(((uint64_t)n + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT);
    if (chunks == 0)
        chunks = 1;
    if (old && old->n_chunks >= chunks)
        return 0;
    struct eng_row_of *m = e->mem->zalloc(e->mem, sizeof(*m) + chunks * sizeof(m->chunks[0]));
    if (!m)
        return SX_ENOMEM;
    m->n_chunks = chunks;
    uint32_t have = old ? old->n_chunks : 0;
    if (old)
        memcpy(m->chunks, old->chunks, have * sizeof(m->chunks[0]));
    for (uint32_t i = have; i < chunks; i++) {
        m->chunks[i] = e->mem->zalloc(e->mem, SX_CHUNK_ROWS * 4u);
        if (!m->chunks[i]) {
            while (i-- > have)
                e->mem->release(e->mem, m->chunks[i]);
            e->mem->release(e->mem, m);
            return SX_ENOMEM;
        }
    }
    if (!old) {
        for (uint32_t i = 0; i < c->n_nodes; i++)
            ((uint32_t *)(void *)m->chunks[i >> SX_CHUNK_SHIFT])[i & (SX_CHUNK_ROWS - 1)] = i;
    } else if (retire_block(e, old) != 0) {
        for (uint32_t i = have; i < chunks; i++)
            e->mem->release(e->mem, m->chunks[i]);
        e->mem->release(e->mem, m);
        return SX_ENOMEM;
    }
    /* pairs with the acquire in eng_reader_row_of() */
    atomic_store_explicit(&c->row_of, m, memory_order_release);
    return 0;
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

/* The bytes of multi or sparse vectors; t->locators then tells where they are. */
static int put_blobs(struct eng_table *t,
                     const struct eng_column *c,
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
    mem->release(mem, blobs);
    return rc;
}

/* Vectors and locations of column ci for n new rows. What it leaves after a failure is settled by
 * the next stage: n_nodes and in_step only move at commit. */
static int put_column(struct eng_table *t,
                      uint32_t ci,
                      const struct eng_new_row *rows,
                      uint32_t n,
                      struct sx_err *err)
{
    struct eng_column *c = t->columns[ci];
    struct eng_staged *st = &t->staged;
    struct sx_rows old;
    uint32_t have = 0, first = c->n_nodes, node = first, at = 0;
    for (uint32_t i = 0; i < n; i++)
        have += rows[i].vectors[ci] != NULL && rows[i].vectors[ci] != ENG_KEEP;
    rops(t->rows_p)->rows(t->rows_p->self, c->loc, &old);

    uint64_t loc_at = ((uint64_t)have * c->row_bytes + 63) & ~63ull;
    if (c->blobs) { /* the blobs first: their locators are the rows */
        int rc = put_blobs(t, c, ci, rows, n, have, err);
        if (rc != 0)
            return rc;
    }
    uint8_t *buf = scratch(t, loc_at + n * 4ull);
    if (!buf)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    uint32_t *locs = (uint32_t *)(void *)(buf + loc_at);
    for (uint32_t i = 0; i < n; i++) {
        locs[i] = ENG_NO_LOC;
        if (rows[i].vectors[ci] == ENG_KEEP) {
            locs[i] = *(const uint32_t *)sx_rows_at(&old, rows[i].from);
            if (locs[i] != ENG_NO_LOC)
                st->kept[st->n_kept++] = (struct eng_kept){ci, locs[i], t->n_rows + i};
        } else if (rows[i].vectors[ci]) {
            const void *from = c->blobs ? &t->locators[at] : rows[i].vectors[ci];
            memcpy(buf + (uint64_t)at++ * c->row_bytes, from, c->row_bytes);
            locs[i] = node++;
        }
    }
    int stays = c->in_step && have == n && first == t->n_rows;
    if (!stays && row_of_room(t, c, node) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    uint32_t got = first;
    int rc = 0;
    if (have)
        rc = rops(c->rows_p)->append(c->rows_p->self, c->vec, buf, have, &got, err);
    if (rc == 0 && got != first)
        rc = sx_err_set(err, SX_EINTERNAL, "vectors are out of step with the table");
    if (rc == 0)
        rc = rops(t->rows_p)->append(t->rows_p->self, c->loc, locs, n, &got, err);
    if (rc == 0 && got != t->n_rows)
        rc = sx_err_set(err, SX_EINTERNAL, "locations are out of step with the table");
    for (uint32_t i = 0; rc == 0 && !stays && i < n; i++) {
        if (locs[i] != ENG_NO_LOC && rows[i].vectors[ci] != ENG_KEEP) /* kept ones at commit */
            row_of_set(c, locs[i], t->n_rows + i);
    }
    c->next_nodes = node;
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

static uint32_t store_rows(const struct sx_provider *p, void *h)
{
    struct sx_rows r;
    rops(p)->rows(p->self, h, &r);
    return r.n;
}

/* Appends `n` copies of one row. */
static int pad(struct eng_table *t,
               void *store,
               const void *row,
               uint32_t row_bytes,
               uint32_t n,
               struct sx_err *err)
{
    uint32_t first;
    uint8_t *buf = scratch(t, 256ull * row_bytes);
    if (!buf)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < 256; i++)
        memcpy(buf + (uint64_t)i * row_bytes, row, row_bytes);
    while (n) {
        uint32_t m = n < 256 ? n : 256;
        int rc = rops(t->rows_p)->append(t->rows_p->self, store, buf, m, &first, err);
        if (rc != 0)
            return rc;
        n -= m;
    }
    return 0;
}

int eng_table_fill_column(struct eng_table *t, struct eng_column *c, struct sx_err *err)
{
    static const uint32_t no_loc = ENG_NO_LOC;
    int rc = pad(t, c->loc, &no_loc, sizeof(no_loc), t->n_rows, err);
    c->in_step = t->n_rows == 0;
    if (rc == 0 && !c->in_step && row_of_room(t, c, 0) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    return rc;
}

/* What an aborted change left in the stores becomes dead rows and vectors that belong to no row. */
static int settle(struct eng_table *t, struct sx_err *err)
{
    static const struct eng_row nobody = {0, 0, 0, ENG_NO_BLOB, ENG_NO_ROW, 0};
    static const uint32_t no_loc = ENG_NO_LOC;
    uint32_t have = store_rows(t->rows_p, t->rows), end = have;
    int rc = 0;
    if (!t->unsettled)
        return 0;
    for (uint32_t i = 0; i < t->n_columns; i++) {
        if (!t->columns[i])
            continue;
        uint32_t n = store_rows(t->rows_p, t->columns[i]->loc);
        end = n > end ? n : end;
    }
    for (uint32_t i = 0; rc == 0 && i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        if (!c)
            continue;
        uint32_t n = store_rows(t->rows_p, c->loc), nodes = store_rows(c->rows_p, c->vec);
        rc = pad(t, c->loc, &no_loc, sizeof(no_loc), end - n, err);
        if (rc == 0 && row_of_room(t, c, nodes) != 0)
            rc = sx_err_set(err, SX_ENOMEM, "out of memory");
        for (uint32_t k = c->n_nodes; rc == 0 && k < nodes; k++)
            row_of_set(c, k, ENG_NO_ROW);
    }
    if (rc == 0)
        rc = pad(t, t->rows, &nobody, sizeof(nobody), end - have, err);
    for (uint32_t i = t->n_rows; rc == 0 && i < end;
         i += SX_CHUNK_ROWS - (i & (SX_CHUNK_ROWS - 1))) {
        if (!side_for(t, i >> SX_CHUNK_SHIFT))
            rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    if (rc == 0 && sides_cover(t, end) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc != 0)
        return rc;
    /* No view knows these rows, so they may be dead at once. */
    for (uint32_t i = t->n_rows; i < end; i++)
        (void)eng_table_mark_dead(t, i);
    for (uint32_t i = 0; i < t->n_columns; i++) {
        struct eng_column *c = t->columns[i];
        if (!c)
            continue;
        c->in_step = 0;
        __atomic_store_n(&c->n_nodes, store_rows(c->rows_p, c->vec), __ATOMIC_RELEASE);
    }
    t->n_rows = end;
    t->unsettled = 0;
    return 0;
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
    for (i = 0; rc == 0 && i < t->schema->n_fields; i++)
        rc = eng_field_stage(t->schema->fields[i]->field, t->n_rows, n, docs, err);
    if (rc != 0) {
        for (i--; i-- > 0;)
            eng_field_abort(t->schema->fields[i]->field);
    }
    t->staged.has_fields = rc == 0;
    return rc;
}

int eng_table_stage_put(struct eng_table *t,
                        uint64_t number,
                        const struct eng_new_row *rows,
                        uint32_t n,
                        struct sx_err *err)
{
    struct eng *e = t->eng;
    struct eng_staged *st = &t->staged;
    uint32_t first;
    if (n == 0) { /* selected nothing */
        eng_table_stage_nothing(t, number);
        return 0;
    }
    int rc = settle(t, err);

    if (rc != 0)
        return rc;
    if ((uint64_t)t->n_rows + n >= ENG_NO_ROW)
        return sx_err_set(err, SX_ENOSPACE, "the shard's row numbers are used up");
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < t->n_columns; c++)
            n_kept += rows[i].vectors[c] == ENG_KEEP;
    }
    uint8_t *mem = e->mem->alloc(e->mem, n * (sizeof(struct eng_row) + sizeof(sx_locator) +
                                              sizeof(struct sx_str) + sizeof(struct sx_id) +
                                              sizeof(struct sx_doc) + sizeof(void *) + 4ull) +
                                             n_kept * sizeof(struct eng_kept) + 64);
    if (!mem)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    struct eng_row *out = (struct eng_row *)(void *)mem;
    sx_locator *locs = (sx_locator *)(out + n);
    struct sx_str *blobs = (struct sx_str *)(locs + n);
    struct sx_id *ids = (struct sx_id *)(blobs + n);
    *st = (struct eng_staged){
        .number = number, .mem = mem, .n_old = n, .n_new = n, .base = t->n_rows};
    struct sx_doc *docs = (struct sx_doc *)(void *)(ids + n);
    st->ids = (const struct sx_id **)(void *)(docs + n);
    st->old = (uint32_t *)(void *)(st->ids + n);
    st->kept = (struct eng_kept *)(void *)(st->old + n);

    t->unsettled = 1; /* until commit */
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = rows[i].id;
        st->ids[i] = &ids[i];
        st->old[i] = eng_table_find(t, &rows[i].id);
    }
    if (eng_ids_reserve(t->ids, n) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0)
        rc = kill_room(t, st->old, n, err);
    if (rc == 0 && sides_cover(t, (uint64_t)t->n_rows + n) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t c = 0; rc == 0 && c < t->n_columns; c++) {
        if (t->columns[c])
            rc = put_column(t, c, rows, n, err);
    }
    if (rc == 0)
        rc = put_payloads(t, rows, n, locs, blobs, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        out[i] = (struct eng_row){rows[i].id.hi,
                                  rows[i].id.lo,
                                  number,
                                  locs[i],
                                  eng_ids_find(t->ids, &rows[i].id),
                                  rows[i].id.kind == SX_ID_UUID ? ENG_ROW_UUID : 0};
    }
    if (rc == 0)
        rc = rops(t->rows_p)->append(t->rows_p->self, t->rows, out, n, &first, err);
    if (rc == 0 && first != t->n_rows)
        rc = sx_err_set(err, SX_EINTERNAL, "the row table is out of step");
    if (rc == 0 && t->schema->n_fields)
        rc = stage_fields(t, rows, n, docs, err);
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
    t->staged = (struct eng_staged){.number = number, .mem = rows, .old = rows, .n_old = n};
    int rc = kill_room(t, rows, n, err);
    if (rc != 0)
        eng_table_abort(t);
    return rc;
}

void eng_table_stage_nothing(struct eng_table *t, uint64_t number)
{
    t->staged = (struct eng_staged){.number = number};
}

void eng_table_commit(struct eng_table *t)
{
    struct eng_staged *st = &t->staged;
    t->tick++;
    for (uint32_t i = 0; i < st->n_old; i++) {
        /* Dead already when an id to delete was named twice. */
        if (st->old[i] != ENG_NO_ROW && !eng_table_is_dead(t, st->old[i]))
            kill(t, st->old[i]);
    }
    if (st->n_new) {
        for (uint32_t i = 0; i < st->n_new; i++)
            eng_ids_put(t->ids, st->ids[i], st->base + i);
        eng_ids_commit(t->ids);
        for (uint32_t i = 0; i < t->n_columns; i++) {
            struct eng_column *c = t->columns[i];
            if (!c)
                continue;
            /* pairs with source_count() */
            __atomic_store_n(&c->n_nodes, c->next_nodes, __ATOMIC_RELEASE);
            c->in_step = c->next_in_step;
        }
        for (uint32_t i = 0; i < st->n_kept; i++)
            row_of_set(t->columns[st->kept[i].column], st->kept[i].node, st->kept[i].row);
        for (uint32_t i = 0; st->has_fields && i < t->schema->n_fields; i++)
            eng_field_commit(t->schema->fields[i]->field);
        t->n_rows += st->n_new;
        t->n_live += st->n_new;
        t->unsettled = 0;
    }
    t->commit = st->number;
    t->eng->mem->release(t->eng->mem, st->mem);
    memset(st, 0, sizeof(*st));
}

void eng_table_abort(struct eng_table *t)
{
    for (uint32_t i = 0; t->staged.has_fields && i < t->schema->n_fields; i++)
        eng_field_abort(t->schema->fields[i]->field);
    t->eng->mem->release(t->eng->mem, t->staged.mem);
    memset(&t->staged, 0, sizeof(t->staged));
}

/* --- open ----------------------------------------------------------------------------------------
 */

int eng_table_rebuild(struct eng_table *t, struct sx_err *err)
{
    struct eng *e = t->eng;
    struct sx_rows rows, loc;
    uint32_t *live = e->mem->alloc(e->mem, (t->n_rows ? t->n_rows : 1) * 4ull);
    uint32_t n = 0;
    if (!live)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    rops(t->rows_p)->rows(t->rows_p->self, t->rows, &rows);
    for (uint32_t i = 0; i < t->n_rows; i++) {
        if (!eng_table_is_dead(t, i))
            live[n++] = i;
    }
    t->n_live = n;
    int rc = eng_ids_load(t->ids, live, n);
    e->mem->release(e->mem, live);
    if (rc != 0)
        return sx_err_set(err, rc, "loading the ids failed");

    for (uint32_t ci = 0; ci < t->n_columns; ci++) {
        struct eng_column *c = t->columns[ci];
        if (!c)
            continue;
        rops(t->rows_p)->rows(t->rows_p->self, c->loc, &loc);
        c->in_step = c->n_nodes == t->n_rows;
        for (uint32_t i = 0; c->in_step && i < t->n_rows; i++)
            c->in_step = *(const uint32_t *)sx_rows_at(&loc, i) == i;
        if (c->in_step)
            continue;
        if (row_of_room(t, c, c->n_nodes) != 0)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        for (uint32_t i = 0; i < c->n_nodes; i++)
            row_of_set(c, i, ENG_NO_ROW); /* vectors of aborted changes belong to no row */
        /* In row order, so that the newest version of a shared location wins. */
        for (uint32_t i = 0; i < t->n_rows; i++) {
            uint32_t l = *(const uint32_t *)sx_rows_at(&loc, i);
            if (l == ENG_NO_LOC)
                continue;
            if (l >= c->n_nodes)
                return sx_err_set(err, SX_ECORRUPT, "row %u points at vector %u of %u", i, l,
                                  c->n_nodes);
            row_of_set(c, l, i);
        }
    }
    return 0;
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
    mem->release(mem, t->deaths);
    mem->release(mem, t->scratch);
    mem->release(mem, t->locators);
}
