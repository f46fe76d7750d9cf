/* External ids: the hash from id to newest row, and the life of the object. The ordered half is in
 * ids_runs.c, ids_merge.c and ids_cursor.c; the contract is in ids.h.
 *
 * The table stores 4-byte rows and no ids: whoever probes reads the id of the row it meets and
 * compares. At most 5/8 full it costs 1.3 to 1.8 probes per hit and 6.4 bytes an id at best, 8
 * after a growth by a quarter; small tables double. Slots are addressed by multiplication, so that
 * a size need not be a power of two.
 *
 * Growing does not stop the writer: the new table is published beside the old one, every put moves
 * 16 slots of the old table, and until that is done a lookup that misses in the new one asks the
 * old one. A put writes to the new one only, so the mover skips ids that are there already. Sixteen
 * is enough: a quarter more room is used up after 0.16 puts per old slot, and 1 / 0.16 is 6.4.
 *
 * Readers hold an epoch and never lock. They load the map (acquire), a slot (acquire), and the
 * row's id; the writer publishes in the opposite order. A reader that misses an id in the new table
 * before a put and finds it in the old one after it has seen the state before the put. */
#include <string.h>

#include "sextant/sx_text.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define IDS_FIRST     64u
#define IDS_SMALL     4096u        /* moved at once */
#define IDS_DOUBLE    (4u << 20)   /* slots: from here on tables grow by a quarter */
#define IDS_STEP      16u          /* slots moved per put */
#define IDS_MAP_BYTES (4ull << 20) /* from here on the slots are a mapping */

/* --- tables ------------------------------------------------------------------------------ */

static void table_destroy(void *arg)
{
    struct ids_table *t = arg;
    const struct sx_mem *mem = t->mem;

    if (t->slots != NULL && t->bytes >= IDS_MAP_BYTES)
        mem->unmap(mem, (void *)(uintptr_t)t->slots, t->bytes);
    else if (t->slots != NULL)
        mem->release(mem, (void *)(uintptr_t)t->slots);
    mem->release(mem, t);
}

static struct ids_table *table_create(const struct sx_mem *mem, uint64_t cap)
{
    struct ids_table *t = mem->zalloc(mem, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->mem = mem;
    t->cap = cap;
    t->bytes = cap * sizeof(uint32_t);
    t->slots = t->bytes >= IDS_MAP_BYTES ? mem->map(mem, t->bytes) : mem->zalloc(mem, t->bytes);
    if (t->slots == NULL) {
        table_destroy(t);
        return NULL;
    }
    return t;
}

static void map_destroy(void *arg)
{
    struct ids_map *map = arg;

    map->mem->release(map->mem, map);
}

static inline uint64_t slot_of(const struct ids_table *t, uint64_t hash)
{
    return (uint64_t)(((unsigned __int128)hash * t->cap) >> 64);
}

/* The slot that holds the id (*row set), or the one where it would go (*row = ENG_NO_ROW): free, or
 * of a removed id. The table is never full. */
static uint64_t table_find(const struct eng_ids *m,
                           const struct ids_table *t,
                           const struct sx_id *id,
                           uint32_t *row)
{
    uint64_t i = slot_of(t, sx_id_hash(id)), reuse = UINT64_MAX;

    for (;;) {
        /* pairs with the release in slot_set(): the row's id was written before */
        uint32_t v = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        struct sx_id tmp;

        *row = ~v;
        if (v == 0)
            return reuse != UINT64_MAX ? reuse : i;
        if (v == IDS_REMOVED)
            reuse = reuse != UINT64_MAX ? reuse : i;
        else if (sx_id_cmp(m->row_id(m->ctx, *row, &tmp), id) == 0)
            return i;
        if (++i == t->cap)
            i = 0;
    }
}

static void slot_set(struct eng_ids *m, const struct ids_table *t, uint64_t i, uint32_t row)
{
    if (atomic_load_explicit(&t->slots[i], memory_order_relaxed) == IDS_REMOVED)
        m->n_removed--; /* only of the table that is being filled */
    /* pairs with the acquire in table_find() */
    atomic_store_explicit(&t->slots[i], ~row, memory_order_release);
}

/* --- the object -------------------------------------------------------------------------- */

int eng_ids_create(const struct sx_mem *mem,
                   const struct sx_epoch *epoch,
                   eng_ids_row_fn row_id,
                   void *ctx,
                   struct eng_ids **out)
{
    struct eng_ids *m = mem->zalloc(mem, sizeof(*m));
    struct eng_ids_view *v = mem->zalloc(mem, sizeof(*v));

