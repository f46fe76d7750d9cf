/* index-flat: life of an index, its parameters and its cost.
 *
 * A flat index is its source: nothing is built, saved or kept up to date, so insert, build and
 * flush succeed without work, and an index opened from disk is the same as a new one. It cannot
 * remove: nodes of dead rows are told apart by the visibility bits of every search. */
#include "flat.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* Nanoseconds, measured on one core of a Cascade Lake server: rows in order stream at 10.5 GB/s, a
 * row fetched by number inside a batch costs 45 ns plus 12 GB/s (88, 175, 300 ns for 128, 384 and
 * 768 floats), and judging a block of 256 nodes by its bits 40 ns. */
#define STREAM_BYTES_PER_NS 10u
#define FETCH_NS            45u
#define FETCH_BYTES_PER_NS  12u
#define JUDGE_NODES_PER_NS  6u

static int flat_check_params(void *self, struct sx_doc conf, struct sx_err *err)
{
    (void)self;
    uint32_t type = sx_doc_type(conf);
    if (type == SX_DOC_NULL)
        return SX_OK;
    if (type != SX_DOC_OBJ)
        return sx_err_set(err, SX_EINPUT, "parameters of index 'flat' must be an object");
    if (sx_doc_count(conf) > 0) {
        struct sx_str key;
        sx_doc_member(conf, 0, &key);
        return sx_err_set(err, SX_EINPUT, "index 'flat' has no parameter '%.*s'",
                          (int)(key.n < 64 ? key.n : 64), key.p);
    }
    return SX_OK;
}

static int flat_create(void *self,
                       const struct sx_index_source *source,
                       struct sx_doc conf,
                       void **out,
                       struct sx_err *err)
{
    const struct flat_plugin *p = self;
    int rc = flat_check_params(self, conf, err);
    if (rc != 0)
        return rc;
    struct flat_index *ix = p->mem->zalloc(p->mem, sizeof(*ix));
    if (ix == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for a flat index");
    ix->source = source;
    *out = ix;
    return SX_OK;
}

static int flat_open(void *self,
                     const struct sx_io *io,
                     struct sx_dir *dir,
                     const struct sx_index_source *source,
                     struct sx_doc conf,
                     void **out,
                     struct sx_err *err)
{
    (void)io;
    (void)dir;
    return flat_create(self, source, conf, out, err);
}

static void flat_destroy(void *self, void *ix)
{
    const struct flat_plugin *p = self;
    p->mem->release(p->mem, ix);
}

static int flat_build(void *self,
                      void *ix,
                      uint32_t count,
                      const uint32_t *cancel,
                      void (*progress)(void *arg, uint64_t done, uint64_t total),
                      void *arg,
                      struct sx_err *err)
{
    (void)self;
    (void)ix;
    (void)cancel;
    (void)err;
    if (progress != NULL)
        progress(arg, count, count);
    return SX_OK;
}

static int flat_insert(
    void *self, void *ix, const uint32_t *nodes, uint32_t n, void *scratch, struct sx_err *err)
{
    (void)self;
    (void)ix;
    (void)nodes;
    (void)n;
    (void)scratch;
    (void)err;
    return SX_OK;
}

static uint64_t flat_estimate(
    void *self, void *index, uint32_t k, uint64_t n_nodes, uint64_t n_allowed, struct sx_doc params)
{
    (void)self;
    (void)k;
    (void)params;
    const struct flat_index *ix = index;
    struct sx_rows rows = {.size = (uint32_t)sizeof(rows)};
    ix->source->rows(ix->source->ctx, &rows);
    /* Counts are below 2^32 and a stride is at most 2^18: the products fit. */
    uint64_t in_order = n_nodes * rows.stride / STREAM_BYTES_PER_NS;
    uint64_t by_number =
        n_nodes / JUDGE_NODES_PER_NS + n_allowed * (FETCH_NS + rows.stride / FETCH_BYTES_PER_NS);
    return n_allowed < n_nodes && by_number < in_order ? by_number : in_order;
}

static int
flat_flush(void *self, void *ix, const struct sx_io *io, struct sx_dir *dir, struct sx_err *err)
{
    (void)self;
    (void)ix;
    (void)io;
    (void)dir;
    (void)err;
    return SX_OK;
}

static void flat_stats(void *self, void *index, struct sx_docb *out)
{
    (void)self;
    const struct flat_index *ix = index;
    sx_docb_ckey(out, "nodes");
    sx_docb_u64(out, ix->source->count(ix->source->ctx));
}

static int flat_verify(void *self, void *index, struct sx_err *err)
{
    (void)self;
    const struct flat_index *ix = index;
    struct sx_rows rows = {.size = (uint32_t)sizeof(rows)};
    uint32_t count = ix->source->count(ix->source->ctx);
    ix->source->rows(ix->source->ctx, &rows);
    if (rows.n < count)
        return sx_err_set(err, SX_ECORRUPT, "flat index: %u nodes but only %u rows", count, rows.n);
    return SX_OK;
}

const struct sx_index_ops flat_ops = {
    .size = (uint32_t)sizeof(struct sx_index_ops),
    .check_params = flat_check_params,
    .create = flat_create,
    .open = flat_open,
    .destroy = flat_destroy,
    .build = flat_build,
    .insert = flat_insert,
    .estimate = flat_estimate,
    .scratch_size = flat_scratch_size,
    .search = flat_search,
    .resume = flat_resume,
    .flush = flat_flush,
    .stats = flat_stats,
    .verify = flat_verify,
};
