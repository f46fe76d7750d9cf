/* Queries: nearest neighbours of a vector or of a point, and the plain list by id.
 *
 * A batch takes one view and runs neighbouring queries of one column in a single pass of the index,
 * so that a block of vectors is read once for all of them. The index hands back nodes; here they
 * become rows of this view. A node that turns out dead or superseded (its dead bit comes later than
 * its death) is dropped, and the search resumed for as many again. */
#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "fetch.h"
#include "schema.h"
#include "walk.h"
#include "write.h"

#include "sextant/sx_ban.h"

struct found {
    uint32_t row;
    float score;
};

/* Points of one score are ordered by id if they are at most so many, else by node. Either way the
 * order is the same for every limit and offset, so pages fit together; that needs the whole group
 * of the last score, not only the part below the limit. */
#define TIES_MAX 1024u

struct job {
    const struct sx_query *q;
    struct eng_column *col;
    uint32_t ci, n, want, skip_id; /* skip_id: drop the query's own point */
    uint32_t is_full, is_nothing;  /* all wanted points and the ties of the last are there */
    const float *vector;
    struct found *found;
    struct eng_plan *plan;          /* of its filter, NULL = none */
    const uint64_t *const *allowed; /* its bits by chunk, once computed */
    uint64_t n_allowed;
};

/* --- resolving -----------------------------------------------------------------------------------
 */

static int column_of(struct eng_call *c, const struct eng_reader *r, struct job *j)
{
    const struct sx_query *q = j->q;
    struct eng_shard *s = c->shard;
    const struct eng_column_conf *cc = eng_config_column(r->v->schema->config, q->using_name);
    if (q->lookup_vector.p && q->vector.kind == SX_VEC_ID &&
        (q->lookup_vector.n != q->using_name.n ||
         memcmp(q->lookup_vector.p, q->using_name.p, q->using_name.n) != 0))
        return sx_err_set(&c->err, SX_EUNSUPPORTED, "lookup_from another vector");
    if (!cc)
        return sx_err_set(&c->err, SX_EINPUT, "Not existing vector name error: %.*s",
                          (int)(q->using_name.n > 200 ? 200 : q->using_name.n), q->using_name.p);
    if (cc->kind == ENG_COL_SPARSE) {
        if (q->vector.kind == SX_VEC_DENSE || q->vector.kind == SX_VEC_MULTI)
            return sx_err_set(&c->err, SX_EINPUT,
                              "Conversion between sparse and regular vectors failed");
        return sx_err_set(&c->err, SX_EUNSUPPORTED, "queries on sparse vectors");
    }
    if (q->vector.kind == SX_VEC_SPARSE)
        return sx_err_set(&c->err, SX_EINPUT,
                          "Conversion between sparse and regular vectors failed");
    if (cc->kind == ENG_COL_MULTI)
        return sx_err_set(&c->err, SX_EUNSUPPORTED, "queries on multivectors");
    if (q->vector.kind == SX_VEC_MULTI)
        return sx_err_set(&c->err, SX_EINPUT,
                          "Conversion between multi and regular vectors failed");
    j->ci = cc->slot;
    j->col = s->table.columns[cc->slot];
    return 0;
}

/* The vector a point id stands for, as stored. */
static int vector_of_id(struct eng_call *c, const struct eng_reader *r, struct job *j, float *out)
{
    char text[40];
    uint32_t row = eng_reader_find(r, &j->q->vector.id);
    if (row == ENG_NO_ROW) {
        sx_id_format(j->q->vector.id, text);
        return sx_err_set(&c->err, SX_ENOTFOUND, "No point with id %s found", text);
    }
    uint32_t loc = eng_reader_loc(r, j->ci, row);
    if (loc == ENG_NO_LOC)
        return sx_err_set(&c->err, SX_ENOTFOUND, "Vector with name \"%.*s\" for point not found",
                          (int)j->q->using_name.n, j->q->using_name.p);
    uint8_t *raw = sx_arena_alloc(c->op->arena, j->col->row_bytes);
    if (!raw)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    const struct sx_provider *p = j->col->rows_p;
    int rc =
        ((const struct sx_rows_ops *)p->ops)->gather(p->self, j->col->vec, &loc, 1, raw, &c->err);
    eng_column_decode(j->col, raw, out);
    return rc;
}

