/* Bodies that create payload indexes: the schema in the form in which it is shown later.
 *
 * The schema is buffered and written anew by the table of its type: parameters in a fixed order,
 * those of other types dropped, languages under their full names, sets sorted and without
 * repetition. So equal schemas are equal bytes. Whatever does not fit gives one and the same text.
 *
 * Threads: one body at a time per rest_dec. */
#include <stdlib.h>
#include <string.h>

#include "decode_filter.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- words ---------------------------------------------------------------------------------- */

struct language {
    const char *name, *alias;
};
static const struct language stopword_languages[] = {
    {"arabic", "ar"},     {"azerbaijani", "az"}, {"basque", "eu"},      {"bengali", "bn"},
    {"catalan", "ca"},    {"chinese", "zh"},     {"danish", "da"},      {"dutch", "nl"},
    {"english", "en"},    {"finnish", "fi"},     {"french", "fr"},      {"german", "de"},
    {"greek", "el"},      {"hebrew", "he"},      {"hinglish", "hi-en"}, {"hungarian", "hu"},
    {"indonesian", "id"}, {"italian", "it"},     {"japanese", "jp"},    {"kazakh", "kk"},
    {"nepali", "ne"},     {"norwegian", "no"},   {"portuguese", "pt"},  {"romanian", "ro"},
    {"russian", "ru"},    {"slovene", "sl"},     {"spanish", "es"},     {"swedish", "sv"},
    {"tajik", "tg"},      {"turkish", "tr"},
};
static const struct language stemmer_languages[] = {
    {"arabic", "ar"},     {"armenian", "hy"},  {"danish", "da"},  {"dutch", "nl"},
    {"english", "en"},    {"finnish", "fi"},   {"french", "fr"},  {"german", "de"},
    {"greek", "el"},      {"hungarian", "hu"}, {"italian", "it"}, {"norwegian", "no"},
    {"portuguese", "pt"}, {"romanian", "ro"},  {"russian", "ru"}, {"spanish", "es"},
    {"swedish", "sv"},    {"tamil", "ta"},     {"turkish", "tr"},
};
static const char *const memories[] = {"cold", "cached", "pinned"};
static const char *const tokenizers[] = {"prefix", "whitespace", "word", "multilingual", "code"};

/* The full name of a language, or NULL. */
static const char *language_of(const struct sx_value *v, const struct language *list, uint32_t n)
{
    struct sx_str s;

    for (uint32_t i = 0; rest_value_str(v, &s) && i < n; i++)
        if (rest__is(s, list[i].name, (uint32_t)strlen(list[i].name)) ||
            rest__is(s, list[i].alias, (uint32_t)strlen(list[i].alias)))
            return list[i].name;
    return NULL;
}

/* --- the types of parameters: each appends its value and returns 1, or 0 when it does not fit - */

struct put {
    struct rest_dec *d;
    struct sx_docb *b;
};

static int put_word(struct put *p, const struct sx_value *v, const char *const *words, uint32_t n)
{
    struct sx_str s;

    if (!rest_value_str(v, &s) || rest_field_of(s, words, n) == n)
        return 0;
    sx_docb_str(p->b, s.p, s.n);
    return 1;
}

static int by_text(const void *a, const void *b)
{
    const struct sx_str *x = a, *y = b;
    uint32_t n = x->n < y->n ? x->n : y->n;
    int rc = n != 0 ? memcmp(x->p, y->p, n) : 0;

    return rc != 0 ? rc : (x->n > y->n) - (x->n < y->n);
}

/* A list of strings (languages != 0: of their names) as a sorted set. */
static int put_set(struct put *p, const struct sx_value *v, int languages)
{
    uint32_t n = sx_doc_count(v->doc);
    struct sx_str *set;

    if (!rest_value_is_arr(v))
        return 0;
    set = sx_arena_alloc(p->d->arena, (uint64_t)n * sizeof(*set) + 1);
    if (set == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_value one = rest_value_at(v->doc, i);
        const char *name = language_of(&one, stopword_languages, SX_COUNT(stopword_languages));

        if (languages ? name == NULL : !rest_value_str(&one, &set[i]))
            return 0;
        if (languages)
            set[i] = (struct sx_str){name, (uint32_t)strlen(name), 0};
    }
    if (n != 0)
        qsort(set, n, sizeof(*set), by_text);
    sx_docb_arr(p->b);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || by_text(&set[i - 1], &set[i]) != 0)
            sx_docb_str(p->b, set[i].p, set[i].n);
    sx_docb_close(p->b);
    return 1;
}

static int put_stopwords(struct put *p, const struct sx_value *v)
{
    static const char *const names[] = {"languages", "custom"};
    const char *language = language_of(v, stopword_languages, SX_COUNT(stopword_languages));
    int rc = 1;

    if (language != NULL) {
        sx_docb_cstr(p->b, language);
        return 1;
    }
    if (!rest_value_is_obj(v))
        return 0;
    sx_docb_obj(p->b);
    for (uint32_t i = 0; i < 2 && rc == 1; i++) {
        struct sx_value set = rest_value_get(v->doc, names[i]);

        if (rest_value_is_null(&set))
            continue;
        sx_docb_ckey(p->b, names[i]);
        rc = put_set(p, &set, i == 0);
    }
    sx_docb_close(p->b);
    return rc;
}

