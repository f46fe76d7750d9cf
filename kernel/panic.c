/* The last words of a process that dies of a signal.
 *
 * Everything the handler reads was written down before: modules and memory map after loading,
 * thread records as threads begin. So it only formats numbers into a stack buffer and calls
 * write(2); it takes no lock and no memory. The one call that is not strictly safe is backtrace(),
 * which unwinds; it is called once at installation, because its first call loads a library.
 *
 * Records are static arrays: 4096 threads would be a lot of name tags, 256 covers the pools of any
 * machine this runs on, and a thread beyond them is merely missing from the report. */
#define _GNU_SOURCE 1
#include "panic.h"

#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sextant/sx_base.h"

#define N_THREADS 256
#define N_MODULES 64
#define N_MAPS    96
#define N_FRAMES  48
#define ALT_STACK (64u * 1024u)

/* Sanitizers have handlers and alternate stacks of their own, whose reports say more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

struct thread_rec {
    uint32_t is_taken; /* atomic */
    int32_t tid;
    char name[16];
    const char *module; /* atomic: read by a handler on another thread */
    void *alt_stack;
};

struct module_rec {
    const char *name, *version, *build_id;
};

struct map_rec {
    uintptr_t base, lo, hi;
    char name[40];
};

static struct thread_rec threads[N_THREADS];
static struct module_rec modules[N_MODULES];
static struct map_rec maps[N_MAPS];
static uint32_t n_modules, n_maps;
static uint32_t is_dying;
static __thread struct thread_rec *mine;

/* --- text without stdio ----------------------------------------------------------------------- */

struct out {
    int fd;
    uint32_t n;
    char p[512];
};

static void out_flush(struct out *o)
{
    const char *p = o->p;

    while (o->n > 0) {
        ssize_t w = write(o->fd, p, o->n);
        if (w <= 0)
            break;
        p += w;
        o->n -= (uint32_t)w;
    }
    o->n = 0;
}

static void out_text(struct out *o, const char *s)
{
    for (; s && *s; s++) {
        if (o->n == sizeof(o->p))
            out_flush(o);
        o->p[o->n++] = *s;
    }
}

static void out_number(struct out *o, uint64_t v, uint32_t base)
{
    char digits[24];
    uint32_t i = sizeof(digits) - 1;

    digits[i] = 0;
    do {
        digits[--i] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v > 0 && i > 0);
    out_text(o, base == 16 ? "0x" : "");
    out_text(o, digits + i);
}

static const char *signal_name(int sig)
{
    switch (sig) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGABRT:
        return "SIGABRT";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    default:
        return "signal";
    }
}

/* --- the report ------------------------------------------------------------------------------- */

static void out_threads(struct out *o)
{
    out_text(o, "threads:\n");
    for (uint32_t i = 0; i < N_THREADS; i++) {
        struct thread_rec *t = &threads[i];
        if (__atomic_load_n(&t->is_taken, __ATOMIC_ACQUIRE) != 1)
            continue;
        const char *module = __atomic_load_n(&t->module, __ATOMIC_RELAXED);
        out_text(o, t == mine ? "* " : "  ");
        out_number(o, (uint64_t)t->tid, 10);
        out_text(o, " ");
        out_text(o, t->name);
        out_text(o, " in ");
        out_text(o, module ? module : "sextant");
        out_text(o, "\n");
    }
}

static void out_stack(struct out *o)
{
    void *frames[N_FRAMES];
    int n = backtrace(frames, N_FRAMES);

    out_text(o, "stack:\n");
    for (int i = 0; i < n; i++) {
        uintptr_t at = (uintptr_t)frames[i];
        uint32_t m = 0;
        while (m < n_maps && !(at >= maps[m].lo && at < maps[m].hi))
            m++;
        out_text(o, "  ");
        if (m < n_maps) {
            out_text(o, maps[m].name);
            out_text(o, "+");
            at -= maps[m].base;
        }
        out_number(o, at, 16);
        out_text(o, "\n");
    }
}

