/* Counters, gauges, histograms, and the walk over all of them.
 *
 * Counters and histograms are sharded: eight cells per metric, a worker adds to cell (id mod 8),
 * other threads to cell 0. A cell is allocated when a thread first adds to it, because most metrics
 * (one per route and status) are never touched: an untouched metric costs about 200 bytes. Adding
 * is one relaxed compare-and-swap on a line that normally nobody else has: some 5 ns. Gauges are
 * one number, since set() must win over every earlier add().
 *
 * Families (one name) are kept in the order in which their first metric was made, metrics within a
 * family likewise. Both lists only grow, so walking and adding take no lock; the lock is for
 * making.
 *
 * Collectors may emit any families in any order, one collection after the other. A page of text
 * wants each family in one piece, so their samples are copied first and sorted in: behind the
 * metrics of the same name, or as families of their own at the end.
 *
 * Sums of a walk are read while others add: a histogram's count is made from its buckets, so that
 * the two always agree; its sum may be an observation ahead or behind.
 *
 * Making, adding and walking share the layout of cells and lists, hence one file of 530 lines. */
#include "telem.h"

#include <math.h>
#include <string.h>

#include "exec.h"
#include "lock.h"
#include "mem.h"

#define CELLS     8
#define HASH_SIZE 1024

struct cell {
    double value; /* counter: the value; histogram: the sum */
    double min, max;
    uint64_t buckets[]; /* histogram: n_bounds + 1, not cumulative */
};

struct family {
    struct family *next; /* atomic; grows at the tail */
    struct sx_metric *first, *last;
    const char *name, *help;
    uint32_t type, n_bounds;
    const double *bounds;
};

struct sx_metric {
    struct sx_metric *next;  /* in the family; atomic, grows at the tail */
    struct sx_metric *chain; /* same hash; lock */
    struct family *family;
    const char *labels;
    double gauge; /* atomic */
    struct cell *cells[CELLS];
};

struct collector {
    struct collector *next;
    void (*fn)(struct sx_sample_sink *s, void *arg);
    void *arg;
};

static struct sx_lock lock = SX_LOCK_INIT(SX_RANK_TELEM);
static struct sx_metric *hash[HASH_SIZE]; /* lock */
static struct family *families, *last_family;
static struct collector *collectors, *last_collector;

/* --- atomic doubles --------------------------------------------------------------------------- */

static double d_get(const double *p)
{
    double v;

    __atomic_load(p, &v, __ATOMIC_RELAXED);
    return v;
}

