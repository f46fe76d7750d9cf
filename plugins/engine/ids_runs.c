/* External ids in order: sorted runs of rows, the merging of runs, and cursors over them.
 *
 * An operation's new ids become a run of their own, or, when they are all greater than the last id
 * of the last run (ids given in ascending order: the usual case), the end of that run. Neighbouring
 * runs are merged until each is at least 4 times as long as the next, so there are some log4(n) of
 * them and an id is copied about 2 log4(n) times in its life.
 *
 * A merge of millions would hold up the writer, so merges are worked off in portions: each commit
 * moves MERGE_BASE rows and MERGE_PER_ID for every new id. Merges under way form a stack from the
 * front of the list to its end, the newest and smallest on top; a run that is being merged is not
 * extended. 32 per id is more than the 2 log4(2^32) that are needed on average, so the stack
 * drains.
 *
 *   runs     [ 40 000 000 ][ 12 000 000 ][ 300 000 ][ 90 000 ][ 700 ]
 *   merges   `------- k = 0 ----------´  `---- k = 2 -------´
 *
 * Readers see the list only as a view: an immutable array of (run, length). A new view is published
 * once per commit; the old one and the runs it alone refers to are retired to the epoch. */
#include <string.h>

#include "sextant/sx_text.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define MERGE_BASE   1024u
#define MERGE_PER_ID 32u
#define MERGE_RATIO  4u
#define LOAD_PIECE   (1u << 20) /* rows sorted at a time when loading: 50 MB of keys */
#define SPARE_KEEP   4096u      /* larger spare space is given back after the commit */

/* --- runs and views ---------------------------------------------------------------------- */

static struct ids_run *run_alloc(const struct sx_mem *mem, uint32_t max_blocks)
{
    struct ids_run *r;

    r = mem->zalloc(mem, sizeof(*r) + (uint64_t)max_blocks * sizeof(r->block[0]));
    if (r == NULL)
        return NULL;
    r->mem = mem;
    r->max_blocks = max_blocks;
    return r;
}

static uint32_t *block_alloc(const struct sx_mem *mem, uint32_t n)
{
    return mem->alloc(mem, (uint64_t)n * sizeof(uint32_t));
}

struct ids_run *eng_ids_run_create(const struct sx_mem *mem, uint32_t cap)
{
    uint32_t n_blocks = (uint32_t)(((uint64_t)cap + IDS_BLOCK - 1) >> IDS_BLOCK_SHIFT);
    struct ids_run *r = run_alloc(mem, n_blocks + (n_blocks > 1 ? 8 : 0));

    if (r == NULL)
        return NULL;
    for (uint32_t i = 0; i < n_blocks; i++) {
        uint32_t n = cap - (i << IDS_BLOCK_SHIFT);

        r->block[i] = block_alloc(mem, n < IDS_BLOCK ? n : IDS_BLOCK);
        if (r->block[i] == NULL) {
            eng_ids_run_destroy(r);
            return NULL;
        }
        r->n_blocks = r->own_to = i + 1;
    }
    r->cap = cap;
    return r;
}

void eng_ids_run_destroy(void *run)
{
    struct ids_run *r = run;

    for (uint32_t i = r->own_from; i < r->own_to; i++)
        r->mem->release(r->mem, r->block[i]);
    r->mem->release(r->mem, r);
}

static void run_add(struct ids_run *r, uint32_t i, uint32_t row)
{
    r->block[i >> IDS_BLOCK_SHIFT][i & (IDS_BLOCK - 1)] = row;
}

static struct eng_ids_view *view_alloc(const struct sx_mem *mem, uint32_t cap)
{
    struct eng_ids_view *v = mem->zalloc(mem, sizeof(*v) + (uint64_t)cap * sizeof(v->runs[0]));

    if (v == NULL)
        return NULL;
    v->mem = mem;
    v->cap = cap;
    return v;
}

void eng_ids_view_destroy(void *view)
{
    struct eng_ids_view *v = view;

    v->mem->release(v->mem, v);
}

static struct eng_ids_view *view_now(const struct eng_ids *m)
{
    return atomic_load_explicit(&m->view, memory_order_relaxed);
}

const struct eng_ids_view *eng_ids_view(const struct eng_ids *m)
{
    /* pairs with the release in view_publish() */
    return atomic_load_explicit(&m->view, memory_order_acquire);
}

