/* distance-basic: vector primitives of AVX-512 (F, BW, VL, DQ) and the table made from them.
 *
 * A vector is one cache line; the rest of a row is a masked load, which touches no byte beyond it.
 */
#if defined(__x86_64__)

#include "dist.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2"))),              \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2")
#endif

#include <immintrin.h>

#include "x86.h"

#define V_LANES 16u
typedef __m512 v_t;

#define v_zero()       _mm512_setzero_ps()
#define v_add(a, b)    _mm512_add_ps((a), (b))
#define v_sub(a, b)    _mm512_sub_ps((a), (b))
#define v_abs(a)       _mm512_abs_ps(a)
#define v_fma(a, b, c) _mm512_fmadd_ps((a), (b), (c))
#define v_sqrt(x)      x86_sqrt(x)

static X86_INLINE v_t v_load(const void *p, uint32_t i, const int dt)
{
    if (dt == SX_DT_F32)
        return _mm512_loadu_ps((const float *)p + i);
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)((const uint16_t *)p + i)));
}

static X86_INLINE v_t v_load_rest(const void *p, uint32_t i, uint32_t dim, const int dt)
{
    __mmask16 m = (__mmask16)((1u << (dim - i)) - 1);
    if (dt == SX_DT_F32)
        return _mm512_maskz_loadu_ps(m, (const float *)p + i);
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, (const uint16_t *)p + i));
}

static X86_INLINE __m256 v_fold(v_t a)
{
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}
#define v_sum(a)                x86_sum8(v_fold(a))
#define v_sum4(a, b, c, d, out) x86_sum8x4(v_fold(a), v_fold(b), v_fold(c), v_fold(d), (out))

/* Bytes: 32 at a time, widened to 16 bits, multiplied and added in pairs into 32-bit lanes. */
#define W_LANES 32u
typedef __m512i w_t;
typedef __m256i w_bytes_t;

#define w_zero()     _mm512_setzero_si512()
#define w_load(p, i) _mm256_loadu_si256((const void *)((const uint8_t *)(p) + (i)))
#define w_load_rest(p, i, dim)                                                                     \
    _mm256_maskz_loadu_epi8((__mmask32)((1u << ((dim) - (i))) - 1), (const uint8_t *)(p) + (i))

/* Sixteen floats to bytes: the larger of (x, 0) is 0 for NaN too. */
static X86_INLINE __m128i cast16(__m512 x)
{
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_setzero_ps()), _mm512_set1_ps(255.0f));
    return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x));
}

static X86_INLINE w_bytes_t w_cast(const void *p, uint32_t i)
{
    const float *f = (const float *)p + i;
    return _mm256_set_m128i(cast16(_mm512_loadu_ps(f + 16)), cast16(_mm512_loadu_ps(f)));
}

static X86_INLINE w_bytes_t w_cast_rest(const void *p, uint32_t i, uint32_t dim)
{
    const float *f = (const float *)p + i;
    uint32_t m = (1u << (dim - i)) - 1;
    return _mm256_set_m128i(cast16(_mm512_maskz_loadu_ps((__mmask16)(m >> 16), f + 16)),
                            cast16(_mm512_maskz_loadu_ps((__mmask16)m, f)));
}

static X86_INLINE w_t w_dot(w_t acc, w_bytes_t q, w_bytes_t v)
{
    return _mm512_add_epi32(acc,
                            _mm512_madd_epi16(_mm512_cvtepu8_epi16(q), _mm512_cvtepu8_epi16(v)));
}

static X86_INLINE w_t w_l2(w_t acc, w_bytes_t q, w_bytes_t v)
{
    __m512i d = _mm512_sub_epi16(_mm512_cvtepu8_epi16(q), _mm512_cvtepu8_epi16(v));
    return _mm512_add_epi32(acc, _mm512_madd_epi16(d, d));
}

static X86_INLINE w_t w_l1(w_t acc, w_bytes_t q, w_bytes_t v)
{
    return _mm512_add_epi32(acc, _mm512_zextsi256_si512(_mm256_sad_epu8(q, v)));
}

static X86_INLINE uint64_t w_sum(w_t acc)
{
    return x86_sum_u32(
        _mm256_add_epi32(_mm512_castsi512_si256(acc), _mm512_extracti32x8_epi32(acc, 1)));
}

#include "kernels.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

DISTB_TABLE(distb_avx512);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
