/* The fake host's sx.exec and sx.epoch.
 *
 * All tasks (CPU, blocking, strands) go through one queue in the order they were submitted, so a
 * strand's tasks never run two at a time for a simple reason. Without SX_FAKE_THREAD the queue is
 * run by whoever submits first; tasks submitted meanwhile are run by the same loop afterwards,
 * never from inside submit. Delayed tasks wait for sx_fake_host_tick(): time in tests is what the
 * test says. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

struct delayed {
    struct delayed *next;
    struct sx_task *task;
    uint64_t due;
};

struct retired {
    struct retired *next;
    void (*fn)(void *arg);
    void *arg;
};

struct sx_strand {
    uint32_t unused;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct sx_task *head, *tail;
    struct delayed *delayed;
    uint64_t now_ms;
    uint32_t is_running, has_thread, is_ending, pad;
    struct sx_worker worker;
    void *scratch;
    uint64_t scratch_n;
} ex = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct {
    pthread_mutex_t lock;
    uint32_t n_inside, pad;
    struct retired *head, **tail;
} ep = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *worker_scratch(struct sx_worker *w, uint64_t n)
{
    (void)w;
    if (n > ex.scratch_n) {
        void *p = aligned_alloc(64, (n + 63) / 64 * 64);
        if (p == NULL)
            return NULL;
        free(ex.scratch);
        ex.scratch = p;
        ex.scratch_n = n;
    }
    return ex.scratch;
}

/* Runs what is queued; called and left with the lock held. */
static void run_queue(void)
{
    ex.is_running = 1;
    while (ex.head != NULL) {
        struct sx_task *t = ex.head;
        ex.head = t->next;
        t->next = NULL;
        pthread_mutex_unlock(&ex.lock);
        t->fn(t, &ex.worker);
        pthread_mutex_lock(&ex.lock);
    }
    ex.is_running = 0;
    pthread_cond_broadcast(&ex.changed);
}

static void *worker_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&ex.lock);
    while (!ex.is_ending || ex.head != NULL) {
        if (ex.head != NULL)
            run_queue();
        else
            pthread_cond_wait(&ex.changed, &ex.lock);
    }
    pthread_mutex_unlock(&ex.lock);
    return NULL;
}

static void push(struct sx_task *t)
{
    pthread_mutex_lock(&ex.lock);
    t->next = NULL;
    if (ex.head == NULL)
        ex.head = t;
    else
        ex.tail->next = t;
    ex.tail = t;
    if (ex.has_thread)
        pthread_cond_broadcast(&ex.changed);
    else if (!ex.is_running)
        run_queue();
    pthread_mutex_unlock(&ex.lock);
}

static uint32_t exec_one(void)
{
    return 1;
}

static struct sx_worker *exec_self(void)
{
    return &ex.worker;
}

static void exec_submit(struct sx_task *t, uint32_t cls)
{
    (void)cls;
    push(t);
}

static void exec_blocking(struct sx_task *t)
{
    push(t);
}

static void exec_delay(struct sx_task *t, uint32_t ms)
{
    struct delayed *d = malloc(sizeof(*d));
    if (d == NULL)
        abort(); /* the contract is that delay never fails */
    pthread_mutex_lock(&ex.lock);
    *d = (struct delayed){ex.delayed, t, ex.now_ms + ms};
    ex.delayed = d;
    pthread_mutex_unlock(&ex.lock);
}

static struct sx_strand *strand_create(const struct sx_host *owner, uint32_t cls)
{
    (void)owner;
    (void)cls;
    return calloc(1, sizeof(struct sx_strand));
}

static void strand_post(struct sx_strand *s, struct sx_task *t)
{
    (void)s;
    push(t);
}

static void strand_destroy(struct sx_strand *s)
{
    free(s);
}

const struct sx_exec sx_fake__exec = {
    .size = (uint32_t)sizeof(struct sx_exec),
    .n_workers = exec_one,
    .n_cpus = exec_one,
    .self = exec_self,
    .submit = exec_submit,
    .blocking = exec_blocking,
    .delay = exec_delay,
    .strand_create = strand_create,
    .strand_post = strand_post,
    .strand_destroy = strand_destroy,
};

