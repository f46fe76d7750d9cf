/* Paths, query strings and names of the REST transport. */
/* needs: plugins/transport-rest/path.c plugins/transport-rest/query.c */
/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "transport-rest/path.h"
#include "transport-rest/query.h"

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

static struct sx_str str(const char *s)
{
    return (struct sx_str){s, (uint32_t)strlen(s), 0};
}

static void assert_text(struct sx_str s, const char *want)
{
    if (s.n != strlen(want) || memcmp(s.p, want, s.n) != 0)
        fail_msg("\"%.*s\", not \"%s\"", (int)s.n, s.p, want);
}

static void splits_and_normalises(void **state)
{
    struct sx_str seg[REST_SEGMENTS_MAX];

    (void)state;
    assert_int_equal(rest_path_split(str("//a///b%2Fc/./../"), seg), 4);
    assert_text(seg[0], "a");
    assert_text(seg[1], "b%2Fc");
    assert_text(seg[2], ".");
    assert_text(seg[3], "..");
    assert_text(rest_path_join(&arena, seg, 1, 3), "/b%2Fc/.");
    assert_int_equal(rest_path_split(str(""), seg), 0);
    assert_int_equal(rest_path_split(str("///"), seg), 0);
    assert_int_equal(rest_path_split(str("/1/2/3/4/5/6/7/8/9/10/11/12"), seg), 12);
    assert_int_equal(rest_path_split(str("/1/2/3/4/5/6/7/8/9/10/11/12/13"), seg), -1);
}

static void decodes_segments(void **state)
{
    struct sx_str out;

    (void)state;
    assert_int_equal(rest_path_decode(&arena, str("a%2Fb%20c%23%3f%25"), &out), 0);
    assert_text(out, "a/b c#?%");
    assert_int_equal(rest_path_decode(&arena, str("%C3%A9+%zz%4"), &out), 0);
    assert_text(out, "\xc3\xa9+%zz%4");
    assert_int_equal(rest_path_decode(&arena, str("%ff"), &out), SX_EINPUT);
    assert_int_equal(rest_path_decode(&arena, str("\xff"), &out), SX_EINPUT);
    assert_int_equal(rest_path_decode(&arena, str("a%00b"), &out), 0);
    assert_int_equal(out.n, 3);
    assert_int_equal(rest_query_decode(&arena, str("a+b%2B"), &out), 0);
    assert_text(out, "a b+");
}

static void names(void **state)
{
    char longest[256 * 2 + 1] = "";

    (void)state;
    assert_null(rest_name_check(&arena, str("ok"), 1).p);
    assert_null(rest_name_check(&arena, str("a<b"), 0).p);
    assert_text(rest_name_check(&arena, str("a>b<c"), 1),
                "Validation error in path parameters: [collection_name: collection name cannot "
                "contain \"<\" char]");
    assert_text(rest_name_check(&arena, str("a/b"), 0),
                "Validation error in path parameters: [collection_name: collection name cannot "
                "contain \"/\" char]");
    assert_non_null(rest_name_check(&arena, (struct sx_str){"a\0b", 3, 0}, 0).p);
    assert_text(rest_name_check(&arena, str(""), 0),
                "Validation error in path parameters: [collection_name: value \"\" invalid, must "
                "be from 1 to 255 characters]");
    for (uint32_t i = 0; i < 255; i++) /* characters are counted, not bytes */
        strcat(longest, "\xc3\xa9");
    assert_null(rest_name_check(&arena, str(longest), 1).p);
    strcat(longest, "e");
    assert_non_null(rest_name_check(&arena, str(longest), 1).p);
    assert_null(rest_vector_name_check(&arena, (struct sx_str){longest, 200, 0}).p);
    assert_text(rest_vector_name_check(&arena, (struct sx_str){longest, 201, 0}),
                "Validation error in path parameters: [vector_name: vector name must be at most "
                "200 bytes long]");
    assert_text(rest_vector_name_check(&arena, str("a:b")),
                "Validation error in path parameters: [vector_name: vector name cannot contain "
                "\":\" char]");
}

