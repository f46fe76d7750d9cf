/* Bodies that change points, indexes and named vectors: what they become, and the complaints that
 * no recording shows. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/query.c */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>

#include "transport-rest/decode.h"
#include "transport-rest/query.h"

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

static const void *accept(uint32_t code, const char *body)
{
    int rc = decode(code, body);

    if (rc != SX_OK)
        fail_msg("%s: %d %.*s", body, rc, (int)dec.err.n, dec.err.p);
    return op.args;
}

/* A "^" in the body: the position in the text is that of the byte before it. */
static void refuse(uint32_t code, int want, const char *marked, const char *plain)
{
    const char *mark = strchr(marked, '^');
    size_t at = mark != NULL ? (size_t)(mark - marked) : 0;
    char body[1024], text[1024];
    int rc;

    (void)snprintf(body, sizeof(body), "%.*s%s", (int)at, marked, marked + at + (mark != NULL));
    (void)snprintf(text, sizeof(text), mark != NULL ? "%s at line 1 column %zu" : "%s", plain, at);
    rc = decode(code, body);
    if (rc != want || dec.err.n != strlen(text) || memcmp(dec.err.p, text, dec.err.n) != 0)
        fail_msg("%s\n  want %d %s\n  got  %d %.*s", body, want, text, rc, (int)dec.err.n,
                 dec.err.p);
}

static void assert_str(struct sx_str s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void assert_doc(struct sx_doc v, const char *want)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_jsonw_doc(&b, v);
    sx_buf_addc(&b, '\0');
    assert_false(b.failed);
    assert_string_equal(b.p, want);
    sx_buf_fini(&b);
}

static void assert_path(const struct sx_path *path, const char *want)
{
    struct sx_buf b;

    sx_buf_init(&b, sx_mem_libc());
    sx_path_print(path, &b);
    sx_buf_addc(&b, '\0');
    assert_string_equal(b.p, want);
    sx_buf_fini(&b);
}

/* --- selectors ------------------------------------------------------------------------------ */

static void selectors(void **state)
{
    const struct sx_args_points *a;

    (void)state;
    a = accept(SX_OP_POINTS_DELETE, "{\"filter\":7,\"points\":[3],\"shard_key\":\"k\"}");
    assert_true(a->points.has_ids && a->points.n == 1 && a->points.ids[0].lo == 3);
    assert_true(a->points.filter == NULL && a->shards.n == 1);
    a = accept(SX_OP_POINTS_DELETE, "{\"points\":[]}");
    assert_true(a->points.has_ids && a->points.n == 0);
    a = accept(SX_OP_PAYLOAD_CLEAR, "{\"filter\":{},\"points\":[\"x\"]}");
    assert_true(!a->points.has_ids && a->points.filter != NULL);
    assert_int_equal(a->points.filter->n_must, 0);
    refuse(SX_OP_PAYLOAD_CLEAR, SX_EFORMAT, "{\"filter\":{\"must\":[{\"key\":\"a b\"}]}}",
           "data did not match any variant of untagged enum PointsSelector");
    refuse(SX_OP_POINTS_DELETE, SX_EFORMAT, "{\"points\":[1],\"shard_key\":-1}",
           "data did not match any variant of untagged enum PointsSelector");
    refuse(SX_OP_POINTS_DELETE, SX_EFORMAT, "{\"points\":[1],\"shard_key\":[tru]^}",
           "expected ident");
}

/* --- payload -------------------------------------------------------------------------------- */

