/* An operation on its way from a transport through auth to the engine, and the reply on its way
 * back. Strict level until 1.0: shared by modules of one build only.
 *
 * Ownership. The transport owns op, arena and everything reachable from them until done() has
 * returned. done() is called exactly once, on the loop that submitted, possibly before submit()
 * returns. The reply and what it points to is valid during done() only; most of it lies in the op's
 * arena.
 *
 * Who checks what: the transport checks the form of a body (types, required fields, ranges),
 * because only it knows lines and paths; the engine checks its meaning (names, dimensions,
 * existence). */
#ifndef SX_OP_H
#define SX_OP_H

#include "sextant/sx_filter.h"
#include "sextant/sx_op_list.h"
#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- arguments ---------------------------------------------------------------------------------
 */

enum {
    SX_VEC_DENSE = 1,  /* data[dim] */
    SX_VEC_MULTI = 2,  /* data[rows * dim] */
    SX_VEC_SPARSE = 3, /* data[dim], indices[dim], ascending by index, unique */
    SX_VEC_ID = 4,     /* queries only: the vector of an existing point */
    SX_VEC_INFER = 5   /* to be embedded before the operation goes on: infer */
};
enum { SX_INFER_TEXT = 1, SX_INFER_IMAGE = 2, SX_INFER_OBJECT = 3 };
struct sx_infer {
    uint32_t kind, pad;
    struct sx_str model;
    struct sx_doc data;    /* TEXT: a string */
    struct sx_doc options; /* object; p NULL = none */
};
struct sx_vec_in {
    struct sx_str name; /* "" = the unnamed vector */
    uint32_t kind, dim, rows, pad;
    const float *data; /* 16-aligned, 64 from 64 bytes on */
    const uint32_t *indices;
    struct sx_id id;
    const struct sx_infer *infer;
};

struct sx_point_in {
    struct sx_id id;
    uint32_t n_vectors, pad;
    const struct sx_vec_in *vectors;
    struct sx_doc payload; /* object; p NULL = none */
};

enum { SX_SEL_NONE = 0, SX_SEL_ALL = 1, SX_SEL_INCLUDE = 2, SX_SEL_EXCLUDE = 3 };
/* Selection of payload paths (INCLUDE, EXCLUDE; texts of valid paths) or of vector names (INCLUDE).
 */
struct sx_selector {
    uint32_t mode, n;
    const struct sx_str *names;
};

/* shard_key of a request. */
enum { SX_SHARDS_ALL = 0, SX_SHARDS_KEYS = 1, SX_SHARDS_FALLBACK = 2 };
struct sx_shard_key {
    struct sx_str text; /* p NULL = a number */
    uint64_t num;
};
struct sx_shards {
    uint32_t mode, n; /* FALLBACK: keys[0] is the target, keys[1] the fallback */
    const struct sx_shard_key *keys;
};

/* Which points an operation touches. Both may be given: see the operation. */
struct sx_points {
    uint32_t has_ids, n;
    const struct sx_id *ids;
    const struct sx_filter *filter; /* NULL = none */
};

enum { SX_UPSERT = 0, SX_INSERT_ONLY = 1, SX_UPDATE_ONLY = 2 };
struct sx_args_upsert { /* POINTS_UPSERT, VECTORS_UPDATE (points without payload) */
    uint32_t n, mode;
    const struct sx_point_in *points;
    const struct sx_filter *update_filter; /* NULL = none */
    struct sx_shards shards;
};
struct sx_args_ids { /* POINT_GET (one), POINTS_GET */
    uint32_t n, pad;
    const struct sx_id *ids;
    struct sx_selector payload, vectors;
    struct sx_shards shards;
};
struct sx_args_points { /* POINTS_DELETE, PAYLOAD_CLEAR: ids win over the filter */
    struct sx_points points;
    struct sx_shards shards;
};
struct sx_args_payload { /* PAYLOAD_SET, PAYLOAD_OVERWRITE, PAYLOAD_DELETE: ids win */
    struct sx_points points;
    struct sx_doc payload;      /* SET, OVERWRITE: an object */
    struct sx_path key;         /* SET: where to merge; n 0 = at the top */
    const struct sx_path *keys; /* DELETE */
    uint32_t n_keys, pad;
    struct sx_shards shards;
};
struct sx_args_vectors_delete { /* VECTORS_DELETE: both given = two operations, filter first */
    struct sx_points points;
    const struct sx_str *names;
    uint32_t n_names, pad;
    struct sx_shards shards;
};
/* One element of POINTS_BATCH: an operation code and its args as above. */
struct sx_batch_item {
    uint32_t code, pad;
    const void *args;
};
struct sx_args_batch { /* POINTS_BATCH */
    uint32_t n, pad;
    const struct sx_batch_item *items;
};