static int put_stemmer(struct put *p, const struct sx_value *v)
{
    static const char *const types[] = {"snowball", "none"};
    struct sx_value type, language;
    const char *name;
    struct sx_str s;
    uint32_t i;

    if (!rest_value_is_obj(v))
        return 0;
    type = rest_value_get(v->doc, "type");
    language = rest_value_get(v->doc, "language");
    name = language_of(&language, stemmer_languages, SX_COUNT(stemmer_languages));
    i = rest_value_str(&type, &s) ? rest_field_of(s, types, 2) : 2;
    if (i == 2 || (i == 0 && name == NULL))
        return 0;
    sx_docb_obj(p->b);
    sx_docb_ckey(p->b, "type");
    sx_docb_cstr(p->b, types[i]);
    if (i == 0) {
        sx_docb_ckey(p->b, "language");
        sx_docb_cstr(p->b, name);
    }
    sx_docb_close(p->b);
    return 1;
}

/* true or {"type": "bm25"}; false is no scoring at all and never comes here. */
static int put_scoring(struct put *p, const struct sx_value *v)
{
    static const char *const types[] = {"bm25"};
    struct sx_value type;
    struct sx_str s;

    if (rest_value_is_obj(v)) {
        type = rest_value_get(v->doc, "type");
        if (!rest_value_str(&type, &s) || rest_field_of(s, types, 1) == 1)
            return 0;
    } else if (v->num.type != SX_DOC_TRUE) {
        return 0;
    }
    sx_docb_obj(p->b);
    sx_docb_ckey(p->b, "type");
    sx_docb_cstr(p->b, types[0]);
    sx_docb_close(p->b);
    return 1;
}

/* --- the types of indexes ------------------------------------------------------------------- */

enum { P_BOOL, P_SIZE, P_STR, P_MEMORY, P_TOKENIZER, P_STOPWORDS, P_STEMMER, P_SCORING };
struct param {
    const char *name;
    uint32_t type, is_shown; /* is_shown: as null when it is not given */
};
#define COMMON                                                                                     \
    {"on_disk", P_BOOL, 0},                                                                        \
    {                                                                                              \
        "memory", P_MEMORY, 0                                                                      \
    }
#define LATER                                                                                      \
    {                                                                                              \
        "enable_hnsw", P_BOOL, 0                                                                   \
    }
#define NESTED                                                                                     \
    {                                                                                              \
        "nested", P_STR, 0                                                                         \
    }

static const struct param keyword_params[] = {
    {"is_tenant", P_BOOL, 0}, COMMON, LATER, {"prefix", P_BOOL, 0}, NESTED};
static const struct param integer_params[] = {{"lookup", P_BOOL, 1},
                                              {"range", P_BOOL, 1},
                                              {"is_principal", P_BOOL, 1},
                                              COMMON,
                                              LATER,
                                              NESTED};
static const struct param ordered_params[] = {{"is_principal", P_BOOL, 1}, COMMON, LATER, NESTED};
static const struct param plain_params[] = {COMMON, LATER, NESTED};
static const struct param uuid_params[] = {{"is_tenant", P_BOOL, 0}, COMMON, LATER, NESTED};
static const struct param text_params[] = {
    {"tokenizer", P_TOKENIZER, 0}, {"min_token_len", P_SIZE, 0},
    {"max_token_len", P_SIZE, 0},  {"lowercase", P_BOOL, 0},
    {"ascii_folding", P_BOOL, 0},  {"phrase_matching", P_BOOL, 0},
    {"stopwords", P_STOPWORDS, 0}, COMMON,
    {"stemmer", P_STEMMER, 0},     LATER,
    {"scoring", P_SCORING, 0},     NESTED};

static const char *const type_names[] = {"keyword", "integer",  "float", "geo",
                                         "bool",    "datetime", "text",  "uuid"};
static const struct {
    const struct param *params;
    uint32_t n, pad;
} types[] = {
    {keyword_params, SX_COUNT(keyword_params), 0}, {integer_params, SX_COUNT(integer_params), 0},
    {ordered_params, SX_COUNT(ordered_params), 0}, {plain_params, SX_COUNT(plain_params), 0},
    {plain_params, SX_COUNT(plain_params), 0},     {ordered_params, SX_COUNT(ordered_params), 0},
    {text_params, SX_COUNT(text_params), 0},       {uuid_params, SX_COUNT(uuid_params), 0},
};

