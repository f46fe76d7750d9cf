/* Sorting an operation's new ids, and merging runs.
 *
 * Runs are merged until each is at least 4 times as long as the next, so an id is copied about
 * 2 log4(n) times in its life. A merge of millions would hold up the writer, therefore merges are
 * worked off in portions with each commit (eng_ids_commit() gives the budget: 1 024 rows and 32 for
 * every new id, more than the 2 log4(2^32) that are needed on average). Merges under way form a
 * stack from the front of the list to its end, the newest and smallest on top:
 *
 *   runs     [ 40 000 000 ][ 12 000 000 ][ 300 000 ][ 90 000 ][ 700 ]
 *   merges   `-------- k = 0 ----------' `------ k = 2 ------'
 *
 * Holes (removed ids) are left out on the way. A run that is half holes is merged with nothing, nb
 * being 0.
 *
 * The destination is the writer's alone until it is whole and enters a view. */
#include <string.h>

#include "sextant/sx_text.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define MERGE_RATIO 4u

/* --- sorting ----------------------------------------------------------------------------- */

static void key_merge(const struct ids_key *a,
                      const struct ids_key *a_end,
                      const struct ids_key *b,
                      const struct ids_key *b_end,
                      struct ids_key *out)
{
    while (a < a_end && b < b_end)
        *out++ = ids_key_less(b, a) ? *b++ : *a++;
    if (a < a_end)
        memcpy(out, a, (uint64_t)(a_end - a) * sizeof(*a));
    else if (b < b_end)
        memcpy(out, b, (uint64_t)(b_end - b) * sizeof(*b));
}

/* Sorts k[0, n) with k[n, 2n) as the other half: a merge sort from below, nothing to do for keys
 * that are in order. Returns where the sorted keys are. */
static struct ids_key *key_sort(struct ids_key *k, uint32_t n)
{
    struct ids_key *from = k, *to = k + n, *swap;
    uint32_t i = 1;

    while (i < n && !ids_key_less(&k[i], &k[i - 1]))
        i++;
    if (i >= n)
        return k;
    for (uint64_t w = 1; w < n; w *= 2) {
        for (uint64_t at = 0; at < n; at += 2 * w) {
            uint64_t mid = at + w < n ? at + w : n, end = at + 2 * w < n ? at + 2 * w : n;

            key_merge(from + at, from + mid, from + mid, from + end, to + at);
        }
        swap = from;
        from = to;
        to = swap;
    }
    return from;
}

int eng_ids_keys_reserve(struct eng_ids *m, uint32_t n)
{
    struct ids_key *k;

    if (n <= m->keys_cap)
        return SX_OK;
    if (n < 16)
        n = 16;
    k = m->mem->alloc(m->mem, 2 * (uint64_t)n * sizeof(*k));
    if (k == NULL)
        return SX_ENOMEM;
    if (m->keys != NULL)
        m->mem->release(m->mem, m->keys);
    m->keys = k;
    m->keys_cap = n;
    return SX_OK;
}

struct ids_key *eng_ids_rows_sort(struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct sx_id id = ids_row_id(m, rows[i]);

        m->keys[i] = (struct ids_key){id.hi, id.lo, id.kind, rows[i]};
    }
    return key_sort(m->keys, n);
}

/* --- merging ----------------------------------------------------------------------------- */

static int is_hollow(const struct ids_run_ref *r)
{
    return r->run->holes * 2 > r->n && r->n != 0;
}

/* Starts the merge of the last pair behind the merges under way whose sizes are out of proportion.
 * Without memory the runs stay as they are until a later commit. 1 when one was started. */
static int merge_begin(struct eng_ids *m, const struct eng_ids_view *v)
{
    uint32_t base = m->n_merges != 0 ? ids_merge_end(&m->merges[m->n_merges - 1]) : 0;
    struct ids_merge *g;

    if (m->n_merges == IDS_MERGES)
        return 0;
    for (uint32_t j = v->n_runs; j-- > base + 1;) {
        uint32_t na = v->runs[j - 1].n, nb = v->runs[j].n;

        if (na / MERGE_RATIO >= nb)
            continue;
        g = &m->merges[m->n_merges];
        memset(g, 0, sizeof(*g));
        g->dst = eng_ids_run_create(m->mem, na + nb);
        if (g->dst == NULL)
            return 0;
        g->k = j - 1;
        g->na = na;
        g->nb = nb;
        m->n_merges++;
        return 1;
    }
    for (uint32_t j = v->n_runs; j-- > base;) {
        if (!is_hollow(&v->runs[j]))
            continue;
        g = &m->merges[m->n_merges];
        memset(g, 0, sizeof(*g));
        g->dst = eng_ids_run_create(m->mem, v->runs[j].n);
        if (g->dst == NULL)
            return 0;
        g->k = j;
        g->na = v->runs[j].n;
        g->is_alone = 1;
        m->n_merges++;
        return 1;
    }
    return 0;
}

