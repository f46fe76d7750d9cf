/* Parsing, printing and following paths into payloads. The grammar and the contract are in
 * sx_path.h; letters and digits of other scripts in path_alnum.c. */
#include <string.h>

#include "sextant/sx_path.h"
#include "sextant/sx_text.h"

#include "path_alnum.h"

#include "sextant/sx_ban.h"

/* --- characters -------------------------------------------------------------------------- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int sx_is_alnum(uint32_t c)
{
    uint32_t lo = 0, hi = SX_ALNUM_RANGES;

    if (c < 0x80)
        return is_digit((char)c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (c < sx_alnum_ranges[mid].first)
            hi = mid;
        else if (c > sx_alnum_ranges[mid].last)
            lo = mid + 1;
        else
            return 1;
    }
    return 0;
}

/* End of the bare key that begins at p. */
static const char *bare_end(const char *p, const char *end)
{
    while (p < end) {
        const char *next = p;
        uint32_t c = sx_utf8_next(&next, end);

        if (!sx_is_alnum(c) && c != '_' && c != '-')
            break;
        p = next;
    }
    return p;
}

/* --- parsing ----------------------------------------------------------------------------- */

/* The key at p; returns where it ends or NULL. */
static const char *parse_key(const char *p, const char *end, struct sx_step *out)
{
    const char *from = p;

    if (p < end && *p == '"') {
        from = ++p;
        while (p < end && *p != '"') {
            if (*p++ == '\\')
                return NULL;
        }
        if (p == end)
            return NULL;
        out->key = (struct sx_str){from, (uint32_t)(p - from), 0};
        return p + 1;
    }
    p = bare_end(p, end);
    out->key = (struct sx_str){from, (uint32_t)(p - from), 0};
    return p > from ? p : NULL;
}

/* What follows "[": "]", or ASCII digits that fit 64 bits and "]". */
static const char *parse_index(const char *p, const char *end, struct sx_step *out)
{
    if (p < end && *p == ']') {
        out->kind = SX_STEP_ALL;
        return p + 1;
    }
    out->kind = SX_STEP_INDEX;
    if (p == end || !is_digit(*p))
        return NULL;
    for (; p < end && is_digit(*p); p++) {
        uint64_t d = (uint64_t)(*p - '0');

        if (out->index > (UINT64_MAX - d) / 10)
            return NULL;
        out->index = out->index * 10 + d;
    }
    return p < end && *p == ']' ? p + 1 : NULL;
}

/* One step at p (the first one has no dot), or NULL. */
static const char *parse_step(const char *p, const char *end, int first, struct sx_step *out)
{
    memset(out, 0, sizeof(*out));
    if (first)
        return parse_key(p, end, out);
    if (*p == '.')
        return parse_key(p + 1, end, out);
    return *p == '[' ? parse_index(p + 1, end, out) : NULL;
}

static int refuse(struct sx_err *err, struct sx_str text)
{
    return sx_err_set(err, SX_EINPUT, "Invalid json path: '%.*s'", (int)text.n, text.p);
}

int sx_path_parse(struct sx_arena *arena,
                  struct sx_str text,
                  struct sx_path *out,
                  struct sx_err *err)
{
    struct sx_step step, *steps;
    const char *p, *end;
    uint32_t n = 0;

