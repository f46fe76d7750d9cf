/* Cleaning: space of what was deleted and replaced comes back.
 *
 * A pass chooses the units (chunks of rows, chunks of vectors, segments of blobs) of which least is
 * alive, moves what lives in them to the end of their stores, and lets them go:
 *
 *   verify    what will be copied as it is agrees with its checksums (blocking pool): damage must
 * not get new ones sweep     all rows are looked at; those with anything in a victim are put again,
 * as new rows fence     views that knew something alive in a unit that is empty now have left
 *   detach    ids and node -> row are led away from the rows and nodes that go
 *   fence     readers that were on their way there have left; no view knows the units any more
 *   save      a checkpoint makes a manifest durable that names them absent
 *   drop      their files are removed, their numbers may be used again
 *
 * A move is no operation: nothing is logged, id and version stay. A crash before the save forgets
 * the moves; the units are still there then. The rest runs on the strand in slices of a
 * millisecond, one pass at a time; a shard that is being cleaned is held open. An idle shard
 * without garbage is left alone.
 *
 * Bound: a store is cleaned when it takes more than 4/3 of what lives in it and a few MiB; what
 * moves and waits to be dropped, the log and the room files are given ahead stay within 1.5 times
 * and 64 MiB. */
#ifndef ENG_CLEAN_H
#define ENG_CLEAN_H

#include "shard.h"

/* [S] Starts a pass when there is enough to be gained. After each change; cheap. */
void eng_clean_consider(struct eng_shard *s);
/* [S] Units that have left wait for a manifest, though no operation does. */
int eng_clean_wants_checkpoint(const struct eng_shard *s);
/* [S] A checkpoint is durable: what it names absent goes. */
void eng_clean_saved(struct eng_shard *s);
/* [S] Drops what may go and could not go before: something else was at work on it. */
void eng_clean_drop(struct eng_shard *s);
/* [S] A checkpoint has ended, well or not: what waits for another one starts it. */
void eng_clean_checkpointed(struct eng_shard *s, int rc);

/* clean_move.c: moves up to max_moves of the rows [*at, end of its chunk) that have something in a
 * victim, looking at max_rows at most; *at is where to go on. Returns how many were moved, or a
 * code. */
int eng_clean_move(
    struct eng_shard *s, uint32_t *at, uint32_t max_rows, uint32_t max_moves, struct sx_err *err);

/* Bytes of a new segment: small collections have small ones, so that what cannot be cleaned (the
 * one being written) is little beside what lives. */
uint64_t eng_clean_segment_bytes(const struct eng_absent *present);

/* Every set of units of the shard, with its bytes per entry (0 of segments): i-th, NULL past the
 * last.
 */
struct eng_units *eng_clean_units(struct eng_shard *s, uint32_t i, uint32_t *entry_bytes);

#endif
