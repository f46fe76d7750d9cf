/* The log's repairing half: whether a hole is a torn tail or damage, cutting a tail, and making
 * what an open has found durable.
 *
 * The proof of damage is searched at every 8-aligned offset, because the length of a damaged record
 * cannot be trusted to lead to the next one.
 *
 * A cut is final before the log is used again: truncated, but not below the mark, filled with zeros
 * to a page, synced. The numbers of the cut records will be given again; were the old bytes left
 * behind the end, a later torn write could uncover a valid old record that bears a new number.
 *
 * What an open reads may be in the page cache only, because the process was killed and the machine
 * was not. A sync is not enough to make that durable: if a sync had failed before, the kernel has
 * marked the pages clean and would write nothing. So the records that neither a later one nor the
 * checkpoint calls durable, a group commit's worth, are written again in place before the sync, and
 * so are the links to them. After a clean stop nothing is written and nothing synced.
 *
 * Runs on the thread that opens the shard, alone. */
#include <string.h>

#include "wal_priv.h"

#include "sextant/sx_ban.h"

#define REWRITE_STEP (256u << 10)

/* Looks in the open segment, from an 8-aligned offset on, for a record written when `hole` was
 * durable. 1 found, 0 not. */
static int find_proof(struct eng_wal_scan *s, uint64_t off, uint64_t hole)
{
    uint64_t limit = (hole > s->seg->first ? hole : s->seg->first) + s->length / 64;

    for (; off + sizeof(struct eng_wal_rec) <= s->length; off += 8) {
        const struct eng_wal_rec *rec;
        const uint8_t *p;
        int rc = eng_wal_load(s, off, sizeof(*rec), &p);

        if (rc <= 0)
            return rc;
        rec = (const void *)p;
        if (rec->synced < hole || rec->number <= rec->synced || rec->number > limit ||
            rec->n > ENG_WAL_MAX_BODY || rec->n > s->length - off)
            continue;
        /* Bytes that only look like headers cannot make this quadratic. Giving up counts as a
         * proof: then nothing is cut. */
        if (s->budget < rec->n)
            return 1;
        s->budget -= rec->n;
        rc = eng_wal_record_at(s, off, &rec);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int eng_wal_judge(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i)
{
    uint64_t hole = seg->last + 1;
    const char *what = "damage before records that were written when it was already durable";
    uint64_t synced = 0;
    int rc = eng_wal_seg_open(s, seg);

    if (rc != SX_OK)
        return rc;
    s->budget = (UINT64_C(64) << 20) + s->length * 4;
    rc = find_proof(s, seg->end + 8, hole);
    while (rc == 0 && ++i < s->n) {
        struct eng_wal_seg *later = eng_wal_seg_create(s->w, s->firsts[i]);

        if (later == NULL)
            return sx_err_set(s->err, SX_ENOMEM, "no memory to check the log");
        rc = eng_wal_seg_open(s, later);
        if (rc == SX_OK)
            rc = eng_wal_seg_check(s, &synced);
        if (rc == 0)
            rc = eng_wal_corrupt(s, later->first, 0, ENG_WAL_NOT_WHOLE);
        else if (rc > 0)
            rc = synced >= hole ? 1 : find_proof(s, ENG_WAL_HEAD, hole);
        s->seg = NULL;
        eng_wal_seg_destroy(s->w, later);
    }
    return rc > 0 ? eng_wal_corrupt(s, seg->first, seg->end, what) : rc;
}

/* The file is synced by eng_wal_make_durable() afterwards, unless files behind it go: then the link
 * goes first, so that it never leads to a file that was removed. The directory is synced here: were
 * a removed segment to come back, it would begin inside the records that are written now. */
int eng_wal_cut(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i)
{
    struct eng_wal *w = s->w;
    uint64_t keep = seg->end > seg->mark ? seg->end : seg->mark, size = eng_wal_page_up(keep);
    int rc = w->io->truncate(seg->file, keep, s->err);

    if (rc == SX_OK)
        rc = eng_wal_zero(w, seg->file, seg->end, size, s->err);
    seg->size = size;
    seg->is_cut = 1;
    if (rc == SX_OK && seg->link != 0) {
        rc = eng_wal_link_put(w, seg, 0, s->err);
        if (rc == SX_OK)
            rc = w->io->datasync(seg->file, s->err);
    }
    if (rc != SX_OK || s->n_found == i + 1)
        return rc;
    for (uint32_t j = s->n_found; rc == SX_OK && j-- > i + 1;) {
        char name[ENG_WAL_NAME];

        eng_wal_seg_name(s->firsts[j], name);
        rc = w->io->unlink(w->dir, name, s->err);
    }
    s->n = s->n_found = i + 1;
    return rc == SX_OK ? w->io->dir_sync(w->dir, s->err) : rc;
}

/* Writes what lies in [from, seg->end) of the open segment once more. */
static int rewrite(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint64_t from)
{
    static const uint8_t zeros[ENG_WAL_PAGE];
    const struct sx_io *io = s->w->io;
    const uint8_t *p;
    int rc;

    while (from < seg->end) {
        uint64_t n = seg->end - from < REWRITE_STEP ? seg->end - from : REWRITE_STEP;

        rc = eng_wal_load(s, from, n, &p);
        if (rc == 0)
            rc = sx_err_set(s->err, SX_EIO, "the log became shorter");
        if (rc > 0)
            rc = io->pwrite(seg->file, p, n, from, s->err);
        if (rc != SX_OK)
            return rc;
        from += n;
    }
    from = eng_wal_page_up(seg->end);
    return from > seg->end ? io->pwrite(seg->file, zeros, from - seg->end, seg->end, s->err)
                           : SX_OK;
}

/* Writes the records of the open segment above s->proven once more. */
static int rewrite_unproven(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    uint64_t from = ENG_WAL_HEAD;

    while (from < seg->end) {
        const struct eng_wal_rec *rec;
        const uint8_t *p;
        int rc = eng_wal_load(s, from, sizeof(*rec), &p);

        if (rc <= 0)
            return rc < 0 ? rc : sx_err_set(s->err, SX_EIO, "the log became shorter");
        rec = (const void *)p;
        if (rec->number > s->proven)
            break;
        from += sizeof(*rec) + eng_wal_pad8(rec->n);
    }
    return rewrite(s, seg, from);
}

/* The last segment holds no record and the one before does not lead to it: its making may have been
 * under way. */
static int finish_making(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    int rc = eng_wal_seg_open(s, seg);

    if (rc == SX_OK)
        rc = rewrite(s, seg, 0);
    if (rc == SX_OK)
        rc = eng_wal_zero(s->w, seg->file, seg->end, seg->mark, s->err);
    if (rc == SX_OK)
        rc = s->w->io->datasync(seg->file, s->err);
    return rc == SX_OK ? s->w->io->dir_sync(s->w->dir, s->err) : rc;
}

/* The segment before the first that was read: when its link is not known to be durable it is
 * written again. One without a good head is let be: nobody needs its records, and when it is the
 * only one left it will be refused for that head. */
static int link_unread(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    uint64_t next = atomic_load_explicit(&seg->next, memory_order_relaxed)->first, synced;
    struct sx_err *err = s->err;
    int rc = eng_wal_seg_open(s, seg);

    if (rc != SX_OK)
        return rc;
    s->err = NULL;
    rc = eng_wal_seg_check(s, &synced);
    s->err = err;
    if (rc == 0 || rc == SX_ECORRUPT)
        return SX_OK;
    if (rc > 0)
        rc = eng_wal_link_put(s->w, seg, next, s->err);
    else
        (void)sx_err_set(s->err, rc, "the log cannot be read");
    return rc == SX_OK ? s->w->io->datasync(seg->file, s->err) : rc;
}

/* One of the segments that were read. Links are made durable where no record or checkpoint says
 * that they are; a segment whose every byte is known to be durable is not touched. */
static int settle(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    struct eng_wal_seg *next = atomic_load_explicit(&seg->next, memory_order_relaxed);
    int rc = SX_OK, dirty = seg->is_cut != 0;

    if (seg->end > ENG_WAL_HEAD && seg->last > s->proven) {
        rc = eng_wal_seg_open(s, seg);
        if (rc == SX_OK)
            rc = rewrite_unproven(s, seg);
        dirty = 1;
    }
    if (rc == SX_OK && next != NULL && (seg->link != next->first || next->first > s->proven)) {
        rc = eng_wal_link_put(s->w, seg, next->first, s->err);
        dirty = 1;
    }
    if (rc == SX_OK && seg->is_unmarked) {
        rc = eng_wal_mark_put(s->w, seg, ENG_WAL_HEAD, s->err);
        dirty = 1;
    }
    return rc == SX_OK && dirty ? s->w->io->datasync(seg->file, s->err) : rc;
}

int eng_wal_make_durable(struct eng_wal_scan *s)
{
    struct eng_wal *w = s->w;
    int rc = SX_OK;

    for (struct eng_wal_seg *seg = w->head; rc == SX_OK && seg != w->tail;
         seg = atomic_load_explicit(&seg->next, memory_order_relaxed)) {
        struct eng_wal_seg *next = atomic_load_explicit(&seg->next, memory_order_relaxed);

        if (next == w->tail && next->end == ENG_WAL_HEAD && seg->link != next->first)
            rc = finish_making(s, next);
        if (rc == SX_OK && seg->file != NULL)
            rc = settle(s, seg);
        else if (rc == SX_OK && next->file != NULL && next->first > s->proven)
            rc = link_unread(s, seg);
        if (seg->file != NULL)
            w->io->close(seg->file);
        seg->file = NULL;
    }
    return rc == SX_OK ? settle(s, w->tail) : rc;
}
