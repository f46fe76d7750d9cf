/* Which payload values a type of index accepts, and how they are compared: for documents (facets,
 * order), for the kinds of parts and for what an order starts from. Numbers and datetimes are the
 * filter's, so that an index cannot differ from a document.
 *
 * Thread: any; no state. */
#include <math.h>

#include "field_part.h"

#include "sextant/sx_ban.h"

#define TWO_63 9223372036854775808.0

int eng_value_str(const struct sx_value *v, struct sx_str *out)
{
    if (v->num.type != SX_DOC_STR)
        return 0;
    *out = sx_doc_str(v->doc);
    return 1;
}

int eng_value_uuid(const struct sx_value *v, struct sx_id *out)
{
    struct sx_str s;

    return eng_value_str(v, &s) && sx_uuid_parse(s.p, s.n, out) == SX_OK;
}

int eng_value_bool(const struct sx_value *v, int *out)
{
    *out = v->num.type == SX_DOC_TRUE;
    return v->num.type == SX_DOC_TRUE || v->num.type == SX_DOC_FALSE;
}

int eng_value_int(const struct sx_value *v, int64_t *out)
{
    return eng_index_int(v, out);
}

int eng_value_float(const struct sx_value *v, double *out)
{
    return eng_index_f64(v, out);
}

int eng_value_time(const struct sx_value *v, int64_t *us)
{
    return eng_index_us(v, us);
}

/* --- places ------------------------------------------------------------------------------- */

/* Nearly every path is keys that lead to a scalar: followed here without a walker. What is left of
 * the path goes on from where they lead. */
static int
follow(const struct sx_path *path, struct sx_doc doc, int expand, sx_value_fn fn, void *arg)
{
    struct sx_path rest = *path;
    struct sx_value v;

    for (; rest.n != 0 && rest.steps->kind == SX_STEP_KEY; rest.n--, rest.steps++) {
        doc = sx_doc_get_n(doc, rest.steps->key.p, rest.steps->key.n);
        if (doc.p == NULL)
            return 0;
    }
    v.doc = doc;
    v.num = sx_doc_num(doc);
    if (rest.n == 0 && !(expand && (v.num.type == SX_DOC_ARR || v.num.type == SX_DOC_ARR_I64 ||
                                    v.num.type == SX_DOC_ARR_F64)))
        return fn(arg, &v);
    return expand ? sx_path_each(&rest, doc, fn, arg) : sx_path_values(&rest, doc, fn, arg);
}

int eng_path_values(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg)
{
    return doc.p != NULL ? follow(path, doc, 0, fn, arg) : 0;
}

int eng_path_each(const struct sx_path *path, struct sx_doc doc, sx_value_fn fn, void *arg)
{
    return doc.p != NULL ? follow(path, doc, 1, fn, arg) : 0;
}

/* --- where an order begins --------------------------------------------------------------- */

static int start_is_int(const struct sx_order_by *by)
{
    return by->start == SX_START_INT || by->start == SX_START_TIME;
}

/* An instant counts as its whole microseconds, like the values of a datetime index. */
static int64_t start_int(const struct sx_order_by *by)
{
    return by->start == SX_START_INT ? by->i : eng_instant_us(&by->t);
}

static int bound_int(const struct sx_order_by *by, int64_t *out)
{
    double f = by->is_desc ? floor(by->f) : ceil(by->f);

    if (start_is_int(by)) {
        *out = start_int(by);
        return 1;
    }
    if (isnan(f) || (by->is_desc ? f < -TWO_63 : f >= TWO_63))
        return -1;
    if (f >= TWO_63)
        *out = INT64_MAX;
    else
        *out = f < -TWO_63 ? INT64_MIN : (int64_t)f;
    return 1;
}

/* The double next to the integer on the side the order goes to. */
static double bound_float_of(int64_t i, uint32_t is_desc)
{
    double f = (double)i;
    int above = f >= TWO_63 || (int64_t)f > i, below = f < TWO_63 && (int64_t)f < i;

    if (is_desc && above)
        return nextafter(f, -INFINITY);
    if (!is_desc && below)
        return nextafter(f, INFINITY);
    return f;
}

int eng_order_bound(const struct eng_field_schema *s,
                    const struct sx_order_by *by,
                    struct eng_order_entry *bound)
{
    if (by->start == SX_START_NONE)
        return 0;
    if (s->type != ENG_FIELD_FLOAT)
        return bound_int(by, &bound->i);
    if (!start_is_int(by) && isnan(by->f))
        return -1;
    bound->f = start_is_int(by) ? bound_float_of(start_int(by), by->is_desc) : by->f;
    return 1;
}
