/* Payload indexes of points against brute force over the points: open and sealed form, boxes,
 * circles, polygons; counts; damaged parts; short memory. */
/* needs: plugins/engine/part_geo*.c */

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
#include <time.h>

#include "../../plugins/engine/part_geo.h"

static uint64_t seed;

static uint64_t rnd(void)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rnd() % n);
}

/* --- memory, epochs, an engine of nothing else --------------------------------------------- */

static int64_t memory_left = -1; /* allocations until one fails; -1 = never */

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (memory_left == 0)
        return NULL;
    memory_left -= memory_left > 0;
    return malloc(n != 0 ? n : 1);
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = mem_alloc(self, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

static void *mem_resize(const struct sx_mem *self SX_UNUSED, void *p, uint64_t n)
{
    return memory_left == 0 ? NULL : realloc(p, n);
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    free(p);
}

static const struct sx_mem mem = {.size = sizeof(mem),
                                  .alloc = mem_alloc,
                                  .zalloc = mem_zalloc,
                                  .resize = mem_resize,
                                  .release = mem_release};

/* What the one writer retires lives until the test is over. */
static struct retired {
    void (*fn)(void *arg);
    void *arg;
} retired[4096];
static uint32_t n_retired;

static void retire(void (*fn)(void *arg), void *arg)
{
    assert_true(n_retired < SX_COUNT(retired));
    retired[n_retired++] = (struct retired){fn, arg};
}

static void free_retired(void)
{
    while (n_retired > 0) {
        n_retired--;
        retired[n_retired].fn(retired[n_retired].arg);
    }
}

static const struct sx_epoch epoch = {.size = sizeof(epoch), .retire = retire};
static struct sx_cpu cpu = {.size = sizeof(cpu)};
static struct eng eng = {.mem = &mem, .epoch = &epoch, .cpu = &cpu};
static const struct eng_field_conf conf = {.eng = &eng};

static double uniform(double lo, double hi)
{
    return lo + (hi - lo) * ((double)(rnd() >> 11) * 0x1p-53);
}

/* --- points -------------------------------------------------------------------------------- */

/* Where the points of a run lie. */
enum { P_WORLD, P_TOWN, P_POLE, P_DATE_LINE, P_GRID, P_ONE, P_MERIDIAN, P_KINDS };

static double clamp(double x, double most)
{
    return x > most ? most : x < -most ? -most : x;
}

static struct sx_geo point_of(uint32_t place)
{
    static const double corner_lon[] = {-180, 180, 0, 90, 179.999999},
                        corner_lat[] = {-90, 90, 0, 45};
    struct sx_geo p = {uniform(-180, 180), uniform(-90, 90)};

    switch (place) {
    case P_WORLD:
        if (below(30) == 0)
            p = (struct sx_geo){corner_lon[below(5)], corner_lat[below(4)]};
        break;
    case P_TOWN:
        p = (struct sx_geo){13.4 + uniform(-0.1, 0.1), 52.5 + uniform(-0.05, 0.05)};
        break;
    case P_POLE:
        p.lat = below(2) ? uniform(89, 90) : uniform(-90, -89.9);
        break;
    case P_DATE_LINE:
        p.lon = below(2) ? uniform(-180, -179) : uniform(179, 180);
        break;
    case P_GRID:
        p = (struct sx_geo){(double)below(21) - 10, (double)below(21) - 10};
        break;
    case P_ONE:
        p = (struct sx_geo){-3.25, 40.5};
        break;
    default:
        p.lon = 7;
    }
    return p;
}

#define MAX_POINTS (1u << 18)
struct model {
    uint32_t place, n, n_rows;
    uint32_t is_clean; /* no junk */
    uint32_t lo, hi;
    uint32_t row[MAX_POINTS];
    struct sx_geo p[MAX_POINTS];
};
static struct model model;

static struct sx_step step = {.kind = SX_STEP_KEY, .key = {"a", 1, 0}};
static struct eng_field_schema schema = {.type = ENG_FIELD_GEO, .path = {1, 0, &step}};
static const struct eng_part_ops *const ops = &eng_part_geo;

static void put_point(struct sx_docb *b, struct sx_geo p)
{
    sx_docb_obj(b);
    sx_docb_ckey(b, "lon");
    if (p.lon == floor(p.lon) && below(2))
        sx_docb_i64(b, (int64_t)p.lon);
    else
        sx_docb_f64(b, p.lon);
    if (below(4) == 0) {
        sx_docb_ckey(b, "name");
        sx_docb_cstr(b, "x");
    }
    sx_docb_ckey(b, "lat");
    sx_docb_f64(b, p.lat);
    sx_docb_close(b);
}

/* No value: out of range, half a point, another type. */
static void put_junk(struct sx_docb *b)
{
    switch (below(4)) {
    case 0:
        put_point(b, (struct sx_geo){180.5, 10});
        break;
    case 1:
        put_point(b, (struct sx_geo){18, -90.0001});
        break;
    case 2:
        sx_docb_obj(b);
        sx_docb_ckey(b, "lon");
        sx_docb_f64(b, 1);
        sx_docb_close(b);
        break;
    default:
        sx_docb_cstr(b, "1,2");
    }
}

/* A row's document; adds its points to the model when told to. */
static struct sx_doc
row_doc(struct sx_docb *b, struct model *m, uint32_t row, uint32_t n, int counts)
{
    uint32_t from = m->n;

    sx_docb_reset(b);
    sx_docb_obj(b);
    sx_docb_ckey(b, "a");
    if (n != 1)
        sx_docb_arr(b);
    for (uint32_t i = 0; i < n; i++) {
        struct sx_geo p = point_of(m->place);

        if (!m->is_clean && below(20) == 0) {
            put_junk(b);
            continue;
        }
        put_point(b, p);
        assert_true(m->n < MAX_POINTS);
        m->row[m->n] = row;
        m->p[m->n++] = p;
    }
    if (n != 1)
        sx_docb_close(b);
    sx_docb_close(b);
    if (!counts)
        m->n = from;
    m->n_rows += m->n > from;
    return sx_docb_end(b);
}

enum { R_DENSE, R_ONE, R_HOLES, R_SEVERAL, R_KINDS };

static void fill(void *open, struct model *m, uint32_t shape)
{
    struct sx_docb b;

    sx_docb_init(&b, sx_mem_libc(), 0);
    for (uint32_t row = m->lo; row < m->hi;) {
        uint32_t end = row + 1 + below(40), fails = below(6) == 0;

        end = end < m->hi ? end : m->hi;
        for (uint32_t r = row; r < end; r++) {
            uint32_t n = shape == R_ONE     ? 1
                         : shape == R_HOLES ? below(3) != 0
                                            : below(5),
                     had = m->n;
            struct sx_doc doc;

            if (n == 0 && below(2))
                continue;
            doc = row_doc(&b, m, r, n, !fails);
            if (fails)
                ops->open_add(open, r, doc);
            else
                assert_int_equal(ops->open_add(open, r, doc), m->n > had);
        }
        if (fails)
            ops->open_cut(open, row);
        else
            row = end;
    }
    sx_docb_fini(&b);
}

/* --- shapes -------------------------------------------------------------------------------- */

#define MAX_RING 200
struct question {
    struct eng_leaf leaf;
    struct sx_cond cond;
    struct eng_prep_geo prep;
    struct sx_geo_cond geo;
    struct sx_geo_ring holes[2];
    struct sx_geo ring[3][MAX_RING];
};

static struct sx_geo near_point(const struct model *m)
{
    struct sx_geo p = m->n != 0 ? m->p[below(m->n)] : point_of(m->place);

    if (below(3) == 0)
        return p;
    if (below(4) == 0)
        return (struct sx_geo){uniform(-180, 180), uniform(-90, 90)};
    p.lon = clamp(p.lon + uniform(-0.05, 0.05), 180);
    p.lat = clamp(p.lat + uniform(-0.05, 0.05), 90);
    return p;
}

static void ask_box(const struct model *m, struct question *q)
{
    struct sx_geo a = near_point(m), b = near_point(m);
    int crosses = below(3) == 0;

    q->geo.kinds = SX_GEO_BOX;
    q->geo.top_left.lat = fmax(a.lat, b.lat);
    q->geo.bottom_right.lat = fmin(a.lat, b.lat);
    q->geo.top_left.lon = crosses ? fmax(a.lon, b.lon) : fmin(a.lon, b.lon);
    q->geo.bottom_right.lon = crosses ? fmin(a.lon, b.lon) : fmax(a.lon, b.lon);
    if (below(10) == 0) {
        q->geo.top_left = (struct sx_geo){-180, 90};
        q->geo.bottom_right = (struct sx_geo){180, -90};
    }
}

static void ask_circle(const struct model *m, struct question *q)
{
    static const double special[] = {0, -1, 1e-3, 2.1e7, 1e300, 20015114, 10007557};

    q->geo.kinds = SX_GEO_RADIUS;
    q->geo.center = near_point(m);
    q->geo.radius = exp(uniform(0, 17));
    if (below(8) == 0)
        q->geo.radius = special[below(SX_COUNT(special))];
    /* The border through a point of the model, to the last bit. */
    if (below(4) == 0 && m->n != 0)
        q->geo.radius = eng_geo_distance(q->geo.center, m->p[below(m->n)]);
}

static void ask_ring(const struct model *m, struct sx_geo *ring, struct sx_geo_ring *out)
{
    struct sx_geo c = near_point(m);
    double wide = exp(uniform(-7, 4));
    uint32_t n = 3 + below(below(4) == 0 ? MAX_RING - 4 : 6), kind = below(4);

    for (uint32_t i = 0; i < n; i++) {
        double angle = 6.283185307179586 * i / n, r = wide * uniform(0.3, 1);

        ring[i] = (struct sx_geo){c.lon + r * cos(angle), c.lat + r * sin(angle)};
        if (kind == 0) /* edges through points, crossing each other */
            ring[i] = near_point(m);
        if (kind == 1) /* axis-parallel, over the grid */
            ring[i] = (struct sx_geo){floor(c.lon) + (i % 4 == 1 || i % 4 == 2 ? 5 : -4),
                                      floor(c.lat) + (i % 4 >= 2 ? 6 : -3)};
        ring[i].lon = clamp(ring[i].lon, 180);
        ring[i].lat = clamp(ring[i].lat, 90);
    }
    ring[n] = ring[0];
    *out = (struct sx_geo_ring){n + 1, 0, ring};
}

static void ask_polygon(const struct model *m, struct question *q)
{
    q->geo.kinds = SX_GEO_POLYGON;
    ask_ring(m, q->ring[0], &q->geo.exterior);
    q->geo.n_interiors = below(3);
    q->geo.interiors = q->holes;
    for (uint32_t i = 0; i < q->geo.n_interiors; i++)
        ask_ring(m, q->ring[i + 1], &q->holes[i]);
}

static void ask(const struct model *m, struct question *q)
{
    memset(q, 0, sizeof(*q));
    q->cond.geo = &q->geo;
    q->leaf = (struct eng_leaf){.kind = ENG_LEAF_GEO,
                                .mode = ENG_LEAF_INDEXED,
                                .cond = &q->cond,
                                .schema = &schema,
                                .prep = &q->prep};
    switch (below(3)) {
    case 0:
        ask_box(m, q);
        break;
    case 1:
        ask_circle(m, q);
        break;
    default:
        ask_polygon(m, q);
    }
    eng_geo_shape_init(&q->prep.shape, &q->geo, q->geo.kinds);
}

static struct eng_bits want, yes, maybe;

static uint32_t answer(const struct model *m, const struct question *q, uint32_t lo, uint32_t hi)
{
    uint32_t n = 0;

    memset(&want, 0, sizeof(want));
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->row[i] >= lo && m->row[i] < hi && eng_geo_holds(&q->prep.shape, m->p[i]))
            eng_bits_set(&want, m->row[i]);
    }
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        n += (uint32_t)__builtin_popcountll(want.w[i]);
    return n;
}

