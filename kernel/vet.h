/* Rules for module files: who may have put code there, and whether it can be loaded at all. */
#ifndef SX_KERNEL_VET_H
#define SX_KERNEL_VET_H

#include "sextant/sx_base.h"

/* [M] 0 when the file may be loaded; SX_ENOTFOUND, SX_EFORBIDDEN with the reason otherwise. `path`
 * is absolute. */
int sx_vet_file(const char *path, struct sx_err *err);
/* [M] Reads the file before the dynamic linker does, which would follow its numbers anywhere: 0
 * when it is whole, for this machine, and defines `symbol`. SX_ENOTFOUND without that symbol (or
 * file), SX_ECORRUPT with what is wrong. */
int sx_vet_image(const char *path, const char *symbol, struct sx_err *err);

#endif
