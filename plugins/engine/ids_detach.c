/* Rows go, their ids stay: entries of the runs are pointed at other rows.
 *
 * An entry of a run is a row that has the id, not the newest one. Before a chunk of rows goes its
 * rows must not be found there. The pass walks all runs, and the destinations of merges under way,
 * by ascending id, a few thousand entries at a time, so it may be interrupted by puts and merges:
 * what it has been through stays through, because merging keeps order and entries made meanwhile
 * lie in chunks that stay. Entries change under readers: one store, old and new row have the same
 * id, and both stay readable until every reader of today has left. */
#include <string.h>

#include "sextant/sx_text.h"
#include "sextant/sx_vec.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define DETACH_STEP 4096u /* entries of one run in one go */

uint32_t eng_ids_run_bound(const struct eng_ids *m,
                           const struct ids_run *r,
                           uint32_t lo,
                           uint32_t hi,
                           const struct sx_id *id,
                           int above)
{
    uint32_t end = hi;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2, at = mid, row = ENG_NO_ROW;
        struct sx_id there;
        int cmp;

        while (at < hi && (row = ids_run_row(r, at)) == ENG_NO_ROW)
            at++;
        if (at == hi) { /* nothing but holes */
            hi = mid;
            continue;
        }
        there = ids_row_id(m, row);
        cmp = sx_id_cmp(&there, id);
        if (cmp < 0 || (above && cmp == 0))
            lo = at + 1;
        else
            hi = mid;
    }
    while (lo < end && ids_run_row(r, lo) == ENG_NO_ROW)
        lo++;
    return lo;
}

static void detach_some(struct eng_ids *m,
                        struct ids_run *r,
                        uint32_t from,
                        uint32_t to,
                        const uint8_t *is_going,
                        uint32_t n_chunks)
{
    for (uint32_t i = from; i < to; i++) {
        uint32_t row = ids_run_row(r, i), newest;
        struct sx_id id;

        if (row == ENG_NO_ROW || row >> SX_CHUNK_SHIFT >= n_chunks ||
            !is_going[row >> SX_CHUNK_SHIFT])
            continue;
        id = ids_row_id(m, row);
        newest = eng_ids_find(m, &id);
        ids_run_set(r, i, newest);
        r->holes += newest == ENG_NO_ROW;
    }
}

/* Run number i of the view, then the destinations. */
static struct ids_run *
run_of(const struct eng_ids *m, const struct eng_ids_view *v, uint32_t i, uint32_t *n)
{
    if (i < v->n_runs) {
        *n = v->runs[i].n;
        return v->runs[i].run;
    }
    *n = m->merges[i - v->n_runs].n;
    return m->merges[i - v->n_runs].dst;
}

int eng_ids_detach(struct eng_ids *m,
                   struct eng_ids_detach *at,
                   const uint8_t *is_going,
                   uint32_t n_chunks)
{
    struct eng_ids_view *v = ids_view_now(m);
    uint32_t n_runs = v->n_runs + m->n_merges, from[IDS_MERGES * 4], n;
    struct sx_id bound = {0, 0, 0, 0};
    int has_bound = 0;

    if (n_runs > IDS_MERGES * 4)
        return 0; /* never so many; merging makes them fewer */
    for (uint32_t i = 0; i < n_runs; i++) {
        struct ids_run *r = run_of(m, v, i, &n);
        uint32_t far;

        from[i] = at->is_begun ? eng_ids_run_bound(m, r, 0, n, &at->from, 1) : 0;
        if (n - from[i] <= DETACH_STEP)
            continue;
        for (far = from[i] + DETACH_STEP; far < n && ids_run_row(r, far) == ENG_NO_ROW;)
            far++;
        if (far == n)
            continue;
        struct sx_id id = ids_row_id(m, ids_run_row(r, far));
        if (!has_bound || sx_id_cmp(&id, &bound) < 0)
            bound = id;
        has_bound = 1;
    }
    for (uint32_t i = 0; i < n_runs; i++) {
        struct ids_run *r = run_of(m, v, i, &n);
        uint32_t to = has_bound ? eng_ids_run_bound(m, r, from[i], n, &bound, 1) : n;

        detach_some(m, r, from[i], to, is_going, n_chunks);
    }
    at->from = bound;
    at->is_begun = 1;
    return !has_bound;
}
