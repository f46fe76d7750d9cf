/* What wal.c (writing) and wal_scan.c (opening) share: the form of the files and the objects.
 *
 * A segment file:
 *
 *   0      struct sx_file_head (kind SX_FILE_LOG, stride 0, number 0)
 *   56     struct eng_wal_page: the first number, what was durable when the file was made
 *   512    struct eng_wal_link: zeros, or the first number of the segment after this one
 *   1024   struct eng_wal_mark: a length that the file is known to have on the disk
 *   4096   records, each 8-aligned, without a gap
 *   end    zeros up to the length of the file
 *
 * The link is what tells a segment that the disk has lost from one that a power cut kept from being
 * born. It is written when the new segment is durable, name and head, and before a record goes into
 * it. So whoever finds a link finds the segment, or the disk has lost it. And whoever acknowledges
 * a record has synced the segments before, links included (eng_wal_sync() goes through them in
 * order): an acknowledged record without a link that leads to it does not exist. The chain begins
 * with the first segment, made before the shard is (eng_wal_format()), and its last segment is
 * never trimmed: a folder without a segment has lost it.
 *
 * A file that names the newest segment would say the same, at the price of two more syncs for every
 * segment; the link rides on a sync of its segment that is due anyway, and needs no space. It lies
 * in the head page, where an open finds it without reading the records, and in a sector of its own
 * there: a disk writes it or does not, and the head beside it is overwritten by itself. What is
 * lost together with the link that leads to it cannot be noticed, but those are two files.
 *
 * The mark does the same for the end of a file. A file is made 64 KiB long, durably, and each time
 * it grows the mark says what it was before, when that was durable: a write more, but no sync. So a
 * file that is shorter than its mark has been cut, or was never whole (then no link leads to it);
 * and nobody may make one shorter than its mark, who takes records back zeroes them. What is cut
 * off behind the mark, mostly the last step of growth, looks like a tail that a power cut has torn.
 *
 * The CRC of a record is seeded with the head's and the first number, so the bytes of one segment
 * never pass for a record of another one, and a client who stores bytes that look like records
 * cannot make them valid: the collection's uuid goes into the seed and leaves no machine. */
#ifndef ENG_WAL_PRIV_H
#define ENG_WAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal.h"

#define ENG_WAL_VERSION   1u
#define ENG_WAL_FORMAT    1u /* of record bodies, until a second one exists */
#define ENG_WAL_HEAD      SX_FILE_HEAD_BYTES
#define ENG_WAL_MAX_BODY  (64u << 20)
#define ENG_WAL_PAGE      4096u
#define ENG_WAL_LINK_AT   512u
#define ENG_WAL_MARK_AT   1024u
#define ENG_WAL_LINK_BAD  UINT64_MAX  /* neither zeros nor a link, nor a mark */
#define ENG_WAL_STEP      (64u << 10) /* a file begins with this much and grows by it at least */
#define ENG_WAL_NOT_WHOLE "a missing head, or a missing end of a file"
#define ENG_WAL_NAME      24 /* 16 digits, ".log", NUL */

struct eng_wal_page {
    uint64_t first, synced;
    uint32_t crc, pad; /* crc of the bytes before it */
};

/* Zeros until there is a segment after this one. */
struct eng_wal_link {
    uint64_t next;     /* its first number */
    uint32_t crc, pad; /* crc of the bytes before it, seeded as the records' */
};

