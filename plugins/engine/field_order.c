/* Values in order, merged over the parts of an index.
 *
 * Every part gives its entries sorted (a cursor of the kind's); a heap of cursors gives them all.
 * Rows newer than the view are skipped here, for a sealed part knows nothing of views.
 *
 * Thread: one, in an epoch; all memory is the arena's. */
#include <stdlib.h>
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

struct source {
    struct eng_order_cursor cursor;
    struct eng_order_entry head;
    uint32_t end, pad; /* rows below are the view's */
};

struct eng_order {
    const struct eng_field *field;
    const struct field_list *list; /* of our epoch */
    uint32_t is_float, is_desc;
    uint32_t n, any; /* sources that are not at their end: a heap; any: `last` has been given out */
    struct eng_order_entry last;
    struct source **heap;
};

/* Negative when a comes before b. */
static int cmp_value(const struct eng_order *o,
                     const struct eng_order_entry *a,
                     const struct eng_order_entry *b)
{
    int c = o->is_float ? (a->f > b->f) - (a->f < b->f) : (a->i > b->i) - (a->i < b->i);

    return o->is_desc ? -c : c;
}

static int
cmp(const struct eng_order *o, const struct eng_order_entry *a, const struct eng_order_entry *b)
{
    int c = cmp_value(o, a, b);

    return c != 0 ? c : (a->row > b->row) - (a->row < b->row);
}

/* The source's next entry that the view knows; 0 at its end. */
static int step(struct source *s)
{
    while (s->cursor.next(&s->cursor, &s->head)) {
        s->head.row += s->cursor.row_base;
        if (s->head.row < s->end)
            return 1;
    }
    return 0;
}

static void sink(const struct eng_order *o, uint32_t i)
{
    for (;;) {
        uint32_t kid = 2 * i + 1;
        struct source *s;

        if (kid >= o->n)
            return;
        if (kid + 1 < o->n && cmp(o, &o->heap[kid + 1]->head, &o->heap[kid]->head) < 0)
            kid++;
        if (cmp(o, &o->heap[i]->head, &o->heap[kid]->head) <= 0)
            return;
        s = o->heap[i];
        o->heap[i] = o->heap[kid];
        o->heap[kid] = s;
        i = kid;
    }
}

/* One part's cursor, at its first entry, into the heap. */
static int open_source(struct eng_order *o,
                       const struct eng_field *f,
                       const struct field_part *p,
                       const struct sx_order_by *by,
                       uint32_t end,
                       struct sx_arena *arena)
{
    struct source *s = sx_arena_zalloc(arena, sizeof(*s));
    uint32_t base = p->lo & ~(SX_CHUNK_ROWS - 1);
    int rc;

    if (s == NULL)
        return SX_ENOMEM;
    rc = f->ops->order(f->schema, p->open != NULL ? NULL : field_kind(p), p->open, end - base, by,
                       arena, &s->cursor);
    if (rc != SX_OK)
        return rc;
    s->cursor.row_base = base;
    s->end = end;
    if (step(s))
        o->heap[o->n++] = s;
    return SX_OK;
}

int eng_order_create(const struct eng_field *f,
                     const struct sx_order_by *by,
                     const uint32_t *fill,
                     uint32_t n_chunks,
                     struct sx_arena *arena,
                     struct eng_order **out)
{
    const struct field_list *l = eng_field_list(f);
    struct eng_order *o = sx_arena_zalloc(arena, sizeof(*o));

    if (o == NULL)
        return SX_ENOMEM;
    o->heap = sx_arena_alloc(arena, (uint64_t)l->n * sizeof(o->heap[0]));
    if (o->heap == NULL)
        return SX_ENOMEM;
    o->field = f;
    o->list = l;
    o->is_float = f->schema->type == ENG_FIELD_FLOAT;
    o->is_desc = by->is_desc;
    for (uint32_t i = 0; i < l->n && f->ops->order != NULL; i++) {
        uint32_t chunk = l->at[i].lo >> SX_CHUNK_SHIFT, lo, hi;
        int rc;

        if (chunk >= n_chunks || !field_meets(&l->at[i], chunk, fill[chunk], &lo, &hi) ||
            !eng_field_part_good(f, l->at[i].part))
            continue;
        rc = open_source(o, f, l->at[i].part, by, (chunk << SX_CHUNK_SHIFT) + hi, arena);
        if (rc != SX_OK)
            return rc;
    }
    for (uint32_t i = o->n / 2; i-- > 0;)
        sink(o, i);
    *out = o;
    return SX_OK;
}

int eng_order_gap(
    const struct eng_order *o, struct eng_fills rows, uint32_t i, uint32_t *lo, uint32_t *hi)
{
    struct field_gaps g = {o->field, o->list, rows, 0, 0, 0};

    do {
        if (!eng_field_gap_next(&g, lo, hi))
            return 0;
    } while (i-- != 0);
    return 1;
}

int eng_order_next(struct eng_order *o, struct eng_order_entry *e)
{
    while (o->n != 0) {
        struct source *s = o->heap[0];
        struct eng_order_entry head = s->head;

        if (!step(s))
            o->heap[0] = o->heap[--o->n];
        sink(o, 0);
        /* -0.0 and 0.0 of one row are one value. */
        if (o->any && head.row == o->last.row && cmp_value(o, &head, &o->last) == 0)
            continue;
        o->any = 1;
        o->last = head;
        *e = head;
        return 1;
    }
    return 0;
}

/* --- documents --------------------------------------------------------------------------- */

struct doc_values {
    const struct eng_field_schema *schema;
    struct eng_order o; /* for comparing */
    struct eng_order_entry bound, *out;
    int has_bound;
    uint32_t n, max;
};

static int doc_value(void *arg, const struct sx_value *v)
{
    struct doc_values *d = arg;
    struct eng_order_entry e = {0, 0, 0, 0};
    int is_value = d->schema->type == ENG_FIELD_INTEGER    ? eng_value_int(v, &e.i)
                   : d->schema->type == ENG_FIELD_FLOAT    ? eng_value_float(v, &e.f)
                   : d->schema->type == ENG_FIELD_DATETIME ? eng_value_time(v, &e.i)
                                                           : 0;

    e.f += 0.0; /* parts know one zero: the sign of -0.0 is lost in both */
    if (!is_value || (d->has_bound && cmp_value(&d->o, &e, &d->bound) < 0))
        return 0;
    for (uint32_t i = 0; i < d->n; i++) {
        if (cmp_value(&d->o, &d->out[i], &e) == 0)
            return 0;
    }
    d->out[d->n++] = e;
    return d->n == d->max;
}

uint32_t eng_order_doc(const struct eng_field_schema *s,
                       const struct sx_order_by *by,
                       struct sx_doc payload,
                       struct eng_order_entry *out,
                       uint32_t max)
{
    struct doc_values d = {.schema = s, .out = out, .max = max};
    int bound = eng_order_bound(s, by, &d.bound);

    if (bound < 0 || max == 0)
        return 0;
    d.has_bound = bound;
    d.o.is_float = s->type == ENG_FIELD_FLOAT;
    d.o.is_desc = by->is_desc;
    (void)eng_path_each(&s->path, payload, doc_value, &d);
    /* In the order asked for; there are few. */
    for (uint32_t i = 1; i < d.n; i++) {
        struct eng_order_entry e = out[i];
        uint32_t j = i;

        for (; j > 0 && cmp_value(&d.o, &e, &out[j - 1]) < 0; j--)
            out[j] = out[j - 1];
        out[j] = e;
    }
    return d.n;
}
