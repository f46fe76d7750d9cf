/* libs: jansson */
/* The JSON reader and writer: what is accepted, what errors say and where, lists of floats. */

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

#include "json_compare.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

static uint32_t rnd(uint32_t below)
{
    return (uint32_t)(rnd64() >> 33) % below;
}

static struct sx_arena arena;

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_arena_fini(&arena);
    return 0;
}

/* Reading stops at the exact end of a heap block, so that the sanitizers see a byte too far. */
static char *exact(const char *text, size_t n)
{
    char *p = malloc(n != 0 ? n : 1);

    assert_non_null(p);
    if (n != 0)
        memcpy(p, text, n);
    return p;
}

static void expect_msg(const struct sx_json *j, const char *text, const char *want)
{
    if (!j->failed || j->msg.n != strlen(want) || memcmp(j->msg.p, want, j->msg.n) != 0)
        fail_msg("%s: got \"%.*s\", want \"%s\"", text, (int)j->msg.n, j->failed ? j->msg.p : "",
                 want);
}

/* The error of reading a whole value, by skipping and by building a document. */
static void expect_error(const char *text, size_t n, const char *want)
{
    char *p = exact(text, n);
    struct sx_json j;
    struct sx_docb b;

    sx_json_init(&j, p, n, &arena);
    if (sx_json_skip(&j, NULL) == 0)
        assert_int_equal(sx_json_end(&j), SX_EFORMAT);
    expect_msg(&j, text, want);
    assert_int_equal(sx_json_skip(&j, NULL), SX_EFORMAT); /* and every later call fails */
    assert_int_equal(sx_json_end(&j), SX_EFORMAT);
    assert_int_equal(sx_json_peek(&j), SX_JSON_ERROR);
    expect_msg(&j, text, want);

    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    sx_json_init(&j, p, n, &arena);
    if (sx_json_doc(&j, &b) == 0)
        assert_int_equal(sx_json_end(&j), SX_EFORMAT);
    expect_msg(&j, text, want);
    sx_docb_fini(&b);
    free(p);
}

