/* Payload index of points: the table; see part_geo.h. */
#include "part_geo.h"

#include "sextant/sx_ban.h"

static void tally(const struct eng_field_schema *s SX_UNUSED,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out)
{
    if (sealed != NULL)
        eng_geo_tally_sealed(sealed, leaf, out);
    else
        eng_geo_open_tally(open, open_hi, leaf, out);
}

static int answers(const struct eng_field_schema *s SX_UNUSED, const struct eng_leaf *leaf)
{
    return leaf->kind == ENG_LEAF_GEO && leaf->mode != ENG_LEAF_PLAIN;
}

const struct eng_part_ops eng_part_geo = {
    .name = "geo",
    .open_create = eng_geo_open_create,
    .open_destroy = eng_geo_open_destroy,
    .open_add = eng_geo_open_add,
    .open_cut = eng_geo_open_cut,
    .open_mask = eng_geo_open_mask,
    .open_bytes = eng_geo_open_bytes,
    .open_is_full = eng_geo_open_is_full,
    .seal = eng_geo_seal,
    .check = eng_geo_check,
    .mask = eng_geo_mask,
    .tally = tally,
    .answers = answers,
};
