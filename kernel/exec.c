/* The CPU pool, delayed tasks, and the start and stop of both pools.
 *
 * One lock and three intrusive lists. A query that is worth handing to the pool computes for 100 us
 * or more; the lock costs 50 ns of that even when contended by two cores. Per-thread queues with
 * stealing would pay from some tens of cores on, and would lose the strict order of classes.
 *
 * Order: query before writer before background. A class that has waited longer than its bound gets
 * one task in between, so that a flood of queries slows linking down but never stops it: at most
 * one background task per 50 ms and one writer task per 5 ms jump the queue.
 *
 * Idle threads sleep in pthread_cond_wait without a timeout. If delayed tasks exist one of the idle
 * pool threads, the timekeeper, sleeps until the first is due. When all pool threads are busy
 * nobody keeps time and nobody need: a delayed task could not run anyway, and each thread looks at
 * the clock when it comes back for its next task.
 *
 * Before sleeping a pool thread polls the epochs; retirements that were not ripe then are called by
 * a delayed task (epoch_tick below), which exists only while something is retired. */
#include "exec.h"

#include "check.h"
#include "cpu.h"
#include "epoch.h"
#include "exec_priv.h"
#include "lock.h"

#define BLOCKING_DEFAULT 16
#define THREADS_MAX      4096
#define WRITER_WAIT_NS   (5ull * 1000000u)
#define BACKGR_WAIT_NS   (50ull * 1000000u)
#define EPOCH_TICK_MS    50
#define N_CLASSES        3

/* Constant between init and fini. */
static uint32_t n_pool, n_loops, n_cpus;
static pthread_cond_t wake_pool, wake_main;
static sx_thread_hook thread_hook;
static void *thread_hook_arg;

/* Guarded by exec_lock. */
static struct sx_lock exec_lock = SX_LOCK_INIT(SX_RANK_EXEC);
static struct sx_queue queues[N_CLASSES];
static uint64_t waits_since[N_CLASSES]; /* when the class was last served or became non-empty */
static struct sx_delay delayed;
static uint64_t watched_due; /* what the timekeeper sleeps for, UINT64_MAX = nobody */
static uint32_t n_idle;
static uint32_t n_started, n_failed; /* threads after their hook */
static int is_going;                 /* all hooks have succeeded */
static int is_exiting;
static uint64_t n_done[N_CLASSES];

/* Any thread, atomic. */
static int64_t n_outstanding; /* tasks queued or running, both pools */
static uint32_t is_stopping;

/* --- what stop() waits for -------------------------------------------------------------------- */

void sx_exec__count_in(void)
{
    __atomic_fetch_add(&n_outstanding, 1, __ATOMIC_RELAXED);
}

void sx_exec__count_out(void)
{
    /* seq_cst on both words: either stop() sees the zero or we see that it waits. */
    if (__atomic_sub_fetch(&n_outstanding, 1, __ATOMIC_SEQ_CST) > 0 ||
        !__atomic_load_n(&is_stopping, __ATOMIC_SEQ_CST))
        return;
    sx_lock_take(&exec_lock);
    pthread_cond_signal(&wake_main);
    sx_lock_give(&exec_lock);
}

/* --- the queues of the classes ---------------------------------------------------------------- */

static void class_push(uint32_t cls, struct sx_task *t)
{
    if (cls != SX_CLASS_QUERY && queues[cls].n == 0)
        waits_since[cls] = sx_time_mono_ns();
    sx_queue_push(&queues[cls], t);
}

/* [exec_lock] the next task of the CPU pool and its class. */
static struct sx_task *class_pop(uint32_t *out_cls)
{
    static const uint64_t bound[N_CLASSES] = {0, WRITER_WAIT_NS, BACKGR_WAIT_NS};
    uint32_t first = 0;
    uint64_t now = 0;

    while (first < N_CLASSES && queues[first].n == 0)
        first++;
    if (first == N_CLASSES)
        return NULL;
    uint32_t cls = first;
    for (uint32_t i = N_CLASSES - 1; i > first; i--) {
        if (queues[i].n == 0)
            continue;
        if (now == 0)
            now = sx_time_mono_ns();
        if (now > waits_since[i] + bound[i]) {
            cls = i;
            break;
        }
    }
    struct sx_task *t = sx_queue_pop(&queues[cls]);
    if (cls != SX_CLASS_QUERY && queues[cls].n > 0)
        waits_since[cls] = now ? now : sx_time_mono_ns();
    *out_cls = cls;
    return t;
}

/* [exec_lock] moves what is due to the background queue; wakes helpers when that is several. */
static void delayed_release(void)
{
    struct sx_task *t;
    uint32_t n = 0;

    if (sx_delay_next(&delayed) == UINT64_MAX)
        return;
    uint64_t now = sx_time_mono_ns();
    for (; (t = sx_delay_take(&delayed, now)); n++) {
        sx_exec__count_in();
        class_push(SX_CLASS_BACKGROUND, t);
    }
    for (uint32_t i = 1; i < n && i <= n_idle; i++)
        pthread_cond_signal(&wake_pool);
}

