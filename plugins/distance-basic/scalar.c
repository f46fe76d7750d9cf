/* distance-basic: the portable table, for CPUs without AVX2 and for other architectures.
 *
 * Written with the compilers' generic 16-byte vectors, which become SSE2 on x86-64, NEON on arm64
 * and plain scalar code elsewhere; no intrinsics, no flags. */
#include <math.h>
#include <string.h>

#include "dist.h"

#define GENERIC_INLINE inline __attribute__((always_inline))

#define V_LANES 4u
typedef float v_t __attribute__((vector_size(16)));
typedef uint32_t v_bits_t __attribute__((vector_size(16)));

#define v_zero()       ((v_t){0})
#define v_add(a, b)    ((a) + (b))
#define v_sub(a, b)    ((a) - (b))
#define v_abs(a)       ((v_t)((v_bits_t)(a)&0x7fffffffu))
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_sqrt(x)      sqrt(x)

/* IEEE half to float. The exponent is moved by multiplying with 2^112, which turns subnormal halves
 * into normal floats as well; infinities and NaN get their exponent back afterwards. */
static GENERIC_INLINE v_t half_widen(const uint16_t *h)
{
    v_bits_t x = {h[0], h[1], h[2], h[3]};
    v_bits_t sign = (x & 0x8000u) << 16, rest = (x & 0x7fffu) << 13;
    v_bits_t is_special = (v_bits_t)(rest >= 0x0f800000u) & 0x7f800000u;
    return (v_t)((v_bits_t)((v_t)rest * 0x1p112f) | is_special | sign);
}

static GENERIC_INLINE v_t v_load(const void *p, uint32_t i, const int dt)
{
    if (dt == SX_DT_F16)
        return half_widen((const uint16_t *)p + i);
    v_t v;
    memcpy(&v, (const float *)p + i, sizeof(v));
    return v;
}

/* Out of line, as w_load_rest: inlined into each of 60 loops they were half of this file's code. */
static __attribute__((noinline)) v_t
v_load_rest(const void *p, uint32_t i, uint32_t dim, const int dt)
{
    uint16_t h[V_LANES] = {0};
    v_t v = {0};
    for (uint32_t j = 0; i + j < dim; j++)
        if (dt == SX_DT_F16)
            h[j] = ((const uint16_t *)p)[i + j];
        else
            v[j] = ((const float *)p)[i + j];
    return dt == SX_DT_F16 ? half_widen(h) : v;
}

static GENERIC_INLINE float v_sum(v_t a)
{
    return (a[0] + a[1]) + (a[2] + a[3]);
}

static GENERIC_INLINE void v_sum4(v_t a, v_t b, v_t c, v_t d, float *out)
{
    out[0] = v_sum(a);
    out[1] = v_sum(b);
    out[2] = v_sum(c);
    out[3] = v_sum(d);
}

/* Bytes: eight at a time into u64 sums; also serves dimensions beyond the other tables' range. */
#define W_LANES 8u
typedef uint64_t w_t;
typedef struct {
    uint8_t b[8];
} w_bytes_t;

#define w_zero()   ((w_t)0)
#define w_sum(acc) (acc)

static GENERIC_INLINE w_bytes_t w_load(const void *p, uint32_t i)
{
    w_bytes_t v;
    memcpy(v.b, (const uint8_t *)p + i, sizeof(v.b));
    return v;
}

static __attribute__((noinline)) w_bytes_t w_load_rest(const void *p, uint32_t i, uint32_t dim)
{
    w_bytes_t v = {{0}};
    for (uint32_t j = 0; i + j < dim; j++)
        v.b[j] = ((const uint8_t *)p)[i + j];
    return v;
}

static GENERIC_INLINE uint8_t cast1(float x)
{
    return x >= 255.0f ? 255 : x > 0.0f ? (uint8_t)x : 0;
}

static GENERIC_INLINE w_bytes_t w_cast(const void *p, uint32_t i)
{
    w_bytes_t v;
    for (uint32_t j = 0; j < W_LANES; j++)
        v.b[j] = cast1(((const float *)p)[i + j]);
    return v;
}

static __attribute__((noinline)) w_bytes_t w_cast_rest(const void *p, uint32_t i, uint32_t dim)
{
    w_bytes_t v = {{0}};
    for (uint32_t j = 0; i + j < dim; j++)
        v.b[j] = cast1(((const float *)p)[i + j]);
    return v;
}

static GENERIC_INLINE w_t w_dot(w_t acc, w_bytes_t q, w_bytes_t v)
{
    uint32_t s = 0;
    for (uint32_t j = 0; j < W_LANES; j++)
        s += (uint32_t)q.b[j] * v.b[j];
    return acc + s;
}

static GENERIC_INLINE w_t w_l2(w_t acc, w_bytes_t q, w_bytes_t v)
{
    uint32_t s = 0;
    for (uint32_t j = 0; j < W_LANES; j++) {
        int32_t d = (int32_t)q.b[j] - v.b[j];
        s += (uint32_t)(d * d);
    }
    return acc + s;
}

static GENERIC_INLINE w_t w_l1(w_t acc, w_bytes_t q, w_bytes_t v)
{
    uint32_t s = 0;
    for (uint32_t j = 0; j < W_LANES; j++)
        s += q.b[j] > v.b[j] ? (uint32_t)(q.b[j] - v.b[j]) : (uint32_t)(v.b[j] - q.b[j]);
    return acc + s;
}

#include "kernels.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

DISTB_TABLE(distb_scalar);
