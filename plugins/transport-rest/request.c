/* One request from its head to its answer.
 *
 * Checks go in the contract's order: preflight, authentication, route, path parameters, query
 * string, size of the body; then the body's form; then the kernel and the engine. All but the last
 * two need the head only, so a refusal does not wait for a body.
 *
 * A body of more than POOL_MIN bytes is decoded on the CPU pool: a megabyte of floats takes some
 * milliseconds, and a loop may not block for one.
 *
 * Thread: the connection's loop, except decode_task(). */
#include <string.h>

#include "sextant/sx_text.h"

#include "query.h"
#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define POOL_MIN 262144u
/* The arena of a request: what honest bodies need, and a bound for the others. Bytes of memory per
 * byte of text: an upsert of long vectors takes 1, of one-number vectors 6, of multivectors of one
 * number 24, a column of one-number vectors 36. */
#define ARENA_BASE   1048576u
#define ARENA_FACTOR 48u

uint64_t rest_request_limit(const struct rest_req *r)
{
    uint64_t mb = rest_conf_now(r->th->self)->max_mb;

    return mb < UINT64_MAX >> 20 ? mb << 20 : UINT64_MAX;
}

void rest_request_too_large(struct rest_req *r)
{
    unsigned long long limit = rest_request_limit(r);
    struct sx_str text =
        (r->head.flags & REST_F_CHUNKED) != 0
            ? sx_arena_printf(&r->arena, "JSON payload has exceeded limit (%llu bytes).", limit)
            : sx_arena_printf(&r->arena,
                              "JSON payload (%llu bytes) is larger than allowed (limit: %llu "
                              "bytes).",
                              (unsigned long long)r->head.content_length, limit);

    rest_reply_full_error(r, 400, text.p != NULL ? text : (struct sx_str){"", 0, 0});
}

/* --- before the body ------------------------------------------------------------------------ */

static int is_health(struct sx_str s)
{
    return REST_IS(s, "healthz") || REST_IS(s, "livez") || REST_IS(s, "readyz");
}

/* Bare text on refusal; returns 1 when the request was answered. */
static int authenticate(struct rest_req *r)
{
    const struct rest *self = r->th->self;
    struct sx_credential cred = {.size = sizeof(cred), .scheme = SX_CRED_NONE};
    const struct sx_str *key = &r->head.h[REST_H_API_KEY], *auth = &r->head.h[REST_H_AUTHORIZATION];
    struct sx_err err = SX_ERR_INIT;
    int rc;

    /* A header that is no text counts as absent. */
    if (key->p != NULL && sx_utf8_valid(key->p, key->n)) {
        cred.scheme = SX_CRED_API_KEY;
        cred.value = *key;
    } else if (auth->p != NULL && auth->n >= 7 && memcmp(auth->p, "Bearer ", 7) == 0 &&
               sx_utf8_valid(auth->p, auth->n)) {
        cred.scheme = SX_CRED_BEARER;
        cred.value = (struct sx_str){auth->p + 7, auth->n - 7, 0};
    }
    cred.peer = (struct sx_str){r->conn->peer, r->conn->n_peer, 0};
    rc = self->req->authenticate(&cred, &r->op.identity, &err);
    if (rc == SX_OK)
        return 0;
    rest_reply_text(r, sx_err_http(rc), NULL,
                    (struct sx_str){err.msg, (uint32_t)strlen(err.msg), 0});
    return 1;
}

static void root(struct rest_req *r)
{
    rest_reply_open(r);
    sx_buf_adds(&r->out, "{\"title\":\"qdrant - vector search engine\",\"version\":");
    sx_jsonw_cstr(&r->out, r->th->self->host->compat_version);
    sx_buf_addc(&r->out, '}');
    rest_reply_close(r, 200, "application/json", (struct sx_str){NULL, 0, 0});
}

/* The routes that the transport serves itself; 1 = done. */
static int serve_here(struct rest_req *r, uint32_t code)
{
    static const char type[] = "text/plain; charset=utf-8";
    static const struct sx_str healthy = {"healthz check passed", 20, 0},
                               ready = {"all shards are ready", 20, 0},
                               not_ready = {"some shards are not ready", 25, 0};

    switch (code) {
    case SX_OP_ROOT:
        root(r);
        return 1;
    case SX_OP_HEALTHZ:
    case SX_OP_LIVEZ:
        rest_reply_text(r, 200, type, healthy);
        return 1;
    case SX_OP_READYZ:
        if (r->th->self->req->ready())
            rest_reply_text(r, 200, type, ready);
        else
            rest_reply_text(r, 503, type, not_ready);
        return 1;
    case SX_OP_METRICS:
        return rest_web_export(r, "prometheus");
    default:
        return 0;
    }
}

static int answer(struct rest_req *r, int code, struct sx_str text)
{
    if (text.p == NULL)
        text = (struct sx_str){"out of memory", 13, 0};
    rest_reply_error(r, code, text, 0);
    return 1;
}

