/* needs: plugins/tokenizer-icu/ sdk/suites/ sdk/fake/ tests/plugins/null_tokenizer.c */
/* libs: icu-uc icu-i18n */
/* tokenizer-icu: the suite of its kind, what words become in each script, and the library itself as
 * oracle: for the words of long runs, and for decomposition. The suite is tested too, with
 * providers that are wrong in one way each. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include "sextant/sx_text.h"
#include "sextant/sx_tokenizer.h"

#include "suite.h"
#include "sx_fake_host.h"

extern const struct sx_plugin tokenizer_icu_LTX_sx_plugin, null_tokenizer_LTX_sx_plugin;

static uint64_t seed = 20240607;

static uint32_t rnd(uint32_t below)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)((seed * 0x2545f4914f6cdd1dull) >> 32) % below;
}

/* The module, one handle, one scratch. */
struct world {
    const struct sx_host *host;
    const struct sx_tokenizer_ops *ops;
    void *self, *h, *scratch;
    struct sx_buf buf, tokens; /* tokens: each followed by a NUL */
    uint32_t n, flags_all, flags_any;
};

static int keep(void *arg, const struct sx_token *t)
{
    struct world *w = arg;
    sx_buf_add(&w->tokens, t->p, t->n);
    sx_buf_addc(&w->tokens, '\0');
    w->flags_all &= t->flags;
    w->flags_any |= t->flags;
    w->n++;
    return 0;
}

static void split(struct world *w, const char *p, uint32_t n)
{
    struct sx_err err = SX_ERR_INIT;
    w->tokens.n = 0;
    w->n = 0;
    w->flags_all = UINT32_MAX;
    w->flags_any = 0;
    int rc =
        w->ops->split(w->self, w->h, (struct sx_str){p, n, 0}, w->scratch, &w->buf, keep, w, &err);
    if (rc != 0)
        fail_msg("split gives %d: %s", rc, err.msg);
    assert_false(w->tokens.failed);
}

/* The tokens of a text joined by spaces are `expected`. */
static void expect(struct world *w, const char *text, const char *expected)
{
    split(w, text, (uint32_t)strlen(text));
    for (uint64_t i = 0; i + 1 < w->tokens.n; i++)
        if (w->tokens.p[i] == '\0')
            w->tokens.p[i] = ' ';
    sx_buf_addc(&w->tokens, '\0');
    if (strcmp(w->n > 0 ? w->tokens.p : "", expected) != 0)
        fail_msg("\"%s\" becomes \"%s\", expected \"%s\"", text, w->tokens.p, expected);
}

static int world_setup(void **state)
{
    static struct world w;
    struct sx_fake_conf conf = SX_FAKE_CONF_INIT;
    const struct sx_plugin *p = &tokenizer_icu_LTX_sx_plugin;
    struct sx_err err = SX_ERR_INIT;
    w.host = sx_fake_host_create(&conf);
    w.ops = p->provides[0].ops;
    w.self = calloc(1, p->instance_size);
    if (w.host == NULL || w.self == NULL || p->load(w.host, w.self, &err) != 0 ||
        p->start(w.self, &err) != 0 || w.ops->open(w.self, (struct sx_doc){0}, &w.h, &err) != 0) {
        fprintf(stderr, "setup: %s\n", err.msg);
        return -1;
    }
    uint64_t bytes = (w.ops->scratch_size(w.self, w.h) + 63) / 64 * 64;
    w.scratch = aligned_alloc(64, bytes);
    if (w.scratch == NULL)
        return -1;
    memset(w.scratch, 0, bytes);
    sx_buf_init(&w.buf, w.host->mem);
    sx_buf_init(&w.tokens, w.host->mem);
    *state = &w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    w->ops->scratch_end(w->self, w->h, w->scratch);
    free(w->scratch);
    sx_buf_fini(&w->buf);
    sx_buf_fini(&w->tokens);
    w->ops->close(w->self, w->h);
    tokenizer_icu_LTX_sx_plugin.stop(w->self);
    free(w->self);
    uint64_t live = sx_fake_host_live();
    sx_fake_host_destroy();
    if (live != 0)
        fprintf(stderr, "%u allocations were not released\n", (unsigned)live);
    return live == 0 ? 0 : -1;
}

/* --- words and their form --- */