static void payloads(void **state)
{
    const struct sx_args_payload *a;

    (void)state;
    a = accept(SX_OP_PAYLOAD_SET, "{\"payload\":{\"a\":null,\"b\":[1]},\"points\":[7],\"key\":"
                                  "\"x[].y\",\"filter\":{},\"shard_key\":5,\"zz\":{}}");
    assert_doc(a->payload, "{\"a\":null,\"b\":[1]}");
    assert_path(&a->key, "x[].y");
    assert_true(a->points.has_ids && a->points.filter != NULL && a->shards.keys[0].num == 5);
    a = accept(SX_OP_PAYLOAD_OVERWRITE, "{\"payload\":{},\"points\":null,\"filter\":{},\"key\":"
                                        "null}");
    assert_doc(a->payload, "{}");
    assert_true(a->payload.p != NULL && a->key.n == 0 && !a->points.has_ids);
    a = accept(SX_OP_PAYLOAD_DELETE, "{\"keys\":[\"a\",\"\\\"b c\\\"[0]\"],\"points\":[]}");
    assert_int_equal(a->n_keys, 2);
    assert_path(&a->keys[1], "\"b c\"[0]");
    assert_true(a->points.has_ids && a->points.n == 0);
    refuse(SX_OP_PAYLOAD_SET, SX_EFORMAT, "{\"payload\":{},\"points\":[1],\"points\"^:[2]}",
           "duplicate field `points`");
    refuse(SX_OP_PAYLOAD_SET, SX_EFORMAT, "{\"payload\":{},\"points\":[1],\"key\":\"a b\" }^",
           "Invalid json path: 'a b'");
    refuse(
        SX_OP_PAYLOAD_SET, SX_EFORMAT, "{\"payload\":{},\"points\":[\"x\", ^2]}",
        "value x is not a valid point ID, valid values are either an unsigned integer or a UUID");
    refuse(SX_OP_PAYLOAD_DELETE, SX_EFORMAT, "{\"keys\":[\"a..b\"]^,\"points\":[1]}",
           "Invalid json path: 'a..b'");
    refuse(SX_OP_PAYLOAD_SET, SX_EFORMAT, "^[]",
           "invalid type: sequence, expected struct SetPayload");
    refuse(SX_OP_PAYLOAD_SET, SX_EFORMAT, "{\"payload\":{}} x",
           "Either list of point ids or filter must be provided");
}

/* --- vectors -------------------------------------------------------------------------------- */

#define DENSE_EMPTY "dense vector must not be empty"

static void vector_updates(void **state)
{
    const struct sx_args_upsert *a;

    (void)state;
    a = accept(SX_OP_VECTORS_UPDATE,
               "{\"points\":[{\"id\":1,\"vector\":[1,2]},{\"vectors\":{\"s\":{\"indices\":[5,2],"
               "\"values\":[1,2]},\"t\":{\"text\":\"x\",\"model\":\"m\"}},\"id\":2}],"
               "\"update_filter\":{},\"shard_key\":\"k\"}");
    assert_int_equal(a->n, 2);
    assert_int_equal(a->points[0].vectors[0].dim, 2);
    assert_int_equal(a->points[1].n_vectors, 2);
    assert_int_equal(a->points[1].vectors[0].indices[0], 2);
    assert_int_equal(a->points[1].vectors[1].kind, SX_VEC_INFER);
    assert_true(a->update_filter != NULL && a->shards.n == 1);
    refuse(SX_OP_VECTORS_UPDATE, SX_EVALID,
           "{\"points\":[{\"id\":1,\"vector\":{}},{\"id\":2,\"vector\":{\"a\":[1],\"b\":[]}},"
           "{\"id\":3,\"vector\":[[1.5],[1,2]]}]}",
           "[points[0].vector: must specify vectors to update for point; "
           "points[1].?.vector: " DENSE_EMPTY
           "; points[2].data: all vectors must have the same dimension, found vector "
           "with dimension 2]");
    refuse(SX_OP_VECTORS_UPDATE, SX_EVALID,
           "{\"points\":[{\"id\":1,\"vector\":{\"a\":[],\"b\":{\"indices\":[],\"values\":[]}}}]}",
           "[points[0].vector: must specify vectors to update for point]");
    refuse(SX_OP_VECTORS_UPDATE, SX_EFORMAT, "{\"points\":[{\"vector\":[1]}^]}",
           "missing field `id`");
    refuse(SX_OP_VECTORS_UPDATE, SX_EFORMAT, "{\"points\":[{\"id\":1,\"vector\":null}^]}",
           "data did not match any variant of untagged enum VectorStruct");
    refuse(SX_OP_VECTORS_UPDATE, SX_EINFERENCE,
           "{\"points\":[{\"id\":1,\"vector\":{\"object\":{},\"model\":\"m\"}}]}",
           "Direct Object processing not supported for PointVectors. Use named vectors.");
}

static void vector_deletes(void **state)
{
    const struct sx_args_vectors_delete *a;

    (void)state;
    a = accept(SX_OP_VECTORS_DELETE,
               "{\"vectors\":[\"a\",\"\"],\"points\":[1],\"filter\":{},\"shard_key\":\"k\"}");
    assert_int_equal(a->n_names, 2);
    assert_str(a->names[0], "a");
    assert_true(a->points.has_ids && a->points.filter != NULL && a->shards.n == 1);
    a = accept(SX_OP_VECTORS_DELETE, "{\"vector\":[\"a\"]}"); /* the engine's to refuse */
    assert_true(!a->points.has_ids && a->points.filter == NULL);
    refuse(SX_OP_VECTORS_DELETE, SX_EVALID, "{\"vector\":[]}",
           "[vector: must specify vector names to delete]");
    refuse(SX_OP_VECTORS_DELETE, SX_EFORMAT, "{\"vector\":[\"a\"],\"vectors\"^:[]}",
           "duplicate field `vector`");
}

