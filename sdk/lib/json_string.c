/* JSON strings: finding the end, undoing escapes, checking UTF-8.
 *
 * Most strings have no escape; those are borrowed from the text. One look at 16 (or 8) bytes finds
 * the first quote, backslash or control character among them and, on the way, whether any byte was
 * not ASCII, so that plain text is never validated a second time. */
#include "priv.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ONES 0x0101010101010101u
#define HIGH 0x8080808080808080u

static int string_eof(struct sx_json *j)
{
    j->p = j->end;
    return sx__json_syntax(j, j->end, "EOF while parsing a string");
}

/* Steps to the next quote, backslash, control character or the end. Ors non-ASCII bits into *high.
 */
static const char *scan_plain(const char *p, const char *end, uint64_t *high)
{
#ifdef __SSE2__
    const __m128i quote16 = _mm_set1_epi8('"'), slash16 = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);

    while (end - p >= 16) {
        __m128i w = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(w, quote16), _mm_cmpeq_epi8(w, slash16));
        uint32_t stop, top = (uint32_t)_mm_movemask_epi8(w);

        /* max(w, 0x1f) is 0x1f for control characters only: the comparison is unsigned. */
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_max_epu8(w, control), control));
        stop = (uint32_t)_mm_movemask_epi8(hit);
        if (stop != 0) {
            *high |= top & (stop - 1) & ~stop;
            return p + __builtin_ctz(stop);
        }
        *high |= top;
        p += 16;
    }
#endif
    while (end - p >= 8) {
        uint64_t w = sx__load64(p), quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\'), stop;

        /* Bit 7 of a byte is set when the byte is zero (quote, slash) or below 0x20 (w). Bytes
         * above the first hit may be wrong by a borrow; only the first counts. */
        stop = ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((w - ONES * 0x20) & ~w);
        stop &= HIGH;
        if (stop != 0) {
            uint32_t n = (uint32_t)__builtin_ctzll(stop) >> 3;

            *high |= n != 0 ? w << (64 - 8 * n) & HIGH : 0;
            return p + n;
        }
        *high |= w & HIGH;
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
        *high |= (uint64_t)(unsigned char)*p & 0x80;
        p++;
    }
    return p;
}

