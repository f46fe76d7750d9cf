/* The tokens of one document, as codes, against those of a query.
 *
 * Most slices are a dozen codes, some are thousands. A code is looked for 16 bytes at a time; a
 * phrase by its first code in that way, and from there on by the borders of its beginnings (Knuth,
 * Morris, Pratt), so that no text makes it slower than one look at each code. Codes of 2 and of 4
 * bytes have the same source and a loop of their own each. */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "part_text.h"

#include "sextant/sx_ban.h"

#define INLINE static inline __attribute__((always_inline))

/* So many codes are looked for one by one before all are looked up for each of the slice. */
#define ONE_BY_ONE 8u

INLINE uint32_t code_at(const uint8_t *p, uint32_t width, uint32_t i)
{
    if (width == 2)
        return ((const uint16_t *)(const void *)p)[i];
    return ((const uint32_t *)(const void *)p)[i];
}

INLINE uint32_t find(const uint8_t *p, uint32_t width, uint32_t i, uint32_t n, uint32_t code)
{
#if defined(__SSE2__)
    __m128i want = width == 2 ? _mm_set1_epi16((short)code) : _mm_set1_epi32((int)code);
    uint32_t step = 16 / width;

    for (; n - i >= step; i += step) {
        __m128i have = _mm_loadu_si128((const __m128i *)(const void *)(p + (uint64_t)i * width));
        __m128i same = width == 2 ? _mm_cmpeq_epi16(have, want) : _mm_cmpeq_epi32(have, want);
        uint32_t bits = (uint32_t)_mm_movemask_epi8(same);

        if (bits != 0)
            return i + (uint32_t)__builtin_ctz(bits) / width;
    }
#endif
    while (i < n && code_at(p, width, i) != code)
        i++;
    return i;
}

uint32_t eng_tx_slice_find(const struct eng_tx_slice *s, uint32_t from, uint32_t code)
{
    if (s->width == 2)
        return code <= UINT16_MAX ? find(s->p, 2, from, s->n, code) : s->n;
    return find(s->p, 4, from, s->n, code);
}

uint32_t eng_tx_slice_count(const struct eng_tx_slice *s, uint32_t code)
{
    uint32_t n = 0;

    for (uint32_t i = eng_tx_slice_find(s, 0, code); i < s->n;
         i = eng_tx_slice_find(s, i + 1, code))
        n++;
    return n;
}

/* --- phrases ----------------------------------------------------------------------------- */

INLINE int has_phrase(const uint8_t *p, uint32_t width, uint32_t n, const struct eng_tx_query *q)
{
    uint32_t at = 0; /* so many codes of the phrase are the last ones */

    for (uint32_t i = 0; i < n; i++) {
        uint32_t code;

        if (at == 0) {
            i = find(p, width, i, n, q->codes[0]);
            if (i == n)
                return 0;
        }
        code = code_at(p, width, i);
        while (at != 0 && q->codes[at] != code)
            at = q->border[at - 1];
        at += q->codes[at] == code;
        if (at == q->n)
            return 1;
    }
    return 0;
}

/* --- all tokens -------------------------------------------------------------------------- */

/* Place of the code in the query, or n. */
static uint32_t place_of(const struct eng_tx_query *q, uint32_t code)
{
    uint32_t lo = 0, hi = q->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (q->codes[mid] == code)
            return mid;
        if (q->codes[mid] < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return q->n;
}

/* Looks at each code of the slice once. */
static int has_many(const struct eng_tx_slice *s, struct eng_tx_query *q)
{
    uint32_t found = 0, number = ++q->slice;

    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t at = place_of(q, code_at(s->p, s->width, i));

        if (at == q->n || q->seen[at] == number)
            continue;
        q->seen[at] = number;
        if (++found == q->n)
            return 1;
    }
    return 0;
}

int eng_tx_slice_fits(const struct eng_tx_slice *s, struct eng_tx_query *q)
{
    if (s->n < q->n)
        return 0;
    if (q->border != NULL)
        return s->width == 2 ? has_phrase(s->p, 2, s->n, q) : has_phrase(s->p, 4, s->n, q);
    if (q->n > ONE_BY_ONE)
        return has_many(s, q);
    for (uint32_t i = 0; i < q->n; i++) {
        if (eng_tx_slice_find(s, 0, q->codes[i]) == s->n)
            return 0;
    }
    return 1;
}

/* --- lengths ----------------------------------------------------------------------------- */

uint16_t eng_tx_len_pack(uint32_t n)
{
    uint32_t shift;

    if (n < 4096)
        return (uint16_t)n;
    if (n >= 1u << 27)
        return UINT16_MAX;
    shift = 32 - (uint32_t)__builtin_clz(n) - 13;
    return (uint16_t)((shift + 1) << 12 | ((n >> shift) & 4095u));
}
