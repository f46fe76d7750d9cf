/* Workers: the record of every thread that runs tasks, its scratch memory, and how threads are
 * made.
 *
 * A record belongs to one thread at a time, found through kernel TLS. Only that thread touches its
 * scratch. Records of the blocking pool pass from a thread that ended to the next one; the pool's
 * lock stands between the two. */
#define _GNU_SOURCE 1
#include <signal.h>
#include <stdio.h>

#include "check.h"
#include "exec_priv.h"
#include "mem.h"
#include "panic.h"

static struct sx_worker_rec *workers; /* constant between init and fini */
static uint32_t n_workers;
static __thread struct sx_worker_rec *mine;

static void *worker_scratch(struct sx_worker *pub, uint64_t n)
{
    struct sx_worker_rec *w = pub->priv;
    const struct sx_mem *mem = sx_mem_kernel();

    if (n <= w->scratch_cap && w->scratch)
        return w->scratch;
    if (n > (1ull << 40))
        return NULL;
    /* Powers of two while small, then whole MiB: a buffer grown once is kept for good. */
    uint64_t cap = 4096;
    while (cap < n && cap < (1u << 20))
        cap *= 2;
    if (cap < n)
        cap = (n + (1u << 20) - 1) & ~((1ull << 20) - 1);
    mem->release(mem, w->scratch); /* first: the two together might not fit */
    w->scratch = sx_mem_zalloc_aligned(mem, 64, cap);
    w->scratch_cap = w->scratch ? cap : 0;
    return w->scratch;
}

int sx_workers_init(uint32_t n)
{
    SX_ASSERT(!workers);
    workers = sx_mem_zalloc_aligned(sx_mem_kernel(), 64, (uint64_t)n * sizeof(*workers));
    if (!workers)
        return SX_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        workers[i].pub = (struct sx_worker){
            .size = (uint32_t)sizeof(struct sx_worker),
            .id = i,
            .scratch = worker_scratch,
            .priv = &workers[i],
        };
    }
    n_workers = n;
    return 0;
}

void sx_workers_fini(void)
{
    const struct sx_mem *mem = sx_mem_kernel();

    mem->release(mem, workers);
    workers = NULL;
    n_workers = 0;
}

uint32_t sx_workers_count(void)
{
    return n_workers;
}

struct sx_worker_rec *sx_workers_at(uint32_t i)
{
    SX_ASSERT(i < n_workers);
    return &workers[i];
}

void sx_worker_begin(struct sx_worker_rec *w, const char *what)
{
    char name[24];

    SX_ASSERT(!mine);
    snprintf(name, sizeof(name), "%s-%u", what, w->pub.id);
    sx_panic_thread(name);
    mine = w;
}

void sx_worker_end(struct sx_worker_rec *w)
{
    const struct sx_mem *mem = sx_mem_kernel();

    SX_ASSERT(mine == w);
    mem->release(mem, w->scratch);
    w->scratch = NULL;
    w->scratch_cap = 0;
    w->pub.loop = NULL;
    mine = NULL;
    sx_panic_thread_end();
}

struct sx_worker *sx_exec_self(void)
{
    return mine ? &mine->pub : NULL;
}

int sx_exec_thread(void *(*fn)(void *), void *arg, const char *name, pthread_t *out)
{
    pthread_attr_t attr;
    sigset_t block, old;

    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    pthread_attr_setstacksize(&attr, SX_THREAD_STACK);
    /* Signals are the main thread's business, but a fault belongs to the thread that made it. */
    sigfillset(&block);
    sigdelset(&block, SIGSEGV);
    sigdelset(&block, SIGBUS);
    sigdelset(&block, SIGABRT);
    sigdelset(&block, SIGILL);
    sigdelset(&block, SIGFPE);
    sigdelset(&block, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    rc = pthread_create(out, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        pthread_setname_np(*out, name);
    return rc;
}
