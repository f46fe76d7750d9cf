/* The index suite's stand-in for the engine. */
#include "index_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHIFT    7u /* vectors per chunk: many chunks, so that nobody relies on one base address */
#define IN_CHUNK (1u << SHIFT)
#define CENTRES  40u

float *sx_world__vector(const struct world *w, uint32_t node)
{
    return (float *)(void *)(w->chunks[node >> SHIFT] +
                             (uint64_t)(node & (IN_CHUNK - 1)) * w->rows.stride);
}

/* --- scoring: minus squared distance, always added up in the same order --- */

static float world_pair(const void *q, const void *row, uint32_t dim)
{
    const float *a = q, *b = row;
    float s = 0;
    for (uint32_t i = 0; i < dim; i++)
        s += (a[i] - b[i]) * (a[i] - b[i]);
    return -s;
}

static void world_ids(const void *q,
                      const struct sx_rows *rows,
                      const uint32_t *ids,
                      uint32_t n,
                      uint32_t dim,
                      float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = world_pair(q, sx_rows_at(rows, ids[i]), dim);
}

static void world_rows(
    const void *q, const struct sx_rows *rows, uint32_t first, uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = world_pair(q, sx_rows_at(rows, first + i), dim);
}

static void world_score(const struct sx_scorer *s, const uint32_t *ids, uint32_t n, float *out)
{
    struct world_query *q = s->priv;
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] >= q->world->limit) {
            q->world->n_strays++;
            out[i] = -INFINITY;
            continue;
        }
        out[i] = sx_world__score(q, ids[i]);
    }
}

float sx_world__score(const struct world_query *q, uint32_t node)
{
    return world_pair(q->q, sx_world__vector(q->world, node), q->world->dim);
}

/* --- the source --- */

static uint32_t source_count(void *ctx)
{
    return ((struct world *)ctx)->count;
}

static void source_rows(void *ctx, struct sx_rows *out)
{
    const struct world *w = ctx;
    *out = w->rows;
    out->n = w->count;
}

static void source_scorer(void *ctx, uint32_t node, void *scratch, struct sx_scorer *out)
{
    struct world *w = ctx;
    struct world_query *q = scratch;
    memset(q, 0, sizeof(*q));
    memcpy(q->q, sx_world__vector(w, node), w->dim * sizeof(float));
    q->world = w;
    *out = (struct sx_scorer){
        .size = (uint32_t)sizeof(*out),
        .flags = SX_SCORER_PLAIN,
        .score = world_score,
        .kernel = &w->kernel,
        .q = q->q,
        .rows = &w->rows,
        .dim = w->dim,
        .priv = q,
    };
}

/* --- making it --- */

static uint8_t **chunks_make(uint32_t n, uint32_t stride)
{
    uint32_t n_chunks = (n + IN_CHUNK - 1) / IN_CHUNK;
    uint8_t **chunks = calloc(n_chunks, sizeof(*chunks));
    for (uint32_t i = 0; chunks != NULL && i < n_chunks; i++)
        if ((chunks[i] = calloc(IN_CHUNK, stride)) == NULL)
            return NULL; /* the process is about to give up anyway */
    return chunks;
}

static void chunks_end(uint8_t **chunks, uint32_t n)
{
    if (chunks == NULL)
        return;
    for (uint32_t i = 0; i < (n + IN_CHUNK - 1) / IN_CHUNK; i++)
        free(chunks[i]);
    free(chunks);
}

