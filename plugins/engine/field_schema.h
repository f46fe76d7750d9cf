/* What a payload index was asked to be: type, options, and how it is echoed.
 *
 * Immutable once parsed; owned by the shard's schema list, retired by epoch when it is dropped or
 * replaced. Threads: parse on any thread, read by all. */
#ifndef ENG_FIELD_SCHEMA_H
#define ENG_FIELD_SCHEMA_H

#include "sextant/sx_path.h"

#include "engine.h"

enum {
    ENG_FIELD_KEYWORD = 1,
    ENG_FIELD_INTEGER,
    ENG_FIELD_FLOAT,
    ENG_FIELD_BOOL,
    ENG_FIELD_GEO,
    ENG_FIELD_DATETIME,
    ENG_FIELD_TEXT,
    ENG_FIELD_UUID
};
#define ENG_FIELD_LOOKUP    1u /* integer */
#define ENG_FIELD_RANGE     2u /* integer; always set for float and datetime */
#define ENG_FIELD_PREFIX    4u /* keyword */
#define ENG_FIELD_TENANT    8u
#define ENG_FIELD_PRINCIPAL 16u
#define ENG_FIELD_PHRASE    32u  /* text */
#define ENG_FIELD_SCORING   64u  /* text */
#define ENG_FIELD_COLD      128u /* memory: cold, or on_disk */
#define ENG_FIELD_CACHED    256u

struct eng_analyzer; /* text.h */
struct eng_field;    /* field.h */

struct eng_field_schema {
    uint32_t id; /* of the field in the shard; never used again */
    uint32_t type, flags;
    uint32_t nested_steps; /* steps of `path` up to and with the [] of the nested array, 0 = none */
    struct sx_path path;
    struct sx_str canonical; /* text of path */
    struct sx_doc params;    /* canonical echo with "type"; p NULL when the bare name was given */
    struct eng_analyzer *analyzer; /* text, owned */
    struct eng_field *field; /* the index of this schema, set by whoever opens it; else NULL */
    uint64_t created;        /* operation number that created it */
};

/* schema: the request's object ({"type": ..., params}), checked for form by the transport. The
 * result owns its memory. SX_EINPUT with the client's text (nested paths, see the additions of
 * 1.20), SX_ENOMEM. */
int eng_field_schema_parse(const struct sx_mem *mem,
                           const struct sx_reg *reg,
                           const struct sx_path *path,
                           struct sx_doc schema,
                           int bare,
                           struct eng_field_schema **out,
                           struct sx_err *err);
void eng_field_schema_destroy(const struct sx_mem *mem, struct eng_field_schema *s);
/* 1 when creating b over a would change nothing. */
int eng_field_schema_same(const struct eng_field_schema *a, const struct eng_field_schema *b);
const char *eng_field_type_name(uint32_t type); /* "keyword", ... */

#endif