static void test_syntax_errors(void **state)
{
    static const char *const rows[][2] = {
        {"", "EOF while parsing a value at line 1 column 0"},
        {"  ", "EOF while parsing a value at line 1 column 2"},
        {"{\"limit\":", "EOF while parsing a value at line 1 column 9"},
        {"{\"limit\":1}}", "trailing characters at line 1 column 12"},
        {"{\"limit\":1} x", "trailing characters at line 1 column 13"},
        {"{limit:1}", "key must be a string at line 1 column 2"},
        {"{\"limit\":1,}", "trailing comma at line 1 column 12"},
        {"nul", "EOF while parsing a value at line 1 column 3"},
        {"nuxl", "expected ident at line 1 column 3"},
        {"tru]", "expected ident at line 1 column 4"},
        {"\xef\xbb\xbf{}", "expected value at line 1 column 1"},
        {"{", "EOF while parsing an object at line 1 column 1"},
        {"{\"a\"", "EOF while parsing an object at line 1 column 4"},
        {"{\"a\" 1}", "expected `:` at line 1 column 6"},
        {"{\"a\":1", "EOF while parsing an object at line 1 column 6"},
        {"{\"a\":1,", "EOF while parsing a value at line 1 column 7"},
        {"{\"a\":1 \"b\":2}", "expected `,` or `}` at line 1 column 8"},
        {"{,}", "key must be a string at line 1 column 2"},
        {"{bad", "key must be a string at line 1 column 2"},
        {"{\"points\":[", "EOF while parsing a list at line 1 column 11"},
        {"[1", "EOF while parsing a list at line 1 column 2"},
        {"[1,", "EOF while parsing a value at line 1 column 3"},
        {"[1,]", "trailing comma at line 1 column 4"},
        {"[1 2]", "expected `,` or `]` at line 1 column 4"},
        {"[,1]", "expected value at line 1 column 2"},
        {"[1,2,3,NaN]", "expected value at line 1 column 8"},
        {"[\n1,\n\n  x]", "expected value at line 4 column 3"},
        {"[]]", "trailing characters at line 1 column 3"},
        {"{\"a\":}", "expected value at line 1 column 6"},
        {"{\"a\":01}", "invalid number at line 1 column 7"},
        {"-", "EOF while parsing a value at line 1 column 1"},
        {"-x", "invalid number at line 1 column 2"},
        {"1.", "EOF while parsing a value at line 1 column 2"},
        {"1.x", "invalid number at line 1 column 3"},
        {".5", "expected value at line 1 column 1"},
        {"+1", "expected value at line 1 column 1"},
        {"1e", "EOF while parsing a value at line 1 column 2"},
        {"1e+", "EOF while parsing a value at line 1 column 3"},
        {"1e+x", "invalid number at line 1 column 4"},
        {"[1e400]", "number out of range at line 1 column 6"},
        {"[-1e400 ]", "number out of range at line 1 column 7"},
        {"1e99999999999", "number out of range at line 1 column 12"},
        {"\"abc", "EOF while parsing a string at line 1 column 4"},
        {"\"abc\\", "EOF while parsing a string at line 1 column 5"},
        {"\"abc\\u12", "EOF while parsing a string at line 1 column 8"},
        {"\"\\x41\"", "invalid escape at line 1 column 3"},
        {"\"\\u12g4\"", "invalid escape at line 1 column 7"},
        {"\"\\ud800\"", "unexpected end of hex escape at line 1 column 8"},
        {"\"\\ud800\\n\"", "unexpected end of hex escape at line 1 column 9"},
        {"\"\\udc00x\"", "lone leading surrogate in hex escape at line 1 column 7"},
        {"\"\\ud800\\ud800\"", "lone leading surrogate in hex escape at line 1 column 13"},
        {"\"a\tb\"",
         "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 3"},
        {"\"a\nb\"",
         "control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0"},
        {"\"a\xff\"", "invalid unicode code point at line 1 column 4"},
        {"\"\xff\\n\"", "invalid unicode code point at line 1 column 5"},
        {"\"\xff\\x\"", "invalid escape at line 1 column 4"},
        {"\"\xff", "EOF while parsing a string at line 1 column 2"},
        {"\"\xed\xa0\x80\"", "invalid unicode code point at line 1 column 5"},
        {"{\"\xc3\":1}", "invalid unicode code point at line 1 column 4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_error(rows[i][0], strlen(rows[i][0]), rows[i][1]);
    expect_error("[\0]", 3, "expected value at line 1 column 2");
}

static void test_depth(void **state)
{
    char text[400];
    struct sx_docb b;
    struct sx_json j;

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const char *open = kind ? "{\"\":" : "[";
        size_t width = strlen(open), n = 0;

        for (int i = 0; i < 200 && n + width < sizeof(text); i++) {
            memcpy(text + n, open, width);
            n += width;
        }
        if (kind == 0) {
            expect_error(text, n, "recursion limit exceeded at line 1 column 128");
            memset(text + 127, ']', 127);
            sx_json_init(&j, text, 254, &arena);
            sx_docb_init(&b, sx_mem_libc(), 0);
            assert_int_equal(sx_json_doc(&j, &b), 0);
            assert_int_equal(sx_json_end(&j), 0);
            assert_int_equal(sx_doc_check(sx_docb_end(&b).p, sx_docb_end(&b).n), 0);
            sx_docb_fini(&b);
            text[127] = '[';
        }
    }

    /* Containers that the caller opened count, and do not after they closed. */
    memset(text, '[', 128);
    memset(text + 128, ']', 128);
    sx_json_init(&j, text, 256, &arena);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
        assert_int_equal(sx_json_arr_next(&j), 1);
    }
    assert_int_equal(sx_json_skip(&j, NULL), SX_EFORMAT);
    expect_msg(&j, "128 brackets", "recursion limit exceeded at line 1 column 128");
    memset(text + 127, ']', 127);
    sx_json_init(&j, text, 254, &arena);
    for (int i = 0; i < 127; i++) {
        assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
        assert_int_equal(sx_json_arr_next(&j), i < 126);
    }
    for (int i = 0; i < 126; i++)
        assert_int_equal(sx_json_arr_next(&j), 0);
    assert_int_equal(sx_json_end(&j), 0);
    assert_int_equal(j.depth, 0);
}

/* Reads the member "v" of an object with one typed read. */
enum { AS_U32, AS_USIZE, AS_I64, AS_BOOL, AS_STR, AS_F64, AS_MAP, AS_LIST };

static int read_as(struct sx_json *j, int how)
{
    struct sx_str s;
    uint64_t u;
    int64_t i;
    double f;
    int yes;

    switch (how) {
    case AS_U32:
        return sx_json_u64(j, "u32", UINT32_MAX, &u);
    case AS_USIZE:
        return sx_json_u64(j, "usize", UINT64_MAX, &u);
    case AS_I64:
        return sx_json_i64(j, "i64", &i);
    case AS_BOOL:
        return sx_json_bool(j, "a boolean", &yes);
    case AS_STR:
        return sx_json_str(j, "a string", &s);
    case AS_F64:
        return sx_json_f64(j, "f64", &f);
    case AS_MAP:
        return sx_json_obj_begin(j, "a map");
    default:
        return sx_json_arr_begin(j, "a sequence");
    }
}