static void d_add(double *p, double by)
{
    double old = d_get(p), sum;

    do {
        sum = old + by;
    } while (!__atomic_compare_exchange(p, &old, &sum, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

static void d_min(double *p, double v)
{
    double old = d_get(p);

    while (v < old &&
           !__atomic_compare_exchange(p, &old, &v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void d_max(double *p, double v)
{
    double old = d_get(p);

    while (v > old &&
           !__atomic_compare_exchange(p, &old, &v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* --- making ----------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *name, const char *labels)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    for (h *= 16777619u; *labels; labels++)
        h = (h ^ (unsigned char)*labels) * 16777619u;
    return h % HASH_SIZE;
}

static char *copy_text(const char *s)
{
    const struct sx_mem *mem = sx_mem_kernel();
    size_t n = strlen(s) + 1;
    char *p = mem->alloc(mem, n);

    if (p)
        memcpy(p, s, n);
    return p;
}

static void family_free(struct family *f)
{
    const struct sx_mem *mem = sx_mem_kernel();
    char *name = (char *)(uintptr_t)f->name, *help = (char *)(uintptr_t)f->help;
    double *bounds = (double *)(uintptr_t)f->bounds;

    mem->release(mem, name);
    mem->release(mem, help);
    mem->release(mem, bounds);
    mem->release(mem, f);
}

static struct family *family_new(
    uint32_t type, const char *name, const char *help, const double *bounds, uint32_t n_bounds)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct family *f = mem->zalloc(mem, sizeof(*f));

    if (!f)
        return NULL;
    f->type = type;
    f->name = copy_text(name);
    f->help = copy_text(help);
    if (type == SX_METRIC_HISTOGRAM && n_bounds > 0) {
        double *b = mem->alloc(mem, n_bounds * sizeof(*b));
        if (b)
            memcpy(b, bounds, n_bounds * sizeof(*b));
        f->bounds = b;
        f->n_bounds = n_bounds;
    }
    if (!f->name || !f->help || (f->n_bounds > 0 && !f->bounds)) {
        family_free(f);
        return NULL;
    }
    return f;
}

/* [lock] the family of a name, made if need be; NULL without memory or if the name already means
 * something else. */
static struct family *family_get(
    uint32_t type, const char *name, const char *help, const double *bounds, uint32_t n_bounds)
{
    struct family *f;

    for (f = families; f; f = f->next) {
        if (strcmp(f->name, name) == 0)
            return f->type == type ? f : NULL;
    }
    f = family_new(type, name, help, bounds, n_bounds);
    if (!f)
        return NULL;
    /* Release pairs with the walk. */
    __atomic_store_n(last_family ? &last_family->next : &families, f, __ATOMIC_RELEASE);
    last_family = f;
    return f;
}

static struct sx_metric *metric_new(struct family *f, const char *labels)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_metric *m = mem->zalloc(mem, sizeof(*m));

    if (!m || !(m->labels = copy_text(labels))) {
        mem->release(mem, m);
        return NULL;
    }
    m->family = f;
    __atomic_store_n(f->last ? &f->last->next : &f->first, m, __ATOMIC_RELEASE);
    f->last = m;
    return m;
}

static struct sx_metric *telem_metric(uint32_t type,
                                      const char *name,
                                      const char *help,
                                      const char *labels,
                                      const double *bounds,
                                      uint32_t n_bounds)
{
    struct sx_metric *m;

    if (type < SX_METRIC_COUNTER || type > SX_METRIC_HISTOGRAM)
        return NULL;
    labels = labels ? labels : "";
    uint32_t h = hash_of(name, labels);
    sx_lock_take(&lock);
    for (m = hash[h]; m; m = m->chain) {
        if (strcmp(m->family->name, name) == 0 && strcmp(m->labels, labels) == 0)
            break;
    }
    if (m && m->family->type != type) {
        m = NULL;
    } else if (!m) {
        struct family *f = family_get(type, name, help ? help : "", bounds, n_bounds);
        m = f ? metric_new(f, labels) : NULL;
        if (m) {
            m->chain = hash[h];
            hash[h] = m;
        }
    }
    sx_lock_give(&lock);
    return m;
}

static int telem_collector(void (*fn)(struct sx_sample_sink *s, void *arg), void *arg)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct collector *c = mem->zalloc(mem, sizeof(*c));

    if (!c)
        return SX_ENOMEM;
    c->fn = fn;
    c->arg = arg;
    sx_lock_take(&lock);
    __atomic_store_n(last_collector ? &last_collector->next : &collectors, c, __ATOMIC_RELEASE);
    last_collector = c;
    sx_lock_give(&lock);
    return 0;
}

/* --- adding ----------------------------------------------------------------------------------- */

/* The caller's cell, made at the first touch. Two threads may race for one cell: the second to
 * arrive gives its own back. NULL without memory: the observation is not counted. */
static struct cell *cell_of(struct sx_metric *m)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_worker *w = sx_exec_self();
    struct cell **at = &m->cells[w ? w->id % CELLS : 0];
    struct cell *c = __atomic_load_n(at, __ATOMIC_ACQUIRE); /* pairs with the exchange below */

    if (SX_LIKELY(c != NULL))
        return c;
    uint64_t n = sizeof(*c) + (m->family->n_bounds + 1) * sizeof(c->buckets[0]);
    struct cell *fresh = sx_mem_zalloc_aligned(mem, 64, n);
    if (!fresh)
        return NULL;
    fresh->min = INFINITY;
    fresh->max = -INFINITY;
    if (__atomic_compare_exchange_n(at, &c, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    mem->release(mem, fresh);
    return c;
}

static void telem_add(struct sx_metric *m, double v)
{
    if (!m)
        return;
    if (m->family->type == SX_METRIC_GAUGE) {
        d_add(&m->gauge, v);
        return;
    }
    struct cell *c = m->family->type == SX_METRIC_COUNTER ? cell_of(m) : NULL;
    if (c)
        d_add(&c->value, v);
}

static void telem_set(struct sx_metric *m, double v)
{
    if (m && m->family->type == SX_METRIC_GAUGE)
        __atomic_store(&m->gauge, &v, __ATOMIC_RELAXED);
}

static void telem_observe(struct sx_metric *m, double v)
{
    struct cell *c = m && m->family->type == SX_METRIC_HISTOGRAM ? cell_of(m) : NULL;
    uint32_t i = 0;

    if (!c)
        return;
    /* Linear: bounds are some twenty, and most observations fall into the first ones. A value that
     * compares with nothing (NaN) lands behind the last bound. */
    while (i < m->family->n_bounds && !(v <= m->family->bounds[i]))
        i++;
    d_add(&c->value, v);
    d_min(&c->min, v);
    d_max(&c->max, v);
    __atomic_fetch_add(&c->buckets[i], 1, __ATOMIC_RELAXED);
}

/* --- walking ---------------------------------------------------------------------------------- */

/* A sample of a collector, copied; all texts and arrays lie behind it in the same block. */
struct copied {
    struct copied *next;
    struct sx_sample sample;
};

/* The samples of one family, in the order they came. */
struct group {
    struct group *next;
    struct copied *first, **tail;
};

struct gather {
    struct sx_sample_sink sink;
    struct group *first, **tail, *last_used;
};

static struct group *gather_find(struct gather *g, const char *name)
{
    struct group *at = g->last_used;

    if (at && strcmp(at->first->sample.name, name) == 0)
        return at; /* samples mostly come family by family, or in one repeating order */
    for (at = g->first; at; at = at->next) {
        if (at->first && strcmp(at->first->sample.name, name) == 0)
            return at;
    }
    return NULL;
}

static const char *put_text(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = *at;

    memcpy(p, s, n);
    *at += n;
    return p;
}

static void gather_add(struct sx_sample_sink *sink, const struct sx_sample *in)
{
    struct gather *g = sink->arg;
    const struct sx_mem *mem = sx_mem_kernel();
    const char *help = in->help ? in->help : "", *labels = in->labels ? in->labels : "";
    uint64_t n_numbers = in->n_buckets * (sizeof(double) + sizeof(uint64_t));
    struct copied *c = mem->alloc(mem, sizeof(*c) + n_numbers + strlen(in->name) + strlen(help) +
                                           strlen(labels) + 3);

    struct group *to = gather_find(g, in->name);
    if (!to && (to = mem->zalloc(mem, sizeof(*to)))) {
        to->tail = &to->first;
        *g->tail = to;
        g->tail = &to->next;
    }
    if (!c || !to) {
        mem->release(mem, c); /* one sample less on this page */
        return;
    }
    char *at = (char *)(c + 1);
    c->next = NULL;
    memset(&c->sample, 0, sizeof(c->sample));
    memcpy(&c->sample, in, in->size < sizeof(*in) ? in->size : sizeof(*in));
    c->sample.size = (uint32_t)sizeof(c->sample);
    if (in->n_buckets > 0) {
        memcpy(at, in->bounds, in->n_buckets * sizeof(double));
        c->sample.bounds = (const double *)(const void *)at;
        at += in->n_buckets * sizeof(double);
        memcpy(at, in->buckets, in->n_buckets * sizeof(uint64_t));
        c->sample.buckets = (const uint64_t *)(const void *)at;
        at += in->n_buckets * sizeof(uint64_t);
    }
    c->sample.name = put_text(&at, in->name);
    c->sample.help = put_text(&at, help);
    c->sample.labels = put_text(&at, labels);
    *to->tail = c;
    to->tail = &c->next;
    g->last_used = to;
}

/* Hands on the samples of one group and forgets them. */
static void group_emit(struct group *group, struct sx_sample_sink *s)
{
    const struct sx_mem *mem = sx_mem_kernel();

    while (group->first) {
        struct copied *c = group->first;
        group->first = c->next;
        s->add(s, &c->sample);
        mem->release(mem, c);
    }
}

static void sum_cells(struct sx_metric *m, struct sx_sample *out, uint64_t *buckets)
{
    uint32_t n = m->family->n_bounds;
    uint64_t beyond = 0;

    out->min = INFINITY;
    out->max = -INFINITY;
    for (uint32_t i = 0; i < CELLS; i++) {
        struct cell *c = __atomic_load_n(&m->cells[i], __ATOMIC_ACQUIRE);
        if (!c)
            continue;
        out->sum += d_get(&c->value);
        double min = d_get(&c->min), max = d_get(&c->max);
        out->min = min < out->min ? min : out->min;
        out->max = max > out->max ? max : out->max;
        for (uint32_t b = 0; b < n; b++)
            buckets[b] += __atomic_load_n(&c->buckets[b], __ATOMIC_RELAXED);
        beyond += __atomic_load_n(&c->buckets[n], __ATOMIC_RELAXED);
    }
    for (uint32_t b = 1; b < n; b++)
        buckets[b] += buckets[b - 1];
    out->count = beyond + (n > 0 ? buckets[n - 1] : 0);
    if (out->count == 0)
        out->min = out->max = 0;
}

static void metric_emit(struct sx_metric *m, struct sx_sample_sink *s)
{
    const struct family *f = m->family;
    const struct sx_mem *mem = sx_mem_kernel();
    struct sx_sample out = {
        .size = (uint32_t)sizeof(out),
        .type = f->type,
        .name = f->name,
        .help = f->help,
        .labels = m->labels,
    };
    uint64_t *buckets = NULL;

    if (f->type == SX_METRIC_GAUGE) {
        out.value = d_get(&m->gauge);
    } else if (f->type == SX_METRIC_COUNTER) {
        for (uint32_t i = 0; i < CELLS; i++) {
            struct cell *c = __atomic_load_n(&m->cells[i], __ATOMIC_ACQUIRE);
            out.value += c ? d_get(&c->value) : 0;
        }
    } else {
        buckets = mem->zalloc(mem, (f->n_bounds + 1) * sizeof(*buckets));
        if (!buckets)
            return;
        sum_cells(m, &out, buckets);
        out.bounds = f->bounds;
        out.buckets = buckets;
        out.n_buckets = f->n_bounds;
    }
    s->add(s, &out);
    mem->release(mem, buckets);
}

static void telem_walk(struct sx_sample_sink *s)
{
    const struct sx_mem *mem = sx_mem_kernel();
    struct gather g = {.sink = {.add = gather_add}, .first = NULL};

    g.sink.arg = &g;
    g.tail = &g.first;
    for (struct collector *c = __atomic_load_n(&collectors, __ATOMIC_ACQUIRE); c;
         c = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE))
        c->fn(&g.sink, c->arg);

    for (struct family *f = __atomic_load_n(&families, __ATOMIC_ACQUIRE); f;
         f = __atomic_load_n(&f->next, __ATOMIC_ACQUIRE)) {
        for (struct sx_metric *m = __atomic_load_n(&f->first, __ATOMIC_ACQUIRE); m;
             m = __atomic_load_n(&m->next, __ATOMIC_ACQUIRE))
            metric_emit(m, s);
        g.last_used = NULL; /* may be empty by now */
        struct group *same = gather_find(&g, f->name);
        if (same)
            group_emit(same, s);
    }
    while (g.first) {
        struct group *group = g.first;
        group_emit(group, s);
        g.first = group->next;
        mem->release(mem, group);
    }
}

void sx_telem_fini(void)
{
    const struct sx_mem *mem = sx_mem_kernel();

    while (families) {
        struct family *f = families;
        families = f->next;
        while (f->first) {
            struct sx_metric *m = f->first;
            f->first = m->next;
            for (uint32_t i = 0; i < CELLS; i++)
                mem->release(mem, m->cells[i]);
            char *labels = (char *)(uintptr_t)m->labels;
            mem->release(mem, labels);
            mem->release(mem, m);
        }
        family_free(f);
    }
    while (collectors) {
        struct collector *c = collectors;
        collectors = c->next;
        mem->release(mem, c);
    }
    last_family = NULL;
    last_collector = NULL;
    memset(hash, 0, sizeof(hash));
}

static const struct sx_telem table = {
    .size = (uint32_t)sizeof(struct sx_telem),
    .metric = telem_metric,
    .add = telem_add,
    .set = telem_set,
    .observe = telem_observe,
    .collector = telem_collector,
    .walk = telem_walk,
};

const struct sx_telem *sx_telem_table(void)
{
    return &table;
}