static void clear(void)
{
    memset(&yes, 0, sizeof(yes));
    memset(&maybe, 0, sizeof(maybe));
}

static void same_bits(const struct question *q)
{
    static const struct eng_bits none;

    assert_memory_equal(&maybe, &none, sizeof(none));
    for (uint32_t i = 0; i < SX_CHUNK_ROWS; i++) {
        if (eng_bits_get(&yes, i) != eng_bits_get(&want, i))
            fail_msg("row %u: %d, shape %u", i, eng_bits_get(&yes, i), q->geo.kinds);
    }
}

static void check_tally(const struct model *m,
                        const struct question *q,
                        const uint8_t *sealed,
                        const void *open)
{
    struct eng_tally t = {0};
    uint32_t n = answer(m, q, m->lo, m->hi);

    ops->tally(&schema, sealed, open, m->hi, &q->leaf, &t);
    assert_int_equal(t.values, m->n);
    assert_true(t.lo <= n && n <= t.hi && t.hi <= m->n_rows);
}

static void check_open(void *open, const struct model *m)
{
    struct question q;

    for (uint32_t i = 0; i < 20; i++) {
        uint32_t lo = below(2) ? m->lo : below(SX_CHUNK_ROWS),
                 hi = below(2) ? m->hi : lo + below(999);

        hi = hi < SX_CHUNK_ROWS ? hi : SX_CHUNK_ROWS;
        hi = hi < lo ? lo : hi;
        ask(m, &q);
        assert_int_equal(ops->answers(&schema, &q.leaf), 1);
        answer(m, &q, lo, hi);
        clear();
        ops->open_mask(open, &q.leaf, lo, hi, &yes, &maybe);
        same_bits(&q);
        check_tally(m, &q, NULL, open);
    }
}

