/* Request bodies: JSON in, operation arguments or documents out.
 *
 * One struct rest_dec per body. Four kinds of complaint are kept apart because of their order:
 * form errors (400) stop the reader where they stand; range errors (422) are collected and count
 * only when the form was right; forms that parse but may not be used where they stand (400) come
 * next; what this server does not serve yet (501) counts only when all that was fine. */
#ifndef REST_DECODE_H
#define REST_DECODE_H

#include "sextant/sx_json.h"
#include "sextant/sx_op.h"

#define REST_VALID_MAX 100u /* range errors listed in one answer */

struct rest_dec {
    struct sx_json j;
    struct sx_arena *arena;
    struct sx_docb *docb;  /* reused from body to body */
    const char *prefix;    /* of the paths of range errors; "" outside of batches */
    struct sx_str valid;   /* the collected list, without brackets */
    uint32_t n_valid, dim; /* dim: length of the last dense vector, a hint for the next */
    uint32_t valid_cap, pad;
    const char *refused;      /* first form that may not be used where it stands */
    const char *unsupported;  /* first thing asked for that is not served */
    const struct sx_reg *reg; /* words that modules add (distances); NULL = none */
    struct {                  /* rest_push(): the list that grew last, where and when it did */
        const void *array;
        const char *at;
        uint32_t n, pad;
    } grown;
    struct sx_str err; /* the client's text without class prefix */
};

/* Decodes the body of op->code into op->args or op->body. 0, or SX_EFORMAT, SX_EVALID,
 * SX_EINFERENCE, SX_EUNSUPPORTED, SX_ENOMEM with d->err set. d->arena, d->docb and op->arena are
 * the caller's; body stays borrowed as long as op lives. SX_EUNSUPPORTED also for codes without a
 * decoder. Thread: any, one body at a time per d. */
int rest_decode(struct rest_dec *d, struct sx_op *op, const char *body, uint64_t n);
/* 1 when rest_decode() knows the bodies of this operation. */
int rest_decode_knows(uint32_t code);

/* --- shared by the decoders (decode_fail.c, decode_id.c, decode_show.c, decode_select.c) ---- */

static inline int rest__is(struct sx_str s, const char *word, uint32_t n)
{
    return s.n == n && __builtin_memcmp(s.p, word, n) == 0;
}
#define REST_IS(s, word) rest__is((s), "" word, (uint32_t)sizeof(word) - 1)

/* Which known field a key is: its number in names[], or n. An alias is written "name|alias". */
uint32_t rest_field_of(struct sx_str key, const char *const *names, uint32_t n);

/* Where the values of an object's known fields (up to 10) stand. For unions, whose arms must be
 * tried in an order that is not the text's. Returns 1 with the reader behind the object, 0 when
 * there is none (nothing consumed), or negative. */
struct rest_marks {
    struct sx_json_mark at[10], end;
    uint32_t seen, twice; /* bits by field */
};
int rest_marks_read(struct rest_dec *d,
                    const char *const *names,
                    uint32_t n,
                    struct rest_marks *out);
/* 1 when field i is there exactly once; the reader is then at its value. */
static inline int rest_marks_go(struct rest_dec *d, const struct rest_marks *m, uint32_t i)
{
    if ((m->seen >> i & 1) == 0 || (m->twice >> i & 1) != 0)
        return 0;
    sx_json_reset(&d->j, m->at[i]);
    return 1;
}

/* A request struct whose fields the reference reads twice ("flattened"): errors of its fields are
 * reported at its closing brace. */
struct rest_flat {
    struct sx_json_mark mark;
    uint32_t no_pos, direct; /* direct: the error carries its own position already */
};
void rest_flat_begin(struct rest_dec *d, struct rest_flat *f);
/* Call with the decoder's result; moves a failure to the closing brace. Returns rc or SX_EFORMAT.
 */
int rest_flat_end(struct rest_dec *d, struct rest_flat *f, int rc);

/* Form errors. All return a negative code. name may carry an alias behind a bar. */
int rest_fail_duplicate(struct rest_dec *d, struct sx_str key, const char *name);
int rest_fail_missing(struct rest_dec *d, const char *name); /* right after the closing brace */
/* The key just read is none of those: `text` goes on behind "unknown field `key`, ". */
int rest_fail_unknown(struct rest_dec *d, struct sx_str key, const char *text);
/* Resets to the mark, steps over the value (a syntax error wins) and fails with the text. */
int rest_fail_union(struct rest_dec *d, struct sx_json_mark m, const char *text);
/* Resets, steps over the value. 0 or negative. */
int rest_skip_from(struct rest_dec *d, struct sx_json_mark m);

