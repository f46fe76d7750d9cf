/* The log's writing half: append, sync, roll, trim. Opening lives in wal_scan.c, the form of the
 * files in wal_priv.h, the contract in wal.h.
 *
 * An append is one pwrite. Where the record passes the part of the file that was written before,
 * the same pwrite carries zeros behind it, 64 KiB at first and doubling to 1 MiB, so that most
 * syncs flush pages of a known place and no change of the file's length has to go through the file
 * system's journal. Real zeros, not fallocate: an unwritten extent is converted at its first write,
 * which is a journal entry again. Large records bring their own length: beside 256 KiB of data the
 * journal entry does not show.
 *
 * A segment is made, written and known to its directory before the first record goes into it. So a
 * segment without a whole head never held a record, and one that is missing never held one that
 * anybody was told about.
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

#define WAL_STEP_MIN (64u << 10)
#define WAL_STEP_MAX (1u << 20)
#define WAL_LARGE    (256u << 10) /* records from here on get no zeros behind them */
#define WAL_BUF_KEEP (1u << 20)   /* a larger buffer is given back after the append */

void eng_wal_seg_name(uint64_t first, char out[ENG_WAL_NAME])
{
    (void)snprintf(out, ENG_WAL_NAME, "%016" PRIx64 ".log", first);
}

void eng_wal_seg_head(const struct eng_wal *w,
                      uint64_t first,
                      uint64_t synced,
                      struct sx_file_head *head,
                      struct eng_wal_page *page)
{
    memset(head, 0, sizeof(*head));
    head->kind = SX_FILE_LOG;
    head->version = ENG_WAL_VERSION;
    memcpy(head->uuid, w->id.uuid, sizeof(head->uuid));
    head->shard = w->id.shard;
    head->generation = w->id.generation;
    sx_file_head_seal(head);
    memset(page, 0, sizeof(*page));
    page->first = first;
    page->synced = synced;
    page->crc = sx_crc32c(head->crc, page, offsetof(struct eng_wal_page, crc));
}

uint32_t eng_wal_seed(const struct sx_file_head *head, uint64_t first)
{
    return sx_crc32c(head->crc, &first, sizeof(first));
}

uint32_t eng_wal_crc(uint32_t seed, const struct eng_wal_rec *rec)
{
    return sx_crc32c(seed, (const uint8_t *)rec + 8, sizeof(*rec) - 8 + (uint64_t)rec->n);
}

struct eng_wal_seg *eng_wal_seg_create(const struct eng_wal *w, uint64_t first)
{
    struct eng_wal_seg *s = w->mem->zalloc(w->mem, sizeof(*s));
    struct sx_file_head head;
    struct eng_wal_page page;

    if (s == NULL)
        return NULL;
    eng_wal_seg_head(w, first, 0, &head, &page);
    s->first = first;
    s->last = first - 1;
    s->seed = eng_wal_seed(&head, first);
    atomic_init(&s->next, NULL);
    return s;
}

void eng_wal_seg_destroy(const struct eng_wal *w, struct eng_wal_seg *s)
{
    if (s->file != NULL)
        w->io->close(s->file);
    w->mem->release(w->mem, s);
}

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
static uint8_t *buf_take(struct eng_wal *w, uint64_t n)
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

        if (s == NULL)
            break;
        if (s->file != NULL)
            rc = w->io->datasync(s->file, err);
        if (rc != SX_OK) {
            rc = sync_broke(w, rc);
            break;
        }
        /* pairs with the release in roll(). A segment that begins at or below target was begun
         * before we read target, so the one before it was complete before the sync above. */
        next = atomic_load_explicit(&s->next, memory_order_acquire);
        if (next == NULL || next->first > target) {
            /* pairs with the acquire in eng_wal_synced() */
            atomic_store_explicit(&w->synced, target, memory_order_release);
            break;
        }
        if (s->file != NULL)
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

static int append_broke(struct eng_wal *w, int rc)
{
    int none = 0;

    atomic_compare_exchange_strong(&w->failed, &none, rc);
    return rc;
}

