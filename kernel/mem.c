/* Memory accounts: malloc and mmap, counted per module.
 *
 * An account's counters are eight shards of one cache line; a thread always adds to the same shard
 * (dealt out in turn at its first call), so that two cores which allocate at once do not pass one
 * line back and forth: that costs about as much as malloc itself. A shard alone means nothing and
 * may be "negative" (what one thread took another gives back); only the sum does. All counting is
 * relaxed: it orders nothing.
 *
 * The size of a block is asked from malloc (malloc_usable_size), so blocks carry no header of ours
 * and tools see plain malloc blocks. */
#define _GNU_SOURCE 1
#include "mem.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lock.h"

#define SHARDS    8
#define HUGE_PAGE (2ull << 20)

struct shard {
    int64_t heap_bytes, heap_blocks, mapped_bytes;
    char pad[40];
};

struct account {
    struct shard shards[SHARDS];
    struct sx_mem mem;
    uint64_t limit;
    struct account *next; /* set before publication, then constant */
    char module[64];
};

static struct sx_lock list_lock = SX_LOCK_INIT(SX_RANK_MEM);
static struct account *list_head, *list_tail; /* list_lock; accounts never go away */
static uint32_t shard_next;
static __thread uint32_t shard_mine; /* 0 = not dealt yet, else shard + 1 */

static struct account *account_of(const struct sx_mem *mem)
{
    return mem->tag;
}

static struct shard *shard_of(struct account *a)
{
    if (SX_UNLIKELY(shard_mine == 0))
        shard_mine = 1 + __atomic_fetch_add(&shard_next, 1, __ATOMIC_RELAXED) % SHARDS;
    return &a->shards[shard_mine - 1];
}

static void count(int64_t *at, int64_t by)
{
    __atomic_fetch_add(at, by, __ATOMIC_RELAXED);
}

static void count_block(struct account *a, void *p, int64_t sign)
{
    struct shard *s = shard_of(a);

    count(&s->heap_bytes, sign * (int64_t)malloc_usable_size(p));
    count(&s->heap_blocks, sign);
}

static void usage_of(struct account *a, struct sx_mem_usage *out)
{
    int64_t bytes = 0, blocks = 0, mapped = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        bytes += __atomic_load_n(&a->shards[i].heap_bytes, __ATOMIC_RELAXED);
        blocks += __atomic_load_n(&a->shards[i].heap_blocks, __ATOMIC_RELAXED);
        mapped += __atomic_load_n(&a->shards[i].mapped_bytes, __ATOMIC_RELAXED);
    }
    out->module = a->module;
    out->heap_bytes = bytes > 0 ? (uint64_t)bytes : 0;
    out->heap_blocks = blocks > 0 ? (uint64_t)blocks : 0;
    out->mapped_bytes = mapped > 0 ? (uint64_t)mapped : 0;
}

/* May n more bytes be taken? Approximate under concurrency: a limit may be passed by what the other
 * threads are taking at this very moment. */
static int may_take(struct account *a, uint64_t n)
{
    uint64_t limit = __atomic_load_n(&a->limit, __ATOMIC_RELAXED);
    struct sx_mem_usage u;

    if (SX_LIKELY(limit == 0))
        return 1;
    usage_of(a, &u);
    uint64_t used = u.heap_bytes + u.mapped_bytes;
    return used <= limit && n <= limit - used;
}

static void *mem_alloc(const struct sx_mem *self, uint64_t n)
{
    struct account *a = account_of(self);

    if (!may_take(a, n))
        return NULL;
    void *p = malloc(n ? n : 1);
    if (p)
        count_block(a, p, 1);
    return p;
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    struct account *a = account_of(self);

    if (!may_take(a, n))
        return NULL;
    void *p = calloc(1, n ? n : 1);
    if (p)
        count_block(a, p, 1);
    return p;
}

static void mem_release(const struct sx_mem *self, void *p)
{
    if (!p)
        return;
    count_block(account_of(self), p, -1);
    free(p);
}

static void *mem_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    struct account *a = account_of(self);

    if (!p)
        return mem_alloc(self, n);
    int64_t old = (int64_t)malloc_usable_size(p);
    if (n > (uint64_t)old && !may_take(a, n - (uint64_t)old))
        return NULL;
    void *q = realloc(p, n ? n : 1);
    if (q)
        count(&shard_of(a)->heap_bytes, (int64_t)malloc_usable_size(q) - old);
    return q;
}

