/* A filter over one view: which rows match, chunk by chunk.
 *
 * Each row chunk is evaluated as bits, in three values: rows that match for certain, rows that may
 * (no index tells), the rest. Indexes answer whole chunks at a time; what remains `maybe` is looked
 * at document by document, and only those. A caller that needs few rows in another order (a scroll
 * by id) asks row by row: then a chunk's bits are computed when its first row is asked for, and
 * documents are read for asked rows alone.
 *
 * Lives in the caller's arena and epoch; one thread. */
#ifndef ENG_PLAN_H
#define ENG_PLAN_H

#include "field.h"
#include "shard.h"

struct eng_plan;

/* f NULL: every visible row. SX_EINPUT, SX_ENOMEM with err. */
int eng_plan_create(struct eng_shard *s,
                    const struct eng_reader *r,
                    const struct sx_filter *f,
                    struct sx_arena *arena,
                    struct eng_plan **out,
                    struct sx_err *err);
void eng_plan_destroy(struct eng_plan *p);

/* Exactly the visible, matching rows of the chunk. SX_ECORRUPT marks the shard damaged. */
int eng_plan_chunk(struct eng_plan *p, uint32_t chunk, struct eng_bits *out, struct sx_err *err);
/* 1 when the row (visible) matches, 0, or negative. */
int eng_plan_row(struct eng_plan *p, uint32_t row, struct sx_err *err);
/* Does the document of a row that is not (yet) covered by the plan's bits match: for rows that came
 * after the view. */
const struct eng_filter *eng_plan_filter(const struct eng_plan *p);
/* All matching rows, ascending, in the arena. */
int eng_plan_rows(
    struct eng_plan *p, uint32_t first, uint32_t **rows, uint32_t *n, struct sx_err *err);
/* The number of matching rows, exactly. */
int eng_plan_count(struct eng_plan *p, uint64_t *n, struct sx_err *err);

/* plan_run.c: a read operation with a filter. Compiles it in an epoch of this thread; when cost()
 * says that the work is short, body runs right there, else both again on the pool: a filter cannot
 * be carried out of the epoch it was compiled in, and compiling costs less than a hand-off. body
 * fills the reply; negative = the call fails with c->err. A shard selection that selects nothing
 * answers the empty reply of that kind. */
struct eng_read_op {
    uint32_t reply_kind, pad;
    const struct sx_filter *filter; /* NULL = none */
    const struct sx_shards *shards;
    uint64_t (*cost)(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p);
    int (*body)(struct eng_call *c, const struct eng_reader *r, struct eng_plan *p);
};
/* op lies in the call's arena. */
void eng_read_op_run(struct eng_call *c, struct eng_read_op *op);

/* estimate.c: by the rules of the estimator, from the indexes alone. */
void eng_plan_estimate(const struct eng_plan *p, struct eng_estimate *out);
void eng_estimate_node(const struct eng_reader *r,
                       const struct eng_filter_node *node,
                       uint64_t n_points,
                       struct eng_estimate *out);
/* Nanoseconds that finding all matching rows will take, roughly: for choosing where it runs. */
uint64_t eng_plan_cost(const struct eng_plan *p);
/* The same for asking row by row, n rows in all. */
uint64_t eng_plan_cost_row(const struct eng_plan *p, uint64_t n);

#endif
