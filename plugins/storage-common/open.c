/* Files after a start: is each what the manifest says it is, and nothing more?
 *
 * The manifest knows how much of each file is durable. Less than that, or a head that is not ours,
 * is damage of primary data: SX_ECORRUPT with the file's name and an offset, and nothing is
 * changed. More than that was written after the last checkpoint and will come again from the log:
 * it is cut off, and files the manifest does not know are removed.
 *
 * mmap reads a page per file and the last block; the rest is left to verify. ram has to read every
 * byte anyway and checks it on the way. Descriptors are closed again: the writer opens the last
 * file with the first append, so collections that are only read hold none. */
#include <stdio.h>
#include <string.h>

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static int is_zero(const uint8_t *p, uint64_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int store_head_check(const struct store_set *s,
                     struct sx_file *fd,
                     uint32_t kind,
                     uint32_t number,
                     struct sx_err *err)
{
    union {
        struct sx_file_head head;
        uint8_t bytes[SX_FILE_HEAD_BYTES];
    } page;
    struct sx_file_head want;
    int64_t got = s->io->pread(fd, &page, sizeof(page), 0, err);
    int rc;

    if (got < 0)
        return (int)got;
    if (got != (int64_t)sizeof(page))
        return sx_err_set(err, SX_ECORRUPT, "file header cut at offset %lld", (long long)got);
    rc = sx_file_head_check(&page.head, kind, STORE_VERSION, err);
    if (rc)
        return rc;
    store_head_fill(s, kind, number, &want);
    if (memcmp(page.head.uuid, want.uuid, sizeof(want.uuid)) || page.head.shard != want.shard ||
        page.head.generation != want.generation || page.head.number != want.number)
        return sx_err_set(err, SX_ECORRUPT,
                          "file of another collection, shard or generation (offset 16)");
    if (page.head.stride != want.stride)
        return sx_err_set(err, SX_ECORRUPT, "rows of %u bytes where %u are expected (offset 36)",
                          page.head.stride, want.stride);
    /* The rest of the page belongs to the format as well: whatever flips in it is damage. */
    if (!is_zero(page.bytes + sizeof(want), sizeof(page) - sizeof(want)))
        return sx_err_set(err, SX_ECORRUPT, "damaged file header page (offset %u)",
                          (unsigned)sizeof(want));
    return SX_OK;
}

/* What one call of store_file_open() holds until it is sure. */
struct opening {
    struct sx_file *fd, *side;
    uint64_t length, side_length; /* as found */
    uint64_t bytes;               /* durable data */
    uint64_t n_sums;              /* entries the side file must have */
};

/* Opens one of the two for reading and checks its head. */
static int open_one(const struct store_set *s,
                    uint32_t number,
                    uint32_t kind,
                    uint64_t at_least,
                    struct sx_file **fd,
                    uint64_t *length,
                    struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    int64_t n;
    int rc;

    store_set_name(s, number, kind == SX_FILE_CRC, name);
    rc = s->io->open(s->dir, name, SX_IO_READ, fd, err);
    if (rc == SX_ENOTFOUND)
        return sx_err_set(err, SX_ECORRUPT, "%s: missing, %llu bytes are expected (offset 0)", name,
                          (unsigned long long)at_least);
    if (rc)
        return sx_err_wrap(err, "%s", name);
    n = s->io->length(*fd, err);
    if (n < 0) {
        rc = (int)n;
    } else if ((uint64_t)n < at_least) {
        rc = sx_err_set(err, SX_ECORRUPT, "cut at offset %lld, %llu bytes are expected",
                        (long long)n, (unsigned long long)at_least);
    } else {
        *length = (uint64_t)n;
        rc = store_head_check(s, *fd, kind, number, err);
    }
    return rc ? sx_err_wrap(err, "%s", name) : SX_OK;
}

static int open_lengths(struct store_set *s,
                        const struct store_known *k,
                        struct opening *o,
                        struct sx_err *err)
{
    uint64_t least = SX_FILE_HEAD_BYTES + (k->sealed ? 0 : k->bytes);
    char name[STORE_FILE_NAME];
    uint64_t side_least;
    int rc = open_one(s, k->number, s->kind, least, &o->fd, &o->length, err);

    if (rc)
        return rc;
    o->bytes = k->sealed ? o->length - SX_FILE_HEAD_BYTES : k->bytes;
    o->n_sums = store_blocks(o->bytes) + (k->sealed && o->bytes % SX_BLOCK_BYTES);
    if (!k->sealed && o->n_sums == 0)
        return SX_OK;
    side_least = SX_FILE_HEAD_BYTES + o->n_sums * sizeof(uint32_t);
    rc = open_one(s, k->number, SX_FILE_CRC, side_least, &o->side, &o->side_length, err);
    if (rc || !k->sealed || o->side_length == side_least)
        return rc;
    /* A sealed file has one entry per block: more of them than data means that data is missing. */
    store_set_name(s, k->number, 0, name);
    return sx_err_set(err, SX_ECORRUPT, "%s: cut at offset %llu, checksums go on", name,
                      (unsigned long long)o->length);
}

/* Cuts one file to n bytes. */
static int
open_cut(struct store_set *s, uint32_t number, uint32_t side, uint64_t n, struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    struct sx_file *fd;
    int rc;

    store_set_name(s, number, side, name);
    rc = s->io->open(s->dir, name, SX_IO_WRITE, &fd, err);
    if (!rc) {
        rc = s->io->truncate(fd, n, err);
        s->io->close(fd);
    }
    return rc ? sx_err_wrap(err, "%s: cutting it to %llu bytes", name, (unsigned long long)n)
              : SX_OK;
}

static int open_contents(struct store_set *s,
                         const struct store_known *k,
                         const struct opening *o,
                         struct store_file *f,
                         struct sx_err *err)
{
    struct store_check c = {.fd = o->fd, .side = o->side, .to = o->bytes};
    char name[STORE_FILE_NAME];
    int rc;

    c.tail_crc = k->tail_crc;
    c.tail_in_side = k->sealed;
    if (f->mode == STORE_RAM)
        c.dst = f->data;
    else
        c.from = o->bytes - o->bytes % SX_BLOCK_BYTES;
    rc = store_check_data(s, &c, err);
    if (rc) {
        store_set_name(s, k->number, 0, name);
        return sx_err_wrap(err, "%s", name);
    }
    return SX_OK;
}

int store_file_open(struct store_set *s,
                    const struct store_known *k,
                    struct store_file **out,
                    struct sx_err *err)
{
    struct opening o = {0};
    struct store_file *f = NULL;
    uint64_t end, side_end;
    char name[STORE_FILE_NAME];
    int rc = open_lengths(s, k, &o, err);

    if (rc)
        goto out;
    end = SX_FILE_HEAD_BYTES + o.bytes;
    side_end = o.n_sums ? SX_FILE_HEAD_BYTES + o.n_sums * sizeof(uint32_t) : 0;
    store_set_name(s, k->number, 0, name);
    f = store_file_make(s, k->number, k->full > end ? k->full : end);
    if (!f) {
        rc = sx_err_set(err, SX_ENOMEM, "%s: no memory", name);
        goto out;
    }
    if (o.length > end)
        rc = open_cut(s, k->number, 0, end, err);
    if (!rc && o.side_length > side_end)
        rc = open_cut(s, k->number, 1, side_end, err);
    if (rc)
        goto out;
    f->cap = end;
    f->side_bytes = side_end;
    f->fd = o.fd;
    rc = store_file_range(s, f, err);
    if (!rc)
        rc = store_file_ready(s, f, err);
    f->fd = NULL;
    if (rc) {
        rc = sx_err_wrap(err, "%s", name);
        goto out;
    }
    rc = open_contents(s, k, &o, f, err);
    if (rc)
        goto out;
    f->crc = k->sealed || o.bytes % SX_BLOCK_BYTES == 0 ? 0 : k->tail_crc;
    f->sealed = k->sealed || end == f->full;
    f->durable = (struct store_durable){o.bytes, f->crc, f->sealed};
    atomic_store_explicit(&f->bytes, o.bytes, memory_order_relaxed);
    store_file_count(s, f);
    *out = f;
    f = NULL;
out:
    if (f) {
        store_file_uncount(s, f);
        store_file_unref(f);
    }
    if (o.fd)
        s->io->close(o.fd);
    if (o.side)
        s->io->close(o.side);
    return rc;
}

/* --- strays --- */

#define STRAYS_AT_ONCE 64u

struct strays {
    struct store_set *s;
    uint32_t n;
    struct {
        uint32_t number, side;
    } found[STRAYS_AT_ONCE];
};

/* The number in "<name>.<8 hex>[.crc]". Only what we would write ourselves matches. */
static int
stray_parse(const struct store_set *s, const char *file, uint32_t *number, uint32_t *side)
{
    uint64_t n = strlen(s->name);
    char again[STORE_FILE_NAME];
    uint32_t i, v = 0;

    if (strncmp(file, s->name, n) || file[n] != '.')
        return 0;
    for (i = 1; i <= 8; i++) {
        char c = file[n + i];

        if (c >= '0' && c <= '9')
            v = v * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (uint32_t)(c - 'a') + 10;
        else
            return 0;
    }
    *number = v;
    *side = file[n + 9] != 0;
    store_set_name(s, v, *side, again);
    return strcmp(file, again) == 0;
}

static int stray_sink(void *arg, const char *file, uint32_t is_dir)
{
    struct strays *st = arg;
    struct store_file *f;
    uint32_t number, side;

    if (is_dir || !stray_parse(st->s, file, &number, &side))
        return 0;
    f = store_set_at(st->s, number);
    if (f && (!side || f->side_bytes))
        return 0;
    st->found[st->n].number = number;
    st->found[st->n].side = side;
    return ++st->n == STRAYS_AT_ONCE;
}

void store_set_sweep(struct store_set *s)
{
    struct strays st = {.s = s};
    char name[STORE_FILE_NAME];
    uint32_t i, bad;

    /* A batch per listing: nothing is removed while the directory is being read. */
    do {
        st.n = bad = 0;
        if (s->io->dir_list(s->dir, stray_sink, &st, NULL))
            return;
        for (i = 0; i < st.n; i++) {
            store_set_name(s, st.found[i].number, st.found[i].side, name);
            if (s->io->unlink(s->dir, name, NULL))
                bad = 1;
        }
    } while (st.n == STRAYS_AT_ONCE && !bad);
}
