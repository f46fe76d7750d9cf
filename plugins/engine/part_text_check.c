/* Layout of sealed texts, and the check of such bytes when they come from a file: after it no
 * offset leads out of them. */
#include "part_text.h"

#include "sextant/sx_ban.h"

static uint64_t pad8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

void eng_tx_view_of(const uint8_t *p, struct eng_tx_view *v)
{
    const struct eng_tx_head *h = (const struct eng_tx_head *)(const void *)p;
    int has_slices = eng_tx_has_slices(h->flags), has_tf = eng_tx_has_tf(h->flags);
    int is_nested = (h->flags & TX_NESTED) != 0, scores = (h->flags & ENG_FIELD_SCORING) != 0;
    uint64_t at = sizeof(*h);

    v->h = h;
    v->bitmaps = (const uint64_t *)(const void *)(p + at);
    at += (uint64_t)h->n_bitmaps * sizeof(struct eng_bits);
    v->post = (const struct kw_post *)(const void *)(p + at);
    at += (uint64_t)h->n_values * sizeof(struct kw_post);
    v->str_at = (const uint32_t *)(const void *)(p + at);
    at += pad8(((uint64_t)h->n_values + 1) * 4);
    v->tf_at = has_tf ? (const uint32_t *)(const void *)(p + at) : NULL;
    at += has_tf ? pad8((uint64_t)h->n_values * 4) : 0;
    v->many = has_tf ? (const struct eng_tx_many *)(const void *)(p + at) : NULL;
    at += has_tf ? (uint64_t)h->n_many * sizeof(struct eng_tx_many) : 0;
    v->row_at = is_nested ? (const uint32_t *)(const void *)(p + at) : NULL;
    at += is_nested ? pad8(((uint64_t)(h->hi - h->lo) + 1) * 4) : 0;
    v->unit_at = has_slices ? (const uint32_t *)(const void *)(p + at) : NULL;
    at += has_slices ? pad8(((uint64_t)h->n_units + 1) * 4) : 0;
    v->seq = has_slices ? p + at : NULL;
    at += has_slices ? pad8((uint64_t)h->n_seq * h->width) : 0;
    v->list = (const uint16_t *)(const void *)(p + at);
    at += pad8((uint64_t)h->n_list * 2);
    v->len = scores ? (const uint16_t *)(const void *)(p + at) : NULL;
    at += scores ? pad8((uint64_t)h->n_units * 2) : 0;
    v->tf = has_tf ? p + at : NULL;
    at += has_tf ? pad8(h->n_entries) : 0;
    v->text = (const char *)(p + at);
    v->total = at + pad8(h->text_n);
}

static int head_ok(const struct eng_field_schema *s, const struct eng_tx_head *h)
{
    if (h->lo > h->hi || h->hi > SX_CHUNK_ROWS || h->flags != eng_tx_flags(s) ||
        h->n_values == UINT32_MAX || h->n_units == UINT32_MAX)
        return 0;
    if (!eng_tx_has_tf(h->flags) && h->n_many != 0)
        return 0;
    if ((h->flags & TX_NESTED) == 0 && h->n_units != (h->flags != 0 ? h->hi - h->lo : 0))
        return 0;
    if (!eng_tx_has_slices(h->flags))
        return h->width == 0 && h->n_seq == 0;
    return h->width == 4 || (h->width == 2 && h->n_values < UINT16_MAX);
}

/* n + 1 offsets from 0 to `end`. */
static int ascends(const uint32_t *at, uint32_t n, uint32_t end)
{
    if (at[0] != 0 || at[n] != end)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        if (at[i] > at[i + 1])
            return 0;
    }
    return 1;
}

/* Tokens ascend, so that they can be searched. */
static int tokens_ok(const struct eng_tx_view *v)
{
    if (!ascends(v->str_at, v->h->n_values, v->h->text_n))
        return 0;
    for (uint32_t i = 1; i < v->h->n_values; i++) {
        if (kw_cmp(eng_tx_str(v, i - 1), eng_tx_str(v, i)) >= 0)
            return 0;
    }
    return 1;
}

