/* Payload indexes of numbers against brute force over the values: open and sealed form, conditions,
 * order, facets, counts; damaged parts; short memory; readers beside the writer. */
/* needs: plugins/engine/part_numeric*.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../plugins/engine/part_numeric.h"

static uint64_t seed;

static uint64_t rnd(void)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rnd() % n);
}

/* --- memory, epochs, an engine of nothing else --------------------------------------------- */

static int64_t memory_left = -1; /* allocations until one fails; -1 = never */

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    if (memory_left == 0)
        return NULL;
    memory_left -= memory_left > 0;
    return malloc(n != 0 ? n : 1);
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = mem_alloc(self, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

static void *mem_resize(const struct sx_mem *self SX_UNUSED, void *p, uint64_t n)
{
    return memory_left == 0 ? NULL : realloc(p, n);
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    free(p);
}

static const struct sx_mem mem = {.size = sizeof(mem),
                                  .alloc = mem_alloc,
                                  .zalloc = mem_zalloc,
                                  .resize = mem_resize,
                                  .release = mem_release};

/* What the one writer retires lives until the test is over. */
static struct retired {
    void (*fn)(void *arg);
    void *arg;
} retired[4096];
static uint32_t n_retired;

static void retire(void (*fn)(void *arg), void *arg)
{
    assert_true(n_retired < SX_COUNT(retired));
    retired[n_retired++] = (struct retired){fn, arg};
}

static void free_retired(void)
{
    while (n_retired > 0) {
        n_retired--;
        retired[n_retired].fn(retired[n_retired].arg);
    }
}

static const struct sx_epoch epoch = {.size = sizeof(epoch), .retire = retire};
static struct sx_cpu cpu = {.size = sizeof(cpu)};
static struct eng eng = {.mem = &mem, .epoch = &epoch, .cpu = &cpu};
static const struct eng_field_conf conf = {.eng = &eng};
static struct sx_arena arena;

/* --- facets, as the framework would count them --------------------------------------------- */

struct eng_facet {
    struct {
        int64_t v;
        uint64_t n;
    } * at;
    uint32_t n, cap;
};

int eng_facet_add_int(struct eng_facet *k, int64_t v, uint64_t n)
{
    for (uint32_t i = 0; i < k->n; i++) {
        if (k->at[i].v == v) {
            k->at[i].n += n;
            return 0;
        }
    }
    if (k->n == k->cap) {
        k->cap = k->cap * 2 + 16;
        k->at = realloc(k->at, k->cap * sizeof(*k->at));
    }
    k->at[k->n].v = v;
    k->at[k->n++].n = n;
    return 0;
}

static uint64_t facet_of(const struct eng_facet *k, int64_t v)
{
    for (uint32_t i = 0; i < k->n; i++) {
        if (k->at[i].v == v)
            return k->at[i].n;
    }
    return 0;
}

/* --- values -------------------------------------------------------------------------------- */

enum { V_I64, V_U64, V_F64, V_TIME, V_TEXT, V_TRUE, V_NULL };
struct value {
    uint32_t kind, pad;
    int64_t i; /* TIME: microseconds */
    uint64_t u;
    double f;
};

/* What the index has for a value, as a number that compares like it: a long double holds every i64
 * and every double. 0 when it has nothing. */
static int accepted(uint32_t type, const struct value *v, long double *out)
{
    if (type == ENG_FIELD_DATETIME) {
        *out = v->i;
        return v->kind == V_TIME;
    }
    if (v->kind == V_I64)
        *out = v->i;
    else if (v->kind == V_U64)
        *out = v->u;
    else if (v->kind == V_F64)
        *out = v->f;
    else
        return 0;
    if (type == ENG_FIELD_FLOAT) {
        *out = (double)*out;
        return 1;
    }
    if (*out == 0x1p63L)
        *out = INT64_MAX;
    return *out == floorl(*out) && *out >= (long double)INT64_MIN && *out <= (long double)INT64_MAX;
}

/* Many texts of one instant; the index cuts them to microseconds. */
static uint32_t time_text(int64_t us, char out[64])
{
    int64_t s = us / 1000000 - (us % 1000000 < 0);
    time_t t = (time_t)s;
    struct tm tm;
    uint32_t n;

    gmtime_r(&t, &tm);
    n = (uint32_t)strftime(out, 40, below(2) ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
    if (us != s * 1000000 || below(2))
        n += (uint32_t)snprintf(out + n, 24, ".%06lld%s", (long long)(us - s * 1000000),
                                below(2) ? "" : "789");
    if (below(2))
        n += (uint32_t)snprintf(out + n, 8, "%s", below(2) ? "Z" : "+00:00");
    return n;
}

static void put_value(struct sx_docb *b, const struct value *v)
{
    char text[64];

    switch (v->kind) {
    case V_I64:
        sx_docb_i64(b, v->i);
        break;
    case V_U64:
        sx_docb_u64(b, v->u);
        break;
    case V_F64:
        sx_docb_f64(b, v->f);
        break;
    case V_TIME:
        sx_docb_str(b, text, time_text(v->i, text));
        break;
    case V_TEXT:
        sx_docb_cstr(b, below(2) ? "17" : "2024-13-01");
        break;
    case V_TRUE:
        sx_docb_bool(b, 1);
        break;
    default:
        sx_docb_null(b);
    }
}

/* Where the values of a run come from. */
enum { P_FEW, P_WIDE, P_EDGE, P_COUNT, P_STEP, P_DECIMAL, P_KINDS };

static int64_t pool_int(uint32_t pool)
{
    static const int64_t edge[] = {INT64_MIN,
                                   INT64_MIN + 1,
                                   INT64_MAX,
                                   INT64_MAX - 1,
                                   0,
                                   1,
                                   -1,
                                   INT64_C(1) << 53,
                                   (INT64_C(1) << 53) + 1,
                                   -(INT64_C(1) << 53) - 1};
    static int64_t next = -1000;

    switch (pool) {
    case P_FEW:
        return (int64_t)below(12) - 4;
    case P_WIDE:
        return (int64_t)rnd();
    case P_EDGE:
        return edge[below(SX_COUNT(edge))];
    case P_COUNT:
        return next++;
    case P_STEP:
        return INT64_C(1700000000) + (int64_t)below(3000) * 4096;
    default:
        return (int64_t)below(100000);
    }
}

static double pool_float(uint32_t pool)
{
    static const double edge[] = {
        0.0,   -0.0,   DBL_MIN, -DBL_TRUE_MIN,        DBL_TRUE_MIN, DBL_MAX, -DBL_MAX,
        1e300, 0x1p63, -0x1p63, 0x1.fffffffffffffp62, 1.5,          0x1p64};

    if (pool == P_EDGE)
        return edge[below(SX_COUNT(edge))];
    if (pool == P_DECIMAL)
        return (double)below(10000) / 100 - 20;
    if (pool == P_STEP)
        return (float)below(5000) * 0.1f;
    return (double)pool_int(pool) * (below(3) ? 1 : 0.5);
}

static struct value any_value(uint32_t type, uint32_t pool)
{
    struct value v = {V_I64, 0, 0, 0, 0};

    if (below(16) == 0) {
        v.kind = V_TEXT + below(3);
        return v;
    }
    if (type == ENG_FIELD_DATETIME && below(12) != 0) {
        v.kind = V_TIME;
        v.i = pool_int(pool == P_WIDE || pool == P_EDGE ? P_DECIMAL : pool) * 1009;
        if (pool == P_WIDE)
            v.i = (int64_t)(rnd() % UINT64_C(8000000000000000)) - INT64_C(2000000000000000);
        return v;
    }
    v.kind = type == ENG_FIELD_FLOAT || below(4) == 0 ? V_F64 : V_I64;
    if (type == ENG_FIELD_FLOAT && below(4) == 0)
        v.kind = V_I64;
    if (pool == P_EDGE && below(4) == 0) {
        v.kind = V_U64;
        /* Not so near above that it is the same as a double. */
        v.u = (UINT64_C(1) << 63) + (below(2) ? 0 : 4096 + rnd() % 3000);
    }
    v.i = pool_int(pool);
    v.f = type == ENG_FIELD_FLOAT || pool == P_EDGE ? pool_float(pool) : (double)(v.i >> 12);
    if (v.kind == V_F64 && type == ENG_FIELD_INTEGER && below(6) == 0)
        v.f += 0.25;
    return v;
}

/* --- the model ----------------------------------------------------------------------------- */

#define MAX_VALUES (1u << 18)
struct model {
    uint32_t type, pool, n;    /* values of all rows, ascending by row */
    uint32_t lo, hi, n_points; /* rows: offsets in the chunk */
    uint32_t row[MAX_VALUES];  /* accepted values, a row's distinct ones */
    long double v[MAX_VALUES];
};
static struct model model;

static int has_value(const struct model *m, uint32_t from, long double v)
{
    for (uint32_t i = from; i < m->n; i++) {
        if (m->v[i] == v)
            return 1;
    }
    return 0;
}

/* Adds the row to the model; returns how many values the index has of it. */
static uint32_t model_add(struct model *m, uint32_t row, const struct value *v, uint32_t n)
{
    uint32_t from = m->n;

    for (uint32_t i = 0; i < n; i++) {
        long double x;

        if (!accepted(m->type, &v[i], &x) || has_value(m, from, x))
            continue;
        assert_true(m->n < MAX_VALUES);
        m->row[m->n] = row;
        m->v[m->n++] = x;
    }
    m->n_points += m->n > from;
    return m->n - from;
}

/* --- rows ---------------------------------------------------------------------------------- */

static struct sx_step step = {.kind = SX_STEP_KEY, .key = {"a", 1, 0}};
static struct eng_field_schema schema = {.flags = ENG_FIELD_LOOKUP | ENG_FIELD_RANGE,
                                         .path = {1, 0, &step}};

static const struct eng_part_ops *ops_of(uint32_t type)
{
    schema.type = type;
    return type == ENG_FIELD_INTEGER    ? &eng_part_integer
           : type == ENG_FIELD_DATETIME ? &eng_part_datetime
                                        : &eng_part_float;
}

static struct sx_doc doc_of(struct sx_docb *b, const struct value *v, uint32_t n)
{
    sx_docb_reset(b);
    sx_docb_obj(b);
    if (n != 0 || below(2)) {
        sx_docb_ckey(b, "a");
        if (n != 1 || below(8) == 0) {
            sx_docb_arr(b);
            for (uint32_t i = 0; i < n; i++)
                put_value(b, &v[i]);
            sx_docb_close(b);
        } else {
            put_value(b, &v[0]);
        }
    }
    sx_docb_close(b);
    return sx_docb_end(b);
}

/* How many values a row has. */
enum { R_DENSE, R_ONE, R_HOLES, R_SEVERAL, R_RARE, R_LONG, R_KINDS };

static uint32_t values_of_row(uint32_t shape)
{
    switch (shape) {
    case R_DENSE: /* and all of them are accepted */
    case R_ONE:
        return 1;
    case R_HOLES:
        return below(3) != 0;
    case R_SEVERAL:
        return below(5);
    case R_RARE:
        return below(40) == 0 ? 1 + below(2) : 0;
    default:
        return below(100) == 0 ? below(300) : 1;
    }
}

/* Rows [m->lo, m->hi) into the open part and the model, in operations of some rows; some operations
 * are taken back first. */
static void fill(const struct eng_part_ops *ops, void *open, struct model *m, uint32_t shape)
{
    static struct value v[512];
    struct sx_docb b;

    sx_docb_init(&b, sx_mem_libc(), 0);
    for (uint32_t row = m->lo; row < m->hi;) {
        uint32_t end = row + 1 + below(40), fails = below(6) == 0;

        end = end < m->hi ? end : m->hi;
        for (uint32_t r = row; r < end; r++) {
            uint32_t n = values_of_row(shape);
            int got;

            for (uint32_t i = 0; i < n; i++) {
                long double x;

                do
                    v[i] = any_value(m->type, m->pool);
                while (shape == R_DENSE && !accepted(m->type, &v[i], &x));
            }
            if (n == 0 && below(2))
                continue; /* left out */
            got = ops->open_add(open, r, doc_of(&b, v, n));
            if (!fails)
                assert_int_equal(got, model_add(m, r, v, n) != 0);
        }
        if (fails)
            ops->open_cut(open, row);
        else
            row = end;
    }
    sx_docb_fini(&b);
}

/* --- conditions ---------------------------------------------------------------------------- */

struct question {
    struct eng_leaf leaf;
    struct sx_cond cond;
    struct eng_prep_range range;
    struct eng_prep_ints ints;
    int64_t list[300];
};

static int by_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* A value of the model, or one beside it. */
static long double near_value(const struct model *m)
{
    long double v = m->n != 0 ? m->v[below(m->n)] : 7;

    if (m->type == ENG_FIELD_FLOAT) {
        switch (below(4)) {
        case 0:
            return nextafter((double)v, INFINITY);
        case 1:
            return v == 0 ? -0.0 : nextafter((double)v, -INFINITY);
        default:
            return v;
        }
    }
    v += below(2) ? 0 : (int)below(3) - 1;
    if (below(20) == 0)
        v = below(2) ? INT64_MIN : INT64_MAX;
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : v;
}

static void ask_range(const struct model *m, struct question *q)
{
    long double a = near_value(m), b = near_value(m);

    q->leaf.kind = ENG_LEAF_RANGE;
    q->leaf.prep = &q->range;
    if (m->type != ENG_FIELD_FLOAT) {
        q->range.is_int = 1;
        q->range.lo = (int64_t)(below(8) ? (a < b ? a : b) : INT64_MIN);
        q->range.hi = (int64_t)(below(8) ? (a < b ? b : a) : INT64_MAX);
        if (below(20) == 0 && q->range.lo != INT64_MIN)
            q->range.hi = q->range.lo - 1;
        return;
    }
    q->range.f_lo = below(8) ? (double)(a < b ? a : b) : -INFINITY;
    q->range.f_hi = below(8) ? (double)(a < b ? b : a) : INFINITY;
    q->range.lo_open = below(2);
    q->range.hi_open = below(2);
}

static void ask_ints(const struct model *m, struct question *q)
{
    static const uint32_t kinds[] = {SX_MATCH_INT, SX_MATCH_ANY_INT, SX_MATCH_EXCEPT_INT};
    uint32_t n = below(3) == 0 ? 1 + below(299) : 1 + below(6), out = 0;

    q->leaf.kind = ENG_LEAF_MATCH;
    q->leaf.prep = &q->ints;
    q->cond.match.kind = kinds[below(3)];
    if (q->cond.match.kind == SX_MATCH_INT)
        n = 1;
    for (uint32_t i = 0; i < n; i++)
        q->list[i] = (int64_t)near_value(m);
    qsort(q->list, n, sizeof(q->list[0]), by_i64);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || q->list[i] != q->list[i - 1])
            q->list[out++] = q->list[i];
    }
    q->ints.n = out;
    q->ints.ints = q->list;
}

