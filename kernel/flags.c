/* See flags.h. The flags, their spellings and the texts of errors are the reference's; the last
 * four of the table are our own. `--name value` and `--name=value` are the same; one-letter flags
 * may be joined. */
#include "flags.h"

#include <string.h>

const char sx_flags_usage[] = "Usage: sextant [OPTIONS]\n\nFor more information, try '--help'.\n";

const char sx_flags_help[] =
    "A vector search server that speaks Qdrant's protocols\n"
    "\n"
    "Usage: sextant [OPTIONS]\n"
    "\n"
    "Options:\n"
    "      --bootstrap <URI>          Peer-to-peer address of any existing peer to join through\n"
    "                                 [env: QDRANT_BOOTSTRAP]\n"
    "      --uri <URI>                Address at which other peers reach this one; the first peer\n"
    "                                 of a cluster needs it [env: QDRANT_URI]\n"
    "  -f, --force-snapshot           Overwrite existing collections when restoring snapshots\n"
    "      --snapshot <PATH:NAME>     Restore collection NAME from a file before serving;\n"
    "                                 may be given several times\n"
    "      --storage-snapshot <PATH>  Restore a snapshot of the whole storage\n"
    "      --config-path <PATH>       Read a further configuration file\n"
    "      --disable-telemetry        Do not report usage\n"
    "      --stacktrace               Print stack traces and exit\n"
    "      --reinit                   Forget the other peers of the cluster\n"
    "      --check-config             Check the configuration, report on it and exit\n"
    "      --print-defaults           Print a configuration file with every key and exit\n"
    "      --check                    Load and configure all modules, report on it and exit\n"
    "      --list-plugins             List the modules and exit\n"
    "  -h, --help                     Print help\n"
    "  -V, --version                  Print version\n";

enum {
    F_URI,
    F_BOOTSTRAP,
    F_SNAPSHOT,
    F_STORAGE_SNAPSHOT,
    F_CONFIG_PATH,
    F_FORCE,
    F_DISABLE_TELEMETRY,
    F_REINIT,
    F_MODE
};

struct flag {
    const char *name;
    char letter;
    uint32_t what, mode;
    const char *value; /* placeholder of its value; NULL = a switch */
};

static const struct flag flags[] = {
    {"uri", 0, F_URI, 0, "URI"},
    {"bootstrap", 0, F_BOOTSTRAP, 0, "URI"},
    {"snapshot", 0, F_SNAPSHOT, 0, "PATH:NAME"},
    {"collection-snapshot", 0, F_SNAPSHOT, 0, "PATH:NAME"},
    {"storage-snapshot", 0, F_STORAGE_SNAPSHOT, 0, "PATH"},
    {"config-path", 0, F_CONFIG_PATH, 0, "PATH"},
    {"force-snapshot", 'f', F_FORCE, 0, NULL},
    {"disable-telemetry", 0, F_DISABLE_TELEMETRY, 0, NULL},
    {"reinit", 0, F_REINIT, 0, NULL},
    {"stacktrace", 0, F_MODE, SX_MODE_STACKTRACE, NULL},
    {"help", 'h', F_MODE, SX_MODE_HELP, NULL},
    {"version", 'V', F_MODE, SX_MODE_VERSION, NULL},
    {"check-config", 0, F_MODE, SX_MODE_CHECK_CONFIG, NULL},
    {"print-defaults", 0, F_MODE, SX_MODE_PRINT_DEFAULTS, NULL},
    {"check", 0, F_MODE, SX_MODE_CHECK, NULL},
    {"list-plugins", 0, F_MODE, SX_MODE_LIST_PLUGINS, NULL},
};

static int twice(const struct flag *f, struct sx_err *err)
{
    return sx_err_set(err, SX_EINPUT, "the argument '--%s%s%s%s' cannot be used multiple times",
                      f->name, f->value != NULL ? " <" : "", f->value != NULL ? f->value : "",
                      f->value != NULL ? ">" : "");
}

static int set_str(const char **at, const char *value, const struct flag *f, struct sx_err *err)
{
    if (*at != NULL)
        return twice(f, err);
    *at = value;
    return SX_OK;
}

static int set_switch(uint32_t *at, const struct flag *f, struct sx_err *err)
{
    if (*at != 0)
        return twice(f, err);
    *at = 1;
    return SX_OK;
}

