/* index-mine: parameters, life, taking nodes in, cost. */
#include "mine.h"

#define DEFAULT_BATCH 64

/* Parameters come from the collection's configuration; absent ones get their defaults. */
static int mine_check_params(void *self, struct sx_doc conf, struct sx_err *err)
{
    (void)self;
    int64_t batch = sx_doc_get_i64(conf, "batch", DEFAULT_BATCH);
    if (batch < 1 || batch > MINE_BATCH_MAX)
        return sx_err_set(err, SX_EINPUT, "batch must be 1 to %u", MINE_BATCH_MAX);
    return SX_OK;
}

static int mine_create(void *self,
                       const struct sx_index_source *source,
                       struct sx_doc conf,
                       void **out,
                       struct sx_err *err)
{
    const struct mine_plugin *p = self;
    int rc = mine_check_params(self, conf, err);
    if (rc != 0)
        return rc;
    struct mine_index *ix = p->mem->zalloc(p->mem, sizeof(*ix));
    if (ix == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for an index");
    ix->source = source;
    ix->batch = (uint32_t)sx_doc_get_i64(conf, "batch", DEFAULT_BATCH);
    *out = ix;
    return SX_OK;
}

/* Nothing is saved, so an opened index is a new one. An index with a structure writes it to `dir`
 * in mine_flush() and reads and checks it here. */
static int mine_open(void *self,
                     const struct sx_io *io,
                     struct sx_dir *dir,
                     const struct sx_index_source *source,
                     struct sx_doc conf,
                     void **out,
                     struct sx_err *err)
{
    (void)io;
    (void)dir;
    return mine_create(self, source, conf, out, err);
}

static void mine_destroy(void *self, void *ix)
{
    const struct mine_plugin *p = self;
    p->mem->release(p->mem, ix);
}

static int mine_build(void *self,
                      void *ix,
                      uint32_t count,
                      const uint32_t *cancel,
                      void (*progress)(void *arg, uint64_t done, uint64_t total),
                      void *arg,
                      struct sx_err *err)
{
    (void)self;
    (void)ix;
    (void)cancel; /* look at it every few milliseconds: *cancel != 0 means SX_ECANCELED */
    (void)err;
    if (progress != NULL)
        progress(arg, count, count);
    return SX_OK;
}

/* New nodes: their vectors can be scored through ix->source already. */
static int mine_insert(
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

/* Nanoseconds for one query; the engine compares it with other ways to answer. */
static uint64_t mine_estimate(
    void *self, void *ix, uint32_t k, uint64_t n_nodes, uint64_t n_allowed, struct sx_doc params)
{
    const struct mine_index *mine = ix;
    (void)self;
    (void)k;
    (void)n_allowed;
    (void)params;
    return n_nodes * (20 + mine->source->dim / 2u);
}

static int
mine_flush(void *self, void *ix, const struct sx_io *io, struct sx_dir *dir, struct sx_err *err)
{
    (void)self;
    (void)ix;
    (void)io;
    (void)dir;
    (void)err;
    return SX_OK;
}

const struct sx_index_ops mine_ops = {
    .size = (uint32_t)sizeof(struct sx_index_ops),
    .check_params = mine_check_params,
    .create = mine_create,
    .open = mine_open,
    .destroy = mine_destroy,
    .build = mine_build,
    .insert = mine_insert,
    .estimate = mine_estimate,
    .scratch_size = mine_scratch_size,
    .search = mine_search,
    .resume = mine_resume,
    .flush = mine_flush,
};
