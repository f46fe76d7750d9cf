/* What the rooms of a collection's configuration share: config.c (parsing), config_build.c (request
 * over defaults), config_names.c (vector names that come and go), config_patch.c (changes). */
#ifndef ENG_CONFIG_PRIV_H
#define ENG_CONFIG_PRIV_H

#include <string.h>

#include "config.h"

static inline int is_set(struct sx_doc v)
{
    return v.p && sx_doc_type(v) != SX_DOC_NULL;
}

static inline void put_member(struct sx_docb *b, const char *key, struct sx_doc v)
{
    if (v.p) {
        sx_docb_ckey(b, key);
        sx_docb_doc(b, v);
    }
}

static inline int is_single(struct sx_doc vectors)
{
    /* A map of names can hold vectors called "size" and "distance", but those are objects. */
    uint32_t t = sx_doc_type(sx_doc_get(vectors, "size"));
    return t == SX_DOC_I64 || t == SX_DOC_U64;
}

static inline int str_is(struct sx_str s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* config_build.c: one section with all its fields, those given over the defaults over what is built
 * in; "auto" becomes null. */
enum { ENG_CONFIG_HNSW, ENG_CONFIG_OPTIMIZER, ENG_CONFIG_WAL };
void eng_config_put_section(struct sx_docb *b,
                            uint32_t section,
                            struct sx_doc given,
                            struct sx_doc defaults);
/* A member with the fields of one object over those of another; none when both are absent. */
void eng_config_put_overlay(struct sx_docb *b,
                            const char *name,
                            struct sx_doc over,
                            struct sx_doc under);
/* What would change answers and is not served yet is refused, not ignored. */
int eng_config_check_served(struct sx_doc strict,
                            struct sx_doc strict_defaults,
                            struct sx_err *err);
/* config_names.c. Parses d (taken, also on failure) into a configuration whose columns have the ids
 * and slots of those of the same name in old. */
int eng_config_parse_like(struct eng *e,
                          struct sx_doc d,
                          const struct eng_config *old,
                          struct eng_config **out,
                          struct sx_err *err);

#endif
