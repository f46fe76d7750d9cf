/* Filters on documents: structure, each clause, with indexes and without, nested conditions; what
 * compiling makes of them. The differential tests against recordings are in tests/filter. */
/* needs: plugins/engine/filter.h */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "../../plugins/engine/filter_prep.h"
#include "filter_json.h"

static struct sx_arena arena;
static struct fj_schemas schemas;
static struct eng_match_scratch scratch;

/* Indexes for what follows: {"path": schema, ...}; NULL = none. */
static void indexes(const char *json)
{
    struct sx_doc map;

    fj_schemas_clear(&schemas);
    if (json == NULL)
        return;
    map = fj_doc(&arena, json);
    for (uint32_t i = 0; i < sx_doc_count(map); i++) {
        struct sx_str path;
        struct sx_doc params = sx_doc_member(map, i, &path);

        fj_schema(&arena, &schemas, path, params);
    }
}

static struct eng_filter *compiled(const char *filter)
{
    struct eng_schemas lookup = fj_lookup(&schemas);
    struct eng_filter *f = NULL;

    assert_int_equal(eng_filter_compile(sx_mem_libc(), fj_filter(&arena, fj_doc(&arena, filter)),
                                        &lookup, &arena, &f, NULL),
                     0);
    assert_non_null(f);
    return f;
}

static int has_vector(const void *ctx, struct sx_str name)
{
    assert_ptr_equal(ctx, &arena);
    return name.n == 1 && name.p[0] == 'v';
}

static int match_id(const char *filter, const char *payload, struct sx_id id)
{
    struct eng_subject s = {id, {NULL, 0, 0}, has_vector, &arena};
    int rc;

    if (payload != NULL)
        s.payload = fj_doc(&arena, payload);
    rc = eng_filter_match(compiled(filter)->root, &s, &scratch);
    assert_false(scratch.failed);
    assert_in_range(rc, 0, 1);
    return rc;
}

static int match(const char *filter, const char *payload)
{
    return match_id(filter, payload, (struct sx_id){0, 7, SX_ID_NUM, 0});
}

/* Which of the payloads match: "1 3 4". */
static const char *which(const char *filter, const char *const *payloads, size_t n)
{
    static char text[256];
    int at = 0;

    text[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (match(filter, payloads[i]))
            at += snprintf(text + at, sizeof(text) - (size_t)at, at != 0 ? " %zu" : "%zu", i + 1);
    }
    return text;
}

/* Kept as long as the arena. */
static SX_PRINTF(1, 2) const char *text(const char *fmt, ...)
{
    char s[2048];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(s, sizeof(s), fmt, ap);
    va_end(ap);
    assert_in_range(n, 0, sizeof(s) - 1);
    return sx_arena_strdup(&arena, s, (uint64_t)n);
}

/* A filter of one field condition. */
static const char *field(const char *key, const char *clauses)
{
    return text("{\"must\":[{\"key\":\"%s\",%s}]}", key, clauses);
}

#define IS(filter, payload)  assert_true(match(filter, payload))
#define NOT(filter, payload) assert_false(match(filter, payload))

/* --- structure --------------------------------------------------------------------------- */

#define A   "{\"key\":\"a\",\"match\":{\"value\":1}}"
#define B   "{\"key\":\"b\",\"match\":{\"value\":1}}"
#define C   "{\"key\":\"c\",\"match\":{\"value\":1}}"
#define YES "{\"must\":[]}"
#define NO  "{\"has_id\":[]}"

static void test_structure(void **state)
{
    static const char *const abc[] = {
        "{}",       "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}", "{\"a\":1,\"b\":1,\"c\":1}",
        "{\"c\":1}"};
    static const struct {
        const char *filter, *ids;
    } cases[] = {
        {"{}", "1 2 3 4 5 6"},
        {"{\"must\":[],\"should\":[],\"must_not\":[]}", "1 2 3 4 5 6"},
        {"{\"must\":null,\"should\":null,\"min_should\":null}", "1 2 3 4 5 6"},
        {"{\"must\":[" A "," B "]}", "4 5"},
        {"{\"must\":" A "}", "2 4 5"},
        {"{\"should\":[" A "," B "]}", "2 3 4 5"},
        {"{\"must_not\":[" A "," C "]}", "1 3"},
        {"{\"must\":[" A "],\"should\":[" B "," C "],\"must_not\":[" C "]}", "4"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":1}}", "2 3 4 5 6"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":2}}", "4 5"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":3}}", "5"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":4}}", ""},
        {"{\"min_should\":{\"conditions\":[" A "," YES "," C "],\"min_count\":2}}", "2 4 5 6"},
        {"{\"min_should\":{\"conditions\":[" A "," NO "," C "],\"min_count\":2}}", "5"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":1}}", ""},
        {"{\"min_should\":{\"conditions\":[" A "],\"min_count\":0}}", "1 2 3 4 5 6"},
        {"{\"must\":[{\"must\":[{\"must\":[" A "]}]}]}", "2 4 5"},
        {"{\"must\":[{}]}", "1 2 3 4 5 6"},
        {"{\"must_not\":[{}]}", ""},
        {"{\"must_not\":[{\"must_not\":[" A "]}]}", "2 4 5"},
        {"{\"must_not\":[{\"should\":[" A "," B "]}]}", "1 6"},
        {"{\"should\":[" NO "," A "]}", "2 4 5"},
        {"{\"should\":[" NO "]}", ""},
        {"{\"should\":[" YES "," A "]}", "1 2 3 4 5 6"},
        {"{\"must_not\":[" NO "]}", "1 2 3 4 5 6"},
    };

    (void)state;
    indexes(NULL);
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        if (strcmp(which(cases[i].filter, abc, SX_COUNT(abc)), cases[i].ids) != 0)
            fail_msg("%s: %s", cases[i].filter, which(cases[i].filter, abc, SX_COUNT(abc)));
    }
    assert_int_equal(match("{}", NULL), 1);
    assert_int_equal(match("{\"must\":[{\"is_empty\":{\"key\":\"a\"}}]}", NULL), 1);
}

/* A filter that was not given; a condition without clause. */
static void test_no_filter(void **state)
{
    static const struct sx_cond never = {.kind = SX_COND_NEVER};
    static const struct sx_filter f = {.n_must_not = 1, .must_not = &never};
    struct eng_subject s = {.payload = {NULL, 0, 0}};
    struct eng_schemas none = {NULL, NULL, NULL};
    struct eng_filter *out;

    (void)state;
    assert_int_equal(eng_filter_compile(sx_mem_libc(), NULL, NULL, &arena, &out, NULL), 0);
    assert_int_equal(out->root->kind, ENG_NODE_TRUE);
    assert_int_equal(eng_filter_compile(sx_mem_libc(), &f, &none, &arena, &out, NULL), 0);
    assert_int_equal(out->root->kind, ENG_NODE_TRUE);
    assert_int_equal(out->n_conditions, 1);
    assert_true(eng_filter_match(out->root, &s, &scratch));
}

static void test_counts(void **state)
{
    struct eng_filter *f;

    (void)state;
    indexes(NULL);
    f = compiled("{\"must\":[" A ",{\"must\":[" B "]},{\"nested\":{\"key\":\"n\",\"filter\":"
                 "{\"must\":[" C "],\"must_not\":[{\"has_id\":[1,2]}]}}}],\"should\":[{}],"
                 "\"min_should\":{\"conditions\":[" A "],\"min_count\":1}}");
    assert_int_equal(f->n_conditions, 5);
    assert_int_equal(f->largest, 2);
    assert_true(f->reads_payload);
    f = compiled("{\"must\":[{\"has_id\":[1,1,1]},{\"key\":\"a\",\"match\":{\"any\":[]}},"
                 "{\"key\":\"a\",\"match\":{\"except\":[\"a\",\"a\",\"b\",\"c\"]},\"range\":{}}]}");
    assert_int_equal(f->n_conditions, 3);
    assert_int_equal(f->largest, 4);
    assert_int_equal(f->root->kind, ENG_NODE_FALSE);
    assert_false(f->reads_payload);
    f = compiled("{\"must\":[{\"has_id\":[1]},{\"has_vector\":\"v\"},"
                 "{\"slice\":{\"total\":3,\"index\":0}}]}");
    assert_int_equal(f->n_conditions, 3);
    assert_false(f->reads_payload);
    assert_int_equal(compiled("{\"must\":[]}")->n_conditions, 0);
    f = compiled("{\"must_not\":[{\"must_not\":[" A "]}]}");
    assert_int_equal(f->root->kind, ENG_NODE_LEAF);
}

/* --- points ------------------------------------------------------------------------------ */

