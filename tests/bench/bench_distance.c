/* needs: plugins/distance-basic/resolve.c plugins/distance-basic/prepare.c
 * needs: plugins/distance-basic/scalar.c plugins/distance-basic/avx2.c
 * needs: plugins/distance-basic/avx512.c */
/* Nanoseconds per distance of the basic kernels, beside a plain read of the same memory.
 *
 *   bench_distance [--serve] [--rows N] [--dim D] [--rounds R]
 *
 * Each round measures, on one thread and on the same rows: a plain read (the bound no kernel can
 * beat), score_rows, score_ids over shuffled ids, pair over the same ids, and score_rows over a
 * block that stays in the second-level cache. Rounds interleave all measurements, so that a noisy
 * neighbour hits all alike, and count processor time, so that being preempted hits none; the median
 * of the rounds is printed, and the median of the per-round ratio to the plain read. With --serve
 * one round is run per line read from standard input and its numbers are printed as "name value"
 * pairs on one line: distance_numpy.py alternates them with numpy's matrix-vector product. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "sextant/sx_service.h"

#include "../../plugins/distance-basic/dist.h"

#define ROUNDS_MAX  101
#define CACHED_ROWS 256u

typedef uint64_t word4 __attribute__((vector_size(32)));

struct bench {
    uint32_t rows, dim, chunk_n;
    uint8_t *mem;
    const uint8_t **chunks;
    struct sx_rows table;
    uint32_t *ids;
    float *q, *out;
};

enum { M_READ, M_ROWS, M_IDS, M_PAIR, M_CACHED, M_ISAS };
struct isa {
    const char *name;
    uint64_t cpu;
};
static struct isa isas[3];
static uint32_t n_isas;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t rng(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 32);
}

static void isas_find(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        isas[n_isas++] = (struct isa){"avx512", SX_CPU_AVX512 | SX_CPU_AVX2};
    if (avx2)
        isas[n_isas++] = (struct isa){"avx2", SX_CPU_AVX2};
#endif
    isas[n_isas++] = (struct isa){"scalar", 0};
}

static void bench_init(struct bench *b)
{
    uint64_t stride = (uint64_t)b->dim * 4, bytes = stride * b->rows, seed = 1;
    b->mem =
        mmap(NULL, bytes + (2u << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->mem == MAP_FAILED)
        exit(2);
    b->mem = (uint8_t *)(((uintptr_t)b->mem + (2u << 20) - 1) & ~(uintptr_t)((2u << 20) - 1));
    madvise(b->mem, bytes, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < bytes / 4; i++)
        ((float *)(void *)b->mem)[i] = (float)(int32_t)rng(&seed) * 0x1p-31f;
    b->chunk_n = (b->rows + SX_CHUNK_ROWS - 1) / SX_CHUNK_ROWS;
    b->chunks = calloc(b->chunk_n, sizeof(*b->chunks));
    b->ids = malloc((uint64_t)b->rows * 4);
    b->q = aligned_alloc(64, (stride + 63) & ~63ull);
    b->out = aligned_alloc(64, ((uint64_t)b->rows * 4 + 63) & ~63ull);
    if (b->chunks == NULL || b->ids == NULL || b->q == NULL || b->out == NULL)
        exit(2);
    for (uint32_t c = 0; c < b->chunk_n; c++)
        b->chunks[c] = b->mem + (uint64_t)c * SX_CHUNK_ROWS * stride;
    b->table = (struct sx_rows){sizeof(struct sx_rows), (uint32_t)stride, SX_CHUNK_SHIFT, b->rows,
                                b->chunks};
    for (uint32_t i = 0; i < b->rows; i++)
        b->ids[i] = i;
    for (uint32_t i = b->rows; i > 1; i--) {
        uint32_t j = rng(&seed) % i, t = b->ids[i - 1];
        b->ids[i - 1] = b->ids[j];
        b->ids[j] = t;
    }
    for (uint32_t i = 0; i < b->dim; i++)
        b->q[i] = (float)(int32_t)rng(&seed) * 0x1p-31f;
}

static double plain_read(const struct bench *b)
{
    const word4 *p = (const void *)b->mem;
    uint64_t n = (uint64_t)b->rows * b->dim * 4 / sizeof(word4);
    word4 a = {0}, c = {0}, d = {0}, e = {0};
    uint64_t t0 = now_ns();
    for (uint64_t i = 0; i + 4 <= n; i += 4) {
        a |= p[i];
        c |= p[i + 1];
        d |= p[i + 2];
        e |= p[i + 3];
    }
    a |= c | d | e;
    __asm__ volatile("" ::"r"(a[0] | a[1] | a[2] | a[3]));
    return (double)(now_ns() - t0) / b->rows;
}

/* All measurements of one instruction set, ns per distance. */
static void isa_round(const struct bench *b, uint64_t cpu, double *out)
{
    struct sx_kernel k = {.size = sizeof(k)};
    if (distb_dot_ops.resolve(NULL, SX_DT_F32, SX_DT_F32, b->dim, cpu, &k) != 0)
        exit(2);
    uint64_t t0 = now_ns();
    k.score_rows(b->q, &b->table, 0, b->rows, b->dim, b->out);
    uint64_t t1 = now_ns();
    out[M_ROWS] = (double)(t1 - t0) / b->rows;
    for (uint32_t i = 0; i < b->rows; i += 32)
        k.score_ids(b->q, &b->table, b->ids + i, b->rows - i < 32 ? b->rows - i : 32, b->dim,
                    b->out + i);
    uint64_t t2 = now_ns();
    out[M_IDS] = (double)(t2 - t1) / b->rows;
    for (uint32_t i = 0; i < b->rows; i++)
        b->out[i] = k.pair(b->q, sx_rows_at(&b->table, b->ids[i]), b->dim);
    out[M_PAIR] = (double)(now_ns() - t2) / b->rows;
    uint32_t cached = b->rows < CACHED_ROWS ? b->rows : CACHED_ROWS, passes = 40;
    k.score_rows(b->q, &b->table, 0, cached, b->dim, b->out);
    uint64_t t3 = now_ns();
    for (uint32_t i = 0; i < passes; i++)
        k.score_rows(b->q, &b->table, 0, cached, b->dim, b->out);
    out[M_CACHED] = (double)(now_ns() - t3) / ((double)cached * passes);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, uint32_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

static const char *const names[M_ISAS] = {"read", "rows", "ids", "pair", "cached"};

static void serve(struct bench *b)
{
    char line[64];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("read %.3f", plain_read(b));
        for (uint32_t s = 0; s < n_isas; s++) {
            double v[M_ISAS];
            isa_round(b, isas[s].cpu, v);
            for (uint32_t m = M_ROWS; m < M_ISAS; m++)
                printf(" %s_%s %.3f", isas[s].name, names[m], v[m]);
        }
        printf("\n");
        fflush(stdout);
    }
}

