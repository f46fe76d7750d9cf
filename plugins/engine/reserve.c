/* The reserve file; see reserve.h. */
#include "reserve.h"

#include <string.h>

#include "sextant/sx_ban.h"

#define RESERVE_BYTES (4ull << 20)

struct eng_reserve {
    struct eng *eng;
    struct sx_file *file;
    _Atomic uint32_t is_held; /* written under the lock */
    uint32_t pad;
    pthread_mutex_t lock;
};

/* With the lock held, or before anybody else knows it. */
static int take(struct eng_reserve *r, struct sx_err *err)
{
    const struct sx_io *io = r->eng->io;
    /* Twice as much, or what was given up a moment ago would be taken back before it was used. */
    int rc = io->allocate(r->file, 0, 2 * RESERVE_BYTES, err);
    if (rc == 0)
        rc = io->truncate(r->file, RESERVE_BYTES, err);
    if (rc != 0) /* a part may have been had */
        (void)io->truncate(r->file, 0, NULL);
    else
        atomic_store_explicit(&r->is_held, 1, memory_order_relaxed);
    return rc;
}

int eng_reserve_create(struct eng *e,
                       struct sx_dir *dir,
                       struct eng_reserve **out,
                       struct sx_err *err)
{
    struct eng_reserve *r = e->mem->zalloc(e->mem, sizeof(*r));
    if (!r)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    int rc = e->io->open(dir, "reserve", SX_IO_WRITE | SX_IO_CREATE, &r->file, err);
    if (rc != 0 && rc != SX_ENOSPACE) {
        e->mem->release(e->mem, r);
        return rc;
    }
    r->eng = e;
    pthread_mutex_init(&r->lock, NULL);
    if (rc == 0)
        rc = take(r, err);
    else
        atomic_store_explicit(&r->is_held, 1,
                              memory_order_relaxed); /* nothing to be had or given */
    if (rc != 0)
        sx_log(e->host, SX_LOG_WARN, "reserve", "no reserve for a full disk: %s", err->msg);
    if (err)
        err->code = 0;
    *out = r;
    return 0;
}

void eng_reserve_destroy(struct eng_reserve *r)
{
    if (!r)
        return;
    const struct sx_mem *mem = r->eng->mem;
    if (r->file)
        r->eng->io->close(r->file);
    pthread_mutex_destroy(&r->lock);
    mem->release(mem, r);
}

void eng_reserve_give(struct eng_reserve *r, struct sx_err *err)
{
    pthread_mutex_lock(&r->lock);
    if (r->file && atomic_load_explicit(&r->is_held, memory_order_relaxed)) {
        sx_log(r->eng->host, SX_LOG_WARN, "reserve",
               "The disk is full: the reserve is given up to deletions and checkpoints, what takes "
               "space is refused until there is some");
        if (r->eng->io->truncate(r->file, 0, NULL) == 0)
            atomic_store_explicit(&r->is_held, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&r->lock);
    if (err)
        err->code = 0;
}

int eng_reserve_is_held(const struct eng_reserve *r)
{
    return !r || atomic_load_explicit(&r->is_held, memory_order_relaxed);
}

int eng_reserve_check(struct eng_reserve *r, struct sx_err *err)
{
    int rc = 0;
    /* Relaxed: whoever sees it a moment late takes a little of what was given up. */
    if (SX_LIKELY(eng_reserve_is_held(r)))
        return 0;
    pthread_mutex_lock(&r->lock);
    if (!atomic_load_explicit(&r->is_held, memory_order_relaxed)) {
        rc = take(r, err);
        if (rc == 0)
            sx_log(r->eng->host, SX_LOG_INFO, "reserve", "There is space again");
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}
