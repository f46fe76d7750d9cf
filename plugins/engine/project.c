/* Parts of payloads. See project.h for the rule.
 *
 * The walk carries the patterns that agree with the path so far and are longer than it. A child is
 * decided by their next step: a pattern that ends there takes the whole child (include) or drops it
 * (exclude); patterns that go on make the walk go on; without any, include drops the child and
 * exclude copies it. So a walk is never deeper than the longest pattern, and everything else is
 * copied as bytes. */
#include "project.h"

#include "sextant/sx_path.h"

#include "sextant/sx_ban.h"

struct eng_projection {
    uint32_t mode, n;
    struct sx_path *paths;
    uint32_t n_levels, pad;
    uint32_t *active; /* n_levels times n: the patterns of each level of the walk */
};

struct project {
    const struct eng_projection *p;
    struct sx_docb b;
};

enum { DROP, COPY, ENTER };

int eng_projection_create(const struct sx_selector *sel,
                          struct sx_arena *arena,
                          struct eng_projection **out,
                          struct sx_err *err)
{
    struct eng_projection *p = sx_arena_zalloc(arena, sizeof(*p));
    uint32_t longest = 0;

    if (p == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    p->mode = sel->mode;
    p->n = sel->n;
    p->paths = sx_arena_alloc(arena, (uint64_t)sel->n * sizeof(*p->paths));
    if (p->paths == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < sel->n; i++) {
        int rc = sx_path_parse(arena, sel->names[i], &p->paths[i], err);

        if (rc != SX_OK)
            return rc;
        if (p->paths[i].n > longest)
            longest = p->paths[i].n;
    }
    /* A level per container the walk is in: no more than patterns or documents are deep. */
    p->n_levels = (longest < SX_DOC_MAX_DEPTH ? longest : SX_DOC_MAX_DEPTH) + 1;
    p->active = sx_arena_alloc(arena, (uint64_t)p->n_levels * sel->n * sizeof(*p->active));
    if (p->active == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    *out = p;
    return SX_OK;
}

/* What becomes of a child of the container at `level`, whose step is `key`, or [] when key is NULL.
 * For ENTER the patterns of the next level are filled in. */
static int decide(
    const struct project *w, uint32_t level, uint32_t n, const struct sx_str *key, uint32_t *n_next)
{
    const struct eng_projection *p = w->p;
    const uint32_t *from = p->active + (uint64_t)level * p->n;
    uint32_t *to = p->active + ((uint64_t)level + 1) * p->n;

    *n_next = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_path *path = &p->paths[from[i]];
        const struct sx_step *s = &path->steps[level];

        if (key != NULL ? !sx_step_is_key(s, *key) : s->kind != SX_STEP_ALL)
            continue;
        if (path->n == level + 1)
            return p->mode == SX_SEL_INCLUDE ? COPY : DROP;
        to[(*n_next)++] = from[i];
    }
    if (*n_next != 0)
        return ENTER;
    return p->mode == SX_SEL_INCLUDE ? DROP : COPY;
}

static void walk(struct project *w, struct sx_doc v, uint32_t level, uint32_t n);

static void array(struct project *w, struct sx_doc v, uint32_t level, uint32_t n)
{
    uint32_t n_next, what = (uint32_t)decide(w, level, n, NULL, &n_next);

    /* All elements have one path, so one answer. Scalars are kept by ENTER in both modes. */
    if (what == COPY || (what == ENTER && sx_doc_type(v) != SX_DOC_ARR)) {
        sx_docb_doc(&w->b, v);
        return;
    }
    sx_docb_arr(&w->b);
    for (uint32_t i = 0; what == ENTER && i < sx_doc_count(v); i++)
        walk(w, sx_doc_elem(v, i), level + 1, n_next);
    sx_docb_close(&w->b);
}

static void object(struct project *w, struct sx_doc v, uint32_t level, uint32_t n)
{
    sx_docb_obj(&w->b);
    for (uint32_t i = 0; i < sx_doc_count(v); i++) {
        struct sx_str key;
        struct sx_doc child = sx_doc_member(v, i, &key);
        uint32_t n_next;
        int what = decide(w, level, n, &key, &n_next);

        if (what == DROP)
            continue;
        sx_docb_key(&w->b, key.p, key.n);
        if (what == COPY)
            sx_docb_doc(&w->b, child);
        else
            walk(w, child, level + 1, n_next);
    }
    sx_docb_close(&w->b);
}

/* A value for which n patterns at `level` go on. */
static void walk(struct project *w, struct sx_doc v, uint32_t level, uint32_t n)
{
    switch (sx_doc_type(v)) {
    case SX_DOC_OBJ:
        object(w, v, level, n);
        break;
    case SX_DOC_ARR:
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        array(w, v, level, n);
        break;
    default:
        sx_docb_doc(&w->b, v);
    }
}

int eng_project(const struct eng_projection *p,
                struct sx_doc d,
                const struct sx_mem *mem,
                struct sx_arena *arena,
                struct sx_doc *out)
{
    struct project w;
    struct sx_doc made;

    w.p = p;
    sx_docb_init(&w.b, mem, 0);
    for (uint32_t i = 0; i < p->n; i++)
        p->active[i] = i;
    walk(&w, d, 0, p->n);
    made = sx_docb_end_arena(&w.b, arena);
    sx_docb_fini(&w.b);
    if (made.p == NULL)
        return SX_ENOMEM;
    *out = made;
    return SX_OK;
}
