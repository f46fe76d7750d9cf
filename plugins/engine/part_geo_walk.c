/* Conditions on the sealed form of points: down the quadtree that Morton order is.
 *
 * What a cell is judged by may err on the side of "perhaps" only: its rectangle is taken a little
 * larger than it is, and distances and sides of edges keep a margin above their rounding. So all
 * answers are those of eng_geo_holds(). */
#include <math.h>

#include "part_geo.h"

#include "sextant/sx_ban.h"

#define RADIAN 57.29577951308232 /* degrees */

/* Cells of so few points are tested point by point: judging a cell costs about three tests. */
#define LEAF 12u
/* For an estimate cells are larger, and only so many points are tested: small shapes are counted
 * exactly, of large ones the border is left as "perhaps". */
#define LEAF_TALLY  64u
#define TALLY_TESTS 256u

struct walk {
    struct eng_geo_part part;
    const struct eng_geo_shape *shape;
    struct eng_geo_rect cover[2];
    uint32_t n_cover, leaf;
    struct eng_bits *yes; /* NULL: only counts */
    uint64_t inside, perhaps;
    uint32_t tests_left, pad; /* of counts */
};

/* --- cells ------------------------------------------------------------------------------- */

/* Levels of the smallest cell with both codes: 0 the whole, 16 a single code. */
static uint32_t common_level(uint32_t a, uint32_t b)
{
    return a == b ? 16 : (uint32_t)__builtin_clz(a ^ b) / 2;
}

/* Bit 2 i of x goes to bit i. */
static uint32_t gather(uint32_t x)
{
    x &= 0x55555555;
    x = (x | x >> 1) & 0x33333333;
    x = (x | x >> 2) & 0x0f0f0f0f;
    x = (x | x >> 4) & 0x00ff00ff;
    return (x | x >> 8) & 0x0000ffff;
}

static void
cell_rect(const struct eng_geo_part *t, uint32_t code, uint32_t level, struct eng_geo_rect *r)
{
    uint32_t side = 1u << (16 - level);
    uint32_t x = gather(code) & ~(side - 1), y = gather(code >> 1) & ~(side - 1);

    r->lon_lo = t->lon + x * t->lon_step - ENG_GEO_WIDEN;
    r->lon_hi = t->lon + (x + side) * t->lon_step + ENG_GEO_WIDEN;
    r->lat_lo = t->lat + y * t->lat_step - ENG_GEO_WIDEN;
    r->lat_hi = t->lat + (y + side) * t->lat_step + ENG_GEO_WIDEN;
}

static struct sx_geo middle(const struct eng_geo_rect *r)
{
    return (struct sx_geo){(r->lon_lo + r->lon_hi) / 2, (r->lat_lo + r->lat_hi) / 2};
}

/* --- judging ----------------------------------------------------------------------------- */

static int judge_box(const struct sx_geo_cond *g, const struct eng_geo_rect *r)
{
    int east = r->lon_lo > g->top_left.lon, west = r->lon_hi < g->bottom_right.lon;

    if (!(r->lat_lo > g->bottom_right.lat && r->lat_hi < g->top_left.lat))
        return ENG_GEO_PERHAPS;
    if (g->top_left.lon > g->bottom_right.lon)
        return east || west ? ENG_GEO_INSIDE : ENG_GEO_PERHAPS;
    return east && west ? ENG_GEO_INSIDE : ENG_GEO_PERHAPS;
}

/* Every point of the rectangle is within `reach` of its middle: along the parallel, then the
 * meridian. What is left is the triangle's inequality. One metre is ten times what rounding does to
 * a distance in the worst case, between antipodes. */
static int judge_circle(const struct sx_geo_cond *g, const struct eng_geo_rect *r)
{
    struct sx_geo m = middle(r);
    double wide = (r->lon_hi - r->lon_lo) * fabs(cos(m.lat / RADIAN)) + (r->lat_hi - r->lat_lo);
    double reach = wide / 2 / RADIAN * ENG_GEO_EARTH * (1 + 1e-9) + 1;
    double d = eng_geo_distance(g->center, m);

    if (d + reach < g->radius)
        return ENG_GEO_INSIDE;
    return d - reach > g->radius ? ENG_GEO_OUTSIDE : ENG_GEO_PERHAPS;
}

