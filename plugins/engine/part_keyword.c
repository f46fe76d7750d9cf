/* The kind "keyword": strings compared by bytes. Answers match value, any, except with strings,
 * prefix and substring, all of them fully: also under a nested index, where each of them means the
 * same of the whole point. */
#include "part_keyword.h"

#include <string.h>

#include "sextant/sx_ban.h"

/* --- what a leaf wants ------------------------------------------------------------------- */

int kw_cmp(struct sx_str a, struct sx_str b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int rc = n != 0 ? memcmp(a.p, b.p, n) : 0;

    return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

int kw_want_of(const struct eng_leaf *leaf, int is_uuid, struct kw_want *w)
{
    const struct eng_prep_strings *prep = leaf->prep;

    memset(w, 0, sizeof(*w));
    if (leaf->kind != ENG_LEAF_MATCH || leaf->cond == NULL)
        return 0;
    w->match = leaf->cond->match.kind;
    switch (w->match) {
    case SX_MATCH_ANY_STR:
    case SX_MATCH_EXCEPT_STR:
        if (leaf->cond->match.n == 0)
            return 1; /* nothing; or anything that is indexed */
        break;
    case SX_MATCH_STR:
        break;
    case SX_MATCH_PREFIX:
    case SX_MATCH_SUBSTRING:
        if (is_uuid)
            return 0; /* of the text, which a uuid index does not have */
        break;
    default:
        return 0;
    }
    if (prep == NULL || (is_uuid && prep->uuids == NULL))
        return 0;
    w->n = is_uuid ? prep->n_uuids : prep->n;
    w->strs = is_uuid ? NULL : prep->strs;
    w->uuids = is_uuid ? prep->uuids : NULL;
    return w->n != 0;
}

struct sx_str kw_want_str(const struct kw_want *w, uint32_t i, char buf[16])
{
    if (w->strs != NULL)
        return w->strs[i];
    for (uint32_t k = 0; k < 8; k++) {
        buf[k] = (char)(w->uuids[i].hi >> (56 - 8 * k));
        buf[8 + k] = (char)(w->uuids[i].lo >> (56 - 8 * k));
    }
    return (struct sx_str){buf, 16, 0};
}

int kw_want_fits(const struct kw_want *w, struct sx_str v)
{
    struct sx_str s = w->strs[0];

    if (s.n == 0)
        return 1;
    if (s.n > v.n)
        return 0;
    if (w->match == SX_MATCH_PREFIX)
        return memcmp(v.p, s.p, s.n) == 0;
    return memmem(v.p, v.n, s.p, s.n) != NULL;
}

/* --- the kind ---------------------------------------------------------------------------- */

static void *open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    return kw_open_create(conf->eng, &s->path, 0);
}

static void open_mask(const void *open,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe)
{
    struct kw_want w;

    if (kw_want_of(leaf, 0, &w))
        kw_open_mask(open, &w, lo, hi, yes, maybe);
}

static int check(const struct eng_field_schema *s SX_UNUSED, const uint8_t *p, uint64_t n)
{
    return kw_check(p, n);
}

static void mask(const struct eng_field_schema *s SX_UNUSED,
                 const uint8_t *p,
                 const struct eng_leaf *leaf,
                 struct eng_bits *yes,
                 struct eng_bits *maybe SX_UNUSED)
{
    struct kw_want w;

    if (kw_want_of(leaf, 0, &w))
        kw_sealed_mask(p, &w, yes);
}

static void tally(const struct eng_field_schema *s SX_UNUSED,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out)
{
    struct kw_want w;

    if (!kw_want_of(leaf, 0, &w))
        return;
    if (sealed != NULL)
        kw_sealed_tally(sealed, &w, out);
    else
        kw_open_tally(open, &w, open_hi, out);
}

static int add_str(struct eng_facet *k, uint32_t code SX_UNUSED, struct sx_str v, uint32_t n)
{
    return eng_facet_add_str(k, v, n);
}

static int add_code(struct eng_facet *k, uint32_t code, struct sx_str v, uint32_t n)
{
    return eng_facet_add_code(k, code, v, n);
}

static int facet(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits)
{
    if (sealed == NULL)
        return kw_open_facet(open, k, open_hi, bits, add_str);
    eng_facet_codes(k, ((const struct kw_head *)(const void *)sealed)->n_values);
    return kw_sealed_facet(sealed, k, bits, add_code);
}

static int answers(const struct eng_field_schema *s SX_UNUSED, const struct eng_leaf *leaf)
{
    struct kw_want w;

    return kw_want_of(leaf, 0, &w);
}

const struct eng_part_ops eng_part_keyword = {
    .name = "keyword",
    .open_create = open_create,
    .open_destroy = kw_open_destroy,
    .open_add = kw_open_add,
    .open_cut = kw_open_cut,
    .open_commit = kw_open_commit,
    .open_mask = open_mask,
    .open_bytes = kw_open_bytes,
    .open_is_full = kw_open_is_full,
    .seal = kw_open_seal,
    .check = check,
    .mask = mask,
    .tally = tally,
    .facet = facet,
    .answers = answers,
};