static void ask(const struct model *m, struct question *q)
{
    memset(q, 0, sizeof(*q));
    q->leaf.cond = &q->cond;
    q->leaf.mode = ENG_LEAF_INDEXED;
    q->leaf.schema = &schema;
    if (m->type == ENG_FIELD_INTEGER && below(2))
        ask_ints(m, q);
    else
        ask_range(m, q);
}

static int in_list(const struct question *q, long double v)
{
    for (uint32_t i = 0; i < q->ints.n; i++) {
        if ((long double)q->list[i] == v)
            return 1;
    }
    return 0;
}

static int holds(const struct model *m, const struct question *q, long double v)
{
    double f = (double)v;

    if (q->leaf.kind == ENG_LEAF_MATCH)
        return in_list(q, v) != (q->cond.match.kind == SX_MATCH_EXCEPT_INT);
    if (m->type != ENG_FIELD_FLOAT)
        return v >= q->range.lo && v <= q->range.hi;
    return (q->range.lo_open ? f > q->range.f_lo : f >= q->range.f_lo) &&
           (q->range.hi_open ? f < q->range.f_hi : f <= q->range.f_hi);
}

static struct eng_bits want, yes, maybe;

/* The right answer for rows [lo, hi); returns how many rows. */
static uint32_t answer(const struct model *m, const struct question *q, uint32_t lo, uint32_t hi)
{
    uint32_t n = 0;

    memset(&want, 0, sizeof(want));
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->row[i] >= lo && m->row[i] < hi && holds(m, q, m->v[i]))
            eng_bits_set(&want, m->row[i]);
    }
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++)
        n += (uint32_t)__builtin_popcountll(want.w[i]);
    return n;
}

