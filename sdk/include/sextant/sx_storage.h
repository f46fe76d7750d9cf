/* Kinds rows and blobs: where a column's vectors and a shard's payload lie.
 *
 * iface_version 1. Both are append-only: primary data is never rewritten in place and never written
 * through a mapping. Providers differ in where bytes are read from ("ram": anonymous memory,
 * "mmap": the files), not in what survives.
 *
 * Files. Every file starts with struct sx_file_head in a 4 096-byte page; data follows. Rows lie in
 * one file per chunk, "<name>.<chunk, 8 hex digits>"; blobs in segments "<name>.<segment, 8 hex>".
 * A file starts at 64 KiB and grows as it is used. Beside each lies "<file>.crc": for every full 64
 * KiB block of data, in order, u32 CRC32C, written when the block is full and flushed before it
 * counts as durable; the last, partial block is covered by the tail CRC the engine keeps in its
 * manifest.
 *
 * Durability. `known` is what the engine's manifest says is durable. open() cuts everything beyond
 * it: the log appends it again. After flush's callback everything below the asked mark survives a
 * power cut: data and side files by fdatasync, new directory entries by fsync of the directory. */
#ifndef SX_STORAGE_H
#define SX_STORAGE_H

#include "sextant/sx_service.h"
#include "sextant/sx_vec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_ROWS_IFACE          1u
#define SX_BLOBS_IFACE         1u
#define SX_STORAGE_ADDRESSABLE 1ull /* rows() works: chunks have addresses */
#define SX_STORAGE_PERSIST     2ull
#define SX_STORAGE_ASYNC_FLUSH 4ull
#define SX_STORAGE_PREFETCH    8ull /* advise() does something */

#define SX_FILE_MAGIC      0x0a54585353ull /* "SSXT\n" */
#define SX_FILE_HEAD_BYTES 4096u
#define SX_BLOCK_BYTES     65536u /* one checksum covers this much data */
enum {
    SX_FILE_ROWS = 1,
    SX_FILE_BLOBS = 2,
    SX_FILE_CRC = 3,
    SX_FILE_LOG = 4,
    SX_FILE_MANIFEST = 5,
    SX_FILE_DEAD = 6,
    SX_FILE_DERIVED = 7
};

/* First bytes of every file. crc covers the bytes before it. */
struct sx_file_head {
    uint64_t magic;
    uint32_t kind, version;
    uint8_t uuid[16]; /* of the collection */
    uint32_t shard, stride;
    uint64_t generation; /* of the file set: a file of an older one is never mistaken for ours */
    uint32_t number;     /* chunk or segment */
    uint32_t crc;
};
/* sdk/lib: fills magic and crc / checks magic, crc, kind and that `version` is not newer. */
void sx_file_head_seal(struct sx_file_head *h);
int sx_file_head_check(const struct sx_file_head *h,
                       uint32_t kind,
                       uint32_t max_version,
                       struct sx_err *err);

/* Identity of the file set a store belongs to. */
struct sx_store_id {
    uint8_t uuid[16];
    uint32_t shard, pad;
    uint64_t generation;
};

/* What is durable of one store, as the manifest keeps it: count is bytes, or the number the next
 * row would take (the open chunk's last row and one); tail_crc is the CRC32C of the data bytes of
 * the last, partial 64 KiB block (0 when the end is a block's end). */
struct sx_store_mark {
    uint64_t count;
    uint32_t tail_crc, pad;
};

struct sx_rows_conf {
    uint32_t size, row_size, align, flags;
    struct sx_store_id id;
    struct sx_store_mark known;
    /* Chunks (number ascending) that were dropped and are absent on purpose. */
    const uint32_t *absent;
    uint32_t n_absent;
    uint32_t n_chunks; /* numbers in use end here (0: with known); all but the open one are full */
};