static void test_type_errors(void **state)
{
    static const struct {
        const char *text;
        int how;
        const char *want;
    } rows[] = {
        {"{\"v\": \"2\"}", AS_U32, "invalid type: string \"2\", expected u32 at line 1 column 9"},
        {"{\"v\": 1.5}", AS_U32,
         "invalid type: floating point `1.5`, expected u32 at line 1 column 9"},
        {"{\"v\": 1.0 }", AS_USIZE,
         "invalid type: floating point `1.0`, expected usize at line 1 column 9"},
        {"{\"v\": 1e1}", AS_USIZE,
         "invalid type: floating point `10.0`, expected usize at line 1 column 9"},
        {"{\"v\":99999999999999999999}", AS_USIZE,
         "invalid type: floating point `1e+20`, expected usize at line 1 column 25"},
        {"{\"v\":18446744073709551616}", AS_USIZE,
         "invalid type: floating point `1.8446744073709552e+19`, expected usize at line 1 column "
         "25"},
        {"{\"v\":1e-7}", AS_USIZE,
         "invalid type: floating point `1e-7`, expected usize at line 1 column 9"},
        {"{\"v\":-0}", AS_USIZE,
         "invalid type: floating point `-0.0`, expected usize at line 1 column 7"},
        {"{\"v\":-1}", AS_U32, "invalid value: integer `-1`, expected u32 at line 1 column 7"},
        {"{\"v\": 4294967296}", AS_U32,
         "invalid value: integer `4294967296`, expected u32 at line 1 column 16"},
        {"{\"v\": 9223372036854775808}", AS_I64,
         "invalid value: integer `9223372036854775808`, expected i64 at line 1 column 25"},
        {"{\"v\": true}", AS_USIZE,
         "invalid type: boolean `true`, expected usize at line 1 column 10"},
        {"{\"v\": false}", AS_STR,
         "invalid type: boolean `false`, expected a string at line 1 column 11"},
        {"{\"v\": null}", AS_STR, "invalid type: null, expected a string at line 1 column 10"},
        {"{\"v\": 5}", AS_STR, "invalid type: integer `5`, expected a string at line 1 column 7"},
        {"{\"v\": 1}", AS_BOOL, "invalid type: integer `1`, expected a boolean at line 1 column 7"},
        {"{\"v\": [1]}", AS_MAP, "invalid type: sequence, expected a map at line 1 column 6"},
        {"{\"v\": {}}", AS_LIST, "invalid type: map, expected a sequence at line 1 column 6"},
        {"{\"v\": \"x\"}", AS_MAP, "invalid type: string \"x\", expected a map at line 1 column 9"},
        {"{\n \"v\":\n  \"a\"}", AS_USIZE,
         "invalid type: string \"a\", expected usize at line 3 column 5"},
        {"{\"v\":\"q\\\"\\\\\\n\\u0001\\u00e9\"}", AS_USIZE,
         "invalid type: string \"q\\\"\\\\\\n\\u{1}\xc3\xa9\", expected usize at line 1 column 26"},
        /* What is next may be broken itself. */
        {"{\"v\": \"x}", AS_USIZE, "EOF while parsing a string at line 1 column 9"},
        {"{\"v\": nope}", AS_USIZE, "expected ident at line 1 column 8"},
        {"{\"v\": 1.}", AS_BOOL, "invalid number at line 1 column 9"},
        {"{\"v\": ?}", AS_BOOL, "expected value at line 1 column 7"},
        {"{\"v\": ", AS_F64, "EOF while parsing a value at line 1 column 6"},
        {"{\"v\": \"1\"}", AS_F64, "invalid type: string \"1\", expected f64 at line 1 column 9"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *p = exact(rows[i].text, strlen(rows[i].text));
        struct sx_json_mark mark;
        struct sx_json j;
        struct sx_str key;
        char want[200];

        sx_json_init(&j, p, strlen(rows[i].text), &arena);
        assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
        assert_int_equal(sx_json_obj_next(&j, &key), 1);
        mark = sx_json_mark(&j);
        assert_int_equal(read_as(&j, rows[i].how), SX_EFORMAT);
        expect_msg(&j, rows[i].text, rows[i].want);

        /* Without a position: only syntax errors keep theirs. */
        sx_json_reset(&j, mark);
        j.no_pos = 1;
        assert_int_equal(read_as(&j, rows[i].how), SX_EFORMAT);
        (void)snprintf(want, sizeof(want), "%s", rows[i].want);
        if (strncmp(want, "invalid type", 12) == 0 || strncmp(want, "invalid value", 13) == 0)
            *strstr(want, " at line") = 0;
        expect_msg(&j, rows[i].text, want);
        free(p);
    }
}

static void test_root_type(void **state)
{
    struct sx_json j;

    (void)state;
    sx_json_init(&j, "null", 4, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "struct UpdateCollection"), SX_EFORMAT);
    expect_msg(&j, "null",
               "invalid type: null, expected struct UpdateCollection at line 1 column 4");
    sx_json_init(&j, "[]", 2, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), SX_EFORMAT);
    expect_msg(&j, "[]", "invalid type: sequence, expected a map at line 1 column 0");
    sx_json_init(&j, "\xef\xbb\xbf{}", 5, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), SX_EFORMAT);
    expect_msg(&j, "bom", "expected value at line 1 column 1");
}

