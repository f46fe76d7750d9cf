/* Bodies that create and change collections and named vectors, aliases and quotas, as tables.
 *
 * What reaches the engine in op->body: the members of these tables under their canonical names,
 * only those that were given and not null. `vectors` is the object or the map as written: an object
 * whose `size` is a number is the single form. A quantization config holds exactly one of its keys,
 * so does the body that creates a named vector ("dense" or "sparse").
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "sextant/sx_plugin.h"

#include "decode_schema.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define U64(field, alias, type_noun, largest)                                                      \
    .name = field alias, .type = REST_T_U64, .noun = type_noun, .limit = largest
#define USIZE(field, alias) U64(field, alias, "usize", UINT64_MAX)
#define U32(field)          U64(field, "", "u32", UINT32_MAX)
#define AT_LEAST(x)         .flags = REST_FIELD_MIN, .min = (x)
#define FROM_TO(x, y)       .flags = REST_FIELD_MIN | REST_FIELD_MAX, .min = (x), .max = (y)
#define BOOL(field)         .name = field, .type = REST_T_BOOL
#define ENUM(field, words)  .name = field, .type = REST_T_ENUM, .sub = words
#define OBJ(field, schema)  .name = field, .type = REST_T_OBJ, .sub = &(schema)
#define UNION(field, arms)  .name = field, .type = REST_T_UNION, .sub = &(arms)
#define SCHEMA(ident, type_noun)                                                                   \
    static const struct rest_schema ident = {type_noun, ident##_fields, SX_COUNT(ident##_fields), 0}

/* --- words ---------------------------------------------------------------------------------- */

static const char *const memories[] = {"cold", "cached", "pinned", NULL, NULL};
static const char *const distances[] = {"Cosine", "Euclid", "Dot", "Manhattan", NULL, NULL};
/* The later two are accepted; texts name what clients have always seen. */
static const char *const datatypes[] = {"float32", "uint8",  "float16", "turbo4",
                                        NULL,      "turbo8", "turbo16", NULL};
static const char *const comparators[] = {"max_sim", NULL, NULL};
static const char *const modifiers[] = {"none", "idf", NULL, NULL};
static const char *const methods[] = {"auto", "custom", NULL, NULL};
static const char *const scalar_types[] = {"int8", NULL, NULL};
static const char *const compressions[] = {"x4", "x8", "x16", "x32", "x64", NULL, NULL};
static const char *const encodings[] = {"one_bit", "two_bits", "one_and_half_bits", NULL, NULL};
static const char *const query_encodings[] = {"default",     "binary", "scalar4bits",
                                              "scalar8bits", NULL,     NULL};
static const char *const bit_sizes[] = {"bits1", "bits1_5", "bits2", "bits4", NULL, "bits8", NULL};
static const char *const auto_words[] = {"auto", NULL, NULL};
static const char *const disabled_words[] = {"Disabled", NULL, NULL};

/* --- checks beyond ranges ------------------------------------------------------------------- */

static int is_word(struct sx_doc v, const char *word)
{
    struct sx_str s = sx_doc_str(v);

    return s.p != NULL && rest__is(s, word, (uint32_t)strlen(word));
}

static const char *not_pinned_vector(struct sx_doc v)
{
    return is_word(v, "pinned")
               ? "`pinned` memory placement is not supported for dense vector storage"
               : NULL;
}

static const char *not_pinned_payload(struct sx_doc v)
{
    return is_word(v, "pinned") ? "`pinned` memory placement is not supported for payload storage"
                                : NULL;
}

static const char *not_turbo(struct sx_doc v)
{
    if (is_word(v, "turbo4"))
        return "sparse vectors do not support the `turbo4` datatype";
    if (is_word(v, "turbo8"))
        return "sparse vectors do not support the `turbo8` datatype";
    return is_word(v, "turbo16") ? "sparse vectors do not support the `turbo16` datatype" : NULL;
}

