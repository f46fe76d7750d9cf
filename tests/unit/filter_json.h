/* Filters as JSON text for tests: the shape of the wire, without its errors.
 *
 * Whatever is not understood ends the program: tests write valid filters. Also payloads, paths and
 * the schemas of payload indexes. Everything lies in the arena given. */
#ifndef TESTS_FILTER_JSON_H
#define TESTS_FILTER_JSON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/filter.h"
#include "../../plugins/engine/text.h"

static void fj_need(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "filter_json: %s\n", what);
        abort();
    }
}

static void *fj_alloc(struct sx_arena *a, uint64_t n)
{
    void *p = sx_arena_zalloc(a, n + 1);

    fj_need(p != NULL, "memory");
    return p;
}

SX_UNUSED static struct sx_doc fj_doc_n(struct sx_arena *a, const char *json, size_t n)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, n, a);
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    fj_need(sx_json_doc(&j, &b) == 0, json);
    d = sx_docb_end_arena(&b, a);
    sx_docb_fini(&b);
    fj_need(d.p != NULL, json);
    return d;
}

SX_UNUSED static struct sx_doc fj_doc(struct sx_arena *a, const char *json)
{
    return fj_doc_n(a, json, strlen(json));
}

static struct sx_path fj_path(struct sx_arena *a, struct sx_str text)
{
    struct sx_path p;

    fj_need(sx_path_parse(a, text, &p, NULL) == 0, "path");
    return p;
}

static double fj_f64(struct sx_doc v)
{
    struct sx_doc_num num = sx_doc_num(v);

    fj_need(num.type == SX_DOC_I64 || num.type == SX_DOC_U64 || num.type == SX_DOC_F64, "number");
    return num.type == SX_DOC_F64   ? num.v.f
           : num.type == SX_DOC_U64 ? (double)num.v.u
                                    : (double)num.v.i;
}

static struct sx_id fj_id(struct sx_doc v)
{
    struct sx_id id = {0, sx_doc_num(v).v.u, SX_ID_NUM, 0};
    struct sx_str s = sx_doc_str(v);

    if (s.p != NULL)
        fj_need(sx_uuid_parse(s.p, s.n, &id) == 0, "id");
    return id;
}

/* --- clauses ----------------------------------------------------------------------------- */

static void fj_match_list(struct sx_arena *a, struct sx_doc v, int except, struct sx_match *m)
{
    uint32_t n = sx_doc_count(v);

    m->n = n;
    if (sx_doc_type(v) == SX_DOC_ARR_I64) {
        int64_t *ints = fj_alloc(a, n * sizeof(*ints));

        for (uint32_t i = 0; i < n; i++)
            ints[i] = sx_doc_elem_num(v, i).v.i;
        m->kind = except ? SX_MATCH_EXCEPT_INT : SX_MATCH_ANY_INT;
        m->ints = ints;
    } else {
        struct sx_str *strs = fj_alloc(a, n * sizeof(*strs));

        for (uint32_t i = 0; i < n; i++) {
            strs[i] = sx_doc_str(sx_doc_elem(v, i));
            fj_need(strs[i].p != NULL, "list of match");
        }
        m->kind = except ? SX_MATCH_EXCEPT_STR : SX_MATCH_ANY_STR;
        m->strs = strs;
    }
}

static void fj_match(struct sx_arena *a, struct sx_doc v, struct sx_match *m)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } texts[] = {{"text", SX_MATCH_TEXT},
                 {"text_any", SX_MATCH_TEXT_ANY},
                 {"phrase", SX_MATCH_PHRASE},
                 {"prefix", SX_MATCH_PREFIX},
                 {"substring", SX_MATCH_SUBSTRING}};
    struct sx_doc one = sx_doc_get(v, "value"), any = sx_doc_get(v, "any");
    struct sx_doc except = sx_doc_get(v, "except");
    uint32_t type = sx_doc_type(one);

    m->str = sx_doc_str(one);
    m->kind = SX_MATCH_STR;
    if (type == SX_DOC_I64 || type == SX_DOC_TRUE || type == SX_DOC_FALSE) {
        m->kind = type == SX_DOC_I64 ? SX_MATCH_INT : SX_MATCH_BOOL;
        m->i = type == SX_DOC_I64 ? sx_doc_num(one).v.i : type == SX_DOC_TRUE;
        return;
    }
    for (uint32_t i = 0; m->str.p == NULL && i < SX_COUNT(texts); i++) {
        m->str = sx_doc_str(sx_doc_get(v, texts[i].name));
        m->kind = texts[i].kind;
    }
    if (m->str.p != NULL)
        return;
    fj_need(any.p != NULL || except.p != NULL, "match");
    fj_match_list(a, any.p != NULL ? any : except, any.p == NULL, m);
}

