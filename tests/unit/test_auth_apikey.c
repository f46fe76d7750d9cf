/* needs: plugins/auth-apikey/?*.c */
/* auth-apikey through its descriptor: who gets in, with which rights, before and after a reload. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"

extern const struct sx_plugin auth_apikey_LTX_sx_plugin;
#define PLUGIN (&auth_apikey_LTX_sx_plugin)

/* --- a host with the three services the module takes ---------------------------------------------
 */

static int in_section, retired;

static void epoch_enter(void)
{
    in_section++;
}

static void epoch_leave(void)
{
    in_section--;
}

static void epoch_retire(void (*fn)(void *arg), void *arg)
{
    retired++;
    fn(arg);
}

static const struct sx_epoch epoch = {
    .size = (uint32_t)sizeof(struct sx_epoch),
    .enter = epoch_enter,
    .leave = epoch_leave,
    .retire = epoch_retire,
};

static int crypto_calls;

static int crypto_equal(const void *a, const void *b, uint64_t n)
{
    crypto_calls++;
    return memcmp(a, b, n) == 0;
}

static const struct sx_crypto crypto = {
    .size = (uint32_t)sizeof(struct sx_crypto),
    .equal = crypto_equal,
};

static const void *host_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    (void)self;
    (void)min_size;
    if (strcmp(service, "sx.epoch") == 0)
        return &epoch;
    if (strcmp(service, "sx.crypto") == 0)
        return &crypto;
    return NULL;
}

static void
host_log(const struct sx_host *self, uint32_t level, const char *room, const char *fmt, ...)
{
    (void)self;
    (void)level;
    (void)room;
    (void)fmt;
}

static struct sx_host host;
static uint64_t instance[64];
static const struct sx_auth_ops *ops;

static void start(const char *key, const char *alt, const char *read_only)
{
    const char *conf[3] = {key, alt, read_only};
    struct sx_err err = SX_ERR_INIT;

    host.size = (uint32_t)sizeof(host);
    host.mem = sx_mem_libc();
    host.get = host_get;
    host.log = host_log;
    memset(instance, 0, sizeof(instance));
    assert_true(PLUGIN->instance_size <= sizeof(instance));
    assert_int_equal(PLUGIN->conf_size, sizeof(conf));
    assert_int_equal(PLUGIN->load(&host, instance, &err), 0);
    assert_int_equal(PLUGIN->configure(instance, conf, &err), 0);
    ops = PLUGIN->provides[0].ops;
    retired = 0;
}

static void stop(void)
{
    assert_int_equal(in_section, 0);
    PLUGIN->stop(instance);
}

static int
ask(uint32_t scheme, const char *value, const struct sx_identity **id, struct sx_err *err)
{
    struct sx_credential c = {(uint32_t)sizeof(c), scheme, {value, 0, 0}, {"127.0.0.1", 9, 0}};

    c.value.n = value != NULL ? (uint32_t)strlen(value) : 0;
    *id = NULL;
    *err = (struct sx_err)SX_ERR_INIT;
    return ops->authenticate(instance, &c, id, err);
}

