/* Kind quantizer: short codes that stand for vectors while a graph is walked or built.
 *
 * iface_version 0: written before its first user, so it may still be corrected by it.
 *
 * What it is for. Every graph walk and graph build reads codes instead of the original vectors; the
 * originals are touched only to rank the few best candidates again. Two things bring codes to a
 * column: the engine's own default (4 bits per dimension, made at ingest) and a quantization config
 * that a user wrote into the collection, whose observable meaning (scores without rescoring,
 * oversampling, which bits a small sample leaves unset) is contract. Both pass through this table;
 * the engine adds its own codes beside those of the user when the two differ.
 *
 * Who calls. Only the engine, never an index: an index sees a scorer over `struct sx_rows`, and the
 * rows behind it may be originals or codes. So a new encoder needs no change in any index, and an
 * index needs none for a new encoder.
 *
 * Life of a handle. train() makes one from a sample and the collection's parameters; it is
 * immutable from then on. A column's codes belong to exactly one handle: a retrained encoder is a
 * new handle with new codes, built beside the old pair and swapped in by one pointer. Hence encode
 * and resolve need no lock and may run on any number of threads while a search uses the same
 * handle. save() and open() move it to disk and back; a handle whose file is damaged is derived
 * data: it is trained again from the originals.
 *
 * Threads. train [W, long, cancellable]: on the pool, class background, against a source that only
 * grows. encode_rows, encode_query, resolve [A]: pure functions of the handle. save, open, destroy
 * [S]: the shard's writer, no other call on that handle runs.
 *
 * Ownership. The host allocates every buffer that crosses: codes, queries, scratch. The handle is
 * the provider's, made with the memory of its module's account, ended by destroy. The source is
 * borrowed for the duration of train() only; whatever the encoder wants to keep it copies.
 *
 * The code itself. Fixed stride, so that codes lie in the same chunked rows as vectors and a node's
 * code is found by arithmetic. A code starts with the provider's own per-vector numbers (scale,
 * offset, length correction): a kernel reads one line of memory, not two arrays. The engine may
 * keep up to `head` bytes in front of it (node -> row) and asks for alignment accordingly; the code
 * does not know.
 *
 * Kernels over codes are `struct sx_kernel`, the same type as over vectors: greater is closer,
 * batch form with prefetch, resolved once per column. There are two: query against code (the query
 * encoded by encode_query, with as much precision as it likes) and code against code (linking a
 * node needs distances between stored vectors, and decoding one of them first would double the
 * cost).
 *
 * Rejected:
 *  - one distance per call (faiss' computer, usearch's metric): measured 2.1 - 2.4 x slower on
 *    128-byte codes, because the kernel cannot prefetch what it has not been told;
 *  - a training that may be repeated in place: every reader would need a lock or a version check
 * per hop, to save the memory of one handle;
 *  - variable-length codes: entropy coding saves some 10 % and costs an offset array, that is, one
 *    more cache miss per candidate;
 *  - a decode() that search relies on: kinds whose codes do not invert well (1 bit) would be
 *    second-class. It exists, marked INVERTIBLE, for storage types that keep nothing but codes;
 *  - returning error bounds from the batch kernel: a second output array for every hop. Re-ranking
 *    asks `bound` once per candidate it is about to drop.
 *
 * Who implements it: rotated codes of 8, 4, 2, 1.5 and 1 bits (data-oblivious, train() looks at
 * nothing but the parameters), product quantization (train() clusters a sample), and the
 * reference's scalar, binary and turbo kinds over those encoders. */
#ifndef SX_QUANTIZER_H
#define SX_QUANTIZER_H

