/* The parts of the filter decoder, and reading out of buffered values.
 *
 * A condition is read into a document first and understood from there, as the reference does: which
 * condition it is shows from its members, whatever their order. So only the filter at the top and
 * its lists are read from the text itself.
 *
 * Everything lies in the arena of d. Strings of the result point into the condition's document. */
#ifndef REST_DECODE_FILTER_H
#define REST_DECODE_FILTER_H

#include "decode.h"

/* Where a condition stands, for range errors: one step a level, joined when a text needs it. */
struct rest_where {
    const struct rest_where *up;
    const char *path, *step; /* of the top: the path is path + step; else only step counts */
    uint32_t index, pad;     /* REST_NO_INDEX = none */
};
#define REST_NO_INDEX UINT32_MAX
/* Adds the range error "<path of at>.<text>". */
void rest_where_add(struct rest_dec *d, const struct rest_where *at, const char *text);

/* One condition (decode_cond.c). 1 = it fits, 0 = it does not, or negative (memory). A field
 * condition says in *cause (may be NULL) why it does not fit; the others leave it alone. at NULL:
 * ranges are not checked. */
int rest_cond(struct rest_dec *d,
              const struct sx_value *v,
              const struct rest_where *at,
              struct sx_cond *out,
              struct sx_str *cause);

/* The clauses of a field condition (decode_clause.c, decode_geo.c): a given clause. 1, 0 with the
 * cause, or negative. */
int rest_clause_match(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_match *out,
                      struct sx_str *cause);
int rest_clause_range(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_range *out,
                      struct sx_str *cause);
int rest_clause_count(struct rest_dec *d,
                      const struct sx_value *v,
                      struct sx_count_range *out,
                      struct sx_str *cause);
/* kind: SX_GEO_*; *out is made by the first clause. */
int rest_clause_geo(struct rest_dec *d,
                    const struct sx_value *v,
                    uint32_t kind,
                    struct sx_geo_cond **out,
                    struct sx_str *cause);

/* --- buffered values (decode_value.c) ------------------------------------------------------- */

static inline struct sx_value rest_value(struct sx_doc doc)
{
    return (struct sx_value){doc, sx_doc_num(doc)};
}
/* Element i of any array. */
struct sx_value rest_value_at(struct sx_doc arr, uint32_t i);
/* Members of objects: absent ones are like null ones but for has. */
struct sx_value rest_value_get(struct sx_doc obj, const char *key);
static inline int rest_value_has(struct sx_doc obj, const char *key)
{
    return sx_doc_get(obj, key).p != NULL;
}
static inline int rest_value_is_null(const struct sx_value *v)
{
    return v->num.type == SX_DOC_NULL;
}
static inline int rest_value_is_obj(const struct sx_value *v)
{
    return v->num.type == SX_DOC_OBJ;
}
static inline int rest_value_is_arr(const struct sx_value *v)
{
    return v->num.type == SX_DOC_ARR || v->num.type == SX_DOC_ARR_I64 ||
           v->num.type == SX_DOC_ARR_F64;
}
/* 1 and the value, or 0. Strings: borrowed from the document. */
int rest_value_u64(const struct sx_value *v, uint64_t *out); /* integers >= 0 */
int rest_value_i64(const struct sx_value *v, int64_t *out);  /* integers that fit */
int rest_value_f64(const struct sx_value *v, double *out);   /* any number */
int rest_value_str(const struct sx_value *v, struct sx_str *out);
int rest_value_id(const struct sx_value *v, struct sx_id *out);
/* 1, 0 or SX_ENOMEM; a path of valid grammar. */
int rest_value_path(struct rest_dec *d, const struct sx_value *v, struct sx_path *out);

/* A struct of n fixed fields: an object with those members, or the list of all fields in order. The
 * fields land in out, absent ones as null. 1, or 0 with the cause. */
int rest_value_struct(struct rest_dec *d,
                      const struct sx_value *v,
                      const char *noun,
                      const char *const *names,
                      uint32_t n,
                      struct sx_value *out,
                      struct sx_str *cause);
/* These set *cause (when asked for) and return 0. */
int rest_cause(struct rest_dec *d, struct sx_str *cause, const char *fmt, ...) SX_PRINTF(3, 4);
/* "Invalid type <v>. Expected <noun>"; for a number of the right kind out of range "Invalid value".
 */
int rest_cause_type(struct rest_dec *d,
                    struct sx_str *cause,
                    const struct sx_value *v,
                    const char *noun);
int rest_cause_missing(struct rest_dec *d, struct sx_str *cause, const char *name);

#endif
