/* Facets: how many of the selected points have each value.
 *
 * One accumulator per request. Its entries are found by hash, once per value; what comes again and
 * again, the same strings out of every part, is found by number instead:
 *
 *   part:     code  -> number   kept with the part, filled as facets meet the codes
 *   field:    number <- string  the numbers of the field's values, kept with the field
 *   request:  number -> entry   in the accumulator
 *
 * So a request hashes each value once and then counts by two array lookups a value and part: of
 * 1 000 values in 16 parts, under a mask of one row in a hundred, the first request takes 1 100 us
 * and every other 200. Both tables are bounded (a field of many values gains little and would pay
 * some 50 bytes for each); beyond the bounds strings are hashed.
 *
 * The field's numbers are an immutable snapshot that only ever grows: who needs more of them makes
 * a longer copy and swaps it in, or starts over when another was faster. A number once given stays,
 * so a part may note it without knowing which snapshot it came from.
 *
 * Threads: an accumulator belongs to one thread; parts and field are shared, in an epoch. */
#include <stdlib.h>
#include <string.h>

#include "field_hash.h"
#include "field_priv.h"

#include "sextant/sx_ban.h"

#define NUMBERS_MAX      16384u     /* values of a field that get numbers */
#define NUMBERS_TEXT_MAX (1u << 20) /* and bytes of them */
#define CODES_MAX        4096u      /* of a part that notes numbers: a quarter byte a row */
#define NO_NUMBER        UINT32_MAX
#define RETRIES          4u

struct facet_map {
    const struct sx_mem *mem;
    uint32_t n, pad;
    _Atomic uint32_t number[]; /* by code */
};

struct facet_dict {
    const struct sx_mem *mem;
    uint32_t n, mask;
    uint64_t text_n;
    uint32_t *slot; /* number + 1 */
    struct {
        uint32_t hash, n;
        const char *p; /* in text */
    } * val;
    char *text;
};

struct entry {
    uint64_t count;
    uint32_t hash, doc; /* doc: the last one that was counted here */
    union {
        struct sx_str str;
        int64_t i;
        struct sx_id uuid;
    } v;
};

struct eng_facet {
    const struct sx_mem *mem;
    struct sx_arena *arena;
    const struct eng_field_schema *schema;
    uint32_t kind; /* SX_FACET_* */
    uint32_t n, cap, mask;
    struct entry *ent;
    uint32_t *slot;    /* entry + 1 */
    uint32_t *by_code; /* number -> entry + 1 */
    uint32_t n_by_code;
    uint32_t doc, failed; /* failed: memory ran short inside a walk */

    /* the part being counted */
    const struct eng_field *field;
    struct field_part *part;
    struct facet_map *map;
    struct {
        uint32_t code, entry;
    } * pending; /* codes without number yet */
    uint32_t n_pending, cap_pending;
    uint32_t *counts;
    uint64_t cap_counts;
};

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
static int grow(struct eng_facet *k, uint32_t cap)
{
    uint32_t mask = 127;
    struct entry *ent;
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
    return k->n < k->cap ? SX_OK : grow(k, k->cap != 0 ? 2 * k->cap : 64);
}

static int same(uint32_t kind, const struct entry *a, const struct entry *b)
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
static struct entry *entry_of(struct eng_facet *k, const struct entry *like)
{
    struct entry *e;
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

static struct entry entry_str(struct sx_str v)
{
    return (struct entry){.hash = field_hash(v.p, v.n), .v = {.str = v}};
}

static struct entry entry_int(int64_t v)
{
    uint64_t h =
        field_hash_fold((uint64_t)v ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93));

    return (struct entry){.hash = (uint32_t)(h ^ h >> 32), .v = {.i = v}};
}

static struct entry entry_uuid(const struct sx_id *v)
{
    return (struct entry){.hash = (uint32_t)sx_id_hash(v), .v = {.uuid = *v}};
}

