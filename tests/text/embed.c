/* needs: plugins/engine/bm25.c plugins/engine/text_*.c */
/* What text analysis makes of texts, for tests/text/oracle.py to compare with another
 * implementation.
 *
 * Reads lines of JSON and answers each with one line, or with "!" and the text of the error:
 *   {"options": {...}, "text": "...", "query": true|false}  the BM25 vector
 *        -> {"indices": [...], "values": [...]}
 *   {"params": {...}, "text": "...", "mode": 0|1|2|3}  the tokens of a text index, ENG_TEXT_*
 *        -> {"tokens": [[text, position or null], ...]}  null: a compound */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/bm25.h"
#include "../../plugins/engine/text.h"

static struct sx_arena arena;

static int parse(const char *line, size_t n, struct sx_doc *out)
{
    struct sx_json j;
    struct sx_docb b;
    int rc;

    sx_json_init(&j, line, n, &arena);
    sx_docb_init(&b, sx_mem_libc(), 0);
    rc = sx_json_doc(&j, &b);
    if (rc == 0)
        *out = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    return rc != 0 || out->p == NULL ? -1 : 0;
}

static int vector(struct sx_doc d, struct sx_err *err)
{
    struct sx_vec_in v;
    char text[32];
    int rc;

    memset(&v, 0, sizeof(v));
    rc = eng_bm25_embed(sx_mem_libc(), NULL, sx_doc_get(d, "options"),
                        sx_doc_str(sx_doc_get(d, "text")), sx_doc_get_bool(d, "query", 0), &arena,
                        &v, err);
    if (rc != 0)
        return rc;
    printf("{\"indices\": [");
    for (uint32_t i = 0; i < v.dim; i++)
        printf("%s%u", i == 0 ? "" : ", ", v.indices[i]);
    printf("], \"values\": [");
    for (uint32_t i = 0; i < v.dim; i++) {
        uint32_t n = sx_num_format_f32(v.data[i], text);

        printf("%s%.*s", i == 0 ? "" : ", ", (int)n, text);
    }
    printf("]}\n");
    return 0;
}

struct list {
    struct sx_buf text;
    uint32_t n;
};

static int add(void *arg, const struct eng_text_token *t)
{
    struct list *l = arg;

    sx_buf_adds(&l->text, l->n++ == 0 ? "[" : ", [");
    sx_jsonw_str(&l->text, t->text.p, t->text.n);
    if (t->is_compound)
        sx_buf_adds(&l->text, ", null]");
    else
        sx_buf_printf(&l->text, ", %u]", t->position);
    return 0;
}

static int tokens(struct sx_doc d, struct sx_err *err)
{
    struct eng_analyzer *a = NULL;
    struct list l = {.n = 0};
    struct sx_buf work;
    int rc = eng_analyzer_create(sx_mem_libc(), NULL, sx_doc_get(d, "params"), &a, err);

    sx_buf_init(&l.text, sx_mem_libc());
    sx_buf_init(&work, sx_mem_libc());
    if (rc == 0)
        rc = eng_analyze(a, (int)sx_doc_get_i64(d, "mode", ENG_TEXT_DOC),
                         sx_doc_str(sx_doc_get(d, "text")), &work, add, &l);
    if (rc == 0)
        printf("{\"tokens\": [%.*s]}\n", (int)l.text.n, l.text.n == 0 ? "" : l.text.p);
    sx_buf_fini(&l.text);
    sx_buf_fini(&work);
    eng_analyzer_destroy(a);
    return rc;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct sx_err err = SX_ERR_INIT;
        struct sx_doc d;

        if (parse(line, (size_t)n, &d) != 0)
            return 2;
        if ((sx_doc_get(d, "params").p != NULL ? tokens : vector)(d, &err) != 0)
            printf("!%s\n", err.msg);
        sx_arena_reset(&arena);
    }
    free(line);
    sx_arena_fini(&arena);
    return 0;
}
