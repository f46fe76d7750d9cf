/* Request bodies: the texts and positions of errors as recorded from the reference, and what
 * decoded bodies look like. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/decode_*.c */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport-rest/decode.h"

static struct sx_arena arena;
static struct sx_docb docb;
static struct rest_dec dec;
static struct sx_op op;

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_docb_fini(&docb);
    sx_arena_fini(&arena);
    return 0;
}

static int decode(uint32_t code, const char *body)
{
    sx_arena_reset(&arena);
    memset(&op, 0, sizeof(op));
    op.code = code;
    op.arena = &arena;
    dec.arena = &arena;
    dec.docb = &docb;
    return rest_decode(&dec, &op, body, strlen(body));
}

static void accept(uint32_t code, const char *body)
{
    int rc = decode(code, body);

    if (rc != SX_OK)
        fail_msg("%s: %d %.*s", body, rc, (int)dec.err.n, dec.err.p);
}

struct fault {
    uint32_t code;
    int rc;
    const char *body, *text;
};

static void check_faults(const struct fault *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int rc = decode(list[i].code, list[i].body);

        if (rc != list[i].rc || dec.err.n != strlen(list[i].text) ||
            memcmp(dec.err.p, list[i].text, dec.err.n) != 0)
            fail_msg("%s\n  want %d %s\n  got  %d %.*s", list[i].body, list[i].rc, list[i].text, rc,
                     (int)dec.err.n, dec.err.p);
    }
}

/* --- errors --------------------------------------------------------------------------------- */

#define CREATE SX_OP_COLLECTION_CREATE
#define UPDATE SX_OP_COLLECTION_UPDATE
#define V      "{\"vectors\": {\"size\": 4, \"distance\": \"Dot\"}, "