static void test_words(void **state)
{
    struct world *w = *state;
    expect(w, "", "");
    expect(w, " \t.,;-_!? 12 3.4 \u00bd \u0301", "");
    expect(w, "HTTPServer camelCase snake_case", "httpserver camelcase snake case");
    expect(w, "5G 4x6 x86_64 3GPP", "5g 4x6 x86 3gpp");
    expect(w, "a\u00a0b a\u200cb a\u2019b a=b", "a b a b a b a b");
    /* Marks, joiner and soft hyphen continue a word. */
    expect(w, "cafe\u0301s soft\u00adhyphen", "cafes softhyphen");
    expect(w, "\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0dc1\u0dca\u200d\u0dbb\u0dd3");
    /* Scripts do not mix in a word, digits mix with all. */
    expect(w, "abc\u0434\u0435", "abc \u0434\u0435");
    expect(w, "\u0434\u04351a", "\u0434\u04351 a");
    expect(w, "abc\u4e2d\u6587def", "abc \u4e2d\u6587 def");
    expect(w, "\u7b2c3\u56de\u76845G", "\u7b2c \u56de \u7684 5g");
    expect(w, "2024\u5e74\u7684 5G\u624b\u673a T\u6064", "\u5e74 \u7684 5g \u624b\u673a t \u6064");
}

static void test_fold(void **state)
{
    struct world *w = *state;
    /* Latin. */
    expect(w, "\u00c5ngstr\u00f6m \u0110\u1eb7ng \u0130stanbul \u01c5",
           "angstrom \u0111ang istanbul dz");
    expect(w, "\u00c6ther c\u0153ur \u00d8re Stra\u00dfe \u1e9e",
           "aether coeur \u00f8re stra\u00dfe \u00df");
    expect(w, "\uff26\uff55\uff4c\uff4c \U0001d407\U0001d41e \ufb03 \u2167", "full he ffi viii");
    /* Greek. */
    expect(w, "\u039f\u0394\u038c\u03a3 \u03bf\u03b4\u03cc\u03c2",
           "\u03bf\u03b4\u03bf\u03c3 \u03bf\u03b4\u03bf\u03c3");
    /* Cyrillic and Korean stay decomposed, composed or not as they were. */
    expect(w, "\u0419\u043e\u0434 \u0438\u0306\u043e\u0434",
           "\u0438\u0306\u043e\u0434 \u0438\u0306\u043e\u0434");
    expect(w, "\ud55c \u1112\u1161\u11ab", "\u1112\u1161\u11ab \u1112\u1161\u11ab");
    expect(w, "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940");
    /* Hebrew, Arabic: points, tatweel, forms of alef, yeh and heh, the article. */
    expect(w, "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd");
    expect(w, "\u0643\u064e\u062a\u0640\u0640\u0627\u0628", "\u0643\u062a\u0627\u0628");
    expect(w, "\u0641\u062a\u0627\u0629 \u0649 \u0640", "\u0641\u062a\u0627\u0647 \u064a");
    expect(w, "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0671\u0644\u0628\u064a\u062a",
           "\u0627\u0644 \u0639\u0631\u0628\u064a\u0647 \u0627\u0644 \u0628\u064a\u062a");
    expect(w, "\u0627\u0644 \u0648\u0627\u0644\u0628\u064a\u062a \u0622\u0644\u0627\u0641",
           "\u0627\u0644 \u0648\u0627\u0644\u0628\u064a\u062a \u0627\u0644 \u0627\u0641");
    /* Thai: tones and vowels above and below go. */
    expect(w, "\u0e44\u0e21\u0e48", "\u0e44\u0e21");
    /* Kana: width, not kind; variation selectors. */
    expect(w, "\uff79\uff9e\uff70\uff91 \u304b\u3099", "\u30b2\u30fc\u30e0 \u304c");
    expect(w, "\u845b\U000e0100", "\u845b");
}

