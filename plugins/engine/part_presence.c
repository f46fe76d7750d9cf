/* Presence of a field, row by row, and sets of rows.
 *
 * is_empty and is_null look at presence alone, whatever type the index has; so it is kept beside
 * every part, by the framework. An open part has a byte of flags per row. A sealed one has a set
 * for each flag: for the usual field, which every point has or hardly any, 16 bytes each.
 *
 * A nested index looks at the elements of an array: then "empty" means that some element lacks the
 * field and "full" that some element has it, "null" that some has a null there and "clear" that
 * some has none; both, either or neither of a pair may hold of one point.
 *
 * Threads: see field_part.h; the functions on sets and bits are pure. */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "field_priv.h"

#include "sextant/sx_ban.h"

#define SET_MAX_LIST 4096u /* longer than that and a bitmap is shorter */

enum { SET_LIST = 0, SET_ALL_BUT = 1, SET_BITS = 2 };

/* --- bits -------------------------------------------------------------------------------- */

void eng_bits_range(struct eng_bits *b, uint32_t lo, uint32_t hi)
{
    uint32_t from = lo >> 6, to = hi >> 6;
    uint64_t head = ~UINT64_C(0) << (lo & 63), tail = (UINT64_C(1) << (hi & 63)) - 1;

    if (lo >= hi)
        return;
    if (from == to) {
        b->w[from] |= head & tail;
        return;
    }
    b->w[from] |= head;
    memset(&b->w[from + 1], 0xff, (to - from - 1) * sizeof(b->w[0]));
    if (tail != 0)
        b->w[to] |= tail;
}

void eng_bits_clip(struct eng_bits *b, uint32_t lo, uint32_t hi)
{
    uint32_t from = lo >> 6, to = hi >> 6;

    if (lo >= hi) {
        memset(b, 0, sizeof(*b));
        return;
    }
    memset(b->w, 0, from * sizeof(b->w[0]));
    b->w[from] &= ~UINT64_C(0) << (lo & 63);
    if (to < ENG_BITS_WORDS) {
        b->w[to] &= (UINT64_C(1) << (hi & 63)) - 1;
        memset(&b->w[to + 1], 0, (ENG_BITS_WORDS - to - 1) * sizeof(b->w[0]));
    }
}

/* Bits of 8 words: sums of three words at a time as two, so that most of the work is shared. */
static inline void add3(uint64_t *twos, uint64_t *ones, uint64_t a, uint64_t b)
{
    uint64_t either = a ^ b;

    *twos = (a & b) | (either & *ones);
    *ones ^= either;
}

static uint32_t count_words(const uint64_t *w, uint32_t n)
{
    uint64_t ones = 0, twos = 0, fours = 0, two_a, two_b, four_a, four_b, eights;
    uint32_t sum = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        add3(&two_a, &ones, w[i], w[i + 1]);
        add3(&two_b, &ones, w[i + 2], w[i + 3]);
        add3(&four_a, &twos, two_a, two_b);
        add3(&two_a, &ones, w[i + 4], w[i + 5]);
        add3(&two_b, &ones, w[i + 6], w[i + 7]);
        add3(&four_b, &twos, two_a, two_b);
        add3(&eights, &fours, four_a, four_b);
        sum += 8 * eng_popcount(eights);
    }
    sum += 4 * eng_popcount(fours) + 2 * eng_popcount(twos) + eng_popcount(ones);
    for (; i < n; i++)
        sum += eng_popcount(w[i]);
    return sum;
}

uint32_t eng_bits_count(const struct eng_bits *b, uint32_t lo, uint32_t hi)
{
    uint32_t from = lo >> 6, to = hi >> 6, n;
    uint64_t head = ~UINT64_C(0) << (lo & 63), tail = (UINT64_C(1) << (hi & 63)) - 1;

    if (lo >= hi)
        return 0;
    if (from == to)
        return eng_popcount(b->w[from] & head & tail);
    n = eng_popcount(b->w[from] & head) + count_words(b->w + from + 1, to - from - 1);
    return n + (tail != 0 ? eng_popcount(b->w[to] & tail) : 0);
}

