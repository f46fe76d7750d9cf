/* Documents: building, reading, and the check of foreign bytes. */

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

#include "sextant/sx_doc.h"
#include "sextant/sx_json.h"

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed * 0x2545f4914f6cdd1du >> 33) % below;
}

static void expect_json(struct sx_doc v, const char *want)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_jsonw_doc(&b, v);
    sx_buf_addc(&b, 0);
    assert_string_equal(b.p, want);
    sx_buf_fini(&b);
}

static void test_values(void **state)
{
    struct sx_docb b;
    struct sx_doc d, m;
    struct sx_str key;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "null");
    sx_docb_null(&b);
    sx_docb_ckey(&b, "yes");
    sx_docb_bool(&b, 1);
    sx_docb_ckey(&b, "no");
    sx_docb_bool(&b, 0);
    sx_docb_ckey(&b, "int");
    sx_docb_i64(&b, INT64_MIN);
    sx_docb_ckey(&b, "fits");
    sx_docb_u64(&b, INT64_MAX);
    sx_docb_ckey(&b, "large");
    sx_docb_u64(&b, UINT64_MAX);
    sx_docb_ckey(&b, "real");
    sx_docb_f64(&b, -0.5);
    sx_docb_ckey(&b, "");
    sx_docb_str(&b, "a\0b", 3);
    sx_docb_ckey(&b, "list");
    sx_docb_arr(&b);
    sx_docb_cstr(&b, "four");
    sx_docb_i64(&b, 4);
    sx_docb_arr(&b);
    sx_docb_close(&b);
    sx_docb_obj(&b);
    sx_docb_close(&b);
    sx_docb_close(&b);
    sx_docb_close(&b);
    d = sx_docb_end(&b);
    assert_non_null(d.p);
    assert_int_equal(d.n % 4, 0);
    assert_int_equal(sx_doc_check(d.p, d.n), 0);
    expect_json(d, "{\"null\":null,\"yes\":true,\"no\":false,\"int\":-9223372036854775808,"
                   "\"fits\":9223372036854775807,\"large\":18446744073709551615,\"real\":-0.5,"
                   "\"\":\"a\\u0000b\",\"list\":[\"four\",4,[],{}]}");

    assert_int_equal(sx_doc_type(d), SX_DOC_OBJ);
    assert_int_equal(sx_doc_count(d), 9);
    assert_int_equal(sx_doc_type(sx_doc_get(d, "fits")), SX_DOC_I64);
    assert_int_equal(sx_doc_type(sx_doc_get(d, "large")), SX_DOC_U64);
    assert_int_equal(sx_doc_get_i64(d, "int", 5), INT64_MIN);
    assert_int_equal(sx_doc_get_i64(d, "large", 5), 5);
    assert_int_equal(sx_doc_get_i64(d, "absent", 5), 5);
    assert_int_equal(sx_doc_get_i64(d, "real", 5), 5);
    assert_true(sx_doc_get_f64(d, "real", 1) == -0.5);
    assert_true(sx_doc_get_f64(d, "large", 1) == 18446744073709551616.0);
    assert_true(sx_doc_get_f64(d, "int", 1) == -9223372036854775808.0);
    assert_true(sx_doc_get_f64(d, "yes", 1) == 1);
    assert_int_equal(sx_doc_get_bool(d, "yes", 7), 1);
    assert_int_equal(sx_doc_get_bool(d, "no", 7), 0);
    assert_int_equal(sx_doc_get_bool(d, "null", 7), 7);
    assert_int_equal(sx_doc_str(sx_doc_get(d, "")).n, 3);
    assert_null(sx_doc_str(sx_doc_get(d, "int")).p);
    assert_null(sx_doc_get(d, "nul").p);
    assert_null(sx_doc_get_n(d, "null!", 5).p);
    assert_int_equal(sx_doc_get_n(d, "null!", 4).p[0], SX_DOC_NULL);

    m = sx_doc_member(d, 8, &key);
    assert_int_equal(key.n, 4);
    assert_memory_equal(key.p, "list", 4);
    assert_int_equal(sx_doc_count(m), 4);
    assert_int_equal(sx_doc_elem_num(m, 1).v.i, 4);
    assert_int_equal(sx_doc_count(sx_doc_elem(m, 2)), 0);
    assert_null(sx_doc_elem(m, 4).p);
    assert_null(sx_doc_elem(d, 0).p);
    assert_null(sx_doc_member(d, 9, &key).p);
    assert_null(sx_doc_member(m, 0, &key).p);
    assert_int_equal(sx_doc_elem_num(m, 9).type, SX_DOC_NULL);

    /* Values inside a document are documents. */
    assert_int_equal(sx_doc_check(m.p, m.n), 0);
    expect_json(m, "[\"four\",4,[],{}]");
    sx_docb_fini(&b);
}

