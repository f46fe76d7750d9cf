/* What the storage tests share on top of the host: a directory, an instance of either module, rows
 * and blobs whose bytes follow from their number, and a flush that waits. */
#ifndef STORAGE_KIT_H
#define STORAGE_KIT_H

/* cmocka.h wants these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "sextant/sx_plugin.h"
#include "sextant/sx_storage.h"
#include "sextant/sx_text.h"

#include "storage_host.h"

extern const struct sx_plugin storage_mmap_LTX_sx_plugin, storage_ram_LTX_sx_plugin;

/* The two modules, and ram under a host whose sx_io has no commit. */
enum { KIT_MMAP = 0, KIT_RAM = 1, KIT_RAM_PLAIN = 2, KIT_MODES = 3 };

struct kit {
    char root[64];
    struct sx_dir *dir;
    _Alignas(64) char self[256];
    const struct sx_io *io;
    const struct sx_rows_ops *rows;
    const struct sx_blobs_ops *blobs;
    int mode;
    struct sx_err err;
};

static const struct sx_store_id kit_id = {
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 7, 0, 42};

static inline void kit_module(struct kit *k, int mode)
{
    const struct sx_plugin *p =
        mode == KIT_MMAP ? &storage_mmap_LTX_sx_plugin : &storage_ram_LTX_sx_plugin;
    uint32_t i;

    assert_true(p->instance_size <= sizeof(k->self));
    memset(k->self, 0, sizeof(k->self));
    k->mode = mode;
    k->io = mode == KIT_RAM_PLAIN ? &th_io_plain : &th_io;
    assert_int_equal(p->load(&th_host, k->self, NULL), 0);
    for (i = 0; i < p->n_provides; i++) {
        if (p->provides[i].kind == SX_KIND_ROWS)
            k->rows = p->provides[i].ops;
        if (p->provides[i].kind == SX_KIND_BLOBS)
            k->blobs = p->provides[i].ops;
    }
    assert_non_null(k->rows);
    assert_non_null(k->blobs);
}

