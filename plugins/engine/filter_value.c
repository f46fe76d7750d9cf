/* What one value is to a leaf. The test of a leaf is chosen when it is compiled: by clause, by
 * whether an index sets the rules, and by what that index holds. */
#include <string.h>

#include "filter_priv.h"

#include "sextant/sx_ban.h"

/* Lists up to this long are searched from the front. */
#define SHORT 8u

#define TEST(name)                                                                                 \
    static int name(const struct eng_leaf *leaf, const struct sx_value *v,                         \
                    struct eng_match_scratch *s SX_UNUSED)

/* --- what an index makes of a value ------------------------------------------------------- */

int eng_index_f64(const struct sx_value *v, double *out)
{
    switch (v->num.type) {
    case SX_DOC_I64:
        *out = (double)v->num.v.i;
        return 1;
    case SX_DOC_U64:
        *out = (double)v->num.v.u;
        return 1;
    case SX_DOC_F64:
        *out = v->num.v.f;
        return 1;
    default:
        return 0;
    }
}

int eng_index_int(const struct sx_value *v, int64_t *out)
{
    double f;

    if (v->num.type == SX_DOC_I64) {
        *out = v->num.v.i;
        return 1;
    }
    if (!eng_index_f64(v, &f) || !(f >= -0x1p63 && f <= 0x1p63))
        return 0;
    *out = f == 0x1p63 ? INT64_MAX : (int64_t)f;
    return f == 0x1p63 || (double)*out == f;
}

int eng_index_us(const struct sx_value *v, int64_t *out)
{
    struct sx_str text = sx_doc_str(v->doc);
    struct sx_instant t;

    if (v->num.type != SX_DOC_STR || sx_instant_parse(text.p, text.n, &t) != SX_OK)
        return 0;
    *out = eng_instant_us(&t);
    return 1;
}

/* --- strings ----------------------------------------------------------------------------- */

