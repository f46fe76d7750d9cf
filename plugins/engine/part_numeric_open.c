/* The open form of numbers: keys by row, conditions scan them. */
#include <string.h>

#include "part_numeric.h"

#include "sextant/sx_ban.h"

/* Ended early above this many values: a part's codes and positions stay small, and a scan bounded.
 */
#define OPEN_ENTRIES (16u * SX_CHUNK_ROWS)

/* Words scanned before their rows are set: 8 KiB of keys, so that they stay in the first cache. */
#define SCAN_WORDS 16u

void *eng_num_open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    struct eng_num_open *o = conf->eng->mem->zalloc(conf->eng->mem, sizeof(*o));

    if (o == NULL)
        return NULL;
    eng_fwd_init(&o->fwd, conf->eng, sizeof(int64_t));
    o->eng = conf->eng;
    o->schema = s;
    o->scan = eng_scan_of(conf->eng->cpu);
    return o;
}

void eng_num_open_destroy(void *open)
{
    struct eng_num_open *o = open;

    if (o == NULL)
        return;
    eng_fwd_fini(&o->fwd);
    o->eng->mem->release(o->eng->mem, o);
}

static int add_value(void *arg, const struct sx_value *v)
{
    struct eng_num_open *o = arg;
    int64_t key;

    return eng_num_key(o->schema->type, v, &key) ? eng_fwd_push(&o->fwd, &key) : 0;
}

int eng_num_open_add(void *open, uint32_t offset, struct sx_doc payload)
{
    struct eng_num_open *o = open;
    int rc = sx_path_each(&o->schema->path, payload, add_value, o);
    uint32_t n = o->fwd.pending;

    if (rc != 0)
        return rc;
    if (n > 1)
        o->fwd.pending = eng_num_distinct(eng_fwd_pending(&o->fwd), n);
    rc = eng_fwd_row(&o->fwd, offset);
    return rc != 0 ? rc : n != 0;
}

void eng_num_open_cut(void *open, uint32_t offset)
{
    struct eng_num_open *o = open;

    eng_fwd_cut(&o->fwd, offset);
}

uint64_t eng_num_open_bytes(const void *open)
{
    const struct eng_num_open *o = open;

    return sizeof(*o) + eng_fwd_bytes(&o->fwd);
}

int eng_num_open_is_full(const void *open)
{
    const struct eng_num_open *o = open;

    return atomic_load_explicit(&o->fwd.n, memory_order_relaxed) >= OPEN_ENTRIES;
}

/* --- scanning ---------------------------------------------------------------------------- */

/* The words after the last full one are filled one by one, for what lies behind them may be written
 * meanwhile. */
void eng_num_scan(
    eng_scan_fn scan, const int64_t *v, uint32_t n, int64_t lo, int64_t hi, uint64_t *w)
{
    uint64_t span = (uint64_t)hi - (uint64_t)lo, bits = 0;
    uint32_t full = n & ~63u;

    scan(v, n / 64, lo, hi, w);
    for (uint32_t i = full; i < n; i++)
        bits |= (uint64_t)((uint64_t)v[i] - (uint64_t)lo <= span) << (i & 63);
    if (full < n)
        w[n / 64] = bits;
}

static uint32_t words_of(uint32_t n)
{
    return (n + 63) / 64;
}

/* The most entries of one piece. */
static uint32_t piece(const struct eng_fwd_view *v, uint32_t i)
{
    uint32_t n = v->to - i;

    return n < SCAN_WORDS * 64 ? n : SCAN_WORDS * 64;
}

/* Few operands: one scan each. */
#define SET_SCANS 4u

/* Many: a hash table of their numbers while it fits 8 KiB of the first cache, else halving. */
#define SET_SLOTS 4096u
struct set {
    const int64_t *v;
    uint32_t n, is_hashed;
    uint16_t slot[SET_SLOTS]; /* number + 1, 0 = free */
};

