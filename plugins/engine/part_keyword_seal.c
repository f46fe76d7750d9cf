/* From codes in order of arrival to sorted values with postings; and the check of such bytes when
 * they come from a file.
 *
 * Sealing runs in background on rows that do not change any more: a count per code, a sort of the
 * strings that rows have, and one pass over the rows that fills postings (ascending by row because
 * the pass is) and codes by row. */
#include <stdlib.h>
#include <string.h>

#include "part_keyword.h"

#include "sextant/sx_ban.h"

/* --- layout ------------------------------------------------------------------------------ */

static uint64_t pad8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

void kw_view_of(const uint8_t *p, struct kw_view *v)
{
    const struct kw_head *h = (const struct kw_head *)(const void *)p;
    uint64_t at = sizeof(*h);

    v->h = h;
    v->bitmaps = (const uint64_t *)(const void *)(p + at);
    at += (uint64_t)h->n_bitmaps * sizeof(struct eng_bits);
    v->post = (const struct kw_post *)(const void *)(p + at);
    at += (uint64_t)h->n_values * sizeof(struct kw_post);
    v->str_at = (const uint32_t *)(const void *)(p + at);
    at += pad8(((uint64_t)h->n_values + 1) * 4);
    v->many_at = (const uint32_t *)(const void *)(p + at);
    at += pad8(((uint64_t)h->n_many_rows + 1) * 4);
    v->many = (const uint32_t *)(const void *)(p + at);
    at += pad8((uint64_t)h->n_many * 4);
    v->one = p + at;
    at += pad8((uint64_t)(h->hi - h->lo) * h->width);
    v->list = (const uint16_t *)(const void *)(p + at);
    at += pad8((uint64_t)h->n_list * 2);
    v->many_row = (const uint16_t *)(const void *)(p + at);
    at += pad8((uint64_t)h->n_many_rows * 2);
    v->text = (const char *)(p + at);
    v->total = at + pad8(h->text_n);
}

/* --- sealing ----------------------------------------------------------------------------- */

struct seal {
    const struct kw_ent *ents;
    const char *text;
    struct kw_rows rows;
    uint32_t *count; /* by open code; then where the next row of its posting goes */
    uint32_t *rank;  /* by open code: place of the value */
    uint32_t *order; /* open codes by value */
    uint32_t n_codes;
    struct kw_head h;
};

/* The codes of one row; cur moves along the rows with many. */
static uint32_t
codes_of(const struct kw_rows *r, uint32_t row, uint32_t *cur, uint32_t *one, const uint32_t **out)
{
    uint32_t code = r->one[row - r->lo], from;

    *out = one;
    *one = code;
    if (code < KW_MANY)
        return 1;
    if (code == KW_NONE)
        return 0;
    while (*cur < r->n_many && r->many_row[*cur] < row)
        (*cur)++;
    from = *cur;
    while (*cur < r->n_many && r->many_row[*cur] == row)
        (*cur)++;
    *out = r->many + from;
    return *cur - from;
}

static int by_value(const void *a, const void *b, void *arg)
{
    const struct seal *s = arg;

    return kw_cmp(kw_ent_str(s->ents, s->text, *(const uint32_t *)a),
                  kw_ent_str(s->ents, s->text, *(const uint32_t *)b));
}

/* Counts, the order of the values, and with them every length of the head. */
static int measure(struct seal *s)
{
    uint32_t cur = kw_rows_many(&s->rows, s->rows.lo), one;
    uint64_t text = 0, list = 0;
    const uint32_t *codes;

    for (uint32_t row = s->rows.lo; row < s->rows.hi; row++) {
        uint32_t n = codes_of(&s->rows, row, &cur, &one, &codes);

        for (uint32_t i = 0; i < n; i++)
            s->count[codes[i]]++;
        s->h.n_entries += n;
        s->h.n_many_rows += n > 1;
        s->h.n_many += n > 1 ? n : 0;
    }
    for (uint32_t i = 0; i < s->n_codes; i++) {
        if (s->count[i] != 0)
            s->order[s->h.n_values++] = i;
    }
    qsort_r(s->order, s->h.n_values, sizeof(s->order[0]), by_value, s);
    for (uint32_t i = 0; i < s->h.n_values; i++) {
        uint32_t code = s->order[i], n = s->count[code];

        s->rank[code] = i;
        text += s->ents[code].n;
        if (n > KW_LIST_MAX)
            s->h.n_bitmaps++;
        else if (n > 1)
            list += n;
    }
    if (text > UINT32_MAX || list > UINT32_MAX)
        return SX_ENOMEM; /* beyond what a part may hold; open_is_full() ends parts far below */
    s->h.text_n = (uint32_t)text;
    s->h.n_list = (uint32_t)list;
    s->h.width = s->h.n_values + 2ull <= 1u << 8 ? 1 : s->h.n_values + 2ull <= 1u << 16 ? 2 : 4;
    return SX_OK;
}

