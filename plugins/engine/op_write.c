/* Operations that change points: upsert and delete.
 *
 * Three steps. On a worker: the log record is built, everything that needs no order is checked. On
 * the strand: number, stage, log, commit, publish. Then the call is answered, or waits for the
 * committer. Errors that the reference finds at application time (unknown name, wrong kind) take a
 * number and a record of their own, with no effect, and are told to those who wait. */
#include <string.h>

#include "catalog.h"

#include "sextant/sx_ban.h"

struct write {
    struct sx_task task;
    struct eng_call *call;
    uint16_t type;
    struct sx_str body;
    struct sx_err outcome; /* code 0: applied */
};

static void answer(struct write *wr, int wait)
{
    struct eng_call *c = wr->call;
    if (wait && wr->outcome.code != 0) {
        c->err = wr->outcome;
        c->reply.code = wr->outcome.code;
    } else {
        c->reply.kind = SX_R_UPDATE;
        c->reply.u.update.op_id = c->number;
        c->reply.u.update.status = wait ? SX_UPDATE_COMPLETED : SX_UPDATE_ACKNOWLEDGED;
    }
    eng_shard_written(c->shard, c, wait);
}

static void apply(struct write *wr)
{
    struct eng_call *c = wr->call;
    struct eng_shard *s = c->shard;
    int wait = (c->op->flags & SX_OP_WAIT) != 0;

    int failed = atomic_load_explicit(&s->write_failed, memory_order_relaxed);
    if (failed) {
        pthread_mutex_lock(&s->lock);
        c->err = s->cause;
        pthread_mutex_unlock(&s->lock);
        c->err.code = failed;
        eng_call_fail_err(c);
        return;
    }
    c->number = eng_wal_last(s->wal) + 1;
    struct eng_wal_record r = {c->number,  wr->type,   1, (uint32_t)-wr->outcome.code,
                               wr->body.p, wr->body.n, 0};
    int rc = eng_change_stage(s, &r, &c->err);
    if (rc == 0) {
        if (eng_shard_publish_room(s) != 0)
            rc = sx_err_set(&c->err, SX_ENOMEM, "out of memory");
        else
            rc = eng_wal_append(s->wal, r.number, r.type, r.outcome, &wr->body, 1, &c->err);
        if (rc != 0)
            eng_table_abort(&s->table);
    }
    if (rc != 0) { /* nothing happened: no number is taken, the next operation may succeed */
        if (eng_wal_failed(s->wal))
            eng_shard_stop_writes(s, &c->err);
        eng_call_fail_err(c);
        return;
    }
    eng_table_commit(&s->table);
    eng_shard_publish(s);
    answer(wr, wait);
}

static void on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct write *wr = task->arg;
    struct eng_shard *s = wr->call->shard;
    (void)w;
    apply(wr); /* wr and its call may be gone afterwards */
    eng_shard_unref(s);
}

static struct write *write_new(struct eng_call *c, uint16_t type)
{
    struct write *wr = sx_arena_zalloc(c->op->arena, sizeof(*wr));
    if (!wr) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return NULL;
    }
    wr->call = c;
    wr->type = type;
    wr->outcome.size = sizeof(wr->outcome);
    wr->task.fn = on_strand;
    wr->task.arg = wr;
    return wr;
}

static void post(struct write *wr)
{
    if (wr->outcome.code != 0) {
        wr->type = ENG_REC_FAILED;
        wr->body = (struct sx_str){wr->outcome.msg, (uint32_t)strlen(wr->outcome.msg), 0};
    }
    /* The call's own reference ends with its answer, which may come before the strand is through.
     */
    eng_shard_ref(wr->call->shard);
    wr->call->eng->exec->strand_post(wr->call->shard->strand, &wr->task);
}

/* Dimensions are looked at before the log, also with wait=false, and only for names that exist. */
static int check_dims(struct eng_call *c, const struct sx_args_upsert *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t j = 0; j < a->points[i].n_vectors; j++) {
            const struct sx_vec_in *v = &a->points[i].vectors[j];
            const struct eng_column_conf *cc = eng_config_column(c->shard->config, v->name);
            if (!cc || v->kind == SX_VEC_SPARSE || v->dim == cc->dim)
                continue;
            if (v->name.n)
                eng_call_fail(c, SX_EINPUT,
                              "Vector dimension error: expected dim: %u, got %u for vector '%.*s'",
                              cc->dim, v->dim, (int)v->name.n, v->name.p);
            else
                eng_call_fail(c, SX_EINPUT, "Vector dimension error: expected dim: %u, got %u",
                              cc->dim, v->dim);
            return 0;
        }
    }
    return 1;
}

static void upsert_build(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_upsert *a = c->op->args;
    struct write *wr = write_new(c, ENG_REC_UPSERT);
    (void)w;
    if (!wr)
        return;
    int rc = eng_record_upsert(c->shard, a, c->op->arena, &wr->body, &wr->outcome);
    if (rc == SX_ENOMEM || rc == SX_EBADREQ || rc == SX_EUNSUPPORTED) {
        c->err = wr->outcome;
        eng_call_fail_err(c);
        return;
    }
    post(wr);
}

static void upsert_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_upsert *a = c->op->args;
    (void)w;
    if (a->n == 0) {
        eng_call_fail(c, SX_EBADREQ, "Empty update request");
        return;
    }
    if (!check_dims(c, a))
        return;
    uint64_t floats = 0;
    for (uint32_t j = 0; j < a->points[0].n_vectors; j++)
        floats += a->points[0].vectors[j].dim;
    c->run = upsert_build;
    eng_call_run(c, a->n * (floats + 200)); /* about a nanosecond a float, copies and norms */
}

void eng_op_upsert(struct eng_call *c)
{
    eng_call_on_shard(c, upsert_run);
}

static void delete_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_points *a = &((const struct sx_args_points *)c->op->args)->points;
    (void)w;
    if (a->n == 0) {
        eng_call_fail(c, SX_EBADREQ, "Empty update request");
        return;
    }
    struct write *wr = write_new(c, ENG_REC_DELETE);
    if (!wr)
        return;
    if (eng_record_delete(a->ids, a->n, c->op->arena, &wr->body, &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    post(wr);
}

void eng_op_points_delete(struct eng_call *c)
{
    eng_call_on_shard(c, delete_run);
}
