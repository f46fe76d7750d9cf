/* libs: jansson */
/* Fuzz target: any bytes as JSON text.
 *
 * Skipping and building a document must agree with each other and, by json_compare(), with jansson
 * on what is accepted and on the values; typed reads and lists of floats must survive, and what a
 * list of floats reads must be what the document says. Built with -fsanitize=fuzzer. */
#include "../unit/json_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        if (!(x))                                                                                  \
            __builtin_trap();                                                                      \
    } while (0)

/* The message of the two ways through a whole value must be the same. */
static void both_ways(const char *p, size_t n, struct sx_arena *arena)
{
    struct sx_json skip, build;
    struct sx_docb b;
    struct sx_doc d;
    int a, c;

    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    sx_json_init(&skip, p, n, arena);
    sx_json_init(&build, p, n, arena);
    a = sx_json_skip(&skip, NULL);
    c = sx_json_doc(&build, &b);
    REQUIRE(a == c && skip.p == build.p && skip.depth == 0 && build.depth == 0);
    REQUIRE(skip.msg.n == build.msg.n);
    REQUIRE(skip.msg.n == 0 || memcmp(skip.msg.p, build.msg.p, skip.msg.n) == 0);
    if (c == 0) {
        d = sx_docb_end(&b);
        REQUIRE(d.p != NULL && sx_doc_check(d.p, d.n) == 0);
    }
    sx_docb_fini(&b);
}

static void floats(const char *p, size_t n, struct sx_arena *arena)
{
    struct sx_json j, whole;
    struct sx_docb b;
    struct sx_doc d;
    uint32_t *u;
    float *v;
    int64_t count;

    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_json_init(&whole, p, n, arena);
    (void)sx_json_doc(&whole, &b);
    d = sx_docb_end(&b);
    sx_json_init(&j, p, n, arena);
    count = sx_json_f32s(&j, n % 3 == 0 ? 4 : 0, &v);
    if (count >= 0) {
        REQUIRE(!whole.failed && j.p == whole.p && count == sx_doc_count(d));
        for (uint32_t i = 0; i < count; i++) {
            float want = (float)json_compare_number(sx_doc_elem_num(d, i));

            REQUIRE(memcmp(&want, &v[i], 4) == 0);
        }
    } else if (count == SX_EFORMAT) {
        REQUIRE(whole.failed && j.msg.n == whole.msg.n);
        REQUIRE(memcmp(j.msg.p, whole.msg.p, j.msg.n) == 0);
    } else {
        REQUIRE(count == SX_EINPUT && !j.failed && j.p == p);
    }
    sx_json_init(&j, p, n, arena);
    count = sx_json_u32s(&j, &u);
    REQUIRE(count < 0 || (!whole.failed && count == sx_doc_count(d)));
    for (uint32_t i = 0; count > 0 && i < count; i++)
        REQUIRE(sx_doc_elem_num(d, i).v.u == u[i]);
    sx_docb_fini(&b);
}

/* Typed reads in an order that the text itself chooses; a failure is undone and skipped. */
static void typed(struct sx_json *j, uint32_t salt, int depth)
{
    struct sx_json_mark mark = sx_json_mark(j);
    struct sx_str s;
    uint64_t u;
    int64_t i;
    double f;
    float *v;
    int rc, yes;

    switch (salt % 9) {
    case 0:
        rc = sx_json_u64(j, "u32", UINT32_MAX, &u);
        break;
    case 1:
        rc = sx_json_i64(j, "i64", &i);
        break;
    case 2:
        rc = sx_json_f64(j, "f64", &f);
        break;
    case 3:
        rc = sx_json_bool(j, "a boolean", &yes);
        break;
    case 4:
        rc = sx_json_str(j, "a string", &s);
        break;
    case 5:
        rc = sx_json_f32s(j, 0, &v) < 0 ? -1 : 0;
        break;
    case 6:
        rc = sx_json_null(j) == 1 ? 0 : -1;
        break;
    case 7:
        (void)sx_json_describe(j);
        rc = -1;
        break;
    default:
        rc = sx_json_fail(j, "text %u", salt);
        break;
    }
    if (rc == 0)
        return;
    REQUIRE(!j->failed || (j->msg.p != NULL && j->msg.n != 0));
    sx_json_reset(j, mark);
    if (depth < 100 && sx_json_peek(j) == SX_JSON_ARR) {
        if (sx_json_arr_begin(j, "a sequence") == 0) {
            while (sx_json_arr_next(j) > 0)
                typed(j, salt * 5 + 3, depth + 1);
        }
    } else if (depth < 100 && !j->failed && sx_json_peek(j) == SX_JSON_OBJ) {
        if (sx_json_obj_begin(j, "a map") == 0) {
            while (sx_json_obj_next(j, &s) > 0)
                typed(j, salt * 7 + s.n, depth + 1);
        }
    } else {
        (void)sx_json_skip(j, &s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *p = (const char *)data;
    struct sx_arena arena;
    struct sx_json j;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    both_ways(p, n, &arena);
    floats(p, n, &arena);
    for (uint32_t salt = 0; salt < 3; salt++) {
        sx_json_init(&j, p, n, &arena);
        j.no_pos = salt == 2;
        typed(&j, (uint32_t)n + salt * 3, 0);
        if (!j.failed)
            (void)sx_json_end(&j);
    }
    sx_arena_fini(&arena);
    REQUIRE(json_compare(p, n) == NULL);
    return 0;
}
