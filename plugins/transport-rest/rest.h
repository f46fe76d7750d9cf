/* The REST transport's own structures: the module, a loop's part, a connection, a request.
 *
 * A connection is small and lives as long as its socket. Everything a request needs (receive
 * buffer, arena, operation, answer) is in a struct rest_req, which a connection borrows from its
 * loop when bytes arrive and gives back when the answer is on its way: idle connections cost a few
 * hundred bytes, and a busy loop works in the same few warm buffers without allocating.
 *
 * All of a connection belongs to one loop thread. The exception is a body that is decoded on the
 * pool: then the request's arena and decoder belong to the pool thread until it posts back. */
#ifndef REST_H
#define REST_H

#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"

#include "decode.h"
#include "http1.h"
#include "route.h"

#define REST_WEB_MAX   16u
#define REST_LOOPS_MAX 256u

struct rest_conf {
    const char *host;
    uint64_t port, max_mb, keep_alive_s, request_s, disconnect_s;
    uint32_t cors, tls;
};

struct rest_web {
    const struct sx_web_ops *ops;
    void *self;
    struct sx_str prefix;
    uint32_t is_public, pad;
};

struct rest {
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_loop_api *loop;
    const struct sx_exec *exec;
    const struct sx_req *req;
    const struct sx_time *time;
    const struct sx_reg *reg;
    const struct rest_conf *conf;
    uint32_t n_web, port;    /* port: bound, atomic, for port 0 of the configuration */
    uint32_t is_probed, pad; /* atomic: some loop has looked whether the port is in use */
    struct rest_web web[REST_WEB_MAX];
    struct rest_thread *threads[REST_LOOPS_MAX]; /* by loop, once it listens */
    struct rest_router router;
};

/* The configuration may be replaced while requests are served. */
static inline const struct rest_conf *rest_conf_now(const struct rest *self)
{
    return __atomic_load_n(&self->conf, __ATOMIC_ACQUIRE); /* pairs with configure */
}

struct rest_conn;
struct rest_req;

/* One per loop: the module's thread memory. */
struct rest_thread {
    struct rest *self;
    struct sx_loop *loop;
    struct sx_watch *listener;
    int32_t fd;       /* of the listener, -1 = none */
    uint32_t n_conns; /* others read it, relaxed */
    uint32_t n_spare, is_draining;
    uint32_t n_open;         /* requests not answered yet; others read it, relaxed */
    struct rest_conn *conns; /* all, doubly linked */
    struct rest_req *spare;
    struct sx_timer *tick;
    uint64_t now_ms;                /* of the last tick */
    uint32_t is_ticking, is_paused; /* paused: out of descriptors, accepts again at the next tick */
    struct sx_docb docb;
    uint32_t date_n, pad;
    char date[48]; /* "date: ...\r\n" */
};

#define REST_NEVER    UINT64_MAX
#define REST_TICK_MS  1000u
#define REST_STALL_MS 60000u /* without progress of a body or an answer */

/* now_ms may be a tick old: a time out comes up to a tick late rather than early. */
static inline uint64_t rest_deadline(const struct rest_thread *th, uint64_t ms)
{
    return th->now_ms + REST_TICK_MS + ms;
}

/* n_open is written by its loop only and read by others. */
static inline void rest_count_open(struct rest_thread *th, int32_t n)
{
    __atomic_store_n(&th->n_open, th->n_open + (uint32_t)n, __ATOMIC_RELAXED);
}

enum {
    REST_S_HEAD = 0, /* waiting for or reading a head */
    REST_S_BODY,
    REST_S_BUSY,   /* the body is decoded on the pool, or the operation is at the engine */
    REST_S_SKIP,   /* answered before the body was there; its rest is read and dropped */
    REST_S_LINGER, /* the last answer is written; waiting for the client to close */
    REST_S_DEAD
};

struct rest_conn {
    struct rest_conn *next, *prev;
    struct rest_thread *th;
    struct sx_watch *watch;
    struct rest_req *r; /* NULL while idle */
    int32_t fd;
    uint32_t state, events;
    uint64_t deadline_ms;                            /* UINT64_MAX = none */
    uint32_t is_running, is_eof, is_closing, n_peer; /* closing: no request after this answer */
    char peer[64];                                   /* address, for the access log */
};

enum { REST_AT_POOL = 1, REST_AT_ENGINE = 2, REST_AT_TASK = 3 };

struct rest_req {
    struct rest_req *next;
    struct rest_conn *conn;
    struct rest_thread *th;
    /* Receive buffer: [in_at, in_n) is not consumed yet, the current request first. */
    char *in;
    uint64_t in_cap, in_n, in_at, seen; /* seen: rest_http_head()'s memory */
    struct rest_head head;
    uint64_t head_n, body_n; /* body_n: bytes of body that are there, decoded */
    uint64_t raw_at;         /* chunked: where undecoded bytes begin, relative to in_at */
    struct rest_chunk chunk;
    /* Send buffer: [out_at, out.n) is not sent yet. */
    struct sx_buf out;
    uint64_t out_at;
    struct sx_arena arena;
    struct sx_op op;
    struct rest_dec dec;
    struct sx_docb *own_docb; /* of bodies decoded on the pool */
    struct sx_task task;
    int32_t decoded;    /* result of the decoder on the pool */
    uint32_t in_flight; /* REST_AT_*: may not be touched by the connection, 0 = may */
    uint64_t gap_at;    /* where the space for the answer's head begins in out */
};

