/* Jobs of payload indexes; see field_work.h.
 *
 * Building reads documents of the rows that a view sees, in pieces of one epoch each, so that a
 * build of millions of rows holds nobody's memory back. Rows that die meanwhile are in the part and
 * masked like all others. */
#include "field_work.h"

#include <string.h>

#include "clean.h"
#include "wait.h"

#include "sextant/sx_ban.h"

#define BUILD_ROWS 512u /* documents read in one epoch */

struct eng_field_work {
    struct sx_task task;
    struct eng_shard *shard;
    struct eng_field_job job;
    struct eng_field_schema *field, *drop_after;
    int rc;
    struct sx_err err;
};

struct add {
    struct eng_field_job *job;
    const uint32_t *rows;
    struct sx_err *err;
};

static int add_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct add *a = arg;
    return eng_field_build_add(a->job, a->rows[i], (struct sx_doc){p, n, 0}, a->err);
}

/* No view sees the row any more. One that died a moment ago may still be seen by an older view than
 * ours, so the number of its death says too little: only the bit says that nobody looks. */
static int is_gone(const struct eng_reader *r, uint32_t row)
{
    const uint64_t *dead = r->vis.dead ? r->vis.dead[row >> SX_CHUNK_SHIFT] : NULL;
    uint32_t o = row & (SX_CHUNK_ROWS - 1);
    return dead && (__atomic_load_n(&dead[o >> 6], __ATOMIC_RELAXED) >> (o & 63) & 1) != 0;
}

/* The rows of [at, end) that anybody may see, in row order; those without payload are added as
 * empty. */
static int build_piece(struct eng_field_work *k, uint32_t at, uint32_t end)
{
    struct eng_shard *s = k->shard;
    const struct sx_provider *bp = s->table.blobs_p;
    const struct sx_blobs_ops *ops = bp->ops;
    struct eng_reader r;
    uint32_t rows[BUILD_ROWS], n = 0;
    sx_locator locs[BUILD_ROWS];
    struct add add = {&k->job, rows, &k->err};
    int rc = 0;

    eng_shard_read_begin(s, &r);
    r.hides = 0;
    for (; rc == 0 && at < end; at++) {
        if (!eng_reader_knows(&r, at) || is_gone(&r, at))
            continue;
        sx_locator loc = eng_reader_row(&r, at)->payload;
        if (loc == ENG_NO_BLOB) {
            if (n)
                rc = ops->get(bp->self, s->table.payload, locs, n, add_one, &add, &k->err);
            n = 0;
            if (rc == 0)
                rc = eng_field_build_add(&k->job, at, (struct sx_doc){NULL, 0, 0}, &k->err);
        } else {
            rows[n] = at;
            locs[n++] = loc;
        }
    }
    if (rc == 0 && n)
        rc = ops->get(bp->self, s->table.payload, locs, n, add_one, &add, &k->err);
    eng_shard_read_end(s);
    return rc;
}

/* A part is right only after what it was built from: rows that died were left out, and the index
 * itself was created. Without this a power cut could bring such a row back to life after a part
 * that does not know it, or give the number of the index to another one beside its files. */
static int sync_log(struct eng_shard *s, struct sx_err *err)
{
    int rc = eng_wal_sync(s->wal, err);
    if (rc != 0)
        eng_shard_stop_writes(s, err);
    return rc;
}

static void ended(struct sx_task *task, struct sx_worker *w);

static void run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_field_work *k = task->arg;
    struct eng_field_job *job = &k->job;
    (void)w;
    for (uint32_t at = job->lo; k->rc == 0 && job->kind == ENG_FIELD_BUILD && at < job->hi;
         at += BUILD_ROWS)
        k->rc = build_piece(k, at, job->hi - at < BUILD_ROWS ? job->hi : at + BUILD_ROWS);
    if (job->kind == ENG_FIELD_SAVE)
        k->rc = sync_log(k->shard, &k->err);
    if (k->rc == 0)
        k->rc = eng_field_run(job, &k->err);
    k->task.fn = ended;
    k->shard->eng->exec->strand_post(k->shard->strand, &k->task);
}

/* The rows there are [S]: the newest view is what the table holds. */
static struct eng_fills rows_now(struct eng_shard *s)
{
    const struct eng_view *v = atomic_load_explicit(&s->view, memory_order_relaxed);
    return (struct eng_fills){v->fill, v->n_chunks, 0};
}

