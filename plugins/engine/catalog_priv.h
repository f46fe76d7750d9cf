/* The catalogue's own struct, shared by its rooms: catalog.c (the map), catalog_file.c
 * (config.json) and alias.c. */
#ifndef ENG_CATALOG_PRIV_H
#define ENG_CATALOG_PRIV_H

#include "alias.h"
#include "catalog.h"

struct eng_catalog {
    struct eng *eng;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* a final checkpoint has ended, a config.json is written */
    struct eng_collection *first, **last; /* in the order of creation */
    struct eng_collection **buckets;      /* by name; n_buckets is a power of two */
    uint32_t n_buckets;
    uint32_t n, closing; /* closing: final checkpoints that are not done */
    struct sx_dir *root, *collections, *tmp, *deleted;
    struct eng_aliases aliases;
    struct eng_call *patches, **patches_end; /* the first is at work; see op_patch.c */
    struct sx_task tick;
    _Atomic uint32_t tick_armed;
};

/* With the lock held: the collection of exactly this name, also while it is being made. */
struct eng_collection *eng_catalog_lookup(struct eng_catalog *c, struct sx_str name);

/* catalog_file.c [blocking]. write: config.json, durable when it returns. read: *out is the
 * checked text as a document in the arena. split: the canonical configuration (owned by the caller)
 * without what only the file holds, which goes to *col. */
int eng_catalog_file_write(struct eng *e,
                           struct sx_dir *dir,
                           const struct eng_collection *col,
                           const struct eng_config *config,
                           struct sx_err *err);
int eng_catalog_file_read(struct eng *e,
                          struct sx_dir *dir,
                          struct sx_arena *arena,
                          struct sx_doc *out,
                          struct sx_err *err);
int eng_catalog_file_split(struct eng *e,
                           struct sx_doc d,
                           struct eng_collection *col,
                           struct sx_doc *config,
                           struct sx_err *err);

#endif
