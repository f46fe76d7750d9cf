/* The log against a list in memory: what is replayed after rolls, torn and flipped bytes, lost
 * files, power cuts before every call, failures of every call, and without each of its syncs. */
/* needs: plugins/engine/wal.c plugins/engine/wal_*.c tests/unit/mem_io.c */

/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "../../plugins/engine/wal_priv.h"
#include "mem_io.h"

#define MAX_RECORDS 4096u

/* --- host -------------------------------------------------------------------------------- */

static _Atomic int n_warnings;
static char last_warning[512];

static void SX_PRINTF(4, 5) host_log(const struct sx_host *self SX_UNUSED,
                                     uint32_t level,
                                     const char *room SX_UNUSED,
                                     const char *fmt,
                                     ...)
{
    va_list ap;

    if (level > SX_LOG_WARN)
        return;
    n_warnings++;
    va_start(ap, fmt);
    (void)vsnprintf(last_warning, sizeof(last_warning), fmt, ap);
    va_end(ap);
}

static struct sx_host host = {.size = sizeof(host), .log = host_log};

/* Memory that refuses the nth allocation. */
static int64_t memory_left = -1;

static int memory_short(void)
{
    return memory_left >= 0 && memory_left-- == 0;
}

static void *mem_alloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    return memory_short() ? NULL : malloc(n);
}

static void *mem_zalloc(const struct sx_mem *self SX_UNUSED, uint64_t n)
{
    return memory_short() ? NULL : calloc(1, n);
}

static void mem_release(const struct sx_mem *self SX_UNUSED, void *p)
{
    free(p);
}

static const struct sx_mem mem = {
    .size = sizeof(mem), .alloc = mem_alloc, .zalloc = mem_zalloc, .release = mem_release};

/* --- the model --------------------------------------------------------------------------- */

static uint64_t rnd(uint64_t *s)
{
    uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct model_record {
    uint32_t n, outcome;
    uint64_t seed;
    uint16_t type;
};

/* Records by number: [1, last] exist, what lies at or below acked was synced. */
struct model {
    struct model_record r[MAX_RECORDS];
    uint64_t last, acked;
};

static void body_fill(const struct model_record *r, uint8_t *p)
{
    uint64_t s = r->seed;

    for (uint32_t i = 0; i < r->n; i++)
        p[i] = i % 8 == 0 ? (uint8_t)rnd(&s) : (uint8_t)(p[i - 1] * 31 + i);
}

struct replay {
    const struct model *m;
    uint64_t last; /* last number replayed */
    uint64_t count;
};

static int wrong_is_fine; /* what is replayed may be wrong: counted, not asserted */
static uint64_t n_wrong;

static int replay_check(void *arg, const struct eng_wal_record *r, struct sx_err *err SX_UNUSED)
{
    struct replay *rp = arg;
    const struct model_record *want;
    int right;
    uint8_t *p;

    assert_int_equal(r->number, rp->last + 1);
    assert_true(r->number < MAX_RECORDS);
    assert_int_equal((uintptr_t)r->body % 8, 0);
    want = &rp->m->r[r->number];
    p = malloc(want->n + 1);
    body_fill(want, p);
    right = r->n == want->n && r->type == want->type && r->outcome == want->outcome &&
            memcmp(r->body, p, want->n) == 0;
    free(p);
    n_wrong += !right;
    assert_true(right || wrong_is_fine);
    rp->last = r->number;
    rp->count++;
    return SX_OK;
}

struct log {
    struct mem_io *disk;
    struct sx_dir *dir;
    struct eng_wal *w;
    uint64_t segment_bytes, checkpoint;
    struct replay rp;
    struct sx_err err;
    int rc;
};

static const struct sx_store_id id = {.uuid = {1, 2, 3, 4}, .shard = 5, .generation = 6};

/* --- an io that can leave a sync out ------------------------------------------------------- */

static uint64_t n_syncs, skip_sync; /* the one to leave out, counted from 1 */

static int skip_datasync(struct sx_file *f, struct sx_err *err)
{
    return ++n_syncs == skip_sync ? SX_OK : mem_io_table()->datasync(f, err);
}

static int skip_dir_sync(struct sx_dir *d, struct sx_err *err)
{
    return ++n_syncs == skip_sync ? SX_OK : mem_io_table()->dir_sync(d, err);
}

static const struct sx_io *log_io(void)
{
    static struct sx_io io;

    io = *mem_io_table();
    io.datasync = skip_datasync;
    io.dir_sync = skip_dir_sync;
    return &io;
}

/* An empty log, as the maker of a shard makes it. */
static void format(struct mem_io *d)
{
    struct sx_dir *dir = mem_io_root(d);

    assert_int_equal(eng_wal_format(&mem, log_io(), dir, &id, 1, NULL), 0);
    assert_int_equal(log_io()->dir_sync(dir, NULL), 0);
    mem_io_table()->dir_close(dir);
}

static struct mem_io *disk_create(void)
{
    struct mem_io *d = mem_io_create();

    format(d);
    return d;
}

/* --- the log ----------------------------------------------------------------------------- */

/* Opens the log on the disk; l->rc and l->rp say how it went. */
static void log_open(struct log *l,
                     struct mem_io *disk,
                     const struct model *m,
                     uint64_t segment_bytes,
                     uint64_t checkpoint)
{
    struct eng_wal_conf conf;

    memset(l, 0, sizeof(*l));
    l->err.size = sizeof(l->err);
    l->disk = disk;
    l->dir = mem_io_root(disk);
    l->segment_bytes = segment_bytes;
    l->checkpoint = checkpoint;
    l->rp.m = m;
    l->rp.last = checkpoint;
    host.mem = &mem;
    conf = (struct eng_wal_conf){.host = &host,
                                 .io = log_io(),
                                 .dir = l->dir,
                                 .id = id,
                                 .segment_bytes = segment_bytes,
                                 .checkpoint = checkpoint};
    l->rc = eng_wal_open(&conf, replay_check, &l->rp, &l->w, &l->err);
    if (l->rc == SX_OK) {
        assert_int_equal(eng_wal_last(l->w), l->rp.last);
        assert_int_equal(eng_wal_synced(l->w), l->rp.last);
        assert_int_equal(eng_wal_failed(l->w), 0);
    } else {
        assert_null(l->w);
    }
}

static void log_close(struct log *l)
{
    eng_wal_close(l->w);
    mem_io_table()->dir_close(l->dir);
    l->w = NULL;
}

/* Appends the record after the last one; enters it in the model before the call, so that a cut in
 * the middle knows what may be in flight. */
static int log_append(struct log *l, struct model *m, uint64_t seed, uint32_t n)
{
    struct model_record *r = &m->r[m->last + 1];
    struct sx_str parts[3];
    uint8_t *p = malloc(n + 1);
    uint32_t a = (uint32_t)(seed % (n + 1)), b = a + (uint32_t)(seed / 7 % (n - a + 1));
    int rc;

    assert_true(m->last + 1 < MAX_RECORDS);
    if (eng_wal_failed(l->w) != 0) {
        /* What broke the log may have left its own record: the model keeps that. */
        rc = eng_wal_append(l->w, m->last + 1, 1, 0, NULL, 0, &l->err);
        assert_int_equal(rc, eng_wal_failed(l->w));
        free(p);
        return rc;
    }
    *r = (struct model_record){n, (uint32_t)seed & 7, seed, (uint16_t)(seed >> 8)};
    body_fill(r, p);
    parts[0] = (struct sx_str){(char *)p, a, 0};
    parts[1] = (struct sx_str){(char *)p + a, b - a, 0};
    parts[2] = (struct sx_str){(char *)p + b, n - b, 0};
    rc = eng_wal_append(l->w, m->last + 1, r->type, r->outcome, parts, 3, &l->err);
    free(p);
    if (rc == SX_OK)
        m->last++;
    assert_int_equal(eng_wal_last(l->w), m->last);
    return rc;
}

static int log_sync(struct log *l, struct model *m)
{
    int rc = eng_wal_sync(l->w, &l->err);

    if (rc == SX_OK) {
        assert_true(eng_wal_synced(l->w) >= m->last);
        m->acked = m->last;
    }
    return rc;
}

/* --- helpers over files ------------------------------------------------------------------ */

static struct sx_file *file_open(struct mem_io *d, uint64_t first)
{
    struct sx_dir *dir = mem_io_root(d);
    char name[ENG_WAL_NAME];
    struct sx_file *f = NULL;

    eng_wal_seg_name(first, name);
    assert_int_equal(mem_io_table()->open(dir, name, SX_IO_WRITE, &f, NULL), 0);
    mem_io_table()->dir_close(dir);
    return f;
}

static uint8_t *file_read(struct mem_io *d, uint64_t first, uint64_t *n)
{
    struct sx_file *f = file_open(d, first);
    uint8_t *p;

    *n = (uint64_t)mem_io_table()->length(f, NULL);
    p = malloc(*n + 1);
    assert_int_equal(mem_io_table()->pread(f, p, *n, 0, NULL), *n);
    mem_io_table()->close(f);
    return p;
}

static void file_put(struct mem_io *d, uint64_t first, uint64_t off, const void *p, uint64_t n)
{
    struct sx_file *f = file_open(d, first);

    assert_int_equal(mem_io_table()->pwrite(f, p, n, off, NULL), 0);
    assert_int_equal(mem_io_table()->datasync(f, NULL), 0);
    mem_io_table()->close(f);
}

static void file_cut(struct mem_io *d, uint64_t first, uint64_t n)
{
    struct sx_file *f = file_open(d, first);

    assert_int_equal(mem_io_table()->truncate(f, n, NULL), 0);
    assert_int_equal(mem_io_table()->datasync(f, NULL), 0);
    mem_io_table()->close(f);
}

static int count_entry(void *arg, const char *name SX_UNUSED, uint32_t is_dir SX_UNUSED)
{
    ++*(uint32_t *)arg;
    return 0;
}

static uint32_t file_count(struct mem_io *d)
{
    struct sx_dir *dir = mem_io_root(d);
    uint32_t n = 0;

    assert_int_equal(mem_io_table()->dir_list(dir, count_entry, &n, NULL), 0);
    mem_io_table()->dir_close(dir);
    return n;
}

static void file_remove(struct mem_io *d, uint64_t first)
{
    struct sx_dir *dir = mem_io_root(d);
    char name[ENG_WAL_NAME];

    eng_wal_seg_name(first, name);
    assert_int_equal(mem_io_table()->unlink(dir, name, NULL), 0);
    mem_io_table()->dir_close(dir);
}

static uint64_t record_size(const struct model *m, uint64_t number)
{
    return sizeof(struct eng_wal_rec) + eng_wal_pad8(m->r[number].n);
}

/* Offset of a record in a log of one segment. */
static uint64_t record_off(const struct model *m, uint64_t number)
{
    uint64_t off = ENG_WAL_HEAD;

    for (uint64_t i = 1; i < number; i++)
        off += record_size(m, i);
    return off;
}

/* After an open that succeeded: the log goes on, and what was acknowledged then is there, also
 * after a power cut. */
static void goes_on(struct log *l, const struct model *m)
{
    struct model *again = malloc(sizeof(*again));
    struct log l2;

    *again = *m;
    again->last = l->rp.last;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(log_append(l, again, 1000 + i, 40 + i * 300), 0);
    assert_int_equal(log_sync(l, again), 0);
    log_close(l);
    for (uint64_t i = 0; i < 2; i++) {
        struct mem_io *d = i == 0 ? mem_io_cut(l->disk, 0) : l->disk;

        n_warnings = 0;
        log_open(&l2, d, again, l->segment_bytes, l->checkpoint);
        assert_int_equal(l2.rc, 0);
        assert_int_equal(l2.rp.last, again->last);
        assert_int_equal(n_warnings, 0);
        log_close(&l2);
        if (i == 0)
            mem_io_destroy(d);
    }
    free(again);
}

/* --- plain ------------------------------------------------------------------------------- */

static void test_like_a_list(void **state SX_UNUSED)
{
    static const uint64_t sizes[] = {4096 + 512, 16384, 100000, 1u << 20};
    struct model *m = malloc(sizeof(*m));

    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct mem_io *d = disk_create();
        uint64_t s = seed, checkpoint = 0, segment = sizes[seed % SX_COUNT(sizes)];
        struct log l;

        memset(m, 0, sizeof(*m));
        log_open(&l, d, m, segment, 0);
        assert_int_equal(l.rc, 0);
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t what = rnd(&s) % 100, before = m->last;

            if (what < 70) {
                uint32_t n = (uint32_t)(rnd(&s) % (what < 60 ? 400 : 20000));

                assert_int_equal(log_append(&l, m, rnd(&s), n), 0);
                assert_true(eng_wal_bytes(l.w) > 0);
            } else if (what < 90) {
                assert_int_equal(log_sync(&l, m), 0);
                assert_int_equal(eng_wal_synced(l.w), before);
            } else if (what < 94) {
                checkpoint += rnd(&s) % (m->acked - checkpoint + 1);
                assert_int_equal(eng_wal_trim(l.w, checkpoint, &l.err), 0);
                if (checkpoint == m->last)
                    assert_int_equal(eng_wal_bytes(l.w), 0);
            } else {
                log_close(&l);
                n_warnings = 0;
                log_open(&l, d, m, segment, checkpoint);
                assert_int_equal(l.rc, 0);
                assert_int_equal(l.rp.last, m->last);
                assert_int_equal(l.rp.count, m->last - checkpoint);
                assert_int_equal(n_warnings, 0);
                m->acked = m->last;
            }
        }
        log_close(&l);
        mem_io_destroy(d);
    }
    free(m);
}

