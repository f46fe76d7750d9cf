/* Collections by name; see catalog.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "catalog_priv.h"
#include "reserve.h"

#include "sextant/sx_ban.h"

static int same(struct sx_str a, struct sx_str b)
{
    return a.n == b.n && (a.n == 0 || !memcmp(a.p, b.p, a.n));
}

/* --- references ----------------------------------------------------------------------------------
 */

void eng_collection_unref(struct eng_collection *col)
{
    if (!col || atomic_fetch_sub_explicit(&col->refs, 1, memory_order_acq_rel) != 1)
        return;
    const struct sx_mem *mem = col->eng->mem;
    if (col->shard)
        eng_shard_unref(col->shard); /* the shard owns the config */
    mem->release(mem, (void *)(uintptr_t)col->name.p);
    mem->release(mem, col);
}

static struct eng_collection *collection_new(struct eng *e, struct sx_str name)
{
    struct eng_collection *col = e->mem->zalloc(e->mem, sizeof(*col));
    char *copy = e->mem->alloc(e->mem, (uint64_t)name.n + 1);
    if (!col || !copy) {
        e->mem->release(e->mem, col);
        e->mem->release(e->mem, copy);
        return NULL;
    }
    memcpy(copy, name.p, name.n);
    copy[name.n] = 0;
    col->eng = e;
    atomic_init(&col->refs, 1);
    col->name = (struct sx_str){copy, name.n, 0};
    col->cause.size = sizeof(col->cause);
    return col;
}

/* FNV-1a: names are short and come from our own users. */
static uint32_t name_hash(struct sx_str name)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < name.n; i++)
        h = (h ^ (uint8_t)name.p[i]) * 16777619u;
    return h ^ h >> 15;
}

struct eng_collection *eng_catalog_lookup(struct eng_catalog *c, struct sx_str name)
{
    struct eng_collection *col =
        c->n_buckets ? c->buckets[name_hash(name) & (c->n_buckets - 1)] : NULL;
    while (col && !same(col->name, name))
        col = col->chain;
    return col;
}

struct eng_collection *eng_catalog_find(struct eng_catalog *c, struct sx_str name)
{
    struct eng_collection *col;
    pthread_mutex_lock(&c->lock);
    struct sx_str target = eng_alias_target(&c->aliases, name);
    col = eng_catalog_lookup(c, target.p ? target : name);
    if (col && col->busy)
        col = NULL;
    if (col)
        atomic_fetch_add_explicit(&col->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&c->lock);
    return col;
}

uint32_t eng_catalog_count(struct eng_catalog *c)
{
    pthread_mutex_lock(&c->lock);
    uint32_t n = c->n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

void eng_catalog_each(struct eng_catalog *c,
                      void (*sink)(void *arg, struct eng_collection *col),
                      void *arg)
{
    struct eng *e = c->eng;
    pthread_mutex_lock(&c->lock);
    uint32_t n = 0;
    struct eng_collection **all = e->mem->alloc(e->mem, (c->n + 1) * sizeof(*all));
    for (struct eng_collection *col = c->first; col && all; col = col->next) {
        if (col->busy)
            continue;
        atomic_fetch_add_explicit(&col->refs, 1, memory_order_relaxed);
        all[n++] = col;
    }
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < n; i++) {
        sink(arg, all[i]);
        eng_collection_unref(all[i]);
    }
    e->mem->release(e->mem, all);
}

/* Buckets for one more; two a collection at least half the time. A failure to grow only makes
 * chains longer, unless there is no table yet. */
static int buckets_room(struct eng_catalog *c)
{
    const struct sx_mem *mem = c->eng->mem;
    if (c->n < c->n_buckets)
        return 0;
    uint32_t n = c->n_buckets ? c->n_buckets * 2 : 64;
    struct eng_collection **b = mem->zalloc(mem, n * sizeof(*b));
    if (!b)
        return c->n_buckets ? 0 : SX_ENOMEM;
    for (struct eng_collection *col = c->first; col; col = col->next) {
        struct eng_collection **at = &b[name_hash(col->name) & (n - 1)];
        col->chain = *at;
        *at = col;
    }
    mem->release(mem, c->buckets);
    c->buckets = b;
    c->n_buckets = n;
    return 0;
}

