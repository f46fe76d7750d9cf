/* Life of an analyzer, and the kits that running analyses borrow of it.
 *
 * Stemmers and the scratch of a tokenizer module serve one thread at a time, an analyzer serves
 * many. So it keeps up to ENG__TEXT_KITS kits in slots; taking one is one atomic exchange, and a
 * thread that finds no kit makes one. Nobody waits. */
#include <string.h>

#include "sextant/sx_plugin.h"
#include "sextant/sx_text.h"

#include "text_priv.h"

#include "sextant/sx_ban.h"

/* Raised when the same parameters give other tokens: stored tokens of older rules are then made
 * again. */
#define RULES 1u

static const struct sx_tokenizer_ops *ops_of(const struct eng_analyzer *a)
{
    return (const struct sx_tokenizer_ops *)a->module->ops;
}

/* --- kits --------------------------------------------------------------------------------- */

static void kit_destroy(const struct eng_analyzer *a, struct eng__text_kit *kit)
{
    if (kit == NULL)
        return;
    if (kit->stemmer != NULL)
        eng__text_stemmer_close(kit->stemmer);
    if (kit->scratch != NULL) {
        if (SX_HAS(ops_of(a), scratch_end))
            ops_of(a)->scratch_end(a->module->self, a->handle, kit->scratch);
        a->mem->release(a->mem, kit->block);
    }
    sx_buf_fini(&kit->stem);
    sx_buf_fini(&kit->split);
    a->mem->release(a->mem, kit);
}

static struct eng__text_kit *kit_create(const struct eng_analyzer *a)
{
    struct eng__text_kit *kit = a->mem->zalloc(a->mem, sizeof(*kit));

    if (kit == NULL)
        return NULL;
    sx_buf_init(&kit->stem, a->mem);
    sx_buf_init(&kit->split, a->mem);
    if (a->p.stemmer != 0 && (kit->stemmer = eng__text_stemmer_open(a->p.stemmer)) == NULL)
        goto fail;
    if (a->module != NULL && SX_HAS(ops_of(a), scratch_size)) {
        uint64_t n = ops_of(a)->scratch_size(a->module->self, a->handle);

        if (n != 0 && (kit->block = a->mem->zalloc(a->mem, n + 63)) == NULL)
            goto fail;
        if (n != 0)
            kit->scratch = (char *)kit->block + (-(uintptr_t)kit->block & 63);
    }
    return kit;
fail:
    kit_destroy(a, kit);
    return NULL;
}

struct eng__text_kit *eng__text_kit_take(const struct eng_analyzer *a)
{
    for (uint32_t i = 0; i < ENG__TEXT_KITS; i++) {
        struct eng__text_kit *kit;

        if (__atomic_load_n(&a->kits->slots[i], __ATOMIC_RELAXED) == NULL)
            continue;
        /* pairs with the release in eng__text_kit_give() */
        kit = __atomic_exchange_n(&a->kits->slots[i], NULL, __ATOMIC_ACQUIRE);
        if (kit != NULL)
            return kit;
    }
    return kit_create(a);
}

