/* Inference objects of requests become vectors: texts of the local model qdrant/bm25 here; other
 * models would be asked over the network, at an address that the configuration names. */
#ifndef ENG_INFER_H
#define ENG_INFER_H

#include "engine.h"

/* in is of kind SX_VEC_INFER; *out the vector under the same name, in the call's arena. The error
 * is the client's. Thread: any worker. */
int eng_infer(struct eng_call *c,
              const struct sx_vec_in *in,
              struct sx_vec_in *out,
              int is_query,
              struct sx_err *err);

#endif