/* --- inference objects ---------------------------------------------------------------------- */

static const struct sx_vec_in *vector_of(const char *value)
{
    static char body[400];
    const struct sx_args_upsert *a;

    strcpy(body, "{\"points\":[{\"id\":1,\"vector\":");
    strcat(strcat(body, value), "}]}");
    a = accept(SX_OP_POINTS_UPSERT, body);
    return a->points[0].vectors;
}

static void inference(void **state)
{
    const struct sx_args_upsert *a;
    const struct sx_vec_in *v;

    (void)state;
    v = vector_of("{\"text\":\"hi\",\"model\":\"Bm25\",\"options\":{\"k\":1}}");
    assert_true(v->kind == SX_VEC_INFER && v->name.n == 0);
    assert_int_equal(v->infer->kind, SX_INFER_TEXT);
    assert_str(v->infer->model, "Bm25");
    assert_str(sx_doc_str(v->infer->data), "hi");
    assert_doc(v->infer->options, "{\"k\":1}");
    v = vector_of("{\"text\":5,\"object\":{\"a\":[1]},\"model\":\"\",\"options\":null}");
    assert_int_equal(v->infer->kind, SX_INFER_OBJECT);
    assert_doc(v->infer->data, "{\"a\":[1]}");
    assert_null(v->infer->options.p);
    v = vector_of("{\"a\":{\"image\":null,\"object\":1,\"model\":\"m\"},\"b\":[1]}");
    assert_str(v[0].name, "a");
    assert_int_equal(v[0].infer->kind, SX_INFER_IMAGE);
    assert_true(v[0].infer->data.p != NULL && v[1].kind == SX_VEC_DENSE);
    v = vector_of("{\"text\":[1],\"model\":[2]}"); /* two vectors of those names */
    assert_true(v[0].kind == SX_VEC_DENSE && v[1].kind == SX_VEC_DENSE);
    a = accept(SX_OP_POINTS_UPSERT, "{\"batch\":{\"ids\":[1,2],\"vectors\":{\"s\":[{\"text\":\"x\","
                                    "\"model\":\"m\"},{\"indices\":[1],\"values\":[2]}]}}}");
    assert_int_equal(a->points[0].vectors[0].kind, SX_VEC_INFER);
    assert_int_equal(a->points[1].vectors[0].kind, SX_VEC_SPARSE);
    refuse(SX_OP_POINTS_UPSERT, SX_EINFERENCE,
           "{\"batch\":{\"ids\":[1],\"vectors\":[{\"image\":1,\"model\":\"m\"}]}}",
           "Direct Image processing is not supported in top-level batch vectors. Use named "
           "vectors.");
    refuse(SX_OP_POINTS_UPSERT, SX_EFORMAT,
           "{\"batch\":{\"ids\":[1,2],\"vectors\":[{\"image\":1,\"model\":\"m\"},{\"object\":1,"
           "\"model\":\"m\"}]}}",
           "data did not match any variant of untagged enum BatchVectorStruct");
    refuse(SX_OP_POINTS_UPSERT, SX_EFORMAT,
           "{\"points\":[{\"id\":1,\"vector\":{\"text\":\"a\",\"model\":\"m\",\"options\":[]}}]}",
           "data did not match any variant of untagged enum VectorStruct");
    refuse(SX_OP_POINTS_UPSERT, SX_EFORMAT,
           "{\"points\":[{\"id\":1,\"vector\":{\"text\":\"a\",\"model\":\"m\",\"model\":\"n\"}}]}",
           "data did not match any variant of untagged enum VectorStruct");
}

/* --- batches -------------------------------------------------------------------------------- */

#define NO_UPDATE "data did not match any variant of untagged enum UpdateOperation"

