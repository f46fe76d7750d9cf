/* Text analysis: tokenizers and their query forms, steps, choices, errors, memory, threads.
 *
 * What every code point, stop word and stem is like is compared with another implementation in
 * tests/text; here are the rules between them, a slow second splitter, and what can go wrong. */
/* needs: plugins/engine/text_*.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "sextant/sx_json.h"
#include "sextant/sx_plugin.h"
#include "sextant/sx_text.h"

#include "../../plugins/engine/text_priv.h"
#include "../../plugins/engine/text_tables.h"

/* --- memory that runs out ----------------------------------------------------------------- */

static int64_t memory_left = -1; /* allocations until none succeeds; -1 = no end */
static _Atomic int64_t n_live;

static int memory_short(void)
{
    return memory_left >= 0 && (memory_left == 0 || memory_left-- == 0);
}

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (memory_short())
        return NULL;
    n_live++;
    return malloc(n);
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = mem_alloc(self, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

static void *mem_resize(const struct sx_mem *self SX_UNUSED, void *p, uint64_t n)
{
    return memory_short() ? NULL : realloc(p, n);
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    n_live--;
    free(p);
}

static const struct sx_mem mem = {.size = sizeof(mem),
                                  .alloc = mem_alloc,
                                  .zalloc = mem_zalloc,
                                  .resize = mem_resize,
                                  .release = mem_release};

/* --- helpers ------------------------------------------------------------------------------ */

static struct sx_arena arena;

static int setup(void **state SX_UNUSED)
{
    sx_arena_init(&arena, sx_mem_libc(), 0);
    return 0;
}

static int teardown(void **state SX_UNUSED)
{
    sx_arena_fini(&arena);
    assert_int_equal(n_live, 0);
    return 0;
}

static struct sx_str str(const char *s)
{
    return (struct sx_str){s, (uint32_t)strlen(s), 0};
}

static struct sx_doc doc(const char *json)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, strlen(json), &arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(sx_json_doc(&j, &b), 0);
    d = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    assert_non_null(d.p);
    return d;
}

static struct eng_analyzer *analyzer(const char *params)
{
    struct eng_analyzer *a = NULL;
    struct sx_err err = SX_ERR_INIT;
    struct sx_doc d = {NULL, 0, 0};

    if (params != NULL)
        d = doc(params);
    if (eng_analyzer_create(&mem, NULL, d, &a, &err) != 0)
        fail_msg("%s: %s", params, err.msg);
    return a;
}

/* Tokens as "a b c"; a compound in brackets, an empty token as a dash. Places must count up. */
struct line {
    struct sx_buf text;
    uint32_t place;
};

static int add_token(void *arg, const struct eng_text_token *t)
{
    struct line *l = arg;

    if (l->text.n != 0)
        sx_buf_addc(&l->text, ' ');
    if (!t->is_compound)
        assert_int_equal(t->position, l->place++);
    sx_buf_printf(&l->text, t->is_compound ? "[%.*s]" : "%.*s", (int)t->text.n,
                  t->text.n == 0 ? "" : t->text.p);
    if (t->text.n == 0)
        sx_buf_addc(&l->text, '-');
    return 0;
}

static const char *tokens_of(const struct eng_analyzer *a, int mode, struct sx_str text)
{
    struct line l = {.place = 0};
    struct sx_buf work;
    char *out;

    sx_buf_init(&work, &mem);
    sx_buf_init(&l.text, sx_mem_libc());
    assert_int_equal(eng_analyze(a, mode, text, &work, add_token, &l), 0);
    out = sx_arena_strdup(&arena, l.text.n == 0 ? "" : l.text.p, l.text.n);
    sx_buf_fini(&l.text);
    sx_buf_fini(&work);
    return out;
}

static void check(const char *params, int mode, const char *text, const char *want)
{
    struct eng_analyzer *a = analyzer(params);

    assert_string_equal(tokens_of(a, mode, str(text)), want);
    eng_analyzer_destroy(a);
}

/* --- tokenizers --------------------------------------------------------------------------- */

static void test_defaults(void **state SX_UNUSED)
{
    check(NULL, ENG_TEXT_DOC, "The Quick-Brown Fox", "the quick brown fox");
    check(NULL, ENG_TEXT_DOC, "it's foo_bar 3.14 a\xcc\x81 x\xc2\xb2",
          "it s foo bar 3 14 a x\xc2\xb2");
    check(NULL, ENG_TEXT_QUERY, " \t--\n", "");
    check(NULL, ENG_TEXT_DOC, "", "");
    check("{}", ENG_TEXT_PHRASE, "\xd0\x9c\xd0\x98\xd0\xa0!\xe6\x97\xa5\xe6\x9c\xac",
          "\xd0\xbc\xd0\xb8\xd1\x80 \xe6\x97\xa5\xe6\x9c\xac");
    check("{\"tokenizer\": \"word\", \"lowercase\": null, \"stemmer\": null, \"other\": 5}",
          ENG_TEXT_DOC, "Running", "running");
    check("{\"lowercase\": false}", ENG_TEXT_DOC, "Quick Fox", "Quick Fox");
}

