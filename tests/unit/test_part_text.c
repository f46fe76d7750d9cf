/* Payload indexes of texts against documents: open and sealed form, every tokenizer and option,
 * plain and nested; counts; what BM25 reads; damaged parts; short memory; readers beside the
 * writer. */
/* needs: plugins/engine/part_text*.c plugins/engine/filter*.c kernel/epoch.c tests/unit/mem_io.c */
#include <pthread.h>
#include <time.h>

#include "engine/part_text.h"
#include "engine/text.h"
#include "field_kit.h"

static uint64_t seed;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(fk_rnd(&seed) % n);
}

/* --- texts ------------------------------------------------------------------------------- */

static const char *const words[] = {
    "the",
    "of",
    "a",
    "fox",
    "Fox",
    "foxes",
    "quick",
    "running",
    "run",
    "dog",
    "dogs",
    "getUserName",
    "user",
    "name",
    "getusername",
    "HTTPServer",
    "http",
    "server",
    "user_name",
    "username",
    "it's",
    "na\xc3\xafve",
    "naive",
    "\xc3\x89"
    "cole",
    "ecole",
    "42",
    "x86_64",
    "0xFF",
    "\xe6\x97\xa5\xe6\x9c\xac",
    "b",
};

static uint32_t n_foxes; /* of four texts that begin with one */

/* Frequent words come first. */
static const char *a_word(void)
{
    uint32_t i = below(SX_COUNT(words));

    return words[below(i + 1)];
}

static void put_text(struct sx_buf *b, uint32_t most)
{
    uint32_t n = below(most + 1);

    if (below(4) < n_foxes)
        sx_buf_adds(b, "fox ");
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(b, a_word());
        sx_buf_adds(b, below(6) == 0 ? ", " : below(12) == 0 ? "-" : " ");
    }
}

static void put_value(struct sx_buf *b)
{
    switch (below(14)) {
    case 0:
        sx_buf_adds(b, "null");
        return;
    case 1:
        sx_buf_adds(b, "7");
        return;
    case 2:
        sx_buf_adds(b, "[[\"fox dog\"], {\"t\": \"fox\"}, \"run run\"]");
        return;
    case 3:
    case 4:
    case 5:
        sx_buf_addc(b, '[');
        for (uint32_t n = below(4), i = 0; i < n; i++) {
            sx_buf_adds(b, i != 0 ? ", \"" : "\"");
            put_text(b, 4);
            sx_buf_addc(b, '"');
        }
        sx_buf_addc(b, ']');
        return;
    default:
        sx_buf_addc(b, '"');
        put_text(b, below(8) == 0 ? 30 : 6);
        sx_buf_addc(b, '"');
    }
}

static void put_element(struct sx_buf *b)
{
    static const char *const others[] = {"5", "\"fox dog\"", "[{\"t\": \"fox dog\"}]", "{}",
                                         "null"};

    if (below(8) == 0) {
        sx_buf_adds(b, others[below(SX_COUNT(others))]);
        return;
    }
    sx_buf_adds(b, "{\"t\": ");
    put_value(b);
    sx_buf_addc(b, '}');
}

static struct sx_doc a_doc(void)
{
    struct sx_buf b;
    struct sx_doc d;

    sx_buf_init(&b, sx_mem_libc());
    sx_buf_addc(&b, '{');
    if (below(10) != 0) {
        sx_buf_adds(&b, "\"t\": ");
        put_value(&b);
        sx_buf_addc(&b, ',');
    }
    sx_buf_adds(&b, "\"o\": ");
    if (below(10) == 0) {
        put_element(&b);
    } else {
        sx_buf_addc(&b, '[');
        for (uint32_t n = below(4), i = 0; i < n; i++) {
            if (i != 0)
                sx_buf_addc(&b, ',');
            put_element(&b);
        }
        sx_buf_addc(&b, ']');
    }
    sx_buf_adds(&b, "}");
    sx_buf_addc(&b, '\0');
    d = fk_doc(b.p);
    sx_buf_fini(&b);
    return d;
}

/* --- a part beside its documents ------------------------------------------------------------ */

#define MAX_DOCS 600u
static struct sx_doc docs[MAX_DOCS];
static uint32_t n_docs;

static void make_docs(uint32_t n)
{
    for (n_docs = 0; n_docs < n; n_docs++)
        docs[n_docs] = a_doc();
}

static void free_docs(void)
{
    while (n_docs > 0)
        fk_doc_free(&docs[--n_docs]);
}

#define MAX_ROWS SX_CHUNK_ROWS
#define NO_DOC   UINT32_MAX
static uint32_t doc_of[MAX_ROWS]; /* the document of a row; NO_DOC: it was left out */

static const struct eng_part_ops *const ops = &eng_part_text;

struct part {
    struct eng_field_schema *schema;
    struct sx_arena arena;
    void *open;
    struct sx_buf sealed; /* n 0 = none */
    uint8_t *copy;        /* of sealed, 64-aligned, exactly as long */
    uint32_t first, end;  /* committed rows */
    uint32_t seal_lo, seal_hi;
};

