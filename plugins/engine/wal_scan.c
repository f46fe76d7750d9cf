/* The log's reading half: what eng_wal_open() does with the files it finds.
 *
 * One pass: segments in the order of their names, records handed to the callback as they are
 * checked. A last file that is not whole is left out when nothing leads to it: it was being made
 * when the power went. The pass ends in one of three ways.
 *
 *  - A clean end: behind the last record there are only zeros.
 *  - A torn tail: something else lies there, and nothing proves that it was ever durable. It was
 *    never acknowledged, or it is the last record and cannot be told from one that was not. It is
 *    cut off.
 *  - Damage: behind the hole stands a valid record, or the page of a segment, that says "when I was
 *    written, the number of the hole was durable"; or the last segment leads to one that is not
 *    there, or there is none at all. Then the disk has lost what it had promised to keep. Nothing
 * is changed, the caller reports the shard as damaged.
 *
 * Judging and cutting are in wal_repair.c. Runs on the thread that opens the shard, alone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "wal_priv.h"

#include "sextant/sx_ban.h"

#define SCAN_WINDOW (256u << 10)

int eng_wal_corrupt(struct eng_wal_scan *s, uint64_t first, uint64_t off, const char *what)
{
    char name[ENG_WAL_NAME];

    eng_wal_seg_name(first, name);
    return sx_err_set(s->err, SX_ECORRUPT, "wal/%s: %s at offset %" PRIu64, name, what, off);
}

static void warn(struct eng_wal_scan *s, uint64_t first, uint64_t off, const char *what)
{
    char name[ENG_WAL_NAME];

    eng_wal_seg_name(first, name);
    sx_log(s->w->host, SX_LOG_WARN, "wal", "wal/%s: %s at offset %" PRIu64, name, what, off);
}

/* --- listing ----------------------------------------------------------------------------- */

/* 1 and the number when the name is exactly what eng_wal_seg_name() makes. */
static int name_parse(const char *name, uint64_t *first)
{
    uint64_t v = 0;

    if (strlen(name) != 20 || memcmp(name + 16, ".log", 5) != 0)
        return 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return 0;
    }
    *first = v;
    return v != 0; /* numbers begin at 1 */
}

static int list_add(void *arg, const char *name, uint32_t is_dir)
{
    struct eng_wal_scan *s = arg;
    uint64_t first;

    if (is_dir || !name_parse(name, &first))
        return 0;
    if (s->n == s->cap) {
        const struct sx_mem *mem = s->w->mem;
        uint32_t cap = s->cap != 0 ? s->cap * 2 : 16;
        uint64_t *p = mem->alloc(mem, (uint64_t)cap * sizeof(*p));

        if (p == NULL) {
            s->no_memory = 1;
            return 1;
        }
        if (s->n != 0)
            memcpy(p, s->firsts, (uint64_t)s->n * sizeof(*p));
        if (s->firsts != NULL)
            mem->release(mem, s->firsts);
        s->firsts = p;
        s->cap = cap;
    }
    s->firsts[s->n++] = first;
    return 0;
}

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* --- reading one segment ----------------------------------------------------------------- */

/* 1 and *p = the n bytes at off (8-aligned), 0 when the file ends before, or a negative code. The
 * bytes stay until the next call. */
int eng_wal_load(struct eng_wal_scan *s, uint64_t off, uint64_t n, const uint8_t **p)
{
    const struct sx_mem *mem = s->w->mem;
    uint64_t want;
    int64_t got;

    if (off > s->length || n > s->length - off)
        return 0;
    if (off >= s->at && off - s->at <= s->have && n <= s->have - (off - s->at)) {
        *p = s->win + (off - s->at);
        return 1;
    }
    want = n > SCAN_WINDOW ? n : SCAN_WINDOW;
    if (want > s->length - off)
        want = s->length - off;
    if (want > s->win_n) {
        if (s->win != NULL)
            mem->release(mem, s->win);
        s->win_n = s->have = 0;
        s->win = mem->alloc(mem, want);
        if (s->win == NULL)
            return sx_err_set(s->err, SX_ENOMEM, "no memory to read the log");
        s->win_n = want;
    }
    s->at = off;
    s->have = 0;
    got = s->w->io->pread(s->seg->file, s->win, want, off, s->err);
    if (got < 0)
        return (int)got;
    if ((uint64_t)got < want)
        return sx_err_set(s->err, SX_EIO, "the log became shorter while it was read");
    s->have = want;
    *p = s->win;
    return 1;
}