static void batches(void **state)
{
    static const uint32_t codes[] = {
        SX_OP_POINTS_UPSERT,  SX_OP_POINTS_DELETE, SX_OP_PAYLOAD_SET,    SX_OP_PAYLOAD_OVERWRITE,
        SX_OP_PAYLOAD_DELETE, SX_OP_PAYLOAD_CLEAR, SX_OP_VECTORS_UPDATE, SX_OP_VECTORS_DELETE};
    const struct sx_args_batch *a;

    (void)state;
    a = accept(
        SX_OP_POINTS_BATCH,
        "{\"operations\":[{\"upsert\":{\"batch\":{\"ids\":[4],\"vectors\":[[1]]}}},"
        "{\"delete\":{\"filter\":{}}},{\"set_payload\":{\"payload\":{\"a\":1},\"points\":[1]}},"
        "{\"overwrite_payload\":{\"payload\":{},\"points\":[1]}},{\"delete_payload\":{\"keys\":[],"
        "\"points\":[1]}},{\"clear_payload\":{\"points\":[9]}},{\"update_vectors\":{\"points\":"
        "[{\"id\":1,\"vector\":[1]}]}},{\"delete_vectors\":{\"vector\":[\"a\"],\"points\":[1]}}]}");
    assert_int_equal(a->n, SX_COUNT(codes));
    for (uint32_t i = 0; i < a->n; i++)
        assert_int_equal(a->items[i].code, codes[i]);
    assert_int_equal(((const struct sx_args_upsert *)a->items[0].args)->points[0].id.lo, 4);
    assert_non_null(((const struct sx_args_points *)a->items[1].args)->points.filter);
    assert_int_equal(((const struct sx_args_points *)a->items[5].args)->points.ids[0].lo, 9);
    a = accept(SX_OP_POINTS_BATCH, "{\"operations\":[]}");
    assert_int_equal(a->n, 0);
}

/* Elements that carry more than one member, and what is left of the ones that do not fit. */
static void batch_elements(void **state)
{
    const struct sx_args_batch *a;

    (void)state;
    a = accept(SX_OP_POINTS_BATCH,
               "{\"operations\":[{\"x\":1,\"delete\":{\"points\":[1]}},"
               "{\"clear_payload\":{\"points\":[1]},\"delete\":{\"points\":[2]}},"
               "{\"delete\":{\"points\":[3]},\"upsert\":{\"points\":[{\"id\":1}]}},"
               "{\"update_vectors\":{\"points\":[]},\"delete\":{\"points\":[4]}}]}");
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(a->items[i].code, SX_OP_POINTS_DELETE);
        assert_int_equal(((const struct sx_args_points *)a->items[i].args)->points.ids[0].lo,
                         i + 1);
    }
    refuse(SX_OP_POINTS_BATCH, SX_EFORMAT, "{\"operations\":[{\"delete\":{}}, ^{}]}", NO_UPDATE);
    refuse(SX_OP_POINTS_BATCH, SX_EFORMAT,
           "{\"operations\":[{\"delete\":{\"points\":[1]},\"delete\":{\"points\":[1]}}]^}",
           NO_UPDATE);
    refuse(SX_OP_POINTS_BATCH, SX_EFORMAT, "{\"operations\":[7]^}", NO_UPDATE);
    refuse(SX_OP_POINTS_BATCH, SX_EFORMAT, "{\"operations\":[{\"delete\":{\"points\":[1]^",
           "EOF while parsing an object");
    refuse(SX_OP_POINTS_BATCH, SX_EFORMAT,
           "{\"operations\":[{\"upsert\":{\"points\":5},\"x\":tru}^]}", "expected ident");
    refuse(SX_OP_POINTS_BATCH, SX_EVALID,
           "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1,\"vector\":[]}]}},{\"upsert\":"
           "{\"points\":5,\"batch\":{\"ids\":[1],\"vectors\":[]}}},{\"delete_vectors\":{\"vector\":"
           "[]}},{\"update_vectors\":{\"points\":[{\"id\":1,\"vector\":[]}]}}]}",
           "[operations[0].upsert.points[0].vector.vector: " DENSE_EMPTY
           "; operations[1].upsert.batch.batch: number of ids and vectors must be equal (1 != 0); "
           "operations[2].delete_vectors.vector: must specify vector names to delete; "
           "operations[3].update_vectors.points[0].vector: must specify vectors to update for "
           "point]");
}

/* --- indexes and vector names --------------------------------------------------------------- */

static void index_is(const char *schema, const char *want)
{
    const struct sx_args_field *a;
    char body[600];

    strcpy(body, "{\"field_schema\":");
    strcat(strcat(body, schema), ",\"field_name\":\"a[].\\\"b\\\"\"}");
    a = accept(SX_OP_INDEX_CREATE, body);
    assert_path(&a->field, "a[].b");
    assert_doc(a->schema, want);
    assert_int_equal(a->bare, schema[0] == '"');
}

