/* Operations on quotas: what is in force, and setting it. */
#include "quota.h"

#include "sextant/sx_ban.h"

void eng_op_quotas_get(struct eng_call *c)
{
    struct sx_docb b;
    sx_docb_init(&b, c->eng->mem, 0);
    eng_quota_put(c->eng->quota, &b);
    eng_call_reply_doc(c, &b);
}

static void set_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    (void)w;
    if (eng_quota_set(c->eng->quota, c->op->body, &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = SX_R_BOOL;
    c->reply.u.boolean = 1;
    eng_call_finish(c);
}

void eng_op_quotas_set(struct eng_call *c)
{
    c->task.fn = set_run;
    c->task.arg = c;
    c->eng->exec->blocking(&c->task);
}
