/* Scroll: pages by id, or by the values of an indexed field. */
#include <string.h>

#include "catalog.h"
#include "fetch.h"
#include "field_part.h"
#include "schema.h"
#include "walk.h"

#include "sextant/sx_ban.h"

/* --- by value ----------------------------------------------------------------------------------
 */

#define DOC_VALUES 256u /* values of one field in one document that is not covered by the index */

static int has_order(const struct eng_field_schema *f)
{
    return f && (f->type == ENG_FIELD_FLOAT || f->type == ENG_FIELD_DATETIME ||
                 (f->type == ENG_FIELD_INTEGER && f->flags & ENG_FIELD_RANGE));
}

/* (value, row) pairs of rows that no part covers, sorted; merged with the index's. */
struct extra {
    struct eng_order_entry *e;
    uint32_t n, cap, at, pad;
    const struct eng_field_schema *f;
    const struct sx_order_by *by;
    struct sx_arena *arena;
    uint32_t row;
};

static int
is_before(const struct extra *x, const struct eng_order_entry *a, const struct eng_order_entry *b)
{
    int less, more;
    if (x->f->type == ENG_FIELD_FLOAT) {
        less = a->f < b->f;
        more = a->f > b->f;
    } else {
        less = a->i < b->i;
        more = a->i > b->i;
    }
    if (!less && !more)
        return a->row < b->row;
    return x->by->is_desc ? more : less;
}

static int extra_doc(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct extra *x = arg;
    (void)i;
    if (x->cap - x->n < DOC_VALUES) {
        uint32_t cap = x->cap * 2 + DOC_VALUES;
        x->e = sx_arena_resize(x->arena, x->e, x->cap * sizeof(*x->e), cap * sizeof(*x->e));
        x->cap = x->e ? cap : 0;
        if (!x->e)
            return SX_ENOMEM;
    }
    uint32_t got = eng_order_doc(x->f, x->by, (struct sx_doc){p, n, 0}, x->e + x->n, DOC_VALUES);
    for (uint32_t k = 0; k < got; k++)
        x->e[x->n + k].row = x->row;
    x->n += got;
    return 0;
}

static void extra_sort(struct extra *x)
{
    for (uint32_t gap = x->n / 2; gap; gap /= 2) {
        for (uint32_t i = gap; i < x->n; i++) {
            struct eng_order_entry v = x->e[i];
            uint32_t j = i;
            for (; j >= gap && is_before(x, &v, &x->e[j - gap]); j -= gap)
                x->e[j] = x->e[j - gap];
            x->e[j] = v;
        }
    }
}

static int collect_extra(struct eng_call *c,
                         const struct eng_reader *r,
                         struct eng_plan *plan,
                         const struct eng_order *order,
                         struct extra *x)
{
    const struct sx_provider *bp = c->shard->table.blobs_p;
    uint32_t lo, hi;
    struct eng_fills rows = {r->v->fill, r->v->n_chunks, 0};
    for (uint32_t i = 0; eng_order_gap(order, rows, i, &lo, &hi); i++) {
        for (uint32_t row = lo; row < hi; row++) {
            if (!eng_reader_knows(r, row) || !eng_reader_alive(r, row))
                continue;
            sx_locator loc = eng_reader_row(r, row)->payload;
            int rc = loc == ENG_NO_BLOB ? 0 : eng_plan_row(plan, row, &c->err);
            if (rc < 0)
                return rc;
            x->row = row;
            if (rc > 0)
                rc = ((const struct sx_blobs_ops *)bp->ops)
                         ->get(bp->self, c->shard->table.payload, &loc, 1, extra_doc, x, &c->err);
            if (rc != 0)
                return rc == SX_ENOMEM ? sx_err_set(&c->err, rc, "out of memory") : rc;
        }
    }
    extra_sort(x);
    return 0;
}