static void part_begin(struct part *p, const char *path, const char *params)
{
    memset(p, 0, sizeof(*p));
    p->schema = fk_schema(path, params);
    sx_arena_init(&p->arena, sx_mem_libc(), 0);
    sx_buf_init(&p->sealed, sx_mem_libc());
    p->open = ops->open_create(&fk_conf, p->schema);
    assert_non_null(p->open);
}

static void part_end(struct part *p)
{
    ops->open_destroy(p->open);
    sx_buf_fini(&p->sealed);
    free(p->copy);
    sx_arena_fini(&p->arena);
    eng_field_schema_destroy(&fk_mem, p->schema);
}

static int see_string(void *arg, const struct sx_value *v)
{
    (void)arg;
    return v->num.type == SX_DOC_STR;
}

/* Rows from p->end up to hi, some left out, some of an operation that fails or is aborted. */
static void part_fill(struct part *p, uint32_t hi, int calmly)
{
    uint32_t row = p->end;

    while (row < hi) {
        uint32_t n = 1 + below(20), base = row, end = row + n < hi ? row + n : hi;
        int aborts = !calmly && below(5) == 0;

        for (; row < end; row++) {
            uint32_t doc = below(calmly ? 40 : 6) == 0 ? NO_DOC : below(n_docs);

            doc_of[row] = doc;
            if (doc == NO_DOC)
                continue;
            assert_int_equal(ops->open_add(p->open, row, docs[doc]),
                             sx_path_each(&p->schema->path, docs[doc], see_string, NULL));
        }
        if (aborts) {
            ops->open_cut(p->open, p->end);
            row = base;
        } else {
            ops->open_commit(p->open);
            p->end = row;
        }
    }
}

static void part_seal(struct part *p, uint32_t lo, uint32_t hi)
{
    p->sealed.n = 0;
    free(p->copy);
    assert_int_equal(ops->seal(p->open, lo, hi, &p->sealed), 0);
    p->copy = aligned_alloc(64, (p->sealed.n + 63) & ~63ull);
    memcpy(p->copy, p->sealed.p, p->sealed.n);
    assert_int_equal(ops->check(p->schema, p->copy, p->sealed.n), 0);
    p->seal_lo = lo;
    p->seal_hi = hi;
}

/* --- questions --------------------------------------------------------------------------- */

/* What the document says. A phrase of one token finds compounds, as any token. */
static int doc_fits(const struct eng_leaf *leaf, uint32_t row, struct eng_match_scratch *s)
{
    const struct eng_prep_tokens *prep = leaf->prep;
    struct sx_cond cond = *leaf->cond;
    struct eng_leaf one = *leaf;
    struct eng_subject subject = {.payload = docs[doc_of[row]]};

    if (cond.match.kind == SX_MATCH_PHRASE && prep->n == 1) {
        cond.match.kind = SX_MATCH_TEXT;
        one.cond = &cond;
    }
    return eng_leaf_match(&one, &subject, s);
}

static void expected(const struct eng_leaf *leaf, uint32_t lo, uint32_t hi, struct eng_bits *out)
{
    static uint8_t known[MAX_DOCS]; /* 1 no, 2 yes */
    struct eng_match_scratch s;

    memset(out, 0, sizeof(*out));
    memset(known, 0, sizeof(known));
    eng_match_scratch_init(&s, sx_mem_libc());
    for (uint32_t row = lo; row < hi; row++) {
        if (doc_of[row] == NO_DOC)
            continue;
        if (known[doc_of[row]] == 0)
            known[doc_of[row]] = (uint8_t)(1 + doc_fits(leaf, row, &s));
        if (known[doc_of[row]] == 2)
            eng_bits_set(out, row);
    }
    assert_int_equal(s.failed, 0);
    eng_match_scratch_fini(&s);
}

static void same_bits(const struct eng_bits *got, const struct eng_bits *want, const char *what)
{
    for (uint32_t row = 0; memcmp(got, want, sizeof(*got)) != 0 && row < MAX_ROWS; row++) {
        if (eng_bits_get(got, row) != eng_bits_get(want, row))
            fail_msg("%s: row %u is %d", what, row, eng_bits_get(got, row));
    }
}

static void ask_tally(
    struct part *p, const struct eng_leaf *leaf, const uint8_t *sealed, uint32_t lo, uint32_t hi)
{
    const struct eng_prep_tokens *prep = leaf->prep;
    struct eng_tally t = {.n = prep->n};

    t.len = calloc(prep->n, sizeof(*t.len));
    ops->tally(p->schema, sealed, sealed == NULL ? p->open : NULL, hi, leaf, &t);
    for (uint32_t i = below(1 + prep->n / 8); i < prep->n; i += 1 + prep->n / 8) {
        struct eng_prep_tokens only = {
            .n = 1, .tokens = &prep->tokens[i], .analyzer = prep->analyzer};
        struct sx_cond cond = *leaf->cond;
        struct eng_leaf one = *leaf;
        struct eng_bits want;

        cond.match.kind = SX_MATCH_TEXT;
        one.cond = &cond;
        one.prep = &only;
        expected(&one, lo, hi, &want);
        assert_int_equal(t.len[i], eng_bits_count(&want, 0, MAX_ROWS));
    }
    free(t.len);
}