static void test_whitespace(void **state SX_UNUSED)
{
    const char *p = "{\"tokenizer\": \"whitespace\"}";

    check(p, ENG_TEXT_DOC, "  It's  foo-bar.\n\nX\xc2\xa0Y\xe3\x80\x80Z\x1fz ",
          "it's foo-bar. x y z\x1fz");
    check(p, ENG_TEXT_DOC, "one", "one");
    check(p, ENG_TEXT_DOC, "\xe2\x80\xa8", "");
}

static void test_prefix(void **state SX_UNUSED)
{
    const char *p = "{\"tokenizer\": \"prefix\", \"min_token_len\": 2, \"max_token_len\": 4}";

    check(p, ENG_TEXT_DOC, "Quick x fox", "qu qui quic fo fox");
    check(p, ENG_TEXT_QUERY, "Quick x fo", "quic fo");
    check(p, ENG_TEXT_BM25_QUERY, "Quick x fo", "quic fo");
    check(p, ENG_TEXT_PHRASE, "Quick x", "qu qui quic");
    check("{\"tokenizer\": \"prefix\"}", ENG_TEXT_DOC, "\xc3\xa9t\xc3\xa9",
          "\xc3\xa9 \xc3\xa9t \xc3\xa9t\xc3\xa9");
    check("{\"tokenizer\": \"prefix\", \"min_token_len\": 0}", ENG_TEXT_DOC, "ab", "- a ab");
    check("{\"tokenizer\": \"prefix\", \"max_token_len\": 0}", ENG_TEXT_DOC, "ab", "");
    check("{\"tokenizer\": \"prefix\", \"max_token_len\": 0}", ENG_TEXT_QUERY, "ab", "-");
    check("{\"tokenizer\": \"prefix\", \"min_token_len\": 3, \"max_token_len\": 2}", ENG_TEXT_DOC,
          "abcd", "");
    /* Stop words count for documents only. */
    p = "{\"tokenizer\": \"prefix\", \"min_token_len\": 2, \"stopwords\": \"english\"}";
    check(p, ENG_TEXT_DOC, "the fox", "fo fox");
    check(p, ENG_TEXT_PHRASE, "the fox", "fo fox");
    check(p, ENG_TEXT_QUERY, "the fox", "the fox");
}

/* A word without end gives no prefixes without end, but is there itself. */
static void test_prefix_of_a_long_word(void **state SX_UNUSED)
{
    struct eng_analyzer *a = analyzer("{\"tokenizer\": \"prefix\"}");
    char *text = sx_arena_alloc(&arena, 5000);
    const char *out;

    memset(text, 'a', 5000);
    out = tokens_of(a, ENG_TEXT_DOC, (struct sx_str){text, 5000, 0});
    assert_int_equal(strlen(out), 1024 * 1025 / 2 + 1024 + 5000);
    out = tokens_of(a, ENG_TEXT_DOC, (struct sx_str){text, 1024, 0});
    assert_int_equal(strlen(out), 1024 * 1025 / 2 + 1023);
    eng_analyzer_destroy(a);
}

static void test_code(void **state SX_UNUSED)
{
    static const char *const cases[][2] = {
        {"0xFF 2FastCar 1_000 1foo_bar 3.14f 1e-5", "0xff 2fastcar 1000 1foobar 3 14f 1e 5"},
        {"__init__", "init"},
        {"getUser", "get user [getuser]"},
        {"get_user_name", "get user name [getusername]"},
        {"getUserName", "get user name [getusername]"},
        {"v2Beta B2B", "v2 beta [v2beta] b2 b [b2b]"},
        {"HTTPServer ABCdef fooBAR", "http server [httpserver] ab cdef [abcdef] foo bar [foobar]"},
        {"sha256sum utf8 a1b2c3", "sha256sum utf8 a1b2c3"},
        {"x86_64 v1_2", "x86 64 [x8664] v1 2 [v12]"},
        {"kebab-case foo.bar it's", "kebab case foo bar it s"},
        {"fooBar_baz", "foo bar [foobar] baz [foobarbaz]"},
        {"_foo_ __fooBar__", "foo foo bar [foobar]"},
        {"URLs getURLsFor IDs2 URLsmith ABsC",
         "urls get urls for [geturlsfor] ids2 ur lsmith [urlsmith] abs c [absc]"},
        {"HTTP2server ABC123Def", "http2server abc123 def [abc123def]"},
        {"_ __ ___", ""},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"
         "Code",
         "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e code [\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"
         "code]"}};

    for (uint32_t i = 0; i < SX_COUNT(cases); i++)
        check("{\"tokenizer\": \"code\"}", ENG_TEXT_DOC, cases[i][0], cases[i][1]);
    check("{\"tokenizer\": \"code\"}", ENG_TEXT_BM25_QUERY, "getUserName",
          "get user name [getusername]");
    check("{\"tokenizer\": \"code\"}", ENG_TEXT_QUERY, "getUserName", "get user name");
    check("{\"tokenizer\": \"code\"}", ENG_TEXT_PHRASE, "call getUserName of",
          "call get user name of");
    check("{\"tokenizer\": \"code\", \"lowercase\": false}", ENG_TEXT_DOC, "getUser_x",
          "get User x");
    check("{\"tokenizer\": \"code\", \"max_token_len\": 5}", ENG_TEXT_DOC, "getUser", "get user");
    check("{\"tokenizer\": \"code\", \"stopwords\": {\"custom\": [\"getuser\", \"of\"]}}",
          ENG_TEXT_DOC, "getUser OfX", "get user x [ofx]");
}

