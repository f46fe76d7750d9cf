/* The log's writing half: append and sync. Segments as files are in wal_segment.c, opening in
 * wal_scan.c, the form of the files in wal_priv.h, the contract in wal.h.
 *
 * An append is one pwrite. Where the record passes the part of the file that was written before,
 * the same pwrite carries zeros behind it, 64 KiB at first and doubling to 1 MiB, so that most
 * syncs flush pages of a known place and no change of the file's length has to go through the file
 * system's journal. Real zeros, not fallocate: an unwritten extent is converted at its first write,
 * which is a journal entry again. Large records bring their own length: beside 256 KiB of data the
 * journal entry does not show.
 *
 * Failures. A record that could not be written is taken back: its place is zeroed or cut off and
 * that is synced, so that no later open takes half a promise for a record. When the disk is full
 * the log stays usable; any other failed write ends it, because what a disk does after EIO is
 * anybody's guess. A failed fdatasync ends it for good: the kernel may have dropped the pages and
 * marked them clean, a second fdatasync would lie.
 *
 * Threads: the strand appends, rolls and trims; the committer syncs. They share the atomics, the
 * list of segments (the strand adds at the end) and the lock. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "wal_priv.h"

#include "sextant/sx_ban.h"

#define WAL_STEP_MAX (1u << 20)
#define WAL_LARGE    (256u << 10) /* records from here on get no zeros behind them */
#define WAL_BUF_KEEP (1u << 20)   /* a larger buffer is given back after the append */

int eng_wal_open(const struct eng_wal_conf *conf,
                 int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err),
                 void *arg,
                 struct eng_wal **out,
                 struct sx_err *err)
{
    const struct sx_mem *mem = conf->host->mem;
    struct eng_wal *w = mem->zalloc(mem, sizeof(*w));
    int rc;

