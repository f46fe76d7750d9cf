/* needs: tests/plugins/null_?*.c */
/* The kinds without a real implementation: their null modules are used once from begin to end, as
 * the engine would, so that a header that cannot be implemented or called shows here. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "sextant/sx_consensus.h"
#include "sextant/sx_objstore.h"
#include "sextant/sx_plugin.h"
#include "sextant/sx_quantizer.h"
#include "sextant/sx_tokenizer.h"

extern const struct sx_plugin null_quantizer_LTX_sx_plugin, null_objstore_LTX_sx_plugin,
    null_tokenizer_LTX_sx_plugin, null_consensus_LTX_sx_plugin;

static const void *host_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    (void)self;
    (void)service;
    (void)min_size;
    return NULL;
}

static uint64_t instance[32];

/* Checks the descriptor, loads the module, returns its table. */
static const void *use(const struct sx_plugin *p, uint32_t kind)
{
    static struct sx_host host;
    struct sx_err err = SX_ERR_INIT;

    host.size = (uint32_t)sizeof(host);
    host.mem = sx_mem_libc();
    host.get = host_get;
    assert_int_equal(p->size, sizeof(*p));
    assert_int_equal(p->magic, SX_PLUGIN_MAGIC);
    assert_int_equal(p->flags & SX_PLUGIN_TEST_ONLY, SX_PLUGIN_TEST_ONLY);
    assert_int_equal(p->n_provides, 1);
    assert_int_equal(p->provides[0].kind, kind);
    assert_int_equal(p->provides[0].iface_version, 0);
    assert_true(p->instance_size <= sizeof(instance));
    memset(instance, 0, sizeof(instance));
    if (p->load != NULL)
        assert_int_equal(p->load(&host, instance, &err), 0);
    assert_non_null(p->provides[0].ops);
    return p->provides[0].ops;
}

static void test_quantizer(void **state)
{
    const struct sx_quantizer_ops *ops = use(&null_quantizer_LTX_sx_plugin, SX_KIND_QUANTIZER);
    const float rows[3][4] = {{1, 2, 3, 4}, {-1, 0, 1, 0}, {0.5f, 0.5f, 0.5f, 0.5f}};
    const float q[4] = {1, 1, 1, 1};
    struct sx_quantizer_source source = {.size = (uint32_t)sizeof(source), .dim = 4};
    struct sx_kernel kernel = {.size = (uint32_t)sizeof(kernel)};
    struct sx_err err = SX_ERR_INIT;
    uint32_t bytes, align, ids[2] = {2, 0}, cancel = 1;
    float codes[3][4], query[4], back[4], out[3];
    const uint8_t *chunk = (const uint8_t *)codes;
    struct sx_rows table = {(uint32_t)sizeof(table), 16, 16, 3, &chunk};
    struct sx_doc none = {0};
    void *h = NULL;

    (void)state;
    assert_int_equal(ops->check_params(instance, 0, none, &err), SX_EINPUT);
    assert_int_equal(ops->train(instance, &source, none, &cancel, NULL, NULL, &h, &err),
                     SX_ECANCELED);
    assert_null(h);
    assert_int_equal(ops->train(instance, &source, none, NULL, NULL, NULL, &h, &err), 0);
    ops->code_size(instance, h, &bytes, &align);
    assert_int_equal(bytes, 16);
    assert_int_equal(ops->scratch_size(instance, h), 0);
    ops->encode_rows(instance, h, rows[0], 3, codes, 16, NULL);
    ops->encode_query(instance, h, q, query, NULL);
    assert_int_equal(ops->resolve(instance, h, 0, &kernel), 0);
    kernel.score_rows(query, &table, 0, 3, 4, out);
    assert_true(out[0] == 10 && out[1] == 0 && out[2] == 2);
    kernel.score_ids(query, &table, ids, 2, 4, out);
    assert_true(out[0] == 2 && out[1] == 10);
    assert_int_equal(ops->resolve_sym(instance, h, 0, &kernel), 0);
    assert_true(kernel.pair(codes[0], codes[1], 4) == 2);
    ops->decode(instance, h, codes[1], back, NULL);
    assert_memory_equal(back, rows[1], sizeof(back));
    assert_true(ops->bound(instance, h, query, codes[0]) == 0);
    ops->destroy(instance, h);
}