static void test_one_write_per_record(void **state SX_UNUSED)
{
    struct model *m = calloc(1, sizeof(*m));
    struct mem_io *d = disk_create();
    struct log l;

    log_open(&l, d, m, 1u << 20, 0);
    assert_int_equal(log_append(&l, m, 3, 10), 0);
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t calls = mem_io_calls(d);

        assert_int_equal(log_append(&l, m, i, i * 5), 0);
        assert_int_equal(mem_io_calls(d), calls + 1);
    }
    assert_int_equal(file_count(d), 1);
    log_close(&l);
    mem_io_destroy(d);
    free(m);
}

static void test_order_and_size(void **state SX_UNUSED)
{
    struct model *m = calloc(1, sizeof(*m));
    struct mem_io *d = disk_create();
    struct sx_str big = {NULL, ENG_WAL_MAX_BODY, 0}, one = {"x", 1, 0};
    struct sx_str two[2];
    struct log l;

    log_open(&l, d, m, 1u << 16, 0);
    assert_int_equal(eng_wal_append(l.w, 2, 1, 0, &one, 1, &l.err), SX_EINTERNAL);
    assert_int_equal(eng_wal_append(l.w, 0, 1, 0, &one, 1, &l.err), SX_EINTERNAL);
    big.p = calloc(1, ENG_WAL_MAX_BODY);
    two[0] = big;
    two[1] = one;
    assert_int_equal(eng_wal_append(l.w, 1, 1, 0, two, 2, &l.err), SX_EINPUT);
    assert_int_equal(eng_wal_last(l.w), 0);
    assert_int_equal(file_count(d), 1);
    assert_int_equal(log_append(&l, m, 1, 100), 0);
    assert_int_equal(log_append(&l, m, 2, ENG_WAL_MAX_BODY), 0); /* in a segment of its own */
    assert_int_equal(log_append(&l, m, 3, 100), 0);
    assert_int_equal(log_append(&l, m, 4, 100), 0);
    assert_int_equal(file_count(d), 3);
    assert_int_equal(log_sync(&l, m), 0);
    log_close(&l);
    log_open(&l, d, m, 1u << 16, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, 4);
    /* With the first record flipped, proof lies behind 64 MiB. */
    log_close(&l);
    file_put(d, 1, ENG_WAL_HEAD + 70, "!", 1);
    log_open(&l, d, m, 1u << 16, 0);
    assert_int_equal(l.rc, 0); /* nothing was synced before the end: no proof, all is cut */
    assert_int_equal(l.rp.last, 0);
    assert_int_equal(file_count(d), 1);
    log_close(&l);
    free((void *)(uintptr_t)big.p);
    mem_io_destroy(d);
    free(m);
}

/* --- torn tails and damage --------------------------------------------------------------- */

/* A log of one segment with n records, each synced when sync is set. */
static struct mem_io *some_log(struct model *m, uint32_t n, int sync)
{
    struct mem_io *d = disk_create();
    struct log l;

    memset(m, 0, sizeof(*m));
    log_open(&l, d, m, 1u << 20, 0);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(log_append(&l, m, i * 77 + 5, 30 + i * 9), 0);
        if (sync)
            assert_int_equal(log_sync(&l, m), 0);
    }
    assert_int_equal(log_sync(&l, m), 0);
    log_close(&l);
    return d;
}

/* Zeros from an offset on: what a torn write leaves of a file that had its length before. */
static void file_zero(struct mem_io *d, uint64_t first, uint64_t from)
{
    uint64_t n;
    uint8_t *bytes = file_read(d, first, &n);

    memset(bytes + from, 0, n - from);
    file_put(d, first, from, bytes + from, n - from);
    free(bytes);
}

/* The last record torn at every byte. */
static void test_torn_at_every_byte(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 6, 1);

    for (uint64_t at = record_off(m, 5); at < record_off(m, 7); at++) {
        struct mem_io *c = mem_io_cut(d, 1);
        uint64_t whole = at < record_off(m, 6) ? 4 : 5, n, end;
        uint8_t *bytes;
        struct log l;

        bytes = file_read(c, 1, &n);
        for (end = record_off(m, whole + 2); end > at && bytes[end - 1] == 0;)
            end--;
        free(bytes);
        file_zero(c, 1, at);
        n_warnings = 0;
        log_open(&l, c, m, 1u << 20, 0);
        assert_int_equal(l.rc, 0);
        if (end == at) { /* its last bytes are zeros: nothing is missing */
            assert_int_equal(l.rp.last, whole + 1);
        } else {
            assert_int_equal(l.rp.last, whole);
            assert_int_equal(n_warnings, at != record_off(m, whole + 1));
        }
        goes_on(&l, m);
        mem_io_destroy(c);
    }
    mem_io_destroy(d);
    free(m);
}

