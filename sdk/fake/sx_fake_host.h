/* A small host for tests of modules: what the server offers, without the server.
 *
 * For authors' tests, the conformance suites and sextant-plugin-check. One host exists at a time
 * (the service tables have no self argument); everything it offers lies in this folder:
 *
 *   sx.exec   tasks run at once on the calling thread, or on one worker thread (SX_FAKE_THREAD);
 *             delayed tasks run when the test says so
 *   sx.epoch  retired memory is given back as soon as nobody is inside a section
 *   sx.io     files below any path; can be told to fail the n-th write
 *   sx.reg    the modules added with sx_fake_host_add()
 *   sx.telem  metrics that can be read back by name
 *   sx.time, sx.cpu, sx.crypto
 *
 * Memory is counted: sx_fake_host_live() tells how many allocations are still out. */
#ifndef SX_FAKE_HOST_H
#define SX_FAKE_HOST_H

#include "sextant/sx_plugin.h"
#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_FAKE_THREAD 1u /* tasks run on a thread of their own */

struct sx_fake_conf {
    uint32_t size, flags;
    uint32_t log_level; /* lines up to this level go to stderr; UINT32_MAX: none */
    uint32_t pad;
    uint64_t cpu_mask; /* and-ed with the machine's SX_CPU_* bits; 0 = portable only */
};
#define SX_FAKE_CONF_INIT                                                                          \
    {                                                                                              \
        (uint32_t)sizeof(struct sx_fake_conf), 0, UINT32_MAX, 0, UINT64_MAX                        \
    }

/* NULL when memory is short or a host exists already. Ended by sx_fake_host_destroy(). */
const struct sx_host *sx_fake_host_create(const struct sx_fake_conf *conf);
void sx_fake_host_destroy(void);

/* Allocations of the module account that were not released yet. */
uint64_t sx_fake_host_live(void);
/* The n-th allocation from now on fails, once; 0 switches off. */
void sx_fake_host_fail_alloc(uint64_t n);

/* Makes a module known: allocates its instance, fills its configuration with the defaults of its
 * keys, runs load, configure and start, registers its providers. */
int sx_fake_host_add(const struct sx_plugin *p, struct sx_err *err);
/* drain and stop of every module added, in reverse order. */
void sx_fake_host_stop(void);

/* Waits until no task is queued or running; delayed tasks stay. */
void sx_fake_host_idle(void);
/* Lets `ms` of the delayed tasks' time pass and runs what is due. */
void sx_fake_host_tick(uint32_t ms);

/* The n-th pwrite from now on fails with SX_ENOSPACE after writing half, once; 0 switches off. */
void sx_fake_host_fail_write(uint64_t n);
/* Bytes and calls since the host was made. */
struct sx_fake_io_counts {
    uint64_t reads, writes, bytes_read, bytes_written, syncs, dir_syncs;
};
void sx_fake_host_io_counts(struct sx_fake_io_counts *out);

/* Value of a metric by name and labels (NULL = ""), 0 when there is none. */
double sx_fake_host_metric(const char *name, const char *labels);

#ifdef __cplusplus
}
#endif
#endif
