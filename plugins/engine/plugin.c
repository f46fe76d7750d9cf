/* The engine as a module: descriptor, keys, lifecycle, and the dispatch of operations. */
#include <string.h>
#include <sys/resource.h>

#include "catalog.h"
#include "quota.h"
#include "text.h"

#include "sextant/sx_ban.h"

static int eng_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct eng *e = self;
    e->host = host;
    e->mem = host->mem;
#define GET(field, type, name)                                                                     \
    do {                                                                                           \
        e->field = host->get(host, name, sizeof(type));                                            \
        if (!e->field)                                                                             \
            return sx_err_set(err, SX_EABI, "the host lacks the service %s", name);                \
    } while (0)
    GET(exec, struct sx_exec, "sx.exec");
    GET(loops, struct sx_loop_api, "sx.loop");
    GET(epoch, struct sx_epoch, "sx.epoch");
    GET(io, struct sx_io, "sx.io");
    GET(reg, struct sx_reg, "sx.reg");
    GET(telem, struct sx_telem, "sx.telem");
    GET(time, struct sx_time, "sx.time");
    GET(cpu, struct sx_cpu, "sx.cpu");
    GET(crypto, struct sx_crypto, "sx.crypto");
#undef GET
    return 0;
}

static int eng_configure(void *self, const void *conf, struct sx_err *err)
{
    struct eng *e = self;
    const struct eng_conf *c = conf;
    if (!c->storage_path || !c->storage_path[0])
        return sx_err_set(err, SX_EINPUT, "storage.storage_path must not be empty");
    if (strcmp(c->log_sync, "always") != 0 && strcmp(c->log_sync, "interval") != 0 &&
        strcmp(c->log_sync, "os") != 0)
        return sx_err_set(err, SX_EINPUT,
                          "plugins.engine.log_sync is '%s', not one of always, interval, os",
                          c->log_sync);
    e->conf = c;
    return 0;
}

static void sum_one(void *arg, struct eng_collection *col)
{
    struct sx_sample_sink *k = arg;
    struct eng_reader r;
    struct sx_sample s = {.size = sizeof(s), .type = SX_METRIC_GAUGE};
    char labels[600];
    uint32_t n = 0;
    if (!col->shard || !eng_shard_hold(col->shard))
        return; /* not open: not worth opening for a metric */
    n += (uint32_t)sizeof("id=\"") - 1;
    memcpy(labels, "id=\"", n);
    for (uint32_t i = 0; i < col->name.n && n + 4 < sizeof(labels); i++) {
        char ch = col->name.p[i];
        if (ch == '"' || ch == '\\' || ch == '\n')
            labels[n++] = '\\';
        labels[n++] = ch == '\n' ? 'n' : ch;
    }
    labels[n++] = '"';
    labels[n] = 0;
    eng_shard_read_begin(col->shard, &r);
    s.value = (double)r.v->n_live;
    eng_shard_read_end(col->shard);
    eng_shard_release(col->shard);
    s.name = "collection_points";
    s.help = "approximate amount of points per collection";
    s.labels = labels;
    k->add(k, &s);
}

/* Values nobody counts: asked when somebody looks. */
static void collect(struct sx_sample_sink *k, void *arg)
{
    struct eng *e = arg;
    struct sx_sample s = {.size = sizeof(s), .type = SX_METRIC_GAUGE};
    if (!e->catalog)
        return;
    s.name = "collections_total";
    s.help = "number of collections";
    s.labels = "";
    s.value = eng_catalog_count(e->catalog);
    k->add(k, &s);
    eng_catalog_each(e->catalog, sum_one, k);
    eng_quota_collect(e->quota, k);
}