static void test_last_record_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 4, 1);
    uint64_t n;
    uint8_t *bytes = file_read(d, 1, &n);

    for (uint64_t at = record_off(m, 4); at < record_off(m, 5); at++) {
        for (uint32_t bit = 0; bit < 9; bit++) {
            struct mem_io *c = mem_io_cut(d, 1);
            uint8_t x = (uint8_t)(bytes[at] ^ (bit < 8 ? 1u << bit : 0xff)), *after;
            struct log l;

            file_put(c, 1, at, &x, 1);
            n_warnings = 0;
            log_open(&l, c, m, 1u << 20, 0);
            assert_int_equal(l.rc, 0);
            assert_int_equal(l.rp.last, 3);
            assert_int_equal(n_warnings, 1);
            /* Nothing of the record is left behind the end. */
            after = file_read(c, 1, &n);
            for (uint64_t i = record_off(m, 4); i < n; i++)
                assert_int_equal(after[i], 0);
            free(after);
            if (bit == 8)
                goes_on(&l, m);
            else
                log_close(&l);
            mem_io_destroy(c);
        }
    }
    free(bytes);
    mem_io_destroy(d);
    free(m);
}

/* Opens a damaged log: refused, file and offset named, nothing changed on disk. */
static void refuses(struct mem_io *d, const struct model *m, const char *file, const char *offset)
{
    uint64_t n, n2, calls = mem_io_calls(d);
    uint8_t *before = file_read(d, 1, &n), *after;
    struct log l;

    log_open(&l, d, m, 1u << 20, 0);
    assert_int_equal(l.rc, SX_ECORRUPT);
    assert_int_equal(l.err.code, SX_ECORRUPT);
    assert_non_null(strstr(l.err.msg, file));
    assert_non_null(strstr(l.err.msg, offset));
    log_close(&l);
    after = file_read(d, 1, &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(before, after, n);
    assert_int_equal(mem_io_calls(d), calls);
    free(before);
    free(after);
}

/* A file that is shorter than it was made has been cut, wherever; so has one that is shorter than
 * it was when it grew and that was durable. */
static void test_file_cut(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 6, 1);
    uint64_t mark = ENG_WAL_STEP;
    struct log l;

    for (uint32_t steps = 0; steps < 3; steps++) {
        uint64_t n;

        free(file_read(d, 1, &n));
        for (uint64_t at = ENG_WAL_HEAD; at < mark; at += at % 4096 < 4 ? 1 : 1021) {
            struct mem_io *c = mem_io_cut(d, 1);

            file_cut(c, 1, at);
            refuses(c, m, "0000000000000001.log", "offset 0");
            mem_io_destroy(c);
        }
        /* Behind the mark it looks like a torn tail. */
        for (uint64_t at = mark; at < n; at += 509) {
            struct mem_io *c = mem_io_cut(d, 1);

            file_cut(c, 1, at);
            log_open(&l, c, m, 1u << 20, 0);
            assert_int_equal(l.rc, 0);
            goes_on(&l, m);
            mem_io_destroy(c);
        }
        mark = n;
        log_open(&l, d, m, 1u << 20, 0);
        assert_int_equal(l.rc, 0);
        for (uint64_t to = n; n == to; free(file_read(d, 1, &to))) {
            assert_int_equal(log_append(&l, m, m->last, 3000), 0);
            assert_int_equal(log_sync(&l, m), 0);
        }
        log_close(&l);
    }
    mem_io_destroy(d);
    free(m);
}

static void test_earlier_record_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 5, 1);
    uint64_t n;
    uint8_t *bytes = file_read(d, 1, &n);

    for (uint64_t number = 1; number <= 4; number++) {
        char offset[64];

        (void)snprintf(offset, sizeof(offset), "offset %" PRIu64, record_off(m, number));
        for (uint64_t at = record_off(m, number); at < record_off(m, number + 1); at++) {
            struct mem_io *c = mem_io_cut(d, 1);
            uint8_t x = (uint8_t)(bytes[at] ^ (1u << at % 8));

            file_put(c, 1, at, &x, 1);
            refuses(c, m, "0000000000000001.log", offset);
            mem_io_destroy(c);
        }
    }
    free(bytes);
    mem_io_destroy(d);
    free(m);
}

/* Records that were all written before anything was durable prove nothing about each other. */
static void test_unsynced_batch_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 5, 0);

    for (uint64_t number = 1; number <= 5; number++) {
        struct mem_io *c = mem_io_cut(d, 1);
        struct log l;

        file_put(c, 1, record_off(m, number) + 65, "\xee", 1);
        n_warnings = 0;
        log_open(&l, c, m, 1u << 20, 0);
        assert_int_equal(l.rc, 0);
        assert_int_equal(l.rp.last, number - 1);
        assert_int_equal(n_warnings, 1);
        goes_on(&l, m);
        mem_io_destroy(c);
    }
    mem_io_destroy(d);
    free(m);
}

static void test_head_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 3, 1);
    uint64_t n, head = sizeof(struct sx_file_head) + sizeof(struct eng_wal_page);
    uint8_t *bytes = file_read(d, 1, &n);

    for (uint64_t at = 0; at < head; at++) {
        struct mem_io *c = mem_io_cut(d, 1);
        uint8_t x = (uint8_t)(bytes[at] ^ 0x10);

        file_put(c, 1, at, &x, 1);
        refuses(c, m, "0000000000000001.log", "offset");
        mem_io_destroy(c);
    }
    free(bytes);
    mem_io_destroy(d);
    free(m);
}

/* A client cannot forge a record that would turn a torn tail into damage. */
static void test_forged_record_in_body(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 3, 1);
    struct eng_wal_rec fake[40];
    struct sx_str part = {(char *)fake, sizeof(fake), 0};
    struct log l;

    log_open(&l, d, m, 1u << 20, 0);
    for (uint32_t i = 0; i < SX_COUNT(fake); i++) {
        memset(&fake[i], 0, sizeof(fake[i]));
        fake[i].number = 5 + i;
        fake[i].synced = 4;
        fake[i].crc = eng_wal_crc(0, &fake[i]);
    }
    assert_int_equal(eng_wal_append(l.w, 4, 1, 0, &part, 1, &l.err), 0);
    log_close(&l);
    file_put(d, 1, record_off(m, 4), "\xff", 1);
    log_open(&l, d, m, 1u << 20, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, 3);
    log_close(&l);
    mem_io_destroy(d);
    free(m);
}

/* Three segments of some records each; *second, *third get their first numbers. */
static struct mem_io *segments(struct model *m, int sync, uint64_t *second, uint64_t *third)
{
    struct mem_io *d = disk_create();
    uint32_t files = 1, more = 2;
    struct log l;

    memset(m, 0, sizeof(*m));
    log_open(&l, d, m, 8192, 0);
    while (files < 3 || more-- > 0) {
        assert_int_equal(log_append(&l, m, m->last, 700), 0);
        if (file_count(d) != files) {
            files = file_count(d);
            if (files == 2)
                *second = m->last;
            if (files == 3)
                *third = m->last;
        }
        if (sync)
            assert_int_equal(log_sync(&l, m), 0);
    }
    assert_int_equal(files, 3);
    log_close(&l);
    return d;
}

static void test_across_segments(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    uint64_t second = 0, third = 0;
    struct mem_io *d = segments(m, 1, &second, &third), *c;
    const uint8_t no_link[sizeof(struct eng_wal_link)] = {0};
    uint8_t x = 0xee;
    char offset[64], name[ENG_WAL_NAME];
    struct log l;

    /* The last record of the first segment: the page of the second proves that it was durable. */
    c = mem_io_cut(d, 1);
    file_put(c, 1, record_off(m, second - 1) + 80, &x, 1);
    (void)snprintf(offset, sizeof(offset), "offset %" PRIu64, record_off(m, second - 1));
    refuses(c, m, "0000000000000001.log", offset);
    mem_io_destroy(c);
    /* The page alone proves it too. */
    c = mem_io_cut(d, 1);
    file_remove(c, third);
    file_zero(c, second, ENG_WAL_HEAD);
    file_put(c, 1, record_off(m, second - 1) + 80, &x, 1);
    refuses(c, m, "0000000000000001.log", offset);
    mem_io_destroy(c);
    /* A missing segment in the middle, a first one that is missing, a head of another shard. */
    c = mem_io_cut(d, 1);
    file_remove(c, second);
    eng_wal_seg_name(second, name);
    refuses(c, m, name, "offset 0");
    mem_io_destroy(c);
    c = mem_io_cut(d, 1);
    file_remove(c, 1);
    log_open(&l, c, m, 8192, 0);
    assert_int_equal(l.rc, SX_ECORRUPT);
    log_close(&l);
    log_open(&l, c, m, 8192, second - 2); /* one record is missing */
    assert_int_equal(l.rc, SX_ECORRUPT);
    log_close(&l);
    log_open(&l, c, m, 8192, second - 1); /* none is */
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, m->last);
    log_close(&l);
    mem_io_destroy(c);
    /* Damage below the checkpoint is not even read in segments that are skipped. */
    c = mem_io_cut(d, 1);
    file_put(c, 1, ENG_WAL_HEAD, &x, 1);
    log_open(&l, c, m, 8192, second - 1);
    assert_int_equal(l.rc, 0);
    log_close(&l);
    mem_io_destroy(c);
    mem_io_destroy(d);

    /* Nothing synced: a hole in the first segment takes the others with it. */
    d = segments(m, 0, &second, &third);
    file_put(d, 1, record_off(m, second - 1) + 80, &x, 1);
    n_warnings = 0;
    log_open(&l, d, m, 8192, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, second - 2);
    assert_int_equal(n_warnings, 1);
    assert_int_equal(file_count(d), 1);
    goes_on(&l, m);
    mem_io_destroy(d);

    /* Stray bytes behind the last record of a finished segment lose nothing. */
    d = segments(m, 1, &second, &third);
    file_put(d, 1, record_off(m, second) + 8, &x, 1);
    n_warnings = 0;
    log_open(&l, d, m, 8192, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, m->last);
    assert_int_equal(n_warnings, 1);
    log_close(&l);
    /* ... and are gone when that segment becomes the last again. */
    file_put(d, 1, ENG_WAL_LINK_AT, no_link, sizeof(no_link));
    file_cut(d, second, 100);
    file_remove(d, third);
    log_open(&l, d, m, 8192, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, second - 1);
    assert_int_equal(file_count(d), 1);
    goes_on(&l, m);
    mem_io_destroy(d);
    free(m);
}

