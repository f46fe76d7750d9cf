/* sx_doc: an immutable, relocatable binary JSON value.
 *
 * Payloads, filters and control bodies travel in it: it is what the log and the payload file hold,
 * what filters read in place without parsing, and what the codecs convert to and from. Typed,
 * lengths first, object keys in insertion order, u64 and i64 exact, arrays of numbers packed.
 *
 * Layout (little endian, every value starts 4-aligned relative to the document):
 *   word   u32: type in the low 8 bits, the rest 0
 *   I64 U64 F64      word, 8 bytes
 *   STR              word, u32 length, bytes, zero padding to 4
 *   ARR              word, u32 total size, u32 n, children, u32 offset[n] (from the value's start)
 *   OBJ              word, u32 total size, u32 n, {key STR, child}*, u32 {key, child} offset[n]
 *   ARR_I64 ARR_F64  word, u32 n, n * 8 bytes (arrays of only i64 / only f64, at least 1 element)
 * A document from disk or network is checked once by sx_doc_check(); readers then trust it. */
#ifndef SX_DOC_H
#define SX_DOC_H

#include "sextant/sx_mem.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SX_DOC_NULL = 0,
    SX_DOC_FALSE = 1,
    SX_DOC_TRUE = 2,
    SX_DOC_I64 = 3,
    SX_DOC_U64 = 4, /* only values above INT64_MAX */
    SX_DOC_F64 = 5,
    SX_DOC_STR = 6,
    SX_DOC_ARR = 7,
    SX_DOC_OBJ = 8,
    SX_DOC_ARR_I64 = 9,
    SX_DOC_ARR_F64 = 10
};
#define SX_DOC_MAX_DEPTH 128u

/* A borrowed document or value inside one. p NULL = absent. */
struct sx_doc {
    const uint8_t *p;
    uint32_t n; /* bytes */
    uint32_t pad;
};

/* 0 if the n bytes are exactly one well-formed value (lengths, offsets, depth, UTF-8, canonical
 * types), else SX_ECORRUPT. [A] */
int sx_doc_check(const void *p, uint32_t n);

uint32_t sx_doc_type(struct sx_doc v); /* SX_DOC_NULL when absent */
/* Elements of an array (any of the three kinds) or members of an object; 0 otherwise. */
uint32_t sx_doc_count(struct sx_doc v);
/* Borrowed element i < count. Elements of packed arrays have no storage of their own: use
 * sx_doc_elem_num() for those; sx_doc_elem() answers absent. */
struct sx_doc sx_doc_elem(struct sx_doc v, uint32_t i);
/* A scalar read out of any array element or value. type is SX_DOC_*; numbers in the union. */
struct sx_doc_num {
    uint32_t type, pad;
    union {
        int64_t i;
        uint64_t u;
        double f;
    } v;
};
struct sx_doc_num sx_doc_num(struct sx_doc v);
struct sx_doc_num sx_doc_elem_num(struct sx_doc v, uint32_t i);
struct sx_doc sx_doc_member(struct sx_doc v, uint32_t i, struct sx_str *key);
struct sx_doc sx_doc_get(struct sx_doc v, const char *key); /* absent when missing or no object */
struct sx_doc sx_doc_get_n(struct sx_doc v, const char *key, uint32_t n);
struct sx_str sx_doc_str(struct sx_doc v); /* p NULL when no string */
/* Convenience: value as number/bool with a default when absent or of another type. */
int64_t sx_doc_get_i64(struct sx_doc v, const char *key, int64_t def);
double sx_doc_get_f64(struct sx_doc v, const char *key, double def);
int sx_doc_get_bool(struct sx_doc v, const char *key, int def);

/* Builder. Calls nest like JSON text; inside an object every value is preceded by sx_docb_key().
 * Errors (depth, memory) are sticky and reported by sx_docb_end(). A duplicate key replaces the
 * earlier value but keeps its place when the builder was made with SX_DOCB_LAST_WINS. */
#define SX_DOCB_LAST_WINS 1u
struct sx_docb_frame {
    uint32_t start, entries, n, kind; /* entries: where this frame's offsets start in `offs` */
};
struct sx_docb {
    struct sx_buf out, offs;
    uint32_t depth, flags, key_at, failed;
    struct sx_docb_frame frame[SX_DOC_MAX_DEPTH];
};
void sx_docb_init(struct sx_docb *b, const struct sx_mem *mem, uint32_t flags);
void sx_docb_fini(struct sx_docb *b);
void sx_docb_reset(struct sx_docb *b);
void sx_docb_null(struct sx_docb *b);
void sx_docb_bool(struct sx_docb *b, int v);
void sx_docb_i64(struct sx_docb *b, int64_t v);
void sx_docb_u64(struct sx_docb *b, uint64_t v); /* becomes I64 when it fits */
void sx_docb_f64(struct sx_docb *b, double v);
void sx_docb_str(struct sx_docb *b, const char *s, uint32_t n);
void sx_docb_cstr(struct sx_docb *b, const char *s);
void sx_docb_doc(struct sx_docb *b, struct sx_doc v); /* copies a whole value */
void sx_docb_key(struct sx_docb *b, const char *s, uint32_t n);
void sx_docb_ckey(struct sx_docb *b, const char *s);
void sx_docb_obj(struct sx_docb *b);
void sx_docb_arr(struct sx_docb *b);
void sx_docb_close(struct sx_docb *b); /* ends the innermost object or array */
/* The finished document, borrowed until the next reset; p NULL after a failure. */
struct sx_doc sx_docb_end(struct sx_docb *b);
/* The same, copied into the arena. */
struct sx_doc sx_docb_end_arena(struct sx_docb *b, struct sx_arena *a);

#ifdef __cplusplus
}
#endif
#endif