/* --- steps -------------------------------------------------------------------------------- */

static void test_order_of_steps(void **state SX_UNUSED)
{
    /* Folding is before lower case; entries of lists are not folded. */
    check("{\"ascii_folding\": true, \"stopwords\": {\"custom\": [\"\xc3\xa9\"]}}", ENG_TEXT_DOC,
          "\xc3\x89 \xc3\x86on stra\xc3\x9f"
          "e",
          "e aeon strasse");
    check("{\"ascii_folding\": true, \"lowercase\": false}", ENG_TEXT_DOC,
          "\xc3\x9eor \xe2\x82\xac\xef\xbc\xa1", "THor A");
    /* Custom words are lowered with the text, or compared as they are. */
    check("{\"stopwords\": {\"custom\": [\"FOO\", \"foo\", \"B\xc3\x84R\"]}}", ENG_TEXT_DOC,
          "Foo b\xc3\xa4r baz", "baz");
    check("{\"stopwords\": {\"custom\": [\"Foo\"]}, \"lowercase\": false}", ENG_TEXT_DOC,
          "Foo foo FOO", "foo FOO");
    check("{\"stopwords\": {\"custom\": [\"\"]}}", ENG_TEXT_DOC, "a", "a");
    /* Stop words are compared before stemming, lengths after it. */
    check(
        "{\"stopwords\": \"en\", \"stemmer\": {\"type\": \"snowball\", \"language\": \"english\"}}",
        ENG_TEXT_DOC, "The cats are running and DOES it", "cat run");
    check("{\"stopwords\": {\"languages\": [\"english\", \"de\"], \"custom\": null}}", ENG_TEXT_DOC,
          "the und fox der", "fox");
    check("{\"max_token_len\": 3, \"stemmer\": {\"type\": \"snowball\", \"language\": \"en\"}}",
          ENG_TEXT_DOC, "running quick", "run");
    check("{\"min_token_len\": 3}", ENG_TEXT_DOC, "ab \xc3\xa9t\xc3\xa9 \xc3\xa9t abc",
          "\xc3\xa9t\xc3\xa9 abc");
    check("{\"min_token_len\": 3, \"max_token_len\": 2}", ENG_TEXT_DOC, "a ab abc", "");
    check("{\"max_token_len\": 0}", ENG_TEXT_DOC, "a", "");
    check("{\"stemmer\": {\"type\": \"none\"}, \"stopwords\": {}}", ENG_TEXT_DOC, "the runs",
          "the runs");
}

static void test_lower_case(void **state SX_UNUSED)
{
    /* dotted I; sigma at the end of a word, alone, before an apostrophe, inside */
    check(NULL, ENG_TEXT_DOC, "\xc4\xb0stanbul", "i\xcc\x87stanbul");
    check(
        "{\"tokenizer\": \"whitespace\"}", ENG_TEXT_DOC,
        "\xce\xa3\xce\xa3 \xce\xa3 \xce\x91\xce\xa3. \xce\x91\xce\xa3'\xce\x91 \xce\x91'\xce\xa3",
        "\xcf\x83\xcf\x82 \xcf\x83 \xce\xb1\xcf\x82. \xce\xb1\xcf\x83'\xce\xb1 \xce\xb1'\xcf\x82");
}

/* Every letter that libc knows another lower case of. */
static void test_lower_case_of_libc(void **state SX_UNUSED)
{
    uint32_t n = 0;

    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        fail_msg("no locale C.UTF-8");
    for (uint32_t c = 1; c < 0x110000; c++) {
        uint32_t lower = (uint32_t)towlower((wint_t)c);
        char in[8], out[ENG__TEXT_ROOM(8)];
        const char *p = out;
        mbstate_t state8;
        struct sx_str s = {in, 0, 0};
        char *end;

        if (lower == c || c == 0x130)
            continue;
        memset(&state8, 0, sizeof(state8));
        s.n = (uint32_t)wcrtomb(in, (wchar_t)c, &state8);
        end = eng__text_lower(s, out);
        if (sx_utf8_next(&p, end) != lower || p != end)
            fail_msg("U+%04X is not lowered to U+%04X", c, lower);
        assert_true(eng__text_class(c) != 0 || (c >= 0x24b6 && c <= 0x24cf));
        n++;
    }
    assert_true(n > 1300);
}

