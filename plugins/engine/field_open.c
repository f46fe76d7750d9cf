/* The files of an index when its shard is opened: which may be used, and what has to go.
 *
 * Heads and lengths are read and the files are mapped; contents are left for the first use. Files
 * that hold rows beyond those the manifest counts are removed, and so durably that they cannot come
 * back after a power cut, when other rows have taken those numbers.
 *
 * Thread: blocking, before any other call on the index (removal: after the last). */
#include <stdlib.h>
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

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
    char again[FIELD_NAME_BYTES];
    const char *p = name;

    if (!read_number(&p, '-', &id) || id != f->schema->id || !read_number(&p, '-', &chunk) ||
        !read_number(&p, '.', &offset) || offset >= SX_CHUNK_ROWS ||
        chunk > UINT32_MAX >> SX_CHUNK_SHIFT)
        return 0;
    out->lo = chunk << SX_CHUNK_SHIFT | offset;
    out->is_new = 0;
    eng_field_part_name(f, out->lo, "", again);
    if (strcmp(name, again) == 0)
        return 1;
    out->is_new = 1;
    eng_field_part_name(f, out->lo, ".new", again);
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
    char name[FIELD_NAME_BYTES];
    struct field_trash *t;
    int rc;

    eng_field_part_name(f, one->lo, one->is_new ? ".new" : "", name);
    rc = f->eng->io->unlink(f->conf.dir, name, NULL);
    s->is_removal = 1;
    if (why != NULL)
        sx_log(f->eng->host, SX_LOG_WARN, "field", "%s: %s; %s", name, why,
               rc == SX_OK ? "removed" : "cannot be removed");
    if (rc == SX_OK || rc == SX_ENOTFOUND || one->is_new)
        return;
    /* Tried again before anything new is saved. */
    t = f->eng->mem->zalloc(f->eng->mem, sizeof(*t));
    if (t == NULL) {
        f->lost = 1;
        return;
    }
    *t = (struct field_trash){f->trash, one->lo, 0};
    f->trash = t;
}

/* Behind the last row of the chunk. */
static uint64_t rows_end(struct eng_fills rows, uint32_t chunk)
{
    return ((uint64_t)chunk << SX_CHUNK_SHIFT) + (chunk < rows.n ? rows.fill[chunk] : 0);
}

static int map_one(const struct eng_field *f,
                   const struct found *one,
                   struct eng_fills rows,
                   struct field_part **out,
                   struct sx_err *err)
{
    const struct sx_io *io = f->eng->io;
    struct sx_file *file = NULL;
    char name[FIELD_NAME_BYTES];
    struct field_part *p = NULL;
    struct field_head h;
    int64_t length, got;
    int rc;

    eng_field_part_name(f, one->lo, "", name);
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
        rc = eng_field_head_check(f, &h, (uint64_t)length, err);
    if (rc == SX_OK && h.lo != one->lo)
        rc = sx_err_set(err, SX_ECORRUPT, "head of another part");
    if (rc == SX_OK && h.hi > rows_end(rows, h.lo >> SX_CHUNK_SHIFT))
        rc = sx_err_set(err, SX_ECORRUPT, "holds rows up to %u, the shard %llu", h.hi,
                        (unsigned long long)rows_end(rows, h.lo >> SX_CHUNK_SHIFT));
    if (rc == SX_OK && (p = eng_field_part_sealed(f, h.lo, h.hi)) == NULL)
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
                   struct eng_fills rows,
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
        rc = map_one(f, &s.at[i], rows, &p, &why);
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

int eng_field_remove_files(const struct eng_field *f, uint32_t chunk, struct sx_err *err)
{
    struct scan s;
    int rc = list_names((struct eng_field *)(uintptr_t)f, &s, err);

    for (uint32_t i = 0; rc == SX_OK && i < s.n; i++) {
        char name[FIELD_NAME_BYTES];

        if (chunk != UINT32_MAX && s.at[i].lo >> SX_CHUNK_SHIFT != chunk)
            continue;
        eng_field_part_name(f, s.at[i].lo, s.at[i].is_new ? ".new" : "", name);
        rc = f->eng->io->unlink(f->conf.dir, name, err);
        if (rc == SX_ENOTFOUND || chunk == UINT32_MAX)
            rc = SX_OK;
    }
    if (s.at != NULL)
        f->eng->mem->release(f->eng->mem, s.at);
    return rc;
}

int eng_field_clear_files(const struct eng_field *f, struct sx_err *err)
{
    struct scan s;
    if (f->conf.dir == NULL)
        return SX_OK; /* nothing of it is ever saved */
    int rc = list_names((struct eng_field *)(uintptr_t)f, &s, err);
    uint32_t n = rc == SX_OK ? s.n : 0;

    for (uint32_t i = 0; rc == SX_OK && i < n; i++) {
        char name[FIELD_NAME_BYTES];

        eng_field_part_name(f, s.at[i].lo, s.at[i].is_new ? ".new" : "", name);
        rc = f->eng->io->unlink(f->conf.dir, name, err);
        if (rc == SX_ENOTFOUND)
            rc = SX_OK;
    }
    if (s.at != NULL)
        f->eng->mem->release(f->eng->mem, s.at);
    return rc == SX_OK && n != 0 ? f->eng->io->dir_sync(f->conf.dir, err) : rc;
}
