/* Kind quantizer: short codes that stand for vectors while a graph is walked or built.
 *
 * iface_version 1: corrected by its first implementation and its suite (0 had no user).
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
 * offset, length correction): a kernel reads one line of memory, not two arrays. The stride is the
 * engine's: any multiple of the code's alignment, at least its size. It may keep bytes of its own
 * in front of each code (node -> row), a multiple of that alignment, and then hands kernels a row
 * table whose chunks start that much later; the code does not know.
 *
 * Kernels over codes are `struct sx_kernel`, the same type as over vectors: greater is closer,
 * batch form with prefetch, resolved once per column. There are two: query against code (the query
 * encoded by encode_query, with as much precision as it likes) and code against code (linking a
 * node needs distances between stored vectors, and decoding one of them first would double the
 * cost), whose `q` is a code as it lies in its row. Their `dim` is that of the column's vectors,
 * the one given to train(). Exactly code_size() bytes of a code are read, so align is the code's
 * and dim_pad is 1. A score estimates what the kernel of the source's distance says about the
 * originals, on the same scale and before that distance's postprocess; an estimate may lie beyond
 * what a distance can be (a squared length above 0 turned around), by its error. Scores are finite
 * for all finite vectors.
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

#include "sextant/sx_storage.h"
#include "sextant/sx_vec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_QUANTIZER_IFACE 1u
/* What the absence of a bit makes the engine do stands behind it. */
#define SX_QUANTIZER_RESCORE    1ull /* re-rank by default; absent: only when the request says so */
#define SX_QUANTIZER_INVERTIBLE 2ull /* decode(); absent: originals must be kept */
#define SX_QUANTIZER_OBLIVIOUS                                                                     \
    4ull                             /* codes of one row depend on no other; absent: codes of new  \
                                        rows wait until a handle was trained on a sample */
#define SX_QUANTIZER_SYMMETRIC 8ull  /* resolve_sym(); absent: links are made on the originals */
#define SX_QUANTIZER_BOUND     16ull /* bound(); absent: the re-rank set has a fixed size */
#define SX_QUANTIZER_L1        32ull /* serves Manhattan; absent: train() refuses it */

/* A sample of the column, lent to train(). Rows are those of the column's datatype, after the
 * distance's preprocessing. */
struct sx_quantizer_source {
    uint32_t size, dim, dtype, n; /* n: rows in the sample; 0 is possible for OBLIVIOUS kinds */
    void *ctx;
    /* [W] copies row i, as floats, to out (dim values). */
    int (*row)(void *ctx, uint32_t i, float *out, struct sx_err *err);
    /* Name of the distance provider the codes must agree with; train() answers SX_EUNSUPPORTED for
     * one it does not know. */
    struct sx_str distance;
    uint64_t seed; /* every random choice comes from it: two builds give the same bytes */
};

struct sx_quantizer_ops {
    uint32_t size, pad;
    /* [A] checks the parameters of a collection's quantization config without training. Absent
     * parameters are valid; members it does not know are not its business. */
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
    /* [A] bytes and alignment (a power of two up to 64) of one code, and of one encoded query. A
     * code's bytes are a multiple of its alignment. */
    void (*code_size)(void *self, void *h, uint32_t *bytes, uint32_t *align);
    void (*query_size)(void *self, void *h, uint32_t *bytes, uint32_t *align);
    /* [A] for one call of encode_* or decode; O(dim). Scratch is 64-aligned, contents do not
     * matter.
     */
    uint64_t (*scratch_size)(void *self, void *h);
    /* [A] n rows of dim floats, contiguous -> n codes, `stride` bytes apart; bytes between them are
     * left alone. Cannot fail: values that do not encode (NaN never arrives) are clamped. The same
     * row gives the same bytes in any batch, on any thread and on any machine. */
    void (*encode_rows)(void *self,
                        void *h,
                        const float *rows,
                        uint32_t n,
                        void *out,
                        uint32_t stride,
                        void *scratch);
    void (*encode_query)(void *self, void *h, const float *q, void *out, void *scratch); /* [A] */
    /* [A] Fills *out (out->size set by the caller) with kernels that compare an encoded query with
     * codes. `cpu`: SX_CPU_* bits it may use. The functions get no handle: what they need of it
     * lies in query and code, or is chosen here. Which cpu bits encode_* uses is the provider's
     * affair ("sx.cpu"). */
    int (*resolve)(void *self, void *h, uint64_t cpu, struct sx_kernel *out);
    /* [A, SYMMETRIC] the same for code against code. */
    int (*resolve_sym)(void *self, void *h, uint64_t cpu, struct sx_kernel *out);
    /* [A, BOUND] half-width of the interval around the kernel's score of this query and code that
     * holds the exact score with the confidence the parameters ask for (member "confidence", 0.99
     * without). Finite. */
    float (*bound)(void *self, void *h, const void *q, const void *code);
    /* [A, INVERTIBLE] an approximation of the original, dim finite floats. */
    void (*decode)(void *self, void *h, const void *code, float *out, void *scratch);
    /* [S] into one file of the directory, which it replaces, durable when it returns. The file
     * begins with a sx_file_head of `id` (SX_FILE_DERIVED); open() checks everything and answers
     * SX_ECORRUPT for damage, for a file of another id and for one of another provider. A handle
     * opened makes and reads the same codes as the one saved, distance and parameters included. */
    int (*save)(void *self,
                void *h,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                const struct sx_store_id *id,
                struct sx_err *err);
    int (*open)(void *self,
                const struct sx_io *io,
                struct sx_dir *dir,
                const char *name,
                const struct sx_store_id *id,
                void **out,
                struct sx_err *err);
    void (*stats)(void *self, void *h, struct sx_docb *out); /* [A] members of an open object */
};

#ifdef __cplusplus
}
#endif
#endif
