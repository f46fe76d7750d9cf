/* Answers of the data model as the REST transport prints them: batches of updates, facets, values
 * of an order. */
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

static void updates(void **state)
{
    const struct sx_update list[] = {{7, SX_UPDATE_COMPLETED, 0},
                                     {0, SX_UPDATE_ACKNOWLEDGED, 0},
                                     {UINT64_MAX, SX_UPDATE_WAIT_TIMEOUT, 0}};
    struct sx_reply r = {.kind = SX_R_UPDATES};

    (void)state;
    check(SX_OP_POINTS_BATCH, &r, "[]");
    r.u.updates.list = list;
    r.u.updates.n = 3;
    check(SX_OP_POINTS_BATCH, &r,
          "[{\"operation_id\":7,\"status\":\"completed\"},{\"status\":\"acknowledged\"},"
          "{\"operation_id\":18446744073709551615,\"status\":\"wait_timeout\"}]");
}

static void facets(void **state)
{
    const struct sx_facet_hit hits[] = {
        {.kind = SX_FACET_STR, .str = {"a\"b", 3, 0}, .count = 9},
        {.kind = SX_FACET_INT, .i = INT64_MIN, .count = 8},
        {.kind = SX_FACET_BOOL, .i = 1, .count = 7},
        {.kind = SX_FACET_BOOL, .i = 0, .count = 6},
        {.kind = SX_FACET_UUID,
         .uuid = {0x550e8400e29b41d4u, 0xa716446655440000u, SX_ID_UUID, 0},
         .count = 1}};
    struct sx_reply r = {.kind = SX_R_FACET};

    (void)state;
    check(SX_OP_FACET, &r, "{\"hits\":[]}");
    r.u.facet.hits = hits;
    r.u.facet.n = 5;
    check(SX_OP_FACET, &r,
          "{\"hits\":[{\"value\":\"a\\\"b\",\"count\":9},{\"value\":-9223372036854775808,"
          "\"count\":8},{\"value\":true,\"count\":7},{\"value\":false,\"count\":6},{\"value\":"
          "\"550e8400-e29b-41d4-a716-446655440000\",\"count\":1}]}");
}

static void orders(void **state)
{
    const float multi[] = {1, INFINITY, NAN, 4};
    const struct sx_vec_out v = {{"", 0, 0}, SX_VEC_MULTI, 2, 2, 0, multi, NULL};
    struct sx_record list[] = {
        {.id = {0, 1, SX_ID_NUM, 0}, .flags = SX_REC_ORDER_I, .order.i = -5},
        {.id = {0, 2, SX_ID_NUM, 0}, .flags = SX_REC_ORDER_F | SX_REC_PAYLOAD, .order.f = 3},
        {.id = {0, 3, SX_ID_NUM, 0}, .flags = SX_REC_VECTORS, .n_vectors = 1, .vectors = &v}};
    struct sx_reply r = {.kind = SX_R_SCROLL};

    (void)state;
    r.u.records.list = (struct sx_record_list){3, 0, list};
    check(SX_OP_SCROLL, &r,
          "{\"points\":[{\"id\":1,\"order_value\":-5},{\"id\":2,\"payload\":{},\"order_value\":3.0}"
          ",{\"id\":3,\"vector\":[[1.0,null],[null,4.0]]}],\"next_page_offset\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates),
        cmocka_unit_test(facets),
        cmocka_unit_test(orders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
