/* The sealed form of numbers: its layout, making it, checking it.
 *
 *   head     96 bytes
 *   packed   the distinct keys ascending, each (key - base) >> shift in `width` bytes
 *   start    first entry of each value, 2 or 4 bytes; left out when each has one entry
 *   rows     u16 of each entry, by value, then row
 *   code     by row: number of the value, 2 or 4 bytes; left out where nobody asks for it
 *   crows    u16 row of each code; left out when code i is of row (lo & ~63) + i
 *
 * Every section begins at a multiple of 64 and nothing but the head says how long it is. Rows of a
 * narrow range are a slice of `rows`; a wide one is found by scanning `code`, 2 bytes a row instead
 * of 8. Both together cost less than keys by row would.
 *
 * Keys are packed to whole bytes. Random values, 65 536 rows: 100 ages take 1 byte a value, cents
 * below a million 3, seconds of a year 5, its microseconds 6, doubles that were f32 4, others 8; a
 * part has 4.0, 8.8, 11.0, 10.0, 10.0 and 12.0 bytes a row in all. A lookup costs the same as with
 * 8 (one load and a mask). Packing to bits would save another half byte a value and cost a shift
 * and a second load in every step of a search. */
#include <string.h>

#include "part_numeric.h"

#include "sextant/sx_ban.h"

#define MAGIC 0x314d554eu /* "NUM1" */

struct head {
    uint32_t magic, type;
    uint64_t bytes; /* of all sections, head included */
    uint32_t lo, hi;
    uint32_t points, entries, distinct, most;
    uint32_t form, codes; /* codes: a multiple of 64, padded */
    uint8_t width, shift, start_width, code_width;
    uint32_t pad;
    int64_t base;
    uint8_t reserved[32];
};
_Static_assert(sizeof(struct head) == 96, "layout on disk");

/* Where the sections begin. */
struct layout {
    uint64_t packed, start, rows, code, crows, end;
};

static uint64_t round_up(uint64_t n)
{
    return (n + 63) & ~UINT64_C(63);
}

/* Cannot overflow: every count is 32 bits, every width one byte. */
static void layout_of(const struct head *h, struct layout *l)
{
    l->packed = round_up(sizeof(*h));
    /* A key is read with one load of 8 bytes. */
    l->start = l->packed + round_up((uint64_t)h->distinct * h->width + 8);
    l->rows = l->start + round_up((uint64_t)h->distinct * h->start_width);
    l->code = l->rows + round_up((uint64_t)h->entries * 2);
    l->crows = l->code + round_up((uint64_t)h->codes * h->code_width);
    l->end = l->crows + (h->form == ENG_NUM_LISTED ? round_up((uint64_t)h->codes * 2) : 0);
}

/* --- making ------------------------------------------------------------------------------ */

struct maker {
    const struct sx_mem *mem;
    struct eng_num_pair *pairs, *tmp, *sorted; /* pairs: two halves, owned */
    struct eng_fwd_view view;
    struct head head;
    struct layout at;
    uint8_t *out;
};

static int collect(struct maker *m)
{
    uint32_t n = m->view.to - m->view.from;
    const int64_t *val = m->view.val;

    m->pairs = m->mem->alloc(m->mem, ((uint64_t)n * 2 + 1) * sizeof(*m->pairs));
    if (m->pairs == NULL)
        return SX_ENOMEM;
    m->tmp = m->pairs + n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = m->view.from + i;

        m->pairs[i] = (struct eng_num_pair){val[at], eng_fwd_row_of(&m->view, at), 0};
    }
    /* Entries come by row, and equal keys keep their order. */
    m->sorted = eng_num_sort(m->pairs, m->tmp, n);
    return SX_OK;
}

/* Counts of the rows: points, and how many values the fullest one has. */
static void count_rows(struct maker *m)
{
    uint32_t run = 0;

    for (uint32_t i = m->view.from; i < m->view.to; i++) {
        if (i > m->view.from && eng_fwd_row_of(&m->view, i) == eng_fwd_row_of(&m->view, i - 1)) {
            run++;
        } else {
            run = 1;
            m->head.points++;
        }
        if (run > m->head.most)
            m->head.most = run;
    }
}