/* A custom text after the value of the first member, or of the first item of a list in it. */
static void expect_custom(const char *text, int in_list, const char *want)
{
    struct sx_json j;
    struct sx_str key;

    sx_json_init(&j, text, strlen(text), &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    if (in_list) {
        assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
        assert_int_equal(sx_json_arr_next(&j), 1);
    }
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    assert_int_equal(sx_json_fail(&j, "no %s", "fit"), SX_EFORMAT);
    expect_msg(&j, text, want);
}

static void test_custom_position(void **state)
{
    struct sx_json j;
    struct sx_str key;

    (void)state;
    expect_custom("{\"vectors\": null}", 0, "no fit at line 1 column 17");
    expect_custom("{\"vectors\": [1]}", 0, "no fit at line 1 column 16");
    expect_custom("{\"vectors\": {\"}\": 4} }", 0, "no fit at line 1 column 22");
    expect_custom("{\"vectors\": 5 , \"x\": 1}", 0, "no fit at line 1 column 14");
    expect_custom("{\"actions\": [{}]}", 1, "no fit at line 1 column 16");
    expect_custom("{\"actions\": [{\"create_alias\": {\"collection_name\": \"x\"}}]}", 1,
                  "no fit at line 1 column 56");
    expect_custom("{\"a\": [\"\\\"[\"  ,  2]}", 1, "no fit at line 1 column 17");

    /* At one byte: the last of a value, a key, a closing brace. */
    sx_json_init(&j, "{\"modifier\": \"bm25\"}", 20, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_str(&j, "a string", &key), 0);
    assert_int_equal(sx_json_fail_at(&j, j.p - 1, "unknown variant `%.*s`", (int)key.n, key.p),
                     SX_EFORMAT);
    expect_msg(&j, "variant", "unknown variant `bm25` at line 1 column 19");
    sx_json_init(&j, "{\"shard_number\":1,\"shard_number\":2}", 35, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_fail_at(&j, key.p + key.n, "duplicate field `shard_number`"),
                     SX_EFORMAT);
    expect_msg(&j, "duplicate", "duplicate field `shard_number` at line 1 column 32");
    sx_json_init(&j, "{\"vector\": [1, 1]}", 18, &arena);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 0);
    assert_int_equal(sx_json_fail_at(&j, j.p - 1, "missing field `limit`"), SX_EFORMAT);
    expect_msg(&j, "missing", "missing field `limit` at line 1 column 18");
    j.no_pos = 1;
    sx_json_reset(&j, sx_json_mark(&j));
    assert_int_equal(sx_json_fail(&j, "Invalid format"), SX_EFORMAT);
    expect_msg(&j, "no_pos", "Invalid format");
}

