/* The kind "text": strings as tokens of the index's analyzer. Answers text, text_any and phrase,
 * all of them fully; a phrase only where the index keeps sequences, else nothing matches and the
 * leaf is decided before it gets here. */
#include "part_text.h"

#include <string.h>

#include "text.h"

#include "sextant/sx_ban.h"

/* --- what a leaf asks -------------------------------------------------------------------- */

int eng_tx_asks(const struct eng_field_schema *s, const struct eng_leaf *leaf)
{
    if (leaf->kind != ENG_LEAF_MATCH || leaf->cond == NULL || leaf->prep == NULL)
        return 0;
    switch (leaf->cond->match.kind) {
    case SX_MATCH_TEXT:
    case SX_MATCH_TEXT_ANY:
        return 1;
    case SX_MATCH_PHRASE:
        return (s->flags & ENG_FIELD_PHRASE) != 0;
    default:
        return 0;
    }
}

int eng_tx_is_any(const struct eng_leaf *leaf)
{
    const struct eng_prep_tokens *prep = leaf->prep;

    return prep->n == 1 || leaf->cond->match.kind == SX_MATCH_TEXT_ANY;
}

void eng_tx_query_init(struct eng_tx_query *q, const struct eng_leaf *leaf)
{
    const struct eng_prep_tokens *prep = leaf->prep;

    q->border = leaf->cond->match.kind == SX_MATCH_PHRASE ? prep->border : NULL;
    q->is_partial = prep->n > TX_TOKENS;
    q->n = q->is_partial ? TX_TOKENS : prep->n;
    q->slice = q->pad = 0;
    memset(q->seen, 0, q->n * sizeof(q->seen[0]));
}

/* --- the kind ---------------------------------------------------------------------------- */

static void *open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    return eng_tx_open_create(conf->eng, s);
}

static void open_mask(const void *open,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe)
{
    const struct eng_tx_open *o = open;

    if (eng_tx_asks(o->schema, leaf))
        eng_tx_open_mask(o, leaf, lo, hi, yes, maybe);
}

static void mask(const struct eng_field_schema *s,
                 const uint8_t *p,
                 const struct eng_leaf *leaf,
                 struct eng_bits *yes,
                 struct eng_bits *maybe)
{
    if (eng_tx_asks(s, leaf))
        eng_tx_sealed_mask(p, leaf, yes, maybe);
}

static void tally(const struct eng_field_schema *s,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi SX_UNUSED,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out)
{
    if (!eng_tx_asks(s, leaf))
        return;
    if (sealed != NULL)
        eng_tx_sealed_tally(sealed, leaf->prep, out);
    else
        eng_tx_open_tally(open, leaf->prep, out);
}

static uint64_t stamp(const struct eng_field_schema *s)
{
    return eng_analyzer_version(s->analyzer);
}

const struct eng_part_ops eng_part_text = {
    .name = "text",
    .open_create = open_create,
    .open_destroy = eng_tx_open_destroy,
    .open_add = eng_tx_open_add,
    .open_cut = eng_tx_open_cut,
    .open_commit = eng_tx_open_commit,
    .open_mask = open_mask,
    .open_bytes = eng_tx_open_bytes,
    .open_is_full = eng_tx_open_is_full,
    .seal = eng_tx_seal,
    .check = eng_tx_check,
    .mask = mask,
    .tally = tally,
    .answers = eng_tx_asks,
    .stamp = stamp,
};
