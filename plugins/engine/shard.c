/* Shard life: open, waiting calls, publishing, the way of a written call. See shard.h. */
#include <string.h>

#include "catalog.h"
#include "clean.h"
#include "field_work.h"
#include "wait.h"

#include "sextant/sx_ban.h"

static void open_run(struct sx_task *task, struct sx_worker *w);
static void close_run(struct sx_task *task, struct sx_worker *w);

static const struct sx_rows_ops *rops(const struct sx_provider *p)
{
    return p->ops;
}
static const struct sx_blobs_ops *bops(const struct sx_provider *p)
{
    return p->ops;
}

int eng_shard_create(struct eng *e,
                     struct eng_config *config,
                     const struct sx_store_id *id,
                     struct sx_dir *parent,
                     const char *folder,
                     struct eng_shard **out,
                     struct sx_err *err)
{
    struct eng_shard *s = e->mem->zalloc(e->mem, sizeof(*s));
    char *copy = e->mem->alloc(e->mem, strlen(folder) + 1);
    if (!s || !copy) {
        e->mem->release(e->mem, s);
        e->mem->release(e->mem, copy);
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    memcpy(copy, folder, strlen(folder) + 1);
    s->eng = e;
    s->parent = parent;
    s->folder = copy;
    s->config = config;
    s->id = *id;
    s->waiting_end = &s->waiting;
    s->unsynced_end = &s->unsynced;
    s->cause.size = sizeof(s->cause);
    atomic_init(&s->refs, 1);
    atomic_init(&s->state, ENG_CLOSED);
    pthread_mutex_init(&s->lock, NULL);
    s->open_task.fn = open_run;
    s->close_task.fn = close_run;
    *out = s;
    return 0;
}

void eng_shard_ref(struct eng_shard *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void eng_shard_unref(struct eng_shard *s)
{
    /* pairs with itself: the last one sees every earlier holder's writes */
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (atomic_load_explicit(&s->eng->is_stopping, memory_order_acquire))
        close_run(&s->close_task, NULL); /* no pool runs any more */
    else
        s->eng->exec->blocking(&s->close_task); /* unmapping and closing may take a while */
}

struct eng_superseded {
    struct eng_shard *shard;
    struct eng_view *view; /* before publish: room for the next; after: the one before */
    uint32_t chunks, pad;
    struct eng_deaths *deaths;
};

static void close_stores(struct eng_shard *s)
{
    struct eng_table *t = &s->table;
    struct eng_view *v = atomic_load_explicit(&s->view, memory_order_relaxed);
    if (s->wal)
        eng_wal_close(s->wal);
    for (uint32_t i = 0; i < t->n_columns; i++)
        eng_column_close(s, t->columns[i]);
    if (t->rows)
        rops(t->rows_p)->close(t->rows_p->self, t->rows);
    if (t->payload)
        bops(t->blobs_p)->close(t->blobs_p->self, t->payload);
    if (t->ids)
        eng_ids_destroy(t->ids);
    if (t->eng)
        eng_table_fini(t);
    if (t->schema)
        eng_schema_close(s);
    if (v)
        eng_view_destroy(s->eng, v);
    if (s->next_view) {
        if (s->next_view->view)
            eng_view_destroy(s->eng, s->next_view->view);
        s->eng->mem->release(s->eng->mem, s->next_view);
        s->next_view = NULL;
    }
    if (s->wal_dir)
        s->eng->io->dir_close(s->wal_dir);
    if (s->dir)
        s->eng->io->dir_close(s->dir);
    memset(t, 0, sizeof(*t));
    s->wal = NULL;
    s->wal_dir = s->dir = NULL;
    atomic_store_explicit(&s->view, NULL, memory_order_relaxed);
}

static void close_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s =
        (struct eng_shard *)(void *)((char *)task - offsetof(struct eng_shard, close_task));
    struct eng *e = s->eng;
    (void)w;
    int was_open = atomic_load_explicit(&s->state, memory_order_acquire) == ENG_OPEN;
    close_stores(s);
    if (was_open)
        atomic_fetch_sub_explicit(&e->n_open, 1, memory_order_relaxed);
    if (s->strand)
        e->exec->strand_destroy(s->strand);
    e->mem->release(e->mem, s->folder);
    eng_config_destroy(e, (struct eng_config *)(uintptr_t)s->config);
    pthread_mutex_destroy(&s->lock);
    e->mem->release(e->mem, s);
}

/* --- opening -------------------------------------------------------------------------------------
 */

static int replay(void *arg, const struct eng_wal_record *r, struct sx_err *err)
{
    struct eng_shard *s = arg;
    int rc = eng_change_stage(s, r, err);
    if (rc == 0) {
        eng_change_commit(s);
        eng_schema_retire(s);
    }
    return rc;
}

static int open_column(struct eng_shard *s,
                       const struct eng_column_conf *conf,
                       const struct eng_manifest *m,
                       struct sx_err *err)
{
    struct eng_table *t = &s->table;
    uint32_t i = 0;
    while (i < m->n_columns && m->columns[i].id != conf->id)
        i++;
    if (i == m->n_columns || t->columns[conf->slot])
        return sx_err_set(err, SX_ECORRUPT, "manifest: no vector column %u", conf->id);
    if (conf->slot >= t->n_columns)
        t->n_columns = conf->slot + 1;
    return eng_column_restore(s, conf, m, i, &t->columns[conf->slot], err);
}

static int open_tables(struct eng_shard *s, const struct eng_manifest *m, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    t->eng = e;
    eng_units_init(&t->chunks, e->mem);
    eng_units_init(&t->segments, e->mem);
    t->rows_p = e->reg->find(SX_KIND_ROWS, "mmap");
    t->blobs_p = e->reg->find(SX_KIND_BLOBS, "mmap");
    if (!t->rows_p || !t->blobs_p)
        return sx_err_set(err, SX_EUNSUPPORTED, "no loaded module provides storage mmap");
    struct sx_rows_conf rc = {.size = sizeof(rc),
                              .row_size = sizeof(struct eng_row),
                              .align = 8,
                              .id = s->id,
                              .known = m->rows,
                              .absent = m->rows_absent.at,
                              .n_absent = m->rows_absent.n,
                              .n_chunks = m->rows_absent.end};
    int res = rops(t->rows_p)->open(t->rows_p->self, e->io, s->dir, "rows", &rc, &t->rows, err);
    if (res != 0)
        return res;
    struct sx_blobs_conf bc = {.size = sizeof(bc),
                               .segment_bytes = eng_clean_segment_bytes(&m->payload_absent),
                               .id = s->id,
                               .known = {m->payload.bytes, m->payload.tail_crc, 0},
                               .known_segment = m->payload.segment,
                               .absent = m->payload_absent.at,
                               .n_absent = m->payload_absent.n,
                               .n_segments = m->payload_absent.end};
    res = bops(t->blobs_p)->open(t->blobs_p->self, e->io, s->dir, "payload", &bc, &t->payload, err);
    if (res != 0)
        return res;
    res = eng_schema_load(s, m->schema, err);
    const struct eng_config *config = res == 0 ? t->schema->config : NULL;
    if (res == 0 && m->n_columns != config->n_columns)
        return sx_err_set(err, SX_ECORRUPT, "manifest: %u vector columns, the configuration has %u",
                          m->n_columns, config->n_columns);
    for (uint32_t i = 0; res == 0 && i < config->n_columns; i++)
        res = open_column(s, &config->columns[i], m, err);
    return res;
}

static const struct sx_id *row_id(void *ctx, uint32_t row, struct sx_id *tmp)
{
    const struct eng_table *t = ctx;
    struct sx_rows rows;
    rops(t->rows_p)->rows(t->rows_p->self, t->rows, &rows);
    eng_row_id(sx_rows_at(&rows, row), tmp);
    return tmp;
}

static int shard_open(struct eng_shard *s, struct sx_err *err)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    struct eng_manifest m;
    struct sx_dir *outer = NULL;
    int rc = e->io->dir_open(s->parent, s->folder, SX_IO_READ, &outer, err);
    if (rc == 0) {
        rc = e->io->dir_open(outer, "0", SX_IO_READ, &s->dir, err);
        e->io->dir_close(outer);
    }
    if (rc != 0) /* the folder is the collection's own: without it the data is gone */
        return sx_err_set(err, SX_ECORRUPT, "%s/0 cannot be opened", s->folder);
    rc = eng_manifest_read(e, s->dir, &s->id, &m, err);
    if (rc != 0)
        return rc;
    s->checkpoint = m.operation;
    s->generation = m.generation;
    s->moves = s->moves_saved = s->moves_built = 0;
    s->clean_next = 0;
    rc = open_tables(s, &m, err);
    if (rc == 0)
        rc = eng_ids_create(e->mem, e->epoch, row_id, t, &t->ids);
    if (rc == 0)
        rc = eng_table_restore(t, &m);
    if (rc == 0)
        rc = eng_schema_open(s, m.schema, err);
    eng_manifest_fini(e, &m);
    if (rc == 0)
        rc = eng_table_rebuild(t, err);
    if (rc == 0)
        rc = e->io->dir_open(s->dir, "wal", SX_IO_READ, &s->wal_dir, err) == 0
                 ? 0
                 : sx_err_set(err, SX_ECORRUPT, "wal: the log's folder cannot be opened");
    if (rc == 0) {
        struct eng_wal_conf wc = {.host = e->host,
                                  .io = e->io,
                                  .dir = s->wal_dir,
                                  .id = s->id,
                                  .segment_bytes = s->config->segment_bytes,
                                  .checkpoint = s->checkpoint};
        rc = eng_wal_open(&wc, replay, s, &s->wal, err);
    }
    if (rc != 0)
        return err->code ? rc : sx_err_set(err, rc, "opening the shard failed");
    if (!s->strand)
        s->strand = e->exec->strand_create(e->host, SX_CLASS_WRITER);
    for (uint32_t i = 0; i < t->n_columns; i++)
        eng_column_link(s, i);
    struct eng_deaths *d = eng_table_take_deaths(t);
    if (d) { /* nobody reads yet */
        eng_deaths_apply(d);
        e->mem->release(e->mem, d);
    }
    struct eng_view *v = s->strand ? eng_view_alloc(e, eng_table_view_chunks(t)) : NULL;
    if (!v)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    eng_view_fill(v, t);
    atomic_store_explicit(&s->view, v, memory_order_release);
    return 0;
}