/* A 400 or 422 with its whole text. */
static int answer_full(struct rest_req *r, int status, struct sx_str text)
{
    if (text.p == NULL)
        return answer(r, SX_ENOMEM, text);
    rest_reply_full_error(r, status, text);
    return 1;
}

static int check_number(struct rest_req *r, struct sx_str s, uint64_t max, const char *noun)
{
    uint64_t v = 0;
    uint32_t i = s.n > 1 && s.p[0] == '+';

    for (; i < s.n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.p[i] - '0';

        if (digit > 9 || v > (max - digit) / 10)
            break;
        v = v * 10 + digit;
    }
    if (s.n != 0 && i == s.n)
        return 0;
    return answer_full(r, 400,
                       sx_arena_printf(&r->arena,
                                       "Deserialize error in path parameters: can not parse "
                                       "\"%.*s\" to a %s",
                                       (int)s.n, s.p, noun));
}

/* One decoded path parameter goes where the operation has it. Returns 1 when it was refused. */
static int parameter(struct rest_req *r, uint32_t what, struct sx_str v)
{
    struct sx_op *op = &r->op;
    struct sx_str bad = {NULL, 0, 0};

    switch (what) {
    case REST_P_COLLECTION:
        op->collection = v;
        bad = rest_name_check(
            &r->arena, v, op->code == SX_OP_COLLECTION_CREATE || op->code == SX_OP_SNAPSHOT_UPLOAD);
        break;
    case REST_P_VECTOR:
        op->name = v;
        bad = rest_vector_name_check(&r->arena, v);
        break;
    case REST_P_SHARD:
        return check_number(r, v, UINT32_MAX, "u32");
    case REST_P_PEER:
        op->name = v;
        return check_number(r, v, UINT64_MAX, "u64");
    default:
        op->name = v;
        break;
    }
    if (bad.p == NULL)
        return 0;
    return answer_full(r, 422, bad);
}

static int parameters(struct rest_req *r, const struct rest_match *m, const struct sx_str *segments)
{
    for (uint32_t i = 0; i < m->n_params; i++) {
        struct sx_str v;
        int rc = rest_path_decode(&r->arena, segments[m->param[i].segment], &v);

        if (rc == SX_EINPUT)
            return answer_full(
                r, 400,
                (struct sx_str){"Deserialize error in path parameters: invalid utf-8", 51, 0});
        if (rc < 0)
            return answer(r, rc, (struct sx_str){NULL, 0, 0});
        if (parameter(r, m->param[i].what, v))
            return 1;
    }
    return 0;
}

/* The id in the path of a single point. Returns 1 when it was refused. */
static int point_id(struct rest_req *r)
{
    struct sx_args_ids *args = sx_arena_zalloc(&r->arena, sizeof(*args));
    struct sx_id *id = sx_arena_zalloc(&r->arena, sizeof(*id));

    if (args == NULL || id == NULL)
        return answer(r, SX_ENOMEM, (struct sx_str){NULL, 0, 0});
    if (sx_id_parse(r->op.name.p, r->op.name.n, id) < 0)
        return answer(r, SX_EINPUT,
                      sx_arena_printf(&r->arena, "Can not recognize \"%.*s\" as point id",
                                      (int)r->op.name.n, r->op.name.p));
    args->ids = id;
    args->n = 1;
    args->payload.mode = SX_SEL_ALL;
    args->vectors.mode = SX_SEL_ALL;
    r->op.args = args;
    return 0;
}

/* What is not served, and bodies that cannot be taken. Returns 1 when it was answered. */
static int refuse(struct rest_req *r, const struct sx_op_info *info)
{
    const struct sx_str *coding = &r->head.h[REST_H_CONTENT_ENCODING];

    /* A body whose form is known is looked at even if the engine does not serve the operation: its
     * faults come first. */
    int is_known = info->body == SX_OPB_JSON && rest_decode_knows(r->op.code);

    if (!is_known && (info->body != SX_OPB_NONE || !r->th->self->req->serves(r->op.code)))
        return answer(r, SX_EUNSUPPORTED,
                      sx_arena_printf(&r->arena, "%s %s", info->method, info->path));
    if (info->body == SX_OPB_NONE)
        return 0;
    if (coding->p != NULL && coding->n != 0 && !rest_http_has_token(*coding, "identity"))
        return answer(
            r, SX_EUNSUPPORTED,
            sx_arena_printf(&r->arena, "Content-Encoding %.*s", (int)coding->n, coding->p));
    if (r->head.content_length > rest_request_limit(r)) {
        r->conn->is_closing = 1;
        rest_request_too_large(r);
        return 1;
    }
    return 0;
}

static int
head_checks(struct rest_req *r, const struct rest_match *m, const struct sx_str *segments)
{
    const struct sx_op_info *info = &sx_op_table[m->op];
    struct sx_str text = {NULL, 0, 0};
    int rc;

    if (parameters(r, m, segments))
        return 1;
    rc = rest_query_parse(&r->op, r->head.query, &text);
    if (rc < 0)
        return answer_full(r, sx_err_http(rc), text);
    if (serve_here(r, r->op.code))
        return 1;
    if (r->op.code == SX_OP_POINT_GET && point_id(r))
        return 1;
    return refuse(r, info);
}