static inline void kit_start(struct kit *k, int mode)
{
    const char *tmp = getenv("TMPDIR");

    memset(k, 0, sizeof(*k));
    k->err.size = (uint32_t)sizeof(k->err);
    (void)snprintf(k->root, sizeof(k->root), "%.40s/storage-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(k->root));
    assert_int_equal(th_dir_open(NULL, k->root, 0, &k->dir, NULL), 0);
    kit_module(k, mode);
}

static inline int kit_rm_one(void *arg, const char *name, uint32_t is_dir)
{
    (void)is_dir;
    (void)unlinkat(((struct sx_dir *)arg)->fd, name, 0);
    return 0;
}

static inline void kit_clear(struct kit *k)
{
    (void)th_dir_list(k->dir, kit_rm_one, k->dir, NULL);
}

/* Everything the stores held must have been given back. */
static inline void kit_stop(struct kit *k)
{
    th_drain();
    assert_int_equal(atomic_load(&th.files), 0);
    assert_int_equal(atomic_load(&th.blocks), 0);
    assert_int_equal(atomic_load(&th.mapped), 0);
    kit_clear(k);
    th_dir_close(k->dir);
    assert_int_equal(rmdir(k->root), 0);
}

struct kit_copy {
    struct sx_dir *from, *to;
};

static inline int kit_copy_one(void *arg, const char *name, uint32_t is_dir)
{
    struct kit_copy *c = arg;
    int a = openat(c->from->fd, name, O_RDONLY);
    int b = openat(c->to->fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    char buf[65536];
    ssize_t n;

    (void)is_dir;
    assert_true(a >= 0 && b >= 0);
    while ((n = read(a, buf, sizeof(buf))) > 0)
        assert_int_equal(write(b, buf, (size_t)n), n);
    (void)close(a);
    (void)close(b);
    return 0;
}

/* Makes `to`'s directory hold what `from`'s holds. */
static inline void kit_copy(struct kit *to, struct kit *from)
{
    struct kit_copy c = {from->dir, to->dir};

    kit_clear(to);
    assert_int_equal(th_dir_list(from->dir, kit_copy_one, &c, NULL), 0);
}

/* Runs fn on an empty directory of each mode. */
static inline void kit_for_modes(void (*fn)(struct kit *k))
{
    struct kit k;
    int mode;

    for (mode = 0; mode < KIT_MODES; mode++) {
        kit_start(&k, mode);
        fn(&k);
        kit_stop(&k);
    }
}

/* What files() lists. */
struct kit_listed {
    uint32_t n;
    char name[16][64];
    uint64_t bytes[16];
};

static inline void kit_list_sink(void *arg, const char *file, uint64_t bytes)
{
    struct kit_listed *l = arg;

    assert_true(l->n < 16);
    (void)snprintf(l->name[l->n], sizeof(l->name[0]), "%s", file);
    l->bytes[l->n++] = bytes;
}

/* --- poking at files --- */

static inline int64_t kit_length(struct kit *k, const char *file)
{
    struct stat st;

    return fstatat(k->dir->fd, file, &st, 0) ? -1 : (int64_t)st.st_size;
}

static inline void kit_truncate(struct kit *k, const char *file, int64_t n)
{
    int fd = openat(k->dir->fd, file, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, n), 0);
    (void)close(fd);
}

static inline void kit_poke(struct kit *k, const char *file, int64_t at, uint8_t flip)
{
    int fd = openat(k->dir->fd, file, O_RDWR);
    uint8_t c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= flip;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    (void)close(fd);
}

/* Fills [from, to) with noise, making the file longer when it is shorter. */
static inline void kit_noise(struct kit *k, const char *file, int64_t from, int64_t to)
{
    int fd = openat(k->dir->fd, file, O_RDWR);
    uint8_t buf[4096];
    size_t i;

    assert_true(fd >= 0);
    for (i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 131 + 17);
    while (from < to) {
        int64_t n = to - from < (int64_t)sizeof(buf) ? to - from : (int64_t)sizeof(buf);

        assert_int_equal(pwrite(fd, buf, (size_t)n, from), n);
        from += n;
    }
    (void)close(fd);
}

/* The error must say which file and where. */
static inline void kit_assert_corrupt(const struct kit *k, int rc, const char *file)
{
    if (rc != SX_ECORRUPT || !strstr(k->err.msg, file) || !strstr(k->err.msg, "offset"))
        fail_msg("rc %d, file %s: '%s'", rc, file, k->err.msg);
}

/* --- rows --- */

static inline void kit_row(uint8_t *p, uint32_t size, uint64_t row)
{
    uint64_t x = (row + 1) * 0x9e3779b97f4a7c15ull;
    uint32_t i, n;

    for (i = 0; i < size; i += n) {
        x ^= x >> 29;
        x *= 0xbf58476d1ce4e5b9ull;
        n = size - i < 8 ? size - i : 8;
        memcpy(p + i, &x, n);
    }
}

static inline int kit_row_is(const void *p, uint32_t size, uint64_t row)
{
    uint8_t want[4096];

    kit_row(want, size, row);
    return memcmp(p, want, size) == 0;
}

static inline int kit_append(struct kit *k, void *h, uint32_t size, uint64_t row, uint32_t n)
{
    uint8_t *p = malloc((size_t)n * size);
    uint32_t i, first = UINT32_MAX;
    int rc;

    for (i = 0; i < n; i++)
        kit_row(p + (size_t)i * size, size, row + i);
    rc = k->rows->append(k->self, h, p, n, &first, &k->err);
    free(p);
    if (!rc)
        assert_int_equal(first, (uint32_t)row);
    else
        assert_int_equal(first, UINT32_MAX);
    return rc;
}

static inline int
kit_rows_open(struct kit *k, uint32_t size, const struct sx_store_mark *known, void **h)
{
    struct sx_rows_conf conf = {.size = (uint32_t)sizeof(conf), .row_size = size, .id = kit_id};

    conf.known = *known;
    return k->rows->open(k->self, k->io, k->dir, "v", &conf, h, &k->err);
}

/* All rows are there, through rows() and through gather(). Of many rows the older ones are sampled:
 * this is called after every injected fault. */
static inline void kit_rows_are(struct kit *k, void *h, uint32_t size, uint64_t n)
{
    uint8_t buf[4 * 4096];
    struct sx_rows v = {0};
    uint64_t i;

    th_enter();
    k->rows->rows(k->self, h, &v);
    assert_int_equal(v.n, n);
    assert_int_equal(v.stride, size);
    assert_int_equal(v.shift, SX_CHUNK_SHIFT);
    for (i = 0; i < n; i += i + 24000 < n ? 13 : 1)
        if (v.chunks[i >> v.shift] && !kit_row_is(sx_rows_at(&v, (uint32_t)i), size, i))
            fail_msg("row %llu of %llu", (unsigned long long)i, (unsigned long long)n);
    if (n && v.chunks[0] && v.chunks[(n - 1) >> v.shift]) {
        uint32_t ids[4] = {(uint32_t)n - 1, 0, (uint32_t)(n > 70000 ? 70000 - 1 : n / 2), 0};

        if (v.chunks[ids[2] >> v.shift]) {
            assert_int_equal(k->rows->gather(k->self, h, ids, 4, buf, &k->err), 0);
            for (i = 0; i < 4; i++)
                assert_true(kit_row_is(buf + i * size, size, ids[i]));
        }
    }
    th_leave();
}

/* --- flush --- */

struct kit_flush {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int done, rc;
    struct sx_store_mark mark;
    struct sx_blobs_mark bmark;
    char msg[240];
};

static inline void kit_flush_init(struct kit_flush *f)
{
    memset(f, 0, sizeof(*f));
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->cond, NULL);
}

