/* Point ids in bodies: unsigned integers and UUIDs, and the text that shows anything else.
 *
 * The text shows the offending value as the reference's debug output does, so ids that are lists or
 * objects are turned into a document first (decode_show.c).
 *
 * Threads: one body at a time per rest_dec. */
#include "sextant/sx_text.h"

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* Consumes the value and fails with the text that shows it. */
static int id_fail(struct rest_dec *d)
{
    struct sx_buf b;
    struct sx_doc v;
    int rc;

    sx_docb_reset(d->docb);
    rc = sx_json_doc(&d->j, d->docb);
    if (rc < 0)
        return rc;
    v = sx_docb_end(d->docb);
    sx_buf_init(&b, d->arena->mem);
    rest_show_debug(&b, v);
    rc = sx_json_fail(&d->j,
                      "value %.*s is not a valid point ID, valid values are either an unsigned "
                      "integer or a UUID",
                      b.failed ? 0 : (int)b.n, b.p != NULL ? b.p : "");
    sx_buf_fini(&b);
    return rc;
}

int rest_id_try(struct rest_dec *d, struct sx_id *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    struct sx_str s;
    uint64_t v;
    int rc;

    switch (sx_json_peek(&d->j)) {
    case SX_JSON_ERROR:
        return SX_EFORMAT;
    case SX_JSON_NUM:
        rc = sx_json_u64(&d->j, "usize", UINT64_MAX, &v);
        if (rc == SX_OK) {
            *out = (struct sx_id){0, v, SX_ID_NUM, 0};
            return 1;
        }
        break;
    case SX_JSON_STR:
        rc = sx_json_str(&d->j, "a string", &s);
        if (rc < 0)
            return rc;
        if (sx_uuid_parse(s.p, s.n, out) == SX_OK)
            return 1;
        break;
    default:
        break;
    }
    sx_json_reset(&d->j, m);
    return 0;
}

int rest_id_read(struct rest_dec *d, struct sx_id *out)
{
    int rc = rest_id_try(d, out);

    if (rc == 0)
        return id_fail(d);
    return rc < 0 ? rc : SX_OK;
}

int rest_ids_read(struct rest_dec *d, const struct sx_id **out, uint32_t *n)
{
    struct sx_id *ids = NULL;
    uint32_t cap = 0;
    int rc = sx_json_arr_begin(&d->j, "a sequence");

    *n = 0;
    if (rc < 0)
        return rc;
    while ((rc = sx_json_arr_next(&d->j)) > 0) {
        ids = rest_push(d, ids, *n, &cap, sizeof(*ids));
        if (ids == NULL)
            return SX_ENOMEM;
        rc = rest_id_read(d, &ids[*n]);
        if (rc < 0)
            return rc;
        (*n)++;
    }
    *out = ids;
    return rc;
}
