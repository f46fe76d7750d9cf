/* A connection: bytes in, requests one after another, bytes out.
 *
 * The states are in rest.h. run() takes steps until nothing more can be done, then writes what has
 * gathered and decides what to wait for. One request is at work at a time, so pipelined requests
 * are answered in order by nature; those behind it wait in the buffer.
 *
 * Back-pressure: while answers of more than OUT_HIGH bytes wait for the client, nothing further is
 * started, and while a request is at work its buffer may not move, so when it is full nothing
 * further is read.
 *
 * Time outs are coarse: a tick every second walks the loop's connections. No clock is read and no
 * timer armed per request, which a health check would notice.
 *
 * Thread: everything here runs on the connection's loop. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rest.h"

#define OUT_HIGH   262144u
#define READ_MIN   4096u
#define READS_MAX  8u     /* per event, so that one fast client does not keep the loop */
#define SKIP_MAX   1048576u /* of an unwanted body; more than that and the connection is closed */
#define STALL_MS   60000u /* without progress of a body or an answer */
#define TICK_MS    1000u
#define FOREVER     UINT64_MAX
#define SPARES_KEPT 16u

static void run(struct rest_conn *c);

/* now_ms may be a tick old: a time out comes up to a tick late rather than early. */
static uint64_t in_ms(const struct rest_thread *th, uint64_t ms)
{
    return th->now_ms + TICK_MS + ms;
}

/* --- life ------------------------------------------------------------------------------------------- */

static void unlink_conn(struct rest_conn *c)
{
    struct rest_thread *th = c->th;

    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        th->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    th->n_conns--;
}

/* Closes the socket. The connection itself goes away now, or when its operation is answered. */
static void destroy(struct rest_conn *c)
{
    const struct sx_mem *mem = c->th->self->mem;

    if (c->state != REST_S_DEAD) {
        c->th->self->loop->watch_end(c->watch);
        (void)close(c->fd);
        c->watch = NULL;
        c->fd = -1;
        c->state = REST_S_DEAD;
        c->deadline_ms = FOREVER;
        if (c->r != NULL && c->r->in_flight)
            rest_request_cancel(c->r);
    }
    if (c->is_running || (c->r != NULL && c->r->in_flight))
        return;
    if (c->r != NULL)
        rest_req_give(c->r);
    unlink_conn(c);
    mem->release(mem, c);
}

/* --- writing ------------------------------------------------------------------------------------------ */

static uint64_t pending(const struct rest_conn *c)
{
    return c->r != NULL ? c->r->out.n - c->r->out_at : 0;
}

