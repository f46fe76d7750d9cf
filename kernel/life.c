/* The life of the modules on the main thread: load, configure, start, stop (see phase.h).
 *
 * load and configure of every module are tried even after a failure, so that all of them are told;
 * start is not, because a module may rely on those before it. */
#include <stdio.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "panic.h"
#include "phase.h"
#include "run.h"

/* Says which module is called next, and for what; NULL = none. */
static void enter(const struct sx_phase *p, const struct sx_module *m, const char *step)
{
    (void)sx_panic_note(m != NULL ? m->plugin->name : "sextant");
    if (p->spot == NULL)
        return;
    if (m != NULL)
        (void)snprintf(p->spot->module, sizeof(p->spot->module), "%s", m->plugin->name);
    p->spot->step = step;
}

static int load_one(const struct sx_phase *p, struct sx_module *m, struct sx_err *err)
{
    int rc = SX_OK;

    enter(p, m, "load()");
    if (SX_HAS(m->plugin, load))
        rc = m->plugin->load(m->host, m->self, err);
    if (rc != SX_OK)
        return rc;
    m->state = SX_MODULE_LOADED;
    enter(p, m, "configure()");
    if (SX_HAS(m->plugin, configure))
        rc = m->plugin->configure(m->self, m->conf, err);
    if (rc == SX_OK)
        m->state = SX_MODULE_CONFIGURED;
    return rc;
}

int sx_phase_modules_load(struct sx_phase *p,
                          void (*problem)(void *arg, const char *text),
                          void *arg)
{
    struct sx_err err;
    uint32_t i, n_bad = 0;
    char text[400];

    for (i = 0; i < p->registry.n_modules; i++) {
        err = (struct sx_err)SX_ERR_INIT;
        if (load_one(p, &p->registry.modules[i], &err) == SX_OK)
            continue;
        (void)snprintf(text, sizeof(text), "module '%s': %s", p->registry.modules[i].plugin->name,
                       err.msg);
        problem(arg, text);
        n_bad++;
    }
    enter(p, NULL, NULL);
    return n_bad == 0 ? SX_OK : SX_EPRECOND;
}

int sx_phase_modules_start(struct sx_phase *p)
{
    struct sx_module *m;
    struct sx_err err;
    uint32_t i;
    int rc;

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        err = (struct sx_err)SX_ERR_INIT;
        enter(p, m, "start()");
        rc = SX_HAS(m->plugin, start) ? m->plugin->start(m->self, &err) : SX_OK;
        enter(p, NULL, NULL);
        if (rc != SX_OK) {
            sx_klog(SX_LOG_ERROR, "startup", "%s", err.msg);
            p->exit_code = rc == SX_ECORRUPT || rc == SX_EPRECOND ? 101 : 1;
            return rc;
        }
        m->state = SX_MODULE_STARTED;
        if (sx_run_stop_asked()) {
            p->exit_code = 0;
            return SX_ECANCELED;
        }
    }
    return SX_OK;
}

/* Also those that were configured and never started, or whose start failed: stop releases whatever
 * there is. */
void sx_phase_modules_stop(struct sx_phase *p)
{
    struct sx_module *m;
    uint32_t i;

    for (i = p->registry.n_modules; i > 0; i--) {
        m = &p->registry.modules[i - 1];
        if (m->state >= SX_MODULE_CONFIGURED && SX_HAS(m->plugin, stop)) {
            enter(p, m, "stop()");
            m->plugin->stop(m->self);
        }
        m->state = SX_MODULE_ADDED;
    }
    enter(p, NULL, NULL);
}
