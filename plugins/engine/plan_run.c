/* Read operations with a filter: here or on the pool; see plan.h. */
#include <string.h>

#include "plan.h"
#include "write.h"

#include "sextant/sx_ban.h"

#define HERE_NS 200000u /* a loop thread's share; a hand-off costs 50-100 us */

static void run(struct eng_call *c, int may_hand_off)
{
    struct eng_read_op *op = c->reading;
    struct eng_reader r;
    struct eng_plan *p = NULL;
    int rc = eng_check_shards(op->shards, 0, &c->err), nothing = rc == 1;
    eng_shard_read_begin(c->shard, &r);
    if (rc == 0)
        rc = eng_plan_create(c->shard, &r, op->filter, c->op->arena, &p, &c->err);
    int hand_off = rc == 0 && !nothing && may_hand_off && op->cost(c, &r, p) > HERE_NS;
    if (rc == 0 && !nothing && !hand_off)
        rc = op->body(c, &r, p);
    eng_plan_destroy(p);
    eng_shard_read_end(c->shard);
    if (hand_off) {
        eng_call_run(c, UINT64_MAX);
        return;
    }
    if (rc < 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = op->reply_kind;
    eng_call_finish(c);
}

static void on_pool(struct eng_call *c, struct sx_worker *w)
{
    (void)w;
    run(c, 0);
}

static void first(struct eng_call *c, struct sx_worker *w)
{
    c->run = on_pool;
    run(c, w != NULL);
}

void eng_read_op_run(struct eng_call *c, struct eng_read_op *op)
{
    c->reading = op;
    eng_call_on_shard(c, first);
}