/* These two tell the arms of `vectors` apart; the text is never shown. */
static const char *is_single(struct sx_doc v)
{
    uint32_t type = sx_doc_type(sx_doc_get(v, "size"));

    return type == SX_DOC_I64 || type == SX_DOC_U64 ? NULL : "";
}

static const char *is_map(struct sx_doc v)
{
    return is_single(v) == NULL ? "" : NULL;
}

/* --- parts ---------------------------------------------------------------------------------- */

static const struct rest_field hnsw_fields[] = {
    {USIZE("m", "")},
    {USIZE("full_scan_threshold", "|full_scan_threshold_kb"), AT_LEAST(10)},
    {USIZE("ef_construct", ""), AT_LEAST(4)},
    {USIZE("max_indexing_threads", "")},
    {BOOL("on_disk")},
    {ENUM("memory", memories)},
    {USIZE("payload_m", "")},
    {BOOL("inline_storage")},
};
SCHEMA(hnsw, "struct HnswConfigDiff");

static const struct rest_field scalar_fields[] = {
    {ENUM("type", scalar_types), .flags = REST_FIELD_REQUIRED},
    {.name = "quantile", .type = REST_T_F32, .noun = "f32", FROM_TO(0.5, 1)},
    {BOOL("always_ram")},
    {ENUM("memory", memories)},
};
SCHEMA(scalar, "struct ScalarQuantizationConfig");

static const struct rest_field product_fields[] = {
    {ENUM("compression", compressions), .flags = REST_FIELD_REQUIRED},
    {BOOL("always_ram")},
    {ENUM("memory", memories)},
};
SCHEMA(product, "struct ProductQuantizationConfig");

static const struct rest_field binary_fields[] = {
    {BOOL("always_ram")},
    {ENUM("memory", memories)},
    {ENUM("encoding", encodings)},
    {ENUM("query_encoding", query_encodings)},
};
SCHEMA(binary, "struct BinaryQuantizationConfig");

static const struct rest_field turbo_fields[] = {
    {BOOL("always_ram")},
    {ENUM("memory", memories)},
    {ENUM("bits", bit_sizes)},
};
SCHEMA(turbo, "struct TurboQuantizationConfig");

static const struct rest_arm quantization_arms[] = {
    {"scalar", {OBJ("", scalar)}},      {"product", {OBJ("", product)}},
    {"binary", {OBJ("", binary)}},      {"turbo", {OBJ("", turbo)}},
    {NULL, {ENUM("", disabled_words)}}, /* in changes only */
};
static const struct rest_union quantization = {
    "data did not match any variant of untagged enum QuantizationConfig", quantization_arms, 4, 0};
static const struct rest_union quantization_diff = {
    "data did not match any variant of untagged enum QuantizationConfigDiff", quantization_arms, 5,
    0};

static const struct rest_field multivector_fields[] = {
    {ENUM("comparator", comparators), .flags = REST_FIELD_REQUIRED},
};
SCHEMA(multivector, "struct MultiVectorConfig");

static const struct rest_field vector_fields[] = {
    {.name = "size",
     .type = REST_T_NZ32,
     .noun = "a nonzero u64",
     .limit = UINT64_MAX,
     .flags = REST_FIELD_REQUIRED | REST_FIELD_MIN | REST_FIELD_MAX,
     .min = 1,
     .max = 65536},
    {ENUM("distance", distances), .limit = SX_KIND_DISTANCE,
     .flags = REST_FIELD_REQUIRED | REST_FIELD_PROVIDED},
    {OBJ("hnsw_config", hnsw)},
    {UNION("quantization_config|quantization", quantization)},
    {BOOL("on_disk")},
    {ENUM("memory", memories), .check = not_pinned_vector},
    {ENUM("datatype", datatypes)},
    {OBJ("multivector_config", multivector)},
};
SCHEMA(vector, "struct VectorParams");

static const struct rest_field one_vector = {OBJ("", vector)};
static const struct rest_arm vectors_arms[] = {
    {NULL, {OBJ("", vector), .check = is_single}},
    {NULL, {.name = "", .type = REST_T_MAP, .sub = &one_vector, .check = is_map}},
};
static const struct rest_union vectors = {
    "data did not match any variant of untagged enum VectorsConfig", vectors_arms, 2, 0};