static void collection_faults(void **state)
{
    static const struct fault list[] = {
        {CREATE, SX_EFORMAT, "", "EOF while parsing a value at line 1 column 0"},
        {CREATE, SX_EFORMAT, "{\"vectors\": null}",
         "data did not match any variant of untagged enum VectorsConfig at line 1 column 17"},
        {CREATE, SX_EFORMAT, "{\"vectors\": {\"size\": 0, \"distance\": \"Dot\"}}",
         "data did not match any variant of untagged enum VectorsConfig at line 1 column 43"},
        {CREATE, SX_EFORMAT, "{\"vectors\": {\"v\": {\"size\": 4, \"distance\": \"dot\"}}}",
         "data did not match any variant of untagged enum VectorsConfig at line 1 column 50"},
        {CREATE, SX_EFORMAT, "{\"vectors\":{\"size\":4,\"size\":5,\"distance\":\"Dot\"}}",
         "data did not match any variant of untagged enum VectorsConfig at line 1 column 48"},
        {CREATE, SX_EFORMAT, "{\"sparse_vectors\": {\"a\": {\"modifier\": \"bm25\"}}}",
         "unknown variant `bm25`, expected `none` or `idf` at line 1 column 44"},
        {CREATE, SX_EFORMAT,
         "{\"sparse_vectors\": {\"a\": {\"index\": {\"datatype\": \"float64\"}}}}",
         "unknown variant `float64`, expected one of `float32`, `uint8`, `float16`, `turbo4` at "
         "line 1 column 57"},
        {CREATE, SX_EFORMAT, "{\"sparse_vectors\": [\"a\"]}",
         "invalid type: sequence, expected a map at line 1 column 19"},
        {CREATE, SX_EFORMAT, "{\"sparse_vectors\": {\"a\": null}}",
         "invalid type: null, expected struct SparseVectorParams at line 1 column 29"},
        {CREATE, SX_EFORMAT, V "\"shard_number\": -1}",
         "invalid value: integer `-1`, expected u32 at line 1 column 62"},
        {CREATE, SX_EFORMAT, V "\"shard_number\": 1.5}",
         "invalid type: floating point `1.5`, expected u32 at line 1 column 63"},
        {CREATE, SX_EFORMAT, V "\"write_consistency_factor\": 4294967296}",
         "invalid value: integer `4294967296`, expected u32 at line 1 column 82"},
        {CREATE, SX_EFORMAT, V "\"optimizers_config\": {\"max_optimization_threads\": \"max\"}}",
         "data did not match any variant of untagged enum MaxOptimizationThreads at line 1 column "
         "100"},
        {CREATE, SX_EFORMAT, V "\"quantization_config\": {}}",
         "data did not match any variant of untagged enum QuantizationConfig at line 1 column 70"},
        {CREATE, SX_EFORMAT, V "\"quantization_config\": \"Disabled\"}",
         "data did not match any variant of untagged enum QuantizationConfig at line 1 column 78"},
        {CREATE, SX_EFORMAT, V "\"metadata\": [1]}",
         "invalid type: sequence, expected a map at line 1 column 56"},
        {CREATE, SX_EFORMAT, "{\"shard_number\":1,\"shard_number\":2}",
         "duplicate field `shard_number` at line 1 column 32"},
        {CREATE, SX_EFORMAT, "{\"optimizers_config\":{},\"optimizer_config\":{}}",
         "duplicate field `optimizers_config` at line 1 column 42"},
        {CREATE, SX_EVALID, "{\"vectors\": {\"size\": 65537, \"distance\": \"Dot\"}}",
         "[vectors.size: value 65537 invalid, must be from 1 to 65536]"},
        {CREATE, SX_EVALID, "{\"vectors\": {\"v\": {\"size\": 65537, \"distance\": \"Dot\"}}}",
         "[vectors.?.size: value 65537 invalid, must be from 1 to 65536]"},
        {CREATE, SX_EVALID,
         "{\"vectors\": {\"b\": {\"size\": 70000, \"distance\": \"Dot\"}, \"a\": {\"size\": 65537, "
         "\"distance\": \"Dot\"}}}",
         "[vectors.?[0].size: value 65537 invalid, must be from 1 to 65536; vectors.?[1].size: "
         "value 70000 invalid, must be from 1 to 65536]"},
        {CREATE, SX_EVALID,
         "{\"sparse_vectors\": {\"b\": {\"index\": {\"datatype\": \"turbo4\"}}, \"a\": {}}}",
         "[sparse_vectors[1].index.datatype: sparse vectors do not support the `turbo4` datatype]"},
        {CREATE, SX_EVALID, V "\"shard_number\": 0, \"replication_factor\": 0}",
         "[shard_number: value 0 invalid, must be 1 or larger; replication_factor: value 0 "
         "invalid, must be 1 or larger]"},
        {CREATE, SX_EVALID, V "\"hnsw_config\": {\"full_scan_threshold_kb\": 9}}",
         "[hnsw_config.full_scan_threshold: value 9 invalid, must be 10 or larger]"},
        {CREATE, SX_EVALID, V "\"optimizers_config\": {\"deleted_threshold\": 2}}",
         "[optimizers_config.deleted_threshold: value 2.0 invalid, must be from 0.0 to 1.0]"},
        {CREATE, SX_EVALID,
         V "\"quantization_config\": {\"scalar\": {\"type\": \"int8\", \"quantile\": 0.49}}}",
         "[quantization_config.scalar.quantile: value 0.49000000953674316 invalid, must be from "
         "0.5 to 1.0]"},
        {CREATE, SX_EVALID,
         V "\"strict_mode_config\": {\"sparse_config\": {\"v\": {\"max_length\": 0}}}}",
         "[strict_mode_config.sparse_config.config[0].max_length: value 0 invalid, must be 1 or "
         "larger]"},
        {CREATE, SX_EVALID, "{\"payload\": {\"memory\": \"pinned\"}}",
         "[payload.memory: `pinned` memory placement is not supported for payload storage]"},
        {UPDATE, SX_EFORMAT, "null",
         "invalid type: null, expected struct UpdateCollection at line 1 column 4"},
        {UPDATE, SX_EFORMAT, "{\"params\": {\"replication_factor\": 0}}",
         "invalid value: integer `0`, expected a nonzero u32 at line 1 column 35"},
        {UPDATE, SX_EFORMAT, "{\"quantization_config\": \"disabled\"}",
         "data did not match any variant of untagged enum QuantizationConfigDiff at line 1 column "
         "35"},
        {UPDATE, SX_EFORMAT, "{\"vectors\": []}",
         "invalid type: sequence, expected a map at line 1 column 12"},
        {UPDATE, SX_EVALID, "{\"vectors\": {\"\": {\"hnsw_config\": {\"ef_construct\": 1}}}}",
         "[vectors.?.hnsw_config.ef_construct: value 1 invalid, must be 4 or larger]"},
        {SX_OP_ALIASES_UPDATE, SX_EFORMAT, "{}", "missing field `actions` at line 1 column 2"},
        {SX_OP_ALIASES_UPDATE, SX_EFORMAT, "{\"actions\": {}}",
         "invalid type: map, expected a sequence at line 1 column 12"},
        {SX_OP_ALIASES_UPDATE, SX_EFORMAT, "{\"actions\": [{}]}",
         "data did not match any variant of untagged enum AliasOperations at line 1 column 16"},
    };

    (void)state;
    check_faults(list, SX_COUNT(list));
}

#define SCROLL SX_OP_SCROLL

