/* Upsert bodies: the list form and the columnar form.
 *
 * The hot path of ingest, so one pass over the text: numbers go into aligned spans, payloads into
 * documents, and both stay where they were written until the engine copies them into its log. The
 * reference reads the body into a tree first and picks the form from it, which shows in two ways
 * that are kept here: errors of the form carry no position, and `batch` wins over `points` wherever
 * it stands, even over a faulty `points`.
 *
 * Threads: one body at a time per rest_dec. */
#include <stdio.h>
#include <string.h>

#include "decode.h"

/* --- one point --------------------------------------------------------------------------------------- */

/* Names seen twice: the last value counts. Only the first NAMES_CHECKED are compared with; no
 * collection has more vectors, and a longer scan would be quadratic in a hostile body. */
#define NAMES_CHECKED 256u

struct vectors {
    struct sx_vec_in *v;
    uint32_t n, cap;
};

static struct sx_vec_in *vector_slot(struct rest_dec *d, struct vectors *list, struct sx_str name)
{
    uint32_t checked = list->n < NAMES_CHECKED ? list->n : NAMES_CHECKED;

    for (uint32_t i = 0; i < checked; i++)
        if (rest__is(list->v[i].name, name.p, name.n))
            return &list->v[i];
    list->v = rest_push(d, list->v, list->n, &list->cap, sizeof(*list->v));
    return list->v != NULL ? &list->v[list->n++] : NULL;
}

/* {"name": V, ...}. 1, 0 when a value is no vector, negative. */
static int named_try(struct rest_dec *d, struct vectors *list)
{
    struct sx_str name;
    int rc = sx_json_obj_begin(&d->j, "a map");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_obj_next(&d->j, &name)) > 0) {
        struct sx_vec_in v, *slot;

        memset(&v, 0, sizeof(v));
        rc = rest_vector_try(d, REST_V_PAIR, 1, &v);
        if (rc <= 0)
            return rc;
        if (rc == REST_V_INFERENCE) {
            rest_unsupported(d, "inference");
            continue;
        }
        slot = vector_slot(d, list, name);
        if (slot == NULL)
            return SX_ENOMEM;
        *slot = v;
        slot->name = name;
    }
    return rc < 0 ? rc : 1;
}

/* The value of `vector`: one unnamed vector, or a map. */
static int vector_struct(struct rest_dec *d, struct sx_point_in *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct vectors list = {NULL, 0, 0};
    struct sx_vec_in *v;
    int rc;

    if (sx_json_peek(&d->j) == SX_JSON_OBJ) {
        rc = named_try(d, &list);
        if (rc == 0) {
            struct sx_vec_in unused;

            memset(&unused, 0, sizeof(unused));
            sx_json_reset(&d->j, m);
            rc = rest_vector_try(d, 0, 1, &unused);
            if (rc == REST_V_INFERENCE)
                rest_unsupported(d, "inference");
            else if (rc == REST_V_VECTOR) /* a sparse object has no unnamed form */
                rc = REST_V_NONE;
        }
        out->vectors = list.v;
        out->n_vectors = list.n;
        out->pad = 1; /* until checked: the map form */
    } else {
        v = sx_arena_zalloc(d->arena, sizeof(*v));
        if (v == NULL)
            return SX_ENOMEM;
        v->name.p = "";
        rc = rest_vector_try(d, 0, 0, v);
        v->name.p = "";
        out->vectors = v;
        out->n_vectors = 1;
    }
    if (rc == 0)
        return rest_fail_union(d, m, "data did not match any variant of untagged enum VectorStruct");
    return rc < 0 ? rc : SX_OK;
}

