/* What the host offers to modules: size-first const tables, asked for by name in load().
 *
 *   const struct sx_exec *exec = host->get(host, "sx.exec", sizeof(struct sx_exec));
 *
 * get() answers NULL when the host lacks the service or its table is shorter than asked. Tables are
 * append-only and live as long as the process. Thread classes: M main thread alone, L a loop thread
 * (must not block over 1 ms), W any pool or loop thread, S the single writer of the object, A any.
 */
#ifndef SX_SERVICE_H
#define SX_SERVICE_H

#include "sextant/sx_doc.h"
#include "sextant/sx_mem.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SX_LOG_ERROR = 0, SX_LOG_WARN, SX_LOG_INFO, SX_LOG_DEBUG, SX_LOG_TRACE };

struct sx_host {
    uint32_t size;
    uint16_t abi_major, abi_minor;
    uint64_t features;
    const char *build_id, *version; /* of the server itself */
    const char *compat_version;     /* the version clients see, "1.20.0" */
    const char *module;             /* whose host this is */
    const struct sx_mem *mem;       /* the module's account */
    const void *(*get)(const struct sx_host *self, const char *service, uint32_t min_size);
    /* [A] one line; room is a short name inside the module ("wal", "http"). */
    void (*log)(const struct sx_host *self, uint32_t level, const char *room, const char *fmt, ...)
        SX_PRINTF(4, 5);
    /* [A] non-zero when lines of this level of this room are written: guards costly arguments. */
    uint32_t (*log_on)(const struct sx_host *self, uint32_t level, const char *room);
    void *priv;
};
#define sx_log(host, level, room, ...) ((host)->log((host), (level), (room), __VA_ARGS__))

/* --- sx.exec: where work runs ------------------------------------------------------------------
 */

/* A thread that runs work: a pool thread or a loop thread. `id` is dense below exec->n_workers().
 */
struct sx_worker {
    uint32_t size, id;
    struct sx_loop *loop; /* NULL on pool threads */
    /* [own thread] 64-byte aligned buffer of at least n bytes, contents kept between calls while it
     * does not grow; NULL when memory is short. */
    void *(*scratch)(struct sx_worker *w, uint64_t n);
    void *priv;
};

/* Intrusive: lives in the caller's object, may be submitted again once fn has been entered. */
struct sx_task {
    void (*fn)(struct sx_task *t, struct sx_worker *w);
    struct sx_task *next; /* the host's */
    void *arg;
};

enum { SX_CLASS_QUERY = 0, SX_CLASS_WRITER = 1, SX_CLASS_BACKGROUND = 2 };

struct sx_strand; /* serial queue over the CPU pool: its tasks never run two at a time */

struct sx_exec {
    uint32_t size, pad;
    uint32_t (*n_workers)(void);
    uint32_t (*n_cpus)(void);
    struct sx_worker *(*self)(void); /* [L, W] NULL on foreign threads */
    /* [A] CPU pool; query tasks go before writer before background. Never fails. */
    void (*submit)(struct sx_task *t, uint32_t cls);
    /* [A] blocking pool: fsync, files, network. Threads start on demand up to a bound. */
    void (*blocking)(struct sx_task *t);
    /* [A] runs t on the CPU pool (class background) after the delay. */
    void (*delay)(struct sx_task *t, uint32_t ms);
    struct sx_strand *(*strand_create)(const struct sx_host *owner,
                                       uint32_t cls);            /* NULL: memory */
    void (*strand_post)(struct sx_strand *s, struct sx_task *t); /* [A] */
    /* [A] takes the strand; it goes away once its queue has run empty. */
    void (*strand_destroy)(struct sx_strand *s);
};

/* --- sx.loop: event loops ----------------------------------------------------------------------
 */

enum { SX_EV_READ = 1, SX_EV_WRITE = 2 };
struct sx_watch;
struct sx_timer;

