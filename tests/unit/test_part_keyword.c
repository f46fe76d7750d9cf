/* The open and the sealed form of strings against lists of values per row: few values and very
 * many, rows with none, one and several, values of more rows than a list holds; figures and facets;
 * parts that were damaged; short memory; and the sets of rows that presence is made of. */
/* needs: plugins/engine/field*.c kernel/epoch.c tests/unit/mem_io.c */
#include <time.h>

#include "engine/part_keyword.h"
#include "field_kit.h"

#define ROWS    SX_CHUNK_ROWS
#define PER_ROW 4u

/* Values are numbers; how they are written decides what prefixes and substrings find. */
struct rows {
    uint32_t n, lo; /* rows [lo, n) */
    uint8_t *count;
    uint32_t (*value)[PER_ROW];
    struct sx_str (*text)[PER_ROW]; /* as they are written, in `chars` */
    char (*chars)[PER_ROW][24];
};

static uint64_t rnd;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(fk_rnd(&rnd) % n);
}

static struct sx_str text_of(uint32_t value, char buf[24])
{
    return (struct sx_str){buf, (uint32_t)snprintf(buf, 24, "v%u/%x", value, value * 2654435761u),
                           0};
}

/* Most rows have one value of `values`; values 0 .. 2 are common. */
static void rows_make(struct rows *r, uint32_t lo, uint32_t n, uint32_t values, uint32_t several)
{
    r->lo = lo;
    r->n = n;
    r->count = calloc(n, 1);
    r->value = calloc(n, sizeof(*r->value));
    r->text = calloc(n, sizeof(*r->text));
    r->chars = calloc(n, sizeof(*r->chars));
    for (uint32_t i = lo; i < n; i++) {
        uint32_t k = below(10) == 0 ? 0 : below(100) < several ? 2 + below(PER_ROW - 1) : 1;

        for (uint32_t j = 0; j < k; j++)
            r->value[i][j] = values > ROWS ? i * 2 + j : below(4) ? below(values) : below(3);
        for (uint32_t j = 0; j < k; j++)
            r->text[i][j] = text_of(r->value[i][j], r->chars[i][j]);
        r->count[i] = (uint8_t)k;
    }
}

static void rows_free(struct rows *r)
{
    free(r->count);
    free(r->value);
    free(r->text);
    free(r->chars);
}

static void add_row(const struct eng_part_ops *ops, void *open, const struct rows *r, uint32_t row)
{
    static struct sx_docb b;

    if (r->count[row] == 0 && below(2))
        return; /* left out */
    if (b.out.mem == NULL)
        sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_reset(&b);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "k");
    if (r->count[row] != 1)
        sx_docb_arr(&b);
    for (uint32_t j = 0; j < r->count[row]; j++) {
        sx_docb_str(&b, r->text[row][j].p, r->text[row][j].n);
    }
    if (r->count[row] != 1)
        sx_docb_close(&b);
    sx_docb_close(&b);
    assert_int_equal(ops->open_add(open, row, sx_docb_end(&b)), r->count[row] != 0);
}

/* Both forms of the same rows. */
struct forms {
    const struct eng_part_ops *ops;
    struct eng_field_schema *schema;
    void *open;
    struct sx_buf image;
    uint8_t *sealed; /* 64-aligned in block, and nothing behind it */
    void *block;
};

static void forms_make(struct forms *f, const struct rows *r)
{
    uint32_t committed = r->lo;

    f->ops = &eng_part_keyword;
    f->schema = fk_schema("k", "{\"type\":\"keyword\"}");
    f->open = f->ops->open_create(&fk_conf, f->schema);
    for (uint32_t i = r->lo; i < r->n; i++) {
        add_row(f->ops, f->open, r, i);
        if (below(1000) == 0) { /* an operation that is aborted and comes again */
            f->ops->open_cut(f->open, committed);
            i = committed - 1;
        } else if (below(100) == 0) {
            f->ops->open_commit(f->open);
            committed = i + 1;
        }
    }
    f->ops->open_commit(f->open);
    sx_buf_init(&f->image, &fk_mem);
    assert_int_equal(f->ops->seal(f->open, r->lo, r->n, &f->image), 0);
    assert_int_equal(posix_memalign(&f->block, 64, f->image.n), 0);
    f->sealed = f->block;
    memcpy(f->sealed, f->image.p, f->image.n);
    assert_int_equal(f->ops->check(f->schema, f->sealed, f->image.n), 0);
}

