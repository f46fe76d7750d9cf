/* Payload indexes against documents: what the index says of each row must be what the row's
 * document says, whatever has been staged, aborted, sealed, built, saved, lost in a power cut or
 * damaged; and while a writer goes on beside readers. */
/* needs: plugins/engine/field*.c kernel/epoch.c tests/unit/mem_io.c */
#include <pthread.h>
#include <time.h>

#include "field_kit.h"

#define CHUNKS   3u
#define MAX_ROWS (CHUNKS * SX_CHUNK_ROWS)
#define POOL     160u /* different documents */
#define LEAVES   40u
#if defined(__SANITIZE_THREAD__) /* there what one thread does alone is of no interest */
#define STEPS 20u
#else
#define STEPS 140u
#endif

/* --- documents --------------------------------------------------------------------------- */

static const char *const strings[] = {"alpha",     "alphabet",          "beta", "", "al",
                                      "gamma ray", "\xc3\xa9t\xc3\xa9", "zz"};
static const char *const uuids[] = {
    "550e8400-e29b-41d4-a716-446655440000",          "550E8400E29B41D4A716446655440000",
    "urn:uuid:550e8400-e29b-41d4-a716-446655440001", "{650e8400-e29b-41d4-a716-446655440000}",
    "00000000-0000-0000-0000-000000000000",          "not-a-uuid"};
static const char *const numbers[] = {"0",
                                      "1",
                                      "-7",
                                      "3",
                                      "3.0",
                                      "3.5",
                                      "-0.0",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "-9223372036854775808",
                                      "1e300",
                                      "1e3"};
static const char *const times[] = {"2024-02-29", "2024-02-29T10:11:12.345678912Z",
                                    "2024-02-29 10:11:12+02:00", "1969-12-31T23:59:59.999999999Z",
                                    "2024-13-01"};

static const char *one_of(const char *const *list, uint32_t n, uint64_t *rnd)
{
    return list[fk_rnd(rnd) % n];
}

/* A value of some type, mostly of the index's. */
static void put_scalar(struct sx_buf *b, uint32_t type, uint64_t *rnd)
{
    uint32_t what = (uint32_t)(fk_rnd(rnd) % 10);

    if (what == 0)
        sx_buf_adds(b, "null");
    else if (what == 1)
        sx_buf_adds(b, one_of(numbers, SX_COUNT(numbers), rnd));
    else if (what == 2)
        sx_buf_adds(b, fk_rnd(rnd) % 2 ? "{\"p\":1}" : "[\"alpha\"]");
    else if (what == 3 || type == ENG_FIELD_BOOL)
        sx_buf_adds(b, fk_rnd(rnd) % 2 ? "true" : "false");
    else if (type == ENG_FIELD_UUID)
        sx_buf_printf(b, "\"%s\"", one_of(uuids, SX_COUNT(uuids), rnd));
    else if (type == ENG_FIELD_DATETIME)
        sx_buf_printf(b, "\"%s\"", one_of(times, SX_COUNT(times), rnd));
    else if (type == ENG_FIELD_GEO)
        sx_buf_printf(b, "{\"lon\":%d,\"lat\":%d.5}", (int)(fk_rnd(rnd) % 400) - 200,
                      (int)(fk_rnd(rnd) % 200) - 100);
    else if (type == ENG_FIELD_KEYWORD || type == ENG_FIELD_TEXT)
        sx_buf_printf(b, "\"%s\"", one_of(strings, SX_COUNT(strings), rnd));
    else
        sx_buf_adds(b, one_of(numbers, SX_COUNT(numbers), rnd));
}

static void put_value(struct sx_buf *b, uint32_t type, uint64_t *rnd)
{
    uint32_t n = (uint32_t)(fk_rnd(rnd) % 12);

    if (n > 4) {
        put_scalar(b, type, rnd);
        return;
    }
    sx_buf_addc(b, '[');
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_adds(b, i != 0 ? "," : "");
        put_scalar(b, type, rnd);
    }
    sx_buf_addc(b, ']');
}

static void put_object(struct sx_buf *b, const char *key, uint32_t type, uint64_t *rnd)
{
    if (fk_rnd(rnd) % 6 == 0) {
        sx_buf_adds(b, "{\"c\":1}");
        return;
    }
    sx_buf_printf(b, "{\"c\":1,\"%s\":", key);
    put_value(b, type, rnd);
    sx_buf_addc(b, '}');
}

/* A document whose shape suits the path k, a.b or o[].p, or misses it. */
static struct sx_doc random_doc(const struct eng_field_schema *s, uint64_t *rnd)
{
    struct sx_buf b;
    struct sx_doc d;

    sx_buf_init(&b, sx_mem_libc());
    if (s->path.n == 1) {
        put_object(&b, s->path.steps[0].key.p[0] == 'k' ? "k" : "q", s->type, rnd);
    } else if (s->path.n == 2) {
        sx_buf_adds(&b, "{\"a\":");
        if (fk_rnd(rnd) % 8 == 0)
            put_value(&b, s->type, rnd);
        else
            put_object(&b, "b", s->type, rnd);
        sx_buf_addc(&b, '}');
    } else {
        uint32_t n = (uint32_t)(fk_rnd(rnd) % 4);

        sx_buf_adds(&b, fk_rnd(rnd) % 8 ? "{\"o\":[" : "{\"o\":{\"p\":\"alpha\"},\"z\":[");
        for (uint32_t i = 0; i < n; i++) {
            sx_buf_adds(&b, i != 0 ? "," : "");
            if (fk_rnd(rnd) % 5 == 0)
                put_value(&b, s->type, rnd);
            else
                put_object(&b, "p", s->type, rnd);
        }
        sx_buf_adds(&b, "]}");
    }
    sx_buf_addc(&b, '\0');
    d = fk_doc(b.p);
    sx_buf_fini(&b);
    return d;
}

/* --- the model --------------------------------------------------------------------------- */

#define NO_ROW UINT16_MAX

struct model {
    const char *name;
    struct eng_field_schema *schema;
    struct eng_field *field;
    struct mem_io *disk;
    struct sx_arena arena;        /* of the leaves */
    struct sx_doc pool[POOL];     /* [0] is no document at all */
    uint16_t *row;                /* document of the row, NO_ROW: dead before it was born */
    struct eng_bits live[CHUNKS]; /* rows that have one, staged ones included */
    _Atomic uint32_t end;         /* committed */
    uint32_t synced;              /* what a manifest would count */
    uint32_t n_leaves;
    const struct eng_leaf *leaf[LEAVES];
    uint8_t want[LEAVES][POOL];
    uint8_t has_value[POOL];
    uint64_t rnd;
};

static uint32_t below(struct model *m, uint32_t n)
{
    return (uint32_t)(fk_rnd(&m->rnd) % n);
}

static void add_leaf(struct model *m, struct sx_cond cond)
{
    const struct eng_leaf *leaf = fk_leaf(m->schema, cond, &m->arena);

    if (leaf == NULL)
        return;
    assert_true(m->n_leaves < LEAVES);
    m->leaf[m->n_leaves++] = leaf;
}

static void add_range(struct model *m, double gte, double lt)
{
    struct sx_cond c = {.kind = SX_COND_FIELD};

    c.range.kind = SX_RANGE_NUM;
    c.range.has = SX_BOUND_GTE | SX_BOUND_LT;
    c.range.gte = gte;
    c.range.lt = lt;
    add_leaf(m, c);
}

