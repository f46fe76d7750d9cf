/* Conformance of kind blobs.
 *
 * Byte strings of 0 to 100 000 bytes are put in uneven batches over several small segments, read
 * back, flushed, reopened and damaged:
 *   - get() shows every blob byte-exact in the order asked, also after a reopen, and ends early
 * when the sink says so; a locator that points nowhere is SX_ECORRUPT;
 *   - the mark of a flush has the true segment, length and CRC of the tail; what lies beyond
 * `known` is cut at open;
 *   - cut, missing and flipped files below `known` are SX_ECORRUPT with the file's name;
 *   - a dropped segment may be named absent at open, the others stay readable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite_storage.h"

#define SEGMENT_BYTES (256u << 10)
#define BLOBS_MAX     3000u

struct blobs_store {
    struct storage st;
    const struct sx_blobs_ops *ops;
    void *self, *h;
    struct sx_blobs_conf conf;
    struct sx_str blobs[BLOBS_MAX]; /* owned bytes */
    sx_locator locs[BLOBS_MAX];
    uint32_t n, pad;
    struct sx_blobs_mark mark;
    struct storage_flush flush;
};

static uint32_t segment_of(sx_locator loc)
{
    return (uint32_t)(loc >> 32);
}

static void file_name(uint32_t segment, char out[32])
{
    snprintf(out, 32, "pay.%08x", segment);
}

static int blobs_open(struct blobs_store *b, struct sx_err *err)
{
    b->h = NULL;
    return b->ops->open(b->self, b->st.io, b->st.dir, "pay", &b->conf, &b->h, err);
}

static int blobs_must_open(struct blobs_store *b)
{
    struct sx_err err = SX_ERR_INIT;
    int rc = blobs_open(b, &err);
    return sx_suite__check(b->st.s, rc == 0 && b->h != NULL, "%s: open fails with %d: %s",
                           b->st.what, rc, err.msg);
}

static void blobs_close(struct blobs_store *b)
{
    if (b->h != NULL)
        b->ops->close(b->self, b->h);
    b->h = NULL;
}

static void blobs_forget(struct blobs_store *b, uint32_t from)
{
    for (uint32_t i = from; i < b->n; i++)
        free((void *)(uintptr_t)b->blobs[i].p);
    b->n = from;
}

static void blobs_put(struct blobs_store *b, uint32_t n)
{
    struct sx_err err = SX_ERR_INIT;
    struct suite *s = b->st.s;
    if (n > BLOBS_MAX - b->n)
        n = BLOBS_MAX - b->n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t kind = sx_suite__random(s) % 100, len = sx_suite__random(s) % 400;
        if (kind == 0)
            len = 0;
        else if (kind == 1)
            len = sx_suite__random(s) % 100000;
        uint8_t *p = malloc(len + 1);
        if (p == NULL)
            return;
        sx_storage__fill(s, p, len);
        b->blobs[b->n + i] = (struct sx_str){(const char *)p, len, 0};
        b->locs[b->n + i] = UINT64_MAX;
    }
    int rc = b->ops->put(b->self, b->h, b->blobs + b->n, n, b->locs + b->n, &err);
    sx_suite__check(s, rc == 0, "%s: put of %u fails with %d: %s", b->st.what, n, rc, err.msg);
    b->n += n;
    if (rc != 0)
        blobs_forget(b, b->n - n);
}

struct get_state {
    struct blobs_store *b;
    const uint32_t *order;
    uint32_t n, stop_at;
};

static int get_one(void *arg, uint32_t i, const void *p, uint32_t n)
{
    struct get_state *g = arg;
    struct suite *s = g->b->st.s;
    if (sx_suite__check(s, i == g->n, "%s: get shows number %u after %u", g->b->st.what, i, g->n)) {
        const struct sx_str *want = &g->b->blobs[g->order[i]];
        sx_suite__check(s, n == want->n && (n == 0 || memcmp(p, want->p, n) == 0),
                        "%s: get gives other bytes for blob %u (%u bytes, not %u)", g->b->st.what,
                        g->order[i], n, want->n);
    }
    g->n++;
    return g->n == g->stop_at;
}

