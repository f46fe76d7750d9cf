/* Facets: how many of the selected points have each value.
 *
 * One accumulator per request: entries in order of their first appearance, found by hash. Counts
 * come from the parts of an index (field_facet.c), or, where no part covers a row, from documents.
 *
 * Threads: an accumulator belongs to one thread. */
#include <stdlib.h>
#include <string.h>

#include "field_facet.h"
#include "field_hash.h"

#include "sextant/sx_ban.h"

/* --- the accumulator --------------------------------------------------------------------- */

struct eng_facet *
eng_facet_create(const struct eng_field_schema *s, const struct sx_mem *mem, struct sx_arena *arena)
{
    struct eng_facet *k = mem->zalloc(mem, sizeof(*k));

    if (k == NULL)
        return NULL;
    k->mem = mem;
    k->arena = arena;
    k->schema = s;
    k->kind = s->type == ENG_FIELD_UUID      ? SX_FACET_UUID
              : s->type == ENG_FIELD_BOOL    ? SX_FACET_BOOL
              : s->type == ENG_FIELD_INTEGER ? SX_FACET_INT
                                             : SX_FACET_STR;
    return k;
}

void eng_facet_destroy(struct eng_facet *k)
{
    const struct sx_mem *mem;

    if (k == NULL)
        return;
    mem = k->mem;
    mem->release(mem, k->ent);
    mem->release(mem, k->slot);
    mem->release(mem, k->by_code);
    mem->release(mem, k->pending);
    mem->release(mem, k->counts);
    mem->release(mem, k);
}

/* Room for `cap` entries, in a table at most half full. */
int eng_facet_grow(struct eng_facet *k, uint32_t cap)
{
    uint32_t mask = 127;
    struct facet_entry *ent;
    uint32_t *slot;

    if (cap > UINT32_MAX / 4)
        return SX_ENOMEM;
    while (mask + 1 < 2 * cap)
        mask = 2 * mask + 1;
    ent = k->mem->resize(k->mem, k->ent, (uint64_t)cap * sizeof(*ent));
    if (ent == NULL)
        return SX_ENOMEM;
    k->ent = ent;
    slot = k->mem->zalloc(k->mem, ((uint64_t)mask + 1) * sizeof(*slot));
    if (slot == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < k->n; i++) {
        uint32_t at = ent[i].hash & mask;

        while (slot[at] != 0)
            at = (at + 1) & mask;
        slot[at] = i + 1;
    }
    k->mem->release(k->mem, k->slot);
    k->slot = slot;
    k->mask = mask;
    k->cap = cap;
    return SX_OK;
}

static int room(struct eng_facet *k)
{
    return k->n < k->cap ? SX_OK : eng_facet_grow(k, k->cap != 0 ? 2 * k->cap : 64);
}

static int same(uint32_t kind, const struct facet_entry *a, const struct facet_entry *b)
{
    if (a->hash != b->hash)
        return 0;
    if (kind == SX_FACET_STR)
        return a->v.str.n == b->v.str.n &&
               (a->v.str.n == 0 || memcmp(a->v.str.p, b->v.str.p, a->v.str.n) == 0);
    if (kind == SX_FACET_UUID)
        return a->v.uuid.hi == b->v.uuid.hi && a->v.uuid.lo == b->v.uuid.lo;
    return a->v.i == b->v.i;
}

/* The entry of a value, made when it is new; NULL: memory. */
struct facet_entry *eng_facet_entry(struct eng_facet *k, const struct facet_entry *like)
{
    struct facet_entry *e;
    uint32_t at;

    if (room(k) != SX_OK)
        return NULL;
    for (at = like->hash & k->mask; k->slot[at] != 0; at = (at + 1) & k->mask) {
        e = &k->ent[k->slot[at] - 1];
        if (same(k->kind, e, like))
            return e;
    }
    e = &k->ent[k->n];
    *e = *like;
    e->count = 0;
    e->doc = 0;
    if (k->kind == SX_FACET_STR) {
        e->v.str.p = sx_arena_strdup(k->arena, like->v.str.p, like->v.str.n);
        if (e->v.str.p == NULL)
            return NULL;
    }
    k->slot[at] = ++k->n;
    return e;
}

struct facet_entry eng_facet_entry_str(struct sx_str v)
{
    return (struct facet_entry){.hash = field_hash(v.p, v.n), .v = {.str = v}};
}

static struct facet_entry entry_int(int64_t v)
{
    uint64_t h =
        field_hash_fold((uint64_t)v ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93));

    return (struct facet_entry){.hash = (uint32_t)(h ^ h >> 32), .v = {.i = v}};
}

static struct facet_entry entry_uuid(const struct sx_id *v)
{
    return (struct facet_entry){.hash = (uint32_t)sx_id_hash(v), .v = {.uuid = *v}};
}

static int add(struct eng_facet *k, const struct facet_entry *like, uint64_t n)
{
    struct facet_entry *e = eng_facet_entry(k, like);

    if (e == NULL)
        return SX_ENOMEM;
    e->count += n;
    return SX_OK;
}

int eng_facet_add_str(struct eng_facet *k, struct sx_str v, uint64_t n)
{
    struct facet_entry like = eng_facet_entry_str(v);

    return add(k, &like, n);
}

int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n)
{
    struct facet_entry like = entry_int(v);

    return add(k, &like, n);
}

