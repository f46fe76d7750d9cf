/* Conformance suites: does a module keep the contract of its kinds?
 *
 * Plain C over the public tables, so that the same checks run from an author's tests, from the
 * server's own tests and from sextant-plugin-check. sx_suite_run() makes the module's instance on
 * the given host, runs the suite of every kind it provides that has one, and stops it again. A
 * suite reports every broken promise as one line and goes on. Suites may crash when the module does
 * (rows lie between unreadable pages on purpose): run those of foreign modules in a child process.
 */
#ifndef SX_SUITE_H
#define SX_SUITE_H

#include "sextant/sx_plugin.h"
#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_SUITE_QUICK                                                                             \
    1u /* a sample of dimensions and sizes, for tests of the suites themselves                     \
        */

struct sx_suite_report {
    uint32_t size;
    uint32_t n_checks, n_failures; /* out */
    uint32_t flags;                /* SX_SUITE_QUICK */
    uint64_t seed;                 /* of the random data; 0 = fixed default */
    const char *dir; /* an existing, empty directory for storage kinds; NULL: they are skipped */
    /* Called per finding and per note ("index 'x': recall 0.97"); may be NULL. */
    void (*line)(void *arg, uint32_t is_failure, const char *text);
    void *arg;
};
#define SX_SUITE_REPORT_INIT                                                                       \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct sx_suite_report)                                           \
    }

/* 0 when every check held, SX_EINTERNAL when one did not, or the code with which load, configure or
 * start refused. */
int sx_suite_run(const struct sx_plugin *p,
                 const struct sx_host *host,
                 struct sx_suite_report *report);

/* The same for one provider whose module was started already (self set). Kinds without a suite add
 * a note and succeed. */
int sx_suite_provider(const struct sx_provider *pr,
                      const struct sx_host *host,
                      struct sx_suite_report *report);

#ifdef __cplusplus
}
#endif
#endif
