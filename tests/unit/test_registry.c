/* needs: kernel/registry.c kernel/mem.c kernel/lock.c kernel/exec*.c kernel/strand.c */
/* needs: kernel/epoch.c kernel/time.c kernel/cpu.c kernel/host.c kernel/telem*.c kernel/io*.c */
/* needs: kernel/log*.c kernel/loop.c kernel/crypto.c kernel/panic.c kernel/procstat.c */
/* libs: libevent_core */
/* The registry: order of modules, missing and wrong providers, choices between two of a name. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>

#include "sextant/sx_op.h"

#include "kernel/registry.h"

static struct sx_registry reg;
static char problems[4096];
static uint32_t n_problems;

/* --- modules of the tests --------------------------------------------------------------------- */

static int required(void *self)
{
    (void)self;
    return 0;
}
static int authenticate(void *self,
                        const struct sx_credential *c,
                        const struct sx_identity **out,
                        struct sx_err *err)
{
    (void)self, (void)c, (void)out, (void)err;
    return SX_AUTH_PASS;
}
static int authorize(void *self,
                     const struct sx_identity *id,
                     const struct sx_op *op,
                     const struct sx_access *access,
                     uint32_t n,
                     struct sx_err *err)
{
    (void)self, (void)id, (void)op, (void)access, (void)n, (void)err;
    return SX_OK;
}
static void release(void *self, const struct sx_identity *id)
{
    (void)self, (void)id;
}
/* Kind auth stands for all of them: it is the one whose table needs the fewest callbacks. */
static const struct sx_auth_ops auth_ops = {
    sizeof(struct sx_auth_ops), 0, required, authenticate, authorize, release};
static int mount(void *self, uint32_t i, const char **prefix, uint32_t *is_public)
{
    (void)self, (void)i, (void)prefix, (void)is_public;
    return 0;
}
static int serve(void *self, const struct sx_web_request *rq, struct sx_web_reply *reply)
{
    (void)self, (void)rq, (void)reply;
    return SX_OK;
}
static const struct sx_web_ops web_ops = {sizeof(struct sx_web_ops), 0, mount, serve};

struct made {
    struct sx_plugin plugin;
    struct sx_provide provides[4];
    struct sx_need needs[4];
    char section[96];
};
static struct made made[16];
static uint32_t n_made;

static struct made *module(const char *name, const char *kinds)
{
    struct made *m = &made[n_made++];

    memset(m, 0, sizeof(*m));
    m->plugin = (struct sx_plugin){
        .size = sizeof(struct sx_plugin),
        .abi_major = SX_ABI_MAJOR,
        .abi_minor = SX_ABI_MINOR,
        .magic = SX_PLUGIN_MAGIC,
        .name = name,
        .version = "1",
        .licence = "MIT",
        .build_id = SX_BUILD_ID,
        .summary = "a module of the tests",
        .section = m->section,
        .provide_size = sizeof(struct sx_provide),
        .need_size = sizeof(struct sx_need),
        .key_size = sizeof(struct sx_key),
        .instance_size = 24,
    };
    (void)snprintf(m->section, sizeof(m->section), "%s kinds=%s abi=%d.%d", name, kinds,
                   SX_ABI_MAJOR, SX_ABI_MINOR);
    return m;
}

static void provides(struct made *m, uint32_t kind, const char *name, int32_t priority)
{
    m->provides[m->plugin.n_provides++] = (struct sx_provide){
        sizeof(struct sx_provide),
        kind,
        1,
        priority,
        name,
        0,
        kind == SX_KIND_AUTH ? (const void *)&auth_ops : (const void *)&web_ops};
    m->plugin.provides = m->provides;
}

static void needs(struct made *m, uint32_t kind, const char *name, uint32_t strength)
{
    m->needs[m->plugin.n_needs++] =
        (struct sx_need){sizeof(struct sx_need), kind, 1, strength, name};
    m->plugin.needs = m->needs;
}

/* A module that provides kind auth under its own short name. */
static struct made *provider(const char *name)
{
    struct made *m = module(name, "auth");

    provides(m, SX_KIND_AUTH, strchr(name, '-') + 1, 0);
    return m;
}

static void add(struct made *m)
{
    struct sx_err err = SX_ERR_INIT;

    if (sx_registry_add(&reg, &m->plugin, "builtin", 0, &err) != SX_OK)
        fail_msg("%s", err.msg);
}

static void problem(void *arg, const char *text)
{
    (void)arg;
    n_problems++;
    (void)strncat(problems, text, sizeof(problems) - strlen(problems) - 2);
    (void)strcat(problems, "\n");
}

static const char *no_pick(void *arg, const char *kind, const char *name)
{
    (void)arg, (void)kind, (void)name;
    return NULL;
}

static int solve_with(const char *(*pick)(void *arg, const char *kind, const char *name))
{
    struct sx_registry_solver s = {pick, problem, NULL};

    problems[0] = '\0';
    n_problems = 0;
    return sx_registry_solve(&reg, &s);
}

