/* JSON text: an on-demand reader with the error texts and positions clients know, and a writer.
 *
 * The reader walks the bytes once; nothing is built unless asked for. It is strict UTF-8 JSON with
 * at most 127 open containers. A failing call sets j->err (code SX_EFORMAT, full text including
 * " at line L column C") and every later call fails too: callers check where it suits them.
 *
 * Texts follow the reference's parser: `invalid type: string "a", expected usize`, `invalid value:
 * integer `-1`, expected u32`, `EOF while parsing a value`, `trailing characters`, ... A mistyped
 * scalar is reported at its last byte, an unexpected container at its opening bracket, a custom
 * text at the end of the value (one further when the closing brace of the enclosing object
 * follows). */
#ifndef SX_JSON_H
#define SX_JSON_H

#include "sextant/sx_doc.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SX_JSON_ERROR = -1,
    SX_JSON_NULL = 0,
    SX_JSON_FALSE,
    SX_JSON_TRUE,
    SX_JSON_NUM,
    SX_JSON_STR,
    SX_JSON_ARR,
    SX_JSON_OBJ
};

struct sx_json {
    const char *start, *p, *end;
    struct sx_arena *arena; /* unescaped strings and arrays live here */
    uint32_t depth, failed;
    uint32_t no_pos;   /* set: errors carry no position (text of an untagged top level) */
    uint32_t first;    /* internal: the container was just opened */
    struct sx_str msg; /* in the arena; valid when failed */
};

void sx_json_init(struct sx_json *j, const char *p, uint64_t n, struct sx_arena *arena);
/* Kind of the next value without consuming it. */
int sx_json_peek(struct sx_json *j);
/* 0 when only white space is left, else the error `trailing characters`. */
int sx_json_end(struct sx_json *j);

/* Objects: obj_begin, then obj_next until it returns 0; between two calls the value is consumed by
 * exactly one read or skip. Returns 1 with a key, 0 at the end, negative on error. `expected` is
 * the noun of the type error ("struct SearchRequest", "a map"). */
int sx_json_obj_begin(struct sx_json *j, const char *expected);
int sx_json_obj_next(struct sx_json *j, struct sx_str *key);
int sx_json_arr_begin(struct sx_json *j, const char *expected); /* "a sequence" */
int sx_json_arr_next(struct sx_json *j);

/* Typed reads: consume one value or fail with the type error naming `expected`. */
int sx_json_null(struct sx_json *j); /* 1 and consumed when null is next, 0 when not, negative */
int sx_json_bool(struct sx_json *j, const char *expected, int *out);
/* Integer without fraction or exponent in [0, max]. */
int sx_json_u64(struct sx_json *j, const char *expected, uint64_t max, uint64_t *out);
int sx_json_i64(struct sx_json *j, const char *expected, int64_t *out);
int sx_json_f64(struct sx_json *j, const char *expected, double *out); /* integers too */
int sx_json_f32(struct sx_json *j, const char *expected, float *out);
int sx_json_str(struct sx_json *j, const char *expected, struct sx_str *out);
/* Consumes any value; checks its syntax. out (may be NULL) gets its text. */
int sx_json_skip(struct sx_json *j, struct sx_str *out);
/* Consumes any value into the builder. The hot path of payloads. */
int sx_json_doc(struct sx_json *j, struct sx_docb *b);
/* Consumes `[number, ...]` as floats (f64 rounded to f32) in the arena, aligned to 64 bytes when
 * they fill as many, else to 16 at least. Returns the count or a negative code. On a non-number
 * element, or anything but an array, returns SX_EINPUT without failing the reader and with the
 * position where it was: the caller tries the next form. A syntax error fails the reader. `hint`:
 * expected count, 0 = unknown. */
int64_t sx_json_f32s(struct sx_json *j, uint32_t hint, float **out);
/* The same for u32 lists (integers 0 .. 2^32-1). */
int64_t sx_json_u32s(struct sx_json *j, uint32_t **out);

/* Mark and return: to try the variants of an untagged union. */
struct sx_json_mark {
    const char *p;
    uint32_t depth, first;
};
struct sx_json_mark sx_json_mark(const struct sx_json *j);
void sx_json_reset(struct sx_json *j, struct sx_json_mark m); /* also clears a failure */

/* Fails with "<text> at line L column C"; position: end of the value just consumed, by the rule of
 * custom texts. Returns SX_EFORMAT. */
int sx_json_fail(struct sx_json *j, const char *fmt, ...) SX_PRINTF(2, 3);
/* The same with the position of byte `at`. */
int sx_json_fail_at(struct sx_json *j, const char *at, const char *fmt, ...) SX_PRINTF(3, 4);
/* `invalid type: <what is next>, expected <expected>`; consumes nothing. */
int sx_json_fail_type(struct sx_json *j, const char *expected);
/* Describes the next value as the type error does: `string "a"`, `integer `1``, `sequence`. */
struct sx_str sx_json_describe(struct sx_json *j);

/* Writer: appends to a buffer; no state, so callers place commas themselves. */
void sx_jsonw_str(struct sx_buf *b, const char *s, uint64_t n); /* quoted and escaped */
void sx_jsonw_cstr(struct sx_buf *b, const char *s);
void sx_jsonw_u64(struct sx_buf *b, uint64_t v);
void sx_jsonw_i64(struct sx_buf *b, int64_t v);
/* Shortest text that reads back to the same f32 / f64, with fraction or exponent ("1.0", "1e20",
 * "-0.0"); non-finite values become null. */
void sx_jsonw_f32(struct sx_buf *b, float v);
void sx_jsonw_f64(struct sx_buf *b, double v);
void sx_jsonw_f32s(struct sx_buf *b, const float *v, uint32_t n); /* "[...]" */
void sx_jsonw_doc(struct sx_buf *b, struct sx_doc v);
void sx_jsonw_id(struct sx_buf *b, struct sx_id id); /* number, or quoted hyphenated UUID */

#ifdef __cplusplus
}
#endif
#endif
