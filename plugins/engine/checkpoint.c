/* Checkpoints: making what is applied durable, so that the log can be forgotten.
 *
 * On the strand the flush of every store is started; each takes its mark at that moment, so all
 * marks belong to the same operation. When the last store is durable, one task on the blocking pool
 * syncs the log (the manifest may never be ahead of it: numbers would be given twice) and writes
 * the manifest; back on the strand the log is trimmed. Writes go on all the while.
 *
 * One starts when so much log would be replayed that a start would take long (checkpoint_log_mb) or
 * some time after the first change since the last one, so that an idle shard needs no replay. */
#include <string.h>

#include "catalog.h"
#include "clean.h"
#include "field_work.h"
#include "reserve.h"

#include "sextant/sx_ban.h"

#define FULL_LOG_BYTES (256u << 10) /* of log, when the disk is full: see reserve.h */

struct checkpoint {
    struct eng_shard *shard;
    struct eng_manifest m;
    _Atomic uint32_t pending;
    pthread_mutex_t lock;
    struct sx_err err;
    struct sx_task task;
    uint64_t moves;
    uint32_t gone;         /* dropped columns that the manifest does not name */
    uint32_t syncs_fields; /* the manifest may name chunks that had other rows, see field.h */
    struct part {
        struct checkpoint *cp;
        struct sx_store_mark *mark;  /* where this store's mark goes: of rows, */
        struct sx_blobs_mark *blobs; /* or of blobs */
    } part[3 * ENG_MAX_COLUMNS + 2];
};

static void finished(struct sx_task *task, struct sx_worker *w)
{
    struct checkpoint *cp = task->arg;
    struct eng_shard *s = cp->shard;
    struct eng *e = s->eng;
    (void)w;
    s->checkpointing = 0;
    if (cp->err.code != 0)
        s->fields_unsynced |= cp->syncs_fields;
    if (cp->err.code == 0) {
        struct sx_err err = SX_ERR_INIT;
        s->checkpoint = cp->m.operation;
        s->generation = cp->m.generation;
        s->moves_saved = cp->moves;
        if (eng_wal_trim(s->wal, s->checkpoint, &err) != 0)
            sx_log(e->host, SX_LOG_WARN, "checkpoint", "trimming the log failed: %s", err.msg);
        if (!eng_reserve_is_held(e->reserve))
            eng_wal_end_segment(s->wal);
        eng_schema_sweep_columns(s, cp->gone);
        eng_clean_saved(s);
        eng_field_work_consider(s);
    } else {
        sx_log(e->host, SX_LOG_ERROR, "checkpoint", "checkpoint failed: %s", cp->err.msg);
        /* After a failed fsync pages may be clean and lost; ENOSPC is harmless: the log holds
         * everything and the next checkpoint tries again. */
        if (cp->err.code != SX_ENOSPACE)
            eng_shard_stop_writes(s, &cp->err);
    }
    void (*done)(struct eng_shard *, void *) = s->checkpoint_done;
    s->checkpoint_done = NULL;
    if (done)
        done(s, s->checkpoint_arg);
    eng_clean_checkpointed(s, cp->err.code);
    if (s->close_wanted) {
        s->close_wanted = 0;
        eng_shard_try_close(s);
    }
    eng_manifest_fini(e, &cp->m);
    pthread_mutex_destroy(&cp->lock);
    e->mem->release(e->mem, cp);
    eng_shard_unref(s);
}

static void write_manifest(struct sx_task *task, struct sx_worker *w)
{
    struct checkpoint *cp = task->arg;
    struct eng_shard *s = cp->shard;
    (void)w;
    if (cp->err.code == 0)
        (void)eng_wal_sync(s->wal, &cp->err);
    if (cp->err.code == 0 && cp->syncs_fields)
        (void)s->eng->io->dir_sync(s->fields_dir, &cp->err);
    if (cp->err.code == 0 &&
        eng_manifest_write(s->eng, s->dir, &s->id, &cp->m, &cp->err) == SX_ENOSPACE) {
        eng_reserve_give(s->eng->reserve, &cp->err); /* the log that goes then is longer */
        (void)eng_manifest_write(s->eng, s->dir, &s->id, &cp->m, &cp->err);
    }
    cp->task.fn = finished;
    s->eng->exec->strand_post(s->strand, &cp->task);
}

static void part_ended(struct checkpoint *cp, int rc, const struct sx_err *err)
{
    if (rc != 0) {
        pthread_mutex_lock(&cp->lock);
        if (cp->err.code == 0) {
            if (err)
                cp->err = *err;
            cp->err.code = rc;
        }
        pthread_mutex_unlock(&cp->lock);
    }
    /* pairs with itself: the last part sees all marks */
    if (atomic_fetch_sub_explicit(&cp->pending, 1, memory_order_acq_rel) == 1) {
        cp->task.fn = write_manifest;
        cp->shard->eng->exec->blocking(&cp->task);
    }
}

static void rows_done(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err)
{
    struct part *part = arg;
    if (rc == 0)
        *part->mark = *mark;
    part_ended(part->cp, rc, err);
}