/* 1 when some row qualifies. */
static int ask(struct part *p, const struct eng_leaf *leaf)
{
    struct eng_bits want, yes = {{0}}, none = {{0}};
    uint32_t lo = p->first + below(p->end - p->first + 1);
    uint32_t hi = lo + below(p->end - lo + 1);
    int some;

    assert_int_equal(ops->answers(p->schema, leaf), 1);
    if (below(2) == 0) {
        lo = p->first;
        hi = p->end;
    }
    expected(leaf, lo, hi, &want);
    some = eng_bits_count(&want, 0, MAX_ROWS) != 0;
    ops->open_mask(p->open, leaf, lo, hi, &yes, &none);
    same_bits(&yes, &want, "open");
    assert_int_equal(eng_bits_count(&none, 0, MAX_ROWS), 0);
    if (below(4) == 0)
        ask_tally(p, leaf, NULL, p->first, p->end);
    if (p->sealed.n == 0)
        return some;
    memset(&yes, 0, sizeof(yes));
    expected(leaf, p->seal_lo, p->seal_hi, &want);
    ops->mask(p->schema, p->copy, leaf, &yes, &none);
    same_bits(&yes, &want, "sealed");
    assert_int_equal(eng_bits_count(&none, 0, MAX_ROWS), 0);
    if (below(4) == 0)
        ask_tally(p, leaf, p->copy, p->seal_lo, p->seal_hi);
    return some;
}

/* A leaf of a random query, or NULL when it is decided without the index. */
static const struct eng_leaf *a_leaf(struct part *p, uint32_t most)
{
    static const uint32_t kinds[] = {SX_MATCH_TEXT, SX_MATCH_TEXT_ANY, SX_MATCH_PHRASE};
    uint32_t n = 1 + below(most);
    struct sx_buf b;
    char *text;
    struct sx_cond c;

    sx_buf_init(&b, sx_mem_libc());
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(&b, i != 0 ? " " : "");
        sx_buf_adds(&b, below(30) == 0 ? "unheard" : a_word());
    }
    text = sx_arena_strdup(&p->arena, b.p, b.n);
    c = fk_match_str(kinds[below(3)], (struct sx_str){text, (uint32_t)b.n, 0});
    sx_buf_fini(&b);
    return fk_leaf(p->schema, c, &p->arena);
}

static const struct {
    const char *path, *params;
} kinds[] = {
    {"t", "{\"type\": \"text\"}"},
    {"t", "{\"type\": \"text\", \"phrase_matching\": true}"},
    {"t", "{\"type\": \"text\", \"scoring\": true}"},
    {"t", "{\"type\": \"text\", \"scoring\": true, \"phrase_matching\": true, \"stopwords\": "
          "\"english\", \"stemmer\": {\"type\": \"snowball\", \"language\": \"english\"}}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"whitespace\", \"phrase_matching\": true, "
          "\"ascii_folding\": true}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"prefix\", \"min_token_len\": 2, "
          "\"max_token_len\": 5}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"prefix\", \"phrase_matching\": true, \"scoring\": "
          "{\"type\": \"bm25\"}}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"code\"}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"code\", \"phrase_matching\": true}"},
    {"t", "{\"type\": \"text\", \"tokenizer\": \"code\", \"phrase_matching\": true, \"scoring\": "
          "true}"},
    {"o[].t", "{\"type\": \"text\", \"phrase_matching\": true}"},
    {"o[].t", "{\"type\": \"text\", \"nested\": \"o\"}"},
    {"o[].t", "{\"type\": \"text\", \"nested\": \"o\", \"phrase_matching\": true}"},
    {"o[].t", "{\"type\": \"text\", \"nested\": \"o[]\", \"scoring\": true}"},
    {"o[].t", "{\"type\": \"text\", \"nested\": \"o\", \"tokenizer\": \"code\", \"scoring\": true, "
              "\"phrase_matching\": true}"},
    {"o[].t", "{\"type\": \"text\", \"nested\": \"o\", \"tokenizer\": \"prefix\", \"lowercase\": "
              "false, \"phrase_matching\": true}"},
};

static void test_against_documents(void **state)
{
    (void)state;
    make_docs(200);
    for (uint32_t k = 0; k < SX_COUNT(kinds); k++) {
        uint32_t hits = 0, asked = 0;
        struct part p;

        part_begin(&p, kinds[k].path, kinds[k].params);
        p.first = p.end = 64 * below(3) + below(64);
        for (uint32_t round = 0; round < 4; round++) {
            part_fill(&p, p.end + 100 + below(100), 0);
            if (round != 0) {
                uint32_t lo = p.first + (round == 1 ? 0 : below(p.end - p.first));

                part_seal(&p, lo, round == 1 ? p.end : lo + below(p.end - lo + 1));
            }
            for (uint32_t i = 0; i < 60; i++) {
                const struct eng_leaf *leaf = a_leaf(&p, i % 20 == 0 ? 20 : 4);

                if (leaf == NULL)
                    continue;
                asked++;
                hits += (uint32_t)ask(&p, leaf);
            }
        }
        assert_true(asked > 100 && hits > asked / 8 && hits < asked);
        part_end(&p);
    }
    free_docs();
}

/* --- what BM25 reads ----------------------------------------------------------------------- */

