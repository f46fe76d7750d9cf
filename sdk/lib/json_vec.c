/* Lists of numbers: the vectors of queries and upserts, the indices of sparse vectors.
 *
 * sx_json_f32s() is the hottest code of a server that speaks JSON: a query of 768 dimensions is
 * 10 to 17 KB of digits. While 64 bytes of text are left, a token is read by loads of eight
 * digits at a time (SWAR) and valued by multiplications with rounded powers of ten. That value is
 * off by a few units in the last place of a double, so it is only trusted when it rounds to the
 * same float from anywhere in that distance: when it is not near the middle between two floats.
 * Of 2^29 positions FAST_DOUBT * 2 are too near; those tokens, subnormal floats, long digit
 * strings and everything unusual go to the exact reader, which also finds the errors.
 *
 * Measured on a 2.5 GHz server core: 13 to 15 ns a float, 36 to 45 times as fast as jansson. */
#include "priv.h"

#define FAST_MARGIN  64  /* bytes a fast token may look at */
#define FAST_DOUBT   16u /* > units in the last place the fast value may be off, see fast_float() */
#define FIRST_FLOATS 1024 /* room when nobody gave a hint */

static const double inv_pow[25] = {
    1e0,   1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8,  1e-9,  1e-10, 1e-11, 1e-12,
    1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22, 1e-23, 1e-24,
};
static const uint64_t int_pow[9] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
};
#define ALWAYS __attribute__((__always_inline__))
/* 10^-40 .. 10^40 */
#define EXP_MAX 40
static const double exp_pow[2 * EXP_MAX + 1] = {
    1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32, 1e-31, 1e-30, 1e-29,
    1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17,
    1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,
    1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,
    1e8,   1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19,
    1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,  1e27,  1e28,  1e29,  1e30,  1e31,
    1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38,  1e39,  1e40,
};

/* Number of leading decimal digits in the eight bytes of x, which had '0' xored out. A byte above
 * 9 sets its bit 7 in the sum; a carry from it only reaches later bytes. */
static inline uint32_t digit_run(uint64_t x)
{
    uint64_t stop = ((x + 0x7676767676767676u) | x) & 0x8080808080808080u;

    return stop == 0 ? 8 : (uint32_t)__builtin_ctzll(stop) >> 3;
}

/* Value of the first n digits of x: shift the others out, so that zeros lead; then pairs, fours,
 * all eight. Two shifts, because n may be 0 and a shift by 64 is undefined. */
static inline uint64_t digit_value(uint64_t x, uint32_t n)
{
    uint32_t half = 4 * (8 - n);

    x = x << half << half;
    x = x * 10 + (x >> 8);
    return ((x & 0x000000ff000000ff) * (100 + ((uint64_t)1000000 << 32)) +
            ((x >> 16) & 0x000000ff000000ff) * (1 + ((uint64_t)10000 << 32))) >>
           32;
}

/* The eight bytes at p, or at p + 1 when `skip` is all ones. Whether a number has a sign is as good
 * as random, so neither a jump nor an address may depend on it: both words are loaded. */
static inline uint64_t load_either(const char *p, uint64_t skip)
{
    uint64_t a = sx__load64(p), b = sx__load64(p + 1);

    return a ^ ((a ^ b) & skip);
}

/* The fraction digits at p (+ 1 with skip) as a double; n is their number. Returns 0 when there are
 * none or more than 24. */
static inline ALWAYS int fast_fraction(const char *p, uint64_t skip, double *out, uint32_t *digits)
{
    uint64_t x = load_either(p, skip) ^ 0x3030303030303030u, v;
    uint32_t n = digit_run(x);

    if (SX_UNLIKELY(n < 8)) {
        *out = (double)(int64_t)digit_value(x, n) * inv_pow[n];
        *digits = n;
        return n != 0;
    }
    v = digit_value(x, 8);
    x = load_either(p + 8, skip) ^ 0x3030303030303030u;
    n = digit_run(x);
    v = v * int_pow[n] + digit_value(x, n);
    *out = (double)(int64_t)v * inv_pow[8 + n];
    *digits = 8 + n;
    if (n < 8)
        return 1;
    x = load_either(p + 16, skip) ^ 0x3030303030303030u;
    n = digit_run(x);
    *out += (double)(int64_t)digit_value(x, n) * inv_pow[16 + n];
    *digits = 16 + n;
    return n < 8;
}

/* Unsigned number with another integer part than 0; its end or NULL. Fewer than eight digits before
 * the point: more are rare, and would not be exact in a float anyway. */