static const struct rest_field sparse_index_fields[] = {
    {USIZE("full_scan_threshold", "")},
    {BOOL("on_disk")},
    {ENUM("memory", memories)},
    {ENUM("datatype", datatypes), .check = not_turbo},
};
SCHEMA(sparse_index, "struct SparseIndexParams");

static const struct rest_field sparse_fields[] = {
    {OBJ("index", sparse_index)},
    {ENUM("modifier", modifiers)},
};
SCHEMA(sparse, "struct SparseVectorParams");
static const struct rest_field one_sparse = {OBJ("", sparse)};

static const struct rest_field wal_fields[] = {
    {USIZE("wal_capacity_mb", ""), AT_LEAST(1)},
    {USIZE("wal_segments_ahead", "")},
    {USIZE("wal_retain_closed", ""), AT_LEAST(1)},
};
SCHEMA(wal, "struct WalConfigDiff");

static const struct rest_arm threads_arms[] = {
    {NULL, {USIZE("", "")}},
    {NULL, {ENUM("", auto_words)}},
};
static const struct rest_union threads = {
    "data did not match any variant of untagged enum MaxOptimizationThreads", threads_arms, 2, 0};

static const struct rest_field optimizers_fields[] = {
    {.name = "deleted_threshold", .type = REST_T_F64, .noun = "f64", FROM_TO(0, 1)},
    {USIZE("vacuum_min_vector_number", ""), AT_LEAST(100)},
    {USIZE("default_segment_number", "")},
    {USIZE("max_segment_size", "|max_segment_size_kb"), AT_LEAST(1)},
    {USIZE("memmap_threshold", "|memmap_threshold_kb")},
    {USIZE("indexing_threshold", "|indexing_threshold_kb")},
    {U64("flush_interval_sec", "", "u64", UINT64_MAX)},
    {UNION("max_optimization_threads", threads)},
    {BOOL("prevent_unoptimized")},
};
SCHEMA(optimizers, "struct OptimizersConfigDiff");

static const struct rest_field payload_fields[] = {
    {ENUM("memory", memories), .check = not_pinned_payload},
};
SCHEMA(payload, "struct PayloadStorageParams");

static const struct rest_field id_tracker_fields[] = {
    {ENUM("memory", memories)},
};
SCHEMA(id_tracker, "struct IdTrackerParams");

static const struct rest_field strict_multi_fields[] = {{USIZE("max_vectors", ""), AT_LEAST(1)}};
SCHEMA(strict_multi, "struct StrictModeMultivector");
static const struct rest_field one_strict_multi = {OBJ("", strict_multi)};
static const struct rest_field strict_sparse_fields[] = {{USIZE("max_length", ""), AT_LEAST(1)}};
SCHEMA(strict_sparse, "struct StrictModeSparse");
static const struct rest_field one_strict_sparse = {OBJ("", strict_sparse)};

static const struct rest_field strict_fields[] = {
    {BOOL("enabled")},
    {USIZE("max_query_limit", ""), AT_LEAST(1)},
    {USIZE("max_timeout", ""), AT_LEAST(1)},
    {BOOL("unindexed_filtering_retrieve")},
    {BOOL("unindexed_filtering_update")},
    {USIZE("search_max_hnsw_ef", "")},
    {BOOL("search_allow_exact")},
    {.name = "search_max_oversampling", .type = REST_T_F64, .noun = "f64"},
    {USIZE("upsert_max_batchsize", "")},
    {USIZE("search_max_batchsize", "")},
    {USIZE("max_collection_vector_size_bytes", "")},
    {USIZE("max_collection_payload_size_bytes", "")},
    {USIZE("max_points_count", ""), AT_LEAST(1)},
    {USIZE("read_rate_limit", ""), AT_LEAST(1)},
    {USIZE("write_rate_limit", ""), AT_LEAST(1)},
    {USIZE("filter_max_conditions", "")},
    {USIZE("condition_max_size", "")},
    {.name = "multivector_config",
     .type = REST_T_MAP,
     .sub = &one_strict_multi,
     .flags = REST_FIELD_INDEXED,
     .step = "config"},
    {.name = "sparse_config",
     .type = REST_T_MAP,
     .sub = &one_strict_sparse,
     .flags = REST_FIELD_INDEXED,
     .step = "config"},
    {USIZE("max_payload_index_count", "")},
    {U64("max_resident_memory_percent", "", "u8", UINT8_MAX), FROM_TO(1, 100)},
};
SCHEMA(strict, "struct StrictModeConfig");