/* 1 when the 8-aligned bytes at off are a whole record: *out points into the window. 0 when not. */
int eng_wal_record_at(struct eng_wal_scan *s, uint64_t off, const struct eng_wal_rec **out)
{
    const struct eng_wal_rec *rec;
    const uint8_t *p;
    uint64_t total;
    int rc = eng_wal_load(s, off, sizeof(*rec), &p);

    if (rc <= 0)
        return rc;
    rec = (const void *)p;
    if (rec->n > ENG_WAL_MAX_BODY)
        return 0;
    total = sizeof(*rec) + eng_wal_pad8(rec->n);
    rc = eng_wal_load(s, off, total, &p);
    if (rc <= 0)
        return rc;
    rec = (const void *)p;
    if (eng_wal_crc(s->seg->seed, rec) != rec->crc)
        return 0;
    for (uint64_t i = sizeof(*rec) + rec->n; i < total; i++) {
        if (p[i] != 0)
            return 0;
    }
    *out = rec;
    return 1;
}

/* 1 when there are only zeros from off (8-aligned or the end) to the end of the file. */
static int zeros_from(struct eng_wal_scan *s, uint64_t off)
{
    while (off < s->length) {
        uint64_t n = s->length - off < SCAN_WINDOW ? s->length - off : SCAN_WINDOW;
        const uint8_t *p;
        int rc = eng_wal_load(s, off, n, &p);

        if (rc < 0)
            return rc;
        if (rc == 0 || p[0] != 0 || memcmp(p, p + 1, n - 1) != 0)
            return 0;
        off += n;
    }
    return 1;
}

/* Opens a segment as the one being read. */
int eng_wal_seg_open(struct eng_wal_scan *s, struct eng_wal_seg *seg)
{
    char name[ENG_WAL_NAME];
    int64_t length;
    int rc = SX_OK;

    eng_wal_seg_name(seg->first, name);
    if (seg->file == NULL)
        rc = s->w->io->open(s->w->dir, name, SX_IO_WRITE, &seg->file, s->err);
    if (rc != SX_OK) {
        seg->file = NULL;
        return rc;
    }
    length = s->w->io->length(seg->file, s->err);
    if (length < 0)
        return (int)length;
    s->seg = seg;
    s->length = (uint64_t)length;
    s->at = s->have = 0;
    return SX_OK;
}

/* What the mark at p says. A failed write may have left half of a new one: then nobody knows how
 * long the file was, until it grows again. */
static uint64_t mark_read(struct eng_wal_scan *s, const uint8_t *p)
{
    uint64_t mark = eng_wal_mark_get(s->seg, p);

    if (mark != ENG_WAL_LINK_BAD)
        return mark;
    s->seg->is_unmarked = 1;
    return ENG_WAL_HEAD;
}

/* 1: the head is ours, *synced from its page, link and mark are read. 0: the file is not whole: it
 * is shorter than a head or than its mark, or has no head or no mark, which a disk writes each by
 * itself. Negative: anything else, SX_ECORRUPT. */
int eng_wal_seg_check(struct eng_wal_scan *s, uint64_t *synced)
{
    struct sx_file_head head, want;
    struct eng_wal_page page, want_page;
    const uint8_t *p;
    int rc;

    if (s->length < ENG_WAL_HEAD)
        return 0;
    rc = eng_wal_load(s, 0, ENG_WAL_MARK_AT + sizeof(struct eng_wal_mark), &p);
    if (rc <= 0 || (p[0] == 0 && memcmp(p, p + 1, ENG_WAL_LINK_AT - 1) == 0))
        return rc < 0 ? rc : 0;
    memcpy(&head, p, sizeof(head));
    memcpy(&page, p + sizeof(head), sizeof(page));
    rc = sx_file_head_check(&head, SX_FILE_LOG, ENG_WAL_VERSION, s->err);
    if (rc != SX_OK) {
        char name[ENG_WAL_NAME];

        eng_wal_seg_name(s->seg->first, name);
        return sx_err_wrap(s->err, "wal/%s", name);
    }
    eng_wal_seg_head(&s->w->id, s->seg->first, page.synced, &want, &want_page);
    if (memcmp(&head, &want, sizeof(head)) != 0)
        return eng_wal_corrupt(s, s->seg->first, 0, "the head of another file set");
    if (memcmp(&page, &want_page, sizeof(page)) != 0 || page.synced >= page.first)
        return eng_wal_corrupt(s, s->seg->first, sizeof(head), "damaged first page");
    *synced = page.synced;
    s->seg->link = eng_wal_link_get(s->seg, p + ENG_WAL_LINK_AT);
    s->seg->mark = mark_read(s, p + ENG_WAL_MARK_AT);
    return s->seg->mark >= ENG_WAL_HEAD && s->length >= s->seg->mark;
}

