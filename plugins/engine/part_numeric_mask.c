/* Conditions and counts on the sealed form of numbers. */
#include "part_numeric.h"

#include "sextant/sx_ban.h"

/* The entries of a slice are set one by one while there are fewer of them than a twelfth of the
 * codes; from there on comparing every code costs less. */
#define SCAN_SHARE 12u

const struct eng_prep_ints *eng_num_ints(const struct eng_leaf *leaf, int *is_except)
{
    uint32_t kind = leaf->kind == ENG_LEAF_MATCH ? leaf->cond->match.kind : SX_MATCH_NONE;

    *is_except = kind == SX_MATCH_EXCEPT_INT;
    if (kind != SX_MATCH_INT && kind != SX_MATCH_ANY_INT && kind != SX_MATCH_EXCEPT_INT)
        return NULL;
    return leaf->prep;
}

int eng_num_answers_range(const struct eng_field_schema *s, const struct eng_leaf *leaf)
{
    return leaf->kind == ENG_LEAF_RANGE && leaf->mode != ENG_LEAF_PLAIN &&
           (s->flags & ENG_FIELD_RANGE) != 0;
}

/* --- searching --------------------------------------------------------------------------- */

/* Doubling steps from `from`, then halving: lists of operands are ascending. */
uint32_t eng_num_lower(const struct eng_num_part *t, uint32_t from, int64_t key)
{
    uint64_t want, round = (UINT64_C(1) << t->shift) - 1;
    uint32_t lo = from, hi, step = 1;

    if (key <= t->base)
        return from;
    /* The least packed value that is not below the key. */
    want = (uint64_t)key - (uint64_t)t->base;
    want = (want >> t->shift) + ((want & round) != 0);
    while (step < t->distinct - lo && eng_num_packed(t, lo + step) < want) {
        lo += step;
        step *= 2;
    }
    hi = step < t->distinct - lo ? lo + step : t->distinct;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (eng_num_packed(t, mid) < want)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* First code above the key. */
static uint32_t upper(const struct eng_num_part *t, uint32_t from, int64_t key)
{
    return key == INT64_MAX ? t->distinct : eng_num_lower(t, from, key + 1);
}

/* --- setting rows ------------------------------------------------------------------------ */

/* A hole is no code, except where all 65 536 are in use: there are no holes then. */
static void
scan_codes(const struct eng_num_part *t, uint32_t first, uint32_t last, struct eng_bits *yes)
{
    const uint16_t *code = t->code;
    uint64_t *w = yes->w + t->code_from / 64;

    for (uint32_t i = 0; i < t->codes; i += 64)
        w[i / 64] |= eng_scan_u16(code + i, first, last);
}

/* Rows of the values [from, to). With several values a row, codes do not lie where their rows'
 * bits are, and scanning them gains nothing. */
static void
set_slice(const struct eng_num_part *t, uint32_t from, uint32_t to, struct eng_bits *yes)
{
    uint32_t i, end;

    if (from >= to)
        return;
    i = eng_num_start_of(t, from);
    end = eng_num_start_of(t, to);
    if (t->form == ENG_NUM_BY_ROW && end - i > t->codes / SCAN_SHARE) {
        scan_codes(t, from, to - 1, yes);
        return;
    }
    for (; i < end; i++)
        eng_bits_set(yes, t->rows[i]);
}

/* The rows of no other part are in this one: what we have set we may clear. */
static void clear_slice(const struct eng_num_part *t, uint32_t code, struct eng_bits *yes)
{
    uint32_t end = eng_num_start_of(t, code + 1);

    for (uint32_t i = eng_num_start_of(t, code); i < end; i++)
        yes->w[t->rows[i] / 64] &= ~(UINT64_C(1) << (t->rows[i] & 63));
}

static void
set_any(const struct eng_num_part *t, const struct eng_prep_ints *ints, struct eng_bits *yes)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < ints->n && at < t->distinct; i++) {
        at = eng_num_lower(t, at, ints->ints[i]);
        if (at < t->distinct && eng_num_key_of(t, at) == ints->ints[i])
            set_slice(t, at, at + 1, yes);
    }
}

