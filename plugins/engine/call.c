/* Calls: one operation on its way through the engine, from submit to done. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "write.h"

#include "sextant/sx_ban.h"

/* Longest work a loop thread takes over itself; a hand-off to the pool costs 50-100 us. */
#define INLINE_NS 300000u

static void finish_on_loop(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    struct sx_op *op = c->op;
    struct eng *e = c->eng;
    struct eng_collection *col = c->col;
    (void)w;
    c->reply.size = sizeof(c->reply);
    if (c->reply.code != SX_OK && !c->reply.err.p)
        c->reply.err = (struct sx_str){c->err.msg, (uint32_t)strlen(c->err.msg), 0};
    op->held = NULL;
    op->done(op, &c->reply);
    if (c->holds)
        eng_shard_release(c->shard);
    eng_collection_unref(col);
    e->mem->release(e->mem, c);
}

void eng_call_finish(struct eng_call *c)
{
    c->task.fn = finish_on_loop;
    c->task.arg = c;
    if (c->eng->loops->current() == c->op->loop)
        finish_on_loop(&c->task, c->eng->exec->self());
    else
        c->eng->loops->post(c->op->loop, &c->task);
}

void eng_call_fail(struct eng_call *c, int code, const char *fmt, ...)
{
    char tmp[1200]; /* names of 255 characters of 4 bytes fit */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(tmp, sizeof(tmp), fmt, ap);
    va_end(ap);
    c->reply.code = code;
    if (n < 0)
        n = 0;
    if ((size_t)n >= sizeof(tmp))
        n = (int)sizeof(tmp) - 1;
    char *copy = sx_arena_strdup(c->op->arena, tmp, (uint64_t)n);
    if (copy)
        c->reply.err = (struct sx_str){copy, (uint32_t)n, 0};
    else
        sx_err_set(&c->err, code, "out of memory");
    eng_call_finish(c);
}

void eng_call_fail_err(struct eng_call *c)
{
    c->reply.code = c->err.code ? c->err.code : SX_EINTERNAL;
    c->reply.kind = SX_R_NONE;
    eng_call_finish(c);
}

void eng_call_reply_doc(struct eng_call *c, struct sx_docb *b)
{
    c->reply.kind = SX_R_DOC;
    c->reply.u.doc = sx_docb_end_arena(b, c->op->arena);
    sx_docb_fini(b);
    if (c->reply.u.doc.p)
        eng_call_finish(c);
    else
        eng_call_fail(c, SX_ENOMEM, "out of memory");
}

static void run_on_pool(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    c->run(c, w);
}

void eng_call_run(struct eng_call *c, uint64_t cost_ns)
{
    struct sx_worker *w = c->eng->exec->self();
    if (cost_ns <= INLINE_NS && w) {
        c->run(c, w);
        return;
    }
    c->task.fn = run_on_pool;
    c->task.arg = c;
    c->eng->exec->submit(&c->task, SX_CLASS_QUERY);
}

void eng_call_on_shard(struct eng_call *c, void (*run)(struct eng_call *, struct sx_worker *))
{
    struct sx_str name = c->op->collection;
    c->col = eng_catalog_find(c->eng->catalog, name);
    if (!c->col) {
        eng_call_fail(c, SX_ENOTFOUND, "Collection `%.*s` doesn't exist!", (int)name.n, name.p);
        return;
    }
    c->shard = c->col->shard;
    if (!c->shard) {
        c->err = c->col->cause;
        eng_call_fail_err(c);
        return;
    }
    c->run = run;
    eng_shard_enter(c->shard, c);
}

static struct sx_str key_text(const struct sx_shard_key *k, char out[300])
{
    int n = k->text.p ? snprintf(out, 300, "\"%.*s\"", (int)(k->text.n > 255 ? 255 : k->text.n),
                                 k->text.p)
                      : snprintf(out, 300, "%llu", (unsigned long long)k->num);
    return (struct sx_str){out, n > 0 ? (uint32_t)n : 0, 0};
}

int eng_check_shards(const struct sx_shards *shards, int is_write, struct sx_err *err)
{
    char a[300], b[300];
    if (shards->mode == SX_SHARDS_ALL)
        return 0;
    if (shards->mode == SX_SHARDS_FALLBACK) {
        key_text(&shards->keys[0], a);
        key_text(&shards->keys[1], b);
        return sx_err_set(err, SX_ENOTFOUND,
                          "Neither target shard key %s nor fallback shard key %s exist not found",
                          a, b);
    }
    if (shards->n == 0)
        return is_write ? sx_err_set(err, SX_EINPUT, "Empty shard keys selection") : 1;
    key_text(&shards->keys[0], a);
    return sx_err_set(err, is_write ? SX_EINPUT : SX_EBADREQ, "Shard key %s not found", a);
}
