/* Counters: the host's side of `struct sx_telem` (sx_service.h). */
#ifndef SX_KERNEL_TELEM_H
#define SX_KERNEL_TELEM_H

#include "sextant/sx_service.h"

const struct sx_telem *sx_telem_table(void);
/* [M, nothing else running] forgets every metric and collector: for tests and a clean exit. */
void sx_telem_fini(void);

#endif
