/* What the storage modules share: append-only numbered files that readers see as memory.
 *
 * storage-mmap and storage-ram are this folder plus a descriptor each. They differ in one thing,
 * `mode`: where the bytes of a file are read from. What is written, when it is durable and what is
 * checked is one code, so both survive the same accidents.
 *
 *   module.c  the instance: services of the host
 *   rows.c    kind rows: fixed-size rows, one file per chunk of 65 536
 *   blobs.c   kind blobs: byte strings in segments
 *   set.c     the files of one store: table for readers, operations that succeed whole or not at
 *             all, drop
 *   flush.c   making a set durable on the blocking pool
 *   file.c    one data file with its checksum file: create, append, seal
 *   open.c    the same after a start: heads, lengths, cut to what is durable, strays
 *   check.c   data against checksums
 *   walk.c    blobs against their own
 *
 * Layout of a data file and its side file:
 *
 *   name.0000002a      | head page 4 096 | data: 64 KiB block | block | part |  not used yet  |
 *                      0                 4096                        ^bytes    cap (file length)
 *   name.0000002a.crc  | head page 4 096 | u32 per full block, in order |
 *
 * A data file is 64 KiB long when it is made and doubles up to 4 MiB, then grows by 4 MiB: ten rows
 * cost 64 KiB of disk, and no file holds more than 4 MiB that nobody uses; its address range has
 * full length from the start, so no byte of it ever moves. The side file is made with the first
 * full block: small stores have none. When a segment is left for the next one it is *sealed*: its
 * last, partial block gets an entry too and both files are cut to their exact length, which from
 * then on says how much data it holds. (A full chunk is row_size whole blocks and needs no such
 * care.)
 *
 * Power cuts. Everything up to the durable mark has been through fdatasync; everything beyond it
 * may be present, torn or missing in any order, and open() cuts it off. An append after that writes
 * into the 512-byte sector (and the page) that holds the last durable bytes. That is safe: the page
 * is written back with those bytes unchanged, so a torn sector write puts the same values where
 * they were, and only bytes beyond the mark can come out wrong. */
#ifndef STORE_H
#define STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "sextant/sx_plugin.h"
#include "sextant/sx_storage.h"

enum { STORE_MMAP = 1, STORE_RAM = 2 };

#define STORE_VERSION     1u /* of rows, blobs and checksum files */
#define STORE_FIRST_BYTES 65536u
#define STORE_STEP_BYTES  (4ull << 20) /* where doubling ends */
#define STORE_HUGE_BYTES  (2ull << 20)
#define STORE_NAME_MAX    200u
#define STORE_FILE_NAME   224u /* buffer for "<name>.<8 hex>.crc" */

/* The modules' instance; never changes after load. */
struct store_module {
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_epoch *epoch;
    const struct sx_exec *exec;
    uint32_t mode, pad;
};

struct store_file {
    /* never changes after creation */
    const struct sx_io *io;
    const struct sx_mem *mem;
    uint8_t *data; /* first data byte, as readers see it */
    void *range;   /* what data lies in */
    uint64_t range_bytes;
    uint64_t full; /* most bytes the file may grow to, head included */
    uint32_t number, mode;
    uint32_t whole_range; /* ram without io->commit: range is mem->map's, all there at once */

    _Atomic uint32_t refs;  /* table, dirty list, verify and flush in progress */
    _Atomic uint64_t bytes; /* data appended; stored by the writer with release */

    /* writer only */
    struct sx_file *fd, *side; /* NULL until needed; flush closes those of sealed files */
    uint64_t cap;              /* length of the data file */
    uint64_t ready;            /* file bytes (head included) behind which there is memory */
    uint64_t side_bytes;       /* length of the side file, 0 = none */
    uint64_t disk, ram;        /* this file's part in the set's sums */
    uint64_t dead;             /* blobs: bytes of dead entries */
    uint32_t crc;              /* of the partial block at `bytes` */
    uint32_t sealed, dirty;

    /* writer only, during one operation: becomes true at commit */
    uint64_t staged;
    uint32_t staged_crc, staged_seal, is_new;
    struct store_file *op_next;

    struct store_durable {
        uint64_t bytes;
        uint32_t tail_crc, sealed; /* of the partial last block; sealed: that has an entry */
    } durable;                     /* guarded by the set's lock */

    /* Two links, because the writer may make a file dirty again while the flush that took it from
     * the dirty list is still going through the other one. */
    struct store_file *dirty_next[2];
    /* What the flush works with, copied at its start: the writer may open `side` meanwhile. */
    struct sx_file *flush_fd, *flush_side;
    struct store_durable flush; /* becomes durable */
};

