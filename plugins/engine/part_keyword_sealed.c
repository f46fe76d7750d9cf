/* What is asked of sorted values: masks, figures for the estimator, facets. The bytes have been
 * checked. */
#include <string.h>

#include "part_keyword.h"

#include "sextant/sx_ban.h"

/* Counting along postings costs about so many entries less a row of the mask: a row looks up its
 * code, an entry tests one bit of the mask, and a bitmap is 1 024 words. */
#define ROW_COST    2u
#define BITMAP_COST 200u

/* --- values ------------------------------------------------------------------------------ */

/* First value that is not before s. */
static uint32_t lower(const struct kw_view *v, struct sx_str s)
{
    uint32_t lo = 0, hi = v->h->n_values;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (kw_cmp(kw_str(v, mid), s) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t find(const struct kw_view *v, struct sx_str s)
{
    uint32_t i = lower(v, s);

    return i < v->h->n_values && kw_cmp(kw_str(v, i), s) == 0 ? i : KW_NO_CODE;
}

/* First value from lo on that does not begin with s. */
static uint32_t prefix_end(const struct kw_view *v, struct sx_str s, uint32_t lo)
{
    uint32_t hi = v->h->n_values;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        struct sx_str have = kw_str(v, mid);

        if (have.n >= s.n && memcmp(have.p, s.p, s.n) == 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Calls fn for the value numbers a prefix or substring selects. One search runs over the text of
 * all values; a hit that reaches over the end of a value is none. */
typedef void (*value_fn)(void *arg, const struct kw_view *v, uint32_t code);

static void each_substring(const struct kw_view *v, struct sx_str s, value_fn fn, void *arg)
{
    const char *at = v->text, *end = v->text + v->h->text_n, *hit;
    uint32_t i = 0;

    while (i < v->h->n_values && (hit = memmem(at, (size_t)(end - at), s.p, s.n)) != NULL) {
        uint32_t pos = (uint32_t)(hit - v->text);

        while (v->str_at[i + 1] <= pos)
            i++;
        if (pos + (uint64_t)s.n <= v->str_at[i + 1]) {
            fn(arg, v, i);
            at = v->text + v->str_at[++i];
        } else {
            at = hit + 1;
        }
    }
}

static void each_fit(const struct kw_view *v, const struct kw_want *w, value_fn fn, void *arg)
{
    struct sx_str s = w->strs[0];
    uint32_t lo = 0, hi = v->h->n_values;

    if (s.n != 0 && w->match == SX_MATCH_SUBSTRING) {
        each_substring(v, s, fn, arg);
        return;
    }
    if (s.n != 0) {
        lo = lower(v, s);
        hi = prefix_end(v, s, lo);
    }
    for (; lo < hi; lo++)
        fn(arg, v, lo);
}

/* --- masks ------------------------------------------------------------------------------- */

static const uint64_t *bitmap(const struct kw_view *v, const struct kw_post *p)
{
    return v->bitmaps + (uint64_t)p->at * ENG_BITS_WORDS;
}

static void or_value(void *arg, const struct kw_view *v, uint32_t code)
{
    const struct kw_post *p = &v->post[code];
    struct eng_bits *out = arg;

    if (p->n == 1) {
        eng_bits_set(out, p->at);
    } else if (p->n <= KW_LIST_MAX) {
        for (uint32_t i = 0; i < p->n; i++)
            eng_bits_set(out, v->list[p->at + i]);
    } else {
        const uint64_t *w = bitmap(v, p);

        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            out->w[i] |= w[i];
    }
}

/* Rows with at least one value. */
static void or_any(const struct kw_view *v, struct eng_bits *out)
{
    struct eng_bits none = {{0}}, all = {{0}};

    kw_scan_eq(v->one, v->h->width, v->h->hi - v->h->lo, v->h->n_values, v->h->lo, &none);
    eng_bits_range(&all, v->h->lo, v->h->hi);
    for (uint32_t i = v->h->lo >> 6; i << 6 < v->h->hi; i++)
        out->w[i] |= all.w[i] & ~none.w[i];
}

/* 1 when the value is one of the operands. */
static int is_listed(const struct kw_want *w, struct sx_str s)
{
    uint32_t lo = 0, hi = w->n;
    char buf[16];

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = kw_cmp(kw_want_str(w, mid, buf), s);

        if (c == 0)
            return 1;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

/* Rows with a value that is not listed: those with one value by taking rows away, those with
 * several one by one. */
static void except(const struct kw_view *v, const struct kw_want *w, struct eng_bits *yes)
{
    struct eng_bits have = {{0}}, listed = {{0}};
    char buf[16];

    or_any(v, &have);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t code = find(v, kw_want_str(w, i, buf));

        if (code != KW_NO_CODE)
            or_value(&listed, v, code);
    }
    for (uint32_t k = 0; w->n != 0 && k < v->h->n_many_rows; k++) {
        uint32_t row = v->many_row[k], i = v->many_at[k];

        while (i < v->many_at[k + 1] && is_listed(w, kw_str(v, v->many[i])))
            i++;
        if (i < v->many_at[k + 1])
            listed.w[row >> 6] &= ~(UINT64_C(1) << (row & 63));
    }
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        yes->w[i] |= have.w[i] & ~listed.w[i];
}

void kw_sealed_mask(const uint8_t *p, const struct kw_want *w, struct eng_bits *yes)
{
    struct kw_view v;
    char buf[16];

    kw_view_of(p, &v);
    switch (w->match) {
    case SX_MATCH_EXCEPT_STR:
        except(&v, w, yes);
        return;
    case SX_MATCH_PREFIX:
    case SX_MATCH_SUBSTRING:
        if (w->strs[0].n == 0)
            or_any(&v, yes);
        else
            each_fit(&v, w, or_value, yes);
        return;
    default:
        for (uint32_t i = 0; i < w->n; i++) {
            uint32_t code = find(&v, kw_want_str(w, i, buf));

            if (code != KW_NO_CODE)
                or_value(yes, &v, code);
        }
    }
}

/* --- figures ----------------------------------------------------------------------------- */

struct fits {
    uint64_t sum, longest;
};

static void sum_value(void *arg, const struct kw_view *v, uint32_t code)
{
    struct fits *f = arg;

    f->sum += v->post[code].n;
    f->longest = v->post[code].n > f->longest ? v->post[code].n : f->longest;
}

void kw_sealed_tally(const uint8_t *p, const struct kw_want *w, struct eng_tally *t)
{
    struct fits f = {0, 0};
    struct kw_view v;
    char buf[16];

    kw_view_of(p, &v);
    t->values += v.h->n_entries;
    t->distinct += v.h->n_values;
    if (w->match == SX_MATCH_SUBSTRING)
        return;
    if (w->match == SX_MATCH_PREFIX) {
        each_fit(&v, w, sum_value, &f);
        t->lo += f.longest;
        t->hi += f.sum;
        return;
    }
    for (uint32_t i = 0; i < w->n && i < t->n; i++) {
        uint32_t code = find(&v, kw_want_str(w, i, buf));

        if (code != KW_NO_CODE)
            t->len[i] += v.post[code].n;
    }
}

/* --- facets ------------------------------------------------------------------------------ */

/* Rows of the posting in the mask. */
static uint32_t count_value(const struct kw_view *v, uint32_t code, const struct eng_bits *bits)
{
    const struct kw_post *p = &v->post[code];
    uint32_t n = 0;

    if (p->n == 1)
        return (uint32_t)eng_bits_get(bits, p->at);
    if (p->n <= KW_LIST_MAX) {
        for (uint32_t i = 0; i < p->n; i++)
            n += (uint32_t)eng_bits_get(bits, v->list[p->at + i]);
        return n;
    }
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        n += eng_popcount(bitmap(v, p)[i] & bits->w[i]);
    return n;
}

#define BLOCK_WORDS 64u /* of the mask, at a time */

/* Rows of a few words of the mask, ascending. Two thirds of all words of a mask of one row in a
 * hundred have a bit or none, at random: branching on that costs more than writing three rows
 * always and going on behind those that are there. */
static uint32_t rows_of(const struct eng_bits *bits, uint32_t w, uint32_t end, uint16_t *out)
{
    uint32_t n = 0;

    for (; w < end; w++) {
        uint64_t x = bits->w[w], stop = UINT64_C(1) << 63;
        uint16_t *at = out + n;

        n += eng_popcount(x);
        at[0] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(x | stop));
        x &= x - (x != 0);
        at[1] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(x | stop));
        x &= x - (x != 0);
        for (at += 2; x != 0; x &= x - 1)
            *at++ = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(x));
    }
    return n;
}

/* Adds up codes, those of "none" and "many" among them, so that no row needs a branch. */
static void count_ones(const struct kw_view *v, const uint16_t *rows, uint32_t n, uint32_t *counts)
{
    uint32_t lo = v->h->lo;

    if (v->h->width == 1) {
        for (uint32_t i = 0; i < n; i++)
            counts[v->one[rows[i] - lo]]++;
    } else if (v->h->width == 2) {
        const uint16_t *one = (const uint16_t *)(const void *)v->one;

        for (uint32_t i = 0; i < n; i++)
            counts[one[rows[i] - lo]]++;
    } else {
        for (uint32_t i = 0; i < n; i++)
            counts[kw_one(v, rows[i] - lo)]++;
    }
}

/* Rows with several values among those of the block: calls for each of their codes. */
struct many {
    const struct kw_view *v;
    uint32_t k, pad; /* place in many_row, moving up */
};

/* The codes of a row with many. */
static const uint32_t *many_of(struct many *m, uint32_t row, uint32_t *n)
{
    uint32_t lo = m->k, hi = m->v->h->n_many_rows, step = 1;

    while (lo + step < hi && m->v->many_row[lo + step] < row) {
        lo += step;
        step *= 2;
    }
    hi = lo + step < hi ? lo + step : hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (m->v->many_row[mid] < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    m->k = lo;
    *n = m->v->many_at[lo + 1] - m->v->many_at[lo];
    return m->v->many + m->v->many_at[lo];
}

static void count_many(struct many *m, const uint16_t *rows, uint32_t n, uint32_t *counts)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *codes;
        uint32_t n_codes;

        if (kw_one(m->v, rows[i] - m->v->h->lo) != m->v->h->n_values + 1)
            continue;
        codes = many_of(m, rows[i], &n_codes);
        for (uint32_t k = 0; k < n_codes; k++)
            counts[codes[k]]++;
    }
}