static void test_points(void **state)
{
    static const struct {
        const char *id;
        uint64_t hash;
    } hashes[] = {{"0", 16738165381834614119u},
                  {"1", 9224715256000962398u},
                  {"42", 1135563785245924819u},
                  {"550e8400-e29b-41d4-a716-446655440000", 17712879580654916868u}};
    struct sx_id id;

    (void)state;
    indexes(NULL);
    for (size_t i = 0; i < SX_COUNT(hashes); i++) {
        uint32_t n = 0;

        assert_int_equal(sx_id_parse(hashes[i].id, strlen(hashes[i].id), &id), 0);
        assert_int_equal(eng_slice_hash(&id), hashes[i].hash);
        for (int k = 0; k < 5; k++) {
            int is_in =
                match_id(text("{\"must\":[{\"slice\":{\"total\":5,\"index\":%d}}]}", k), NULL, id);

            assert_int_equal(is_in, hashes[i].hash % 5 == (uint64_t)k);
            n += (uint32_t)is_in;
        }
        assert_int_equal(n, 1);
        assert_true(match_id("{\"must\":[{\"slice\":{\"total\":1,\"index\":0}}]}", NULL, id));
    }
    /* The number and the uuid of the same bits are two ids. */
    IS("{\"must\":[{\"has_id\":[9,7,8,7]}]}", NULL);
    NOT("{\"must\":[{\"has_id\":[1,6,8,\"00000000-0000-0000-0000-000000000007\"]}]}", NULL);
    assert_int_equal(sx_id_parse("00000000-0000-0000-0000-000000000007", 36, &id), 0);
    assert_false(match_id("{\"must\":[{\"has_id\":[7]}]}", NULL, id));
    assert_true(
        match_id("{\"must\":[{\"has_id\":[7,\"00000000000000000000000000000007\"]}]}", NULL, id));
    IS("{\"must\":[{\"has_vector\":\"v\"}]}", NULL);
    NOT("{\"must\":[{\"has_vector\":\"w\"}]}", NULL);
    NOT("{\"must\":[{\"has_vector\":\"\"}]}", NULL);
}

/* --- paths, values ----------------------------------------------------------------------- */

static void test_paths(void **state)
{
    static const struct {
        const char *payload, *key, *yes, *no;
    } cases[] = {
        {"{\"a\":1}", "a", "1", "2"},
        {"{\"a\":[1,2]}", "a", "1 2", "3"},
        {"{\"a\":[1,2]}", "a[]", "1 2", "3"},
        {"{\"a\":[1,2]}", "a[1]", "2", "1"},
        {"{\"a\":[1,2]}", "a[2]", "", "1 2"},
        {"{\"a\":1}", "a[]", "", "1"},
        {"{\"a\":1}", "a[0]", "", "1"},
        {"{\"a\":[1,[2,3]]}", "a", "1", "2 3"},
        {"{\"a\":[1,[2,3]]}", "a[]", "1 2 3", "4"},
        {"{\"a\":[1,[2,3]]}", "a[1]", "2 3", "1"},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a[].b", "1 2 3", "4"},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a[1].b", "2 3", "1"},
        {"{\"a\":[{\"b\":1},{\"b\":[2,3]}]}", "a.b", "", "1 2 3"},
        {"{\"a\":{\"b\":{\"c\":5}}}", "a.b.c", "5", "1"},
        {"{\"a\":{\"b\":{\"c\":5}}}", "a.b", "", "5"},
        {"{\"a.b\":5}", "a.b", "", "5"},
        {"{\"a.b\":5,\"\":6}", "\\\"a.b\\\"", "5", "6"},
        {"{\"a.b\":5,\"\":6}", "\\\"\\\"", "6", "5"},
        {"{\"a\":[[1],[2]]}", "a[][]", "1 2", "3"},
        {"{\"a\":[[1],[2]]}", "a[][0]", "1 2", "3"},
    };

    (void)state;
    indexes(NULL);
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        for (int v = 1; v <= 6; v++) {
            char digit[2] = {(char)('0' + v), 0};
            int want = strstr(cases[i].yes, digit) != NULL;

            if (!want && strstr(cases[i].no, digit) == NULL)
                continue;
            if (match(field(cases[i].key, text("\"match\":{\"value\":%d}", v)), cases[i].payload) !=
                want)
                fail_msg("%s %s %d", cases[i].payload, cases[i].key, v);
            assert_int_equal(
                match(field(cases[i].key, text("\"range\":{\"gte\":%d,\"lt\":%d.5}", v, v)),
                      cases[i].payload),
                want);
        }
    }
}

static void test_types(void **state)
{
    static const char *const values[] = {
        "{\"k\":\"1\"}",     "{\"k\":1}", "{\"k\":1.0}", "{\"k\":true}",           "{\"k\":null}",
        "{\"k\":{\"k\":1}}", "{}",        "{\"k\":[]}",  "{\"k\":[false,\"x\",1]}"};
    static const struct {
        const char *clause, *ids;
    } cases[] = {
        {"\"match\":{\"value\":\"1\"}", "1"},
        {"\"match\":{\"value\":1}", "2 9"},
        {"\"match\":{\"value\":true}", "4"},
        {"\"match\":{\"value\":false}", "9"},
        {"\"match\":{\"any\":[\"x\",\"1\"]}", "1 9"},
        {"\"match\":{\"any\":[0,1]}", "2 9"},
        {"\"match\":{\"any\":[]}", ""},
        {"\"match\":{\"except\":[\"1\"]}", "2 3 4 6 9"},
        {"\"match\":{\"except\":[1]}", "1 3 4 6 9"},
        {"\"match\":{\"except\":[]}", "1 2 3 4 6 9"},
        {"\"match\":{\"except\":[\"1\",\"x\"]}", "2 3 4 6 9"},
        {"\"match\":{\"prefix\":\"\"}", "1 9"},
        {"\"match\":{\"substring\":\"\"}", "1 9"},
        {"\"match\":{\"text\":\"1\"}", "1"},
        {"\"range\":{}", "2 3 9"},
        {"\"range\":{\"gt\":0.5}", "2 3 9"},
        {"\"range\":{\"gt\":1}", ""},
        {"\"range\":{\"gte\":1,\"lte\":1}", "2 3 9"},
        {"\"range\":{\"gt\":2,\"lt\":1}", ""},
    };

    (void)state;
    indexes(NULL);
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("k", cases[i].clause);

        if (strcmp(which(f, values, SX_COUNT(values)), cases[i].ids) != 0)
            fail_msg("%s: %s", f, which(f, values, SX_COUNT(values)));
    }
}

static void test_strings(void **state)
{
    (void)state;
    indexes(NULL);
    IS(field("k", "\"match\":{\"prefix\":\"ab\"}"), "{\"k\":[\"x\",\"abc\"]}");
    IS(field("k", "\"match\":{\"prefix\":\"ab\"}"), "{\"k\":\"ab\"}");
    NOT(field("k", "\"match\":{\"prefix\":\"ab\"}"), "{\"k\":\"Abc\"}");
    NOT(field("k", "\"match\":{\"prefix\":\"abc\"}"), "{\"k\":\"ab\"}");
    IS(field("k", "\"match\":{\"substring\":\"20260921\"}"), "{\"k\":\"ORD20260921ABCD\"}");
    NOT(field("k", "\"match\":{\"substring\":\"ord\"}"), "{\"k\":\"ORD20260921ABCD\"}");
    IS(field("k", "\"match\":{\"substring\":\"CD\"}"), "{\"k\":\"ORD20260921ABCD\"}");
    NOT(field("k", "\"match\":{\"substring\":\"D!\"}"), "{\"k\":\"ORD20260921ABCD\"}");
    IS(field("k", "\"match\":{\"substring\":\"%b_\"}"), "{\"k\":\"a%b_c\"}");
    NOT(field("k", "\"match\":{\"substring\":\"%b_\"}"), "{\"k\":\"a%bc\"}");
    IS(field("k", "\"match\":{\"substring\":\"aab\"}"), "{\"k\":\"aaab\"}");
    NOT(field("k", "\"match\":{\"substring\":\"\"}"), "{\"k\":5}");
    IS(field("k", "\"match\":{\"value\":\"\"}"), "{\"k\":\"\"}");
    /* A long list is searched, a short one compared. */
    for (int n = 1; n < 40; n += 7) {
        const char *list = "";

        for (int i = 0; i < n; i++)
            list = text("%s%s\"%s%d\"", list, i != 0 ? "," : "", i % 3 ? "a" : "", i * 37 % 11);
        for (int i = 0; i < 11; i++) {
            const char *quoted = text("\"a%d\"", i);

            assert_int_equal(match(field("k", text("\"match\":{\"any\":[%s]}", list)),
                                   text("{\"k\":%s}", quoted)),
                             strstr(list, quoted) != NULL);
        }
    }
}

