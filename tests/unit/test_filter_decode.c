/* Filters out of request bodies.
 *
 * A generator writes random filters twice: as JSON in all spellings that are allowed (members in
 * any order, unknown ones beside them, structs as lists, escapes, blanks), and in a plain notation
 * of its own; what the decoder made of the JSON is printed in that notation and must be the same.
 * Then the texts of errors, their positions (a "^" stands behind the byte to blame) and their
 * paths. */
/* needs: plugins/transport-rest/decode.c */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport-rest/decode.h"

static struct sx_arena arena;
static struct sx_docb docb;
static struct rest_dec dec;
static struct sx_op op;

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_docb_fini(&docb);
    sx_arena_fini(&arena);
    return 0;
}

static int decode_n(uint32_t code, const char *body, uint64_t n)
{
    sx_arena_reset(&arena);
    memset(&op, 0, sizeof(op));
    op.code = code;
    op.arena = &arena;
    dec.arena = &arena;
    dec.docb = &docb;
    return rest_decode(&dec, &op, body, n);
}

static int decode(uint32_t code, const char *body)
{
    return decode_n(code, body, strlen(body));
}

/* --- the plain notation --------------------------------------------------------------------- */

static void put_str(struct sx_buf *b, struct sx_str s)
{
    sx_jsonw_str(b, s.p, s.n);
}

static void put_f64(struct sx_buf *b, double v)
{
    sx_buf_printf(b, "%.17g", v);
}

static void put_path(struct sx_buf *b, const struct sx_path *path)
{
    sx_buf_addc(b, '<');
    sx_path_print(path, b);
    sx_buf_addc(b, '>');
}

static void put_match(struct sx_buf *b, const struct sx_match *m)
{
    static const char *const names[] = {
        "none",   "str",       "int",     "bool",    "text",       "text_any",  "phrase",
        "prefix", "substring", "any_str", "any_int", "except_str", "except_int"};

    sx_buf_printf(b, " match %s ", names[m->kind]);
    switch (m->kind) {
    case SX_MATCH_INT:
    case SX_MATCH_BOOL:
        sx_buf_printf(b, "%lld", (long long)m->i);
        break;
    case SX_MATCH_ANY_STR:
    case SX_MATCH_EXCEPT_STR:
        for (uint32_t i = 0; i < m->n; i++)
            put_str(b, m->strs[i]);
        break;
    case SX_MATCH_ANY_INT:
    case SX_MATCH_EXCEPT_INT:
        for (uint32_t i = 0; i < m->n; i++)
            sx_buf_printf(b, "%lld,", (long long)m->ints[i]);
        break;
    default:
        put_str(b, m->str);
        break;
    }
}

static void put_range(struct sx_buf *b, const struct sx_range *r)
{
    const double nums[] = {r->lt, r->lte, r->gt, r->gte};
    const struct sx_instant times[] = {r->t_lt, r->t_lte, r->t_gt, r->t_gte};

    sx_buf_printf(b, " range %u", r->kind);
    for (uint32_t i = 0; i < 4; i++) {
        if ((r->has & 1u << i) == 0)
            continue;
        sx_buf_printf(b, " %u:", 1u << i);
        if (r->kind == SX_RANGE_NUM)
            put_f64(b, nums[i]);
        else
            sx_buf_printf(b, "%lld.%u", (long long)times[i].s, times[i].ns);
    }
}

static void put_count(struct sx_buf *b, const struct sx_count_range *r)
{
    const uint64_t nums[] = {r->lt, r->lte, r->gt, r->gte};

    sx_buf_adds(b, " count");
    for (uint32_t i = 0; i < 4; i++)
        if ((r->has & 1u << i) != 0)
            sx_buf_printf(b, " %u:%llu", 1u << i, (unsigned long long)nums[i]);
}

static void put_geo(struct sx_buf *b, const struct sx_geo *g)
{
    sx_buf_addc(b, '(');
    put_f64(b, g->lon);
    sx_buf_addc(b, ',');
    put_f64(b, g->lat);
    sx_buf_addc(b, ')');
}

static void put_ring(struct sx_buf *b, const struct sx_geo_ring *r)
{
    sx_buf_addc(b, '{');
    for (uint32_t i = 0; i < r->n; i++)
        put_geo(b, &r->points[i]);
    sx_buf_addc(b, '}');
}

static void put_geo_cond(struct sx_buf *b, const struct sx_geo_cond *g)
{
    if ((g->kinds & SX_GEO_BOX) != 0) {
        sx_buf_adds(b, " box ");
        put_geo(b, &g->top_left);
        put_geo(b, &g->bottom_right);
    }
    if ((g->kinds & SX_GEO_RADIUS) != 0) {
        sx_buf_adds(b, " radius ");
        put_geo(b, &g->center);
        put_f64(b, g->radius);
    }
    if ((g->kinds & SX_GEO_POLYGON) != 0) {
        sx_buf_adds(b, " polygon ");
        put_ring(b, &g->exterior);
        for (uint32_t i = 0; i < g->n_interiors; i++)
            put_ring(b, &g->interiors[i]);
    }
}

static void put_filter(struct sx_buf *b, const struct sx_filter *f);