static void check_sealed(const uint8_t *p, const struct model *m)
{
    struct question q;

    for (uint32_t i = 0; i < 60; i++) {
        ask(m, &q);
        answer(m, &q, m->lo, m->hi);
        clear();
        ops->mask(&schema, p, &q.leaf, &yes, &maybe);
        same_bits(&q);
        check_tally(m, &q, p, NULL);
    }
}

/* The sealed form in memory of its own, so that a byte read outside is seen. */
static uint8_t *seal(void *open, const struct model *m, uint64_t *n)
{
    struct sx_buf b;
    uint8_t *p;

    sx_buf_init(&b, &mem);
    assert_int_equal(ops->seal(open, m->lo, m->hi, &b), 0);
    *n = b.n;
    p = aligned_alloc(64, *n);
    memcpy(p, b.p, *n);
    sx_buf_fini(&b);
    assert_int_equal(*n % 64, 0);
    assert_int_equal(ops->check(&schema, p, *n), 0);
    return p;
}

static void *new_part(struct model *m, uint32_t place, uint32_t rows, uint32_t shape)
{
    void *open = ops->open_create(&conf, &schema);

    assert_non_null(open);
    m->place = place;
    m->n = m->n_rows = 0;
    m->is_clean = shape == R_DENSE;
    m->lo = below(3) == 0 ? 0 : below(SX_CHUNK_ROWS + 1 - rows);
    m->hi = m->lo + rows;
    fill(open, m, shape);
    return open;
}

