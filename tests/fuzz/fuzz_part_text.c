/* Bytes as the sealed form of a text index: what the check lets pass can be asked anything without
 * a step outside of it.
 *
 * Byte 0 picks the options of the index. Byte 1, bit 0: the rest is the part; else a part of some
 * documents is taken, and the rest changes it: two bytes of place (modulo the length) and one to
 * exclusive-or, again and again. A part as it was made passes. */
/* needs: plugins/engine/part_text*.c */
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "engine/part_text.h"
#include "engine/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPTIONS 8u

static const char *const texts[] = {
    "{\"o\": [{\"t\": \"a quick fox\"}, {\"t\": [\"fox dog\", \"a dog\"]}]}",
    "{\"o\": [{\"t\": \"getUserName of a fox\"}]}",
    "{\"o\": [{\"t\": \"\"}, {\"t\": \"fox\"}]}",
    "{\"o\": []}",
};

/* A part of each kind: the last ones have postings that are bitmaps, and large frequencies. */
static struct {
    struct eng_field_schema schema;
    struct sx_buf bytes;
} made[2 * OPTIONS];

/* One thread, so that nobody looks at what is retired. */
static void retire(void (*fn)(void *arg), void *arg)
{
    fn(arg);
}

static const struct sx_epoch epoch = {.size = sizeof(epoch), .retire = retire};
static struct eng eng = {.epoch = &epoch};
static const struct eng_field_conf conf = {.eng = &eng};
static struct sx_arena arena;

static struct sx_doc doc_of(const char *json)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, strlen(json), &arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    if (sx_json_doc(&j, &b) != 0)
        abort();
    d = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    return d;
}

static void schema_of(uint32_t k, struct eng_field_schema *s)
{
    s->type = ENG_FIELD_TEXT;
    s->flags = ((k & 1) != 0 ? ENG_FIELD_PHRASE : 0) | ((k & 2) != 0 ? ENG_FIELD_SCORING : 0);
    s->nested_steps = (k & 4) != 0 ? 2 : 0;
    if (sx_path_parse(&arena, (struct sx_str){"o[].t", 5, 0}, &s->path, NULL) != 0 ||
        eng_analyzer_create(sx_mem_libc(), NULL, doc_of("{\"tokenizer\": \"code\"}"), &s->analyzer,
                            NULL) != 0)
        abort();
}

static void add(void *open, uint32_t row, struct sx_doc d)
{
    if (eng_part_text.open_add(open, row, d) < 0)
        abort();
}

static void add_many(void *open)
{
    char many[1024] = "{\"o\": [{\"t\": \"";
    struct sx_doc d;

    for (uint32_t i = 0; i < 300; i++)
        strcat(many, "a ");
    strcat(many, "\"}]}");
    add(open, 20, doc_of(many));
    d = doc_of(texts[0]);
    for (uint32_t row = 30; row < 4200; row++)
        add(open, row, d);
}

static void make(uint32_t k)
{
    void *open;

    schema_of(k, &made[k].schema);
    open = eng_part_text.open_create(&conf, &made[k].schema);
    for (uint32_t row = 3; row < 15; row++)
        add(open, row, doc_of(texts[row % SX_COUNT(texts)]));
    if (k >= OPTIONS)
        add_many(open);
    eng_part_text.open_commit(open);
    sx_buf_init(&made[k].bytes, sx_mem_libc());
    if (eng_part_text.seal(open, 3, k >= OPTIONS ? 4200 : 16, &made[k].bytes) != 0)
        abort();
    eng_part_text.open_destroy(open);
}

static volatile uint64_t sink;

static void ask_mask(const struct eng_field_schema *s,
                     const uint8_t *p,
                     uint32_t kind,
                     const struct sx_str *tokens,
                     uint32_t n)
{
    static const uint32_t border[3] = {0, 0, 0};
    struct eng_prep_tokens prep = {.n = n, .tokens = tokens, .border = border};
    struct sx_cond cond = {.kind = SX_COND_FIELD};
    struct eng_leaf leaf = {.kind = ENG_LEAF_MATCH, .cond = &cond, .prep = &prep};
    struct eng_bits yes = {{0}}, maybe = {{0}};
    uint64_t len[3] = {0};
    struct eng_tally t = {.n = n, .len = len};

    cond.match.kind = kind;
    if (!eng_part_text.answers(s, &leaf))
        return;
    eng_part_text.mask(s, p, &leaf, &yes, &maybe);
    eng_part_text.tally(s, p, NULL, 0, &leaf, &t);
    sink += yes.w[0] + len[0];
}

static void ask_scores(const uint8_t *p, struct sx_str token, const struct eng_bits *rows)
{
    static struct eng_tx_postings it;
    struct eng_tx_part part = {.sealed = p};
    struct eng_tx_docs sum = {0, 0};
    struct eng_tx_posting e;

    eng_tx_docs_of(&part, rows, &sum);
    sink += sum.length + eng_tx_df(&part, token, rows);
    if (!eng_tx_postings_begin(&it, &part, token, rows))
        return;
    while (eng_tx_postings_next(&it, &e))
        sink += e.tf + e.len;
}

/* The tokens of the part, three at a time. */
static void ask(const struct eng_field_schema *s, const uint8_t *p)
{
    struct eng_tx_view v;
    struct eng_bits rows;

    memset(&rows, 0xa7, sizeof(rows));
    eng_tx_view_of(p, &v);
    for (uint32_t i = 0; i < v.h->n_values && i < 8; i++) {
        struct sx_str tokens[3];

        for (uint32_t k = 0; k < 3; k++)
            tokens[k] = eng_tx_str(&v, (i + k) % v.h->n_values);
        ask_mask(s, p, SX_MATCH_TEXT, tokens, 3);
        ask_mask(s, p, SX_MATCH_TEXT_ANY, tokens, 2);
        ask_mask(s, p, SX_MATCH_PHRASE, tokens, 2);
        if ((s->flags & ENG_FIELD_SCORING) == 0)
            continue;
        ask_scores(p, tokens[0], NULL);
        ask_scores(p, tokens[0], &rows);
    }
}

static void change(uint8_t *p, uint64_t n, const uint8_t *data, size_t size)
{
    for (; size >= 3; data += 3, size -= 3)
        p[((uint64_t)data[0] << 8 | data[1]) % n] ^= data[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t k = size >= 2 ? data[0] % (2 * OPTIONS) : 0;
    int is_raw = size >= 2 && (data[1] & 1) != 0;
    uint64_t n;
    uint8_t *p;

    if (size < 2)
        return 0;
    if (eng.mem == NULL) {
        eng.mem = sx_mem_libc();
        sx_arena_init(&arena, sx_mem_libc(), 0);
        for (uint32_t i = 0; i < 2 * OPTIONS; i++)
            make(i);
    }
    n = is_raw ? size - 2 : made[k].bytes.n;
    p = aligned_alloc(64, (n + 64) & ~63ull);
    if (p == NULL)
        return 0;
    memcpy(p, is_raw ? (const void *)(data + 2) : (const void *)made[k].bytes.p, n);
    if (!is_raw)
        change(p, n, data + 2, size - 2);
    /* Exactly as long, so that a step behind it is seen. */
    p = realloc(p, n != 0 ? n : 1);
    if (eng_part_text.check(&made[k].schema, p, n) == 0)
        ask(&made[k].schema, p);
    else if (!is_raw && size == 2)
        abort();
    free(p);
    return 0;
}
