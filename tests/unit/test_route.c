/* The router: every line of the operation table is found, and nothing else is. */
/* needs: plugins/transport-rest/route.c plugins/transport-rest/path.c */
/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "sextant/sx_op_list.h"

#include "transport-rest/route.h"

static struct rest_router router;

static int setup(void **state)
{
    (void)state;
    return rest_router_init(&router);
}

static uint32_t method_of(const char *name)
{
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    uint32_t i = 0;

    while (i < SX_COUNT(names) && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static struct rest_match find(const char *method, const char *path)
{
    struct sx_str seg[REST_SEGMENTS_MAX];
    struct rest_match m;
    int n = rest_path_split((struct sx_str){path, (uint32_t)strlen(path), 0}, seg);

    assert_true(n >= 0);
    rest_router_find(&router, method_of(method), seg, (uint32_t)n, &m);
    return m;
}

/* The path of an operation with "v<i>" for its parameters. */
static uint32_t fill(const char *path, char *out)
{
    uint32_t n = 0;

    while (*path != '\0') {
        if (*path != '{') {
            *out++ = *path++;
            continue;
        }
        *out++ = 'v';
        *out++ = (char)('0' + n++);
        path = strchr(path, '}') + 1;
    }
    *out = '\0';
    return n;
}

static void every_route_is_found(void **state)
{
    char path[256];

    (void)state;
    for (uint32_t op = 0; op < SX_OP__N; op++) {
        uint32_t n = fill(sx_op_table[op].path, path);
        struct rest_match m = find(sx_op_table[op].method, path);

        if (m.op != (int32_t)op)
            fail_msg("%s %s: %d", sx_op_table[op].method, path, m.op);
        assert_int_equal(m.n_params, n);
    }
}

/* Whatever method is not in the table for a path has no route, or that of another line. */
static void wrong_methods(void **state)
{
    static const char *const methods[] = {"GET",    "POST",    "PUT", "PATCH",
                                          "DELETE", "OPTIONS", "HEAD"};
    char path[256];

    (void)state;
    for (uint32_t op = 0; op < SX_OP__N; op++)
        for (uint32_t i = 0; i < SX_COUNT(methods); i++) {
            struct rest_match m;

            (void)fill(sx_op_table[op].path, path);
            m = find(methods[i], path);
            if (m.op >= 0)
                assert_string_equal(sx_op_table[m.op].method, methods[i]);
        }
    assert_int_equal(find("HEAD", "/").op, -1);
    assert_int_equal(find("POST", "/healthz").op, -1);
    assert_int_equal(find("PUT", "/collections/c/points/search").op, -1);
    assert_int_equal(find("DELETE", "/collections").op, -1);
}

static void literals_and_parameters(void **state)
{
    struct rest_match m;

    (void)state;
    assert_int_equal(find("POST", "/collections/aliases").op, SX_OP_ALIASES_UPDATE);
    m = find("GET", "/collections/aliases");
    assert_int_equal(m.op, SX_OP_COLLECTION_GET);
    assert_int_equal(m.n_params, 1);
    assert_int_equal(m.param[0].what, REST_P_COLLECTION);
    assert_int_equal(m.param[0].segment, 1);
    m = find("GET", "/collections/c/points/scroll");
    assert_int_equal(m.op, SX_OP_POINT_GET);
    assert_int_equal(m.param[1].what, REST_P_ID);
    assert_int_equal(m.param[1].segment, 3);
    m = find("DELETE", "/collections/c/shards/7/snapshots/s");
    assert_int_equal(m.op, SX_OP_SHARD_SNAPSHOT_DELETE);
    assert_int_equal(m.n_params, 3);
    assert_int_equal(m.param[1].what, REST_P_SHARD);
    assert_int_equal(find("POST", "//collections//c///points/count/").op, SX_OP_COUNT);
    assert_int_equal(find("GET", "/").op, SX_OP_ROOT);
    assert_int_equal(find("GET", "/Healthz").op, -1);
    assert_int_equal(find("GET", "/healthz/x").op, -1);
    assert_int_equal(find("GET", "/healthz/../collections").op, -1);
    assert_int_equal(find("GET", "/collections/c/unknown").op, -1);
    assert_int_equal(find("GET", "/openapi.json").op, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_found),
        cmocka_unit_test(wrong_methods),
        cmocka_unit_test(literals_and_parameters),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
