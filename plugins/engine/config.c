/* Collection configuration, see config.h. Runs at create and at open only, so it favours clarity:
 * the merge is written once, over documents, and the same text goes to disk and to clients. */
#include "config.h"

#include <string.h>

#include "sextant/sx_ban.h"

static void put_member(struct sx_docb *b, const char *key, struct sx_doc v)
{
    if (v.p) {
        sx_docb_ckey(b, key);
        sx_docb_doc(b, v);
    }
}

static int is_set(struct sx_doc v)
{
    return v.p && sx_doc_type(v) != SX_DOC_NULL;
}

/* First of the two that is set. */
static struct sx_doc either(struct sx_doc a, struct sx_doc b)
{
    return is_set(a) ? a : b;
}

struct field {
    const char *name, *alias; /* in the defaults tree of the server's configuration */
    const char *def;          /* "null", a number or a bool, as JSON */
    uint32_t optional;        /* not echoed while unset */
};

static const struct field hnsw_fields[] = {
    {"m", "m", "16", 0},
    {"ef_construct", "ef_construct", "100", 0},
    {"full_scan_threshold", "full_scan_threshold_kb", "10000", 0},
    {"max_indexing_threads", "max_indexing_threads", "0", 0},
    {"on_disk", "on_disk", "false", 0},
    {"memory", "memory", NULL, 1},
    {"payload_m", "payload_m", NULL, 1},
    {"inline_storage", "inline_storage", NULL, 1},
};
static const struct field optimizer_fields[] = {
    {"deleted_threshold", "deleted_threshold", "0.2", 0},
    {"vacuum_min_vector_number", "vacuum_min_vector_number", "1000", 0},
    {"default_segment_number", "default_segment_number", "0", 0},
    {"max_segment_size", "max_segment_size_kb", "null", 0},
    {"memmap_threshold", "memmap_threshold_kb", "null", 0},
    {"indexing_threshold", "indexing_threshold_kb", "10000", 0},
    {"flush_interval_sec", "flush_interval_sec", "5", 0},
    {"max_optimization_threads", "max_optimization_threads", "null", 0},
    {"prevent_unoptimized", "prevent_unoptimized", "null", 0},
};
static const struct field wal_fields[] = {
    {"wal_capacity_mb", "wal_capacity_mb", "32", 0},
    {"wal_segments_ahead", "wal_segments_ahead", "0", 0},
    {"wal_retain_closed", "wal_retain_closed", "1", 0},
};

/* The compiled-in default of a field as a value. */
static void put_default(struct sx_docb *b, const char *def)
{
    char *end = NULL;
    if (!strcmp(def, "null")) {
        sx_docb_null(b);
    } else if (!strcmp(def, "false")) {
        sx_docb_bool(b, 0);
    } else if (strchr(def, '.')) {
        sx_docb_f64(b, sx_num_f64(def, strlen(def)));
    } else {
        uint64_t v = 0;
        for (end = (char *)(uintptr_t)def; *end; end++)
            v = v * 10 + (uint64_t)(*end - '0');
        sx_docb_u64(b, v);
    }
}

static void put_section(struct sx_docb *b,
                        const char *key,
                        const struct field *fields,
                        uint32_t n,
                        struct sx_doc given,
                        struct sx_doc defaults)
{
    sx_docb_ckey(b, key);
    sx_docb_obj(b);
    for (uint32_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        struct sx_doc v = either(sx_doc_get(given, f->name), either(sx_doc_get(defaults, f->alias),
                                                                    sx_doc_get(defaults, f->name)));
        if (sx_doc_type(v) == SX_DOC_STR && !strcmp(f->name, "max_optimization_threads")) {
            sx_docb_ckey(b, f->name); /* "auto" is the absence of a number */
            sx_docb_null(b);
        } else if (is_set(v)) {
            put_member(b, f->name, v);
        } else if (!f->optional) {
            sx_docb_ckey(b, f->name);
            put_default(b, f->def);
        }
    }
    sx_docb_close(b);
}