    if (m == NULL || v == NULL) {
        if (m != NULL)
            mem->release(mem, m);
        if (v != NULL)
            mem->release(mem, v);
        return SX_ENOMEM;
    }
    v->mem = mem;
    m->mem = mem;
    m->epoch = epoch;
    m->row_id = row_id;
    m->ctx = ctx;
    atomic_init(&m->map, NULL);
    atomic_init(&m->view, v);
    *out = m;
    return SX_OK;
}

void eng_ids_destroy(struct eng_ids *m)
{
    struct ids_map *map;

    if (m == NULL)
        return;
    map = atomic_load_explicit(&m->map, memory_order_relaxed);
    if (map != NULL) {
        table_destroy(map->cur);
        if (map->old != NULL)
            table_destroy(map->old);
        map_destroy(map);
    }
    eng_ids_runs_fini(m);
    if (m->pending != NULL)
        m->mem->release(m->mem, m->pending);
    m->mem->release(m->mem, m);
}

uint32_t eng_ids_count(const struct eng_ids *m)
{
    return m->n_ids;
}

uint32_t eng_ids_find(const struct eng_ids *m, const struct sx_id *id)
{
    /* pairs with the release in map_publish() */
    const struct ids_map *map = atomic_load_explicit(&m->map, memory_order_acquire);
    uint32_t row;

    if (map == NULL)
        return ENG_NO_ROW;
    (void)table_find(m, map->cur, id, &row);
    if (row == ENG_NO_ROW && map->old != NULL)
        (void)table_find(m, map->old, id, &row);
    return row;
}

/* --- growing ----------------------------------------------------------------------------- */

static void map_publish(struct eng_ids *m, struct ids_map *map)
{
    struct ids_map *before = atomic_load_explicit(&m->map, memory_order_relaxed);

    /* pairs with the acquire in eng_ids_find() */
    atomic_store_explicit(&m->map, map, memory_order_release);
    if (before != NULL)
        m->epoch->retire(map_destroy, before);
}

/* Moves up to n slots of the old table. */
static void move(struct eng_ids *m, struct ids_map *map, uint64_t n)
{
    struct ids_table *old = map->old;
    struct ids_map *alone;

    for (; n != 0 && m->moved < old->cap; n--) {
        uint32_t v = atomic_load_explicit(&old->slots[m->moved++], memory_order_relaxed), there;
        struct sx_id id;
        uint64_t i;

        if (v == 0 || v == IDS_REMOVED)
            continue;
        id = ids_row_id(m, ~v);
        i = table_find(m, map->cur, &id, &there);
        if (there == ENG_NO_ROW)
            slot_set(m, map->cur, i, ~v);
    }
    if (m->moved < old->cap)
        return;
    /* Without memory for the new map the old table stays a little longer; nothing is wrong. */
    alone = m->mem->zalloc(m->mem, sizeof(*alone));
    if (alone == NULL)
        return;
    alone->mem = m->mem;
    alone->cur = map->cur;
    map_publish(m, alone);
    m->epoch->retire(table_destroy, old);
}

/* Publishes a table for n ids in all, with the entries of the current one still to be moved. */
static int grow(struct eng_ids *m, struct ids_map *map, uint64_t n)
{
    uint64_t had = map != NULL ? map->cur->cap : 0;
    /* Where removed ids are what fills the table, one of the same size will do. */
    uint64_t cap = n * 16 / 5 <= had ? had : had < IDS_DOUBLE ? had * 2 : had + had / 4;
    struct ids_map *next = m->mem->zalloc(m->mem, sizeof(*next));

    if (cap < n * 8 / 5 + 1)
        cap = n * 8 / 5 + 1;
    if (cap < IDS_FIRST)
        cap = IDS_FIRST;
    if (next == NULL)
        return SX_ENOMEM;
    next->mem = m->mem;
    next->old = map != NULL ? map->cur : NULL;
    next->cur = table_create(m->mem, cap);
    if (next->cur == NULL) {
        m->mem->release(m->mem, next);
        return SX_ENOMEM;
    }
    m->moved = 0;
    m->n_removed = 0;
    map_publish(m, next);
    if (next->old != NULL && next->old->cap <= IDS_SMALL)
        move(m, next, next->old->cap);
    return SX_OK;
}

int eng_ids_reserve(struct eng_ids *m, uint32_t n)
{
    struct ids_map *map = atomic_load_explicit(&m->map, memory_order_relaxed);
    uint64_t need = (uint64_t)m->n_ids + n;

    if (need >= ENG_NO_ROW)
        return SX_ENOSPACE;
    if (map == NULL || (need + m->n_removed) * 8 > map->cur->cap * 5) {
        int rc;

        /* A jump in size can come before the last growth has been worked off. */
        if (map != NULL && map->old != NULL) {
            move(m, map, map->old->cap);
            map = atomic_load_explicit(&m->map, memory_order_relaxed);
            if (map->old != NULL)
                return SX_ENOMEM;
        }
        rc = grow(m, map, need);
        if (rc != SX_OK)
            return rc;
    }
    if (m->n_pending + n > m->pending_cap) {
        uint32_t cap =
            m->pending_cap * 2 > m->n_pending + n ? m->pending_cap * 2 : m->n_pending + n;
        uint32_t *p = m->mem->alloc(m->mem, (uint64_t)cap * sizeof(*p));

        if (p == NULL)
            return SX_ENOMEM;
        if (m->n_pending != 0)
            memcpy(p, m->pending, (uint64_t)m->n_pending * sizeof(*p));
        if (m->pending != NULL)
            m->mem->release(m->mem, m->pending);
        m->pending = p;
        m->pending_cap = cap;
    }
    return eng_ids_runs_reserve(m, m->n_pending + n);
}

uint32_t eng_ids_put(struct eng_ids *m, const struct sx_id *id, uint32_t row)
{
    struct ids_map *map = atomic_load_explicit(&m->map, memory_order_relaxed);
    uint32_t before;
    uint64_t i;

    if (map->old != NULL) {
        move(m, map, IDS_STEP);
        map = atomic_load_explicit(&m->map, memory_order_relaxed);
    }
    i = table_find(m, map->cur, id, &before);
    if (before == ENG_NO_ROW && map->old != NULL)
        (void)table_find(m, map->old, id, &before);
    slot_set(m, map->cur, i, row);
    if (before == ENG_NO_ROW) {
        m->n_ids++;
        m->pending[m->n_pending++] = row;
    }
    return before;
}

/* --- letting go --------------------------------------------------------------------------- */

#define SETTLE_SLOTS 16384u

int eng_ids_settle(struct eng_ids *m)
{
    struct ids_map *map = atomic_load_explicit(&m->map, memory_order_relaxed);

    if (map != NULL && map->old != NULL)
        move(m, map, SETTLE_SLOTS);
    map = atomic_load_explicit(&m->map, memory_order_relaxed);
    return map == NULL || map->old == NULL;
}

/* The entry, if it is this row: an id that has come again points elsewhere. */
static int
table_remove(struct eng_ids *m, struct ids_table *t, const struct sx_id *id, uint32_t row)
{
    uint32_t there;
    uint64_t i = table_find(m, t, id, &there);

    if (there != row)
        return 0;
    atomic_store_explicit(&t->slots[i], IDS_REMOVED, memory_order_release);
    return 1;
}

/* An id has one entry, in a run or, while runs are being merged, in the destination too. */
static void runs_remove(struct eng_ids *m, struct ids_run *r, uint32_t n, const struct sx_id *id)
{
    uint32_t i = eng_ids_run_bound(m, r, 0, n, id, 0);
    struct sx_id there;

    if (i == n)
        return;
    there = ids_row_id(m, ids_run_row(r, i));
    if (sx_id_cmp(&there, id) != 0)
        return;
    ids_run_set(r, i, ENG_NO_ROW);
    r->holes++;
}

void eng_ids_remove_rows(struct eng_ids *m, uint32_t first, uint32_t n)
{
    struct eng_ids_view *v = ids_view_now(m);

    for (uint32_t row = first; row < first + n; row++) {
        struct ids_map *map = atomic_load_explicit(&m->map, memory_order_relaxed);
        struct sx_id id = ids_row_id(m, row);
        int is_newest = eng_ids_find(m, &id) == row;

        if (map == NULL)
            return;
        if (map->old != NULL)
            (void)table_remove(m, map->old, &id, row);
        if (table_remove(m, map->cur, &id, row))
            m->n_removed++;
        if (!is_newest)
            continue;
        m->n_ids--;
        for (uint32_t j = 0; j < v->n_runs; j++)
            runs_remove(m, v->runs[j].run, v->runs[j].n, &id);
        for (uint32_t j = 0; j < m->n_merges; j++)
            runs_remove(m, m->merges[j].dst, m->merges[j].n, &id);
    }
}

int eng_ids_load(struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    struct ids_map *map = atomic_load_explicit(&m->map, memory_order_relaxed);
    int rc;

    if (m->n_ids != 0 || map != NULL)
        return SX_EINTERNAL; /* only into an empty one */
    if (n == 0)
        return SX_OK;
    rc = n < ENG_NO_ROW ? grow(m, NULL, n) : SX_ENOSPACE;
    if (rc == SX_OK)
        rc = eng_ids_runs_load(m, rows, n);
    if (rc != SX_OK)
        return rc;
    map = atomic_load_explicit(&m->map, memory_order_relaxed);
    for (uint32_t j = 0; j < n; j++) {
        struct sx_id id = ids_row_id(m, rows[j]);
        uint32_t there;
        uint64_t i = table_find(m, map->cur, &id, &there);

        slot_set(m, map->cur, i, rows[j]);
    }
    m->n_ids = n;
    return SX_OK;
}
