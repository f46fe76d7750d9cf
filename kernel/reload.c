/* SIGHUP: the configuration read again, all or nothing.
 *
 * First everything that can fail without touching anybody: reading, checking, binding every
 * module's struct into a new arena. Keys that are not marked reloadable keep their old value, with
 * a warning that they wait for a restart. Then the modules whose structs differ are asked one after
 * the other; if one refuses, those before it get their old struct back. Modules without a change
 * are not called.
 *
 * A struct that was replaced stays readable until the next reload: threads may be about to read
 * one of its strings. */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "phase.h"
#include "req.h"

struct change {
    struct sx_arena *arena;
    void *conf;
    uint32_t is_changed, is_done;
};

static void arena_drop(struct sx_phase *p, struct sx_arena *a)
{
    if (a == NULL)
        return;
    sx_arena_fini(a);
    p->mem->release(p->mem, a);
}

/* Compares key by key; restores what may not change. */
static int merge_fixed(struct sx_module *m, struct change *ch)
{
    const struct sx_key *k;
    uint32_t i;

    for (i = 0; i < m->plugin->n_keys; i++) {
        k = sx_conf_bind_key(m->plugin, i);
        if (sx_conf_bind_same(k, m->conf, ch->conf))
            continue;
        if ((k->flags & SX_KEY_RELOADABLE) != 0 && SX_HAS(m->plugin, reload)) {
            ch->is_changed = 1;
            continue;
        }
        sx_klog(SX_LOG_WARN, "reload", "%s%s%s%s has changed and takes effect at the next start",
                strchr(k->path, '.') != NULL ? "" : "plugins.",
                strchr(k->path, '.') != NULL ? "" : m->plugin->name,
                strchr(k->path, '.') != NULL ? "" : ".", k->path);
        if (sx_conf_bind_keep(k, ch->conf, m->conf, ch->arena) != SX_OK)
            return SX_ENOMEM;
    }
    return SX_OK;
}

static int prepare(struct sx_phase *p,
                   struct sx_conf *c,
                   struct sx_module *m,
                   struct change *ch,
                   struct sx_err *err)
{
    int rc;

    ch->arena = p->mem->zalloc(p->mem, sizeof(*ch->arena));
    if (ch->arena == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    sx_arena_init(ch->arena, p->mem, 0);
    rc = sx_conf_bind(c, m->plugin, ch->arena, &ch->conf, err);
    if (rc == SX_OK && ch->conf != NULL && m->conf != NULL && merge_fixed(m, ch) != SX_OK)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    return rc;
}

static void roll_back(struct sx_phase *p, struct change *changes, uint32_t n)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_module *m;

    while (n > 0) {
        m = &p->registry.modules[--n];
        if (changes[n].is_done && m->plugin->reload(m->self, m->conf, &err) != SX_OK)
            sx_klog(SX_LOG_ERROR, "reload",
                    "module '%s' cannot go back to its old configuration: %s", m->plugin->name,
                    err.msg);
    }
}

static int hand_out(struct sx_phase *p, struct change *changes, struct sx_err *err)
{
    struct sx_module *m;
    uint32_t i;
    int rc;

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        if (!changes[i].is_changed)
            continue;
        rc = m->plugin->reload(m->self, changes[i].conf, err);
        if (rc != SX_OK) {
            (void)sx_err_wrap(err, "module '%s'", m->plugin->name);
            roll_back(p, changes, i);
            return rc;
        }
        changes[i].is_done = 1;
    }
    return SX_OK;
}

/* Keeps the new arenas of changed modules, drops the others. */
static uint32_t settle(struct sx_phase *p, struct change *changes)
{
    struct sx_module *m;
    uint32_t i, n = 0;

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        if (!changes[i].is_done) {
            arena_drop(p, changes[i].arena);
            continue;
        }
        arena_drop(p, m->conf_before);
        m->conf_before = m->conf_arena;
        m->conf_arena = changes[i].arena;
        m->conf = changes[i].conf;
        n++;
    }
    return n;
}

void sx_phase_reload(struct sx_phase *p)
{
    struct sx_err err = SX_ERR_INIT;
    struct change *changes;
    struct sx_conf c = {0};
    uint32_t i, n;
    int rc;

    sx_klog(SX_LOG_INFO, "reload", "Reloading the configuration");
    changes = p->mem->zalloc(p->mem, (p->registry.n_modules + 1) * sizeof(*changes));
    rc = changes != NULL ? sx_conf_open(&c, p->mem, &p->args, &err)
                         : sx_err_set(&err, SX_ENOMEM, "out of memory");
    for (i = 0; rc == SX_OK && i < p->registry.n_modules; i++)
        rc = prepare(p, &c, &p->registry.modules[i], &changes[i], &err);
    if (rc == SX_OK)
        rc = hand_out(p, changes, &err);
    if (rc == SX_OK)
        rc = sx_phase_log(&c, &err);
    if (rc != SX_OK) {
        if (changes != NULL && c.root != NULL)
            roll_back(p, changes, p->registry.n_modules);
        for (i = 0; changes != NULL && i < p->registry.n_modules; i++)
            arena_drop(p, changes[i].arena);
        sx_klog(SX_LOG_ERROR, "reload", "Configuration not reloaded, the old one stays: %s",
                err.msg);
        if (c.root != NULL)
            sx_conf_close(&c);
        p->mem->release(p->mem, changes);
        return;
    }
    sx_phase_notes(&c);
    sx_req_read_timeout(sx_conf_u64(&c, "storage.performance.search_timeout_sec", 0));
    n = settle(p, changes);
    p->mem->release(p->mem, changes);
    sx_conf_close(&p->conf);
    p->conf = c;
    /* Notes are appended through a pointer into the struct itself. */
    if (p->conf.notes == NULL)
        p->conf.notes_end = &p->conf.notes;
    sx_klog(SX_LOG_INFO, "reload", "Configuration reloaded, %u modules changed", n);
}
