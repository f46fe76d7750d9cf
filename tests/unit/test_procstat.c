/* needs: kernel/procstat.c */
/* Process samples: each name once, with values that this very process can check. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>
#include <unistd.h>

#include "../../kernel/mem.h"
#include "../../kernel/procstat.h"
#include "../../kernel/telem.h"

static void (*collect)(struct sx_sample_sink *s, void *arg);
static void *collect_arg;

static int collector(void (*fn)(struct sx_sample_sink *s, void *arg), void *arg)
{
    collect = fn;
    collect_arg = arg;
    return 0;
}

static const struct sx_telem telem = {
    .size = (uint32_t)sizeof(struct sx_telem),
    .collector = collector,
};

const struct sx_telem *sx_telem_table(void)
{
    return &telem;
}

int sx_mem_usage(uint32_t i, struct sx_mem_usage *out)
{
    out->module = "m";
    out->heap_bytes = 1000 * (i + 1);
    out->heap_blocks = 1;
    out->mapped_bytes = 10;
    return i < 2;
}

static const char *wanted;
static double value;
static int seen;

static void on_sample(struct sx_sample_sink *s, const struct sx_sample *sample)
{
    (void)s;
    if (strcmp(sample->name, wanted) == 0) {
        seen++;
        value = sample->value;
    }
}

static double get(const char *name)
{
    struct sx_sample_sink sink = {on_sample, NULL};

    wanted = name;
    seen = 0;
    collect(&sink, collect_arg);
    assert_int_equal(seen, 1);
    return value;
}

static void test_values(void **state)
{
    double fds, faults;
    volatile char *fresh;
    int a, b;

    (void)state;
    assert_int_equal(sx_procstat_register(), 0);
    assert_non_null(collect);
    assert_true(get("process_threads") == 1);
    assert_true(get("memory_allocated_bytes") == 3020);
    assert_true(get("memory_resident_bytes") >= 4096);
    assert_true(get("memory_retained_bytes") >= get("memory_resident_bytes"));
    assert_true(get("memory_active_bytes") > 0);
    assert_true(get("memory_metadata_bytes") > 0);
    assert_true(get("process_open_mmaps") > 5);
    assert_true(get("system_max_mmaps") > 1000);
    fds = get("process_open_fds");
    a = dup(0);
    b = dup(0);
    assert_true(a >= 0 && b >= 0);
    assert_true(get("process_open_fds") == fds + 2);
    close(a);
    close(b);
    assert_true(get("process_open_fds") == fds);
    assert_true(get("process_max_fds") >= fds);
    faults = get("process_minor_page_faults_total");
    fresh = sx_mem_libc()->alloc(sx_mem_libc(), 64 << 20);
    assert_non_null((void *)(uintptr_t)fresh);
    for (uint32_t i = 0; i < 64u << 20; i += 4096)
        fresh[i] = 1;
    assert_true(get("process_minor_page_faults_total") > faults);
    sx_mem_libc()->release(sx_mem_libc(), (void *)(uintptr_t)fresh);
    assert_true(get("process_major_page_faults_total") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
