/* Kind rows: fixed-size rows, one file per chunk of 65 536.
 *
 * Row r lies in file r / 65 536. A chunk's data is row_size whole 64 KiB blocks, so a full chunk is
 * covered by its side file alone and only the open chunk needs the mark's tail checksum. (Builds
 * with smaller chunks seal a full one like a segment.) Nothing is created before the first append:
 * an empty column costs no file.
 *
 * One chunk is open: the one that holds row `at` - 1, unless that is a chunk's last. Behind a full
 * chunk the caller may begin any number that is absent, so numbers of dropped chunks are used
 * again. */
#include <string.h>

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define ROW_BYTES_MAX  (1u << 20)   /* a chunk's address range stays below 64 GiB */
#define ROWS_MAX       (1ull << 32) /* row numbers are u32 */
#define PREFETCH_AHEAD 4u

struct store_rows {
    struct store_set set; /* first: finish() casts back */
    uint64_t at;          /* writer only: where the next row goes */
    _Atomic uint64_t end; /* behind the highest row there is; stored by the writer with release */
    /* the flush in progress */
    void (*done)(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err);
    void *arg;
};

static uint64_t chunk_bytes(const struct store_set *s)
{
    return (uint64_t)s->stride * SX_CHUNK_ROWS;
}

/* Full chunks that do not end with a block's end are ended like segments. */
static uint32_t is_sealed_full(const struct store_set *s)
{
    return chunk_bytes(s) % SX_BLOCK_BYTES != 0;
}

static uint64_t rows_end(struct store_rows *r)
{
    return atomic_load_explicit(&r->end, memory_order_acquire); /* pairs with rows_raise() */
}

static void rows_raise(struct store_rows *r, uint64_t end)
{
    if (end > atomic_load_explicit(&r->end, memory_order_relaxed))
        atomic_store_explicit(&r->end, end, memory_order_release); /* pairs with rows_end() */
}