/* Copies up to n rows that come from one side only. */
static void merge_copy(struct ids_merge *g, const struct ids_run *from, uint32_t *i, uint64_t n)
{
    while (n != 0) {
        uint32_t src = *i & (IDS_BLOCK - 1), dst = g->n & (IDS_BLOCK - 1);
        uint32_t c = IDS_BLOCK - (src > dst ? src : dst);

        if (c > n)
            c = (uint32_t)n;
        if (from->holes != 0) {
            uint32_t row = ids_run_row(from, (*i)++);

            if (row != ENG_NO_ROW)
                ids_run_add(g->dst, g->n++, row);
            n--;
            continue;
        }
        memcpy(&g->dst->block[g->n >> IDS_BLOCK_SHIFT][dst],
               &from->block[*i >> IDS_BLOCK_SHIFT][src], (uint64_t)c * sizeof(uint32_t));
        *i += c;
        g->n += c;
        n -= c;
    }
}

/* Passes over holes, n at most; returns how many. Afterwards *i is no hole unless n is used up. */
static uint64_t merge_skip(const struct ids_run *r, uint32_t *i, uint32_t end, uint64_t n)
{
    uint64_t skipped = 0;

    while (r->holes != 0 && skipped < n && *i < end && ids_run_row(r, *i) == ENG_NO_ROW) {
        ++*i;
        skipped++;
    }
    return skipped;
}

/* Moves up to n rows into the destination; returns how much of n is left. */
static uint64_t
merge_work(struct eng_ids *m, const struct eng_ids_view *v, struct ids_merge *g, uint64_t n)
{
    const struct ids_run *a = v->runs[g->k].run;
    const struct ids_run *b = g->is_alone ? a : v->runs[g->k + 1].run;
    uint64_t c;

    n -= merge_skip(a, &g->ia, g->na, n);
    n -= merge_skip(b, &g->ib, g->nb, n);
    if (n != 0 && g->ia < g->na && g->ib < g->nb) {
        uint32_t ra = ids_run_row(a, g->ia), rb = ids_run_row(b, g->ib);
        struct sx_id x = ids_row_id(m, ra), y = ids_row_id(m, rb);

        while (n != 0 && g->ia < g->na && g->ib < g->nb) {
            n--;
            if (sx_id_cmp(&x, &y) < 0) {
                ids_run_add(g->dst, g->n++, ra);
                g->ia++;
                n -= merge_skip(a, &g->ia, g->na, n);
                if (g->ia < g->na && (ra = ids_run_row(a, g->ia)) != ENG_NO_ROW)
                    x = ids_row_id(m, ra);
            } else {
                ids_run_add(g->dst, g->n++, rb);
                g->ib++;
                n -= merge_skip(b, &g->ib, g->nb, n);
                if (g->ib < g->nb && (rb = ids_run_row(b, g->ib)) != ENG_NO_ROW)
                    y = ids_row_id(m, rb);
            }
        }
    }
    if (g->ib == g->nb) {
        c = g->na - g->ia < n ? g->na - g->ia : n;
        merge_copy(g, a, &g->ia, c);
        n -= c;
    }
    if (g->ia == g->na) {
        c = g->nb - g->ib < n ? g->nb - g->ib : n;
        merge_copy(g, b, &g->ib, c);
        n -= c;
    }
    return n;
}

/* Works on merges, newest first, until `budget` rows were moved; finished ones are entered in v. */
void eng_ids_merge_some(struct eng_ids *m, struct eng_ids_view *v, uint64_t budget)
{
    while (budget != 0) {
        struct ids_merge *g;

        (void)merge_begin(m, v);
        if (m->n_merges == 0)
            return;
        g = &m->merges[m->n_merges - 1];
        budget = merge_work(m, v, g, budget);
        if (g->ia < g->na || g->ib < g->nb)
            return;
        uint32_t end = ids_merge_end(g), to = g->k;
        for (uint32_t j = g->k; j < end; j++)
            eng_ids_run_gone(m, v->runs[j].run);
        if (g->n != 0)
            v->runs[to++] = (struct ids_run_ref){g->dst, g->n, 0};
        else
            eng_ids_run_destroy(g->dst);
        memmove(&v->runs[to], &v->runs[end], (v->n_runs - end) * sizeof(v->runs[0]));
        v->n_runs -= end - to;
        m->n_merges--;
    }
}

int eng_ids_merge_wanted(const struct eng_ids *m, const struct eng_ids_view *v)
{
    if (m->n_merges != 0)
        return 1;
    for (uint32_t j = 0; j < v->n_runs; j++) {
        if (is_hollow(&v->runs[j]))
            return 1;
    }
    for (uint32_t j = 1; j < v->n_runs; j++) {
        if (v->runs[j - 1].n / MERGE_RATIO < v->runs[j].n)
            return 1;
    }
    return 0;
}
