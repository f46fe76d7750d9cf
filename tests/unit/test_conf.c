/* needs: kernel/conf_node.c kernel/conf_tree.c kernel/conf_keys.c kernel/conf_coerce.c */
/* needs: kernel/conf_env.c kernel/conf_merge.c kernel/conf_bind.c kernel/conf_check.c */
/* Configuration: sources and their order, coercions, and the texts that operators and scripts know.
 *
 * Every test works in an empty directory of its own, because sources are found relative to the
 * working directory. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/conf.h"

static char home[PATH_MAX];
static struct sx_conf conf;
static struct sx_err err;

static int dir_make(void **state)
{
    char dir[] = "/tmp/test_conf.XXXXXX";

    (void)state;
    assert_non_null(getcwd(home, sizeof(home)));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(mkdir("config", 0755), 0);
    memset(&conf, 0, sizeof(conf));
    return 0;
}

static int dir_drop(void **state)
{
    char cwd[PATH_MAX], cmd[PATH_MAX + 16];

    (void)state;
    if (conf.root != NULL)
        sx_conf_close(&conf);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    assert_int_equal(chdir(home), 0);
    (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", cwd);
    assert_int_equal(system(cmd), 0);
    return 0;
}

static void file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* Opens with up to four environment variables and an optional --config-path. */
static int open_with(const char *path, const char *e1, const char *e2, const char *e3)
{
    const char *env[4] = {e1, e2, e3, NULL};
    struct sx_conf_args args = {0};

    if (conf.root != NULL)
        sx_conf_close(&conf);
    err = (struct sx_err)SX_ERR_INIT;
    args.config_path = path;
    args.env = (char *const *)(uintptr_t)env;
    return sx_conf_open(&conf, sx_mem_libc(), &args, &err);
}

static int open_env(const char *e1)
{
    return open_with(NULL, e1, NULL, NULL);
}

static int has_note(uint32_t level, const char *text)
{
    const struct sx_conf_note *n;

    for (n = conf.notes; n != NULL; n = n->next)
        if (n->level == level && strcmp(n->text, text) == 0)
            return 1;
    return 0;
}

#define assert_u64(path, v) assert_int_equal(sx_conf_u64(&conf, path, 424242), v)
#define assert_str(path, v) assert_string_equal(sx_conf_str(&conf, path, "(none)"), v)

/* --- sources ---------------------------------------------------------------------------------- */

static void test_no_files(void **state)
{
    (void)state;
    assert_int_equal(open_env(NULL), SX_OK);
    assert_true(has_note(SX_LOG_WARN, "Config file not found: config/config"));
    assert_true(has_note(SX_LOG_WARN, "Config file not found: config/development"));
    assert_false(has_note(SX_LOG_WARN, "Config file not found: config/local"));
    assert_u64("service.http_port", 6333);
    assert_u64("service.grpc_port", 6334);
    assert_u64("storage.performance.search_timeout_sec", 60);
    assert_str("service.host", "0.0.0.0");
    assert_str("storage.storage_path", "./storage");
    assert_str("sextant.compat_version", "1.20.0");
    assert_int_equal(sx_conf_bool(&conf, "storage.on_disk_payload", 0), 1);
    assert_true(sx_conf_f64(&conf, "storage.optimizers.deleted_threshold", 0) == 0.2);
    assert_null(sx_conf_str(&conf, "service.api_key", NULL));
    assert_int_equal(conf.n_range, 0);
}

