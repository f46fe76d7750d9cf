/* BM25 vectors: token ids, weights, options and what wrong ones are answered with, memory.
 *
 * Numbers and error texts are those of recordings of the server whose clients we serve. */
/* needs: plugins/engine/bm25.c plugins/engine/text_*.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/bm25.h"

static struct sx_arena arena;
static int64_t memory_left = -1; /* allocations until none succeeds; -1 = no end */
static int64_t n_live;

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

static struct sx_vec_in embed(const char *options, const char *text, int is_query)
{
    struct sx_vec_in v;
    struct sx_err err = SX_ERR_INIT;
    struct sx_doc d = {NULL, 0, 0};

    memset(&v, 0, sizeof(v));
    v.name = str("t");
    if (options != NULL)
        d = doc(options);
    if (eng_bm25_embed(&mem, NULL, d, str(text), is_query, &arena, &v, &err) != 0)
        fail_msg("%s: %s", options, err.msg);
    assert_int_equal(v.kind, SX_VEC_SPARSE);
    assert_int_equal(v.name.n, 1);
    return v;
}

static void
check(const struct sx_vec_in *v, uint32_t n, const uint32_t *indices, const float *values)
{
    assert_int_equal(v->dim, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(v->indices[i], indices[i]);
        assert_memory_equal(&v->data[i], &values[i], sizeof(float));
    }
}

/* --- vectors ------------------------------------------------------------------------------ */

static void test_models(void **state SX_UNUSED)
{
    assert_true(eng_bm25_is_model(str("bm25")));
    assert_true(eng_bm25_is_model(str("qdrant/bm25")));
    assert_true(eng_bm25_is_model(str("Qdrant/BM25")));
    assert_false(eng_bm25_is_model(str("bm25 ")));
    assert_false(eng_bm25_is_model(str("Qdrant/bm42")));
    assert_false(eng_bm25_is_model(str("m25")));
    assert_false(eng_bm25_is_model((struct sx_str){NULL, 0, 0}));
}

static void test_documents(void **state SX_UNUSED)
{
    struct sx_vec_in v = embed(NULL, "hello", 0);

    check(&v, 1, (uint32_t[]){613153351}, (float[]){1.6877434f});
    v = embed("{}", "hello World", 0);
    check(&v, 2, (uint32_t[]){74040069, 613153351}, (float[]){1.6832038f, 1.6832038f});
    v = embed(NULL, "qdrant", 0);
    check(&v, 1, (uint32_t[]){802574768}, (float[]){1.6877434f});
    v = embed(NULL, "fear fearing feared", 0);
    assert_int_equal(v.dim, 1);
    assert_int_equal(v.indices[0], 1432942394);
    v = embed(NULL, "running", 0);
    assert_int_equal(v.indices[0], 243905464);
    v = embed(NULL, "caf\xc3\xa9", 0);
    assert_int_equal(v.indices[0], 605818632);
    v = embed(NULL, "the of and", 0);
    assert_int_equal(v.dim, 0);
    v = embed(NULL, "", 0);
    assert_int_equal(v.dim, 0);
}

static void test_queries(void **state SX_UNUSED)
{
    struct sx_vec_in v = embed(NULL, "hello world hello the", 1);

    check(&v, 2, (uint32_t[]){74040069, 613153351}, (float[]){1, 1});
    v = embed("{\"tokenizer\": \"prefix\"}", "hello", 1);
    assert_int_equal(v.dim, 1);
    v = embed("{\"tokenizer\": \"prefix\"}", "hello", 0);
    assert_int_equal(v.dim, 5);
}

/* n (k + 1) / (n + k (1 - b + b D / avg_len)) */
static void test_weights(void **state SX_UNUSED)
{
    struct sx_vec_in v =
        embed("{\"k\": 2, \"b\": 0.5, \"avg_len\": 4.0, \"language\": \"none\"}", "a a b", 0);

    assert_int_equal(v.dim, 2);
    for (uint32_t i = 0; i < 2; i++) {
        double n = v.indices[i] == 1009084850 ? 2 : 1;
        float want = (float)(n * 3 / (n + 2 * (0.5 + 0.5 * 3 / 4)));

        assert_memory_equal(&v.data[i], &want, sizeof(want));
    }
    v = embed("{\"k\": 0}", "fox fox fox dog", 0);
    assert_true(v.data[0] == 1 && v.data[1] == 1);
}