/* All rows with a value, but those whose only one is listed; with several values a row, the slices
 * between those listed. */
static void
set_except(const struct eng_num_part *t, const struct eng_prep_ints *ints, struct eng_bits *yes)
{
    uint32_t at = 0;

    if (t->form == ENG_NUM_BY_ROW)
        set_slice(t, 0, t->distinct, yes);
    for (uint32_t i = 0; i < ints->n && at < t->distinct; i++) {
        uint32_t code = eng_num_lower(t, at, ints->ints[i]);
        uint32_t is_hit = code < t->distinct && eng_num_key_of(t, code) == ints->ints[i];

        if (t->form != ENG_NUM_BY_ROW)
            set_slice(t, at, code, yes);
        else if (is_hit)
            clear_slice(t, code, yes);
        at = code + is_hit;
    }
    if (t->form != ENG_NUM_BY_ROW)
        set_slice(t, at, t->distinct, yes);
}

void eng_num_mask(const struct eng_field_schema *s,
                  const uint8_t *p,
                  const struct eng_leaf *leaf,
                  struct eng_bits *yes,
                  struct eng_bits *maybe SX_UNUSED)
{
    const struct eng_prep_ints *ints;
    struct eng_num_part t;
    int64_t lo, hi;
    int is_except;

    eng_num_part_of(p, &t);
    if (t.distinct == 0)
        return;
    ints = eng_num_ints(leaf, &is_except);
    if (ints != NULL && is_except)
        set_except(&t, ints, yes);
    else if (ints != NULL)
        set_any(&t, ints, yes);
    else if (eng_num_range(s->type, leaf->prep, &lo, &hi))
        set_slice(&t, eng_num_lower(&t, 0, lo), upper(&t, 0, hi), yes);
}

/* --- counting ---------------------------------------------------------------------------- */

/* Rows among n entries of different values: a row has at most `most` of them, and no more than
 * entries - points are second or later ones. */
static uint64_t surely(const struct eng_num_part *t, uint32_t n)
{
    uint32_t extra = t->entries - t->points, most = t->most != 0 ? t->most : 1;
    uint32_t a = n > extra ? n - extra : 0, b = n / most + (n % most != 0);

    return a > b ? a : b;
}

static void tally_sealed(const struct eng_field_schema *s,
                         const uint8_t *p,
                         const struct eng_leaf *leaf,
                         struct eng_tally *out)
{
    const struct eng_prep_ints *ints;
    struct eng_num_part t;
    int64_t lo, hi;
    uint32_t at = 0, n;
    int is_except;

    eng_num_part_of(p, &t);
    out->values += t.entries;
    out->distinct += t.distinct;
    if (leaf == NULL || t.distinct == 0)
        return;
    ints = eng_num_ints(leaf, &is_except);
    for (uint32_t i = 0; ints != NULL && i < ints->n && i < out->n && at < t.distinct; i++) {
        at = eng_num_lower(&t, at, ints->ints[i]);
        if (at < t.distinct && eng_num_key_of(&t, at) == ints->ints[i])
            out->len[i] += eng_num_start_of(&t, at + 1) - eng_num_start_of(&t, at);
    }
    if (leaf->kind != ENG_LEAF_RANGE || !eng_num_range(s->type, leaf->prep, &lo, &hi))
        return;
    n = eng_num_start_of(&t, upper(&t, 0, hi)) - eng_num_start_of(&t, eng_num_lower(&t, 0, lo));
    out->hi += n < t.points ? n : t.points;
    out->lo += surely(&t, n);
}

void eng_num_tally(const struct eng_field_schema *s,
                   const uint8_t *sealed,
                   const void *open,
                   uint32_t open_hi,
                   const struct eng_leaf *leaf,
                   struct eng_tally *out)
{
    if (sealed != NULL)
        tally_sealed(s, sealed, leaf, out);
    else
        eng_num_open_tally(open, open_hi, leaf, out);
}
