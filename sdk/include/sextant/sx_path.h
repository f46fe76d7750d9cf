/* Paths into payloads: `a.b[0].c[]."odd key"`.
 *
 *   path := key step*      step := "." key | "[" digits "]" | "[]"
 *   key  := one or more letters, digits (of any script), "_", "-"; or '"' anything but '"' and '\'
 * '"'
 *
 * Used by filters, selectors, payload writes and indexes alike. Two texts are the same path when
 * they have the same steps; the printed form is the canonical text. Thread: any. */
#ifndef SX_PATH_H
#define SX_PATH_H

#include "sextant/sx_doc.h"
#include "sextant/sx_text.h"

enum { SX_STEP_KEY = 0, SX_STEP_INDEX = 1, SX_STEP_ALL = 2 };

struct sx_step {
    uint32_t kind, pad;
    uint64_t index;    /* SX_STEP_INDEX */
    struct sx_str key; /* SX_STEP_KEY, without quotes */
};

struct sx_path {
    uint32_t n, pad; /* steps; at least 1, the first is a key */
    const struct sx_step *steps;
};

/* Steps and keys lie in the arena. SX_EINPUT with the text "Invalid json path: '<text>'", or
 * SX_ENOMEM. */
int sx_path_parse(struct sx_arena *arena,
                  struct sx_str text,
                  struct sx_path *out,
                  struct sx_err *err);
/* Canonical text: keys are quoted only where they must be. */
void sx_path_print(const struct sx_path *path, struct sx_buf *out);
int sx_path_equal(const struct sx_path *a, const struct sx_path *b);
static inline int sx_step_is_key(const struct sx_step *s, struct sx_str key)
{
    return s->kind == SX_STEP_KEY && s->key.n == key.n &&
           (key.n == 0 || __builtin_memcmp(s->key.p, key.p, key.n) == 0);
}

/* One value that a path leads to. An element of a packed array has no document of its own: then
 * doc.p is NULL and num holds it. */
struct sx_value {
    struct sx_doc doc;
    struct sx_doc_num num; /* type is always set, the number for numbers */
};
/* Returns non-zero to stop; that becomes the result of the walk. */
typedef int (*sx_value_fn)(void *arg, const struct sx_value *v);

/* values(path): each place the path leads to, in document order. Arrays are crossed by [] and [n]
 * only. */
int sx_path_values(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg);
/* What conditions see: the same with each array replaced by its elements, one level. */
int sx_path_each(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg);

#endif
