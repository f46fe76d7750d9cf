/* Rank bookkeeping of debug builds, and conditions on the monotonic clock.
 *
 * The held locks of a thread stand in a small array in kernel TLS, in the order they were taken. A
 * lock may be given back in any order; only taking is judged. Eight is more than any path of the
 * kernel nests (LOCKS.md has no chain longer than three). */
#define _GNU_SOURCE 1
#include "lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HELD_MAX 8

static __thread struct {
    const struct sx_lock *locks[HELD_MAX];
    uint32_t n;
} held;

void sx_lock_init(struct sx_lock *l, uint32_t rank)
{
    pthread_mutex_init(&l->m, NULL);
    l->rank = rank;
}

void sx_lock_fini(struct sx_lock *l)
{
    pthread_mutex_destroy(&l->m);
}

void sx_lock__push(const struct sx_lock *l)
{
    for (uint32_t i = 0; i < held.n; i++) {
        if (held.locks[i]->rank >= l->rank) {
            fprintf(stderr, "lock order: rank %u taken while rank %u is held (kernel/LOCKS.md)\n",
                    l->rank, held.locks[i]->rank);
            abort();
        }
    }
    if (held.n == HELD_MAX) {
        fprintf(stderr, "lock order: more than %d locks held\n", HELD_MAX);
        abort();
    }
    held.locks[held.n++] = l;
}

void sx_lock__pop(const struct sx_lock *l)
{
    for (uint32_t i = held.n; i-- > 0;) {
        if (held.locks[i] != l)
            continue;
        for (uint32_t j = i + 1; j < held.n; j++)
            held.locks[j - 1] = held.locks[j];
        held.n--;
        return;
    }
    fprintf(stderr, "lock order: rank %u given back but not held\n", l->rank);
    abort();
}

int sx_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return -1;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
    return rc == 0 ? 0 : -1;
}

int sx_cond_wait_until(pthread_cond_t *c, struct sx_lock *l, uint64_t until_ns)
{
    struct timespec ts = {
        .tv_sec = (time_t)(until_ns / 1000000000u),
        .tv_nsec = (long)(until_ns % 1000000000u),
    };
    return pthread_cond_timedwait(c, &l->m, &ts) == ETIMEDOUT;
}
