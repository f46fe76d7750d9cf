/* Results as the REST transport prints them. */
/* needs: plugins/transport-rest/encode.c */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <string.h>

#include "transport-rest/rest.h"

static void check(uint32_t code, const struct sx_reply *reply, const char *want)
{
    struct sx_op op = {.code = code};
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    rest_encode(&b, &op, reply);
    sx_buf_addc(&b, '\0');
    assert_false(b.failed);
    assert_string_equal(b.p, want);
    sx_buf_fini(&b);
}

static struct sx_vec_out vec(const char *name,
                             uint32_t kind,
                             uint32_t dim,
                             uint32_t rows,
                             const float *data,
                             const uint32_t *indices)
{
    return (struct sx_vec_out){
        {name, (uint32_t)strlen(name), 0}, kind, dim, rows, 0, data, indices};
}

static void small_results(void **state)
{
    struct sx_reply r = {.kind = SX_R_BOOL, .u.boolean = 1};

    (void)state;
    check(SX_OP_COLLECTION_CREATE, &r, "true");
    check(SX_OP_COLLECTION_EXISTS, &r, "{\"exists\":true}");
    r = (struct sx_reply){.kind = SX_R_COUNT, .u.count = UINT64_MAX};
    check(SX_OP_COUNT, &r, "{\"count\":18446744073709551615}");
    r = (struct sx_reply){.kind = SX_R_UPDATE};
    r.u.update.op_id = 7;
    r.u.update.status = SX_UPDATE_COMPLETED;
    check(SX_OP_POINTS_UPSERT, &r, "{\"operation_id\":7,\"status\":\"completed\"}");
    r.u.update.op_id = 0;
    r.u.update.status = SX_UPDATE_ACKNOWLEDGED;
    check(SX_OP_POINTS_UPSERT, &r, "{\"status\":\"acknowledged\"}");
    r.u.update.status = SX_UPDATE_WAIT_TIMEOUT;
    check(SX_OP_POINTS_UPSERT, &r, "{\"status\":\"wait_timeout\"}");
}

static void records_and_vectors(void **state)
{
    const float dense[] = {1, -0.1f, 1e20f}, multi[] = {1, 2, 3, 4}, odd[] = {NAN, INFINITY};
    const uint32_t indices[] = {3, 4294967295u};
    struct sx_vec_out one[] = {vec("", SX_VEC_DENSE, 3, 1, dense, NULL)};
    struct sx_vec_out two[] = {vec("", SX_VEC_MULTI, 2, 2, multi, NULL),
                               vec("s\"", SX_VEC_SPARSE, 2, 0, odd, indices)};
    struct sx_record list[] = {
        {.id = {0, 5, SX_ID_NUM, 0}},
        {.id = {0x550e8400e29b41d4u, 0xa716446655440000u, SX_ID_UUID, 0},
         .flags = SX_REC_PAYLOAD | SX_REC_VECTORS,
         .n_vectors = 1,
         .vectors = one},
        {.id = {0, 6, SX_ID_NUM, 0}, .flags = SX_REC_VECTORS, .n_vectors = 2, .vectors = two},
        {.id = {0, 7, SX_ID_NUM, 0}, .flags = SX_REC_VECTORS},
    };
    struct sx_reply r = {.kind = SX_R_SCROLL};

    (void)state;
    r.u.records.list = (struct sx_record_list){4, 0, list};
    check(SX_OP_SCROLL, &r,
          "{\"points\":[{\"id\":5},{\"id\":\"550e8400-e29b-41d4-a716-446655440000\",\"payload\":{},"
          "\"vector\":[1.0,-0.1,1e20]},{\"id\":6,\"vector\":{\"\":[[1.0,2.0],[3.0,4.0]],\"s\\\"\":"
          "{\"indices\":[3,4294967295],\"values\":[null,null]}}},{\"id\":7,\"vector\":{}}],"
          "\"next_page_offset\":null}");
    r.u.records.list.n = 1;
    r.u.records.has_next = 1;
    r.u.records.next.lo = 9;
    check(SX_OP_SCROLL, &r, "{\"points\":[{\"id\":5}],\"next_page_offset\":9}");
    r.kind = SX_R_RECORDS;
    check(SX_OP_POINTS_GET, &r, "[{\"id\":5}]");
    r.kind = SX_R_RECORD;
    check(SX_OP_POINT_GET, &r, "{\"id\":5}");
}

static void scored_lists(void **state)
{
    struct sx_record hit = {.id = {0, 1, SX_ID_NUM, 0}, .version = 3, .score = 0.25f};
    struct sx_record_list lists[] = {{1, 0, &hit}, {0, 0, NULL}};
    struct sx_reply r = {.kind = SX_R_SCORED};

    (void)state;
    r.u.scored.lists = lists;
    r.u.scored.n = 1;
    check(SX_OP_QUERY, &r, "{\"points\":[{\"id\":1,\"version\":3,\"score\":0.25}]}");
    check(SX_OP_SEARCH, &r, "[{\"id\":1,\"version\":3,\"score\":0.25}]");
    r.kind = SX_R_BATCH;
    r.u.scored.n = 2;
    check(SX_OP_QUERY_BATCH, &r,
          "[{\"points\":[{\"id\":1,\"version\":3,\"score\":0.25}]},{\"points\":[]}]");
    check(SX_OP_SEARCH_BATCH, &r, "[[{\"id\":1,\"version\":3,\"score\":0.25}],[]]");
    r.u.scored.n = 0;
    check(SX_OP_QUERY_BATCH, &r, "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_results),
        cmocka_unit_test(records_and_vectors),
        cmocka_unit_test(scored_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
