/* Texts to points in time: every accepted and rejected form, values against a calendar that counts
 * days one by one. */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

static int parse(const char *s, struct sx_instant *t)
{
    size_t n = strlen(s);
    char *exact = malloc(n + 1); /* nothing behind the text that could be read */
    int rc;

    memcpy(exact, s, n);
    rc = sx_instant_parse(exact, n, t);
    free(exact);
    return rc;
}

static void is(const char *s, int64_t seconds, uint32_t ns)
{
    struct sx_instant t = {-1, 1, 1};

    if (parse(s, &t) != 0)
        fail_msg("'%s' was refused", s);
    if (t.s != seconds || t.ns != ns)
        fail_msg("'%s' is %lld %u", s, (long long)t.s, t.ns);
}

static void refused(const char *s)
{
    struct sx_instant t = {-7, 7, 0};

    if (parse(s, &t) != SX_EINPUT)
        fail_msg("'%s' was accepted", s);
    assert_int_equal(t.s, -7);
    assert_int_equal(t.ns, 7);
}

#define NOON 1709201472 /* 2024-02-29T10:11:12Z */
#define DAY  1709164800 /* 2024-02-29 */

static void test_rfc_3339(void **state)
{
    (void)state;
    is("2024-02-29T10:11:12Z", NOON, 0);
    is("2024-02-29t10:11:12z", NOON, 0);
    is("2024-02-29 10:11:12Z", NOON, 0);
    is("2024-02-29T10:11:12.345Z", NOON, 345000000);
    is("2024-02-29 10:11:12+02:00", NOON - 7200, 0);
    is("2024-02-29T10:11:12-00:30", NOON + 1800, 0);
    is("2024-02-29T10:11:12-00:00", NOON, 0);
    is("2024-02-29T10:11:12+23:59", NOON - 86340, 0);
    is("2014-01-01T00:00:00Z", 1388534400, 0);
    is("1970-01-01T00:00:00Z", 0, 0);
    is("1969-12-31T23:59:59.25Z", -1, 250000000);
    is("0001-01-01T00:00:00Z", -62135596800, 0);
    is("9999-12-31T23:59:59.999999999Z", 253402300799, 999999999);
}

static void test_zones(void **state)
{
    (void)state;
    is("2024-02-29T10:11:12+0200", NOON - 7200, 0);
    is("2024-02-29T10:11:12+02", NOON - 7200, 0);
    is("2024-02-29T10:11:12-02", NOON + 7200, 0);
    is("2024-02-29T10:11:12+02:", NOON - 7200, 0);
    is("2024-02-29T10:11:12+02::30", NOON - 9000, 0);
    is("2024-02-29T10:11:12+02 : 30", NOON - 9000, 0);
    is("2024-02-29T10:11:12\xe2\x88\x92"
       "02:00",
       NOON + 7200, 0);
    is("2024-02-29T10:11:12\xe2\x88\x92"
       "02",
       NOON + 7200, 0);
    is("2024-02-29T10:11:12 UTC", NOON, 0);
    is("2024-02-29T10:11:12utc", NOON, 0);
    is("2024-02-29 10:11:12.5 Utc", NOON, 500000000);
    is("2024-02-29T10:11:12 Z", NOON, 0);
    is("2024-02-29T10:11:12 +02:00", NOON - 7200, 0);
    is("2024-06-15T12:30:00.000 +0000", 1718454600, 0);
    is("2024-02-29T10:11:12+00", NOON, 0);
    is("2024-02-29T10:11:12\xc2\xa0Z", NOON, 0);
    is("2024-02-29T10:11:12Z ", NOON, 0);
    is("2024-02-29T10:11:12+02 ", NOON - 7200, 0);
    refused("2024-02-29T10:11:12+2");
    refused("2024-02-29T10:11:12+2:30");
    refused("2024-02-29T10:11:12+020");
    refused("2024-02-29T10:11:12+02:0");
    refused("2024-02-29T10:11:12+02:60");
    refused("2024-02-29T10:11:12+24:00");
    refused("2024-02-29T10:11:12-99:00");
    refused("2024-02-29T10:11:12+24");
    refused("2024-02-29T10:11:12+ 02:00");
    refused("2024-02-29T10:11:12--02:00");
    refused("2024-02-29T10:11:12+02:00:00");
    refused("2024-02-29T10:11:12 GMT");
    refused("2024-02-29T10:11:12 EST");
    refused("2024-02-29T10:11:12U");
    refused("2024-02-29T10:11:12ZZ");
    refused("2024-02-29T10:11:12Z UTC");
    refused("2024-02-29T10:11:12\xe2\x88");
    refused("2024-02-29T10:11:12\xe2\x88\x93"
            "02:00");
    refused("2024-02-29t10:11:12+02"); /* offsets without minutes go with T and white space */
    refused("2024 - 02 - 29T10:11:12+02");
    refused("2024-02-29\xe3\x80\x80"
            "10:11:12 UTC");
}

