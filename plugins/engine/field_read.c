/* What filters ask of an index: rows by condition, points with a value, what is not covered.
 *
 * All of it walks the parts that meet the rows asked for. What lies between parts, and parts that
 * turned out to be damaged, go into the third answer: look at the document.
 *
 * Thread: any, in an epoch. Nothing here fails: where memory is short a kind answers "maybe". */
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

uint32_t eng_field_first(const struct field_list *l, uint32_t chunk)
{
    uint64_t base = (uint64_t)chunk << SX_CHUNK_SHIFT;
    uint32_t lo = 0, hi = l->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (l->at[mid].hi <= base)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* --- masks ------------------------------------------------------------------------------- */

int eng_field_answers(const struct eng_field_schema *s, const struct eng_leaf *leaf)
{
    const struct eng_part_ops *ops = eng_part_ops_of(s->type);

    if (leaf->mode == ENG_LEAF_PLAIN || ops == NULL)
        return 0;
    if (leaf->kind == ENG_LEAF_IS_EMPTY || leaf->kind == ENG_LEAF_IS_NULL)
        return 1;
    return ops->answers(s, leaf);
}

/* Which presence a leaf asks for; 0: none. Negation is plain, but for a nested index: there it is
 * something that some element is not. */
static uint32_t
presence_asked(const struct eng_field_schema *s, const struct eng_leaf *leaf, int *negated)
{
    int is_false = leaf->form == SX_TRI_FALSE, is_nested = s->nested_steps != 0;

    *negated = is_false && !is_nested;
    if (leaf->kind == ENG_LEAF_IS_NULL)
        return is_false && is_nested ? PRESENT_CLEAR : PRESENT_NULL;
    if (leaf->kind == ENG_LEAF_IS_EMPTY)
        return is_false && is_nested ? PRESENT_FULL : PRESENT_EMPTY;
    return 0;
}

static void presence_or(
    const struct field_part *p, uint32_t flag, uint32_t lo, uint32_t hi, struct eng_bits *out)
{
    if (p->open != NULL)
        eng_presence_bits(&p->presence, flag, lo, hi, out);
    else
        eng_set_or(eng_presence_set(field_presence(p), flag), out);
}

static void presence_mask(const struct field_part *p,
                          uint32_t flag,
                          int negated,
                          uint32_t lo,
                          uint32_t hi,
                          struct eng_bits *yes)
{
    struct eng_bits have = {{0}}, all = {{0}};

    if (!negated) {
        presence_or(p, flag, lo, hi, yes);
        return;
    }
    presence_or(p, flag, lo, hi, &have);
    eng_bits_range(&all, lo, hi);
    for (uint32_t i = lo >> 6; i << 6 < hi; i++)
        yes->w[i] |= all.w[i] & ~have.w[i];
}

static void part_mask(const struct eng_field *f,
                      const struct field_part *p,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe)
{
    int negated;
    uint32_t flag = presence_asked(f->schema, leaf, &negated);

    if (flag != 0)
        presence_mask(p, flag, negated, lo, hi, yes);
    else if (p->open != NULL)
        f->ops->open_mask(p->open, leaf, lo, hi, yes, maybe);
    else
        f->ops->mask(f->schema, field_kind(p), leaf, yes, maybe);
}

void eng_field_mask(const struct eng_field *f,
                    const struct eng_leaf *leaf,
                    uint32_t chunk,
                    uint32_t fill,
                    struct eng_bits *yes,
                    struct eng_bits *maybe)
{
    const struct field_list *l = eng_field_list(f);
    uint32_t at = 0, lo, hi;
    int beyond = 0;

    if (!eng_field_answers(f->schema, leaf)) {
        eng_bits_range(maybe, 0, fill);
        return;
    }
    if (leaf->mode == ENG_LEAF_COVERED)
        yes = maybe;
    for (uint32_t i = eng_field_first(l, chunk); i < l->n; i++) {
        struct field_part *p = l->at[i].part;

        if (!field_meets(&l->at[i], chunk, fill, &lo, &hi))
            break;
        eng_bits_range(maybe, at, lo);
        at = hi;
        if (!eng_field_part_good(f, p)) {
            eng_bits_range(maybe, lo, hi);
            continue;
        }
        part_mask(f, p, leaf, lo, hi, yes, maybe);
        /* A sealed part answers for all of its rows, also for those newer than the view. */
        beyond |= p->open == NULL && (uint64_t)chunk * SX_CHUNK_ROWS + fill < p->hi;
    }
    eng_bits_range(maybe, at, fill);
    if (beyond) {
        eng_bits_clip(yes, 0, fill);
        eng_bits_clip(maybe, 0, fill);
    }
}

/* --- points with a value ----------------------------------------------------------------- */

uint32_t eng_field_points(const struct eng_field *f,
                          uint32_t chunk,
                          uint32_t fill,
                          const struct eng_bits *bits,
                          struct eng_bits *rest)
{
    const struct field_list *l = eng_field_list(f);
    struct eng_bits left = *bits;
    uint32_t n = 0, lo, hi;

    eng_bits_clip(&left, 0, fill);
    for (uint32_t i = eng_field_first(l, chunk); i < l->n; i++) {
        struct field_part *p = l->at[i].part;
        struct eng_bits have = {{0}}, range = {{0}};

        if (!field_meets(&l->at[i], chunk, fill, &lo, &hi))
            break;
        if (!eng_field_part_good(f, p))
            continue;
        presence_or(p, PRESENT_VALUE, lo, hi, &have);
        eng_bits_range(&range, lo, hi);
        for (uint32_t w = lo >> 6; w << 6 < hi; w++) {
            n += eng_popcount(left.w[w] & range.w[w] & have.w[w]);
            left.w[w] &= ~range.w[w];
        }
    }
    for (uint32_t w = 0; rest != NULL && w < ENG_BITS_WORDS; w++)
        rest->w[w] |= left.w[w];
    return n;
}

/* --- what is covered --------------------------------------------------------------------- */

uint32_t eng_field_covered(const struct eng_field *f, struct eng_fills rows)
{
    const struct field_list *l = eng_field_list(f);
    uint32_t n = 0, lo, hi;

    for (uint32_t i = 0; i < l->n; i++) {
        const struct field_ref *r = &l->at[i];
        uint32_t chunk = r->lo >> SX_CHUNK_SHIFT;

        if (chunk < rows.n && field_meets(r, chunk, rows.fill[chunk], &lo, &hi) &&
            atomic_load_explicit(&r->part->state, memory_order_relaxed) != PART_DAMAGED)
            n += hi - lo;
    }
    return n;
}

int eng_field_gap_next(struct field_gaps *g, uint32_t *lo, uint32_t *hi)
{
    const struct field_list *l = g->list;

    while (g->at >> SX_CHUNK_SHIFT < g->rows.n) {
        uint64_t chunk = g->at >> SX_CHUNK_SHIFT;
        uint64_t end = (chunk << SX_CHUNK_SHIFT) + g->rows.fill[chunk];

        if (g->at >= end) {
            g->at = (chunk + 1) << SX_CHUNK_SHIFT;
            continue;
        }
        while (g->i < l->n && (l->at[g->i].hi <= g->at ||
                               (g->f != NULL && !eng_field_part_good(g->f, l->at[g->i].part))))
            g->i++;
        if (g->i < l->n && l->at[g->i].lo <= g->at) {
            g->at = l->at[g->i++].hi;
            continue;
        }
        *lo = (uint32_t)g->at;
        *hi = (uint32_t)(g->i < l->n && l->at[g->i].lo < end ? l->at[g->i].lo : end);
        g->at = *hi;
        return 1;
    }
    return 0;
}

int eng_field_gap(
    const struct eng_field *f, struct eng_fills rows, uint32_t i, uint32_t *lo, uint32_t *hi)
{
    struct field_gaps g = {f, eng_field_list(f), rows, 0, 0, 0};

    do {
        if (!eng_field_gap_next(&g, lo, hi))
            return 0;
    } while (i-- != 0);
    return 1;
}
