/* The manifest: what is durable of a shard, and the dead bits that go with it.
 *
 * "manifest" is a file head, u32 length and u32 CRC32C of a document, the document. It is written
 * under another name, synced and renamed over the old one, and the directory is synced: a reader
 * finds the old one or the new one, whole. The dead bits of the rows it counts lie in
 * "dead.<generation>", complete before the manifest that names them is in place. Both are primary:
 * damage makes the shard red. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shard.h"

#include "sextant/sx_ban.h"

#define MANIFEST_VERSION 1u
#define MANIFEST_MAX     (64u << 20)

static void dead_name(char out[32], uint64_t generation)
{
    snprintf(out, 32, "dead.%016" PRIx64, generation);
}

static void
head_fill(struct sx_file_head *h, uint32_t kind, const struct sx_store_id *id, uint64_t generation)
{
    memset(h, 0, sizeof(*h));
    h->kind = kind;
    h->version = MANIFEST_VERSION;
    memcpy(h->uuid, id->uuid, sizeof(h->uuid));
    h->shard = id->shard;
    h->generation = generation;
    sx_file_head_seal(h);
}

static int head_ok(const struct sx_file_head *h,
                   uint32_t kind,
                   const struct sx_store_id *id,
                   const char *file,
                   struct sx_err *err)
{
    int rc = sx_file_head_check(h, kind, MANIFEST_VERSION, err);
    if (rc == 0 && (memcmp(h->uuid, id->uuid, sizeof(h->uuid)) != 0 || h->shard != id->shard))
        rc = sx_err_set(err, SX_ECORRUPT, "belongs to another collection (offset 0)");
    return rc == 0 ? 0 : sx_err_wrap(err, "%s", file);
}

/* Head, length, CRC, body: durable under `name` after a rename from "<name>.new". */
static int write_whole(struct eng *e,
                       struct sx_dir *dir,
                       const char *name,
                       const struct sx_file_head *h,
                       const void *body,
                       uint32_t n,
                       struct sx_err *err)
{
    char tmp[48];
    struct sx_file *f = NULL;
    uint32_t meta[2] = {n, sx_crc32c(0, body, n)};
    snprintf(tmp, sizeof(tmp), "%s.new", name);
    int rc = e->io->open(dir, tmp, SX_IO_WRITE | SX_IO_CREATE, &f, err);
    if (rc != 0)
        return rc;
    rc = e->io->truncate(f, 0, err);
    if (rc == 0)
        rc = e->io->pwrite(f, h, sizeof(*h), 0, err);
    if (rc == 0)
        rc = e->io->pwrite(f, meta, sizeof(meta), sizeof(*h), err);
    if (rc == 0)
        rc = e->io->pwrite(f, body, n, sizeof(*h) + sizeof(meta), err);
    if (rc == 0)
        rc = e->io->datasync(f, err);
    e->io->close(f);
    if (rc == 0)
        rc = e->io->rename(dir, tmp, dir, name, err);
    else /* the disk may be full, and half a file is in the way of the next */
        (void)e->io->unlink(dir, tmp, NULL);
    if (rc == 0)
        rc = e->io->dir_sync(dir, err);
    return rc;
}

/* Returns owned body bytes. */
static int read_whole(struct eng *e,
                      struct sx_dir *dir,
                      const char *name,
                      uint32_t kind,
                      const struct sx_store_id *id,
                      uint32_t max,
                      uint8_t **body,
                      uint32_t *n,
                      struct sx_err *err)
{
    struct sx_file *f = NULL;
    struct sx_file_head h;
    uint32_t meta[2];
    uint8_t *p = NULL;
    int rc = e->io->open(dir, name, SX_IO_READ, &f, err);
    if (rc != 0) {
        int code = rc == SX_ENOTFOUND ? SX_ECORRUPT : rc;
        sx_err_set(err, code, "%s is missing or cannot be opened", name);
        return code;
    }
    int64_t got = e->io->pread(f, &h, sizeof(h), 0, err);
    if (got < 0)
        rc = (int)got;
    else if (got < (int64_t)sizeof(h))
        rc = sx_err_set(err, SX_ECORRUPT, "%s: too short, offset %lld", name, (long long)got);
    else
        rc = head_ok(&h, kind, id, name, err);
    if (rc == 0) {
        got = e->io->pread(f, meta, sizeof(meta), sizeof(h), err);
        if (got != (int64_t)sizeof(meta) || meta[0] > max)
            rc = sx_err_set(err, SX_ECORRUPT, "%s: bad length at offset %zu", name, sizeof(h));
    }
    if (rc == 0 && !(p = e->mem->alloc(e->mem, meta[0] ? meta[0] : 1)))
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0) {
        got = e->io->pread(f, p, meta[0], sizeof(h) + sizeof(meta), err);
        if (got != (int64_t)meta[0])
            rc = sx_err_set(err, SX_ECORRUPT, "%s: too short, offset %lld", name,
                            (long long)(got < 0 ? 0 : got) + (long long)(sizeof(h) + sizeof(meta)));
        else if (sx_crc32c(0, p, meta[0]) != meta[1])
            rc = sx_err_set(err, SX_ECORRUPT, "%s: checksum mismatch at offset %zu", name,
                            sizeof(h) + sizeof(meta));
    }
    e->io->close(f);
    if (rc != 0) {
        e->mem->release(e->mem, p);
        return rc;
    }
    *body = p;
    *n = meta[0];
    return 0;
}

