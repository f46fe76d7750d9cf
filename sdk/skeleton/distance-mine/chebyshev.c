/* distance-mine: the kernels.
 *
 * Inside the server greater is closer, so the kernels give minus the distance and postprocess takes
 * the sign off again. All three functions must give the same bits for the same row; the simplest
 * way is to have one of them do the work. A faster version would score several rows at once and
 * prefetch the next ones in score_ids; resolve() may then choose by the `cpu` bits it is given. */
#include <math.h>

#include "mine.h"

static float chebyshev_pair(const void *q, const void *row, uint32_t dim)
{
    const float *a = q, *b = row;
    float largest = 0;
    for (uint32_t i = 0; i < dim; i++) {
        float d = fabsf(a[i] - b[i]);
        largest = d > largest ? d : largest;
    }
    return -largest;
}

static void chebyshev_ids(const void *q,
                          const struct sx_rows *rows,
                          const uint32_t *ids,
                          uint32_t n,
                          uint32_t dim,
                          float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = chebyshev_pair(q, sx_rows_at(rows, ids[i]), dim);
}

static void chebyshev_rows(
    const void *q, const struct sx_rows *rows, uint32_t first, uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = chebyshev_pair(q, sx_rows_at(rows, first + i), dim);
}

static int mine_resolve(void *self,
                        uint32_t q_dtype,
                        uint32_t row_dtype,
                        uint32_t dim,
                        uint64_t cpu,
                        struct sx_kernel *out)
{
    (void)self;
    (void)dim;
    (void)cpu;
    if (q_dtype != SX_DT_F32 || row_dtype != SX_DT_F32)
        return SX_EUNSUPPORTED;
    out->align = 4;   /* of rows, in bytes */
    out->dim_pad = 1; /* rows are not read beyond their last element */
    out->flags = 0;
    out->pair = chebyshev_pair;
    out->score_ids = chebyshev_ids;
    out->score_rows = chebyshev_rows;
    return SX_OK;
}

static void mine_postprocess(void *self, uint32_t n, float *scores)
{
    (void)self;
    for (uint32_t i = 0; i < n; i++)
        scores[i] = fabsf(scores[i]);
}

const struct sx_distance_ops mine_ops = {
    .size = (uint32_t)sizeof(struct sx_distance_ops),
    .resolve = mine_resolve,
    .postprocess = mine_postprocess,
};
