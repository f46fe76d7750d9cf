/* order_by: a path, or an object with a direction and a place to start from.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* 1, 0 or negative. */
static int path_try(struct rest_dec *d, struct sx_path *out)
{
    int kind = sx_json_peek(&d->j), rc;
    struct sx_str s;

    if (kind != SX_JSON_STR)
        return kind < 0 ? SX_EFORMAT : 0;
    rc = sx_json_str(&d->j, "a string", &s);
    if (rc < 0)
        return rc;
    rc = sx_path_parse(d->arena, s, out, NULL);
    return rc == SX_OK ? 1 : rc == SX_ENOMEM ? SX_ENOMEM : 0;
}

static int direction_try(struct rest_dec *d, struct sx_order_by *out)
{
    int rc = sx_json_null(&d->j);
    struct sx_str s;

    if (rc != 0)
        return rc;
    if (sx_json_peek(&d->j) != SX_JSON_STR)
        return d->j.failed ? SX_EFORMAT : 0;
    rc = sx_json_str(&d->j, "a string", &s);
    if (rc < 0)
        return rc;
    out->is_desc = REST_IS(s, "desc");
    return out->is_desc || REST_IS(s, "asc");
}

/* null, a number, or the text of a point in time. An integer that fits no i64 is a float. */
static int start_try(struct rest_dec *d, struct sx_order_by *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    int kind = sx_json_peek(&d->j), rc;
    struct sx_str s;

    switch (kind) {
    case SX_JSON_ERROR:
        return SX_EFORMAT;
    case SX_JSON_NULL:
        return sx_json_null(&d->j);
    case SX_JSON_NUM:
        out->start = SX_START_INT;
        if (sx_json_i64(&d->j, "i64", &out->i) == SX_OK)
            return 1;
        sx_json_reset(&d->j, m);
        out->start = SX_START_FLOAT;
        rc = sx_json_f64(&d->j, "f64", &out->f);
        return rc < 0 ? rc : 1;
    case SX_JSON_STR:
        out->start = SX_START_TIME;
        rc = sx_json_str(&d->j, "a string", &s);
        return rc < 0 ? rc : sx_instant_parse(s.p, s.n, &out->t) == SX_OK;
    default:
        return 0;
    }
}

int rest_order_by(struct rest_dec *d, struct sx_order_by *out)
{
    static const char *const names[] = {"key", "direction", "start_from"};
    struct rest_marks m;
    int rc;

    memset(out, 0, sizeof(*out));
    if (sx_json_peek(&d->j) == SX_JSON_STR)
        return path_try(d, &out->key);
    rc = rest_marks_read(d, names, 3, &m);
    if (rc <= 0)
        return rc;
    if (m.twice != 0 || !rest_marks_go(d, &m, 0))
        return 0;
    rc = path_try(d, &out->key);
    if (rc == 1 && rest_marks_go(d, &m, 1))
        rc = direction_try(d, out);
    if (rc == 1 && rest_marks_go(d, &m, 2))
        rc = start_try(d, out);
    if (rc == 1)
        sx_json_reset(&d->j, m.end);
    return rc;
}
