/* Point ids in bodies: unsigned integers and UUIDs, and the text that shows anything else.
 *
 * The text shows the offending value as the reference's debug output does, so ids that are lists or
 * objects are turned into a document first; nobody but a test will ever see that path.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "sextant/sx_text.h"

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* A double without exponent, as the reference prints one: 1e3 is 1000, 1e-7 is 0.0000001. */
static void put_plain(struct sx_buf *b, double v)
{
    char text[32], digits[32];
    uint32_t n = sx_num_format_f64(v, text), n_digits = 0, i = 0;
    int32_t point = 0, exp = 0;
    int seen_point = 0;

    if (text[0] == '-') {
        sx_buf_addc(b, '-');
        i++;
    }
    for (; i < n && text[i] != 'e'; i++) {
        if (text[i] == '.') {
            seen_point = 1;
            continue;
        }
        digits[n_digits++] = text[i];
        point += !seen_point;
    }
    if (i < n) {
        int minus = text[++i] == '-';

        for (i += (uint32_t)(minus || text[i] == '+'); i < n; i++)
            exp = exp * 10 + (text[i] - '0');
        exp = minus ? -exp : exp;
    }
    point += exp;
    while (n_digits > 1 && digits[n_digits - 1] == '0' && (int32_t)n_digits > point)
        n_digits--; /* zeros behind the point say nothing */
    if (point <= 0)
        sx_buf_adds(b, n_digits == 1 && digits[0] == '0' ? "" : "0.");
    for (int32_t k = point; k < 0; k++)
        sx_buf_addc(b, '0');
    for (uint32_t k = 0; k < n_digits; k++) {
        if (k != 0 && (int32_t)k == point)
            sx_buf_addc(b, '.');
        sx_buf_addc(b, digits[k]);
    }
    for (int32_t k = (int32_t)n_digits; k < point; k++)
        sx_buf_addc(b, '0');
}

/* The value as the reference's debug text: [U64(1)], {String("a"): Unit}. */
static void put_debug(struct sx_buf *b, struct sx_doc v, uint32_t depth)
{
    uint32_t type = sx_doc_type(v), n = sx_doc_count(v);
    struct sx_doc_num num;

    if (type == SX_DOC_ARR || type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64) {
        sx_buf_addc(b, '[');
        for (uint32_t i = 0; i < n && b->n < 4096; i++) {
            struct sx_doc elem = sx_doc_elem(v, i);

            if (i != 0)
                sx_buf_adds(b, ", ");
            if (elem.p != NULL) {
                put_debug(b, elem, depth + 1);
                continue;
            }
            num = sx_doc_elem_num(v, i);
            if (num.type == SX_DOC_F64) {
                sx_buf_adds(b, "F64(");
                sx_jsonw_f64(b, num.v.f);
                sx_buf_addc(b, ')');
            } else {
                sx_buf_printf(b, num.v.i < 0 ? "I64(%lld)" : "U64(%lld)", (long long)num.v.i);
            }
        }
        sx_buf_addc(b, ']');
        return;
    }
    switch (type) {
    case SX_DOC_OBJ:
        sx_buf_addc(b, '{');
        for (uint32_t i = 0; i < n && b->n < 4096; i++) {
            struct sx_str key;
            struct sx_doc elem = sx_doc_member(v, i, &key);

            sx_buf_adds(b, i != 0 ? ", String(" : "String(");
            sx_jsonw_str(b, key.p, key.n);
            sx_buf_adds(b, "): ");
            put_debug(b, elem, depth + 1);
        }
        sx_buf_addc(b, '}');
        break;
    case SX_DOC_STR:
        if (depth != 0)
            sx_buf_adds(b, "String(");
        if (depth != 0)
            sx_jsonw_str(b, sx_doc_str(v).p, sx_doc_str(v).n);
        else
            sx_buf_add(b, sx_doc_str(v).p, sx_doc_str(v).n);
        if (depth != 0)
            sx_buf_addc(b, ')');
        break;
    case SX_DOC_TRUE:
    case SX_DOC_FALSE:
        sx_buf_printf(b, depth != 0 ? "Bool(%s)" : "%s", type == SX_DOC_TRUE ? "true" : "false");
        break;
    case SX_DOC_I64:
    case SX_DOC_U64:
        num = sx_doc_num(v);
        if (num.type == SX_DOC_I64 && num.v.i < 0)
            sx_buf_printf(b, depth != 0 ? "I64(%lld)" : "%lld", (long long)num.v.i);
        else
            sx_buf_printf(b, depth != 0 ? "U64(%llu)" : "%llu", (unsigned long long)num.v.u);
        break;
    case SX_DOC_F64:
        num = sx_doc_num(v);
        if (depth == 0) {
            put_plain(b, num.v.f);
        } else {
            sx_buf_adds(b, "F64(");
            sx_jsonw_f64(b, num.v.f);
            sx_buf_addc(b, ')');
        }
        break;
    default:
        sx_buf_adds(b, "Unit");
        break;
    }
}

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
    put_debug(&b, v, 0);
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