static int payload(struct rest_dec *d, struct sx_doc *out)
{
    int kind = sx_json_peek(&d->j), rc;

    if (kind == SX_JSON_NULL) {
        rc = sx_json_null(&d->j);
        return rc < 0 ? rc : SX_OK;
    }
    if (kind != SX_JSON_OBJ)
        return kind < 0 ? SX_EFORMAT : sx_json_fail_type(&d->j, "a map");
    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    *out = sx_docb_end_arena(d->docb, d->arena);
    if (out->p == NULL)
        return SX_ENOMEM;
    if (sx_doc_count(*out) == 0)
        *out = (struct sx_doc){NULL, 0, 0};
    return SX_OK;
}

static int point(struct rest_dec *d, struct sx_point_in *out)
{
    enum { ID = 1, VECTOR = 2, PAYLOAD = 4 };
    uint32_t seen = 0, bit;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "struct PointStruct");

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    while ((rc = sx_json_obj_next(&d->j, &key)) > 0) {
        bit = REST_IS(key, "id")                                  ? ID
              : REST_IS(key, "vector") || REST_IS(key, "vectors") ? VECTOR
              : REST_IS(key, "payload")                           ? PAYLOAD
                                                                  : 0u;
        if ((seen & bit) != 0)
            return rest_fail_duplicate(d, key, bit == ID       ? "id"
                                               : bit == VECTOR ? "vector"
                                                               : "payload");
        seen |= bit;
        rc = bit == ID        ? rest_id_read(d, &out->id)
             : bit == VECTOR  ? vector_struct(d, out)
             : bit == PAYLOAD ? payload(d, &out->payload)
                              : sx_json_skip(&d->j, NULL);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    if ((seen & ID) == 0)
        return rest_fail_missing(d, "id");
    return (seen & VECTOR) == 0 ? rest_fail_missing(d, "vector") : SX_OK;
}

/* The path step of the k-th faulty entry of a map: "?" alone, "?[k]" among several. */
static void map_step(char out[24], uint32_t n_bad, uint32_t k)
{
    (void)snprintf(out, 24, n_bad > 1 ? ".?[%u]" : ".?", k);
}

/* The vectors of a decoded body are this file's own arrays until the engine gets them. */
static struct sx_vec_in *own(const struct sx_vec_in *v)
{
    return (struct sx_vec_in *)(uintptr_t)v;
}

/* Range errors of one point's vectors; sorts what is sound. */
static int check_point(struct rest_dec *d, struct sx_point_in *p, uint32_t index)
{
    struct sx_vec_in *v = own(p->vectors);
    uint32_t is_map = p->pad, n_bad = 0, bad = 0, n;
    struct rest_vec_fault f[2];

    p->pad = 0;
    for (uint32_t i = 0; i < p->n_vectors; i++) {
        n = rest_vector_faults(d, &v[i], f);
        n_bad += n != 0;
        if (n == 0 && rest_vector_sort(d, &v[i]) < 0)
            return SX_ENOMEM;
    }
    for (uint32_t i = 0; n_bad != 0 && i < p->n_vectors; i++) {
        char step[24] = "";

        n = rest_vector_faults(d, &v[i], f);
        if (n != 0 && is_map)
            map_step(step, n_bad, bad++);
        for (uint32_t k = 0; k < n; k++)
            rest_valid_add(d, "points[%u].vector%s.%s: %.*s", index, step, f[k].leaf,
                           (int)f[k].text.n, f[k].text.p);
    }
    return SX_OK;
}

static int points(struct rest_dec *d, struct sx_args_upsert *args)
{
    struct sx_point_in *list = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        list = rest_push(d, list, n, &cap, sizeof(*list));
        if (list == NULL)
            return SX_ENOMEM;
        rc = point(d, &list[n]);
        if (rc == SX_OK)
            rc = check_point(d, &list[n], n);
        if (rc < 0)
            return rc;
        n++;
    }
    args->points = list;
    args->n = n;
    return rc;
}

/* --- columns ------------------------------------------------------------------------------------------- */

struct column {
    struct sx_str name;
    struct sx_vec_in *v;
    uint32_t n, cap;
};
struct batch {
    const struct sx_id *ids;
    struct column *columns;
    struct sx_doc *payloads;
    uint32_t n_ids, n_columns, cap, n_payloads, is_map, has_payloads, is_direct;
};