static void read_faults(void **state)
{
    static const struct fault list[] = {
        {SCROLL, SX_EFORMAT, "{\"limit\":", "EOF while parsing a value at line 1 column 9"},
        {SCROLL, SX_EFORMAT, "{\"limit\":1}}", "trailing characters at line 1 column 12"},
        {SCROLL, SX_EFORMAT, "{\"limit\":1} x", "trailing characters at line 1 column 13"},
        {SCROLL, SX_EFORMAT, "{limit:1}", "key must be a string at line 1 column 2"},
        {SCROLL, SX_EFORMAT, "{\"limit\":1,}", "trailing comma at line 1 column 12"},
        {SCROLL, SX_EFORMAT, "nul", "EOF while parsing a value at line 1 column 3"},
        {SCROLL, SX_EFORMAT, "{\"limit\":\"a\"}",
         "invalid type: string \"a\", expected usize at line 1 column 13"},
        {SCROLL, SX_EFORMAT, "{\"limit\":99999999999999999999}",
         "invalid type: floating point `1e+20`, expected usize at line 1 column 30"},
        {SCROLL, SX_EFORMAT, "{\"limit\":[]}",
         "invalid type: sequence, expected usize at line 1 column 12"},
        {SCROLL, SX_EFORMAT, "{\"limit\":1,\"limit\":2}",
         "duplicate field `limit` at line 1 column 21"},
        {SCROLL, SX_EFORMAT, "{\"with_payload\":{\"include\":5}}",
         "Expected a boolean, an array of strings, or an object with an include/exclude field at "
         "line 1 column 30"},
        {SCROLL, SX_EFORMAT, "{\"offset\":\"abc\"}",
         "value abc is not a valid point ID, valid values are either an unsigned integer or a UUID "
         "at line 1 column 16"},
        {SCROLL, SX_EFORMAT, "{\"filter\":5}",
         "invalid type: integer `5`, expected struct Filter at line 1 column 12"},
        {SCROLL, SX_EFORMAT, "{\"limit\":\"a\",\"offset\":[}",
         "expected value at line 1 column 24"}, /* syntax first, wherever it is */
        {SCROLL, SX_EFORMAT, "\xef\xbb\xbf{}", "expected value at line 1 column 1"},
        {SCROLL, SX_EFORMAT, "null",
         "invalid type: null, expected struct ScrollRequest at line 1 column 4"},
        {SCROLL, SX_EVALID, "{\"limit\":0}",
         "[scroll_request.limit: value 0 invalid, must be 1 or larger]"},
        {SX_OP_COUNT, SX_EFORMAT, "{\"exact\": 5}",
         "invalid type: integer `5`, expected a boolean at line 1 column 12"},
        {SX_OP_COUNT, SX_EFORMAT, "{bad", "key must be a string at line 1 column 2"},
        {SX_OP_POINTS_GET, SX_EFORMAT, "{}", "missing field `ids` at line 1 column 2"},
        {SX_OP_POINTS_GET, SX_EFORMAT, "{\"ids\": [1], \"with_vector\": null}",
         "Expected a boolean, or an array of strings at line 1 column 33"},
        {SX_OP_POINTS_DELETE, SX_EFORMAT, "{}",
         "data did not match any variant of untagged enum PointsSelector"},
        {SX_OP_POINTS_DELETE, SX_EFORMAT, "{\"points\": [-1]}",
         "data did not match any variant of untagged enum PointsSelector"},
        {SX_OP_POINTS_DELETE, SX_EFORMAT, "{\"points\": [1]",
         "EOF while parsing an object at line 1 column 14"},
        {SX_OP_SEARCH, SX_EFORMAT, "{\"vector\":[1,0]}",
         "missing field `limit` at line 1 column 16"},
        {SX_OP_SEARCH, SX_EFORMAT, "{\"vector\":[1],\"limit\":1,\"top\":2}",
         "duplicate field `limit` at line 1 column 32"},
        {SX_OP_SEARCH, SX_EFORMAT, "{\"vector\":[[1.5]],\"limit\":2}",
         "data did not match any variant of untagged enum NamedVectorStruct at line 1 column 28"},
        {SX_OP_SEARCH_BATCH, SX_EFORMAT, "{\"searches\":[{\"vector\":[1]}]}",
         "missing field `limit` at line 1 column 27"},
        {SX_OP_SEARCH_BATCH, SX_EVALID,
         "{\"searches\":[{\"vector\":[1],\"limit\":1},{\"vector\":[1],\"limit\":0}]}",
         "[searches[1].search_request.limit: value 0 invalid, must be 1 or larger]"},
        {SX_OP_QUERY, SX_EFORMAT, "{\"query\":true}",
         "Expected some form of vector, id, or a type of query at line 1 column 14"},
        {SX_OP_QUERY, SX_EFORMAT, "{\"query\":[[1],[\"a\"]]}",
         "Expected some form of vector, id, or a type of query at line 1 column 21"},
        {SX_OP_QUERY, SX_EFORMAT, "{\"query\":{\"recommend\":{\"positive\":1}}}",
         "Expected some form of vector, id, or a type of query at line 1 column 38"},
        {SX_OP_QUERY, SX_EFORMAT, "{\"with_vector\":true,\"with_vectors\":false}",
         "duplicate field `with_vector` at line 1 column 41"},
        {SX_OP_QUERY, SX_EFORMAT, "{\"query\":[1],\"params\":{\"exact\":null}}",
         "invalid type: null, expected a boolean at line 1 column 37"},
        {SX_OP_QUERY, SX_EVALID, "{\"prefetch\":{\"prefetch\":[{\"limit\":0}]},\"query\":[1]}",
         "[internal.prefetch[0].prefetch[0].limit: value 0 invalid, must be 1 or larger]"},
        {SX_OP_QUERY, SX_EVALID, "{\"query\":{\"nearest\":{\"indices\":[1,1],\"values\":[1,2]}}}",
         "[internal.query.nearest.indices: Validation error: must be unique [{}]]"},
        {SX_OP_QUERY, SX_EVALID, "{\"query\":[[2,3],[1]]}",
         "[internal.query.values: Validation error: must be the same length as indices [{}]]"},
        {SX_OP_QUERY, SX_EVALID,
         "{\"query\":[1],\"params\":{\"quantization\":{\"oversampling\":0.5}}}",
         "[internal.params.quantization.oversampling: value 0.5 invalid, must be 1.0 or larger]"},
        {SX_OP_QUERY, SX_EVALID, "{\"query\":{\"nearest\":[1],\"mmr\":{\"diversity\":-0.1}}}",
         "[internal.query.mmr.diversity: value -0.10000000149011612 invalid, must be from 0.0 to "
         "1.0]"},
        {SX_OP_QUERY_BATCH, SX_EVALID, "{\"searches\":[{\"limit\":1},{\"limit\":0}]}",
         "[searches[1].internal.limit: value 0 invalid, must be 1 or larger]"},
    };

    (void)state;
    check_faults(list, SX_COUNT(list));
}

