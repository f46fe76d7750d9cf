/* The forms of a query other than nearest: recommend, discover, context, order_by, fusion, rrf,
 * formula, sample, relevance_feedback, and the mmr part of nearest.
 *
 * None of them is served; their form is checked all the same, because a faulty body is a 400 on
 * every server and because a variant that does not fit lets the next key of the object have its
 * turn. Cold code: values are found by marks and read as often as needed.
 *
 * Threads: one body at a time per rest_dec. */
#include <string.h>

#include "decode.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* --- small values --------------------------------------------------------------------------- */

/* 1 when the next value is one of the words; it is consumed then. */
static int word_try(struct rest_dec *d, const char *const *words, uint32_t n)
{
    int kind = sx_json_peek(&d->j);
    struct sx_str s;

    if (kind != SX_JSON_STR)
        return kind < 0 ? SX_EFORMAT : 0;
    if (sx_json_str(&d->j, "a string", &s) < 0)
        return SX_EFORMAT;
    return rest_field_of(s, words, n) < n;
}

static int null_try(struct rest_dec *d)
{
    return sx_json_null(&d->j);
}

static int f32_try(struct rest_dec *d, float *out)
{
    int kind = sx_json_peek(&d->j);

    if (kind != SX_JSON_NUM)
        return kind < 0 ? SX_EFORMAT : 0;
    return sx_json_f32(&d->j, "f32", out) < 0 ? SX_EFORMAT : 1;
}

/* usize or null: 1 and the value (UINT64_MAX for null), 0, negative. */
static int u64_try(struct rest_dec *d, uint64_t *out)
{
    struct sx_json_mark m = sx_json_mark(&d->j);
    int rc = null_try(d);

    *out = UINT64_MAX;
    if (rc != 0)
        return rc;
    if (sx_json_peek(&d->j) == SX_JSON_NUM && sx_json_u64(&d->j, "usize", UINT64_MAX, out) == SX_OK)
        return 1;
    sx_json_reset(&d->j, m);
    return 0;
}

/* Calls one() for the single value or each element. Lists of up to 2^32 - 1. */
typedef int (*one_fn)(struct rest_dec *d, const char *path, const char *step, uint32_t *count);
static int
list_try(struct rest_dec *d, one_fn one, const char *path, const char *step, uint32_t *count)
{
    int kind = sx_json_peek(&d->j), rc;

    if (kind != SX_JSON_ARR)
        return kind < 0 ? SX_EFORMAT : 0;
    rc = sx_json_arr_begin(&d->j, "a sequence");
    while (rc >= 0 && (rc = sx_json_arr_next(&d->j)) > 0) {
        rc = one(d, path, step, count);
        if (rc <= 0)
            return rc;
    }
    return rc < 0 ? rc : 1;
}

static int vector_one(struct rest_dec *d, const char *path, const char *step, uint32_t *count)
{
    struct sx_vec_in v;

    (*count)++;
    return rest_vector_input(d, path, step, &v);
}

/* --- the variants --------------------------------------------------------------------------- */

static int recommend(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"positive", "negative", "strategy"};
    static const char *const strategies[] = {"average_vector", "best_score", "sum_scores"};
    struct rest_marks m;
    uint32_t count = 0;
    int rc = rest_marks_read(d, names, SX_COUNT(names), &m);

    if (rc <= 0)
        return rc;
    for (uint32_t i = 0; i < 3; i++) {
        if ((m.seen >> i & 1) == 0)
            continue;
        if (!rest_marks_go(d, &m, i))
            return 0;
        rc = null_try(d);
        if (rc == 0)
            rc = i < 2 ? list_try(d, vector_one, path, "query.recommend", &count)
                       : word_try(d, strategies, SX_COUNT(strategies));
        if (rc <= 0)
            return rc;
    }
    if (count == 0)
        rest_valid_add(d,
                       "%squery.recommend.positives, negatives: Validation error: At least one "
                       "positive or negative vector/id must be provided [{}]",
                       path);
    return 1;
}

