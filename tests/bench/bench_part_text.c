/* needs: plugins/engine/part_text*.c kernel/epoch.c tests/unit/mem_io.c */
/* Payload indexes of texts: one part of package summaries, what each question costs in either form,
 * and bytes a token.
 *
 *   bench_part_text [payload.jsonl.gz] [texts a row]
 *
 * Prints microseconds of processor time, best of several rounds. Rows are filled until the part is
 * full. */
#include <time.h>

#include "../unit/field_kit.h"
#include "engine/part_text.h"
#include "engine/text.h"

#define ROUNDS 15

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* --- texts ------------------------------------------------------------------------------- */

static struct sx_doc rows[SX_CHUNK_ROWS];
static uint32_t n_rows;
static uint64_t text_bytes;

/* {"t": [texts]} of the next `n` summaries. */
static void add_row(struct sx_docb *b, const char (*text)[512], uint32_t n)
{
    struct sx_doc d;
    uint8_t *p;

    sx_docb_init(b, sx_mem_libc(), 0);
    sx_docb_obj(b);
    sx_docb_ckey(b, "t");
    sx_docb_arr(b);
    for (uint32_t i = 0; i < n; i++) {
        sx_docb_cstr(b, text[i]);
        text_bytes += strlen(text[i]);
    }
    sx_docb_close(b);
    sx_docb_close(b);
    d = sx_docb_end(b);
    p = malloc(d.n);
    memcpy(p, d.p, d.n);
    d.p = p;
    rows[n_rows++] = d;
    sx_docb_fini(b);
}

static void load(const char *path, uint32_t texts)
{
    static char command[4096], line[65536], text[64][512];
    struct sx_arena arena;
    uint32_t n = 0;
    FILE *f;

    snprintf(command, sizeof(command), "gzip -dc '%s'", path);
    f = popen(command, "r");
    if (f == NULL)
        exit(2);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    while (n_rows < SX_CHUNK_ROWS && fgets(line, sizeof(line), f) != NULL) {
        struct sx_docb b;
        struct sx_json j;
        struct sx_str s;

        sx_docb_init(&b, sx_mem_libc(), 0);
        sx_json_init(&j, line, strlen(line), &arena);
        if (sx_json_doc(&j, &b) != 0)
            exit(2);
        s = sx_doc_str(sx_doc_get(sx_docb_end(&b), "summary"));
        snprintf(text[n++], sizeof(text[0]), "%.*s", (int)s.n, s.p != NULL ? s.p : "");
        sx_docb_fini(&b);
        sx_arena_reset(&arena);
        if (n == texts) {
            add_row(&b, text, n);
            n = 0;
        }
    }
    sx_arena_fini(&arena);
    pclose(f);
}

/* --- a part ------------------------------------------------------------------------------ */

static const struct eng_part_ops *const ops = &eng_part_text;

struct part {
    struct eng_field_schema *schema;
    struct sx_arena arena;
    void *open;
    struct sx_buf sealed;
    uint8_t *copy;
    uint32_t n;
};

static void print_part(const struct part *p, double us)
{
    const struct eng_tx_open *o = p->open;
    const struct eng_tx_head *h = (const struct eng_tx_head *)(const void *)p->copy;
    uint64_t tokens = o->w_tok;
    double t = now_us();

    if (ops->check(p->schema, p->copy, p->sealed.n) != 0)
        exit(2);
    t = now_us() - t;
    printf("%u rows, %llu codes, %u distinct, %u pairs; open %.2f, sealed %.2f bytes a code "
           "(%.2f a pair)\n",
           p->n, (unsigned long long)tokens, h->n_values, h->n_entries,
           (double)ops->open_bytes(p->open) / (double)tokens, (double)p->sealed.n / (double)tokens,
           (double)p->sealed.n / h->n_entries);
    printf("  added in %.2f us a row, checked in %.0f us\n", us / p->n, t);
}

static void make(struct part *p, const char *params)
{
    double us, seal;

    memset(p, 0, sizeof(*p));
    p->schema = fk_schema("t", params);
    sx_arena_init(&p->arena, sx_mem_libc(), 0);
    sx_buf_init(&p->sealed, sx_mem_libc());
    p->open = ops->open_create(&fk_conf, p->schema);
    us = now_us();
    while (p->n < SX_CHUNK_ROWS && !ops->open_is_full(p->open)) {
        if (ops->open_add(p->open, p->n, rows[p->n % n_rows]) < 0)
            exit(2);
        p->n++;
        ops->open_commit(p->open);
    }
    us = now_us() - us;
    seal = now_us();
    if (ops->seal(p->open, 0, p->n, &p->sealed) != 0)
        exit(2);
    seal = now_us() - seal;
    p->copy = aligned_alloc(64, (p->sealed.n + 63) & ~63ull);
    memcpy(p->copy, p->sealed.p, p->sealed.n);
    printf("\n%s\n  sealed in %.0f us; ", params, seal);
    print_part(p, us);
}

