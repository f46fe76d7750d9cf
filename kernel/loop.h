/* Event loops: who starts and stops them. The service itself is `struct sx_loop_api`.
 *
 *   sx_loops_init(n)      main thread, before any thread: bases exist, post() queues
 *   sx_loops_start(hook)  threads 1..n-1 run their loops; the calling thread becomes loop 0
 *   sx_loops_run()        main thread: runs loop 0 until sx_loops_stop()
 *   sx_loops_fini()       main thread: the other loops run out their posted tasks and end
 *
 * Loop 0 is the main thread, so with n = 1 no loop thread exists. Between the return of run() and
 * fini() the other loops go on, loop 0 only when sx_loops_turn() is called: whoever must wait for
 * something that ends on loop 0 (draining connections) either waits on another thread while run()
 * goes on, or turns. sx_exec_stop() belongs between run() and fini(). */
#ifndef SX_KERNEL_LOOP_H
#define SX_KERNEL_LOOP_H

#include "sextant/sx_service.h"

#include "exec.h"

int sx_loops_init(uint32_t n, struct sx_err *err);
/* Runs the hook (may be NULL) with start = 1 on every loop's thread, loop 0's on the caller. On
 * failure the threads have ended again; sx_loops_fini() still has to be called. */
int sx_loops_start(sx_thread_hook hook, void *arg, struct sx_err *err);
void sx_loops_run(void);
/* [A, signal handlers too] makes sx_loops_run() return. */
void sx_loops_stop(void);
/* [main thread, not inside run()] runs what is ready on loop 0, waiting at most ms for it. */
void sx_loops_turn(uint32_t ms);
/* Hooks with start = 0 run on every loop that had started. */
void sx_loops_fini(void);

const struct sx_loop_api *sx_loop_table(void);
/* "sx.loop.libevent" (strict level): struct sx_loop_libevent of sx_service.h. */
const struct sx_loop_libevent *sx_loop_libevent_table(void);

#endif
