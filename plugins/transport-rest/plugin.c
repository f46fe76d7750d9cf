/* transport-rest: the descriptor, its configuration and its life.
 *
 * The rooms: listen.c opens sockets, conn.c moves bytes, http1.c reads heads, path.c and route.c
 * find the operation, query.c and decode_*.c read what it was asked, request.c takes it through the
 * kernel, encode.c and reply.c write the answer; cors.c and web.c are what their names say. */
#include <string.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const struct sx_provide rest_provides[] = {
    {.size = (uint32_t)sizeof(struct sx_provide),
     .kind = SX_KIND_TRANSPORT,
     .iface_version = SX_TRANSPORT_IFACE,
     .name = "rest",
     .ops = &rest_transport_ops},
};

static const struct sx_need rest_needs[] = {
    {(uint32_t)sizeof(struct sx_need), SX_KIND_ENGINE, SX_ENGINE_IFACE, SX_NEED_HARD, "*"},
    {(uint32_t)sizeof(struct sx_need), SX_KIND_WEB, SX_WEB_IFACE, SX_NEED_SOFT, "*"},
    {(uint32_t)sizeof(struct sx_need), SX_KIND_EXPORTER, SX_EXPORTER_IFACE, SX_NEED_SOFT, "*"},
};

#define KEY(key_type, key_flags, field, key_path, key_def, lo, hi, text)                           \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct sx_key), .type = SX_KEY_##key_type, .flags = (key_flags),  \
        .offset = offsetof(struct rest_conf, field), .path = (key_path), .def = (key_def),         \
        .min = (lo), .max = (hi), .help = (text)                                                   \
    }

static const struct sx_key rest_keys[] = {
    KEY(STR, 0, host, "service.host", "0.0.0.0", 1, 0, "Address of the listener."),
    KEY(U64, 0, port, "service.http_port", "6333", 0, 65535, "Port of the listener."),
    KEY(U64,
        SX_KEY_RELOADABLE,
        max_mb,
        "service.max_request_size_mb",
        "32",
        1,
        0,
        "Largest JSON body, MiB."),
    KEY(U64,
        SX_KEY_RELOADABLE,
        keep_alive_s,
        "service.http_keep_alive_timeout_sec",
        "5",
        1,
        1e6,
        "Seconds an idle connection is kept."),
    KEY(U64,
        SX_KEY_RELOADABLE,
        request_s,
        "service.http_client_request_timeout_sec",
        "5",
        1,
        1e6,
        "Seconds a client has for its request head."),
    KEY(U64,
        SX_KEY_RELOADABLE,
        disconnect_s,
        "service.http_client_disconnect_timeout_sec",
        "5",
        1,
        1e6,
        "Seconds a closing connection is waited for."),
    KEY(BOOL,
        SX_KEY_RELOADABLE,
        cors,
        "service.enable_cors",
        "true",
        1,
        0,
        "Answer cross-origin requests."),
    KEY(BOOL, 0, tls, "service.enable_tls", "false", 1, 0, "TLS; refused, this module has none."),
};

static int rest_load(const struct sx_host *host, void *inst, struct sx_err *err)
{
    struct rest *self = inst;

    self->host = host;
    self->mem = host->mem;
    self->loop = host->get(host, "sx.loop", sizeof(struct sx_loop_api));
    self->exec = host->get(host, "sx.exec", sizeof(struct sx_exec));
    self->req = host->get(host, "sx.req", sizeof(struct sx_req));
    self->time = host->get(host, "sx.time", sizeof(struct sx_time));
    self->reg = host->get(host, "sx.reg", sizeof(struct sx_reg));
    if (self->loop == NULL || self->exec == NULL || self->req == NULL || self->time == NULL ||
        self->reg == NULL)
        return sx_err_set(err, SX_EABI,
                          "the host lacks sx.loop, sx.exec, sx.req, sx.time or sx.reg");
    return SX_OK;
}

static int rest_configure(void *inst, const void *conf, struct sx_err *err)
{
    struct rest *self = inst;
    const struct rest_conf *c = conf;

    if (c->tls)
        return sx_err_set(err, SX_EUNSUPPORTED, "service.enable_tls: this build serves no TLS");
    __atomic_store_n(&self->conf, c, __ATOMIC_RELEASE); /* pairs with rest_conf_now() */
    return SX_OK;
}

static int rest_start(void *inst, struct sx_err *err)
{
    struct rest *self = inst;
    int rc = rest_router_init(&self->router);

    if (rc < 0)
        return sx_err_set(err, rc, "the operation table does not fit the router");
    return rest_web_init(self, err);
}

static int rest_thread_start(void *inst, void *th, struct sx_loop *loop, struct sx_err *err)
{
    struct rest_thread *t = th;

    (void)err;
    t->self = inst;
    t->loop = loop;
    t->fd = -1;
    sx_docb_init(&t->docb, t->self->mem, SX_DOCB_LAST_WINS);
    return SX_OK;
}

static void rest_thread_stop(void *inst, void *th)
{
    struct rest_thread *t = th;

    if (t->self == NULL)
        return;
    if (t->loop != NULL) {
        rest_stop_accepting(inst, th);
        rest_thread_close(t);
    }
    sx_docb_fini(&t->docb);
}

static int rest_reload(void *inst, const void *conf, struct sx_err *err)
{
    return rest_configure(inst, conf, err);
}

static uint32_t rest_open_requests(void *inst)
{
    struct rest *self = inst;
    uint32_t n = 0;

    for (uint32_t i = 0; i < REST_LOOPS_MAX; i++) {
        struct rest_thread *th = __atomic_load_n(&self->threads[i], __ATOMIC_ACQUIRE);

        if (th != NULL)
            n += __atomic_load_n(&th->n_open, __ATOMIC_RELAXED);
    }
    return n;
}

const struct sx_transport_ops rest_transport_ops = {
    .size = (uint32_t)sizeof(struct sx_transport_ops),
    .listen = rest_listen,
    .stop_accepting = rest_stop_accepting,
    .open_requests = rest_open_requests,
};

SX_PLUGIN(transport_rest, "transport-rest kinds=transport abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(transport_rest),
    .flags = SX_PLUGIN_STRICT,
    .name = "transport-rest",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "The REST API over HTTP/1.1",
    .provides = rest_provides,
    .n_provides = SX_COUNT(rest_provides),
    .needs = rest_needs,
    .n_needs = SX_COUNT(rest_needs),
    .keys = rest_keys,
    .n_keys = SX_COUNT(rest_keys),
    .conf_size = (uint32_t)sizeof(struct rest_conf),
    .instance_size = (uint32_t)sizeof(struct rest),
    .thread_size = (uint32_t)sizeof(struct rest_thread),
    .load = rest_load,
    .configure = rest_configure,
    .start = rest_start,
    .thread_start = rest_thread_start,
    .thread_stop = rest_thread_stop,
    .reload = rest_reload,
};
