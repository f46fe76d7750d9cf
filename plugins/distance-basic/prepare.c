/* distance-basic: what happens to vectors on their way in and to scores on their way out.
 *
 * Cosine vectors are stored with length 1, so that a comparison is a plain dot product and reads
 * return the normalised vector. The squared length is summed in f32 in one fixed order (16 partial
 * sums, folded in halves) on every machine: replicas with different CPUs store the same bits. */
#include <math.h>

#include "dist.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define LENGTH_EPSILON  1.1920929e-7f /* below: a zero vector, stays as it is */
#define LENGTH_NEAR_ONE 1e-6f         /* within: already normalised, must not drift */
#define LANES           16u

static float squared_length(const float *x, uint32_t dim)
{
    float part[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            part[j] += x[i + j] * x[i + j];
    for (uint32_t j = 0; i + j < dim; j++)
        part[j] += x[i + j] * x[i + j];
    for (uint32_t half = LANES / 2; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++)
            part[j] += part[j + half];
    return part[0];
}

void distb_cosine_preprocess(void *self, uint32_t dim, const float *in, float *out)
{
    (void)self;
    float s = squared_length(in, dim);
    /* Written so that NaN takes the dividing branch and stays visible as NaN. */
    if (s < LENGTH_EPSILON || fabsf(s - 1.0f) <= LENGTH_NEAR_ONE) {
        if (out != in)
            for (uint32_t i = 0; i < dim; i++)
                out[i] = in[i];
        return;
    }
    float length = sqrtf(s);
    for (uint32_t i = 0; i < dim; i++)
        out[i] = in[i] / length;
}

void distb_euclid_postprocess(void *self, uint32_t n, float *scores)
{
    (void)self;
    for (uint32_t i = 0; i < n; i++)
        scores[i] = sqrtf(fabsf(scores[i]));
}

void distb_manhattan_postprocess(void *self, uint32_t n, float *scores)
{
    (void)self;
    for (uint32_t i = 0; i < n; i++)
        scores[i] = fabsf(scores[i]);
}
