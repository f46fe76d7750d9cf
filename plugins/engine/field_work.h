/* Background work of a shard's payload indexes: sealing, building over rows that exist, saving.
 *
 * One job of a shard at a time, lower in priority than queries and writes. Chosen and given back on
 * the strand; run on the pool (seal, build) or the blocking pool (save). Calls that created an
 * index and wait for it are answered here. */
#ifndef ENG_FIELD_WORK_H
#define ENG_FIELD_WORK_H

#include "schema.h"

/* [S] Starts the next job unless one runs or the shard is closing. */
void eng_field_work_consider(struct eng_shard *s);
/* [S] 1 when a job runs on the field: it is then retired when the job has ended. */
int eng_field_work_drop(struct eng_shard *s, struct eng_field_schema *field);
/* [S] Keeps the call until the index covers every row there is; 0 when it does already. The
 * call holds the shard, so it does not close. */
int eng_field_work_wait(struct eng_shard *s, struct eng_call *c, const struct sx_path *path);
/* [S] The fields whose indexes are incomplete; 0 when there is nothing left to do. */
int eng_field_work_pending(struct eng_shard *s);

#endif