/* Adds the values of each row one by one: few rows, very many values. */
static int
add_rows(struct many *m, const uint16_t *rows, uint32_t n, struct eng_facet *k, kw_count_fn add)
{
    int rc = SX_OK;

    for (uint32_t i = 0; i < n && rc == SX_OK; i++) {
        uint32_t code = kw_one(m->v, rows[i] - m->v->h->lo), n_codes = 1;
        const uint32_t *codes = &code;

        if (code == m->v->h->n_values)
            continue;
        if (code > m->v->h->n_values)
            codes = many_of(m, rows[i], &n_codes);
        for (uint32_t j = 0; j < n_codes && rc == SX_OK; j++)
            rc = add(k, codes[j], kw_str(m->v, codes[j]), 1);
    }
    return rc;
}

/* counts NULL: adds one by one. The mask has rows of the part only. */
static int facet_rows(const struct kw_view *v,
                      const struct eng_bits *bits,
                      uint32_t *counts,
                      struct eng_facet *k,
                      kw_count_fn add)
{
    struct many m = {v, 0, 0};
    uint16_t rows[BLOCK_WORDS * 64 + 2];
    int rc = SX_OK;

    for (uint32_t w = v->h->lo >> 6; w << 6 < v->h->hi && rc == SX_OK; w += BLOCK_WORDS) {
        uint32_t end = w + BLOCK_WORDS < ENG_BITS_WORDS ? w + BLOCK_WORDS : ENG_BITS_WORDS;
        uint32_t n = rows_of(bits, w, end, rows), before;

        if (counts == NULL) {
            rc = add_rows(&m, rows, n, k, add);
            continue;
        }
        before = counts[v->h->n_values + 1];
        count_ones(v, rows, n, counts);
        if (counts[v->h->n_values + 1] != before)
            count_many(&m, rows, n, counts);
    }
    return rc;
}

