/* Inside the exec room: what exec.c, exec_blocking.c, exec_worker.c and exec_delay.c share. */
#ifndef SX_KERNEL_EXEC_PRIV_H
#define SX_KERNEL_EXEC_PRIV_H

#include "exec.h"

/* --- task lists (caller's lock) --------------------------------------------------------------- */

struct sx_queue {
    struct sx_task *head, **tail;
    uint64_t n;
};

static inline void sx_queue_init(struct sx_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->n = 0;
}

static inline void sx_queue_push(struct sx_queue *q, struct sx_task *t)
{
    t->next = NULL;
    *q->tail = t;
    q->tail = &t->next;
    q->n++;
}

/* NULL when empty. */
static inline struct sx_task *sx_queue_pop(struct sx_queue *q)
{
    struct sx_task *t = q->head;

    if (!t)
        return NULL;
    q->head = t->next;
    if (!q->head)
        q->tail = &q->head;
    q->n--;
    return t;
}

/* --- exec_delay.c: delayed tasks (caller's lock)
 * -------------------------------------------------- */

struct sx_delay_entry {
    uint64_t due; /* monotonic ns */
    struct sx_task *task;
};

struct sx_delay {
    struct sx_delay_entry *heap; /* binary heap by due */
    uint32_t n, cap;
    struct sx_queue late; /* tasks that found no room in the heap: due together */
    uint64_t late_due;
};

void sx_delay_init(struct sx_delay *d);
void sx_delay_fini(struct sx_delay *d); /* forgets the tasks */
void sx_delay_add(struct sx_delay *d, uint64_t due, struct sx_task *t);
/* When the next task is due, UINT64_MAX = none. */
uint64_t sx_delay_next(const struct sx_delay *d);
/* A task that is due at `now`, NULL when none is. */
struct sx_task *sx_delay_take(struct sx_delay *d, uint64_t now);

/* --- exec_worker.c: the threads' own records
 * ------------------------------------------------------ */

struct sx_worker_rec {
    struct sx_worker pub;
    void *scratch; /* own thread only */
    uint64_t scratch_cap;
    pthread_t thread;
    uint32_t state, pad; /* exec_blocking.c's */
};

/* [M] makes n records with ids 0..n-1; 0 or SX_ENOMEM. */
int sx_workers_init(uint32_t n);
void sx_workers_fini(void);
uint32_t sx_workers_count(void);
struct sx_worker_rec *sx_workers_at(uint32_t i);
/* [own thread] makes the caller worker w, named "<what>-<id>"; end takes it back. */
void sx_worker_begin(struct sx_worker_rec *w, const char *what);
void sx_worker_end(struct sx_worker_rec *w);

/* --- exec_blocking.c
 * ------------------------------------------------------------------------------ */

/* [M] its workers are records [first, first + n). */
int sx_blocking_init(uint32_t first, uint32_t n, struct sx_err *err);
/* [M] starts the one thread that stays; 0 or an errno. */
int sx_blocking_start(void);
/* [M] ends and joins all threads; the queue is empty by then. */
void sx_blocking_stop(void);
void sx_blocking_submit(struct sx_task *t);
void sx_blocking_stats(uint32_t *out_threads, uint64_t *out_queued, uint64_t *out_done);

/* --- exec.c: what stop() waits for
 * ---------------------------------------------------------------- */

/* Every task is counted from before it is queued until after it has run, in both pools, so that the
 * sum is zero only when really nothing is left: a task that submits another counts it first. */
void sx_exec__count_in(void);
void sx_exec__count_out(void);

#endif
