/* Vectors as clients write them: dense lists, lists of lists, sparse and inference objects.
 *
 * The forms are tried in a fixed order and the first that fits wins, also where that surprises: a
 * fixed-field object may be written as the list of its fields, so inside a map of named vectors and
 * in queries a list of exactly two lists, the first of unsigned integers only, is a sparse vector
 * (spec 02 section 3.1). Dense numbers go straight into 64-aligned spans of the arena; this is the
 * hot path of upserts and queries.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define MULTI_MAX 1048576u /* numbers of one multivector, exclusive */

struct row {
    const float *p;
    uint32_t n, pad;
};

static int dense(struct rest_dec *d, int64_t n, const float *data, struct sx_vec_in *out)
{
    if (n > UINT32_MAX)
        return SX_ENOMEM;
    out->kind = SX_VEC_DENSE;
    out->dim = (uint32_t)n;
    out->rows = 1;
    out->data = data;
    d->dim = (uint32_t)n;
    return REST_V_VECTOR;
}

/* Two rows were read as floats; are the first one's numbers indices? first: mark at that row. */
static int pair_try(struct rest_dec *d,
                    struct sx_json_mark first,
                    const struct row *rows,
                    struct sx_vec_in *out)
{
    struct sx_json end = d->j;
    uint32_t *indices;
    int64_t n;

    sx_json_reset(&d->j, first);
    n = sx_json_u32s(&d->j, &indices);
    d->j = end;
    if (n < 0)
        return n == SX_ENOMEM ? SX_ENOMEM : REST_V_NONE;
    out->kind = SX_VEC_SPARSE;
    out->dim = rows[1].n;
    out->rows = (uint32_t)n; /* until checked: the number of indices */
    out->indices = indices;
    out->data = rows[1].p;
    return REST_V_VECTOR;
}

/* Rows into one block. Faulty ones (other lengths) are left as they are: rest_vector_faults() finds
 * them by dim, which then is the first row's, and by `pad` = the first different length + 1. */
static int multi(struct rest_dec *d, const struct row *rows, uint32_t n, struct sx_vec_in *out)
{
    uint64_t dim = rows[0].n;
    float *data;

    out->kind = SX_VEC_MULTI;
    out->dim = rows[0].n;
    out->rows = n;
    out->data = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (rows[i].n != dim || rows[i].n == 0) {
            /* An empty row wins over a different length: it is checked first. */
            uint32_t bad = rows[i].n;

            for (uint32_t k = i; k < n; k++)
                bad = rows[k].n == 0 ? 0 : bad;
            out->pad = bad + 1;
            return REST_V_VECTOR;
        }
    if (dim * n >= MULTI_MAX)
        return REST_V_VECTOR; /* the fault is plain from the numbers */
    data = sx_arena_alloc_aligned(d->arena, dim * n * sizeof(float), 64);
    if (data == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        memcpy(data + dim * i, rows[i].p, dim * sizeof(float));
    out->data = data;
    return REST_V_VECTOR;
}

/* The reader is at a list that is no list of numbers. */
static int rows_try(struct rest_dec *d, uint32_t flags, struct sx_vec_in *out)
{
    struct sx_json_mark first = {NULL, 0, 0};
    struct row *rows = NULL;
    uint32_t n = 0, cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        float *p = NULL;
        int64_t len;

        if (n == 0)
            first = sx_json_mark(&d->j);
        if (sx_json_peek(&d->j) != SX_JSON_ARR)
            return d->j.failed ? SX_EFORMAT : REST_V_NONE;
        len = sx_json_f32s(&d->j, n != 0 ? rows[0].n : 0, &p);
        if (len == SX_EINPUT)
            return REST_V_NONE;
        if (len < 0)
            return (int)len;
        rows = rest_push(d, rows, n, &cap, sizeof(*rows));
        if (rows == NULL || len > UINT32_MAX)
            return SX_ENOMEM;
        rows[n++] = (struct row){p, (uint32_t)len, 0};
    }
    if (rc < 0 || n == 0)
        return rc < 0 ? rc : REST_V_NONE;
    if (n == 2 && (flags & REST_V_PAIR) != 0) {
        rc = pair_try(d, first, rows, out);
        if (rc != REST_V_NONE)
            return rc;
    }
    return multi(d, rows, n, out);
}