struct sx_loop_api {
    uint32_t size, pad;
    uint32_t (*count)(void);
    struct sx_loop *(*at)(uint32_t i);
    uint32_t (*index)(const struct sx_loop *loop);
    struct sx_loop *(*current)(void); /* NULL when the caller is no loop thread */
    /* [A] runs t on the loop's thread soon. Never fails. */
    void (*post)(struct sx_loop *loop, struct sx_task *t);
    /* [L, own loop] level-triggered, persistent; events may be 0. NULL: memory. */
    struct sx_watch *(*watch)(struct sx_loop *loop,
                              int32_t fd,
                              uint32_t events,
                              void (*fn)(int32_t fd, uint32_t events, void *arg),
                              void *arg);
    int (*watch_set)(struct sx_watch *w, uint32_t events);
    void (*watch_end)(struct sx_watch *w); /* fn is not called afterwards; the fd stays open */
    /* [L, own loop] calls fn once after ms; timer_set arms it again, ms = UINT32_MAX disarms. */
    struct sx_timer *(*timer)(struct sx_loop *loop, void (*fn)(void *arg), void *arg);
    void (*timer_set)(struct sx_timer *t, uint32_t ms);
    void (*timer_end)(struct sx_timer *t);
};

/* "sx.loop.libevent", strict level only: the loop's base, to be used on the loop's own thread. */
struct event_base;
struct sx_loop_libevent {
    uint32_t size, pad;
    struct event_base *(*base)(struct sx_loop *loop);
};

/* --- sx.epoch: memory that readers may still see ------------------------------------------------
 */

struct sx_epoch {
    uint32_t size, pad;
    /* [L, W on sx_worker threads and any other thread] brackets a short read-side section; nests.
     * Never held across a wait. */
    void (*enter)(void);
    void (*leave)(void);
    /* [A] calls fn(arg) on some thread once every section that was open now has ended. Order among
     * retired entries of one thread is kept. */
    void (*retire)(void (*fn)(void *arg), void *arg);
    /* [A] may free what is ripe now; called by the host too. */
    void (*poll)(void);
};

/* --- sx.io: files, so that fault and power-loss tests see every write ----------------------------
 */

struct sx_dir;
struct sx_file;
enum {
    SX_IO_READ = 0,
    SX_IO_WRITE = 1,  /* read and write */
    SX_IO_CREATE = 2, /* create when missing (implies write) */
    SX_IO_EXCL = 4
};

struct sx_io {
    uint32_t size, pad;
    /* [A, blocks] All return 0, a count or a negative code with err filled (may be NULL). Names are
     * single components, no '/', not "." or "..". */
    int (*dir_open)(struct sx_dir *parent,
                    const char *name,
                    uint32_t create,
                    struct sx_dir **out,
                    struct sx_err *err); /* parent NULL: name is a path */
    void (*dir_close)(struct sx_dir *d);
    int (*dir_sync)(struct sx_dir *d, struct sx_err *err);
    /* Calls sink for every entry but "." and ".."; is_dir 0/1. sink returns non-zero to stop. */
    int (*dir_list)(struct sx_dir *d,
                    int (*sink)(void *arg, const char *name, uint32_t is_dir),
                    void *arg,
                    struct sx_err *err);
    int (*rename)(
        struct sx_dir *from, const char *a, struct sx_dir *to, const char *b, struct sx_err *err);
    int (*unlink)(struct sx_dir *d, const char *name, struct sx_err *err); /* missing: ENOTFOUND */
    int (*rmdir)(struct sx_dir *d, const char *name, struct sx_err *err);
    int (*remove_tree)(struct sx_dir *d, const char *name, struct sx_err *err);
    int (*open)(struct sx_dir *d,
                const char *name,
                uint32_t flags,
                struct sx_file **out,
                struct sx_err *err);
    void (*close)(struct sx_file *f);
    int64_t (*length)(struct sx_file *f, struct sx_err *err);
    /* Reads up to n bytes; fewer only at the end of the file. */
    int64_t (*pread)(struct sx_file *f, void *p, uint64_t n, uint64_t off, struct sx_err *err);
    /* Writes all n bytes or fails. ENOSPACE when the disk is full. */
    int (*pwrite)(struct sx_file *f, const void *p, uint64_t n, uint64_t off, struct sx_err *err);
    int (*truncate)(struct sx_file *f, uint64_t n, struct sx_err *err);
    int (*allocate)(struct sx_file *f, uint64_t off, uint64_t n, struct sx_err *err);
    int (*datasync)(struct sx_file *f, struct sx_err *err);
    int (*sync)(struct sx_file *f, struct sx_err *err);
    /* Read-only shared mapping of [off, off+n) at `at` (inside a reserved range) or anywhere. */
    int (*map)(
        struct sx_file *f, uint64_t off, uint64_t n, void *at, void **out, struct sx_err *err);
    void (*unmap)(void *p, uint64_t n);
    /* Address space without memory behind it; release with unmap. */
    int (*reserve)(uint64_t n, void **out, struct sx_err *err);
    int (*advise)(void *p, uint64_t n, uint32_t what); /* SX_ADVISE_* */
    /* Optional. Puts zeroed private memory, readable and writable, behind whole pages of a reserved
     * range: anonymous memory that grows without moving. */
    int (*commit)(void *p, uint64_t n, struct sx_err *err);
};
enum { SX_ADVISE_RANDOM = 1, SX_ADVISE_WILLNEED = 2, SX_ADVISE_DONTNEED = 3, SX_ADVISE_HUGE = 4 };

