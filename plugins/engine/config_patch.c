/* Changes of a collection's configuration: the body of PATCH over the canonical document.
 *
 * Parts are applied in the order optimizers, params, hnsw, vectors, quantization, sparse, strict
 * mode, metadata; a part that fails leaves those before it applied and the rest not. An absent or
 * null field stays as it is. */
#include "config_priv.h"

#include "sextant/sx_ban.h"

/* The parts up to which a change is applied, in their order. */
enum { UP_TO_HNSW = 1, UP_TO_QUANTIZATION, UP_TO_END };

/* Members of the old object with those of the change over them, objects inside likewise while depth
 * lasts; as one value. */
static void put_merged(struct sx_docb *b, struct sx_doc old, struct sx_doc change, uint32_t depth)
{
    struct sx_str key;
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(old); i++) {
        struct sx_doc v = sx_doc_member(old, i, &key);
        struct sx_doc d = sx_doc_get_n(change, key.p, key.n);
        sx_docb_key(b, key.p, key.n);
        if (!is_set(d))
            sx_docb_doc(b, v);
        else if (depth && sx_doc_type(d) == SX_DOC_OBJ && sx_doc_type(v) == SX_DOC_OBJ)
            put_merged(b, v, d, depth - 1);
        else
            sx_docb_doc(b, d);
    }
    for (uint32_t i = 0; i < sx_doc_count(change); i++) {
        struct sx_doc d = sx_doc_member(change, i, &key);
        if (is_set(d) && !sx_doc_get_n(old, key.p, key.n).p) {
            sx_docb_key(b, key.p, key.n);
            sx_docb_doc(b, d);
        }
    }
    sx_docb_close(b);
}

static void put_vector(struct sx_docb *b, struct sx_doc old, struct sx_doc change)
{
    static const char *const fields[] = {
        "size",    "distance", "hnsw_config", "quantization_config",
        "on_disk", "memory",   "datatype",    "multivector_config"};
    sx_docb_obj(b);
    for (uint32_t i = 0; i < SX_COUNT(fields); i++) {
        struct sx_doc v = sx_doc_get(old, fields[i]), d = sx_doc_get(change, fields[i]);
        int is_hnsw = !strcmp(fields[i], "hnsw_config");
        int may = is_hnsw || !strcmp(fields[i], "quantization_config") ||
                  !strcmp(fields[i], "on_disk") || !strcmp(fields[i], "memory");
        if (!may || !is_set(d)) {
            put_member(b, fields[i], v);
        } else if (is_hnsw) {
            if (sx_doc_count(v) + sx_doc_count(d) == 0)
                continue;
            sx_docb_ckey(b, fields[i]);
            put_merged(b, v, d, 0);
        } else if (sx_doc_type(d) != SX_DOC_STR || !strcmp(fields[i], "memory")) {
            put_member(b, fields[i], d); /* a text is "Disabled": the member goes */
        }
    }
    sx_docb_close(b);
}

static void put_vectors(struct sx_docb *b, struct sx_doc old, struct sx_doc change)
{
    struct sx_str key;
    if (is_single(old)) {
        put_vector(b, old, sx_doc_get_n(change, "", 0));
        return;
    }
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(old); i++) {
        struct sx_doc v = sx_doc_member(old, i, &key);
        sx_docb_key(b, key.p, key.n);
        put_vector(b, v, sx_doc_get_n(change, key.p, key.n));
    }
    sx_docb_close(b);
}

static void put_params(struct sx_docb *b, struct sx_doc old, struct sx_doc body, uint32_t up_to)
{
    static const char *const fields[] = {"replication_factor",  "write_consistency_factor",
                                         "read_fan_out_factor", "read_fan_out_delay_ms",
                                         "on_disk_payload",     "payload",
                                         "id_tracker"};
    struct sx_doc change = sx_doc_get(body, "params");
    struct sx_str key;
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(old); i++) {
        struct sx_doc v = sx_doc_member(old, i, &key);
        struct sx_doc d = sx_doc_get_n(change, key.p, key.n);
        sx_docb_key(b, key.p, key.n);
        if (str_is(key, "vectors") && up_to >= UP_TO_QUANTIZATION)
            put_vectors(b, v, sx_doc_get(body, "vectors"));
        else if (str_is(key, "sparse_vectors") && up_to >= UP_TO_END)
            put_merged(b, v, sx_doc_get(body, "sparse_vectors"), 2);
        else
            sx_docb_doc(b, is_set(d) ? d : v);
    }
    for (uint32_t i = 0; i < SX_COUNT(fields); i++) {
        if (is_set(sx_doc_get(change, fields[i])) && !sx_doc_get(old, fields[i]).p)
            put_member(b, fields[i], sx_doc_get(change, fields[i]));
    }
    sx_docb_close(b);
}

