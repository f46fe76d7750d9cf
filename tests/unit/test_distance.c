/* needs: plugins/distance-basic/ sdk/suites/ sdk/fake/ */
/* The four distances: every instruction set the machine has, forced by the cpu bits given to
 * resolve.
 *
 * The conformance suite compares all kernels with sums in double; here stand the things the suite
 * cannot know: exact values, the thresholds of normalisation, which kernels are chosen. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"
#include "sextant/sx_vet.h"

#include "distance-basic/dist.h"
#include "sx_fake_host.h"
#include "sx_suite.h"

extern const struct sx_plugin distance_basic_LTX_sx_plugin;

static uint64_t machine_bits;

/* Instruction sets to force; those the machine lacks are left out. */
static const uint64_t isas[] = {0, SX_CPU_AVX2, SX_CPU_AVX2 | SX_CPU_AVX512};

static int has_isa(uint64_t bits)
{
    return (bits & ~machine_bits) == 0;
}

static struct sx_kernel kernel(const struct sx_distance_ops *ops,
                               uint32_t q_dtype,
                               uint32_t row_dtype,
                               uint32_t dim,
                               uint64_t cpu)
{
    struct sx_kernel k = {.size = (uint32_t)sizeof(k)};
    assert_int_equal(ops->resolve(NULL, q_dtype, row_dtype, dim, cpu, &k), 0);
    return k;
}

static int group_setup(void **state)
{
    (void)state;
    struct sx_fake_conf conf = SX_FAKE_CONF_INIT;
    const struct sx_host *host = sx_fake_host_create(&conf);
    if (host == NULL)
        return -1;
    const struct sx_cpu *cpu = host->get(host, "sx.cpu", (uint32_t)sizeof(*cpu));
    machine_bits = cpu->bits;
    *state = (void *)(uintptr_t)host;
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    sx_fake_host_destroy();
    return 0;
}

static void print_line(void *arg, uint32_t is_failure, const char *text)
{
    (void)arg;
    print_message("%s%s\n", is_failure ? "" : "note: ", text);
}

static void test_suite(void **state)
{
    struct sx_suite_report report = SX_SUITE_REPORT_INIT;
    report.line = print_line;
    assert_int_equal(sx_suite_run(&distance_basic_LTX_sx_plugin, *state, &report), 0);
    assert_int_equal(report.n_failures, 0);
    assert_true(report.n_checks > 100000);
}

static void test_descriptor(void **state)
{
    (void)state;
    struct sx_err err = SX_ERR_INIT;
    const struct sx_plugin *p = &distance_basic_LTX_sx_plugin;
    static const char *const names[] = {"Cosine", "Dot", "Euclid", "Manhattan"};
    assert_int_equal(sx_plugin_vet(p, &err), 0);
    assert_int_equal(p->n_provides, SX_COUNT(names));
    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        uint64_t larger = p->provides[i].caps & SX_DISTANCE_LARGER_BETTER;
        assert_string_equal(p->provides[i].name, names[i]);
        assert_int_equal(larger, i < 2 ? SX_DISTANCE_LARGER_BETTER : 0);
    }
}

static void test_f32_values(void **state)
{
    (void)state;
    static const float q[3] = {1, 2, 3}, v[3] = {4, -5, 6};
    for (uint32_t i = 0; i < SX_COUNT(isas); i++) {
        if (!has_isa(isas[i]))
            continue;
        struct sx_kernel dot = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 3, isas[i]);
        struct sx_kernel cos = kernel(&distb_cosine_ops, SX_DT_F32, SX_DT_F32, 3, isas[i]);
        struct sx_kernel l2 = kernel(&distb_euclid_ops, SX_DT_F32, SX_DT_F32, 3, isas[i]);
        struct sx_kernel l1 = kernel(&distb_manhattan_ops, SX_DT_F32, SX_DT_F32, 3, isas[i]);
        assert_true(dot.pair(q, v, 3) == 12.0f);
        assert_true(cos.pair(q, v, 3) == 12.0f);
        assert_true(l2.pair(q, v, 3) == -67.0f);
        assert_true(l1.pair(q, v, 3) == -13.0f);
    }
}

