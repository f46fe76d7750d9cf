/* Compares our JSON reader with jansson on one text, for the unit test and the fuzzer.
 *
 * Both must accept and refuse the same texts and agree on the values. Known differences, which the
 * comparison steps around:
 *   - jansson has no unsigned and no wide integers: it reads them as doubles here
 *     (JSON_DECODE_INT_AS_REAL), so integers are compared after the same conversion;
 *   - jansson refuses U+0000 in keys, we do not: texts with such an escape are left out;
 *   - jansson may take a zero byte behind a value for the end: texts with one are left out;
 *   - jansson nests to 2048, we to 127 open brackets: texts with more brackets are left out. */
#ifndef TESTS_JSON_COMPARE_H
#define TESTS_JSON_COMPARE_H

#include <jansson.h>
#include <string.h>

#include "sextant/sx_json.h"

static inline double json_compare_number(struct sx_doc_num num)
{
    return num.type == SX_DOC_F64   ? num.v.f
           : num.type == SX_DOC_U64 ? (double)num.v.u
                                    : (double)num.v.i;
}

/* 1 when v is one element, e one scalar; packed arrays have elements without storage. */
static inline int json_compare_values(struct sx_doc v, const json_t *t);

static inline int json_compare_list(struct sx_doc v, const json_t *t)
{
    uint32_t n = sx_doc_count(v);

    if (!json_is_array(t) || json_array_size(t) != n)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(t, i);

        if (sx_doc_type(v) == SX_DOC_ARR) {
            if (!json_compare_values(sx_doc_elem(v, i), e))
                return 0;
        } else if (!json_is_real(e) ||
                   json_real_value(e) != json_compare_number(sx_doc_elem_num(v, i))) {
            return 0;
        }
    }
    return 1;
}

static inline int json_compare_object(struct sx_doc v, json_t *t)
{
    uint32_t n = sx_doc_count(v), i = 0;
    void *it = json_object_iter(t);

    if (!json_is_object(t) || json_object_size(t) != n)
        return 0;
    for (; it != NULL; it = json_object_iter_next(t, it), i++) {
        struct sx_str key;
        struct sx_doc c = sx_doc_member(v, i, &key);

        if (key.n != json_object_iter_key_len(it) ||
            memcmp(key.p, json_object_iter_key(it), key.n) != 0)
            return 0;
        if (!json_compare_values(c, json_object_iter_value(it)))
            return 0;
    }
    return 1;
}

static inline int json_compare_values(struct sx_doc v, const json_t *t)
{
    struct sx_str s;

    switch (sx_doc_type(v)) {
    case SX_DOC_NULL:
        return json_is_null(t);
    case SX_DOC_FALSE:
        return json_is_false(t);
    case SX_DOC_TRUE:
        return json_is_true(t);
    case SX_DOC_STR:
        s = sx_doc_str(v);
        return json_is_string(t) && json_string_length(t) == s.n &&
               memcmp(json_string_value(t), s.p, s.n) == 0;
    case SX_DOC_OBJ: {
        union {
            const json_t *from;
            json_t *to;
        } u = {t}; /* the iterator takes no const */

        return json_compare_object(v, u.to);
    }
    case SX_DOC_ARR:
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        return json_compare_list(v, t);
    default:
        return json_is_real(t) && json_real_value(t) == json_compare_number(sx_doc_num(v));
    }
}

static inline int json_compare_skips(const char *p, size_t n)
{
    size_t open = 0;

    for (size_t i = 0; i < n; i++) {
        open += p[i] == '[' || p[i] == '{';
        if (p[i] == 0)
            return 1;
        if (p[i] == '\\' && n - i >= 6 && memcmp(p + i, "\\u0000", 6) == 0)
            return 1;
    }
    return open > 127;
}

/* NULL when both agree, else what they differ in. */
static inline const char *json_compare(const char *p, size_t n)
{
    struct sx_arena arena;
    struct sx_docb b;
    struct sx_json j;
    const char *why = NULL;
    json_t *t;
    int rc;

    if (json_compare_skips(p, n))
        return NULL;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    sx_json_init(&j, p, n, &arena);
    rc = sx_json_doc(&j, &b);
    if (rc == 0)
        rc = sx_json_end(&j);
    t = json_loadb(p, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    if ((rc == 0) != (t != NULL))
        why = rc == 0 ? "only ours accepts" : "only jansson accepts";
    else if (rc == 0 && !json_compare_values(sx_docb_end(&b), t))
        why = "the values differ";
    json_decref(t);
    sx_docb_fini(&b);
    sx_arena_fini(&arena);
    return why;
}

#endif