static void test_folding_table(void **state SX_UNUSED)
{
    uint32_t n = 0;

    for (uint32_t c = 0x80; c < 0x10000; c++) {
        char in[3] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)),
                      (char)(0x80 | (c & 0x3f))};
        char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        struct sx_str s = c < 0x800 ? (struct sx_str){two, 2, 0} : (struct sx_str){in, 3, 0};
        char out[ENG__TEXT_ROOM(3)];
        char *end;

        if (c >= 0xd800 && c < 0xe000)
            continue;
        end = eng__text_fold(s, out);
        if ((size_t)(end - out) == s.n && memcmp(out, s.p, s.n) == 0)
            continue;
        for (char *p = out; p < end; p++)
            assert_in_range(*p, 0x21, 0x7e);
        n++;
    }
    assert_int_equal(n, 1241);
}

/* --- another splitter --------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t random_text(char *out, uint32_t room)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "Z",
                                         "Q",
                                         "7",
                                         " ",
                                         " ",
                                         "-",
                                         "_",
                                         "'",
                                         "\n",
                                         "\xc3\xa9",
                                         "\xc3\x89",
                                         "\xd0\xa9",
                                         "\xcc\x81",
                                         "\xe2\x80\x94",
                                         "\xe6\x97\xa5",
                                         "\xc2\xa0",
                                         "\xf0\x9d\x90\x80",
                                         "\xf0\x9f\x99\x82",
                                         "\xce\xa3",
                                         "\xc4\xb0",
                                         "\xc3\x9f"};
    uint32_t n = 0, want = (uint32_t)(next_random() % room);

    while (n + 4 < want) {
        const char *p = pieces[next_random() % SX_COUNT(pieces)];

        memcpy(out + n, p, strlen(p));
        n += (uint32_t)strlen(p);
    }
    return n;
}

/* The same by a code point at a time, without tables of bytes or reuse. */
static const char *slow_tokens(struct sx_str text, int is_word)
{
    struct sx_buf out, word;
    const char *p = text.p, *end = text.p + text.n;
    char *result;

    sx_buf_init(&out, sx_mem_libc());
    sx_buf_init(&word, sx_mem_libc());
    for (;;) {
        const char *from = p;
        uint32_t c = p < end ? sx_utf8_next(&p, end) : ' ';

        if (is_word ? sx_is_alnum(c) : !eng__text_is_space(c)) {
            sx_buf_add(&word, from, (uint64_t)(p - from));
            continue;
        }
        if (word.n != 0) {
            char *at;

            if (out.n != 0)
                sx_buf_addc(&out, ' ');
            at = sx_buf_reserve(&out, ENG__TEXT_ROOM(word.n));
            out.n +=
                (uint64_t)(eng__text_lower((struct sx_str){word.p, (uint32_t)word.n, 0}, at) - at);
            word.n = 0;
        }
        if (from == end)
            break;
    }
    result = sx_arena_strdup(&arena, out.n == 0 ? "" : out.p, out.n);
    sx_buf_fini(&out);
    sx_buf_fini(&word);
    return result;
}

static void test_random_texts(void **state SX_UNUSED)
{
    struct eng_analyzer *word = analyzer(NULL);
    struct eng_analyzer *white = analyzer("{\"tokenizer\": \"whitespace\"}");
    char text[400];

    /* Another one each run; TEXT_SEED=n runs one again. */
    seed = (uint64_t)(uintptr_t)text | 1;
    if (getenv("TEXT_SEED") != NULL)
        seed = strtoull(getenv("TEXT_SEED"), NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 3000; i++) {
        struct sx_str s = {text, random_text(text, sizeof(text)), 0};

        assert_string_equal(tokens_of(word, ENG_TEXT_DOC, s), slow_tokens(s, 1));
        assert_string_equal(tokens_of(white, ENG_TEXT_QUERY, s), slow_tokens(s, 0));
        sx_arena_reset(&arena);
    }
    eng_analyzer_destroy(word);
    eng_analyzer_destroy(white);
}

static int check_token(void *arg, const struct eng_text_token *t)
{
    uint64_t *bytes = arg;

    for (uint32_t i = 0; i < t->text.n; i++)
        *bytes += (unsigned char)t->text.p[i] != 0;
    return 0;
}

