/* Any bytes as the sealed form of a text index: what the check lets through can be asked anything
 * without a step outside of it.
 *
 * The first byte picks the options of the index; the rest is taken as the bytes of a part, but for
 * the flags of its head, which are those of the options: so that inputs get past them. */
/* needs: plugins/engine/part_text*.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/part_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eng_field_schema s = {.type = ENG_FIELD_TEXT};
    uint8_t *p;

    if (size < 1 + sizeof(struct eng_tx_head))
        return 0;
    s.flags =
        ((data[0] & 1) != 0 ? ENG_FIELD_PHRASE : 0) | ((data[0] & 2) != 0 ? ENG_FIELD_SCORING : 0);
    s.nested_steps = (data[0] & 4) != 0 ? 2 : 0;
    p = malloc(size - 1);
    if (p == NULL)
        return 0;
    memcpy(p, data + 1, size - 1);
    ((struct eng_tx_head *)(void *)p)->flags = eng_tx_flags(&s);
    if (eng_part_text.check(&s, p, size - 1) == 0)
        ask(&s, p);
    free(p);
    return 0;
}
