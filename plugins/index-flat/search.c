/* index-flat: the scan.
 *
 * Nodes go by in blocks. A block most of whose nodes are visible is scored by consecutive rows,
 * which streams memory at full speed; from a thinner one the visible nodes are gathered until a
 * batch is together and then scored by number, which lets the kernel fetch ahead. Each block or
 * batch is scored for every query before the next is touched, so a batch of queries reads memory
 * once. */
#include "flat.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* A block is scored whole when at least 3/4 of it are visible: a row read in order costs about half
 * of one fetched by number. */
#define DENSE_NUM 3u
#define DENSE_DEN 4u

/* What a search keeps in the caller's scratch. */
struct scratch {
    float scores[2 * FLAT_BLOCK];
    uint32_t nodes[2 * FLAT_BLOCK];
    struct flat_top tops[]; /* nq */
};

struct scan {
    const struct sx_index_batch *b;
    struct scratch *s;
    const struct sx_rows *present; /* presence of vectors, by node */
    uint32_t n_pending, block;
};

uint64_t flat_scratch_size(void *self, void *ix, uint32_t nq, uint32_t k, struct sx_doc params)
{
    (void)self;
    (void)ix;
    (void)k; /* hits live in the result arrays */
    (void)params;
    return sizeof(struct scratch) + (uint64_t)nq * sizeof(struct flat_top);
}

static int is_plain(const struct sx_scorer *s)
{
    return (s->flags & SX_SCORER_PLAIN) != 0;
}

static void score_pending(struct scan *sc)
{
    struct scratch *s = sc->s;
    for (uint32_t i = 0; i < sc->b->nq; i++) {
        const struct sx_scorer *r = sc->b->scorers[i];
        if (is_plain(r))
            r->kernel->score_ids(r->q, r->rows, s->nodes, sc->n_pending, r->dim, s->scores);
        else
            r->score(r, s->nodes, sc->n_pending, s->scores);
        flat_top_offer(&s->tops[i], s->nodes, s->scores, sc->n_pending);
    }
    sc->n_pending = 0;
}

/* The visible nodes of the block lie in nodes[], behind the pending ones. */
static void score_dense(struct scan *sc, uint32_t first, uint32_t n, uint32_t n_visible)
{
    struct scratch *s = sc->s;
    const uint32_t *nodes = s->nodes + sc->n_pending;
    for (uint32_t i = 0; i < sc->b->nq; i++) {
        const struct sx_scorer *r = sc->b->scorers[i];
        if (!is_plain(r)) {
            r->score(r, nodes, n_visible, s->scores);
            flat_top_offer(&s->tops[i], nodes, s->scores, n_visible);
            continue;
        }
        r->kernel->score_rows(r->q, r->rows, first, n, r->dim, s->scores);
        if (n_visible == n)
            flat_top_offer_run(&s->tops[i], first, s->scores, n);
        else
            flat_top_offer_part(&s->tops[i], nodes, n_visible, s->scores, first);
    }
}

/* Rows that are skipped by visibility may be read only if they exist: the block's nodes share a
 * chunk of which at least one row does. */
static int is_dense(const struct scan *sc, uint32_t first, uint32_t n, uint32_t n_visible)
{
    uint32_t shift = sc->present->shift;
    return n_visible == n ||
           (n_visible * DENSE_DEN >= n * DENSE_NUM && first >> shift == (first + n - 1) >> shift);
}

static void scan_block(struct scan *sc, uint32_t first, uint32_t n)
{
    uint32_t m = flat_visible(sc->b->view, sc->present, first, n, sc->s->nodes + sc->n_pending);
    if (m == 0)
        return;
    /* Numbers come back: a chunk may end (for now) behind its last visible node. */
    n = sc->s->nodes[sc->n_pending + m - 1] - first + 1;
    if (is_dense(sc, first, n, m)) {
        score_dense(sc, first, n, m);
        return;
    }
    sc->n_pending += m;
    if (sc->n_pending >= sc->block)
        score_pending(sc);
}