static void add_string_leaves(struct model *m, const char *const *list, uint32_t n)
{
    struct sx_str *strs = sx_arena_alloc(&m->arena, n * sizeof(*strs));

    for (uint32_t i = 0; i < n; i++) {
        strs[i] = fk_str(list[i]);
        add_leaf(m, fk_match_str(SX_MATCH_STR, strs[i]));
    }
    add_leaf(m, fk_match_str(SX_MATCH_STR, fk_str("nowhere")));
    for (uint32_t k = 0; k <= n; k += 2) {
        add_leaf(m, fk_match_strs(SX_MATCH_ANY_STR, strs, k));
        add_leaf(m, fk_match_strs(SX_MATCH_EXCEPT_STR, strs, k));
    }
    add_leaf(m, fk_match_str(SX_MATCH_PREFIX, fk_str("al")));
    add_leaf(m, fk_match_str(SX_MATCH_PREFIX, fk_str("")));
    add_leaf(m, fk_match_str(SX_MATCH_PREFIX, fk_str("zzz")));
    add_leaf(m, fk_match_str(SX_MATCH_SUBSTRING, fk_str("a")));
    add_leaf(m, fk_match_str(SX_MATCH_SUBSTRING, fk_str("tagamma"))); /* across two values */
    add_leaf(m, fk_match_str(SX_MATCH_SUBSTRING, fk_str("")));
}

static void add_int_leaves(struct model *m)
{
    static const int64_t ints[] = {3, 0, INT64_MAX, -7};
    struct sx_cond c = {.kind = SX_COND_FIELD};

    for (uint32_t i = 0; i < SX_COUNT(ints); i++) {
        c.match.kind = SX_MATCH_INT;
        c.match.i = ints[i];
        add_leaf(m, c);
    }
    c.match.ints = ints;
    for (c.match.n = 0; c.match.n <= 3; c.match.n++) {
        c.match.kind = SX_MATCH_ANY_INT;
        add_leaf(m, c);
        c.match.kind = SX_MATCH_EXCEPT_INT;
        add_leaf(m, c);
    }
}

static void add_text_leaves(struct model *m)
{
    static const char *const texts[] = {"alpha", "Gamma RAY", "ray gamma", "alpha beta", "zz"};

    for (uint32_t i = 0; i < SX_COUNT(texts); i++) {
        add_leaf(m, fk_match_str(SX_MATCH_TEXT, fk_str(texts[i])));
        add_leaf(m, fk_match_str(SX_MATCH_TEXT_ANY, fk_str(texts[i])));
        add_leaf(m, fk_match_str(SX_MATCH_PHRASE, fk_str(texts[i])));
    }
}

static void add_geo_leaves(struct model *m)
{
    static const struct sx_geo_cond shapes[] = {
        {.kinds = SX_GEO_BOX, .top_left = {-50, 60}, .bottom_right = {70, -20}},
        {.kinds = SX_GEO_BOX, .top_left = {150, 60}, .bottom_right = {-150, -20}},
        {.kinds = SX_GEO_RADIUS, .center = {10, 20}, .radius = 5e6}};
    struct sx_cond c = {.kind = SX_COND_FIELD};

    for (uint32_t i = 0; i < SX_COUNT(shapes); i++) {
        c.geo = &shapes[i];
        add_leaf(m, c);
    }
}

static void add_leaves(struct model *m)
{
    struct sx_cond c = {.kind = SX_COND_IS_EMPTY};

    add_leaf(m, c);
    c.kind = SX_COND_IS_NULL;
    add_leaf(m, c);
    c.kind = SX_COND_FIELD;
    for (uint32_t tri = SX_TRI_TRUE; tri <= SX_TRI_FALSE; tri++) {
        c.is_empty = tri;
        add_leaf(m, c);
        c.is_empty = 0;
        c.is_null = tri;
        add_leaf(m, c);
        c.is_null = 0;
    }
    if (m->schema->type == ENG_FIELD_KEYWORD)
        add_string_leaves(m, strings, SX_COUNT(strings));
    if (m->schema->type == ENG_FIELD_UUID)
        add_string_leaves(m, uuids, SX_COUNT(uuids) - (fk_rnd(&m->rnd) % 2));
    if (m->schema->type == ENG_FIELD_INTEGER)
        add_int_leaves(m);
    if (m->schema->type == ENG_FIELD_TEXT)
        add_text_leaves(m);
    if (m->schema->type == ENG_FIELD_GEO)
        add_geo_leaves(m);
    if (m->schema->type == ENG_FIELD_BOOL) {
        c.match.kind = SX_MATCH_BOOL;
        for (c.match.i = 0; c.match.i < 2; c.match.i++)
            add_leaf(m, c);
    } else if (m->schema->type != ENG_FIELD_TEXT && m->schema->type != ENG_FIELD_GEO) {
        add_range(m, -7, 3.5);
        add_range(m, 1e15, 1.8e15);
    }
}

static int see_value(void *arg, const struct sx_value *v)
{
    const struct eng_field_schema *s = arg;
    struct sx_str str;
    struct sx_geo at;
    struct sx_id id;
    double f;
    int64_t i;
    int b;

    switch (s->type) {
    case ENG_FIELD_KEYWORD:
    case ENG_FIELD_TEXT:
        return eng_value_str(v, &str);
    case ENG_FIELD_GEO:
        return eng_geo_value(v, &at) && eng_geo_in_range(at);
    case ENG_FIELD_UUID:
        return eng_value_uuid(v, &id);
    case ENG_FIELD_BOOL:
        return eng_value_bool(v, &b);
    case ENG_FIELD_INTEGER:
        return eng_value_int(v, &i);
    case ENG_FIELD_DATETIME:
        return eng_value_time(v, &i);
    default:
        return eng_value_float(v, &f);
    }
}

static struct model *model_create(const char *path, const char *schema, uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));
    struct eng_match_scratch scratch;

    m->name = schema;
    m->rnd = seed;
    m->schema = fk_schema(path, schema);
    m->schema->id = 7;
    m->row = malloc(MAX_ROWS * sizeof(m->row[0]));
    sx_arena_init(&m->arena, sx_mem_libc(), 0);
    add_leaves(m);
    eng_match_scratch_init(&scratch, sx_mem_libc());
    for (uint32_t d = 0; d < POOL; d++) {
        struct eng_subject subject = {.id = {0, 1, SX_ID_NUM, 0}};

        if (d != 0)
            m->pool[d] = random_doc(m->schema, &m->rnd);
        subject.payload = m->pool[d];
        for (uint32_t l = 0; l < m->n_leaves; l++)
            m->want[l][d] = (uint8_t)eng_leaf_match(m->leaf[l], &subject, &scratch);
        m->has_value[d] = (uint8_t)sx_path_each(&m->schema->path, m->pool[d], see_value, m->schema);
    }
    eng_match_scratch_fini(&scratch);
    m->disk = mem_io_create();
    fk_start(m->disk);
    return m;
}

static void model_destroy(struct model *m)
{
    eng_field_destroy(m->field, 1);
    sx_epoch_drain();
    fk_eng.io->dir_close(fk_conf.dir);
    fk_conf.dir = NULL;
    mem_io_destroy(m->disk);
    for (uint32_t d = 0; d < POOL; d++)
        fk_doc_free(&m->pool[d]);
    eng_field_schema_destroy(&fk_mem, m->schema);
    sx_arena_fini(&m->arena);
    free(m->row);
    free(m);
    fk_stop();
}

/* --- does the index say what the documents say ------------------------------------------- */

