/* A collection's configuration, parsed once from its canonical document; see config.h. */
#include "config_priv.h"

#include "sextant/sx_ban.h"

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

/* Points that may be shown before an index has them, when nothing puts them into one: with no
 * optimization threads they stay out. (With them, points are scanned or linked as they come.) The
 * bound is that of the vector that reaches the threshold first; a multivector counts as 16. */
static uint64_t most_shown(const struct eng_config *c)
{
    struct sx_doc o = sx_doc_get(c->doc, "optimizer_config");
    int64_t kb = sx_doc_get_i64(o, "indexing_threshold", 0);
    uint64_t most = UINT64_MAX;
    if (!sx_doc_get_bool(o, "prevent_unoptimized", 0) || kb <= 0 ||
        sx_doc_get_i64(o, "max_optimization_threads", -1) != 0)
        return most;
    uint64_t bytes = (uint64_t)(kb < (1ll << 40) ? kb : 1ll << 40) << 10;
    for (uint32_t i = 0; i < c->n_columns; i++) {
        const struct eng_column_conf *k = &c->columns[i];
        uint64_t each = (uint64_t)k->dim * (k->dtype == SX_DT_F32   ? 4u
                                            : k->dtype == SX_DT_F16 ? 2u
                                                                    : 1u);
        if (k->kind == ENG_COL_SPARSE)
            continue;
        each *= k->kind == ENG_COL_MULTI ? 16 : 1;
        if ((bytes + each - 1) / each < most)
            most = (bytes + each - 1) / each;
    }
    return most;
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
    c->most_shown = most_shown(c);
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