static void forms_free(struct forms *f)
{
    f->ops->open_destroy(f->open);
    sx_buf_fini(&f->image);
    free(f->block);
    eng_field_schema_destroy(&fk_mem, f->schema);
}

/* --- masks and figures ------------------------------------------------------------------- */

static int fits(const struct sx_match *m, struct sx_str s)
{
    switch (m->kind) {
    case SX_MATCH_STR:
        return kw_cmp(s, m->str) == 0;
    case SX_MATCH_PREFIX:
        return s.n >= m->str.n && memcmp(s.p, m->str.p, m->str.n) == 0;
    case SX_MATCH_SUBSTRING:
        for (uint32_t i = 0; i + m->str.n <= s.n; i++) {
            if (memcmp(s.p + i, m->str.p, m->str.n) == 0)
                return 1;
        }
        return 0;
    default:
        for (uint32_t i = 0; i < m->n; i++) {
            if (kw_cmp(s, m->strs[i]) == 0)
                return m->kind == SX_MATCH_ANY_STR;
        }
        return m->kind == SX_MATCH_EXCEPT_STR;
    }
}

static void check_leaf(const struct forms *f, const struct rows *r, const struct eng_leaf *leaf)
{
    const struct sx_match *m = &leaf->cond->match;
    struct eng_bits want = {{0}}, open = {{0}}, sealed = {{0}}, maybe = {{0}};

    for (uint32_t i = r->lo; i < r->n; i++) {
        for (uint32_t j = 0; j < r->count[i]; j++) {
            if (fits(m, r->text[i][j]))
                eng_bits_set(&want, i);
        }
    }
    f->ops->open_mask(f->open, leaf, 0, ROWS, &open, &maybe);
    f->ops->mask(f->schema, f->sealed, leaf, &sealed, &maybe);
    assert_int_equal(eng_bits_count(&maybe, 0, ROWS), 0);
    for (uint32_t i = 0; i < ENG_BITS_WORDS; i++) {
        if (open.w[i] != want.w[i] || sealed.w[i] != want.w[i])
            fail_msg("match %u, rows from %u: want %llx, open %llx, sealed %llx", m->kind, i * 64,
                     (unsigned long long)want.w[i], (unsigned long long)open.w[i],
                     (unsigned long long)sealed.w[i]);
    }
    /* A part of the rows: those and no others. */
    memset(&open, 0, sizeof(open));
    f->ops->open_mask(f->open, leaf, r->lo + 77, r->n - 100, &open, &maybe);
    eng_bits_clip(&want, r->lo + 77, r->n - 100);
    assert_memory_equal(&open, &want, sizeof(want));
}

static uint32_t distinct_in(const struct rows *r, uint32_t row, uint32_t j)
{
    for (uint32_t i = 0; i < j; i++) {
        if (r->value[row][i] == r->value[row][j])
            return 0;
    }
    return 1;
}

static void check_tally(const struct forms *f, const struct rows *r, const struct eng_leaf *leaf)
{
    const struct sx_match *m = &leaf->cond->match;
    const struct eng_prep_strings *prep = leaf->prep;
    uint64_t want_len[64] = {0}, len[2][64] = {{0}}, values = 0;
    struct eng_tally t[2] = {{.len = len[0]}, {.len = len[1]}};
    uint32_t n = m->kind == SX_MATCH_STR ? 1 : m->n;

    for (uint32_t i = r->lo; i < r->n; i++) {
        for (uint32_t j = 0; j < r->count[i]; j++) {
            if (!distinct_in(r, i, j))
                continue;
            values++;
            for (uint32_t k = 0; k < n; k++)
                want_len[k] += kw_cmp(prep->strs[k], r->text[i][j]) == 0;
        }
    }
    t[0].n = t[1].n = n;
    f->ops->tally(f->schema, NULL, f->open, ROWS, leaf, &t[0]);
    f->ops->tally(f->schema, f->sealed, NULL, 0, leaf, &t[1]);
    for (uint32_t k = 0; k < n; k++) {
        assert_int_equal(len[0][k], want_len[k]);
        assert_int_equal(len[1][k], want_len[k]);
    }
    assert_int_equal(t[1].values, values);
    if (m->kind != SX_MATCH_STR) {
        assert_int_equal(t[0].values, values);
        assert_int_equal(t[0].distinct, t[1].distinct);
    }
}