static void same_bits(void)
{
    static const struct eng_bits none;

    assert_memory_equal(&maybe, &none, sizeof(none));
    for (uint32_t i = 0; i < SX_CHUNK_ROWS; i++) {
        if (eng_bits_get(&yes, i) != eng_bits_get(&want, i))
            fail_msg("row %u: %d", i, eng_bits_get(&yes, i));
    }
}

static void clear(void)
{
    memset(&yes, 0, sizeof(yes));
    memset(&maybe, 0, sizeof(maybe));
}

/* --- counts -------------------------------------------------------------------------------- */

static uint64_t rows_having(const struct model *m, int64_t v, const struct eng_bits *bits)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < m->n; i++)
        n += m->v[i] == (long double)v && (bits == NULL || eng_bits_get(bits, m->row[i]));
    return n;
}

static void check_tally(const struct eng_part_ops *ops,
                        const struct model *m,
                        const struct question *q,
                        const uint8_t *sealed,
                        const void *open)
{
    uint64_t len[300] = {0};
    struct eng_tally t = {.n = q->ints.n, .len = len};
    uint32_t n = answer(m, q, m->lo, m->hi);

    ops->tally(&schema, sealed, open, m->hi, &q->leaf, &t);
    assert_int_equal(t.values, m->n);
    assert_true(t.distinct <= m->n && (t.distinct == 0) == (m->n == 0));
    for (uint32_t i = 0; i < t.n; i++)
        assert_int_equal(len[i], rows_having(m, q->list[i], NULL));
    if (q->leaf.kind != ENG_LEAF_RANGE)
        return;
    assert_true(t.lo <= n && n <= t.hi);
    if (m->n == m->n_points)
        assert_true(t.lo == n && t.hi == n);
}

