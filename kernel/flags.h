/* The command line. */
#ifndef SX_KERNEL_FLAGS_H
#define SX_KERNEL_FLAGS_H

#include "sextant/sx_base.h"

#define SX_FLAGS_MAX_SNAPSHOTS 64u

enum {
    SX_MODE_SERVE = 0,
    SX_MODE_HELP,
    SX_MODE_VERSION,
    SX_MODE_STACKTRACE,
    SX_MODE_CHECK_CONFIG,   /* report on the configuration */
    SX_MODE_PRINT_DEFAULTS, /* a configuration file with every key */
    SX_MODE_CHECK,          /* try each module */
    SX_MODE_LIST_PLUGINS
};

struct sx_flags {
    uint32_t mode, force_snapshot, disable_telemetry, reinit;
    const char *uri, *bootstrap, *config_path, *storage_snapshot;
    const char *snapshots[SX_FLAGS_MAX_SNAPSHOTS]; /* PATH:NAME */
    uint32_t n_snapshots, pad;
};

/* Borrows argv. 0, or SX_EINPUT with the text that stands after "error: ". */
int sx_flags_parse(int argc, char *const *argv, struct sx_flags *out, struct sx_err *err);
/* Checks the values of --snapshot ("Collection name is missing: ..."); 0 or SX_EINPUT. */
int sx_flags_check_snapshots(const struct sx_flags *f, struct sx_err *err);
extern const char sx_flags_usage[], sx_flags_help[];

#endif
