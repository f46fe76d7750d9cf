/* The open form of points: by row, conditions scan them. */
#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#include <string.h>

#include "part_geo.h"

#include "sextant/sx_ban.h"

/* Ended early above this many points. */
#define OPEN_ENTRIES (4u * SX_CHUNK_ROWS)

void *eng_geo_open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    struct eng_geo_open *o = conf->eng->mem->zalloc(conf->eng->mem, sizeof(*o));

    if (o == NULL)
        return NULL;
    eng_fwd_init(&o->fwd, conf->eng, sizeof(struct sx_geo));
    o->eng = conf->eng;
    o->schema = s;
    return o;
}

void eng_geo_open_destroy(void *open)
{
    struct eng_geo_open *o = open;

    if (o == NULL)
        return;
    eng_fwd_fini(&o->fwd);
    o->eng->mem->release(o->eng->mem, o);
}

static int add_value(void *arg, const struct sx_value *v)
{
    struct eng_geo_open *o = arg;
    struct sx_geo p;

    if (!eng_geo_value(v, &p) || !eng_geo_in_range(p))
        return 0;
    return eng_fwd_push(&o->fwd, &p);
}

int eng_geo_open_add(void *open, uint32_t offset, struct sx_doc payload)
{
    struct eng_geo_open *o = open;
    int rc = sx_path_each(&o->schema->path, payload, add_value, o);
    uint32_t n = o->fwd.pending;

    if (rc == 0)
        rc = eng_fwd_row(&o->fwd, offset);
    return rc != 0 ? rc : n != 0;
}

void eng_geo_open_cut(void *open, uint32_t offset)
{
    struct eng_geo_open *o = open;

    eng_fwd_cut(&o->fwd, offset);
}

uint64_t eng_geo_open_bytes(const void *open)
{
    const struct eng_geo_open *o = open;

    return sizeof(*o) + eng_fwd_bytes(&o->fwd);
}

int eng_geo_open_is_full(const void *open)
{
    const struct eng_geo_open *o = open;

    return atomic_load_explicit(&o->fwd.n, memory_order_relaxed) >= OPEN_ENTRIES;
}

/* --- candidates -------------------------------------------------------------------------- */

#if defined(__x86_64__)

/* One point is one vector: both coordinates at once. */
static uint64_t in_rect(const struct sx_geo *p, uint32_t n, const struct eng_geo_rect *r)
{
    const __m128d lo = _mm_set_pd(r->lat_lo, r->lon_lo), hi = _mm_set_pd(r->lat_hi, r->lon_hi);
    uint64_t bits = 0;

    for (uint32_t i = 0; i < n; i++) {
        __m128d x = _mm_loadu_pd(&p[i].lon);
        __m128d in = _mm_and_pd(_mm_cmpge_pd(x, lo), _mm_cmple_pd(x, hi));

        bits |= (uint64_t)(_mm_movemask_pd(in) == 3) << i;
    }
    return bits;
}

#else

static uint64_t in_rect(const struct sx_geo *p, uint32_t n, const struct eng_geo_rect *r)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < n; i++) {
        int is_in = (p[i].lon >= r->lon_lo) & (p[i].lon <= r->lon_hi) & (p[i].lat >= r->lat_lo) &
                    (p[i].lat <= r->lat_hi);

        bits |= (uint64_t)(uint32_t)is_in << i;
    }
    return bits;
}

#endif

/* --- testing ----------------------------------------------------------------------------- */

/* A grid over each covering rectangle, its cells judged when a first point falls into them: of many
 * candidates most lie in cells that are inside or outside as a whole. Few are tested directly. */
#define GRID       32u
#define GRID_AFTER 512u
#define UNKNOWN    3u

struct scan {
    struct eng_fwd_view view;
    const struct eng_geo_shape *shape;
    struct eng_geo_rect rect[2];
    uint32_t n_rects;
    uint32_t direct; /* candidates still to be tested directly */
    double lon_step[2], lat_step[2];
    uint8_t cell[2][GRID * GRID];
};

