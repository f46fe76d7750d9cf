/* Helpers of the storage suites. Files are touched through the host's sx.io only, so the suites run
 * over any io service, a recording or failing one included. */
#include "suite_storage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sextant/sx_text.h"

int sx_storage__begin(struct storage *st, struct suite *s, const char *dir)
{
    struct sx_err err = SX_ERR_INIT;
    *st = (struct storage){.s = s, .what = "begin"};
    st->io = s->host->get(s->host, "sx.io", (uint32_t)sizeof(struct sx_io));
    st->epoch = s->host->get(s->host, "sx.epoch", (uint32_t)sizeof(struct sx_epoch));
    if (st->io == NULL || s->report->dir == NULL) {
        sx_suite__note(s, "not run: no directory to write in");
        return 0;
    }
    for (uint32_t i = 0; i < sizeof(st->id.uuid); i++)
        st->id.uuid[i] = (uint8_t)(0x10 + i);
    st->id.shard = 3;
    st->id.generation = 7;
    int rc = st->io->dir_open(NULL, s->report->dir, 0, &st->top, &err);
    if (rc == 0)
        rc = st->io->dir_open(st->top, dir, 1, &st->dir, &err);
    if (!sx_suite__check(s, rc == 0, "cannot use directory '%s': %s", s->report->dir, err.msg)) {
        if (st->top != NULL)
            st->io->dir_close(st->top);
        return 0;
    }
    sx_storage__clear(st);
    return 1;
}

static int remove_file(void *arg, const char *name, uint32_t is_dir)
{
    struct storage *st = arg;
    if (!is_dir)
        st->io->unlink(st->dir, name, NULL);
    return 0;
}

void sx_storage__clear(struct storage *st)
{
    /* An entry may be skipped while the directory shrinks under the listing: twice is enough. */
    st->io->dir_list(st->dir, remove_file, st, NULL);
    st->io->dir_list(st->dir, remove_file, st, NULL);
}

void sx_storage__end(struct storage *st)
{
    sx_storage__clear(st);
    st->io->dir_close(st->dir);
    st->io->dir_close(st->top);
}

void sx_storage__epoch(struct storage *st, uint32_t is_enter)
{
    if (st->epoch == NULL)
        return;
    if (is_enter)
        st->epoch->enter();
    else
        st->epoch->leave();
}

int sx_storage__wait(struct storage *st, struct storage_flush *f)
{
    const struct timespec pause = {0, 1000000};
    for (uint32_t i = 0; i < 10000 && !__atomic_load_n(&f->is_done, __ATOMIC_ACQUIRE); i++)
        nanosleep(&pause, NULL);
    sx_suite__check(st->s, f->is_done, "%s: the flush never ended", st->what);
    sx_suite__check(st->s, f->rc == 0, "%s: the flush fails with %d: %s", st->what, f->rc,
                    f->err.msg);
    return f->is_done && f->rc == 0;
}

static int with_file(struct storage *st,
                     const char *file,
                     uint64_t at,
                     int (*fn)(const struct sx_io *io, struct sx_file *f, uint64_t at))
{
    struct sx_file *f = NULL;
    int rc = st->io->open(st->dir, file, SX_IO_WRITE, &f, NULL);
    if (rc == 0) {
        rc = fn(st->io, f, at);
        st->io->close(f);
    }
    sx_suite__check(st->s, rc == 0, "%s: the suite cannot touch file '%s': %d", st->what, file, rc);
    return rc;
}

static int flip_byte(const struct sx_io *io, struct sx_file *f, uint64_t at)
{
    uint8_t b = 0;
    if (io->pread(f, &b, 1, at, NULL) != 1)
        return SX_EIO;
    b = (uint8_t)~b;
    return io->pwrite(f, &b, 1, at, NULL);
}

static int cut_to(const struct sx_io *io, struct sx_file *f, uint64_t at)
{
    return io->truncate(f, at, NULL);
}

int sx_storage__flip(struct storage *st, const char *file, uint64_t at)
{
    return with_file(st, file, at, flip_byte);
}

int sx_storage__cut(struct storage *st, const char *file, uint64_t bytes)
{
    return with_file(st, file, bytes, cut_to);
}

int sx_storage__remove(struct storage *st, const char *file)
{
    int rc = st->io->unlink(st->dir, file, NULL);
    sx_suite__check(st->s, rc == 0, "%s: the suite cannot remove file '%s': %d", st->what, file,
                    rc);
    return rc;
}

int sx_storage__crc(struct storage *st, const char *file, uint64_t from, uint64_t to, uint32_t *out)
{
    struct sx_file *f = NULL;
    uint8_t *p = malloc(to - from + 1);
    int rc = p == NULL ? SX_ENOMEM : st->io->open(st->dir, file, SX_IO_READ, &f, NULL);
    if (rc == 0) {
        int64_t got = st->io->pread(f, p, to - from, SX_FILE_HEAD_BYTES + from, NULL);
        st->io->close(f);
        rc = got == (int64_t)(to - from) ? SX_OK : SX_EIO;
    }
    if (rc == 0)
        *out = sx_crc32c(0, p, to - from);
    free(p);
    return rc;
}

void sx_storage__is_corrupt(struct storage *st, int rc, const struct sx_err *err, const char *file)
{
    sx_suite__check(st->s, rc == SX_ECORRUPT, "%s: gives %d, not SX_ECORRUPT", st->what, rc);
    if (rc == SX_ECORRUPT)
        sx_suite__check(st->s, strstr(err->msg, file) != NULL, "%s: '%s' does not name file '%s'",
                        st->what, err->msg, file);
}

void sx_storage__fill(struct suite *s, uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        p[i] = (uint8_t)(sx_suite__random(s) >> 24);
}