#define UP        SX_OP_POINTS_UPSERT
#define ID        " is not a valid point ID, valid values are either an unsigned integer or a UUID"
#define P1        "{\"points\":[{\"id\":1,\"vector\":"
#define NO_VECTOR "data did not match any variant of untagged enum VectorStruct"

static void upsert_faults(void **state)
{
    static const struct fault list[] = {
        {UP, SX_EFORMAT, "[]", "Invalid PointInsertOperations format"},
        {UP, SX_EFORMAT, "{\"point\":[]}", "Invalid PointInsertOperations format"},
        {UP, SX_EFORMAT, "{\"points\":[", "EOF while parsing a list at line 1 column 11"},
        {UP, SX_EFORMAT, "{\"points\":[]} x", "trailing characters at line 1 column 15"},
        {UP, SX_EFORMAT, "{\"points\":null}", "invalid type: null, expected a sequence"},
        {UP, SX_EFORMAT, "{\"points\":[5]}",
         "invalid type: integer `5`, expected struct PointStruct"},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":1}]}", "missing field `vector`"},
        {UP, SX_EFORMAT, "{\"points\":[{\"vector\":[1]}]}", "missing field `id`"},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":3,\"vector\":[1],\"vectors\":[1]}]}",
         "duplicate field `vector`"},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":\"\",\"vector\":[1]}]}", "value " ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":1.0,\"vector\":[1]}]}", "value 1" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":1e3,\"vector\":[1]}]}", "value 1000" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":-1.5e-7,\"vector\":[1]}]}", "value -0.00000015" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":null,\"vector\":[1]}]}", "value Unit" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":[1],\"vector\":[1]}]}", "value [U64(1)]" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":{\"num\":1},\"vector\":[1]}]}",
         "value {String(\"num\"): U64(1)}" ID},
        {UP, SX_EFORMAT, "{\"points\":[{\"id\":18446744073709551616,\"vector\":[1]}]}",
         "value 18446744073709552000" ID},
        {UP, SX_EFORMAT, P1 "null}]}", NO_VECTOR},
        {UP, SX_EFORMAT, P1 "[1,\"2\"]}]}", NO_VECTOR},
        {UP, SX_EFORMAT, P1 "{\"a\":{\"x\":1}}}]}", NO_VECTOR},
        {UP, SX_EFORMAT, P1 "{\"s\":{\"indices\":[4294967296],\"values\":[1]}}}]}", NO_VECTOR},
        {UP, SX_EFORMAT, P1 "[1,1e400]}]}", "number out of range at line 1 column 36"},
        {UP, SX_EFORMAT, P1 "[1],\"payload\":[]}]}", "invalid type: sequence, expected a map"},
        {UP, SX_EFORMAT, P1 "[1],\"payload\":{\"a\":01}}]}", "invalid number at line 1 column 49"},
        {UP, SX_EFORMAT, "{\"batch\":{}}", "missing field `ids`"},
        {UP, SX_EFORMAT, "{\"batch\":null}", "invalid type: null, expected struct Batch"},
        {UP, SX_EFORMAT, "{\"batch\":{\"ids\":[1],\"vectors\":[1]}}",
         "data did not match any variant of untagged enum BatchVectorStruct"},
        {UP, SX_EFORMAT, "{\"points\":[],\"update_mode\":\"nope\"}",
         "unknown variant `nope`, expected one of `upsert`, `insert_only`, `update_only`"},
        {UP, SX_EFORMAT, "{\"points\":[],\"shard_key\":-1}", "Expected a string or an integer"},
        {UP, SX_EFORMAT, "{\"points\":[],\"update_filter\":{\"foo\":1}}",
         "unknown field `foo`, expected one of `should`, `min_should`, `must`, `must_not`"},
        {UP, SX_EVALID, P1 "[]}]}", "[points[0].vector.vector: dense vector must not be empty]"},
        {UP, SX_EVALID, P1 "{\"a\":[]}}]}",
         "[points[0].vector.?.vector: dense vector must not be empty]"},
        {UP, SX_EVALID, P1 "{\"\":[],\"b\":[[1.5],[]]}}]}",
         "[points[0].vector.?[0].vector: dense vector must not be empty; "
         "points[0].vector.?[1].data: all vectors must be non-empty]"},
        {UP, SX_EVALID, P1 "[[1,2],[3]]}]}",
         "[points[0].vector.data: all vectors must have the same dimension, found vector with "
         "dimension 1]"},
        {UP, SX_EVALID, P1 "{\"s\":{\"indices\":[1,1],\"values\":[1]}}}]}",
         "[points[0].vector.?.values: Validation error: must be the same length as indices [{}]; "
         "points[0].vector.?.indices: Validation error: must be unique [{}]]"},
        {UP, SX_EVALID, "{\"batch\":{\"ids\":[1,2],\"vectors\":{\"a\":[[1]]},\"payloads\":[]}}",
         "[batch.batch: number of ids and vectors must be equal (2 != 1); batch.batch: number of "
         "ids and payloads must be equal (2 != 0)]"},
        {UP, SX_EVALID, "{\"batch\":{\"ids\":[1],\"vectors\":[[]]}}",
         "[batch.vector: dense vector must not be empty]"},
    };

    (void)state;
    check_faults(list, SX_COUNT(list));
}

