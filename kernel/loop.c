/* Event loops: one libevent base per loop, and nothing of libevent outside.
 *
 * A base is touched by its own thread only, so libevent's thread support is not used at all. Other
 * threads reach a loop through post(): they push the task on a lock-free stack and write to the
 * loop's eventfd if the stack was empty; the loop takes the whole stack at once, turns it round and
 * runs the tasks in the order they came. A task that posts again runs in the next round, so a loop
 * that feeds itself still serves its sockets.
 *
 * Watches are level-triggered: the callback may leave data unread and is called again. A watch's
 * struct event lives inside the watch, one allocation each.
 *
 * Timers run on libevent's coarse monotonic clock: a time out may come some 4 ms early or late.
 *
 * A loop without timers sleeps in epoll_wait without a timeout. After each round it lets the epochs
 * free a few entries; what is left the pool's idle threads do. */
#define _GNU_SOURCE 1
#include "loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "epoch.h"
#include "lock.h"
#include "mem.h"

#define LOOPS_MAX       256
#define EPOCH_PER_ROUND 16

struct sx_loop {
    /* Constant between init and fini. */
    struct event_base *base;
    uint32_t index;
    int32_t wake_fd;
    pthread_t thread;
    struct event wake_event;

    /* Own thread. */
    struct sx_worker *worker;

    /* Any thread, atomic; a line of its own because others write it. */
    struct sx_task *posted __attribute__((__aligned__(64)));
    uint32_t is_stopping;
};

struct sx_watch {
    struct event ev;
    struct sx_loop *loop;
    void (*fn)(int32_t fd, uint32_t events, void *arg);
    void *arg;
    int32_t fd;
    uint32_t events;
};

struct sx_timer {
    struct event ev;
    void (*fn)(void *arg);
    void *arg;
};

static struct sx_loop *loops; /* constant between init and fini */
static uint32_t n_loops;
static __thread struct sx_loop *mine;

/* Start and end of the loop threads; guarded by start_lock. */
static struct sx_lock start_lock = SX_LOCK_INIT(SX_RANK_LOOP);
static pthread_cond_t start_cond;
static uint32_t n_ready, n_failed;
static uint32_t n_threads; /* main thread only: loop threads to be joined */
static sx_thread_hook thread_hook;
static void *thread_hook_arg;

/* --- posting ---------------------------------------------------------------------------------- */

/* Async-signal-safe. A full counter (EAGAIN) already wakes the loop. */
static void loop_wake(struct sx_loop *loop)
{
    uint64_t one = 1;

    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void loop_post(struct sx_loop *loop, struct sx_task *t)
{
    struct sx_task *head = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);

    do {
        t->next = head;
        /* Pairs with the exchange in posted_run(). */
    } while (!__atomic_compare_exchange_n(&loop->posted, &head, t, 1, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (!head)
        loop_wake(loop);
}

/* Runs what has been posted so far; 0 when that was nothing. */
static uint32_t posted_run(struct sx_loop *loop)
{
    struct sx_task *t = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQUIRE);
    struct sx_task *first = NULL;
    uint32_t n = 0;

    while (t) {
        struct sx_task *next = t->next;
        t->next = first;
        first = t;
        t = next;
    }
    for (; first; n++) {
        t = first;
        first = t->next; /* read before the call: the task may be posted again inside */
        t->fn(t, loop->worker);
    }
    return n;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct sx_loop *loop = arg;
    uint64_t count;

    (void)what;
    /* First the counter, then the stack: a post in between wakes us once more for nothing, the
     * other order would lose one. */
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
    posted_run(loop);
    if (__atomic_load_n(&loop->is_stopping, __ATOMIC_ACQUIRE))
        event_base_loopbreak(loop->base);
}

/* --- watches ---------------------------------------------------------------------------------- */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct sx_watch *w = arg;
    uint32_t events = 0;

    if (what & EV_READ)
        events |= SX_EV_READ;
    if (what & EV_WRITE)
        events |= SX_EV_WRITE;
    w->fn((int32_t)fd, events, w->arg); /* may end the watch */
}

static int watch_arm(struct sx_watch *w, uint32_t events)
{
    short what = EV_PERSIST;

    if (events & SX_EV_READ)
        what |= EV_READ;
    if (events & SX_EV_WRITE)
        what |= EV_WRITE;
    event_assign(&w->ev, w->loop->base, w->fd, what, on_watch, w);
    if (events && event_add(&w->ev, NULL) != 0)
        return SX_ENOMEM;
    return 0;
}

static int loop_watch_set(struct sx_watch *w, uint32_t events)
{
    events &= SX_EV_READ | SX_EV_WRITE;
    if (events == w->events)
        return 0;
    if (w->events)
        event_del(&w->ev);
    w->events = 0;
    int rc = watch_arm(w, events);
    if (rc == 0)
        w->events = events;
    return rc;
}

