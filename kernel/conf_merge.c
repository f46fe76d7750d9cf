/* All sources, lowest first, made into one checked generation.
 *
 *   the table's defaults < config/config < config/{RUN_MODE} < config/local < --config-path
 *   < environment < flags
 *
 * Maps are joined key by key, everything else is replaced whole. After the last source each key of
 * the table is brought to its type in place; the first that cannot be stops the process, with the
 * text of section 1.1. Keys that are not in the table stay as they are: a module may know them.
 * Range violations never stop anything; they become notes, which are logged once logging is set
 * up. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

void sx_conf_note(struct sx_conf *c, uint32_t level, const char *fmt, ...)
{
    char text[512];
    struct sx_conf_note *note;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    note = sx_arena_zalloc(&c->arena, sizeof(*note));
    if (note == NULL)
        return;
    note->level = level;
    note->text = sx_arena_strdup(&c->arena, text, strlen(text));
    if (note->text == NULL)
        return;
    *c->notes_end = note;
    c->notes_end = &note->next;
}

static void note_range(struct sx_conf *c, const char *path, const char *text)
{
    if (c->n_range++ == 0)
        sx_conf_note(c, SX_LOG_WARN, "Settings configuration file has validation errors:");
    sx_conf_note(c, SX_LOG_WARN, "- %s: %s", path, text);
}

/* --- layers ----------------------------------------------------------------------------------- */

static int add_defaults(struct sx_conf *c, struct sx_err *err)
{
    const struct sx_conf_key *k;
    struct sx_conf_node *v;
    int rc = SX_OK;

    for (k = sx_conf_keys; rc == SX_OK && k < sx_conf_keys + sx_conf_keys_n; k++) {
        if (k->type == SX_CONF_T_SECT && (k->flags & SX_CONF_OPT) == 0) {
            v = sx_conf_node_new(&c->arena, SX_CONF_MAP);
            rc = v != NULL ? sx_conf_node_set(&c->arena, c->root, k->path, v) : SX_ENOMEM;
        } else if (k->def != NULL) {
            rc = sx_conf_tree_value(&c->arena, k->def, &v, err);
            if (rc == SX_OK && v != NULL) {
                v->source = SX_CONF_SRC_DEFAULT;
                v->origin = NULL;
                rc = sx_conf_node_set(&c->arena, c->root, k->path, v);
            }
        }
    }
    return rc;
}

static int
add_tree(struct sx_conf *c, struct sx_conf_node *over, const char *name, struct sx_err *err)
{
    if (over == NULL || over->kind == SX_CONF_NULL)
        return SX_OK;
    if (over->kind != SX_CONF_MAP)
        return sx_err_set(err, SX_EINPUT, "%s: the root of a configuration file must be a map",
                          name);
    sx_conf_node_merge(c->root, over);
    return SX_OK;
}

static int add_file(struct sx_conf *c, const char *path, struct sx_err *err)
{
    struct sx_conf_node *over;
    char *name = sx_arena_strdup(&c->arena, path, strlen(path));
    int rc = name != NULL ? sx_conf_tree_read(&c->arena, name, &over, err) : SX_ENOMEM;

    return rc != SX_OK ? rc : add_tree(c, over, path, err);
}

/* <base>.yaml or <base>.yml. */
static int add_base(struct sx_conf *c, const char *base, uint32_t warn, struct sx_err *err)
{
    char path[512];
    int rc;

    if (snprintf(path, sizeof(path), "%s.yaml", base) >= (int)sizeof(path))
        return sx_err_set(err, SX_EINPUT, "%.100s...: the name is too long", base);
    rc = add_file(c, path, err);
    if (rc == SX_ENOTFOUND) {
        (void)snprintf(path, sizeof(path), "%s.yml", base);
        rc = add_file(c, path, err);
    }
    if (rc != SX_ENOTFOUND)
        return rc;
    if (warn)
        sx_conf_note(c, SX_LOG_WARN, "Config file not found: %s", base);
    return SX_OK;
}

/* Read before the other files, because the line about its absence precedes those about theirs;
 * added after them. As for the others the extension may be left out. */
