/* needs: kernel/req.c kernel/registry.c kernel/conf_*.c kernel/mem.c kernel/lock.c */
/* needs: kernel/exec*.c */
/* needs: kernel/strand.c kernel/epoch.c kernel/time.c kernel/cpu.c kernel/host.c kernel/telem*.c */
/* needs: kernel/io*.c kernel/log*.c kernel/loop.c kernel/crypto.c kernel/panic.c */
/* needs: kernel/procstat.c */
/* libs: libevent_core */
/* Requests: every operation is answered exactly once and by the right party; nobody gets in without
 * what the modules of kind auth demand; deadlines, counters and the count of open operations. */

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

#include "kernel/req.h"
#include "kernel/telem.h"

/* --- an engine that does what the test says ----------------------------------------------------
 */

static struct {
    int serves, ready, rc; /* rc: answer of submit; SX_OK = taken */
    int answers;           /* taken operations are answered at once */
    struct sx_op *held;
    uint32_t n_submits, n_cancels, n_access;
} eng;

static void reply_ok(struct sx_op *op, int code)
{
    struct sx_reply r = {.size = sizeof(r), .code = code, .kind = SX_R_BOOL};

    r.u.boolean = 1;
    op->done(op, &r);
}

static void eng_access(void *self, const struct sx_op *op, struct sx_access_sink *sink)
{
    struct sx_access a = {.need = SX_OPC_READ};
    uint32_t i;

    (void)self, (void)op;
    for (i = 0; i < eng.n_access; i++) {
        a.pad = i;
        sink->add(sink, &a);
    }
}

static int eng_submit(void *self, struct sx_op *op)
{
    (void)self;
    eng.n_submits++;
    if (eng.rc != SX_OK)
        return eng.rc;
    if (eng.answers)
        reply_ok(op, SX_OK);
    else
        eng.held = op;
    return SX_OK;
}

static void eng_cancel(void *self, struct sx_op *op)
{
    (void)self;
    assert_int_equal(op->cancelled, 1);
    eng.n_cancels++;
}

static int eng_serves(void *self, uint32_t code)
{
    (void)self, (void)code;
    return eng.serves;
}

static int eng_ready(void *self)
{
    (void)self;
    return eng.ready;
}

static const struct sx_engine_ops engine_ops = {
    sizeof(engine_ops), 0, eng_access, eng_submit, eng_cancel, eng_serves, eng_ready};

/* --- two auth modules ---------------------------------------------------------------------------
 */

struct auth {
    int required, verdict, deny_code, may;
    uint32_t n_asked, n_released, n_access;
    struct sx_identity id;
};
static struct auth one, two;

static int a_required(void *self)
{
    return (*(struct auth **)self)->required;
}

static int a_authenticate(void *self,
                          const struct sx_credential *c,
                          const struct sx_identity **out,
                          struct sx_err *err)
{
    struct auth *a = *(struct auth **)self;

    (void)c;
    a->n_asked++;
    if (a->verdict == SX_AUTH_ALLOW)
        *out = &a->id;
    if (a->verdict == SX_AUTH_DENY && a->deny_code != 0)
        (void)sx_err_set(err, a->deny_code, "denied by module");
    return a->verdict;
}

static int a_authorize(void *self,
                       const struct sx_identity *id,
                       const struct sx_op *op,
                       const struct sx_access *access,
                       uint32_t n,
                       struct sx_err *err)
{
    struct auth *a = *(struct auth **)self;
    uint32_t i;

    (void)op;
    assert_ptr_equal(id, &a->id);
    a->n_access = n;
    for (i = 0; i < n; i++)
        assert_int_equal(access[i].pad, i);
    return a->may ? SX_OK : sx_err_set(err, SX_EFORBIDDEN, "Global read access is required");
}

static void a_release(void *self, const struct sx_identity *id)
{
    (void)id;
    (*(struct auth **)self)->n_released++;
}

static const struct sx_auth_ops auth_ops = {sizeof(auth_ops), 0,           a_required,
                                            a_authenticate,   a_authorize, a_release};

