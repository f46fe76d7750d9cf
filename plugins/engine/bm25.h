/* Texts as sparse vectors: the local inference model BM25 (spec of the wire, 3.6).
 *
 * A token's index is a hash of its text, so vectors need no vocabulary and agree between servers.
 * Thread: any. */
#ifndef ENG_BM25_H
#define ENG_BM25_H

#include "sextant/sx_op.h"

/* 1 for qdrant/bm25 and bm25 in any case. */
int eng_bm25_is_model(struct sx_str model);
/* options: the `options` of an inference document (p NULL = none); text: valid UTF-8. *out becomes
 * a sparse vector, indices ascending and unique, in the arena; its name is left as it is. is_query:
 * every token counts 1. reg: as for eng_analyzer_create(). SX_EINPUT with the client's text,
 * SX_EUNSUPPORTED, SX_ENOMEM; *out is then untouched. */
int eng_bm25_embed(const struct sx_mem *mem,
                   const struct sx_reg *reg,
                   struct sx_doc options,
                   struct sx_str text,
                   int is_query,
                   struct sx_arena *arena,
                   struct sx_vec_in *out,
                   struct sx_err *err);

#endif
