/* Vetting, kind by kind: does a provide's table hold what its capability bits promise?
 *
 * One row of `rules` per callback: when it must be there, and when it must not. A new kind is a
 * list of rules and an entry in `kinds`; kinds without an entry are checked for their table's head
 * only. Tables are read through their `size`, so that an older, shorter one is never read past its
 * end. */
#include "sextant/sx_distance.h"
#include "sextant/sx_index.h"
#include "sextant/sx_storage.h"
#include "sextant/sx_tokenizer.h"
#include "sextant/sx_vet.h"

#include "plugin_vet.h"

#define ALWAYS 0ull /* required whatever the capabilities */

/* needs ALWAYS: required. Otherwise required when one of the bits is set; `is_only` forbids the
 * callback when none is. */
struct rule {
    const char *name;
    uint32_t offset;
    uint32_t is_only;
    uint64_t needs;
};

#define RULE(type, field, only, bits)                                                              \
    {                                                                                              \
        .name = #field, .offset = (uint32_t)offsetof(struct type, field), .is_only = (only),       \
        .needs = (bits)                                                                            \
    }
#define REQUIRED(type, field)               RULE(type, field, 0, ALWAYS)
#define WITH_CAP(type, field, bits)         RULE(type, field, 1, bits)
#define WITH_CAP_OR_MORE(type, field, bits) RULE(type, field, 0, bits)

/* A capability that makes no sense without another. */
struct implied {
    uint64_t bit, needs;
    const char *text;
};

struct kind_rules {
    uint32_t kind, iface, ops_size, n_rules, n_implied, pad;
    uint64_t known_caps;
    const struct rule *rules;
    const struct implied *implied;
};

static const struct rule distance_rules[] = {
    REQUIRED(sx_distance_ops, resolve),
    WITH_CAP_OR_MORE(sx_distance_ops, preprocess, SX_DISTANCE_NORMALIZES),
};

static const struct rule index_rules[] = {
    REQUIRED(sx_index_ops, create),
    REQUIRED(sx_index_ops, open),
    REQUIRED(sx_index_ops, destroy),
    REQUIRED(sx_index_ops, build),
    WITH_CAP(sx_index_ops, insert, SX_INDEX_INCREMENTAL),
    WITH_CAP(sx_index_ops, remove, SX_INDEX_REMOVE),
    WITH_CAP(sx_index_ops, forgotten, SX_INDEX_REMOVE),
    REQUIRED(sx_index_ops, estimate),
    REQUIRED(sx_index_ops, scratch_size),
    REQUIRED(sx_index_ops, search),
    WITH_CAP(sx_index_ops, resume, SX_INDEX_RESUME),
    REQUIRED(sx_index_ops, flush),
};
static const struct implied index_implied[] = {
    {SX_INDEX_PARALLEL_INSERT, SX_INDEX_INCREMENTAL, "PARALLEL_INSERT needs INCREMENTAL"},
    {SX_INDEX_MASK, SX_INDEX_RESUME, "MASK needs RESUME"},
};

static const struct rule rows_rules[] = {
    REQUIRED(sx_rows_ops, open),   REQUIRED(sx_rows_ops, close),
    REQUIRED(sx_rows_ops, append), WITH_CAP(sx_rows_ops, rows, SX_STORAGE_ADDRESSABLE),
    REQUIRED(sx_rows_ops, gather), WITH_CAP_OR_MORE(sx_rows_ops, advise, SX_STORAGE_PREFETCH),
    REQUIRED(sx_rows_ops, drop),   REQUIRED(sx_rows_ops, flush),
    REQUIRED(sx_rows_ops, verify), REQUIRED(sx_rows_ops, files),
    REQUIRED(sx_rows_ops, stats),
};