void sx_panic_report(int fd, int sig, const void *addr)
{
    struct out o = {.fd = fd, .n = 0};

    out_text(&o, "panic: ");
    out_text(&o, signal_name(sig));
    out_text(&o, " (");
    out_number(&o, (uint64_t)sig, 10);
    out_text(&o, ")");
    if (sig == SIGSEGV || sig == SIGBUS) {
        out_text(&o, " at ");
        out_number(&o, (uintptr_t)addr, 16);
    }
    if (mine) {
        const char *module = __atomic_load_n(&mine->module, __ATOMIC_RELAXED);
        out_text(&o, " in ");
        out_text(&o, module ? module : "sextant");
    }
    out_text(&o, "\nmodules:\n");
    for (uint32_t i = 0; i < n_modules; i++) {
        out_text(&o, "  ");
        out_text(&o, modules[i].name);
        out_text(&o, " ");
        out_text(&o, modules[i].version);
        out_text(&o, " ");
        out_text(&o, modules[i].build_id);
        out_text(&o, "\n");
    }
    out_threads(&o);
    out_stack(&o);
    out_flush(&o);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    /* The first thread to die speaks; the others wait for the end. */
    if (__atomic_exchange_n(&is_dying, 1, __ATOMIC_SEQ_CST) != 0) {
        for (;;)
            pause();
    }
    sx_panic_report(STDERR_FILENO, sig, info->si_addr);
    /* Blocked until we return, then it takes the default course. */
    signal(sig, SIG_DFL);
    raise(sig);
}

void sx_panic_install(void)
{
    static const int sigs[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    struct sigaction sa;
    void *frame;

    if (IS_SANITIZED)
        return;
    (void)backtrace(&frame, 1);
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&sa.sa_mask);
    for (uint32_t i = 0; i < SX_COUNT(sigs); i++)
        sigaction(sigs[i], &sa, NULL);
}

/* --- what is written down beforehand ---------------------------------------------------------- */

void sx_panic_module(const char *name, const char *version, const char *build_id)
{
    if (n_modules < N_MODULES)
        modules[n_modules++] = (struct module_rec){name, version, build_id};
}

static int map_add(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct map_rec *m = &maps[n_maps];
    const char *name = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "sextant";
    const char *slash = strrchr(name, '/');

    (void)size;
    (void)arg;
    m->base = info->dlpi_addr;
    m->lo = UINTPTR_MAX;
    m->hi = 0;
    for (uint32_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        uintptr_t lo = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t hi = lo + info->dlpi_phdr[i].p_memsz;
        m->lo = lo < m->lo ? lo : m->lo;
        m->hi = hi > m->hi ? hi : m->hi;
    }
    name = slash ? slash + 1 : name;
    size_t n = strnlen(name, sizeof(m->name) - 1);
    memcpy(m->name, name, n);
    m->name[n] = 0;
    return ++n_maps == N_MAPS;
}

void sx_panic_map(void)
{
    n_maps = 0;
    dl_iterate_phdr(map_add, NULL);
}

static void alt_stack_set(struct thread_rec *t)
{
    if (IS_SANITIZED)
        return;
    if (!t->alt_stack) {
        void *p = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return;
        t->alt_stack = p; /* stays with the record, for the next thread that takes it */
    }
    stack_t ss = {.ss_sp = t->alt_stack, .ss_size = ALT_STACK};
    sigaltstack(&ss, NULL);
}

void sx_panic_thread(const char *name)
{
    if (!mine) {
        uint32_t i = 0, none = 0;
        /* 2: taken, not readable yet */
        while (i < N_THREADS && !__atomic_compare_exchange_n(&threads[i].is_taken, &none, 2, 0,
                                                             __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            none = 0;
            i++;
        }
        if (i == N_THREADS)
            return;
        mine = &threads[i];
        mine->module = NULL;
        alt_stack_set(mine);
    }
    size_t n = strnlen(name, sizeof(mine->name) - 1);
    memcpy(mine->name, name, n);
    mine->name[n] = 0;
    mine->tid = (int32_t)gettid();
    __atomic_store_n(&mine->is_taken, 1, __ATOMIC_RELEASE); /* pairs with out_threads() */
}

void sx_panic_thread_end(void)
{
    if (!mine)
        return;
    if (!IS_SANITIZED) {
        stack_t ss = {.ss_flags = SS_DISABLE};
        sigaltstack(&ss, NULL);
    }
    __atomic_store_n(&mine->is_taken, 0, __ATOMIC_RELEASE);
    mine = NULL;
}

const char *sx_panic_note(const char *module)
{
    struct thread_rec *t = mine;

    if (!t)
        return NULL;
    const char *before = t->module;
    __atomic_store_n(&t->module, module, __ATOMIC_RELAXED);
    return before;
}
