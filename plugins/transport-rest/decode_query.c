/* Bodies of query and query/batch, and the prefetches inside them.
 *
 * Served are the forms that need one vector: a dense vector, the vector of a point, or no query at
 * all. Everything else is checked for its form and then refused as not implemented, never ignored.
 * The dense list is the hot path: one pass, numbers straight into the arena.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- the vector input ----------------------------------------------------------------------- */

int rest_vector_input(struct rest_dec *d, const char *path, const char *step, struct sx_vec_in *out)
{
    struct rest_vec_fault f[2];
    uint32_t n;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = rest_vector_try(d, REST_V_PAIR, 1, out);
    if (rc == REST_V_NONE) {
        rc = rest_id_try(d, &out->id);
        if (rc == 1)
            out->kind = SX_VEC_ID;
        return rc;
    }
    if (rc < 0)
        return rc;
    if (rc == REST_V_INFERENCE) {
        rest_unsupported(d, "inference");
        if (out->infer->model.n == 0)
            rest_valid_add(d, "%s%s.model: value \"\" invalid, must be at least 1 characters", path,
                           step);
        return 1;
    }
    /* An empty list is a dense vector of length 0: its dimension is the engine's to judge. */
    n = out->kind != SX_VEC_DENSE ? rest_vector_faults(d, out, f) : 0;
    for (uint32_t k = 0; k < n; k++)
        rest_valid_add(d, "%s%s.%s: %.*s", path, step, f[k].leaf, (int)f[k].text.n, f[k].text.p);
    if (n == 0 && rest_vector_sort(d, out) < 0)
        return SX_ENOMEM;
    return 1;
}

/* Whether the kind of the vector fits its name is the engine's to judge. */
static void nearest(struct sx_query *q, const struct sx_vec_in *v)
{
    q->kind = SX_Q_NEAREST;
    q->vector = *v;
}

/* {"nearest": V, "mmr"?: {...}} at the two marks. 1, 0 or negative. */
static int nearest_object(struct rest_dec *d,
                          struct sx_query *q,
                          const struct rest_marks *m,
                          uint32_t mmr,
                          const char *path)
{
    struct sx_vec_in v;
    int rc = rest_vector_input(d, path, "query.nearest", &v);

    if (rc <= 0)
        return rc;
    if ((m->seen >> mmr & 1) != 0) {
        if ((m->twice >> mmr & 1) != 0)
            return 0;
        rc = rest_variant_try(d, "mmr", m->at[mmr], path);
        if (rc <= 0)
            return rc;
    }
    nearest(q, &v);
    return 1;
}

/* An object that is no vector: the variants by their keys, first fit. 1, 0 or negative. */
static int query_object(struct rest_dec *d, struct sx_query *q, const char *path)
{
    static const char *const names[] = {
        "nearest", "recommend", "discover", "context", "order_by",
        "fusion",  "rrf",       "formula",  "sample",  "relevance_feedback"};
    static const char *const beside[] = {"mmr", "defaults"};
    struct sx_json_mark start = sx_json_mark(&d->j);
    struct rest_marks m, more;
    int rc = rest_marks_read(d, names, SX_COUNT(names), &m);

    if (rc <= 0)
        return rc;
    sx_json_reset(&d->j, start);
    rc = rest_marks_read(d, beside, SX_COUNT(beside), &more);
    if (rc <= 0)
        return rc;
    for (uint32_t i = 0; i < SX_COUNT(names); i++) {
        if (!rest_marks_go(d, &m, i))
            continue;
        rc = i == 0 ? nearest_object(d, q, &more, 0, path)
                    : rest_variant_try(d, names[i], m.at[i], path);
        if (rc == 0)
            continue;
        if (rc > 0)
            sx_json_reset(&d->j, m.end);
        return rc;
    }
    return 0;
}

static int query_field(struct rest_dec *d, struct sx_query *q, const char *path)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct rest_kept kept = rest_keep(d);
    struct sx_vec_in v;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = rest_vector_input(d, path, "query", &v);
    if (rc > 0) {
        nearest(q, &v);
        return SX_OK;
    }
    if (rc == 0)
        rc = query_object(d, q, path);
    if (rc == 0) {
        rest_back(d, &kept); /* of arms that did not fit in the end */
        return rest_fail_union(d, m, "Expected some form of vector, id, or a type of query");
    }
    return rc < 0 ? rc : SX_OK;
}

