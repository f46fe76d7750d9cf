/* A small table-driven decoder for bodies that are read once in a while: collections, aliases.
 *
 * Reading turns aliases into canonical names, drops unknown fields and nulls, and keeps the order
 * of the text. Untagged unions are tried arm by arm on the side (b NULL) and read again for real
 * once an arm fits: cold bodies are small, and the document builder cannot go back.
 *
 * Range errors come after all form errors, so they are a second walk, over the document.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- reading -------------------------------------------------------------------------------- */

static int read_value(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b);

static int read_u64(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    const char *at;
    uint64_t v;
    int rc;

    if (sx_json_peek(&d->j) < 0)
        return SX_EFORMAT;
    rc = sx_json_u64(&d->j, f->noun, f->limit, &v);
    if (rc < 0)
        return rc;
    at = d->j.p - 1;
    if (f->type == REST_T_NZ32 && v == 0)
        return sx_json_fail_at(&d->j, at, "invalid value: integer `0`, expected %s", f->noun);
    if (b != NULL)
        sx_docb_u64(b, v);
    return SX_OK;
}

static int read_float(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    double v;
    int rc = sx_json_f64(&d->j, f->noun, &v);

    if (rc < 0)
        return rc;
    if (f->type == REST_T_F32 && (double)(float)v - (double)(float)v == 0) {
        char text[32];

        /* what prints as the f32 does: 0.99f is 0.99 to the client, not 0.9900000095 */
        v = sx_num_f64(text, sx_num_format_f32((float)v, text));
    }
    if (b != NULL)
        sx_docb_f64(b, v);
    return SX_OK;
}

/* "expected `a` or `b`", "expected one of `a`, `b`, `c`". */
static int fail_word(struct rest_dec *d, struct sx_str s, const char *const *words)
{
    struct sx_buf list;
    uint32_t n = 0;
    int rc;

    sx_buf_init(&list, d->arena->mem);
    while (words[n] != NULL)
        n++;
    sx_buf_adds(&list, n > 2 ? "one of " : "");
    for (uint32_t i = 0; i < n; i++)
        sx_buf_printf(&list, "%s`%s`", i == 0 ? "" : n == 2 ? " or " : ", ", words[i]);
    rc = sx_json_fail_at(&d->j, d->j.p - 1, "unknown variant `%.*s`, expected %.*s", (int)s.n, s.p,
                         list.failed ? 0 : (int)list.n, list.p != NULL ? list.p : "");
    sx_buf_fini(&list);
    return rc;
}

/* A word that a loaded module has added to those clients know. */
static int is_provided(const struct rest_dec *d, uint32_t kind, struct sx_str word)
{
    char name[64];

    if (d->reg == NULL || word.n == 0 || word.n >= sizeof(name))
        return 0;
    memcpy(name, word.p, word.n);
    name[word.n] = '\0';
    return d->reg->find(kind, name) != NULL;
}

static int read_enum(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    const char *const *words = f->sub;
    struct sx_str s;
    int kind = sx_json_peek(&d->j);
    uint32_t i = 0;

    if (kind != SX_JSON_STR)
        return kind < 0 ? SX_EFORMAT : sx_json_fail_at(&d->j, d->j.p, "expected value");
    if (sx_json_str(&d->j, "string or map", &s) < 0)
        return SX_EFORMAT;
    for (int gap = 0; gap < 2; gap++, i++)
        for (; words[i] != NULL; i++)
            if (rest__is(s, words[i], (uint32_t)strlen(words[i]))) {
                if (b != NULL)
                    sx_docb_cstr(b, words[i]);
                return SX_OK;
            }
    if ((f->flags & REST_FIELD_PROVIDED) != 0 && is_provided(d, (uint32_t)f->limit, s)) {
        if (b != NULL)
            sx_docb_str(b, s.p, s.n);
        return SX_OK;
    }
    return fail_word(d, s, words);
}

static int read_str(struct rest_dec *d, struct sx_docb *b)
{
    struct sx_str s;
    int rc = sx_json_str(&d->j, "a string", &s);

    if (rc == SX_OK && b != NULL)
        sx_docb_str(b, s.p, s.n);
    return rc;
}

/* Keys seen twice: the builder lets the last one win. */
static int read_map(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, "a map");

    if (rc == SX_OK && b != NULL)
        sx_docb_obj(b);
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        if (b != NULL)
            sx_docb_key(b, key.p, key.n);
        rc = read_value(d, f->sub, b);
    }
    if (rc == SX_OK && b != NULL)
        sx_docb_close(b);
    return rc;
}

static int read_list(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    if (rc == SX_OK && b != NULL)
        sx_docb_arr(b);
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0)
        rc = read_value(d, f->sub, b);
    if (rc == SX_OK && b != NULL)
        sx_docb_close(b);
    return rc;
}