static void test_typed_reads(void **state)
{
    static const char text[] =
        " { \"u\" : 18446744073709551615 , \"i\":-9223372036854775808,"
        "\"f\":1.5e3,\"n\":null,\"t\":true,\"o\":false,\"s\":\"a\\u00e9\\/b\","
        "\"l\":[ 1 , 2.5 ],\"e\":{},\"m\":[],\"k\\n\":\"plain\",\"d\":0.1} ";
    struct sx_json j;
    struct sx_str key, s;
    uint64_t u;
    int64_t i;
    double d;
    float f;
    int yes;

    (void)state;
    sx_json_init(&j, text, sizeof(text) - 1, &arena);
    assert_int_equal(sx_json_peek(&j), SX_JSON_OBJ);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_u64(&j, "u64", UINT64_MAX, &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_i64(&j, "i64", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_peek(&j), SX_JSON_NUM);
    assert_int_equal(sx_json_null(&j), 0);
    assert_int_equal(sx_json_f64(&j, "f64", &d), 0);
    assert_true(d == 1500);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_null(&j), 1);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_bool(&j, "a boolean", &yes), 0);
    assert_int_equal(yes, 1);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_bool(&j, "a boolean", &yes), 0);
    assert_int_equal(yes, 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_str(&j, "a string", &s), 0);
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.p, "a\xc3\xa9/b", 5);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_f32(&j, "f32", &f), 0);
    assert_true(f == 1);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_f32(&j, "f32", &f), 0);
    assert_true(f == 2.5f);
    assert_int_equal(sx_json_arr_next(&j), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_skip(&j, &s), 0);
    assert_int_equal(s.n, 2);
    assert_memory_equal(s.p, "[]", 2);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(key.n, 2);
    assert_memory_equal(key.p, "k\n", 2);
    s = sx_json_describe(&j);
    assert_int_equal(s.n, 14);
    assert_memory_equal(s.p, "string \"plain\"", 14);
    assert_int_equal(sx_json_str(&j, "a string", &s), 0);
    assert_true(s.p > text && s.p < text + sizeof(text)); /* borrowed: it has no escape */
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    s = sx_json_describe(&j);
    assert_memory_equal(s.p, "floating point `0.1`", 20);
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 0);
    assert_int_equal(sx_json_end(&j), 0);
    assert_int_equal(j.failed, 0);
}

/* An untagged union: try one form, go back, try the next. */
static void test_mark(void **state)
{
    static const char text[] = "[{\"a\":[1,\"x\"]},2]";
    struct sx_json_mark mark;
    struct sx_json j;
    struct sx_str key;
    uint64_t u;

    (void)state;
    sx_json_init(&j, text, sizeof(text) - 1, &arena);
    assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    mark = sx_json_mark(&j);
    assert_int_equal(sx_json_obj_begin(&j, "a map"), 0);
    assert_int_equal(sx_json_obj_next(&j, &key), 1);
    assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_u64(&j, "u64", 5, &u), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_u64(&j, "u64", 5, &u), SX_EFORMAT);
    sx_json_reset(&j, mark);
    assert_int_equal(j.failed, 0);
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_u64(&j, "u64", 5, &u), 0);
    assert_int_equal(sx_json_arr_next(&j), 0);
    assert_int_equal(sx_json_end(&j), 0);
}

static void
expect_floats(const char *text, size_t n, uint32_t hint, const float *want, int64_t count)
{
    char *p = exact(text, n);
    struct sx_json j;
    float *v;

    sx_arena_reset(&arena);
    sx_json_init(&j, p, n, &arena);
    assert_int_equal(sx_json_f32s(&j, hint, &v), count);
    assert_int_equal(sx_json_end(&j), 0);
    assert_int_equal((uintptr_t)v % (count < 16 ? 16 : 64), 0);
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(&v[i], &want[i], 4) != 0)
            fail_msg("item %lld of %.60s...: %.9g, want %.9g", (long long)i, text, (double)v[i],
                     (double)want[i]);
    }
    free(p);
}

/* Tokens of every shape, in lists long enough for the fast path, against libc. */
static void test_floats(void **state)
{
    static char text[120000];
    static float want[3000];

    (void)state;
    for (int round = 0; round < 400; round++) {
        static const char *const gaps[] = {",", ", ", " ,", ",\n  "};
        uint32_t n = rnd(round < 300 ? 60 : 3000);
        int usual = round % 4; /* one shape per list, or all mixed */
        size_t len = 0;

        text[len++] = '[';
        for (uint32_t i = 0; i < n; i++) {
            double v = (double)(int64_t)rnd64() * 0x1p-63, scale = ldexp(v, (int)rnd(300) - 150);
            int shape = usual == 3 ? (int)rnd(12) : usual;
            char tok[80];
            uint32_t bits;
            float f;

            switch (shape) {
            case 0: /* shortest f32 */
                tok[sx_num_format_f32((float)v, tok)] = 0;
                break;
            case 1: /* f32 through a double */
                (void)snprintf(tok, sizeof(tok), "%.*g", 17, (double)(float)v);
                break;
            case 2: /* f64 */
                tok[sx_num_format_f64(v, tok)] = 0;
                break;
            case 3: /* fixed digits */
                (void)snprintf(tok, sizeof(tok), "%.*f", (int)rnd(30), v * 1000);
                break;
            case 4: /* integers */
                (void)snprintf(tok, sizeof(tok), "%lld", (long long)rnd64() >> rnd(64));
                break;
            case 5: /* far away */
                (void)snprintf(tok, sizeof(tok), "%.*e", (int)rnd(20), scale);
                break;
            case 6: /* in the middle of two floats, and close to it */
                bits = (uint32_t)rnd64() % 0x7f000000u;
                memcpy(&f, &bits, 4);
                (void)snprintf(tok, sizeof(tok), "%.*e", 14 + (int)rnd(12),
                               ((double)f + (double)nextafterf(f, INFINITY)) / 2);
                break;
            case 7:
                (void)snprintf(tok, sizeof(tok), "%s%s", rnd(2) ? "-" : "",
                               ((const char *const[]){"0", "0.0", "1e39", "0e5", "16777217", "1E+2",
                                                      "9e-46"})[rnd(7)]);
                break;
            case 8:
                (void)snprintf(tok, sizeof(tok), "0.%024llu%llu", (unsigned long long)rnd64(),
                               (unsigned long long)rnd64());
                break;
            case 9:
                (void)snprintf(tok, sizeof(tok), "%ue%d", rnd(100), (int)rnd(100) - 60);
                break;
            default:
                (void)snprintf(tok, sizeof(tok), "%.*f", (int)rnd(12), floor(v * 2000) / 8);
                break;
            }
            want[i] = (float)strtod(tok, NULL);
            if (i != 0) {
                const char *gap = gaps[usual == 3 ? rnd(4) : usual == 1];

                memcpy(text + len, gap, strlen(gap));
                len += strlen(gap);
            }
            memcpy(text + len, tok, strlen(tok));
            len += strlen(tok);
        }
        text[len++] = ']';
        expect_floats(text, len, round % 3 == 0 ? n : rnd(50), want, n);
    }
}