/* --- presence, counts -------------------------------------------------------------------- */

#define EMPTY(k) "{\"must\":[{\"is_empty\":{\"key\":\"" k "\"}}]}"
#define NIL(k)   "{\"must\":[{\"is_null\":{\"key\":\"" k "\"}}]}"

static void test_presence(void **state)
{
    static const char *const values[] = {"{}",
                                         "{\"k\":null}",
                                         "{\"k\":[]}",
                                         "{\"k\":[null]}",
                                         "{\"k\":[[]]}",
                                         "{\"k\":{}}",
                                         "{\"k\":\"\"}",
                                         "{\"k\":0}",
                                         "{\"k\":false}",
                                         "{\"k\":[null,\"a\"]}",
                                         "{\"k\":[1]}",
                                         "{\"k\":[[null]]}",
                                         "{\"k\":[0.5,1.5]}"};
    static const struct {
        const char *clause, *ids;
    } cases[] = {
        {"\"is_empty\":true", "1 2 3"},
        {"\"is_empty\":false", "4 5 6 7 8 9 10 11 12 13"},
        {"\"is_null\":true", "2 4 10"},
        {"\"is_null\":false", "1 3 5 6 7 8 9 11 12 13"},
        {"\"values_count\":{}", "1 2 3 4 5 6 7 8 9 10 11 12 13"},
        {"\"values_count\":{\"lt\":1}", "1 2 3"},
        {"\"values_count\":{\"gte\":1}", "4 5 6 7 8 9 10 11 12 13"},
        {"\"values_count\":{\"gt\":1}", "10 13"},
        {"\"values_count\":{\"lte\":2,\"gt\":1}", "10 13"},
    };

    (void)state;
    for (int with = 0; with < 2; with++) {
        indexes(with ? "{\"k\":\"keyword\"}" : NULL);
        for (size_t i = 0; i < SX_COUNT(cases); i++)
            assert_string_equal(which(field("k", cases[i].clause), values, SX_COUNT(values)),
                                cases[i].ids);
        assert_string_equal(which(EMPTY("k"), values, SX_COUNT(values)), "1 2 3");
        assert_string_equal(which(NIL("k"), values, SX_COUNT(values)), "2 4 10");
    }
}

/* Where a path yields several values. */
static void test_presence_of_many(void **state)
{
    static const char *const values[] = {"{\"a\":[{\"b\":null},{\"b\":1}]}",
                                         "{\"a\":[{\"b\":1}]}",
                                         "{\"a\":[{\"c\":1}]}",
                                         "{\"a\":[]}",
                                         "{\"a\":{\"b\":null}}",
                                         "{\"a\":[{\"b\":[null]}]}",
                                         "{\"a\":[{\"b\":[]},{\"b\":null}]}",
                                         "{}"};

    (void)state;
    indexes(NULL);
    assert_string_equal(which(EMPTY("a[].b"), values, 8), "3 4 5 7 8");
    assert_string_equal(which(field("a[].b", "\"is_empty\":true"), values, 8), "1 3 4 5 7 8");
    assert_string_equal(which(field("a[].b", "\"is_empty\":false"), values, 8), "1 2 6");
    assert_string_equal(which(NIL("a[].b"), values, 8), "1 6 7");
    assert_string_equal(which(field("a[].b", "\"is_null\":true"), values, 8), "1 6 7");
    assert_string_equal(which(field("a[].b", "\"is_null\":false"), values, 8), "1 2 3 4 5 7 8");
    indexes("{\"a[].b\":\"integer\"}");
    assert_string_equal(which(EMPTY("a[].b"), values, 8), "3 4 5 7 8");
    assert_string_equal(which(field("a[].b", "\"is_empty\":true"), values, 8), "3 4 5 7 8");
    assert_string_equal(which(field("a[].b", "\"is_empty\":false"), values, 8), "1 2 6");
    assert_string_equal(which(field("a[].b", "\"is_null\":true"), values, 8), "1 6 7");
    assert_string_equal(which(field("a[].b", "\"is_null\":false"), values, 8), "2 3 4 5 8");
    /* Counts are of one value, never summed. */
    assert_string_equal(which(field("a[].b", "\"values_count\":{\"gte\":2}"), values, 8), "");
    assert_string_equal(which(field("a[].b", "\"values_count\":{\"lt\":1}"), values, 8),
                        "1 3 4 5 7 8");
}

/* --- several clauses --------------------------------------------------------------------- */

static void test_several_clauses(void **state)
{
    static const char *const values[] = {"{\"a\":5}",      "{\"a\":50}",   "{\"a\":\"x\"}",
                                         "{\"a\":[5,50]}", "{\"a\":null}", "{}"};
    static const struct {
        const char *index, *clauses, *ids;
    } cases[] = {
        {NULL, "\"match\":{\"value\":5},\"range\":{\"gt\":40}", "1 2 4"},
        {NULL, "\"match\":{\"value\":\"x\"},\"range\":{\"gt\":40}", "2 3 4"},
        {NULL, "\"match\":{\"value\":5},\"is_null\":true", "5"},
        {NULL, "\"match\":{\"value\":5},\"is_empty\":true", "5 6"},
        {NULL, "\"is_null\":true,\"is_empty\":false", "1 2 3 4"},
        {NULL, "\"match\":{\"value\":5},\"values_count\":{\"gte\":2}", "4"},
        {NULL, "\"is_empty\":true,\"values_count\":{\"gte\":2}", "4"},
        {"integer", "\"match\":{\"value\":5},\"range\":{\"gt\":40}", "1 4"},
        {"integer", "\"match\":{\"value\":\"x\"},\"range\":{\"gt\":40}", "2 4"},
        {"integer", "\"match\":{\"value\":5},\"is_null\":true", "1 4"},
        {"integer", "\"match\":{\"value\":5},\"values_count\":{\"gte\":2}", "1 4"},
        {"integer", "\"is_empty\":true,\"values_count\":{\"gte\":2}", "5 6"},
        {"integer", "\"match\":{\"any\":[]},\"range\":{\"gt\":40}", "2 4"},
        {"keyword", "\"match\":{\"any\":[]},\"range\":{\"gt\":40}", ""},
        {"keyword", "\"match\":{\"value\":5},\"range\":{\"gt\":40}", "1 2 4"},
        {"keyword", "\"match\":{\"value\":\"x\"},\"range\":{\"gt\":40}", "3"},
        {"keyword", "\"match\":{\"value\":5},\"is_null\":true", "5"},
        {"keyword", "\"match\":{\"value\":5},\"values_count\":{\"gte\":2}", "4"},
        {"float", "\"match\":{\"value\":5},\"range\":{\"gt\":40}", "2 4"},
        {"text", "\"match\":{\"text\":\"x\"},\"range\":{\"gt\":40}", "3"},
        {"bool", "\"match\":{\"value\":\"x\"},\"is_empty\":true", "5 6"},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("a", cases[i].clauses);

        indexes(cases[i].index == NULL ? NULL : text("{\"a\":\"%s\"}", cases[i].index));
        if (strcmp(which(f, values, SX_COUNT(values)), cases[i].ids) != 0)
            fail_msg("%s, index %s: %s", f, cases[i].index != NULL ? cases[i].index : "none",
                     which(f, values, SX_COUNT(values)));
    }
}

static void test_geo_clauses(void **state)
{
    static const char both[] =
        "\"geo_bounding_box\":{\"top_left\":{\"lon\":0,\"lat\":2},\"bottom_right\":{\"lon\":2,"
        "\"lat\":0}},\"geo_radius\":{\"center\":{\"lon\":10,\"lat\":10},\"radius\":1000}";
    static const char *const values[] = {"{\"g\":{\"lon\":1,\"lat\":1}}",
                                         "{\"g\":{\"lon\":10,\"lat\":10}}",
                                         "{\"g\":[{\"lon\":99,\"lat\":9},{\"lon\":1.5,\"lat\":1}]}",
                                         "{\"g\":{\"lon\":370,\"lat\":10}}", "{\"g\":[1,10]}"};

    (void)state;
    indexes(NULL);
    assert_string_equal(which(field("g", both), values, 5), "1 2 3 4");
    indexes("{\"g\":\"geo\"}"); /* the box comes first; places out of range are left out */
    assert_string_equal(which(field("g", both), values, 5), "1 3");
    assert_string_equal(
        which(field("g", "\"geo_radius\":{\"center\":{\"lon\":10,\"lat\":10},\"radius\":1000}"),
              values, 5),
        "2");
}

/* --- indexes ----------------------------------------------------------------------------- */