static int resolve(struct eng_call *c, const struct eng_reader *r, struct job *j)
{
    const struct sx_query *q = j->q;
    int rc = column_of(c, r, j);
    if (rc != 0)
        return rc;
    uint32_t dim = j->col->conf->dim;
    if (q->vector.kind == SX_VEC_DENSE && q->vector.dim != dim)
        return sx_err_set(&c->err, SX_EINPUT, "Vector dimension error: expected dim: %u, got %u",
                          dim, q->vector.dim);
    float *v = sx_arena_alloc_aligned(c->op->arena, (dim + 16) * sizeof(float), 64);
    if (!v)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    memset(v + dim, 0, 16 * sizeof(float));
    if (q->vector.kind == SX_VEC_ID)
        rc = vector_of_id(c, r, j, v);
    else
        memcpy(v, q->vector.data, dim * sizeof(float));
    if (rc != 0)
        return rc;
    eng_column_prepare(j->col, v, v);
    if (j->col->conf->dtype != SX_DT_F32) { /* the query is rounded as rows are */
        uint8_t *raw = sx_arena_alloc(c->op->arena, j->col->row_bytes);
        if (!raw)
            return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
        eng_column_encode(j->col, v, raw);
        eng_column_decode(j->col, raw, v);
    }
    j->vector = v;
    j->skip_id = q->vector.kind == SX_VEC_ID;
    uint64_t want = q->limit > UINT32_MAX - 1 ? UINT32_MAX - 1 : q->limit;
    want = q->offset > UINT32_MAX - 1 - want ? UINT32_MAX - 1 : want + q->offset;
    uint32_t nodes = r->v->columns[j->ci].n_nodes;
    /* indexed_only leaves out what has no graph and is too large to be scanned in passing. */
    if (q->indexed_only &&
        (uint64_t)j->col->row_bytes * r->v->n_live > r->v->schema->config->small_bytes)
        nodes = 0;
    j->want = want < nodes ? (uint32_t)want : nodes;
    j->found = sx_arena_alloc(c->op->arena, (j->want + TIES_MAX + 1ull) * sizeof(*j->found));
    return j->found ? 0 : sx_err_set(&c->err, SX_ENOMEM, "out of memory");
}

/* The bits of the rows that may be found. Nearest neighbours need them all; a list by id asks row
 * by row. */
static int filter(struct eng_call *c, const struct eng_reader *r, struct job *j)
{
    struct sx_arena *arena = c->op->arena;
    int rc = eng_plan_create(c->shard, r, j->q->filter, arena, &j->plan, &c->err);
    if (rc != 0 || !j->col || (!r->hides && eng_plan_filter(j->plan)->root->kind == ENG_NODE_TRUE))
        return rc;
    uint32_t n = r->v->n_chunks;
    const uint64_t **chunks = sx_arena_zalloc(arena, (n + 1ull) * sizeof(*chunks));
    struct eng_bits *bits = sx_arena_alloc(arena, (n + 1ull) * sizeof(*bits));
    if (!chunks || !bits)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = eng_plan_chunk(j->plan, i, &bits[i], &c->err);
        chunks[i] = bits[i].w;
        for (uint32_t k = 0; k < ENG_BITS_WORDS; k++)
            j->n_allowed += (uint64_t)__builtin_popcountll(bits[i].w[k]);
    }
    j->allowed = chunks;
    if (j->n_allowed < j->want)
        j->want = (uint32_t)j->n_allowed;
    return rc;
}

/* --- searching -----------------------------------------------------------------------------------
 */

/* Takes hits until the job has what it wants and the ties of the last. */
static void
take_hits(const struct eng_reader *r, struct job *j, const struct sx_hit *hits, uint32_t n)
{
    for (uint32_t i = 0; i < n && !j->is_full; i++) {
        if (j->n >= j->want &&
            (j->n > j->want + TIES_MAX || hits[i].score != j->found[j->want - 1].score)) {
            j->is_full = 1;
            return;
        }
        uint32_t row = eng_reader_node_row(r, j->ci, hits[i].node);
        if (row != ENG_NO_ROW && j->skip_id) {
            struct sx_id id;
            eng_row_id(eng_reader_row(r, row), &id);
            if (sx_id_cmp(&id, &j->q->vector.id) == 0)
                row = ENG_NO_ROW;
        }
        /* A node whose newest row this view does not know was handed back unjudged. */
        if (row != ENG_NO_ROW && j->allowed &&
            !(j->allowed[row >> SX_CHUNK_SHIFT][(row & (SX_CHUNK_ROWS - 1)) >> 6] >> (row & 63) &
              1))
            row = ENG_NO_ROW;
        if (row == ENG_NO_ROW)
            continue;
        j->found[j->n].row = row;
        j->found[j->n++].score = hits[i].score;
    }
}