static void test_checkpoint_ahead(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 5, 1);
    struct log l;

    log_open(&l, d, m, 1u << 20, 9);
    assert_int_equal(l.rc, 0);
    assert_int_equal(eng_wal_last(l.w), 9);
    assert_int_equal(eng_wal_bytes(l.w), 0);
    assert_int_equal(eng_wal_sync(l.w, &l.err), 0);
    m->last = 9;
    assert_int_equal(log_append(&l, m, 10, 100), 0);
    assert_int_equal(log_append(&l, m, 11, 100), 0);
    assert_int_equal(log_sync(&l, m), 0);
    assert_int_equal(eng_wal_synced(l.w), 11);
    assert_int_equal(file_count(d), 2);
    log_close(&l);
    log_open(&l, d, m, 1u << 20, 9);
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.rp.last, 11);
    assert_int_equal(eng_wal_trim(l.w, 9, &l.err), 0);
    assert_int_equal(file_count(d), 1);
    assert_true(eng_wal_bytes(l.w) > 0);
    assert_int_equal(eng_wal_trim(l.w, 11, &l.err), 0);
    assert_int_equal(file_count(d), 1);
    assert_int_equal(eng_wal_bytes(l.w), 0);
    log_close(&l);
    mem_io_destroy(d);
    free(m);
}

static int replay_refuse(void *arg, const struct eng_wal_record *r, struct sx_err *err)
{
    if (r->number == *(uint64_t *)arg)
        return sx_err_set(err, SX_EUNSUPPORTED, "no");
    return 0;
}

static void test_replay_refuses(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 5, 1);
    struct sx_dir *dir = mem_io_root(d);
    struct sx_err err = SX_ERR_INIT;
    struct eng_wal *w = NULL;
    uint64_t at = 3;
    struct eng_wal_conf conf = {
        .host = &host, .io = mem_io_table(), .dir = dir, .id = id, .segment_bytes = 1u << 20};

    assert_int_equal(eng_wal_open(&conf, replay_refuse, &at, &w, &err), SX_EUNSUPPORTED);
    assert_string_equal(err.msg, "no");
    conf.id.generation++;
    assert_int_equal(eng_wal_open(&conf, replay_refuse, &at, &w, &err), SX_ECORRUPT);
    mem_io_table()->dir_close(dir);
    mem_io_destroy(d);
    free(m);
}

/* --- lost files -------------------------------------------------------------------------- */

struct names {
    uint64_t first[64];
    uint32_t n, pad;
};

static int names_add(void *arg, const char *name, uint32_t is_dir SX_UNUSED)
{
    struct names *l = arg;

    assert_true(l->n < SX_COUNT(l->first));
    l->first[l->n++] = strtoull(name, NULL, 16);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The segments on a disk, in order. */
static void names_of(struct mem_io *d, struct names *out)
{
    struct sx_dir *dir = mem_io_root(d);

    memset(out, 0, sizeof(*out));
    assert_int_equal(mem_io_table()->dir_list(dir, names_add, out, NULL), 0);
    mem_io_table()->dir_close(dir);
    qsort(out->first, out->n, sizeof(out->first[0]), by_value);
}

/* What a log may be expected to say. */
struct terms {
    const struct model *m;
    uint64_t segment, checkpoint;
    int strict; /* nothing is in flight */
};

/* Opens a copy of the disk; NULL when what is replayed lies between what was acknowledged and that
 * with what is in flight. lost: damage may be reported instead, with a file and an offset, and then
 * the disk is as it was. */
static const char *open_wrong(struct mem_io *d, const struct terms *t, int lost)
{
    struct mem_io *c = mem_io_cut(d, 1);
    static char refused[sizeof(((struct sx_err *)0)->msg)];
    const char *what = NULL;
    uint64_t before = n_wrong;
    struct log l;

    wrong_is_fine = 1;
    log_open(&l, c, t->m, t->segment, t->checkpoint);
    wrong_is_fine = 0;
    if (l.rc == SX_ECORRUPT && lost) {
        assert_non_null(strstr(l.err.msg, "wal"));
        assert_non_null(strstr(l.err.msg, " offset "));
        if (mem_io_calls(c) != 0)
            what = "damage is reported, but files are changed";
    } else if (l.rc != SX_OK) {
        memcpy(refused, l.err.msg, sizeof(refused));
        what = refused;
    } else if (n_wrong != before) {
        what = "other records than were written";
    } else if (l.rp.last < t->m->acked) {
        what = lost ? "a lost file is not noticed" : "acknowledged records are missing";
    } else if (l.rp.last > t->m->last + !t->strict) {
        what = "a record that nobody wrote";
    }
    log_close(&l);
    mem_io_destroy(c);
    return what;
}

/* The same of the disk, and of the disk after each loss that one file can suffer: it is gone, or
 * ends before its records begin. */
static const char *disk_wrong(struct mem_io *d, const struct terms *t)
{
    static const uint64_t ends[] = {0, 520, ENG_WAL_HEAD - 1, UINT64_MAX};
    const char *what = open_wrong(d, t, 0);
    struct names l;

    names_of(d, &l);
    for (uint32_t i = 0; i < l.n * SX_COUNT(ends) && what == NULL; i++) {
        struct mem_io *c = mem_io_cut(d, 1);
        uint64_t end = ends[i % SX_COUNT(ends)], n;

        free(file_read(c, l.first[i / SX_COUNT(ends)], &n));
        if (end == UINT64_MAX)
            file_remove(c, l.first[i / SX_COUNT(ends)]);
        else if (end < n)
            file_cut(c, l.first[i / SX_COUNT(ends)], end);
        what = open_wrong(c, t, 1);
        mem_io_destroy(c);
    }
    return what;
}

/* A log of several small segments, each record synced. */
static struct mem_io *chain(struct model *m, uint32_t n_segments, struct names *names)
{
    struct mem_io *d = disk_create();
    struct log l;

    memset(m, 0, sizeof(*m));
    log_open(&l, d, m, 8192, 0);
    while (file_count(d) < n_segments || m->last % 4 != 0) {
        assert_int_equal(log_append(&l, m, m->last, 700), 0);
        assert_int_equal(log_sync(&l, m), 0);
    }
    log_close(&l);
    assert_int_equal(file_count(d), n_segments);
    names_of(d, names);
    return d;
}

/* Every choice of lost segments, with checkpoints at all ends: either nothing above the checkpoint
 * is missing, or damage is reported. */
static void test_segments_lost(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct names names;
    struct mem_io *d = chain(m, 4, &names);
    struct terms t = {m, 8192, 0, 1};
    uint32_t opened = 0;

    for (uint32_t gone = 0; gone < 16; gone++) {
        for (uint32_t c = 0; c < 10; c++) {
            struct mem_io *cut = mem_io_cut(d, 1);
            struct log l;

            t.checkpoint = c < 8 ? names.first[c / 2] - c % 2 : m->last - (c == 9);
            for (uint32_t i = 0; i < 4; i++) {
                if ((gone >> i & 1) != 0)
                    file_remove(cut, names.first[i]);
            }
            assert_null(open_wrong(cut, &t, gone != 0));
            log_open(&l, cut, m, 8192, t.checkpoint);
            opened += l.rc == SX_OK;
            /* The last one is always missed, and so is the first that is needed. */
            if ((gone & 8) != 0 || (t.checkpoint == 0 && gone != 0))
                assert_int_equal(l.rc, SX_ECORRUPT);
            if (gone == 0)
                assert_int_equal(l.rc, SX_OK);
            if (l.rc == SX_OK && gone == 4)
                goes_on(&l, m);
            else
                log_close(&l);
            mem_io_destroy(cut);
        }
    }
    assert_true(opened > 20);
    mem_io_destroy(d);
    free(m);
}

/* An open that finds everything durable changes nothing: an empty log, one below the checkpoint. */
static void test_open_changes_nothing(void **state SX_UNUSED)
{
    struct model *m = calloc(1, sizeof(*m));

    for (uint32_t n_segments = 0; n_segments <= 3; n_segments++) {
        struct names names;
        struct mem_io *d = n_segments == 0 ? disk_create() : chain(m, n_segments, &names);
        uint64_t calls = mem_io_calls(d);
        struct log l;

        log_open(&l, d, m, 8192, m->last);
        assert_int_equal(l.rc, 0);
        assert_int_equal(mem_io_calls(d), calls);
        log_close(&l);
        mem_io_destroy(d);
    }
    free(m);
}

/* The only segment, the last and one in the middle cut at every length of the head page. */
static void test_head_page_cut(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));

    for (uint32_t n_segments = 1; n_segments <= 3; n_segments += 2) {
        struct names names;
        struct mem_io *d = chain(m, n_segments, &names);

        for (uint64_t at = 0; at < ENG_WAL_HEAD; at += at < 700 ? 1 : 97) {
            uint64_t first = names.first[at % 2 == 0 ? n_segments - 1 : n_segments / 2];
            struct mem_io *cut = mem_io_cut(d, 1);
            char name[ENG_WAL_NAME];

            file_cut(cut, first, at);
            eng_wal_seg_name(first, name);
            refuses(cut, m, name, "offset 0");
            mem_io_destroy(cut);
        }
        mem_io_destroy(d);
    }
    free(m);
}

