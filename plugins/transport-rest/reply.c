/* Answers: status line, headers, envelope, access log.
 *
 * The body is written first, behind a gap that is wide enough for any usual head; then the head is
 * put into the gap's end, right in front of it. So nothing is copied and one send() takes all. Only
 * when earlier answers of a pipeline still wait in front does the body move down to close the gap.
 *
 * Thread: the connection's loop. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define GAP        768u
#define ACCESS_LOG "actix_web::middleware::logger"

static const char json_type[] = "application/json";

/* --- heads ---------------------------------------------------------------------------------- */

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } list[] = {
        {200, "OK"},
        {202, "Accepted"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Payload Too Large"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (uint32_t i = 0; i < SX_COUNT(list); i++)
        if (list[i].status == status)
            return list[i].text;
    return "Unknown";
}

void rest_date(struct rest_thread *th)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(th->self->time->wall_ns() / 1000000000u);
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL)
        return;
    th->date_n = (uint32_t)snprintf(
        th->date, sizeof(th->date), "date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n",
        days[(uint32_t)tm.tm_wday % 7], (uint32_t)tm.tm_mday % 100,
        months[(uint32_t)tm.tm_mon % 12], (uint32_t)(tm.tm_year + 1900) % 10000,
        (uint32_t)tm.tm_hour % 100, (uint32_t)tm.tm_min % 100, (uint32_t)tm.tm_sec % 100);
}

struct head {
    char text[GAP];
    uint32_t n;
};

static void put(struct head *h, const char *s, uint32_t n)
{
    if (n <= GAP - h->n) {
        memcpy(h->text + h->n, s, n);
        h->n += n;
    }
}
#define PUT(h, literal) put((h), "" literal, (uint32_t)sizeof(literal) - 1)

static void put_number(struct head *h, uint64_t v)
{
    char text[20];
    uint32_t n = sizeof(text);

    do
        text[--n] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    put(h, text + n, (uint32_t)sizeof(text) - n);
}

static void
write_head(struct rest_req *r, int status, uint64_t length, const char *type, struct head *h)
{
    const char *text = reason(status);
    char cors[512];

    h->n = 0;
    PUT(h, "HTTP/1.1 ");
    put_number(h, (uint64_t)status);
    PUT(h, " ");
    put(h, text, (uint32_t)strlen(text));
    PUT(h, "\r\ncontent-length: ");
    put_number(h, length);
    PUT(h, "\r\n");
    if (type != NULL) {
        PUT(h, "content-type: ");
        put(h, type, (uint32_t)strlen(type));
        PUT(h, "\r\n");
    }
    if ((r->head.flags & REST_F_KEEP_ALIVE) == 0 || r->conn->is_closing || r->th->is_draining)
        PUT(h, "connection: close\r\n");
    else if (r->head.minor == 0)
        PUT(h, "connection: keep-alive\r\n");
    put(h, cors, rest_cors_headers(r, cors));
    put(h, r->th->date, r->th->date_n);
}

/* --- access log ----------------------------------------------------------------------------- */

/* The paths that monitors ask for all day. */
static int is_quiet(struct sx_str path)
{
    static const char *const list[] = {"/",        "/metrics", "/telemetry",
                                       "/healthz", "/readyz",  "/livez"};

    for (uint32_t i = 0; i < SX_COUNT(list); i++)
        if (rest__is(path, list[i], (uint32_t)strlen(list[i])))
            return 1;
    return 0;
}

static struct sx_str or_dash(struct sx_str s)
{
    return s.p != NULL && s.n != 0 ? s : (struct sx_str){"-", 1, 0};
}

static void access_log(const struct rest_req *r, int status, uint64_t bytes)
{
    const struct rest *self = r->th->self;
    const struct rest_head *h = &r->head;
    struct sx_str referer, agent;
    double seconds;

    if (h->target.p == NULL || is_quiet(h->path) ||
        !self->host->log_on(self->host, SX_LOG_INFO, ACCESS_LOG))
        return;
    seconds = r->op.start_ns != 0 ? (double)(self->time->mono_ns() - r->op.start_ns) / 1e9 : 0;
    referer = or_dash(h->h[REST_H_REFERER]);
    agent = or_dash(h->h[REST_H_USER_AGENT]);
    sx_log(self->host, SX_LOG_INFO, ACCESS_LOG,
           "%s \"%.*s %.*s HTTP/1.%u\" %d %llu \"%.*s\" \"%.*s\" %.6f", r->conn->peer,
           (int)h->method_text.n, h->method_text.p, (int)h->target.n, h->target.p, h->minor, status,
           (unsigned long long)bytes, (int)referer.n, referer.p, (int)agent.n, agent.p, seconds);
}

/* --- whole answers -------------------------------------------------------------------------- */

