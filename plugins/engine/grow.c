/* Growing arrays that one writer fills and many readers look at; see field_part.h.
 *
 * A block is a small head and the entries. Growing copies all of it: what readers hold is never
 * moved under them, and the old block goes when their epoch has ended. */
#include <string.h>

#include "field_part.h"

#include "sextant/sx_ban.h"

#define GROW_FIRST 64u /* entries of the first block: many indexes never have more */
#define GROW_HEAD  64u /* bytes before the entries, so that those are 16-aligned like the block */

struct block {
    const struct sx_mem *mem;
};

static void *data_of(struct block *b)
{
    return (char *)b + GROW_HEAD;
}

static void block_free(void *arg)
{
    struct block *b = arg;

    b->mem->release(b->mem, b);
}

static struct block *block_of(const struct eng_grow *g)
{
    char *p = atomic_load_explicit(&g->block, memory_order_relaxed); /* the writer's own */

    return p != NULL ? (struct block *)(void *)(p - GROW_HEAD) : NULL;
}

int eng_grow_room(struct eng_grow *g, const struct eng *e, uint32_t n)
{
    struct block *b, *old = block_of(g);
    uint64_t cap = g->cap < GROW_FIRST ? GROW_FIRST : 2ull * g->cap;

    if (n <= g->cap)
        return SX_OK;
    if (cap < n)
        cap = n;
    if (cap > UINT32_MAX)
        cap = UINT32_MAX;
    b = e->mem->alloc(e->mem, GROW_HEAD + cap * g->width);
    if (b == NULL)
        return SX_ENOMEM;
    b->mem = e->mem;
    if (old != NULL)
        memcpy(data_of(b), data_of(old), (uint64_t)g->cap * g->width);
    /* pairs with the acquire in eng_grow_read(): the entries readers know of are in the copy */
    atomic_store_explicit(&g->block, data_of(b), memory_order_release);
    g->cap = (uint32_t)cap;
    if (old != NULL)
        e->epoch->retire(block_free, old);
    return SX_OK;
}

void *eng_grow_read(const struct eng_grow *g)
{
    /* pairs with the release in eng_grow_room() */
    return atomic_load_explicit(&g->block, memory_order_acquire);
}

void eng_grow_fini(struct eng_grow *g, const struct eng *e)
{
    struct block *b = block_of(g);

    if (b != NULL)
        e->mem->release(e->mem, b);
    atomic_store_explicit(&g->block, NULL, memory_order_relaxed);
    g->cap = 0;
}