static void put_cond(struct sx_buf *b, const struct sx_cond *c)
{
    static const char *const names[] = {"never",      "field", "is_empty", "is_null", "has_id",
                                        "has_vector", "slice", "nested",   "filter"};

    sx_buf_printf(b, "[%s", names[c->kind]);
    if (c->key.n != 0)
        put_path(b, &c->key);
    if (c->match.kind != SX_MATCH_NONE)
        put_match(b, &c->match);
    if (c->range.kind != SX_RANGE_NONE)
        put_range(b, &c->range);
    if (c->geo != NULL)
        put_geo_cond(b, c->geo);
    if (c->values_count.present)
        put_count(b, &c->values_count);
    if (c->is_empty != SX_TRI_NONE)
        sx_buf_printf(b, " empty %u", c->is_empty);
    if (c->is_null != SX_TRI_NONE)
        sx_buf_printf(b, " null %u", c->is_null);
    for (uint32_t i = 0; i < c->n_ids; i++)
        sx_jsonw_id(b, c->ids[i]);
    if (c->kind == SX_COND_HAS_VECTOR)
        put_str(b, c->vector);
    if (c->kind == SX_COND_SLICE)
        sx_buf_printf(b, " %u/%u", c->slice_at, c->slice_total);
    if (c->filter != NULL)
        put_filter(b, c->filter);
    sx_buf_addc(b, ']');
}

static void put_conds(struct sx_buf *b, const char *name, const struct sx_cond *c, uint32_t n)
{
    if (n == 0)
        return;
    sx_buf_printf(b, " %s:", name);
    for (uint32_t i = 0; i < n; i++)
        put_cond(b, &c[i]);
}

static void put_filter(struct sx_buf *b, const struct sx_filter *f)
{
    sx_buf_adds(b, "(");
    put_conds(b, "must", f->must, f->n_must);
    put_conds(b, "should", f->should, f->n_should);
    put_conds(b, "must_not", f->must_not, f->n_must_not);
    if (f->has_should)
        sx_buf_adds(b, " has_should");
    if (f->has_min_should)
        sx_buf_printf(b, " min %llu", (unsigned long long)f->min_count);
    put_conds(b, "conditions", f->min_should, f->n_min_should);
    sx_buf_addc(b, ')');
}

/* --- the generator -------------------------------------------------------------------------- */

static uint64_t seed;

static uint32_t roll(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

/* Both texts of one thing. */
struct both {
    struct sx_buf json, want;
};

static void both_init(struct both *b)
{
    sx_buf_init(&b->json, sx_mem_libc());
    sx_buf_init(&b->want, sx_mem_libc());
}

static void both_fini(struct both *b)
{
    sx_buf_fini(&b->json);
    sx_buf_fini(&b->want);
}

static void blank(struct sx_buf *b)
{
    static const char *const blanks[] = {"", "", "", " ", "\n", "\t \r"};

    sx_buf_adds(b, blanks[roll(6)]);
}

/* Members of an object, written in random order in the end. */
#define MEMBERS_MAX 16u
struct members {
    char *text[MEMBERS_MAX];
    uint32_t n;
};

static void member(struct members *m, const char *name, struct sx_buf *value)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_buf_addc(&b, '"');
    if (roll(8) == 0) /* an escape in the name means the same */
        sx_buf_printf(&b, "\\u%04x%s", (unsigned char)name[0], name + 1);
    else
        sx_buf_adds(&b, name);
    sx_buf_adds(&b, "\":");
    blank(&b);
    sx_buf_add(&b, value->p, value->n);
    sx_buf_addc(&b, '\0');
    assert_true(m->n < MEMBERS_MAX && !b.failed);
    m->text[m->n++] = b.p;
    value->n = 0;
}

static void close_members(struct members *m, int unknown, struct sx_buf *out)
{
    static const char *const others[] = {"\"zz\":{\"key\":[]}", "\"Match\":1", "\"\":null"};
    uint32_t left = m->n;

    sx_buf_addc(out, '{');
    if (unknown && roll(5) == 0)
        sx_buf_printf(out, "%s%s", others[roll(3)], left != 0 ? "," : "");
    while (left > 0) {
        uint32_t i = roll(left);
        char *text = m->text[i];

        m->text[i] = m->text[--left];
        sx_buf_adds(out, text);
        blank(out);
        sx_buf_adds(out, left != 0 ? "," : "");
        free(text);
    }
    sx_buf_addc(out, '}');
    m->n = 0;
}

static void gen_str(struct sx_buf *json, struct sx_buf *want)
{
    static const struct {
        const char *json, *text;
    } strs[] = {
        {"\"\"", ""},
        {"\"a\"", "a"},
        {"\"caf\\u00e9\"", "caf\xc3\xa9"},
        {"\"caf\xc3\xa9\"", "caf\xc3\xa9"},
        {"\"say \\\"x\\\" \\\\\"", "say \"x\" \\"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"550e8400-e29b-41d4-a716-446655440000\"", "550e8400-e29b-41d4-a716-446655440000"}};
    uint32_t i = roll(SX_COUNT(strs));

    sx_buf_adds(json, strs[i].json);
    sx_jsonw_str(want, strs[i].text, strlen(strs[i].text));
}

static void gen_path(struct sx_buf *json, struct sx_buf *want)
{
    static const struct {
        const char *json, *canonical;
    } paths[] = {{"\"a\"", "a"},
                 {"\"a.b\"", "a.b"},
                 {"\"\\\"a\\\".b\"", "a.b"},
                 {"\"a[].b[007]\"", "a[].b[7]"},
                 {"\"\\\"a b\\\"\"", "\"a b\""},
                 {"\"\\u00e9-_1\"", "\xc3\xa9-_1"}};
    uint32_t i = roll(SX_COUNT(paths));

    sx_buf_adds(json, paths[i].json);
    sx_buf_printf(want, "<%s>", paths[i].canonical);
}

static const char *gen_int(struct sx_buf *json)
{
    static const char *const ints[] = {
        "0", "1", "-1", "42", "9223372036854775807", "-9223372036854775808"};
    const char *text = ints[roll(SX_COUNT(ints))];

    sx_buf_adds(json, text);
    return text;
}

static double gen_num(struct sx_buf *json)
{
    static const char *const nums[] = {
        "0", "-0", "1", "-2.5", "1e300", "1E-7", "18446744073709551615", "0.1"};
    const char *text = nums[roll(SX_COUNT(nums))];

    sx_buf_adds(json, text);
    return strtod(text, NULL);
}