/* Four hex digits at *p; -1 with the error set. */
static int32_t read_hex4(struct sx_json *j, const char **p)
{
    int32_t v = 0;

    if (j->end - *p < 4)
        return string_eof(j), -1;
    for (int i = 0; i < 4; i++) {
        char c = (*p)[i], lower = (char)(c | 0x20);

        if (sx__is_digit(c))
            v = v * 16 + (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v * 16 + (lower - 'a' + 10);
        else
            return (void)sx__json_syntax(j, *p + 3, "invalid escape"), -1;
    }
    *p += 4;
    return v;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Behind "\u": one code point, from one or two escapes. */
static int read_unicode(struct sx_json *j, const char **p, uint32_t *out)
{
    int32_t a = read_hex4(j, p), b;

    if (a < 0)
        return SX_EFORMAT;
    if (a >= 0xdc00 && a <= 0xdfff)
        return sx__json_syntax(j, *p - 1, "lone leading surrogate in hex escape");
    if (a < 0xd800 || a > 0xdbff) {
        *out = (uint32_t)a;
        return SX_OK;
    }
    for (int i = 0; i < 2; i++) {
        if (*p == j->end)
            return string_eof(j);
        if (**p != "\\u"[i])
            return sx__json_syntax(j, *p, "unexpected end of hex escape");
        *p += 1;
    }
    b = read_hex4(j, p);
    if (b < 0)
        return SX_EFORMAT;
    if (b < 0xdc00 || b > 0xdfff)
        return sx__json_syntax(j, *p - 1, "lone leading surrogate in hex escape");
    *out = 0x10000 + (((uint32_t)a - 0xd800) << 10) + ((uint32_t)b - 0xdc00);
    return SX_OK;
}

/* The escape whose backslash is at *p, decoded to *to when `to` points at something. */
static int read_escape(struct sx_json *j, const char **p, char **to)
{
    uint32_t c = 0;

    *p += 1;
    if (*p == j->end)
        return string_eof(j);
    switch (*(*p)++) {
    case '"':
        c = '"';
        break;
    case '\\':
        c = '\\';
        break;
    case '/':
        c = '/';
        break;
    case 'b':
        c = '\b';
        break;
    case 'f':
        c = '\f';
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 't':
        c = '\t';
        break;
    case 'u': {
        int rc = read_unicode(j, p, &c);

        if (rc < 0)
            return rc;
        break;
    }
    default:
        return sx__json_syntax(j, *p - 1, "invalid escape");
    }
    if (*to != NULL)
        *to = put_utf8(*to, c);
    return SX_OK;
}

/* Room for the decoded string that starts at p. Decoding never lengthens, so the length of the
 * text up to the closing quote is enough. */
static char *decode_room(struct sx_json *j, const char *p)
{
    const char *q = p;

    while (q < j->end && *q != '"')
        q += *q == '\\' && j->end - q > 1 ? 2 : 1;
    return sx_arena_alloc(j->arena, (uint64_t)(q - p) + 1);
}

/* The string has an escape at p; what lies between `from` and p is plain. */
static int string_escaped(
    struct sx_json *j, const char *from, const char *p, uint64_t high, struct sx_str *out)
{
    char *text = NULL, *to = NULL;
    int rc;

    if (out != NULL) {
        text = to = decode_room(j, from);
        if (text == NULL)
            return sx__json_enomem(j);
    }
    for (;;) {
        if (to != NULL) {
            memcpy(to, from, (size_t)(p - from));
            to += p - from;
        }
        if (p == j->end)
            return string_eof(j);
        /* Runs between escapes are validated one by one; an escape cannot split a code point. */
        if (high != 0 && !sx_utf8_valid(from, (uint64_t)(p - from))) {
            const char *q = p;

            /* The reference finds bad UTF-8 only at the closing quote: other errors come first. */
            for (char *none = NULL; q < j->end && *q != '"';) {
                if (*q == '\\') {
                    rc = read_escape(j, &q, &none);
                    if (rc < 0)
                        return rc;
                } else if ((unsigned char)*q < 0x20) {
                    p = q;
                    break;
                } else {
                    q++;
                }
            }
            if (q == j->end)
                return string_eof(j);
            if (*q == '"')
                return sx__json_syntax(j, q, "invalid unicode code point");
            p = q;
        }
        if (*p == '"')
            break;
        if (*p != '\\')
            return sx__json_syntax(
                j, p, "control character (\\u0000-\\u001F) found while parsing a string");
        rc = read_escape(j, &p, &to);
        if (rc < 0)
            return rc;
        from = p;
        high = 0;
        p = scan_plain(p, j->end, &high);
    }
    if (out != NULL) {
        if ((uint64_t)(to - text) > UINT32_MAX)
            return sx__json_enomem(j);
        *out = (struct sx_str){text, (uint32_t)(to - text), 0};
    }
    j->p = p + 1;
    return SX_OK;
}

int sx__json_string(struct sx_json *j, struct sx_str *out)
{
    const char *from = j->p + 1, *p;
    uint64_t high = 0;

    p = scan_plain(from, j->end, &high);
    if (SX_LIKELY(p < j->end && *p == '"')) {
        uint64_t n = (uint64_t)(p - from);

        if (SX_UNLIKELY(high != 0 && !sx_utf8_valid(from, n)))
            return sx__json_syntax(j, p, "invalid unicode code point");
        if (SX_UNLIKELY(n > UINT32_MAX))
            return sx__json_enomem(j);
        if (out != NULL)
            *out = (struct sx_str){from, (uint32_t)n, 0};
        j->p = p + 1;
        return SX_OK;
    }
    if (p == j->end)
        return string_eof(j);
    return string_escaped(j, from, p, high, out);
}
