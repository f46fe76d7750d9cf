/* Written by scripts/gen-text-tables.py: letters and digits above ASCII, ascending. */
#ifndef SX_LIB_PATH_ALNUM_H
#define SX_LIB_PATH_ALNUM_H

#include <stdint.h>

#define SX_ALNUM_RANGES 841

struct sx_alnum_range {
    uint32_t first, last;
};
extern const struct sx_alnum_range sx_alnum_ranges[SX_ALNUM_RANGES];

#endif
