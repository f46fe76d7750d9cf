/* Requests of a loop: taken when bytes arrive, given back when the answer is written.
 *
 * Last given is first taken, so that a loop with few connections at work stays in warm memory. Each
 * keeps buffers of up to KEEP bytes; the tick frees what a burst has left behind.
 *
 * Thread: the loop's own. */
#include <string.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define KEEP     131072u
#define IN_FIRST 16384u

static void destroy(struct rest_req *r)
{
    const struct sx_mem *mem = r->th->self->mem;

    sx_arena_fini(&r->arena);
    sx_buf_fini(&r->out);
    mem->release(mem, r->in);
    mem->release(mem, r);
}

struct rest_req *rest_req_take(struct rest_thread *th)
{
    const struct sx_mem *mem = th->self->mem;
    struct rest_req *r = th->spare;

    if (r != NULL) {
        th->spare = r->next;
        th->n_spare--;
    } else {
        r = mem->zalloc(mem, sizeof(*r));
        if (r == NULL)
            return NULL;
        r->th = th;
        sx_arena_init(&r->arena, mem, 0);
        sx_buf_init(&r->out, mem);
    }
    r->next = NULL;
    r->in_n = r->in_at = r->seen = 0;
    r->out.n = r->out_at = 0;
    r->in_flight = 0;
    return r;
}

void rest_req_give(struct rest_req *r)
{
    struct rest_thread *th = r->th;
    const struct sx_mem *mem = th->self->mem;

    r->conn = NULL;
    rest_req_drop_identity(r);
    if (r->in_cap > KEEP) {
        mem->release(mem, r->in);
        r->in = NULL;
        r->in_cap = 0;
    }
    if (r->out.cap > KEEP || r->out.failed) {
        sx_buf_fini(&r->out);
        sx_buf_init(&r->out, mem);
    }
    /* The arena is left alone: the operation that was answered may still be on the stack. */
    r->next = th->spare;
    th->spare = r;
    th->n_spare++;
}

void rest_req_drop_identity(struct rest_req *r)
{
    if (r->op.identity != NULL)
        r->th->self->req->release(r->op.identity);
    r->op.identity = NULL;
}

void rest_req_reset(struct rest_req *r)
{
    rest_req_drop_identity(r);
    sx_arena_reset(&r->arena);
    r->arena.limit = 0;
    memset(&r->op, 0, sizeof(r->op));
    r->op.size = (uint32_t)sizeof(r->op);
    r->op.arena = &r->arena;
    r->op.collection.p = r->op.name.p = "";
}

/* Called from the tick: gives memory back that nothing has asked for since. */
void rest_req_trim(struct rest_thread *th, uint32_t keep)
{
    struct rest_req **at = &th->spare;
    uint32_t i = 0;

    while (*at != NULL) {
        struct rest_req *r = *at;

        if (i++ < keep) {
            if (r->arena.used > KEEP)
                sx_arena_reset(&r->arena);
            at = &r->next;
            continue;
        }
        *at = r->next;
        th->n_spare--;
        destroy(r);
    }
}

/* The parts of a parsed head and of the operation that point into the receive buffer. */
#define N_PARTS (6 + REST_H__N)
static void parts(struct rest_req *r, struct sx_str *out[N_PARTS])
{
    struct sx_str *list[] = {&r->head.method_text, &r->head.target,   &r->head.path,
                             &r->head.query,       &r->op.collection, &r->op.name};
    uint32_t n = 0;

    for (; n < SX_COUNT(list); n++)
        out[n] = list[n];
    for (uint32_t i = 0; i < REST_H__N; i++)
        out[n++] = &r->head.h[i];
}

/* Moves the unconsumed bytes to the front of a buffer of `cap` bytes, the old one or a new one. */
static int move(struct rest_req *r, uint64_t cap)
{
    const struct sx_mem *mem = r->th->self->mem;
    uint64_t offset[N_PARTS], n = r->in_n - r->in_at;
    struct sx_str *part[N_PARTS];
    char *to = r->in;

    parts(r, part);
    for (uint32_t i = 0; i < N_PARTS; i++) {
        offset[i] = UINT64_MAX;
        if (r->in != NULL && (uintptr_t)part[i]->p >= (uintptr_t)r->in + r->in_at &&
            (uintptr_t)part[i]->p <= (uintptr_t)r->in + r->in_n)
            offset[i] = (uint64_t)((uintptr_t)part[i]->p - (uintptr_t)r->in - r->in_at);
    }
    if (r->in_at != 0 && n != 0)
        memmove(r->in, r->in + r->in_at, n);
    if (cap != r->in_cap) {
        to = mem->resize(mem, r->in, cap);
        if (to == NULL)
            to = r->in;
        else
            r->in_cap = cap;
    }
    r->in = to;
    r->in_at = 0;
    r->in_n = n;
    for (uint32_t i = 0; i < N_PARTS; i++)
        if (offset[i] != UINT64_MAX)
            part[i]->p = to + offset[i];
    return r->in_cap == cap ? SX_OK : SX_ENOMEM;
}

int rest_req_room(struct rest_req *r, uint64_t n)
{
    uint64_t used = r->in_n - r->in_at, cap = r->in_cap != 0 ? r->in_cap : IN_FIRST;

    if (used == 0)
        r->in_n = r->in_at = 0;
    if (r->in_cap - r->in_n >= n)
        return SX_OK;
    while (cap - used < n)
        cap *= 2;
    return move(r, cap);
}