/* After buckets_room(). */
static void link_in(struct eng_catalog *c, struct eng_collection *col)
{
    struct eng_collection **at = &c->buckets[name_hash(col->name) & (c->n_buckets - 1)];
    col->chain = *at;
    *at = col;
    col->next = NULL;
    *c->last = col;
    c->last = &col->next;
    c->n++;
}

static void unlink_from(struct eng_catalog *c, struct eng_collection *col)
{
    struct eng_collection **p = &c->first;
    struct eng_collection **at = &c->buckets[name_hash(col->name) & (c->n_buckets - 1)];
    while (*at != col)
        at = &(*at)->chain;
    *at = col->chain;
    while (*p != col)
        p = &(*p)->next;
    *p = col->next;
    if (c->last == &col->next)
        c->last = p;
    c->n--;
}

int eng_catalog_reserve(struct eng_catalog *c,
                        struct sx_str name,
                        struct eng_collection **out,
                        struct sx_err *err)
{
    struct eng_collection *col;
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    col = eng_catalog_lookup(c, name);
    if (col)
        rc = sx_err_set(err, SX_EEXIST, "Collection `%.*s` already exists!",
                        (int)(name.n > 180 ? 180 : name.n), name.p);
    else if (eng_alias_is_taken(&c->aliases, name))
        rc = sx_err_set(err, SX_EINPUT,
                        "Can't create collection with name %.*s. Alias with the same name already "
                        "exists",
                        (int)(name.n > 120 ? 120 : name.n), name.p);
    else if (c->eng->conf->max_collections != SX_KEY_UNSET && c->n >= c->eng->conf->max_collections)
        rc = sx_err_set(err, SX_EBADREQ,
                        "Can't create collection with name %.*s. Max collections limit reached: "
                        "%" PRIu64,
                        (int)(name.n > 120 ? 120 : name.n), name.p, c->eng->conf->max_collections);
    else if (buckets_room(c) != 0 || !(col = collection_new(c->eng, name)))
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    if (rc == 0) {
        col->busy = 1;
        atomic_fetch_add_explicit(&col->refs, 1, memory_order_relaxed);
        link_in(c, col);
        *out = col;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

struct eng_collection *eng_catalog_take(struct eng_catalog *c, struct sx_str name)
{
    struct eng_collection *col;
    pthread_mutex_lock(&c->lock);
    col = eng_catalog_lookup(c, name);
    if (col && col->busy)
        col = NULL;
    if (col)
        unlink_from(c, col);
    pthread_mutex_unlock(&c->lock);
    return col;
}

/* --- making and dropping -------------------------------------------------------------------------
 */

static void uuid_text(const struct sx_store_id *id, char out[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", id->uuid[i]);
}

static void folder_of(struct eng_collection *col)
{
    char hex[33];
    if (col->name.n < sizeof(col->folder) && col->name.n > 0 && col->name.p[0] != '.' &&
        col->name.p[0] != '%') {
        memcpy(col->folder, col->name.p, col->name.n + 1);
    } else {
        uuid_text(&col->id, hex);
        snprintf(col->folder, sizeof(col->folder), "%%%s", hex);
    }
}

static int has_config(struct eng *e, struct sx_dir *parent, const char *folder)
{
    struct sx_dir *d = NULL;
    struct sx_file *f = NULL;
    int found = 0;
    if (e->io->dir_open(parent, folder, SX_IO_READ, &d, NULL) != 0)
        return 0;
    if (e->io->open(d, "config.json", SX_IO_READ, &f, NULL) == 0) {
        found = 1;
        e->io->close(f);
    }
    e->io->dir_close(d);
    return found;
}

/* A shard's log begins with its folder: one without a segment has lost it. The folder is synced by
 * eng_shard_format(). */
static int
make_log(struct eng *e, const struct sx_store_id *id, struct sx_dir *shard, struct sx_err *err)
{
    struct sx_dir *wal = NULL;
    int rc = e->io->dir_open(shard, "wal", SX_IO_CREATE, &wal, err);
    if (rc != 0)
        return rc;
    rc = eng_wal_format(e->mem, e->io, wal, id, 1, err);
    e->io->dir_close(wal);
    return rc;
}

static int make_files(struct eng_catalog *c,
                      struct eng_collection *col,
                      const struct eng_config *cf,
                      struct sx_err *err)
{
    struct eng *e = c->eng;
    struct sx_dir *dir = NULL, *shard = NULL;
    char hex[33];
    uuid_text(&col->id, hex);
    if (has_config(e, c->collections, col->folder))
        return sx_err_set(err, SX_EINPUT, "Collection data already exists at %s/collections/%s",
                          e->conf->storage_path, col->folder);
    (void)e->io->remove_tree(c->collections, col->folder, NULL);
    int rc = e->io->dir_open(c->tmp, hex, SX_IO_CREATE, &dir, err);
    if (rc == 0)
        rc = e->io->dir_open(dir, "0", SX_IO_CREATE, &shard, err);
    if (rc == 0)
        rc = make_log(e, &col->id, shard, err);
    if (rc == 0) /* its manifest is the last in the folder and syncs it */
        rc = eng_shard_format(e, cf, &col->id, shard, err);
    if (rc == 0)
        rc = eng_catalog_file_write(e, dir, col, cf, err);
    if (shard)
        e->io->dir_close(shard);
    if (dir)
        e->io->dir_close(dir);
    if (rc == 0)
        rc = e->io->rename(c->tmp, hex, c->collections, col->folder, err);
    if (rc == 0) {
        rc = e->io->dir_sync(c->collections, err);
        if (rc != 0) /* or the name would stay taken, and come back with the next start */
            (void)e->io->rename(c->collections, col->folder, c->tmp, hex, NULL);
    }
    if (rc != 0)
        (void)e->io->remove_tree(c->tmp, hex, NULL);
    return rc;
}

int eng_catalog_make(struct eng_catalog *c,
                     struct eng_collection *col,
                     struct sx_doc config,
                     struct sx_err *err)
{
    struct eng *e = c->eng;
    struct eng_config *cf = NULL;
    /* No configuration: the name is only given back. */
    int rc = config.p ? eng_config_parse(e, config, &cf, err) : SX_EINPUT;
    if (rc == 0 && eng_reserve_check(e->reserve, err) != 0) {
        rc = SX_ENOSPACE;
        eng_config_destroy(e, cf);
    } else if (rc != 0) {
        e->mem->release(e->mem, (void *)(uintptr_t)config.p);
    } else {
        e->crypto->random(col->id.uuid, sizeof(col->id.uuid));
        col->id.uuid[6] = (uint8_t)((col->id.uuid[6] & 0x0f) | 0x40);
        col->id.uuid[8] = (uint8_t)((col->id.uuid[8] & 0x3f) | 0x80);
        col->created_ns = e->time->wall_ns();
        folder_of(col);
        rc = make_files(c, col, cf, err);
        if (rc == 0)
            rc = eng_shard_create(e, cf, &col->id, c->collections, col->folder, &col->shard, err);
        if (rc != 0)
            eng_config_destroy(e, cf);
    }
    pthread_mutex_lock(&c->lock);
    col->busy = 0;
    if (rc != 0)
        unlink_from(c, col);
    pthread_mutex_unlock(&c->lock);
    if (rc != 0)
        eng_collection_unref(col); /* the map's */
    return rc;
}

int eng_catalog_save_config(struct eng_catalog *c,
                            struct eng_collection *col,
                            const struct eng_config *config,
                            struct sx_err *err)
{
    struct eng *e = c->eng;
    struct sx_dir *dir = NULL;
    pthread_mutex_lock(&c->lock);
    int is_here = eng_catalog_lookup(c, col->name) == col;
    col->saving = (uint32_t)is_here;
    pthread_mutex_unlock(&c->lock);
    if (!is_here)
        return sx_err_set(err, SX_ENOTFOUND, "Collection `%.*s` doesn't exist!",
                          (int)(col->name.n > 180 ? 180 : col->name.n), col->name.p);
    int rc = e->io->dir_open(c->collections, col->folder, SX_IO_READ, &dir, err);
    if (rc == 0) {
        rc = eng_catalog_file_write(e, dir, col, config, err);
        e->io->dir_close(dir);
    }
    pthread_mutex_lock(&c->lock);
    col->saving = 0;
    pthread_cond_broadcast(&c->idle);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int eng_catalog_drop(struct eng_catalog *c, struct eng_collection *col, struct sx_err *err)
{
    struct eng *e = c->eng;
    char hex[33];
    uuid_text(&col->id, hex);
    pthread_mutex_lock(&c->lock);
    while (col->saving)
        pthread_cond_wait(&c->idle, &c->lock);
    pthread_mutex_unlock(&c->lock);
    int rc = e->io->rename(c->collections, col->folder, c->deleted, hex, err);
    if (rc == SX_ENOSPACE) { /* a folder's list may need a block more */
        eng_reserve_give(e->reserve, err);
        rc = e->io->rename(c->collections, col->folder, c->deleted, hex, err);
    }
    int is_here = rc != 0;
    /* Not c->deleted: what a power cut leaves in neither folder is gone, as it should be. */
    if (rc == 0) {
        rc = e->io->dir_sync(c->collections, err);
        /* What it goes on to take must be found by the next start. */
        is_here = rc != 0 && e->io->rename(c->deleted, hex, c->collections, col->folder, NULL) == 0;
    }
    if (is_here) { /* put it back rather than lie */
        pthread_mutex_lock(&c->lock);
        (void)buckets_room(c); /* there is a table: it held this collection */
        link_in(c, col);
        pthread_mutex_unlock(&c->lock);
        return rc;
    }
    eng_aliases_forget(c, col->name);
    eng_collection_unref(col);
    return rc;
}

void eng_catalog_sweep(struct eng_catalog *c, const struct sx_store_id *id)
{
    char hex[33];
    struct sx_err err = SX_ERR_INIT;
    uuid_text(id, hex);
    if (c->eng->io->remove_tree(c->deleted, hex, &err) != 0)
        sx_log(c->eng->host, SX_LOG_WARN, "catalog", "removing a dropped collection: %s", err.msg);
}

/* --- start and stop ------------------------------------------------------------------------------
 */

struct scan {
    struct eng_catalog *c;
    struct sx_err *err;
    int rc;
};

/* One folder below collections/. A damaged one becomes an entry that answers its cause. */
static int load_one(void *arg, const char *folder, uint32_t is_dir)
{
    struct scan *sc = arg;
    struct eng_catalog *c = sc->c;
    struct eng *e = c->eng;
    struct sx_dir *dir = NULL;
    struct sx_arena arena;
    struct sx_err err = SX_ERR_INIT;
    struct sx_doc d = {NULL, 0, 0}, config = {NULL, 0, 0};
    struct eng_config *cf = NULL;

    if (!is_dir || strlen(folder) >= sizeof(((struct eng_collection *)0)->folder))
        return 0;
    sx_arena_init(&arena, e->mem, 0);
    int rc = e->io->dir_open(c->collections, folder, SX_IO_READ, &dir, &err);
    if (rc == 0)
        rc = eng_catalog_file_read(e, dir, &arena, &d, &err);
    if (dir)
        e->io->dir_close(dir);
    if (rc == SX_ENOTFOUND) {
        sx_log(e->host, SX_LOG_WARN, "catalog",
               "Collection config is not found in the collection directory: %s/collections/%s, "
               "skipping",
               e->conf->storage_path, folder);
        sx_arena_fini(&arena);
        return 0;
    }
    struct sx_str name = sx_doc_str(sx_doc_get(d, "name"));
    if (!name.p)
        name = (struct sx_str){folder, (uint32_t)strlen(folder), 0};
    sx_log(e->host, SX_LOG_INFO, "catalog", "Loading collection: %.*s", (int)name.n, name.p);
    struct eng_collection *col = buckets_room(c) == 0 ? collection_new(e, name) : NULL;
    if (!col) {
        sx_arena_fini(&arena);
        sc->rc = sx_err_set(sc->err, SX_ENOMEM, "out of memory");
        return 1;
    }
    snprintf(col->folder, sizeof(col->folder), "%s", folder);
    if (rc == 0)
        rc = eng_catalog_file_split(e, d, col, &config, &err);
    if (rc == 0) {
        /* The folder says whose data lies here; a file of another collection must not take its
         * name. */
        folder_of(col);
        if (strcmp(col->folder, folder) != 0) {
            rc = sx_err_set(&err, SX_ECORRUPT,
                            "config.json: belongs to another collection (offset 0)");
            e->mem->release(e->mem, (void *)(uintptr_t)config.p);
            config.p = NULL;
            struct eng_collection *own =
                collection_new(e, (struct sx_str){folder, (uint32_t)strlen(folder), 0});
            if (own) {
                eng_collection_unref(col);
                col = own;
            }
            snprintf(col->folder, sizeof(col->folder), "%s", folder);
        }
    }
    if (rc == 0) {
        rc = eng_config_parse(e, config, &cf, &err);
        if (rc != 0)
            e->mem->release(e->mem, (void *)(uintptr_t)config.p);
        else if ((rc = eng_config_load_ids(cf, sx_doc_get(d, "columns"), &err)) != 0)
            eng_config_destroy(e, cf);
        else
            cf->shown_to = (uint64_t)sx_doc_get_i64(d, "shown_to", 0);
    }
    sx_arena_fini(&arena);
    if (rc == 0) {
        rc = eng_shard_create(e, cf, &col->id, c->collections, col->folder, &col->shard, &err);
        if (rc != 0)
            eng_config_destroy(e, cf);
    }
    if (rc != 0) {
        sx_err_wrap(&err, "Collection %.*s is damaged", (int)(col->name.n > 60 ? 60 : col->name.n),
                    col->name.p);
        sx_log(e->host, SX_LOG_ERROR, "catalog", "%s", err.msg);
        col->cause = err;
        if (!col->cause.code)
            col->cause.code = SX_ECORRUPT;
    }
    link_in(c, col);
    return 0;
}

static int open_dirs(struct eng_catalog *c, struct sx_err *err)
{
    struct eng *e = c->eng;
    int rc = e->io->dir_open(NULL, e->conf->storage_path, SX_IO_CREATE, &c->root, err);
    if (rc == 0) {
        (void)e->io->remove_tree(c->root, "tmp", NULL);
        (void)e->io->remove_tree(c->root, ".deleted", NULL);
        rc = e->io->dir_open(c->root, "collections", SX_IO_CREATE, &c->collections, err);
    }
    if (rc == 0)
        rc = e->io->dir_open(c->root, "tmp", SX_IO_CREATE, &c->tmp, err);
    if (rc == 0)
        rc = e->io->dir_open(c->root, ".deleted", SX_IO_CREATE, &c->deleted, err);
    if (rc == 0)
        rc = eng_reserve_create(e, c->root, &e->reserve, err);
    return rc; /* eng_aliases_open() adds a folder and syncs the root */
}

int eng_catalog_open(struct eng *e, struct eng_catalog **out, struct sx_err *err)
{
    struct eng_catalog *c = e->mem->zalloc(e->mem, sizeof(*c));
    if (!c)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    c->eng = e;
    c->last = &c->first;
    c->patches_end = &c->patches;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->idle, NULL);
    pthread_mutex_init(&c->aliases.writer, NULL);
    struct scan sc = {c, err, 0};
    int rc = open_dirs(c, err);
    if (rc == 0)
        rc = e->io->dir_list(c->collections, load_one, &sc, err);
    if (rc == 0)
        rc = sc.rc;
    if (rc == 0)
        rc = eng_aliases_open(c, err);
    *out = c;
    return rc == 0 ? 0 : sx_err_wrap(err, "storage");
}

static void closed_one(struct eng_shard *s, void *arg)
{
    struct eng_catalog *c = arg;
    pthread_mutex_lock(&c->lock);
    c->closing--;
    pthread_cond_broadcast(&c->idle);
    pthread_mutex_unlock(&c->lock);
    (void)s;
}

static void close_one(void *arg, struct eng_collection *col)
{
    struct eng_catalog *c = arg;
    if (!col->shard || atomic_load_explicit(&col->shard->state, memory_order_acquire) != ENG_OPEN)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing++;
    pthread_mutex_unlock(&c->lock);
    eng_checkpoint_final(col->shard, closed_one, c);
}

void eng_catalog_drain(struct eng_catalog *c, uint64_t deadline_ns)
{
    struct eng *e = c->eng;
    eng_catalog_each(c, close_one, c);
    pthread_mutex_lock(&c->lock);
    while (c->closing) {
        uint64_t now = e->time->mono_ns();
        if (now >= deadline_ns)
            break; /* the log holds what a checkpoint would have saved */
        struct timespec ts;
        uint64_t until = e->time->wall_ns() + (deadline_ns - now);
        ts.tv_sec = (time_t)(until / 1000000000u);
        ts.tv_nsec = (long)(until % 1000000000u);
        pthread_cond_timedwait(&c->idle, &c->lock, &ts);
    }
    pthread_mutex_unlock(&c->lock);
}

static void tick_one(void *arg, struct eng_collection *col)
{
    (void)arg;
    if (col->shard && atomic_load_explicit(&col->shard->state, memory_order_acquire) == ENG_OPEN)
        eng_checkpoint_tick(col->shard);
}

static void tick_run(struct sx_task *task, struct sx_worker *w)
{
    struct eng_catalog *c = task->arg;
    (void)w;
    /* pairs with the exchange in eng_catalog_tick_soon(): what is written from here on arms again
     */
    atomic_store_explicit(&c->tick_armed, 0, memory_order_release);
    eng_catalog_each(c, tick_one, NULL);
}

struct trim {
    uint64_t older_ns; /* close what was used before */
    uint64_t *used;
    uint32_t n, cap, left;
};

static void trim_collect(void *arg, struct eng_collection *col)
{
    struct trim *t = arg;
    if (t->n < t->cap && col->shard &&
        atomic_load_explicit(&col->shard->state, memory_order_relaxed) == ENG_OPEN)
        t->used[t->n++] = atomic_load_explicit(&col->shard->used_ns, memory_order_relaxed);
}

static void trim_close(void *arg, struct eng_collection *col)
{
    struct trim *t = arg;
    if (t->left && col->shard &&
        atomic_load_explicit(&col->shard->state, memory_order_acquire) == ENG_OPEN &&
        atomic_load_explicit(&col->shard->used_ns, memory_order_relaxed) <= t->older_ns) {
        t->left--;
        eng_shard_close_idle(col->shard);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void eng_catalog_trim(struct eng_catalog *c)
{
    struct eng *e = c->eng;
    struct trim t = {.cap = eng_catalog_count(c)};
    uint32_t open = atomic_load_explicit(&e->n_open, memory_order_relaxed);
    uint32_t goal = e->max_open - e->max_open / 10;
    if (open <= goal || !(t.used = e->mem->alloc(e->mem, t.cap * sizeof(*t.used) + 8)))
        return;
    eng_catalog_each(c, trim_collect, &t);
    if (t.n > goal) {
        qsort(t.used, t.n, sizeof(*t.used), by_value);
        t.left = t.n - goal;
        t.older_ns = t.used[t.left - 1];
        eng_catalog_each(c, trim_close, &t);
    }
    e->mem->release(e->mem, t.used);
}

void eng_catalog_tick_soon(struct eng_catalog *c)
{
    if (atomic_load_explicit(&c->tick_armed, memory_order_relaxed) ||
        atomic_exchange_explicit(&c->tick_armed, 1, memory_order_acq_rel))
        return;
    c->tick.fn = tick_run;
    c->tick.arg = c;
    c->eng->exec->delay(&c->tick, (uint32_t)c->eng->conf->checkpoint_idle_ms);
}

void eng_catalog_close(struct eng_catalog *c)
{
    struct eng *e = c->eng;
    struct eng_collection *col, *next;
    for (col = c->first; col; col = next) {
        next = col->next;
        eng_collection_unref(col);
    }
    eng_aliases_close(c);
    eng_reserve_destroy(e->reserve);
    e->reserve = NULL;
    if (c->deleted)
        e->io->dir_close(c->deleted);
    if (c->tmp)
        e->io->dir_close(c->tmp);
    if (c->collections)
        e->io->dir_close(c->collections);
    if (c->root)
        e->io->dir_close(c->root);
    e->mem->release(e->mem, c->buckets);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->lock);
    e->mem->release(e->mem, c);
}