static void not_served(void **state)
{
    static const struct fault list[] = {
        {SX_OP_QUERY, SX_EUNSUPPORTED, "{\"prefetch\":{},\"query\":[1]}", "prefetch"},
        {SX_OP_QUERY, SX_EUNSUPPORTED, "{\"query\":{\"fusion\":\"rrf\"}}", "fusion queries"},
        {SX_OP_QUERY, SX_EUNSUPPORTED, "{\"query\":{\"text\":\"a\",\"model\":\"m\"}}", "inference"},
        {SX_OP_QUERY, SX_EUNSUPPORTED,
         "{\"lookup_from\":{\"collection\":\"c\",\"shard_key\":\"k\"}}", "lookup_from.shard_key"},
        {SX_OP_RECOMMEND, SX_EUNSUPPORTED, "{}", "POST /collections/{collection}/points/recommend"},
    };

    (void)state;
    check_faults(list, SX_COUNT(list));
    accept(SCROLL, "{\"filter\":null,\"shard_key\":null,\"order_by\":null}");
    accept(SX_OP_QUERY, "{\"prefetch\":[],\"query\":{\"nearest\":[1],\"mmr\":null}}");
}

/* --- upserts -------------------------------------------------------------------------------- */

static void assert_id(struct sx_id id, uint64_t n)
{
    assert_int_equal(id.kind, SX_ID_NUM);
    assert_true(id.lo == n && id.hi == 0);
}

static void upsert_list(void **state)
{
    const struct sx_args_upsert *a;
    const struct sx_point_in *p;

    (void)state;
    accept(UP,
           "{\"points\":[{\"payload\":{\"a\":1,\"a\":2},\"id\":18446744073709551615,\"vector\":[1,"
           "-2.5,1e-3]},{\"id\":\"550E8400e29b41d4a716446655440000\",\"vector\":{},"
           "\"payload\":null,\"x\":[]}],\"shard_key\":null,\"update_mode\":\"upsert\"}");
    a = op.args;
    assert_int_equal(a->n, 2);
    p = &a->points[0];
    assert_id(p->id, UINT64_MAX);
    assert_int_equal(p->n_vectors, 1);
    assert_int_equal(p->vectors[0].name.n, 0);
    assert_int_equal(p->vectors[0].kind, SX_VEC_DENSE);
    assert_int_equal(p->vectors[0].dim, 3);
    assert_int_equal((uintptr_t)p->vectors[0].data % 64, 0);
    assert_true(p->vectors[0].data[1] == -2.5f && p->vectors[0].data[2] == 1e-3f);
    assert_int_equal(sx_doc_get_i64(p->payload, "a", 0), 2);
    assert_int_equal(a->points[1].id.kind, SX_ID_UUID);
    assert_int_equal(a->points[1].n_vectors, 0);
    assert_null(a->points[1].payload.p);
}