int eng_facet_add_bool(struct eng_facet *k, int v, uint64_t n)
{
    return n != 0 ? eng_facet_add_int(k, v != 0, n) : SX_OK;
}

int eng_facet_add_uuid(struct eng_facet *k, const struct sx_id *v, uint64_t n)
{
    struct facet_entry like = entry_uuid(v);

    return add(k, &like, n);
}

uint32_t *eng_facet_counts(struct eng_facet *k, uint32_t n)
{
    if (k->cap_counts < n || k->counts == NULL) {
        uint32_t *p = k->mem->resize(k->mem, k->counts, ((uint64_t)n + 1) * sizeof(*p));

        if (p == NULL)
            return NULL;
        k->counts = p;
        k->cap_counts = n;
    }
    memset(k->counts, 0, (uint64_t)n * sizeof(k->counts[0]));
    return k->counts;
}

/* --- documents --------------------------------------------------------------------------- */

/* A point counts once per value, however often its document has it. */
static int count_once(struct eng_facet *k, const struct facet_entry *like)
{
    struct facet_entry *e = eng_facet_entry(k, like);

    if (e == NULL) {
        k->failed = 1;
        return 1;
    }
    if (e->doc != k->doc) {
        e->doc = k->doc;
        e->count++;
    }
    return 0;
}

static int doc_value(void *arg, const struct sx_value *v)
{
    struct eng_facet *k = arg;
    struct facet_entry like;
    struct sx_id uuid;
    struct sx_str str;
    int64_t i;
    int yes;

    switch (k->kind) {
    case SX_FACET_UUID:
        if (!eng_value_uuid(v, &uuid))
            return 0;
        like = entry_uuid(&uuid);
        break;
    case SX_FACET_BOOL:
        if (!eng_value_bool(v, &yes))
            return 0;
        like = entry_int(yes);
        break;
    case SX_FACET_INT:
        if (!eng_value_int(v, &i))
            return 0;
        like = entry_int(i);
        break;
    default:
        if (!eng_value_str(v, &str))
            return 0;
        like = eng_facet_entry_str(str);
    }
    return count_once(k, &like);
}

int eng_facet_doc(struct eng_facet *k, struct sx_doc payload)
{
    if (++k->doc == 0) { /* numbers have come round */
        for (uint32_t i = 0; i < k->n; i++)
            k->ent[i].doc = 0;
        k->doc = 1;
    }
    (void)eng_path_each(&k->schema->path, payload, doc_value, k);
    return k->failed ? SX_ENOMEM : SX_OK;
}

/* --- the result -------------------------------------------------------------------------- */

/* Negative when a comes before b. */
static int before(uint32_t kind, const struct facet_entry *a, const struct facet_entry *b)
{
    int rc;

    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    if (kind == SX_FACET_STR) {
        uint32_t n = a->v.str.n < b->v.str.n ? a->v.str.n : b->v.str.n;

        rc = n != 0 ? memcmp(a->v.str.p, b->v.str.p, n) : 0;
        return rc != 0 ? rc : (a->v.str.n > b->v.str.n) - (a->v.str.n < b->v.str.n);
    }
    if (kind == SX_FACET_UUID)
        return sx_id_cmp(&a->v.uuid, &b->v.uuid);
    return (a->v.i > b->v.i) - (a->v.i < b->v.i);
}

/* heap[0 .. n): the entry that comes last is on top. */
static void sink(uint32_t kind, const struct facet_entry **heap, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t kid = 2 * i + 1;
        const struct facet_entry *e;

        if (kid >= n)
            return;
        if (kid + 1 < n && before(kind, heap[kid], heap[kid + 1]) < 0)
            kid++;
        if (before(kind, heap[i], heap[kid]) >= 0)
            return;
        e = heap[i];
        heap[i] = heap[kid];
        heap[kid] = e;
        i = kid;
    }
}

int eng_facet_top(struct eng_facet *k,
                  uint64_t limit,
                  const struct sx_facet_hit **hits,
                  uint32_t *n)
{
    uint32_t top = limit < k->n ? (uint32_t)limit : k->n;
    struct sx_facet_hit *out = sx_arena_zalloc(k->arena, (uint64_t)top * sizeof(*out) + 1);
    const struct facet_entry **heap = sx_arena_alloc(k->arena, (uint64_t)top * sizeof(*heap) + 1);

    if (out == NULL || heap == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < top; i++)
        heap[i] = &k->ent[i];
    for (uint32_t i = top / 2; i-- > 0;)
        sink(k->kind, heap, top, i);
    for (uint32_t i = top; top != 0 && i < k->n; i++) {
        if (before(k->kind, &k->ent[i], heap[0]) < 0) {
            heap[0] = &k->ent[i];
            sink(k->kind, heap, top, 0);
        }
    }
    /* The last of what is left goes to the end. */
    for (uint32_t left = top; left-- > 0;) {
        const struct facet_entry *e = heap[0];

        out[left].kind = k->kind;
        out[left].count = e->count;
        if (k->kind == SX_FACET_STR)
            out[left].str = e->v.str;
        else if (k->kind == SX_FACET_UUID)
            out[left].uuid = e->v.uuid;
        else
            out[left].i = e->v.i;
        heap[0] = heap[left];
        sink(k->kind, heap, left, 0);
    }
    *hits = out;
    *n = top;
    return SX_OK;
}
