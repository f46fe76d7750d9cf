/* Shared by the suites: checks, random data, guarded memory. */
#ifndef SX_SUITES_SUITE_H
#define SX_SUITES_SUITE_H

#include "sextant/sx_vec.h"

#include "sx_suite.h"

#define SX_SUITE_SHOWN_MAX 20u /* findings written per run; all are counted */

/* One suite run over one provider. */
struct suite {
    const struct sx_provider *pr;
    const struct sx_host *host;
    struct sx_suite_report *report;
    uint64_t rng;
};

/* Counts a check; when it does not hold, writes one line. Returns whether it held. */
int sx_suite__check(struct suite *s, int is_true, const char *fmt, ...) SX_PRINTF(3, 4);
void sx_suite__note(struct suite *s, const char *fmt, ...) SX_PRINTF(2, 3);

uint32_t sx_suite__random(struct suite *s);
float sx_suite__uniform(struct suite *s); /* [-1, 1) */
double sx_suite__normal(struct suite *s);

/* Memory between unreadable pages: bytes [0, n) end where an unreadable page begins (at_end) or
 * start where one ends. NULL when memory is short. Freed with the same n. */
void *sx_suite__guarded(uint64_t n, uint32_t at_end);
void sx_suite__guarded_free(void *p, uint64_t n, uint32_t at_end);

void sx_suite__distance(struct suite *s);
void sx_suite__index(struct suite *s);
void sx_suite__rows(struct suite *s);
void sx_suite__blobs(struct suite *s);
void sx_suite__tokenizer(struct suite *s);

#endif
