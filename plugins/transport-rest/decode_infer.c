/* Inference objects: {"text" | "image" | "object", "model", "options"?}, to be embedded by the
 * engine.
 *
 * Cold code, so values are found by marks. Documents of data and options lie in the arena.
 *
 * Threads: one body at a time per rest_dec. */
#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

enum { TEXT, IMAGE, OBJECT, MODEL, OPTIONS };

static int doc_read(struct rest_dec *d, struct sx_doc *out)
{
    int rc;

    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    *out = sx_docb_end_arena(d->docb, d->arena);
    return out->p != NULL ? 1 : SX_ENOMEM;
}

/* 1, 0 or negative. */
static int options_try(struct rest_dec *d, const struct rest_marks *m, struct sx_doc *out)
{
    int kind;

    if ((m->seen >> OPTIONS & 1) == 0)
        return 1;
    if (!rest_marks_go(d, m, OPTIONS))
        return 0;
    kind = sx_json_peek(&d->j);
    if (kind == SX_JSON_NULL)
        return sx_json_null(&d->j);
    return kind == SX_JSON_OBJ ? doc_read(d, out) : kind < 0 ? SX_EFORMAT : 0;
}

/* The first of the three kinds whose data fits. */
static int data_try(struct rest_dec *d, const struct rest_marks *m, struct sx_infer *out)
{
    static const uint32_t kinds[] = {SX_INFER_TEXT, SX_INFER_IMAGE, SX_INFER_OBJECT};

    for (uint32_t i = TEXT; i <= OBJECT; i++) {
        if (!rest_marks_go(d, m, i) || (i == TEXT && sx_json_peek(&d->j) != SX_JSON_STR))
            continue;
        out->kind = kinds[i];
        return doc_read(d, &out->data);
    }
    return 0;
}

int rest_infer_try(struct rest_dec *d, const struct sx_infer **out)
{
    static const char *const names[] = {"text", "image", "object", "model", "options"};
    struct rest_marks m;
    struct sx_infer *infer;
    int rc = rest_marks_read(d, names, SX_COUNT(names), &m);

    if (rc <= 0)
        return rc;
    if (!rest_marks_go(d, &m, MODEL) || sx_json_peek(&d->j) != SX_JSON_STR)
        return 0;
    infer = sx_arena_zalloc(d->arena, sizeof(*infer));
    if (infer == NULL)
        return SX_ENOMEM;
    *out = infer;
    rc = sx_json_str(&d->j, "a string", &infer->model);
    if (rc < 0)
        return rc;
    rc = options_try(d, &m, &infer->options);
    if (rc == 1)
        rc = data_try(d, &m, infer);
    if (rc == 1)
        sx_json_reset(&d->j, m.end);
    return rc;
}

const char *rest_infer_noun(uint32_t kind)
{
    return kind == SX_INFER_TEXT ? "Document" : kind == SX_INFER_IMAGE ? "Image" : "Object";
}