static void test_dictionaries(void **state)
{
    struct world *w = *state;
    expect(w, "\u4e16\u754c\u548c\u5e73\u5f88\u91cd\u8981",
           "\u4e16\u754c \u548c\u5e73 \u5f88 \u91cd\u8981");
    expect(w, "\u7e41\u9ad4\u4e2d\u6587", "\u7e41\u4f53 \u4e2d\u6587");
    expect(w, "\u0e09\u0e31\u0e19\u0e0a\u0e2d\u0e1a\u0e01\u0e34\u0e19\u0e02\u0e49\u0e32\u0e27",
           "\u0e09\u0e19 \u0e0a\u0e2d\u0e1a \u0e01\u0e19 \u0e02\u0e32\u0e27");
    static const char *const runs[] = {
        /* Khmer, Lao, Burmese, Japanese: more than one word, nothing lost. */
        "\u1781\u17d2\u1789\u17bb\u17c6\u1785\u17bc\u179b\u1785\u17b7\u178f\u17d2\u178f",
        "\u0eaa\u0eb0\u0e9a\u0eb2\u0e8d\u0e94\u0eb5\u0e82\u0ec9\u0ead\u0e8d",
        "\u1019\u103c\u1014\u103a\u1019\u102c\u1018\u102c\u101e\u102c\u1005\u1000\u102c\u1038",
        "\u79c1\u306f\u5b66\u751f\u3067\u3059",
    };
    for (uint32_t i = 0; i < SX_COUNT(runs); i++) {
        char all[256];
        uint32_t n = 0;
        split(w, runs[i], (uint32_t)strlen(runs[i]));
        assert_in_range(w->n, 2, 8);
        for (uint64_t k = 0; k < w->tokens.n; k++)
            if (w->tokens.p[k] != '\0')
                all[n++] = w->tokens.p[k];
        assert_int_equal(n, strlen(runs[i]));
        assert_memory_equal(all, runs[i], n);
    }
}

/* Japanese is told by kana anywhere in the text; words of other scripts are never meant. */
static void test_flags(void **state)
{
    struct world *w = *state;
    const uint32_t both = SX_TOKEN_UNSTEMMED | SX_TOKEN_UNLIMITED;
    expect(w, "\u6771\u4eac", "\u4e1c\u4eac");
    assert_int_equal(w->flags_any, 0);
    expect(w, "\u6771\u4eac\u306b", "\u4e1c\u4eac \u306b");
    assert_int_equal(w->flags_all, both);
    expect(w, "\u6771\u4eac, \uff76\uff85", "\u4e1c\u4eac \u30ab\u30ca");
    assert_int_equal(w->flags_all, both);
    expect(w, "\u6771\u4eac Tokyo \u306b", "\u4e1c\u4eac tokyo \u306b");
    assert_int_equal(w->flags_all, 0);
    assert_int_equal(w->flags_any, both);
    expect(w, "\u0e44\u0e21\u0e48 Tokyo", "\u0e44\u0e21 tokyo");
    assert_int_equal(w->flags_any, 0);
}

/* --- oracles --- */

/* ASCII: maximal runs of letters and digits with a letter among them, lower case. */
static void test_ascii_oracle(void **state)
{
    struct world *w = *state;
    char text[200], want[400];
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t n = rnd(sizeof(text)), at = 0, has_letter = 0, begin = 0;
        for (uint32_t i = 0; i < n; i++)
            text[i] = rnd(4) == 0 ? (char)(1 + rnd(127)) : "abcXYZ019 -"[rnd(11)];
        for (uint32_t i = 0; i <= n; i++) {
            unsigned char c = i < n ? (unsigned char)text[i] : 0;
            if (c != 0 && sx_is_alnum(c)) {
                has_letter |= c >= 'A';
                want[at++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
                continue;
            }
            if (has_letter)
                want[at++] = '\0';
            else
                at = begin;
            begin = at;
            has_letter = 0;
        }
        split(w, text, n);
        assert_int_equal(w->tokens.n, at);
        if (at > 0)
            assert_memory_equal(w->tokens.p, want, at);
    }
}

/* Cyrillic letters with rows of marks in any order: canonical order and lower case of the library.
 */
static void test_decomposition_oracle(void **state)
{
    static const UChar marks[] = {0x0301, 0x0306, 0x0308, 0x0323, 0x0328, 0x0345, 0x0483};
    struct world *w = *state;
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&code);
    for (uint32_t round = 0; round < 3000; round++) {
        UChar word[64], want[256];
        char text[256], expected[1024];
        int32_t n = 0, n_want, bytes;
        for (uint32_t letters = 1 + rnd(6); letters > 0; letters--) {
            word[n++] = (UChar)(0x400 + rnd(0x50));
            for (uint32_t k = rnd(5); k > 0; k--)
                word[n++] = marks[rnd(SX_COUNT(marks))];
        }
        n_want = unorm2_normalize(nfkd, word, n, want, 256, &code);
        for (int32_t i = 0; i < n_want; i++)
            want[i] = (UChar)u_tolower(want[i]);
        u_strToUTF8(expected, sizeof(expected), NULL, want, n_want, &code);
        u_strToUTF8(text, sizeof(text), &bytes, word, n, &code);
        assert_true(U_SUCCESS(code));
        expect(w, text, expected);
    }
}

