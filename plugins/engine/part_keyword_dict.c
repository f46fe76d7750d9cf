/* Strings of an open part and their codes.
 *
 * One writer gives codes in order of arrival; readers look strings up meanwhile. A slot of the
 * table is stored with release after the string it stands for, and a larger table is complete
 * before it is shown; whoever misses a string for which a code is just being given could not know
 * of a row that has it. Strings of an operation that was aborted keep their codes: nothing is taken
 * out of a table that readers walk, and the operation usually comes again. */
#include <string.h>

#include "field_hash.h"
#include "part_keyword.h"

#include "sextant/sx_ban.h"

#define TABLE_FIRST 64u

static void table_free(void *table)
{
    struct kw_table *t = table;

    t->mem->release(t->mem, t);
}

static void table_put(struct kw_table *t, uint32_t hash, uint32_t code)
{
    uint32_t at = hash & t->mask;

    while (atomic_load_explicit(&t->slot[at], memory_order_relaxed) != 0) /* the writer's own */
        at = (at + 1) & t->mask;
    /* pairs with the acquire in kw_dict_find(): the string is complete */
    atomic_store_explicit(&t->slot[at], code + 1, memory_order_release);
}

/* A table that holds one more code, at most half full. */
static int table_room(struct kw_dict *d, const struct eng *e)
{
    struct kw_table *t, *old = atomic_load_explicit(&d->table, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&d->n, memory_order_relaxed);
    uint32_t slots = old != NULL ? 2 * (old->mask + 1) : TABLE_FIRST;
    const struct kw_ent *ents = eng_grow_read(&d->ents);

    if (old != NULL && n < (old->mask + 1) / 2)
        return SX_OK;
    if (slots == 0)
        return SX_ENOMEM;
    t = e->mem->zalloc(e->mem, sizeof(*t) + (uint64_t)slots * sizeof(t->slot[0]));
    if (t == NULL)
        return SX_ENOMEM;
    t->mem = e->mem;
    t->mask = slots - 1;
    for (uint32_t i = 0; i < n; i++)
        table_put(t, ents[i].hash, i);
    /* pairs with the acquire in kw_dict_find() */
    atomic_store_explicit(&d->table, t, memory_order_release);
    if (old != NULL)
        e->epoch->retire(table_free, old);
    return SX_OK;
}

static uint32_t find(const struct kw_dict *d, const char *p, uint32_t n, uint32_t hash)
{
    /* pairs with the release in table_room() */
    const struct kw_table *t = atomic_load_explicit(&d->table, memory_order_acquire);
    uint32_t slot;

    if (t == NULL)
        return KW_NO_CODE;
    for (uint32_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        const struct kw_ent *ents;
        const char *text;

        /* pairs with the release in table_put() */
        slot = atomic_load_explicit(&t->slot[at], memory_order_acquire);
        if (slot == 0)
            return KW_NO_CODE;
        /* Blocks loaded after the slot hold what the slot stands for. */
        ents = eng_grow_read(&d->ents);
        text = eng_grow_read(&d->text);
        if (ents[slot - 1].hash == hash && ents[slot - 1].n == n &&
            (n == 0 || memcmp(text + ents[slot - 1].at, p, n) == 0))
            return slot - 1;
    }
}

uint32_t kw_dict_find(const struct kw_dict *d, const char *p, uint32_t n)
{
    return find(d, p, n, field_hash(p, n));
}

int kw_dict_intern(
    struct kw_dict *d, const struct eng *e, const char *p, uint32_t n, uint32_t *code)
{
    uint32_t hash = field_hash(p, n), k = atomic_load_explicit(&d->n, memory_order_relaxed);
    struct kw_ent *ents;
    char *text;

    *code = find(d, p, n, hash);
    if (*code != KW_NO_CODE)
        return SX_OK;
    if (n > UINT32_MAX - 1 - d->text_n || eng_grow_room(&d->ents, e, k + 1) != SX_OK ||
        eng_grow_room(&d->text, e, d->text_n + n + 1) != SX_OK || table_room(d, e) != SX_OK)
        return SX_ENOMEM;
    ents = eng_grow_read(&d->ents);
    text = eng_grow_read(&d->text);
    if (n != 0)
        memcpy(text + d->text_n, p, n);
    ents[k] = (struct kw_ent){d->text_n, n, hash};
    d->text_n += n;
    table_put(atomic_load_explicit(&d->table, memory_order_relaxed), hash, k);
    /* pairs with the acquire of those who go through all strings */
    atomic_store_explicit(&d->n, k + 1, memory_order_release);
    *code = k;
    return SX_OK;
}

void kw_dict_fini(struct kw_dict *d, const struct eng *e)
{
    struct kw_table *t = atomic_load_explicit(&d->table, memory_order_relaxed);

    if (t != NULL)
        table_free(t);
    eng_grow_fini(&d->ents, e);
    eng_grow_fini(&d->text, e);
}