/* Range errors and missing parts. */
void rest_valid_add(struct rest_dec *d, const char *fmt, ...) SX_PRINTF(2, 3);
void rest_refused(struct rest_dec *d, const char *text);
void rest_unsupported(struct rest_dec *d, const char *what);
/* What was collected so far, and back to it: the arm of a union did not fit after all. */
struct rest_kept {
    struct sx_str valid;
    uint32_t n_valid;
    const char *refused, *unsupported;
};
static inline struct rest_kept rest_keep(const struct rest_dec *d)
{
    return (struct rest_kept){d->valid, d->n_valid, d->refused, d->unsupported};
}
void rest_back(struct rest_dec *d, const struct rest_kept *k);
/* 1 when the failure rc is want of memory, however it was found. */
int rest_no_memory(const struct rest_dec *d, int rc);

/* Values in texts. A float as range texts print it: shortest, always with a point or exponent;
 * returns out. The others append: a float without exponent, as short as may be (91, -0.00000015); a
 * value as the reference's debug text ([U64(1)], {String("a"): Unit}); a value as its errors call
 * it (integer `1`, string "a", sequence, unit value). */
const char *rest_float_text(char out[40], double v);
void rest_show_float(struct sx_buf *b, double v);
void rest_show_debug(struct sx_buf *b, struct sx_doc v);
void rest_show_value(struct sx_buf *b, const struct sx_value *v);

/* Point ids. read: 0 or the form error. try: 1 read, 0 no id (nothing consumed), negative. */
int rest_id_read(struct rest_dec *d, struct sx_id *out);
int rest_id_try(struct rest_dec *d, struct sx_id *out);
int rest_ids_read(struct rest_dec *d, const struct sx_id **out, uint32_t *n);

/* with_payload and with_vector; null, where it is allowed, leaves *out alone. */
int rest_with_payload(struct rest_dec *d, struct sx_selector *out);
int rest_with_vector(struct rest_dec *d, struct sx_selector *out, int null_ok);
/* shard_key of a request; null leaves *out alone. f: the flattened request around it, or NULL. */
int rest_shard_key(struct rest_dec *d, struct rest_flat *f, struct sx_shards *out);
/* A text that is a path. 0 or the form error. */
int rest_path_read(struct rest_dec *d, struct sx_path *out);
/* Optional fields, where null leaves *out alone. */
static inline int rest_optional_u64(struct rest_dec *d, uint64_t *out)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_u64(&d->j, "usize", UINT64_MAX, out);
    return rc < 0 ? rc : SX_OK;
}
static inline int rest_optional_str(struct rest_dec *d, struct sx_str *out)
{
    int rc = sx_json_null(&d->j);

    if (rc == 0)
        rc = sx_json_str(&d->j, "a string", out);
    return rc < 0 ? rc : SX_OK;
}

/* The value of a filter (decode_filter.c); null leaves *out alone. Range errors are added under
 * path and step ("internal.", "filter"), which are joined only then; path NULL: none are looked
 * for, a field condition without a clause is SX_COND_NEVER. */
int rest_filter(struct rest_dec *d,
                const char *path,
                const char *step,
                const struct sx_filter **out);
/* "key" or {"key", "direction", "start_from"} (decode_order.c): 1, 0 or negative; behind the value
 * after 1. */
int rest_order_by(struct rest_dec *d, struct sx_order_by *out);

/* Growing array in the arena: room for one more element, NULL when memory is short. */
void *rest_push(struct rest_dec *d, void *array, uint32_t n, uint32_t *cap, uint32_t size);

/* --- vectors (decode_vector.c) -------------------------------------------------------------- */

enum {
    REST_V_PAIR = 1 /* a list of two lists, the first of u32 only, is a sparse vector */
};
enum { REST_V_NONE = 0, REST_V_VECTOR = 1, REST_V_INFERENCE = 2 };
/* A dense list, a list of lists, or (object != 0) a sparse or inference object (out->infer).
 * Returns REST_V_*, NONE with the reader where it was, or a negative code. */
int rest_vector_try(struct rest_dec *d, uint32_t flags, int object, struct sx_vec_in *out);
/* The range errors of one vector as texts; 0, 1 or 2 of them. `leaf` of a text is the path's last
 * step. */
struct rest_vec_fault {
    const char *leaf;
    struct sx_str text;
};
uint32_t
rest_vector_faults(struct rest_dec *d, const struct sx_vec_in *v, struct rest_vec_fault out[2]);
/* Puts a sparse vector into ascending order, once it is known to be sound. */
int rest_vector_sort(struct rest_dec *d, struct sx_vec_in *v);
/* An inference object at the reader (decode_infer.c): 1 with the reader behind it, 0 with the
 * reader anywhere, or negative. */
