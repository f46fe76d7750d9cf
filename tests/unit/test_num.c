/* Numbers: decimal to binary and back, half precision. libc is the judge. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
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

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

static uint64_t bits_of(double v)
{
    uint64_t b;

    memcpy(&b, &v, 8);
    return b;
}

static void expect_parse(const char *text)
{
    double want = strtod(text, NULL), got = sx_num_f64(text, strlen(text));

    if (bits_of(want) != bits_of(got))
        fail_msg("%s: got %a, want %a", text, got, want);
}

static void test_parse_edges(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0.0",
        "1",
        "10",
        "0.1",
        "123456789012345678",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.00000000000000000000000000000000000000001",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "5e-324",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "2.2250738585072012e-308",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "1e400",
        "-1e400",
        "1e-400",
        "1e-99999999999",
        "0e99999999999",
        "0.000001e6",
        "8.5e15",
        "7.3177701707893310e15",
        "1.00000000000000011102230246251565",
        "1.00000000000000011102230246251566",
        "1.0000000000000001110223024625156540424",
        "3.4028235677973366e38",
        "1.401298464324817e-45",
        "0.500000000000000166533453693773481063",
        "6929495644600919.5",
        "0.000000000000000000000000000000000000000000000000000001e54",
        "12345678901234567890123456789012345678901234567890e-40",
        "1E5",
        "1E+5",
        "1e+05",
        "1e-05",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_parse(texts[i]);
    assert_true(isinf(sx_num_f64("1e99999999999", 13)));
}

/* The exact decimal of a half-way point, then one digit more far behind: rounding must see it. */
static void test_parse_half_way(void **state)
{
    char text[1400];

    (void)state;
    for (int i = 0; i < 300; i++) {
        uint64_t b = rnd() % ((uint64_t)2047 << 52);
        double v, up;
        long double mid;
        int n;

        memcpy(&v, &b, 8);
        up = nextafter(v, INFINITY);
        mid = ((long double)v + (long double)up) / 2; /* 64 bits of mantissa hold it */
        if (v == 0 || isinf(up) || fabs(v) < 1e-300)
            continue;
        n = snprintf(text, sizeof(text), "%.1150Lf", mid);
        if (strchr(text, '.') == NULL || n + 8 > (int)sizeof(text))
            continue;
        expect_parse(text);
        memcpy(text + n, "0001", 5);
        expect_parse(text);
    }
}

static void test_parse_random(void **state)
{
    char text[64];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint64_t b = rnd();
        double v;
        int digits = 1 + (int)(rnd() % 24);

        memcpy(&v, &b, 8);
        if (!isfinite(v))
            continue;
        (void)snprintf(text, sizeof(text), "%.*e", digits, v);
        expect_parse(text);
        (void)snprintf(text, sizeof(text), "%llu.%llue%d", (unsigned long long)(rnd() >> (b & 63)),
                       (unsigned long long)(rnd() >> (b >> 6 & 63)), (int)(b >> 12 & 127) - 64);
        expect_parse(text);
    }
}

/* Significant digits of a text, as a string without leading and trailing zeros. */
static int digits_of(const char *text, char *out)
{
    int n = 0;

    for (; *text != 0 && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9' && (n != 0 || *text != '0'))
            out[n++] = *text;
    }
    while (n > 0 && out[n - 1] == '0')
        n--;
    out[n] = 0;
    return n;
}

