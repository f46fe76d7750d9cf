/* Paths into payloads: grammar, printing, what they lead to; and parts of payloads. */
/* needs: sdk/lib/path*.c plugins/engine/project.c */

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

#include "sextant/sx_path.h"

#include "../../plugins/engine/project.h"

static struct sx_arena arena;

static int setup(void **state SX_UNUSED)
{
    sx_arena_init(&arena, sx_mem_libc(), 0);
    return 0;
}

static int teardown(void **state SX_UNUSED)
{
    sx_arena_fini(&arena);
    return 0;
}

static struct sx_str str(const char *s)
{
    return (struct sx_str){s, (uint32_t)strlen(s), 0};
}

static struct sx_doc doc(const char *json)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, strlen(json), &arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(sx_json_doc(&j, &b), 0);
    d = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    assert_non_null(d.p);
    return d;
}

static const char *text_of(struct sx_buf *b)
{
    char *s = sx_arena_strdup(&arena, b->p, b->n);

    sx_buf_fini(b);
    return s;
}

static const char *json(struct sx_doc d)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_jsonw_doc(&b, d);
    return text_of(&b);
}

static struct sx_path path(const char *s)
{
    struct sx_path p;

    assert_int_equal(sx_path_parse(&arena, str(s), &p, NULL), 0);
    return p;
}

/* --- grammar ----------------------------------------------------------------------------- */

static const char *printed(const char *s)
{
    struct sx_path p = path(s);
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_path_print(&p, &b);
    return text_of(&b);
}

static void test_valid(void **state SX_UNUSED)
{
    static const struct {
        const char *text, *canonical;
        uint32_t n;
    } rows[] = {
        {"a", "a", 1},
        {"a.b", "a.b", 2},
        {"a[0].b[].c", "a[0].b[].c", 5},
        {"a[][]", "a[][]", 3},
        {"a[007]", "a[7]", 2},
        {"a[18446744073709551615]", "a[18446744073709551615]", 2},
        {"a[00000000000000000000000018446744073709551615]", "a[18446744073709551615]", 2},
        {"0", "0", 1},
        {"-_-", "-_-", 1},
        {"\"a\"", "a", 1},
        {"\"a.b\"", "\"a.b\"", 1},
        {"\"a.b\".\"c d\"[]", "\"a.b\".\"c d\"[]", 3},
        {"\"\"", "\"\"", 1},
        {"a.\"\"", "a.\"\"", 2},
        {"\"$[]/:\"", "\"$[]/:\"", 1},
        {"\xc3\xa4\xc3\xb6.\xe4\xb8\xad\xe6\x96\x87", "\xc3\xa4\xc3\xb6.\xe4\xb8\xad\xe6\x96\x87",
         2},
        {"\xd9\xa3", "\xd9\xa3", 1}, /* an Arabic digit is a letter of a bare key */
        {"\"\xf0\x9f\x98\x80\"", "\"\xf0\x9f\x98\x80\"", 1}, /* an emoji is not */
    };

    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        assert_int_equal(path(rows[i].text).n, rows[i].n);
        assert_string_equal(printed(rows[i].text), rows[i].canonical);
        assert_string_equal(printed(rows[i].canonical), rows[i].canonical);
    }
}

