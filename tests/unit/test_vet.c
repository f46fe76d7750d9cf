/* Vetting descriptors: one good descriptor, and every way of being wrong by one field.
 *
 * A case changes a copy and names a part of the text the finding must have; a case without text
 * expects no finding, so that the checks are not merely strict. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>

#include "sextant/sx_distance.h"
#include "sextant/sx_index.h"
#include "sextant/sx_storage.h"
#include "sextant/sx_vet.h"

/* Callbacks are looked at, not called. */
static void never(void)
{
    fail();
}
#define ANY(type, field) ((__typeof__(((struct type *)0)->field))never)

struct conf {
    uint64_t number;
    const char *text;
    uint32_t flag, pad;
};

/* Everything a descriptor points at, writable. */
struct subject {
    struct sx_plugin p;
    struct sx_provide provides[2];
    struct sx_need needs[1];
    struct sx_key keys[3];
    struct sx_distance_ops distance;
    struct sx_index_ops index;
    struct sx_rows_ops rows;
    struct sx_blobs_ops blobs;
};

#define SECTION "index-good kinds=distance,index abi=1.0 build=x"

static void subject_ops(struct subject *s)
{
    s->distance = (struct sx_distance_ops){
        .size = (uint32_t)sizeof(s->distance),
        .resolve = ANY(sx_distance_ops, resolve),
        .preprocess = ANY(sx_distance_ops, preprocess),
        .postprocess = ANY(sx_distance_ops, postprocess),
    };
    s->index = (struct sx_index_ops){
        .size = (uint32_t)sizeof(s->index),
        .create = ANY(sx_index_ops, create),
        .open = ANY(sx_index_ops, open),
        .destroy = ANY(sx_index_ops, destroy),
        .build = ANY(sx_index_ops, build),
        .insert = ANY(sx_index_ops, insert),
        .estimate = ANY(sx_index_ops, estimate),
        .scratch_size = ANY(sx_index_ops, scratch_size),
        .search = ANY(sx_index_ops, search),
        .resume = ANY(sx_index_ops, resume),
        .flush = ANY(sx_index_ops, flush),
    };
    s->rows = (struct sx_rows_ops){
        .size = (uint32_t)sizeof(s->rows),
        .open = ANY(sx_rows_ops, open),
        .close = ANY(sx_rows_ops, close),
        .append = ANY(sx_rows_ops, append),
        .rows = ANY(sx_rows_ops, rows),
        .gather = ANY(sx_rows_ops, gather),
        .drop = ANY(sx_rows_ops, drop),
        .flush = ANY(sx_rows_ops, flush),
        .verify = ANY(sx_rows_ops, verify),
        .files = ANY(sx_rows_ops, files),
        .stats = ANY(sx_rows_ops, stats),
    };
    s->blobs = (struct sx_blobs_ops){
        .size = (uint32_t)sizeof(s->blobs),
        .open = ANY(sx_blobs_ops, open),
        .close = ANY(sx_blobs_ops, close),
        .put = ANY(sx_blobs_ops, put),
        .get = ANY(sx_blobs_ops, get),
        .dead = ANY(sx_blobs_ops, dead),
        .drop = ANY(sx_blobs_ops, drop),
        .flush = ANY(sx_blobs_ops, flush),
        .verify = ANY(sx_blobs_ops, verify),
        .files = ANY(sx_blobs_ops, files),
        .stats = ANY(sx_blobs_ops, stats),
    };
}

static struct sx_provide provide(uint32_t kind, const char *name, uint64_t caps, const void *ops)
{
    return (struct sx_provide){
        .size = (uint32_t)sizeof(struct sx_provide),
        .kind = kind,
        .iface_version = 1,
        .name = name,
        .caps = caps,
        .ops = ops,
    };
}

static struct sx_key key(uint32_t type, const char *path, uint32_t offset)
{
    return (struct sx_key){
        .size = (uint32_t)sizeof(struct sx_key),
        .type = type,
        .offset = offset,
        .path = path,
        .min = 1,
        .max = 0,
        .help = "what it does",
    };
}

