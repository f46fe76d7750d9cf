/* A cleaning pass; see clean.h. */
#include "clean.h"

#include <string.h>

#include "reserve.h"
#include "schema.h"

#include "sextant/sx_ban.h"

#ifdef SX_SMALL_CHUNKS
#define FLOOR_BYTES 4096u
#else
#define FLOOR_BYTES (4u << 20) /* garbage a store may hold whatever its size */
#endif
#define RATIO_NUM   4u /* a store is cleaned from 4/3 of what lives in it */
#define RATIO_DEN   3u
#define SLICE_NS    1000000u
#define SLICE_MOVES 256u
#define SLICE_ROWS  8192u
#define STEP_ROWS   1024u /* ids looked up, node -> row entries led away */
#define CLASSES     64u

enum { VERIFY = 1, SWEEP, SETTLE, REMOVE_IDS, DETACH_IDS, FORGET, SAVE };

/* What a move copies as it is: a chunk of a rows store. */
struct piece {
    uint32_t store, slot; /* store: 0 rows, 1 a column's locations, 2 its vectors */
    uint32_t id, chunk;   /* of the column: a slot may be another one's by then */
};

struct eng_clean {
    struct sx_task task;
    struct eng_shard *shard;
    uint32_t phase;
    uint32_t at, end; /* sweep, remove, forget: the row to go on with; sweep: rows at the start */
    uint64_t began_bytes, moved;
    struct eng_ids_detach ids;
    uint8_t *is_going;    /* by chunk of rows */
    struct piece *pieces; /* VERIFY */
    uint32_t n_pieces;
    struct sx_err wrong;       /* found by VERIFY */
    uint32_t n_going, is_idle; /* nothing was emptied */
};

static void step(struct sx_task *task, struct sx_worker *w);

struct eng_units *eng_clean_units(struct eng_shard *s, uint32_t i, uint32_t *entry_bytes)
{
    struct eng_table *t = &s->table;
    uint32_t n = 0;
    if (i == 0) {
        *entry_bytes = (uint32_t)sizeof(struct eng_row) + 4 * t->schema->config->n_columns;
        return &t->chunks;
    }
    *entry_bytes = 0;
    if (i == 1)
        return &t->segments;
    for (uint32_t c = 0; c < t->n_columns; c++) {
        struct eng_column *col = t->columns[c];
        if (!col)
            continue;
        if (i - 2 == n++) {
            *entry_bytes = col->row_bytes;
            return &col->nodes;
        }
        if (col->blobs && i - 2 == n++)
            return &col->segments;
    }
    return NULL;
}

#define SEGMENT_SMALL (8ull << 20)
#define SEGMENT_LARGE (64ull << 20)

uint64_t eng_clean_segment_bytes(const struct eng_absent *present)
{
    return present->end - present->n > 64 ? SEGMENT_LARGE : SEGMENT_SMALL;
}

/* --- choosing ------------------------------------------------------------------------------------
 */

static uint64_t bytes_of(const struct eng_units *u, uint32_t entry)
{
    return entry ? u->bytes * entry : u->bytes;
}

static uint64_t live_of(const struct eng_units *u, uint32_t entry)
{
    return entry ? u->live_bytes * entry : u->live_bytes;
}

static uint64_t limit_of(const struct eng_units *u, uint32_t entry)
{
    return live_of(u, entry) / RATIO_DEN * RATIO_NUM + FLOOR_BYTES;
}

/* Being written: its end is not known. */
static int is_open(const struct eng_units *u, uint32_t i, uint32_t entry)
{
    return entry ? u->next % SX_CHUNK_ROWS && i == u->next >> SX_CHUNK_SHIFT : i == u->open;
}

static int is_empty(const struct eng_units *u, uint32_t i, uint32_t entry)
{
    return u->at[i].state == ENG_UNIT_LIVE && u->at[i].live == 0 && !is_open(u, i, entry);
}

static uint64_t unit_bytes(const struct eng_unit *k, uint32_t entry)
{
    return entry ? (uint64_t)k->fill * entry : k->bytes;
}