static void gen_list(struct both *b, void (*one)(struct both *b))
{
    uint32_t n = roll(4);

    sx_buf_addc(&b->json, '[');
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(&b->json, i != 0 ? "," : "");
        blank(&b->json);
        one(b);
    }
    blank(&b->json);
    sx_buf_addc(&b->json, ']');
}

static void one_str(struct both *b)
{
    gen_str(&b->json, &b->want);
}

static void gen_ints(struct both *b)
{
    uint32_t n = 1 + roll(3);

    sx_buf_addc(&b->json, '[');
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(&b->json, i != 0 ? "," : "");
        sx_buf_printf(&b->want, "%s,", gen_int(&b->json));
    }
    sx_buf_addc(&b->json, ']');
}

static void gen_match(struct both *b, struct sx_buf *out)
{
    static const char *const texts[] = {"text", "text_any", "phrase", "prefix", "substring"};
    struct members m = {.n = 0};
    uint32_t kind = roll(8);
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    if (kind < 5) {
        sx_buf_printf(&b->want, " match %s ", texts[kind]);
        gen_str(&v, &b->want);
        member(&m, texts[kind], &v);
    } else if (kind == 5) {
        uint32_t type = roll(3);

        sx_buf_printf(&b->want, " match %s ", type == 0 ? "str" : type == 1 ? "int" : "bool");
        if (type == 0)
            gen_str(&v, &b->want);
        else if (type == 1)
            sx_buf_adds(&b->want, gen_int(&v));
        else if (roll(2) == 0) {
            sx_buf_adds(&v, "true");
            sx_buf_adds(&b->want, "1");
        } else {
            sx_buf_adds(&v, "false");
            sx_buf_adds(&b->want, "0");
        }
        member(&m, "value", &v);
    } else {
        struct both list = {v, b->want};
        const char *name = kind == 6 ? "any" : "except";
        int ints = roll(2) == 0;

        sx_buf_printf(&list.want, " match %s_%s ", name, ints ? "int" : "str");
        if (ints)
            gen_ints(&list);
        else
            gen_list(&list, one_str);
        b->want = list.want;
        v = list.json;
        member(&m, name, &v);
    }
    close_members(&m, 1, out);
    sx_buf_fini(&v);
}

/* Fields of a struct: as an object, or the list of them all. */
static void close_struct(struct members *m, uint32_t n, int may_list, struct sx_buf *out)
{
    if (!may_list || m->n != n || roll(4) != 0) {
        close_members(m, 1, out);
        return;
    }
    sx_buf_addc(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        const char *value = strchr(m->text[i], ':') + 1;

        sx_buf_printf(out, "%s%s", i != 0 ? "," : "", value);
        free(m->text[i]);
    }
    sx_buf_addc(out, ']');
    m->n = 0;
}

static const char *const bound_names[] = {"lt", "gt", "gte", "lte"};
static const uint32_t bound_bits[] = {SX_BOUND_LT, SX_BOUND_GT, SX_BOUND_GTE, SX_BOUND_LTE};

/* The bounds in the order of the notation. */
static void gen_bounds(struct both *b,
                       struct sx_buf *out,
                       void (*one)(struct sx_buf *json, struct sx_buf *want))
{
    struct members m = {.n = 0};
    struct sx_buf v, want[4];

    sx_buf_init(&v, sx_mem_libc());
    for (uint32_t i = 0; i < 4; i++) {
        sx_buf_init(&want[i], sx_mem_libc());
        if (roll(2) == 0) {
            one(&v, &want[i]);
            member(&m, bound_names[i], &v);
        } else if (roll(2) == 0) {
            sx_buf_adds(&v, "null");
            member(&m, bound_names[i], &v);
        }
    }
    for (uint32_t bit = 1; bit < 16; bit *= 2)
        for (uint32_t i = 0; i < 4; i++)
            if (bound_bits[i] == bit && want[i].n != 0) {
                sx_buf_printf(&b->want, " %u:", bit);
                sx_buf_add(&b->want, want[i].p, want[i].n);
            }
    for (uint32_t i = 0; i < 4; i++)
        sx_buf_fini(&want[i]);
    close_struct(&m, 4, 1, out);
    sx_buf_fini(&v);
}

static void one_num(struct sx_buf *json, struct sx_buf *want)
{
    put_f64(want, gen_num(json));
}

static void one_time(struct sx_buf *json, struct sx_buf *want)
{
    static const struct {
        const char *text;
        long long s;
        uint32_t ns;
    } times[] = {{"1970-01-01T00:00:00Z", 0, 0},
                 {"2024-02-29", 1709164800, 0},
                 {"2024-02-29 10:11:12.5", 1709201472, 500000000},
                 {"1969-12-31T23:59:59.25+00:00", -1, 250000000}};
    uint32_t i = roll(SX_COUNT(times));

    sx_buf_printf(json, "\"%s\"", times[i].text);
    sx_buf_printf(want, "%lld.%u", times[i].s, times[i].ns);
}

static void one_size(struct sx_buf *json, struct sx_buf *want)
{
    static const char *const sizes[] = {"0", "7", "18446744073709551615"};
    const char *text = sizes[roll(3)];

    sx_buf_adds(json, text);
    sx_buf_adds(want, text);
}

static void gen_geo_at(struct sx_buf *json, struct sx_buf *want, double lon, double lat)
{
    struct members m = {.n = 0};
    struct sx_buf v;
    struct sx_geo g = {lon, lat};

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_printf(&v, "%.17g", lon);
    member(&m, "lon", &v);
    sx_buf_printf(&v, "%.17g", lat);
    member(&m, "lat", &v);
    put_geo(want, &g);
    close_struct(&m, 2, 1, json);
    sx_buf_fini(&v);
}

