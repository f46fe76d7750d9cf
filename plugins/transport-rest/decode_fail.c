/* What all decoders share: field names, errors and their places, the two lists of complaints.
 *
 * Places. A struct whose fields the reference buffers first ("flattened", or one arm of an untagged
 * union) reports every error of a field at the end of the whole, and a syntax error anywhere in it
 * comes first. The decoders still read in one pass: only when something is wrong does the cold path
 * here step over the whole again to see whether the syntax holds.
 *
 * Memory: everything lies in the request's arena. Threads: one body at a time per rest_dec. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define GROWS_FROM 1024u /* elements */

/* --- fields --------------------------------------------------------------------------------- */

/* 1 when the key is the name or one of its aliases. */
static int is_field(struct sx_str key, const char *name)
{
    for (;;) {
        uint32_t i = 0;

        while (i < key.n && name[i] == key.p[i] && name[i] != '\0' && name[i] != '|')
            i++;
        if (i == key.n && (name[i] == '\0' || name[i] == '|'))
            return 1;
        name = strchr(name + i, '|');
        if (name == NULL)
            return 0;
        name++;
    }
}

uint32_t rest_field_of(struct sx_str key, const char *const *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_field(key, names[i]))
            return i;
    return n;
}

int rest_marks_read(struct rest_dec *d,
                    const char *const *names,
                    uint32_t n,
                    struct rest_marks *out)
{
    struct sx_str key;
    int rc, kind = sx_json_peek(&d->j);

    out->seen = out->twice = 0;
    if (kind != SX_JSON_OBJ)
        return kind < 0 ? SX_EFORMAT : 0;
    rc = sx_json_obj_begin(&d->j, "a map");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        uint32_t i = rest_field_of(key, names, n);

        if (i < n) {
            out->twice |= out->seen & 1u << i;
            out->seen |= 1u << i;
            out->at[i] = sx_json_mark(&d->j);
        }
        rc = sx_json_skip(&d->j, NULL);
    }
    out->end = sx_json_mark(&d->j);
    return rc < 0 ? rc : 1;
}

/* --- errors --------------------------------------------------------------------------------- */

void rest_flat_begin(struct rest_dec *d, struct rest_flat *f)
{
    f->mark = sx_json_mark(&d->j);
    f->no_pos = d->j.no_pos;
    f->direct = 0;
    d->j.no_pos = 1;
}

int rest_flat_end(struct rest_dec *d, struct rest_flat *f, int rc)
{
    struct sx_str text = d->j.msg, span;

    d->j.no_pos = f->no_pos;
    if (rc >= 0 || rest_no_memory(d, rc) || f->direct || !d->j.failed)
        return rc;
    sx_json_reset(&d->j, f->mark);
    if (sx_json_skip(&d->j, &span) < 0)
        return SX_EFORMAT;
    /* text may be longer than a %.*s of int allows only if the body was; bodies are under 2 GiB */
    return sx_json_fail_at(&d->j, span.p + span.n - 1, "%.*s", (int)text.n, text.p);
}

int rest_fail_duplicate(struct rest_dec *d, struct sx_str key, const char *name)
{
    const char *at = d->j.p - 1;

    /* The place is the key's closing quote; an escaped key was copied, then the colon must do. */
    if (key.p >= d->j.start && key.p < d->j.end)
        at = key.p + key.n;
    return sx_json_fail_at(&d->j, at, "duplicate field `%.*s`", (int)strcspn(name, "|"), name);
}

int rest_fail_missing(struct rest_dec *d, const char *name)
{
    return sx_json_fail_at(&d->j, d->j.p - 1, "missing field `%.*s`", (int)strcspn(name, "|"),
                           name);
}

int rest_fail_unknown(struct rest_dec *d, struct sx_str key, const char *text)
{
    const char *at = d->j.p - 1;

    if (key.p >= d->j.start && key.p < d->j.end)
        at = key.p + key.n;
    return sx_json_fail_at(&d->j, at, "unknown field `%.*s`, %s", (int)key.n, key.p, text);
}