/* --- sets -------------------------------------------------------------------------------- */

static const uint16_t *set_list(const uint8_t *p)
{
    return (const uint16_t *)(const void *)(p + sizeof(struct eng_set));
}

static const uint64_t *set_bits(const uint8_t *p)
{
    return (const uint64_t *)(const void *)(p + sizeof(struct eng_set));
}

static void put_list(struct sx_buf *out, const struct eng_bits *bits, uint32_t n)
{
    uint16_t *to = (uint16_t *)(void *)sx_buf_reserve(out, ((uint64_t)n * 2 + 7) & ~UINT64_C(7));
    uint32_t i = 0;

    if (to == NULL)
        return;
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        for (uint64_t x = bits->w[w]; x != 0; x &= x - 1)
            to[i++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(x));
    }
    for (; i % 4 != 0; i++)
        to[i] = 0;
    out->n += (uint64_t)i * 2;
}

void eng_set_put(struct sx_buf *out, const struct eng_bits *bits, uint32_t lo, uint32_t hi)
{
    struct eng_set s = {SET_LIST, 0, lo, hi};
    struct eng_bits b = *bits;
    uint32_t rest;

    eng_bits_clip(&b, lo, hi);
    s.n = eng_bits_count(&b, lo, hi);
    rest = hi - lo - s.n;
    if (rest < s.n && rest <= SET_MAX_LIST) {
        struct eng_bits all = {{0}};

        eng_bits_range(&all, lo, hi);
        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            b.w[i] = all.w[i] & ~b.w[i];
        s.kind = SET_ALL_BUT;
        s.n = rest;
    } else if (s.n > SET_MAX_LIST) {
        s.kind = SET_BITS;
    }
    sx_buf_add(out, &s, sizeof(s));
    if (s.kind == SET_BITS)
        sx_buf_add(out, &b, sizeof(b));
    else
        put_list(out, &b, s.n);
}

static int list_ok(const uint8_t *p, const struct eng_set *s)
{
    const uint16_t *list = set_list(p);

    for (uint32_t i = 0; i < s->n; i++) {
        if (list[i] < s->lo || list[i] >= s->hi || (i != 0 && list[i] <= list[i - 1]))
            return 0;
    }
    return 1;
}

static int bits_ok(const uint8_t *p, const struct eng_set *s)
{
    const uint64_t *w = set_bits(p);
    struct eng_bits b;

    memcpy(&b, w, sizeof(b));
    eng_bits_clip(&b, s->lo, s->hi);
    return memcmp(&b, w, sizeof(b)) == 0 && eng_bits_count(&b, s->lo, s->hi) == s->n;
}

uint64_t eng_set_check(const uint8_t *p, uint64_t n)
{
    struct eng_set s;
    uint64_t bytes;

    if (n < sizeof(s))
        return 0;
    memcpy(&s, p, sizeof(s));
    if (s.kind > SET_BITS || s.lo > s.hi || s.hi > SX_CHUNK_ROWS || s.n > s.hi - s.lo)
        return 0;
    if (s.kind == SET_BITS)
        bytes = sizeof(s) + sizeof(struct eng_bits);
    else
        bytes = sizeof(s) + (((uint64_t)s.n * 2 + 7) & ~UINT64_C(7));
    if (n < bytes || !(s.kind == SET_BITS ? bits_ok(p, &s) : list_ok(p, &s)))
        return 0;
    return bytes;
}

void eng_set_or(const uint8_t *p, struct eng_bits *out)
{
    const struct eng_set *s = (const struct eng_set *)(const void *)p;

    if (s->kind == SET_BITS) {
        const uint64_t *w = set_bits(p);

        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            out->w[i] |= w[i];
    } else if (s->kind == SET_LIST) {
        for (uint32_t i = 0; i < s->n; i++)
            eng_bits_set(out, set_list(p)[i]);
    } else {
        const uint16_t *gone = set_list(p);
        uint32_t at = s->lo;

        for (uint32_t i = 0; i < s->n; i++) {
            eng_bits_range(out, at, gone[i]);
            at = gone[i] + 1u;
        }
        eng_bits_range(out, at, s->hi);
    }
}

