/* The steps of a connection: from bytes in the buffer to a request, from its end to the next one.
 *
 * No I/O here: conn.c reads and writes. A step returns 1 when another one may follow, 0 when it
 * waits for bytes, for an answer, or for the end.
 *
 * Thread: the connection's loop. */
#include <string.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define SKIP_MAX 1048576u /* of an unwanted body; more than that and the connection is closed */

/* Bytes of the current request's body that are not read yet; REST_NEVER when chunked. */
uint64_t rest_body_left(const struct rest_req *r)
{
    uint64_t have = r->in_n - r->in_at - r->head_n;

    if ((r->head.flags & REST_F_CHUNKED) != 0)
        return REST_NEVER;
    return have < r->head.content_length ? r->head.content_length - have : 0;
}

/* The request is answered; the buffer moves on to the next one. */
void rest_step_finish(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint64_t body =
        (r->head.flags & REST_F_CHUNKED) != 0 ? r->raw_at - r->head_n : r->head.content_length;

    r->in_at += r->head_n + body;
    r->seen = 0;
    c->state = REST_S_HEAD;
    if ((r->head.flags & REST_F_KEEP_ALIVE) == 0 || c->th->is_draining)
        c->is_closing = 1;
    if (r->in_at < r->in_n) /* a head that waits for our own answers to drain has more time */
        c->deadline_ms = rest_deadline(c->th, rest_pending(c) != 0
                                                  ? REST_STALL_MS
                                                  : rest_conf_now(c->th->self)->request_s * 1000);
}

/* 1 when the body is complete, 0 when bytes are missing, negative when it is malformed. */
static int body_complete(struct rest_req *r, int keep)
{
    uint64_t in, out;
    int rc;

    if ((r->head.flags & REST_F_CHUNKED) == 0) {
        r->body_n = r->head.content_length;
        return rest_body_left(r) == 0;
    }
    in = r->in_at + r->raw_at;
    out = r->in_at + r->head_n + (keep ? r->body_n : 0);
    rc = rest_http_chunks(&r->chunk, r->in, &in, r->in_n, &out);
    r->raw_at = in - r->in_at;
    r->body_n = keep ? out - r->in_at - r->head_n : r->body_n + (out - r->in_at - r->head_n);
    if (rc == 0) { /* close the hole the chunk frames left, or the buffer grows with them */
        uint64_t hole = in - out;

        memmove(r->in + out, r->in + in, r->in_n - in);
        r->in_n -= hole;
        r->raw_at -= hole;
    }
    return rc;
}

void rest_step_refuse(struct rest_conn *c, int status)
{
    rest_req_reset(c->r);
    memset(&c->r->head, 0, sizeof(c->r->head));
    rest_reply_status(c->r, status);
    c->is_closing = 1;
}

static int step_head(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    int64_t n;

    while (r->in_n - r->in_at >= 2 && r->seen == 0 && memcmp(r->in + r->in_at, "\r\n", 2) == 0)
        r->in_at += 2; /* old clients send one behind a body */
    if (r->in_at == r->in_n || c->is_closing)
        return 0;
    n = rest_http_head(r->in + r->in_at, r->in_n - r->in_at, &r->seen, &r->head);
    if (n <= 0) {
        if (n < 0)
            rest_step_refuse(c, (int)-n);
        return 0;
    }
    r->head_n = r->raw_at = (uint64_t)n;
    r->body_n = 0;
    memset(&r->chunk, 0, sizeof(r->chunk));
    rest_req_reset(r);
    /* If this is refused now, will its body be waited for? Not a huge one, and not after "Expect":
     * the client may or may not send it then. */
    c->is_closing = (r->head.flags & REST_F_CHUNKED) == 0 && rest_body_left(r) != 0 &&
                    (rest_body_left(r) > SKIP_MAX || (r->head.flags & REST_F_EXPECT) != 0);
    if (rest_request_head(r)) {
        c->state = REST_S_SKIP;
        return 1;
    }
    c->is_closing = 0;
    c->state = REST_S_BODY;
    c->deadline_ms = rest_deadline(c->th, REST_STALL_MS);
    if ((r->head.flags & REST_F_EXPECT) != 0 && rest_body_left(r) != 0)
        rest_reply_continue(r);
    return 1;
}

static int step_body(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    int rc = body_complete(r, 1);

    if (rc < 0) {
        rest_step_refuse(c, 400);
        return 0;
    }
    if (r->body_n > rest_request_limit(r)) {
        c->is_closing = 1;
        rest_request_too_large(r);
        return 0;
    }
    if (rc == 0)
        return 0;
    c->state = REST_S_BUSY;
    c->deadline_ms = REST_NEVER;
    r->in_flight = REST_AT_POOL;
    rest_count_open(c->th, 1);
    rest_request_body(r);
    if (r->in_flight)
        return 0;
    rest_step_finish(c);
    return 1;
}

static int step_skip(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint64_t have;
    int rc;

    if (c->is_closing)
        return 0;
    rc = body_complete(r, 0);
    if (rc > 0) {
        rest_step_finish(c);
        return 1;
    }
    have = (r->head.flags & REST_F_CHUNKED) != 0 ? r->body_n : 0;
    if (rc < 0 || have > SKIP_MAX)
        c->is_closing = 1;
    return 0;
}

int rest_step(struct rest_conn *c)
{
    switch (c->state) {
    case REST_S_HEAD:
        return step_head(c);
    case REST_S_BODY:
        return step_body(c);
    case REST_S_SKIP:
        return step_skip(c);
    case REST_S_BUSY:
        if (c->r->in_flight)
            return 0;
        rest_step_finish(c);
        return 1;
    default:
        return 0;
    }
}