/* Bytes that are no UTF-8 do no harm, whatever is done with them. */
static void test_any_bytes(void **state SX_UNUSED)
{
    static const char *const languages[] = {"arabic", "danish",  "finnish",
                                            "french", "russian", "greek"};
    static const char *const tokenizers[] = {"word", "whitespace", "prefix", "code"};
    unsigned char text[60];
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < SX_COUNT(languages) * SX_COUNT(tokenizers); i++) {
        const char *params =
            sx_arena_printf(
                &arena,
                "{\"tokenizer\": \"%s\", \"ascii_folding\": true, \"stemmer\": {\"type\": "
                "\"snowball\", \"language\": \"%s\"}, \"stopwords\": \"greek\"}",
                tokenizers[i % SX_COUNT(tokenizers)], languages[i / SX_COUNT(tokenizers)])
                .p;
        struct eng_analyzer *a = analyzer(params);
        struct sx_buf work;

        sx_buf_init(&work, &mem);
        seed = 88172645463325252u + i;
        for (uint32_t k = 0; k < 500; k++) {
            uint32_t n = (uint32_t)(next_random() % sizeof(text));

            for (uint32_t b = 0; b < n; b++)
                text[b] = (unsigned char)(next_random() >> 20 | (next_random() & 0xc0));
            assert_int_equal(eng_analyze(a, (int)(k % 4), (struct sx_str){(const char *)text, n, 0},
                                         &work, check_token, &bytes),
                             0);
        }
        sx_buf_fini(&work);
        eng_analyzer_destroy(a);
    }
    assert_true(bytes > 100000);
}

static int stop_at(void *arg, const struct eng_text_token *t SX_UNUSED)
{
    int *left = arg;

    return --*left == 0 ? 77 : 0;
}

/* Every tokenizer stops when the sink says so, and hands its answer back. */
static void test_sink_stops(void **state SX_UNUSED)
{
    static const char *const tokenizers[] = {"word", "whitespace", "prefix", "code"};

    for (uint32_t i = 0; i < SX_COUNT(tokenizers); i++) {
        const char *params = sx_arena_printf(&arena, "{\"tokenizer\": \"%s\"}", tokenizers[i]).p;
        struct eng_analyzer *a = analyzer(params);
        struct sx_buf work;

        sx_buf_init(&work, &mem);
        for (int n = 1; n <= 5; n++) {
            int left = n;

            assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, str("One twoThree four_Five six"), &work,
                                         stop_at, &left),
                             n <= 4 || i != 1 ? 77 : 0);
        }
        sx_buf_fini(&work);
        eng_analyzer_destroy(a);
    }
}

/* --- stems and stop words ----------------------------------------------------------------- */

/* Where the library's algorithms are newer than those the stems of vectors come from. */
static void test_stems(void **state SX_UNUSED)
{
    static const char *const cases[][3] = {
        {"english", "running runs generously", "run run generous"},
        {"russian",
         "\xd0\xb0\xd0\xba\xd1\x82\xd1\x91\xd1\x80\xd0\xb0 \xd0\xb5\xd0\xbb\xd0\xb0\xd1\x8f",
         "\xd0\xb0\xd0\xba\xd1\x82\xd1\x91\xd1\x80 \xd0\xb5\xd0\xbb"},
        {"french",
         "aigu\xc3\xab ambigu\xc3\xab ambigu\xc3\xabs contigu\xc3\xab archa\xc3\xafque ma\xc3\xafs "
         "no\xc3\xabl",
         "aigu\xc3\xab ambigu ambigu contigu archa\xc3\xafqu ma\xc3\xaf no\xc3\xabl"},
        {"danish", "a000 b11 kattene", "a00 b11 kat"},
        {"finnish", "a000 azerbaid\xc5\xbe\x61n talossa", "a00 azerbaid\xc5\xbe talo"},
        {"turkish", "lar\xc4\xb1 kitaplar", "- kitap"},
        {"arabic", "a.b\xd8\x8c x!", "ab x"}};

    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        const char *params = sx_arena_printf(&arena,
                                             "{\"tokenizer\": \"whitespace\", \"stemmer\": "
                                             "{\"type\": \"snowball\", \"language\": \"%s\"}}",
                                             cases[i][0])
                                 .p;

        check(params, ENG_TEXT_DOC, cases[i][1], cases[i][2]);
    }
}

static void test_every_stemmer(void **state SX_UNUSED)
{
    for (uint32_t i = 1; i <= ENG__TEXT_STEMMERS; i++) {
        struct sb_stemmer *s = eng__text_stemmer_open(i);

        if (s == NULL)
            fail_msg("no stemmer %s", eng__text_stemmer_name(i));
        eng__text_stemmer_close(s);
    }
}

/* Words longer than any are their own stems, whatever it would cost to stem them. */
static void test_long_word_is_its_stem(void **state SX_UNUSED)
{
    struct eng_analyzer *a =
        analyzer("{\"stemmer\": {\"type\": \"snowball\", \"language\": \"arabic\"}}");
    uint32_t n = 1u << 21;
    char *text = sx_arena_alloc(&arena, n);
    const char *out;

    for (uint32_t i = 0; i < n; i += 2)
        memcpy(text + i, "\xd9\x8b", 2);
    out = tokens_of(a, ENG_TEXT_DOC, (struct sx_str){text, n, 0});
    assert_int_equal(strlen(out), n);
    eng_analyzer_destroy(a);
}