enum { SX_START_NONE = 0, SX_START_INT, SX_START_FLOAT, SX_START_TIME };
struct sx_order_by {
    struct sx_path key;
    uint32_t is_desc, start; /* start: SX_START_* */
    int64_t i;
    double f;
    struct sx_instant t;
};
struct sx_args_scroll { /* SCROLL */
    uint64_t limit;
    struct sx_id offset;
    uint32_t has_offset, pad;
    struct sx_selector payload, vectors;
    const struct sx_filter *filter;     /* NULL = none */
    const struct sx_order_by *order_by; /* NULL = by id */
    struct sx_shards shards;
};
struct sx_args_count { /* COUNT */
    uint32_t exact, pad;
    const struct sx_filter *filter;
    struct sx_shards shards;
};
struct sx_args_facet { /* FACET */
    struct sx_path key;
    uint64_t limit;
    uint32_t exact, pad;
    const struct sx_filter *filter;
    struct sx_shards shards;
};
struct sx_args_field { /* INDEX_CREATE, INDEX_DELETE */
    struct sx_path field;
    struct sx_doc schema; /* CREATE: {"type": name, params as they are to be echoed}; p NULL = not
                             given. `bare`: it was given as a name alone */
    uint32_t bare, pad;
};

enum { SX_Q_SCROLL = 0, SX_Q_NEAREST = 1 }; /* no query: ascending id */
struct sx_query {
    uint32_t kind, flags;
    struct sx_str using_name; /* "" = the unnamed vector */
    struct sx_vec_in vector;  /* NEAREST */
    uint64_t limit, offset;
    float score_threshold;
    uint32_t has_threshold;
    uint32_t exact, indexed_only;
    uint64_t hnsw_ef; /* 0 = default */
    struct sx_selector payload, vectors;
    struct sx_str lookup_collection; /* p NULL = none; lookup_from */
    struct sx_str lookup_vector;     /* p NULL = using_name */
    const struct sx_filter *filter;  /* NULL = none */
    struct sx_shards shards;
};
struct sx_args_query { /* QUERY, SEARCH (n = 1), QUERY_BATCH, SEARCH_BATCH */
    uint32_t n, pad;
    const struct sx_query *queries;
};

/* --- the operation -----------------------------------------------------------------------------
 */

struct sx_identity;
struct sx_reply;
struct sx_stream;

#define SX_OP_WAIT     1u /* flags: wait=true */
#define SX_OP_INTERNAL 2u /* submitted by the server itself: no authorisation, not counted */

struct sx_op {
    uint32_t size, code, flags, ordering; /* ordering 0 weak, 1 medium, 2 strong */
    struct sx_arena *arena;
    const struct sx_identity *identity; /* NULL = no authentication configured */
    uint64_t start_ns, deadline_ns;     /* monotonic; deadline 0 = none */
    uint64_t timeout_ms;                /* as asked, 0 = not given */
    uint32_t cancelled;                 /* relaxed atomic, set by sx.req.cancel */
    uint32_t consistency;               /* 0 default, n replicas, or SX_CONSISTENCY_* */
    struct sx_str collection;           /* as in the path, decoded; may be an alias */
    struct sx_str name;                 /* second path parameter: field, vector, snapshot, ... */
    struct sx_doc body;       /* cold bodies: canonical names, checked form; may be absent */
    const void *args;         /* hot bodies: struct sx_args_* */
    struct sx_stream *stream; /* STREAM bodies, else NULL */
    struct sx_loop *loop;     /* where done() runs */
    void (*done)(struct sx_op *op, const struct sx_reply *reply);
    void *arg;           /* the transport's */
    struct sx_task task; /* for whoever holds the op: kernel before submit, engine after */
    void *held;          /* the engine's */
};
enum { SX_CONSISTENCY_MAJORITY = 0xfffffffdu, SX_CONSISTENCY_QUORUM, SX_CONSISTENCY_ALL };