/* --- params --------------------------------------------------------------------------------- */

static int optional_bool(struct rest_dec *d)
{
    int unused, rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_bool(&d->j, "a boolean", &unused);
    return rc < 0 ? rc : SX_OK;
}

static int optional_f64(struct rest_dec *d, double *out)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_f64(&d->j, "f64", out);
    return rc < 0 ? rc : SX_OK;
}

static int quantization_params(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"ignore", "rescore", "oversampling"};
    uint32_t seen = 0, i;
    double oversampling = 1;
    struct sx_str key;
    char text[40];
    int unused, rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_obj_begin(&d->j, "struct QuantizationSearchParams");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? sx_json_bool(&d->j, "a boolean", &unused)
             : i == 1 ? optional_bool(d)
             : i == 2 ? optional_f64(d, &oversampling)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc == SX_OK && oversampling < 1)
        rest_valid_add(d,
                       "%sparams.quantization.oversampling: value %s invalid, must be 1.0 or "
                       "larger",
                       path, rest_float_text(text, oversampling));
    return rc;
}

static int acorn_params(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"enable", "max_selectivity"};
    uint32_t seen = 0, i;
    double selectivity = 0;
    struct sx_str key;
    char text[40];
    int unused, rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_obj_begin(&d->j, "struct AcornSearchParams");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? sx_json_bool(&d->j, "a boolean", &unused)
             : i == 1 ? optional_f64(d, &selectivity)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc == SX_OK && (selectivity < 0 || selectivity > 1))
        rest_valid_add(d,
                       "%sparams.acorn.max_selectivity: value %s invalid, must be from 0.0 to 1.0",
                       path, rest_float_text(text, selectivity));
    return rc;
}

/* "global" or {"corpus": filter}. */
static int idf_params(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"corpus"};
    struct sx_json_mark m = sx_json_mark(&d->j);
    const struct sx_filter *unused = NULL;
    struct rest_marks marks;
    struct sx_str s;
    int rc = sx_json_null(&d->j), ok;

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rest_unsupported(d, "params.idf");
    if (sx_json_peek(&d->j) == SX_JSON_STR) {
        rc = sx_json_str(&d->j, "a string", &s);
        ok = rc == SX_OK && REST_IS(s, "global");
    } else {
        rc = rest_marks_read(d, names, 1, &marks);
        ok = rc > 0 && rest_marks_go(d, &marks, 0) &&
             rest_filter(d, path, "params.idf.corpus", &unused) == SX_OK;
        if (ok)
            sx_json_reset(&d->j, marks.end);
    }
    return ok ? SX_OK
              : rest_fail_union(d, m, "data did not match any variant of untagged enum IdfParams");
}

static int hnsw_ef(struct rest_dec *d, struct sx_query *q, const char *path)
{
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_u64(&d->j, "usize", UINT64_MAX, &q->hnsw_ef);
    if (rc == SX_OK && q->hnsw_ef == 0)
        rest_valid_add(d, "%sparams.hnsw_ef: value 0 invalid, must be 1 or larger", path);
    return rc;
}

int rest_params(struct rest_dec *d, struct sx_query *q, const char *path)
{
    static const char *const names[] = {"hnsw_ef",      "exact", "quantization",
                                        "indexed_only", "acorn", "idf"};
    int rc = sx_json_null(&d->j), exact = 0, indexed_only = 0;
    uint32_t seen = 0, i;
    struct sx_str key;

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_obj_begin(&d->j, "struct SearchParams");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? hnsw_ef(d, q, path)
             : i == 1 ? sx_json_bool(&d->j, "a boolean", &exact)
             : i == 2 ? quantization_params(d, path)
             : i == 3 ? sx_json_bool(&d->j, "a boolean", &indexed_only)
             : i == 4 ? acorn_params(d, path)
             : i == 5 ? idf_params(d, path)
                      : sx_json_skip(&d->j, NULL);
    }
    q->exact = (uint32_t)exact;
    q->indexed_only = (uint32_t)indexed_only;
    return rc;
}

/* --- the request ---------------------------------------------------------------------------- */

static int threshold(struct rest_dec *d, struct sx_query *q)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0) {
        q->has_threshold = 1;
        rc = sx_json_f32(&d->j, "f32", &q->score_threshold);
    }
    return rc < 0 ? rc : SX_OK;
}