static void gen_geo(struct sx_buf *json, struct sx_buf *want)
{
    gen_geo_at(json, want, (double)roll(721) / 2 - 180, (double)roll(361) / 2 - 90);
}

static void gen_ring(struct sx_buf *json, struct sx_buf *want)
{
    double lon = roll(90), lat = roll(80);
    struct members m = {.n = 0};
    uint32_t n = 3 + roll(3);
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_addc(&v, '[');
    sx_buf_addc(want, '{');
    for (uint32_t i = 0; i <= n; i++) {
        sx_buf_adds(&v, i != 0 ? "," : "");
        gen_geo_at(&v, want, i == n ? lon : lon + (double)i, lat + (i == n ? 0 : 2));
        if (i == 0) { /* the first point again, as the last one */
            want->n = 0;
            v.n = 0;
            sx_buf_addc(&v, '[');
            sx_buf_addc(want, '{');
            gen_geo_at(&v, want, lon, lat);
        }
    }
    sx_buf_addc(&v, ']');
    sx_buf_addc(want, '}');
    member(&m, "points", &v);
    close_struct(&m, 1, 1, json);
    sx_buf_fini(&v);
}

static void gen_box(struct both *b, struct sx_buf *out)
{
    struct members m = {.n = 0};
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_adds(&b->want, " box ");
    gen_geo(&v, &b->want);
    member(&m, "top_left", &v);
    gen_geo(&v, &b->want);
    member(&m, "bottom_right", &v);
    close_struct(&m, 2, 1, out);
    sx_buf_fini(&v);
}

static void gen_radius(struct both *b, struct sx_buf *out)
{
    struct members m = {.n = 0};
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_adds(&b->want, " radius ");
    gen_geo(&v, &b->want);
    member(&m, "center", &v);
    put_f64(&b->want, gen_num(&v));
    member(&m, "radius", &v);
    close_struct(&m, 2, 1, out);
    sx_buf_fini(&v);
}

static void gen_polygon(struct both *b, struct sx_buf *out)
{
    struct members m = {.n = 0};
    struct sx_buf v, ring;
    uint32_t n = roll(3);

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_init(&ring, sx_mem_libc());
    sx_buf_adds(&b->want, " polygon ");
    gen_ring(&v, &ring);
    sx_buf_add(&b->want, ring.p, ring.n);
    member(&m, "exterior", &v);
    if (n != 0 || roll(2) == 0) {
        sx_buf_addc(&v, '[');
        for (uint32_t i = 0; i < n; i++) {
            sx_buf_adds(&v, i != 0 ? "," : "");
            ring.n = 0;
            gen_ring(&v, &ring);
            sx_buf_add(&b->want, ring.p, ring.n);
        }
        sx_buf_addc(&v, ']');
        member(&m, "interiors", &v);
    }
    close_struct(&m, 2, 1, out);
    sx_buf_fini(&v);
    sx_buf_fini(&ring);
}

static void gen_tri(struct members *m, const char *name, const char *noun, struct sx_buf *want)
{
    uint32_t yes = roll(2);
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_adds(&v, yes ? "true" : "false");
    sx_buf_printf(want, " %s %u", noun, yes ? SX_TRI_TRUE : SX_TRI_FALSE);
    member(m, name, &v);
    sx_buf_fini(&v);
}

/* A field condition: the clauses in the order of the notation, each given or not, one at least. */
static void gen_field(struct both *b)
{
    uint32_t clauses = roll(4) == 0 ? 1 + roll(255) : 1u << roll(8), times = roll(2);
    struct members m = {.n = 0};
    struct sx_buf v;

    sx_buf_init(&v, sx_mem_libc());
    sx_buf_adds(&b->want, "[field");
    gen_path(&v, &b->want);
    member(&m, "key", &v);
    if ((clauses & 1) != 0) {
        gen_match(b, &v);
        member(&m, "match", &v);
    }
    if ((clauses & 2) != 0) {
        uint64_t at = b->want.n;

        sx_buf_printf(&b->want, " range %u", 1 + times);
        at = b->want.n;
        gen_bounds(b, &v, times ? one_time : one_num);
        if (b->want.n == at) /* without any bound it is one of numbers */
            b->want.p[at - 1] = '1';
        member(&m, "range", &v);
    }
    if ((clauses & 4) != 0) {
        gen_box(b, &v);
        member(&m, "geo_bounding_box", &v);
    }
    if ((clauses & 8) != 0) {
        gen_radius(b, &v);
        member(&m, "geo_radius", &v);
    }
    if ((clauses & 16) != 0) {
        gen_polygon(b, &v);
        member(&m, "geo_polygon", &v);
    }
    if ((clauses & 32) != 0) {
        sx_buf_adds(&b->want, " count");
        gen_bounds(b, &v, one_size);
        member(&m, "values_count", &v);
    }
    if ((clauses & 64) != 0)
        gen_tri(&m, "is_empty", "empty", &b->want);
    else if (roll(4) == 0) {
        sx_buf_adds(&v, "null");
        member(&m, "is_empty", &v);
    }
    if ((clauses & 128) != 0)
        gen_tri(&m, "is_null", "null", &b->want);
    close_members(&m, 1, &b->json);
    sx_buf_addc(&b->want, ']');
    sx_buf_fini(&v);
}

static void gen_filter(struct both *b, uint32_t depth);

static void one_id(struct both *b)
{
    static const struct {
        const char *json, *want;
    } ids[] = {{"0", "0"},
               {"18446744073709551615", "18446744073709551615"},
               {"\"550E8400E29B41D4A716446655440000\"", "\"550e8400-e29b-41d4-a716-446655440000\""},
               {"\"urn:uuid:550e8400-e29b-41d4-a716-446655440000\"",
                "\"550e8400-e29b-41d4-a716-446655440000\""}};
    uint32_t i = roll(SX_COUNT(ids));

    sx_buf_adds(&b->json, ids[i].json);
    sx_buf_adds(&b->want, ids[i].want);
}

