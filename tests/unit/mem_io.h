/* A disk in memory for tests: `struct sx_io` with faults and power cuts.
 *
 * Every file knows what is durable and, in order, what was written and truncated since its last
 * sync; every directory knows which entries are durable. mem_io_cut() makes a new disk out of that,
 * as a power cut could have left it: unsynced writes kept, dropped, reordered against each other,
 * or torn at 512 B or 4 KiB; unsynced entries there or gone. A killed process loses nothing: go on
 * with the same disk.
 *
 * A datasync that is told to fail behaves like the kernel's: the pages count as clean afterwards,
 * each unsynced write has reached the disk or never will, and the next datasync succeeds.
 *
 * Contents lie in memfds, so that map() gives a true shared mapping. Calls lock the disk: a test of
 * data races wants an io without that. */
#ifndef MEM_IO_H
#define MEM_IO_H

#include "sextant/sx_service.h"

struct mem_io;

struct mem_io *mem_io_create(void);
void mem_io_destroy(struct mem_io *d); /* every handle is closed */
const struct sx_io *mem_io_table(void);
struct sx_dir *mem_io_root(struct mem_io *d); /* a handle: dir_close() it */
/* Where dir_open(NULL, ...) starts; one per process. */
void mem_io_use(struct mem_io *d);

/* Calls that change something (sync, open that creates, unlink, ... included) since creation. */
uint64_t mem_io_calls(struct mem_io *d);
/* The nth changing call from now (1 = the next) fails with the code. nth 0 = no fault. */
#define MEM_IO_STICKY 1u /* and every one after it */
#define MEM_IO_SHORT  2u /* a failing pwrite writes half of its bytes */
#define MEM_IO_WHOLE  4u /* a failing pwrite writes all of them */
void mem_io_fail(struct mem_io *d, uint64_t nth, int code, uint32_t flags);
/* The sum of the lengths of all files may not pass this. */
void mem_io_space(struct mem_io *d, uint64_t bytes);
/* fn is called before every changing call, unlocked: the place to make cuts. */
void mem_io_hook(struct mem_io *d, void (*fn)(void *arg, struct mem_io *d), void *arg);

/* A new disk as a power cut now could leave this one. Seed 0: nothing unsynced is kept; 1:
 * everything is; others: some random mixture. */
struct mem_io *mem_io_cut(struct mem_io *d, uint64_t seed);
/* Syncs of files and directories that succeeded so far. */
uint64_t mem_io_syncs(struct mem_io *d);

#endif