/* Chunk numbers in use by a store opened with conf. */
static uint64_t conf_chunks(const struct sx_rows_conf *conf)
{
    uint64_t n = (conf->known.count + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT;

    return conf->n_chunks > n ? conf->n_chunks : n;
}

/* --- open, close --- */

static int rows_check_conf(const struct sx_rows_conf *conf, struct sx_err *err)
{
    uint32_t i, align = conf->align ? conf->align : 1;
    uint64_t open_chunk = conf->known.count >> SX_CHUNK_SHIFT;

    if (conf->row_size == 0 || conf->row_size > ROW_BYTES_MAX)
        return sx_err_set(err, SX_EINPUT, "row size %u", conf->row_size);
    if ((align & (align - 1)) || align > SX_FILE_HEAD_BYTES || conf->row_size % align)
        return sx_err_set(err, SX_EINPUT, "rows of %u bytes cannot be aligned to %u",
                          conf->row_size, align);
    if (conf->known.count > ROWS_MAX)
        return sx_err_set(err, SX_EINPUT, "more than 2^32 rows");
    for (i = 0; i < conf->n_absent; i++) {
        if (i && conf->absent[i] <= conf->absent[i - 1])
            return sx_err_set(err, SX_EINPUT, "dropped chunks are not in order");
        if (conf->absent[i] == open_chunk && conf->known.count % SX_CHUNK_ROWS)
            return sx_err_set(err, SX_EINPUT, "the open chunk %u is dropped", conf->absent[i]);
    }
    return SX_OK;
}

static int rows_load(struct store_rows *r, const struct sx_rows_conf *conf, struct sx_err *err)
{
    struct store_set *s = &r->set;
    uint64_t number, end = conf_chunks(conf), open_chunk = conf->known.count >> SX_CHUNK_SHIFT;
    uint64_t part = conf->known.count % SX_CHUNK_ROWS;
    uint32_t a = 0;
    int rc;

    for (number = 0; number < end; number++) {
        uint64_t n = part && number == open_chunk ? part : SX_CHUNK_ROWS;
        struct store_known k = {
            .number = (uint32_t)number, .bytes = n * s->stride, .full = SX_FILE_HEAD_BYTES};
        struct store_file *f;

        if (a < conf->n_absent && conf->absent[a] == number) {
            a++;
            continue;
        }
        k.full += chunk_bytes(s);
        k.tail_crc = n < SX_CHUNK_ROWS ? conf->known.tail_crc : 0;
        k.sealed = n == SX_CHUNK_ROWS && is_sealed_full(s);
        rc = store_set_room(s, k.number, err);
        if (!rc)
            rc = store_file_open(s, &k, &f, err);
        if (!rc && atomic_load_explicit(&f->bytes, memory_order_relaxed) != n * s->stride) {
            store_file_uncount(s, f);
            store_file_unref(f);
            rc = sx_err_set(err, SX_ECORRUPT, "%s: chunk %u is not full (offset %u)", s->name,
                            k.number, SX_FILE_HEAD_BYTES);
        }
        if (rc)
            return rc;
        store_set_add(s, f);
        rows_raise(r, (number << SX_CHUNK_SHIFT) + n);
    }
    return SX_OK;
}

static void rows_close(void *self, void *h)
{
    struct store_rows *r = h;
    struct store_module *m = self;

    store_set_fini(&r->set);
    m->mem->release(m->mem, r);
}

static int rows_open(void *self,
                     const struct sx_io *io,
                     struct sx_dir *dir,
                     const char *name,
                     const struct sx_rows_conf *conf,
                     void **out,
                     struct sx_err *err)
{
    struct store_module *m = self;
    struct store_rows *r;
    int rc = rows_check_conf(conf, err);

    if (rc)
        return sx_err_wrap(err, "%s", name);
    r = m->mem->zalloc(m->mem, sizeof(*r));
    if (!r)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory", name);
    rc = store_set_init(&r->set, m, io, dir, name, &conf->id, err);
    if (rc) {
        m->mem->release(m->mem, r);
        return rc;
    }
    r->set.kind = SX_FILE_ROWS;
    r->set.stride = conf->row_size;
    rc = rows_load(r, conf, err);
    if (rc) {
        rows_close(self, r);
        return rc;
    }
    store_set_sweep(&r->set);
    r->at = conf->known.count;
    rows_raise(r, r->at);
    *out = r;
    return SX_OK;
}

/* --- the writer --- */

static int
rows_append(void *self, void *h, const void *rows, uint32_t n, uint32_t *first, struct sx_err *err)
{
    struct store_rows *r = h;
    struct store_set *s = &r->set;
    struct store_op op = {0};
    uint64_t at = r->at, end = at + n;
    const uint8_t *p = rows;
    int rc = SX_OK;

    (void)self;
    if (end > ROWS_MAX)
        return sx_err_set(err, SX_ENOSPACE, "%s: 2^32 rows are the limit", s->name);
    while (at < end && !rc) {
        uint64_t run = SX_CHUNK_ROWS - at % SX_CHUNK_ROWS;
        struct store_file *f;

        if (run > end - at)
            run = end - at;
        if (at % SX_CHUNK_ROWS == 0 && store_set_at(s, (uint32_t)(at >> SX_CHUNK_SHIFT))) {
            rc = sx_err_set(err, SX_EPRECOND, "%s: chunk %u is in use", s->name,
                            (uint32_t)(at >> SX_CHUNK_SHIFT));
            break;
        }
        rc = store_op_file(s, &op, (uint32_t)(at >> SX_CHUNK_SHIFT),
                           SX_FILE_HEAD_BYTES + chunk_bytes(s), &f, err);
        if (rc)
            break;
        rc = store_file_write(s, f, p, run * s->stride, err);
        f->staged_seal = f->staged == chunk_bytes(s);
        if (!rc && f->staged_seal && is_sealed_full(s))
            rc = store_file_seal(s, f, err);
        at += run;
        p += run * s->stride;
    }
    if (rc) {
        store_op_abort(s, &op);
        return rc;
    }
    store_op_commit(s, &op);
    *first = (uint32_t)r->at;
    r->at = end;
    rows_raise(r, end);
    return SX_OK;
}

static int rows_begin(void *self, void *h, uint32_t chunk, struct sx_err *err)
{
    struct store_rows *r = h;

    (void)self;
    if (r->at % SX_CHUNK_ROWS)
        return sx_err_set(err, SX_EPRECOND, "%s: the open chunk is not full", r->set.name);
    if (store_set_at(&r->set, chunk))
        return sx_err_set(err, SX_EPRECOND, "%s: chunk %u is in use", r->set.name, chunk);
    r->at = (uint64_t)chunk << SX_CHUNK_SHIFT;
    return SX_OK;
}

/* The checksum of the partial block is worked out again from its bytes: 64 KiB at most. */
static void rows_cut(void *self, void *h, uint64_t at)
{
    struct store_rows *r = h;
    struct store_set *s = &r->set;
    struct store_file *f =
        at % SX_CHUNK_ROWS ? store_set_at(s, (uint32_t)(at >> SX_CHUNK_SHIFT)) : NULL;

    (void)self;
    r->at = at;
    if (f)
        store_file_cut(s, f, at % SX_CHUNK_ROWS * s->stride);
}

static int rows_drop(void *self, void *h, uint32_t chunk, struct sx_err *err)
{
    struct store_rows *r = h;

    (void)self;
    if (r->at % SX_CHUNK_ROWS && chunk == r->at >> SX_CHUNK_SHIFT)
        return sx_err_set(err, SX_EPRECOND, "%s: chunk %u is not full and may not go", r->set.name,
                          chunk);
    return store_set_drop(&r->set, chunk, err);
}

/* --- readers --- */

static void rows_rows(void *self, void *h, struct sx_rows *out)
{
    struct store_rows *r = h;
    uint64_t n = rows_end(r); /* before the table: the table then has them all */
    struct store_table *t = atomic_load_explicit(&r->set.table, memory_order_acquire);

    (void)self;
    out->size = (uint32_t)sizeof(*out);
    out->stride = r->set.stride;
    out->shift = SX_CHUNK_SHIFT;
    out->n = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    out->chunks = t->bases;
}

static int
rows_gather(void *self, void *h, const uint32_t *ids, uint32_t n, void *out, struct sx_err *err)
{
    struct store_rows *r = h;
    struct sx_rows view;
    uint8_t *to = out;
    uint32_t i;

    r->set.m->epoch->enter();
    rows_rows(self, h, &view);
    for (i = 0; i < n; i++) {
        struct store_file *f = store_set_at(&r->set, ids[i] >> view.shift);
        uint64_t need = ((uint64_t)(ids[i] % SX_CHUNK_ROWS) + 1) * view.stride;

        /* acquire: pairs with store_op_commit() */
        if (!f || need > atomic_load_explicit(&f->bytes, memory_order_acquire))
            break;
    }
    rows_rows(self, h, &view); /* at least as new as what was looked at */
    if (i < n) {
        r->set.m->epoch->leave();
        return sx_err_set(err, SX_ENOTFOUND, "%s: no row %u", r->set.name, ids[i]);
    }
    for (i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n)
            __builtin_prefetch(sx_rows_at(&view, ids[i + PREFETCH_AHEAD]));
        memcpy(to, sx_rows_at(&view, ids[i]), view.stride);
        to += view.stride;
    }
    r->set.m->epoch->leave();
    return SX_OK;
}

