/* needs: kernel/host.c kernel/log.c kernel/log_filter.c kernel/io.c kernel/io_record.c */
/* needs: kernel/telem.c kernel/loop.c kernel/exec*.c kernel/strand.c kernel/epoch.c kernel/mem.c */
/* needs: kernel/lock.c kernel/panic.c kernel/cpu.c kernel/time.c kernel/crypto.c */
/* The host table: services by name and size, accounts, clocks, lock ranks, and the report of a
 * process that dies. */

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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sextant/sx_plugin.h"

#include "kernel/cpu.h"
#include "kernel/host.h"
#include "kernel/lock.h"
#include "kernel/mem.h"
#include "kernel/panic.h"
#include "kernel/telem.h"

static const struct sx_host *host;

static void test_services(void **state)
{
    static const char *const names[] = {"sx.exec",  "sx.loop", "sx.epoch", "sx.io",
                                        "sx.telem", "sx.time", "sx.cpu",   "sx.crypto"};
    static const struct {
        uint32_t size, answer;
    } extra = {.size = sizeof(extra), .answer = 42};

    (void)state;
    assert_int_equal(host->size, sizeof(*host));
    assert_int_equal(host->abi_major, SX_ABI_MAJOR);
    assert_string_equal(host->module, "index-x");
    assert_string_equal(host->compat_version, "1.20.0");
    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        const uint32_t *table = host->get(host, names[i], 8);
        assert_non_null(table);
        assert_ptr_equal(host->get(host, names[i], table[0]), table); /* size comes first */
        assert_null(host->get(host, names[i], table[0] + 1));
    }
    assert_ptr_equal(host->get(host, "sx.mem", sizeof(struct sx_mem)), host->mem);
    assert_null(host->get(host, "sx.mem", sizeof(struct sx_mem) + 1));
    assert_null(host->get(host, "sx.nothing", 0));
    assert_null(host->get(host, "sx.reg", 0));
    sx_host_service("sx.reg", &extra, sizeof(extra));
    assert_ptr_equal(host->get(host, "sx.reg", sizeof(extra)), &extra);

    const struct sx_host *strict = sx_host_create("transport-x", 1);
    assert_non_null(strict);
    assert_null(host->get(host, "sx.loop.libevent", 0));
    assert_non_null(strict->get(strict, "sx.loop.libevent", sizeof(struct sx_loop_libevent)));
    assert_int_equal(host->log_on(host, SX_LOG_INFO, "room"), 1);
    assert_int_equal(host->log_on(host, SX_LOG_DEBUG, "room"), 0);
}

static struct sx_mem_usage usage(const char *module)
{
    struct sx_mem_usage u;

    for (uint32_t i = 0; sx_mem_usage(i, &u); i++) {
        if (strcmp(u.module, module) == 0)
            return u;
    }
    fail_msg("no account '%s'", module);
    return u;
}

static void *release_main(void *p)
{
    host->mem->release(host->mem, p);
    return NULL;
}

static void test_accounts(void **state)
{
    const struct sx_mem *mem = host->mem;
    pthread_t t;

    (void)state;
    assert_ptr_equal(sx_mem_account("index-x"), mem);
    struct sx_mem_usage before = usage("index-x");
    char *a = mem->alloc(mem, 1000), *z = mem->zalloc(mem, 5000);
    assert_true(a && z);
    assert_int_equal((uintptr_t)a % 16, 0);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(z[i], 0);
    struct sx_mem_usage u = usage("index-x");
    assert_true(u.heap_bytes - before.heap_bytes >= 6000);
    assert_int_equal(u.heap_blocks - before.heap_blocks, 2);
    memset(a, 7, 1000);
    a = mem->resize(mem, a, 100000);
    assert_non_null(a);
    assert_int_equal(a[999], 7);
    assert_true(usage("index-x").heap_bytes - before.heap_bytes >= 105000);
    char *r = mem->resize(mem, NULL, 10);
    assert_non_null(r);
    mem->release(mem, r);
    mem->release(mem, NULL);
    mem->release(mem, z);
    /* Given back by another thread: another shard, the same sum. */
    assert_int_equal(pthread_create(&t, NULL, release_main, a), 0);
    pthread_join(t, NULL);
    u = usage("index-x");
    assert_int_equal(u.heap_bytes, before.heap_bytes);
    assert_int_equal(u.heap_blocks, before.heap_blocks);

    char *al = sx_mem_zalloc_aligned(mem, 64, 200);
    assert_non_null(al);
    assert_int_equal((uintptr_t)al % 64, 0);
    mem->release(mem, al);
    assert_int_equal(usage("index-x").heap_bytes, before.heap_bytes);
}

