/* Memory: the libc provider, arenas, buffers, and the error buffer. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#include "sextant/sx_mem.h"

/* A provider that counts blocks and refuses after a budget. */
struct budget {
    struct sx_mem mem;
    int live, left;
};

static void *budget_alloc(const struct sx_mem *self, uint64_t n)
{
    struct budget *b = self->tag;

    if (b->left == 0)
        return NULL;
    b->left--;
    b->live++;
    return malloc(n);
}

static void *budget_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    struct budget *b = self->tag;

    if (b->left == 0)
        return NULL;
    b->left--;
    return realloc(p, n);
}

static void budget_release(const struct sx_mem *self, void *p)
{
    struct budget *b = self->tag;

    b->live--;
    free(p);
}

static void budget_init(struct budget *b, int left)
{
    memset(b, 0, sizeof(*b));
    b->left = left;
    b->mem.size = sizeof(b->mem);
    b->mem.alloc = budget_alloc;
    b->mem.resize = budget_resize;
    b->mem.release = budget_release;
    b->mem.tag = b;
}

static void test_libc(void **state)
{
    const struct sx_mem *m = sx_mem_libc();
    uint8_t *p = m->zalloc(m, 1000);

    (void)state;
    assert_int_equal(m->size, sizeof(*m));
    assert_non_null(p);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    p[999] = 7;
    p = m->resize(m, p, 100000);
    assert_int_equal(p[999], 7);
    assert_int_equal((uintptr_t)p % 16, 0);
    m->release(m, p);
    assert_null(m->alloc(m, UINT64_MAX));
    assert_null(m->resize(m, NULL, UINT64_MAX - 5));
    p = m->alloc(m, 0);
    assert_non_null(p);
    m->release(m, p);
}

static void test_map(void **state)
{
    const struct sx_mem *m = sx_mem_libc();
    uint64_t n = (5u << 20) + 123;
    uint8_t *p = m->map(m, n);

    (void)state;
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (2u << 20), 0);
    assert_int_equal(p[0] | p[n / 2] | p[n - 1], 0);
    memset(p, 1, n);
    m->unmap(m, p, n);
    assert_null(m->map(m, 0));
    assert_null(m->map(m, UINT64_MAX - 4096));
}

static void test_arena_alloc(void **state)
{
    struct budget b;
    struct sx_arena a;
    char *p, *q;

    (void)state;
    budget_init(&b, 1000);
    sx_arena_init(&a, &b.mem, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        p = sx_arena_alloc(&a, i % 97);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0xee, i % 97);
    }
    for (uint32_t align = 1; align <= 4096; align *= 2) {
        p = sx_arena_alloc_aligned(&a, 40, align);
        assert_int_equal((uintptr_t)p % align, 0);
        memset(p, 0xdd, 40);
    }
    assert_null(sx_arena_alloc_aligned(&a, 40, 48));
    assert_null(sx_arena_alloc(&a, UINT64_MAX));
    assert_null(sx_arena_alloc_aligned(&a, UINT64_MAX - 10, 64));
    p = sx_arena_zalloc(&a, 300000);
    for (uint32_t i = 0; i < 300000; i++)
        assert_int_equal(p[i], 0);
    p = sx_arena_strdup(&a, "abc", 2);
    assert_string_equal(p, "ab");
    assert_int_equal(sx_arena_printf(&a, "%d-%s", 42, "x").n, 4);
    assert_string_equal(sx_arena_printf(&a, "%d-%s", 42, "x").p, "42-x");

    /* The last allocation grows where it is, an older one is copied. */
    p = sx_arena_alloc(&a, 10);
    memcpy(p, "0123456789", 10);
    assert_ptr_equal(sx_arena_resize(&a, p, 10, 20), p);
    q = sx_arena_alloc(&a, 16);
    assert_ptr_equal(q, p + 32);
    q = sx_arena_resize(&a, p, 20, 4000);
    assert_ptr_not_equal(q, p);
    assert_memory_equal(q, "0123456789", 10);
    assert_ptr_equal(sx_arena_resize(&a, q, 4000, 8), q);
    assert_ptr_equal(sx_arena_alloc(&a, 1), q + 16);

    /* Reset keeps one small block, and that one serves again without the provider. */
    sx_arena_reset(&a);
    assert_int_equal(b.live, 1);
    assert_true(a.used <= 64 << 10);
    b.left = 0;
    assert_non_null(sx_arena_alloc(&a, 1000));
    assert_null(sx_arena_alloc(&a, 1 << 20));
    sx_arena_fini(&a);
    assert_int_equal(b.live, 0);
}