static void test_absent(void **state)
{
    struct sx_doc none = {NULL, 0, 0};

    (void)state;
    assert_int_equal(sx_doc_type(none), SX_DOC_NULL);
    assert_int_equal(sx_doc_count(none), 0);
    assert_null(sx_doc_get(none, "a").p);
    assert_null(sx_doc_str(none).p);
    assert_int_equal(sx_doc_get_i64(none, "a", 3), 3);
    expect_json(none, "null");
}

static void test_packing(void **state)
{
    struct sx_arena arena;
    struct sx_docb b;
    struct sx_doc d;

    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_arr(&b);
    for (int i = 0; i < 5; i++)
        sx_docb_i64(&b, i - 2);
    sx_docb_close(&b);
    d = sx_docb_end(&b);
    assert_int_equal(sx_doc_type(d), SX_DOC_ARR_I64);
    assert_int_equal(d.n, 8 + 5 * 8);
    assert_int_equal(sx_doc_count(d), 5);
    assert_int_equal(sx_doc_elem_num(d, 0).v.i, -2);
    assert_int_equal(sx_doc_elem_num(d, 4).v.i, 2);
    assert_int_equal(sx_doc_elem_num(d, 5).type, SX_DOC_NULL);
    assert_null(sx_doc_elem(d, 0).p);
    assert_int_equal(sx_doc_check(d.p, d.n), 0);
    expect_json(d, "[-2,-1,0,1,2]");

    sx_docb_reset(&b);
    sx_docb_arr(&b);
    sx_docb_f64(&b, 1);
    sx_docb_f64(&b, 2.5);
    sx_docb_close(&b);
    d = sx_docb_end_arena(&b, &arena);
    assert_int_equal(sx_doc_type(d), SX_DOC_ARR_F64);
    assert_int_equal(sx_doc_elem_num(d, 1).type, SX_DOC_F64);
    expect_json(d, "[1.0,2.5]");

    /* Mixed numbers stay as they are: 1 and 1.0 differ, and so does what exceeds an i64. */
    sx_docb_reset(&b);
    sx_docb_arr(&b);
    sx_docb_i64(&b, 1);
    sx_docb_f64(&b, 1);
    sx_docb_close(&b);
    assert_int_equal(sx_doc_type(sx_docb_end(&b)), SX_DOC_ARR);
    sx_docb_reset(&b);
    sx_docb_arr(&b);
    sx_docb_u64(&b, 1);
    sx_docb_u64(&b, UINT64_MAX);
    sx_docb_close(&b);
    d = sx_docb_end(&b);
    assert_int_equal(sx_doc_type(d), SX_DOC_ARR);
    expect_json(d, "[1,18446744073709551615]");
    sx_docb_reset(&b);
    sx_docb_arr(&b);
    sx_docb_null(&b);
    sx_docb_i64(&b, 1);
    sx_docb_close(&b);
    assert_int_equal(sx_doc_type(sx_docb_end(&b)), SX_DOC_ARR);

    /* Packed arrays inside others. */
    sx_docb_reset(&b);
    sx_docb_arr(&b);
    for (int i = 0; i < 3; i++) {
        sx_docb_arr(&b);
        sx_docb_i64(&b, i);
        sx_docb_i64(&b, i * 10);
        sx_docb_close(&b);
    }
    sx_docb_close(&b);
    d = sx_docb_end(&b);
    expect_json(d, "[[0,0],[1,10],[2,20]]");
    assert_int_equal(sx_doc_check(d.p, d.n), 0);
    sx_docb_fini(&b);
    sx_arena_fini(&arena);
}