static const char *fast_integer(const char *p, double *out)
{
    uint64_t x = sx__load64(p) ^ 0x3030303030303030u;
    uint32_t n = digit_run(x);
    double fraction;

    if (n == 0 || n == 8 || (n > 1 && p[0] == '0'))
        return NULL;
    *out = (double)(int64_t)digit_value(x, n);
    p += n;
    if (*p != '.')
        return p;
    if (!fast_fraction(p + 1, 0, &fraction, &n))
        return NULL;
    *out += fraction;
    return p + 1 + n;
}

/* Applies the exponent whose 'e' is at p; its end, or NULL when it is not a plain small one. */
static const char *fast_exponent(const char *p, double *v)
{
    int32_t down = p[1] == '-', e;

    p += down || p[1] == '+' ? 2 : 1;
    if (!sx__is_digit(p[0]))
        return NULL;
    e = *p++ - '0';
    if (sx__is_digit(*p))
        e = e * 10 + (*p++ - '0');
    if (sx__is_digit(*p) || e > EXP_MAX)
        return NULL;
    *v *= exp_pow[EXP_MAX + (down ? -e : e)];
    /* Subnormal floats keep fewer bits, so the test of the middle would look at the wrong place. */
    return *v == 0 || (*v >= 0x1p-126 && *v < 0x1p127) ? p : NULL;
}

/* A number token at p with FAST_MARGIN readable bytes. Returns its end, or NULL when the exact
 * reader must look at it.
 *
 * Error of v in units of 2^-53 of its value: a conversion (1, beyond 53 bits), a table entry (1), a
 * product (1) for each part; two parts and an integer are added (1 each); an exponent multiplies
 * once more (2). All terms have one sign, so relative errors do not grow by adding. Below 8 in all,
 * which is below 16 units in the last place. */
static inline ALWAYS const char *fast_float(const char *p, float *out)
{
    uint32_t minus = *p == '-', n, bits32;
    uint64_t skip = 0 - (uint64_t)minus, bits;
    double v;
    float f;

    if (SX_LIKELY(p[minus] == '0' && p[minus + 1] == '.')) {
        if (SX_UNLIKELY(!fast_fraction(p + 2, skip, &v, &n)))
            return NULL;
        p += minus + 2 + n;
    } else {
        p = fast_integer(p + minus, &v);
        if (SX_UNLIKELY(p == NULL))
            return NULL;
    }
    if (SX_UNLIKELY((*p | 0x20) == 'e')) {
        p = fast_exponent(p, &v);
        if (SX_UNLIKELY(p == NULL))
            return NULL;
    }
    bits = sx__f64_bits(v);
    if (SX_UNLIKELY(((bits - (0x10000000u - FAST_DOUBT)) & 0x1fffffffu) <= 2 * FAST_DOUBT))
        return NULL;
    f = (float)v;
    memcpy(&bits32, &f, 4);
    bits32 |= minus << 31;
    memcpy(out, &bits32, 4);
    return p;
}

/* A growing list in the arena: 4-byte items, 64-byte aligned when it fills that much. A column of
 * one-number vectors would take 16 times its numbers otherwise. */
#define ITEMS_ALIGN(n) ((n)*4 < 64 ? 16u : 64u)
struct items {
    void *p;
    uint64_t n, cap;
};

static int items_grow(struct sx_json *j, struct items *v)
{
    uint64_t cap = v->cap * 2;
    void *p;

    if (((uintptr_t)v->p & (ITEMS_ALIGN(cap) - 1)) == 0 &&
        sx__arena_extend(j->arena, v->p, v->cap * 4, cap * 4)) {
        v->cap = cap;
        return SX_OK;
    }
    p = sx_arena_alloc_aligned(j->arena, cap * 4, ITEMS_ALIGN(cap));
    if (p == NULL)
        return sx__json_enomem(j);
    memcpy(p, v->p, v->n * 4);
    v->p = p;
    v->cap = cap;
    return SX_OK;
}

/* Opens the list at j->p: 1 and room for items, 0 when it is empty, SX_EINPUT for another value. */
static int items_begin(struct sx_json *j, struct items *v, uint64_t hint)
{
    j->p = sx__skip_space(j->p, j->end);
    if (j->p == j->end)
        return sx__json_syntax(j, j->end, "EOF while parsing a value");
    if (*j->p != '[')
        return SX_EINPUT;
    v->n = 0;
    /* A hint cannot be trusted further than the text is long: "[1,1,..." has 2 bytes an item. */
    v->cap = (uint64_t)(j->end - j->p) / 2 + 1;
    if (v->cap > (hint != 0 ? hint : FIRST_FLOATS))
        v->cap = hint != 0 ? hint : FIRST_FLOATS;
    v->p = sx_arena_alloc_aligned(j->arena, v->cap * 4, ITEMS_ALIGN(v->cap));
    if (v->p == NULL)
        return sx__json_enomem(j);
    return 1;
}