/* Frequency of one token and length of each unit of a document. */
struct count {
    const struct eng_field_schema *schema;
    struct sx_str token;
    struct sx_buf work;
    uint32_t tf, len;
    uint32_t n, tf_of[8], len_of[8]; /* of the units so far */
};

static int count_token(void *arg, const struct eng_text_token *t)
{
    struct count *c = arg;

    c->len++;
    c->tf += t->text.n == c->token.n && memcmp(t->text.p, c->token.p, t->text.n) == 0;
    return 0;
}

static int count_value(void *arg, const struct sx_value *v)
{
    struct count *c = arg;

    if (v->num.type == SX_DOC_STR)
        assert_int_equal(eng_analyze(c->schema->analyzer, ENG_TEXT_DOC, sx_doc_str(v->doc),
                                     &c->work, count_token, c),
                         0);
    return 0;
}

static void end_count(struct count *c)
{
    if (c->len != 0) {
        assert_true(c->n < SX_COUNT(c->tf_of));
        c->tf_of[c->n] = c->tf;
        c->len_of[c->n++] = c->len;
    }
    c->tf = c->len = 0;
}

static int count_element(void *arg, const struct sx_value *v)
{
    struct count *c = arg;
    const struct eng_field_schema *s = c->schema;
    struct sx_path rest = {s->path.n - s->nested_steps, 0, s->path.steps + s->nested_steps};

    if (v->num.type == SX_DOC_OBJ) {
        (void)sx_path_each(&rest, v->doc, count_value, c);
        end_count(c);
    }
    return 0;
}

static void count_doc(struct count *c, struct sx_doc doc)
{
    struct sx_path array = {c->schema->nested_steps, 0, c->schema->path.steps};

    c->n = c->tf = c->len = 0;
    if (c->schema->nested_steps != 0)
        (void)sx_path_values(&array, doc, count_element, c);
    else
        (void)sx_path_each(&c->schema->path, doc, count_value, c);
    end_count(c);
}

/* 13 leading binary digits. */
static uint32_t leading(uint32_t n)
{
    uint32_t cut = 1;

    while (n / cut >= 8192)
        cut *= 2;
    return n / cut * cut;
}

static void ask_postings(const struct eng_field_schema *schema,
                         const struct eng_tx_part *part,
                         struct sx_str token,
                         const struct eng_bits *rows,
                         uint32_t lo,
                         uint32_t hi)
{
    static struct eng_tx_postings it;
    struct count c = {.schema = schema, .token = token};
    static struct {
        uint32_t known, n;
        uint32_t tf[8], len[8];
    } of[MAX_DOCS];
    struct eng_tx_docs docs_got = {0, 0}, docs_want = {0, 0};
    struct eng_tx_posting e = {0, 0, 0, 0};
    uint32_t df = 0, last = 0, d;
    int more = eng_tx_postings_begin(&it, part, token, rows);

    memset(of, 0, sizeof(of));
    sx_buf_init(&c.work, sx_mem_libc());
    for (uint32_t row = lo; row < hi; row++) {
        if (doc_of[row] == NO_DOC || (rows != NULL && !eng_bits_get(rows, row)))
            continue;
        d = doc_of[row];
        if (!of[d].known) {
            of[d].known = 1;
            count_doc(&c, docs[d]);
            of[d].n = c.n;
            memcpy(of[d].tf, c.tf_of, sizeof(c.tf_of));
            memcpy(of[d].len, c.len_of, sizeof(c.len_of));
        }
        for (uint32_t i = 0; i < of[d].n; i++) {
            docs_want.n++;
            docs_want.length += leading(of[d].len[i]);
            if (of[d].tf[i] == 0)
                continue;
            more = more && eng_tx_postings_next(&it, &e);
            assert_true(more);
            assert_true(df == 0 || e.unit > last);
            last = e.unit;
            df++;
            assert_int_equal(e.row, row);
            assert_int_equal(e.tf, of[d].tf[i]);
            assert_int_equal(e.len, leading(of[d].len[i]));
        }
    }
    assert_false(more && eng_tx_postings_next(&it, &e));
    assert_int_equal(eng_tx_df(part, token, rows), df);
    eng_tx_docs_of(part, rows, &docs_got);
    assert_int_equal(docs_got.n, docs_want.n);
    assert_int_equal(docs_got.length, docs_want.length);
    sx_buf_fini(&c.work);
}

/* One token in both forms, of all rows and of some. */
static void ask_scores(struct part *p, struct sx_str token)
{
    struct eng_tx_part open = {.open = p->open, .hi = p->end}, sealed = {.sealed = p->copy};
    struct eng_bits rows;

    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        rows.w[i] = fk_rnd(&seed) & fk_rnd(&seed);
    ask_postings(p->schema, &open, token, NULL, p->first, p->end);
    ask_postings(p->schema, &open, token, &rows, p->first, p->end);
    if (p->sealed.n == 0)
        return;
    ask_postings(p->schema, &sealed, token, NULL, p->seal_lo, p->seal_hi);
    ask_postings(p->schema, &sealed, token, &rows, p->seal_lo, p->seal_hi);
}