static void test_duplicates(void **state)
{
    static const struct {
        const char *text, *last, *all;
    } rows[] = {
        {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}", "{\"a\":1,\"b\":2,\"a\":3}"},
        {"{\"a\":1,\"a\":[1,2,\"x\"],\"a\":{}}", "{\"a\":{}}",
         "{\"a\":1,\"a\":[1,2,\"x\"],\"a\":{}}"},
        {"{\"b\":{\"c\":1,\"c\":2},\"a\":0,\"b\":{\"c\":3,\"d\":4,\"c\":5},\"\":1,\"\":2}",
         "{\"b\":{\"c\":5,\"d\":4},\"a\":0,\"\":2}",
         "{\"b\":{\"c\":1,\"c\":2},\"a\":0,\"b\":{\"c\":3,\"d\":4,\"c\":5},\"\":1,\"\":2}"},
    };
    struct sx_arena arena;

    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t flags = 0; flags < 2; flags++) {
            struct sx_docb b;
            struct sx_json j;
            struct sx_doc d;

            sx_docb_init(&b, sx_mem_libc(), flags);
            sx_json_init(&j, rows[i].text, strlen(rows[i].text), &arena);
            assert_int_equal(sx_json_doc(&j, &b), 0);
            d = sx_docb_end(&b);
            expect_json(d, flags != 0 ? rows[i].last : rows[i].all);
            assert_int_equal(sx_doc_check(d.p, d.n), 0);
            sx_docb_fini(&b);
        }
    }
    sx_arena_fini(&arena);
}

/* Objects beyond the pairwise size, against a table of what the last value and first place are. */
static void test_many_duplicates(void **state)
{
    struct sx_docb b;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    for (int round = 0; round < 60; round++) {
        uint32_t n = 10 + rnd(300), keys = 1 + rnd(400), order[400], last[400], known = 0;
        struct sx_doc d;

        sx_docb_reset(&b);
        sx_docb_arr(&b);
        sx_docb_null(&b);
        sx_docb_obj(&b);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = rnd(keys), at = 0;
            char key[24];
            int len = snprintf(key, sizeof(key), "%s%u", k % 3 ? "k" : "longer-key-", k);

            while (at < known && order[at] != k)
                at++;
            if (at == known)
                order[known++] = k;
            last[at] = i;
            sx_docb_key(&b, key, (uint32_t)len);
            if (i % 2 != 0)
                sx_docb_u64(&b, i);
            else
                sx_docb_str(&b, key, rnd((uint32_t)len));
        }
        sx_docb_close(&b);
        sx_docb_cstr(&b, "behind");
        sx_docb_close(&b);
        d = sx_docb_end(&b);
        assert_int_equal(sx_doc_check(d.p, d.n), 0);
        d = sx_doc_elem(d, 1);
        assert_int_equal(sx_doc_count(d), known);
        for (uint32_t i = 0; i < known; i++) {
            struct sx_str key;
            struct sx_doc v = sx_doc_member(d, i, &key);
            char want[24];

            (void)snprintf(want, sizeof(want), "%s%u", order[i] % 3 ? "k" : "longer-key-",
                           order[i]);
            assert_int_equal(key.n, strlen(want));
            assert_memory_equal(key.p, want, key.n);
            if (last[i] % 2 != 0)
                assert_int_equal(sx_doc_num(v).v.u, last[i]);
            else
                assert_int_equal(sx_doc_type(v), SX_DOC_STR);
        }
    }
    sx_docb_fini(&b);
}

static void test_misuse(void **state)
{
    struct sx_docb b;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_null(sx_docb_end(&b).p); /* nothing built */
    sx_docb_obj(&b);
    assert_null(sx_docb_end(&b).p); /* still open */
    sx_docb_null(&b);               /* value without a key */
    sx_docb_close(&b);
    assert_null(sx_docb_end(&b).p);
    sx_docb_reset(&b);
    sx_docb_arr(&b);
    sx_docb_ckey(&b, "k"); /* key in an array */
    sx_docb_close(&b);
    assert_null(sx_docb_end(&b).p);
    sx_docb_reset(&b);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "k");
    sx_docb_close(&b); /* key without a value */
    assert_null(sx_docb_end(&b).p);
    sx_docb_reset(&b);
    sx_docb_null(&b);
    sx_docb_null(&b); /* two roots */
    assert_null(sx_docb_end(&b).p);
    sx_docb_reset(&b);
    sx_docb_close(&b);
    assert_null(sx_docb_end(&b).p);
    sx_docb_reset(&b);
    sx_docb_bool(&b, 1);
    assert_non_null(sx_docb_end(&b).p); /* errors end at a reset */
    sx_docb_fini(&b);
}

