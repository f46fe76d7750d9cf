/* A module whose tables say they are longer than they are, and whose key lies outside its
 * configuration struct. */
#include "bad_common.h"

static const struct sx_distance_ops long_ops = {
    .size = 4096,
    .resolve = bad_resolve,
};
static const struct sx_provide provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_DISTANCE,
        .iface_version = SX_DISTANCE_IFACE,
        .name = "LyingSizes",
        .caps = SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_F32,
        .ops = &long_ops,
    },
    BAD_PROVIDE("Honest"),
};
static const struct sx_key keys[] = {
    {(uint32_t)sizeof(struct sx_key), SX_KEY_U64, 0, 16, "beyond", "1", 0, 9, "lies outside"},
};

static int configure(void *self, const void *conf, struct sx_err *err)
{
    (void)self;
    (void)conf;
    (void)err;
    return SX_OK;
}

SX_PLUGIN(lying_sizes, "lying-sizes kinds=distance abi=1.0") = {
    BAD_HEAD(lying_sizes, "lying-sizes"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .keys = keys,
    .n_keys = SX_COUNT(keys),
    .conf_size = 16,
    .configure = configure,
};