void eng__text_kit_give(const struct eng_analyzer *a, struct eng__text_kit *kit)
{
    for (uint32_t i = 0; i < ENG__TEXT_KITS; i++) {
        struct eng__text_kit *empty = NULL;

        /* pairs with the exchange in eng__text_kit_take() */
        if (__atomic_compare_exchange_n(&a->kits->slots[i], &empty, kit, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return;
    }
    kit_destroy(a, kit);
}

/* --- life --------------------------------------------------------------------------------- */

static int find_module(struct eng_analyzer *a,
                       const struct sx_reg *reg,
                       const struct eng__text_params *p,
                       struct sx_err *err)
{
    const struct sx_provider *m = reg == NULL ? NULL : reg->find(SX_KIND_TOKENIZER, "multilingual");

    if (m == NULL)
        return sx_err_set(err, SX_EUNSUPPORTED, "the multilingual tokenizer is not installed");
    if (p->phrase && (m->caps & SX_TOKENIZER_POSITIONS) == 0)
        return sx_err_set(err, SX_EUNSUPPORTED,
                          "the multilingual tokenizer of this server cannot match phrases");
    a->module = m;
    return ops_of(a)->open(m->self, (struct sx_doc){NULL, 0, 0}, &a->handle, err);
}

int eng__analyzer_make(const struct sx_mem *mem,
                       const struct sx_reg *reg,
                       const struct eng__text_params *p,
                       struct eng_analyzer **out,
                       struct sx_err *err)
{
    struct eng_analyzer *a = mem->zalloc(mem, sizeof(*a));
    int rc = 0;

    if (a == NULL)
        return sx_err_set(err, SX_ENOMEM, "out of memory");
    a->mem = mem;
    a->p = *p;
    a->p.custom = (struct sx_doc){NULL, 0, 0}; /* the caller's */
    a->kits = mem->zalloc(mem, sizeof(*a->kits));
    if (a->kits == NULL || eng__text_stops_init(&a->stops, mem, p) != 0)
        rc = sx_err_set(err, SX_ENOMEM, "out of memory");
    else if (p->tokenizer == ENG_TOK_MULTILINGUAL)
        rc = find_module(a, reg, p, err);
    if (rc != 0) {
        a->module = NULL;
        eng_analyzer_destroy(a);
        return rc;
    }
    *out = a;
    return 0;
}

void eng_analyzer_destroy(struct eng_analyzer *a)
{
    if (a == NULL)
        return;
    if (a->kits != NULL) {
        for (uint32_t i = 0; i < ENG__TEXT_KITS; i++)
            kit_destroy(a, a->kits->slots[i]);
        a->mem->release(a->mem, a->kits);
    }
    if (a->module != NULL)
        ops_of(a)->close(a->module->self, a->handle);
    eng__text_stops_fini(&a->stops, a->mem);
    a->mem->release(a->mem, a);
}

/* --- version ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t mix_text(uint64_t h, struct sx_str s)
{
    for (uint32_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return mix(h, s.n);
}

struct stems {
    const struct eng_analyzer *a;
    struct eng__text_kit *kit;
    uint64_t h;
};

static int mix_stem(void *arg, struct sx_str word)
{
    struct stems *s = arg;
    struct sx_str stem;
    int rc = eng__text_stem(s->kit->stemmer, s->a->p.stemmer, word, &s->kit->stem, &stem);

    if (rc == 0)
        s->h = mix_text(s->h, stem);
    return rc;
}

/* A library of stemmers does not tell its version, so the stems of common words stand for it: the
 * language's stop words, if it has a list. */
static uint64_t mix_stemmer(const struct eng_analyzer *a, uint64_t h)
{
    const char *name = eng__text_stemmer_name(a->p.stemmer);
    int list = eng__text_list_find((struct sx_str){name, (uint32_t)strlen(name), 0});
    struct stems s = {a, eng__text_kit_take(a), h};

    if (s.kit == NULL)
        return 0;
    if (list >= 0 && eng__text_list_each((uint32_t)list, mix_stem, &s) != 0)
        s.h = 0;
    eng__text_kit_give(a, s.kit);
    return s.h;
}

uint64_t eng_analyzer_version(const struct eng_analyzer *a)
{
    /* A letter of each edition of Unicode since the one of 2021: which of them are letters tells
     * how old the table of letters is. */
    static const uint32_t letters[] = {0x1df25, 0x2ebf0, 0x10d50, 0x16ea0, 0x1df90};
    uint64_t h = mix(RULES, a->p.tokenizer), custom = 0;

    h = mix(h, a->p.lowercase << 2 | a->p.fold << 1 | a->p.has_min);
    h = mix(mix(h, a->p.min_len), a->p.max_len);
    h = mix(mix(h, a->p.stop_lists), a->p.stemmer);
    for (uint64_t at = 0; at < a->stops.words.n;) { /* in any order */
        struct sx_str word = {a->stops.words.p + at + 4, 0, 0};

        memcpy(&word.n, a->stops.words.p + at, 4);
        custom += mix_text(1, word);
        at += 4 + word.n;
    }
    h = mix(h, custom);
    for (uint32_t i = 0; i < SX_COUNT(letters); i++)
        h = mix(h, (uint64_t)sx_is_alnum(letters[i]));
    if (a->p.stemmer != 0)
        h = mix_stemmer(a, h);
    if (a->module != NULL)
        h = mix(h, ops_of(a)->version(a->module->self, a->handle));
    return h;
}