static uint64_t unit_live(const struct eng_unit *k, uint32_t entry)
{
    return entry ? (uint64_t)k->live * entry : k->live_bytes;
}

/* Marks the deadest units until the store would be a little below its limit. They are taken in
 * classes of 1/64 alive, so that a store of ten thousands of units is not sorted; those that are
 * nine tenths alive are not worth it. */
static uint32_t choose(struct eng_units *u, uint32_t entry)
{
    uint64_t total = bytes_of(u, entry), limit = limit_of(u, entry);
    uint32_t n = 0;
    for (uint32_t i = 0; i < u->n; i++)
        u->at[i].is_victim = 0;
    if (total <= limit)
        return 0;
    limit -= limit / 32;
    for (uint32_t class = 0; class < CLASSES * 9 / 10 && total > limit; class ++) {
        for (uint32_t i = 0; i < u->n && total > limit; i++) {
            struct eng_unit *k = &u->at[i];
            uint64_t bytes = unit_bytes(k, entry), live = unit_live(k, entry);
            if (k->state != ENG_UNIT_LIVE || bytes == 0 || is_open(u, i, entry) ||
                live * CLASSES / bytes != class)
                continue;
            k->is_victim = 1;
            total -= bytes - live;
            n++;
        }
    }
    return n;
}

/* Bytes of all stores, and of what nobody needs in them. */
static uint64_t all_garbage(struct eng_shard *s, uint64_t *bytes)
{
    struct eng_units *u;
    uint64_t n = 0;
    uint32_t entry;
    *bytes = 0;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        uint64_t all = bytes_of(u, entry), live = live_of(u, entry);
        *bytes += all;
        n += all > live ? all - live : 0; /* averages may say more than there is */
    }
    return n;
}

static int is_needed(struct eng_shard *s)
{
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        if (bytes_of(u, entry) > limit_of(u, entry))
            return 1;
    }
    return 0;
}

/* --- the pass ------------------------------------------------------------------------------------
 */

static void post(struct eng_clean *k)
{
    k->task.fn = step;
    k->shard->eng->exec->strand_post(k->shard->strand, &k->task);
}

static void finish(struct eng_clean *k)
{
    struct eng_shard *s = k->shard;
    const struct sx_mem *mem = s->eng->mem;
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++)
            u->at[c].is_victim = 0;
    }
    s->clean = NULL;
    mem->release(mem, k->is_going);
    mem->release(mem, k->pieces);
    mem->release(mem, k);
    eng_shard_release(s);
    eng_shard_unref(s);
}

/* Nothing was gained, or something is in the way: not again before there is more to be gained. */
static void give_up(struct eng_clean *k, int rc, const struct sx_err *err)
{
    struct eng_shard *s = k->shard;
    uint64_t bytes, garbage = all_garbage(s, &bytes);
    s->clean_next = garbage + bytes / 64 + FLOOR_BYTES / 4;
    if (rc != 0)
        sx_log(s->eng->host, SX_LOG_WARN, "clean", "cleaning was put off: %s", err->msg);
    finish(k);
}

/* From another thread back to the strand, unless that will not run any more. */
static void fence_over(void *arg)
{
    struct eng_clean *k = arg;
    struct eng_shard *s = k->shard;
    if (atomic_load_explicit(&s->eng->is_stopping, memory_order_acquire)) {
        /* The pools are about to end, or have ended: only what we hold is given back. */
        s->eng->mem->release(s->eng->mem, k->is_going);
        s->eng->mem->release(s->eng->mem, k->pieces);
        s->eng->mem->release(s->eng->mem, k);
        eng_shard_release(s);
        eng_shard_unref(s);
        return;
    }
    post(k);
}

/* Numbers whose files were gone when the fence began, or (now) are to be looked at when it ends. */
static void free_dropped(struct eng_shard *s, int is_over)
{
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++) {
            if (u->at[c].state != ENG_UNIT_DROPPED)
                continue;
            if (is_over && u->at[c].is_forgotten)
                eng_units_state(u, c, ENG_UNIT_FREE);
            else
                u->at[c].is_forgotten |= !is_over;
        }
    }
}

