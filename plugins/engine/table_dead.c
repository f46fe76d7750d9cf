/* Deaths: ticks and bits of dead rows, by chunk. See table.h.
 *
 * A chunk gets its side (ticks, bits) when the first of its rows dies, and loses it with its files.
 * The table of sides is replaced as a whole and the old one retired. Room is made before a change
 * is logged, so that killing cannot fail.
 *
 * Threads: the writer; eng_deaths_apply() on any. */
#include <string.h>

#include "schema.h"
#include "table_priv.h"

#include "sextant/sx_ban.h"

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
int eng_table_cover_sides(struct eng_table *t, uint32_t n_chunks)
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

/* Room (sides, death list) for killing the rows; afterwards eng_table_kill() cannot fail. */
int eng_table_kill_room(struct eng_table *t, const uint32_t *rows, uint32_t n, struct sx_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i] != ENG_NO_ROW && !side_for(t, rows[i] >> SX_CHUNK_SHIFT))
            return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    if (deaths_room(t, n) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    return 0;
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

void eng_table_kill(struct eng_table *t, uint32_t row)
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
    t->n_hidden -= (uint64_t)eng_row_is_hidden(eng_table_row(t, row), t->schema->config);
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
    return eng_died_of(atomic_load_explicit(&((struct eng_table *)(uintptr_t)t)->sides,
                                            memory_order_relaxed),
                       row) != 0;
}

int eng_table_forget_sides(struct eng_table *t, uint32_t chunk)
{
    struct eng *e = t->eng;
    struct eng_sides *old = atomic_load_explicit(&t->sides, memory_order_relaxed);
    if (!old || chunk >= old->n || !old->side[chunk].died)
        return 0;
    struct eng_chunk_side gone = old->side[chunk];
    struct eng_sides *s = sides_copy(t, 0);
    struct eng_retired *r = eng_retired_new(e);
    if (!s || !r) {
        e->mem->release(e->mem, s);
        e->mem->release(e->mem, r);
        return SX_ENOMEM;
    }
    s->side[chunk] = (struct eng_chunk_side){NULL, NULL};
    s->dead[chunk] = NULL;
    sides_publish(t, s);
    eng_retire(e, r, (void *)(uintptr_t)gone.died, (void *)(uintptr_t)gone.dead);
    return 0;
}
