/* The accumulator of a facet, as facet.c (entries, documents, the result) and field_facet.c
 * (counting along an index) share it. */
#ifndef ENG_FIELD_FACET_H
#define ENG_FIELD_FACET_H

#include "field_priv.h"

struct facet_map {
    const struct sx_mem *mem;
    uint32_t n, pad;
    _Atomic uint32_t number[]; /* by code */
};

struct facet_dict {
    const struct sx_mem *mem;
    uint32_t n, mask;
    uint64_t text_n;
    uint32_t *slot; /* number + 1 */
    struct {
        uint32_t hash, n;
        const char *p; /* in text */
    } * val;
    char *text;
};

struct facet_entry {
    uint64_t count;
    uint32_t hash, doc; /* doc: the last one that was counted here */
    union {
        struct sx_str str;
        int64_t i;
        struct sx_id uuid;
    } v;
};

struct eng_facet {
    const struct sx_mem *mem;
    struct sx_arena *arena;
    const struct eng_field_schema *schema;
    uint32_t kind; /* SX_FACET_* */
    uint32_t n, cap, mask;
    struct facet_entry *ent;
    uint32_t *slot;    /* entry + 1 */
    uint32_t *by_code; /* number -> entry + 1 */
    uint32_t n_by_code;
    uint32_t doc, failed; /* failed: memory ran short inside a walk */

    /* the part being counted */
    const struct eng_field *field;
    struct field_part *part;
    struct facet_map *map;
    struct {
        uint32_t code, entry;
    } * pending; /* codes without number yet */
    uint32_t n_pending, cap_pending;
    uint32_t *counts;
    uint64_t cap_counts;
};

/* facet.c: room for cap entries; the entry of a value, made when it is new (NULL: memory); a string
 * to look for. */
int eng_facet_grow(struct eng_facet *k, uint32_t cap);
struct facet_entry *eng_facet_entry(struct eng_facet *k, const struct facet_entry *like);
struct facet_entry eng_facet_entry_str(struct sx_str v);

#endif
