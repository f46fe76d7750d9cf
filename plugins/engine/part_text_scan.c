/* Conditions and figures of the open form: the sequence of codes is gone through for one code, and
 * the slices it is found in are looked at. */
#include <stdlib.h>
#include <string.h>

#include "part_text.h"

#include "sextant/sx_ban.h"

#define ONE_BY_ONE 4u /* tokens of text_any that are scanned for, each alone */

/* --- units that have a code -------------------------------------------------------------- */

void eng_tx_scan_begin(struct eng_tx_scan *s, const struct eng_tx_units *u, uint32_t code)
{
    s->u = u;
    s->code = code;
    s->unit = u->lo;
    s->at = s->past = u->hi > u->lo ? eng_tx_unit_from(u, u->lo) : 0;
    s->end = u->hi > u->lo ? u->end[u->hi - 1] : 0;
    s->n = s->word = 0;
}

/* The unit whose slice holds the place; not before s->unit. Steps double until they have gone past
 * it: hits are near each other or far apart. */
static uint32_t unit_at(const struct eng_tx_scan *s, uint32_t place)
{
    const uint32_t *end = s->u->end;
    uint32_t lo = s->unit, hi = lo, step = 1;

    while (hi < s->u->hi && end[hi] <= place) {
        lo = hi + 1;
        hi = s->u->hi - hi > step ? hi + step : s->u->hi;
        step *= 2;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (end[mid] <= place)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The next block of codes; 0 at the end. */
static int next_block(struct eng_tx_scan *s)
{
    s->at += s->n;
    if (s->at >= s->end)
        return 0;
    s->n = s->end - s->at < SX_CHUNK_ROWS ? s->end - s->at : SX_CHUNK_ROWS;
    s->word = 0;
    memset(s->hits.w, 0, (s->n + 63) / 64 * sizeof(s->hits.w[0]));
    kw_scan_eq(s->u->tok + s->at, 4, s->n, s->code, 0, &s->hits);
    return 1;
}

int eng_tx_scan_next(struct eng_tx_scan *s, uint32_t *unit)
{
    for (;;) {
        for (; s->word << 6 < s->n; s->word++) {
            uint64_t *w = &s->hits.w[s->word];

            while (*w != 0) {
                uint32_t place = s->at + s->word * 64 + (uint32_t)__builtin_ctzll(*w);

                *w &= *w - 1;
                if (place < s->past)
                    continue;
                s->unit = unit_at(s, place);
                s->past = s->u->end[s->unit];
                *unit = s->unit;
                return 1;
            }
        }
        if (!next_block(s))
            return 0;
    }
}

/* --- masks ------------------------------------------------------------------------------- */

static void or_token(const struct eng_tx_units *u, uint32_t code, struct eng_bits *out)
{
    struct eng_tx_scan s;
    uint32_t unit;

    eng_tx_scan_begin(&s, u, code);
    while (eng_tx_scan_next(&s, &unit))
        eng_bits_set(out, eng_tx_unit_row(u, unit));
}

/* Many tokens, one pass: a byte a code says whether it is one of them. */
static void or_selected(const struct eng_tx_units *u,
                        const uint8_t *sel,
                        uint32_t n_codes,
                        struct eng_bits *out)
{
    for (uint32_t i = u->lo; i < u->hi; i++) {
        uint32_t from = eng_tx_unit_from(u, i);

        while (from < u->end[i] && !(u->tok[from] < n_codes && sel[u->tok[from]]))
            from++;
        if (from < u->end[i])
            eng_bits_set(out, eng_tx_unit_row(u, i));
    }
}

static void mask_any(const struct eng_tx_open *o,
                     const struct eng_prep_tokens *prep,
                     const struct eng_tx_units *u,
                     struct eng_bits *yes,
                     struct eng_bits *maybe)
{
    const struct sx_mem *mem = o->eng->mem;
    /* Up to here all tokens that rows of the reader can have are there. */
    uint32_t n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire), n_found = 0, code;
    uint8_t *sel = prep->n > ONE_BY_ONE ? mem->zalloc(mem, (uint64_t)n_codes + 1) : NULL;

    if (prep->n > ONE_BY_ONE && sel == NULL) {
        for (uint32_t i = u->lo; i < u->hi; i++)
            eng_bits_set(maybe, eng_tx_unit_row(u, i)); /* documents have the answer as well */
        return;
    }
    for (uint32_t i = 0; i < prep->n; i++) {
        code = kw_dict_find(&o->dict, prep->tokens[i].p, prep->tokens[i].n);
        if (code >= n_codes)
            continue;
        n_found++;
        if (sel != NULL)
            sel[code] = 1;
        else
            or_token(u, code, yes);
    }
    if (sel != NULL && n_found != 0)
        or_selected(u, sel, n_codes, yes);
    if (sel != NULL)
        mem->release(mem, sel);
}

static int by_code(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The codes of the query's tokens, and the one to scan for; 0 when the part lacks a token. */
static int find_codes(const struct eng_tx_open *o,
                      const struct eng_prep_tokens *prep,
                      struct eng_tx_query *q,
                      uint32_t *pivot)
{
    uint32_t fewest = UINT32_MAX;

    for (uint32_t i = 0; i < q->n; i++) {
        uint32_t code = kw_dict_find(&o->dict, prep->tokens[i].p, prep->tokens[i].n), rows;

        if (code == KW_NO_CODE)
            return 0;
        q->codes[i] = code;
        rows = eng_tx_open_rows(o, code);
        if (i == 0 || rows < fewest) {
            fewest = rows;
            *pivot = code;
        }
    }
    if (q->border == NULL)
        qsort(q->codes, q->n, sizeof(q->codes[0]), by_code);
    return 1;
}

void eng_tx_open_mask(const struct eng_tx_open *o,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe)
{
    struct eng_tx_query q;
    struct eng_tx_units u;
    struct eng_tx_scan s;
    uint32_t pivot = 0, unit;

    eng_tx_units_of(o, lo, hi, &u);
    if (u.hi <= u.lo)
        return;
    if (eng_tx_is_any(leaf)) {
        mask_any(o, leaf->prep, &u, yes, maybe);
        return;
    }
    eng_tx_query_init(&q, leaf);
    if (!find_codes(o, leaf->prep, &q, &pivot))
        return;
    eng_tx_scan_begin(&s, &u, pivot);
    while (eng_tx_scan_next(&s, &unit)) {
        struct eng_tx_slice slice = eng_tx_unit_slice(&u, unit);

        if (eng_tx_slice_fits(&slice, &q))
            eng_bits_set(q.is_partial ? maybe : yes, eng_tx_unit_row(&u, unit));
    }
}

/* --- figures ----------------------------------------------------------------------------- */

void eng_tx_open_tally(const struct eng_tx_open *o,
                       const struct eng_prep_tokens *prep,
                       struct eng_tally *t)
{
    struct eng_tx_units u;

    eng_tx_units_of(o, 0, SX_CHUNK_ROWS, &u);
    t->distinct += atomic_load_explicit(&o->dict.n, memory_order_acquire);
    t->values += u.hi > u.lo ? u.end[u.hi - 1] : 0;
    for (uint32_t i = 0; i < prep->n && i < t->n; i++) {
        uint32_t code = kw_dict_find(&o->dict, prep->tokens[i].p, prep->tokens[i].n);

        if (code != KW_NO_CODE)
            t->len[i] += eng_tx_open_rows(o, code);
    }
}
