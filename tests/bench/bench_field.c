/* Payload indexes: what a condition, a facet, a row and a start cost.
 *
 * 16 chunks of 65 536 rows with a keyword of 1 000 values (and one of a value per row) are built
 * from documents, saved under TMPDIR and mapped again; a chunk is staged row by row. Prints
 * nanoseconds of processor time, best of several rounds, and bytes of anonymous memory per row.
 * Nothing is asserted. */
/* needs: plugins/engine/field*.c kernel/io.c tests/unit/mem_io.c */
#include <time.h>
#include <unistd.h>

#include "../unit/field_kit.h"
#include "kernel/io.h"

#define CHUNKS 16u
#define ROUNDS 30
#define BATCH  1000u

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t rnd = 88172645463325252u;

static struct sx_doc *docs; /* one per value */
static uint32_t n_docs;

static void docs_make(uint32_t n)
{
    docs = malloc(n * sizeof(*docs));
    n_docs = n;
    for (uint32_t i = 0; i < n; i++) {
        char json[160];

        (void)snprintf(json, sizeof(json),
                       "{\"name\":\"point %u\",\"price\":%u.5,\"tags\":[1,2],\"k\":\"value %06u\","
                       "\"ok\":true}",
                       i, i, i * 7919 % n);
        docs[i] = fk_doc(json);
    }
}

static void docs_free(void)
{
    for (uint32_t i = 0; i < n_docs; i++)
        fk_doc_free(&docs[i]);
    free(docs);
}

static struct sx_doc any_doc(void)
{
    return docs[fk_rnd(&rnd) % n_docs];
}

static void work_all(struct eng_field *f)
{
    struct eng_field_job job;

    while (eng_field_next(f, fk_rows(CHUNKS * SX_CHUNK_ROWS), &job)) {
        double t = now_ns();
        uint32_t kind = job.kind;

        for (uint32_t r = job.lo; kind == ENG_FIELD_BUILD && r < job.hi; r++) {
            if (eng_field_build_add(&job, r, any_doc(), NULL) != 0)
                abort();
        }
        if (eng_field_run(&job, NULL) != 0)
            abort();
        if (job.lo == 0 && kind != ENG_FIELD_SAVE)
            printf("  %-34s %10.0f us a chunk\n", kind == ENG_FIELD_BUILD ? "build" : "seal",
                   (now_ns() - t) / 1e3);
        eng_field_done(&job, 0);
        sx_epoch_drain();
    }
}

static void time_mask(const struct eng_field *f,
                      const struct eng_leaf *leaf,
                      const char *form,
                      const char *what)
{
    double best = 1e18;
    uint32_t n = 0;

    for (int r = 0; r < ROUNDS; r++) {
        struct eng_bits yes = {{0}}, maybe = {{0}};
        double t = now_ns();

        for (int i = 0; i < 20; i++)
            eng_field_mask(f, leaf, 0, SX_CHUNK_ROWS, &yes, &maybe);
        t = (now_ns() - t) / 20;
        best = t < best ? t : best;
        n = eng_bits_count(&yes, 0, SX_CHUNK_ROWS);
    }
    printf("  mask %-6s %-22s %10.2f us (%u rows)\n", form, what, best / 1e3, n);
}

static void
time_masks(const struct eng_field *f, const struct eng_field_schema *s, const char *form)
{
    struct sx_cond empty = {.kind = SX_COND_IS_EMPTY};
    static char text[16][24];
    struct sx_str strs[16];
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < 16; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "value %06u", i * 31);
        strs[i] = fk_str(text[i]);
    }
    time_mask(f, fk_leaf(s, fk_match_str(SX_MATCH_STR, strs[3]), &arena), form, "value");
    time_mask(f, fk_leaf(s, fk_match_strs(SX_MATCH_ANY_STR, strs, 3), &arena), form, "any of 3");
    time_mask(f, fk_leaf(s, fk_match_strs(SX_MATCH_ANY_STR, strs, 16), &arena), form, "any of 16");
    time_mask(f, fk_leaf(s, fk_match_strs(SX_MATCH_EXCEPT_STR, strs, 2), &arena), form, "except 2");
    time_mask(f, fk_leaf(s, fk_match_str(SX_MATCH_PREFIX, fk_str("value 0000")), &arena), form,
              "prefix");
    time_mask(f, fk_leaf(s, fk_match_str(SX_MATCH_SUBSTRING, fk_str("77")), &arena), form,
              "substring");
    time_mask(f, fk_leaf(s, empty, &arena), form, "is_empty");
    sx_arena_fini(&arena);
}

static void time_facet(const struct eng_field *f,
                       const struct eng_field_schema *s,
                       const struct eng_bits *bits,
                       const char *what)
{
    double best = 1e18, first = 0;
    uint32_t n = 0;

    for (int r = 0; r < ROUNDS; r++) {
        const struct sx_facet_hit *hits;
        struct sx_arena arena;
        struct eng_facet *k;
        double t = now_ns();

        sx_arena_init(&arena, sx_mem_libc(), 0);
        k = eng_facet_create(s, &fk_mem, &arena);
        for (uint32_t c = 0; c < CHUNKS; c++) {
            struct eng_bits rest = {{0}};

            if (eng_facet_chunk(k, f, c, SX_CHUNK_ROWS, bits, &rest) != 0)
                abort();
        }
        if (eng_facet_top(k, 10, &hits, &n) != 0)
            abort();
        eng_facet_destroy(k);
        sx_arena_fini(&arena);
        t = now_ns() - t;
        first = r == 0 ? t : first;
        best = t < best ? t : best;
        sx_epoch_drain();
    }
    printf("  facet, %-27s %10.1f us (the first %.1f)\n", what, best / 1e3, first / 1e3);
}