static int pair_one(struct rest_dec *d, const char *path, const char *step, uint32_t *count)
{
    static const char *const names[] = {"positive", "negative"};
    struct rest_marks m;
    struct sx_vec_in v;
    int rc = rest_marks_read(d, names, 2, &m);

    (*count)++;
    for (uint32_t i = 0; i < 2 && rc > 0; i++)
        rc = rest_marks_go(d, &m, i) ? rest_vector_input(d, path, step, &v) : 0;
    if (rc > 0)
        sx_json_reset(&d->j, m.end);
    return rc;
}

/* A pair, a list of pairs, or null. */
static int pairs(struct rest_dec *d, const char *path, const char *step)
{
    uint32_t count = 0;
    int rc = null_try(d);

    if (rc != 0)
        return rc;
    return sx_json_peek(&d->j) == SX_JSON_OBJ ? pair_one(d, path, step, &count)
                                              : list_try(d, pair_one, path, step, &count);
}

static int discover(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"target", "context"};
    struct rest_marks m;
    struct sx_vec_in v;
    int rc = rest_marks_read(d, names, 2, &m);

    if (rc > 0)
        rc = rest_marks_go(d, &m, 0) ? rest_vector_input(d, path, "query.discover", &v) : 0;
    if (rc > 0)
        rc = rest_marks_go(d, &m, 1) ? pairs(d, path, "query.discover") : 0;
    return rc;
}

static int context(struct rest_dec *d, const char *path)
{
    return pairs(d, path, "query.context");
}

static int order_by(struct rest_dec *d, const char *path)
{
    struct sx_order_by unused;

    (void)path;
    return rest_order_by(d, &unused);
}

static int fusion(struct rest_dec *d, const char *path)
{
    static const char *const words[] = {"rrf", "dbsf"};

    (void)path;
    return word_try(d, words, 2);
}

static int sample(struct rest_dec *d, const char *path)
{
    static const char *const words[] = {"random"};

    (void)path;
    return word_try(d, words, 1);
}

static int weight_one(struct rest_dec *d, const char *path, const char *step, uint32_t *count)
{
    float unused;

    (void)path;
    (void)step;
    (*count)++;
    return f32_try(d, &unused);
}

static int rrf(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"k", "weights"};
    uint32_t count = 0;
    struct rest_marks m;
    uint64_t k = 1;
    int rc = rest_marks_read(d, names, 2, &m);

    if (rc <= 0 || m.twice != 0)
        return rc < 0 ? rc : 0;
    if (rest_marks_go(d, &m, 0)) {
        rc = u64_try(d, &k);
        if (rc <= 0)
            return rc;
    }
    if (rest_marks_go(d, &m, 1)) {
        rc = null_try(d);
        if (rc == 0)
            rc = list_try(d, weight_one, path, "", &count);
        if (rc <= 0)
            return rc;
    }
    if (k == 0)
        rest_valid_add(d, "%squery.rrf.k: value 0 invalid, must be 1 or larger", path);
    return 1;
}

/* An expression is a number, a variable, a condition or an operation: nothing but null and booleans
 * is surely none. */
static int formula(struct rest_dec *d, const char *path)
{
    int kind = sx_json_peek(&d->j);

    (void)path;
    if (kind < 0)
        return SX_EFORMAT;
    return kind == SX_JSON_NUM || kind == SX_JSON_STR || kind == SX_JSON_OBJ;
}

static int feedback_one(struct rest_dec *d, const char *path, const char *step, uint32_t *count)
{
    static const char *const names[] = {"example", "score"};
    struct rest_marks m;
    struct sx_vec_in v;
    float unused;
    int rc = rest_marks_read(d, names, 2, &m);

    (*count)++;
    if (rc > 0)
        rc = rest_marks_go(d, &m, 0) ? rest_vector_input(d, path, step, &v) : 0;
    if (rc > 0)
        rc = rest_marks_go(d, &m, 1) ? f32_try(d, &unused) : 0;
    if (rc > 0)
        sx_json_reset(&d->j, m.end);
    return rc;
}