/* Joins neighbours (as they come: sorted ids give few calls) and asks for whole pages. */
static void rows_advise(void *self, void *h, const uint32_t *ids, uint32_t n)
{
    struct store_rows *r = h;
    const struct sx_io *io = r->set.io;
    struct sx_rows view;
    uintptr_t from = 0, to = 0;
    uint32_t i;

    if (r->set.m->mode != STORE_MMAP)
        return;
    r->set.m->epoch->enter();
    rows_rows(self, h, &view);
    for (i = 0; i < n; i++) {
        uintptr_t a, b;

        if (ids[i] >= view.n || !view.chunks[ids[i] >> view.shift])
            continue;
        a = (uintptr_t)sx_rows_at(&view, ids[i]) / SX_FILE_HEAD_BYTES * SX_FILE_HEAD_BYTES;
        b = store_round_up((uintptr_t)sx_rows_at(&view, ids[i]) + view.stride, SX_FILE_HEAD_BYTES);
        if (a >= from && a <= to) {
            to = b > to ? b : to;
            continue;
        }
        if (to > from)
            (void)io->advise((void *)from, to - from, SX_ADVISE_WILLNEED);
        from = a;
        to = b;
    }
    if (to > from)
        (void)io->advise((void *)from, to - from, SX_ADVISE_WILLNEED);
    r->set.m->epoch->leave();
}

