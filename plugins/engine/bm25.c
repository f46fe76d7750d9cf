/* BM25 vectors of texts: options, token ids, weights. See bm25.h.
 *
 * What a wrong option is answered with is text that clients show to people, so it has the form of
 * the parser that they know: "invalid type: string "a", expected f64", written as a debug string.
 */
#include "bm25.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "text_priv.h"

#include "sextant/sx_ban.h"

static int is_name(struct sx_str s, const char *name)
{
    if (s.n != strlen(name))
        return 0;
    for (uint32_t i = 0; i < s.n; i++)
        if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]) != name[i])
            return 0;
    return 1;
}

int eng_bm25_is_model(struct sx_str model)
{
    return is_name(model, "qdrant/bm25") || is_name(model, "bm25");
}

/* --- texts of errors ---------------------------------------------------------------------- */

/* As inside a quoted debug string. */
static void add_debug(struct sx_buf *b, const char *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const char *escape = p[i] == '"'    ? "\\\""
                             : p[i] == '\\' ? "\\\\"
                             : p[i] == '\n' ? "\\n"
                             : p[i] == '\r' ? "\\r"
                             : p[i] == '\t' ? "\\t"
                                            : NULL;

        if (escape != NULL)
            sx_buf_adds(b, escape);
        else if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            sx_buf_printf(b, "\\u{%x}", (unsigned)(unsigned char)p[i]);
        else
            sx_buf_addc(b, p[i]);
    }
}

/* The value as the parser calls it: string "a", integer `5`, ... */
static void add_value(struct sx_buf *b, struct sx_doc v)
{
    struct sx_doc_num num = sx_doc_num(v);
    struct sx_str s = sx_doc_str(v);
    char text[40];

    switch (sx_doc_type(v)) {
    case SX_DOC_NULL:
        sx_buf_adds(b, "null");
        break;
    case SX_DOC_FALSE:
        sx_buf_adds(b, "boolean `false`");
        break;
    case SX_DOC_TRUE:
        sx_buf_adds(b, "boolean `true`");
        break;
    case SX_DOC_I64:
        sx_buf_printf(b, "integer `%lld`", (long long)num.v.i);
        break;
    case SX_DOC_U64:
        sx_buf_printf(b, "integer `%llu`", (unsigned long long)num.v.u);
        break;
    case SX_DOC_F64:
        sx_buf_printf(b, "floating point `%.*s`", (int)sx_num_format_f64(num.v.f, text), text);
        break;
    case SX_DOC_STR:
        sx_buf_adds(b, "string \"");
        add_debug(b, s.p, s.n);
        sx_buf_addc(b, '"');
        break;
    case SX_DOC_OBJ:
        sx_buf_adds(b, "map");
        break;
    default:
        sx_buf_adds(b, "sequence");
        break;
    }
}

/* The message in `plain`, which is emptied, as the client gets it. */
static int bad_config(struct sx_buf *plain, struct sx_err *err)
{
    struct sx_buf quoted;
    int rc;

    sx_buf_init(&quoted, plain->mem);
    add_debug(&quoted, plain->p, plain->n);
    if (plain->failed || quoted.failed)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    else
        rc = sx_err_set(err, SX_EINPUT, "Invalid BM25 config: Error(\"%.*s\", line: 0, column: 0)",
                        (int)(quoted.n < 240 ? quoted.n : 240), quoted.p);
    sx_buf_fini(&quoted);
    sx_buf_fini(plain);
    return rc;
}

/* kind: "type" or "value". */
static int bad_value(const struct sx_mem *mem,
                     const char *kind,
                     struct sx_doc v,
                     const char *expected,
                     struct sx_err *err)
{
    struct sx_buf b;

    sx_buf_init(&b, mem);
    sx_buf_printf(&b, "invalid %s: ", kind);
    add_value(&b, v);
    sx_buf_printf(&b, ", expected %s", expected);
    return bad_config(&b, err);
}

static int no_variant(const struct sx_mem *mem, const char *of, struct sx_err *err)
{
    struct sx_buf b;

    sx_buf_init(&b, mem);
    sx_buf_printf(&b, "data did not match any variant of untagged enum %s", of);
    return bad_config(&b, err);
}

/* --- options ------------------------------------------------------------------------------ */

struct options {
    const struct sx_mem *mem;
    double k, b, avg_len;
    struct sx_str language;
    struct sx_doc stopwords, stemmer; /* p NULL = those of the language */
    struct eng__text_params p;
};

static int read_f64(const struct options *o, struct sx_doc v, double *out, struct sx_err *err)
{
    struct sx_doc_num num = sx_doc_num(v);

    if (num.type == SX_DOC_I64)
        *out = (double)num.v.i;
    else if (num.type == SX_DOC_U64)
        *out = (double)num.v.u;
    else if (num.type == SX_DOC_F64)
        *out = num.v.f;
    else
        return bad_value(o->mem, "type", v, "f64", err);
    return 0;
}

