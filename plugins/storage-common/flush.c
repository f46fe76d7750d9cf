/* Making a set durable.
 *
 * The writer says what has to be synced (the dirty list, whether the directory has new entries) and
 * up to which mark that counts; a thread of the blocking pool does it while the writer goes on
 * appending. The two share no field: the list is handed over whole, and a file that becomes dirty
 * again meanwhile is linked through its other link.
 *
 * After a failed fsync the kernel may have dropped the pages it could not write and will report
 * success the next time, so asking again proves nothing. The failure is kept and every later flush
 * of this store answers with it; what is really on disk is found out by opening it again.
 *
 * Order: data and checksums, then the directory, then the mark. The fdatasync of a file covers its
 * length too. */
#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

void store_set_dirty(struct store_set *s, struct store_file *f)
{
    if (f->dirty)
        return;
    f->dirty = 1;
    store_file_ref(f);
    f->dirty_next[s->flip] = s->dirty;
    s->dirty = f;
}

static int flush_sync(struct store_set *s, struct sx_err *err)
{
    struct store_file *f;
    char name[STORE_FILE_NAME];
    int rc;

    for (f = s->job; f; f = f->dirty_next[s->job_flip]) {
        rc = f->flush_fd ? s->io->datasync(f->flush_fd, err) : SX_OK;
        if (!rc && f->flush_side)
            rc = s->io->datasync(f->flush_side, err);
        if (rc) {
            store_set_name(s, f->number, 0, name);
            return sx_err_wrap(err, "%s", name);
        }
    }
    return s->job_dir ? s->io->dir_sync(s->dir, err) : SX_OK;
}

/* Sealed files are never written again: their descriptors go, the mapping stays. (The writer does
 * not look at a sealed file's descriptors any more, so they are ours to close.) */
static void flush_close(struct store_set *s, struct store_file *f)
{
    if (!f->flush.sealed)
        return;
    if (f->fd)
        s->io->close(f->fd);
    if (f->side)
        s->io->close(f->side);
    f->fd = f->side = NULL;
}

static void flush_run(struct sx_task *t, struct sx_worker *w)
{
    struct store_set *s = t->arg;
    struct sx_err err = SX_ERR_INIT;
    struct store_mark mark = s->job_mark;
    int rc = s->failed.code;

    (void)w;
    if (rc) {
        err = s->failed;
    } else {
        rc = flush_sync(s, &err);
        if (rc) {
            (void)sx_err_set(&s->failed, rc, "after a failed sync: %s", err.msg);
        } else {
            pthread_mutex_lock(&s->lock);
            for (struct store_file *f = s->job; f; f = f->dirty_next[s->job_flip])
                f->durable = f->flush;
            pthread_mutex_unlock(&s->lock);
        }
    }
    while (s->job) {
        struct store_file *f = s->job;

        s->job = f->dirty_next[s->job_flip];
        if (!rc)
            flush_close(s, f);
        store_file_unref(f);
    }
    s->finish(s, rc, &mark, &err);
}

int store_set_claim(struct store_set *s)
{
    /* acquire: pairs with store_set_unclaim(); the job's fields are ours again */
    return atomic_exchange_explicit(&s->flushing, 1, memory_order_acquire) ? SX_EPRECOND : SX_OK;
}

void store_set_unclaim(struct store_set *s)
{
    atomic_store_explicit(&s->flushing, 0, memory_order_release); /* pairs with store_set_claim() */
}

void store_set_flush(struct store_set *s,
                     const struct store_mark *mark,
                     void (*finish)(struct store_set *s,
                                    int rc,
                                    const struct store_mark *mark,
                                    const struct sx_err *err))
{
    struct store_file *f;

    s->job = s->dirty;
    s->job_flip = s->flip;
    s->dirty = NULL;
    s->flip ^= 1;
    for (f = s->job; f; f = f->dirty_next[s->job_flip]) {
        f->dirty = 0;
        f->flush.bytes = atomic_load_explicit(&f->bytes, memory_order_relaxed);
        f->flush.tail_crc = f->crc;
        f->flush.sealed = f->sealed;
        f->flush_fd = f->fd;
        f->flush_side = f->side;
    }
    s->job_dir = s->dir_dirty;
    s->dir_dirty = 0;
    s->job_mark = *mark;
    s->finish = finish;
    s->task.fn = flush_run;
    s->task.next = NULL;
    s->task.arg = s;
    s->m->exec->blocking(&s->task);
}
