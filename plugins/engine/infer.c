/* Inference objects; see infer.h. */
#include "infer.h"

#include "bm25.h"

#include "sextant/sx_ban.h"

int eng_infer(struct eng_call *c,
              const struct sx_vec_in *in,
              struct sx_vec_in *out,
              int is_query,
              struct sx_err *err)
{
    const struct sx_infer *f = in->infer;
    struct sx_str name = in->name, model = f->model;
    if (!eng_bm25_is_model(model))
        return sx_err_set(err, SX_EINTERNAL,
                          "InferenceService URL not configured - please provide valid address in "
                          "config");
    if (f->kind != SX_INFER_TEXT)
        return sx_err_set(err, SX_EINPUT, "Only text input is supported for %.*s.",
                          (int)(model.n > 100 ? 100 : model.n), model.p);
    if (name.n == 0 && !is_query)
        return sx_err_set(err, SX_EBADREQ, "Sparse vector from document inference should be named");
    int rc = eng_bm25_embed(c->eng->mem, c->eng->reg, f->options, sx_doc_str(f->data), is_query,
                            c->op->arena, out, err);
    out->name = name;
    return rc;
}
