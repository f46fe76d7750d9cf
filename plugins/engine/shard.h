/* One shard: a table, its log, one strand that writes, and the view readers take.
 *
 * States. CLOSED -> OPENING (blocking pool: manifest, stores, replay) -> OPEN; RED when the files
 * are damaged (every operation answers the cause, nothing is changed on disk). Operations that
 * arrive before OPEN wait in a queue. A shard is opened on first use, so thousands of idle
 * collections cost a catalogue entry each; when more are open than descriptors allow, the least
 * recently used ones go OPEN -> CLOSING -> CLOSED again (about 7 descriptors and 90 KB each).
 *
 * Users. Whoever touches what only an open shard has (stores, log, view) holds it: calls from enter
 * to finish, the committer, the scrub, collectors. The strand needs no hold: closing is decided on
 * it. Closing happens only when nobody holds, everything is checkpointed and no superseded view is
 * left.
 *
 * References: the catalogue's collection holds one; every call in flight and every retired death
 * list holds one. When the last goes, stores and log are closed and memory is freed.
 *
 * Writes. Everything between eng_shard_write_begin() and publish runs on the strand. The log record
 * is appended, the change applied, the view published; then the call either finishes
 * (wait=false) or waits for the committer. */
#ifndef ENG_SHARD_H
#define ENG_SHARD_H

#include "record.h"
#include "table.h"
#include "wal.h"

struct eng_schema;
struct eng_field_schema;
struct eng_field_work;
struct eng_gone_column;
struct eng_clean;

enum { ENG_CLOSED = 0, ENG_OPENING, ENG_OPEN, ENG_CLOSING, ENG_RED };

struct eng_shard {
    struct eng *eng;
    const struct eng_config *config; /* as created; the present one is the schema's. Owned */
    struct sx_store_id id;
    struct sx_dir *parent;        /* of all collections; borrowed */
    char *folder;                 /* of ours in it; owned */
    struct sx_dir *dir, *wal_dir; /* of the shard; open while the shard is */
    struct sx_dir *fields_dir;
    _Atomic uint32_t refs;
    _Atomic uint32_t users;      /* holds; see above */
    _Atomic uint32_t superseded; /* views that wait for their readers */
    _Atomic uint64_t used_ns;    /* of the last call, for choosing what to close */
    _Atomic uint32_t state;
    pthread_mutex_t lock;                    /* state changes, waiting, synced list */
    struct eng_call *waiting, **waiting_end; /* until OPEN */
    struct sx_err cause;                     /* why RED, or why writes are refused */

    struct sx_strand *strand;
    struct eng_wal *wal;    /* S */
    struct eng_table table; /* S; readers through views */
    _Atomic(struct eng_view *) view;
    struct eng_superseded *next_view; /* S: room for the next publish */
    _Atomic int write_failed;         /* code: the log is dead, writes are refused */
    _Atomic int damaged;              /* code: a checksum did not match */

    /* Calls whose record is appended and must be durable before they are answered, in number
     * order. Guarded by lock. */
    struct eng_call *unsynced, **unsynced_end;
    struct eng_shard *commit_next; /* the committer's list */
    uint32_t commit_queued;

    /* [S] Payload indexes: a change being staged, committed, retired; background work and the calls
     * that wait for it. See schema.h and field_work.h. */
    struct eng_schema *next_schema;
    const struct eng_schema *old_schema;
    struct eng_field_schema *schema_added, *schema_gone;
    struct eng_column *column_added;
    struct eng_gone_column *column_gone, *columns_gone; /* being staged; waiting to be closed */
    struct eng_field_work *field_work;
    struct eng_call *field_waiting; /* guarded by lock */
    struct eng_call *shown_waiting; /* guarded by lock: what they wrote is not shown yet */

    struct eng_clean *clean;  /* S: a pass under way; see clean.h */
    uint32_t no_cleaning;     /* S: the last checkpoint is being made */
    uint32_t fields_unsynced; /* S: files of payload indexes went for numbers that come back */
    uint64_t clean_next;      /* S: not before so many bytes are garbage */
    /* S: changes that were moves; those in the last durable checkpoint; those before the last build
     * of a part of a payload index. */
    uint64_t moves, moves_saved, moves_built;