static void score_ids(const struct sx_scorer *s, const uint32_t *ids, uint32_t n, float *out)
{
    s->kernel->score_ids(s->q, s->rows, ids, n, s->dim, out);
}

static int search(struct eng_call *c,
                  const struct eng_reader *r,
                  struct sx_worker *w,
                  struct job *jobs,
                  uint32_t n)
{
    struct sx_arena *arena = c->op->arena;
    struct eng_column *col = jobs[0].col;
    const struct sx_index_ops *ix = col->index_p->ops;
    struct sx_view vis = r->vis;
    struct sx_rows rows, row_of;
    uint32_t k = 0, nodes = r->v->columns[jobs[0].ci].n_nodes;

    vis.allowed = jobs[0].allowed;
    vis.n_allowed = jobs[0].n_allowed;
    ((const struct sx_rows_ops *)col->rows_p->ops)->rows(col->rows_p->self, col->vec, &rows);
    if (eng_reader_row_of(r, jobs[0].ci, &row_of))
        vis.row_of = &row_of;
    for (uint32_t i = 0; i < n; i++) {
        if (jobs[i].want == 0)
            jobs[i].is_full = 1;
        else if (jobs[i].want >= nodes)
            k = nodes;
        else if (jobs[i].want + jobs[i].skip_id + 1 > k) /* one more: does the last score go on? */
            k = jobs[i].want + jobs[i].skip_id + 1;
    }
    k = k < nodes ? k : nodes;
    if (k == 0)
        return 0;
    struct sx_scorer *scorers = sx_arena_zalloc(arena, n * sizeof(*scorers));
    const struct sx_scorer **sp = sx_arena_alloc(arena, n * sizeof(*sp));
    struct sx_hit **hits = sx_arena_alloc(arena, n * sizeof(*hits));
    struct sx_hit *all = sx_arena_alloc(arena, (uint64_t)n * k * sizeof(*all));
    uint32_t *counts = sx_arena_zalloc(arena, n * sizeof(*counts));
    if (!scorers || !sp || !hits || !all || !counts)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        scorers[i] = (struct sx_scorer){.size = sizeof(scorers[i]),
                                        .flags = SX_SCORER_PLAIN,
                                        .score = score_ids,
                                        .kernel = &col->kernel,
                                        .q = jobs[i].vector,
                                        .rows = &rows,
                                        .dim = col->conf->dim};
        sp[i] = &scorers[i];
        hits[i] = all + (uint64_t)i * k;
    }
    struct sx_index_batch b = {.size = sizeof(b),
                               .nq = n,
                               .k = k,
                               .scorers = sp,
                               .view = &vis,
                               .cancel = &c->op->cancelled,
                               .deadline_ns = c->op->deadline_ns,
                               .n_nodes = nodes};
    b.scratch = w->scratch(w, ix->scratch_size(col->index_p->self, col->index, n, k, b.params));
    if (!b.scratch)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    int rc = ix->search(col->index_p->self, col->index, &b, hits, counts, &c->err);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        uint32_t got = counts[i];
        for (;;) {
            take_hits(r, &jobs[i], hits[i], got);
            if (jobs[i].is_full || got < k || got == 0)
                break;
            b.nq = 1;
            b.scorers = &sp[i];
            b.flags = SX_INDEX_BOUND;
            b.bound = hits[i][got - 1].score;
            b.bound_node = hits[i][got - 1].node;
            rc = ix->resume(col->index_p->self, col->index, &b, hits[i], &got, &c->err);
            if (rc != 0)
                break;
        }
    }
    return rc;
}

/* --- results -------------------------------------------------------------------------------------
 */

static int id_before(const struct eng_reader *r, uint32_t a, uint32_t b, int larger_first)
{
    struct sx_id x, y;
    eng_row_id(eng_reader_row(r, a), &x);
    eng_row_id(eng_reader_row(r, b), &y);
    int cmp = sx_id_cmp(&x, &y);
    return larger_first ? cmp > 0 : cmp < 0;
}

/* Merge sort of one group of equal scores; tmp has room for it. */
static void sort_group(
    const struct eng_reader *r, struct found *f, struct found *tmp, uint32_t n, int larger_first)
{
    if (n < 2)
        return;
    uint32_t half = n / 2, a = 0, b = half;
    sort_group(r, f, tmp, half, larger_first);
    sort_group(r, f + half, tmp, n - half, larger_first);
    for (uint32_t i = 0; i < n; i++) {
        int left = b >= n || (a < half && id_before(r, f[a].row, f[b].row, larger_first));
        tmp[i] = left ? f[a++] : f[b++];
    }
    memcpy(f, tmp, n * sizeof(*f));
}

