/* needs: kernel/epoch.c kernel/lock.c */
/* Epochs: nothing is called while a section that may see it is open, and everything is called
 * afterwards, in order. */

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
#include <unistd.h>

#include "kernel/epoch.h"

static uint32_t calls[64], n_calls;

static void note(void *arg)
{
    calls[n_calls++] = (uint32_t)(uintptr_t)arg;
}

static void retire_note(uint32_t i)
{
    sx_epoch_retire(note, (void *)(uintptr_t)i);
}

/* Each test starts with nothing retired and nobody inside. */
static int setup(void **state)
{
    (void)state;
    sx_epoch_drain();
    n_calls = 0;
    return sx_epoch_pending() == 0 ? 0 : -1;
}

static void test_without_readers(void **state)
{
    (void)state;
    retire_note(7);
    assert_int_equal(sx_epoch_pending(), 1);
    assert_int_equal(n_calls, 0); /* never from inside retire() */
    sx_epoch_poll();
    assert_int_equal(n_calls, 1);
    assert_int_equal(calls[0], 7);
    assert_int_equal(sx_epoch_pending(), 0);
}

static void test_own_section_and_nesting(void **state)
{
    (void)state;
    sx_epoch_enter();
    sx_epoch_enter();
    retire_note(1);
    sx_epoch_leave();
    sx_epoch_poll();
    assert_int_equal(n_calls, 0); /* the outer section is still open */
    sx_epoch_leave();
    sx_epoch_poll();
    assert_int_equal(n_calls, 1);
}

/* A reader thread that enters and leaves when told. */
struct reader {
    pthread_t thread;
    uint32_t want, is; /* 1 inside, 0 outside, 2 end */
};

static void *reader_main(void *arg)
{
    struct reader *r = arg;
    uint32_t is = 0;

    for (;;) {
        uint32_t want = __atomic_load_n(&r->want, __ATOMIC_ACQUIRE);
        if (want == is) {
            sched_yield();
            continue;
        }
        if (is == 1)
            sx_epoch_leave();
        if (want == 1)
            sx_epoch_enter();
        is = want;
        __atomic_store_n(&r->is, is, __ATOMIC_RELEASE);
        if (want == 2)
            return NULL;
    }
}

static void reader_to(struct reader *r, uint32_t want)
{
    __atomic_store_n(&r->want, want, __ATOMIC_RELEASE);
    while (__atomic_load_n(&r->is, __ATOMIC_ACQUIRE) != want)
        sched_yield();
}

static void test_other_section(void **state)
{
    struct reader a = {.want = 0}, b = {.want = 0};

    (void)state;
    assert_int_equal(pthread_create(&a.thread, NULL, reader_main, &a), 0);
    assert_int_equal(pthread_create(&b.thread, NULL, reader_main, &b), 0);
    reader_to(&a, 1);
    retire_note(1);
    reader_to(&b, 1); /* later than the first entry, so it keeps only the second */
    retire_note(2);
    sx_epoch_poll();
    assert_int_equal(n_calls, 0);
    reader_to(&a, 0);
    sx_epoch_poll();
    assert_int_equal(n_calls, 1);
    assert_int_equal(calls[0], 1);
    reader_to(&a, 1); /* new sections do not keep old entries */
    reader_to(&b, 0);
    sx_epoch_poll();
    assert_int_equal(n_calls, 2);
    assert_int_equal(calls[1], 2);
    reader_to(&a, 2);
    reader_to(&b, 2);
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
}

static uint32_t many_next, many_wrong;

static void many(void *arg)
{
    if ((uint32_t)(uintptr_t)arg != many_next++)
        many_wrong++;
}

/* More entries than one block of the queue holds, in two rounds so that blocks are used again. */
static void test_order(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 2; round++) {
        many_next = many_wrong = 0;
        for (uint32_t i = 0; i < 2000; i++)
            sx_epoch_retire(many, (void *)(uintptr_t)i);
        sx_epoch_poll_some(100);
        assert_int_equal(many_next, 100);
        assert_int_equal(sx_epoch_pending(), 1900);
        sx_epoch_poll();
        assert_int_equal(many_next, 2000);
        assert_int_equal(many_wrong, 0);
    }
}

