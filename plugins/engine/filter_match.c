/* A compiled filter on one document.
 *
 * Nodes are walked recursively, as deep as the tree. A leaf follows its path; keys of plain
 * objects, which most paths are, are followed here, the rest by sx_path_*. Nothing is allocated but
 * for texts, and that memory stays in the scratch. */
#include "filter_priv.h"

#include "sextant/sx_ban.h"

void eng_match_scratch_init(struct eng_match_scratch *s, const struct sx_mem *mem)
{
    s->mem = mem;
    sx_buf_init(&s->buf, mem);
    sx_buf_init(&s->work, mem);
    s->failed = 0;
}

void eng_match_scratch_fini(struct eng_match_scratch *s)
{
    sx_buf_fini(&s->buf);
    sx_buf_fini(&s->work);
}

/* A leaf on a document: what walks carry. */
struct walk {
    const struct eng_leaf *leaf;
    const struct eng_subject *subject;
    struct eng_match_scratch *scratch;
    uint32_t n, n_yes, n_no; /* presence: values, and of what kind */
};

/* --- paths ------------------------------------------------------------------------------- */

/* Follows keys as long as there are any. The steps left are in rest; doc.p NULL: leads nowhere. */
static struct sx_doc follow_keys(struct sx_path *rest, struct sx_doc doc)
{
    while (rest->n != 0 && rest->steps->kind == SX_STEP_KEY && doc.p != NULL) {
        doc = sx_doc_get_n(doc, rest->steps->key.p, rest->steps->key.n);
        rest->steps++;
        rest->n--;
    }
    return doc;
}

static struct sx_value value_of(struct sx_doc doc)
{
    return (struct sx_value){doc, sx_doc_num(doc)};
}

/* The values of the path, arrays as they are. */
static int each_place(struct sx_path rest, struct sx_doc doc, sx_value_fn fn, void *arg)
{
    struct sx_value v;

    doc = follow_keys(&rest, doc);
    if (doc.p == NULL)
        return 0;
    if (rest.n != 0)
        return sx_path_values(&rest, doc, fn, arg);
    v = value_of(doc);
    return fn(arg, &v);
}

/* --- values ------------------------------------------------------------------------------ */

static int test_value(void *arg, const struct sx_value *v)
{
    struct walk *w = arg;

    return w->leaf->test(w->leaf, v, w->scratch);
}

static int some_element(struct walk *w, struct sx_doc arr)
{
    uint32_t n = sx_doc_count(arr);
    int is_packed = sx_doc_type(arr) != SX_DOC_ARR;

    for (uint32_t i = 0; i < n; i++) {
        struct sx_value v = {{NULL, 0, 0}, {0, 0, {0}}};

        if (is_packed)
            v.num = sx_doc_elem_num(arr, i);
        else
            v = value_of(sx_doc_elem(arr, i));
        if (test_value(w, &v))
            return 1;
    }
    return 0;
}

static int some_value(struct walk *w, struct sx_path rest, struct sx_doc doc)
{
    struct sx_value v;

    doc = follow_keys(&rest, doc);
    if (doc.p == NULL)
        return 0;
    if (rest.n != 0)
        return sx_path_each(&rest, doc, test_value, w);
    v = value_of(doc);
    return eng__is_array(v.num.type) ? some_element(w, doc) : test_value(w, &v);
}

/* --- presence, counts -------------------------------------------------------------------- */

static int is_empty(const struct sx_value *v)
{
    return v->num.type == SX_DOC_NULL || (v->num.type == SX_DOC_ARR && sx_doc_count(v->doc) == 0);
}

static int is_null(const struct sx_value *v)
{
    uint32_t n = v->num.type == SX_DOC_ARR ? sx_doc_count(v->doc) : 0;

    for (uint32_t i = 0; i < n; i++) {
        if (sx_doc_type(sx_doc_elem(v->doc, i)) == SX_DOC_NULL)
            return 1;
    }
    return v->num.type == SX_DOC_NULL;
}

static int see_presence(void *arg, const struct sx_value *v)
{
    struct walk *w = arg;
    int yes = w->leaf->kind == ENG_LEAF_IS_EMPTY ? is_empty(v) : is_null(v);

    w->n++;
    w->n_yes += (uint32_t)yes;
    w->n_no += (uint32_t)!yes;
    return 0;
}

/* The field as a whole is empty when all its values are, null when one is. Without an index the
 * field form asks instead whether some value is (true), or is not (false), what the clause says. */
static int presence(struct walk *w, struct sx_path rest, struct sx_doc doc)
{
    const struct eng_leaf *leaf = w->leaf;
    int whole;

    w->n = w->n_yes = w->n_no = 0;
    (void)each_place(rest, doc, see_presence, w);
    if (leaf->form != 0 && leaf->mode != ENG_LEAF_INDEXED && w->n != 0)
        return (leaf->form == SX_TRI_TRUE ? w->n_yes : w->n_no) != 0;
    whole = leaf->kind == ENG_LEAF_IS_EMPTY ? w->n_no == 0 : w->n_yes != 0;
    return leaf->form == SX_TRI_FALSE ? !whole : whole;
}

