/* needs: kernel/loop.c kernel/exec*.c kernel/strand.c kernel/epoch.c kernel/mem.c kernel/lock.c */
/* needs: kernel/panic.c kernel/cpu.c kernel/time.c */
/* Event loops: posts arrive in order on the right thread, watches and timers do as told, one loop
 * on the main thread is enough. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/epoch.h"
#include "kernel/exec.h"
#include "kernel/loop.h"

static const struct sx_loop_api *api;
static const struct sx_exec *exec;

static void init(uint32_t n)
{
    struct sx_err err = SX_ERR_INIT;

    api = sx_loop_table();
    exec = sx_exec_table();
    assert_int_equal(sx_exec_init(2, n, 1, &err), 0);
    assert_int_equal(sx_loops_init(n, &err), 0);
}

static void start(uint32_t n, sx_thread_hook hook, void *arg)
{
    struct sx_err err = SX_ERR_INIT;

    init(n);
    assert_int_equal(sx_exec_start(NULL, NULL, &err), 0);
    assert_int_equal(sx_loops_start(hook, arg, &err), 0);
}

static void stop(void)
{
    sx_exec_stop();
    sx_loops_fini();
    sx_exec_fini();
    sx_epoch_drain();
}

static void stop_task(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    sx_loops_stop();
}

/* --- posts --------------------------------------------------------------------------------------
 */

static uint32_t order[16], n_order;
static struct sx_task noted[16], ender = {.fn = stop_task};

static void note(struct sx_task *t, struct sx_worker *w)
{
    assert_ptr_equal(api->current(), api->at(0));
    assert_ptr_equal(w->loop, api->at(0));
    assert_ptr_equal(exec->self(), w);
    order[n_order++] = (uint32_t)(t - noted);
    if (t->arg) { /* again, in the next round */
        t->arg = NULL;
        api->post(w->loop, t);
    }
}

static void test_one_loop(void **state)
{
    (void)state;
    n_order = 0;
    init(1);
    assert_int_equal(api->count(), 1);
    assert_int_equal(api->index(api->at(0)), 0);
    assert_null(api->at(1));
    assert_null(api->current());
    for (uint32_t i = 0; i < 4; i++) {
        noted[i] = (struct sx_task){.fn = note, .arg = i == 1 ? noted : NULL};
        api->post(api->at(0), &noted[i]); /* before the start: kept */
    }
    assert_int_equal(sx_exec_start(NULL, NULL, NULL), 0);
    assert_int_equal(sx_loops_start(NULL, NULL, NULL), 0);
    assert_int_equal(exec->self()->id, 2); /* behind the two pool threads */
    assert_int_equal(n_order, 0);
    sx_loops_turn(1000);
    sx_loops_turn(1000);
    assert_int_equal(n_order, 5);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(order[4], 1);
    api->post(api->at(0), &ender);
    sx_loops_run();
    stop();
    assert_null(api->current());
}

/* A ball goes round all loops many times; each loop also gets a stream of posts from a foreign
 * thread, which must arrive in order. */
#define LOOPS  3
#define ROUNDS 3000

static uint32_t ball_left, n_wrong, stream_next[LOOPS], stream_left;
static struct sx_task stream_tasks[LOOPS][ROUNDS];

static void end_when_done(void)
{
    if (__atomic_load_n(&ball_left, __ATOMIC_ACQUIRE) == 0 &&
        __atomic_load_n(&stream_left, __ATOMIC_ACQUIRE) == 0)
        sx_loops_stop();
}

static void ball_task(struct sx_task *t, struct sx_worker *w)
{
    if (api->current() != w->loop || w->id != 2 + api->index(w->loop))
        __atomic_fetch_add(&n_wrong, 1, __ATOMIC_RELAXED);
    if (__atomic_sub_fetch(&ball_left, 1, __ATOMIC_ACQ_REL) > 0)
        api->post(api->at((api->index(w->loop) + 1) % LOOPS), t);
    else
        end_when_done();
}

static void stream_task(struct sx_task *t, struct sx_worker *w)
{
    uint32_t loop = api->index(w->loop);

    if (t != &stream_tasks[loop][stream_next[loop]++])
        __atomic_fetch_add(&n_wrong, 1, __ATOMIC_RELAXED);
    if (__atomic_sub_fetch(&stream_left, 1, __ATOMIC_ACQ_REL) == 0)
        end_when_done();
}

static void *stream_main(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t loop = 0; loop < LOOPS; loop++) {
            stream_tasks[loop][i].fn = stream_task;
            api->post(api->at(loop), &stream_tasks[loop][i]);
        }
    }
    return NULL;
}