/* Checks and replays the records of the open segment up to the first that is none. */
static int seg_replay(struct eng_wal_scan *s)
{
    struct eng_wal_seg *seg = s->seg;
    const struct eng_wal_rec *rec;
    int rc;

    seg->end = ENG_WAL_HEAD;
    while ((rc = eng_wal_record_at(s, seg->end, &rec)) > 0) {
        struct eng_wal_record r = {0};

        if (rec->number != seg->last + 1 || rec->synced >= rec->number)
            return eng_wal_corrupt(s, seg->first, seg->end, "a record out of order");
        if (rec->synced > s->proven)
            s->proven = rec->synced;
        r.number = rec->number;
        r.type = rec->type;
        r.format = rec->format;
        r.outcome = rec->outcome;
        r.body = rec + 1;
        r.n = rec->n;
        seg->last = r.number;
        seg->end += sizeof(*rec) + eng_wal_pad8(r.n);
        if (r.number > s->w->checkpoint) {
            rc = s->replay(s->arg, &r, s->err);
            if (rc != SX_OK)
                return rc < 0 ? rc : sx_err_set(s->err, SX_EINTERNAL, "replay of the log failed");
        }
    }
    seg->size = s->length;
    return rc;
}

/* --- all of it --------------------------------------------------------------------------- */

static int push(struct eng_wal_scan *s, uint64_t first, struct eng_wal_seg **out)
{
    struct eng_wal_seg *seg = eng_wal_seg_create(s->w, first);

    if (seg == NULL)
        return sx_err_set(s->err, SX_ENOMEM, "no memory for a log segment");
    if (s->w->tail != NULL)
        atomic_store_explicit(&s->w->tail->next, seg, memory_order_relaxed);
    else
        s->w->head = seg;
    s->w->tail = seg;
    *out = seg;
    return SX_OK;
}

/* Leaves out the last file when it is not whole. Whether it was never born or has lost a part says
 * the link of the one before, if the scan comes that far. */
static int leave_unborn(struct eng_wal_scan *s)
{
    struct eng_wal_seg *seg = eng_wal_seg_create(s->w, s->firsts[s->n - 1]);
    uint64_t synced;
    int rc;

    if (seg == NULL)
        return sx_err_set(s->err, SX_ENOMEM, "no memory to check the log");
    rc = eng_wal_seg_open(s, seg);
    if (rc == SX_OK)
        rc = eng_wal_seg_check(s, &synced);
    if (rc == 0 && s->n == 1)
        rc = eng_wal_corrupt(s, seg->first, 0, ENG_WAL_NOT_WHOLE);
    else if (rc == 0)
        s->n--;
    s->seg = NULL;
    eng_wal_seg_destroy(s->w, seg);
    return rc < 0 ? rc : SX_OK;
}

static int remove_unborn(struct eng_wal_scan *s)
{
    uint64_t first = s->firsts[s->n];
    char name[ENG_WAL_NAME];
    int rc;

    eng_wal_seg_name(first, name);
    warn(s, first, 0, "a file whose creation was cut short is removed");
    rc = s->w->io->unlink(s->w->dir, name, s->err);
    return rc != SX_OK ? rc : s->w->io->dir_sync(s->w->dir, s->err);
}

/* Does the open segment, i of the list, lead to the one that follows? */
static int check_link(struct eng_wal_scan *s, uint32_t i)
{
    struct eng_wal_seg *seg = s->seg;
    uint64_t next = i + 1 < s->n_found ? s->firsts[i + 1] : UINT64_MAX;

    if (seg->link == 0) /* the one that follows holds nothing that was promised */
        return SX_OK;
    if (seg->link == ENG_WAL_LINK_BAD && i + 1 == s->n)
        return eng_wal_corrupt(s, seg->first, ENG_WAL_LINK_AT,
                               "a damaged link, and the segment it leads to is missing,");
    if (seg->link == ENG_WAL_LINK_BAD)
        warn(s, seg->first, ENG_WAL_LINK_AT, "a damaged link is written again");
    else if (seg->link > next)
        return eng_wal_corrupt(s, next, 0, "the segment before does not lead to it,");
    else if (seg->link < next)
        return eng_wal_corrupt(s, seg->link, 0, "missing, though the segment before leads to it,");
    else if (i + 1 == s->n)
        return eng_wal_corrupt(s, next, 0, ENG_WAL_NOT_WHOLE);
    return SX_OK;
}

/* Segment i of the list: its head, its link, its records. */
static int scan_one(struct eng_wal_scan *s, uint32_t i, struct eng_wal_seg **out)
{
    struct eng_wal_seg *seg;
    uint64_t synced;
    int rc = push(s, s->firsts[i], &seg);

    if (rc == SX_OK)
        rc = eng_wal_seg_open(s, seg);
    if (rc != SX_OK)
        return rc;
    *out = seg;
    rc = eng_wal_seg_check(s, &synced);
    if (rc <= 0)
        return rc < 0 ? rc : eng_wal_corrupt(s, seg->first, 0, ENG_WAL_NOT_WHOLE);
    if (seg->is_unmarked)
        warn(s, seg->first, ENG_WAL_MARK_AT, "a damaged mark is written again");
    rc = check_link(s, i);
    if (rc != SX_OK)
        return rc;
    if (synced > s->proven)
        s->proven = synced;
    return seg_replay(s);
}