static void test_scores(void **state)
{
    (void)state;
    make_docs(150);
    for (uint32_t k = 0; k < SX_COUNT(kinds); k++) {
        struct part p;

        part_begin(&p, kinds[k].path, kinds[k].params);
        if ((p.schema->flags & ENG_FIELD_SCORING) != 0) {
            p.first = p.end = below(200);
            part_fill(&p, p.end + 300, 0);
            part_seal(&p, p.first + below(20), p.end - below(20));
            for (uint32_t i = 0; i < 8; i++)
                ask_scores(&p, fk_str(i != 0 ? words[below(SX_COUNT(words))] : "unheard"));
        }
        part_end(&p);
    }
    free_docs();
}

/* A document of n tokens: `rare` once, the rest `v` and `w`, or words of their own. */
static struct sx_doc long_doc(uint32_t n, int distinct, int nested)
{
    struct sx_buf b;
    struct sx_doc d;

    sx_buf_init(&b, sx_mem_libc());
    sx_buf_adds(&b, nested ? "{\"o\": [{\"t\": \"" : "{\"t\": \"");
    for (uint32_t i = 1; i < n; i++) {
        if (distinct)
            sx_buf_printf(&b, "w%u ", i);
        else
            sx_buf_adds(&b, i % 3 == 0 ? "v " : "w ");
    }
    sx_buf_adds(&b, nested ? "rare\"}]}" : "rare\"}");
    sx_buf_addc(&b, '\0');
    d = fk_doc(b.p);
    sx_buf_fini(&b);
    return d;
}

/* Documents with lengths and frequencies about every border of what is stored. */
static void test_long_documents(void **state)
{
    static const uint32_t lengths[] = {1,    2,    254,  255,  256,  257,   300,   4095,
                                       4096, 4097, 8191, 8192, 8193, 16387, 20001, 40003};

    (void)state;
    for (uint32_t n = 0; n < 1u << 20; n = n < 20000 ? n + 1 : n + n / 7 + below(100))
        assert_int_equal(eng_tx_len(eng_tx_len_pack(n)), leading(n));
    assert_int_equal(eng_tx_len(eng_tx_len_pack((1u << 27) - 1)), (1u << 27) - (1u << 14));
    assert_int_equal(eng_tx_len(eng_tx_len_pack(UINT32_MAX)), (1u << 27) - (1u << 14));
    for (uint32_t k = 0; k < SX_COUNT(kinds); k++) {
        int nested = kinds[k].path[0] == 'o';
        struct part p;

        part_begin(&p, kinds[k].path, kinds[k].params);
        if ((p.schema->flags & ENG_FIELD_SCORING) == 0) {
            part_end(&p);
            continue;
        }
        for (n_docs = 0; n_docs < SX_COUNT(lengths); n_docs++)
            docs[n_docs] = long_doc(lengths[n_docs], 0, nested);
        part_fill(&p, 40, 0);
        part_seal(&p, 0, 40);
        ask_scores(&p, fk_str("rare"));
        ask_scores(&p, fk_str("w"));
        ask_scores(&p, fk_str("v"));
        part_end(&p);
        free_docs();
    }
}

/* --- sizes --------------------------------------------------------------------------------- */

static const struct eng_leaf *leaf_of(struct part *p, uint32_t kind, const char *text)
{
    return fk_leaf(p->schema, fk_match_str(kind, fk_str(text)), &p->arena);
}

/* Postings that are bitmaps, in a part that begins within a chunk. */
static void test_bitmaps(void **state)
{
    static const uint32_t tried[] = {1, 3, 9, 12, 14};

    (void)state;
    n_foxes = 3;
    make_docs(120);
    n_foxes = 0;
    for (uint32_t k = 0; k < SX_COUNT(tried); k++) {
        uint32_t n_bitmaps;
        struct part p;

        part_begin(&p, kinds[tried[k]].path, kinds[tried[k]].params);
        p.first = p.end = 70 + below(500);
        part_fill(&p, p.end + 14000, 1);
        part_seal(&p, p.first + below(90), p.end - below(90));
        n_bitmaps = ((const struct eng_tx_head *)(const void *)p.copy)->n_bitmaps;
        assert_true(n_bitmaps > 0);
        for (uint32_t i = 0; i < 10; i++) {
            const struct eng_leaf *leaf = a_leaf(&p, 3);

            if (leaf != NULL)
                ask(&p, leaf);
        }
        if ((p.schema->flags & ENG_FIELD_SCORING) != 0)
            ask_scores(&p, fk_str("fox"));
        part_end(&p);
    }
    free_docs();
}

