/* A connection: bytes in, requests one after another, bytes out.
 *
 * The states are in rest.h, the steps from one to the next in step.c. run() takes steps until
 * nothing more can be done, then writes what has gathered and decides what to wait for. One request
 * is at work at a time, so pipelined requests are answered in order by nature; those behind it wait
 * in the buffer.
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

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define OUT_HIGH    262144u
#define READ_MIN    4096u
#define READS_MAX   8u /* per event, so that one fast client does not keep the loop */
#define SPARES_KEPT 16u

static void run(struct rest_conn *c);

/* --- life ----------------------------------------------------------------------------------- */

static void unlink_conn(struct rest_conn *c)
{
    struct rest_thread *th = c->th;

    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        th->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    __atomic_store_n(&th->n_conns, th->n_conns - 1, __ATOMIC_RELAXED);
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
        c->deadline_ms = REST_NEVER;
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

/* --- writing -------------------------------------------------------------------------------- */

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
        c->deadline_ms = rest_deadline(c->th, REST_STALL_MS);
    }
    if (r != NULL)
        r->out.n = r->out_at = 0;
}

/* --- reading -------------------------------------------------------------------------------- */

/* Room for the next read; 0 when there can be none now. */
static uint64_t make_room(struct rest_conn *c)
{
    struct rest_req *r = c->r;
    uint64_t want = READ_MIN;

    if (c->state == REST_S_BUSY) /* somebody holds pointers into the buffer */
        return r->in_cap - r->in_n;
    if (c->state == REST_S_BODY && (r->head.flags & REST_F_CHUNKED) == 0) {
        want = rest_body_left(r);
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
            c->deadline_ms = rest_deadline(c->th, rest_conf_now(c->th->self)->request_s * 1000);
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
            c->deadline_ms = rest_deadline(c->th, REST_STALL_MS);
        if ((uint64_t)n < room || c->state == REST_S_HEAD)
            return;
    }
}

/* --- waiting -------------------------------------------------------------------------------- */

/* The last answer is out: tell the client and wait until it has closed, because closing with
 * unread bytes would reset the connection and could take the answer with it. */
static int linger(struct rest_conn *c)
{
    rest_req_give(c->r);
    c->r = NULL;
    if (c->is_eof || shutdown(c->fd, SHUT_WR) != 0)
        return 0;
    c->state = REST_S_LINGER;
    c->deadline_ms = rest_deadline(c->th, rest_conf_now(c->th->self)->disconnect_s * 1000);
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
    if (r != NULL && !r->in_flight && rest_pending(c) == 0) {
        if ((c->is_closing && !linger(c)) || c->is_eof) {
            destroy(c); /* whatever was begun will not be ended */
            return;
        }
        if (c->state == REST_S_HEAD && r->in_at == r->in_n) {
            rest_req_give(r);
            c->r = NULL;
            c->deadline_ms = rest_deadline(c->th, rest_conf_now(c->th->self)->keep_alive_s * 1000);
        }
    } else if (r == NULL && c->is_eof) {
        destroy(c);
        return;
    }
    r = c->r;
    if (c->is_eof || (c->is_closing && c->state != REST_S_LINGER) ||
        (c->state == REST_S_BUSY && r->in_n == r->in_cap) || rest_pending(c) > OUT_HIGH)
        events = 0;
    if (rest_pending(c) != 0)
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
        if (rest_pending(c) > OUT_HIGH) {
            flush(c);
            if (c->state == REST_S_DEAD || rest_pending(c) > OUT_HIGH)
                break;
        }
        if (!rest_step(c))
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
    rest_step_finish(c);
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

/* --- opening, ticking, closing -------------------------------------------------------------- */

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
    c->deadline_ms = rest_deadline(th, rest_conf_now(th->self)->keep_alive_s * 1000);
    c->next = th->conns;
    if (c->next != NULL)
        c->next->prev = c;
    th->conns = c;
    __atomic_store_n(&th->n_conns, th->n_conns + 1, __ATOMIC_RELAXED);
}

static void time_out(struct rest_conn *c)
{
    /* A head that was begun and not ended is told so; a silent connection is just closed. */
    if (c->state == REST_S_HEAD && c->r != NULL && rest_pending(c) == 0 && !c->is_closing &&
        c->r->in_n != c->r->in_at) {
        c->deadline_ms = rest_deadline(c->th, REST_STALL_MS);
        rest_step_refuse(c, 408);
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
        th->self->loop->timer_set(th->tick, REST_TICK_MS);
}

void rest_tick_start(struct rest_thread *th)
{
    if (th->is_ticking || th->tick == NULL)
        return;
    th->is_ticking = 1;
    th->now_ms = th->self->time->mono_ns() / 1000000;
    rest_date(th);
    th->self->loop->timer_set(th->tick, REST_TICK_MS);
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
