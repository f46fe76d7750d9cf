/* Bodies of log records. Vectors lie in them as the column stores them, so that log, store and
 * replay hold the same bytes. What an operation selects lies in them as ids: a filter has been
 * resolved before. Little endian; every part begins 8-aligned.
 *
 *   UPSERT        u32 points, u32 0; per point: u64 id hi, u64 id lo, u32 id kind, u32 vectors,
 *                 u32 payload bytes, u32 0; per vector: u32 column id, u32 bytes, data to 8;
 *                 payload to 8. Replaces whole points.
 *   VECTORS       the same without payload: replaces the vectors named, of points that exist
 *   DELETE        u32 ids, u32 0; per id: u64 hi, u64 lo, u32 kind, u32 0
 *   VECTORS_DROP  u32 ids, u32 columns; u32 column ids, to 8; ids as above
 *   PAYLOAD       u32 kind, u32 ids, u32 paths, u32 payload bytes; payload to 8; per path u32
 * bytes, u32 0, text to 8; ids as above FIELD_CREATE  a document {"path", "schema", "bare"}
 *   FIELD_DROP    a document {"path"}
 *   COLUMN_CREATE a document {"name", "dense": {...}} or {"name", "sparse": {...}}
 *   COLUMN_DROP   a document {"name"}
 *   FAILED        the text that the caller got
 *   NOTHING       empty: a number is taken
 */
#ifndef ENG_RECORD_H
#define ENG_RECORD_H

#include "engine.h"

struct eng_shard;
struct eng_config;

enum {
    ENG_REC_UPSERT = 1,
    ENG_REC_DELETE = 2,
    ENG_REC_FAILED = 3,
    ENG_REC_VECTORS = 4,
    ENG_REC_VECTORS_DROP = 5,
    ENG_REC_PAYLOAD = 6,
    ENG_REC_FIELD_CREATE = 7,
    ENG_REC_FIELD_DROP = 8,
    ENG_REC_NOTHING = 9,
    ENG_REC_COLUMN_CREATE = 10,
    ENG_REC_COLUMN_DROP = 11
};
enum {
    ENG_PAYLOAD_SET = 1,
    ENG_PAYLOAD_OVERWRITE = 2,
    ENG_PAYLOAD_DELETE = 3,
    ENG_PAYLOAD_CLEAR = 4
};

/* UPSERT or VECTORS, with what is needed to leave points out later. */
struct eng_points_body {
    struct sx_str body;
    uint32_t n, pad;                 /* points */
    const struct sx_id *ids;         /* of each */
    const uint32_t *at;              /* n + 1 offsets into body */
    const struct eng_config *config; /* it was built for; only to be compared */
};
/* [W, in an epoch] Builds the body in the arena for the columns of config. Each id once: of an
 * upsert the last occurrence wins, of vectors the last one of each name. Names, kinds and
 * dimensions are checked: EINPUT with the client's text, which at this point is an application-time
 * error. */
int eng_record_points(struct eng_shard *s,
                      const struct eng_config *config,
                      const struct sx_args_upsert *args,
                      int is_update,
                      struct sx_arena *arena,
                      struct eng_points_body *out,
                      struct sx_err *err);
/* The same with only the points whose keep[i] is set. */
int eng_record_points_select(const struct eng_points_body *b,
                             const uint8_t *keep,
                             struct sx_arena *arena,
                             struct sx_str *out);
int eng_record_delete(const struct sx_id *ids,
                      uint32_t n,
                      struct sx_arena *arena,
                      struct sx_str *out);
int eng_record_vectors_drop(const uint32_t *columns,
                            uint32_t n_columns,
                            const struct sx_id *ids,
                            uint32_t n,
                            struct sx_arena *arena,
                            struct sx_str *out);
int eng_record_payload(uint32_t kind,
                       struct sx_doc payload,
                       const struct sx_path *paths,
                       uint32_t n_paths,
                       const struct sx_id *ids,
                       uint32_t n,
                       const struct sx_mem *mem,
                       struct sx_arena *arena,
                       struct sx_str *out);

#endif
