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

#include "sextant/sx_text.h"

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- fields --------------------------------------------------------------------------------- */

uint32_t rest_field_of(struct sx_str key, const char *const *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *p = names[i];

        while (p != NULL) {
            const char *bar = strchr(p, '|');
            size_t len = bar != NULL ? (size_t)(bar - p) : strlen(p);

            if (rest__is(key, p, (uint32_t)len))
                return i;
            p = bar != NULL ? bar + 1 : NULL;
        }
    }
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
    if (rc >= 0 || rc == SX_ENOMEM || f->direct || !d->j.failed)
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

void rest_valid_add(struct rest_dec *d, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (d->n_valid >= REST_VALID_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (d->n_valid++ == 0)
        d->valid = sx_arena_printf(d->arena, "%s", text);
    else
        d->valid = sx_arena_printf(d->arena, "%.*s; %s", (int)d->valid.n, d->valid.p, text);
}

const char *rest_float_text(char out[40], double v)
{
    if (v - v != 0) /* only a float of the reference's f32 can get there; it prints inf */
        memcpy(out, v < 0 ? "-inf" : "inf", v < 0 ? 5 : 4);
    else
        out[sx_num_format_f64(v, out)] = '\0';
    return out;
}

void rest_unsupported(struct rest_dec *d, const char *what)
{
    if (d->unsupported == NULL)
        d->unsupported = what;
}

void *rest_push(struct rest_dec *d, void *array, uint32_t n, uint32_t *cap, uint32_t size)
{
    uint32_t more;

    if (n < *cap)
        return array;
    more = *cap == 0 ? 8 : *cap * 2;
    if (more < *cap)
        return NULL;
    array = *cap == 0
                ? sx_arena_alloc(d->arena, (uint64_t)more * size)
                : sx_arena_resize(d->arena, array, (uint64_t)*cap * size, (uint64_t)more * size);
    if (array != NULL)
        *cap = more;
    return array;
}