/* --- order --------------------------------------------------------------------------------- */

static const struct model *order_model;
static int order_desc;

static int by_order(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct model *m = order_model;

    if (m->v[i] != m->v[j])
        return (m->v[i] < m->v[j] ? -1 : 1) * (order_desc ? -1 : 1);
    return (m->row[i] > m->row[j]) - (m->row[i] < m->row[j]);
}

static long double ask_order(const struct model *m, struct sx_order_by *by)
{
    long double v = near_value(m);

    memset(by, 0, sizeof(*by));
    by->is_desc = below(2);
    by->start = below(4);
    switch (by->start) {
    case SX_START_INT:
        by->i = v >= 0x1p63L ? INT64_MAX : v < -0x1p63L ? INT64_MIN : (int64_t)v;
        return by->i;
    case SX_START_FLOAT:
        by->f = (double)v + (below(2) ? 0 : 0.5);
        if (below(10) == 0)
            by->f = below(2) ? 1e300 : -1e300;
        return by->f;
    case SX_START_TIME:
        by->t.s = v > 1e12L || v < -1e12L ? (int64_t)below(2000000) : (int64_t)v / 1000000;
        by->t.ns = below(1000000) * 1000;
        return (long double)by->t.s * 1000000 + by->t.ns / 1000;
    default:
        return by->is_desc ? INFINITY : -INFINITY;
    }
}

static void check_order(const struct eng_part_ops *ops,
                        const struct model *m,
                        const uint8_t *sealed,
                        const void *open)
{
    static uint32_t at[MAX_VALUES];
    struct eng_order_cursor c = {0};
    struct eng_order_entry e;
    struct sx_order_by by;
    long double start = ask_order(m, &by);
    uint32_t n = 0;

    order_model = m;
    order_desc = (int)by.is_desc;
    for (uint32_t i = 0; i < m->n; i++) {
        if (by.is_desc ? m->v[i] <= start : m->v[i] >= start)
            at[n++] = i;
    }
    qsort(at, n, sizeof(at[0]), by_order);
    assert_int_equal(ops->order(&schema, sealed, open, m->hi, &by, &arena, &c), 0);
    for (uint32_t i = 0; i < n; i++) {
        long double v;

        assert_int_equal(c.next(&c, &e), 1);
        v = m->type == ENG_FIELD_FLOAT ? (long double)e.f : (long double)e.i;
        if (v != m->v[at[i]] || e.row != m->row[at[i]])
            fail_msg("entry %u of %u: %Lg row %u, should be %Lg row %u", i, n, v, e.row,
                     m->v[at[i]], m->row[at[i]]);
    }
    assert_int_equal(c.next(&c, &e), 0);
    assert_int_equal(c.next(&c, &e), 0);
    sx_arena_reset(&arena);
}

/* --- facets -------------------------------------------------------------------------------- */

static void check_facet(const struct eng_part_ops *ops,
                        const struct model *m,
                        const uint8_t *sealed,
                        const void *open)
{
    struct eng_facet k = {0};
    uint32_t share = below(3) == 0 ? 60 : 1 + below(3);
    uint64_t sum = 0, total = 0;

    clear();
    for (uint32_t row = 0; row < SX_CHUNK_ROWS; row++) {
        if (below(share) == 0)
            eng_bits_set(&yes, row);
    }
    assert_int_equal(ops->facet(&k, sealed, open, m->hi, &yes), 0);
    for (uint32_t i = 0; i < k.n; i++)
        total += k.at[i].n;
    for (uint32_t i = 0; i < m->n; i++)
        sum += (uint32_t)eng_bits_get(&yes, m->row[i]);
    assert_int_equal(total, sum);
    for (uint32_t i = 0; i < 40 && m->n != 0; i++) {
        int64_t v = (int64_t)m->v[below(m->n)];

        assert_int_equal(facet_of(&k, v), rows_having(m, v, &yes));
    }
    free(k.at);
}

