/* Directives of the log: which lines are written. Internal to log.c and log_filter.c. */
#ifndef SX_KERNEL_LOG_FILTER_H
#define SX_KERNEL_LOG_FILTER_H

#include "sextant/sx_base.h"

#define SX_LOG_DIRECTIVES_MAX 64

struct sx_log_directive {
    char name[60];
    int32_t level; /* SX_LOG_*, -1 = nothing */
};

struct sx_log_filter {
    int32_t level; /* of targets that no directive names; -1 = nothing */
    int32_t max;   /* the largest level anywhere */
    uint32_t n, pad;
    struct sx_log_directive items[SX_LOG_DIRECTIVES_MAX];
};

/* Reads directives; text NULL = INFO. On failure `out` is unchanged. */
int sx_log_filter_parse(struct sx_log_filter *out, const char *text, struct sx_err *err);
/* The level up to which lines of (module, room) are written. */
int32_t sx_log_filter_level(const struct sx_log_filter *f, const char *module, const char *room);

#endif