uint32_t eng_set_count(const uint8_t *p)
{
    const struct eng_set *s = (const struct eng_set *)(const void *)p;

    return s->kind == SET_ALL_BUT ? s->hi - s->lo - s->n : s->n;
}

uint32_t eng_set_count_in(const uint8_t *p, const struct eng_bits *bits)
{
    const struct eng_set *s = (const struct eng_set *)(const void *)p;
    uint32_t n = 0;

    if (s->kind == SET_BITS) {
        for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
            n += eng_popcount(set_bits(p)[i] & bits->w[i]);
        return n;
    }
    for (uint32_t i = 0; i < s->n; i++)
        n += (uint32_t)eng_bits_get(bits, set_list(p)[i]);
    return s->kind == SET_ALL_BUT ? eng_bits_count(bits, s->lo, s->hi) - n : n;
}

/* --- what a document says ---------------------------------------------------------------- */

/* One value that the path leads to: arrays are not crossed, but looked into for nulls. */
static int see_value(void *arg, const struct sx_value *v)
{
    uint32_t *seen = arg, n;

    switch (v->num.type) {
    case SX_DOC_NULL:
        *seen |= PRESENT_NULL;
        return 0;
    case SX_DOC_ARR:
        n = sx_doc_count(v->doc);
        for (uint32_t i = 0; i < n && (*seen & PRESENT_NULL) == 0; i++) {
            if (sx_doc_type(sx_doc_elem(v->doc, i)) == SX_DOC_NULL)
                *seen |= PRESENT_NULL;
        }
        if (n != 0)
            *seen |= PRESENT_FULL;
        return 0;
    default: /* packed arrays are never empty and hold no null */
        *seen |= PRESENT_FULL;
        return 0;
    }
}

struct see {
    const struct sx_path *rest;
    uint32_t flags, pad;
};

/* One element of the nested array. */
static int see_element(void *arg, const struct sx_value *v)
{
    struct see *s = arg;
    uint32_t seen = 0;

    if (v->num.type != SX_DOC_OBJ)
        return 0;
    (void)eng_path_values(s->rest, v->doc, see_value, &seen);
    s->flags |= seen;
    s->flags |= (seen & PRESENT_FULL) == 0 ? PRESENT_EMPTY : 0;
    s->flags |= (seen & PRESENT_NULL) == 0 ? PRESENT_CLEAR : 0;
    return 0;
}

uint32_t eng_presence_of(const struct eng_field_schema *s, struct sx_doc payload)
{
    uint32_t seen = 0;

    if (s->nested_steps != 0) {
        struct sx_path array = {s->nested_steps, 0, s->path.steps};
        struct sx_path rest = {s->path.n - s->nested_steps, 0, s->path.steps + s->nested_steps};
        struct see e = {&rest, 0, 0};

        (void)eng_path_values(&array, payload, see_element, &e);
        return e.flags;
    }
    (void)eng_path_values(&s->path, payload, see_value, &seen);
    if ((seen & PRESENT_FULL) == 0)
        seen |= PRESENT_EMPTY;
    return seen & ~(uint32_t)PRESENT_FULL; /* plain negation of "empty" */
}

/* --- of an open part --------------------------------------------------------------------- */

void eng_presence_init(struct eng_presence *p, uint32_t first)
{
    memset(p, 0, sizeof(*p));
    p->flags.width = 1;
    p->first = first;
}

void eng_presence_fini(struct eng_presence *p, const struct eng *e)
{
    eng_grow_fini(&p->flags, e);
}