/* The sections as they are written. */
struct target {
    uint64_t *bitmaps;
    struct kw_post *post;
    uint32_t *str_at, *many_at, *many;
    uint8_t *one;
    uint16_t *list, *many_row;
    char *text;
};

static void *at_of(uint8_t *p, const void *section, const uint8_t *base)
{
    return p + ((const uint8_t *)section - base);
}

static void put_one(const struct seal *s, const struct target *t, uint32_t row, uint32_t code)
{
    uint32_t i = row - s->h.lo;

    if (s->h.width == 1)
        t->one[i] = (uint8_t)code;
    else if (s->h.width == 2)
        ((uint16_t *)(void *)t->one)[i] = (uint16_t)code;
    else
        ((uint32_t *)(void *)t->one)[i] = code;
}

/* Strings and where each value's posting begins; count[] becomes the number of rows put so far. */
static void put_values(struct seal *s, const struct target *t)
{
    uint32_t text = 0, list = 0, bitmap = 0;

    for (uint32_t i = 0; i < s->h.n_values; i++) {
        uint32_t code = s->order[i], n = s->count[code];
        struct sx_str v = kw_ent_str(s->ents, s->text, code);

        t->str_at[i] = text;
        if (v.n != 0)
            memcpy(t->text + text, v.p, v.n);
        text += v.n;
        t->post[i] = (struct kw_post){n > KW_LIST_MAX ? bitmap++ : list, n};
        list += n > 1 && n <= KW_LIST_MAX ? n : 0;
        s->count[code] = 0;
    }
    t->str_at[s->h.n_values] = text;
}

static void put_posting(struct seal *s, const struct target *t, uint32_t row, uint32_t code)
{
    struct kw_post *post = &t->post[s->rank[code]];

    if (post->n > KW_LIST_MAX)
        t->bitmaps[(uint64_t)post->at * ENG_BITS_WORDS + (row >> 6)] |= UINT64_C(1) << (row & 63);
    else if (post->n > 1)
        t->list[post->at + s->count[code]++] = (uint16_t)row;
    else
        post->at = row;
}

static int by_rank(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void put_rows(struct seal *s, const struct target *t)
{
    uint32_t cur = kw_rows_many(&s->rows, s->rows.lo), n_rows = 0, n_many = 0, one;
    const uint32_t *codes;

    for (uint32_t row = s->h.lo; row < s->h.hi; row++) {
        int is_known = row >= s->rows.lo && row < s->rows.hi;
        uint32_t n = is_known ? codes_of(&s->rows, row, &cur, &one, &codes) : 0;

        put_one(s, t, row, s->h.n_values + (n > 1));
        if (n == 1)
            put_one(s, t, row, s->rank[codes[0]]);
        for (uint32_t i = 0; i < n; i++)
            put_posting(s, t, row, codes[i]);
        if (n <= 1)
            continue;
        t->many_row[n_rows] = (uint16_t)row;
        t->many_at[n_rows++] = n_many;
        for (uint32_t i = 0; i < n; i++)
            t->many[n_many + i] = s->rank[codes[i]];
        qsort(t->many + n_many, n, sizeof(t->many[0]), by_rank);
        n_many += n;
    }
    t->many_at[n_rows] = n_many;
}

static int seal_into(struct seal *s, struct sx_buf *out)
{
    struct kw_view v;
    struct target t;
    uint8_t *p;

    if (measure(s) != SX_OK)
        return SX_ENOMEM;
    kw_view_of((const uint8_t *)&s->h, &v); /* for the distances between sections */
    p = (uint8_t *)sx_buf_reserve(out, v.total);
    if (p == NULL)
        return SX_ENOMEM;
    memset(p, 0, v.total);
    memcpy(p, &s->h, sizeof(s->h));
    t.bitmaps = at_of(p, v.bitmaps, (const uint8_t *)&s->h);
    t.post = at_of(p, v.post, (const uint8_t *)&s->h);
    t.str_at = at_of(p, v.str_at, (const uint8_t *)&s->h);
    t.many_at = at_of(p, v.many_at, (const uint8_t *)&s->h);
    t.many = at_of(p, v.many, (const uint8_t *)&s->h);
    t.one = at_of(p, v.one, (const uint8_t *)&s->h);
    t.list = at_of(p, v.list, (const uint8_t *)&s->h);
    t.many_row = at_of(p, v.many_row, (const uint8_t *)&s->h);
    t.text = at_of(p, v.text, (const uint8_t *)&s->h);
    put_values(s, &t);
    put_rows(s, &t);
    out->n += v.total;
    return SX_OK;
}

int kw_open_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    const struct kw_open *o = open;
    const struct sx_mem *mem = o->eng->mem;
    struct seal s = {.h = {.lo = lo, .hi = hi}};
    uint64_t n;
    int rc;

    s.n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire);
    s.ents = eng_grow_read(&o->dict.ents);
    s.text = eng_grow_read(&o->dict.text);
    kw_rows_of(o, lo, hi, &s.rows);
    n = (uint64_t)s.n_codes + 1;
    s.count = mem->zalloc(mem, 3 * n * sizeof(uint32_t));
    if (s.count == NULL)
        return SX_ENOMEM;
    s.rank = s.count + n;
    s.order = s.rank + n;
    rc = seal_into(&s, out);
    mem->release(mem, s.count);
    return rc;
}