static struct sx_watch *loop_watch(struct sx_loop *loop,
                                   int32_t fd,
                                   uint32_t events,
                                   void (*fn)(int32_t fd, uint32_t events, void *arg),
                                   void *arg)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_watch *w = mem->zalloc(mem, sizeof(*w));

    SX_DASSERT(mine == loop || mine == NULL);
    if (!w)
        return NULL;
    w->loop = loop;
    w->fd = fd;
    w->fn = fn;
    w->arg = arg;
    if (watch_arm(w, 0) != 0 || loop_watch_set(w, events) != 0) {
        mem->release(mem, w);
        return NULL;
    }
    return w;
}

static void loop_watch_end(struct sx_watch *w)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!w)
        return;
    if (w->events)
        event_del(&w->ev); /* also takes it off the list of callbacks still to run this round */
    mem->release(mem, w);
}

/* --- timers ----------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sx_timer *t = arg;

    (void)fd;
    (void)what;
    t->fn(t->arg); /* may set or end the timer */
}

static struct sx_timer *loop_timer(struct sx_loop *loop, void (*fn)(void *arg), void *arg)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_timer *t = mem->zalloc(mem, sizeof(*t));

    SX_DASSERT(mine == loop || mine == NULL);
    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    event_assign(&t->ev, loop->base, -1, 0, on_timer, t);
    return t;
}

/* libevent keeps timers in a heap that grows; when it cannot, the time out is lost. That is a small
 * allocation of the kernel failing, and a lost time out only delays a clean-up, so no code is made
 * of it. */
static void loop_timer_set(struct sx_timer *t, uint32_t ms)
{
    if (ms == UINT32_MAX) {
        event_del(&t->ev);
        return;
    }
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    /* The base works with the time at which this round began; a long round would shorten ours. */
    event_base_update_cache_time(event_get_base(&t->ev));
    event_add(&t->ev, &tv);
}

static void loop_timer_end(struct sx_timer *t)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!t)
        return;
    event_del(&t->ev);
    mem->release(mem, t);
}

/* --- running ---------------------------------------------------------------------------------- */

static void loop_run(struct sx_loop *loop)
{
    while (!__atomic_load_n(&loop->is_stopping, __ATOMIC_ACQUIRE)) {
        if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
            break; /* epoll itself failed: out of memory or descriptors at start */
        sx_epoch_poll_some(EPOCH_PER_ROUND);
    }
}

static void loop_stop(struct sx_loop *loop)
{
    __atomic_store_n(&loop->is_stopping, 1, __ATOMIC_RELEASE);
    loop_wake(loop);
}

static void loop_begin(struct sx_loop *loop)
{
    mine = loop;
    loop->worker = sx_exec_adopt(loop->index, loop);
}

/* The last posts may come from tasks that run here; whoever posts for ever hangs the stop. */
static void loop_end(struct sx_loop *loop, int is_hooked)
{
    while (posted_run(loop) > 0)
        ;
    if (is_hooked && thread_hook)
        thread_hook(thread_hook_arg, loop->worker, 0);
    sx_exec_release(loop->worker);
    loop->worker = NULL;
    mine = NULL;
}

static void *loop_main(void *arg)
{
    struct sx_loop *loop = arg;

    loop_begin(loop);
    int rc = thread_hook ? thread_hook(thread_hook_arg, loop->worker, 1) : 0;
    sx_lock_take(&start_lock);
    n_ready++;
    if (rc != 0)
        n_failed++;
    pthread_cond_signal(&start_cond);
    sx_lock_give(&start_lock);
    if (rc == 0)
        loop_run(loop);
    loop_end(loop, rc == 0);
    return NULL;
}

static int loop_open(struct sx_loop *loop, uint32_t index)
{
    struct event_config *conf = event_config_new();

    loop->index = index;
    if (!conf)
        return -1;
    event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(conf);
    event_config_free(conf);
    if (!loop->base)
        return -1;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -1;
    event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    return event_add(&loop->wake_event, NULL);
}

static void loop_close(struct sx_loop *loop)
{
    if (loop->wake_fd >= 0) {
        if (event_initialized(&loop->wake_event))
            event_del(&loop->wake_event);
        close(loop->wake_fd);
    }
    if (loop->base)
        event_base_free(loop->base);
}