static void test_arena_limit(void **state)
{
    struct sx_arena a;
    uint64_t got = 0;

    (void)state;
    sx_arena_init(&a, sx_mem_libc(), 100000);
    while (sx_arena_alloc(&a, 1000) != NULL)
        got += 1000;
    assert_true(got <= 100000);
    assert_true(got > 50000);
    assert_true(a.used <= 100000);
    assert_null(sx_arena_alloc(&a, 200000));
    sx_arena_reset(&a);
    assert_non_null(sx_arena_alloc(&a, 30000));
    sx_arena_fini(&a);
}

static void test_buf(void **state)
{
    struct budget budget;
    struct sx_buf b;

    (void)state;
    sx_buf_init(&b, sx_mem_libc());
    for (int i = 0; i < 1000; i++)
        sx_buf_printf(&b, "%d,", i);
    sx_buf_addc(&b, 'x');
    sx_buf_adds(&b, "yz");
    sx_buf_add(&b, NULL, 0);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4 + 3);
    assert_memory_equal(b.p, "0,1,2,3,", 8);
    assert_memory_equal(b.p + b.n - 7, "999,xyz", 7);
    assert_non_null(sx_buf_reserve(&b, 100000));
    assert_true(b.cap >= b.n + 100000);
    assert_null(sx_buf_reserve(&b, UINT64_MAX - 10));
    assert_int_equal(b.failed, 1);
    sx_buf_fini(&b);

    /* A failure sticks and leaves what was written. */
    budget_init(&budget, 1);
    sx_buf_init(&b, &budget.mem);
    sx_buf_adds(&b, "kept");
    for (int i = 0; i < 100; i++)
        sx_buf_adds(&b, "0123456789");
    sx_buf_adds(&b, "!");
    assert_int_equal(b.failed, 1);
    assert_memory_equal(b.p, "kept0123456789", 14);
    assert_int_equal((b.n - 4) % 10, 0);
    sx_buf_fini(&b);
    assert_int_equal(budget.live, 0);
}

static void test_err_texts(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    char long_text[400];

    (void)state;
    assert_int_equal(sx_err_set(&err, SX_ENOTFOUND, "Collection `%s` doesn't exist!", "a"),
                     SX_ENOTFOUND);
    assert_string_equal(err.msg, "Collection `a` doesn't exist!");
    assert_int_equal(sx_err_wrap(&err, "shard %d", 3), SX_ENOTFOUND);
    assert_string_equal(err.msg, "shard 3: Collection `a` doesn't exist!");
    assert_int_equal(sx_err_set(NULL, SX_EIO, "x"), SX_EIO);
    (void)sx_err_set(&err, SX_EIO, "two\nlines\r\n");
    assert_string_equal(err.msg, "two lines  ");

    /* Too long: cut, terminated, and not inside a code point (each is two bytes here). */
    for (int i = 0; i < 398; i += 2)
        memcpy(long_text + i, "\xc3\xa9", 2);
    long_text[398] = 0;
    (void)sx_err_set(&err, SX_EINPUT, "%s", long_text);
    assert_int_equal(strlen(err.msg), 238);
    (void)sx_err_set(&err, SX_EINPUT, "x%s", long_text);
    assert_int_equal(strlen(err.msg), 239);
    (void)sx_err_wrap(&err, "y");
    assert_true(strlen(err.msg) == 238 || strlen(err.msg) == 239);
    assert_memory_equal(err.msg, "y: x\xc3\xa9", 6);

    /* An older caller's smaller struct. */
    memset(&err, 0x55, sizeof(err));
    err.size = offsetof(struct sx_err, msg) + 8;
    (void)sx_err_set(&err, SX_EINPUT, "0123456789");
    assert_string_equal(err.msg, "0123456");
    assert_int_equal(err.msg[8], 0x55);
}

static void test_err_table(void **state)
{
    (void)state;
    assert_string_equal(sx_err_name(SX_EINPUT), "EINPUT");
    assert_string_equal(sx_err_name(SX_OK), "OK");
    assert_string_equal(sx_err_name(-999), "EUNKNOWN");
    assert_string_equal(sx_err_prefix(SX_EFORMAT), "Format error in JSON body: ");
    assert_string_equal(sx_err_prefix(SX_OK), "");
    assert_int_equal(sx_err_http(SX_EVALID), 422);
    assert_int_equal(sx_err_http(SX_OK), 200);
    assert_int_equal(sx_err_http(-999), 500);
    assert_int_equal(sx_err_grpc(SX_ENOTFOUND), 5);
    assert_int_equal(sx_err_grpc(SX_OK), 0);
    assert_int_equal(sx_err_grpc(-999), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libc),        cmocka_unit_test(test_map),
        cmocka_unit_test(test_arena_alloc), cmocka_unit_test(test_arena_limit),
        cmocka_unit_test(test_buf),         cmocka_unit_test(test_err_texts),
        cmocka_unit_test(test_err_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
