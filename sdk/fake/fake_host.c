/* The fake host itself: services by name, counted memory, modules and their providers.
 *
 * State is one static object because the service tables carry no self argument. Allocation and the
 * registry may be used from any thread; create, destroy, add and stop belong to the test's thread.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake.h"

#define MODULES_MAX   64u
#define PROVIDERS_MAX 256u
#define MAP_ALIGN     (2u << 20)

struct module {
    const struct sx_plugin *plugin;
    void *self, *conf;
};

static struct fake {
    int is_made;
    uint32_t log_level;
    uint64_t live, fail_alloc;
    struct sx_host host;
    struct sx_cpu cpu;
    struct module modules[MODULES_MAX];
    uint32_t n_modules, n_providers;
    struct sx_provider providers[PROVIDERS_MAX];
} fake;

/* --- sx.mem --- */

static int is_alloc_failing(void)
{
    if (__atomic_load_n(&fake.fail_alloc, __ATOMIC_RELAXED) == 0)
        return 0;
    return __atomic_sub_fetch(&fake.fail_alloc, 1, __ATOMIC_RELAXED) == 0;
}

static void *counted(void *p)
{
    if (p != NULL)
        __atomic_add_fetch(&fake.live, 1, __ATOMIC_RELAXED);
    return p;
}

static void *mem_alloc(const struct sx_mem *self, uint64_t n)
{
    (void)self;
    if (is_alloc_failing() || n > SIZE_MAX / 2)
        return NULL;
    return counted(malloc(n != 0 ? n : 1));
}

static void *mem_zalloc(const struct sx_mem *self, uint64_t n)
{
    (void)self;
    if (is_alloc_failing() || n > SIZE_MAX / 2)
        return NULL;
    return counted(calloc(1, n != 0 ? n : 1));
}

static void *mem_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    if (p == NULL)
        return mem_alloc(self, n);
    if (is_alloc_failing() || n > SIZE_MAX / 2)
        return NULL;
    return realloc(p, n != 0 ? n : 1);
}

static void mem_release(const struct sx_mem *self, void *p)
{
    (void)self;
    if (p != NULL)
        __atomic_sub_fetch(&fake.live, 1, __ATOMIC_RELAXED);
    free(p);
}

static void *mem_map(const struct sx_mem *self, uint64_t n)
{
    (void)self;
    if (is_alloc_failing() || n > SIZE_MAX / 2)
        return NULL;
    uint64_t rounded = (n + MAP_ALIGN - 1) / MAP_ALIGN * MAP_ALIGN;
    void *p = aligned_alloc(MAP_ALIGN, rounded != 0 ? rounded : MAP_ALIGN);
    if (p != NULL)
        memset(p, 0, n);
    return counted(p);
}

static void mem_unmap(const struct sx_mem *self, void *p, uint64_t n)
{
    (void)n;
    mem_release(self, p);
}

static const struct sx_mem fake_mem = {
    .size = (uint32_t)sizeof(struct sx_mem),
    .alloc = mem_alloc,
    .zalloc = mem_zalloc,
    .resize = mem_resize,
    .release = mem_release,
    .map = mem_map,
    .unmap = mem_unmap,
};

uint64_t sx_fake_host_live(void)
{
    return __atomic_load_n(&fake.live, __ATOMIC_RELAXED);
}

void sx_fake_host_fail_alloc(uint64_t n)
{
    __atomic_store_n(&fake.fail_alloc, n, __ATOMIC_RELAXED);
}