static void view_publish(struct eng_ids *m, struct eng_ids_view *v)
{
    struct eng_ids_view *before = view_now(m);

    /* pairs with the acquire in eng_ids_view(): rows below the lengths in v are written */
    atomic_store_explicit(&m->view, v, memory_order_release);
    m->epoch->retire(eng_ids_view_destroy, before);
    while (m->gone != NULL) {
        struct ids_run *r = m->gone;

        m->gone = r->next;
        m->epoch->retire(eng_ids_run_destroy, r);
    }
}

static void run_gone(struct eng_ids *m, struct ids_run *r)
{
    r->next = m->gone;
    m->gone = r;
}

void eng_ids_runs_fini(struct eng_ids *m)
{
    struct eng_ids_view *v = view_now(m);

    for (uint32_t i = 0; i < v->n_runs; i++)
        eng_ids_run_destroy(v->runs[i].run);
    for (uint32_t i = 0; i < m->n_merges; i++)
        eng_ids_run_destroy(m->merges[i].dst);
    eng_ids_view_destroy(v);
    if (m->spare != NULL)
        eng_ids_run_destroy(m->spare);
    if (m->spare_view != NULL)
        eng_ids_view_destroy(m->spare_view);
    if (m->keys != NULL)
        m->mem->release(m->mem, m->keys);
}

/* --- sorting ----------------------------------------------------------------------------- */

static inline int key_less(const struct ids_key *a, const struct ids_key *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->hi != b->hi)
        return a->hi < b->hi;
    return a->lo < b->lo;
}

static void key_merge(const struct ids_key *a,
                      const struct ids_key *a_end,
                      const struct ids_key *b,
                      const struct ids_key *b_end,
                      struct ids_key *out)
{
    while (a < a_end && b < b_end)
        *out++ = key_less(b, a) ? *b++ : *a++;
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

    while (i < n && !key_less(&k[i], &k[i - 1]))
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

static int keys_reserve(struct eng_ids *m, uint32_t n)
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

static void spare_give(struct eng_ids *m)
{
    if (m->keys_cap > SPARE_KEEP) {
        m->mem->release(m->mem, m->keys);
        m->keys = NULL;
        m->keys_cap = 0;
    }
    if (m->spare != NULL && m->spare->cap > SPARE_KEEP) {
        eng_ids_run_destroy(m->spare); /* no view has ever held it */
        m->spare = NULL;
    }
    if (m->pending_cap > SPARE_KEEP && m->n_pending == 0) {
        m->mem->release(m->mem, m->pending);
        m->pending = NULL;
        m->pending_cap = 0;
    }
}

static struct ids_key *rows_sort(struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct sx_id id = ids_row_id(m, rows[i]);

        m->keys[i] = (struct ids_key){id.hi, id.lo, id.kind, rows[i]};
    }
    return key_sort(m->keys, n);
}

/* --- merging ----------------------------------------------------------------------------- */

/* Starts the merge of the last pair behind the merges under way whose sizes are out of proportion.
 * Without memory the runs stay as they are until a later commit. 1 when one was started. */
static int merge_begin(struct eng_ids *m, const struct eng_ids_view *v)
{
    uint32_t base = m->n_merges != 0 ? m->merges[m->n_merges - 1].k + 2 : 0;
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
        memcpy(&g->dst->block[g->n >> IDS_BLOCK_SHIFT][dst],
               &from->block[*i >> IDS_BLOCK_SHIFT][src], (uint64_t)c * sizeof(uint32_t));
        *i += c;
        g->n += c;
        n -= c;
    }
}

