/* needs: plugins/engine/part_numeric*.c plugins/engine/part_geo*.c */
/* Payload indexes of numbers and points: one part of 65 536 rows, what each question costs.
 *
 * Prints microseconds of processor time, best of several rounds, and bytes a row of the sealed
 * form. Ranges are named by the share of rows they match. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../plugins/engine/part_geo.h"
#include "../../plugins/engine/part_numeric.h"

#define ROWS   SX_CHUNK_ROWS
#define ROUNDS 30

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double uniform(void)
{
    return (double)(rnd() >> 11) * 0x1p-53;
}

static void retire(void (*fn)(void *arg), void *arg)
{
    fn(arg);
}

static const struct sx_epoch epoch = {.size = sizeof(epoch), .retire = retire};
static struct sx_cpu cpu = {.size = sizeof(cpu)};
static struct eng eng = {.epoch = &epoch, .cpu = &cpu};
static const struct eng_field_conf conf = {.eng = &eng};
static struct sx_step step = {.kind = SX_STEP_KEY, .key = {"a", 1, 0}};
static struct eng_field_schema schema = {.flags = ENG_FIELD_LOOKUP | ENG_FIELD_RANGE,
                                         .path = {1, 0, &step}};

/* Facets are counted by the caller: here a sum. */
struct eng_facet {
    uint64_t n;
};
int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n)
{
    k->n += n + (uint64_t)v % 2;
    return 0;
}

/* --- parts --------------------------------------------------------------------------------- */

enum { D_AGE, D_CENTS, D_ID, D_SECONDS, D_MICROS, D_F32, D_PRICE, D_F64, D_TAGS, D_KINDS };
static const struct {
    const char *name;
    uint32_t type;
} data[D_KINDS] = {
    {"integer, 100 values", ENG_FIELD_INTEGER},
    {"integer, 1 000 000 values", ENG_FIELD_INTEGER},
    {"integer, 64 bits random", ENG_FIELD_INTEGER},
    {"datetime, whole seconds", ENG_FIELD_DATETIME},
    {"datetime, microseconds", ENG_FIELD_DATETIME},
    {"float that was f32", ENG_FIELD_FLOAT},
    {"float, two decimals", ENG_FIELD_FLOAT},
    {"float, uniform", ENG_FIELD_FLOAT},
    {"integer, 3 of 1000 a row", ENG_FIELD_INTEGER},
};

static void put_time(struct sx_docb *b, uint64_t us)
{
    char text[64];
    time_t s = 1700000000 + (time_t)(us / 1000000);
    struct tm tm;
    uint32_t n;

    gmtime_r(&s, &tm);
    n = (uint32_t)strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (uint32_t)snprintf(text + n, 24, ".%06uZ", (uint32_t)(us % 1000000));
    sx_docb_str(b, text, n);
}

static void put_value(struct sx_docb *b, uint32_t d)
{
    switch (d) {
    case D_AGE:
        sx_docb_i64(b, (int64_t)(rnd() % 100));
        break;
    case D_CENTS:
        sx_docb_i64(b, (int64_t)(rnd() % 1000000));
        break;
    case D_ID:
        sx_docb_i64(b, (int64_t)rnd());
        break;
    case D_SECONDS:
        put_time(b, rnd() % 31536000 * 1000000);
        break;
    case D_MICROS:
        put_time(b, rnd() % (31536000u * UINT64_C(1000000)));
        break;
    case D_F32:
        sx_docb_f64(b, (double)(float)uniform());
        break;
    case D_PRICE:
        sx_docb_f64(b, (double)(rnd() % 100000) / 100);
        break;
    case D_F64:
        sx_docb_f64(b, uniform());
        break;
    default:
        sx_docb_arr(b);
        for (uint32_t i = 0; i < 3; i++)
            sx_docb_i64(b, (int64_t)(rnd() % 1000));
        sx_docb_close(b);
    }
}