int sx_world__init(struct world *w, struct suite *s, uint32_t n, uint32_t dim)
{
    float centre[CENTRES][WORLD_DIM_MAX];
    *w = (struct world){.n = n, .dim = dim, .count = n, .limit = n};
    w->rows = (struct sx_rows){(uint32_t)sizeof(w->rows), (dim + 3) * 4, SHIFT, n, NULL};
    w->chunks = chunks_make(n, w->rows.stride);
    w->removed = calloc(1, n);
    for (uint32_t i = 0; i < WORLD_ROW_CHUNKS; i++) {
        w->dead[i] = calloc(SX_CHUNK_ROWS / 64, 8);
        w->allowed[i] = calloc(SX_CHUNK_ROWS / 64, 8);
        if (w->dead[i] == NULL || w->allowed[i] == NULL)
            return SX_ENOMEM;
    }
    if (w->chunks == NULL || w->removed == NULL)
        return SX_ENOMEM;
    w->rows.chunks = (const uint8_t *const *)w->chunks;
    for (uint32_t c = 0; c < CENTRES; c++)
        for (uint32_t j = 0; j < dim; j++)
            centre[c][j] = (float)sx_suite__normal(s);
    for (uint32_t i = 0; i < n; i++) {
        const float *from = centre[sx_suite__random(s) % CENTRES];
        for (uint32_t j = 0; j < dim; j++)
            sx_world__vector(w, i)[j] = from[j] + 0.5f * sx_suite__uniform(s);
        if (i > 0 && i % 50 == 0) /* duplicates: ties must come out by node */
            memcpy(sx_world__vector(w, i), sx_world__vector(w, i - 1), dim * sizeof(float));
    }
    w->kernel = (struct sx_kernel){
        .size = (uint32_t)sizeof(w->kernel),
        .align = 4,
        .dim_pad = 1,
        .pair = world_pair,
        .score_ids = world_ids,
        .score_rows = world_rows,
    };
    w->source = (struct sx_index_source){
        .size = (uint32_t)sizeof(w->source),
        .dim = dim,
        .dtype = SX_DT_F32,
        .ctx = w,
        .count = source_count,
        .rows = source_rows,
        .scorer_for_node = source_scorer,
        .scorer_size = (uint32_t)sizeof(struct world_query),
    };
    sx_world__set_view(w, s, 0, 1000, 0);
    return SX_OK;
}

void sx_world__fini(struct world *w)
{
    chunks_end(w->chunks, w->n);
    chunks_end(w->row_chunks, w->n);
    free(w->removed);
    for (uint32_t i = 0; i < WORLD_ROW_CHUNKS; i++) {
        free(w->dead[i]);
        free(w->allowed[i]);
    }
}

static uint32_t row_of(const struct world *w, uint32_t node)
{
    if (!w->is_mapped)
        return node;
    uint32_t row;
    memcpy(&row, sx_rows_at(&w->row_of, node), 4);
    return row;
}

int sx_world__map_rows(struct world *w, struct suite *s)
{
    uint64_t *taken = calloc((WORLD_ROW_CHUNKS + 1) * SX_CHUNK_ROWS / 64, 8);
    w->row_of = (struct sx_rows){(uint32_t)sizeof(w->row_of), 12, SHIFT, w->n, NULL};
    w->row_chunks = chunks_make(w->n, w->row_of.stride);
    if (taken == NULL || w->row_chunks == NULL) {
        free(taken);
        return SX_ENOMEM;
    }
    w->row_of.chunks = (const uint8_t *const *)w->row_chunks;
    for (uint32_t i = 0; i < w->n; i++) {
        /* One node in 64 was given a row in a chunk made after the view was taken. */
        uint32_t chunks = i % 64 == 63 ? WORLD_ROW_CHUNKS + 1 : WORLD_ROW_CHUNKS, row;
        do
            row = sx_suite__random(s) % (chunks * SX_CHUNK_ROWS);
        while ((taken[row / 64] >> row % 64 & 1) != 0);
        taken[row / 64] |= 1ull << row % 64;
        memcpy(w->row_chunks[i >> SHIFT] + (uint64_t)(i & (IN_CHUNK - 1)) * w->row_of.stride, &row,
               4);
    }
    free(taken);
    w->is_mapped = 1;
    sx_world__set_view(w, s, 0, 1000, 0);
    return SX_OK;
}

