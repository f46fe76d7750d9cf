/* Comparing runs of numbers with an interval, 64 at a time into the bits of a word. */
#ifndef ENG_PART_NUMERIC_SCAN_H
#define ENG_PART_NUMERIC_SCAN_H

#include "field_part.h"

/* Bit i of out[j] says whether v[64 * j + i] lies in [lo, hi], lo <= hi. */
typedef void (*eng_scan_fn)(
    const int64_t *v, uint32_t words, int64_t lo, int64_t hi, uint64_t *out);

/* The fastest for this machine; cpu NULL: portable. */
eng_scan_fn eng_scan_of(const struct sx_cpu *cpu);

/* The same for 64 codes, first <= code <= last. */
uint64_t eng_scan_u16(const uint16_t *codes, uint32_t first, uint32_t last);

#endif