static int
read_config_path(struct sx_conf *c, const char *path, struct sx_conf_node **out, struct sx_err *err)
{
    static const char *const ext[] = {"", ".yaml", ".yml"};
    struct sx_str name;
    uint32_t i;
    int rc;

    *out = NULL;
    if (path == NULL)
        return SX_OK;
    for (i = 0; i < SX_COUNT(ext); i++) {
        name = sx_arena_printf(&c->arena, "%s%s", path, ext[i]);
        if (name.p == NULL)
            return SX_ENOMEM;
        rc = sx_conf_tree_read(&c->arena, name.p, out, err);
        if (rc != SX_ENOTFOUND)
            return rc;
    }
    sx_conf_note(c, SX_LOG_ERROR, "Config file via --config-path is not found: %s", path);
    return SX_OK;
}

static int add_files(struct sx_conf *c, const struct sx_conf_args *args, struct sx_err *err)
{
    const char *mode = sx_conf_env_get(args->env, "RUN_MODE");
    struct sx_conf_node *extra;
    char base[512];
    int rc;

    rc = read_config_path(c, args->config_path, &extra, err);
    if (rc != SX_OK)
        return rc;
    if (mode == NULL || *mode == '\0')
        mode = "development";
    rc = add_base(c, "config/config", 1, err);
    if (rc == SX_OK) {
        if (snprintf(base, sizeof(base), "config/%s", mode) >= (int)sizeof(base))
            return sx_err_set(err, SX_EINPUT, "RUN_MODE is too long");
        rc = add_base(c, base, 1, err);
    }
    if (rc == SX_OK)
        rc = add_base(c, "config/local", 0, err);
    if (rc == SX_OK)
        rc = add_tree(c, extra, args->config_path, err);
    return rc;
}

static int add_flags(struct sx_conf *c, const struct sx_conf_args *args)
{
    struct sx_conf_node *v;

    if (!args->disable_telemetry)
        return SX_OK;
    v = sx_conf_node_new(&c->arena, SX_CONF_BOOL);
    if (v == NULL)
        return SX_ENOMEM;
    v->source = SX_CONF_SRC_FLAG;
    v->origin = "the command line";
    v->v.b = 1;
    return sx_conf_node_set(&c->arena, c->root, "telemetry_disabled", v);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void node_remove(struct sx_conf_node *map, const struct sx_conf_node *v)
{
    struct sx_conf_node **at = &map->first;

    map->last = NULL;
    while (*at != NULL) {
        if (*at == v)
            *at = v->next;
        else {
            map->last = *at;
            at = &(*at)->next;
        }
    }
}

static int take_aliases(struct sx_conf *c, struct sx_err *err)
{
    const struct sx_conf_alias *al;
    struct sx_conf_node *sect, *v, *present;

    for (al = sx_conf_aliases; al < sx_conf_aliases + sx_conf_aliases_n; al++) {
        sect = sx_conf_node_at(c->root, al->section);
        v = sx_conf_node_get(sect, al->old_name, strlen(al->old_name));
        if (v == NULL)
            continue;
        if (al->fatal)
            return sx_err_set(err, SX_EINPUT, "duplicate field `%s` for key `%s`", al->old_name,
                              al->section);
        node_remove(sect, v);
        present = sx_conf_node_get(sect, al->name, strlen(al->name));
        if (present == NULL || present->source == SX_CONF_SRC_DEFAULT)
            sx_conf_node_put(sect, al->name, v);
    }
    return SX_OK;
}

/* The first member that an emptied section cannot do without. */
static int missing_member(const struct sx_conf_key *sect, struct sx_err *err)
{
    const struct sx_conf_key *k;
    uint64_t n = strlen(sect->path);

    for (k = sect + 1; k < sx_conf_keys + sx_conf_keys_n; k++)
        if (strncmp(k->path, sect->path, n) == 0 && k->path[n] == '.' &&
            k->type != SX_CONF_T_SECT && (k->flags & SX_CONF_OPT) == 0)
            return sx_err_set(err, SX_EINPUT, "missing configuration field \"%s\"", k->path);
    return SX_OK; /* all members optional: an empty section is fine */
}

static int check_types(struct sx_conf *c, struct sx_err *err)
{
    const struct sx_conf_key *k;
    struct sx_conf_node *v;
    int rc;

    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++) {
        v = sx_conf_node_at(c->root, k->path);
        if (v == NULL)
            continue;
        if (k->type == SX_CONF_T_SECT && v->kind == SX_CONF_NULL && (k->flags & SX_CONF_OPT) == 0)
            rc = missing_member(k, err);
        else
            rc = sx_conf_as_key(&c->arena, v, k, err);
        if (rc != SX_OK)
            return rc;
    }
    return SX_OK;
}

