/* Fuzz target: any bytes as a document.
 *
 * What sx_doc_check() accepts must be safe to read in every way there is, must be what the builder
 * makes of its own content, and must survive being written as JSON and read back. */
#include <string.h>

#include "sextant/sx_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        if (!(x))                                                                                  \
            __builtin_trap();                                                                      \
    } while (0)

/* Copies v into the builder value by value, touching every byte on the way. */
static void rebuild(struct sx_docb *b, struct sx_doc v)
{
    uint32_t type = sx_doc_type(v), n = sx_doc_count(v);
    struct sx_doc_num num = sx_doc_num(v);
    struct sx_str s;

    REQUIRE(sx_doc_check(v.p, v.n) == 0);
    switch (type) {
    case SX_DOC_NULL:
        sx_docb_null(b);
        break;
    case SX_DOC_FALSE:
    case SX_DOC_TRUE:
        sx_docb_bool(b, type == SX_DOC_TRUE);
        break;
    case SX_DOC_I64:
        sx_docb_i64(b, num.v.i);
        break;
    case SX_DOC_U64:
        sx_docb_u64(b, num.v.u);
        break;
    case SX_DOC_F64:
        sx_docb_f64(b, num.v.f);
        break;
    case SX_DOC_STR:
        s = sx_doc_str(v);
        sx_docb_str(b, s.p, s.n);
        break;
    case SX_DOC_OBJ:
        sx_docb_obj(b);
        for (uint32_t i = 0; i < n; i++) {
            struct sx_doc c = sx_doc_member(v, i, &s);

            sx_docb_key(b, s.p, s.n);
            rebuild(b, c);
            (void)sx_doc_get_n(v, s.p, s.n);
        }
        sx_docb_close(b);
        break;
    default:
        sx_docb_arr(b);
        for (uint32_t i = 0; i < n; i++) {
            num = sx_doc_elem_num(v, i);
            if (type == SX_DOC_ARR)
                rebuild(b, sx_doc_elem(v, i));
            else if (num.type == SX_DOC_I64)
                sx_docb_i64(b, num.v.i);
            else
                sx_docb_f64(b, num.v.f);
        }
        sx_docb_close(b);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sx_doc d = {data, (uint32_t)n, 0}, e;
    struct sx_arena arena;
    struct sx_docb b;
    struct sx_json j;
    struct sx_buf text;
    int rc;

    if (n > 1 << 20 || sx_doc_check(data, (uint32_t)n) != 0)
        return 0;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_buf_init(&text, sx_mem_libc());
    rebuild(&b, d);
    e = sx_docb_end(&b);
    REQUIRE(e.p != NULL && e.n == d.n && memcmp(e.p, d.p, d.n) == 0);

    /* As JSON it reads back, unless it is nested deeper than texts may be. */
    sx_jsonw_doc(&text, d);
    sx_docb_reset(&b);
    sx_json_init(&j, text.p, text.n, &arena);
    rc = sx_json_doc(&j, &b);
    if (rc == 0) {
        REQUIRE(sx_json_end(&j) == 0);
        e = sx_docb_end(&b);
        REQUIRE(sx_doc_check(e.p, e.n) == 0);
    } else {
        REQUIRE(rc == SX_EFORMAT && memcmp(j.msg.p, "recursion", 9) == 0);
    }
    sx_buf_fini(&text);
    sx_docb_fini(&b);
    sx_arena_fini(&arena);
    return 0;
}
