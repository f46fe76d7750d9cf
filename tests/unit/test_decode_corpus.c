/* Recorded requests through the decoder alone: what the reference refused for its form is refused
 * with the same text, everything else is taken, and the schema of a payload index comes out as the
 * collection's description showed it afterwards.
 *
 * Reads the recordings in tests/corpus as they stand (the working directory is the tree's root).
 * The body of a step is the text between the brackets of its "b", which is how it was sent, so
 * positions count too wherever they were recorded. */
/* needs: plugins/transport-rest/decode.c plugins/transport-rest/query.c */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport-rest/decode.h"
#include "transport-rest/path.h"
#include "transport-rest/query.h"
#include "transport-rest/route.h"

static struct rest_router router;
static struct sx_arena lines, arena; /* of the recording, of one request */
static struct sx_docb docb;
static struct rest_dec dec;
static struct sx_op op;
static uint32_t n_refused, n_taken, n_open, n_wrong, n_shown;

/* The indexes that a scenario has created: what the decoder made of their schemas. */
#define MADE_MAX 256u
static struct made {
    struct sx_str collection, field; /* field: canonical */
    struct sx_doc schema;
    uint32_t bare, pad;
} made[MADE_MAX];
static uint32_t n_made;

struct step {
    struct sx_str method, path, body, error, result; /* result: its JSON text */
    int has_body;
    uint64_t status;
    struct sx_str cmp;
};

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&lines, sx_mem_libc(), 0);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&docb, sx_mem_libc(), SX_DOCB_LAST_WINS);
    return rest_router_init(&router);
}

static int teardown(void **state)
{
    (void)state;
    sx_docb_fini(&docb);
    sx_arena_fini(&arena);
    sx_arena_fini(&lines);
    return 0;
}

/* --- reading the recordings ----------------------------------------------------------------- */

/* {"result": ..., "status": {"error": text}} of an answer. */
static void read_answer(struct sx_json *j, struct step *s)
{
    struct sx_str key, inner;

    if (sx_json_peek(j) != SX_JSON_OBJ) {
        (void)sx_json_skip(j, NULL);
        return;
    }
    (void)sx_json_obj_begin(j, "");
    while (sx_json_obj_next(j, &key) > 0) {
        if (!REST_IS(key, "status") || sx_json_peek(j) != SX_JSON_OBJ) {
            (void)sx_json_skip(j, REST_IS(key, "result") ? &s->result : NULL);
            continue;
        }
        (void)sx_json_obj_begin(j, "");
        while (sx_json_obj_next(j, &inner) > 0)
            if (REST_IS(inner, "error") && sx_json_peek(j) == SX_JSON_STR)
                (void)sx_json_str(j, "", &s->error);
            else
                (void)sx_json_skip(j, NULL);
    }
}

static void read_step(struct sx_json *j, struct step *s)
{
    struct sx_str key;

    memset(s, 0, sizeof(*s));
    (void)sx_json_obj_begin(j, "");
    while (sx_json_obj_next(j, &key) > 0) {
        if (REST_IS(key, "m"))
            (void)sx_json_str(j, "", &s->method);
        else if (REST_IS(key, "p"))
            (void)sx_json_str(j, "", &s->path);
        else if (REST_IS(key, "b"))
            s->has_body = sx_json_skip(j, &s->body) == SX_OK;
        else if (REST_IS(key, "raw"))
            s->has_body = sx_json_str(j, "", &s->body) == SX_OK;
        else if (REST_IS(key, "s"))
            (void)sx_json_u64(j, "", 999, &s->status);
        else if (REST_IS(key, "cmp"))
            (void)sx_json_str(j, "", &s->cmp);
        else if (REST_IS(key, "r"))
            read_answer(j, s);
        else
            (void)sx_json_skip(j, NULL);
    }
}

/* --- one request ---------------------------------------------------------------------------- */

/* The operation of a step; 0 when no route has it. Sets op.code and op.name. */
static int route(const struct step *s, struct sx_str *query)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    const char *mark = s->path.n != 0 ? memchr(s->path.p, '?', s->path.n) : NULL;
    struct sx_str path = s->path, segments[REST_SEGMENTS_MAX];
    uint32_t method = rest_field_of(s->method, methods, SX_COUNT(methods));
    struct rest_match m;
    int n;

    *query = (struct sx_str){"", 0, 0};
    if (mark != NULL) {
        path.n = (uint32_t)(mark - path.p);
        *query = (struct sx_str){mark + 1, s->path.n - path.n - 1, 0};
    }
    n = rest_path_split(path, segments);
    if (n < 0)
        return 0;
    rest_router_find(&router, method, segments, (uint32_t)n, &m);
    if (m.op < 0)
        return 0;
    memset(&op, 0, sizeof(op));
    op.code = (uint32_t)m.op;
    op.arena = &arena;
    for (uint32_t i = 0; i < m.n_params; i++)
        if (m.param[i].what != REST_P_COLLECTION)
            assert_int_equal(rest_path_decode(&arena, segments[m.param[i].segment], &op.name), 0);
        else
            op.collection = segments[m.param[i].segment];
    return 1;
}