static void time_facets(const struct eng_field *f, const struct eng_field_schema *s)
{
    static const uint32_t one_in[] = {1000, 100, 10, 1};

    for (uint32_t i = 0; i < SX_COUNT(one_in); i++) {
        struct eng_bits bits = {{0}};
        char what[32];

        for (uint32_t r = 0; r < SX_CHUNK_ROWS; r++) {
            if (fk_rnd(&rnd) % one_in[i] == 0)
                eng_bits_set(&bits, r);
        }
        (void)snprintf(what, sizeof(what), "1 row in %u, 16 chunks", one_in[i]);
        time_facet(f, s, &bits, what);
    }
}

static void time_stage(const struct eng_field_schema *s)
{
    struct sx_doc batch[BATCH];
    struct eng_field *f;
    double sum = 0;
    int64_t before = fk_bytes;

    if (eng_field_create(&fk_conf, s, 0, &f, NULL) != 0)
        abort();
    for (uint32_t base = 0; base + BATCH < SX_CHUNK_ROWS; base += BATCH) {
        double t;

        for (uint32_t i = 0; i < BATCH; i++)
            batch[i] = any_doc();
        t = now_ns();
        if (eng_field_stage(f, base, BATCH, batch, NULL) != 0)
            abort();
        eng_field_commit(f);
        sum += now_ns() - t;
        sx_epoch_drain();
    }
    printf("  %-34s %10.0f ns a row\n", "stage and commit", sum / (SX_CHUNK_ROWS - 536));
    printf("  %-34s %10.2f bytes a row\n", "anonymous memory, open",
           (double)(fk_bytes - before) / (SX_CHUNK_ROWS - 536));
    time_masks(f, s, "open");
    eng_field_destroy(f, 1);
}

static void time_open(const struct eng_field_schema *s)
{
    double t, best = 1e18;
    struct eng_field *f;

    for (int r = 0; r < 5; r++) {
        t = now_ns();
        if (eng_field_open(&fk_conf, s, fk_rows(CHUNKS * SX_CHUNK_ROWS), CHUNKS * SX_CHUNK_ROWS, &f,
                           NULL) != 0)
            abort();
        t = now_ns() - t;
        best = t < best ? t : best;
        if (r == 0) {
            uint32_t lo, hi;

            t = now_ns();
            (void)eng_field_gap(f, fk_rows(CHUNKS * SX_CHUNK_ROWS), 0, &lo, &hi);
            printf("  %-34s %10.0f us for 1 M rows\n", "first look at every part",
                   (now_ns() - t) / 1e3);
        }
        eng_field_destroy(f, 0);
        sx_epoch_drain();
    }
    printf("  %-34s %10.0f us for 1 M rows\n", "open", best / 1e3);
}

static void run(uint32_t n_values)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    uint64_t disk_bytes, ram;
    struct eng_field *f;
    char root[128];
    int64_t before;

    printf("%u values\n", n_values);
    fk_start(NULL);
    (void)snprintf(root, sizeof(root), "%.80s/bench-field-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    fk_eng.io = sx_io_plain();
    if (mkdtemp(root) == NULL || fk_eng.io->dir_open(NULL, root, 0, &fk_conf.dir, NULL) != 0)
        abort();
    docs_make(n_values);
    time_stage(s);
    before = fk_bytes;
    if (eng_field_create(&fk_conf, s, CHUNKS * SX_CHUNK_ROWS, &f, NULL) != 0)
        abort();
    work_all(f);
    time_masks(f, s, "sealed");
    eng_field_stats(f, &disk_bytes, &ram);
    printf("  %-34s %10.2f bytes a row\n", "file", (double)disk_bytes / CHUNKS / SX_CHUNK_ROWS);
    printf("  %-34s %10.3f bytes a row\n", "anonymous memory, saved",
           (double)(fk_bytes - before) / CHUNKS / SX_CHUNK_ROWS);
    time_facets(f, s);
    printf("  %-34s %10.3f bytes a row\n", "anonymous memory, after facets",
           (double)(fk_bytes - before) / CHUNKS / SX_CHUNK_ROWS);
    eng_field_destroy(f, 0);
    sx_epoch_drain();
    time_open(s);
    if (eng_field_open(&fk_conf, s, fk_rows(0), 0, &f, NULL) != 0)
        abort();
    eng_field_destroy(f, 1); /* and with it the files */
    docs_free();
    eng_field_schema_destroy(&fk_mem, s);
    fk_eng.io->dir_close(fk_conf.dir);
    (void)rmdir(root);
}

int main(void)
{
    run(1000);
    run(SX_CHUNK_ROWS);
    return 0;
}