static void check_leaves(const struct forms *f, const struct rows *r, uint32_t values)
{
    struct sx_arena arena;
    static char texts[12][24];
    struct sx_str strs[12];

    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < 12; i++)
        strs[i] = text_of(i < 3 ? i : below(values + 2), texts[i]);
    for (uint32_t i = 0; i < 5; i++) {
        const struct eng_leaf *leaf =
            fk_leaf(f->schema, fk_match_str(SX_MATCH_STR, strs[i]), &arena);

        check_leaf(f, r, leaf);
        check_tally(f, r, leaf);
    }
    for (uint32_t kind = SX_MATCH_ANY_STR; kind <= SX_MATCH_EXCEPT_STR;
         kind += SX_MATCH_EXCEPT_STR - SX_MATCH_ANY_STR) {
        for (uint32_t n = 0; n <= 12; n = n * 2 + 2) {
            const struct eng_leaf *leaf = fk_leaf(f->schema, fk_match_strs(kind, strs, n), &arena);

            if (leaf == NULL)
                continue;
            check_leaf(f, r, leaf);
            if (n == 2)
                check_tally(f, r, leaf);
        }
    }
    for (uint32_t i = 0; i < 6; i++) {
        static const char *const parts[] = {"v1", "v", "", "w", "0/0", "7"};
        struct sx_str s = fk_str(parts[i]);

        check_leaf(f, r, fk_leaf(f->schema, fk_match_str(SX_MATCH_PREFIX, s), &arena));
        check_leaf(f, r, fk_leaf(f->schema, fk_match_str(SX_MATCH_SUBSTRING, s), &arena));
    }
    sx_arena_fini(&arena);
}

/* --- facets ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    return kw_cmp(*(const struct sx_str *)a, *(const struct sx_str *)b);
}

/* All (row, value) pairs of the mask as values in order: runs of them are the counts. */
static uint32_t gather(const struct rows *r, const struct eng_bits *bits, struct sx_str *out)
{
    uint32_t n = 0;

    for (uint32_t i = r->lo; i < r->n; i++) {
        for (uint32_t j = 0; j < r->count[i] && eng_bits_get(bits, i); j++) {
            if (distinct_in(r, i, j))
                out[n++] = r->text[i][j];
        }
    }
    qsort(out, n, sizeof(out[0]), by_value);
    return n;
}

struct counted {
    struct sx_str v;
    uint32_t code, n;
};
static struct counted counted[ROWS * PER_ROW];
static uint32_t n_counted;

static int collect(struct eng_facet *k SX_UNUSED, uint32_t code, struct sx_str v, uint32_t n)
{
    assert_true(n != 0);
    if (n_counted == ROWS * PER_ROW) /* only of a damaged part */
        return SX_ENOMEM;
    counted[n_counted++] = (struct counted){v, code, n};
    return 0;
}

static int by_str(const void *a, const void *b)
{
    return kw_cmp(((const struct counted *)a)->v, ((const struct counted *)b)->v);
}

