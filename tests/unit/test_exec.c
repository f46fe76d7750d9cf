/* needs: kernel/exec*.c kernel/strand.c kernel/epoch.c kernel/mem.c kernel/lock.c kernel/panic.c */
/* needs: kernel/cpu.c kernel/time.c */
/* The pools: everything submitted runs, in the order of its class, strands one at a time, delayed
 * tasks not early, and stop() leaves nothing behind. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/cpu.h"
#include "kernel/epoch.h"
#include "kernel/exec.h"
#include "kernel/exec_priv.h"
#include "kernel/mem.h"

static const struct sx_exec *exec;
static struct sx_host host = {.size = sizeof(host), .module = "test"};

static void start(uint32_t pool, uint32_t blocking, sx_thread_hook hook, void *arg)
{
    struct sx_err err = SX_ERR_INIT;

    exec = sx_exec_table();
    host.mem = sx_mem_account("test");
    assert_int_equal(sx_exec_init(pool, 0, blocking, &err), 0);
    assert_int_equal(sx_exec_start(hook, arg, &err), 0);
}

static void stop(void)
{
    sx_exec_stop();
    sx_exec_fini();
    sx_epoch_drain();
}

static uint32_t get(uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void add(uint32_t *p)
{
    __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL);
}

static void wait_for(uint32_t *p, uint32_t value)
{
    while (get(p) != value)
        usleep(200);
}

/* --- tasks and workers --------------------------------------------------------------------------
 */

static uint32_t n_run, n_wrong;

static void count_task(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    if (exec->self() != w || w->loop || w->id >= exec->n_workers())
        add(&n_wrong);
    add(&n_run);
}

static void test_everything_runs(void **state)
{
    static struct sx_task tasks[3000];

    (void)state;
    n_run = n_wrong = 0;
    start(3, 2, NULL, NULL);
    assert_int_equal(exec->n_workers(), 5);
    assert_true(exec->n_cpus() >= 1);
    assert_null(exec->self()); /* a foreign thread */
    for (uint32_t i = 0; i < SX_COUNT(tasks); i++) {
        tasks[i].fn = count_task;
        if (i % 4 == 3)
            exec->blocking(&tasks[i]);
        else
            exec->submit(&tasks[i], i % 4);
    }
    stop(); /* waits */
    assert_int_equal(n_run, SX_COUNT(tasks));
    assert_int_equal(n_wrong, 0);
}

/* A task that submits another kind of task, which submits the first kind again, and so on: stop()
 * must not take a moment between two of them for the end. */
static uint32_t chain_left;

static void chain_task(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    if (chain_left == 0)
        return;
    if (--chain_left % 2)
        exec->blocking(t);
    else
        exec->submit(t, SX_CLASS_QUERY);
}

static void test_stop_waits_for_chains(void **state)
{
    struct sx_task t = {.fn = chain_task};

    (void)state;
    start(2, 2, NULL, NULL);
    chain_left = 2001;
    exec->submit(&t, SX_CLASS_BACKGROUND);
    stop();
    assert_int_equal(chain_left, 0);
}

/* --- classes ------------------------------------------------------------------------------------
 */

static struct sx_task by_class[3];
static uint32_t class_order[3], n_class_order;

static void class_task(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    class_order[n_class_order++] = (uint32_t)(t - by_class);
    add(&n_run);
}

static void class_feed(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    for (uint32_t cls = 3; cls-- > 0;)
        exec->submit(&by_class[cls], cls);
}

/* On one thread: lowest class submitted first, highest runs first. A class that has waited for long
 * may jump the queue, so a run that was interrupted for that long proves nothing and is repeated;
 * with the wrong order every run is wrong. */
static void test_class_order(void **state)
{
    struct sx_task feed = {.fn = class_feed};
    int is_right = 0;

    (void)state;
    start(1, 1, NULL, NULL);
    for (uint32_t i = 0; i < 3; i++)
        by_class[i].fn = class_task;
    for (uint32_t tries = 0; tries < 50 && !is_right; tries++) {
        n_run = n_class_order = 0;
        exec->submit(&feed, SX_CLASS_QUERY);
        wait_for(&n_run, 3);
        is_right = class_order[0] == 0 && class_order[1] == 1 && class_order[2] == 2;
    }
    stop();
    assert_true(is_right);
}