/* More tokens than codes of two bytes, and queries of more tokens than are looked for in slices. */
static void test_many_tokens(void **state)
{
    static const char *const params[] = {
        "{\"type\": \"text\", \"phrase_matching\": true}",
        "{\"type\": \"text\", \"nested\": \"o\", \"scoring\": true}",
        "{\"type\": \"text\"}",
    };
    struct sx_buf b;

    (void)state;
    sx_buf_init(&b, sx_mem_libc());
    for (uint32_t i = 0; i < 400; i++)
        sx_buf_printf(&b, "w%u ", 65000 + i);
    sx_buf_addc(&b, '\0');
    for (uint32_t k = 0; k < SX_COUNT(params); k++) {
        static const uint32_t all[] = {SX_MATCH_TEXT, SX_MATCH_PHRASE};
        struct part p;

        part_begin(&p, k == 1 ? "o[].t" : "t", params[k]);
        docs[0] = long_doc(66000, 1, k == 1);
        docs[1] = long_doc(66, 1, k == 1);
        docs[2] = long_doc(65200, 1, k == 1);
        n_docs = 3;
        for (; p.end < 6; p.end++) {
            doc_of[p.end] = p.end % n_docs;
            assert_int_equal(ops->open_add(p.open, p.end, docs[doc_of[p.end]]), 1);
        }
        ops->open_commit(p.open);
        part_seal(&p, 0, p.end);
        if (k != 2)
            assert_int_equal(((const struct eng_tx_head *)(const void *)p.copy)->width, 4);
        for (uint32_t i = 0; i < SX_COUNT(all); i++) {
            struct eng_bits want, yes = {{0}}, maybe = {{0}}, sealed = {{0}}, sealed_maybe = {{0}};
            const struct eng_leaf *leaf = leaf_of(&p, all[i], b.p);

            if (leaf == NULL) {
                assert_true(all[i] == SX_MATCH_PHRASE && k != 0);
                continue;
            }
            /* Too long a query is narrowed down. */
            ops->open_mask(p.open, leaf, 0, p.end, &yes, &maybe);
            ops->mask(p.schema, p.copy, leaf, &sealed, &sealed_maybe);
            expected(leaf, 0, p.end, &want);
            assert_int_equal(eng_bits_count(&yes, 0, MAX_ROWS), 0);
            assert_int_equal(eng_bits_count(&sealed, 0, MAX_ROWS), 0);
            same_bits(&maybe, &sealed_maybe, "narrowed");
            for (uint32_t row = 0; row < p.end; row++) {
                assert_true(!eng_bits_get(&want, row) || eng_bits_get(&maybe, row));
                assert_true(!eng_bits_get(&maybe, row) || doc_of[row] != 1);
            }
            ask_tally(&p, leaf, p.copy, 0, p.end);
        }
        ask(&p, leaf_of(&p, SX_MATCH_TEXT_ANY, b.p));
        ask(&p, leaf_of(&p, SX_MATCH_TEXT, "w65500 w9 rare"));
        if (k == 0) {
            ask(&p, leaf_of(&p, SX_MATCH_PHRASE, "w65530 w65531 w65532"));
            ask(&p, leaf_of(&p, SX_MATCH_PHRASE, "w65530 w65532"));
            ask(&p, leaf_of(&p, SX_MATCH_PHRASE, "w65199 rare"));
        }
        part_end(&p);
        free_docs();
    }
    sx_buf_fini(&b);
}

static void test_ends_early(void **state)
{
    struct part p;
    uint32_t row = 0;

    (void)state;
    part_begin(&p, "t", "{\"type\": \"text\", \"phrase_matching\": true}");
    docs[0] = long_doc(40000, 0, 0);
    n_docs = 1;
    while (!ops->open_is_full(p.open) && row < 1000) {
        assert_int_equal(ops->open_add(p.open, row++, docs[0]), 1);
        ops->open_commit(p.open);
    }
    assert_true(row > 2 && row < 100);
    assert_true(ops->open_bytes(p.open) >= 4ull * 40000 * row);
    part_end(&p);
    free_docs();
}

/* Phrases that begin like their middle, in texts of two words. */
static void test_overlapping_phrases(void **state)
{
    struct part p;
    uint32_t hits = 0;

    (void)state;
    for (n_docs = 0; n_docs < 200; n_docs++) {
        char json[256] = "{\"t\": \"";

        for (uint32_t n = below(24); n > 0; n--)
            strcat(json, below(2) ? "a " : "b ");
        strcat(json, "\"}");
        docs[n_docs] = fk_doc(json);
    }
    part_begin(&p, "t", "{\"type\": \"text\", \"phrase_matching\": true}");
    part_fill(&p, 300, 1);
    part_seal(&p, 0, 300);
    for (uint32_t i = 0; i < 200; i++) {
        char text[64] = "";

        for (uint32_t n = 2 + below(8); n > 0; n--)
            strcat(text, below(2) ? "a " : "b ");
        hits += (uint32_t)ask(
            &p, leaf_of(&p, SX_MATCH_PHRASE, sx_arena_strdup(&p.arena, text, strlen(text))));
    }
    assert_true(hits > 50);
    part_end(&p);
    free_docs();
}

/* Rows without strings between those with some cost nothing, nor do they shift them. */
static void test_sparse_rows(void **state)
{
    struct part p;

    (void)state;
    make_docs(60);
    for (uint32_t k = 0; k < 2; k++) {
        part_begin(&p, kinds[k == 0 ? 3 : 14].path, kinds[k == 0 ? 3 : 14].params);
        fk_doc_free(&docs[0]);
        docs[0] = fk_doc("{\"t\": 5, \"o\": [{\"t\": [7, []]}, {}]}");
        for (uint32_t row = 0; row < MAX_ROWS; row++) {
            doc_of[row] = row % 9973 == 77 ? 1 + below(59) : below(2) ? 0 : NO_DOC;
            if (doc_of[row] != NO_DOC && row > 3 * 9973)
                assert_int_equal(
                    ops->open_add(p.open, row, docs[doc_of[row]]),
                    sx_path_each(&p.schema->path, docs[doc_of[row]], see_string, NULL));
            else
                doc_of[row] = NO_DOC;
        }
        ops->open_commit(p.open);
        p.end = MAX_ROWS;
        part_seal(&p, 0, MAX_ROWS);
        for (uint32_t i = 0; i < 10; i++) {
            const struct eng_leaf *leaf = a_leaf(&p, 2);

            if (leaf != NULL)
                ask(&p, leaf);
        }
        ask_scores(&p, fk_str("fox"));
        part_end(&p);
    }
    free_docs();
}