static int same(struct sx_str a, struct sx_str b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static int in_strs(const struct eng_prep_strings *p, struct sx_str v)
{
    uint32_t lo = 0, hi = p->n;

    if (p->n <= SHORT) {
        for (uint32_t i = 0; i < p->n; i++) {
            if (same(p->strs[i], v))
                return 1;
        }
        return 0;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        struct sx_str m = p->strs[mid];
        int c = memcmp(m.p, v.p, m.n < v.n ? m.n : v.n);

        if (c == 0 && m.n == v.n)
            return 1;
        if (c < 0 || (c == 0 && m.n < v.n))
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

static int in_uuids(const struct eng_prep_strings *p, const struct sx_id *v)
{
    uint32_t lo = 0, hi = p->n_uuids;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = sx_id_cmp(&p->uuids[mid], v);

        if (c == 0)
            return 1;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

static int uuid_of(const struct sx_value *v, struct sx_id *out)
{
    struct sx_str text = sx_doc_str(v->doc);

    return v->num.type == SX_DOC_STR && sx_uuid_parse(text.p, text.n, out) == SX_OK;
}

TEST(test_strs)
{
    return v->num.type == SX_DOC_STR && in_strs(leaf->prep, sx_doc_str(v->doc));
}

TEST(test_uuids)
{
    struct sx_id id;

    return uuid_of(v, &id) && in_uuids(leaf->prep, &id);
}

/* Without an index whatever is not null and not one of the strings; a keyword index looks at
 * strings, a uuid index at uuids only. */
TEST(test_except_strs)
{
    if (v->num.type != SX_DOC_STR)
        return leaf->mode != ENG_LEAF_INDEXED && v->num.type != SX_DOC_NULL;
    return !in_strs(leaf->prep, sx_doc_str(v->doc));
}

TEST(test_except_uuids)
{
    struct sx_id id;

    return uuid_of(v, &id) && !in_uuids(leaf->prep, &id);
}

TEST(test_prefix)
{
    const struct eng_prep_strings *p = leaf->prep;
    struct sx_str text = sx_doc_str(v->doc), want = p->strs[0];

    return v->num.type == SX_DOC_STR && text.n >= want.n && memcmp(text.p, want.p, want.n) == 0;
}

TEST(test_substring)
{
    const struct eng_prep_strings *p = leaf->prep;
    struct sx_str text = sx_doc_str(v->doc), want = p->strs[0];
    const char *at = text.p, *end;

    if (v->num.type != SX_DOC_STR || text.n < want.n)
        return 0;
    if (want.n == 0)
        return 1;
    end = text.p + (text.n - want.n) + 1; /* beginnings lie before it */
    while ((at = memchr(at, want.p[0], (size_t)(end - at))) != NULL) {
        if (memcmp(at, want.p, want.n) == 0)
            return 1;
        at++;
    }
    return 0;
}

/* --- integers, booleans ------------------------------------------------------------------ */

static int in_ints(const struct eng_prep_ints *p, int64_t v)
{
    uint32_t lo = 0, hi = p->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (p->ints[mid] == v)
            return 1;
        if (p->ints[mid] < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

TEST(test_ints)
{
    return v->num.type == SX_DOC_I64 && in_ints(leaf->prep, v->num.v.i);
}

TEST(test_index_ints)
{
    int64_t i;

    return eng_index_int(v, &i) && in_ints(leaf->prep, i);
}

TEST(test_except_ints)
{
    if (v->num.type != SX_DOC_I64)
        return v->num.type != SX_DOC_NULL;
    return !in_ints(leaf->prep, v->num.v.i);
}

TEST(test_index_except_ints)
{
    int64_t i;

    return eng_index_int(v, &i) && !in_ints(leaf->prep, i);
}

TEST(test_bool)
{
    const struct eng_prep_ints *p = leaf->prep;

    return v->num.type == (p->ints[0] != 0 ? SX_DOC_TRUE : SX_DOC_FALSE);
}

eng_value_test_fn eng__match_test(const struct eng_leaf *leaf)
{
    const struct eng_prep_strings *p = leaf->prep;
    int is_index = leaf->mode == ENG_LEAF_INDEXED;

    switch (leaf->cond->match.kind) {
    case SX_MATCH_INT:
    case SX_MATCH_ANY_INT:
        return is_index ? test_index_ints : test_ints;
    case SX_MATCH_EXCEPT_INT:
        return is_index ? test_index_except_ints : test_except_ints;
    case SX_MATCH_BOOL:
        return test_bool;
    case SX_MATCH_PREFIX:
        return test_prefix;
    case SX_MATCH_SUBSTRING:
        return test_substring;
    case SX_MATCH_EXCEPT_STR:
        return p != NULL && p->is_uuid ? test_except_uuids : test_except_strs;
    default:
        return p != NULL && p->is_uuid ? test_uuids : test_strs;
    }
}

/* --- ranges ------------------------------------------------------------------------------ */

static int in_f64(const struct eng_prep_range *p, double f)
{
    return (p->lo_open ? f > p->f_lo : f >= p->f_lo) && (p->hi_open ? f < p->f_hi : f <= p->f_hi);
}

TEST(test_number)
{
    double f;

    return eng_index_f64(v, &f) && in_f64(leaf->prep, f);
}

TEST(test_index_number)
{
    const struct eng_prep_range *p = leaf->prep;
    int64_t i;

    return eng_index_int(v, &i) && i >= p->lo && i <= p->hi;
}

TEST(test_index_time)
{
    const struct eng_prep_range *p = leaf->prep;
    int64_t i;

    return eng_index_us(v, &i) && i >= p->lo && i <= p->hi;
}

TEST(test_time)
{
    const struct eng_prep_range *p = leaf->prep;
    struct sx_str text = sx_doc_str(v->doc);
    struct sx_instant t;

    if (v->num.type != SX_DOC_STR || sx_instant_parse(text.p, text.n, &t) != SX_OK)
        return 0;
    if (t.s < p->t_lo.s || (t.s == p->t_lo.s && t.ns < p->t_lo.ns + p->lo_open))
        return 0;
    return t.s < p->t_hi.s || (t.s == p->t_hi.s && t.ns + p->hi_open <= p->t_hi.ns);
}

eng_value_test_fn eng__range_test(const struct eng_leaf *leaf)
{
    const struct eng_prep_range *p = leaf->prep;

    if (p->is_int && leaf->mode == ENG_LEAF_INDEXED)
        return p->is_time ? test_index_time : test_index_number;
    return p->is_time ? test_time : test_number;
}

/* --- places ------------------------------------------------------------------------------ */

int eng__geo_test(const struct eng_leaf *leaf,
                  const struct sx_value *v,
                  struct eng_match_scratch *s SX_UNUSED)
{
    const struct eng_prep_geo *p = leaf->prep;
    struct sx_geo at;

    if (!eng_geo_value(v, &at) || (leaf->mode == ENG_LEAF_INDEXED && !eng_geo_in_range(at)))
        return 0;
    return eng_geo_holds(&p->shape, at);
}