static uint32_t flood_end;

static void flood_task(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    if (!get(&flood_end))
        exec->submit(t, SX_CLASS_QUERY);
}

static void flood_end_task(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    if (t->arg)
        exec->submit(t->arg, SX_CLASS_BACKGROUND);
    else
        __atomic_store_n(&flood_end, 1, __ATOMIC_RELEASE);
}

/* Queries without end: a writer's task and then a background task still get through. */
static void test_nobody_starves(void **state)
{
    struct sx_task flood[4], last = {.fn = flood_end_task};
    struct sx_task writer = {.fn = flood_end_task, .arg = &last};

    (void)state;
    flood_end = 0;
    start(1, 1, NULL, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        flood[i].fn = flood_task;
        exec->submit(&flood[i], SX_CLASS_QUERY);
    }
    exec->submit(&writer, SX_CLASS_WRITER);
    wait_for(&flood_end, 1);
    stop();
}

/* --- strands ------------------------------------------------------------------------------------
 */

#define POSTERS  4
#define PER_POST 2000

struct post_task {
    struct sx_task task;
    uint32_t poster, i;
};

static struct post_task post_tasks[POSTERS][PER_POST];
static struct sx_strand *strand;
static uint32_t post_next[POSTERS], post_wrong, strand_inside; /* not atomic: the strand protects */

static void post_run(struct sx_task *t, struct sx_worker *w)
{
    struct post_task *p = (struct post_task *)t;

    (void)w;
    if (strand_inside++ != 0 || post_next[p->poster]++ != p->i)
        post_wrong++;
    strand_inside--;
    add(&n_run);
}

static void *poster_main(void *arg)
{
    uint32_t poster = (uint32_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < PER_POST; i++) {
        post_tasks[poster][i] = (struct post_task){{.fn = post_run}, poster, i};
        exec->strand_post(strand, &post_tasks[poster][i].task);
    }
    return NULL;
}

static void test_strand_is_serial(void **state)
{
    pthread_t threads[POSTERS];

    (void)state;
    n_run = post_wrong = 0;
    memset(post_next, 0, sizeof(post_next));
    start(3, 1, NULL, NULL);
    strand = exec->strand_create(&host, SX_CLASS_WRITER);
    assert_non_null(strand);
    for (uint32_t i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, (void *)(uintptr_t)i), 0);
    for (uint32_t i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    exec->strand_destroy(strand); /* what is queued still runs */
    stop();
    assert_int_equal(n_run, POSTERS * PER_POST);
    assert_int_equal(post_wrong, 0);
}

static struct sx_task burst[500], other_task;
static struct sx_strand *other_strand;
static uint32_t n_burst, burst_at_other;

static void burst_run(struct sx_task *t, struct sx_worker *w)
{
    (void)w;
    if (t == &other_task)
        burst_at_other = n_burst;
    else
        n_burst++;
}

static void burst_feed(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    for (uint32_t i = 0; i < SX_COUNT(burst); i++) {
        burst[i].fn = burst_run;
        exec->strand_post(strand, &burst[i]);
    }
    other_task.fn = burst_run;
    exec->strand_post(other_strand, &other_task);
}

/* One thread, one long queue: another strand gets its turn before the first has run dry. */
static void test_strand_takes_turns(void **state)
{
    struct sx_task feed = {.fn = burst_feed};

    (void)state;
    n_burst = burst_at_other = 0;
    start(1, 1, NULL, NULL);
    strand = exec->strand_create(&host, SX_CLASS_WRITER);
    other_strand = exec->strand_create(&host, SX_CLASS_WRITER);
    assert_true(strand && other_strand);
    exec->submit(&feed, SX_CLASS_QUERY);
    sx_exec_stop();
    assert_int_equal(n_burst, SX_COUNT(burst));
    assert_true(burst_at_other < SX_COUNT(burst));
    exec->strand_destroy(strand); /* idle ones go at once */
    exec->strand_destroy(other_strand);
    stop();
}

