/* Running suites: the module's life around them, dispatch by kind, and what all suites share. */
#include "suite.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../fake/fake.h"

#define DEFAULT_SEED 0x9e3779b97f4a7c15ull

static const struct {
    uint32_t kind;
    void (*run)(struct suite *s);
} suites[] = {
    {SX_KIND_DISTANCE, sx_suite__distance},   {SX_KIND_INDEX, sx_suite__index},
    {SX_KIND_ROWS, sx_suite__rows},           {SX_KIND_BLOBS, sx_suite__blobs},
    {SX_KIND_TOKENIZER, sx_suite__tokenizer},
};

static const char *kind_of(const struct sx_provider *pr)
{
    static const char *const names[] = {"", "distance", "", "index", "rows", "blobs"};
    return pr->kind < SX_COUNT(names) ? names[pr->kind] : "provider";
}

static void write_line(struct suite *s, uint32_t is_failure, const char *text)
{
    char line[400];
    if (s->report->line == NULL)
        return;
    snprintf(line, sizeof(line), "%s '%s': %s", kind_of(s->pr), s->pr->name, text);
    s->report->line(s->report->arg, is_failure, line);
}

int sx_suite__check(struct suite *s, int is_true, const char *fmt, ...)
{
    s->report->n_checks++;
    if (is_true)
        return 1;
    if (s->report->n_failures++ < SX_SUITE_SHOWN_MAX) {
        char text[320];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        write_line(s, 1, text);
    }
    return 0;
}

void sx_suite__note(struct suite *s, const char *fmt, ...)
{
    char text[320];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_line(s, 0, text);
}

uint32_t sx_suite__random(struct suite *s)
{
    /* xorshift64*: small, and the same everywhere. */
    s->rng ^= s->rng >> 12;
    s->rng ^= s->rng << 25;
    s->rng ^= s->rng >> 27;
    return (uint32_t)((s->rng * 0x2545f4914f6cdd1dull) >> 32);
}

float sx_suite__uniform(struct suite *s)
{
    return (float)((int32_t)sx_suite__random(s) >> 7) * 0x1p-24f;
}

double sx_suite__normal(struct suite *s)
{
    double u = (sx_suite__random(s) + 1.0) / 4294967297.0, v = sx_suite__random(s) / 4294967296.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static uint64_t guarded_bytes(uint64_t n, uint64_t page)
{
    return (n + page - 1) / page * page;
}

void *sx_suite__guarded(uint64_t n, uint32_t at_end)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), bytes = guarded_bytes(n, page);
    uint8_t *p = mmap(NULL, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p + page, bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(p, bytes + 2 * page);
        return NULL;
    }
    return at_end ? p + page + bytes - n : p + page;
}

void sx_suite__guarded_free(void *p, uint64_t n, uint32_t at_end)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), bytes = guarded_bytes(n, page);
    if (p != NULL)
        munmap((uint8_t *)p - page - (at_end ? bytes - n : 0), bytes + 2 * page);
}

int sx_suite_provider(const struct sx_provider *pr,
                      const struct sx_host *host,
                      struct sx_suite_report *report)
{
    uint32_t before = report->n_failures;
    struct suite s = {pr, host, report, report->seed != 0 ? report->seed : DEFAULT_SEED};
    for (uint32_t i = 0; i < SX_COUNT(suites); i++)
        if (suites[i].kind == pr->kind) {
            suites[i].run(&s);
            return report->n_failures == before ? SX_OK : SX_EINTERNAL;
        }
    sx_suite__note(&s, "no suite for this kind");
    return SX_OK;
}

static void whole_module(struct sx_suite_report *report,
                         const struct sx_plugin *p,
                         const char *what,
                         const struct sx_err *err)
{
    char text[360];
    snprintf(text, sizeof(text), "module '%s': %s: %s", p->name, what, err->msg);
    report->n_failures++;
    if (report->line != NULL)
        report->line(report->arg, 1, text);
}

/* load, configure with the defaults, start. */
static int module_start(const struct sx_plugin *p,
                        const struct sx_host *host,
                        void *self,
                        void *conf,
                        struct sx_suite_report *report)
{
    struct sx_err err = SX_ERR_INIT;
    const char *what = "defaults";
    int rc = sx_fake__conf_defaults(p, conf, &err);
    if (rc == 0 && p->load != NULL)
        what = "load", rc = p->load(host, self, &err);
    if (rc == 0 && p->configure != NULL)
        what = "configure", rc = p->configure(self, conf, &err);
    if (rc == 0 && p->start != NULL)
        what = "start", rc = p->start(self, &err);
    if (rc != 0)
        whole_module(report, p, what, &err);
    return rc;
}

static const struct sx_provide *provide_at(const struct sx_plugin *p, uint32_t i)
{
    return (const void *)((const uint8_t *)p->provides + (uint64_t)i * p->provide_size);
}

static void run_provides(const struct sx_plugin *p,
                         const struct sx_host *host,
                         void *self,
                         struct sx_suite_report *report)
{
    for (uint32_t i = 0; i < p->n_provides; i++) {
        const struct sx_provide *e = provide_at(p, i);
        struct sx_provider pr = {
            .size = (uint32_t)sizeof(pr),
            .kind = e->kind,
            .iface_version = e->iface_version,
            .caps = e->caps,
            .name = e->name,
            .ops = e->ops,
            .self = self,
            .module = p->name,
        };
        sx_suite_provider(&pr, host, report);
    }
}

/* A module of other kinds is not started: it may need services that only a server has. */
static int has_suite(const struct sx_plugin *p, struct sx_suite_report *report)
{
    char text[160];
    for (uint32_t i = 0; i < p->n_provides; i++) {
        const struct sx_provide *e = provide_at(p, i);
        for (uint32_t j = 0; j < SX_COUNT(suites); j++)
            if (suites[j].kind == e->kind)
                return 1;
    }
    snprintf(text, sizeof(text), "module '%s': no suite for its kinds", p->name);
    if (report->line != NULL)
        report->line(report->arg, 0, text);
    return 0;
}

int sx_suite_run(const struct sx_plugin *p,
                 const struct sx_host *host,
                 struct sx_suite_report *report)
{
    if (!has_suite(p, report))
        return SX_OK;
    uint64_t self_bytes = ((uint64_t)p->instance_size + 63) / 64 * 64 + 64;
    void *self = aligned_alloc(64, self_bytes), *conf = calloc(1, (uint64_t)p->conf_size + 8);
    uint32_t before = report->n_failures;
    int rc = SX_ENOMEM;
    if (self != NULL && conf != NULL) {
        memset(self, 0, self_bytes);
        rc = module_start(p, host, self, conf, report);
    }
    if (rc == 0) {
        run_provides(p, host, self, report);
        if (p->drain != NULL)
            p->drain(self, 0);
        if (p->stop != NULL)
            p->stop(self);
        rc = report->n_failures == before ? SX_OK : SX_EINTERNAL;
    }
    free(self);
    free(conf);
    return rc;
}
