/* Text clauses on values.
 *
 * A document's text is analysed as it streams by: tokens are compared and forgotten, nothing is
 * stored but which tokens of the query were seen, or how much of a phrase the last tokens are.
 *
 * An index pools the tokens of all values of a document (of an element, where the element is its
 * entry); without one each value stands alone. Phrases never reach over values. */
#include <stdlib.h>
#include <string.h>

#include "filter_priv.h"
#include "text.h"

#include "sextant/sx_ban.h"

/* --- queries ----------------------------------------------------------------------------- */

struct collect {
    struct eng_compile *c;
    struct sx_str *list;
    uint32_t n, cap;
};

static int collect_token(void *arg, const struct eng_text_token *t)
{
    struct collect *k = arg;

    if (t->is_compound)
        return 0;
    if (k->n == k->cap) {
        uint32_t cap = k->cap != 0 ? 2 * k->cap : 8;
        struct sx_str *list = eng__compile_alloc(k->c, cap * sizeof(*list));

        if (list == NULL)
            return 1;
        if (k->n != 0)
            memcpy(list, k->list, k->n * sizeof(*list));
        k->list = list;
        k->cap = cap;
    }
    k->list[k->n].n = t->text.n;
    k->list[k->n].p = sx_arena_strdup(k->c->arena, t->text.n != 0 ? t->text.p : "", t->text.n);
    if (k->list[k->n].p == NULL) {
        k->c->rc = sx_err_set(k->c->err, SX_ENOMEM, "out of memory");
        return 1;
    }
    k->n++;
    return 0;
}