/* --- the reply ---------------------------------------------------------------------------------
 */

enum {
    SX_R_NONE = 0,
    SX_R_BOOL,    /* u.boolean */
    SX_R_DOC,     /* u.doc: the JSON of "result" */
    SX_R_UPDATE,  /* u.update */
    SX_R_RECORD,  /* u.records[0] */
    SX_R_RECORDS, /* u.records */
    SX_R_SCROLL,  /* u.records and next */
    SX_R_COUNT,   /* u.count */
    SX_R_SCORED,  /* u.lists[0] */
    SX_R_BATCH,   /* u.lists: one per query */
    SX_R_UPDATES, /* u.updates: one per element of a batch */
    SX_R_FACET,   /* u.facet */
    SX_R_TEXT     /* u.text: bare text body (metrics, health) with u.text_type */
};

struct sx_vec_out {
    struct sx_str name;
    uint32_t kind, dim, rows, pad;
    const float *data;
    const uint32_t *indices;
};
#define SX_REC_PAYLOAD 1u /* payload was asked for: print it, absent = {} */
#define SX_REC_VECTORS 2u
#define SX_REC_ORDER_I 4u /* order_value is i */
#define SX_REC_ORDER_F 8u
struct sx_record {
    struct sx_id id;
    uint64_t version;
    float score;
    uint32_t flags, n_vectors, pad;
    union {
        int64_t i;
        double f;
    } order;
    struct sx_doc payload; /* already reduced to the selection */
    const struct sx_vec_out *vectors;
};
struct sx_record_list {
    uint32_t n, pad;
    const struct sx_record *records;
};
enum { SX_FACET_STR = 1, SX_FACET_INT, SX_FACET_BOOL, SX_FACET_UUID };
struct sx_facet_hit {
    uint32_t kind, pad;
    struct sx_str str; /* STR */
    int64_t i;         /* INT; BOOL: 0 or 1 */
    struct sx_id uuid; /* UUID */
    uint64_t count;
};
struct sx_update {
    uint64_t op_id; /* 0 = unknown */
    uint32_t status, pad;
};
enum { SX_UPDATE_ACKNOWLEDGED = 1, SX_UPDATE_COMPLETED = 2, SX_UPDATE_WAIT_TIMEOUT = 4 };

struct sx_reply {
    uint32_t size;
    int32_t code; /* SX_OK or SX_E* */
    uint32_t kind, flags;
    struct sx_str err;      /* text without the class prefix, when code is not SX_OK */
    uint32_t retry_after_s; /* 0 = none */
    uint32_t pad;
    union {
        uint32_t boolean;
        uint64_t count;
        struct sx_doc doc;
        struct sx_update update;
        struct {
            const struct sx_update *list;
            uint32_t n, pad;
        } updates;
        struct {
            const struct sx_facet_hit *hits;
            uint32_t n, pad;
        } facet;
        struct {
            struct sx_record_list list;
            struct sx_id next;
            uint32_t has_next, pad;
        } records;
        struct {
            const struct sx_record_list *lists;
            uint32_t n, pad;
        } scored;
        struct {
            struct sx_str body;
            const char *type;
        } text;
    } u;
};

/* --- kind engine -------------------------------------------------------------------------------
 */

#define SX_ENGINE_IFACE 0u /* strict level */

/* One (collection, need) an operation touches. */
struct sx_access {
    struct sx_str collection; /* p NULL = the whole server */
    uint32_t need;            /* SX_OPC_* */
    uint32_t pad;
};
struct sx_access_sink {
    void (*add)(struct sx_access_sink *s, const struct sx_access *a);
    void *arg;
};
struct sx_engine_ops {
    uint32_t size, pad;
    /* [L, no I/O] every collection the operation touches, batches and lookups included. */
    void (*access)(void *self, const struct sx_op *op, struct sx_access_sink *sink);
    /* [L] done, queued, or SX_EAGAIN (nothing happened, done will not be called). */
    int (*submit)(void *self, struct sx_op *op);
    /* [L] the client went away: done still comes, soon. */
    void (*cancel)(void *self, struct sx_op *op);
    /* [A] 1 when the operation is served (else the transport answers 501). */
    int (*serves)(void *self, uint32_t code);
    /* [A] 1 when the node may take traffic. */
    int (*ready)(void *self);
};

