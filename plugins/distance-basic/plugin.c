/* distance-basic: the four distances every collection may name, exactly as the wire spells them.
 *
 * The module has no configuration, no instance and needs nothing from the host: what it offers are
 * pure functions (resolve.c). */
#include "sextant/sx_plugin.h"

#include "dist.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define DISTB_TYPES (SX_DISTANCE_F32 | SX_DISTANCE_F16 | SX_DISTANCE_U8)

#define DISTB_PROVIDE(wire_name, table, bits)                                                      \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct sx_provide), .kind = SX_KIND_DISTANCE,                     \
        .iface_version = SX_DISTANCE_IFACE, .name = (wire_name), .ops = &(table),                  \
        .caps = SX_DISTANCE_SYMMETRIC | DISTB_TYPES | (bits)                                       \
    }

static const struct sx_provide distb_provides[] = {
    DISTB_PROVIDE("Cosine", distb_cosine_ops, SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_NORMALIZES),
    DISTB_PROVIDE("Dot", distb_dot_ops, SX_DISTANCE_LARGER_BETTER),
    DISTB_PROVIDE("Euclid", distb_euclid_ops, SX_DISTANCE_TRIANGLE),
    DISTB_PROVIDE("Manhattan", distb_manhattan_ops, SX_DISTANCE_TRIANGLE),
};

SX_PLUGIN(distance_basic, "distance-basic kinds=distance abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(distance_basic),
    .name = "distance-basic",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Cosine, Dot, Euclid and Manhattan over f32, f16 and u8 rows",
    .provides = distb_provides,
    .n_provides = SX_COUNT(distb_provides),
};
