/* Kind blobs: byte strings in segments.
 *
 * A blob is u32 length, u32 CRC32C, bytes, zeros up to a multiple of 8. Blobs follow each other
 * without gaps and none crosses a segment, so a segment can be walked from its start: verify does,
 * beside the block checksums, which cover lengths and padding too. A blob larger than a segment is
 * alone in one of its own size.
 *
 * A put composes its blobs in a buffer and writes them at once (there is no gathering write in
 * sx_io, and small blobs would be many pieces). Where a blob lies follows from the cursor, the
 * table and the lengths alone (place()), so the locators are worked out again after everything is
 * written and the caller's array is not touched before.
 *
 * A segment that is full is followed by the lowest number that no file has: numbers of dropped
 * segments come back, and the table stays as short as the data is. */
#include <string.h>

#include "sextant/sx_text.h"

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define STORE_BLOB_HEAD   8u
#define BLOB_BYTES_MAX    (64u << 20)
#define SEGMENT_BYTES_MAX (32ull << 30) /* a locator's 32 bits count units of 8 */
#define SEGMENT_BYTES     (64ull << 20) /* when the caller leaves it open */
#define STAGE_KEPT        (256u << 10)

struct place {
    uint32_t segment;
    uint32_t floor; /* of one put: numbers below it are in use, or given out by it */
    uint64_t end;   /* data bytes used in the segment */
};

struct store_blobs {
    struct store_set set; /* first: finish() casts back */
    uint64_t segment_bytes;
    struct place cursor; /* writer only */
    uint8_t *stage;      /* writer only, STAGE_KEPT at most between calls */
    uint64_t stage_cap;
    _Atomic uint64_t dead;
    /* the flush in progress */
    void (*done)(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err);
    void *arg;
};

/* The lowest number that is not in use follows. UINT32_MAX: there is none. */
static void place_next(const struct store_blobs *b, struct place *cursor)
{
    uint32_t n = cursor->floor;

    while (n < UINT32_MAX &&
           (n == cursor->segment || store_set_at((struct store_set *)(uintptr_t)&b->set, n)))
        n++;
    cursor->segment = n;
    cursor->floor = n < UINT32_MAX ? n + 1 : n;
    cursor->end = 0;
}

/* Where the next blob of n bytes goes; moves the cursor behind it. */
static struct place place(const struct store_blobs *b, struct place *cursor, uint32_t n)
{
    uint64_t need = store_blob_room(n);
    struct place at;

    if (cursor->end && cursor->end + need > b->segment_bytes)
        place_next(b, cursor);
    at = *cursor;
    cursor->end += need;
    return at;
}

/* --- open, close --- */

static int blobs_check_conf(const struct sx_blobs_conf *conf, struct sx_err *err)
{
    uint32_t i;

    if (conf->segment_bytes > SEGMENT_BYTES_MAX)
        return sx_err_set(err, SX_EINPUT, "segments of more than 32 GiB");
    if (conf->known.count % 8)
        return sx_err_set(err, SX_EINPUT, "known length is not a multiple of 8");
    for (i = 1; i < conf->n_absent; i++)
        if (conf->absent[i] <= conf->absent[i - 1])
            return sx_err_set(err, SX_EINPUT, "dropped segments are not in order");
    return SX_OK;
}

static int blobs_load(struct store_blobs *b, const struct sx_blobs_conf *conf, struct sx_err *err)
{
    struct store_set *s = &b->set;
    uint64_t number, end = (uint64_t)conf->known_segment + 1;
    uint32_t a = 0, is_gone = 0;
    int rc;

    if (end < conf->n_segments)
        end = conf->n_segments;
    b->cursor.segment = conf->known_segment;
    for (number = 0; number < end; number++) {
        uint32_t last = number == conf->known_segment;
        struct store_known k = {.number = (uint32_t)number, .sealed = !last};
        struct store_file *f;

        if (a < conf->n_absent && conf->absent[a] == number) {
            a++;
            is_gone |= last;
            continue;
        }
        if (last && conf->known.count == 0)
            continue;
        if (last) {
            k.bytes = conf->known.count;
            k.tail_crc = conf->known.tail_crc;
            k.full = SX_FILE_HEAD_BYTES + b->segment_bytes;
            b->cursor.end = k.bytes;
        }
        rc = store_set_room(s, k.number, err);
        if (!rc)
            rc = store_file_open(s, &k, &f, err);
        if (rc)
            return rc;
        store_set_add(s, f);
    }
    if (is_gone)
        place_next(b, &b->cursor);
    b->cursor.floor = 0;
    return SX_OK;
}