static int scan_segments(struct eng_wal_scan *s, uint32_t i)
{
    struct eng_wal *w = s->w;
    struct eng_wal_seg *before = w->tail, *seg = NULL;
    int rc, clean;

    if (s->firsts[i] > w->checkpoint + 1)
        return eng_wal_corrupt(s, s->firsts[i], 0,
                               "the segment before is missing: the log begins too late");
    for (uint32_t start = i; i < s->n; i++, before = seg) {
        if (i != start && s->firsts[i] <= before->last)
            return eng_wal_corrupt(s, s->firsts[i], 0,
                                   "a segment that begins inside the one before");
        if (i != start && s->firsts[i] != before->last + 1) {
            rc = eng_wal_judge(s, before, i - 1);
            if (rc != SX_OK)
                return rc;
            warn(s, before->first, before->end, "a torn tail is cut off");
            return eng_wal_cut(s, before, i - 1);
        }
        rc = scan_one(s, i, &seg);
        if (rc < 0)
            return rc;
        clean = zeros_from(s, seg->end);
        if (clean < 0)
            return clean;
        if (!clean && i + 1 < s->n && s->firsts[i + 1] == seg->last + 1) {
            /* No record is missing: only the unused end of a finished segment is not zero. */
            warn(s, seg->first, seg->end, "stray bytes behind the last record");
        } else if (!clean) {
            rc = eng_wal_judge(s, seg, i);
            if (rc != SX_OK)
                return rc;
            warn(s, seg->first, seg->end, "a torn tail is cut off");
            return eng_wal_cut(s, seg, i);
        }
        if (seg->size % ENG_WAL_PAGE != 0 && i + 1 == s->n) {
            /* Files grow by whole pages: this one was shortened, perhaps by whole records. */
            warn(s, seg->first, seg->size, "the file was cut short");
            return eng_wal_cut(s, seg, i);
        }
    }
    return SX_OK;
}

/* Everything between the list of names and a log that may be used. */
static int scan_all(struct eng_wal_scan *s)
{
    struct eng_wal *w = s->w;
    struct eng_wal_seg *seg;
    uint32_t i = 0;
    int rc = leave_unborn(s);

    /* Segments wholly at or below the checkpoint are kept for whoever pins them, unread. */
    for (; rc == SX_OK && i + 1 < s->n && s->firsts[i + 1] <= w->checkpoint + 1; i++) {
        rc = push(s, s->firsts[i], &seg);
        if (rc == SX_OK)
            seg->last = s->firsts[i + 1] - 1;
    }
    if (rc == SX_OK)
        rc = scan_segments(s, i);
    if (rc == SX_OK && s->n_found > s->n)
        rc = remove_unborn(s);
    return rc == SX_OK ? eng_wal_make_durable(s) : rc;
}

int eng_wal_scan(struct eng_wal *w,
                 int (*replay)(void *arg, const struct eng_wal_record *r, struct sx_err *err),
                 void *arg,
                 struct sx_err *err)
{
    struct eng_wal_scan s = {
        .w = w, .replay = replay, .arg = arg, .err = err, .proven = w->checkpoint};
    int rc = w->io->dir_list(w->dir, list_add, &s, err);

    if (s.no_memory)
        rc = sx_err_set(err, SX_ENOMEM, "no memory to list the log");
    if (rc == SX_OK && s.n == 0)
        rc = sx_err_set(err, SX_ECORRUPT, "wal: every segment is missing at offset 0");
    if (rc == SX_OK) {
        qsort(s.firsts, s.n, sizeof(s.firsts[0]), cmp_u64);
        s.n_found = s.n;
        rc = scan_all(&s);
    }
    if (rc == SX_OK) {
        uint64_t last = w->tail->last;

        /* The checkpoint may be ahead of the log when the log is not synced for every answer. Then
         * numbers go on in a new segment, which makes the old ones ones to skip. */
        if (last < w->checkpoint)
            w->must_roll = 1;
        last = last > w->checkpoint ? last : w->checkpoint;
        w->tail->sure = last + 1;
        atomic_store_explicit(&w->last, last, memory_order_relaxed);
    }
    if (s.win != NULL)
        w->mem->release(w->mem, s.win);
    if (s.firsts != NULL)
        w->mem->release(w->mem, s.firsts);
    return rc;
}