static int add(struct eng_facet *k, const struct entry *like, uint64_t n)
{
    struct entry *e = entry_of(k, like);

    if (e == NULL)
        return SX_ENOMEM;
    e->count += n;
    return SX_OK;
}

int eng_facet_add_str(struct eng_facet *k, struct sx_str v, uint64_t n)
{
    struct entry like = entry_str(v);

    return add(k, &like, n);
}

int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n)
{
    struct entry like = entry_int(v);

    return add(k, &like, n);
}

int eng_facet_add_bool(struct eng_facet *k, int v, uint64_t n)
{
    return n != 0 ? eng_facet_add_int(k, v != 0, n) : SX_OK;
}

int eng_facet_add_uuid(struct eng_facet *k, const struct sx_id *v, uint64_t n)
{
    struct entry like = entry_uuid(v);

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

/* --- numbers of values ------------------------------------------------------------------- */

void eng_facet_map_destroy(struct facet_map *m)
{
    m->mem->release(m->mem, m);
}

static void dict_free(void *dict)
{
    struct facet_dict *d = dict;

    d->mem->release(d->mem, d);
}

void eng_facet_dict_destroy(struct eng_field *f)
{
    struct facet_dict *d = atomic_load_explicit(&f->dict, memory_order_relaxed);

    if (d != NULL)
        dict_free(d);
}

void eng_facet_codes(struct eng_facet *k, uint32_t n_codes)
{
    struct facet_map *m, *none = NULL;

    k->map = NULL;
    if (k->part == NULL)
        return; /* bytes that belong to no index */
    /* pairs with the exchange below */
    k->map = atomic_load_explicit(&k->part->codes, memory_order_acquire);
    if (k->map != NULL || n_codes == 0 || n_codes > CODES_MAX)
        return;
    m = k->part->eng->mem->alloc(k->part->eng->mem,
                                 sizeof(*m) + (uint64_t)n_codes * sizeof(m->number[0]));
    if (m == NULL)
        return;
    m->mem = k->part->eng->mem;
    m->n = n_codes;
    for (uint32_t i = 0; i < n_codes; i++)
        atomic_init(&m->number[i], NO_NUMBER);
    /* pairs with the acquire above, and with its own when another thread was first */
    if (atomic_compare_exchange_strong_explicit(&k->part->codes, &none, m, memory_order_acq_rel,
                                                memory_order_acquire)) {
        k->map = m;
    } else {
        eng_facet_map_destroy(m);
        k->map = none;
    }
}

/* Notes where the request counts the value of that number. */
static int note(struct eng_facet *k, uint32_t number, uint32_t entry)
{
    if (number >= k->n_by_code) {
        uint32_t n = (number | 1023) + 1;
        uint32_t *p = k->mem->resize(k->mem, k->by_code, (uint64_t)n * sizeof(*p));

        if (p == NULL)
            return SX_ENOMEM;
        memset(p + k->n_by_code, 0, (uint64_t)(n - k->n_by_code) * sizeof(*p));
        k->by_code = p;
        k->n_by_code = n;
    }
    k->by_code[number] = entry + 1;
    return SX_OK;
}

static int wait_for_number(struct eng_facet *k, uint32_t code, uint32_t entry)
{
    if (k->n_pending == k->cap_pending) {
        uint32_t cap = k->cap_pending != 0 ? k->cap_pending * 2 : 256;
        void *p = k->mem->resize(k->mem, k->pending, (uint64_t)cap * sizeof(k->pending[0]));

        if (p == NULL)
            return SX_ENOMEM;
        k->pending = p;
        k->cap_pending = cap;
    }
    k->pending[k->n_pending].code = code;
    k->pending[k->n_pending++].entry = entry;
    return SX_OK;
}

int eng_facet_add_code(struct eng_facet *k, uint32_t code, struct sx_str v, uint64_t n)
{
    struct facet_map *m = k->map;
    uint32_t number = m != NULL && code < m->n
                          ? atomic_load_explicit(&m->number[code], memory_order_relaxed)
                          : NO_NUMBER;
    struct entry like, *e;

    if (number < k->n_by_code && k->by_code[number] != 0) {
        k->ent[k->by_code[number] - 1].count += n;
        return SX_OK;
    }
    like = entry_str(v);
    e = entry_of(k, &like);
    if (e == NULL)
        return SX_ENOMEM;
    e->count += n;
    if (m == NULL || code >= m->n)
        return SX_OK;
    return number != NO_NUMBER ? note(k, number, (uint32_t)(e - k->ent))
                               : wait_for_number(k, code, (uint32_t)(e - k->ent));
}

static uint32_t dict_find(const struct facet_dict *d, const struct entry *e)
{
    if (d == NULL)
        return NO_NUMBER;
    for (uint32_t at = e->hash & d->mask; d->slot[at] != 0; at = (at + 1) & d->mask) {
        uint32_t number = d->slot[at] - 1;

        if (d->val[number].hash == e->hash && d->val[number].n == e->v.str.n &&
            (e->v.str.n == 0 || memcmp(d->val[number].p, e->v.str.p, e->v.str.n) == 0))
            return number;
    }
    return NO_NUMBER;
}

static void dict_put(struct facet_dict *d, uint32_t hash, const char *p, uint32_t n)
{
    uint32_t at = hash & d->mask;

    if (n != 0)
        memcpy(d->text + d->text_n, p, n);
    d->val[d->n].hash = hash;
    d->val[d->n].n = n;
    d->val[d->n].p = d->text + d->text_n;
    d->text_n += n;
    while (d->slot[at] != 0)
        at = (at + 1) & d->mask;
    d->slot[at] = ++d->n;
}

/* A copy of old (may be NULL) with room for more. */
static struct facet_dict *
dict_copy(const struct sx_mem *mem, const struct facet_dict *old, uint32_t more, uint64_t more_text)
{
    uint32_t n = (old != NULL ? old->n : 0) + more, slots = 64;
    uint64_t text = (old != NULL ? old->text_n : 0) + more_text;
    struct facet_dict *d;

    while (slots < 2 * n)
        slots *= 2;
    d = mem->alloc(mem, sizeof(*d) + n * sizeof(d->val[0]) + slots * sizeof(d->slot[0]) + text);
    if (d == NULL)
        return NULL;
    *d = (struct facet_dict){.mem = mem, .mask = slots - 1};
    d->val = (void *)(d + 1);
    d->slot = (uint32_t *)(void *)(d->val + n);
    d->text = (char *)(d->slot + slots);
    memset(d->slot, 0, slots * sizeof(d->slot[0]));
    for (uint32_t i = 0; old != NULL && i < old->n; i++)
        dict_put(d, old->val[i].hash, old->val[i].p, old->val[i].n);
    return d;
}

/* The newest snapshot, made to hold the values that wait as far as the bounds allow. */
static const struct facet_dict *dict_with_pending(struct eng_facet *k)
{
    struct eng_field *f = (struct eng_field *)(uintptr_t)k->field; /* dict is any thread's */
    /* pairs with the exchange below */
    struct facet_dict *old = atomic_load_explicit(&f->dict, memory_order_acquire), *d;

    for (uint32_t tries = 0; tries < RETRIES; tries++) {
        uint32_t more = 0;
        uint64_t text = 0;

        for (uint32_t i = 0; i < k->n_pending; i++) {
            const struct entry *e = &k->ent[k->pending[i].entry];

            if (dict_find(old, e) == NO_NUMBER) {
                more++;
                text += e->v.str.n;
            }
        }
        if (more == 0 || more + (old != NULL ? old->n : 0) > NUMBERS_MAX ||
            text + (old != NULL ? old->text_n : 0) > NUMBERS_TEXT_MAX)
            return old;
        d = dict_copy(f->eng->mem, old, more, text);
        if (d == NULL)
            return old;
        for (uint32_t i = 0; i < k->n_pending; i++) {
            const struct entry *e = &k->ent[k->pending[i].entry];

            if (dict_find(d, e) == NO_NUMBER)
                dict_put(d, e->hash, e->v.str.p, e->v.str.n);
        }
        /* pairs with the acquire above: whoever finds the snapshot finds it complete */
        if (atomic_compare_exchange_strong_explicit(&f->dict, &old, d, memory_order_acq_rel,
                                                    memory_order_acquire)) {
            if (old != NULL)
                f->eng->epoch->retire(dict_free, old);
            return d;
        }
        dict_free(d);
    }
    return old;
}

/* Gives numbers to the codes of the part that had none. What finds no memory or no room stays
 * without: it is hashed again next time. */
static void settle_pending(struct eng_facet *k)
{
    const struct facet_dict *d;

    if (k->n_pending == 0)
        return;
    d = dict_with_pending(k);
    for (uint32_t i = 0; i < k->n_pending; i++) {
        uint32_t number = dict_find(d, &k->ent[k->pending[i].entry]);

        if (number == NO_NUMBER)
            continue;
        /* Relaxed: the number is all there is to it, nothing is found through it. */
        atomic_store_explicit(&k->map->number[k->pending[i].code], number, memory_order_relaxed);
        (void)note(k, number, k->pending[i].entry);
    }
    k->n_pending = 0;
}

/* --- counting ---------------------------------------------------------------------------- */

static int count_part(struct eng_facet *k,
                      const struct eng_field *f,
                      struct field_part *p,
                      uint32_t hi,
                      const struct eng_bits *bits)
{
    int rc;

    k->field = f;
    k->part = p;
    k->map = NULL;
    rc = f->ops->facet(k, p->open != NULL ? NULL : field_kind(p), p->open, hi, bits);
    settle_pending(k);
    k->part = NULL;
    return rc;
}

int eng_facet_chunk(struct eng_facet *k,
                    const struct eng_field *f,
                    uint32_t chunk,
                    uint32_t fill,
                    const struct eng_bits *bits,
                    struct eng_bits *rest)
{
    const struct facet_dict *d = atomic_load_explicit(&f->dict, memory_order_acquire);
    const struct field_list *l = eng_field_list(f);
    struct eng_bits left = *bits;
    uint32_t lo, hi;

    /* As many values as there were in other requests, probably. */
    if (k->cap == 0 && d != NULL && d->n > 64 && grow(k, d->n) != SX_OK)
        return SX_ENOMEM;
    eng_bits_clip(&left, 0, fill);
    for (uint32_t i = eng_field_first(l, chunk); i < l->n && f->ops->facet != NULL; i++) {
        struct eng_bits mine;
        int rc;

        if (!field_meets(&l->at[i], chunk, fill, &lo, &hi))
            break;
        if (!eng_field_part_good(f, l->at[i].part))
            continue;
        mine = left;
        eng_bits_clip(&mine, lo, hi);
        rc = count_part(k, f, l->at[i].part, hi, &mine);
        if (rc != SX_OK)
            return rc;
        for (uint32_t w = lo >> 6; w << 6 < hi; w++)
            left.w[w] &= ~mine.w[w];
    }
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++)
        rest->w[w] |= left.w[w];
    return SX_OK;
}

/* A point counts once per value, however often its document has it. */
static int count_once(struct eng_facet *k, const struct entry *like)
{
    struct entry *e = entry_of(k, like);

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
    struct entry like;
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
        like = entry_str(str);
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
static int before(uint32_t kind, const struct entry *a, const struct entry *b)
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
static void sink(uint32_t kind, const struct entry **heap, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t kid = 2 * i + 1;
        const struct entry *e;

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
    const struct entry **heap = sx_arena_alloc(k->arena, (uint64_t)top * sizeof(*heap) + 1);

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
        const struct entry *e = heap[0];

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
