/* What each operation on points is refused for, selects, and writes into the log. See write.h. */
#include <string.h>

#include "infer.h"
#include "schema.h"
#include "write.h"

#include "sextant/sx_ban.h"

static void refuse(struct eng_write_step *step, int code, const char *text)
{
    sx_err_set(&step->refused, code, "%s", text);
}

static void no_memory(struct eng_write_step *step)
{
    refuse(step, SX_ENOMEM, "out of memory");
}

static void no_point(struct eng_write_step *step, const struct sx_id *id)
{
    char text[40];
    sx_id_format(*id, text);
    sx_err_set(&step->outcome, SX_ENOTFOUND, "No point with id %s found", text);
}

/* The selection of a step; NULL for those that name whole points. */
static const struct sx_points *selection(const struct eng_write_step *step)
{
    switch (step->code) {
    case SX_OP_POINTS_DELETE:
    case SX_OP_PAYLOAD_CLEAR:
        return &((const struct sx_args_points *)step->args)->points;
    case SX_OP_VECTORS_DELETE:
        return &((const struct sx_args_vectors_delete *)step->args)->points;
    case SX_OP_PAYLOAD_SET:
    case SX_OP_PAYLOAD_OVERWRITE:
    case SX_OP_PAYLOAD_DELETE:
        return &((const struct sx_args_payload *)step->args)->points;
    default:
        return NULL;
    }
}

static const struct sx_shards *shards_of(const struct eng_write_step *step)
{
    switch (step->code) {
    case SX_OP_POINTS_DELETE:
    case SX_OP_PAYLOAD_CLEAR:
        return &((const struct sx_args_points *)step->args)->shards;
    case SX_OP_VECTORS_DELETE:
        return &((const struct sx_args_vectors_delete *)step->args)->shards;
    case SX_OP_PAYLOAD_SET:
    case SX_OP_PAYLOAD_OVERWRITE:
    case SX_OP_PAYLOAD_DELETE:
        return &((const struct sx_args_payload *)step->args)->shards;
    default:
        return &((const struct sx_args_upsert *)step->args)->shards;
    }
}

static int uses_filter(const struct eng_write_step *step)
{
    const struct sx_points *p = selection(step);
    return step->by_what == ENG_BY_EITHER ? !p->has_ids : step->by_what == ENG_BY_FILTER;
}

/* --- preparing [W] ----------------------------------------------------------------------------
 */

/* Dimensions are looked at before the log, also with wait=false, and only for names that exist. */
static int
check_dims(const struct eng_config *config, const struct sx_args_upsert *a, struct sx_err *err)
{
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t j = 0; j < a->points[i].n_vectors; j++) {
            const struct sx_vec_in *v = &a->points[i].vectors[j];
            const struct eng_column_conf *cc = eng_config_column(config, v->name);
            if (!cc || cc->kind == ENG_COL_SPARSE || v->kind == SX_VEC_SPARSE || v->dim == cc->dim)
                continue;
            if (v->name.n)
                return sx_err_set(
                    err, SX_EINPUT,
                    "Vector dimension error: expected dim: %u, got %u for vector '%.*s'", cc->dim,
                    v->dim, (int)v->name.n, v->name.p);
            return sx_err_set(err, SX_EINPUT, "Vector dimension error: expected dim: %u, got %u",
                              cc->dim, v->dim);
        }
    }
    return 0;
}

/* Texts to be embedded become vectors before anything else looks at the points; one that fails
 * refuses the whole request. */
static int embed(struct eng_call *c, struct eng_write_step *step)
{
    const struct sx_args_upsert *a = step->args;
    struct sx_arena *arena = c->op->arena;
    struct sx_args_upsert *copy = NULL;
    struct sx_point_in *points = NULL;
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t j = 0; j < a->points[i].n_vectors; j++) {
            const struct sx_vec_in *v = &a->points[i].vectors[j];
            if (v->kind != SX_VEC_INFER)
                continue;
            if (!copy) {
                copy = sx_arena_alloc(arena, sizeof(*copy));
                points = sx_arena_alloc(arena, a->n * sizeof(*points));
                if (!copy || !points)
                    return no_memory(step), SX_ENOMEM;
                *copy = *a;
                memcpy(points, a->points, a->n * sizeof(*points));
                copy->points = points;
            }
            if (points[i].vectors == a->points[i].vectors) {
                uint64_t bytes = a->points[i].n_vectors * sizeof(struct sx_vec_in);
                struct sx_vec_in *vectors = sx_arena_alloc(arena, bytes);
                if (!vectors)
                    return no_memory(step), SX_ENOMEM;
                memcpy(vectors, a->points[i].vectors, bytes);
                points[i].vectors = vectors;
            }
            int rc = eng_infer(c, v, (struct sx_vec_in *)(uintptr_t)&points[i].vectors[j], 0,
                               &step->refused);
            if (rc != 0)
                return rc;
        }
    }
    if (copy)
        step->args = copy;
    return 0;
}