struct sx_rows_ops {
    uint32_t size, pad;
    /* [W, blocks] Opens or creates the store. A missing or short file, or a wrong head, below
     * `known` is SX_ECORRUPT with file and offset in err. Contents are not read by "mmap" (but the
     * tail CRC is checked); "ram" reads them all and checks all CRCs. */
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                const struct sx_rows_conf *conf,
                void **out,
                struct sx_err *err);
    /* [S] no call runs any more; does not flush. */
    void (*close)(void *self, void *h);
    /* [S] rows: n * row_size bytes, contiguous. first: number of the first. Readers see them as
     * soon as the caller publishes the count; chunks never move. On failure nothing is appended. */
    int (*append)(
        void *self, void *h, const void *rows, uint32_t n, uint32_t *first, struct sx_err *err);
    /* [A] ADDRESSABLE: the table as it is now, valid in the caller's epoch; entries of dropped
     * chunks are NULL, rows below an n that was published to the caller are readable. */
    void (*rows)(void *self, void *h, struct sx_rows *out);
    /* [W, may block] copies n rows, in the order of ids, to out (row_size stride). */
    int (*gather)(
        void *self, void *h, const uint32_t *ids, uint32_t n, void *out, struct sx_err *err);
    void (*advise)(void *self,
                   void *h,
                   const uint32_t *ids,
                   uint32_t n); /* [W] will be read soon */
    /* [S] the chunk holds no live row; its file goes when no reader's epoch can see it. The caller
     * has made the manifest forget it first. From then on its number may be begun again. */
    int (*drop)(void *self, void *h, uint32_t chunk, struct sx_err *err);
    /* [S] starts making everything appended so far durable. done runs on a blocking-pool thread,
     * with the mark that is now durable or a code and text. One flush at a time. */
    void (*flush)(
        void *self,
        void *h,
        void (*done)(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err),
        void *arg);
    /* [W, blocks] compares a chunk's durable data with its checksums; SX_ECORRUPT names file and
     * offset. */
    int (*verify)(void *self, void *h, uint32_t chunk, struct sx_err *err);
    /* [A] each file with its durable data length (head included). */
    void (*files)(void *self,
                  void *h,
                  void (*sink)(void *arg, const char *file, uint64_t bytes),
                  void *arg);
    /* [A] bytes: on disk, in anonymous memory. */
    void (*stats)(void *self, void *h, uint64_t *disk, uint64_t *ram);
    /* [S] The next append goes to this chunk, which is absent. The one before is full: an append
     * goes on in the number after it when nothing was begun. */
    int (*begin)(void *self, void *h, uint32_t chunk, struct sx_err *err);
    /* [S] Takes back what was appended since the next row was `at`; nobody was told of it. Chunks
     * begun since are then dropped by the caller. */
    void (*cut)(void *self, void *h, uint64_t at);
};

/* A blob's place: segment << 32 | offset in units of 8 bytes from the start of the segment's data.
 * Each blob is u32 length, u32 CRC32C of the bytes, bytes, padding to 8. */
typedef uint64_t sx_locator;

struct sx_blobs_conf {
    uint32_t size, flags;
    uint64_t segment_bytes; /* a new segment is begun when the next blob would pass this */
    struct sx_store_id id;
    struct sx_store_mark known; /* count: bytes of data in the last segment */
    uint32_t known_segment;     /* number of the segment being written */
    uint32_t n_absent;
    const uint32_t *absent;
    uint32_t n_segments, pad; /* numbers in use end here (0: with known_segment) */
};

struct sx_blobs_mark {
    uint32_t segment, tail_crc;
    uint64_t bytes; /* data bytes in that segment */
};

struct sx_blobs_ops {
    uint32_t size, pad;
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                const struct sx_blobs_conf *conf,
                void **out,
                struct sx_err *err);
    void (*close)(void *self, void *h);
    /* [S] n blobs in one write; locs[i] out. On failure nothing is appended. */
    int (*put)(void *self,
               void *h,
               const struct sx_str *blobs,
               uint32_t n,
               sx_locator *locs,
               struct sx_err *err);
    /* [W, may block] calls sink with each blob's bytes in place, in the order asked; the bytes are
     * valid during the call only. Each blob's length and CRC are checked: SX_ECORRUPT names file
     * and offset. */
    int (*get)(void *self,
               void *h,
               const sx_locator *locs,
               uint32_t n,
               int (*sink)(void *arg, uint32_t i, const void *p, uint32_t n),
               void *arg,
               struct sx_err *err);
    void (*dead)(void *self, void *h, sx_locator loc); /* [S] accounting only */
    /* [S] nobody can ask for a blob of the segment any more, and the manifest does not name it. Its
     * number is used again. */
    int (*drop)(void *self, void *h, uint32_t segment, struct sx_err *err);
    void (*flush)(
        void *self,
        void *h,
        void (*done)(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err),
        void *arg);
    int (*verify)(void *self, void *h, uint32_t segment, struct sx_err *err);
    void (*files)(void *self,
                  void *h,
                  void (*sink)(void *arg, const char *file, uint64_t bytes),
                  void *arg);
    void (*stats)(void *self, void *h, uint64_t *disk, uint64_t *ram, uint64_t *dead_bytes);
    uint64_t (*bytes)(void *self, void *h, uint32_t segment); /* [S] of data; 0 = no such one */
};

#ifdef __cplusplus
}
#endif
#endif