static const char *const vector_fields[] = {
    "size",    "distance", "hnsw_config", "quantization_config",
    "on_disk", "memory",   "datatype",    "multivector_config"};

/* One dense vector's parameters: what was set, in the order clients know; empty diffs vanish. */
static void put_vector(struct sx_docb *b, struct sx_doc v, struct sx_doc defaults)
{
    sx_docb_obj(b);
    for (uint32_t i = 0; i < SX_COUNT(vector_fields); i++) {
        struct sx_doc f = sx_doc_get(v, vector_fields[i]);
        if (!strcmp(vector_fields[i], "on_disk") && !is_set(f) && !is_set(sx_doc_get(v, "memory")))
            f = sx_doc_get(defaults, "on_disk");
        if (!strcmp(vector_fields[i], "memory") && !is_set(f) && !is_set(sx_doc_get(v, "on_disk")))
            f = sx_doc_get(defaults, "memory");
        if (!is_set(f) || (sx_doc_type(f) == SX_DOC_OBJ && sx_doc_count(f) == 0))
            continue;
        put_member(b, vector_fields[i], f);
    }
    sx_docb_close(b);
}

static int is_single(struct sx_doc vectors)
{
    /* A map of names can hold vectors called "size" and "distance", but those are objects. */
    uint32_t t = sx_doc_type(sx_doc_get(vectors, "size"));
    return t == SX_DOC_I64 || t == SX_DOC_U64;
}

/* Names must be short and free of what file systems and URLs give a meaning. */
static int check_name(const char *kind, struct sx_str name, struct sx_err *err)
{
    static const char forbidden[] = {'<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', 0x1f};
    if (name.n > 200) { /* the text repeats the name whole: longer than an error buffer, so cut */
        return sx_err_set(
            err, SX_EINPUT,
            "Invalid %s vector name `%.*s`: vector name must be at most 200 bytes long", kind, 120,
            name.p);
    }
    for (uint32_t i = 0; i < sizeof(forbidden); i++) {
        if (name.n && memchr(name.p, forbidden[i], name.n))
            return sx_err_set(
                err, SX_EINPUT,
                "Invalid %s vector name `%.*s`: vector name cannot contain \"%c\" char", kind,
                (int)(name.n > 120 ? 120 : name.n), name.p, forbidden[i]);
    }
    return 0;
}

static int check_names(struct sx_doc body, struct sx_err *err)
{
    struct sx_doc dense = sx_doc_get(body, "vectors"), sparse = sx_doc_get(body, "sparse_vectors");
    struct sx_str name;
    uint32_t n_dense = is_single(dense) ? 1 : sx_doc_count(dense);
    int rc = 0;
    if (n_dense + (uint64_t)sx_doc_count(sparse) > ENG_MAX_COLUMNS)
        return sx_err_set(err, SX_EINPUT, "at most %u named vectors are supported",
                          ENG_MAX_COLUMNS);
    for (uint32_t i = 0; rc == 0 && !is_single(dense) && i < sx_doc_count(dense); i++) {
        sx_doc_member(dense, i, &name);
        rc = check_name("dense", name, err);
    }
    for (uint32_t i = 0; rc == 0 && i < sx_doc_count(sparse); i++) {
        sx_doc_member(sparse, i, &name);
        if (name.n == 0)
            return sx_err_set(err, SX_EINPUT, "Sparse vector name cannot be empty");
        rc = check_name("sparse", name, err);
        if (rc == 0 && !is_single(dense) && sx_doc_get_n(dense, name.p, name.n).p)
            rc = sx_err_set(err, SX_EINPUT,
                            "Dense and sparse vector names must be unique - duplicate found with "
                            "'%.*s'",
                            (int)name.n, name.p);
    }
    return rc;
}

