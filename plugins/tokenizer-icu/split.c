/* tokenizer-icu: a text into runs of one script.
 *
 * A run is letters and digits (the rule of the `word` tokenizer, sx_is_alnum) of one script. Marks
 * that sit on a letter, the joiner and the soft hyphen continue the run they stand in, which `word`
 * does not do: there an accent of its own ends the word, here it is folded away as that of a
 * composed letter is. Everything else separates. Digits and signs that belong to no script stay
 * with the word they touch, but never inside a run for the dictionary. */
#include <unicode/uchar.h>

#include "sextant/sx_text.h"

#include "tokicu.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define ZERO_WIDTH_JOINER 0x200d
#define SOFT_HYPHEN       0xad

/* Script of a character as far as runs are concerned. */
#define SCRIPT_SEPARATES USCRIPT_INVALID_CODE
#define SCRIPT_CONTINUES USCRIPT_INHERITED
#define SCRIPT_ANY       USCRIPT_COMMON

static int is_mark(UChar32 c)
{
    return (U_GET_GC_MASK(c) & (U_GC_MN_MASK | U_GC_MC_MASK | U_GC_ME_MASK)) != 0;
}

/* Chinese, Japanese and the kana are one: a dictionary's words mix them. */
static UScriptCode script_of(UChar32 c)
{
    UErrorCode code = U_ZERO_ERROR;
    if (c < 0x80) {
        UChar32 lower = c | 0x20;
        if (lower >= 'a' && lower <= 'z')
            return USCRIPT_LATIN;
        return c >= '0' && c <= '9' ? SCRIPT_ANY : SCRIPT_SEPARATES;
    }
    UScriptCode script = uscript_getScript(c, &code);
    if (U_FAILURE(code))
        return SCRIPT_SEPARATES;
    if (c == ZERO_WIDTH_JOINER || c == SOFT_HYPHEN || (script <= USCRIPT_INHERITED && is_mark(c)))
        return SCRIPT_CONTINUES;
    if (!sx_is_alnum((uint32_t)c) && !is_mark(c))
        return SCRIPT_SEPARATES;
    if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA)
        return USCRIPT_HAN;
    /* The long-vowel mark and its like. */
    if (script == USCRIPT_COMMON &&
        (uscript_hasScript(c, USCRIPT_HAN) || uscript_hasScript(c, USCRIPT_KATAKANA)))
        return USCRIPT_HAN;
    return script;
}

static int needs_dictionary(UScriptCode script)
{
    switch ((int)script) {
    case USCRIPT_HAN:
    case USCRIPT_THAI:
    case USCRIPT_KHMER:
    case USCRIPT_LAO:
    case USCRIPT_MYANMAR:
        return 1;
    default:
        return 0;
    }
}

int tokicu_emit(struct tokicu_split *s, const char *p, uint64_t n, uint32_t flags)
{
    if (n > UINT32_MAX)
        return sx_err_set(s->err, SX_EINPUT, "a word is longer than 4 GiB");
    struct sx_token t = {
        .size = (uint32_t)sizeof(t),
        .flags = flags,
        .p = p,
        .n = (uint32_t)n,
        .position = s->position++,
    };
    return s->sink(s->arg, &t);
}

/* A word of ASCII: 1 when it was one and is written, else 0. Words in lower case are not copied. */
static int emit_ascii(struct tokicu_split *s, const char *p, const char *end, int *rc)
{
    uint32_t upper = 0, letters = 0;
    uint64_t n = (uint64_t)(end - p);
    for (uint64_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x80)
            return 0;
        upper += c >= 'A' && c <= 'Z';
        letters += c >= 'A';
    }
    *rc = SX_OK;
    if (letters == 0)
        return 1;
    if (upper > 0) {
        s->buf->n = 0;
        char *lower = sx_buf_reserve(s->buf, n);
        *rc = lower == NULL ? SX_ENOMEM : SX_OK;
        for (uint64_t i = 0; lower != NULL && i < n; i++)
            lower[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
        p = lower;
    }
    if (*rc == 0)
        *rc = tokicu_emit(s, p, n, 0);
    return 1;
}

static int emit_folded(struct tokicu_split *s, const char *p, const char *end, UScriptCode script)
{
    struct tokicu_fold f;
    tokicu_fold_begin(&f, s->h, s->buf, script);
    while (p < end)
        tokicu_fold_add(&f, (UChar32)sx_utf8_next(&p, end));
    int rc = tokicu_fold_end(&f);
    return rc > 0 ? tokicu_emit(s, s->buf->p, s->buf->n, 0) : rc;
}

/* The article is written with its noun: behind an alef in any of its forms and a lam the noun
 * begins. Returns p when the word has none. */
static const char *arabic_article_end(const char *p, const char *end)
{
    const char *at = p;
    uint32_t alef = sx_utf8_next(&at, end);
    if (alef != 0x627 && alef != 0x622 && alef != 0x623 && alef != 0x625 && alef != 0x671)
        return p;
    if (at == end || sx_utf8_next(&at, end) != 0x644 || at == end)
        return p;
    return at;
}

static int emit_word(struct tokicu_split *s, const char *p, const char *end, UScriptCode script)
{
    int rc;
    if (emit_ascii(s, p, end, &rc))
        return rc;
    if (script == USCRIPT_ARABIC) {
        const char *noun = arabic_article_end(p, end);
        rc = noun > p ? emit_folded(s, p, noun, script) : SX_OK;
        if (rc != 0)
            return rc;
        p = noun;
    }
    return emit_folded(s, p, end, script);
}

/* Where the run that begins at p ends; its script is *script, which is any until a character tells.
 */
static const char *run_end(const char *p, const char *end, UScriptCode *script)
{
    while (p < end) {
        const char *next = p;
        UScriptCode one = script_of((UChar32)sx_utf8_next(&next, end));
        if (one == SCRIPT_SEPARATES)
            break;
        if (one != SCRIPT_CONTINUES && one != *script) {
            if (one == SCRIPT_ANY ? needs_dictionary(*script)
                                  : *script != SCRIPT_ANY || needs_dictionary(one))
                break;
            if (*script == SCRIPT_ANY)
                *script = one;
        }
        p = next;
    }
    return p;
}

int tokicu_split(void *self,
                 void *handle,
                 struct sx_str text,
                 void *scratch,
                 struct sx_buf *buf,
                 int (*sink)(void *arg, const struct sx_token *t),
                 void *arg,
                 struct sx_err *err)
{
    struct tokicu_split s = {
        .h = handle,
        .scratch = scratch,
        .text = text,
        .buf = buf,
        .sink = sink,
        .arg = arg,
        .err = err,
    };
    const char *p = text.p, *end = p + text.n;
    int rc = SX_OK;
    (void)self;
    while (p < end && rc == 0) {
        const char *start = p;
        UScriptCode script = script_of((UChar32)sx_utf8_next(&p, end));
        if (script == SCRIPT_SEPARATES || script == SCRIPT_CONTINUES)
            continue;
        p = run_end(p, end, &script);
        rc = needs_dictionary(script) ? tokicu_segment(&s, start, p, script)
                                      : emit_word(&s, start, p, script);
    }
    if (rc == SX_ENOMEM)
        return sx_err_set(err, rc, "no memory for a word");
    return rc;
}