static void put_point(struct sx_docb *b)
{
    sx_docb_obj(b);
    sx_docb_ckey(b, "lon");
    sx_docb_f64(b, uniform() * 20);
    sx_docb_ckey(b, "lat");
    sx_docb_f64(b, 40 + uniform() * 10);
    sx_docb_close(b);
}

static struct sx_doc doc[ROWS];

static void make_docs(uint32_t d, struct sx_arena *arena)
{
    struct sx_docb b;

    sx_docb_init(&b, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        sx_docb_reset(&b);
        sx_docb_obj(&b);
        sx_docb_ckey(&b, "a");
        if (d == D_KINDS)
            put_point(&b);
        else
            put_value(&b, d);
        sx_docb_close(&b);
        doc[i] = sx_docb_end_arena(&b, arena);
    }
    sx_docb_fini(&b);
}

/* --- measuring ----------------------------------------------------------------------------- */

static struct eng_bits yes, maybe;

static uint32_t hits(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        n += (uint32_t)__builtin_popcountll(yes.w[i]);
    return n;
}

struct part {
    const struct eng_part_ops *ops;
    void *open;
    uint8_t *sealed;
};

static double time_mask(const struct part *p, const struct eng_leaf *leaf, int is_sealed)
{
    double best = 1e9;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        double t;

        memset(&yes, 0, sizeof(yes));
        t = now_us();
        if (is_sealed)
            p->ops->mask(&schema, p->sealed, leaf, &yes, &maybe);
        else
            p->ops->open_mask(p->open, leaf, 0, ROWS, &yes, &maybe);
        t = now_us() - t;
        best = t < best ? t : best;
    }
    return best;
}

static void print_mask(const struct part *p, const struct eng_leaf *leaf, const char *name)
{
    double open = time_mask(p, leaf, 0), sealed = time_mask(p, leaf, 1);

    printf("    %-28s %6u rows   open %8.1f   sealed %8.1f\n", name, hits(), open, sealed);
}

static void make_part(struct part *p, uint64_t *bytes)
{
    struct sx_buf out;
    double t = now_us(), added, sealed;

    p->open = p->ops->open_create(&conf, &schema);
    for (uint32_t i = 0; i < ROWS; i++)
        p->ops->open_add(p->open, i, doc[i]);
    added = now_us() - t;
    sx_buf_init(&out, eng.mem);
    t = now_us();
    p->ops->seal(p->open, 0, ROWS, &out);
    sealed = now_us() - t;
    p->sealed = aligned_alloc(64, out.n);
    memcpy(p->sealed, out.p, out.n);
    *bytes = out.n;
    sx_buf_fini(&out);
    t = now_us();
    if (p->ops->check(&schema, p->sealed, *bytes) != 0)
        abort();
    t = now_us() - t;
    printf("    add %.0f ns a row, open %.1f bytes a row; seal %.0f us, check %.0f us, %.1f bytes "
           "a row\n",
           added * 1000 / ROWS, (double)p->ops->open_bytes(p->open) / ROWS, sealed, t,
           (double)*bytes / ROWS);
}

static void bench_order(const struct part *p)
{
    for (uint32_t k = 0; k < 4; k++) {
        const uint32_t limit = k % 2 ? ROWS : 10;
        double best = 1e9;

        for (uint32_t i = 0; i < 5; i++) {
            struct sx_order_by by = {.is_desc = 1};
            struct eng_order_cursor c = {0};
            struct eng_order_entry e;
            struct sx_arena arena;
            double t = now_us();

            sx_arena_init(&arena, eng.mem, 0);
            p->ops->order(&schema, k < 2 ? NULL : p->sealed, p->open, ROWS, &by, &arena, &c);
            for (uint32_t n = 0; n < limit && c.next(&c, &e); n++)
                yes.w[0] ^= e.row;
            sx_arena_fini(&arena);
            t = now_us() - t;
            best = t < best ? t : best;
        }
        printf("    order, first %-6u %s %8.1f\n", limit, k < 2 ? "open  " : "sealed", best);
    }
}

