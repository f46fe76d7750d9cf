/* The columnar form of an upsert: lists of ids, vectors and payloads side by side.
 *
 * Columns are read as they come, in any order, and turned into points at the end, when the numbers
 * of ids, vectors and payloads are known to agree.
 *
 * Threads: one body at a time per rest_dec. */
#include <stdio.h>
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

void rest_map_step(char out[24], uint32_t n_bad, uint32_t k)
{
    (void)snprintf(out, 24, n_bad > 1 ? ".?[%u]" : ".?", k);
}

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
        if (kind != 0 && c->v[c->n].kind != kind)
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
        uint32_t i = 0,
                 checked = b->n_columns < REST_NAMES_CHECKED ? b->n_columns : REST_NAMES_CHECKED;

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

/* Only inference objects, all of one kind: they parse, and may not be used here. 1, 0, negative. */
static int direct_try(struct rest_dec *d)
{
    const struct sx_infer *infer, *first = NULL;
    int rc = sx_json_arr_begin(&d->j, "a sequence");
    struct sx_str text;

    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        rc = rest_infer_try(d, &infer);
        if (rc <= 0)
            return rc;
        first = first != NULL ? first : infer;
        if (infer->kind != first->kind)
            return 0;
    }
    if (rc < 0 || first == NULL)
        return rc;
    text = sx_arena_printf(d->arena,
                           "Direct %s processing is not supported in top-level batch vectors. Use "
                           "named vectors.",
                           rest_infer_noun(first->kind));
    if (text.p == NULL)
        return SX_ENOMEM;
    rest_refused(d, text.p);
    return 1;
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
        }
    }
    if (rc == 0)
        return rest_fail_union(d, m,
                               "data did not match any variant of untagged enum BatchVectorStruct");
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
        rc = rest_payload(d, &b->payloads[b->n_payloads++]);
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
                rest_map_step(step, n_bad, bad++);
            for (uint32_t k = 0; k < n; k++)
                rest_valid_add(d, "batch%s.%s: %.*s", step, f[k].leaf, (int)f[k].text.n,
                               f[k].text.p);
        }
    return SX_OK;
}

/* Columns into points. Only for sound bodies. One column is in the order of points already. */
static int batch_points(struct rest_dec *d, const struct batch *b, struct sx_args_upsert *args)
{
    uint64_t n_vectors = (uint64_t)b->n_ids * b->n_columns;
    struct sx_point_in *p = sx_arena_zalloc(d->arena, (uint64_t)b->n_ids * sizeof(*p) + 1);
    struct sx_vec_in *v =
        b->n_columns == 1 ? b->columns[0].v : sx_arena_alloc(d->arena, n_vectors * sizeof(*v) + 1);

    if (p == NULL || (v == NULL && n_vectors != 0))
        return SX_ENOMEM;
    args->points = p;
    args->n = b->n_ids;
    for (uint32_t i = 0; i < b->n_ids; i++) {
        p[i].id = b->ids[i];
        p[i].n_vectors = b->n_columns;
        p[i].vectors = v + (uint64_t)i * b->n_columns;
        if (b->has_payloads)
            p[i].payload = b->payloads[i];
        for (uint32_t c = 0; b->n_columns > 1 && c < b->n_columns; c++)
            v[(uint64_t)i * b->n_columns + c] = b->columns[c].v[i];
    }
    return SX_OK;
}

int rest_upsert_columns(struct rest_dec *d, struct sx_args_upsert *args)
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
            return rest_fail_duplicate(d, key,
                                       bit == IDS       ? "ids"
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
    if (rc < 0 || d->n_valid != 0 || b.is_direct)
        return rc;
    return batch_points(d, &b, args);
}