/* Every length near the border of the fast path, with every kind of break in it. */
static void test_floats_broken(void **state)
{
    char text[300];
    struct sx_json j;
    float *v;

    (void)state;
    for (size_t n = 0; n < 30; n++) {
        static const struct {
            const char *tail, *want;
            int back;
        } rows[] = {
            {"", "EOF while parsing a value", 0},
            {"]", "trailing comma", 0},
            {"x]", "expected value", 0},
            {"1", "EOF while parsing a list", 0},
            {"1 2]", "expected `,` or `]`", 0},
            {"01]", "invalid number", 0},
            {"1.]", "invalid number", 0},
            {"-]", "invalid number", 0},
            {"1e400]", "number out of range", 0},
            {"nul]", NULL, 0},
            {"\"a\"]", NULL, 1},
            {"null]", NULL, 1},
            {"[1]]", NULL, 1},
            {"true]", NULL, 1},
            {"1}", "expected `,` or `]`", 0},
            {",1]", "expected value", 0},
            {"0.1234567890123456x", "expected `,` or `]`", 0},
        };

        for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
            size_t len = 0;
            int64_t rc;
            char *p;

            text[len++] = '[';
            for (size_t i = 0; i < n; i++)
                len += (size_t)sprintf(text + len, "0.5%zu,", i * 37);
            if (n == 0 && rows[r].tail[0] == 0)
                continue;
            if (n == 0 && rows[r].tail[0] == ']')
                continue;
            len += (size_t)sprintf(text + len, "%s", rows[r].tail);
            p = exact(text, len);
            sx_json_init(&j, p, len, &arena);
            rc = sx_json_f32s(&j, 0, &v);
            if (rows[r].back || rows[r].want == NULL) {
                assert_int_equal(rc, SX_EINPUT);
                assert_int_equal(j.failed, 0);
                assert_ptr_equal(j.p, p);
                assert_int_equal(j.depth, 0);
            } else {
                assert_int_equal(rc, SX_EFORMAT);
                assert_true(j.failed);
                if (strncmp(j.msg.p, rows[r].want, strlen(rows[r].want)) != 0)
                    fail_msg("%.*s: %.*s", (int)len, text, (int)j.msg.n, j.msg.p);
            }
            free(p);
        }
    }
    sx_json_init(&j, " {\"a\":1}", 8, &arena);
    assert_int_equal(sx_json_f32s(&j, 0, &v), SX_EINPUT);
    assert_int_equal(sx_json_skip(&j, NULL), 0);
    sx_json_init(&j, "", 0, &arena);
    assert_int_equal(sx_json_f32s(&j, 0, &v), SX_EFORMAT);
    expect_floats("[]", 2, 0, NULL, 0);
    expect_floats(" [ ] ", 5, 10, NULL, 0);
}

