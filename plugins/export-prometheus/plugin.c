/* export-prometheus: all counters of the server as Prometheus text, at /metrics.
 *
 * Spec chapter 01, section 8.2. The page is mounted on the REST transport as one that is not
 * public: who may read it is the transport's and the auth modules' business. The host checks the
 * prefix's letters and warns; a prefix it warned about is used all the same, as the reference does.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static const struct sx_key prom_keys[] = {
    {
        .size = (uint32_t)sizeof(struct sx_key),
        .type = SX_KEY_STR,
        .flags = SX_KEY_OPTIONAL | SX_KEY_RELOADABLE,
        .offset = (uint32_t)offsetof(struct prom_conf, prefix),
        .path = "service.metrics_prefix",
        .min = 1,
        .max = 0,
        .help = "Put before the name of every metric.",
    },
};

/* --- life --------------------------------------------------------------------------------------
 */

static int prom_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct prom_self *p = self;

    p->host = host;
    p->mem = host->mem;
    p->telem = host->get(host, "sx.telem", (uint32_t)sizeof(struct sx_telem));
    p->epoch = host->get(host, "sx.epoch", (uint32_t)sizeof(struct sx_epoch));
    if (p->mem == NULL || p->telem == NULL || p->epoch == NULL)
        return sx_err_set(err, SX_EABI, "the host lacks service sx.mem, sx.telem or sx.epoch");
    return SX_OK;
}

static void prefix_destroy(void *arg)
{
    struct prom_prefix *x = arg;

    x->mem->release(x->mem, x);
}

static int prom_configure(void *self, const void *conf, struct sx_err *err)
{
    struct prom_self *p = self;
    const struct prom_conf *c = conf;
    const char *text = c->prefix != NULL ? c->prefix : "";
    uint64_t n = strlen(text);
    struct prom_prefix *fresh, *old;

    if (n > 128)
        return sx_err_set(err, SX_EINPUT, "service.metrics_prefix is longer than 128 bytes");
    fresh = p->mem->zalloc(p->mem, sizeof(*fresh) + n + 1);
    if (fresh == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for the metrics prefix");
    fresh->mem = p->mem;
    fresh->text.p = (char *)(fresh + 1);
    fresh->text.n = (uint32_t)n;
    memcpy(fresh + 1, text, n);
    /* pairs with the acquire load in render.c */
    old = __atomic_exchange_n(&p->prefix, fresh, __ATOMIC_ACQ_REL);
    if (old != NULL)
        p->epoch->retire(prefix_destroy, old);
    return SX_OK;
}

/* The one sample of our own: which server this is. Every dashboard begins with it, and only a
 * module is told the version that clients are to see. */
static void app_info(struct sx_sample_sink *sink, void *arg)
{
    const struct prom_self *p = arg;
    struct sx_sample s;
    char labels[96];

    if (snprintf(labels, sizeof(labels), "name=\"qdrant\",version=\"%s\"",
                 p->host->compat_version) >= (int)sizeof(labels))
        return;
    memset(&s, 0, sizeof(s));
    s.size = (uint32_t)sizeof(s);
    s.type = SX_METRIC_GAUGE;
    s.name = "app_info";
    s.help = "information about qdrant server";
    s.labels = labels;
    s.value = 1;
    sink->add(sink, &s);
}

static int prom_start(void *self, struct sx_err *err)
{
    struct prom_self *p = self;

    if (p->telem->collector(app_info, p) != SX_OK)
        return sx_err_set(err, SX_ENOMEM, "no memory for a collector");
    return SX_OK;
}

static void prom_stop(void *self)
{
    struct prom_self *p = self;

    if (p->prefix != NULL)
        prefix_destroy(p->prefix);
    p->prefix = NULL;
}

/* --- exporter ----------------------------------------------------------------------------------
 */

static int
prom_export_render(void *self, struct sx_str query, struct sx_buf *out, struct sx_err *err)
{
    struct prom_query q;
    int rc;

    rc = prom_query_parse(query, &q, err);
    if (rc != SX_OK)
        return rc;
    return prom_render(self, &q, out, err);
}

static const char *prom_content_type(void *self)
{
    (void)self;
    return "text/plain; charset=utf-8";
}

static const struct sx_exporter_ops prom_exporter_ops = {
    .size = (uint32_t)sizeof(struct sx_exporter_ops),
    .render = prom_export_render,
    .content_type = prom_content_type,
};

/* --- the page ----------------------------------------------------------------------------------
 */

static int prom_mount(void *self, uint32_t i, const char **prefix, uint32_t *is_public)
{
    (void)self;
    if (i != 0)
        return 0;
    *prefix = "/metrics";
    *is_public = 0;
    return 1;
}

static int prom_serve(void *self, const struct sx_web_request *rq, struct sx_web_reply *reply)
{
    struct sx_err err = SX_ERR_INIT;
    uint64_t start = reply->body->n;
    int rc;

    if (rq->path.n != 0 && !(rq->path.n == 1 && rq->path.p[0] == '/')) {
        reply->status = 404;
        return SX_OK;
    }
    reply->status = 200;
    reply->type = prom_content_type(self);
    rc = prom_export_render(self, rq->query, reply->body, &err);
    if (rc == SX_OK)
        return SX_OK;
    reply->body->n = start;
    reply->status = (uint32_t)sx_err_http(rc);
    reply->type = "application/json";
    sx_buf_adds(reply->body, "{\"status\":{\"error\":");
    sx_jsonw_cstr(reply->body, err.msg);
    sx_buf_adds(reply->body, "},\"time\":0.0}");
    return SX_OK;
}

static const struct sx_web_ops prom_web_ops = {
    .size = (uint32_t)sizeof(struct sx_web_ops),
    .mount = prom_mount,
    .serve = prom_serve,
};

static const struct sx_provide prom_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_EXPORTER,
        .iface_version = SX_EXPORTER_IFACE,
        .name = "prometheus",
        .ops = &prom_exporter_ops,
    },
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_WEB,
        .iface_version = SX_WEB_IFACE,
        .name = "metrics",
        .ops = &prom_web_ops,
    },
};

SX_PLUGIN(export_prometheus, "export-prometheus kinds=exporter,web abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(export_prometheus),
    .flags = SX_PLUGIN_STRICT,
    .name = "export-prometheus",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "All counters of the server as Prometheus text at /metrics",
    .provides = prom_provides,
    .n_provides = SX_COUNT(prom_provides),
    .keys = prom_keys,
    .n_keys = SX_COUNT(prom_keys),
    .conf_size = (uint32_t)sizeof(struct prom_conf),
    .instance_size = (uint32_t)sizeof(struct prom_self),
    .load = prom_load,
    .configure = prom_configure,
    .start = prom_start,
    .reload = prom_configure,
    .stop = prom_stop,
};
