/* One operation's way through the kernel: is it served, may this caller do it, count it, give it a
 * deadline, hand it to the engine, and see that it is answered exactly once.
 *
 * submit() puts a record into the operation's arena and its own function in place of done; when the
 * engine answers, the record restores the transport's function and argument and passes the reply
 * on. Refusals take the same way, from inside submit(). Nothing here blocks or takes a lock; the
 * count of open operations is one cache line per loop, because a shared one would be the only word
 * that all loops write for every request.
 *
 * Counters of an operation are made when it is first used: there are 75 operations, and an idle
 * server should not carry 900 histogram cells. */
#include "req.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_vet.h"

#include "cpu.h"
#include "exec.h"
#include "loop.h"
#include "mem.h"
#include "telem.h"

#define MAX_LOOPS      256u
#define NO_CREDENTIAL  "Must provide an API key or an Authorization bearer token"
#define BAD_CREDENTIAL "Invalid API key or JWT"

struct counters {
    struct sx_metric *requests, *errors, *seconds;
};

struct open_count {
    _Alignas(64) _Atomic uint64_t n;
};

static struct {
    const struct sx_provider *engine;
    const struct sx_engine_ops *ops;
    const struct sx_registry *registry;
    _Atomic uint64_t read_timeout_ns;
    _Atomic uint32_t is_closed;
    struct open_count open[MAX_LOOPS + 1]; /* the last one: callers outside loops */
    _Atomic(struct counters *) counters[SX_OP__N];
} req;

/* What submit() remembers of an operation until it is answered. */
struct pass {
    void (*done)(struct sx_op *op, const struct sx_reply *reply);
    void *arg;
    uint64_t start_ns;
    uint32_t slot, pad;
};

/* --- counting --------------------------------------------------------------------------------- */

static const double bounds[] = {0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10, 50};

static struct counters *counters_of(uint32_t code)
{
    struct counters *c = atomic_load_explicit(&req.counters[code], memory_order_acquire);
    struct counters *seen = NULL;
    const struct sx_mem *mem = sx_mem_kernel();
    const struct sx_telem *t = sx_telem_table();
    char labels[64];
    uint32_t i;

