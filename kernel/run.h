/* The running part of the process: threads, listeners, signals, draining. Used by phase.c only. */
#ifndef SX_KERNEL_RUN_H
#define SX_KERNEL_RUN_H

#include "phase.h"

/* [M, before any thread] SIGTERM, SIGINT and SIGHUP wait until they are asked for; SIGPIPE is
 * ignored. */
void sx_run_signals_block(void);
/* [M] 1 when a SIGTERM or SIGINT came meanwhile (it is consumed): a long start can be given up. */
int sx_run_stop_asked(void);

/* [M] The marker file of section 1.2: gone while starting, an empty file once started. */
void sx_run_marker_remove(const struct sx_phase *p);
void sx_run_banner(const struct sx_phase *p);

/* [M] Threads, listeners, loop 0 until a signal, drain, threads end. All modules have started. */
int sx_run(struct sx_phase *p);
/* [M] Gives back loops and pools that were made and never started. */
void sx_run_abandon(void);

#endif
