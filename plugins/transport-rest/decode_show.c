/* How values look in the texts of errors: floats of range errors, ids that are none, values that a
 * buffered part of the body does not want.
 *
 * Cold code: whatever is shown has been refused. Memory: the caller's buffer. Threads: any, no
 * state. */
#include <string.h>

#include "sextant/sx_text.h"

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

const char *rest_float_text(char out[40], double v)
{
    if (v - v != 0) /* only a float of the reference's f32 can get there; it prints inf */
        memcpy(out, v < 0 ? "-inf" : "inf", v < 0 ? 5 : 4);
    else
        out[sx_num_format_f64(v, out)] = '\0';
    return out;
}

/* A double without exponent, as the reference prints one: 1e3 is 1000, 1e-7 is 0.0000001. */
void rest_show_float(struct sx_buf *b, double v)
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
            rest_show_float(b, num.v.f);
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

void rest_show_debug(struct sx_buf *b, struct sx_doc v)
{
    put_debug(b, v, 0);
}

/* A text in quotes, by the reader's own rules for such texts. */
static void show_str(struct sx_buf *b, struct sx_str s)
{
    struct sx_arena arena;
    struct sx_buf quoted;
    struct sx_json j;
    struct sx_str text;

    sx_arena_init(&arena, b->mem, 0);
    sx_buf_init(&quoted, b->mem);
    sx_jsonw_str(&quoted, s.p, s.n);
    if (!quoted.failed) {
        sx_json_init(&j, quoted.p, quoted.n, &arena);
        text = sx_json_describe(&j);
        sx_buf_add(b, text.p, text.n);
    }
    sx_buf_fini(&quoted);
    sx_arena_fini(&arena);
}

void rest_show_value(struct sx_buf *b, const struct sx_value *v)
{
    uint64_t at;

    switch (v->num.type) {
    case SX_DOC_STR:
        show_str(b, sx_doc_str(v->doc));
        break;
    case SX_DOC_TRUE:
    case SX_DOC_FALSE:
        sx_buf_adds(b, v->num.type == SX_DOC_TRUE ? "boolean `true`" : "boolean `false`");
        break;
    case SX_DOC_I64:
        sx_buf_printf(b, "integer `%lld`", (long long)v->num.v.i);
        break;
    case SX_DOC_U64:
        sx_buf_printf(b, "integer `%llu`", (unsigned long long)v->num.v.u);
        break;
    case SX_DOC_F64:
        sx_buf_adds(b, "floating point `");
        at = b->n;
        rest_show_float(b, v->num.v.f);
        if (!b->failed && memchr(b->p + at, '.', b->n - at) == NULL)
            sx_buf_adds(b, ".0");
        sx_buf_addc(b, '`');
        break;
    case SX_DOC_NULL:
        sx_buf_adds(b, "unit value");
        break;
    default:
        sx_buf_adds(b, v->num.type == SX_DOC_OBJ ? "map" : "sequence");
        break;
    }
}