/* --- the registry under test --------------------------------------------------------------------
 */

static int configure(void *self, const void *conf, struct sx_err *err)
{
    (void)self, (void)conf, (void)err;
    return SX_OK;
}

#define PROVIDE(k, iface, n, o)                                                                    \
    {                                                                                              \
        .size = sizeof(struct sx_provide), .kind = (k), .iface_version = (iface), .name = (n),     \
        .ops = (o)                                                                                 \
    }
static const struct sx_provide mod_engine_provides[] = {
    PROVIDE(SX_KIND_ENGINE, SX_ENGINE_IFACE, "main", &engine_ops)};
static const struct sx_provide mod_one_provides[] = {
    PROVIDE(SX_KIND_AUTH, SX_AUTH_IFACE, "one", &auth_ops)};
static const struct sx_provide mod_two_provides[] = {
    PROVIDE(SX_KIND_AUTH, SX_AUTH_IFACE, "two", &auth_ops)};
static const struct sx_key one_keys[] = {
    {sizeof(struct sx_key), SX_KEY_STR, SX_KEY_SECRET, 0, "service.api_key", NULL, 1, 0, "a key"}};

#define MODULE(ident, n, k)                                                                        \
    static const struct sx_plugin ident = {                                                        \
        .size = sizeof(struct sx_plugin),                                                          \
        .abi_major = SX_ABI_MAJOR,                                                                 \
        .abi_minor = SX_ABI_MINOR,                                                                 \
        .magic = SX_PLUGIN_MAGIC,                                                                  \
        .name = n,                                                                                 \
        .version = "1",                                                                            \
        .licence = "MIT",                                                                          \
        .build_id = SX_BUILD_ID,                                                                   \
        .summary = "a module of the tests",                                                        \
        .section = n " kinds=" k " abi=1.0",                                                       \
        .provides = ident##_provides,                                                              \
        .n_provides = 1,                                                                           \
        .provide_size = sizeof(struct sx_provide),                                                 \
        .need_size = sizeof(struct sx_need),                                                       \
        .keys = one_keys,                                                                          \
        .n_keys = 1,                                                                               \
        .key_size = sizeof(struct sx_key),                                                         \
        .conf_size = 8,                                                                            \
        .instance_size = sizeof(struct auth *),                                                    \
        .configure = configure,                                                                    \
    }
MODULE(mod_engine, "engine", "engine");
MODULE(mod_one, "auth-one", "auth");
MODULE(mod_two, "auth-two", "auth");

static struct sx_registry reg;
static struct sx_arena arena;
static struct sx_op op;
static uint32_t n_done;
static int32_t done_code;
static char done_text[256];

static void on_done(struct sx_op *o, const struct sx_reply *reply)
{
    assert_ptr_equal(o, &op);
    assert_ptr_equal(o->arg, &n_done); /* the transport's own again */
    assert_ptr_equal(o->done, on_done);
    n_done++;
    done_code = reply->code;
    (void)snprintf(done_text, sizeof(done_text), "%.*s", (int)reply->err.n,
                   reply->err.p != NULL ? reply->err.p : "");
}