/* A list of vectors. 1, 0 = does not fit, negative. kind: SX_VEC_DENSE or MULTI to hold the whole
 * list to one kind, 0 = any. */
static int column_try(struct rest_dec *d, struct column *c, uint32_t kind)
{
    int rc;

    if (sx_json_peek(&d->j) != SX_JSON_ARR)
        return d->j.failed ? SX_EFORMAT : 0;
    rc = sx_json_arr_begin(&d->j, "a sequence");
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        c->v = rest_push(d, c->v, c->n, &c->cap, sizeof(*c->v));
        if (c->v == NULL)
            return SX_ENOMEM;
        memset(&c->v[c->n], 0, sizeof(c->v[c->n]));
        rc = rest_vector_try(d, kind == 0 ? REST_V_PAIR : 0, kind == 0, &c->v[c->n]);
        if (rc <= 0)
            return rc;
        if (rc == REST_V_INFERENCE)
            rest_unsupported(d, "inference");
        else if (kind != 0 && c->v[c->n].kind != kind)
            return 0;
        c->v[c->n++].name = c->name;
    }
    return rc < 0 ? rc : 1;
}

static int column_map_try(struct rest_dec *d, struct batch *b)
{
    struct sx_str name;
    int rc = sx_json_obj_begin(&d->j, "a map");

    b->is_map = 1;
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &name)) > 0) {
        uint32_t i = 0, checked = b->n_columns < NAMES_CHECKED ? b->n_columns : NAMES_CHECKED;

        while (i < checked && !rest__is(b->columns[i].name, name.p, name.n))
            i++;
        if (i == checked) {
            i = b->n_columns;
            b->columns = rest_push(d, b->columns, i, &b->cap, sizeof(*b->columns));
            if (b->columns == NULL)
                return SX_ENOMEM;
            b->n_columns++;
        }
        b->columns[i] = (struct column){name, NULL, 0, 0};
        rc = column_try(d, &b->columns[i], 0);
        if (rc <= 0)
            return rc;
    }
    return rc < 0 ? rc : 1;
}

/* Only inference objects. 1, 0, negative. */
static int direct_try(struct rest_dec *d)
{
    struct sx_vec_in v;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        rc = rest_vector_try(d, 0, 1, &v);
        if (rc < 0 || rc != REST_V_INFERENCE)
            return rc < 0 ? rc : 0;
    }
    return rc < 0 ? rc : 1;
}

static int batch_vectors(struct rest_dec *d, struct batch *b)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct column *c = sx_arena_zalloc(d->arena, sizeof(*c));
    int kind = sx_json_peek(&d->j), rc = 0;

    if (c == NULL)
        return SX_ENOMEM;
    if (kind == SX_JSON_OBJ) {
        rc = column_map_try(d, b);
    } else if (kind == SX_JSON_ARR) {
        static const uint32_t kinds[] = {SX_VEC_DENSE, SX_VEC_MULTI};

        b->columns = c;
        b->n_columns = 1;
        for (uint32_t i = 0; i < SX_COUNT(kinds) && rc == 0; i++) {
            sx_json_reset(&d->j, m);
            *c = (struct column){{"", 0, 0}, NULL, 0, 0};
            rc = column_try(d, c, kinds[i]);
        }
        if (rc == 0) {
            sx_json_reset(&d->j, m);
            rc = direct_try(d);
            b->is_direct = rc == 1;
            if (rc == 1)
                rest_unsupported(d, "inference");
        }
    }
    if (rc == 0)
        return rest_fail_union(
            d, m, "data did not match any variant of untagged enum BatchVectorStruct");
    return rc < 0 ? rc : SX_OK;
}