/* "sx.io.mark", test builds only: a transport notes in the I/O journal that an answer was sent. */
struct sx_io_mark {
    uint32_t size, pad;
    void (*mark)(const char *text);
};

/* --- sx.reg: other modules' providers ------------------------------------------------------------
 */

struct sx_provider {
    uint32_t size, kind, iface_version, pad;
    uint64_t caps;
    const char *name;
    const void *ops;
    void *self; /* the providing module's instance: first argument of its callbacks */
    const char *module;
};
struct sx_reg {
    uint32_t size, pad;
    /* [A after load] NULL when nobody provides it. Valid for ever. */
    const struct sx_provider *(*find)(uint32_t kind, const char *name);
    /* [A] the i-th provider of the kind in registry order, NULL past the end. */
    const struct sx_provider *(*at)(uint32_t kind, uint32_t i);
    /* [A] walks the loaded modules: descriptor and where it came from ("builtin" or a path). */
    const struct sx_plugin *(*module)(uint32_t i, const char **origin);
    /* [L, W] per-thread memory of a module instance on the calling worker; NULL if it has none. */
    void *(*thread_mem)(void *self);
};

/* --- sx.telem: counters
 * --------------------------------------------------------------------------- A metric is made once
 * (start) and added to from any thread; values are sharded by worker and summed when an exporter
 * walks. Labels are `k="v",...` text, already escaped. */
struct sx_metric;
enum { SX_METRIC_COUNTER = 1, SX_METRIC_GAUGE = 2, SX_METRIC_HISTOGRAM = 3 };
/* One sample as a walker sees it. For histograms: n_buckets upper bounds with cumulative counts,
 * count and sum. */
struct sx_sample {
    uint32_t size, type;
    const char *name, *help, *labels;
    double value;
    uint64_t count;
    double sum, min, max;
    const double *bounds;
    const uint64_t *buckets;
    uint32_t n_buckets, pad;
};
struct sx_sample_sink {
    void (*add)(struct sx_sample_sink *s, const struct sx_sample *sample);
    void *arg;
};
struct sx_telem {
    uint32_t size, pad;
    /* [M, A] same (name, labels) gives the same metric. bounds: histograms only. NULL: memory. */
    struct sx_metric *(*metric)(uint32_t type,
                                const char *name,
                                const char *help,
                                const char *labels,
                                const double *bounds,
                                uint32_t n_bounds);
    void (*add)(struct sx_metric *m, double v);     /* counter, gauge */
    void (*set)(struct sx_metric *m, double v);     /* gauge */
    void (*observe)(struct sx_metric *m, double v); /* histogram */
    /* [M] fn is called at walk time for values that nobody counts (sizes, tails). */
    int (*collector)(void (*fn)(struct sx_sample_sink *s, void *arg), void *arg);
    /* [W] every sample: kernel, metrics, collectors, in registration order, families together. */
    void (*walk)(struct sx_sample_sink *s);
};

/* --- small ones
 * ------------------------------------------------------------------------------------ */

struct sx_time { /* "sx.time" */
    uint32_t size, pad;
    uint64_t (*mono_ns)(void);
    uint64_t (*wall_ns)(void); /* since the epoch, UTC */
};
struct sx_cpu { /* "sx.cpu" */
    uint32_t size, n;
    uint64_t bits; /* SX_CPU_* of the machine, masked by SEXTANT_CPU=portable|avx2|avx512 */
};
#define SX_CPU_SSE42  1ull
#define SX_CPU_AVX2   2ull /* with FMA, F16C, BMI2 */
#define SX_CPU_AVX512 4ull /* F, BW, VL, DQ, with AVX2's */
#define SX_CPU_VNNI   8ull
#define SX_CPU_NEON   16ull
struct sx_crypto { /* "sx.crypto" */
    uint32_t size, pad;
    int (*equal)(const void *a, const void *b, uint64_t n); /* constant time, 1 when equal */
    int (*random)(void *p, uint64_t n);
};

#ifdef __cplusplus
}
#endif
#endif
