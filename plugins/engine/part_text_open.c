/* Tokens of the newest rows: adding them, and the slices that readers may look at.
 *
 * The writer adds beyond n_units and publishes at commit. What lies below is never written again,
 * and a reader looks at no more than that: so the arrays are read as plain memory. A row is written
 * behind what there is, and counts once it is complete. */
#include <stdlib.h>
#include <string.h>

#include "part_text.h"
#include "text.h"

#include "sextant/sx_ban.h"

#define FULL_TOKENS (1u << 20) /* codes after which a part is ended */
#define FULL_UNITS  (1u << 19) /* elements of a nested index */
#define FULL_TEXT   (32u << 20)

/* --- life -------------------------------------------------------------------------------- */

struct eng_tx_open *eng_tx_open_create(const struct eng *e, const struct eng_field_schema *s)
{
    struct eng_tx_open *o = e->mem->zalloc(e->mem, sizeof(*o));

    if (o == NULL)
        return NULL;
    o->eng = e;
    o->schema = s;
    o->dict.ents.width = (uint32_t)sizeof(struct kw_ent);
    o->dict.text.width = 1;
    o->tok.width = o->end.width = (uint32_t)sizeof(uint32_t);
    o->row.width = o->len.width = (uint32_t)sizeof(uint16_t);
    o->df.width = (uint32_t)sizeof(struct eng_tx_count);
    sx_buf_init(&o->add.work, e->mem);
    return o;
}

void eng_tx_open_destroy(void *open)
{
    struct eng_tx_open *o = open;
    const struct eng *e = o->eng;

    kw_dict_fini(&o->dict, e);
    eng_grow_fini(&o->tok, e);
    eng_grow_fini(&o->end, e);
    eng_grow_fini(&o->row, e);
    eng_grow_fini(&o->len, e);
    eng_grow_fini(&o->df, e);
    sx_buf_fini(&o->add.work);
    e->mem->release(e->mem, o->add.compounds);
    e->mem->release(e->mem, o);
}

uint64_t eng_tx_open_bytes(const void *open)
{
    const struct eng_tx_open *o = open;
    const struct kw_table *t = atomic_load_explicit(&o->dict.table, memory_order_relaxed);

    return sizeof(*o) + (uint64_t)o->dict.ents.cap * sizeof(struct kw_ent) + o->dict.text.cap +
           (t != NULL ? sizeof(*t) + ((uint64_t)t->mask + 1) * sizeof(t->slot[0]) : 0) +
           ((uint64_t)o->tok.cap + o->end.cap) * 4 +
           (uint64_t)o->df.cap * sizeof(struct eng_tx_count) +
           ((uint64_t)o->row.cap + o->len.cap) * 2 + o->add.work.cap +
           (uint64_t)o->add.cap_compounds * 4;
}

int eng_tx_open_is_full(const void *open)
{
    const struct eng_tx_open *o = open;

    return o->w_tok >= FULL_TOKENS || o->w_units >= FULL_UNITS || o->dict.text_n >= FULL_TEXT;
}

/* --- adding rows ------------------------------------------------------------------------- */

static int push(struct eng_tx_open *o, uint32_t code)
{
    uint32_t n = o->add.tok;

    if (n == UINT32_MAX || eng_grow_room(&o->tok, o->eng, n + 1) != SX_OK)
        return SX_ENOMEM;
    ((uint32_t *)eng_grow_read(&o->tok))[n] = code;
    o->add.tok = n + 1;
    return SX_OK;
}

/* Behind a gap when something else came before it in the unit. */
static int push_token(struct eng_tx_open *o, uint32_t code)
{
    if (o->add.is_parted && o->add.tok != o->add.from && push(o, TX_GAP) != SX_OK)
        return SX_ENOMEM;
    o->add.is_parted = 0;
    o->add.n_tokens++;
    return push(o, code);
}

/* For later: compounds stand behind the sequence of their value. */
static int keep_compound(struct eng_tx_open *o, uint32_t code)
{
    const struct sx_mem *mem = o->eng->mem;

    if (o->add.n_compounds == o->add.cap_compounds) {
        uint32_t cap = o->add.cap_compounds != 0 ? 2 * o->add.cap_compounds : 8, *p;

        p = cap != 0 ? mem->resize(mem, o->add.compounds, (uint64_t)cap * sizeof(*p)) : NULL;
        if (p == NULL)
            return SX_ENOMEM;
        o->add.compounds = p;
        o->add.cap_compounds = cap;
    }
    o->add.compounds[o->add.n_compounds++] = code;
    return SX_OK;
}