/* The value of a condition's one member, and its notation. */
static void gen_other(struct both *b, uint32_t kind, uint32_t depth)
{
    struct members m = {.n = 0};
    struct both in;
    uint32_t total;

    both_init(&in);
    switch (kind) {
    case 0:
    case 1:
        gen_path(&in.json, &b->want);
        member(&m, "key", &in.json);
        close_struct(&m, 1, 1, &b->json);
        break;
    case 2:
        gen_list(b, one_id);
        break;
    case 3:
        gen_str(&b->json, &b->want);
        break;
    case 4:
        total = 1 + roll(9);
        sx_buf_printf(&in.json, "%u", total);
        member(&m, "total", &in.json);
        sx_buf_printf(&in.json, "%u", total - 1);
        member(&m, "index", &in.json);
        sx_buf_printf(&b->want, " %u/%u", total - 1, total);
        close_struct(&m, 2, 1, &b->json);
        break;
    default:
        gen_path(&in.json, &b->want);
        member(&m, "key", &in.json);
        gen_filter(&in, depth + 1);
        sx_buf_add(&b->want, in.want.p, in.want.n);
        member(&m, "filter", &in.json);
        close_struct(&m, 2, 1, &b->json);
        break;
    }
    both_fini(&in);
}

static void gen_cond(struct both *b, uint32_t depth)
{
    static const char *const names[] = {"is_empty",   "is_null", "has_id",
                                        "has_vector", "slice",   "nested"};
    uint32_t kind = roll(depth < 4 ? 12 : 10);
    struct members m = {.n = 0};
    struct both in;

    if (kind >= 5 && kind < 10) {
        gen_field(b);
        return;
    }
    if (kind == 11) {
        sx_buf_adds(&b->want, "[filter");
        gen_filter(b, depth + 1);
        sx_buf_addc(&b->want, ']');
        return;
    }
    kind = kind == 10 ? 5 : kind;
    both_init(&in);
    gen_other(&in, kind, depth);
    sx_buf_printf(&b->want, "[%s", names[kind]);
    sx_buf_add(&b->want, in.want.p, in.want.n);
    sx_buf_addc(&b->want, ']');
    member(&m, names[kind], &in.json);
    if (roll(6) == 0) { /* a kind that comes later in the order does not count */
        sx_buf_adds(&in.json, "{\"key\":\"a\",\"filter\":{}}");
        member(&m, kind == 5 ? "must" : "nested", &in.json);
    }
    close_members(&m, 1, &b->json);
    both_fini(&in);
}

/* A clause's value: null, one condition, or a list of them. *given: other than null. */
static void gen_clause(struct both *b, const char *name, uint32_t depth, int list_only, int *given)
{
    uint32_t form = list_only ? 2 : roll(4), n = form == 0 ? 0 : form == 1 ? 1 : roll(4);

    *given = form != 0;
    if (form == 0) {
        sx_buf_adds(&b->json, "null");
        return;
    }
    if (n != 0)
        sx_buf_printf(&b->want, " %s:", name);
    sx_buf_adds(&b->json, form == 1 ? "" : "[");
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(&b->json, i != 0 ? "," : "");
        gen_cond(b, depth);
    }
    sx_buf_adds(&b->json, form == 1 ? "" : "]");
}

static void gen_filter(struct both *b, uint32_t depth)
{
    static const char *const names[] = {"must", "should", "must_not"};
    struct members m = {.n = 0}, min = {.n = 0};
    int given, has_should = 0;
    struct both in;

    both_init(&in);
    sx_buf_addc(&b->want, '(');
    for (uint32_t i = 0; i < 3; i++) {
        if (roll(3) == 0)
            continue;
        in.want.n = 0;
        gen_clause(&in, names[i], depth, 0, &given);
        sx_buf_add(&b->want, in.want.p, in.want.n);
        has_should |= i == 1 && given;
        member(&m, names[i], &in.json);
    }
    if (has_should)
        sx_buf_adds(&b->want, " has_should");
    if (roll(4) == 0) {
        in.want.n = 0;
        gen_clause(&in, "conditions", depth, 1, &given);
        member(&min, "conditions", &in.json);
        sx_buf_adds(&in.json, "3");
        member(&min, "min_count", &in.json);
        sx_buf_adds(&b->want, " min 3");
        sx_buf_add(&b->want, in.want.p, in.want.n);
        close_struct(&min, 2, 1, &in.json);
        member(&m, "min_should", &in.json);
    }
    sx_buf_addc(&b->want, ')');
    close_members(&m, 0, &b->json);
    both_fini(&in);
}

/* --- the comparison ------------------------------------------------------------------------- */

static void generated(void **state)
{
    const char *given = getenv("SX_TEST_SEED");

    (void)state;
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 3000; i++) {
        const struct sx_args_count *args;
        struct sx_buf body, got;
        struct both b;

        both_init(&b);
        gen_filter(&b, 0);
        sx_buf_init(&body, sx_mem_libc());
        sx_buf_init(&got, sx_mem_libc());
        sx_buf_adds(&body, "{\"filter\":");
        sx_buf_add(&body, b.json.p, b.json.n);
        sx_buf_addc(&body, '}');
        if (decode_n(SX_OP_COUNT, body.p, body.n) != SX_OK)
            fail_msg("%.*s\n%.*s", (int)body.n, body.p, (int)dec.err.n, dec.err.p);
        args = op.args;
        put_filter(&got, args->filter);
        if (got.n != b.want.n || memcmp(got.p, b.want.p, got.n) != 0)
            fail_msg("%.*s\nwant %.*s\ngot  %.*s", (int)body.n, body.p, (int)b.want.n, b.want.p,
                     (int)got.n, got.p);
        both_fini(&b);
        sx_buf_fini(&body);
        sx_buf_fini(&got);
    }
}

