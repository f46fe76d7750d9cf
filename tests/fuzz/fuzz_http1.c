/* Any bytes as requests on a connection: heads, chunked bodies, paths, routes, query strings.
 *
 * The first byte says how the rest arrives: in pieces of that many bytes. What the parser makes of
 * pieces must be what it makes of the whole. */
/* needs: plugins/transport-rest/http1.c plugins/transport-rest/path.c */
/* needs: plugins/transport-rest/route.c plugins/transport-rest/query.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport-rest/http1.h"
#include "transport-rest/path.h"
#include "transport-rest/query.h"
#include "transport-rest/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rest_router router;

static void must(int ok)
{
    if (!ok)
        abort();
}

static void inside(struct sx_str s, const char *p, uint64_t n)
{
    must(s.p == NULL || (s.p >= p && s.p + s.n <= p + n));
}

/* The head in pieces: the same answer as at once. */
static int64_t head(const char *p, uint64_t n, uint64_t step, struct rest_head *out)
{
    struct rest_head pieces;
    uint64_t seen = 0, whole_seen = 0, have = 0;
    int64_t whole = rest_http_head(p, n, &whole_seen, out), rc = 0;

    while (rc == 0 && have < n) {
        have += n - have < step ? n - have : step;
        rc = rest_http_head(p, have, &seen, &pieces);
    }
    must(rc == whole);
    if (rc > 0) {
        must(pieces.content_length == out->content_length && pieces.flags == out->flags);
        inside(out->method_text, p, (uint64_t)rc);
        inside(out->target, p, (uint64_t)rc);
        inside(out->path, p, (uint64_t)rc);
        inside(out->query, p, (uint64_t)rc);
        for (uint32_t i = 0; i < REST_H__N; i++)
            inside(out->h[i], p, (uint64_t)rc);
    }
    return rc;
}

static void route(const struct rest_head *h)
{
    struct sx_str seg[REST_SEGMENTS_MAX], text;
    struct rest_match m;
    struct sx_arena arena;
    struct sx_op op;
    int n;

    sx_arena_init(&arena, sx_mem_libc(), 1 << 20);
    memset(&op, 0, sizeof(op));
    op.arena = &arena;
    n = rest_path_split(h->path, seg);
    if (n >= 0) {
        rest_router_find(&router, h->method, seg, (uint32_t)n, &m);
        must(m.n_params <= REST_PARAMS_MAX);
        for (int i = 0; i < n; i++)
            if (rest_path_decode(&arena, seg[i], &text) == SX_OK) {
                must(text.n <= seg[i].n);
                (void)rest_name_check(&arena, text, 1);
                (void)rest_vector_name_check(&arena, text);
            }
        (void)rest_path_join(&arena, seg, 0, (uint32_t)n);
        op.code = m.op >= 0 ? (uint32_t)m.op : SX_OP_QUERY;
        (void)rest_query_parse(&op, h->query, &text);
        op.code = SX_OP_POINTS_UPSERT;
        (void)rest_query_parse(&op, h->query, &text);
    }
    sx_arena_fini(&arena);
}

/* The body in pieces: the same payload and the same end as at once. */
static void chunks(const char *p, uint64_t n, uint64_t step)
{
    struct rest_chunk a = {0, 0, 0}, b = {0, 0, 0};
    char *whole = malloc(n + 1), *pieces = malloc(n + 1);
    uint64_t in = 0, out = 0, in2 = 0, out2 = 0, have = 0;
    int rc, rc2 = 0;

    memcpy(whole, p, n);
    memcpy(pieces, p, n);
    rc = rest_http_chunks(&a, whole, &in, n, &out);
    while (rc2 == 0 && have < n) {
        have += n - have < step ? n - have : step;
        rc2 = rest_http_chunks(&b, pieces, &in2, have, &out2);
    }
    must(rc == rc2 && out <= in && in <= n);
    must(rc < 0 || (out == out2 && in == in2 && memcmp(whole, pieces, out) == 0));
    free(whole);
    free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rest_head h;
    uint64_t step, at = 0;
    char *text;

    if (size < 2)
        return 0;
    if (router.n == 0)
        must(rest_router_init(&router) == SX_OK);
    step = (uint64_t)data[0] + 1;
    text = malloc(size - 1); /* exactly as long, so that a look behind it is found */
    memcpy(text, data + 1, size - 1);
    while (at < size - 1) {
        int64_t n = head(text + at, size - 1 - at, step, &h);

        if (n <= 0)
            break;
        route(&h);
        at += (uint64_t)n;
        if ((h.flags & REST_F_CHUNKED) != 0)
            chunks(text + at, size - 1 - at, step);
    }
    chunks(text, size - 1, step);
    free(text);
    return 0;
}
