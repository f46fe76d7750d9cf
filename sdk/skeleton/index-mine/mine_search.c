/* index-mine: search.
 *
 * Runs on many threads at once; all its memory is the caller's: the hits go into the result array,
 * everything else into b->scratch, whose size mine_scratch_size() has told. */
#include "mine.h"

struct scratch {
    uint32_t nodes[MINE_BATCH_MAX];
    float scores[MINE_BATCH_MAX];
};

uint64_t mine_scratch_size(void *self, void *ix, uint32_t nq, uint32_t k, struct sx_doc params)
{
    (void)self;
    (void)ix;
    (void)nq;
    (void)k;
    (void)params;
    return sizeof(struct scratch);
}

/* --- order: higher score first, then smaller node; NaN behind everything --- */

static int is_better(struct sx_hit a, struct sx_hit b)
{
    int a_nan = a.score != a.score, b_nan = b.score != b.score;
    if (a_nan || b_nan)
        return a_nan == b_nan ? a.node < b.node : b_nan;
    return a.score > b.score || (a.score == b.score && a.node < b.node);
}

/* A heap whose root is the worst hit: moves h[i] down to its place among n. */
static void sift_down(struct sx_hit *h, uint32_t n, uint32_t i)
{
    while (i < n / 2) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < n && is_better(h[child], h[child + 1]))
            child++;
        if (is_better(h[child], h[i]))
            break;
        struct sx_hit t = h[i];
        h[i] = h[child];
        h[child] = t;
        i = child;
    }
}

static void heapify(struct sx_hit *h, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(h, n, i);
}

static void sort(struct sx_hit *h, uint32_t n)
{
    heapify(h, n);
    for (; n > 1; n--) {
        struct sx_hit worst = h[0];
        h[0] = h[n - 1];
        h[n - 1] = worst;
        sift_down(h, n - 1, 0);
    }
}

/* --- visibility --- */

static int bit(const uint64_t *words, uint32_t i)
{
    return (int)(__atomic_load_n(words + i / 64, __ATOMIC_RELAXED) >> (i % 64) & 1);
}

/* Rows at or beyond their chunk's fill are newer than the view: they are handed back unjudged. */
static int is_visible(const struct sx_view *view, uint32_t node)
{
    uint32_t row = node;
    if (view->row_of != NULL)
        row = __atomic_load_n((const uint32_t *)sx_rows_at(view->row_of, node), __ATOMIC_RELAXED);
    uint32_t chunk = row >> SX_CHUNK_SHIFT, off = row & (SX_CHUNK_ROWS - 1);
    if (chunk >= view->n_chunks || off >= view->fill[chunk])
        return 1;
    if (view->dead != NULL && view->dead[chunk] != NULL && bit(view->dead[chunk], off))
        return 0;
    if (view->allowed != NULL)
        return view->allowed[chunk] != NULL && bit(view->allowed[chunk], off);
    return 1;
}

/* A removed chunk of vectors has nothing to score. */
static int is_present(const struct sx_rows *rows, uint32_t node)
{
    return rows->chunks[node >> rows->shift] != NULL;
}

/* --- search --- */

static int
should_stop(const struct mine_plugin *p, const struct sx_index_batch *b, struct sx_err *err)
{
    if (b->cancel != NULL && __atomic_load_n(b->cancel, __ATOMIC_RELAXED) != 0)
        return sx_err_set(err, SX_ECANCELED, "search was cancelled");
    if (b->deadline_ns != 0 && p->time->mono_ns() >= b->deadline_ns)
        return sx_err_set(err, SX_ETIMEOUT, "search ran out of time");
    return SX_OK;
}

/* Takes the scored nodes into the best `cap` hits, of which there are *count so far. */
static void take(const struct sx_index_batch *b,
                 const struct scratch *s,
                 uint32_t n,
                 struct sx_hit *hits,
                 uint32_t *count,
                 uint32_t cap)
{
    const struct sx_hit bound = {b->bound_node, b->bound};
    for (uint32_t i = 0; i < n; i++) {
        struct sx_hit hit = {s->nodes[i], s->scores[i]};
        if ((b->flags & SX_INDEX_BOUND) != 0 && !is_better(bound, hit))
            continue;
        if (*count < cap) {
            hits[(*count)++] = hit;
            if (*count == cap)
                heapify(hits, cap);
        } else if (is_better(hit, hits[0])) {
            hits[0] = hit;
            sift_down(hits, cap, 0);
        }
    }
}

static int search_one(const struct mine_plugin *p,
                      const struct mine_index *ix,
                      const struct sx_index_batch *b,
                      const struct sx_scorer *scorer,
                      struct sx_hit *hits,
                      uint32_t *count,
                      struct sx_err *err)
{
    struct scratch *s = b->scratch;
    struct sx_rows rows = {.size = (uint32_t)sizeof(rows)};
    uint32_t cap = b->k < b->n_nodes ? b->k : b->n_nodes, n = 0;
    ix->source->rows(ix->source->ctx, &rows);
    for (uint32_t node = 0; cap > 0 && node < b->n_nodes; node++) {
        if (node % 4096 == 0) {
            int rc = should_stop(p, b, err);
            if (rc != 0) {
                *count = 0;
                return rc;
            }
        }
        if (is_present(&rows, node) && is_visible(b->view, node))
            s->nodes[n++] = node;
        if (n == ix->batch) {
            scorer->score(scorer, s->nodes, n, s->scores);
            take(b, s, n, hits, count, cap);
            n = 0;
        }
    }
    if (n > 0) {
        scorer->score(scorer, s->nodes, n, s->scores);
        take(b, s, n, hits, count, cap);
    }
    sort(hits, *count);
    return SX_OK;
}

int mine_search(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *const *results,
                uint32_t *counts,
                struct sx_err *err)
{
    int rc = SX_OK;
    for (uint32_t i = 0; i < b->nq; i++)
        counts[i] = 0;
    for (uint32_t i = 0; rc == 0 && i < b->nq; i++)
        rc = search_one(self, ix, b, b->scorers[i], results[i], &counts[i], err);
    return rc;
}

int mine_resume(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *result,
                uint32_t *count,
                struct sx_err *err)
{
    *count = 0;
    return search_one(self, ix, b, b->scorers[0], result, count, err);
}
