/* Counted memory, arenas and growing buffers.
 *
 * `struct sx_mem` is the service "sx.mem" bound to one module: what it hands out is counted there.
 * Tests use sx_mem_libc(). Arenas and buffers are stateless library code on top of it. */
#ifndef SX_MEM_H
#define SX_MEM_H

#include "sextant/sx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sx_mem {
    uint32_t size, pad;
    /* [A] returns owned, uninitialised, 16-aligned; NULL when memory is short or a limit is hit. */
    void *(*alloc)(const struct sx_mem *self, uint64_t n);
    void *(*zalloc)(const struct sx_mem *self, uint64_t n);
    void *(*resize)(const struct sx_mem *self, void *p, uint64_t n);
    void (*release)(const struct sx_mem *self, void *p);
    /* [A] anonymous mapping, 2 MiB aligned, huge pages advised, zeroed; release with the same n. */
    void *(*map)(const struct sx_mem *self, uint64_t n);
    void (*unmap)(const struct sx_mem *self, void *p, uint64_t n);
    void *tag; /* the host's account */
};

/* A provider over libc for tests and tools; never released. */
const struct sx_mem *sx_mem_libc(void);

/* Bump allocator for one request. Not thread safe; memory is given back by reset or fini only.
 * `limit` bounds the sum of blocks (0 = none), so that a hostile body cannot grow without end. */
struct sx_arena_block;
struct sx_arena {
    const struct sx_mem *mem;
    struct sx_arena_block *blocks;
    char *p, *end;
    uint64_t used, limit;
};
void sx_arena_init(struct sx_arena *a, const struct sx_mem *mem, uint64_t limit);
/* Borrowed until reset; 16-aligned; NULL when out of memory. */
void *sx_arena_alloc(struct sx_arena *a, uint64_t n);
void *sx_arena_zalloc(struct sx_arena *a, uint64_t n);
void *sx_arena_alloc_aligned(struct sx_arena *a, uint64_t n, uint32_t align);
/* Grows the last allocation in place when it is the last, else copies. */
void *sx_arena_resize(struct sx_arena *a, void *p, uint64_t old_n, uint64_t new_n);
char *sx_arena_strdup(struct sx_arena *a, const char *s, uint64_t n); /* adds a NUL */
struct sx_str sx_arena_printf(struct sx_arena *a, const char *fmt, ...) SX_PRINTF(2, 3);
void sx_arena_reset(struct sx_arena *a); /* keeps one block of at most 64 KiB */
void sx_arena_fini(struct sx_arena *a);

/* Growing byte buffer. After an allocation failure `failed` stays set and appends do nothing, so
 * that writers check once at the end. */
struct sx_buf {
    char *p;
    uint64_t n, cap;
    const struct sx_mem *mem;
    uint32_t failed, pad;
};
void sx_buf_init(struct sx_buf *b, const struct sx_mem *mem);
void sx_buf_fini(struct sx_buf *b);
/* Room for n more bytes; returns the write position or NULL. */
char *sx_buf_reserve(struct sx_buf *b, uint64_t n);
void sx_buf_add(struct sx_buf *b, const void *p, uint64_t n);
void sx_buf_addc(struct sx_buf *b, char c);
void sx_buf_adds(struct sx_buf *b, const char *s);
void sx_buf_printf(struct sx_buf *b, const char *fmt, ...) SX_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
