/* Reading sx_doc values in place.
 *
 * Readers trust the document: what came from disk or network passed sx_doc_check() before. They
 * still answer "absent" for a wrong type or index, so that callers need no second switch. Nothing
 * is copied; every result borrows the document's bytes. Thread: any.
 *
 *   ARR  | word | total | n | child | child | ... | offset * n |
 *   OBJ  | word | total | n | key child | key child | ... | {key, child} offset * n |
 *                                                          ^ start + total - 4 * n (8 * n) */
#include "priv.h"

static const struct sx_doc doc_absent = {NULL, 0, 0};

static struct sx_doc doc_at(const uint8_t *p)
{
    struct sx_doc v = {p, 0, 0};

    switch (p[0]) {
    case SX_DOC_I64:
    case SX_DOC_U64:
    case SX_DOC_F64:
        v.n = 12;
        break;
    case SX_DOC_STR:
        v.n = 8 + ((sx__load32(p + 4) + 3) & ~3u);
        break;
    case SX_DOC_ARR:
    case SX_DOC_OBJ:
        v.n = sx__load32(p + 4);
        break;
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        v.n = 8 + 8 * sx__load32(p + 4);
        break;
    default:
        v.n = 4;
        break;
    }
    return v;
}

static struct sx_str str_at(const uint8_t *p)
{
    return (struct sx_str){(const char *)p + 8, sx__load32(p + 4), 0};
}

uint32_t sx_doc_type(struct sx_doc v)
{
    return v.p != NULL ? v.p[0] : SX_DOC_NULL;
}

uint32_t sx_doc_count(struct sx_doc v)
{
    switch (sx_doc_type(v)) {
    case SX_DOC_ARR:
    case SX_DOC_OBJ:
        return sx__load32(v.p + 8);
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        return sx__load32(v.p + 4);
    default:
        return 0;
    }
}

struct sx_doc sx_doc_elem(struct sx_doc v, uint32_t i)
{
    uint32_t n;

    if (sx_doc_type(v) != SX_DOC_ARR)
        return doc_absent;
    n = sx__load32(v.p + 8);
    if (i >= n)
        return doc_absent;
    return doc_at(v.p + sx__load32(v.p + sx__load32(v.p + 4) - 4 * n + 4 * i));
}

struct sx_doc_num sx_doc_num(struct sx_doc v)
{
    struct sx_doc_num out = {sx_doc_type(v), 0, {0}};

    if (out.type == SX_DOC_I64 || out.type == SX_DOC_U64 || out.type == SX_DOC_F64)
        out.v.u = sx__load64(v.p + 4);
    return out;
}

struct sx_doc_num sx_doc_elem_num(struct sx_doc v, uint32_t i)
{
    struct sx_doc_num out = {SX_DOC_NULL, 0, {0}};
    uint32_t type = sx_doc_type(v);

    if (type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64) {
        if (i < sx__load32(v.p + 4)) {
            out.type = type == SX_DOC_ARR_I64 ? SX_DOC_I64 : SX_DOC_F64;
            out.v.u = sx__load64(v.p + 8 + 8 * (size_t)i);
        }
        return out;
    }
    return sx_doc_num(sx_doc_elem(v, i));
}

struct sx_doc sx_doc_member(struct sx_doc v, uint32_t i, struct sx_str *key)
{
    const uint8_t *offs;
    uint32_t n;

    if (sx_doc_type(v) != SX_DOC_OBJ)
        return doc_absent;
    n = sx__load32(v.p + 8);
    if (i >= n)
        return doc_absent;
    offs = v.p + sx__load32(v.p + 4) - 8 * (size_t)n + 8 * (size_t)i;
    if (key != NULL)
        *key = str_at(v.p + sx__load32(offs));
    return doc_at(v.p + sx__load32(offs + 4));
}

/* Members are contiguous, so the search walks keys by their offsets; objects are small. With
 * duplicate keys (builder without SX_DOCB_LAST_WINS) the last one is the answer, as for readers of
 * JSON elsewhere. */
struct sx_doc sx_doc_get_n(struct sx_doc v, const char *key, uint32_t n)
{
    const uint8_t *offs;
    uint32_t count;

    if (sx_doc_type(v) != SX_DOC_OBJ)
        return doc_absent;
    count = sx__load32(v.p + 8);
    offs = v.p + sx__load32(v.p + 4);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *k;

        offs -= 8;
        k = v.p + sx__load32(offs);
        if (sx__load32(k + 4) == n && (n == 0 || memcmp(k + 8, key, n) == 0))
            return doc_at(v.p + sx__load32(offs + 4));
    }
    return doc_absent;
}

struct sx_doc sx_doc_get(struct sx_doc v, const char *key)
{
    return sx_doc_get_n(v, key, (uint32_t)strlen(key));
}

struct sx_str sx_doc_str(struct sx_doc v)
{
    if (sx_doc_type(v) != SX_DOC_STR)
        return (struct sx_str){NULL, 0, 0};
    return str_at(v.p);
}

/* A float with an integral value is not an integer here: `1` and `1.0` differ on the wire. */
int64_t sx_doc_get_i64(struct sx_doc v, const char *key, int64_t def)
{
    struct sx_doc_num num = sx_doc_num(sx_doc_get(v, key));

    return num.type == SX_DOC_I64 ? num.v.i : def;
}

double sx_doc_get_f64(struct sx_doc v, const char *key, double def)
{
    struct sx_doc_num num = sx_doc_num(sx_doc_get(v, key));

    switch (num.type) {
    case SX_DOC_I64:
        return (double)num.v.i;
    case SX_DOC_U64:
        return (double)num.v.u;
    case SX_DOC_F64:
        return num.v.f;
    default:
        return def;
    }
}

int sx_doc_get_bool(struct sx_doc v, const char *key, int def)
{
    struct sx_doc m = sx_doc_get(v, key);

    if (m.p == NULL)
        return def;
    return m.p[0] == SX_DOC_TRUE ? 1 : m.p[0] == SX_DOC_FALSE ? 0 : def;
}
