/* From codes in order of arrival to sorted tokens with postings and slices.
 *
 * Sealing runs in background on rows that do not change any more: a count per code, a sort of the
 * tokens that rows have, and one pass over the slices that fills postings (ascending by row because
 * the pass is), frequencies and slices. */
#include <stdlib.h>
#include <string.h>

#include "part_text.h"

#include "sextant/sx_ban.h"

struct seal {
    const struct eng_tx_units *u;
    const struct kw_ent *ents;
    const char *text;
    uint32_t n_codes;
    /* by open code */
    uint32_t *count; /* rows that have it; then those put so far */
    uint32_t *last;  /* 1 + the row in which it was seen last */
    uint32_t *rank;  /* place of the token */
    uint32_t *order; /* open codes by token */
    uint32_t *tf;    /* in the row in which it was seen last */
    uint32_t *slot;  /* among the large frequencies */
    struct eng_tx_head h;
};

/* The sections as they are written. */
struct target {
    uint64_t *bitmaps;
    struct kw_post *post;
    uint32_t *str_at, *tf_at, *row_at, *unit_at;
    struct eng_tx_many *many;
    uint8_t *seq, *tf;
    uint16_t *list, *len;
    char *text;
};

/* --- lengths of the sections --------------------------------------------------------------- */

static int by_token(const void *a, const void *b, void *arg)
{
    const struct seal *s = arg;

    return kw_cmp(kw_ent_str(s->ents, s->text, *(const uint32_t *)a),
                  kw_ent_str(s->ents, s->text, *(const uint32_t *)b));
}

/* 1 for the first time in a row. Counts the times. */
static int is_new(const struct seal *s, uint32_t code, uint32_t row)
{
    if (s->last[code] == row + 1) {
        s->tf[code]++;
        return 0;
    }
    s->last[code] = row + 1;
    s->tf[code] = 1;
    return 1;
}

static void count_rows(struct seal *s)
{
    const struct eng_tx_units *u = s->u;

    for (uint32_t i = u->lo; i < u->hi; i++) {
        uint32_t row = eng_tx_unit_row(u, i);

        for (uint32_t k = eng_tx_unit_from(u, i); k < u->end[i]; k++) {
            uint32_t code = u->tok[k];

            if (code == TX_GAP)
                continue;
            if (is_new(s, code, row)) {
                s->count[code]++;
                s->h.n_entries++;
            } else if (s->tf[code] == TX_TF_MANY && eng_tx_has_tf(s->h.flags)) {
                s->h.n_many++;
            }
        }
        if (u->len != NULL && u->len[i] != 0) {
            s->h.n_docs++;
            s->h.length += eng_tx_len(u->len[i]);
        }
    }
}

static int sort_tokens(struct seal *s)
{
    uint64_t text = 0, list = 0;

    for (uint32_t i = 0; i < s->n_codes; i++) {
        if (s->count[i] != 0)
            s->order[s->h.n_values++] = i;
    }
    qsort_r(s->order, s->h.n_values, sizeof(s->order[0]), by_token, s);
    for (uint32_t i = 0; i < s->h.n_values; i++) {
        uint32_t code = s->order[i], n = s->count[code];

        s->rank[code] = i;
        text += s->ents[code].n;
        if (n > KW_LIST_MAX)
            s->h.n_bitmaps++;
        else if (n > 1)
            list += n;
    }
    if (text > UINT32_MAX)
        return SX_ENOMEM; /* beyond what a part may hold; open_is_full() ends parts far below */
    s->h.text_n = (uint32_t)text;
    s->h.n_list = (uint32_t)list;
    return SX_OK;
}

