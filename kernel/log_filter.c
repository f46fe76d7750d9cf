/* Directives of the log: `INFO`, `INFO,wal=debug`, `transport-rest::http=trace,off`.
 *
 * A directive without '=' is a level (any case, or 0..5, `off`) for everything, or, if it is not a
 * level, a name that is let through entirely. With '=' it names a room, a module, a target or the
 * head of one up to "::". The longest name that matches decides, of equals the last; `sextant` and
 * the reference's name for itself match every target, so that existing settings keep their meaning.
 *
 * Before the user's directives stand those that keep chatty rooms quiet (spec: the log is at WARN,
 * the consensus at WARN, HTTP/2 at ERROR, TLS at INFO) unless asked for by name. */
#include "log_filter.h"

#include <string.h>
#include <strings.h>

#include "sextant/sx_service.h"

static const struct sx_log_directive floors[] = {
    {"wal", SX_LOG_WARN},
    {"raft", SX_LOG_WARN},
    {"h2", SX_LOG_ERROR},
    {"tls", SX_LOG_INFO},
};

/* -2: not a level. */
static int32_t level_of(const char *p, size_t n)
{
    static const char *const names[] = {"off", "error", "warn", "info", "debug", "trace"};

    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        if (strlen(names[i]) == n && strncasecmp(p, names[i], n) == 0)
            return (int32_t)i - 1;
    }
    return n == 1 && *p >= '0' && *p <= '5' ? *p - '1' : -2;
}

static void trim(const char **p, size_t *n)
{
    while (*n > 0 && ((*p)[0] == ' ' || (*p)[0] == '\t')) {
        (*p)++;
        (*n)--;
    }
    while (*n > 0 && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\t'))
        (*n)--;
}

static int directive_add(
    struct sx_log_filter *f, const char *name, size_t n, int32_t level, struct sx_err *err)
{
    struct sx_log_directive *d = &f->items[f->n];

    if (f->n == SX_LOG_DIRECTIVES_MAX)
        return sx_err_set(err, SX_EINPUT, "more than %d directives", SX_LOG_DIRECTIVES_MAX);
    if (n == 0 || n >= sizeof(d->name))
        return sx_err_set(err, SX_EINPUT, "invalid filter directive");
    memcpy(d->name, name, n);
    d->name[n] = 0;
    d->level = level;
    f->n++;
    return 0;
}

static int directive_parse(struct sx_log_filter *f, const char *p, size_t n, struct sx_err *err)
{
    const char *eq = memchr(p, '=', n);

    if (!eq) {
        int32_t level = level_of(p, n);
        if (level == -2)
            return directive_add(f, p, n, SX_LOG_TRACE, err);
        f->level = level;
        return 0;
    }
    const char *name = p, *word = eq + 1;
    size_t n_name = (size_t)(eq - p), n_word = n - n_name - 1;
    trim(&name, &n_name);
    trim(&word, &n_word);
    int32_t level = n_word == 0 ? SX_LOG_TRACE : level_of(word, n_word);
    if (level == -2)
        return sx_err_set(err, SX_EINPUT, "invalid filter directive '%.*s'", (int)(n > 80 ? 80 : n),
                          p);
    return directive_add(f, name, n_name, level, err);
}

int sx_log_filter_parse(struct sx_log_filter *out, const char *text, struct sx_err *err)
{
    struct sx_log_filter f;
    int rc = 0;

    memset(&f, 0, sizeof(f));
    f.level = -2; /* not said */
    for (uint32_t i = 0; i < SX_COUNT(floors); i++)
        f.items[f.n++] = floors[i];
    for (const char *p = text ? text : "INFO"; *p && rc == 0;) {
        size_t n = strcspn(p, ","), n_word = n;
        const char *word = p;
        trim(&word, &n_word);
        if (n_word > 0) /* an empty directive says nothing */
            rc = directive_parse(&f, word, n_word, err);
        p += n + (p[n] == ',');
    }
    if (rc != 0)
        return rc;
    if (f.level == -2) /* only names were given: the rest is at ERROR, as the reference does */
        f.level = f.n > SX_COUNT(floors) ? SX_LOG_ERROR : SX_LOG_INFO;
    f.max = f.level;
    for (uint32_t i = 0; i < f.n; i++) {
        /* A floor only ever lowers what the default level lets through. */
        if (i < SX_COUNT(floors) && f.items[i].level > f.level)
            f.items[i].level = f.level;
        if (f.items[i].level > f.max)
            f.max = f.items[i].level;
    }
    *out = f;
    return 0;
}

static int is_head(const char *name, size_t n, const char *of)
{
    return strncmp(name, of, n) == 0 && (of[n] == 0 || strncmp(of + n, "::", 2) == 0);
}

/* How well a directive fits: 0 not at all, else longer is better. */
static uint32_t match(const struct sx_log_directive *d, const char *module, const char *room)
{
    size_t n = strlen(d->name), n_module = strlen(module);

    if (strcmp(d->name, "sextant") == 0 || strcmp(d->name, "qdrant") == 0)
        return 1;
    if (is_head(d->name, n, room) || strcmp(d->name, module) == 0)
        return (uint32_t)n + 1;
    /* "module::room" or the head of it */
    if (n > n_module + 2 && strncmp(d->name, module, n_module) == 0 &&
        strncmp(d->name + n_module, "::", 2) == 0 &&
        is_head(d->name + n_module + 2, n - n_module - 2, room))
        return (uint32_t)n + 1;
    return 0;
}

int32_t sx_log_filter_level(const struct sx_log_filter *f, const char *module, const char *room)
{
    int32_t level = f->level;
    uint32_t best = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t fits = match(&f->items[i], module, room);
        if (fits > 0 && fits >= best) {
            best = fits;
            level = f->items[i].level;
        }
    }
    return level;
}