static int eng_start(void *self, struct sx_err *err)
{
    struct eng *e = self;
    if (!e->reg->find(SX_KIND_ROWS, e->conf->rows_kind))
        return sx_err_set(err, SX_EPRECOND, "plugins.engine.rows: no loaded module provides '%s'",
                          e->conf->rows_kind);
    if (!e->reg->find(SX_KIND_INDEX, e->conf->index_kind))
        return sx_err_set(err, SX_EPRECOND, "plugins.engine.index: no loaded module provides '%s'",
                          e->conf->index_kind);
    struct rlimit files;
    e->max_open = (uint32_t)e->conf->max_open;
    /* An open shard takes about 7 descriptors and for a moment a few more. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
        files.rlim_cur / 12 < e->max_open)
        e->max_open = (uint32_t)(files.rlim_cur / 12 > 16 ? files.rlim_cur / 12 : 16);
    if (eng_committer_create(e, &e->committer) != 0 || eng_scrub_create(e, &e->scrub) != 0)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = eng_analyzer_create(e->mem, e->reg, (struct sx_doc){NULL, 0, 0}, &e->plain_text, err);
    if (rc == 0)
        rc = eng_catalog_open(e, &e->catalog, err);
    if (rc == 0)
        rc = eng_quota_create(e, &e->quota, err);
    if (rc == 0)
        rc = e->telem->collector(collect, e);
    return rc;
}

static void eng_drain(void *self, uint64_t deadline_ns)
{
    struct eng *e = self;
    if (e->catalog)
        eng_catalog_drain(e->catalog, deadline_ns);
    /* From here on a shard that is let go closes where it is: the pools are about to end. */
    atomic_store_explicit(&e->is_stopping, 1, memory_order_release);
}

static void eng_stop(void *self)
{
    struct eng *e = self;
    atomic_store_explicit(&e->is_stopping, 1, memory_order_release);
    if (e->catalog)
        eng_catalog_close(e->catalog);
    e->catalog = NULL;
    if (e->committer)
        eng_committer_destroy(e->committer);
    e->committer = NULL;
    if (e->quota)
        eng_quota_destroy(e->quota);
    e->quota = NULL;
    if (e->scrub)
        eng_scrub_destroy(e->scrub);
    e->scrub = NULL;
    if (e->plain_text)
        eng_analyzer_destroy(e->plain_text);
    e->plain_text = NULL;
}

/* --- kind engine ---------------------------------------------------------------------------------
 */

static void (*handler(uint32_t code))(struct eng_call *)
{
    switch (code) {
    case SX_OP_COLLECTIONS_LIST:
        return eng_op_collections_list;
    case SX_OP_COLLECTION_GET:
        return eng_op_collection_get;
    case SX_OP_COLLECTION_EXISTS:
        return eng_op_collection_exists;
    case SX_OP_COLLECTION_CREATE:
        return eng_op_collection_create;
    case SX_OP_COLLECTION_UPDATE:
        return eng_op_collection_update;
    case SX_OP_COLLECTION_DELETE:
        return eng_op_collection_delete;
    case SX_OP_ALIASES_LIST:
    case SX_OP_COLLECTION_ALIASES:
        return eng_op_aliases_list;
    case SX_OP_ALIASES_UPDATE:
        return eng_op_aliases_update;
    case SX_OP_QUOTAS_GET:
        return eng_op_quotas_get;
    case SX_OP_QUOTAS_SET:
        return eng_op_quotas_set;
    case SX_OP_POINT_GET:
    case SX_OP_POINTS_GET:
        return eng_op_points_get;
    case SX_OP_SCROLL:
        return eng_op_scroll;
    case SX_OP_COUNT:
        return eng_op_count;
    case SX_OP_QUERY:
    case SX_OP_QUERY_BATCH:
    case SX_OP_SEARCH:
    case SX_OP_SEARCH_BATCH:
        return eng_op_query;
    case SX_OP_EXPLAIN:
        return eng_op_explain;
    case SX_OP_FACET:
        return eng_op_facet;
    case SX_OP_POINTS_UPSERT:
    case SX_OP_POINTS_DELETE:
    case SX_OP_VECTORS_UPDATE:
    case SX_OP_VECTORS_DELETE:
    case SX_OP_PAYLOAD_SET:
    case SX_OP_PAYLOAD_OVERWRITE:
    case SX_OP_PAYLOAD_DELETE:
    case SX_OP_PAYLOAD_CLEAR:
    case SX_OP_POINTS_BATCH:
        return eng_op_write;
    case SX_OP_INDEX_CREATE:
        return eng_op_index_create;
    case SX_OP_INDEX_DELETE:
        return eng_op_index_delete;
    case SX_OP_VECTOR_NAME_CREATE:
    case SX_OP_VECTOR_NAME_DELETE:
        return eng_op_vector_name;
    default:
        return NULL;
    }
}