static void blobs_close(void *self, void *h)
{
    struct store_blobs *b = h;
    struct store_module *m = self;

    store_set_fini(&b->set);
    m->mem->release(m->mem, b->stage);
    m->mem->release(m->mem, b);
}

static int blobs_open(void *self,
                      const struct sx_io *io,
                      struct sx_dir *dir,
                      const char *name,
                      const struct sx_blobs_conf *conf,
                      void **out,
                      struct sx_err *err)
{
    struct store_module *m = self;
    struct store_blobs *b;
    int rc = blobs_check_conf(conf, err);

    if (rc)
        return sx_err_wrap(err, "%s", name);
    b = m->mem->zalloc(m->mem, sizeof(*b));
    if (!b)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory", name);
    rc = store_set_init(&b->set, m, io, dir, name, &conf->id, err);
    if (rc) {
        m->mem->release(m->mem, b);
        return rc;
    }
    b->set.kind = SX_FILE_BLOBS;
    b->segment_bytes = conf->segment_bytes ? conf->segment_bytes : SEGMENT_BYTES;
    atomic_init(&b->dead, 0);
    rc = blobs_load(b, conf, err);
    if (rc) {
        blobs_close(self, b);
        return rc;
    }
    store_set_sweep(&b->set);
    *out = b;
    return SX_OK;
}

/* --- the writer --- */

static void blob_compose(uint8_t *p, const struct sx_str *blob)
{
    uint64_t room = store_blob_room(blob->n);
    uint32_t head[2] = {blob->n, sx_crc32c(0, blob->p, blob->n)};

    memset(p + room - 8, 0, 8); /* the padding, before the bytes reach into the same 8 */
    memcpy(p, head, sizeof(head));
    if (blob->n)
        memcpy(p + STORE_BLOB_HEAD, blob->p, blob->n);
}

static int stage_room(struct store_blobs *b, uint64_t n, struct sx_err *err)
{
    const struct sx_mem *mem = b->set.m->mem;
    uint8_t *p;

    if (n <= b->stage_cap)
        return SX_OK;
    p = mem->alloc(mem, n);
    if (!p)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory for %llu bytes", b->set.name,
                          (unsigned long long)n);
    mem->release(mem, b->stage);
    b->stage = p;
    b->stage_cap = n;
    return SX_OK;
}

/* Writes the first blobs, as many as lie in one segment; moves the cursor. Returns how many. */
static int64_t put_run(struct store_blobs *b,
                       struct store_op *op,
                       struct place *cursor,
                       const struct sx_str *blobs,
                       uint32_t n,
                       struct sx_err *err)
{
    struct store_set *s = &b->set;
    struct place from = place(b, cursor, blobs[0].n);
    uint64_t bytes, most, at = 0;
    struct store_file *f;
    uint32_t i, k;
    int rc;

    for (k = 1; k < n; k++) {
        struct place before = *cursor;

        if (place(b, cursor, blobs[k].n).segment != from.segment) {
            *cursor = before;
            break;
        }
    }
    bytes = cursor->end - from.end;
    most = cursor->end > b->segment_bytes ? cursor->end : b->segment_bytes;
    rc = store_op_file(s, op, from.segment, SX_FILE_HEAD_BYTES + most, &f, err);
    if (!rc)
        rc = stage_room(b, bytes, err);
    if (rc)
        return rc;
    for (i = 0; i < k; i++) {
        blob_compose(b->stage + at, &blobs[i]);
        at += store_blob_room(blobs[i].n);
    }
    rc = store_file_write(s, f, b->stage, bytes, err);
    return rc ? rc : (int64_t)k;
}

static int
put_seal(struct store_blobs *b, struct store_op *op, uint32_t segment, struct sx_err *err)
{
    struct store_file *f;
    int rc = store_op_file(&b->set, op, segment, 0, &f, err); /* it exists: the cursor is in it */

    return rc ? rc : store_file_seal(&b->set, f, err);
}

static int blobs_put(void *self,
                     void *h,
                     const struct sx_str *blobs,
                     uint32_t n,
                     sx_locator *locs,
                     struct sx_err *err)
{
    struct store_blobs *b = h;
    struct store_op op = {0};
    struct place cursor = b->cursor;
    uint32_t i;
    int rc = SX_OK;

