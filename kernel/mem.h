/* Memory accounts: "sx.mem", one per module.
 *
 * Every account is a `struct sx_mem` over malloc and mmap that counts what it hands out. The counts
 * are statistics and, when a limit is set, a bound; they are not a heap of their own: freeing
 * through another account than the allocating one would only spoil the counts. */
#ifndef SX_KERNEL_MEM_H
#define SX_KERNEL_MEM_H

#include "sextant/sx_mem.h"

/* [M, A] The account of a module, made at the first call for the name (copied). Lives as long as
 * the process. NULL: memory is short. */
const struct sx_mem *sx_mem_account(const char *module);
/* [A] the kernel's own account. */
const struct sx_mem *sx_mem_kernel(void);

/* [A] bound of an account in bytes, heap and mappings together; 0 = none. */
void sx_mem_limit(const struct sx_mem *mem, uint64_t bytes);

/* [A] zeroed, aligned to `align` (a power of two), counted; released with mem->release. */
void *sx_mem_zalloc_aligned(const struct sx_mem *mem, uint32_t align, uint64_t n);

struct sx_mem_usage {
    const char *module;
    uint64_t heap_bytes, heap_blocks, mapped_bytes;
};
/* [A] the i-th account; 0 past the end, else 1. */
int sx_mem_usage(uint32_t i, struct sx_mem_usage *out);

#endif