/* What would change answers and is not served yet is refused, not ignored. */
static int check_served(struct eng *e, struct sx_doc body, struct sx_err *err)
{
    struct sx_doc over = sx_doc_get(body, "strict_mode_config");
    struct sx_doc under = sx_doc_get(e->conf->collection, "strict_mode");
    struct sx_doc on = either(sx_doc_get(over, "enabled"), sx_doc_get(under, "enabled"));
    if (sx_doc_type(on) == SX_DOC_TRUE && sx_doc_count(over) + sx_doc_count(under) > 1)
        return sx_err_set(err, SX_EUNSUPPORTED, "strict mode limits");
    struct sx_str method = sx_doc_str(sx_doc_get(body, "sharding_method"));
    if (method.p && method.n == 6 && !memcmp(method.p, "custom", 6))
        return sx_err_set(err, SX_EUNSUPPORTED, "custom sharding");
    if (sx_doc_get_bool(sx_doc_get(body, "optimizers_config"), "prevent_unoptimized", 0))
        return sx_err_set(err, SX_EUNSUPPORTED, "prevent_unoptimized");
    return 0;
}

/* Members of a map in byte order of their names. Indices into v go to order[]. */
static uint32_t sorted_members(struct sx_doc v, uint32_t *order, uint32_t max)
{
    uint32_t n = sx_doc_count(v) < max ? sx_doc_count(v) : max;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str key, other;
        uint32_t j = i;
        sx_doc_member(v, i, &key);
        for (; j > 0; j--) {
            sx_doc_member(v, order[j - 1], &other);
            uint32_t m = key.n < other.n ? key.n : other.n;
            int c = memcmp(key.p, other.p, m);
            if (c > 0 || (c == 0 && key.n >= other.n))
                break;
            order[j] = order[j - 1];
        }
        order[j] = i;
    }
    return n;
}

static void put_vectors(struct sx_docb *b, struct sx_doc vectors, struct sx_doc defaults)
{
    uint32_t order[ENG_MAX_COLUMNS];
    sx_docb_ckey(b, "vectors");
    if (is_single(vectors)) {
        put_vector(b, vectors, defaults);
        return;
    }
    uint32_t n = sorted_members(vectors, order, ENG_MAX_COLUMNS);
    struct sx_str key;
    sx_docb_obj(b);
    for (uint32_t i = 0; i < n; i++) {
        struct sx_doc v = sx_doc_member(vectors, order[i], &key);
        sx_docb_key(b, key.p, key.n);
        put_vector(b, v, defaults);
    }
    sx_docb_close(b);
}

/* Strict mode: the request's fields over the default's, field by field. */
static void
put_overlay(struct sx_docb *b, const char *name, struct sx_doc over, struct sx_doc under)
{
    if (!is_set(over) && !is_set(under))
        return;
    sx_docb_ckey(b, name);
    sx_docb_obj(b);
    struct sx_str key;
    for (uint32_t i = 0; i < sx_doc_count(over); i++) {
        struct sx_doc v = sx_doc_member(over, i, &key);
        if (is_set(v)) {
            sx_docb_key(b, key.p, key.n);
            sx_docb_doc(b, v);
        }
    }
    for (uint32_t i = 0; i < sx_doc_count(under); i++) {
        struct sx_doc v = sx_doc_member(under, i, &key);
        if (is_set(v) && !is_set(sx_doc_get_n(over, key.p, key.n))) {
            sx_docb_key(b, key.p, key.n);
            sx_docb_doc(b, v);
        }
    }
    sx_docb_close(b);
}

static void put_count(struct sx_docb *b, const char *key, struct sx_doc given, struct sx_doc def)
{
    struct sx_doc v = either(given, def);
    if (is_set(v)) {
        put_member(b, key, v);
    } else {
        sx_docb_ckey(b, key);
        sx_docb_u64(b, 1);
    }
}