static void
blobs_done(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err)
{
    struct part *part = arg;
    if (rc == 0)
        *part->blobs = *mark;
    part_ended(part->cp, rc, err);
}

static int is_named(const struct eng_unit *u)
{
    return u->state == ENG_UNIT_LIVE || u->state == ENG_UNIT_GOING;
}

/* Bits of all rows that are dead after the last applied operation. */
static int collect_dead(struct eng_shard *s, struct eng_manifest *m)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    /* Of chunks that the manifest does not name there is nothing to say. */
    for (uint32_t c = 0; c < t->chunks.n; c++)
        m->n_dead += is_named(&t->chunks.at[c]) ? t->chunks.at[c].fill - t->chunks.at[c].live : 0;
    m->n_bits = (uint64_t)t->chunks.n << SX_CHUNK_SHIFT;
    if (m->n_dead == 0)
        return 0;
    m->dead = e->mem->zalloc(e->mem, (m->n_bits + 63) / 64 * 8);
    if (!m->dead)
        return SX_ENOMEM;
    for (uint32_t c = 0; c < t->chunks.n; c++) {
        uint64_t first = (uint64_t)c << SX_CHUNK_SHIFT;
        uint32_t n = is_named(&t->chunks.at[c]) ? t->chunks.at[c].fill : 0;
        for (uint64_t i = first; i < first + n; i++) {
            if (eng_table_is_dead(t, (uint32_t)i))
                m->dead[i >> 6] |= 1ull << (i & 63);
        }
    }
    return 0;
}

static int absent_of(struct eng_units *u, struct eng_absent *out)
{
    out->end = u->n;
    return eng_units_absent(u, &out->at, &out->n);
}

/* The numbers that are not there, of every store. */
static int collect_absent(struct eng_shard *s, struct eng_manifest *m)
{
    struct eng_table *t = &s->table;
    const struct eng_config *config = t->schema->config;
    int rc = absent_of(&t->chunks, &m->rows_absent);
    if (rc == 0)
        rc = absent_of(&t->segments, &m->payload_absent);
    m->n_columns = config->n_columns;
    for (uint32_t i = 0; rc == 0 && i < config->n_columns; i++) {
        struct eng_column *c = t->columns[config->columns[i].slot];
        rc = absent_of(&c->nodes, &m->columns[i].vec_absent);
        if (rc == 0 && c->blobs)
            rc = absent_of(&c->segments, &m->columns[i].blobs_absent);
    }
    return rc;
}

static void flush_part(struct checkpoint *cp,
                       uint32_t *n,
                       const struct sx_provider *p,
                       void *h,
                       struct sx_store_mark *mark)
{
    cp->part[*n].cp = cp;
    cp->part[*n].mark = mark;
    ((const struct sx_rows_ops *)p->ops)->flush(p->self, h, rows_done, &cp->part[(*n)++]);
}

static void flush_blobs(struct checkpoint *cp,
                        uint32_t *n,
                        const struct sx_provider *p,
                        void *h,
                        struct sx_blobs_mark *mark)
{
    cp->part[*n].cp = cp;
    cp->part[*n].blobs = mark;
    ((const struct sx_blobs_ops *)p->ops)->flush(p->self, h, blobs_done, &cp->part[(*n)++]);
}

void eng_checkpoint_start(struct eng_shard *s)
{
    struct eng *e = s->eng;
    struct eng_table *t = &s->table;
    if (s->checkpointing || (t->commit == s->checkpoint && !eng_clean_wants_checkpoint(s)) ||
        atomic_load_explicit(&s->write_failed, memory_order_acquire) != 0) {
        void (*done)(struct eng_shard *, void *) = s->checkpointing ? NULL : s->checkpoint_done;
        if (done) {
            s->checkpoint_done = NULL;
            done(s, s->checkpoint_arg);
        }
        return;
    }
    struct checkpoint *cp = e->mem->zalloc(e->mem, sizeof(*cp));
    /* without memory the log keeps everything: try again later */
    if (!cp || collect_dead(s, &cp->m) != 0 || collect_absent(s, &cp->m) != 0 ||
        eng_schema_save(e, t->schema, &cp->m.schema, NULL) != 0) {
        void (*done)(struct eng_shard *, void *) = s->checkpoint_done;
        if (cp)
            eng_manifest_fini(e, &cp->m);
        e->mem->release(e->mem, cp);
        s->checkpoint_done = NULL;
        if (done)
            done(s, s->checkpoint_arg);
        return;
    }
    cp->shard = s;
    cp->err.size = sizeof(cp->err);
    cp->task.arg = cp;
    pthread_mutex_init(&cp->lock, NULL);
    cp->m.generation = s->generation + 1;
    cp->m.operation = t->commit;
    cp->gone = eng_schema_gone_columns(s);
    cp->syncs_fields = s->fields_unsynced;
    cp->moves = s->moves;
    s->fields_unsynced = 0;
    s->checkpointing = 1;
    eng_shard_ref(s);

    const struct eng_config *config = t->schema->config; /* dropped columns are not in it */
    uint32_t n = 0, n_var = 0;
    for (uint32_t i = 0; i < config->n_columns; i++)
        n_var += t->columns[config->columns[i].slot]->blobs != NULL;
    atomic_store_explicit(&cp->pending, 2 * config->n_columns + n_var + 2, memory_order_relaxed);
    for (uint32_t i = 0; i < config->n_columns; i++) {
        struct eng_column *c = t->columns[config->columns[i].slot];
        cp->m.columns[i].id = c->conf->id;
        flush_part(cp, &n, c->rows_p, c->vec, &cp->m.columns[i].vec);
        flush_part(cp, &n, t->rows_p, c->loc, &cp->m.columns[i].loc);
        if (c->blobs)
            flush_blobs(cp, &n, t->blobs_p, c->blobs, &cp->m.columns[i].blobs);
    }
    flush_part(cp, &n, t->rows_p, t->rows, &cp->m.rows);
    flush_blobs(cp, &n, t->blobs_p, t->payload, &cp->m.payload);
}