static int measure(struct seal *s)
{
    const struct eng_tx_units *u = s->u;
    uint32_t rows = s->h.hi - s->h.lo;

    count_rows(s);
    if (sort_tokens(s) != SX_OK)
        return SX_ENOMEM;
    if ((s->h.flags & TX_NESTED) != 0)
        s->h.n_units = u->hi - u->lo;
    else
        s->h.n_units = s->h.flags != 0 ? rows : 0;
    if (!eng_tx_has_slices(s->h.flags))
        return SX_OK;
    s->h.width = s->h.n_values < UINT16_MAX ? 2 : 4;
    s->h.n_seq = u->hi > u->lo ? u->end[u->hi - 1] - eng_tx_unit_from(u, u->lo) : 0;
    return SX_OK;
}

/* --- writing ----------------------------------------------------------------------------- */

/* Tokens and where each posting begins; count[] becomes the number of rows put so far. */
static void put_tokens(struct seal *s, const struct target *t)
{
    uint32_t text = 0, list = 0, bitmap = 0, entry = 0;

    for (uint32_t i = 0; i < s->h.n_values; i++) {
        uint32_t code = s->order[i], n = s->count[code];
        struct sx_str v = kw_ent_str(s->ents, s->text, code);

        t->str_at[i] = text;
        if (v.n != 0)
            memcpy(t->text + text, v.p, v.n);
        text += v.n;
        t->post[i] = (struct kw_post){n > KW_LIST_MAX ? bitmap++ : list, n};
        list += n > 1 && n <= KW_LIST_MAX ? n : 0;
        if (t->tf_at != NULL)
            t->tf_at[i] = entry;
        entry += n;
        s->count[code] = s->last[code] = 0;
    }
    t->str_at[s->h.n_values] = text;
}

static void put_posting(struct seal *s, const struct target *t, uint32_t row, uint32_t code)
{
    struct kw_post *post = &t->post[s->rank[code]];

    if (post->n > KW_LIST_MAX)
        t->bitmaps[(uint64_t)post->at * ENG_BITS_WORDS + (row >> 6)] |= UINT64_C(1) << (row & 63);
    else if (post->n > 1)
        t->list[post->at + s->count[code]] = (uint16_t)row;
    else
        post->at = row;
    s->count[code]++;
}

static void put_code(const struct seal *s, const struct target *t, uint32_t at, uint32_t code)
{
    uint32_t rank = code != TX_GAP ? s->rank[code] : TX_GAP;

    if (s->h.width == 2)
        ((uint16_t *)(void *)t->seq)[at] = (uint16_t)rank;
    else if (s->h.width == 4)
        ((uint32_t *)(void *)t->seq)[at] = rank;
}

/* One more time in the row, whose entry has been put last. */
static void put_tf(struct seal *s, const struct target *t, uint32_t code)
{
    uint32_t entry = t->tf_at[s->rank[code]] + s->count[code] - 1, tf = s->tf[code];

    t->tf[entry] = (uint8_t)(tf < TX_TF_MANY ? tf : TX_TF_MANY);
    if (tf == TX_TF_MANY)
        s->slot[code] = s->h.n_many++;
    if (tf >= TX_TF_MANY)
        t->many[s->slot[code]] = (struct eng_tx_many){entry, tf};
}

/* The codes of a unit into the postings, and into its slice, which begins at `seq`. */
static void put_unit(struct seal *s, const struct target *t, uint32_t i, uint32_t seq)
{
    const struct eng_tx_units *u = s->u;
    uint32_t row = eng_tx_unit_row(u, i);

    for (uint32_t k = eng_tx_unit_from(u, i); k < u->end[i]; k++) {
        uint32_t code = u->tok[k];

        put_code(s, t, seq++, code);
        if (code == TX_GAP)
            continue;
        if (is_new(s, code, row))
            put_posting(s, t, row, code);
        if (t->tf != NULL)
            put_tf(s, t, code);
    }
}

