/* External ids in order: sorted runs of rows, the views of them, and how new ids come in.
 *
 * An operation's new ids become a run of their own, or, when they are all greater than the last id
 * of the last run (ids given in ascending order: the usual case), the end of that run. Neighbouring
 * runs are merged (ids_merge.c) until each is at least 4 times as long as the next, so there are
 * some log4(n) of them. A run that is being merged is not extended.
 *
 * Readers see the list only as a view: an immutable array of (run, length). A new view is published
 * once per commit; the old one and the runs it alone refers to are retired to the epoch. */
#include <string.h>

#include "sextant/sx_text.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define MERGE_BASE   1024u
#define MERGE_PER_ID 32u
#define SPARE_KEEP   4096u /* larger spare space is given back after the commit */

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

struct eng_ids_view *eng_ids_view_create(const struct sx_mem *mem, uint32_t cap)
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

const struct eng_ids_view *eng_ids_view(const struct eng_ids *m)
{
    /* pairs with the release in eng_ids_view_publish() */
    return atomic_load_explicit(&m->view, memory_order_acquire);
}

void eng_ids_view_publish(struct eng_ids *m, struct eng_ids_view *v)
{
    struct eng_ids_view *before = ids_view_now(m);

    /* pairs with the acquire in eng_ids_view(): rows below the lengths in v are written */
    atomic_store_explicit(&m->view, v, memory_order_release);
    m->epoch->retire(eng_ids_view_destroy, before);
    while (m->gone != NULL) {
        struct ids_run *r = m->gone;

        m->gone = r->next;
        m->epoch->retire(eng_ids_run_destroy, r);
    }
}

void eng_ids_run_gone(struct eng_ids *m, struct ids_run *r)
{
    r->next = m->gone;
    m->gone = r;
}

void eng_ids_runs_fini(struct eng_ids *m)
{
    struct eng_ids_view *v = ids_view_now(m);

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

void eng_ids_spare_give(struct eng_ids *m)
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

/* --- commit ------------------------------------------------------------------------------ */

int eng_ids_runs_reserve(struct eng_ids *m, uint32_t n)
{
    uint32_t runs = ids_view_now(m)->n_runs + 1;
    int rc;

    if (n == 0)
        return SX_OK;
    rc = eng_ids_keys_reserve(m, n);
    if (rc != SX_OK)
        return rc;
    if (m->spare_view == NULL || m->spare_view->cap < runs) {
        struct eng_ids_view *v = eng_ids_view_create(m->mem, runs + 4);

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
    to->holes = r->holes;
    to->cap = n_blocks > 1 ? n_blocks << IDS_BLOCK_SHIFT : cap;
    r->own_from = whole;
    eng_ids_run_gone(m, r);
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
    uint32_t busy = m->n_merges != 0 ? ids_merge_end(&m->merges[m->n_merges - 1]) : 0;
    struct ids_run_ref *ref = v->n_runs > busy ? &v->runs[v->n_runs - 1] : NULL;

    if (ref != NULL) {
        uint32_t i = ref->n;

        while (i != 0 && ids_run_row(ref->run, i - 1) == ENG_NO_ROW)
            i--;
        if (i != 0) {
            struct sx_id last = ids_row_id(m, ids_run_row(ref->run, i - 1));
            struct ids_key l = {last.hi, last.lo, last.kind, 0};

            if (!ids_key_less(&l, &k[0]))
                ref = NULL;
        }
        if (ref != NULL && !run_extend(m, ref, n))
            ref = NULL;
    }
    if (ref == NULL) {
        ref = &v->runs[v->n_runs++];
        *ref = (struct ids_run_ref){m->spare, 0, 0};
        m->spare = NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        ids_run_add(ref->run, ref->n + i, k[i].row);
    ref->n += n;
}

void eng_ids_commit(struct eng_ids *m)
{
    struct eng_ids_view *v, *now = ids_view_now(m);
    uint32_t n = m->n_pending;

    if (n == 0 && !eng_ids_merge_wanted(m, now))
        return;
    v = m->spare_view;
    m->spare_view = NULL;
    if (v == NULL || v->cap < now->n_runs + 1) {
        /* Only without new ids: nothing was reserved, and nothing is lost by waiting. */
        if (v != NULL)
            eng_ids_view_destroy(v);
        v = eng_ids_view_create(m->mem, now->n_runs + 1);
        if (v == NULL)
            return;
    }
    memcpy(v->runs, now->runs, now->n_runs * sizeof(v->runs[0]));
    v->n_runs = now->n_runs;
    if (n != 0) {
        runs_add(m, v, eng_ids_rows_sort(m, m->pending, n), n);
        m->n_pending = 0;
        eng_ids_spare_give(m);
    }
    eng_ids_merge_some(m, v, MERGE_BASE + (uint64_t)n * MERGE_PER_ID);
    eng_ids_view_publish(m, v);
}