static void add(const struct sx_plugin *p)
{
    struct sx_err err = SX_ERR_INIT;

    if (sx_registry_add(&reg, p, "builtin", 0, &err) != SX_OK)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    struct sx_registry_solver solver = {0};
    struct sx_err err = SX_ERR_INIT;
    struct auth *a = &one, *b = &two;

    (void)state;
    memset(&eng, 0, sizeof(eng));
    eng.serves = eng.ready = eng.answers = 1;
    eng.n_access = 1;
    memset(&one, 0, sizeof(one));
    one.verdict = SX_AUTH_PASS;
    one.may = 1;
    two = one;
    sx_registry_init(&reg, sx_mem_libc());
    add(&mod_engine);
    add(&mod_one);
    add(&mod_two);
    assert_int_equal(sx_registry_solve(&reg, &solver), SX_OK);
    assert_int_equal(sx_registry_instantiate(&reg, "1", &err), SX_OK);
    memcpy(sx_registry_module(&reg, "auth-one")->self, &a, sizeof(a));
    memcpy(sx_registry_module(&reg, "auth-two")->self, &b, sizeof(b));
    one.id = (struct sx_identity){sizeof(one.id), 0, sx_registry_module(&reg, "auth-one")->self,
                                  &auth_ops, NULL};
    two.id = (struct sx_identity){sizeof(two.id), 0, sx_registry_module(&reg, "auth-two")->self,
                                  &auth_ops, NULL};
    sx_req_init(&reg, 60);
    sx_arena_init(&arena, sx_mem_libc(), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sx_arena_fini(&arena);
    sx_req_fini();
    sx_telem_fini();
    sx_registry_fini(&reg);
    return 0;
}

/* Submits a fresh operation; its outcome is in n_done, done_code, done_text. */
static void submit_as(uint32_t code, const struct sx_identity *id, uint32_t flags)
{
    memset(&op, 0, sizeof(op));
    op.size = sizeof(op);
    op.code = code;
    op.flags = flags;
    op.arena = &arena;
    op.identity = id;
    op.done = on_done;
    op.arg = &n_done;
    n_done = 0;
    done_code = 1;
    sx_req_table()->submit(&op);
}

static void submit(uint32_t code)
{
    submit_as(code, NULL, 0);
}

/* --- answering ----------------------------------------------------------------------------------
 */

static void test_answered_at_once(void **state)
{
    (void)state;
    submit(SX_OP_COLLECTIONS_LIST);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_OK);
    assert_int_equal(sx_req_open(), 0);
}

static void test_answered_later(void **state)
{
    (void)state;
    eng.answers = 0;
    submit(SX_OP_COLLECTIONS_LIST);
    assert_int_equal(n_done, 0);
    assert_int_equal(sx_req_open(), 1);
    sx_req_table()->cancel(&op);
    assert_int_equal(eng.n_cancels, 1);
    reply_ok(eng.held, SX_ECANCELED);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_ECANCELED);
    assert_int_equal(sx_req_open(), 0);
}

static void test_refusals_are_answered_once(void **state)
{
    (void)state;
    eng.rc = SX_EAGAIN;
    submit(SX_OP_QUERY);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EAGAIN);
    eng.rc = SX_OK;
    eng.serves = 0;
    submit(SX_OP_ISSUES_GET);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EUNSUPPORTED);
    assert_int_equal(eng.n_submits, 1);
    submit(SX_OP__N + 5);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EUNSUPPORTED);
    eng.serves = 1;
    sx_req_close();
    submit(SX_OP_QUERY);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EUNAVAIL);
    assert_int_equal(sx_req_table()->ready(), 0);
    assert_int_equal(sx_req_open(), 0);
}

static void test_out_of_memory(void **state)
{
    struct sx_arena small;

    (void)state;
    sx_arena_init(&small, sx_mem_libc(), 1);
    memset(&op, 0, sizeof(op));
    op.code = SX_OP_QUERY;
    op.arena = &small;
    op.done = on_done;
    op.arg = &n_done;
    n_done = 0;
    sx_req_table()->submit(&op);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_ENOMEM);
    assert_int_equal(eng.n_submits, 0);
    sx_arena_fini(&small);
}

static void test_without_engine(void **state)
{
    struct sx_registry none;

    (void)state;
    sx_registry_init(&none, sx_mem_libc());
    sx_req_init(&none, 0);
    submit(SX_OP_ROOT);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EUNSUPPORTED);
    assert_int_equal(sx_req_table()->serves(SX_OP_ROOT), 0);
    assert_int_equal(sx_req_table()->ready(), 0);
    sx_registry_fini(&none);
}

/* --- deadlines ----------------------------------------------------------------------------------
 */

