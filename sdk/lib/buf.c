/* Growing byte buffer: what writers append to.
 *
 * Growth doubles, so that appending is linear. A failed allocation is remembered in `failed`; from
 * then on appends do nothing and what was written stays readable, so that a writer of a long
 * answer checks once at the end. Not thread safe: one owner at a time. */
#include <stdarg.h>
#include <stdio.h>

#include "priv.h"

#define BUF_FIRST 256u

void sx_buf_init(struct sx_buf *b, const struct sx_mem *mem)
{
    memset(b, 0, sizeof(*b));
    b->mem = mem;
}

void sx_buf_fini(struct sx_buf *b)
{
    if (b->p != NULL)
        b->mem->release(b->mem, b->p);
    b->p = NULL;
    b->n = b->cap = 0;
    b->failed = 0;
}

static char *buf_grow(struct sx_buf *b, uint64_t n)
{
    uint64_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
    char *p;

    if (b->failed || n > INT64_MAX / 4 || b->n > INT64_MAX / 4) {
        b->failed = 1;
        return NULL;
    }
    while (cap < b->n + n)
        cap *= 2;
    p = b->p == NULL ? b->mem->alloc(b->mem, cap) : b->mem->resize(b->mem, b->p, cap);
    if (p == NULL) {
        b->failed = 1;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

char *sx_buf_reserve(struct sx_buf *b, uint64_t n)
{
    if (SX_LIKELY(b->p != NULL && n <= b->cap - b->n && !b->failed))
        return b->p + b->n;
    return buf_grow(b, n);
}

void sx_buf_add(struct sx_buf *b, const void *p, uint64_t n)
{
    char *at = sx_buf_reserve(b, n);

    if (at == NULL)
        return;
    if (n != 0)
        memcpy(at, p, n);
    b->n += n;
}

void sx_buf_addc(struct sx_buf *b, char c)
{
    char *at = sx_buf_reserve(b, 1);

    if (at == NULL)
        return;
    *at = c;
    b->n++;
}

void sx_buf_adds(struct sx_buf *b, const char *s)
{
    sx_buf_add(b, s, strlen(s));
}

void sx_buf_printf(struct sx_buf *b, const char *fmt, ...)
{
    va_list ap;
    char *at;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = 1;
        return;
    }
    at = sx_buf_reserve(b, (uint64_t)n + 1); /* vsnprintf writes a terminator we do not count */
    if (at == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (uint64_t)n;
}
