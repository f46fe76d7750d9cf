/* Order by numbers: cursors over one part, from a start on, in both directions. Entries of equal
 * value come by ascending row in both. */
#include "part_numeric.h"

#include "sextant/sx_ban.h"

/* --- sealed: walk the values ---------------------------------------------------------------- */

struct walk {
    struct eng_num_part part;
    uint32_t type, is_desc;
    uint32_t code, left; /* value whose entries come, values after it */
    uint32_t at, end;    /* its entries that are left */
    struct eng_order_entry e;
};

static void enter_value(struct walk *w)
{
    w->at = eng_num_start_of(&w->part, w->code);
    w->end = eng_num_start_of(&w->part, w->code + 1);
    eng_num_entry(w->type, eng_num_key_of(&w->part, w->code), &w->e);
}

static int walk_next(struct eng_order_cursor *c, struct eng_order_entry *e)
{
    struct walk *w = c->priv;

    while (w->at == w->end) {
        if (w->left == 0)
            return 0;
        w->left--;
        w->code += w->is_desc ? UINT32_MAX : 1;
        enter_value(w);
    }
    *e = w->e;
    e->row = w->part.rows[w->at++];
    return 1;
}

static int order_sealed(const struct eng_field_schema *s,
                        const uint8_t *p,
                        const struct sx_order_by *by,
                        struct sx_arena *arena,
                        struct eng_order_cursor *out)
{
    struct walk *w = sx_arena_zalloc(arena, sizeof(*w));
    uint32_t from = 0, to = 0;
    int64_t lo, hi;

    if (w == NULL)
        return SX_ENOMEM;
    eng_num_part_of(p, &w->part);
    w->type = s->type;
    w->is_desc = by->is_desc != 0;
    if (w->part.distinct != 0 && eng_num_start(s, by, &lo, &hi)) {
        from = eng_num_lower(&w->part, 0, lo);
        to = hi == INT64_MAX ? w->part.distinct : eng_num_lower(&w->part, 0, hi + 1);
    }
    if (from < to) {
        w->code = w->is_desc ? to - 1 : from;
        w->left = to - from - 1;
        enter_value(w);
    }
    out->priv = w;
    out->next = walk_next;
    return SX_OK;
}

/* --- open: the next few at a time ------------------------------------------------------------ */

/* A few entries are asked for, usually, out of many. So entries are ordered in batches of about a
 * thirtieth: what lies between the last batch and a pivot taken from a sample is picked by a scan
 * and ordered by a heap. Ten of 65 536 cost 0.1 ms, sorting all of them 7 ms. */
#define SAMPLE 128u
#define PIVOT  32u /* the sample's 1/32 */

struct pick {
    const struct eng_num_open *open;
    struct eng_fwd_view view;
    int64_t lo, hi; /* keys that are left */
    uint32_t is_desc, n;
    uint32_t *heap; /* n entries of the batch, the next one first; room for all of the view */
};

/* Entries lie by row: of equal keys the lower entry comes first. */
static int comes_before(const struct pick *p, uint32_t a, uint32_t b)
{
    const int64_t *val = p->view.val;

    if (val[a] != val[b])
        return (val[a] < val[b]) != (int)p->is_desc;
    return a < b;
}

static void sift(struct pick *p, uint32_t at)
{
    uint32_t x = p->heap[at];

    for (;;) {
        uint64_t kid = 2 * (uint64_t)at + 1;

        if (kid >= p->n)
            break;
        if (kid + 1 < p->n && comes_before(p, p->heap[kid + 1], p->heap[kid]))
            kid++;
        if (!comes_before(p, p->heap[kid], x))
            break;
        p->heap[at] = p->heap[kid];
        at = (uint32_t)kid;
    }
    p->heap[at] = x;
}

/* The end of the next batch: the far end of all when a sample finds little. */
static int64_t pivot_of(const struct pick *p)
{
    uint32_t n = p->view.to - p->view.from, every = n / SAMPLE + 1, found = 0;
    const int64_t *val = p->view.val;
    int64_t key[SAMPLE];

    for (uint32_t i = p->view.from; i < p->view.to; i += every) {
        if (val[i] >= p->lo && val[i] <= p->hi)
            key[found++] = val[i];
    }
    if (found < PIVOT)
        return p->is_desc ? p->lo : p->hi;
    found = eng_num_distinct(key, found);
    return key[p->is_desc ? found - 1 - found / PIVOT : found / PIVOT];
}

/* Takes the keys [lo, hi] out of what is left. */
static void pick_range(struct pick *p, int64_t lo, int64_t hi)
{
    const int64_t *val = p->view.val;
    uint64_t w[16];

    p->n = 0;
    for (uint32_t i = p->view.from, n; i < p->view.to; i += n) {
        n = p->view.to - i < 1024 ? p->view.to - i : 1024;
        eng_num_scan(p->open->scan, val + i, n, lo, hi, w);
        for (uint32_t j = 0; j < (n + 63) / 64; j++) {
            for (uint64_t bits = w[j]; bits != 0; bits &= bits - 1)
                p->heap[p->n++] = i + j * 64 + (uint32_t)__builtin_ctzll(bits);
        }
    }
    for (uint32_t i = p->n / 2; i > 0; i--)
        sift(p, i - 1);
}

/* 1 with a batch that is not empty, 0 when nothing is left. */
static int next_batch(struct pick *p)
{
    while (p->n == 0 && p->lo <= p->hi) {
        int64_t pivot = pivot_of(p);

        pick_range(p, p->is_desc ? pivot : p->lo, p->is_desc ? p->hi : pivot);
        if (pivot == (p->is_desc ? p->lo : p->hi)) {
            /* The last one; leaves nothing. */
            p->lo = INT64_MAX;
            p->hi = INT64_MIN;
        } else if (p->is_desc) {
            p->hi = pivot - 1;
        } else {
            p->lo = pivot + 1;
        }
    }
    return p->n > 0;
}

static int pick_next(struct eng_order_cursor *c, struct eng_order_entry *e)
{
    struct pick *p = c->priv;

    if (p->n == 0 && !next_batch(p))
        return 0;
    e->pad = 0;
    e->row = eng_fwd_row_of(&p->view, p->heap[0]);
    eng_num_entry(p->open->schema->type, ((const int64_t *)p->view.val)[p->heap[0]], e);
    p->heap[0] = p->heap[--p->n];
    if (p->n > 0)
        sift(p, 0);
    return 1;
}

static int order_open(const struct eng_num_open *o,
                      uint32_t row_end,
                      const struct sx_order_by *by,
                      struct sx_arena *arena,
                      struct eng_order_cursor *out)
{
    struct pick *p = sx_arena_zalloc(arena, sizeof(*p));

    if (p == NULL)
        return SX_ENOMEM;
    p->open = o;
    p->is_desc = by->is_desc != 0;
    eng_fwd_read(&o->fwd, 0, row_end, &p->view);
    p->heap = sx_arena_alloc(arena, ((uint64_t)(p->view.to - p->view.from) + 1) * sizeof(*p->heap));
    if (p->heap == NULL)
        return SX_ENOMEM;
    if (!eng_num_start(o->schema, by, &p->lo, &p->hi)) {
        p->lo = INT64_MAX;
        p->hi = INT64_MIN;
    }
    out->priv = p;
    out->next = pick_next;
    return SX_OK;
}

int eng_num_order(const struct eng_field_schema *s,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct sx_order_by *by,
                  struct sx_arena *arena,
                  struct eng_order_cursor *out)
{
    if (sealed != NULL)
        return order_sealed(s, sealed, by, arena, out);
    return order_open(open, open_hi, by, arena, out);
}
