/* The last words of a process that dies of a signal.
 *
 * On SIGSEGV, SIGBUS, SIGABRT, SIGILL and SIGFPE one report goes to standard error: the signal, the
 * loaded modules with version and build id, for each thread the module it last entered, and the
 * addresses of the failing thread's stack as file+offset. Then the signal takes its default course,
 * so that the exit status and the core file stay what the system expects. */
#ifndef SX_KERNEL_PANIC_H
#define SX_KERNEL_PANIC_H

#include <stdint.h>

/* [M] installs the handlers; not in sanitizer builds, whose own reports say more. */
void sx_panic_install(void);
/* [M] after loading: notes a module for the report (strings are kept) ... */
void sx_panic_module(const char *name, const char *version, const char *build_id);
/* ... and where each file lies in memory. */
void sx_panic_map(void);

/* [own thread] enters the thread into the report under a name (copied), with an alternate stack so
 * that an overflow can be told too; end takes it out. Called by loop.c and exec.c, and by main. */
void sx_panic_thread(const char *name);
void sx_panic_thread_end(void);
/* [A] notes which module the thread is about to enter (kept: a static or permanent string); returns
 * what was noted before, so that nested calls can put it back. A store into thread-local memory. */
const char *sx_panic_note(const char *module);

/* Writes the report to fd; async-signal-safe. Exposed for tests. */
void sx_panic_report(int fd, int sig, const void *addr);

#endif
