/* PATCH of a collection: new settings, durable in config.json before anybody sees them.
 *
 * Each goes from the blocking pool (the file) to the shard's strand (publishing), one at a time, so
 * that the file and what is published follow in one order. The strand computes the change anew:
 * vector names may have come or gone meanwhile. */
#include "catalog_priv.h"
#include "schema.h"

#include "sextant/sx_ban.h"

static void save_run(struct sx_task *task, struct sx_worker *w);

static void begin(struct eng_call *c)
{
    c->task.fn = save_run;
    c->task.arg = c;
    c->eng->exec->blocking(&c->task);
}

/* Answers this one and begins the next. */
static void end(struct eng_call *c, int rc)
{
    struct eng_catalog *cat = c->eng->catalog;
    pthread_mutex_lock(&cat->lock);
    cat->patches = c->next;
    struct eng_call *next = cat->patches;
    if (!next)
        cat->patches_end = &cat->patches;
    pthread_mutex_unlock(&cat->lock);
    c->next = NULL;
    if (rc != 0) {
        eng_call_fail_err(c);
    } else {
        c->reply.kind = SX_R_BOOL;
        c->reply.u.boolean = 1;
        eng_call_finish(c);
    }
    if (next)
        begin(next);
}

static void publish_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    (void)w;
    end(c, eng_schema_patch(c->shard, c->op->body, &c->err));
}

/* Writes the file. What is refused is found again, and told, by the strand. */
static void save_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    struct eng *e = c->eng;
    struct eng_reader r;
    struct eng_config *config = NULL;
    (void)w;
    eng_shard_read_begin(c->shard, &r);
    int rc = eng_config_patch(e, r.v->schema->config, c->op->body, r.v->commit, &config, &c->err);
    eng_shard_read_end(c->shard);
    if (config)
        rc = eng_catalog_save_config(e->catalog, c->col, config, &c->err);
    eng_config_destroy(e, config);
    if (rc != 0) {
        end(c, rc);
        return;
    }
    c->task.fn = publish_run;
    e->exec->strand_post(c->shard->strand, &c->task);
}

static void enqueue(struct eng_call *c, struct sx_worker *w)
{
    struct eng_catalog *cat = c->eng->catalog;
    (void)w;
    pthread_mutex_lock(&cat->lock);
    int is_first = cat->patches == NULL;
    c->next = NULL;
    *cat->patches_end = c;
    cat->patches_end = &c->next;
    pthread_mutex_unlock(&cat->lock);
    if (is_first)
        begin(c);
}

void eng_op_collection_update(struct eng_call *c)
{
    eng_call_on_shard(c, enqueue);
}