    if (w == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for the log");
    w->host = conf->host;
    w->mem = mem;
    w->io = conf->io;
    w->dir = conf->dir;
    w->id = conf->id;
    w->segment_bytes = conf->segment_bytes;
    w->checkpoint = conf->checkpoint;
    if (pthread_mutex_init(&w->lock, NULL) != 0) {
        mem->release(mem, w);
        return sx_err_set(err, SX_ENOMEM, "no memory for the log's lock");
    }
    atomic_init(&w->failed, 0);
    atomic_init(&w->sync_failed, 0);
    atomic_init(&w->last, conf->checkpoint);
    rc = eng_wal_scan(w, replay, arg, err);
    if (rc != SX_OK) {
        eng_wal_close(w);
        return rc;
    }
    /* The scan has synced what it kept. */
    atomic_init(&w->synced, atomic_load_explicit(&w->last, memory_order_relaxed));
    w->sync_seg = w->tail;
    *out = w;
    return SX_OK;
}

void eng_wal_close(struct eng_wal *w)
{
    struct eng_wal_seg *s, *next;

    if (w == NULL)
        return;
    for (s = w->head; s != NULL; s = next) {
        next = atomic_load_explicit(&s->next, memory_order_relaxed);
        eng_wal_seg_destroy(w, s);
    }
    if (w->buf != NULL)
        w->mem->release(w->mem, w->buf);
    (void)pthread_mutex_destroy(&w->lock);
    w->mem->release(w->mem, w);
}

/* The buffer with room for n bytes, or NULL. */
uint8_t *eng_wal_buf_take(struct eng_wal *w, uint64_t n)
{
    uint8_t *p;

    if (n <= w->buf_n)
        return w->buf;
    n = eng_wal_page_up(n);
    p = w->mem->alloc(w->mem, n);
    if (p == NULL)
        return NULL;
    if (w->buf != NULL)
        w->mem->release(w->mem, w->buf);
    w->buf = p;
    w->buf_n = n;
    return p;
}

static void buf_give(struct eng_wal *w)
{
    if (w->buf_n <= WAL_BUF_KEEP)
        return;
    w->mem->release(w->mem, w->buf);
    w->buf = NULL;
    w->buf_n = 0;
}

/* --- sync -------------------------------------------------------------------------------- */

/* [lock held] The first failure stays; later ones do not overwrite it. */
static int sync_broke(struct eng_wal *w, int rc)
{
    int none = 0;

    /* pairs with the loads in eng_wal_append(), eng_wal_sync() and eng_wal_failed() */
    atomic_compare_exchange_strong(&w->sync_failed, &none, rc);
    none = 0;
    atomic_compare_exchange_strong(&w->failed, &none, rc);
    return rc;
}

int eng_wal_sync(struct eng_wal *w, struct sx_err *err)
{
    uint64_t target;
    int rc;

    (void)pthread_mutex_lock(&w->lock);
    rc = atomic_load(&w->sync_failed);
    if (rc != SX_OK) {
        (void)pthread_mutex_unlock(&w->lock);
        return sx_err_set(err, rc, "the log takes no more writes after a failed sync");
    }
    /* pairs with the release at the end of eng_wal_append(): the bytes of every record up to target
     * are in their files, and the segments that hold them are on the list. */
    target = atomic_load_explicit(&w->last, memory_order_acquire);
    /* Only this function stores to synced, under the lock. */
    while (target > atomic_load_explicit(&w->synced, memory_order_relaxed)) {
        struct eng_wal_seg *s = w->sync_seg, *next;

        rc = w->io->datasync(s->file, err);
        if (rc != SX_OK) {
            rc = sync_broke(w, rc);
            break;
        }
        /* pairs with the release in eng_wal_roll(). A segment that begins at or below target was
         * begun before we read target, so the one before it was complete before the sync above: its
         * last record, and its link. */
        next = atomic_load_explicit(&s->next, memory_order_acquire);
        if (next == NULL || next->first > target) {
            /* pairs with the acquire in eng_wal_synced() */
            atomic_store_explicit(&w->synced, target, memory_order_release);
            break;
        }
        w->io->close(s->file);
        s->file = NULL;
        w->sync_seg = next;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

uint64_t eng_wal_synced(const struct eng_wal *w)
{
    /* pairs with the release in eng_wal_sync() */
    return atomic_load_explicit(&w->synced, memory_order_acquire);
}

uint64_t eng_wal_last(const struct eng_wal *w)
{
    return atomic_load_explicit(&w->last, memory_order_relaxed);
}

int eng_wal_failed(const struct eng_wal *w)
{
    return atomic_load(&w->failed);
}

/* --- append ------------------------------------------------------------------------------ */

int eng_wal_append_broke(struct eng_wal *w, int rc)
{
    int none = 0;

    atomic_compare_exchange_strong(&w->failed, &none, rc);
    return rc;
}

int eng_wal_zero(
    struct eng_wal *w, struct sx_file *f, uint64_t from, uint64_t to, struct sx_err *err)
{
    static const uint8_t zeros[ENG_WAL_PAGE];
    int rc = SX_OK;

    while (rc == SX_OK && from < to) {
        uint64_t n = to - from < sizeof(zeros) ? to - from : sizeof(zeros);

        rc = w->io->pwrite(f, zeros, n, from, err);
        from += n;
    }
    return rc;
}

int eng_wal_undo_sync(struct eng_wal *w, struct eng_wal_seg *s)
{
    int rc;

    (void)pthread_mutex_lock(&w->lock);
    rc = atomic_load(&w->sync_failed);
    if (rc == SX_OK) {
        rc = w->io->datasync(s->file, NULL);
        if (rc != SX_OK)
            rc = sync_broke(w, rc);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

/* Takes back what a failed write may have left in [s->end, s->end + n): the part that was zero
 * before is zeroed again, what lay beyond is cut off. If that is refused, the file is cut at the
 * last record, which needs no space, unless its mark forbids it. Then synced: the failed bytes may
 * already be on their way to the disk, and a power cut must not bring back a record whose failure
 * was answered. */
static int append_undo(struct eng_wal *w, struct eng_wal_seg *s, uint64_t n)
{
    uint64_t to = s->end + n < s->size ? s->end + n : s->size;
    int rc = eng_wal_zero(w, s->file, s->end, to, NULL);

    if (rc != SX_OK && s->end < s->mark)
        return rc;
    if (rc == SX_OK && s->end + n > s->size)
        rc = w->io->truncate(s->file, s->size, NULL);
    if (rc != SX_OK) {
        to = s->end > s->mark ? s->end : s->mark;
        rc = w->io->truncate(s->file, to, NULL);
        if (rc != SX_OK)
            return rc;
        s->size = to;
    }
    return eng_wal_undo_sync(w, s);
}

/* Where the written part of the file is to end when a record of n bytes is put at s->end. */
static uint64_t grown_size(const struct eng_wal *w, const struct eng_wal_seg *s, uint64_t n)
{
    uint64_t end = s->end + n, step = s->size, size;

    if (end <= s->size)
        return s->size;
    if (n >= WAL_LARGE)
        return eng_wal_page_up(end);
    if (step < ENG_WAL_STEP)
        step = ENG_WAL_STEP;
    if (step > WAL_STEP_MAX)
        step = WAL_STEP_MAX;
    size = (end + step - 1) / step * step;
    if (size > w->segment_bytes)
        size = w->segment_bytes & ~(uint64_t)(ENG_WAL_PAGE - 1);
    return size < end ? eng_wal_page_up(end) : size;
}

/* Before the tail grows: its mark says how long it is now, if that is durable. A disk without room
 * for it does no harm. */
static int mark_grown(struct eng_wal *w, struct sx_err *err)
{
    struct eng_wal_seg *s = w->tail;
    int rc;

    if (s->size <= s->mark || eng_wal_synced(w) < s->sure)
        return SX_OK;
    rc = eng_wal_mark_put(w, s, s->size, err);
    return rc == SX_OK || rc == SX_ENOSPACE ? SX_OK : eng_wal_append_broke(w, rc);
}

/* Writes the n bytes in the buffer at the tail's end, with zeros behind them where the file grows.
 */
static int write_record(struct eng_wal *w, uint64_t n, uint64_t size, struct sx_err *err)
{
    struct eng_wal_seg *s = w->tail;
    uint64_t bytes = size > s->size ? size - s->end : n;
    int rc = size > s->size ? mark_grown(w, err) : SX_OK;

    if (rc != SX_OK)
        return rc;
    rc = w->io->pwrite(s->file, w->buf, bytes, s->end, err);
    if (rc == SX_ENOSPACE && bytes > eng_wal_page_up(s->end + n) - s->end) {
        /* A nearly full disk: without the zeros the record may still fit. */
        size = eng_wal_page_up(s->end + n);
        rc = w->io->pwrite(s->file, w->buf, size - s->end, s->end, err);
    }
    if (rc != SX_OK) {
        int undone = append_undo(w, s, bytes);

        if (undone != SX_OK)
            sx_log(w->host, SX_LOG_ERROR, "wal",
                   "a record that could not be written could not be taken back either (%s)",
                   sx_err_name(undone));
        if (undone != SX_OK || rc != SX_ENOSPACE)
            return eng_wal_append_broke(w, rc);
        return rc;
    }
    s->end += n;
    if (size > s->size) {
        s->size = size;
        s->sure = eng_wal_last(w) + 1; /* this record's number */
    }
    return SX_OK;
}

int eng_wal_append(struct eng_wal *w,
                   uint64_t number,
                   uint16_t type,
                   uint32_t outcome,
                   const struct sx_str *parts,
                   uint32_t n_parts,
                   struct sx_err *err)
{
    uint64_t n = 0, total, size, at;
    struct eng_wal_rec *rec;
    int rc = atomic_load(&w->failed);

    if (rc != SX_OK)
        return sx_err_set(err, rc, "the log takes no more writes after a failure");
    if (number != eng_wal_last(w) + 1)
        return sx_err_set(err, SX_EINTERNAL, "log record out of order");
    for (uint32_t i = 0; i < n_parts; i++)
        n += parts[i].n;
    if (n > ENG_WAL_MAX_BODY)
        return sx_err_set(err, SX_EINPUT, "operation of %" PRIu64 " bytes is too large", n);
    total = sizeof(*rec) + eng_wal_pad8(n);
    if (w->must_roll || (w->tail->end > ENG_WAL_HEAD && w->tail->end + total > w->segment_bytes)) {
        rc = eng_wal_roll(w, number, err);
        if (rc != SX_OK)
            return rc;
    }
    size = grown_size(w, w->tail, total);
    at = size > w->tail->size ? size - w->tail->end : total;
    rec = (void *)eng_wal_buf_take(w, at);
    if (rec == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for a log record of %" PRIu64 " bytes", n);
    memset(rec, 0, sizeof(*rec));
    rec->n = (uint32_t)n;
    rec->number = number;
    rec->synced = eng_wal_synced(w);
    rec->type = type;
    rec->format = ENG_WAL_FORMAT;
    rec->outcome = outcome;
    n = sizeof(*rec);
    for (uint32_t i = 0; i < n_parts; i++) {
        if (parts[i].n != 0)
            memcpy((uint8_t *)rec + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    memset((uint8_t *)rec + n, 0, at - n);
    rec->crc = eng_wal_crc(w->tail->seed, rec);
    rc = write_record(w, total, size, err);
    buf_give(w);
    if (rc != SX_OK)
        return rc;
    w->tail->last = number;
    /* pairs with the acquire in eng_wal_sync() */
    atomic_store_explicit(&w->last, number, memory_order_release);
    return SX_OK;
}
