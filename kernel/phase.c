/* See phase.h. */
#include "phase.h"

#include <stdio.h>
#include <string.h>

#include "sextant/sx_vet.h"

#include "cpu.h"
#include "exec.h"
#include "host.h"
#include "loader.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "panic.h"
#include "procstat.h"
#include "req.h"
#include "run.h"
#include "telem.h"

/* --- configuration ---------------------------------------------------------------------------- */

int sx_phase_configure(struct sx_phase *p, const struct sx_flags *flags, char *const *env)
{
    struct sx_err err = SX_ERR_INIT;

    memset(p, 0, sizeof(*p));
    p->flags = flags;
    p->mem = sx_mem_kernel();
    p->args.config_path = flags->config_path;
    p->args.disable_telemetry = flags->disable_telemetry;
    p->args.env = env;
    sx_registry_init(&p->registry, p->mem);
    if (sx_conf_open(&p->conf, p->mem, &p->args, &err) != SX_OK) {
        (void)fprintf(stderr, "Error: %s\n", err.msg);
        return 1;
    }
    return 0;
}

int sx_phase_log(const struct sx_conf *c, struct sx_err *err)
{
    const struct sx_conf_node *color = sx_conf_node_at(c->root, "logger.color");
    struct sx_log_conf lc = {0};

    lc.level = sx_conf_str(c, "logger.log_level", sx_conf_str(c, "log_level", "INFO"));
    lc.format =
        strcmp(sx_conf_str(c, "logger.format", "text"), "json") == 0 ? SX_LOG_JSON : SX_LOG_TEXT;
    if (color != NULL && color->kind == SX_CONF_BOOL)
        lc.color = color->v.b ? SX_LOG_COLOR_ON : SX_LOG_COLOR_OFF;
    lc.on_disk = sx_conf_bool(c, "logger.on_disk.enabled", 0);
    lc.file = sx_conf_str(c, "logger.on_disk.log_file", NULL);
    lc.disk_level = sx_conf_str(c, "logger.on_disk.log_level", NULL);
    lc.disk_format = strcmp(sx_conf_str(c, "logger.on_disk.format", "text"), "json") == 0
                         ? SX_LOG_JSON
                         : SX_LOG_TEXT;
    lc.disk_buffer_size = sx_conf_u64(c, "logger.on_disk.buffer_size_bytes", 8192);
    return sx_log_configure(&lc, err);
}

/* Said once, on standard output, before the log begins. */
static void tell_both_levels(const struct sx_conf *c)
{
    const struct sx_conf_node *top = sx_conf_node_at(c->root, "log_level");

    if (sx_conf_str(c, "logger.log_level", NULL) != NULL && top != NULL &&
        top->source != SX_CONF_SRC_DEFAULT && top->kind == SX_CONF_STR)
        (void)puts("Both top-level `log_level` and `logger.log_level` config directives are used. "
                   "`logger.log_level` takes priority, so top-level `log_level` will be ignored.");
}

void sx_phase_notes(const struct sx_conf *c)
{
    const struct sx_conf_note *note;

    for (note = c->notes; note != NULL; note = note->next)
        sx_klog(note->level, "settings", "%s", note->text);
}

/* --- modules ---------------------------------------------------------------------------------- */

static const char *pick_provider(void *arg, const char *kind, const char *name)
{
    const struct sx_conf_node *v = sx_conf_node_at(arg, "sextant.providers");

    v = sx_conf_node_get(v, kind, strlen(kind));
    v = sx_conf_node_get(v, name, strlen(name));
    return v != NULL && v->kind == SX_CONF_STR ? v->v.s : NULL;
}

/* The checked list of strings as the loader wants it; NULL when unset. */
static const char *const *list_of(struct sx_conf *c, const char *path)
{
    const struct sx_conf_node *v = sx_conf_node_at(c->root, path), *item;
    const char **list;
    uint32_t n = 0;

    if (v == NULL || v->kind != SX_CONF_LIST)
        return NULL;
    for (item = v->first; item != NULL; item = item->next)
        n++;
    list = sx_arena_zalloc(&c->arena, (n + 1) * sizeof(*list));
    if (list == NULL)
        return NULL;
    for (item = v->first, n = 0; item != NULL; item = item->next)
        list[n++] = item->v.s;
    return list;
}

void sx_phase_loader_conf(struct sx_phase *p, struct sx_loader_conf *out)
{
    memset(out, 0, sizeof(*out));
    out->plugins = list_of(&p->conf, "sextant.plugins");
    out->disable = list_of(&p->conf, "sextant.disable");
    out->plugin_dir = sx_conf_str(&p->conf, "sextant.plugin_dir", NULL);
    out->allow_test = sx_conf_bool(&p->conf, "sextant.allow_test_plugins", 0);
}

