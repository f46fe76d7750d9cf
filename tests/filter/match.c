/* Filters on payloads, asked line by line: what the comparisons in this folder talk to.
 *
 *   {"points": [[id, payload], ...]}          these are the points from now on
 *   {"indexes": {path: schema, ...}}          and these their payload indexes
 *   {"filter": {...}}                         answers with the ids that match: [1, 2]
 *   {"set": payload, "of": payload, "key": path or null}      answers with the new payload
 *   {"delete": [path, ...], "of": payload}    answers with the new payload
 *   {"instant": text}                         answers [seconds, nanoseconds] or null
 *
 * Every point has the vector "a" and no other. One line of answer for each question. */
/* needs: plugins/engine/filter.h */

#include "../../plugins/engine/payload_edit.h"
#include "../unit/filter_json.h"

struct point {
    struct sx_id id;
    struct sx_doc payload;
};

static struct sx_arena points_arena, schemas_arena, line_arena;
static struct point *points;
static uint32_t n_points;
static struct fj_schemas schemas;
static struct eng_match_scratch scratch;

static int has_vector(const void *ctx SX_UNUSED, struct sx_str name)
{
    return name.n == 1 && name.p[0] == 'a';
}

static struct sx_doc keep(struct sx_arena *a, struct sx_doc d)
{
    uint8_t *p = fj_alloc(a, d.n);

    memcpy(p, d.p, d.n);
    return (struct sx_doc){p, d.n, 0};
}

static void set_points(struct sx_doc list)
{
    sx_arena_reset(&points_arena);
    list = keep(&points_arena, list);
    n_points = sx_doc_count(list);
    points = fj_alloc(&points_arena, n_points * sizeof(*points));
    for (uint32_t i = 0; i < n_points; i++) {
        points[i].id = fj_id(sx_doc_elem(sx_doc_elem(list, i), 0));
        points[i].payload = sx_doc_elem(sx_doc_elem(list, i), 1);
    }
}

static void set_indexes(struct sx_doc map)
{
    fj_schemas_clear(&schemas);
    sx_arena_reset(&schemas_arena);
    map = keep(&schemas_arena, map);
    for (uint32_t i = 0; i < sx_doc_count(map); i++) {
        struct sx_str path;
        struct sx_doc params = sx_doc_member(map, i, &path);

        fj_schema(&schemas_arena, &schemas, path, params);
    }
}

static void answer_filter(struct sx_doc filter)
{
    struct eng_schemas lookup = fj_lookup(&schemas);
    struct eng_filter *f;
    const char *comma = "";

    fj_need(eng_filter_compile(sx_mem_libc(), fj_filter(&line_arena, filter), &lookup, &line_arena,
                               &f, NULL) == 0,
            "compile");
    printf("[");
    for (uint32_t i = 0; i < n_points; i++) {
        struct eng_subject s = {points[i].id, points[i].payload, has_vector, NULL};
        char text[40];

        if (!eng_filter_match(f->root, &s, &scratch))
            continue;
        sx_id_format(points[i].id, text);
        printf(s.id.kind == SX_ID_NUM ? "%s%s" : "%s\"%s\"", comma, text);
        comma = ", ";
    }
    printf("]\n");
    fj_need(!scratch.failed, "memory while matching");
}

static void answer_doc(struct sx_docb *b, int rc)
{
    struct sx_doc d = sx_docb_end(b);
    struct sx_buf text;

    fj_need(rc == 0 && sx_doc_check(d.p, d.n) == 0, "payload edit");
    sx_buf_init(&text, sx_mem_libc());
    sx_jsonw_doc(&text, d);
    printf("%.*s\n", (int)text.n, text.p);
    sx_buf_fini(&text);
}

static void answer_edit(struct sx_doc line)
{
    struct sx_doc of = sx_doc_get(line, "of"), set = sx_doc_get(line, "set");
    struct sx_doc list = sx_doc_get(line, "delete");
    struct sx_str key = sx_doc_str(sx_doc_get(line, "key"));
    struct sx_path *paths, at = {0, 0, NULL};
    struct sx_docb b;

    sx_docb_init(&b, sx_mem_libc(), 0);
    if (set.p != NULL) {
        if (key.p != NULL)
            at = fj_path(&line_arena, key);
        answer_doc(&b, eng_payload_set(sx_mem_libc(), of, set, &at, &b));
    } else {
        paths = fj_alloc(&line_arena, sx_doc_count(list) * sizeof(*paths));
        for (uint32_t i = 0; i < sx_doc_count(list); i++)
            paths[i] = fj_path(&line_arena, sx_doc_str(sx_doc_elem(list, i)));
        answer_doc(&b, eng_payload_delete(sx_mem_libc(), of, paths, sx_doc_count(list), &b));
    }
    sx_docb_fini(&b);
}

static void answer_instant(struct sx_str text)
{
    struct sx_instant t;

    if (sx_instant_parse(text.p, text.n, &t) == 0)
        printf("[%lld, %u]\n", (long long)t.s, t.ns);
    else
        printf("null\n");
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    sx_arena_init(&points_arena, sx_mem_libc(), 0);
    sx_arena_init(&schemas_arena, sx_mem_libc(), 0);
    sx_arena_init(&line_arena, sx_mem_libc(), 0);
    eng_match_scratch_init(&scratch, sx_mem_libc());
    fj_schemas_init(&schemas);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct sx_doc d, m;

        sx_arena_reset(&line_arena);
        d = fj_doc_n(&line_arena, line, (size_t)n);
        if ((m = sx_doc_get(d, "points")).p != NULL)
            set_points(m);
        else if ((m = sx_doc_get(d, "indexes")).p != NULL)
            set_indexes(m);
        else if ((m = sx_doc_get(d, "filter")).p != NULL)
            answer_filter(m);
        else if ((m = sx_doc_get(d, "instant")).p != NULL)
            answer_instant(sx_doc_str(m));
        else
            answer_edit(d);
        fflush(stdout);
    }
    free(line);
    fj_schemas_fini(&schemas);
    eng_match_scratch_fini(&scratch);
    sx_arena_fini(&line_arena);
    sx_arena_fini(&schemas_arena);
    sx_arena_fini(&points_arena);
    return 0;
}
