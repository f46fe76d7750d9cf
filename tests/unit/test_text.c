/* The small codecs: CRC-32C, point ids, base64, UTF-8. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
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

#include "../../sdk/lib/priv.h"

static uint32_t crc_by_bits(uint32_t crc, const uint8_t *p, uint64_t n)
{
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void test_crc32c(void **state)
{
    static uint8_t data[70000];
    uint8_t block[32];

    (void)state;
    /* RFC 3720 B.4 */
    memset(block, 0, 32);
    assert_int_equal(sx_crc32c(0, block, 32), 0x8a9136aa);
    memset(block, 0xff, 32);
    assert_int_equal(sx_crc32c(0, block, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    assert_int_equal(sx_crc32c(0, block, 32), 0x46dd794e);
    assert_int_equal(sx_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(sx_crc32c(0, NULL, 0), 0);

    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    for (uint32_t n = 0; n < 300; n++)
        assert_int_equal(sx_crc32c(n, data + n % 7, n), crc_by_bits(n, data + n % 7, n));
    for (uint32_t n = 3000; n < sizeof(data); n += 4001) {
        uint32_t want = crc_by_bits(7, data, n), half = n / 3;

        assert_int_equal(sx_crc32c(7, data, n), want);
        assert_int_equal(sx__crc32c_portable(7, data, n), want);
        /* In two pieces. */
        assert_int_equal(sx_crc32c(sx_crc32c(7, data, half), data + half, n - half), want);
    }
}

static void test_uuid(void **state)
{
    static const char *const good[] = {
        "550e8400-e29b-41d4-a716-446655440000",   "550e8400e29b41d4a716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}", "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
        "550E8400-E29B-41D4-A716-446655440000",
    };
    static const char *const bad[] = {
        "",
        "550e8400-e29b-41d4-a716-44665544000",
        "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400e29b-41d4-a716-446655440000",
        "{550e8400e29b41d4a716446655440000}",
        " 550e8400-e29b-41d4-a716-446655440000",
        "URN:UUID:550e8400-e29b-41d4-a716-446655440000",
        "urn:uuid:550e8400e29b41d4a716446655440000",
        "550e8400-e29b-41d4-a716_446655440000",
        "{550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-4466554400000",
    };
    char out[40];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sx_id id = {0};

        assert_int_equal(sx_uuid_parse(good[i], strlen(good[i]), &id), 0);
        assert_true(id.hi == 0x550e8400e29b41d4u && id.lo == 0xa716446655440000u);
        assert_int_equal(id.kind, SX_ID_UUID);
        sx_uuid_format(id, out);
        assert_string_equal(out, good[0]);
        sx_id_format(id, out);
        assert_string_equal(out, good[0]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sx_id id = {.lo = 5};

        assert_int_equal(sx_uuid_parse(bad[i], strlen(bad[i]), &id), SX_EINPUT);
        assert_int_equal(id.lo, 5);
    }
}

static void test_id(void **state)
{
    struct sx_id a, b;
    char out[40];

    (void)state;
    assert_int_equal(sx_id_parse("18446744073709551615", 20, &a), 0);
    assert_true(a.kind == SX_ID_NUM && a.lo == UINT64_MAX && a.hi == 0);
    sx_id_format(a, out);
    assert_string_equal(out, "18446744073709551615");
    assert_int_equal(sx_id_parse("+007", 4, &a), 0);
    assert_true(a.kind == SX_ID_NUM && a.lo == 7);
    assert_int_equal(sx_id_parse("00000000000000000000000000000012", 32, &a), 0);
    assert_true(a.kind == SX_ID_NUM && a.lo == 12);
    assert_int_equal(sx_id_parse("99999999999999999999999999999999", 32, &a), 0);
    assert_int_equal(a.kind, SX_ID_UUID);
    assert_int_equal(sx_id_parse("18446744073709551616", 20, &a), SX_EINPUT);
    assert_int_equal(sx_id_parse("", 0, &a), SX_EINPUT);
    assert_int_equal(sx_id_parse("+", 1, &a), SX_EINPUT);
    assert_int_equal(sx_id_parse("++1", 3, &a), SX_EINPUT);
    assert_int_equal(sx_id_parse("-1", 2, &a), SX_EINPUT);
    assert_int_equal(sx_id_parse("1.0", 3, &a), SX_EINPUT);

    /* Numbers first, in numeric order; then UUIDs by their bytes. */
    a = (struct sx_id){.lo = UINT64_MAX};
    b = (struct sx_id){.kind = SX_ID_UUID};
    assert_true(sx_id_cmp(&a, &b) < 0 && sx_id_cmp(&b, &a) > 0);
    a = (struct sx_id){.hi = 1, .lo = 9, .kind = SX_ID_UUID};
    b = (struct sx_id){.hi = 2, .lo = 0, .kind = SX_ID_UUID};
    assert_true(sx_id_cmp(&a, &b) < 0 && sx_id_cmp(&b, &a) > 0);
    b = a;
    assert_int_equal(sx_id_cmp(&a, &b), 0);
    assert_true(sx_id_hash(&a) == sx_id_hash(&b));
    b.lo++;
    assert_true(sx_id_cmp(&a, &b) < 0);
}

/* Consecutive numbers must spread over the low bits that tables use. */
static void test_id_hash(void **state)
{
    static uint32_t seen[1024];
    uint32_t most = 0;

    (void)state;
    for (uint64_t i = 0; i < 100 * 1024; i++) {
        struct sx_id id = {.lo = i * 1024};
        uint32_t n = ++seen[sx_id_hash(&id) % 1024];

        most = n > most ? n : most;
    }
    assert_true(most < 200);
}

static void test_base64(void **state)
{
    static const struct {
        const char *plain, *std, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    static const char *const bad[] = {"Z",    "Zg=",    "Zg===", "Z===",     "Zh==",   "Zm9=",
                                      "Zm 9", "Zm9v\n", "====",  "Zg==Zg==", "Zm8\xff"};
    uint8_t bytes[300], back[303];
    char text[500];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].plain);

        assert_int_equal(sx_base64_encode(rows[i].plain, n, text, 0), strlen(rows[i].std));
        assert_memory_equal(text, rows[i].std, strlen(rows[i].std));
        assert_int_equal(sx_base64_encode(rows[i].plain, n, text, 1), strlen(rows[i].url));
        assert_memory_equal(text, rows[i].url, strlen(rows[i].url));
        assert_int_equal(sx_base64_decode(rows[i].std, strlen(rows[i].std), back, 0), n);
        assert_memory_equal(back, rows[i].plain, n);
        assert_int_equal(sx_base64_decode(rows[i].url, strlen(rows[i].url), back, 1), n);
        assert_memory_equal(back, rows[i].plain, n);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sx_base64_decode(bad[i], strlen(bad[i]), back, 0), SX_EINPUT);
    assert_int_equal(sx_base64_decode("-__-", 4, back, 0), SX_EINPUT);
    assert_int_equal(sx_base64_decode("+//+", 4, back, 1), SX_EINPUT);
    for (uint32_t n = 0; n < sizeof(bytes); n++) {
        int url = (int)(n & 1);
        uint64_t len;

        bytes[n] = (uint8_t)(n * 73 + n / 7);
        len = sx_base64_encode(bytes, n, text, url);
        assert_int_equal(sx_base64_decode(text, len, back, url), n);
        assert_memory_equal(back, bytes, n);
    }
}