static void eng_access(void *self, const struct sx_op *op, struct sx_access_sink *sink)
{
    struct sx_access a = {op->collection, sx_op_table[op->code].cls, 0};
    (void)self;
    if (op->collection.n == 0)
        a.collection.p = NULL;
    sink->add(sink, &a);
}

static int eng_submit(void *self, struct sx_op *op)
{
    struct eng *e = self;
    void (*fn)(struct eng_call *) = op->code < SX_OP__N ? handler(op->code) : NULL;
    struct eng_call *c = e->mem->zalloc(e->mem, sizeof(*c));
    if (!c)
        return SX_EAGAIN;
    c->eng = e;
    c->op = op;
    c->err.size = sizeof(c->err);
    op->held = c;
    if (!fn)
        eng_call_fail(c, SX_EUNSUPPORTED, "%s",
                      op->code < SX_OP__N ? sx_op_table[op->code].name : "");
    else
        fn(c);
    return 0;
}

static void eng_cancel(void *self, struct sx_op *op)
{
    (void)self;
    __atomic_store_n(&op->cancelled, 1, __ATOMIC_RELAXED); /* pairs with the index's look at it */
}

static int eng_serves(void *self, uint32_t code)
{
    (void)self;
    return code < SX_OP__N && handler(code) != NULL;
}

static int eng_ready(void *self)
{
    (void)self;
    return 1;
}

static const struct sx_engine_ops ops = {.size = sizeof(ops),
                                         .access = eng_access,
                                         .submit = eng_submit,
                                         .cancel = eng_cancel,
                                         .serves = eng_serves,
                                         .ready = eng_ready};

static const struct sx_provide provides[] = {
    {sizeof(struct sx_provide), SX_KIND_ENGINE, SX_ENGINE_IFACE, 0, "main", 0, &ops}};
static const struct sx_need needs[] = {
    {sizeof(struct sx_need), SX_KIND_DISTANCE, SX_DISTANCE_IFACE, SX_NEED_HARD, "*"},
    {sizeof(struct sx_need), SX_KIND_ROWS, SX_ROWS_IFACE, SX_NEED_HARD, "mmap"},
    {sizeof(struct sx_need), SX_KIND_BLOBS, SX_BLOBS_IFACE, SX_NEED_HARD, "mmap"},
    {sizeof(struct sx_need), SX_KIND_ROWS, SX_ROWS_IFACE, SX_NEED_SOFT, "ram"},
    {sizeof(struct sx_need), SX_KIND_INDEX, SX_INDEX_IFACE, SX_NEED_HARD, "*"},
};

#define KEY(type_, flags_, field, path_, def_, min_, max_, help_)                                  \
    {                                                                                              \
        sizeof(struct sx_key), type_, flags_, offsetof(struct eng_conf, field), path_, def_, min_, \
            max_, help_                                                                            \
    }