static void subject_init(struct subject *s)
{
    memset(s, 0, sizeof(*s));
    subject_ops(s);
    s->provides[0] =
        provide(SX_KIND_DISTANCE, "Good",
                SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_NORMALIZES | SX_DISTANCE_F32, &s->distance);
    s->provides[1] = provide(SX_KIND_INDEX, "good",
                             SX_INDEX_INCREMENTAL | SX_INDEX_MASK | SX_INDEX_RESUME, &s->index);
    s->needs[0] =
        (struct sx_need){(uint32_t)sizeof(struct sx_need), SX_KIND_ROWS, 1, SX_NEED_HARD, "*"};
    s->keys[0] = key(SX_KEY_U64, "number", offsetof(struct conf, number));
    s->keys[1] = key(SX_KEY_STR, "service.text", offsetof(struct conf, text));
    s->keys[2] = key(SX_KEY_BOOL, "flag", offsetof(struct conf, flag));
    s->p = (struct sx_plugin){
        .size = (uint32_t)sizeof(s->p),
        .abi_major = SX_ABI_MAJOR,
        .abi_minor = SX_ABI_MINOR,
        .magic = SX_PLUGIN_MAGIC,
        .name = "index-good",
        .version = "1.2.3",
        .licence = "Apache-2.0",
        .build_id = SX_BUILD_ID,
        .summary = "one line",
        .section = SECTION,
        .provides = s->provides,
        .n_provides = 2,
        .provide_size = (uint32_t)sizeof(struct sx_provide),
        .needs = s->needs,
        .n_needs = 1,
        .need_size = (uint32_t)sizeof(struct sx_need),
        .keys = s->keys,
        .n_keys = 3,
        .key_size = (uint32_t)sizeof(struct sx_key),
        .conf_size = (uint32_t)sizeof(struct conf),
        .instance_size = 100,
        .configure = ANY(sx_plugin, configure),
    };
}

/* --- the cases: each a function that spoils (or only changes) the subject ------------------------
 */

#define CASE(fn, statement)                                                                        \
    static void fn(struct subject *s)                                                              \
    {                                                                                              \
        statement;                                                                                 \
    }

CASE(good, (void)s)
CASE(magic, s->p.magic++)
CASE(major, s->p.abi_major++)
CASE(minor, s->p.abi_minor = SX_ABI_MINOR + 1)
CASE(size_short, s->p.size -= 8)
CASE(size_long, s->p.size += 8)
CASE(size_zero, s->p.size = 0)
CASE(name_null, s->p.name = NULL)
CASE(name_bare, s->p.name = "good")
CASE(name_upper, s->p.name = "index-Good")
CASE(name_hyphens, s->p.name = "index--good")
CASE(name_end, s->p.name = "index-")
CASE(name_path, s->p.name = "index-../x")
CASE(version_null, s->p.version = NULL)
CASE(licence_empty, s->p.licence = "")
CASE(summary_lines, s->p.summary = "two\nlines")
CASE(build_null, s->p.build_id = NULL)
CASE(strict_other, s->p.flags = SX_PLUGIN_STRICT; s->p.build_id = "another")
CASE(strict_same, s->p.flags = SX_PLUGIN_STRICT)
CASE(other_build, s->p.build_id = "another")
CASE(flags_unknown, s->p.flags = 0x80)
CASE(section_null, s->p.section = NULL)
CASE(section_name, s->p.section = "index-goods kinds=distance,index abi=1.0")
CASE(section_abi, s->p.section = "index-good kinds=distance,index abi=1.1")
CASE(section_less, s->p.section = "index-good kinds=index abi=1.0")
CASE(section_more, s->p.section = "index-good kinds=distance,index,web abi=1.0")
CASE(section_junk, s->p.section = "index-good kinds=distance,index,,x abi=1.0")
CASE(provides_null, s->p.provides = NULL)
CASE(provides_stride, s->p.provide_size = 8)
CASE(provides_wide, s->p.provide_size += 8)
CASE(provides_many, s->p.n_provides = UINT32_MAX)
CASE(provide_size, s->provides[1].size = 200)
CASE(provide_kind, s->provides[0].kind = SX_KIND_MAX)
CASE(provide_name, s->provides[0].name = "two words")
CASE(provide_noname, s->provides[0].name = NULL)
CASE(provide_ops, s->provides[0].ops = NULL)
CASE(provide_noiface, s->provides[0].iface_version = 0)
CASE(provide_newer, s->provides[0].iface_version = 2)
CASE(provide_twice, s->provides[1] = s->provides[0])
CASE(caps_unknown, s->provides[0].caps |= 1ull << 50)
CASE(ops_long, s->distance.size = 4096)
CASE(ops_odd, s->distance.size = 13)
CASE(ops_short, s->index.size = 64)
CASE(distance_resolve, s->distance.resolve = NULL)
CASE(distance_preprocess, s->distance.preprocess = NULL)
CASE(distance_optional, s->provides[0].caps = SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_F16;
     s->distance.preprocess = NULL;
     s->distance.postprocess = NULL)
