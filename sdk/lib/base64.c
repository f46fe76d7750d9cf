/* Base64 in the standard and the URL alphabet (RFC 4648).
 *
 * Decoding takes padding or none, but no blanks and no line ends; bits that the last digit has
 * beyond the last byte must be zero, so that one byte string has one text. Thread: any. */
#include "priv.h"

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a digit or -1. */
static int b64_value(char c, int url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (sx__is_digit(c))
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

int64_t sx_base64_decode(const char *s, uint64_t n, uint8_t *out, int url)
{
    uint64_t digits = n, at = 0;
    uint32_t word = 0;

    while (digits > 0 && n - digits < 2 && s[digits - 1] == '=')
        digits--;
    if (digits != n && n % 4 != 0)
        return SX_EINPUT;
    if (digits % 4 == 1)
        return SX_EINPUT;
    for (uint64_t i = 0; i < digits; i++) {
        int v = b64_value(s[i], url);

        if (v < 0)
            return SX_EINPUT;
        word = word << 6 | (uint32_t)v;
        if (i % 4 == 3) {
            out[at++] = (uint8_t)(word >> 16);
            out[at++] = (uint8_t)(word >> 8);
            out[at++] = (uint8_t)word;
            word = 0;
        }
    }
    if (digits % 4 == 2) {
        if ((word & 15) != 0)
            return SX_EINPUT;
        out[at++] = (uint8_t)(word >> 4);
    } else if (digits % 4 == 3) {
        if ((word & 3) != 0)
            return SX_EINPUT;
        out[at++] = (uint8_t)(word >> 10);
        out[at++] = (uint8_t)(word >> 2);
    }
    return (int64_t)at;
}

/* The standard form is padded, the URL form is not, as their users expect. */
uint64_t sx_base64_encode(const void *p, uint64_t n, char *out, int url)
{
    const char *digit = url ? b64_url : b64_std;
    const uint8_t *in = p;
    uint64_t at = 0;

    for (; n >= 3; n -= 3, in += 3) {
        uint32_t w = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

        out[at++] = digit[w >> 18];
        out[at++] = digit[w >> 12 & 63];
        out[at++] = digit[w >> 6 & 63];
        out[at++] = digit[w & 63];
    }
    if (n != 0) {
        uint32_t w = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);

        out[at++] = digit[w >> 18];
        out[at++] = digit[w >> 12 & 63];
        if (n == 2)
            out[at++] = digit[w >> 6 & 63];
        else if (!url)
            out[at++] = '=';
        if (!url)
            out[at++] = '=';
    }
    return at;
}