static void check_facet(const struct forms *f, const struct rows *r, const struct eng_bits *bits)
{
    struct sx_str *all = malloc((uint64_t)r->n * PER_ROW * sizeof(*all));
    uint32_t n = gather(r, bits, all);
    struct sx_arena arena;
    struct eng_facet *k;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    k = eng_facet_create(f->schema, &fk_mem, &arena);
    for (int form = 0; form < 2; form++) {
        uint32_t at = 0, i = 0;

        n_counted = 0;
        if (form == 0)
            assert_int_equal(kw_open_facet(f->open, k, ROWS, bits, collect), 0);
        else
            assert_int_equal(kw_sealed_facet(f->sealed, k, bits, collect), 0);
        qsort(counted, n_counted, sizeof(*counted), by_str);
        while (i < n_counted) {
            struct sx_str v = counted[i].v;
            uint32_t sum = 0, want = 0;

            for (; i < n_counted && kw_cmp(counted[i].v, v) == 0; i++)
                sum += counted[i].n;
            assert_true(at < n && kw_cmp(all[at], v) == 0);
            for (; at < n && kw_cmp(all[at], v) == 0; at++)
                want++;
            assert_int_equal(sum, want);
        }
        assert_int_equal(at, n);
    }
    eng_facet_destroy(k);
    sx_arena_fini(&arena);
    free(all);
}

static void check_facets(const struct forms *f, const struct rows *r)
{
    static const uint32_t one_in[] = {1, 2, 100, 3000};

    for (uint32_t k = 0; k < SX_COUNT(one_in); k++) {
        struct eng_bits bits = {{0}};

        for (uint32_t i = r->lo; i < r->n; i++) {
            if (below(one_in[k]) == 0)
                eng_bits_set(&bits, i);
        }
        check_facet(f, r, &bits);
    }
}

/* --- damage ------------------------------------------------------------------------------ */

/* Whatever check() lets pass may be asked anything. */
static void ask_everything(const struct forms *f, const uint8_t *p, const struct eng_leaf *const *l)
{
    struct eng_bits yes = {{0}}, maybe = {{0}}, bits = {{0}};
    uint64_t len[64] = {0};
    struct sx_arena arena;
    struct eng_facet *k;

    for (uint32_t i = 0; l[i] != NULL; i++) {
        struct eng_tally t = {.n = 1, .len = len};

        f->ops->mask(f->schema, p, l[i], &yes, &maybe);
        f->ops->tally(f->schema, p, NULL, 0, l[i], &t);
    }
    sx_arena_init(&arena, sx_mem_libc(), 0);
    k = eng_facet_create(f->schema, &fk_mem, &arena);
    for (uint32_t i = 0; i < 2; i++) {
        n_counted = 0;
        if (i != 0)
            eng_bits_range(&bits, 0, ROWS);
        else
            bits.w[3] = 0xff00ff;
        (void)kw_sealed_facet(p, k, &bits, collect);
    }
    eng_facet_destroy(k);
    sx_arena_fini(&arena);
}

static void check_damage(struct forms *f)
{
    uint64_t n = f->image.n;
    const struct eng_leaf *leaves[6] = {NULL};
    struct sx_arena arena;
    struct sx_str two[2] = {fk_str("v0/0"), fk_str("v1/9e3779b1")};

    sx_arena_init(&arena, sx_mem_libc(), 0);
    leaves[0] = fk_leaf(f->schema, fk_match_str(SX_MATCH_STR, two[0]), &arena);
    leaves[1] = fk_leaf(f->schema, fk_match_str(SX_MATCH_PREFIX, fk_str("v1")), &arena);
    leaves[2] = fk_leaf(f->schema, fk_match_str(SX_MATCH_SUBSTRING, fk_str("9")), &arena);
    leaves[3] = fk_leaf(f->schema, fk_match_strs(SX_MATCH_EXCEPT_STR, two, 2), &arena);
    leaves[4] = fk_leaf(f->schema, fk_match_strs(SX_MATCH_EXCEPT_STR, two, 0), &arena);
    for (uint32_t i = 0; i < 250; i++) {
        uint64_t at = below(3) ? below((uint32_t)n) : below(64);
        uint8_t before = f->sealed[at];

        f->sealed[at] ^= (uint8_t)(1u << below(8));
        if (f->ops->check(f->schema, f->sealed, n) == 0)
            ask_everything(f, f->sealed, leaves);
        f->sealed[at] = before;
    }
    /* Cut anywhere it is no part any more. */
    for (uint32_t i = 0; i < 60; i++) {
        uint64_t cut = i < 20 ? i * 8 : below((uint32_t)n);
        uint8_t *p = NULL;

        assert_int_equal(posix_memalign((void **)&p, 64, cut != 0 ? cut : 1), 0);
        memcpy(p, f->sealed, cut);
        assert_int_equal(f->ops->check(f->schema, p, cut), SX_ECORRUPT);
        free(p);
    }
    sx_arena_fini(&arena);
}