static void self_post(struct sx_task *t, struct sx_worker *w)
{
    uint32_t *left = t->arg;

    (void)w;
    if (*left == 5)
        exec->strand_destroy(strand);
    if (--*left > 0)
        exec->strand_post(strand, t); /* may still feed itself: it is not empty yet */
    else
        add(&n_run);
}

static uint64_t blocks_of(const char *module)
{
    struct sx_mem_usage u;

    for (uint32_t i = 0; sx_mem_usage(i, &u); i++) {
        if (strcmp(u.module, module) == 0)
            return u.heap_blocks;
    }
    return UINT64_MAX;
}

static void test_strand_destroyed_inside(void **state)
{
    uint32_t left = 10;
    struct sx_task t = {.fn = self_post, .arg = &left};

    (void)state;
    n_run = 0;
    start(2, 1, NULL, NULL);
    uint64_t before = blocks_of("test");
    strand = exec->strand_create(&host, SX_CLASS_BACKGROUND);
    assert_non_null(strand);
    exec->strand_post(strand, &t);
    stop();
    assert_int_equal(left, 0);
    assert_int_equal(n_run, 1);
    assert_int_equal(blocks_of("test"), before); /* the strand is gone */
}

/* --- blocking pool ------------------------------------------------------------------------------
 */

static pthread_barrier_t barrier;
static uint32_t seen_ids[64], n_inside, max_inside;

static void barrier_task(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    add(&seen_ids[w->id]);
    if (exec->self() != w)
        add(&n_wrong);
    pthread_barrier_wait(&barrier);
    add(&n_run);
}

/* Four tasks that wait for each other need four threads at once. */
static void test_blocking_grows(void **state)
{
    struct sx_task tasks[4];

    (void)state;
    n_run = n_wrong = 0;
    memset(seen_ids, 0, sizeof(seen_ids));
    pthread_barrier_init(&barrier, NULL, 4);
    start(2, 4, NULL, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        tasks[i].fn = barrier_task;
        exec->blocking(&tasks[i]);
    }
    stop();
    pthread_barrier_destroy(&barrier);
    assert_int_equal(n_run, 4);
    assert_int_equal(n_wrong, 0);
    for (uint32_t id = 0; id < 6; id++) /* ids behind the pool's, each once */
        assert_int_equal(seen_ids[id], id < 2 ? 0 : 1);
}