/* Goes on with `phase` when every reader of today has left. */
static void fence(struct eng_clean *k, uint32_t phase)
{
    k->phase = phase;
    k->shard->eng->epoch->retire(fence_over, k);
}

/* Units nothing of which is alive. 1 when there are some. */
static int empty_ones(struct eng_clean *k)
{
    struct eng_shard *s = k->shard;
    struct eng_units *u;
    uint32_t entry, n = 0;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++) {
            if (!is_empty(u, c, entry))
                continue;
            eng_units_state(u, c, ENG_UNIT_GOING);
            n++;
        }
    }
    return n != 0;
}

/* --- verifying -----------------------------------------------------------------------------------
 *
 * Rows, locations and vectors are copied as they are and get new checksums: damage that nobody has
 * seen yet would become sound data. So what a pass copies from is compared with its checksums
 * first. (Blobs are checked one by one when they are read.) */

static int list_pieces(struct eng_clean *k)
{
    const struct eng_table *t = &k->shard->table;
    uint64_t n = 0;
    for (uint32_t i = 0; i < t->n_columns; i++)
        n += t->columns[i] ? t->columns[i]->nodes.n : 0;
    n += (1ull + t->n_columns) * t->chunks.n;
    k->pieces = k->shard->eng->mem->alloc(k->shard->eng->mem, (n + 1) * sizeof(*k->pieces));
    if (!k->pieces)
        return SX_ENOMEM;
    for (uint32_t c = 0; c < t->chunks.n; c++) {
        if (t->chunks.at[c].state != ENG_UNIT_LIVE || t->chunks.at[c].live == 0)
            continue;
        k->pieces[k->n_pieces++] = (struct piece){0, 0, 0, c};
        for (uint32_t i = 0; i < t->n_columns; i++) {
            if (t->columns[i])
                k->pieces[k->n_pieces++] = (struct piece){1, i, t->columns[i]->conf->id, c};
        }
    }
    for (uint32_t i = 0; i < t->n_columns; i++) {
        const struct eng_column *col = t->columns[i];
        for (uint32_t c = 0; col && c < col->nodes.n; c++) {
            if (col->nodes.at[c].is_victim && col->nodes.at[c].live)
                k->pieces[k->n_pieces++] = (struct piece){2, i, col->conf->id, c};
        }
    }
    return 0;
}

/* In an epoch: the columns of the view stay open. */
static int verify_piece(struct eng_table *t,
                        const struct eng_config *config,
                        const struct piece *p,
                        struct sx_err *err)
{
    const struct eng_column *col = NULL;
    for (uint32_t i = 0; i < config->n_columns; i++) {
        if (config->columns[i].slot == p->slot && config->columns[i].id == p->id)
            col = t->columns[p->slot];
    }
    if (p->store != 0 && !col)
        return 0; /* dropped meanwhile */
    const struct sx_provider *rp = p->store == 2 ? col->rows_p : t->rows_p;
    void *h = p->store == 0 ? t->rows : p->store == 1 ? col->loc : col->vec;
    int rc = ((const struct sx_rows_ops *)rp->ops)->verify(rp->self, h, p->chunk, err);
    return rc == SX_ENOTFOUND ? 0 : rc;
}

static void verify_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_clean *k = task->arg;
    struct eng_shard *s = k->shard;
    int rc = 0;
    (void)w;
    for (uint32_t i = 0; rc == 0 && i < k->n_pieces; i++) {
        struct eng_reader r;
        if (atomic_load_explicit(&s->eng->is_stopping, memory_order_acquire))
            break;
        eng_shard_read_begin(s, &r);
        rc = verify_piece(&s->table, r.v->schema->config, &k->pieces[i], &k->wrong);
        eng_shard_read_end(s);
    }
    if (rc == SX_ECORRUPT || rc == SX_EIO)
        eng_shard_damaged(s, &k->wrong);
    k->wrong.code = rc;
    fence_over(k);
}

/* --- sweeping ------------------------------------------------------------------------------------
 */

