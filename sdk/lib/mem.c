/* The libc provider of `struct sx_mem`, for tests, tools and the moments before the host exists.
 *
 * This is the only file of the library that may call malloc. Inside a server every module gets the
 * host's provider instead, which counts. Thread: any. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sextant/sx_mem.h"

#define MEM_HUGE (2u << 20)

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (n > PTRDIFF_MAX)
        return NULL;
    return malloc(n != 0 ? n : 1);
}

static void *mem_zalloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (n > PTRDIFF_MAX)
        return NULL;
    return calloc(1, n != 0 ? n : 1);
}

static void *mem_resize(const struct sx_mem *self SX_UNUSED, void *p, uint64_t n)
{
    if (n > PTRDIFF_MAX)
        return NULL;
    return realloc(p, n != 0 ? n : 1);
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    free(p);
}

/* mmap gives 4 KiB alignment only, so we ask for 2 MiB more and cut both ends off. */
static void *mem_map(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    uint64_t size, skip;
    uint8_t *p;

    if (n == 0 || n > PTRDIFF_MAX - 2 * (uint64_t)MEM_HUGE)
        return NULL;
    n = (n + 4095) & ~(uint64_t)4095;
    size = n + MEM_HUGE;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    skip = (MEM_HUGE - ((uintptr_t)p & (MEM_HUGE - 1))) & (MEM_HUGE - 1);
    if (skip != 0)
        (void)munmap(p, skip);
    if (size - skip - n != 0)
        (void)munmap(p + skip + n, size - skip - n);
    p += skip;
    (void)madvise(p, n, MADV_HUGEPAGE);
    return p;
}

static void mem_unmap(const struct sx_mem *self SX_UNUSED, void *p, uint64_t n)
{
    if (p != NULL)
        (void)munmap(p, (n + 4095) & ~(uint64_t)4095);
}

static const struct sx_mem mem_libc = {
    .size = sizeof(struct sx_mem),
    .alloc = mem_alloc,
    .zalloc = mem_zalloc,
    .resize = mem_resize,
    .release = mem_release,
    .map = mem_map,
    .unmap = mem_unmap,
};

const struct sx_mem *sx_mem_libc(void)
{
    return &mem_libc;
}