static void put_params(struct eng *e, struct sx_docb *b, struct sx_doc body)
{
    struct sx_doc cd = e->conf->collection;
    sx_docb_ckey(b, "params");
    sx_docb_obj(b);
    put_vectors(b, sx_doc_get(body, "vectors"), sx_doc_get(cd, "vectors"));
    struct sx_doc per_node = sx_doc_get(cd, "shard_number_per_node");
    put_count(b, "shard_number", sx_doc_get(body, "shard_number"),
              either(sx_doc_get(cd, "shard_number"), per_node));
    if (is_set(sx_doc_get(body, "sharding_method")))
        put_member(b, "sharding_method", sx_doc_get(body, "sharding_method"));
    put_count(b, "replication_factor", sx_doc_get(body, "replication_factor"),
              sx_doc_get(cd, "replication_factor"));
    put_count(b, "write_consistency_factor", sx_doc_get(body, "write_consistency_factor"),
              sx_doc_get(cd, "write_consistency_factor"));
    if (is_set(sx_doc_get(body, "on_disk_payload"))) {
        put_member(b, "on_disk_payload", sx_doc_get(body, "on_disk_payload"));
    } else {
        sx_docb_ckey(b, "on_disk_payload");
        sx_docb_bool(b, (int)e->conf->on_disk_payload);
    }
    if (is_set(sx_doc_get(body, "payload")))
        put_member(b, "payload", sx_doc_get(body, "payload"));
    else if (is_set(sx_doc_get(e->conf->payload, "memory")))
        put_member(b, "payload", e->conf->payload);
    if (is_set(sx_doc_get(body, "id_tracker")))
        put_member(b, "id_tracker", sx_doc_get(body, "id_tracker"));
    if (is_set(sx_doc_get(body, "sparse_vectors")))
        put_member(b, "sparse_vectors", sx_doc_get(body, "sparse_vectors"));
    sx_docb_close(b);
}

int eng_config_build(struct eng *e, struct sx_doc body, struct sx_doc *out, struct sx_err *err)
{
    struct sx_docb b;
    int rc = check_names(body, err);
    if (rc == 0)
        rc = check_served(e, body, err);
    if (rc != 0)
        return rc;

    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    put_params(e, &b, body);
    put_section(&b, "hnsw_config", hnsw_fields, SX_COUNT(hnsw_fields),
                sx_doc_get(body, "hnsw_config"), e->conf->hnsw);
    put_section(&b, "optimizer_config", optimizer_fields, SX_COUNT(optimizer_fields),
                sx_doc_get(body, "optimizers_config"), e->conf->optimizers);
    put_section(&b, "wal_config", wal_fields, SX_COUNT(wal_fields), sx_doc_get(body, "wal_config"),
                e->conf->wal);
    struct sx_doc q = either(sx_doc_get(body, "quantization_config"),
                             sx_doc_get(e->conf->collection, "quantization"));
    sx_docb_ckey(&b, "quantization_config");
    if (is_set(q))
        sx_docb_doc(&b, q);
    else
        sx_docb_null(&b);
    put_overlay(&b, "strict_mode_config", sx_doc_get(body, "strict_mode_config"),
                sx_doc_get(e->conf->collection, "strict_mode"));
    if (is_set(sx_doc_get(body, "metadata")))
        put_member(&b, "metadata", sx_doc_get(body, "metadata"));
    sx_docb_close(&b);
    if (rc == 0) {
        struct sx_doc d = sx_docb_end(&b);
        uint8_t *copy = d.p ? e->mem->alloc(e->mem, d.n) : NULL;
        if (!copy) {
            rc = sx_err_set(err, SX_ENOMEM, "out of memory");
        } else {
            memcpy(copy, d.p, d.n);
            *out = (struct sx_doc){copy, d.n, 0};
        }
    }
    sx_docb_fini(&b);
    return rc;
}