/* Equal scores: the larger id first where larger is better, else the smaller. */
static int
order_ties(struct eng_call *c, const struct eng_reader *r, struct job *j, int larger_first)
{
    struct found *tmp = NULL;
    for (uint32_t i = 0, n; i < j->n; i += n) {
        for (n = 1; i + n < j->n && j->found[i + n].score == j->found[i].score; n++)
            ;
        if (n == 1 || n > TIES_MAX)
            continue;
        if (!tmp)
            tmp = sx_arena_alloc(c->op->arena, TIES_MAX * sizeof(*tmp));
        if (!tmp)
            return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
        sort_group(r, &j->found[i], tmp, n, larger_first);
    }
    if (j->n > j->want)
        j->n = j->want;
    return 0;
}

static int finish_nearest(struct eng_call *c,
                          const struct eng_reader *r,
                          struct job *j,
                          struct sx_record_list *out)
{
    const struct sx_query *q = j->q;
    const struct sx_provider *dp = j->col->conf->distance;
    const struct sx_distance_ops *d = dp->ops;
    int larger = (dp->caps & SX_DISTANCE_LARGER_BETTER) != 0;
    if (order_ties(c, r, j, larger) != 0)
        return SX_ENOMEM;
    uint32_t n = j->n;
    float *scores = sx_arena_alloc(c->op->arena, (n ? n : 1) * sizeof(float));
    uint32_t *rows = sx_arena_alloc(c->op->arena, (n ? n : 1) * 4ull);
    if (!scores || !rows)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        scores[i] = j->found[i].score;
    if (SX_HAS(d, postprocess))
        d->postprocess(dp->self, n, scores);
    if (q->has_threshold) {
        uint32_t m = 0;
        while (m < n && (larger ? scores[m] > q->score_threshold : scores[m] < q->score_threshold))
            m++;
        n = m;
    }
    uint32_t skip = q->offset < n ? (uint32_t)q->offset : n;
    n -= skip;
    if (n > q->limit)
        n = (uint32_t)q->limit;
    struct sx_record *rec = sx_arena_zalloc(c->op->arena, (n ? n : 1) * sizeof(*rec));
    if (!rec)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = j->found[skip + i].row;
        rec[i].score = scores[skip + i];
    }
    out->records = rec;
    out->n = n;
    return eng_fetch(c->shard, r, rows, n, &q->payload, &q->vectors, c->op->arena, rec, &c->err);
}

/* No query: ascending id, score 1, version 0. */
static int list_by_id(struct eng_call *c,
                      const struct eng_reader *r,
                      struct job *j,
                      struct sx_record_list *out)
{
    const struct sx_query *q = j->q;
    struct sx_arena *arena = c->op->arena;
    struct eng_page page = {.skip = q->offset, .max = q->limit};
    int rc = eng_walk(c->shard, r, j->plan, arena, &page, &c->err);
    if (rc != 0)
        return rc;
    struct sx_record *rec = sx_arena_zalloc(arena, (page.n + 1ull) * sizeof(*rec));
    if (!rec)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    out->records = rec;
    out->n = page.n;
    rc = eng_fetch(c->shard, r, page.rows, page.n, &q->payload, &q->vectors, arena, rec, &c->err);
    for (uint32_t i = 0; i < page.n; i++) {
        rec[i].score = 1.0f;
        rec[i].version = 0;
    }
    return rc;
}

/* lookup_from: the other collection must exist even when no id is looked up there. */
static int check_lookup(struct eng_call *c, const struct sx_query *q)
{
    struct sx_str name = q->lookup_collection;
    if (!name.p || (name.n == c->op->collection.n && !memcmp(name.p, c->op->collection.p, name.n)))
        return 0;
    struct eng_collection *col = eng_catalog_find(c->eng->catalog, name);
    if (!col)
        return sx_err_set(&c->err, SX_ENOTFOUND, "Collection %.*s not found",
                          (int)(name.n > 200 ? 200 : name.n), name.p);
    eng_collection_unref(col);
    if (q->kind == SX_Q_NEAREST && q->vector.kind == SX_VEC_ID)
        return sx_err_set(&c->err, SX_EUNSUPPORTED, "lookup_from another collection");
    return 0;
}

/* --- running -------------------------------------------------------------------------------------
 */