/* Counts of the values, and what packing them needs. */
static void count_values(struct maker *m)
{
    struct head *h = &m->head;
    uint64_t all = 0, top = 0;

    for (uint32_t i = 0; i < h->entries; i++) {
        if (i > 0 && m->sorted[i].key == m->sorted[i - 1].key)
            continue;
        h->distinct++;
        top = (uint64_t)m->sorted[i].key - (uint64_t)m->sorted[0].key;
        all |= top;
    }
    h->base = h->entries != 0 ? m->sorted[0].key : 0;
    h->shift = all != 0 ? (uint8_t)__builtin_ctzll(all) : 0;
    top >>= h->shift;
    h->width = top != 0 ? (uint8_t)((63 - __builtin_clzll(top)) / 8 + 1) : 1;
}

static void choose(struct maker *m)
{
    struct head *h = &m->head;
    uint64_t from = h->lo & ~63u;

    h->start_width = h->distinct == h->entries ? 0 : h->entries <= SX_CHUNK_ROWS ? 2 : 4;
    h->code_width = h->distinct <= SX_CHUNK_ROWS ? 2 : 4;
    /* By row while every row has at most one value and holes do not outnumber values. All 65 536
     * codes are in use only when no row is a hole. */
    if (h->entries == h->points && h->hi - from <= 2 * (uint64_t)h->entries + 64) {
        h->form = ENG_NUM_BY_ROW;
        h->codes = (uint32_t)round_up(h->hi - from);
    } else if (h->type == ENG_FIELD_INTEGER) {
        h->form = ENG_NUM_LISTED;
        h->codes = (uint32_t)round_up(h->entries);
    } else {
        h->form = ENG_NUM_NONE;
    }
    layout_of(h, &m->at);
    h->bytes = m->at.end;
}

static void put_code(struct maker *m, uint32_t i, uint32_t code)
{
    if (m->head.code_width == 2)
        ((uint16_t *)(void *)(m->out + m->at.code))[i] = (uint16_t)code;
    else
        ((uint32_t *)(void *)(m->out + m->at.code))[i] = code;
}

/* Keys, starts, rows; and the code of each entry into its pair's key, by the order of rows. */
static void put_values(struct maker *m)
{
    const struct head *h = &m->head;
    uint16_t *rows = (uint16_t *)(void *)(m->out + m->at.rows);
    uint32_t code = 0;

    for (uint32_t i = 0; i < h->entries; i++) {
        int64_t key = m->sorted[i].key;

        if (i == 0 || key != m->sorted[i - 1].key) {
            uint64_t packed = ((uint64_t)key - (uint64_t)h->base) >> h->shift;

            memcpy(m->out + m->at.packed + (uint64_t)code * h->width, &packed, h->width);
            if (h->start_width == 2)
                ((uint16_t *)(void *)(m->out + m->at.start))[code] = (uint16_t)i;
            else if (h->start_width == 4)
                ((uint32_t *)(void *)(m->out + m->at.start))[code] = i;
            code++;
        }
        rows[i] = (uint16_t)m->sorted[i].row;
        if (h->form == ENG_NUM_BY_ROW)
            put_code(m, m->sorted[i].row - (h->lo & ~63u), code - 1);
    }
}

/* Codes of several values a row: by sorting back to rows. */
static void put_listed(struct maker *m)
{
    struct eng_num_pair *other = m->sorted == m->pairs ? m->tmp : m->pairs;
    uint16_t *crows = (uint16_t *)(void *)(m->out + m->at.crows);
    const struct eng_num_pair *by_row;
    int64_t last = 0;
    uint32_t code = 0;

    for (uint32_t i = 0; i < m->head.entries; i++) {
        int64_t key = m->sorted[i].key;

        code += i > 0 && key != last;
        last = key;
        m->sorted[i] = (struct eng_num_pair){m->sorted[i].row, code, 0};
    }
    by_row = eng_num_sort(m->sorted, other, m->head.entries);
    for (uint32_t i = 0; i < m->head.entries; i++) {
        put_code(m, i, by_row[i].row);
        crows[i] = (uint16_t)by_row[i].key;
    }
}

