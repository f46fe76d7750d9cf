/* What wal.c (writing) and wal_scan.c (opening) share: the form of the files and the objects.
 *
 * A segment file:
 *
 *   0      struct sx_file_head (kind SX_FILE_LOG, stride 0, number 0)
 *   64     struct eng_wal_page: the first number, what was durable when the file was made
 *   4096   records, each 8-aligned, without a gap
 *   end    zeros up to the length of the file
 *
 * The CRC of a record is seeded with the head's and the first number, so the bytes of one segment
 * never pass for a record of another one, and a client who stores bytes that look like records
 * cannot make them valid: the collection's uuid goes into the seed and leaves no machine. */
#ifndef ENG_WAL_PRIV_H
#define ENG_WAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal.h"

#define ENG_WAL_VERSION  1u
#define ENG_WAL_FORMAT   1u /* of record bodies, until a second one exists */
#define ENG_WAL_HEAD     SX_FILE_HEAD_BYTES
#define ENG_WAL_MAX_BODY (64u << 20)
#define ENG_WAL_PAGE     4096u
#define ENG_WAL_STEP     (64u << 10) /* a file begins with this much and grows by it at least */
#define ENG_WAL_NAME     24          /* 16 digits, ".log", NUL */

struct eng_wal_page {
    uint64_t first, synced;
    uint32_t crc, pad; /* crc of the bytes before it */
};

struct eng_wal_rec {
    uint32_t n, crc;
    uint64_t number, synced;
    uint16_t type, format;
    uint32_t outcome;
    uint64_t peer;
    uint32_t clock, force;
    uint64_t tick, token;
};
_Static_assert(sizeof(struct eng_wal_rec) == 64, "the record header is a file format");

/* One segment. Fields marked [S] belong to the writer's strand once the log is open; `file` belongs
 * to the strand while the segment is the tail, afterwards to whoever holds the lock. */
struct eng_wal_seg {
    uint64_t first;
    uint64_t last; /* [S] number of the last record; first - 1 while empty */
    uint64_t end;  /* [S] offset behind the last record; 0 in a segment that was not scanned */
    uint64_t size; /* [S] the file holds zeros from end to here */
    uint32_t seed, pad;
    struct sx_file *file; /* NULL once closed */
    _Atomic(struct eng_wal_seg *) next;
};

struct eng_wal {
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_io *io;
    struct sx_dir *dir;
    struct sx_store_id id;
    uint64_t segment_bytes;

    /* [S] */
    struct eng_wal_seg *head, *tail;
    uint64_t checkpoint; /* what eng_wal_bytes() does not count */
    uint32_t must_roll;  /* the next record may not go into the tail */
    uint32_t pad;
    uint8_t *buf; /* the record being written; kept while small */
    uint64_t buf_n;

    _Atomic uint64_t last, synced;
    _Atomic int failed;      /* no more appends */
    _Atomic int sync_failed; /* no more syncs */

    /* Held over fdatasync, against the rule: the kernel reports a lost write to one caller of fsync
     * per open file, so a second sync beside the first could answer "all is well" about pages that
     * the first one has just been told are gone. The strand takes it only after a failed write and
     * to trim; appends and rolls never wait. Guards sync_seg, closing of files, freeing segments.
     */
    pthread_mutex_t lock;
    struct eng_wal_seg *sync_seg; /* first segment that may hold records not yet durable */
};

static inline uint64_t eng_wal_pad8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

static inline uint64_t eng_wal_page_up(uint64_t n)
{
    return (n + ENG_WAL_PAGE - 1) & ~(uint64_t)(ENG_WAL_PAGE - 1);
}

/* wal_segment.c */
void eng_wal_seg_name(uint64_t first, char out[ENG_WAL_NAME]);
/* The first 88 bytes of a segment of this log; the seed of its records. */
void eng_wal_seg_head(const struct eng_wal *w,
                      uint64_t first,
                      uint64_t synced,
                      struct sx_file_head *head,
                      struct eng_wal_page *page);
uint32_t eng_wal_seed(const struct sx_file_head *head, uint64_t first);
uint32_t eng_wal_crc(uint32_t seed, const struct eng_wal_rec *rec); /* of rec->n body bytes too */
struct eng_wal_seg *eng_wal_seg_create(const struct eng_wal *w, uint64_t first);
void eng_wal_seg_destroy(const struct eng_wal *w, struct eng_wal_seg *s);
/* [S] Makes the segment that begins with `number`; it becomes the tail. */
int eng_wal_roll(struct eng_wal *w, uint64_t number, struct sx_err *err);

/* wal.c. buf_take: [S] the buffer with room for n bytes, or NULL. append_broke: ends appending with
 * the code and returns it; the first failure stays. */
uint8_t *eng_wal_buf_take(struct eng_wal *w, uint64_t n);
int eng_wal_append_broke(struct eng_wal *w, int rc);

/* One opening of the log. */
struct eng_wal_scan {
    struct eng_wal *w;
    int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err);
    void *arg;
    struct sx_err *err;
    uint64_t *firsts; /* of the segments, ascending */
    uint32_t n, cap, no_memory, pad;

    /* The segment being read: win holds bytes [at, at + have) of it. at is 8-aligned. */
    struct eng_wal_seg *seg;
    uint64_t length, at, have, win_n;
    uint8_t *win;
    uint64_t proven; /* the highest number that anything read says was durable */
    uint64_t budget; /* bytes the search for a proof may still checksum */
};

/* wal_scan.c: reading one segment.
 * load: 1 and *p = the n bytes at off (8-aligned), 0 when the file ends before, or a negative code.
 * The bytes stay until the next call. record: 1 when the 8-aligned bytes at off are a whole record;
 * *out points into the window. head: 1 the head is ours, *synced from its page; 0 the file never
 * got a head, so it never got a record either; negative anything else, SX_ECORRUPT. */
int eng_wal_load(struct eng_wal_scan *s, uint64_t off, uint64_t n, const uint8_t **p);
int eng_wal_record_at(struct eng_wal_scan *s, uint64_t off, const struct eng_wal_rec **out);
int eng_wal_seg_open(struct eng_wal_scan *s, struct eng_wal_seg *seg);
int eng_wal_seg_check(struct eng_wal_scan *s, uint64_t *synced);
int eng_wal_corrupt(struct eng_wal_scan *s, uint64_t first, uint64_t off, const char *what);

/* wal_repair.c. judge: behind the last valid record of seg, which is segment i of the list, there
 * is a hole; SX_OK when it and what follows may be cut off. cut: removes the files behind segment i
 * and everything behind seg->end in it. make_durable: what was found, once nothing else is to do.
 */
int eng_wal_judge(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i);
int eng_wal_cut(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i);
int eng_wal_make_durable(struct eng_wal_scan *s);

/* wal_scan.c: lists, checks and replays; fills head, tail, last, must_roll. */
int eng_wal_scan(struct eng_wal *w,
                 int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err),
                 void *arg,
                 struct sx_err *err);

#endif