static uint32_t chunk_fill(uint32_t n_rows, uint32_t chunk)
{
    uint32_t base = chunk << SX_CHUNK_SHIFT;

    if (n_rows <= base)
        return 0;
    return n_rows - base < SX_CHUNK_ROWS ? n_rows - base : SX_CHUNK_ROWS;
}

static void set_live(struct model *m, uint32_t lo, uint32_t hi, int live)
{
    for (uint32_t r = lo; r < hi; r++) {
        uint64_t *w = &m->live[r >> SX_CHUNK_SHIFT].w[r >> 6 & (ENG_BITS_WORDS - 1)];

        *w = live ? *w | 1ull << (r & 63) : *w & ~(1ull << (r & 63));
    }
}

static void gap_bits(const struct model *m, uint32_t n_rows, uint32_t chunk, struct eng_bits *out)
{
    uint32_t lo, hi, base = chunk << SX_CHUNK_SHIFT;

    for (uint32_t i = 0; eng_field_gap(m->field, fk_rows(n_rows), i, &lo, &hi); i++) {
        lo = lo > base ? lo - base : 0;
        hi = hi > base ? hi - base : 0;
        eng_bits_range(out, lo < SX_CHUNK_ROWS ? lo : SX_CHUNK_ROWS,
                       hi < SX_CHUNK_ROWS ? hi : SX_CHUNK_ROWS);
    }
}

/* is_alone: nothing changes meanwhile, so that "maybe" must come from gaps. */
static void check_mask(struct model *m, uint32_t l, uint32_t chunk, uint32_t fill, int is_alone)
{
    const struct eng_leaf *leaf = m->leaf[l];
    struct eng_bits yes = {{0}}, maybe = {{0}}, gap = {{0}};
    uint32_t base = chunk << SX_CHUNK_SHIFT;

    eng_field_mask(m->field, leaf, chunk, fill, &yes, &maybe);
    if (!eng_field_answers(m->schema, leaf))
        eng_bits_range(&gap, 0, fill);
    else if (is_alone)
        gap_bits(m, base + fill, chunk, &gap);
    else
        eng_bits_range(&gap, 0, fill);
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        uint64_t in = w * 64 >= fill ? 0 : fill - w * 64 >= 64 ? ~0ull : (1ull << fill % 64) - 1;
        uint64_t y = yes.w[w], k = maybe.w[w];

        if (m->schema->type == ENG_FIELD_TEXT) /* some texts are only narrowed down */
            gap.w[w] = ~0ull;
        if (((y | k) & ~in) != 0 || (y & k) != 0 || (k & ~gap.w[w] & m->live[chunk].w[w]) != 0)
            fail_msg("%s: leaf %u, rows from %u: yes %llx maybe %llx, fill %u", m->name, l,
                     base + w * 64, (unsigned long long)y, (unsigned long long)k, fill);
        for (uint64_t x = m->live[chunk].w[w] & in & ~k; x != 0; x &= x - 1) {
            uint32_t row = base + w * 64 + (uint32_t)__builtin_ctzll(x);

            if ((y >> (row & 63) & 1) != m->want[l][m->row[row]])
                fail_msg("%s: leaf %u (kind %u), row %u, document %u: the index says the opposite",
                         m->name, l, leaf->kind, row, m->row[row]);
        }
    }
}

static void random_bits(struct model *m, uint32_t chunk, uint32_t fill, struct eng_bits *out)
{
    uint32_t sparse = below(m, 5);

    *out = m->live[chunk];
    eng_bits_clip(out, 0, fill);
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        for (uint32_t i = 0; i < sparse && out->w[w] != 0; i++)
            out->w[w] &= fk_rnd(&m->rnd);
    }
}

static void check_points(struct model *m, uint32_t chunk, uint32_t fill)
{
    struct eng_bits bits, rest = {{0}};
    uint32_t n = 0, got, base = chunk << SX_CHUNK_SHIFT;

    random_bits(m, chunk, fill, &bits);
    got = eng_field_points(m->field, chunk, fill, &bits, &rest);
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        for (uint64_t x = bits.w[w] & ~rest.w[w]; x != 0; x &= x - 1)
            n += m->has_value[m->row[base + w * 64 + (uint32_t)__builtin_ctzll(x)]];
    }
    assert_int_equal(got, n);
}

static void
facet_docs(const struct model *m, struct eng_facet *k, uint32_t base, const struct eng_bits *bits)
{
    for (uint32_t w = 0; w < ENG_BITS_WORDS; w++) {
        for (uint64_t x = bits->w[w]; x != 0; x &= x - 1) {
            uint32_t row = base + w * 64 + (uint32_t)__builtin_ctzll(x);

            if (eng_facet_doc(k, m->pool[m->row[row]]) != 0)
                fail_msg("facet of row %u: memory", row);
        }
    }
}

/* Counting along the index and counting every document give the same list. */
static void check_facet(struct model *m, uint32_t n_rows)
{
    struct sx_arena arena;
    struct eng_facet *a, *b;
    const struct sx_facet_hit *x, *y;
    uint32_t nx, ny, limit = below(m, 2) ? 1000 : below(m, 4);

    sx_arena_init(&arena, sx_mem_libc(), 0);
    a = eng_facet_create(m->schema, &fk_mem, &arena);
    b = eng_facet_create(m->schema, &fk_mem, &arena);
    for (uint32_t c = 0; c < CHUNKS; c++) {
        uint32_t fill = chunk_fill(n_rows, c), base = c << SX_CHUNK_SHIFT;
        struct eng_bits bits, rest = {{0}};

        random_bits(m, c, fill, &bits);
        assert_int_equal(eng_facet_chunk(a, m->field, c, fill, &bits, &rest), 0);
        facet_docs(m, a, base, &rest);
        facet_docs(m, b, base, &bits);
    }
    assert_int_equal(eng_facet_top(a, limit, &x, &nx), 0);
    assert_int_equal(eng_facet_top(b, limit, &y, &ny), 0);
    assert_int_equal(nx, ny);
    for (uint32_t i = 0; i < nx; i++) {
        assert_int_equal(x[i].kind, y[i].kind);
        assert_int_equal(x[i].count, y[i].count);
        assert_int_equal(x[i].i, y[i].i);
        assert_int_equal(sx_id_cmp(&x[i].uuid, &y[i].uuid), 0);
        assert_int_equal(x[i].str.n, y[i].str.n);
        if (x[i].str.n != 0)
            assert_memory_equal(x[i].str.p, y[i].str.p, x[i].str.n);
        if (i != 0)
            assert_true(x[i].count <= x[i - 1].count);
    }
    eng_facet_destroy(a);
    eng_facet_destroy(b);
    sx_arena_fini(&arena);
}

static int has_facets(const struct eng_field_schema *s)
{
    return eng_part_ops_of(s->type)->facet != NULL;
}

static int has_order(const struct eng_field_schema *s)
{
    return eng_part_ops_of(s->type)->order != NULL;
}

static int order_is_float, order_is_desc;

static int by_order(const void *a, const void *b)
{
    const struct eng_order_entry *x = a, *y = b;
    int c = order_is_float ? (x->f > y->f) - (x->f < y->f) : (x->i > y->i) - (x->i < y->i);

    if (order_is_desc)
        c = -c;
    return c != 0 ? c : (x->row > y->row) - (x->row < y->row);
}

static struct sx_order_by random_order(struct model *m)
{
    struct sx_order_by by = {.key = m->schema->path, .is_desc = below(m, 2)};

