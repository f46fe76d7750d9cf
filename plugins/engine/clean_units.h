/* Units of space: chunks of rows or nodes and segments of blobs, and how much of each is alive.
 *
 * The writer keeps the figures: what is put counts at commit, what dies is taken off when its row
 * dies. They are not durable: open counts again.
 *
 *   LIVE -> GOING -> LEFT -> (durable manifest without it) -> DROPPED -> FREE -> LIVE ...
 *
 *   LIVE   holds live entries, or is being filled
 *   GOING  nothing in it is alive in the newest state; older views may still see some of it
 *   LEFT   no view published from now on knows it, no table leads into it, manifests name it absent
 *   DROPPED its files are gone; readers may hold tables of addresses that still have it
 *   FREE   nobody does (or it never was): the number may be used
 *
 * Threads: [S]. */
#ifndef ENG_CLEAN_UNITS_H
#define ENG_CLEAN_UNITS_H

#include "engine.h"

enum { ENG_UNIT_FREE = 0, ENG_UNIT_LIVE, ENG_UNIT_GOING, ENG_UNIT_LEFT, ENG_UNIT_DROPPED };

struct eng_unit {
    uint64_t bytes, live_bytes; /* of segments */
    uint32_t live, fill;        /* entries; fill: of chunks */
    uint8_t state;
    uint8_t is_victim;     /* its live entries are being moved */
    uint8_t is_unread;     /* LEFT: its last readers have gone */
    uint8_t in_checkpoint; /* LEFT when the checkpoint under way began */
    uint8_t is_saved;      /* a durable manifest names it absent */
    uint8_t is_forgotten;  /* DROPPED when the fence under way was begun */
    uint8_t pad[2];
};

/* Row numbers below this many chunks. The last two numbers have other meanings. */
#ifdef SX_SMALL_CHUNKS
#define ENG_CHUNKS_MAX 96u
#else
#define ENG_CHUNKS_MAX ((1u << (32 - SX_CHUNK_SHIFT)) - 1)
#endif

struct eng_units {
    const struct sx_mem *mem;
    struct eng_unit *at;
    uint32_t n, cap;    /* numbers in use lie below n */
    uint64_t next;      /* chunks: number the next entry takes, unless a chunk begins there */
    uint32_t open, pad; /* segments: the one being written */
    uint64_t bytes, live_bytes; /* sums over LIVE; of chunks in entries */
};

/* Numbers for the entries of one change. Nothing is taken before eng_units_taken(). */
struct eng_taker {
    uint64_t next;
    uint32_t floor, pad;
};
void eng_units_init(struct eng_units *u, const struct sx_mem *mem);
void eng_units_fini(struct eng_units *u);
int eng_units_room(struct eng_units *u, uint32_t n); /* entries below n exist afterwards */
struct eng_taker eng_units_taker(const struct eng_units *u);
/* The next number, or UINT32_MAX when all are in use. A chunk begins where it is a chunk's first.
 */
uint32_t eng_units_take(const struct eng_units *u, struct eng_taker *k);
void eng_units_taken(struct eng_units *u, const struct eng_taker *k);
/* One behind the highest entry of any chunk. */
uint32_t eng_units_end(const struct eng_units *u);

/* Entries of chunks. */
void eng_units_put(struct eng_units *u, uint32_t number);  /* new and alive */
void eng_units_keep(struct eng_units *u, uint32_t number); /* once more alive */
void eng_units_kill(struct eng_units *u, uint32_t number);
/* Blobs of segments; n: bytes with head and padding. 0 for keep and kill: the average. */
void eng_units_written(struct eng_units *u, uint32_t segment, uint64_t n);
void eng_units_keep_blob(struct eng_units *u, uint32_t segment, uint64_t n);
void eng_units_kill_blob(struct eng_units *u, uint32_t segment, uint64_t n);

/* At open: the absent ones of a manifest, and the rest LIVE below n. */
int eng_units_restore(struct eng_units *u, uint32_t n, const uint32_t *absent, uint32_t n_absent);
/* Numbers that a manifest must name absent, ascending, owned (release with mem); NULL with *n 0
 * when there are none. Marks them in_checkpoint. -SX_ENOMEM by return. */
int eng_units_absent(struct eng_units *u, uint32_t **out, uint32_t *n);
void eng_units_state(struct eng_units *u, uint32_t i, uint32_t state);
void eng_units_skip(struct eng_units *u, uint32_t i); /* a free number is DROPPED; there is room */

/* Its files are there. */
static inline int eng_unit_is_present(const struct eng_unit *u)
{
    return u->state != ENG_UNIT_FREE && u->state != ENG_UNIT_DROPPED;
}

static inline uint64_t eng_blob_room(uint32_t n)
{
    return (8 + (uint64_t)n + 7) & ~7ull;
}

#endif
