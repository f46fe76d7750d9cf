/* Operations on collections: list, info, exists, create, delete; aliases. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alias.h"
#include "catalog.h"
#include "schema.h"

#include "sextant/sx_ban.h"

static void list_one(void *arg, struct eng_collection *col)
{
    struct sx_docb *b = arg;
    sx_docb_obj(b);
    sx_docb_ckey(b, "name");
    sx_docb_str(b, col->name.p, col->name.n);
    sx_docb_close(b);
}

void eng_op_collections_list(struct eng_call *c)
{
    struct sx_docb b;
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "collections");
    sx_docb_arr(&b);
    eng_catalog_each(c->eng->catalog, list_one, &b);
    sx_docb_close(&b);
    sx_docb_close(&b);
    eng_call_reply_doc(c, &b);
}

void eng_op_collection_exists(struct eng_call *c)
{
    struct sx_docb b;
    struct eng_collection *col = eng_catalog_find(c->eng->catalog, c->op->collection);
    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "exists");
    sx_docb_bool(&b, col != NULL);
    sx_docb_close(&b);
    eng_collection_unref(col);
    eng_call_reply_doc(c, &b);
}

static void put_u64(struct sx_docb *b, const char *key, uint64_t v)
{
    sx_docb_ckey(b, key);
    sx_docb_u64(b, v);
}

static void put_time(struct sx_docb *b, const char *key, uint64_t ns)
{
    char text[64];
    struct tm tm;
    time_t s = (time_t)(ns / 1000000000u);
    if (!gmtime_r(&s, &tm))
        return;
    int n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (unsigned)(ns % 1000000000u / 1000u));
    sx_docb_ckey(b, key);
    sx_docb_str(b, text, (uint32_t)n);
}

static int wants_inline(struct sx_doc hnsw)
{
    return sx_doc_get_bool(hnsw, "inline_storage", 0);
}

/* Options that are stored and echoed but cannot work as asked. */
static void warn_vector(
    struct sx_docb *b, struct sx_doc config, struct sx_str name, struct sx_doc v, uint32_t *n)
{
    struct sx_doc q = sx_doc_get(v, "quantization_config");
    struct sx_doc own = sx_doc_get(sx_doc_get(v, "hnsw_config"), "inline_storage");
    char text[400];
    if (!(own.p ? wants_inline(sx_doc_get(v, "hnsw_config"))
                : wants_inline(sx_doc_get(config, "hnsw_config"))))
        return;
    const char *what = NULL;
    if (sx_doc_type(sx_doc_get(v, "multivector_config")) == SX_DOC_OBJ)
        what = "is not compatible with multivectors";
    else if (sx_doc_type(q) != SX_DOC_OBJ &&
             sx_doc_type(sx_doc_get(config, "quantization_config")) != SX_DOC_OBJ)
        what = "requires quantization to be enabled";
    if (!what)
        return;
    int len = snprintf(text, sizeof(text),
                       "The `hnsw_config.inline_storage` option for vector '%.*s' %s. This option "
                       "will be ignored.",
                       (int)name.n, name.p, what);
    if ((*n)++ == 0) {
        sx_docb_ckey(b, "warnings");
        sx_docb_arr(b);
    }
    sx_docb_obj(b);
    sx_docb_ckey(b, "message");
    sx_docb_str(b, text, (uint32_t)len);
    sx_docb_close(b);
}

static void put_warnings(struct sx_docb *b, const struct eng_config *config)
{
    struct sx_doc vectors = sx_doc_get(sx_doc_get(config->doc, "params"), "vectors");
    uint32_t n = 0;
    if (!config->is_named)
        warn_vector(b, config->doc, (struct sx_str){"", 0, 0}, vectors, &n);
    for (uint32_t i = 0; config->is_named && i < sx_doc_count(vectors); i++) {
        struct sx_str name;
        struct sx_doc v = sx_doc_member(vectors, i, &name);
        warn_vector(b, config->doc, name, v, &n);
    }
    if (n)
        sx_docb_close(b);
}