    by.start = below(m, 4);
    by.i = (int64_t[]){0, 3, INT64_MAX, INT64_MIN}[below(m, 4)];
    by.f = (double[]){-0.0, 3.5, 9223372036854775808.0, -1e300}[below(m, 4)];
    by.t = (struct sx_instant){below(m, 2) ? 1709164800 : -1, below(m, 2) ? 999999999 : 0, 0};
    return by;
}

static void check_order(struct model *m, uint32_t n_rows)
{
    struct sx_order_by by = random_order(m);
    struct eng_order_entry *all = malloc((4ull * n_rows + 8) * sizeof(*all)), e;
    struct eng_bits gap[CHUNKS];
    struct eng_order *o;
    struct sx_arena arena;
    uint32_t n = 0, fill[CHUNKS];

    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t c = 0; c < CHUNKS; c++) {
        fill[c] = chunk_fill(n_rows, c);
        memset(&gap[c], 0, sizeof(gap[c]));
        gap_bits(m, n_rows, c, &gap[c]);
    }
    assert_int_equal(eng_order_create(m->field, &by, fill, CHUNKS, &arena, &o), 0);
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t k;

        if (m->row[r] == NO_ROW || eng_bits_get(&gap[r >> SX_CHUNK_SHIFT], r & 0xffff))
            continue;
        k = eng_order_doc(m->schema, &by, m->pool[m->row[r]], all + n, 4);
        for (uint32_t i = 0; i < k; i++)
            all[n + i].row = r;
        n += k;
    }
    order_is_float = m->schema->type == ENG_FIELD_FLOAT;
    order_is_desc = (int)by.is_desc;
    qsort(all, n, sizeof(*all), by_order);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(eng_order_next(o, &e), 1);
        if (e.row != all[i].row || by_order(&e, &all[i]) != 0)
            fail_msg("%s: entry %u is row %u, not %u", m->name, i, e.row, all[i].row);
    }
    assert_int_equal(eng_order_next(o, &e), 0);
    free(all);
    sx_arena_fini(&arena);
}

static void check_all(struct model *m, uint32_t n_leaves)
{
    uint32_t end = m->end;

    sx_epoch_enter();
    for (uint32_t i = 0; i < n_leaves; i++) {
        uint32_t n_rows = below(m, 3) || end == 0 ? end : below(m, end);
        uint32_t chunk = end != 0 ? below(m, ((end - 1) >> SX_CHUNK_SHIFT) + 1) : 0;

        check_mask(m, below(m, m->n_leaves), chunk, chunk_fill(n_rows, chunk), 1);
        check_points(m, chunk, chunk_fill(n_rows, chunk));
    }
    if (has_facets(m->schema))
        check_facet(m, below(m, 3) || end == 0 ? end : below(m, end));
    if (has_order(m->schema))
        check_order(m, below(m, 3) || end == 0 ? end : below(m, end));
    sx_epoch_leave();
}

/* --- what happens to an index ------------------------------------------------------------ */

static void new_rows(struct model *m, int may_fail)
{
    struct sx_doc docs[400];
    uint32_t n = below(m, 8) ? 1 + below(m, 30) : 1 + below(m, 400), base = m->end, gone = 0;
    struct sx_err err = SX_ERR_INIT;
    int rc;

    if (below(m, 6) == 0) /* rows that died before they were born */
        base += below(m, 5);
    if (below(m, 12) == 0) /* ... up to the end of the chunk */
        base = (base | 0xffff) - below(m, 40);
    if (base < m->end)
        base = m->end;
    if (base + n > MAX_ROWS)
        return;
    gone = base - m->end;
    set_live(m, m->end, base + n, 0);
    set_live(m, base, base + n, 1);
    for (uint32_t i = 0; i < gone; i++)
        m->row[m->end + i] = NO_ROW;
    for (uint32_t i = 0; i < n; i++) {
        m->row[base + i] = (uint16_t)(below(m, 9) ? below(m, POOL) : 0);
        docs[i] = m->pool[m->row[base + i]];
    }
    if (may_fail && below(m, 5) == 0)
        fk_memory_left = below(m, 6);
    rc = eng_field_stage(m->field, base, n, docs, &err);
    if (rc == 0)
        assert_true(fk_memory_left == -1 || !fk_was_short);
    else
        assert_true(rc == SX_ENOMEM && fk_was_short);
    fk_memory_left = -1;
    fk_was_short = 0;
    if (rc != 0)
        return;
    if (below(m, 6) == 0) {
        eng_field_abort(m->field);
        return;
    }
    eng_field_commit(m->field);
    m->end = base + n;
}

static int build_rows(struct model *m, struct eng_field_job *job, struct sx_err *err)
{
    int rc = 0;

    for (uint32_t r = job->lo; r < job->hi && rc == 0; r++) {
        if (m->row[r] != NO_ROW)
            rc = eng_field_build_add(job, r, m->pool[m->row[r]], err);
    }
    return rc;
}

/* One job, with what may go wrong. 0 when there was none. */
static int work(struct model *m, int may_fail)
{
    struct sx_err err = SX_ERR_INIT;
    struct eng_field_job job;
    int rc = 0;

    if (!eng_field_next(m->field, fk_rows(m->end), &job))
        return 0;
    assert_true(job.lo < job.hi);
    if (job.kind != ENG_FIELD_SAVE)
        assert_int_equal(job.lo >> SX_CHUNK_SHIFT, (job.hi - 1) >> SX_CHUNK_SHIFT);
    if (may_fail && below(m, 6) == 0)
        fk_memory_left = below(m, 12);
    if (may_fail && below(m, 6) == 0)
        mem_io_fail(m->disk, 1 + below(m, 12), SX_ENOSPACE, MEM_IO_SHORT);
    if (job.kind == ENG_FIELD_BUILD)
        rc = build_rows(m, &job, &err);
    if (rc == 0 && !(may_fail && below(m, 10) == 0))
        rc = eng_field_run(&job, &err);
    else if (rc == 0)
        rc = SX_ECANCELED;
    fk_memory_left = -1;
    fk_was_short = 0;
    mem_io_fail(m->disk, 0, 0, 0);
    eng_field_done(&job, rc);
    return 1;
}

static int flip_one(void *arg, const char *name, uint32_t is_dir SX_UNUSED)
{
    struct model *m = arg;
    struct sx_file *file;
    int64_t n;
    uint8_t byte;

    if (below(m, 3) != 0)
        return 0;
    assert_int_equal(fk_eng.io->open(fk_conf.dir, name, SX_IO_WRITE, &file, NULL), 0);
    n = fk_eng.io->length(file, NULL);
    if (n != 0) {
        uint64_t at = below(m, 3) ? below(m, (uint32_t)n) : below(m, n < 200 ? (uint32_t)n : 200);

        assert_int_equal(fk_eng.io->pread(file, &byte, 1, at, NULL), 1);
        byte ^= (uint8_t)(1u << below(m, 8));
        assert_int_equal(fk_eng.io->pwrite(file, &byte, 1, at, NULL), 0);
        if (below(m, 4) == 0)
            assert_int_equal(fk_eng.io->truncate(file, at, NULL), 0);
    }
    fk_eng.io->close(file);
    return 0;
}

