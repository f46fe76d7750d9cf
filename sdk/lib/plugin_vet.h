/* Shared by the files that vet descriptors (plugin_vet.c, plugin_vet_kinds.c). */
#ifndef SX_LIB_PLUGIN_VET_H
#define SX_LIB_PLUGIN_VET_H

#include "sextant/sx_plugin.h"

/* One run over one descriptor. */
struct sx_vet {
    void (*sink)(void *arg, const char *text);
    void *arg;
    uint32_t n; /* findings so far */
    uint32_t pad;
};

void sx_vet__finding(struct sx_vet *v, const char *fmt, ...) SX_PRINTF(2, 3);

/* Interface version, capability bits and callbacks of one provide whose head was found in order. */
void sx_vet__provide(struct sx_vet *v, const struct sx_provide *p);

#endif