CASE(distance_old, s->provides[0].caps = SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_F16;
     s->distance.size = (uint32_t)offsetof(struct sx_distance_ops, preprocess))
CASE(distance_turns, s->provides[0].caps &= ~SX_DISTANCE_LARGER_BETTER;
     s->distance.postprocess = NULL)
CASE(distance_dtype, s->provides[0].caps &= ~SX_DISTANCE_F32)
CASE(index_search, s->index.search = NULL)
CASE(index_insert, s->index.insert = NULL)
CASE(index_insert_cap, s->provides[1].caps &= ~SX_INDEX_INCREMENTAL)
CASE(index_parallel, s->provides[1].caps &= ~SX_INDEX_INCREMENTAL; s->index.insert = NULL;
     s->provides[1].caps |= SX_INDEX_PARALLEL_INSERT)
CASE(index_mask, s->provides[1].caps &= ~SX_INDEX_RESUME; s->index.resume = NULL)
CASE(index_remove, s->provides[1].caps |= SX_INDEX_REMOVE)
CASE(index_plain, s->provides[1].caps = 0; s->index.insert = NULL; s->index.resume = NULL)

static void as_storage(struct subject *s)
{
    s->provides[0] = provide(SX_KIND_ROWS, "good", SX_STORAGE_ADDRESSABLE, &s->rows);
    s->provides[1] = provide(SX_KIND_BLOBS, "good", 0, &s->blobs);
    s->p.section = "index-good kinds=blobs,rows abi=1.0";
}
CASE(storage_good, as_storage(s))
CASE(rows_table, as_storage(s); s->rows.rows = NULL)
CASE(rows_no_cap, as_storage(s); s->provides[0].caps = 0)
CASE(rows_advise, as_storage(s); s->provides[0].caps |= SX_STORAGE_PREFETCH)
CASE(blobs_put, as_storage(s); s->blobs.put = NULL)
CASE(need_kind, s->needs[0].kind = 0)
CASE(need_name, s->needs[0].name = "")
CASE(need_strength, s->needs[0].strength = 2)
CASE(key_type, s->keys[0].type = 99)
CASE(key_path, s->keys[0].path = NULL)
CASE(key_flags, s->keys[0].flags = 0x100)
CASE(key_outside, s->keys[1].offset = sizeof(struct conf) - 4)
CASE(key_far, s->keys[1].offset = UINT32_MAX - 7)
CASE(key_crooked, s->keys[0].offset = 4)
CASE(key_overlap, s->keys[1].offset = 0)
CASE(key_twice, s->keys[2].path = "number")
CASE(key_help, s->keys[2].help = NULL)
CASE(key_reload, s->keys[2].flags = SX_KEY_RELOADABLE)
CASE(key_reload_ok, s->keys[2].flags = SX_KEY_RELOADABLE; s->p.reload = ANY(sx_plugin, reload))
CASE(keys_nobody, s->p.configure = NULL)
CASE(sizes_conf, s->p.conf_size = UINT32_MAX)
CASE(sizes_self, s->p.instance_size = UINT32_MAX)
CASE(sizes_thread, s->p.thread_size = UINT32_MAX)
CASE(nothing, s->p.n_provides = s->p.n_needs = s->p.n_keys = 0;
     s->p.section = "index-good kinds= abi=1.0")