    /* Checkpoints: see checkpoint.c. */
    uint64_t checkpoint;    /* S: operation number of the last durable manifest */
    uint64_t generation;    /* S: number of the manifest */
    uint32_t checkpointing; /* S */
    _Atomic uint32_t tick_posted;
    _Atomic uint32_t close_posted;
    uint32_t close_wanted; /* S: after the checkpoint that runs */
    struct sx_task checkpoint_task, tick_task, open_task, close_task, idle_task;
    void (*checkpoint_done)(struct eng_shard *s, void *arg);
    void *checkpoint_arg;
};

/* Takes config on success. The shard's files lie in "<parent>/<folder>/0", opened with the shard.
 * One reference is returned. */
int eng_shard_create(struct eng *e,
                     struct eng_config *config,
                     const struct sx_store_id *id,
                     struct sx_dir *parent,
                     const char *folder,
                     struct eng_shard **out,
                     struct sx_err *err);
void eng_shard_ref(struct eng_shard *s);
void eng_shard_unref(struct eng_shard *s);
/* Calls c->run once the shard is open; fails the call when it is red. Takes over c, which holds the
 * shard until it is finished. */
void eng_shard_enter(struct eng_shard *s, struct eng_call *c);
/* [A] 1 and held when the shard is open, else 0. */
int eng_shard_hold(struct eng_shard *s);
void eng_shard_release(struct eng_shard *s);
/* [A] Closes the shard unless it is in use; the next call opens it again. */
void eng_shard_close_idle(struct eng_shard *s);
/* [S] the same, tried on the strand. */
void eng_shard_try_close(struct eng_shard *s);
/* Writes the first, empty manifest of a new shard [blocking]. */
int eng_shard_format(struct eng *e,
                     const struct eng_config *config,
                     const struct sx_store_id *id,
                     struct sx_dir *dir,
                     struct sx_err *err);

/* Reader's entry [L, W]: epoch entered, view pinned until eng_shard_read_end(). */
void eng_shard_read_begin(struct eng_shard *s, struct eng_reader *r);
void eng_shard_read_end(struct eng_shard *s);

/* [S] Memory for the next view, so that publishing cannot fail once the log holds the operation. */
int eng_shard_publish_room(struct eng_shard *s);
/* [S] publishes the table as it is; retires the old view and the deaths. */
void eng_shard_publish(struct eng_shard *s);
/* [S] After append and apply: finishes the call now, or hands it to the committer. */
void eng_shard_written(struct eng_shard *s, struct eng_call *c, int wait);
/* [A] Refuses further writes until the next start; readers go on. For a log that cannot be synced:
 * what was written since is in doubt. */
void eng_shard_stop_writes(struct eng_shard *s, const struct sx_err *cause);

/* [A] Primary data is damaged: told by collection info; readers and writers go on. */
void eng_shard_damaged(struct eng_shard *s, const struct sx_err *cause);

/* commit.c: one committer for all shards. */
struct eng_committer;
int eng_committer_create(struct eng *e, struct eng_committer **out);
void eng_committer_destroy(struct eng_committer *c); /* [M, pools gone] */
/* [A] the shard has unsynced calls. */
void eng_committer_due(struct eng_committer *c, struct eng_shard *s);

/* checkpoint.c */
void eng_checkpoint_start(struct eng_shard *s);    /* [S] does nothing while one runs */
void eng_checkpoint_consider(struct eng_shard *s); /* [S] after each write */
void eng_checkpoint_soon(struct eng_shard *s);     /* [once, after open] considers on the strand */
void eng_checkpoint_tick(struct eng_shard *s);     /* [A] starts one on the strand */
/* Makes everything durable and calls done on some thread: clean stop. [A] */
void eng_checkpoint_final(struct eng_shard *s, void (*done)(struct eng_shard *, void *), void *arg);

/* scrub.c: contents against checksums, slowly. */
struct eng_scrub;
int eng_scrub_create(struct eng *e, struct eng_scrub **out);
void eng_scrub_destroy(struct eng_scrub *k);
void eng_scrub_wake(struct eng_scrub *k); /* [A] a shard has been opened */