/* Positive on the left of a -> b, by more than rounding; 0 when near. */
static int side(struct sx_geo a, struct sx_geo b, double lon, double lat)
{
    double dx = b.lon - a.lon, dy = b.lat - a.lat;
    double cross = dx * (lat - a.lat) - dy * (lon - a.lon);
    double margin =
        1e-12 * (fabs(dx) * (fabs(lat) + fabs(a.lat)) + fabs(dy) * (fabs(lon) + fabs(a.lon)));

    return cross > margin ? 1 : cross < -margin ? -1 : 0;
}

/* May the edge have a point in common with the rectangle? */
static int may_touch(struct sx_geo a, struct sx_geo b, const struct eng_geo_rect *r)
{
    int s;

    if ((a.lon < r->lon_lo && b.lon < r->lon_lo) || (a.lon > r->lon_hi && b.lon > r->lon_hi) ||
        (a.lat < r->lat_lo && b.lat < r->lat_lo) || (a.lat > r->lat_hi && b.lat > r->lat_hi))
        return 0;
    s = side(a, b, r->lon_lo, r->lat_lo);
    return s == 0 || s != side(a, b, r->lon_hi, r->lat_lo) ||
           s != side(a, b, r->lon_lo, r->lat_hi) || s != side(a, b, r->lon_hi, r->lat_hi);
}

static int ring_may_touch(const struct sx_geo_ring *ring, const struct eng_geo_rect *r)
{
    for (uint32_t i = 0; i < ring->n; i++) {
        if (may_touch(ring->points[i], ring->points[i + 1 < ring->n ? i + 1 : 0], r))
            return 1;
    }
    return 0;
}

/* Where no edge comes near, all points are on the same side of all of them. */
static int judge_polygon(const struct eng_geo_shape *s, const struct eng_geo_rect *r)
{
    if (ring_may_touch(&s->geo->exterior, r))
        return ENG_GEO_PERHAPS;
    for (uint32_t i = 0; i < s->geo->n_interiors; i++) {
        if (ring_may_touch(&s->geo->interiors[i], r))
            return ENG_GEO_PERHAPS;
    }
    return eng_geo_holds(s, middle(r)) ? ENG_GEO_INSIDE : ENG_GEO_OUTSIDE;
}

int eng_geo_judge(const struct eng_geo_shape *s, const struct eng_geo_rect *r)
{
    if (s->kind == SX_GEO_BOX)
        return judge_box(s->geo, r);
    return s->kind == SX_GEO_RADIUS ? judge_circle(s->geo, r) : judge_polygon(s, r);
}

/* The covering rectangles are asked first: most cells are dropped by four comparisons. */
static int judge(const struct walk *w, const struct eng_geo_rect *r)
{
    int meets = 0;

    for (uint32_t i = 0; i < w->n_cover; i++) {
        const struct eng_geo_rect *c = &w->cover[i];

        meets |= r->lon_hi >= c->lon_lo && r->lon_lo <= c->lon_hi && r->lat_hi >= c->lat_lo &&
                 r->lat_lo <= c->lat_hi;
    }
    return meets ? eng_geo_judge(w->shape, r) : ENG_GEO_OUTSIDE;
}

/* --- walking ----------------------------------------------------------------------------- */

static void take(struct walk *w, uint32_t from, uint32_t to)
{
    w->inside += to - from;
    for (uint32_t i = from; w->yes != NULL && i < to; i++)
        eng_bits_set(w->yes, w->part.rows[i]);
}

/* Counts of the ones that hold; 0 when that was not found out. */
static int count(struct walk *w, uint32_t from, uint32_t to)
{
    if (w->tests_left < to - from)
        return 0;
    w->tests_left -= to - from;
    for (uint32_t i = from; i < to; i++)
        w->inside += eng_geo_holds(w->shape, w->part.at[i]) != 0;
    return 1;
}