/* Many tokens: ascending, each once, counted right. */
static void test_many_tokens(void **state SX_UNUSED)
{
    enum { WORDS = 3000 };
    struct sx_buf text;
    struct sx_vec_in v;

    sx_buf_init(&text, sx_mem_libc());
    for (uint32_t i = 0; i < WORDS; i++)
        for (uint32_t k = 0; k <= i % 3; k++)
            sx_buf_printf(&text, "w%u ", i * 7919 % WORDS);
    sx_buf_addc(&text, '\0');
    v = embed("{\"b\": 0}", text.p, 0);
    assert_int_equal(v.dim, WORDS);
    for (uint32_t i = 0; i < v.dim; i++) {
        float one = (float)(2.2 / 2.2), two = (float)(2 * 2.2 / 3.2),
              three = (float)(3 * 2.2 / 4.2);

        assert_true(i == 0 || v.indices[i - 1] < v.indices[i]);
        assert_true(v.data[i] == one || v.data[i] == two || v.data[i] == three);
    }
    sx_buf_fini(&text);
}

static void test_options(void **state SX_UNUSED)
{
    static const struct {
        const char *options, *text;
        uint32_t n;
    } cases[] = {
        {"{\"language\": \"none\"}", "the cats", 2},
        {"{\"language\": \"English\"}", "the cats", 2},
        {"{\"language\": \"\"}", "the cats", 2},
        {"{\"language\": \"en\"}", "the cats", 1},
        {"{\"language\": null, \"stopwords\": null, \"stemmer\": null, \"lowercase\": null, "
         "\"ascii_folding\": null, \"min_token_len\": null, \"max_token_len\": null}",
         "the cats cat", 1},
        {"{\"language\": \"tamil\"}", "the cats cat", 3},
        {"{\"stopwords\": {}}", "the cats", 2},
        {"{\"stopwords\": \"french\"}", "the cats les", 2},
        {"{\"stopwords\": {\"languages\": [\"fr\"], \"custom\": [\"Cats\"]}}", "the cats les", 1},
        {"{\"stemmer\": {\"type\": \"none\"}}", "cat cats", 2},
        {"{\"stemmer\": {\"type\": \"snowball\", \"language\": \"de\"}}", "katze katzen", 1},
        {"{\"lowercase\": false}", "The the Fox", 2},
        {"{\"ascii_folding\": true}", "caf\xc3\xa9 cafe", 1},
        {"{\"min_token_len\": 4}", "fox wolf", 1},
        {"{\"max_token_len\": 3}", "running fox wolf", 2},
        {"{\"tokenizer\": \"whitespace\"}", "it-is it is x", 2},
        {"{\"tokenizer\": \"code\", \"language\": \"none\"}", "getUserName", 4},
        {"{\"unknown\": [1]}", "fox", 1},
    };

    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        struct sx_vec_in v = embed(cases[i].options, cases[i].text, 1);

        if (v.dim != cases[i].n)
            fail_msg("%s: %u tokens, not %u", cases[i].options, v.dim, cases[i].n);
    }
}

/* --- errors ------------------------------------------------------------------------------- */

static void check_error(const char *options, const char *want)
{
    struct sx_vec_in v, untouched;
    struct sx_err err = SX_ERR_INIT;

    memset(&v, 0x5a, sizeof(v));
    untouched = v;
    assert_int_equal(eng_bm25_embed(&mem, NULL, doc(options), str("hello"), 0, &arena, &v, &err),
                     SX_EINPUT);
    assert_memory_equal(&v, &untouched, sizeof(v));
    assert_string_equal(err.msg, want);
}

static void check_config_error(const char *options, const char *want)
{
    check_error(
        options,
        sx_arena_printf(&arena, "Invalid BM25 config: Error(\"%s\", line: 0, column: 0)", want).p);
}

static void test_ranges(void **state SX_UNUSED)
{
    check_error("{\"k\": -1}", "BM25 k1 must be finite and >= 0, got -1");
    check_error("{\"k\": -0.5}", "BM25 k1 must be finite and >= 0, got -0.5");
    check_error("{\"b\": 1.5}", "BM25 b must be finite and in [0.0, 1.0], got 1.5");
    check_error("{\"b\": -0.1}", "BM25 b must be finite and in [0.0, 1.0], got -0.1");
    check_error("{\"avg_len\": 0}", "BM25 avg_doc_len must be finite and > 0, got 0");
    check_error("{\"avg_len\": -3}", "BM25 avg_doc_len must be finite and > 0, got -3");
}