static void indexes(void **state)
{
    const struct sx_args_field *a;

    (void)state;
    index_is("\"uuid\"", "{\"type\":\"uuid\"}");
    index_is("\"text\"", "{\"type\":\"text\"}");
    index_is("{\"nested\":\"a\",\"prefix\":true,\"memory\":\"cold\",\"lookup\":5,\"type\":"
             "\"keyword\"}",
             "{\"type\":\"keyword\",\"memory\":\"cold\",\"prefix\":true,\"nested\":\"a\"}");
    index_is("{\"range\":null,\"type\":\"integer\",\"lookup\":false}",
             "{\"type\":\"integer\",\"lookup\":false,\"range\":null,\"is_principal\":null}");
    index_is("{\"type\":\"datetime\",\"enable_hnsw\":false}",
             "{\"type\":\"datetime\",\"is_principal\":null,\"enable_hnsw\":false}");
    index_is("{\"type\":\"text\",\"scoring\":true,\"stemmer\":{\"type\":\"none\",\"language\":"
             "\"xx\"},\"tokenizer\":\"code\"}",
             "{\"type\":\"text\",\"tokenizer\":\"code\",\"stemmer\":{\"type\":\"none\"},"
             "\"scoring\":{\"type\":\"bm25\"}}");
    index_is("{\"type\":\"text\",\"scoring\":{\"type\":\"bm25\",\"k\":1},\"stopwords\":"
             "{\"custom\":[\"b\",\"a\",\"b\"],\"languages\":[\"hi-en\",\"en\",\"english\"],"
             "\"x\":1}}",
             "{\"type\":\"text\",\"tokenizer\":\"word\",\"stopwords\":{\"languages\":[\"english\","
             "\"hinglish\"],\"custom\":[\"a\",\"b\"]},\"scoring\":{\"type\":\"bm25\"}}");
    index_is("{\"type\":\"text\",\"scoring\":false,\"stopwords\":null}",
             "{\"type\":\"text\",\"tokenizer\":\"word\"}");
    a = accept(SX_OP_INDEX_CREATE, "{\"field_name\":\"a\",\"field_type\":null}");
    assert_null(a->schema.p);
    refuse(SX_OP_INDEX_CREATE, SX_EFORMAT,
           "{\"field_schema\":{\"type\":\"text\",\"scoring\":\"bm25\"}^,\"field_name\":\"a\"}",
           "data did not match any variant of untagged enum PayloadFieldSchema");
    refuse(SX_OP_INDEX_CREATE, SX_EFORMAT,
           "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"scoring\":{}}}^",
           "data did not match any variant of untagged enum PayloadFieldSchema");
}

static void vector_names(void **state)
{
    (void)state;
    (void)accept(SX_OP_VECTOR_NAME_CREATE,
                 "{\"sparse\":{},\"dense\":{\"size\":4,\"distance\":\"Dot\",\"on_disk\":true,"
                 "\"datatype\":\"turbo8\",\"multivector_config\":{\"comparator\":\"max_sim\"}}}");
    assert_doc(op.body, "{\"dense\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"turbo8\","
                        "\"multivector_config\":{\"comparator\":\"max_sim\"}}}");
    (void)accept(SX_OP_VECTOR_NAME_CREATE,
                 "{\"dense\":{\"size\":-1,\"distance\":\"Dot\"},\"sparse\":{\"modifier\":\"idf\","
                 "\"datatype\":null}}");
    assert_doc(op.body, "{\"sparse\":{\"modifier\":\"idf\"}}");
    refuse(SX_OP_VECTOR_NAME_CREATE, SX_EVALID, "{\"sparse\":{\"datatype\":\"turbo16\"}}",
           "[sparse.datatype: sparse vectors do not support the `turbo16` datatype]");
    refuse(SX_OP_VECTOR_NAME_CREATE, SX_EFORMAT, "{\"dense\":{\"size\":4,\"distance\":\"dot\"}}",
           "data did not match any variant of untagged enum VectorNameConfig");
    refuse(SX_OP_VECTOR_NAME_CREATE, SX_EFORMAT, "{\"sparse\":{}^", "EOF while parsing an object");
}

