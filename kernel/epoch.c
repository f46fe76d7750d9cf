/* Epochs: when is memory that readers may still see free to go?
 *
 * One number, `now`, counts retirements. Each thread has a slot, a cache line of its own, that
 * holds the number it saw when it entered its section, or 0 outside. retire() stamps an entry with
 * the number and steps it; the entry is ripe once no slot holds a number at or below the stamp. So
 * an entry waits for exactly the sections that were open when it was retired: one long section
 * keeps back what was retired since it began, and nothing else.
 *
 * Why that is enough: enter() writes its slot and then reads shared pointers, retire() comes after
 * the pointer was replaced, and poll() reads the slots after that. With both sides sequentially
 * consistent either poll() sees the slot, or the section sees the new pointer. enter() is therefore
 * one exchange and leave() a plain release store: some 10 ns for the two here. (A membarrier call
 * in poll() would make enter() a plain store too. It would interrupt every busy core at each poll
 * and needs a second code path for systems that forbid the call: too much for 8 ns of a 100 us
 * search.)
 *
 * Entries stand in one queue under a lock, blocks of 254 of them, oldest first: writers retire some
 * ten thousands a second at most. poll() takes a handful of ripe ones off the front and calls them
 * without the lock; only one thread polls at a time, which keeps their order.
 *
 * Thread: any. Slots are found through kernel TLS, taken at a thread's first enter() and given to
 * the next thread when it ends; they are never freed, so poll() may walk them without a lock. */
#define _GNU_SOURCE 1
#include "epoch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lock.h"

#define BLOCK_ENTRIES 254
#define POLL_BATCH    16

struct slot {
    uint64_t seen;  /* 0 outside; written by the owner, read by poll() */
    uint32_t depth; /* owner only */
    uint32_t taken; /* 0/1, exchanged */
    struct slot *next;
    char pad[40];
};

struct entry {
    void (*fn)(void *arg);
    void *arg;
    uint64_t stamp;
};

struct block {
    struct block *next;
    uint32_t first, end; /* entries [first, end) are waiting */
    struct entry entries[BLOCK_ENTRIES];
};

/* Any thread, atomic. */
static uint64_t now = 1;
static struct slot *slots;
static uint64_t n_pending;
static uint32_t is_polling;

/* Guarded by queue_lock. */
static struct sx_lock queue_lock = SX_LOCK_INIT(SX_RANK_EPOCH);
static struct block *head, *tail, *spare;
static uint64_t n_lost; /* entries that found no memory: leaked rather than freed early */

static void (*on_retire)(void); /* set before threads exist */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* only for its destructor */
static __thread struct slot *mine;

static void slot_release(void *p)
{
    struct slot *s = p;

    SX_ASSERT(s->depth == 0);
    mine = NULL;
    __atomic_store_n(&s->taken, 0, __ATOMIC_RELEASE); /* pairs with the exchange in slot_take */
}

static void key_make(void)
{
    if (pthread_key_create(&key, slot_release) != 0)
        abort();
}

/* The first enter() of a thread. A reader cannot go on without a slot, and a slot is 64 bytes once
 * per thread: no memory for it ends the process. */
static struct slot *slot_take(void)
{
    struct slot *s;

    pthread_once(&key_once, key_make);
    for (s = __atomic_load_n(&slots, __ATOMIC_ACQUIRE); s; s = s->next) {
        if (__atomic_exchange_n(&s->taken, 1, __ATOMIC_ACQ_REL) == 0)
            break;
    }
    if (!s) {
        s = aligned_alloc(64, sizeof(*s));
        if (!s)
            abort();
        memset(s, 0, sizeof(*s));
        s->taken = 1;
        s->next = __atomic_load_n(&slots, __ATOMIC_RELAXED);
        /* seq_cst: poll() must find the slot if it is to find what enter() writes into it. */
        while (!__atomic_compare_exchange_n(&slots, &s->next, s, 0, __ATOMIC_SEQ_CST,
                                            __ATOMIC_RELAXED))
            ;
    }
    mine = s;
    pthread_setspecific(key, s);
    return s;
}

