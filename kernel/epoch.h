/* Epochs: the host's side of `struct sx_epoch` (sx_service.h). */
#ifndef SX_KERNEL_EPOCH_H
#define SX_KERNEL_EPOCH_H

#include "sextant/sx_service.h"

const struct sx_epoch *sx_epoch_table(void);

void sx_epoch_enter(void);
void sx_epoch_leave(void);
void sx_epoch_retire(void (*fn)(void *arg), void *arg);
void sx_epoch_poll(void);
/* [A] as poll, calls at most n functions: for loop threads, which must not stay long. */
void sx_epoch_poll_some(uint32_t n);
/* [A] entries retired and not called yet. */
uint64_t sx_epoch_pending(void);
/* [A] entries that found no memory and are leaked: better than freed early. */
uint64_t sx_epoch_lost(void);
/* [M] kick is called after a retire that found nothing pending: exec.c arms its timer there, so
 * that memory comes back even if every thread sleeps. Called without locks, NULL = none. */
void sx_epoch_on_retire(void (*kick)(void));
/* [M, no section open anywhere] calls everything that is left. */
void sx_epoch_drain(void);

#endif