/* The whole text a client would see for rc, or an empty one. */
static struct sx_str whole_text(int rc, struct sx_str full)
{
    if (rc == SX_OK)
        return (struct sx_str){"", 0, 0};
    if (full.p != NULL)
        return full;
    return sx_arena_printf(&arena, "%s%.*s", sx_err_prefix(rc), (int)dec.err.n, dec.err.p);
}

static int begins(struct sx_str s, const char *with)
{
    return s.n >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

/* Texts that the head and the body's form are answerable for. */
static int is_ours(const struct step *s)
{
    return begins(s->error, "Format error in JSON body: ") ||
           begins(s->error, "Validation error in JSON body: ") ||
           begins(s->error, "Deserialize error in query parameters: ") ||
           begins(s->error, "Validation error in query parameters: ") ||
           begins(s->error, "Deserialize error in path parameters: Invalid json path") ||
           begins(s->error, "Direct ");
}

static int is_as_recorded(const struct step *s, struct sx_str got)
{
    if (REST_IS(s->cmp, "status"))
        return got.n != 0;
    if (REST_IS(s->cmp, "prefix"))
        return got.n >= s->error.n && memcmp(got.p, s->error.p, s->error.n) == 0;
    return got.n == s->error.n && memcmp(got.p, s->error.p, got.n) == 0;
}

/* Operations whose body or parameters the transport reads so far. */
static int is_read(uint32_t code)
{
    return rest_decode_knows(code) || code == SX_OP_INDEX_DELETE ||
           code == SX_OP_VECTOR_NAME_DELETE || code == SX_OP_POINT_GET ||
           code == SX_OP_COLLECTION_DELETE;
}

/* --- schemas of indexes --------------------------------------------------------------------- */

static struct sx_str kept(struct sx_str s)
{
    s.p = sx_arena_strdup(&lines, s.p, s.n);
    return s;
}

/* Remembers the index that op creates. */
static void make(const struct sx_args_field *args)
{
    struct made *m = &made[n_made++];
    struct sx_buf field;
    uint8_t *p;

    assert_true(n_made <= MADE_MAX);
    sx_buf_init(&field, sx_mem_libc());
    sx_path_print(&args->field, &field);
    m->collection = kept(op.collection);
    m->field = kept((struct sx_str){field.p, (uint32_t)field.n, 0});
    sx_buf_fini(&field);
    p = sx_arena_alloc(&lines, args->schema.n);
    memcpy(p, args->schema.p, args->schema.n);
    m->schema = (struct sx_doc){p, args->schema.n, 0};
    m->bare = args->bare;
}

/* The recorded value is in the other one, member by member; is_full: nothing else is. */
static int is_shown(struct sx_doc want, struct sx_doc got, int is_full)
{
    uint32_t n = sx_doc_count(want);
    struct sx_str key;

    if (sx_doc_type(want) != SX_DOC_OBJ)
        return want.n == got.n && memcmp(want.p, got.p, want.n) == 0;
    if (sx_doc_type(got) != SX_DOC_OBJ || (is_full && sx_doc_count(got) != n))
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        struct sx_doc one = sx_doc_member(want, i, &key), other = sx_doc_get_n(got, key.p, key.n);

        if (other.p == NULL || !is_shown(one, other, is_full))
            return 0;
    }
    return 1;
}

static void
check_shown(const char *title, const struct step *s, struct sx_str field, struct sx_doc one)
{
    struct sx_doc params = sx_doc_get(one, "params");
    uint32_t i = n_made;

    while (i > 0 && (!rest__is(made[i - 1].field, field.p, field.n) ||
                     !rest__is(made[i - 1].collection, op.collection.p, op.collection.n)))
        i--;
    if (i == 0)
        return;
    n_shown++;
    if (made[i - 1].bare ? params.p == NULL : is_shown(params, made[i - 1].schema, s->cmp.n == 0))
        return;
    n_wrong++;
    print_message("%s: schema of %.*s is not the one shown\n", title, (int)field.n, field.p);
}