int eng_presence_add(struct eng_presence *p, const struct eng *e, uint32_t offset, uint32_t flags)
{
    uint32_t i = offset - p->first;
    uint8_t *f;

    if (eng_grow_room(&p->flags, e, i + 1) != SX_OK)
        return SX_ENOMEM;
    f = eng_grow_read(&p->flags);
    memset(f + p->n, 0, i - p->n); /* rows left out */
    f[i] = (uint8_t)flags;
    p->n = i + 1;
    return SX_OK;
}

void eng_presence_cut(struct eng_presence *p, uint32_t offset)
{
    uint32_t n = offset > p->first ? offset - p->first : 0;

    if (p->n > n)
        p->n = n;
}

void eng_presence_commit(struct eng_presence *p)
{
    /* pairs with the acquire in eng_presence_bits() */
    atomic_store_explicit(&p->seen, p->n, memory_order_release);
}

/* Bit i: p[i] has the flag. */
static uint64_t flags_word(const uint8_t *p, uint8_t flag)
{
    uint64_t out = 0;
#if defined(__SSE2__)
    __m128i f = _mm_set1_epi8((char)flag);

    for (uint32_t i = 0; i < 4; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        uint32_t m = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(x, f), f));

        out |= (uint64_t)m << (16 * i);
    }
#else
    for (uint32_t i = 0; i < 64; i++)
        out |= (uint64_t)((p[i] & flag) != 0) << i;
#endif
    return out;
}

void eng_presence_bits(
    const struct eng_presence *p, uint32_t flag, uint32_t lo, uint32_t hi, struct eng_bits *out)
{
    /* pairs with the release in eng_presence_commit(); `first` is fixed from the first row on */
    uint32_t n = atomic_load_explicit(&p->seen, memory_order_acquire), at;
    const uint8_t *f = eng_grow_read(&p->flags);

    if (n == 0)
        return;
    if (hi > p->first + n)
        hi = p->first + n;
    if (lo < p->first)
        lo = p->first;
    for (at = lo; at < hi && (at & 63) != 0; at++) {
        if ((f[at - p->first] & flag) != 0)
            eng_bits_set(out, at);
    }
    for (; at + 64 <= hi; at += 64)
        out->w[at >> 6] |= flags_word(f + (at - p->first), (uint8_t)flag);
    for (; at < hi; at++) {
        if ((f[at - p->first] & flag) != 0)
            eng_bits_set(out, at);
    }
}

/* --- of a sealed part -------------------------------------------------------------------- */

/* In front of the sets: where each begins, from here. */
struct sealed {
    uint32_t at[PRESENT_SETS];
    uint32_t pad;
};

static uint32_t set_index(uint32_t flag)
{
    return (uint32_t)__builtin_ctz(flag);
}

void eng_presence_seal(const struct eng_presence *p, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    uint64_t start = out->n;
    struct sealed s = {{0}, 0};

    sx_buf_add(out, &s, sizeof(s));
    for (uint32_t i = 0; i < PRESENT_SETS; i++) {
        struct eng_bits b = {{0}};

        eng_presence_bits(p, 1u << i, lo, hi, &b);
        s.at[i] = (uint32_t)(out->n - start);
        eng_set_put(out, &b, lo, hi);
    }
    if (!out->failed)
        memcpy(out->p + start, &s, sizeof(s));
}

uint64_t eng_presence_check(const uint8_t *p, uint64_t n)
{
    struct sealed s;
    uint64_t at = sizeof(s);

    if (n < sizeof(s))
        return 0;
    memcpy(&s, p, sizeof(s));
    for (uint32_t i = 0; i < PRESENT_SETS; i++) {
        uint64_t bytes = s.pad == 0 && s.at[i] == at ? eng_set_check(p + at, n - at) : 0;

        if (bytes == 0)
            return 0;
        at += bytes;
    }
    return at;
}

const uint8_t *eng_presence_set(const uint8_t *p, uint32_t flag)
{
    return p + ((const struct sealed *)(const void *)p)->at[set_index(flag)];
}