static void test_posts_between_threads(void **state)
{
    struct sx_task ball = {.fn = ball_task};
    pthread_t streamer;

    (void)state;
    start(LOOPS, NULL, NULL);
    ball_left = LOOPS * ROUNDS;
    stream_left = LOOPS * ROUNDS;
    n_wrong = 0;
    memset(stream_next, 0, sizeof(stream_next));
    api->post(api->at(1), &ball);
    assert_int_equal(pthread_create(&streamer, NULL, stream_main, NULL), 0);
    sx_loops_run();
    pthread_join(streamer, NULL);
    stop();
    assert_int_equal(n_wrong, 0);
    for (uint32_t i = 0; i < LOOPS; i++)
        assert_int_equal(stream_next[i], ROUNDS);
}

/* From the pool to a loop and back; what is on its way at the end still arrives. */
static uint32_t n_hops;

static void hop_pool(struct sx_task *t, struct sx_worker *w);

static void hop_loop(struct sx_task *t, struct sx_worker *w)
{
    if (!w->loop)
        n_wrong++;
    n_hops++;
    if (n_hops < 1000) {
        t->fn = hop_pool;
        exec->submit(t, SX_CLASS_QUERY);
    } else {
        sx_loops_stop();
    }
}

static void hop_pool(struct sx_task *t, struct sx_worker *w)
{
    if (w->loop)
        n_wrong++;
    t->fn = hop_loop;
    api->post(api->at(0), t);
}

static void last_post(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    t->fn = hop_loop;
    api->post(api->at(1), t);
}

static void test_pool_and_loop(void **state)
{
    struct sx_task t = {.fn = hop_pool}, late = {.fn = last_post};

    (void)state;
    n_hops = n_wrong = 0;
    start(2, NULL, NULL);
    exec->submit(&t, SX_CLASS_QUERY);
    sx_loops_run();
    assert_int_equal(n_hops, 1000);
    exec->submit(&late, SX_CLASS_BACKGROUND);
    stop();
    assert_int_equal(n_hops, 1001);
    assert_int_equal(n_wrong, 0);
}

/* --- watches ------------------------------------------------------------------------------------
 */

struct peer {
    struct sx_watch *watch;
    int fd;
    uint32_t n_read, n_write, last;
    struct peer *end; /* whose watch to end in the callback */
};

static void on_peer(int32_t fd, uint32_t events, void *arg)
{
    struct peer *p = arg;

    assert_int_equal(fd, p->fd);
    p->last = events;
    p->n_read += (events & SX_EV_READ) != 0;
    p->n_write += (events & SX_EV_WRITE) != 0;
    if (p->end) {
        api->watch_end(p->end->watch);
        p->end->watch = NULL;
        p->end = NULL;
    }
}

