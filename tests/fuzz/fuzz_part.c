/* Bytes as a sealed part of a payload index: what check() lets pass may be asked anything.
 *
 * Byte 0 chooses the kind. Byte 1, bit 0: the rest is the part; else a part is made of documents
 * that follow from bytes 2 to 5, and the rest changes it: three bytes of place (modulo the length)
 * and one to exclusive-or, again and again. So the fuzzer starts behind the first comparisons.
 *
 * Holds or aborts: a part as it was made passes; no input makes a mask, a count, a facet or an
 * order read or write out of bounds, or name a row outside of its chunk. */
/* needs: plugins/engine/field*.c kernel/epoch.c tests/unit/mem_io.c */
#include "../unit/field_kit.h"

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

#define MAX_LEAVES 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct kind {
    const char *path, *schema, *docs[6];
} kinds[] = {
    {"k",
     "{\"type\":\"keyword\"}",
     {"{\"k\":\"a\"}", "{\"k\":[\"a\",\"b\",\"abc\"]}", "{\"k\":\"\"}", "{}", "{\"k\":\"b\"}",
      "{\"k\":[\"z\",\"b\"]}"}},
    {"k",
     "{\"type\":\"uuid\"}",
     {"{\"k\":\"550e8400-e29b-41d4-a716-446655440000\"}",
      "{\"k\":[\"550e8400-e29b-41d4-a716-446655440001\",\"00000000-0000-0000-0000-000000000000\"]}",
      "{\"k\":\"x\"}", "{}", "{\"k\":\"650e8400-e29b-41d4-a716-446655440000\"}", "{\"k\":null}"}},
    {"k",
     "{\"type\":\"bool\"}",
     {"{\"k\":true}", "{\"k\":false}", "{\"k\":[true,false]}", "{}", "{\"k\":1}", "{\"k\":true}"}},
    {"k",
     "{\"type\":\"integer\"}",
     {"{\"k\":1}", "{\"k\":[1,2,3]}", "{\"k\":-5}", "{}", "{\"k\":9223372036854775807}",
      "{\"k\":3.0}"}},
    {"k",
     "{\"type\":\"float\"}",
     {"{\"k\":1.5}", "{\"k\":[1,2.25,3]}", "{\"k\":-5e300}", "{}", "{\"k\":0}", "{\"k\":-0.0}"}},
    {"k",
     "{\"type\":\"datetime\"}",
     {"{\"k\":\"2024-01-01\"}", "{\"k\":[\"2024-01-01\",\"1970-01-01\"]}",
      "{\"k\":\"1024-01-01T00:00:00.5Z\"}", "{}", "{\"k\":1}", "{\"k\":\"2030-01-01\"}"}},
    {"k",
     "{\"type\":\"geo\"}",
     {"{\"k\":{\"lon\":1,\"lat\":2}}",
      "{\"k\":[{\"lon\":1,\"lat\":2},{\"lon\":-179.9,\"lat\":80}]}",
      "{\"k\":{\"lon\":181,\"lat\":2}}", "{}", "{\"k\":{\"lon\":13.4,\"lat\":52.5}}",
      "{\"k\":{\"lon\":0,\"lat\":0}}"}},
};

static void SX_PRINTF(4, 5) quiet(const struct sx_host *self SX_UNUSED,
                                  uint32_t level SX_UNUSED,
                                  const char *room SX_UNUSED,
                                  const char *fmt SX_UNUSED,
                                  ...)
{
}

/* --- what is asked ----------------------------------------------------------------------- */

struct asked {
    const struct eng_part_ops *ops;
    struct eng_field_schema *schema;
    struct sx_doc docs[6];
    struct sx_arena arena;
    uint32_t n;
    const struct eng_leaf *leaf[MAX_LEAVES];
};

static void add(struct asked *a, struct sx_cond c)
{
    const struct eng_leaf *leaf = fk_leaf(a->schema, c, &a->arena);

    if (leaf != NULL && eng_field_answers(a->schema, leaf))
        a->leaf[a->n++] = leaf;
}

static void add_all(struct asked *a)
{
    static const int64_t ints[] = {1, 2, INT64_MAX};
    static const struct sx_geo_cond circle = {
        .kinds = SX_GEO_RADIUS, .center = {13, 52}, .radius = 1e6};
    static struct sx_str strs[3];
    struct sx_cond c = {.kind = SX_COND_FIELD};

    strs[0] =
        fk_str(a->schema->type == ENG_FIELD_UUID ? "550e8400-e29b-41d4-a716-446655440000" : "a");
    strs[1] = fk_str("00000000-0000-0000-0000-000000000000");
    strs[2] = fk_str("650e8400-e29b-41d4-a716-446655440000");
    add(a, fk_match_str(SX_MATCH_STR, strs[0]));
    add(a, fk_match_strs(SX_MATCH_ANY_STR, strs, 3));
    add(a, fk_match_strs(SX_MATCH_EXCEPT_STR, strs, 2));
    add(a, fk_match_strs(SX_MATCH_EXCEPT_STR, strs, 0));
    add(a, fk_match_str(SX_MATCH_PREFIX, fk_str("ab")));
    add(a, fk_match_str(SX_MATCH_PREFIX, fk_str("")));
    add(a, fk_match_str(SX_MATCH_SUBSTRING, fk_str("b")));
    c.match.kind = SX_MATCH_BOOL;
    add(a, c);
    c.match.kind = SX_MATCH_INT;
    c.match.i = 3;
    add(a, c);
    c.match.kind = SX_MATCH_EXCEPT_INT;
    c.match.ints = ints;
    c.match.n = 3;
    add(a, c);
    c.match.kind = SX_MATCH_NONE;
    c.range = (struct sx_range){.kind = SX_RANGE_NUM, .has = SX_BOUND_GTE, .gte = 1};
    add(a, c);
    c.range =
        (struct sx_range){.kind = SX_RANGE_TIME, .has = SX_BOUND_LT, .t_lt = {1704067200, 0, 0}};
    add(a, c);
    c.range.kind = SX_RANGE_NONE;
    c.geo = &circle;
    add(a, c);
}