static void bench_facet(const struct part *p)
{
    for (uint32_t share = 1; share <= 100; share *= 10) {
        struct eng_bits bits = {{0}};
        struct eng_facet k = {0};
        double best[2] = {1e9, 1e9};

        for (uint32_t i = 0; i < ROWS; i++) {
            if (rnd() % share == 0)
                eng_bits_set(&bits, i);
        }
        for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
            double t = now_us();

            p->ops->facet(&k, i % 2 ? p->sealed : NULL, p->open, ROWS, &bits);
            t = now_us() - t;
            best[i % 2] = t < best[i % 2] ? t : best[i % 2];
        }
        printf("    facet of 1/%-3u rows: open %8.1f   sealed %8.1f (without the sums)\n", share,
               best[0], best[1]);
    }
}

/* The keys at the ends of a share of all entries. */
static void range_of(const struct part *p, double share, struct eng_prep_range *r)
{
    struct eng_num_part t;
    uint32_t n, lo = 0, hi = 0;

    eng_num_part_of(p->sealed, &t);
    n = (uint32_t)(share * t.entries);
    while (eng_num_start_of(&t, lo + 1) <= (t.entries - n) / 2)
        lo++;
    for (hi = lo; hi + 1 < t.distinct && eng_num_start_of(&t, hi + 1) < (t.entries - n) / 2 + n;
         hi++)
        ;
    memset(r, 0, sizeof(*r));
    r->is_int = 1;
    r->lo = eng_num_key_of(&t, lo);
    r->hi = eng_num_key_of(&t, hi);
    if (schema.type == ENG_FIELD_FLOAT) {
        struct eng_order_entry e;

        eng_num_entry(schema.type, r->lo, &e);
        r->f_lo = e.f;
        eng_num_entry(schema.type, r->hi, &e);
        r->f_hi = e.f;
    }
}

static void bench_ints(const struct part *p)
{
    static int64_t list[1000];
    struct eng_num_part t;

    eng_num_part_of(p->sealed, &t);
    for (uint32_t n = 1; n <= 1000; n *= 10) {
        struct sx_cond cond = {.match = {.kind = SX_MATCH_ANY_INT}};
        struct eng_prep_ints ints = {n, 0, list};
        struct eng_leaf leaf = {.kind = ENG_LEAF_MATCH, .cond = &cond, .prep = &ints};
        char name[40];

        ints.n = n < t.distinct ? n : t.distinct;
        for (uint32_t i = 0; i < ints.n; i++)
            list[i] = eng_num_key_of(&t, (uint32_t)((uint64_t)i * t.distinct / ints.n));
        snprintf(name, sizeof(name), "any of %u", ints.n);
        print_mask(p, &leaf, name);
        cond.match.kind = SX_MATCH_EXCEPT_INT;
        snprintf(name, sizeof(name), "except %u", ints.n);
        print_mask(p, &leaf, name);
    }
}

static void bench_numbers(uint32_t d)
{
    static const double shares[] = {0.0001, 0.01, 0.05, 0.2, 0.5, 0.9};
    struct part p = {.ops = data[d].type == ENG_FIELD_INTEGER ? &eng_part_integer
                            : data[d].type == ENG_FIELD_FLOAT ? &eng_part_float
                                                              : &eng_part_datetime};
    struct eng_prep_range r;
    struct eng_leaf leaf = {.kind = ENG_LEAF_RANGE, .prep = &r};
    struct sx_cond cond = {0};
    struct sx_arena arena;
    uint64_t bytes;

    printf("%s\n", data[d].name);
    schema.type = data[d].type;
    leaf.cond = &cond;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    make_docs(d, &arena);
    make_part(&p, &bytes);
    for (uint32_t i = 0; i < SX_COUNT(shares); i++) {
        char name[40];

        range_of(&p, shares[i], &r);
        snprintf(name, sizeof(name), "range of %g %%", shares[i] * 100);
        print_mask(&p, &leaf, name);
    }
    if (d == D_CENTS)
        bench_order(&p);
    if (d == D_AGE || d == D_CENTS || d == D_TAGS) {
        bench_ints(&p);
        bench_facet(&p);
    }
    p.ops->open_destroy(p.open);
    free(p.sealed);
    sx_arena_fini(&arena);
}

