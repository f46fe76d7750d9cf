/* distance-basic: horizontal sums shared by the x86 files; included below their target pragma. */
#ifndef DISTB_X86_H
#define DISTB_X86_H

#define X86_INLINE inline __attribute__((always_inline))

/* ((0+1)+(2+3)) + ((4+5)+(6+7)) */
static X86_INLINE float x86_sum8(__m256 a)
{
    __m256 h = _mm256_hadd_ps(a, a);
    h = _mm256_hadd_ps(h, h);
    return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}

/* Four of them in the same order of additions. */
static X86_INLINE void x86_sum8x4(__m256 a, __m256 b, __m256 c, __m256 d, float *out)
{
    __m256 h = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}

/* Sum of eight u32 lanes whose total fits 64 bits. */
static X86_INLINE uint64_t x86_sum_u32(__m256i a)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i s = _mm256_add_epi64(_mm256_and_si256(a, low), _mm256_srli_epi64(a, 32));
    __m128i t = _mm_add_epi64(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    return (uint64_t)_mm_cvtsi128_si64(t) + (uint64_t)_mm_extract_epi64(t, 1);
}

static X86_INLINE double x86_sqrt(double x)
{
    __m128d v = _mm_set_sd(x);
    return _mm_cvtsd_f64(_mm_sqrt_sd(v, v));
}

#endif
