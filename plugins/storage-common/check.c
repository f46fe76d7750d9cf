/* Data against its checksums.
 *
 * One reader for both occasions: open (the last block, or everything on its way into memory) and
 * verify (a file of its own descriptors, so that it needs nothing of the writer's). Reading is by
 * pread, never through a mapping: a damaged disk answers with an error here instead of a signal. */
#include <string.h>

#include "sextant/sx_text.h"

#include "store.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define SUMS_AT_ONCE 512u

struct sums {
    uint64_t first, n;
    uint32_t v[SUMS_AT_ONCE];
};

/* The checksum of a block; reads ahead from the side file. `end`: entries there must be. */
static int sum_of(const struct store_set *s,
                  struct sx_file *side,
                  struct sums *su,
                  uint64_t block,
                  uint64_t end,
                  uint32_t *out,
                  struct sx_err *err)
{
    if (block < su->first || block >= su->first + su->n) {
        uint64_t n = end - block < SUMS_AT_ONCE ? end - block : SUMS_AT_ONCE;
        uint64_t at = SX_FILE_HEAD_BYTES + block * sizeof(su->v[0]);
        int64_t got = s->io->pread(side, su->v, n * sizeof(su->v[0]), at, err);

        su->n = 0;
        if (got < 0)
            return sx_err_wrap(err, "checksums");
        if ((uint64_t)got != n * sizeof(su->v[0]))
            return sx_err_set(err, SX_ECORRUPT, "checksums cut at offset %llu",
                              (unsigned long long)(at + (uint64_t)got));
        su->first = block;
        su->n = n;
    }
    *out = su->v[block - su->first];
    return SX_OK;
}

int store_check_data(const struct store_set *s, const struct store_check *c, struct sx_err *err)
{
    uint64_t n_sums = store_blocks(c->to) + (c->tail_in_side && c->to % SX_BLOCK_BYTES);
    struct sums su = {.n = 0};
    uint8_t *buf = NULL;
    uint64_t at;
    int rc = SX_OK;

    if (c->from >= c->to)
        return SX_OK;
    if (!c->dst) {
        buf = s->m->mem->alloc(s->m->mem, SX_BLOCK_BYTES);
        if (!buf)
            return sx_err_set(err, SX_ENOMEM, "no memory to check a file");
    }
    for (at = c->from; at < c->to && !rc; at += SX_BLOCK_BYTES) {
        uint64_t n = c->to - at < SX_BLOCK_BYTES ? c->to - at : SX_BLOCK_BYTES;
        uint64_t block = store_blocks(at);
        uint8_t *p = buf ? buf : c->dst + (at - c->from);
        int64_t got = s->io->pread(c->fd, p, n, SX_FILE_HEAD_BYTES + at, err);
        uint32_t want = c->tail_crc;

        if (got < 0) {
            rc = sx_err_wrap(err, "offset %llu", (unsigned long long)(SX_FILE_HEAD_BYTES + at));
        } else if ((uint64_t)got != n) {
            rc = sx_err_set(err, SX_ECORRUPT, "cut at offset %llu",
                            (unsigned long long)(SX_FILE_HEAD_BYTES + at + (uint64_t)got));
        } else {
            if (block < n_sums)
                rc = sum_of(s, c->side, &su, block, n_sums, &want, err);
            if (!rc && sx_crc32c(0, p, n) != want)
                rc = sx_err_set(err, SX_ECORRUPT, "wrong checksum of %llu bytes at offset %llu",
                                (unsigned long long)n,
                                (unsigned long long)(SX_FILE_HEAD_BYTES + at));
            if (!rc && c->each)
                rc = c->each->fn(c->each->arg, p, (uint32_t)n, at, err);
        }
    }
    if (buf)
        s->m->mem->release(s->m->mem, buf);
    return rc;
}

static int check_open(const struct store_set *s,
                      uint32_t number,
                      uint32_t kind,
                      struct sx_file **fd,
                      struct sx_err *err)
{
    char name[STORE_FILE_NAME];
    int rc;

    store_set_name(s, number, kind == SX_FILE_CRC, name);
    rc = s->io->open(s->dir, name, SX_IO_READ, fd, err);
    if (rc == SX_ENOTFOUND)
        return sx_err_set(err, SX_ECORRUPT, "%s: missing (offset 0)", name);
    if (!rc)
        rc = store_head_check(s, *fd, kind, number, err);
    return rc ? sx_err_wrap(err, "%s", name) : SX_OK;
}

int store_check_file(struct store_set *s,
                     struct store_file *f,
                     const struct store_durable *d,
                     const struct store_each *each,
                     struct sx_err *err)
{
    struct store_check c = {
        .to = d->bytes, .tail_crc = d->tail_crc, .tail_in_side = d->sealed, .each = each};
    uint32_t number = f->number;
    char name[STORE_FILE_NAME];
    struct store_file *now;
    int rc;

    if (d->bytes == 0)
        return SX_OK;
    rc = check_open(s, number, s->kind, &c.fd, err);
    if (!rc && (d->bytes >= SX_BLOCK_BYTES || d->sealed))
        rc = check_open(s, number, SX_FILE_CRC, &c.side, err);
    if (!rc) {
        rc = store_check_data(s, &c, err);
        if (rc) {
            store_set_name(s, number, 0, name);
            rc = sx_err_wrap(err, "%s", name);
        }
    }
    if (c.fd)
        s->io->close(c.fd);
    if (c.side)
        s->io->close(c.side);
    if (!rc)
        return SX_OK;
    /* The writer may have dropped the file while we looked, and the name may be another one's by
     * now: then nothing is wrong. (f is held, so no other file lies at its address.) */
    now = store_set_pin(s, number);
    if (now)
        store_file_unref(now);
    return now == f ? rc : sx_err_set(err, SX_ENOTFOUND, "%s: no file %u", s->name, number);
}