static int apply(struct sx_flags *out, const struct flag *f, const char *value, struct sx_err *err)
{
    switch (f->what) {
    case F_URI:
        return set_str(&out->uri, value, f, err);
    case F_BOOTSTRAP:
        return set_str(&out->bootstrap, value, f, err);
    case F_STORAGE_SNAPSHOT:
        return set_str(&out->storage_snapshot, value, f, err);
    case F_CONFIG_PATH:
        return set_str(&out->config_path, value, f, err);
    case F_SNAPSHOT:
        if (out->n_snapshots == SX_FLAGS_MAX_SNAPSHOTS)
            return sx_err_set(err, SX_EINPUT, "more than %u snapshots", SX_FLAGS_MAX_SNAPSHOTS);
        out->snapshots[out->n_snapshots++] = value;
        return SX_OK;
    case F_FORCE:
        return set_switch(&out->force_snapshot, f, err);
    case F_DISABLE_TELEMETRY:
        return set_switch(&out->disable_telemetry, f, err);
    case F_REINIT:
        return set_switch(&out->reinit, f, err);
    default: /* the first mode wins, as the first of --help and --version does */
        if (out->mode == SX_MODE_SERVE)
            out->mode = f->mode;
        return SX_OK;
    }
}

static int unexpected(const char *arg, struct sx_err *err)
{
    return sx_err_set(err, SX_EINPUT, "unexpected argument '%.150s' found", arg);
}

static int parse_long(char *const **arg, struct sx_flags *out, struct sx_err *err)
{
    const char *name = **arg + 2, *eq = strchr(name, '=');
    uint64_t n = eq != NULL ? (uint64_t)(eq - name) : strlen(name);
    const struct flag *f;
    const char *value = NULL;
    char shown[160];

    for (f = flags; f < flags + SX_COUNT(flags); f++)
        if (strlen(f->name) == n && memcmp(f->name, name, n) == 0)
            break;
    if (f == flags + SX_COUNT(flags)) {
        n = n + 2 < sizeof(shown) ? n + 2 : sizeof(shown) - 1;
        memcpy(shown, **arg, n);
        shown[n] = '\0';
        return unexpected(shown, err);
    }
    if (f->value == NULL && eq != NULL)
        return sx_err_set(err, SX_EINPUT,
                          "unexpected value '%.100s' for '--%s' found; no more "
                          "were expected",
                          eq + 1, f->name);
    if (f->value != NULL) {
        value = eq != NULL ? eq + 1 : (*arg)[1];
        /* A value that looks like a flag is none, except behind '='. */
        if (value == NULL || (eq == NULL && value[0] == '-' && value[1] != '\0'))
            return sx_err_set(err, SX_EINPUT,
                              "a value is required for '--%s <%s>' but none was supplied", f->name,
                              f->value);
        *arg += eq == NULL;
    }
    return apply(out, f, value, err);
}

static int parse_letters(const char *arg, struct sx_flags *out, struct sx_err *err)
{
    const struct flag *f;
    char shown[3] = "-?";
    int rc = SX_OK;

    for (arg++; rc == SX_OK && *arg != '\0'; arg++) {
        for (f = flags; f < flags + SX_COUNT(flags); f++)
            if (f->letter == *arg)
                break;
        shown[1] = *arg;
        rc = f == flags + SX_COUNT(flags) ? unexpected(shown, err) : apply(out, f, NULL, err);
    }
    return rc;
}

int sx_flags_parse(int argc, char *const *argv, struct sx_flags *out, struct sx_err *err)
{
    char *const *arg;
    int rc = SX_OK;

    memset(out, 0, sizeof(*out));
    for (arg = argv + (argc > 0); rc == SX_OK && *arg != NULL; arg++) {
        if ((*arg)[0] == '-' && (*arg)[1] == '-' && (*arg)[2] != '\0')
            rc = parse_long(&arg, out, err);
        else if ((*arg)[0] == '-' && (*arg)[1] != '\0' && (*arg)[1] != '-')
            rc = parse_letters(*arg, out, err);
        else
            rc = unexpected(*arg, err);
    }
    return rc;
}

int sx_flags_check_snapshots(const struct sx_flags *f, struct sx_err *err)
{
    const char *s, *colon;
    uint32_t i;

    for (i = 0; i < f->n_snapshots; i++) {
        s = f->snapshots[i];
        colon = strrchr(s, ':');
        if (colon == NULL || colon[1] == '\0')
            return sx_err_set(err, SX_EINPUT, "Collection name is missing: %.150s", s);
        if (colon == s)
            return sx_err_set(err, SX_EINPUT, "Snapshot path is missing: %.150s", s);
        if (strpbrk(colon + 1, "/\\") != NULL)
            return sx_err_set(err, SX_EINPUT, "Collection name must not contain slashes: %.150s",
                              colon + 1);
    }
    return SX_OK;
}