/* Stop, or a power cut, then open at what a manifest would count; rows beyond come anew. */
static void reopen(struct model *m, int damage)
{
    struct sx_err err = SX_ERR_INIT;
    uint32_t n_rows = below(m, 3) ? m->end : m->synced;

    eng_field_destroy(m->field, 0);
    sx_epoch_drain();
    if (below(m, 2)) {
        struct mem_io *disk = mem_io_cut(m->disk, fk_rnd(&m->rnd) % 50);

        fk_eng.io->dir_close(fk_conf.dir);
        mem_io_destroy(m->disk);
        m->disk = disk;
        fk_start(disk);
    }
    if (damage)
        (void)fk_eng.io->dir_list(fk_conf.dir, flip_one, m, NULL);
    if (eng_field_open(&fk_conf, m->schema, fk_rows(n_rows), n_rows, &m->field, &err) != 0)
        fail_msg("open: %s", err.msg);
    m->end = m->synced = n_rows;
}

static void random_life(const char *path, const char *schema, uint64_t seed)
{
    struct model *m = model_create(path, schema, seed);
    struct sx_err err = SX_ERR_INIT;
    uint32_t first = below(m, 3) ? 0 : below(m, 500);

    for (uint32_t r = 0; r < first; r++)
        m->row[r] = (uint16_t)below(m, POOL);
    set_live(m, 0, first, 1);
    m->end = m->synced = first;
    assert_int_equal(eng_field_create(&fk_conf, m->schema, first, &m->field, &err), 0);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t what = below(m, 20);

        if (what < 11)
            new_rows(m, 1);
        else if (what < 17)
            (void)work(m, 1);
        else if (what == 17)
            m->synced = m->end;
        else if (what == 18)
            reopen(m, below(m, 3) == 0);
        if (below(m, 4) == 0)
            check_all(m, 3);
    }
    /* Left in peace it becomes whole. */
    for (uint32_t i = 0; i < 5000 && (work(m, 0) || i < 2000); i++)
        ;
    assert_int_equal(eng_field_covered(m->field, fk_rows(m->end)), m->end);
    check_all(m, m->n_leaves);
    reopen(m, 0);
    check_all(m, m->n_leaves);
    model_destroy(m);
}

static const struct {
    const char *path, *schema;
} kinds[] = {
    {"k", "{\"type\":\"keyword\"}"},
    {"a.b", "{\"type\":\"keyword\",\"prefix\":true}"},
    {"o[].p", "{\"type\":\"keyword\"}"},
    {"o[].p", "{\"type\":\"keyword\",\"nested\":\"o\"}"},
    {"k", "{\"type\":\"uuid\"}"},
    {"o[].p", "{\"type\":\"uuid\",\"nested\":\"o[]\"}"},
    {"k", "{\"type\":\"bool\"}"},
    {"o[].p", "{\"type\":\"bool\",\"nested\":\"o\"}"},
    {"k", "{\"type\":\"integer\"}"},
    {"a.b", "{\"type\":\"float\"}"},
    {"k", "{\"type\":\"datetime\"}"},
    {"k", "{\"type\":\"geo\"}"},
    {"k", "{\"type\":\"text\",\"phrase_matching\":true}"},
    {"o[].p", "{\"type\":\"text\",\"nested\":\"o\",\"scoring\":true}"},
};

static uint64_t seed_now(void)
{
    const char *text = getenv("SX_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);

    print_message("seed %llu (SX_TEST_SEED)\n", (unsigned long long)seed);
    return seed;
}

static void test_random_life(void **state SX_UNUSED)
{
    uint64_t seed = seed_now();

    for (uint32_t i = 0; i < SX_COUNT(kinds); i++) {
        for (uint32_t k = 0; k < 2; k++)
            random_life(kinds[i].path, kinds[i].schema, seed + 1000 * i + k);
    }
}

/* --- readers beside a writer ------------------------------------------------------------- */

struct reader {
    struct model *m;
    struct model mine; /* random numbers and live rows of its own; the rest is shared */
    pthread_t thread;
    _Atomic int *stop;
    uint64_t rounds;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct model *mine = &r->mine;

    while (!atomic_load(r->stop) || r->rounds < 20) {
        uint32_t end, chunk;

        sx_epoch_enter();
        end = atomic_load_explicit(&r->m->end, memory_order_acquire);
        for (; mine->synced < end; mine->synced++)
            set_live(mine, mine->synced, mine->synced + 1, mine->row[mine->synced] != NO_ROW);
        chunk = end != 0 ? below(mine, ((end - 1) >> SX_CHUNK_SHIFT) + 1) : 0;
        check_mask(mine, below(mine, mine->n_leaves), chunk, chunk_fill(end, chunk), 0);
        if (r->rounds % 4 == 0 && has_facets(mine->schema))
            check_facet(mine, end);
        if (r->rounds % 4 == 1) {
            struct eng_estimate e;

            (void)eng_field_estimate(mine->field, mine->leaf[below(mine, mine->n_leaves)], end, &e);
        }
        sx_epoch_leave();
        r->rounds++;
    }
    return NULL;
}

static void beside(const char *path, const char *schema, uint64_t seed)
{
    struct model *m = model_create(path, schema, seed);
    struct sx_err err = SX_ERR_INIT;
    static struct reader r[2];
    _Atomic int stop = 0;

    for (uint32_t i = 0; i < 300; i++)
        m->row[i] = (uint16_t)below(m, POOL);
    set_live(m, 0, 300, 1);
    m->end = 300;
    assert_int_equal(eng_field_create(&fk_conf, m->schema, 300, &m->field, &err), 0);
    for (int i = 0; i < 2; i++) {
        r[i].m = m;
        r[i].stop = &stop;
        r[i].rounds = 0;
        memcpy(&r[i].mine, m, sizeof(*m));
        r[i].mine.rnd = seed + 77 + (uint64_t)i;
        r[i].mine.synced = 300;
        assert_int_equal(pthread_create(&r[i].thread, NULL, read_on, &r[i]), 0);
    }
    for (uint32_t i = 0; i < 120; i++) {
        if (below(m, 3))
            new_rows(m, 0);
        else
            (void)work(m, 0);
        sx_epoch_poll();
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i].thread, NULL);
    model_destroy(m);
}

static void test_beside_readers(void **state SX_UNUSED)
{
    uint64_t seed = seed_now();

    for (uint32_t i = 0; i < SX_COUNT(kinds); i++) {
        if (strstr(kinds[i].schema, "nested") == NULL)
            beside(kinds[i].path, kinds[i].schema, seed + i);
    }
}

/* --- single facts ------------------------------------------------------------------------ */