static const struct rule blobs_rules[] = {
    REQUIRED(sx_blobs_ops, open),  REQUIRED(sx_blobs_ops, close),  REQUIRED(sx_blobs_ops, put),
    REQUIRED(sx_blobs_ops, get),   REQUIRED(sx_blobs_ops, dead),   REQUIRED(sx_blobs_ops, drop),
    REQUIRED(sx_blobs_ops, flush), REQUIRED(sx_blobs_ops, verify), REQUIRED(sx_blobs_ops, files),
    REQUIRED(sx_blobs_ops, stats),
};

static const struct rule tokenizer_rules[] = {
    REQUIRED(sx_tokenizer_ops, open),    REQUIRED(sx_tokenizer_ops, close),
    REQUIRED(sx_tokenizer_ops, version), REQUIRED(sx_tokenizer_ops, scratch_size),
    REQUIRED(sx_tokenizer_ops, split),
};

#define STORAGE_CAPS                                                                               \
    (SX_STORAGE_ADDRESSABLE | SX_STORAGE_PERSIST | SX_STORAGE_ASYNC_FLUSH | SX_STORAGE_PREFETCH)

static const struct kind_rules kinds[] = {
    {
        .kind = SX_KIND_DISTANCE,
        .iface = SX_DISTANCE_IFACE,
        .ops_size = (uint32_t)sizeof(struct sx_distance_ops),
        .known_caps = SX_DISTANCE_LARGER_BETTER | SX_DISTANCE_NORMALIZES | SX_DISTANCE_SYMMETRIC |
                      SX_DISTANCE_TRIANGLE | SX_DISTANCE_F32 | SX_DISTANCE_F16 | SX_DISTANCE_U8,
        .rules = distance_rules,
        .n_rules = SX_COUNT(distance_rules),
    },
    {
        .kind = SX_KIND_INDEX,
        .iface = SX_INDEX_IFACE,
        .ops_size = (uint32_t)sizeof(struct sx_index_ops),
        .known_caps = (SX_INDEX_EXACT << 1) - 1,
        .rules = index_rules,
        .n_rules = SX_COUNT(index_rules),
        .implied = index_implied,
        .n_implied = SX_COUNT(index_implied),
    },
    {
        .kind = SX_KIND_ROWS,
        .iface = SX_ROWS_IFACE,
        .ops_size = (uint32_t)sizeof(struct sx_rows_ops),
        .known_caps = STORAGE_CAPS,
        .rules = rows_rules,
        .n_rules = SX_COUNT(rows_rules),
    },
    {
        .kind = SX_KIND_BLOBS,
        .iface = SX_BLOBS_IFACE,
        .ops_size = (uint32_t)sizeof(struct sx_blobs_ops),
        .known_caps = STORAGE_CAPS,
        .rules = blobs_rules,
        .n_rules = SX_COUNT(blobs_rules),
    },
    {
        .kind = SX_KIND_TOKENIZER,
        .iface = SX_TOKENIZER_IFACE,
        .ops_size = (uint32_t)sizeof(struct sx_tokenizer_ops),
        .known_caps = SX_TOKENIZER_TRANSFORMS | SX_TOKENIZER_POSITIONS,
        .rules = tokenizer_rules,
        .n_rules = SX_COUNT(tokenizer_rules),
    },
};

static const char *const kind_names[SX_KIND_MAX] = {
    [SX_KIND_DISTANCE] = "distance",
    [SX_KIND_QUANTIZER] = "quantizer",
    [SX_KIND_INDEX] = "index",
    [SX_KIND_ROWS] = "rows",
    [SX_KIND_BLOBS] = "blobs",
    [SX_KIND_OBJSTORE] = "objstore",
    [SX_KIND_ENGINE] = "engine",
    [SX_KIND_TRANSPORT] = "transport",
    [SX_KIND_WEB] = "web",
    [SX_KIND_AUTH] = "auth",
    [SX_KIND_EXPORTER] = "exporter",
    [SX_KIND_TOKENIZER] = "tokenizer",
    [SX_KIND_CONSENSUS] = "consensus",
};

const char *sx_kind_name(uint32_t kind)
{
    return kind < SX_KIND_MAX ? kind_names[kind] : NULL;
}