static int batch_payloads(struct rest_dec *d, struct batch *b)
{
    uint32_t cap = 0;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    b->has_payloads = 1;
    rc = sx_json_arr_begin(&d->j, "a sequence");
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        b->payloads = rest_push(d, b->payloads, b->n_payloads, &cap, sizeof(*b->payloads));
        if (b->payloads == NULL)
            return SX_ENOMEM;
        b->payloads[b->n_payloads] = (struct sx_doc){NULL, 0, 0};
        rc = payload(d, &b->payloads[b->n_payloads++]);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* Range errors of the columns, and the sorting of sparse vectors. */
static int batch_check(struct rest_dec *d, struct batch *b)
{
    uint32_t n_bad = 0, bad = 0, n;
    struct rest_vec_fault f[2];

    for (uint32_t c = 0; c < b->n_columns; c++) {
        struct column *col = &b->columns[c];

        if (col->n != b->n_ids && !b->is_direct)
            rest_valid_add(d, "batch.batch: number of ids and vectors must be equal (%u != %u)",
                           b->n_ids, col->n);
        for (uint32_t i = 0; i < col->n; i++) {
            n = rest_vector_faults(d, &col->v[i], f);
            n_bad += n != 0;
            if (n == 0 && rest_vector_sort(d, &col->v[i]) < 0)
                return SX_ENOMEM;
        }
    }
    if (b->has_payloads && b->n_payloads != b->n_ids)
        rest_valid_add(d, "batch.batch: number of ids and payloads must be equal (%u != %u)",
                       b->n_ids, b->n_payloads);
    for (uint32_t c = 0; n_bad != 0 && c < b->n_columns; c++)
        for (uint32_t i = 0; i < b->columns[c].n; i++) {
            char step[24] = "";

            n = rest_vector_faults(d, &b->columns[c].v[i], f);
            if (n != 0 && b->is_map)
                map_step(step, n_bad, bad++);
            for (uint32_t k = 0; k < n; k++)
                rest_valid_add(d, "batch%s.%s: %.*s", step, f[k].leaf, (int)f[k].text.n,
                               f[k].text.p);
        }
    return SX_OK;
}

/* Columns into points. Only for sound bodies. */
static int batch_points(struct rest_dec *d, const struct batch *b, struct sx_args_upsert *args)
{
    uint64_t n_vectors = (uint64_t)b->n_ids * b->n_columns;
    struct sx_point_in *p = sx_arena_zalloc(d->arena, (uint64_t)b->n_ids * sizeof(*p) + 1);
    struct sx_vec_in *v = sx_arena_alloc(d->arena, n_vectors * sizeof(*v) + 1);

    if (p == NULL || v == NULL)
        return SX_ENOMEM;
    args->points = p;
    args->n = b->n_ids;
    for (uint32_t i = 0; i < b->n_ids; i++) {
        p[i].id = b->ids[i];
        p[i].n_vectors = b->n_columns;
        p[i].vectors = v;
        if (b->has_payloads)
            p[i].payload = b->payloads[i];
        for (uint32_t c = 0; c < b->n_columns; c++)
            *v++ = b->columns[c].v[i];
    }
    return SX_OK;
}

static int columnar(struct rest_dec *d, struct sx_args_upsert *args)
{
    enum { IDS = 1, VECTORS = 2, PAYLOADS = 4 };
    uint32_t seen = 0, bit;
    struct sx_str key;
    struct batch b;
    int rc = sx_json_obj_begin(&d->j, "struct Batch");

    memset(&b, 0, sizeof(b));
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        bit = REST_IS(key, "ids")        ? IDS
              : REST_IS(key, "vectors")  ? VECTORS
              : REST_IS(key, "payloads") ? PAYLOADS
                                         : 0u;
        if ((seen & bit) != 0)
            return rest_fail_duplicate(d, key, bit == IDS       ? "ids"
                                               : bit == VECTORS ? "vectors"
                                                                : "payloads");
        seen |= bit;
        rc = bit == IDS        ? rest_ids_read(d, &b.ids, &b.n_ids)
             : bit == VECTORS  ? batch_vectors(d, &b)
             : bit == PAYLOADS ? batch_payloads(d, &b)
                               : sx_json_skip(&d->j, NULL);
    }
    if (rc < 0)
        return rc;
    if ((seen & IDS) == 0)
        return rest_fail_missing(d, "ids");
    if ((seen & VECTORS) == 0)
        return rest_fail_missing(d, "vectors");
    rc = batch_check(d, &b);
    if (rc < 0 || d->n_valid != 0 || d->unsupported != NULL)
        return rc;
    return batch_points(d, &b, args);
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static int update_mode(struct rest_dec *d)
{
    struct sx_str mode;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    rc = sx_json_str(&d->j, "string or map", &mode);
    if (rc < 0)
        return rc;
    if (REST_IS(mode, "insert_only") || REST_IS(mode, "update_only"))
        rest_unsupported(d, "update_mode");
    else if (!REST_IS(mode, "upsert"))
        return sx_json_fail(&d->j,
                            "unknown variant `%.*s`, expected one of `upsert`, `insert_only`, "
                            "`update_only`",
                            (int)mode.n, mode.p);
    return SX_OK;
}

/* One form of the body. 1 when `batch` was met while reading the list form. */
static int body(struct rest_dec *d, int is_batch, struct sx_args_upsert *args)
{
    static const char *const names[] = {"points", "batch", "shard_key", "update_filter",
                                        "update_mode"};
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        for (i = 0; i < SX_COUNT(names); i++)
            if (rest__is(key, names[i], (uint32_t)strlen(names[i])))
                break;
        if (i == 1 && !is_batch)
            return 1;
        if (i == SX_COUNT(names) || (i == 0 && is_batch)) {
            rc = sx_json_skip(&d->j, NULL);
            continue;
        }
        if ((seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? points(d, args)
             : i == 1 ? columnar(d, args)
             : i == 2 ? rest_shard_key(d, NULL)
             : i == 3 ? rest_filter(d)
                      : update_mode(d);
    }
    if (rc == SX_OK && (seen & 3) == 0)
        return sx_json_fail(&d->j, "Invalid PointInsertOperations format");
    return rc;
}

/* 1 when the object at the reader has the key; the syntax is sound. */
static int has_key(struct rest_dec *d, const char *name)
{
    struct sx_str key;
    int found = 0, rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        found |= rest__is(key, name, (uint32_t)strlen(name));
        rc = sx_json_skip(&d->j, NULL);
    }
    return found;
}

int rest_decode_upsert(struct rest_dec *d, struct sx_op *op)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_args_upsert *args = sx_arena_zalloc(d->arena, sizeof(*args));
    struct sx_str text;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    d->j.no_pos = 1;
    if (sx_json_peek(&d->j) != SX_JSON_OBJ)
        return d->j.failed ? SX_EFORMAT
                           : rest_fail_union(d, m, "Invalid PointInsertOperations format");
    rc = body(d, 0, args);
    if (rc < 0 && rc != SX_ENOMEM) {
        /* A syntax error further on comes first, then a batch, which makes the fault irrelevant. */
        text = d->j.msg;
        rc = rest_skip_from(d, m);
        if (rc < 0)
            return rc;
        sx_json_reset(&d->j, m);
        if (!has_key(d, "batch"))
            return sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
        rc = 1;
    }
    if (rc == 1) {
        sx_json_reset(&d->j, m);
        d->n_valid = 0;
        d->unsupported = NULL;
        *args = (struct sx_args_upsert){0, 0, NULL};
        rc = body(d, 1, args);
        if (rc < 0 && rc != SX_ENOMEM) {
            text = d->j.msg;
            rc = rest_skip_from(d, m);
            if (rc == SX_OK)
                rc = sx_json_fail(&d->j, "%.*s", (int)text.n, text.p);
        }
    }
    return rc;
}
