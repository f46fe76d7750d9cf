/* --check: a start of the server up to where it would have effects. */
#ifndef SX_KERNEL_TRIAL_H
#define SX_KERNEL_TRIAL_H

#include "phase.h"

/* [M, before any thread] Prints what it finds; problems of the whole go to `problem`. Returns the
 * exit code: 0 when the server would start as far as can be told. Returns in a child process too:
 * the caller ends with the code in either case. */
int sx_trial(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg);

#endif
