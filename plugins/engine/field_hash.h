/* Hash of byte strings for tables in memory: eight bytes a step, folded 128-bit products. Never
 * stored. The start value differs from process to process where addresses do, so that values cannot
 * be chosen to collide. */
#ifndef ENG_FIELD_HASH_H
#define ENG_FIELD_HASH_H

#include <string.h>

#include "field_part.h"

static inline uint64_t field_hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint32_t field_hash(const char *p, uint32_t n)
{
    uint64_t h = (uint64_t)(uintptr_t)&eng_part_keyword * UINT64_C(0x9e3779b97f4a7c15) ^ n, x;

    for (; n >= sizeof(x); n -= (uint32_t)sizeof(x), p += sizeof(x)) {
        memcpy(&x, p, sizeof(x));
        h = field_hash_fold(h ^ x, UINT64_C(0xd6e8feb86659fd93));
    }
    x = 0;
    if (n != 0)
        memcpy(&x, p, n);
    h = field_hash_fold(h ^ x, UINT64_C(0xa0761d6478bd642f));
    return (uint32_t)(h ^ h >> 32);
}

#endif