struct eng_wal_mark {
    uint64_t size;
    uint32_t crc, pad; /* crc of the bytes before it, seeded as the records' */
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
    uint64_t link; /* [S] what its link says; unknown in a segment that was not scanned */
    uint64_t mark; /* [S] what its mark says; unknown in a segment that was not scanned */
    uint64_t sure; /* [S] size is durable when the record of this number is */
    uint32_t seed, is_cut;     /* is_cut: [S] by the open, which has not synced it yet */
    uint32_t is_unmarked, pad; /* [S] its mark was found damaged */
    struct sx_file *file;      /* NULL once closed */
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
/* The first 80 bytes of a segment of this log; the seed of its records. */
void eng_wal_seg_head(const struct sx_store_id *id,
                      uint64_t first,
                      uint64_t synced,
                      struct sx_file_head *head,
                      struct eng_wal_page *page);
uint32_t eng_wal_seed(const struct sx_file_head *head, uint64_t first);
uint32_t eng_wal_crc(uint32_t seed, const struct eng_wal_rec *rec); /* of rec->n body bytes too */
struct eng_wal_seg *eng_wal_seg_create(const struct eng_wal *w, uint64_t first);
void eng_wal_seg_destroy(const struct eng_wal *w, struct eng_wal_seg *s);
void eng_wal_mark_fill(uint32_t seed, uint64_t size, struct eng_wal_mark *mark);
uint64_t eng_wal_mark_get(const struct eng_wal_seg *s, const void *p);
int eng_wal_mark_put(struct eng_wal *w, struct eng_wal_seg *s, uint64_t size, struct sx_err *err);
/* What the link at p says; writes it: next 0 takes it back. */
uint64_t eng_wal_link_get(const struct eng_wal_seg *s, const void *p);
int eng_wal_link_put(struct eng_wal *w, struct eng_wal_seg *s, uint64_t next, struct sx_err *err);
/* [S] Makes the segment that begins with `number`; it becomes the tail. */
int eng_wal_roll(struct eng_wal *w, uint64_t number, struct sx_err *err);

/* wal.c. buf_take: [S] the buffer with room for n bytes, or NULL. append_broke: ends appending with
 * the code and returns it; the first failure stays. zero: writes zeros into [from, to). undo_sync:
 * [S] syncs what was taken back. */
uint8_t *eng_wal_buf_take(struct eng_wal *w, uint64_t n);
int eng_wal_append_broke(struct eng_wal *w, int rc);
int eng_wal_zero(
    struct eng_wal *w, struct sx_file *f, uint64_t from, uint64_t to, struct sx_err *err);
int eng_wal_undo_sync(struct eng_wal *w, struct eng_wal_seg *s);

/* One opening of the log. */
struct eng_wal_scan {
    struct eng_wal *w;
    int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err);
    void *arg;
    struct sx_err *err;
    uint64_t *firsts; /* of the segments, ascending */
    uint32_t n, cap, no_memory;
    uint32_t n_found; /* n, and one more when the last file is a segment that was never born */

    /* The segment being read: win holds bytes [at, at + have) of it. at is 8-aligned. */
    struct eng_wal_seg *seg;
    uint64_t length, at, have, win_n;
    uint8_t *win;
    uint64_t proven; /* the highest number that anything says was durable */
    uint64_t budget; /* bytes the search for a proof may still checksum */
};

/* wal_scan.c: reading one segment.
 * load: 1 and *p = the n bytes at off (8-aligned), 0 when the file ends before, or a negative code.
 * The bytes stay until the next call. record: 1 when the 8-aligned bytes at off are a whole record;
 * *out points into the window. check: 1 the head is ours, *synced from its page, seg->link and
 * seg->mark are read; 0 the file is not whole; negative anything else, SX_ECORRUPT. */
int eng_wal_load(struct eng_wal_scan *s, uint64_t off, uint64_t n, const uint8_t **p);
int eng_wal_record_at(struct eng_wal_scan *s, uint64_t off, const struct eng_wal_rec **out);
int eng_wal_seg_open(struct eng_wal_scan *s, struct eng_wal_seg *seg);
int eng_wal_seg_check(struct eng_wal_scan *s, uint64_t *synced);
int eng_wal_corrupt(struct eng_wal_scan *s, uint64_t first, uint64_t off, const char *what);

/* wal_repair.c. judge: behind the last valid record of seg, which is segment i of the list, there
 * is a hole; SX_OK when it and what follows may be cut off. cut: removes everything behind seg->end
 * and the files behind segment i. make_durable: what was found, links included, once nothing else
 * is to do. */
int eng_wal_judge(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i);
int eng_wal_cut(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i);
int eng_wal_make_durable(struct eng_wal_scan *s);

/* wal_scan.c: lists, checks and replays; fills head, tail, last, must_roll. */
int eng_wal_scan(struct eng_wal *w,
                 int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err),
                 void *arg,
                 struct sx_err *err);

#endif