static void open_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s =
        (struct eng_shard *)(void *)((char *)task - offsetof(struct eng_shard, open_task));
    struct eng *e = s->eng;
    struct sx_err err = SX_ERR_INIT;
    uint64_t t0 = e->time->mono_ns();
    int rc = shard_open(s, &err);
    if (rc != 0) {
        close_stores(s);
        sx_log(e->host, SX_LOG_ERROR, "shard", "Failed to load local shard: %s", err.msg);
    } else if (s->table.commit > s->checkpoint) {
        sx_log(e->host, SX_LOG_INFO, "shard", "Recovered %llu operations from the log in %.3f s",
               (unsigned long long)(s->table.commit - s->checkpoint),
               (double)(e->time->mono_ns() - t0) / 1e9);
    }
    pthread_mutex_lock(&s->lock);
    if (rc != 0)
        s->cause = err;
    struct eng_call *c = s->waiting, *next;
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    for (next = c; next && rc == 0; next = next->next) {
        next->holds = 1;
        atomic_fetch_add_explicit(&s->users, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&s->used_ns, t0, memory_order_relaxed);
    /* pairs with the acquire in eng_shard_hold() */
    atomic_store_explicit(&s->state, rc == 0 ? ENG_OPEN : ENG_RED, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    for (; c; c = next) {
        next = c->next;
        c->next = NULL;
        if (rc == 0) {
            c->run(c, w);
        } else {
            c->err = err;
            eng_call_fail_err(c);
        }
    }
    if (rc == 0) {
        eng_checkpoint_soon(s); /* looks after the indexes too */
        eng_scrub_wake(e->scrub);
        if (atomic_fetch_add_explicit(&e->n_open, 1, memory_order_relaxed) + 1 > e->max_open)
            eng_catalog_trim(e->catalog);
    }
    eng_shard_unref(s);
}

int eng_shard_hold(struct eng_shard *s)
{
    /* Hold first, then look: pairs with eng_shard_try_close(), which sets CLOSING first and then
     * looks for holders. */
    atomic_fetch_add_explicit(&s->users, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&s->state, memory_order_seq_cst) == ENG_OPEN)
        return 1;
    atomic_fetch_sub_explicit(&s->users, 1, memory_order_release);
    return 0;
}