static void put_u64(struct sx_docb *b, const char *key, uint64_t v)
{
    sx_docb_ckey(b, key);
    sx_docb_u64(b, v);
}

static void put_mark(struct sx_docb *b, const char *key, const struct sx_store_mark *m)
{
    sx_docb_ckey(b, key);
    sx_docb_obj(b);
    put_u64(b, "count", m->count);
    put_u64(b, "tail_crc", m->tail_crc);
    sx_docb_close(b);
}

static uint64_t get_u64(struct sx_doc d, const char *key)
{
    struct sx_doc_num v = sx_doc_num(sx_doc_get(d, key));
    return v.type == SX_DOC_U64 || (v.type == SX_DOC_I64 && v.v.i >= 0) ? v.v.u : 0;
}

static struct sx_store_mark get_mark(struct sx_doc d, const char *key)
{
    struct sx_doc m = sx_doc_get(d, key);
    return (struct sx_store_mark){get_u64(m, "count"), (uint32_t)get_u64(m, "tail_crc"), 0};
}

static void put_blobs_mark(struct sx_docb *b, const char *key, const struct sx_blobs_mark *m)
{
    sx_docb_ckey(b, key);
    sx_docb_obj(b);
    put_u64(b, "segment", m->segment);
    put_u64(b, "bytes", m->bytes);
    put_u64(b, "tail_crc", m->tail_crc);
    sx_docb_close(b);
}

static struct sx_blobs_mark get_blobs_mark(struct sx_doc d, const char *key)
{
    struct sx_doc m = sx_doc_get(d, key);
    return (struct sx_blobs_mark){(uint32_t)get_u64(m, "segment"), (uint32_t)get_u64(m, "tail_crc"),
                                  get_u64(m, "bytes")};
}

/* Absent numbers as runs: first, length, first, length ... */
static void put_absent(struct sx_docb *b, const char *key, const struct eng_absent *a)
{
    if (a->end == 0)
        return;
    sx_docb_ckey(b, key);
    sx_docb_obj(b);
    put_u64(b, "end", a->end);
    sx_docb_ckey(b, "runs");
    sx_docb_arr(b);
    for (uint32_t i = 0, n; i < a->n; i += n) {
        for (n = 1; i + n < a->n && a->at[i + n] == a->at[i] + n;)
            n++;
        sx_docb_u64(b, a->at[i]);
        sx_docb_u64(b, n);
    }
    sx_docb_close(b);
    sx_docb_close(b);
}

static uint64_t u64_of(struct sx_doc list, uint32_t i)
{
    struct sx_doc_num v = sx_doc_elem_num(list, i);
    return v.type == SX_DOC_U64 || (v.type == SX_DOC_I64 && v.v.i >= 0) ? v.v.u : UINT64_MAX;
}

static int get_absent(
    struct eng *e, struct sx_doc d, const char *key, struct eng_absent *out, struct sx_err *err)
{
    struct sx_doc a = sx_doc_get(d, key), runs = sx_doc_get(a, "runs");
    uint32_t n = sx_doc_count(runs);
    uint64_t end = get_u64(a, "end"), total = 0, above = 0;
    *out = (struct eng_absent){NULL, 0, 0};
    if (!a.p)
        return 0;
    for (uint32_t i = 0; i + 1 < n; i += 2) {
        uint64_t first = u64_of(runs, i), len = u64_of(runs, i + 1);
        if (first < above || first >= end || len == 0 || len > end - first)
            return sx_err_set(err, SX_ECORRUPT, "manifest: impossible list of absent files");
        above = first + len;
        total += len;
    }
    if (end > UINT32_MAX || n % 2)
        return sx_err_set(err, SX_ECORRUPT, "manifest: impossible list of absent files");
    out->end = (uint32_t)end;
    if (total == 0)
        return 0;
    out->at = e->mem->alloc(e->mem, total * sizeof(*out->at));
    if (!out->at)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i + 1 < n; i += 2) {
        uint32_t first = (uint32_t)u64_of(runs, i);
        uint32_t len = (uint32_t)u64_of(runs, i + 1);
        for (uint32_t k = 0; k < len; k++)
            out->at[out->n++] = first + k;
    }
    return 0;
}

