/* Set and delete on payloads. See payload_edit.h for the rules.
 *
 * Both walk the old document once and build the new one beside it. An object on the way is a list
 * of members in order, taken from the old one, changed, then written:
 *
 *   order[]  which member stands where: i of the old object, n_old + j of the patch
 *   at[]     where member i of the old object stands, GONE once it was removed
 *
 * Delete takes all paths along in one walk: each container sorts those that reach it by the child
 * they go on to. So the work does not grow with keys times size. */
#include "payload_edit.h"

#include <string.h>

#include "sextant/sx_ban.h"

#define GONE UINT32_MAX
/* Comparisons that are cheaper than sorting the members of an object. */
#define LINEAR 512u

/* Each container of the walk has working memory of its own, dropped when the next container of that
 * depth begins. Set merges only where it ends: it needs the first. */
struct edit {
    struct sx_docb *out;
    const struct sx_mem *mem;
    uint32_t n_levels, at; /* at: of the container being sorted out */
    int failed;
    struct sx_arena level[SX_DOC_MAX_DEPTH];
};

static void enter(struct edit *e, uint32_t level)
{
    for (; e->n_levels <= level; e->n_levels++)
        sx_arena_init(&e->level[e->n_levels], e->mem, 0);
    sx_arena_reset(&e->level[level]);
    e->at = level;
}

static uint32_t *words(struct edit *e, uint64_t n)
{
    uint32_t *p = sx_arena_alloc(&e->level[e->at], n * sizeof(*p) + 1);

    e->failed |= p == NULL;
    return p;
}

static int is_array(struct sx_doc v)
{
    uint32_t type = sx_doc_type(v);

    return type == SX_DOC_ARR || type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64;
}

/* Element i as it is. */
static void copy_elem(struct edit *e, struct sx_doc arr, uint32_t i)
{
    struct sx_doc_num num;

    if (sx_doc_type(arr) == SX_DOC_ARR) {
        sx_docb_doc(e->out, sx_doc_elem(arr, i));
        return;
    }
    num = sx_doc_elem_num(arr, i);
    if (num.type == SX_DOC_I64)
        sx_docb_i64(e->out, num.v.i);
    else
        sx_docb_f64(e->out, num.v.f);
}

/* --- members by key ---------------------------------------------------------------------- */

struct members {
    struct sx_doc obj;
    uint32_t n;
    const uint32_t *sorted; /* by key; NULL = look at each */
};

static int key_cmp(struct sx_str a, struct sx_str b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return a.n == 0 ? 0 : memcmp(a.p, b.p, a.n);
}

static struct sx_str key_of(struct sx_doc obj, uint32_t i)
{
    struct sx_str key = {NULL, 0, 0};

    (void)sx_doc_member(obj, i, &key);
    return key;
}

/* Merges the runs [lo, mid) and [mid, hi) of from into to. */
static void merge_runs(
    struct sx_doc obj, const uint32_t *from, uint32_t *to, uint64_t lo, uint64_t mid, uint64_t hi)
{
    uint64_t i = lo, k = mid;

    for (uint64_t at = lo; at < hi; at++) {
        if (i < mid && (k >= hi || key_cmp(key_of(obj, from[i]), key_of(obj, from[k])) <= 0))
            to[at] = from[i++];
        else
            to[at] = from[k++];
    }
}

/* For `lookups` calls of members_find. */
static void members_init(struct edit *e, struct members *m, struct sx_doc obj, uint32_t lookups)
{
    uint32_t *idx, *tmp, n = sx_doc_count(obj);

    *m = (struct members){obj, n, NULL};
    if ((uint64_t)n * lookups <= LINEAR)
        return;
    idx = words(e, 2 * (uint64_t)n);
    if (idx == NULL)
        return;
    tmp = idx + n;
    for (uint32_t i = 0; i < n; i++)
        idx[i] = i;
    for (uint64_t width = 1; width < n; width *= 2) {
        uint32_t *swap = idx;

        for (uint64_t lo = 0; lo < n; lo += 2 * width) {
            uint64_t mid = lo + width < n ? lo + width : n;

            merge_runs(obj, idx, tmp, lo, mid, mid + width < n ? mid + width : n);
        }
        idx = tmp;
        tmp = swap;
    }
    m->sorted = idx;
}