/* Any damage to a sound filter is refused or taken, and never read beyond. */
static void damaged(void **state)
{
    uint32_t n_ok = 0, n_bad = 0;

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        struct both b;
        char *body;
        uint64_t n;
        int rc;

        both_init(&b);
        gen_filter(&b, 2);
        n = b.json.n + 11;
        body = malloc(n);
        memcpy(body, "{\"filter\":", 10);
        memcpy(body + 10, b.json.p, b.json.n);
        body[n - 1] = '}';
        for (uint32_t k = 0; k <= roll(2); k++)
            body[10 + roll((uint32_t)b.json.n)] = "{}[],:\"0-9.entxkl\\ "[roll(19)];
        rc = decode_n(roll(2) == 0 ? SX_OP_COUNT : SX_OP_POINTS_DELETE, body, n - roll(2));
        assert_true(rc == SX_OK || rc == SX_EFORMAT || rc == SX_EVALID);
        n_ok += rc == SX_OK;
        n_bad += rc != SX_OK;
        free(body);
        both_fini(&b);
    }
    assert_true(n_ok > 100 && n_bad > 1000);
}

/* With memory for so many bytes only: refused as such, or taken. */
static void short_of_memory(void **state)
{
    struct both b;
    uint32_t n_short = 0;

    (void)state;
    for (uint32_t i = 0; i < 200; i++) {
        struct sx_buf body;

        both_init(&b);
        gen_filter(&b, 1);
        sx_buf_init(&body, sx_mem_libc());
        sx_buf_printf(&body, "{\"keys\":[\"a\"],\"filter\":%.*s}", (int)b.json.n, b.json.p);
        for (uint64_t limit = 1; limit < 200000; limit = limit * 5 / 3 + 1) {
            int rc;

            sx_arena_fini(&arena);
            sx_arena_init(&arena, sx_mem_libc(), limit);
            rc = decode_n(SX_OP_PAYLOAD_DELETE, body.p, body.n);
            assert_true(rc == SX_OK || rc == SX_ENOMEM);
            n_short += rc == SX_ENOMEM;
        }
        sx_arena_fini(&arena);
        sx_arena_init(&arena, sx_mem_libc(), 0);
        sx_buf_fini(&body);
        both_fini(&b);
    }
    assert_true(n_short > 1000);
}

/* --- errors --------------------------------------------------------------------------------- */

struct fault {
    const char *body, *text; /* "^" in body: position is to be the byte before it */
};

static void check_faults(uint32_t code, int want, const struct fault *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *mark = strchr(list[i].body, '^');
        char body[4096], text[1024];
        size_t at = mark != NULL ? (size_t)(mark - list[i].body) : 0;
        int rc;

        (void)snprintf(body, sizeof(body), "%.*s%s", (int)at, list[i].body,
                       list[i].body + at + (mark != NULL));
        (void)snprintf(text, sizeof(text), mark != NULL ? "%s at line 1 column %zu" : "%s",
                       list[i].text, at);
        rc = decode(code, body);
        if (rc != want || dec.err.n != strlen(text) || memcmp(dec.err.p, text, dec.err.n) != 0)
            fail_msg("%s\n  want %d %s\n  got  %d %.*s", body, want, text, rc, (int)dec.err.n,
                     dec.err.p);
    }
}

#define NO_CONDITION                                                                               \
    "Expected some form of condition, which can be a field condition (like {\"key\": ..., "        \
    "\"match\": ... }), or some other mentioned in the documentation: "                            \
    "https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"
#define BAD_TIME                                                                                   \
    "'x' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z"
#define SET(filter) "{\"payload\":{},\"filter\":" filter "}"

/* A body whose struct is read in place: each error where it is found. */
static void positions(void **state)
{
    static const struct fault list[] = {
        {SET("5^"), "invalid type: integer `5`, expected struct Filter"},
        {SET("^[]"), "invalid type: sequence, expected struct Filter"},
        {SET("{\"musst\"^:[]}"),
         "unknown field `musst`, expected one of `should`, `min_should`, `must`, `must_not`"},
        {SET("{\"must\":[],\"must\"^:[]}"), "duplicate field `must`"},
        {SET("{\"must\":\"x\"^}"), "invalid type: string \"x\", expected null, array or map"},
        {SET("{\"must\":{\"key\":\"a b\",\"match\":{\"value\":1}}^ }"), "Invalid json path: 'a b'"},
        {SET("{\"must\":[{\"key\":\"a b\",\"match\":{\"value\":1}} ]^ }"),
         "Invalid json path: 'a b'"},
        {SET("{\"must\":[{\"must\":[]}, 7, ^{\"key\":1}]}"), NO_CONDITION},
        {SET("{\"must\":[{\"has_id\":[-1]}]^}"), NO_CONDITION},
        {SET("{\"should\":[{\"key\":\"a\",\"range\":{\"gt\":\"x\"}}]^}"), BAD_TIME},
        {SET("{\"min_should\":{\"conditions\":[]}^}"), "missing field `min_count`"},
        {SET("{\"min_should\":{\"min_count\":1}^}"), "missing field `conditions`"},
        {SET("{\"min_should\":{\"min_count\":-1^}}"),
         "invalid value: integer `-1`, expected usize"},
        {SET("{\"min_should\":{\"conditions\":^{}}}"), "invalid type: map, expected a sequence"},
        {SET("{\"min_should\":[^{}]}"), "invalid type: map, expected a sequence"},
        {SET("{\"min_should\":[[]]^}"),
         "invalid length 1, expected struct MinShould with 2 elements"},
        {SET("{\"min_should\":7^}"), "invalid type: integer `7`, expected struct MinShould"},
        {SET("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1}]^}"), "expected `,` or `}`"},
    };

    (void)state;
    check_faults(SX_OP_PAYLOAD_SET, SX_EFORMAT, list, SX_COUNT(list));
}

