/* Segments of the log as files: their first page, making the next one, forgetting old ones.
 *
 * A segment is made, written and known to its directory before the one before leads to it, and that
 * before the first record goes into it. So a segment that is not whole never held a record unless a
 * link leads to it, and one that is missing never held one that anybody was told about,
 * unless a link leads to it: see wal_priv.h. That costs two syncs on the strand, once per segment.
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

void eng_wal_seg_head(const struct sx_store_id *id,
                      uint64_t first,
                      uint64_t synced,
                      struct sx_file_head *head,
                      struct eng_wal_page *page)
{
    memset(head, 0, sizeof(*head));
    head->kind = SX_FILE_LOG;
    head->version = ENG_WAL_VERSION;
    memcpy(head->uuid, id->uuid, sizeof(head->uuid));
    head->shard = id->shard;
    head->generation = id->generation;
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
    eng_wal_seg_head(&w->id, first, 0, &head, &page);
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

void eng_wal_mark_fill(uint32_t seed, uint64_t size, struct eng_wal_mark *mark)
{
    memset(mark, 0, sizeof(*mark));
    mark->size = size;
    mark->crc = sx_crc32c(seed, mark, offsetof(struct eng_wal_mark, crc));
}

uint64_t eng_wal_mark_get(const struct eng_wal_seg *s, const void *p)
{
    struct eng_wal_mark mark, want;

    memcpy(&mark, p, sizeof(mark));
    if (mark.size == 0 && mark.crc == 0 && mark.pad == 0)
        return 0;
    eng_wal_mark_fill(s->seed, mark.size, &want);
    return memcmp(&mark, &want, sizeof(mark)) == 0 ? mark.size : ENG_WAL_LINK_BAD;
}

int eng_wal_mark_put(struct eng_wal *w, struct eng_wal_seg *s, uint64_t size, struct sx_err *err)
{
    struct eng_wal_mark mark;

    s->mark = size; /* whether it arrives or not, the file will not become shorter */
    eng_wal_mark_fill(s->seed, size, &mark);
    return w->io->pwrite(s->file, &mark, sizeof(mark), ENG_WAL_MARK_AT, err);
}

static void
head_page(const struct sx_store_id *id, const struct eng_wal_page *what, uint64_t size, uint8_t *p)
{
    struct sx_file_head head;
    struct eng_wal_page page;
    struct eng_wal_mark mark;

    eng_wal_seg_head(id, what->first, what->synced, &head, &page);
    eng_wal_mark_fill(eng_wal_seed(&head, what->first), size, &mark);
    memset(p, 0, ENG_WAL_HEAD);
    memcpy(p, &head, sizeof(head));
    memcpy(p + sizeof(head), &page, sizeof(page));
    memcpy(p + ENG_WAL_MARK_AT, &mark, sizeof(mark));
}

/* Puts the first page into an open, empty file and syncs it. *size is how long the file is to be,
 * with zeros, and becomes what the disk had room for. p has room for *size bytes. */
static int seg_write(const struct sx_io *io,
                     struct sx_file *f,
                     const struct sx_store_id *id,
                     const struct eng_wal_page *what,
                     uint8_t *p,
                     uint64_t *size,
                     struct sx_err *err)
{
    int rc;

    memset(p, 0, *size);
    head_page(id, what, *size, p);
    rc = io->pwrite(f, p, *size, 0, err);
    if (rc == SX_ENOSPACE && *size > ENG_WAL_HEAD) {
        *size = ENG_WAL_HEAD;
        head_page(id, what, *size, p);
        rc = io->pwrite(f, p, *size, 0, err);
    }
    return rc == SX_OK ? io->datasync(f, err) : rc;
}

int eng_wal_format(const struct sx_mem *mem,
                   const struct sx_io *io,
                   struct sx_dir *dir,
                   const struct sx_store_id *id,
                   uint64_t first,
                   struct sx_err *err)
{
    const struct eng_wal_page page = {.first = first};
    uint64_t size = ENG_WAL_STEP;
    uint8_t *bytes = mem->alloc(mem, size);
    char name[ENG_WAL_NAME];
    struct sx_file *f;
    int rc;