static struct asked *asked_of(const struct kind *k)
{
    static struct asked all[SX_COUNT(kinds)];
    struct asked *a = &all[k - kinds];

    if (a->schema == NULL) {
        fk_start(NULL);
        a->schema = fk_schema(k->path, k->schema);
        a->ops = eng_part_ops_of(a->schema->type);
        sx_arena_init(&a->arena, sx_mem_libc(), 0);
        for (uint32_t i = 0; i < 6; i++)
            a->docs[i] = fk_doc(k->docs[i]);
        add_all(a);
    }
    return a;
}

static void ask_order(const struct asked *a, const uint8_t *p, uint32_t is_desc)
{
    struct sx_order_by by = {.is_desc = is_desc, .start = SX_START_INT, .i = 1};
    struct eng_order_cursor cursor = {0};
    struct eng_order_entry e;
    struct sx_arena arena;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    if (a->ops->order(a->schema, p, NULL, SX_CHUNK_ROWS, &by, &arena, &cursor) == 0) {
        for (uint32_t i = 0; i < 1u << 20 && cursor.next(&cursor, &e); i++)
            MUST(e.row < SX_CHUNK_ROWS);
    }
    sx_arena_fini(&arena);
}

static void ask(const struct asked *a, const uint8_t *p)
{
    struct eng_bits yes = {{0}}, maybe = {{0}};
    struct sx_arena arena;
    uint64_t len[64] = {0};

    for (uint32_t i = 0; i < a->n; i++) {
        struct eng_tally t = {.n = 1, .len = len};

        a->ops->mask(a->schema, p, a->leaf[i], &yes, &maybe);
        a->ops->tally(a->schema, p, NULL, 0, a->leaf[i], &t);
    }
    sx_arena_init(&arena, sx_mem_libc(), 0);
    for (uint32_t i = 0; i < 3 && a->ops->facet != NULL; i++) {
        struct eng_facet *k = eng_facet_create(a->schema, &fk_mem, &arena);

        memset(&yes, i == 0 ? 0 : i == 1 ? 0xff : 0x11, sizeof(yes));
        yes.w[0] |= 5;
        (void)a->ops->facet(k, p, NULL, 0, &yes);
        eng_facet_destroy(k);
    }
    sx_arena_fini(&arena);
    for (uint32_t i = 0; i < 2 && a->ops->order != NULL; i++)
        ask_order(a, p, i);
}

/* --- parts ------------------------------------------------------------------------------- */

static void make(const struct asked *a, uint64_t seed, struct sx_buf *out)
{
    void *open = a->ops->open_create(&fk_conf, a->schema);
    uint32_t row = (uint32_t)(fk_rnd(&seed) % 3 * 30000), lo = row;
    uint32_t n = 1 + (uint32_t)(fk_rnd(&seed) % 60);

    for (uint32_t i = 0; i < n; i++) {
        MUST(a->ops->open_add(open, row, a->docs[fk_rnd(&seed) % 6]) >= 0);
        row += 1 + (fk_rnd(&seed) % 8 == 0);
    }
    if (a->ops->open_commit != NULL)
        a->ops->open_commit(open);
    MUST(a->ops->seal(open, lo, row, out) == 0);
    a->ops->open_destroy(open);
    sx_epoch_drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asked *a;
    struct sx_host host = fk_host;
    struct sx_buf image;
    uint8_t *p = NULL;

    if (size < 6)
        return 0;
    host.log = quiet;
    fk_eng.host = &host;
    a = asked_of(&kinds[data[0] % SX_COUNT(kinds)]);
    sx_buf_init(&image, &fk_mem);
    if (data[1] & 1) {
        sx_buf_add(&image, data + 6, size - 6);
    } else {
        uint32_t seed;

        memcpy(&seed, data + 2, sizeof(seed));
        make(a, seed, &image);
    }
    /* A block of its own, exactly as long: a look behind it is found. */
    MUST(posix_memalign((void **)&p, 64, image.n != 0 ? image.n : 1) == 0);
    if (image.n != 0)
        memcpy(p, image.p, image.n);
    if (!(data[1] & 1)) {
        MUST(a->ops->check(a->schema, p, image.n) == 0);
        ask(a, p);
        for (size_t i = 6; i + 4 <= size; i += 4)
            p[(data[i] | data[i + 1] << 8 | data[i + 2] << 16) % image.n] ^= data[i + 3];
    }
    if (a->ops->check(a->schema, p, image.n) == 0)
        ask(a, p);
    free(p);
    sx_buf_fini(&image);
    return 0;
}
