/* The host table each module gets, and the names of the services.
 *
 * host.c registers the kernel's own services: sx.exec, sx.loop, sx.loop.libevent (strict modules
 * only), sx.epoch, sx.io, sx.telem, sx.time, sx.cpu, sx.crypto, and sx.io.mark in test builds;
 * "sx.mem" is the module's account. Other rooms add theirs (sx.reg, sx.req) with sx_host_service().
 */
#ifndef SX_KERNEL_HOST_H
#define SX_KERNEL_HOST_H

#include "sextant/sx_service.h"

/* What CMake defines on the command line; the fallbacks serve unit tests. */
#ifndef SX_VERSION
#define SX_VERSION "0.0.0"
#endif
#ifndef SX_BUILD_ID
#define SX_BUILD_ID "unknown"
#endif
#define SX_COMPAT_VERSION "1.20.0"

/* [M] once, before the first module is loaded. */
int sx_host_init(struct sx_err *err);
/* [M] The host of a module; name is copied, strict opens the strict-level services. Lives as long
 * as the process. NULL: memory is short. */
const struct sx_host *sx_host_create(const char *module, uint32_t strict);
/* [M] Adds a service; keeps name and table for ever. A second table of the same name replaces the
 * first. `size` is the table's length in bytes (its own first field). */
void sx_host_service(const char *name, const void *table, uint32_t size);
/* [A] the host of the kernel itself, module "sextant". */
const struct sx_host *sx_host_kernel(void);

#endif