static void vector_forms(void **state)
{
    const struct sx_args_upsert *a;
    const struct sx_vec_in *v;

    (void)state;
    accept(UP,
           P1 "{\"d\":[1],\"s\":{\"values\":[1,2,3],\"indices\":[9,4,7]},\"m\":[[1.5,2],[3,4]],"
              "\"p\":[[5,1],[1,2]],\"t\":[[1,2],[3,4],[5,6]],\"e\":{\"indices\":[],\"values\":[]},"
              "\"d\":[7,8]}}]}");
    a = op.args;
    assert_int_equal(a->points[0].n_vectors, 6);
    v = a->points[0].vectors;
    assert_int_equal(v[0].dim, 2); /* the last of two */
    assert_true(v[0].data[1] == 8);
    assert_int_equal(v[1].kind, SX_VEC_SPARSE);
    assert_int_equal(v[1].dim, 3);
    assert_true(v[1].indices[0] == 4 && v[1].indices[1] == 7 && v[1].indices[2] == 9);
    assert_true(v[1].data[0] == 2 && v[1].data[1] == 3 && v[1].data[2] == 1);
    assert_int_equal(v[2].kind, SX_VEC_MULTI);
    assert_int_equal(v[2].rows, 2);
    assert_int_equal(v[2].dim, 2);
    assert_true(v[2].data[3] == 4);
    assert_int_equal(v[3].kind, SX_VEC_SPARSE); /* two rows, the first of integers */
    assert_true(v[3].indices[0] == 1 && v[3].data[0] == 2);
    assert_int_equal(v[4].kind, SX_VEC_MULTI);
    assert_int_equal(v[4].rows, 3);
    assert_int_equal(v[5].kind, SX_VEC_SPARSE);
    assert_int_equal(v[5].dim, 0);
    accept(UP, P1 "[[1,2],[3,4]]}]}"); /* the unnamed form knows no sparse vectors */
    a = op.args;
    assert_int_equal(a->points[0].vectors[0].kind, SX_VEC_MULTI);
    accept(UP, P1 "[1e39]}]}");
    a = op.args;
    assert_true(a->points[0].vectors[0].data[0] > 3e38f);
}

static void upsert_columns(void **state)
{
    const struct sx_args_upsert *a;

    (void)state;
    accept(UP, "{\"points\":5,\"batch\":{\"vectors\":{\"a\":[[1],[2]],\"b\":[[3],{\"indices\":[1],"
               "\"values\":[4]}]},\"payloads\":[null,{\"k\":\"v\"}],\"ids\":[7,8]}}");
    a = op.args;
    assert_int_equal(a->n, 2);
    assert_id(a->points[1].id, 8);
    assert_int_equal(a->points[1].n_vectors, 2);
    assert_true(a->points[1].vectors[0].data[0] == 2);
    assert_int_equal(a->points[1].vectors[1].kind, SX_VEC_SPARSE);
    assert_null(a->points[0].payload.p);
    assert_int_equal(sx_doc_count(a->points[1].payload), 1);
    accept(UP, "{\"batch\":{\"ids\":[1],\"vectors\":[[[1,2],[3,4]]]}}");
    a = op.args;
    assert_int_equal(a->points[0].vectors[0].kind, SX_VEC_MULTI);
    accept(UP, "{\"batch\":{\"ids\":[1,2],\"vectors\":{}}}");
    a = op.args;
    assert_int_equal(a->n, 2);
    assert_int_equal(a->points[0].n_vectors, 0);
    accept(UP, "{\"points\":[]}");
    a = op.args;
    assert_int_equal(a->n, 0);
    assert_true(a->mode == SX_UPSERT && a->update_filter == NULL);
    accept(
        UP,
        "{\"update_mode\":\"insert_only\",\"points\":[],\"update_filter\":{},\"shard_key\":\"k\"}");
    a = op.args;
    assert_true(a->mode == SX_INSERT_ONLY && a->update_filter != NULL && a->shards.n == 1);
    accept(UP,
           "{\"points\":[],\"batch\":{\"ids\":[],\"vectors\":[]},\"update_mode\":\"update_only\"}");
    a = op.args;
    assert_int_equal(a->mode, SX_UPDATE_ONLY);
}

/* --- reads ---------------------------------------------------------------------------------- */

static void queries(void **state)
{
    const struct sx_args_query *a;
    const struct sx_query *q;

    (void)state;
    accept(SX_OP_QUERY,
           "{\"query\":[1,2],\"using\":\"v\",\"limit\":5,\"offset\":2,\"with_payload\":"
           "[\"a.b\",\"c[]\"],\"with_vectors\":[\"\"],\"score_threshold\":0.5,\"params\":"
           "{\"hnsw_ef\":64,\"exact\":true,\"indexed_only\":true},\"lookup_from\":"
           "{\"collection\":\"o\"}}");
    a = op.args;
    q = &a->queries[0];
    assert_int_equal(a->n, 1);
    assert_int_equal(q->kind, SX_Q_NEAREST);
    assert_int_equal(q->vector.kind, SX_VEC_DENSE);
    assert_int_equal(q->limit, 5);
    assert_int_equal(q->offset, 2);
    assert_int_equal(q->payload.mode, SX_SEL_INCLUDE);
    assert_int_equal(q->payload.n, 2);
    assert_memory_equal(q->payload.names[1].p, "c[]", 3);
    assert_int_equal(q->vectors.mode, SX_SEL_INCLUDE);
    assert_true(q->has_threshold && q->score_threshold == 0.5f);
    assert_true(q->hnsw_ef == 64 && q->exact && q->indexed_only);
    assert_int_equal(q->lookup_collection.n, 1);
    assert_null(q->lookup_vector.p);

    accept(SX_OP_QUERY, "{\"query\":17,\"with_payload\":{\"exclude\":[]}}");
    q = ((const struct sx_args_query *)op.args)->queries;
    assert_int_equal(q->vector.kind, SX_VEC_ID);
    assert_id(q->vector.id, 17);
    assert_int_equal(q->payload.mode, SX_SEL_EXCLUDE);
    assert_int_equal(q->limit, 10);

    accept(SX_OP_QUERY, "{}");
    q = ((const struct sx_args_query *)op.args)->queries;
    assert_int_equal(q->kind, SX_Q_SCROLL);
    assert_int_equal(q->payload.mode, SX_SEL_NONE);

    accept(SX_OP_SEARCH_BATCH,
           "{\"searches\":[{\"vector\":{\"name\":\"n\",\"vector\":[1]},\"top\":3},"
           "{\"vector\":[1,2],\"limit\":1,\"with_vector\":null}]}");
    a = op.args;
    assert_int_equal(a->n, 2);
    assert_int_equal(a->queries[0].using_name.n, 1);
    assert_int_equal(a->queries[0].limit, 3);
    assert_int_equal(a->queries[1].vector.dim, 2);
    assert_int_equal(a->queries[1].using_name.n, 0);
    accept(SX_OP_QUERY_BATCH, "{\"searches\":[]}");
}