#define ONE(cond)   "{\"filter\":{\"must\":[" cond "]}}^"
#define FIELD(rest) ONE("{\"key\":\"a\"," rest "}")
#define NO_MATCH    "data did not match any variant of untagged enum MatchInterface"
#define NO_RANGE    "data did not match any variant of untagged enum RangeInterfaceUntagged"
#define POINT       "{\"lon\":1,\"lat\":2}"

static void causes(void **state)
{
    static const struct fault list[] = {
        {ONE("{\"key\":5}"), "Invalid type integer `5`. Expected a string"},
        {ONE("{\"key\":5,\"match\":{}}"), "Filter condition 'key' must be a string"},
        {ONE("{\"key\":\"\"}"), "Invalid json path: ''"},
        {ONE("[]"), NO_CONDITION},
        {ONE("{\"is_empty\":{\"key\":\"a b\"}}"), NO_CONDITION},
        {ONE("{\"must\":[{\"key\":\"a b\"}]}"), NO_CONDITION},
        {ONE("{\"must\":[],\"foo\":1}"), NO_CONDITION},
        {ONE("{\"slice\":{\"total\":0,\"index\":0}}"), NO_CONDITION},
        {FIELD("\"match\":{\"value\":1.0}"), NO_MATCH},
        {FIELD("\"match\":{\"any\":[1,\"a\"]}"), NO_MATCH},
        {FIELD("\"match\":{\"any\":[1,9223372036854775808]}"), NO_MATCH},
        {FIELD("\"match\":[]"), NO_MATCH},
        {FIELD("\"range\":{\"gt\":true,\"lt\":\"x\"}"), NO_RANGE},
        {FIELD("\"range\":[1,2]"), NO_RANGE},
        {FIELD("\"range\":{\"gt\":1.5,\"lt\":\"2024-01-01\"}"),
         "invalid type: floating point `1.5`, expected a string"},
        {FIELD("\"is_empty\":\"y\\\"\""), "Invalid type string \"y\\\"\". Expected a boolean"},
        {FIELD("\"is_null\":[]"), "Invalid type sequence. Expected a boolean"},
        {FIELD("\"values_count\":{\"lt\":-1}"), "Invalid value integer `-1`. Expected usize"},
        {FIELD("\"values_count\":{\"lt\":1.0}"),
         "Invalid type floating point `1.0`. Expected usize"},
        {FIELD("\"values_count\":{\"lt\":1e20}"),
         "Invalid type floating point `100000000000000000000.0`. Expected usize"},
        {FIELD("\"values_count\":[1]"),
         "Invalid length 1. Expected struct ValuesCount with 4 elements"},
        {FIELD("\"geo_bounding_box\":{\"top_left\":" POINT "}"), "Missing field bottom_right"},
        {FIELD("\"geo_bounding_box\":{}"), "Missing field top_left"},
        {FIELD("\"geo_radius\":{\"radius\":5}"), "Missing field center"},
        {FIELD("\"geo_radius\":{\"center\":" POINT "}"), "Missing field radius"},
        {FIELD("\"geo_radius\":{\"center\":{\"lat\":2},\"radius\":5}"), "Missing field lon"},
        {FIELD("\"geo_radius\":{\"center\":{\"lon\":null,\"lat\":2},\"radius\":5}"),
         "Invalid type unit value. Expected f64"},
        {FIELD("\"geo_radius\":{\"center\":{\"lon\":-180.5,\"lat\":0},\"radius\":\"5\"}"),
         "Wrong format of GeoPoint payload: expected `lat` = 0 within [-90;90] and `lon` = -180.5 "
         "within [-180;180]"},
        {FIELD("\"geo_polygon\":{\"exterior\":{\"points\":[" POINT "," POINT "]}}"),
         "Validation failed: polygon invalid, the size must be at least 4, got 2"},
        {FIELD("\"geo_polygon\":{\"exterior\":{\"points\":[[0,0],[1,0],[1,1],[0,1e-15]]}}"),
         "Validation failed: polygon invalid, the first and the last points should be the same to "
         "form a closed line"},
        {FIELD("\"geo_polygon\":{\"interiors\":[]}"), "Missing field exterior"},
        {FIELD("\"geo_polygon\":{\"exterior\":{}}"), "Missing field points"},
    };

    (void)state;
    check_faults(SX_OP_COUNT, SX_EFORMAT, list, SX_COUNT(list));
    assert_int_equal(decode(SX_OP_COUNT, "{\"filter\":{\"must\":{\"key\":\"a\",\"geo_polygon\":"
                                         "{\"exterior\":{\"points\":[[0,0],[1,0],[1,1],[0,1e-16]]"
                                         "}}}}}"),
                     SX_OK);
}

#define EMPTY "__all__: Validation error: At least one field condition must be specified [{}]"
#define K     "{\"key\":\"a\"}"