enum {
    HAS_INDICES = 1,
    HAS_VALUES = 2,
    BAD_SPARSE = 4 /* a field that does not fit, or stands there twice */
};

static int sparse_field(struct rest_dec *d,
                        int is_indices,
                        uint32_t *seen,
                        uint32_t **indices,
                        float **values,
                        struct sx_vec_in *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    uint32_t bit = is_indices ? HAS_INDICES : HAS_VALUES;
    int64_t n;

    if ((*seen & bit) != 0)
        *seen |= BAD_SPARSE;
    *seen |= bit;
    n = is_indices ? sx_json_u32s(&d->j, indices) : sx_json_f32s(&d->j, 0, values);
    if (n == SX_EINPUT) {
        *seen |= BAD_SPARSE;
        return rest_skip_from(d, m);
    }
    if (n < 0 || n > UINT32_MAX)
        return n < 0 ? (int)n : SX_ENOMEM;
    *(is_indices ? &out->rows : &out->dim) = (uint32_t)n;
    return SX_OK;
}

/* A sparse object, else an inference object. */
static int object_try(struct rest_dec *d, struct sx_vec_in *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    uint32_t *indices = NULL, seen = 0;
    float *values = NULL;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0)
        rc = REST_IS(key, "indices") || REST_IS(key, "values")
                 ? sparse_field(d, REST_IS(key, "indices"), &seen, &indices, &values, out)
                 : sx_json_skip(&d->j, NULL);
    if (rc < 0)
        return rc;
    if (seen == (HAS_INDICES | HAS_VALUES)) {
        out->kind = SX_VEC_SPARSE;
        out->indices = indices;
        out->data = values;
        return REST_V_VECTOR;
    }
    sx_json_reset(&d->j, m);
    memset(out, 0, sizeof(*out));
    out->kind = SX_VEC_INFER;
    rc = rest_infer_try(d, &out->infer);
    return rc > 0 ? REST_V_INFERENCE : rc == 0 ? REST_V_NONE : rc;
}

int rest_vector_try(struct rest_dec *d, uint32_t flags, int object, struct sx_vec_in *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    float *data = NULL;
    int64_t n;
    int rc;

    switch (sx_json_peek(&d->j)) {
    case SX_JSON_ARR:
        n = sx_json_f32s(&d->j, d->dim, &data);
        if (n >= 0)
            return dense(d, n, data, out);
        if (n != SX_EINPUT)
            return (int)n;
        sx_json_reset(&d->j, m);
        rc = rows_try(d, flags, out);
        break;
    case SX_JSON_OBJ:
        if (!object)
            return REST_V_NONE;
        rc = object_try(d, out);
        break;
    default:
        return d->j.failed ? SX_EFORMAT : REST_V_NONE;
    }
    if (rc == REST_V_NONE) {
        sx_json_reset(&d->j, m);
        memset(out, 0, sizeof(*out));
    }
    return rc;
}

/* --- checks --------------------------------------------------------------------------------- */

static struct sx_str text(const char *s)
{
    return (struct sx_str){s, (uint32_t)strlen(s), 0};
}

/* 1 when ascending, so unique too: what nearly every client sends. */
static int is_ascending(const struct sx_vec_in *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (v->indices[i - 1] >= v->indices[i])
            return 0;
    return 1;
}