static void test_f16_values(void **state)
{
    (void)state;
    /* 0.1 is rounded by the half, the query is not. */
    float q[2] = {0.1f, 65504.0f};
    uint16_t v[2] = {sx_f16_from_f32(0.1f), sx_f16_from_f32(1.0f)};
    double tenth = (double)sx_f16_to_f32(v[0]);
    for (uint32_t i = 0; i < SX_COUNT(isas); i++) {
        if (!has_isa(isas[i]))
            continue;
        struct sx_kernel k = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F16, 2, isas[i]);
        assert_true(fabs((double)k.pair(q, v, 2) - (0.1 * tenth + 65504.0)) < 0.01);
        k = kernel(&distb_manhattan_ops, SX_DT_F32, SX_DT_F16, 1, isas[i]);
        assert_true(fabs(-(double)k.pair(q, v, 1) - fabs((double)0.1f - tenth)) < 1e-9);
    }
}

static void test_u8_values(void **state)
{
    (void)state;
    static const uint8_t q[2] = {3, 4}, v[2] = {4, 3}, zero[2] = {0, 0};
    for (uint32_t i = 0; i < SX_COUNT(isas); i++) {
        if (!has_isa(isas[i]))
            continue;
        struct sx_kernel cos = kernel(&distb_cosine_ops, SX_DT_U8, SX_DT_U8, 2, isas[i]);
        assert_true(cos.pair(q, v, 2) == 24.0f / 25.0f);
        assert_true(cos.pair(q, q, 2) == 1.0f);
        assert_true(cos.pair(q, zero, 2) == 0.0f);
        assert_true(cos.pair(zero, v, 2) == 0.0f);
        assert_true(kernel(&distb_dot_ops, SX_DT_U8, SX_DT_U8, 2, isas[i]).pair(q, v, 2) == 24.0f);
        assert_true(kernel(&distb_euclid_ops, SX_DT_U8, SX_DT_U8, 2, isas[i]).pair(q, v, 2) ==
                    -2.0f);
        assert_true(kernel(&distb_manhattan_ops, SX_DT_U8, SX_DT_U8, 2, isas[i]).pair(q, v, 2) ==
                    -2.0f);
    }
}

/* A float query counts as the bytes it would be stored as, on every instruction set and at every
 * place of a vector. */
static void test_u8_casts_query(void **state)
{
    (void)state;
    static const struct {
        float in;
        uint8_t out;
    } pairs[] = {{256.19f, 255},      {1.81f, 1},    {-3.0f, 0},      {0.99f, 0},
                 {255.5f, 255},       {254.9f, 254}, {-0.0f, 0},      {NAN, 0},
                 {1e30f, 255},        {-1e30f, 0},   {INFINITY, 255}, {-INFINITY, 0},
                 {4294967300.0f, 255}};
    float q[70];
    uint8_t row[70];
    for (uint32_t i = 0; i < SX_COUNT(isas); i++)
        for (uint32_t at = 0; has_isa(isas[i]) && at < 70; at++)
            for (uint32_t j = 0; j < SX_COUNT(pairs); j++) {
                struct sx_kernel k = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_U8, 70, isas[i]);
                memset(q, 0, sizeof(q));
                memset(row, 1, sizeof(row));
                q[at] = pairs[j].in;
                assert_true(k.pair(q, row, 70) == (float)pairs[j].out);
            }
}

/* Sums of the widest vectors, all components at their largest, must not wrap. */
static void test_u8_does_not_wrap(void **state)
{
    (void)state;
    static const uint32_t dims[] = {65535, 65536, 65537, 200001};
    uint8_t *p = malloc(200001), *zero = calloc(1, 200001);
    assert_non_null(p);
    assert_non_null(zero);
    memset(p, 255, 200001);
    for (uint32_t i = 0; i < SX_COUNT(isas); i++)
        for (uint32_t j = 0; has_isa(isas[i]) && j < SX_COUNT(dims); j++) {
            uint32_t dim = dims[j];
            float all = (float)(dim * 65025.0);
            struct sx_kernel k = kernel(&distb_dot_ops, SX_DT_U8, SX_DT_U8, dim, isas[i]);
            assert_true(k.pair(p, p, dim) == all);
            k = kernel(&distb_euclid_ops, SX_DT_U8, SX_DT_U8, dim, isas[i]);
            assert_true(k.pair(p, zero, dim) == -all);
            k = kernel(&distb_manhattan_ops, SX_DT_U8, SX_DT_U8, dim, isas[i]);
            assert_true(k.pair(zero, p, dim) == -(float)(dim * 255.0));
            k = kernel(&distb_cosine_ops, SX_DT_U8, SX_DT_U8, dim, isas[i]);
            assert_true(k.pair(p, p, dim) == 1.0f);
        }
    free(p);
    free(zero);
}