/* --- the small services --- */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t time_mono(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t time_wall(void)
{
    return clock_ns(CLOCK_REALTIME);
}

static const struct sx_time fake_time = {(uint32_t)sizeof(struct sx_time), 0, time_mono, time_wall};

static int crypto_equal(const void *a, const void *b, uint64_t n)
{
    const uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    for (uint64_t i = 0; i < n; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}

static int crypto_random(void *p, uint64_t n)
{
    FILE *f = fopen("/dev/urandom", "rb");
    if (f == NULL)
        return SX_EIO;
    size_t got = fread(p, 1, n, f);
    fclose(f);
    return got == n ? SX_OK : SX_EIO;
}

static const struct sx_crypto fake_crypto = {(uint32_t)sizeof(struct sx_crypto), 0, crypto_equal,
                                             crypto_random};

static uint64_t cpu_bits(void)
{
    uint64_t bits = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        bits |= SX_CPU_SSE42;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        bits |= SX_CPU_AVX2;
    if ((bits & SX_CPU_AVX2) != 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        bits |= SX_CPU_AVX512;
    if ((bits & SX_CPU_AVX512) != 0 && __builtin_cpu_supports("avx512vnni"))
        bits |= SX_CPU_VNNI;
#elif defined(__aarch64__)
    bits |= SX_CPU_NEON;
#endif
    return bits;
}

/* --- sx.reg --- */

static const struct sx_provider *reg_find(uint32_t kind, const char *name)
{
    const struct sx_provider *best = NULL;
    for (uint32_t i = 0; i < fake.n_providers; i++)
        if (fake.providers[i].kind == kind && strcmp(fake.providers[i].name, name) == 0)
            best = &fake.providers[i];
    return best;
}

static const struct sx_provider *reg_at(uint32_t kind, uint32_t n)
{
    for (uint32_t i = 0; i < fake.n_providers; i++)
        if (fake.providers[i].kind == kind && n-- == 0)
            return &fake.providers[i];
    return NULL;
}

static const struct sx_plugin *reg_module(uint32_t i, const char **origin)
{
    if (i >= fake.n_modules)
        return NULL;
    if (origin != NULL)
        *origin = "builtin";
    return fake.modules[i].plugin;
}

static void *reg_thread_mem(void *self)
{
    (void)self;
    return NULL;
}

static const struct sx_reg fake_reg = {
    (uint32_t)sizeof(struct sx_reg), 0, reg_find, reg_at, reg_module, reg_thread_mem,
};

/* --- the host table --- */

static const void *host_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    static const struct {
        const char *name;
        const void *table;
    } services[] = {
        {"sx.mem", &fake_mem},         {"sx.time", &fake_time}, {"sx.crypto", &fake_crypto},
        {"sx.reg", &fake_reg},         {"sx.cpu", &fake.cpu},   {"sx.exec", &sx_fake__exec},
        {"sx.epoch", &sx_fake__epoch}, {"sx.io", &sx_fake__io}, {"sx.telem", &sx_fake__telem},
    };
    (void)self;
    for (uint32_t i = 0; i < SX_COUNT(services); i++)
        if (strcmp(services[i].name, service) == 0)
            return *(const uint32_t *)services[i].table >= min_size ? services[i].table : NULL;
    return NULL;
}

static uint32_t host_log_on(const struct sx_host *self, uint32_t level, const char *room)
{
    (void)self;
    (void)room;
    return fake.log_level != UINT32_MAX && level <= fake.log_level;
}

static void SX_PRINTF(4, 5)
    host_log(const struct sx_host *self, uint32_t level, const char *room, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    if (!host_log_on(self, level, room))
        return;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s %s: %s\n", level < SX_COUNT(names) ? names[level] : "?", room, line);
}

const struct sx_host *sx_fake_host_create(const struct sx_fake_conf *conf)
{
    if (fake.is_made || sx_fake__exec_init(conf->flags) != 0)
        return NULL;
    sx_fake__io_init();
    memset(&fake, 0, sizeof(fake));
    fake.is_made = 1;
    fake.log_level = conf->log_level;
    fake.cpu = (struct sx_cpu){(uint32_t)sizeof(struct sx_cpu), 1, cpu_bits() & conf->cpu_mask};
    fake.host = (struct sx_host){
        .size = (uint32_t)sizeof(struct sx_host),
        .abi_major = SX_ABI_MAJOR,
        .abi_minor = SX_ABI_MINOR,
        .build_id = SX_BUILD_ID,
        .version = "0",
        .compat_version = "1.20.0",
        .module = "fake",
        .mem = &fake_mem,
        .get = host_get,
        .log = host_log,
        .log_on = host_log_on,
    };
    return &fake.host;
}

static void module_release(struct module *m)
{
    free(m->self);
    free(m->conf);
    *m = (struct module){0};
}

static int module_begin(struct module *m, struct sx_err *err)
{
    const struct sx_plugin *p = m->plugin;
    uint64_t self_bytes = ((uint64_t)p->instance_size + 63) / 64 * 64 + 64;
    m->self = aligned_alloc(64, self_bytes);
    m->conf = calloc(1, (uint64_t)p->conf_size + 8);
    if (m->self == NULL || m->conf == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for module '%s'", p->name);
    memset(m->self, 0, self_bytes);
    int rc = sx_fake__conf_defaults(p, m->conf, err);
    if (rc == 0 && p->load != NULL)
        rc = p->load(&fake.host, m->self, err);
    if (rc == 0 && p->configure != NULL)
        rc = p->configure(m->self, m->conf, err);
    if (rc == 0 && p->start != NULL)
        rc = p->start(m->self, err);
    return rc;
}

int sx_fake_host_add(const struct sx_plugin *p, struct sx_err *err)
{
    if (fake.n_modules == MODULES_MAX || p->n_provides > PROVIDERS_MAX - fake.n_providers)
        return sx_err_set(err, SX_ENOMEM, "too many modules for the fake host");
    struct module *m = &fake.modules[fake.n_modules];
    m->plugin = p;
    int rc = module_begin(m, err);
    if (rc != 0) {
        module_release(m);
        return rc;
    }
    for (uint32_t i = 0; i < p->n_provides; i++) {
        const struct sx_provide *e =
            (const void *)((const uint8_t *)p->provides + (uint64_t)i * p->provide_size);
        fake.providers[fake.n_providers++] = (struct sx_provider){
            .size = (uint32_t)sizeof(struct sx_provider),
            .kind = e->kind,
            .iface_version = e->iface_version,
            .caps = e->caps,
            .name = e->name,
            .ops = e->ops,
            .self = m->self,
            .module = p->name,
        };
    }
    fake.n_modules++;
    return SX_OK;
}

void sx_fake_host_stop(void)
{
    fake.n_providers = 0;
    while (fake.n_modules > 0) {
        struct module *m = &fake.modules[fake.n_modules - 1];
        if (m->plugin->drain != NULL)
            m->plugin->drain(m->self, time_mono() + 1000000000u);
        sx_fake_host_idle();
        if (m->plugin->stop != NULL)
            m->plugin->stop(m->self);
        sx_fake_host_idle();
        module_release(m);
        fake.n_modules--;
    }
}

void sx_fake_host_destroy(void)
{
    sx_fake_host_stop();
    sx_fake__exec_fini();
    sx_fake__epoch_fini();
    sx_fake__telem_fini();
    fake.is_made = 0;
}
