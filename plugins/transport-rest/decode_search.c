/* Bodies of search and search/batch, and what the two batch endpoints share.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- batches -------------------------------------------------------------------------------- */

static int searches(struct rest_dec *d,
                    struct sx_args_query *args,
                    const char *prefix,
                    rest_request_fn request)
{
    struct sx_query *list = NULL;
    uint32_t cap = 0, n = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        struct sx_str path = sx_arena_printf(d->arena, "searches[%u].%s", n, prefix);

        list = rest_push(d, list, n, &cap, sizeof(*list));
        if (list == NULL || path.p == NULL)
            return SX_ENOMEM;
        rc = request(d, &list[n++], path.p);
    }
    args->n = n;
    args->queries = list;
    return rc;
}

int rest_batch(struct rest_dec *d,
               struct sx_op *op,
               const char *noun,
               const char *prefix,
               rest_request_fn request)
{
    struct sx_args_query *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, noun);
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        if (!REST_IS(key, "searches")) {
            rc = sx_json_skip(&d->j, NULL);
            continue;
        }
        if (seen++ != 0)
            return rest_fail_duplicate(d, key, "searches");
        rc = searches(d, args, prefix, request);
    }
    return rc == SX_OK && seen == 0 ? rest_fail_missing(d, "searches") : rc;
}

/* --- search --------------------------------------------------------------------------------- */

/* {"name": text, "vector": dense or sparse}. 1, 0 or negative. */
static int named_vector(struct rest_dec *d, struct sx_query *q)
{
    static const char *const names[] = {"name", "vector"};
    struct rest_marks m;
    int rc = rest_marks_read(d, names, 2, &m);

    if (rc <= 0)
        return rc;
    if (!rest_marks_go(d, &m, 0) || sx_json_peek(&d->j) != SX_JSON_STR)
        return 0;
    rc = sx_json_str(&d->j, "a string", &q->using_name);
    if (rc < 0)
        return rc;
    if (!rest_marks_go(d, &m, 1))
        return 0;
    rc = rest_vector_try(d, REST_V_PAIR, 1, &q->vector);
    if (rc != REST_V_VECTOR || q->vector.kind == SX_VEC_MULTI)
        return rc < 0 ? rc : 0;
    sx_json_reset(&d->j, m.end);
    return 1;
}

/* The value of `vector`. A sparse one is written with its name only. */
static int vector_field(struct rest_dec *d, struct sx_query *q, const char *path)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct rest_vec_fault f[2];
    uint32_t n;
    int rc;

    q->kind = SX_Q_NEAREST;
    rc = rest_vector_try(d, 0, 0, &q->vector);
    if (rc == REST_V_VECTOR && q->vector.kind != SX_VEC_DENSE)
        rc = 0;
    else if (rc == REST_V_NONE)
        rc = named_vector(d, q);
    if (rc == 0)
        return rest_fail_union(d, m,
                               "data did not match any variant of untagged enum NamedVectorStruct");
    if (rc < 0 || q->vector.kind != SX_VEC_SPARSE)
        return rc < 0 ? rc : SX_OK;
    n = rest_vector_faults(d, &q->vector, f);
    for (uint32_t k = 0; k < n; k++)
        rest_valid_add(d, "%svector.vector.%s: %.*s", path, f[k].leaf, (int)f[k].text.n,
                       f[k].text.p);
    return n == 0 ? rest_vector_sort(d, &q->vector) : SX_OK;
}

static int threshold_field(struct rest_dec *d, struct sx_query *q)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0) {
        q->has_threshold = 1;
        rc = sx_json_f32(&d->j, "f32", &q->score_threshold);
    }
    return rc < 0 ? rc : SX_OK;
}

static int fields(struct rest_dec *d, struct rest_flat *f, struct sx_query *q, const char *path)
{
    static const char *const names[] = {"vector",
                                        "limit|top",
                                        "filter",
                                        "params",
                                        "offset",
                                        "with_payload",
                                        "with_vector|with_vectors",
                                        "score_threshold",
                                        "shard_key"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct SearchRequest");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? vector_field(d, q, path)
             : i == 1 ? sx_json_u64(&d->j, "usize", UINT64_MAX, &q->limit)
             : i == 2 ? rest_filter(d, path, "filter", &q->filter)
             : i == 3 ? rest_params(d, q, path)
             : i == 4 ? rest_optional_u64(d, &q->offset)
             : i == 5 ? rest_with_payload(d, &q->payload)
             : i == 6 ? rest_with_vector(d, &q->vectors, 1)
             : i == 7 ? threshold_field(d, q)
             : i == 8 ? rest_shard_key(d, f, &q->shards)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc < 0)
        return rc;
    if ((seen & 1) == 0)
        return rest_fail_missing(d, "vector");
    if ((seen & 2) == 0)
        return rest_fail_missing(d, "limit");
    if (q->limit == 0)
        rest_valid_add(d, "%slimit: value 0 invalid, must be 1 or larger", path);
    return rc;
}

static int request(struct rest_dec *d, struct sx_query *q, const char *path)
{
    struct rest_flat f;

    memset(q, 0, sizeof(*q));
    q->using_name.p = "";
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return sx_json_fail_type(&d->j, "struct SearchRequest");
    rest_flat_begin(d, &f);
    return rest_flat_end(d, &f, fields(d, &f, q, path));
}

int rest_decode_search(struct rest_dec *d, struct sx_op *op)
{
    struct sx_args_query *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct sx_query *q = sx_arena_alloc(d->arena, sizeof(*q));

    if (args == NULL || q == NULL)
        return SX_ENOMEM;
    op->args = args;
    args->n = 1;
    args->queries = q;
    return request(d, q, "search_request.");
}

int rest_decode_search_batch(struct rest_dec *d, struct sx_op *op)
{
    return rest_batch(d, op, "struct SearchRequestBatch", "search_request.", request);
}