static const struct {
    const char *name;
    void (*spoil)(struct subject *s);
    const char *text; /* part of the finding; NULL: none */
} cases[] = {
#define GOOD(fn)                                                                                   \
    {                                                                                              \
#fn, fn, NULL                                                                              \
    }
#define BAD(fn, text)                                                                              \
    {                                                                                              \
#fn, fn, text                                                                              \
    }
    GOOD(good),
    BAD(magic, "not a descriptor"),
    BAD(major, "built for ABI"),
    BAD(minor, "built for ABI"),
    BAD(size_short, "descriptor of"),
    BAD(size_long, "descriptor of"),
    BAD(size_zero, "descriptor of"),
    BAD(name_null, "name must be"),
    BAD(name_bare, "name must be"),
    BAD(name_upper, "name must be"),
    BAD(name_hyphens, "name must be"),
    BAD(name_end, "name must be"),
    BAD(name_path, "name must be"),
    BAD(version_null, "version"),
    BAD(licence_empty, "licence"),
    BAD(summary_lines, "summary"),
    BAD(build_null, "build id"),
    BAD(strict_other, "strict module of build 'another'"),
    GOOD(strict_same),
    GOOD(other_build),
    BAD(flags_unknown, "unknown flags"),
    BAD(section_null, "section text"),
    BAD(section_name, "does not begin with 'index-good'"),
    BAD(section_abi, "lacks 'abi=1.0'"),
    BAD(section_less, "does not name kind 'distance'"),
    BAD(section_more, "names kind 'web'"),
    BAD(section_junk, "names kind ''"),
    BAD(provides_null, "provides:"),
    BAD(provides_stride, "provides:"),
    BAD(provides_wide, "provides:"),
    BAD(provides_many, "provides:"),
    BAD(provide_size, "entry 1 says 200"),
    BAD(provide_kind, "unknown kind"),
    BAD(provide_name, "distance without a proper name"),
    BAD(provide_noname, "distance without a proper name"),
    BAD(provide_ops, "no table"),
    GOOD(provide_noiface),
    BAD(provide_newer, "interface version 2 is newer"),
    BAD(provide_twice, "provided twice"),
    BAD(caps_unknown, "unknown capability bits 0x4000000000000"),
    BAD(ops_long, "table says 4096 bytes"),
    BAD(ops_odd, "table says 13 bytes"),
    BAD(ops_short, "callback search is missing"),
    BAD(distance_resolve, "callback resolve is missing"),
    BAD(distance_preprocess, "callback preprocess is missing although"),
    GOOD(distance_optional),
    GOOD(distance_old),
    BAD(distance_turns, "postprocess"),
    BAD(distance_dtype, "no row datatype"),
    BAD(index_search, "callback search is missing"),
    BAD(index_insert, "callback insert is missing although"),
    BAD(index_insert_cap, "callback insert is set but"),
    BAD(index_parallel, "PARALLEL_INSERT needs INCREMENTAL"),
    BAD(index_mask, "MASK needs RESUME"),
    BAD(index_remove, "callback remove is missing although"),
    GOOD(index_plain),
    GOOD(storage_good),
    BAD(rows_table, "callback rows is missing although"),
    BAD(rows_no_cap, "callback rows is set but"),
    BAD(rows_advise, "callback advise is missing although"),
    BAD(blobs_put, "callback put is missing"),
    BAD(need_kind, "need 0: unknown kind"),
    BAD(need_name, "need 0: rows without a proper name"),
    BAD(need_strength, "need 0: strength 2"),
    BAD(key_type, "unknown type 99"),
    BAD(key_path, "no proper path"),
    BAD(key_flags, "unknown flags"),
    BAD(key_outside, "'service.text': offset"),
    BAD(key_far, "'service.text': offset"),
    BAD(key_crooked, "'number': offset"),
    BAD(key_overlap, "overlap"),
    BAD(key_twice, "stands twice"),
    BAD(key_help, "no help text"),
    BAD(key_reload, "reload is missing"),
    GOOD(key_reload_ok),
    BAD(keys_nobody, "no callback configure"),
    BAD(sizes_conf, "sizes out of range"),
    BAD(sizes_self, "sizes out of range"),
    BAD(sizes_thread, "sizes out of range"),
    GOOD(nothing),
};