static uint32_t slot_of(int64_t v)
{
    return (uint32_t)(((uint64_t)v * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
}

static void set_init(struct set *s, const struct eng_prep_ints *ints)
{
    s->v = ints->ints;
    s->n = ints->n;
    s->is_hashed = ints->n <= SET_SLOTS / 2;
    if (!s->is_hashed)
        return;
    memset(s->slot, 0, sizeof(s->slot));
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t h = slot_of(s->v[i]);

        while (s->slot[h] != 0)
            h = (h + 1) % SET_SLOTS;
        s->slot[h] = (uint16_t)(i + 1);
    }
}

/* Which operand v is, or UINT32_MAX. */
static uint32_t set_find(const struct set *s, int64_t v)
{
    uint32_t lo = 0, n = s->n;

    if (s->is_hashed) {
        for (uint32_t h = slot_of(v); s->slot[h] != 0; h = (h + 1) % SET_SLOTS) {
            if (s->v[s->slot[h] - 1] == v)
                return s->slot[h] - 1u;
        }
        return UINT32_MAX;
    }
    while (n > 0) {
        uint32_t half = n / 2;

        if (s->v[lo + half] < v) {
            lo += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return lo < s->n && s->v[lo] == v ? lo : UINT32_MAX;
}

static void set_words(const struct set *s, const int64_t *v, uint32_t n, uint64_t *w)
{
    memset(w, 0, words_of(n) * sizeof(*w));
    for (uint32_t i = 0; i < n; i++)
        w[i / 64] |= (uint64_t)(set_find(s, v[i]) != UINT32_MAX) << (i & 63);
}

static void few_words(
    eng_scan_fn scan, const struct eng_prep_ints *ints, const int64_t *v, uint32_t n, uint64_t *w)
{
    uint64_t one[SCAN_WORDS];

    memset(w, 0, words_of(n) * sizeof(*w));
    for (uint32_t k = 0; k < ints->n; k++) {
        eng_num_scan(scan, v, n, ints->ints[k], ints->ints[k], one);
        for (uint32_t j = 0; j < words_of(n); j++)
            w[j] |= one[j];
    }
}

static void
emit(const struct eng_fwd_view *v, uint32_t i, uint32_t n, const uint64_t *w, struct eng_bits *out)
{
    for (uint32_t j = 0; j < words_of(n); j++)
        eng_fwd_emit(v, i + j * 64, w[j], out);
}

static void mask_ints(const struct eng_num_open *o,
                      const struct eng_fwd_view *v,
                      const struct eng_prep_ints *ints,
                      int is_except,
                      struct eng_bits *yes)
{
    const int64_t *val = v->val;
    uint64_t w[SCAN_WORDS];
    struct set set;

    if (ints->n > SET_SCANS)
        set_init(&set, ints);
    for (uint32_t i = v->from, n; i < v->to; i += n) {
        n = piece(v, i);
        if (ints->n > SET_SCANS)
            set_words(&set, val + i, n, w);
        else
            few_words(o->scan, ints, val + i, n, w);
        for (uint32_t j = 0; is_except && j < words_of(n); j++)
            w[j] = ~w[j];
        if (is_except && n % 64 != 0)
            w[n / 64] &= (UINT64_C(1) << n % 64) - 1;
        emit(v, i, n, w, yes);
    }
}

void eng_num_open_mask(const void *open,
                       const struct eng_leaf *leaf,
                       uint32_t lo,
                       uint32_t hi,
                       struct eng_bits *yes,
                       struct eng_bits *maybe SX_UNUSED)
{
    const struct eng_num_open *o = open;
    const struct eng_prep_ints *ints;
    struct eng_fwd_view v;
    uint64_t w[SCAN_WORDS];
    int64_t from, to;
    int is_except;

    eng_fwd_read(&o->fwd, lo, hi, &v);
    ints = eng_num_ints(leaf, &is_except);
    if (ints != NULL) {
        mask_ints(o, &v, ints, is_except, yes);
        return;
    }
    if (!eng_num_range(o->schema->type, leaf->prep, &from, &to))
        return;
    for (uint32_t i = v.from, n; i < v.to; i += n) {
        n = piece(&v, i);
        eng_num_scan(o->scan, (const int64_t *)v.val + i, n, from, to, w);
        emit(&v, i, n, w, yes);
    }
}

/* --- counting ---------------------------------------------------------------------------- */

static uint64_t
count_range(const struct eng_num_open *o, const struct eng_fwd_view *v, int64_t lo, int64_t hi)
{
    uint64_t w[SCAN_WORDS], n_hits = 0;

    for (uint32_t i = v->from, n; i < v->to; i += n) {
        n = piece(v, i);
        eng_num_scan(o->scan, (const int64_t *)v->val + i, n, lo, hi, w);
        for (uint32_t j = 0; j < words_of(n); j++)
            n_hits += (uint32_t)__builtin_popcountll(w[j]);
    }
    return n_hits;
}

/* A row has each value once: entries of a value are its points. */
static void tally_ints(const struct eng_num_open *o,
                       const struct eng_fwd_view *v,
                       const struct eng_prep_ints *ints,
                       struct eng_tally *out)
{
    const int64_t *val = v->val;
    struct set set;

    if (ints->n <= SET_SCANS) {
        for (uint32_t k = 0; k < ints->n && k < out->n; k++)
            out->len[k] += count_range(o, v, ints->ints[k], ints->ints[k]);
        return;
    }
    set_init(&set, ints);
    for (uint32_t i = v->from; i < v->to; i++) {
        uint32_t k = set_find(&set, val[i]);

        if (k < out->n)
            out->len[k]++;
    }
}

void eng_num_open_tally(const struct eng_num_open *o,
                        uint32_t hi,
                        const struct eng_leaf *leaf,
                        struct eng_tally *out)
{
    const struct eng_prep_ints *ints = NULL;
    struct eng_fwd_view v;
    uint64_t points, entries, hits;
    int64_t from, to;
    int is_except;

    eng_fwd_read(&o->fwd, 0, hi, &v);
    entries = v.to - v.from;
    points = eng_fwd_points(&v);
    out->values += entries;
    out->distinct += entries;
    if (leaf == NULL)
        return;
    ints = eng_num_ints(leaf, &is_except);
    if (ints != NULL) {
        tally_ints(o, &v, ints, out);
    } else if (leaf->kind == ENG_LEAF_RANGE &&
               eng_num_range(o->schema->type, leaf->prep, &from, &to)) {
        hits = count_range(o, &v, from, to);
        out->hi += hits < points ? hits : points;
        out->lo += hits > entries - points ? hits - (entries - points) : 0;
    }
}
