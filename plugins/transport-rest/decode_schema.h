/* Tables that describe cold bodies, and the two walks over them: JSON -> sx_doc, and the range
 * checks over the result. */
#ifndef REST_DECODE_SCHEMA_H
#define REST_DECODE_SCHEMA_H

#include "decode.h"

enum {
    REST_T_BOOL = 1,
    REST_T_U64,  /* noun "u32", "usize", ...; limit = largest value */
    REST_T_NZ32, /* noun "a nonzero u32" */
    REST_T_F64,
    REST_T_F32, /* rounded to f32; kept as the double that prints like it */
    REST_T_STR,
    REST_T_ENUM,   /* sub: NULL-terminated list of words; those behind a NULL gap are accepted but
                      not listed in the error text */
    REST_T_OBJ,    /* sub: struct rest_schema */
    REST_T_MAP,    /* of name -> sub (struct rest_field of the value) */
    REST_T_LIST,   /* of sub (struct rest_field) */
    REST_T_ANYMAP, /* any object, kept as it is */
    REST_T_UNION   /* sub: struct rest_union */
};

#define REST_FIELD_REQUIRED 1u
#define REST_FIELD_NONULL   2u /* null is a value like any other, so a type error */
#define REST_FIELD_MIN      4u /* min counts */
#define REST_FIELD_MAX      8u
#define REST_FIELD_PROVIDED 32u /* enums: also the names of providers of kind `limit` */
#define REST_FIELD_INDEXED  16u /* entries of the map are shown as [i] in paths, else as ? */

struct rest_field {
    const char *name; /* canonical name, "|alias" behind it */
    uint32_t type, flags;
    const char *noun;
    const void *sub;
    uint64_t limit;
    double min, max;
    /* Text of a further complaint about the value, or NULL. */
    const char *(*check)(struct sx_doc v);
    const char *step; /* INDEXED maps: name in front of [i], may be NULL */
};
struct rest_schema {
    const char *noun; /* "struct HnswConfigDiff" */
    const struct rest_field *fields;
    uint32_t n, pad;
};
/* Arms in the order they are tried. An arm with a key fits objects that have it and takes that
 * member alone; one without a key takes the whole value. */
struct rest_arm {
    const char *key;
    struct rest_field value;
};
struct rest_union {
    const char *text; /* of the failure */
    const struct rest_arm *arms;
    uint32_t n, pad;
};

/* Reads the next value by the schema into b (NULL: only checks). 0 or negative. */
int rest_schema_read(struct rest_dec *d, const struct rest_schema *s, struct sx_docb *b);
int rest_union_read(struct rest_dec *d, const struct rest_union *u, struct sx_docb *b);
/* Adds the range errors of a document read by the schema; path ends in a dot or is "". */
void rest_schema_check(struct rest_dec *d,
                       const struct rest_schema *s,
                       struct sx_doc v,
                       const char *path);

#endif