static int count_word(void *arg, struct sx_str word)
{
    struct eng__text_stops stops = {.lists = *(uint32_t *)arg};

    assert_true(word.n > 0);
    assert_true(eng__text_is_stop(&stops, word));
    return 0;
}

static void test_stop_lists(void **state SX_UNUSED)
{
    for (uint32_t i = 0; i < ENG__TEXT_LISTS; i++) {
        uint32_t bit = 1u << i;

        assert_int_equal(eng__text_list_each(i, count_word, &bit), 0);
        assert_int_equal(eng__text_list_find(str(eng__text_list_name(i))), i);
    }
    assert_int_equal(eng__text_list_find(str("hi-en")), eng__text_list_find(str("hinglish")));
    assert_int_equal(eng__text_list_find(str("English")), -1);
    assert_int_equal(eng__text_list_find((struct sx_str){NULL, 0, 0}), -1);
}

/* --- choices ------------------------------------------------------------------------------ */

static void check_error(const char *params, int code, const char *want)
{
    struct eng_analyzer *a = NULL;
    struct sx_err err = SX_ERR_INIT;

    assert_int_equal(eng_analyzer_create(&mem, NULL, doc(params), &a, &err), code);
    assert_int_equal(err.code, code);
    assert_null(a);
    if (strncmp(err.msg, want, strlen(want)) != 0)
        fail_msg("%s: \"%s\" instead of \"%s\"", params, err.msg, want);
    assert_int_equal(n_live, 0);
}

static void test_errors(void **state SX_UNUSED)
{
    check_error("{\"tokenizer\": \"zz\"}", SX_EINPUT, "unknown tokenizer type");
    check_error("{\"tokenizer\": null}", SX_EINPUT, "unknown tokenizer type");
    check_error(
        "{\"stopwords\": \"klingon\"}", SX_EINPUT,
        "unknown language: unknown variant `klingon`, expected one of `arabic`, `azerbaijani`");
    check_error("{\"stopwords\": {\"languages\": [\"en\", \"x\"]}}", SX_EINPUT,
                "unknown language: unknown variant `x`, expected one of ");
    check_error("{\"stemmer\": {\"type\": \"snowball\", \"language\": \"klingon\"}}", SX_EINPUT,
                "Language \"klingon\" not found.");
    check_error("{\"stopwords\": {\"custom\": [\"a\", 5]}}", SX_EINPUT, "invalid value");
    check_error("{\"stopwords\": {\"custom\": [1, 2]}}", SX_EINPUT, "invalid value");
    check_error("{\"stopwords\": [\"a\"]}", SX_EINPUT, "invalid value");
    check_error("{\"min_token_len\": -1}", SX_EINPUT, "invalid value");
    check_error("{\"max_token_len\": \"5\"}", SX_EINPUT, "invalid value");
    check_error("{\"lowercase\": 1}", SX_EINPUT, "invalid value");
    check_error("{\"stemmer\": \"english\"}", SX_EINPUT, "invalid value");
    check_error("{\"tokenizer\": \"multilingual\"}", SX_EUNSUPPORTED,
                "the multilingual tokenizer is not installed");
}

static uint64_t version_of(const char *params)
{
    struct eng_analyzer *a = analyzer(params);
    uint64_t v = eng_analyzer_version(a);

    assert_int_equal(v, eng_analyzer_version(a));
    eng_analyzer_destroy(a);
    return v;
}

static void test_version(void **state SX_UNUSED)
{
    static const char *const different[] = {
        "{}",
        "{\"tokenizer\": \"whitespace\"}",
        "{\"tokenizer\": \"code\"}",
        "{\"lowercase\": false}",
        "{\"ascii_folding\": true}",
        "{\"min_token_len\": 0}",
        "{\"min_token_len\": 2}",
        "{\"max_token_len\": 2}",
        "{\"stopwords\": \"english\"}",
        "{\"stopwords\": \"german\"}",
        "{\"stopwords\": {\"custom\": [\"a\"]}}",
        "{\"stopwords\": {\"custom\": [\"a\", \"b\"]}}",
        "{\"stemmer\": {\"type\": \"snowball\", \"language\": \"english\"}}",
        "{\"stemmer\": {\"type\": \"snowball\", \"language\": \"tamil\"}}"};
    uint64_t v[SX_COUNT(different)];

    for (uint32_t i = 0; i < SX_COUNT(different); i++) {
        v[i] = version_of(different[i]);
        assert_int_equal(v[i], version_of(different[i]));
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(v[i], v[k]);
    }
    assert_int_equal(v[0], version_of("{\"on_disk\": true, \"phrase_matching\": false}"));
    assert_int_equal(version_of("{\"stopwords\": \"en\"}"),
                     version_of("{\"stopwords\": \"english\"}"));
    assert_int_equal(version_of("{\"stopwords\": {\"custom\": [\"a\", \"b\"]}}"),
                     version_of("{\"stopwords\": {\"custom\": [\"B\", \"a\", \"b\"]}}"));
}