/* Zeroes [from, to) of the file. */
static int zero_range(struct eng_wal *w, struct sx_file *f, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[ENG_WAL_PAGE];
    int rc = SX_OK;

    while (rc == SX_OK && from < to) {
        uint64_t n = to - from < sizeof(zeros) ? to - from : sizeof(zeros);

        rc = w->io->pwrite(f, zeros, n, from, NULL);
        from += n;
    }
    return rc;
}

/* Takes back what a failed write may have left in [s->end, s->end + n): the part that was zero
 * before is zeroed again, what lay beyond is cut off. If that is refused, the file is cut at the
 * last record, which needs no space. Then synced: the failed bytes may already be on their way to
 * the disk, and a power cut must not bring back a record whose failure was answered. */
static int append_undo(struct eng_wal *w, struct eng_wal_seg *s, uint64_t n)
{
    uint64_t to = s->end + n < s->size ? s->end + n : s->size;
    int rc = zero_range(w, s->file, s->end, to);

    if (rc == SX_OK && s->end + n > s->size)
        rc = w->io->truncate(s->file, s->size, NULL);
    if (rc != SX_OK) {
        rc = w->io->truncate(s->file, s->end, NULL);
        if (rc != SX_OK)
            return rc;
        s->size = s->end;
    }
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

/* Makes the segment that begins with `number`. Nothing is left behind on failure, or must_roll
 * stays set: were a later, shorter record put into the old tail, an empty file would claim its
 * number. */
static int roll(struct eng_wal *w, uint64_t number, struct sx_err *err)
{
    struct eng_wal_seg *s = eng_wal_seg_create(w, number);
    uint64_t size = w->segment_bytes < WAL_STEP_MIN ? ENG_WAL_HEAD : WAL_STEP_MIN;
    uint8_t *p = s != NULL ? buf_take(w, size) : NULL;
    struct sx_file_head head;
    struct eng_wal_page page;
    char name[ENG_WAL_NAME];
    int rc;

    if (p == NULL) {
        if (s != NULL)
            eng_wal_seg_destroy(w, s);
        return sx_err_set(err, SX_ENOMEM, "no memory for a log segment");
    }
    eng_wal_seg_name(number, name);
    eng_wal_seg_head(w, number, eng_wal_synced(w), &head, &page);
    memset(p, 0, size);
    memcpy(p, &head, sizeof(head));
    memcpy(p + sizeof(head), &page, sizeof(page));
    rc = w->io->open(w->dir, name, SX_IO_WRITE | SX_IO_CREATE, &s->file, err);
    if (rc != SX_OK) {
        s->file = NULL;
        eng_wal_seg_destroy(w, s);
        return rc;
    }
    /* An earlier try may have left a file of this name. */
    rc = w->io->truncate(s->file, 0, err);
    if (rc == SX_OK)
        rc = w->io->pwrite(s->file, p, size, 0, err);
    if (rc == SX_ENOSPACE && size > ENG_WAL_HEAD) {
        size = ENG_WAL_HEAD;
        rc = w->io->pwrite(s->file, p, size, 0, err);
    }
    if (rc == SX_OK)
        rc = w->io->datasync(s->file, err);
    if (rc == SX_OK)
        rc = w->io->dir_sync(w->dir, err);
    if (rc != SX_OK) {
        int left;

        eng_wal_seg_destroy(w, s);
        left = w->io->unlink(w->dir, name, NULL);
        if (left == SX_OK || left == SX_ENOTFOUND)
            left = w->io->dir_sync(w->dir, NULL);
        if (left != SX_OK)
            w->must_roll = 1;
        return rc == SX_ENOSPACE ? rc : append_broke(w, rc);
    }
    s->end = ENG_WAL_HEAD;
    s->size = size;
    if (w->tail != NULL) {
        /* pairs with the acquire in eng_wal_sync() */
        atomic_store_explicit(&w->tail->next, s, memory_order_release);
    } else {
        w->head = s;
        (void)pthread_mutex_lock(&w->lock);
        w->sync_seg = s;
        (void)pthread_mutex_unlock(&w->lock);
    }
    w->tail = s;
    w->must_roll = 0;
    return SX_OK;
}

/* Where the written part of the file is to end when a record of n bytes is put at s->end. */
static uint64_t grown_size(const struct eng_wal *w, const struct eng_wal_seg *s, uint64_t n)
{
    uint64_t end = s->end + n, step = s->size, size;

    if (end <= s->size)
        return s->size;
    if (n >= WAL_LARGE)
        return eng_wal_page_up(end);
    if (step < WAL_STEP_MIN)
        step = WAL_STEP_MIN;
    if (step > WAL_STEP_MAX)
        step = WAL_STEP_MAX;
    size = (end + step - 1) / step * step;
    if (size > w->segment_bytes)
        size = w->segment_bytes & ~(uint64_t)(ENG_WAL_PAGE - 1);
    return size < end ? eng_wal_page_up(end) : size;
}

/* Writes the n bytes in the buffer at the tail's end, with zeros behind them where the file grows.
 */
static int write_record(struct eng_wal *w, uint64_t n, uint64_t size, struct sx_err *err)
{
    struct eng_wal_seg *s = w->tail;
    uint64_t bytes = size > s->size ? size - s->end : n;
    int rc = w->io->pwrite(s->file, w->buf, bytes, s->end, err);

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
            return append_broke(w, rc);
        return rc;
    }
    s->end += n;
    if (size > s->size)
        s->size = size;
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
    if (w->tail == NULL || w->must_roll ||
        (w->tail->end > ENG_WAL_HEAD && w->tail->end + total > w->segment_bytes)) {
        rc = roll(w, number, err);
        if (rc != SX_OK)
            return rc;
    }
    size = grown_size(w, w->tail, total);
    at = size > w->tail->size ? size - w->tail->end : total;
    rec = (void *)buf_take(w, at);
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

/* --- trim -------------------------------------------------------------------------------- */

int eng_wal_trim(struct eng_wal *w, uint64_t number, struct sx_err *err)
{
    int rc = SX_OK;

    if (number > w->checkpoint)
        w->checkpoint = number;
    /* The tail always stays: it holds the place of the next record. An unlink that a power cut
     * takes back brings a segment again that the next open skips, so the directory needs no sync.
     */
    while (rc == SX_OK && w->head != NULL && w->head != w->tail) {
        struct eng_wal_seg *s = w->head;
        struct eng_wal_seg *next = atomic_load_explicit(&s->next, memory_order_relaxed);
        char name[ENG_WAL_NAME];

        if (next->first > number + 1)
            break;
        eng_wal_seg_name(s->first, name);
        rc = w->io->unlink(w->dir, name, err);
        if (rc == SX_ENOTFOUND)
            rc = SX_OK;
        if (rc != SX_OK)
            break;
        (void)pthread_mutex_lock(&w->lock);
        w->head = next;
        if (w->sync_seg == s)
            w->sync_seg = next;
        eng_wal_seg_destroy(w, s);
        (void)pthread_mutex_unlock(&w->lock);
    }
    return rc;
}

uint64_t eng_wal_bytes(const struct eng_wal *w)
{
    uint64_t sum = 0;

    for (const struct eng_wal_seg *s = w->head; s != NULL;
         s = atomic_load_explicit(&s->next, memory_order_relaxed)) {
        uint64_t bytes = s->end > ENG_WAL_HEAD ? s->end - ENG_WAL_HEAD : 0;

        if (s->last <= w->checkpoint || bytes == 0)
            continue;
        /* Of the segment that the checkpoint falls into, a part: as if its records were of one
         * size. The figure decides when to checkpoint again, not where to read. */
        if (s->first <= w->checkpoint)
            bytes = (uint64_t)((double)bytes * (double)(s->last - w->checkpoint) /
                               (double)(s->last - s->first + 1));
        sum += bytes;
    }
    return sum;
}
