/* Small files replaced as a whole; see small_file.h. */
#include "small_file.h"

#include <stdio.h>
#include <string.h>

#include "sextant/sx_ban.h"

#define CHECKSUM_KEY ",\"checksum\":\""
#define TAIL         (sizeof(CHECKSUM_KEY) - 1 + 8 + 2)

int eng_small_file_replace(struct eng *e,
                           struct sx_dir *dir,
                           const char *name,
                           const void *p,
                           uint64_t n,
                           struct sx_err *err)
{
    char tmp[64];
    struct sx_file *f = NULL;
    snprintf(tmp, sizeof(tmp), "%s.new", name);
    (void)e->io->unlink(dir, tmp, NULL); /* of a crash */
    int rc = e->io->open(dir, tmp, SX_IO_CREATE | SX_IO_WRITE, &f, err);
    if (rc != 0)
        return rc;
    rc = e->io->pwrite(f, p, n, 0, err);
    if (rc == 0)
        rc = e->io->datasync(f, err);
    e->io->close(f);
    if (rc == 0)
        rc = e->io->rename(dir, tmp, dir, name, err);
    else /* the disk may be full, and half a file is in the way of the next */
        (void)e->io->unlink(dir, tmp, NULL);
    return rc == 0 ? e->io->dir_sync(dir, err) : rc;
}

int eng_small_file_read(struct eng *e,
                        struct sx_dir *dir,
                        const char *name,
                        uint64_t most,
                        struct sx_arena *arena,
                        struct sx_str *out,
                        struct sx_err *err)
{
    struct sx_file *f = NULL;
    int rc = e->io->open(dir, name, SX_IO_READ, &f, err);
    if (rc != 0)
        return rc;
    int64_t n = e->io->length(f, err);
    char *text = n >= 0 && (uint64_t)n <= most ? sx_arena_alloc(arena, (uint64_t)n + 1) : NULL;
    if (n < 0)
        rc = (int)n;
    else if ((uint64_t)n > most)
        rc = sx_err_set(err, SX_ECORRUPT, "%s: too long", name);
    else if (!text)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    else if (e->io->pread(f, text, (uint64_t)n, 0, err) != n)
        rc = sx_err_set(err, SX_EIO, "%s: cannot be read", name);
    e->io->close(f);
    if (rc == 0) {
        text[n] = 0;
        *out = (struct sx_str){text, (uint32_t)n, 0};
    }
    return rc;
}

int eng_small_file_parse(struct eng *e,
                         const char *name,
                         struct sx_str text,
                         struct sx_arena *arena,
                         struct sx_doc *out,
                         struct sx_err *err)
{
    struct sx_json j;
    struct sx_docb b;
    sx_json_init(&j, text.p, text.n, arena);
    sx_docb_init(&b, e->mem, 0);
    int rc = sx_json_doc(&j, &b) == 0 && sx_json_end(&j) == 0
                 ? 0
                 : sx_err_set(err, SX_ECORRUPT, "%s: malformed", name);
    if (rc == 0) {
        *out = sx_docb_end_arena(&b, arena);
        if (!out->p)
            rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    }
    sx_docb_fini(&b);
    return rc;
}

void eng_small_file_seal(struct sx_buf *text)
{
    if (text->failed || text->n < 2)
        return;
    text->n--; /* the closing brace comes after the checksum */
    sx_buf_printf(text, CHECKSUM_KEY "%08x\"}", sx_crc32c(0, text->p, text->n));
}

int eng_small_file_sealed(const char *name, struct sx_str text, struct sx_err *err)
{
    char want[32];
    if (text.n < TAIL)
        return sx_err_set(err, SX_ECORRUPT, "%s: cut at offset %u", name, text.n);
    uint64_t body = text.n - TAIL;
    snprintf(want, sizeof(want), CHECKSUM_KEY "%08x\"}", sx_crc32c(0, text.p, body));
    return memcmp(text.p + body, want, TAIL) == 0
               ? 0
               : sx_err_set(err, SX_ECORRUPT, "%s: checksum mismatch at offset 0", name);
}