/* --- a module that splits ----------------------------------------------------------------- */

struct module {
    uint32_t opened, scratches;
};

static int module_open(void *self, struct sx_doc params, void **out, struct sx_err *err SX_UNUSED)
{
    assert_null(params.p); /* what the engine does is not told */
    ((struct module *)self)->opened++;
    *out = self;
    return 0;
}

static void module_close(void *self, void *h)
{
    assert_ptr_equal(self, h);
    ((struct module *)self)->opened--;
}

static uint64_t module_version(void *self SX_UNUSED, void *h SX_UNUSED)
{
    return 5;
}

static uint64_t module_scratch_size(void *self SX_UNUSED, void *h SX_UNUSED)
{
    return sizeof(uint32_t);
}

static void module_scratch_end(void *self, void *h SX_UNUSED, void *scratch)
{
    assert_int_equal(*(uint32_t *)scratch, 1);
    ((struct module *)self)->scratches--;
}

/* Words are single letters; "x" is an alternative of the word before it, "J" a Japanese one. */
static int module_split(void *self,
                        void *h,
                        struct sx_str text,
                        void *scratch,
                        struct sx_buf *buf SX_UNUSED,
                        int (*sink)(void *arg, const struct sx_token *t),
                        void *arg,
                        struct sx_err *err SX_UNUSED)
{
    uint32_t *is_used = scratch, place = UINT32_MAX;

    assert_ptr_equal(self, h);
    assert_int_equal((uintptr_t)scratch % 64, 0);
    if (!*is_used)
        ((struct module *)self)->scratches++;
    *is_used = 1;
    for (uint32_t i = 0; i < text.n; i++) {
        struct sx_token t = {.size = sizeof(t), .p = text.p + i, .n = 1};
        int rc;

        t.position = place += text.p[i] != 'x';
        if (text.p[i] == 'J')
            t.flags = SX_TOKEN_UNSTEMMED | SX_TOKEN_UNLIMITED;
        rc = sink(arg, &t);

        if (rc != 0)
            return rc;
    }
    return 0;
}

static const struct sx_tokenizer_ops module_ops = {.size = sizeof(module_ops),
                                                   .open = module_open,
                                                   .close = module_close,
                                                   .version = module_version,
                                                   .scratch_size = module_scratch_size,
                                                   .scratch_end = module_scratch_end,
                                                   .split = module_split};
static struct module the_module;
static struct sx_provider provider = {.size = sizeof(provider),
                                      .kind = SX_KIND_TOKENIZER,
                                      .name = "multilingual",
                                      .ops = &module_ops,
                                      .self = &the_module};

static const struct sx_provider *reg_find(uint32_t kind, const char *name)
{
    return kind == SX_KIND_TOKENIZER && strcmp(name, "multilingual") == 0 ? &provider : NULL;
}

static const struct sx_reg reg = {.size = sizeof(reg), .find = reg_find};

struct places {
    char text[64];
    uint32_t n;
};

static int add_place(void *arg, const struct eng_text_token *t)
{
    struct places *p = arg;

    p->n += (uint32_t)snprintf(p->text + p->n, sizeof(p->text) - p->n, "%.*s%u ", (int)t->text.n,
                               t->text.p, t->position);
    return 0;
}

static void test_module(void **state SX_UNUSED)
{
    struct eng_analyzer *a = NULL;
    struct places p = {.n = 0};
    struct sx_buf work;
    struct sx_doc d = doc("{\"tokenizer\": \"multilingual\", \"stopwords\": {\"custom\": [\"c\"]}, "
                          "\"phrase_matching\": true}");

    assert_int_equal(eng_analyzer_create(&mem, &reg, d, &a, NULL), SX_EUNSUPPORTED);
    assert_int_equal(the_module.opened, 0);
    provider.caps = SX_TOKENIZER_POSITIONS;
    assert_int_equal(eng_analyzer_create(&mem, &reg, d, &a, NULL), 0);
    assert_int_equal(the_module.opened, 1);
    sx_buf_init(&work, &mem);
    assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, str("AxcBcx"), &work, add_place, &p), 0);
    assert_string_equal(p.text, "a0 x0 b1 x2 ");
    assert_int_equal(the_module.scratches, 1);
    assert_int_not_equal(eng_analyzer_version(a), 0);
    eng_analyzer_destroy(a);
    assert_int_equal(the_module.opened, 0);
    assert_int_equal(the_module.scratches, 0);
    /* Tokens that are not limited in length or stemmed. */
    d = doc("{\"tokenizer\": \"multilingual\", \"min_token_len\": 2, "
            "\"stemmer\": {\"type\": \"snowball\", \"language\": \"english\"}}");
    p.n = 0;
    assert_int_equal(eng_analyzer_create(&mem, &reg, d, &a, NULL), 0);
    assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, str("aJb"), &work, add_place, &p), 0);
    assert_string_equal(p.text, "j0 ");
    sx_buf_fini(&work);
    eng_analyzer_destroy(a);
}