static const struct sx_key keys[] = {
    KEY(SX_KEY_STR,
        0,
        storage_path,
        "storage.storage_path",
        "./storage",
        1,
        0,
        "data root, created if missing"),
    KEY(SX_KEY_BOOL,
        0,
        on_disk_payload,
        "storage.on_disk_payload",
        "true",
        1,
        0,
        "default of the collection parameter"),
    KEY(SX_KEY_U64,
        SX_KEY_OPTIONAL,
        max_collections,
        "storage.max_collections",
        NULL,
        1,
        0,
        "most collections that may exist"),
    KEY(SX_KEY_TREE,
        0,
        optimizers,
        "storage.optimizers",
        NULL,
        1,
        0,
        "defaults of every collection's optimizers_config"),
    KEY(SX_KEY_TREE,
        0,
        hnsw,
        "storage.hnsw_index",
        NULL,
        1,
        0,
        "defaults of every collection's hnsw_config"),
    KEY(SX_KEY_TREE,
        0,
        wal,
        "storage.wal",
        NULL,
        1,
        0,
        "defaults of every collection's wal_config"),
    KEY(SX_KEY_TREE,
        0,
        collection,
        "storage.collection",
        NULL,
        1,
        0,
        "defaults of new collections"),
    KEY(SX_KEY_TREE,
        0,
        quotas,
        "storage.quotas",
        NULL,
        1,
        0,
        "limits of memory and disk; PUT /quotas beats them"),
    KEY(SX_KEY_TREE, 0, payload, "storage.payload", NULL, 1, 0, "default payload placement"),
    KEY(SX_KEY_STR,
        0,
        rows_kind,
        "rows",
        "mmap",
        1,
        0,
        "where vectors are read from unless a collection says: mmap or ram"),
    KEY(SX_KEY_STR,
        0,
        log_sync,
        "log_sync",
        "always",
        1,
        0,
        "when the log is synced: always (before wait=true is answered), interval (every "
        "log_sync_ms: a power cut loses the last moments, a killed process nothing), os (never)"),
    KEY(SX_KEY_U64,
        0,
        log_sync_ms,
        "log_sync_ms",
        "100",
        1,
        60000,
        "interval of log_sync: interval"),
    KEY(SX_KEY_STR, 0, index_kind, "index", "flat", 1, 0, "index of dense vectors"),
    KEY(SX_KEY_U64,
        0,
        checkpoint_log_mb,
        "checkpoint_log_mb",
        "32",
        1,
        65536,
        "a checkpoint when so much log would be replayed"),
    KEY(SX_KEY_U64,
        0,
        checkpoint_idle_ms,
        "checkpoint_idle_ms",
        "5000",
        10,
        86400000,
        "a checkpoint this long after the first change since the last"),
    KEY(SX_KEY_U64,
        0,
        max_open,
        "max_open_collections",
        "1000",
        16,
        1000000,
        "collections open at a time; the least recently used are closed beyond it"),
    KEY(SX_KEY_U64,
        0,
        scrub_pause_ms,
        "scrub_pause_ms",
        "10000",
        0,
        86400000,
        "pause between two pieces of data checked in the background, 0 = never check"),
    KEY(SX_KEY_U64,
        0,
        scrub_rest_ms,
        "scrub_rest_ms",
        "3600000",
        1,
        604800000,
        "rest after everything has been checked"),
};

SX_PLUGIN(engine, "engine kinds=engine abi=1.0 strict") = {
    SX_PLUGIN_HEAD(engine),
    .flags = SX_PLUGIN_STRICT,
    .name = "engine",
    .version = "0.1",
    .licence = "Apache-2.0",
    .summary = "collections, log, rows, payload, queries",
    .provides = provides,
    .n_provides = SX_COUNT(provides),
    .needs = needs,
    .n_needs = SX_COUNT(needs),
    .keys = keys,
    .n_keys = SX_COUNT(keys),
    .conf_size = sizeof(struct eng_conf),
    .instance_size = sizeof(struct eng),
    .load = eng_load,
    .configure = eng_configure,
    .start = eng_start,
    .drain = eng_drain,
    .stop = eng_stop,
};