static void test_precedence(void **state)
{
    (void)state;
    file("config/config.yaml",
         "service: {http_port: 1, host: a}\nstorage: {snapshots_path: base, temp_path: base}\n");
    file("config/staging.yml", "service: {http_port: 2}\nstorage: {snapshots_path: staging}\n");
    file("config/local.yaml", "service: {http_port: 3, max_request_size_mb: 3}\n");
    file("extra.yaml", "service: {http_port: 4, metrics_port: 4}\n");
    assert_int_equal(open_with("extra.yaml", "RUN_MODE=staging", NULL, NULL), SX_OK);
    assert_u64("service.http_port", 4);
    assert_int_equal(
        open_with("extra.yaml", "RUN_MODE=staging", "QDRANT__SERVICE__HTTP_PORT=5", NULL), SX_OK);
    assert_u64("service.http_port", 5);
    assert_u64("service.max_request_size_mb", 3);
    assert_u64("service.metrics_port", 4);
    assert_u64("service.grpc_port", 6334);
    assert_str("service.host", "a");
    assert_str("storage.snapshots_path", "staging");
    assert_str("storage.temp_path", "base");
    assert_null(conf.notes);
    /* without the variable the mode is development */
    assert_int_equal(open_env(NULL), SX_OK);
    assert_str("storage.snapshots_path", "base");
    assert_true(has_note(SX_LOG_WARN, "Config file not found: config/development"));
}

static void test_sextant_prefix_wins(void **state)
{
    (void)state;
    assert_int_equal(open_with(NULL, "SEXTANT__SERVICE__HTTP_PORT=7",
                               "QDRANT__SERVICE__HTTP_PORT=8", "QDRANT__SERVICE__GRPC_PORT=9"),
                     SX_OK);
    assert_u64("service.http_port", 7);
    assert_u64("service.grpc_port", 9);
}

static void test_flag_beats_env(void **state)
{
    const char *env[] = {"QDRANT__TELEMETRY_DISABLED=false", NULL};
    struct sx_conf_args args = {0};

    (void)state;
    args.disable_telemetry = 1;
    args.env = (char *const *)(uintptr_t)env;
    err = (struct sx_err)SX_ERR_INIT;
    assert_int_equal(sx_conf_open(&conf, sx_mem_libc(), &args, &err), SX_OK);
    assert_int_equal(sx_conf_bool(&conf, "telemetry_disabled", 0), 1);
}

static void test_extensions(void **state)
{
    (void)state;
    file("config/config.json", "{\"service\": {\"http_port\": 1}}");
    file("config/config.toml", "[service]\nhttp_port = 1\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.http_port", 6333);
    assert_true(has_note(SX_LOG_WARN, "Config file not found: config/config"));
    file("config/config.yml", "service: {http_port: 2}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.http_port", 2);
}

static void test_config_path_missing(void **state)
{
    (void)state;
    assert_int_equal(open_with("nofile.yaml", NULL, NULL, NULL), SX_OK);
    assert_non_null(conf.notes);
    assert_int_equal(conf.notes->level, SX_LOG_ERROR);
    assert_string_equal(conf.notes->text,
                        "Config file via --config-path is not found: nofile.yaml");
}