static int may(const struct sx_identity *id, uint32_t code, uint32_t need, struct sx_err *err)
{
    struct sx_op op = {.size = (uint32_t)sizeof(op), .code = code};
    struct sx_access access[2] = {{{"a", 1, 0}, SX_OPC_READ, 0}, {{"b", 1, 0}, need, 0}};

    *err = (struct sx_err)SX_ERR_INIT;
    return ops->authorize(instance, id, &op, access, need == SX_OPC_SERVICE ? 0 : 2, err);
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void test_no_keys(void **state)
{
    const struct sx_identity *id;
    struct sx_err err;

    (void)state;
    start(NULL, "", NULL);
    assert_int_equal(ops->required(instance), 0);
    assert_int_equal(ask(SX_CRED_NONE, NULL, &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "x", &id, &err), SX_AUTH_PASS);
    assert_null(id);
    stop();
}

static void test_verdicts(void **state)
{
    const struct sx_identity *full, *alt, *reader, *id;
    struct sx_err err;

    (void)state;
    start("0123456789", "other", "look");
    assert_int_equal(ops->required(instance), 1);
    assert_int_equal(ask(SX_CRED_NONE, NULL, &id, &err), SX_AUTH_DENY);
    assert_int_equal(err.code, SX_EUNAUTH);
    assert_string_equal(err.msg, "Must provide an API key or an Authorization bearer token");
    assert_int_equal(ask(SX_CRED_API_KEY, "0123456789", &full, &err), SX_AUTH_ALLOW);
    assert_int_equal(ask(SX_CRED_BEARER, "other", &alt, &err), SX_AUTH_ALLOW);
    assert_int_equal(ask(SX_CRED_BEARER, "look", &reader, &err), SX_AUTH_ALLOW);
    assert_ptr_equal(full, alt);
    assert_ptr_not_equal(full, reader);
    /* A wrong one may still be somebody else's token. */
    assert_int_equal(ask(SX_CRED_API_KEY, "", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "0123456780", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "01234567890", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "012345678", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_BEARER, "LOOK", &id, &err), SX_AUTH_PASS);
    ops->release(instance, full);
    ops->release(instance, reader);
    stop();
}

static void test_only_reader(void **state)
{
    const struct sx_identity *reader;
    struct sx_err err;

    (void)state;
    start(NULL, NULL, "look");
    assert_int_equal(ops->required(instance), 1);
    assert_int_equal(ask(SX_CRED_NONE, NULL, &reader, &err), SX_AUTH_DENY);
    assert_int_equal(ask(SX_CRED_API_KEY, "look", &reader, &err), SX_AUTH_ALLOW);
    assert_int_equal(may(reader, SX_OP_POINTS_UPSERT, SX_OPC_WRITE, &err), SX_EFORBIDDEN);
    stop();
}

static void test_rights(void **state)
{
    const struct sx_identity *full, *reader;
    struct sx_err err;

    (void)state;
    start("all", NULL, "look");
    assert_int_equal(ask(SX_CRED_API_KEY, "all", &full, &err), SX_AUTH_ALLOW);
    assert_int_equal(ask(SX_CRED_API_KEY, "look", &reader, &err), SX_AUTH_ALLOW);
    for (uint32_t need = SX_OPC_READ; need <= SX_OPC_MANAGE; need++)
        assert_int_equal(may(full, SX_OP_SCROLL, need, &err), 0);
    assert_int_equal(may(reader, SX_OP_QUERY, SX_OPC_READ, &err), 0);
    assert_int_equal(may(reader, SX_OP_POINTS_DELETE, SX_OPC_WRITE, &err), SX_EFORBIDDEN);
    assert_string_equal(err.msg, "Global manage access is required");
    assert_int_equal(may(reader, SX_OP_COLLECTION_DELETE, SX_OPC_MANAGE, &err), SX_EFORBIDDEN);
    assert_string_equal(err.msg, "Global manage access is required");
    /* Nothing touched: the class of the operation decides. */
    assert_int_equal(may(reader, SX_OP_COLLECTIONS_LIST, SX_OPC_SERVICE, &err), 0);
    assert_int_equal(may(reader, SX_OP_ISSUES_CLEAR, SX_OPC_SERVICE, &err), SX_EFORBIDDEN);
    assert_int_equal(may(reader, SX_OP__N, SX_OPC_SERVICE, &err), SX_EFORBIDDEN);
    stop();
}

static void test_same_text_twice(void **state)
{
    const struct sx_identity *full, *both;
    struct sx_err err;

    (void)state;
    start("same", "alt", "same");
    assert_int_equal(ask(SX_CRED_API_KEY, "alt", &full, &err), SX_AUTH_ALLOW);
    assert_int_equal(ask(SX_CRED_API_KEY, "same", &both, &err), SX_AUTH_ALLOW);
    assert_ptr_equal(full, both);
    stop();
}

static void test_all_keys_are_compared(void **state)
{
    const struct sx_identity *id;
    struct sx_err err;

    (void)state;
    start("aaaa", "bbbb", "cccc");
    crypto_calls = 0;
    assert_int_equal(ask(SX_CRED_API_KEY, "aaaa", &id, &err), SX_AUTH_ALLOW);
    assert_int_equal(crypto_calls, 3);
    assert_int_equal(ask(SX_CRED_API_KEY, "zzzz", &id, &err), SX_AUTH_PASS);
    assert_int_equal(crypto_calls, 6);
    stop();
}

static void test_reload(void **state)
{
    const char *conf[3] = {"new", NULL, NULL};
    const char *none[3] = {NULL, NULL, NULL};
    const struct sx_identity *before, *id;
    struct sx_err err;

    (void)state;
    start("old", NULL, NULL);
    assert_int_equal(ask(SX_CRED_API_KEY, "old", &before, &err), SX_AUTH_ALLOW);
    assert_int_equal(PLUGIN->reload(instance, conf, &err), 0);
    assert_int_equal(retired, 1);
    assert_int_equal(ask(SX_CRED_API_KEY, "old", &id, &err), SX_AUTH_PASS);
    assert_int_equal(ask(SX_CRED_API_KEY, "new", &id, &err), SX_AUTH_ALLOW);
    /* An identity of a request that is still running keeps its rights. */
    assert_int_equal(may(before, SX_OP_POINTS_UPSERT, SX_OPC_WRITE, &err), 0);
    assert_int_equal(PLUGIN->reload(instance, none, &err), 0);
    assert_int_equal(ops->required(instance), 0);
    stop();
}

static void test_key_table(void **state)
{
    (void)state;
    assert_int_equal(PLUGIN->n_keys, 3);
    for (uint32_t i = 0; i < PLUGIN->n_keys; i++) {
        const struct sx_key *k = &PLUGIN->keys[i];
        assert_int_equal(k->type, SX_KEY_STR);
        assert_int_equal(k->flags, SX_KEY_SECRET | SX_KEY_OPTIONAL | SX_KEY_RELOADABLE);
        assert_int_equal(strncmp(k->path, "service.", 8), 0);
        assert_true(k->offset + sizeof(char *) <= PLUGIN->conf_size);
        /* Tokens are not this module's. */
        assert_string_not_equal(k->path, "service.jwt_rbac");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_keys),         cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_only_reader),     cmocka_unit_test(test_rights),
        cmocka_unit_test(test_same_text_twice), cmocka_unit_test(test_all_keys_are_compared),
        cmocka_unit_test(test_reload),          cmocka_unit_test(test_key_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
