/* See registry.h. The solver is quadratic in modules and providers: there are some dozens. */
#include "registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_vet.h"

#include "exec.h"
#include "host.h"
#include "mem.h"

/* Before each instance lies one cache line whose first word is the module, so that thread_mem()
 * finds it without a search: transports ask for every request. */
#define SELF_HEAD   64u
#define MODULES_MAX 256u

/* Hosts stay valid for ever, so they stay reachable for ever. Main thread. */
static const struct sx_host *hosts[MODULES_MAX];
static uint32_t n_hosts;

static const struct sx_provide *provide_at(const struct sx_plugin *p, uint32_t i)
{
    return (const struct sx_provide *)(const void *)((const char *)p->provides +
                                                     (uint64_t)i * p->provide_size);
}

static const struct sx_need *need_at(const struct sx_plugin *p, uint32_t i)
{
    return (const struct sx_need *)(const void *)((const char *)p->needs +
                                                  (uint64_t)i * p->need_size);
}

void sx_registry_init(struct sx_registry *r, const struct sx_mem *mem)
{
    memset(r, 0, sizeof(*r));
    r->mem = mem;
}

void sx_registry_fini(struct sx_registry *r)
{
    struct sx_module *m;
    uint32_t i;

    for (i = 0; i < r->n_modules; i++) {
        m = &r->modules[i];
        if (m->self != NULL)
            m->host->mem->release(m->host->mem, (char *)m->self - SELF_HEAD);
        if (m->threads != NULL)
            r->mem->release(r->mem, m->threads);
        r->mem->release(r->mem, m->origin);
    }
    r->mem->release(r->mem, r->modules);
    r->mem->release(r->mem, r->providers);
    memset(r, 0, sizeof(*r));
}

/* --- adding ----------------------------------------------------------------------------------- */

/* What only this host can judge; everything else is the vetting library's. */
static int check_descriptor(const struct sx_plugin *p, uint32_t allow_test, struct sx_err *err)
{
    int rc = sx_plugin_vet(p, err);

    if (rc != SX_OK)
        return rc;
    if ((p->flags & SX_PLUGIN_STRICT) != 0 &&
        (p->build_id == NULL || strcmp(p->build_id, SX_BUILD_ID) != 0))
        return sx_err_set(err, SX_EABI,
                          "built for build id %.60s, this server is %.60s (the module uses the "
                          "strict ABI level)",
                          p->build_id != NULL ? p->build_id : "none", SX_BUILD_ID);
    if ((p->flags & SX_PLUGIN_TEST_ONLY) != 0 && !allow_test)
        return sx_err_set(err, SX_EFORBIDDEN,
                          "is for tests only (sextant.allow_test_plugins is false)");
    return SX_OK;
}

struct sx_module *sx_registry_module(struct sx_registry *r, const char *name)
{
    uint32_t i;

    for (i = 0; i < r->n_modules; i++)
        if (strcmp(r->modules[i].plugin->name, name) == 0)
            return &r->modules[i];
    return NULL;
}

int sx_registry_add(struct sx_registry *r,
                    const struct sx_plugin *p,
                    const char *origin,
                    uint32_t allow_test,
                    struct sx_err *err)
{
    struct sx_module *m;
    uint32_t cap;
    char *copy;
    int rc = check_descriptor(p, allow_test, err);