static int read_bool(const struct options *o, struct sx_doc v, uint32_t *out, struct sx_err *err)
{
    uint32_t type = sx_doc_type(v);

    if (type == SX_DOC_NULL)
        return 0;
    if (type != SX_DOC_TRUE && type != SX_DOC_FALSE)
        return bad_value(o->mem, "type", v, "a boolean", err);
    *out = type == SX_DOC_TRUE;
    return 0;
}

static int read_usize(
    const struct options *o, struct sx_doc v, uint64_t *out, uint32_t *has, struct sx_err *err)
{
    struct sx_doc_num num = sx_doc_num(v);

    if (num.type == SX_DOC_NULL)
        return 0;
    if (num.type == SX_DOC_I64 && num.v.i < 0)
        return bad_value(o->mem, "value", v, "usize", err);
    if (num.type != SX_DOC_I64 && num.type != SX_DOC_U64)
        return bad_value(o->mem, "type", v, "usize", err);
    *out = num.type == SX_DOC_I64 ? (uint64_t)num.v.i : num.v.u;
    *has = 1;
    return 0;
}

static int read_language(struct options *o, struct sx_doc v, struct sx_err *err)
{
    if (sx_doc_type(v) == SX_DOC_NULL)
        return 0;
    if (sx_doc_type(v) != SX_DOC_STR)
        return bad_value(o->mem, "type", v, "a string", err);
    o->language = sx_doc_str(v);
    return 0;
}

static int read_tokenizer(struct options *o, struct sx_doc v, struct sx_err *err)
{
    struct sx_str name = sx_doc_str(v);
    struct sx_buf b;

    if (sx_doc_type(v) == SX_DOC_OBJ)
        return bad_value(o->mem, "value", v, "map with a single key", err);
    if (sx_doc_type(v) != SX_DOC_STR)
        return bad_value(o->mem, "type", v, "string or map", err);
    if (eng__text_read_tokenizer(v, &o->p) == 0)
        return 0;
    sx_buf_init(&b, o->mem);
    sx_buf_printf(&b,
                  "unknown variant `%.*s`, expected one of `prefix`, `whitespace`, `word`, "
                  "`multilingual`",
                  (int)(name.n < 80 ? name.n : 80), name.p);
    return bad_config(&b, err);
}

static int is_key(struct sx_str key, const char *name)
{
    return key.n == strlen(name) && memcmp(key.p, name, key.n) == 0;
}

static int read_option(struct options *o, struct sx_str key, struct sx_doc v, struct sx_err *err)
{
    struct eng__text_params tried = o->p;
    uint32_t has_max = 0;

    if (is_key(key, "k"))
        return read_f64(o, v, &o->k, err);
    if (is_key(key, "b"))
        return read_f64(o, v, &o->b, err);
    if (is_key(key, "avg_len"))
        return read_f64(o, v, &o->avg_len, err);
    if (is_key(key, "tokenizer"))
        return read_tokenizer(o, v, err);
    if (is_key(key, "language"))
        return read_language(o, v, err);
    if (is_key(key, "lowercase"))
        return read_bool(o, v, &o->p.lowercase, err);
    if (is_key(key, "ascii_folding"))
        return read_bool(o, v, &o->p.fold, err);
    if (is_key(key, "min_token_len"))
        return read_usize(o, v, &o->p.min_len, &o->p.has_min, err);
    if (is_key(key, "max_token_len"))
        return read_usize(o, v, &o->p.max_len, &has_max, err);
    if (is_key(key, "stopwords") && sx_doc_type(v) != SX_DOC_NULL) {
        if (eng__text_read_stopwords(v, &tried, NULL) != 0)
            return no_variant(o->mem, "StopwordsInterface", err);
        o->stopwords = v;
    } else if (is_key(key, "stemmer") && sx_doc_type(v) != SX_DOC_NULL) {
        if (eng__text_read_stemmer(v, &tried, NULL) != 0)
            return no_variant(o->mem, "StemmingAlgorithm", err);
        o->stemmer = v;
    }
    return 0;
}

static int out_of_range(const char *what, const char *range, double v, struct sx_err *err)
{
    char text[40];
    int n = (int)sx_num_format_f64(v, text);

    if (n > 2 && memcmp(text + n - 2, ".0", 2) == 0)
        n -= 2;
    return sx_err_set(err, SX_EINPUT, "BM25 %s must be finite and %s, got %.*s", what, range, n,
                      text);
}

/* A language that has a list of stop words brings it, and its stemmer if there is one; any other
 * name brings nothing. What is said besides counts more. */
static void settle(struct options *o)
{
    int list = eng__text_list_find(o->language);

    if (o->stopwords.p != NULL)
        (void)eng__text_read_stopwords(o->stopwords, &o->p, NULL);
    else if (list >= 0)
        o->p.stop_lists = 1u << list;
    if (o->stemmer.p != NULL) {
        (void)eng__text_read_stemmer(o->stemmer, &o->p, NULL);
    } else if (list >= 0) {
        const char *name = eng__text_list_name((uint32_t)list);
        int stemmer = eng__text_stemmer_find((struct sx_str){name, (uint32_t)strlen(name), 0});

        o->p.stemmer = stemmer < 0 ? 0 : (uint32_t)stemmer;
    }
}