static void test_maps_and_limits(void **state)
{
    const struct sx_mem *mem = host->mem;

    (void)state;
    uint64_t sizes[] = {1, 4096, 2u << 20, (3u << 20) + 5};
    for (uint32_t i = 0; i < SX_COUNT(sizes); i++) {
        char *p = mem->map(mem, sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (2u << 20), 0);
        assert_int_equal(p[0] + p[sizes[i] - 1], 0);
        p[0] = p[sizes[i] - 1] = 1;
        assert_true(usage("index-x").mapped_bytes >= sizes[i]);
        mem->unmap(mem, p, sizes[i]);
        assert_int_equal(usage("index-x").mapped_bytes, 0);
    }
    assert_null(mem->map(mem, 0));
    assert_null(mem->map(mem, UINT64_MAX));

    sx_mem_limit(mem, 100000);
    assert_null(mem->alloc(mem, 200000));
    assert_null(mem->zalloc(mem, UINT64_MAX));
    assert_null(mem->map(mem, 200000));
    char *a = mem->alloc(mem, 60000);
    assert_non_null(a);
    assert_null(mem->alloc(mem, 60000));
    assert_null(mem->resize(mem, a, 120000)); /* the old block stays */
    a[59999] = 1;
    mem->release(mem, a);
    a = mem->alloc(mem, 60000);
    assert_non_null(a);
    mem->release(mem, a);
    sx_mem_limit(mem, 0);
}

static void test_small_services(void **state)
{
    const struct sx_time *time = host->get(host, "sx.time", sizeof(*time));
    const struct sx_crypto *crypto = host->get(host, "sx.crypto", sizeof(*crypto));
    const struct sx_cpu *cpu = host->get(host, "sx.cpu", sizeof(*cpu));
    unsigned char a[600] = {0}, b[600] = {0};

    (void)state;
    uint64_t t = time->mono_ns();
    assert_true(time->mono_ns() >= t);
    assert_true(time->wall_ns() > 1700000000ull * 1000000000u);
    assert_int_equal(crypto->random(a, sizeof(a)), 0);
    assert_int_equal(crypto->random(b, sizeof(b)), 0);
    assert_int_equal(crypto->equal(a, b, sizeof(a)), 0);
    memcpy(b, a, sizeof(a));
    assert_int_equal(crypto->equal(a, b, sizeof(a)), 1);
    for (uint32_t i = 0; i < sizeof(a); i += 599) {
        b[i] ^= 1;
        assert_int_equal(crypto->equal(a, b, sizeof(a)), 0);
        b[i] ^= 1;
    }
    assert_int_equal(crypto->equal(a, b, 0), 1);
    assert_true(cpu->n >= 1);
    if (cpu->bits & SX_CPU_AVX512) /* a larger set contains the smaller ones */
        assert_true(cpu->bits & SX_CPU_AVX2);
    if (cpu->bits & SX_CPU_VNNI)
        assert_true(cpu->bits & SX_CPU_AVX512);
}

static uint32_t n_samples;
static double heap_of_kernel;