    if (rc != SX_OK)
        return rc;
    m = sx_registry_module(r, p->name);
    if (m != NULL)
        return sx_err_set(err, SX_EEXIST, "module '%s' is loaded already, from %s", p->name,
                          m->origin);
    if (r->n_modules == MODULES_MAX)
        return sx_err_set(err, SX_EINPUT, "more than %u modules", MODULES_MAX);
    if (r->n_modules == r->cap_modules) {
        cap = r->cap_modules != 0 ? 2 * r->cap_modules : 16;
        m = r->mem->resize(r->mem, r->modules, cap * sizeof(*m));
        if (m == NULL)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        r->modules = m;
        r->cap_modules = cap;
    }
    copy = r->mem->alloc(r->mem, strlen(origin) + 1);
    if (copy == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    memcpy(copy, origin, strlen(origin) + 1);
    m = &r->modules[r->n_modules++];
    memset(m, 0, sizeof(*m));
    m->plugin = p;
    m->origin = copy;
    return SX_OK;
}

/* --- solving ---------------------------------------------------------------------------------- */

struct solve {
    struct sx_registry *r;
    const struct sx_registry_solver *s;
    uint32_t n_problems;
};

static void SX_PRINTF(2, 3) problem(struct solve *sv, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sv->n_problems++;
    if (sv->s->problem != NULL)
        sv->s->problem(sv->s->arg, text);
}

/* The module that serves (kind, name), NULL when nobody offers it. Ties are told once, by the
 * caller that sets `tell`. */
static struct sx_module *
chosen(struct solve *sv, uint32_t kind, const char *name, uint32_t tell, uint32_t *out_entry)
{
    const char *pick =
        sv->s->pick != NULL ? sv->s->pick(sv->s->arg, sx_kind_name(kind), name) : NULL;
    struct sx_module *best = NULL, *rival = NULL, *m;
    const struct sx_provide *v, *top = NULL;
    uint32_t i, k;

    for (i = 0; i < sv->r->n_modules; i++) {
        m = &sv->r->modules[i];
        for (k = 0; k < m->plugin->n_provides; k++) {
            v = provide_at(m->plugin, k);
            if (v->kind != kind || strcmp(v->name, name) != 0)
                continue;
            if (pick != NULL && strcmp(pick, m->plugin->name) != 0)
                continue;
            if (top != NULL && v->priority <= top->priority) {
                if (v->priority == top->priority)
                    rival = m;
                continue;
            }
            best = m;
            top = v;
            rival = NULL;
            *out_entry = k;
        }
    }
    if (tell && pick != NULL && best == NULL)
        problem(sv, "sextant.providers.%s.%s names module '%s', which does not provide it",
                sx_kind_name(kind), name, pick);
    if (tell && rival != NULL)
        problem(sv,
                "%s '%s' is provided by both '%s' and '%s' with the same priority; choose one with "
                "sextant.providers.%s.%s",
                sx_kind_name(kind), name, best->plugin->name, rival->plugin->name,
                sx_kind_name(kind), name);
    return best;
}

/* "install sextant-plugin-..." for what nobody provides. */
static void tell_missing(struct solve *sv, const struct sx_module *m, const struct sx_need *need)
{
    const char *kind = sx_kind_name(need->kind) != NULL ? sx_kind_name(need->kind) : "unknown kind";

    if (strcmp(need->name, "*") == 0)
        problem(sv,
                "module '%s' needs at least one %s, and no loaded module provides any; install a "
                "package sextant-plugin-<name> with a module %s-<name> and name it in "
                "sextant.plugins",
                m->plugin->name, kind, kind);
    else
        problem(sv,
                "module '%s' needs %s '%s', which no loaded module provides; install package "
                "sextant-plugin-%s and name its module in sextant.plugins",
                m->plugin->name, kind, need->name, need->name);
}

static uint32_t offers_kind(const struct sx_module *m, uint32_t kind)
{
    uint32_t i;

    for (i = 0; i < m->plugin->n_provides; i++)
        if (provide_at(m->plugin, i)->kind == kind)
            return 1;
    return 0;
}

static void check_needs(struct solve *sv, struct sx_module *m)
{
    const struct sx_need *need;
    const struct sx_provide *v;
    struct sx_module *by;
    uint32_t i, k, entry = 0;

    for (i = 0; i < m->plugin->n_needs; i++) {
        need = need_at(m->plugin, i);
        by = NULL;
        if (strcmp(need->name, "*") == 0) {
            for (k = 0; k < sv->r->n_modules && by == NULL; k++)
                if (offers_kind(&sv->r->modules[k], need->kind))
                    by = &sv->r->modules[k];
            entry = UINT32_MAX;
        } else if (sx_kind_name(need->kind) != NULL) {
            by = chosen(sv, need->kind, need->name, 0, &entry);
        }
        if (by == NULL && need->strength == SX_NEED_HARD)
            tell_missing(sv, m, need);
        if (by == NULL || entry == UINT32_MAX)
            continue;
        v = provide_at(by->plugin, entry);
        if (v->iface_version < need->min_iface)
            problem(sv, "module '%s' needs %s '%s' of version %u, module '%s' provides version %u",
                    m->plugin->name, sx_kind_name(need->kind), need->name, need->min_iface,
                    by->plugin->name, v->iface_version);
    }
}

/* 1 when module m must come after module other. */
static uint32_t waits_for(struct solve *sv,
                          const struct sx_module *m,
                          const struct sx_module *other,
                          uint32_t strength)
{
    const struct sx_need *need;
    uint32_t i, entry;

    for (i = 0; i < m->plugin->n_needs; i++) {
        need = need_at(m->plugin, i);
        if (need->strength < strength || m == other || sx_kind_name(need->kind) == NULL)
            continue;
        if (strcmp(need->name, "*") == 0) {
            if (offers_kind(other, need->kind))
                return 1;
        } else if (chosen(sv, need->kind, need->name, 0, &entry) == other) {
            return 1;
        }
    }
    return 0;
}

static int is_free(struct solve *sv, uint32_t from, uint32_t i, uint32_t strength)
{
    uint32_t k;

    for (k = from; k < sv->r->n_modules; k++)
        if (k != i && waits_for(sv, &sv->r->modules[i], &sv->r->modules[k], strength))
            return 0;
    return 1;
}

/* Selection sort: place after place the first module whose needs stand before it. */
static void order(struct solve *sv)
{
    struct sx_registry *r = sv->r;
    struct sx_module m;
    uint32_t at, i;

    for (at = 0; at < r->n_modules; at++) {
        for (i = at; i < r->n_modules && !is_free(sv, at, i, SX_NEED_SOFT); i++)
            ;
        if (i == r->n_modules)
            for (i = at; i < r->n_modules && !is_free(sv, at, i, SX_NEED_HARD); i++)
                ;
        if (i == r->n_modules) {
            problem(sv, "module '%s' and others need each other in a circle",
                    r->modules[at].plugin->name);
            return;
        }
        m = r->modules[i];
        memmove(&r->modules[at + 1], &r->modules[at], (i - at) * sizeof(m));
        r->modules[at] = m;
    }
}

/* Providers by kind; the losers of a choice are left out. self is filled by instantiate. */
static int list_providers(struct solve *sv)
{
    struct sx_registry *r = sv->r;
    const struct sx_provide *v;
    struct sx_provider *p;
    uint32_t kind, i, k, entry, n = 0;

    for (i = 0; i < r->n_modules; i++)
        n += r->modules[i].plugin->n_provides;
    r->mem->release(r->mem, r->providers);
    r->providers = r->mem->zalloc(r->mem, (n + 1) * sizeof(*p));
    if (r->providers == NULL)
        return SX_ENOMEM;
    for (kind = n = 0; kind < SX_KIND_MAX; kind++) {
        r->kind_first[kind] = n;
        for (i = 0; i < r->n_modules; i++)
            for (k = 0; k < r->modules[i].plugin->n_provides; k++) {
                v = provide_at(r->modules[i].plugin, k);
                if (v->kind != kind || chosen(sv, kind, v->name, 0, &entry) != &r->modules[i] ||
                    entry != k)
                    continue;
                p = &r->providers[n++];
                p->size = sizeof(*p);
                p->kind = kind;
                p->iface_version = v->iface_version;
                p->caps = v->caps;
                p->name = v->name;
                p->ops = v->ops;
                p->module = r->modules[i].plugin->name;
            }
    }
    r->kind_first[SX_KIND_MAX] = n;
    return SX_OK;
}

/* Tells each tie once: at the first module that offers the name. */
static void check_choices(struct solve *sv)
{
    const struct sx_provide *v, *w;
    uint32_t i, k, a, b, entry, is_first;

    for (i = 0; i < sv->r->n_modules; i++)
        for (k = 0; k < sv->r->modules[i].plugin->n_provides; k++) {
            v = provide_at(sv->r->modules[i].plugin, k);
            is_first = 1;
            for (a = 0; a <= i; a++)
                for (b = 0; b < (a < i ? sv->r->modules[a].plugin->n_provides : k); b++) {
                    w = provide_at(sv->r->modules[a].plugin, b);
                    if (w->kind == v->kind && strcmp(w->name, v->name) == 0)
                        is_first = 0;
                }
            if (is_first)
                (void)chosen(sv, v->kind, v->name, 1, &entry);
        }
}

int sx_registry_solve(struct sx_registry *r, const struct sx_registry_solver *s)
{
    struct solve sv = {r, s, 0};
    uint32_t i;

    check_choices(&sv);
    for (i = 0; i < r->n_modules; i++)
        check_needs(&sv, &r->modules[i]);
    order(&sv);
    if (sv.n_problems == 0 && list_providers(&sv) != SX_OK)
        problem(&sv, "out of memory");
    return sv.n_problems == 0 ? SX_OK : SX_EPRECOND;
}

/* --- instances -------------------------------------------------------------------------------- */

int sx_registry_instantiate(struct sx_registry *r, const char *compat_version, struct sx_err *err)
{
    struct sx_module *m;
    struct sx_host *host;
    uint32_t i, k;
    char *p;

    for (i = 0; i < r->n_modules; i++) {
        m = &r->modules[i];
        m->host = sx_host_create(m->plugin->name, (m->plugin->flags & SX_PLUGIN_STRICT) != 0);
        if (m->host == NULL || n_hosts == MODULES_MAX)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        hosts[n_hosts++] = m->host;
        /* Made a moment ago and shown to nobody yet: the one field the configuration decides. */
        host = (struct sx_host *)(uintptr_t)m->host;
        host->compat_version = compat_version;
        p = sx_mem_zalloc_aligned(m->host->mem, 64, SELF_HEAD + (uint64_t)m->plugin->instance_size);
        if (p == NULL)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        memcpy(p, &m, sizeof(m));
        m->self = p + SELF_HEAD;
        for (k = 0; k < r->kind_first[SX_KIND_MAX]; k++)
            if (r->providers[k].module == m->plugin->name)
                r->providers[k].self = m->self;
    }
    return SX_OK;
}

const struct sx_provider *sx_registry_at(const struct sx_registry *r, uint32_t kind, uint32_t i)
{
    if (kind >= SX_KIND_MAX || r->providers == NULL ||
        i >= r->kind_first[kind + 1] - r->kind_first[kind])
        return NULL;
    return &r->providers[r->kind_first[kind] + i];
}

const struct sx_provider *
sx_registry_find(const struct sx_registry *r, uint32_t kind, const char *name)
{
    const struct sx_provider *p;
    uint32_t i;

    for (i = 0; (p = sx_registry_at(r, kind, i)) != NULL; i++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

/* --- the service ------------------------------------------------------------------------------ */

static struct sx_registry *published; /* set once, before threads exist */

static const struct sx_provider *reg_find(uint32_t kind, const char *name)
{
    return published != NULL ? sx_registry_find(published, kind, name) : NULL;
}

static const struct sx_provider *reg_at(uint32_t kind, uint32_t i)
{
    return published != NULL ? sx_registry_at(published, kind, i) : NULL;
}

static const struct sx_plugin *reg_module(uint32_t i, const char **origin)
{
    if (published == NULL || i >= published->n_modules)
        return NULL;
    if (origin != NULL)
        *origin = published->modules[i].origin;
    return published->modules[i].plugin;
}

static void *reg_thread_mem(void *self)
{
    struct sx_worker *w = sx_exec_table()->self();
    struct sx_module *m;

    memcpy(&m, (char *)self - SELF_HEAD, sizeof(m));
    return w != NULL && m->threads != NULL && w->id < m->n_threads ? m->threads[w->id] : NULL;
}

static const struct sx_reg table = {
    .size = sizeof(struct sx_reg),
    .find = reg_find,
    .at = reg_at,
    .module = reg_module,
    .thread_mem = reg_thread_mem,
};

const struct sx_reg *sx_registry_table(void)
{
    return &table;
}

void sx_registry_publish(struct sx_registry *r)
{
    if (r != NULL)
        r->is_frozen = 1;
    published = r;
}