/* --- the bodies ----------------------------------------------------------------------------- */

static const struct rest_field create_fields[] = {
    {UNION("vectors", vectors), .flags = REST_FIELD_NONULL},
    {.name = "sparse_vectors", .type = REST_T_MAP, .sub = &one_sparse, .flags = REST_FIELD_INDEXED},
    {U32("shard_number"), AT_LEAST(1)},
    {ENUM("sharding_method", methods)},
    {U32("replication_factor"), AT_LEAST(1)},
    {U32("write_consistency_factor"), AT_LEAST(1)},
    {BOOL("on_disk_payload")},
    {OBJ("payload", payload)},
    {OBJ("id_tracker", id_tracker)},
    {OBJ("hnsw_config", hnsw)},
    {OBJ("wal_config", wal)},
    {OBJ("optimizers_config|optimizer_config", optimizers)},
    {UNION("quantization_config|quantization", quantization)},
    {OBJ("strict_mode_config", strict)},
    {.name = "metadata", .type = REST_T_ANYMAP},
};
SCHEMA(create, "struct CreateCollection");

static const struct rest_field vector_diff_fields[] = {
    {OBJ("hnsw_config", hnsw)},
    {UNION("quantization_config|quantization", quantization_diff)},
    {BOOL("on_disk")},
    {ENUM("memory", memories), .check = not_pinned_vector},
};
SCHEMA(vector_diff, "struct VectorParamsDiff");
static const struct rest_field one_vector_diff = {OBJ("", vector_diff)};

#define NZ32(field) .name = field, .type = REST_T_NZ32, .noun = "a nonzero u32", .limit = UINT32_MAX
static const struct rest_field params_diff_fields[] = {
    {NZ32("replication_factor")},    {NZ32("write_consistency_factor")},
    {U32("read_fan_out_factor")},    {U64("read_fan_out_delay_ms", "", "u64", UINT64_MAX)},
    {BOOL("on_disk_payload")},       {OBJ("payload", payload)},
    {OBJ("id_tracker", id_tracker)},
};
SCHEMA(params_diff, "struct CollectionParamsDiff");

static const struct rest_field update_fields[] = {
    {.name = "vectors", .type = REST_T_MAP, .sub = &one_vector_diff},
    {.name = "sparse_vectors", .type = REST_T_MAP, .sub = &one_sparse, .flags = REST_FIELD_INDEXED},
    {OBJ("params", params_diff)},
    {OBJ("hnsw_config", hnsw)},
    {OBJ("optimizers_config|optimizer_config", optimizers)},
    {UNION("quantization_config|quantization", quantization_diff)},
    {OBJ("strict_mode_config", strict)},
    {.name = "metadata", .type = REST_T_ANYMAP},
};
SCHEMA(update, "struct UpdateCollection");

static const struct rest_field dense_name_fields[] = {
    {USIZE("size", ""), .flags = REST_FIELD_REQUIRED | REST_FIELD_MIN | REST_FIELD_MAX, .min = 1,
     .max = 65536},
    {ENUM("distance", distances), .limit = SX_KIND_DISTANCE,
     .flags = REST_FIELD_REQUIRED | REST_FIELD_PROVIDED},
    {OBJ("multivector_config", multivector)},
    {ENUM("datatype", datatypes)},
};
SCHEMA(dense_name, "struct DenseVectorConfig");
static const struct rest_field sparse_name_fields[] = {
    {ENUM("modifier", modifiers)},
    {ENUM("datatype", datatypes), .check = not_turbo},
};
SCHEMA(sparse_name, "struct SparseVectorConfig");
static const struct rest_arm vector_name_arms[] = {
    {"dense", {OBJ("", dense_name)}},
    {"sparse", {OBJ("", sparse_name)}},
};
static const struct rest_union vector_name = {
    "data did not match any variant of untagged enum VectorNameConfig", vector_name_arms, 2, 0};