static void test_integer_index(void **state)
{
    static const char *const values[] = {"{\"k\":9223372036854775807}",
                                         "{\"k\":9223372036854775808}",
                                         "{\"k\":9223372036854775808.0}",
                                         "{\"k\":-9223372036854775808}",
                                         "{\"k\":-9.3e18}",
                                         "{\"k\":9007199254740992}",
                                         "{\"k\":9007199254740993}",
                                         "{\"k\":-0.0}",
                                         "{\"k\":0}",
                                         "{\"k\":3.5}",
                                         "{\"k\":\"0\"}",
                                         "{\"k\":[0.5,1.0]}"};
    static const struct {
        const char *clause, *plain, *index;
    } cases[] = {
        {"\"match\":{\"value\":9223372036854775807}", "1", "1 2 3"},
        {"\"match\":{\"value\":0}", "9", "8 9"},
        {"\"match\":{\"any\":[1,0]}", "9", "8 9 12"},
        {"\"match\":{\"except\":[0,9223372036854775807]}", "2 3 4 5 6 7 8 10 11 12", "4 6 7 12"},
        {"\"match\":{\"except\":[]}", "1 2 3 4 5 6 7 8 9 10 11 12", "1 2 3 4 5 6 7 8 9 10 11 12"},
        {"\"range\":{\"gt\":9007199254740992}", "1 2 3", "1 2 3 7"},
        {"\"range\":{\"gte\":9007199254740992}", "1 2 3 6 7", "1 2 3 6 7"},
        {"\"range\":{\"lt\":9223372036854775808}", "4 5 6 7 8 9 10 12", "4 6 7 8 9 12"},
        {"\"range\":{\"lte\":1e300,\"gt\":3}", "1 2 3 6 7 10", "1 2 3 6 7"},
        {"\"range\":{\"lt\":1e300,\"gt\":3}", "1 2 3 6 7 10", "6 7"},
        {"\"range\":{\"gt\":-1e300,\"lt\":-0.5}", "4 5", ""},
        {"\"range\":{\"gte\":-1e300,\"lt\":-0.5}", "4 5", "4"},
        {"\"range\":{\"gt\":-9.3e18,\"lt\":-0.5}", "4", ""},
        {"\"range\":{\"lte\":-9.3e18}", "5", "4"},
        {"\"range\":{\"gt\":0,\"gte\":0,\"lt\":1}", "12", ""},
        {"\"range\":{\"gte\":0,\"lt\":1,\"lte\":1}", "8 9 12", "8 9"},
        {"\"range\":{\"gt\":0.5,\"lte\":3.7}", "10 12", "12"},
        {"\"range\":{\"gte\":0.5,\"lt\":0.9}", "12", ""},
        {"\"range\":{\"gt\":0,\"gte\":2}", "1 2 3 6 7 10", "1 2 3 6 7"},
        {"\"range\":{\"lt\":9,\"lte\":0,\"gte\":0}", "8 9", "8 9"},
        {"\"range\":{}", "1 2 3 4 5 6 7 8 9 10 12", "1 2 3 4 6 7 8 9 12"},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("k", cases[i].clause);
        int is_range = strncmp(cases[i].clause, "\"range", 6) == 0;

        indexes(NULL);
        if (strcmp(which(f, values, SX_COUNT(values)), cases[i].plain) != 0)
            fail_msg("%s: %s", f, which(f, values, SX_COUNT(values)));
        indexes("{\"k\":\"integer\"}");
        if (strcmp(which(f, values, SX_COUNT(values)), cases[i].index) != 0)
            fail_msg("%s, index: %s", f, which(f, values, SX_COUNT(values)));
        /* What an index cannot do is done without it. */
        indexes("{\"k\":{\"type\":\"integer\",\"lookup\":false}}");
        assert_string_equal(which(f, values, SX_COUNT(values)),
                            is_range ? cases[i].index : cases[i].plain);
        indexes("{\"k\":{\"type\":\"integer\",\"range\":false}}");
        assert_string_equal(which(f, values, SX_COUNT(values)),
                            is_range ? cases[i].plain : cases[i].index);
        indexes("{\"k\":\"float\"}");
        assert_string_equal(which(f, values, SX_COUNT(values)), cases[i].plain);
    }
}

#define U "550e8400-e29b-41d4-a716-446655440000"

static void test_string_indexes(void **state)
{
    static const char *const values[] = {"{\"k\":\"" U "\"}",
                                         "{\"k\":\"550E8400-E29B-41D4-A716-446655440000\"}",
                                         "{\"k\":\"{" U "}\"}",
                                         "{\"k\":\"x\"}",
                                         "{\"k\":[\"x\",\"" U "\"]}",
                                         "{\"k\":\"650e8400e29b41d4a716446655440000\"}",
                                         "{\"k\":5}",
                                         "{\"k\":null}",
                                         "{\"k\":[null,true]}"};
    static const struct {
        const char *clause, *plain, *keyword, *uuid;
    } cases[] = {
        {"\"match\":{\"value\":\"" U "\"}", "1 5", "1 5", "1 2 3 5"},
        {"\"match\":{\"value\":\"urn:uuid:" U "\"}", "", "", "1 2 3 5"},
        {"\"match\":{\"value\":\"x\"}", "4 5", "4 5", "4 5"},
        {"\"match\":{\"any\":[\"" U "\"]}", "1 5", "1 5", "1 2 3 5"},
        {"\"match\":{\"any\":[\"" U "\",\"x\"]}", "1 4 5", "1 4 5", "1 4 5"},
        {"\"match\":{\"any\":[]}", "", "", ""},
        {"\"match\":{\"except\":[\"" U "\"]}", "2 3 4 5 6 7 9", "2 3 4 5 6", "6"},
        {"\"match\":{\"except\":[\"" U "\",\"x\"]}", "2 3 6 7 9", "2 3 6", "2 3 6 7 9"},
        {"\"match\":{\"except\":[]}", "1 2 3 4 5 6 7 9", "1 2 3 4 5 6", "1 2 3 5 6"},
        {"\"match\":{\"except\":[5]}", "1 2 3 4 5 6 9", "1 2 3 4 5 6 9", "1 2 3 4 5 6 9"},
        {"\"match\":{\"prefix\":\"5\"}", "1 2 5", "1 2 5", "1 2 5"},
        {"\"match\":{\"substring\":\"0E8\"}", "2", "2", "2"},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("k", cases[i].clause);

        indexes(NULL);
        assert_string_equal(which(f, values, SX_COUNT(values)), cases[i].plain);
        indexes("{\"k\":\"keyword\"}");
        assert_string_equal(which(f, values, SX_COUNT(values)), cases[i].keyword);
        indexes("{\"k\":\"uuid\"}");
        assert_string_equal(which(f, values, SX_COUNT(values)), cases[i].uuid);
        indexes("{\"k[]\":\"uuid\"}"); /* another path */
        assert_string_equal(which(f, values, SX_COUNT(values)), cases[i].plain);
    }
}

