/* Both forms as BM25 reads them: how many documents there are and how long, which of them have a
 * token, and how often.
 *
 * Of plain indexes the sealed form has the frequencies beside its postings. Those of elements, and
 * of the open form, are counted in the slices: a look at every code of a document that has the
 * token, 16 bytes at a time. */
#include <string.h>

#include "part_text.h"

#include "sextant/sx_ban.h"

static int counts(const struct eng_bits *rows, uint32_t row)
{
    return rows == NULL || eng_bits_get(rows, row);
}

/* --- documents --------------------------------------------------------------------------- */

static void add_len(struct eng_tx_docs *sum, uint16_t len)
{
    sum->n += len != 0;
    sum->length += eng_tx_len(len);
}

static void docs_of_sealed(const uint8_t *p, const struct eng_bits *rows, struct eng_tx_docs *sum)
{
    struct eng_tx_view v;

    eng_tx_view_of(p, &v);
    if (rows == NULL) {
        sum->n += v.h->n_docs;
        sum->length += v.h->length;
        return;
    }
    for (uint32_t w = v.h->lo >> 6; w << 6 < v.h->hi; w++) {
        for (uint64_t x = rows->w[w]; x != 0; x &= x - 1) {
            uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(x), unit, to;

            if (row < v.h->lo || row >= v.h->hi)
                continue;
            for (eng_tx_row_units(&v, row, &unit, &to); unit < to; unit++)
                add_len(sum, v.len[unit]);
        }
    }
}

void eng_tx_docs_of(const struct eng_tx_part *p,
                    const struct eng_bits *rows,
                    struct eng_tx_docs *sum)
{
    struct eng_tx_units u;

    if (p->sealed != NULL) {
        docs_of_sealed(p->sealed, rows, sum);
        return;
    }
    eng_tx_units_of(p->open, 0, p->hi, &u);
    for (uint32_t i = u.lo; i < u.hi; i++) {
        if (counts(rows, eng_tx_unit_row(&u, i)))
            add_len(sum, u.len[i]);
    }
}

/* --- postings of the sealed form ----------------------------------------------------------- */

/* The next row of the posting that counts; `at` becomes the number of those before and with it. */
static int next_row(struct eng_tx_postings *it, uint32_t *row)
{
    const struct kw_post *post = &it->v.post[it->code];

    while (it->at < post->n) {
        if (post->n > KW_LIST_MAX) {
            while (it->bits == 0)
                it->bits = eng_tx_bitmap(&it->v, it->code)[++it->word];
            *row = it->word * 64 + (uint32_t)__builtin_ctzll(it->bits);
            it->bits &= it->bits - 1;
        } else {
            *row = post->n == 1 ? post->at : it->v.list[post->at + it->at];
        }
        it->at++;
        if (counts(it->rows, *row))
            return 1;
    }
    return 0;
}

static uint32_t count_in(const struct eng_tx_postings *it, uint32_t unit)
{
    struct eng_tx_slice s = eng_tx_slice(&it->v, unit);

    return eng_tx_slice_count(&s, it->code);
}

static uint32_t large_tf(const struct eng_tx_view *v, uint32_t entry)
{
    uint32_t lo = 0, hi = v->h->n_many;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (v->many[mid].entry < entry)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->h->n_many ? v->many[lo].tf : TX_TF_MANY;
}

static int next_plain(struct eng_tx_postings *it, struct eng_tx_posting *out)
{
    uint32_t row;

    if (!next_row(it, &row))
        return 0;
    out->row = row;
    out->unit = row - it->v.h->lo;
    out->tf = it->v.tf[it->v.tf_at[it->code] + it->at - 1];
    if (out->tf == TX_TF_MANY)
        out->tf = large_tf(&it->v, it->v.tf_at[it->code] + it->at - 1);
    out->len = eng_tx_len(it->v.len[out->unit]);
    return 1;
}

static int next_element(struct eng_tx_postings *it, struct eng_tx_posting *out)
{
    for (;;) {
        while (it->unit < it->unit_to) {
            uint32_t unit = it->unit++, tf = count_in(it, unit);

            if (tf == 0)
                continue;
            *out = (struct eng_tx_posting){it->row, unit, tf, eng_tx_len(it->v.len[unit])};
            return 1;
        }
        if (!next_row(it, &it->row))
            return 0;
        eng_tx_row_units(&it->v, it->row, &it->unit, &it->unit_to);
    }
}

/* --- of both ----------------------------------------------------------------------------- */

static int next_open(struct eng_tx_postings *it, struct eng_tx_posting *out)
{
    struct eng_tx_slice s;
    uint32_t unit;

    do {
        if (!eng_tx_scan_next(&it->scan, &unit))
            return 0;
    } while (!counts(it->rows, eng_tx_unit_row(&it->u, unit)));
    s = eng_tx_unit_slice(&it->u, unit);
    *out = (struct eng_tx_posting){eng_tx_unit_row(&it->u, unit), unit,
                                   eng_tx_slice_count(&s, it->code), eng_tx_len(it->u.len[unit])};
    return 1;
}

int eng_tx_postings_begin(struct eng_tx_postings *it,
                          const struct eng_tx_part *p,
                          struct sx_str token,
                          const struct eng_bits *rows)
{
    it->rows = rows;
    it->at = it->word = it->unit = it->unit_to = 0;
    it->v.h = NULL;
    if (p->sealed == NULL) {
        eng_tx_units_of(p->open, 0, p->hi, &it->u);
        it->code = kw_dict_find(&p->open->dict, token.p, token.n);
        if (it->code == KW_NO_CODE || it->u.hi <= it->u.lo)
            return 0;
        eng_tx_scan_begin(&it->scan, &it->u, it->code);
        return 1;
    }
    eng_tx_view_of(p->sealed, &it->v);
    it->code = eng_tx_find(&it->v, token);
    if (it->code == KW_NO_CODE)
        return 0;
    it->bits = it->v.post[it->code].n > KW_LIST_MAX ? eng_tx_bitmap(&it->v, it->code)[0] : 0;
    return 1;
}

int eng_tx_postings_next(struct eng_tx_postings *it, struct eng_tx_posting *out)
{
    if (it->v.h == NULL)
        return next_open(it, out);
    return it->v.tf != NULL ? next_plain(it, out) : next_element(it, out);
}

/* Of a plain sealed form, without looking at the documents. */
static uint64_t df_of_rows(const struct eng_tx_view *v, uint32_t code, const struct eng_bits *rows)
{
    const struct kw_post *post = &v->post[code];
    uint64_t n = 0;

    if (rows == NULL)
        return post->n;
    if (post->n == 1)
        return (uint64_t)eng_bits_get(rows, post->at);
    for (uint32_t i = 0; post->n <= KW_LIST_MAX && i < post->n; i++)
        n += (uint64_t)eng_bits_get(rows, v->list[post->at + i]);
    for (uint32_t i = 0; post->n > KW_LIST_MAX && i < ENG_BITS_WORDS; i++)
        n += (uint64_t)__builtin_popcountll(eng_tx_bitmap(v, code)[i] & rows->w[i]);
    return n;
}

uint64_t eng_tx_df(const struct eng_tx_part *p, struct sx_str token, const struct eng_bits *rows)
{
    struct eng_tx_postings it;
    struct eng_tx_posting one;
    uint64_t n = 0;

    if (!eng_tx_postings_begin(&it, p, token, rows))
        return 0;
    if (it.v.h != NULL && it.v.tf != NULL)
        return df_of_rows(&it.v, it.code, rows);
    while (eng_tx_postings_next(&it, &one))
        n++;
    return n;
}