/* The table of nested indexes: 12 payloads, three ways to be empty. */
static void test_nested_table(void **state SX_UNUSED)
{
    static const char *const docs[] = {NULL,
                                       "{\"o\":[{\"p\":\"10\"},{\"p\":\"20\"}]}",
                                       "{\"o\":[{\"p\":\"10\"}]}",
                                       "{\"o\":[]}",
                                       "{}",
                                       "{\"o\":null}",
                                       "{\"o\":[{\"c\":1}]}",
                                       "{\"o\":{\"p\":\"10\"}}",
                                       "{\"o\":[{\"p\":[\"10\",\"20\"]}]}",
                                       "{\"o\":[5,\"x\",{\"p\":\"10\"}]}",
                                       "{\"o\":[{\"p\":null},{\"p\":\"20\"}]}",
                                       "{\"o\":[[{\"p\":\"10\"}]]}",
                                       "{\"o\":[{\"p\":[]},{\"p\":\"20\"}]}"};
    static const struct {
        int nested;
        uint32_t kind, is_empty, is_null;
        uint32_t want; /* bits of the ids */
    } rows[] = {
        {0, SX_COND_IS_EMPTY, 0, 0, 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 11},
        {0, SX_COND_FIELD, 1, 0, 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 11},
        {0, SX_COND_FIELD, 2, 0, 1u << 1 | 1u << 2 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 12},
        {0, SX_COND_IS_NULL, 0, 0, 1u << 10},
        {1, SX_COND_IS_EMPTY, 0, 0, 1u << 6 | 1u << 10 | 1u << 12},
        {1, SX_COND_FIELD, 1, 0, 1u << 6 | 1u << 10 | 1u << 12},
        {1, SX_COND_FIELD, 2, 0, 1u << 1 | 1u << 2 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 12},
        {1, SX_COND_IS_NULL, 0, 0, 1u << 10},
    };
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    fk_start(NULL);
    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        struct eng_field_schema *s =
            fk_schema("o[].p", rows[i].nested ? "{\"type\":\"keyword\",\"nested\":\"o\"}"
                                              : "{\"type\":\"keyword\"}");
        struct sx_cond c = {
            .kind = rows[i].kind, .is_empty = rows[i].is_empty, .is_null = rows[i].is_null};
        struct eng_bits yes = {{0}}, maybe = {{0}};
        struct eng_field *f;

        assert_int_equal(eng_field_create(&fk_conf, s, 1, &f, NULL), 0);
        for (uint32_t d = 1; d <= 12; d++) {
            struct sx_doc doc = fk_doc(docs[d]);

            assert_int_equal(eng_field_stage(f, d, 1, &doc, NULL), 0);
            eng_field_commit(f);
            fk_doc_free(&doc);
        }
        eng_field_mask(f, fk_leaf(s, c, &arena), 0, 13, &yes, &maybe);
        assert_int_equal(yes.w[0], rows[i].want);
        assert_int_equal(maybe.w[0], 1); /* row 0 lies below the index */
        eng_field_destroy(f, 0);
        eng_field_schema_destroy(&fk_mem, s);
    }
    sx_arena_fini(&arena);
    fk_stop();
}

static struct sx_doc long_string(uint32_t i, uint32_t n)
{
    struct sx_docb b;
    struct sx_doc d;
    char *text = malloc(n), *p;

    memset(text, 'x', n);
    (void)snprintf(text, 16, "%u", i);
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "k");
    sx_docb_str(&b, text, n);
    sx_docb_close(&b);
    d = sx_docb_end(&b);
    p = malloc(d.n);
    memcpy(p, d.p, d.n);
    d.p = (uint8_t *)p;
    sx_docb_fini(&b);
    free(text);
    return d;
}

/* Long values end a part before its chunk is full; so do those of a build. */
static void test_ends_early(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct mem_io *disk = mem_io_create();
    struct eng_field_job job;
    struct eng_field *f;
    struct sx_doc docs[80];
    struct sx_arena arena;
    uint32_t seals = 0;

    fk_start(disk);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < SX_COUNT(docs); i++)
        docs[i] = long_string(i, 1u << 20);
    assert_int_equal(eng_field_create(&fk_conf, s, 40, &f, NULL), 0);
    assert_int_equal(eng_field_stage(f, 40, 40, docs + 40, NULL), 0);
    eng_field_commit(f);
    while (eng_field_next(f, fk_rows(80), &job)) {
        seals += job.kind == ENG_FIELD_SEAL;
        for (uint32_t r = job.lo; job.kind == ENG_FIELD_BUILD && r < job.hi; r++)
            assert_int_equal(eng_field_build_add(&job, r, docs[r], NULL), 0);
        assert_int_equal(eng_field_run(&job, NULL), 0);
        eng_field_done(&job, 0);
    }
    assert_int_equal(seals, 1);
    assert_int_equal(eng_field_covered(f, fk_rows(80)), 80);
    for (uint32_t i = 0; i < SX_COUNT(docs); i++) {
        struct sx_cond c = fk_match_str(SX_MATCH_STR, sx_doc_str(sx_doc_get(docs[i], "k")));
        struct eng_bits yes = {{0}}, maybe = {{0}};

        eng_field_mask(f, fk_leaf(s, c, &arena), 0, 80, &yes, &maybe);
        assert_int_equal(eng_bits_count(&yes, 0, 65536), 1);
        assert_true(eng_bits_get(&yes, i));
        assert_int_equal(eng_bits_count(&maybe, 0, 65536), 0);
        sx_arena_reset(&arena);
    }
    eng_field_destroy(f, 1);
    for (uint32_t i = 0; i < SX_COUNT(docs); i++)
        fk_doc_free(&docs[i]);
    eng_field_schema_destroy(&fk_mem, s);
    sx_arena_fini(&arena);
    fk_stop();
    mem_io_destroy(disk);
}

/* Files of others, cut files, leftovers of saves: removed or left alone, never believed. */
static int count_file(void *arg, const char *name, uint32_t is_dir SX_UNUSED)
{
    uint32_t *n = arg;

    n[0]++;
    n[1] += strncmp(name, "7-", 2) == 0;
    return 0;
}

static void put_file(const char *name, const void *p, uint64_t n)
{
    struct sx_file *file;

    assert_int_equal(fk_eng.io->open(fk_conf.dir, name, SX_IO_CREATE, &file, NULL), 0);
    assert_int_equal(fk_eng.io->pwrite(file, p, n, 0, NULL), 0);
    fk_eng.io->close(file);
}

static void test_strange_files(void **state SX_UNUSED)
{
    static const char *const strange[] = {"7-0-0.part.new", "7-0-5.part", "7-65535-65535.part"};
    static const char *const left_alone[] = {"70-0-0.part",    "7-00-0.part",    "7-0-65536.part",
                                             "7-65536-0.part", "7-0-0.part.old", "x"};
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"bool\"}");
    struct mem_io *disk = mem_io_create();
    uint32_t n[2] = {0, 0};
    struct eng_field *f;
    char junk[300];

    fk_start(disk);
    memset(junk, 0x5a, sizeof(junk));
    s->id = 7;
    for (uint32_t i = 0; i < SX_COUNT(strange); i++)
        put_file(strange[i], junk, i * 100);
    for (uint32_t i = 0; i < SX_COUNT(left_alone); i++)
        put_file(left_alone[i], junk, 10);
    assert_int_equal(eng_field_open(&fk_conf, s, fk_rows(100), 100, &f, NULL), 0);
    (void)fk_eng.io->dir_list(fk_conf.dir, count_file, n, NULL);
    assert_int_equal(n[0], SX_COUNT(left_alone));
    assert_int_equal(eng_field_covered(f, fk_rows(100)), 0);
    eng_field_destroy(f, 1);
    /* A number that is given again finds nothing of who had it before, whatever it looks like. */
    for (uint32_t i = 0; i < SX_COUNT(strange); i++)
        put_file(strange[i], junk, i * 100);
    assert_int_equal(eng_field_create(&fk_conf, s, 100, &f, NULL), 0);
    memset(n, 0, sizeof(n));
    (void)fk_eng.io->dir_list(fk_conf.dir, count_file, n, NULL);
    assert_int_equal(n[0], SX_COUNT(left_alone));
    eng_field_destroy(f, 1);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

/* --- chunks that are used again ----------------------------------------------------------- */

static void stage_same(struct eng_field *f, uint32_t base, uint32_t n, struct sx_doc doc)
{
    struct sx_doc docs[4096];

    for (uint32_t i = 0; i < SX_COUNT(docs); i++)
        docs[i] = doc;
    for (uint32_t at = 0, run; at < n; at += run) {
        run = n - at < SX_COUNT(docs) ? n - at : (uint32_t)SX_COUNT(docs);
        assert_int_equal(eng_field_stage(f, base + at, run, docs, NULL), 0);
    }
}