/* --- damage, short memory ------------------------------------------------------------------- */

/* Every question, for the sanitizers. */
static void ask_anything(struct part *p, const uint8_t *bytes, const struct eng_leaf **leaves)
{
    struct eng_tx_part part = {.sealed = bytes};
    static struct eng_tx_postings it;
    struct eng_tx_docs sum = {0, 0};
    struct eng_tx_posting e;
    struct eng_bits rows;

    memset(&rows, 0x5a, sizeof(rows));
    for (uint32_t i = 0; leaves[i] != NULL; i++) {
        const struct eng_prep_tokens *prep = leaves[i]->prep;
        struct eng_bits yes = {{0}}, maybe = {{0}};
        uint64_t len[64] = {0};
        struct eng_tally t = {.n = prep->n < 64 ? prep->n : 64, .len = len};

        ops->mask(p->schema, bytes, leaves[i], &yes, &maybe);
        ops->tally(p->schema, bytes, NULL, 0, leaves[i], &t);
        if ((p->schema->flags & ENG_FIELD_SCORING) == 0)
            continue;
        (void)eng_tx_df(&part, prep->tokens[0], &rows);
        if (eng_tx_postings_begin(&it, &part, prep->tokens[0], &rows)) {
            while (eng_tx_postings_next(&it, &e))
                assert_true(e.row < SX_CHUNK_ROWS);
        }
    }
    if ((p->schema->flags & ENG_FIELD_SCORING) != 0)
        eng_tx_docs_of(&part, &rows, &sum);
}

/* What does not pass the check is refused; what passes leads nowhere outside. */
static void test_damage(void **state)
{
    (void)state;
    make_docs(80);
    for (uint32_t k = 0; k < SX_COUNT(kinds); k++) {
        const struct eng_leaf *leaves[9];
        uint32_t n = 0, refused = 0;
        struct part p;
        uint8_t *bytes;

        part_begin(&p, kinds[k].path, kinds[k].params);
        p.first = p.end = below(100);
        part_fill(&p, p.end + (k % 4 == 1 ? 9000 : 60), 1);
        part_seal(&p, p.first, p.end);
        for (uint32_t i = 0; i < 30 && n < 8; i++) {
            leaves[n] = a_leaf(&p, 4);
            n += leaves[n] != NULL;
        }
        leaves[n] = NULL;
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t len = p.sealed.n, at = below(3) == 0 ? below(64) : below((uint32_t)len);

            if (below(6) == 0)
                len = below(2) ? len - 8 * (1 + below(4)) : below((uint32_t)len + 1);
            bytes = aligned_alloc(64, (len + 63) & ~63ull);
            memcpy(bytes, p.copy, len);
            /* Exactly as long, so that a read behind it is seen. */
            bytes = realloc(bytes, len != 0 ? len : 1);
            if (at + 4 <= len && below(3) == 0)
                memset(bytes + at, below(2) ? 0xff : 0, 4);
            else if (at < len)
                bytes[at] ^= (uint8_t)(1u << below(8));
            if (ops->check(p.schema, bytes, len) == 0)
                ask_anything(&p, bytes, leaves);
            else
                refused++;
            free(bytes);
        }
        assert_true(refused > 50);
        part_end(&p);
    }
    free_docs();
}

/* Adding, sealing and asking with each allocation failing once: nothing is half done. */
static void test_short_memory(void **state)
{
    (void)state;
    make_docs(60);
    for (uint32_t k = 0; k < SX_COUNT(kinds); k += 1 + below(3)) {
        uint32_t hi = 40, done = 0;
        struct part p;

        part_begin(&p, kinds[k].path, kinds[k].params);
        for (int64_t left = 0; done < hi; left = (left + 1) % 40) {
            uint32_t row = done;
            int rc = 0;

            fk_memory_left = left;
            while (row < hi && rc >= 0) {
                doc_of[row] = below(n_docs);
                rc = ops->open_add(p.open, row, docs[doc_of[row]]);
                row += rc >= 0;
            }
            fk_memory_left = -1;
            if (rc < 0) {
                /* The row that failed is forgotten, or all of the operation. */
                assert_int_equal(rc, SX_ENOMEM);
                row = below(2) ? row : done;
                ops->open_cut(p.open, row);
            }
            ops->open_commit(p.open);
            done = row;
        }
        p.end = done;
        for (int64_t left = 0;; left++) {
            int rc;

            p.sealed.n = 0;
            fk_memory_left = left;
            rc = ops->seal(p.open, 0, hi, &p.sealed);
            fk_memory_left = -1;
            if (rc == 0)
                break;
            assert_int_equal(rc, SX_ENOMEM);
        }
        part_seal(&p, 0, hi);
        for (uint32_t i = 0; i < 10; i++) {
            const struct eng_leaf *leaf = a_leaf(&p, 8);
            struct eng_bits want, yes = {{0}}, maybe = {{0}};

            if (leaf == NULL)
                continue;
            ask(&p, leaf);
            fk_memory_left = 0;
            ops->open_mask(p.open, leaf, 0, hi, &yes, &maybe);
            fk_memory_left = -1;
            expected(leaf, 0, hi, &want);
            for (uint32_t row = 0; row < hi; row++) {
                assert_true(!eng_bits_get(&yes, row) || eng_bits_get(&want, row));
                assert_true(eng_bits_get(&yes, row) || eng_bits_get(&maybe, row) ||
                            !eng_bits_get(&want, row));
            }
        }
        part_end(&p);
    }
    for (int64_t left = 0;; left++) {
        struct eng_field_schema *s = fk_schema("t", "{\"type\": \"text\"}");
        void *open;

        fk_memory_left = left;
        open = ops->open_create(&fk_conf, s);
        fk_memory_left = -1;
        if (open != NULL)
            ops->open_destroy(open);
        eng_field_schema_destroy(&fk_mem, s);
        if (open != NULL)
            break;
    }
    free_docs();
}