static void fj_range(struct sx_doc v, struct sx_range *r)
{
    struct {
        const char *name;
        uint32_t bit;
        double *f;
        struct sx_instant *t;
    } bounds[] = {{"lt", SX_BOUND_LT, &r->lt, &r->t_lt},
                  {"lte", SX_BOUND_LTE, &r->lte, &r->t_lte},
                  {"gt", SX_BOUND_GT, &r->gt, &r->t_gt},
                  {"gte", SX_BOUND_GTE, &r->gte, &r->t_gte}};

    r->kind = SX_RANGE_NUM;
    for (uint32_t i = 0; i < SX_COUNT(bounds); i++) {
        struct sx_doc b = sx_doc_get(v, bounds[i].name);
        struct sx_str s = sx_doc_str(b);

        if (sx_doc_type(b) == SX_DOC_NULL)
            continue;
        r->has |= bounds[i].bit;
        if (s.p != NULL) {
            r->kind = SX_RANGE_TIME;
            fj_need(sx_instant_parse(s.p, s.n, bounds[i].t) == 0, "datetime");
        } else {
            *bounds[i].f = fj_f64(b);
        }
    }
}

static void fj_counts(struct sx_doc v, struct sx_count_range *r)
{
    struct {
        const char *name;
        uint32_t bit;
        uint64_t *n;
    } bounds[] = {{"lt", SX_BOUND_LT, &r->lt},
                  {"lte", SX_BOUND_LTE, &r->lte},
                  {"gt", SX_BOUND_GT, &r->gt},
                  {"gte", SX_BOUND_GTE, &r->gte}};

    r->present = 1;
    for (uint32_t i = 0; i < SX_COUNT(bounds); i++) {
        struct sx_doc b = sx_doc_get(v, bounds[i].name);

        if (sx_doc_type(b) == SX_DOC_NULL)
            continue;
        r->has |= bounds[i].bit;
        *bounds[i].n = sx_doc_num(b).v.u;
    }
}

static struct sx_geo fj_point(struct sx_doc v)
{
    return (struct sx_geo){fj_f64(sx_doc_get(v, "lon")), fj_f64(sx_doc_get(v, "lat"))};
}

static struct sx_geo_ring fj_ring(struct sx_arena *a, struct sx_doc v)
{
    struct sx_doc list = sx_doc_get(v, "points");
    struct sx_geo_ring ring = {sx_doc_count(list), 0, NULL};
    struct sx_geo *points = fj_alloc(a, ring.n * sizeof(*points));

    for (uint32_t i = 0; i < ring.n; i++)
        points[i] = fj_point(sx_doc_elem(list, i));
    ring.points = points;
    return ring;
}

static const struct sx_geo_cond *fj_geo(struct sx_arena *a, struct sx_doc v)
{
    struct sx_doc box = sx_doc_get(v, "geo_bounding_box"), radius = sx_doc_get(v, "geo_radius");
    struct sx_doc polygon = sx_doc_get(v, "geo_polygon"), holes;
    struct sx_geo_cond *g = fj_alloc(a, sizeof(*g));

    if (box.p != NULL) {
        g->kinds |= SX_GEO_BOX;
        g->top_left = fj_point(sx_doc_get(box, "top_left"));
        g->bottom_right = fj_point(sx_doc_get(box, "bottom_right"));
    }
    if (radius.p != NULL) {
        g->kinds |= SX_GEO_RADIUS;
        g->center = fj_point(sx_doc_get(radius, "center"));
        g->radius = fj_f64(sx_doc_get(radius, "radius"));
    }
    if (polygon.p != NULL) {
        struct sx_geo_ring *rings;

        g->kinds |= SX_GEO_POLYGON;
        g->exterior = fj_ring(a, sx_doc_get(polygon, "exterior"));
        holes = sx_doc_get(polygon, "interiors");
        g->n_interiors = sx_doc_count(holes);
        rings = fj_alloc(a, g->n_interiors * sizeof(*rings));
        for (uint32_t i = 0; i < g->n_interiors; i++)
            rings[i] = fj_ring(a, sx_doc_elem(holes, i));
        g->interiors = rings;
    }
    return g->kinds != 0 ? g : NULL;
}