/* Runs of any length, of characters that folding leaves alone: what goes in comes out, cut where
 * the library cuts the whole run, but for the few words near the ends of the window. */
static void test_window_oracle(void **state)
{
    static const char *const words[] = {
        "\u4e16\u754c", "\u548c\u5e73",       "\u5f88",       "\u91cd\u8981",
        "\u5317\u4eac", "\u5927\u5b66",       "\u6211",       "\u4e2d\u6587",
        "\u306e",       "\u30c6\u30b9\u30c8", "\u3067\u3059", "\u65e5\u672c",
    };
    struct world *w = *state;
    UErrorCode code = U_ZERO_ERROR;
    UBreakIterator *whole = ubrk_open(UBRK_WORD, "", NULL, 0, &code);
    struct sx_buf text;
    UChar *units = calloc(100000, sizeof(UChar));
    uint32_t cuts = 0, same = 0;
    assert_true(U_SUCCESS(code) && units != NULL);
    sx_buf_init(&text, w->host->mem);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t n_words = round < 36 ? rnd(900) : 20000;
        int32_t n = 0;
        text.n = 0;
        for (uint32_t i = 0; i < n_words; i++)
            sx_buf_adds(&text, words[rnd(SX_COUNT(words))]);
        u_strFromUTF8(units, 100000, &n, text.p != NULL ? text.p : "", (int32_t)text.n, &code);
        ubrk_setText(whole, units, n, &code);
        assert_true(U_SUCCESS(code));
        split(w, text.p, (uint32_t)text.n);
        assert_int_equal(w->tokens.n, text.n + w->n);
        uint64_t at = 0; /* in tokens */
        int32_t unit = 0;
        for (uint64_t in = 0; in < text.n; at++) {
            if (w->tokens.p[at] == '\0') {
                cuts++;
                same += ubrk_isBoundary(whole, unit) != 0;
                continue;
            }
            assert_int_equal(w->tokens.p[at], text.p[in]);
            unit += (text.p[in++] & 0xc0) != 0x80;
        }
        if (n < 600) /* fits: the same cuts exactly */
            assert_int_equal(same, cuts);
        if (n < 600)
            same = cuts = 0;
    }
    print_message("long runs: %u of %u cuts are those of the whole run\n", same, cuts);
    assert_true(cuts > 30000 && same + cuts / 1000 >= cuts);
    ubrk_close(whole);
    sx_buf_fini(&text);
    free(units);
}

/* Words longer than the window: of marks that no dictionary cuts (given away in pieces), of letters
 * (one token). */
static void test_endless_word(void **state)
{
    struct world *w = *state;
    const uint32_t n = 30000;
    char *text = malloc(n), *at;
    assert_non_null(text);
    for (uint32_t i = 0; i < n; i += 3)
        memcpy(text + i, i == 0 ? "\u0e81" : "\u0eb1", 3); /* Lao: a letter, one vowel for ever */
    split(w, text, n);
    assert_in_range(w->n, 1, 20);
    at = w->tokens.p;
    for (uint32_t i = 0; i < n; at++)
        if (*at != '\0')
            assert_int_equal(*at, text[i++]);
    memset(text, 'Q', n);
    split(w, text, n);
    assert_int_equal(w->n, 1);
    assert_int_equal(w->tokens.n, n + 1);
    free(text);
}

/* Bytes that are no UTF-8, cut anywhere. */
static void test_any_bytes(void **state)
{
    static const char *const good[] = {"\u4e16\u754c", "\u0e09\u0e31\u0e19", "\u0627\u0644\u0643",
                                       "Caf\u00e9",    "\uff76\uff9e",       "\U000e0100"};
    struct world *w = *state;
    for (uint32_t round = 0; round < 4000; round++) {
        uint32_t n = 0, size = rnd(120);
        char *text = malloc(size + 16); /* of its own, so that a step beyond is seen */
        assert_non_null(text);
        while (n < size) {
            const char *g = good[rnd(SX_COUNT(good))];
            if (rnd(3) == 0) {
                text[n++] = (char)rnd(256);
                continue;
            }
            memcpy(text + n, g, strlen(g));
            n += (uint32_t)strlen(g);
        }
        char *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        memcpy(exact, text, size);
        split(w, exact, size);
        for (uint64_t i = 0; i < w->tokens.n; i += strlen(w->tokens.p + i) + 1)
            assert_true(sx_utf8_valid(w->tokens.p + i, strlen(w->tokens.p + i)));
        free(exact);
        free(text);
    }
}

