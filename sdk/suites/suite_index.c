/* Conformance of kind index.
 *
 * An index over a few thousand clustered vectors (70 000 for an EXACT one, to pass the end of a row
 * chunk), made by build() or insert() in pieces, searched under every kind of view:
 *   - hits are best first, ties by smaller node, none twice, none dead, filtered out, removed or at
 * or above n_nodes; scores are the scorer's own bits; nothing is written beyond k hits or outside
 *     scratch_size bytes of scratch; nodes newer than the view are handed back;
 *   - EXACT: the list is the true one, also for k of 1 and k beyond the number of nodes;
 *     otherwise recall at 10 is at least RECALL_FLOOR on average;
 *   - resume() goes on without gap or repeat, to the last visible node for EXACT;
 *   - cancel and deadline end a search; several queries at once give what each gives alone;
 *   - an index flushed and opened again answers as before. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "index_world.h"

#define RECALL_FLOOR 0.90
#define QUERIES      8u
#define SCRATCH_FOR_INSERT                                                                         \
    (4u << 20) /* at least; scratch_size() of one query when that is more                          \
                */
#define ABSENT ((struct sx_doc){NULL, 0, 0})

struct bench {
    struct suite *s;
    const struct sx_index_ops *ops;
    void *self, *ix;
    struct world w;
    struct sx_hit *truth, *hits; /* n + 1 each; hits[k] holds a canary */
    double recall_sum;
    uint32_t n_recalls, is_exact;
    const char *what; /* of the view under test, for messages */
};

static int has(const struct bench *b, uint64_t cap)
{
    return (b->s->pr->caps & cap) != 0;
}

static const struct sx_hit canary = {0xdeadbeefu, 77.25f};

static int is_canary(const struct sx_hit *h)
{
    return memcmp(h, &canary, sizeof(canary)) == 0;
}

/* --- one call --- */

struct call {
    uint32_t nq, k, n_nodes, flags;
    const struct world_query *queries;
    const uint32_t *cancel;
    uint64_t deadline_ns;
    struct sx_hit bound;
    uint32_t is_resume;
};

/* Runs search or resume with guarded scratch; results[i] has room for k + 1 hits. */
static int
call_run(struct bench *b, const struct call *c, struct sx_hit *const *results, uint32_t *counts)
{
    struct sx_err err = SX_ERR_INIT;
    const struct sx_scorer *scorers[QUERIES];
    uint64_t bytes = (b->ops->scratch_size(b->self, b->ix, c->nq, c->k, ABSENT) + 63) / 64 * 64;
    void *scratch = sx_suite__guarded(bytes + 64, 1);
    if (!sx_suite__check(b->s, scratch != NULL, "no memory for %llu bytes of scratch",
                         (unsigned long long)bytes))
        return SX_ENOMEM;
    memset(scratch, 0xa5, bytes + 64);
    for (uint32_t i = 0; i < c->nq; i++) {
        scorers[i] = &c->queries[i].scorer;
        results[i][c->k] = canary;
        counts[i] = UINT32_MAX;
    }
    struct sx_index_batch batch = {
        .size = (uint32_t)sizeof(batch),
        .nq = c->nq,
        .k = c->k,
        .flags = c->flags,
        .scorers = scorers,
        .view = &b->w.view,
        .scratch = (uint8_t *)scratch + 64,
        .cancel = c->cancel,
        .deadline_ns = c->deadline_ns,
        .n_nodes = c->n_nodes,
        .bound = c->bound.score,
        .bound_node = c->bound.node,
    };
    b->w.limit = c->n_nodes;
    int rc = c->is_resume ? b->ops->resume(b->self, b->ix, &batch, results[0], counts, &err)
                          : b->ops->search(b->self, b->ix, &batch, results, counts, &err);
    sx_suite__check(b->s, b->w.n_strays == 0, "%s: scored a node the view does not have", b->what);
    b->w.n_strays = 0;
    sx_suite__check(b->s, rc != 0 || err.code == 0 || err.msg[0] != '\0',
                    "%s: failed with %d and no text", b->what, rc);
    for (uint32_t i = 0; i < c->nq; i++)
        sx_suite__check(b->s, is_canary(&results[i][c->k]), "%s: wrote beyond k = %u hits", b->what,
                        c->k);
    for (uint32_t i = 0; i < 64; i++)
        if (!sx_suite__check(b->s, ((uint8_t *)scratch)[i] == 0xa5, "%s: wrote before its scratch",
                             b->what))
            break;
    sx_suite__guarded_free(scratch, bytes + 64, 1);
    return rc;
}

