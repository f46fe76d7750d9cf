/* A module whose descriptor ends before the lifecycle callbacks. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("ShortSize")};

SX_PLUGIN(short_size, "short-size kinds=distance abi=1.0") = {
    .size = (uint32_t)offsetof(struct sx_plugin, load),
    .abi_major = SX_ABI_MAJOR,
    .abi_minor = SX_ABI_MINOR,
    .magic = SX_PLUGIN_MAGIC,
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "short-size",
    .version = "1",
    .licence = "Apache-2.0",
    .build_id = SX_BUILD_ID,
    .summary = "wrong on purpose",
    .section = short_size_section,
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .provide_size = (uint32_t)sizeof(struct sx_provide),
};