static void retire_again(void *arg)
{
    note(arg);
    sx_epoch_poll(); /* must not nest */
    retire_note(99);
    sx_epoch_enter();
    sx_epoch_leave();
}

static void test_retire_inside(void **state)
{
    (void)state;
    sx_epoch_retire(retire_again, (void *)(uintptr_t)1);
    sx_epoch_poll();
    sx_epoch_poll();
    assert_int_equal(n_calls, 2);
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 99);
}

static uint32_t n_kicks;

static void kick(void)
{
    n_kicks++;
}

static void test_kick(void **state)
{
    (void)state;
    n_kicks = 0;
    sx_epoch_on_retire(kick);
    retire_note(1);
    retire_note(2);
    assert_int_equal(n_kicks, 1); /* only the first finds nothing pending */
    sx_epoch_poll();
    retire_note(3);
    assert_int_equal(n_kicks, 2);
    sx_epoch_on_retire(NULL);
    sx_epoch_poll();
}

/* Writers replace a shared object and retire the old one, readers look at it inside sections. Freed
 * memory is scribbled over, and the sanitizers watch. */
struct object {
    uint64_t a, b;
};

static struct object *shared;
static uint32_t stress_end, stress_wrong;
static uint64_t n_freed;

static void object_free(void *arg)
{
    struct object *o = arg;

    o->a = 1;
    o->b = 2;
    free(o);
    __atomic_fetch_add(&n_freed, 1, __ATOMIC_RELAXED);
}

static void *stress_reader(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stress_end, __ATOMIC_RELAXED)) {
        sx_epoch_enter();
        struct object *o = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
        for (uint32_t i = 0; i < 20; i++) {
            if (o->a != ~o->b)
                __atomic_fetch_add(&stress_wrong, 1, __ATOMIC_RELAXED);
        }
        sx_epoch_leave();
    }
    return NULL;
}

#define STRESS_WRITES 20000

static void *stress_writer(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < STRESS_WRITES; i++) {
        struct object *o = malloc(sizeof(*o));
        if (!o)
            abort();
        o->a = i;
        o->b = ~i;
        sx_epoch_retire(object_free, __atomic_exchange_n(&shared, o, __ATOMIC_ACQ_REL));
        if (i % 8 == 0)
            sx_epoch_poll_some(16);
    }
    return NULL;
}

static void test_stress(void **state)
{
    pthread_t readers[3], writers[2];

    (void)state;
    shared = calloc(1, sizeof(*shared));
    assert_non_null(shared);
    shared->b = ~0ull;
    n_freed = 0;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, stress_reader, NULL), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, stress_writer, NULL), 0);
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    __atomic_store_n(&stress_end, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    sx_epoch_drain();
    assert_int_equal(stress_wrong, 0);
    assert_int_equal(n_freed, 2 * STRESS_WRITES);
    free(shared);
}

static void *enter_once(void *arg)
{
    (void)arg;
    sx_epoch_enter();
    retire_note(5);
    sx_epoch_leave();
    return NULL;
}

/* Threads that come and go leave nothing open behind. */
static void test_threads_end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, enter_once, NULL), 0);
        pthread_join(t, NULL);
    }
    sx_epoch_poll();
    assert_int_equal(n_calls, 40);
    assert_int_equal(sx_epoch_lost(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_readers, setup),
        cmocka_unit_test_setup(test_own_section_and_nesting, setup),
        cmocka_unit_test_setup(test_other_section, setup),
        cmocka_unit_test_setup(test_order, setup),
        cmocka_unit_test_setup(test_retire_inside, setup),
        cmocka_unit_test_setup(test_kick, setup),
        cmocka_unit_test_setup(test_stress, setup),
        cmocka_unit_test_setup(test_threads_end, setup),
    };

    alarm(120); /* a lost wake-up ends the program instead of the night */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