static void test_invalid(void **state SX_UNUSED)
{
    static const char *const rows[] = {"",
                                       ".",
                                       ".a",
                                       "a.",
                                       "a..b",
                                       "a b",
                                       " a",
                                       "a ",
                                       "a[",
                                       "a]",
                                       "a[]b",
                                       "a[0]b",
                                       "a[-1]",
                                       "a[+1]",
                                       "a[ 1]",
                                       "a[1 ]",
                                       "a[1_0]",
                                       "a[x]",
                                       "a[0",
                                       "[0]",
                                       "[]",
                                       "a.[0]",
                                       "a/b",
                                       "a$",
                                       "a:b",
                                       "\"a",
                                       "a\"b\"",
                                       "\"a\"b",
                                       "\"a\\\"",
                                       "\"a\\\"b\"",
                                       "a.b.",
                                       "a[1.0]",
                                       "a[18446744073709551616]",
                                       "a[\xd9\xa3]",
                                       "\xf0\x9f\x98\x80",
                                       "\xff",
                                       "a*"};

    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        struct sx_err err = SX_ERR_INIT;
        struct sx_path p;
        char want[128];

        if (sx_path_parse(&arena, str(rows[i]), &p, &err) != SX_EINPUT)
            fail_msg("accepted: %s", rows[i]);
        (void)snprintf(want, sizeof(want), "Invalid json path: '%s'", rows[i]);
        if (strcmp(rows[i], "\xff") != 0)
            assert_string_equal(err.msg, want);
    }
}

static void test_equal(void **state SX_UNUSED)
{
    struct sx_path a = path("a.b[1][]"), b = path("\"a\".\"b\"[01][]"), c = path("a.b[1][2]");
    struct sx_path d = path("a.b[1]"), e = path("a.c[1][]");

    assert_true(sx_path_equal(&a, &b));
    assert_false(sx_path_equal(&a, &c));
    assert_false(sx_path_equal(&a, &d));
    assert_false(sx_path_equal(&a, &e));
}

/* --- values ------------------------------------------------------------------------------ */

static int collect(void *arg, const struct sx_value *v)
{
    struct sx_buf *b = arg;

    if (b->n != 0)
        sx_buf_addc(b, ' ');
    if (v->doc.p != NULL) {
        assert_int_equal(v->num.type, sx_doc_type(v->doc));
        sx_jsonw_doc(b, v->doc);
    } else if (v->num.type == SX_DOC_I64) {
        sx_jsonw_i64(b, v->num.v.i);
    } else {
        assert_int_equal(v->num.type, SX_DOC_F64);
        sx_jsonw_f64(b, v->num.v.f);
    }
    return 0;
}

static const char *values(const char *payload, const char *p, int each)
{
    struct sx_path q = path(p);
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    assert_int_equal((each ? sx_path_each : sx_path_values)(&q, doc(payload), collect, &b), 0);
    return text_of(&b);
}

static void test_values_of_conditions(void **state SX_UNUSED)
{
    static const struct {
        const char *payload, *path, *values;
    } rows[] = {
        {"{\"a\":1}", "a", "1"},
        {"{\"a\":1}", "a[]", ""},
        {"{\"a\":1}", "a[0]", ""},
        {"{\"a\":[1,2]}", "a", "1 2"},
        {"{\"a\":[1,2]}", "a[]", "1 2"},
        {"{\"a\":[1,2]}", "a[1]", "2"},
        {"{\"a\":[1,2]}", "a[2]", ""},
        {"{\"a\":[1,2]}", "a[18446744073709551615]", ""},
        {"{\"a\":[0.5,1.0]}", "a", "0.5 1.0"},
        {"{\"a\":[1,[2,3]]}", "a", "1 [2,3]"},
        {"{\"a\":[1,[2,3]]}", "a[]", "1 2 3"},
        {"{\"a\":[[1,2]]}", "a", "[1,2]"},
        {"{\"a\":[[1,2]]}", "a[]", "1 2"},
        {"{\"a\":[[1,2]]}", "a[][]", "1 2"},
        {"{\"a\":[[1,2]]}", "a[][][]", ""},
        {"{\"a\":[]}", "a", ""},
        {"{}", "a", ""},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a.b", ""},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a[].b", "1 2 3"},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a[1].b", "2 3"},
        {"{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b", "{\"c\":\"x\"}"},
        {"{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b.c", "\"x\""},
        {"{\"a.b\":5}", "a.b", ""},
        {"{\"a.b\":5}", "\"a.b\"", "5"},
        {"{\"\":5}", "\"\"", "5"},
        {"{\"a\":null}", "a", "null"},
        {"{\"a\":[null]}", "a", "null"},
        {"{\"a\":{\"b\":1}}", "a[0]", ""},
        {"{\"a\":\"x\"}", "a.b", ""},
        {"{\"a\":18446744073709551615}", "a", "18446744073709551615"},
    };

    for (uint32_t i = 0; i < SX_COUNT(rows); i++)
        assert_string_equal(values(rows[i].payload, rows[i].path, 1), rows[i].values);
}

