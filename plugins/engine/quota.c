/* Quotas of memory and disk; see quota.h. */
#include "quota.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "small_file.h"

#include "sextant/sx_ban.h"

#define FILE_MAX   4096u
#define FRESH_NS   5000000000u
#define MARGIN     5u
#define NO_READING UINT32_MAX

enum { MEMORY, DISK, N_RESOURCES };

static const struct resource {
    const char *key, *label, *what, *of, *advice;
} resources[N_RESOURCES] = {
    {"max_resident_memory_percent", "memory", "Resident memory usage", "total memory",
     "Reduce memory usage (e.g. delete points or drop collections)"},
    {"max_disk_usage_percent", "disk", "Disk usage", "total capacity",
     "Reduce disk usage (e.g. delete points or drop collections)"},
};

struct limits {
    uint32_t enabled, margin;
    uint32_t percent[N_RESOURCES]; /* 0: none */
};

struct eng_quota {
    struct eng *eng;
    struct sx_dir *root;
    pthread_mutex_t lock;          /* limits, readings */
    struct limits limits;          /* guarded */
    uint32_t used[N_RESOURCES];    /* guarded: percent, or NO_READING */
    uint32_t is_over[N_RESOURCES]; /* guarded */
    _Atomic uint32_t is_enforced, is_refusing;
    _Atomic uint64_t fresh_until;
};

/* --- readings ------------------------------------------------------------------------------------
 */

static uint32_t percent(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return NO_READING;
    double p = 100.0 * (double)part / (double)whole;
    return p >= 100 ? 100 : (uint32_t)p;
}

/* As df counts: what only root may use is not part of the capacity. */
static uint32_t disk_used(const char *path)
{
    struct statvfs v;
    if (statvfs(path, &v) != 0)
        return NO_READING;
    uint64_t used = (uint64_t)v.f_blocks - v.f_bfree;
    return percent(used, used + v.f_bavail);
}

/* Up to cap - 1 bytes of a small text, terminated; 0 when it cannot be read. */
static int read_text(struct eng *e, const char *folder, const char *name, char *out, uint64_t cap)
{
    struct sx_dir *d = NULL;
    struct sx_file *f = NULL;
    int64_t n = -1;
    if (e->io->dir_open(NULL, folder, SX_IO_READ, &d, NULL) != 0)
        return 0;
    if (e->io->open(d, name, SX_IO_READ, &f, NULL) == 0) {
        n = e->io->pread(f, out, cap - 1, 0, NULL);
        e->io->close(f);
    }
    e->io->dir_close(d);
    if (n <= 0)
        return 0;
    out[n] = 0;
    return 1;
}

/* A limit of the control group in bytes; UINT64_MAX when there is none ("max", or a number larger
 * than any memory). */
