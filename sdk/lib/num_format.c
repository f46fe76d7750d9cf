/* Shortest decimal text of a float that reads back to the same float.
 *
 * The algorithm is Schubfach (R. Giulietti, "The Schubfach way to render doubles", 2020): the
 * rounding interval of v is scaled by a power of ten so that it holds at most two candidates of
 * the shorter length and at least one of the longer; three products of the mantissa with 128 (64
 * for f32) bits of that power, each rounded to odd, are enough to choose. The powers must be
 * rounded up here, while the shared table is rounded down: see pow_up().
 *
 * Layout of the text: plain digits while the decimal point is near ("0.00001", "123.0",
 * "1000000000000000.0"), else d.ddde<exponent> without plus or leading zeros. There is always a
 * fraction or an exponent, so that a reader sees a float. Thread: any. */
#include "priv.h"

#define PLAIN_HIGH 16 /* digits before the point in plain form */
#define PLAIN_LOW  5  /* 10^-5 is still plain, 10^-6 is not */

struct decimal {
    uint64_t digits; /* v = digits * 10^exp */
    int32_t exp;
};

static const char two_digits[201] = "00010203040506070809"
                                    "10111213141516171819"
                                    "20212223242526272829"
                                    "30313233343536373839"
                                    "40414243444546474849"
                                    "50515253545556575859"
                                    "60616263646566676869"
                                    "70717273747576777879"
                                    "80818283848586878889"
                                    "90919293949596979899";

/* floor(e * log2(10)), floor(e * log10(2)), floor(e * log10(2) - log10(4/3)): exact for the
 * exponents of doubles. */
static int32_t log2_pow10(int32_t e)
{
    return (int32_t)(((int64_t)e * 1741647) >> 19);
}

static int32_t log10_pow2(int32_t e, int32_t narrow)
{
    return (int32_t)(((int64_t)e * 1262611 - (narrow ? 524031 : 0)) >> 22);
}

/* Leading 128 bits of 10^e rounded up. 0 <= e <= 55 is exact; elsewhere the table truncates, and
 * adding one never carries into the upper half (the generator checks). */
static void pow_up(int32_t e, uint64_t *hi, uint64_t *lo)
{
    const uint64_t *row = sx__pow10[e - SX__POW10_MIN];

    *hi = row[0];
    *lo = row[1] + (e < 0 || e > 55);
}

/* Upper 64 of the 192 bits g * c, lowest bit set when anything below was lost. */
static uint64_t product_odd64(uint64_t hi, uint64_t lo, uint64_t c)
{
    uint64_t low = (uint64_t)(((unsigned __int128)lo * c) >> 64);
    unsigned __int128 p = (unsigned __int128)hi * c + low;

    return (uint64_t)(p >> 64) | ((uint64_t)p > 1);
}

static uint32_t product_odd32(uint64_t g, uint32_t c)
{
    unsigned __int128 p = (unsigned __int128)g * c;

    return (uint32_t)(p >> 64) | ((uint32_t)(p >> 32) > 1);
}

/* The choice between candidates; lower, value and upper are the scaled interval, times four. */
static inline struct decimal
choose(uint64_t lower, uint64_t value, uint64_t upper, uint32_t odd, int32_t k)
{
    uint64_t s = value / 4, tens = s / 10;
    int below, above;

    lower += odd;
    upper -= odd;
    if (s >= 10) {
        below = lower <= 40 * tens;
        above = 40 * tens + 40 <= upper;
        if (below != above)
            return (struct decimal){tens + (uint64_t)above, k + 1};
    }
    below = lower <= 4 * s;
    above = 4 * s + 4 <= upper;
    if (below != above)
        return (struct decimal){s + (uint64_t)above, k};
    /* Both or neither: the nearer one, ties to even. */
    above = value > 4 * s + 2 || (value == 4 * s + 2 && (s & 1) != 0);
    return (struct decimal){s + (uint64_t)above, k};
}

static inline struct decimal shortest_f64(uint64_t bits)
{
    uint64_t frac = bits & (((uint64_t)1 << 52) - 1), c, hi, lo;
    int32_t e = (int32_t)(bits >> 52 & 2047), q, k, h, narrow;

    if (bits == 0)
        return (struct decimal){0, 0};
    c = e != 0 ? frac | (uint64_t)1 << 52 : frac;
    q = (e != 0 ? e : 1) - 1075;
    /* Small integers need no interval: c * 2^q has no bits behind the point. */
    if (q <= 0 && q > -53 && (c & (((uint64_t)1 << -q) - 1)) == 0)
        return (struct decimal){c >> -q, 0};
    narrow = frac == 0 && e > 1; /* the gap below a power of two is half the gap above */
    k = log10_pow2(q, narrow);
    h = q + log2_pow10(-k) + 1;
    pow_up(-k, &hi, &lo);
    return choose(product_odd64(hi, lo, (4 * c - 2 + (uint64_t)narrow) << h),
                  product_odd64(hi, lo, 4 * c << h), product_odd64(hi, lo, (4 * c + 2) << h),
                  (uint32_t)(c & 1), k);
}