static int put_all(struct maker *m, struct sx_buf *out)
{
    m->out = (uint8_t *)sx_buf_reserve(out, m->head.bytes);
    if (m->out == NULL)
        return SX_ENOMEM;
    memset(m->out, 0, m->head.bytes);
    memcpy(m->out, &m->head, sizeof(m->head));
    if (m->head.form == ENG_NUM_BY_ROW)
        memset(m->out + m->at.code, 0xff, (uint64_t)m->head.codes * 2);
    put_values(m);
    if (m->head.form == ENG_NUM_LISTED)
        put_listed(m);
    out->n += m->head.bytes;
    return SX_OK;
}

int eng_num_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    const struct eng_num_open *o = open;
    struct maker m = {.mem = o->eng->mem};
    int rc;

    eng_fwd_read(&o->fwd, lo, hi, &m.view);
    m.head.magic = MAGIC;
    m.head.type = o->schema->type;
    m.head.lo = lo;
    m.head.hi = hi;
    m.head.entries = m.view.to - m.view.from;
    rc = collect(&m);
    if (rc == 0) {
        count_rows(&m);
        count_values(&m);
        choose(&m);
        rc = put_all(&m, out);
    }
    if (m.pairs != NULL)
        m.mem->release(m.mem, m.pairs);
    return rc;
}

/* --- reading ----------------------------------------------------------------------------- */

void eng_num_part_of(const uint8_t *p, struct eng_num_part *t)
{
    struct layout l;
    struct head h;

    memcpy(&h, p, sizeof(h));
    layout_of(&h, &l);
    t->lo = h.lo;
    t->hi = h.hi;
    t->points = h.points;
    t->entries = h.entries;
    t->distinct = h.distinct;
    t->most = h.most;
    t->codes = h.codes;
    t->code_from = h.lo & ~63u;
    t->width = h.width;
    t->shift = h.shift;
    t->start_width = h.start_width;
    t->code_width = h.code_width;
    t->base = h.base;
    t->packed_mask = UINT64_MAX >> (64 - 8 * h.width);
    t->packed = p + l.packed;
    t->start = h.start_width != 0 ? p + l.start : NULL;
    t->rows = (const uint16_t *)(const void *)(p + l.rows);
    t->code = p + l.code;
    t->form = h.form;
    t->code_rows = (const uint16_t *)(const void *)(p + l.crows);
}

/* --- checking ---------------------------------------------------------------------------- */

static int codes_fit(const struct head *h)
{
    uint64_t by_row = round_up(h->hi - (h->lo & ~63u));

    if (h->code_width != 4 && (h->code_width != 2 || h->distinct > SX_CHUNK_ROWS))
        return 0;
    switch (h->form) {
    case ENG_NUM_BY_ROW: /* holes are codes of 16 bits */
        return h->code_width == 2 && h->entries == h->points && h->codes == by_row;
    case ENG_NUM_LISTED:
        return h->codes == round_up(h->entries);
    case ENG_NUM_NONE:
        return h->codes == 0 && h->type != ENG_FIELD_INTEGER;
    default:
        return 0;
    }
}

static int head_is_sound(const struct head *h, uint32_t type, uint64_t n)
{
    struct layout l;

    if (h->magic != MAGIC || h->type != type || h->lo > h->hi || h->hi > SX_CHUNK_ROWS)
        return 0;
    if (h->points > h->hi - h->lo || h->points > h->entries || h->distinct > h->entries)
        return 0;
    if ((h->points == 0) != (h->entries == 0) || (h->distinct == 0) != (h->entries == 0))
        return 0;
    if (h->entries > UINT32_MAX - 64 || h->most > h->entries)
        return 0;
    if (h->width < 1 || h->width > 8 || h->shift > 63)
        return 0;
    if (h->start_width != 0 && h->start_width != 2 && h->start_width != 4)
        return 0;
    if (h->start_width == 0 && h->distinct != h->entries)
        return 0;
    if (!codes_fit(h))
        return 0;
    layout_of(h, &l);
    return h->bytes == l.end && n == l.end;
}

