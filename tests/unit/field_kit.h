/* What the tests of payload indexes share: an engine small enough for them (memory that can run
 * short, the kernel's epochs, a disk in memory), payloads out of JSON, and leaves compiled like
 * those of a request. Included by one program, so everything is static. */
#ifndef FIELD_KIT_H
#define FIELD_KIT_H

/* cmocka.h wants these before it. */
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

#include "engine/field.h"
#include "engine/field_part.h"
#include "engine/filter.h"
#include "kernel/epoch.h"
#include "mem_io.h"

/* --- memory: counted, and short on demand ------------------------------------------------ */

static _Atomic int64_t fk_memory_left = -1; /* allocations until one fails; -1 = never */
static _Atomic int64_t fk_live, fk_bytes;
static _Atomic int fk_was_short;

static inline int fk_memory_short(void)
{
    if (atomic_load(&fk_memory_left) < 0 || atomic_fetch_sub(&fk_memory_left, 1) != 0)
        return 0;
    fk_was_short = 1;
    return 1;
}

static void *fk_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    uint64_t *p = fk_memory_short() ? NULL : malloc(n + 16);

    if (p == NULL)
        return NULL;
    p[0] = n;
    atomic_fetch_add(&fk_live, 1);
    atomic_fetch_add(&fk_bytes, (int64_t)n);
    return p + 2;
}

static void *fk_zalloc(const struct sx_mem *self, uint64_t n)
{
    void *p = fk_alloc(self, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

static void fk_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    uint64_t *q = p;

    if (p == NULL)
        return;
    atomic_fetch_sub(&fk_live, 1);
    atomic_fetch_sub(&fk_bytes, (int64_t)q[-2]);
    free(q - 2);
}

static void *fk_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    void *q = fk_alloc(self, n);

    if (p == NULL || q == NULL)
        return q;
    memcpy(q, p, ((uint64_t *)p)[-2] < n ? ((uint64_t *)p)[-2] : n);
    fk_release(self, p);
    return q;
}

static const struct sx_mem fk_mem = {
    .size = (uint32_t)sizeof(struct sx_mem),
    .alloc = fk_alloc,
    .zalloc = fk_zalloc,
    .resize = fk_resize,
    .release = fk_release,
};

/* --- the engine -------------------------------------------------------------------------- */

static _Atomic int fk_warnings;

static void SX_PRINTF(4, 5) fk_log(const struct sx_host *self SX_UNUSED,
                                   uint32_t level,
                                   const char *room SX_UNUSED,
                                   const char *fmt SX_UNUSED,
                                   ...)
{
    fk_warnings += level <= SX_LOG_WARN;
}

static const struct sx_host fk_host = {
    .size = (uint32_t)sizeof(struct sx_host),
    .mem = &fk_mem,
    .log = fk_log,
};

static struct eng fk_eng = {.host = &fk_host, .mem = &fk_mem};

static struct eng_field_conf fk_conf = {
    .eng = &fk_eng, .id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 3, 0, 5}};

static inline void fk_start(struct mem_io *disk)
{
    fk_eng.epoch = sx_epoch_table();
    fk_eng.io = mem_io_table();
    fk_conf.dir = disk != NULL ? mem_io_root(disk) : NULL;
}

/* Everything has been given back. */
static inline void fk_stop(void)
{
    if (fk_conf.dir != NULL)
        fk_eng.io->dir_close(fk_conf.dir);
    sx_epoch_drain();
    assert_int_equal(fk_live, 0);
}

/* All rows below n; good until it is called again some times. */
static inline struct eng_fills fk_rows(uint32_t n)
{
    static __thread uint32_t fill[4][64];
    static __thread uint32_t at;
    uint32_t *p = fill[++at % 4], i = 0;

    for (; n != 0; i++) {
        assert_true(i < 64);
        p[i] = n < SX_CHUNK_ROWS ? n : SX_CHUNK_ROWS;
        n -= p[i];
    }
    return (struct eng_fills){p, i, 0};
}

