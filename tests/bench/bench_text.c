/* needs: plugins/engine/bm25.c plugins/engine/text_*.c */
/* Text analysis: megabytes of text a second, by kind of text and by what the analyzer does; and
 * whole BM25 vectors, with their analyzer made anew each time, as a request does. Processor time,
 * best of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/bm25.h"
#include "../../plugins/engine/text.h"

#define TEXT_BYTES (1u << 20)
#define ROUNDS     7

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t seed = 88172645463325252u;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed % n);
}

/* Words of a text in English, Russian, German or of a program, in random order: some capitals, some
 * punctuation. */
static const char *const english[] = {
    "the",    "of",        "and",     "to",         "in",       "is",      "that",       "Search",
    "engine", "documents", "indexed", "quickly",    "vectors",  "Payload", "filtering",  "it",
    "was",    "running",   "with",    "collection", "points",   "nearest", "neighbours", "a",
    "for",    "as",        "on",      "are",        "database", "Each",    "query",      "returns"};
static const char *const russian[] = {"и",         "в",      "не",      "Поиск",
                                      "документы", "быстро", "векторы", "является",
                                      "коллекция", "точки",  "это",     "запрос"};
static const char *const german[] = {"die",      "und",  "Häuser",   "größer",
                                     "Straße",   "über", "schnelle", "Suche",
                                     "Vektoren", "ist",  "für",      "nächste"};
static const char *const program[] = {
    "getUserName", "HTTPServer", "for",        "int", "max_token_len",
    "return",      "URLs",       "sx_buf_add", "i",   "NULL"};

static char *make(const char *const *words, uint32_t n, const char *between)
{
    char *text = malloc(TEXT_BYTES + 64);
    uint32_t at = 0;

    while (at < TEXT_BYTES) {
        const char *w = words[below(n)];

        memcpy(text + at, w, strlen(w));
        at += (uint32_t)strlen(w);
        if (below(8) == 0)
            text[at++] = between[below((uint32_t)strlen(between))];
        text[at++] = ' ';
    }
    while ((text[at] & 0xc0) == 0x80)
        at--;
    text[at] = '\0';
    return text;
}

static struct sx_arena arena;

static struct sx_doc doc(const char *json)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, strlen(json), &arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    if (sx_json_doc(&j, &b) != 0)
        exit(2);
    d = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    return d;
}

struct total {
    uint64_t tokens, bytes;
};

static int add(void *arg, const struct eng_text_token *t)
{
    struct total *sum = arg;

    sum->tokens++;
    sum->bytes += t->text.n;
    return 0;
}

static void run(const char *name, const char *params, const char *text)
{
    struct sx_str s = {text, (uint32_t)strlen(text), 0};
    struct eng_analyzer *a;
    struct total sum = {0, 0};
    struct sx_buf work;
    double best = 1e9;

    if (eng_analyzer_create(sx_mem_libc(), NULL, doc(params), &a, NULL) != 0)
        exit(2);
    sx_buf_init(&work, sx_mem_libc());
    for (uint32_t i = 0; i < ROUNDS; i++) {
        double t = now();

        sum = (struct total){0, 0};
        if (eng_analyze(a, ENG_TEXT_DOC, s, &work, add, &sum) != 0)
            exit(2);
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("%-34s %7.1f MB/s %6.1f ns/token %8llu tokens\n", name, s.n / best * 1e-6,
           best * 1e9 / (double)sum.tokens, (unsigned long long)sum.tokens);
    sx_buf_fini(&work);
    eng_analyzer_destroy(a);
}

/* Documents of 500 bytes or so. */
static void run_vectors(const char *text)
{
    double best = 1e9;
    uint32_t n = 500, count = 0;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        double t = now();

        count = 0;
        for (uint32_t at = 0; at + n < 200000; at += n, count++) {
            struct sx_vec_in v;

            memset(&v, 0, sizeof(v));
            if (eng_bm25_embed(sx_mem_libc(), NULL, (struct sx_doc){NULL, 0, 0},
                               (struct sx_str){text + at, n, 0}, 0, &arena, &v, NULL) != 0)
                exit(2);
            sx_arena_reset(&arena);
        }
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("%-34s %7.1f MB/s %6.1f us/document\n", "BM25 vectors of 500 bytes",
           n * count / best * 1e-6, best * 1e6 / count);
}

int main(void)
{
    char *en = make(english, SX_COUNT(english), ",.;-");
    char *ru = make(russian, SX_COUNT(russian), ",.");
    char *de = make(german, SX_COUNT(german), ",.");
    char *code = make(program, SX_COUNT(program), "(){};=");

    sx_arena_init(&arena, sx_mem_libc(), 0);
    run("word, ASCII", "{}", en);
    run("whitespace, ASCII", "{\"tokenizer\": \"whitespace\"}", en);
    run("word, German", "{}", de);
    run("word, Russian", "{}", ru);
    run("folding, German", "{\"ascii_folding\": true}", de);
    run("stop words, ASCII", "{\"stopwords\": \"english\"}", en);
    run("stop words and stems, ASCII",
        "{\"stopwords\": \"english\", \"stemmer\": {\"type\": \"snowball\", \"language\": "
        "\"english\"}}",
        en);
    run("stems, Russian", "{\"stemmer\": {\"type\": \"snowball\", \"language\": \"russian\"}}", ru);
    run("prefix up to 8, ASCII", "{\"tokenizer\": \"prefix\", \"max_token_len\": 8}", en);
    run("code", "{\"tokenizer\": \"code\"}", code);
    sx_arena_reset(&arena);
    run_vectors(en);
    sx_arena_fini(&arena);
    free(en);
    free(ru);
    free(de);
    free(code);
    return 0;
}