static const struct rest_field quotas_fields[] = {
    {BOOL("enabled")},
    {U64("max_resident_memory_percent", "", "u8", UINT8_MAX), FROM_TO(1, 100)},
    {U64("max_disk_usage_percent", "", "u8", UINT8_MAX), FROM_TO(1, 100)},
    {U64("release_margin_percent", "", "u8", UINT8_MAX)},
};
SCHEMA(quotas, "struct QuotaConfig");

#define NAME(field) .name = field, .type = REST_T_STR, .flags = REST_FIELD_REQUIRED
static const struct rest_field create_alias_fields[] = {{NAME("collection_name")},
                                                        {NAME("alias_name")}};
SCHEMA(create_alias, "struct CreateAlias");
static const struct rest_field delete_alias_fields[] = {{NAME("alias_name")}};
SCHEMA(delete_alias, "struct DeleteAlias");
static const struct rest_field rename_alias_fields[] = {{NAME("old_alias_name")},
                                                        {NAME("new_alias_name")}};
SCHEMA(rename_alias, "struct RenameAlias");
static const struct rest_arm alias_arms[] = {
    {"create_alias", {OBJ("", create_alias)}},
    {"delete_alias", {OBJ("", delete_alias)}},
    {"rename_alias", {OBJ("", rename_alias)}},
};
static const struct rest_union alias = {
    "data did not match any variant of untagged enum AliasOperations", alias_arms, 3, 0};
static const struct rest_field one_alias = {UNION("", alias)};
static const struct rest_field aliases_fields[] = {
    {.name = "actions", .type = REST_T_LIST, .sub = &one_alias, .flags = REST_FIELD_REQUIRED},
};
SCHEMA(aliases, "struct ChangeAliasesOperation");

static int read_body(struct rest_dec *d, struct sx_op *op, const struct rest_schema *s)
{
    int rc;

    sx_docb_reset(d->docb);
    rc = rest_schema_read(d, s, d->docb);
    if (rc < 0)
        return rc;
    op->body = sx_docb_end_arena(d->docb, d->arena);
    if (op->body.p == NULL)
        return SX_ENOMEM;
    rest_schema_check(d, s, op->body, "");
    return SX_OK;
}

int rest_decode_create(struct rest_dec *d, struct sx_op *op)
{
    return read_body(d, op, &create);
}

int rest_decode_update(struct rest_dec *d, struct sx_op *op)
{
    return read_body(d, op, &update);
}

int rest_decode_aliases(struct rest_dec *d, struct sx_op *op)
{
    return read_body(d, op, &aliases);
}

int rest_decode_quotas(struct rest_dec *d, struct sx_op *op)
{
    return read_body(d, op, &quotas);
}

int rest_decode_vector_name(struct rest_dec *d, struct sx_op *op)
{
    int rc;

    d->j.no_pos = 1; /* the whole body is one untagged union */
    sx_docb_reset(d->docb);
    rc = rest_union_read(d, &vector_name, d->docb);
    if (rc < 0)
        return rc;
    op->body = sx_docb_end_arena(d->docb, d->arena);
    if (op->body.p == NULL)
        return SX_ENOMEM;
    if (sx_doc_get(op->body, "dense").p != NULL)
        rest_schema_check(d, &dense_name, sx_doc_get(op->body, "dense"), "dense.");
    else
        rest_schema_check(d, &sparse_name, sx_doc_get(op->body, "sparse"), "sparse.");
    return SX_OK;
}
