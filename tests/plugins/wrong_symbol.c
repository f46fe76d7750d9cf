/* A module whose descriptor is not called as its file says. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("WrongSymbol")};

SX_PLUGIN(right_symbol, "right-symbol kinds=distance abi=1.0") = {
    BAD_HEAD(right_symbol, "right-symbol"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
};