static void test_without_zone(void **state)
{
    (void)state;
    is("2024-02-29T10:11:12.5", NOON, 500000000);
    is("2024-02-29 10:11:12", NOON, 0);
    is("2024-02-29 10:11", NOON - 12, 0);
    is("2024-02-29T10:11", NOON - 12, 0);
    is("2024-06-15T12:30", 1718454600, 0);
    is("2024-02-29", DAY, 0);
    refused("2024-02-29t10:11:12");
    refused("2024-02-29t10:11");
    refused("2024-02-29T10:11Z");
    refused("2024-02-29 10:11+02:00");
    refused("2024-02-29 10:11 UTC");
    refused("2024-02-29Z");
    refused("2024-02-29+02:00");
    refused("2024-02-29 UTC");
    refused("2024-02-29 ");
    refused("2024-02-29 10:11 ");
    refused("2024-02-29 10:11:12 ");
    refused(" 2024-02-29 ");
}

static void test_lenient(void **state)
{
    static const char *const blanks[] = {"\t",           "\n",           "\v",
                                         "\f",           "\r",           " ",
                                         "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
                                         "\xe2\x80\x80", "\xe2\x80\x85", "\xe2\x80\x8a",
                                         "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
                                         "\xe2\x81\x9f", "\xe3\x80\x80"};
    static const char *const visible[] = {"\x1c",         "\x1f",         "\b",
                                          "\xc2\x84",     "\xe1\xa0\x8e", "\xe2\x80\x8b",
                                          "\xef\xbb\xbf", "\xe2\x81\xa0", "_"};

    (void)state;
    is("2024-2-9", 1707436800, 0);
    is("2024-2-9 1:2:3", 1707436800 + 3723, 0);
    is("2024-2-9T1:2", 1707436800 + 3720, 0);
    is("2024-02-29  10:11:12", NOON, 0);
    is("2024-02-29\t10:11:12Z", NOON, 0);
    is("2024-02-29\xe3\x80\x80"
       "10:11:12+02",
       NOON - 7200, 0);
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        char text[40];

        snprintf(text, sizeof(text), "2024-02-29%s10:11:12", blanks[i]);
        is(text, NOON, 0);
        snprintf(text, sizeof(text), "%s2024-02-29", blanks[i]);
        is(text, DAY, 0);
    }
    for (size_t i = 0; i < sizeof(visible) / sizeof(visible[0]); i++) {
        char text[40];

        snprintf(text, sizeof(text), "2024-02-29%s10:11:12", visible[i]);
        refused(text);
    }
    is("2024-02-29T 10:11:12", NOON, 0);
    is("2024-02-2910:11:12", NOON, 0);
    is(" 2024-02-29", DAY, 0);
    is(" 2024-02-29T10:11:12Z", NOON, 0);
    is("2024- 02- 29T 10: 11: 12Z", NOON, 0);
    is("2024 - 02 - 29T10 : 11 : 12Z", NOON, 0);
    refused("2024 -02-29");
    refused("2024 -02-29T10:11:12");
    refused("2024-02-29T10 :11:12");
    refused("2024-02-29 T10:11:12Z");
    refused("2024-02-29\x1c"
            "10:11:12");
    refused("2024-002-29");
    refused("2024-02-29T010:11:12Z");
}

static void test_seconds(void **state)
{
    (void)state;
    is("2024-02-29T10:11:12.1Z", NOON, 100000000);
    is("2024-02-29T10:11:12.000000001", NOON, 1);
    is("2024-02-29T10:11:12.1234567899999Z", NOON, 123456789);
    is("2024-02-29T10:11:12.9999999999Z", NOON, 999999999);
    /* The last second but one, and more than a second of it. */
    is("2024-06-30T23:59:60Z", 1719791999, 1000000000);
    is("2024-06-30T23:59:60.5Z", 1719791999, 1500000000);
    is("2024-02-29T10:11:60+02:00", NOON - 12 + 59 - 7200, 1000000000);
    refused("2024-02-29T10:11:61Z");
    refused("2024-02-29T10:60:00Z");
    refused("2024-02-29T24:00:00");
    refused("2024-02-29T24:00:00Z");
    refused("2024-02-29T25:00:00Z");
    refused("2024-02-29T10:11:12.Z");
    refused("2024-02-29T10:11:12.");
    refused("2024-02-29T10:11:12,5Z");
    refused("2024-02-29T10:11:12 .5Z");
    refused("2024-02-29T10:11:12. 5Z");
    refused("2024-02-29T10:11:12.5.5Z");
}

