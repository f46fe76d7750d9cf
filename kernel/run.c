/* From the first thread to the last.
 *
 * The main thread is loop 0, so signals are just another descriptor there (signalfd): their
 * handlers are ordinary code. SIGTERM stops accepting everywhere and waits until every request is
 * answered, up to DRAIN_MS; SIGINT does not wait; a second one of either ends the waiting.
 *
 * Waiting is a timer on loop 0, not a sleep: the answers that are waited for may end on this very
 * loop. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sextant/sx_op.h"

#include "cpu.h"
#include "epoch.h"
#include "exec.h"
#include "host.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "req.h"

#define DRAIN_MS      30000u
#define DRAIN_TICK_MS 5u

struct loop_task {
    struct sx_task task;
    struct run *run;
    uint32_t index;
};

struct run {
    struct sx_phase *p;
    uint32_t n_listening;     /* loop 0 */
    _Atomic uint32_t n_quiet; /* loops that have stopped accepting */
    struct loop_task *tasks;  /* one per loop */
    int32_t signal_fd;
    uint32_t is_draining;
    uint64_t deadline_ns;
    struct sx_watch *signals;
    struct sx_timer *tick;
};

/* --- signals and the marker ------------------------------------------------------------------- */

static void signal_set(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
}

void sx_run_signals_block(void)
{
    sigset_t set;

    signal_set(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int sx_run_stop_asked(void)
{
    static const struct timespec now = {0, 0};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return sigtimedwait(&set, NULL, &now) > 0;
}

static const char *marker_path(const struct sx_phase *p)
{
    const char *path = sx_conf_env_get(p->args.env, "QDRANT_INIT_FILE_PATH");

    return path != NULL && *path != '\0' ? path : ".qdrant-initialized";
}

void sx_run_marker_remove(const struct sx_phase *p)
{
    if (unlink(marker_path(p)) != 0 && errno != ENOENT)
        sx_klog(SX_LOG_WARN, "startup", "Failed to remove init file indicator %s: %s",
                marker_path(p), strerror(errno));
}

static void marker_create(const struct sx_phase *p)
{
    int fd = open(marker_path(p), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        sx_klog(SX_LOG_WARN, "startup", "Failed to create init file indicator %s: %s",
                marker_path(p), strerror(errno));
    else
        (void)close(fd);
}

void sx_run_banner(const struct sx_phase *p)
{
    const struct sx_conf *c = &p->conf;
    const char *host = sx_conf_str(c, "service.host", "");

    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "127.0.0.1") == 0)
        host = "localhost";
    (void)printf("                _              _\n"
                 "  ___  _____ __| |_  __ _  _ _ | |_\n"
                 " (_-< / -_) \\ /|  _|/ _` || ' \\|  _|\n"
                 " /__/ \\___/_\\_\\ \\__|\\__,_||_||_|\\__|\n"
                 "\n"
                 "Version: %s, build: %.8s\n"
                 "Access web UI at %s://%s:%u/dashboard\n"
                 "\n",
                 sx_conf_str(c, "sextant.compat_version", SX_COMPAT_VERSION), SX_BUILD_ID,
                 sx_conf_bool(c, "service.enable_tls", 0) ? "https" : "http", host,
                 (unsigned)sx_conf_u64(c, "service.http_port", 0));
    (void)fflush(stdout);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void thread_stop_from(struct sx_phase *p, struct sx_worker *w, uint32_t i)
{
    struct sx_module *m;
    void *th;

    while (i > 0) {
        m = &p->registry.modules[--i];
        th = m->threads != NULL ? m->threads[w->id] : NULL;
        if (SX_HAS(m->plugin, thread_stop))
            m->plugin->thread_stop(m->self, th);
        if (th != NULL) {
            m->threads[w->id] = NULL;
            m->host->mem->release(m->host->mem, th);
        }
    }
}

static int thread_start_all(struct sx_phase *p, struct sx_worker *w)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_module *m;
    void *th;
    uint32_t i;
    int rc = SX_OK;

    for (i = 0; rc == SX_OK && i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        th = NULL;
        if (m->plugin->thread_size != 0) {
            th = sx_mem_zalloc_aligned(m->host->mem, 64, m->plugin->thread_size);
            if (th == NULL)
                rc = sx_err_set(&err, SX_ENOMEM, "out of memory");
            else
                m->threads[w->id] = th;
        }
        if (rc == SX_OK && SX_HAS(m->plugin, thread_start))
            rc = m->plugin->thread_start(m->self, th, w->loop, &err);
        if (rc == SX_OK)
            continue;
        sx_klog(SX_LOG_ERROR, "startup", "module '%s': %s", m->plugin->name, err.msg);
        if (th != NULL) {
            m->threads[w->id] = NULL;
            m->host->mem->release(m->host->mem, th);
        }
        thread_stop_from(p, w, i);
    }
    return rc;
}

static int thread_hook(void *arg, struct sx_worker *w, int start)
{
    struct sx_phase *p = arg;

    if (start)
        return thread_start_all(p, w);
    thread_stop_from(p, w, p->registry.n_modules);
    return SX_OK;
}

static int make_thread_slots(struct sx_phase *p)
{
    uint32_t n = sx_exec_table()->n_workers(), i;
    struct sx_module *m;

    for (i = 0; i < p->registry.n_modules; i++) {
        m = &p->registry.modules[i];
        if (m->plugin->thread_size == 0)
            continue;
        m->threads = p->mem->zalloc(p->mem, n * sizeof(*m->threads));
        if (m->threads == NULL)
            return SX_ENOMEM;
        m->n_threads = n;
    }
    return SX_OK;
}

/* --- listening -------------------------------------------------------------------------------- */

static const struct sx_provider *transport_at(const struct run *r, uint32_t i)
{
    return sx_registry_at(&r->p->registry, SX_KIND_TRANSPORT, i);
}

/* Loop 0: what a failure means is in phase.h. */
static int listen_first(struct run *r)
{
    const struct sx_provider *t;
    const struct sx_transport_ops *ops;
    struct sx_err err;
    uint32_t i;
    int rc;

    for (i = 0; (t = transport_at(r, i)) != NULL; i++) {
        err = (struct sx_err)SX_ERR_INIT;
        ops = t->ops;
        rc = ops->listen(t->self, sx_registry_table()->thread_mem(t->self), sx_loop_table()->at(0),
                         &err);
        if (rc == SX_OK)
            continue;
        sx_klog(SX_LOG_ERROR, "startup", "%s", err.msg);
        if (rc != SX_EUNAVAIL && rc != SX_EPRECOND) {
            r->p->exit_code = 1;
            return rc;
        }
        if (r->p->exit_code != 101)
            r->p->exit_code = rc == SX_EPRECOND ? 101 : 1;
    }
    return SX_OK;
}

/* Back on loop 0: the main thread counts, nobody locks. */
static void listened_task(struct sx_task *task, struct sx_worker *w)
{
    (void)w;
    ((struct loop_task *)(void *)task)->run->n_listening++;
}

static void listen_task(struct sx_task *task, struct sx_worker *w)
{
    struct loop_task *lt = (struct loop_task *)(void *)task;
    struct run *r = lt->run;
    const struct sx_provider *t;
    const struct sx_transport_ops *ops;
    struct sx_err err;
    uint32_t i;

    for (i = 0; (t = transport_at(r, i)) != NULL; i++) {
        err = (struct sx_err)SX_ERR_INIT;
        ops = t->ops;
        if (ops->listen(t->self, sx_registry_table()->thread_mem(t->self), w->loop, &err) != SX_OK)
            sx_klog(SX_LOG_DEBUG, "startup", "event loop %u: %s", lt->index, err.msg);
    }
    task->fn = listened_task;
    sx_loop_table()->post(sx_loop_table()->at(0), task);
}

static int listen_all(struct run *r)
{
    uint32_t i;
    int rc = listen_first(r);

    if (rc != SX_OK)
        return rc;
    for (i = 1; i < r->p->n_loops; i++) {
        r->tasks[i].task.fn = listen_task;
        sx_loop_table()->post(sx_loop_table()->at(i), &r->tasks[i].task);
    }
    while (r->n_listening + 1 < r->p->n_loops)
        sx_loops_turn(1000);
    return SX_OK;
}

/* --- draining --------------------------------------------------------------------------------- */

static void quiet_task(struct sx_task *task, struct sx_worker *w)
{
    struct run *r = ((struct loop_task *)(void *)task)->run;
    const struct sx_provider *t;
    const struct sx_transport_ops *ops;
    uint32_t i;

    (void)w;
    for (i = 0; (t = transport_at(r, i)) != NULL; i++) {
        ops = t->ops;
        ops->stop_accepting(t->self, sx_registry_table()->thread_mem(t->self));
    }
    atomic_fetch_add_explicit(&r->n_quiet, 1, memory_order_release); /* pairs with is_idle() */
}

static int is_idle(const struct run *r)
{
    const struct sx_provider *t;
    const struct sx_transport_ops *ops;
    uint32_t i;

    if (atomic_load_explicit(&r->n_quiet, memory_order_acquire) < r->p->n_loops)
        return 0;
    for (i = 0; (t = transport_at(r, i)) != NULL; i++) {
        ops = t->ops;
        if (ops->open_requests(t->self) != 0)
            return 0;
    }
    return sx_req_open() == 0;
}

static void drain_tick(void *arg)
{
    struct run *r = arg;

    if (is_idle(r) || sx_time_mono_ns() >= r->deadline_ns) {
        sx_req_close();
        sx_loops_stop();
        return;
    }
    sx_loop_table()->timer_set(r->tick, DRAIN_TICK_MS);
}

static void drain_begin(struct run *r, uint32_t wait_ms)
{
    uint32_t i;

    if (r->is_draining) {
        r->deadline_ns = 0;
        return;
    }
    r->is_draining = 1;
    r->deadline_ns = sx_time_mono_ns() + (uint64_t)wait_ms * 1000000u;
    for (i = 0; i < r->p->n_loops; i++) {
        r->tasks[i].task.fn = quiet_task;
        sx_loop_table()->post(sx_loop_table()->at(i), &r->tasks[i].task);
    }
    sx_loop_table()->timer_set(r->tick, 0);
}

static void on_signal(int32_t fd, uint32_t events, void *arg)
{
    struct run *r = arg;
    struct signalfd_siginfo info;

    (void)events;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            if (!r->is_draining)
                sx_phase_reload(r->p);
            continue;
        }
        sx_klog(SX_LOG_INFO, "startup", "Stopping on %s",
                info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        drain_begin(r, info.ssi_signo == SIGTERM ? DRAIN_MS : 0);
    }
}