/* What a description of a collection says of its payload indexes. */
static void shown(const char *title, const struct step *s)
{
    struct sx_doc schema, one;
    struct sx_str field;
    struct sx_json j;

    sx_json_init(&j, s->result.p, s->result.n, &arena);
    sx_docb_reset(&docb);
    assert_int_equal(sx_json_doc(&j, &docb), SX_OK);
    schema = sx_doc_get(sx_docb_end_arena(&docb, &arena), "payload_schema");
    for (uint32_t i = 0; i < sx_doc_count(schema); i++) {
        one = sx_doc_member(schema, i, &field);
        check_shown(title, s, field, one);
    }
}

/* --- one step ------------------------------------------------------------------------------- */

static void check(const char *title, const struct step *s)
{
    struct sx_str query, full = {NULL, 0, 0}, got;
    int rc;

    sx_arena_reset(&arena);
    if (!route(s, &query))
        return;
    if (op.code == SX_OP_COLLECTION_GET && s->status == 200 && s->result.n != 0)
        shown(title, s);
    if (!is_read(op.code))
        return;
    if (begins(s->error, "Validation error in path parameters: ") || s->status == 401 ||
        s->status == 403)
        return; /* found before the query string is looked at */
    rc = rest_query_parse(&op, query, &full);
    if (rc == SX_OK && rest_decode_knows(op.code)) {
        /* As long as it is, so that a look behind it is found. */
        char *body = malloc(s->body.n + 1);

        memcpy(body, s->body.n != 0 ? s->body.p : "", s->body.n);
        dec.arena = &arena;
        dec.docb = &docb;
        rc = rest_decode(&dec, &op, body, s->has_body ? s->body.n : 0);
        got = whole_text(rc, full);
        if (rc == SX_OK && op.code == SX_OP_INDEX_CREATE && s->status == 200)
            make(op.args);
        free(body);
    } else {
        got = whole_text(rc, full);
    }
    if (rc == SX_EUNSUPPORTED || (s->status == 400 && s->error.n == 0)) {
        n_open++; /* parts that are not read yet, and refusals without a recorded text */
        return;
    }
    if (is_ours(s) || s->status == 422) {
        n_refused++;
        if (s->error.n != 0 ? is_as_recorded(s, got) : rc == SX_EVALID)
            return;
    } else {
        n_taken++;
        if (rc == SX_OK)
            return;
    }
    n_wrong++;
    print_message("%s\n  %.*s %.*s\n  %.*s\n  want %llu %.*s\n  got  %.*s\n", title,
                  (int)s->method.n, s->method.p, (int)s->path.n, s->path.p,
                  (int)(s->body.n < 1000 ? s->body.n : 1000), s->body.p,
                  (unsigned long long)s->status, (int)s->error.n, s->error.p, (int)got.n, got.p);
}

static void scenario(const char *text, uint64_t n)
{
    struct sx_str key, name = {"", 0, 0};
    const char *title = "";
    struct sx_json j;
    struct step s;

    sx_arena_reset(&lines);
    n_made = 0;
    sx_json_init(&j, text, n, &lines);
    (void)sx_json_obj_begin(&j, "");
    while (sx_json_obj_next(&j, &key) > 0) {
        if (REST_IS(key, "name")) {
            (void)sx_json_str(&j, "", &name);
            title = sx_arena_strdup(&lines, name.p, name.n);
        } else if (REST_IS(key, "steps")) {
            (void)sx_json_arr_begin(&j, "");
            while (sx_json_arr_next(&j) > 0) {
                read_step(&j, &s);
                check(title, &s);
            }
        } else {
            (void)sx_json_skip(&j, NULL);
        }
    }
    if (j.failed)
        fail_msg("%s: %.*s", title, (int)j.msg.n, j.msg.p);
}

static void recordings(void **state)
{
    glob_t files;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    (void)state;
    assert_int_equal(glob("tests/corpus/*.jsonl", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *f = fopen(files.gl_pathv[i], "r");

        assert_non_null(f);
        while ((n = getline(&line, &cap, f)) > 0)
            scenario(line, (uint64_t)n);
        fclose(f);
    }
    free(line);
    globfree(&files);
    print_message("%u refusals, %u requests taken, %u not judged, %u schemas shown\n", n_refused,
                  n_taken, n_open, n_shown);
    assert_true(n_refused > 900 && n_taken > 5000 && n_shown > 100);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recordings),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