int sx_loops_init(uint32_t n, struct sx_err *err)
{
    SX_ASSERT(!loops);
    if (n == 0 || n > LOOPS_MAX)
        return sx_err_set(err, SX_EINPUT, "%u event loops: 1 to %d are possible", n, LOOPS_MAX);
    loops = sx_mem_zalloc_aligned(sx_mem_kernel(), 64, (uint64_t)n * sizeof(*loops));
    if (!loops || sx_cond_init(&start_cond) != 0)
        return sx_err_set(err, SX_ENOMEM, "no memory for %u event loops", n);
    for (uint32_t i = 0; i < n; i++)
        loops[i].wake_fd = -1;
    for (uint32_t i = 0; i < n; i++) {
        n_loops = i + 1; /* what fini has to close */
        if (loop_open(&loops[i], i) != 0) {
            int e = errno;
            sx_loops_fini();
            return sx_err_set(err, SX_EIO, "event loop %u: %s", i, strerror(e));
        }
    }
    n_ready = n_failed = n_threads = 0;
    return 0;
}

int sx_loops_start(sx_thread_hook hook, void *arg, struct sx_err *err)
{
    int rc = 0;

    SX_ASSERT(loops && !mine);
    thread_hook = hook;
    thread_hook_arg = arg;
    for (uint32_t i = 1; i < n_loops && rc == 0; i++) {
        rc = sx_exec_thread(loop_main, &loops[i], "sx-loop", &loops[i].thread);
        if (rc == 0)
            n_threads++;
    }
    sx_lock_take(&start_lock);
    while (n_ready < n_threads)
        sx_cond_wait(&start_cond, &start_lock);
    uint32_t failed = n_failed;
    sx_lock_give(&start_lock);
    if (rc == 0 && failed == 0) {
        loop_begin(&loops[0]);
        if (!hook || hook(arg, loops[0].worker, 1) == 0)
            return 0;
        failed = 1;
        loop_end(&loops[0], 0);
    }
    for (uint32_t i = 1; i <= n_threads; i++)
        loop_stop(&loops[i]);
    for (; n_threads > 0; n_threads--)
        pthread_join(loops[n_threads].thread, NULL);
    if (rc != 0)
        return sx_err_set(err, SX_EINTERNAL, "cannot start an event loop: error %d", rc);
    return sx_err_set(err, SX_EINTERNAL, "%u of %u event loops did not start", failed, n_loops);
}

void sx_loops_run(void)
{
    SX_ASSERT(mine == loops);
    loop_run(&loops[0]);
}

void sx_loops_stop(void)
{
    if (loops)
        loop_stop(&loops[0]);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

void sx_loops_turn(uint32_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    struct event limit;

    SX_ASSERT(mine == loops);
    event_assign(&limit, loops[0].base, -1, 0, on_turn, NULL);
    if (ms > 0)
        event_add(&limit, &tv);
    event_base_loop(loops[0].base, ms > 0 ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
    event_del(&limit);
    sx_epoch_poll_some(EPOCH_PER_ROUND);
}

void sx_loops_fini(void)
{
    const struct sx_mem *mem = sx_mem_kernel();

    if (!loops)
        return;
    for (uint32_t i = 1; i <= n_threads; i++)
        loop_stop(&loops[i]);
    for (; n_threads > 0; n_threads--)
        pthread_join(loops[n_threads].thread, NULL);
    if (mine == loops)
        loop_end(&loops[0], 1);
    for (uint32_t i = 0; i < n_loops; i++)
        loop_close(&loops[i]);
    pthread_cond_destroy(&start_cond);
    mem->release(mem, loops);
    loops = NULL;
    n_loops = 0;
}

/* --- tables ----------------------------------------------------------------------------------- */

static uint32_t loop_count(void)
{
    return n_loops;
}

static struct sx_loop *loop_at(uint32_t i)
{
    return i < n_loops ? &loops[i] : NULL;
}

static uint32_t loop_index(const struct sx_loop *loop)
{
    return loop->index;
}

static struct sx_loop *loop_current(void)
{
    return mine;
}

static struct event_base *loop_base(struct sx_loop *loop)
{
    return loop->base;
}

static const struct sx_loop_api table = {
    .size = (uint32_t)sizeof(struct sx_loop_api),
    .count = loop_count,
    .at = loop_at,
    .index = loop_index,
    .current = loop_current,
    .post = loop_post,
    .watch = loop_watch,
    .watch_set = loop_watch_set,
    .watch_end = loop_watch_end,
    .timer = loop_timer,
    .timer_set = loop_timer_set,
    .timer_end = loop_timer_end,
};

static const struct sx_loop_libevent libevent_table = {
    .size = (uint32_t)sizeof(struct sx_loop_libevent),
    .base = loop_base,
};

const struct sx_loop_api *sx_loop_table(void)
{
    return &table;
}

const struct sx_loop_libevent *sx_loop_libevent_table(void)
{
    return &libevent_table;
}