static int in_counts(const struct sx_count_range *r, uint64_t n)
{
    return (!(r->has & SX_BOUND_LT) || n < r->lt) && (!(r->has & SX_BOUND_LTE) || n <= r->lte) &&
           (!(r->has & SX_BOUND_GT) || n > r->gt) && (!(r->has & SX_BOUND_GTE) || n >= r->gte);
}

static int see_count(void *arg, const struct sx_value *v)
{
    struct walk *w = arg;
    uint64_t n = v->num.type != SX_DOC_NULL;

    w->n++;
    if (eng__is_array(v->num.type))
        n = sx_doc_count(v->doc);
    return in_counts(&w->leaf->cond->values_count, n);
}

static int counts(struct walk *w, struct sx_path rest, struct sx_doc doc)
{
    w->n = 0;
    if (each_place(rest, doc, see_count, w))
        return 1;
    return w->n == 0 && in_counts(&w->leaf->cond->values_count, 0);
}

/* --- leaves ------------------------------------------------------------------------------ */

static int on_document(struct walk *w, struct sx_path rest, struct sx_doc doc)
{
    switch (w->leaf->kind) {
    case ENG_LEAF_MATCH:
        if (eng__is_text(w->leaf->cond->match.kind) && !eng__text_begin(w->leaf, w->scratch))
            return 0;
        return some_value(w, rest, doc);
    case ENG_LEAF_RANGE:
    case ENG_LEAF_GEO:
        return some_value(w, rest, doc);
    case ENG_LEAF_VALUES_COUNT:
        return counts(w, rest, doc);
    default:
        return presence(w, rest, doc);
    }
}

/* An element of the array that an index has as its entries. */
static int see_entry(void *arg, const struct sx_value *v)
{
    struct walk *w = arg;
    const struct eng_leaf *leaf = w->leaf;
    uint32_t taken = leaf->skip + leaf->unit;

    if (v->num.type != SX_DOC_OBJ)
        return 0;
    return on_document(w, (struct sx_path){leaf->path.n - taken, 0, leaf->path.steps + taken},
                       v->doc);
}

/* An element that an inner tree is about. */
static int see_element(void *arg, const struct sx_value *v)
{
    struct walk *w = arg;
    struct eng_subject element = *w->subject;

    if (v->num.type != SX_DOC_OBJ)
        return 0;
    element.payload = v->doc;
    return eng_filter_match(w->leaf->inner, &element, w->scratch);
}

static int has_id(const struct eng_prep_ids *p, const struct sx_id *id)
{
    uint32_t lo = 0, hi = p->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = sx_id_cmp(&p->ids[mid], id);

        if (c == 0)
            return 1;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

int eng_leaf_match(const struct eng_leaf *leaf,
                   const struct eng_subject *subject,
                   struct eng_match_scratch *scratch)
{
    struct walk w = {leaf, subject, scratch, 0, 0, 0};
    struct sx_path rest = {leaf->path.n - leaf->skip, 0, leaf->path.steps + leaf->skip};

    switch (leaf->kind) {
    case ENG_LEAF_HAS_ID:
        return has_id(leaf->prep, &subject->id);
    case ENG_LEAF_HAS_VECTOR:
        return subject->has_vector != NULL &&
               subject->has_vector(subject->ctx, leaf->cond->vector) != 0;
    case ENG_LEAF_SLICE:
        return eng_slice_hash(&subject->id) % leaf->cond->slice_total == leaf->cond->slice_at;
    case ENG_LEAF_NESTED:
        return each_place(rest, subject->payload, see_element, &w) != 0;
    default:
        break;
    }
    if (leaf->unit == 0)
        return on_document(&w, rest, subject->payload);
    rest.n = leaf->unit;
    return each_place(rest, subject->payload, see_entry, &w) != 0;
}

/* --- nodes ------------------------------------------------------------------------------- */

int eng_filter_match(const struct eng_filter_node *node,
                     const struct eng_subject *subject,
                     struct eng_match_scratch *scratch)
{
    uint64_t held = 0;

    switch (node->kind) {
    case ENG_NODE_TRUE:
        return 1;
    case ENG_NODE_LEAF:
        return eng_leaf_match(node->leaf, subject, scratch);
    case ENG_NODE_NOT:
        return !eng_filter_match(node->kids[0], subject, scratch);
    case ENG_NODE_AND:
        for (uint32_t i = 0; i < node->n; i++) {
            if (!eng_filter_match(node->kids[i], subject, scratch))
                return 0;
        }
        return 1;
    case ENG_NODE_OR:
        for (uint32_t i = 0; i < node->n; i++) {
            if (eng_filter_match(node->kids[i], subject, scratch))
                return 1;
        }
        return 0;
    case ENG_NODE_AT_LEAST:
        for (uint32_t i = 0; i < node->n && held < node->k && held + (node->n - i) >= node->k; i++)
            held += (uint64_t)eng_filter_match(node->kids[i], subject, scratch);
        return held >= node->k;
    default:
        return 0;
    }
}