uint32_t sx_kind_parse(const char *name, uint64_t n)
{
    for (uint32_t kind = 1; kind < SX_KIND_MAX; kind++) {
        const char *s = kind_names[kind];
        uint64_t i = 0;
        while (i < n && s[i] != '\0' && s[i] == name[i])
            i++;
        if (i == n && s[i] == '\0')
            return kind;
    }
    return 0;
}

/* All callbacks are pointers; comparing their bytes with zero needs no type. */
static int has_callback(const void *ops, uint32_t ops_size, uint32_t offset)
{
    const unsigned char *p = (const unsigned char *)ops + offset;
    if (ops_size < offset + sizeof(void (*)(void)))
        return 0;
    for (uint32_t i = 0; i < sizeof(void (*)(void)); i++)
        if (p[i] != 0)
            return 1;
    return 0;
}

static void
check_rule(struct sx_vet *v, const struct sx_provide *p, uint32_t ops_size, const struct rule *r)
{
    const char *kind = sx_kind_name(p->kind);
    int has = has_callback(p->ops, ops_size, r->offset);
    int must = r->needs == ALWAYS || (p->caps & r->needs) != 0;
    if (must && !has)
        sx_vet__finding(v, "%s '%s': callback %s is missing%s", kind, p->name, r->name,
                        r->needs == ALWAYS ? "" : " although a capability needs it");
    if (!must && has && r->is_only)
        sx_vet__finding(v, "%s '%s': callback %s is set but its capability is not", kind, p->name,
                        r->name);
}

/* What the distance bits mean together. */
static void check_distance(struct sx_vet *v, const struct sx_provide *p, uint32_t ops_size)
{
    if ((p->caps & (SX_DISTANCE_F32 | SX_DISTANCE_F16 | SX_DISTANCE_U8)) == 0)
        sx_vet__finding(v, "distance '%s': no row datatype among its capabilities", p->name);
    uint32_t post = (uint32_t)offsetof(struct sx_distance_ops, postprocess);
    if ((p->caps & SX_DISTANCE_LARGER_BETTER) == 0 && !has_callback(p->ops, ops_size, post))
        sx_vet__finding(
            v,
            "distance '%s': without LARGER_BETTER callback postprocess must turn scores "
            "into distances",
            p->name);
}

void sx_vet__provide(struct sx_vet *v, const struct sx_provide *p)
{
    const char *name = sx_kind_name(p->kind);
    uint32_t ops_size = *(const uint32_t *)p->ops;
    if (ops_size < 8 || ops_size % 8 != 0) {
        sx_vet__finding(v, "%s '%s': its table says %u bytes", name, p->name, ops_size);
        return;
    }
    for (uint32_t i = 0; i < SX_COUNT(kinds); i++) {
        const struct kind_rules *k = &kinds[i];
        if (k->kind != p->kind)
            continue;
        if (p->iface_version > k->iface) {
            sx_vet__finding(v, "%s '%s': interface version %u is newer than %u", name, p->name,
                            p->iface_version, k->iface);
            return;
        }
        if (ops_size > k->ops_size) {
            sx_vet__finding(v, "%s '%s': its table says %u bytes, version %u has %u", name, p->name,
                            ops_size, p->iface_version, k->ops_size);
            return;
        }
        if ((p->caps & ~k->known_caps) != 0)
            sx_vet__finding(v, "%s '%s': unknown capability bits %#llx", name, p->name,
                            (unsigned long long)(p->caps & ~k->known_caps));
        for (uint32_t j = 0; j < k->n_rules; j++)
            check_rule(v, p, ops_size, &k->rules[j]);
        for (uint32_t j = 0; j < k->n_implied; j++)
            if ((p->caps & k->implied[j].bit) != 0 && (p->caps & k->implied[j].needs) == 0)
                sx_vet__finding(v, "%s '%s': %s", name, p->name, k->implied[j].text);
        if (p->kind == SX_KIND_DISTANCE)
            check_distance(v, p, ops_size);
    }
}
