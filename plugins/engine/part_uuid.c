/* The kind "uuid": strings that read as a UUID, in any spelling, compared as UUIDs. They are kept
 * as their 16 bytes, most significant first, so that the order of bytes is the order of UUIDs; the
 * rest is what keyword does. A condition whose strings are not all UUIDs compares texts, which are
 * not kept: documents answer it. */
#include "part_keyword.h"

#include "sextant/sx_ban.h"

static void *open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    return kw_open_create(conf->eng, &s->path, 1);
}

static void open_mask(const void *open,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe)
{
    struct kw_want w;

    if (kw_want_of(leaf, 1, &w))
        kw_open_mask(open, &w, lo, hi, yes, maybe);
}

/* Strings of 16 bytes, all of them: facets read them as such. */
static int check(const struct eng_field_schema *s SX_UNUSED, const uint8_t *p, uint64_t n)
{
    struct kw_view v;
    int rc = kw_check(p, n);

    if (rc != SX_OK)
        return rc;
    kw_view_of(p, &v);
    for (uint32_t i = 0; i <= v.h->n_values; i++) {
        if (v.str_at[i] != (uint64_t)16 * i)
            return SX_ECORRUPT;
    }
    return SX_OK;
}

static void mask(const struct eng_field_schema *s SX_UNUSED,
                 const uint8_t *p,
                 const struct eng_leaf *leaf,
                 struct eng_bits *yes,
                 struct eng_bits *maybe SX_UNUSED)
{
    struct kw_want w;

    if (kw_want_of(leaf, 1, &w))
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

    if (!kw_want_of(leaf, 1, &w))
        return;
    if (sealed != NULL)
        kw_sealed_tally(sealed, &w, out);
    else
        kw_open_tally(open, &w, open_hi, out);
}

static int add_uuid(struct eng_facet *k, uint32_t code SX_UNUSED, struct sx_str v, uint32_t n)
{
    struct sx_id id = {0, 0, SX_ID_UUID, 0};

    for (uint32_t i = 0; i < 8; i++) {
        id.hi = id.hi << 8 | (uint8_t)v.p[i];
        id.lo = id.lo << 8 | (uint8_t)v.p[8 + i];
    }
    return eng_facet_add_uuid(k, &id, n);
}

static int facet(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits)
{
    return sealed != NULL ? kw_sealed_facet(sealed, k, bits, add_uuid)
                          : kw_open_facet(open, k, open_hi, bits, add_uuid);
}

static int answers(const struct eng_field_schema *s SX_UNUSED, const struct eng_leaf *leaf)
{
    struct kw_want w;

    return kw_want_of(leaf, 1, &w);
}

const struct eng_part_ops eng_part_uuid = {
    .name = "uuid",
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
