/* Values, ranges and starts as keys; see part_numeric.h for what a key is. Everything here is
 * exact: no integer goes through a double and back on the way to a comparison. */
#include <math.h>

#include "part_numeric.h"

#include "sextant/sx_ban.h"

/* --- floats ------------------------------------------------------------------------------ */

static int64_t key_of_f64(double f)
{
    uint64_t bits;

    __builtin_memcpy(&bits, &f, sizeof(bits));
    if (bits >> 63 != 0)
        return -(int64_t)(bits & INT64_MAX);
    return (int64_t)bits;
}

static double f64_of_key(int64_t key)
{
    uint64_t bits = key < 0 ? (0 - (uint64_t)key) | UINT64_C(1) << 63 : (uint64_t)key;
    double f;

    __builtin_memcpy(&f, &bits, sizeof(f));
    return f;
}

/* --- values ------------------------------------------------------------------------------ */

int eng_num_key(uint32_t type, const struct sx_value *v, int64_t *key)
{
    double f;

    if (type == ENG_FIELD_INTEGER)
        return eng_value_int(v, key);
    if (type == ENG_FIELD_DATETIME)
        return eng_value_time(v, key);
    /* Payloads hold no NaN; one that did would have no place in the order. */
    if (!eng_value_float(v, &f) || isnan(f))
        return 0;
    *key = key_of_f64(f);
    return 1;
}

void eng_num_entry(uint32_t type, int64_t key, struct eng_order_entry *e)
{
    e->i = type == ENG_FIELD_FLOAT ? 0 : key;
    e->f = type == ENG_FIELD_FLOAT ? f64_of_key(key) : 0;
}

/* --- bounds ------------------------------------------------------------------------------ */

/* The neighbouring key of an open bound is that of the neighbouring double; beyond an infinity lies
 * none, and the interval comes out empty. */
int eng_num_range(uint32_t type, const struct eng_prep_range *r, int64_t *lo, int64_t *hi)
{
    if (type != ENG_FIELD_FLOAT) {
        *lo = r->lo;
        *hi = r->hi;
    } else {
        if (isnan(r->f_lo) || isnan(r->f_hi))
            return 0;
        *lo = key_of_f64(r->f_lo) + (r->lo_open != 0);
        *hi = key_of_f64(r->f_hi) - (r->hi_open != 0);
    }
    return *lo <= *hi;
}

int eng_num_start(const struct eng_field_schema *s,
                  const struct sx_order_by *by,
                  int64_t *lo,
                  int64_t *hi)
{
    struct eng_order_entry bound = {0, 0, 0, 0};
    int rc = eng_order_bound(s, by, &bound);
    int64_t key;

    *lo = INT64_MIN;
    *hi = INT64_MAX;
    if (rc <= 0)
        return rc == 0;
    key = s->type == ENG_FIELD_FLOAT ? key_of_f64(bound.f) : bound.i;
    if (by->is_desc)
        *hi = key;
    else
        *lo = key;
    return 1;
}