/* --- the threads ------------------------------------------------------------------------------ */

/* [exec_lock] sleeps until there may be something to do. */
static void pool_sleep(void)
{
    uint64_t due = sx_delay_next(&delayed);

    n_idle++;
    if (due < watched_due) {
        watched_due = due;
        sx_cond_wait_until(&wake_pool, &exec_lock, due);
        if (watched_due == due)
            watched_due = UINT64_MAX;
    } else {
        sx_cond_wait(&wake_pool, &exec_lock);
    }
    n_idle--;
}

/* [exec_lock, given back around the task] */
static void pool_run(struct sx_worker_rec *w, struct sx_task *t, uint32_t cls)
{
    /* The timekeeper may be the one who goes to work now: let another idle thread take over. */
    if (n_idle > 0 && sx_delay_next(&delayed) < watched_due)
        pthread_cond_signal(&wake_pool);
    sx_lock_give(&exec_lock);
    t->fn(t, &w->pub);
    sx_exec__count_out();
    sx_lock_take(&exec_lock);
    n_done[cls]++;
}

static void pool_loop(struct sx_worker_rec *w)
{
    int has_polled = 0;

    sx_lock_take(&exec_lock);
    while (!is_exiting) {
        uint32_t cls;

        delayed_release();
        struct sx_task *t = class_pop(&cls);
        if (t) {
            has_polled = 0;
            pool_run(w, t, cls);
        } else if (!has_polled && sx_epoch_pending() > 0) {
            has_polled = 1;
            sx_lock_give(&exec_lock);
            sx_epoch_poll();
            sx_lock_take(&exec_lock);
        } else {
            has_polled = 0;
            pool_sleep();
        }
    }
    sx_lock_give(&exec_lock);
}

static void *pool_main(void *arg)
{
    struct sx_worker_rec *w = arg;

    sx_worker_begin(w, "pool");
    int rc = thread_hook ? thread_hook(thread_hook_arg, &w->pub, 1) : 0;
    /* No task runs before every thread is ready. */
    sx_lock_take(&exec_lock);
    n_started++;
    if (rc != 0)
        n_failed++;
    pthread_cond_signal(&wake_main);
    while (!is_going && !is_exiting)
        sx_cond_wait(&wake_pool, &exec_lock);
    sx_lock_give(&exec_lock);
    pool_loop(w);
    if (rc == 0 && thread_hook)
        thread_hook(thread_hook_arg, &w->pub, 0);
    sx_worker_end(w);
    return NULL;
}

/* --- the service ------------------------------------------------------------------------------ */

static void exec_submit(struct sx_task *t, uint32_t cls)
{
    if (cls >= N_CLASSES)
        cls = SX_CLASS_BACKGROUND;
    sx_exec__count_in();
    sx_lock_take(&exec_lock);
    class_push(cls, t);
    int wakes = n_idle > 0;
    sx_lock_give(&exec_lock);
    if (wakes)
        pthread_cond_signal(&wake_pool);
}

/* A delayed task counts as outstanding only from the moment it is due, see delayed_release():
 * stop() does not wait for it. */
static void exec_delay(struct sx_task *t, uint32_t ms)
{
    uint64_t due = sx_time_mono_ns() + (uint64_t)ms * 1000000u;
    int wakes = 0;

    sx_lock_take(&exec_lock);
    if (!__atomic_load_n(&is_stopping, __ATOMIC_RELAXED)) {
        sx_delay_add(&delayed, due, t);
        wakes = n_idle > 0 && sx_delay_next(&delayed) < watched_due;
    }
    sx_lock_give(&exec_lock);
    if (wakes)
        pthread_cond_signal(&wake_pool);
}

static uint32_t exec_n_cpus(void)
{
    return n_cpus ? n_cpus : sx_cpu_count();
}

struct sx_worker *sx_exec_adopt(uint32_t i, struct sx_loop *loop)
{
    SX_ASSERT(i < n_loops);
    struct sx_worker_rec *w = sx_workers_at(n_pool + i);
    sx_worker_begin(w, "loop");
    w->pub.loop = loop;
    return &w->pub;
}

void sx_exec_release(struct sx_worker *pub)
{
    sx_worker_end(pub->priv);
}

/* --- epochs' timer ---------------------------------------------------------------------------- */

static uint32_t is_ticking; /* atomic */

static void epoch_kick(void);

static void epoch_tick(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    __atomic_store_n(&is_ticking, 0, __ATOMIC_SEQ_CST);
    sx_epoch_poll();
    if (sx_epoch_pending() > 0)
        epoch_kick();
}

static struct sx_task epoch_task = {.fn = epoch_tick};

static void epoch_kick(void)
{
    if (__atomic_exchange_n(&is_ticking, 1, __ATOMIC_SEQ_CST) == 0)
        exec_delay(&epoch_task, EPOCH_TICK_MS);
}

/* --- start and stop --------------------------------------------------------------------------- */