int sx_fake__exec_init(uint32_t flags)
{
    ex.head = ex.tail = NULL;
    ex.delayed = NULL;
    ex.now_ms = 0;
    ex.is_running = ex.is_ending = 0;
    ex.has_thread = (flags & SX_FAKE_THREAD) != 0;
    ex.worker = (struct sx_worker){.size = (uint32_t)sizeof(ex.worker), .scratch = worker_scratch};
    ep.n_inside = 0;
    ep.head = NULL;
    ep.tail = &ep.head;
    if (ex.has_thread && pthread_create(&ex.thread, NULL, worker_main, NULL) != 0)
        return SX_ENOMEM;
    return SX_OK;
}

void sx_fake__exec_fini(void)
{
    sx_fake_host_idle();
    if (ex.has_thread) {
        pthread_mutex_lock(&ex.lock);
        ex.is_ending = 1;
        pthread_cond_broadcast(&ex.changed);
        pthread_mutex_unlock(&ex.lock);
        pthread_join(ex.thread, NULL);
        ex.has_thread = 0;
    }
    while (ex.delayed != NULL) {
        struct delayed *d = ex.delayed;
        ex.delayed = d->next;
        free(d);
    }
    free(ex.scratch);
    ex.scratch = NULL;
    ex.scratch_n = 0;
}

void sx_fake_host_idle(void)
{
    pthread_mutex_lock(&ex.lock);
    while (ex.has_thread && (ex.head != NULL || ex.is_running))
        pthread_cond_wait(&ex.changed, &ex.lock);
    pthread_mutex_unlock(&ex.lock);
    sx_fake__epoch.poll();
}

/* Takes the task that is due first, NULL when none is. */
static struct sx_task *take_due(void)
{
    struct delayed **best = NULL;
    for (struct delayed **d = &ex.delayed; *d != NULL; d = &(*d)->next)
        if ((*d)->due <= ex.now_ms && (best == NULL || (*d)->due <= (*best)->due))
            best = d;
    if (best == NULL)
        return NULL;
    struct delayed *d = *best;
    struct sx_task *t = d->task;
    *best = d->next;
    free(d);
    return t;
}

void sx_fake_host_tick(uint32_t ms)
{
    pthread_mutex_lock(&ex.lock);
    ex.now_ms += ms;
    struct sx_task *t;
    while ((t = take_due()) != NULL) {
        pthread_mutex_unlock(&ex.lock);
        push(t);
        pthread_mutex_lock(&ex.lock);
    }
    pthread_mutex_unlock(&ex.lock);
    sx_fake_host_idle();
}

/* --- sx.epoch --- */

static void epoch_enter(void)
{
    pthread_mutex_lock(&ep.lock);
    ep.n_inside++;
    pthread_mutex_unlock(&ep.lock);
}

static void epoch_poll(void)
{
    pthread_mutex_lock(&ep.lock);
    while (ep.n_inside == 0 && ep.head != NULL) {
        struct retired *r = ep.head;
        ep.head = r->next;
        if (ep.head == NULL)
            ep.tail = &ep.head;
        pthread_mutex_unlock(&ep.lock);
        r->fn(r->arg);
        free(r);
        pthread_mutex_lock(&ep.lock);
    }
    pthread_mutex_unlock(&ep.lock);
}

static void epoch_leave(void)
{
    pthread_mutex_lock(&ep.lock);
    ep.n_inside--;
    pthread_mutex_unlock(&ep.lock);
}

static void epoch_retire(void (*fn)(void *arg), void *arg)
{
    struct retired *r = malloc(sizeof(*r));
    if (r == NULL)
        abort(); /* retire cannot fail, and freeing early would be worse */
    *r = (struct retired){NULL, fn, arg};
    pthread_mutex_lock(&ep.lock);
    *ep.tail = r;
    ep.tail = &r->next;
    pthread_mutex_unlock(&ep.lock);
}

const struct sx_epoch sx_fake__epoch = {
    (uint32_t)sizeof(struct sx_epoch), 0, epoch_enter, epoch_leave, epoch_retire, epoch_poll,
};

void sx_fake__epoch_fini(void)
{
    epoch_poll();
}
