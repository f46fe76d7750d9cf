/* Geo clauses of field conditions.
 *
 * Fields are looked at in the order of their names, so that of two faults the one reported is the
 * reference's; what is missing is found when all that is there has been read.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode_filter.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define SAME 2.220446049250313e-16 /* first and last point of a ring are one within this */

static int
f64_field(struct rest_dec *d, const struct sx_value *v, double *out, struct sx_str *cause)
{
    return rest_value_f64(v, out) ? 1 : rest_cause_type(d, cause, v, "f64");
}

/* Which of two fields are there, as bits; the list form has both. */
static uint32_t there(const struct sx_value *v, const char *const *names)
{
    if (!rest_value_is_obj(v))
        return 3;
    return (uint32_t)rest_value_has(v->doc, names[0]) | (uint32_t)rest_value_has(v->doc, names[1])
                                                            << 1;
}

static int
point(struct rest_dec *d, const struct sx_value *v, struct sx_geo *out, struct sx_str *cause)
{
    static const char *const names[] = {"lon", "lat"};
    struct sx_value f[2];
    struct sx_buf lat, lon;
    uint32_t has;
    int rc = rest_value_struct(d, v, "struct GeoPoint", names, 2, f, cause);

    if (rc != 1)
        return rc;
    has = there(v, names);
    if ((has & 2) != 0)
        rc = f64_field(d, &f[1], &out->lat, cause);
    if (rc == 1 && (has & 1) != 0)
        rc = f64_field(d, &f[0], &out->lon, cause);
    if (rc == 1 && has != 3)
        rc = rest_cause_missing(d, cause, (has & 1) == 0 ? "lon" : "lat");
    if (rc != 1 || (out->lon >= -180 && out->lon <= 180 && out->lat >= -90 && out->lat <= 90))
        return rc;
    sx_buf_init(&lat, d->arena->mem);
    sx_buf_init(&lon, d->arena->mem);
    rest_show_float(&lat, out->lat);
    rest_show_float(&lon, out->lon);
    rc = lat.failed || lon.failed
             ? SX_ENOMEM
             : rest_cause(d, cause,
                          "Wrong format of GeoPoint payload: expected `lat` = %.*s within [-90;90] "
                          "and `lon` = %.*s within [-180;180]",
                          (int)lat.n, lat.p, (int)lon.n, lon.p);
    sx_buf_fini(&lat);
    sx_buf_fini(&lon);
    return rc;
}

static int
box(struct rest_dec *d, const struct sx_value *v, struct sx_geo_cond *out, struct sx_str *cause)
{
    static const char *const names[] = {"top_left", "bottom_right"};
    struct sx_value f[2];
    uint32_t has;
    int rc = rest_value_struct(d, v, "struct GeoBoundingBox", names, 2, f, cause);

    if (rc != 1)
        return rc;
    has = there(v, names);
    if ((has & 2) != 0)
        rc = point(d, &f[1], &out->bottom_right, cause);
    if (rc == 1 && (has & 1) != 0)
        rc = point(d, &f[0], &out->top_left, cause);
    if (rc == 1 && has != 3)
        rc = rest_cause_missing(d, cause, names[has & 1]);
    return rc;
}

static int
radius(struct rest_dec *d, const struct sx_value *v, struct sx_geo_cond *out, struct sx_str *cause)
{
    static const char *const names[] = {"center", "radius"};
    struct sx_value f[2];
    uint32_t has;
    int rc = rest_value_struct(d, v, "struct GeoRadius", names, 2, f, cause);

    if (rc != 1)
        return rc;
    has = there(v, names);
    if ((has & 1) != 0)
        rc = point(d, &f[0], &out->center, cause);
    if (rc == 1 && (has & 2) != 0)
        rc = f64_field(d, &f[1], &out->radius, cause);
    if (rc == 1 && has != 3)
        rc = rest_cause_missing(d, cause, names[has & 1]);
    return rc;
}

/* --- polygons ------------------------------------------------------------------------------- */