/* --- tests ------------------------------------------------------------------------------- */

static void begin(void)
{
    const char *text = getenv("SX_TEST_SEED");

    rnd = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    print_message("seed %llu (SX_TEST_SEED)\n", (unsigned long long)rnd);
    fk_start(NULL);
}

static void one_shape(uint32_t lo, uint32_t n, uint32_t values, uint32_t several, int damage)
{
    struct rows r;
    struct forms f;

    rows_make(&r, lo, n, values, several);
    forms_make(&f, &r);
    check_leaves(&f, &r, values);
    check_facets(&f, &r);
    if (damage)
        check_damage(&f);
    forms_free(&f);
    rows_free(&r);
    sx_epoch_drain();
}

static void test_few_values(void **state SX_UNUSED)
{
    begin();
    one_shape(0, ROWS, 5, 0, 1);    /* bitmaps, one byte a row */
    one_shape(100, 9000, 5, 30, 1); /* lists and rows with several */
    fk_stop();
}

static void test_many_values(void **state SX_UNUSED)
{
    begin();
    one_shape(0, ROWS, 1000, 10, 0); /* two bytes a row */
    one_shape(60000, ROWS, 1000, 50, 1);
    one_shape(0, 5, 1000, 100, 1);
    fk_stop();
}

/* More values than 16 bits have codes for. */
static void test_unique_values(void **state SX_UNUSED)
{
    struct kw_view v;
    struct rows r;
    struct forms f;

    begin();
    rows_make(&r, 0, ROWS, ROWS + 1, 25);
    forms_make(&f, &r);
    kw_view_of(f.sealed, &v);
    assert_int_equal(v.h->width, 4);
    assert_true(v.h->n_values > 0xffff);
    check_leaves(&f, &r, 2 * ROWS);
    check_facets(&f, &r);
    forms_free(&f);
    rows_free(&r);
    fk_stop();
}

static void test_no_rows(void **state SX_UNUSED)
{
    begin();
    one_shape(10, 10, 1000, 0, 0);
    fk_stop();
}

/* Every allocation may fail: nothing is lost but the row that was being added. */
static void test_short_memory(void **state SX_UNUSED)
{
    struct eng_field_schema *s;
    struct rows r;

    begin();
    s = fk_schema("k", "{\"type\":\"keyword\"}");
    rows_make(&r, 0, 400, 300, 40);
    for (uint32_t fail = 0;; fail++) {
        void *open;
        struct sx_buf out;
        uint32_t row = 0;
        int rc = 0;

        fk_was_short = 0;
        fk_memory_left = fail;
        open = eng_part_keyword.open_create(&fk_conf, s);
        for (; open != NULL && row < r.n && rc >= 0; row++) {
            struct sx_docb b;

            sx_docb_init(&b, sx_mem_libc(), 0);
            sx_docb_obj(&b);
            sx_docb_ckey(&b, "k");
            sx_docb_arr(&b);
            for (uint32_t j = 0; j < r.count[row]; j++) {
                sx_docb_str(&b, r.text[row][j].p, r.text[row][j].n);
            }
            sx_docb_close(&b);
            sx_docb_close(&b);
            rc = eng_part_keyword.open_add(open, row, sx_docb_end(&b));
            if (rc < 0) { /* again, with memory */
                assert_int_equal(rc, SX_ENOMEM);
                eng_part_keyword.open_cut(open, row);
                rc = eng_part_keyword.open_add(open, row, sx_docb_end(&b));
            }
            assert_int_equal(rc, r.count[row] != 0);
            sx_docb_fini(&b);
            eng_part_keyword.open_commit(open);
        }
        sx_buf_init(&out, &fk_mem);
        rc = open != NULL ? eng_part_keyword.seal(open, 0, r.n, &out) : SX_ENOMEM;
        fk_memory_left = -1;
        if (rc == 0) {
            struct eng_bits yes = {{0}}, maybe = {{0}};
            struct sx_arena arena;
            uint8_t *p = NULL;

            sx_arena_init(&arena, sx_mem_libc(), 0);
            assert_int_equal(posix_memalign((void **)&p, 64, out.n), 0);
            memcpy(p, out.p, out.n);
            assert_int_equal(eng_part_keyword.check(s, p, out.n), 0);
            eng_part_keyword.mask(
                s, p, fk_leaf(s, fk_match_str(SX_MATCH_PREFIX, fk_str("")), &arena), &yes, &maybe);
            for (uint32_t i = 0; i < r.n; i++)
                assert_int_equal(eng_bits_get(&yes, i), r.count[i] != 0);
            free(p);
            sx_arena_fini(&arena);
        }
        sx_buf_fini(&out);
        if (open != NULL)
            eng_part_keyword.open_destroy(open);
        sx_epoch_drain();
        if (!fk_was_short)
            break;
    }
    rows_free(&r);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
}