/* --- what every list of hits must be --- */

static int ranks_before(const struct sx_hit *a, const struct sx_hit *b)
{
    if (isnan(a->score) || isnan(b->score))
        return isnan(a->score) ? isnan(b->score) && a->node < b->node : 1;
    return a->score > b->score || (a->score == b->score && a->node < b->node);
}

static void check_list(struct bench *b,
                       const struct world_query *q,
                       const struct sx_hit *hits,
                       uint32_t n,
                       uint32_t k,
                       uint32_t n_nodes)
{
    struct suite *s = b->s;
    if (!sx_suite__check(s, n <= k, "%s: %u hits for k = %u", b->what, n, k))
        return;
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_hit *h = &hits[i];
        if (!sx_suite__check(s, h->node < n_nodes, "%s: hit %u is node %u of %u", b->what, i,
                             h->node, n_nodes))
            return;
        sx_suite__check(s, sx_world__is_visible(&b->w, h->node),
                        "%s: node %u is not visible but was returned", b->what, h->node);
        float score = sx_world__score(q, h->node);
        sx_suite__check(s, memcmp(&score, &h->score, 4) == 0 || (isnan(score) && isnan(h->score)),
                        "%s: node %u has score %.9g, returned %.9g", b->what, h->node,
                        (double)score, (double)h->score);
        /* Strictly ordered implies that no node comes twice. */
        if (i > 0)
            sx_suite__check(s, ranks_before(&hits[i - 1], h), "%s: hits %u and %u out of order",
                            b->what, i - 1, i);
    }
}

static void
check_truth(struct bench *b, const struct sx_hit *hits, uint32_t n, uint32_t k, uint32_t n_truth)
{
    uint32_t want = n_truth < k ? n_truth : k, found = 0;
    if (b->is_exact) {
        sx_suite__check(b->s, n == want, "%s: %u hits for k = %u, %u exist", b->what, n, k,
                        n_truth);
        for (uint32_t i = 0; i < n && i < want; i++)
            if (!sx_suite__check(b->s, hits[i].node == b->truth[i].node,
                                 "%s: hit %u is node %u, the true one is %u", b->what, i,
                                 hits[i].node, b->truth[i].node))
                return;
        return;
    }
    for (uint32_t i = 0; i < want; i++)
        for (uint32_t j = 0; j < n; j++)
            found += hits[j].node == b->truth[i].node;
    /* Under a filter a list may come short and is resumed: its recall says nothing. */
    if (want > 0 && b->w.view.allowed == NULL) {
        b->recall_sum += (double)found / want;
        b->n_recalls++;
    }
}

static void search_one(struct bench *b, uint32_t k, uint32_t n_nodes, uint32_t is_plain)
{
    struct world_query q;
    uint32_t n = 0;
    struct sx_hit *results[1] = {b->hits};
    sx_world__query(&b->w, b->s, &q, is_plain);
    struct call c = {.nq = 1, .k = k, .n_nodes = n_nodes, .queries = &q};
    int rc = call_run(b, &c, results, &n);
    if (!sx_suite__check(b->s, rc == 0, "%s: search fails with %d", b->what, rc))
        return;
    check_list(b, &q, b->hits, n, k, n_nodes);
    uint32_t n_truth = sx_world__truth(&q, n_nodes, b->truth);
    if (k <= 10 || b->is_exact)
        check_truth(b, b->hits, n, k, n_truth);
}