    if (text.n == 0 || !sx_utf8_valid(text.p, text.n))
        return refuse(err, text);
    /* Once to check and count, once to fill. */
    end = text.p + text.n;
    for (p = text.p; p != NULL && (n == 0 || p < end); n++)
        p = parse_step(p, end, n == 0, &step);
    if (p == NULL)
        return refuse(err, text);
    p = sx_arena_strdup(arena, text.p, text.n);
    steps = sx_arena_alloc(arena, (uint64_t)n * sizeof(*steps));
    if (p == NULL || steps == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    end = p + text.n;
    for (uint32_t i = 0; i < n; i++)
        p = parse_step(p, end, i == 0, &steps[i]);
    out->n = n;
    out->pad = 0;
    out->steps = steps;
    return SX_OK;
}

/* --- printing, comparing ----------------------------------------------------------------- */

void sx_path_print(const struct sx_path *path, struct sx_buf *out)
{
    for (uint32_t i = 0; i < path->n; i++) {
        const struct sx_step *s = &path->steps[i];

        if (s->kind == SX_STEP_ALL) {
            sx_buf_adds(out, "[]");
        } else if (s->kind == SX_STEP_INDEX) {
            sx_buf_printf(out, "[%llu]", (unsigned long long)s->index);
        } else {
            const char *end = s->key.p + s->key.n;
            int quote = s->key.n == 0 || bare_end(s->key.p, end) != end;

            if (i != 0)
                sx_buf_addc(out, '.');
            if (quote)
                sx_buf_addc(out, '"');
            sx_buf_add(out, s->key.p, s->key.n);
            if (quote)
                sx_buf_addc(out, '"');
        }
    }
}

int sx_path_equal(const struct sx_path *a, const struct sx_path *b)
{
    if (a->n != b->n)
        return 0;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct sx_step *x = &a->steps[i], *y = &b->steps[i];

        if (x->kind != y->kind || x->index != y->index)
            return 0;
        if (x->kind == SX_STEP_KEY && !sx_step_is_key(x, y->key))
            return 0;
    }
    return 1;
}

/* --- following --------------------------------------------------------------------------- */

struct walk {
    const struct sx_path *path;
    sx_value_fn fn;
    void *arg;
    int expand; /* an array at the end counts as its elements */
};

static int is_array(uint32_t type)
{
    return type == SX_DOC_ARR || type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64;
}

static struct sx_value value_of(struct sx_doc doc)
{
    return (struct sx_value){doc, sx_doc_num(doc)};
}

static struct sx_value value_elem(struct sx_doc arr, uint32_t i)
{
    if (sx_doc_type(arr) == SX_DOC_ARR)
        return value_of(sx_doc_elem(arr, i));
    return (struct sx_value){{NULL, 0, 0}, sx_doc_elem_num(arr, i)};
}

/* v is what the first `at` steps lead to. Depth: that of the document, for every step goes into a
 * container. */
static int follow(const struct walk *w, const struct sx_value *v, uint32_t at)
{
    uint32_t type = v->num.type, n = v->doc.p != NULL && is_array(type) ? sx_doc_count(v->doc) : 0;
    const struct sx_step *s;
    int rc = 0;

    if (at == w->path->n) {
        if (!w->expand || !is_array(type))
            return w->fn(w->arg, v);
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            struct sx_value e = value_elem(v->doc, i);

            rc = w->fn(w->arg, &e);
        }
        return rc;
    }
    s = &w->path->steps[at];
    if (s->kind == SX_STEP_KEY) {
        struct sx_value e;

        if (type != SX_DOC_OBJ)
            return 0;
        e = value_of(sx_doc_get_n(v->doc, s->key.p, s->key.n));
        return e.doc.p != NULL ? follow(w, &e, at + 1) : 0;
    }
    if (s->kind == SX_STEP_INDEX) {
        struct sx_value e;

        if (s->index >= n)
            return 0;
        e = value_elem(v->doc, (uint32_t)s->index);
        return follow(w, &e, at + 1);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct sx_value e = value_elem(v->doc, i);

        rc = follow(w, &e, at + 1);
    }
    return rc;
}

int sx_path_values(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg)
{
    struct walk w = {path, fn, arg, 0};
    struct sx_value v = value_of(doc);

    return doc.p != NULL ? follow(&w, &v, 0) : 0;
}

int sx_path_each(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg)
{
    struct walk w = {path, fn, arg, 1};
    struct sx_value v = value_of(doc);

    return doc.p != NULL ? follow(&w, &v, 0) : 0;
}