static int solve(void)
{
    return solve_with(no_pick);
}

static int setup(void **state)
{
    (void)state;
    n_made = 0;
    sx_registry_init(&reg, sx_mem_libc());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_registry_publish(NULL);
    sx_registry_fini(&reg);
    return 0;
}

static void order_is(const char *expected)
{
    char order[256] = "";
    uint32_t i;

    for (i = 0; i < reg.n_modules; i++) {
        (void)strcat(order, i == 0 ? "" : " ");
        (void)strcat(order, reg.modules[i].plugin->name);
    }
    assert_string_equal(order, expected);
}

/* --- order ------------------------------------------------------------------------------------ */

static void test_order_without_needs(void **state)
{
    (void)state;
    add(provider("auth-c"));
    add(provider("auth-a"));
    add(provider("auth-b"));
    assert_int_equal(solve(), SX_OK);
    order_is("auth-c auth-a auth-b");
}

static void test_order_by_needs(void **state)
{
    struct made *a, *b, *c;

    (void)state;
    a = provider("auth-a");
    b = provider("auth-b");
    c = provider("auth-c");
    needs(a, SX_KIND_AUTH, "b", SX_NEED_HARD);
    needs(b, SX_KIND_AUTH, "c", SX_NEED_SOFT);
    add(a);
    add(b);
    add(provider("auth-d"));
    add(c);
    assert_int_equal(solve(), SX_OK);
    order_is("auth-d auth-c auth-b auth-a");
}

static void test_star_waits_for_all(void **state)
{
    struct made *w = module("web-x", "web");

    (void)state;
    provides(w, SX_KIND_WEB, "x", 0);
    needs(w, SX_KIND_AUTH, "*", SX_NEED_HARD);
    add(w);
    add(provider("auth-a"));
    add(provider("auth-b"));
    assert_int_equal(solve(), SX_OK);
    order_is("auth-a auth-b web-x");
}

static void test_soft_gives_way_in_a_circle(void **state)
{
    struct made *a = provider("auth-a"), *b = provider("auth-b");

    (void)state;
    needs(a, SX_KIND_AUTH, "b", SX_NEED_HARD);
    needs(b, SX_KIND_AUTH, "a", SX_NEED_SOFT);
    add(a);
    add(b);
    assert_int_equal(solve(), SX_OK);
    order_is("auth-b auth-a");
}

static void test_hard_circle(void **state)
{
    struct made *a = provider("auth-a"), *b = provider("auth-b");

    (void)state;
    needs(a, SX_KIND_AUTH, "b", SX_NEED_HARD);
    needs(b, SX_KIND_AUTH, "a", SX_NEED_HARD);
    add(a);
    add(b);
    assert_int_not_equal(solve(), SX_OK);
    assert_non_null(strstr(problems, "circle"));
}

/* --- needs ------------------------------------------------------------------------------------ */

static void test_missing_needs_are_all_told(void **state)
{
    struct made *a = provider("auth-a"), *b = provider("auth-b");

    (void)state;
    needs(a, SX_KIND_INDEX, "hnsw", SX_NEED_HARD);
    needs(a, SX_KIND_QUANTIZER, "none", SX_NEED_SOFT);
    needs(b, SX_KIND_DISTANCE, "*", SX_NEED_HARD);
    add(a);
    add(b);
    assert_int_not_equal(solve(), SX_OK);
    assert_int_equal(n_problems, 2);
    assert_non_null(strstr(problems, "module 'auth-a' needs index 'hnsw'"));
    assert_non_null(strstr(problems, "sextant-plugin-hnsw"));
    assert_non_null(strstr(problems, "module 'auth-b' needs at least one distance"));
    assert_null(strstr(problems, "quantizer"));
}

static void test_interface_version(void **state)
{
    struct made *a = provider("auth-a"), *b = provider("auth-b");

    (void)state;
    needs(a, SX_KIND_AUTH, "b", SX_NEED_HARD);
    a->needs[0].min_iface = 2;
    add(a);
    add(b);
    assert_int_not_equal(solve(), SX_OK);
    assert_non_null(strstr(problems, "of version 2"));
}

/* --- choices ---------------------------------------------------------------------------------- */

static struct made *rival(const char *name, int32_t priority)
{
    struct made *m = module(name, "auth");

    provides(m, SX_KIND_AUTH, "same", priority);
    return m;
}

static const char *pick_low(void *arg, const char *kind, const char *name)
{
    (void)arg;
    return strcmp(kind, "auth") == 0 && strcmp(name, "same") == 0 ? "auth-low" : NULL;
}

static const char *pick_nobody(void *arg, const char *kind, const char *name)
{
    (void)arg, (void)kind, (void)name;
    return "auth-nobody";
}