/* --- query strings -------------------------------------------------------------------------- */

static int parse(uint32_t code, const char *query, struct sx_op *op, struct sx_str *text)
{
    memset(op, 0, sizeof(*op));
    op->code = code;
    op->arena = &arena;
    return rest_query_parse(op, str(query), text);
}

static void good_queries(void **state)
{
    struct sx_str text;
    struct sx_op op;

    (void)state;
    assert_int_equal(parse(SX_OP_POINTS_UPSERT,
                           "wait=true&ordering=strong&timeout=3&&x=%ff&consistency=0", &op, &text),
                     0);
    assert_int_equal(op.flags, SX_OP_WAIT);
    assert_int_equal(op.ordering, 2);
    assert_int_equal(op.timeout_ms, 3000);
    assert_int_equal(parse(SX_OP_POINTS_UPSERT, "timeout=0&wait=false", &op, &text), 0);
    assert_int_equal(op.timeout_ms, 1);
    assert_int_equal(op.flags, 0);
    assert_int_equal(parse(SX_OP_QUERY, "consistency=majority&timeout=1&wait=maybe", &op, &text),
                     0);
    assert_int_equal(op.consistency, SX_CONSISTENCY_MAJORITY);
    assert_int_equal(parse(SX_OP_QUERY, "consistency=", &op, &text), 0);
    assert_int_equal(op.consistency, 0);
    assert_int_equal(parse(SX_OP_QUERY, "consist%65ncy=2", &op, &text), 0);
    assert_int_equal(op.consistency, 2);
    assert_int_equal(parse(SX_OP_COLLECTIONS_LIST, "timeout=x", &op, &text), 0);
}

static void bad_queries(void **state)
{
    static const struct {
        uint32_t code;
        int rc;
        const char *query, *text;
    } list[] = {
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "wait=TRUE", "provided string was not `true` or `false`"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "wait", "provided string was not `true` or `false`"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "wait=true&wait=true", "duplicate field `wait`"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "ordering=Weak",
         "unknown variant `Weak`, expected one of `weak`, `medium`, `strong`"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "timeout=-1", "std::time::Duration cannot be negative"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "timeout=1.5", "invalid digit found in string"},
        {SX_OP_POINTS_UPSERT, SX_EINPUT, "timeout=18446744073709551616",
         "number too large to fit in target type"},
        {SX_OP_COUNT, SX_EINPUT, "timeout=0", "invalid value: integer `0`, expected a nonzero u64"},
        {SX_OP_COUNT, SX_EINPUT, "timeout=-1", "invalid digit found in string"},
        {SX_OP_COUNT, SX_EINPUT, "timeout=", "cannot parse integer from empty string"},
        {SX_OP_COUNT, SX_EINPUT, "consistency=Majority",
         "failed to deserialize read consistency query parameter value 'Majority'"},
        {SX_OP_COUNT, SX_EINPUT, "timeout=x&consistency=0", "invalid digit found in string"},
    };
    struct sx_str text;
    struct sx_op op;

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(list); i++) {
        char want[200] = "Deserialize error in query parameters: ";

        strcat(want, list[i].text);
        assert_int_equal(parse(list[i].code, list[i].query, &op, &text), list[i].rc);
        assert_text(text, want);
    }
    assert_int_equal(parse(SX_OP_COLLECTION_CREATE, "timeout=0", &op, &text), SX_EVALID);
    assert_text(text, "Validation error in query parameters: [timeout: value 0 invalid, must be 1 "
                      "or larger]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_and_normalises),
        cmocka_unit_test(decodes_segments),
        cmocka_unit_test(names),
        cmocka_unit_test(good_queries),
        cmocka_unit_test(bad_queries),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