/* Units of rows the open form has nothing of stay empty. */
static void put_rows(struct seal *s, const struct target *t)
{
    const struct eng_tx_units *u = s->u;
    uint32_t unit = u->lo, n = 0, seq = 0;
    int is_nested = (s->h.flags & TX_NESTED) != 0;

    for (uint32_t row = s->h.lo; row < s->h.hi; row++) {
        if (t->row_at != NULL)
            t->row_at[row - s->h.lo] = n;
        if (t->unit_at != NULL && !is_nested)
            t->unit_at[n] = seq;
        for (; unit < u->hi && eng_tx_unit_row(u, unit) == row; unit++) {
            if (t->unit_at != NULL && is_nested)
                t->unit_at[n] = seq;
            if (t->len != NULL)
                t->len[n] = u->len[unit];
            put_unit(s, t, unit, seq);
            seq += u->end[unit] - eng_tx_unit_from(u, unit);
            n += (uint32_t)is_nested;
        }
        n += (uint32_t)!is_nested;
    }
    if (t->row_at != NULL)
        t->row_at[s->h.hi - s->h.lo] = n;
    if (t->unit_at != NULL)
        t->unit_at[n] = seq;
}

static int by_entry(const void *a, const void *b)
{
    const struct eng_tx_many *x = a, *y = b;

    return (x->entry > y->entry) - (x->entry < y->entry);
}

/* The same section behind p as v has behind the head, or NULL. */
#define SECTION(p, v, s, name)                                                                     \
    ((v).name != NULL ? (void *)((p) + ((const uint8_t *)(v).name - (const uint8_t *)&(s)->h))     \
                      : NULL)

static int seal_into(struct seal *s, struct sx_buf *out)
{
    struct eng_tx_view v;
    struct target t;
    uint8_t *p;

    if (measure(s) != SX_OK)
        return SX_ENOMEM;
    eng_tx_view_of((const uint8_t *)&s->h, &v); /* for the distances between sections */
    p = (uint8_t *)sx_buf_reserve(out, v.total);
    if (p == NULL)
        return SX_ENOMEM;
    memset(p, 0, v.total);
    memcpy(p, &s->h, sizeof(s->h));
    t.bitmaps = SECTION(p, v, s, bitmaps);
    t.post = SECTION(p, v, s, post);
    t.str_at = SECTION(p, v, s, str_at);
    t.tf_at = SECTION(p, v, s, tf_at);
    t.row_at = SECTION(p, v, s, row_at);
    t.unit_at = SECTION(p, v, s, unit_at);
    t.many = SECTION(p, v, s, many);
    t.seq = SECTION(p, v, s, seq);
    t.list = SECTION(p, v, s, list);
    t.len = SECTION(p, v, s, len);
    t.tf = SECTION(p, v, s, tf);
    t.text = SECTION(p, v, s, text);
    put_tokens(s, &t);
    s->h.n_many = 0; /* counted again; the head has been written */
    put_rows(s, &t);
    if (s->h.n_many != 0)
        qsort(t.many, s->h.n_many, sizeof(t.many[0]), by_entry);
    out->n += v.total;
    return SX_OK;
}

int eng_tx_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    const struct eng_tx_open *o = open;
    const struct sx_mem *mem = o->eng->mem;
    struct seal s = {.h = {.lo = lo, .hi = hi, .flags = eng_tx_flags(o->schema)}};
    struct eng_tx_units u;
    uint64_t n;
    int rc;

    eng_tx_units_of(o, lo, hi, &u);
    s.u = &u;
    s.n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire);
    s.ents = eng_grow_read(&o->dict.ents);
    s.text = eng_grow_read(&o->dict.text);
    n = (uint64_t)s.n_codes + 1;
    s.count = mem->zalloc(mem, 6 * n * sizeof(uint32_t));
    if (s.count == NULL)
        return SX_ENOMEM;
    s.last = s.count + n;
    s.rank = s.last + n;
    s.order = s.rank + n;
    s.tf = s.order + n;
    s.slot = s.tf + n;
    rc = seal_into(&s, out);
    mem->release(mem, s.count);
    return rc;
}