/* The code of a token, with room for its count. */
static int intern(struct eng_tx_open *o, struct sx_str token, uint32_t *code)
{
    uint32_t n = atomic_load_explicit(&o->dict.n, memory_order_relaxed); /* the writer's own */
    struct eng_tx_count *df;
    int rc;

    if (eng_grow_room(&o->df, o->eng, n + 1) != SX_OK)
        return SX_ENOMEM;
    df = (struct eng_tx_count *)eng_grow_read(&o->df) + n;
    atomic_store_explicit(&df->rows, 0, memory_order_relaxed);
    df->last = 0;
    rc = kw_dict_intern(&o->dict, o->eng, token.p, token.n, code);
    return rc;
}

static int add_token(void *arg, const struct eng_text_token *t)
{
    struct eng_tx_open *o = arg;
    uint32_t code;
    int rc = intern(o, t->text, &code);

    if (rc != SX_OK)
        return rc;
    if (t->is_compound && (o->schema->flags & ENG_FIELD_PHRASE) != 0)
        return keep_compound(o, code);
    return push_token(o, code);
}

static int by_code(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The unit's codes ascending, each once. */
static void codes_unique(struct eng_tx_open *o)
{
    uint32_t *codes = (uint32_t *)eng_grow_read(&o->tok) + o->add.from;
    uint32_t n = o->add.tok - o->add.from, kept = 1;

    if (n < 2)
        return;
    qsort(codes, n, sizeof(codes[0]), by_code);
    for (uint32_t i = 1; i < n; i++) {
        if (codes[i] != codes[kept - 1])
            codes[kept++] = codes[i];
    }
    o->add.tok = o->add.from + kept;
}

/* The tokens of one unit have been pushed. */
static int end_unit(struct eng_tx_open *o)
{
    uint32_t n = o->add.units + 1;

    if ((o->schema->flags & TX_OPTIONS) == 0)
        codes_unique(o);
    if (n == 0 || eng_grow_room(&o->end, o->eng, n) != SX_OK)
        return SX_ENOMEM;
    ((uint32_t *)eng_grow_read(&o->end))[n - 1] = o->add.tok;
    if (o->schema->nested_steps != 0) {
        if (eng_grow_room(&o->row, o->eng, n) != SX_OK)
            return SX_ENOMEM;
        ((uint16_t *)eng_grow_read(&o->row))[n - 1] = (uint16_t)o->add.offset;
    }
    if ((o->schema->flags & ENG_FIELD_SCORING) != 0) {
        if (eng_grow_room(&o->len, o->eng, n) != SX_OK)
            return SX_ENOMEM;
        ((uint16_t *)eng_grow_read(&o->len))[n - 1] = eng_tx_len_pack(o->add.n_tokens);
    }
    o->add.units = n;
    o->add.from = o->add.tok;
    o->add.n_tokens = 0;
    return SX_OK;
}

/* Empty units up to the row, which has a string. */
static int skip_rows(struct eng_tx_open *o)
{
    int rc = SX_OK;

    if (o->w_units == 0)
        o->first = o->add.offset; /* nothing is committed, so nobody looks */
    while (rc == SX_OK && o->first + o->add.units < o->add.offset)
        rc = end_unit(o);
    return rc;
}

static int add_value(void *arg, const struct sx_value *v)
{
    struct eng_tx_open *o = arg;
    uint32_t is_parted = (o->schema->flags & ENG_FIELD_PHRASE) != 0;
    struct sx_str s;
    int rc = SX_OK;

    if (!eng_value_str(v, &s))
        return 0;
    if (o->add.n_strings++ == 0 && o->schema->nested_steps == 0)
        rc = skip_rows(o);
    if (rc != SX_OK)
        return rc;
    o->add.is_parted = is_parted;
    o->add.n_compounds = 0;
    rc = eng_analyze(o->schema->analyzer, ENG_TEXT_DOC, s, &o->add.work, add_token, o);
    for (uint32_t i = 0; i < o->add.n_compounds && rc == SX_OK; i++) {
        o->add.is_parted = is_parted;
        rc = push_token(o, o->add.compounds[i]);
    }
    return rc;
}

/* One element of the array of a nested index. Without tokens it is nothing. */
static int add_element(void *arg, const struct sx_value *v)
{
    struct eng_tx_open *o = arg;
    const struct eng_field_schema *s = o->schema;
    struct sx_path rest = {s->path.n - s->nested_steps, 0, s->path.steps + s->nested_steps};
    int rc;

    if (v->num.type != SX_DOC_OBJ)
        return 0;
    rc = eng_path_each(&rest, v->doc, add_value, o);
    if (rc == SX_OK && o->add.tok != o->add.from)
        rc = end_unit(o);
    return rc;
}

static int add_row(struct eng_tx_open *o, struct sx_doc payload)
{
    const struct eng_field_schema *s = o->schema;
    struct sx_path array = {s->nested_steps, 0, s->path.steps};
    int rc;

    if (s->nested_steps != 0)
        return eng_path_values(&array, payload, add_element, o);
    rc = eng_path_each(&s->path, payload, add_value, o);
    return rc == SX_OK && o->add.n_strings != 0 ? end_unit(o) : rc;
}

int eng_tx_open_add(void *open, uint32_t offset, struct sx_doc payload)
{
    struct eng_tx_open *o = open;
    int rc;

    o->add.units = o->w_units;
    o->add.tok = o->add.from = o->w_tok;
    o->add.offset = offset;
    o->add.n_tokens = o->add.n_strings = o->add.is_parted = 0;
    rc = add_row(o, payload);
    if (rc != SX_OK)
        return rc < 0 ? rc : SX_ENOMEM;
    o->w_units = o->add.units;
    o->w_tok = o->add.tok;
    return o->add.n_strings != 0;
}

void eng_tx_open_cut(void *open, uint32_t offset)
{
    struct eng_tx_open *o = open;
    const uint32_t *end = eng_grow_read(&o->end);
    const uint16_t *row = eng_grow_read(&o->row);

    if (o->schema->nested_steps != 0) {
        while (o->w_units != 0 && row[o->w_units - 1] >= offset)
            o->w_units--;
    } else {
        uint32_t n = offset > o->first ? offset - o->first : 0;

        if (o->w_units > n)
            o->w_units = n;
    }
    o->w_tok = o->w_units != 0 ? end[o->w_units - 1] : 0;
}

/* The rows of the units that are committed now, for each token. Counted here and not when they are
 * added, so that nothing has to be taken back. */
static void count_rows(struct eng_tx_open *o)
{
    struct eng_tx_count *df = eng_grow_read(&o->df);
    const uint32_t *tok = eng_grow_read(&o->tok), *end = eng_grow_read(&o->end);
    const uint16_t *row = eng_grow_read(&o->row);

    for (uint32_t i = o->n_counted; i < o->w_units; i++) {
        uint32_t number = 1 + (row != NULL ? row[i] : o->first + i);

        for (uint32_t k = i != 0 ? end[i - 1] : 0; k < end[i]; k++) {
            struct eng_tx_count *c = tok[k] != TX_GAP ? &df[tok[k]] : NULL;

            if (c == NULL || c->last == number)
                continue;
            c->last = number;
            atomic_store_explicit(&c->rows,
                                  atomic_load_explicit(&c->rows, memory_order_relaxed) + 1,
                                  memory_order_relaxed); /* a figure: nothing is read by it */
        }
    }
    o->n_counted = o->w_units;
}

uint32_t eng_tx_open_rows(const struct eng_tx_open *o, uint32_t code)
{
    struct eng_tx_count *df = eng_grow_read(&o->df);

    return atomic_load_explicit(&df[code].rows, memory_order_relaxed);
}

void eng_tx_open_commit(void *open)
{
    struct eng_tx_open *o = open;

    count_rows(o);

    /* pairs with the acquire in eng_tx_units_of() */
    atomic_store_explicit(&o->n_units, o->w_units, memory_order_release);
}

/* --- what readers may look at -------------------------------------------------------------- */

/* The first of the n units whose row is not before it. */
static uint32_t unit_of(const struct eng_tx_units *u, uint32_t n, uint32_t row)
{
    uint32_t lo = 0, hi = n;

    if (u->row == NULL) {
        lo = row > u->first ? row - u->first : 0;
        return lo < n ? lo : n;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (u->row[mid] < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void eng_tx_units_of(const struct eng_tx_open *o, uint32_t lo, uint32_t hi, struct eng_tx_units *u)
{
    /* pairs with the release in eng_tx_open_commit() */
    uint32_t n = atomic_load_explicit(&o->n_units, memory_order_acquire);

    memset(u, 0, sizeof(*u));
    if (n == 0)
        return;
    u->tok = eng_grow_read(&o->tok);
    u->end = eng_grow_read(&o->end);
    u->len = eng_grow_read(&o->len);
    u->row = eng_grow_read(&o->row);
    u->first = o->first;
    u->lo = unit_of(u, n, lo);
    u->hi = unit_of(u, n, hi);
    if (u->hi < u->lo)
        u->hi = u->lo;
}
