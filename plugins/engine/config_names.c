/* Vector names that come and go: the configuration with one more or one less, its columns in the
 * manifest, and back. Columns that stay keep their ids and slots. */
#include "config_priv.h"

#include "sextant/sx_ban.h"

int eng_config_parse_like(struct eng *e,
                          struct sx_doc d,
                          const struct eng_config *old,
                          struct eng_config **out,
                          struct sx_err *err)
{
    int rc = eng_config_parse(e, d, out, err);
    if (rc != 0) {
        e->mem->release(e->mem, (void *)(uintptr_t)d.p);
        return rc;
    }
    (*out)->shown_to = old->shown_to;
    for (uint32_t i = 0; i < (*out)->n_columns; i++) {
        struct eng_column_conf *c = &(*out)->columns[i];
        const struct eng_column_conf *was = eng_config_column(old, c->name);
        if (was) {
            c->id = was->id;
            c->slot = was->slot;
        }
    }
    return 0;
}

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
    struct sx_doc d;
    int rc = eng_take_doc(e, &b, &d, err);
    return rc == 0 ? eng_config_parse_like(e, d, base, out, err) : rc;
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
    if (rc == 0 && conf.p) {
        struct eng_column_conf *c =
            (struct eng_column_conf *)(uintptr_t)eng_config_column(*out, name);
        c->id = id;
        c->slot = slot;
    }
    sx_docb_fini(&single);
    sx_docb_fini(&map);
    sx_docb_fini(&one);
    return rc;
}

void eng_config_save_ids(const struct eng_config *c, struct sx_docb *b)
{
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

void eng_config_save_columns(const struct eng_config *c, struct sx_docb *b)
{
    struct sx_doc params = sx_doc_get(c->doc, "params");
    put_member(b, "vectors", sx_doc_get(params, "vectors"));
    if (sx_doc_get(params, "sparse_vectors").p)
        put_member(b, "sparse_vectors", sx_doc_get(params, "sparse_vectors"));
    eng_config_save_ids(c, b);
    sx_docb_ckey(b, "shown_to");
    sx_docb_u64(b, c->shown_to);
}

int eng_config_load_ids(struct eng_config *config, struct sx_doc columns, struct sx_err *err)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < sx_doc_count(columns); i++) {
        struct sx_doc d = sx_doc_elem(columns, i);
        struct sx_str name = sx_doc_str(sx_doc_get(d, "name"));
        struct eng_column_conf *c =
            (struct eng_column_conf *)(uintptr_t)eng_config_column(config, name);
        uint64_t id = (uint64_t)sx_doc_get_i64(d, "id", -1);
        uint64_t slot = (uint64_t)sx_doc_get_i64(d, "slot", -1);
        if (!c || id >= UINT32_MAX || slot >= ENG_MAX_COLUMNS)
            break;
        c->id = (uint32_t)id;
        c->slot = (uint32_t)slot;
        found++;
    }
    return found == config->n_columns
               ? 0
               : sx_err_set(err, SX_ECORRUPT, "the saved vector names do not fit");
}

/* The settings of the vector as base has them when it is the same column, else as they are. */
static void put_adopted(struct sx_docb *b,
                        const struct eng_config *base,
                        const struct eng_config *c,
                        struct sx_str name,
                        struct sx_doc own)
{
    struct sx_doc params = sx_doc_get(base->doc, "params");
    struct sx_doc vectors = sx_doc_get(params, "vectors"), v;
    const struct eng_column_conf *x = eng_config_column(c, name);
    const struct eng_column_conf *y = eng_config_column(base, name);
    if (!y || x->id != y->id)
        v = own;
    else if (y->kind == ENG_COL_SPARSE)
        v = sx_doc_get_n(sx_doc_get(params, "sparse_vectors"), name.p, name.n);
    else
        v = is_single(vectors) ? vectors : sx_doc_get_n(vectors, name.p, name.n);
    sx_docb_doc(b, v.p ? v : own);
}

static struct sx_doc adopted_map(struct sx_docb *b,
                                 const struct eng_config *base,
                                 const struct eng_config *c,
                                 struct sx_doc map)
{
    struct sx_str name;
    if (!map.p)
        return map;
    if (is_single(map)) {
        put_adopted(b, base, c, (struct sx_str){"", 0, 0}, map);
        return sx_docb_end(b);
    }
    sx_docb_obj(b);
    for (uint32_t i = 0; i < sx_doc_count(map); i++) {
        struct sx_doc own = sx_doc_member(map, i, &name);
        sx_docb_key(b, name.p, name.n);
        put_adopted(b, base, c, name, own);
    }
    sx_docb_close(b);
    return sx_docb_end(b);
}

int eng_config_adopt(struct eng *e,
                     const struct eng_config *base,
                     struct eng_config **config,
                     struct sx_err *err)
{
    struct sx_doc params = sx_doc_get((*config)->doc, "params");
    struct sx_docb dense, sparse;
    struct eng_config *next = NULL;
    sx_docb_init(&dense, e->mem, 0);
    sx_docb_init(&sparse, e->mem, 0);
    struct sx_doc d = adopted_map(&dense, base, *config, sx_doc_get(params, "vectors"));
    struct sx_doc s = adopted_map(&sparse, base, *config, sx_doc_get(params, "sparse_vectors"));
    int rc = d.p && (s.p || !sx_doc_get(params, "sparse_vectors").p)
                 ? with_vectors(e, *config, d, s, &next, err)
                 : sx_err_set(err, SX_ENOMEM, "out of memory");
    sx_docb_fini(&sparse);
    sx_docb_fini(&dense);
    if (rc == 0) {
        eng_config_destroy(e, *config);
        *config = next;
    }
    return rc;
}

int eng_config_restore(struct eng *e,
                       const struct eng_config *base,
                       struct sx_doc saved,
                       struct eng_config **out,
                       struct sx_err *err)
{
    int rc = with_vectors(e, base, sx_doc_get(saved, "vectors"),
                          sx_doc_get(saved, "sparse_vectors"), out, err);
    if (rc != 0)
        return rc;
    rc = eng_config_load_ids(*out, sx_doc_get(saved, "columns"), err);
    if (rc != 0)
        sx_err_wrap(err, "manifest");
    else
        rc = eng_config_adopt(e, base, out, err);
    if (rc != 0) {
        eng_config_destroy(e, *out);
        *out = NULL;
        return rc;
    }
    uint64_t shown_to = (uint64_t)sx_doc_get_i64(saved, "shown_to", 0);
    if (shown_to > (*out)->shown_to)
        (*out)->shown_to = shown_to;
    return 0;
}
