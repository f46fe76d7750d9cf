/* What a payload index was asked to be: out of the request's object, and back for the echo.
 *
 * The object has been checked for form by whoever took it off the wire; unknown members and such of
 * another type are passed over. What is checked here is what needs the path: a nested index must
 * lie inside the elements of its array.
 *
 * A schema and all it holds is one block of memory and one arena, gone together. */
#include "field_schema.h"

#include <string.h>

#include "text.h"

#include "sextant/sx_ban.h"

struct box {
    struct eng_field_schema s;
    struct sx_arena arena;
};

static const struct {
    const char *name;
    uint32_t type;
} types[] = {
    {"keyword", ENG_FIELD_KEYWORD}, {"integer", ENG_FIELD_INTEGER},
    {"float", ENG_FIELD_FLOAT},     {"bool", ENG_FIELD_BOOL},
    {"geo", ENG_FIELD_GEO},         {"datetime", ENG_FIELD_DATETIME},
    {"text", ENG_FIELD_TEXT},       {"uuid", ENG_FIELD_UUID},
};

const char *eng_field_type_name(uint32_t type)
{
    for (uint32_t i = 0; i < SX_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    return "unknown";
}

static int is_text(struct sx_str s, const char *text)
{
    return s.p != NULL && s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static int read_type(struct eng_field_schema *s, struct sx_doc schema, struct sx_err *err)
{
    struct sx_str name = sx_doc_str(sx_doc_get(schema, "type"));

    for (uint32_t i = 0; i < SX_COUNT(types); i++) {
        if (is_text(name, types[i].name)) {
            s->type = types[i].type;
            return SX_OK;
        }
    }
    return sx_err_set(err, SX_EINPUT, "unknown type of payload index");
}

static uint32_t flag_if(struct sx_doc schema, const char *key, int def, uint32_t flag)
{
    return sx_doc_get_bool(schema, key, def) ? flag : 0;
}

static void read_flags(struct eng_field_schema *s, struct sx_doc schema)
{
    struct sx_str memory = sx_doc_str(sx_doc_get(schema, "memory"));
    struct sx_doc scoring = sx_doc_get(schema, "scoring");

    switch (s->type) {
    case ENG_FIELD_INTEGER:
        s->flags |= flag_if(schema, "lookup", 1, ENG_FIELD_LOOKUP);
        s->flags |= flag_if(schema, "range", 1, ENG_FIELD_RANGE);
        break;
    case ENG_FIELD_FLOAT:
    case ENG_FIELD_DATETIME:
        s->flags |= ENG_FIELD_RANGE;
        break;
    case ENG_FIELD_KEYWORD:
        s->flags |= flag_if(schema, "prefix", 0, ENG_FIELD_PREFIX);
        break;
    case ENG_FIELD_TEXT:
        s->flags |= flag_if(schema, "phrase_matching", 0, ENG_FIELD_PHRASE);
        if (sx_doc_type(scoring) == SX_DOC_TRUE || sx_doc_type(scoring) == SX_DOC_OBJ)
            s->flags |= ENG_FIELD_SCORING;
        break;
    default:
        break;
    }
    s->flags |= flag_if(schema, "is_tenant", 0, ENG_FIELD_TENANT);
    s->flags |= flag_if(schema, "is_principal", 0, ENG_FIELD_PRINCIPAL);
    if (is_text(memory, "cached"))
        s->flags |= ENG_FIELD_CACHED;
    else if (is_text(memory, "cold") || (memory.p == NULL && sx_doc_get_bool(schema, "on_disk", 0)))
        s->flags |= ENG_FIELD_COLD;
}

/* --- path -------------------------------------------------------------------------------- */

static int no_memory(struct sx_err *err)
{
    return sx_err_set(err, SX_ENOMEM, "out of memory");
}

/* Canonical text of the path, in the arena. */
static int print_path(const struct sx_path *path, struct sx_arena *arena, struct sx_str *out)
{
    struct sx_buf b;
    char *p;

    sx_buf_init(&b, arena->mem);
    sx_path_print(path, &b);
    p = b.failed ? NULL : sx_arena_strdup(arena, b.p, b.n);
    *out = (struct sx_str){p, (uint32_t)b.n, 0};
    sx_buf_fini(&b);
    return p != NULL ? SX_OK : SX_ENOMEM;
}

/* A copy of the path: its own text, parsed again. */
static int take_path(struct box *b, const struct sx_path *path, struct sx_err *err)
{
    if (print_path(path, &b->arena, &b->s.canonical) != SX_OK)
        return no_memory(err);
    return sx_path_parse(&b->arena, b->s.canonical, &b->s.path, err);
}

/* The array of a nested index: keys and one [] behind them, which may be left out. */
static int parse_nested(struct box *b, struct sx_str text, struct sx_path *out, struct sx_err *err)
{
    struct sx_step *steps;
    struct sx_str shown;
    struct sx_path given;
    int rc = sx_path_parse(&b->arena, text, &given, err);

    if (rc != SX_OK)
        return rc;
    *out = given;
    if (given.steps[given.n - 1].kind != SX_STEP_ALL) {
        steps = sx_arena_zalloc(&b->arena, ((uint64_t)given.n + 1) * sizeof(*steps));
        if (steps == NULL)
            return no_memory(err);
        memcpy(steps, given.steps, given.n * sizeof(*steps));
        steps[given.n].kind = SX_STEP_ALL;
        *out = (struct sx_path){given.n + 1, 0, steps};
    }
    for (uint32_t i = 0; i + 1 < out->n; i++) {
        if (out->steps[i].kind == SX_STEP_KEY)
            continue;
        if (print_path(out, &b->arena, &shown) != SX_OK)
            return no_memory(err);
        return sx_err_set(err, SX_EINPUT,
                          "Validation failed: nested `%.*s` must point to a single array level, "
                          "like `offers` or `offers[]`",
                          (int)shown.n, shown.p);
    }
    return SX_OK;
}

/* nested: the normal form, p NULL when there is none. */
static int
read_nested(struct box *b, struct sx_doc schema, struct sx_str *nested, struct sx_err *err)
{
    struct sx_str text = sx_doc_str(sx_doc_get(schema, "nested"));
    const struct sx_path *field = &b->s.path;
    struct sx_path array, head;
    int rc;

    *nested = (struct sx_str){NULL, 0, 0};
    if (text.p == NULL)
        return SX_OK;
    rc = parse_nested(b, text, &array, err);
    if (rc != SX_OK)
        return rc;
    if (print_path(&array, &b->arena, nested) != SX_OK)
        return no_memory(err);
    head = (struct sx_path){array.n, 0, field->steps};
    if (field->n <= array.n || !sx_path_equal(&head, &array) ||
        field->steps[array.n].kind != SX_STEP_KEY)
        return sx_err_set(err, SX_EINPUT,
                          "Validation failed: field `%.*s` must be inside the elements of nested "
                          "`%.*s`, like `%.*s.price`",
                          (int)b->s.canonical.n, b->s.canonical.p, (int)nested->n, nested->p,
                          (int)nested->n, nested->p);
    b->s.nested_steps = array.n;
    return SX_OK;
}

/* --- echo -------------------------------------------------------------------------------- */

/* Members as they came, but for nested and scoring, which have a normal form. */
static void echo_members(struct sx_docb *d, struct sx_doc schema, struct sx_str nested)
{
    for (uint32_t i = 0, n = sx_doc_count(schema); i < n; i++) {
        struct sx_str key;
        struct sx_doc v = sx_doc_member(schema, i, &key);
        uint32_t type = sx_doc_type(v);

        if (is_text(key, "scoring") && type == SX_DOC_FALSE)
            continue;
        sx_docb_key(d, key.p, key.n);
        if (is_text(key, "scoring") && type == SX_DOC_TRUE) {
            sx_docb_obj(d);
            sx_docb_ckey(d, "type");
            sx_docb_cstr(d, "bm25");
            sx_docb_close(d);
        } else if (is_text(key, "nested") && nested.p != NULL) {
            sx_docb_str(d, nested.p, nested.n);
        } else {
            sx_docb_doc(d, v);
        }
    }
}

static int
take_params(struct box *b, struct sx_doc schema, struct sx_str nested, struct sx_err *err)
{
    const struct sx_mem *mem = b->arena.mem;
    struct sx_docb *d = mem->alloc(mem, sizeof(*d)); /* some kilobytes: not for the stack */

    if (d == NULL)
        return no_memory(err);
    sx_docb_init(d, mem, 0);
    sx_docb_obj(d);
    echo_members(d, schema, nested);
    sx_docb_close(d);
    b->s.params = sx_docb_end_arena(d, &b->arena);
    sx_docb_fini(d);
    mem->release(mem, d);
    return b->s.params.p != NULL ? SX_OK : no_memory(err);
}

/* --- the schema -------------------------------------------------------------------------- */

int eng_field_schema_parse(const struct sx_mem *mem,
                           const struct sx_reg *reg,
                           const struct sx_path *path,
                           struct sx_doc schema,
                           int bare,
                           struct eng_field_schema **out,
                           struct sx_err *err)
{
    struct box *b = mem->zalloc(mem, sizeof(*b));
    struct sx_str nested;
    int rc;

    if (b == NULL)
        return no_memory(err);
    sx_arena_init(&b->arena, mem, 0);
    rc = take_path(b, path, err);
    if (rc == SX_OK)
        rc = read_type(&b->s, schema, err);
    if (rc == SX_OK)
        rc = read_nested(b, schema, &nested, err);
    if (rc == SX_OK && !bare)
        rc = take_params(b, schema, nested, err);
    if (rc == SX_OK) {
        read_flags(&b->s, schema);
        if (b->s.type == ENG_FIELD_TEXT)
            rc = eng_analyzer_create(mem, reg, schema, &b->s.analyzer, err);
    }
    if (rc != SX_OK) {
        eng_field_schema_destroy(mem, &b->s);
        return rc;
    }
    *out = &b->s;
    return SX_OK;
}

void eng_field_schema_destroy(const struct sx_mem *mem, struct eng_field_schema *s)
{
    struct box *b = (struct box *)s; /* s is its first member */

    if (s == NULL)
        return;
    eng_analyzer_destroy(s->analyzer);
    sx_arena_fini(&b->arena);
    mem->release(mem, b);
}

static int same_bytes(struct sx_doc a, struct sx_doc b)
{
    return a.p != NULL && b.p != NULL && a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

int eng_field_schema_same(const struct eng_field_schema *a, const struct eng_field_schema *b)
{
    uint32_t n = sx_doc_count(a->params);

    if (a->type != b->type || !sx_path_equal(&a->path, &b->path) ||
        (a->params.p == NULL) != (b->params.p == NULL) || sx_doc_count(b->params) != n)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str key;
        struct sx_doc v = sx_doc_member(a->params, i, &key);

        if (!same_bytes(v, sx_doc_get_n(b->params, key.p, key.n)))
            return 0;
    }
    return 1;
}