static int write_dead(struct eng *e,
                      struct sx_dir *dir,
                      const struct sx_store_id *id,
                      const struct eng_manifest *m,
                      struct sx_err *err)
{
    char name[32];
    struct sx_file_head h;
    dead_name(name, m->generation);
    head_fill(&h, SX_FILE_DEAD, id, m->generation);
    return write_whole(e, dir, name, &h, m->dead, (uint32_t)((m->n_bits + 63) / 64 * 8), err);
}

int eng_manifest_write(struct eng *e,
                       struct sx_dir *dir,
                       const struct sx_store_id *id,
                       const struct eng_manifest *m,
                       struct sx_err *err)
{
    struct sx_docb b;
    struct sx_file_head h;
    int rc = m->n_dead ? write_dead(e, dir, id, m, err) : 0;
    if (rc != 0)
        return rc;
    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    put_u64(&b, "operation", m->operation);
    put_u64(&b, "dead", m->n_dead);
    put_mark(&b, "rows", &m->rows);
    put_blobs_mark(&b, "payload", &m->payload);
    put_absent(&b, "rows_absent", &m->rows_absent);
    put_absent(&b, "payload_absent", &m->payload_absent);
    sx_docb_ckey(&b, "columns");
    sx_docb_arr(&b);
    for (uint32_t i = 0; i < m->n_columns; i++) {
        sx_docb_obj(&b);
        put_u64(&b, "id", m->columns[i].id);
        put_mark(&b, "vec", &m->columns[i].vec);
        put_mark(&b, "loc", &m->columns[i].loc);
        put_blobs_mark(&b, "blobs", &m->columns[i].blobs);
        put_absent(&b, "vec_absent", &m->columns[i].vec_absent);
        put_absent(&b, "blobs_absent", &m->columns[i].blobs_absent);
        sx_docb_close(&b);
    }
    sx_docb_close(&b);
    sx_docb_ckey(&b, "schema");
    sx_docb_doc(&b, m->schema);
    sx_docb_close(&b);
    struct sx_doc d = sx_docb_end(&b);
    head_fill(&h, SX_FILE_MANIFEST, id, m->generation);
    rc = d.p ? write_whole(e, dir, "manifest", &h, d.p, d.n, err)
             : sx_err_set(err, SX_ENOMEM, "out of memory");
    sx_docb_fini(&b);
    if (rc == 0 && m->generation > 1) {
        char name[32];
        dead_name(name, m->generation - 1);
        (void)e->io->unlink(dir, name, NULL); /* usually there is none; a leftover does no harm */
    }
    return rc;
}

static int copy_schema(struct eng *e, struct sx_doc d, struct eng_manifest *out, struct sx_err *err)
{
    struct sx_doc schema = sx_doc_get(d, "schema");
    if (sx_doc_type(schema) != SX_DOC_OBJ)
        return sx_err_set(err, SX_ECORRUPT, "manifest: no schema");
    uint8_t *copy = e->mem->alloc(e->mem, schema.n);
    if (!copy)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    memcpy(copy, schema.p, schema.n);
    out->schema = (struct sx_doc){copy, schema.n, 0};
    return 0;
}

/* What the dead bits cover: all chunks in use. */
static uint64_t rows_covered(const struct eng_manifest *m)
{
    uint64_t n = (m->rows.count + SX_CHUNK_ROWS - 1) >> SX_CHUNK_SHIFT;
    return (n > m->rows_absent.end ? n : m->rows_absent.end) << SX_CHUNK_SHIFT;
}

