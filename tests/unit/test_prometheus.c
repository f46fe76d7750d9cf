/* needs: plugins/export-prometheus/?*.c */
/* export-prometheus through its descriptor: the page a scraper reads. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"

extern const struct sx_plugin export_prometheus_LTX_sx_plugin;
#define PLUGIN (&export_prometheus_LTX_sx_plugin)

/* --- a host whose walk gives what the test lists -------------------------------------------------
 */

static struct sx_sample samples[32];
static uint32_t n_samples;

static void walk(struct sx_sample_sink *s)
{
    /* Every sample is a copy that is spoiled afterwards: nothing may be kept. */
    for (uint32_t i = 0; i < n_samples; i++) {
        struct sx_sample copy = samples[i];
        char *name = strdup(copy.name), *labels = copy.labels ? strdup(copy.labels) : NULL;
        copy.name = name;
        copy.labels = labels;
        s->add(s, &copy);
        memset(&copy, 0xee, sizeof(copy));
        memset(name, 'X', strlen(name));
        free(name);
        free(labels);
    }
}

static void (*collect)(struct sx_sample_sink *s, void *arg);
static void *collect_arg;

static int collector(void (*fn)(struct sx_sample_sink *s, void *arg), void *arg)
{
    collect = fn;
    collect_arg = arg;
    return 0;
}

static const struct sx_telem telem = {
    .size = (uint32_t)sizeof(struct sx_telem),
    .walk = walk,
    .collector = collector,
};

static void epoch_nop(void)
{
}

static void epoch_retire(void (*fn)(void *arg), void *arg)
{
    fn(arg);
}

static const struct sx_epoch epoch = {
    .size = (uint32_t)sizeof(struct sx_epoch),
    .enter = epoch_nop,
    .leave = epoch_nop,
    .retire = epoch_retire,
};

static const void *host_get(const struct sx_host *self, const char *service, uint32_t min_size)
{
    (void)self;
    (void)min_size;
    if (strcmp(service, "sx.telem") == 0)
        return &telem;
    return strcmp(service, "sx.epoch") == 0 ? &epoch : NULL;
}

static struct sx_host host;
static uint64_t instance[64];
static struct sx_buf page;

static const void *ops_of(uint32_t kind)
{
    for (uint32_t i = 0; i < PLUGIN->n_provides; i++)
        if (PLUGIN->provides[i].kind == kind)
            return PLUGIN->provides[i].ops;
    return NULL;
}

static int setup(void **state)
{
    const char *conf[1] = {NULL};
    struct sx_err err = SX_ERR_INIT;

    (void)state;
    host.size = (uint32_t)sizeof(host);
    host.mem = sx_mem_libc();
    host.get = host_get;
    memset(instance, 0, sizeof(instance));
    n_samples = 0;
    sx_buf_init(&page, host.mem);
    if (PLUGIN->instance_size > sizeof(instance) || PLUGIN->load(&host, instance, &err) != 0)
        return -1;
    return PLUGIN->configure(instance, conf, &err);
}

static int teardown(void **state)
{
    (void)state;
    PLUGIN->stop(instance);
    sx_buf_fini(&page);
    return 0;
}

static struct sx_sample *sample(uint32_t type, const char *name, const char *labels, double value)
{
    struct sx_sample *s = &samples[n_samples++];

    memset(s, 0, sizeof(*s));
    s->size = (uint32_t)sizeof(*s);
    s->type = type;
    s->name = name;
    s->help = "help";
    s->labels = labels;
    s->value = value;
    return s;
}