static void test(struct walk *w, uint32_t from, uint32_t to)
{
    if (w->yes == NULL) {
        if (!count(w, from, to))
            w->perhaps += to - from;
        return;
    }
    for (uint32_t i = from; i < to; i++) {
        if (eng_geo_holds(w->shape, w->part.at[i]))
            eng_bits_set(w->yes, w->part.rows[i]);
    }
}

/* First of the entries [from, to) whose code is at or above `code`. */
static uint32_t lower(const uint32_t *codes, uint32_t from, uint32_t to, uint64_t code)
{
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (codes[mid] < code)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

struct run {
    uint32_t from, to;
};

/* The four cells below: three new ones at most wait on every level. */
#define STACK (3 * 16 + 1)

/* Pushes the cells into which one falls; it has at least two. Returns the height. */
static uint32_t
split(const struct walk *w, struct run cell, uint32_t level, struct run *stack, uint32_t n)
{
    const uint32_t *code = w->part.code;
    uint32_t shift = 30 - 2 * level, from = cell.from;
    uint64_t first = (uint64_t)(code[from] >> shift >> 2) << 2;

    for (uint64_t k = 1; k <= 4 && from < cell.to; k++) {
        uint32_t to = k == 4 ? cell.to : lower(code, from, cell.to, (first + k) << shift);

        if (to > from)
            stack[n++] = (struct run){from, to};
        from = to;
    }
    return n;
}

static void walk(struct walk *w)
{
    struct run stack[STACK];
    uint32_t n = 0;

    if (w->part.entries != 0)
        stack[n++] = (struct run){0, w->part.entries};
    while (n > 0) {
        struct run cell = stack[--n];
        const uint32_t *code = w->part.code;
        uint32_t level = common_level(code[cell.from], code[cell.to - 1]);
        struct eng_geo_rect r;
        int where;

        cell_rect(&w->part, code[cell.from], level, &r);
        where = judge(w, &r);
        if (where == ENG_GEO_INSIDE)
            take(w, cell.from, cell.to);
        else if (where == ENG_GEO_PERHAPS && (cell.to - cell.from <= w->leaf || level == 16))
            test(w, cell.from, cell.to);
        else if (where == ENG_GEO_PERHAPS)
            n = split(w, cell, level, stack, n);
    }
}

static void walk_init(struct walk *w, const uint8_t *p, const struct eng_leaf *leaf)
{
    eng_geo_part_of(p, &w->part);
    w->shape = eng_geo_leaf_shape(leaf);
    w->n_cover = eng_geo_cover(w->shape, w->cover);
    w->leaf = LEAF;
    w->yes = NULL;
    w->inside = w->perhaps = 0;
    w->tests_left = 0;
}

void eng_geo_mask(const struct eng_field_schema *s SX_UNUSED,
                  const uint8_t *p,
                  const struct eng_leaf *leaf,
                  struct eng_bits *yes,
                  struct eng_bits *maybe SX_UNUSED)
{
    struct walk w;

    walk_init(&w, p, leaf);
    w.yes = yes;
    walk(&w);
}

void eng_geo_tally_sealed(const uint8_t *p, const struct eng_leaf *leaf, struct eng_tally *out)
{
    struct eng_geo_part t;
    uint64_t extra, rows;
    struct walk w;

    eng_geo_part_of(p, &t);
    out->values += t.entries;
    out->distinct += t.entries;
    if (leaf == NULL || leaf->kind != ENG_LEAF_GEO || t.entries == 0)
        return;
    walk_init(&w, p, leaf);
    w.leaf = LEAF_TALLY;
    w.tests_left = TALLY_TESTS;
    walk(&w);
    /* Rows among the points inside: no row has more than `most`, and no more than `extra` points
     * are second or later ones of theirs. */
    extra = t.entries - t.points;
    rows = (w.inside + t.most - 1) / t.most;
    if (w.inside > extra && w.inside - extra > rows)
        rows = w.inside - extra;
    out->lo += rows;
    out->hi += w.inside + w.perhaps < t.points ? w.inside + w.perhaps : t.points;
}
