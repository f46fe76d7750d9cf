/* Running the steps of a write; see write.h. */
#include "write.h"

#include <string.h>

#include "catalog.h"
#include "quota.h"
#include "reserve.h"
#include "wait.h"

#include "sextant/sx_ban.h"

struct write {
    struct sx_task task;
    struct eng_call *call;
    struct eng_write_step *steps;
    struct sx_update *updates;
    uint32_t n, n_done;
    int is_batch, is_hidden; /* is_hidden: something that was written is not shown yet */
};

static int is_waiting(const struct eng_call *c)
{
    return (c->op->flags & SX_OP_WAIT) != 0;
}

/* --- applying ------------------------------------------------------------------------------------
 */

int eng_write_refused(struct eng_shard *s, struct sx_err *err)
{
    int failed = atomic_load_explicit(&s->write_failed, memory_order_relaxed);
    if (!failed)
        return 0;
    pthread_mutex_lock(&s->lock);
    *err = s->cause;
    pthread_mutex_unlock(&s->lock);
    err->code = failed;
    return failed;
}

/* Makes room, or is part of what does. */
static int frees_space(uint16_t type)
{
    return type == ENG_REC_DELETE || type == ENG_REC_FIELD_DROP || type == ENG_REC_COLUMN_DROP ||
           type == ENG_REC_NOTHING;
}

static int append(struct eng_shard *s,
                  const struct eng_wal_record *r,
                  const struct sx_str *body,
                  struct sx_err *err)
{
    int rc = eng_wal_append(s->wal, r->number, r->type, r->outcome, body, 1, err);
    if (rc == SX_ENOSPACE && frees_space(r->type)) {
        eng_reserve_give(s->eng->reserve, err);
        rc = eng_wal_append(s->wal, r->number, r->type, r->outcome, body, 1, err);
    }
    return rc;
}

int eng_write_apply(struct eng_shard *s,
                    uint16_t type,
                    int outcome,
                    struct sx_str body,
                    uint64_t *number,
                    struct sx_err *err)
{
    struct eng_wal_record r = {
        eng_wal_last(s->wal) + 1, type, 1, (uint32_t)-outcome, body.p, body.n, 0};
    int rc = frees_space(type) ? 0 : eng_reserve_check(s->eng->reserve, err);
    if (rc != 0)
        return rc;
    rc = eng_change_stage(s, &r, err);
    if (rc == 0) {
        if (eng_shard_publish_room(s) != 0)
            rc = sx_err_set(err, SX_ENOMEM, "out of memory");
        else
            rc = append(s, &r, &body, err);
        if (rc != 0)
            eng_change_abort(s);
    }
    if (rc != 0) {
        if (eng_wal_failed(s->wal))
            eng_shard_stop_writes(s, err);
        return rc;
    }
    eng_change_commit(s);
    eng_shard_publish(s);
    *number = r.number;
    return 0;
}

static int is_growing(uint32_t code)
{
    return code == SX_OP_POINTS_UPSERT || code == SX_OP_VECTORS_UPDATE ||
           code == SX_OP_PAYLOAD_SET || code == SX_OP_PAYLOAD_OVERWRITE;
}

/* 0 to go on with the next step. */
static int run_step(struct eng_call *c, struct eng_write_step *step)
{
    int rc = eng_write_refused(c->shard, &c->err);
    if (rc == 0 && is_growing(step->code))
        rc = eng_quota_refuses(c->eng->quota, &c->err);
    if (rc == 0 && step->refused.code == 0)
        eng_write_resolve(c, step);
    if (rc == 0 && step->refused.code != 0) {
        c->err = step->refused;
        rc = c->err.code;
    }
    if (rc != 0)
        return rc;
    if (step->type == 0 || (step->outcome.code != 0 && step->type == ENG_REC_FAILED)) {
        step->type = ENG_REC_FAILED;
        step->body = (struct sx_str){step->outcome.msg, (uint32_t)strlen(step->outcome.msg), 0};
    }
    rc = eng_write_apply(c->shard, step->type, step->outcome.code, step->body, &step->number,
                         &c->err);
    if (rc == 0)
        c->number = step->number;
    /* Whoever does not wait is not told, and a batch of theirs goes on. */
    if (rc == 0 && step->outcome.code != 0 && is_waiting(c)) {
        c->err = step->outcome;
        rc = c->err.code;
    }
    return rc;
}

static void answer(struct write *wr, int rc)
{
    struct eng_call *c = wr->call;
    int wait = is_waiting(c);
    if (rc != 0) {
        c->reply.code = rc;
        c->reply.kind = SX_R_NONE;
    } else if (wr->is_batch) {
        c->reply.kind = SX_R_UPDATES;
        c->reply.u.updates.list = wr->updates;
        c->reply.u.updates.n = wr->n;
    } else {
        c->reply.kind = SX_R_UPDATE;
        c->reply.u.update = wr->updates[wr->n - 1];
    }
    if (c->number == 0) /* nothing reached the log */
        eng_call_finish(c);
    else if (rc == 0 && wait && wr->is_hidden)
        eng_wait_hidden(c->shard, c);
    else
        eng_shard_written(c->shard, c, wait);
}