int sx_exec_init(uint32_t pool, uint32_t loops, uint32_t blocking_max, struct sx_err *err)
{
    n_cpus = sx_cpu_count();
    n_pool = pool ? pool : n_cpus;
    n_loops = loops;
    uint32_t n_blocking = blocking_max ? blocking_max : BLOCKING_DEFAULT;
    if (n_pool > THREADS_MAX || n_loops > THREADS_MAX || n_blocking > THREADS_MAX)
        return sx_err_set(err, SX_EINPUT, "more than %d threads of one kind", THREADS_MAX);
    if (sx_cond_init(&wake_pool) != 0 || sx_cond_init(&wake_main) != 0)
        return sx_err_set(err, SX_ENOMEM, "no conditions for the pools");
    if (sx_workers_init(n_pool + n_loops + n_blocking) != 0)
        return sx_err_set(err, SX_ENOMEM, "no memory for the workers");
    int rc = sx_blocking_init(n_pool + n_loops, n_blocking, err);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < N_CLASSES; i++) {
        sx_queue_init(&queues[i]);
        n_done[i] = 0;
    }
    sx_delay_init(&delayed);
    watched_due = UINT64_MAX;
    n_started = n_failed = n_idle = 0;
    is_going = is_exiting = 0;
    n_outstanding = 0;
    is_stopping = 0;
    is_ticking = 0;
    sx_epoch_on_retire(epoch_kick);
    return 0;
}

/* Ends and joins the first n threads of the pool, and the blocking pool. */
static void threads_end(uint32_t n)
{
    sx_lock_take(&exec_lock);
    is_exiting = 1;
    is_going = 0;
    pthread_cond_broadcast(&wake_pool);
    sx_lock_give(&exec_lock);
    for (uint32_t i = 0; i < n; i++)
        pthread_join(sx_workers_at(i)->thread, NULL);
    sx_blocking_stop();
}

int sx_exec_start(sx_thread_hook hook, void *arg, struct sx_err *err)
{
    uint32_t n = 0;
    int rc = 0;

    SX_ASSERT(sx_workers_count() > 0 && !is_going);
    thread_hook = hook;
    thread_hook_arg = arg;
    while (n < n_pool && rc == 0) {
        struct sx_worker_rec *w = sx_workers_at(n);
        rc = sx_exec_thread(pool_main, w, "sx-pool", &w->thread);
        if (rc == 0)
            n++;
    }
    sx_lock_take(&exec_lock);
    while (n_started < n)
        sx_cond_wait(&wake_main, &exec_lock);
    uint32_t failed = n_failed;
    sx_lock_give(&exec_lock);
    if (rc == 0 && failed == 0)
        rc = sx_blocking_start();
    if (rc == 0 && failed == 0) {
        sx_lock_take(&exec_lock);
        is_going = 1;
        pthread_cond_broadcast(&wake_pool);
        sx_lock_give(&exec_lock);
        return 0;
    }
    threads_end(n);
    if (rc != 0)
        return sx_err_set(err, SX_EINTERNAL, "cannot start a pool thread: error %d", rc);
    return sx_err_set(err, SX_EINTERNAL, "%u of %u pool threads did not start", failed, n);
}

void sx_exec_stop(void)
{
    if (!is_going)
        return;
    __atomic_store_n(&is_stopping, 1, __ATOMIC_SEQ_CST); /* pairs with sx_exec__count_out() */
    sx_lock_take(&exec_lock);
    while (__atomic_load_n(&n_outstanding, __ATOMIC_SEQ_CST) > 0)
        sx_cond_wait(&wake_main, &exec_lock);
    sx_lock_give(&exec_lock);
    threads_end(n_pool);
}

void sx_exec_fini(void)
{
    if (sx_workers_count() == 0)
        return;
    SX_ASSERT(!is_going);
    sx_epoch_on_retire(NULL);
    pthread_cond_destroy(&wake_pool);
    pthread_cond_destroy(&wake_main);
    sx_delay_fini(&delayed);
    sx_workers_fini();
    n_pool = n_loops = 0;
}

void sx_exec_stats(struct sx_exec_stats *out)
{
    *out = (struct sx_exec_stats){.n_pool = n_pool};
    sx_blocking_stats(&out->n_blocking, &out->queued_blocking, &out->done_blocking);
    sx_lock_take(&exec_lock);
    for (uint32_t i = 0; i < N_CLASSES; i++) {
        out->queued[i] = queues[i].n;
        out->done[i] = n_done[i];
    }
    out->delayed = delayed.n + delayed.late.n;
    sx_lock_give(&exec_lock);
}

static const struct sx_exec table = {
    .size = (uint32_t)sizeof(struct sx_exec),
    .n_workers = sx_workers_count,
    .n_cpus = exec_n_cpus,
    .self = sx_exec_self,
    .submit = exec_submit,
    .blocking = sx_blocking_submit,
    .delay = exec_delay,
    .strand_create = sx_strand_create,
    .strand_post = sx_strand_post,
    .strand_destroy = sx_strand_destroy,
};

const struct sx_exec *sx_exec_table(void)
{
    return &table;
}
