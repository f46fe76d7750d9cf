/* Set and delete of payloads: the tables of the contract, order of members, and a model that does
 * one key at a time on lists. */
/* needs: plugins/engine/payload_edit.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_json.h"

#include "../../plugins/engine/payload_edit.h"

static struct sx_arena arena;
static uint64_t seed;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 20) % n);
}

static struct sx_doc doc(const char *json)
{
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;

    sx_json_init(&j, json, strlen(json), &arena);
    sx_docb_init(&b, sx_mem_libc(), SX_DOCB_LAST_WINS);
    assert_int_equal(sx_json_doc(&j, &b), 0);
    d = sx_docb_end_arena(&b, &arena);
    sx_docb_fini(&b);
    assert_non_null(d.p);
    return d;
}

static struct sx_path path(const char *text)
{
    struct sx_path p;

    assert_int_equal(
        sx_path_parse(&arena, (struct sx_str){text, (uint32_t)strlen(text), 0}, &p, NULL), 0);
    return p;
}

/* Ends b and gives its JSON, in the arena. */
static const char *text_of(struct sx_docb *b)
{
    struct sx_doc d = sx_docb_end(b);
    struct sx_buf text;
    const char *s;

    assert_non_null(d.p);
    assert_int_equal(sx_doc_check(d.p, d.n), 0);
    sx_buf_init(&text, sx_mem_libc());
    sx_jsonw_doc(&text, d);
    s = sx_arena_strdup(&arena, text.p, text.n);
    sx_buf_fini(&text);
    sx_docb_fini(b);
    return s;
}

static const char *set(const char *old, const char *patch, const char *key)
{
    struct sx_path p;
    struct sx_docb b;

    if (key != NULL)
        p = path(key);
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(eng_payload_set(sx_mem_libc(), old != NULL ? doc(old) : (struct sx_doc){0},
                                     doc(patch), key != NULL ? &p : NULL, &b),
                     0);
    return text_of(&b);
}

/* keys: texts separated by blanks. */
static const char *del(const char *old, const char *keys)
{
    char *copy = strdup(keys);
    struct sx_path list[16];
    struct sx_docb b;
    uint32_t n = 0;

    for (char *k = strtok(copy, " "); k != NULL; k = strtok(NULL, " "))
        list[n++] = path(k);
    sx_docb_init(&b, sx_mem_libc(), 0);
    assert_int_equal(
        eng_payload_delete(sx_mem_libc(), old != NULL ? doc(old) : (struct sx_doc){0}, list, n, &b),
        0);
    free(copy);
    return text_of(&b);
}

static void test_merge(void **state)
{
    (void)state;
    assert_string_equal(set(NULL, "{\"a\":1}", NULL), "{\"a\":1}");
    assert_string_equal(set("{}", "{\"a\":null}", NULL), "{}");
    assert_string_equal(set("{\"a\":1,\"b\":{\"x\":1,\"y\":2}}", "{\"b\":{\"x\":9}}", NULL),
                        "{\"a\":1,\"b\":{\"x\":9}}");
    assert_string_equal(set("{\"a\":[1,2,3]}", "{\"a\":[4]}", NULL), "{\"a\":[4]}");
    assert_string_equal(set("{\"a\":1}", "{\"b\":{\"c\":null},\"d\":[null]}", NULL),
                        "{\"a\":1,\"b\":{\"c\":null},\"d\":[null]}");
    assert_string_equal(set("{\"a\":1}", "{}", NULL), "{\"a\":1}");
}

