/* Places on the globe: what is inside a box, a circle, a polygon.
 *
 * Degrees of longitude and latitude. All borders are outside: boxes and distances compare strictly,
 * a point on a ring is neither inside it nor, when it is the ring of a hole, outside it. Polygons
 * are flat, their edges straight in degrees; crossing rings are inside where a line to infinity
 * crosses them an odd number of times. Shared by filters on documents, geo indexes and formulas,
 * so that all of them agree on every point. Stateless; thread: any. */
#ifndef ENG_GEO_H
#define ENG_GEO_H

#include "sextant/sx_filter.h"
#include "sextant/sx_path.h"

#define ENG_GEO_EARTH 6371008.8 /* metres, mean radius */

/* Great-circle metres (haversine). */
double eng_geo_distance(struct sx_geo a, struct sx_geo b);

/* A payload value as a point: an object with finite numbers lon and lat, whatever else. 0 when it
 * is none. It may lie out of range. */
int eng_geo_value(const struct sx_value *v, struct sx_geo *out);
static inline int eng_geo_in_range(struct sx_geo p)
{
    return p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90;
}

/* One clause in the form points are tested against. Borrows the clause. */
struct eng_geo_shape {
    uint32_t kind, pad; /* one of SX_GEO_* */
    const struct sx_geo_cond *geo;
    double cos_lat;       /* RADIUS: of the centre */
    double reach;         /* RADIUS: farther away in latitude is surely outside */
    double near_a, far_a; /* RADIUS: haversine terms that are surely inside, surely outside */
};
void eng_geo_shape_init(struct eng_geo_shape *s, const struct sx_geo_cond *geo, uint32_t kind);
int eng_geo_holds(const struct eng_geo_shape *s, struct sx_geo p);

/* Rectangles that hold every point in range that the shape holds; borders count. Returns how many,
 * 0 when there is nothing to hold; two when the shape crosses the antimeridian. */
struct eng_geo_rect {
    double lon_lo, lon_hi, lat_lo, lat_hi;
};
uint32_t eng_geo_cover(const struct eng_geo_shape *s, struct eng_geo_rect out[2]);

#endif
