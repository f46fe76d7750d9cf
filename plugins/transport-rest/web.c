/* Pages of other modules: mounts of kind web, and exporters that have no mount of their own.
 *
 * Thread: the request's loop. */
#include <string.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

int rest_web_init(struct rest *self, struct sx_err *err)
{
    const struct sx_provider *p;

    self->n_web = 0;
    for (uint32_t i = 0; (p = self->reg->at(SX_KIND_WEB, i)) != NULL; i++) {
        const struct sx_web_ops *ops = p->ops;
        const char *prefix = NULL;
        uint32_t is_public = 0;

        for (uint32_t k = 0; ops->mount(p->self, k, &prefix, &is_public); k++) {
            if (self->n_web == REST_WEB_MAX)
                return sx_err_set(err, SX_EINPUT, "more than %u web mounts", REST_WEB_MAX);
            self->web[self->n_web++] = (struct rest_web){
                ops, p->self, {prefix, (uint32_t)strlen(prefix), 0}, is_public, 0};
        }
    }
    return SX_OK;
}

/* How many leading segments the prefix has, 0 when they differ. */
static uint32_t matches(struct sx_str prefix, const struct sx_str *segments, uint32_t n)
{
    struct sx_str want[REST_SEGMENTS_MAX];
    int n_want = rest_path_split(prefix, want);

    if (n_want <= 0 || (uint32_t)n_want > n)
        return 0;
    for (int i = 0; i < n_want; i++)
        if (!rest__is(segments[i], want[i].p, want[i].n))
            return 0;
    return (uint32_t)n_want;
}

const struct rest_web *
rest_web_find(const struct rest *self, const struct sx_str *segments, uint32_t n)
{
    for (uint32_t i = 0; i < self->n_web; i++)
        if (matches(self->web[i].prefix, segments, n) != 0)
            return &self->web[i];
    return NULL;
}

void rest_web_serve(struct rest_req *r,
                    const struct rest_web *w,
                    const struct sx_str *segments,
                    uint32_t n)
{
    struct sx_web_request rq = {.size = sizeof(rq), .query = r->head.query, .arena = &r->arena};
    struct sx_web_reply reply = {.size = sizeof(reply), .status = 200};
    struct sx_buf body;
    int rc;

    rq.path = rest_path_join(&r->arena, segments, matches(w->prefix, segments, n), n);
    sx_buf_init(&body, r->th->self->mem);
    reply.body = &body;
    rc = rq.path.p != NULL ? w->ops->serve(w->self, &rq, &reply) : SX_ENOMEM;
    if (rc < 0 || body.failed) {
        rest_reply_status(r, rc < 0 ? sx_err_http(rc) : 500);
    } else {
        rest_reply_open(r);
        sx_buf_add(&r->out, body.p, body.n);
        rest_reply_close(r, (int)reply.status, reply.type, reply.headers);
    }
    sx_buf_fini(&body);
}

int rest_web_export(struct rest_req *r, const char *exporter)
{
    const struct sx_provider *p = r->th->self->reg->find(SX_KIND_EXPORTER, exporter);
    struct sx_err err = SX_ERR_INIT;
    const struct sx_exporter_ops *ops;
    struct sx_str query = r->head.query;
    int rc;

    if (p == NULL)
        return 0;
    ops = p->ops;
    if (query.p == NULL)
        query.p = "";
    rest_reply_open(r);
    rc = ops->render(p->self, query, &r->out, &err);
    if (rc < 0) {
        r->out.n = r->gap_at;
        rest_reply_error(r, rc, (struct sx_str){err.msg, (uint32_t)strlen(err.msg), 0}, 0);
    } else {
        rest_reply_close(r, 200, ops->content_type(p->self), (struct sx_str){NULL, 0, 0});
    }
    return 1;
}
