/* Consensus of one: every command is applied at once, in the order it comes.
 *
 * It proves that the header can be implemented and the module loaded, and it is the smallest
 * cluster there can be: the proposer is leader, voter and the only member. Nothing is kept on disk,
 * so it starts from the index that the caller says was applied. */
#include <string.h>

#include "sextant/sx_consensus.h"
#include "sextant/sx_plugin.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct nullc_self {
    const struct sx_mem *mem;
    const struct sx_loop_api *loop;
};

struct nullc_log {
    struct sx_consensus_host host;
    uint64_t id, applied;
};

/* One answer on its way to the loop of its proposer. */
struct nullc_answer {
    struct sx_task task;
    const struct sx_mem *mem;
    struct sx_consensus_done *done;
    struct sx_buf reply;
    int rc;
};

static int nullc_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct nullc_self *s = self;

    s->mem = host->mem;
    s->loop = host->get(host, "sx.loop", (uint32_t)sizeof(struct sx_loop_api));
    return s->mem != NULL ? SX_OK : sx_err_set(err, SX_EABI, "the host lacks service sx.mem");
}

static int nullc_open(void *self,
                      const struct sx_io *io,
                      struct sx_dir *dir,
                      const struct sx_consensus_conf *conf,
                      const struct sx_consensus_host *host,
                      uint64_t applied,
                      void **out,
                      struct sx_err *err)
{
    struct nullc_self *s = self;
    struct nullc_log *log;

    (void)io;
    (void)dir;
    if (conf->bootstrap.n != 0)
        return sx_err_set(err, SX_EUNSUPPORTED, "a consensus of one joins nobody");
    log = s->mem->zalloc(s->mem, sizeof(*log));
    if (log == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for a log");
    memcpy(&log->host, host, host->size < sizeof(log->host) ? host->size : sizeof(log->host));
    log->id = conf->peer_id != 0 ? conf->peer_id : 1;
    log->applied = applied;
    *out = log;
    return SX_OK;
}

static void nullc_close(void *self, void *h)
{
    struct nullc_self *s = self;

    s->mem->release(s->mem, h);
}

static void nullc_answer_run(struct sx_task *t, struct sx_worker *w)
{
    struct nullc_answer *a = t->arg;

    (void)w;
    a->done->fn(a->done, a->rc, a->reply.p, a->reply.n);
    sx_buf_fini(&a->reply);
    a->mem->release(a->mem, a);
}

/* Takes the reply. Without memory or a loop the answer is given at once, on the caller's thread. */
static void
nullc_answer_send(struct nullc_self *s, struct sx_consensus_done *done, struct sx_buf *reply)
{
    struct nullc_answer *a = NULL;
    int rc = reply->failed ? SX_ENOMEM : SX_OK;

    if (done->loop != NULL && s->loop != NULL)
        a = s->mem->zalloc(s->mem, sizeof(*a));
    if (a == NULL) {
        done->fn(done, rc, reply->p, reply->n);
        sx_buf_fini(reply);
        return;
    }
    a->mem = s->mem;
    a->done = done;
    a->reply = *reply;
    a->rc = rc;
    a->task.fn = nullc_answer_run;
    a->task.arg = a;
    s->loop->post(done->loop, &a->task);
}

/* A real provider hands the command to its strand; one member needs no agreement, only an order,
 * and the test calls from one thread. */
static void nullc_propose(void *self,
                          void *h,
                          const void *cmd,
                          uint64_t n,
                          uint64_t deadline_ns,
                          struct sx_consensus_done *done)
{
    struct nullc_self *s = self;
    struct nullc_log *log = h;
    struct sx_buf reply;

    (void)deadline_ns;
    sx_buf_init(&reply, s->mem);
    log->host.apply(log->host.ctx, ++log->applied, cmd, n, &reply);
    nullc_answer_send(s, done, &reply);
}

static int
nullc_step(void *self, void *h, uint64_t from, const void *msg, uint64_t n, struct sx_err *err)
{
    (void)self;
    (void)h;
    (void)msg;
    (void)n;
    return sx_err_set(err, SX_EINPUT, "peer %llu is not a member", (unsigned long long)from);
}

static void nullc_tick(void *self, void *h)
{
    (void)self;
    (void)h;
}

static void nullc_applied(void *self, void *h, uint64_t index)
{
    (void)self;
    (void)h;
    (void)index; /* no log that could forget */
}

static void nullc_wait(
    void *self, void *h, uint64_t index, uint64_t deadline_ns, struct sx_consensus_done *done)
{
    const struct nullc_log *log = h;

    (void)self;
    (void)deadline_ns;
    done->fn(done, index <= log->applied ? SX_OK : SX_ETIMEOUT, NULL, 0);
}

static int nullc_peer_add(void *self, void *h, uint64_t id, struct sx_str uri, struct sx_err *err)
{
    (void)self;
    (void)h;
    (void)id;
    (void)uri;
    return sx_err_set(err, SX_EUNSUPPORTED, "a consensus of one stays alone");
}

static int nullc_peer_other(void *self, void *h, uint64_t id, struct sx_err *err)
{
    const struct nullc_log *log = h;

    (void)self;
    if (id == log->id)
        return sx_err_set(err, SX_EUNSUPPORTED, "the only member cannot leave");
    return sx_err_set(err, SX_ENOTFOUND, "peer %llu is not a member", (unsigned long long)id);
}

static void
nullc_members(void *self, void *h, void (*sink)(void *arg, const struct sx_peer *p), void *arg)
{
    const struct nullc_log *log = h;
    struct sx_peer p = {log->id, SX_PEER_VOTER, 0, {"", 0, 0}};

    (void)self;
    sink(arg, &p);
}

static void nullc_state(void *self, void *h, struct sx_consensus_state *out)
{
    const struct nullc_log *log = h;

    (void)self;
    out->role = SX_ROLE_LEADER;
    out->self = out->leader = log->id;
    out->term = 1;
    out->commit = out->applied = log->applied;
    out->pending = 0;
    out->last_message_ms = 0;
}

static const struct sx_consensus_ops nullc_ops = {
    .size = (uint32_t)sizeof(struct sx_consensus_ops),
    .open = nullc_open,
    .close = nullc_close,
    .propose = nullc_propose,
    .step = nullc_step,
    .tick = nullc_tick,
    .applied = nullc_applied,
    .wait_applied = nullc_wait,
    .peer_add = nullc_peer_add,
    .peer_remove = nullc_peer_other,
    .members = nullc_members,
    .state = nullc_state,
};

static const struct sx_provide nullc_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_CONSENSUS,
        .iface_version = SX_CONSENSUS_IFACE,
        .name = "null",
        .ops = &nullc_ops,
    },
};

SX_PLUGIN(null_consensus, "null-consensus kinds=consensus abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(null_consensus),
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "null-consensus",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "A cluster of one",
    .provides = nullc_provides,
    .n_provides = SX_COUNT(nullc_provides),
    .instance_size = (uint32_t)sizeof(struct nullc_self),
    .load = nullc_load,
};
