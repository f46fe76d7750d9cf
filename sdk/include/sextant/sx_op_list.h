/* The one table of operations. Router, 501 list, authorisation, counters, audit and telemetry read
 * it; a new operation is one line here and one function in the engine.
 *
 * X(code, REST method, REST path, gRPC "service/Method" or "", class, body)
 *   class  SERVICE (no data: identity, health), READ, WRITE, MANAGE
 *   body   NONE, JSON, STREAM (multipart or raw upload) */
#ifndef SX_OP_LIST_H
#define SX_OP_LIST_H

#include "sextant/sx_base.h"

#define SX_OP_LIST(X)                                                                              \
    X(ROOT, "GET", "/", "qdrant.Qdrant/HealthCheck", SERVICE, NONE)                                \
    X(HEALTHZ, "GET", "/healthz", "grpc.health.v1.Health/Check", SERVICE, NONE)                    \
    X(LIVEZ, "GET", "/livez", "", SERVICE, NONE)                                                   \
    X(READYZ, "GET", "/readyz", "", SERVICE, NONE)                                                 \
    X(TELEMETRY, "GET", "/telemetry", "", READ, NONE)                                              \
    X(METRICS, "GET", "/metrics", "", READ, NONE)                                                  \
    X(STACKTRACE, "GET", "/stacktrace", "", MANAGE, NONE)                                          \
    X(LOCKS_GET, "GET", "/locks", "", READ, NONE)                                                  \
    X(LOCKS_SET, "POST", "/locks", "", MANAGE, JSON)                                               \
    X(LOGGER_GET, "GET", "/logger", "", READ, NONE)                                                \
    X(LOGGER_SET, "POST", "/logger", "", MANAGE, JSON)                                             \
    X(DEBUGGER_GET, "GET", "/debugger", "", MANAGE, NONE)                                          \
    X(DEBUGGER_SET, "PATCH", "/debugger", "", MANAGE, JSON)                                        \
    X(SLOW_REQUESTS, "GET", "/profiler/slow_requests", "", MANAGE, NONE)                           \
    X(AUDIT_LOGS, "POST", "/audit/logs", "", MANAGE, JSON)                                         \
    X(ISSUES_GET, "GET", "/issues", "", READ, NONE)                                                \
    X(ISSUES_CLEAR, "DELETE", "/issues", "", MANAGE, NONE)                                         \
    X(QUOTAS_GET, "GET", "/quotas", "", READ, NONE)                                                \
    X(QUOTAS_SET, "PUT", "/quotas", "", MANAGE, JSON)                                              \
    X(CLUSTER_STATUS, "GET", "/cluster", "", READ, NONE)                                           \
    X(CLUSTER_TELEMETRY, "GET", "/cluster/telemetry", "", READ, NONE)                              \
    X(CLUSTER_RECOVER, "POST", "/cluster/recover", "", MANAGE, NONE)                               \
    X(CLUSTER_PEER_REMOVE, "DELETE", "/cluster/peer/{peer_id}", "", MANAGE, NONE)                  \
    X(CLUSTER_KEYS_GET, "GET", "/cluster/metadata/keys", "", READ, NONE)                           \
    X(CLUSTER_KEY_GET, "GET", "/cluster/metadata/keys/{key}", "", READ, NONE)                      \
    X(CLUSTER_KEY_SET, "PUT", "/cluster/metadata/keys/{key}", "", MANAGE, JSON)                    \
    X(CLUSTER_KEY_DELETE, "DELETE", "/cluster/metadata/keys/{key}", "", MANAGE, NONE)              \
    X(ALIASES_LIST, "GET", "/aliases", "qdrant.Collections/ListAliases", READ, NONE)               \
    X(ALIASES_UPDATE, "POST", "/collections/aliases", "qdrant.Collections/UpdateAliases", MANAGE,  \
      JSON)                                                                                        \
    X(COLLECTIONS_LIST, "GET", "/collections", "qdrant.Collections/List", READ, NONE)              \
    X(COLLECTION_GET, "GET", "/collections/{collection}", "qdrant.Collections/Get", READ, NONE)    \
    X(COLLECTION_CREATE, "PUT", "/collections/{collection}", "qdrant.Collections/Create", MANAGE,  \
      JSON)                                                                                        \
    X(COLLECTION_UPDATE, "PATCH", "/collections/{collection}", "qdrant.Collections/Update",        \
      MANAGE, JSON)                                                                                \
    X(COLLECTION_DELETE, "DELETE", "/collections/{collection}", "qdrant.Collections/Delete",       \
      MANAGE, NONE)                                                                                \
    X(COLLECTION_EXISTS, "GET", "/collections/{collection}/exists",                                \
      "qdrant.Collections/CollectionExists", READ, NONE)                                           \
    X(COLLECTION_ALIASES, "GET", "/collections/{collection}/aliases",                              \
      "qdrant.Collections/ListCollectionAliases", READ, NONE)                                      \
    X(COLLECTION_CLUSTER_GET, "GET", "/collections/{collection}/cluster",                          \
      "qdrant.Collections/CollectionClusterInfo", READ, NONE)                                      \
    X(COLLECTION_CLUSTER_SET, "POST", "/collections/{collection}/cluster",                         \
      "qdrant.Collections/UpdateCollectionClusterSetup", MANAGE, JSON)                             \
    X(COLLECTION_OPTIMIZATIONS, "GET", "/collections/{collection}/optimizations", "", READ, NONE)  \
    X(COLLECTION_MEMORY, "GET", "/collections/{collection}/memory", "", READ, NONE)                \
    X(COLLECTION_TRUNCATE_LOG, "POST", "/collections/{collection}/truncate_unapplied_wal", "",     \
      MANAGE, NONE)                                                                                \
    X(SHARD_KEYS_LIST, "GET", "/collections/{collection}/shards",                                  \
      "qdrant.Collections/ListShardKeys", READ, NONE)                                              \
    X(SHARD_KEY_CREATE, "PUT", "/collections/{collection}/shards",                                 \
      "qdrant.Collections/CreateShardKey", MANAGE, JSON)                                           \
    X(SHARD_KEY_DELETE, "POST", "/collections/{collection}/shards/delete",                         \
      "qdrant.Collections/DeleteShardKey", MANAGE, JSON)                                           \
    X(INDEX_CREATE, "PUT", "/collections/{collection}/index", "qdrant.Points/CreateFieldIndex",    \
      WRITE, JSON)                                                                                 \
    X(INDEX_DELETE, "DELETE", "/collections/{collection}/index/{field}",                           \
      "qdrant.Points/DeleteFieldIndex", WRITE, NONE)                                               \
    X(VECTOR_NAME_CREATE, "PUT", "/collections/{collection}/vectors/{vector}",                     \
      "qdrant.Points/CreateVectorName", WRITE, JSON)                                               \
    X(VECTOR_NAME_DELETE, "DELETE", "/collections/{collection}/vectors/{vector}",                  \
      "qdrant.Points/DeleteVectorName", WRITE, NONE)                                               \
    X(POINT_GET, "GET", "/collections/{collection}/points/{id}", "", READ, NONE)                   \
    X(POINTS_GET, "POST", "/collections/{collection}/points", "qdrant.Points/Get", READ, JSON)     \
    X(POINTS_UPSERT, "PUT", "/collections/{collection}/points", "qdrant.Points/Upsert", WRITE,     \
      JSON)                                                                                        \
    X(POINTS_DELETE, "POST", "/collections/{collection}/points/delete", "qdrant.Points/Delete",    \
      WRITE, JSON)                                                                                 \
    X(VECTORS_UPDATE, "PUT", "/collections/{collection}/points/vectors",                           \
      "qdrant.Points/UpdateVectors", WRITE, JSON)                                                  \
    X(VECTORS_DELETE, "POST", "/collections/{collection}/points/vectors/delete",                   \
      "qdrant.Points/DeleteVectors", WRITE, JSON)                                                  \
    X(PAYLOAD_SET, "POST", "/collections/{collection}/points/payload", "qdrant.Points/SetPayload", \
      WRITE, JSON)                                                                                 \
    X(PAYLOAD_OVERWRITE, "PUT", "/collections/{collection}/points/payload",                        \
      "qdrant.Points/OverwritePayload", WRITE, JSON)                                               \
    X(PAYLOAD_DELETE, "POST", "/collections/{collection}/points/payload/delete",                   \
      "qdrant.Points/DeletePayload", WRITE, JSON)                                                  \
    X(PAYLOAD_CLEAR, "POST", "/collections/{collection}/points/payload/clear",                     \
      "qdrant.Points/ClearPayload", WRITE, JSON)                                                   \
    X(POINTS_BATCH, "POST", "/collections/{collection}/points/batch", "qdrant.Points/UpdateBatch", \
      WRITE, JSON)                                                                                 \
    X(SCROLL, "POST", "/collections/{collection}/points/scroll", "qdrant.Points/Scroll", READ,     \
      JSON)                                                                                        \
    X(COUNT, "POST", "/collections/{collection}/points/count", "qdrant.Points/Count", READ, JSON)  \
    X(FACET, "POST", "/collections/{collection}/facet", "qdrant.Points/Facet", READ, JSON)         \
    X(QUERY, "POST", "/collections/{collection}/points/query", "qdrant.Points/Query", READ, JSON)  \
    X(QUERY_BATCH, "POST", "/collections/{collection}/points/query/batch",                         \
      "qdrant.Points/QueryBatch", READ, JSON)                                                      \
    X(QUERY_GROUPS, "POST", "/collections/{collection}/points/query/groups",                       \
      "qdrant.Points/QueryGroups", READ, JSON)                                                     \
    X(SEARCH, "POST", "/collections/{collection}/points/search", "qdrant.Points/Search", READ,     \
      JSON)                                                                                        \
    X(SEARCH_BATCH, "POST", "/collections/{collection}/points/search/batch",                       \
      "qdrant.Points/SearchBatch", READ, JSON)                                                     \
    X(SEARCH_GROUPS, "POST", "/collections/{collection}/points/search/groups",                     \
      "qdrant.Points/SearchGroups", READ, JSON)                                                    \
    X(RECOMMEND, "POST", "/collections/{collection}/points/recommend", "qdrant.Points/Recommend",  \
      READ, JSON)                                                                                  \
    X(RECOMMEND_BATCH, "POST", "/collections/{collection}/points/recommend/batch",                 \
      "qdrant.Points/RecommendBatch", READ, JSON)                                                  \
    X(RECOMMEND_GROUPS, "POST", "/collections/{collection}/points/recommend/groups",               \
      "qdrant.Points/RecommendGroups", READ, JSON)                                                 \
    X(DISCOVER, "POST", "/collections/{collection}/points/discover", "qdrant.Points/Discover",     \
      READ, JSON)                                                                                  \
    X(DISCOVER_BATCH, "POST", "/collections/{collection}/points/discover/batch",                   \
      "qdrant.Points/DiscoverBatch", READ, JSON)                                                   \
    X(MATRIX_PAIRS, "POST", "/collections/{collection}/points/search/matrix/pairs",                \
      "qdrant.Points/SearchMatrixPairs", READ, JSON)                                               \
    X(MATRIX_OFFSETS, "POST", "/collections/{collection}/points/search/matrix/offsets",            \
      "qdrant.Points/SearchMatrixOffsets", READ, JSON)                                             \
    X(SNAPSHOTS_LIST, "GET", "/collections/{collection}/snapshots", "qdrant.Snapshots/List", READ, \
      NONE)                                                                                        \
    X(SNAPSHOT_CREATE, "POST", "/collections/{collection}/snapshots", "qdrant.Snapshots/Create",   \
      WRITE, NONE)                                                                                 \
    X(SNAPSHOT_GET, "GET", "/collections/{collection}/snapshots/{snapshot}", "", READ, NONE)       \
    X(SNAPSHOT_DELETE, "DELETE", "/collections/{collection}/snapshots/{snapshot}",                 \
      "qdrant.Snapshots/Delete", WRITE, NONE)                                                      \
    X(SNAPSHOT_UPLOAD, "POST", "/collections/{collection}/snapshots/upload", "", MANAGE, STREAM)   \
    X(SNAPSHOT_RECOVER, "PUT", "/collections/{collection}/snapshots/recover", "", MANAGE, JSON)    \
    X(FULL_SNAPSHOTS_LIST, "GET", "/snapshots", "qdrant.Snapshots/ListFull", READ, NONE)           \
    X(FULL_SNAPSHOT_CREATE, "POST", "/snapshots", "qdrant.Snapshots/CreateFull", MANAGE, NONE)     \
    X(FULL_SNAPSHOT_GET, "GET", "/snapshots/{snapshot}", "", READ, NONE)                           \
    X(FULL_SNAPSHOT_DELETE, "DELETE", "/snapshots/{snapshot}", "qdrant.Snapshots/DeleteFull",      \
      MANAGE, NONE)                                                                                \
    X(SHARD_SNAPSHOT_STREAM, "GET", "/collections/{collection}/shards/{shard}/snapshot", "",       \
      WRITE, NONE)                                                                                 \
    X(SHARD_SNAPSHOTS_LIST, "GET", "/collections/{collection}/shards/{shard}/snapshots", "", READ, \
      NONE)                                                                                        \
    X(SHARD_SNAPSHOT_CREATE, "POST", "/collections/{collection}/shards/{shard}/snapshots", "",     \
      WRITE, NONE)                                                                                 \
    X(SHARD_SNAPSHOT_GET, "GET", "/collections/{collection}/shards/{shard}/snapshots/{snapshot}",  \
      "", READ, NONE)                                                                              \
    X(SHARD_SNAPSHOT_DELETE, "DELETE",                                                             \
      "/collections/{collection}/shards/{shard}/snapshots/{snapshot}", "", WRITE, NONE)            \
    X(SHARD_SNAPSHOT_UPLOAD, "POST", "/collections/{collection}/shards/{shard}/snapshots/upload",  \
      "", MANAGE, STREAM)                                                                          \
    X(SHARD_SNAPSHOT_RECOVER, "PUT", "/collections/{collection}/shards/{shard}/snapshots/recover", \
      "", MANAGE, JSON)                                                                            \
    X(SHARD_PARTIAL_CREATE, "POST",                                                                \
      "/collections/{collection}/shards/{shard}/snapshot/partial/create", "", WRITE, JSON)         \
    X(SHARD_PARTIAL_RECOVER, "POST",                                                               \
      "/collections/{collection}/shards/{shard}/snapshot/partial/recover", "", MANAGE, STREAM)     \
    X(SHARD_PARTIAL_MANIFEST, "GET",                                                               \
      "/collections/{collection}/shards/{shard}/snapshot/partial/manifest", "", READ, NONE)        \
    X(SHARD_PARTIAL_RECOVER_FROM, "POST",                                                          \
      "/collections/{collection}/shards/{shard}/snapshot/partial/recover_from", "", MANAGE, JSON)  \
    X(EXPLAIN, "POST", "/sextant/collections/{collection}/explain", "", READ, JSON)

enum {
#define SX_X(code, method, path, grpc, cls, body) SX_OP_##code,
    SX_OP_LIST(SX_X)
#undef SX_X
        SX_OP__N
};

enum { SX_OPC_SERVICE = 0, SX_OPC_READ = 1, SX_OPC_WRITE = 2, SX_OPC_MANAGE = 3 };
enum { SX_OPB_NONE = 0, SX_OPB_JSON = 1, SX_OPB_STREAM = 2 };

struct sx_op_info {
    const char *name, *method, *path, *grpc;
    uint32_t cls, body;
};
/* sdk/lib: the table as data, indexed by code. */
extern const struct sx_op_info sx_op_table[SX_OP__N];

#endif