static void drop(struct part *p)
{
    ops->open_destroy(p->open);
    sx_buf_fini(&p->sealed);
    free(p->copy);
    sx_arena_fini(&p->arena);
    eng_field_schema_destroy(&fk_mem, p->schema);
}

/* --- questions --------------------------------------------------------------------------- */

static void ask(struct part *p, const char *name, uint32_t kind, const char *text)
{
    const struct eng_leaf *leaf = fk_leaf(p->schema, fk_match_str(kind, fk_str(text)), &p->arena);
    double best[2] = {1e9, 1e9}, tally = 1e9;
    uint32_t found[2] = {0, 0};

    if (leaf == NULL)
        return;
    for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
        struct eng_bits yes = {{0}}, maybe = {{0}};
        uint64_t len[16] = {0};
        struct eng_tally sums = {.n = 16, .len = len};
        double t = now_us();

        if (i % 2 == 0)
            ops->open_mask(p->open, leaf, 0, p->n, &yes, &maybe);
        else
            ops->mask(p->schema, p->copy, leaf, &yes, &maybe);
        t = now_us() - t;
        best[i % 2] = t < best[i % 2] ? t : best[i % 2];
        found[i % 2] = eng_bits_count(&yes, 0, SX_CHUNK_ROWS);
        t = now_us();
        ops->tally(p->schema, NULL, p->open, p->n, leaf, &sums);
        t = now_us() - t;
        tally = t < tally ? t : tally;
    }
    if (found[0] != found[1])
        exit(2);
    printf("  %-34s %6u rows: open %8.1f us (figures %7.1f), sealed %8.1f us\n", name, found[0],
           best[0], tally, best[1]);
}

static void iterate(struct part *p, const char *token)
{
    struct eng_tx_part parts[2] = {{.open = p->open, .hi = p->n}, {.sealed = p->copy}};
    static struct eng_tx_postings it;
    double best[2] = {1e9, 1e9};
    uint64_t n = 0, sum = 0;

    for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
        struct eng_tx_posting e;
        double t = now_us();

        n = 0;
        if (eng_tx_postings_begin(&it, &parts[i % 2], fk_str(token), NULL)) {
            for (; eng_tx_postings_next(&it, &e); n++)
                sum += e.tf + e.len;
        }
        t = now_us() - t;
        best[i % 2] = t < best[i % 2] ? t : best[i % 2];
    }
    printf("  frequencies of %-19s %6llu rows: open %8.1f us, sealed %8.1f us (%.1f ns each)%s\n",
           token, (unsigned long long)n, best[0], best[1], n != 0 ? best[1] * 1e3 / (double)n : 0.0,
           sum == 1 ? "." : "");
}

static void run(const char *params)
{
    struct part p;

    make(&p, params);
    ask(&p, "text, a frequent token", SX_MATCH_TEXT, "for");
    ask(&p, "text, a rare token", SX_MATCH_TEXT, "emacs");
    ask(&p, "text, an unknown token", SX_MATCH_TEXT, "unheardof");
    ask(&p, "text, two frequent tokens", SX_MATCH_TEXT, "library for");
    ask(&p, "text, three tokens", SX_MATCH_TEXT, "library for python");
    ask(&p, "text_any, four tokens", SX_MATCH_TEXT_ANY, "game editor emacs kernel");
    ask(&p, "text_any, eight tokens", SX_MATCH_TEXT_ANY,
        "game editor emacs kernel python perl ruby java");
    ask(&p, "phrase, frequent", SX_MATCH_PHRASE, "library for");
    ask(&p, "phrase, frequent, three tokens", SX_MATCH_PHRASE, "library for the");
    ask(&p, "phrase, rare", SX_MATCH_PHRASE, "window manager");
    if ((p.schema->flags & ENG_FIELD_SCORING) != 0) {
        iterate(&p, "for");
        iterate(&p, "emacs");
    }
    drop(&p);
}

int main(int argc, char **argv)
{
    fk_start(NULL);
    load(argc > 1 ? argv[1] : "tests/data/payload.jsonl.gz",
         argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1);
    printf("%u rows of %.0f bytes of text\n", n_rows, (double)text_bytes / n_rows);
    run("{\"type\": \"text\"}");
    run("{\"type\": \"text\", \"phrase_matching\": true}");
    run("{\"type\": \"text\", \"scoring\": true}");
    run("{\"type\": \"text\", \"scoring\": true, \"phrase_matching\": true}");
    run("{\"type\": \"text\", \"tokenizer\": \"prefix\", \"min_token_len\": 2, \"max_token_len\": "
        "8}");
    while (n_rows > 0)
        fk_doc_free(&rows[--n_rows]);
    fk_stop();
    return 0;
}