static void test_times(void **state)
{
    static const char *const values[] = {"{\"d\":\"2024-01-01T00:00:00.0000001Z\"}",
                                         "{\"d\":\"2024-01-01T00:00:00.000001Z\"}",
                                         "{\"d\":\"2024-01-01T00:00:00.0000019Z\"}",
                                         "{\"d\":\"2024-01-01T00:00:00Z\"}",
                                         "{\"d\":\"1969-12-31T23:59:59.9999995Z\"}",
                                         "{\"d\":\"2024-01-01T01:00:00+01:00\"}",
                                         "{\"d\":1704067200000001}",
                                         "{\"d\":-1}",
                                         "{\"d\":1704067200000001.5}",
                                         "{\"d\":\"soon\"}",
                                         "{\"d\":[\"x\",\"1970-01-01\"]}",
                                         "{\"d\":\"2023-12-31T23:59:60Z\"}"};
    static const struct {
        const char *clause, *plain, *datetime, *integer, *flt;
    } cases[] = {
        {"\"range\":{\"gt\":\"2024-01-01\"}", "1 2 3", "2 3", "7", "7 9"},
        {"\"range\":{\"lte\":\"2024-01-01T00:00:00.0000005Z\",\"gte\":\"2023-12-31\"}", "1 4 6 12",
         "1 4 6 12", "", ""},
        {"\"range\":{\"gte\":\"2024-01-01T00:00:00.0000015Z\"}", "3", "2 3", "7", "7 9"},
        {"\"range\":{\"gte\":\"2024-01-01T00:00:00.0000001Z\",\"lt\":\"2024-01-01T00:00:00."
         "0000002Z\"}",
         "1", "", "", ""},
        {"\"range\":{\"lt\":\"1970-01-01\"}", "5", "5", "8", "8"},
        {"\"range\":{\"gte\":\"1969-12-31T23:59:59.9999995Z\",\"lte\":\"1969-12-31T23:59:59."
         "9999995Z\"}",
         "5", "5", "8", "8"},
        {"\"range\":{\"lt\":\"2024-01-01\",\"gt\":\"2023-12-31T23:59:59.9\"}", "12", "", "", ""},
        {"\"range\":{\"gt\":1704067200000000,\"lte\":1704067200000001}", "7", "2 3", "7", "7"},
        {"\"range\":{\"lt\":-0.5}", "8", "5", "8", "8"},
        {"\"range\":{\"gte\":-0.5,\"lt\":0.5}", "", "11", "", ""},
        {"\"range\":{\"gt\":\"2024-01-01\",\"lt\":\"2023-01-01\"}", "", "", "", ""},
        {"\"range\":{\"lt\":\"1970-01-01\",\"lte\":\"1970-01-01\"}", "5", "5", "8", "8"},
        {"\"range\":{\"gt\":\"1970-01-01\",\"gte\":\"1970-01-01\",\"lt\":\"1971-01-01\"}", "", "",
         "", ""},
        {"\"range\":{\"gte\":\"1970-01-01\",\"lt\":\"1970-01-01T00:00:00.5Z\",\"lte\":\"1970-01-"
         "01\"}",
         "11", "11", "", ""},
        {"\"range\":{}", "7 8 9", "1 2 3 4 5 6 11 12", "7 8", "7 8 9"},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("d", cases[i].clause);
        const char *const want[] = {cases[i].plain, cases[i].datetime, cases[i].integer,
                                    cases[i].flt};
        const char *const index[] = {NULL, "{\"d\":\"datetime\"}", "{\"d\":\"integer\"}",
                                     "{\"d\":\"float\"}"};

        for (int k = 0; k < 4; k++) {
            indexes(index[k]);
            if (strcmp(which(f, values, SX_COUNT(values)), want[k]) != 0)
                fail_msg("%s, index %s: %s", f, index[k] != NULL ? index[k] : "none",
                         which(f, values, SX_COUNT(values)));
        }
    }
}

/* --- text -------------------------------------------------------------------------------- */

static void test_text(void **state)
{
    static const char *const values[] = {
        "{\"t\":\"Hello World\"}",     "{\"t\":\"hello-world\"}",
        "{\"t\":\"worldwide\"}",       "{\"t\":[\"hello\",\"world\"]}",
        "{\"t\":\"world, hello\"}",    "{\"t\":5}",
        "{\"t\":\"hello big world\"}", "{\"t\":\"\"}"};
    static const struct {
        const char *clause, *plain, *index, *phrases;
    } cases[] = {
        {"\"match\":{\"text\":\"WORLD\"}", "1 2 4 5 7", "1 2 4 5 7", "1 2 4 5 7"},
        {"\"match\":{\"text\":\"wor\"}", "", "", ""},
        {"\"match\":{\"text\":\"\"}", "", "", ""},
        {"\"match\":{\"text\":\" !? \"}", "", "", ""},
        {"\"match\":{\"text\":\"world hello\"}", "1 2 5 7", "1 2 4 5 7", "1 2 4 5 7"},
        {"\"match\":{\"text\":\"world hello world world\"}", "1 2 5 7", "1 2 4 5 7", "1 2 4 5 7"},
        {"\"match\":{\"text\":\"hello zzz\"}", "", "", ""},
        {"\"match\":{\"text_any\":\"world zzz\"}", "1 2 4 5 7", "1 2 4 5 7", "1 2 4 5 7"},
        {"\"match\":{\"text_any\":\"\"}", "", "", ""},
        {"\"match\":{\"phrase\":\"hello world\"}", "1 2", "", "1 2"},
        {"\"match\":{\"phrase\":\"world hello\"}", "5", "", "5"},
        {"\"match\":{\"phrase\":\"worldwide\"}", "3", "", "3"},
        {"\"match\":{\"phrase\":\"\"}", "", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = field("t", cases[i].clause);
        const char *const want[] = {cases[i].plain, cases[i].plain, cases[i].index,
                                    cases[i].phrases};
        const char *const index[] = {NULL, "{\"t\":\"keyword\"}", "{\"t\":\"text\"}",
                                     "{\"t\":{\"type\":\"text\",\"phrase_matching\":true}}"};

        for (int k = 0; k < 4; k++) {
            indexes(index[k]);
            if (strcmp(which(f, values, SX_COUNT(values)), want[k]) != 0)
                fail_msg("%s, index %s: %s", f, index[k] != NULL ? index[k] : "none",
                         which(f, values, SX_COUNT(values)));
        }
    }
}

/* Phrases whose beginnings come again inside of them. */
static void test_phrases(void **state)
{
    (void)state;
    indexes(NULL);
    IS(field("t", "\"match\":{\"phrase\":\"a b a c\"}"), "{\"t\":\"a b a b a c\"}");
    IS(field("t", "\"match\":{\"phrase\":\"a a b\"}"), "{\"t\":\"a a a b\"}");
    NOT(field("t", "\"match\":{\"phrase\":\"a a b\"}"), "{\"t\":\"a b a b a\"}");
    IS(field("t", "\"match\":{\"phrase\":\"a b a b b\"}"), "{\"t\":\"a b a b a b b\"}");
    IS(field("t", "\"match\":{\"phrase\":\"a a b a a a c\"}"), "{\"t\":\"a a b a a a b a a a c\"}");
    NOT(field("t", "\"match\":{\"phrase\":\"a b\"}"), "{\"t\":[\"a\",\"b\"]}");
    NOT(field("t", "\"match\":{\"phrase\":\"x y\"}"), "{\"t\":[\"z x\",\"y\"]}");
}

/* The index's own analysis, on its path only. */
static void test_analyzers(void **state)
{
    (void)state;
    indexes("{\"t\":{\"type\":\"text\",\"tokenizer\":\"whitespace\",\"lowercase\":false},"
            "\"p\":{\"type\":\"text\",\"tokenizer\":\"prefix\",\"min_token_len\":2}}");
    IS(field("t", "\"match\":{\"text\":\"fox-quick\"}"), "{\"t\":\"the fox-quick\"}");
    NOT(field("t", "\"match\":{\"text\":\"fox\"}"), "{\"t\":\"the fox-quick\"}");
    NOT(field("t", "\"match\":{\"text\":\"The\"}"), "{\"t\":\"the fox-quick\"}");
    IS(field("u", "\"match\":{\"text\":\"The\"}"), "{\"u\":\"the fox-quick\"}");
    IS(field("p", "\"match\":{\"text\":\"wor\"}"), "{\"p\":\"hello worldwide\"}");
    NOT(field("p", "\"match\":{\"text\":\"orld\"}"), "{\"p\":\"hello worldwide\"}");
    /* Compounds of program text count in documents, not in sequences. */
    indexes("{\"c\":{\"type\":\"text\",\"tokenizer\":\"code\",\"phrase_matching\":true}}");
    IS(field("c", "\"match\":{\"text\":\"getusername\"}"), "{\"c\":\"call getUserName of it\"}");
    IS(field("c", "\"match\":{\"text\":\"GetUserName\"}"), "{\"c\":\"call getUserName of it\"}");
    IS(field("c", "\"match\":{\"phrase\":\"call get user\"}"),
       "{\"c\":\"call getUserName of it\"}");
    IS(field("c", "\"match\":{\"phrase\":\"name of\"}"), "{\"c\":\"call getUserName of it\"}");
    NOT(field("c", "\"match\":{\"phrase\":\"call getusername\"}"),
        "{\"c\":\"call getUserName of it\"}");
}

/* --- nested ------------------------------------------------------------------------------ */

#define NESTED(key, filter) "{\"must\":[{\"nested\":{\"key\":\"" key "\",\"filter\":" filter "}}]}"
#define WITHOUT(key, filter)                                                                       \
    "{\"must_not\":[{\"nested\":{\"key\":\"" key "\",\"filter\":" filter "}}]}"

static void test_nested(void **state)
{
    static const char *const values[] = {"{\"a\":[{\"x\":1,\"y\":1},{\"x\":2,\"y\":2}]}",
                                         "{\"a\":[{\"x\":1,\"y\":2}]}",
                                         "{\"a\":[{\"x\":2}]}",
                                         "{\"a\":[]}",
                                         "{}",
                                         "{\"a\":{\"x\":1,\"y\":2}}",
                                         "{\"a\":[5,null,[{\"x\":1,\"y\":2}]]}",
                                         "{\"a\":[{}]}",
                                         "{\"b\":{\"a\":[{\"x\":1,\"y\":2}]}}"};
    static const char x1y2[] = "{\"must\":[{\"key\":\"x\",\"match\":{\"value\":1}},{\"key\":\"y\","
                               "\"match\":{\"value\":2}}]}";
    static const struct {
        const char *key, *filter, *ids;
    } cases[] = {
        {"a", x1y2, "2"},
        {"a[]", x1y2, "2"},
        {"b.a", x1y2, "9"},
        {"a", "{}", "1 2 3 8"},
        {"a", "{\"must\":[]}", "1 2 3 8"},
        {"a", "{\"should\":[]}", ""},
        {"a", "{\"must\":[{\"should\":[]}]}", ""},
        {"a", "{\"min_should\":{\"conditions\":[],\"min_count\":1}}", ""},
        {"a", "{\"must_not\":[{\"key\":\"x\",\"match\":{\"value\":1}}]}", "1 3 8"},
        {"a", "{\"must\":[{\"is_empty\":{\"key\":\"y\"}}]}", "3 8"},
        {"a", "{\"must\":[{\"has_id\":[7]}]}", ""},
        {"a", "{\"must_not\":[{\"has_id\":[7]}]}", "1 2 3 8"},
        {"a", "{\"must\":[{\"has_vector\":\"v\"}]}", ""},
        {"a", "{\"must\":[{\"slice\":{\"total\":1,\"index\":0}}]}", ""},
    };

    (void)state;
    indexes(NULL);
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *f = text("{\"must\":[{\"nested\":{\"key\":\"%s\",\"filter\":%s}}]}",
                             cases[i].key, cases[i].filter);

        if (strcmp(which(f, values, SX_COUNT(values)), cases[i].ids) != 0)
            fail_msg("%s: %s", f, which(f, values, SX_COUNT(values)));
    }
    assert_string_equal(
        which(WITHOUT("a", "{\"must\":[{\"key\":\"x\",\"match\":{\"value\":1}}]}"), values, 9),
        "3 4 5 6 7 8 9");
    /* Nested in nested, and across arrays. */
    IS(NESTED("a", "{\"must\":[{\"nested\":{\"key\":\"b\",\"filter\":{\"must\":[{\"key\":\"c\","
                   "\"match\":{\"value\":1}}]}}},{\"key\":\"d\",\"match\":{\"value\":2}}]}"),
       "{\"a\":[{\"b\":[{\"c\":5},{\"c\":1}],\"d\":2}]}");
    NOT(NESTED("a", "{\"must\":[{\"nested\":{\"key\":\"b\",\"filter\":{\"must\":[{\"key\":\"c\","
                    "\"match\":{\"value\":1}}]}}},{\"key\":\"d\",\"match\":{\"value\":2}}]}"),
        "{\"a\":[{\"b\":[{\"c\":1}]},{\"b\":[{\"c\":5}],\"d\":2}]}");
    IS(NESTED("a[].b", "{\"must\":[{\"key\":\"c\",\"match\":{\"value\":1}}]}"),
       "{\"a\":[{\"b\":[{\"c\":5}]},{\"b\":[{\"c\":1}]}]}");
    NOT(NESTED("a.b", "{\"must\":[{\"key\":\"c\",\"match\":{\"value\":1}}]}"),
        "{\"a\":[{\"b\":[{\"c\":1}]}]}");
}