/* --- kind auth ---------------------------------------------------------------------------------
 */

#define SX_AUTH_IFACE 1u
enum { SX_AUTH_ALLOW = 1, SX_AUTH_DENY = 2, SX_AUTH_PASS = 3 };
struct sx_credential {
    uint32_t size, scheme; /* SX_CRED_* */
    struct sx_str value;   /* key or token; p NULL = none presented */
    struct sx_str peer;    /* address text */
};
enum { SX_CRED_NONE = 0, SX_CRED_API_KEY = 1, SX_CRED_BEARER = 2 };

/* Who asks. Immutable, refcounted by its owner; the server only borrows and releases. */
struct sx_identity {
    uint32_t size, pad;
    void *auth_self;
    const struct sx_auth_ops *ops;
    void *priv;
};
struct sx_auth_ops {
    uint32_t size, pad;
    /* [A] 1 when this module demands credentials with its present configuration. */
    int (*required)(void *self);
    /* [L, no I/O] verdict SX_AUTH_*; on ALLOW *out is an owned reference; on DENY err carries
     * SX_EUNAUTH or SX_EFORBIDDEN and the bare text for the client. */
    int (*authenticate)(void *self,
                        const struct sx_credential *c,
                        const struct sx_identity **out,
                        struct sx_err *err);
    /* [L, no I/O] 0 or SX_EFORBIDDEN with the text ("Global read access is required", ...). */
    int (*authorize)(void *self,
                     const struct sx_identity *id,
                     const struct sx_op *op,
                     const struct sx_access *access,
                     uint32_t n,
                     struct sx_err *err);
    void (*release)(void *self, const struct sx_identity *id); /* [A] */
};

/* --- kind transport, web, exporter -------------------------------------------------------------
 */

#define SX_TRANSPORT_IFACE 0u
struct sx_transport_ops {
    uint32_t size, pad;
    /* [L] opens this thread's listening sockets (SO_REUSEPORT). Called once on every loop after
     * everything has started; the first loop's failure is the server's. */
    int (*listen)(void *self, void *th, struct sx_loop *loop, struct sx_err *err);
    void (*stop_accepting)(void *self, void *th); /* [L] */
    uint32_t (*open_requests)(void *self);        /* [A] requests not answered yet */
};

#define SX_WEB_IFACE 1u
struct sx_web_request {
    uint32_t size, pad;
    struct sx_str path, query; /* path below the mount, normalised, undecoded */
    struct sx_arena *arena;
};
struct sx_web_reply {
    uint32_t size, status; /* HTTP */
    const char *type;
    struct sx_buf *body;   /* the transport's, to be filled */
    struct sx_str headers; /* extra "Name: value\r\n" lines */
};
struct sx_web_ops {
    uint32_t size, pad;
    /* [M] path prefix ("/metrics") of the i-th mount and whether it is public; 0 past the end. */
    int (*mount)(void *self, uint32_t i, const char **prefix, uint32_t *is_public);
    int (*serve)(void *self, const struct sx_web_request *rq, struct sx_web_reply *reply); /* [L] */
};

#define SX_EXPORTER_IFACE 1u
struct sx_exporter_ops {
    uint32_t size, pad;
    /* [W] all samples in the exporter's format. query: the raw query string. */
    int (*render)(void *self, struct sx_str query, struct sx_buf *out, struct sx_err *err);
    const char *(*content_type)(void *self);
};

/* --- sx.req: what stands between transports and the engine --------------------------------------
 */

struct sx_req {
    uint32_t size, pad;
    /* [L] 0 and *out (NULL when no module demands credentials; release it), or SX_EUNAUTH /
     * SX_EFORBIDDEN with the bare text. */
    int (*authenticate)(const struct sx_credential *c,
                        const struct sx_identity **out,
                        struct sx_err *err);
    void (*release)(const struct sx_identity *id);
    /* [L] authorises, counts, sets deadlines, hands to the engine. done() is always called exactly
     * once, also for refusals. */
    void (*submit)(struct sx_op *op);
    void (*cancel)(struct sx_op *op); /* [L] */
    int (*serves)(uint32_t code);     /* [A] */
    int (*ready)(void);               /* [A] */
};

#ifdef __cplusplus
}
#endif
#endif
