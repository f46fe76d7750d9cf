/* Boxes, circles and polygons on longitude and latitude. See geo.h. */
#include "geo.h"

#include <math.h>

#include "sextant/sx_ban.h"

#define PI      3.14159265358979323846
#define DEGREES (180 / PI) /* of a radian */

/* --- points ------------------------------------------------------------------------------ */

static int coordinate(struct sx_doc obj, const char *key, double *out)
{
    struct sx_doc_num num = sx_doc_num(sx_doc_get_n(obj, key, 3));

    if (num.type == SX_DOC_F64)
        *out = num.v.f;
    else if (num.type == SX_DOC_I64)
        *out = (double)num.v.i;
    else if (num.type == SX_DOC_U64)
        *out = (double)num.v.u;
    else
        return 0;
    return isfinite(*out);
}

int eng_geo_value(const struct sx_value *v, struct sx_geo *out)
{
    return v->num.type == SX_DOC_OBJ && coordinate(v->doc, "lon", &out->lon) &&
           coordinate(v->doc, "lat", &out->lat);
}

/* --- circles ----------------------------------------------------------------------------- */

/* sin^2 of half the angle between the points; between 0 and 1 but for rounding. */
static double haversine(struct sx_geo a, double cos_a, struct sx_geo b)
{
    double y = sin((b.lat - a.lat) / DEGREES / 2), x = sin((b.lon - a.lon) / DEGREES / 2);

    return y * y + cos_a * cos(b.lat / DEGREES) * x * x;
}

static double metres(double haversine)
{
    return 2 * ENG_GEO_EARTH * asin(sqrt(haversine < 1 ? haversine : 1));
}

double eng_geo_distance(struct sx_geo a, struct sx_geo b)
{
    return metres(haversine(a, cos(a.lat / DEGREES), b));
}

/* Most points are decided without the arc sine: only those within 1e-9 of the border need it. */
static void circle_init(struct eng_geo_shape *s)
{
    double angle = s->geo->radius / ENG_GEO_EARTH, half = sin(angle / 2);

    s->cos_lat = cos(s->geo->center.lat / DEGREES);
    if (angle < 3) {
        s->reach = angle * DEGREES * (1 + 1e-9) + 1e-9;
        s->near_a = half * half * (1 - 1e-9);
        s->far_a = half * half * (1 + 1e-9) + 1e-30;
    } else {
        s->reach = 360;
        s->near_a = 0;
        s->far_a = 2;
    }
}

static int in_circle(const struct eng_geo_shape *s, struct sx_geo p)
{
    double a;

    if (!(s->geo->radius > 0))
        return 0;
    /* Beyond the poles a difference of latitude says nothing. */
    if (fabs(p.lat - s->geo->center.lat) > s->reach && fabs(p.lat) <= 90)
        return 0;
    a = haversine(s->geo->center, s->cos_lat, p);
    if (a < s->near_a)
        return a >= 0;
    return a <= s->far_a && metres(a) < s->geo->radius;
}

/* --- boxes ------------------------------------------------------------------------------- */

static int in_box(const struct sx_geo_cond *g, struct sx_geo p)
{
    int east = p.lon > g->top_left.lon, west = p.lon < g->bottom_right.lon;

    if (!(p.lat > g->bottom_right.lat && p.lat < g->top_left.lat))
        return 0;
    return g->top_left.lon > g->bottom_right.lon ? east || west : east && west;
}

/* --- polygons ---------------------------------------------------------------------------- */

/* Adds v to the n numbers of e, which do not overlap and ascend in magnitude, without loss; returns
 * how many there are then (Shewchuk's grow-expansion). */
static uint32_t expand(double *e, uint32_t n, double v)
{
    for (uint32_t i = 0; i < n; i++) {
        double sum = v + e[i], of_v = sum - e[i], of_e = sum - of_v;

        e[i] = (v - of_v) + (e[i] - of_e);
        v = sum;
    }
    e[n] = v;
    return n + 1;
}

static int sign(double v)
{
    return (v > 0) - (v < 0);
}

/* On which side of the line from a to b is p: 1 left, -1 right, 0 on it. Exactly. */
static int side(struct sx_geo a, struct sx_geo b, struct sx_geo p)
{
    double l = (b.lon - a.lon) * (p.lat - a.lat), r = (b.lat - a.lat) * (p.lon - a.lon);
    const double x[6] = {b.lon, -b.lon, -a.lon, -b.lat, b.lat, a.lat};
    const double y[6] = {p.lat, a.lat, p.lat, p.lon, a.lon, p.lon};
    double e[12];
    uint32_t n = 0;

    /* Five roundings, each of at most 2^-53. */
    if (fabs(l - r) > 8 * 0x1p-53 * (fabs(l) + fabs(r)))
        return sign(l - r);
    for (int i = 0; i < 6; i++) {
        double product = x[i] * y[i];

        n = expand(e, n, fma(x[i], y[i], -product));
        n = expand(e, n, product);
    }
    while (n > 1 && e[n - 1] == 0)
        n--;
    return sign(e[n - 1]);
}

enum { OUTSIDE, BORDER, INSIDE };