static void report(struct bench *b, uint32_t rounds)
{
    static double v[3][M_ISAS][ROUNDS_MAX], ratio[3][M_ISAS][ROUNDS_MAX], read[ROUNDS_MAX];
    for (uint32_t r = 0; r < rounds; r++) {
        read[r] = plain_read(b);
        for (uint32_t s = 0; s < n_isas; s++) {
            double one[M_ISAS];
            isa_round(b, isas[s].cpu, one);
            for (uint32_t m = M_ROWS; m < M_ISAS; m++) {
                v[s][m][r] = one[m];
                ratio[s][m][r] = one[m] / read[r];
            }
        }
    }
    double row_bytes = (double)b->dim * 4, ns = median(read, rounds);
    printf("%u rows x %u f32, %u rounds\n", b->rows, b->dim, rounds);
    printf("%-18s %9.1f ns %7.1f GB/s\n", "plain read", ns, row_bytes / ns);
    for (uint32_t s = 0; s < n_isas; s++)
        for (uint32_t m = M_ROWS; m < M_ISAS; m++) {
            ns = median(v[s][m], rounds);
            printf("%-8s %-9s %9.1f ns %7.1f GB/s   x%.2f of plain read\n", isas[s].name, names[m],
                   ns, row_bytes / ns, median(ratio[s][m], rounds));
        }
}

int main(int argc, char **argv)
{
    struct bench b = {.rows = 50000, .dim = 384};
    uint32_t rounds = 15, is_server = 0;
    for (int i = 1; i < argc; i++) {
        uint32_t v = i + 1 < argc ? (uint32_t)strtoul(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "--serve") == 0)
            is_server = 1;
        else if (strcmp(argv[i], "--rows") == 0 && v > 0)
            b.rows = v, i++;
        else if (strcmp(argv[i], "--dim") == 0 && v > 0)
            b.dim = v, i++;
        else if (strcmp(argv[i], "--rounds") == 0 && v > 0 && v < ROUNDS_MAX)
            rounds = v, i++;
        else
            return fprintf(stderr, "usage: bench_distance [--serve] [--rows N] [--dim D]"
                                   " [--rounds R]\n"),
                   2;
    }
    isas_find();
    bench_init(&b);
    if (is_server)
        serve(&b);
    else
        report(&b, rounds);
    return 0;
}
