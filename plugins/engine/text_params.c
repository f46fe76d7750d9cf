/* Parameters of a text index -> choices; and the readers of single options, which BM25 shares. */
#include <string.h>

#include "text_priv.h"

#include "sextant/sx_ban.h"

void eng__text_params_init(struct eng__text_params *p)
{
    memset(p, 0, sizeof(*p));
    p->tokenizer = ENG_TOK_WORD;
    p->lowercase = 1;
    p->max_len = ENG__TEXT_NO_MAX;
}

int eng__text_read_tokenizer(struct sx_doc v, struct eng__text_params *p)
{
    int i = eng__text_tokenizer_find(sx_doc_str(v));

    if (i < 0)
        return -1;
    p->tokenizer = (uint32_t)i;
    return 0;
}

static int read_list(struct sx_doc v, uint32_t *lists, struct sx_str *bad)
{
    struct sx_str name = sx_doc_str(v);
    int i = eng__text_list_find(name);

    if (i < 0) {
        if (bad != NULL)
            *bad = name;
        return -1;
    }
    *lists |= 1u << i;
    return 0;
}

static int is_list_of_strings(struct sx_doc v)
{
    if (sx_doc_type(v) != SX_DOC_ARR)
        return 0;
    for (uint32_t i = 0; i < sx_doc_count(v); i++)
        if (sx_doc_type(sx_doc_elem(v, i)) != SX_DOC_STR)
            return 0;
    return 1;
}

int eng__text_read_stopwords(struct sx_doc v, struct eng__text_params *p, struct sx_str *bad)
{
    struct sx_doc languages, custom;
    uint32_t lists = 0;

    if (sx_doc_type(v) == SX_DOC_STR) {
        if (read_list(v, &lists, bad) != 0)
            return -1;
        p->stop_lists = lists;
        p->custom = (struct sx_doc){NULL, 0, 0};
        return 0;
    }
    if (sx_doc_type(v) != SX_DOC_OBJ)
        return -1;
    languages = sx_doc_get(v, "languages");
    custom = sx_doc_get(v, "custom");
    if (sx_doc_type(languages) != SX_DOC_NULL) {
        if (!is_list_of_strings(languages))
            return -1;
        for (uint32_t i = 0; i < sx_doc_count(languages); i++)
            if (read_list(sx_doc_elem(languages, i), &lists, bad) != 0)
                return -1;
    }
    if (sx_doc_type(custom) == SX_DOC_NULL)
        custom = (struct sx_doc){NULL, 0, 0};
    else if (!is_list_of_strings(custom))
        return -1;
    p->stop_lists = lists;
    p->custom = custom;
    return 0;
}

static int is_text(struct sx_str s, const char *text)
{
    return s.p != NULL && s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

int eng__text_read_stemmer(struct sx_doc v, struct eng__text_params *p, struct sx_str *bad)
{
    struct sx_str type = sx_doc_str(sx_doc_get(v, "type"));
    struct sx_str language = sx_doc_str(sx_doc_get(v, "language"));
    int i;

    if (is_text(type, "none")) {
        p->stemmer = 0;
        return 0;
    }
    if (!is_text(type, "snowball"))
        return -1;
    i = eng__text_stemmer_find(language);
    if (i < 0) {
        if (bad != NULL)
            *bad = language;
        return -1;
    }
    p->stemmer = (uint32_t)i;
    return 0;
}

/* --- a text index ------------------------------------------------------------------------- */

static int read_length(struct sx_doc v, uint64_t *out)
{
    struct sx_doc_num num = sx_doc_num(v);

    if (num.type == SX_DOC_U64)
        *out = num.v.u;
    else if (num.type == SX_DOC_I64 && num.v.i >= 0)
        *out = (uint64_t)num.v.i;
    else
        return -1;
    return 0;
}

static int read_bool(struct sx_doc v, uint32_t *out)
{
    uint32_t type = sx_doc_type(v);

    if (type != SX_DOC_TRUE && type != SX_DOC_FALSE)
        return -1;
    *out = type == SX_DOC_TRUE;
    return 0;
}

/* "`arabic`, `azerbaijani`, ..." as far as the room goes. */
static const char *list_names(char *out, uint32_t room)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ENG__TEXT_LISTS; i++) {
        const char *name = eng__text_list_name(i);
        uint32_t len = (uint32_t)strlen(name);

        if (n + len + 5 > room)
            break;
        memcpy(out + n, i == 0 ? "`" : ", `", i == 0 ? 1 : 3);
        n += i == 0 ? 1 : 3;
        memcpy(out + n, name, len);
        n += len;
        out[n++] = '`';
    }
    out[n] = '\0';
    return out;
}

static int bad_value(struct sx_str key, struct sx_str name, struct sx_err *err)
{
    char names[160];

    if (is_text(key, "tokenizer"))
        return sx_err_set(err, SX_EINPUT, "unknown tokenizer type");
    if (is_text(key, "stopwords") && name.p != NULL)
        return sx_err_set(
            err, SX_EINPUT, "unknown language: unknown variant `%.*s`, expected one of %s",
            (int)(name.n < 40 ? name.n : 40), name.p, list_names(names, sizeof(names)));
    if (is_text(key, "stemmer") && name.p != NULL)
        return sx_err_set(err, SX_EINPUT, "Language \"%.*s\" not found.",
                          (int)(name.n < 100 ? name.n : 100), name.p);
    return sx_err_set(err, SX_EINPUT, "invalid value of the text index parameter %.*s",
                      (int)(key.n < 40 ? key.n : 40), key.p);
}

static int
read_member(struct sx_str key, struct sx_doc v, struct eng__text_params *p, struct sx_str *bad)
{
    if (is_text(key, "tokenizer"))
        return eng__text_read_tokenizer(v, p);
    if (sx_doc_type(v) == SX_DOC_NULL)
        return 0;
    if (is_text(key, "min_token_len")) {
        p->has_min = 1;
        return read_length(v, &p->min_len);
    }
    if (is_text(key, "max_token_len"))
        return read_length(v, &p->max_len);
    if (is_text(key, "lowercase"))
        return read_bool(v, &p->lowercase);
    if (is_text(key, "ascii_folding"))
        return read_bool(v, &p->fold);
    if (is_text(key, "phrase_matching"))
        return read_bool(v, &p->phrase);
    if (is_text(key, "stopwords"))
        return eng__text_read_stopwords(v, p, bad);
    if (is_text(key, "stemmer"))
        return eng__text_read_stemmer(v, p, bad);
    return 0;
}

int eng_analyzer_create(const struct sx_mem *mem,
                        const struct sx_reg *reg,
                        struct sx_doc params,
                        struct eng_analyzer **out,
                        struct sx_err *err)
{
    struct eng__text_params p;

    eng__text_params_init(&p);
    for (uint32_t i = 0; sx_doc_type(params) == SX_DOC_OBJ && i < sx_doc_count(params); i++) {
        struct sx_str key, bad = {NULL, 0, 0};
        struct sx_doc v = sx_doc_member(params, i, &key);

        if (read_member(key, v, &p, &bad) != 0)
            return bad_value(key, bad, err);
    }
    return eng__analyzer_make(mem, reg, &p, out, err);
}