/* What readers see. Entries below n are complete; a new file is written behind them, then n. An
 * entry never changes: removal publishes a copy. */
struct store_table {
    const struct sx_mem *mem;
    _Atomic uint32_t n;
    uint32_t cap;
    struct store_file **files;
    const uint8_t **bases; /* data of files[i]: the array of struct sx_rows */
};

struct store_mark {
    uint64_t count; /* rows, or bytes in file `number` */
    uint32_t number, tail_crc;
};

struct store_set {
    /* never changes after open */
    const struct store_module *m;
    const struct sx_io *io;
    struct sx_dir *dir;
    struct sx_store_id id;
    uint32_t kind, stride;
    char name[STORE_NAME_MAX + 1];

    /* any thread */
    _Atomic(struct store_table *) table;
    _Atomic uint64_t disk, ram;

    /* writer only */
    struct store_file *dirty;
    uint32_t flip; /* which dirty_next the list uses now */
    uint32_t dir_dirty;
    struct store_table *spare; /* for a number in the middle: see store_set_room() */

    /* the flush in progress: filled by the writer, then its own until finish() */
    struct sx_task task;
    _Atomic uint32_t flushing;
    struct store_file *job;
    uint32_t job_flip, job_dir;
    struct store_mark job_mark;
    void (*finish)(struct store_set *s,
                   int rc,
                   const struct store_mark *mark,
                   const struct sx_err *err);
    struct sx_err failed; /* code != 0: an fsync failed, for good */

    pthread_mutex_t lock; /* guards what is durable of the files; held for a copy only */
};

/* The files one append touches. Until commit nothing of it is visible to anybody. */
struct store_op {
    struct store_file *first, *last;
};

/* How open.c shall treat a file. */
struct store_known {
    uint64_t bytes; /* durable data; sealed: ignored, the length says it */
    uint64_t full;  /* most bytes the file may grow to; 0 = no growth */
    uint32_t number, tail_crc, sealed;
};

/* --- module.c --- */
int store_module_load(const struct sx_host *host,
                      struct store_module *self,
                      uint32_t mode,
                      struct sx_err *err);
extern const struct sx_rows_ops store_rows_ops;
extern const struct sx_blobs_ops store_blobs_ops;

/* --- file.c ---
 * [S] all but unref. Functions that write name the file in err. */
int store_file_create(struct store_set *s,
                      uint32_t number,
                      uint64_t full,
                      struct store_file **out,
                      struct sx_err *err);
/* A file object without descriptors and memory. NULL: memory is short. */
struct store_file *store_file_make(struct store_set *s, uint32_t number, uint64_t full);
/* Address range for `full` bytes. */
int store_file_range(struct store_set *s, struct store_file *f, struct sx_err *err);
/* Puts memory behind the file's first `cap` bytes. */
int store_file_ready(struct store_set *s, struct store_file *f, struct sx_err *err);
/* Appends n bytes at `staged`. After a failure `staged` is where it was. */
int store_file_write(
    struct store_set *s, struct store_file *f, const void *p, uint64_t n, struct sx_err *err);
/* The file ends at `bytes` again, what came behind was seen by nobody. */
void store_file_cut(struct store_set *s, struct store_file *f, uint64_t bytes);
/* Ends the file at `staged`: entry for the partial block, exact lengths. */
int store_file_seal(struct store_set *s, struct store_file *f, struct sx_err *err);
/* Brings the set's sums in line with the file's lengths / takes the file out of them. */
void store_file_count(struct store_set *s, struct store_file *f);
void store_file_uncount(struct store_set *s, struct store_file *f);
/* Unlinks data and side file; the first failure. Memory and descriptors stay. */
int store_file_unlink(struct store_set *s, struct store_file *f, struct sx_err *err);
void store_file_ref(struct store_file *f);   /* [A] the caller holds one or is in an epoch */
void store_file_unref(struct store_file *f); /* [A] */
void store_file_unref_fn(void *arg);         /* the same for epoch->retire */
void store_head_fill(const struct store_set *s,
                     uint32_t kind,
                     uint32_t number,
                     struct sx_file_head *h);

/* --- open.c --- [W, blocks] */
int store_file_open(struct store_set *s,
                    const struct store_known *known,
                    struct store_file **out,
                    struct sx_err *err);
/* Reads and checks the head page of an open file. */
int store_head_check(const struct store_set *s,
                     struct sx_file *fd,
                     uint32_t kind,
                     uint32_t number,
                     struct sx_err *err);
