/* needs: plugins/engine/filter.h */
/* Filters on documents, as they are read when no index exists: nanoseconds of processor time per
 * document, best of several rounds, over payloads of five fields. The documents lie in a cache that
 * the processor keeps, as they do after a read of the chunk. */
#include <time.h>

#include "../unit/filter_json.h"

#define N_DOCS 1024
#define ROUNDS 200

static struct sx_arena arena;
static struct sx_doc docs[N_DOCS];

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_docs(void)
{
    for (int i = 0; i < N_DOCS; i++) {
        char json[512];

        snprintf(
            json, sizeof(json),
            "{\"city\":\"city-%d\",\"price\":%d,\"score\":%d.5,\"tags\":[\"a%d\",\"b%d\",\"c\"],"
            "\"created\":\"2024-%02d-%02dT10:11:12Z\",\"text\":\"the quick brown fox number %d "
            "jumps over the lazy dog\",\"counts\":[%d,2,3,4],\"place\":{\"lon\":%d.25,"
            "\"lat\":%d.5},\"o\":[{\"x\":%d,\"y\":1},{\"x\":2,\"y\":%d}]}",
            i % 97, i % 1000, i % 100, i % 7, i % 11, i % 12 + 1, i % 28 + 1, i, i % 50, i % 180,
            i % 90, i % 3, i % 5);
        docs[i] = fj_doc(&arena, json);
    }
}

static void bench(const char *name, const struct fj_schemas *schemas, const char *filter)
{
    struct eng_schemas lookup = fj_lookup(schemas);
    struct eng_match_scratch scratch;
    struct eng_filter *f;
    double best = 1e18;
    int n = 0;

    fj_need(eng_filter_compile(sx_mem_libc(), fj_filter(&arena, fj_doc(&arena, filter)), &lookup,
                               &arena, &f, NULL) == 0,
            "compile");
    eng_match_scratch_init(&scratch, sx_mem_libc());
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();

        n = 0;
        for (int i = 0; i < N_DOCS; i++) {
            struct eng_subject s = {{0, (uint64_t)i, SX_ID_NUM, 0}, docs[i], NULL, NULL};

            n += eng_filter_match(f->root, &s, &scratch);
        }
        t = (now_ns() - t) / N_DOCS;
        best = t < best ? t : best;
    }
    printf("%-44s %7.1f ns a document, %4.1f %% match\n", name, best, 100.0 * n / N_DOCS);
    eng_match_scratch_fini(&scratch);
}

int main(void)
{
    struct fj_schemas schemas;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    fj_schemas_init(&schemas);
    make_docs();
    bench("match of a string", &schemas,
          "{\"must\":[{\"key\":\"city\",\"match\":{\"value\":\"city-5\"}}]}");
    bench("match of an integer", &schemas,
          "{\"must\":[{\"key\":\"price\",\"match\":{\"value\":5}}]}");
    bench("string and range", &schemas,
          "{\"must\":[{\"key\":\"price\",\"range\":{\"gte\":100,\"lt\":900}},"
          "{\"key\":\"city\",\"match\":{\"value\":\"city-5\"}}]}");
    bench("any of 3 over an array of strings", &schemas,
          "{\"must\":[{\"key\":\"tags\",\"match\":{\"any\":[\"a3\",\"b3\",\"zz\"]}}]}");
    bench("range over a packed array", &schemas,
          "{\"must\":[{\"key\":\"counts\",\"range\":{\"gt\":40}}]}");
    bench("is_empty", &schemas, "{\"must\":[{\"is_empty\":{\"key\":\"missing\"}}]}");
    bench("datetime range", &schemas,
          "{\"must\":[{\"key\":\"created\",\"range\":{\"gte\":\"2024-06-01\"}}]}");
    bench("geo radius", &schemas,
          "{\"must\":[{\"key\":\"place\",\"geo_radius\":{\"center\":{\"lon\":20,\"lat\":20},"
          "\"radius\":500000}}]}");
    bench("text, two words", &schemas,
          "{\"must\":[{\"key\":\"text\",\"match\":{\"text\":\"lazy 512\"}}]}");
    bench("a[].x", &schemas, "{\"must\":[{\"key\":\"o[].x\",\"match\":{\"value\":1}}]}");
    bench("nested, two conditions", &schemas,
          "{\"must\":[{\"nested\":{\"key\":\"o\",\"filter\":{\"must\":[{\"key\":\"x\",\"match\":"
          "{\"value\":2}},{\"key\":\"y\",\"match\":{\"value\":4}}]}}}]}");
    bench("has_id of 3", &schemas, "{\"must\":[{\"has_id\":[1,5,900]}]}");
    fj_schemas_fini(&schemas);
    sx_arena_fini(&arena);
    return 0;
}