/* Inside of nested an index changes nothing but the analysis of text. */
static void test_nested_with_index(void **state)
{
    static const char *const index[] = {"{\"a[].n\":\"integer\"}",
                                        "{\"a[].n\":{\"type\":\"integer\",\"nested\":\"a\"}}"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        indexes(index[i]);
        NOT(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":3}}]}"),
            "{\"a\":[{\"n\":3.0}]}");
        IS(NESTED("a", "{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":3}}]}"),
           "{\"a\":[{\"n\":3.5}]}");
        IS(NESTED("a", "{\"must\":[{\"is_empty\":{\"key\":\"n\"}}]}"), "{\"a\":[{\"n\":1},{}]}");
        IS(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"except\":[1]}}]}"),
           "{\"a\":[{\"n\":\"x\"}]}");
        IS(field("a[].n", "\"match\":{\"value\":3}"), "{\"a\":[{\"n\":3.0}]}");
    }
    indexes("{\"a[].n\":{\"type\":\"text\",\"tokenizer\":\"whitespace\"}}");
    IS(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"text\":\"a-b\"}}]}"),
       "{\"a\":[{\"n\":\"x A-B\"}]}");
    NOT(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"text\":\"a-b\"}}]}"),
        "{\"a\":[{\"n\":\"x a b\"}]}");
    NOT(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"text\":\"a b\"}}]}"),
        "{\"a\":[{\"n\":[\"a\",\"b\"]}]}");
    IS(field("a[].n", "\"match\":{\"text\":\"a b\"}"), "{\"a\":[{\"n\":\"a\"},{\"n\":\"b\"}]}");
    /* The elements are the entries of the index: their texts are taken together. */
    indexes("{\"a[].n\":{\"type\":\"text\",\"nested\":\"a\"}}");
    IS(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"text\":\"a b\"}}]}"),
       "{\"a\":[{\"n\":[\"a\",\"b\"]}]}");
    NOT(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"text\":\"a b\"}}]}"),
        "{\"a\":[{\"n\":\"a\"},{\"n\":\"b\"}]}");
    NOT(NESTED("a", "{\"must\":[{\"key\":\"n\",\"match\":{\"phrase\":\"a b\"}}]}"),
        "{\"a\":[{\"n\":\"a b\"}]}");
}

/* Indexes over the elements of an array: the table of the contract. */
static void test_element_index(void **state)
{
    static const char *const values[] = {"{\"o\":[{\"p\":10},{\"p\":20}]}",
                                         "{\"o\":[{\"p\":10}]}",
                                         "{\"o\":[]}",
                                         "{}",
                                         "{\"o\":null}",
                                         "{\"o\":[{\"c\":1}]}",
                                         "{\"o\":{\"p\":10}}",
                                         "{\"o\":[{\"p\":[10,20]}]}",
                                         "{\"o\":[9,\"x\",{\"p\":10}]}",
                                         "{\"o\":[{\"p\":null},{\"p\":20}]}",
                                         "{\"o\":[[{\"p\":10}]]}",
                                         "{\"o\":[{\"p\":[]},{\"p\":20}]}"};
    static const struct {
        const char *filter, *none, *plain, *nested;
    } cases[] = {
        {EMPTY("o[].p"), "3 4 5 6 7 11", "3 4 5 6 7 11", "6 10 12"},
        {"{\"must\":[{\"key\":\"o[].p\",\"is_empty\":true}]}", "3 4 5 6 7 10 11 12", "3 4 5 6 7 11",
         "6 10 12"},
        {"{\"must\":[{\"key\":\"o[].p\",\"is_empty\":false}]}", "1 2 8 9 10 12", "1 2 8 9 10 12",
         "1 2 8 9 10 12"},
        {NIL("o[].p"), "10", "10", "10"},
        {"{\"must\":[{\"key\":\"o[].p\",\"match\":{\"value\":10}}]}", "1 2 8 9", "1 2 8 9",
         "1 2 8 9"},
        {"{\"must\":[{\"key\":\"o[].p\",\"is_null\":false}]}", "1 2 3 4 5 6 7 8 9 10 11 12",
         "1 2 3 4 5 6 7 8 9 11 12", "1 2 6 8 9 10 12"},
        {"{\"must\":[{\"key\":\"o[].p\",\"values_count\":{\"lt\":1}}]}", "3 4 5 6 7 10 11 12",
         "3 4 5 6 7 10 11 12", "3 4 5 6 7 10 11 12"},
        {NESTED("o", "{\"must\":[{\"is_empty\":{\"key\":\"p\"}}]}"), "6 10 12", "6 10 12",
         "6 10 12"},
    };
    static const char *const index[] = {NULL, "{\"o[].p\":\"integer\"}",
                                        "{\"o[].p\":{\"type\":\"integer\",\"nested\":\"o\"}}"};

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const char *const want[] = {cases[i].none, cases[i].plain, cases[i].nested};

        for (int k = 0; k < 3; k++) {
            indexes(index[k]);
            if (strcmp(which(cases[i].filter, values, SX_COUNT(values)), want[k]) != 0)
                fail_msg("%s, index %d: %s", cases[i].filter, k,
                         which(cases[i].filter, values, SX_COUNT(values)));
        }
    }
    /* Tokens are pooled within one element. */
    indexes("{\"x.o[].t\":{\"type\":\"text\",\"nested\":\"x.o\"}}");
    NOT(field("x.o[].t", "\"match\":{\"text\":\"quick dog\"}"),
        "{\"x\":{\"o\":[{\"t\":\"quick fox\"},{\"t\":\"lazy dog dog\"}]}}");
    IS(field("x.o[].t", "\"match\":{\"text\":\"quick dog\"}"),
       "{\"x\":{\"o\":[{\"t\":\"fox\"},{\"t\":[\"quick\",\"dog\"]}]}}");
    indexes("{\"x.o[].t\":{\"type\":\"text\"}}");
    IS(field("x.o[].t", "\"match\":{\"text\":\"quick dog\"}"),
       "{\"x\":{\"o\":[{\"t\":\"quick fox\"},{\"t\":\"lazy dog dog\"}]}}");
}

