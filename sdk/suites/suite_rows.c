/* Conformance of kind rows.
 *
 * A store is filled in uneven batches across blocks of 64 KiB and across chunks, read back by
 * gather() and through rows(), flushed, closed, opened again, and damaged:
 *   - numbers are given in order; rows read byte-exact, before and after a reopen; addresses do not
 *     move while the store grows;
 *   - the mark of a flush has the true count and the true CRC of the tail; what lies beyond `known`
 * at open is cut and written again; flushes in a row each move the mark;
 *   - a cut, missing or flipped file below `known` is SX_ECORRUPT with the file's name, found by
 * open() or by verify(); a store of another collection or generation is refused;
 *   - a dropped chunk is NULL in the table, its neighbours stay, and it may be named absent at
 * open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite_storage.h"

struct rows_store {
    struct storage st;
    const struct sx_rows_ops *ops;
    void *self, *h;
    struct sx_rows_conf conf;
    uint8_t *data; /* the rows as they should be */
    uint32_t n, cap;
    struct sx_store_mark mark; /* of the last flush */
    struct storage_flush flush;
};

static int rows_open(struct rows_store *r, struct sx_err *err)
{
    r->h = NULL;
    return r->ops->open(r->self, r->st.io, r->st.dir, "vec", &r->conf, &r->h, err);
}

static int rows_must_open(struct rows_store *r)
{
    struct sx_err err = SX_ERR_INIT;
    int rc = rows_open(r, &err);
    return sx_suite__check(r->st.s, rc == 0 && r->h != NULL, "%s: open fails with %d: %s",
                           r->st.what, rc, err.msg);
}

static void rows_close(struct rows_store *r)
{
    if (r->h != NULL)
        r->ops->close(r->self, r->h);
    r->h = NULL;
}

/* Appends rows with fresh contents. */
static void rows_append(struct rows_store *r, uint32_t n)
{
    struct sx_err err = SX_ERR_INIT;
    uint32_t first = UINT32_MAX;
    uint8_t *at = r->data + (uint64_t)r->n * r->conf.row_size;
    if (n > r->cap - r->n)
        n = r->cap - r->n;
    sx_storage__fill(r->st.s, at, (uint64_t)n * r->conf.row_size);
    int rc = r->ops->append(r->self, r->h, at, n, &first, &err);
    if (sx_suite__check(r->st.s, rc == 0, "%s: append of %u fails with %d: %s", r->st.what, n, rc,
                        err.msg)) {
        sx_suite__check(r->st.s, n == 0 || first == r->n, "%s: append numbers %u, not %u",
                        r->st.what, first, r->n);
        r->n += n;
    }
}

static void check_gather(struct rows_store *r, uint32_t lowest)
{
    struct sx_err err = SX_ERR_INIT;
    uint32_t ids[64], size = r->conf.row_size;
    uint8_t *out = malloc((uint64_t)SX_COUNT(ids) * size);
    if (out == NULL || r->n <= lowest) {
        free(out);
        return;
    }
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < SX_COUNT(ids); i++)
            ids[i] = lowest + sx_suite__random(r->st.s) % (r->n - lowest);
        ids[0] = r->n - 1;
        ids[1] = lowest;
        int rc = r->ops->gather(r->self, r->h, ids, SX_COUNT(ids), out, &err);
        if (!sx_suite__check(r->st.s, rc == 0, "%s: gather fails with %d: %s", r->st.what, rc,
                             err.msg))
            break;
        for (uint32_t i = 0; i < SX_COUNT(ids); i++)
            sx_suite__check(
                r->st.s,
                memcmp(out + (uint64_t)i * size, r->data + (uint64_t)ids[i] * size, size) == 0,
                "%s: gather gives other bytes for row %u", r->st.what, ids[i]);
    }
    free(out);
}