/* A mandatory key below a section that a lower source had emptied and a higher one filled in part.
 */
static int check_present(struct sx_conf *c, struct sx_err *err)
{
    const struct sx_conf_key *k;
    struct sx_conf_node *sect;
    const char *dot;
    char path[128];

    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++) {
        dot = strrchr(k->path, '.');
        if (k->type == SX_CONF_T_SECT || (k->flags & SX_CONF_OPT) != 0 || dot == NULL ||
            sx_conf_node_at(c->root, k->path) != NULL)
            continue;
        (void)snprintf(path, sizeof(path), "%.*s", (int)(dot - k->path), k->path);
        sect = sx_conf_node_at(c->root, path);
        if (sect == NULL || sect->kind != SX_CONF_MAP || k->def == NULL)
            continue;
        return sx_err_set(err, SX_EINPUT, "missing configuration field \"%s\"", k->path);
    }
    return SX_OK;
}

static void
check_range(struct sx_conf *c, const struct sx_conf_key *k, const struct sx_conf_node *v)
{
    char num[40], lo[40], hi[40], text[160];
    double f = v->kind == SX_CONF_F64   ? v->v.f
               : v->kind == SX_CONF_U64 ? (double)v->v.u
                                        : (double)v->v.i;

    if (f >= k->min && f <= k->max)
        return;
    if (k->type == SX_CONF_T_F64) {
        sx_conf_f64_text(f, num);
        sx_conf_f64_text(k->min, lo);
        sx_conf_f64_text(k->max, hi);
    } else {
        if (v->kind == SX_CONF_U64)
            (void)snprintf(num, sizeof(num), "%llu", (unsigned long long)v->v.u);
        else
            (void)snprintf(num, sizeof(num), "%lld", (long long)v->v.i);
        (void)snprintf(lo, sizeof(lo), "%.0f", k->min);
        (void)snprintf(hi, sizeof(hi), "%.0f", k->max);
    }
    if (isinf(k->max))
        (void)snprintf(text, sizeof(text), "value %s invalid, must be %s or larger", num, lo);
    else
        (void)snprintf(text, sizeof(text), "value %s invalid, must be from %s to %s", num, lo, hi);
    note_range(c, k->path, text);
}

static void check_prefix(struct sx_conf *c)
{
    const char *s = sx_conf_str(c, "service.metrics_prefix", "");

    if (s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] != '\0')
        note_range(c, "service.metrics_prefix",
                   "Metrics prefix must be of all alphanumeric characters, with an exception for "
                   "'_'");
}

static void check_ranges(struct sx_conf *c)
{
    const struct sx_conf_key *k;
    const struct sx_conf_node *v;

    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++) {
        v = sx_conf_node_at(c->root, k->path);
        if (v == NULL || v->kind == SX_CONF_NULL || v->source == SX_CONF_SRC_DEFAULT)
            continue;
        if ((k->flags & SX_CONF_NONEMPTY) != 0 && v->kind == SX_CONF_STR && *v->v.s == '\0')
            note_range(c, k->path, "value \"\" invalid, must be at least 1 characters");
        if (k->min <= k->max && k->type != SX_CONF_T_STR)
            check_range(c, k, v);
    }
    check_prefix(c);
    if (sx_conf_u64(c, "storage.collection.shard_number", 0) != 0 &&
        sx_conf_u64(c, "storage.collection.shard_number_per_node", 0) != 0)
        sx_conf_note(c, SX_LOG_WARN,
                     "Both storage.collection.shard_number and "
                     "storage.collection.shard_number_per_node are set, shard_number is used");
}