static void on_strand(struct sx_task *task, struct sx_worker *w)
{
    struct write *wr = task->arg;
    struct eng_call *c = wr->call;
    struct eng_shard *s = c->shard;
    int rc = 0;
    (void)w;
    for (uint32_t i = 0; rc == 0 && i < wr->n; i++) {
        rc = run_step(c, &wr->steps[i]);
        wr->is_hidden |= rc == 0 && c->shard->table.last_hidden != 0;
        wr->updates[i] = (struct sx_update){
            wr->steps[i].number, is_waiting(c) ? SX_UPDATE_COMPLETED : SX_UPDATE_ACKNOWLEDGED, 0};
    }
    answer(wr, rc); /* wr and its call may be gone afterwards */
    eng_shard_unref(s);
}

/* --- preparing -----------------------------------------------------------------------------------
 */

static void prepare_run(struct eng_call *c, struct sx_worker *w)
{
    struct write *wr = c->writing;
    (void)w;
    for (uint32_t i = 0; i < wr->n; i++) {
        eng_write_prepare(c, &wr->steps[i], !wr->is_batch);
        if (wr->steps[i].refused.code != 0)
            break; /* the strand stops there too */
    }
    /* The call's own reference ends with its answer, which may come before the strand is through.
     */
    eng_shard_ref(c->shard);
    c->eng->exec->strand_post(c->shard->strand, &wr->task);
}

/* Two steps where both selections of a vector deletion are given, the filter's first. */
static uint32_t steps_of(uint32_t code, const void *args, struct eng_write_step *out)
{
    struct eng_write_step step = {.code = code, .args = args};
    step.refused.size = step.outcome.size = sizeof(struct sx_err);
    if (out)
        *out = step;
    if (code != SX_OP_VECTORS_DELETE)
        return 1;
    const struct sx_points *p = &((const struct sx_args_vectors_delete *)args)->points;
    if (!p->has_ids || !p->filter)
        return 1;
    if (out) {
        out[0].by_what = ENG_BY_FILTER;
        out[1] = step;
        out[1].by_what = ENG_BY_IDS;
    }
    return 2;
}

static uint64_t cost_of(uint32_t code, const void *args)
{
    if (code == SX_OP_POINTS_UPSERT || code == SX_OP_VECTORS_UPDATE) {
        const struct sx_args_upsert *a = args;
        uint64_t floats = 0;
        for (uint32_t j = 0; a->n && j < a->points[0].n_vectors; j++)
            floats += a->points[0].vectors[j].dim;
        return a->n * (floats + 200); /* about a nanosecond a float, copies and norms */
    }
    /* A filter may read any number of documents. */
    const struct sx_points *p = code == SX_OP_VECTORS_DELETE
                                    ? &((const struct sx_args_vectors_delete *)args)->points
                                : code == SX_OP_POINTS_DELETE || code == SX_OP_PAYLOAD_CLEAR
                                    ? &((const struct sx_args_points *)args)->points
                                    : &((const struct sx_args_payload *)args)->points;
    return p->filter && (!p->has_ids || code == SX_OP_VECTORS_DELETE) ? UINT64_MAX / 4 : 0;
}

static void plan_run(struct eng_call *c, struct sx_worker *w)
{
    struct sx_arena *arena = c->op->arena;
    struct sx_batch_item one = {c->op->code, 0, c->op->args};
    const struct sx_args_batch *batch = c->op->code == SX_OP_POINTS_BATCH ? c->op->args : NULL;
    const struct sx_batch_item *items = batch ? batch->items : &one;
    uint32_t n_items = batch ? batch->n : 1, n = 0;
    uint64_t cost = 0;
    (void)w;
    for (uint32_t i = 0; i < n_items; i++) {
        uint64_t one_cost = cost_of(items[i].code, items[i].args);
        n += steps_of(items[i].code, items[i].args, NULL);
        cost = one_cost > UINT64_MAX - cost ? UINT64_MAX : cost + one_cost;
    }
    struct write *wr = sx_arena_zalloc(arena, sizeof(*wr));
    struct eng_write_step *steps = sx_arena_zalloc(arena, (n + 1ull) * sizeof(*steps));
    struct sx_update *updates = sx_arena_zalloc(arena, (n + 1ull) * sizeof(*updates));
    if (!wr || !steps || !updates) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *wr = (struct write){{on_strand, NULL, wr}, c, steps, updates, 0, 0, batch != NULL, 0};
    for (uint32_t i = 0; i < n_items; i++)
        wr->n += steps_of(items[i].code, items[i].args, &steps[wr->n]);
    if (n == 0) {
        c->reply.kind = SX_R_UPDATES;
        c->reply.u.updates.list = updates;
        eng_call_finish(c);
        return;
    }
    c->writing = wr;
    c->run = prepare_run;
    eng_call_run(c, cost);
}

/* An empty batch looks at nothing, not even whether the collection exists. */
void eng_op_write(struct eng_call *c)
{
    const struct sx_args_batch *batch = c->op->code == SX_OP_POINTS_BATCH ? c->op->args : NULL;
    if (batch && batch->n == 0) {
        c->reply.kind = SX_R_UPDATES;
        eng_call_finish(c);
        return;
    }
    eng_call_on_shard(c, plan_run);
}