void sx_epoch_enter(void)
{
    struct slot *s = mine;

    if (SX_UNLIKELY(!s))
        s = slot_take();
    if (s->depth++ > 0)
        return;
    uint64_t e = __atomic_load_n(&now, __ATOMIC_ACQUIRE);
    /* Pairs with the loads in oldest(). */
    (void)__atomic_exchange_n(&s->seen, e, __ATOMIC_SEQ_CST);
#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    /* Elsewhere an exchange may let later loads pass its store. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

void sx_epoch_leave(void)
{
    struct slot *s = mine;

    SX_ASSERT(s && s->depth > 0);
    if (--s->depth > 0)
        return;
    __atomic_store_n(&s->seen, 0, __ATOMIC_RELEASE); /* pairs with the loads in oldest() */
}

/* The smallest number any open section holds; entries stamped below it are ripe. */
static uint64_t oldest(void)
{
    uint64_t min = __atomic_load_n(&now, __ATOMIC_SEQ_CST);

    for (struct slot *s = __atomic_load_n(&slots, __ATOMIC_SEQ_CST); s; s = s->next) {
        uint64_t seen = __atomic_load_n(&s->seen, __ATOMIC_SEQ_CST);
        if (seen != 0 && seen < min)
            min = seen;
    }
    return min;
}

/* [queue_lock] room for one entry at the tail, NULL without memory. */
static struct entry *queue_room(void)
{
    if (tail && tail->end < BLOCK_ENTRIES)
        return &tail->entries[tail->end++];
    struct block *b = spare;
    spare = NULL;
    if (!b)
        b = malloc(sizeof(*b));
    if (!b)
        return NULL;
    b->next = NULL;
    b->first = 0;
    b->end = 1;
    if (tail)
        tail->next = b;
    else
        head = b;
    tail = b;
    return &b->entries[0];
}

void sx_epoch_retire(void (*fn)(void *arg), void *arg)
{
    uint64_t before = 1;

    sx_lock_take(&queue_lock);
    struct entry *e = queue_room();
    if (e) {
        e->fn = fn;
        e->arg = arg;
        /* seq_cst: sections that enter from here on hold a greater number. Under the lock, so that
         * the queue is in the order of stamps. */
        e->stamp = __atomic_fetch_add(&now, 1, __ATOMIC_SEQ_CST);
        before = __atomic_fetch_add(&n_pending, 1, __ATOMIC_RELAXED);
    } else {
        n_lost++;
    }
    sx_lock_give(&queue_lock);
    if (before == 0 && on_retire)
        on_retire();
}

/* Takes up to max ripe entries off the front; the caller polls alone. */
static uint32_t take_ripe(struct entry *out, uint32_t max)
{
    uint32_t n = 0;
    struct block *dead = NULL;

    /* The slots are read under the lock, so after every retire() whose entry we may take. */
    sx_lock_take(&queue_lock);
    uint64_t min = oldest();
    while (n < max && head) {
        struct block *b = head;
        if (b->first < b->end) {
            if (b->entries[b->first].stamp >= min)
                break;
            out[n++] = b->entries[b->first++];
        }
        if (b->first < b->end)
            continue;
        if (b == tail) {
            b->first = b->end = 0; /* empty: use it from the start again */
            break;
        }
        head = b->next;
        if (spare) {
            b->next = dead;
            dead = b;
        } else {
            spare = b;
        }
    }
    __atomic_fetch_sub(&n_pending, n, __ATOMIC_RELAXED);
    sx_lock_give(&queue_lock);
    while (dead) {
        struct block *b = dead;
        dead = b->next;
        free(b);
    }
    return n;
}

void sx_epoch_poll_some(uint32_t n)
{
    struct entry batch[POLL_BATCH];

    if (SX_LIKELY(__atomic_load_n(&n_pending, __ATOMIC_RELAXED) == 0))
        return;
    /* Also what stops a retired function that polls from nesting. */
    if (__atomic_exchange_n(&is_polling, 1, __ATOMIC_ACQUIRE) != 0)
        return;
    while (n > 0) {
        uint32_t got = take_ripe(batch, n < POLL_BATCH ? n : POLL_BATCH);
        for (uint32_t i = 0; i < got; i++)
            batch[i].fn(batch[i].arg);
        if (got == 0)
            break;
        n -= got;
    }
    __atomic_store_n(&is_polling, 0, __ATOMIC_RELEASE); /* pairs with the exchange above */
}

void sx_epoch_poll(void)
{
    sx_epoch_poll_some(UINT32_MAX);
}

uint64_t sx_epoch_pending(void)
{
    return __atomic_load_n(&n_pending, __ATOMIC_RELAXED);
}

uint64_t sx_epoch_lost(void)
{
    sx_lock_take(&queue_lock);
    uint64_t n = n_lost;
    sx_lock_give(&queue_lock);
    return n;
}

void sx_epoch_on_retire(void (*kick)(void))
{
    on_retire = kick;
}

void sx_epoch_drain(void)
{
    sx_epoch_poll();
    sx_lock_take(&queue_lock);
    struct block *b = spare, *last = NULL;
    spare = NULL;
    if (head && head->first == head->end) {
        last = head;
        head = tail = NULL;
    }
    sx_lock_give(&queue_lock);
    free(b);
    free(last);
}

static const struct sx_epoch table = {
    .size = (uint32_t)sizeof(struct sx_epoch),
    .enter = sx_epoch_enter,
    .leave = sx_epoch_leave,
    .retire = sx_epoch_retire,
    .poll = sx_epoch_poll,
};

const struct sx_epoch *sx_epoch_table(void)
{
    return &table;
}