void sx_conf_key_warnings(struct sx_conf *c)
{
    static const char *const keys[] = {"api_key", "alt_api_key", "read_only_api_key"};
    const char *key, *alt;
    char path[64];
    uint32_t i;

    for (i = 0; i < SX_COUNT(keys); i++) {
        (void)snprintf(path, sizeof(path), "service.%s", keys[i]);
        key = sx_conf_str(c, path, NULL);
        if (key != NULL && *key == '\0')
            sx_conf_note(c, SX_LOG_WARN,
                         "Service %s is set but empty, it is treated as unset and authentication "
                         "may be disabled",
                         keys[i]);
    }
    if (!sx_conf_bool(c, "service.jwt_rbac", 0))
        return;
    key = sx_conf_str(c, "service.api_key", "");
    alt = sx_conf_str(c, "service.alt_api_key", "");
    if (*key == '\0' && *alt == '\0')
        sx_conf_note(c, SX_LOG_WARN,
                     "JWT RBAC configured but no API key set, JWT RBAC is not enabled");
    else if ((*key != '\0' && strlen(key) < 32) || (*alt != '\0' && strlen(alt) < 32))
        sx_conf_note(c, SX_LOG_WARN,
                     "It is highly recommended to use an API key of 32 bytes when JWT RBAC is "
                     "enabled");
}

/* --- a generation ----------------------------------------------------------------------------- */

int sx_conf_open(struct sx_conf *c,
                 const struct sx_mem *mem,
                 const struct sx_conf_args *args,
                 struct sx_err *err)
{
    struct sx_conf_node *over = NULL;
    int rc;

    memset(c, 0, sizeof(*c));
    sx_arena_init(&c->arena, mem, 256u << 20);
    c->notes_end = &c->notes;
    c->root = sx_conf_node_new(&c->arena, SX_CONF_MAP);
    rc = c->root != NULL ? add_defaults(c, err) : SX_ENOMEM;
    if (rc == SX_OK)
        rc = add_files(c, args, err);
    if (rc == SX_OK)
        rc = sx_conf_env_read(&c->arena, args->env, &over);
    if (rc == SX_OK)
        rc = add_tree(c, over, "the environment", err);
    if (rc == SX_OK)
        rc = add_flags(c, args);
    if (rc == SX_OK)
        rc = take_aliases(c, err);
    if (rc == SX_OK)
        rc = check_types(c, err);
    if (rc == SX_OK)
        rc = check_present(c, err);
    if (rc == SX_OK) {
        check_ranges(c);
        sx_conf_key_warnings(c);
        return SX_OK;
    }
    if (rc == SX_ENOMEM && err != NULL && err->code != SX_ENOMEM)
        (void)sx_err_set(err, rc, "out of memory while reading the configuration");
    sx_conf_close(c);
    return rc;
}

void sx_conf_close(struct sx_conf *c)
{
    sx_arena_fini(&c->arena);
    memset(c, 0, sizeof(*c));
}

const char *sx_conf_str(const struct sx_conf *c, const char *path, const char *def)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    return v != NULL && v->kind == SX_CONF_STR ? v->v.s : def;
}

uint64_t sx_conf_u64(const struct sx_conf *c, const char *path, uint64_t def)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    return v != NULL && (v->kind == SX_CONF_U64 || (v->kind == SX_CONF_I64 && v->v.i >= 0)) ? v->v.u
                                                                                            : def;
}

int64_t sx_conf_i64(const struct sx_conf *c, const char *path, int64_t def)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    return v != NULL && v->kind == SX_CONF_I64 ? v->v.i : def;
}

double sx_conf_f64(const struct sx_conf *c, const char *path, double def)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    return v != NULL && v->kind == SX_CONF_F64 ? v->v.f : def;
}

uint32_t sx_conf_bool(const struct sx_conf *c, const char *path, uint32_t def)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path);

    return v != NULL && v->kind == SX_CONF_BOOL ? v->v.b : def;
}