/* --- what compile makes ------------------------------------------------------------------ */

static const struct eng_leaf *leaf_of(const char *filter)
{
    const struct eng_filter *f = compiled(filter);

    assert_int_equal(f->root->kind, ENG_NODE_LEAF);
    return f->root->leaf;
}

static const char *path_text(const struct sx_path *p)
{
    struct sx_buf b;
    const char *s;

    sx_buf_init(&b, sx_mem_libc());
    sx_path_print(p, &b);
    s = sx_arena_strdup(&arena, b.p, b.n);
    sx_buf_fini(&b);
    return s;
}

static void test_leaves(void **state)
{
    static const struct {
        const char *clause;
        uint32_t kind, modes; /* modes: bit per index of the list below that answers */
    } cases[] = {
        {"\"match\":{\"value\":\"x\"}", ENG_LEAF_MATCH, 1u << 0},
        {"\"match\":{\"value\":\"" U "\"}", ENG_LEAF_MATCH, 1u << 0 | 1u << 1},
        {"\"match\":{\"prefix\":\"x\"}", ENG_LEAF_MATCH, 1u << 0},
        {"\"match\":{\"except\":[\"x\"]}", ENG_LEAF_MATCH, 1u << 0},
        {"\"match\":{\"value\":1}", ENG_LEAF_MATCH, 1u << 2 | 1u << 4},
        {"\"match\":{\"except\":[1]}", ENG_LEAF_MATCH, 1u << 2 | 1u << 4},
        {"\"match\":{\"value\":true}", ENG_LEAF_MATCH, 1u << 7},
        {"\"match\":{\"text\":\"x\"}", ENG_LEAF_MATCH, 1u << 8},
        {"\"range\":{\"gt\":1}", ENG_LEAF_RANGE, 1u << 2 | 1u << 3 | 1u << 5 | 1u << 6},
        {"\"range\":{\"gt\":\"2024-01-01\"}", ENG_LEAF_RANGE,
         1u << 2 | 1u << 3 | 1u << 5 | 1u << 6},
        {"\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":1},\"radius\":1}", ENG_LEAF_GEO, 1u << 9},
        {"\"is_empty\":true", ENG_LEAF_IS_EMPTY, 0x3ff},
        {"\"is_null\":false", ENG_LEAF_IS_NULL, 0x3ff},
        {"\"values_count\":{\"gt\":1}", ENG_LEAF_VALUES_COUNT, 0},
    };
    static const char *const index[] = {"\"keyword\"",
                                        "\"uuid\"",
                                        "\"integer\"",
                                        "{\"type\":\"integer\",\"lookup\":false}",
                                        "{\"type\":\"integer\",\"range\":false}",
                                        "\"float\"",
                                        "\"datetime\"",
                                        "\"bool\"",
                                        "\"text\"",
                                        "\"geo\""};

    (void)state;
    for (uint32_t k = 0; k < SX_COUNT(index); k++) {
        indexes(text("{\"k.l\":%s}", index[k]));
        for (size_t i = 0; i < SX_COUNT(cases); i++) {
            const struct eng_leaf *l = leaf_of(field("k.\\\"l\\\"", cases[i].clause));

            assert_int_equal(l->kind, cases[i].kind);
            assert_ptr_equal(l->schema, &schemas.list[0]);
            if ((l->mode == ENG_LEAF_INDEXED) != (cases[i].modes >> k & 1))
                fail_msg("%s with %s: mode %u", cases[i].clause, index[k], l->mode);
            assert_int_equal(l->skip, 0);
            assert_int_equal(l->unit, 0);
            assert_string_equal(path_text(&l->path), "k.l");
        }
    }
}

static void test_inner_leaves(void **state)
{
    static const struct {
        const char *index, *clause;
        uint32_t mode;
    } cases[] = {
        {"\"keyword\"", "\"match\":{\"value\":\"x\"}", ENG_LEAF_COVERED},
        {"\"keyword\"", "\"match\":{\"except\":[\"x\"]}", ENG_LEAF_PLAIN},
        {"\"keyword\"", "\"match\":{\"substring\":\"x\"}", ENG_LEAF_COVERED},
        {"\"uuid\"", "\"match\":{\"value\":\"" U "\"}", ENG_LEAF_COVERED},
        {"\"uuid\"", "\"match\":{\"value\":\"x\"}", ENG_LEAF_PLAIN},
        {"\"integer\"", "\"match\":{\"any\":[1,2]}", ENG_LEAF_COVERED},
        {"\"integer\"", "\"range\":{\"gt\":1}", ENG_LEAF_PLAIN},
        {"\"float\"", "\"range\":{\"gt\":1}", ENG_LEAF_COVERED},
        {"\"float\"", "\"range\":{\"gt\":\"2024-01-01\"}", ENG_LEAF_PLAIN},
        {"\"datetime\"", "\"range\":{\"gt\":\"2024-01-01\"}", ENG_LEAF_COVERED},
        {"\"datetime\"", "\"range\":{\"gt\":1}", ENG_LEAF_PLAIN},
        {"\"text\"", "\"match\":{\"text\":\"x\"}", ENG_LEAF_COVERED},
        {"\"text\"", "\"match\":{\"phrase\":\"x\"}", ENG_LEAF_PLAIN},
        {"{\"type\":\"text\",\"phrase_matching\":true}", "\"match\":{\"phrase\":\"x\"}",
         ENG_LEAF_COVERED},
        {"\"geo\"", "\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":1},\"radius\":1}",
         ENG_LEAF_INDEXED},
        {"\"keyword\"", "\"is_empty\":true", ENG_LEAF_PLAIN},
        {"{\"type\":\"keyword\",\"nested\":\"a\"}", "\"match\":{\"value\":\"x\"}",
         ENG_LEAF_COVERED},
        {"{\"type\":\"integer\",\"nested\":\"a\"}", "\"match\":{\"value\":1}", ENG_LEAF_COVERED},
        {"{\"type\":\"integer\",\"nested\":\"a\"}", "\"is_null\":true", ENG_LEAF_PLAIN},
    };

    (void)state;
    for (size_t i = 0; i < SX_COUNT(cases); i++) {
        const struct eng_leaf *l;

        indexes(text("{\"a[].b.c\":%s}", cases[i].index));
        l = leaf_of(text(NESTED("a", "{\"must\":[{\"key\":\"b.c\",%s}]}"), cases[i].clause));
        assert_int_equal(l->kind, ENG_LEAF_NESTED);
        assert_string_equal(path_text(&l->path), "a[]");
        assert_int_equal(l->inner->kind, ENG_NODE_LEAF);
        l = l->inner->leaf;
        assert_string_equal(path_text(&l->path), "a[].b.c");
        assert_int_equal(l->skip, 2);
        assert_int_equal(l->unit, 0);
        assert_ptr_equal(l->schema, &schemas.list[0]);
        if (l->mode != cases[i].mode)
            fail_msg("%s with %s: mode %u", cases[i].clause, cases[i].index, l->mode);
    }
    indexes("{\"x.a[].b\":{\"type\":\"keyword\",\"nested\":\"x.a\"}}");
    assert_int_equal(leaf_of(field("x.a[].b", "\"match\":{\"value\":\"x\"}"))->unit, 3);
}

