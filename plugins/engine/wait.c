/* Limits of waiting; see wait.h. */
#include "wait.h"

#include "catalog.h"

#include "sextant/sx_ban.h"

#define LOOK_MS 250u

/* With the shard's lock held: moves what is overdue from one list to another. *end, when given, is
 * the list's tail pointer. Returns 1 when somebody goes on waiting. */
static int
take_overdue(struct eng_call **list, struct eng_call ***end, struct eng_call **out, uint64_t now)
{
    int rest = 0;
    struct eng_call *c;
    while ((c = *list) != NULL) {
        if (c->op->deadline_ns == 0 || c->op->deadline_ns > now) {
            list = &c->next;
            rest = 1;
            continue;
        }
        *list = c->next;
        c->next = *out;
        *out = c;
    }
    if (end)
        *end = list;
    return rest;
}

static void answer(struct eng_call *c)
{
    if (c->reply.kind == SX_R_UPDATES) {
        struct sx_update *u = (struct sx_update *)(uintptr_t)c->reply.u.updates.list;
        for (uint32_t i = 0; i < c->reply.u.updates.n; i++)
            u[i].status = SX_UPDATE_WAIT_TIMEOUT;
    } else {
        c->reply.u.update.status = SX_UPDATE_WAIT_TIMEOUT;
    }
    eng_call_finish(c);
}

struct look {
    uint64_t now;
    uint32_t rest, pad;
};

static void look_at(void *arg, struct eng_collection *col)
{
    struct look *l = arg;
    struct eng_shard *s = col->shard;
    struct eng_call *late = NULL, *next;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    l->rest |= (uint32_t)take_overdue(&s->unsynced, &s->unsynced_end, &late, l->now);
    l->rest |= (uint32_t)take_overdue(&s->field_waiting, NULL, &late, l->now);
    l->rest |= (uint32_t)take_overdue(&s->shown_waiting, NULL, &late, l->now);
    pthread_mutex_unlock(&s->lock);
    for (; late; late = next) {
        next = late->next;
        answer(late);
    }
}

static void look_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng *e = task->arg;
    struct look l = {e->time->mono_ns(), 0, 0};
    (void)w;
    /* pairs with the exchange in eng_wait_begun(): whoever waits from here on arms again */
    atomic_store_explicit(&e->wait_armed, 0, memory_order_seq_cst);
    eng_catalog_each(e->catalog, look_at, &l);
    if (l.rest)
        eng_wait_begun(e);
}

void eng_wait_begun(struct eng *e)
{
    if (atomic_load_explicit(&e->wait_armed, memory_order_relaxed) ||
        atomic_exchange_explicit(&e->wait_armed, 1, memory_order_seq_cst))
        return;
    e->wait_task.fn = look_run;
    e->wait_task.arg = e;
    e->exec->delay(&e->wait_task, LOOK_MS);
}

void eng_wait_hidden(struct eng_shard *s, struct eng_call *c)
{
    pthread_mutex_lock(&s->lock);
    c->next = s->shown_waiting;
    s->shown_waiting = c;
    pthread_mutex_unlock(&s->lock);
    eng_wait_begun(s->eng);
    eng_committer_due(s->eng->committer, s); /* what waits to be shown is durable meanwhile */
    eng_checkpoint_consider(s);
}

void eng_wait_shown(struct eng_shard *s)
{
    struct eng_call *c, *next;
    pthread_mutex_lock(&s->lock);
    c = s->shown_waiting;
    s->shown_waiting = NULL;
    pthread_mutex_unlock(&s->lock);
    for (; c; c = next) {
        next = c->next;
        c->next = NULL;
        eng_shard_written(s, c, 1);
    }
}
