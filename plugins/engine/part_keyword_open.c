/* Codes by row of an open part: adding rows, and what conditions, estimates and facets ask.
 *
 * The writer adds beyond n_rows and n_many and publishes both at commit. What lies below them is
 * never written again, and a reader looks at no more than that: so the arrays are read as plain
 * memory, as fast as it can be. Entries of rows beyond a reader's last one may be among them; they
 * are told by their row. */
#include <stdlib.h>
#include <string.h>

#include "part_keyword.h"

#include "sextant/sx_ban.h"

#define FULL_TEXT (32u << 20) /* bytes of strings after which a part is ended */
#define FULL_MANY (2u << 20)  /* codes of rows with several */
#define ON_STACK  4096u       /* codes that a selection needs no memory for */
#define FEW       6u          /* values for which a scan each is faster than a selection */

/* --- life -------------------------------------------------------------------------------- */

struct kw_open *kw_open_create(const struct eng *e, const struct sx_path *path, int is_uuid)
{
    struct kw_open *o = e->mem->zalloc(e->mem, sizeof(*o));

    if (o == NULL)
        return NULL;
    o->eng = e;
    o->path = path;
    o->is_uuid = is_uuid;
    o->dict.ents.width = (uint32_t)sizeof(struct kw_ent);
    o->dict.text.width = 1;
    o->one.width = (uint32_t)sizeof(uint16_t);
    o->many.width = (uint32_t)sizeof(uint32_t);
    o->many_row.width = (uint32_t)sizeof(uint16_t);
    return o;
}

void kw_open_destroy(void *open)
{
    struct kw_open *o = open;
    const struct eng *e = o->eng;

    kw_dict_fini(&o->dict, e);
    eng_grow_fini(&o->one, e);
    eng_grow_fini(&o->many, e);
    eng_grow_fini(&o->many_row, e);
    e->mem->release(e->mem, o->codes);
    e->mem->release(e->mem, o);
}

uint64_t kw_open_bytes(const void *open)
{
    const struct kw_open *o = open;
    const struct kw_table *t = atomic_load_explicit(&o->dict.table, memory_order_relaxed);

    return sizeof(*o) + (uint64_t)o->dict.ents.cap * sizeof(struct kw_ent) + o->dict.text.cap +
           (t != NULL ? sizeof(*t) + ((uint64_t)t->mask + 1) * sizeof(t->slot[0]) : 0) +
           (uint64_t)o->one.cap * 2 + (uint64_t)o->many.cap * 4 + (uint64_t)o->many_row.cap * 2 +
           (uint64_t)o->cap_codes * 4;
}

int kw_open_is_full(const void *open)
{
    const struct kw_open *o = open;

    return o->dict.text_n >= FULL_TEXT || o->w_many >= FULL_MANY;
}

/* --- adding rows ------------------------------------------------------------------------- */

static int add_value(void *arg, const struct sx_value *v)
{
    struct kw_open *o = arg;
    struct sx_str s;
    struct sx_id id;
    char bytes[16];
    int rc;

    if (o->is_uuid) {
        struct kw_want w = {.uuids = &id};

        if (!eng_value_uuid(v, &id))
            return 0;
        s = kw_want_str(&w, 0, bytes);
    } else if (!eng_value_str(v, &s)) {
        return 0;
    }
    if (o->n_codes == o->cap_codes) {
        uint32_t cap = o->cap_codes != 0 ? o->cap_codes * 2 : 8;
        uint32_t *p = o->eng->mem->resize(o->eng->mem, o->codes, (uint64_t)cap * sizeof(*p));

        if (p == NULL)
            return SX_ENOMEM;
        o->codes = p;
        o->cap_codes = cap;
    }
    rc = kw_dict_intern(&o->dict, o->eng, s.p, s.n, &o->codes[o->n_codes]);
    if (rc == SX_OK)
        o->n_codes++;
    return rc;
}

