/* Point ids: unsigned numbers and UUIDs, their texts, their order, their hash.
 *
 * The UUID forms are those of the wire contract: hyphenated, 32 plain digits, braces around the
 * hyphenated form only, and "urn:uuid:" in lower case before it. No blanks anywhere. Thread: any.
 */
#include "priv.h"

static int hex_digit(char c)
{
    if (sx__is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int hex_run(const char *s, uint32_t n, uint64_t *out)
{
    uint64_t v = 0;

    for (uint32_t i = 0; i < n; i++) {
        int d = hex_digit(s[i]);

        if (d < 0)
            return 0;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return 1;
}

int sx_uuid_parse(const char *s, uint64_t n, struct sx_id *out)
{
    uint64_t a, b, c, d, e;

    if (n == 32) {
        if (!hex_run(s, 16, &a) || !hex_run(s + 16, 16, &b))
            return SX_EINPUT;
        *out = (struct sx_id){.hi = a, .lo = b, .kind = SX_ID_UUID};
        return SX_OK;
    }
    if (n == 38 && s[0] == '{' && s[37] == '}') {
        s++;
        n -= 2;
    } else if (n == 45 && memcmp(s, "urn:uuid:", 9) == 0) {
        s += 9;
        n -= 9;
    }
    if (n != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-')
        return SX_EINPUT;
    if (!hex_run(s, 8, &a) || !hex_run(s + 9, 4, &b) || !hex_run(s + 14, 4, &c) ||
        !hex_run(s + 19, 4, &d) || !hex_run(s + 24, 12, &e))
        return SX_EINPUT;
    *out = (struct sx_id){.hi = a << 32 | b << 16 | c, .lo = d << 48 | e, .kind = SX_ID_UUID};
    return SX_OK;
}

void sx_uuid_format(struct sx_id id, char out[37])
{
    static const char hex[] = "0123456789abcdef";
    uint32_t at = 0;

    for (uint32_t i = 0; i < 32; i++) {
        uint64_t half = i < 16 ? id.hi : id.lo;

        if (i == 8 || i == 12 || i == 16 || i == 20)
            out[at++] = '-';
        out[at++] = hex[half >> (60 - 4 * (i & 15)) & 15];
    }
    out[at] = 0;
}

int sx_id_parse(const char *s, uint64_t n, struct sx_id *out)
{
    uint64_t v = 0, i = n > 1 && s[0] == '+';
    int fits = n != 0;

    for (; i < n && fits; i++) {
        uint64_t d = (uint64_t)(unsigned char)s[i] - '0';

        fits = d < 10 && !__builtin_mul_overflow(v, 10u, &v) && !__builtin_add_overflow(v, d, &v);
    }
    if (fits) {
        *out = (struct sx_id){.hi = 0, .lo = v, .kind = SX_ID_NUM};
        return SX_OK;
    }
    return sx_uuid_parse(s, n, out);
}

void sx_id_format(struct sx_id id, char out[40])
{
    char digits[20];
    uint32_t n = 0, at = 0;
    uint64_t v = id.lo;

    if (id.kind == SX_ID_UUID) {
        sx_uuid_format(id, out);
        return;
    }
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    while (n != 0)
        out[at++] = digits[--n];
    out[at] = 0;
}

int sx_id_cmp(const struct sx_id *a, const struct sx_id *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    if (a->lo != b->lo)
        return a->lo < b->lo ? -1 : 1;
    return 0;
}

/* Multiply-and-shift mixing; every input bit reaches every output bit. Sequential numbers are the
 * common ids, so the low bits of the result must not follow the low bits of the input. */
uint64_t sx_id_hash(const struct sx_id *id)
{
    uint64_t h = id->lo ^ (id->kind != SX_ID_NUM ? 0x9e3779b97f4a7c15u : 0);

    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    h += id->hi * 0xc2b2ae3d27d4eb4fu;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return h;
}