static void test_objstore(void **state)
{
    const struct sx_objstore_ops *ops = use(&null_objstore_LTX_sx_plugin, SX_KIND_OBJSTORE);
    struct sx_objstore_conf conf = {.size = (uint32_t)sizeof(conf)};
    struct sx_objstore_stat st = {.size = (uint32_t)sizeof(st)};
    struct sx_objstore_put how = {.size = (uint32_t)sizeof(how)};
    struct sx_str name = {"a/b", 3, 0}, empty = {"", 0, 0};
    struct sx_err err = SX_ERR_INIT;
    uint32_t cancel = 0;
    void *store, *put, *get;

    (void)state;
    assert_int_equal(ops->check_conf(instance, &conf, &err), 0);
    assert_int_equal(ops->open(instance, &conf, &store, &err), 0);
    assert_int_equal(ops->put_begin(instance, store, empty, &how, &put, &err), SX_EINPUT);
    how.cancel = &cancel;
    assert_int_equal(ops->put_begin(instance, store, name, &how, &put, &err), 0);
    assert_int_equal(ops->put_write(instance, put, "xyz", 3, &err), 0);
    assert_int_equal(ops->put_commit(instance, put, NULL, &st, &err), 0);
    assert_int_equal(st.bytes, 3);
    assert_int_equal(ops->put_begin(instance, store, name, &how, &put, &err), 0);
    cancel = 1;
    assert_int_equal(ops->put_write(instance, put, "xyz", 3, &err), SX_ECANCELED);
    ops->put_abort(instance, put);
    assert_int_equal(ops->get_open(instance, store, name, 0, 0, NULL, &get, &err), SX_ENOTFOUND);
    assert_int_equal(ops->stat(instance, store, name, NULL, &st, &err), SX_ENOTFOUND);
    assert_int_equal(ops->remove(instance, store, name, NULL, &err), SX_ENOTFOUND);
    assert_int_equal(ops->list(instance, store, empty, NULL, NULL, NULL, &err), 0);
    ops->close(instance, store);
}

static int keep_token(void *arg, const struct sx_token *t)
{
    struct sx_token *out = arg;

    *out = *t;
    return 7;
}

static void test_tokenizer(void **state)
{
    const struct sx_tokenizer_ops *ops = use(&null_tokenizer_LTX_sx_plugin, SX_KIND_TOKENIZER);
    struct sx_str text = {"one two", 7, 0}, empty = {"", 0, 0};
    struct sx_token t = {.position = 9};
    struct sx_doc none = {0};
    struct sx_err err = SX_ERR_INIT;
    void *h;

    (void)state;
    assert_int_equal(ops->open(instance, none, &h, &err), 0);
    assert_true(ops->version(instance, h) != 0);
    assert_int_equal(ops->scratch_size(instance, h), 0);
    assert_int_equal(ops->split(instance, h, text, NULL, NULL, keep_token, &t, &err), 7);
    assert_ptr_equal(t.p, text.p);
    assert_int_equal(t.n, 7);
    assert_int_equal(t.position, 0);
    assert_int_equal(ops->split(instance, h, empty, NULL, NULL, keep_token, &t, &err), 0);
    ops->close(instance, h);
}

/* --- consensus ----------------------------------------------------------------------------------
 */

static uint64_t applied_index;
static int answered;

static void on_apply(void *ctx, uint64_t index, const void *cmd, uint64_t n, struct sx_buf *reply)
{
    (void)ctx;
    assert_int_equal(index, applied_index + 1);
    applied_index = index;
    sx_buf_adds(reply, "did ");
    sx_buf_add(reply, cmd, n);
}

static void on_done(struct sx_consensus_done *d, int rc, const void *reply, uint64_t n)
{
    const char *want = d->arg;

    answered++;
    assert_int_equal(rc, want != NULL ? SX_OK : SX_ETIMEOUT);
    if (want != NULL) {
        assert_int_equal(n, strlen(want));
        assert_memory_equal(reply, want, n);
    }
}

static void on_member(void *arg, const struct sx_peer *p)
{
    uint64_t *id = arg;

    *id = p->id;
    assert_int_equal(p->role, SX_PEER_VOTER);
}

static void test_consensus(void **state)
{
    const struct sx_consensus_ops *ops = use(&null_consensus_LTX_sx_plugin, SX_KIND_CONSENSUS);
    struct sx_consensus_host host = {.size = (uint32_t)sizeof(host), .apply = on_apply};
    struct sx_consensus_conf conf = {.size = (uint32_t)sizeof(conf), .peer_id = 42};
    struct sx_consensus_state st = {.size = (uint32_t)sizeof(st)};
    char want[] = "did create a";
    struct sx_consensus_done done = {on_done, NULL, want}, late = {on_done, NULL, NULL};
    struct sx_err err = SX_ERR_INIT;
    uint64_t member = 0;
    void *h;

    (void)state;
    applied_index = 17;
    assert_int_equal(ops->open(instance, NULL, NULL, &conf, &host, 17, &h, &err), 0);
    ops->propose(instance, h, "create a", 8, 0, &done);
    assert_int_equal(answered, 1);
    assert_int_equal(applied_index, 18);
    ops->wait_applied(instance, h, 19, 0, &late);
    assert_int_equal(answered, 2);
    ops->state(instance, h, &st);
    assert_int_equal(st.role, SX_ROLE_LEADER);
    assert_int_equal(st.leader, 42);
    assert_int_equal(st.commit, 18);
    ops->members(instance, h, on_member, &member);
    assert_int_equal(member, 42);
    assert_int_equal(ops->peer_remove(instance, h, 42, &err), SX_EUNSUPPORTED);
    assert_int_equal(ops->peer_remove(instance, h, 43, &err), SX_ENOTFOUND);
    assert_int_equal(ops->step(instance, h, 43, "", 0, &err), SX_EINPUT);
    ops->tick(instance, h);
    ops->applied(instance, h, 18);
    ops->close(instance, h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantizer),
        cmocka_unit_test(test_objstore),
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_consensus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