static void prepare_points(struct eng_call *c, struct eng_write_step *step)
{
    if (embed(c, step) != 0)
        return;
    const struct sx_args_upsert *a = step->args;
    int is_update = step->code == SX_OP_VECTORS_UPDATE;
    struct sx_err err = SX_ERR_INIT;
    if (a->n == 0) {
        refuse(step, SX_EBADREQ, "Empty update request");
        return;
    }
    struct eng_reader r;
    eng_shard_read_begin(c->shard, &r);
    r.hides = 0;
    const struct eng_config *config = r.v->schema->config;
    int rc = is_update ? 0 : check_dims(config, a, &step->refused);
    if (rc == 0) {
        rc = eng_record_points(c->shard, config, a, is_update, c->op->arena, &step->points, &err);
        step->points.config = config;
    }
    eng_shard_read_end(c->shard);
    if (step->refused.code != 0)
        return;
    if (rc == SX_ENOMEM || rc == SX_EBADREQ || rc == SX_EUNSUPPORTED)
        step->refused = err;
    else if (rc != 0)
        step->outcome = err;
}

/* Rows that match in the present view; the strand adds what came since. */
static void select_now(struct eng_call *c, struct eng_write_step *step, const struct sx_filter *f)
{
    struct eng_reader r;
    struct eng_plan *p = NULL;
    eng_shard_read_begin(c->shard, &r);
    r.hides = 0;
    int rc = eng_plan_create(c->shard, &r, f, c->op->arena, &p, &step->refused);
    if (rc == 0)
        rc = eng_plan_rows(p, 0, &step->rows, &step->n_rows, &step->refused);
    step->view_rows = r.v->n_rows;
    step->view_low = r.v->n_low;
    step->is_selected = rc == 0;
    eng_plan_destroy(p);
    eng_shard_read_end(c->shard);
}

void eng_write_prepare(struct eng_call *c, struct eng_write_step *step, int is_single)
{
    const struct sx_points *p = selection(step);
    if (eng_check_shards(shards_of(step), 1, &step->refused) < 0)
        return;
    if (!p) {
        prepare_points(c, step);
        return;
    }
    if (!uses_filter(step)) {
        if (p->has_ids && p->n == 0)
            refuse(step, SX_EBADREQ, "Empty update request");
        else if (!p->has_ids)
            refuse(step, SX_EBADREQ, "No filter or points provided");
    } else if (!p->filter) {
        refuse(step, SX_EBADREQ, "No filter or points provided");
    } else if (is_single) {
        /* In a batch the steps before decide what there is to select. */
        select_now(c, step, p->filter);
    }
}

/* --- selecting [S] ----------------------------------------------------------------------------
 */

struct ids {
    struct sx_id *ids;
    uint32_t n, pad;
};

