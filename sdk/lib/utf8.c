/* UTF-8: validation, decoding, counting.
 *
 * Valid means the shortest form of a code point up to U+10FFFF that is no surrogate. Most text is
 * ASCII, so validation steps over eight such bytes at a time. Thread: any. */
#include "priv.h"

#define UTF8_HIGH 0x8080808080808080u

/* Length of the well-formed sequence at p, 0 when there is none. The first byte is not ASCII. */
static uint32_t utf8_sequence(const unsigned char *p, uint64_t n)
{
    unsigned char c = p[0];

    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (n < 2 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (c < 0xe0)
        return 2;
    if (n < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (c < 0xf0) {
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] >= 0xa0))
            return 0;
        return 3;
    }
    if (n < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] >= 0x90))
        return 0;
    return 4;
}

int sx_utf8_valid(const char *s, uint64_t n)
{
    const unsigned char *p = (const unsigned char *)s;

    while (n != 0) {
        uint32_t step;

        if (*p < 0x80) {
            while (n >= 8 && (sx__load64(p) & UTF8_HIGH) == 0) {
                p += 8;
                n -= 8;
            }
            while (n != 0 && *p < 0x80) {
                p++;
                n--;
            }
            continue;
        }
        step = utf8_sequence(p, n);
        if (step == 0)
            return 0;
        p += step;
        n -= step;
    }
    return 1;
}

uint32_t sx_utf8_next(const char **p, const char *end)
{
    const unsigned char *s = (const unsigned char *)*p;
    uint32_t step, c;

    if (*p >= end)
        return 0xfffd;
    c = s[0];
    if (c < 0x80) {
        *p += 1;
        return c;
    }
    step = utf8_sequence(s, (uint64_t)(end - *p));
    if (step == 0) {
        *p += 1;
        return 0xfffd;
    }
    *p += step;
    c &= 0x7fu >> step;
    for (uint32_t i = 1; i < step; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

/* Every code point has one byte that is not a continuation byte. */
uint64_t sx_utf8_count(const char *s, uint64_t n)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}
