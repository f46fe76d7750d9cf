/* tokenizer-icu: runs of a script that is written without spaces.
 *
 * Chinese, Japanese, Thai, Khmer, Lao and Burmese: one word iterator of the library serves them
 * all, it takes the dictionary by the characters it meets. Iterators are not thread safe, so the
 * scratch holds a clone (made at the first such run, some microseconds; rules and dictionaries stay
 * shared).
 *
 * A run may be as long as a text. It is taken through a window of fixed size, so that a call needs
 * no memory that grows with its text: of a full window all words are given away but those near its
 * end, which the next filling sees again with what follows them.
 *
 * The dictionary sees the characters as they were written and words are folded afterwards, also
 * from traditional to simplified Chinese. The other way round the two ways of writing would be cut
 * alike always (now in 19 words of 20), but one word of 25 of a Japanese text would be cut to
 * pieces, because its characters simplified are in no dictionary. */
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/utf16.h>

#include "sextant/sx_text.h"

#include "tokicu.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct run {
    struct tokicu_split *s;
    const char *p, *end; /* not in the window yet */
    UScriptCode script;
    uint32_t n; /* units in the window */
    uint32_t flags;
};

/* The next characters as UTF-16. Stops early before a character that joins none before it, so that
 * composition sees whole sequences; says how many units. */
static uint32_t take_raw(struct run *r, UChar *out, uint32_t cap)
{
    const UNormalizer2 *compose = r->s->h->compose;
    uint32_t n = 0;
    while (r->p < r->end && n + 2 <= cap) {
        const char *next = r->p;
        UChar32 c = (UChar32)sx_utf8_next(&next, r->end);
        if (n + 8 > cap && unorm2_hasBoundaryBefore(compose, c))
            break;
        U16_APPEND_UNSAFE(out, n, c);
        r->p = next;
    }
    return n;
}

/* Marks that nothing composed with: variation selectors of kanji, stray accents. */
static uint32_t without_marks(UChar *p, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n;) {
        UChar32 c;
        U16_NEXT(p, i, n, c);
        if (u_charType(c) != U_NON_SPACING_MARK)
            U16_APPEND_UNSAFE(p, kept, c);
    }
    return kept;
}

/* Puts more of the run into the window. Chinese and Japanese are composed first, because the
 * dictionary knows no half-width kana; in the other scripts it wants the text as it is. */
static int fill(struct run *r)
{
    struct tokicu_scratch *sc = r->s->scratch;
    UErrorCode code = U_ZERO_ERROR;
    while (r->p < r->end && r->n + TOKICU_CHUNK_MAX <= TOKICU_WINDOW) {
        uint32_t n = take_raw(r, sc->raw, TOKICU_CHUNK);
        const UChar *from = sc->raw;
        if (r->script == USCRIPT_HAN) {
            n = (uint32_t)unorm2_normalize(r->s->h->compose, sc->raw, (int32_t)n, sc->chunk,
                                           (int32_t)TOKICU_CHUNK_MAX, &code);
            if (U_FAILURE(code))
                return tokicu_fail(r->s->err, code, "composition");
            n = without_marks(sc->chunk, n);
            from = sc->chunk;
        }
        memcpy(sc->window + r->n, from, n * sizeof(UChar));
        r->n += n;
    }
    return SX_OK;
}

static int emit_word(struct run *r, uint32_t from, uint32_t to)
{
    struct tokicu_fold f;
    const UChar *w = r->s->scratch->window;
    tokicu_fold_begin(&f, r->s->h, r->s->buf, r->script);
    while (from < to) {
        UChar32 c;
        U16_NEXT(w, from, to, c);
        tokicu_fold_add(&f, c);
    }
    int rc = tokicu_fold_end(&f);
    return rc > 0 ? tokicu_emit(r->s, r->s->buf->p, r->s->buf->n, r->flags) : rc;
}

/* Gives away the words of the window that no later character can change and moves the rest to its
 * front. */
static int drain(struct run *r)
{
    struct tokicu_scratch *sc = r->s->scratch;
    UErrorCode code = U_ZERO_ERROR;
    uint32_t bound = r->p < r->end ? r->n - TOKICU_TAIL : r->n, done = 0;
    ubrk_setText(sc->words, sc->window, (int32_t)r->n, &code);
    if (U_FAILURE(code))
        return tokicu_fail(r->s->err, code, "word breaks");
    ubrk_first(sc->words);
    for (int32_t at; (at = ubrk_next(sc->words)) != UBRK_DONE; done = (uint32_t)at) {
        if ((uint32_t)at > bound && done > 0)
            break; /* a first word that fills the window is given away as it is */
        int rc = emit_word(r, done, (uint32_t)at);
        if (rc != 0)
            return rc;
    }
    r->n -= done;
    memmove(sc->window, sc->window + done, r->n * sizeof(UChar));
    return SX_OK;
}

static int need_iterator(struct tokicu_split *s)
{
    UErrorCode code = U_ZERO_ERROR;
    if (s->scratch->words != NULL)
        return SX_OK;
    UBreakIterator *words = ubrk_clone(s->h->words, &code);
    if (U_FAILURE(code) || words == NULL)
        return tokicu_fail(s->err, U_FAILURE(code) ? code : U_MEMORY_ALLOCATION_ERROR,
                           "word breaks");
    s->scratch->words = words;
    return SX_OK;
}

/* Japanese is Chinese characters in a text that has kana. */
static int text_has_kana(struct tokicu_split *s)
{
    if (s->has_kana == 0) {
        const char *p = s->text.p, *end = p + s->text.n;
        s->has_kana = 1;
        while (p < end && s->has_kana == 1) {
            UErrorCode code = U_ZERO_ERROR;
            UScriptCode script = uscript_getScript((UChar32)sx_utf8_next(&p, end), &code);
            if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA)
                s->has_kana = 2;
        }
    }
    return s->has_kana == 2;
}

int tokicu_segment(struct tokicu_split *s, const char *p, const char *end, UScriptCode script)
{
    struct run r = {.s = s, .p = p, .end = end, .script = script};
    if (script == USCRIPT_HAN && text_has_kana(s))
        r.flags = SX_TOKEN_UNSTEMMED | SX_TOKEN_UNLIMITED;
    int rc = need_iterator(s);
    while (rc == 0 && (r.p < r.end || r.n > 0)) {
        rc = fill(&r);
        if (rc == 0)
            rc = drain(&r);
    }
    return rc;
}
