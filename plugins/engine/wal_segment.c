/* Segments of the log as files: their first page, making the next one, forgetting old ones.
 *
 * A segment is made, written and known to its directory before the first record goes into it. So a
 * segment without a whole head never held a record, and one that is missing never held one that
 * anybody was told about. That costs two syncs on the strand, once per segment.
 *
 * Threads: the strand; only the list of segments and the lock are shared with the committer. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "wal_priv.h"

#include "sextant/sx_ban.h"

#define WAL_SHORT (128u << 10)

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

/* Makes the segment that begins with `number`. Nothing is left behind on failure, or must_roll
 * stays set: were a later, shorter record put into the old tail, an empty file would claim its
 * number. */
int eng_wal_roll(struct eng_wal *w, uint64_t number, struct sx_err *err)
{
    struct eng_wal_seg *s = eng_wal_seg_create(w, number);
    uint64_t size = w->segment_bytes < ENG_WAL_STEP ? ENG_WAL_HEAD : ENG_WAL_STEP;
    uint8_t *p = s != NULL ? eng_wal_buf_take(w, size) : NULL;
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
        return rc == SX_ENOSPACE ? rc : eng_wal_append_broke(w, rc);
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

void eng_wal_end_segment(struct eng_wal *w)
{
    if (w->tail != NULL && w->tail->end > ENG_WAL_HEAD + WAL_SHORT)
        w->must_roll = 1;
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
