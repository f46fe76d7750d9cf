/* Aliases: second names of collections, for whoever reads, writes or asks by name.
 *
 *   aliases/data.json   {"alias": "collection", ...}, replaced whole by a rename
 *   aliases/data.sum    CRC-32C of the present data.json and of the one that may follow; written
 *                       and synced first, so that either is recognised after a crash. Without it
 *                       data.json is taken as it is (brought from elsewhere, or edited by hand).
 *
 * A checksum inside the map would be one more alias to everybody else who reads the file. When
 * data.json is damaged there are no aliases, changes of aliases are refused with the cause, and
 * collections serve under their own names.
 *
 * Threads: the table is read under the catalogue's lock, together with the lookup of the
 * collection, so that a request never sees an alias of before and collections of after a change.
 * Changes run on the blocking pool, one at a time: a copy is changed and written, then put in the
 * table's place. While it is written, names in the copy are taken as well: no collection of that
 * name is made. */
#ifndef ENG_ALIAS_H
#define ENG_ALIAS_H

#include "engine.h"

struct eng_alias {
    struct sx_str name, collection; /* one allocation, at name.p */
};
struct eng_alias_table {
    uint32_t n, cap;
    struct eng_alias *at; /* by name, ascending */
};
struct eng_aliases {
    struct eng_alias_table now, next; /* next: being written */
    pthread_mutex_t writer;
    struct sx_dir *dir;
    uint32_t sum;        /* of data.json */
    uint32_t has_stale;  /* at open: the file has aliases of collections that are gone */
    struct sx_err cause; /* code != 0: damaged */
};

/* With the catalogue's lock held. The collection's name, p NULL when there is no such alias. */
struct sx_str eng_alias_target(const struct eng_aliases *a, struct sx_str name);
/* With the catalogue's lock held: 1 when the name is an alias or becomes one. */
int eng_alias_is_taken(const struct eng_aliases *a, struct sx_str name);

/* [M] after the collections were loaded; aliases of collections that are gone are left out. */
int eng_aliases_open(struct eng_catalog *c, struct sx_err *err);
void eng_aliases_close(struct eng_catalog *c); /* [M] */
/* [blocking] The actions of a request in their order; the first that fails ends it, those before it
 * stay. They become visible at once, after they are durable. */
int eng_aliases_update(struct eng_catalog *c, struct sx_doc actions, struct sx_err *err);
/* [blocking] A collection was dropped: its aliases go. */
void eng_aliases_forget(struct eng_catalog *c, struct sx_str collection);
/* [A] {"aliases": [{"alias_name", "collection_name"}]} of one collection, or of all (p NULL). */
void eng_aliases_list(struct eng_catalog *c, struct sx_str collection, struct sx_docb *out);

#endif
