/* Rows in the order of their ids: pages of a scroll and the plain list of a query.
 *
 * Two ways with the same result. Walking: ids in order, each row tested. Collecting: all matching
 * rows, of which the smallest ids are kept. Walking wins when many points match, because it stops
 * at the page's end; collecting when few do. */
#ifndef ENG_WALK_H
#define ENG_WALK_H

#include "plan.h"

struct eng_page {
    const struct sx_id *from; /* inclusive start, NULL = the first */
    uint64_t skip, max;       /* of the matching points */
    uint32_t *rows, n;        /* out, in the arena */
    uint32_t has_next;        /* out: another one follows */
    struct sx_id next;
};

/* Nanoseconds it will take, roughly, without fetching anything. */
uint64_t
eng_walk_cost(const struct eng_reader *r, const struct eng_plan *plan, const struct eng_page *page);
/* plan NULL: no filter. */
int eng_walk(struct eng_shard *s,
             const struct eng_reader *r,
             struct eng_plan *plan,
             struct sx_arena *arena,
             struct eng_page *page,
             struct sx_err *err);

#endif