/* What is valid, by the definition: decode, check the range, check that encoding gives it back. */
static int valid_by_definition(const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = s[i], need = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1, low;

        if ((c >= 0x80 && c < 0xc0) || c > 0xf7 || i + need >= n + (need == 0))
            return 0;
        if (i + need >= n)
            return 0;
        low = need == 0 ? 0 : need == 1 ? 0x80 : need == 2 ? 0x800 : 0x10000;
        c = need == 0 ? c : c & (0x3fu >> need);
        for (uint32_t k = 1; k <= need; k++) {
            if ((s[i + k] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i + k] & 0x3fu);
        }
        if (c < low || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return 0;
        i += need + 1;
    }
    return 1;
}

static void test_utf8_valid(void **state)
{
    unsigned char s[24];

    (void)state;
    assert_int_equal(sx_utf8_valid("", 0), 1);
    for (uint32_t a = 0; a < 256; a++) {
        for (uint32_t b = 0; b < 256; b += a < 0xc0 ? 51 : 1) {
            static const unsigned char tails[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90,
                                                  0x9f, 0xa0, 0xbf, 0xc0, 0xed, 0xff};

            for (uint32_t c = 0; c < sizeof(tails); c++) {
                for (uint32_t d = 0; d < sizeof(tails); d++) {
                    size_t n = 1 + (a + b + c + d) % 4;

                    s[0] = (unsigned char)a;
                    s[1] = (unsigned char)b;
                    s[2] = tails[c];
                    s[3] = tails[d];
                    if (sx_utf8_valid((char *)s, n) != valid_by_definition(s, n))
                        fail_msg("%02x %02x %02x %02x, %zu bytes", s[0], s[1], s[2], s[3], n);
                }
            }
        }
    }
    /* A bad byte at every place of a longer text, beyond the steps of eight. */
    for (size_t i = 0; i < sizeof(s); i++) {
        memset(s, 'a', sizeof(s));
        assert_int_equal(sx_utf8_valid((char *)s, sizeof(s)), 1);
        s[i] = 0xff;
        assert_int_equal(sx_utf8_valid((char *)s, sizeof(s)), 0);
    }
}

static void test_utf8_next(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80\xffz";
    static const uint32_t want[] = {'a',    0xe9,   0x20ac, 0x1f600, 0xfffd,
                                    0xfffd, 0xfffd, 0xfffd, 'z'};
    const char *p = text, *end = text + sizeof(text) - 1;

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(sx_utf8_next(&p, end), want[i]);
    assert_ptr_equal(p, end);
    assert_int_equal(sx_utf8_next(&p, end), 0xfffd);
    assert_ptr_equal(p, end);
    assert_int_equal(sx_utf8_count(text, 10), 4);
    p = text + 6;
    assert_int_equal(sx_utf8_next(&p, text + 9), 0xfffd); /* cut short */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),    cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_id),        cmocka_unit_test(test_id_hash),
        cmocka_unit_test(test_base64),    cmocka_unit_test(test_utf8_valid),
        cmocka_unit_test(test_utf8_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