/* Several queries in one call against each alone. */
static void search_many(struct bench *b, uint32_t k)
{
    struct world_query q[QUERIES];
    struct sx_hit *results[QUERIES], *alone[1];
    uint32_t counts[QUERIES], n = 0, n_nodes = b->w.count;
    struct sx_hit *block = malloc((uint64_t)(QUERIES + 1) * (k + 1) * sizeof(*block));
    if (!sx_suite__check(b->s, block != NULL, "no memory"))
        return;
    for (uint32_t i = 0; i < QUERIES; i++) {
        sx_world__query(&b->w, b->s, &q[i], i % 4 != 3);
        results[i] = block + (uint64_t)i * (k + 1);
    }
    alone[0] = block + (uint64_t)QUERIES * (k + 1);
    struct call c = {.nq = QUERIES, .k = k, .n_nodes = n_nodes, .queries = q};
    int rc = call_run(b, &c, results, counts);
    sx_suite__check(b->s, rc == 0, "%s: search of %u queries fails with %d", b->what, QUERIES, rc);
    for (uint32_t i = 0; rc == 0 && i < QUERIES; i++) {
        check_list(b, &q[i], results[i], counts[i], k, n_nodes);
        struct call one = {.nq = 1, .k = k, .n_nodes = n_nodes, .queries = &q[i]};
        if (call_run(b, &one, alone, &n) != 0)
            continue;
        sx_suite__check(b->s,
                        n == counts[i] && memcmp(alone[0], results[i], n * sizeof(canary)) == 0,
                        "%s: query %u of a batch has other hits than alone", b->what, i);
    }
    free(block);
}

/* search, then resume until nothing comes. */
static void search_on(struct bench *b, uint32_t k)
{
    struct world_query q;
    struct sx_hit *results[1] = {b->hits};
    uint32_t n = 0, total = 0, n_nodes = b->w.count, n_truth;
    if (!has(b, SX_INDEX_RESUME))
        return;
    sx_world__query(&b->w, b->s, &q, 1);
    n_truth = sx_world__truth(&q, n_nodes, b->truth);
    struct call c = {.nq = 1, .k = k, .n_nodes = n_nodes, .queries = &q};
    int rc = call_run(b, &c, results, &n);
    while (rc == 0 && n > 0 && total <= n_truth) {
        check_list(b, &q, b->hits, n, k, n_nodes);
        if (total > 0)
            sx_suite__check(b->s, ranks_before(&c.bound, &b->hits[0]),
                            "%s: resume returns a hit that ranks before its bound", b->what);
        for (uint32_t i = 0; b->is_exact && i < n && total + i < n_truth; i++)
            sx_suite__check(b->s, b->hits[i].node == b->truth[total + i].node,
                            "%s: resumed hit %u is node %u, the true one is %u", b->what, total + i,
                            b->hits[i].node, b->truth[total + i].node);
        total += n;
        c.bound = b->hits[n - 1];
        c.flags = SX_INDEX_BOUND;
        c.is_resume = 1;
        rc = call_run(b, &c, results, &n);
    }
    sx_suite__check(b->s, rc == 0, "%s: resume fails with %d", b->what, rc);
    sx_suite__check(b->s, total <= n_truth, "%s: resume gives %u hits of %u", b->what, total,
                    n_truth);
    if (b->is_exact)
        sx_suite__check(b->s, total == n_truth, "%s: resume ends after %u hits of %u", b->what,
                        total, n_truth);
}

static void search_stopped(struct bench *b)
{
    struct world_query q;
    struct sx_hit *results[1] = {b->hits};
    const uint32_t cancel = 1;
    uint32_t n = 0;
    sx_world__query(&b->w, b->s, &q, 1);
    struct call c = {.nq = 1, .k = 10, .n_nodes = b->w.count, .queries = &q, .cancel = &cancel};
    int rc = call_run(b, &c, results, &n);
    sx_suite__check(b->s, rc == SX_ECANCELED || (rc == 0 && !b->is_exact),
                    "%s: a cancelled search gives %d", b->what, rc);
    c.cancel = NULL;
    c.deadline_ns = 1;
    rc = call_run(b, &c, results, &n);
    sx_suite__check(b->s, rc == SX_ETIMEOUT || (rc == 0 && !b->is_exact),
                    "%s: a search past its deadline gives %d", b->what, rc);
}

static void search_all_ways(struct bench *b, const char *what)
{
    static const uint32_t ks[] = {1, 2, 10, 10, 100};
    uint32_t n = b->w.count;
    b->what = what;
    for (uint32_t i = 0; i < SX_COUNT(ks); i++) {
        search_one(b, ks[i], n, 1);
        search_one(b, ks[i], n, 0);
    }
    search_one(b, n, n, 1);
    search_one(b, n + 17, n, 0);
    search_one(b, 10, n / 2, 1); /* an older view: fewer nodes than the index has */
    search_one(b, 10, 1, 1);
    search_one(b, 10, 0, 1);
    search_many(b, 10);
    search_on(b, b->is_exact ? n / 7 + 1 : 10);
}