/* Huge pages need both ends of the range on 2 MiB lines, so we map one page more than asked and cut
 * the ends off. The length itself is kept as asked, rounded to small pages: rounding up to 2 MiB
 * would let many small mappings waste half a page each. */
static uint64_t page_round(uint64_t n)
{
    return (n + 4095) & ~4095ull;
}

static void *mem_map(const struct sx_mem *self, uint64_t n)
{
    struct account *a = account_of(self);

    if (n == 0 || n > (1ull << 46) || !may_take(a, n))
        return NULL;
    n = page_round(n);
    uint64_t wide = n + HUGE_PAGE - 4096;
    char *base = mmap(NULL, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    char *p = base + (-(uintptr_t)base & (HUGE_PAGE - 1));
    if (p > base)
        munmap(base, (size_t)(p - base));
    if (p + n < base + wide)
        munmap(p + n, (size_t)(base + wide - (p + n)));
    if (n >= HUGE_PAGE)
        madvise(p, n, MADV_HUGEPAGE); /* advice: a kernel without huge pages refuses it */
    count(&shard_of(a)->mapped_bytes, (int64_t)n);
    return p;
}

static void mem_unmap(const struct sx_mem *self, void *p, uint64_t n)
{
    if (!p || n == 0)
        return;
    n = page_round(n);
    munmap(p, n);
    count(&shard_of(account_of(self))->mapped_bytes, -(int64_t)n);
}

static void account_fill(struct account *a, const char *module)
{
    a->mem = (struct sx_mem){
        .size = (uint32_t)sizeof(struct sx_mem),
        .alloc = mem_alloc,
        .zalloc = mem_zalloc,
        .resize = mem_resize,
        .release = mem_release,
        .map = mem_map,
        .unmap = mem_unmap,
        .tag = a,
    };
    size_t n = strnlen(module, sizeof(a->module) - 1);
    memcpy(a->module, module, n);
    a->module[n] = 0;
}

const struct sx_mem *sx_mem_account(const char *module)
{
    struct account *a;

    sx_lock_take(&list_lock);
    for (a = list_head; a; a = a->next) {
        if (strncmp(a->module, module, sizeof(a->module) - 1) == 0)
            break;
    }
    if (!a && (a = aligned_alloc(64, (sizeof(*a) + 63) & ~(size_t)63))) {
        memset(a, 0, sizeof(*a));
        account_fill(a, module);
        if (list_tail)
            __atomic_store_n(&list_tail->next, a, __ATOMIC_RELEASE); /* pairs with sx_mem_usage */
        else
            __atomic_store_n(&list_head, a, __ATOMIC_RELEASE);
        list_tail = a;
    }
    sx_lock_give(&list_lock);
    return a ? &a->mem : NULL;
}

const struct sx_mem *sx_mem_kernel(void)
{
    static struct sx_mem *kernel;
    const struct sx_mem *mem = __atomic_load_n(&kernel, __ATOMIC_ACQUIRE); /* pairs with below */

    if (SX_UNLIKELY(!mem)) {
        mem = sx_mem_account("sextant");
        if (!mem)
            abort(); /* the first small block of the process */
        __atomic_store_n(&kernel, &account_of(mem)->mem, __ATOMIC_RELEASE);
    }
    return mem;
}

void sx_mem_limit(const struct sx_mem *mem, uint64_t bytes)
{
    __atomic_store_n(&account_of(mem)->limit, bytes, __ATOMIC_RELAXED);
}

void *sx_mem_zalloc_aligned(const struct sx_mem *mem, uint32_t align, uint64_t n)
{
    struct account *a = account_of(mem);
    void *p = NULL;

    if (align < sizeof(void *))
        align = (uint32_t)sizeof(void *);
    if (n == 0)
        n = 1;
    if (!may_take(a, n) || posix_memalign(&p, align, n) != 0)
        return NULL;
    memset(p, 0, n);
    count_block(a, p, 1);
    return p;
}

int sx_mem_usage(uint32_t i, struct sx_mem_usage *out)
{
    struct account *a = __atomic_load_n(&list_head, __ATOMIC_ACQUIRE);

    while (a && i-- > 0)
        a = __atomic_load_n(&a->next, __ATOMIC_ACQUIRE);
    if (!a)
        return 0;
    usage_of(a, out);
    return 1;
}
