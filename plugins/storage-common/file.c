/* One data file and its checksum file, as the writer sees them.
 *
 * Only the store's writer calls in here (unref aside), so there are no locks. An append goes
 * through three steps that may fail, in this order: room (file and memory behind it), data, the
 * checksums of the blocks it fills. None of them changes what is committed; the new end of the file
 * lives in `staged` until the whole operation has succeeded, and the next operation starts again at
 * `bytes` and overwrites whatever a failed one left.
 *
 * Both modes write to the file in append. For ram the alternative was to copy now and write at
 * flush: that would only move the same write to another thread, but a full disk would then be found
 * by a flush that has nobody to refuse, instead of by the append that can. */
#include <stdio.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define SUMS_AT_ONCE 64u

void store_head_fill(const struct store_set *s,
                     uint32_t kind,
                     uint32_t number,
                     struct sx_file_head *h)
{
    memset(h, 0, sizeof(*h));
    h->kind = kind;
    h->version = STORE_VERSION;
    memcpy(h->uuid, s->id.uuid, sizeof(h->uuid));
    h->shard = s->id.shard;
    h->stride = s->stride;
    h->generation = s->id.generation;
    h->number = number;
    sx_file_head_seal(h);
}

struct store_file *store_file_make(struct store_set *s, uint32_t number, uint64_t full)
{
    struct store_file *f = s->m->mem->zalloc(s->m->mem, sizeof(*f));

    if (!f)
        return NULL;
    f->io = s->io;
    f->mem = s->m->mem;
    f->number = number;
    f->mode = s->m->mode;
    f->full = store_round_up(full, SX_FILE_HEAD_BYTES);
    atomic_init(&f->refs, 1);
    atomic_init(&f->bytes, 0);
    return f;
}

