/* A module that needs more of the ABI than this minor version has. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("NewerMinor")};

SX_PLUGIN(newer_minor, "newer-minor kinds=distance abi=1.999") = {
    .size = (uint32_t)sizeof(struct sx_plugin),
    .abi_major = SX_ABI_MAJOR,
    .abi_minor = 999,
    .magic = SX_PLUGIN_MAGIC,
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "newer-minor",
    .version = "1",
    .licence = "Apache-2.0",
    .build_id = SX_BUILD_ID,
    .summary = "wrong on purpose",
    .section = newer_minor_section,
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .provide_size = (uint32_t)sizeof(struct sx_provide),
};
