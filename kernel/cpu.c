/* "sx.cpu": what the machine can do and how many CPUs we may use.
 *
 * Instruction sets are asked once. SEXTANT_CPU=portable|avx2|avx512 masks the answer downwards, so
 * that tests run every variant of a kernel on one machine; it never adds a bit.
 *
 * The number of CPUs is the affinity mask cut to the cgroup's quota (v2 cpu.max, v1 cfs quota),
 * rounded up: in a container with two CPUs' worth of quota on a 64-core host, 64 threads would be
 * throttled together for most of each period. */
#define _GNU_SOURCE 1
#include "cpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>

/* Not a name that every compiler's __builtin_cpu_supports() knows. */
static int has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

static uint64_t machine_bits(void)
{
    uint64_t bits = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        bits |= SX_CPU_SSE42;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
        __builtin_cpu_supports("bmi2"))
        bits |= SX_CPU_AVX2;
    if ((bits & SX_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        bits |= SX_CPU_AVX512;
    if ((bits & SX_CPU_AVX512) && __builtin_cpu_supports("avx512vnni"))
        bits |= SX_CPU_VNNI;
#elif defined(__aarch64__)
    bits |= SX_CPU_NEON; /* part of the base architecture */
#endif
    return bits;
}

static uint64_t mask_of(const char *name)
{
    if (strcmp(name, "portable") == 0)
        return 0;
    if (strcmp(name, "avx2") == 0)
        return SX_CPU_SSE42 | SX_CPU_AVX2;
    if (strcmp(name, "avx512") == 0)
        return SX_CPU_SSE42 | SX_CPU_AVX2 | SX_CPU_AVX512 | SX_CPU_VNNI;
    return UINT64_MAX;
}

/* The quota of one file pair or file as CPUs rounded up; 0 = none. */
static uint32_t quota_of(const char *max_path, const char *quota_path, const char *period_path)
{
    long long quota = -1, period = 0;
    FILE *f = fopen(max_path, "re");

    if (f) {
        /* "max 100000" (no match: no quota) or "200000 100000" */
        if (fscanf(f, "%lld %lld", &quota, &period) != 2)
            quota = -1;
        fclose(f);
    } else if ((f = fopen(quota_path, "re"))) {
        if (fscanf(f, "%lld", &quota) != 1)
            quota = -1;
        fclose(f);
        if ((f = fopen(period_path, "re"))) {
            if (fscanf(f, "%lld", &period) != 1)
                period = 0;
            fclose(f);
        }
    }
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = (quota + period - 1) / period;
    return cpus > 4096 ? 4096 : (uint32_t)cpus;
}

uint32_t sx_cpu_count(void)
{
    const char *told = getenv("QDRANT_NUM_CPUS"); /* beats what the machine says */
    unsigned long asked = told != NULL ? strtoul(told, NULL, 10) : 0;
    uint32_t n = 1;
    cpu_set_t set;

    if (asked > 0 && asked <= 4096)
        return (uint32_t)asked;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        n = (uint32_t)CPU_COUNT(&set);
    uint32_t quota = quota_of("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
                              "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    return quota > 0 && quota < n ? quota : n;
}

const struct sx_cpu *sx_cpu_table(void)
{
    static struct sx_cpu table;

    if (table.size == 0) {
        const char *name = getenv("SEXTANT_CPU");
        table.n = sx_cpu_count();
        table.bits = machine_bits() & (name ? mask_of(name) : UINT64_MAX);
        table.size = (uint32_t)sizeof(table);
    }
    return &table;
}
