/* The committer: one fdatasync answers every waiting operation of a shard.
 *
 * A shard that has calls to be made durable is put on a list; one task on the blocking pool works
 * the list until it is empty. While it syncs one shard, others (and later operations of the same)
 * queue up and share the next sync, so the rate of acknowledged operations grows with load instead
 * of being one per sync. With log_sync: interval nobody waits; the list is worked off when the
 * interval has passed. Only one thread syncs: two would take turns on the same disk. */
#include "shard.h"

#include "sextant/sx_ban.h"

struct eng_committer {
    struct eng *eng;
    pthread_mutex_t lock;
    struct eng_shard *due, **due_end;
    uint32_t running;
    uint32_t delay_ms; /* 0: sync at once */
    struct sx_task task, delayed;
};

static void finish_synced(struct eng_shard *s, int rc, const struct sx_err *err)
{
    uint64_t synced = eng_wal_synced(s->wal);
    struct eng_call *done = NULL, **end = &done, *next;
    pthread_mutex_lock(&s->lock);
    while (s->unsynced && (rc != 0 || s->unsynced->number <= synced)) {
        struct eng_call *c = s->unsynced;
        s->unsynced = c->next;
        c->next = NULL;
        *end = c;
        end = &c->next;
    }
    if (!s->unsynced)
        s->unsynced_end = &s->unsynced;
    pthread_mutex_unlock(&s->lock);
    for (struct eng_call *c = done; c; c = next) {
        next = c->next;
        if (c->number > synced) {
            c->err = *err;
            eng_call_fail_err(c);
        } else {
            eng_call_finish(c);
        }
    }
}

static void commit_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_committer *c = task->arg;
    (void)w;
    for (;;) {
        pthread_mutex_lock(&c->lock);
        struct eng_shard *s = c->due;
        if (!s) {
            c->running = 0;
            pthread_mutex_unlock(&c->lock);
            return;
        }
        c->due = s->commit_next;
        if (!c->due)
            c->due_end = &c->due;
        s->commit_next = NULL;
        s->commit_queued = 0; /* what is appended from here on queues the shard again */
        pthread_mutex_unlock(&c->lock);

        struct sx_err err = SX_ERR_INIT;
        int rc = eng_wal_sync(s->wal, &err);
        if (rc != 0)
            eng_shard_stop_writes(s, &err);
        finish_synced(s, rc, &err);
        eng_shard_release(s);
        eng_shard_unref(s);
    }
}

static void delay_over(struct sx_task *task, struct sx_worker *w)
{
    struct eng_committer *c = task->arg;
    (void)w;
    c->eng->exec->blocking(&c->task);
}

int eng_committer_create(struct eng *e, struct eng_committer **out)
{
    struct eng_committer *c = e->mem->zalloc(e->mem, sizeof(*c));
    if (!c)
        return SX_ENOMEM;
    c->eng = e;
    c->due_end = &c->due;
    c->task.fn = commit_run;
    c->task.arg = c;
    c->delayed.fn = delay_over;
    c->delayed.arg = c;
    if (e->conf->log_sync[0] == 'i')
        c->delay_ms = (uint32_t)e->conf->log_sync_ms;
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return 0;
}

void eng_committer_destroy(struct eng_committer *c)
{
    /* What an interval had put off: the last checkpoint has made it durable. */
    for (struct eng_shard *s = c->due, *next; s; s = next) {
        next = s->commit_next;
        eng_shard_unref(s);
    }
    pthread_mutex_destroy(&c->lock);
    c->eng->mem->release(c->eng->mem, c);
}

void eng_committer_due(struct eng_committer *c, struct eng_shard *s)
{
    int start = 0;
    pthread_mutex_lock(&c->lock);
    if (!s->commit_queued) {
        s->commit_queued = 1;
        eng_shard_ref(s);
        /* The strand calls us: the shard is open, so this hold needs no look at the state. */
        atomic_fetch_add_explicit(&s->users, 1, memory_order_seq_cst);
        *c->due_end = s;
        c->due_end = &s->commit_next;
        start = !c->running;
        c->running = 1;
    }
    pthread_mutex_unlock(&c->lock);
    if (start && c->delay_ms)
        c->eng->exec->delay(&c->delayed, c->delay_ms);
    else if (start)
        c->eng->exec->blocking(&c->task);
}