/* --- life of an index --- */

static void *insert_scratch(struct bench *b, uint64_t *bytes)
{
    *bytes = (b->ops->scratch_size(b->self, b->ix, 1, 1, ABSENT) + 63) / 64 * 64;
    if (*bytes < SCRATCH_FOR_INSERT)
        *bytes = SCRATCH_FOR_INSERT;
    return sx_suite__guarded(*bytes, 1);
}

/* All nodes from `first` on: inserted in uneven pieces, or built. */
static void index_fill(struct bench *b, uint32_t first)
{
    struct sx_err err = SX_ERR_INIT;
    uint64_t bytes = 0;
    int rc = 0;
    if (!has(b, SX_INDEX_INCREMENTAL)) {
        rc = b->ops->build(b->self, b->ix, b->w.count, NULL, NULL, NULL, &err);
        sx_suite__check(b->s, rc == 0, "build fails with %d: %s", rc, err.msg);
        return;
    }
    void *scratch = insert_scratch(b, &bytes);
    uint32_t piece[97];
    for (uint32_t i = first; rc == 0 && scratch != NULL && i < b->w.n;) {
        uint32_t n = 1 + sx_suite__random(b->s) % SX_COUNT(piece), k = 0;
        for (; k < n && i < b->w.n; k++)
            piece[k] = i++;
        b->w.count = i;
        b->w.limit = i;
        rc = b->ops->insert(b->self, b->ix, piece, k, scratch, &err);
    }
    sx_suite__check(b->s, rc == 0 && scratch != NULL, "insert fails with %d: %s", rc, err.msg);
    sx_suite__guarded_free(scratch, bytes, 1);
    b->w.count = b->w.n;
}

static void index_remove(struct bench *b)
{
    struct sx_err err = SX_ERR_INIT;
    uint64_t bytes = 0;
    uint32_t piece[64], k = 0;
    void *scratch = insert_scratch(b, &bytes);
    for (uint32_t i = 5; i < b->w.n && k < SX_COUNT(piece); i += b->w.n / 70 + 1) {
        piece[k++] = i;
        b->w.removed[i] = 1;
    }
    int rc = scratch == NULL ? SX_ENOMEM : b->ops->remove(b->self, b->ix, piece, k, scratch, &err);
    sx_suite__check(b->s, rc == 0, "remove fails with %d: %s", rc, err.msg);
    sx_suite__guarded_free(scratch, bytes, 1);
    search_all_ways(b, "after remove");
}

static void index_verify(struct bench *b)
{
    struct sx_err err = SX_ERR_INIT;
    if (!SX_HAS(b->ops, verify))
        return;
    int rc = b->ops->verify(b->self, b->ix, &err);
    sx_suite__check(b->s, rc == 0, "verify finds: %s", err.msg);
}

static void index_stats(struct bench *b)
{
    struct sx_docb doc;
    if (!SX_HAS(b->ops, stats))
        return;
    sx_docb_init(&doc, b->s->host->mem, 0);
    sx_docb_obj(&doc);
    b->ops->stats(b->self, b->ix, &doc);
    sx_docb_close(&doc);
    sx_suite__check(b->s, sx_docb_end(&doc).p != NULL, "stats leaves a broken document");
    sx_docb_fini(&doc);
}

static void index_reopen(struct bench *b)
{
    const struct sx_io *io = b->s->host->get(b->s->host, "sx.io", (uint32_t)sizeof(struct sx_io));
    struct sx_err err = SX_ERR_INIT;
    struct sx_dir *top = NULL, *dir = NULL;
    if (io == NULL || b->s->report->dir == NULL)
        return;
    int rc = io->dir_open(NULL, b->s->report->dir, 0, &top, &err);
    if (rc == 0)
        rc = io->dir_open(top, "index", 1, &dir, &err);
    if (rc == 0)
        rc = b->ops->flush(b->self, b->ix, io, dir, &err);
    if (sx_suite__check(b->s, rc == 0, "flush fails with %d: %s", rc, err.msg)) {
        b->ops->destroy(b->self, b->ix);
        b->ix = NULL;
        rc = b->ops->open(b->self, io, dir, &b->w.source, ABSENT, &b->ix, &err);
        if (sx_suite__check(b->s, rc == 0, "open after flush fails with %d: %s", rc, err.msg)) {
            index_verify(b);
            search_all_ways(b, "after reopen");
        }
    }
    if (dir != NULL)
        io->dir_close(dir);
    if (top != NULL) {
        io->remove_tree(top, "index", &err);
        io->dir_close(top);
    }
}