static int read_anymap(struct rest_dec *d, struct sx_docb *b)
{
    int kind = sx_json_peek(&d->j);

    if (kind != SX_JSON_OBJ)
        return kind < 0 ? SX_EFORMAT : sx_json_fail_type(&d->j, "a map");
    return b != NULL ? sx_json_doc(&d->j, b) : sx_json_skip(&d->j, NULL);
}

/* Reads {"key": value} taking one member alone; the reader is at its value, m.end behind all. */
static int read_arm(struct rest_dec *d,
                    const struct rest_arm *arm,
                    struct sx_json_mark start,
                    struct sx_docb *b)
{
    struct rest_marks m;
    int rc;

    sx_json_reset(&d->j, start);
    if (arm->key == NULL)
        return read_value(d, &arm->value, b);
    rc = rest_marks_read(d, &arm->key, 1, &m);
    if (rc <= 0)
        return SX_EFORMAT;
    if (!rest_marks_go(d, &m, 0))
        return SX_EFORMAT;
    if (b != NULL) {
        sx_docb_obj(b);
        sx_docb_ckey(b, arm->key);
    }
    rc = read_value(d, &arm->value, b);
    if (rc == SX_OK) {
        if (b != NULL)
            sx_docb_close(b);
        sx_json_reset(&d->j, m.end);
    }
    return rc;
}

int rest_union_read(struct rest_dec *d, const struct rest_union *u, struct sx_docb *b)
{
    struct sx_json_mark start = sx_json_mark(&d->j);

    for (uint32_t i = 0; i < u->n; i++) {
        int rc = read_arm(d, &u->arms[i], start, NULL);

        if (rc == SX_OK)
            return b != NULL ? read_arm(d, &u->arms[i], start, b) : SX_OK;
        if (rest_no_memory(d, rc))
            return SX_ENOMEM;
    }
    return rest_fail_union(d, start, u->text);
}

static int read_value(struct rest_dec *d, const struct rest_field *f, struct sx_docb *b)
{
    int yes, rc;

    switch (f->type) {
    case REST_T_BOOL:
        rc = sx_json_bool(&d->j, "a boolean", &yes);
        if (rc == SX_OK && b != NULL)
            sx_docb_bool(b, yes);
        return rc;
    case REST_T_U64:
    case REST_T_NZ32:
        return read_u64(d, f, b);
    case REST_T_F64:
    case REST_T_F32:
        return read_float(d, f, b);
    case REST_T_STR:
        return read_str(d, b);
    case REST_T_ENUM:
        return read_enum(d, f, b);
    case REST_T_OBJ:
        return rest_schema_read(d, f->sub, b);
    case REST_T_MAP:
        return read_map(d, f, b);
    case REST_T_LIST:
        return read_list(d, f, b);
    case REST_T_ANYMAP:
        return read_anymap(d, b);
    default:
        return rest_union_read(d, f->sub, b);
    }
}

int rest_schema_read(struct rest_dec *d, const struct rest_schema *s, struct sx_docb *b)
{
    const char *names[32];
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc = sx_json_obj_begin(&d->j, s->noun);

    for (i = 0; i < s->n; i++)
        names[i] = s->fields[i].name;
    if (rc == SX_OK && b != NULL)
        sx_docb_obj(b);
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, s->n);
        if (i == s->n) {
            rc = sx_json_skip(&d->j, NULL);
            continue;
        }
        if ((seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        if ((s->fields[i].flags & (REST_FIELD_REQUIRED | REST_FIELD_NONULL)) == 0) {
            rc = sx_json_null(&d->j);
            if (rc != 0)
                continue;
        }
        if (b != NULL)
            sx_docb_key(b, names[i], (uint32_t)strcspn(names[i], "|"));
        rc = read_value(d, &s->fields[i], b);
    }
    if (rc < 0)
        return rc;
    for (i = 0; i < s->n; i++)
        if ((s->fields[i].flags & REST_FIELD_REQUIRED) != 0 && (seen & 1u << i) == 0)
            return rest_fail_missing(d, names[i]);
    if (b != NULL)
        sx_docb_close(b);
    return SX_OK;
}

/* --- ranges --------------------------------------------------------------------------------- */

static void
check_value(struct rest_dec *d, const struct rest_field *f, struct sx_doc v, const char *path);

/* The range text for a number. */
static void
check_number(struct rest_dec *d, const struct rest_field *f, struct sx_doc v, const char *path)
{
    struct sx_doc_num num = sx_doc_num(v);
    int is_float = f->type == REST_T_F64 || f->type == REST_T_F32;
    double x = num.type == SX_DOC_F64   ? num.v.f
               : num.type == SX_DOC_U64 ? (double)num.v.u
                                        : (double)num.v.i;
    char value[40], min[40], max[40];

    if (((f->flags & REST_FIELD_MIN) == 0 || x >= f->min) &&
        ((f->flags & REST_FIELD_MAX) == 0 || x <= f->max))
        return;
    if (f->type == REST_T_F32)
        x = (double)(float)x;
    if (is_float) {
        (void)rest_float_text(value, x);
        (void)rest_float_text(min, f->min);
        (void)rest_float_text(max, f->max);
    } else {
        (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)num.v.u);
        (void)snprintf(min, sizeof(min), "%.0f", f->min);
        (void)snprintf(max, sizeof(max), "%.0f", f->max);
    }
    if ((f->flags & REST_FIELD_MAX) == 0)
        rest_valid_add(d, "%s: value %s invalid, must be %s or larger", path, value, min);
    else if ((f->flags & REST_FIELD_MIN) == 0)
        rest_valid_add(d, "%s: value %s invalid, must be %s or smaller", path, value, max);
    else
        rest_valid_add(d, "%s: value %s invalid, must be from %s to %s", path, value, min, max);
}

