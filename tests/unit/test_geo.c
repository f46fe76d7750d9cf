/* Boxes, circles and polygons: borders, the antimeridian, poles; polygons against exact integer
 * arithmetic, circles against angles between vectors, covers against what they must hold. */
/* needs: plugins/engine/geo.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/geo.h"

static uint64_t seed;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double between(double lo, double hi)
{
    return lo + (hi - lo) * ((double)(next() >> 11) * 0x1p-53);
}

static int holds(const struct sx_geo_cond *g, uint32_t kind, double lon, double lat)
{
    struct eng_geo_shape s;

    eng_geo_shape_init(&s, g, kind);
    return eng_geo_holds(&s, (struct sx_geo){lon, lat});
}

/* --- boxes ------------------------------------------------------------------------------- */

static void test_box(void **state)
{
    struct sx_geo_cond g = {.top_left = {1, 10}, .bottom_right = {5, 2}};

    (void)state;
    assert_true(holds(&g, SX_GEO_BOX, 3, 5));
    assert_true(holds(&g, SX_GEO_BOX, nextafter(1, 2), nextafter(2, 3)));
    assert_false(holds(&g, SX_GEO_BOX, 1, 5));
    assert_false(holds(&g, SX_GEO_BOX, 5, 5));
    assert_false(holds(&g, SX_GEO_BOX, 3, 10));
    assert_false(holds(&g, SX_GEO_BOX, 3, 2));
    assert_false(holds(&g, SX_GEO_BOX, 3, 11));
    /* Across the antimeridian, which itself is inside. */
    g.top_left.lon = 170;
    g.bottom_right.lon = -170;
    assert_true(holds(&g, SX_GEO_BOX, 175, 5));
    assert_true(holds(&g, SX_GEO_BOX, -175, 5));
    assert_true(holds(&g, SX_GEO_BOX, 180, 5));
    assert_true(holds(&g, SX_GEO_BOX, -180, 5));
    assert_false(holds(&g, SX_GEO_BOX, 170, 5));
    assert_false(holds(&g, SX_GEO_BOX, -170, 5));
    assert_false(holds(&g, SX_GEO_BOX, 0, 5));
    assert_false(holds(&g, SX_GEO_BOX, 175, 2));
    /* All of the map but its border; upside down: nothing; without width: nothing. */
    g = (struct sx_geo_cond){.top_left = {-180, 90}, .bottom_right = {180, -90}};
    assert_true(holds(&g, SX_GEO_BOX, 13, -89.9));
    assert_false(holds(&g, SX_GEO_BOX, 180, 0));
    assert_false(holds(&g, SX_GEO_BOX, 0, 90));
    g = (struct sx_geo_cond){.top_left = {1, 2}, .bottom_right = {5, 10}};
    assert_false(holds(&g, SX_GEO_BOX, 3, 5));
    g = (struct sx_geo_cond){.top_left = {1, 10}, .bottom_right = {1, 2}};
    assert_false(holds(&g, SX_GEO_BOX, 1, 5));
    assert_false(holds(&g, SX_GEO_BOX, 3, 5));
}

/* --- circles ----------------------------------------------------------------------------- */

static long double angle(struct sx_geo a, struct sx_geo b)
{
    long double rad = acosl(-1) / 180, p[2][3], cross[3], dot = 0, n = 0;

    for (int i = 0; i < 2; i++) {
        struct sx_geo g = i == 0 ? a : b;

        p[i][0] = cosl(g.lat * rad) * cosl(g.lon * rad);
        p[i][1] = cosl(g.lat * rad) * sinl(g.lon * rad);
        p[i][2] = sinl(g.lat * rad);
    }
    for (int i = 0; i < 3; i++) {
        cross[i] = p[0][(i + 1) % 3] * p[1][(i + 2) % 3] - p[0][(i + 2) % 3] * p[1][(i + 1) % 3];
        dot += p[0][i] * p[1][i];
    }
    for (int i = 0; i < 3; i++)
        n += cross[i] * cross[i];
    return atan2l(sqrtl(n), dot);
}

