/* The life of the process as a sequence of phases.
 *
 *   configured -> log, banner -> pools and loops exist -> modules load, configure, start
 *   -> registry frozen -> threads -> listen on every loop -> running
 *   -> draining -> threads end -> modules stop, in reverse order
 *
 * A failure in any phase unwinds what has been reached and gives the exit code. stop() is called
 * for every module whose configure() succeeded, whether or not its start() ran or succeeded.
 *
 * Exit codes (section 2.4): 0 stopped as asked; 1 configuration, a module that fails to start, a
 * listener that is the server's; 101 damaged or incompatible data (start answers SX_ECORRUPT or
 * SX_EPRECOND) and snapshots that cannot be restored.
 *
 * What a transport's listen() on the first loop answers decides how bad it is: SX_EUNAVAIL and
 * SX_EPRECOND are logged, the server serves on and ends with 1 or 101 when it is stopped; anything
 * else ends it at once. Either way the transport's text is the line in the log. */
#ifndef SX_KERNEL_PHASE_H
#define SX_KERNEL_PHASE_H

#include "conf.h"
#include "flags.h"
#include "registry.h"

/* Where the main thread is: in which module, in which of its functions (NULL = in none). */
struct sx_phase_spot {
    const char *volatile step;
    char module[64];
};

struct sx_phase {
    const struct sx_flags *flags;
    const struct sx_mem *mem;
    struct sx_conf conf;
    struct sx_conf_args args; /* to read the sources again */
    struct sx_registry registry;
    struct sx_phase_spot *spot; /* kept up to date unless NULL */
    uint32_t n_loops;
    int exit_code;
};

/* [M] Reads the configuration; on failure prints "Error: ..." and returns the exit code. */
int sx_phase_configure(struct sx_phase *p, const struct sx_flags *flags, char *const *env);
struct sx_loader_conf;
/* [M] What the configuration says about modules. */
void sx_phase_loader_conf(struct sx_phase *p, struct sx_loader_conf *out);
/* [M] Fills and orders the registry; problems are written with `problem`. */
int sx_phase_load(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg);
/* [M] Runs the server until it is told to stop; returns the exit code. */
int sx_phase_serve(struct sx_phase *p);
/* [M] The same up to configure() of every module, then stop() in reverse: what --check does. Tells
 * every failure; 0 when there was none. */
int sx_phase_rehearse(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg);
void sx_phase_fini(struct sx_phase *p);

/* [M] Binds the configuration of every module, strictly in order, into arenas of their own. Tells
 * every failure. */
int sx_phase_bind(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg);
/* [M] The logging section of the configuration, applied. */
int sx_phase_log(const struct sx_conf *c, struct sx_err *err);
/* [M] Logs the notes that were made while reading. */
void sx_phase_notes(const struct sx_conf *c);

/* life.c. [M] load() and configure() of every module, whatever happens; tells every failure. */
int sx_phase_modules_load(struct sx_phase *p,
                          void (*problem)(void *arg, const char *text),
                          void *arg);
/* start() of each until one fails, which is logged and sets the exit code, or a signal asks to end
 * (SX_ECANCELED). */
int sx_phase_modules_start(struct sx_phase *p);
/* stop() of every configured one, in reverse order. */
void sx_phase_modules_stop(struct sx_phase *p);

/* reload.c. [M, loop 0] SIGHUP: reads everything again and gives changed values to the modules, all
 * or nothing; logs the outcome. */
void sx_phase_reload(struct sx_phase *p);

#endif