/* Answers the calls whose index is complete now, all of them when the work has failed. */
static void answer_waiting(struct eng_shard *s, const struct sx_err *failed)
{
    struct eng_call **at = &s->field_waiting, *c, *ready = NULL, *next;
    pthread_mutex_lock(&s->lock);
    while ((c = *at) != NULL) {
        const struct sx_args_field *a = c->op->args;
        const struct eng_field_schema *f = eng_schema_find(s->table.schema, &a->field);
        uint32_t lo, hi;
        if (f && !failed && eng_field_gap(f->field, rows_now(s), 0, &lo, &hi)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = ready;
        ready = c;
    }
    pthread_mutex_unlock(&s->lock);
    for (c = ready; c; c = next) {
        const struct sx_args_field *a = c->op->args;
        next = c->next;
        c->next = NULL;
        if (failed && eng_schema_find(s->table.schema, &a->field)) {
            c->err = *failed;
            eng_call_fail_err(c);
        } else { /* its record is durable only now, or is synced with the next ones */
            eng_shard_written(s, c, 1);
        }
    }
}

static void ended(struct sx_task *task, struct sx_worker *w)
{
    struct eng_field_work *k = task->arg;
    struct eng_shard *s = k->shard;
    struct eng *e = s->eng;
    (void)w;
    if (k->rc != 0) {
        sx_log(e->host, SX_LOG_WARN, "field", "work on the index of %.*s failed: %s",
               (int)k->field->canonical.n, k->field->canonical.p, k->err.msg);
        if (k->rc == SX_ECORRUPT)
            eng_shard_damaged(s, &k->err);
    }
    if (k->job.kind == ENG_FIELD_BUILD)
        s->moves_built = s->moves;
    eng_field_done(&k->job, k->rc);
    s->field_work = NULL;
    if (k->drop_after)
        eng_schema_retire_field(s, k->drop_after);
    answer_waiting(s, k->rc != 0 ? &k->err : NULL);
    eng_clean_drop(s); /* chunks that waited for the job to end */
    /* After a failure the next change tries again: a loop here would be a busy one. */
    if (k->rc == 0)
        eng_field_work_consider(s);
    e->mem->release(e->mem, k);
    eng_shard_release(s);
    eng_shard_unref(s);
}

void eng_field_work_consider(struct eng_shard *s)
{
    struct eng *e = s->eng;
    const struct eng_schema *list = s->table.schema;
    struct eng_field_job job = {NULL, 0, 0, 0, NULL};
    uint32_t i;
    if (s->field_work || list->n_fields == 0 || !s->strand ||
        atomic_load_explicit(&e->is_stopping, memory_order_acquire))
        return;
    /* A build leaves out rows that have died by a move, and no log knows of moves: until a
     * checkpoint does, a crash may bring such a row back to life. */
    for (i = 0; i < list->n_fields; i++)
        eng_field_hold_saves(list->fields[i]->field, s->moves_built > s->moves_saved);
    for (i = 0; i < list->n_fields; i++) {
        if (eng_field_next(list->fields[i]->field, rows_now(s), &job))
            break;
    }
    if (i == list->n_fields)
        return;
    if (!eng_shard_hold(s)) { /* closing: nothing is lost, an index is derived */
        eng_field_done(&job, SX_ECANCELED);
        return;
    }
    struct eng_field_work *k = e->mem->zalloc(e->mem, sizeof(*k));
    if (!k) {
        eng_field_done(&job, SX_ENOMEM);
        eng_shard_release(s);
        return;
    }
    *k = (struct eng_field_work){{run, NULL, k}, s, job, list->fields[i], NULL, 0, SX_ERR_INIT};
    s->field_work = k;
    eng_shard_ref(s);
    if (job.kind == ENG_FIELD_SAVE)
        e->exec->blocking(&k->task);
    else
        e->exec->submit(&k->task, SX_CLASS_BACKGROUND);
}

int eng_field_work_drop(struct eng_shard *s, struct eng_field_schema *field)
{
    if (!s->field_work || s->field_work->field != field)
        return 0;
    s->field_work->drop_after = field;
    return 1;
}

int eng_field_work_wait(struct eng_shard *s, struct eng_call *c, const struct sx_path *path)
{
    const struct eng_field_schema *f = eng_schema_find(s->table.schema, path);
    uint32_t lo, hi;
    if (!f || !eng_field_gap(f->field, rows_now(s), 0, &lo, &hi))
        return 0;
    pthread_mutex_lock(&s->lock);
    c->next = s->field_waiting;
    s->field_waiting = c;
    pthread_mutex_unlock(&s->lock);
    eng_wait_begun(s->eng);
    eng_field_work_consider(s);
    return 1;
}

int eng_field_work_pending(struct eng_shard *s)
{
    return s->field_work != NULL;
}
