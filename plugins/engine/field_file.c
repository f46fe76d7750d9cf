/* Images of sealed parts and the files they lie in.
 *
 * "<field id>-<chunk>-<offset of the first row>.part" is an image and nothing else, written under
 * another name, synced and renamed. Its head is checked when it is opened (field_open.c), its
 * contents when somebody first looks at the part: against the checksum of all bytes and offset by
 * offset (a snapshot may bring files that were made with ill intent).
 *
 * Threads: seal on the pool; save and unlink may block; good anywhere. */
#include <stdio.h>
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

void eng_field_part_name(const struct eng_field *f, uint32_t lo, const char *suffix, char *out)
{
    (void)snprintf(out, FIELD_NAME_BYTES, "%u-%u-%u.part%s", f->schema->id, lo >> SX_CHUNK_SHIFT,
                   lo & (SX_CHUNK_ROWS - 1), suffix);
}

/* --- images ------------------------------------------------------------------------------ */

static void file_head_fill(const struct eng_field *f, uint32_t lo, struct sx_file_head *h)
{
    const struct sx_store_id *id = &f->conf.id;

    memset(h, 0, sizeof(*h));
    h->kind = SX_FILE_DERIVED;
    h->version = FIELD_FILE_VERSION;
    memcpy(h->uuid, id->uuid, sizeof(h->uuid));
    h->shard = id->shard;
    h->generation = id->generation;
    h->number = lo >> SX_CHUNK_SHIFT;
    sx_file_head_seal(h);
}

static uint32_t head_crc(const struct field_head *h)
{
    return sx_crc32c(0, h, offsetof(struct field_head, crc));
}

static uint64_t stamp_of(const struct eng_field *f)
{
    return f->ops->stamp != NULL ? f->ops->stamp(f->schema) : 0;
}

static void head_fill(const struct eng_field *f,
                      uint32_t lo,
                      uint32_t hi,
                      uint64_t kind_at,
                      uint8_t *image,
                      uint64_t bytes)
{
    struct field_head h;

    memset(&h, 0, sizeof(h));
    file_head_fill(f, lo, &h.file);
    h.lo = lo;
    h.hi = hi;
    h.bytes = bytes;
    h.stamp = stamp_of(f);
    h.kind_at = kind_at;
    h.field = f->schema->id;
    h.type = f->schema->type;
    h.nested = f->schema->nested_steps;
    h.body_crc = sx_crc32c(0, image + sizeof(h), bytes - sizeof(h));
    h.crc = head_crc(&h);
    memcpy(image, &h, sizeof(h));
}

int eng_field_head_check(const struct eng_field *f,
                         const struct field_head *h,
                         uint64_t bytes,
                         struct sx_err *err)
{
    static const uint8_t zero[sizeof(h->zero)];
    struct sx_file_head want;
    int rc = sx_file_head_check(&h->file, SX_FILE_DERIVED, FIELD_FILE_VERSION, err);

    if (rc != SX_OK)
        return rc;
    if (h->crc != head_crc(h) || h->pad != 0 || memcmp(h->zero, zero, sizeof(zero)) != 0)
        return sx_err_set(err, SX_ECORRUPT, "damaged head (offset %u)",
                          (unsigned)sizeof(struct sx_file_head));
    if (h->lo >= h->hi || (h->hi - 1) >> SX_CHUNK_SHIFT != h->lo >> SX_CHUNK_SHIFT ||
        h->kind_at % 64 != 0 || h->kind_at < sizeof(*h) || h->kind_at > h->bytes)
        return sx_err_set(err, SX_ECORRUPT, "impossible head");
    file_head_fill(f, h->lo, &want);
    if (memcmp(&want, &h->file, sizeof(want)) != 0)
        return sx_err_set(err, SX_ECORRUPT, "file of another collection, shard or generation");
    if (h->bytes != bytes)
        return sx_err_set(err, SX_ECORRUPT, "%llu bytes where %llu are expected",
                          (unsigned long long)bytes, (unsigned long long)h->bytes);
    if (h->field != f->schema->id || h->type != f->schema->type ||
        h->nested != f->schema->nested_steps || h->stamp != stamp_of(f))
        return sx_err_set(err, SX_ECORRUPT, "part of another index, or of an older way to read it");
    return SX_OK;
}

static int body_check(const struct eng_field *f, const struct field_part *p)
{
    const struct field_head *h = (const struct field_head *)(const void *)p->image;
    uint64_t used;

    if (sx_crc32c(0, p->image + sizeof(*h), p->bytes - sizeof(*h)) != h->body_crc)
        return SX_ECHECKSUM;
    used = eng_presence_check(field_presence(p), h->kind_at - sizeof(*h));
    if (used == 0 || used + 64 <= h->kind_at - sizeof(*h))
        return SX_ECORRUPT;
    return f->ops->check(f->schema, field_kind(p), p->bytes - h->kind_at);
}

int eng_field_part_good(const struct eng_field *f, struct field_part *p)
{
    /* Two threads may check at the same time and find the same. Relaxed: a state says something
     * about bytes that never change, nothing is published with it. */
    uint32_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
    char name[FIELD_NAME_BYTES];
    int rc;

    if (SX_LIKELY(state == PART_GOOD))
        return 1;
    if (state == PART_DAMAGED)
        return 0;
    rc = body_check(f, p);
    state = rc == SX_OK ? PART_GOOD : PART_DAMAGED;
    atomic_store_explicit(&p->state, state, memory_order_relaxed);
    if (rc == SX_OK)
        return 1;
    eng_field_part_name(f, p->lo, "", name);
    sx_log(f->eng->host, SX_LOG_WARN, "field", "%s: %s; rows %u to %u are indexed again", name,
           rc == SX_ECHECKSUM ? "checksum mismatch" : "malformed contents", p->lo, p->hi);
    return 0;
}