static void scan_init(struct scan *s,
                      const struct eng_geo_open *o,
                      uint32_t lo,
                      uint32_t hi,
                      const struct eng_leaf *leaf)
{
    eng_fwd_read(&o->fwd, lo, hi, &s->view);
    s->shape = eng_geo_leaf_shape(leaf);
    s->n_rects = eng_geo_cover(s->shape, s->rect);
    /* A box costs less than looking up a cell. */
    s->direct = s->shape->kind == SX_GEO_BOX ? UINT32_MAX : GRID_AFTER;
    memset(s->cell, UNKNOWN, sizeof(s->cell));
    for (uint32_t k = 0; k < s->n_rects; k++) {
        s->lon_step[k] = (s->rect[k].lon_hi - s->rect[k].lon_lo) / GRID;
        s->lat_step[k] = (s->rect[k].lat_hi - s->rect[k].lat_lo) / GRID;
    }
}

/* Number of the cell along one side. */
static uint32_t cell_at(double x, double lo, double step)
{
    double cell = step > 0 ? (x - lo) / step : 0;

    return cell < GRID - 1 ? (uint32_t)cell : GRID - 1;
}

static int judge(const struct scan *s, uint32_t k, uint32_t x, uint32_t y)
{
    const struct eng_geo_rect *all = &s->rect[k];
    struct eng_geo_rect r = {
        all->lon_lo + x * s->lon_step[k] - ENG_GEO_WIDEN,
        all->lon_lo + (x + 1) * s->lon_step[k] + ENG_GEO_WIDEN,
        all->lat_lo + y * s->lat_step[k] - ENG_GEO_WIDEN,
        all->lat_lo + (y + 1) * s->lat_step[k] + ENG_GEO_WIDEN,
    };

    return eng_geo_judge(s->shape, &r);
}

/* A point of the k-th rectangle. */
static int holds(struct scan *s, uint32_t k, struct sx_geo p)
{
    uint32_t x, y;
    uint8_t *cell;

    if (s->direct > 0) {
        s->direct--;
        return eng_geo_holds(s->shape, p);
    }
    x = cell_at(p.lon, s->rect[k].lon_lo, s->lon_step[k]);
    y = cell_at(p.lat, s->rect[k].lat_lo, s->lat_step[k]);
    cell = &s->cell[k][y * GRID + x];
    if (*cell == UNKNOWN)
        *cell = (uint8_t)judge(s, k, x, y);
    return *cell == ENG_GEO_PERHAPS ? eng_geo_holds(s->shape, p) : *cell == ENG_GEO_INSIDE;
}

/* Points i .. i + 63, as far as there are any. */
static uint64_t scan_word(struct scan *s, uint32_t i)
{
    const struct sx_geo *p = (const struct sx_geo *)s->view.val + i;
    uint32_t n = s->view.to - i < 64 ? s->view.to - i : 64;
    uint64_t out = 0;

    for (uint32_t k = 0; k < s->n_rects; k++) {
        uint64_t bits = in_rect(p, n, &s->rect[k]);

        for (; bits != 0; bits &= bits - 1) {
            uint32_t b = (uint32_t)__builtin_ctzll(bits);

            out |= (uint64_t)(uint32_t)holds(s, k, p[b]) << b;
        }
    }
    return out;
}

static uint32_t next_word(const struct scan *s, uint32_t i)
{
    return s->view.to - i < 64 ? s->view.to : i + 64;
}

void eng_geo_open_mask(const void *open,
                       const struct eng_leaf *leaf,
                       uint32_t lo,
                       uint32_t hi,
                       struct eng_bits *yes,
                       struct eng_bits *maybe SX_UNUSED)
{
    struct scan s;

    scan_init(&s, open, lo, hi, leaf);
    if (s.n_rects == 0)
        return;
    for (uint32_t i = s.view.from; i < s.view.to; i = next_word(&s, i))
        eng_fwd_emit(&s.view, i, scan_word(&s, i), yes);
}

/* The open part is counted exactly: points that match, and the rows they must have at least. */
void eng_geo_open_tally(const struct eng_geo_open *o,
                        uint32_t hi,
                        const struct eng_leaf *leaf,
                        struct eng_tally *out)
{
    uint64_t n = 0, entries, points;
    struct eng_fwd_view v;
    struct scan s;

    eng_fwd_read(&o->fwd, 0, hi, &v);
    entries = v.to - v.from;
    points = eng_fwd_points(&v);
    out->values += entries;
    out->distinct += entries;
    if (leaf == NULL || leaf->kind != ENG_LEAF_GEO)
        return;
    scan_init(&s, o, 0, hi, leaf);
    for (uint32_t i = s.view.from; i < s.view.to; i = next_word(&s, i))
        n += (uint32_t)__builtin_popcountll(scan_word(&s, i));
    out->lo += n > entries - points ? n - (entries - points) : 0;
    out->hi += n < points ? n : points;
}