void sx_world__set_view(
    struct world *w, struct suite *s, uint32_t dead, uint32_t allowed, uint32_t with_fill)
{
    uint32_t rows = WORLD_ROW_CHUNKS * SX_CHUNK_ROWS;
    uint64_t n_allowed = 0;
    for (uint32_t i = 0; i < WORLD_ROW_CHUNKS; i++) {
        memset(w->dead[i], 0, SX_CHUNK_ROWS / 8);
        memset(w->allowed[i], 0, SX_CHUNK_ROWS / 8);
        w->fill[i] = SX_CHUNK_ROWS;
    }
    if (with_fill) { /* inside a word, then full, then nothing known */
        w->fill[0] = w->is_mapped ? 40007 : w->n < SX_CHUNK_ROWS ? w->n * 3 / 4 : 65001;
        w->fill[2] = 0;
    }
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t c = row >> SX_CHUNK_SHIFT, off = row & (SX_CHUNK_ROWS - 1);
        if (sx_suite__random(s) % 1000 < dead)
            w->dead[c][off / 64] |= 1ull << off % 64;
        if (sx_suite__random(s) % 1000 < allowed) {
            w->allowed[c][off / 64] |= 1ull << off % 64;
            n_allowed++;
        }
    }
    w->view = (struct sx_view){
        .size = (uint32_t)sizeof(w->view),
        .n_chunks = WORLD_ROW_CHUNKS,
        .fill = w->fill,
        .dead = dead > 0 ? (const uint64_t *const *)w->dead : NULL,
        .allowed = allowed < 1000 ? (const uint64_t *const *)w->allowed : NULL,
        .n_allowed = n_allowed,
        .row_of = w->is_mapped ? &w->row_of : NULL,
    };
}

int sx_world__is_visible(const struct world *w, uint32_t node)
{
    uint32_t row = row_of(w, node), c = row >> SX_CHUNK_SHIFT, off = row & (SX_CHUNK_ROWS - 1);
    if (w->removed[node])
        return 0;
    if (c >= w->view.n_chunks || off >= w->fill[c])
        return 1; /* newer than the view: unjudged */
    if (w->view.dead != NULL && (w->dead[c][off / 64] >> off % 64 & 1) != 0)
        return 0;
    return w->view.allowed == NULL || (w->allowed[c][off / 64] >> off % 64 & 1) != 0;
}

void sx_world__query(struct world *w, struct suite *s, struct world_query *out, uint32_t is_plain)
{
    memset(out, 0, sizeof(*out));
    const float *near = sx_world__vector(w, sx_suite__random(s) % w->n);
    for (uint32_t i = 0; i < w->dim; i++)
        out->q[i] = near[i] + 0.1f * sx_suite__uniform(s);
    out->world = w;
    out->scorer = (struct sx_scorer){
        .size = (uint32_t)sizeof(out->scorer),
        .flags = is_plain ? SX_SCORER_PLAIN : 0,
        .score = world_score,
        .kernel = is_plain ? &w->kernel : NULL,
        .q = is_plain ? out->q : NULL,
        .rows = is_plain ? &w->rows : NULL,
        .dim = is_plain ? w->dim : 0,
        .priv = out,
    };
}

static int by_rank(const void *a, const void *b)
{
    const struct sx_hit *x = a, *y = b;
    int x_nan = isnan(x->score), y_nan = isnan(y->score);
    if (x_nan != y_nan)
        return x_nan - y_nan;
    if (!x_nan && x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

uint32_t sx_world__truth(const struct world_query *q, uint32_t n_nodes, struct sx_hit *hits)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_nodes; i++)
        if (sx_world__is_visible(q->world, i))
            hits[n++] = (struct sx_hit){i, sx_world__score(q, i)};
    qsort(hits, n, sizeof(*hits), by_rank);
    return n;
}
