/* Written by scripts/gen-alnum.pl: letters and digits above ASCII, ascending. */
#ifndef ENG_JSONPATH_ALNUM_H
#define ENG_JSONPATH_ALNUM_H

#include <stdint.h>

#define ENG_ALNUM_RANGES 793

struct eng_alnum_range {
    uint32_t first, last;
};
extern const struct eng_alnum_range eng_alnum_ranges[ENG_ALNUM_RANGES];

#endif