static uint64_t group_limit(struct eng *e)
{
    char text[64];
    if (!read_text(e, "/sys/fs/cgroup", "memory.max", text, sizeof(text)) &&
        !read_text(e, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", text, sizeof(text)))
        return UINT64_MAX;
    uint64_t v = 0;
    for (const char *p = text; *p >= '0' && *p <= '9' && v < UINT64_MAX / 16; p++)
        v = v * 10 + (uint64_t)(*p - '0');
    return v ? v : UINT64_MAX;
}

static uint32_t memory_used(struct eng *e)
{
    char text[128];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), total = 0, limit = group_limit(e), pages = 0;
    if (!read_text(e, "/proc/self", "statm", text, sizeof(text)))
        return NO_READING;
    const char *p = strchr(text, ' '); /* the second number: resident pages */
    for (p = p ? p + 1 : ""; *p >= '0' && *p <= '9'; p++)
        pages = pages * 10 + (uint64_t)(*p - '0');
    long n = sysconf(_SC_PHYS_PAGES);
    total = n > 0 ? (uint64_t)n * page : 0;
    return percent(pages * page, total < limit ? total : limit);
}

/* With the lock held. */
static void judge(struct eng_quota *q)
{
    const struct limits *l = &q->limits;
    uint32_t refusing = 0, enforced = 0;
    for (uint32_t i = 0; i < N_RESOURCES; i++) {
        uint32_t limit = l->percent[i], used = q->used[i];
        if (!l->enabled || limit == 0 || used == NO_READING)
            q->is_over[i] = 0;
        else if (used >= limit)
            q->is_over[i] = 1;
        else if (used < (limit > l->margin ? limit - l->margin : 1))
            q->is_over[i] = 0;
        refusing |= q->is_over[i];
        enforced |= l->enabled && limit;
    }
    atomic_store_explicit(&q->is_refusing, refusing, memory_order_relaxed);
    atomic_store_explicit(&q->is_enforced, enforced, memory_order_relaxed);
}

static void look(struct eng_quota *q)
{
    uint32_t memory = memory_used(q->eng), disk = disk_used(q->eng->conf->storage_path);
    pthread_mutex_lock(&q->lock);
    q->used[MEMORY] = memory;
    q->used[DISK] = disk;
    judge(q);
    pthread_mutex_unlock(&q->lock);
}

static int tell(struct eng_quota *q, struct sx_err *err)
{
    uint32_t i = 0;
    pthread_mutex_lock(&q->lock);
    while (i < N_RESOURCES && !q->is_over[i])
        i++;
    struct limits l = q->limits;
    uint32_t used = i < N_RESOURCES ? q->used[i] : 0;
    pthread_mutex_unlock(&q->lock);
    if (i == N_RESOURCES)
        return 0;
    const struct resource *r = &resources[i];
    uint32_t limit = l.percent[i];
    if (used >= limit)
        return sx_err_set(err, SX_ENOSPACE,
                          "%s is at %u%% of %s, exceeding the configured limit of %u%%. Help: %s, "
                          "or raise `%s` in the global quota config.",
                          r->what, used, r->of, limit, r->advice, r->key);
    return sx_err_set(
        err, SX_ENOSPACE,
        "%s is at %u%% of %s. It reached the configured limit of %u%% and has to fall "
        "below %u%% before this node takes writes again. Help: delete data, or raise "
        "`%s`.",
        r->what, used, r->of, limit, limit > l.margin ? limit - l.margin : 1, r->key);
}

int eng_quota_refuses(struct eng_quota *q, struct sx_err *err)
{
    if (!atomic_load_explicit(&q->is_enforced, memory_order_relaxed))
        return 0;
    uint64_t now = q->eng->time->mono_ns();
    uint64_t until = atomic_load_explicit(&q->fresh_until, memory_order_relaxed);
    /* One of those who find the readings old takes new ones. */
    if (now >= until &&
        atomic_compare_exchange_strong_explicit(&q->fresh_until, &until, now + FRESH_NS,
                                                memory_order_relaxed, memory_order_relaxed))
        look(q);
    return atomic_load_explicit(&q->is_refusing, memory_order_relaxed) ? tell(q, err) : 0;
}

/* --- configuration -------------------------------------------------------------------------------
 */

static void parse(struct sx_doc d, struct limits *l)
{
    memset(l, 0, sizeof(*l));
    l->enabled = (uint32_t)sx_doc_get_bool(d, "enabled", 0);
    int64_t margin = sx_doc_get_i64(d, "release_margin_percent", MARGIN);
    l->margin = margin < 0 ? 0 : margin > 100 ? 100 : (uint32_t)margin;
    for (uint32_t i = 0; i < N_RESOURCES; i++) {
        int64_t v = sx_doc_get_i64(d, resources[i].key, 0);
        l->percent[i] = v < 0 ? 0 : v > 100 ? 100 : (uint32_t)v;
    }
}

static void put_limits(struct sx_docb *b, const struct limits *l)
{
    sx_docb_obj(b);
    sx_docb_ckey(b, "enabled");
    sx_docb_bool(b, (int)l->enabled);
    for (uint32_t i = 0; i < N_RESOURCES; i++) {
        if (l->percent[i]) {
            sx_docb_ckey(b, resources[i].key);
            sx_docb_u64(b, l->percent[i]);
        }
    }
    if (l->margin != MARGIN) {
        sx_docb_ckey(b, "release_margin_percent");
        sx_docb_u64(b, l->margin);
    }
    sx_docb_close(b);
}

static void put_limits_in_force(struct eng_quota *q, const struct limits *l)
{
    pthread_mutex_lock(&q->lock);
    q->limits = *l;
    pthread_mutex_unlock(&q->lock);
    look(q);
    atomic_store_explicit(&q->fresh_until, q->eng->time->mono_ns() + FRESH_NS,
                          memory_order_relaxed);
}

int eng_quota_set(struct eng_quota *q, struct sx_doc body, struct sx_err *err)
{
    struct eng *e = q->eng;
    struct limits l;
    struct sx_docb b;
    struct sx_buf text;
    parse(body, &l);
    sx_docb_init(&b, e->mem, 0);
    sx_buf_init(&text, e->mem);
    put_limits(&b, &l);
    struct sx_doc d = sx_docb_end(&b);
    if (d.p)
        sx_jsonw_doc(&text, d);
    eng_small_file_seal(&text);
    int rc = d.p && !text.failed
                 ? eng_small_file_replace(e, q->root, "quota.json", text.p, text.n, err)
                 : sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0)
        put_limits_in_force(q, &l);
    sx_buf_fini(&text);
    sx_docb_fini(&b);
    return rc;
}