/* A link with a flipped byte: while the segment is there nothing is lost, and the link is made good
 * again; without the segment it is damage. */
static void test_link_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct names names;
    struct mem_io *d = chain(m, 2, &names);
    uint64_t n;
    uint8_t *bytes = file_read(d, 1, &n);

    for (uint64_t at = ENG_WAL_LINK_AT; at < ENG_WAL_LINK_AT + sizeof(struct eng_wal_link); at++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            struct mem_io *c = mem_io_cut(d, 1), *lost = mem_io_cut(d, 1);
            uint8_t x = (uint8_t)(bytes[at] ^ 1u << bit), *after;
            struct log l;

            file_put(c, 1, at, &x, 1);
            file_put(lost, 1, at, &x, 1);
            file_remove(lost, names.first[1]);
            refuses(lost, m, "0000000000000001.log", "offset 512");
            n_warnings = 0;
            log_open(&l, c, m, 8192, 0);
            assert_int_equal(l.rc, 0);
            assert_int_equal(l.rp.last, m->last);
            assert_int_equal(n_warnings, 1);
            assert_non_null(strstr(last_warning, "offset 512"));
            log_close(&l);
            after = file_read(c, 1, &n);
            assert_memory_equal(after, bytes, n);
            free(after);
            mem_io_destroy(c);
            mem_io_destroy(lost);
        }
    }
    /* In the last segment there is no link, and a bit that flips there may have been one. */
    for (uint64_t at = 0; at < sizeof(struct eng_wal_link); at++) {
        struct mem_io *c = mem_io_cut(d, 1);
        char name[ENG_WAL_NAME];

        file_put(c, names.first[1], ENG_WAL_LINK_AT + at, "\x04", 1);
        eng_wal_seg_name(names.first[1], name);
        refuses(c, m, name, "offset 512");
        mem_io_destroy(c);
    }
    free(bytes);
    mem_io_destroy(d);
    free(m);
}

/* A damaged mark is made good again. */
static void test_mark_flipped(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct mem_io *d = some_log(m, 6, 1);
    uint64_t n;
    uint8_t *bytes = file_read(d, 1, &n);

    for (uint64_t at = ENG_WAL_MARK_AT; at < ENG_WAL_MARK_AT + sizeof(struct eng_wal_mark); at++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            struct mem_io *c = mem_io_cut(d, 1);
            uint8_t x = (uint8_t)(bytes[at] ^ 1u << bit);
            struct log l;

            file_put(c, 1, at, &x, 1);
            n_warnings = 0;
            log_open(&l, c, m, 1u << 20, 0);
            assert_int_equal(l.rc, 0);
            assert_int_equal(l.rp.last, m->last);
            assert_int_equal(n_warnings, 1);
            assert_non_null(strstr(last_warning, "offset 1024"));
            goes_on(&l, m);
            mem_io_destroy(c);
        }
    }
    free(bytes);
    mem_io_destroy(d);
    free(m);
}

/* A link of one segment is none in another, and the link of another log is none. */
static void test_link_of_another(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    struct names names;
    struct mem_io *d = chain(m, 3, &names);
    uint64_t n;
    uint8_t *bytes = file_read(d, names.first[1], &n);
    struct eng_wal_link link = {0};
    struct sx_file_head head;
    struct eng_wal_page page;
    char name[ENG_WAL_NAME];
    struct log l;

    file_put(d, 1, ENG_WAL_LINK_AT, bytes + ENG_WAL_LINK_AT, sizeof(struct eng_wal_link));
    n_warnings = 0;
    log_open(&l, d, m, 8192, 0);
    assert_int_equal(l.rc, 0);
    assert_int_equal(n_warnings, 1);
    log_close(&l);
    free(bytes);
    /* One that leads past the segment that follows. */
    eng_wal_seg_head(&id, 1, 0, &head, &page);
    link.next = names.first[2];
    link.crc = sx_crc32c(eng_wal_seed(&head, 1), &link, offsetof(struct eng_wal_link, crc));
    file_put(d, 1, ENG_WAL_LINK_AT, &link, sizeof(link));
    eng_wal_seg_name(names.first[1], name);
    refuses(d, m, name, "offset 0");
    mem_io_destroy(d);
    free(m);
}

/* --- power cuts -------------------------------------------------------------------------- */

struct cutter {
    struct model *m;
    uint64_t seed, states, every, checkpoint, segment;
    int nested;
    int strict; /* nothing is in flight */
};

/* A disk that a power cut left: acknowledged <= replayed <= acknowledged + in flight, and it works.
 */
static void cut_check(struct cutter *c, struct mem_io *d)
{
    struct model *m = malloc(sizeof(*m));
    uint64_t last;
    struct log l;

    *m = *c->m;
    if (c->states % 256 == 5) {
        const struct terms t = {m, c->segment, c->checkpoint, c->strict};

        assert_null(disk_wrong(d, &t));
    }
    log_open(&l, d, m, c->segment, c->checkpoint);
    mem_io_hook(d, NULL, NULL);
    if (l.rc != SX_OK)
        print_error("state %" PRIu64 ": %s\n", c->states, l.err.msg);
    assert_int_equal(l.rc, SX_OK);
    last = l.rp.last;
    assert_true(last >= m->acked);
    assert_true(last <= m->last + !c->strict);
    m->last = last;
    if (c->seed % 4 == 0) {
        goes_on(&l, m);
    } else {
        log_close(&l);
        log_open(&l, d, m, c->segment, c->checkpoint);
        assert_int_equal(l.rc, SX_OK);
        assert_int_equal(l.rp.last, last); /* opening twice gives the same */
        log_close(&l);
    }
    free(m);
    c->states++;
}

static void cut_hook(void *arg, struct mem_io *d)
{
    struct cutter *c = arg;
    uint64_t n = c->every;

    for (uint64_t i = 0; i < n; i++) {
        struct mem_io *cut = mem_io_cut(d, i < 2 && c->seed % 3 == 0 ? i : ++c->seed);
        struct cutter inner = *c;

        /* The repair itself may be cut off by the next power cut. */
        inner.every = 1;
        if (c->nested)
            mem_io_hook(cut, cut_hook, &inner);
        inner.nested = 0;
        cut_check(&inner, cut);
        c->states = inner.states;
        c->seed = inner.seed + 1;
        mem_io_destroy(cut);
    }
}

static void test_power_cuts(void **state SX_UNUSED)
{
    static const uint64_t sizes[] = {4096 + 1024, 12000, 70000, 300000};
    struct model *m = malloc(sizeof(*m));
    uint64_t states = 0;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct mem_io *d = disk_create();
        uint64_t s = seed;
        struct cutter c = {.m = m,
                           .seed = seed * 1000,
                           .every = 2,
                           .segment = sizes[seed % SX_COUNT(sizes)],
                           .nested = seed % 2 == 0};
        struct log l;

        memset(m, 0, sizeof(*m));
        log_open(&l, d, m, c.segment, 0);
        assert_int_equal(l.rc, 0);
        mem_io_hook(d, cut_hook, &c);
        for (uint32_t i = 0; i < 40; i++) {
            uint64_t what = rnd(&s) % 100;

            if (what < 60) {
                uint32_t n = (uint32_t)(rnd(&s) % (what < 50 ? 600 : 9000));

                /* The record in flight is in the model, at last + 1, before the write starts. */
                assert_int_equal(log_append(&l, m, rnd(&s), n), 0);
            } else if (what < 85) {
                assert_int_equal(log_sync(&l, m), 0);
            } else if (what < 92) {
                c.checkpoint += rnd(&s) % (m->acked - c.checkpoint + 1);
                assert_int_equal(eng_wal_trim(l.w, c.checkpoint, &l.err), 0);
            } else {
                /* A kill: the disk goes on as it is, nothing unsynced is lost yet. */
                log_close(&l);
                log_open(&l, d, m, c.segment, c.checkpoint);
                assert_int_equal(l.rc, 0);
                assert_int_equal(l.rp.last, m->last);
                m->acked = m->last; /* the open has synced it */
            }
        }
        mem_io_hook(d, NULL, NULL);
        log_close(&l);
        mem_io_destroy(d);
        states += c.states;
    }
    print_message("%" PRIu64 " states\n", states);
    assert_true(states > 500);
    free(m);
}

/* --- failures of every call -------------------------------------------------------------- */