static void run_all(struct eng_field *f, struct eng_fills rows)
{
    struct eng_field_job job;

    while (eng_field_next(f, rows, &job)) {
        assert_int_not_equal(job.kind, ENG_FIELD_BUILD); /* there are no gaps */
        assert_int_equal(eng_field_run(&job, NULL), 0);
        eng_field_done(&job, 0);
    }
}

static int file_of_chunk(void *arg, const char *name, uint32_t is_dir SX_UNUSED)
{
    struct found {
        const char *prefix;
        uint32_t n;
    } *k = arg;

    k->n += strncmp(name, k->prefix, strlen(k->prefix)) == 0;
    return 0;
}

static uint32_t files_of(const char *prefix)
{
    struct {
        const char *prefix;
        uint32_t n;
    } k = {prefix, 0};

    (void)fk_eng.io->dir_list(fk_conf.dir, file_of_chunk, &k, NULL);
    return k.n;
}

/* yes, all that is not certain, of one word in one chunk. */
static void check_word(struct eng_field *f,
                       const struct eng_field_schema *s,
                       const char *word,
                       uint32_t chunk,
                       uint32_t fill,
                       uint32_t n_yes,
                       uint32_t n_maybe)
{
    struct eng_bits yes = {{0}}, maybe = {{0}};
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_epoch_enter();
    eng_field_mask(f, fk_leaf(s, fk_match_str(SX_MATCH_STR, fk_str(word)), &arena), chunk, fill,
                   &yes, &maybe);
    sx_epoch_leave();
    assert_int_equal(eng_bits_count(&yes, 0, SX_CHUNK_ROWS), n_yes);
    assert_int_equal(eng_bits_count(&maybe, 0, SX_CHUNK_ROWS), n_maybe);
    sx_arena_fini(&arena);
}

static void test_used_again(void **state SX_UNUSED)
{
    struct eng_field_schema *s = fk_schema("k", "{\"type\":\"keyword\"}");
    struct sx_doc a = fk_doc("{\"k\":\"a\"}"), b = fk_doc("{\"k\":\"b\"}");
    const uint32_t full = SX_CHUNK_ROWS;
    uint32_t fill[3] = {full, full, full - 10};
    struct eng_fills rows = {fill, 3, 0};
    struct mem_io *disk = mem_io_create();
    struct eng_field_job job;
    struct eng_field *f;

    fk_start(disk);
    s->id = 7;
    assert_int_equal(eng_field_create(&fk_conf, s, 0, &f, NULL), 0);
    stage_same(f, 0, 3 * full - 10, a);
    eng_field_commit(f);
    run_all(f, rows);
    assert_int_equal(files_of("7-0-"), 1);
    assert_int_equal(files_of("7-1-"), 1);
    check_word(f, s, "a", 0, full, full, 0);

    /* Without its parts a chunk is asked for its documents; without its rows it is no gap. */
    assert_int_equal(eng_field_forget(f, 0, NULL), 0);
    assert_int_equal(files_of("7-0-"), 0);
    check_word(f, s, "a", 0, full, 0, full);
    fill[0] = 0;
    run_all(f, rows);
    assert_int_equal(eng_field_covered(f, rows), 2 * full - 10);
    assert_int_equal(eng_field_forget(f, 0, NULL), 0);

    /* One operation fills chunk 2 and goes on in chunk 0; first it is taken back. */
    for (uint32_t i = 0; i < 2; i++) {
        stage_same(f, 3 * full - 10, 10, b);
        stage_same(f, 0, 30, b);
        if (i == 0)
            eng_field_abort(f);
        else
            eng_field_commit(f);
        check_word(f, s, "b", 2, full - 10, 0, 0);
    }
    fill[2] = full;
    fill[0] = 30;
    check_word(f, s, "b", 2, full, 10, 0);
    check_word(f, s, "b", 0, 30, 30, 0);
    check_word(f, s, "b", 0, 20, 20, 0);
    check_word(f, s, "a", 0, 30, 0, 0);
    check_word(f, s, "a", 1, full, full, 0);

    /* While a job is about a chunk that one stays. */
    assert_int_equal(eng_field_next(f, rows, &job), 1);
    assert_int_equal(job.lo, 2 * full);
    assert_int_equal(eng_field_forget(f, 2, NULL), SX_EPRECOND);
    assert_int_equal(eng_field_forget(f, 1, NULL), 0);
    assert_int_equal(eng_field_run(&job, NULL), 0);
    eng_field_done(&job, 0);
    fill[1] = 0;
    run_all(f, rows);
    check_word(f, s, "b", 2, full, 10, 0);

    /* A chunk is whole again, with other rows. */
    stage_same(f, 30, full - 30, a);
    eng_field_commit(f);
    fill[0] = full;
    stage_same(f, full, 5, b);
    eng_field_commit(f);
    fill[1] = 5;
    run_all(f, rows);
    assert_int_equal(files_of("7-0-"), 1);
    check_word(f, s, "b", 0, full, 30, 0);
    check_word(f, s, "b", 1, 5, 5, 0);

    /* At open what lies in chunks that are absent, or not so full, is removed. */
    eng_field_destroy(f, 0);
    sx_epoch_drain();
    fill[0] = full - 1;
    fill[2] = 0;
    assert_int_equal(eng_field_open(&fk_conf, s, rows, full - 1, &f, NULL), 0);
    assert_int_equal(files_of("7-"), 0);
    check_word(f, s, "b", 0, full - 1, 0, full - 1);
    eng_field_destroy(f, 1);
    fk_doc_free(&a);
    fk_doc_free(&b);
    eng_field_schema_destroy(&fk_mem, s);
    fk_stop();
    mem_io_destroy(disk);
}

/* --- schemas ----------------------------------------------------------------------------- */

static void test_schema_nested(void **state SX_UNUSED)
{
    static const struct {
        const char *field, *nested, *want; /* want: normal form, or the error */
    } rows[] = {
        {"o[].p", "o", "o[]"},
        {"o[].p", "o[]", "o[]"},
        {"o[].p.q", "o", "o[]"},
        {"x.o[].p", "x.o", "x.o[]"},
        {"a[].b[].c", "a", "a[]"},
        {"o[].p", "x",
         "Validation failed: field `o[].p` must be inside the elements of nested "
         "`x[]`, like `x[].price`"},
        {"o.p", "o",
         "Validation failed: field `o.p` must be inside the elements of nested `o[]`, "
         "like `o[].price`"},
        {"p", "o",
         "Validation failed: field `p` must be inside the elements of nested `o[]`, like "
         "`o[].price`"},
        {"o[]", "o",
         "Validation failed: field `o[]` must be inside the elements of nested `o[]`, "
         "like `o[].price`"},
        {"o[0].p", "o",
         "Validation failed: field `o[0].p` must be inside the elements of nested "
         "`o[]`, like `o[].price`"},
        {"o[][].p", "o",
         "Validation failed: field `o[][].p` must be inside the elements of nested "
         "`o[]`, like `o[].price`"},
        {"a[].b[].c", "a[].b",
         "Validation failed: nested `a[].b[]` must point to a single array "
         "level, like `offers` or `offers[]`"},
        {"o[].p", "o[0]",
         "Validation failed: nested `o[0][]` must point to a single array level, "
         "like `offers` or `offers[]`"},
        {"o[].p", "o[][]",
         "Validation failed: nested `o[][]` must point to a single array level, "
         "like `offers` or `offers[]`"},
        {"o[].p", "o[].p",
         "Validation failed: nested `o[].p[]` must point to a single array "
         "level, like `offers` or `offers[]`"},
        {"o[].p", "", "Invalid json path: ''"},
        {"o[].p", "o[", "Invalid json path: 'o['"},
    };

    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        static const char *const types[] = {"keyword", "integer",  "float", "bool",
                                            "geo",     "datetime", "text",  "uuid"};
        struct sx_err err = SX_ERR_INIT;
        struct eng_field_schema *s;
        char json[128];
        int rc;

        (void)snprintf(json, sizeof(json), "{\"type\":\"%s\",\"nested\":\"%s\"}",
                       types[i % SX_COUNT(types)], rows[i].nested);
        rc = fk_schema_try(rows[i].field, json, 0, &s, &err);
        if (rc != 0) {
            assert_int_equal(rc, SX_EINPUT);
            assert_string_equal(err.msg, rows[i].want);
            continue;
        }
        assert_int_equal(sx_doc_str(sx_doc_get(s->params, "nested")).n, strlen(rows[i].want));
        assert_memory_equal(sx_doc_str(sx_doc_get(s->params, "nested")).p, rows[i].want,
                            strlen(rows[i].want));
        assert_int_equal(s->path.steps[s->nested_steps - 1].kind, SX_STEP_ALL);
        eng_field_schema_destroy(&fk_mem, s);
    }
    assert_int_equal(fk_live, 0);
}