/* Two lists one after the other do not share memory, and a limit of the arena is an error. */
static void test_floats_memory(void **state)
{
    static const char text[] = "[[1,2,3],[4,5,6]]";
    struct sx_arena small;
    struct sx_json j;
    char *many = malloc(40001);
    float *a, *b;

    (void)state;
    sx_json_init(&j, text, sizeof(text) - 1, &arena);
    assert_int_equal(sx_json_arr_begin(&j, "a sequence"), 0);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_f32s(&j, 1000, &a), 3);
    assert_int_equal(sx_json_arr_next(&j), 1);
    assert_int_equal(sx_json_f32s(&j, 2, &b), 3);
    assert_int_equal(sx_json_arr_next(&j), 0);
    assert_true(a[0] == 1 && a[2] == 3 && b[0] == 4 && b[2] == 6);

    assert_non_null(many);
    many[0] = '[';
    for (int i = 1; i < 40001; i += 2)
        memcpy(many + i, "1,", 2);
    many[40000] = ']';
    sx_json_init(&j, many, 40001, &arena);
    assert_int_equal(sx_json_f32s(&j, 0, &a), 20000);
    sx_arena_init(&small, sx_mem_libc(), 50000);
    sx_json_init(&j, many, 40001, &small);
    assert_int_equal(sx_json_f32s(&j, 0, &a), SX_ENOMEM);
    assert_true(j.failed);
    assert_string_equal(j.msg.p, "out of memory");
    sx_arena_fini(&small);
    free(many);
}

static void test_u32s(void **state)
{
    static const char *const refused[] = {"[1,-1]", "[1.0]", "[4294967296]", "[\"1\"]", "[null]",
                                          "[-0]",   "1",     "{}",           "[[1]]",   "[1e2]"};
    struct sx_json j;
    uint32_t *v;

    (void)state;
    sx_json_init(&j, "[0, 7,4294967295 ]", 18, &arena);
    assert_int_equal(sx_json_u32s(&j, &v), 3);
    assert_true(v[0] == 0 && v[1] == 7 && v[2] == UINT32_MAX);
    assert_int_equal(sx_json_end(&j), 0);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        sx_json_init(&j, refused[i], strlen(refused[i]), &arena);
        assert_int_equal(sx_json_u32s(&j, &v), SX_EINPUT);
        assert_int_equal(j.failed, 0);
        assert_ptr_equal(j.p, refused[i]);
        assert_int_equal(sx_json_skip(&j, NULL), 0);
    }
    sx_json_init(&j, "[1,2", 4, &arena);
    assert_int_equal(sx_json_u32s(&j, &v), SX_EFORMAT);
    expect_msg(&j, "[1,2", "EOF while parsing a list at line 1 column 4");
}

/* Random texts: valid by construction, then damaged. */
static size_t random_json(char *p, size_t room, uint32_t depth)
{
    static const char *const scalars[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1.5",
        "1e5",
        "-2.25E-3",
        "123456789012345678",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "0.1",
        "5e-324",
        "1.7976931348623157e308",
        "\"\"",
        "\"abc\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u00e9\\ud83d\\ude00\\uFFFF\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "\"a long string without any escape in it, but with text\"",
        "\"a longer string with one\\nescape far from the beginning \xc3\xa9\"",
    };
    static const char *const blanks[] = {"", "", "", " ", "\n", "\t\r\n "};
    size_t n = 0;

    if (room < 300)
        return (size_t)sprintf(p, "1");
    if (depth == 0 || rnd(3) == 0)
        return (size_t)sprintf(p, "%s%s", blanks[rnd(6)],
                               scalars[rnd(sizeof(scalars) / sizeof(scalars[0]))]);
    if (rnd(2) != 0) {
        uint32_t count = rnd(6);

        n += (size_t)sprintf(p + n, "%s[", blanks[rnd(6)]);
        for (uint32_t i = 0; i < count; i++) {
            n += (size_t)sprintf(p + n, "%s", i != 0 ? "," : "");
            n += random_json(p + n, room - n, depth - 1);
            n += (size_t)sprintf(p + n, "%s", blanks[rnd(6)]);
            if (room - n < 300)
                break;
        }
        n += (size_t)sprintf(p + n, "]");
    } else {
        uint32_t count = rnd(6);

        n += (size_t)sprintf(p + n, "{%s", blanks[rnd(6)]);
        for (uint32_t i = 0; i < count; i++) {
            static const char *const keys[] = {"a", "b", "", "a\\n", "longer key", "\xc3\xa9"};

            n += (size_t)sprintf(p + n, "%s%s\"%s\"%s:", i != 0 ? "," : "", blanks[rnd(6)],
                                 keys[rnd(6)], blanks[rnd(6)]);
            n += random_json(p + n, room - n, depth - 1);
            if (room - n < 300)
                break;
        }
        n += (size_t)sprintf(p + n, "%s}", blanks[rnd(6)]);
    }
    return n;
}

