/* A module that promises more than it has: vectors of bytes are said to be normalised on their way
 * in, but there is no callback that would; scores are distances, but nothing turns them; and there
 * is a capability nobody ever defined. */
#include "bad_common.h"

static const struct sx_provide provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_DISTANCE,
        .iface_version = SX_DISTANCE_IFACE,
        .name = "BadCaps",
        .caps = SX_DISTANCE_NORMALIZES | SX_DISTANCE_U8 | (1ull << 40),
        .ops = &bad_ops,
    },
};

SX_PLUGIN(bad_caps, "bad-caps kinds=distance abi=1.0") = {
    BAD_HEAD(bad_caps, "bad-caps"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
};