static void sample_add(struct sx_sample_sink *s, const struct sx_sample *sample)
{
    (void)s;
    n_samples++;
    if (strcmp(sample->name, "sextant_memory_bytes") == 0 &&
        strcmp(sample->labels, "module=\"sextant\",kind=\"heap\"") == 0)
        heap_of_kernel = sample->value;
}

static void test_kernel_samples(void **state)
{
    struct sx_sample_sink sink = {.add = sample_add};
    const struct sx_telem *telem = host->get(host, "sx.telem", sizeof(*telem));

    (void)state;
    telem->walk(&sink);
    assert_true(n_samples >= 10);
    assert_true(heap_of_kernel > 0);
}

/* --- dying --------------------------------------------------------------------------------------
 */

/* Runs fn in a child, returns its wait status and what it wrote to standard error. */
static int in_child(void (*fn)(void), char *out, size_t size)
{
    int fds[2], status = 0;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int sig = 1; sig < 32; sig++)
            signal(sig, SIG_DFL); /* not the test library's */
        dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    ssize_t got;
    while (n < size - 1 && (got = read(fds[0], out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = 0;
    close(fds[0]);
    waitpid(pid, &status, 0);
    return status;
}

#ifndef NDEBUG
static void wrong_order(void)
{
    struct sx_lock low = SX_LOCK_INIT(SX_RANK_EPOCH), high = SX_LOCK_INIT(SX_RANK_EXEC);

    sx_lock_take(&low);
    sx_lock_take(&high);
    sx_lock_give(&low); /* in any order */
    sx_lock_give(&high);
    fprintf(stderr, "so far so good\n");
    sx_lock_take(&high);
    sx_lock_take(&low);
}

static void test_lock_order(void **state)
{
    char out[2000];

    (void)state;
    int status = in_child(wrong_order, out, sizeof(out));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(out, "so far so good"));
    assert_non_null(strstr(out, "lock order: rank 60 taken while rank 70 is held"));
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void prepare(void)
{
    sx_panic_install();
    sx_panic_module("index-x", "1.2", "abcdef");
    sx_panic_map();
    sx_panic_thread("main");
}

/* Where the compiler does not see it coming. */
static int *volatile nowhere = (int *)8;
static volatile uint32_t depth = UINT32_MAX;

static void die_by_fault(void)
{
    prepare();
    assert_null(sx_panic_note("engine"));
    assert_string_equal(sx_panic_note("index-x"), "engine");
    *nowhere = 1;
}

static void die_by_abort(void)
{
    prepare();
    abort();
}

static int recurse(volatile char *above)
{
    volatile char here[4096];

    here[0] = above ? *above : 0;
    if (depth-- == 0)
        return 0;
    return recurse(here) + here[0];
}

static void die_by_overflow(void)
{
    prepare();
    recurse(NULL);
}

static void test_panic(void **state)
{
    char out[8000];

    (void)state;
    int status = in_child(die_by_fault, out, sizeof(out));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_non_null(strstr(out, "panic: SIGSEGV (11) at 0x8 in index-x\n"));
    assert_non_null(strstr(out, "  index-x 1.2 abcdef\n"));
    assert_non_null(strstr(out, "main in index-x\n"));
    assert_non_null(strstr(out, "stack:\n"));
    assert_non_null(strstr(out, "sextant+0x")); /* the program itself */

    status = in_child(die_by_abort, out, sizeof(out));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(out, "panic: SIGABRT (6) in sextant\n"));

    status = in_child(die_by_overflow, out, sizeof(out));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_non_null(strstr(out, "panic: SIGSEGV (11) at 0x"));
}
#endif

static int setup(void **state)
{
    struct sx_err err = SX_ERR_INIT;

    (void)state;
    if (sx_host_init(&err) != 0)
        return -1;
    host = sx_host_create("index-x", 0);
    return host && sx_host_kernel() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_maps_and_limits),
        cmocka_unit_test(test_small_services),
        cmocka_unit_test(test_kernel_samples),
#ifndef NDEBUG
        cmocka_unit_test(test_lock_order),
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_panic),
#endif
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