static int parse(struct eng *e,
                 struct sx_doc d,
                 uint64_t generation,
                 struct eng_manifest *out,
                 struct sx_err *err)
{
    struct sx_doc cols = sx_doc_get(d, "columns");
    memset(out, 0, sizeof(*out));
    out->generation = generation;
    out->operation = get_u64(d, "operation");
    out->n_dead = get_u64(d, "dead");
    out->rows = get_mark(d, "rows");
    out->payload = get_blobs_mark(d, "payload");
    out->n_columns = sx_doc_count(cols);
    int rc = get_absent(e, d, "rows_absent", &out->rows_absent, err);
    if (rc == 0)
        rc = get_absent(e, d, "payload_absent", &out->payload_absent, err);
    if (rc != 0)
        return rc;
    out->n_bits = rows_covered(out);
    if (out->n_columns > ENG_MAX_COLUMNS || out->n_bits >= ENG_NO_ROW || out->n_dead > out->n_bits)
        return sx_err_set(err, SX_ECORRUPT, "manifest: impossible counts");
    for (uint32_t i = 0; i < out->n_columns; i++) {
        struct sx_doc c = sx_doc_elem(cols, i);
        out->columns[i].id = (uint32_t)get_u64(c, "id");
        out->columns[i].vec = get_mark(c, "vec");
        out->columns[i].loc = get_mark(c, "loc");
        out->columns[i].blobs = get_blobs_mark(c, "blobs");
        rc = get_absent(e, c, "vec_absent", &out->columns[i].vec_absent, err);
        if (rc == 0)
            rc = get_absent(e, c, "blobs_absent", &out->columns[i].blobs_absent, err);
        if (rc != 0)
            return rc;
        /* Between two chunks each store may name another place. */
        if (out->columns[i].vec.count >= ENG_NO_LOC ||
            out->columns[i].loc.count % SX_CHUNK_ROWS != out->rows.count % SX_CHUNK_ROWS ||
            (out->rows.count % SX_CHUNK_ROWS && out->columns[i].loc.count != out->rows.count))
            return sx_err_set(err, SX_ECORRUPT, "manifest: impossible counts of column %u", i);
    }
    return 0;
}

int eng_manifest_read(struct eng *e,
                      struct sx_dir *dir,
                      const struct sx_store_id *id,
                      struct eng_manifest *out,
                      struct sx_err *err)
{
    uint8_t *body = NULL;
    uint32_t n = 0;
    struct sx_file *f = NULL;
    struct sx_file_head h;
    memset(out, 0, sizeof(*out));
    int rc = read_whole(e, dir, "manifest", SX_FILE_MANIFEST, id, MANIFEST_MAX, &body, &n, err);
    if (rc != 0)
        return rc;
    if (sx_doc_check(body, n) != 0)
        rc = sx_err_set(err, SX_ECORRUPT, "manifest: malformed document");
    if (rc == 0)
        rc = e->io->open(dir, "manifest", SX_IO_READ, &f, err);
    if (rc == 0) {
        if (e->io->pread(f, &h, sizeof(h), 0, err) != (int64_t)sizeof(h))
            rc = sx_err_set(err, SX_EIO, "manifest: cannot be read");
        e->io->close(f);
    }
    if (rc == 0)
        rc = parse(e, (struct sx_doc){body, n, 0}, h.generation, out, err);
    if (rc == 0)
        rc = copy_schema(e, (struct sx_doc){body, n, 0}, out, err);
    e->mem->release(e->mem, body);
    if (rc != 0)
        eng_manifest_fini(e, out);
    if (rc != 0 || out->n_dead == 0)
        return rc;

    char name[32];
    dead_name(name, out->generation);
    uint64_t bytes = (out->n_bits + 63) / 64 * 8;
    rc = read_whole(e, dir, name, SX_FILE_DEAD, id, UINT32_MAX - 1, &body, &n, err);
    if (rc == 0 && n != bytes) {
        e->mem->release(e->mem, body);
        rc = sx_err_set(err, SX_ECORRUPT, "%s: wrong length", name);
    }
    if (rc == 0)
        out->dead = (uint64_t *)(void *)body;
    else
        eng_manifest_fini(e, out);
    return rc;
}

void eng_manifest_fini(struct eng *e, struct eng_manifest *m)
{
    e->mem->release(e->mem, m->dead);
    e->mem->release(e->mem, (void *)(uintptr_t)m->schema.p);
    e->mem->release(e->mem, m->rows_absent.at);
    e->mem->release(e->mem, m->payload_absent.at);
    for (uint32_t i = 0; i < m->n_columns && i < ENG_MAX_COLUMNS; i++) {
        e->mem->release(e->mem, m->columns[i].vec_absent.at);
        e->mem->release(e->mem, m->columns[i].blobs_absent.at);
    }
    memset(m, 0, sizeof(*m));
}
