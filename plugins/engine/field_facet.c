/* Counting along an index, and numbers for the values of a field.
 *
 * A request finds an entry by hash, once per value; what comes again and again, the same strings
 * out of every part, it finds by number instead:
 *
 *   part:     code  -> number   kept with the part, filled as facets meet the codes
 *   field:    number <- string  the numbers of the field's values, kept with the field
 *   request:  number -> entry   in the accumulator
 *
 * So a request hashes each value once and then counts by two array lookups a value and part: of
 * 1 000 values in 16 parts, under a mask of one row in a hundred, the first request takes 1 100 us
 * and every other some 250. Both tables are bounded (a field of many values gains little and would
 * pay some 50 bytes for each); beyond the bounds strings are hashed.
 *
 * The field's numbers are an immutable snapshot that only ever grows: who needs more of them makes
 * a longer copy and swaps it in, or starts over when another was faster. A number once given stays,
 * so a part may note it without knowing which snapshot it came from.
 *
 * Threads: an accumulator belongs to one thread; parts and field are shared, in an epoch. */
#include "field_facet.h"

#include <string.h>

#include "sextant/sx_ban.h"

#define NUMBERS_MAX      16384u     /* values of a field that get numbers */
#define NUMBERS_TEXT_MAX (1u << 20) /* and bytes of them */
#define CODES_MAX        4096u      /* of a part that notes numbers: a quarter byte a row */
#define NO_NUMBER        UINT32_MAX
#define RETRIES          4u

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
    struct facet_entry like, *e;

    if (number < k->n_by_code && k->by_code[number] != 0) {
        k->ent[k->by_code[number] - 1].count += n;
        return SX_OK;
    }
    like = eng_facet_entry_str(v);
    e = eng_facet_entry(k, &like);
    if (e == NULL)
        return SX_ENOMEM;
    e->count += n;
    if (m == NULL || code >= m->n)
        return SX_OK;
    return number != NO_NUMBER ? note(k, number, (uint32_t)(e - k->ent))
                               : wait_for_number(k, code, (uint32_t)(e - k->ent));
}

static uint32_t dict_find(const struct facet_dict *d, const struct facet_entry *e)
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
            const struct facet_entry *e = &k->ent[k->pending[i].entry];

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
            const struct facet_entry *e = &k->ent[k->pending[i].entry];

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
    if (k->cap == 0 && d != NULL && d->n > 64 && eng_facet_grow(k, d->n) != SX_OK)
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
