/* Operations that read points by id, and count. */
#include <string.h>

#include "catalog.h"
#include "fetch.h"
#include "plan.h"
#include "write.h"

#include "sextant/sx_ban.h"

/* Fetches the rows found into the reply's list. */
static int reply_records(struct eng_call *c,
                         const struct eng_reader *r,
                         const uint32_t *rows,
                         uint32_t n,
                         const struct sx_selector *payload,
                         const struct sx_selector *vectors)
{
    struct sx_record *rec = sx_arena_zalloc(c->op->arena, (n ? n : 1) * sizeof(*rec));
    if (!rec)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    int rc = eng_fetch(c->shard, r, rows, n, payload, vectors, c->op->arena, rec, &c->err);
    c->reply.u.records.list.records = rec;
    c->reply.u.records.list.n = n;
    return rc;
}

static void end(struct eng_call *c, int rc, uint32_t kind)
{
    if (rc != 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = kind;
    eng_call_finish(c);
}

/* 1 when the row was not seen before: a repeated id is answered once, at its first place. */
static int is_first(uint32_t *seen, uint32_t cap, uint32_t row)
{
    uint32_t at = row * 2654435761u & (cap - 1);
    for (; seen[at] != UINT32_MAX; at = (at + 1) & (cap - 1)) {
        if (seen[at] == row)
            return 0;
    }
    seen[at] = row;
    return 1;
}

static void get_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_ids *a = c->op->args;
    struct eng_reader r;
    uint32_t n = 0, cap = 16;
    while (cap < a->n * 2ull)
        cap *= 2;
    uint32_t *rows = sx_arena_alloc(c->op->arena, (a->n ? a->n : 1) * 4ull);
    uint32_t *seen = sx_arena_alloc(c->op->arena, cap * 4ull);
    (void)w;
    if (seen)
        memset(seen, 0xff, cap * 4ull);
    if (!rows || !seen) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    int nothing = eng_check_shards(&a->shards, 0, &c->err);
    if (nothing < 0) {
        eng_call_fail_err(c);
        return;
    }
    eng_shard_read_begin(c->shard, &r);
    for (uint32_t i = 0; i < a->n && !nothing; i++) {
        uint32_t row = eng_reader_find(&r, &a->ids[i]);
        if (row != ENG_NO_ROW && is_first(seen, cap, row))
            rows[n++] = row;
    }
    int rc = reply_records(c, &r, rows, n, &a->payload, &a->vectors);
    eng_shard_read_end(c->shard);
    if (rc == 0 && c->op->code == SX_OP_POINT_GET && n == 0) {
        char id[40];
        sx_id_format(a->ids[0], id);
        eng_call_fail(c, SX_ENOTFOUND, "Point with id %s does not exists!", id);
        return;
    }
    end(c, rc, c->op->code == SX_OP_POINT_GET ? SX_R_RECORD : SX_R_RECORDS);
}

static void get_plan(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_ids *a = c->op->args;
    (void)w;
    c->run = get_run;
    eng_call_run(c, a->n * 2000ull);
}

void eng_op_points_get(struct eng_call *c)
{
    eng_call_on_shard(c, get_plan);
}

static uint64_t count_cost(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    const struct sx_args_count *a = c->op->args;
    (void)r;
    return a->exact ? eng_plan_cost(p) : 0;
}

static int count_body(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p)
{
    const struct sx_args_count *a = c->op->args;
    struct eng_estimate e;
    (void)r;
    if (a->exact)
        return eng_plan_count(p, &c->reply.u.count, &c->err);
    eng_plan_estimate(p, &e);
    c->reply.u.count = e.exp;
    return 0;
}

void eng_op_count(struct eng_call *c)
{
    const struct sx_args_count *a = c->op->args;
    struct eng_read_op *op = sx_arena_alloc(c->op->arena, sizeof(*op));
    if (!op) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *op = (struct eng_read_op){SX_R_COUNT, 0, a->filter, &a->shards, count_cost, count_body};
    eng_read_op_run(c, op);
}
