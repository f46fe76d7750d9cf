/* The host table of each module and the register of services.
 *
 * Tables are const, live as long as the process and are the same for every module, but for two
 * things that are a module's own: its memory account, and whether it may see the strict-level
 * services, whose types may change from build to build (the loader has compared build ids before it
 * says so).
 *
 * Everything is written on the main thread while it is alone; afterwards get() only reads. */
#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_plugin.h"

#include "check.h"
#include "cpu.h"
#include "epoch.h"
#include "exec.h"
#include "io.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "telem.h"

#define SERVICES_MAX 32

struct service {
    const char *name;
    const void *table;
    uint32_t size, is_strict;
};

struct host_rec {
    struct sx_host host;
    struct host_rec *next; /* all of them, for ever: leak checkers then see that nothing is lost */
    uint32_t is_strict, pad;
    char module[64];
};

static struct service services[SERVICES_MAX];
static uint32_t n_services;
static const struct sx_host *kernel_host;
static struct host_rec *hosts;

static void service_add(const char *name, const void *table, uint32_t size, uint32_t is_strict)
{
    uint32_t i = 0;

    while (i < n_services && strcmp(services[i].name, name) != 0)
        i++;
    SX_ASSERT(i < SERVICES_MAX);
    services[i] = (struct service){name, table, size, is_strict};
    if (i == n_services)
        n_services++;
}

void sx_host_service(const char *name, const void *table, uint32_t size)
{
    service_add(name, table, size, 0);
}

static const void *host_get(const struct sx_host *self, const char *name, uint32_t min_size)
{
    const struct host_rec *rec = self->priv;

    if (strcmp(name, "sx.mem") == 0)
        return self->mem->size >= min_size ? self->mem : NULL;
    for (uint32_t i = 0; i < n_services; i++) {
        const struct service *s = &services[i];
        if (strcmp(s->name, name) != 0)
            continue;
        return s->size >= min_size && (!s->is_strict || rec->is_strict) ? s->table : NULL;
    }
    return NULL;
}

static void SX_PRINTF(4, 5)
    host_log(const struct sx_host *self, uint32_t level, const char *room, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sx_log_vwrite(level, self->module, room, fmt, ap);
    va_end(ap);
}

static uint32_t host_log_on(const struct sx_host *self, uint32_t level, const char *room)
{
    return sx_log_on(level, self->module, room);
}

const struct sx_host *sx_host_create(const char *module, uint32_t strict)
{
    const struct sx_mem *mem = sx_mem_kernel(), *account = sx_mem_account(module);
    struct host_rec *rec = account ? mem->zalloc(mem, sizeof(*rec)) : NULL;

    if (!rec)
        return NULL;
    snprintf(rec->module, sizeof(rec->module), "%s", module);
    rec->is_strict = strict;
    rec->next = hosts;
    hosts = rec;
    rec->host = (struct sx_host){
        .size = (uint32_t)sizeof(struct sx_host),
        .abi_major = SX_ABI_MAJOR,
        .abi_minor = SX_ABI_MINOR,
        .features = 0,
        .build_id = SX_BUILD_ID,
        .version = SX_VERSION,
        .compat_version = SX_COMPAT_VERSION,
        .module = rec->module,
        .mem = account,
        .get = host_get,
        .log = host_log,
        .log_on = host_log_on,
        .priv = rec,
    };
    return &rec->host;
}

const struct sx_host *sx_host_kernel(void)
{
    return kernel_host;
}

/* --- the kernel's own samples ----------------------------------------------------------------- */

static void emit(struct sx_sample_sink *s,
                 uint32_t type,
                 const char *name,
                 const char *help,
                 const char *labels,
                 double value)
{
    struct sx_sample sample = {
        .size = (uint32_t)sizeof(sample),
        .type = type,
        .name = name,
        .help = help,
        .labels = labels,
        .value = value,
    };

    s->add(s, &sample);
}

static void collect_memory(struct sx_sample_sink *s)
{
    struct sx_mem_usage u;
    char labels[128];

    for (uint32_t i = 0; sx_mem_usage(i, &u); i++) {
        snprintf(labels, sizeof(labels), "module=\"%s\",kind=\"heap\"", u.module);
        emit(s, SX_METRIC_GAUGE, "sextant_memory_bytes", "memory held by each module", labels,
             (double)u.heap_bytes);
        snprintf(labels, sizeof(labels), "module=\"%s\",kind=\"mapped\"", u.module);
        emit(s, SX_METRIC_GAUGE, "sextant_memory_bytes", "", labels, (double)u.mapped_bytes);
    }
}

static void collect_exec(struct sx_sample_sink *s)
{
    static const char *const classes[] = {"class=\"query\"", "class=\"writer\"",
                                          "class=\"background\"", "class=\"blocking\""};
    struct sx_exec_stats st;

    sx_exec_stats(&st);
    for (uint32_t i = 0; i < SX_COUNT(classes); i++)
        emit(s, SX_METRIC_GAUGE, "sextant_tasks_queued", "tasks waiting for a thread", classes[i],
             (double)(i < 3 ? st.queued[i] : st.queued_blocking));
    for (uint32_t i = 0; i < SX_COUNT(classes); i++)
        emit(s, SX_METRIC_COUNTER, "sextant_tasks_total", "tasks that have run", classes[i],
             (double)(i < 3 ? st.done[i] : st.done_blocking));
    emit(s, SX_METRIC_GAUGE, "sextant_threads", "threads of the pools", "pool=\"cpu\"",
         (double)st.n_pool);
    emit(s, SX_METRIC_GAUGE, "sextant_threads", "", "pool=\"blocking\"", (double)st.n_blocking);
}

static void collect(struct sx_sample_sink *s, void *arg)
{
    (void)arg;
    collect_memory(s);
    collect_exec(s);
    emit(s, SX_METRIC_GAUGE, "sextant_epoch_pending", "entries that wait for readers", "",
         (double)sx_epoch_pending());
    emit(s, SX_METRIC_COUNTER, "sextant_epoch_lost_total", "entries leaked for want of memory", "",
         (double)sx_epoch_lost());
}

int sx_host_init(struct sx_err *err)
{
    const struct sx_telem *telem = sx_telem_table();

    service_add("sx.exec", sx_exec_table(), sx_exec_table()->size, 0);
    service_add("sx.loop", sx_loop_table(), sx_loop_table()->size, 0);
    service_add("sx.loop.libevent", sx_loop_libevent_table(), sx_loop_libevent_table()->size, 1);
    service_add("sx.epoch", sx_epoch_table(), sx_epoch_table()->size, 0);
    service_add("sx.io", sx_io_table(), sx_io_table()->size, 0);
    service_add("sx.telem", telem, telem->size, 0);
    service_add("sx.time", sx_time_table(), sx_time_table()->size, 0);
    service_add("sx.cpu", sx_cpu_table(), sx_cpu_table()->size, 0);
    service_add("sx.crypto", sx_crypto_table(), sx_crypto_table()->size, 0);
#if defined(SX_IO_RECORD) && SX_IO_RECORD
    service_add("sx.io.mark", sx_io_mark_table(), sx_io_mark_table()->size, 0);
#endif
    if (!kernel_host)
        kernel_host = sx_host_create("sextant", 1);
    if (!kernel_host || telem->collector(collect, NULL) != 0)
        return sx_err_set(err, SX_ENOMEM, "no memory for the host services");
    return 0;
}
