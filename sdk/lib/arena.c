/* Bump allocator for one request.
 *
 * Memory comes in blocks from the given provider, each twice the size of the one before (4 KiB to
 * 1 MiB), so that a small request costs one block and a large one few. Nothing is given back
 * before reset or fini; reset keeps one block of at most 64 KiB, which makes the arena of a
 * keep-alive connection free of malloc after its first request.
 *
 *   blocks -> [head | used ........ p      end] -> [head | ....] -> NULL
 *
 * Allocations too large for the rest of the current block get a new one; the rest is wasted, at
 * most half of what was asked for in total. Not thread safe: one owner at a time. */
#include <stdarg.h>
#include <stdio.h>

#include "priv.h"

#define ARENA_ALIGN   16u
#define ARENA_FIRST   4096u
#define ARENA_LARGEST (1u << 20)
#define ARENA_KEEP    (64u << 10)

struct sx_arena_block {
    struct sx_arena_block *next;
    uint64_t size; /* with this head */
};

void sx_arena_init(struct sx_arena *a, const struct sx_mem *mem, uint64_t limit)
{
    memset(a, 0, sizeof(*a));
    a->mem = mem;
    a->limit = limit;
}

static int arena_grow(struct sx_arena *a, uint64_t n)
{
    uint64_t size = a->blocks != NULL ? a->blocks->size * 2 : ARENA_FIRST;
    struct sx_arena_block *b;

    if (n > INT64_MAX / 2)
        return 0;
    if (size > ARENA_LARGEST)
        size = ARENA_LARGEST;
    if (size < n + sizeof(*b))
        size = n + sizeof(*b);
    if (a->limit != 0 && size > a->limit - (a->used < a->limit ? a->used : a->limit)) {
        /* Near the limit an exact block may still fit. */
        size = n + sizeof(*b);
        if (a->used > a->limit || size > a->limit - a->used)
            return 0;
    }
    b = a->mem->alloc(a->mem, size);
    if (b == NULL)
        return 0;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->used += size;
    a->p = (char *)(b + 1);
    a->end = (char *)b + size;
    return 1;
}

void *sx_arena_alloc(struct sx_arena *a, uint64_t n)
{
    char *p;

    if (n > INT64_MAX / 2)
        return NULL;
    n = n == 0 ? ARENA_ALIGN : (n + ARENA_ALIGN - 1) & ~(uint64_t)(ARENA_ALIGN - 1);
    if (a->p == NULL || n > (uint64_t)(a->end - a->p)) {
        if (!arena_grow(a, n))
            return NULL;
    }
    p = a->p;
    a->p += n;
    return p;
}

void *sx_arena_zalloc(struct sx_arena *a, uint64_t n)
{
    void *p = sx_arena_alloc(a, n);

    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void *sx_arena_alloc_aligned(struct sx_arena *a, uint64_t n, uint32_t align)
{
    uint64_t skip;
    char *p;

    if (align <= ARENA_ALIGN)
        return sx_arena_alloc(a, n);
    if ((align & (align - 1)) != 0 || n > INT64_MAX / 2)
        return NULL;
    n = n == 0 ? ARENA_ALIGN : (n + ARENA_ALIGN - 1) & ~(uint64_t)(ARENA_ALIGN - 1);
    skip = (uint64_t)(-(uintptr_t)a->p) & (align - 1);
    if (a->p == NULL || n + skip > (uint64_t)(a->end - a->p)) {
        if (!arena_grow(a, n + align))
            return NULL;
        skip = (uint64_t)(-(uintptr_t)a->p) & (align - 1);
    }
    p = a->p + skip;
    a->p = p + n;
    return p;
}

int sx__arena_extend(struct sx_arena *a, void *p, uint64_t old_n, uint64_t new_n)
{
    uint64_t old_size = old_n == 0 ? ARENA_ALIGN : (old_n + ARENA_ALIGN - 1) & ~(uint64_t)15;
    char *at = p;

    if (at == NULL || a->p == NULL || at + old_size != a->p || new_n > (uint64_t)(a->end - at))
        return 0;
    /* Block sizes need not be multiples of 16, so the rounded size may reach past the end. */
    new_n = new_n == 0 ? ARENA_ALIGN : (new_n + ARENA_ALIGN - 1) & ~(uint64_t)15;
    if (new_n > (uint64_t)(a->end - at))
        return 0;
    a->p = at + new_n;
    return 1;
}

void *sx_arena_resize(struct sx_arena *a, void *p, uint64_t old_n, uint64_t new_n)
{
    void *q;

    if (p == NULL)
        return sx_arena_alloc(a, new_n);
    if (sx__arena_extend(a, p, old_n, new_n))
        return p;
    q = sx_arena_alloc(a, new_n);
    if (q != NULL)
        memcpy(q, p, old_n < new_n ? old_n : new_n);
    return q;
}

char *sx_arena_strdup(struct sx_arena *a, const char *s, uint64_t n)
{
    char *p = n < INT64_MAX / 2 ? sx_arena_alloc(a, n + 1) : NULL;

    if (p == NULL)
        return NULL;
    if (n != 0)
        memcpy(p, s, n);
    p[n] = 0;
    return p;
}

struct sx_str sx_arena_printf(struct sx_arena *a, const char *fmt, ...)
{
    struct sx_str out = {NULL, 0, 0};
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    p = n < 0 ? NULL : sx_arena_alloc(a, (uint64_t)n + 1);
    if (p == NULL)
        return out;
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    out.p = p;
    out.n = (uint32_t)n;
    return out;
}

void sx_arena_reset(struct sx_arena *a)
{
    struct sx_arena_block *keep = NULL, *b = a->blocks;

    while (b != NULL) {
        struct sx_arena_block *next = b->next;

        /* Keep the largest block that is small enough. */
        if (b->size <= ARENA_KEEP && (keep == NULL || b->size > keep->size)) {
            if (keep != NULL)
                a->mem->release(a->mem, keep);
            keep = b;
        } else {
            a->mem->release(a->mem, b);
        }
        b = next;
    }
    a->blocks = keep;
    a->p = a->end = NULL;
    a->used = 0;
    if (keep != NULL) {
        keep->next = NULL;
        a->used = keep->size;
        a->p = (char *)(keep + 1);
        a->end = (char *)keep + keep->size;
    }
}

void sx_arena_fini(struct sx_arena *a)
{
    struct sx_arena_block *b = a->blocks;

    while (b != NULL) {
        struct sx_arena_block *next = b->next;

        a->mem->release(a->mem, b);
        b = next;
    }
    a->blocks = NULL;
    a->p = a->end = NULL;
    a->used = 0;
}