/* Some work under a fault; what happens to the log is entered in the model. */
static void work(struct log *l, struct model *m, uint64_t seed)
{
    uint64_t s = seed;

    for (uint32_t i = 0; i < 40; i++) {
        uint64_t what = rnd(&s) % 100, n = rnd(&s) % 1500, x = rnd(&s);

        if (what < 65) {
            int rc = log_append(l, m, x, (uint32_t)n);

            assert_true(rc == SX_OK || rc == SX_EIO || rc == SX_ENOSPACE || rc == SX_ENOMEM);
            if (rc == SX_EIO || rc == SX_ENOSPACE)
                assert_true(eng_wal_failed(l->w) == 0 || eng_wal_failed(l->w) == rc);
        } else if (what < 93) {
            int rc = log_sync(l, m);

            if (rc != SX_OK)
                assert_int_equal(log_sync(l, m), eng_wal_failed(l->w));
        } else if (m->acked > 5) {
            (void)eng_wal_trim(l->w, 0, &l->err);
        }
    }
}

static void sweep(int code, uint32_t flags)
{
    struct model *m = malloc(sizeof(*m));
    uint64_t total = 0;

    for (uint64_t n = 0; n <= total; n++) {
        struct mem_io *d = disk_create(), *cut;
        struct cutter c = {
            .m = m, .segment = 9000, .seed = n, .strict = (flags & MEM_IO_STICKY) == 0};
        struct log l;
        int failed;

        memset(m, 0, sizeof(*m));
        log_open(&l, d, m, 9000, 0);
        mem_io_fail(d, n, code, flags);
        work(&l, m, 7);
        if (n == 0)
            total = mem_io_calls(d);
        failed = eng_wal_failed(l.w);
        /* One full disk that gets space again does not end the log. */
        if (code == SX_ENOSPACE && (flags & MEM_IO_STICKY) == 0 && failed != 0) {
            mem_io_fail(d, 0, 0, 0);
            assert_int_not_equal(eng_wal_sync(l.w, &l.err), 0); /* only a failed sync does */
        }
        mem_io_fail(d, 0, 0, 0);
        log_close(&l);
        /* Power cut, then kill: the disk as it is. */
        for (uint64_t i = 0; i < 3; i++) {
            cut = mem_io_cut(d, i < 2 ? i : n + 2);
            cut_check(&c, cut);
            mem_io_destroy(cut);
        }
        log_open(&l, d, m, 9000, 0);
        assert_int_equal(l.rc, 0);
        assert_true(l.rp.last >= m->acked);
        /* What could be taken back has been: only when that failed too may one record more show. */
        assert_true(l.rp.last == m->last ||
                    (l.rp.last == m->last + 1 && (flags & MEM_IO_STICKY) != 0));
        m->last = l.rp.last;
        goes_on(&l, m);
        mem_io_destroy(d);
    }
    assert_true(total > 60);
    free(m);
}

static void test_every_call_fails_once(void **state SX_UNUSED)
{
    sweep(SX_EIO, 0);
    sweep(SX_EIO, MEM_IO_SHORT);
    sweep(SX_EIO, MEM_IO_WHOLE);
    sweep(SX_ENOSPACE, MEM_IO_SHORT);
}

static void test_every_call_fails_from_then_on(void **state SX_UNUSED)
{
    sweep(SX_EIO, MEM_IO_STICKY | MEM_IO_SHORT);
    sweep(SX_EIO, MEM_IO_STICKY | MEM_IO_WHOLE);
    sweep(SX_ENOSPACE, MEM_IO_STICKY | MEM_IO_SHORT);
}

struct faults {
    uint64_t at[2];
    int code;
};

static void fail_at(void *arg, struct mem_io *d)
{
    struct faults *f = arg;

    if (mem_io_calls(d) == f->at[0] || mem_io_calls(d) == f->at[1])
        mem_io_fail(d, 1, f->code, MEM_IO_WHOLE);
}

/* The link cannot be written, nor taken back, and then the disk works again: the new file stays,
 * since the link may be there. */
static void test_link_not_taken_back(void **state SX_UNUSED)
{
    static const int codes[] = {SX_EIO, SX_ENOSPACE};

    for (uint64_t n = 1; n <= 2; n++) { /* the write that takes it back, its sync */
        for (uint32_t i = 0; i < SX_COUNT(codes); i++) {
            struct model *m = calloc(1, sizeof(*m));
            struct mem_io *d = disk_create();
            struct terms t = {m, 8192, 0, 1};
            struct faults f = {.code = codes[i]};
            struct log l;

            log_open(&l, d, m, 8192, 0);
            for (uint32_t j = 0; j < 5; j++)
                assert_int_equal(log_append(&l, m, j, 700), 0);
            assert_int_equal(log_sync(&l, m), 0);
            f.at[0] = mem_io_calls(d) + 5;
            f.at[1] = f.at[0] + n;
            mem_io_hook(d, fail_at, &f);
            assert_int_equal(log_append(&l, m, 5, 700), codes[i]);
            mem_io_hook(d, NULL, NULL);
            assert_int_equal(mem_io_calls(d), f.at[1] + 1);
            assert_int_equal(eng_wal_failed(l.w), codes[i]);
            assert_int_equal(file_count(d), 2);
            log_close(&l);
            for (uint64_t seed = 0; seed < 60; seed++) {
                struct mem_io *cut = mem_io_cut(d, seed);

                assert_null(disk_wrong(cut, &t));
                mem_io_destroy(cut);
            }
            log_open(&l, d, m, 8192, 0);
            assert_int_equal(l.rc, 0);
            goes_on(&l, m);
            mem_io_destroy(d);
            free(m);
        }
    }
}

/* A failing call during open: refused or opened, and nothing acknowledged is lost by it. */
static void test_open_fails_at_every_call(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));
    uint64_t second = 0, third = 0;
    struct mem_io *d = segments(m, 0, &second, &third);
    uint8_t x = 0xee;

    file_put(d, 1, record_off(m, second - 1) + 80, &x, 1);
    for (uint64_t n = 1; n < 20; n++) {
        struct mem_io *c = mem_io_cut(d, 1);
        struct log l;

        mem_io_fail(c, n, SX_EIO, 0);
        log_open(&l, c, m, 8192, 0);
        assert_true(l.rc == SX_OK || l.rc == SX_EIO);
        log_close(&l);
        mem_io_fail(c, 0, 0, 0);
        log_open(&l, c, m, 8192, 0);
        assert_int_equal(l.rc, 0);
        assert_int_equal(l.rp.last, second - 2);
        goes_on(&l, m);
        mem_io_destroy(c);
    }
    mem_io_destroy(d);
    free(m);
}

static void test_full_disk(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));

    for (uint64_t space = 3000; space < 400000; space += 7777) {
        struct mem_io *d = disk_create();
        struct log l;
        uint64_t full;
        int rc = SX_OK;

        memset(m, 0, sizeof(*m));
        mem_io_space(d, space);
        log_open(&l, d, m, 100000, 0);
        while (rc == SX_OK)
            rc = log_append(&l, m, m->last, 3000);
        assert_int_equal(rc, SX_ENOSPACE);
        assert_int_equal(eng_wal_failed(l.w), 0);
        full = m->last;
        /* Small ones go on for a while, into what the large one left. */
        while (log_append(&l, m, m->last, 10) == SX_OK && m->last < full + 3000)
            continue;
        if (m->last != 0)
            assert_int_equal(log_sync(&l, m), 0);
        mem_io_space(d, UINT64_MAX);
        for (uint32_t i = 0; i < 50; i++)
            assert_int_equal(log_append(&l, m, m->last, 3000), 0);
        assert_int_equal(log_sync(&l, m), 0);
        log_close(&l);
        log_open(&l, d, m, 100000, 0);
        assert_int_equal(l.rc, 0);
        assert_int_equal(l.rp.last, m->last);
        log_close(&l);
        mem_io_destroy(d);
    }
    free(m);
}

static void test_failed_sync_is_final(void **state SX_UNUSED)
{
    struct model *m = calloc(1, sizeof(*m));
    struct mem_io *d = disk_create();
    struct log l;

    log_open(&l, d, m, 1u << 20, 0);
    assert_int_equal(log_append(&l, m, 1, 100), 0);
    assert_int_equal(log_sync(&l, m), 0);
    assert_int_equal(log_append(&l, m, 2, 100), 0);
    mem_io_fail(d, 1, SX_EIO, 0);
    assert_int_equal(eng_wal_sync(l.w, &l.err), SX_EIO);
    assert_int_equal(eng_wal_synced(l.w), 1);
    /* The disk would say yes now. */
    assert_int_equal(eng_wal_sync(l.w, &l.err), SX_EIO);
    assert_int_equal(eng_wal_failed(l.w), SX_EIO);
    assert_int_equal(log_append(&l, m, 3, 100), SX_EIO);
    assert_int_equal(eng_wal_synced(l.w), 1);
    log_close(&l);
    mem_io_destroy(d);
    free(m);
}

static void test_memory_short(void **state SX_UNUSED)
{
    struct model *m = malloc(sizeof(*m));

    for (int64_t n = 0; n < 40; n++) {
        struct mem_io *d = some_log(m, 8, 1);
        struct log l;

        memory_left = n;
        log_open(&l, d, m, 9000, 0);
        if (l.rc == SX_OK)
            work(&l, m, (uint64_t)n);
        else
            assert_int_equal(l.rc, SX_ENOMEM);
        memory_left = -1;
        if (l.rc == SX_OK)
            assert_int_equal(eng_wal_failed(l.w), 0);
        log_close(&l);
        log_open(&l, d, m, 9000, 0);
        assert_int_equal(l.rc, 0);
        assert_int_equal(l.rp.last, m->last);
        log_close(&l);
        mem_io_destroy(d);
    }
    free(m);
}

