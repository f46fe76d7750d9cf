/* Stop words: the lists by language, compiled in, and words of the caller's own.
 *
 * Both are asked with one hash of the word. A list is an array of buckets of one or two words each,
 * compared byte by byte: entries are exactly as their list has them, never folded or lowered. */
#include <string.h>

#include "text_priv.h"
#include "text_tables.h"

#include "sextant/sx_ban.h"

/* FNV-1a; scripts/gen-text-tables.py has the same. */
static uint32_t hash_of(struct sx_str s)
{
    uint32_t h = 2166136261u;

    for (uint32_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 16777619u;
    return h ^ h >> 15;
}

static int is_same(const char *p, uint32_t n, struct sx_str s)
{
    return n == s.n && (n == 0 || memcmp(p, s.p, n) == 0);
}

static int in_list(const struct eng__text_stoplist *l, uint32_t hash, struct sx_str word)
{
    uint32_t b = hash & l->mask;

    for (uint32_t at = l->starts[b]; at < l->starts[b + 1];) {
        uint32_t n = (unsigned char)l->words[at];

        if (is_same(l->words + at + 1, n, word))
            return 1;
        at += 1 + n;
    }
    return 0;
}

int eng__text_list_each(uint32_t list, int (*fn)(void *arg, struct sx_str word), void *arg)
{
    const struct eng__text_stoplist *l = &eng__text_stoplists[list];
    int rc = 0;

    for (uint32_t at = 0; rc == 0 && at < l->starts[l->mask + 1];) {
        uint32_t n = (unsigned char)l->words[at];

        rc = fn(arg, (struct sx_str){l->words + at + 1, n, 0});
        at += 1 + n;
    }
    return rc;
}

/* --- words of the caller's own ------------------------------------------------------------ */

static struct sx_str custom_at(const struct eng__text_stops *s, uint32_t offset)
{
    struct sx_str word = {s->words.p + offset + 4, 0, 0};

    memcpy(&word.n, s->words.p + offset, 4);
    return word;
}

/* The slot that holds the word or the empty one where it belongs. */
static uint32_t *custom_slot(const struct eng__text_stops *s, uint32_t hash, struct sx_str word)
{
    uint32_t i = hash & s->mask;

    while (s->slots[i] != 0) {
        struct sx_str have = custom_at(s, s->slots[i] - 1);

        if (is_same(have.p, have.n, word))
            break;
        i = (i + 1) & s->mask;
    }
    return &s->slots[i];
}

static int custom_add(struct eng__text_stops *s, struct sx_str word, int lowercase)
{
    uint64_t at = s->words.n;
    char *p = sx_buf_reserve(&s->words, 4 + ENG__TEXT_ROOM(word.n));
    uint32_t *slot, n = word.n;

    if (p == NULL || at > UINT32_MAX - 5 - n)
        return SX_ENOMEM;
    if (lowercase)
        n = (uint32_t)(eng__text_lower(word, p + 4) - (p + 4));
    else if (n != 0)
        memcpy(p + 4, word.p, n);
    memcpy(p, &n, 4);
    word = (struct sx_str){p + 4, n, 0};
    slot = custom_slot(s, hash_of(word), word);
    if (*slot == 0) {
        *slot = (uint32_t)at + 1;
        s->words.n += 4 + n;
        s->n_custom++;
    }
    return 0;
}

int eng__text_stops_init(struct eng__text_stops *s,
                         const struct sx_mem *mem,
                         const struct eng__text_params *p)
{
    uint32_t n = sx_doc_count(p->custom), size = 4;
    int rc = 0;

    memset(s, 0, sizeof(*s));
    s->lists = p->stop_lists;
    sx_buf_init(&s->words, mem);
    if (n == 0)
        return 0;
    while (size / 2 < n && size < 1u << 31)
        size *= 2;
    s->slots = mem->zalloc(mem, (uint64_t)size * sizeof(*s->slots));
    if (s->slots == NULL)
        return SX_ENOMEM;
    s->mask = size - 1;
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = custom_add(s, sx_doc_str(sx_doc_elem(p->custom, i)), p->lowercase != 0);
    if (rc != 0)
        eng__text_stops_fini(s, mem);
    return rc;
}

void eng__text_stops_fini(struct eng__text_stops *s, const struct sx_mem *mem)
{
    if (s->slots != NULL)
        mem->release(mem, s->slots);
    s->slots = NULL;
    s->n_custom = 0;
    sx_buf_fini(&s->words);
}

int eng__text_is_stop(const struct eng__text_stops *s, struct sx_str word)
{
    uint32_t hash = hash_of(word);

    for (uint32_t left = s->lists; left != 0; left &= left - 1)
        if (in_list(&eng__text_stoplists[__builtin_ctz(left)], hash, word))
            return 1;
    return s->n_custom != 0 && *custom_slot(s, hash, word) != 0;
}