static void test_types(void **state SX_UNUSED)
{
    check_config_error("{\"k\": \"a\"}", "invalid type: string \\\"a\\\", expected f64");
    check_config_error("{\"k\": \"a\\\"b\\\\\"}",
                       "invalid type: string \\\"a\\\\\\\"b\\\\\\\\\\\", expected f64");
    check_config_error("{\"k\": null}", "invalid type: null, expected f64");
    check_config_error("{\"b\": true}", "invalid type: boolean `true`, expected f64");
    check_config_error("{\"b\": [1, 2]}", "invalid type: sequence, expected f64");
    check_config_error("{\"b\": {}}", "invalid type: map, expected f64");
    check_config_error("{\"tokenizer\": \"zz\"}",
                       "unknown variant `zz`, expected one of `prefix`, `whitespace`, `word`, "
                       "`multilingual`");
    check_config_error("{\"tokenizer\": null}", "invalid type: null, expected string or map");
    check_config_error("{\"language\": 5}", "invalid type: integer `5`, expected a string");
    check_config_error("{\"lowercase\": \"yes\"}",
                       "invalid type: string \\\"yes\\\", expected a boolean");
    check_config_error("{\"ascii_folding\": 1}", "invalid type: integer `1`, expected a boolean");
    check_config_error("{\"min_token_len\": -1}", "invalid value: integer `-1`, expected usize");
    check_config_error("{\"min_token_len\": 1.5}",
                       "invalid type: floating point `1.5`, expected usize");
    check_config_error("{\"max_token_len\": \"3\"}",
                       "invalid type: string \\\"3\\\", expected usize");
}

static void test_no_variant(void **state SX_UNUSED)
{
    static const char *const stopwords[] = {"5",
                                            "\"klingon\"",
                                            "[\"a\"]",
                                            "{\"languages\": [\"klingon\"]}",
                                            "{\"custom\": \"a\"}",
                                            "{\"custom\": [\"a\", 1]}"};
    static const char *const stemmers[] = {
        "\"english\"", "{\"type\": \"porter\", \"language\": \"english\"}",
        "{\"type\": \"snowball\", \"language\": \"klingon\"}", "{\"type\": \"snowball\"}"};

    for (uint32_t i = 0; i < SX_COUNT(stopwords); i++)
        check_config_error(sx_arena_printf(&arena, "{\"stopwords\": %s}", stopwords[i]).p,
                           "data did not match any variant of untagged enum StopwordsInterface");
    for (uint32_t i = 0; i < SX_COUNT(stemmers); i++)
        check_config_error(sx_arena_printf(&arena, "{\"stemmer\": %s}", stemmers[i]).p,
                           "data did not match any variant of untagged enum StemmingAlgorithm");
}

/* A text of the client's that is longer than a message. */
static void test_long_value(void **state SX_UNUSED)
{
    char options[1000];
    struct sx_vec_in v;
    struct sx_err err = SX_ERR_INIT;

    memset(options, '"', sizeof(options));
    memcpy(options, "{\"k\": \"", 7);
    for (uint32_t i = 7; i < 900; i += 2)
        memcpy(options + i, "\\\"", 2);
    memcpy(options + 901, "\"}", 3);
    assert_int_equal(eng_bm25_embed(&mem, NULL, doc(options), str("a"), 0, &arena, &v, &err),
                     SX_EINPUT);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_int_equal(eng_bm25_embed(&mem, NULL, doc("{\"tokenizer\": \"multilingual\"}"), str("a"),
                                    0, &arena, &v, &err),
                     SX_EUNSUPPORTED);
}

static void test_out_of_memory(void **state SX_UNUSED)
{
    static const char *const options[] = {"{\"stopwords\": {\"custom\": [\"x\"]}}",
                                          "{\"k\": \"a\"}", "{\"tokenizer\": \"zz\"}"};

    for (uint32_t i = 0; i < SX_COUNT(options); i++) {
        struct sx_doc d = doc(options[i]);
        int rc = SX_ENOMEM;

        for (int64_t n = 0; rc == SX_ENOMEM; n++) {
            struct sx_vec_in v;

            memory_left = n;
            rc = eng_bm25_embed(&mem, NULL, d, str("Hello worlds"), 0, &arena, &v, NULL);
            memory_left = -1;
            assert_int_equal(n_live, 0);
            assert_true(n < 100);
        }
        assert_int_equal(rc, i == 0 ? 0 : SX_EINPUT);
    }
}

/* An arena with a limit that the vector does not fit in. */
static void test_small_arena(void **state SX_UNUSED)
{
    struct sx_arena small;
    struct sx_vec_in v;
    struct sx_err err = SX_ERR_INIT;

    sx_arena_init(&small, &mem, 16);
    assert_int_equal(eng_bm25_embed(&mem, NULL, doc("{}"), str("hello world"), 0, &small, &v, &err),
                     SX_ENOMEM);
    assert_int_equal(err.code, SX_ENOMEM);
    sx_arena_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_variant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_arena, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