static void other_reads(void **state)
{
    const struct sx_args_scroll *s;
    const struct sx_args_ids *ids;
    const struct sx_args_count *c;
    const struct sx_args_facet *f;

    (void)state;
    accept(SCROLL, "{\"offset\":\"550e8400-e29b-41d4-a716-446655440000\",\"with_payload\":false}");
    s = op.args;
    assert_true(s->has_offset && s->offset.kind == SX_ID_UUID && s->limit == 10);
    assert_int_equal(s->payload.mode, SX_SEL_NONE);
    accept(SCROLL, "{\"limit\":18446744073709551615}");
    s = op.args;
    assert_true(s->limit == UINT64_MAX && !s->has_offset);
    assert_int_equal(s->payload.mode, SX_SEL_ALL);
    accept(SX_OP_POINTS_GET, "{\"ids\":[1,2],\"with_vector\":true}");
    ids = op.args;
    assert_int_equal(ids->n, 2);
    assert_int_equal(ids->payload.mode, SX_SEL_NONE);
    assert_int_equal(ids->vectors.mode, SX_SEL_ALL);
    accept(SX_OP_COUNT, "{}");
    c = op.args;
    assert_int_equal(c->exact, 1);
    accept(SX_OP_COUNT, "{\"exact\":false}");
    c = op.args;
    assert_int_equal(c->exact, 0);
    accept(SX_OP_FACET, "{\"key\":\"a[].b\"}");
    f = op.args;
    assert_true(f->key.n == 3 && f->limit == 10 && !f->exact && f->filter == NULL);
    accept(SX_OP_FACET, "{\"key\":\"a\",\"limit\":3,\"exact\":true,\"filter\":{},\"shard_key\":1}");
    f = op.args;
    assert_true(f->limit == 3 && f->exact && f->filter != NULL && f->shards.n == 1);
    accept(SX_OP_FACET, "{\"key\":\"a\",\"limit\":null,\"exact\":null}");
}

static const struct sx_order_by *order_by(const char *value)
{
    char body[200];

    (void)snprintf(body, sizeof(body), "{\"order_by\":%s}", value);
    accept(SCROLL, body);
    return ((const struct sx_args_scroll *)op.args)->order_by;
}

static void orders(void **state)
{
    const struct sx_order_by *o = order_by("\"a.b\"");

    (void)state;
    assert_true(o->key.n == 2 && !o->is_desc && o->start == SX_START_NONE);
    o = order_by("{\"key\":\"a\",\"direction\":\"desc\",\"start_from\":-7,\"x\":1}");
    assert_true(o->is_desc && o->start == SX_START_INT && o->i == -7);
    o = order_by("{\"start_from\":9223372036854775808,\"key\":\"a\",\"direction\":null}");
    assert_true(!o->is_desc && o->start == SX_START_FLOAT && o->f == 9223372036854775808.0);
    o = order_by("{\"key\":\"a\",\"start_from\":\"1970-01-01 00:00:01.5\"}");
    assert_true(o->start == SX_START_TIME && o->t.s == 1 && o->t.ns == 500000000);
    o = order_by("{\"key\":\"a\",\"start_from\":null}");
    assert_int_equal(o->start, SX_START_NONE);
}

static struct sx_shards shards_of(const char *value)
{
    char body[200];

    (void)snprintf(body, sizeof(body), "{\"shard_key\":%s}", value);
    accept(SX_OP_COUNT, body);
    return ((const struct sx_args_count *)op.args)->shards;
}