static void ranges(void **state)
{
    static const struct fault scroll[] = {
        {"{\"filter\":{\"must\":" K "}}", "[scroll_request.filter.must[0]." EMPTY "]"},
        {"{\"filter\":{\"should\":[{\"is_null\":{\"key\":\"b\"}}," K "]}}",
         "[scroll_request.filter.should[1]." EMPTY "]"},
        {"{\"filter\":{\"must_not\":{\"must\":{\"must\":[" K "]}}}}",
         "[scroll_request.filter.must_not[0].must[0].must[0]." EMPTY "]"},
        {"{\"filter\":{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[" K "]}}}]}}",
         "[scroll_request.filter.must[0].nested.filter.must[0]." EMPTY "]"},
        {"{\"filter\":{\"min_should\":{\"conditions\":[" K "],\"min_count\":1}}}",
         "[scroll_request.filter.min_should.conditions[0]." EMPTY "]"},
        {"{\"filter\":{\"min_should\":{\"conditions\":[],\"min_count\":0}}}",
         "[scroll_request.filter.min_should.min_count: min_count must be greater than 0]"},
        {"{\"filter\":{\"must\":{\"min_should\":[[" K "],0]}}}",
         "[scroll_request.filter.must[0].min_should.conditions[0]." EMPTY
         "; scroll_request.filter.must[0].min_should.min_count: min_count must be greater than 0]"},
        {"{\"filter\":{\"must\":{\"slice\":{\"total\":4,\"index\":4}}}}",
         "[scroll_request.filter.must[0].__all__: Validation error: Slice index must be less than "
         "the total number of slices [{}]]"},
        {"{\"filter\":{\"must\":" K "},\"limit\":0}",
         "[scroll_request.filter.must[0]." EMPTY
         "; scroll_request.limit: value 0 invalid, must be 1 or larger]"},
    };
    static const struct fault query[] = {
        {"{\"filter\":{\"must\":" K "}}", "[internal.filter.must[0]." EMPTY "]"},
        {"{\"prefetch\":[{},{\"prefetch\":{\"filter\":{\"must\":" K "}}}]}",
         "[internal.prefetch[1].prefetch[0].filter.must[0]." EMPTY "]"},
    };
    static const struct fault batch[] = {
        {"{\"operations\":[{\"delete\":{\"filter\":{\"must\":" K "}}},{\"set_payload\":"
         "{\"payload\":{},\"filter\":{\"must\":" K "}}}]}",
         "[operations[1].set_payload.filter.must[0]." EMPTY "]"},
        {"{\"operations\":[{\"update_vectors\":{\"points\":[],\"update_filter\":{\"must\":" K
         "}}}]}",
         "[operations[0].update_vectors.points: must specify points to update; "
         "operations[0].update_vectors.update_filter.must[0]." EMPTY "]"},
        {"{\"operations\":[{\"upsert\":{\"points\":[],\"update_filter\":{\"must\":" K "}}}]}",
         "[operations[0].upsert.update_filter.must[0]." EMPTY "]"},
    };

    (void)state;
    check_faults(SX_OP_SCROLL, SX_EVALID, scroll, SX_COUNT(scroll));
    check_faults(SX_OP_QUERY, SX_EVALID, query, SX_COUNT(query));
    check_faults(SX_OP_POINTS_BATCH, SX_EVALID, batch, SX_COUNT(batch));
}

/* Delete and clear look at no range. */
static void unchecked(void **state)
{
    static const char body[] =
        "{\"filter\":{\"must\":[" K ",{\"slice\":{\"total\":4,\"index\":9}},{\"nested\":{\"key\":"
        "\"b\",\"filter\":{\"should\":[" K "]}}}],\"min_should\":[[],0]}}";
    static const uint32_t codes[] = {SX_OP_POINTS_DELETE, SX_OP_PAYLOAD_CLEAR};
    const struct sx_filter *f;

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(decode(codes[i], body), SX_OK);
        f = ((const struct sx_args_points *)op.args)->points.filter;
        assert_int_equal(f->n_must, 3);
        assert_int_equal(f->must[0].kind, SX_COND_NEVER);
        assert_int_equal(f->must[1].slice_at, 9);
        assert_int_equal(f->must[2].filter->should[0].kind, SX_COND_NEVER);
        assert_true(f->has_min_should && f->min_count == 0);
    }
}

/* As deep as the reader goes and no deeper; the longest path of a range error is whole. */
static void depth(void **state)
{
    char body[4096], *p = body;

    (void)state;
    p += sprintf(p, "{\"filter\":");
    for (uint32_t i = 0; i < 125; i++)
        p += sprintf(p, "{\"must\":");
    p += sprintf(p, K);
    for (uint32_t i = 0; i < 126; i++)
        *p++ = '}';
    *p = '\0';
    assert_int_equal(decode(SX_OP_COUNT, body), SX_EVALID);
    assert_int_equal(dec.err.n, strlen("[count_request.filter.") + 125 * strlen("must[0].") +
                                    strlen(EMPTY "]"));
    assert_memory_equal(dec.err.p + dec.err.n - strlen(EMPTY "]"), EMPTY "]", strlen(EMPTY "]"));
    memmove(body + 18, body + 10, (size_t)(p - body) - 9); /* one level more */
    memcpy(body + 10, "{\"must\":", 8);
    strcat(body, "}");
    assert_int_equal(decode(SX_OP_COUNT, body), SX_EFORMAT);
    assert_memory_equal(dec.err.p, "recursion limit exceeded", 24);
}

/* Members of a condition that are there twice: the last one counts. */
static void twice(void **state)
{
    const struct sx_cond *c;

    (void)state;
    assert_int_equal(decode(SX_OP_COUNT, "{\"filter\":{\"must\":{\"key\":5,\"key\":\"a\",\"match\":"
                                         "{\"value\":1.5,\"any\":[1]},\"is_null\":true,\"is_null\":"
                                         "null}}}"),
                     SX_OK);
    c = ((const struct sx_args_count *)op.args)->filter->must;
    assert_int_equal(c->match.kind, SX_MATCH_ANY_INT);
    assert_int_equal(c->is_null, SX_TRI_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated), cmocka_unit_test(damaged), cmocka_unit_test(short_of_memory),
        cmocka_unit_test(positions), cmocka_unit_test(causes),  cmocka_unit_test(ranges),
        cmocka_unit_test(unchecked), cmocka_unit_test(depth),   cmocka_unit_test(twice),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