static void test_order(void **state)
{
    (void)state;
    assert_string_equal(set("{\"b\":1,\"a\":2,\"c\":3}", "{\"b\":null,\"d\":4}", NULL),
                        "{\"c\":3,\"a\":2,\"d\":4}");
    assert_string_equal(
        set("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "{\"b\":null,\"c\":9,\"a\":null,\"b2\":1}", NULL),
        "{\"c\":9,\"d\":4,\"b2\":1}");
    /* What is new moves too. */
    assert_string_equal(set("{\"a\":1,\"b\":2}", "{\"n\":3,\"a\":null}", NULL),
                        "{\"n\":3,\"b\":2}");
    assert_string_equal(del("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "a"), "{\"d\":4,\"b\":2,\"c\":3}");
    assert_string_equal(del("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "a b"), "{\"d\":4,\"c\":3}");
    assert_string_equal(del("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "b a"), "{\"c\":3,\"d\":4}");
    assert_string_equal(del("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "d"), "{\"a\":1,\"b\":2,\"c\":3}");
}

#define P "{\"x\":1}"

static void test_set_at_key(void **state)
{
    static const char *const nothing[] = {"{}", "{\"a\":null}", "{\"a\":5}", "{\"a\":\"s\"}"};
    static const char list[] = "{\"a\":[{\"b\":{\"y\":1}},5,[1]]}";

    (void)state;
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        assert_string_equal(set(nothing[i], P, "a"), "{\"a\":{\"x\":1}}");
        assert_string_equal(set(nothing[i], P, "a.b.c"), "{\"a\":{\"b\":{\"c\":{\"x\":1}}}}");
        assert_string_equal(set(nothing[i], P, "a[]"), "{\"a\":[]}");
        assert_string_equal(set(nothing[i], P, "a[0]"), "{\"a\":[]}");
        assert_string_equal(set(nothing[i], P, "a[].b"), "{\"a\":[]}");
        assert_string_equal(set(nothing[i], P, "a[0].b.c"), "{\"a\":[]}");
        assert_string_equal(set(nothing[i], P, "a.b[].c"), "{\"a\":{\"b\":[]}}");
        assert_string_equal(set(nothing[i], "{}", "a.b"), "{\"a\":{\"b\":{}}}");
        assert_string_equal(set(nothing[i], "{\"n\":null}", "a"), "{\"a\":{}}");
    }
    assert_string_equal(set("{\"a\":[1]}", P, "a"), "{\"a\":{\"x\":1}}");
    assert_string_equal(set("{\"a\":[1,2]}", P, "a[1]"), "{\"a\":[1,{\"x\":1}]}");
    assert_string_equal(set("{\"a\":[0.5,2.5]}", P, "a[2]"), "{\"a\":[0.5,2.5]}");
    assert_string_equal(set("{\"a\":[0.5,2.5]}", P, "a[]"), "{\"a\":[{\"x\":1},{\"x\":1}]}");
    assert_string_equal(set("{\"a\":{\"y\":2}}", P, "a"), "{\"a\":{\"y\":2,\"x\":1}}");
    assert_string_equal(set("{\"a\":{\"y\":2}}", P, "a[0]"), "{\"a\":[]}");
    assert_string_equal(
        set("{\"a\":{\"x\":5,\"y\":6,\"z\":7}}", "{\"x\":null,\"w\":1,\"y\":2}", "a"),
        "{\"a\":{\"z\":7,\"y\":2,\"w\":1}}");
    assert_string_equal(set(list, P, "a[]"),
                        "{\"a\":[{\"b\":{\"y\":1},\"x\":1},{\"x\":1},{\"x\":1}]}");
    assert_string_equal(set(list, P, "a[].b"),
                        "{\"a\":[{\"b\":{\"y\":1,\"x\":1}},{\"b\":{\"x\":1}},{\"b\":{\"x\":1}}]}");
    assert_string_equal(set(list, P, "a[][]"), "{\"a\":[[],[],[{\"x\":1}]]}");
    assert_string_equal(set(list, P, "a[9].b"), list);
    assert_string_equal(set(list, P, "a[0].b.c"),
                        "{\"a\":[{\"b\":{\"y\":1,\"c\":{\"x\":1}}},5,[1]]}");
    assert_string_equal(set("{\"k\":1,\"a b\":{},\"z\":2}", P, "\"a b\""),
                        "{\"k\":1,\"a b\":{\"x\":1},\"z\":2}");
}

static void test_delete(void **state)
{
    static const char list[] = "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3},5,[{\"b\":1}]]}";

    (void)state;
    assert_string_equal(del(NULL, "a"), "{}");
    assert_string_equal(del("{}", "a a[] a.b"), "{}");
    assert_string_equal(del("{\"a\":{\"b\":{\"c\":1,\"d\":2}}}", "a.b.c"),
                        "{\"a\":{\"b\":{\"d\":2}}}");
    assert_string_equal(del("{\"a\":{\"b\":1}}", "a.b"), "{\"a\":{}}");
    assert_string_equal(del("{\"a\":{\"b\":1}}", "a[] a[0] a[].b a.b.c b"), "{\"a\":{\"b\":1}}");
    assert_string_equal(del(list, "a[].b"), "{\"a\":[{\"c\":2},{},5,[{\"b\":1}]]}");
    assert_string_equal(del(list, "a[1].b"), "{\"a\":[{\"b\":1,\"c\":2},{},5,[{\"b\":1}]]}");
    assert_string_equal(del(list, "a[]"), "{\"a\":[]}");
    assert_string_equal(del(list, "a[0]"), list);
    assert_string_equal(del(list, "a[9].b"), list);
    assert_string_equal(del(list, "a[][]"), "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3},5,[]]}");
    assert_string_equal(del(list, "a[][].b"), "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3},5,[{}]]}");
    assert_string_equal(del("{\"a\":[1,2,3]}", "a[]"), "{\"a\":[]}");
    assert_string_equal(del("{\"a\":[1,2,3]}", "a[].b a[1].c"), "{\"a\":[1,2,3]}");
    /* Several keys, one after the other. */
    assert_string_equal(del(list, "a[].c a[].b"), "{\"a\":[{},{},5,[{\"b\":1}]]}");
    assert_string_equal(del("{\"a\":{\"b\":1},\"c\":2}", "a a.b"), "{\"c\":2}");
    assert_string_equal(del("{\"a\":{\"b\":1},\"c\":2}", "a.b a"), "{\"c\":2}");
    assert_string_equal(del(list, "a[] a[0].b"), "{\"a\":[]}");
    assert_string_equal(del(list, "a[0].b a[] a[1].b"), "{\"a\":[]}");
    assert_string_equal(del("{\"a\":1,\"b\":2,\"c\":3}", "a a a"), "{\"c\":3,\"b\":2}");
    assert_string_equal(del("{\"a\":[{\"x\":1,\"y\":2,\"z\":3,\"w\":4}]}", "a[].x a[0].y"),
                        "{\"a\":[{\"w\":4,\"z\":3}]}");
    assert_string_equal(del("{\"a\":[{\"x\":1,\"y\":2,\"z\":3,\"w\":4}]}", "a[0].y a[].x"),
                        "{\"a\":[{\"z\":3,\"w\":4}]}");
}

/* --- memory ------------------------------------------------------------------------------ */

struct short_mem {
    struct sx_mem mem;
    int left;
    uint64_t bytes; /* given so far; resizing counts anew */
};

static void *short_alloc(const struct sx_mem *self, uint64_t n)
{
    struct short_mem *m = self->tag;

    m->bytes += n;
    return m->left-- > 0 ? malloc(n) : NULL;
}

static void *short_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    struct short_mem *m = self->tag;

    m->bytes += n;
    return m->left-- > 0 ? realloc(p, n) : NULL;
}

static void short_release(const struct sx_mem *self, void *p)
{
    (void)self;
    free(p);
}

static void short_init(struct short_mem *m, int left)
{
    *m = (struct short_mem){.mem = {.size = sizeof(m->mem),
                                    .alloc = short_alloc,
                                    .resize = short_resize,
                                    .release = short_release},
                            .left = left};
    m->mem.tag = m;
}

/* --- many members ------------------------------------------------------------------------ */

/* Objects so large that members are looked up sorted; the model is a list. */
struct model {
    uint32_t key[4096], value[4096], n;
};

static void model_set(struct model *m, uint32_t key, uint32_t value, int is_null)
{
    uint32_t i = 0;

    while (i < m->n && m->key[i] != key)
        i++;
    if (is_null && i < m->n) {
        m->n--;
        m->key[i] = m->key[m->n];
        m->value[i] = m->value[m->n];
    } else if (!is_null) {
        m->key[i] = key;
        m->value[i] = value;
        m->n += i == m->n;
    }
}

static void put_key(struct sx_docb *b, uint32_t key)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%s%u", key % 3 == 0 ? "key" : "k", key);

    sx_docb_key(b, text, (uint32_t)n);
}

static void put(struct sx_docb *b, uint32_t key, uint32_t value)
{
    put_key(b, key);
    sx_docb_i64(b, value);
}

static struct sx_doc finished(struct sx_docb *b)
{
    struct sx_doc d;

    sx_docb_close(b);
    d = sx_docb_end_arena(b, &arena);
    assert_non_null(d.p);
    assert_int_equal(sx_doc_check(d.p, d.n), 0);
    sx_docb_fini(b);
    return d;
}

static void same_as_model(struct sx_docb *out, const struct model *m)
{
    struct sx_docb want;
    struct sx_doc a, b = sx_docb_end(out);

    sx_docb_init(&want, sx_mem_libc(), 0);
    sx_docb_obj(&want);
    for (uint32_t i = 0; i < m->n; i++)
        put(&want, m->key[i], m->value[i]);
    a = finished(&want);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
}

static void random_round(uint32_t n_old, uint32_t n_keys, uint32_t span)
{
    static struct model m;
    static uint8_t used[8192];
    struct sx_docb old_b, patch_b, out;
    struct sx_doc old, patch;
    struct sx_path *paths = sx_arena_alloc(&arena, n_keys * sizeof(*paths) + 1);
    uint32_t n_paths = 0;

    m.n = 0;
    memset(used, 0, sizeof(used));
    sx_docb_init(&old_b, sx_mem_libc(), 0);
    sx_docb_obj(&old_b);
    for (uint32_t i = 0; i < n_old; i++) {
        uint32_t key = below(span);

        if (used[key])
            continue;
        used[key] = 1;
        put(&old_b, key, i);
        model_set(&m, key, i, 0);
    }
    old = finished(&old_b);
    memset(used, 0, sizeof(used));
    sx_docb_init(&patch_b, sx_mem_libc(), 0);
    sx_docb_init(&out, sx_mem_libc(), 0);
    sx_docb_obj(&patch_b);
    for (uint32_t i = 0; i < n_keys; i++) {
        uint32_t key = below(span);
        int is_null = below(2) == 0;

        if (used[key])
            continue;
        used[key] = 1;
        put_key(&patch_b, key);
        if (is_null)
            sx_docb_null(&patch_b);
        else
            sx_docb_i64(&patch_b, 1000000 + i);
        model_set(&m, key, 1000000 + i, is_null);
    }
    patch = finished(&patch_b);
    assert_int_equal(eng_payload_set(sx_mem_libc(), old, patch, NULL, &out), 0);
    same_as_model(&out, &m);
    /* And delete what the patch names from the result. */
    old = sx_docb_end_arena(&out, &arena);
    for (uint32_t i = 0; i < sx_doc_count(patch); i++) {
        struct sx_str key;
        struct sx_step *step = sx_arena_zalloc(&arena, sizeof(*step));

        (void)sx_doc_member(patch, i, &key);
        step->key = key;
        paths[n_paths++] = (struct sx_path){1, 0, step};
        model_set(&m, (uint32_t)strtoul(key.p + (key.p[1] == 'e' ? 3 : 1), NULL, 10), 0, 1);
    }
    assert_int_equal(eng_payload_delete(sx_mem_libc(), old, paths, n_paths, &out), 0);
    same_as_model(&out, &m);
    sx_docb_fini(&out);
    sx_arena_reset(&arena);
}

static void test_model(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        random_round(below(12), below(12), 16);
    for (int i = 0; i < 20; i++)
        random_round(below(2000), below(2000), 1 + below(4000));
}

/* Many keys on many members and elements end soon. */
static void test_hostile(void **state)
{
    enum { N = 30000 };
    struct sx_path *paths = sx_arena_alloc(&arena, N * sizeof(*paths));
    struct sx_docb b, out;
    struct sx_doc d;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_init(&out, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "o");
    sx_docb_obj(&b);
    for (uint32_t i = 0; i < N; i++)
        put(&b, i, i);
    sx_docb_close(&b);
    sx_docb_ckey(&b, "a");
    sx_docb_arr(&b);
    for (uint32_t i = 0; i < N; i++) {
        sx_docb_obj(&b);
        put(&b, 1, i);
        sx_docb_close(&b);
    }
    sx_docb_close(&b);
    d = finished(&b);
    for (uint32_t i = 0; i < N; i++) {
        struct sx_step *steps = sx_arena_zalloc(&arena, 3 * sizeof(*steps));

        steps[0].key = (struct sx_str){i % 2 ? "a" : "o", 1, 0};
        steps[1].kind = i % 2 ? SX_STEP_INDEX : SX_STEP_KEY;
        steps[1].index = i;
        steps[1].key = sx_arena_printf(&arena, "%s%u", i % 3 == 0 ? "key" : "k", i);
        steps[2].key = (struct sx_str){"k1", 2, 0};
        paths[i] = (struct sx_path){i % 2 ? 3 : 2, 0, steps};
    }
    assert_int_equal(eng_payload_delete(sx_mem_libc(), d, paths, N, &out), 0);
    d = sx_docb_end(&out);
    assert_int_equal(sx_doc_count(sx_doc_get(d, "o")), N / 2);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(sx_doc_count(sx_doc_elem(sx_doc_get(d, "a"), i)), i % 2 == 0);
    sx_docb_fini(&out);
}

static void test_memory(void **state)
{
    static const char json[] = "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3}],\"d\":{\"e\":{\"f\":1}}}";
    struct short_mem m;
    struct sx_doc old = doc(json), patch = doc("{\"x\":1,\"b\":null}");
    struct sx_path keys[] = {path("a[].b"), path("d.e.f"), path("zz")};
    int failures[2] = {0, 0};

    (void)state;
    for (int what = 0; what < 2; what++) {
        int rc = SX_ENOMEM;

        for (int left = 0; rc != SX_OK; left++) {
            struct sx_docb out;

            short_init(&m, left);
            sx_docb_init(&out, &m.mem, 0);
            rc = what == 0 ? eng_payload_set(&m.mem, old, patch, &keys[0], &out)
                           : eng_payload_delete(&m.mem, old, keys, 3, &out);
            assert_true(rc == SX_OK || rc == SX_ENOMEM);
            failures[what] += rc != SX_OK;
            sx_docb_fini(&out);
        }
    }
    assert_true(failures[0] >= 3 && failures[1] >= 4);
}

static void test_depth(void **state)
{
    struct sx_step steps[300];
    struct sx_path deep = {SX_DOC_MAX_DEPTH, 0, steps};
    struct sx_docb out;

    (void)state;
    memset(steps, 0, sizeof(steps));
    for (size_t i = 0; i < 300; i++)
        steps[i].key = (struct sx_str){"k", 1, 0};
    sx_docb_init(&out, sx_mem_libc(), 0);
    deep.n = SX_DOC_MAX_DEPTH - 1;
    assert_int_equal(eng_payload_set(sx_mem_libc(), doc("{}"), doc(P), &deep, &out), 0);
    deep.n = SX_DOC_MAX_DEPTH;
    assert_int_equal(eng_payload_set(sx_mem_libc(), doc("{}"), doc(P), &deep, &out), SX_EINPUT);
    deep.n = 300;
    assert_int_equal(eng_payload_set(sx_mem_libc(), doc("{}"), doc(P), &deep, &out), SX_EINPUT);
    assert_int_equal(eng_payload_delete(sx_mem_libc(), doc("{\"k\":{\"k\":1}}"), &deep, 1, &out),
                     0);
    sx_docb_fini(&out);
}

/* Elements do not add up: what one needed serves the next. */
static void test_elements(void **state)
{
    enum { N = 2000 };
    struct sx_path *paths = sx_arena_alloc(&arena, N * sizeof(*paths));
    struct short_mem m;
    struct sx_docb b, out;
    struct sx_doc d;

    (void)state;
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "a");
    sx_docb_arr(&b);
    for (uint32_t i = 0; i < N; i++) {
        sx_docb_obj(&b);
        put(&b, 1, i);
        put(&b, N + i, i);
        sx_docb_close(&b);
    }
    sx_docb_close(&b);
    d = finished(&b);
    for (uint32_t i = 0; i < N; i++) {
        struct sx_step *steps = sx_arena_zalloc(&arena, 3 * sizeof(*steps));

        steps[0].key = (struct sx_str){"a", 1, 0};
        steps[1].kind = SX_STEP_ALL;
        steps[2].key = sx_arena_printf(&arena, "k%u", i);
        paths[i] = (struct sx_path){3, 0, steps};
    }
    short_init(&m, 1 << 20);
    sx_docb_init(&out, sx_mem_libc(), 0);
    assert_int_equal(eng_payload_delete(&m.mem, d, paths, N, &out), 0);
    assert_true(m.bytes < 1000000);
    d = sx_doc_get(sx_docb_end(&out), "a");
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(sx_doc_count(sx_doc_elem(d, i)), 1);
    sx_docb_fini(&out);
}

static int setup(void **state)
{
    (void)state;
    sx_arena_init(&arena, sx_mem_libc(), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_set_at_key), cmocka_unit_test(test_delete),
        cmocka_unit_test(test_model),      cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_elements),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_depth),
    };
    const char *given = getenv("SEED");

    seed = given != NULL ? strtoull(given, NULL, 10) : 20240229;
    printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, setup, teardown);
}