void eng_checkpoint_consider(struct eng_shard *s)
{
    struct eng *e = s->eng;
    eng_clean_consider(s);
    if (s->table.commit == s->checkpoint)
        return;
    uint64_t most = e->conf->checkpoint_log_mb << 20;
    if (!eng_reserve_is_held(e->reserve) && most > FULL_LOG_BYTES)
        most = FULL_LOG_BYTES;
    if (eng_wal_bytes(s->wal) >= most)
        eng_checkpoint_start(s);
    eng_catalog_tick_soon(e->catalog);
}

static int is_open(struct eng_shard *s)
{
    return atomic_load_explicit(&s->state, memory_order_acquire) == ENG_OPEN;
}

static void start_on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s = task->arg;
    (void)w;
    atomic_store_explicit(&s->tick_posted, 0,
                          memory_order_release); /* pairs with the exchanges below */
    if (is_open(s))                              /* not closed meanwhile */
        eng_checkpoint_start(s);
    eng_shard_unref(s);
}

static void close_on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s = task->arg;
    (void)w;
    atomic_store_explicit(&s->tick_posted, 0,
                          memory_order_release); /* pairs with the exchanges below */
    if (is_open(s)) {
        if (s->table.commit != s->checkpoint || eng_clean_wants_checkpoint(s)) {
            s->close_wanted = 1;
            eng_checkpoint_start(s);
        } else {
            eng_shard_try_close(s);
        }
    }
    eng_shard_unref(s);
}

void eng_shard_close_idle(struct eng_shard *s)
{
    if (atomic_exchange_explicit(&s->tick_posted, 1, memory_order_acq_rel))
        return;
    s->tick_task.fn = close_on_strand;
    s->tick_task.arg = s;
    eng_shard_ref(s);
    s->eng->exec->strand_post(s->strand, &s->tick_task);
}

void eng_checkpoint_tick(struct eng_shard *s)
{
    if (atomic_exchange_explicit(&s->tick_posted, 1, memory_order_acq_rel))
        return;
    s->tick_task.fn = start_on_strand;
    s->tick_task.arg = s;
    eng_shard_ref(s);
    s->eng->exec->strand_post(s->strand, &s->tick_task);
}

static void consider_on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct eng_shard *s = task->arg;
    (void)w;
    if (is_open(s)) {
        eng_checkpoint_consider(s);
        eng_field_work_consider(s);
    }
    eng_shard_unref(s);
}

void eng_checkpoint_soon(struct eng_shard *s)
{
    s->checkpoint_task.fn = consider_on_strand;
    s->checkpoint_task.arg = s;
    eng_shard_ref(s);
    s->eng->exec->strand_post(s->strand, &s->checkpoint_task);
}

struct final {
    struct sx_task task;
    struct eng_shard *shard;
    void (*done)(struct eng_shard *, void *);
    void *arg;
};

static void final_on_strand(struct sx_task *task, struct sx_worker *w);

/* A running checkpoint ended; ours may start now. */
static void final_again(struct eng_shard *s, void *arg)
{
    struct final *f = arg;
    s->eng->exec->strand_post(s->strand, &f->task);
}

static void final_ended(struct eng_shard *s, void *arg)
{
    struct final *f = arg;
    void (*done)(struct eng_shard *, void *) = f->done;
    void *done_arg = f->arg;
    s->eng->mem->release(s->eng->mem, f);
    done(s, done_arg);
}

static void final_on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct final *f = task->arg;
    struct eng_shard *s = f->shard;
    (void)w;
    if (!is_open(s)) {
        final_ended(s, f);
        return;
    }
    s->checkpoint_arg = f;
    s->no_cleaning = 1;
    s->checkpoint_done = s->checkpointing ? final_again : final_ended;
    if (!s->checkpointing)
        eng_checkpoint_start(s);
}

void eng_checkpoint_final(struct eng_shard *s, void (*done)(struct eng_shard *, void *), void *arg)
{
    struct final *f = s->eng->mem->zalloc(s->eng->mem, sizeof(*f));
    if (!f) { /* the log holds everything anyway */
        done(s, arg);
        return;
    }
    *f = (struct final){{final_on_strand, NULL, f}, s, done, arg};
    s->eng->exec->strand_post(s->strand, &f->task);
}
