/* A module built for the next major version of the ABI. Behind the first 16 bytes nothing is as
 * this version knows it: the pointers would crash whoever followed them. */
#include "bad_common.h"

SX_PLUGIN(newer_abi, "newer-abi kinds=distance abi=2.0") = {
    .size = (uint32_t)sizeof(struct sx_plugin),
    .abi_major = SX_ABI_MAJOR + 1,
    .abi_minor = 0,
    .magic = SX_PLUGIN_MAGIC,
    .name = (const char *)16,
    .section = newer_abi_section,
    .provides = (const struct sx_provide *)16,
    .n_provides = 1,
};