static struct sx_geo anywhere(void)
{
    switch (next() % 8) {
    case 0:
        return (struct sx_geo){next() % 2 ? 180 : -180, between(-90, 90)};
    case 1:
        return (struct sx_geo){between(-180, 180), next() % 2 ? 90 : -90};
    case 2:
        return (struct sx_geo){between(179.99, 180), between(-1, 1)};
    case 3:
        return (struct sx_geo){between(-180, 180), between(89.9, 90)};
    default:
        return (struct sx_geo){between(-180, 180), between(-90, 90)};
    }
}

static void test_distance(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct sx_geo a = anywhere(), b = anywhere();
        double want = (double)(angle(a, b) * (long double)ENG_GEO_EARTH);

        /* The arc sine is blunt near antipodes: a third of a metre of 20 000 km. */
        assert_true(fabs(eng_geo_distance(a, b) - want) <=
                    1e-6 + (want > 1.9e7 ? 0.5 : 1e-9 * want));
    }
    /* Berlin to Potsdam. */
    assert_true(fabs(eng_geo_distance((struct sx_geo){13.404954, 52.520008},
                                      (struct sx_geo){13.0645, 52.3906}) -
                     27187) < 100);
}

static void test_circle(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct sx_geo_cond g = {.center = anywhere()};
        struct sx_geo p = anywhere();
        double d = eng_geo_distance(g.center, p);
        const double radii[] = {d,  nextafter(d, 0), nextafter(d, 1e9), between(0, 2e7), 2.1e7, 0,
                                -1, d * (1 + 1e-12), d * (1 - 1e-12)};

        for (size_t k = 0; k < sizeof(radii) / sizeof(radii[0]); k++) {
            g.radius = radii[k];
            assert_int_equal(holds(&g, SX_GEO_RADIUS, p.lon, p.lat), g.radius > 0 && d < g.radius);
        }
    }
}

/* --- polygons ---------------------------------------------------------------------------- */

struct at {
    int64_t x, y;
};

/* Even-odd on integers; 1 inside, 0 on the border, -1 outside. Coordinates are below 2^61. */
static int exact(const struct at *ring, int n, struct at p)
{
    int inside = 0;

    for (int i = 0; i < n; i++) {
        struct at a = ring[i], b = ring[(i + 1) % n];
        __int128 cross = (__int128)(b.x - a.x) * (p.y - a.y) - (__int128)(b.y - a.y) * (p.x - a.x);
        int64_t lo_x = a.x < b.x ? a.x : b.x, hi_x = a.x < b.x ? b.x : a.x;
        int64_t lo_y = a.y < b.y ? a.y : b.y, hi_y = a.y < b.y ? b.y : a.y;

        if (cross == 0 && p.x >= lo_x && p.x <= hi_x && p.y >= lo_y && p.y <= hi_y)
            return 0;
        if (lo_y <= p.y && p.y < hi_y && ((cross > 0) == (b.y > a.y)))
            inside = !inside;
    }
    return inside ? 1 : -1;
}

static struct sx_geo scaled(struct at a, double by)
{
    return (struct sx_geo){(double)a.x * by, (double)a.y * by};
}

/* Of as many bits as a double has, but of any size: differences are rounded. */
static int64_t representable(int64_t v)
{
    return (int64_t)(double)v;
}

static struct at random_at(int64_t span)
{
    int64_t x = (int64_t)(next() % (uint64_t)span) - span / 2,
            y = (int64_t)(next() % (uint64_t)span) - span / 2;

    if (span > 100000) {
        x >>= next() % 8 * 6;
        y >>= next() % 8 * 6;
    }
    return (struct at){representable(x), representable(y)};
}