static void shard_keys(void **state)
{
    struct sx_shards s = shards_of("null");

    (void)state;
    assert_int_equal(s.mode, SX_SHARDS_ALL);
    s = shards_of("\"\"");
    assert_true(s.mode == SX_SHARDS_KEYS && s.n == 1 && s.keys[0].text.p != NULL);
    assert_int_equal(s.keys[0].text.n, 0);
    s = shards_of("[18446744073709551615,\"k\"]");
    assert_true(s.n == 2 && s.keys[0].text.p == NULL && s.keys[0].num == UINT64_MAX);
    assert_memory_equal(s.keys[1].text.p, "k", 1);
    s = shards_of("[]");
    assert_true(s.mode == SX_SHARDS_KEYS && s.n == 0);
    s = shards_of("{\"fallback\":2,\"target\":\"t\"}");
    assert_true(s.mode == SX_SHARDS_FALLBACK && s.keys[0].text.n == 1 && s.keys[1].num == 2);
    accept(SX_OP_QUERY, "{\"shard_key\":\"k\"}");
    assert_int_equal(((const struct sx_args_query *)op.args)->queries->shards.n, 1);
    accept(SX_OP_SEARCH,
           "{\"vector\":{\"name\":\"s\",\"vector\":{\"indices\":[9,2],\"values\":[1,2]}},"
           "\"limit\":1,\"shard_key\":\"k\"}");
    assert_int_equal(((const struct sx_args_query *)op.args)->queries->shards.n, 1);
    assert_int_equal(((const struct sx_args_query *)op.args)->queries->vector.indices[0], 2);
}

/* --- collections ---------------------------------------------------------------------------- */

static void assert_doc(const char *want)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_jsonw_doc(&b, op.body);
    sx_buf_addc(&b, '\0');
    assert_false(b.failed);
    assert_string_equal(b.p, want);
    sx_buf_fini(&b);
}

static void collection_bodies(void **state)
{
    (void)state;
    accept(CREATE, "{\"optimizer_config\":{\"max_segment_size_kb\":5,\"indexing_threshold\":null},"
                   "\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"quantization\":{\"binary\":{},"
                   "\"scalar\":{\"type\":\"int8\",\"quantile\":0.99}},\"x\":[]},\"init_from\":{},"
                   "\"shard_number\":null,\"metadata\":{\"a\":null}}");
    assert_doc(
        "{\"optimizers_config\":{\"max_segment_size\":5},\"vectors\":{\"size\":4,\"distance\":"
        "\"Dot\",\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":0.99}}},"
        "\"metadata\":{\"a\":null}}");
    accept(CREATE,
           "{\"vectors\":{\"size\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"turbo8\"}}}");
    assert_doc(
        "{\"vectors\":{\"size\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"turbo8\"}}}");
    accept(CREATE, "{\"quantization_config\":{\"scalar\":{\"type\":\"int4\"},\"turbo\":{\"bits\":"
                   "\"bits8\"}},\"vectors\":{}}");
    assert_doc("{\"quantization_config\":{\"turbo\":{\"bits\":\"bits8\"}},\"vectors\":{}}");
    accept(CREATE, "{}");
    assert_doc("{}");
    accept(UPDATE, "{\"quantization_config\":\"Disabled\",\"optimizers_config\":"
                   "{\"max_optimization_threads\":\"auto\"},\"size\":1}");
    assert_doc("{\"quantization_config\":\"Disabled\",\"optimizers_config\":"
               "{\"max_optimization_threads\":\"auto\"}}");
    accept(SX_OP_ALIASES_UPDATE,
           "{\"actions\":[{\"x\":1,\"delete_alias\":{\"alias_name\":\"a\"}}]}");
    assert_doc("{\"actions\":[{\"delete_alias\":{\"alias_name\":\"a\"}}]}");
}

/* --- bounds --------------------------------------------------------------------------------- */

/* A body that would take more memory than the arena may have is refused, whatever it is. */
static void memory_is_bounded(void **state)
{
    uint64_t n = 0, size = 400000;
    char *body = malloc(size + 100);

    (void)state;
    n = (uint64_t)sprintf(body, "{\"points\":[");
    while (n < size)
        n += (uint64_t)sprintf(body + n, "{\"id\":1,\"vector\":{\"a\":[1]}},");
    n += (uint64_t)sprintf(body + n - 1, "]}") - 1;
    arena.limit = 2 * n;
    assert_int_equal(decode(UP, body), SX_ENOMEM);
    arena.limit = 32 * n;
    assert_int_equal(decode(UP, body), SX_OK);
    arena.limit = 0;
    free(body);
}

static void many_faults_are_cut(void **state)
{
    uint64_t n;
    char *body = malloc(200000);

    (void)state;
    n = (uint64_t)sprintf(body, "{\"points\":[");
    for (uint32_t i = 0; i < 5000; i++)
        n += (uint64_t)sprintf(body + n, "%s{\"id\":1,\"vector\":[]}", i != 0 ? "," : "");
    strcpy(body + n, "]}");
    assert_int_equal(decode(UP, body), SX_EVALID);
    assert_true(dec.err.n < 10000);
    assert_memory_equal(dec.err.p, "[points[0].vector.vector: ", 26);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collection_faults), cmocka_unit_test(read_faults),
        cmocka_unit_test(upsert_faults),     cmocka_unit_test(not_served),
        cmocka_unit_test(upsert_list),       cmocka_unit_test(vector_forms),
        cmocka_unit_test(upsert_columns),    cmocka_unit_test(queries),
        cmocka_unit_test(other_reads),       cmocka_unit_test(orders),
        cmocka_unit_test(shard_keys),        cmocka_unit_test(collection_bodies),
        cmocka_unit_test(memory_is_bounded), cmocka_unit_test(many_faults_are_cut),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
