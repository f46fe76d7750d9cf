/* Answers: status line, headers, envelope, counters, access log.
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

static const struct {
    int status;
    const char *text;
} statuses[] = {
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

/* SX_COUNT(statuses) for one that only a web module could think of. */
static uint32_t status_index(int status)
{
    uint32_t i = 0;

    while (i < SX_COUNT(statuses) && statuses[i].status != status)
        i++;
    return i;
}

static const char *reason(int status)
{
    uint32_t i = status_index(status);

    return i < SX_COUNT(statuses) ? statuses[i].text : "Unknown";
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

/* --- counters ------------------------------------------------------------------------------- */

/* One for each status of each operation, or of each method of requests that are none; made when it
 * is first used, as most never are. The host keeps them as long as the process lives, and gives the
 * same ones to two loops that make them at once, so these pointers are the process' too. */
struct counted {
    struct sx_metric *total, *seconds; /* atomic; seconds is set last */
};
static struct counted counted[SX_OP__N + REST_M__N][SX_COUNT(statuses)];
static const struct sx_telem *telem; /* atomic; set before the first of them */

/* What the table calls "{collection}" is "{collection_name}" to clients. */
static void put_endpoint(char *out, uint64_t room, const char *path)
{
    static const char *const names[][2] = {
        {"{collection}", "{collection_name}"},
        {"{vector}", "{vector_name}"},
        {"{field}", "{field_name}"},
        {"{snapshot}", "{snapshot_name}"},
        {"{shard}", "{shard_id}"},
    };
    uint64_t n = 0, n_name;
    uint32_t i;

    while (*path != '\0' && n + 24 < room) {
        for (i = 0; i < SX_COUNT(names); i++)
            if (strncmp(path, names[i][0], strlen(names[i][0])) == 0)
                break;
        if (i == SX_COUNT(names)) {
            out[n++] = *path++;
            continue;
        }
        n_name = strlen(names[i][1]);
        memcpy(out + n, names[i][1], n_name);
        n += n_name;
        path += strlen(names[i][0]);
    }
    out[n] = '\0';
}

static int make_counted(const struct rest_req *r, uint32_t row, int status, struct counted *c)
{
    static const char *const methods[REST_M__N] = {"GET",    "POST",    "PUT",  "PATCH",
                                                   "DELETE", "OPTIONS", "OTHER"};
    static const double bounds[] = {0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10, 50};
    const struct sx_host *host = r->th->self->host;
    const struct sx_telem *t = host->get(host, "sx.telem", (uint32_t)sizeof(*t));
    const struct sx_op_info *info = row < SX_OP__N ? &sx_op_table[row] : NULL;
    char endpoint[192], labels[256];
    struct sx_metric *total, *seconds;

    if (t == NULL)
        return 0;
    put_endpoint(endpoint, sizeof(endpoint), info != NULL ? info->path : "unknown");
    (void)snprintf(labels, sizeof(labels), "method=\"%s\",endpoint=\"%s\",status=\"%d\"",
                   info != NULL ? info->method : methods[row - SX_OP__N], endpoint, status);
    total = t->metric(SX_METRIC_COUNTER, "rest_responses_total", "total number of responses",
                      labels, NULL, 0);
    seconds = t->metric(SX_METRIC_HISTOGRAM, "rest_responses_duration_seconds",
                        "response duration histogram", labels, bounds, SX_COUNT(bounds));
    if (total == NULL || seconds == NULL)
        return 0;
    __atomic_store_n(&telem, t, __ATOMIC_RELAXED);
    __atomic_store_n(&c->total, total, __ATOMIC_RELAXED);
    __atomic_store_n(&c->seconds, seconds, __ATOMIC_RELEASE); /* pairs with count_answer() */
    return 1;
}

/* An answer that the list of statuses lacks is made anew each time: only a web module gives one. */
static void count_answer(const struct rest_req *r, int status, double seconds)
{
    uint32_t row = r->op.code < SX_OP__N ? r->op.code : SX_OP__N + r->head.method;
    uint32_t i = status_index(status);
    struct counted other = {NULL, NULL}, *c = i < SX_COUNT(statuses) ? &counted[row][i] : &other;
    const struct sx_telem *t;

    /* pairs with make_counted() */
    if (__atomic_load_n(&c->seconds, __ATOMIC_ACQUIRE) == NULL && !make_counted(r, row, status, c))
        return;
    t = __atomic_load_n(&telem, __ATOMIC_RELAXED);
    t->add(__atomic_load_n(&c->total, __ATOMIC_RELAXED), 1);
    t->observe(__atomic_load_n(&c->seconds, __ATOMIC_RELAXED), seconds);
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

static void access_log(const struct rest_req *r, int status, uint64_t bytes, double seconds)
{
    const struct rest *self = r->th->self;
    const struct rest_head *h = &r->head;
    struct sx_str referer, agent;

    if (is_quiet(h->path) || !self->host->log_on(self->host, SX_LOG_INFO, ACCESS_LOG))
        return;
    referer = or_dash(h->h[REST_H_REFERER]);
    agent = or_dash(h->h[REST_H_USER_AGENT]);
    sx_log(self->host, SX_LOG_INFO, ACCESS_LOG,
           "%s \"%.*s %.*s HTTP/1.%u\" %d %llu \"%.*s\" \"%.*s\" %.6f", r->conn->peer,
           (int)h->method_text.n, h->method_text.p, (int)h->target.n, h->target.p, h->minor, status,
           (unsigned long long)bytes, (int)referer.n, referer.p, (int)agent.n, agent.p, seconds);
}

/* Once for every answer. Bytes that were no request are neither counted nor logged. */
static void note_answer(const struct rest_req *r, int status, uint64_t bytes)
{
    double seconds;

    if (r->head.target.p == NULL)
        return;
    seconds = (double)(r->th->self->time->mono_ns() - r->op.start_ns) / 1e9;
    count_answer(r, status, seconds);
    access_log(r, status, bytes, seconds);
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
    note_answer(r, status, body);
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