static void random_polygons(int64_t span, double by, int rounds, uint32_t *n_border)
{
    for (int r = 0; r < rounds; r++) {
        struct at ring[8], hole[4], p;
        struct sx_geo points[9], hole_points[5];
        struct sx_geo_ring interior = {5, 0, hole_points};
        struct sx_geo_cond g = {.n_interiors = (uint32_t)(next() % 2), .interiors = &interior};
        int n = 3 + (int)(next() % 6), out, in;

        for (int i = 0; i < n; i++)
            ring[i] = random_at(span);
        for (int i = 0; i < 4; i++)
            hole[i] = random_at(span);
        for (int i = 0; i <= n; i++)
            points[i] = scaled(ring[i % n], by);
        for (int i = 0; i <= 4; i++)
            hole_points[i] = scaled(hole[i % 4], by);
        g.exterior = (struct sx_geo_ring){(uint32_t)n + 1, 0, points};
        for (int k = 0; k < 20; k++) {
            int i = (int)(next() % (uint64_t)n);
            struct at a = ring[i], b = ring[(i + 1) % n];

            p = random_at(span);
            if (k % 4 == 1)
                p = a;
            if (k % 4 == 2) /* on an edge or beside it */
                p = (struct at){representable(a.x + (b.x - a.x) / 2),
                                representable(a.y + (b.y - a.y) / 2)};
            if (k % 4 == 3)
                p.y = a.y;
            out = exact(ring, n, p);
            in = g.n_interiors != 0 ? exact(hole, 4, p) : -1;
            *n_border += out == 0;
            assert_int_equal(holds(&g, SX_GEO_POLYGON, scaled(p, by).lon, scaled(p, by).lat),
                             out > 0 && in < 0);
        }
    }
}

static void test_polygons(void **state)
{
    uint32_t n_border = 0, before;

    (void)state;
    random_polygons(7, 1, 20000, &n_border);
    random_polygons(1000, 0x1p-10, 5000, &n_border);
    /* Near-degenerate: where products of doubles lose what decides. */
    before = n_border;
    random_polygons(INT64_C(1) << 61, 0x1p-54, 20000, &n_border);
    assert_true(n_border > before + 5000);
}

static void test_rings(void **state)
{
    static const struct sx_geo square[] = {{0, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}};
    static const struct sx_geo bow[] = {{0, 0}, {10, 10}, {10, 0}, {0, 10}, {0, 0}};
    static const struct sx_geo twice[] = {{0, 0}, {4, 0}, {4, 4}, {0, 4}, {0, 0},
                                          {4, 0}, {4, 4}, {0, 4}, {0, 0}};
    static const struct sx_geo hole[] = {{3, 3}, {3, 7}, {7, 7}, {7, 3}, {3, 3}};
    struct sx_geo_ring interior = {5, 0, hole};
    struct sx_geo_cond g = {.exterior = {5, 0, square}};

    (void)state;
    assert_true(holds(&g, SX_GEO_POLYGON, 5, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, 0, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, 5, 0));
    assert_false(holds(&g, SX_GEO_POLYGON, 10, 10));
    assert_false(holds(&g, SX_GEO_POLYGON, 11, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, -1, 0));
    g.n_interiors = 1;
    g.interiors = &interior;
    assert_false(holds(&g, SX_GEO_POLYGON, 5, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, 3, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, 3, 3));
    assert_true(holds(&g, SX_GEO_POLYGON, 2.999, 5));
    g = (struct sx_geo_cond){.exterior = {5, 0, bow}};
    assert_true(holds(&g, SX_GEO_POLYGON, 1, 5));
    assert_true(holds(&g, SX_GEO_POLYGON, 9, 5));
    assert_false(holds(&g, SX_GEO_POLYGON, 5, 1));
    assert_false(holds(&g, SX_GEO_POLYGON, 5, 5));
    g = (struct sx_geo_cond){.exterior = {9, 0, twice}};
    assert_false(holds(&g, SX_GEO_POLYGON, 2, 2));
    g = (struct sx_geo_cond){.exterior = {0, 0, NULL}};
    assert_false(holds(&g, SX_GEO_POLYGON, 2, 2));
}

/* --- covers ------------------------------------------------------------------------------ */

static int covered(const struct eng_geo_rect *r, uint32_t n, struct sx_geo p)
{
    for (uint32_t i = 0; i < n; i++) {
        if (p.lon >= r[i].lon_lo && p.lon <= r[i].lon_hi && p.lat >= r[i].lat_lo &&
            p.lat <= r[i].lat_hi)
            return 1;
    }
    return 0;
}

