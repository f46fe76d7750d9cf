/* Collections by name, and what lies below storage_path.
 *
 *   collections/<name>/config.json   configuration, name, uuid, time of creation, checksum
 *   collections/<name>/0/            the shard: manifest, wal/, rows.*, vec*.*, loc*.*, payload.*
 *   aliases/                         second names; see alias.h
 *   tmp/                             collections being made; cleared at start
 *   .deleted/                        collections being removed; cleared at start
 *
 * A collection comes into being by one rename and goes by one rename, each followed by a directory
 * sync, so a crash leaves it whole or not there. Names that no file system takes as they are (first
 * character '.' or '%', more than 255 bytes) get a folder "%<uuid>"; config.json holds the name.
 *
 * Threads: the map is guarded by one mutex, held for a lookup only; disk work runs on the blocking
 * pool, one create or drop of a name at a time (the entry is busy meanwhile). */
#ifndef ENG_CATALOG_H
#define ENG_CATALOG_H

#include "shard.h"

struct eng_collection {
    struct eng *eng;
    _Atomic uint32_t refs;
    uint32_t busy;      /* being made: not found yet, but the name is taken */
    uint32_t saving;    /* config.json is being written: a drop waits */
    struct sx_str name; /* owned */
    char folder[256];
    struct eng_shard *shard; /* NULL when damaged */
    struct sx_err cause;
    uint64_t created_ns; /* wall clock, 0 = not recorded */
    struct sx_store_id id;
    struct eng_collection *next, *chain; /* the catalogue's: all, and of one bucket */
};

int eng_catalog_open(struct eng *e, struct eng_catalog **out, struct sx_err *err); /* [M] */
/* [M, pools running] checkpoints every open shard and waits, until the deadline. */
void eng_catalog_drain(struct eng_catalog *c, uint64_t deadline_ns);
void eng_catalog_close(struct eng_catalog *c); /* [M, pools gone] */
/* [A] Closes the least recently used shards until a tenth less than max_open are open. */
void eng_catalog_trim(struct eng_catalog *c);
/* [A] one look at all shards after checkpoint_idle_ms, unless it is due already. One timer for the
 * whole server: thousands of dirty collections cost one wake-up. */
void eng_catalog_tick_soon(struct eng_catalog *c);
/* [A] a reference to the collection of this name or alias, or NULL. An alias comes first. */
struct eng_collection *eng_catalog_find(struct eng_catalog *c, struct sx_str name);
void eng_collection_unref(struct eng_collection *col);
uint32_t eng_catalog_count(struct eng_catalog *c);
/* [A] Calls sink with every collection, under no lock, in the order of creation. */
void eng_catalog_each(struct eng_catalog *c,
                      void (*sink)(void *arg, struct eng_collection *col),
                      void *arg);
/* [A] Takes the name: EEXIST, or EBADREQ when max_collections is reached. */
int eng_catalog_reserve(struct eng_catalog *c,
                        struct sx_str name,
                        struct eng_collection **out,
                        struct sx_err *err);
/* [blocking] Makes the reserved collection with this canonical configuration (taken). On failure
 * the name is free again. */
int eng_catalog_make(struct eng_catalog *c,
                     struct eng_collection *col,
                     struct sx_doc config,
                     struct sx_err *err);
/* [blocking] config.json anew. ENOTFOUND once the collection was taken out of the map: its folder
 * may be another's by then. */
int eng_catalog_save_config(struct eng_catalog *c,
                            struct eng_collection *col,
                            const struct eng_config *config,
                            struct sx_err *err);
/* [A] Takes the collection out of the map; NULL when there is none of that name. */
struct eng_collection *eng_catalog_take(struct eng_catalog *c, struct sx_str name);
/* [blocking] Makes a taken collection's end durable; consumes the reference. */
int eng_catalog_drop(struct eng_catalog *c, struct eng_collection *col, struct sx_err *err);
/* [blocking] Frees the disk space of a dropped collection. */
void eng_catalog_sweep(struct eng_catalog *c, const struct sx_store_id *id);

#endif