/* The shortest number of digits that reads back, by trial; the nearest text of that length. */
static int shortest_by_trial(double v, int is_f32, char *out)
{
    for (int n = 0; n < 17; n++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%.*e", n, v);
        if (is_f32 ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            return digits_of(text, out);
    }
    return 0;
}

static void expect_shortest(double v, int is_f32)
{
    char text[64], ours[64], best[64];
    uint32_t n = is_f32 ? sx_num_format_f32((float)v, text) : sx_num_format_f64(v, text);
    int a, b;

    assert_true(n < 32);
    text[n] = 0;
    if (is_f32 ? strtof(text, NULL) != (float)v : bits_of(strtod(text, NULL)) != bits_of(v))
        fail_msg("%a: %s does not read back", v, text);
    if (strpbrk(text, ".e") == NULL)
        fail_msg("%a: %s has neither fraction nor exponent", v, text);
    a = digits_of(text, ours);
    b = shortest_by_trial(v, is_f32, best);
    /* printf is nearest but not always inside the interval; a text as short must be the same. */
    if (a > b || (a == b && strcmp(ours, best) != 0))
        fail_msg("%a: %s, but %s is shorter or nearer", v, text, best);
}

static void test_format_layout(void **state)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {100.0, "100.0"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e16"},
        {1e20, "1e20"},
        {1e300, "1e300"},
        {0.1, "0.1"},
        {0.00001, "0.00001"},
        {0.000001, "1e-6"},
        {1e-7, "1e-7"},
        {1.5e-7, "1.5e-7"},
        {123456.789, "123456.789"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {18446744073709551616.0, "1.8446744073709552e19"},
        {9007199254740993.0, "9007199254740992.0"},
        {0.3, "0.3"},
        {2.0 / 3, "0.6666666666666666"},
    };
    char out[40];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t n = sx_num_format_f64(rows[i].v, out);

        out[n] = 0;
        assert_string_equal(out, rows[i].text);
    }
    out[sx_num_format_f32(0.1f, out)] = 0;
    assert_string_equal(out, "0.1");
    out[sx_num_format_f32(16777216.0f, out)] = 0;
    assert_string_equal(out, "16777216.0");
    out[sx_num_format_f32(3.4028235e38f, out)] = 0;
    assert_string_equal(out, "3.4028235e38");
    out[sx_num_format_f32(1e-45f, out)] = 0;
    assert_string_equal(out, "1e-45");
    out[sx_num_format_f32(-0.0f, out)] = 0;
    assert_string_equal(out, "-0.0");
}

static void test_format_f64(void **state)
{
    (void)state;
    for (int e = 0; e < 2047; e++) {
        uint64_t b = (uint64_t)e << 52;
        double v;

        /* Powers of two have an uneven interval; their neighbours too are worth a look. */
        for (int d = -1; d <= 1; d++) {
            uint64_t c = b + (uint64_t)d;

            memcpy(&v, &c, 8);
            if (isfinite(v) && v > 0)
                expect_shortest(v, 0);
        }
    }
    for (int i = 0; i < 20000; i++) {
        uint64_t b = rnd();
        double v;

        memcpy(&v, &b, 8);
        if (isfinite(v))
            expect_shortest(v, 0);
        expect_shortest((double)(int64_t)(b >> (b & 63)) / 1000, 0);
    }
}

static void test_format_f32(void **state)
{
    (void)state;
    for (uint32_t e = 0; e < 255; e++) {
        for (uint32_t d = 0; d < 3; d++) {
            uint32_t b = (e << 23) + d - 1;
            float v;

            memcpy(&v, &b, 4);
            if (isfinite(v) && v > 0)
                expect_shortest((double)v, 1);
        }
    }
    for (int i = 0; i < 50000; i++) {
        uint32_t b = (uint32_t)(rnd() >> 32);
        float v;

        memcpy(&v, &b, 4);
        if (isfinite(v) && v != 0)
            expect_shortest((double)v, 1);
    }
}

/* Every half value against its definition, and every float near the middle of two halves. */
static void test_f16(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t e = h >> 10 & 31, m = h & 1023;
        float got = sx_f16_to_f32((uint16_t)h);
        double want = e == 0    ? ldexp(m, -24)
                      : e == 31 ? (m != 0 ? NAN : INFINITY)
                                : ldexp(1024 + m, (int)e - 25);

        if (isnan(want)) {
            assert_true(isnan(got));
            assert_true(isnan(sx_f16_to_f32(sx_f16_from_f32(got))));
            continue;
        }
        assert_true((double)got == ((h & 0x8000) != 0 ? -want : want));
        assert_int_equal(sx_f16_from_f32(got), h);
        if (e < 30 && h < 0x8000) {
            float next = sx_f16_to_f32((uint16_t)(h + 1)), mid = (got + next) / 2;

            assert_int_equal(sx_f16_from_f32(mid), (h & 1) != 0 ? h + 1 : h);
            assert_int_equal(sx_f16_from_f32(nextafterf(mid, 0)), h);
            assert_int_equal(sx_f16_from_f32(nextafterf(mid, INFINITY)), h + 1);
        }
    }
    assert_int_equal(sx_f16_from_f32(65504.0f), 0x7bff);
    assert_int_equal(sx_f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(sx_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(sx_f16_from_f32(-1e30f), 0xfc00);
    assert_int_equal(sx_f16_from_f32(1e-30f), 0);
    assert_int_equal(sx_f16_from_f32(-1e-30f), 0x8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_edges),  cmocka_unit_test(test_parse_half_way),
        cmocka_unit_test(test_parse_random), cmocka_unit_test(test_format_layout),
        cmocka_unit_test(test_format_f64),   cmocka_unit_test(test_format_f32),
        cmocka_unit_test(test_f16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