static void test_covers(void **state)
{
    static const uint32_t kinds[] = {SX_GEO_BOX, SX_GEO_RADIUS, SX_GEO_POLYGON};
    uint32_t n_held = 0;

    (void)state;
    for (int i = 0; i < 30000; i++) {
        struct sx_geo ring[4] = {anywhere(), anywhere(), anywhere(), {0, 0}};
        struct sx_geo_cond g = {
            .top_left = anywhere(), .bottom_right = anywhere(), .center = anywhere()};
        struct eng_geo_rect r[2];
        struct eng_geo_shape s;
        uint32_t n;

        ring[3] = ring[0];
        g.exterior = (struct sx_geo_ring){4, 0, ring};
        g.radius = next() % 2 ? between(-1, 3e6) : between(0, 2.1e7);
        eng_geo_shape_init(&s, &g, kinds[i % 3]);
        n = eng_geo_cover(&s, r);
        assert_true(n <= 2);
        for (uint32_t k = 0; k < n; k++) {
            assert_true(r[k].lon_lo >= -180 && r[k].lon_hi <= 180);
            assert_true(r[k].lat_lo >= -90 && r[k].lat_hi <= 90);
        }
        for (int k = 0; k < 20; k++) {
            struct sx_geo p = anywhere();

            if (k % 2 != 0 && kinds[i % 3] == SX_GEO_RADIUS) { /* near the circle's border */
                p.lat = fmax(-90, fmin(90, g.center.lat + between(-1, 1) * g.radius / 111195));
                p.lon = remainder(g.center.lon + between(-1, 1) * g.radius / 111195, 360);
            }
            if (!eng_geo_holds(&s, p))
                continue;
            n_held++;
            assert_true(covered(r, n, p));
        }
    }
    assert_true(n_held > 50000);
}

/* --- values ------------------------------------------------------------------------------ */

static void test_values(void **state)
{
    static const struct {
        const char *json;
        int is_place;
        double lon, lat;
    } cases[] = {{"{\"lon\": 1.5, \"lat\": -2}", 1, 1.5, -2},
                 {"{\"lat\": 1, \"x\": 5, \"lon\": 500}", 1, 500, 1},
                 {"{\"lon\": 18446744073709551615, \"lat\": 1}", 1, 18446744073709551615.0, 1},
                 {"{\"lon\": \"1\", \"lat\": 2}", 0, 0, 0},
                 {"{\"lon\": null, \"lat\": 2}", 0, 0, 0},
                 {"{\"lon\": true, \"lat\": 2}", 0, 0, 0},
                 {"{\"lon\": 1}", 0, 0, 0},
                 {"{\"lat\": 1}", 0, 0, 0},
                 {"{\"longitude\": 1, \"lat\": 1}", 0, 0, 0},
                 {"[1, 2]", 0, 0, 0},
                 {"1", 0, 0, 0},
                 {"null", 0, 0, 0},
                 {"{}", 0, 0, 0}};
    struct sx_arena arena;

    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sx_json j;
        struct sx_docb b;
        struct sx_value v;
        struct sx_geo at;

        sx_json_init(&j, cases[i].json, strlen(cases[i].json), &arena);
        sx_docb_init(&b, sx_mem_libc(), 0);
        assert_int_equal(sx_json_doc(&j, &b), 0);
        v.doc = sx_docb_end(&b);
        v.num = sx_doc_num(v.doc);
        assert_int_equal(eng_geo_value(&v, &at), cases[i].is_place);
        if (cases[i].is_place) {
            assert_true(at.lon == cases[i].lon && at.lat == cases[i].lat);
            assert_int_equal(eng_geo_in_range(at), i == 0);
        }
        sx_docb_fini(&b);
    }
    sx_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_box),    cmocka_unit_test(test_distance),
        cmocka_unit_test(test_circle), cmocka_unit_test(test_polygons),
        cmocka_unit_test(test_rings),  cmocka_unit_test(test_covers),
        cmocka_unit_test(test_values),
    };
    const char *given = getenv("SEED");

    seed = given != NULL ? strtoull(given, NULL, 10) : 20240229;
    printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