/* Bytes of answers not sent yet. */
static inline uint64_t rest_pending(const struct rest_conn *c)
{
    return c->r != NULL ? c->r->out.n - c->r->out_at : 0;
}

/* plugin.c */
extern const struct sx_transport_ops rest_transport_ops;

/* listen.c */
int rest_listen(void *self, void *th, struct sx_loop *loop, struct sx_err *err);
void rest_stop_accepting(void *self, void *th);
void rest_accept_again(struct rest_thread *th);

/* conn.c */
void rest_conn_open(struct rest_thread *th, int32_t fd, const char *peer);
/* Goes on after something happened outside an I/O event: an answer, a decoded body. */
void rest_conn_resume(struct rest_conn *c);
/* The tick: time outs, the date, the listener. */
void rest_tick(void *arg);
void rest_tick_start(struct rest_thread *th);
void rest_close_idle(struct rest_thread *th);
void rest_thread_close(struct rest_thread *th); /* every connection, whatever its state */

/* step.c */
int rest_step(struct rest_conn *c);
/* The request at work is answered; the buffer moves on to the next one. */
void rest_step_finish(struct rest_conn *c);
/* Answers with a bare status and ends the connection: what was read is no request. */
void rest_step_refuse(struct rest_conn *c, int status);
/* Bytes of the current request's body that are not read yet; REST_NEVER when chunked. */
uint64_t rest_body_left(const struct rest_req *r);

/* pool.c: requests of a loop */
struct rest_req *rest_req_take(struct rest_thread *th);
/* Its arena is left as it is until the request is taken again or rest_req_trim() is called. */
void rest_req_give(struct rest_req *r);
void rest_req_reset(struct rest_req *r); /* before each request: arena, operation */
void rest_req_drop_identity(struct rest_req *r);
/* Room for n more bytes behind in_n; 0 or SX_ENOMEM. Moves the unconsumed bytes to the front. */
int rest_req_room(struct rest_req *r, uint64_t n);
void rest_req_trim(struct rest_thread *th, uint32_t keep); /* frees all spares but so many */

/* request.c: life of one request */
/* The head is there. Returns 1 when it was answered already, 0 when the body is wanted. */
int rest_request_head(struct rest_req *r);
/* The body is there. The answer may be written before this returns (then in_flight is 0). */
void rest_request_body(struct rest_req *r);
/* The largest body a request may have. */
uint64_t rest_request_limit(const struct rest_req *r);
void rest_request_too_large(struct rest_req *r);
/* The client is gone: the operation need not be finished. */
void rest_request_cancel(struct rest_req *r);

/* reply.c: answers into r->out */
void rest_reply_open(struct rest_req *r); /* then append the body to r->out */
void rest_reply_close(struct rest_req *r, int status, const char *type, struct sx_str headers);
void rest_reply_status(struct rest_req *r, int status); /* without a body */
void rest_reply_text(struct rest_req *r, int status, const char *type, struct sx_str text);
/* The error envelope; code SX_E*, text without its prefix. timed: 0 prints "time":0.0. */
void rest_reply_error(struct rest_req *r, int code, struct sx_str text, int timed);
/* The same with the whole text given. */
void rest_reply_full_error(struct rest_req *r, int status, struct sx_str text);
void rest_reply_continue(struct rest_req *r); /* 100 */
void rest_date(struct rest_thread *th);
/* An operation's reply, in its envelope. */
void rest_reply_op(struct rest_req *r, const struct sx_op *op, const struct sx_reply *reply);

/* encode.c: the value of "result" */
void rest_encode(struct sx_buf *b, const struct sx_op *op, const struct sx_reply *reply);

/* cors.c */
#define REST_CORS_VARY                                                                             \
    "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
/* Answers a preflight request and returns 1, else 0. */
int rest_cors_preflight(struct rest_req *r);
/* Header lines for any answer, at most 512 bytes. Returns the length. */
uint32_t rest_cors_headers(const struct rest_req *r, char *out);

/* web.c: mounts of other modules */
int rest_web_init(struct rest *self, struct sx_err *err);
/* NULL when no mount has the path. */
const struct rest_web *
rest_web_find(const struct rest *self, const struct sx_str *segments, uint32_t n);
void rest_web_serve(struct rest_req *r,
                    const struct rest_web *w,
                    const struct sx_str *segments,
                    uint32_t n);
/* GET /metrics through an exporter when no mount has it: 1 = answered. */
int rest_web_export(struct rest_req *r, const char *exporter);

#endif