static void test_values_without_expansion(void **state SX_UNUSED)
{
    assert_string_equal(values("{\"a\":[1,2]}", "a", 0), "[1,2]");
    assert_string_equal(values("{\"a\":[1,2]}", "a[]", 0), "1 2");
    assert_string_equal(values("{\"a\":[1,2]}", "a[0]", 0), "1");
    assert_string_equal(values("{\"a\":[{\"b\":[1]},3]}", "a[].b", 0), "[1]");
}

static int stop_at_second(void *arg, const struct sx_value *v SX_UNUSED)
{
    return ++*(int *)arg == 2 ? 77 : 0;
}

static void test_stop(void **state SX_UNUSED)
{
    struct sx_path p = path("a[]");
    int n = 0;

    assert_int_equal(sx_path_values(&p, doc("{\"a\":[1,2,3,4]}"), stop_at_second, &n), 77);
    assert_int_equal(n, 2);
    n = 0;
    p = path("a");
    assert_int_equal(sx_path_each(&p, doc("{\"a\":[1,\"2\",3,4]}"), stop_at_second, &n), 77);
    assert_int_equal(n, 2);
}

/* --- projections ------------------------------------------------------------------------- */

/* patterns: separated by blanks; mode '+' or '-'. */
static const char *project(char mode, const char *patterns, const char *payload)
{
    struct sx_str names[16];
    struct sx_selector sel = {mode == '+' ? SX_SEL_INCLUDE : SX_SEL_EXCLUDE, 0, names};
    struct eng_projection *p = NULL;
    struct sx_doc out = {NULL, 0, 0};
    char *copy = sx_arena_strdup(&arena, patterns, strlen(patterns)), *at = copy;

    while (at != NULL && *at != 0) {
        char *blank = strchr(at, ' ');

        if (blank != NULL)
            *blank++ = 0;
        names[sel.n++] = str(at);
        at = blank;
    }
    assert_int_equal(eng_projection_create(&sel, &arena, &p, NULL), 0);
    for (int i = 0; i < 2; i++) /* the second time as the first */
        assert_int_equal(eng_project(p, doc(payload), sx_mem_libc(), &arena, &out), 0);
    assert_int_equal(sx_doc_check(out.p, out.n), 0);
    return json(out);
}