static int str_is(struct sx_str s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static int parse_column(
    struct eng *e, struct eng_config *c, struct sx_str name, struct sx_doc v, struct sx_err *err)
{
    struct eng_column_conf *col = &c->columns[c->n_columns];
    struct sx_str dist = sx_doc_str(sx_doc_get(v, "distance"));
    struct sx_str dt = sx_doc_str(sx_doc_get(v, "datatype"));
    struct sx_str memory = sx_doc_str(sx_doc_get(v, "memory"));
    int64_t size = sx_doc_get_i64(v, "size", 0);
    char dname[32] = "";

    if (size < 1 || size > 65536 || !dist.p || dist.n >= sizeof(dname))
        return sx_err_set(err, SX_ECORRUPT, "vector parameters are incomplete");
    memcpy(dname, dist.p, dist.n);
    col->name = name;
    col->id = col->slot = c->n_columns;
    col->dim = (uint32_t)size;
    col->dtype = SX_DT_F32;
    if (dt.p && str_is(dt, "float16"))
        col->dtype = SX_DT_F16;
    else if (dt.p && str_is(dt, "uint8"))
        col->dtype = SX_DT_U8;
    else if (dt.p && !str_is(dt, "float32"))
        return sx_err_set(err, SX_EUNSUPPORTED, "vector datatype %.*s", (int)dt.n, dt.p);
    const uint64_t dtype_cap = col->dtype == SX_DT_F32   ? SX_DISTANCE_F32
                               : col->dtype == SX_DT_F16 ? SX_DISTANCE_F16
                                                         : SX_DISTANCE_U8;
    col->kind = is_set(sx_doc_get(v, "multivector_config")) ? ENG_COL_MULTI : ENG_COL_DENSE;
    col->distance = e->reg->find(SX_KIND_DISTANCE, dname);
    if (!col->distance)
        return sx_err_set(err, SX_EUNSUPPORTED, "no loaded module provides distance %s", dname);
    if (!(col->distance->caps & dtype_cap))
        return sx_err_set(err, SX_EUNSUPPORTED, "distance %s on vectors of datatype %.*s", dname,
                          (int)dt.n, dt.p);
    col->rows_kind = e->conf->rows_kind;
    if (sx_doc_get_bool(v, "on_disk", 0) || (memory.p && str_is(memory, "cold")))
        col->rows_kind = "mmap";
    c->n_columns++;
    return 0;
}

int eng_config_parse(struct eng *e, struct sx_doc doc, struct eng_config **out, struct sx_err *err)
{
    struct sx_doc params = sx_doc_get(doc, "params"), vectors = sx_doc_get(params, "vectors");
    struct sx_doc sparse = sx_doc_get(params, "sparse_vectors");
    uint32_t n = is_single(vectors) ? 1 : sx_doc_count(vectors), n_sparse = sx_doc_count(sparse);
    if (n > ENG_MAX_COLUMNS || n_sparse > ENG_MAX_COLUMNS - n)
        return sx_err_set(err, SX_ECORRUPT, "too many vectors");
    struct eng_config *c =
        e->mem->zalloc(e->mem, sizeof(*c) + (n + n_sparse) * sizeof(c->columns[0]));
    if (!c)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = 0;

    if (is_single(vectors)) {
        rc = parse_column(e, c, (struct sx_str){"", 0, 0}, vectors, err);
    } else {
        c->is_named = 1;
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            struct sx_str name;
            struct sx_doc v = sx_doc_member(vectors, i, &name);
            rc = parse_column(e, c, name, v, err);
        }
    }
    for (uint32_t i = 0; rc == 0 && i < n_sparse; i++) {
        struct eng_column_conf *col = &c->columns[c->n_columns];
        sx_doc_member(sparse, i, &col->name);
        col->kind = ENG_COL_SPARSE;
        col->id = col->slot = c->n_columns++;
        col->rows_kind = e->conf->rows_kind;
    }
    if (rc != 0) {
        e->mem->release(e->mem, c);
        return rc;
    }
    c->doc = doc;
    int64_t mb = sx_doc_get_i64(sx_doc_get(doc, "wal_config"), "wal_capacity_mb", 32);
    c->segment_bytes = (uint64_t)(mb < 1 ? 1 : mb > 4096 ? 4096 : mb) << 20;
    int64_t seg = sx_doc_get_i64(sx_doc_get(doc, "optimizer_config"), "default_segment_number", 0);
    uint32_t cpus = e->exec->n_cpus() / 2;
    int64_t indexing =
        sx_doc_get_i64(sx_doc_get(doc, "optimizer_config"), "indexing_threshold", 10000);
    int64_t scan = sx_doc_get_i64(sx_doc_get(doc, "hnsw_config"), "full_scan_threshold", 10000);
    int64_t small = indexing > scan ? indexing : scan;
    c->small_bytes = small < 0 ? 0 : small > (1ll << 40) ? UINT64_MAX : (uint64_t)small << 10;
    c->n_segments = seg > 0 && seg < 100000 ? (uint32_t)seg : cpus < 2 ? 2 : cpus > 8 ? 8 : cpus;
    *out = c;
    return 0;
}

