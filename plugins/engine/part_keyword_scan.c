/* Comparing runs of codes with one code.
 *
 * 64 codes make one word of the result. SSE2, which every x86-64 has, compares 8 of 16 bits at a
 * time: 65 536 rows take some 5 us out of the second-level cache. Wider registers would save a
 * third of that (the loads are what it costs) and need a second copy chosen at run time. */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "part_keyword.h"

#include "sextant/sx_ban.h"

static uint32_t code_at(const void *codes, uint32_t width, uint32_t i)
{
    const uint8_t *p = (const uint8_t *)codes + (uint64_t)i * width;
    uint16_t c16;
    uint32_t c32;

    if (width == 1)
        return *p;
    if (width == 2) {
        memcpy(&c16, p, sizeof(c16));
        return c16;
    }
    memcpy(&c32, p, sizeof(c32));
    return c32;
}

#if defined(__SSE2__)
static __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 16 codes -> 16 bits. */
static uint32_t eq16(const uint8_t *p, uint32_t width, __m128i want)
{
    __m128i a, b;

    if (width == 1)
        return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(load(p), want));
    if (width == 2)
        return (uint32_t)_mm_movemask_epi8(
            _mm_packs_epi16(_mm_cmpeq_epi16(load(p), want), _mm_cmpeq_epi16(load(p + 16), want)));
    a = _mm_packs_epi32(_mm_cmpeq_epi32(load(p), want), _mm_cmpeq_epi32(load(p + 16), want));
    b = _mm_packs_epi32(_mm_cmpeq_epi32(load(p + 32), want), _mm_cmpeq_epi32(load(p + 48), want));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
}

static __m128i splat(uint32_t want, uint32_t width)
{
    if (width == 1)
        return _mm_set1_epi8((char)want);
    return width == 2 ? _mm_set1_epi16((short)want) : _mm_set1_epi32((int)want);
}

static inline __attribute__((always_inline)) uint64_t
word(const uint8_t *p, uint32_t width, __m128i want)
{
    uint64_t out = 0;

    for (uint32_t i = 0; i < 4; i++)
        out |= (uint64_t)eq16(p + (uint64_t)16 * i * width, width, want) << (16 * i);
    return out;
}
#endif

/* Whole words: n a multiple of 64, first too. */
static void scan_words(const void *codes, uint32_t width, uint32_t n, uint32_t want, uint64_t *out)
{
#if defined(__SSE2__)
    const uint8_t *p = codes;
    __m128i v = splat(want, width);

    /* A loop for each width, so that the compiler sees it as a constant. */
    if (width == 1) {
        for (uint32_t i = 0; i < n; i += 64)
            out[i >> 6] |= word(p + i, 1, v);
    } else if (width == 2) {
        for (uint32_t i = 0; i < n; i += 64)
            out[i >> 6] |= word(p + 2ull * i, 2, v);
    } else {
        for (uint32_t i = 0; i < n; i += 64)
            out[i >> 6] |= word(p + 4ull * i, 4, v);
    }
#else
    for (uint32_t i = 0; i < n; i++)
        out[i >> 6] |= (uint64_t)(code_at(codes, width, i) == want) << (i & 63);
#endif
}

void kw_scan_eq(const void *codes,
                uint32_t width,
                uint32_t n,
                uint32_t want,
                uint32_t first,
                struct eng_bits *out)
{
    uint32_t i = 0, whole;

    for (; i < n && ((first + i) & 63) != 0; i++) {
        if (code_at(codes, width, i) == want)
            eng_bits_set(out, first + i);
    }
    whole = (n - i) & ~63u;
    if (whole != 0)
        scan_words((const uint8_t *)codes + (uint64_t)i * width, width, whole, want,
                   &out->w[(first + i) >> 6]);
    for (i += whole; i < n; i++) {
        if (code_at(codes, width, i) == want)
            eng_bits_set(out, first + i);
    }
}