static void test_depth(void **state)
{
    struct sx_docb b, outer;
    struct sx_doc d;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_init(&outer, sx_mem_libc(), 0);
    for (uint32_t depth = SX_DOC_MAX_DEPTH - 1; depth <= SX_DOC_MAX_DEPTH + 1; depth++) {
        sx_docb_reset(&b);
        for (uint32_t i = 0; i < depth; i++)
            sx_docb_arr(&b);
        for (uint32_t i = 0; i < depth; i++)
            sx_docb_close(&b);
        d = sx_docb_end(&b);
        assert_int_equal(d.p != NULL, depth <= SX_DOC_MAX_DEPTH);
        if (d.p == NULL)
            continue;
        assert_int_equal(sx_doc_check(d.p, d.n), 0);
        /* A copied value counts with what is around it. */
        sx_docb_reset(&outer);
        sx_docb_arr(&outer);
        sx_docb_doc(&outer, d);
        sx_docb_close(&outer);
        assert_int_equal(sx_docb_end(&outer).p != NULL, depth < SX_DOC_MAX_DEPTH);
        sx_docb_reset(&outer);
        sx_docb_doc(&outer, d);
        assert_memory_equal(sx_docb_end(&outer).p, d.p, d.n);
    }
    sx_docb_fini(&b);
    sx_docb_fini(&outer);
}

static void random_value(struct sx_docb *b, uint32_t depth)
{
    uint32_t kind = rnd(depth != 0 ? 10 : 6), n = rnd(6), numbers = rnd(3);
    char text[16];

    for (uint32_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + rnd(26));
    switch (kind) {
    case 0:
        sx_docb_null(b);
        break;
    case 1:
        sx_docb_bool(b, (int)rnd(2));
        break;
    case 2:
        sx_docb_i64(b, (int64_t)rnd(1000) - 500);
        break;
    case 3:
        sx_docb_u64(b, UINT64_MAX - rnd(1000));
        break;
    case 4:
        sx_docb_f64(b, rnd(1000) / 8.0);
        break;
    case 5:
        sx_docb_str(b, text, rnd(sizeof(text)));
        break;
    case 6:
    case 7:
        sx_docb_arr(b);
        for (uint32_t i = 0; i < n; i++) {
            if (numbers == 1)
                sx_docb_i64(b, i);
            else if (numbers == 2)
                sx_docb_f64(b, i);
            else
                random_value(b, depth - 1);
        }
        sx_docb_close(b);
        break;
    default:
        sx_docb_obj(b);
        for (uint32_t i = 0; i < n; i++) {
            sx_docb_key(b, text + i, rnd(8));
            random_value(b, depth - 1);
        }
        sx_docb_close(b);
        break;
    }
}

/* Reads everything a document says it has; the sanitizers watch. */
static uint64_t walk(struct sx_doc v)
{
    uint64_t sum = sx_doc_type(v);
    uint32_t n = sx_doc_count(v);

    for (uint32_t i = 0; i < n; i++) {
        struct sx_str key;

        if (sx_doc_type(v) == SX_DOC_OBJ) {
            struct sx_doc c = sx_doc_member(v, i, &key);

            for (uint32_t k = 0; k < key.n; k++)
                sum += (unsigned char)key.p[k];
            sum += walk(c);
        } else if (sx_doc_type(v) == SX_DOC_ARR) {
            sum += walk(sx_doc_elem(v, i));
        } else {
            sum += sx_doc_elem_num(v, i).v.u;
        }
    }
    return sum;
}

