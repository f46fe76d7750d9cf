/* File rules for module files: who may have put code there. */
#ifndef SX_KERNEL_VET_H
#define SX_KERNEL_VET_H

#include "sextant/sx_base.h"

/* [M] 0 when the file may be loaded; SX_ENOTFOUND, SX_EFORBIDDEN with the reason otherwise. `path`
 * is absolute. */
int sx_vet_file(const char *path, struct sx_err *err);

#endif