static void test_operands(void **state)
{
    const struct eng_prep_strings *s;
    const struct eng_prep_range *r;
    const struct eng_prep_ints *n;
    const struct eng_prep_tokens *t;

    (void)state;
    indexes("{\"u\":\"uuid\",\"i\":\"integer\",\"d\":\"datetime\",\"a[].d\":\"datetime\"}");
    s = leaf_of(field("k", "\"match\":{\"any\":[\"b\",\"a\",\"ab\",\"b\",\"\"]}"))->prep;
    assert_int_equal(s->n, 4);
    assert_int_equal(s->strs[0].n, 0);
    assert_memory_equal(s->strs[1].p, "a", 1);
    assert_memory_equal(s->strs[2].p, "ab", 2);
    assert_memory_equal(s->strs[3].p, "b", 1);
    assert_false(s->is_uuid);
    s = leaf_of(field("u", "\"match\":{\"any\":[\"" U "\",\"{" U "}\"]}"))->prep;
    assert_true(s->is_uuid);
    assert_int_equal(s->n, 2);
    assert_int_equal(s->n_uuids, 1);
    n = leaf_of(field("i", "\"match\":{\"except\":[3,-1,3]}"))->prep;
    assert_int_equal(n->n, 2);
    assert_int_equal(n->ints[0], -1);
    r = leaf_of(field("i", "\"range\":{\"gt\":1.5,\"lte\":7.5}"))->prep;
    assert_true(r->is_int && !r->is_time);
    assert_int_equal(r->lo, 2);
    assert_int_equal(r->hi, 7);
    r = leaf_of(field("d", "\"range\":{\"gt\":\"1970-01-01T00:00:00.0000015Z\"}"))->prep;
    assert_true(r->is_int && r->is_time);
    assert_int_equal(r->lo, 2);
    assert_int_equal(r->hi, INT64_MAX);
    /* For an index that only narrows down, what lies in the same microsecond is kept. */
    r = leaf_of(NESTED("a", "{\"must\":[{\"key\":\"d\",\"range\":{\"gt\":\"1970-01-01T00:00:00."
                            "0000015Z\",\"lt\":\"1970-01-01T00:00:00.000003Z\"}}]}"))
            ->inner->leaf->prep;
    assert_int_equal(r->lo, 1);
    assert_int_equal(r->hi, 3);
    IS(NESTED("a",
              "{\"must\":[{\"key\":\"d\",\"range\":{\"gt\":\"1970-01-01T00:00:00.0000015Z\"}}]}"),
       "{\"a\":[{\"d\":\"1970-01-01T00:00:00.0000016Z\"}]}");
    t = leaf_of(field("k", "\"match\":{\"text\":\"b a b\"}"))->prep;
    assert_int_equal(t->n, 2);
    assert_memory_equal(t->tokens[0].p, "a", 1);
    t = leaf_of(field("k", "\"match\":{\"phrase\":\"b a b\"}"))->prep;
    assert_int_equal(t->n, 3);
    assert_int_equal(t->border[2], 1);
}

/* --- memory ------------------------------------------------------------------------------ */

struct short_mem {
    struct sx_mem mem;
    int left, calls;
};

static void *short_alloc(const struct sx_mem *self, uint64_t n)
{
    struct short_mem *m = self->tag;

    m->calls++;
    return m->left-- > 0 ? malloc(n) : NULL;
}

static void *short_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    struct short_mem *m = self->tag;

    m->calls++;
    return m->left-- > 0 ? realloc(p, n) : NULL;
}

static void short_release(const struct sx_mem *self, void *p)
{
    (void)self;
    free(p);
}

static void short_init(struct short_mem *m, int left)
{
    *m = (struct short_mem){.mem = {.size = sizeof(m->mem),
                                    .alloc = short_alloc,
                                    .resize = short_resize,
                                    .release = short_release},
                            .left = left};
    m->mem.tag = m;
}

static const char everything[] =
    "{\"must\":[{\"key\":\"t\",\"match\":{\"text\":\"the quick brown fox jumps\"}},"
    "{\"key\":\"t\",\"match\":{\"phrase\":\"quick brown\"}},"
    "{\"key\":\"k\",\"match\":{\"any\":[\"a\",\"b\"]},\"range\":{\"gt\":1}},"
    "{\"nested\":{\"key\":\"a\",\"filter\":{\"must_not\":[{\"key\":\"x\",\"range\":{\"gt\":"
    "\"2024-01-01\"}}]}}}],\"should\":[{\"has_id\":[1,7]},{\"is_empty\":{\"key\":\"k\"}}],"
    "\"min_should\":{\"min_count\":2,\"conditions\":[{\"key\":\"g\",\"geo_radius\":{\"center\":"
    "{\"lon\":1,\"lat\":1},\"radius\":1}},{\"key\":\"u\",\"match\":{\"value\":\"" U "\"}},"
    "{\"key\":\"i\",\"match\":{\"except\":[1]}}]}}";
static const char fitting[] =
    "{\"t\":\"The quick brown fox jumps\",\"k\":[\"b\"],\"a\":[{\"x\":\"2023-01-01\"}],"
    "\"u\":\"" U "\",\"i\":5}";

static void test_short_memory(void **state)
{
    const struct sx_filter *f = fj_filter(&arena, fj_doc(&arena, everything));
    struct eng_schemas lookup = fj_lookup(&schemas);
    struct sx_doc payload;
    int rc = SX_ENOMEM, failures = 0;

    (void)state;
    indexes("{\"u\":\"uuid\",\"a[].x\":\"datetime\"}");
    payload = fj_doc(&arena, fitting);
    /* The arena's memory counts in bytes, that of the analysis in calls. */
    for (uint64_t limit = 64; rc != SX_OK; limit += 64) {
        struct sx_arena small;
        struct eng_filter *out = NULL;
        struct sx_err err = SX_ERR_INIT;

        sx_arena_init(&small, sx_mem_libc(), limit);
        rc = eng_filter_compile(sx_mem_libc(), f, &lookup, &small, &out, &err);
        if (rc != SX_OK) {
            assert_int_equal(rc, SX_ENOMEM);
            assert_null(out);
            failures++;
        }
        sx_arena_fini(&small);
    }
    assert_true(failures > 5);
    rc = SX_ENOMEM;
    for (int left = 0; rc != SX_OK; left++) {
        struct short_mem m;
        struct eng_filter *out = NULL;

        short_init(&m, left);
        rc = eng_filter_compile(&m.mem, f, &lookup, &arena, &out, NULL);
        assert_true(rc == SX_OK || rc == SX_ENOMEM);
    }
    rc = 0;
    for (int left = 0; !rc; left++) {
        struct eng_subject s = {{0, 7, SX_ID_NUM, 0}, payload, has_vector, &arena};
        struct eng_match_scratch mine;
        struct short_mem m;

        short_init(&m, left);
        eng_match_scratch_init(&mine, &m.mem);
        rc = eng_filter_match(compiled(everything)->root, &s, &mine);
        assert_true(rc || mine.failed);
        assert_true(left < 100);
        eng_match_scratch_fini(&mine);
    }
}

static void test_steady(void **state)
{
    struct eng_subject s = {{0, 7, SX_ID_NUM, 0}, {NULL, 0, 0}, has_vector, &arena};
    struct eng_filter *f;
    struct eng_match_scratch mine;
    struct short_mem m;

    (void)state;
    indexes("{\"u\":\"uuid\",\"a[].x\":\"datetime\"}");
    f = compiled(everything);
    s.payload = fj_doc(&arena, fitting);
    short_init(&m, 1000);
    eng_match_scratch_init(&mine, &m.mem);
    assert_true(eng_filter_match(f->root, &s, &mine));
    m.calls = 0;
    for (int i = 0; i < 1000; i++)
        assert_true(eng_filter_match(f->root, &s, &mine));
    assert_int_equal(m.calls, 0);
    eng_match_scratch_fini(&mine);
}

/* As deep as a request may be. */
static void test_depth(void **state)
{
    struct sx_buf f, p;

    (void)state;
    indexes(NULL);
    sx_buf_init(&f, sx_mem_libc());
    sx_buf_init(&p, sx_mem_libc());
    for (int i = 0; i < 20; i++) {
        sx_buf_adds(&f, "{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":");
        sx_buf_adds(&p, "{\"a\":[");
    }
    sx_buf_adds(&f, "{\"must\":[" A "]}");
    sx_buf_adds(&p, "{\"a\":1}");
    for (int i = 0; i < 20; i++) {
        sx_buf_adds(&f, "}}]}");
        sx_buf_adds(&p, "]}");
    }
    sx_buf_addc(&f, 0);
    sx_buf_addc(&p, 0);
    IS(f.p, p.p);
    *strrchr(p.p, '1') = '2';
    NOT(f.p, p.p);
    sx_buf_fini(&f);
    sx_buf_fini(&p);
}

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    fj_schemas_init(&schemas);
    eng_match_scratch_init(&scratch, sx_mem_libc());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    eng_match_scratch_fini(&scratch);
    fj_schemas_fini(&schemas);
    sx_arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_no_filter),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_presence_of_many),
        cmocka_unit_test(test_several_clauses),
        cmocka_unit_test(test_geo_clauses),
        cmocka_unit_test(test_integer_index),
        cmocka_unit_test(test_string_indexes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_phrases),
        cmocka_unit_test(test_analyzers),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_nested_with_index),
        cmocka_unit_test(test_element_index),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_inner_leaves),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