/* --- random parts -------------------------------------------------------------------------- */

static void check_open(const struct eng_part_ops *ops, void *open, const struct model *m)
{
    struct question q;

    for (uint32_t i = 0; i < 12; i++) {
        uint32_t lo = below(2) ? m->lo : below(SX_CHUNK_ROWS),
                 hi = below(2) ? m->hi : lo + below(999);

        hi = hi < SX_CHUNK_ROWS ? hi : SX_CHUNK_ROWS;
        hi = hi < lo ? lo : hi;
        ask(m, &q);
        assert_int_equal(ops->answers(&schema, &q.leaf), 1);
        answer(m, &q, lo, hi);
        clear();
        ops->open_mask(open, &q.leaf, lo, hi, &yes, &maybe);
        same_bits();
        check_tally(ops, m, &q, NULL, open);
    }
    for (uint32_t i = 0; i < 4; i++)
        check_order(ops, m, NULL, open);
    if (ops->facet != NULL && m->pool != P_WIDE)
        check_facet(ops, m, NULL, open);
}

static void check_sealed(const struct eng_part_ops *ops, const uint8_t *p, const struct model *m)
{
    struct question q;

    for (uint32_t i = 0; i < 20; i++) {
        ask(m, &q);
        answer(m, &q, m->lo, m->hi);
        clear();
        ops->mask(&schema, p, &q.leaf, &yes, &maybe);
        same_bits();
        check_tally(ops, m, &q, p, NULL);
    }
    for (uint32_t i = 0; i < 6; i++)
        check_order(ops, m, p, NULL);
    for (uint32_t i = 0; ops->facet != NULL && m->pool != P_WIDE && i < 3; i++)
        check_facet(ops, m, p, NULL);
}

/* The sealed form in memory of its own, so that a byte read outside is seen. */
static uint8_t *seal(const struct eng_part_ops *ops, void *open, const struct model *m, uint64_t *n)
{
    struct sx_buf b;
    uint8_t *p;

    sx_buf_init(&b, &mem);
    sx_buf_reserve(&b, 64);
    memset(b.p, 0xee, 64);
    b.n = 64;
    assert_int_equal(ops->seal(open, m->lo, m->hi, &b), 0);
    *n = b.n - 64;
    p = aligned_alloc(64, *n);
    memcpy(p, b.p + 64, *n);
    sx_buf_fini(&b);
    assert_int_equal(*n % 64, 0);
    assert_int_equal(ops->check(&schema, p, *n), 0);
    return p;
}

static void random_part(uint32_t type, uint32_t pool, uint32_t shape)
{
    const struct eng_part_ops *ops = ops_of(type);
    struct model *m = &model;
    void *open = ops->open_create(&conf, &schema);
    uint8_t *p;
    uint64_t n;

    assert_non_null(open);
    m->type = type;
    m->pool = pool;
    m->n = m->n_points = 0;
    m->lo = below(3) == 0 ? 0 : below(60000);
    m->hi = m->lo + below(below(4) == 0 ? 4000 : 300);
    fill(ops, open, m, shape);
    check_open(ops, open, m);
    p = seal(ops, open, m, &n);
    check_sealed(ops, p, m);
    free(p);
    ops->open_destroy(open);
    free_retired();
}

static void random_parts(uint32_t type)
{
    for (uint32_t pool = 0; pool < P_KINDS; pool++) {
        for (uint32_t shape = 0; shape < R_KINDS; shape++) {
            cpu.bits = below(2) && __builtin_cpu_supports("avx2") ? SX_CPU_AVX2 : 0;
            random_part(type, pool, shape);
        }
    }
    cpu.bits = 0;
}

static void integers(void **state SX_UNUSED)
{
    random_parts(ENG_FIELD_INTEGER);
}

static void floats(void **state SX_UNUSED)
{
    random_parts(ENG_FIELD_FLOAT);
}

static void datetimes(void **state SX_UNUSED)
{
    random_parts(ENG_FIELD_DATETIME);
}

/* --- whole chunks -------------------------------------------------------------------------- */

/* Every row of a chunk with `each` values; `distinct` different ones in all (0: as many as there
 * are). Their codes need every number of 16 bits, or more. */
static void whole_chunk(uint32_t rows, uint32_t each, uint32_t distinct)
{
    const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
    struct model *m = &model;
    void *open = ops->open_create(&conf, &schema);
    struct value v[4] = {{0}};
    struct sx_docb b;
    struct question q;
    uint32_t next = 0;
    uint8_t *p;
    uint64_t n;

    m->type = ENG_FIELD_INTEGER;
    m->pool = P_WIDE;
    m->n = m->n_points = m->lo = 0;
    m->hi = SX_CHUNK_ROWS;
    sx_docb_init(&b, sx_mem_libc(), 0);
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < each; i++, next++)
            v[i].i = (int64_t)(next * UINT64_C(0x9e3779b1) % (distinct != 0 ? distinct : 1u << 31));
        assert_int_equal(ops->open_add(open, row, doc_of(&b, v, each)), 1);
        model_add(m, row, v, each);
    }
    sx_docb_fini(&b);
    p = seal(ops, open, m, &n);
    for (uint32_t i = 0; i < 12; i++) {
        ask(m, &q);
        answer(m, &q, 0, SX_CHUNK_ROWS);
        clear();
        ops->open_mask(open, &q.leaf, 0, SX_CHUNK_ROWS, &yes, &maybe);
        same_bits();
        clear();
        ops->mask(&schema, p, &q.leaf, &yes, &maybe);
        same_bits();
    }
    check_order(ops, m, p, NULL);
    check_order(ops, m, NULL, open);
    free(p);
    ops->open_destroy(open);
    free_retired();
}