static int by_value(struct eng_call *c,
                    const struct eng_reader *r,
                    struct eng_plan *plan,
                    const struct eng_field_schema *f)
{
    const struct sx_args_scroll *a = c->op->args;
    struct sx_arena *arena = c->op->arena;
    struct extra x = {.f = f, .by = a->order_by, .arena = arena};
    struct eng_order *order = NULL;
    struct eng_order_entry e, *found = NULL;
    uint64_t n = 0, cap = 0;
    int rc = eng_order_create(f->field, a->order_by, r->v->fill, r->v->n_chunks, arena, &order);
    if (rc == 0)
        rc = collect_extra(c, r, plan, order, &x);
    int more = rc == 0 && eng_order_next(order, &e);
    while (rc == 0 && n < a->limit && (more || x.at < x.n)) {
        int is_extra = x.at < x.n && (!more || is_before(&x, &x.e[x.at], &e));
        struct eng_order_entry one = is_extra ? x.e[x.at++] : e;
        if (!is_extra)
            more = eng_order_next(order, &e);
        if (!is_extra) {
            if (!eng_reader_knows(r, one.row) || !eng_reader_alive(r, one.row))
                continue;
            rc = eng_plan_row(plan, one.row, &c->err);
            if (rc == 0)
                continue;
            rc = rc < 0 ? rc : 0;
        }
        if (n == cap) {
            uint64_t next = cap ? cap * 2 : 64;
            found = sx_arena_resize(arena, found, cap * sizeof(*found), next * sizeof(*found));
            cap = next;
            if (!found)
                rc = SX_ENOMEM;
        }
        if (rc == 0)
            found[n++] = one;
    }
    struct sx_record *rec = sx_arena_zalloc(arena, (n + 1) * sizeof(*rec));
    uint32_t *rows = sx_arena_alloc(arena, (n + 1) * 4);
    if (rc == 0 && (!rec || !rows))
        rc = SX_ENOMEM;
    if (rc != 0)
        return rc == SX_ENOMEM ? sx_err_set(&c->err, rc, "out of memory") : rc;
    for (uint64_t i = 0; i < n; i++)
        rows[i] = found[i].row;
    rc = eng_fetch(c->shard, r, rows, (uint32_t)n, &a->payload, &a->vectors, arena, rec, &c->err);
    for (uint64_t i = 0; i < n; i++) {
        if (f->type == ENG_FIELD_FLOAT)
            rec[i].order.f = found[i].f;
        else
            rec[i].order.i = found[i].i;
        rec[i].flags |= f->type == ENG_FIELD_FLOAT ? SX_REC_ORDER_F : SX_REC_ORDER_I;
    }
    c->reply.u.records.list.records = rec;
    c->reply.u.records.list.n = (uint32_t)n;
    return rc;
}

static int no_index(struct eng_call *c, const struct sx_path *path)
{
    struct sx_buf key;
    sx_buf_init(&key, c->eng->mem);
    sx_path_print(path, &key);
    int rc = sx_err_set(&c->err, SX_EINPUT,
                        "No range index for `order_by` key: `%.*s`. Please create one to use "
                        "`order_by`. Check "
                        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see "
                        "which payload schemas support Range conditions",
                        (int)(key.n > 200 ? 200 : key.n), key.p);
    sx_buf_fini(&key);
    return rc;
}

/* --- by id -------------------------------------------------------------------------------------
 */

static int by_id(struct eng_call *c, const struct eng_reader *r, struct eng_plan *plan)
{
    const struct sx_args_scroll *a = c->op->args;
    struct eng_page page = {.from = a->has_offset ? &a->offset : NULL, .max = a->limit};
    int rc = eng_walk(c->shard, r, plan, c->op->arena, &page, &c->err);
    if (rc != 0)
        return rc;
    struct sx_record *rec = sx_arena_zalloc(c->op->arena, (page.n + 1ull) * sizeof(*rec));
    if (!rec)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    c->reply.u.records.list.records = rec;
    c->reply.u.records.list.n = page.n;
    c->reply.u.records.next = page.next;
    c->reply.u.records.has_next = page.has_next;
    return eng_fetch(c->shard, r, page.rows, page.n, &a->payload, &a->vectors, c->op->arena, rec,
                     &c->err);
}

/* --- the operation -----------------------------------------------------------------------------
 */

static int scroll_body(struct eng_call *c, const struct eng_reader *r, struct eng_plan *plan)
{
    const struct sx_args_scroll *a = c->op->args;
    if (!a->order_by)
        return by_id(c, r, plan);
    const struct eng_field_schema *f = eng_schema_find(r->v->schema, &a->order_by->key);
    if (a->has_offset)
        return sx_err_set(&c->err, SX_EINPUT,
                          "Cannot use an `offset` when using `order_by`. The alternative for "
                          "paging is to use `order_by.start_from` and a filter to exclude the IDs "
                          "that you've already seen for the `order_by.start_from` value");
    return has_order(f) ? by_value(c, r, plan, f) : no_index(c, &a->order_by->key);
}

#define RECORD_NS 1500u /* fetching one record */

static uint64_t scroll_cost(struct eng_call *c, const struct eng_reader *r, struct eng_plan *plan)
{
    const struct sx_args_scroll *a = c->op->args;
    struct eng_page page = {.max = a->limit < r->v->n_live ? a->limit : r->v->n_live};
    uint64_t records = page.max * RECORD_NS;
    if (a->order_by)
        return records + r->v->n_chunks * 2000ull + eng_plan_cost(plan);
    return records + eng_walk_cost(r, plan, &page);
}

void eng_op_scroll(struct eng_call *c)
{
    const struct sx_args_scroll *a = c->op->args;
    struct eng_read_op *op = sx_arena_alloc(c->op->arena, sizeof(*op));
    if (!op) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    *op = (struct eng_read_op){SX_R_SCROLL, 0, a->filter, &a->shards, scroll_cost, scroll_body};
    eng_read_op_run(c, op);
}