static void test_schema_flags(void **state SX_UNUSED)
{
    static const struct {
        const char *json;
        uint32_t type, flags;
    } rows[] = {
        {"{\"type\":\"integer\"}", ENG_FIELD_INTEGER, ENG_FIELD_LOOKUP | ENG_FIELD_RANGE},
        {"{\"type\":\"integer\",\"lookup\":false,\"range\":null}", ENG_FIELD_INTEGER,
         ENG_FIELD_RANGE},
        {"{\"type\":\"integer\",\"range\":false,\"is_principal\":true}", ENG_FIELD_INTEGER,
         ENG_FIELD_LOOKUP | ENG_FIELD_PRINCIPAL},
        {"{\"type\":\"float\"}", ENG_FIELD_FLOAT, ENG_FIELD_RANGE},
        {"{\"type\":\"datetime\",\"memory\":\"cached\",\"on_disk\":true}", ENG_FIELD_DATETIME,
         ENG_FIELD_RANGE | ENG_FIELD_CACHED},
        {"{\"type\":\"keyword\",\"prefix\":true,\"is_tenant\":true,\"on_disk\":true}",
         ENG_FIELD_KEYWORD, ENG_FIELD_PREFIX | ENG_FIELD_TENANT | ENG_FIELD_COLD},
        {"{\"type\":\"keyword\",\"memory\":\"pinned\",\"on_disk\":true}", ENG_FIELD_KEYWORD, 0},
        {"{\"type\":\"text\",\"phrase_matching\":true,\"scoring\":true,\"memory\":\"cold\"}",
         ENG_FIELD_TEXT, ENG_FIELD_PHRASE | ENG_FIELD_SCORING | ENG_FIELD_COLD},
        {"{\"type\":\"text\",\"scoring\":false}", ENG_FIELD_TEXT, 0},
        {"{\"type\":\"bool\"}", ENG_FIELD_BOOL, 0},
        {"{\"type\":\"geo\"}", ENG_FIELD_GEO, 0},
        {"{\"type\":\"uuid\"}", ENG_FIELD_UUID, 0},
    };
    struct eng_field_schema *s;

    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        s = fk_schema("k", rows[i].json);
        assert_int_equal(s->type, rows[i].type);
        assert_int_equal(s->flags, rows[i].flags);
        assert_true(sx_doc_get(s->params, "type").p != NULL);
        assert_string_equal(eng_field_type_name(s->type), eng_field_type_name(rows[i].type));
        assert_int_equal(s->type == ENG_FIELD_TEXT, s->analyzer != NULL);
        eng_field_schema_destroy(&fk_mem, s);
    }
    s = fk_schema("k", "{\"type\":\"text\",\"scoring\":true}");
    assert_int_equal(sx_doc_str(sx_doc_get(sx_doc_get(s->params, "scoring"), "type")).n, 4);
    eng_field_schema_destroy(&fk_mem, s);
    s = fk_schema("k", "{\"type\":\"text\",\"scoring\":false}");
    assert_null(sx_doc_get(s->params, "scoring").p);
    eng_field_schema_destroy(&fk_mem, s);
    assert_int_equal(fk_live, 0);
}

static void test_schema_same(void **state SX_UNUSED)
{
    static const struct {
        const char *path_a, *a, *path_b, *b;
        int bare_a, bare_b, same;
    } rows[] = {
        {"k", "{\"type\":\"keyword\"}", "k", "{\"type\":\"keyword\"}", 0, 0, 1},
        {"k", "{\"type\":\"keyword\"}", "k", "{\"type\":\"keyword\"}", 1, 1, 1},
        {"k", "{\"type\":\"keyword\"}", "\"k\"", "{\"type\":\"keyword\"}", 1, 1, 1},
        {"k", "{\"type\":\"keyword\"}", "k", "{\"type\":\"keyword\"}", 1, 0, 0},
        {"k", "{\"type\":\"keyword\"}", "j", "{\"type\":\"keyword\"}", 1, 1, 0},
        {"k", "{\"type\":\"keyword\"}", "k", "{\"type\":\"uuid\"}", 1, 1, 0},
        {"k", "{\"type\":\"keyword\",\"prefix\":true}", "k",
         "{\"prefix\":true,\"type\":\"keyword\"}", 0, 0, 1},
        {"k", "{\"type\":\"keyword\",\"prefix\":true}", "k", "{\"type\":\"keyword\"}", 0, 0, 0},
        {"k", "{\"type\":\"keyword\",\"prefix\":true}", "k",
         "{\"type\":\"keyword\",\"prefix\":false}", 0, 0, 0},
        {"o[].p", "{\"type\":\"keyword\",\"nested\":\"o\"}", "o[].p",
         "{\"type\":\"keyword\",\"nested\":\"o[]\"}", 0, 0, 1},
        {"k", "{\"type\":\"text\",\"scoring\":true}", "k",
         "{\"type\":\"text\",\"scoring\":{\"type\":\"bm25\"}}", 0, 0, 1},
    };

    for (uint32_t i = 0; i < SX_COUNT(rows); i++) {
        struct eng_field_schema *a, *b;

        assert_int_equal(fk_schema_try(rows[i].path_a, rows[i].a, rows[i].bare_a, &a, NULL), 0);
        assert_int_equal(fk_schema_try(rows[i].path_b, rows[i].b, rows[i].bare_b, &b, NULL), 0);
        if (eng_field_schema_same(a, b) != rows[i].same)
            fail_msg("row %u", i);
        assert_int_equal(eng_field_schema_same(b, a), rows[i].same);
        assert_int_equal(a->params.p == NULL, rows[i].bare_a);
        eng_field_schema_destroy(&fk_mem, a);
        eng_field_schema_destroy(&fk_mem, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_nested),  cmocka_unit_test(test_schema_flags),
        cmocka_unit_test(test_schema_same),    cmocka_unit_test(test_nested_table),
        cmocka_unit_test(test_strange_files),  cmocka_unit_test(test_used_again),
        cmocka_unit_test(test_ends_early),     cmocka_unit_test(test_random_life),
        cmocka_unit_test(test_beside_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
