/* Listening sockets: one per loop on one port (SO_REUSEPORT), so that the kernel spreads
 * connections and no loop waits for another.
 *
 * SO_REUSEPORT would let a second server of the same user share the port silently, so the first
 * loop first binds without it to find out whether somebody is there.
 *
 * Thread: each function runs on the loop it is called for. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define BACKLOG    1024
#define ACCEPT_MAX 64u /* per event */

/* A bound socket for the address, -1 with errno. */
static int32_t bind_to(const struct addrinfo *a, uint32_t port, int reuse_port)
{
    struct sockaddr_storage addr;
    int32_t fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, saved;

    if (fd < 0)
        return -1;
    memcpy(&addr, a->ai_addr, a->ai_addrlen);
    if (a->ai_family == AF_INET)
        ((struct sockaddr_in *)(void *)&addr)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)(void *)&addr)->sin6_port = htons((uint16_t)port);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)(const void *)&addr, a->ai_addrlen) == 0)
        return fd;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static uint32_t port_of(int32_t fd)
{
    struct sockaddr_storage addr;
    socklen_t n = sizeof(addr);

    if (getsockname(fd, (struct sockaddr *)(void *)&addr, &n) != 0)
        return 0;
    return addr.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)(void *)&addr)->sin_port)
                                     : ntohs(((struct sockaddr_in6 *)(void *)&addr)->sin6_port);
}

static int fail(struct sx_err *err, int code, int number, const char *text)
{
    return sx_err_set(err, code, "Error while starting REST server: %s (os error %d)", text,
                      number);
}