static void check_table(struct rows_store *r, uint32_t lowest)
{
    struct sx_rows t = {.size = (uint32_t)sizeof(t)};
    uint32_t size = r->conf.row_size;
    if ((r->st.s->pr->caps & SX_STORAGE_ADDRESSABLE) == 0)
        return;
    sx_storage__epoch(&r->st, 1);
    r->ops->rows(r->self, r->h, &t);
    sx_suite__check(r->st.s, t.stride >= size && t.n >= r->n && t.shift <= SX_CHUNK_SHIFT,
                    "%s: table of stride %u, shift %u, %u rows; %u rows of %u bytes exist",
                    r->st.what, t.stride, t.shift, t.n, r->n, size);
    for (uint32_t i = lowest; i < r->n && t.n >= r->n; i++) {
        const void *p = sx_rows_at(&t, i);
        if (!sx_suite__check(r->st.s, (uintptr_t)p % r->conf.align == 0,
                             "%s: row %u is not aligned to %u", r->st.what, i, r->conf.align) ||
            !sx_suite__check(r->st.s, memcmp(p, r->data + (uint64_t)i * size, size) == 0,
                             "%s: the table shows other bytes for row %u", r->st.what, i))
            break;
    }
    sx_storage__epoch(&r->st, 0);
}

static const void *first_address(struct rows_store *r)
{
    struct sx_rows t = {.size = (uint32_t)sizeof(t)};
    if ((r->st.s->pr->caps & SX_STORAGE_ADDRESSABLE) == 0 || r->n == 0)
        return NULL;
    sx_storage__epoch(&r->st, 1);
    r->ops->rows(r->self, r->h, &t);
    const void *p = sx_rows_at(&t, 0);
    sx_storage__epoch(&r->st, 0);
    return p;
}

static void check_all(struct rows_store *r)
{
    check_gather(r, 0);
    check_table(r, 0);
}

/* --- flush --- */

static void flushed(void *arg, int rc, const struct sx_store_mark *mark, const struct sx_err *err)
{
    struct rows_store *r = arg;
    r->flush.rc = rc;
    if (rc == 0)
        r->mark = *mark;
    else if (err != NULL)
        r->flush.err = *err;
    __atomic_store_n(&r->flush.is_done, 1, __ATOMIC_RELEASE);
}

static void file_name(uint32_t chunk, char out[32])
{
    snprintf(out, 32, "vec.%08x", chunk);
}

/* Data bytes of the last chunk, of which the mark covers the partial block. */
static void check_mark(struct rows_store *r)
{
    uint32_t in_chunk = r->n % SX_CHUNK_ROWS, chunk = r->n / SX_CHUNK_ROWS, crc = 0;
    uint64_t end = (uint64_t)in_chunk * r->conf.row_size, from = end - end % SX_BLOCK_BYTES;
    char file[32];
    file_name(chunk, file);
    sx_suite__check(r->st.s, r->mark.count == r->n, "%s: the mark counts %llu rows of %u",
                    r->st.what, (unsigned long long)r->mark.count, r->n);
    if (from != end) {
        int rc = sx_storage__crc(&r->st, file, from, end, &crc);
        sx_suite__check(r->st.s, rc == 0, "%s: the suite cannot read file '%s'", r->st.what, file);
    }
    sx_suite__check(r->st.s, r->mark.tail_crc == crc, "%s: the mark's tail CRC is %08x, not %08x",
                    r->st.what, r->mark.tail_crc, crc);
}

static int rows_flush(struct rows_store *r)
{
    r->flush = (struct storage_flush){.err = SX_ERR_INIT};
    r->ops->flush(r->self, r->h, flushed, r);
    if (!sx_storage__wait(&r->st, &r->flush))
        return 0;
    if ((r->st.s->pr->caps & SX_STORAGE_PERSIST) != 0)
        check_mark(r);
    return 1;
}

static void check_verify(struct rows_store *r, uint32_t from_chunk)
{
    struct sx_err err = SX_ERR_INIT;
    for (uint32_t chunk = from_chunk; (uint64_t)chunk * SX_CHUNK_ROWS < r->n; chunk++) {
        int rc = r->ops->verify(r->self, r->h, chunk, &err);
        sx_suite__check(r->st.s, rc == 0, "%s: verify of chunk %u fails with %d: %s", r->st.what,
                        chunk, rc, err.msg);
    }
}

/* --- files --- */

struct file_sum {
    struct rows_store *r;
    uint64_t bytes;
    uint32_t n;
};

static void add_file(void *arg, const char *file, uint64_t bytes)
{
    struct file_sum *sum = arg;
    struct sx_file *f = NULL;
    int rc = sum->r->st.io->open(sum->r->st.dir, file, SX_IO_READ, &f, NULL);
    if (sx_suite__check(sum->r->st.s, rc == 0, "files names '%s', which is not there", file)) {
        int64_t length = sum->r->st.io->length(f, NULL);
        sx_suite__check(sum->r->st.s, length >= 0 && (uint64_t)length >= bytes,
                        "files says '%s' has %llu durable bytes, the file has %lld", file,
                        (unsigned long long)bytes, (long long)length);
        sum->r->st.io->close(f);
    }
    sum->bytes += bytes;
    sum->n++;
}