static int token_cmp(const void *pa, const void *pb)
{
    const struct sx_str *a = pa, *b = pb;
    int c = a->n != 0 && b->n != 0 ? memcmp(a->p, b->p, a->n < b->n ? a->n : b->n) : 0;

    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static int same(const struct sx_str *a, const struct sx_str *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

static void distinct(struct collect *k)
{
    uint32_t kept = 1;

    qsort(k->list, k->n, sizeof(*k->list), token_cmp);
    for (uint32_t i = 1; i < k->n; i++) {
        if (!same(&k->list[kept - 1], &k->list[i]))
            k->list[kept++] = k->list[i];
    }
    k->n = kept;
}

/* The border of each beginning of a phrase (Knuth, Morris, Pratt). */
static int prep_border(struct eng_compile *c, struct eng_prep_tokens *p)
{
    uint32_t *border = eng__compile_alloc(c, p->n * sizeof(*border));
    uint32_t k = 0;

    if (border == NULL)
        return 0;
    for (uint32_t i = 1; i < p->n; i++) {
        while (k != 0 && !same(&p->tokens[i], &p->tokens[k]))
            k = border[k - 1];
        k += (uint32_t)same(&p->tokens[i], &p->tokens[k]);
        border[i] = k;
    }
    p->border = border;
    return 1;
}

static const struct eng_analyzer *analyzer_of(const struct eng_compile *c,
                                              const struct eng_leaf *leaf)
{
    const struct eng_field_schema *s = leaf->schema;

    if (s != NULL && s->type == ENG_FIELD_TEXT)
        return s->analyzer;
    return c->schemas != NULL ? c->schemas->plain : NULL;
}

/* --- values ------------------------------------------------------------------------------ */

/* In scratch->buf, from the first value of a document to the last; seen[] behind it. */
struct text_state {
    const struct eng_prep_tokens *want;
    uint32_t kind, n_seen;
    uint32_t at; /* of a phrase: so many tokens of it are the last ones */
    uint8_t seen[];
};

static uint32_t find(const struct eng_prep_tokens *p, struct sx_str t)
{
    uint32_t lo = 0, hi = p->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = token_cmp(&p->tokens[mid], &t);

        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return UINT32_MAX;
}

/* 1 when all is decided. */
static int see_token(void *arg, const struct eng_text_token *t)
{
    struct text_state *st = arg;
    uint32_t i = find(st->want, t->text);

    if (i == UINT32_MAX || st->seen[i])
        return 0;
    st->seen[i] = 1;
    st->n_seen++;
    return st->kind == SX_MATCH_TEXT_ANY || st->n_seen == st->want->n;
}

static int follow_phrase(void *arg, const struct eng_text_token *t)
{
    struct text_state *st = arg;
    const struct eng_prep_tokens *p = st->want;

    if (t->is_compound) /* stands for a phrase of one word only */
        return p->n == 1 && same(&p->tokens[0], &t->text);
    while (st->at != 0 && !same(&p->tokens[st->at], &t->text))
        st->at = p->border[st->at - 1];
    st->at += (uint32_t)same(&p->tokens[st->at], &t->text);
    return st->at == p->n;
}

static struct text_state *state_of(struct eng_match_scratch *s)
{
    return (struct text_state *)(void *)s->buf.p;
}

static void forget(struct text_state *st)
{
    st->n_seen = st->at = 0;
    memset(st->seen, 0, st->want->n);
}

int eng__text_begin(const struct eng_leaf *leaf, struct eng_match_scratch *s)
{
    const struct eng_prep_tokens *p = leaf->prep;
    struct text_state *st;

    s->buf.n = 0;
    if (sx_buf_reserve(&s->buf, sizeof(*st) + p->n) == NULL) {
        s->failed = 1;
        return 0;
    }
    st = state_of(s);
    st->want = p;
    st->kind = leaf->cond->match.kind;
    forget(st);
    return 1;
}

static int
test_text(const struct eng_leaf *leaf, const struct sx_value *v, struct eng_match_scratch *s)
{
    struct text_state *st = state_of(s);
    int is_phrase = st->kind == SX_MATCH_PHRASE, rc;

    if (v->num.type != SX_DOC_STR)
        return 0;
    if (is_phrase)
        st->at = 0;
    else if (leaf->mode != ENG_LEAF_INDEXED && st->n_seen != 0)
        forget(st);
    rc = eng_analyze(st->want->analyzer, ENG_TEXT_DOC, sx_doc_str(v->doc), &s->work,
                     is_phrase ? follow_phrase : see_token, st);
    if (rc < 0)
        s->failed = 1;
    return rc > 0;
}

int eng__prep_tokens(struct eng_compile *c, struct eng_leaf *leaf)
{
    const struct sx_match *m = &leaf->cond->match;
    struct eng_prep_tokens *p = eng__compile_alloc(c, sizeof(*p));
    struct collect k = {c, NULL, 0, 0};
    struct sx_buf work;
    int rc;

    if (p == NULL)
        return 0;
    p->analyzer = analyzer_of(c, leaf);
    if (p->analyzer == NULL) {
        c->rc = sx_err_set(c->err, SX_EINTERNAL, "no analyzer for text");
        return 0;
    }
    if (m->kind == SX_MATCH_PHRASE && leaf->mode == ENG_LEAF_INDEXED &&
        (leaf->schema->flags & ENG_FIELD_PHRASE) == 0)
        return 0;
    sx_buf_init(&work, c->mem);
    rc = eng_analyze(p->analyzer, m->kind == SX_MATCH_PHRASE ? ENG_TEXT_PHRASE : ENG_TEXT_QUERY,
                     m->str, &work, collect_token, &k);
    sx_buf_fini(&work);
    if (rc < 0 && c->rc == SX_OK)
        c->rc = sx_err_set(c->err, rc, "text analysis failed");
    if (c->rc != SX_OK || k.n == 0)
        return 0;
    if (m->kind != SX_MATCH_PHRASE)
        distinct(&k);
    p->n = k.n;
    p->tokens = k.list;
    if (m->kind == SX_MATCH_PHRASE && !prep_border(c, p))
        return 0;
    leaf->prep = p;
    leaf->test = test_text;
    return 1;
}
