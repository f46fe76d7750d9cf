/* Strands: serial queues over the CPU pool.
 *
 * A strand is itself one task of the pool. It is submitted when its queue stops being empty and
 * submits itself again while it has work, so its tasks never run two at a time and what one did is
 * seen by the next. A turn runs at most BATCH tasks: a shard under a flood of upserts then goes
 * back to the end of the writers' queue and lets the others have their turn. */
#include "check.h"
#include "exec.h"
#include "lock.h"
#include "panic.h"

#define BATCH 32

struct sx_strand {
    struct sx_task task; /* the strand in the pool's queue; in use while is_scheduled */
    const struct sx_host *owner;
    uint32_t cls, pad;

    /* Guarded by lock. */
    struct sx_lock lock;
    struct sx_task *head, **tail;
    int is_scheduled, is_dead;
};

static void strand_free(struct sx_strand *s)
{
    const struct sx_mem *mem = s->owner->mem;

    sx_lock_fini(&s->lock);
    mem->release(mem, s);
}

static void strand_run(struct sx_task *self, struct sx_worker *w)
{
    struct sx_strand *s = self->arg;
    const char *before = sx_panic_note(s->owner->module);
    int is_last = 0;

    for (uint32_t i = 0; i <= BATCH && !is_last; i++) {
        sx_lock_take(&s->lock);
        struct sx_task *t = s->head;
        if (!t) {
            s->is_scheduled = 0;
            is_last = 1 + s->is_dead;
        } else if (i < BATCH) {
            s->head = t->next;
            if (!s->head)
                s->tail = &s->head;
        }
        sx_lock_give(&s->lock);
        if (t && i < BATCH)
            t->fn(t, w);
    }
    sx_panic_note(before);
    if (is_last == 0)
        sx_exec_table()->submit(&s->task, s->cls);
    else if (is_last == 2)
        strand_free(s); /* nobody else knows it any more */
}

struct sx_strand *sx_strand_create(const struct sx_host *owner, uint32_t cls)
{
    struct sx_strand *s = owner->mem->zalloc(owner->mem, sizeof(*s));

    if (!s)
        return NULL;
    s->task.fn = strand_run;
    s->task.arg = s;
    s->owner = owner;
    s->cls = cls;
    sx_lock_init(&s->lock, SX_RANK_STRAND);
    s->tail = &s->head;
    return s;
}

void sx_strand_post(struct sx_strand *s, struct sx_task *t)
{
    t->next = NULL;
    sx_lock_take(&s->lock);
    *s->tail = t;
    s->tail = &t->next;
    int was_scheduled = s->is_scheduled;
    s->is_scheduled = 1;
    sx_lock_give(&s->lock);
    if (!was_scheduled)
        sx_exec_table()->submit(&s->task, s->cls);
}

void sx_strand_destroy(struct sx_strand *s)
{
    if (!s)
        return;
    sx_lock_take(&s->lock);
    SX_ASSERT(!s->is_dead);
    s->is_dead = 1;
    int is_busy = s->is_scheduled;
    sx_lock_give(&s->lock);
    if (!is_busy)
        strand_free(s);
}