/* Writes what it can. The connection may be dead afterwards. */
static void flush(struct rest_conn *c)
{
    struct rest_req *r = c->r;

    if (r != NULL && r->out.failed) {
        destroy(c); /* an answer that did not fit into memory cannot be repaired in mid-stream */
        return;
    }
    while (r != NULL && r->out_at < r->out.n) {
        ssize_t n = send(c->fd, r->out.p + r->out_at, r->out.n - r->out_at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            destroy(c);
            return;
        }
        r->out_at += (uint64_t)n;
        c->deadline_ms = in_ms(c->th, STALL_MS);
    }
    if (r != NULL)
        r->out.n = r->out_at = 0;
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* Bytes of the current request's body that are not read yet; FOREVER when chunked. */
static uint64_t body_left(const struct rest_req *r)
{
    uint64_t have = r->in_n - r->in_at - r->head_n;

    if ((r->head.flags & REST_F_CHUNKED) != 0)
        return FOREVER;
    return have < r->head.content_length ? r->head.content_length - have : 0;
}

/* Room for the next read; 0 when there can be none now. */
static uint64_t make_room(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint64_t want = READ_MIN;

    if (c->state == REST_S_BUSY) /* somebody holds pointers into the buffer */
        return r->in_cap - r->in_n;
    if (c->state == REST_S_BODY && (r->head.flags & REST_F_CHUNKED) == 0) {
        want = body_left(r);
        if (want > 65536)
            want = 65536; /* doubling gets there soon enough, a lie about the length does not */
        if (want < READ_MIN)
            want = READ_MIN;
    }
    if (rest_req_room(r, want) < 0)
        return 0;
    return r->in_cap - r->in_n;
}

static void drop_input(struct rest_conn *c)
{
    char waste[8192];
    ssize_t n;

    do
        n = recv(c->fd, waste, sizeof(waste), 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        destroy(c);
}

static void read_some(struct rest_conn *c)
{
    for (uint32_t i = 0; i < READS_MAX && c->state != REST_S_DEAD; i++) {
        struct rest_req *r = c->r;
        uint64_t room;
        ssize_t n;

        if (r == NULL) {
            r = c->r = rest_req_take(c->th);
            if (r == NULL) {
                destroy(c);
                return;
            }
            r->conn = c;
            c->deadline_ms = in_ms(c->th, rest_conf_now(c->th->self)->request_s * 1000);
        }
        room = make_room(c);
        if (room == 0) {
            if (c->state != REST_S_BUSY)
                destroy(c); /* out of memory */
            return;
        }
        n = recv(c->fd, r->in + r->in_n, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                destroy(c);
            return;
        }
        if (n == 0) {
            c->is_eof = 1;
            return;
        }
        r->in_n += (uint64_t)n;
        if (c->state == REST_S_BODY || c->state == REST_S_SKIP)
            c->deadline_ms = in_ms(c->th, STALL_MS);
        if ((uint64_t)n < room || c->state == REST_S_HEAD)
            return;
    }
}

/* --- steps ------------------------------------------------------------------------------------------------ */

/* The request is answered; the buffer moves on to the next one. */
static void finish(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint64_t body = (r->head.flags & REST_F_CHUNKED) != 0 ? r->raw_at - r->head_n
                                                          : r->head.content_length;

    r->in_at += r->head_n + body;
    r->seen = 0;
    c->state = REST_S_HEAD;
    if ((r->head.flags & REST_F_KEEP_ALIVE) == 0 || c->th->is_draining)
        c->is_closing = 1;
    if (r->in_at < r->in_n) /* a head that waits for our own answers to drain has more time */
        c->deadline_ms = in_ms(
            c->th, pending(c) != 0 ? STALL_MS : rest_conf_now(c->th->self)->request_s * 1000);
}

/* 1 when the body is complete, 0 when bytes are missing, negative when it is malformed. */
static int body_complete(struct rest_req *r, int keep)
{
    uint64_t in, out;
    int rc;

    if ((r->head.flags & REST_F_CHUNKED) == 0) {
        r->body_n = r->head.content_length;
        return body_left(r) == 0;
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

static int refuse(struct rest_conn *c, int status)
{
    rest_req_reset(c->r);
    memset(&c->r->head, 0, sizeof(c->r->head));
    rest_reply_status(c->r, status);
    c->is_closing = 1;
    return 0;
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
    if (n <= 0)
        return n < 0 ? refuse(c, (int)-n) : 0;
    r->head_n = r->raw_at = (uint64_t)n;
    r->body_n = 0;
    memset(&r->chunk, 0, sizeof(r->chunk));
    rest_req_reset(r);
    /* If this is refused now, will its body be waited for? Not a huge one, and not after "Expect":
     * the client may or may not send it then. */
    c->is_closing = (r->head.flags & REST_F_CHUNKED) == 0 && body_left(r) != 0 &&
                    (body_left(r) > SKIP_MAX || (r->head.flags & REST_F_EXPECT) != 0);
    if (rest_request_head(r)) {
        c->state = REST_S_SKIP;
        return 1;
    }
    c->is_closing = 0;
    c->state = REST_S_BODY;
    c->deadline_ms = in_ms(c->th, STALL_MS);
    if ((r->head.flags & REST_F_EXPECT) != 0 && body_left(r) != 0)
        rest_reply_continue(r);
    return 1;
}

static int step_body(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    int rc = body_complete(r, 1);

    if (rc < 0)
        return refuse(c, 400);
    if (r->body_n > rest_request_limit(r)) {
        c->is_closing = 1;
        rest_request_too_large(r);
        return 0;
    }
    if (rc == 0)
        return 0;
    c->state = REST_S_BUSY;
    c->deadline_ms = FOREVER;
    r->in_flight = REST_AT_POOL;
    rest_count_open(c->th, 1);
    rest_request_body(r);
    if (r->in_flight)
        return 0;
    finish(c);
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
        finish(c);
        return 1;
    }
    have = (r->head.flags & REST_F_CHUNKED) != 0 ? r->body_n : 0;
    if (rc < 0 || have > SKIP_MAX)
        c->is_closing = 1;
    return 0;
}

static int step(struct rest_conn *c)
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
        finish(c);
        return 1;
    default:
        return 0;
    }
}

/* --- waiting ------------------------------------------------------------------------------------------------ */

/* The last answer is out: tell the client and wait until it has closed, because closing with
 * unread bytes would reset the connection and could take the answer with it. */
static int linger(struct rest_conn *c)
{
    rest_req_give(c->r);
    c->r = NULL;
    if (c->is_eof || shutdown(c->fd, SHUT_WR) != 0)
        return 0;
    c->state = REST_S_LINGER;
    c->deadline_ms = in_ms(c->th, rest_conf_now(c->th->self)->disconnect_s * 1000);
    return 1;
}

/* What to wait for next; may end the connection. */
static void settle(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint32_t events = SX_EV_READ;

    if (c->state == REST_S_DEAD) {
        destroy(c);
        return;
    }
    if (r != NULL && !r->in_flight && pending(c) == 0) {
        if ((c->is_closing && !linger(c)) || c->is_eof) {
            destroy(c); /* whatever was begun will not be ended */
            return;
        }
        if (c->state == REST_S_HEAD && r->in_at == r->in_n) {
            rest_req_give(r);
            c->r = NULL;
            c->deadline_ms = in_ms(c->th, rest_conf_now(c->th->self)->keep_alive_s * 1000);
        }
    } else if (r == NULL && c->is_eof) {
        destroy(c);
        return;
    }
    r = c->r;
    if (c->is_eof || (c->is_closing && c->state != REST_S_LINGER) ||
        (c->state == REST_S_BUSY && r->in_n == r->in_cap) || pending(c) > OUT_HIGH)
        events = 0;
    if (pending(c) != 0)
        events |= SX_EV_WRITE;
    if (events != c->events) {
        c->events = events;
        if (c->th->self->loop->watch_set(c->watch, events) < 0)
            destroy(c);
    }
}

static void run(struct rest_conn *c)
{
    if (c->is_running)
        return; /* an answer from inside a step: the loop below goes on by itself */
    c->is_running = 1;
    while (c->r != NULL && c->state != REST_S_DEAD) {
        if (pending(c) > OUT_HIGH) {
            flush(c);
            if (c->state == REST_S_DEAD || pending(c) > OUT_HIGH)
                break;
        }
        if (!step(c))
            break;
    }
    if (c->state != REST_S_DEAD)
        flush(c);
    c->is_running = 0;
    settle(c);
}

static void on_event(int32_t fd, uint32_t events, void *arg)
{
    struct rest_conn *c = arg;

    (void)fd;
    if ((events & SX_EV_READ) != 0) {
        if (c->state == REST_S_LINGER) {
            drop_input(c);
            return;
        }
        c->is_running = 1; /* a dead connection must outlive this call */
        read_some(c);
        c->is_running = 0;
    }
    run(c);
}

/* The operation was answered from the engine's side of the loop. Nothing of it may be touched any
 * more in this call, since it is still on the stack, so a next request in the buffer waits for a
 * task of its own. */
static void resume_task(struct sx_task *t, struct sx_worker *w)
{
    struct rest_req *r = t->arg;
    struct rest_conn *c = r->conn;

    (void)w;
    r->in_flight = 0;
    if (c->state == REST_S_DEAD) {
        destroy(c);
        return;
    }
    c->state = REST_S_HEAD;
    run(c);
}

void rest_conn_resume(struct rest_conn *c)
{
    struct rest_req *r = c->r;

    if (c->is_running)
        return;
    c->is_running = 1;
    if (c->state != REST_S_DEAD)
        flush(c);
    c->is_running = 0;
    if (c->state != REST_S_BUSY || r->in_flight) {
        settle(c);
        return;
    }
    finish(c);
    if (r->in_at == r->in_n || c->is_closing) {
        settle(c);
        return;
    }
    r->task.fn = resume_task;
    r->task.arg = r;
    r->in_flight = REST_AT_TASK; /* keeps the connection alive until the task has run */
    c->state = REST_S_BUSY;
    c->th->self->loop->post(c->th->loop, &r->task);
}

/* --- opening, ticking, closing ---------------------------------------------------------------------------------- */

void rest_conn_open(struct rest_thread *th, int32_t fd, const char *peer)
{
    const struct sx_mem *mem = th->self->mem;
    struct rest_conn *c = mem->zalloc(mem, sizeof(*c));

    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->th = th;
    c->fd = fd;
    c->events = SX_EV_READ;
    c->n_peer = (uint32_t)strnlen(peer, sizeof(c->peer) - 1);
    memcpy(c->peer, peer, c->n_peer);
    c->watch = th->self->loop->watch(th->loop, fd, SX_EV_READ, on_event, c);
    if (c->watch == NULL) {
        (void)close(fd);
        mem->release(mem, c);
        return;
    }
    rest_tick_start(th);
    c->deadline_ms = in_ms(th, rest_conf_now(th->self)->keep_alive_s * 1000);
    c->next = th->conns;
    if (c->next != NULL)
        c->next->prev = c;
    th->conns = c;
    th->n_conns++;
}

static void time_out(struct rest_conn *c)
{
    /* A head that was begun and not ended is told so; a silent connection is just closed. */
    if (c->state == REST_S_HEAD && c->r != NULL && pending(c) == 0 && !c->is_closing &&
        c->r->in_n != c->r->in_at) {
        c->deadline_ms = in_ms(c->th, STALL_MS);
        (void)refuse(c, 408);
        run(c);
        return;
    }
    destroy(c);
}

void rest_tick(void *arg)
{
    struct rest_thread *th = arg;
    struct rest_conn *c, *next;

    th->now_ms = th->self->time->mono_ns() / 1000000;
    rest_date(th);
    for (c = th->conns; c != NULL; c = next) {
        next = c->next;
        if (c->deadline_ms <= th->now_ms)
            time_out(c);
    }
    rest_req_trim(th, th->n_conns < SPARES_KEPT ? th->n_conns : SPARES_KEPT);
    if (th->is_paused)
        rest_accept_again(th);
    th->is_ticking = th->conns != NULL || th->is_paused || th->spare != NULL;
    if (th->is_ticking)
        th->self->loop->timer_set(th->tick, TICK_MS);
}

void rest_tick_start(struct rest_thread *th)
{
    if (th->is_ticking || th->tick == NULL)
        return;
    th->is_ticking = 1;
    th->now_ms = th->self->time->mono_ns() / 1000000;
    rest_date(th);
    th->self->loop->timer_set(th->tick, TICK_MS);
}

void rest_close_idle(struct rest_thread *th)
{
    struct rest_conn *c, *next;

    for (c = th->conns; c != NULL; c = next) {
        next = c->next;
        if (c->r == NULL && c->state == REST_S_HEAD)
            destroy(c);
    }
}

void rest_thread_close(struct rest_thread *th)
{
    struct rest_conn *c, *next;

    for (c = th->conns; c != NULL; c = next) {
        next = c->next;
        destroy(c);
    }
    rest_req_trim(th, 0);
    th->self->loop->timer_end(th->tick);
    th->tick = NULL;
}
