/* A quantizer that does not compress: the code of a vector is the vector.
 *
 * It proves that the header can be implemented and the module loaded, and it is what a test of the
 * engine's code path would be checked against: codes that lose nothing must change no result. */
#include <string.h>

#include "sextant/sx_plugin.h"
#include "sextant/sx_quantizer.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct nullq_self {
    const struct sx_mem *mem;
};

struct nullq_handle {
    uint32_t dim, pad;
};

static int nullq_load(const struct sx_host *host, void *self, struct sx_err *err)
{
    struct nullq_self *s = self;

    s->mem = host->mem;
    return s->mem != NULL ? SX_OK : sx_err_set(err, SX_EABI, "the host lacks service sx.mem");
}

static int nullq_check(void *self, uint32_t dim, struct sx_doc params, struct sx_err *err)
{
    (void)self;
    (void)params;
    return dim != 0 ? SX_OK : sx_err_set(err, SX_EINPUT, "a vector has at least one dimension");
}

static int nullq_train(void *self,
                       const struct sx_quantizer_source *source,
                       struct sx_doc params,
                       const uint32_t *cancel,
                       void (*progress)(void *arg, uint64_t done, uint64_t total),
                       void *arg,
                       void **out,
                       struct sx_err *err)
{
    struct nullq_self *s = self;
    struct nullq_handle *h;
    int rc;

    rc = nullq_check(self, source->dim, params, err);
    if (rc != SX_OK)
        return rc;
    if (cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0)
        return sx_err_set(err, SX_ECANCELED, "training was cancelled");
    h = s->mem->zalloc(s->mem, sizeof(*h));
    if (h == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for a quantizer");
    h->dim = source->dim;
    if (progress != NULL)
        progress(arg, source->n, source->n);
    *out = h;
    return SX_OK;
}

static void nullq_destroy(void *self, void *h)
{
    struct nullq_self *s = self;

    s->mem->release(s->mem, h);
}

static void nullq_size(void *self, void *h, uint32_t *bytes, uint32_t *align)
{
    const struct nullq_handle *q = h;

    (void)self;
    *bytes = q->dim * (uint32_t)sizeof(float);
    *align = (uint32_t)sizeof(float);
}

static uint64_t nullq_scratch(void *self, void *h)
{
    (void)self;
    (void)h;
    return 0;
}

static void nullq_encode_rows(
    void *self, void *h, const float *rows, uint32_t n, void *out, uint32_t stride, void *scratch)
{
    const struct nullq_handle *q = h;

    (void)self;
    (void)scratch;
    for (uint32_t i = 0; i < n; i++)
        memcpy((char *)out + (uint64_t)i * stride, rows + (uint64_t)i * q->dim,
               q->dim * sizeof(float));
}

static void nullq_encode_query(void *self, void *h, const float *q, void *out, void *scratch)
{
    nullq_encode_rows(self, h, q, 1, out, 0, scratch);
}

static float nullq_pair(const void *q, const void *row, uint32_t dim)
{
    const float *a = q, *b = row;
    float sum = 0;

    for (uint32_t i = 0; i < dim; i++)
        sum += a[i] * b[i];
    return sum;
}

static void nullq_score_ids(const void *q,
                            const struct sx_rows *rows,
                            const uint32_t *ids,
                            uint32_t n,
                            uint32_t dim,
                            float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = nullq_pair(q, sx_rows_at(rows, ids[i]), dim);
}

static void nullq_score_rows(
    const void *q, const struct sx_rows *rows, uint32_t first, uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = nullq_pair(q, sx_rows_at(rows, first + i), dim);
}

static int nullq_resolve(void *self, void *h, uint64_t cpu, struct sx_kernel *out)
{
    const struct nullq_handle *q = h;

    (void)self;
    (void)cpu;
    out->align = (uint32_t)sizeof(float);
    out->dim_pad = q->dim;
    out->flags = 0;
    out->pair = nullq_pair;
    out->score_ids = nullq_score_ids;
    out->score_rows = nullq_score_rows;
    return SX_OK;
}

static float nullq_bound(void *self, void *h, const void *q, const void *code)
{
    (void)self;
    (void)h;
    (void)q;
    (void)code;
    return 0; /* nothing was lost */
}

static void nullq_decode(void *self, void *h, const void *code, float *out, void *scratch)
{
    nullq_encode_rows(self, h, code, 1, out, 0, scratch);
}

static const struct sx_quantizer_ops nullq_ops = {
    .size = (uint32_t)sizeof(struct sx_quantizer_ops),
    .check_params = nullq_check,
    .train = nullq_train,
    .destroy = nullq_destroy,
    .code_size = nullq_size,
    .query_size = nullq_size,
    .scratch_size = nullq_scratch,
    .encode_rows = nullq_encode_rows,
    .encode_query = nullq_encode_query,
    .resolve = nullq_resolve,
    .resolve_sym = nullq_resolve,
    .bound = nullq_bound,
    .decode = nullq_decode,
};

static const struct sx_provide nullq_provides[] = {
    {
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = SX_KIND_QUANTIZER,
        .iface_version = SX_QUANTIZER_IFACE,
        .name = "null",
        .caps = SX_QUANTIZER_INVERTIBLE | SX_QUANTIZER_OBLIVIOUS | SX_QUANTIZER_SYMMETRIC |
                SX_QUANTIZER_BOUND,
        .ops = &nullq_ops,
    },
};

SX_PLUGIN(null_quantizer, "null-quantizer kinds=quantizer abi=1.0 build=" SX_BUILD_ID) = {
    SX_PLUGIN_HEAD(null_quantizer),
    .flags = SX_PLUGIN_TEST_ONLY,
    .name = "null-quantizer",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Codes that are the vectors themselves",
    .provides = nullq_provides,
    .n_provides = SX_COUNT(nullq_provides),
    .instance_size = (uint32_t)sizeof(struct nullq_self),
    .load = nullq_load,
};