static void whole_chunks(void **state SX_UNUSED)
{
    whole_chunk(SX_CHUNK_ROWS, 1, 0);
    whole_chunk(SX_CHUNK_ROWS - 1, 1, 0);
    whole_chunk(SX_CHUNK_ROWS - 2, 1, 0);
    whole_chunk(SX_CHUNK_ROWS, 1, 1000);
    whole_chunk(SX_CHUNK_ROWS, 2, 0);
    whole_chunk(SX_CHUNK_ROWS, 2, 3000);
}

/* --- exact corners ------------------------------------------------------------------------- */

static int
row_matches(const struct eng_part_ops *ops, void *open, const struct question *q, uint32_t row)
{
    clear();
    ops->open_mask(open, &q->leaf, 0, SX_CHUNK_ROWS, &yes, &maybe);
    return eng_bits_get(&yes, row);
}

static void corners(void **state SX_UNUSED)
{
    const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
    void *open = ops->open_create(&conf, &schema);
    struct question q;
    struct sx_docb b;
    struct value v = {V_F64, 0, 0, 0, 0x1p63};

    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(ops->open_add(open, 0, doc_of(&b, &v, 1)), 1);
    v.f = nextafter(0x1p63, INFINITY);
    assert_int_equal(ops->open_add(open, 1, doc_of(&b, &v, 1)), 0);
    v.f = -0.0;
    assert_int_equal(ops->open_add(open, 2, doc_of(&b, &v, 1)), 1);
    v = (struct value){V_U64, 0, 0, (UINT64_C(1) << 63) + 4096, 0};
    assert_int_equal(ops->open_add(open, 3, doc_of(&b, &v, 1)), 0);
    memset(&q, 0, sizeof(q));
    q.leaf = (struct eng_leaf){.kind = ENG_LEAF_RANGE, .cond = &q.cond, .prep = &q.range};
    q.range = (struct eng_prep_range){.is_int = 1, .lo = INT64_MAX, .hi = INT64_MAX};
    assert_int_equal(row_matches(ops, open, &q, 0), 1);
    assert_int_equal(row_matches(ops, open, &q, 2), 0);
    q.range = (struct eng_prep_range){.is_int = 1, .lo = 0, .hi = 0};
    assert_int_equal(row_matches(ops, open, &q, 2), 1);
    ops->open_destroy(open);

    /* Zeros are equal, whatever their sign: on both sides of an open bound. */
    ops = ops_of(ENG_FIELD_FLOAT);
    open = ops->open_create(&conf, &schema);
    v = (struct value){V_F64, 0, 0, 0, -0.0};
    assert_int_equal(ops->open_add(open, 5, doc_of(&b, &v, 1)), 1);
    q.range = (struct eng_prep_range){.f_lo = 0.0, .f_hi = INFINITY};
    assert_int_equal(row_matches(ops, open, &q, 5), 1);
    q.range = (struct eng_prep_range){.f_lo = -INFINITY, .f_hi = -0.0};
    assert_int_equal(row_matches(ops, open, &q, 5), 1);
    q.range = (struct eng_prep_range){.f_lo = -0.0, .f_hi = 1, .lo_open = 1};
    assert_int_equal(row_matches(ops, open, &q, 5), 0);
    q.range = (struct eng_prep_range){.f_lo = -1, .f_hi = 0.0, .hi_open = 1};
    assert_int_equal(row_matches(ops, open, &q, 5), 0);
    ops->open_destroy(open);
    sx_docb_fini(&b);
    free_retired();
}

static void capabilities(void **state SX_UNUSED)
{
    struct sx_cond cond = {.match = {.kind = SX_MATCH_ANY_INT}};
    struct eng_prep_ints ints = {0};
    struct eng_leaf match = {
        .kind = ENG_LEAF_MATCH, .mode = ENG_LEAF_INDEXED, .cond = &cond, .prep = &ints};
    struct eng_leaf range = {.kind = ENG_LEAF_RANGE, .mode = ENG_LEAF_INDEXED, .cond = &cond};
    struct eng_field_schema s = {.type = ENG_FIELD_INTEGER, .flags = ENG_FIELD_LOOKUP};

    assert_int_equal(eng_part_integer.answers(&s, &match), 1);
    assert_int_equal(eng_part_integer.answers(&s, &range), 0);
    s.flags = ENG_FIELD_RANGE;
    assert_int_equal(eng_part_integer.answers(&s, &match), 0);
    assert_int_equal(eng_part_integer.answers(&s, &range), 1);
    assert_int_equal(eng_part_float.answers(&s, &match), 0);
    assert_int_equal(eng_part_datetime.answers(&s, &range), 1);
    range.mode = ENG_LEAF_PLAIN;
    assert_int_equal(eng_part_integer.answers(&s, &range), 0);
    s.flags = ENG_FIELD_RANGE | ENG_FIELD_LOOKUP;
    cond.match.kind = SX_MATCH_ANY_STR;
    assert_int_equal(eng_part_integer.answers(&s, &match), 0);
    assert_null(eng_part_float.facet);
    assert_null(eng_part_datetime.facet);
}

/* --- damage -------------------------------------------------------------------------------- */