static void random_parts(void **state SX_UNUSED)
{
    for (uint32_t place = 0; place < P_KINDS; place++) {
        for (uint32_t shape = 0; shape < R_KINDS; shape++) {
            uint32_t rows = below(below(4) == 0 ? 6000 : 700);
            void *open = new_part(&model, place, rows, shape);
            uint64_t n;
            uint8_t *p = seal(open, &model, &n);

            check_open(open, &model);
            check_sealed(p, &model);
            free(p);
            ops->open_destroy(open);
            free_retired();
        }
    }
}

static void whole_chunk(void **state SX_UNUSED)
{
    void *open = new_part(&model, P_WORLD, SX_CHUNK_ROWS, R_DENSE);
    uint64_t n;
    uint8_t *p = seal(open, &model, &n);

    check_sealed(p, &model);
    free(p);
    ops->open_destroy(open);
    free_retired();
}

/* --- damage -------------------------------------------------------------------------------- */

static void damage(uint8_t *p, uint64_t n)
{
    for (uint32_t times = 1 + below(3); times > 0; times--) {
        uint64_t at = below(2) ? below(128) : rnd() % n;

        if (below(3) == 0)
            p[at] = (uint8_t)(below(2) ? 0xff : 0);
        else
            p[at] ^= (uint8_t)(1u << below(8));
    }
}

