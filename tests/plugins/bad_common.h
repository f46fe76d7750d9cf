/* What the modules that are wrong on purpose have in common: one proper offer.
 *
 * The files beside this header, but for the null modules, are each a module that is right but for
 * one thing; tests expect the loader and sextant-plugin-check to name that thing. All are marked
 * TEST_ONLY. */
#ifndef BAD_COMMON_H
#define BAD_COMMON_H

#include "sextant/sx_distance.h"
#include "sextant/sx_plugin.h"

SX_UNUSED static int bad_resolve(void *self,
                                 uint32_t q_dtype,
                                 uint32_t row_dtype,
                                 uint32_t dim,
                                 uint64_t cpu,
                                 struct sx_kernel *out)
{
    (void)self;
    (void)q_dtype;
    (void)row_dtype;
    (void)dim;
    (void)cpu;
    (void)out;
    return SX_EUNSUPPORTED;
}

SX_UNUSED static const struct sx_distance_ops bad_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = bad_resolve,
};

#define BAD_PROVIDE(provider)                                                                      \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct sx_provide), .kind = SX_KIND_DISTANCE,                     \
        .iface_version = SX_DISTANCE_IFACE, .name = (provider), .ops = &bad_ops,                   \
        .caps = SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_F32                                        \
    }

/* The head and the words of a descriptor that is otherwise in order. */
#define BAD_HEAD(ident, module)                                                                    \
    SX_PLUGIN_HEAD(ident), .flags = SX_PLUGIN_TEST_ONLY, .name = (module), .version = "1",         \
                           .licence = "Apache-2.0", .summary = "wrong on purpose"

#endif