void store_file_ref(struct store_file *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void store_file_unref(struct store_file *f)
{
    /* acq_rel: whoever comes last must see what the others did to the descriptors. */
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (f->fd)
        f->io->close(f->fd);
    if (f->side)
        f->io->close(f->side);
    if (f->range && f->whole_range)
        f->mem->unmap(f->mem, f->range, f->range_bytes);
    else if (f->range)
        f->io->unmap(f->range, f->range_bytes);
    f->mem->release(f->mem, f);
}

void store_file_unref_fn(void *arg)
{
    store_file_unref(arg);
}

void store_file_count(struct store_set *s, struct store_file *f)
{
    uint64_t disk = f->cap + f->side_bytes;
    uint64_t ram = 0;

    if (f->mode == STORE_RAM)
        ram = f->whole_range ? f->range_bytes : f->ready - (f->ready ? SX_FILE_HEAD_BYTES : 0);
    /* Unsigned differences: a sum may go down. */
    atomic_fetch_add_explicit(&s->disk, disk - f->disk, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->ram, ram - f->ram, memory_order_relaxed);
    f->disk = disk;
    f->ram = ram;
}

void store_file_uncount(struct store_set *s, struct store_file *f)
{
    atomic_fetch_sub_explicit(&s->disk, f->disk, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->ram, f->ram, memory_order_relaxed);
    f->disk = f->ram = 0;
}

int store_file_unlink(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    int rc, rc_side = SX_OK;

    store_set_name(s, f->number, 0, name);
    rc = s->io->unlink(s->dir, name, err);
    if (f->side_bytes) {
        store_set_name(s, f->number, 1, name);
        rc_side = s->io->unlink(s->dir, name, rc ? NULL : err);
    }
    return rc ? rc : rc_side;
}

/* --- memory --- */

int store_file_range(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    uint64_t n = f->full;
    int rc;

    if (f->mode == STORE_MMAP) {
        rc = s->io->reserve(n, &f->range, err);
        if (rc)
            return rc;
        f->range_bytes = n;
        f->data = (uint8_t *)f->range + SX_FILE_HEAD_BYTES;
        return SX_OK;
    }
    n -= SX_FILE_HEAD_BYTES; /* memory holds no head */
    if (n == 0)
        n = SX_FILE_HEAD_BYTES;
    if (!SX_HAS(s->io, commit)) {
        f->range = s->m->mem->map(s->m->mem, n);
        if (!f->range)
            return sx_err_set(err, SX_ENOMEM, "no memory for %llu bytes", (unsigned long long)n);
        f->whole_range = 1;
        f->range_bytes = n;
        f->data = f->range;
        return SX_OK;
    }
    /* Huge pages want aligned memory; address space is free, so take a little more and align. */
    if (n >= STORE_HUGE_BYTES)
        n += STORE_HUGE_BYTES;
    rc = s->io->reserve(n, &f->range, err);
    if (rc)
        return rc;
    f->range_bytes = n;
    f->data = f->range;
    if (n >= STORE_HUGE_BYTES) {
        uint64_t off = (uintptr_t)f->range % STORE_HUGE_BYTES;

        f->data += off ? STORE_HUGE_BYTES - off : 0;
    }
    return SX_OK;
}

int store_file_ready(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    uint64_t end = store_round_up(f->cap, SX_FILE_HEAD_BYTES);
    uint64_t from = f->ready;
    int rc;

    if (end <= from)
        return SX_OK;
    if (f->mode == STORE_MMAP) {
        uint8_t *at = (uint8_t *)f->range + from;
        void *got;

        /* The file is that long already: a mapped page beyond its end would be a trap. Pieces of
         * one descriptor join into one mapping of the kernel. */
        rc = s->io->map(f->fd, from, f->cap - from, at, &got, err);
        if (rc)
            return rc;
        /* Rows are read one here, one there; whoever reads a run of them says so (advise). */
        if (s->kind == SX_FILE_ROWS)
            (void)s->io->advise(at, end - from, SX_ADVISE_RANDOM);
    } else if (!f->whole_range) {
        if (from == 0)
            from = SX_FILE_HEAD_BYTES;
        if (end > from) {
            rc = s->io->commit(f->data + (from - SX_FILE_HEAD_BYTES), end - from, err);
            if (rc)
                return rc;
        }
        /* Below 2 MiB a huge page would be mostly air: a store of ten rows stays at its ten rows'
         * worth of small pages. */
        if (end - SX_FILE_HEAD_BYTES > STORE_HUGE_BYTES)
            (void)s->io->advise(f->data, end - SX_FILE_HEAD_BYTES, SX_ADVISE_HUGE);
    }
    f->ready = end;
    store_file_count(s, f);
    return SX_OK;
}

/* --- room on disk --- */

static int file_extend(struct store_set *s, struct store_file *f, uint64_t to, struct sx_err *err)
{
    int rc = s->io->allocate(f->fd, f->cap, to - f->cap, err);

    if (rc)
        return rc;
    f->cap = to;
    store_file_count(s, f);
    return SX_OK;
}

/* The file becomes at least `need` bytes long. */
static int file_grow(struct store_set *s, struct store_file *f, uint64_t need, struct sx_err *err)
{
    uint64_t to = STORE_FIRST_BYTES;
    int rc;

    if (need > f->full)
        return sx_err_set(err, SX_EINTERNAL, "%llu bytes do not fit", (unsigned long long)need);
    if (need > f->cap) {
        while (to < need)
            to += to < STORE_STEP_BYTES ? to : STORE_STEP_BYTES;
        if (to > f->full)
            to = f->full;
        rc = file_extend(s, f, to, err);
        /* A nearly full disk may still hold what is needed now. */
        need = store_round_up(need, SX_FILE_HEAD_BYTES);
        if (rc == SX_ENOSPACE && need < to)
            rc = file_extend(s, f, need, err);
        if (rc)
            return rc;
    }
    return store_file_ready(s, f, err);
}

static int file_fd(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    char name[STORE_FILE_NAME];

    if (f->fd)
        return SX_OK;
    store_set_name(s, f->number, 0, name);
    return s->io->open(s->dir, name, SX_IO_WRITE, &f->fd, err);
}

/* --- making files --- */

/* Makes an empty file with a head page. A leftover of the name (cut off at open, or of a failed
 * append) is unlinked, not truncated: somebody could still have it mapped. */
static int file_new(
    struct store_set *s, uint32_t kind, uint32_t number, struct sx_file **out, struct sx_err *err)
{
    union {
        struct sx_file_head head;
        uint8_t bytes[SX_FILE_HEAD_BYTES];
    } page;
    char name[STORE_FILE_NAME];
    struct sx_file *fd;
    int rc;

    store_set_name(s, number, kind == SX_FILE_CRC, name);
    rc = s->io->unlink(s->dir, name, err);
    if (rc && rc != SX_ENOTFOUND)
        return rc;
    rc = s->io->open(s->dir, name, SX_IO_WRITE | SX_IO_CREATE | SX_IO_EXCL, &fd, err);
    if (rc)
        return rc;
    s->dir_dirty = 1;
    if (kind != SX_FILE_CRC)
        rc = s->io->allocate(fd, 0, STORE_FIRST_BYTES, err);
    if (!rc) {
        memset(&page, 0, sizeof(page));
        store_head_fill(s, kind, number, &page.head);
        rc = s->io->pwrite(fd, &page, sizeof(page), 0, err);
    }
    if (rc) {
        s->io->close(fd);
        (void)s->io->unlink(s->dir, name, NULL);
        return rc;
    }
    *out = fd;
    return SX_OK;
}

int store_file_create(struct store_set *s,
                      uint32_t number,
                      uint64_t full,
                      struct store_file **out,
                      struct sx_err *err)
{
    struct store_file *f;
    char name[STORE_FILE_NAME];
    int rc;

    if (full < STORE_FIRST_BYTES)
        full = STORE_FIRST_BYTES;
    store_set_name(s, number, 0, name);
    f = store_file_make(s, number, full);
    if (!f)
        return sx_err_set(err, SX_ENOMEM, "%s: no memory", name);
    rc = file_new(s, s->kind, number, &f->fd, err);
    if (!rc) {
        f->cap = STORE_FIRST_BYTES;
        rc = store_file_range(s, f, err);
        if (!rc)
            rc = store_file_ready(s, f, err);
        if (rc)
            (void)s->io->unlink(s->dir, name, NULL);
        else
            store_file_count(s, f);
    }
    if (rc) {
        store_file_uncount(s, f);
        store_file_unref(f);
        return sx_err_wrap(err, "%s", name);
    }
    *out = f;
    return SX_OK;
}

/* --- appending --- */

static int side_fd(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    int rc;

    if (f->side)
        return SX_OK;
    if (f->side_bytes == 0) {
        rc = file_new(s, SX_FILE_CRC, f->number, &f->side, err);
        if (rc)
            return rc;
        f->side_bytes = SX_FILE_HEAD_BYTES;
        store_file_count(s, f);
        return SX_OK;
    }
    store_set_name(s, f->number, 1, name);
    return s->io->open(s->dir, name, SX_IO_WRITE, &f->side, err);
}

static int side_put(struct store_set *s,
                    struct store_file *f,
                    uint64_t first,
                    const uint32_t *sums,
                    uint32_t n,
                    struct sx_err *err)
{
    uint64_t at = SX_FILE_HEAD_BYTES + first * sizeof(*sums);
    uint64_t end = at + n * sizeof(*sums);
    int rc = side_fd(s, f, err);

    if (!rc)
        rc = s->io->pwrite(f->side, sums, n * sizeof(*sums), at, err);
    if (rc)
        return sx_err_wrap(err, "checksums");
    if (end > f->side_bytes) {
        f->side_bytes = end;
        store_file_count(s, f);
    }
    return SX_OK;
}

/* Continues the running checksum over n bytes at `at`; blocks that become full go to the side file,
 * a batch per write. */
static int file_sum(struct store_set *s,
                    struct store_file *f,
                    const uint8_t *p,
                    uint64_t n,
                    uint32_t *out_crc,
                    struct sx_err *err)
{
    uint32_t sums[SUMS_AT_ONCE], n_sums = 0, crc = f->staged_crc;
    uint64_t at = f->staged;
    int rc;

    while (n) {
        uint64_t room = SX_BLOCK_BYTES - at % SX_BLOCK_BYTES;
        uint64_t run = n < room ? n : room;

        crc = sx_crc32c(crc, p, run);
        p += run;
        at += run;
        n -= run;
        if (run < room)
            break;
        sums[n_sums++] = crc;
        crc = 0;
        if (n_sums == SUMS_AT_ONCE) {
            rc = side_put(s, f, store_blocks(at) - n_sums, sums, n_sums, err);
            if (rc)
                return rc;
            n_sums = 0;
        }
    }
    if (n_sums) {
        rc = side_put(s, f, store_blocks(at) - n_sums, sums, n_sums, err);
        if (rc)
            return rc;
    }
    *out_crc = crc;
    return SX_OK;
}

int store_file_write(
    struct store_set *s, struct store_file *f, const void *p, uint64_t n, struct sx_err *err)
{
    uint64_t at = SX_FILE_HEAD_BYTES + f->staged;
    char name[STORE_FILE_NAME];
    uint32_t crc = 0;
    int rc;

    rc = file_fd(s, f, err);
    if (!rc)
        rc = file_grow(s, f, at + n, err);
    if (!rc)
        rc = s->io->pwrite(f->fd, p, n, at, err);
    if (!rc)
        rc = file_sum(s, f, p, n, &crc, err);
    if (rc) {
        store_set_name(s, f->number, 0, name);
        return sx_err_wrap(err, "%s", name);
    }
    /* Nobody looks beyond the published end, so the memory may be filled before the commit. */
    if (f->mode == STORE_RAM)
        memcpy(f->data + f->staged, p, n);
    f->staged += n;
    f->staged_crc = crc;
    return SX_OK;
}

int store_file_seal(struct store_set *s, struct store_file *f, struct sx_err *err)
{
    uint64_t end = SX_FILE_HEAD_BYTES + f->staged;
    uint64_t n_sums = store_blocks(f->staged);
    uint64_t side_end;
    char name[STORE_FILE_NAME];
    int rc = file_fd(s, f, err);

    if (!rc && f->staged % SX_BLOCK_BYTES)
        rc = side_put(s, f, n_sums++, &f->staged_crc, 1, err);
    side_end = SX_FILE_HEAD_BYTES + n_sums * sizeof(uint32_t);
    /* Entries and data of a failed append may stand behind the end. */
    if (!rc && f->side_bytes > side_end) {
        rc = side_fd(s, f, err);
        if (!rc)
            rc = s->io->truncate(f->side, side_end, err);
        if (!rc)
            f->side_bytes = side_end;
    }
    if (!rc && f->cap != end) {
        rc = s->io->truncate(f->fd, end, err);
        if (!rc)
            f->cap = end;
    }
    store_file_count(s, f);
    if (rc) {
        store_set_name(s, f->number, 0, name);
        return sx_err_wrap(err, "%s", name);
    }
    f->staged_seal = 1;
    return SX_OK;
}

void store_file_cut(struct store_set *s, struct store_file *f, uint64_t bytes)
{
    uint64_t part = bytes % SX_BLOCK_BYTES;

    (void)s;
    f->crc = part ? sx_crc32c(0, f->data + (bytes - part), part) : 0;
    f->sealed = 0;
    atomic_store_explicit(&f->bytes, bytes, memory_order_release); /* pairs with rows_gather() */
}