static void test_years(void **state)
{
    (void)state;
    is("0-1-1", -62167219200, 0);
    is("0000-02-29", -62162121600, 0);
    is("-0001-01-01", -62198755200, 0);
    is("24-02-29", -61404739200, 0);
    is("+2024-02-29", DAY, 0);
    is("+0000000000000000000000002024-02-29", DAY, 0);
    is("+12024-02-29T00:00:00Z", 317278684800, 0);
    is("+262142-12-31T23:59:59Z", 8210266876799, 0);
    is("-262143-01-01T00:00:00Z", -8334601228800, 0);
    refused("10000-01-01");
    refused("02024-02-29");
    refused("+262143-01-01");
    refused("-262144-01-01");
    refused("+262142-12-31T23:59:59-02:00");
    refused("-262143-01-01T00:00:00+02:00");
    refused("+99999999999999999999-01-01");
    refused("-99999999999999999999-01-01");
    refused("+ 2024-02-29");
    refused("++2024-02-29");
    refused("+-2024-02-29");
    refused("-");
}

static void test_refused(void **state)
{
    (void)state;
    refused("");
    refused(" ");
    refused("20240229");
    refused("1709201472");
    refused("1709201472.5");
    refused("Thu, 29 Feb 2024 10:11:12 +0000");
    refused("Feb 29 2024");
    refused("2024-02-29 10:11:12 AM");
    refused("10:11:12 pm");
    refused("2024/02/29");
    refused("2024-02-29_10:11:12");
    refused("2024-02-29T10");
    refused("2024-06-15 12");
    refused("2024-02");
    refused("2024");
    refused("2024-02-30");
    refused("2023-02-29");
    refused("1900-02-29");
    refused("2100-02-29");
    refused("2024-04-31");
    refused("2024-13-01");
    refused("2024-00-01");
    refused("2024-01-00");
    refused("2024-01-32");
    refused("2024--02-29");
    refused("2024-+2-29");
    refused("2024-02-29T-1:00:00Z");
    refused("hello");
    refused("T");
    refused("\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa4-02-29"); /* digits of another script */
    refused("2024-02-29T10:11:12Z\x01");
}

/* Every byte matters: a NUL is no end. */
static void test_length(void **state)
{
    struct sx_instant t;

    (void)state;
    assert_int_equal(sx_instant_parse("2024-02-29T10:11:12Z\0", 21, &t), SX_EINPUT);
    assert_int_equal(sx_instant_parse("2024-02-29T10:11:12Z", 10, &t), 0);
    assert_int_equal(t.s, DAY);
    assert_int_equal(sx_instant_parse(NULL, 0, &t), SX_EINPUT);
}

/* All days of eight centuries around the origin of the calendar's cycle and ours, in order. */
static void test_days(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const int starts[] = {-405, 1580, 9990};
    int64_t expected = 0;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (int y = starts[k]; y < starts[k] + 420; y++) {
            int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

            for (int m = 1; m <= 12; m++) {
                int n = lengths[m - 1] + (m == 2 && leap);

                for (int d = 1; d <= n + 1; d++) {
                    char text[40];
                    struct sx_instant t;
                    int rc;

                    snprintf(text, sizeof(text), "%+05d-%02d-%02d", y, m, d);
                    rc = parse(text, &t);
                    if (d > n) {
                        assert_int_equal(rc, SX_EINPUT);
                        continue;
                    }
                    assert_int_equal(rc, 0);
                    if (m == 1 && d == 1 && y == starts[k])
                        expected = t.s;
                    if (y == 1970 && m == 1 && d == 1)
                        assert_int_equal(t.s, 0);
                    assert_int_equal(t.s, expected);
                    expected += 86400;
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_3339),     cmocka_unit_test(test_zones),
        cmocka_unit_test(test_without_zone), cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_seconds),      cmocka_unit_test(test_years),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_length),
        cmocka_unit_test(test_days),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