struct entry {
    struct sx_str key;
    struct sx_doc v;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    uint32_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int rc = n != 0 ? memcmp(x->key.p, y->key.p, n) : 0;

    return rc != 0 ? rc : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

/* Entries in name order. "?" maps number the faulty ones, and only when there are several. */
static void
check_map(struct rest_dec *d, const struct rest_field *f, struct sx_doc v, const char *path)
{
    uint32_t n = sx_doc_count(v), faulty = 0, k = 0;
    struct entry *e = sx_arena_alloc(d->arena, (uint64_t)n * sizeof(*e) + 1);
    struct rest_dec probe;

    if (e == NULL)
        return;
    for (uint32_t i = 0; i < n; i++)
        e[i].v = sx_doc_member(v, i, &e[i].key);
    qsort(e, n, sizeof(*e), by_key);
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str at;

        probe = *d;
        probe.n_valid = 0;
        check_value(&probe, f->sub, e[i].v, "");
        if (probe.n_valid == 0)
            e[i].v = (struct sx_doc){NULL, 0, 0};
        faulty += probe.n_valid != 0;
        if ((f->flags & REST_FIELD_INDEXED) == 0 || probe.n_valid == 0)
            continue;
        at = sx_arena_printf(d->arena, "%s%s%s[%u]", path, f->step != NULL ? "." : "",
                             f->step != NULL ? f->step : "", i);
        if (at.p != NULL)
            check_value(d, f->sub, e[i].v, at.p);
    }
    if ((f->flags & REST_FIELD_INDEXED) != 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str at;

        if (e[i].v.p == NULL)
            continue;
        at = faulty > 1 ? sx_arena_printf(d->arena, "%s.?[%u]", path, k++)
                        : sx_arena_printf(d->arena, "%s.?", path);
        if (at.p != NULL)
            check_value(d, f->sub, e[i].v, at.p);
    }
}

/* The arm that was read is found by its shape: a key that is there, or the first arm that can be.
 */
static void
check_union(struct rest_dec *d, const struct rest_union *u, struct sx_doc v, const char *path)
{
    for (uint32_t i = 0; i < u->n; i++) {
        const struct rest_arm *arm = &u->arms[i];

        if (arm->key != NULL && sx_doc_get(v, arm->key).p != NULL) {
            struct sx_str at = sx_arena_printf(d->arena, "%s.%s", path, arm->key);

            if (at.p != NULL)
                check_value(d, &arm->value, sx_doc_get(v, arm->key), at.p);
            return;
        }
        if (arm->key == NULL && arm->value.check != NULL && arm->value.check(v) == NULL) {
            struct rest_field value = arm->value;

            value.check = NULL; /* told the arms apart, and that was all */
            check_value(d, &value, v, path);
            return;
        }
    }
}

static void
check_value(struct rest_dec *d, const struct rest_field *f, struct sx_doc v, const char *path)
{
    const char *text = f->check != NULL ? f->check(v) : NULL;
    struct sx_str at;

    if (text != NULL)
        rest_valid_add(d, "%s: %s", path, text);
    switch (f->type) {
    case REST_T_U64:
    case REST_T_NZ32:
    case REST_T_F64:
    case REST_T_F32:
        check_number(d, f, v, path);
        break;
    case REST_T_OBJ:
        at = sx_arena_printf(d->arena, "%s.", path);
        if (at.p != NULL)
            rest_schema_check(d, f->sub, v, at.p);
        break;
    case REST_T_MAP:
        check_map(d, f, v, path);
        break;
    case REST_T_UNION:
        check_union(d, f->sub, v, path);
        break;
    default:
        break;
    }
}

void rest_schema_check(struct rest_dec *d,
                       const struct rest_schema *s,
                       struct sx_doc v,
                       const char *path)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const char *name = s->fields[i].name;
        uint32_t n = (uint32_t)strcspn(name, "|");
        struct sx_doc member = sx_doc_get_n(v, name, n);
        struct sx_str at;

        if (member.p == NULL)
            continue;
        at = sx_arena_printf(d->arena, "%s%.*s", path, (int)n, name);
        if (at.p != NULL)
            check_value(d, &s->fields[i], member, at.p);
    }
}