void rest_reply_open(struct rest_req *r)
{
    r->gap_at = r->out.n;
    if (sx_buf_reserve(&r->out, GAP + 256) != NULL)
        r->out.n += GAP;
}

void rest_reply_close(struct rest_req *r, int status, const char *type, struct sx_str headers)
{
    uint64_t body = r->out.n - r->gap_at - GAP, need;
    struct head h;
    char *at;

    if (r->out.failed)
        return;
    write_head(r, status, body, type, &h);
    need = (uint64_t)h.n + headers.n + 2;
    if (need > GAP) { /* headers of a web module: make the gap as wide */
        if (sx_buf_reserve(&r->out, need - GAP) == NULL)
            return;
        at = r->out.p + r->gap_at;
        memmove(at + need, at + GAP, body);
    } else if (r->gap_at == r->out_at) {
        r->out_at += GAP - need;
        at = r->out.p + r->out_at;
    } else {
        at = r->out.p + r->gap_at;
        memmove(at + need, at + GAP, body);
    }
    memcpy(at, h.text, h.n);
    if (headers.n != 0)
        memcpy(at + h.n, headers.p, headers.n);
    memcpy(at + need - 2, "\r\n", 2);
    r->out.n = (uint64_t)(at - r->out.p) + need + body;
    access_log(r, status, body);
}

void rest_reply_status(struct rest_req *r, int status)
{
    rest_reply_open(r);
    rest_reply_close(r, status, NULL, (struct sx_str){NULL, 0, 0});
}

void rest_reply_text(struct rest_req *r, int status, const char *type, struct sx_str text)
{
    rest_reply_open(r);
    sx_buf_add(&r->out, text.p, text.n);
    rest_reply_close(r, status, type, (struct sx_str){NULL, 0, 0});
}

void rest_reply_continue(struct rest_req *r)
{
    sx_buf_adds(&r->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* --- envelopes ------------------------------------------------------------------------------ */

static void put_time(struct rest_req *r, int timed)
{
    uint64_t start = r->op.start_ns;

    sx_buf_adds(&r->out, ",\"time\":");
    sx_jsonw_f64(&r->out,
                 timed && start != 0 ? (double)(r->th->self->time->mono_ns() - start) / 1e9 : 0.0);
    sx_buf_addc(&r->out, '}');
}

static void error_body(struct rest_req *r, const char *prefix, struct sx_str text, int timed)
{
    char stack[512], *joined = stack;
    uint32_t n = (uint32_t)strlen(prefix);

    rest_reply_open(r);
    if (n + (uint64_t)text.n > sizeof(stack))
        joined = sx_arena_alloc(&r->arena, n + (uint64_t)text.n);
    sx_buf_adds(&r->out, "{\"status\":{\"error\":");
    if (joined != NULL) {
        memcpy(joined, prefix, n);
        if (text.n != 0)
            memcpy(joined + n, text.p, text.n);
        sx_jsonw_str(&r->out, joined, n + (uint64_t)text.n);
    } else {
        sx_jsonw_cstr(&r->out, "Service internal error: out of memory");
    }
    sx_buf_addc(&r->out, '}');
    put_time(r, timed);
}

void rest_reply_full_error(struct rest_req *r, int status, struct sx_str text)
{
    error_body(r, "", text, 0);
    rest_reply_close(r, status, json_type, (struct sx_str){NULL, 0, 0});
}

void rest_reply_error(struct rest_req *r, int code, struct sx_str text, int timed)
{
    error_body(r, sx_err_prefix(code), text, timed);
    rest_reply_close(r, sx_err_http(code), json_type, (struct sx_str){NULL, 0, 0});
}

static void op_error(struct rest_req *r, const struct sx_reply *reply)
{
    struct sx_str headers = {NULL, 0, 0};
    char retry[48];

    error_body(r, sx_err_prefix(reply->code), reply->err, 1);
    if (reply->retry_after_s != 0) {
        headers.n =
            (uint32_t)snprintf(retry, sizeof(retry), "retry-after: %u\r\n", reply->retry_after_s);
        headers.p = retry;
    }
    rest_reply_close(r, sx_err_http(reply->code), json_type, headers);
}

void rest_reply_op(struct rest_req *r, const struct sx_op *op, const struct sx_reply *reply)
{
    if (reply->code != SX_OK) {
        op_error(r, reply);
        return;
    }
    if (reply->kind == SX_R_TEXT) {
        rest_reply_text(r, 200, reply->u.text.type, reply->u.text.body);
        return;
    }
    rest_reply_open(r);
    sx_buf_add(&r->out, "{\"result\":", 10);
    rest_encode(&r->out, op, reply);
    sx_buf_add(&r->out, ",\"status\":\"ok\"", 14);
    put_time(r, 1);
    rest_reply_close(r, 200, json_type, (struct sx_str){NULL, 0, 0});
}