static void test_priority_decides(void **state)
{
    const struct sx_provider *p;

    (void)state;
    add(rival("auth-low", 1));
    add(rival("auth-high", 2));
    assert_int_equal(solve(), SX_OK);
    p = sx_registry_find(&reg, SX_KIND_AUTH, "same");
    assert_non_null(p);
    assert_string_equal(p->module, "auth-high");
    assert_ptr_equal(sx_registry_at(&reg, SX_KIND_AUTH, 0), p);
    assert_null(sx_registry_at(&reg, SX_KIND_AUTH, 1)); /* the loser is not listed */
}

static void test_configuration_decides(void **state)
{
    (void)state;
    add(rival("auth-low", 1));
    add(rival("auth-high", 2));
    assert_int_equal(solve_with(pick_low), SX_OK);
    assert_string_equal(sx_registry_find(&reg, SX_KIND_AUTH, "same")->module, "auth-low");
    assert_int_not_equal(solve_with(pick_nobody), SX_OK);
    assert_non_null(strstr(problems, "sextant.providers.auth.same names module 'auth-nobody'"));
}

static void test_tie_is_an_error(void **state)
{
    (void)state;
    add(rival("auth-low", 5));
    add(rival("auth-other", 5));
    assert_int_not_equal(solve(), SX_OK);
    assert_int_equal(n_problems, 1);
    assert_non_null(strstr(problems, "'auth-low' and 'auth-other'"));
    assert_int_equal(solve_with(pick_low), SX_OK);
}

/* --- adding ----------------------------------------------------------------------------------- */

static void refused(struct made *m, int code, const char *text)
{
    struct sx_err err = SX_ERR_INIT;

    assert_int_equal(sx_registry_add(&reg, &m->plugin, "/x.so", 0, &err), code);
    if (strstr(err.msg, text) == NULL)
        fail_msg("'%s' lacks '%s'", err.msg, text);
}

static void test_descriptors(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    struct made *m;

    (void)state;
    m = provider("auth-a");
    add(m);
    refused(provider("auth-a"), SX_EEXIST, "from builtin");
    m = provider("auth-b");
    m->plugin.magic ^= 1;
    refused(m, SX_EABI, "");
    m = provider("auth-c");
    m->plugin.abi_major++;
    refused(m, SX_EABI, "");
    m = provider("auth-d");
    m->plugin.flags = SX_PLUGIN_STRICT;
    m->plugin.build_id = "another";
    refused(m, SX_EABI, "another");
    m = provider("auth-e");
    m->plugin.flags = SX_PLUGIN_TEST_ONLY;
    refused(m, SX_EFORBIDDEN, "allow_test_plugins");
    assert_int_equal(sx_registry_add(&reg, &m->plugin, "/x.so", 1, &err), SX_OK);
    assert_int_equal(reg.n_modules, 2);
}

/* --- instances and the service ---------------------------------------------------------------- */

static void test_service(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    const struct sx_reg *table = sx_registry_table();
    const struct sx_provider *p;
    const char *origin = NULL;
    struct made *w;

    (void)state;
    w = module("web-x", "web");
    provides(w, SX_KIND_WEB, "x", 0);
    needs(w, SX_KIND_AUTH, "a", SX_NEED_HARD);
    add(w);
    add(provider("auth-a"));
    add(provider("auth-b"));
    assert_null(table->find(SX_KIND_AUTH, "a"));
    assert_int_equal(solve(), SX_OK);
    assert_int_equal(sx_registry_instantiate(&reg, "9.8.7", &err), SX_OK);
    sx_registry_publish(&reg);
    p = table->find(SX_KIND_AUTH, "a");
    assert_non_null(p);
    assert_ptr_equal(p->ops, &auth_ops);
    assert_string_equal(p->module, "auth-a");
    assert_ptr_equal(p->self, sx_registry_module(&reg, "auth-a")->self);
    assert_int_equal((uintptr_t)p->self % 64, 0);
    assert_ptr_equal(table->at(SX_KIND_AUTH, 0), p);
    assert_string_equal(table->at(SX_KIND_AUTH, 1)->name, "b");
    assert_null(table->at(SX_KIND_AUTH, 2));
    assert_null(table->at(SX_KIND_MAX, 0));
    assert_null(table->find(SX_KIND_ENGINE, "main"));
    assert_string_equal(table->module(0, &origin)->name, "auth-a");
    assert_string_equal(origin, "builtin");
    assert_null(table->module(3, &origin));
    assert_null(table->thread_mem(p->self)); /* no thread memory, no worker */
    assert_string_equal(reg.modules[0].host->module, "auth-a");
    assert_string_equal(reg.modules[0].host->compat_version, "9.8.7");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_order_without_needs),   T(test_order_by_needs),
        T(test_star_waits_for_all),    T(test_soft_gives_way_in_a_circle),
        T(test_hard_circle),           T(test_missing_needs_are_all_told),
        T(test_interface_version),     T(test_priority_decides),
        T(test_configuration_decides), T(test_tie_is_an_error),
        T(test_descriptors),           T(test_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
