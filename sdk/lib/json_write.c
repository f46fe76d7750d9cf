/* JSON text: appending values to a buffer.
 *
 * No state and no commas of its own: the writer of an answer knows where it is. Strings are
 * expected to be valid UTF-8 and pass unchanged except for what JSON must escape; a document from
 * sx_doc_check() or from our reader is. Errors of memory stick to the buffer. Thread: as sx_buf. */
#include "priv.h"

#define ONES 0x0101010101010101u
#define HIGH 0x8080808080808080u

/* Bytes at p that need no escape. */
static uint64_t plain_run(const char *p, uint64_t n)
{
    uint64_t i = 0;

    while (n - i >= 8) {
        uint64_t w = sx__load64(p + i), quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\'), stop;

        stop = ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((w - ONES * 0x20) & ~w);
        stop &= HIGH;
        if (stop != 0)
            return i + ((uint64_t)__builtin_ctzll(stop) >> 3);
        i += 8;
    }
    while (i < n && p[i] != '"' && p[i] != '\\' && (unsigned char)p[i] >= 0x20)
        i++;
    return i;
}

static void put_escape(struct sx_buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    uint32_t n = 2;

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\b':
        text[1] = 'b';
        break;
    case '\f':
        text[1] = 'f';
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        n = 6;
        break;
    }
    sx_buf_add(b, text, n);
}

void sx_jsonw_str(struct sx_buf *b, const char *s, uint64_t n)
{
    char *at = sx_buf_reserve(b, n + 2);

    if (at == NULL)
        return;
    *at = '"';
    b->n++;
    while (n != 0) {
        uint64_t run = plain_run(s, n);

        sx_buf_add(b, s, run);
        if (run == n)
            break;
        put_escape(b, (unsigned char)s[run]);
        s += run + 1;
        n -= run + 1;
    }
    sx_buf_addc(b, '"');
}

void sx_jsonw_cstr(struct sx_buf *b, const char *s)
{
    sx_jsonw_str(b, s, strlen(s));
}

void sx_jsonw_u64(struct sx_buf *b, uint64_t v)
{
    char text[20];
    uint32_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    sx_buf_add(b, text + at, sizeof(text) - at);
}

void sx_jsonw_i64(struct sx_buf *b, int64_t v)
{
    if (v < 0)
        sx_buf_addc(b, '-');
    sx_jsonw_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* x - x is 0 for finite x, NaN for the others. */
void sx_jsonw_f32(struct sx_buf *b, float v)
{
    char *at;

    if (v - v != 0) {
        sx_buf_add(b, "null", 4);
        return;
    }
    at = sx__buf_room(b, 32);
    if (at != NULL)
        b->n += sx_num_format_f32(v, at);
}

void sx_jsonw_f64(struct sx_buf *b, double v)
{
    char *at;

    if (v - v != 0) {
        sx_buf_add(b, "null", 4);
        return;
    }
    at = sx__buf_room(b, 32);
    if (at != NULL)
        b->n += sx_num_format_f64(v, at);
}

/* One look at the room for 32 floats: this writes the vectors of answers. */
void sx_jsonw_f32s(struct sx_buf *b, const float *v, uint32_t n)
{
    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < n;) {
        uint32_t stop = n - i > 32 ? i + 32 : n;
        char *at = sx__buf_room(b, 33 * 32), *from = at;

        if (at == NULL)
            return;
        for (; i < stop; i++) {
            if (i != 0)
                *at++ = ',';
            if (SX_UNLIKELY(v[i] - v[i] != 0)) {
                memcpy(at, "null", 4);
                at += 4;
            } else {
                at += sx_num_format_f32(v[i], at);
            }
        }
        b->n += (uint64_t)(at - from);
    }
    sx_buf_addc(b, ']');
}

static void write_num(struct sx_buf *b, struct sx_doc_num num)
{
    if (num.type == SX_DOC_I64)
        sx_jsonw_i64(b, num.v.i);
    else if (num.type == SX_DOC_U64)
        sx_jsonw_u64(b, num.v.u);
    else
        sx_jsonw_f64(b, num.v.f);
}

static void write_array(struct sx_buf *b, struct sx_doc v)
{
    uint32_t n = sx_doc_count(v), packed = sx_doc_type(v) != SX_DOC_ARR;

    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < n; i++) {
        if (i != 0)
            sx_buf_addc(b, ',');
        if (packed)
            write_num(b, sx_doc_elem_num(v, i));
        else
            sx_jsonw_doc(b, sx_doc_elem(v, i));
    }
    sx_buf_addc(b, ']');
}

static void write_object(struct sx_buf *b, struct sx_doc v)
{
    uint32_t n = sx_doc_count(v);

    sx_buf_addc(b, '{');
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str key;
        struct sx_doc child = sx_doc_member(v, i, &key);

        if (i != 0)
            sx_buf_addc(b, ',');
        sx_jsonw_str(b, key.p, key.n);
        sx_buf_addc(b, ':');
        sx_jsonw_doc(b, child);
    }
    sx_buf_addc(b, '}');
}

/* Recursion is as deep as the document, SX_DOC_MAX_DEPTH at most. */
void sx_jsonw_doc(struct sx_buf *b, struct sx_doc v)
{
    struct sx_str s;

    switch (sx_doc_type(v)) {
    case SX_DOC_FALSE:
        sx_buf_add(b, "false", 5);
        break;
    case SX_DOC_TRUE:
        sx_buf_add(b, "true", 4);
        break;
    case SX_DOC_I64:
    case SX_DOC_U64:
    case SX_DOC_F64:
        write_num(b, sx_doc_num(v));
        break;
    case SX_DOC_STR:
        s = sx_doc_str(v);
        sx_jsonw_str(b, s.p, s.n);
        break;
    case SX_DOC_ARR:
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        write_array(b, v);
        break;
    case SX_DOC_OBJ:
        write_object(b, v);
        break;
    default:
        sx_buf_add(b, "null", 4);
        break;
    }
}

void sx_jsonw_id(struct sx_buf *b, struct sx_id id)
{
    char *at = sx_buf_reserve(b, 40);

    if (at == NULL)
        return;
    if (id.kind != SX_ID_UUID) {
        sx_jsonw_u64(b, id.lo);
        return;
    }
    at[0] = '"';
    sx_uuid_format(id, at + 1);
    at[37] = '"';
    b->n += 38;
}