/* It is another form: the room goes back, or each vector that is tried as a list would keep its
 * own. */
static int items_drop(struct sx_json *j, struct items *v, struct sx_json_mark mark)
{
    (void)sx__arena_extend(j->arena, v->p, v->cap * 4, 0);
    sx_json_reset(j, mark);
    return SX_EINPUT;
}

static int64_t items_end(struct sx_json *j, struct items *v)
{
    (void)sx__arena_extend(j->arena, v->p, v->cap * 4, v->n * 4);
    return (int64_t)v->n;
}

/* Reads `number , number , ...` while it is all plain, from the first byte of an item to that of
 * the next one. Stops before anything else: the end of the list, the end of the text, an unusual
 * token. */
static const char *fast_floats(struct sx_json *j, const char *p, struct items *v)
{
    float *at = (float *)v->p + v->n, *stop = (float *)v->p + v->cap;

    while (j->end - p >= FAST_MARGIN && at < stop) {
        const char *q = fast_float(p, at);

        if (SX_UNLIKELY(q == NULL))
            break;
        if (SX_UNLIKELY(*q != ','))
            break; /* read again below: ']' comes once a list, blanks before commas are rare */
        at++;
        p = q + 1;
        /* A body has either no blanks or one behind every comma: a jump is foreseen, a sum is
         * waited for. The empty statement keeps the compiler from making a sum of it. */
        if (*p == ' ') {
            __asm__("");
            p++;
        }
    }
    v->n = (uint64_t)(at - (float *)v->p);
    return p;
}

int64_t sx_json_f32s(struct sx_json *j, uint32_t hint, float **out)
{
    struct sx_json_mark mark = sx_json_mark(j);
    struct items v;
    int rc;

    if (j->failed)
        return SX_EFORMAT;
    rc = items_begin(j, &v, hint);
    if (rc == SX_EINPUT)
        sx_json_reset(j, mark);
    if (rc < 0)
        return rc;
    rc = sx_json_arr_begin(j, "a sequence");
    if (rc < 0)
        return rc;
    /* Every turn reads one item the exact way, after a run of plain ones. */
    for (;;) {
        const char *fast;
        double d;

        rc = sx_json_arr_next(j);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        j->p = sx__skip_space(j->p, j->end);
        fast = fast_floats(j, j->p, &v);
        if (fast != j->p) {
            /* Stand before the comma that the run went over, so that a list that breaks off or
             * ends behind it is judged by the same code as any other. */
            for (fast--; *fast != ','; fast--)
                ;
            j->p = fast;
            if (v.n == v.cap && (rc = items_grow(j, &v)) < 0)
                return rc;
            rc = sx_json_arr_next(j);
            if (rc < 0)
                return rc;
            j->p = sx__skip_space(j->p, j->end);
        }
        if (v.n == v.cap && (rc = items_grow(j, &v)) < 0)
            return rc;
        rc = sx_json_peek(j);
        if (rc == SX_JSON_ERROR)
            return SX_EFORMAT;
        if (rc != SX_JSON_NUM)
            return items_drop(j, &v, mark);
        rc = sx_json_f64(j, "f32", &d);
        if (rc < 0)
            return rc;
        ((float *)v.p)[v.n++] = (float)d;
    }
    *out = v.p;
    return items_end(j, &v);
}

int64_t sx_json_u32s(struct sx_json *j, uint32_t **out)
{
    struct sx_json_mark mark = sx_json_mark(j);
    struct items v;
    int rc;

    if (j->failed)
        return SX_EFORMAT;
    rc = items_begin(j, &v, 0);
    if (rc == SX_EINPUT)
        sx_json_reset(j, mark);
    if (rc < 0)
        return rc;
    rc = sx_json_arr_begin(j, "a sequence");
    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(j)) > 0) {
        struct sx_doc_num num;

        int kind = sx_json_peek(j);

        if (kind == SX_JSON_ERROR || (kind == SX_JSON_NUM && sx__json_number(j, &num) < 0))
            return SX_EFORMAT;
        if (kind != SX_JSON_NUM || num.type != SX_DOC_I64 || num.v.i < 0 || num.v.i > UINT32_MAX) {
            return items_drop(j, &v, mark);
        }
        if (v.n == v.cap && (rc = items_grow(j, &v)) < 0)
            return rc;
        ((uint32_t *)v.p)[v.n++] = (uint32_t)num.v.u;
    }
    if (rc < 0)
        return rc;
    *out = v.p;
    return items_end(j, &v);
}