static void test_lists_are_replaced_whole(void **state)
{
    struct sx_conf_node *v;

    (void)state;
    file("config/config.yaml", "sextant: {plugins: [a, b]}\n");
    file("config/local.yaml", "sextant: {plugins: [c]}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    v = sx_conf_node_at(conf.root, "sextant.plugins");
    assert_non_null(v);
    assert_string_equal(v->first->v.s, "c");
    assert_null(v->first->next);
}

static void test_lists_in_env(void **state)
{
    struct sx_conf_node *v;

    (void)state;
    assert_int_equal(open_env("SEXTANT__SEXTANT__PLUGINS=a,, /b/c.so"), SX_OK);
    v = sx_conf_node_at(conf.root, "sextant.plugins");
    assert_non_null(v);
    assert_string_equal(v->first->v.s, "a");
    assert_string_equal(v->first->next->v.s, "/b/c.so");
    assert_null(v->first->next->next);
    assert_int_not_equal(open_env("QDRANT__LOGGER__SPAN_EVENTS=new"), SX_OK);
}

static void test_empty_file(void **state)
{
    (void)state;
    file("config/config.yaml", "");
    file("config/local.yaml", "# nothing\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.http_port", 6333);
}

static void test_unknown_keys_are_ignored(void **state)
{
    (void)state;
    file("config/config.yaml", "bar: {x: [1, {y: 2}]}\nservice: {foo: {}, http_port: 10}\n");
    assert_int_equal(open_env("QDRANT__SERVICE__FOO=1"), SX_OK);
    assert_u64("service.http_port", 10);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void fails(const char *env, const char *text)
{
    assert_int_not_equal(open_env(env), SX_OK);
    assert_string_equal(err.msg, text);
}

static void test_broken_yaml(void **state)
{
    (void)state;
    file("config/config.yaml", "service:\n  http_port: [\n");
    fails(NULL, "while parsing a node, did not find expected node content at byte 24 line 3 "
                "column 1 in config/config.yaml");
    file("config/config.yaml", "service: [1, 2\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
    assert_non_null(strstr(err.msg, " in config/config.yaml"));
    file("config/config.yaml", "- 1\n- 2\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
}

static void test_nesting_is_bounded(void **state)
{
    char text[2001];

    (void)state;
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    text[2000] = '\0';
    file("config/config.yaml", text);
    assert_int_not_equal(open_env(NULL), SX_OK);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    /* a handful of lines that would unfold into 10^9 nodes */
    file("config/config.yaml",
         "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
         "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"
         "i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
    assert_non_null(strstr(err.msg, "too large"));
    file("config/config.yaml", "a: &a [*a]\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
}

static void test_anchors(void **state)
{
    (void)state;
    file("config/config.yaml", "x: &p 77\nservice: {http_port: *p}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.http_port", 77);
}

static void test_wrong_types(void **state)
{
    (void)state;
    fails("QDRANT__SERVICE__HTTP_PORT=abc", "invalid type: string \"abc\", expected an integer for "
                                            "key `service.http_port` in the environment");
    fails("QDRANT__SERVICE__HTTP_PORT=70000",
          "invalid type: 64-bit unsigned integer `70000`, expected an unsigned 16 bit integer for "
          "key `service.http_port`");
    fails("QDRANT__SERVICE__HTTP_PORT=", "invalid type: string \"\", expected an integer for key "
                                         "`service.http_port` in the environment");
    fails("QDRANT__SERVICE__ENABLE_CORS=maybe",
          "invalid type: string \"maybe\", expected a boolean for key `service.enable_cors` in the "
          "environment");
    fails("QDRANT__STORAGE__NODE_TYPE=normal", "enum NodeType does not have variant constructor "
                                               "normal for key `storage.node_type`");
    file("config/config.yaml", "service: {http_port: [1]}\n");
    fails(NULL, "invalid type: sequence, expected an integer for key `service.http_port` in "
                "config/config.yaml");
    file("config/config.yaml", "service: {host: {a: 1}}\n");
    fails(NULL, "invalid type: map, expected a string for key `service.host` in "
                "config/config.yaml");
    file("config/config.yaml", "service: {slow_query_secs: soon}\n");
    fails(NULL, "invalid type: string \"soon\", expected a floating point for key "
                "`service.slow_query_secs` in config/config.yaml");
    file("config/config.yaml", "storage: {wal: 5}\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
}

static void test_null(void **state)
{
    (void)state;
    file("config/config.yaml", "service: {grpc_port: null, slow_query_secs: ~}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.grpc_port", 424242);
    file("config/local.yaml", "service: {grpc_port: 99}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("service.grpc_port", 99);
    file("config/local.yaml", "service: {max_request_size_mb: null}\n");
    fails(NULL, "invalid type: unit value, expected an integer for key "
                "`service.max_request_size_mb` in config/local.yaml");
    file("config/local.yaml", "service:\n");
    fails(NULL, "missing configuration field \"service.host\"");
    file("config/local.yaml", "tls: null\naudit:\ninference:\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(sx_conf_str(&conf, "tls.cert", NULL));
}

static void test_spellings(void **state)
{
    (void)state;
    file("config/config.yaml", "storage: {optimizers: {indexing_threshold: 5}}\n");
    fails(NULL, "duplicate field `indexing_threshold` for key `storage.optimizers`");
    file("config/config.yaml", "storage: {optimizers: {max_segment_size: 5}}\n");
    fails(NULL, "duplicate field `max_segment_size` for key `storage.optimizers`");
    file("config/config.yaml", "storage: {hnsw_index: {full_scan_threshold: 5}}\n");
    fails(NULL, "duplicate field `full_scan_threshold` for key `storage.hnsw_index`");
    file("config/config.yaml",
         "storage:\n  optimizers: {memmap_threshold: 6}\n"
         "  performance: {max_optimization_threads: 3}\n"
         "  optimizers_overwrite: {indexing_threshold: 7, max_segment_size_kb: 8}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_u64("storage.optimizers.memmap_threshold_kb", 6);
    assert_u64("storage.performance.max_optimization_runtime_threads", 3);
    assert_u64("storage.optimizers_overwrite.indexing_threshold_kb", 7);
    assert_u64("storage.optimizers_overwrite.max_segment_size_kb", 8);
}

/* --- coercion --------------------------------------------------------------------------------- */

static void test_booleans(void **state)
{
    static const char *const yes[] = {"true", "1", "on", "YES", "True", "ON"};
    static const char *const no[] = {"false", "0", "off", "NO", "False", "OFF"};
    char var[64];
    uint32_t i;

    (void)state;
    for (i = 0; i < SX_COUNT(yes); i++) {
        (void)snprintf(var, sizeof(var), "QDRANT__SERVICE__ENABLE_TLS=%s", yes[i]);
        assert_int_equal(open_env(var), SX_OK);
        assert_int_equal(sx_conf_bool(&conf, "service.enable_tls", 9), 1);
        (void)snprintf(var, sizeof(var), "QDRANT__SERVICE__ENABLE_CORS=%s", no[i]);
        assert_int_equal(open_env(var), SX_OK);
        assert_int_equal(sx_conf_bool(&conf, "service.enable_cors", 9), 0);
    }
}

static void test_numbers_and_strings(void **state)
{
    (void)state;
    file("config/config.yaml", "service:\n  http_port: \"6400\"\n  api_key: 123456\n"
                               "  slow_query_secs: 2\n  grpc_port: 6400.0\n"
                               "storage: {performance: {optimizer_cpu_budget: -2}}\n");
    assert_int_equal(open_env("QDRANT__STORAGE__OPTIMIZERS__DELETED_THRESHOLD=0.5"), SX_OK);
    assert_u64("service.http_port", 6400);
    assert_u64("service.grpc_port", 6400);
    assert_str("service.api_key", "123456");
    assert_true(sx_conf_f64(&conf, "service.slow_query_secs", 0) == 2.0);
    assert_true(sx_conf_f64(&conf, "storage.optimizers.deleted_threshold", 0) == 0.5);
    assert_int_equal(sx_conf_i64(&conf, "storage.performance.optimizer_cpu_budget", 0), -2);
    file("config/local.yaml", "service: {http_port: -1}\n");
    assert_int_not_equal(open_env(NULL), SX_OK);
}

static void test_env_names(void **state)
{
    (void)state;
    assert_int_equal(open_with(NULL, "qdrant__service__max_request_size_mb=1",
                               "QDRANT__SERVICE__API_KEY=", "QDRANT_SERVICE__HTTP_PORT=1"),
                     SX_OK);
    assert_u64("service.max_request_size_mb", 1);
    assert_str("service.api_key", "");
    assert_u64("service.http_port", 6333);
    assert_int_equal(open_with(NULL, "SEXTANT__PLUGINS__TRANSPORT_REST__SOME_KEY=v",
                               "QDRANT____X=1", "QDRANT__=2"),
                     SX_OK);
    assert_str("plugins.transport-rest.some_key", "v");
    assert_int_equal(open_env("QDRANT__SERVICE=x"), SX_EINPUT);
}

/* --- warnings --------------------------------------------------------------------------------- */

static void test_ranges_warn(void **state)
{
    (void)state;
    file("config/config.yaml",
         "storage:\n  optimizers: {deleted_threshold: 2, vacuum_min_vector_number: 5}\n"
         "  wal: {wal_capacity_mb: 0}\n  storage_path: ''\n"
         "service: {metrics_prefix: 'a-b'}\ncluster: {peer_id: 0}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_true(has_note(SX_LOG_WARN, "Settings configuration file has validation errors:"));
    assert_true(has_note(SX_LOG_WARN, "- storage.optimizers.deleted_threshold: value 2.0 invalid, "
                                      "must be from 0.0 to 1.0"));
    assert_true(has_note(SX_LOG_WARN, "- storage.optimizers.vacuum_min_vector_number: value 5 "
                                      "invalid, must be 100 or larger"));
    assert_true(has_note(SX_LOG_WARN,
                         "- storage.wal.wal_capacity_mb: value 0 invalid, must be 1 or larger"));
    assert_true(has_note(SX_LOG_WARN, "- service.metrics_prefix: Metrics prefix must be of all "
                                      "alphanumeric characters, with an exception for '_'"));
    assert_true(has_note(SX_LOG_WARN, "- cluster.peer_id: value 0 invalid, must be from 1 to "
                                      "9007199254740991"));
    assert_int_equal(conf.n_range, 6);
    assert_true(sx_conf_f64(&conf, "storage.optimizers.deleted_threshold", 0) == 2.0);
}

static void test_key_warnings(void **state)
{
    (void)state;
    file("config/config.yaml", "service: {jwt_rbac: true, read_only_api_key: ''}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_true(
        has_note(SX_LOG_WARN, "JWT RBAC configured but no API key set, JWT RBAC is not enabled"));
    assert_true(has_note(SX_LOG_WARN, "Service read_only_api_key is set but empty, it is treated "
                                      "as unset and authentication may be disabled"));
    assert_int_equal(open_env("QDRANT__SERVICE__API_KEY=short"), SX_OK);
    assert_true(has_note(SX_LOG_WARN, "It is highly recommended to use an API key of 32 bytes when "
                                      "JWT RBAC is enabled"));
    assert_int_equal(open_env("QDRANT__SERVICE__API_KEY=0123456789abcdef0123456789abcdef"), SX_OK);
    assert_false(has_note(SX_LOG_WARN, "It is highly recommended to use an API key of 32 bytes "
                                       "when JWT RBAC is enabled"));
}

/* --- modules ---------------------------------------------------------------------------------- */

struct mine {
    const char *name;
    uint64_t port, size, unset;
    int64_t budget;
    double share;
    uint32_t is_on, is_unset;
    struct sx_doc tree, none;
    const char *const *list;
};

#define K(t, f, field, p, d, lo, hi)                                                               \
    {                                                                                              \
        sizeof(struct sx_key), t, f, (uint32_t)offsetof(struct mine, field), p, d, lo, hi,         \
            "help " p                                                                              \
    }
static const struct sx_key mine_keys[] = {
    K(SX_KEY_STR, 0, name, "name", "anon", 1, 0),
    K(SX_KEY_U64, 0, port, "service.http_port", "1", 1, 0),
    K(SX_KEY_U64, SX_KEY_RELOADABLE, size, "size", "16", 1, 64),
    K(SX_KEY_U64, SX_KEY_OPTIONAL, unset, "unset", NULL, 1, 0),
    K(SX_KEY_I64, 0, budget, "storage.performance.optimizer_cpu_budget", "0", 1, 0),
    K(SX_KEY_F64, 0, share, "share", "0.5", 0, 1),
    K(SX_KEY_BOOL, 0, is_on, "on", "true", 1, 0),
    K(SX_KEY_BOOL, SX_KEY_OPTIONAL, is_unset, "service.jwt_rbac", NULL, 1, 0),
    K(SX_KEY_TREE, 0, tree, "storage.optimizers", NULL, 1, 0),
    K(SX_KEY_TREE, 0, none, "storage.quotas", NULL, 1, 0),
    K(SX_KEY_LIST, 0, list, "list", "[a, b]", 1, 0),
};
static const struct sx_plugin mine = {
    .size = sizeof(struct sx_plugin),
    .name = "index-mine",
    .keys = mine_keys,
    .n_keys = SX_COUNT(mine_keys),
    .key_size = sizeof(struct sx_key),
    .conf_size = sizeof(struct mine),
};

static const struct mine *bind(struct sx_arena *a)
{
    void *out = NULL;

    err = (struct sx_err)SX_ERR_INIT;
    sx_arena_init(a, sx_mem_libc(), 0);
    if (sx_conf_bind(&conf, &mine, a, &out, &err) != SX_OK)
        sx_arena_fini(a);
    return out;
}

static void test_bind_defaults(void **state)
{
    const struct mine *m;
    struct sx_arena a;

    (void)state;
    assert_int_equal(open_env(NULL), SX_OK);
    m = bind(&a);
    assert_non_null(m);
    assert_string_equal(m->name, "anon");
    assert_int_equal(m->port, 6333); /* the server's default, not the module's */
    assert_int_equal(m->size, 16);
    assert_true(m->unset == SX_KEY_UNSET);
    assert_true(m->share == 0.5);
    assert_int_equal(m->is_on, 1);
    assert_true(m->is_unset == UINT32_MAX);
    assert_int_equal(sx_doc_get_i64(m->tree, "indexing_threshold_kb", 0), 10000);
    assert_true(sx_doc_get_f64(m->tree, "deleted_threshold", 0) == 0.2);
    assert_null(m->none.p);
    assert_string_equal(m->list[0], "a");
    assert_string_equal(m->list[1], "b");
    assert_null(m->list[2]);
    sx_arena_fini(&a);
}

static void test_bind_values(void **state)
{
    const struct mine *m;
    struct sx_arena a;

    (void)state;
    file("config/config.yaml",
         "plugins:\n  index-mine: {name: x, size: '32', on: off, list: [1, two], unset: 9}\n"
         "storage: {optimizers: {indexing_threshold_kb: 1}, quotas: {enabled: yes, x: [1, a]}}\n");
    assert_int_equal(open_with(NULL, "QDRANT__SERVICE__JWT_RBAC=yes",
                               "SEXTANT__PLUGINS__INDEX_MINE__SHARE=0.25", NULL),
                     SX_OK);
    m = bind(&a);
    assert_non_null(m);
    assert_string_equal(m->name, "x");
    assert_int_equal(m->size, 32);
    assert_int_equal(m->unset, 9);
    assert_true(m->share == 0.25);
    assert_int_equal(m->is_on, 0);
    assert_int_equal(m->is_unset, 1);
    assert_int_equal(sx_doc_get_i64(m->tree, "indexing_threshold_kb", 0), 1);
    assert_int_equal(sx_doc_get_i64(m->tree, "flush_interval_sec", 0), 5);
    assert_int_equal(sx_doc_get_bool(m->none, "enabled", 0), 1); /* by the table's type */
    assert_int_equal(sx_doc_count(sx_doc_get(m->none, "x")), 2);
    assert_string_equal(m->list[0], "1");
    assert_string_equal(m->list[1], "two");
    sx_arena_fini(&a);
}

static void test_bind_errors(void **state)
{
    struct sx_arena a;

    (void)state;
    file("config/config.yaml", "plugins:\n  index-mine:\n    name: x\n    sise: 3\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(bind(&a));
    assert_string_equal(err.msg, "unknown key plugins.index-mine.sise (config/config.yaml:4)");
    file("config/config.yaml", "plugins:\n  index-mine:\n    size: 65\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(bind(&a));
    assert_string_equal(err.msg, "plugins.index-mine.size: value 65 invalid, must be from 1 to 64 "
                                 "(config/config.yaml:3)");
    file("config/config.yaml", "plugins:\n  index-mine:\n    size: many\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(bind(&a));
    assert_string_equal(err.msg, "invalid type: string \"many\", expected an integer for key "
                                 "`plugins.index-mine.size` in config/config.yaml");
    file("config/config.yaml", "plugins:\n  index-mine:\n    size: null\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(bind(&a));
    file("config/config.yaml", "plugins:\n  index-mine: 5\n");
    assert_int_equal(open_env(NULL), SX_OK);
    assert_null(bind(&a));
}

static void test_bind_outlives_the_tree(void **state)
{
    const struct mine *m;
    struct sx_arena a;

    (void)state;
    file("config/config.yaml", "plugins: {index-mine: {name: longlived, list: [z]}}\n");
    assert_int_equal(open_env(NULL), SX_OK);
    m = bind(&a);
    assert_non_null(m);
    sx_conf_close(&conf);
    assert_string_equal(m->name, "longlived");
    assert_string_equal(m->list[0], "z");
    assert_int_equal(sx_doc_get_i64(m->tree, "flush_interval_sec", 0), 5);
    sx_arena_fini(&a);
}

static void test_bind_compare_and_keep(void **state)
{
    const struct mine *m, *n;
    struct mine copy;
    struct sx_arena a, b;
    uint32_t i, n_diff = 0;

    (void)state;
    assert_int_equal(open_env(NULL), SX_OK);
    m = bind(&a);
    assert_int_equal(open_with(NULL, "SEXTANT__PLUGINS__INDEX_MINE__NAME=other",
                               "QDRANT__STORAGE__OPTIMIZERS__FLUSH_INTERVAL_SEC=6",
                               "SEXTANT__PLUGINS__INDEX_MINE__SIZE=17"),
                     SX_OK);
    n = bind(&b);
    assert_non_null(m);
    assert_non_null(n);
    copy = *n;
    for (i = 0; i < SX_COUNT(mine_keys); i++)
        if (!sx_conf_bind_same(&mine_keys[i], m, n)) {
            n_diff++;
            assert_int_equal(sx_conf_bind_keep(&mine_keys[i], &copy, m, &b), SX_OK);
        }
    assert_int_equal(n_diff, 3);
    for (i = 0; i < SX_COUNT(mine_keys); i++)
        assert_true(sx_conf_bind_same(&mine_keys[i], m, &copy));
    sx_arena_fini(&a);
    assert_string_equal(copy.name, "anon"); /* a copy, not a borrowed pointer */
    assert_string_equal(copy.list[1], "b");
    sx_arena_fini(&b);
}

/* --- reports ---------------------------------------------------------------------------------- */

static void test_report(void **state)
{
    const struct sx_plugin *plugins[] = {&mine};
    struct sx_buf out;

    (void)state;
    file("config/config.yaml", "bar: 1\nservice: {foo: 1, http_port: 1, enable_cors: false, "
                               "grpc_port: 6334}\nstorage: {optimizers: {flush_interval_sec: 9}}\n"
                               "log_level: DEBUG\n");
    assert_int_equal(open_env(NULL), SX_OK);
    sx_buf_init(&out, sx_mem_libc());
    assert_int_equal(sx_conf_check(&conf, plugins, 1, &out), SX_OK);
    sx_buf_addc(&out, '\0');
    assert_non_null(strstr(out.p, "- bar (config/config.yaml:1)\n"));
    assert_non_null(strstr(out.p, "- service.foo (config/config.yaml:2)\n"));
    assert_non_null(strstr(out.p, "- service.enable_cors (config/config.yaml:2)\n"));
    /* honoured by the module, by its subtree, by the kernel; at its default anyway */
    assert_null(strstr(out.p, "http_port"));
    assert_null(strstr(out.p, "flush_interval_sec"));
    assert_null(strstr(out.p, "log_level"));
    assert_null(strstr(out.p, "grpc_port"));
    assert_non_null(strstr(out.p, "2 unknown keys, 0 values out of range, 1 keys not yet"));
    sx_buf_fini(&out);
}

/* Two generations have the same values for every key of the table. */
static void same_tree(const struct sx_conf_node *a, const struct sx_conf_node *b)
{
    const struct sx_conf_node *v, *w;

    for (v = a->first; v != NULL; v = v->next) {
        w = sx_conf_node_get(b, v->key, strlen(v->key));
        if (w == NULL)
            fail_msg("key %s is missing", v->key);
        assert_int_equal(v->kind, w->kind);
        switch (v->kind) {
        case SX_CONF_MAP:
            same_tree(v, w);
            break;
        case SX_CONF_STR:
            assert_string_equal(v->v.s, w->v.s);
            break;
        case SX_CONF_BOOL:
            assert_int_equal(v->v.b, w->v.b);
            break;
        case SX_CONF_F64:
            assert_true(v->v.f == w->v.f);
            break;
        default:
            assert_int_equal(v->v.u, w->v.u);
        }
    }
}

static void test_defaults_parse_back(void **state)
{
    const struct sx_plugin *plugins[] = {&mine};
    const struct mine *m;
    struct sx_conf plain;
    struct sx_arena a;
    struct sx_buf out;

    (void)state;
    assert_int_equal(open_env(NULL), SX_OK);
    plain = conf;
    memset(&conf, 0, sizeof(conf));
    sx_buf_init(&out, sx_mem_libc());
    sx_conf_print_defaults(plugins, 1, &out);
    sx_buf_addc(&out, '\0');
    assert_false(out.failed);
    file("config/config.yaml", out.p);
    assert_int_equal(open_env(NULL), SX_OK);
    assert_int_equal(conf.n_range, 0);
    same_tree(plain.root, conf.root);
    m = bind(&a);
    assert_non_null(m);
    assert_string_equal(m->name, "anon");
    assert_int_equal(m->size, 16);
    assert_string_equal(m->list[1], "b");
    assert_non_null(strstr(out.p, "# help size\n"));
    sx_arena_fini(&a);
    sx_buf_fini(&out);
    sx_conf_close(&plain);
}

/* Every default of the table is of its own type and in its own range. */
static void test_table(void **state)
{
    const struct sx_conf_key *k;
    struct sx_conf_node *v;
    struct sx_arena a;
    uint32_t i, j;

    (void)state;
    sx_arena_init(&a, sx_mem_libc(), 0);
    for (i = 0; i < sx_conf_keys_n; i++) {
        k = &sx_conf_keys[i];
        for (j = 0; j < i; j++)
            assert_string_not_equal(k->path, sx_conf_keys[j].path);
        assert_ptr_equal(sx_conf_key_find(k->path), k);
        assert_true(k->type == SX_CONF_T_WORD ? k->words != NULL : k->words == NULL);
        assert_true(strlen(k->help) > 0);
        if (k->def == NULL) {
            if (k->type != SX_CONF_T_SECT)
                assert_true((k->flags & SX_CONF_OPT) != 0);
            continue;
        }
        err = (struct sx_err)SX_ERR_INIT;
        assert_int_equal(sx_conf_tree_value(&a, k->def, &v, &err), SX_OK);
        if (sx_conf_as_key(&a, v, k, &err) != SX_OK)
            fail_msg("%s: %s", k->path, err.msg);
    }
    assert_null(sx_conf_key_find("no.such.key"));
    sx_arena_fini(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_make, dir_drop)
    const struct CMUnitTest tests[] = {
        T(test_no_files),
        T(test_precedence),
        T(test_sextant_prefix_wins),
        T(test_flag_beats_env),
        T(test_extensions),
        T(test_config_path_missing),
        T(test_lists_are_replaced_whole),
        T(test_lists_in_env),
        T(test_empty_file),
        T(test_unknown_keys_are_ignored),
        T(test_broken_yaml),
        T(test_nesting_is_bounded),
        T(test_anchors),
        T(test_wrong_types),
        T(test_null),
        T(test_spellings),
        T(test_booleans),
        T(test_numbers_and_strings),
        T(test_env_names),
        T(test_ranges_warn),
        T(test_key_warnings),
        T(test_bind_defaults),
        T(test_bind_values),
        T(test_bind_errors),
        T(test_bind_outlives_the_tree),
        T(test_bind_compare_and_keep),
        T(test_report),
        T(test_defaults_parse_back),
        T(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