static int in_ring(const struct sx_geo_ring *ring, struct sx_geo p)
{
    int where = OUTSIDE;

    for (uint32_t i = 0; i < ring->n; i++) {
        struct sx_geo a = ring->points[i], b = ring->points[i + 1 < ring->n ? i + 1 : 0];

        if (a.lon == p.lon && a.lat == p.lat)
            return BORDER;
        if ((a.lat > p.lat) != (b.lat > p.lat)) {
            int s;

            if (a.lon < p.lon && b.lon < p.lon)
                continue; /* the ray goes east */
            s = side(a, b, p);
            if (s == 0)
                return BORDER;
            if ((s > 0) == (b.lat > a.lat))
                where = INSIDE - where;
        } else if (a.lat == p.lat && b.lat == p.lat && (a.lon > p.lon) != (b.lon > p.lon)) {
            return BORDER;
        }
    }
    return where;
}

static int in_polygon(const struct sx_geo_cond *g, struct sx_geo p)
{
    if (in_ring(&g->exterior, p) != INSIDE)
        return 0;
    for (uint32_t i = 0; i < g->n_interiors; i++) {
        if (in_ring(&g->interiors[i], p) != OUTSIDE)
            return 0;
    }
    return 1;
}

/* --- shapes ------------------------------------------------------------------------------ */

void eng_geo_shape_init(struct eng_geo_shape *s, const struct sx_geo_cond *geo, uint32_t kind)
{
    *s = (struct eng_geo_shape){.kind = kind, .geo = geo};
    if (kind == SX_GEO_RADIUS)
        circle_init(s);
}

int eng_geo_holds(const struct eng_geo_shape *s, struct sx_geo p)
{
    switch (s->kind) {
    case SX_GEO_BOX:
        return in_box(s->geo, p);
    case SX_GEO_RADIUS:
        return in_circle(s, p);
    default:
        return in_polygon(s->geo, p);
    }
}

/* --- covers ------------------------------------------------------------------------------ */

/* [lo, hi] on the circle of longitudes; lo may lie below -180 or hi beyond 180. Both are so wide
 * that nothing lies on them. */
static uint32_t wrap(double lo, double hi, struct eng_geo_rect out[2])
{
    if (hi - lo >= 360) {
        out[0].lon_lo = -180;
        out[0].lon_hi = 180;
        return 1;
    }
    out[1] = out[0];
    out[0].lon_lo = lo > -180 ? lo : -180;
    out[0].lon_hi = hi < 180 ? hi : 180;
    if (lo < -180) {
        out[1].lon_lo = lo + 360;
        out[1].lon_hi = 180;
    } else if (hi > 180) {
        out[1].lon_lo = -180;
        out[1].lon_hi = hi - 360;
    } else {
        return 1;
    }
    return 2;
}

static uint32_t cover_circle(const struct eng_geo_shape *s, struct eng_geo_rect out[2])
{
    struct sx_geo c = s->geo->center;
    double far;

    if (!(s->geo->radius > 0))
        return 0;
    out[0].lat_lo = fmax(c.lat - s->reach, -90);
    out[0].lat_hi = fmin(c.lat + s->reach, 90);
    if (c.lat - s->reach <= -90 || c.lat + s->reach >= 90)
        return wrap(-180, 180, out);
    far = asin(fmin(sin(s->reach / DEGREES) / s->cos_lat, 1)) * DEGREES * (1 + 1e-9) + 1e-9;
    return wrap(c.lon - far, c.lon + far, out);
}

static uint32_t cover_box(const struct sx_geo_cond *g, struct eng_geo_rect out[2])
{
    if (!(g->bottom_right.lat < g->top_left.lat))
        return 0;
    out[0] = (struct eng_geo_rect){g->top_left.lon, g->bottom_right.lon, g->bottom_right.lat,
                                   g->top_left.lat};
    if (g->top_left.lon <= g->bottom_right.lon)
        return 1;
    out[1] = out[0];
    out[0].lon_hi = 180;
    out[1].lon_lo = -180;
    return 2;
}

static uint32_t cover_polygon(const struct sx_geo_cond *g, struct eng_geo_rect out[2])
{
    const struct sx_geo *p = g->exterior.points;

    if (g->exterior.n == 0)
        return 0;
    out[0] = (struct eng_geo_rect){p[0].lon, p[0].lon, p[0].lat, p[0].lat};
    for (uint32_t i = 1; i < g->exterior.n; i++) {
        out[0].lon_lo = fmin(out[0].lon_lo, p[i].lon);
        out[0].lon_hi = fmax(out[0].lon_hi, p[i].lon);
        out[0].lat_lo = fmin(out[0].lat_lo, p[i].lat);
        out[0].lat_hi = fmax(out[0].lat_hi, p[i].lat);
    }
    return 1;
}

uint32_t eng_geo_cover(const struct eng_geo_shape *s, struct eng_geo_rect out[2])
{
    switch (s->kind) {
    case SX_GEO_BOX:
        return cover_box(s->geo, out);
    case SX_GEO_RADIUS:
        return cover_circle(s, out);
    default:
        return cover_polygon(s->geo, out);
    }
}