static int by_filter(struct eng_call *c, struct eng_write_step *step, struct ids *out)
{
    const struct sx_filter *f = selection(step)->filter;
    struct sx_arena *arena = c->op->arena;
    struct eng_reader r;
    struct eng_plan *p = NULL;
    uint32_t *rows = NULL, n = 0;
    eng_shard_read_begin(c->shard, &r);
    r.hides = 0;
    /* Numbers that were used again since: what came is not what lies above. */
    if (r.v->n_low != step->view_low)
        step->is_selected = 0;
    int rc = eng_plan_create(c->shard, &r, f, arena, &p, &step->refused);
    if (rc == 0)
        rc = eng_plan_rows(p, step->is_selected ? step->view_rows : 0, &rows, &n, &step->refused);
    out->ids = rc == 0
                   ? sx_arena_alloc(arena, ((uint64_t)n + step->n_rows + 1) * sizeof(struct sx_id))
                   : NULL;
    if (rc == 0 && !out->ids) {
        no_memory(step);
        rc = SX_ENOMEM;
    }
    /* What was selected before and has died since was deleted, or came again as a later row. */
    for (uint32_t i = 0; rc == 0 && step->is_selected && i < step->n_rows; i++) {
        if (eng_reader_knows(&r, step->rows[i]) && eng_reader_alive(&r, step->rows[i]))
            eng_row_id(eng_reader_row(&r, step->rows[i]), &out->ids[out->n++]);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        eng_row_id(eng_reader_row(&r, rows[i]), &out->ids[out->n++]);
    eng_plan_destroy(p);
    eng_shard_read_end(c->shard);
    return rc;
}

/* The ids that exist, each once; the first that does not becomes the outcome. */
static int by_ids(struct eng_call *c, struct eng_write_step *step, int must_exist, struct ids *out)
{
    const struct sx_points *p = selection(step);
    struct sx_arena *arena = c->op->arena;
    uint32_t cap = 16;
    while (cap < p->n * 2ull)
        cap *= 2;
    uint32_t *slot = sx_arena_alloc(arena, cap * 4ull);
    out->ids = sx_arena_alloc(arena, (p->n + 1ull) * sizeof(struct sx_id));
    if (!slot || !out->ids) {
        no_memory(step);
        return SX_ENOMEM;
    }
    memset(slot, 0xff, cap * 4ull);
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t row = eng_table_find(&c->shard->table, &p->ids[i]);
        uint32_t at = row * 2654435761u & (cap - 1);
        if (row == ENG_NO_ROW) {
            if (must_exist && step->outcome.code == 0)
                no_point(step, &p->ids[i]);
            continue;
        }
        while (slot[at] != UINT32_MAX && slot[at] != row)
            at = (at + 1) & (cap - 1);
        if (slot[at] == UINT32_MAX) {
            slot[at] = row;
            out->ids[out->n++] = p->ids[i];
        }
    }
    return 0;
}

static int
select_ids(struct eng_call *c, struct eng_write_step *step, int must_exist, struct ids *out)
{
    out->n = 0;
    return uses_filter(step) ? by_filter(c, step, out) : by_ids(c, step, must_exist, out);
}

/* --- resolving [S] ----------------------------------------------------------------------------
 */

static void finish_body(struct eng_write_step *step, uint16_t type, int rc)
{
    if (rc != 0)
        no_memory(step);
    else
        step->type = type;
}

/* keep[i]: does the stored point match the condition of the update. */
static int
match_stored(struct eng_call *c, struct eng_write_step *step, uint8_t *keep, const uint8_t *exists)
{
    const struct sx_args_upsert *a = step->args;
    struct eng_reader r;
    struct eng_plan *p = NULL;
    eng_shard_read_begin(c->shard, &r);
    r.hides = 0;
    int rc = eng_plan_create(c->shard, &r, a->update_filter, c->op->arena, &p, &step->refused);
    for (uint32_t i = 0; rc == 0 && i < step->points.n; i++) {
        if (!exists[i])
            continue;
        rc = eng_plan_row(p, eng_reader_find(&r, &step->points.ids[i]), &step->refused);
        if (rc >= 0) {
            keep[i] = (uint8_t)rc;
            rc = 0;
        }
    }
    eng_plan_destroy(p);
    eng_shard_read_end(c->shard);
    return rc;
}

static void resolve_points(struct eng_call *c, struct eng_write_step *step)
{
    if (step->points.config != c->shard->table.schema->config) {
        prepare_points(c, step); /* a vector name came or went meanwhile */
        if (step->refused.code != 0 || step->outcome.code != 0)
            return;
    }
    const struct sx_args_upsert *a = step->args;
    int is_update = step->code == SX_OP_VECTORS_UPDATE;
    uint8_t *keep = sx_arena_alloc(c->op->arena, 2ull * (step->points.n + 1));
    uint8_t *exists = keep ? keep + step->points.n + 1 : NULL;
    if (!keep) {
        no_memory(step);
        return;
    }
    if (!is_update && a->mode == SX_UPSERT && !a->update_filter) {
        step->body = step->points.body;
        step->type = ENG_REC_UPSERT;
        return;
    }
    for (uint32_t i = 0; i < step->points.n; i++) {
        exists[i] = eng_table_find(&c->shard->table, &step->points.ids[i]) != ENG_NO_ROW;
        keep[i] = exists[i] ? is_update || a->mode != SX_INSERT_ONLY
                            : !is_update && a->mode != SX_UPDATE_ONLY;
    }
    for (uint32_t i = 0; is_update && i < a->n && step->outcome.code == 0; i++) {
        if (eng_table_find(&c->shard->table, &a->points[i].id) == ENG_NO_ROW)
            no_point(step, &a->points[i].id);
    }
    if (a->update_filter && a->mode != SX_INSERT_ONLY && match_stored(c, step, keep, exists) != 0)
        return;
    finish_body(step, is_update ? ENG_REC_VECTORS : ENG_REC_UPSERT,
                eng_record_points_select(&step->points, keep, c->op->arena, &step->body));
}

