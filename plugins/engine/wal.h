/* The write-ahead log of one shard.
 *
 * Segments "wal/<first operation number, 16 hex digits>.log", each a head page and records. There
 * is always one, and each but the last names the one after it: a segment that is lost is noticed.
 *
 *   u32 length of the body     u32 CRC32C of everything after this field, body included, seeded
 *                              with the segment's head and first number
 *   u64 operation number       u64 synced: highest number known durable when this was written
 *   u16 type  u16 format       u32 outcome (0 = applied, else the SX_E code negated)
 *   clock tag: u64 peer, u32 clock, u32 force, u64 tick, u64 token   (zero until clusters)
 *   body, zero padding to 8
 *
 * `synced` tells damage from a torn tail: what follows the last valid record may be cut off only if
 * no valid record stands behind the hole that was written when the hole's number was already
 * durable. A hole before such a record is damage: nothing is cut, the shard is red.
 *
 * Threads: append and roll on the shard's strand [S]; sync on the committer (blocking pool),
 * concurrent with append; everything else while nothing else runs. */
#ifndef ENG_WAL_H
#define ENG_WAL_H

#include "sextant/sx_storage.h"

struct eng_wal;

struct eng_wal_conf {
    const struct sx_host *host;
    const struct sx_io *io;
    struct sx_dir *dir; /* the "wal" directory, borrowed until close */
    struct sx_store_id id;
    uint64_t segment_bytes; /* a new segment is begun beyond this */
    uint64_t checkpoint;    /* records at or below are not needed any more */
};

/* Makes the log's first segment in an empty directory: first is the number of the record to come.
 * The file is durable, its name is once the caller has synced dir: before anything says that there
 * is a shard. */
int eng_wal_format(const struct sx_mem *mem,
                   const struct sx_io *io,
                   struct sx_dir *dir,
                   const struct sx_store_id *id,
                   uint64_t first,
                   struct sx_err *err);

struct eng_wal_record {
    uint64_t number;
    uint16_t type, format;
    uint32_t outcome;
    const void *body; /* 8-aligned when replayed */
    uint32_t n, pad;
};

/* Opens the log, checks it and calls replay for every record above conf->checkpoint, in order.
 * Cuts a torn tail (with a warning in the log). A missing first record, a gap in the numbers,
 * damage before valid records, a segment that is not there or not whole although it was begun: all
 * that is SX_ECORRUPT with file and offset in err; then nothing is changed on disk. A replay
 * callback that fails stops with its code. */
int eng_wal_open(const struct eng_wal_conf *conf,
                 int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err),
                 void *arg,
                 struct eng_wal **out,
                 struct sx_err *err);
void eng_wal_close(struct eng_wal *w);

/* [S] Appends one record (written to the file, not synced); body given in up to n_parts pieces.
 * number must be the last one + 1. After a failure nothing of it remains visible to a later open.
 * After SX_ENOSPACE, SX_ENOMEM and SX_EINPUT (body over 64 MiB) the log can be used again, after
 * anything else it takes no more records: eng_wal_failed() decides. */
int eng_wal_append(struct eng_wal *w,
                   uint64_t number,
                   uint16_t type,
                   uint32_t outcome,
                   const struct sx_str *parts,
                   uint32_t n_parts,
                   struct sx_err *err);
uint64_t eng_wal_last(const struct eng_wal *w);   /* [S] last appended number (or checkpoint) */
uint64_t eng_wal_synced(const struct eng_wal *w); /* [A] durable up to this number */
/* [committer] fdatasync of what was appended before the call; on success eng_wal_synced() has
 * grown at least to the number that was last when it was called. After a failed sync the log is
 * dead: it never syncs again. */
int eng_wal_sync(struct eng_wal *w, struct sx_err *err);
int eng_wal_failed(const struct eng_wal *w); /* [A] 0 or the code */
/* [S] forgets whole segments whose records are all at or below number. */
int eng_wal_trim(struct eng_wal *w, uint64_t number, struct sx_err *err);
/* [S] The next record begins a new segment, unless this one is short: it can go sooner then. */
void eng_wal_end_segment(struct eng_wal *w);
/* [S] bytes on disk that a start would replay above `checkpoint`. */
uint64_t eng_wal_bytes(const struct eng_wal *w);

#endif