    if (c != NULL)
        return c;
    c = mem->zalloc(mem, sizeof(*c));
    if (c == NULL)
        return NULL;
    (void)snprintf(labels, sizeof(labels), "op=\"%s\"", sx_op_table[code].name);
    for (i = 0; labels[i] != '\0'; i++)
        if (labels[i] >= 'A' && labels[i] <= 'Z')
            labels[i] = (char)(labels[i] + ('a' - 'A'));
    c->requests = t->metric(SX_METRIC_COUNTER, "sextant_operations_total", "operations answered",
                            labels, NULL, 0);
    c->errors = t->metric(SX_METRIC_COUNTER, "sextant_operation_errors_total",
                          "operations answered with an error", labels, NULL, 0);
    c->seconds = t->metric(SX_METRIC_HISTOGRAM, "sextant_operation_duration_seconds",
                           "duration of operations", labels, bounds, SX_COUNT(bounds));
    /* Pairs with the acquire above. Two loops may race here; telem gives both the same metrics. */
    if (!atomic_compare_exchange_strong_explicit(&req.counters[code], &seen, c,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        mem->release(mem, c);
        c = seen;
    }
    return c;
}

static void count(const struct sx_op *op, const struct pass *ps, int32_t code)
{
    const struct sx_telem *t = sx_telem_table();
    struct counters *c;

    if ((op->flags & SX_OP_INTERNAL) != 0 || (c = counters_of(op->code)) == NULL ||
        c->requests == NULL || c->errors == NULL || c->seconds == NULL)
        return;
    t->add(c->requests, 1);
    if (code != SX_OK)
        t->add(c->errors, 1);
    t->observe(c->seconds, (double)(sx_time_mono_ns() - ps->start_ns) * 1e-9);
}

static uint32_t slot_of(const struct sx_op *op)
{
    uint32_t i = op->loop != NULL ? sx_loop_table()->index(op->loop) : MAX_LOOPS;

    return i < MAX_LOOPS ? i : MAX_LOOPS;
}

uint64_t sx_req_open(void)
{
    uint64_t n = 0;
    uint32_t i;

    for (i = 0; i <= MAX_LOOPS; i++)
        n += atomic_load_explicit(&req.open[i].n, memory_order_relaxed);
    return n;
}

/* --- answering -------------------------------------------------------------------------------- */

static void pass_done(struct sx_op *op, const struct sx_reply *reply)
{
    struct pass *ps = op->arg;
    uint32_t slot = ps->slot;

    op->done = ps->done;
    op->arg = ps->arg;
    count(op, ps, reply->code);
    op->done(op, reply); /* op and its arena are gone afterwards */
    atomic_fetch_sub_explicit(&req.open[slot].n, 1, memory_order_relaxed);
}

static void answer_error(struct sx_op *op, int code, const char *text)
{
    struct sx_reply reply = {.size = sizeof(reply), .code = code};

    reply.err.p = text;
    reply.err.n = (uint32_t)strlen(text);
    op->done(op, &reply);
}

/* --- authentication --------------------------------------------------------------------------- */

static const struct sx_provider *auth_at(uint32_t i)
{
    return sx_registry_at(req.registry, SX_KIND_AUTH, i);
}

static int is_auth_required(void)
{
    const struct sx_provider *p;
    const struct sx_auth_ops *ops;
    uint32_t i;

    for (i = 0; (p = auth_at(i)) != NULL; i++) {
        ops = p->ops;
        if (ops->required(p->self))
            return 1;
    }
    return 0;
}

static int
req_authenticate(const struct sx_credential *c, const struct sx_identity **out, struct sx_err *err)
{
    const struct sx_identity *id = NULL;
    const struct sx_provider *p;
    const struct sx_auth_ops *ops;
    uint32_t i;
    int rc;

    *out = NULL;
    if (!is_auth_required())
        return SX_OK;
    for (i = 0; (p = auth_at(i)) != NULL; i++) {
        ops = p->ops;
        switch (ops->authenticate(p->self, c, &id, err)) {
        case SX_AUTH_ALLOW:
            *out = id;
            return SX_OK;
        case SX_AUTH_PASS:
            continue;
        default:
            rc = err != NULL ? err->code : SX_EUNAUTH;
            if (rc != SX_EUNAUTH && rc != SX_EFORBIDDEN)
                rc = sx_err_set(err, SX_EUNAUTH, BAD_CREDENTIAL);
            return rc;
        }
    }
    return sx_err_set(err, SX_EUNAUTH, "%s",
                      c->scheme == SX_CRED_NONE || c->value.p == NULL ? NO_CREDENTIAL
                                                                      : BAD_CREDENTIAL);
}

static void req_release(const struct sx_identity *id)
{
    if (id != NULL)
        id->ops->release(id->auth_self, id);
}

static int names_key(const struct sx_plugin *p, const char *path)
{
    uint32_t i;

    for (i = 0; i < p->n_keys; i++)
        if (strcmp(sx_conf_bind_key(p, i)->path, path) == 0)
            return 1;
    return 0;
}

int sx_req_check_auth(const struct sx_conf *c, const struct sx_registry *r, struct sx_err *err)
{
    static const char *const keys[] = {"service.api_key", "service.alt_api_key",
                                       "service.read_only_api_key", "service.jwt_rbac"};
    const char *key = sx_conf_str(c, "service.api_key", ""),
               *alt = sx_conf_str(c, "service.alt_api_key", "");
    uint32_t i, k, is_set;

    for (i = 0; i < SX_COUNT(keys); i++) {
        if (i < 3)
            is_set = *sx_conf_str(c, keys[i], "") != '\0';
        else /* without a key to sign with it is only a warning */
            is_set = sx_conf_bool(c, keys[i], 0) && (*key != '\0' || *alt != '\0');
        for (k = 0; is_set && k < r->n_modules; k++) {
            const struct sx_plugin *p = r->modules[k].plugin;
            uint32_t j;

            for (j = 0; sx_registry_at(r, SX_KIND_AUTH, j) != NULL; j++)
                if (strcmp(sx_registry_at(r, SX_KIND_AUTH, j)->module, p->name) == 0 &&
                    names_key(p, keys[i]))
                    is_set = 0;
        }
        if (is_set)
            return sx_err_set(err, SX_EPRECOND,
                              "%s is set, but no loaded module honours it; install a package "
                              "sextant-plugin-<name> with a module %s-<name> that does and name it "
                              "in sextant.plugins",
                              keys[i], sx_kind_name(SX_KIND_AUTH));
    }
    return SX_OK;
}

/* --- authorisation ---------------------------------------------------------------------------- */

struct access_list {
    struct sx_access_sink sink;
    struct sx_arena *arena;
    struct sx_access *list;
    uint32_t n, cap, failed;
};

static void access_add(struct sx_access_sink *s, const struct sx_access *a)
{
    struct access_list *al = s->arg;
    struct sx_access *list;
    uint32_t cap = al->cap != 0 ? 2 * al->cap : 8;

    if (al->failed)
        return;
    if (al->n == al->cap) {
        list = sx_arena_resize(al->arena, al->list, al->cap * sizeof(*list), cap * sizeof(*list));
        if (list == NULL) {
            al->failed = 1;
            return;
        }
        al->list = list;
        al->cap = cap;
    }
    al->list[al->n++] = *a;
}

static int check_access(struct sx_op *op, struct sx_err *err)
{
    struct access_list al = {.arena = op->arena};
    const struct sx_identity *id = op->identity;

    if ((op->flags & SX_OP_INTERNAL) != 0 || sx_op_table[op->code].cls == SX_OPC_SERVICE)
        return SX_OK;
    if (id == NULL) /* a transport that forgot to ask must not open the door */
        return is_auth_required() ? sx_err_set(err, SX_EUNAUTH, NO_CREDENTIAL) : SX_OK;
    al.sink.add = access_add;
    al.sink.arg = &al;
    req.ops->access(req.engine->self, op, &al.sink);
    if (al.failed)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    return id->ops->authorize(id->auth_self, id, op, al.list, al.n, err);
}

/* --- the service ------------------------------------------------------------------------------ */

static int req_serves(uint32_t code)
{
    return code < SX_OP__N && req.ops != NULL && req.ops->serves(req.engine->self, code);
}

static int req_ready(void)
{
    return req.ops != NULL && !atomic_load_explicit(&req.is_closed, memory_order_relaxed) &&
           req.ops->ready(req.engine->self);
}

static void set_deadline(struct sx_op *op)
{
    uint64_t ns = atomic_load_explicit(&req.read_timeout_ns, memory_order_relaxed);

    if (op->start_ns == 0)
        op->start_ns = sx_time_mono_ns();
    if (op->deadline_ns != 0)
        return;
    if (op->timeout_ms != 0)
        op->deadline_ns = op->timeout_ms < UINT64_MAX / 4000000u
                              ? op->start_ns + op->timeout_ms * 1000000u
                              : UINT64_MAX;
    else if (op->code < SX_OP__N && sx_op_table[op->code].cls == SX_OPC_READ && ns != 0)
        op->deadline_ns = op->start_ns + ns;
}

/* Everything that can refuse; SX_OK means the engine has taken the operation. */
static int enter(struct sx_op *op, struct sx_err *err)
{
    int rc;

    if (atomic_load_explicit(&req.is_closed, memory_order_relaxed))
        return sx_err_set(err, SX_EUNAVAIL, "The server is shutting down");
    rc = check_access(op, err);
    if (rc != SX_OK)
        return rc;
    if (!req.ops->serves(req.engine->self, op->code))
        return sx_err_set(err, SX_EUNSUPPORTED, "%s %s is not served by this version",
                          sx_op_table[op->code].method, sx_op_table[op->code].path);
    rc = req.ops->submit(req.engine->self, op);
    if (rc == SX_EAGAIN)
        return sx_err_set(err, SX_EAGAIN, "the server is busy, try again later");
    return rc;
}

static void req_submit(struct sx_op *op)
{
    struct sx_err err = SX_ERR_INIT;
    struct pass *ps;
    int rc;

    if (op->code >= SX_OP__N || req.ops == NULL) {
        answer_error(op, SX_EUNSUPPORTED, "no engine serves this operation");
        return;
    }
    set_deadline(op);
    ps = sx_arena_alloc(op->arena, sizeof(*ps));
    if (ps == NULL) {
        answer_error(op, SX_ENOMEM, "out of memory");
        return;
    }
    ps->done = op->done;
    ps->arg = op->arg;
    ps->start_ns = op->start_ns;
    ps->slot = slot_of(op);
    op->done = pass_done;
    op->arg = ps;
    atomic_fetch_add_explicit(&req.open[ps->slot].n, 1, memory_order_relaxed);
    rc = enter(op, &err); /* on SX_OK the operation may be answered and gone already */
    if (rc != SX_OK)
        answer_error(op, rc, err.msg);
}

static void req_cancel(struct sx_op *op)
{
    __atomic_store_n(&op->cancelled, 1, __ATOMIC_RELAXED);
    if (req.ops != NULL)
        req.ops->cancel(req.engine->self, op);
}

static const struct sx_req table = {
    .size = sizeof(struct sx_req),
    .authenticate = req_authenticate,
    .release = req_release,
    .submit = req_submit,
    .cancel = req_cancel,
    .serves = req_serves,
    .ready = req_ready,
};

const struct sx_req *sx_req_table(void)
{
    return &table;
}

void sx_req_init(const struct sx_registry *r, uint64_t read_timeout_s)
{
    req.registry = r;
    req.engine = sx_registry_at(r, SX_KIND_ENGINE, 0);
    req.ops = req.engine != NULL ? req.engine->ops : NULL;
    atomic_store_explicit(&req.is_closed, 0, memory_order_relaxed);
    sx_req_read_timeout(read_timeout_s);
}

void sx_req_read_timeout(uint64_t seconds)
{
    uint64_t ns = seconds < UINT64_MAX / 4000000000u ? seconds * 1000000000u : 0;

    atomic_store_explicit(&req.read_timeout_ns, ns, memory_order_relaxed);
}

void sx_req_close(void)
{
    atomic_store_explicit(&req.is_closed, 1, memory_order_relaxed);
}

void sx_req_fini(void)
{
    const struct sx_mem *mem = sx_mem_kernel();
    uint32_t i;

    for (i = 0; i < SX_OP__N; i++)
        mem->release(mem, atomic_exchange_explicit(&req.counters[i], NULL, memory_order_relaxed));
    req.registry = NULL;
    req.engine = NULL;
    req.ops = NULL;
}