void eng_shard_release(struct eng_shard *s)
{
    atomic_fetch_sub_explicit(&s->users, 1, memory_order_release);
}

void eng_shard_enter(struct eng_shard *s, struct eng_call *c)
{
    atomic_store_explicit(&s->used_ns, c->op->start_ns, memory_order_relaxed);
    if (eng_shard_hold(s)) {
        c->holds = 1;
        c->run(c, s->eng->exec->self());
        return;
    }
    pthread_mutex_lock(&s->lock);
    uint32_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
    if (state == ENG_OPEN || state == ENG_RED) {
        struct sx_err cause = s->cause;
        if (state == ENG_OPEN) { /* closing was given up; it is set under this lock */
            atomic_fetch_add_explicit(&s->users, 1, memory_order_seq_cst);
            c->holds = 1;
        }
        pthread_mutex_unlock(&s->lock);
        if (state == ENG_OPEN) {
            c->run(c, s->eng->exec->self());
        } else {
            c->err = cause;
            eng_call_fail_err(c);
        }
        return;
    }
    c->next = NULL;
    *s->waiting_end = c;
    s->waiting_end = &c->next;
    if (state == ENG_CLOSED) {
        atomic_store_explicit(&s->state, ENG_OPENING, memory_order_relaxed);
        eng_shard_ref(s);
        s->eng->exec->blocking(&s->open_task);
    }
    pthread_mutex_unlock(&s->lock);
}

