/* One payload index of one shard: its parts, who grows them, and what readers ask.
 *
 * An index covers rows in parts. A part spans rows [lo, hi) of one row chunk; parts do not overlap,
 * and what no part covers is answered from documents. Two forms:
 *
 *   open    the newest rows, in arrival order, growing under the writer: values forward by row, no
 *           inverted lists. A condition scans it: at most 65 536 rows, 10-30 us for numbers. So
 *           nothing that a reader follows is ever rearranged under it.
 *   sealed  immutable, relocatable bytes (offsets, no pointers): sorted values, postings, forward
 *           codes. Made in background out of a full open part, or out of documents when an index is
 *           created over rows that exist. Lives in memory until it has been saved, then mapped.
 *
 * Inverted lists that grow in place would need a lock or a copy for every reader; a scan of the
 * open part costs less than either. Nothing is removed from a part: dead rows are masked by the
 * caller, and counts are taken after the mask.
 *
 * Answers have three values, because a part may not cover a row (yet), and some conditions are only
 * narrowed down by an index: `yes` rows match for certain, `maybe` rows must be looked at.
 *
 * Threads. stage, commit, abort, publish on the shard's strand [S]; seal and build on pool threads,
 * on an open part that has ended or on a private one; mask, estimate, facets, order on any thread
 * inside an epoch. Superseded part lists and open parts are retired by the epoch. */
#ifndef ENG_FIELD_H
#define ENG_FIELD_H

#include "field_schema.h"
#include "filter.h"

#define ENG_BITS_WORDS (SX_CHUNK_ROWS / 64)

/* 65 536 rows of one chunk as bits. */
struct eng_bits {
    uint64_t w[ENG_BITS_WORDS];
};

struct eng_field_conf {
    struct eng *eng;
    struct sx_store_id id;
    struct sx_dir *dir; /* "fields" of the shard; parts are files "<field id>-<chunk>-<lo>.part" */
};

/* Rows there are, by chunk: those at or above the fill of their chunk are none. Borrowed. */
struct eng_fills {
    const uint32_t *fill;
    uint32_t n, pad;
};

/* A new index without parts; rows come from `first` on (what there is elsewhere is to be built).
 * schema is borrowed until destroy, conf for the call, but eng and dir until destroy.
 * SX_EUNSUPPORTED for a type that has no kind of parts. */
int eng_field_create(const struct eng_field_conf *conf,
                     const struct eng_field_schema *schema,
                     uint32_t first,
                     struct eng_field **out,
                     struct sx_err *err);
/* [blocking] Maps the saved parts that lie wholly in the rows the manifest counts; damaged, foreign
 * or overlapping files are logged, removed and left to be built. New rows come from `first` on;
 * what the saved parts leave out is a gap, to be built like any other.
 *
 * Only heads and lengths are read here. Contents are checked when a part is first asked (checksum
 * and every offset, some 0.2 ms a part): checking them at open would read every index of every
 * shard at each start, and not checking them would let a flipped bit lead a search out of bounds. A
 * part that turns out to be damaged counts as a gap from then on. */
int eng_field_open(const struct eng_field_conf *conf,
                   const struct eng_field_schema *schema,
                   struct eng_fills rows,
                   uint32_t first,
                   struct eng_field **out,
                   struct sx_err *err);
/* No call runs any more. is_dropped: removes the files too. */
void eng_field_destroy(struct eng_field *f, int is_dropped);

/* [S] Rows base.. of one operation; payloads[i].p NULL = {}. base may lie above the end of what was
 * committed (rows that died before they were born have no values), or be the first row of a chunk
 * that has no parts, wherever that lies. Several calls before one commit are one operation. What it
 * writes lies beyond the rows any reader is told of. After a failure nothing of it is left. */
int eng_field_stage(struct eng_field *f,
                    uint32_t base,
                    uint32_t n,
                    const struct sx_doc *payloads,
                    struct sx_err *err);
void eng_field_commit(struct eng_field *f); /* [S] cannot fail */
void eng_field_abort(struct eng_field *f);  /* [S] */
/* [S] The rows of the chunk are gone for every reader, and their numbers may come back: its parts
 * and their files go. The caller syncs the folder before a manifest counts new rows of that chunk.
 * SX_EPRECOND while a job has to do with them, SX_ENOMEM or the file system's code: try again. */
int eng_field_forget(struct eng_field *f, uint32_t chunk, struct sx_err *err);

/* Background work of one index. next() [S]: the next thing to do, 0 when there is nothing: seal an
 * ended open part, build a gap among the rows from documents, save a sealed part. The job is
 * run once on a pool (SEAL, BUILD) or blocking thread (SAVE) and given back to done() [S], which
 * publishes the result or forgets it. One job of a field at a time. */
enum { ENG_FIELD_SEAL = 1, ENG_FIELD_BUILD, ENG_FIELD_SAVE };
struct eng_field_job {
    struct eng_field *field;
    uint32_t kind;
    uint32_t lo, hi; /* rows */
    void *priv;
};
/* [S] While held, nothing is saved: what was built may not outlive what it was built from. */
void eng_field_hold_saves(struct eng_field *f, int is_held);
int eng_field_next(struct eng_field *f, struct eng_fills rows, struct eng_field_job *job);
/* BUILD: called for each row of [lo, hi) that some view may still see, in order, before run. doc.p
 * NULL = {}. Rows left out have no values and are not looked at again. */
