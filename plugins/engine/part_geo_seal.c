/* The sealed form of points: its layout, making it, checking it.
 *
 *   head   128 bytes
 *   code   u32 Morton codes, ascending
 *   at     longitude and latitude of each, f64
 *   rows   u16 of each
 *
 * 22 bytes a point. Codes could be computed from the points, but a search of a cell's end looks at
 * codes alone, sixteen to a cache line. */
#include <string.h>

#include "part_geo.h"
#include "part_numeric.h"

#include "sextant/sx_ban.h"

#define MAGIC 0x314f4547u /* "GEO1" */

struct head {
    uint32_t magic, type;
    uint64_t bytes; /* of all sections, head included */
    uint32_t lo, hi, points, entries;
    uint32_t most, pad;
    double lon, lat, lon_step, lat_step;
    uint8_t reserved[56];
};
_Static_assert(sizeof(struct head) == 128, "layout on disk");

struct layout {
    uint64_t code, at, rows, end;
};

static uint64_t round_up(uint64_t n)
{
    return (n + 63) & ~UINT64_C(63);
}

static void layout_of(uint32_t entries, struct layout *l)
{
    l->code = sizeof(struct head);
    l->at = l->code + round_up((uint64_t)entries * 4);
    l->rows = l->at + round_up((uint64_t)entries * sizeof(struct sx_geo));
    l->end = l->rows + round_up((uint64_t)entries * 2);
}

/* --- making ------------------------------------------------------------------------------ */

/* Counts, and the rectangle that holds all points. */
static void measure(const struct eng_fwd_view *v, struct head *h)
{
    const struct sx_geo *p = v->val;
    double lon_hi, lat_hi;
    uint32_t run = 0;

    h->entries = v->to - v->from;
    h->points = eng_fwd_points(v);
    if (h->entries == 0)
        return;
    h->lon = lon_hi = p[v->from].lon;
    h->lat = lat_hi = p[v->from].lat;
    for (uint32_t i = v->from; i < v->to; i++) {
        h->lon = p[i].lon < h->lon ? p[i].lon : h->lon;
        h->lat = p[i].lat < h->lat ? p[i].lat : h->lat;
        lon_hi = p[i].lon > lon_hi ? p[i].lon : lon_hi;
        lat_hi = p[i].lat > lat_hi ? p[i].lat : lat_hi;
        run = i > v->from && eng_fwd_row_of(v, i) == eng_fwd_row_of(v, i - 1) ? run + 1 : 1;
        h->most = run > h->most ? run : h->most;
    }
    h->lon_step = (lon_hi - h->lon) / 65536;
    h->lat_step = (lat_hi - h->lat) / 65536;
}

static uint32_t cut16(double x, double lo, double step)
{
    double cell = step > 0 ? (x - lo) / step : 0;

    return cell < 65535 ? (uint32_t)cell : 65535;
}

/* Bit i of x goes to bit 2 i. */
static uint32_t spread(uint32_t x)
{
    x = (x | x << 8) & 0x00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f;
    x = (x | x << 2) & 0x33333333;
    return (x | x << 1) & 0x55555555;
}

static int put_all(const struct eng_fwd_view *v,
                   const struct head *h,
                   const struct eng_num_pair *sorted,
                   struct sx_buf *out)
{
    const struct sx_geo *p = v->val;
    struct sx_geo *at;
    struct layout l;
    uint32_t *code;
    uint16_t *rows;
    char *to = sx_buf_reserve(out, h->bytes);

    if (to == NULL)
        return SX_ENOMEM;
    layout_of(h->entries, &l);
    memset(to, 0, h->bytes);
    memcpy(to, h, sizeof(*h));
    code = (uint32_t *)(void *)(to + l.code);
    at = (struct sx_geo *)(void *)(to + l.at);
    rows = (uint16_t *)(void *)(to + l.rows);
    for (uint32_t i = 0; i < h->entries; i++) {
        code[i] = (uint32_t)sorted[i].key;
        at[i] = p[sorted[i].row];
        rows[i] = (uint16_t)eng_fwd_row_of(v, sorted[i].row);
    }
    out->n += h->bytes;
    return SX_OK;
}