void eng_config_destroy(struct eng *e, struct eng_config *c)
{
    if (!c)
        return;
    e->mem->release(e->mem, (void *)(uintptr_t)c->doc.p);
    e->mem->release(e->mem, c);
}

const struct eng_column_conf *eng_config_column(const struct eng_config *c, struct sx_str name)
{
    for (uint32_t i = 0; i < c->n_columns; i++) {
        const struct sx_str *n = &c->columns[i].name;
        if (n->n == name.n && (name.n == 0 || !memcmp(n->p, name.p, name.n)))
            return &c->columns[i];
    }
    return NULL;
}

/* --- vector names that come and go ---------------------------------------------------------------
 */

/* Copies an object's members but `skip`, then adds one. */
static void put_map(struct sx_docb *b, struct sx_doc map, struct sx_str skip, struct sx_doc added)
{
    struct sx_str key;
    int done = !added.p;
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(map); i++) {
        struct sx_doc v = sx_doc_member(map, i, &key);
        int is_it = key.n == skip.n && (!key.n || !memcmp(key.p, skip.p, key.n));
        int after = skip.n && !is_it && memcmp(key.p, skip.p, key.n < skip.n ? key.n : skip.n) > 0;
        if (after && !done) { /* names stand in their order */
            sx_docb_key(b, skip.p, skip.n);
            sx_docb_doc(b, added);
            done = 1;
        }
        if (is_it)
            continue;
        sx_docb_key(b, key.p, key.n);
        sx_docb_doc(b, v);
    }
    if (!done) {
        sx_docb_key(b, skip.p, skip.n);
        sx_docb_doc(b, added);
    }
    sx_docb_close(b);
}

/* The document with other vectors and sparse_vectors in its params, and parsed. */
static int with_vectors(struct eng *e,
                        const struct eng_config *base,
                        struct sx_doc vectors,
                        struct sx_doc sparse,
                        struct eng_config **out,
                        struct sx_err *err)
{
    struct sx_docb b;
    struct sx_str key;
    int rc = 0;
    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    for (uint32_t i = 0; i < sx_doc_count(base->doc); i++) {
        struct sx_doc v = sx_doc_member(base->doc, i, &key);
        sx_docb_key(&b, key.p, key.n);
        if (!str_is(key, "params")) {
            sx_docb_doc(&b, v);
            continue;
        }
        sx_docb_obj(&b);
        for (uint32_t k = 0; k < sx_doc_count(v); k++) {
            struct sx_doc m = sx_doc_member(v, k, &key);
            if (str_is(key, "sparse_vectors"))
                continue;
            sx_docb_key(&b, key.p, key.n);
            sx_docb_doc(&b, str_is(key, "vectors") ? vectors : m);
        }
        if (sparse.p)
            put_member(&b, "sparse_vectors", sparse);
        sx_docb_close(&b);
    }
    sx_docb_close(&b);
    struct sx_doc d = sx_docb_end(&b);
    uint8_t *copy = d.p ? e->mem->alloc(e->mem, d.n) : NULL;
    if (!copy)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0) {
        memcpy(copy, d.p, d.n);
        rc = eng_config_parse(e, (struct sx_doc){copy, d.n, 0}, out, err);
        if (rc != 0)
            e->mem->release(e->mem, copy);
    }
    sx_docb_fini(&b);
    return rc;
}