static void test_deadlines(void **state)
{
    (void)state;
    submit(SX_OP_QUERY); /* a read: the configured 60 s */
    assert_true(op.start_ns != 0);
    assert_true(op.deadline_ns == op.start_ns + 60000000000u);
    submit(SX_OP_POINTS_UPSERT); /* a write has none of its own */
    assert_true(op.deadline_ns == 0);
    memset(&op, 0, sizeof(op));
    op.code = SX_OP_QUERY;
    op.arena = &arena;
    op.done = on_done;
    op.arg = &n_done;
    op.start_ns = 1000;
    op.timeout_ms = 3;
    sx_req_table()->submit(&op);
    assert_true(op.deadline_ns == 1000 + 3000000);
    sx_req_read_timeout(0);
    submit(SX_OP_QUERY);
    assert_true(op.deadline_ns == 0);
}

/* --- authentication -----------------------------------------------------------------------------
 */

static int
ask(uint32_t scheme, const char *value, const struct sx_identity **id, struct sx_err *err)
{
    struct sx_credential c = {.size = sizeof(c), .scheme = scheme};

    *err = (struct sx_err)SX_ERR_INIT;
    c.value.p = value;
    c.value.n = value != NULL ? (uint32_t)strlen(value) : 0;
    return sx_req_table()->authenticate(&c, id, err);
}

static void test_nobody_demands(void **state)
{
    const struct sx_identity *id = &one.id;
    struct sx_err err;

    (void)state;
    assert_int_equal(ask(SX_CRED_API_KEY, "any", &id, &err), SX_OK);
    assert_null(id);
    assert_int_equal(one.n_asked, 0);
    sx_req_table()->release(NULL);
}

static void test_chain(void **state)
{
    const struct sx_identity *id;
    struct sx_err err;

    (void)state;
    two.required = 1; /* one module demanding is enough to ask all of them */
    assert_int_equal(ask(SX_CRED_NONE, NULL, &id, &err), SX_EUNAUTH);
    assert_string_equal(err.msg, "Must provide an API key or an Authorization bearer token");
    assert_null(id);
    assert_int_equal(ask(SX_CRED_API_KEY, "k", &id, &err), SX_EUNAUTH);
    assert_string_equal(err.msg, "Invalid API key or JWT");
    two.verdict = SX_AUTH_ALLOW;
    assert_int_equal(ask(SX_CRED_API_KEY, "k", &id, &err), SX_OK);
    assert_ptr_equal(id, &two.id);
    sx_req_table()->release(id);
    assert_int_equal(two.n_released, 1);
    assert_int_equal(one.n_released, 0);
    one.verdict = SX_AUTH_DENY; /* asked first: its word is final */
    one.deny_code = SX_EFORBIDDEN;
    two.n_asked = 0;
    assert_int_equal(ask(SX_CRED_BEARER, "k", &id, &err), SX_EFORBIDDEN);
    assert_string_equal(err.msg, "denied by module");
    assert_int_equal(two.n_asked, 0);
    one.deny_code = 0; /* a module that denies without saying why */
    assert_int_equal(ask(SX_CRED_BEARER, "k", &id, &err), SX_EUNAUTH);
    assert_null(id);
}

/* --- authorisation ------------------------------------------------------------------------------
 */

static void test_authorize(void **state)
{
    (void)state;
    one.required = 1;
    eng.n_access = 37; /* more than the first portion of the list */
    submit_as(SX_OP_QUERY_BATCH, &one.id, 0);
    assert_int_equal(done_code, SX_OK);
    assert_int_equal(one.n_access, 37);
    one.may = 0;
    submit_as(SX_OP_QUERY_BATCH, &one.id, 0);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EFORBIDDEN);
    assert_string_equal(done_text, "Global read access is required");
    assert_int_equal(eng.n_submits, 1);
}

static void test_a_forgetful_transport_opens_no_door(void **state)
{
    (void)state;
    one.required = 1;
    submit(SX_OP_COLLECTIONS_LIST);
    assert_int_equal(n_done, 1);
    assert_int_equal(done_code, SX_EUNAUTH);
    assert_int_equal(eng.n_submits, 0);
    submit(SX_OP_HEALTHZ); /* public */
    assert_int_equal(done_code, SX_OK);
    submit_as(SX_OP_COLLECTIONS_LIST, NULL, SX_OP_INTERNAL);
    assert_int_equal(done_code, SX_OK);
}