/* Blobs [from, n) in random order, in calls of 37. */
static void check_get(struct blobs_store *b, uint32_t from)
{
    struct sx_err err = SX_ERR_INIT;
    sx_locator locs[37];
    uint32_t order[37];
    for (uint32_t done = from; done < b->n; done += SX_COUNT(locs)) {
        for (uint32_t i = 0; i < SX_COUNT(locs); i++) {
            order[i] = from + sx_suite__random(b->st.s) % (b->n - from);
            if (i == 0)
                order[i] = done;
            locs[i] = b->locs[order[i]];
        }
        struct get_state g = {b, order, 0, UINT32_MAX};
        sx_storage__epoch(&b->st, 1);
        int rc = b->ops->get(b->self, b->h, locs, SX_COUNT(locs), get_one, &g, &err);
        sx_storage__epoch(&b->st, 0);
        if (!sx_suite__check(b->st.s, rc == 0 && g.n == SX_COUNT(locs),
                             "%s: get gives %d after %u blobs: %s", b->st.what, rc, g.n, err.msg))
            return;
    }
}

static void check_outside(struct blobs_store *b)
{
    struct sx_err err = SX_ERR_INIT;
    sx_locator bad[] = {(sx_locator)77 << 32, (b->locs[0] & ~0xffffffffull) | 0xfffffff0u,
                        UINT64_MAX};
    const uint32_t order[1] = {0};
    for (uint32_t i = 0; i < SX_COUNT(bad); i++) {
        struct get_state g = {b, order, 0, UINT32_MAX};
        sx_storage__epoch(&b->st, 1);
        int rc = b->ops->get(b->self, b->h, &bad[i], 1, get_one, &g, &err);
        sx_storage__epoch(&b->st, 0);
        sx_suite__check(b->st.s, rc == SX_ECORRUPT && g.n == 0,
                        "%s: get of locator %#llx, which points nowhere, gives %d", b->st.what,
                        (unsigned long long)bad[i], rc);
    }
}

/* --- flush --- */

static void flushed(void *arg, int rc, const struct sx_blobs_mark *mark, const struct sx_err *err)
{
    struct blobs_store *b = arg;
    b->flush.rc = rc;
    if (rc == 0)
        b->mark = *mark;
    else if (err != NULL)
        b->flush.err = *err;
    __atomic_store_n(&b->flush.is_done, 1, __ATOMIC_RELEASE);
}

/* The end of the last blob, from the layout the header fixes. */
static void check_mark(struct blobs_store *b)
{
    char file[32];
    uint32_t crc = 0, segment = segment_of(b->locs[b->n - 1]);
    uint64_t at = (b->locs[b->n - 1] & 0xffffffffu) * 8;
    uint64_t end = at + 8 + ((uint64_t)b->blobs[b->n - 1].n + 7) / 8 * 8;
    sx_suite__check(b->st.s, b->mark.segment == segment && b->mark.bytes == end,
                    "%s: the mark is segment %u, %llu bytes; the last blob ends in %u at %llu",
                    b->st.what, b->mark.segment, (unsigned long long)b->mark.bytes, segment,
                    (unsigned long long)end);
    file_name(segment, file);
    uint64_t from = end - end % SX_BLOCK_BYTES;
    if (from != end && sx_storage__crc(&b->st, file, from, end, &crc) != 0)
        sx_suite__check(b->st.s, 0, "%s: the suite cannot read file '%s'", b->st.what, file);
    sx_suite__check(b->st.s, b->mark.tail_crc == crc, "%s: the mark's tail CRC is %08x, not %08x",
                    b->st.what, b->mark.tail_crc, crc);
}

