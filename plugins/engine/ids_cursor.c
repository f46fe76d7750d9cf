/* Reading external ids in order: cursors over a view of runs, and the bulk load that is made of
 * them.
 *
 * A cursor is a heap of the runs' next ids; with log4(n) runs a step costs two or three comparisons
 * and one read of a row's id. Cursors live in the caller's memory, inside an epoch. */
#include <string.h>

#include "sextant/sx_text.h"

#include "ids_priv.h"

#include "sextant/sx_ban.h"

#define LOAD_PIECE (1u << 20) /* rows sorted at a time when loading: 50 MB of keys */

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

/* The id at r->i or behind the holes that follow; 0 at the end. The entry is read once: it may
 * become a hole or point to another row of its id meanwhile. */
static int cursor_load(const struct eng_ids_cursor *c, struct ids_cursor_run *r)
{
    struct sx_id tmp;

    for (; r->i < r->n; r->i++) {
        uint32_t row = ids_run_row(r->run, r->i);

        if (row == ENG_NO_ROW)
            continue;
        r->id = *c->row_id(c->ctx, row, &tmp);
        return 1;
    }
    return 0;
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
        uint32_t lo = from != NULL ? eng_ids_run_bound(m, run, 0, v->runs[j].n, from, 0) : 0;
        struct ids_cursor_run *r = &c->heap[c->n];

        r->run = run;
        r->i = lo;
        r->n = v->runs[j].n;
        c->n += (uint32_t)cursor_load(c, r);
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
    r->i++;
    if (!cursor_load(c, r))
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

        if (!ascend && eng_ids_keys_reserve(m, c) != SX_OK)
            return SX_ENOMEM;
        r = eng_ids_run_create(m->mem, c);
        if (r == NULL)
            return SX_ENOMEM;
        v->runs[v->n_runs++] = (struct ids_run_ref){r, c, 0};
        k = ascend ? NULL : eng_ids_rows_sort(m, rows + at, c);
        for (uint32_t i = 0; i < c; i++)
            ids_run_add(r, i, ascend ? rows[at + i] : k[i].row);
        at += c;
    }
    return SX_OK;
}

int eng_ids_runs_load(struct eng_ids *m, const uint32_t *rows, uint32_t n)
{
    uint32_t pieces = (uint32_t)(((uint64_t)n + LOAD_PIECE - 1) / LOAD_PIECE);
    struct eng_ids_view *v = eng_ids_view_create(m->mem, pieces),
                        *w = eng_ids_view_create(m->mem, 1);
    struct eng_ids_cursor *c = NULL;
    struct ids_run *all = NULL;
    int rc = v != NULL && w != NULL ? load_pieces(m, rows, n, v) : SX_ENOMEM;

    eng_ids_spare_give(m);
    if (rc == SX_OK && v->n_runs > 1) {
        struct sx_id id;

        c = m->mem->alloc(m->mem, eng_ids_cursor_size(v));
        all = eng_ids_run_create(m->mem, n);
        if (c == NULL || all == NULL)
            rc = SX_ENOMEM;
        else
            eng_ids_seek(m, v, NULL, c);
        for (uint32_t i = 0; rc == SX_OK && i < n; i++) {
            ids_run_add(all, i, ids_run_row(c->heap[0].run, c->heap[0].i));
            (void)eng_ids_next(c, &id);
        }
    }
    if (rc == SX_OK) {
        if (all == NULL) {
            all = v->runs[0].run;
            v->n_runs = 0;
        }
        w->runs[w->n_runs++] = (struct ids_run_ref){all, n, 0};
        eng_ids_view_publish(m, w);
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
