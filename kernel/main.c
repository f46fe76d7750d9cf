/* The command: flags, then one of the modes. Everything else is in phase.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sextant/sx_vet.h"

#include "flags.h"
#include "host.h"
#include "log.h"
#include "phase.h"
#include "trial.h"

static void print_problem(void *arg, const char *text)
{
    uint32_t *n = arg;

    (*n)++;
    (void)fprintf(stderr, "Error: %s\n", text);
}

/* Descriptors of the loaded modules in start order, for the reports; freed with the generation. */
static const struct sx_plugin **plugins_of(struct sx_phase *p)
{
    const struct sx_plugin **list;
    uint32_t i;

    list = sx_arena_zalloc(&p->conf.arena, (p->registry.n_modules + 1u) * sizeof(*list));
    for (i = 0; list != NULL && i < p->registry.n_modules; i++)
        list[i] = p->registry.modules[i].plugin;
    return list;
}

static int write_out(struct sx_buf *b)
{
    int rc = b->failed || fwrite(b->p, 1, b->n, stdout) != b->n || fflush(stdout) != 0;

    sx_buf_fini(b);
    return rc;
}

static int mode_check_config(struct sx_phase *p)
{
    const struct sx_plugin **plugins;
    struct sx_buf out;
    uint32_t n_bad = 0;

    if (sx_phase_load(p, print_problem, &n_bad) != SX_OK ||
        sx_phase_bind(p, print_problem, &n_bad) != SX_OK || (plugins = plugins_of(p)) == NULL)
        return 1;
    sx_conf_bind_orphans(&p->conf, plugins, p->registry.n_modules);
    sx_buf_init(&out, p->mem);
    sx_conf_check(&p->conf, plugins, p->registry.n_modules, &out);
    return write_out(&out);
}

static int mode_print_defaults(struct sx_phase *p)
{
    const struct sx_plugin **plugins;
    struct sx_buf out;
    uint32_t n_bad = 0;

    if (sx_phase_load(p, print_problem, &n_bad) != SX_OK || (plugins = plugins_of(p)) == NULL)
        return 1;
    sx_buf_init(&out, p->mem);
    sx_conf_print_defaults(plugins, p->registry.n_modules, &out);
    return write_out(&out);
}

static int mode_check(struct sx_phase *p)
{
    uint32_t n_bad = 0;

    return sx_trial(p, print_problem, &n_bad);
}

static int mode_list(struct sx_phase *p)
{
    const struct sx_module *m;
    const struct sx_provide *v;
    uint32_t i, k, n_bad = 0;
    int rc = sx_phase_load(p, print_problem, &n_bad);

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        (void)printf("%-22s %-10s %s", m->plugin->name,
                     m->plugin->version != NULL ? m->plugin->version : "-", m->origin);
        for (k = 0; k < m->plugin->n_provides; k++) {
            v = (const struct sx_provide *)(const void *)((const char *)m->plugin->provides +
                                                          (uint64_t)k * m->plugin->provide_size);
            (void)printf("%s%s:%s", k == 0 ? "  " : ",", sx_kind_name(v->kind), v->name);
        }
        (void)printf("\n");
    }
    return rc == SX_OK ? 0 : 1;
}

static int run_mode(const struct sx_flags *flags)
{
    struct sx_phase phase;
    int rc = sx_phase_configure(&phase, flags, environ);

    if (rc == 0)
        switch (flags->mode) {
        case SX_MODE_CHECK_CONFIG:
            rc = mode_check_config(&phase);
            break;
        case SX_MODE_PRINT_DEFAULTS:
            rc = mode_print_defaults(&phase);
            break;
        case SX_MODE_CHECK:
            rc = mode_check(&phase);
            break;
        case SX_MODE_LIST_PLUGINS:
            rc = mode_list(&phase);
            break;
        default:
            rc = sx_phase_serve(&phase);
        }
    sx_phase_fini(&phase);
    return rc;
}

int main(int argc, char **argv)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_flags flags;

    if (sx_flags_parse(argc, argv, &flags, &err) != SX_OK) {
        (void)fprintf(stderr, "error: %s\n\n%s", err.msg, sx_flags_usage);
        return 2;
    }
    switch (flags.mode) {
    case SX_MODE_HELP:
        (void)fputs(sx_flags_help, stdout);
        return 0;
    case SX_MODE_VERSION:
        (void)printf("qdrant %s\nsextant %s\n", SX_COMPAT_VERSION, SX_VERSION);
        return 0;
    case SX_MODE_STACKTRACE: /* a diagnostic of a running instance; there is nothing to show */
        return 0;
    default:
        return run_mode(&flags);
    }
}