void eng_quota_put(struct eng_quota *q, struct sx_docb *b)
{
    static const char *const names[N_RESOURCES] = {"resident_memory_percent", "disk_usage_percent"};
    look(q);
    pthread_mutex_lock(&q->lock);
    struct limits l = q->limits;
    uint32_t used[N_RESOURCES] = {q->used[MEMORY], q->used[DISK]};
    pthread_mutex_unlock(&q->lock);
    sx_docb_obj(b);
    sx_docb_ckey(b, "config");
    put_limits(b, &l);
    sx_docb_ckey(b, "usage");
    sx_docb_obj(b);
    for (uint32_t i = 0; i < N_RESOURCES; i++) {
        sx_docb_ckey(b, names[i]);
        if (used[i] == NO_READING)
            sx_docb_null(b);
        else
            sx_docb_u64(b, used[i]);
    }
    sx_docb_close(b);
    sx_docb_close(b);
}

void eng_quota_collect(struct eng_quota *q, struct sx_sample_sink *k)
{
    struct sx_sample s = {.size = sizeof(s), .type = SX_METRIC_GAUGE};
    char labels[40];
    pthread_mutex_lock(&q->lock);
    struct limits l = q->limits;
    uint32_t over[N_RESOURCES] = {q->is_over[MEMORY], q->is_over[DISK]};
    pthread_mutex_unlock(&q->lock);
    s.name = "quota_exceeded";
    s.help = "whether this node is at or over the configured quota for a resource";
    for (uint32_t i = 0; i < N_RESOURCES; i++) {
        if (!l.enabled || l.percent[i] == 0)
            continue; /* not "within its limits": it has none */
        snprintf(labels, sizeof(labels), "resource=\"%s\"", resources[i].label);
        s.labels = labels;
        s.value = over[i];
        k->add(k, &s);
    }
}

/* --- start and stop ------------------------------------------------------------------------------
 */

static int load(struct eng_quota *q, struct limits *l, struct sx_err *err)
{
    struct eng *e = q->eng;
    struct sx_arena arena;
    struct sx_str text;
    struct sx_doc d;
    sx_arena_init(&arena, e->mem, 0);
    int rc = eng_small_file_read(e, q->root, "quota.json", FILE_MAX, &arena, &text, err);
    if (rc == 0)
        rc = eng_small_file_sealed("quota.json", text, err);
    if (rc == 0)
        rc = eng_small_file_parse(e, "quota.json", text, &arena, &d, err);
    if (rc == 0)
        parse(d, l);
    sx_arena_fini(&arena);
    return rc;
}

int eng_quota_create(struct eng *e, struct eng_quota **out, struct sx_err *err)
{
    struct sx_err cause = SX_ERR_INIT;
    struct limits l;
    struct eng_quota *q = e->mem->zalloc(e->mem, sizeof(*q));
    if (!q)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    q->eng = e;
    pthread_mutex_init(&q->lock, NULL);
    *out = q;
    int rc = e->io->dir_open(NULL, e->conf->storage_path, SX_IO_CREATE, &q->root, err);
    if (rc != 0)
        return rc;
    parse(e->conf->quotas, &l);
    rc = load(q, &l, &cause);
    if (rc != 0 && rc != SX_ENOTFOUND)
        sx_log(e->host, SX_LOG_ERROR, "quota", "%s: the configuration's quotas are in force",
               cause.msg);
    put_limits_in_force(q, &l);
    return 0;
}

void eng_quota_destroy(struct eng_quota *q)
{
    if (q->root)
        q->eng->io->dir_close(q->root);
    pthread_mutex_destroy(&q->lock);
    q->eng->mem->release(q->eng->mem, q);
}