/* Hands over what was counted. The codes are gathered first: whether a value occurs is as good as
 * random, and a wrong guess costs as much as ten values. */
static int add_counts(const struct kw_view *v,
                      const uint32_t *counts,
                      uint32_t *codes,
                      struct eng_facet *k,
                      kw_count_fn add)
{
    uint32_t n = 0;
    int rc = SX_OK;

    for (uint32_t i = 0; i < v->h->n_values; i++) {
        codes[n] = i;
        n += counts[i] != 0;
    }
    for (uint32_t i = 0; i < n && rc == SX_OK; i++)
        rc = add(k, codes[i], kw_str(v, codes[i]), counts[codes[i]]);
    return rc;
}

/* Along the postings. */
static int facet_values(const struct kw_view *v,
                        const struct eng_bits *bits,
                        struct eng_facet *k,
                        kw_count_fn add)
{
    int rc = SX_OK;

    for (uint32_t i = 0; i < v->h->n_values && rc == SX_OK; i++) {
        uint32_t n = count_value(v, i, bits);

        if (n != 0)
            rc = add(k, i, kw_str(v, i), n);
    }
    return rc;
}

int kw_sealed_facet(const uint8_t *p,
                    struct eng_facet *k,
                    const struct eng_bits *bits,
                    kw_count_fn add)
{
    uint32_t rows, *counts;
    struct eng_bits mine;
    uint64_t entries;
    struct kw_view v;
    int rc = SX_OK;

    kw_view_of(p, &v);
    if (v.h->lo != 0 || v.h->hi != SX_CHUNK_ROWS) { /* what the bytes say, not what they should */
        mine = *bits;
        eng_bits_clip(&mine, v.h->lo, v.h->hi);
        bits = &mine;
    }
    rows = eng_bits_count(bits, v.h->lo, v.h->hi);
    if (rows == v.h->hi - v.h->lo) {
        for (uint32_t i = 0; i < v.h->n_values && rc == SX_OK; i++)
            rc = add(k, i, kw_str(&v, i), v.post[i].n);
        return rc;
    }
    entries = v.h->n_entries - (uint64_t)v.h->n_bitmaps * KW_LIST_MAX;
    if ((uint64_t)rows * ROW_COST > entries + v.h->n_bitmaps * BITMAP_COST)
        return facet_values(&v, bits, k, add);
    /* Counters for all values are worth clearing and reading only when there are enough rows. */
    if (rows < v.h->n_values / 8)
        return facet_rows(&v, bits, NULL, k, add);
    counts = eng_facet_counts(k, 2 * v.h->n_values + 3);
    if (counts == NULL)
        return SX_ENOMEM;
    (void)facet_rows(&v, bits, counts, k, add);
    return add_counts(&v, counts, counts + v.h->n_values + 2, k, add);
}
