/* How long a request body takes: a query of one vector and an upsert of a hundred, through the
 * transport's decoders and through jansson, which builds a tree of either.
 *
 *   bench_decode [dim] [seconds per line]
 *
 * Numbers are printed as Python's json.dumps writes float32 values (17 digits), the most usual text
 * a server sees, and as the shortest text. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/decode_*.c */
/* libs: jansson */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport-rest/decode.h"

static uint64_t state = 88172645463325252u;

static double random_value(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) / 9007199254740992.0 - 0.5) * 0.2;
}

static void put_vector(struct sx_buf *b, uint32_t dim, int is_short)
{
    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < dim; i++) {
        float v = (float)random_value();

        sx_buf_adds(b, i != 0 ? ", " : "");
        if (is_short)
            sx_jsonw_f32(b, v);
        else
            sx_jsonw_f64(b, (double)v);
    }
    sx_buf_addc(b, ']');
}

static void make_query(struct sx_buf *b, uint32_t dim, int is_short)
{
    sx_buf_adds(b, "{\"query\": ");
    put_vector(b, dim, is_short);
    sx_buf_adds(b, ", \"limit\": 10, \"with_payload\": true, \"params\": {\"hnsw_ef\": 128}}");
}

static void make_upsert(struct sx_buf *b, uint32_t dim, uint32_t n, int is_short)
{
    sx_buf_adds(b, "{\"points\": [");
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_printf(b, "%s{\"id\": %u, \"vector\": ", i != 0 ? ", " : "", i);
        put_vector(b, dim, is_short);
        sx_buf_printf(b,
                      ", \"payload\": {\"section\": \"text\", \"size\": %u, \"tags\": [\"a\", "
                      "\"b\"], \"price\": 1.25}}",
                      i * 7);
    }
    sx_buf_adds(b, "]}");
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static struct sx_arena arena;
static struct sx_docb docb;
static struct rest_dec dec;

static void own(uint32_t code, const struct sx_buf *body)
{
    struct sx_op op;

    sx_arena_reset(&arena);
    memset(&op, 0, sizeof(op));
    op.code = code;
    op.arena = &arena;
    dec.arena = &arena;
    dec.docb = &docb;
    if (rest_decode(&dec, &op, body->p, body->n) != SX_OK) {
        fprintf(stderr, "%.*s\n", (int)dec.err.n, dec.err.p);
        exit(1);
    }
}

static void tree(uint32_t code, const struct sx_buf *body)
{
    json_t *t = json_loadb(body->p, body->n, 0, NULL);

    (void)code;
    if (t == NULL)
        exit(1);
    json_decref(t);
}

/* Microseconds per call, best of the rounds that fit into the time. */
static double measure(void (*fn)(uint32_t code, const struct sx_buf *body),
                      uint32_t code,
                      const struct sx_buf *body,
                      double seconds)
{
    double end = now() + seconds, best = 1e9;

    for (double t = now(); t < end;) {
        double start = t;
        uint32_t n = 0;

        while (t - start < seconds / 20) {
            fn(code, body);
            n++;
            t = now();
        }
        if ((t - start) / n < best)
            best = (t - start) / n;
    }
    return best * 1e6;
}

static void
line(const char *what, uint32_t code, const struct sx_buf *body, uint32_t vectors, double seconds)
{
    double a = measure(own, code, body, seconds) / vectors;
    double b = measure(tree, code, body, seconds) / vectors;

    printf("%-28s %8llu bytes  own %7.2f us  jansson %8.2f us a vector  (%.1f times)\n", what,
           (unsigned long long)body->n, a, b, b / a);
}

int main(int argc, char **argv)
{
    uint32_t dim = argc > 1 ? (uint32_t)atoi(argv[1]) : 768;
    double seconds = argc > 2 ? atof(argv[2]) : 1;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
    for (int is_short = 0; is_short < 2; is_short++) {
        struct sx_buf query, upsert;

        sx_buf_init(&query, sx_mem_libc());
        sx_buf_init(&upsert, sx_mem_libc());
        make_query(&query, dim, is_short);
        make_upsert(&upsert, dim, 100, is_short);
        line(is_short ? "query, shortest floats" : "query, 17 digits", SX_OP_QUERY, &query, 1,
             seconds);
        line(is_short ? "upsert of 100, shortest" : "upsert of 100, 17 digits", SX_OP_POINTS_UPSERT,
             &upsert, 100, seconds);
        sx_buf_fini(&query);
        sx_buf_fini(&upsert);
    }
    sx_docb_fini(&docb);
    sx_arena_fini(&arena);
    return 0;
}