static uint32_t fj_tri(struct sx_doc v)
{
    return sx_doc_type(v) == SX_DOC_TRUE    ? SX_TRI_TRUE
           : sx_doc_type(v) == SX_DOC_FALSE ? SX_TRI_FALSE
                                            : SX_TRI_NONE;
}

/* --- conditions -------------------------------------------------------------------------- */

static const struct sx_filter *fj_filter(struct sx_arena *a, struct sx_doc v);

static void fj_field(struct sx_arena *a, struct sx_doc v, struct sx_cond *c)
{
    struct sx_doc m;

    c->kind = SX_COND_FIELD;
    c->key = fj_path(a, sx_doc_str(sx_doc_get(v, "key")));
    c->is_empty = fj_tri(sx_doc_get(v, "is_empty"));
    c->is_null = fj_tri(sx_doc_get(v, "is_null"));
    if ((m = sx_doc_get(v, "match")).p != NULL)
        fj_match(a, m, &c->match);
    if ((m = sx_doc_get(v, "range")).p != NULL)
        fj_range(m, &c->range);
    if ((m = sx_doc_get(v, "values_count")).p != NULL)
        fj_counts(m, &c->values_count);
    c->geo = fj_geo(a, v);
}

static void fj_cond(struct sx_arena *a, struct sx_doc v, struct sx_cond *c)
{
    struct sx_doc m;

    if (sx_doc_get(v, "key").p != NULL) {
        fj_field(a, v, c);
    } else if ((m = sx_doc_get(v, "is_empty")).p != NULL) {
        c->kind = SX_COND_IS_EMPTY;
        c->key = fj_path(a, sx_doc_str(sx_doc_get(m, "key")));
    } else if ((m = sx_doc_get(v, "is_null")).p != NULL) {
        c->kind = SX_COND_IS_NULL;
        c->key = fj_path(a, sx_doc_str(sx_doc_get(m, "key")));
    } else if ((m = sx_doc_get(v, "has_id")).p != NULL) {
        struct sx_id *ids = fj_alloc(a, sx_doc_count(m) * sizeof(*ids));

        c->kind = SX_COND_HAS_ID;
        c->n_ids = sx_doc_count(m);
        for (uint32_t i = 0; i < c->n_ids; i++) {
            ids[i] = sx_doc_type(m) == SX_DOC_ARR
                         ? fj_id(sx_doc_elem(m, i))
                         : (struct sx_id){0, sx_doc_elem_num(m, i).v.u, SX_ID_NUM, 0};
        }
        c->ids = ids;
    } else if ((m = sx_doc_get(v, "has_vector")).p != NULL) {
        c->kind = SX_COND_HAS_VECTOR;
        c->vector = sx_doc_str(m);
    } else if ((m = sx_doc_get(v, "slice")).p != NULL) {
        c->kind = SX_COND_SLICE;
        c->slice_total = (uint32_t)sx_doc_get_i64(m, "total", 0);
        c->slice_at = (uint32_t)sx_doc_get_i64(m, "index", 0);
    } else if ((m = sx_doc_get(v, "nested")).p != NULL) {
        c->kind = SX_COND_NESTED;
        c->key = fj_path(a, sx_doc_str(sx_doc_get(m, "key")));
        c->filter = fj_filter(a, sx_doc_get(m, "filter"));
    } else {
        c->kind = SX_COND_FILTER;
        c->filter = fj_filter(a, v);
    }
}

static const struct sx_cond *fj_conds(struct sx_arena *a, struct sx_doc v, uint32_t *n)
{
    int is_list = sx_doc_type(v) == SX_DOC_ARR;
    struct sx_cond *list;

    *n = sx_doc_type(v) == SX_DOC_NULL ? 0 : is_list ? sx_doc_count(v) : 1;
    list = fj_alloc(a, *n * sizeof(*list));
    for (uint32_t i = 0; i < *n; i++)
        fj_cond(a, is_list ? sx_doc_elem(v, i) : v, &list[i]);
    return list;
}