/* The member's number, or GONE when there is none. */
static uint32_t members_find(const struct members *m, struct sx_str key)
{
    uint32_t lo = 0, hi = m->n;

    if (m->sorted == NULL) {
        for (uint32_t i = 0; i < m->n; i++) {
            if (key_cmp(key_of(m->obj, i), key) == 0)
                return i;
        }
        return GONE;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = key_cmp(key_of(m->obj, m->sorted[mid]), key);

        if (c == 0)
            return m->sorted[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return GONE;
}

struct places {
    uint32_t *order, *at;
    uint32_t n; /* of order */
};

/* Room for n members, the first n_old in their places. 0 when memory is short. */
static int places_init(struct edit *e, struct places *p, uint32_t n_old, uint64_t n)
{
    p->order = words(e, n + n_old);
    if (p->order == NULL)
        return 0;
    p->at = p->order + n;
    p->n = n_old;
    for (uint32_t i = 0; i < n_old; i++)
        p->order[i] = p->at[i] = i;
    return 1;
}

/* Member i of the old object goes, the last one takes its place. */
static void places_remove(struct places *p, uint32_t i, uint32_t n_old)
{
    uint32_t last = p->order[--p->n], hole = p->at[i];

    p->order[hole] = last;
    if (last < n_old)
        p->at[last] = hole;
    p->at[i] = GONE;
}

/* --- set --------------------------------------------------------------------------------- */

static void copy_member(struct edit *e, struct sx_str key, struct sx_doc v)
{
    sx_docb_key(e->out, key.p, key.n);
    sx_docb_doc(e->out, v);
}

/* v, when it is an object, with the patch merged in. */
static void merge(struct edit *e, struct sx_doc v, struct sx_doc patch)
{
    uint32_t n_old = sx_doc_type(v) == SX_DOC_OBJ ? sx_doc_count(v) : 0;
    uint32_t n_patch = sx_doc_count(patch), *value;
    struct members m;
    struct places p;

    enter(e, 0);
    members_init(e, &m, n_old != 0 ? v : (struct sx_doc){NULL, 0, 0}, n_patch);
    value = words(e, n_old); /* the member of the patch that replaces, or GONE */
    if (!places_init(e, &p, n_old, (uint64_t)n_old + n_patch) || value == NULL)
        return;
    for (uint32_t i = 0; i < n_old; i++)
        value[i] = GONE;
    for (uint32_t j = 0; j < n_patch; j++) {
        struct sx_str key;
        struct sx_doc to = sx_doc_member(patch, j, &key);
        uint32_t i = members_find(&m, key);

        if (sx_doc_type(to) == SX_DOC_NULL) {
            if (i != GONE)
                places_remove(&p, i, n_old);
        } else if (i != GONE) {
            value[i] = j;
        } else {
            p.order[p.n++] = n_old + j;
        }
    }
    sx_docb_obj(e->out);
    for (uint32_t k = 0; k < p.n; k++) {
        uint32_t i = p.order[k];
        struct sx_str key;
        struct sx_doc from;

        if (i >= n_old) {
            from = sx_doc_member(patch, i - n_old, &key);
        } else {
            from = sx_doc_member(v, i, &key);
            if (value[i] != GONE)
                from = sx_doc_member(patch, value[i], NULL);
        }
        copy_member(e, key, from);
    }
    sx_docb_close(e->out);
}

struct target {
    struct sx_doc patch;
    const struct sx_path *path;
};

static void set(struct edit *e, struct sx_doc v, const struct target *t, uint32_t at);

static void set_member(struct edit *e, struct sx_doc v, const struct target *t, uint32_t at)
{
    const struct sx_step *step = &t->path->steps[at];
    uint32_t n = sx_doc_type(v) == SX_DOC_OBJ ? sx_doc_count(v) : 0;
    int is_there = 0;

    sx_docb_obj(e->out);
    for (uint32_t i = 0; i < n; i++) {
        struct sx_str key;
        struct sx_doc child = sx_doc_member(v, i, &key);

        if (!sx_step_is_key(step, key)) {
            copy_member(e, key, child);
            continue;
        }
        is_there = 1;
        sx_docb_key(e->out, key.p, key.n);
        set(e, child, t, at + 1);
    }
    if (!is_there) {
        sx_docb_key(e->out, step->key.p, step->key.n);
        set(e, (struct sx_doc){NULL, 0, 0}, t, at + 1);
    }
    sx_docb_close(e->out);
}

static void set_elements(struct edit *e, struct sx_doc v, const struct target *t, uint32_t at)
{
    const struct sx_step *step = &t->path->steps[at];
    uint32_t n = is_array(v) ? sx_doc_count(v) : 0;

    sx_docb_arr(e->out);
    for (uint32_t i = 0; i < n; i++) {
        if (step->kind == SX_STEP_ALL || step->index == i)
            set(e, sx_doc_elem(v, i), t, at + 1);
        else
            copy_elem(e, v, i);
    }
    sx_docb_close(e->out);
}

/* What v, to which the first `at` steps led, becomes. Absent and scalar are alike here. The builder
 * stops the descent into more steps than documents may be deep. */
static void set(struct edit *e, struct sx_doc v, const struct target *t, uint32_t at)
{
    if (e->failed || e->out->failed)
        return;
    if (t->path == NULL || at == t->path->n)
        merge(e, v, t->patch);
    else if (t->path->steps[at].kind == SX_STEP_KEY)
        set_member(e, v, t, at);
    else
        set_elements(e, v, t, at);
}

/* --- delete ------------------------------------------------------------------------------ */

/* The paths that reach a container, in the order they were given, and what they have in common. */
struct reach {
    const struct sx_path *keys;
    const uint32_t *which;
    uint32_t n, at; /* at: steps taken, which is how deep the container lies */
};

static const struct sx_step *step_of(const struct reach *r, uint32_t k)
{
    return &r->keys[r->which[k]].steps[r->at];
}

static int ends(const struct reach *r, uint32_t k)
{
    return r->keys[r->which[k]].n == r->at + 1;
}

/* Sorts places k of the reach by the child they go on to: a list for each child. */
struct lists {
    uint32_t *first, *last, *next;
};

static int lists_init(struct edit *e, struct lists *l, uint32_t n, uint32_t n_paths)
{
    l->first = words(e, 2 * (uint64_t)n + n_paths);
    if (l->first == NULL)
        return 0;
    l->last = l->first + n;
    l->next = l->last + n;
    if (n != 0)
        memset(l->first, 0xff, n * sizeof(*l->first));
    return 1;
}

static void lists_add(struct lists *l, uint32_t child, uint32_t k)
{
    l->next[k] = GONE;
    if (l->first[child] == GONE)
        l->first[child] = k;
    else
        l->next[l->last[child]] = k;
    l->last[child] = k;
}

static void remove_from(struct edit *e, struct sx_doc v, const struct reach *r);

static void remove_members(struct edit *e, struct sx_doc v, const struct reach *r)
{
    uint32_t n = sx_doc_count(v), *which;
    struct members m;
    struct places p;
    struct lists l;

    members_init(e, &m, v, r->n);
    which = words(e, r->n);
    if (!places_init(e, &p, n, n) || !lists_init(e, &l, n, r->n) || which == NULL)
        return;
    for (uint32_t k = 0; k < r->n; k++) {
        const struct sx_step *step = step_of(r, k);
        uint32_t i = step->kind == SX_STEP_KEY ? members_find(&m, step->key) : GONE;

        if (i == GONE || p.at[i] == GONE)
            continue;
        if (ends(r, k))
            places_remove(&p, i, n);
        else
            lists_add(&l, i, k);
    }
    sx_docb_obj(e->out);
    for (uint32_t at = 0; at < p.n; at++) {
        struct sx_str key;
        struct sx_doc child = sx_doc_member(v, p.order[at], &key);
        struct reach below = {r->keys, which, 0, r->at + 1};

        for (uint32_t k = l.first[p.order[at]]; k != GONE; k = l.next[k])
            which[below.n++] = r->which[k];
        sx_docb_key(e->out, key.p, key.n);
        remove_from(e, child, &below);
    }
    sx_docb_close(e->out);
}

static void remove_elements(struct edit *e, struct sx_doc v, const struct reach *r)
{
    uint32_t n = sx_doc_count(v), n_all = 0, *which = words(e, 2 * (uint64_t)r->n), *all;
    struct lists l;

    if (which == NULL || !lists_init(e, &l, n, r->n))
        return;
    all = which + r->n; /* the places that go on to every element */
    for (uint32_t k = 0; k < r->n; k++) {
        const struct sx_step *step = step_of(r, k);

        if (step->kind == SX_STEP_ALL && ends(r, k))
            n = 0;
        else if (step->kind == SX_STEP_ALL)
            all[n_all++] = k;
        else if (step->kind == SX_STEP_INDEX && step->index < n && !ends(r, k))
            lists_add(&l, (uint32_t)step->index, k);
    }
    sx_docb_arr(e->out);
    for (uint32_t i = 0; i < n; i++) {
        struct reach below = {r->keys, which, 0, r->at + 1};
        struct sx_doc child = sx_doc_elem(v, i);
        uint32_t k = l.first[i], a = 0;

        if (sx_doc_count(child) == 0) { /* nothing below it */
            copy_elem(e, v, i);
            continue;
        }
        while (k != GONE || a < n_all) {
            if (a == n_all || (k != GONE && k < all[a])) {
                which[below.n++] = r->which[k];
                k = l.next[k];
            } else {
                which[below.n++] = r->which[all[a++]];
            }
        }
        remove_from(e, child, &below);
    }
    sx_docb_close(e->out);
}

/* v without what the paths lead to below it. */
static void remove_from(struct edit *e, struct sx_doc v, const struct reach *r)
{
    if (e->failed || e->out->failed)
        return;
    if (r->n == 0 || sx_doc_count(v) == 0) {
        sx_docb_doc(e->out, v);
        return;
    }
    enter(e, r->at);
    if (sx_doc_type(v) == SX_DOC_OBJ)
        remove_members(e, v, r);
    else
        remove_elements(e, v, r);
}

/* --- both -------------------------------------------------------------------------------- */

static void begin(struct edit *e, const struct sx_mem *mem, struct sx_docb *out)
{
    e->out = out;
    e->mem = mem;
    e->n_levels = e->at = 0;
    e->failed = 0;
    sx_docb_reset(out);
}

static int end(struct edit *e)
{
    for (uint32_t i = 0; i < e->n_levels; i++)
        sx_arena_fini(&e->level[i]);
    if (e->failed || e->out->out.failed || e->out->offs.failed)
        return SX_ENOMEM;
    return e->out->failed ? SX_EINPUT : SX_OK;
}

int eng_payload_set(const struct sx_mem *mem,
                    struct sx_doc old,
                    struct sx_doc patch,
                    const struct sx_path *key,
                    struct sx_docb *out)
{
    struct target t = {patch, key};
    struct edit e;

    begin(&e, mem, out);
    set(&e, old, &t, 0);
    return end(&e);
}

int eng_payload_delete(const struct sx_mem *mem,
                       struct sx_doc old,
                       const struct sx_path *keys,
                       uint32_t n,
                       struct sx_docb *out)
{
    struct reach all = {keys, NULL, n, 0};
    struct sx_arena given;
    struct edit e;
    uint32_t *which;

    begin(&e, mem, out);
    sx_arena_init(&given, mem, 0);
    which = sx_arena_alloc(&given, (uint64_t)n * sizeof(*which) + 1);
    e.failed = which == NULL;
    for (uint32_t i = 0; which != NULL && i < n; i++)
        which[i] = i;
    all.which = which;
    if (old.p == NULL) {
        sx_docb_obj(out);
        sx_docb_close(out);
    } else {
        remove_from(&e, old, &all);
    }
    sx_arena_fini(&given);
    return end(&e);
}