int eng_field_build_add(struct eng_field_job *job,
                        uint32_t row,
                        struct sx_doc payload,
                        struct sx_err *err);
int eng_field_run(struct eng_field_job *job, struct sx_err *err);
void eng_field_done(struct eng_field_job *job, int rc); /* [S] takes what the job holds */
/* [A] rows that some part covers: progress of a build. */
uint32_t eng_field_covered(const struct eng_field *f, struct eng_fills rows);

/* --- readers [A, in an epoch] ------------------------------------------------------------------
 */

/* The leaf's schema->field must be this index. Rows of the chunk below `fill` are split: sets bits
 * in yes and in maybe (both zeroed by the caller, never the same row in both); rows in neither do
 * not match. Of a leaf that is only covered all the rows found are maybe. Leaves inside of nested
 * conditions are asked about points, not elements: what is found may hold such an element. */
void eng_field_mask(const struct eng_field *f,
                    const struct eng_leaf *leaf,
                    uint32_t chunk,
                    uint32_t fill,
                    struct eng_bits *yes,
                    struct eng_bits *maybe);
/* 1 when the index narrows this leaf down at all (else documents are read and mask sets all of
 * maybe). */
int eng_field_answers(const struct eng_field_schema *s, const struct eng_leaf *leaf);

/* How many points match, by the rules of the estimator; n_points: of the shard. Dead rows are
 * discounted in proportion (n_points over the rows that parts cover), and so are rows that no part
 * covers yet counted in. */
struct eng_estimate {
    uint64_t min, exp, max;
};
int eng_field_estimate(const struct eng_field *f,
                       const struct eng_leaf *leaf,
                       uint64_t n_points,
                       struct eng_estimate *out); /* 0: cannot tell */

/* Points with at least one value the index accepts, among the rows in `bits` of the chunk. Rows no
 * part covers are set in rest (may be NULL). */
uint32_t eng_field_points(const struct eng_field *f,
                          uint32_t chunk,
                          uint32_t fill,
                          const struct eng_bits *bits,
                          struct eng_bits *rest);

/* Facets: counts of each value among the rows in `bits`. One accumulator per request; values are
 * copied into the arena when they are first seen. Rows no part covers are set in rest; the caller
 * reads their documents and feeds them with facet_doc(). */
struct eng_facet;
struct eng_facet *eng_facet_create(const struct eng_field_schema *s,
                                   const struct sx_mem *mem,
                                   struct sx_arena *arena);
void eng_facet_destroy(struct eng_facet *k);
int eng_facet_chunk(struct eng_facet *k,
                    const struct eng_field *f,
                    uint32_t chunk,
                    uint32_t fill,
                    const struct eng_bits *bits,
                    struct eng_bits *rest);
int eng_facet_doc(struct eng_facet *k, struct sx_doc payload);
/* The first `limit` by count descending, value ascending, in the arena. */
int eng_facet_top(struct eng_facet *k,
                  uint64_t limit,
                  const struct sx_facet_hit **hits,
                  uint32_t *n);

/* Order: (value, row) pairs ascending or descending by value, from a start. An iterator over one
 * part; the caller merges parts (and tests visibility and mask itself). Integer and datetime values
 * are i64 (microseconds), float f64. */
struct eng_order_entry {
    int64_t i;
    double f;
    uint32_t row, pad;
};
struct eng_order; /* merges all parts of the index below the view's fill */
int eng_order_create(const struct eng_field *f,
                     const struct sx_order_by *by,
                     const uint32_t *fill,
                     uint32_t n_chunks,
                     struct sx_arena *arena,
                     struct eng_order **out);
/* Rows that the merged parts leave out, for reading documents: as eng_field_gap(), but of the parts
 * there were when the order was created. A part may be built meanwhile. */
int eng_order_gap(
    const struct eng_order *o, struct eng_fills rows, uint32_t i, uint32_t *lo, uint32_t *hi);
/* 1 and the next entry; entries of equal value come by ascending row; a row's equal values come
 * once. 0 at the end. */
int eng_order_next(struct eng_order *o, struct eng_order_entry *e);
/* Rows of the view that no part covers, [lo, hi) ranges in one chunk each, for reading documents:
 * i-th, 0 past the last. Parts are checked as by their first use: call it after the last question
 * to the index, and what that question left out is listed. */
int eng_field_gap(
    const struct eng_field *f, struct eng_fills rows, uint32_t i, uint32_t *lo, uint32_t *hi);
/* The values of one document in the order's terms, at most max, distinct; returns how many. */
uint32_t eng_order_doc(const struct eng_field_schema *s,
                       const struct sx_order_by *by,
                       struct sx_doc payload,
                       struct eng_order_entry *out,
                       uint32_t max);

/* Bytes: on disk, in anonymous memory. */
void eng_field_stats(const struct eng_field *f, uint64_t *disk, uint64_t *ram);

#endif
