/* Images of sealed parts and the files they lie in.
 *
 * "<field id>-<chunk>-<offset of the first row>.part" is an image and nothing else, written under
 * another name, synced and renamed. At open heads and lengths are read and the files are mapped;
 * contents are checked when somebody first looks at the part, against the checksum of all bytes
 * and offset by offset (a snapshot may bring files that were made with ill intent).
 *
 * Files that hold rows beyond those the manifest counts are removed at open, and so durably that
 * they cannot come back after a power cut, when other rows have taken those numbers.
 *
 * Threads: seal on the pool, save, unlink and scan may block, good anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

#define NAME_MAX_BYTES 64u

static void part_name(const struct eng_field *f, uint32_t lo, const char *suffix, char *out)
{
    (void)snprintf(out, NAME_MAX_BYTES, "%u-%u-%u.part%s", f->schema->id, lo >> SX_CHUNK_SHIFT,
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

/* Does the head say that these are `bytes` bytes of a part of this index? */
static int head_check(const struct eng_field *f,
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
    char name[NAME_MAX_BYTES];
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
    part_name(f, p->lo, "", name);
    sx_log(f->eng->host, SX_LOG_WARN, "field", "%s: %s; rows %u to %u are indexed again", name,
           rc == SX_ECHECKSUM ? "checksum mismatch" : "malformed contents", p->lo, p->hi);
    return 0;
}

static struct field_part *part_sealed(const struct eng_field *f, uint32_t lo, uint32_t hi)
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
    struct field_part *p = part_sealed(f, lo, hi);
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
    struct field_part *to = part_sealed(f, p->lo, p->hi);
    char name[NAME_MAX_BYTES], tmp[NAME_MAX_BYTES];
    struct sx_file *file = NULL;
    int rc;

    if (to == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    part_name(f, p->lo, "", name);
    part_name(f, p->lo, ".new", tmp);
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
    char name[NAME_MAX_BYTES];
    int rc;

    part_name(f, lo, "", name);
    rc = f->eng->io->unlink(f->conf.dir, name, err);
    return rc == SX_ENOTFOUND ? SX_OK : rc;
}

/* --- opening ----------------------------------------------------------------------------- */

struct found {
    uint32_t lo, is_new; /* is_new: left over from a save that was cut short */
};

struct scan {
    struct eng_field *f;
    struct found *at;
    uint32_t n, cap, failed, is_removal;
};

/* The number at *p, without leading zeros and signs; what would not be printed so is not ours
 * (checked by printing it again). */
static int read_number(const char **p, char end, uint32_t *out)
{
    uint64_t v = 0;
    const char *s = *p;

    while (*s >= '0' && *s <= '9' && v <= UINT32_MAX)
        v = v * 10 + (uint64_t)(*s++ - '0');
    if (s == *p || v > UINT32_MAX || *s != end)
        return 0;
    *p = s + 1;
    *out = (uint32_t)v;
    return 1;
}

static int name_parse(const struct eng_field *f, const char *name, struct found *out)
{
    uint32_t id, chunk, offset;
    char again[NAME_MAX_BYTES];
    const char *p = name;

    if (!read_number(&p, '-', &id) || id != f->schema->id || !read_number(&p, '-', &chunk) ||
        !read_number(&p, '.', &offset) || offset >= SX_CHUNK_ROWS ||
        chunk > UINT32_MAX >> SX_CHUNK_SHIFT)
        return 0;
    out->lo = chunk << SX_CHUNK_SHIFT | offset;
    out->is_new = 0;
    part_name(f, out->lo, "", again);
    if (strcmp(name, again) == 0)
        return 1;
    out->is_new = 1;
    part_name(f, out->lo, ".new", again);
    return strcmp(name, again) == 0;
}

static int see_name(void *arg, const char *name, uint32_t is_dir)
{
    struct scan *s = arg;
    struct found one;

    if (is_dir || !name_parse(s->f, name, &one))
        return 0;
    if (s->n == s->cap) {
        const struct sx_mem *mem = s->f->eng->mem;
        uint32_t cap = s->cap != 0 ? s->cap * 2 : 64;
        struct found *at = mem->resize(mem, s->at, (uint64_t)cap * sizeof(*at));

        if (at == NULL) {
            s->failed = 1;
            return 1;
        }
        s->at = at;
        s->cap = cap;
    }
    s->at[s->n++] = one;
    return 0;
}

/* Names first: nothing is removed while the directory is being read. */
static int list_names(struct eng_field *f, struct scan *s, struct sx_err *err)
{
    int rc;

    *s = (struct scan){.f = f};
    rc = f->eng->io->dir_list(f->conf.dir, see_name, s, err);
    if (rc >= 0 && s->failed)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    return rc < 0 ? rc : SX_OK;
}

static void remove_one(struct scan *s, const struct found *one, const char *why)
{
    struct eng_field *f = s->f;
    char name[NAME_MAX_BYTES];
    struct field_trash *t;
    int rc;

    part_name(f, one->lo, one->is_new ? ".new" : "", name);
    rc = f->eng->io->unlink(f->conf.dir, name, NULL);
    s->is_removal = 1;
    if (why != NULL)
        sx_log(f->eng->host, SX_LOG_WARN, "field", "%s: %s; %s", name, why,
               rc == SX_OK ? "removed" : "cannot be removed");
    if (rc == SX_OK || rc == SX_ENOTFOUND || one->is_new)
        return;
    /* Tried again before anything new is saved. */
    t = f->eng->mem->zalloc(f->eng->mem, sizeof(*t));
    if (t != NULL) {
        *t = (struct field_trash){f->trash, one->lo, 0};
        f->trash = t;
    }
}