static void blobs_flush(struct blobs_store *b)
{
    b->flush = (struct storage_flush){.err = SX_ERR_INIT};
    b->ops->flush(b->self, b->h, flushed, b);
    if (sx_storage__wait(&b->st, &b->flush) && (b->st.s->pr->caps & SX_STORAGE_PERSIST) != 0)
        check_mark(b);
}

static void use_mark(struct blobs_store *b)
{
    b->conf.known = (struct sx_store_mark){b->mark.bytes, b->mark.tail_crc, 0};
    b->conf.known_segment = b->mark.segment;
}

static void check_verify(struct blobs_store *b)
{
    struct sx_err err = SX_ERR_INIT;
    for (uint32_t segment = segment_of(b->locs[0]); segment <= b->mark.segment; segment++) {
        int rc = b->ops->verify(b->self, b->h, segment, &err);
        sx_suite__check(b->st.s, rc == 0, "%s: verify of segment %u fails with %d: %s", b->st.what,
                        segment, rc, err.msg);
    }
}

/* --- the steps --- */

static void step_new(struct blobs_store *b)
{
    static const uint32_t batches[] = {1, 1, 5, 40, 0, 200, 3};
    b->st.what = "new store";
    if (!blobs_must_open(b))
        return;
    for (uint32_t i = 0; i < 40; i++) {
        blobs_put(b, batches[i % SX_COUNT(batches)]);
        if (i == 20) {
            check_get(b, 0);
            blobs_flush(b);
        }
    }
    sx_suite__check(b->st.s, segment_of(b->locs[b->n - 1]) >= segment_of(b->locs[0]) + 2,
                    "%s: %u blobs did not begin a third segment of %u bytes", b->st.what, b->n,
                    SEGMENT_BYTES);
    check_get(b, 0);
    check_outside(b);
    uint64_t disk = 0, ram = 0, dead = 0, dead_later = 0;
    b->ops->stats(b->self, b->h, &disk, &ram, &dead);
    b->ops->dead(b->self, b->h, b->locs[2]);
    b->ops->stats(b->self, b->h, &disk, &ram, &dead_later);
    sx_suite__check(b->st.s, dead_later >= dead + b->blobs[2].n,
                    "%s: a dead blob of %u bytes moves dead bytes from %llu to %llu", b->st.what,
                    b->blobs[2].n, (unsigned long long)dead, (unsigned long long)dead_later);
    blobs_flush(b);
    check_verify(b);
    blobs_close(b);
}

static void step_reopen(struct blobs_store *b)
{
    b->st.what = "reopen";
    use_mark(b);
    if (!blobs_must_open(b))
        return;
    check_get(b, 0);
    check_verify(b);
    check_outside(b);
    b->st.what = "blobs beyond the mark";
    uint32_t n = b->n;
    sx_locator next;
    blobs_put(b, 50);
    next = b->locs[n];
    check_get(b, 0);
    blobs_close(b);
    blobs_forget(b, n);
    if (!blobs_must_open(b))
        return;
    check_get(b, 0);
    blobs_put(b, 50);
    /* The same place, unless the two first blobs differ in needing a new segment. */
    sx_suite__check(b->st.s, b->locs[n] == next || segment_of(b->locs[n]) != segment_of(next),
                    "%s: the place behind the mark was not given again", b->st.what);
    check_get(b, 0);
    blobs_flush(b);
    check_verify(b);
    blobs_close(b);
    use_mark(b);
}

static void expect_corrupt(struct blobs_store *b, uint32_t segment, uint32_t by_open)
{
    struct sx_err err = SX_ERR_INIT;
    char file[32];
    file_name(segment, file);
    int rc = blobs_open(b, &err);
    if (rc == 0 && !by_open)
        rc = b->ops->verify(b->self, b->h, segment, &err);
    sx_storage__is_corrupt(&b->st, rc, &err, file);
    blobs_close(b);
}