static int sweep(struct eng_clean *k, struct sx_err *err)
{
    struct eng_shard *s = k->shard;
    struct eng_table *t = &s->table;
    uint64_t t0 = s->eng->time->mono_ns();
    uint32_t moves = 0, looked = 0;
    int rc = eng_reserve_check(s->eng->reserve, err); /* moves take space before they give some */
    if (rc != 0)
        return rc;
    while (k->at < k->end && moves < SLICE_MOVES && looked < SLICE_ROWS) {
        const struct eng_unit *u = &t->chunks.at[k->at >> SX_CHUNK_SHIFT];
        uint32_t before = k->at;
        if (u->state != ENG_UNIT_LIVE || u->live == 0 || (k->at & (SX_CHUNK_ROWS - 1)) >= u->fill) {
            k->at = ((k->at >> SX_CHUNK_SHIFT) + 1) << SX_CHUNK_SHIFT;
            if (k->at == 0) /* behind the last number there is */
                k->at = k->end;
            looked += 16;
            continue;
        }
        int n = eng_clean_move(s, &k->at, STEP_ROWS, 64, err);
        if (n < 0)
            return n;
        moves += (uint32_t)n;
        k->moved += (uint32_t)n;
        looked += k->at - before;
        if (s->eng->time->mono_ns() - t0 > SLICE_NS)
            break;
    }
    return 0;
}

/* The next going chunk of rows from k->at on; 1 and its next STEP_ROWS rows. */
static int next_rows(struct eng_clean *k, uint32_t *first, uint32_t *n)
{
    const struct eng_units *u = &k->shard->table.chunks;
    while (k->at < k->end) {
        uint32_t c = k->at >> SX_CHUNK_SHIFT, off = k->at & (SX_CHUNK_ROWS - 1);
        if (u->at[c].state == ENG_UNIT_GOING && off < u->at[c].fill) {
            *first = k->at;
            *n = u->at[c].fill - off < STEP_ROWS ? u->at[c].fill - off : STEP_ROWS;
            k->at += *n;
            return 1;
        }
        k->at = (c + 1) << SX_CHUNK_SHIFT;
        if (k->at == 0) /* behind the last number there is */
            k->at = k->end;
    }
    return 0;
}

static int detach_begin(struct eng_clean *k, struct sx_err *err)
{
    struct eng_table *t = &k->shard->table;
    const struct sx_mem *mem = k->shard->eng->mem;
    k->n_going = t->chunks.n;
    k->is_going = mem->zalloc(mem, k->n_going + 1ull);
    if (!k->is_going)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < k->n_going; i++)
        k->is_going[i] = t->chunks.at[i].state == ENG_UNIT_GOING;
    k->at = 0;
    k->end = k->n_going >> (32 - SX_CHUNK_SHIFT) ? UINT32_MAX : k->n_going << SX_CHUNK_SHIFT;
    return 0;
}

/* Nothing leads to what goes any more: views from now on do not know it. */
static int leave(struct eng_clean *k, struct sx_err *err)
{
    struct eng_shard *s = k->shard;
    struct eng_table *t = &s->table;
    struct eng_units *u;
    uint32_t entry;
    int rc = eng_shard_publish_room(s);
    for (uint32_t c = 0; rc == 0 && c < t->n_columns; c++) {
        struct eng_column *col = t->columns[c];
        for (uint32_t i = 0; col && rc == 0 && i < col->nodes.n; i++) {
            if (col->nodes.at[i].state == ENG_UNIT_GOING)
                rc = eng_column_forget_nodes(t, col, i);
        }
    }
    if (rc != 0)
        return sx_err_set(err, rc, "out of memory");
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++) {
            if (u->at[c].state == ENG_UNIT_GOING)
                eng_units_state(u, c, ENG_UNIT_LEFT);
        }
    }
    t->tick++;
    eng_shard_publish(s);
    return 0;
}

static void mark_unread(struct eng_shard *s)
{
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++)
            u->at[c].is_unread |= u->at[c].state == ENG_UNIT_LEFT;
    }
}