/* --- points -------------------------------------------------------------------------------- */

static void bench_shape(const struct part *p, struct sx_geo_cond *geo, const char *name)
{
    struct sx_cond cond = {.geo = geo};
    struct eng_prep_geo prep;
    struct eng_leaf leaf = {.kind = ENG_LEAF_GEO, .cond = &cond, .prep = &prep};
    struct eng_tally tally = {0};
    double t;

    eng_geo_shape_init(&prep.shape, geo, geo->kinds);
    print_mask(p, &leaf, name);
    t = now_us();
    p->ops->tally(&schema, p->sealed, NULL, 0, &leaf, &tally);
    printf("      estimate %u .. %u, %.1f\n", (uint32_t)tally.lo, (uint32_t)tally.hi, now_us() - t);
}

static void bench_geo(void)
{
    static const double shares[] = {0.0001, 0.01, 0.2, 0.5};
    struct part p = {.ops = &eng_part_geo};
    struct sx_geo ring[101];
    struct sx_arena arena;
    uint64_t bytes;

    printf("points, 20 by 10 degrees\n");
    schema.type = ENG_FIELD_GEO;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    make_docs(D_KINDS, &arena);
    make_part(&p, &bytes);
    for (uint32_t i = 0; i < SX_COUNT(shares); i++) {
        double half = sqrt(shares[i]) / 2, r = sqrt(shares[i] * 200 / 3.14159265);
        struct sx_geo_cond box = {.kinds = SX_GEO_BOX}, circle = {.kinds = SX_GEO_RADIUS},
                           polygon = {.kinds = SX_GEO_POLYGON};
        char name[40];

        box.top_left = (struct sx_geo){10 - 20 * half, 45 + 10 * half};
        box.bottom_right = (struct sx_geo){10 + 20 * half, 45 - 10 * half};
        snprintf(name, sizeof(name), "box of %g %%", shares[i] * 100);
        bench_shape(&p, &box, name);
        circle.center = (struct sx_geo){10, 45};
        circle.radius = r * 94000;
        snprintf(name, sizeof(name), "circle of %g %%", shares[i] * 100);
        bench_shape(&p, &circle, name);
        for (uint32_t k = 0; k <= 100; k++)
            ring[k] = (struct sx_geo){10 + r * cos(k % 100 * 0.0628318),
                                      45 + r * sin(k % 100 * 0.0628318)};
        polygon.exterior = (struct sx_geo_ring){101, 0, ring};
        snprintf(name, sizeof(name), "polygon of %g %%, 100 edges", shares[i] * 100);
        bench_shape(&p, &polygon, name);
    }
    p.ops->open_destroy(p.open);
    free(p.sealed);
    sx_arena_fini(&arena);
}

int main(void)
{
    eng.mem = sx_mem_libc();
    for (uint32_t k = 0; k < 2; k++) {
#if defined(__x86_64__)
        cpu.bits = k == 1 && __builtin_cpu_supports("avx2") ? SX_CPU_AVX2 : 0;
#endif
        printf("--- %s\n", cpu.bits != 0 ? "avx2" : "portable");
        for (uint32_t d = 0; d < D_KINDS; d++) {
            if (k == 1 || d == D_CENTS)
                bench_numbers(d);
        }
    }
    bench_geo();
    return 0;
}
