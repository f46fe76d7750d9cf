/* needs: kernel/telem.c kernel/exec*.c kernel/strand.c kernel/epoch.c kernel/mem.c kernel/lock.c */
/* needs: kernel/panic.c kernel/cpu.c kernel/time.c */
/* Counters: no addition is lost, histograms add up, and a walk keeps families together. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kernel/exec.h"
#include "kernel/telem.h"

static const struct sx_telem *telem;

/* What a walk has seen, as "name{labels} value" lines. */
struct page {
    struct sx_sample_sink sink;
    char text[8192];
    size_t n;
    struct sx_sample last;
    double bounds[8];
    uint64_t buckets[8];
};

static void page_add(struct sx_sample_sink *s, const struct sx_sample *sample)
{
    struct page *p = s->arg;

    p->n += (size_t)snprintf(
        p->text + p->n, sizeof(p->text) - p->n, "%s{%s} %g;", sample->name, sample->labels,
        sample->type == SX_METRIC_HISTOGRAM ? (double)sample->count : sample->value);
    p->last = *sample;
    for (uint32_t i = 0; i < sample->n_buckets && i < 8; i++) {
        p->bounds[i] = sample->bounds[i];
        p->buckets[i] = sample->buckets[i];
    }
}

static void walk(struct page *p)
{
    memset(p, 0, sizeof(*p));
    p->sink.add = page_add;
    p->sink.arg = p;
    telem->walk(&p->sink);
}

static int setup(void **state)
{
    (void)state;
    telem = sx_telem_table();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_telem_fini();
    return 0;
}

static struct sx_metric *counter(const char *name, const char *labels)
{
    return telem->metric(SX_METRIC_COUNTER, name, "help", labels, NULL, 0);
}

static void test_same_metric(void **state)
{
    static const double bounds[] = {1, 2};

    (void)state;
    struct sx_metric *a = counter("a", "x=\"1\"");
    assert_non_null(a);
    assert_ptr_equal(counter("a", "x=\"1\""), a);
    assert_true(counter("a", "x=\"2\"") != a);
    assert_ptr_equal(counter("b", NULL), counter("b", ""));
    assert_null(telem->metric(SX_METRIC_GAUGE, "a", "", "x=\"1\"", NULL, 0)); /* another type */
    assert_null(telem->metric(SX_METRIC_HISTOGRAM, "a", "", "x=\"3\"", bounds, 2));
    assert_null(telem->metric(77, "c", "", "", NULL, 0));
    telem->add(NULL, 1); /* what a caller without memory holds */
    telem->set(NULL, 1);
    telem->observe(NULL, 1);
}

static void test_gauge(void **state)
{
    struct page p;

    (void)state;
    struct sx_metric *g = telem->metric(SX_METRIC_GAUGE, "g", "how many", "", NULL, 0);
    telem->add(g, 5);
    telem->add(g, -2);
    walk(&p);
    assert_string_equal(p.text, "g{} 3;");
    telem->set(g, 10);
    telem->add(g, 1);
    telem->observe(g, 7); /* not a histogram: nothing happens */
    walk(&p);
    assert_string_equal(p.text, "g{} 11;");
    assert_string_equal(p.last.help, "how many");
    assert_int_equal(p.last.type, SX_METRIC_GAUGE);
}

static void test_histogram(void **state)
{
    static const double bounds[] = {0.1, 1, 10};
    static const double values[] = {0.05, 0.1, 0.5, 5, 50, 0.01};
    struct page p;
    double sum = 0;

    (void)state;
    struct sx_metric *h = telem->metric(SX_METRIC_HISTOGRAM, "h", "", "", bounds, 3);
    walk(&p);
    assert_int_equal(p.last.count, 0);
    assert_true(p.last.min == 0 && p.last.max == 0);
    for (uint32_t i = 0; i < SX_COUNT(values); i++) {
        telem->observe(h, values[i]);
        sum += values[i];
    }
    walk(&p);
    assert_int_equal(p.last.n_buckets, 3);
    assert_memory_equal(p.bounds, bounds, sizeof(bounds));
    assert_int_equal(p.buckets[0], 3); /* a bound belongs to its bucket */
    assert_int_equal(p.buckets[1], 4);
    assert_int_equal(p.buckets[2], 5);
    assert_int_equal(p.last.count, 6);
    assert_true(fabs(p.last.sum - sum) < 1e-9);
    assert_true(p.last.min == 0.01 && p.last.max == 50);
}

static void emit(struct sx_sample_sink *s, const char *name, const char *labels, double value)
{
    struct sx_sample sample = {.size = sizeof(sample),
                               .type = SX_METRIC_GAUGE,
                               .name = name,
                               .labels = labels,
                               .value = value};

    s->add(s, &sample);
}