/* --- memory and threads ------------------------------------------------------------------- */

static const char heavy[] =
    "{\"tokenizer\": \"code\", \"ascii_folding\": true, \"stopwords\": {\"languages\": "
    "[\"french\"], "
    "\"custom\": [\"Le\", \"chat\", \"noir\", \"et\", \"blanc\", \"dort\", \"ici\"]}, "
    "\"stemmer\": {\"type\": \"snowball\", \"language\": \"french\"}}";

/* Each allocation fails once; what was made before it is given back. */
static void test_out_of_memory(void **state SX_UNUSED)
{
    struct sx_str text =
        str("Les archa\xc3\xafques getUser_Name \xc3\x89t\xc3\xa9s ambigu\xc3\xab HARBOURS");
    struct sx_doc d = doc(heavy);
    const char *want = NULL;
    int done = 0;

    for (int64_t n = 0; !done; n++) {
        struct eng_analyzer *a = NULL;
        struct line l = {.place = 0};
        struct sx_buf work;
        int rc;

        sx_buf_init(&work, &mem);
        sx_buf_init(&l.text, sx_mem_libc());
        memory_left = n;
        rc = eng_analyzer_create(&mem, NULL, d, &a, NULL);
        if (rc == 0)
            rc = eng_analyze(a, ENG_TEXT_DOC, text, &work, add_token, &l);
        memory_left = -1;
        if (rc == 0) {
            want = sx_arena_strdup(&arena, l.text.p, l.text.n);
            assert_true(n > 4);
            done = 1;
        } else {
            assert_int_equal(rc, SX_ENOMEM);
        }
        /* The same analyzer and buffer serve once there is memory again. */
        if (a != NULL) {
            l.text.n = 0;
            l.place = 0;
            assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, text, &work, add_token, &l), 0);
            if (want != NULL)
                assert_memory_equal(l.text.p, want, strlen(want));
        }
        sx_buf_fini(&l.text);
        sx_buf_fini(&work);
        eng_analyzer_destroy(a);
        assert_int_equal(n_live, 0);
    }
}

static int count(void *arg, const struct eng_text_token *t SX_UNUSED)
{
    ++*(uint32_t *)arg;
    return 0;
}

/* In steady state an analysis takes no memory. */
static void test_no_memory_when_warm(void **state SX_UNUSED)
{
    struct sx_str text =
        str("Les archa\xc3\xafques getUser_Name \xc3\x89t\xc3\xa9s ambigu\xc3\xab HARBOURS");
    struct eng_analyzer *a = analyzer(heavy);
    struct sx_buf work;
    uint32_t n = 0, first;

    sx_buf_init(&work, &mem);
    assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, text, &work, count, &n), 0);
    first = n;
    memory_left = 0;
    assert_int_equal(eng_analyze(a, ENG_TEXT_DOC, text, &work, count, &n), 0);
    memory_left = -1;
    assert_int_equal(n, 2 * first);
    sx_buf_fini(&work);
    eng_analyzer_destroy(a);
}

struct hashing {
    const struct eng_analyzer *a;
    uint64_t h;
};

static int hash_token(void *arg, const struct eng_text_token *t)
{
    uint64_t *h = arg;

    for (uint32_t i = 0; i < t->text.n; i++)
        *h = (*h ^ (unsigned char)t->text.p[i]) * 0x100000001b3u;
    *h = *h * 31 + t->position;
    return 0;
}

static void *hash_texts(void *arg)
{
    struct hashing *s = arg;
    struct sx_buf work;
    char text[64];

    sx_buf_init(&work, sx_mem_libc());
    for (uint32_t i = 0; i < 2000; i++) {
        int n =
            snprintf(text, sizeof(text), "Nations %u archa\xc3\xafques chevaux%u mangeaient", i, i);

        (void)eng_analyze(s->a, ENG_TEXT_DOC, (struct sx_str){text, (uint32_t)n, 0}, &work,
                          hash_token, &s->h);
    }
    sx_buf_fini(&work);
    return NULL;
}

static void test_threads(void **state SX_UNUSED)
{
    enum { N = 12 }; /* more than kits are kept */
    struct eng_analyzer *a = analyzer(heavy);
    struct hashing alone = {a, 1}, s[N];
    pthread_t th[N];

    (void)hash_texts(&alone);
    for (uint32_t i = 0; i < N; i++) {
        s[i] = (struct hashing){a, 1};
        assert_int_equal(pthread_create(&th[i], NULL, hash_texts, &s[i]), 0);
    }
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(pthread_join(th[i], NULL), 0);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(s[i].h, alone.h);
    eng_analyzer_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whitespace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefix_of_a_long_word, setup, teardown),
        cmocka_unit_test_setup_teardown(test_code, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_of_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lower_case, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lower_case_of_libc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folding_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_stemmer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_word_is_its_stem, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_module, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_when_warm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