static int list_ok(const struct eng_tx_view *v, const struct kw_post *p)
{
    const uint16_t *list;

    if (p->at > v->h->n_list || p->n > v->h->n_list - p->at)
        return 0;
    list = v->list + p->at;
    for (uint32_t i = 0; i < p->n; i++) {
        if (list[i] < v->h->lo || list[i] >= v->h->hi || (i != 0 && list[i] <= list[i - 1]))
            return 0;
    }
    return 1;
}

static int bitmap_ok(const struct eng_tx_view *v, uint32_t code)
{
    const struct kw_post *p = &v->post[code];
    uint64_t outside = 0;
    uint32_t n = 0;
    const uint64_t *w;

    if (p->at >= v->h->n_bitmaps)
        return 0;
    w = eng_tx_bitmap(v, code);
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        n += (uint32_t)__builtin_popcountll(w[i]);
        for (uint64_t x = w[i]; x != 0 && (i <= v->h->lo >> 6 || i >= (v->h->hi - 1) >> 6);
             x &= x - 1) {
            uint32_t row = i * 64 + (uint32_t)__builtin_ctzll(x);

            outside |= row < v->h->lo || row >= v->h->hi;
        }
    }
    return !outside && n == p->n;
}

/* The sum bounds the work: lists may not be counted twice. */
static int postings_ok(const struct eng_tx_view *v)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < v->h->n_values; i++) {
        const struct kw_post *p = &v->post[i];

        if (p->n == 0 || p->n > v->h->n_entries - n || p->n > v->h->hi - v->h->lo)
            return 0;
        if (v->tf_at != NULL && v->tf_at[i] != n)
            return 0;
        n += p->n;
        if (p->n == 1 ? p->at < v->h->lo || p->at >= v->h->hi
                      : !(p->n > KW_LIST_MAX ? bitmap_ok(v, i) : list_ok(v, p)))
            return 0;
    }
    return n == v->h->n_entries;
}

/* Codes that are tokens or gaps. */
static uint32_t codes_ok(const struct eng_tx_view *v)
{
    const uint16_t *seq16 = (const uint16_t *)(const void *)v->seq;
    const uint32_t *seq32 = (const uint32_t *)(const void *)v->seq;
    uint32_t n = 0;

    if (v->h->width == 2) {
        for (uint32_t i = 0; i < v->h->n_seq; i++)
            n += (seq16[i] < v->h->n_values) | (seq16[i] == UINT16_MAX);
    } else {
        for (uint32_t i = 0; i < v->h->n_seq; i++)
            n += (seq32[i] < v->h->n_values) | (seq32[i] == UINT32_MAX);
    }
    return n;
}

static int slices_ok(const struct eng_tx_view *v)
{

    if (v->row_at != NULL && !ascends(v->row_at, v->h->hi - v->h->lo, v->h->n_units))
        return 0;
    if (v->unit_at == NULL)
        return 1;
    if (!ascends(v->unit_at, v->h->n_units, v->h->n_seq))
        return 0;
    return codes_ok(v) == v->h->n_seq;
}

static int many_ok(const struct eng_tx_view *v)
{
    for (uint32_t i = 1; i < v->h->n_many; i++) {
        if (v->many[i].entry <= v->many[i - 1].entry)
            return 0;
    }
    return 1;
}

int eng_tx_check(const struct eng_field_schema *s, const uint8_t *p, uint64_t n)
{
    const struct eng_tx_head *h = (const struct eng_tx_head *)(const void *)p;
    struct eng_tx_view v;

    if (n < sizeof(*h) || !head_ok(s, h))
        return SX_ECORRUPT;
    eng_tx_view_of(p, &v);
    if (v.total != n || !tokens_ok(&v) || !postings_ok(&v) || !slices_ok(&v) || !many_ok(&v))
        return SX_ECORRUPT;
    return SX_OK;
}
