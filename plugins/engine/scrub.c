/* The scrub: primary data compared with its checksums, slowly, in the background.
 *
 * Contents are not read at start (that would cost the instant start) and never on the search path.
 * Instead one piece (a row chunk, a payload segment) of one open shard is verified every
 * scrub_pause_ms; after a pass over everything the scrub rests for scrub_rest_ms. Damage makes the
 * shard red with file and offset: collection info and telemetry say so, reads go on. A shard that
 * is not open is looked at when it is used: its heads and tails are checked at open.
 *
 * One task for the whole server, on the blocking pool; the cursor is only touched by it. */
#include <string.h>

#include "catalog.h"
#include "schema.h"

#include "sextant/sx_ban.h"

/* The piece to look at next: the collection in the catalogue's order, the store in it (rows, then
 * two for each column, then the payload), the chunk or segment in that. A collection dropped
 * meanwhile shifts the order; what is passed over comes in the next pass. */
struct eng_scrub {
    struct eng *eng;
    struct sx_task task;
    uint32_t collection, store, piece;
    uint32_t i, is_open, did; /* of one step */
    _Atomic uint32_t armed;
};

static const struct sx_rows_ops *rops(const struct sx_provider *p)
{
    return p->ops;
}

/* SX_ENOTFOUND behind the last chunk. One that was dropped is passed over. */
static int verify_rows(const struct sx_provider *p, void *h, uint32_t chunk, struct sx_err *err)
{
    struct sx_rows r;
    rops(p)->rows(p->self, h, &r);
    if ((uint64_t)chunk << SX_CHUNK_SHIFT >= r.n)
        return SX_ENOTFOUND;
    int rc = rops(p)->verify(p->self, h, chunk, err);
    return rc == SX_ENOTFOUND ? 0 : rc;
}

/* The same for segments, whose end is told by the file names. */
struct last {
    uint32_t end;
};

static void last_sink(void *arg, const char *file, uint64_t bytes)
{
    struct last *k = arg;
    const char *dot = strchr(file, '.');
    uint32_t v = 0;
    (void)bytes;
    for (uint32_t i = 1; dot && i <= 8 && dot[i]; i++)
        v = v * 16 + (uint32_t)(dot[i] >= 'a' ? dot[i] - 'a' + 10 : dot[i] - '0');
    if (dot && v >= k->end)
        k->end = v + 1;
}

static int verify_blobs(const struct sx_provider *p, void *h, uint32_t segment, struct sx_err *err)
{
    const struct sx_blobs_ops *b = p->ops;
    struct last last = {0};
    int rc = b->verify(p->self, h, segment, err);
    if (rc != SX_ENOTFOUND)
        return rc;
    b->files(p->self, h, last_sink, &last);
    return segment < last.end ? 0 : SX_ENOTFOUND;
}

#define STORES 3u /* of a column */

/* The caller is in an epoch: columns of config stay open. */
static int verify_piece(struct eng_table *t,
                        const struct eng_config *config,
                        uint32_t store,
                        uint32_t piece,
                        struct sx_err *err)
{
    if (store == 0)
        return verify_rows(t->rows_p, t->rows, piece, err);
    if (store <= STORES * config->n_columns) {
        struct eng_column *c = t->columns[config->columns[(store - 1) / STORES].slot];
        switch ((store - 1) % STORES) {
        case 0:
            return verify_rows(c->rows_p, c->vec, piece, err);
        case 1:
            return verify_rows(t->rows_p, c->loc, piece, err);
        default:
            return c->blobs ? verify_blobs(t->blobs_p, c->blobs, piece, err) : SX_ENOTFOUND;
        }
    }
    return verify_blobs(t->blobs_p, t->payload, piece, err);
}

static void look(void *arg, struct eng_collection *col)
{
    struct eng_scrub *k = arg;
    struct eng_shard *s = col->shard;
    int is_open = s && atomic_load_explicit(&s->state, memory_order_acquire) == ENG_OPEN;
    k->is_open |= (uint32_t)is_open;
    if (k->i++ != k->collection || k->did)
        return;
    is_open = is_open && eng_shard_hold(s);
    while (is_open && !k->did) {
        struct sx_err err = SX_ERR_INIT;
        struct eng_reader r;
        eng_shard_read_begin(s, &r);
        r.hides = 0;
        const struct eng_config *config = r.v->schema->config;
        int is_over = k->store > STORES * config->n_columns + 1;
        int rc = is_over ? 0 : verify_piece(&s->table, config, k->store, k->piece, &err);
        eng_shard_read_end(s);
        if (is_over)
            break;
        if (rc == SX_ENOTFOUND) {
            k->store++;
            k->piece = 0;
            continue;
        }
        k->piece++;
        k->did = 1;
        if (rc == SX_ECORRUPT || rc == SX_EIO) {
            sx_err_wrap(&err, "Collection %.*s is damaged",
                        (int)(col->name.n > 60 ? 60 : col->name.n), col->name.p);
            eng_shard_damaged(s, &err);
        }
    }
    if (is_open)
        eng_shard_release(s);
    if (!k->did) {
        k->collection++;
        k->store = k->piece = 0;
    }
}

static void scrub_run(struct sx_task *task, struct sx_worker *w);

static void scrub_due(struct sx_task *task, struct sx_worker *w)
{
    struct eng_scrub *k = task->arg;
    (void)w;
    task->fn = scrub_run;
    k->eng->exec->blocking(task);
}

static void scrub_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_scrub *k = task->arg;
    struct eng *e = k->eng;
    uint64_t pause = e->conf->scrub_pause_ms;
    (void)w;
    k->i = k->is_open = k->did = 0;
    eng_catalog_each(e->catalog, look, k);
    if (!k->did && k->collection >= k->i) { /* everything seen */
        k->collection = k->store = k->piece = 0;
        pause = e->conf->scrub_rest_ms;
    }
    if (!k->is_open || atomic_load_explicit(&e->is_stopping, memory_order_acquire)) {
        /* pairs with eng_scrub_wake(): the next shard that opens starts it again */
        atomic_store_explicit(&k->armed, 0, memory_order_release);
        return;
    }
    task->fn = scrub_due;
    e->exec->delay(task, pause > UINT32_MAX ? UINT32_MAX : (uint32_t)pause);
}

int eng_scrub_create(struct eng *e, struct eng_scrub **out)
{
    struct eng_scrub *k = e->mem->zalloc(e->mem, sizeof(*k));
    if (!k)
        return SX_ENOMEM;
    k->eng = e;
    k->task.fn = scrub_due;
    k->task.arg = k;
    *out = k;
    return 0;
}

void eng_scrub_destroy(struct eng_scrub *k)
{
    k->eng->mem->release(k->eng->mem, k);
}

void eng_scrub_wake(struct eng_scrub *k)
{
    if (k->eng->conf->scrub_pause_ms == 0 ||
        atomic_exchange_explicit(&k->armed, 1, memory_order_acq_rel))
        return;
    k->task.fn = scrub_due;
    k->eng->exec->delay(&k->task, (uint32_t)k->eng->conf->scrub_pause_ms);
}