/* --- durability --- */

static void
rows_finish(struct store_set *s, int rc, const struct store_mark *mark, const struct sx_err *err)
{
    struct store_rows *r = (struct store_rows *)s;
    void (*done)(void *, int, const struct sx_store_mark *, const struct sx_err *) = r->done;
    void *arg = r->arg;
    struct sx_store_mark out = {.count = mark->count, .tail_crc = mark->tail_crc};

    store_set_unclaim(s);
    done(arg, rc, &out, err);
}

static void rows_flush(
    void *self,
    void *h,
    void (*done)(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err),
    void *arg)
{
    struct store_rows *r = h;
    struct store_set *s = &r->set;
    struct store_mark mark = {.count = r->at};
    struct sx_err err = SX_ERR_INIT;

    (void)self;
    if (store_set_claim(s)) {
        struct sx_store_mark none = {0};

        (void)sx_err_set(&err, SX_EPRECOND, "%s: a flush is under way", s->name);
        done(arg, SX_EPRECOND, &none, &err);
        return;
    }
    if (mark.count % SX_CHUNK_ROWS) {
        mark.number = (uint32_t)(mark.count >> SX_CHUNK_SHIFT);
        mark.tail_crc = store_set_at(s, mark.number)->crc;
    }
    r->done = done;
    r->arg = arg;
    store_set_flush(s, &mark, rows_finish);
}

static int rows_verify(void *self, void *h, uint32_t chunk, struct sx_err *err)
{
    struct store_rows *r = h;
    struct store_file *f = store_set_pin(&r->set, chunk);
    struct store_durable d;
    int rc;

    (void)self;
    if (!f)
        return sx_err_set(err, SX_ENOTFOUND, "%s: no chunk %u", r->set.name, chunk);
    store_file_durable(&r->set, f, &d);
    rc = store_check_file(&r->set, f, &d, NULL, err);
    store_file_unref(f);
    return rc;
}

static void rows_files(void *self,
                       void *h,
                       void (*sink)(void *arg, const char *file, uint64_t bytes),
                       void *arg)
{
    struct store_rows *r = h;

    (void)self;
    store_set_files(&r->set, sink, arg);
}

static void rows_stats(void *self, void *h, uint64_t *disk, uint64_t *ram)
{
    struct store_rows *r = h;

    (void)self;
    *disk = atomic_load_explicit(&r->set.disk, memory_order_relaxed);
    *ram = atomic_load_explicit(&r->set.ram, memory_order_relaxed);
}

const struct sx_rows_ops store_rows_ops = {
    .size = (uint32_t)sizeof(struct sx_rows_ops),
    .open = rows_open,
    .close = rows_close,
    .append = rows_append,
    .rows = rows_rows,
    .gather = rows_gather,
    .advise = rows_advise,
    .drop = rows_drop,
    .flush = rows_flush,
    .verify = rows_verify,
    .files = rows_files,
    .stats = rows_stats,
    .begin = rows_begin,
    .cut = rows_cut,
};