static int
ring(struct rest_dec *d, const struct sx_value *v, struct sx_geo_ring *out, struct sx_str *cause)
{
    static const char *const names[] = {"points"};
    struct sx_value list;
    struct sx_geo *points;
    int rc = rest_value_struct(d, v, "struct GeoLineString", names, 1, &list, cause);

    if (rc != 1)
        return rc;
    if (rest_value_is_obj(v) && !rest_value_has(v->doc, "points"))
        return rest_cause_missing(d, cause, "points");
    if (!rest_value_is_arr(&list))
        return rest_cause_type(d, cause, &list, "a sequence");
    out->n = sx_doc_count(list.doc);
    points = sx_arena_zalloc(d->arena, (uint64_t)out->n * sizeof(*points) + 1);
    if (points == NULL)
        return SX_ENOMEM;
    out->points = points;
    for (uint32_t i = 0; i < out->n && rc == 1; i++) {
        struct sx_value one = rest_value_at(list.doc, i);

        rc = point(d, &one, &points[i], cause);
    }
    return rc;
}

static int is_same(double a, double b)
{
    return a - b <= SAME && b - a <= SAME;
}

static int ring_is_sound(struct rest_dec *d, const struct sx_geo_ring *r, struct sx_str *cause)
{
    if (r->n < 4)
        return rest_cause(d, cause,
                          "Validation failed: polygon invalid, the size must be at least 4, got %u",
                          r->n);
    if (!is_same(r->points[0].lon, r->points[r->n - 1].lon) ||
        !is_same(r->points[0].lat, r->points[r->n - 1].lat))
        return rest_cause(d, cause,
                          "Validation failed: polygon invalid, the first and the last points "
                          "should be the same to form a closed line");
    return 1;
}

static int interiors(struct rest_dec *d,
                     const struct sx_value *v,
                     struct sx_geo_cond *out,
                     struct sx_str *cause)
{
    struct sx_geo_ring *rings;
    int rc = 1;

    if (rest_value_is_null(v))
        return 1;
    if (!rest_value_is_arr(v))
        return rest_cause_type(d, cause, v, "a sequence");
    out->n_interiors = sx_doc_count(v->doc);
    rings = sx_arena_zalloc(d->arena, (uint64_t)out->n_interiors * sizeof(*rings) + 1);
    if (rings == NULL)
        return SX_ENOMEM;
    out->interiors = rings;
    for (uint32_t i = 0; i < out->n_interiors && rc == 1; i++) {
        struct sx_value one = rest_value_at(v->doc, i);

        rc = ring(d, &one, &rings[i], cause);
    }
    return rc;
}

static int
polygon(struct rest_dec *d, const struct sx_value *v, struct sx_geo_cond *out, struct sx_str *cause)
{
    static const char *const names[] = {"exterior", "interiors"};
    struct sx_value f[2];
    uint32_t has;
    int rc = rest_value_struct(d, v, "struct GeoPolygon", names, 2, f, cause);

    if (rc != 1)
        return rc;
    has = there(v, names);
    if ((has & 1) != 0)
        rc = ring(d, &f[0], &out->exterior, cause);
    if (rc == 1)
        rc = interiors(d, &f[1], out, cause);
    if (rc == 1 && (has & 1) == 0)
        rc = rest_cause_missing(d, cause, "exterior");
    if (rc == 1)
        rc = ring_is_sound(d, &out->exterior, cause);
    for (uint32_t i = 0; i < out->n_interiors && rc == 1; i++)
        rc = ring_is_sound(d, &out->interiors[i], cause);
    return rc;
}

int rest_clause_geo(struct rest_dec *d,
                    const struct sx_value *v,
                    uint32_t kind,
                    struct sx_geo_cond **out,
                    struct sx_str *cause)
{
    if (*out == NULL)
        *out = sx_arena_zalloc(d->arena, sizeof(**out));
    if (*out == NULL)
        return SX_ENOMEM;
    (*out)->kinds |= kind;
    return kind == SX_GEO_BOX      ? box(d, v, *out, cause)
           : kind == SX_GEO_RADIUS ? radius(d, v, *out, cause)
                                   : polygon(d, v, *out, cause);
}