static inline void kit_flush_end(struct kit_flush *f, int rc, const struct sx_err *err)
{
    f->rc = rc;
    if (rc)
        memcpy(f->msg, err->msg, sizeof(f->msg));
    f->done = 1;
    pthread_cond_signal(&f->cond);
}

static inline void
kit_rows_done(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err)
{
    struct kit_flush *f = arg;

    pthread_mutex_lock(&f->lock);
    f->mark = *mark;
    kit_flush_end(f, rc, err);
    pthread_mutex_unlock(&f->lock);
}

static inline void
kit_blobs_done(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err)
{
    struct kit_flush *f = arg;

    pthread_mutex_lock(&f->lock);
    f->bmark = *mark;
    kit_flush_end(f, rc, err);
    pthread_mutex_unlock(&f->lock);
}

static inline int kit_flush_wait(struct kit_flush *f)
{
    int rc;

    pthread_mutex_lock(&f->lock);
    while (!f->done)
        pthread_cond_wait(&f->cond, &f->lock);
    rc = f->rc;
    pthread_mutex_unlock(&f->lock);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->cond);
    return rc;
}

static inline int kit_rows_flush(struct kit *k, void *h, struct sx_store_mark *mark)
{
    struct kit_flush f;
    int rc;

    kit_flush_init(&f);
    k->rows->flush(k->self, h, kit_rows_done, &f);
    rc = kit_flush_wait(&f);
    *mark = f.mark;
    return rc;
}

static inline int kit_blobs_flush(struct kit *k, void *h, struct sx_blobs_mark *mark)
{
    struct kit_flush f;
    int rc;

    kit_flush_init(&f);
    k->blobs->flush(k->self, h, kit_blobs_done, &f);
    rc = kit_flush_wait(&f);
    *mark = f.bmark;
    return rc;
}

/* --- blobs --- */

static inline uint32_t kit_blob_len(uint32_t i)
{
    return i % 7 == 0 ? 0 : i * 37 % 700;
}

/* Opens what a mark says; mark NULL = a new store. */
static inline int kit_blobs_open(struct kit *k,
                                 uint64_t segment_bytes,
                                 const struct sx_blobs_mark *mark,
                                 const uint32_t *absent,
                                 uint32_t n_absent,
                                 void **h)
{
    struct sx_blobs_conf conf = {.size = (uint32_t)sizeof(conf), .segment_bytes = segment_bytes};

    conf.id = kit_id;
    conf.absent = absent;
    conf.n_absent = n_absent;
    if (mark) {
        conf.known.count = mark->bytes;
        conf.known.tail_crc = mark->tail_crc;
        conf.known_segment = mark->segment;
    }
    return k->blobs->open(k->self, k->io, k->dir, "p", &conf, h, &k->err);
}

/* Puts blobs i .. i+n-1 in one call. */
static inline int kit_put(struct kit *k, void *h, uint32_t i, uint32_t n, sx_locator *locs)
{
    struct sx_str *v = calloc(n, sizeof(*v));
    uint32_t j;
    int rc;

    for (j = 0; j < n; j++) {
        v[j].n = kit_blob_len(i + j);
        if (v[j].n) {
            char *p = malloc(v[j].n);

            kit_row((uint8_t *)p, v[j].n, i + j);
            v[j].p = p;
        }
    }
    rc = k->blobs->put(k->self, h, v, n, locs, &k->err);
    for (j = 0; j < n; j++)
        free((void *)(uintptr_t)v[j].p);
    free(v);
    return rc;
}

struct kit_seen {
    uint32_t first, seen, bad;
};

static inline int kit_blob_sink(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct kit_seen *s = arg;

    if (i != s->seen++ || n != kit_blob_len(s->first + i) || !kit_row_is(p, n, s->first + i))
        s->bad++;
    return 0;
}

static inline int kit_count_sink(void *arg, uint32_t i, const void *p, uint32_t n)
{
    (void)i;
    (void)p;
    *(uint64_t *)arg += n;
    return 0;
}

static inline void kit_blobs_are(struct kit *k, void *h, const sx_locator *locs, uint32_t n)
{
    struct kit_seen s = {0};

    assert_int_equal(k->blobs->get(k->self, h, locs, n, kit_blob_sink, &s, &k->err), 0);
    assert_int_equal(s.seen, n);
    assert_int_equal(s.bad, 0);
}

#endif
