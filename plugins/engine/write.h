/* The way of a write through the engine.
 *
 *   prepare  on a worker: what needs no order. Everything that is refused before the log, log
 *            bodies of points, and for selections by filter a first evaluation against a view.
 *   resolve  on the strand: selection against the newest state, so that the record names ids and
 *            depends on nothing but the points it names.
 *   apply    on the strand: number, stage, log, commit, publish.
 *
 * A request is a list of steps, one operation each; a batch has many, everything else one (deleting
 * vectors by ids and by filter two). Steps run in order until one fails. Errors that the contract
 * finds at application time take a number and have exactly the effect that the record states.
 *
 * write.c runs steps; write_step.c knows what each operation resolves to. */
#ifndef ENG_WRITE_H
#define ENG_WRITE_H

#include "plan.h"

struct eng_write_step {
    uint32_t code;    /* SX_OP_* */
    uint32_t by_what; /* VECTORS_DELETE: which of the two selections this step is */
    const void *args;
    /* [W] prepared */
    struct sx_err refused;         /* code != 0: the request ends here, no number */
    struct sx_err outcome;         /* application-time error; code 0 = applied */
    struct eng_points_body points; /* of upserts and vector updates */
    uint32_t *rows, n_rows;        /* selected by filter in a view that had view_rows rows */
    uint32_t view_rows, view_low, is_selected, pad;
    /* [S] resolved */
    uint16_t type;
    struct sx_str body;
    uint64_t number;
};

enum { ENG_BY_EITHER = 0, ENG_BY_FILTER, ENG_BY_IDS };

/* write_step.c. Both set refused or outcome; a negative return is a refusal too (err in refused).
 */
void eng_write_prepare(struct eng_call *c, struct eng_write_step *step, int is_single);
void eng_write_resolve(struct eng_call *c, struct eng_write_step *step);

/* write.c [S]. refused: 0, or the code and cause when the shard takes no more writes. apply:
 * number, stage, log, commit, publish; after an error nothing has happened and no number is taken,
 * so the next operation may succeed. */
int eng_write_refused(struct eng_shard *s, struct sx_err *err);
int eng_write_apply(struct eng_shard *s,
                    uint16_t type,
                    int outcome,
                    struct sx_str body,
                    uint64_t *number,
                    struct sx_err *err);

/* call.c: what shard_key means for a collection without custom sharding. 0, 1 = selects nothing, or
 * the error. */
int eng_check_shards(const struct sx_shards *shards, int is_write, struct sx_err *err);

#endif
