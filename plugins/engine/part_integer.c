/* Payload index of integers: the numbers' forms (part_numeric.h), with match and facets, which need
 * `lookup`; range and order need `range`. */
#include "part_numeric.h"

#include "sextant/sx_ban.h"

static int answers(const struct eng_field_schema *s, const struct eng_leaf *leaf)
{
    int is_except;

    if (leaf->mode != ENG_LEAF_PLAIN && leaf->kind == ENG_LEAF_MATCH)
        return (s->flags & ENG_FIELD_LOOKUP) != 0 && eng_num_ints(leaf, &is_except) != NULL;
    return eng_num_answers_range(s, leaf);
}

/* --- facets ------------------------------------------------------------------------------ */

static int facet_open(struct eng_facet *k,
                      const struct eng_num_open *o,
                      uint32_t hi,
                      const struct eng_bits *bits)
{
    struct eng_fwd_view v;
    const int64_t *val;
    int rc = 0;

    eng_fwd_read(&o->fwd, 0, hi, &v);
    val = v.val;
    for (uint32_t i = v.from; i < v.to && rc == 0; i++) {
        if (eng_bits_get(bits, eng_fwd_row_of(&v, i)))
            rc = eng_facet_add_int(k, val[i], 1);
    }
    return rc;
}

/* Many rows: the rows of each value are counted, so that a value is added once. */
static int
facet_values(struct eng_facet *k, const struct eng_num_part *t, const struct eng_bits *bits)
{
    uint32_t i = 0, end;
    int rc = 0;

    for (uint32_t code = 0; code < t->distinct && rc == 0; code++) {
        uint64_t n = 0;

        end = eng_num_start_of(t, code + 1);
        for (; i < end; i++)
            n += (uint32_t)eng_bits_get(bits, t->rows[i]);
        if (n != 0)
            rc = eng_facet_add_int(k, eng_num_key_of(t, code), n);
    }
    return rc;
}

static int facet_code(struct eng_facet *k, const struct eng_num_part *t, uint32_t i)
{
    uint32_t code =
        t->code_width == 2 ? ((const uint16_t *)t->code)[i] : ((const uint32_t *)t->code)[i];

    /* A hole is beyond the values; where all 65 536 are in use there is none. */
    return code < t->distinct ? eng_facet_add_int(k, eng_num_key_of(t, code), 1) : 0;
}

/* First code at or above `from` of a row at or above `row`. */
static uint32_t code_of_row(const struct eng_num_part *t, uint32_t from, uint32_t row)
{
    uint32_t hi, step = 1;

    while (step < t->entries - from && t->code_rows[from + step] < row) {
        from += step;
        step *= 2;
    }
    hi = step < t->entries - from ? from + step : t->entries;
    while (from < hi) {
        uint32_t mid = from + (hi - from) / 2;

        if (t->code_rows[mid] < row)
            from = mid + 1;
        else
            hi = mid;
    }
    return from;
}

/* Few rows: the values of each. */
static int
facet_rows(struct eng_facet *k, const struct eng_num_part *t, const struct eng_bits *bits)
{
    uint32_t at = 0;
    int rc = 0;

    for (uint32_t j = t->lo / 64; j * 64 < t->hi && rc == 0; j++) {
        for (uint64_t w = bits->w[j]; w != 0 && rc == 0; w &= w - 1) {
            uint32_t row = j * 64 + (uint32_t)__builtin_ctzll(w);

            if (row < t->lo || row >= t->hi)
                continue;
            if (t->form == ENG_NUM_BY_ROW) {
                rc = facet_code(k, t, row - t->code_from);
                continue;
            }
            at = code_of_row(t, at, row);
            for (; at < t->entries && t->code_rows[at] == row && rc == 0; at++)
                rc = facet_code(k, t, at);
        }
    }
    return rc;
}

static int facet(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits)
{
    struct eng_num_part t;
    uint64_t n = 0;

    if (sealed == NULL)
        return facet_open(k, open, open_hi, bits);
    eng_num_part_of(sealed, &t);
    if (t.distinct == 0)
        return SX_OK;
    for (uint32_t j = t.lo / 64; j * 64 < t.hi; j++)
        n += (uint32_t)__builtin_popcountll(bits->w[j]);
    /* Adding a value costs about twenty times what testing a bit does. */
    return n < t.distinct + t.entries / 20 ? facet_rows(k, &t, bits) : facet_values(k, &t, bits);
}

const struct eng_part_ops eng_part_integer = {
    .name = "integer",
    .open_create = eng_num_open_create,
    .open_destroy = eng_num_open_destroy,
    .open_add = eng_num_open_add,
    .open_cut = eng_num_open_cut,
    .open_mask = eng_num_open_mask,
    .open_bytes = eng_num_open_bytes,
    .open_is_full = eng_num_open_is_full,
    .seal = eng_num_seal,
    .check = eng_num_check,
    .mask = eng_num_mask,
    .tally = eng_num_tally,
    .facet = facet,
    .order = eng_num_order,
    .answers = answers,
};
