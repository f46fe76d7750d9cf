/* Any bytes as the filter of a request: read as a checked one and as an unchecked one, then walked,
 * so that a wrong length, a dangling pointer or a member that its kind does not have is found.
 *
 * What a checked filter is taken as, an unchecked one is too, and with the same conditions. The
 * first byte picks the request around the filter. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/decode_*.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport-rest/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sink;

static void must(int ok)
{
    if (!ok)
        abort();
}

static void read_str(struct sx_str s)
{
    for (uint32_t i = 0; i < s.n; i++)
        sink += s.p[i];
}

static void read_path(const struct sx_path *p)
{
    must(p->n != 0 && p->steps[0].kind == SX_STEP_KEY);
    for (uint32_t i = 0; i < p->n; i++)
        read_str(p->steps[i].key);
}

static void read_match(const struct sx_match *m)
{
    must(m->kind <= SX_MATCH_EXCEPT_INT);
    switch (m->kind) {
    case SX_MATCH_ANY_STR:
    case SX_MATCH_EXCEPT_STR:
        for (uint32_t i = 0; i < m->n; i++)
            read_str(m->strs[i]);
        break;
    case SX_MATCH_ANY_INT:
    case SX_MATCH_EXCEPT_INT:
        must(m->n != 0);
        for (uint32_t i = 0; i < m->n; i++)
            sink += (double)m->ints[i];
        break;
    case SX_MATCH_BOOL:
        must(m->i == 0 || m->i == 1);
        break;
    default:
        read_str(m->str);
        break;
    }
}

static void read_geo_point(const struct sx_geo *g)
{
    must(g->lon >= -180 && g->lon <= 180 && g->lat >= -90 && g->lat <= 90);
}

static void read_ring(const struct sx_geo_ring *r)
{
    must(r->n >= 4);
    for (uint32_t i = 0; i < r->n; i++)
        read_geo_point(&r->points[i]);
}

static void read_geo(const struct sx_geo_cond *g)
{
    must(g->kinds != 0 && g->kinds < 8);
    if ((g->kinds & SX_GEO_BOX) != 0) {
        read_geo_point(&g->top_left);
        read_geo_point(&g->bottom_right);
    }
    if ((g->kinds & SX_GEO_RADIUS) != 0)
        read_geo_point(&g->center);
    if ((g->kinds & SX_GEO_POLYGON) != 0)
        read_ring(&g->exterior);
    for (uint32_t i = 0; i < g->n_interiors; i++)
        read_ring(&g->interiors[i]);
}

static void read_field(const struct sx_cond *c)
{
    read_path(&c->key);
    read_match(&c->match);
    must(c->range.kind <= SX_RANGE_TIME && c->range.has < 16 && c->values_count.has < 16);
    must(c->is_empty <= SX_TRI_FALSE && c->is_null <= SX_TRI_FALSE);
    if (c->geo != NULL)
        read_geo(c->geo);
    must(c->match.kind != SX_MATCH_NONE || c->range.kind != SX_RANGE_NONE || c->geo != NULL ||
         c->values_count.present || c->is_empty != SX_TRI_NONE || c->is_null != SX_TRI_NONE);
}

static uint64_t read_filter(const struct sx_filter *f, int is_checked);

/* The number of conditions in it. */
static uint64_t read_cond(const struct sx_cond *c, int is_checked)
{
    switch (c->kind) {
    case SX_COND_NEVER:
        must(!is_checked);
        read_path(&c->key);
        return 1;
    case SX_COND_FIELD:
        read_field(c);
        return 1;
    case SX_COND_IS_EMPTY:
    case SX_COND_IS_NULL:
        read_path(&c->key);
        return 1;
    case SX_COND_HAS_ID:
        for (uint32_t i = 0; i < c->n_ids; i++)
            must(c->ids[i].kind <= SX_ID_UUID);
        return 1;
    case SX_COND_HAS_VECTOR:
        read_str(c->vector);
        return 1;
    case SX_COND_SLICE:
        must(c->slice_total != 0 && (!is_checked || c->slice_at < c->slice_total));
        return 1;
    case SX_COND_NESTED:
        read_path(&c->key);
        return 1 + read_filter(c->filter, is_checked);
    default:
        must(c->kind == SX_COND_FILTER);
        return 1 + read_filter(c->filter, is_checked);
    }
}

static uint64_t read_list(const struct sx_cond *c, uint32_t n, int is_checked)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += read_cond(&c[i], is_checked);
    return sum;
}

static uint64_t read_filter(const struct sx_filter *f, int is_checked)
{
    must(f->has_min_should || f->n_min_should == 0);
    must(f->has_should || f->n_should == 0);
    must(!is_checked || !f->has_min_should || f->min_count != 0);
    return read_list(f->must, f->n_must, is_checked) +
           read_list(f->should, f->n_should, is_checked) +
           read_list(f->must_not, f->n_must_not, is_checked) +
           read_list(f->min_should, f->n_min_should, is_checked);
}

/* Decodes {..., "filter": text} as the body of the operation: the result, and the number of
 * conditions, UINT64_MAX without a filter (the text may name points besides). */
static int
run(uint32_t code, const char *before, const char *text, size_t n, int is_checked, uint64_t *conds)
{
    static struct sx_docb docb;
    size_t head = strlen(before);
    char *body = malloc(head + n + 1); /* exactly as long, so that a look behind it is found */
    const struct sx_filter *f = NULL;
    struct sx_arena arena;
    struct rest_dec dec = {.reg = NULL};
    struct sx_op op;
    int rc;

    if (docb.out.mem == NULL)
        sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
    memcpy(body, before, head);
    memcpy(body + head, text, n);
    body[head + n] = '}';
    memset(&op, 0, sizeof(op));
    op.code = code;
    sx_arena_init(&arena, sx_mem_libc(), (1 << 20) + 128 * (uint64_t)n);
    op.arena = dec.arena = &arena;
    dec.docb = &docb;
    rc = rest_decode(&dec, &op, body, head + n + 1);
    must(rc == SX_OK || dec.err.n != 0);
    if (rc == SX_OK && code == SX_OP_COUNT)
        f = ((const struct sx_args_count *)op.args)->filter;
    else if (rc == SX_OK && code == SX_OP_PAYLOAD_SET)
        f = ((const struct sx_args_payload *)op.args)->points.filter;
    else if (rc == SX_OK)
        f = ((const struct sx_args_points *)op.args)->points.filter;
    *conds = f != NULL ? read_filter(f, is_checked) : UINT64_MAX;
    sx_arena_fini(&arena);
    free(body);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    uint64_t a = 0, b = 0;
    int rc;

    if (size < 2)
        return 0;
    if ((data[0] & 1) != 0)
        rc = run(SX_OP_COUNT, "{\"filter\":", text, size - 1, 1, &a);
    else
        rc = run(SX_OP_PAYLOAD_SET, "{\"payload\":{},\"filter\":", text, size - 1, 1, &a);
    if (run(SX_OP_POINTS_DELETE, "{\"filter\":", text, size - 1, 0, &b) == SX_OK && rc == SX_OK)
        must(a == b || a == UINT64_MAX || b == UINT64_MAX);
    return 0;
}