struct findings {
    const char *wanted;
    uint32_t n, is_found;
};

static void take_finding(void *arg, const char *text)
{
    struct findings *f = arg;
    f->n++;
    if (f->wanted != NULL && strstr(text, f->wanted) != NULL)
        f->is_found = 1;
    if (f->wanted == NULL)
        print_message("    unexpected: %s\n", text);
    assert_null(strchr(text, '\n'));
}

static void test_cases(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        struct subject s;
        struct sx_err err = SX_ERR_INIT;
        struct findings f = {cases[i].text, 0, 0};
        subject_init(&s);
        cases[i].spoil(&s);
        uint32_t n = sx_plugin_vet_all(&s.p, take_finding, &f);
        int rc = sx_plugin_vet(&s.p, &err);
        if (n != f.n || (n == 0) != (cases[i].text == NULL) || (cases[i].text && !f.is_found) ||
            rc != (n == 0 ? 0 : SX_EABI) || (n > 0 && err.msg[0] == '\0'))
            fail_msg("case %s: %u findings, code %d, first: %s", cases[i].name, n, rc, err.msg);
        assert_int_equal(sx_plugin_vet(&s.p, NULL), rc);
    }
    assert_int_equal(sx_plugin_vet(NULL, NULL), SX_EABI);
}

/* Nothing behind the first 16 bytes is looked at when these say that it is not ours. */
static void test_head_only(void **state)
{
    (void)state;
    struct {
        uint32_t size;
        uint16_t major, minor;
        uint64_t magic;
    } head = {16, SX_ABI_MAJOR + 1, 0, SX_PLUGIN_MAGIC};
    assert_int_equal(sx_plugin_vet((const struct sx_plugin *)(const void *)&head, NULL), SX_EABI);
    head.major = SX_ABI_MAJOR;
    assert_int_equal(sx_plugin_vet((const struct sx_plugin *)(const void *)&head, NULL), SX_EABI);
    head.magic = 0;
    assert_int_equal(sx_plugin_vet((const struct sx_plugin *)(const void *)&head, NULL), SX_EABI);
}

/* All mistakes of a descriptor are told, not the first one only. */
static void test_tells_all(void **state)
{
    (void)state;
    struct subject s;
    struct findings f = {"version", 0, 0};
    subject_init(&s);
    s.p.version = NULL;
    s.p.summary = NULL;
    s.index.search = NULL;
    s.needs[0].strength = 7;
    s.keys[0].type = 0;
    assert_int_equal(sx_plugin_vet_all(&s.p, take_finding, &f), 5);
}

static void test_kind_names(void **state)
{
    (void)state;
    for (uint32_t kind = 1; kind < SX_KIND_MAX; kind++) {
        const char *name = sx_kind_name(kind);
        assert_non_null(name);
        assert_int_equal(sx_kind_parse(name, strlen(name)), kind);
        assert_int_equal(sx_kind_parse(name, strlen(name) - 1), 0);
    }
    assert_null(sx_kind_name(0));
    assert_null(sx_kind_name(SX_KIND_MAX));
    assert_int_equal(sx_kind_parse("", 0), 0);
    assert_int_equal(sx_kind_parse("indexes", 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_head_only),
        cmocka_unit_test(test_tells_all),
        cmocka_unit_test(test_kind_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