/* {"naive": {"a", "b", "c"}} */
static int strategy(struct rest_dec *d, float *b)
{
    static const char *const outer[] = {"naive"}, *const inner[] = {"a", "b", "c"};
    struct rest_marks m;
    float v[3];
    int rc = rest_marks_read(d, outer, 1, &m);

    if (rc > 0)
        rc = rest_marks_go(d, &m, 0) ? rest_marks_read(d, inner, 3, &m) : 0;
    for (uint32_t i = 0; i < 3 && rc > 0; i++)
        rc = rest_marks_go(d, &m, i) ? f32_try(d, &v[i]) : 0;
    if (rc > 0)
        *b = v[1];
    return rc;
}

static int relevance_feedback(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"target", "feedback", "strategy"};
    static const char step[] = "query.relevance_feedback";
    uint32_t count = 0;
    struct rest_marks m;
    struct sx_vec_in v;
    char text[40];
    float b = 0;
    int rc = rest_marks_read(d, names, 3, &m);

    if (rc > 0)
        rc = rest_marks_go(d, &m, 0) ? rest_vector_input(d, path, step, &v) : 0;
    if (rc > 0)
        rc = rest_marks_go(d, &m, 1) ? list_try(d, feedback_one, path, step, &count) : 0;
    if (rc > 0)
        rc = rest_marks_go(d, &m, 2) ? strategy(d, &b) : 0;
    if (rc <= 0)
        return rc;
    if (count == 0)
        rest_valid_add(d, "%s%s.__all__: feedback elements must be non-empty", path, step);
    if (b < 0)
        rest_valid_add(d, "%s%s.strategy.naive.b: value %s invalid, must be 0.0 or larger", path,
                       step, rest_float_text(text, (double)b));
    return 1;
}

static int mmr(struct rest_dec *d, const char *path)
{
    static const char *const names[] = {"diversity", "candidates_limit"};
    uint64_t limit = UINT64_MAX;
    float diversity = 0;
    struct rest_marks m;
    char text[40];
    int rc = rest_marks_read(d, names, 2, &m);

    if (rc <= 0 || m.twice != 0)
        return rc < 0 ? rc : 0;
    if (rest_marks_go(d, &m, 0)) {
        rc = null_try(d);
        if (rc == 0)
            rc = f32_try(d, &diversity);
        if (rc <= 0)
            return rc;
    }
    if (rest_marks_go(d, &m, 1)) {
        rc = u64_try(d, &limit);
        if (rc <= 0)
            return rc;
    }
    if (diversity < 0 || diversity > 1)
        rest_valid_add(d, "%squery.mmr.diversity: value %s invalid, must be from 0.0 to 1.0", path,
                       rest_float_text(text, (double)diversity));
    if (limit != UINT64_MAX && limit > 16384)
        rest_valid_add(d,
                       "%squery.mmr.candidates_limit: value %llu invalid, must be 16384 or smaller",
                       path, (unsigned long long)limit);
    return 1;
}

int rest_variant_try(struct rest_dec *d, const char *key, struct sx_json_mark m, const char *path)
{
    static const struct {
        const char *key, *what;
        int (*check)(struct rest_dec *d, const char *path);
    } variants[] = {
        {"recommend", "recommend queries", recommend},
        {"discover", "discover queries", discover},
        {"context", "context queries", context},
        {"order_by", "order_by queries", order_by},
        {"fusion", "fusion queries", fusion},
        {"rrf", "rrf queries", rrf},
        {"formula", "formula queries", formula},
        {"sample", "sample queries", sample},
        {"relevance_feedback", "relevance feedback queries", relevance_feedback},
        {"mmr", "mmr", mmr},
    };

    sx_json_reset(&d->j, m);
    for (uint32_t i = 0; i < SX_COUNT(variants); i++)
        if (strcmp(variants[i].key, key) == 0) {
            int rc = strcmp(key, "mmr") == 0 ? null_try(d) : 0;

            if (rc == 0) {
                rc = variants[i].check(d, path);
                if (rc > 0)
                    rest_unsupported(d, variants[i].what);
            }
            return rc;
        }
    return 0;
}
