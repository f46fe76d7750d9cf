/* Pages in id order; see walk.h. */
#include "walk.h"

#include <string.h>

#include "sextant/sx_ban.h"

#define STEP_NS    200u /* walking: one id, its row, its bit */
#define COLLECT_NS 40u  /* collecting: one matching row */

static int walk(struct eng_shard *s,
                const struct eng_reader *r,
                struct eng_plan *plan,
                struct sx_arena *arena,
                struct eng_page *page,
                struct sx_err *err)
{
    struct eng_ids *ids = s->table.ids;
    const struct eng_ids_view *v = eng_ids_view(ids);
    struct eng_ids_cursor *cur = sx_arena_alloc(arena, eng_ids_cursor_size(v));
    uint64_t skip = page->skip;
    struct sx_id id;
    if (!cur)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    eng_ids_seek(ids, v, page->from, cur);
    while (eng_ids_next(cur, &id)) {
        uint32_t row = eng_reader_find(r, &id);
        if (row == ENG_NO_ROW)
            continue;
        int rc = plan ? eng_plan_row(plan, row, err) : 1;
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        if (skip) {
            skip--;
        } else if (page->n < page->max) {
            page->rows[page->n++] = row;
        } else {
            page->next = id;
            page->has_next = 1;
            return 0;
        }
    }
    return 0;
}

/* --- collecting: a heap of the smallest ids, the largest on top ----------------------------------
 */

struct entry {
    struct sx_id id;
    uint32_t row;
};

static void sift_down(struct entry *h, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t c = 2 * i + 1;
        if (c >= n)
            return;
        if (c + 1 < n && sx_id_cmp(&h[c + 1].id, &h[c].id) > 0)
            c++;
        if (sx_id_cmp(&h[i].id, &h[c].id) >= 0)
            return;
        struct entry t = h[i];
        h[i] = h[c];
        h[c] = t;
        i = c;
    }
}

static void sift_up(struct entry *h, uint32_t i)
{
    while (i && sx_id_cmp(&h[(i - 1) / 2].id, &h[i].id) < 0) {
        struct entry t = h[i];
        h[i] = h[(i - 1) / 2];
        h[(i - 1) / 2] = t;
        i = (i - 1) / 2;
    }
}

static int collect(const struct eng_reader *r,
                   struct eng_plan *plan,
                   struct sx_arena *arena,
                   struct eng_page *page,
                   struct sx_err *err)
{
    uint32_t *rows, n, have = 0;
    int rc = eng_plan_rows(plan, 0, &rows, &n, err);
    if (rc != 0)
        return rc;
    uint64_t room = page->skip < n ? page->skip : n;
    room += page->max < n ? page->max : n;
    room = room < n ? room + 1 : n; /* one more tells whether there is a next page */
    struct entry *h = sx_arena_alloc(arena, (room + 1) * sizeof(*h));
    if (!h)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        struct entry e = {.row = rows[i]};
        eng_row_id(eng_reader_row(r, rows[i]), &e.id);
        if (page->from && sx_id_cmp(&e.id, page->from) < 0)
            continue;
        if (have < room) {
            h[have] = e;
            sift_up(h, have++);
        } else if (room && sx_id_cmp(&e.id, &h[0].id) < 0) {
            h[0] = e;
            sift_down(h, have, 0);
        }
    }
    for (uint32_t i = have; i-- > 1;) { /* the largest to the end, until sorted */
        struct entry t = h[0];
        h[0] = h[i];
        h[i] = t;
        sift_down(h, i, 0);
    }
    for (uint64_t i = page->skip; i < have; i++) {
        if (page->n == page->max) {
            page->next = h[i].id;
            page->has_next = 1;
            break;
        }
        page->rows[page->n++] = h[i].row;
    }
    return 0;
}

/* Both ways' cost in ns; collecting is UINT64_MAX without a filter. */
static void costs(const struct eng_reader *r,
                  const struct eng_plan *plan,
                  const struct eng_page *page,
                  uint64_t *walking,
                  uint64_t *collecting)
{
    double live = (double)r->v->n_live, matching = live, max = (double)r->v->n_live;
    uint32_t root = plan ? eng_plan_filter(plan)->root->kind : ENG_NODE_TRUE;
    struct eng_estimate e;
    *collecting = UINT64_MAX;
    if (root == ENG_NODE_FALSE) {
        *walking = *collecting = 0;
        return;
    }
    if (root != ENG_NODE_TRUE) {
        eng_plan_estimate(plan, &e);
        matching = e.exp ? (double)e.exp : 1;
        *collecting = eng_plan_cost(plan) + (uint64_t)(matching * COLLECT_NS);
    }
    double steps = ((double)page->skip + (double)page->max + 1) * live / matching;
    *walking = (uint64_t)((steps < max ? steps : max) * STEP_NS);
    if (root != ENG_NODE_TRUE)
        *walking += eng_plan_cost_row(plan, (uint64_t)(steps < max ? steps : max));
}

uint64_t
eng_walk_cost(const struct eng_reader *r, const struct eng_plan *plan, const struct eng_page *page)
{
    uint64_t walking, collecting;
    costs(r, plan, page, &walking, &collecting);
    return walking < collecting ? walking : collecting;
}

int eng_walk(struct eng_shard *s,
             const struct eng_reader *r,
             struct eng_plan *plan,
             struct sx_arena *arena,
             struct eng_page *page,
             struct sx_err *err)
{
    uint64_t walking, collecting;
    if (page->max > r->v->n_live)
        page->max = r->v->n_live;
    page->n = page->has_next = 0;
    page->rows = sx_arena_alloc(arena, (page->max + 1) * 4);
    if (!page->rows)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    if (plan && eng_plan_filter(plan)->root->kind == ENG_NODE_FALSE)
        return 0;
    costs(r, plan, page, &walking, &collecting);
    return collecting < walking ? collect(r, plan, arena, page, err)
                                : walk(s, r, plan, arena, page, err);
}