/* Keys with the value null are removed; the first metadata are stored as they are given. */
static void put_metadata(struct sx_docb *b, struct sx_doc old, struct sx_doc change)
{
    struct sx_str key;
    if (!old.p || !is_set(change)) {
        put_member(b, "metadata", is_set(change) ? change : old);
        return;
    }
    sx_docb_ckey(b, "metadata");
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(old); i++) {
        struct sx_doc v = sx_doc_member(old, i, &key);
        if (!sx_doc_get_n(change, key.p, key.n).p) {
            sx_docb_key(b, key.p, key.n);
            sx_docb_doc(b, v);
        }
    }
    for (uint32_t i = 0; i < sx_doc_count(change); i++) {
        struct sx_doc d = sx_doc_member(change, i, &key);
        if (is_set(d)) {
            sx_docb_key(b, key.p, key.n);
            sx_docb_doc(b, d);
        }
    }
    sx_docb_close(b);
}

/* Every name of the change must be a vector of that kind. */
static int
check_names(const struct eng_config *old, struct sx_doc change, int is_sparse, struct sx_err *err)
{
    for (uint32_t i = 0; i < sx_doc_count(change); i++) {
        struct sx_str name;
        (void)sx_doc_member(change, i, &name);
        const struct eng_column_conf *c = eng_config_column(old, name);
        if (!c || (c->kind == ENG_COL_SPARSE) != is_sparse)
            return sx_err_set(err, SX_EINPUT, "Not existing vector name error: %.*s",
                              (int)(name.n > 200 ? 200 : name.n), name.p);
    }
    return 0;
}

static void put_quantization(struct sx_docb *b, struct sx_doc old, struct sx_doc change)
{
    sx_docb_ckey(b, "quantization_config");
    if (sx_doc_type(change) == SX_DOC_STR) /* "Disabled" */
        sx_docb_null(b);
    else
        sx_docb_doc(b, is_set(change) ? change : old);
}

static int build(struct eng *e,
                 struct sx_doc old,
                 struct sx_doc body,
                 uint32_t up_to,
                 struct sx_doc *out,
                 struct sx_err *err)
{
    static const struct sx_doc none = {NULL, 0, 0};
    struct sx_docb b;
    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "params");
    put_params(&b, sx_doc_get(old, "params"), body, up_to);
    eng_config_put_section(&b, ENG_CONFIG_HNSW, sx_doc_get(body, "hnsw_config"),
                           sx_doc_get(old, "hnsw_config"));
    eng_config_put_section(&b, ENG_CONFIG_OPTIMIZER, sx_doc_get(body, "optimizers_config"),
                           sx_doc_get(old, "optimizer_config"));
    put_member(&b, "wal_config", sx_doc_get(old, "wal_config"));
    put_quantization(&b, sx_doc_get(old, "quantization_config"),
                     up_to >= UP_TO_QUANTIZATION ? sx_doc_get(body, "quantization_config") : none);
    eng_config_put_overlay(&b, "strict_mode_config",
                           up_to >= UP_TO_END ? sx_doc_get(body, "strict_mode_config") : none,
                           sx_doc_get(old, "strict_mode_config"));
    put_metadata(&b, sx_doc_get(old, "metadata"),
                 up_to >= UP_TO_END ? sx_doc_get(body, "metadata") : none);
    sx_docb_close(&b);
    return eng_take_doc(e, &b, out, err);
}

int eng_config_patch(struct eng *e,
                     const struct eng_config *old,
                     struct sx_doc body,
                     uint64_t commit,
                     struct eng_config **out,
                     struct sx_err *err)
{
    struct sx_doc d;
    struct sx_err ignored = SX_ERR_INIT;
    uint32_t up_to = UP_TO_END;
    *out = NULL;
    int rc = eng_config_check_served(sx_doc_get(body, "strict_mode_config"),
                                     sx_doc_get(old->doc, "strict_mode_config"), err);
    if (rc != 0)
        return rc;
    int refused = check_names(old, sx_doc_get(body, "vectors"), 0, err);
    if (refused != 0)
        up_to = UP_TO_HNSW;
    else if ((refused = check_names(old, sx_doc_get(body, "sparse_vectors"), 1, err)) != 0)
        up_to = UP_TO_QUANTIZATION;
    struct sx_err *own = refused != 0 ? &ignored : err;
    rc = build(e, old->doc, body, up_to, &d, own);
    if (rc == 0)
        rc = eng_config_parse_like(e, d, old, out, own);
    if (rc == 0 && !(eng_config_holds(old) && eng_config_holds(*out)))
        (*out)->shown_to = commit;
    if (rc != 0 && refused != 0)
        *err = ignored;
    return rc != 0 ? rc : refused;
}