static int run(struct eng_clean *k, struct sx_err *err)
{
    struct eng_shard *s = k->shard;
    struct eng_table *t = &s->table;
    uint32_t first, n;
    int rc = 0;
    switch (k->phase) {
    case VERIFY:
        if (list_pieces(k) != 0)
            return sx_err_set(err, SX_ENOMEM, "out of memory");
        k->phase = SWEEP;
        k->task.fn = verify_run;
        k->task.arg = k;
        s->eng->exec->blocking(&k->task);
        return 1;
    case SWEEP:
        if (k->wrong.code != 0) {
            *err = k->wrong;
            return err->code;
        }
        rc = sweep(k, err);
        if (rc == SX_ENOSPACE) { /* what was emptied so far goes, and makes room for the rest */
            rc = 0;
            k->at = k->end;
        }
        if (rc != 0 || k->at < k->end)
            break;
        k->is_idle = !empty_ones(k);
        free_dropped(s, 0);
        fence(k, SETTLE);
        return 1;
    case SETTLE:
        free_dropped(s, 1);
        if (k->is_idle) {
            give_up(k, 0, err);
            return 1;
        }
        if (!eng_ids_settle(t->ids))
            break;
        rc = detach_begin(k, err);
        k->phase = REMOVE_IDS;
        break;
    case REMOVE_IDS:
        if (next_rows(k, &first, &n)) {
            eng_ids_remove_rows(t->ids, first, n);
        } else {
            k->phase = DETACH_IDS;
            k->at = 0;
        }
        break;
    case DETACH_IDS:
        if (eng_ids_detach(t->ids, &k->ids, k->is_going, k->n_going))
            k->phase = FORGET;
        eng_ids_commit(t->ids);
        break;
    case FORGET:
        if (next_rows(k, &first, &n)) {
            rc = eng_table_forget_rows(t, first, n);
            if (rc != 0)
                sx_err_set(err, rc, "out of memory");
            break;
        }
        rc = leave(k, err);
        if (rc != 0)
            break;
        fence(k, SAVE);
        return 1;
    default: /* SAVE */
        mark_unread(s);
        eng_checkpoint_start(s); /* or eng_clean_checkpointed() does when another one has ended */
        finish(k);
        return 1;
    }
    return rc;
}

static void step(struct sx_task *task, struct sx_worker *w)
{
    struct eng_clean *k =
        (struct eng_clean *)(void *)((char *)task - offsetof(struct eng_clean, task));
    struct eng_shard *s = k->shard;
    struct sx_err err = SX_ERR_INIT;
    (void)w;
    if (s->no_cleaning || atomic_load_explicit(&s->eng->is_stopping, memory_order_acquire) ||
        atomic_load_explicit(&s->write_failed, memory_order_acquire) ||
        atomic_load_explicit(&s->damaged, memory_order_acquire)) {
        finish(k);
        return;
    }
    int rc = run(k, &err);
    if (rc == 0)
        post(k);
    else if (rc < 0) /* units that were to go stay as they are until the shard is opened again */
        give_up(k, rc, &err);
}

void eng_clean_consider(struct eng_shard *s)
{
    struct eng *e = s->eng;
    struct eng_units *u;
    uint64_t bytes;
    uint32_t entry, n = 0;
    if (s->clean || s->no_cleaning || !is_needed(s) || all_garbage(s, &bytes) < s->clean_next ||
        eng_clean_wants_checkpoint(s) ||
        atomic_load_explicit(&e->is_stopping, memory_order_acquire) ||
        atomic_load_explicit(&s->damaged, memory_order_acquire))
        return;
    struct eng_clean *k = e->mem->zalloc(e->mem, sizeof(*k));
    if (!k)
        return;
    if (!eng_shard_hold(s)) {
        e->mem->release(e->mem, k);
        return;
    }
    eng_shard_ref(s);
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++)
        n += choose(u, entry);
    k->shard = s;
    k->phase = VERIFY;
    k->wrong.size = sizeof(k->wrong);
    k->end = s->table.n_rows;
    s->clean = k;
    s->clean_next = 0;
    if (n == 0)
        give_up(k, 0, NULL);
    else
        post(k);
}

/* --- checkpoints ---------------------------------------------------------------------------------
 */

