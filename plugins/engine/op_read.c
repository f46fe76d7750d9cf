/* Operations that read points by id or in order: get, scroll, count. */
#include <string.h>

#include "catalog.h"
#include "fetch.h"

#include "sextant/sx_ban.h"

/* Fetches the rows found into the reply's list. */
static int reply_records(struct eng_call *c,
                         const struct eng_reader *r,
                         const uint32_t *rows,
                         uint32_t n,
                         const struct sx_selector *payload,
                         const struct sx_selector *vectors)
{
    struct sx_record *rec = sx_arena_zalloc(c->op->arena, (n ? n : 1) * sizeof(*rec));
    if (!rec)
        return sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    int rc = eng_fetch(c->shard, r, rows, n, payload, vectors, c->op->arena, rec, &c->err);
    c->reply.u.records.list.records = rec;
    c->reply.u.records.list.n = n;
    return rc;
}

static void end(struct eng_call *c, int rc, uint32_t kind)
{
    if (rc != 0) {
        eng_call_fail_err(c);
        return;
    }
    c->reply.kind = kind;
    eng_call_finish(c);
}

/* 1 when the row was not seen before: a repeated id is answered once, at its first place. */
static int is_first(uint32_t *seen, uint32_t cap, uint32_t row)
{
    uint32_t at = row * 2654435761u & (cap - 1);
    for (; seen[at] != UINT32_MAX; at = (at + 1) & (cap - 1)) {
        if (seen[at] == row)
            return 0;
    }
    seen[at] = row;
    return 1;
}

static void get_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_ids *a = c->op->args;
    struct eng_reader r;
    uint32_t n = 0, cap = 16;
    while (cap < a->n * 2ull)
        cap *= 2;
    uint32_t *rows = sx_arena_alloc(c->op->arena, (a->n ? a->n : 1) * 4ull);
    uint32_t *seen = sx_arena_alloc(c->op->arena, cap * 4ull);
    (void)w;
    if (seen)
        memset(seen, 0xff, cap * 4ull);
    if (!rows || !seen) {
        eng_call_fail(c, SX_ENOMEM, "out of memory");
        return;
    }
    eng_shard_read_begin(c->shard, &r);
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t row = eng_reader_find(&r, &a->ids[i]);
        if (row != ENG_NO_ROW && is_first(seen, cap, row))
            rows[n++] = row;
    }
    int rc = reply_records(c, &r, rows, n, &a->payload, &a->vectors);
    eng_shard_read_end(c->shard);
    if (rc == 0 && c->op->code == SX_OP_POINT_GET && n == 0) {
        char id[40];
        sx_id_format(a->ids[0], id);
        eng_call_fail(c, SX_ENOTFOUND, "Point with id %s does not exists!", id);
        return;
    }
    end(c, rc, c->op->code == SX_OP_POINT_GET ? SX_R_RECORD : SX_R_RECORDS);
}

static void get_plan(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_ids *a = c->op->args;
    (void)w;
    c->run = get_run;
    eng_call_run(c, a->n * 2000ull);
}

void eng_op_points_get(struct eng_call *c)
{
    eng_call_on_shard(c, get_plan);
}

static void scroll_run(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_scroll *a = c->op->args;
    struct eng_shard *s = c->shard;
    struct eng_reader r;
    struct sx_id id;
    uint32_t n = 0;
    (void)w;
    eng_shard_read_begin(s, &r);
    uint64_t max = a->limit < r.v->n_live ? a->limit : r.v->n_live;
    const struct eng_ids_view *v = eng_ids_view(s->table.ids);
    struct eng_ids_cursor *cur = sx_arena_alloc(c->op->arena, eng_ids_cursor_size(v));
    uint32_t *rows = sx_arena_alloc(c->op->arena, (max ? max : 1) * 4);
    int rc = 0;
    if (!cur || !rows) {
        rc = sx_err_set(&c->err, SX_ENOMEM, "out of memory");
    } else {
        eng_ids_seek(s->table.ids, v, a->has_offset ? &a->offset : NULL, cur);
        while (eng_ids_next(cur, &id)) {
            uint32_t row = eng_reader_find(&r, &id);
            if (row == ENG_NO_ROW)
                continue;
            if (n == max) {
                c->reply.u.records.next = id;
                c->reply.u.records.has_next = 1;
                break;
            }
            rows[n++] = row;
        }
        rc = reply_records(c, &r, rows, n, &a->payload, &a->vectors);
    }
    eng_shard_read_end(s);
    end(c, rc, SX_R_SCROLL);
}

static void scroll_plan(struct eng_call *c, struct sx_worker *w)
{
    const struct sx_args_scroll *a = c->op->args;
    (void)w;
    c->run = scroll_run;
    eng_call_run(c, a->limit > 1000000 ? UINT64_MAX : a->limit * 2000);
}

void eng_op_scroll(struct eng_call *c)
{
    eng_call_on_shard(c, scroll_plan);
}

static void count_run(struct eng_call *c, struct sx_worker *w)
{
    struct eng_reader r;
    (void)w;
    eng_shard_read_begin(c->shard, &r);
    c->reply.u.count = r.v->n_live;
    eng_shard_read_end(c->shard);
    end(c, 0, SX_R_COUNT);
}

void eng_op_count(struct eng_call *c)
{
    eng_call_on_shard(c, count_run);
}
