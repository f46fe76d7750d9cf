/* Names of tokenizers, stop word lists and stemmers. Both orders are fixed: of the lists because
 * scripts/gen-text-tables.py writes them in it, of the stemmers because text_stem.c counts on it.
 */
#include <string.h>

#include "text_priv.h"

#include "sextant/sx_ban.h"

struct name {
    const char *full, *alias;
};

static const struct name tokenizers[] = {
    {"word", NULL}, {"whitespace", NULL}, {"prefix", NULL}, {"multilingual", NULL}, {"code", NULL}};

static const struct name lists[ENG__TEXT_LISTS] = {
    {"arabic", "ar"},     {"azerbaijani", "az"}, {"basque", "eu"},      {"bengali", "bn"},
    {"catalan", "ca"},    {"chinese", "zh"},     {"danish", "da"},      {"dutch", "nl"},
    {"english", "en"},    {"finnish", "fi"},     {"french", "fr"},      {"german", "de"},
    {"greek", "el"},      {"hebrew", "he"},      {"hinglish", "hi-en"}, {"hungarian", "hu"},
    {"indonesian", "id"}, {"italian", "it"},     {"japanese", "jp"},    {"kazakh", "kk"},
    {"nepali", "ne"},     {"norwegian", "no"},   {"portuguese", "pt"},  {"romanian", "ro"},
    {"russian", "ru"},    {"slovene", "sl"},     {"spanish", "es"},     {"swedish", "sv"},
    {"tajik", "tg"},      {"turkish", "tr"}};

static const struct name stemmers[ENG__TEXT_STEMMERS] = {
    {"arabic", "ar"},     {"armenian", "hy"},  {"danish", "da"},  {"dutch", "nl"},
    {"english", "en"},    {"finnish", "fi"},   {"french", "fr"},  {"german", "de"},
    {"greek", "el"},      {"hungarian", "hu"}, {"italian", "it"}, {"norwegian", "no"},
    {"portuguese", "pt"}, {"romanian", "ro"},  {"russian", "ru"}, {"spanish", "es"},
    {"swedish", "sv"},    {"tamil", "ta"},     {"turkish", "tr"}};

static int is_name(const char *name, struct sx_str s)
{
    return name != NULL && strlen(name) == s.n && memcmp(name, s.p, s.n) == 0;
}

static int find(const struct name *names, uint32_t n, struct sx_str s)
{
    for (uint32_t i = 0; s.p != NULL && i < n; i++)
        if (is_name(names[i].full, s) || is_name(names[i].alias, s))
            return (int)i;
    return -1;
}

int eng__text_tokenizer_find(struct sx_str name)
{
    return find(tokenizers, SX_COUNT(tokenizers), name);
}

int eng__text_list_find(struct sx_str name)
{
    return find(lists, ENG__TEXT_LISTS, name);
}

int eng__text_stemmer_find(struct sx_str name)
{
    int i = find(stemmers, ENG__TEXT_STEMMERS, name);

    return i < 0 ? -1 : i + 1;
}

const char *eng__text_list_name(uint32_t i)
{
    return lists[i].full;
}

const char *eng__text_stemmer_name(uint32_t stemmer)
{
    return stemmers[stemmer - 1].full;
}
