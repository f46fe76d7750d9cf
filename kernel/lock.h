/* Mutexes with a rank, and conditions on them.
 *
 * A thread may take a lock only if its rank is greater than that of every lock it holds; LOCKS.md
 * lists the ranks, arrows to the right. Debug builds (without NDEBUG) keep the held ranks per
 * thread and abort at the first violation, so a possible deadlock shows in any run that takes both
 * locks, not only in the run that meets it. Release builds are the bare pthread calls.
 *
 * No lock is held over a plugin call, I/O, or an allocation of data size. */
#ifndef SX_KERNEL_LOCK_H
#define SX_KERNEL_LOCK_H

#include <pthread.h>
#include <stdint.h>

/* One line per lock of the kernel, in the order of LOCKS.md. */
enum {
    SX_RANK_CONF = 10,     /* conf*.c, phase.c: the current configuration */
    SX_RANK_REQ = 20,      /* req.c: tables of requests */
    SX_RANK_LOOP = 30,     /* loop.c: start and end of the loop threads */
    SX_RANK_TELEM = 40,    /* telem.c: making metrics */
    SX_RANK_STRAND = 50,   /* strand.c: one strand's queue */
    SX_RANK_EPOCH = 60,    /* epoch.c: retired entries */
    SX_RANK_EXEC = 70,     /* exec.c: queues, delayed tasks, pool threads */
    SX_RANK_BLOCKING = 71, /* exec_blocking.c: its queue and threads */
    SX_RANK_MEM = 80,      /* mem.c: list of accounts */
    SX_RANK_IO = 85,       /* io_record.c: the journal (test builds) */
    SX_RANK_LOG = 90,      /* log.c: directives and formats */
    SX_RANK_LOG_FILE = 91, /* log.c: buffer of the log file */
};

struct sx_lock {
    pthread_mutex_t m;
    uint32_t rank;
};
#define SX_LOCK_INIT(r)                                                                            \
    {                                                                                              \
        .m = PTHREAD_MUTEX_INITIALIZER, .rank = (r)                                                \
    }

void sx_lock_init(struct sx_lock *l, uint32_t rank);
void sx_lock_fini(struct sx_lock *l);

/* Debug bookkeeping, lock.c. push aborts when the order is wrong. */
void sx_lock__push(const struct sx_lock *l);
void sx_lock__pop(const struct sx_lock *l);

static inline void sx_lock_take(struct sx_lock *l)
{
#ifndef NDEBUG
    sx_lock__push(l);
#endif
    pthread_mutex_lock(&l->m);
}

static inline void sx_lock_give(struct sx_lock *l)
{
    pthread_mutex_unlock(&l->m);
#ifndef NDEBUG
    sx_lock__pop(l);
#endif
}

/* Conditions count time on CLOCK_MONOTONIC. */
int sx_cond_init(pthread_cond_t *c);
static inline void sx_cond_wait(pthread_cond_t *c, struct sx_lock *l)
{
    pthread_cond_wait(c, &l->m);
}
/* Returns 0 when woken, 1 when the monotonic time `until_ns` has passed. */
int sx_cond_wait_until(pthread_cond_t *c, struct sx_lock *l, uint64_t until_ns);

#endif
