/* A module that calls a function nobody defines. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("UndefinedSymbol")};

int sextant_function_that_does_not_exist(void) __attribute__((visibility("default")));

static int load(const struct sx_host *host, void *self, struct sx_err *err)
{
    (void)host;
    (void)self;
    (void)err;
    return sextant_function_that_does_not_exist();
}

SX_PLUGIN(undefined_symbol, "undefined-symbol kinds=distance abi=1.0") = {
    BAD_HEAD(undefined_symbol, "undefined-symbol"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .load = load,
};