static void check_files(struct rows_store *r)
{
    struct file_sum sum = {r, 0, 0};
    uint64_t disk = 0, ram = 0;
    r->ops->files(r->self, r->h, add_file, &sum);
    sx_suite__check(r->st.s, sum.bytes >= (uint64_t)r->n * r->conf.row_size,
                    "files names %llu durable bytes for %u rows", (unsigned long long)sum.bytes,
                    r->n);
    r->ops->stats(r->self, r->h, &disk, &ram);
    sx_suite__check(r->st.s, disk >= (uint64_t)r->n * r->conf.row_size,
                    "stats says %llu bytes of disk for %u rows", (unsigned long long)disk, r->n);
}

/* --- the steps --- */

static void grow(struct rows_store *r, uint32_t to)
{
    static const uint32_t batches[] = {1, 1, 7, 0, 100, 1000, 3, 4096};
    const void *at = NULL;
    for (uint32_t i = 0; r->n < to; i++) {
        uint32_t n = batches[i % SX_COUNT(batches)], before = r->n;
        rows_append(r, n < to - r->n ? n : to - r->n);
        if (r->n == before && n > 0)
            return; /* append failed: the finding is written */
        if (at == NULL)
            at = first_address(r);
    }
    sx_suite__check(r->st.s, at == first_address(r), "%s: row 0 moved while the store grew",
                    r->st.what);
}

static void step_new(struct rows_store *r, uint32_t to)
{
    r->st.what = "new store";
    if (!rows_must_open(r))
        return;
    grow(r, to / 2);
    check_all(r);
    r->st.what = "first flush";
    rows_flush(r);
    grow(r, to);
    r->st.what = "second flush";
    rows_flush(r);
    check_all(r);
    check_verify(r, 0);
    check_files(r);
    rows_close(r);
}

static void step_reopen(struct rows_store *r)
{
    r->st.what = "reopen";
    r->conf.known = r->mark;
    if (!rows_must_open(r))
        return;
    check_all(r);
    check_verify(r, 0);
    /* Rows that no flush covered are cut at the next open and their numbers given again. */
    r->st.what = "rows beyond the mark";
    uint32_t n = r->n;
    rows_append(r, 777);
    check_all(r);
    rows_close(r);
    r->n = n;
    if (!rows_must_open(r))
        return;
    check_all(r);
    rows_append(r, 333);
    check_all(r);
    r->st.what = "flush after a cut";
    rows_flush(r);
    check_verify(r, 0);
    rows_close(r);
    r->conf.known = r->mark;
}

/* Opens, expecting damage to be found by open() or, when the provider reads lazily, by verify(). */
static void expect_corrupt(struct rows_store *r, uint32_t chunk, uint32_t by_open)
{
    struct sx_err err = SX_ERR_INIT;
    char file[32];
    file_name(chunk, file);
    int rc = rows_open(r, &err);
    if (rc == 0 && !by_open)
        rc = r->ops->verify(r->self, r->h, chunk, &err);
    sx_storage__is_corrupt(&r->st, rc, &err, file);
    rows_close(r);
}

static void
flipped(struct rows_store *r, const char *what, uint32_t chunk, uint64_t at, uint32_t by_open)
{
    char file[32];
    file_name(chunk, file);
    r->st.what = what;
    if (sx_storage__flip(&r->st, file, at) != 0)
        return;
    expect_corrupt(r, chunk, by_open);
    sx_storage__flip(&r->st, file, at);
    if (rows_must_open(r)) /* and well again */
        check_gather(r, 0);
    rows_close(r);
}