static void views(struct bench *b)
{
    search_all_ways(b, "everything visible");
    sx_world__set_view(&b->w, b->s, 100, 1000, 0);
    search_all_ways(b, "a tenth dead");
    sx_world__set_view(&b->w, b->s, 0, 1000, 1);
    search_all_ways(b, "rows newer than the view");
    sx_world__set_view(&b->w, b->s, 300, 1000, 1);
    search_all_ways(b, "dead rows and rows newer than the view");
    if (!has(b, SX_INDEX_MASK))
        return;
    sx_world__set_view(&b->w, b->s, 0, 850, 0);
    search_all_ways(b, "a wide filter");
    sx_world__set_view(&b->w, b->s, 50, 400, 1);
    search_all_ways(b, "a filter");
    sx_world__set_view(&b->w, b->s, 10, 3, 0);
    search_all_ways(b, "a narrow filter");
    sx_world__set_view(&b->w, b->s, 0, 0, 0);
    search_all_ways(b, "a filter nothing passes");
}

/* One NaN per 100 vectors: nothing may break, and they rank last. */
static void not_a_number(struct bench *b)
{
    for (uint32_t i = 0; i < b->w.n; i += 100)
        sx_world__vector(&b->w, i)[0] = NAN;
    sx_world__set_view(&b->w, b->s, 0, 1000, 0);
    search_all_ways(b, "NaN among the scores");
}

static void run_world(struct suite *s, uint32_t n, uint32_t dim, uint32_t is_mapped)
{
    struct bench b = {.s = s, .ops = s->pr->ops, .self = s->pr->self, .what = "create"};
    struct sx_err err = SX_ERR_INIT;
    b.is_exact = has(&b, SX_INDEX_EXACT);
    int rc = sx_world__init(&b.w, s, n, dim);
    if (rc == 0 && is_mapped)
        rc = sx_world__map_rows(&b.w, s);
    b.truth = malloc((uint64_t)(n + 20) * sizeof(*b.truth));
    b.hits = malloc((uint64_t)(n + 20) * sizeof(*b.hits));
    if (!sx_suite__check(s, rc == 0 && b.truth != NULL && b.hits != NULL, "no memory"))
        goto out;
    b.w.count = has(&b, SX_INDEX_INCREMENTAL) ? 0 : n;
    rc = b.ops->create(b.self, &b.w.source, ABSENT, &b.ix, &err);
    if (!sx_suite__check(s, rc == 0 && b.ix != NULL, "create fails with %d: %s", rc, err.msg))
        goto out;
    if (b.w.count == 0)
        search_one(&b, 10, 0, 1);
    index_fill(&b, 0);
    index_verify(&b);
    index_stats(&b);
    sx_suite__check(s, b.ops->estimate(b.self, b.ix, 10, n, n, ABSENT) > 0, "estimate gives 0");
    views(&b);
    search_stopped(&b);
    sx_world__set_view(&b.w, s, 20, 1000, 0);
    if (has(&b, SX_INDEX_REMOVE))
        index_remove(&b);
    index_reopen(&b);
    if (b.is_exact && b.ix != NULL)
        not_a_number(&b);
    if (b.n_recalls > 0) {
        double recall = b.recall_sum / b.n_recalls;
        sx_suite__note(s, "%u nodes%s: recall at most 10 is %.3f over %u searches", n,
                       is_mapped ? " with row numbers" : "", recall, b.n_recalls);
        sx_suite__check(s, recall >= RECALL_FLOOR, "recall %.3f is below %.2f", recall,
                        RECALL_FLOOR);
    }
    if (b.ix != NULL)
        b.ops->destroy(b.self, b.ix);
out:
    free(b.truth);
    free(b.hits);
    sx_world__fini(&b.w);
}

void sx_suite__index(struct suite *s)
{
    if ((s->report->flags & SX_SUITE_QUICK) != 0) {
        run_world(s, 401, 8, 0);
        return;
    }
    run_world(s, 3001, 16, 0);
    run_world(s, 3001, 16, 1);
    if ((s->pr->caps & SX_INDEX_EXACT) != 0)
        run_world(s, 70003, 4, 0);
}
