/* What the index suite searches in: vectors, queries, rows, visibility, and the true answers.
 *
 * The world plays the engine: it owns vectors in chunks, gives each node a row number of its own
 * (or none: node is row), marks rows dead, filtered out or newer than the view, and scores with
 * plain C that also notes when an index asks for a node it must not touch. */
#ifndef SX_SUITES_INDEX_WORLD_H
#define SX_SUITES_INDEX_WORLD_H

#include "sextant/sx_index.h"

#include "suite.h"

#define WORLD_DIM_MAX    32u
#define WORLD_ROW_CHUNKS 3u

struct world {
    uint32_t n, dim, n_chunks, is_mapped;
    uint8_t **chunks; /* vectors by node */
    struct sx_rows rows;
    uint32_t count; /* nodes the source admits to */
    /* Row numbers by node, when is_mapped. */
    uint8_t **row_chunks;
    struct sx_rows row_of;
    uint32_t fill[WORLD_ROW_CHUNKS];
    uint64_t *dead[WORLD_ROW_CHUNKS], *allowed[WORLD_ROW_CHUNKS];
    struct sx_view view;
    struct sx_index_source source;
    struct sx_kernel kernel;
    uint8_t *removed; /* by node */
    uint32_t limit;   /* a scorer asked for a node at or above this is noted in n_strays */
    uint32_t n_strays;
};

/* A scorer and the query it stands for. */
struct world_query {
    struct sx_scorer scorer;
    struct world *world;
    float q[WORLD_DIM_MAX];
};

/* Clustered random vectors; 0 or SX_ENOMEM. Everything is visible, rows are nodes. */
int sx_world__init(struct world *w, struct suite *s, uint32_t n, uint32_t dim);
void sx_world__fini(struct world *w);
float *sx_world__vector(const struct world *w, uint32_t node);

/* Gives every node a random row of its own in three chunks; a few lie beyond the view's chunks. */
int sx_world__map_rows(struct world *w, struct suite *s);
/* Marks about `dead` of 1000 rows dead and, when allowed is below 1000, allows about `allowed` of
 * 1000; with_fill makes some chunks partly unknown. */
void sx_world__set_view(
    struct world *w, struct suite *s, uint32_t dead, uint32_t allowed, uint32_t with_fill);
/* Whether a search may return the node. */
int sx_world__is_visible(const struct world *w, uint32_t node);

/* A query near some vector. is_plain: the index may use kernel and rows itself. */
void sx_world__query(struct world *w, struct suite *s, struct world_query *out, uint32_t is_plain);
/* The score every function of the world gives for (query, node). */
float sx_world__score(const struct world_query *q, uint32_t node);

/* The true order of all visible nodes below n_nodes: hits has room for n_nodes; returns how many.
 */
uint32_t sx_world__truth(const struct world_query *q, uint32_t n_nodes, struct sx_hit *hits);

#endif