#include "sextant/sx_service.h"
#include "sextant/sx_vec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_QUANTIZER_IFACE 0u
/* What the absence of a bit makes the engine do stands behind it. */
#define SX_QUANTIZER_RESCORE    1ull /* re-rank by default; absent: only when the request says so */
#define SX_QUANTIZER_INVERTIBLE 2ull /* decode(); absent: originals must be kept */
#define SX_QUANTIZER_OBLIVIOUS                                                                     \
    4ull                             /* codes of one row depend on no other; absent: codes of new  \
                                        rows wait until a handle was trained on a sample */
#define SX_QUANTIZER_SYMMETRIC 8ull  /* resolve_sym(); absent: links are made on the originals */
#define SX_QUANTIZER_BOUND     16ull /* bound(); absent: the re-rank set has a fixed size */
#define SX_QUANTIZER_L1        32ull /* serves Manhattan */

/* A sample of the column, lent to train(). Rows are those of the column's datatype, after the
 * distance's preprocessing. */
struct sx_quantizer_source {
    uint32_t size, dim, dtype, n; /* n: rows in the sample; 0 is possible for OBLIVIOUS kinds */
    void *ctx;
    /* [W] copies row i, as floats, to out (dim values). */
    int (*row)(void *ctx, uint32_t i, float *out, struct sx_err *err);
    struct sx_str distance; /* name of the distance provider the codes must agree with */
    uint64_t seed;          /* every random choice comes from it: two builds give the same bytes */
};

struct sx_quantizer_ops {
    uint32_t size, pad;
    /* [A] checks the parameters of a collection's quantization config without training. */
    int (*check_params)(void *self, uint32_t dim, struct sx_doc params, struct sx_err *err);
    /* [W, long] Returns an owned handle. `cancel`: relaxed non-zero = stop soon, SX_ECANCELED.
     * progress may be NULL. */
    int (*train)(void *self,
                 const struct sx_quantizer_source *source,
                 struct sx_doc params,
                 const uint32_t *cancel,
                 void (*progress)(void *arg, uint64_t done, uint64_t total),
                 void *arg,
                 void **out,
                 struct sx_err *err);
    void (*destroy)(void *self, void *h); /* [S] takes the handle; no call on it runs */
    /* [A] bytes and alignment of one code, and of one encoded query. */
    void (*code_size)(void *self, void *h, uint32_t *bytes, uint32_t *align);
    void (*query_size)(void *self, void *h, uint32_t *bytes, uint32_t *align);
    uint64_t (*scratch_size)(void *self, void *h); /* [A] for one call of encode_*; O(dim) */
    /* [A] n rows of dim floats, contiguous -> n codes, `stride` bytes apart. Cannot fail: values
     * that do not encode (NaN never arrives) are clamped. */
    void (*encode_rows)(void *self,
                        void *h,
                        const float *rows,
                        uint32_t n,
                        void *out,
                        uint32_t stride,
                        void *scratch);
    void (*encode_query)(void *self, void *h, const float *q, void *out, void *scratch); /* [A] */
    /* [A] Fills *out (out->size set by the caller) with kernels that compare an encoded query with
     * codes. `cpu`: SX_CPU_* bits it may use. The functions read the handle through the query. */
    int (*resolve)(void *self, void *h, uint64_t cpu, struct sx_kernel *out);
    /* [A, SYMMETRIC] the same for code against code. */
    int (*resolve_sym)(void *self, void *h, uint64_t cpu, struct sx_kernel *out);
    /* [A, BOUND] half-width of the interval that holds the exact score of this code with the
     * confidence the parameters ask for. */
    float (*bound)(void *self, void *h, const void *q, const void *code);
    /* [A, INVERTIBLE] an approximation of the original. */
    void (*decode)(void *self, void *h, const void *code, float *out, void *scratch);
    /* [S] into one file of the directory, durable when it returns; open() checks everything. */
    int (*save)(void *self,
                void *h,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                struct sx_err *err);
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                void **out,
                struct sx_err *err);
    void (*stats)(void *self, void *h, struct sx_docb *out); /* [A] members of an open object */
};

#ifdef __cplusplus
}
#endif
#endif