static void index_fields(void **state)
{
    struct sx_str text = {NULL, 0, 0};

    (void)state;
    sx_arena_reset(&arena);
    op = (struct sx_op){.code = SX_OP_INDEX_DELETE, .arena = &arena, .name = {"o[].\"t\"", 7, 0}};
    assert_int_equal(rest_query_parse(&op, (struct sx_str){"wait=true", 9, 0}, &text), SX_OK);
    assert_path(&((const struct sx_args_field *)op.args)->field, "o[].t");
    assert_int_equal(op.flags, SX_OP_WAIT);
    op.name = (struct sx_str){"a b", 3, 0};
    assert_int_equal(rest_query_parse(&op, (struct sx_str){"wait=x", 6, 0}, &text), SX_EINPUT);
    assert_str(text, "Deserialize error in path parameters: Invalid json path: 'a b'");
}

/* With memory for so many bytes only: refused as such, or taken; never a complaint about the form.
 */
static void short_of_memory(void **state)
{
    static const struct {
        uint32_t code;
        const char *body;
    } list[] = {
        {SX_OP_POINTS_UPSERT,
         "{\"points\":[{\"id\":1,\"vector\":{\"a\":{\"text\":\"\\u0041\",\"model\":\"m\"},\"s\":"
         "{\"indices\":[2,1],\"values\":[1,2]},\"m\":[[1.5],[2]]},\"payload\":{\"a\":[1]}}],"
         "\"update_filter\":{\"must\":{\"is_empty\":{\"key\":\"a\"}}},\"shard_key\":[1,\"\\u0041\"]"
         "}"},
        {SX_OP_POINTS_UPSERT,
         "{\"points\":5,\"batch\":{\"ids\":[1],\"vectors\":{\"\\u0041\":[[1]]},"
         "\"payloads\":[{\"a\":1}]}}"},
        {SX_OP_POINTS_DELETE,
         "{\"filter\":{\"must\":[{\"has_id\":[1]}]},\"shard_key\":\"\\u0041\"}"},
        {SX_OP_PAYLOAD_SET, "{\"payload\":{\"\\u0041\":1},\"key\":\"a[].b\",\"points\":[1]}"},
        {SX_OP_VECTORS_UPDATE, "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1]}}]}"},
        {SX_OP_VECTORS_DELETE, "{\"vector\":[\"\\u0041\"],\"points\":[1]}"},
        {SX_OP_POINTS_BATCH,
         "{\"operations\":[{\"delete\":{\"points\":[1]}},{\"x\":1,\"upsert\":{\"points\":[{\"id\":"
         "1,"
         "\"vector\":[1]}]}},{\"delete_payload\":{\"keys\":[\"a.b\"],\"points\":[2]}}]}"},
        {SX_OP_INDEX_CREATE, "{\"field_name\":\"\\u0041.b\",\"field_schema\":{\"type\":\"text\","
                             "\"stopwords\":{\"custom\":"
                             "[\"b\",\"a\"]}}}"},
        {SX_OP_VECTOR_NAME_CREATE, "{\"x\":\"\\u0041\",\"\\u0064ense\":{\"size\":1,\"distance\":"
                                   "\"\\u0044ot\"}}"},
        {SX_OP_SCROLL,
         "{\"order_by\":{\"key\":\"\\u0041\"},\"filter\":{\"should\":[]},\"with_payload\":"
         "[\"\\u0041\"],\"with_vector\":[\"\\u0041\"]}"},
        {SX_OP_FACET, "{\"key\":\"\\u0041\",\"filter\":{\"must\":[{\"has_vector\":\"\"}]}}"},
    };
    uint32_t n_short = 0;

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(list); i++)
        for (uint64_t limit = 1; limit < 20000; limit += limit / 16 + 1) {
            int rc;

            sx_arena_fini(&arena);
            sx_arena_init(&arena, sx_mem_libc(), limit);
            rc = decode(list[i].code, list[i].body);
            if (rc != SX_OK && rc != SX_ENOMEM)
                fail_msg("%s: %llu bytes: %d %.*s", list[i].body, (unsigned long long)limit, rc,
                         (int)dec.err.n, dec.err.p);
            n_short += rc == SX_ENOMEM;
        }
    sx_arena_fini(&arena);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    assert_true(n_short > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors),       cmocka_unit_test(payloads),
        cmocka_unit_test(vector_updates),  cmocka_unit_test(vector_deletes),
        cmocka_unit_test(inference),       cmocka_unit_test(batches),
        cmocka_unit_test(batch_elements),  cmocka_unit_test(indexes),
        cmocka_unit_test(vector_names),    cmocka_unit_test(index_fields),
        cmocka_unit_test(short_of_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
