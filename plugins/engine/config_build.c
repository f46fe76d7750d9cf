/* A new collection's configuration: the request over the server's defaults. Runs at create only, so
 * it favours clarity: the merge is written once, over documents, and the same text goes to disk and
 * to clients. */
#include "config_priv.h"

#include "sextant/sx_ban.h"

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

static const struct section {
    const char *name;
    const struct field *fields;
    uint32_t n, pad;
} sections[] = {
    [ENG_CONFIG_HNSW] = {"hnsw_config", hnsw_fields, SX_COUNT(hnsw_fields), 0},
    [ENG_CONFIG_OPTIMIZER] = {"optimizer_config", optimizer_fields, SX_COUNT(optimizer_fields), 0},
    [ENG_CONFIG_WAL] = {"wal_config", wal_fields, SX_COUNT(wal_fields), 0},
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

void eng_config_put_section(struct sx_docb *b,
                            uint32_t section,
                            struct sx_doc given,
                            struct sx_doc defaults)
{
    const struct section *s = &sections[section];
    sx_docb_ckey(b, s->name);
    sx_docb_obj(b);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];
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

int eng_take_doc(struct eng *e, struct sx_docb *b, struct sx_doc *out, struct sx_err *err)
{
    struct sx_doc d = sx_docb_end(b);
    uint8_t *copy = d.p ? e->mem->alloc(e->mem, d.n) : NULL;
    if (copy) {
        memcpy(copy, d.p, d.n);
        *out = (struct sx_doc){copy, d.n, 0};
    }
    sx_docb_fini(b);
    return copy ? 0 : sx_err_set(err, SX_ENOMEM, "out of memory");
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

int eng_config_check_served(struct sx_doc strict, struct sx_doc strict_defaults, struct sx_err *err)
{
    struct sx_doc on =
        either(sx_doc_get(strict, "enabled"), sx_doc_get(strict_defaults, "enabled"));
    if (sx_doc_type(on) == SX_DOC_TRUE && sx_doc_count(strict) + sx_doc_count(strict_defaults) > 1)
        return sx_err_set(err, SX_EUNSUPPORTED, "strict mode limits");
    return 0;
}

static int check_sharding(struct sx_doc body, struct sx_err *err)
{
    struct sx_str method = sx_doc_str(sx_doc_get(body, "sharding_method"));
    return method.p && str_is(method, "custom")
               ? sx_err_set(err, SX_EUNSUPPORTED, "custom sharding")
               : 0;
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
void eng_config_put_overlay(struct sx_docb *b,
                            const char *name,
                            struct sx_doc over,
                            struct sx_doc under)
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
        rc = eng_config_check_served(sx_doc_get(body, "strict_mode_config"),
                                     sx_doc_get(e->conf->collection, "strict_mode"), err);
    if (rc == 0)
        rc = check_sharding(body, err);
    if (rc != 0)
        return rc;

    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    put_params(e, &b, body);
    eng_config_put_section(&b, ENG_CONFIG_HNSW, sx_doc_get(body, "hnsw_config"), e->conf->hnsw);
    eng_config_put_section(&b, ENG_CONFIG_OPTIMIZER, sx_doc_get(body, "optimizers_config"),
                           e->conf->optimizers);
    eng_config_put_section(&b, ENG_CONFIG_WAL, sx_doc_get(body, "wal_config"), e->conf->wal);
    struct sx_doc q = either(sx_doc_get(body, "quantization_config"),
                             sx_doc_get(e->conf->collection, "quantization"));
    sx_docb_ckey(&b, "quantization_config");
    if (is_set(q))
        sx_docb_doc(&b, q);
    else
        sx_docb_null(&b);
    eng_config_put_overlay(&b, "strict_mode_config", sx_doc_get(body, "strict_mode_config"),
                           sx_doc_get(e->conf->collection, "strict_mode"));
    if (is_set(sx_doc_get(body, "metadata")))
        put_member(&b, "metadata", sx_doc_get(body, "metadata"));
    sx_docb_close(&b);
    return eng_take_doc(e, &b, out, err);
}