static void collect(struct sx_sample_sink *s, void *arg)
{
    char labels[16];

    /* As a collector does that goes from collection to collection. */
    for (int i = 0; i < 2; i++) {
        snprintf(labels, sizeof(labels), "c=\"%s%d\"", (const char *)arg, i);
        emit(s, "size", labels, i);
        emit(s, "first", labels, 10 + i);
        emit(s, "tail", labels, 20 + i);
    }
}

static void test_families_stay_together(void **state)
{
    struct page p;

    (void)state;
    telem->add(telem->metric(SX_METRIC_GAUGE, "first", "", "x=\"1\"", NULL, 0), 1);
    telem->add(counter("second", ""), 2);
    telem->add(telem->metric(SX_METRIC_GAUGE, "first", "", "x=\"2\"", NULL, 0), 3);
    static char a[] = "a", b[] = "b";
    assert_int_equal(telem->collector(collect, a), 0);
    assert_int_equal(telem->collector(collect, b), 0);
    for (uint32_t i = 0; i < 2; i++) { /* a walk changes nothing */
        walk(&p);
        assert_string_equal(p.text,
                            "first{x=\"1\"} 1;first{x=\"2\"} 3;first{c=\"a0\"} 10;first{c=\"a1\"} "
                            "11;first{c=\"b0\"} 10;first{c=\"b1\"} 11;second{} 2;"
                            "size{c=\"a0\"} 0;size{c=\"a1\"} 1;size{c=\"b0\"} 0;size{c=\"b1\"} 1;"
                            "tail{c=\"a0\"} 20;tail{c=\"a1\"} 21;tail{c=\"b0\"} 20;tail{c=\"b1\"} "
                            "21;");
    }
}

/* A collector's histogram is copied with its arrays, which are gone when the page is made. */
static void collect_histogram(struct sx_sample_sink *s, void *arg)
{
    double bounds[2] = {1, 2};
    uint64_t buckets[2] = {3, 4};
    struct sx_sample sample = {.size = sizeof(sample),
                               .type = SX_METRIC_HISTOGRAM,
                               .name = "h",
                               .count = 5,
                               .bounds = bounds,
                               .buckets = buckets,
                               .n_buckets = 2};

    (void)arg;
    s->add(s, &sample);
    memset(bounds, 0xff, sizeof(bounds));
    memset(buckets, 0xff, sizeof(buckets));
}

static void test_collected_histogram(void **state)
{
    struct page p;

    (void)state;
    assert_int_equal(telem->collector(collect_histogram, NULL), 0);
    walk(&p);
    assert_string_equal(p.text, "h{} 5;");
    assert_true(p.bounds[0] == 1 && p.bounds[1] == 2);
    assert_true(p.buckets[0] == 3 && p.buckets[1] == 4);
}

/* Workers and foreign threads add at once, others make metrics and walk. */
#define ADDS 20000

static struct sx_metric *shared_counter, *shared_histogram;

static void add_many(void)
{
    for (uint32_t i = 0; i < ADDS; i++) {
        telem->add(shared_counter, 1);
        telem->observe(shared_histogram, (double)(i % 3));
    }
}

static void add_task(struct sx_task *t, struct sx_worker *w)
{
    (void)t;
    (void)w;
    add_many();
}

static void *add_main(void *arg)
{
    struct page p;
    char labels[32];

    add_many();
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(labels, sizeof(labels), "i=\"%u\"", i); /* both threads make the same ones */
        telem->add(counter("made", labels), 1);
    }
    walk(&p);
    return arg;
}

static void test_threads(void **state)
{
    static const double bounds[] = {0, 1};
    struct sx_task tasks[6];
    pthread_t threads[2];
    struct page p;

    (void)state;
    assert_int_equal(sx_exec_init(3, 0, 2, NULL), 0);
    assert_int_equal(sx_exec_start(NULL, NULL, NULL), 0);
    shared_counter = counter("n", "");
    shared_histogram = telem->metric(SX_METRIC_HISTOGRAM, "h", "", "", bounds, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_main, NULL), 0);
    for (uint32_t i = 0; i < SX_COUNT(tasks); i++) {
        tasks[i].fn = add_task;
        if (i < 4)
            sx_exec_table()->submit(&tasks[i], SX_CLASS_QUERY);
        else
            sx_exec_table()->blocking(&tasks[i]);
    }
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    sx_exec_stop();
    walk(&p);
    char expected[64];
    snprintf(expected, sizeof(expected), "n{} %g;h{} %g;made{i=\"0\"} 2;", 8.0 * ADDS, 8.0 * ADDS);
    assert_memory_equal(p.text, expected, strlen(expected));
    sx_exec_fini();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gauge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histogram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_families_stay_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collected_histogram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
