/* The engine's own map: which room holds what, and the structs they share.
 *
 *   plugin.c      descriptor, keys, lifecycle, dispatch of operations
 *   call.c        one operation on its way, from submit to done
 *   catalog*.c    collections by name; create, drop, list; what lies in storage_path
 *   alias.c       second names of collections
 *   config.c      a collection's configuration: request over defaults, the echoed form, columns
 *   schema.c      which vector columns and payload indexes there are
 *   shard.c       one shard: open, close, waiting operations, publishing of views
 *   manifest.c    what is durable: written at a checkpoint, read at open
 *   table.c       the row table: rows, locations per column, died numbers, dead bits
 *   column.c      one vector column: its store, distance, index, node -> row
 *   ids*.c        the id maps
 *   wal*.c        the log; record.c bodies of its records
 *   write*.c      the way of a write: prepare on a worker, resolve and apply on the strand
 *   change.c      one operation applied to the table, from a request or from the log
 *   commit.c      the committer: one fdatasync for all operations of all shards that are due
 *   wait.c        how long a write may wait
 *   checkpoint.c  flush, manifest, trim
 *   quota.c       limits of memory and disk; small_file.c files replaced as a whole
 *   scrub.c       contents against checksums, in the background
 *   filter*.c     filters compiled, and evaluated on documents
 *   plan*.c       filters over a view, with the indexes; walk.c pages of ids; estimate.c figures
 *   field*.c      one payload index: parts that grow, are sealed, saved, asked
 *   part_*.c      parts by kind of value
 *   text*.c       words of texts; bm25.c texts as sparse vectors; infer.c who embeds what
 *   op_*.c        one file per family of operations
 *   fetch.c       rows -> records (payload, vectors) for replies
 *
 * Data flows request -> op_* -> strand (change) -> log -> table -> view -> readers. Readers take a
 * view inside an epoch and never lock. Lock order: catalog, shard, committer. */
#ifndef ENG_ENGINE_H
#define ENG_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "sextant/sx_distance.h"
#include "sextant/sx_index.h"
#include "sextant/sx_json.h"
#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"
#include "sextant/sx_service.h"
#include "sextant/sx_storage.h"
#include "sextant/sx_text.h"

#define ENG_MAX_COLUMNS 64u
#define ENG_NO_LOC      UINT32_MAX
#define ENG_NO_BLOB     UINT64_MAX

/* Filled from the key table in plugin.c; immutable. */
struct eng_conf {
    const char *storage_path;
    const char *rows_kind;  /* provider of vector rows for collections that do not say */
    const char *log_sync;   /* "always", "interval", "os" */
    uint64_t log_sync_ms;   /* of "interval" */
    const char *index_kind; /* provider of the index of dense vectors */
    uint32_t on_disk_payload, pad;
    uint64_t max_collections;    /* SX_KEY_UNSET = none */
    uint64_t checkpoint_log_mb;  /* a checkpoint when so much log would be replayed */
    uint64_t checkpoint_idle_ms; /* or this long after the first change since the last one */
    uint64_t max_open;           /* collections open at a time, if descriptors allow */
    uint64_t scrub_pause_ms;     /* between two pieces; 0 = no scrub */
    uint64_t scrub_rest_ms;      /* after a pass */
    struct sx_doc optimizers, hnsw, wal, collection, payload, quotas;
};

struct eng_catalog;
struct eng_reserve;
struct eng_analyzer;

struct eng {
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_exec *exec;
    const struct sx_loop_api *loops;
    const struct sx_epoch *epoch;
    const struct sx_io *io;
    const struct sx_reg *reg;
    const struct sx_telem *telem;
    const struct sx_time *time;
    const struct sx_cpu *cpu;
    const struct sx_crypto *crypto;
    const struct eng_conf *conf;
    struct eng_catalog *catalog;
    struct eng_reserve *reserve; /* the catalogue's */
    struct eng_committer *committer;
    struct eng_scrub *scrub;
    struct eng_quota *quota;
    struct eng_analyzer *plain_text; /* of text conditions without an index */
    uint32_t max_open;               /* shards */
    _Atomic uint32_t n_open;
    _Atomic uint32_t wait_armed; /* of wait.c */
    struct sx_task wait_task;
    _Atomic uint32_t is_stopping; /* the pools are about to end, or have ended */
};

/* What an operation carries inside the engine, from submit to done (op->held). */
struct eng_call {
    struct eng *eng;
    struct sx_op *op;
    struct eng_collection *col; /* a reference, or NULL */
    struct eng_shard *shard;
    void *writing, *reading; /* of write.c and plan_run.c */
    struct sx_reply reply;
    uint64_t number;       /* of a write */
    struct eng_call *next; /* in the shard's or committer's queue */
    uint32_t holds, pad;   /* the shard is held until the call is finished */
    void (*run)(struct eng_call *c, struct sx_worker *w); /* continues once the shard is open */
    struct sx_task task;
    struct sx_err err;
};

/* Ends a call from any thread: posts to the op's loop, where done() is called and references are
 * given back. reply.code decides; on failure the text is taken from c->err unless reply.err is set.
 */
void eng_call_finish(struct eng_call *c);
void eng_call_fail(struct eng_call *c, int code, const char *fmt, ...) SX_PRINTF(3, 4);
/* Fails with c->err as it is (code and text). */
void eng_call_fail_err(struct eng_call *c);
/* Ends the call with the document that was built in b, which is ended. */
void eng_call_reply_doc(struct eng_call *c, struct sx_docb *b);
/* Runs c->run(w): here when the cost is small and we are on a worker, else on the CPU pool. */
void eng_call_run(struct eng_call *c, uint64_t cost_ns);
/* Resolves op->collection (aliases too), takes a reference and the shard, and calls run once the
 * shard is open. Answers the 404 itself. */
void eng_call_on_shard(struct eng_call *c, void (*run)(struct eng_call *, struct sx_worker *));

/* op_collection.c, op_read.c, op_query.c, op_write.c */
void eng_op_collections_list(struct eng_call *c);
void eng_op_collection_get(struct eng_call *c);
void eng_op_collection_exists(struct eng_call *c);
void eng_op_collection_create(struct eng_call *c);
void eng_op_collection_update(struct eng_call *c);
void eng_op_collection_delete(struct eng_call *c);
void eng_op_aliases_list(struct eng_call *c); /* of all, of one collection */
void eng_op_aliases_update(struct eng_call *c);
void eng_op_quotas_get(struct eng_call *c);
void eng_op_quotas_set(struct eng_call *c);
void eng_op_points_get(struct eng_call *c);
void eng_op_scroll(struct eng_call *c);
void eng_op_count(struct eng_call *c);
void eng_op_query(struct eng_call *c);
void eng_op_write(struct eng_call *c); /* every change of points, batches too */
void eng_op_index_create(struct eng_call *c);
void eng_op_index_delete(struct eng_call *c);
void eng_op_vector_name(struct eng_call *c);
void eng_op_facet(struct eng_call *c);
void eng_op_explain(struct eng_call *c);

#endif