/* 1.20 clients know the time of creation; a server that says it is older does not tell it. */
static int tells_created(const struct sx_host *host)
{
    const char *dot = strchr(host->compat_version, '.');
    uint32_t minor = 0;
    for (const char *p = dot ? dot + 1 : ""; *p >= '0' && *p <= '9'; p++)
        minor = minor * 10 + (uint32_t)(*p - '0');
    return minor >= 20;
}

/* Points with at least one value the index accepts. Rows that no part covers yet are not counted:
 * the figure grows while the index is being built. */
static uint64_t field_points(const struct eng_reader *r, const struct eng_field_schema *f)
{
    struct eng_bits visible;
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->v->n_chunks; i++) {
        eng_reader_visible(r, i, &visible);
        n += eng_field_points(f->field, i, r->v->fill[i], &visible, NULL);
    }
    return n;
}

static void put_schema(struct sx_docb *b, const struct eng_reader *r)
{
    sx_docb_ckey(b, "payload_schema");
    sx_docb_obj(b);
    for (uint32_t i = 0; i < r->v->schema->n_fields; i++) {
        const struct eng_field_schema *f = r->v->schema->fields[i];
        sx_docb_key(b, f->canonical.p, f->canonical.n);
        sx_docb_obj(b);
        sx_docb_ckey(b, "data_type");
        sx_docb_cstr(b, eng_field_type_name(f->type));
        if (f->params.p) {
            sx_docb_ckey(b, "params");
            sx_docb_doc(b, f->params);
        }
        put_u64(b, "points", field_points(r, f));
        sx_docb_close(b);
    }
    sx_docb_close(b);
}

static void info_run(struct eng_call *c, struct sx_worker *w)
{
    struct eng_shard *s = c->shard;
    struct eng_reader r;
    struct sx_docb b;
    int failed = atomic_load_explicit(&s->write_failed, memory_order_acquire) ||
                 atomic_load_explicit(&s->damaged, memory_order_acquire);
    (void)w;
    eng_shard_read_begin(s, &r);
    uint64_t points = r.v->n_live, hidden = r.v->n_hidden;
    int defers = sx_doc_get_bool(sx_doc_get(r.v->schema->config->doc, "optimizer_config"),
                                 "prevent_unoptimized", 0);

    sx_docb_init(&b, c->eng->mem, 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "status");
    sx_docb_cstr(&b, failed ? "red" : hidden ? "yellow" : "green");
    sx_docb_ckey(&b, "optimizer_status");
    if (failed) {
        char cause[sizeof(s->cause.msg)];
        pthread_mutex_lock(&s->lock);
        memcpy(cause, s->cause.msg, sizeof(cause));
        pthread_mutex_unlock(&s->lock);
        sx_docb_obj(&b);
        sx_docb_ckey(&b, "error");
        sx_docb_cstr(&b, cause);
        sx_docb_close(&b);
    } else {
        sx_docb_cstr(&b, "ok");
    }
    put_warnings(&b, r.v->schema->config);
    put_u64(&b, "indexed_vectors_count", 0);
    put_u64(&b, "points_count", points);
    put_u64(&b, "segments_count", r.v->schema->config->n_segments);
    sx_docb_ckey(&b, "config");
    sx_docb_doc(&b, r.v->schema->config->doc);
    put_schema(&b, &r);
    eng_shard_read_end(s);
    sx_docb_ckey(&b, "update_queue");
    sx_docb_obj(&b);
    put_u64(&b, "length", 0);
    if (defers)
        put_u64(&b, "deferred_points", hidden);
    sx_docb_close(&b);
    if (c->col->created_ns && tells_created(c->eng->host))
        put_time(&b, "created_at", c->col->created_ns);
    sx_docb_close(&b);
    eng_call_reply_doc(c, &b);
}