int eng_geo_seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    const struct eng_geo_open *o = open;
    const struct sx_mem *mem = o->eng->mem;
    struct head h = {.magic = MAGIC, .type = ENG_FIELD_GEO, .lo = lo, .hi = hi};
    struct eng_num_pair *pairs; /* code and entry */
    const struct sx_geo *p;
    struct eng_fwd_view v;
    struct layout l;
    int rc;

    eng_fwd_read(&o->fwd, lo, hi, &v);
    measure(&v, &h);
    layout_of(h.entries, &l);
    h.bytes = l.end;
    pairs = mem->alloc(mem, ((uint64_t)h.entries * 2 + 1) * sizeof(*pairs));
    if (pairs == NULL)
        return SX_ENOMEM;
    p = v.val;
    for (uint32_t i = 0; i < h.entries; i++) {
        struct sx_geo at = p[v.from + i];
        uint32_t x = cut16(at.lon, h.lon, h.lon_step), y = cut16(at.lat, h.lat, h.lat_step);

        pairs[i] = (struct eng_num_pair){spread(y) << 1 | spread(x), v.from + i, 0};
    }
    rc = put_all(&v, &h, eng_num_sort(pairs, pairs + h.entries, h.entries), out);
    mem->release(mem, pairs);
    return rc;
}

/* --- reading ----------------------------------------------------------------------------- */

void eng_geo_part_of(const uint8_t *p, struct eng_geo_part *t)
{
    struct layout l;
    struct head h;

    memcpy(&h, p, sizeof(h));
    layout_of(h.entries, &l);
    *t = (struct eng_geo_part){
        .lo = h.lo,
        .hi = h.hi,
        .points = h.points,
        .entries = h.entries,
        .most = h.most,
        .lon = h.lon,
        .lat = h.lat,
        .lon_step = h.lon_step,
        .lat_step = h.lat_step,
        .code = (const uint32_t *)(const void *)(p + l.code),
        .at = (const struct sx_geo *)(const void *)(p + l.at),
        .rows = (const uint16_t *)(const void *)(p + l.rows),
    };
}

static int head_is_sound(const struct head *h, uint64_t n)
{
    struct layout l;

    if (h->magic != MAGIC || h->type != ENG_FIELD_GEO || h->lo > h->hi || h->hi > SX_CHUNK_ROWS)
        return 0;
    if (h->points > h->hi - h->lo || h->points > h->entries || h->most > h->entries)
        return 0;
    if ((h->points == 0) != (h->entries == 0) || (h->most == 0) != (h->entries == 0))
        return 0;
    if (!eng_geo_in_range((struct sx_geo){h->lon, h->lat}))
        return 0;
    if (!(h->lon_step >= 0 && h->lon_step <= 1) || !(h->lat_step >= 0 && h->lat_step <= 1))
        return 0;
    layout_of(h->entries, &l);
    return h->bytes == l.end && n == l.end;
}

int eng_geo_check(const struct eng_field_schema *s SX_UNUSED, const uint8_t *p, uint64_t n)
{
    struct eng_geo_part t;
    struct head h;

    if (n < sizeof(h) || ((uintptr_t)p & 7) != 0)
        return SX_ECORRUPT;
    memcpy(&h, p, sizeof(h));
    if (!head_is_sound(&h, n))
        return SX_ECORRUPT;
    eng_geo_part_of(p, &t);
    for (uint32_t i = 0; i < t.entries; i++) {
        if ((i > 0 && t.code[i] < t.code[i - 1]) || t.rows[i] < t.lo || t.rows[i] >= t.hi ||
            !eng_geo_in_range(t.at[i]))
            return SX_ECORRUPT;
    }
    return SX_OK;
}