/* --- life of handles --- */

static void *open_and_close(void *arg)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < 20; i++) {
        struct sx_err err = SX_ERR_INIT;
        void *h;
        if (w->ops->open(w->self, (struct sx_doc){0}, &h, &err) != 0)
            return arg;
        w->ops->close(w->self, h);
    }
    return NULL;
}

static void test_handles(void **state)
{
    struct world *w = *state;
    const struct sx_plugin *p = &tokenizer_icu_LTX_sx_plugin;
    struct sx_err err = SX_ERR_INIT;
    struct world own = {.ops = w->ops, .self = calloc(1, p->instance_size)};
    pthread_t threads[4];
    void *failed = NULL, *h;
    assert_non_null(own.self);
    assert_int_equal(p->load(w->host, own.self, &err), 0);
    assert_int_equal(p->start(own.self, &err), 0);
    uint64_t live = sx_fake_host_live();
    /* Opened by nobody, by many at once. */
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &own), 0);
    for (uint32_t i = 0; i < 4; i++) {
        void *one;
        pthread_join(threads[i], &one);
        failed = one != NULL ? one : failed;
    }
    assert_null(failed);
    assert_int_equal(sx_fake_host_live(), live);
    /* Every allocation of open fails once. */
    for (uint32_t i = 1;; i++) {
        assert_in_range(i, 1, 100);
        sx_fake_host_fail_alloc(i);
        int rc = own.ops->open(own.self, (struct sx_doc){0}, &h, &err);
        sx_fake_host_fail_alloc(0);
        if (rc == 0)
            break;
        assert_int_equal(rc, SX_ENOMEM);
        assert_int_not_equal(err.msg[0], 0);
        assert_int_equal(sx_fake_host_live(), live);
    }
    assert_true(own.ops->version(own.self, h) == w->ops->version(w->self, w->h));
    own.ops->close(own.self, h);
    p->stop(own.self);
    free(own.self);
}

/* --- the suite --- */

struct lines {
    const char *wanted;
    uint32_t is_found;
};

static void take_line(void *arg, uint32_t is_failure, const char *text)
{
    struct lines *l = arg;
    if (is_failure && l->wanted == NULL)
        print_message("%s\n", text);
    else if (is_failure && strstr(text, l->wanted) != NULL)
        l->is_found = 1;
}

static uint32_t run_suite(struct world *w,
                          const struct sx_tokenizer_ops *ops,
                          const char *name,
                          uint64_t caps,
                          uint32_t flags,
                          const char *wanted)
{
    struct sx_provider pr = {
        .size = (uint32_t)sizeof(pr),
        .kind = SX_KIND_TOKENIZER,
        .iface_version = SX_TOKENIZER_IFACE,
        .caps = caps,
        .name = name,
        .ops = ops,
        .self = w->self,
        .module = "tokenizer-icu",
    };
    struct lines l = {.wanted = wanted};
    struct sx_suite_report report = SX_SUITE_REPORT_INIT;
    report.flags = flags;
    report.line = take_line;
    report.arg = &l;
    struct suite s = {&pr, w->host, &report, 0x9e3779b97f4a7c15ull};
    sx_suite__tokenizer(&s);
    assert_true(report.n_checks > 100);
    if (wanted != NULL && !l.is_found)
        fail_msg("no line says '%s' among %u findings", wanted, report.n_failures);
    return report.n_failures;
}

#define CAPS (SX_TOKENIZER_TRANSFORMS | SX_TOKENIZER_POSITIONS)

static void test_suite(void **state)
{
    struct world *w = *state;
    const struct sx_plugin *null = &null_tokenizer_LTX_sx_plugin;
    assert_int_equal(tokenizer_icu_LTX_sx_plugin.provides[0].caps, CAPS);
    assert_int_equal(run_suite(w, w->ops, "multilingual", CAPS, 0, NULL), 0);
    assert_int_equal(run_suite(w, null->provides[0].ops, "null", null->provides[0].caps, 0, NULL),
                     0);
}

