/* Space that is kept back for the day the disk is full.
 *
 * The file "reserve" in the data directory holds 4 MiB that nobody uses. When a deletion, a drop or
 * a checkpoint meets a full disk the file gives its space up and the operation is tried again: what
 * makes room must not need room. From then on operations that take space are refused, lest they eat
 * what was given up, until the file could be made whole again; the first of them that comes tries
 * that. So an operation costs one look at a flag, and an idle server nothing. Meanwhile checkpoints
 * come early and the log begins new segments, so that what deletions write is soon given back.
 *
 * Where a file system cannot allocate (see sx_io) the file holds nothing and nothing is promised;
 * where it copies on write, deleting needs space the file gives, too.
 *
 * Threads: any; a lock of its own, held over the file operations. */
#ifndef ENG_RESERVE_H
#define ENG_RESERVE_H

#include "engine.h"

struct eng_reserve;

/* [blocking] In the data directory `dir`, borrowed until destroy. A disk that is full already is no
 * failure. */
int eng_reserve_create(struct eng *e,
                       struct sx_dir *dir,
                       struct eng_reserve **out,
                       struct sx_err *err);
void eng_reserve_destroy(struct eng_reserve *r); /* NULL too */
/* After SX_ENOSPACE of something that makes room: gives the space up unless that has happened.
 * Clears err: the caller tries once more. */
void eng_reserve_give(struct eng_reserve *r, struct sx_err *err);
/* Before something that takes space: 0, or SX_ENOSPACE. r NULL: there is no reserve to look at. */
int eng_reserve_check(struct eng_reserve *r, struct sx_err *err);
int eng_reserve_is_held(const struct eng_reserve *r);

#endif
