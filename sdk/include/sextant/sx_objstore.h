/* Kind objstore: where snapshots (and, later, cold files) lie: named objects, written once.
 *
 * iface_version 0: written before its first user, so it may still be corrected by it.
 *
 * What it is for. A snapshot is a stream of some gigabytes that leaves the engine while writes go
 * on and comes back on another machine years later. Whether it lies in a local directory or behind
 * S3 is one configuration key; the names in the store are contract, since backup tools read them.
 *
 * Who calls. The engine's snapshot room, and consensus for its own snapshots. Both think in objects
 * that appear whole or not at all: put_begin, any number of put_write, then put_commit. Until
 * commit nobody can see the object; after an abort, a crash or a lost connection nothing of it
 * remains that list() would show. That is rename-after-fsync for files and a completed multipart
 * upload for S3; either store has exactly this primitive, which is why it is the interface and
 * "open a file for writing" is not.
 *
 * Threads. Every function that touches the store is [W, blocks] and runs on the blocking pool,
 * never on a loop or query thread: an S3 part takes seconds. Calls on different handles run at
 * once; calls on one handle do not. The engine bounds how many it starts (memory: one part per
 * upload).
 *
 * Cancelling. `cancel` points at a word of the caller that is set once and never cleared; a
 * provider looks at it at least every second and returns SX_ECANCELED. A client that gives up, a
 * shutdown and a deadline all come this way: one mechanism, no signals, no thread to kill.
 *
 * Ownership. Names and buffers are borrowed for the call. Handles are the provider's and end with
 * exactly one commit, abort or close. Provider memory is counted on its module's account: at most
 * 8 parts in flight, so that a hundred gigabytes pass through a process of a hundred megabytes.
 *
 * Integrity. The caller hands the SHA-256 of the whole at commit if it knows it; the store keeps it
 * where it has a place for it (a side object, metadata) and returns it from stat. A store that has
 * its own checks uses them as well; what comes out is verified by the caller, not believed.
 *
 * Names are UTF-8 paths with '/' between components; no component is empty, "." or "..", none holds
 * a NUL. The caller has checked that; a provider checks again before it makes a file name or a URL
 * of it, because this is where a mistake writes outside the root.
 *
 * Wrapping. A store may be given a parent: encryption over compression over S3 are three modules of
 * this same kind, each with the one below as `parent`. The engine sees the outermost.
 *
 * Rejected:
 *  - completion callbacks: the caller streams from a tar writer that blocks anyway, and each
 *    provider would need a thread or an event loop of its own (libcurl brings its own waiting);
 *  - one call with a read callback (curl's shape): the tar writer would have to be turned inside
 *    out into a state machine;
 *  - random-access writes and append: no object store has them, and a snapshot needs neither;
 *  - mapping objects into memory: cold files are read through get_read into chunks of our own,
 *    which can be checksummed and given back one by one;
 *  - copy and rename: an object is published by commit under its final name. */
#ifndef SX_OBJSTORE_H
#define SX_OBJSTORE_H

#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_OBJSTORE_IFACE     0u
#define SX_OBJSTORE_MULTIPART 1ull  /* parts of one upload may be in flight together */
#define SX_OBJSTORE_LIST      2ull  /* list(); absent: the server keeps no listing and says so */
#define SX_OBJSTORE_RANGE_GET 4ull  /* get_open() from an offset; absent: from the start only */
#define SX_OBJSTORE_LOCAL     8ull  /* local_path(): objects are files of this machine */
#define SX_OBJSTORE_WRAPPER   16ull /* needs a parent */

struct sx_objstore_conf {
    uint32_t size, pad;
    struct sx_doc params;   /* the store's own section (bucket, region, endpoint, ...) */
    struct sx_str root;     /* prefix of every name: a directory, or the first part of the keys */
    const void *parent_ops; /* const struct sx_objstore_ops *, NULL = none */
    void *parent_self, *parent_store;
};

struct sx_objstore_stat {
    uint32_t size;
    uint32_t has_sha256;
    uint64_t bytes;
    uint64_t modified_s; /* seconds since the epoch, UTC */
    uint8_t sha256[32];
};

struct sx_objstore_put {
    uint32_t size, pad;
    uint64_t bytes_hint; /* expected total, 0 = unknown: chooses the part size */
    const uint32_t *cancel;
};

struct sx_objstore_ops {
    uint32_t size, pad;
    /* [M] checks the parameters; contacts nothing (a store that is down must not stop a start). */
    int (*check_conf)(void *self, const struct sx_objstore_conf *conf, struct sx_err *err);
    /* [W, blocks] Returns an owned store. */
    int (*open)(void *self, const struct sx_objstore_conf *conf, void **out, struct sx_err *err);
    void (*close)(void *self, void *store); /* [W] no call on it runs */

    /* --- writing: begin, write*, commit or abort -------------------------------------------------
     * A failing write leaves the handle usable for nothing but abort. */
    int (*put_begin)(void *self,
                     void *store,
                     struct sx_str name,
                     const struct sx_objstore_put *how,
                     void **out,
                     struct sx_err *err);
    int (*put_write)(void *self, void *put, const void *p, uint64_t n, struct sx_err *err);
    /* Takes the handle, whatever it returns. 0: the object is visible and survives a power cut.
     * sha256 may be NULL. *out (may be NULL) describes what was stored. */
    int (*put_commit)(void *self,
                      void *put,
                      const uint8_t *sha256,
                      struct sx_objstore_stat *out,
                      struct sx_err *err);
    void (*put_abort)(void *self, void *put); /* takes the handle; best effort, never fails */

    /* --- reading ---------------------------------------------------------------------------------
     * n 0 = to the end. SX_ENOTFOUND for a missing object. */
    int (*get_open)(void *self,
                    void *store,
                    struct sx_str name,
                    uint64_t off,
                    uint64_t n,
                    const uint32_t *cancel,
                    void **out,
                    struct sx_err *err);
    /* Up to n bytes; 0 at the end; negative codes. */
    int64_t (*get_read)(void *self, void *get, void *p, uint64_t n, struct sx_err *err);
    void (*get_close)(void *self, void *get);

    int (*stat)(void *self,
                void *store,
                struct sx_str name,
                const uint32_t *cancel,
                struct sx_objstore_stat *out,
                struct sx_err *err);
    /* Direct children of a prefix (which ends in '/' or is empty), in any order. sink returns
     * non-zero to stop. `st` may lack everything but size and bytes. */
    int (*list)(void *self,
                void *store,
                struct sx_str prefix,
                const uint32_t *cancel,
                int (*sink)(void *arg, struct sx_str name, const struct sx_objstore_stat *st),
                void *arg,
                struct sx_err *err);
    /* SX_ENOTFOUND when there is none. Works on a full disk. */
    int (*remove)(
        void *self, void *store, struct sx_str name, const uint32_t *cancel, struct sx_err *err);
    /* [LOCAL] borrowed until close: an absolute path that may be opened for reading, so that a
     * download is sent from the file. SX_EUNSUPPORTED for names that are no single file. */
    int (*local_path)(
        void *self, void *store, struct sx_str name, struct sx_buf *out, struct sx_err *err);
};

#ifdef __cplusplus
}
#endif
#endif