/* --- without a sync ---------------------------------------------------------------------- */

/* Each scene does something with a log; at every call that changes the disk, and at the end, disks
 * are looked at that a power cut could leave. They are all as they must be; with any one of the
 * scene's syncs left out, some are not. */
struct scene {
    struct mem_io *d;
    struct model m;
    struct terms t;
    struct log l;
    int watch;            /* the log may be looked at */
    uint64_t cuts, wrong; /* wrong: 0 or 1, nothing is looked at any more */
    const char *what;
};

static void scene_look(struct scene *s, uint64_t n)
{
    uint64_t was = n_syncs, skip = skip_sync;

    skip_sync = 0;
    for (uint64_t i = 0; i < n && s->wrong == 0; i++) {
        struct mem_io *c = mem_io_cut(s->d, i < 2 ? i : s->cuts + 2);
        const char *what = disk_wrong(c, &s->t);

        if (what != NULL) {
            s->wrong++;
            s->what = what;
        }
        s->cuts++;
        mem_io_destroy(c);
    }
    n_syncs = was;
    skip_sync = skip;
}

static void scene_hook(void *arg, struct mem_io *d SX_UNUSED)
{
    struct scene *s = arg;

    if (s->watch)
        scene_look(s, skip_sync != 0 ? 12 : 4);
}

static void scene_open(struct scene *s)
{
    log_open(&s->l, s->d, &s->m, s->t.segment, s->t.checkpoint);
    assert_int_equal(s->l.rc, 0);
    s->m.last = s->m.acked = s->l.rp.last; /* the log says that it is durable */
}

static void scene_append(struct scene *s, uint32_t n, uint32_t size)
{
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(log_append(&s->l, &s->m, s->m.last * 3 + size, size), 0);
}

/* A log that is no longer than its head, so that copies of the disk are cheap. */
static struct mem_io *small_disk(void)
{
    struct mem_io *d = disk_create();
    struct sx_file_head head;
    struct eng_wal_page page;
    struct eng_wal_mark mark;

    eng_wal_seg_head(&id, 1, 0, &head, &page);
    eng_wal_mark_fill(eng_wal_seed(&head, 1), ENG_WAL_HEAD, &mark);
    file_put(d, 1, ENG_WAL_MARK_AT, &mark, sizeof(mark));
    file_cut(d, 1, ENG_WAL_HEAD);
    return d;
}

/* Five records of 700 bytes fill a segment. */
static void full_segment(struct scene *s, int sync)
{
    s->d = small_disk();
    scene_open(s);
    scene_append(s, 5, 700);
    if (sync)
        assert_int_equal(log_sync(&s->l, &s->m), 0);
}

/* A failed sync and a kill: the page cache has what the disk may not have. */
static void killed(struct scene *s)
{
    mem_io_fail(s->d, 1, SX_EIO, 0);
    assert_int_not_equal(eng_wal_sync(s->l.w, &s->l.err), 0);
    mem_io_fail(s->d, 0, 0, 0);
    log_close(&s->l);
}

static void act_format(struct scene *s)
{
    s->watch = 0; /* before it there is no log */
    format(s->d);
}

static void set_nothing(struct scene *s)
{
    s->d = mem_io_create();
}

static void set_full(struct scene *s)
{
    full_segment(s, 1);
}