static void bound_task(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    uint32_t inside = __atomic_add_fetch(&n_inside, 1, __ATOMIC_ACQ_REL);
    uint32_t max = get(&max_inside);
    while (inside > max && !__atomic_compare_exchange_n(&max_inside, &max, inside, 0,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    usleep(1000);
    __atomic_fetch_sub(&n_inside, 1, __ATOMIC_ACQ_REL);
    add(&n_run);
}

static void test_blocking_has_a_bound(void **state)
{
    struct sx_task tasks[40];

    (void)state;
    n_run = n_inside = max_inside = 0;
    start(1, 3, NULL, NULL);
    for (uint32_t i = 0; i < SX_COUNT(tasks); i++) {
        tasks[i].fn = bound_task;
        exec->blocking(&tasks[i]);
    }
    stop();
    assert_int_equal(n_run, SX_COUNT(tasks));
    assert_true(max_inside <= 3);
}

/* --- delayed tasks ------------------------------------------------------------------------------
 */

struct delay_task {
    struct sx_task task;
    uint64_t not_before;
};

static uint32_t delay_order[8], n_delay_order, n_early;
static struct delay_task delays[8];

static void delay_run(struct sx_task *t, struct sx_worker *w)
{
    struct delay_task *d = (struct delay_task *)t;

    (void)w;
    if (sx_time_mono_ns() < d->not_before)
        add(&n_early);
    delay_order[get(&n_delay_order)] = (uint32_t)(d - delays);
    add(&n_delay_order);
}

static void delay_add(uint32_t i, uint32_t ms)
{
    delays[i].task.fn = delay_run;
    delays[i].not_before = sx_time_mono_ns() + ms * 1000000ull;
    exec->delay(&delays[i].task, ms);
}

static void test_delays_come_in_order(void **state)
{
    (void)state;
    n_delay_order = n_early = 0;
    start(1, 1, NULL, NULL);
    delay_add(0, 60);
    delay_add(1, 20);
    delay_add(2, 40);
    delay_add(3, 0);
    wait_for(&n_delay_order, 4);
    stop();
    assert_int_equal(n_early, 0);
    assert_int_equal(delay_order[0], 3);
    assert_int_equal(delay_order[1], 1);
    assert_int_equal(delay_order[2], 2);
    assert_int_equal(delay_order[3], 0);
}

/* A delayed task is seen although the thread that kept the time went to work. Which thread a signal
 * wakes is the system's choice (mostly the one that has slept longest), so short tasks before the
 * long one move the turn around. */
static void test_delay_while_timekeeper_works(void **state)
{
    (void)state;
    for (uint32_t shorts = 0; shorts < 4; shorts++) {
        struct sx_task long_one = {.fn = barrier_task}, short_one = {.fn = count_task};

        n_delay_order = n_early = n_run = 0;
        pthread_barrier_init(&barrier, NULL, 2);
        start(2, 1, NULL, NULL);
        usleep(5000); /* both asleep */
        delay_add(0, 100);
        for (uint32_t i = 0; i < shorts; i++) {
            usleep(5000);
            exec->submit(&short_one, SX_CLASS_QUERY);
            wait_for(&n_run, i + 1);
        }
        usleep(5000);
        exec->submit(&long_one, SX_CLASS_QUERY); /* until the main thread lets it go */
        wait_for(&n_delay_order, 1);
        pthread_barrier_wait(&barrier);
        stop();
        pthread_barrier_destroy(&barrier);
        assert_int_equal(n_run, shorts + 1);
    }
}

/* Stop does not wait for what is not due. */
static void test_stop_drops_delays(void **state)
{
    (void)state;
    n_delay_order = 0;
    start(2, 1, NULL, NULL);
    delay_add(0, 3600 * 1000);
    stop();
    assert_int_equal(n_delay_order, 0);
}

static void test_delay_heap(void **state)
{
    static struct sx_task tasks[1000];
    struct sx_delay d;
    uint64_t due[SX_COUNT(tasks)], last = 0;
    uint32_t seed = 12345, n = 0;

    (void)state;
    sx_delay_init(&d);
    assert_true(sx_delay_next(&d) == UINT64_MAX);
    for (uint32_t i = 0; i < SX_COUNT(tasks); i++) {
        seed = seed * 1664525u + 1013904223u;
        due[i] = seed % 5000;
        sx_delay_add(&d, due[i], &tasks[i]);
    }
    for (uint64_t now = 0; now <= 5000; now += 10) {
        struct sx_task *t;
        while ((t = sx_delay_take(&d, now))) {
            uint64_t was_due = due[t - tasks];
            assert_true(was_due <= now && was_due + 10 > now && was_due >= last);
            last = was_due;
            n++;
        }
    }
    assert_int_equal(n, SX_COUNT(tasks));
    sx_delay_fini(&d);
}

/* Without memory for the heap tasks come late, but they come, and none early. */
static void test_delay_without_memory(void **state)
{
    static struct sx_task tasks[3];
    struct sx_delay d;

    (void)state;
    sx_delay_init(&d);
    sx_mem_limit(sx_mem_kernel(), 1);
    sx_delay_add(&d, 100, &tasks[0]);
    sx_delay_add(&d, 300, &tasks[1]);
    sx_delay_add(&d, 200, &tasks[2]);
    sx_mem_limit(sx_mem_kernel(), 0);
    assert_int_equal(sx_delay_next(&d), 300);
    assert_null(sx_delay_take(&d, 299));
    assert_ptr_equal(sx_delay_take(&d, 300), &tasks[0]);
    assert_ptr_equal(sx_delay_take(&d, 300), &tasks[1]);
    assert_ptr_equal(sx_delay_take(&d, 300), &tasks[2]);
    assert_null(sx_delay_take(&d, UINT64_MAX));
    sx_delay_fini(&d);
}

/* --- threads ------------------------------------------------------------------------------------
 */

struct hook_state {
    uint32_t n_start, n_stop, fail_id;
};

static int hook(void *arg, struct sx_worker *w, int is_start)
{
    struct hook_state *h = arg;

    if (exec->self() != w)
        add(&n_wrong);
    add(is_start ? &h->n_start : &h->n_stop);
    return is_start && w->id == h->fail_id ? -1 : 0;
}

static void test_hooks(void **state)
{
    struct hook_state h = {.fail_id = UINT32_MAX};

    (void)state;
    n_wrong = 0;
    exec = sx_exec_table();
    start(3, 1, hook, &h);
    assert_int_equal(h.n_start, 3);
    assert_int_equal(h.n_stop, 0);
    stop();
    assert_int_equal(h.n_stop, 3);
    assert_int_equal(n_wrong, 0);
}

static void test_hook_fails(void **state)
{
    struct hook_state h = {.fail_id = 1};
    struct sx_err err = SX_ERR_INIT;
    struct sx_task t = {.fn = count_task};

    (void)state;
    n_run = 0;
    exec = sx_exec_table();
    assert_int_equal(sx_exec_init(3, 0, 1, &err), 0);
    exec->submit(&t, SX_CLASS_QUERY); /* queued before the start, never run */
    assert_int_equal(sx_exec_start(hook, &h, &err), SX_EINTERNAL);
    assert_true(err.msg[0]);
    assert_int_equal(h.n_start, 3);
    assert_int_equal(h.n_stop, 2);
    assert_int_equal(n_run, 0);
    stop();
}

static void scratch_task(struct sx_task *t, struct sx_worker *w)
{
    unsigned char *p = w->scratch(w, 100);

    (void)t;
    if (!p || (uintptr_t)p % 64 != 0)
        add(&n_wrong);
    memset(p, 42, 100);
    if (w->scratch(w, 50) != p || p[99] != 42) /* did not grow: kept */
        add(&n_wrong);
    p = w->scratch(w, 3000000);
    if (!p || (uintptr_t)p % 64 != 0)
        add(&n_wrong);
    memset(p, 1, 3000000);
    if (w->scratch(w, UINT64_MAX / 2))
        add(&n_wrong);
    add(&n_run);
}

static void test_scratch(void **state)
{
    struct sx_task t = {.fn = scratch_task}, b = {.fn = scratch_task};

    (void)state;
    n_run = n_wrong = 0;
    start(1, 1, NULL, NULL);
    exec->submit(&t, SX_CLASS_QUERY);
    exec->blocking(&b);
    stop();
    assert_int_equal(n_run, 2);
    assert_int_equal(n_wrong, 0);
}

/* Retired memory comes back although no thread has anything to do. */
static uint32_t n_reclaimed;

static void reclaim(void *arg)
{
    (void)arg;
    add(&n_reclaimed);
}

static void test_epochs_need_no_help(void **state)
{
    (void)state;
    n_reclaimed = 0;
    start(2, 1, NULL, NULL);
    sx_epoch_enter();
    sx_epoch_retire(reclaim, NULL);
    usleep(120 * 1000); /* at least one look at it while the section is open */
    assert_int_equal(get(&n_reclaimed), 0);
    sx_epoch_leave();
    wait_for(&n_reclaimed, 1);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_runs),
        cmocka_unit_test(test_stop_waits_for_chains),
        cmocka_unit_test(test_class_order),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_strand_is_serial),
        cmocka_unit_test(test_strand_takes_turns),
        cmocka_unit_test(test_strand_destroyed_inside),
        cmocka_unit_test(test_blocking_grows),
        cmocka_unit_test(test_blocking_has_a_bound),
        cmocka_unit_test(test_delays_come_in_order),
        cmocka_unit_test(test_delay_while_timekeeper_works),
        cmocka_unit_test(test_stop_drops_delays),
        cmocka_unit_test(test_delay_heap),
        cmocka_unit_test(test_delay_without_memory),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_hook_fails),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_epochs_need_no_help),
    };

    alarm(120); /* a lost wake-up ends the program instead of the night */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
