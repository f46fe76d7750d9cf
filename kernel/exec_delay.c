/* Delayed tasks: a binary heap by due time.
 *
 * Adding may need memory but cannot fail, because a task is all the caller has. Without memory the
 * task goes to a list whose members all wait for the latest of them: a task may come late, never
 * early, and none is lost. Growing happens under the caller's lock, once per doubling. */
#include "exec_priv.h"
#include "mem.h"

void sx_delay_init(struct sx_delay *d)
{
    *d = (struct sx_delay){.heap = NULL};
    sx_queue_init(&d->late);
}

void sx_delay_fini(struct sx_delay *d)
{
    const struct sx_mem *mem = sx_mem_kernel();

    mem->release(mem, d->heap);
    sx_delay_init(d);
}

static int heap_grow(struct sx_delay *d)
{
    const struct sx_mem *mem = sx_mem_kernel();
    uint32_t cap = d->cap ? d->cap * 2 : 64;
    struct sx_delay_entry *h = mem->resize(mem, d->heap, (uint64_t)cap * sizeof(*h));

    if (!h)
        return -1;
    d->heap = h;
    d->cap = cap;
    return 0;
}

void sx_delay_add(struct sx_delay *d, uint64_t due, struct sx_task *t)
{
    uint32_t i;

    if (d->n == d->cap && heap_grow(d) != 0) {
        if (d->late.n == 0 || due > d->late_due)
            d->late_due = due;
        sx_queue_push(&d->late, t);
        return;
    }
    for (i = d->n++; i > 0 && d->heap[(i - 1) / 2].due > due; i = (i - 1) / 2)
        d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = (struct sx_delay_entry){due, t};
}

uint64_t sx_delay_next(const struct sx_delay *d)
{
    uint64_t due = d->n > 0 ? d->heap[0].due : UINT64_MAX;

    return d->late.n > 0 && d->late_due < due ? d->late_due : due;
}

static struct sx_task *heap_pop(struct sx_delay *d)
{
    struct sx_task *t = d->heap[0].task;
    struct sx_delay_entry last = d->heap[--d->n];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= d->n)
            break;
        if (child + 1 < d->n && d->heap[child + 1].due < d->heap[child].due)
            child++;
        if (d->heap[child].due >= last.due)
            break;
        d->heap[i] = d->heap[child];
        i = child;
    }
    if (d->n > 0)
        d->heap[i] = last;
    return t;
}

struct sx_task *sx_delay_take(struct sx_delay *d, uint64_t now)
{
    if (d->n > 0 && d->heap[0].due <= now)
        return heap_pop(d);
    if (d->late.n > 0 && d->late_due <= now)
        return sx_queue_pop(&d->late);
    return NULL;
}