/* Text of the address without port, "-" when it has none. */
static void peer_text(const struct sockaddr_storage *addr, char *out, uint32_t n)
{
    const void *ip = NULL;

    if (addr->ss_family == AF_INET)
        ip = &((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    else if (addr->ss_family == AF_INET6)
        ip = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    if (ip == NULL || inet_ntop(addr->ss_family, ip, out, n) == NULL)
        (void)snprintf(out, n, "-");
}

/* --- spreading ------------------------------------------------------------------------------ */

/* A connection on its way to a loop that has fewer. The kernel spreads by hash: of four connections
 * all may come to one loop. */
struct handoff {
    struct sx_task task;
    struct rest_thread *to;
    int32_t fd;
    char peer[64];
};

static void handoff_task(struct sx_task *t, struct sx_worker *w)
{
    struct handoff *h = t->arg;
    const struct sx_mem *mem = h->to->self->mem;

    (void)w;
    if (h->to->is_draining)
        (void)close(h->fd);
    else
        rest_conn_open(h->to, h->fd, h->peer);
    mem->release(mem, h);
}

/* The loop with the fewest connections, if it has at least two fewer than th. */
static struct rest_thread *emptier(struct rest_thread *th)
{
    struct rest_thread *best = th;
    uint32_t fewest = th->n_conns;

    for (uint32_t i = 0; i < REST_LOOPS_MAX; i++) {
        struct rest_thread *other = __atomic_load_n(&th->self->threads[i], __ATOMIC_ACQUIRE);
        uint32_t n;

        if (other == NULL)
            break;
        n = __atomic_load_n(&other->n_conns, __ATOMIC_RELAXED);
        if (n + 1 < fewest) {
            fewest = n + 1;
            best = other;
        }
    }
    return best;
}

static void place(struct rest_thread *th, int32_t fd, const char *peer)
{
    struct rest_thread *to = emptier(th);
    const struct sx_mem *mem = th->self->mem;
    struct handoff *h = to != th ? mem->alloc(mem, sizeof(*h)) : NULL;

    if (h == NULL) {
        rest_conn_open(th, fd, peer);
        return;
    }
    *h = (struct handoff){.task = {.fn = handoff_task, .arg = h}, .to = to, .fd = fd};
    memcpy(h->peer, peer, sizeof(h->peer));
    th->self->loop->post(to->loop, &h->task);
}

/* --- accepting ------------------------------------------------------------------------------ */

static void on_accept(int32_t fd, uint32_t events, void *arg)
{
    struct rest_thread *th = arg;

    (void)events;
    for (uint32_t i = 0; i < ACCEPT_MAX; i++) {
        struct sockaddr_storage addr;
        socklen_t n = sizeof(addr);
        int32_t conn =
            accept4(fd, (struct sockaddr *)(void *)&addr, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        char peer[64] = "";
        int on = 1;

        if (conn < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (conn < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                /* Out of descriptors or memory: the waiting connection would wake us for ever.
                 * Stop listening until the next tick. */
                th->is_paused = 1;
                (void)th->self->loop->watch_set(th->listener, 0);
                rest_tick_start(th);
            }
            return;
        }
        (void)setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        peer_text(&addr, peer, sizeof(peer));
        place(th, conn, peer);
    }
}

void rest_accept_again(struct rest_thread *th)
{
    th->is_paused = 0;
    if (th->listener != NULL)
        (void)th->self->loop->watch_set(th->listener, SX_EV_READ);
}

static void announce(struct rest *self, uint32_t port)
{
    const struct rest_conf *conf = rest_conf_now(self);

    sx_log(self->host, SX_LOG_INFO, "qdrant::actix", "TLS disabled for REST API");
    sx_log(self->host, SX_LOG_INFO, "qdrant::actix",
           "REST transport settings: keep_alive=%llus, client_request_timeout=%llus, "
           "client_disconnect_timeout=%llus",
           (unsigned long long)conf->keep_alive_s, (unsigned long long)conf->request_s,
           (unsigned long long)conf->disconnect_s);
    sx_log(self->host, SX_LOG_INFO, "qdrant::actix", "Qdrant HTTP listening on %u", port);
}

/* A socket on the configured port; with port 0 on the one another loop has got, if any has. */
static int32_t open_socket(struct rest *self, const struct addrinfo *a, struct sx_err *err)
{
    uint32_t port = (uint32_t)rest_conf_now(self)->port, none = 0;
    int32_t fd;

    if (port != 0 && __atomic_exchange_n(&self->is_probed, 1, __ATOMIC_RELAXED) == 0) {
        fd = bind_to(a, port, 0);
        if (fd < 0) {
            (void)fail(err, SX_EIO, errno, strerror(errno));
            return -1;
        }
        (void)close(fd);
    }
    if (port == 0)
        port = __atomic_load_n(&self->port, __ATOMIC_ACQUIRE);
    fd = bind_to(a, port, 1);
    if (fd >= 0 && port == 0 &&
        !__atomic_compare_exchange_n(&self->port, &none, port_of(fd), 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        (void)close(fd); /* another loop was first; its port is in none now */
        fd = bind_to(a, none, 1);
    }
    if (fd < 0 || listen(fd, BACKLOG) != 0) {
        (void)fail(err, SX_EIO, errno, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return fd;
}

int rest_listen(void *inst, void *thread, struct sx_loop *loop, struct sx_err *err)
{
    struct rest *self = inst;
    struct rest_thread *th = thread;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    uint32_t index = self->loop->index(loop), port;
    int rc = getaddrinfo(rest_conf_now(self)->host, NULL, &hints, &list);

    if (rc != 0 || list == NULL || index >= REST_LOOPS_MAX)
        return sx_err_set(err, SX_EINPUT, "Error while starting REST server: %s: %s",
                          rest_conf_now(self)->host, rc != 0 ? gai_strerror(rc) : "no address");
    th->fd = open_socket(self, list, err);
    freeaddrinfo(list);
    if (th->fd < 0)
        return SX_EIO;
    port = port_of(th->fd);
    th->tick = self->loop->timer(loop, rest_tick, th);
    th->listener = self->loop->watch(loop, th->fd, SX_EV_READ, on_accept, th);
    if (th->tick == NULL || th->listener == NULL) {
        rest_stop_accepting(self, th);
        return sx_err_set(err, SX_ENOMEM, "no memory for the REST listener");
    }
    rest_date(th);
    __atomic_store_n(&self->threads[index], th, __ATOMIC_RELEASE); /* pairs with open_requests */
    if (index == 0)
        announce(self, port);
    return SX_OK;
}

void rest_stop_accepting(void *inst, void *thread)
{
    struct rest *self = inst;
    struct rest_thread *th = thread;

    if (th->listener != NULL)
        self->loop->watch_end(th->listener);
    th->listener = NULL;
    if (th->fd >= 0)
        (void)close(th->fd);
    th->fd = -1;
    th->is_paused = 0;
    if (!th->is_draining) {
        th->is_draining = 1;
        rest_close_idle(th);
    }
}