/* The dense parameters that a later column may have, in the order they are echoed. */
static void put_dense(struct sx_docb *b, struct sx_doc conf)
{
    static const char *const names[] = {"size", "distance", "datatype", "multivector_config"};
    sx_docb_obj(b);
    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        if (is_set(sx_doc_get(conf, names[i])))
            put_member(b, names[i], sx_doc_get(conf, names[i]));
    }
    sx_docb_close(b);
}

static void put_sparse(struct sx_docb *b, struct sx_doc conf)
{
    sx_docb_obj(b);
    if (is_set(sx_doc_get(conf, "datatype"))) {
        sx_docb_ckey(b, "index");
        sx_docb_obj(b);
        put_member(b, "datatype", sx_doc_get(conf, "datatype"));
        sx_docb_close(b);
    }
    if (is_set(sx_doc_get(conf, "modifier")))
        put_member(b, "modifier", sx_doc_get(conf, "modifier"));
    sx_docb_close(b);
}

static int same_member(struct sx_doc a, struct sx_doc b, const char *key)
{
    struct sx_doc x = sx_doc_get(a, key), y = sx_doc_get(b, key);
    if (!is_set(x) || !is_set(y))
        return is_set(x) == is_set(y);
    return x.n == y.n && !memcmp(x.p, y.p, x.n);
}

/* 0 when the name may be added, 1 when it is there already just so, or the refusal. */
static int compare(const struct eng_config *old,
                   struct sx_str name,
                   struct sx_doc dense,
                   struct sx_doc sparse,
                   struct sx_err *err)
{
    struct sx_doc params = sx_doc_get(old->doc, "params"), vectors = sx_doc_get(params, "vectors");
    struct sx_doc have = is_single(vectors) ? (name.n ? (struct sx_doc){NULL, 0, 0} : vectors)
                                            : sx_doc_get_n(vectors, name.p, name.n);
    struct sx_doc have_sparse = sx_doc_get_n(sx_doc_get(params, "sparse_vectors"), name.p, name.n);
    int n = (int)(name.n > 200 ? 200 : name.n);
    if (dense.p && have_sparse.p)
        return sx_err_set(err, SX_EINPUT, "Vector `%.*s` already exists as a sparse vector", n,
                          name.p);
    if (!dense.p && have.p)
        return sx_err_set(err, SX_EINPUT, "Vector `%.*s` already exists as a dense vector", n,
                          name.p);
    if (dense.p && have.p) {
        if (same_member(have, dense, "size") && same_member(have, dense, "distance") &&
            same_member(have, dense, "datatype") && same_member(have, dense, "multivector_config"))
            return 1;
        return sx_err_set(err, SX_EINPUT,
                          "Vector `%.*s` already exists with a different configuration", n, name.p);
    }
    if (!dense.p && have_sparse.p) {
        if (same_member(have_sparse, sparse, "modifier") &&
            same_member(sx_doc_get(have_sparse, "index"), sparse, "datatype"))
            return 1;
        return sx_err_set(err, SX_EINPUT,
                          "Sparse vector `%.*s` already exists with a different configuration", n,
                          name.p);
    }
    return 0;
}

