/* The descriptor: what a module says about itself before any of its code runs.
 *
 * A module is one const object, found by name in a shared file (`<name>_LTX_sx_plugin`) or in the
 * generated table of built-ins; from there on both walk the same code. No constructors, no imports
 * from the server, one exported symbol. Everything a module needs from the host it asks for by name
 * in load(); everything it offers stands in provides[].
 *
 * ABI changes (append here, newest first)
 *   1.0  first version */
#ifndef SX_PLUGIN_H
#define SX_PLUGIN_H

#include "sextant/sx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_ABI_MAJOR    1
#define SX_ABI_MINOR    0
#define SX_PLUGIN_MAGIC 0x315458455358ULL /* "SXEXT1" */

enum {
    SX_KIND_DISTANCE = 1,
    SX_KIND_QUANTIZER = 2,
    SX_KIND_INDEX = 3,
    SX_KIND_ROWS = 4,
    SX_KIND_BLOBS = 5,
    SX_KIND_OBJSTORE = 6,
    SX_KIND_ENGINE = 7,
    SX_KIND_TRANSPORT = 8,
    SX_KIND_WEB = 9,
    SX_KIND_AUTH = 10,
    SX_KIND_EXPORTER = 11,
    SX_KIND_TOKENIZER = 12,
    SX_KIND_CONSENSUS = 13,
    SX_KIND_MAX = 14
};

/* One offer: "I am the <kind> called <name>". ops is the kind's size-first table. The capability
 * bits are those of the kind's header; registration checks each bit against its callbacks. */
struct sx_provide {
    uint32_t size, kind, iface_version;
    int32_t priority; /* of two providers of one name the higher wins, a tie is an error */
    const char *name;
    uint64_t caps;
    const void *ops;
};

enum { SX_NEED_SOFT = 0, SX_NEED_HARD = 1 };

struct sx_need {
    uint32_t size, kind, min_iface, strength;
    const char *name; /* "*" = at least one of the kind */
};

/* Configuration. The host parses, checks and fills the module's conf struct from this table; the
 * module never sees the tree. A path that contains a dot is a key of the server's own tree
 * ("service.http_port"); a path without one is a key of the module's section
 * (plugins.<name>.<key>). */
enum {
    SX_KEY_STR = 1,  /* const char *, NULL = unset */
    SX_KEY_U64 = 2,  /* uint64_t */
    SX_KEY_I64 = 3,  /* int64_t */
    SX_KEY_F64 = 4,  /* double */
    SX_KEY_BOOL = 5, /* uint32_t 0/1 */
    SX_KEY_TREE = 6, /* struct sx_doc: the whole subtree, p NULL = absent */
    SX_KEY_LIST = 7  /* const char *const *, NULL-terminated list of strings, NULL = unset */
};
#define SX_KEY_SECRET     1u /* printed as *** */
#define SX_KEY_RELOADABLE 2u /* may change on SIGHUP */
#define SX_KEY_OPTIONAL   4u /* may be null; numbers and bools then hold SX_KEY_UNSET (all ones) */
#define SX_KEY_UNSET      UINT64_MAX

struct sx_key {
    uint32_t size, type, flags, offset; /* offset into the conf struct */
    const char *path;
    const char *def; /* text of the default as YAML would write it, NULL = unset */
    double min, max; /* numbers only, min > max = no range */
    const char *help;
};

struct sx_host;
struct sx_loop;

#define SX_PLUGIN_STRICT    1u /* shares libevent types or sx_op.h: needs the exact build id */
#define SX_PLUGIN_TEST_ONLY 2u /* refused unless the configuration allows test modules */

struct sx_plugin {
    /* The first 16 bytes never change, in any version. */
    uint32_t size;
    uint16_t abi_major, abi_minor;
    uint64_t magic;

    uint32_t flags, pad;
    const char *name; /* "<kind>-<name>", also the file's name */
    const char *version, *licence, *build_id, *summary;
    const char *section; /* points at the module's .sx_plugin text, which keeps the linker from
                            dropping it */

    const struct sx_provide *provides;
    uint32_t n_provides, provide_size; /* provide_size: stride, sizeof(struct sx_provide) */
    const struct sx_need *needs;
    uint32_t n_needs, need_size;
    const struct sx_key *keys;
    uint32_t n_keys, key_size;
    uint32_t conf_size, instance_size, thread_size, pad2;

    /* Lifecycle; `self` is instance_size bytes, zeroed, cache-line aligned, owned by the host.
     *
     * load         [M] check host services; no I/O, no threads. `host` stays valid for ever.
     * configure    [M] pure validation, also for --check; conf stays valid until replaced by
     *              reload or stop.
     * start        [M] open files and sockets; the providers are usable after it returned.
     * thread_start [L, W] once per loop (loop set) and pool thread (loop NULL); th zeroed.
     * thread_stop  [L, W] may not fail.
     * reload       [M] all or nothing; a refusal keeps the old conf.
     * drain        [M] stop taking work, return when idle or at the deadline (monotonic ns).
     * stop         [M] release everything there is; in reverse order, for every module whose
     *              configure() succeeded, even if its start() failed or was never called. */
    int (*load)(const struct sx_host *host, void *self, struct sx_err *err);
    int (*configure)(void *self, const void *conf, struct sx_err *err);
    int (*start)(void *self, struct sx_err *err);
    int (*thread_start)(void *self, void *th, struct sx_loop *loop, struct sx_err *err);
    void (*thread_stop)(void *self, void *th);
    int (*reload)(void *self, const void *conf, struct sx_err *err);
    void (*drain)(void *self, uint64_t deadline_ns);
    void (*stop)(void *self);
};

#ifndef SX_BUILD_ID
#define SX_BUILD_ID "unknown"
#endif

/* SX_PLUGIN(index_mine, "index-mine kinds=index abi=1.0") = { SX_PLUGIN_HEAD, .name = ... };
 * The text goes into section .sx_plugin, so that tools read it without running the file. */
#define SX_PLUGIN(ident, text)                                                                     \
    __attribute__((section(".sx_plugin"), used)) static const char ident##_section[] = text;       \
    extern __attribute__((visibility("default"))) const struct sx_plugin ident##_LTX_sx_plugin;    \
    const struct sx_plugin ident##_LTX_sx_plugin
#define SX_PLUGIN_HEAD(ident)                                                                      \
    .size = (uint32_t)sizeof(struct sx_plugin), .abi_major = SX_ABI_MAJOR,                         \
    .abi_minor = SX_ABI_MINOR, .magic = SX_PLUGIN_MAGIC, .build_id = SX_BUILD_ID,                  \
    .section = ident##_section, .provide_size = (uint32_t)sizeof(struct sx_provide),               \
    .need_size = (uint32_t)sizeof(struct sx_need), .key_size = (uint32_t)sizeof(struct sx_key)

#ifdef __cplusplus
}
#endif
#endif