static void test_projections(void **state SX_UNUSED)
{
    static const struct {
        char mode;
        const char *patterns, *payload, *want;
    } rows[] = {
        {'+', "a.b", "{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[]}"},
        {'+', "a[].b", "{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"b\":1}]}"},
        {'-', "a[].b", "{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"c\":2}]}"},
        {'-', "a.b", "{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"b\":1,\"c\":2}]}"},
        {'+', "a", "{\"x\":0,\"a\":{\"b\":[1,{\"c\":2}]},\"y\":1}",
         "{\"a\":{\"b\":[1,{\"c\":2}]}}"},
        {'+', "a.b", "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1}}"},
        {'+', "a.b", "{\"a\":5}", "{\"a\":5}"},
        {'+', "a.b", "{\"a\":null}", "{\"a\":null}"},
        {'+', "a.b", "{\"a\":{\"c\":1}}", "{\"a\":{}}"},
        {'+', "a[0]", "{\"a\":[1,2]}", "{\"a\":[]}"},
        {'+', "a[]", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
        {'+', "a[].b", "{\"a\":[1,{\"b\":2,\"c\":3},\"x\",{\"c\":4}]}",
         "{\"a\":[1,{\"b\":2},\"x\",{}]}"},
        {'+', "a[].b", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
        {'+', "a[].b", "{\"a\":[[1,2],[{\"b\":1}]]}", "{\"a\":[[],[]]}"},
        {'+', "a[][].b", "{\"a\":[[1,2],[{\"b\":1,\"c\":2}]]}", "{\"a\":[[1,2],[{\"b\":1}]]}"},
        {'+', "", "{\"a\":1}", "{}"},
        {'+', "z", "{\"a\":1}", "{}"},
        {'+', "c a", "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"c\":3}"},
        {'+', "a.b a.d", "{\"a\":{\"b\":1,\"c\":2,\"d\":3}}", "{\"a\":{\"b\":1,\"d\":3}}"},
        {'+', "a.b a", "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":2}}"},
        {'+', "\"a.b\"", "{\"a\":{\"b\":1},\"a.b\":2}", "{\"a.b\":2}"},
        {'-', "", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
        {'-', "a", "{\"a\":1,\"b\":2}", "{\"b\":2}"},
        {'-', "a.b", "{\"a\":{\"b\":1,\"c\":2},\"d\":3}", "{\"a\":{\"c\":2},\"d\":3}"},
        {'-', "a.b", "{\"a\":{\"b\":1}}", "{\"a\":{}}"},
        {'-', "a.b", "{\"a\":7}", "{\"a\":7}"},
        {'-', "a[]", "{\"a\":[1,2]}", "{\"a\":[]}"},
        {'-', "a[]", "{\"a\":[1,\"x\"]}", "{\"a\":[]}"},
        {'-', "a[0]", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
        {'-', "a[].b", "{\"a\":[{\"b\":1},{\"c\":2},3]}", "{\"a\":[{},{\"c\":2},3]}"},
        {'-', "a[].b.c", "{\"a\":[{\"b\":{\"c\":1,\"d\":[1.5]}}]}",
         "{\"a\":[{\"b\":{\"d\":[1.5]}}]}"},
        {'-', "a.b.c a.b", "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{}}"},
        /* What is left of a mixed array may be of one kind. */
        {'+', "a[].b", "{\"a\":[1,2,{}]}", "{\"a\":[1,2,{}]}"},
    };

    for (uint32_t i = 0; i < SX_COUNT(rows); i++)
        assert_string_equal(project(rows[i].mode, rows[i].patterns, rows[i].payload), rows[i].want);
}

static void test_deep(void **state SX_UNUSED)
{
    char payload[2048] = "", pattern[2048] = "";

    for (uint32_t i = 0; i < 120; i++) {
        strcat(payload, i % 2 ? "[" : "{\"k\":");
        strcat(pattern, i % 2 ? "[]" : i == 0 ? "k" : ".k");
    }
    strcat(payload, "1");
    for (uint32_t i = 120; i-- > 0;)
        strcat(payload, i % 2 ? "]" : "}");
    assert_string_equal(values(payload, pattern, 0), "1");
    assert_string_equal(project('+', pattern, payload), payload);
    strcat(pattern, ".more.steps.than.the.document.has.containers.a.b.c.d.e.f.g.h.i.j.k.l.m");
    assert_string_equal(values(payload, pattern, 0), "");
    assert_string_equal(project('+', pattern, payload), payload);
    assert_string_equal(project('-', pattern, payload), payload);
}

static void test_bad_projection(void **state SX_UNUSED)
{
    struct sx_str names[] = {str("a"), str("a[")};
    struct sx_selector sel = {SX_SEL_INCLUDE, 2, names};
    struct eng_projection *p = NULL;
    struct sx_err err = SX_ERR_INIT;

    assert_int_equal(eng_projection_create(&sel, &arena, &p, &err), SX_EINPUT);
    assert_string_equal(err.msg, "Invalid json path: 'a['");
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_values_of_conditions),
        cmocka_unit_test(test_values_without_expansion),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_projections),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_bad_projection),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
