/* The log's repairing half: whether a hole is a torn tail or damage, cutting a tail, and making
 * what an open has found durable.
 *
 * The proof of damage is searched at every 8-aligned offset, because the length of a damaged record
 * cannot be trusted to lead to the next one.
 *
 * A cut is final before the log is used again: truncated, padded with zeros to a page, synced. The
 * numbers of the cut records will be given again; were the old bytes left behind the end, a later
 * torn write could uncover a valid old record that bears a new number.
 *
 * What an open reads may be in the page cache only, because the process was killed and the machine
 * was not. A sync is not enough to make that durable: if a sync had failed before, the kernel has
 * marked the pages clean and would write nothing. So the records that no later one calls durable,
 * a group commit's worth, are written again in place before the sync.
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
        if (rc == 0 && i + 1 < s->n)
            rc = eng_wal_corrupt(s, later->first, 0, "a missing head");
        else if (rc > 0)
            rc = synced >= hole ? 1 : find_proof(s, ENG_WAL_HEAD, hole);
        s->seg = NULL;
        eng_wal_seg_destroy(s->w, later);
    }
    return rc > 0 ? eng_wal_corrupt(s, seg->first, seg->end, what) : rc;
}

/* The file is synced by eng_wal_make_durable() afterwards. The directory is synced here: were a
 * removed segment to come back, it would begin inside the records that are written now. */
int eng_wal_cut(struct eng_wal_scan *s, struct eng_wal_seg *seg, uint32_t i)
{
    static const uint8_t zeros[ENG_WAL_PAGE];
    struct eng_wal *w = s->w;
    uint64_t size = eng_wal_page_up(seg->end);
    int rc = SX_OK, removed = 0;

    for (uint32_t j = s->n; j-- > i + 1;) {
        char name[ENG_WAL_NAME];

        eng_wal_seg_name(s->firsts[j], name);
        rc = w->io->unlink(w->dir, name, s->err);
        if (rc != SX_OK)
            return rc;
        removed = 1;
    }
    s->n = i + 1;
    if (removed)
        rc = w->io->dir_sync(w->dir, s->err);
    if (rc != SX_OK || seg->file == NULL)
        return rc;
    rc = w->io->truncate(seg->file, seg->end, s->err);
    if (rc == SX_OK && size > seg->end)
        rc = w->io->pwrite(seg->file, zeros, size - seg->end, seg->end, s->err);
    seg->size = size;
    return rc;
}

/* Writes the records of the segment above s->proven once more, the head too if none is proven. */
static int rewrite(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    static const uint8_t zeros[ENG_WAL_PAGE];
    const struct sx_io *io = s->w->io;
    uint64_t from = 0;
    const uint8_t *p;
    int rc = eng_wal_seg_open(s, seg);

    if (rc != SX_OK)
        return rc;
    if (seg->first <= s->proven) {
        for (from = ENG_WAL_HEAD; from < seg->end;) {
            const struct eng_wal_rec *rec;

            rc = eng_wal_load(s, from, sizeof(*rec), &p);
            if (rc <= 0)
                return rc < 0 ? rc : sx_err_set(s->err, SX_EIO, "the log became shorter");
            rec = (const void *)p;
            if (rec->number > s->proven)
                break;
            from += sizeof(*rec) + eng_wal_pad8(rec->n);
        }
    }
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

int eng_wal_make_durable(struct eng_wal_scan *s)
{
    struct eng_wal *w = s->w;
    int rc = SX_OK;

    for (struct eng_wal_seg *seg = w->head; rc == SX_OK && seg != NULL;
         seg = atomic_load_explicit(&seg->next, memory_order_relaxed)) {
        if (seg->file == NULL)
            continue;
        if (seg->last > s->proven || seg->end == ENG_WAL_HEAD)
            rc = rewrite(s, seg);
        if (rc == SX_OK)
            rc = w->io->datasync(seg->file, s->err);
        if (rc == SX_OK && seg == w->tail && seg->end == ENG_WAL_HEAD)
            rc = w->io->dir_sync(w->dir, s->err); /* its creation may have been under way */
        if (seg != w->tail) {
            w->io->close(seg->file);
            seg->file = NULL;
        }
    }
    return rc;
}
