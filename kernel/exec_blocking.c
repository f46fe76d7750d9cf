/* The blocking pool: threads that may sleep in system calls (fsync, files, network).
 *
 * It starts with one thread, which stays for good so that a task always has somewhere to run. A
 * task that finds nobody idle starts another thread, up to the bound; beyond the first, a thread
 * that was idle for five seconds ends. A thread that cannot be made is therefore no error: the task
 * waits.
 *
 * Threads are joined, never detached: one that ends by itself leaves its slot ENDED, and whoever
 * uses the slot next (or stop) joins it first. */
#include "cpu.h"
#include "exec_priv.h"
#include "lock.h"

#define IDLE_NS (5ull * 1000000000u)

enum { SLOT_FREE = 0, SLOT_LIVE, SLOT_ENDED };

static uint32_t first_slot, n_slots; /* constant between init and stop */
static pthread_cond_t wake, made;
static int has_conds;

/* Guarded by pool_lock. */
static struct sx_lock pool_lock = SX_LOCK_INIT(SX_RANK_BLOCKING);
static struct sx_queue queue;
static uint32_t n_live, n_idle, n_making; /* making: pthread_create is under way */
static int is_exiting;
static uint64_t n_done;

/* [pool_lock] 0 when the thread should end because it has been idle for long. */
static int blocking_sleep(void)
{
    int timed_out = 0;

    n_idle++;
    if (n_live > 1)
        timed_out = sx_cond_wait_until(&wake, &pool_lock, sx_time_mono_ns() + IDLE_NS);
    else
        sx_cond_wait(&wake, &pool_lock);
    n_idle--;
    return !(timed_out && queue.n == 0 && n_live > 1);
}

static void *blocking_main(void *arg)
{
    struct sx_worker_rec *w = arg;

    sx_worker_begin(w, "block");
    sx_lock_take(&pool_lock);
    while (!is_exiting) {
        struct sx_task *t = sx_queue_pop(&queue);
        if (!t) {
            if (!blocking_sleep())
                break;
            continue;
        }
        sx_lock_give(&pool_lock);
        t->fn(t, &w->pub);
        sx_exec__count_out();
        sx_lock_take(&pool_lock);
        n_done++;
    }
    n_live--; /* now, so that two threads cannot both leave as "not the last" */
    sx_lock_give(&pool_lock);
    sx_worker_end(w);
    sx_lock_take(&pool_lock);
    w->state = SLOT_ENDED;
    sx_lock_give(&pool_lock);
    return NULL;
}

/* [pool_lock] A slot to start a thread in, NULL when the queue asks for none or none is free. */
static struct sx_worker_rec *slot_reserve(void)
{
    if (is_exiting || n_live >= n_slots || queue.n <= (uint64_t)n_idle + n_making)
        return NULL;
    for (uint32_t i = 0; i < n_slots; i++) {
        struct sx_worker_rec *w = sx_workers_at(first_slot + i);
        if (w->state != SLOT_LIVE)
            return w;
    }
    return NULL; /* a thread has left the count but not its slot yet */
}

static int thread_make(struct sx_worker_rec *w, uint32_t old_state)
{
    if (old_state == SLOT_ENDED)
        pthread_join(w->thread, NULL);
    int rc = sx_exec_thread(blocking_main, w, "sx-block", &w->thread);
    sx_lock_take(&pool_lock);
    n_making--;
    if (rc != 0) {
        w->state = SLOT_FREE;
        n_live--;
    }
    pthread_cond_broadcast(&made);
    sx_lock_give(&pool_lock);
    return rc;
}

void sx_blocking_submit(struct sx_task *t)
{
    struct sx_worker_rec *w = NULL;
    uint32_t old_state = SLOT_FREE;

    sx_exec__count_in();
    sx_lock_take(&pool_lock);
    sx_queue_push(&queue, t);
    int wakes = n_idle > 0;
    if (n_live > 0) /* else not started yet: the queue waits */
        w = slot_reserve();
    if (w) {
        old_state = w->state;
        w->state = SLOT_LIVE;
        n_live++;
        n_making++;
    }
    sx_lock_give(&pool_lock);
    if (wakes)
        pthread_cond_signal(&wake);
    if (w)
        thread_make(w, old_state);
}

int sx_blocking_init(uint32_t first, uint32_t n, struct sx_err *err)
{
    if (!has_conds && (sx_cond_init(&wake) != 0 || sx_cond_init(&made) != 0))
        return sx_err_set(err, SX_ENOMEM, "no conditions for the blocking pool");
    has_conds = 1;
    first_slot = first;
    n_slots = n;
    sx_queue_init(&queue);
    n_live = n_idle = n_making = 0;
    n_done = 0;
    is_exiting = 0;
    return 0;
}

int sx_blocking_start(void)
{
    struct sx_worker_rec *w = sx_workers_at(first_slot);

    sx_lock_take(&pool_lock);
    w->state = SLOT_LIVE;
    n_live = n_making = 1;
    sx_lock_give(&pool_lock);
    return thread_make(w, SLOT_FREE);
}

void sx_blocking_stop(void)
{
    sx_lock_take(&pool_lock);
    is_exiting = 1;
    pthread_cond_broadcast(&wake);
    while (n_making > 0)
        sx_cond_wait(&made, &pool_lock);
    sx_lock_give(&pool_lock);
    for (uint32_t i = 0; i < n_slots; i++) {
        struct sx_worker_rec *w = sx_workers_at(first_slot + i);
        sx_lock_take(&pool_lock);
        uint32_t state = w->state;
        sx_lock_give(&pool_lock);
        if (state != SLOT_FREE)
            pthread_join(w->thread, NULL);
        w->state = SLOT_FREE;
    }
}

void sx_blocking_stats(uint32_t *out_threads, uint64_t *out_queued, uint64_t *out_done)
{
    sx_lock_take(&pool_lock);
    *out_threads = n_live;
    *out_queued = queue.n;
    *out_done = n_done;
    sx_lock_give(&pool_lock);
}