static int by_code(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Codes of the row ascending, each once. */
static void codes_unique(struct kw_open *o)
{
    uint32_t n = 1;

    if (o->n_codes < 2)
        return;
    qsort(o->codes, o->n_codes, sizeof(o->codes[0]), by_code);
    for (uint32_t i = 1; i < o->n_codes; i++) {
        if (o->codes[i] != o->codes[n - 1])
            o->codes[n++] = o->codes[i];
    }
    o->n_codes = n;
}

static int put_row(struct kw_open *o, uint32_t offset)
{
    uint32_t i, is_one = o->n_codes == 1 && o->codes[0] < KW_MANY;
    uint16_t *one;

    if (o->w_rows == 0)
        o->first = offset; /* nothing is committed, so nobody looks */
    i = offset - o->first;
    if (eng_grow_room(&o->one, o->eng, i + 1) != SX_OK)
        return SX_ENOMEM;
    if (!is_one) {
        uint32_t n = o->w_many + o->n_codes, *many;
        uint16_t *row;

        if (n < o->w_many || eng_grow_room(&o->many, o->eng, n) != SX_OK ||
            eng_grow_room(&o->many_row, o->eng, n) != SX_OK)
            return SX_ENOMEM;
        many = (uint32_t *)eng_grow_read(&o->many) + o->w_many;
        row = (uint16_t *)eng_grow_read(&o->many_row) + o->w_many;
        for (uint32_t k = 0; k < o->n_codes; k++) {
            many[k] = o->codes[k];
            row[k] = (uint16_t)offset;
        }
        o->w_many = n;
    }
    one = eng_grow_read(&o->one);
    memset(one + o->w_rows, 0xff, (i - o->w_rows) * sizeof(*one)); /* rows left out: NONE */
    one[i] = (uint16_t)(is_one ? o->codes[0] : KW_MANY);
    o->w_rows = i + 1;
    return SX_OK;
}

int kw_open_add(void *open, uint32_t offset, struct sx_doc payload)
{
    struct kw_open *o = open;

    o->n_codes = 0;
    if (eng_path_each(o->path, payload, add_value, o) != 0)
        return SX_ENOMEM;
    codes_unique(o);
    if (o->n_codes == 0)
        return 0;
    return put_row(o, offset) == SX_OK ? 1 : SX_ENOMEM;
}

void kw_open_cut(void *open, uint32_t offset)
{
    struct kw_open *o = open;
    const uint16_t *row = eng_grow_read(&o->many_row);
    uint32_t n = offset > o->first ? offset - o->first : 0;

    if (o->w_rows > n)
        o->w_rows = n;
    while (o->w_many != 0 && row[o->w_many - 1] >= offset)
        o->w_many--;
}

void kw_open_commit(void *open)
{
    struct kw_open *o = open;

    /* pairs with the acquire in kw_rows_of() */
    atomic_store_explicit(&o->n_many, o->w_many, memory_order_release);
    atomic_store_explicit(&o->n_rows, o->w_rows, memory_order_release);
}

/* --- reading rows ------------------------------------------------------------------------ */

void kw_rows_of(const struct kw_open *o, uint32_t lo, uint32_t hi, struct kw_rows *r)
{
    /* pairs with the releases in kw_open_commit() */
    uint32_t n = atomic_load_explicit(&o->n_rows, memory_order_acquire);

    memset(r, 0, sizeof(*r));
    if (n == 0)
        return;
    r->n_many = atomic_load_explicit(&o->n_many, memory_order_acquire);
    r->many = eng_grow_read(&o->many);
    r->many_row = eng_grow_read(&o->many_row);
    r->lo = lo > o->first ? lo : o->first;
    r->hi = hi < o->first + n ? hi : o->first + n;
    if (r->hi < r->lo)
        r->hi = r->lo;
    r->one = (const uint16_t *)eng_grow_read(&o->one) + (r->lo - o->first);
}

uint32_t kw_rows_many(const struct kw_rows *r, uint32_t row)
{
    uint32_t lo = 0, hi = r->n_many;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (r->many_row[mid] < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* --- masks ------------------------------------------------------------------------------- */

/* Rows that have the code. */
static void or_code(const struct kw_rows *r, uint32_t code, struct eng_bits *out)
{
    uint32_t from = kw_rows_many(r, r->lo), to = kw_rows_many(r, r->hi), n;

    if (code < KW_MANY)
        kw_scan_eq(r->one, sizeof(*r->one), r->hi - r->lo, code, r->lo, out);
    for (; from < to; from += n) {
        struct eng_bits hit = {{0}};

        n = to - from < SX_CHUNK_ROWS ? to - from : SX_CHUNK_ROWS;
        kw_scan_eq(r->many + from, sizeof(*r->many), n, code, 0, &hit);
        for (uint32_t w = 0; w << 6 < n; w++) {
            for (uint64_t x = hit.w[w]; x != 0; x &= x - 1)
                eng_bits_set(out, r->many_row[from + w * 64 + (uint32_t)__builtin_ctzll(x)]);
        }
    }
}

/* Rows that have a code whose byte in sel is set; sel[n_codes] is 0. */
static void
or_selected(const struct kw_rows *r, const uint8_t *sel, uint32_t n_codes, struct eng_bits *out)
{
    uint32_t n = n_codes < KW_MANY ? n_codes : KW_MANY, to = kw_rows_many(r, r->hi), row = r->lo;

    while (row < r->hi) {
        uint32_t end = (row | 63) + 1 < r->hi ? (row | 63) + 1 : r->hi;
        const uint16_t *one = r->one + (row - r->lo);
        uint64_t word = 0;

        /* A word at a time: or-ing into memory for each row would wait for the store before. */
        for (uint32_t i = 0; i < end - row; i++) {
            uint32_t code = one[i] < n ? one[i] : n_codes;

            word |= (uint64_t)sel[code] << i;
        }
        out->w[row >> 6] |= word << (row & 63);
        row = end;
    }
    for (uint32_t i = kw_rows_many(r, r->lo); i < to; i++) {
        if (r->many[i] < n_codes && sel[r->many[i]])
            eng_bits_set(out, r->many_row[i]);
    }
}

/* Rows with a value that is none of a few: those with one value by taking rows away, those with
 * several by looking at each of their codes. */
static void or_except(const struct kw_open *o,
                      const struct kw_want *w,
                      const struct kw_rows *r,
                      struct eng_bits *out)
{
    uint32_t codes[FEW], to = kw_rows_many(r, r->hi);
    struct eng_bits gone = {{0}}, have = {{0}};
    char buf[16];

    kw_scan_eq(r->one, sizeof(*r->one), r->hi - r->lo, KW_NONE, r->lo, &gone);
    kw_scan_eq(r->one, sizeof(*r->one), r->hi - r->lo, KW_MANY, r->lo, &gone);
    for (uint32_t i = 0; i < w->n; i++) {
        struct sx_str s = kw_want_str(w, i, buf);

        codes[i] = kw_dict_find(&o->dict, s.p, s.n);
        if (codes[i] < KW_MANY)
            kw_scan_eq(r->one, sizeof(*r->one), r->hi - r->lo, codes[i], r->lo, &gone);
    }
    eng_bits_range(&have, r->lo, r->hi);
    for (uint32_t i = r->lo >> 6; i << 6 < r->hi; i++)
        out->w[i] |= have.w[i] & ~gone.w[i];
    for (uint32_t i = kw_rows_many(r, r->lo); i < to; i++) {
        uint32_t k = 0;

        while (k < w->n && codes[k] != r->many[i])
            k++;
        if (k == w->n)
            eng_bits_set(out, r->many_row[i]);
    }
}

/* One byte a code: 1 when the leaf selects it. */
static void
select_codes(const struct kw_open *o, const struct kw_want *w, uint8_t *sel, uint32_t n_codes)
{
    int is_except = w->match == SX_MATCH_EXCEPT_STR;
    char buf[16];

    if (w->match == SX_MATCH_PREFIX || w->match == SX_MATCH_SUBSTRING) {
        const struct kw_ent *ents = eng_grow_read(&o->dict.ents);
        const char *text = eng_grow_read(&o->dict.text);

        for (uint32_t i = 0; i < n_codes; i++)
            sel[i] = (uint8_t)kw_want_fits(w, kw_ent_str(ents, text, i));
        return;
    }
    memset(sel, is_except, n_codes);
    for (uint32_t i = 0; i < w->n; i++) {
        struct sx_str s = kw_want_str(w, i, buf);
        uint32_t code = kw_dict_find(&o->dict, s.p, s.n);

        if (code < n_codes)
            sel[code] = (uint8_t)!is_except;
    }
}

void kw_open_mask(const struct kw_open *o,
                  const struct kw_want *w,
                  uint32_t lo,
                  uint32_t hi,
                  struct eng_bits *yes,
                  struct eng_bits *maybe)
{
    const struct sx_mem *mem = o->eng->mem;
    uint8_t few[ON_STACK + 1], *sel = few;
    uint32_t n_codes, code;
    struct kw_rows r;
    char buf[16];

    kw_rows_of(o, lo, hi, &r);
    if (r.hi <= r.lo)
        return;
    /* Up to here all strings that rows of the reader can have are there. */
    n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire);
    if (w->match == SX_MATCH_EXCEPT_STR && w->n <= FEW) {
        or_except(o, w, &r, yes);
        return;
    }
    if (w->match == SX_MATCH_STR || (w->match == SX_MATCH_ANY_STR && w->n <= FEW)) {
        for (uint32_t i = 0; i < w->n; i++) {
            struct sx_str s = kw_want_str(w, i, buf);

            code = kw_dict_find(&o->dict, s.p, s.n);
            if (code != KW_NO_CODE)
                or_code(&r, code, yes);
        }
        return;
    }
    if (n_codes > ON_STACK)
        sel = mem->alloc(mem, (uint64_t)n_codes + 1);
    if (sel == NULL) {
        eng_bits_range(maybe, lo, hi); /* documents have the answer as well */
        return;
    }
    select_codes(o, w, sel, n_codes);
    sel[n_codes] = 0;
    or_selected(&r, sel, n_codes, yes);
    if (sel != few)
        mem->release(mem, sel);
}

/* --- counts ------------------------------------------------------------------------------ */

/* Adds to counts[code] for every (row, code) of the rows in bits (NULL: all). */
static void count_codes(const struct kw_rows *r,
                        const struct eng_bits *bits,
                        uint32_t *counts,
                        uint32_t n_codes)
{
    uint32_t to = kw_rows_many(r, r->hi);

    for (uint32_t i = 0, rows = r->hi - r->lo; bits == NULL && i < rows; i++) {
        if (r->one[i] < KW_MANY && r->one[i] < n_codes)
            counts[r->one[i]]++;
    }
    for (uint32_t w = r->lo >> 6; bits != NULL && w << 6 < r->hi; w++) {
        for (uint64_t x = bits->w[w]; x != 0; x &= x - 1) {
            uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(x);

            if (row >= r->lo && row < r->hi && r->one[row - r->lo] < KW_MANY &&
                r->one[row - r->lo] < n_codes)
                counts[r->one[row - r->lo]]++;
        }
    }
    for (uint32_t i = kw_rows_many(r, r->lo); i < to; i++) {
        if (r->many[i] < n_codes && (bits == NULL || eng_bits_get(bits, r->many_row[i])))
            counts[r->many[i]]++;
    }
}

static void tally_counts(const struct kw_open *o,
                         const struct kw_want *w,
                         const uint32_t *counts,
                         uint32_t n_codes,
                         struct eng_tally *t)
{
    const struct kw_ent *ents = eng_grow_read(&o->dict.ents);
    const char *text = eng_grow_read(&o->dict.text);
    int is_prefix = w->match == SX_MATCH_PREFIX;
    uint64_t longest = 0;
    char buf[16];

    for (uint32_t i = 0; i < n_codes; i++) {
        t->values += counts[i];
        t->distinct += counts[i] != 0;
        if (is_prefix && counts[i] != 0 && kw_want_fits(w, kw_ent_str(ents, text, i))) {
            t->hi += counts[i];
            longest = counts[i] > longest ? counts[i] : longest;
        }
    }
    t->lo += longest;
    for (uint32_t i = 0; i < t->n && i < w->n; i++) {
        struct sx_str s = kw_want_str(w, i, buf);
        uint32_t code = kw_dict_find(&o->dict, s.p, s.n);

        if (code < n_codes)
            t->len[i] += counts[code];
    }
}

void kw_open_tally(const struct kw_open *o,
                   const struct kw_want *w,
                   uint32_t hi,
                   struct eng_tally *t)
{
    const struct sx_mem *mem = o->eng->mem;
    uint32_t *counts, n_codes;
    struct kw_rows r;

    if (w->match == SX_MATCH_SUBSTRING)
        return; /* the estimator asks for nothing */
    kw_rows_of(o, 0, hi, &r);
    n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire);
    if (w->match == SX_MATCH_STR && w->n == 1 && t->n == 1) {
        /* The usual question, without a pass over all codes. */
        struct eng_bits b = {{0}};

        kw_open_mask(o, w, 0, hi, &b, &b);
        t->len[0] += eng_bits_count(&b, 0, SX_CHUNK_ROWS);
        return;
    }
    counts = mem->zalloc(mem, ((uint64_t)n_codes + 1) * sizeof(*counts));
    if (counts == NULL)
        return; /* an estimate that is too low */
    count_codes(&r, NULL, counts, n_codes);
    tally_counts(o, w, counts, n_codes, t);
    mem->release(mem, counts);
}

int kw_open_facet(const struct kw_open *o,
                  struct eng_facet *k,
                  uint32_t hi,
                  const struct eng_bits *bits,
                  kw_count_fn add)
{
    uint32_t *counts, n_codes;
    const struct kw_ent *ents;
    const char *text;
    struct kw_rows r;
    int rc = SX_OK;

    kw_rows_of(o, 0, hi, &r);
    if (r.hi <= r.lo)
        return SX_OK;
    n_codes = atomic_load_explicit(&o->dict.n, memory_order_acquire);
    counts = eng_facet_counts(k, n_codes);
    if (counts == NULL)
        return SX_ENOMEM;
    count_codes(&r, bits, counts, n_codes);
    ents = eng_grow_read(&o->dict.ents);
    text = eng_grow_read(&o->dict.text);
    for (uint32_t i = 0; i < n_codes && rc == SX_OK; i++) {
        if (counts[i] != 0)
            rc = add(k, i, kw_ent_str(ents, text, i), counts[i]);
    }
    return rc;
}