static const struct sx_filter *fj_filter(struct sx_arena *a, struct sx_doc v)
{
    struct sx_filter *f = fj_alloc(a, sizeof(*f));
    struct sx_doc least = sx_doc_get(v, "min_should");

    f->must = fj_conds(a, sx_doc_get(v, "must"), &f->n_must);
    f->should = fj_conds(a, sx_doc_get(v, "should"), &f->n_should);
    f->has_should = sx_doc_type(sx_doc_get(v, "should")) == SX_DOC_ARR;
    f->must_not = fj_conds(a, sx_doc_get(v, "must_not"), &f->n_must_not);
    if (sx_doc_type(least) == SX_DOC_OBJ) {
        f->has_min_should = 1;
        f->min_should = fj_conds(a, sx_doc_get(least, "conditions"), &f->n_min_should);
        f->min_count = sx_doc_num(sx_doc_get(least, "min_count")).v.u;
    }
    return f;
}

/* --- indexes ----------------------------------------------------------------------------- */

#define FJ_MAX_SCHEMAS 16u

struct fj_schemas {
    struct eng_field_schema list[FJ_MAX_SCHEMAS];
    uint32_t n, pad;
    struct eng_analyzer *plain;
};

static const struct eng_field_schema *fj_find(const void *ctx, const struct sx_path *path)
{
    const struct fj_schemas *s = ctx;

    for (uint32_t i = 0; i < s->n; i++) {
        if (sx_path_equal(&s->list[i].path, path))
            return &s->list[i];
    }
    return NULL;
}

SX_UNUSED static void fj_schemas_init(struct fj_schemas *s)
{
    memset(s, 0, sizeof(*s));
    fj_need(
        eng_analyzer_create(sx_mem_libc(), NULL, (struct sx_doc){NULL, 0, 0}, &s->plain, NULL) == 0,
        "analyzer");
}

SX_UNUSED static void fj_schemas_clear(struct fj_schemas *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->list[i].analyzer != NULL)
            eng_analyzer_destroy(s->list[i].analyzer);
    }
    s->n = 0;
}

SX_UNUSED static void fj_schemas_fini(struct fj_schemas *s)
{
    fj_schemas_clear(s);
    eng_analyzer_destroy(s->plain);
}

/* params: {"type": name, ...}, or a type's name alone. */
SX_UNUSED static void
fj_schema(struct sx_arena *a, struct fj_schemas *s, struct sx_str path, struct sx_doc params)
{
    static const char *const types[] = {"keyword", "integer",  "float", "bool",
                                        "geo",     "datetime", "text",  "uuid"};
    struct sx_str type = sx_doc_str(params), nested = sx_doc_str(sx_doc_get(params, "nested"));
    struct eng_field_schema *f = &s->list[s->n++];

    fj_need(s->n <= FJ_MAX_SCHEMAS, "too many schemas");
    memset(f, 0, sizeof(*f));
    f->path = fj_path(a, path);
    if (type.p == NULL)
        type = sx_doc_str(sx_doc_get(params, "type"));
    for (uint32_t i = 0; i < SX_COUNT(types); i++) {
        if (type.n == strlen(types[i]) && memcmp(type.p, types[i], type.n) == 0)
            f->type = i + ENG_FIELD_KEYWORD;
    }
    fj_need(f->type != 0, "type of index");
    f->flags = (sx_doc_get_bool(params, "lookup", 1) ? ENG_FIELD_LOOKUP : 0) |
               (sx_doc_get_bool(params, "range", 1) ? ENG_FIELD_RANGE : 0) |
               (sx_doc_get_bool(params, "prefix", 0) ? ENG_FIELD_PREFIX : 0) |
               (sx_doc_get_bool(params, "phrase_matching", 0) ? ENG_FIELD_PHRASE : 0);
    if (nested.p != NULL) {
        struct sx_path p = fj_path(a, nested);

        f->nested_steps = p.n + (p.steps[p.n - 1].kind != SX_STEP_ALL);
    }
    if (f->type == ENG_FIELD_TEXT)
        fj_need(eng_analyzer_create(sx_mem_libc(), NULL,
                                    sx_doc_type(params) == SX_DOC_OBJ ? params
                                                                      : (struct sx_doc){NULL, 0, 0},
                                    &f->analyzer, NULL) == 0,
                "analyzer");
}

SX_UNUSED static struct eng_schemas fj_lookup(const struct fj_schemas *s)
{
    return (struct eng_schemas){fj_find, s, s->plain};
}

#endif