/* Moves up to n rows into the destination; returns how much of n is left. */
static uint64_t
merge_work(struct eng_ids *m, const struct eng_ids_view *v, struct ids_merge *g, uint64_t n)
{
    const struct ids_run *a = v->runs[g->k].run, *b = v->runs[g->k + 1].run;
    uint64_t c;

    if (n != 0 && g->ia < g->na && g->ib < g->nb) {
        uint32_t ra = ids_run_row(a, g->ia), rb = ids_run_row(b, g->ib);
        struct sx_id x = ids_row_id(m, ra), y = ids_row_id(m, rb);

        while (n != 0 && g->ia < g->na && g->ib < g->nb) {
            n--;
            if (sx_id_cmp(&x, &y) < 0) {
                run_add(g->dst, g->n++, ra);
                if (++g->ia < g->na) {
                    ra = ids_run_row(a, g->ia);
                    x = ids_row_id(m, ra);
                }
            } else {
                run_add(g->dst, g->n++, rb);
                if (++g->ib < g->nb) {
                    rb = ids_run_row(b, g->ib);
                    y = ids_row_id(m, rb);
                }
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
static void merge_some(struct eng_ids *m, struct eng_ids_view *v, uint64_t budget)
{
    while (budget != 0) {
        struct ids_merge *g;

        (void)merge_begin(m, v);
        if (m->n_merges == 0)
            return;
        g = &m->merges[m->n_merges - 1];
        budget = merge_work(m, v, g, budget);
        if (g->n < g->na + g->nb)
            return;
        run_gone(m, v->runs[g->k].run);
        run_gone(m, v->runs[g->k + 1].run);
        v->runs[g->k] = (struct ids_run_ref){g->dst, g->n, 0};
        memmove(&v->runs[g->k + 1], &v->runs[g->k + 2],
                (v->n_runs - g->k - 2) * sizeof(v->runs[0]));
        v->n_runs--;
        m->n_merges--;
    }
}

/* 1 when work is waiting: a merge under way, or one that could not be begun. */
static int merge_wanted(const struct eng_ids *m, const struct eng_ids_view *v)
{
    if (m->n_merges != 0)
        return 1;
    for (uint32_t j = 1; j < v->n_runs; j++) {
        if (v->runs[j - 1].n / MERGE_RATIO < v->runs[j].n)
            return 1;
    }
    return 0;
}

/* --- commit ------------------------------------------------------------------------------ */

int eng_ids_runs_reserve(struct eng_ids *m, uint32_t n)
{
    uint32_t runs = view_now(m)->n_runs + 1;
    int rc;

    if (n == 0)
        return SX_OK;
    rc = keys_reserve(m, n);
    if (rc != SX_OK)
        return rc;
    if (m->spare_view == NULL || m->spare_view->cap < runs) {
        struct eng_ids_view *v = view_alloc(m->mem, runs + 4);

        if (v == NULL)
            return SX_ENOMEM;
        if (m->spare_view != NULL)
            eng_ids_view_destroy(m->spare_view);
        m->spare_view = v;
    }
    if (m->spare == NULL || m->spare->cap < n) {
        struct ids_run *r = eng_ids_run_create(m->mem, n);

        if (r == NULL)
            return SX_ENOMEM;
        if (m->spare != NULL)
            eng_ids_run_destroy(m->spare);
        m->spare = r;
    }
    return SX_OK;
}

/* A run with the same rows and room for cap at least, or NULL. The old one goes with what the new
 * one did not take over. */
static struct ids_run *run_regrow(struct eng_ids *m, struct ids_run *r, uint32_t n, uint32_t cap)
{
    uint32_t n_blocks = (uint32_t)(((uint64_t)cap + IDS_BLOCK - 1) >> IDS_BLOCK_SHIFT);
    uint32_t whole = r->cap >> IDS_BLOCK_SHIFT; /* blocks of full size: taken over */
    struct ids_run *to = run_alloc(m->mem, n_blocks > 1 ? n_blocks * 2 : 1);

    if (to == NULL)
        return NULL;
    memcpy(to->block, r->block, (uint64_t)whole * sizeof(r->block[0]));
    to->n_blocks = to->own_from = to->own_to = whole;
    for (; to->n_blocks < n_blocks; to->own_to = to->n_blocks) {
        uint32_t i = to->n_blocks;
        uint32_t *p = block_alloc(m->mem, n_blocks > 1 ? IDS_BLOCK : cap);

        if (p == NULL) {
            eng_ids_run_destroy(to); /* only what it allocated itself */
            return NULL;
        }
        if (i < r->n_blocks)
            memcpy(p, r->block[i], (uint64_t)(n - (i << IDS_BLOCK_SHIFT)) * sizeof(*p));
        to->block[to->n_blocks++] = p;
    }
    to->own_from = 0;
    to->cap = n_blocks > 1 ? n_blocks << IDS_BLOCK_SHIFT : cap;
    r->own_from = whole;
    run_gone(m, r);
    return to;
}

/* Room for `more` rows behind the n of the last run; 0 when that is not to be had. */
static int run_extend(struct eng_ids *m, struct ids_run_ref *ref, uint32_t more)
{
    struct ids_run *r = ref->run;
    uint64_t need = (uint64_t)ref->n + more, cap = r->cap;

    if (need <= cap)
        return 1;
    if ((r->cap & (IDS_BLOCK - 1)) == 0 && r->cap != 0) {
        /* Whole blocks are added in place: no reader looks at the new entries of the array. */
        while (r->cap < need && r->n_blocks < r->max_blocks) {
            uint32_t *p = block_alloc(m->mem, IDS_BLOCK);

            if (p == NULL)
                return 0;
            r->block[r->n_blocks++] = p;
            r->own_to = r->n_blocks;
            r->cap += IDS_BLOCK;
        }
        if (r->cap >= need)
            return 1;
    }
    cap = cap < IDS_BLOCK ? cap * 2 : cap;
    if (cap < 64)
        cap = 64;
    if (cap < need)
        cap = need;
    if (cap > UINT32_MAX - IDS_BLOCK)
        return 0;
    r = run_regrow(m, r, ref->n, (uint32_t)cap);
    if (r == NULL)
        return 0;
    ref->run = r;
    return 1;
}

/* Puts the sorted new rows behind the last run or into one of their own. */
static void runs_add(struct eng_ids *m, struct eng_ids_view *v, const struct ids_key *k, uint32_t n)
{
    uint32_t busy = m->n_merges != 0 ? m->merges[m->n_merges - 1].k + 2 : 0; /* runs in merges */
    struct ids_run_ref *ref = v->n_runs > busy ? &v->runs[v->n_runs - 1] : NULL;

    if (ref != NULL) {
        struct sx_id last = ids_row_id(m, ids_run_row(ref->run, ref->n - 1));
        struct ids_key l = {last.hi, last.lo, last.kind, 0};

        if (!key_less(&l, &k[0]) || !run_extend(m, ref, n))
            ref = NULL;
    }
    if (ref == NULL) {
        ref = &v->runs[v->n_runs++];
        *ref = (struct ids_run_ref){m->spare, 0, 0};
        m->spare = NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        run_add(ref->run, ref->n + i, k[i].row);
    ref->n += n;
}

void eng_ids_commit(struct eng_ids *m)
{
    struct eng_ids_view *v, *now = view_now(m);
    uint32_t n = m->n_pending;

    if (n == 0 && !merge_wanted(m, now))
        return;
    v = m->spare_view;
    m->spare_view = NULL;
    if (v == NULL || v->cap < now->n_runs + 1) {
        /* Only without new ids: nothing was reserved, and nothing is lost by waiting. */
        if (v != NULL)
            eng_ids_view_destroy(v);
        v = view_alloc(m->mem, now->n_runs + 1);
        if (v == NULL)
            return;
    }
    memcpy(v->runs, now->runs, now->n_runs * sizeof(v->runs[0]));
    v->n_runs = now->n_runs;
    if (n != 0) {
        runs_add(m, v, rows_sort(m, m->pending, n), n);
        m->n_pending = 0;
        spare_give(m);
    }
    merge_some(m, v, MERGE_BASE + (uint64_t)n * MERGE_PER_ID);
    view_publish(m, v);
}

/* --- cursors ----------------------------------------------------------------------------- */

uint64_t eng_ids_cursor_size(const struct eng_ids_view *v)
{
    return sizeof(struct eng_ids_cursor) + (uint64_t)v->n_runs * sizeof(struct ids_cursor_run);
}

static void heap_down(struct eng_ids_cursor *c, uint32_t i)
{
    struct ids_cursor_run x = c->heap[i];

    for (;;) {
        uint32_t kid = 2 * i + 1;

        if (kid >= c->n)
            break;
        if (kid + 1 < c->n && sx_id_cmp(&c->heap[kid + 1].id, &c->heap[kid].id) < 0)
            kid++;
        if (sx_id_cmp(&x.id, &c->heap[kid].id) <= 0)
            break;
        c->heap[i] = c->heap[kid];
        i = kid;
    }
    c->heap[i] = x;
}

static struct sx_id cursor_id(const struct eng_ids_cursor *c, const struct ids_cursor_run *r)
{
    struct sx_id tmp;

    return *c->row_id(c->ctx, ids_run_row(r->run, r->i), &tmp);
}

void eng_ids_seek(const struct eng_ids *m,
                  const struct eng_ids_view *v,
                  const struct sx_id *from,
                  struct eng_ids_cursor *c)
{
    c->row_id = m->row_id;
    c->ctx = m->ctx;
    c->n = 0;
    for (uint32_t j = 0; j < v->n_runs; j++) {
        const struct ids_run *run = v->runs[j].run;
        uint32_t lo = 0, hi = v->runs[j].n;

        while (from != NULL && lo < hi) {
            uint32_t mid = lo + (hi - lo) / 2;
            struct sx_id id = ids_row_id(m, ids_run_row(run, mid));

            if (sx_id_cmp(&id, from) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo < v->runs[j].n) {
            struct ids_cursor_run *r = &c->heap[c->n++];

            r->run = run;
            r->i = lo;
            r->n = v->runs[j].n;
            r->id = cursor_id(c, r);
        }
    }
    for (uint32_t i = c->n / 2; i-- > 0;)
        heap_down(c, i);
}

int eng_ids_next(struct eng_ids_cursor *c, struct sx_id *id)
{
    struct ids_cursor_run *r = &c->heap[0];

    if (c->n == 0)
        return 0;
    *id = r->id;
    if (++r->i < r->n)
        r->id = cursor_id(c, r);
    else
        *r = c->heap[--c->n];
    if (c->n != 0)
        heap_down(c, 0);
    return 1;
}

/* --- loading ----------------------------------------------------------------------------- */

static int rows_ascend(const struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    struct sx_id x = ids_row_id(m, rows[0]);

    for (uint32_t i = 1; i < n; i++) {
        struct sx_id y = ids_row_id(m, rows[i]);

        if (sx_id_cmp(&x, &y) >= 0)
            return 0;
        x = y;
    }
    return 1;
}

/* Sorts pieces of the rows into runs, entered in v. */
static int load_pieces(struct eng_ids *m, const uint32_t *rows, uint32_t n, struct eng_ids_view *v)
{
    int ascend = rows_ascend(m, rows, n);
    uint32_t piece = ascend ? n : LOAD_PIECE;

    for (uint32_t at = 0; at < n;) {
        uint32_t c = n - at < piece ? n - at : piece;
        struct ids_run *r;
        struct ids_key *k;

        if (!ascend && keys_reserve(m, c) != SX_OK)
            return SX_ENOMEM;
        r = eng_ids_run_create(m->mem, c);
        if (r == NULL)
            return SX_ENOMEM;
        v->runs[v->n_runs++] = (struct ids_run_ref){r, c, 0};
        k = ascend ? NULL : rows_sort(m, rows + at, c);
        for (uint32_t i = 0; i < c; i++)
            run_add(r, i, ascend ? rows[at + i] : k[i].row);
        at += c;
    }
    return SX_OK;
}

int eng_ids_runs_load(struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    uint32_t pieces = (uint32_t)(((uint64_t)n + LOAD_PIECE - 1) / LOAD_PIECE);
    struct eng_ids_view *v = view_alloc(m->mem, pieces), *w = view_alloc(m->mem, 1);
    struct eng_ids_cursor *c = NULL;
    struct ids_run *all = NULL;
    int rc = v != NULL && w != NULL ? load_pieces(m, rows, n, v) : SX_ENOMEM;

    spare_give(m);
    if (rc == SX_OK && v->n_runs > 1) {
        struct sx_id id;

        c = m->mem->alloc(m->mem, eng_ids_cursor_size(v));
        all = eng_ids_run_create(m->mem, n);
        if (c == NULL || all == NULL)
            rc = SX_ENOMEM;
        else
            eng_ids_seek(m, v, NULL, c);
        for (uint32_t i = 0; rc == SX_OK && i < n; i++) {
            run_add(all, i, ids_run_row(c->heap[0].run, c->heap[0].i));
            (void)eng_ids_next(c, &id);
        }
    }
    if (rc == SX_OK) {
        if (all == NULL) {
            all = v->runs[0].run;
            v->n_runs = 0;
        }
        w->runs[w->n_runs++] = (struct ids_run_ref){all, n, 0};
        view_publish(m, w);
        w = NULL;
        all = NULL;
    }
    for (uint32_t i = 0; v != NULL && i < v->n_runs; i++)
        eng_ids_run_destroy(v->runs[i].run);
    if (v != NULL)
        eng_ids_view_destroy(v);
    if (w != NULL)
        eng_ids_view_destroy(w);
    if (all != NULL)
        eng_ids_run_destroy(all);
    if (c != NULL)
        m->mem->release(m->mem, c);
    return rc;
}