/* A column that was dropped is in no manifest; its files go all at once. */
static int is_of_manifest(const struct eng_table *t, const struct eng_units *u)
{
    const struct eng_config *config = t->schema->config;
    int is = u == &t->chunks || u == &t->segments;
    for (uint32_t i = 0; !is && i < config->n_columns; i++) {
        const struct eng_column *c = t->columns[config->columns[i].slot];
        is = u == &c->nodes || u == &c->segments;
    }
    return is;
}

int eng_clean_wants_checkpoint(const struct eng_shard *s)
{
    struct eng_shard *w = (struct eng_shard *)(uintptr_t)s;
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(w, i, &entry)) != NULL; i++) {
        if (!is_of_manifest(&w->table, u))
            continue;
        for (uint32_t c = 0; c < u->n; c++) {
            if (u->at[c].state == ENG_UNIT_LEFT && u->at[c].is_unread && !u->at[c].is_saved)
                return 1;
        }
    }
    return 0;
}

/* Payload indexes let go of the chunk; not while a job of theirs is about it. */
static int forget_fields(struct eng_shard *s, uint32_t chunk)
{
    const struct eng_schema *schema = s->table.schema;
    int rc = 0;
    for (uint32_t f = 0; rc == 0 && f < schema->n_fields; f++) {
        rc = eng_field_forget(schema->fields[f]->field, chunk, NULL);
        s->fields_unsynced = 1;
    }
    return rc;
}

/* Removes the files of a unit; its number is free then. What cannot be done now is done after the
 * next job or checkpoint. */
static void drop(struct eng_shard *s, uint32_t i, struct eng_units *u, uint32_t entry, uint32_t c)
{
    struct eng_table *t = &s->table;
    const struct sx_rows_ops *r = t->rows_p->ops;
    const struct sx_blobs_ops *b = t->blobs_p->ops;
    int rc = 0;
    if (i == 0) {
        if (forget_fields(s, c) != 0 || eng_table_forget_sides(t, c) != 0)
            return;
        for (uint32_t k = 0; k < t->n_columns; k++) {
            if (t->columns[k])
                (void)r->drop(t->rows_p->self, t->columns[k]->loc, c, NULL);
        }
        rc = r->drop(t->rows_p->self, t->rows, c, NULL);
    } else if (i == 1) {
        rc = b->drop(t->blobs_p->self, t->payload, c, NULL);
    }
    for (uint32_t k = 0; i > 1 && k < t->n_columns; k++) {
        struct eng_column *col = t->columns[k];
        if (col && u == &col->nodes)
            rc = ((const struct sx_rows_ops *)col->rows_p->ops)
                     ->drop(col->rows_p->self, col->vec, c, NULL);
        else if (col && u == &col->segments)
            rc = b->drop(t->blobs_p->self, col->blobs, c, NULL);
    }
    if (rc != SX_ENOMEM) /* the store itself finds numbers for segments */
        eng_units_state(u, c, entry ? ENG_UNIT_DROPPED : ENG_UNIT_FREE);
}

void eng_clean_drop(struct eng_shard *s)
{
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++) {
            const struct eng_unit *k = &u->at[c];
            if (k->state == ENG_UNIT_LEFT && k->is_saved && k->is_unread)
                drop(s, i, u, entry, c);
        }
    }
}

void eng_clean_saved(struct eng_shard *s)
{
    struct eng_units *u;
    uint32_t entry;
    for (uint32_t i = 0; (u = eng_clean_units(s, i, &entry)) != NULL; i++) {
        for (uint32_t c = 0; c < u->n; c++) {
            u->at[c].is_saved |= u->at[c].in_checkpoint;
            u->at[c].in_checkpoint = 0;
        }
    }
    eng_clean_drop(s);
}

void eng_clean_checkpointed(struct eng_shard *s, int rc)
{
    if (rc != 0 || s->no_cleaning || s->close_wanted)
        return;
    if (!s->checkpointing && eng_clean_wants_checkpoint(s))
        eng_checkpoint_start(s);
    eng_clean_consider(s);
}
