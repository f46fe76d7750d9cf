/* A module whose descriptor does not carry the magic number. */
#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("BadMagic")};

SX_PLUGIN(bad_magic, "bad-magic kinds=distance abi=1.0") = {
    .size = (uint32_t)sizeof(struct sx_plugin),
    .abi_major = SX_ABI_MAJOR,
    .abi_minor = SX_ABI_MINOR,
    .magic = SX_PLUGIN_MAGIC ^ 1,
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "bad-magic",
    .version = "1",
    .licence = "Apache-2.0",
    .build_id = SX_BUILD_ID,
    .summary = "wrong on purpose",
    .section = bad_magic_section,
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .provide_size = (uint32_t)sizeof(struct sx_provide),
};