static inline struct decimal shortest_f32(uint32_t bits)
{
    uint32_t frac = bits & ((1u << 23) - 1), c;
    int32_t e = (int32_t)(bits >> 23 & 255), q, k, h, narrow;
    uint64_t hi, lo;

    if (bits == 0)
        return (struct decimal){0, 0};
    c = e != 0 ? frac | 1u << 23 : frac;
    q = (e != 0 ? e : 1) - 150;
    if (q <= 0 && q > -24 && (c & ((1u << -q) - 1)) == 0)
        return (struct decimal){c >> -q, 0};
    narrow = frac == 0 && e > 1;
    k = log10_pow2(q, narrow);
    h = q + log2_pow10(-k) + 1;
    /* 64 bits of the power, rounded up: exact while 10^-k fits them. */
    pow_up(-k, &hi, &lo);
    hi += lo != 0;
    return choose(product_odd32(hi, (4 * c - 2 + (uint32_t)narrow) << h),
                  product_odd32(hi, 4 * c << h), product_odd32(hi, (4 * c + 2) << h), c & 1, k);
}

/* Digits of v in front of `end`; returns where they start. */
static inline char *put_digits(char *end, uint64_t v)
{
    uint32_t w;

    /* A double's 17 digits need the wide division for the upper half only. */
    while (v >= 100000000) {
        uint64_t rest = v / 100000000;

        w = (uint32_t)(v - rest * 100000000);
        for (int i = 0; i < 4; i++) {
            end -= 2;
            memcpy(end, two_digits + 2 * (w % 100), 2);
            w /= 100;
        }
        v = rest;
    }
    for (w = (uint32_t)v; w >= 100; w /= 100) {
        end -= 2;
        memcpy(end, two_digits + 2 * (w % 100), 2);
    }
    if (w >= 10) {
        end -= 2;
        memcpy(end, two_digits + 2 * w, 2);
    } else {
        *--end = (char)('0' + w);
    }
    return end;
}

static uint32_t put_exponent(char *out, int32_t e)
{
    char text[8], *end = text + sizeof(text), *p;
    uint32_t n = 0;

    out[n++] = 'e';
    if (e < 0)
        out[n++] = '-';
    p = put_digits(end, (uint64_t)(e < 0 ? -e : e));
    memcpy(out + n, p, (size_t)(end - p));
    return n + (uint32_t)(end - p);
}

/* Copies have fixed lengths, which are single moves; what they write beyond the text lies within
 * the 32 bytes that callers give (31 at most, with the sign). */
static inline uint32_t put_decimal(struct decimal d, char *out)
{
    char text[48], *end = text + 24, *p;
    int32_t n, point; /* digits, digits before the point */

    if (d.digits == 0) {
        memcpy(out, "0.0", 3);
        return 3;
    }
    memset(end, '0', 24);
    p = put_digits(end, d.digits);
    while (end[-1] == '0') {
        end--;
        d.exp++;
    }
    n = (int32_t)(end - p);
    point = n + d.exp;
    if (point <= 0 && point > -PLAIN_LOW) {
        memcpy(out, "0.000000", 8);
        out += 2 - point;
        memcpy(out, p, 16);
        out[16] = p[16];
        return (uint32_t)(2 - point + n);
    }
    if (point > 0 && point <= PLAIN_HIGH) {
        memcpy(out, p, 16); /* zeros follow the digits */
        out[point] = '.';
        if (n <= point) {
            out[point + 1] = '0';
            return (uint32_t)point + 2;
        }
        if (n - point <= 8)
            memcpy(out + point + 1, p + point, 8);
        else
            memcpy(out + point + 1, p + point, 16);
        return (uint32_t)n + 1;
    }
    out[0] = p[0];
    if (n == 1)
        return 1 + put_exponent(out + 1, point - 1);
    out[1] = '.';
    memcpy(out + 2, p + 1, 16);
    return (uint32_t)n + 1 + put_exponent(out + n + 1, point - 1);
}

uint32_t sx_num_format_f64(double v, char *out)
{
    uint64_t bits = sx__f64_bits(v);
    uint32_t minus = (uint32_t)(bits >> 63);

    *out = '-';
    return minus + put_decimal(shortest_f64(bits & INT64_MAX), out + minus);
}

uint32_t sx_num_format_f32(float v, char *out)
{
    uint32_t bits, minus;

    memcpy(&bits, &v, 4);
    minus = bits >> 31;
    *out = '-';
    return minus + put_decimal(shortest_f32(bits & 0x7fffffff), out + minus);
}