/* Asks everything of a part that passed its check: the answers may be wrong, the reads not. */
static void use(const struct eng_part_ops *ops, const uint8_t *p, const struct model *m)
{
    struct eng_order_cursor c = {0};
    struct eng_order_entry e;
    struct eng_facet k = {0};
    struct sx_order_by by;
    struct question q;
    uint64_t len[300] = {0};

    for (uint32_t i = 0; i < 4; i++) {
        struct eng_tally t = {.len = len};

        ask(m, &q);
        t.n = q.ints.n;
        clear();
        ops->mask(&schema, p, &q.leaf, &yes, &maybe);
        ops->tally(&schema, p, NULL, 0, &q.leaf, &t);
        ask_order(m, &by);
        assert_int_equal(ops->order(&schema, p, NULL, 0, &by, &arena, &c), 0);
        for (uint32_t steps = 0; steps < 2 * MAX_VALUES && c.next(&c, &e); steps++)
            assert_true(e.row < SX_CHUNK_ROWS);
        sx_arena_reset(&arena);
    }
    if (ops->facet != NULL)
        ops->facet(&k, p, NULL, 0, &yes);
    free(k.at);
}

/* Flips bits of one byte, of several, or of the head, where the lengths are. */
static void damage(uint8_t *p, uint64_t n)
{
    uint32_t times = 1 + below(3);

    while (times-- > 0) {
        uint64_t at = below(2) ? below(96) : rnd() % n;

        if (below(3) == 0)
            p[at] = (uint8_t)(below(2) ? 0xff : 0);
        else
            p[at] ^= (uint8_t)(1u << below(8));
    }
}

static void damaged_parts(void **state SX_UNUSED)
{
    static const uint32_t types[] = {ENG_FIELD_INTEGER, ENG_FIELD_FLOAT, ENG_FIELD_DATETIME};
    uint32_t n_found = 0, n_used = 0;

    for (uint32_t round = 0; round < 30; round++) {
        const struct eng_part_ops *ops = ops_of(types[round % 3]);
        struct model *m = &model;
        void *open = ops->open_create(&conf, &schema);
        uint8_t *p, *bad;
        uint64_t n;

        m->type = types[round % 3];
        m->pool = below(P_KINDS);
        m->n = m->n_points = 0;
        m->lo = below(1000);
        m->hi = m->lo + below(400);
        fill(ops, open, m, below(R_KINDS));
        p = seal(ops, open, m, &n);
        ops->open_destroy(open);
        for (uint32_t i = 0; i < 60; i++) {
            uint64_t cut = i < 50 ? n : below(2) ? rnd() % n : n - 64 * (1 + below(2));

            cut = cut < n || i < 50 ? cut : 0;
            bad = aligned_alloc(64, (cut + 63) / 64 * 64 + 64);
            bad = realloc(bad, cut != 0 ? cut : 1);
            memcpy(bad, p, cut);
            if (i < 50)
                damage(bad, n);
            if (ops->check(&schema, bad, cut) != 0) {
                n_found++;
            } else {
                assert_true(i < 50);
                n_used++;
                use(ops, bad, m);
            }
            free(bad);
        }
        free(p);
        free_retired();
    }
    assert_true(n_found > 500 && n_used > 20);
}

/* One number that is wrong, in each section. */
static void wrong_numbers(void **state SX_UNUSED)
{
    static const uint32_t shapes[] = {R_DENSE, R_HOLES, R_SEVERAL};

    for (uint32_t k = 0; k < SX_COUNT(shapes); k++) {
        const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
        struct model *m = &model;
        void *open = ops->open_create(&conf, &schema);
        struct eng_num_part t;
        uint16_t *where[8], wrong[8];
        uint32_t n_wrong = 0;
        uint8_t *p;
        uint64_t n;

        m->type = ENG_FIELD_INTEGER;
        m->pool = P_FEW;
        m->n = m->n_points = 0;
        m->lo = 100;
        m->hi = 400;
        fill(ops, open, m, shapes[k]);
        p = seal(ops, open, m, &n);
        eng_num_part_of(p, &t);
        assert_int_equal(t.form, shapes[k] == R_SEVERAL ? ENG_NUM_LISTED : ENG_NUM_BY_ROW);
        assert_int_equal(t.start_width, 2);
        assert_int_equal(t.code_width, 2);
#define WRONG(at, value)                                                                           \
    (where[n_wrong] = (uint16_t *)(uintptr_t)(at), wrong[n_wrong++] = (uint16_t)(value))
        WRONG(&t.rows[t.entries / 2], m->hi);
        WRONG(&t.rows[0], m->lo - 1);
        WRONG((const uint16_t *)t.start + t.distinct - 1, t.entries);
        WRONG((const uint16_t *)t.start + 1, 0);
        WRONG(t.code, t.distinct);
        WRONG(t.packed, 0x0101);
        if (t.form == ENG_NUM_LISTED) {
            WRONG(&t.code_rows[3], m->hi);
            WRONG(&t.code_rows[t.entries - 1], m->lo);
        }
#undef WRONG
        for (uint32_t i = 0; i < n_wrong; i++) {
            uint16_t right = *where[i];

            *where[i] = wrong[i];
            if (ops->check(&schema, p, n) == 0)
                fail_msg("form %u: wrong number %u passes", t.form, i);
            *where[i] = right;
        }
        assert_int_equal(ops->check(&schema, p, n), 0);
        free(p);
        ops->open_destroy(open);
        free_retired();
    }
}

/* A part of another type is no part of this one. */
static void foreign_part(void **state SX_UNUSED)
{
    const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
    void *open = ops->open_create(&conf, &schema);
    struct model *m = &model;
    uint8_t *p;
    uint64_t n;

    m->type = ENG_FIELD_INTEGER;
    m->n = m->n_points = m->lo = m->hi = 0;
    p = seal(ops, open, m, &n);
    schema.type = ENG_FIELD_FLOAT;
    assert_true(eng_part_float.check(&schema, p, n) < 0);
    free(p);
    ops->open_destroy(open);
}