static void test_watches(void **state)
{
    int fds[2];
    struct peer p = {.fd = -1};
    char c;

    (void)state;
    start(1, NULL, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    p.fd = fds[0];
    p.watch = api->watch(api->at(0), fds[0], 0, on_peer, &p);
    assert_non_null(p.watch);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    sx_loops_turn(0);
    assert_int_equal(p.n_read + p.n_write, 0); /* asked for nothing */

    assert_int_equal(api->watch_set(p.watch, SX_EV_READ), 0);
    sx_loops_turn(1000);
    assert_int_equal(read(fds[0], &c, 1), 1);
    sx_loops_turn(1000); /* level-triggered: one byte is left */
    assert_int_equal(p.n_read, 2);
    assert_int_equal(p.n_write, 0);
    assert_int_equal(read(fds[0], &c, 1), 1);
    sx_loops_turn(0);
    assert_int_equal(p.n_read, 2);

    assert_int_equal(api->watch_set(p.watch, SX_EV_READ | SX_EV_WRITE), 0);
    sx_loops_turn(1000);
    assert_int_equal(p.n_write, 1);
    assert_int_equal(p.last, SX_EV_WRITE);
    assert_int_equal(api->watch_set(p.watch, SX_EV_READ), 0);
    close(fds[1]); /* the end of the stream is something to read */
    sx_loops_turn(1000);
    assert_int_equal(p.n_read, 3);
    assert_int_equal(p.n_write, 1);

    api->watch_end(p.watch);
    sx_loops_turn(0);
    assert_int_equal(p.n_read, 3);
    assert_int_not_equal(fcntl(fds[0], F_GETFD), -1); /* stays open */
    close(fds[0]);
    stop();
}

/* Two descriptors are ready in the same round; whichever callback comes first ends both watches, so
 * the other one must not be called any more. */
static void test_watch_ended_by_another(void **state)
{
    int a[2], b[2];
    struct peer p = {.fd = -1}, q = {.fd = -1};

    (void)state;
    start(1, NULL, NULL);
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    p.fd = a[0];
    q.fd = b[0];
    p.end = &q;
    q.end = &p;
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    p.watch = api->watch(api->at(0), a[0], SX_EV_READ, on_peer, &p);
    q.watch = api->watch(api->at(0), b[0], SX_EV_READ, on_peer, &q);
    assert_true(p.watch && q.watch);
    sx_loops_turn(1000);
    assert_int_equal(p.n_read + q.n_read, 1);
    struct peer *alive = p.watch ? &p : &q;
    assert_true((p.watch == NULL) != (q.watch == NULL));
    alive->end = alive; /* and one may end itself */
    sx_loops_turn(1000);
    assert_int_equal(alive->n_read, 2);
    assert_null(alive->watch);
    sx_loops_turn(0);
    assert_int_equal(p.n_read + q.n_read, 2);
    for (uint32_t i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    stop();
}

/* --- timers -------------------------------------------------------------------------------------
 */

static uint32_t fired[4], n_fired;
static struct sx_timer *timers[4];

static void on_timer(void *arg)
{
    uint32_t i = (uint32_t)(uintptr_t)arg;

    fired[i]++;
    n_fired++;
    if (i == 2 && fired[2] < 3)
        api->timer_set(timers[2], 1); /* again */
    if (i == 3) {
        api->timer_end(timers[0]); /* another one, still armed */
        api->timer_end(timers[3]); /* itself */
        timers[0] = timers[3] = NULL;
    }
}

static void test_timers(void **state)
{
    (void)state;
    start(1, NULL, NULL);
    n_fired = 0;
    for (uint32_t i = 0; i < 4; i++) {
        fired[i] = 0;
        timers[i] = api->timer(api->at(0), on_timer, (void *)(uintptr_t)i);
        assert_non_null(timers[i]);
    }
    sx_loops_turn(20);
    assert_int_equal(n_fired, 0); /* made, not armed */
    api->timer_set(timers[0], 3600 * 1000);
    api->timer_set(timers[1], 5);
    api->timer_set(timers[1], UINT32_MAX); /* disarmed again */
    api->timer_set(timers[2], 5);
    while (fired[2] < 3)
        sx_loops_turn(1000);
    api->timer_set(timers[3], 5);
    while (fired[3] < 1)
        sx_loops_turn(1000);
    sx_loops_turn(20);
    assert_int_equal(fired[0], 0);
    assert_int_equal(fired[1], 0);
    assert_int_equal(fired[2], 3);
    assert_int_equal(fired[3], 1);
    api->timer_end(timers[1]);
    api->timer_end(timers[2]);
    stop();
}

/* --- start and stop -----------------------------------------------------------------------------
 */

struct hook_state {
    uint32_t starts[8], stops[8], n_foreign, fail;
};

static int hook(void *arg, struct sx_worker *w, int is_start)
{
    struct hook_state *h = arg;
    uint32_t i = api->index(w->loop);

    if (api->current() != w->loop)
        __atomic_fetch_add(&h->n_foreign, 1, __ATOMIC_RELAXED);
    (is_start ? h->starts : h->stops)[i]++;
    return is_start && i == h->fail ? -1 : 0;
}

static void test_hooks(void **state)
{
    struct hook_state h = {.fail = 99};

    (void)state;
    start(3, hook, &h);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(h.starts[i], 1);
        assert_int_equal(h.stops[i], 0);
    }
    sx_loops_stop(); /* before run: it returns at once */
    sx_loops_run();
    stop();
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(h.stops[i], 1);
    assert_int_equal(h.n_foreign, 0);
}

static void test_hook_fails(void **state)
{
    (void)state;
    for (uint32_t fail = 0; fail < 3; fail++) {
        struct hook_state h = {.fail = fail};
        struct sx_err err = SX_ERR_INIT;

        init(3);
        assert_int_equal(sx_loops_start(hook, &h, &err), SX_EINTERNAL);
        assert_true(err.msg[0]);
        stop();
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(h.stops[i], i == fail ? 0 : h.starts[i]);
    }
}

static void test_counts(void **state)
{
    struct sx_err err = SX_ERR_INIT;

    (void)state;
    assert_int_equal(sx_loops_init(0, &err), SX_EINPUT);
    assert_int_equal(sx_loops_init(100000, &err), SX_EINPUT);
}

static uint64_t sleeps(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)u.ru_nvcsw;
}

static void *idle_main(void *arg)
{
    (void)arg;
    usleep(300 * 1000);
    uint64_t before = sleeps();
    usleep(1000 * 1000);
    uint64_t n = sleeps() - before;
    sx_loops_stop();
    return (void *)(uintptr_t)n;
}

/* With nothing to do no thread wakes up. A second of ticking every 10 ms would be a hundred sleeps
 * for each thread (a sanitizer's own thread ticks ten times). */
static void test_idle_is_idle(void **state)
{
    pthread_t t;
    void *n;

    (void)state;
    start(2, NULL, NULL);
    assert_int_equal(pthread_create(&t, NULL, idle_main, NULL), 0);
    sx_loops_run();
    pthread_join(t, &n);
    stop();
    assert_true((uintptr_t)n < 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_loop),
        cmocka_unit_test(test_posts_between_threads),
        cmocka_unit_test(test_pool_and_loop),
        cmocka_unit_test(test_watches),
        cmocka_unit_test(test_watch_ended_by_another),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_hook_fails),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_idle_is_idle),
    };

    alarm(120); /* a lost wake-up ends the program instead of the night */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
