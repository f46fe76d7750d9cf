/* Operations on payload indexes: create, delete.
 *
 * Both are changes of the shard's schema and go through its log like every write. They take two
 * operation numbers and answer the second, as clients have come to see. With wait=true a creation
 * is answered when the index covers every row; until then filters read documents. */
#include <string.h>

#include "catalog.h"
#include "field_work.h"
#include "quota.h"
#include "write.h"

#include "sextant/sx_ban.h"

struct change {
    struct sx_task task;
    struct eng_call *call;
    uint16_t type;
    struct sx_str body;
};

/* A name that exists with another configuration is refused before the log. */
static int check_column(const struct change *ch, struct sx_err *err)
{
    struct eng_call *c = ch->call;
    struct sx_doc d = {(const uint8_t *)ch->body.p, ch->body.n, 0};
    struct eng_config *config = NULL;
    if (ch->type != ENG_REC_COLUMN_CREATE)
        return 0;
    int rc = eng_config_change(c->eng, c->shard->table.schema->config, c->op->name, d, 0, 0,
                               &config, err);
    eng_config_destroy(c->eng, config);
    return rc;
}

static void on_strand(struct sx_task *task, struct sx_worker *w)
{
    static const struct sx_str nothing = {"", 0, 0};
    struct change *ch = task->arg;
    struct eng_call *c = ch->call;
    struct eng_shard *s = c->shard;
    int wait = (c->op->flags & SX_OP_WAIT) != 0;
    (void)w;
    int rc = eng_write_refused(s, &c->err);
    if (rc == 0 && (ch->type == ENG_REC_FIELD_CREATE || ch->type == ENG_REC_COLUMN_CREATE))
        rc = eng_quota_refuses(c->eng->quota, &c->err);
    if (rc == 0)
        rc = check_column(ch, &c->err);
    if (rc == 0)
        rc = eng_write_apply(s, ENG_REC_NOTHING, 0, nothing, &c->number, &c->err);
    if (rc == 0)
        rc = eng_write_apply(s, ch->type, 0, ch->body, &c->number, &c->err);
    if (rc != 0) {
        eng_call_fail_err(c);
        eng_shard_unref(s);
        return;
    }
    c->reply.kind = SX_R_UPDATE;
    c->reply.u.update =
        (struct sx_update){c->number, wait ? SX_UPDATE_COMPLETED : SX_UPDATE_ACKNOWLEDGED, 0};
    /* A call that waits for the build goes on from there. */
    if (!wait || ch->type != ENG_REC_FIELD_CREATE ||
        !eng_field_work_wait(s, c, &((const struct sx_args_field *)c->op->args)->field))
        eng_shard_written(s, c, wait);
    eng_shard_unref(s);
}

static void post(struct eng_call *c, uint16_t type, struct sx_docb *b)
{
    struct change *ch = sx_arena_zalloc(c->op->arena, sizeof(*ch));
    struct sx_doc d = sx_docb_end_arena(b, c->op->arena);
    sx_docb_fini(b);
    if (!ch || !d.p) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *ch = (struct change){{on_strand, NULL, ch}, c, type, {(const char *)d.p, d.n, 0}};
    eng_shard_ref(c->shard);
    c->eng->exec->strand_post(c->shard->strand, &ch->task);
}

static int put_path(struct eng_call *c, struct sx_docb *b, const struct sx_path *path)
{
    struct sx_buf text;
    sx_buf_init(&text, c->eng->mem);
    sx_path_print(path, &text);
    sx_docb_ckey(b, "path");
    sx_docb_str(b, text.p, (uint32_t)text.n);
    int failed = text.failed != 0;
    sx_buf_fini(&text);
    return failed;
}

static void create_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_field *a = c->op->args;
    struct eng_field_schema *f = NULL;
    struct sx_docb b;
    (void)w;
    if (!a->schema.p) {
        eng_call_fail(c, SX_EBADREQ,
                      "Can't auto-detect field type, please specify `field_schema` in the request");
        return;
    }
    /* What is wrong with the schema is found before the log. */
    if (eng_field_schema_parse(c->eng->mem, c->eng->reg, &a->field, a->schema, (int)a->bare, &f,
                               &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    eng_field_schema_destroy(c->eng->mem, f);
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    b.failed |= (uint32_t)put_path(c, &b, &a->field);
    sx_docb_ckey(&b, "bare");
    sx_docb_bool(&b, (int)a->bare);
    sx_docb_ckey(&b, "schema");
    sx_docb_doc(&b, a->schema);
    sx_docb_close(&b);
    post(c, ENG_REC_FIELD_CREATE, &b);
}

void eng_op_index_create(struct eng_call *c)
{
    eng_call_on_shard(c, create_run);
}

static void delete_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_field *a = c->op->args;
    struct sx_docb b;
    (void)w;
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    b.failed |= (uint32_t)put_path(c, &b, &a->field);
    sx_docb_close(&b);
    post(c, ENG_REC_FIELD_DROP, &b);
}

void eng_op_index_delete(struct eng_call *c)
{
    eng_call_on_shard(c, delete_run);
}

/* --- vector names ------------------------------------------------------------------------------
 */

static void name_run(struct eng_call *c, struct sx_worker *w)
{
    struct sx_doc body = c->op->body;
    struct sx_doc dense = sx_doc_get(body, "dense"), sparse = sx_doc_get(body, "sparse");
    int is_create = c->op->code == SX_OP_VECTOR_NAME_CREATE;
    struct sx_docb b;
    (void)w;
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "name");
    sx_docb_str(&b, c->op->name.p, c->op->name.n);
    if (is_create) {
        sx_docb_ckey(&b, dense.p ? "dense" : "sparse");
        sx_docb_doc(&b, dense.p ? dense : sparse);
    }
    sx_docb_close(&b);
    post(c, is_create ? ENG_REC_COLUMN_CREATE : ENG_REC_COLUMN_DROP, &b);
}

void eng_op_vector_name(struct eng_call *c)
{
    eng_call_on_shard(c, name_run);
}