/* --- short memory -------------------------------------------------------------------------- */

/* Rows that could not be added are cut; the part goes on as if they had never been there. */
static void short_memory(void **state SX_UNUSED)
{
    for (uint32_t left = 0; left < 12; left++) {
        const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
        struct model *m = &model;
        void *open = ops->open_create(&conf, &schema);
        struct value v[300];
        struct sx_docb b;
        struct sx_buf out;
        uint32_t n_failed = 0;

        sx_docb_init(&b, sx_mem_libc(), 0);
        m->type = ENG_FIELD_INTEGER;
        m->pool = P_DECIMAL;
        m->n = m->n_points = m->lo = 0;
        m->hi = 500;
        memory_left = left;
        for (uint32_t row = 0; row < m->hi; row++) {
            uint32_t n = below(4) == 0 ? below(300) : 1;
            int got;

            for (uint32_t i = 0; i < n; i++)
                v[i] = any_value(m->type, m->pool);
            got = ops->open_add(open, row, doc_of(&b, v, n));
            if (got < 0) {
                assert_int_equal(got, SX_ENOMEM);
                ops->open_cut(open, row);
                memory_left = below(3);
                n_failed++;
                continue;
            }
            assert_int_equal(got, model_add(m, row, v, n) != 0);
        }
        assert_true(n_failed > 0);
        memory_left = 0;
        sx_buf_init(&out, &mem);
        assert_int_equal(ops->seal(open, m->lo, m->hi, &out), SX_ENOMEM);
        assert_null(ops->open_create(&conf, &schema));
        memory_left = 1;
        assert_int_equal(ops->seal(open, m->lo, m->hi, &out), SX_ENOMEM);
        sx_buf_fini(&out);
        memory_left = -1;
        check_open(ops, open, m);
        ops->open_destroy(open);
        sx_docb_fini(&b);
        free_retired();
    }
}

/* --- readers ------------------------------------------------------------------------------- */

/* The writer adds rows whose value is the row, then sometimes two of them, with aborts in between;
 * readers ask for what lies below a published row. */
struct shared {
    void *open;
    _Atomic uint32_t hi, is_done;
};

static void *read_all(void *arg)
{
    struct shared *s = arg;
    struct eng_bits *bits = malloc(2 * sizeof(*bits));

    do {
        uint32_t hi = atomic_load_explicit(&s->hi, memory_order_acquire), lo = hi / 2, n = 0;
        struct eng_prep_range range = {.is_int = 1, .lo = lo, .hi = INT64_MAX};
        struct sx_cond cond = {.kind = SX_COND_FIELD};
        struct eng_leaf leaf = {.kind = ENG_LEAF_RANGE, .prep = &range, .cond = &cond};
        struct eng_tally t = {0};

        memset(bits, 0, 2 * sizeof(*bits));
        eng_part_integer.open_mask(s->open, &leaf, 0, hi, &bits[0], &bits[1]);
        eng_part_integer.tally(NULL, NULL, s->open, hi, &leaf, &t);
        for (uint32_t row = 0; row < SX_CHUNK_ROWS; row++) {
            int is_there = row >= lo && row < hi && row % 7 != 0;

            if (eng_bits_get(&bits[0], row) != is_there)
                abort();
            n += (uint32_t)is_there;
        }
        if (t.hi < n)
            abort();
    } while (!atomic_load_explicit(&s->is_done, memory_order_acquire));
    free(bits);
    return NULL;
}

static void readers(void **state SX_UNUSED)
{
    static const uint32_t multi_from = 9000, end = 20000;
    const struct eng_part_ops *ops = ops_of(ENG_FIELD_INTEGER);
    struct shared s = {.open = ops->open_create(&conf, &schema)};
    struct value v[3] = {{0}};
    struct sx_docb b;
    pthread_t t[2];

    sx_docb_init(&b, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, read_all, &s), 0);
    for (uint32_t row = 0; row < end;) {
        uint32_t to = row + 1 + below(60), fails = below(5) == 0;

        to = to < end ? to : end;
        for (uint32_t r = row; r < to; r++) {
            /* Taken back ones have values that no row has. */
            v[0].i = v[1].i = v[2].i = fails ? INT64_MAX - r : r;
            v[1].i = fails ? INT64_MAX / 2 : -5;
            if (r % 7 != 0)
                assert_int_equal(ops->open_add(s.open, r, doc_of(&b, v, r < multi_from ? 1 : 3)),
                                 1);
        }
        if (fails) {
            ops->open_cut(s.open, row);
            continue;
        }
        row = to;
        atomic_store_explicit(&s.hi, row, memory_order_release);
    }
    atomic_store_explicit(&s.is_done, 1, memory_order_release);
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    sx_docb_fini(&b);
    ops->open_destroy(s.open);
    free_retired();
}

/* ------------------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),      cmocka_unit_test(floats),
        cmocka_unit_test(datetimes),     cmocka_unit_test(whole_chunks),
        cmocka_unit_test(corners),       cmocka_unit_test(capabilities),
        cmocka_unit_test(damaged_parts), cmocka_unit_test(wrong_numbers),
        cmocka_unit_test(foreign_part),  cmocka_unit_test(short_memory),
        cmocka_unit_test(readers),
    };
    const char *given = getenv("SEED");

    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)seed);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    sx_arena_fini(&arena);
    return rc;
}