    if (bytes == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for a log segment");
    eng_wal_seg_name(first, name);
    rc = io->open(dir, name, SX_IO_WRITE | SX_IO_CREATE | SX_IO_EXCL, &f, err);
    if (rc == SX_OK) {
        rc = seg_write(io, f, id, &page, bytes, &size, err);
        io->close(f);
    }
    mem->release(mem, bytes);
    return rc;
}

/* --- links ------------------------------------------------------------------------------- */

uint64_t eng_wal_link_get(const struct eng_wal_seg *s, const void *p)
{
    struct eng_wal_link link;

    memcpy(&link, p, sizeof(link));
    if (link.next == 0 && link.crc == 0 && link.pad == 0)
        return 0;
    if (link.next <= s->first || link.pad != 0 ||
        link.crc != sx_crc32c(s->seed, &link, offsetof(struct eng_wal_link, crc)))
        return ENG_WAL_LINK_BAD;
    return link.next;
}

int eng_wal_link_put(struct eng_wal *w, struct eng_wal_seg *s, uint64_t next, struct sx_err *err)
{
    struct eng_wal_link link = {.next = next};
    int rc;

    if (next != 0)
        link.crc = sx_crc32c(s->seed, &link, offsetof(struct eng_wal_link, crc));
    rc = w->io->pwrite(s->file, &link, sizeof(link), ENG_WAL_LINK_AT, err);
    if (rc == SX_OK)
        s->link = next;
    return rc;
}

/* --- the next one ------------------------------------------------------------------------ */

/* The file of a segment to be, durable: head and name. s->file is NULL when it could not be opened.
 */
static int
seg_make(struct eng_wal *w, struct eng_wal_seg *s, uint8_t *p, uint64_t size, struct sx_err *err)
{
    const struct eng_wal_page page = {.first = s->first, .synced = eng_wal_synced(w)};
    char name[ENG_WAL_NAME];
    int rc;

    eng_wal_seg_name(s->first, name);
    rc = w->io->open(w->dir, name, SX_IO_WRITE | SX_IO_CREATE, &s->file, err);
    if (rc != SX_OK) {
        s->file = NULL;
        return rc;
    }
    /* An earlier try may have left a file of this name. */
    rc = w->io->truncate(s->file, 0, err);
    if (rc == SX_OK)
        rc = seg_write(w->io, s->file, &w->id, &page, p, &size, err);
    if (rc == SX_OK)
        rc = w->io->dir_sync(w->dir, err);
    s->end = ENG_WAL_HEAD;
    s->size = s->mark = size;
    return rc;
}

/* Takes back a roll that failed with rc, which it returns. Nothing is left behind, or must_roll
 * stays set: were a later, shorter record put into the old tail, an empty file would claim its
 * number. The link goes first, durably, whether it was written or not, and when it cannot the file
 * stays: a link that leads nowhere is damage to the next open. */
static int roll_undo(struct eng_wal *w, struct eng_wal_seg *s, int linked, int rc)
{
    char name[ENG_WAL_NAME];
    int left = SX_OK;

    eng_wal_seg_name(s->first, name);
    eng_wal_seg_destroy(w, s);
    if (linked) {
        left = eng_wal_link_put(w, w->tail, 0, NULL);
        if (left == SX_OK)
            left = eng_wal_undo_sync(w, w->tail);
        if (left != SX_OK)
            return eng_wal_append_broke(w, rc);
    }
    left = w->io->unlink(w->dir, name, NULL);
    if (left == SX_OK || left == SX_ENOTFOUND)
        left = w->io->dir_sync(w->dir, NULL);
    if (left != SX_OK)
        w->must_roll = 1;
    return rc == SX_ENOSPACE ? rc : eng_wal_append_broke(w, rc);
}

int eng_wal_roll(struct eng_wal *w, uint64_t number, struct sx_err *err)
{
    struct eng_wal_seg *s = eng_wal_seg_create(w, number);
    uint64_t size = w->segment_bytes < ENG_WAL_STEP ? ENG_WAL_HEAD : ENG_WAL_STEP;
    uint8_t *p = s != NULL ? eng_wal_buf_take(w, size) : NULL;
    int rc;

    if (p == NULL) {
        if (s != NULL)
            eng_wal_seg_destroy(w, s);
        return sx_err_set(err, SX_ENOMEM, "no memory for a log segment");
    }
    rc = seg_make(w, s, p, size, err);
    if (rc != SX_OK && s->file == NULL) {
        eng_wal_seg_destroy(w, s);
        return rc;
    }
    if (rc != SX_OK)
        return roll_undo(w, s, 0, rc);
    /* Not synced: nothing in the new segment counts before the old one has been synced. */
    rc = eng_wal_link_put(w, w->tail, number, err);
    if (rc != SX_OK)
        return roll_undo(w, s, 1, rc);
    /* pairs with the acquire in eng_wal_sync() */
    atomic_store_explicit(&w->tail->next, s, memory_order_release);
    w->tail = s;
    w->must_roll = 0;
    return SX_OK;
}

int eng_wal_trim(struct eng_wal *w, uint64_t number, struct sx_err *err)
{
    int rc = SX_OK, is_synced;

    if (number > w->checkpoint)
        w->checkpoint = number;
    /* The tail always stays: it holds the place of the next record, and a log without a segment has
     * lost it. An unlink that a power cut takes back brings a segment again that the next open
     * skips, so the directory needs no sync. */
    while (rc == SX_OK && w->head != w->tail) {
        struct eng_wal_seg *s = w->head;
        struct eng_wal_seg *next = atomic_load_explicit(&s->next, memory_order_relaxed);
        char name[ENG_WAL_NAME];

        if (next->first > number + 1)
            break;
        /* While its link may not be durable it stays: a power cut could bring it back without one,
         * and then nobody would miss the segment behind it. */
        (void)pthread_mutex_lock(&w->lock);
        is_synced = w->sync_seg != s;
        (void)pthread_mutex_unlock(&w->lock);
        if (!is_synced)
            break;
        eng_wal_seg_name(s->first, name);
        rc = w->io->unlink(w->dir, name, err);
        if (rc == SX_ENOTFOUND)
            rc = SX_OK;
        if (rc != SX_OK)
            break;
        w->head = next;
        eng_wal_seg_destroy(w, s);
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
