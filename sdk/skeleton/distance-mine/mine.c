/* distance-mine: a skeleton that works: the Chebyshev distance, the largest difference in any one
 * component. A module of pure functions needs no instance and no service. */
#include "mine.h"

#include "sextant/sx_plugin.h"

static const struct sx_provide mine_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_DISTANCE,
        .iface_version = SX_DISTANCE_IFACE,
        .name = "Chebyshev", /* what a collection writes as its distance */
        /* A distance: smaller is closer, so LARGER_BETTER is not set and postprocess turns scores.
         */
        .caps = SX_DISTANCE_SYMMETRIC | SX_DISTANCE_TRIANGLE | SX_DISTANCE_F32,
        .ops = &mine_ops,
    },
};

SX_PLUGIN(distance_mine, "distance-mine kinds=distance abi=1.0") = {
    SX_PLUGIN_HEAD(distance_mine),
    .name = "distance-mine",
    .version = "0.1.0",
    .licence = "Apache-2.0",
    .summary = "A skeleton: Chebyshev distance over f32 rows",
    .provides = mine_provides,
    .n_provides = SX_COUNT(mine_provides),
};