/* --- readers beside the writer ---------------------------------------------------------------- */

#define THREADS 3u
struct reader {
    struct part *p;
    const struct eng_leaf **leaves;
    _Atomic uint32_t *end;
    _Atomic int *is_over;
    uint64_t asked, wrong;
};

static void *reader_run(void *arg)
{
    struct reader *r = arg;
    const struct sx_epoch *epoch = fk_eng.epoch;
    static _Thread_local struct eng_tx_postings it;
    struct eng_match_scratch s;
    struct eng_tx_posting e;

    eng_match_scratch_init(&s, sx_mem_libc());
    for (uint32_t i = 0; !atomic_load(r->is_over) || i < 20; i++) {
        const struct eng_leaf *leaf = r->leaves[i % 6];
        struct eng_bits yes = {{0}}, maybe = {{0}};
        struct eng_tx_part part = {.open = r->p->open};
        uint32_t end;

        epoch->enter();
        end = atomic_load_explicit(r->end, memory_order_acquire);
        ops->open_mask(r->p->open, leaf, 0, end, &yes, &maybe);
        part.hi = end;
        for (uint32_t row = end > 200 ? end - 200 : 0; row < end; row++) {
            if (doc_of[row] != NO_DOC && eng_bits_get(&yes, row) != doc_fits(leaf, row, &s))
                r->wrong++;
        }
        if (eng_tx_postings_begin(&it, &part,
                                  ((const struct eng_prep_tokens *)leaf->prep)->tokens[0], NULL)) {
            while (eng_tx_postings_next(&it, &e))
                r->wrong += e.row >= end || e.tf == 0 || e.len < e.tf;
        }
        r->asked++;
        epoch->leave();
    }
    eng_match_scratch_fini(&s);
    return NULL;
}

static void test_beside_readers(void **state)
{
    static const uint32_t tried[] = {3, 14};

    (void)state;
    make_docs(100);
    for (uint32_t k = 0; k < SX_COUNT(tried); k++) {
        const struct eng_leaf *leaves[6];
        struct reader readers[THREADS];
        pthread_t threads[THREADS];
        _Atomic uint32_t end = 0;
        _Atomic int is_over = 0;
        struct part p;
        uint32_t n = 0;

        part_begin(&p, kinds[tried[k]].path, kinds[tried[k]].params);
        while (n < 6) {
            leaves[n] = a_leaf(&p, 3);
            n += leaves[n] != NULL;
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            readers[i] = (struct reader){&p, leaves, &end, &is_over, 0, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, reader_run, &readers[i]), 0);
        }
        for (uint32_t row = 0; row < 3000;) {
            uint32_t from = row, n_rows = 1 + below(30);

            for (; row < from + n_rows; row++) {
                doc_of[row] = below(9) == 0 ? NO_DOC : below(n_docs);
                if (doc_of[row] != NO_DOC)
                    (void)ops->open_add(p.open, row, docs[doc_of[row]]);
            }
            if (below(4) == 0) {
                ops->open_cut(p.open, from);
                row = from;
            }
            ops->open_commit(p.open);
            atomic_store_explicit(&end, row, memory_order_release);
        }
        atomic_store(&is_over, 1);
        for (uint32_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_true(readers[i].asked > 0);
            assert_int_equal(readers[i].wrong, 0);
        }
        part_end(&p);
    }
    free_docs();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_documents),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_long_documents),
        cmocka_unit_test(test_bitmaps),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_ends_early),
        cmocka_unit_test(test_overlapping_phrases),
        cmocka_unit_test(test_sparse_rows),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_beside_readers),
    };
    const char *text = getenv("SX_TEST_SEED");
    struct timespec t;
    int rc;

    clock_gettime(CLOCK_REALTIME, &t);
    seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)t.tv_nsec;
    print_message("seed %llu (SX_TEST_SEED)\n", (unsigned long long)seed);
    fk_start(NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    fk_stop();
    return rc;
}