int rest_skip_from(struct rest_dec *d, struct sx_json_mark m)
{
    sx_json_reset(&d->j, m);
    return sx_json_skip(&d->j, NULL);
}

int rest_fail_union(struct rest_dec *d, struct sx_json_mark m, const char *text)
{
    int rc = rest_skip_from(d, m);

    return rc < 0 ? rc : sx_json_fail(&d->j, "%s", text);
}

/* Appends to the list, which grows in the arena. */
static void valid_append(struct rest_dec *d, const char *text, uint32_t n)
{
    uint64_t need = (uint64_t)d->valid.n + n, cap = 2 * need + 128;
    char *p;

    if (need > d->valid_cap) {
        p = cap <= UINT32_MAX ? sx_arena_alloc(d->arena, cap) : NULL;
        if (p == NULL) {
            d->valid = (struct sx_str){NULL, 0, 0};
            d->valid_cap = 0;
            return;
        }
        memcpy(p, d->valid.p, d->valid.n);
        d->valid.p = p;
        d->valid_cap = (uint32_t)cap;
    }
    p = (char *)(uintptr_t)d->valid.p; /* this function's own */
    memcpy(p + d->valid.n, text, n);
    d->valid.n += n;
}

void rest_valid_add(struct rest_dec *d, const char *fmt, ...)
{
    char stack[512], *text = stack;
    va_list ap, again;
    int n;

    if (d->n_valid >= REST_VALID_MAX || d->valid.p == NULL)
        return;
    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(stack, sizeof(stack), fmt, ap);
    if (n >= (int)sizeof(stack)) {
        text = sx_arena_alloc(d->arena, (uint64_t)n + 1);
        if (text != NULL)
            (void)vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    va_end(ap);
    if (d->n_valid++ != 0)
        valid_append(d, "; ", 2);
    valid_append(d, d->prefix, (uint32_t)strlen(d->prefix));
    if (text != NULL && n > 0)
        valid_append(d, text, (uint32_t)n);
}

void rest_refused(struct rest_dec *d, const char *text)
{
    if (d->refused == NULL)
        d->refused = text;
}

void rest_unsupported(struct rest_dec *d, const char *what)
{
    if (d->unsupported == NULL)
        d->unsupported = what;
}

void rest_back(struct rest_dec *d, const struct rest_kept *k)
{
    /* The list may have moved to a longer buffer since: what is appended next goes to a new one. */
    d->valid = k->valid;
    d->valid_cap = 0;
    d->n_valid = k->n_valid;
    d->refused = k->refused;
    d->unsupported = k->unsupported;
}

int rest_no_memory(const struct rest_dec *d, int rc)
{
    return rc == SX_ENOMEM || (rc < 0 && REST_IS(d->j.msg, "out of memory"));
}

/* The capacity a long list gets: as many elements as the rest of the text holds at the rate of
 * those since it last grew. Doubling would leave as much behind again, and end half empty. */
static uint64_t capacity(const struct rest_dec *d, const void *array, uint32_t n)
{
    uint64_t left = (uint64_t)(d->j.end - d->j.p), rate;

    if (n < GROWS_FROM || d->grown.array != array || n <= d->grown.n || d->j.p <= d->grown.at)
        return 2 * (uint64_t)n;
    rate = (uint64_t)(d->j.p - d->grown.at) / (n - d->grown.n);
    return n + left / (rate != 0 ? rate : 1) + n / 32 + 16;
}

void *rest_push(struct rest_dec *d, void *array, uint32_t n, uint32_t *cap, uint32_t size)
{
    uint64_t more;

    if (n < *cap)
        return array;
    /* of large elements there often is one */
    more = *cap != 0 ? capacity(d, array, n) : size > 64 ? 2 : 8;
    if (more > UINT32_MAX)
        return NULL;
    array = *cap == 0 ? sx_arena_alloc(d->arena, more * size)
                      : sx_arena_resize(d->arena, array, (uint64_t)*cap * size, more * size);
    if (array == NULL)
        return NULL;
    *cap = (uint32_t)more;
    d->grown.array = array;
    d->grown.at = d->j.p;
    d->grown.n = n;
    return array;
}
