/* Rows -> records: what a reply carries of each point. All memory comes from the op's arena, so
 * that a reply outlives the epoch in which it was made. [W, inside the reader's epoch; may read
 * files] */
#ifndef ENG_FETCH_H
#define ENG_FETCH_H

#include "shard.h"

/* Fills records[i] for rows[i]; id, version, payload and vectors; score stays as it is. An unknown
 * vector name in the selector is EINPUT with the client's text (only when n > 0). */
int eng_fetch(struct eng_shard *s,
              const struct eng_reader *r,
              const uint32_t *rows,
              uint32_t n,
              const struct sx_selector *payload,
              const struct sx_selector *vectors,
              struct sx_arena *arena,
              struct sx_record *records,
              struct sx_err *err);

#endif