int rest_request_head(struct rest_req *r)
{
    const struct rest *self = r->th->self;
    struct sx_str segments[REST_SEGMENTS_MAX];
    const struct rest_web *web = NULL;
    struct rest_match m = {.op = -1};
    int n, is_public, done;

    r->op.code = SX_OP__N; /* none; an answer is counted by what stands here */
    r->op.start_ns = self->time->mono_ns();
    if (r->head.method == REST_M_OPTIONS && rest_cors_preflight(r))
        return 1;
    n = rest_path_split(r->head.path, segments);
    if (n >= 0) {
        rest_router_find(&self->router, r->head.method, segments, (uint32_t)n, &m);
        if (m.op >= 0)
            r->op.code = (uint32_t)m.op;
        if (self->n_web != 0)
            web = rest_web_find(self, segments, (uint32_t)n);
    }
    is_public = n == 0 || (n == 1 && is_health(segments[0])) || (web != NULL && web->is_public);
    if (is_public && m.op >= 0 && serve_here(r, (uint32_t)m.op))
        return 1;
    if (!is_public && authenticate(r))
        return 1;
    if (web != NULL && r->head.method == REST_M_GET) {
        rest_web_serve(r, web, segments, (uint32_t)n);
        done = 1;
    } else if (m.op < 0) {
        rest_reply_status(r, 404);
        done = 1;
    } else {
        done = head_checks(r, &m, segments);
    }
    if (done)
        rest_req_drop_identity(r);
    return done;
}

/* --- the body and beyond -------------------------------------------------------------------- */

static void answered(struct rest_req *r)
{
    rest_req_drop_identity(r);
    r->in_flight = 0;
    rest_count_open(r->th, -1);
}

static void on_done(struct sx_op *op, const struct sx_reply *reply)
{
    struct rest_req *r = op->arg;

    if (r->conn->state != REST_S_DEAD)
        rest_reply_op(r, op, reply);
    answered(r);
    rest_conn_resume(r->conn);
}

static void submit(struct rest_req *r)
{
    r->op.loop = r->th->loop;
    r->op.done = on_done;
    r->op.arg = r;
    r->in_flight = REST_AT_ENGINE;
    r->th->self->req->submit(&r->op);
}

/* The decoder has ended, here or on the pool. Returns 1 when its complaint was the answer. */
static int decoded(struct rest_req *r)
{
    r->arena.limit = 0; /* what the engine needs for a result is its own to bound */
    if (r->decoded == SX_OK) {
        submit(r);
        return 0;
    }
    rest_reply_error(r, r->decoded, r->dec.err, 0);
    answered(r);
    return 1;
}

static void decode(struct rest_req *r, struct sx_docb *docb)
{
    r->arena.limit = ARENA_BASE + r->body_n * ARENA_FACTOR;
    r->dec.arena = &r->arena;
    r->dec.docb = docb;
    r->dec.reg = r->th->self->reg;
    r->decoded = rest_decode(&r->dec, &r->op, r->in + r->in_at + r->head_n, r->body_n);
}

static void decoded_task(struct sx_task *t, struct sx_worker *w)
{
    struct rest_req *r = t->arg;

    (void)w;
    if (r->conn->state == REST_S_DEAD)
        answered(r);
    else if (!decoded(r))
        return; /* the answer resumes the connection, or has */
    rest_conn_resume(r->conn);
}

/* On a pool thread. The documents' builder is this task's own: the loop's is in use meanwhile. */
static void decode_task(struct sx_task *t, struct sx_worker *w)
{
    struct rest_req *r = t->arg;
    const struct rest *self = r->th->self;
    struct sx_docb *docb = self->mem->alloc(self->mem, sizeof(*docb));

    (void)w;
    if (docb != NULL) {
        sx_docb_init(docb, self->mem, SX_DOCB_LAST_WINS);
        decode(r, docb);
        sx_docb_fini(docb);
        self->mem->release(self->mem, docb);
    } else {
        r->dec.err = (struct sx_str){"out of memory", 13, 0};
        r->decoded = SX_ENOMEM;
    }
    t->fn = decoded_task;
    self->loop->post(r->th->loop, t);
}

void rest_request_body(struct rest_req *r)
{
    const struct sx_op_info *info = &sx_op_table[r->op.code];

    r->op.start_ns = r->th->self->time->mono_ns();
    if (info->body == SX_OPB_NONE) {
        submit(r);
        return;
    }
    if (r->body_n > POOL_MIN) {
        r->task.fn = decode_task;
        r->task.arg = r;
        r->th->self->exec->submit(&r->task,
                                  info->cls == SX_OPC_READ ? SX_CLASS_QUERY : SX_CLASS_WRITER);
        return;
    }
    decode(r, &r->th->docb);
    (void)decoded(r);
}

void rest_request_cancel(struct rest_req *r)
{
    /* A body on the pool is dropped when it comes back. */
    if (r->in_flight == REST_AT_ENGINE)
        r->th->self->req->cancel(&r->op);
}