static int lookup_shards(struct rest_dec *d)
{
    struct sx_shards shards = {SX_SHARDS_ALL, 0, NULL};
    int rc = rest_shard_key(d, NULL, &shards);

    if (rc == SX_OK && shards.mode != SX_SHARDS_ALL)
        rest_unsupported(d, "lookup_from.shard_key");
    return rc;
}

static int lookup_from(struct rest_dec *d, struct sx_query *q)
{
    static const char *const names[] = {"collection", "vector", "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_obj_begin(&d->j, "struct LookupLocation");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? sx_json_str(&d->j, "a string", &q->lookup_collection)
             : i == 1 ? rest_optional_str(d, &q->lookup_vector)
             : i == 2 ? lookup_shards(d)
                      : sx_json_skip(&d->j, NULL);
    }
    return rc == SX_OK && (seen & 1) == 0 ? rest_fail_missing(d, "collection") : rc;
}

static int prefetches(struct rest_dec *d, const char *path);

/* Fields of a request (f set) or of a prefetch. */
static int fields(struct rest_dec *d, struct rest_flat *f, struct sx_query *q, const char *path)
{
    static const char *const names[] = {"prefetch",
                                        "query",
                                        "using",
                                        "filter",
                                        "params",
                                        "limit",
                                        "lookup_from",
                                        "score_threshold",
                                        "offset",
                                        "with_payload",
                                        "with_vector|with_vectors",
                                        "shard_key"};
    uint32_t n = f != NULL ? SX_COUNT(names) : 8, seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, f != NULL ? "struct QueryRequest" : "struct Prefetch");

    q->using_name = (struct sx_str){"", 0, 0};
    q->limit = 10;
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, n);
        if (i < n && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0    ? prefetches(d, path)
             : i == 1  ? query_field(d, q, path)
             : i == 2  ? rest_optional_str(d, &q->using_name)
             : i == 3  ? rest_filter(d, path, "filter", &q->filter)
             : i == 4  ? rest_params(d, q, path)
             : i == 5  ? rest_optional_u64(d, &q->limit)
             : i == 6  ? lookup_from(d, q)
             : i == 7  ? threshold(d, q)
             : i == n  ? sx_json_skip(&d->j, NULL)
             : i == 8  ? rest_optional_u64(d, &q->offset)
             : i == 9  ? rest_with_payload(d, &q->payload)
             : i == 10 ? rest_with_vector(d, &q->vectors, 1)
                       : rest_shard_key(d, f, &q->shards);
    }
    if (rc == SX_OK && q->limit == 0)
        rest_valid_add(d, "%slimit: value 0 invalid, must be 1 or larger", path);
    return rc;
}

static int prefetch(struct rest_dec *d, const char *path, uint32_t index)
{
    struct sx_str at = sx_arena_printf(d->arena, "%sprefetch[%u].", path, index);
    struct sx_query unused;

    if (at.p == NULL)
        return SX_ENOMEM;
    memset(&unused, 0, sizeof(unused));
    return fields(d, NULL, &unused, at.p);
}

/* null, one prefetch or a list of them. */
static int prefetches(struct rest_dec *d, const char *path)
{
    uint32_t n = 0;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    if (sx_json_peek(&d->j) == SX_JSON_OBJ) {
        rest_unsupported(d, "prefetch");
        return prefetch(d, path, 0);
    }
    rc = sx_json_arr_begin(&d->j, "a sequence");
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        rest_unsupported(d, "prefetch");
        rc = prefetch(d, path, n++);
    }
    return rc;
}

static int request(struct rest_dec *d, struct sx_query *q, const char *path)
{
    struct rest_flat f;

    memset(q, 0, sizeof(*q));
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct QueryRequest");
    rest_flat_begin(d, &f);
    return rest_flat_end(d, &f, fields(d, &f, q, path));
}

int rest_decode_query(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_query *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct sx_query *q = sx_arena_alloc(d->arena, sizeof(*q));

    if (args == NULL || q == NULL)
        return SX_ENOMEM;
    op->args = args;
    args->n = 1;
    args->queries = q;
    return request(d, q, "internal.");
}

int rest_decode_query_batch(struct rest_dec *d, struct sx_op *op)
{
    return rest_batch(d, op, "struct QueryRequestBatch", "internal.", request);
}