/* --- random, documents, schemas ---------------------------------------------------------- */

static inline uint64_t fk_rnd(uint64_t *s)
{
    uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Owned: free(doc.p). */
static inline struct sx_doc fk_doc(const char *json)
{
    struct sx_arena arena;
    struct sx_json j;
    struct sx_docb b;
    struct sx_doc d;
    uint8_t *p;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    sx_docb_init(&b, sx_mem_libc(), 0);
    sx_json_init(&j, json, strlen(json), &arena);
    if (sx_json_doc(&j, &b) < 0)
        fail_msg("bad JSON in the test: %s", json);
    d = sx_docb_end(&b);
    p = malloc(d.n);
    memcpy(p, d.p, d.n);
    d.p = p;
    sx_docb_fini(&b);
    sx_arena_fini(&arena);
    return d;
}

static inline void fk_doc_free(struct sx_doc *d)
{
    free((void *)(uintptr_t)d->p);
    d->p = NULL;
}

static inline struct sx_path fk_path(struct sx_arena *arena, const char *text)
{
    struct sx_path path;

    assert_int_equal(
        sx_path_parse(arena, (struct sx_str){text, (uint32_t)strlen(text), 0}, &path, NULL), 0);
    return path;
}

static inline int fk_schema_try(
    const char *path, const char *json, int bare, struct eng_field_schema **out, struct sx_err *err)
{
    struct sx_doc d = fk_doc(json);
    struct sx_arena arena;
    struct sx_path p;
    int rc;

    sx_arena_init(&arena, sx_mem_libc(), 0);
    p = fk_path(&arena, path);
    rc = eng_field_schema_parse(&fk_mem, NULL, &p, d, bare, out, err);
    fk_doc_free(&d);
    sx_arena_fini(&arena);
    return rc;
}

static inline struct eng_field_schema *fk_schema(const char *path, const char *json)
{
    struct eng_field_schema *s = NULL;
    struct sx_err err = SX_ERR_INIT;

    if (fk_schema_try(path, json, 0, &s, &err) != 0)
        fail_msg("%s %s: %s", path, json, err.msg);
    return s;
}

/* --- leaves ------------------------------------------------------------------------------ */

static const struct eng_field_schema *fk_find(const void *ctx, const struct sx_path *path)
{
    const struct eng_field_schema *s = ctx;

    return sx_path_equal(&s->path, path) ? s : NULL;
}

/* The condition on the field of the schema as a leaf, or NULL when it is decided without one. The
 * condition is copied but for what it points to. */
static inline const struct eng_leaf *
fk_leaf(const struct eng_field_schema *s, struct sx_cond cond, struct sx_arena *arena)
{
    struct sx_cond *c = sx_arena_alloc(arena, sizeof(*c));
    struct sx_filter *f = sx_arena_zalloc(arena, sizeof(*f));
    struct eng_schemas schemas = {.find = fk_find, .ctx = s};
    struct eng_filter *out;

    cond.key = s->path;
    *c = cond;
    f->n_must = 1;
    f->must = c;
    assert_int_equal(eng_filter_compile(sx_mem_libc(), f, &schemas, arena, &out, NULL), 0);
    return out->root->kind == ENG_NODE_LEAF ? out->root->leaf : NULL;
}

static inline struct sx_str fk_str(const char *s)
{
    return (struct sx_str){s, (uint32_t)strlen(s), 0};
}

static inline struct sx_cond fk_match_str(uint32_t kind, struct sx_str s)
{
    struct sx_cond c = {.kind = SX_COND_FIELD};

    c.match.kind = kind;
    c.match.str = s;
    return c;
}

static inline struct sx_cond fk_match_strs(uint32_t kind, const struct sx_str *strs, uint32_t n)
{
    struct sx_cond c = {.kind = SX_COND_FIELD};

    c.match.kind = kind;
    c.match.strs = strs;
    c.match.n = n;
    return c;
}

#endif
