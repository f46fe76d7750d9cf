/* distance-basic: vector primitives of AVX2 (with FMA, F16C, BMI2) and the table made from them.
 *
 * AVX2 masks 32-bit loads only. The rest of a half or byte row is loaded as the row's last full
 * vector, shifted down by a table of masks' worth of lanes; rows shorter than a vector are copied
 * element by element. No load touches a byte outside the row. */
#if defined(__x86_64__)

#include "dist.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,bmi2")
#endif

#include <immintrin.h>

#include "x86.h"

#define V_LANES 8u
typedef __m256 v_t;

#define v_zero()       _mm256_setzero_ps()
#define v_add(a, b)    _mm256_add_ps((a), (b))
#define v_sub(a, b)    _mm256_sub_ps((a), (b))
#define v_abs(a)       _mm256_andnot_ps(_mm256_set1_ps(-0.0f), (a))
#define v_fma(a, b, c) _mm256_fmadd_ps((a), (b), (c))
#define v_sqrt(x)      x86_sqrt(x)

/* Bytes [16 - n, 32 - n) of this are the shuffle that moves the last n bytes of a vector to its
 * front and zeroes the others. */
static const uint8_t shift_down[32] = {
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
};

/* The n (1..15) bytes before `end`, zeros behind them. Out of line: it serves rows shorter than a
 * vector only, and inlined everywhere it was half of this file's code. */
static __attribute__((noinline)) __m128i load_short(const uint8_t *end, uint32_t n)
{
    uint8_t copy[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        copy[i] = end[(int64_t)i - n];
    return _mm_loadu_si128((const void *)copy);
}

/* The same where `len` bytes before `end` are readable. */
static X86_INLINE __m128i load_last(const uint8_t *end, uint32_t n, uint32_t len)
{
    if (len < 16)
        return load_short(end, n);
    return _mm_shuffle_epi8(_mm_loadu_si128((const void *)(end - 16)),
                            _mm_loadu_si128((const void *)(shift_down + 16 - n)));
}

/* Words [8 - n, 16 - n) are the load mask for n lanes. */
static const int32_t lane_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

static X86_INLINE v_t v_load(const void *p, uint32_t i, const int dt)
{
    if (dt == SX_DT_F32)
        return _mm256_loadu_ps((const float *)p + i);
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)((const uint16_t *)p + i)));
}

static X86_INLINE v_t v_load_rest(const void *p, uint32_t i, uint32_t dim, const int dt)
{
    if (dt == SX_DT_F32)
        return _mm256_maskload_ps((const float *)p + i,
                                  _mm256_loadu_si256((const void *)(lane_mask + 8 - (dim - i))));
    return _mm256_cvtph_ps(
        load_last((const uint8_t *)p + (uint64_t)dim * 2, (dim - i) * 2, dim * 2));
}

#define v_sum(a)                x86_sum8(a)
#define v_sum4(a, b, c, d, out) x86_sum8x4((a), (b), (c), (d), (out))

/* Bytes: 16 at a time, widened to 16 bits, multiplied and added in pairs into 32-bit lanes. */
#define W_LANES 16u
typedef __m256i w_t;
typedef __m128i w_bytes_t;

#define w_zero()               _mm256_setzero_si256()
#define w_load(p, i)           _mm_loadu_si128((const void *)((const uint8_t *)(p) + (i)))
#define w_load_rest(p, i, dim) load_last((const uint8_t *)(p) + (dim), (dim) - (i), (dim))

/* Eight floats to 32-bit numbers of a byte's range: the larger of (x, 0) is 0 for NaN too. */
static X86_INLINE __m256i cast8(__m256 x)
{
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_setzero_ps()), _mm256_set1_ps(255.0f));
    return _mm256_cvttps_epi32(x);
}

/* Packing works in halves of a register: 0-3 8-11 4-7 12-15 is put in order before the last step.
 */
static X86_INLINE w_bytes_t pack16(__m256i low, __m256i high)
{
    __m256i x = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

static X86_INLINE w_bytes_t w_cast(const void *p, uint32_t i)
{
    const float *f = (const float *)p + i;
    return pack16(cast8(_mm256_loadu_ps(f)), cast8(_mm256_loadu_ps(f + 8)));
}

static X86_INLINE w_bytes_t w_cast_rest(const void *p, uint32_t i, uint32_t dim)
{
    uint32_t n = dim - i, first = n < 8 ? n : 8;
    __m256 low = v_load_rest(p, i, i + first, SX_DT_F32);
    __m256 high = v_load_rest(p, i + first, i + n, SX_DT_F32);
    return pack16(cast8(low), cast8(high));
}

static X86_INLINE w_t w_dot(w_t acc, w_bytes_t q, w_bytes_t v)
{
    return _mm256_add_epi32(acc,
                            _mm256_madd_epi16(_mm256_cvtepu8_epi16(q), _mm256_cvtepu8_epi16(v)));
}

static X86_INLINE w_t w_l2(w_t acc, w_bytes_t q, w_bytes_t v)
{
    __m256i d = _mm256_sub_epi16(_mm256_cvtepu8_epi16(q), _mm256_cvtepu8_epi16(v));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(d, d));
}

static X86_INLINE w_t w_l1(w_t acc, w_bytes_t q, w_bytes_t v)
{
    return _mm256_add_epi32(acc, _mm256_zextsi128_si256(_mm_sad_epu8(q, v)));
}

#define w_sum(acc) x86_sum_u32(acc)

#include "kernels.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

DISTB_TABLE(distb_avx2);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
