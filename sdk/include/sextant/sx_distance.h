/* Kind distance: the numbers behind "near".
 *
 * iface_version 1. A provider's name is the wire name ("Cosine"). All functions are pure, [A]. */
#ifndef SX_DISTANCE_H
#define SX_DISTANCE_H

#include "sextant/sx_vec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_DISTANCE_IFACE         1u
#define SX_DISTANCE_LARGER_BETTER 1ull /* returned scores: larger is closer (else a distance) */
#define SX_DISTANCE_NORMALIZES    2ull /* preprocess() must run on stored vectors and queries */
#define SX_DISTANCE_SYMMETRIC     4ull
#define SX_DISTANCE_TRIANGLE      8ull
#define SX_DISTANCE_F32           (1ull << 16) /* row datatypes served */
#define SX_DISTANCE_F16           (1ull << 17)
#define SX_DISTANCE_U8            (1ull << 18)

struct sx_distance_ops {
    uint32_t size, pad;
    /* Fills *out (out->size set by the caller) for queries of q_dtype against rows of row_dtype.
     * `cpu` are SX_CPU_* bits the kernel may use. Cannot fail for a datatype in caps; returns
     * SX_EUNSUPPORTED otherwise. Kernel scores are "greater is closer". */
    int (*resolve)(void *self,
                   uint32_t q_dtype,
                   uint32_t row_dtype,
                   uint32_t dim,
                   uint64_t cpu,
                   struct sx_kernel *out);
    /* Optional: vectors on their way in and queries; in == out allowed. NULL = identity. */
    void (*preprocess)(void *self, uint32_t dim, const float *in, float *out);
    /* Optional: turns kernel scores into the scores clients see, in place. NULL = identity. */
    void (*postprocess)(void *self, uint32_t n, float *scores);
};

#ifdef __cplusplus
}
#endif
#endif