/* --- sets -------------------------------------------------------------------------------- */

static void test_sets(void **state SX_UNUSED)
{
    begin();
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t lo = below(ROWS), hi = lo + below(ROWS + 1 - lo), one_in = 1u << below(16);
        struct eng_bits bits = {{0}}, got = {{0}}, mask = {{0}}, range = {{0}};
        int invert = (int)below(2);
        uint32_t n = 0, n_in = 0;
        struct sx_buf b;
        uint8_t *p = NULL;

        for (uint32_t r = 0; r < ROWS; r++) {
            if ((below(one_in) == 0) != invert)
                eng_bits_set(&bits, r);
            if (below(3) == 0)
                eng_bits_set(&mask, r);
        }
        sx_buf_init(&b, &fk_mem);
        eng_set_put(&b, &bits, lo, hi);
        p = malloc(b.n);
        memcpy(p, b.p, b.n);
        assert_true(b.n <= sizeof(struct eng_set) + sizeof(struct eng_bits));
        assert_int_equal(eng_set_check(p, b.n), b.n);
        for (uint32_t k = 0; k < 20; k++)
            assert_int_equal(eng_set_check(p, below((uint32_t)b.n)), 0);
        eng_set_or(p, &got);
        eng_bits_range(&range, lo, hi);
        for (uint32_t r = 0; r < ROWS; r++) {
            int want = eng_bits_get(&bits, r) && r >= lo && r < hi;

            if (eng_bits_get(&got, r) != want || eng_bits_get(&range, r) != (r >= lo && r < hi))
                fail_msg("row %u of [%u, %u)", r, lo, hi);
            n += (uint32_t)want;
            n_in += want && eng_bits_get(&mask, r);
        }
        assert_int_equal(eng_set_count(p), n);
        assert_int_equal(eng_set_count_in(p, &mask), n_in);
        assert_int_equal(eng_bits_count(&bits, lo, hi), n);
        eng_bits_clip(&bits, lo, hi);
        assert_memory_equal(&bits, &got, sizeof(got));
        for (uint32_t k = 0; k < 30; k++) {
            uint64_t at = below(2) ? below((uint32_t)b.n) : below(16);

            p[at] ^= (uint8_t)(1u << below(8));
            if (eng_set_check(p, b.n) != 0) {
                eng_set_or(p, &got);
                (void)eng_set_count(p);
                (void)eng_set_count_in(p, &mask);
            }
            memcpy(p, b.p, b.n);
        }
        free(p);
        sx_buf_fini(&b);
    }
    fk_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),        cmocka_unit_test(test_few_values),
        cmocka_unit_test(test_many_values), cmocka_unit_test(test_unique_values),
        cmocka_unit_test(test_no_rows),     cmocka_unit_test(test_short_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