/* --- checking ---------------------------------------------------------------------------- */

/* Strings ascend, so that they can be searched, and lie within the text. */
static int strings_ok(const struct kw_view *v)
{
    if (v->str_at[0] != 0 || v->str_at[v->h->n_values] != v->h->text_n)
        return 0;
    for (uint32_t i = 0; i < v->h->n_values; i++) {
        if (v->str_at[i] > v->str_at[i + 1] || v->str_at[i + 1] > v->h->text_n)
            return 0;
        if (i != 0 && kw_cmp(kw_str(v, i - 1), kw_str(v, i)) >= 0)
            return 0;
    }
    return 1;
}

static int list_ok(const struct kw_view *v, const struct kw_post *p)
{
    const uint16_t *list = v->list + p->at;

    if (p->at > v->h->n_list || p->n > v->h->n_list - p->at)
        return 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (list[i] < v->h->lo || list[i] >= v->h->hi || (i != 0 && list[i] <= list[i - 1]))
            return 0;
    }
    return 1;
}

static int bitmap_ok(const struct kw_view *v, const struct kw_post *p)
{
    uint64_t outside = 0;
    uint32_t n = 0;
    const uint64_t *w;

    if (p->at >= v->h->n_bitmaps)
        return 0;
    w = v->bitmaps + (uint64_t)p->at * ENG_BITS_WORDS;
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        n += (uint32_t)__builtin_popcountll(w[i]);
        if (i < v->h->lo >> 6 || i > (v->h->hi - 1) >> 6)
            outside |= w[i];
    }
    return outside == 0 && n == p->n;
}

/* The sum bounds the work: lists may not be counted twice. */
static int postings_ok(const struct kw_view *v)
{
    uint64_t left = v->h->n_entries;

    for (uint32_t i = 0; i < v->h->n_values; i++) {
        const struct kw_post *p = &v->post[i];

        if (p->n == 0 || p->n > left || p->n > v->h->hi - v->h->lo)
            return 0;
        left -= p->n;
        if (p->n == 1 ? p->at < v->h->lo || p->at >= v->h->hi
                      : !(p->n > KW_LIST_MAX ? bitmap_ok(v, p) : list_ok(v, p)))
            return 0;
    }
    return left == 0;
}

static int rows_ok(const struct kw_view *v)
{
    uint32_t rows = v->h->hi - v->h->lo, k = 0;

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t code = kw_one(v, i);

        if (code > v->h->n_values + 1)
            return 0;
        if (code != v->h->n_values + 1)
            continue;
        if (k == v->h->n_many_rows || v->many_row[k] != v->h->lo + i)
            return 0;
        k++;
    }
    if (k != v->h->n_many_rows || v->many_at[0] != 0 || v->many_at[k] != v->h->n_many)
        return 0;
    for (k = 0; k < v->h->n_many_rows; k++) {
        if (v->many_at[k] > v->many_at[k + 1] || v->many_at[k + 1] > v->h->n_many)
            return 0;
    }
    for (k = 0; k < v->h->n_many; k++) {
        if (v->many[k] >= v->h->n_values)
            return 0;
    }
    return 1;
}

int kw_check(const uint8_t *p, uint64_t n)
{
    const struct kw_head *h = (const struct kw_head *)(const void *)p;
    struct kw_view v;

    if (n < sizeof(*h) || h->lo > h->hi || h->hi > SX_CHUNK_ROWS ||
        (h->width != 1 && h->width != 2 && h->width != 4) || h->n_values > UINT32_MAX - 2 ||
        (h->width < 4 && h->n_values + 2ull > 1ull << (8 * h->width)))
        return SX_ECORRUPT;
    kw_view_of(p, &v);
    if (v.total != n || !strings_ok(&v) || !postings_ok(&v) || !rows_ok(&v))
        return SX_ECORRUPT;
    return SX_OK;
}
