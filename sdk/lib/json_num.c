/* Number tokens: splitting them and finding the nearest double.
 *
 * Three ways to the value, cheapest first; each is exact, they differ in what they can decide:
 *   1. m <= 2^53 and 10^|e| <= 10^22: one multiplication or division of two exact doubles;
 *   2. m * 128 bits of 10^e (Lemire, "Number parsing at a gigabyte per second", 2021): decides all
 *      tokens of up to 19 digits, and longer ones when m and m + 1 give the same double;
 *   3. strtod on a normalised copy of at most 770 digits: a few tokens in a million. No double
 *      lies half-way between others with more digits than that, so the rest is one sticky digit.
 * libc's strtod depends on the locale, which no part of the server ever sets. Thread: any. */
#include <stdlib.h>

#include "priv.h"

#define NUM_EXACT_POW 22
#define NUM_DIGITS    770u /* more than the 767 that can matter */

static const double exact_pow[NUM_EXACT_POW + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static int broken(struct sx__num *out, const char *p, const char *end)
{
    out->end = p;
    out->bad = p == end ? SX__NUM_EOF : SX__NUM_AT;
    return out->bad;
}

/* The exponent behind 'e' at p. Values beyond 32 bits are an error upwards and saturate downwards;
 * a zero mantissa takes any exponent. */
static int scan_exponent(const char *p, const char *end, struct sx__num *out)
{
    int64_t e = 0;
    int minus = 0;

    p++;
    if (p < end && (*p == '+' || *p == '-'))
        minus = *p++ == '-';
    if (p == end || !sx__is_digit(*p))
        return broken(out, p, end);
    for (; p < end && sx__is_digit(*p); p++) {
        if (e <= INT32_MAX)
            e = e * 10 + (*p - '0');
        if (e > INT32_MAX && !minus && (out->m != 0 || out->cut)) {
            out->end = p + 1;
            out->bad = SX__NUM_RANGE;
            return out->bad;
        }
    }
    out->e10 += minus ? -e : e;
    out->is_int = 0;
    out->end = p;
    return SX__NUM_OK;
}

int sx__num_scan(const char *p, const char *end, struct sx__num *out)
{
    uint64_t m = 0;
    uint32_t digits = 0; /* significant ones in m */
    int64_t e10 = 0;

    memset(out, 0, sizeof(*out));
    out->is_int = 1;
    if (p < end && *p == '-') {
        out->neg = 1;
        p++;
    }
    if (p == end || !sx__is_digit(*p))
        return broken(out, p, end);
    if (*p == '0') {
        p++;
        if (p < end && sx__is_digit(*p))
            return broken(out, p, end);
    } else {
        for (; p < end && sx__is_digit(*p); p++) {
            uint32_t d = (uint32_t)(*p - '0');

            if (digits < 19) {
                m = m * 10 + d;
                digits++;
            } else if (digits == 19 && e10 == 0 && (p + 1 == end || !sx__is_digit(p[1])) &&
                       (m < UINT64_MAX / 10 || (m == UINT64_MAX / 10 && d <= UINT64_MAX % 10))) {
                /* Twenty digits that fit: the top of the unsigned range. */
                m = m * 10 + d;
                digits++;
            } else {
                out->cut = 1;
                e10++;
            }
        }
    }
    if (p < end && *p == '.') {
        p++;
        if (p == end || !sx__is_digit(*p))
            return broken(out, p, end);
        out->is_int = 0;
        for (; p < end && sx__is_digit(*p); p++) {
            if (digits < 19) {
                m = m * 10 + (uint32_t)(*p - '0');
                digits += m != 0;
                e10--;
            } else if (*p != '0') {
                out->cut = 1;
            }
        }
    }
    out->m = m;
    out->e10 = e10;
    out->end = p;
    if (p < end && (*p == 'e' || *p == 'E'))
        return scan_exponent(p, end, out);
    return SX__NUM_OK;
}

/* Bits of the double nearest to w * 10^e, w != 0, e within the table. Lemire's algorithm: the 128
 * bit product of w and the truncated power is off by less than one in its last used place, and the
 * proof in the paper (completed by Mushtak and Lemire, 2022) says that the bits looked at never
 * hide a wrong rounding for 64-bit w. */
static uint64_t nearest_bits(uint64_t w, int32_t e)
{
    const uint64_t *pow = sx__pow10[e - SX__POW10_MIN];
    uint32_t lz = (uint32_t)__builtin_clzll(w), top;
    unsigned __int128 prod;
    uint64_t hi, lo, m;
    int32_t e2;

    w <<= lz;
    prod = (unsigned __int128)w * pow[0];
    hi = (uint64_t)(prod >> 64);
    if ((hi & 0x1ff) == 0x1ff) {
        /* The bits below the mantissa are all ones: the lower half of the power may carry in. Where
         * 5^-e fits 64 bits the quotient can be exact, half-way cases among them, and must not come
         * out just below: there the power has to be rounded up. */
        prod += (uint64_t)(((unsigned __int128)w * (pow[1] + (e < 0 && e >= -27))) >> 64);
        hi = (uint64_t)(prod >> 64);
    }
    lo = (uint64_t)prod;
    top = (uint32_t)(hi >> 63);
    m = hi >> (top + 9); /* 54 bits: 53 and one to round by */
    /* floor(e * log2(10)) + 63: where bit 63 of a normalised product stands. */
    e2 = ((217706 * e) >> 16) + 63 + (int32_t)top - (int32_t)lz + 1023;
    if (e2 <= 0) {
        if (-e2 + 1 >= 64)
            return 0;
        m >>= -e2 + 1;
        m += m & 1;
        m >>= 1;
        /* Rounding may make it normal; the bits then already say so. */
        return m;
    }
    /* Exactly half-way happens only where 5^|e| fits 64 bits; then ties go to even. */
    if (lo <= 1 && e >= -4 && e <= 23 && (m & 3) == 1 && m << (top + 9) == hi)
        m &= ~(uint64_t)1;
    m += m & 1;
    m >>= 1;
    if (m >= (uint64_t)1 << 53) {
        m = (uint64_t)1 << 52;
        e2++;
    }
    if (e2 >= 2047)
        return (uint64_t)2047 << 52;
    return (m & ~((uint64_t)1 << 52)) | (uint64_t)e2 << 52;
}

static uint64_t nearest_clamped(uint64_t w, int64_t e)
{
    if (w == 0 || e < SX__POW10_MIN)
        return 0;
    if (e > 308)
        return (uint64_t)2047 << 52;
    return nearest_bits(w, (int32_t)e);
}

/* strtod over the token's digits, leading zeros and surplus digits removed. */
static double by_strtod(const struct sx__num *num, const char *tok)
{
    char text[NUM_DIGITS + 32];
    const char *point = NULL, *p;
    int64_t e10 = 0; /* of the last digit in text */
    uint32_t n = 0;
    int sticky = 0;

    for (p = tok + num->neg; p < num->end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = p;
            continue;
        }
        if (n < NUM_DIGITS) {
            e10 -= point != NULL;
            if (n != 0 || *p != '0')
                text[n++] = *p;
        } else {
            sticky |= *p != '0';
            e10 += point == NULL;
        }
    }
    if (n == 0)
        return 0.0;
    if (sticky) {
        text[n++] = '1';
        e10--;
    }
    if (p < num->end) {
        int minus = p[1] == '-';
        int64_t e = 0;

        for (p += minus || p[1] == '+' ? 2 : 1; p < num->end; p++)
            e = e <= INT32_MAX ? e * 10 + (*p - '0') : e;
        e10 += minus ? -e : e;
    }
    e10 = e10 > 99999 ? 99999 : e10 < -99999 ? -99999 : e10;
    text[n++] = 'e';
    text[n++] = e10 < 0 ? '-' : '+';
    for (int64_t unit = 10000, v = e10 < 0 ? -e10 : e10; unit != 0; unit /= 10)
        text[n++] = (char)('0' + v / unit % 10);
    text[n] = 0;
    return strtod(text, NULL);
}

double sx__num_value(const struct sx__num *num, const char *tok)
{
    uint64_t bits;
    double v;

    if (!num->cut && num->m <= (uint64_t)1 << 53 && num->e10 >= -NUM_EXACT_POW &&
        num->e10 <= NUM_EXACT_POW) {
        v = (double)num->m;
        v = num->e10 < 0 ? v / exact_pow[-num->e10] : v * exact_pow[num->e10];
        return num->neg ? -v : v;
    }
    bits = nearest_clamped(num->m, num->e10);
    if (num->cut && bits != nearest_clamped(num->m + 1, num->e10))
        v = by_strtod(num, tok);
    else
        v = sx__bits_f64(bits);
    return num->neg ? -v : v;
}

double sx_num_f64(const char *s, uint64_t n)
{
    struct sx__num num;
    int rc = sx__num_scan(s, s + n, &num);

    if (rc == SX__NUM_RANGE)
        return num.neg ? -__builtin_inf() : __builtin_inf();
    return rc == SX__NUM_OK ? sx__num_value(&num, s) : 0.0;
}