static void
flipped(struct blobs_store *b, const char *what, uint32_t segment, uint64_t at, uint32_t by_open)
{
    char file[32];
    file_name(segment, file);
    b->st.what = what;
    if (sx_storage__flip(&b->st, file, at) != 0)
        return;
    expect_corrupt(b, segment, by_open);
    sx_storage__flip(&b->st, file, at);
    if (blobs_must_open(b)) /* and well again */
        check_get(b, 0);
    blobs_close(b);
}

static void step_damage(struct blobs_store *b)
{
    uint32_t first = segment_of(b->locs[0]), last = b->mark.segment;
    char file[32];
    flipped(b, "a flipped byte in a full block", first, SX_FILE_HEAD_BYTES + 100, 0);
    flipped(b, "a flipped byte in the tail", last, SX_FILE_HEAD_BYTES + b->mark.bytes - 1,
            b->mark.bytes % SX_BLOCK_BYTES != 0);
    flipped(b, "a flipped byte in the head", first, 9, 1);
    b->st.what = "a store of another collection";
    b->conf.id.uuid[5] ^= 1;
    expect_corrupt(b, first, 1);
    b->conf.id.uuid[5] ^= 1;
    file_name(last, file);
    b->st.what = "a file that ends below the mark";
    sx_storage__cut(&b->st, file, SX_FILE_HEAD_BYTES + b->mark.bytes - 1);
    expect_corrupt(b, last, 1);
    b->st.what = "a missing file";
    sx_storage__remove(&b->st, file);
    expect_corrupt(b, last, 1);
}

static void step_drop(struct blobs_store *b)
{
    struct sx_err err = SX_ERR_INIT;
    b->st.what = "drop";
    sx_storage__clear(&b->st);
    blobs_forget(b, 0);
    b->conf.known = (struct sx_store_mark){0};
    b->conf.known_segment = 0;
    if (!blobs_must_open(b))
        return;
    while (b->n < BLOBS_MAX && (b->n == 0 || segment_of(b->locs[b->n - 1]) < 2)) {
        uint32_t before = b->n;
        blobs_put(b, 60);
        if (b->n == before)
            break;
    }
    blobs_flush(b);
    const uint32_t victim = segment_of(b->locs[0]);
    uint32_t kept = 0;
    while (kept < b->n && segment_of(b->locs[kept]) == victim)
        kept++;
    int rc = b->ops->drop(b->self, b->h, victim, &err);
    sx_suite__check(b->st.s, rc == 0, "drop fails with %d: %s", rc, err.msg);
    check_get(b, kept);
    blobs_close(b);
    use_mark(b);
    expect_corrupt(b, victim, 1);
    b->st.what = "a segment absent on purpose";
    b->conf.absent = &victim;
    b->conf.n_absent = 1;
    if (blobs_must_open(b)) {
        check_get(b, kept);
        blobs_put(b, 10);
        check_get(b, kept);
    }
    blobs_close(b);
    b->conf.absent = NULL;
    b->conf.n_absent = 0;
}

void sx_suite__blobs(struct suite *s)
{
    struct blobs_store *b = calloc(1, sizeof(*b));
    if (!sx_suite__check(s, b != NULL, "no memory"))
        return;
    if (sx_storage__begin(&b->st, s, "blobs")) {
        b->ops = s->pr->ops;
        b->self = s->pr->self;
        b->conf = (struct sx_blobs_conf){
            .size = (uint32_t)sizeof(b->conf),
            .segment_bytes = SEGMENT_BYTES,
            .id = b->st.id,
        };
        step_new(b);
        if ((s->pr->caps & SX_STORAGE_PERSIST) != 0) {
            step_reopen(b);
            step_damage(b);
            step_drop(b);
        }
        blobs_close(b);
        blobs_forget(b, 0);
        sx_storage__end(&b->st);
    }
    free(b);
}