static int
read_options(struct options *o, const struct sx_mem *mem, struct sx_doc doc, struct sx_err *err)
{
    memset(o, 0, sizeof(*o));
    o->mem = mem;
    o->k = 1.2;
    o->b = 0.75;
    o->avg_len = 256;
    o->language = (struct sx_str){"english", 7, 0};
    eng__text_params_init(&o->p);
    for (uint32_t i = 0; sx_doc_type(doc) == SX_DOC_OBJ && i < sx_doc_count(doc); i++) {
        struct sx_str key;
        struct sx_doc v = sx_doc_member(doc, i, &key);
        int rc = read_option(o, key, v, err);

        if (rc != 0)
            return rc;
    }
    if (!isfinite(o->k) || o->k < 0)
        return out_of_range("k1", ">= 0", o->k, err);
    if (!isfinite(o->b) || o->b < 0 || o->b > 1)
        return out_of_range("b", "in [0.0, 1.0]", o->b, err);
    if (!isfinite(o->avg_len) || o->avg_len <= 0)
        return out_of_range("avg_doc_len", "> 0", o->avg_len, err);
    settle(o);
    return 0;
}

/* --- token ids ---------------------------------------------------------------------------- */

static uint32_t rotl(uint32_t x, uint32_t n)
{
    return x << n | x >> (32 - n);
}

/* MurmurHash3 x86 32 with seed 0 (A. Appleby, public domain). */
static uint32_t murmur3(const char *p, uint32_t n)
{
    uint32_t h = 0, k, i;

    for (i = 0; n - i >= 4; i += 4) {
        memcpy(&k, p + i, 4);
        h ^= rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u;
        h = rotl(h, 13) * 5 + 0xe6546b64u;
    }
    k = 0;
    memcpy(&k, p + i, n - i);
    h ^= rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u;
    h ^= n;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* The hash as a signed number, without its sign. */
static uint32_t token_id(struct sx_str token)
{
    uint32_t h = murmur3(token.p, token.n);

    return h > INT32_MAX ? 0u - h : h;
}

static int collect(void *arg, const struct eng_text_token *t)
{
    struct sx_buf *ids = arg;
    uint32_t id = token_id(t->text);

    sx_buf_add(ids, &id, sizeof(id));
    return ids->failed ? SX_ENOMEM : 0;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

/* --- vectors ------------------------------------------------------------------------------ */

static double weight(const struct options *o, double n, double total)
{
    return n * (o->k + 1) / (n + o->k * (1 - o->b + o->b * total / o->avg_len));
}

/* ids: n of them, ascending, with repetitions. Different tokens of one id count as one token. */
static int fill(const struct options *o,
                const uint32_t *ids,
                uint32_t n,
                int is_query,
                struct sx_arena *arena,
                struct sx_vec_in *out)
{
    uint32_t distinct = 0;
    uint32_t *indices = sx_arena_alloc(arena, (uint64_t)n * sizeof(*indices));
    float *data = sx_arena_alloc(arena, (uint64_t)n * sizeof(*data));

    if (indices == NULL || data == NULL)
        return SX_ENOMEM;
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && ids[end] == ids[i];)
            end++;
        indices[distinct] = ids[i];
        data[distinct++] = is_query ? 1.0f : (float)weight(o, end - i, n);
    }
    out->kind = SX_VEC_SPARSE;
    out->dim = distinct;
    out->rows = 0;
    out->data = data;
    out->indices = indices;
    return 0;
}

int eng_bm25_embed(const struct sx_mem *mem,
                   const struct sx_reg *reg,
                   struct sx_doc options,
                   struct sx_str text,
                   int is_query,
                   struct sx_arena *arena,
                   struct sx_vec_in *out,
                   struct sx_err *err)
{
    struct eng_analyzer *a = NULL;
    struct sx_buf work, ids;
    struct options o;
    int rc = read_options(&o, mem, options, err);

    if (rc == 0)
        rc = eng__analyzer_make(mem, reg, &o.p, &a, err);
    if (rc != 0)
        return rc;
    sx_buf_init(&work, mem);
    sx_buf_init(&ids, mem);
    rc = eng_analyze(a, is_query ? ENG_TEXT_BM25_QUERY : ENG_TEXT_DOC, text, &work, collect, &ids);
    if (rc == 0 && ids.n / sizeof(uint32_t) > UINT32_MAX)
        rc = SX_ENOMEM;
    if (rc == 0 && ids.n != 0)
        qsort(ids.p, ids.n / sizeof(uint32_t), sizeof(uint32_t), by_id);
    if (rc == 0)
        rc = fill(&o, (const uint32_t *)(const void *)ids.p, (uint32_t)(ids.n / sizeof(uint32_t)),
                  is_query, arena, out);
    if (rc == SX_ENOMEM)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    else if (rc != 0)
        rc = sx_err_set(err, rc, "the tokenizer failed");
    sx_buf_fini(&ids);
    sx_buf_fini(&work);
    eng_analyzer_destroy(a);
    return rc;
}