int eng_config_change(struct eng *e,
                      const struct eng_config *old,
                      struct sx_str name,
                      struct sx_doc conf,
                      uint32_t id,
                      uint32_t slot,
                      struct eng_config **out,
                      struct sx_err *err)
{
    struct sx_doc params = sx_doc_get(old->doc, "params"), vectors = sx_doc_get(params, "vectors");
    struct sx_doc sparse_map = sx_doc_get(params, "sparse_vectors");
    struct sx_doc dense = sx_doc_get(conf, "dense"), sparse = sx_doc_get(conf, "sparse");
    static const struct sx_str unnamed = {"", 0, 0};
    struct sx_docb one, map, single;
    int rc = 0, is_dense = dense.p != NULL;
    *out = NULL;
    if (conf.p)
        rc = compare(old, name, dense, sparse, err);
    else if (!eng_config_column(old, name))
        return 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (!conf.p)
        is_dense = eng_config_column(old, name)->kind != ENG_COL_SPARSE;
    if (conf.p && old->n_columns == ENG_MAX_COLUMNS)
        return sx_err_set(err, SX_EINPUT, "at most %u named vectors are supported",
                          ENG_MAX_COLUMNS);
    sx_docb_init(&one, e->mem, 0);
    sx_docb_init(&map, e->mem, 0);
    sx_docb_init(&single, e->mem, 0);
    if (conf.p && is_dense)
        put_dense(&one, dense);
    else if (conf.p)
        put_sparse(&one, sparse);
    struct sx_doc added = conf.p ? sx_docb_end(&one) : (struct sx_doc){NULL, 0, 0};
    /* A single vector becomes the unnamed member of a map as soon as dense names change. */
    if (is_dense && is_single(vectors)) {
        sx_docb_obj(&single);
        sx_docb_key(&single, unnamed.p, 0);
        sx_docb_doc(&single, vectors);
        sx_docb_close(&single);
        vectors = sx_docb_end(&single);
    }
    put_map(&map, is_dense ? vectors : sparse_map, name, added);
    struct sx_doc changed = sx_docb_end(&map);
    if (!changed.p || !vectors.p || (conf.p && !added.p))
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0)
        rc = with_vectors(e, old, is_dense ? changed : vectors, is_dense ? sparse_map : changed,
                          out, err);
    for (uint32_t i = 0; rc == 0 && i < (*out)->n_columns; i++) {
        struct eng_column_conf *c = &(*out)->columns[i];
        const struct eng_column_conf *was = eng_config_column(old, c->name);
        c->id = was ? was->id : id;
        c->slot = was ? was->slot : slot;
    }
    sx_docb_fini(&single);
    sx_docb_fini(&map);
    sx_docb_fini(&one);
    return rc;
}

void eng_config_save_columns(const struct eng_config *c, struct sx_docb *b)
{
    struct sx_doc params = sx_doc_get(c->doc, "params");
    put_member(b, "vectors", sx_doc_get(params, "vectors"));
    if (sx_doc_get(params, "sparse_vectors").p)
        put_member(b, "sparse_vectors", sx_doc_get(params, "sparse_vectors"));
    sx_docb_ckey(b, "columns");
    sx_docb_arr(b);
    for (uint32_t i = 0; i < c->n_columns; i++) {
        sx_docb_obj(b);
        sx_docb_ckey(b, "name");
        sx_docb_str(b, c->columns[i].name.p, c->columns[i].name.n);
        sx_docb_ckey(b, "id");
        sx_docb_u64(b, c->columns[i].id);
        sx_docb_ckey(b, "slot");
        sx_docb_u64(b, c->columns[i].slot);
        sx_docb_close(b);
    }
    sx_docb_close(b);
}

int eng_config_restore(struct eng *e,
                       const struct eng_config *base,
                       struct sx_doc saved,
                       struct eng_config **out,
                       struct sx_err *err)
{
    struct sx_doc columns = sx_doc_get(saved, "columns");
    int rc = with_vectors(e, base, sx_doc_get(saved, "vectors"),
                          sx_doc_get(saved, "sparse_vectors"), out, err);
    uint32_t found = 0;
    for (uint32_t i = 0; rc == 0 && i < sx_doc_count(columns); i++) {
        struct sx_doc d = sx_doc_elem(columns, i);
        struct sx_str name = sx_doc_str(sx_doc_get(d, "name"));
        struct eng_column_conf *c =
            (struct eng_column_conf *)(uintptr_t)eng_config_column(*out, name);
        uint64_t id = (uint64_t)sx_doc_get_i64(d, "id", -1);
        uint64_t slot = (uint64_t)sx_doc_get_i64(d, "slot", -1);
        if (!c || id >= UINT32_MAX || slot >= ENG_MAX_COLUMNS)
            break;
        c->id = (uint32_t)id;
        c->slot = (uint32_t)slot;
        found++;
    }
    if (rc == 0 && found != (*out)->n_columns) {
        eng_config_destroy(e, *out);
        rc = sx_err_set(err, SX_ECORRUPT, "manifest: the saved vector names do not fit");
    }
    return rc;
}