struct field_part *eng_field_part_sealed(const struct eng_field *f, uint32_t lo, uint32_t hi)
{
    struct field_part *p = f->eng->mem->zalloc(f->eng->mem, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->eng = f->eng;
    p->ops = f->ops;
    p->lo = lo;
    p->hi = hi;
    return p;
}

/* Everything behind the head. */
static int build(const struct eng_field *f,
                 const struct field_part *open,
                 uint32_t lo,
                 uint32_t hi,
                 struct sx_buf *b,
                 uint64_t *kind_at)
{
    static const struct field_head no_head;
    static const char zero[64];
    uint32_t base = lo & ~(SX_CHUNK_ROWS - 1);

    sx_buf_add(b, &no_head, sizeof(no_head));
    eng_presence_seal(&open->presence, lo - base, hi - base, b);
    sx_buf_add(b, zero, (64 - b->n % 64) % 64);
    *kind_at = b->n;
    if (b->failed || f->ops->seal(open->open, lo - base, hi - base, b) != SX_OK || b->failed)
        return SX_ENOMEM;
    return SX_OK;
}

int eng_field_seal(const struct eng_field *f,
                   const struct field_part *open,
                   uint32_t lo,
                   uint32_t hi,
                   struct field_part **out,
                   struct sx_err *err)
{
    const struct sx_mem *mem = f->eng->mem;
    struct field_part *p = eng_field_part_sealed(f, lo, hi);
    struct sx_buf b;
    uint64_t kind_at = 0;
    uint8_t *image;
    int rc;

    sx_buf_init(&b, mem);
    rc = p != NULL ? build(f, open, lo, hi, &b, &kind_at) : SX_ENOMEM;
    if (rc == SX_OK) {
        p->block = mem->alloc(mem, b.n + 63);
        rc = p->block != NULL ? SX_OK : SX_ENOMEM;
    }
    if (rc != SX_OK) {
        sx_buf_fini(&b);
        if (p != NULL)
            eng_field_part_destroy(p);
        return sx_err_set(err, SX_ENOMEM, "rows %u to %u: out of memory", lo, hi);
    }
    image = (uint8_t *)(((uintptr_t)p->block + 63) & ~(uintptr_t)63);
    memcpy(image, b.p, b.n);
    head_fill(f, lo, hi, kind_at, image, b.n);
    p->image = image;
    p->bytes = b.n;
    sx_buf_fini(&b);
    atomic_store_explicit(&p->state, PART_GOOD, memory_order_relaxed);
    *out = p;
    return SX_OK;
}

/* --- saving ------------------------------------------------------------------------------ */

static int write_image(const struct eng_field *f,
                       struct sx_file *file,
                       const struct field_part *p,
                       void **map,
                       struct sx_err *err)
{
    const struct sx_io *io = f->eng->io;
    int rc = io->truncate(file, 0, err);

    if (rc == SX_OK)
        rc = io->pwrite(file, p->image, p->bytes, 0, err);
    if (rc == SX_OK)
        rc = io->datasync(file, err);
    if (rc == SX_OK)
        rc = io->map(file, 0, p->bytes, NULL, map, err);
    return rc;
}

int eng_field_save(const struct eng_field *f,
                   const struct field_part *p,
                   struct field_part **out,
                   struct sx_err *err)
{
    const struct sx_io *io = f->eng->io;
    struct field_part *to = eng_field_part_sealed(f, p->lo, p->hi);
    char name[FIELD_NAME_BYTES], tmp[FIELD_NAME_BYTES];
    struct sx_file *file = NULL;
    int rc;

    if (to == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    eng_field_part_name(f, p->lo, "", name);
    eng_field_part_name(f, p->lo, ".new", tmp);
    rc = io->open(f->conf.dir, tmp, SX_IO_WRITE | SX_IO_CREATE, &file, err);
    if (rc == SX_OK) {
        rc = write_image(f, file, p, &to->map, err);
        io->close(file);
        if (rc == SX_OK)
            rc = io->rename(f->conf.dir, tmp, f->conf.dir, name, err);
        if (rc != SX_OK)
            (void)io->unlink(f->conf.dir, tmp, NULL); /* or at the next open */
    }
    to->image = to->map;
    to->bytes = p->bytes;
    if (rc != SX_OK) {
        eng_field_part_destroy(to);
        return sx_err_wrap(err, "%s", name);
    }
    /* What the page cache holds is what was written; the disk is asked at the next open. */
    atomic_store_explicit(&to->state, PART_GOOD, memory_order_relaxed);
    *out = to;
    return SX_OK;
}

int eng_field_unlink(const struct eng_field *f, uint32_t lo, struct sx_err *err)
{
    char name[FIELD_NAME_BYTES];
    int rc;

    eng_field_part_name(f, lo, "", name);
    rc = f->eng->io->unlink(f->conf.dir, name, err);
    return rc == SX_ENOTFOUND ? SX_OK : rc;
}
