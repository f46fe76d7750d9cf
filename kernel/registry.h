/* The registry: which modules are in the process, in which order they live, who provides what.
 *
 * It is filled on the main thread before any other thread exists (add, then one solve), frozen by
 * sx_registry_publish(), and read-only from then on: no lock anywhere. The registry knows kinds,
 * never the names of modules.
 *
 * A module's order is topological over its needs (hard and soft ones alike; soft ones give way in a
 * cycle) and otherwise the order of addition, so the same configuration always starts the same way.
 * The same order, reversed, stops the modules. */
#ifndef SX_KERNEL_REGISTRY_H
#define SX_KERNEL_REGISTRY_H

#include "sextant/sx_plugin.h"
#include "sextant/sx_service.h"

struct sx_module {
    const struct sx_plugin *plugin;
    char *origin; /* "builtin" or a path */
    const struct sx_host *host;
    void *self; /* instance; a hidden word before it leads back here */
    void *conf; /* bound configuration, in conf_arena */
    struct sx_arena *conf_arena, *conf_before; /* phase.c: present one, the one before the reload */
    void **threads; /* thread memory by worker id; each slot is written by its own thread */
    uint32_t n_threads;
    uint32_t state; /* SX_MODULE_* */
};
enum { SX_MODULE_ADDED = 0, SX_MODULE_LOADED, SX_MODULE_CONFIGURED, SX_MODULE_STARTED };

struct sx_registry {
    const struct sx_mem *mem;
    struct sx_module *modules;
    uint32_t n_modules, cap_modules;
    struct sx_provider *providers; /* grouped by kind, in module order; after solve */
    uint32_t kind_first[SX_KIND_MAX + 1];
    uint32_t is_frozen;
};

void sx_registry_init(struct sx_registry *r, const struct sx_mem *mem);
void sx_registry_fini(struct sx_registry *r);

/* [M] Checks the descriptor and adds it; origin is copied. SX_EEXIST when a module of
 * the name is there already, SX_EABI when the descriptor does not fit this host. `allow_test`:
 * take modules marked TEST_ONLY. */
int sx_registry_add(struct sx_registry *r,
                    const struct sx_plugin *p,
                    const char *origin,
                    uint32_t allow_test,
                    struct sx_err *err);
struct sx_module *sx_registry_module(struct sx_registry *r, const char *name);

/* What solve asks and tells. */
struct sx_registry_solver {
    /* Which module shall provide (kind, name); NULL = no choice made. May be NULL. */
    const char *(*pick)(void *arg, const char *kind, const char *name);
    /* Called for every problem, with one line of text. */
    void (*problem)(void *arg, const char *text);
    void *arg;
};
/* [M] Chooses providers, checks needs, orders the modules. Reports all problems it finds; 0 when
 * there are none, else SX_EPRECOND. */
int sx_registry_solve(struct sx_registry *r, const struct sx_registry_solver *s);

/* [M] Makes instances (zeroed, cache-line aligned) and hosts; compat_version is kept for ever. */
int sx_registry_instantiate(struct sx_registry *r, const char *compat_version, struct sx_err *err);
/* [M] From now on the service "sx.reg" answers from r. */
void sx_registry_publish(struct sx_registry *r);
const struct sx_reg *sx_registry_table(void);

/* Providers after solve; NULL past the end. [A] */
const struct sx_provider *sx_registry_at(const struct sx_registry *r, uint32_t kind, uint32_t i);
const struct sx_provider *
sx_registry_find(const struct sx_registry *r, uint32_t kind, const char *name);

#endif