/* Heap sort of indices, values along when there are any. No worst case a client could choose. */
static void sift(uint32_t *idx, float *val, uint32_t at, uint32_t n)
{
    for (;;) {
        uint64_t c = 2 * (uint64_t)at + 1;
        uint32_t i;
        float f;

        if (c >= n)
            return;
        if (c + 1 < n && idx[c + 1] > idx[c])
            c++;
        if (idx[at] >= idx[c])
            return;
        i = idx[at];
        idx[at] = idx[c];
        idx[c] = i;
        if (val != NULL) {
            f = val[at];
            val[at] = val[c];
            val[c] = f;
        }
        at = (uint32_t)c;
    }
}

static void sort(uint32_t *idx, float *val, uint32_t n)
{
    for (uint32_t i = n / 2; i > 0; i--)
        sift(idx, val, i - 1, n);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = idx[0];

        idx[0] = idx[i - 1];
        idx[i - 1] = k;
        if (val != NULL) {
            float f = val[0];

            val[0] = val[i - 1];
            val[i - 1] = f;
        }
        sift(idx, val, 0, i - 1);
    }
}

static int is_unique(struct rest_dec *d, const struct sx_vec_in *v, uint32_t n)
{
    uint32_t *copy;

    if (n < 2 || is_ascending(v, n))
        return 1;
    copy = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*copy));
    if (copy == NULL)
        return 1; /* the sort of the vector itself will fail for want of memory */
    memcpy(copy, v->indices, (uint64_t)n * sizeof(*copy));
    sort(copy, NULL, n);
    for (uint32_t i = 1; i < n; i++)
        if (copy[i - 1] == copy[i])
            return 0;
    return 1;
}

uint32_t
rest_vector_faults(struct rest_dec *d, const struct sx_vec_in *v, struct rest_vec_fault out[2])
{
    uint32_t n = 0;

    switch (v->kind) {
    case SX_VEC_DENSE:
        if (v->dim == 0)
            out[n++] = (struct rest_vec_fault){"vector", text("dense vector must not be empty")};
        break;
    case SX_VEC_SPARSE:
        if (v->rows != v->dim)
            out[n++] = (struct rest_vec_fault){
                "values", text("Validation error: must be the same length as indices [{}]")};
        if (!is_unique(d, v, v->rows))
            out[n++] =
                (struct rest_vec_fault){"indices", text("Validation error: must be unique [{}]")};
        break;
    case SX_VEC_MULTI:
        if (v->pad == 1)
            out[n++] = (struct rest_vec_fault){"data", text("all vectors must be non-empty")};
        else if (v->pad != 0)
            out[n++] = (struct rest_vec_fault){
                "data", sx_arena_printf(d->arena,
                                        "all vectors must have the same dimension, found vector "
                                        "with dimension %u",
                                        v->pad - 1)};
        else if ((uint64_t)v->dim * v->rows >= MULTI_MAX)
            out[n++] = (struct rest_vec_fault){
                "data", sx_arena_printf(
                            d->arena, "Total size of all vectors (%llu) must be less than 1048576",
                            (unsigned long long)v->dim * v->rows)};
        break;
    default:
        break;
    }
    return n;
}

int rest_vector_sort(struct rest_dec *d, struct sx_vec_in *v)
{
    uint32_t *idx;
    float *val;

    if (v->kind != SX_VEC_SPARSE)
        return SX_OK;
    v->rows = 0;
    if (is_ascending(v, v->dim))
        return SX_OK;
    idx = sx_arena_alloc(d->arena, (uint64_t)v->dim * sizeof(*idx));
    val = sx_arena_alloc_aligned(d->arena, (uint64_t)v->dim * sizeof(*val), 64);
    if (idx == NULL || val == NULL)
        return SX_ENOMEM;
    memcpy(idx, v->indices, (uint64_t)v->dim * sizeof(*idx));
    memcpy(val, v->data, (uint64_t)v->dim * sizeof(*val));
    sort(idx, val, v->dim);
    v->indices = idx;
    v->data = val;
    return SX_OK;
}