/* The loops below count faults instead of leaving at the first: a part is checked when it is first
 * asked, and a query waits for it. */

/* Distinct keys ascending, inside what the type can have. */
static int keys_are_sound(const struct eng_num_part *t, uint32_t type)
{
    uint32_t bad = 0;
    int64_t last = t->base;

    if (t->distinct == 0)
        return 1;
    for (uint32_t i = 1; i < t->distinct; i++) {
        int64_t key = eng_num_key_of(t, i);

        bad += key <= last;
        last = key;
    }
    if (bad != 0 || eng_num_packed(t, 0) != 0)
        return 0;
    /* Beyond these lie no floats. */
    return type != ENG_FIELD_FLOAT ||
           (t->base >= -INT64_C(0x7ff0000000000000) && last <= INT64_C(0x7ff0000000000000));
}

/* Every value has entries; the last one's end where all do. */
static int starts_are_sound(const struct eng_num_part *t)
{
    uint32_t bad = 0, last = 0;

    if (t->start == NULL || t->distinct == 0)
        return 1;
    for (uint32_t i = 1; i < t->distinct; i++) {
        uint32_t start = eng_num_start_of(t, i);

        bad += start <= last;
        last = start;
    }
    return bad == 0 && eng_num_start_of(t, 0) == 0 && last < t->entries;
}

static int rows_are_sound(const uint16_t *rows, uint32_t n, uint32_t lo, uint32_t hi)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < n; i++)
        bad += rows[i] - lo >= hi - lo; /* unsigned: below lo too */
    return bad == 0;
}

/* Codes by row: as many as there are points, holes elsewhere. */
static int codes_by_row_are_sound(const struct eng_num_part *t)
{
    const uint16_t *code = t->code;
    uint32_t n = 0, bad = 0;

    for (uint32_t i = 0; i < t->codes; i++) {
        uint32_t row = t->code_from + i;
        uint32_t is_code = code[i] < t->distinct;

        bad += !is_code & (code[i] != ENG_NUM_HOLE);
        bad += is_code & (row - t->lo >= t->hi - t->lo);
        n += is_code;
    }
    return bad == 0 && n == t->points;
}

static int listed_codes_are_sound(const struct eng_num_part *t)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < t->entries; i++) {
        uint32_t code =
            t->code_width == 2 ? ((const uint16_t *)t->code)[i] : ((const uint32_t *)t->code)[i];

        bad += code >= t->distinct;
        bad += i > 0 && t->code_rows[i] < t->code_rows[i - 1];
    }
    return bad == 0 && rows_are_sound(t->code_rows, t->entries, t->lo, t->hi);
}

int eng_num_check(const struct eng_field_schema *s, const uint8_t *p, uint64_t n)
{
    struct eng_num_part t;
    struct head h;

    if (n < sizeof(h) || ((uintptr_t)p & 7) != 0)
        return SX_ECORRUPT;
    memcpy(&h, p, sizeof(h));
    if (!head_is_sound(&h, s->type, n))
        return SX_ECORRUPT;
    eng_num_part_of(p, &t);
    if (!keys_are_sound(&t, s->type) || !starts_are_sound(&t) ||
        !rows_are_sound(t.rows, t.entries, t.lo, t.hi))
        return SX_ECORRUPT;
    if ((t.form == ENG_NUM_BY_ROW && !codes_by_row_are_sound(&t)) ||
        (t.form == ENG_NUM_LISTED && !listed_codes_are_sound(&t)))
        return SX_ECORRUPT;
    return SX_OK;
}
