/* Pools: who starts and stops them, and how loop threads become workers. The services themselves
 * are `struct sx_exec` (sx_service.h).
 *
 * Worker ids are dense: pool threads 0..p-1, loop threads p..p+l-1, then the threads of the
 * blocking pool, whose ids come back when they end. n_workers() counts all three, so an array
 * indexed by worker id is always long enough. Thread hooks run on pool and loop threads only.
 *
 * Order of a life: init (main thread, before any thread; from then on submit() queues) -> start ->
 * ... -> stop -> fini. */
#ifndef SX_KERNEL_EXEC_H
#define SX_KERNEL_EXEC_H

#include <pthread.h>

#include "sextant/sx_service.h"

/* Stack of every thread the kernel makes. Idle threads touch one or two pages of it. */
#define SX_THREAD_STACK (512u * 1024u)

/* Runs on the thread itself, once with start = 1 before its first task and, if that succeeded, once
 * with start = 0 after its last one. Non-zero at start makes the whole start fail. */
typedef int (*sx_thread_hook)(void *arg, struct sx_worker *w, int start);

/* [M] sizes: n_pool 0 = number of CPUs; n_loops as given to sx_loops_init(); n_blocking_max 0 = 16.
 */
int sx_exec_init(uint32_t n_pool, uint32_t n_loops, uint32_t n_blocking_max, struct sx_err *err);
/* [M] starts the pool threads and returns when the hook (may be NULL) has run on each. On failure
 * everything started has been stopped again. */
int sx_exec_start(sx_thread_hook hook, void *arg, struct sx_err *err);
/* [main thread] Waits until both pools have run empty, then ends their threads (hook with start =
 * 0). Delayed tasks that are not due are dropped. Callers make sure that nothing resubmits for
 * ever.
 */
void sx_exec_stop(void);
/* [M] gives memory back; the service table answers nothing useful afterwards. */
void sx_exec_fini(void);

const struct sx_exec *sx_exec_table(void);
/* [A] the calling thread's worker, NULL on foreign threads: exec->self. */
struct sx_worker *sx_exec_self(void);

/* strand.c; the contracts are those of the service. */
struct sx_strand *sx_strand_create(const struct sx_host *owner, uint32_t cls);
void sx_strand_post(struct sx_strand *s, struct sx_task *t);
void sx_strand_destroy(struct sx_strand *s);

/* For loop.c. [L] makes the calling thread the worker of loop number i, until release. */
struct sx_worker *sx_exec_adopt(uint32_t i, struct sx_loop *loop);
void sx_exec_release(struct sx_worker *w);
/* For loop.c: a thread with the kernel's stack size, signals blocked (SIGSEGV and its like are
 * not). Returns 0 or an errno. */
int sx_exec_thread(void *(*fn)(void *), void *arg, const char *name, pthread_t *out);

/* [A] numbers for telemetry. */
struct sx_exec_stats {
    uint32_t n_pool, n_blocking;
    uint64_t queued[3], queued_blocking, delayed;
    uint64_t done[3], done_blocking;
};
void sx_exec_stats(struct sx_exec_stats *out);

#endif