static int map_one(const struct eng_field *f,
                   const struct found *one,
                   uint32_t n_rows,
                   struct field_part **out,
                   struct sx_err *err)
{
    const struct sx_io *io = f->eng->io;
    struct sx_file *file = NULL;
    char name[NAME_MAX_BYTES];
    struct field_part *p = NULL;
    struct field_head h;
    int64_t length, got;
    int rc;

    part_name(f, one->lo, "", name);
    rc = io->open(f->conf.dir, name, SX_IO_READ, &file, err);
    if (rc != SX_OK)
        return rc;
    length = io->length(file, err);
    got = length >= 0 ? io->pread(file, &h, sizeof(h), 0, err) : length;
    if (got < 0)
        rc = (int)got;
    else if (got != (int64_t)sizeof(h))
        rc = sx_err_set(err, SX_ECORRUPT, "cut at offset %lld", (long long)got);
    else
        rc = head_check(f, &h, (uint64_t)length, err);
    if (rc == SX_OK && h.lo != one->lo)
        rc = sx_err_set(err, SX_ECORRUPT, "head of another part");
    if (rc == SX_OK && h.hi > n_rows)
        rc = sx_err_set(err, SX_ECORRUPT, "holds rows up to %u, the shard %u", h.hi, n_rows);
    if (rc == SX_OK && (p = part_sealed(f, h.lo, h.hi)) == NULL)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == SX_OK)
        rc = io->map(file, 0, h.bytes, NULL, &p->map, err);
    io->close(file);
    if (rc != SX_OK) {
        if (p != NULL)
            eng_field_part_destroy(p);
        return rc;
    }
    p->image = p->map;
    p->bytes = h.bytes;
    *out = p;
    return SX_OK;
}

static int by_lo(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return x->lo != y->lo ? (x->lo > y->lo) - (x->lo < y->lo)
                          : (x->is_new > y->is_new) - (x->is_new < y->is_new);
}

/* Takes p into the list unless it overlaps a longer part; what has to go is removed. */
static void take(struct scan *s, struct field_list *l, struct field_part *p)
{
    struct field_ref *last = l->n != 0 ? &l->at[l->n - 1] : NULL;
    struct field_part *gone = NULL;

    if (last != NULL && last->hi > p->lo) {
        gone = last->hi - last->lo >= p->hi - p->lo ? p : last->part;
        if (gone != p)
            l->n--;
    }
    if (gone != p)
        l->at[l->n++] = (struct field_ref){p, p->lo, p->hi};
    if (gone != NULL) {
        struct found one = {gone->lo, 0};

        eng_field_part_destroy(gone);
        remove_one(s, &one, "overlaps another part");
    }
}

int eng_field_scan(struct eng_field *f,
                   uint32_t n_rows,
                   struct field_list **out,
                   struct sx_err *err)
{
    struct sx_err why = SX_ERR_INIT;
    struct field_part *p;
    struct field_list *l;
    struct scan s;
    int rc = list_names(f, &s, err);

    l = rc == SX_OK ? eng_field_list_new(f, s.n + 1) : NULL;
    if (rc == SX_OK && l == NULL)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (s.n != 0)
        qsort(s.at, s.n, sizeof(s.at[0]), by_lo);
    for (uint32_t i = 0; i < s.n && rc == SX_OK; i++) {
        if (s.at[i].is_new) {
            remove_one(&s, &s.at[i], NULL);
            continue;
        }
        rc = map_one(f, &s.at[i], n_rows, &p, &why);
        if (rc == SX_OK) {
            take(&s, l, p);
        } else if (rc == SX_ENOMEM) {
            rc = sx_err_set(err, rc, "%s", why.msg);
        } else {
            remove_one(&s, &s.at[i], why.msg);
            rc = SX_OK;
        }
    }
    if (s.is_removal && rc == SX_OK)
        rc = f->eng->io->dir_sync(f->conf.dir, err);
    if (s.at != NULL)
        f->eng->mem->release(f->eng->mem, s.at);
    if (rc != SX_OK && l != NULL) {
        for (uint32_t i = 0; i < l->n; i++)
            eng_field_part_destroy(l->at[i].part);
        f->eng->mem->release(f->eng->mem, l);
        l = NULL;
    }
    *out = l;
    return rc;
}

void eng_field_remove_all(const struct eng_field *f)
{
    struct scan s;

    if (list_names((struct eng_field *)(uintptr_t)f, &s, NULL) == SX_OK) {
        for (uint32_t i = 0; i < s.n; i++) {
            char name[NAME_MAX_BYTES];

            part_name(f, s.at[i].lo, s.at[i].is_new ? ".new" : "", name);
            (void)f->eng->io->unlink(f->conf.dir, name, NULL);
        }
    }
    if (s.at != NULL)
        f->eng->mem->release(f->eng->mem, s.at);
}