/* The good provider with one thing wrong. */
static const struct sx_tokenizer_ops *good;
struct spoiled {
    int (*sink)(void *arg, const struct sx_token *t);
    void *arg;
    uint32_t n, is_odd;
};
enum {
    SPOIL_POSITION,
    SPOIL_SIZE,
    SPOIL_EMPTY,
    SPOIL_BYTES,
    SPOIL_STOP,
    SPOIL_COUNTER,
    SPOIL_SCRATCH,
    SPOIL_SPAN,
};
static uint32_t spoil, calls;

static int spoiled_sink(void *arg, const struct sx_token *t)
{
    struct spoiled *x = arg;
    struct sx_token mine = *t;
    if (spoil == SPOIL_POSITION && x->n > 1)
        mine.position = 0;
    if (spoil == SPOIL_SIZE)
        mine.size = 8;
    if (spoil == SPOIL_EMPTY && x->n == 2)
        mine.n = 0;
    if (spoil == SPOIL_BYTES && (unsigned char)mine.p[mine.n - 1] >= 0x80)
        mine.n--;
    if (spoil == SPOIL_COUNTER && x->n > 0 && x->is_odd)
        mine.flags ^= SX_TOKEN_UNSTEMMED;
    x->n++;
    int rc = x->sink(x->arg, &mine);
    return spoil == SPOIL_STOP ? 0 : rc;
}

static int spoiled_split(void *self,
                         void *h,
                         struct sx_str text,
                         void *scratch,
                         struct sx_buf *buf,
                         int (*sink)(void *arg, const struct sx_token *t),
                         void *arg,
                         struct sx_err *err)
{
    struct spoiled x = {.sink = sink, .arg = arg};
    uint8_t *first = scratch;
    x.is_odd = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 2;
    if (spoil == SPOIL_SCRATCH && first[16] == 0xee)
        text.n = 0; /* remembers that it was called before */
    int rc = good->split(self, h, text, scratch, buf, spoiled_sink, &x, err);
    if (spoil == SPOIL_SCRATCH)
        first[16] = 0xee;
    return rc;
}

static uint64_t version_zero(void *self, void *h)
{
    (void)self;
    (void)h;
    return 0;
}

static int open_anything(void *self, struct sx_doc params, void **out, struct sx_err *err)
{
    (void)params;
    return good->open(self, (struct sx_doc){0}, out, err);
}

static void test_suite_finds(void **state)
{
    static const struct {
        uint32_t spoil, pad;
        const char *name, *wanted;
        uint64_t caps;
    } cases[] = {
        {SPOIL_POSITION, 0, "x", "position out of order", CAPS},
        {SPOIL_SIZE, 0, "x", "wrong size", CAPS},
        {SPOIL_EMPTY, 0, "x", "is empty", CAPS},
        {SPOIL_BYTES, 0, "x", "not UTF-8", CAPS},
        {SPOIL_STOP, 0, "x", "a sink that stops", CAPS},
        {SPOIL_COUNTER, 0, "x", "other tokens the second time", CAPS},
        {SPOIL_SCRATCH, 0, "x", "other tokens", CAPS},
        {SPOIL_SPAN, 0, "x", "outside the text", SX_TOKENIZER_POSITIONS},
    };
    struct world *w = *state;
    good = w->ops;
    struct sx_tokenizer_ops ops = *good;
    ops.split = spoiled_split;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        spoil = cases[i].spoil;
        assert_true(
            run_suite(w, &ops, cases[i].name, cases[i].caps, SX_SUITE_QUICK, cases[i].wanted) > 0);
    }
    ops = *good;
    ops.version = version_zero;
    run_suite(w, &ops, "x", CAPS, SX_SUITE_QUICK, "version is 0");
    ops = *good;
    ops.open = open_anything;
    run_suite(w, &ops, "x", CAPS, SX_SUITE_QUICK, "unknown parameter");
    /* A tokenizer that does not split is none of the name "multilingual". */
    run_suite(w, null_tokenizer_LTX_sx_plugin.provides[0].ops, "multilingual",
              SX_TOKENIZER_POSITIONS, SX_SUITE_QUICK, "becomes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),         cmocka_unit_test(test_fold),
        cmocka_unit_test(test_dictionaries),  cmocka_unit_test(test_flags),
        cmocka_unit_test(test_ascii_oracle),  cmocka_unit_test(test_decomposition_oracle),
        cmocka_unit_test(test_window_oracle), cmocka_unit_test(test_endless_word),
        cmocka_unit_test(test_any_bytes),     cmocka_unit_test(test_handles),
        cmocka_unit_test(test_suite),         cmocka_unit_test(test_suite_finds),
    };
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
