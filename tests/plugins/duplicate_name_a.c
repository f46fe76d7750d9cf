/* Two modules, this and duplicate_name_b.c, that provide one name with one priority. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("Twin")};

SX_PLUGIN(duplicate_name_a, "duplicate-name-a kinds=distance abi=1.0") = {
    BAD_HEAD(duplicate_name_a, "duplicate-name-a"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
};