/* --- closing when idle ---------------------------------------------------------------------------
 */

static void idle_close_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s = task->arg;
    (void)w;
    close_stores(s);
    atomic_fetch_sub_explicit(&s->eng->n_open, 1, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    if (s->waiting) { /* somebody came meanwhile */
        atomic_store_explicit(&s->state, ENG_OPENING, memory_order_relaxed);
        eng_shard_ref(s);
        s->eng->exec->blocking(&s->open_task);
    } else {
        atomic_store_explicit(&s->state, ENG_CLOSED, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->lock);
    atomic_store_explicit(&s->close_posted, 0, memory_order_release);
    eng_shard_unref(s);
}

void eng_shard_try_close(struct eng_shard *s)
{
    int is_clean = s->table.commit == s->checkpoint && !s->clean &&
                   !atomic_load_explicit(&s->write_failed, memory_order_acquire) &&
                   !atomic_load_explicit(&s->damaged, memory_order_acquire);
    if (atomic_load_explicit(&s->state, memory_order_relaxed) != ENG_OPEN || !is_clean ||
        s->checkpointing)
        return;
    pthread_mutex_lock(&s->lock);
    atomic_store_explicit(&s->state, ENG_CLOSING, memory_order_seq_cst);
    if (atomic_load_explicit(&s->users, memory_order_seq_cst) != 0 ||
        atomic_load_explicit(&s->superseded, memory_order_acquire) != 0 ||
        atomic_exchange_explicit(&s->close_posted, 1, memory_order_acq_rel) != 0) {
        /* Calls that saw CLOSING wait for this lock in eng_shard_enter(). */
        atomic_store_explicit(&s->state, ENG_OPEN, memory_order_seq_cst);
        pthread_mutex_unlock(&s->lock);
        return;
    }
    pthread_mutex_unlock(&s->lock);
    s->idle_task.fn = idle_close_run;
    s->idle_task.arg = s;
    eng_shard_ref(s);
    s->eng->exec->blocking(&s->idle_task);
}

int eng_shard_format(struct eng *e,
                     const struct eng_config *config,
                     const struct sx_store_id *id,
                     struct sx_dir *dir,
                     struct sx_err *err)
{
    struct sx_dir *wal = NULL, *fields = NULL;
    struct eng_manifest *m = e->mem->zalloc(e->mem, sizeof(*m));
    if (!m)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = e->io->dir_open(dir, "wal", SX_IO_CREATE, &wal, err);
    if (rc == 0) {
        m->generation = 1;
        m->n_columns = config->n_columns;
        for (uint32_t i = 0; i < config->n_columns; i++)
            m->columns[i].id = config->columns[i].id;
        rc = e->io->dir_sync(wal, err);
        e->io->dir_close(wal);
    }
    if (rc == 0) {
        struct eng_schema schema = {config, config->n_columns, 0, 0};
        rc = eng_schema_save(e, &schema, &m->schema, err);
    }
    if (rc == 0) /* known to the folder before the manifest is, like the log's */
        rc = e->io->dir_open(dir, "fields", SX_IO_CREATE, &fields, err);
    if (rc == 0) {
        e->io->dir_close(fields);
        rc = eng_manifest_write(e, dir, id, m, err);
    }
    eng_manifest_fini(e, m);
    e->mem->release(e->mem, m);
    return rc;
}

/* --- readers -------------------------------------------------------------------------------------
 */

void eng_shard_read_begin(struct eng_shard *s, struct eng_reader *r)
{
    s->eng->epoch->enter();
    /* pairs with the release in eng_shard_publish() */
    const struct eng_view *v = atomic_load_explicit(&s->view, memory_order_acquire);
    eng_reader_init(r, &s->table, v);
}

void eng_shard_read_end(struct eng_shard *s)
{
    s->eng->epoch->leave();
}

/* --- writing -------------------------------------------------------------------------------------
 */

/* No reader of the old view is left: the rows that died with it may be hidden from inner loops. */
static void superseded_free(void *arg)
{
    struct eng_superseded *p = arg;
    const struct sx_mem *mem = p->shard->eng->mem;
    if (p->deaths) {
        eng_deaths_apply(p->deaths);
        mem->release(mem, p->deaths);
    }
    eng_view_destroy(p->shard->eng, p->view);
    atomic_fetch_sub_explicit(&p->shard->superseded, 1, memory_order_release);
    eng_shard_unref(p->shard);
    mem->release(mem, p);
}

int eng_shard_publish_room(struct eng_shard *s)
{
    const struct sx_mem *mem = s->eng->mem;
    uint32_t chunks = eng_table_view_chunks(&s->table);
    struct eng_superseded *p = s->next_view;
    if (p && p->chunks >= chunks)
        return 0;
    if (!p) {
        p = mem->zalloc(mem, sizeof(*p));
        if (!p)
            return SX_ENOMEM;
        s->next_view = p;
    }
    struct eng_view *v = eng_view_alloc(s->eng, chunks);
    if (!v)
        return SX_ENOMEM;
    if (p->view)
        eng_view_destroy(s->eng, p->view);
    p->view = v;
    p->chunks = chunks;
    return 0;
}

void eng_shard_publish(struct eng_shard *s)
{
    struct eng_superseded *p = s->next_view;
    s->next_view = NULL;
    for (uint32_t i = 0; i < s->table.n_columns; i++)
        eng_column_link(s, i);
    eng_view_fill(p->view, &s->table);
    p->shard = s;
    p->deaths = eng_table_take_deaths(&s->table);
    atomic_fetch_add_explicit(&s->superseded, 1, memory_order_relaxed);
    eng_shard_ref(s);
    /* pairs with the acquire in eng_shard_read_begin() */
    p->view = atomic_exchange_explicit(&s->view, p->view, memory_order_acq_rel);
    s->eng->epoch->retire(superseded_free, p);
    eng_schema_retire(s);
    eng_field_work_consider(s);
}

void eng_shard_stop_writes(struct eng_shard *s, const struct sx_err *cause)
{
    sx_log(s->eng->host, SX_LOG_ERROR, "shard", "The shard takes no more writes: %s", cause->msg);
    pthread_mutex_lock(&s->lock);
    s->cause = *cause;
    pthread_mutex_unlock(&s->lock);
    atomic_store_explicit(&s->write_failed, cause->code ? cause->code : SX_EINTERNAL,
                          memory_order_release);
}

void eng_shard_damaged(struct eng_shard *s, const struct sx_err *cause)
{
    if (atomic_exchange_explicit(&s->damaged, cause->code ? cause->code : SX_ECORRUPT,
                                 memory_order_acq_rel))
        return; /* said once */
    sx_log(s->eng->host, SX_LOG_ERROR, "shard", "%s", cause->msg);
    pthread_mutex_lock(&s->lock);
    if (!s->cause.code)
        s->cause = *cause;
    pthread_mutex_unlock(&s->lock);
}

void eng_shard_written(struct eng_shard *s, struct eng_call *c, int wait)
{
    const char *policy = s->eng->conf->log_sync;
    if (!wait || policy[0] != 'a') {
        eng_call_finish(c);
        if (policy[0] == 'i')
            eng_committer_due(s->eng->committer, s);
    } else {
        pthread_mutex_lock(&s->lock);
        c->next = NULL;
        *s->unsynced_end = c;
        s->unsynced_end = &c->next;
        pthread_mutex_unlock(&s->lock);
        eng_wait_begun(s->eng);
        eng_committer_due(s->eng->committer, s);
    }
    eng_checkpoint_consider(s);
}