static void resolve_delete(struct eng_call *c, struct eng_write_step *step)
{
    struct ids ids = {NULL, 0, 0};
    if (select_ids(c, step, 0, &ids) == 0)
        finish_body(step, ENG_REC_DELETE,
                    eng_record_delete(ids.ids, ids.n, c->op->arena, &step->body));
}

static void resolve_vectors_delete(struct eng_call *c, struct eng_write_step *step)
{
    const struct sx_args_vectors_delete *a = step->args;
    struct ids ids = {NULL, 0, 0};
    uint32_t *columns = sx_arena_alloc(c->op->arena, (a->n_names + 1ull) * 4), n = 0;
    if (!columns) {
        no_memory(step);
        return;
    }
    if (select_ids(c, step, 1, &ids) != 0)
        return;
    for (uint32_t i = 0; i < a->n_names; i++) {
        const struct eng_column_conf *cc =
            eng_config_column(c->shard->table.schema->config, a->names[i]);
        if (cc) {
            columns[n++] = cc->id;
        } else if (ids.n || !uses_filter(step)) {
            /* Nothing of the operation happens, whatever else is wrong with it. */
            step->outcome.code = 0;
            sx_err_set(&step->outcome, SX_EINPUT, "Not existing vector name error: %.*s",
                       (int)(a->names[i].n > 200 ? 200 : a->names[i].n), a->names[i].p);
            step->type = ENG_REC_FAILED;
            return;
        }
    }
    finish_body(step, ENG_REC_VECTORS_DROP,
                eng_record_vectors_drop(columns, n, ids.ids, ids.n, c->op->arena, &step->body));
}

static void resolve_payload(struct eng_call *c, struct eng_write_step *step)
{
    static const struct sx_args_payload nothing;
    const struct sx_args_payload *a = step->code == SX_OP_PAYLOAD_CLEAR ? &nothing : step->args;
    uint32_t kind = step->code == SX_OP_PAYLOAD_SET         ? ENG_PAYLOAD_SET
                    : step->code == SX_OP_PAYLOAD_OVERWRITE ? ENG_PAYLOAD_OVERWRITE
                    : step->code == SX_OP_PAYLOAD_DELETE    ? ENG_PAYLOAD_DELETE
                                                            : ENG_PAYLOAD_CLEAR;
    const struct sx_path *paths = kind == ENG_PAYLOAD_SET ? &a->key : a->keys;
    uint32_t n_paths = kind == ENG_PAYLOAD_SET      ? a->key.n != 0
                       : kind == ENG_PAYLOAD_DELETE ? a->n_keys
                                                    : 0;
    struct ids ids = {NULL, 0, 0};
    if (select_ids(c, step, 1, &ids) == 0)
        finish_body(step, ENG_REC_PAYLOAD,
                    eng_record_payload(kind, a->payload, paths, n_paths, ids.ids, ids.n,
                                       c->eng->mem, c->op->arena, &step->body));
}

void eng_write_resolve(struct eng_call *c, struct eng_write_step *step)
{
    int is_stale = step->points.config && step->points.config != c->shard->table.schema->config;
    if (step->outcome.code != 0 && !is_stale)
        return;
    switch (step->code) {
    case SX_OP_POINTS_UPSERT:
    case SX_OP_VECTORS_UPDATE:
        resolve_points(c, step);
        return;
    case SX_OP_POINTS_DELETE:
        resolve_delete(c, step);
        return;
    case SX_OP_VECTORS_DELETE:
        resolve_vectors_delete(c, step);
        return;
    default:
        resolve_payload(c, step);
    }
}