static void test_keys_need_their_module(void **state)
{
    const char *env[] = {"QDRANT__SERVICE__API_KEY=k", NULL};
    const char *env2[] = {"QDRANT__SERVICE__READ_ONLY_API_KEY=k", NULL};
    const char *env3[] = {"QDRANT__SERVICE__JWT_RBAC=true", "QDRANT__SERVICE__API_KEY=k", NULL};
    const char *env4[] = {"QDRANT__SERVICE__JWT_RBAC=true", NULL};
    struct sx_conf_args args = {0};
    struct sx_err err = SX_ERR_INIT;
    struct sx_conf c;

    (void)state;
    args.env = (char *const *)(uintptr_t)env;
    assert_int_equal(sx_conf_open(&c, sx_mem_libc(), &args, &err), SX_OK);
    assert_int_equal(sx_req_check_auth(&c, &reg, &err), SX_OK);
    sx_conf_close(&c);
    args.env = (char *const *)(uintptr_t)env2;
    assert_int_equal(sx_conf_open(&c, sx_mem_libc(), &args, &err), SX_OK);
    assert_int_not_equal(sx_req_check_auth(&c, &reg, &err), SX_OK);
    assert_non_null(strstr(err.msg, "service.read_only_api_key"));
    sx_conf_close(&c);
    args.env = (char *const *)(uintptr_t)env3;
    assert_int_equal(sx_conf_open(&c, sx_mem_libc(), &args, &err), SX_OK);
    assert_int_not_equal(sx_req_check_auth(&c, &reg, &err), SX_OK);
    assert_non_null(strstr(err.msg, "service.jwt_rbac"));
    sx_conf_close(&c);
    args.env = (char *const *)(uintptr_t)env4; /* without a key only a warning */
    assert_int_equal(sx_conf_open(&c, sx_mem_libc(), &args, &err), SX_OK);
    assert_int_equal(sx_req_check_auth(&c, &reg, &err), SX_OK);
    sx_conf_close(&c);
}

/* --- counters -----------------------------------------------------------------------------------
 */

struct seen {
    struct sx_sample_sink sink;
    double total, errors;
    uint64_t durations;
    uint32_t n_bounds;
};

static void see(struct sx_sample_sink *s, const struct sx_sample *m)
{
    struct seen *seen = s->arg;

    if (strcmp(m->labels, "op=\"count\"") != 0)
        return;
    if (strcmp(m->name, "sextant_operations_total") == 0)
        seen->total = m->value;
    if (strcmp(m->name, "sextant_operation_errors_total") == 0)
        seen->errors = m->value;
    if (strcmp(m->name, "sextant_operation_duration_seconds") == 0) {
        seen->durations = m->count;
        seen->n_bounds = m->n_buckets;
    }
}

static void test_counters(void **state)
{
    struct seen seen = {.sink = {see, &seen}};

    (void)state;
    submit(SX_OP_COUNT);
    submit(SX_OP_COUNT);
    submit_as(SX_OP_COUNT, NULL, SX_OP_INTERNAL);
    eng.rc = SX_EAGAIN;
    submit(SX_OP_COUNT);
    sx_telem_table()->walk(&seen.sink);
    assert_true(seen.total == 3);
    assert_true(seen.errors == 1);
    assert_int_equal(seen.durations, 3);
    assert_true(seen.n_bounds >= 11);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_answered_at_once),
        T(test_answered_later),
        T(test_refusals_are_answered_once),
        T(test_out_of_memory),
        T(test_without_engine),
        T(test_deadlines),
        T(test_nobody_demands),
        T(test_chain),
        T(test_authorize),
        T(test_a_forgetful_transport_opens_no_door),
        T(test_keys_need_their_module),
        T(test_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