/* Removes files of this store that the table does not have. Best effort. */
void store_set_sweep(struct store_set *s);

/* --- check.c --- [W, blocks] */
/* Sees each block after its checksum was found right. */
struct store_each {
    int (*fn)(void *arg, const uint8_t *p, uint32_t n, uint64_t at, struct sx_err *err);
    void *arg;
};
struct store_check {
    struct sx_file *fd, *side;
    uint64_t from, to; /* data bytes; from: a block's start */
    uint32_t tail_crc; /* of the block that ends before it is full */
    uint32_t tail_in_side;
    uint8_t *dst; /* where data byte `from` goes, NULL = only checked */
    const struct store_each *each;
};
int store_check_data(const struct store_set *s, const struct store_check *c, struct sx_err *err);
/* Opens the file, which the caller holds a reference to, once more and checks what is durable of
 * it. SX_ENOTFOUND when it was dropped meanwhile. */
int store_check_file(struct store_set *s,
                     struct store_file *f,
                     const struct store_durable *d,
                     const struct store_each *each,
                     struct sx_err *err);

/* --- walk.c --- */
#define STORE_BLOB_HEAD 8u
/* Zeroed but for `end`; the fn of a struct store_each, whose arg it is. */
struct store_walk {
    uint64_t end;        /* data bytes of the segment */
    uint64_t left;       /* of the blob at hand, padding included */
    uint32_t body, want; /* of the blob at hand: bytes to come, its checksum */
    uint32_t crc;
};
int store_walk_block(void *arg, const uint8_t *p, uint32_t n, uint64_t at, struct sx_err *err);

/* --- set.c --- */
int store_set_init(struct store_set *s,
                   const struct store_module *m,
                   const struct sx_io *io,
                   struct sx_dir *dir,
                   const char *name,
                   const struct sx_store_id *id,
                   struct sx_err *err);
void store_set_fini(struct store_set *s); /* [S] nothing runs any more */
void store_set_name(const struct store_set *s, uint32_t number, uint32_t side, char *out);
/* [A] in an epoch, or [S]. NULL: no such file. */
struct store_file *store_set_at(struct store_set *s, uint32_t number);
/* [A] the file with a reference, or NULL. */
struct store_file *store_set_pin(struct store_set *s, uint32_t number);
uint32_t store_set_end(struct store_set *s); /* [A] numbers in the table */
/* [S] Room in the table for `number`: afterwards the adds of one operation cannot fail. */
int store_set_room(struct store_set *s, uint32_t number, struct sx_err *err);
void store_set_add(struct store_set *s, struct store_file *f); /* [S] takes f */
/* [S] A chunk or segment goes: out of the table, unlinked, released when no reader is left. */
int store_set_drop(struct store_set *s, uint32_t number, struct sx_err *err);
/* [S] The file of `number` for this operation, made if it does not exist. */
int store_op_file(struct store_set *s,
                  struct store_op *op,
                  uint32_t number,
                  uint64_t full,
                  struct store_file **out,
                  struct sx_err *err);
void store_op_commit(struct store_set *s, struct store_op *op);
void store_op_abort(struct store_set *s, struct store_op *op);
/* [A] each file with its durable length. */
void store_set_files(struct store_set *s,
                     void (*sink)(void *arg, const char *file, uint64_t bytes),
                     void *arg);
/* [A] What is durable of a file; the caller holds a reference or is in an epoch. */
void store_file_durable(struct store_set *s, struct store_file *f, struct store_durable *out);

/* --- flush.c --- [S] */
/* Puts the file on the list of what the next flush has to sync. */
void store_set_dirty(struct store_set *s, struct store_file *f);
/* Claims the one flush there may be at a time: 0, or SX_EPRECOND when one is under way. */
int store_set_claim(struct store_set *s);
/* Starts the claimed flush up to `mark`. finish runs on the blocking pool, once, and must call
 * store_set_unclaim() before it tells the caller: from then on the caller may flush or close. */
void store_set_flush(struct store_set *s,
                     const struct store_mark *mark,
                     void (*finish)(struct store_set *s,
                                    int rc,
                                    const struct store_mark *mark,
                                    const struct sx_err *err));
void store_set_unclaim(struct store_set *s); /* [A] */

static inline uint64_t store_blocks(uint64_t bytes)
{
    return bytes / SX_BLOCK_BYTES;
}

static inline uint64_t store_round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* What a blob of n bytes takes. */
static inline uint64_t store_blob_room(uint32_t n)
{
    return store_round_up(STORE_BLOB_HEAD + (uint64_t)n, 8);
}

#endif