static int
check_time(const struct flat_plugin *p, const struct sx_index_batch *b, struct sx_err *err)
{
    if (b->cancel != NULL && __atomic_load_n(b->cancel, __ATOMIC_RELAXED) != 0)
        return sx_err_set(err, SX_ECANCELED, "search was cancelled");
    if (b->deadline_ns != 0 && p->time->mono_ns() >= b->deadline_ns)
        return sx_err_set(err, SX_ETIMEOUT, "search ran out of time");
    return SX_OK;
}

static int scan_all(const struct flat_plugin *p, struct scan *sc, struct sx_err *err)
{
    const struct sx_index_batch *b = sc->b;
    uint32_t n_blocks = 0;
    for (uint64_t first = 0; first < b->n_nodes; first += sc->block) {
        if (n_blocks++ % FLAT_DEADLINE_BLOCKS == 0) {
            int rc = check_time(p, b, err);
            if (rc != 0)
                return rc;
        }
        uint64_t left = b->n_nodes - first;
        scan_block(sc, (uint32_t)first, left < sc->block ? (uint32_t)left : sc->block);
    }
    if (sc->n_pending > 0)
        score_pending(sc);
    return SX_OK;
}

static uint32_t block_size(const struct sx_index_batch *b, const struct sx_rows *rows)
{
    if (b->nq < 2 || rows->stride <= FLAT_BLOCK_BYTES / FLAT_BLOCK)
        return FLAT_BLOCK;
    uint32_t fit = FLAT_BLOCK_BYTES / rows->stride / FLAT_BLOCK_MIN * FLAT_BLOCK_MIN;
    return fit > FLAT_BLOCK_MIN ? fit : FLAT_BLOCK_MIN;
}

static int search_tops(const struct flat_plugin *p,
                       const struct flat_index *ix,
                       const struct sx_index_batch *b,
                       struct sx_hit *const *results,
                       uint32_t *counts,
                       struct sx_err *err)
{
    for (uint32_t i = 0; i < b->nq; i++)
        counts[i] = 0;
    if (b->nq == 0 || b->k == 0 || b->n_nodes == 0)
        return SX_OK;
    struct scratch *s = b->scratch;
    struct sx_rows source_rows = {.size = (uint32_t)sizeof(source_rows)};
    struct scan sc = {.b = b, .s = s, .present = b->scorers[0]->rows};
    if (!is_plain(b->scorers[0])) {
        ix->source->rows(ix->source->ctx, &source_rows);
        sc.present = &source_rows;
    }
    sc.block = block_size(b, sc.present);
    uint64_t bound =
        (b->flags & SX_INDEX_BOUND) != 0 ? flat_hit_key(b->bound, b->bound_node) : UINT64_MAX;
    for (uint32_t i = 0; i < b->nq; i++)
        s->tops[i] = (struct flat_top){
            .hits = results[i],
            .cap = b->k < b->n_nodes ? b->k : b->n_nodes,
            .bound = bound,
            .floor = -__builtin_inff(),
        };
    int rc = scan_all(p, &sc, err);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < b->nq; i++) {
        flat_top_sort(&s->tops[i]);
        counts[i] = s->tops[i].n;
    }
    return SX_OK;
}

int flat_search(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *const *results,
                uint32_t *counts,
                struct sx_err *err)
{
    return search_tops(self, ix, b, results, counts, err);
}

int flat_resume(void *self,
                void *ix,
                const struct sx_index_batch *b,
                struct sx_hit *result,
                uint32_t *count,
                struct sx_err *err)
{
    if (b->nq != 1 || (b->flags & SX_INDEX_BOUND) == 0)
        return sx_err_set(err, SX_EINTERNAL, "resume needs one query and a bound");
    struct sx_hit *const results[1] = {result};
    return search_tops(self, ix, b, results, count, err);
}
