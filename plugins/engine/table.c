/* The row table: what the writer asks it. See table.h. */
#include <string.h>

#include "table_priv.h"

#include "sextant/sx_ban.h"

const char eng_keep_mark = 0;

uint32_t eng_table_slot(const struct eng_table *t, uint32_t column_id)
{
    for (uint32_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i] && t->columns[i]->conf->id == column_id)
            return i;
    }
    return UINT32_MAX;
}

const struct eng_row *eng_table_row(const struct eng_table *t, uint32_t row)
{
    struct sx_rows rows;
    eng_rops(t->rows_p)->rows(t->rows_p->self, t->rows, &rows);
    return sx_rows_at(&rows, row);
}

static int append_blob(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct sx_buf *buf = arg;
    (void)i;
    sx_buf_add(buf, p, n);
    return buf->failed ? SX_ENOMEM : 0;
}

int eng_table_payload(struct eng_table *t, uint32_t row, struct sx_buf *buf, struct sx_err *err)
{
    sx_locator loc = eng_table_row(t, row)->payload;
    if (loc == ENG_NO_BLOB)
        return 0;
    int rc =
        eng_bops(t->blobs_p)->get(t->blobs_p->self, t->payload, &loc, 1, append_blob, buf, err);
    return rc == SX_ENOMEM ? sx_err_set(err, rc, "out of memory") : rc;
}

uint32_t eng_table_find(const struct eng_table *t, const struct sx_id *id)
{
    uint32_t row = eng_ids_find(t->ids, id);
    return row != ENG_NO_ROW && !eng_table_is_dead(t, row) ? row : ENG_NO_ROW;
}

uint32_t eng_table_loc(const struct eng_table *t, uint32_t c, uint32_t row)
{
    const struct eng_column *col = t->columns[c];
    struct sx_rows loc;
    if (col->in_step)
        return row;
    eng_rops(t->rows_p)->rows(t->rows_p->self, col->loc, &loc);
    return *(const uint32_t *)sx_rows_at(&loc, row);
}

sx_locator eng_column_locator(const struct eng_column *c, uint32_t node)
{
    struct sx_rows vec;
    eng_rops(c->rows_p)->rows(c->rows_p->self, c->vec, &vec);
    return *(const sx_locator *)sx_rows_at(&vec, node);
}

/* --- memory --------------------------------------------------------------------------------------
 */

struct eng_retired {
    const struct sx_mem *mem;
    void *a, *b;
};

struct eng_retired *eng_retired_new(struct eng *e)
{
    return e->mem->alloc(e->mem, sizeof(struct eng_retired));
}

static void release_retired(void *arg)
{
    struct eng_retired *r = arg;
    const struct sx_mem *mem = r->mem;
    mem->release(mem, r->a);
    mem->release(mem, r->b);
    mem->release(mem, r);
}

void eng_retire(struct eng *e, struct eng_retired *r, void *a, void *b)
{
    *r = (struct eng_retired){e->mem, a, b};
    e->epoch->retire(release_retired, r);
}

void eng_table_fini(struct eng_table *t)
{
    const struct sx_mem *mem = t->eng->mem;
    struct eng_sides *s = atomic_load_explicit(&t->sides, memory_order_relaxed);
    for (uint32_t i = 0; s && i < s->n; i++) {
        mem->release(mem, (void *)(uintptr_t)s->side[i].died);
        mem->release(mem, (void *)(uintptr_t)s->side[i].dead);
    }
    mem->release(mem, s);
    eng_units_fini(&t->chunks);
    eng_units_fini(&t->segments);
    mem->release(mem, t->deaths);
    mem->release(mem, t->scratch);
    mem->release(mem, t->locators);
}