static void step_damage(struct rows_store *r)
{
    uint32_t last = (r->n - 1) / SX_CHUNK_ROWS;
    uint64_t in_last = (uint64_t)(r->n - last * SX_CHUNK_ROWS) * r->conf.row_size;
    char file[32];
    flipped(r, "a flipped byte in a full block", 0, SX_FILE_HEAD_BYTES + 100, 0);
    flipped(r, "a flipped byte in the tail", last, SX_FILE_HEAD_BYTES + in_last - 1, 1);
    flipped(r, "a flipped byte in the head", last, 9, 1);
    r->st.what = "a store of another collection";
    r->conf.id.uuid[5] ^= 1;
    expect_corrupt(r, 0, 1);
    r->conf.id.uuid[5] ^= 1;
    r->st.what = "a store of another generation";
    r->conf.id.generation++;
    expect_corrupt(r, 0, 1);
    r->conf.id.generation--;
    file_name(last, file);
    r->st.what = "a file that ends below the mark";
    sx_storage__cut(&r->st, file, SX_FILE_HEAD_BYTES + in_last - 1);
    expect_corrupt(r, last, 1);
    r->st.what = "a missing file";
    sx_storage__remove(&r->st, file);
    expect_corrupt(r, last, 1);
}

/* Three chunks, of which the middle one goes. */
static void step_drop(struct rows_store *r)
{
    struct sx_err err = SX_ERR_INIT;
    const uint32_t middle = 1;
    r->st.what = "drop";
    sx_storage__clear(&r->st);
    r->n = 0;
    r->conf.known = (struct sx_store_mark){0};
    if (!rows_must_open(r))
        return;
    grow(r, 2 * SX_CHUNK_ROWS + 500);
    rows_flush(r);
    int rc = r->ops->drop(r->self, r->h, middle, &err);
    sx_suite__check(r->st.s, rc == 0, "drop fails with %d: %s", rc, err.msg);
    check_gather(r, 2 * SX_CHUNK_ROWS);
    check_table(r, 2 * SX_CHUNK_ROWS);
    if ((r->st.s->pr->caps & SX_STORAGE_ADDRESSABLE) != 0) {
        struct sx_rows t = {.size = (uint32_t)sizeof(t)};
        sx_storage__epoch(&r->st, 1);
        r->ops->rows(r->self, r->h, &t);
        sx_suite__check(r->st.s,
                        t.shift == SX_CHUNK_SHIFT && t.chunks[0] != NULL && t.chunks[1] == NULL &&
                            t.chunks[2] != NULL,
                        "drop: the table does not show the middle chunk absent");
        sx_storage__epoch(&r->st, 0);
    }
    rows_flush(r);
    rows_close(r);
    r->conf.known = r->mark;
    expect_corrupt(r, middle, 1);
    r->st.what = "a chunk absent on purpose";
    r->conf.absent = &middle;
    r->conf.n_absent = 1;
    if (rows_must_open(r)) {
        check_gather(r, 2 * SX_CHUNK_ROWS);
        check_table(r, 2 * SX_CHUNK_ROWS);
        rows_append(r, 10);
        check_gather(r, 2 * SX_CHUNK_ROWS);
    }
    rows_close(r);
    r->conf.absent = NULL;
    r->conf.n_absent = 0;
}

static void run_store(struct suite *s, uint32_t row_size, uint32_t align, uint32_t rows)
{
    struct rows_store r = {.ops = s->pr->ops, .self = s->pr->self, .cap = 3 * SX_CHUNK_ROWS};
    if ((uint64_t)r.cap * row_size > STORAGE_DATA_MAX)
        r.cap = STORAGE_DATA_MAX / row_size;
    if (!sx_storage__begin(&r.st, s, "rows"))
        return;
    r.conf = (struct sx_rows_conf){
        .size = (uint32_t)sizeof(r.conf),
        .row_size = row_size,
        .align = align,
        .id = r.st.id,
    };
    r.data = malloc((uint64_t)r.cap * row_size);
    if (sx_suite__check(s, r.data != NULL, "no memory")) {
        step_new(&r, rows);
        if ((s->pr->caps & SX_STORAGE_PERSIST) != 0) {
            step_reopen(&r);
            step_damage(&r);
            if (r.cap == 3 * SX_CHUNK_ROWS)
                step_drop(&r);
        }
    }
    rows_close(&r);
    free(r.data);
    sx_storage__end(&r.st);
}

void sx_suite__rows(struct suite *s)
{
    run_store(s, 4, 4, SX_CHUNK_ROWS + 20000); /* locations: many rows, over a chunk's end */
    run_store(s, 20, 4, 70000);
    run_store(s, 100, 1, 5000);
    run_store(s, 1536, 4, 2000); /* 384 floats; a row crosses blocks */
}