static int put_value(struct put *p, uint32_t type, const struct sx_value *v)
{
    struct sx_str s;
    uint64_t n;

    switch (type) {
    case P_BOOL:
        sx_docb_bool(p->b, v->num.type == SX_DOC_TRUE);
        return v->num.type == SX_DOC_TRUE || v->num.type == SX_DOC_FALSE;
    case P_SIZE:
        if (!rest_value_u64(v, &n))
            return 0;
        sx_docb_u64(p->b, n);
        return 1;
    case P_STR:
        if (!rest_value_str(v, &s))
            return 0;
        sx_docb_str(p->b, s.p, s.n);
        return 1;
    case P_MEMORY:
        return put_word(p, v, memories, SX_COUNT(memories));
    case P_TOKENIZER:
        return put_word(p, v, tokenizers, SX_COUNT(tokenizers));
    case P_STOPWORDS:
        return put_stopwords(p, v);
    case P_STEMMER:
        return put_stemmer(p, v);
    default:
        return put_scoring(p, v);
    }
}

/* One parameter of the schema: 1, 0 or SX_ENOMEM. */
static int put_param(struct put *p, const struct param *param, struct sx_doc schema)
{
    int is_given = rest_value_has(schema, param->name);
    struct sx_value v = rest_value_get(schema, param->name);

    if (param->type == P_TOKENIZER && !is_given) {
        sx_docb_ckey(p->b, param->name);
        sx_docb_cstr(p->b, "word");
        return 1;
    }
    if (param->type == P_SCORING && v.num.type == SX_DOC_FALSE)
        return 1;
    if (rest_value_is_null(&v) && param->type != P_TOKENIZER) {
        if (param->is_shown) {
            sx_docb_ckey(p->b, param->name);
            sx_docb_null(p->b);
        }
        return 1;
    }
    sx_docb_ckey(p->b, param->name);
    return put_value(p, param->type, &v);
}

/* The buffered schema in its canonical form. 1, 0 = it fits no type, or SX_ENOMEM. */
static int canonical(struct rest_dec *d, const struct sx_value *given, struct sx_args_field *args)
{
    struct put p = {d, d->docb};
    struct sx_value type = *given;
    struct sx_str name;
    uint32_t i;
    int rc = 1;

    args->bare = !rest_value_is_obj(given);
    if (!args->bare)
        type = rest_value_get(given->doc, "type");
    i = rest_value_str(&type, &name) ? rest_field_of(name, type_names, SX_COUNT(type_names))
                                     : SX_COUNT(type_names);
    if (i == SX_COUNT(type_names))
        return 0;
    sx_docb_reset(p.b);
    sx_docb_obj(p.b);
    sx_docb_ckey(p.b, "type");
    sx_docb_cstr(p.b, type_names[i]);
    for (uint32_t k = 0; k < types[i].n && rc == 1 && !args->bare; k++)
        rc = put_param(&p, &types[i].params[k], given->doc);
    sx_docb_close(p.b);
    if (rc != 1)
        return rc;
    args->schema = sx_docb_end_arena(p.b, d->arena);
    return args->schema.p != NULL ? 1 : SX_ENOMEM;
}

/* --- the body ------------------------------------------------------------------------------- */

static int schema_field(struct rest_dec *d, struct sx_args_field *args)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_value v;
    struct sx_doc doc;
    int rc = sx_json_null(&d->j);

    if (rc != 0)
        return rc < 0 ? rc : SX_OK;
    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    doc = sx_docb_end_arena(d->docb, d->arena);
    if (doc.p == NULL)
        return SX_ENOMEM;
    v = rest_value(doc);
    rc = canonical(d, &v, args);
    if (rc == 0)
        return rest_fail_union(
            d, m, "data did not match any variant of untagged enum PayloadFieldSchema");
    return rc < 0 ? rc : SX_OK;
}

static int is_false(struct sx_doc schema, const char *name)
{
    return sx_doc_type(sx_doc_get(schema, name)) == SX_DOC_FALSE;
}

int rest_decode_index(struct rest_dec *d, struct sx_op *op)
{
    static const char *const names[] = {"field_name", "field_schema|field_type"};
    struct sx_args_field *args = sx_arena_zalloc(d->arena, sizeof(*args));
    uint32_t seen = 0, i;
    struct sx_str key;
    int rc;

    if (args == NULL)
        return SX_ENOMEM;
    op->args = args;
    rc = sx_json_obj_begin(&d->j, "struct CreateFieldIndex");
    while (rc >= 0 && (rc = sx_json_obj_next(&d->j, &key)) > 0) {
        i = rest_field_of(key, names, SX_COUNT(names));
        if (i < SX_COUNT(names) && (seen & 1u << i) != 0)
            return rest_fail_duplicate(d, key, names[i]);
        seen |= 1u << i;
        rc = i == 0   ? rest_path_read(d, &args->field)
             : i == 1 ? schema_field(d, args)
                      : sx_json_skip(&d->j, NULL);
    }
    if (rc == SX_OK && (seen & 1) == 0)
        return rest_fail_missing(d, "field_name");
    if (rc == SX_OK && is_false(args->schema, "lookup") && is_false(args->schema, "range"))
        rest_valid_add(d, "field_schema.lookup: Validation error: the 'lookup' and 'range' "
                          "capabilities can't be both disabled [{}]");
    return rc;
}