/* Counting the points of indexes looks at every row's bit. */
static void info_plan(struct eng_call *c, struct sx_worker *w)
{
    struct eng_reader r;
    (void)w;
    eng_shard_read_begin(c->shard, &r);
    uint64_t cost = (uint64_t)r.v->n_chunks * r.v->schema->n_fields * 30000;
    eng_shard_read_end(c->shard);
    c->run = info_run;
    eng_call_run(c, cost);
}

void eng_op_collection_get(struct eng_call *c)
{
    eng_call_on_shard(c, info_plan);
}

static void create_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    struct sx_doc config = {c->reply.u.doc.p, c->reply.u.doc.n, 0};
    (void)w;
    memset(&c->reply, 0, sizeof(c->reply));
    if (eng_catalog_make(c->eng->catalog, c->col, config, &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    sx_log(c->eng->host, SX_LOG_INFO, "catalog", "Creating collection %.*s", (int)c->col->name.n,
           c->col->name.p);
    c->reply.kind = SX_R_BOOL;
    c->reply.u.boolean = 1;
    eng_call_finish(c);
}

void eng_op_collection_create(struct eng_call *c)
{
    struct sx_doc config;
    struct sx_str name = c->op->collection;
    int rc = eng_catalog_reserve(c->eng->catalog, name, &c->col, &c->err);
    if (rc == SX_EEXIST) {
        eng_call_fail(c, rc, "Collection `%.*s` already exists!", (int)name.n, name.p);
        return;
    }
    if (rc != 0) {
        eng_call_fail_err(c);
        return;
    }
    rc = eng_config_build(c->eng, c->op->body, &config, &c->err);
    if (rc != 0) {
        /* Gives the name back through the same door. */
        struct sx_err first = c->err;
        eng_catalog_make(c->eng->catalog, c->col, (struct sx_doc){NULL, 0, 0}, &c->err);
        c->err = first;
        eng_call_fail_err(c);
        return;
    }
    c->reply.u.doc = config; /* carried to the blocking pool */
    c->task.fn = create_run;
    c->task.arg = c;
    c->eng->exec->blocking(&c->task);
}

static void delete_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    struct eng *e = c->eng;
    struct eng_collection *col = c->col;
    struct sx_store_id id = col->id;
    (void)w;
    c->col = NULL; /* the drop consumes the map's reference */
    sx_log(e->host, SX_LOG_INFO, "catalog", "Deleting collection %.*s", (int)col->name.n,
           col->name.p);
    if (eng_catalog_drop(e->catalog, col, &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = SX_R_BOOL;
    c->reply.u.boolean = 1;
    eng_call_finish(c);
    eng_catalog_sweep(e->catalog, &id);
}

void eng_op_collection_delete(struct eng_call *c)
{
    c->col = eng_catalog_take(c->eng->catalog, c->op->collection);
    if (!c->col) {
        c->reply.kind = SX_R_BOOL;
        c->reply.u.boolean = 0;
        eng_call_finish(c);
        return;
    }
    c->task.fn = delete_run;
    c->task.arg = c;
    c->eng->exec->blocking(&c->task);
}

void eng_op_aliases_list(struct eng_call *c)
{
    struct sx_docb b;
    struct sx_str of = c->op->collection;
    if (c->op->code == SX_OP_ALIASES_LIST)
        of.p = NULL;
    sx_docb_init(&b, c->eng->mem, 0);
    eng_aliases_list(c->eng->catalog, of, &b);
    eng_call_reply_doc(c, &b);
}

static void aliases_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_call *c = task->arg;
    (void)w;
    if (eng_aliases_update(c->eng->catalog, sx_doc_get(c->op->body, "actions"), &c->err) != 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = SX_R_BOOL;
    c->reply.u.boolean = 1;
    eng_call_finish(c);
}

void eng_op_aliases_update(struct eng_call *c)
{
    c->task.fn = aliases_run;
    c->task.arg = c;
    c->eng->exec->blocking(&c->task);
}