static void timeout_text(struct eng_call *c)
{
    uint64_t ms =
        c->op->timeout_ms ? c->op->timeout_ms : (c->op->deadline_ns - c->op->start_ns) / 1000000u;
    char d[32];
    if (ms % 1000 == 0)
        snprintf(d, sizeof(d), "%llus", (unsigned long long)(ms / 1000));
    else
        snprintf(d, sizeof(d), "%llums", (unsigned long long)ms);
    sx_err_set(&c->err, SX_ETIMEOUT, "Timeout error: Operation 'Search' timed out after %s", d);
}

static int run_all(struct eng_call *c,
                   const struct eng_reader *r,
                   struct sx_worker *w,
                   struct job *jobs,
                   struct sx_record_list *lists)
{
    const struct sx_args_query *a = c->op->args;
    for (uint32_t i = 0; i < a->n; i++) {
        int rc = check_lookup(c, &a->queries[i]);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        jobs[i].q = &a->queries[i];
        int rc = eng_check_shards(&a->queries[i].shards, 0, &c->err);
        jobs[i].is_nothing = rc == 1;
        if (rc >= 0)
            rc = a->queries[i].kind == SX_Q_NEAREST ? resolve(c, r, &jobs[i]) : 0;
        if (rc == 0 && a->queries[i].filter)
            rc = filter(c, r, &jobs[i]);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0, n; i < a->n; i += n) {
        n = 1;
        if (!jobs[i].col || jobs[i].is_nothing)
            continue;
        /* One pass serves queries with the same rows to look at. */
        while (i + n < a->n && n < 32 && jobs[i + n].col == jobs[i].col && !jobs[i].allowed &&
               !jobs[i + n].allowed)
            n++;
        int rc = search(c, r, w, &jobs[i], n);
        if (rc == SX_ETIMEOUT)
            timeout_text(c);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        if (jobs[i].is_nothing)
            continue;
        int rc = jobs[i].col ? finish_nearest(c, r, &jobs[i], &lists[i])
                             : list_by_id(c, r, &jobs[i], &lists[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void query_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_query *a = c->op->args;
    struct eng_reader r;
    struct sx_record_list *lists =
        sx_arena_zalloc(c->op->arena, (a->n ? a->n : 1) * sizeof(*lists));
    if (!lists) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    struct job *jobs = sx_arena_zalloc(c->op->arena, (a->n ? a->n : 1) * sizeof(*jobs));
    if (!jobs) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    eng_shard_read_begin(c->shard, &r);
    int rc = run_all(c, &r, w, jobs, lists);
    for (uint32_t i = 0; i < a->n; i++)
        eng_plan_destroy(jobs[i].plan);
    eng_shard_read_end(c->shard);
    if (rc != 0) {
        eng_call_fail_err(c);
        return;
    }
    int batch = c->op->code == SX_OP_QUERY_BATCH || c->op->code == SX_OP_SEARCH_BATCH;
    c->reply.kind = batch ? SX_R_BATCH : SX_R_SCORED;
    c->reply.u.scored.lists = lists;
    c->reply.u.scored.n = a->n;
    eng_call_finish(c);
}

static uint64_t cost_of(struct eng_call *c, const struct sx_query *q, const struct eng_reader *r)
{
    if (q->filter)
        return UINT64_MAX / 2;
    if (q->kind != SX_Q_NEAREST)
        return q->limit > 1000 || q->offset > 1000 ? UINT64_MAX : (q->limit + q->offset) * 2000;
    const struct eng_column_conf *cc = eng_config_column(r->v->schema->config, q->using_name);
    if (!cc || cc->kind != ENG_COL_DENSE)
        return 0;
    struct eng_column *col = c->shard->table.columns[cc->slot];
    const struct sx_index_ops *ix = col->index_p->ops;
    uint64_t k = q->limit + q->offset;
    return ix->estimate(col->index_p->self, col->index, k > 1000000 ? 1000000u : (uint32_t)k,
                        r->v->columns[cc->slot].n_nodes, r->v->n_live, (struct sx_doc){NULL, 0, 0});
}

static void query_plan(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_query *a = c->op->args;
    struct eng_reader r;
    uint64_t cost = 0;
    (void)w;
    eng_shard_read_begin(c->shard, &r);
    for (uint32_t i = 0; i < a->n; i++) {
        uint64_t one = cost_of(c, &a->queries[i], &r);
        cost = one > UINT64_MAX - cost ? UINT64_MAX : cost + one;
    }
    eng_shard_read_end(c->shard);
    c->run = query_run;
    eng_call_run(c, cost);
}

void eng_op_query(struct eng_call *c)
{
    eng_call_on_shard(c, query_plan);
}