    (void)self;
    for (i = 0; i < n; i++)
        if (blobs[i].n > BLOB_BYTES_MAX)
            return sx_err_set(err, SX_EINPUT, "%s: %u bytes where 64 MiB are the limit",
                              b->set.name, blobs[i].n);
    for (i = 0; i < n && !rc;) {
        struct place look = cursor;
        int64_t k = 0;

        if (place(b, &look, blobs[i].n).segment != cursor.segment) {
            if (look.segment == UINT32_MAX)
                rc = sx_err_set(err, SX_ENOSPACE, "%s: 2^32 segments", b->set.name);
            else
                rc = put_seal(b, &op, cursor.segment, err);
        }
        if (!rc)
            k = put_run(b, &op, &cursor, blobs + i, n - i, err);
        if (k < 0)
            rc = (int)k;
        else
            i += (uint32_t)k;
    }
    if (b->stage_cap > STAGE_KEPT) {
        b->set.m->mem->release(b->set.m->mem, b->stage);
        b->stage = NULL;
        b->stage_cap = 0;
    }
    if (rc) {
        store_op_abort(&b->set, &op);
        return rc;
    }
    /* Before the commit: until then the table says what it said above. */
    for (i = 0; i < n; i++) {
        struct place at = place(b, &b->cursor, blobs[i].n);

        locs[i] = (uint64_t)at.segment << 32 | at.end / 8;
    }
    b->cursor.floor = 0;
    store_op_commit(&b->set, &op);
    return SX_OK;
}

/* --- readers --- */

/* Checks a locator against what was written. In an epoch. */
static int blob_find(struct store_blobs *b,
                     sx_locator loc,
                     struct store_file **file,
                     const uint8_t **p,
                     uint32_t *n,
                     struct sx_err *err)
{
    uint32_t segment = (uint32_t)(loc >> 32);
    uint64_t at = (loc & UINT32_MAX) * 8, bytes;
    struct store_file *f = store_set_at(&b->set, segment);
    char name[STORE_FILE_NAME];
    uint32_t len;

    store_set_name(&b->set, segment, 0, name);
    if (!f)
        return sx_err_set(err, SX_ECORRUPT, "%s: no such segment (offset 0)", name);
    bytes = atomic_load_explicit(&f->bytes, memory_order_acquire); /* store_op_commit() */
    if (at + STORE_BLOB_HEAD > bytes)
        return sx_err_set(err, SX_ECORRUPT, "%s: offset %llu lies behind the end", name,
                          (unsigned long long)(SX_FILE_HEAD_BYTES + at));
    memcpy(&len, f->data + at, sizeof(len));
    if (len > bytes - at - STORE_BLOB_HEAD)
        return sx_err_set(err, SX_ECORRUPT, "%s: length %u at offset %llu reaches behind the end",
                          name, len, (unsigned long long)(SX_FILE_HEAD_BYTES + at));
    *file = f;
    *p = f->data + at + STORE_BLOB_HEAD;
    *n = len;
    return SX_OK;
}

/* Readers take a document's offsets at their word, so its bytes must be those that were written.
 * Some 50 ns for a payload of 400 bytes, and only points that are answered are read. */
static int
blob_intact(struct store_blobs *b, sx_locator loc, const uint8_t *p, uint32_t n, struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    uint32_t crc;

    memcpy(&crc, p - sizeof(crc), sizeof(crc));
    if (crc == sx_crc32c(0, p, n))
        return SX_OK;
    store_set_name(&b->set, (uint32_t)(loc >> 32), 0, name);
    return sx_err_set(err, SX_ECORRUPT, "%s: checksum mismatch at offset %llu", name,
                      (unsigned long long)(SX_FILE_HEAD_BYTES + (loc & UINT32_MAX) * 8));
}

static int blobs_get(void *self,
                     void *h,
                     const sx_locator *locs,
                     uint32_t n,
                     int (*sink)(void *arg, uint32_t i, const void *p, uint32_t n),
                     void *arg,
                     struct sx_err *err)
{
    struct store_blobs *b = h;
    struct store_file *f;
    const uint8_t *p;
    uint32_t i, len;
    int rc = SX_OK;

    (void)self;
    /* One section per blob: a sink may be slow, and what waits for the epoch is everybody's. */
    for (i = 0; i < n && !rc; i++) {
        b->set.m->epoch->enter();
        rc = blob_find(b, locs[i], &f, &p, &len, err);
        if (!rc)
            rc = blob_intact(b, locs[i], p, len, err);
        if (!rc)
            rc = sink(arg, i, p, len);
        b->set.m->epoch->leave();
    }
    return rc;
}