static int watch_signals(struct run *r)
{
    const struct sx_loop_api *api = sx_loop_table();
    sigset_t set;

    signal_set(&set);
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signal_fd < 0)
        return SX_EIO;
    r->tick = api->timer(api->at(0), drain_tick, r);
    r->signals = api->watch(api->at(0), r->signal_fd, SX_EV_READ, on_signal, r);
    return r->tick != NULL && r->signals != NULL ? SX_OK : SX_ENOMEM;
}

static void unwatch_signals(struct run *r)
{
    if (r->signals != NULL)
        sx_loop_table()->watch_end(r->signals);
    if (r->tick != NULL)
        sx_loop_table()->timer_end(r->tick);
    if (r->signal_fd >= 0)
        (void)close(r->signal_fd);
}

static void drain_modules(struct run *r)
{
    uint64_t now = sx_time_mono_ns(), deadline = r->deadline_ns > now ? r->deadline_ns : now;
    struct sx_module *m;
    uint32_t i;

    for (i = r->p->registry.n_modules; i > 0; i--) {
        m = &r->p->registry.modules[i - 1];
        if (SX_HAS(m->plugin, drain))
            m->plugin->drain(m->self, deadline);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static void tell_modes(const struct sx_phase *p)
{
    if (!sx_conf_bool(&p->conf, "cluster.enabled", 0))
        sx_klog(SX_LOG_INFO, "startup", "Distributed mode disabled");
    /* Nothing is ever sent anywhere, whatever the switch says. */
    sx_klog(SX_LOG_INFO, "startup", "Telemetry reporting disabled");
}

static int make_run(struct run *r, struct sx_phase *p)
{
    uint32_t i;

    memset(r, 0, sizeof(*r));
    r->p = p;
    r->signal_fd = -1;
    r->tasks = p->mem->zalloc(p->mem, p->n_loops * sizeof(*r->tasks));
    if (r->tasks == NULL)
        return SX_ENOMEM;
    for (i = 0; i < p->n_loops; i++) {
        r->tasks[i].run = r;
        r->tasks[i].index = i;
    }
    return make_thread_slots(p);
}

static void serve(struct run *r)
{
    if (listen_all(r) != SX_OK)
        return;
    marker_create(r->p);
    sx_log_flush();
    sx_loops_run();
    sx_klog(SX_LOG_INFO, "startup", "Stopped serving");
}

int sx_run(struct sx_phase *p)
{
    struct sx_err err = SX_ERR_INIT;
    struct run run;
    int rc, is_loop = 0; /* the main thread has become loop 0 */

    p->exit_code = 1;
    rc = make_run(&run, p);
    if (rc == SX_OK)
        rc = sx_exec_start(thread_hook, p, &err);
    if (rc == SX_OK)
        rc = sx_loops_start(thread_hook, p, &err);
    if (rc == SX_OK) {
        is_loop = 1;
        rc = watch_signals(&run);
    }
    if (rc == SX_OK) {
        p->exit_code = 0;
        tell_modes(p);
        serve(&run);
        drain_modules(&run);
    } else {
        sx_klog(SX_LOG_ERROR, "startup", "%s", err.msg[0] != '\0' ? err.msg : "out of memory");
    }
    unwatch_signals(&run);
    sx_exec_stop();
    if (is_loop)
        sx_loops_turn(0); /* what the pool's last tasks posted to this loop */
    sx_loops_fini();
    sx_exec_fini();
    sx_epoch_drain();
    p->mem->release(p->mem, run.tasks);
    return rc;
}

void sx_run_abandon(void)
{
    sx_loops_fini();
    sx_exec_fini();
    sx_epoch_drain();
}