int sx_phase_load(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    struct sx_registry_solver solver = {pick_provider, problem, p->conf.root};
    struct sx_loader_conf lc;
    int rc;

    sx_phase_loader_conf(p, &lc);
    lc.problem = problem;
    lc.arg = arg;
    rc = sx_loader_load(&p->registry, &lc);
    /* A module that is missing would only make others look unsatisfied as well. */
    if (rc == SX_OK)
        rc = sx_registry_solve(&p->registry, &solver);
    return rc;
}

static int bind_module(struct sx_phase *p, struct sx_module *m, struct sx_err *err)
{
    m->conf_arena = p->mem->zalloc(p->mem, sizeof(*m->conf_arena));
    if (m->conf_arena == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    sx_arena_init(m->conf_arena, p->mem, 0);
    return sx_conf_bind(&p->conf, m->plugin, m->conf_arena, &m->conf, err);
}

int sx_phase_bind(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    struct sx_err err;
    char text[400];
    uint32_t i, n_bad = 0;

    for (i = 0; i < p->registry.n_modules; i++) {
        err = (struct sx_err)SX_ERR_INIT;
        if (bind_module(p, &p->registry.modules[i], &err) == SX_OK)
            continue;
        (void)snprintf(text, sizeof(text), "%s", err.msg);
        problem(arg, text);
        n_bad++;
    }
    return n_bad == 0 ? SX_OK : SX_EINPUT;
}

static void log_problem(void *arg, const char *text)
{
    (void)arg;
    sx_klog(SX_LOG_ERROR, "startup", "%s", text);
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* sextant.loops, else service.max_workers: 0 = CPUs - 1, null = max_search_threads, which in turn
 * comes from the CPUs when it is 0. */
static uint32_t loop_count(const struct sx_phase *p)
{
    uint64_t n = sx_conf_u64(&p->conf, "sextant.loops", 0);
    uint32_t cpus = sx_cpu_count(), automatic = cpus > 1 ? cpus - 1 : 1;
    const struct sx_conf_node *v = sx_conf_node_at(p->conf.root, "service.max_workers");

    if (n == 0 && v != NULL && v->kind == SX_CONF_NULL)
        n = sx_conf_u64(&p->conf, "storage.performance.max_search_threads", 0);
    else if (n == 0)
        n = sx_conf_u64(&p->conf, "service.max_workers", 0);
    if (n == 0)
        n = automatic;
    return n < 256 ? (uint32_t)n : 256;
}

static uint32_t pool_count(const struct sx_phase *p)
{
    uint64_t n = sx_conf_u64(&p->conf, "sextant.pool_threads", 0);

    if (n == 0)
        n = sx_conf_u64(&p->conf, "storage.performance.max_search_threads", 0);
    if (n == 0)
        n = sx_cpu_count();
    return n < 1024 ? (uint32_t)n : 1024;
}

/* --- serving ---------------------------------------------------------------------------------- */

static int check_cluster(const struct sx_phase *p, struct sx_err *err)
{
    const char *kind = sx_kind_name(SX_KIND_CONSENSUS);

    if (!sx_conf_bool(&p->conf, "cluster.enabled", 0) ||
        sx_registry_at(&p->registry, SX_KIND_CONSENSUS, 0) != NULL)
        return SX_OK;
    return sx_err_set(err, SX_EPRECOND,
                      "cluster.enabled is set, but no loaded module provides %s; install a package "
                      "sextant-plugin-<name> with a module %s-<name> and name it in "
                      "sextant.plugins",
                      kind, kind);
}

/* Outlives the generation it was read from: modules keep it. */
static const char *compat_version(const struct sx_phase *p)
{
    static char version[32];

    (void)snprintf(version, sizeof(version), "%s",
                   sx_conf_str(&p->conf, "sextant.compat_version", SX_COMPAT_VERSION));
    return version;
}

/* Modules found, their configuration bound, instances made; none has been called yet. */
static int make_modules(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    struct sx_err err = SX_ERR_INIT;
    int rc;

    sx_host_service("sx.reg", sx_registry_table(), sizeof(struct sx_reg));
    sx_host_service("sx.req", sx_req_table(), sizeof(struct sx_req));
    if (sx_phase_load(p, problem, arg) != SX_OK || sx_phase_bind(p, problem, arg) != SX_OK)
        return SX_EPRECOND;
    rc = check_cluster(p, &err);
    if (rc == SX_OK)
        rc = sx_req_check_auth(&p->conf, &p->registry, &err);
    if (rc == SX_OK)
        rc = sx_registry_instantiate(&p->registry, compat_version(p), &err);
    if (rc != SX_OK) {
        problem(arg, err.msg);
        return SX_EPRECOND;
    }
    sx_registry_publish(&p->registry);
    sx_req_init(&p->registry, sx_conf_u64(&p->conf, "storage.performance.search_timeout_sec", 0));
    return SX_OK;
}

static void unmake_modules(struct sx_phase *p)
{
    sx_phase_modules_stop(p);
    sx_registry_publish(NULL);
    sx_req_fini();
}

static int start_modules(struct sx_phase *p)
{
    const struct sx_module *m;
    uint32_t i;

    p->exit_code = 1;
    if (make_modules(p, log_problem, NULL) != SX_OK)
        return SX_EPRECOND;
    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        sx_panic_module(m->plugin->name, m->plugin->version, m->plugin->build_id);
        sx_klog(SX_LOG_DEBUG, "startup", "Module %s %s from %s", m->plugin->name,
                m->plugin->version != NULL ? m->plugin->version : "", m->origin);
    }
    sx_panic_map();
    if (sx_phase_modules_load(p, log_problem, NULL) != SX_OK)
        return SX_EPRECOND;
    return sx_phase_modules_start(p);
}

static int make_services(struct sx_phase *p, struct sx_err *err)
{
    int rc;

    p->n_loops = loop_count(p);
    rc = sx_host_init(err);
    if (rc == SX_OK && sx_procstat_register() != SX_OK)
        rc = sx_err_set(err, SX_ENOMEM, "no memory for the process samples");
    if (rc == SX_OK)
        rc = sx_exec_init(pool_count(p), p->n_loops,
                          (uint32_t)sx_conf_u64(&p->conf, "sextant.blocking_threads", 16), err);
    if (rc == SX_OK)
        rc = sx_loops_init(p->n_loops, err);
    return rc;
}

static void tell_cluster_uri(const struct sx_phase *p)
{
    const char *uri = p->flags->uri, *boot = p->flags->bootstrap;

    if (uri == NULL)
        uri = sx_conf_env_get(p->args.env, "QDRANT_URI");
    if (boot == NULL)
        boot = sx_conf_env_get(p->args.env, "QDRANT_BOOTSTRAP");
    if (uri != NULL && boot != NULL && strcmp(uri, boot) == 0)
        sx_klog(SX_LOG_WARN, "startup",
                "Bootstrap URI is the same as this peer URI. Consider this peer as a first in a "
                "new deployment.");
}

/* Restoring from the command line belongs to a later version: say so instead of serving without
 * what was asked for. */
static int check_snapshots(struct sx_phase *p)
{
    struct sx_err err = SX_ERR_INIT;
    const struct sx_flags *f = p->flags;

    if (f->n_snapshots == 0 && f->storage_snapshot == NULL)
        return SX_OK;
    p->exit_code = 101;
    if (f->storage_snapshot == NULL && sx_flags_check_snapshots(f, &err) != SX_OK)
        sx_klog(SX_LOG_ERROR, "startup", "%s", err.msg);
    else
        sx_klog(SX_LOG_ERROR, "startup",
                "Failed to recover snapshot %s: this version cannot restore snapshots at start",
                f->storage_snapshot != NULL ? f->storage_snapshot : f->snapshots[0]);
    return SX_EUNSUPPORTED;
}

int sx_phase_serve(struct sx_phase *p)
{
    struct sx_err err = SX_ERR_INIT;
    int rc;

    tell_both_levels(&p->conf);
    if (sx_phase_log(&p->conf, &err) != SX_OK) {
        (void)fprintf(stderr, "Error: %s\n", err.msg);
        return 1;
    }
    sx_run_signals_block();
    sx_panic_install();
    sx_panic_thread("main");
    sx_run_marker_remove(p);
    sx_run_banner(p);
    sx_phase_notes(&p->conf);
    tell_cluster_uri(p);
    p->exit_code = 1;
    rc = check_snapshots(p);
    if (rc == SX_OK && sx_conf_str(&p->conf, "storage.recovery_mode", NULL) != NULL)
        sx_klog(SX_LOG_WARN, "startup", "Qdrant is loaded in recovery mode: %s",
                sx_conf_str(&p->conf, "storage.recovery_mode", ""));
    if (rc == SX_OK && (rc = make_services(p, &err)) != SX_OK)
        log_problem(NULL, err.msg);
    if (rc == SX_OK) {
        if (start_modules(p) == SX_OK)
            (void)sx_run(p);
        else
            sx_run_abandon();
        unmake_modules(p);
    }
    sx_log_flush();
    return p->exit_code;
}

int sx_phase_rehearse(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    struct sx_err err = SX_ERR_INIT;
    int rc = make_services(p, &err);

    if (rc != SX_OK) {
        problem(arg, err.msg);
        return rc;
    }
    rc = make_modules(p, problem, arg);
    if (rc == SX_OK)
        rc = sx_phase_modules_load(p, problem, arg);
    sx_run_abandon();
    unmake_modules(p);
    sx_log_flush();
    return rc;
}

void sx_phase_fini(struct sx_phase *p)
{
    struct sx_arena *arenas[2];
    struct sx_module *m;
    uint32_t i, k;

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        arenas[0] = m->conf_arena;
        arenas[1] = m->conf_before;
        for (k = 0; k < 2; k++)
            if (arenas[k] != NULL) {
                sx_arena_fini(arenas[k]);
                p->mem->release(p->mem, arenas[k]);
            }
    }
    sx_registry_fini(&p->registry);
    if (p->conf.root != NULL)
        sx_conf_close(&p->conf);
}