static const char *render(const char *query)
{
    const struct sx_exporter_ops *ops = ops_of(SX_KIND_EXPORTER);
    struct sx_err err = SX_ERR_INIT;
    struct sx_str q = {query, (uint32_t)strlen(query), 0};

    page.n = 0;
    assert_int_equal(ops->render(instance, q, &page, &err), 0);
    sx_buf_addc(&page, '\0');
    return page.p;
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void test_families_together_in_order(void **state)
{
    (void)state;
    sample(SX_METRIC_GAUGE, "zz_own", "", 1);
    sample(SX_METRIC_GAUGE, "process_threads", NULL, 7);
    sample(SX_METRIC_COUNTER, "rest_responses_total", "status=\"200\"", 3);
    sample(SX_METRIC_GAUGE, "app_info", "name=\"qdrant\",version=\"1\"", 1);
    sample(SX_METRIC_GAUGE, "aa_own", "", 2);
    sample(SX_METRIC_COUNTER, "rest_responses_total", "status=\"404\"", 4);
    assert_string_equal(render(""), "# HELP app_info help\n# TYPE app_info gauge\n"
                                    "app_info{name=\"qdrant\",version=\"1\"} 1\n"
                                    "# HELP rest_responses_total help\n"
                                    "# TYPE rest_responses_total counter\n"
                                    "rest_responses_total{status=\"200\"} 3\n"
                                    "rest_responses_total{status=\"404\"} 4\n"
                                    "# HELP process_threads help\n# TYPE process_threads gauge\n"
                                    "process_threads 7\n"
                                    "# HELP zz_own help\n# TYPE zz_own gauge\nzz_own 1\n"
                                    "# HELP aa_own help\n# TYPE aa_own gauge\naa_own 2\n");
}

static void test_empty_page(void **state)
{
    (void)state;
    assert_string_equal(render(""), "");
}

static void test_numbers(void **state)
{
    (void)state;
    sample(SX_METRIC_GAUGE, "a", "", 0.25);
    sample(SX_METRIC_GAUGE, "b", "", -3);
    sample(SX_METRIC_GAUGE, "c", "", (double)INFINITY);
    sample(SX_METRIC_GAUGE, "d", "", (double)NAN);
    sample(SX_METRIC_GAUGE, "e", "", 9007199254740991.0);
    sample(SX_METRIC_GAUGE, "f", "", 1e300);
    render("");
    assert_non_null(strstr(page.p, "\na 0.25\n"));
    assert_non_null(strstr(page.p, "\nb -3\n"));
    assert_non_null(strstr(page.p, "\nc +Inf\n"));
    assert_non_null(strstr(page.p, "\nd NaN\n"));
    assert_non_null(strstr(page.p, "\ne 9007199254740991\n"));
    assert_true(strtod(strstr(page.p, "\nf ") + 3, NULL) == 1e300);
}

static void test_labels_and_help(void **state)
{
    struct sx_sample *s;

    (void)state;
    s = sample(SX_METRIC_GAUGE, "a", "id=\"x\\\"y\\\\\\nz\",b=\"\xc3\xa9\"", 1);
    s->help = "one\\two\nthree";
    sample(SX_METRIC_GAUGE, "a", "id=\"line\nfeed\"", 2);
    /* What a scraper would choke on is left out; the rest stays. */
    sample(SX_METRIC_GAUGE, "a", "id=\"open", 3);
    sample(SX_METRIC_GAUGE, "a", "id=\"bad\\escape\"", 3);
    sample(SX_METRIC_GAUGE, "a", "1d=\"x\"", 3);
    sample(SX_METRIC_GAUGE, "a", "id=\"x\"id=\"y\"", 3);
    sample(SX_METRIC_GAUGE, "a", "id=\"\xff\"", 3);
    sample(SX_METRIC_GAUGE, "1bad", "", 3);
    sample(SX_METRIC_GAUGE, "bad name", "", 3);
    sample(SX_METRIC_COUNTER, "a", "id=\"other type\"", 3);
    assert_string_equal(render(""), "# HELP a one\\\\two\\nthree\n# TYPE a gauge\n"
                                    "a{id=\"x\\\"y\\\\\\nz\",b=\"\xc3\xa9\"} 1\n"
                                    "a{id=\"line\\nfeed\"} 2\n");
}

static void test_no_series_twice(void **state)
{
    (void)state;
    sample(SX_METRIC_GAUGE, "a", "id=\"1\"", 1);
    sample(SX_METRIC_GAUGE, "a", "id=\"2\"", 2);
    sample(SX_METRIC_GAUGE, "a", "id=\"1\"", 3);
    sample(SX_METRIC_GAUGE, "b", "id=\"1\"", 4);
    assert_string_equal(render(""), "# HELP a help\n# TYPE a gauge\na{id=\"1\"} 1\na{id=\"2\"} 2\n"
                                    "# HELP b help\n# TYPE b gauge\nb{id=\"1\"} 4\n");
}

static void test_histogram(void **state)
{
    static const double bounds[] = {0.001, 0.5, 10};
    static const uint64_t buckets[] = {1, 3, 2}; /* the last was read before the second */
    struct sx_sample *s;

    (void)state;
    s = sample(SX_METRIC_HISTOGRAM, "rest_responses_duration_seconds", "status=\"200\"", 0);
    s->bounds = bounds;
    s->buckets = buckets;
    s->n_buckets = 3;
    s->count = 4;
    s->sum = 2.5;
    s->min = 0.0005;
    s->max = 1.5;
    render("");
    assert_non_null(strstr(page.p, "# TYPE rest_responses_duration_seconds histogram\n"));
    assert_non_null(strstr(page.p, "_seconds_bucket{status=\"200\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(page.p, "_seconds_bucket{status=\"200\",le=\"0.5\"} 3\n"));
    assert_non_null(strstr(page.p, "_seconds_bucket{status=\"200\",le=\"10\"} 3\n"));
    assert_non_null(strstr(page.p, "_seconds_bucket{status=\"200\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(page.p, "rest_responses_duration_seconds_sum{status=\"200\"} 2.5\n"));
    assert_non_null(strstr(page.p, "rest_responses_duration_seconds_count{status=\"200\"} 4\n"));
    assert_non_null(strstr(page.p, "rest_responses_avg_duration_seconds{status=\"200\"} 0.625\n"));
    assert_non_null(strstr(page.p, "rest_responses_min_duration_seconds{status=\"200\"} 0.0005\n"));
    assert_non_null(strstr(page.p, "rest_responses_max_duration_seconds{status=\"200\"} 1.5\n"));
    /* The gauges stand before the histogram. */
    assert_true(strstr(page.p, "rest_responses_max_duration_seconds{") <
                strstr(page.p, "rest_responses_duration_seconds_bucket{"));
}

static void test_prefix_and_reload(void **state)
{
    const char *conf[1] = {"qdrant_"};
    struct sx_err err = SX_ERR_INIT;

    (void)state;
    sample(SX_METRIC_GAUGE, "app_info", "", 1);
    assert_int_equal(PLUGIN->reload(instance, conf, &err), 0);
    assert_string_equal(render(""), "# HELP qdrant_app_info help\n# TYPE qdrant_app_info gauge\n"
                                    "qdrant_app_info 1\n");
    conf[0] = "";
    assert_int_equal(PLUGIN->reload(instance, conf, &err), 0);
    assert_string_equal(render(""), "# HELP app_info help\n# TYPE app_info gauge\napp_info 1\n");
}

static void test_anonymize(void **state)
{
    const char *p;
    char *end;

    (void)state;
    sample(SX_METRIC_GAUGE, "a", "id=\"secret\",version=\"1.0\"", 1);
    sample(SX_METRIC_GAUGE, "b", "collection=\"secret\"", 1);
    render("anonymize=true");
    assert_null(strstr(page.p, "secret"));
    assert_non_null(strstr(page.p, "version=\"1.0\""));
    p = strstr(page.p, "a{id=\"");
    assert_non_null(p);
    assert_true(strtoull(p + 6, &end, 10) != 0);
    assert_int_equal(*end, '"');
    /* The same name is the same number everywhere. */
    assert_int_equal(strncmp(strstr(page.p, "collection=\"") + 12, p + 6, (size_t)(end - p - 6)),
                     0);
    assert_non_null(strstr(render("anonymize=false"), "secret"));
}

static void serve(const char *path, const char *query, struct sx_web_reply *reply)
{
    const struct sx_web_ops *ops = ops_of(SX_KIND_WEB);
    struct sx_web_request rq = {(uint32_t)sizeof(rq), 0, {path, 0, 0}, {query, 0, 0}, NULL};

    rq.path.n = (uint32_t)strlen(path);
    rq.query.n = (uint32_t)strlen(query);
    page.n = 0;
    *reply = (struct sx_web_reply){.size = (uint32_t)sizeof(*reply), .body = &page};
    assert_int_equal(ops->serve(instance, &rq, reply), 0);
    sx_buf_addc(&page, '\0');
}

static void test_page(void **state)
{
    const struct sx_web_ops *ops = ops_of(SX_KIND_WEB);
    struct sx_web_reply reply;
    const char *prefix;
    uint32_t is_public = 1;

    (void)state;
    sample(SX_METRIC_GAUGE, "app_info", "", 1);
    assert_int_equal(ops->mount(instance, 0, &prefix, &is_public), 1);
    assert_string_equal(prefix, "/metrics");
    assert_int_equal(is_public, 0);
    assert_int_equal(ops->mount(instance, 1, &prefix, &is_public), 0);
    serve("", "", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.type, "text/plain; charset=utf-8");
    assert_int_equal(strncmp(page.p, "# HELP app_info ", 16), 0);
    serve("", "anonymize=x", &reply);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(page.p, "\"Deserialize error in query parameters: provided string was "
                                   "not `true` or `false`\""));
    serve("", "timeout=0", &reply);
    assert_int_equal(reply.status, 422);
    assert_non_null(strstr(page.p, "\"Validation error in query parameters: [timeout: value 0 "
                                   "invalid, must be 1 or larger]\""));
    serve("", "timeout=1&timeout=2", &reply);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(page.p, "duplicate field `timeout`"));
    serve("", "timeout=99999999999999999999", &reply);
    assert_int_equal(reply.status, 400);
    serve("", "timeout=7&unknown=1&per_collection=true&&=", &reply);
    assert_int_equal(reply.status, 200);
    serve("/below", "", &reply);
    assert_int_equal(reply.status, 404);
}

static void keep_labels(struct sx_sample_sink *s, const struct sx_sample *sample)
{
    assert_string_equal(sample->name, "app_info");
    assert_true(sample->value == 1);
    (void)snprintf(s->arg, 96, "%s", sample->labels);
}

static void test_app_info(void **state)
{
    struct sx_err err = SX_ERR_INIT;
    char labels[96] = "";
    struct sx_sample_sink sink = {keep_labels, labels};

    (void)state;
    host.compat_version = "1.20.0";
    assert_int_equal(PLUGIN->start(instance, &err), 0);
    collect(&sink, collect_arg);
    assert_string_equal(labels, "name=\"qdrant\",version=\"1.20.0\"");
}

static void test_many_families(void **state)
{
    /* More samples than any array of the test: the sort must keep each family whole. */
    static char names[32][16];
    const char *p;
    char last[16] = "", name[16];
    int heads = 0;

    (void)state;
    for (uint32_t i = 0; i < 32; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "fam_%u", i % 5);
        sample(SX_METRIC_GAUGE, names[i], i < 5 ? "n=\"a\"" : i < 10 ? "n=\"b\"" : "n=\"c\"", i);
    }
    render("");
    for (p = page.p; *p != '\0'; p = strchr(p, '\n') + 1) {
        if (sscanf(p, "# TYPE %15s", name) == 1) {
            heads++;
            strcpy(last, name);
        } else if (*p != '#') {
            assert_int_equal(strncmp(p, last, strlen(last)), 0);
        }
    }
    assert_int_equal(heads, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_families_together_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels_and_help, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_series_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histogram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefix_and_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anonymize, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_app_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_families, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