/* Numbers of chunks or segments that are not there, ascending; owned. `end`: numbers in use lie
 * below it (0 = as the mark says). */
struct eng_absent {
    uint32_t *at;
    uint32_t n, end;
};

/* manifest.c: what is durable of a shard. */
struct eng_manifest {
    uint64_t generation, operation, n_dead;
    struct sx_doc schema; /* of eng_schema_save(), owned */
    struct sx_store_mark rows;
    struct sx_blobs_mark payload;
    struct eng_absent rows_absent, payload_absent; /* rows: of every column's locations too */
    uint32_t n_columns, pad;
    struct { /* in any order; ids tell which is which */
        uint32_t id;
        struct sx_store_mark vec, loc;
        struct sx_blobs_mark blobs; /* of multi and sparse vectors */
        struct eng_absent vec_absent, blobs_absent;
    } columns[ENG_MAX_COLUMNS];
    uint64_t n_bits; /* of dead: rows of all chunks in use */
    uint64_t *dead;  /* words of 64 rows, owned; NULL when n_dead is 0 */
};
/* [blocking] Reads and checks "manifest" and the dead bits it names. SX_ECORRUPT names the file. */
int eng_manifest_read(struct eng *e,
                      struct sx_dir *dir,
                      const struct sx_store_id *id,
                      struct eng_manifest *out,
                      struct sx_err *err);
/* [blocking] Writes both durably and renames the manifest into place; then removes the dead-bit
 * file of the generation before. */
int eng_manifest_write(struct eng *e,
                       struct sx_dir *dir,
                       const struct sx_store_id *id,
                       const struct eng_manifest *m,
                       struct sx_err *err);
void eng_manifest_fini(struct eng *e, struct eng_manifest *m);

/* column.c */
/* Opens the column's stores at the marks and resolves distance and index. conf is copied. */
int eng_column_open(struct eng_shard *s,
                    const struct eng_column_conf *conf,
                    const struct sx_store_mark *vec,
                    const struct sx_store_mark *loc,
                    const struct sx_blobs_mark *blobs,
                    struct eng_column **out,
                    struct sx_err *err);
/* The same for the i-th column of a manifest. */
int eng_column_restore(struct eng_shard *s,
                       const struct eng_column_conf *conf,
                       const struct eng_manifest *m,
                       uint32_t i,
                       struct eng_column **out,
                       struct sx_err *err);
void eng_column_close(struct eng_shard *s, struct eng_column *c); /* frees it, NULL too */
/* [S] Hands the nodes it has not seen yet to an index that must be told. */
void eng_column_link(struct eng_shard *s, uint32_t i);
/* Converts a prepared f32 vector to the column's row form; out has row_bytes. */
void eng_column_encode(const struct eng_column *c, const float *v, void *out);
void eng_column_decode(const struct eng_column *c, const void *row, float *out);
/* Bytes of a vector as the column stores it: the fixed row, or of a multivector u32 rows, u32 0,
 * rows one after the other; of a sparse one u32 n, u32 0, n indices, n values. */
uint64_t eng_column_bytes(const struct eng_column *c, const struct sx_vec_in *v);
/* Prepares and encodes; tmp holds dim floats (dense and multi). */
void eng_column_store(const struct eng_column *c, const struct sx_vec_in *v, float *tmp, void *out);
/* 1 when bytes of that length may be a vector of the column (lengths fit each other). */
int eng_column_fits(const struct eng_column *c, const void *p, uint64_t n);
/* The preprocessing of stored vectors and queries; in == out allowed. */
void eng_column_prepare(const struct eng_column *c, const float *in, float *out);

/* schema.c: retires a dropped field once its job has ended [S] */
void eng_schema_retire_field(struct eng_shard *s, struct eng_field_schema *field);

/* change.c: a record staged for the table, at run time and at replay alike [S]. Bodies are checked:
 * one that does not fit is ECORRUPT. */
int eng_change_stage(struct eng_shard *s, const struct eng_wal_record *r, struct sx_err *err);
void eng_change_commit(struct eng_shard *s); /* [S] cannot fail */
void eng_change_abort(struct eng_shard *s);  /* [S] */

#endif