static void test_against_jansson(void **state)
{
    static const char bytes[] = "{}[]\",:\\ue0123456789.-+tfn \n\x01\x7f\x80\xc3\xed\xff";
    static char text[8192];
    uint32_t accepted = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = random_json(text, sizeof(text), 5);
        const char *why;

        if (round % 4 != 0) {
            for (uint32_t k = 0; k <= rnd(3); k++) {
                size_t at = rnd((uint32_t)n);

                switch (rnd(3)) {
                case 0:
                    text[at] = bytes[rnd(sizeof(bytes) - 1)];
                    break;
                case 1:
                    memmove(text + at, text + at + 1, n - at - 1);
                    n -= n > 1;
                    break;
                default:
                    n = at + 1;
                    break;
                }
            }
        }
        why = json_compare(text, n);
        if (why != NULL)
            fail_msg("%s: %.*s", why, (int)n, text);
        accepted += json_compare_skips(text, n) == 0;
    }
    assert_true(accepted > 10000);
}

/* Text, document, text, document: the second document is the first. */
static void test_round_trip(void **state)
{
    static char text[8192];
    struct sx_docb a, b;
    struct sx_buf out;

    (void)state;
    sx_docb_init(&a, sx_mem_libc(), SX_DOCB_LAST_WINS);
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    sx_buf_init(&out, sx_mem_libc());
    for (int round = 0; round < 5000; round++) {
        size_t n = random_json(text, sizeof(text), 6);
        struct sx_doc d, e;
        struct sx_json j;

        sx_arena_reset(&arena);
        sx_docb_reset(&a);
        sx_docb_reset(&b);
        out.n = 0;
        sx_json_init(&j, text, n, &arena);
        assert_int_equal(sx_json_doc(&j, &a), 0);
        assert_int_equal(sx_json_end(&j), 0);
        d = sx_docb_end(&a);
        assert_int_equal(sx_doc_check(d.p, d.n), 0);
        sx_jsonw_doc(&out, d);
        sx_json_init(&j, out.p, out.n, &arena);
        assert_int_equal(sx_json_doc(&j, &b), 0);
        assert_int_equal(sx_json_end(&j), 0);
        e = sx_docb_end(&b);
        assert_int_equal(d.n, e.n);
        assert_memory_equal(d.p, e.p, d.n);
    }
    sx_docb_fini(&a);
    sx_docb_fini(&b);
    sx_buf_fini(&out);
}

static void expect_written(struct sx_buf *b, const char *want)
{
    sx_buf_addc(b, 0);
    assert_string_equal(b->p, want);
    b->n = 0;
}

static void test_writer(void **state)
{
    static const float v[] = {0.5f, -0.0f, 1e20f, 3.4028235e38f, 1e-45f, 0.1f, INFINITY, NAN};
    struct sx_id id = {.lo = UINT64_MAX};
    struct sx_buf b;

    (void)state;
    sx_buf_init(&b, sx_mem_libc());
    sx_jsonw_cstr(&b, "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9 and a longer tail \"");
    expect_written(&b, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9 and a longer tail "
                       "\\\"\"");
    sx_jsonw_cstr(&b, "");
    expect_written(&b, "\"\"");
    sx_jsonw_u64(&b, UINT64_MAX);
    sx_buf_addc(&b, ' ');
    sx_jsonw_i64(&b, INT64_MIN);
    sx_buf_addc(&b, ' ');
    sx_jsonw_u64(&b, 0);
    expect_written(&b, "18446744073709551615 -9223372036854775808 0");
    sx_jsonw_f32s(&b, v, 8);
    expect_written(&b, "[0.5,-0.0,1e20,3.4028235e38,1e-45,0.1,null,null]");
    sx_jsonw_f32s(&b, v, 0);
    expect_written(&b, "[]");
    sx_jsonw_f64(&b, -HUGE_VAL);
    sx_jsonw_f64(&b, 1e300);
    expect_written(&b, "null1e300");
    sx_jsonw_id(&b, id);
    expect_written(&b, "18446744073709551615");
    id = (struct sx_id){0x550e8400e29b41d4u, 0xa716446655440000u, SX_ID_UUID, 0};
    sx_jsonw_id(&b, id);
    expect_written(&b, "\"550e8400-e29b-41d4-a716-446655440000\"");
    sx_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_type_errors),
        cmocka_unit_test(test_root_type),
        cmocka_unit_test(test_custom_position),
        cmocka_unit_test(test_typed_reads),
        cmocka_unit_test(test_mark),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_floats_broken),
        cmocka_unit_test(test_floats_memory),
        cmocka_unit_test(test_u32s),
        cmocka_unit_test(test_against_jansson),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