static void act_roll(struct scene *s)
{
    scene_append(s, 1, 700);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

static void act_failed_append(struct scene *s)
{
    mem_io_fail(s->d, 1, SX_EIO, MEM_IO_WHOLE);
    assert_int_equal(log_append(&s->l, &s->m, 5, 100), SX_EIO);
    log_close(&s->l);
}

static void act_failed_roll(struct scene *s)
{
    /* The sixth call writes the link; a sync that is left out is no call. */
    mem_io_fail(s->d, skip_sync == 1 || skip_sync == 2 ? 5 : 6, SX_ENOSPACE, MEM_IO_WHOLE);
    assert_int_equal(log_append(&s->l, &s->m, 5, 700), SX_ENOSPACE);
    assert_int_equal(file_count(s->d), 1);
    scene_append(s, 1, 100); /* fits into the old one */
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

/* Of the first segment the link is durable, its records are not. */
static void set_hole(struct scene *s)
{
    struct sx_file *f;
    uint8_t *bytes;
    uint64_t n;

    full_segment(s, 0);
    scene_append(s, 12, 700);
    killed(s);
    bytes = file_read(s->d, 1, &n);
    file_put(s->d, 1, ENG_WAL_LINK_AT, bytes + ENG_WAL_LINK_AT, sizeof(struct eng_wal_link));
    free(bytes);
    f = file_open(s->d, 1);
    n = ENG_WAL_HEAD + 4 * record_size(&s->m, 1) + 80;
    assert_int_equal(mem_io_table()->pwrite(f, "\xee", 1, n, NULL), 0);
    mem_io_table()->close(f);
}

static void act_cut(struct scene *s)
{
    scene_open(s);
    assert_int_equal(s->m.last, 4);
    assert_int_equal(file_count(s->d), 1);
    scene_append(s, 4, 100); /* numbers of a segment that is gone */
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

static void set_unborn(struct scene *s)
{
    struct sx_dir *dir;
    struct sx_file *f;
    char name[ENG_WAL_NAME];

    full_segment(s, 0);
    killed(s);
    dir = mem_io_root(s->d);
    eng_wal_seg_name(6, name);
    assert_int_equal(
        mem_io_table()->open(dir, name, SX_IO_CREATE | SX_IO_WRITE | SX_IO_EXCL, &f, NULL), 0);
    assert_int_equal(mem_io_table()->dir_sync(dir, NULL), 0);
    mem_io_table()->close(f);
    mem_io_table()->dir_close(dir);
}

static void act_unborn(struct scene *s)
{
    scene_open(s);
    assert_int_equal(s->m.last, 5);
    scene_append(s, 1, 100); /* its number, in the segment before */
    scene_append(s, 1, 700);
    assert_int_equal(file_count(s->d), 2);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

/* A kill in the middle of a roll: the new segment is whole, in the page cache. */
static void set_newborn(struct scene *s)
{
    uint8_t bytes[ENG_WAL_HEAD] = {0};
    struct sx_file_head head;
    struct eng_wal_page page;
    struct eng_wal_mark mark;
    struct sx_dir *dir;
    struct sx_file *f;
    char name[ENG_WAL_NAME];

    full_segment(s, 1);
    log_close(&s->l);
    dir = mem_io_root(s->d);
    eng_wal_seg_name(6, name);
    assert_int_equal(mem_io_table()->open(dir, name, SX_IO_CREATE | SX_IO_WRITE, &f, NULL), 0);
    eng_wal_seg_head(&id, 6, 5, &head, &page);
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), &page, sizeof(page));
    eng_wal_mark_fill(eng_wal_seed(&head, 6), sizeof(bytes), &mark);
    memcpy(bytes + ENG_WAL_MARK_AT, &mark, sizeof(mark));
    assert_int_equal(mem_io_table()->pwrite(f, bytes, sizeof(bytes), 0, NULL), 0);
    mem_io_table()->close(f);
    mem_io_table()->dir_close(dir);
}

static void act_newborn(struct scene *s)
{
    scene_open(s);
    assert_int_equal(s->m.last, 5);
    assert_int_equal(file_count(s->d), 2);
    scene_append(s, 1, 700);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

static void set_unread(struct scene *s)
{
    full_segment(s, 1);
    scene_append(s, 1, 700);
    log_close(&s->l);
    s->t.checkpoint = 5;
}

static void act_open(struct scene *s)
{
    scene_open(s);
    log_close(&s->l);
}

static void set_three(struct scene *s)
{
    full_segment(s, 0);
    scene_append(s, 7, 700);
    log_close(&s->l);
}

/* A failed sync has given the link up: it is in the page cache only. */
static void set_given_up(struct scene *s)
{
    for (uint32_t i = 0; i < 30; i++) {
        struct sx_dir *dir;
        struct mem_io *cut;
        uint64_t n, link;
        uint8_t *bytes;

        memset(&s->m, 0, sizeof(s->m));
        full_segment(s, 1);
        scene_append(s, 1, 700);
        dir = mem_io_root(s->d);
        for (uint32_t j = 0; j < i; j++) /* another number of calls, another outcome */
            assert_int_equal(mem_io_table()->dir_sync(dir, NULL), 0);
        mem_io_table()->dir_close(dir);
        killed(s);
        cut = mem_io_cut(s->d, 0);
        bytes = file_read(cut, 1, &n);
        memcpy(&link, bytes + ENG_WAL_LINK_AT, sizeof(link));
        free(bytes);
        mem_io_destroy(cut);
        if (link == 0)
            return;
        mem_io_destroy(s->d);
    }
    fail();
}

/* A hole above the checkpoint, and records behind it. */
static void set_stale(struct scene *s)
{
    s->d = small_disk();
    scene_open(s);
    scene_append(s, 5, 100);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    scene_append(s, 6, 100);
    log_close(&s->l);
    file_put(s->d, 1, record_off(&s->m, 6) + 80, "\xee", 1);
    s->t.checkpoint = 5;
}

static void act_stale(struct scene *s)
{
    scene_open(s);
    assert_int_equal(s->m.last, 5);
    scene_append(s, 4, 100);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    log_close(&s->l);
}

static void test_without_a_sync(void **state SX_UNUSED)
{
    static const struct {
        const char *name;
        void (*set)(struct scene *s), (*act)(struct scene *s);
        uint64_t syncs;
    } scenes[] = {
        {"a new log", set_nothing, act_format, 2},
        {"a roll and a commit", set_full, act_roll, 4},
        {"a record taken back", set_full, act_failed_append, 1},
        {"a roll taken back", set_full, act_failed_roll, 5},
        {"a torn tail with segments behind it", set_hole, act_cut, 4},
        {"a segment without a head", set_unborn, act_unborn, 6},
        {"a segment without a link", set_newborn, act_newborn, 4},
        {"a link below the checkpoint", set_unread, act_open, 2},
        {"a kill with segments unsynced", set_three, act_open, 3},
        {"a link that a failed sync gave up", set_given_up, act_open, 2},
        {"a stale record behind a torn tail", set_stale, act_stale, 2},
    };

    for (uint32_t i = 0; i < SX_COUNT(scenes); i++) {
        for (uint64_t skip = 0; skip <= scenes[i].syncs; skip++) {
            struct scene *s = calloc(1, sizeof(*s));

            s->t = (struct terms){&s->m, 8192, 0, 0};
            scenes[i].set(s);
            n_syncs = 0;
            skip_sync = skip;
            s->watch = 1;
            mem_io_hook(s->d, scene_hook, s);
            scenes[i].act(s);
            mem_io_hook(s->d, NULL, NULL);
            if (n_syncs != scenes[i].syncs)
                print_error("%s: %" PRIu64 " syncs\n", scenes[i].name, n_syncs);
            assert_int_equal(n_syncs, scenes[i].syncs);
            skip_sync = 0;
            s->t.strict = 1;
            scene_look(s, 30);
            print_message("%s without sync %" PRIu64 ": %s, disk %" PRIu64 "\n", scenes[i].name,
                          skip, s->what != NULL ? s->what : "nothing wrong", s->cuts);
            assert_int_equal(s->wrong == 0, skip == 0);
            mem_io_destroy(s->d);
            free(s);
        }
    }
}

/* A segment whose link is not durable is not removed, though the checkpoint is beyond it: a power
 * cut could bring it back without the link, and the next one would not be missed. */
static void test_trim_waits_for_link(void **state SX_UNUSED)
{
    struct scene *s = calloc(1, sizeof(*s));

    s->t = (struct terms){&s->m, 8192, 0, 0};
    set_full(s);
    scene_append(s, 1, 700);
    s->t.checkpoint = 5;
    assert_int_equal(eng_wal_trim(s->l.w, 5, &s->l.err), 0);
    assert_int_equal(file_count(s->d), 2);
    scene_look(s, 60);
    assert_int_equal(log_sync(&s->l, &s->m), 0);
    scene_look(s, 60);
    assert_int_equal(eng_wal_trim(s->l.w, 5, &s->l.err), 0);
    assert_int_equal(file_count(s->d), 1);
    scene_look(s, 60);
    assert_null(s->what);
    log_close(&s->l);
    mem_io_destroy(s->d);
    free(s);
}

/* --- threads ----------------------------------------------------------------------------- */

/* An io without locks, so that a race in the log is not hidden by the io's. Only the calls that a
 * running log makes. */
struct bare_file {
    uint8_t bytes[64 << 10];
    uint64_t n;
    uint64_t synced; /* only the committer's */
};
static struct bare_file bare_files[512];
static _Atomic uint32_t n_bare = 1; /* 0 is the first segment, opened more than once */

static int bare_open(struct sx_dir *d SX_UNUSED,
                     const char *name,
                     uint32_t flags SX_UNUSED,
                     struct sx_file **out,
                     struct sx_err *err SX_UNUSED)
{
    uint32_t i = strcmp(name, "0000000000000001.log") == 0
                     ? 0
                     : atomic_fetch_add_explicit(&n_bare, 1, memory_order_relaxed);

    *out = (void *)&bare_files[i];
    return 0;
}

static int64_t bare_length(struct sx_file *f SX_UNUSED, struct sx_err *err SX_UNUSED)
{
    return ENG_WAL_STEP; /* asked before anything is appended */
}

static int64_t
bare_pread(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err SX_UNUSED)
{
    memcpy(p, ((struct bare_file *)(void *)f)->bytes + off, n);
    return (int64_t)n;
}

static void bare_close(struct sx_file *f SX_UNUSED)
{
}

static int bare_pwrite(
    struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err SX_UNUSED)
{
    struct bare_file *b = (void *)f;

    assert_true(off + n <= sizeof(b->bytes));
    memcpy(b->bytes + off, p, n);
    return 0;
}

static int
bare_truncate(struct sx_file *f SX_UNUSED, uint64_t n SX_UNUSED, struct sx_err *e SX_UNUSED)
{
    return 0;
}

static int bare_datasync(struct sx_file *f, struct sx_err *err SX_UNUSED)
{
    ((struct bare_file *)(void *)f)->synced++;
    return 0;
}

static int bare_dir_sync(struct sx_dir *d SX_UNUSED, struct sx_err *err SX_UNUSED)
{
    return 0;
}

static int
bare_unlink(struct sx_dir *d SX_UNUSED, const char *name SX_UNUSED, struct sx_err *e SX_UNUSED)
{
    return 0;
}

static int bare_list(struct sx_dir *d SX_UNUSED,
                     int (*sink)(void *arg, const char *name, uint32_t is_dir),
                     void *arg,
                     struct sx_err *err SX_UNUSED)
{
    (void)sink(arg, "0000000000000001.log", 0);
    return 0;
}

struct committer {
    struct eng_wal *w;
    _Atomic int stop;
    _Atomic uint64_t rounds;
};

static void *committer_run(void *arg)
{
    struct committer *c = arg;
    uint64_t before = 0;

    while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
        uint64_t synced;

        if (eng_wal_sync(c->w, NULL) != 0)
            abort();
        synced = eng_wal_synced(c->w);
        if (synced < before)
            abort();
        before = synced;
        c->rounds++;
    }
    return NULL;
}

static void test_sync_beside_append(void **state SX_UNUSED)
{
    static const struct sx_io io = {.size = sizeof(io),
                                    .open = bare_open,
                                    .close = bare_close,
                                    .length = bare_length,
                                    .pread = bare_pread,
                                    .pwrite = bare_pwrite,
                                    .truncate = bare_truncate,
                                    .datasync = bare_datasync,
                                    .dir_sync = bare_dir_sync,
                                    .dir_list = bare_list,
                                    .unlink = bare_unlink};
    struct eng_wal_conf conf = {.host = &host, .io = &io, .id = id, .segment_bytes = 30000};
    struct committer c = {0};
    struct sx_str part = {"0123456789", 10, 0};
    pthread_t thread;

    host.mem = &mem;
    assert_int_equal(eng_wal_format(&mem, &io, NULL, &id, 1, NULL), 0);
    assert_int_equal(eng_wal_open(&conf, replay_refuse, NULL, &c.w, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, committer_run, &c), 0);
    for (uint64_t i = 1; i <= 40000; i++) {
        assert_int_equal(eng_wal_append(c.w, i, 1, 0, &part, 1, NULL), 0);
        if (i % 1000 == 0)
            assert_int_equal(eng_wal_trim(c.w, eng_wal_synced(c.w), NULL), 0);
    }
    while (atomic_load(&c.rounds) == 0)
        (void)sched_yield(); /* a busy machine has not let it run yet */
    atomic_store(&c.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(eng_wal_sync(c.w, NULL), 0);
    assert_int_equal(eng_wal_synced(c.w), 40000);
    eng_wal_close(c.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_a_list),
        cmocka_unit_test(test_one_write_per_record),
        cmocka_unit_test(test_order_and_size),
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_last_record_flipped),
        cmocka_unit_test(test_file_cut),
        cmocka_unit_test(test_earlier_record_flipped),
        cmocka_unit_test(test_unsynced_batch_flipped),
        cmocka_unit_test(test_head_flipped),
        cmocka_unit_test(test_forged_record_in_body),
        cmocka_unit_test(test_across_segments),
        cmocka_unit_test(test_checkpoint_ahead),
        cmocka_unit_test(test_replay_refuses),
        cmocka_unit_test(test_segments_lost),
        cmocka_unit_test(test_open_changes_nothing),
        cmocka_unit_test(test_head_page_cut),
        cmocka_unit_test(test_link_flipped),
        cmocka_unit_test(test_mark_flipped),
        cmocka_unit_test(test_link_of_another),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_every_call_fails_from_then_on),
        cmocka_unit_test(test_link_not_taken_back),
        cmocka_unit_test(test_open_fails_at_every_call),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_failed_sync_is_final),
        cmocka_unit_test(test_memory_short),
        cmocka_unit_test(test_without_a_sync),
        cmocka_unit_test(test_trim_waits_for_link),
        cmocka_unit_test(test_sync_beside_append),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