/* Good documents pass; each damaged one is refused or at least safe to read. */
static void test_check_damage(void **state)
{
    uint32_t refused = 0, damaged = 0;
    struct sx_docb b;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    for (int round = 0; round < 3000; round++) {
        struct sx_doc d, c;
        uint8_t *copy;

        sx_docb_reset(&b);
        random_value(&b, 4);
        d = sx_docb_end(&b);
        assert_non_null(d.p);
        assert_int_equal(sx_doc_check(d.p, d.n), 0);
        copy = malloc(d.n); /* exactly as long, so that a read beyond is seen */
        assert_non_null(copy);
        for (int i = 0; i < 20; i++) {
            memcpy(copy, d.p, d.n);
            if (rnd(2) != 0)
                copy[rnd(d.n)] ^= (uint8_t)(1u << rnd(8));
            else
                copy[rnd(d.n / 4) * 4] = (uint8_t)rnd(256);
            damaged++;
            if (sx_doc_check(copy, d.n) != 0) {
                refused++;
                continue;
            }
            c = (struct sx_doc){copy, d.n, 0};
            (void)walk(c);
        }
        /* Every shorter prefix is refused, and so is a longer text. */
        for (uint32_t n = 0; n < d.n; n++)
            assert_int_equal(sx_doc_check(d.p, n), SX_ECORRUPT);
        free(copy);
    }
    assert_true(refused > damaged / 4);
    sx_docb_fini(&b);
}

static void test_check_rules(void **state)
{
    /* One rule each; `n` words. */
    static const struct {
        const char *why;
        uint32_t n, ok, w[12];
    } rows[] = {
        {"null", 1, 1, {0}},
        {"spare bits of the word", 1, 0, {0x100}},
        {"unknown type", 1, 0, {11}},
        {"trailing word", 2, 0, {0, 0}},
        {"i64", 3, 1, {3, 5, 0}},
        {"u64 that fits an i64", 3, 0, {4, 5, 0}},
        {"u64", 3, 1, {4, 5, 0x80000000}},
        {"f64", 3, 1, {5, 0, 0}},
        {"string", 3, 1, {6, 3, 0x00636261}},
        {"string with padding not zero", 3, 0, {6, 3, 0x01636261}},
        {"string too long", 3, 0, {6, 5, 0x65636261}},
        {"string of a huge length", 3, 0, {6, 0xfffffffe, 0x65636261}},
        {"string that is no UTF-8", 3, 0, {6, 1, 0xff}},
        {"empty array", 3, 1, {7, 12, 0}},
        {"array shorter than its head", 3, 0, {7, 8, 0}},
        {"array longer than the document", 3, 0, {7, 16, 0}},
        {"array of one null", 5, 1, {7, 20, 1, 0, 12}},
        {"offset into the head", 5, 0, {7, 20, 1, 0, 8}},
        {"count without offsets", 3, 0, {7, 12, 1}},
        {"huge count", 3, 0, {7, 12, 0x40000000}},
        {"a gap between children", 6, 0, {7, 24, 1, 0, 0, 12}},
        {"the same child twice", 7, 0, {7, 28, 2, 0, 0, 12, 12}},
        {"children out of order", 7, 0, {7, 28, 2, 0, 1, 16, 12}},
        {"two children", 7, 1, {7, 28, 2, 0, 1, 12, 16}},
        {"an array of i64 not packed", 7, 0, {7, 28, 1, 3, 1, 0, 12}},
        {"packed", 4, 1, {9, 1, 1, 0}},
        {"packed, empty", 2, 0, {9, 0}},
        {"packed, too long", 4, 0, {9, 2, 1, 0}},
        {"packed, huge", 4, 0, {10, 0x20000001, 1, 0}},
        {"empty object", 3, 1, {8, 12, 0}},
        {"member", 8, 1, {8, 32, 1, 6, 0, 0, 12, 20}},
        {"key that is no string", 8, 0, {8, 32, 1, 0, 0, 0, 12, 20}},
        {"value offset wrong", 8, 0, {8, 32, 1, 6, 0, 0, 12, 16}},
        {"key offset wrong", 8, 0, {8, 32, 1, 6, 0, 0, 16, 20}},
        {"total not a multiple of four", 3, 0, {8, 11, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *copy = malloc(4 * rows[i].n);

        assert_non_null(copy);
        memcpy(copy, rows[i].w, 4 * rows[i].n);
        if ((sx_doc_check(copy, 4 * rows[i].n) == 0) != (rows[i].ok != 0))
            fail_msg("%s", rows[i].why);
        free(copy);
    }
    assert_int_equal(sx_doc_check(NULL, 0), SX_ECORRUPT);
    assert_int_equal(sx_doc_check(NULL, 4), SX_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_absent),
        cmocka_unit_test(test_packing),         cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_many_duplicates), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_check_damage),
        cmocka_unit_test(test_check_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