int rest_infer_try(struct rest_dec *d, const struct sx_infer **out);
const char *rest_infer_noun(uint32_t kind); /* "Document", "Image", "Object" */

/* --- the decoders --------------------------------------------------------------------------- */

int rest_decode_create(struct rest_dec *d, struct sx_op *op); /* decode_collection.c */
int rest_decode_update(struct rest_dec *d, struct sx_op *op);
int rest_decode_aliases(struct rest_dec *d, struct sx_op *op);
int rest_decode_quotas(struct rest_dec *d, struct sx_op *op);
int rest_decode_vector_name(struct rest_dec *d, struct sx_op *op);
int rest_decode_index(struct rest_dec *d, struct sx_op *op);  /* decode_index.c */
int rest_decode_upsert(struct rest_dec *d, struct sx_op *op); /* decode_upsert.c */
/* The value of a point's `payload`: an object, or null for none. */
int rest_payload(struct rest_dec *d, struct sx_doc *out);
/* Names seen twice: the last value counts. Only so many are compared with; no collection has more
 * vectors, and a longer scan would be quadratic in a hostile body. */
#define REST_NAMES_CHECKED 256u
int rest_upsert_columns(struct rest_dec *d, struct sx_args_upsert *args); /* decode_batch.c */
/* The path step of the k-th faulty entry of a map: "?" alone, "?[k]" among several. */
void rest_map_step(char out[24], uint32_t n_bad, uint32_t k);
/* The value of `vector`: one unnamed vector, or (*is_map) a map. */
int rest_vectors(struct rest_dec *d, struct sx_point_in *out, uint32_t *is_map);
/* Sorts the sound vectors of a point and adds the range errors of the others under at[index] and
 * field ("points", ".vector"). */
int rest_vectors_check(struct rest_dec *d,
                       const struct sx_point_in *p,
                       uint32_t is_map,
                       const char *at,
                       uint32_t index,
                       const char *field);
int rest_decode_vectors_update(struct rest_dec *d, struct sx_op *op); /* decode_change.c */
int rest_decode_vectors_delete(struct rest_dec *d, struct sx_op *op);
int rest_decode_delete(struct rest_dec *d, struct sx_op *op);  /* and clear payload */
int rest_decode_payload(struct rest_dec *d, struct sx_op *op); /* set, overwrite */
int rest_decode_payload_delete(struct rest_dec *d, struct sx_op *op);
int rest_decode_updates(struct rest_dec *d, struct sx_op *op); /* decode_updates.c */
int rest_decode_get(struct rest_dec *d, struct sx_op *op);     /* decode_points.c */
int rest_decode_scroll(struct rest_dec *d, struct sx_op *op);
int rest_decode_count(struct rest_dec *d, struct sx_op *op);
int rest_decode_facet(struct rest_dec *d, struct sx_op *op);
int rest_decode_query(struct rest_dec *d, struct sx_op *op); /* decode_query.c */
int rest_decode_query_batch(struct rest_dec *d, struct sx_op *op);
int rest_decode_search(struct rest_dec *d, struct sx_op *op); /* decode_search.c */
int rest_decode_search_batch(struct rest_dec *d, struct sx_op *op);
/* {"searches": [request, ...]}; path of request i is "searches[i]." and the prefix. */
typedef int (*rest_request_fn)(struct rest_dec *d, struct sx_query *q, const char *path);
int rest_batch(struct rest_dec *d,
               struct sx_op *op,
               const char *noun,
               const char *prefix,
               rest_request_fn request);

/* decode_variant.c: the forms of a query other than nearest. key is the variant's name, m where its
 * value stands. Returns 1 when the value fits (range errors are then added under path, which ends
 * in "query."), 0 when it does not, negative on a syntax error; the reader is anywhere. */
int rest_variant_try(struct rest_dec *d, const char *key, struct sx_json_mark m, const char *path);
/* A vector input: 1 with *out (kind SX_VEC_ID for a point id, 0 for an inference object) and its
 * range errors added under path and step ("internal.", "query"), which are joined only then; 0, or
 * negative. The reader is behind the value after 1. */
int rest_vector_input(struct rest_dec *d,
                      const char *path,
                      const char *step,
                      struct sx_vec_in *out);
/* The value of `params` (null allowed). path ends in a dot. */
int rest_params(struct rest_dec *d, struct sx_query *q, const char *path);

#endif