static void test_not_a_number(void **state)
{
    (void)state;
    float q[40] = {1}, v[40] = {0};
    v[39] = NAN;
    for (uint32_t i = 0; i < SX_COUNT(isas); i++) {
        if (!has_isa(isas[i]))
            continue;
        struct sx_kernel k = kernel(&distb_euclid_ops, SX_DT_F32, SX_DT_F32, 40, isas[i]);
        assert_true(isnan(k.pair(q, v, 40)));
        q[39] = INFINITY;
        v[39] = 0;
        assert_true(isinf(k.pair(q, v, 40)));
        q[39] = 0;
        v[39] = NAN;
    }
}

static void test_resolve_chooses(void **state)
{
    (void)state;
    struct sx_kernel portable = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 64, 0);
    struct sx_kernel other = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 64, SX_CPU_SSE42);
    assert_true(portable.pair == other.pair);
    assert_true(portable.pair != kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 65, 0).pair);
#if defined(__x86_64__)
    other = kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 64, SX_CPU_AVX2);
    struct sx_kernel wide =
        kernel(&distb_dot_ops, SX_DT_F32, SX_DT_F32, 64, SX_CPU_AVX2 | SX_CPU_AVX512 | SX_CPU_VNNI);
    assert_true(other.pair != portable.pair && other.pair != wide.pair);
#endif
    struct sx_kernel k = {.size = (uint32_t)sizeof(k)};
    assert_int_equal(distb_dot_ops.resolve(NULL, SX_DT_U8, SX_DT_F32, 8, 0, &k), SX_EUNSUPPORTED);
    assert_int_equal(distb_dot_ops.resolve(NULL, 9, 9, 8, 0, &k), SX_EUNSUPPORTED);
    assert_int_equal(distb_dot_ops.resolve(NULL, SX_DT_F32, SX_DT_F32, 0, 0, &k), SX_EUNSUPPORTED);
    k.size = 8;
    assert_int_equal(distb_dot_ops.resolve(NULL, SX_DT_F32, SX_DT_F32, 8, 0, &k), SX_EUNSUPPORTED);
}

static float normalised(float x)
{
    float in[20] = {0}, out[20];
    in[17] = x;
    distb_cosine_preprocess(NULL, 20, in, out);
    for (uint32_t i = 0; i < 20; i++)
        assert_true(i == 17 || out[i] == 0.0f);
    return out[17];
}

static void test_cosine_thresholds(void **state)
{
    (void)state;
    assert_true(normalised(0.0f) == 0.0f);
    assert_true(normalised(3.4e-4f) == 3.4e-4f);       /* 1.156e-7: below epsilon */
    assert_true(normalised(3.5e-4f) == 1.0f);          /* 1.225e-7: above */
    assert_true(normalised(1.0000004f) == 1.0000004f); /* 1 + 8e-7: close enough */
    assert_true(normalised(0.9999996f) == 0.9999996f);
    assert_true(normalised(1.0000012f) == 1.0f); /* 1 + 2.4e-6: not */
    assert_true(normalised(-7.0f) == -1.0f);
    float bad[2] = {NAN, 1};
    distb_cosine_preprocess(NULL, 2, bad, bad);
    assert_true(isnan(bad[0]) && isnan(bad[1]));

    float v[2] = {3, 4};
    distb_cosine_preprocess(NULL, 2, v, v);
    assert_true(v[0] == 0.6f && v[1] == 0.8f);
}

static void test_postprocess(void **state)
{
    (void)state;
    float s[3] = {-25.0f, -0.0f, -2.0f};
    distb_euclid_ops.postprocess(NULL, 3, s);
    assert_true(s[0] == 5.0f && s[1] == 0.0f && s[2] == sqrtf(2.0f) && !signbit(s[1]));
    float m[2] = {-7.5f, -0.0f};
    distb_manhattan_ops.postprocess(NULL, 2, m);
    assert_true(m[0] == 7.5f && m[1] == 0.0f && !signbit(m[1]));
    assert_null(distb_dot_ops.postprocess);
    assert_null(distb_cosine_ops.postprocess);
    assert_null(distb_dot_ops.preprocess);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_f32_values),
        cmocka_unit_test(test_f16_values),
        cmocka_unit_test(test_u8_values),
        cmocka_unit_test(test_u8_casts_query),
        cmocka_unit_test(test_u8_does_not_wrap),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_resolve_chooses),
        cmocka_unit_test(test_cosine_thresholds),
        cmocka_unit_test(test_postprocess),
        cmocka_unit_test(test_suite),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
