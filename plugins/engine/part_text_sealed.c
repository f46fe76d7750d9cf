/* Conditions and figures of sorted tokens. The bytes have been checked. */
#include <string.h>

#include "part_text.h"

#include "sextant/sx_ban.h"

uint32_t eng_tx_find(const struct eng_tx_view *v, struct sx_str token)
{
    uint32_t lo = 0, hi = v->h->n_values;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = kw_cmp(eng_tx_str(v, mid), token);

        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return KW_NO_CODE;
}

/* --- rows -------------------------------------------------------------------------------- */

static void or_token(const struct eng_tx_view *v, uint32_t code, struct eng_bits *out)
{
    const struct kw_post *p = &v->post[code];

    if (p->n == 1) {
        eng_bits_set(out, p->at);
    } else if (p->n <= KW_LIST_MAX) {
        for (uint32_t i = 0; i < p->n; i++)
            eng_bits_set(out, v->list[p->at + i]);
    } else {
        const uint64_t *w = eng_tx_bitmap(v, code);

        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            out->w[i] |= w[i];
    }
}

static void and_token(const struct eng_tx_view *v, uint32_t code, struct eng_bits *rows)
{
    const struct kw_post *p = &v->post[code];
    struct eng_bits have;

    if (p->n > KW_LIST_MAX) {
        const uint64_t *w = eng_tx_bitmap(v, code);

        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            rows->w[i] &= w[i];
        return;
    }
    memset(&have, 0, sizeof(have));
    or_token(v, code, &have);
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        rows->w[i] &= have.w[i];
}

/* The codes of the query's tokens, ascending or in sequence as the tokens are; 0 when the part
 * lacks one. */
static int
find_codes(const struct eng_tx_view *v, const struct eng_prep_tokens *prep, struct eng_tx_query *q)
{
    for (uint32_t i = 0; i < q->n; i++) {
        q->codes[i] = eng_tx_find(v, prep->tokens[i]);
        if (q->codes[i] == KW_NO_CODE)
            return 0;
    }
    return 1;
}

static int row_fits(const struct eng_tx_view *v, uint32_t row, struct eng_tx_query *q)
{
    uint32_t unit, to;

    for (eng_tx_row_units(v, row, &unit, &to); unit < to; unit++) {
        struct eng_tx_slice s = eng_tx_slice(v, unit);

        if (eng_tx_slice_fits(&s, q))
            return 1;
    }
    return 0;
}

/* All tokens, somewhere in the row; then in one slice of it, where that is asked. */
static void mask_all(const struct eng_tx_view *v,
                     struct eng_tx_query *q,
                     struct eng_bits *yes,
                     struct eng_bits *maybe)
{
    int by_slice = q->border != NULL || (v->h->flags & TX_NESTED) != 0;
    struct eng_bits rows = {{0}}, *out = q->is_partial ? maybe : yes;

    or_token(v, q->codes[0], &rows);
    for (uint32_t i = 1; i < q->n; i++)
        and_token(v, q->codes[i], &rows);
    for (uint32_t w = v->h->lo >> 6; w << 6 < v->h->hi; w++) {
        uint64_t keep = rows.w[w];

        for (uint64_t x = by_slice ? keep : 0; x != 0; x &= x - 1) {
            if (!row_fits(v, w * 64 + (uint32_t)__builtin_ctzll(x), q))
                keep &= ~(x & (0 - x));
        }
        out->w[w] |= keep;
    }
}

void eng_tx_sealed_mask(const uint8_t *p,
                        const struct eng_leaf *leaf,
                        struct eng_bits *yes,
                        struct eng_bits *maybe)
{
    const struct eng_prep_tokens *prep = leaf->prep;
    struct eng_tx_query q;
    struct eng_tx_view v;

    eng_tx_view_of(p, &v);
    if (!eng_tx_is_any(leaf)) {
        eng_tx_query_init(&q, leaf);
        if (find_codes(&v, prep, &q))
            mask_all(&v, &q, yes, maybe);
        return;
    }
    for (uint32_t i = 0; i < prep->n; i++) {
        uint32_t code = eng_tx_find(&v, prep->tokens[i]);

        if (code != KW_NO_CODE)
            or_token(&v, code, yes);
    }
}

/* --- figures ----------------------------------------------------------------------------- */

void eng_tx_sealed_tally(const uint8_t *p, const struct eng_prep_tokens *prep, struct eng_tally *t)
{
    struct eng_tx_view v;

    eng_tx_view_of(p, &v);
    t->values += v.h->n_entries;
    t->distinct += v.h->n_values;
    for (uint32_t i = 0; i < prep->n && i < t->n; i++) {
        uint32_t code = eng_tx_find(&v, prep->tokens[i]);

        if (code != KW_NO_CODE)
            t->len[i] += v.post[code].n;
    }
}