static void damaged_parts(void **state SX_UNUSED)
{
    uint32_t n_found = 0, n_used = 0;

    for (uint32_t round = 0; round < 21; round++) {
        void *open = new_part(&model, round % P_KINDS, below(400), round % R_KINDS);
        uint64_t n;
        uint8_t *p = seal(open, &model, &n);

        ops->open_destroy(open);
        for (uint32_t i = 0; i < 60; i++) {
            uint64_t cut = i < 50 ? n : rnd() % n;
            uint8_t *bad = realloc(aligned_alloc(64, n), cut != 0 ? cut : 1);
            struct eng_tally t = {0};
            struct question q;

            memcpy(bad, p, cut);
            if (i < 50)
                damage(bad, n);
            if (ops->check(&schema, bad, cut) == 0) {
                assert_true(i < 50);
                n_used++;
                for (uint32_t k = 0; k < 5; k++) {
                    ask(&model, &q);
                    ops->mask(&schema, bad, &q.leaf, &yes, &maybe);
                    ops->tally(&schema, bad, NULL, 0, &q.leaf, &t);
                }
            } else {
                n_found++;
            }
            free(bad);
        }
        free(p);
        free_retired();
    }
    assert_true(n_found > 300 && n_used > 20);
}

/* --- short memory -------------------------------------------------------------------------- */

static void short_memory(void **state SX_UNUSED)
{
    for (uint32_t left = 1; left < 8; left++) {
        struct model *m = &model;
        struct sx_docb b;
        struct sx_buf out;
        void *open;

        memory_left = left;
        open = ops->open_create(&conf, &schema);
        sx_docb_init(&b, sx_mem_libc(), 0);
        m->place = P_TOWN;
        m->n = m->n_rows = m->lo = 0;
        m->hi = 700;
        for (uint32_t row = 0; row < m->hi; row++) {
            uint32_t had = m->n, rows = m->n_rows;
            int got = ops->open_add(open, row, row_doc(&b, m, row, 1 + (row > 300), 1));

            if (got < 0) {
                assert_int_equal(got, SX_ENOMEM);
                ops->open_cut(open, row);
                m->n = had;
                m->n_rows = rows;
                memory_left = below(3);
            }
        }
        memory_left = 0;
        sx_buf_init(&out, &mem);
        assert_int_equal(ops->seal(open, m->lo, m->hi, &out), SX_ENOMEM);
        memory_left = 1;
        assert_int_equal(ops->seal(open, m->lo, m->hi, &out), SX_ENOMEM);
        sx_buf_fini(&out);
        memory_left = -1;
        check_open(open, m);
        ops->open_destroy(open);
        sx_docb_fini(&b);
        free_retired();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_parts),
        cmocka_unit_test(whole_chunk),
        cmocka_unit_test(damaged_parts),
        cmocka_unit_test(short_memory),
    };
    const char *given = getenv("SEED");

    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
