/* libs: jansson */
/* JSON of vectors: our reader beside jansson, in one run, on the same texts.
 *
 * Two shapes a server sees most: a query body with one vector of 768 floats, and the vector of one
 * point of an upsert; each with the shortest text of an f32 and with the text of an f32 that went
 * through a double (what Python's json.dumps makes of a numpy float). For the other direction the
 * vector is written. Prints nanoseconds of processor time per body, best of several rounds, and the
 * ratio.
 *
 * jansson is asked for what the reader does: from text to an array of floats. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sextant/sx_json.h"

#define DIM    768
#define ROUNDS 40
#define SINK   16

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t seed = 88172645463325252u;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

/* Roughly normal, scaled like the components of a unit vector. */
static float component(void)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += uniform();
    return (float)(sum / 27.7);
}

static double best_ours(const struct sx_buf *text, int in_object, float *out)
{
    double best = 1e18;
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();

        for (int i = 0; i < 50; i++) {
            struct sx_json j;
            struct sx_str key;
            float *v = NULL;
            int64_t n = 0;

            sx_arena_reset(&arena);
            sx_json_init(&j, text->p, text->n, &arena);
            if (!in_object) {
                n = sx_json_f32s(&j, DIM, &v);
            } else {
                (void)sx_json_obj_begin(&j, "a map");
                while (sx_json_obj_next(&j, &key) > 0) {
                    if (key.n == 5 && memcmp(key.p, "query", 5) == 0)
                        n = sx_json_f32s(&j, 0, &v);
                    else
                        (void)sx_json_skip(&j, NULL);
                }
            }
            if (n != DIM || sx_json_end(&j) != 0)
                abort();
            out[i % SINK] += v[i];
        }
        t = (now_ns() - t) / 50;
        best = t < best ? t : best;
    }
    sx_arena_fini(&arena);
    return best;
}

static double best_jansson(const struct sx_buf *text, int in_object, float *out)
{
    double best = 1e18;

    for (int r = 0; r < ROUNDS / 4; r++) {
        double t = now_ns();

        for (int i = 0; i < 5; i++) {
            json_t *root = json_loadb(text->p, text->n, 0, NULL);
            json_t *list = in_object ? json_object_get(root, "query") : root;
            float v[DIM];

            for (size_t k = 0; k < DIM; k++)
                v[k] = (float)json_number_value(json_array_get(list, k));
            out[i % SINK] += v[i];
            json_decref(root);
        }
        t = (now_ns() - t) / 5;
        best = t < best ? t : best;
    }
    return best;
}

static void make_text(struct sx_buf *b, const float *v, int in_object, int python)
{
    sx_buf_init(b, sx_mem_libc());
    sx_buf_adds(b, in_object ? "{\"limit\": 10, \"with_payload\": true, \"query\": " : "");
    if (!python) {
        sx_jsonw_f32s(b, v, DIM);
    } else {
        for (int i = 0; i < DIM; i++) {
            sx_buf_adds(b, i == 0 ? "[" : ", ");
            sx_jsonw_f64(b, (double)v[i]);
        }
        sx_buf_adds(b, "]");
    }
    sx_buf_adds(b, in_object ? ", \"params\": {\"hnsw_ef\": 128, \"exact\": false}}" : "");
}

static void bench_read(const char *name, const float *v, int in_object, int python, float *sink)
{
    struct sx_buf text;
    double ours, theirs;

    make_text(&text, v, in_object, python);
    ours = best_ours(&text, in_object, sink);
    theirs = best_jansson(&text, in_object, sink);
    printf("%-34s %6llu bytes   ours %8.0f ns   jansson %8.0f ns   ratio %.1f\n", name,
           (unsigned long long)text.n, ours, theirs, theirs / ours);
    sx_buf_fini(&text);
}

static void bench_write(const float *v)
{
    json_t *list = json_array();
    double ours = 1e18, theirs = 1e18;
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    for (int i = 0; i < DIM; i++)
        json_array_append_new(list, json_real((double)v[i]));
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();

        for (int i = 0; i < 20; i++) {
            b.n = 0;
            sx_jsonw_f32s(&b, v, DIM);
        }
        t = (now_ns() - t) / 20;
        ours = t < ours ? t : ours;
    }
    for (int r = 0; r < ROUNDS / 4; r++) {
        double t = now_ns();

        free(json_dumps(list, JSON_COMPACT));
        t = now_ns() - t;
        theirs = t < theirs ? t : theirs;
    }
    printf("%-34s %6llu bytes   ours %8.0f ns   jansson %8.0f ns   ratio %.1f\n", "write vector",
           (unsigned long long)b.n, ours, theirs, theirs / ours);
    json_decref(list);
    sx_buf_fini(&b);
}

/* A payload as an upsert brings it: text to sx_doc, against text to jansson's tree. */
static void bench_payload(void)
{
    static const char text[] =
        "{\"name\":\"libsextant-dev\",\"section\":\"libdevel\",\"priority\":500,\"size\":182736,"
        "\"score\":0.8125,\"tags\":[\"devel::library\",\"role::devel-lib\",\"search\"],"
        "\"location\":{\"lon\":13.404954,\"lat\":52.520008},\"added\":\"2024-02-29T10:11:12Z\","
        "\"description\":\"headers and the static library of a vector search engine, with "
        "examples; the library is what plugins link\",\"essential\":false,\"replaced_by\":null,"
        "\"counts\":[1,5,8,13,21,34,55,89]}";
    double ours = 1e18, theirs = 1e18;
    struct sx_arena arena;
    struct sx_docb b;
    uint32_t size = 0;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();

        for (int i = 0; i < 1000; i++) {
            struct sx_json j;

            sx_docb_reset(&b);
            sx_json_init(&j, text, sizeof(text) - 1, &arena);
            if (sx_json_doc(&j, &b) != 0)
                abort();
            size = sx_docb_end(&b).n;
        }
        t = (now_ns() - t) / 1000;
        ours = t < ours ? t : ours;
    }
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();

        for (int i = 0; i < 100; i++)
            json_decref(json_loadb(text, sizeof(text) - 1, 0, NULL));
        t = (now_ns() - t) / 100;
        theirs = t < theirs ? t : theirs;
    }
    printf("%-34s %6zu bytes   ours %8.0f ns   jansson %8.0f ns   ratio %.1f   (%u bytes of doc)\n",
           "payload to document", sizeof(text) - 1, ours, theirs, theirs / ours, size);
    sx_docb_fini(&b);
    sx_arena_fini(&arena);
}

int main(void)
{
    float v[DIM], sink[SINK] = {0};

    for (int i = 0; i < DIM; i++)
        v[i] = component();
    bench_read("query body, shortest floats", v, 1, 0, sink);
    bench_read("query body, floats as doubles", v, 1, 1, sink);
    bench_read("upsert vector, shortest floats", v, 0, 0, sink);
    bench_read("upsert vector, floats as doubles", v, 0, 1, sink);
    bench_write(v);
    bench_payload();
    fprintf(stderr, "(%g)\n", (double)sink[0]);
    return 0;
}
