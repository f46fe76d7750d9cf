/* Payload index of points on the globe.
 *
 * Open: points by row, as numbers are kept (part_numeric_fwd.h); a condition compares them with the
 * rectangles that cover its shape and tests exactly what lies in those.
 *
 * Sealed: points in the order of a Morton code, the interleaved bits of longitude and latitude.
 * Coordinates are cut to 16 bits inside the rectangle of the part's own points, so that a part of
 * one town has cells of metres, one of the world cells of half a kilometre. Every run of points
 * with a common prefix is a cell of a quadtree that nobody has to store. A condition walks down
 * from the whole: cells surely outside are dropped, cells surely inside taken, and single points
 * are tested in what is left along the border.
 *
 *   part_geo_open.c   open form
 *   part_geo_seal.c   layout, making and checking it
 *   part_geo_walk.c   conditions and counts on the sealed form
 *   part_geo.c        the table
 *
 * Stored points out of range are no values. Threads as in field_part.h. */
#ifndef ENG_PART_GEO_H
#define ENG_PART_GEO_H

#include "geo.h"
#include "part_numeric_fwd.h"

struct eng_geo_open {
    struct eng_fwd fwd; /* of struct sx_geo */
    const struct eng *eng;
    const struct eng_field_schema *schema;
};
void *eng_geo_open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s);
void eng_geo_open_destroy(void *open);
int eng_geo_open_add(void *open, uint32_t offset, struct sx_doc payload);
void eng_geo_open_cut(void *open, uint32_t offset);
void eng_geo_open_mask(const void *open,
                       const struct eng_leaf *leaf,
                       uint32_t lo,
                       uint32_t hi,
                       struct eng_bits *yes,
                       struct eng_bits *maybe);
uint64_t eng_geo_open_bytes(const void *open);
int eng_geo_open_is_full(const void *open);
void eng_geo_open_tally(const struct eng_geo_open *o,
                        uint32_t hi,
                        const struct eng_leaf *leaf,
                        struct eng_tally *out);

int eng_geo_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out);
int eng_geo_check(const struct eng_field_schema *s, const uint8_t *p, uint64_t n);

/* A checked part, spread out. */
struct eng_geo_part {
    uint32_t lo, hi; /* rows it spans */
    uint32_t points, entries;
    uint32_t most, pad;                  /* values of one row, at most */
    double lon, lat, lon_step, lat_step; /* least ones; a 65 536th of the extent, or 0 */
    const uint32_t *code;                /* ascending */
    const struct sx_geo *at;
    const uint16_t *rows;
};
void eng_geo_part_of(const uint8_t *p, struct eng_geo_part *out);

void eng_geo_mask(const struct eng_field_schema *s,
                  const uint8_t *p,
                  const struct eng_leaf *leaf,
                  struct eng_bits *yes,
                  struct eng_bits *maybe);
void eng_geo_tally_sealed(const uint8_t *p, const struct eng_leaf *leaf, struct eng_tally *out);

/* What the points of a rectangle have in common: all outside, all inside, or not known. The
 * rectangle is widened by the caller so that rounding cannot put a point of it outside: */
#define ENG_GEO_WIDEN 1e-11 /* degrees, some hundred times the rounding of 360 */
enum { ENG_GEO_OUTSIDE, ENG_GEO_INSIDE, ENG_GEO_PERHAPS };
int eng_geo_judge(const struct eng_geo_shape *s, const struct eng_geo_rect *r);

static inline const struct eng_geo_shape *eng_geo_leaf_shape(const struct eng_leaf *leaf)
{
    const struct eng_prep_geo *prep = leaf->prep;

    return &prep->shape;
}

#endif
