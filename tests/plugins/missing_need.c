/* A module in order that needs what nobody provides: only resolving the needs can refuse it. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("MissingNeed")};
static const struct sx_need needs[] = {
    {(uint32_t)sizeof(struct sx_need), SX_KIND_INDEX, 1, SX_NEED_HARD, "of-which-nobody-heard"},
};

SX_PLUGIN(missing_need, "missing-need kinds=distance abi=1.0") = {
    BAD_HEAD(missing_need, "missing-need"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .needs = needs,
    .n_needs = SX_COUNT(needs),
};