static void blobs_dead(void *self, void *h, sx_locator loc)
{
    struct store_blobs *b = h;
    struct store_file *f;
    const uint8_t *p;
    uint32_t len;

    (void)self;
    if (blob_find(b, loc, &f, &p, &len, NULL))
        return;
    f->dead += store_blob_room(len);
    atomic_fetch_add_explicit(&b->dead, store_blob_room(len), memory_order_relaxed);
}

static int blobs_drop(void *self, void *h, uint32_t segment, struct sx_err *err)
{
    struct store_blobs *b = h;
    struct store_file *f = store_set_at(&b->set, segment);
    uint64_t dead = f ? f->dead : 0;
    int rc;

    (void)self;
    if (segment == b->cursor.segment && b->cursor.end)
        return sx_err_set(err, SX_EPRECOND, "%s: segment %u is being written", b->set.name,
                          segment);
    rc = store_set_drop(&b->set, segment, err);
    /* Gone from the table even if a name could not be removed. */
    if (f && !store_set_at(&b->set, segment))
        atomic_fetch_sub_explicit(&b->dead, dead, memory_order_relaxed);
    return rc;
}

/* --- durability --- */

static void
blobs_finish(struct store_set *s, int rc, const struct store_mark *mark, const struct sx_err *err)
{
    struct store_blobs *b = (struct store_blobs *)s;
    void (*done)(void *, int, const struct sx_blobs_mark *, const struct sx_err *) = b->done;
    void *arg = b->arg;
    struct sx_blobs_mark out = {mark->number, mark->tail_crc, mark->count};

    store_set_unclaim(s);
    done(arg, rc, &out, err);
}

static void blobs_flush(
    void *self,
    void *h,
    void (*done)(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err),
    void *arg)
{
    struct store_blobs *b = h;
    struct store_set *s = &b->set;
    struct store_mark mark = {.count = b->cursor.end, .number = b->cursor.segment};
    struct store_file *f = store_set_at(s, mark.number);
    struct sx_err err = SX_ERR_INIT;

    (void)self;
    if (store_set_claim(s)) {
        struct sx_blobs_mark none = {0};

        (void)sx_err_set(&err, SX_EPRECOND, "%s: a flush is under way", s->name);
        done(arg, SX_EPRECOND, &none, &err);
        return;
    }
    mark.tail_crc = f ? f->crc : 0;
    b->done = done;
    b->arg = arg;
    store_set_flush(s, &mark, blobs_finish);
}

static uint64_t blobs_bytes(void *self, void *h, uint32_t segment)
{
    struct store_blobs *b = h;
    struct store_file *f = store_set_at(&b->set, segment);

    (void)self;
    return f ? atomic_load_explicit(&f->bytes, memory_order_acquire) : 0;
}

static int blobs_verify(void *self, void *h, uint32_t segment, struct sx_err *err)
{
    struct store_blobs *b = h;
    struct store_file *f = store_set_pin(&b->set, segment);
    struct store_walk w = {0};
    struct store_each each = {store_walk_block, &w};
    struct store_durable d;
    int rc;

    (void)self;
    if (!f)
        return sx_err_set(err, SX_ENOTFOUND, "%s: no segment %u", b->set.name, segment);
    store_file_durable(&b->set, f, &d);
    w.end = d.bytes;
    rc = store_check_file(&b->set, f, &d, &each, err);
    store_file_unref(f);
    return rc;
}

static void blobs_files(void *self,
                        void *h,
                        void (*sink)(void *arg, const char *file, uint64_t bytes),
                        void *arg)
{
    struct store_blobs *b = h;

    (void)self;
    store_set_files(&b->set, sink, arg);
}

static void blobs_stats(void *self, void *h, uint64_t *disk, uint64_t *ram, uint64_t *dead_bytes)
{
    struct store_blobs *b = h;

    (void)self;
    *disk = atomic_load_explicit(&b->set.disk, memory_order_relaxed);
    *ram = atomic_load_explicit(&b->set.ram, memory_order_relaxed);
    *dead_bytes = atomic_load_explicit(&b->dead, memory_order_relaxed);
}

const struct sx_blobs_ops store_blobs_ops = {
    .size = (uint32_t)sizeof(struct sx_blobs_ops),
    .open = blobs_open,
    .close = blobs_close,
    .put = blobs_put,
    .get = blobs_get,
    .dead = blobs_dead,
    .drop = blobs_drop,
    .flush = blobs_flush,
    .verify = blobs_verify,
    .files = blobs_files,
    .stats = blobs_stats,
    .bytes = blobs_bytes,
};
