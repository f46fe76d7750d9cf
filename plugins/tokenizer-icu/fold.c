/* tokenizer-icu: the form in which words are compared.
 *
 * Lossy on purpose: who types "cafe" wants the word with its accent. In this order, for each
 * character: compatibility decomposition, lower case, and then by script
 *
 *   Latin, Greek, Hebrew, Arabic, Thai   non-spacing marks go (accents, points, vowel signs, tones)
 *   Latin                                the ligatures ae and oe become two letters; other letters
 *                                        that Unicode does not decompose (o with stroke, sharp s)
 *                                        stay
 *   Greek                                final sigma becomes sigma
 *   Arabic                               alef maqsura becomes yeh, teh marbuta heh, alef wasla
 * alef; tatweel goes others (Cyrillic, Indic, Hangul ...) marks stay, in canonical order: there
 * they make letters Chinese and Japanese                 compatibility *composition* (done before
 * the dictionary looked: half-width kana become full, voiced marks join), marks that are left go,
 * traditional Chinese becomes simplified
 *
 * Decomposed forms are what the tokens look like to whoever hashes them: the
 * short i of Cyrillic is two characters, a Korean syllable two or three. Katakana and hiragana stay
 * apart.
 *
 * The same Chinese table serves Japanese text, where it changes characters that were never
 * simplified: a query of kanji alone does not tell its language, and must meet the documents of
 * either. */
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "tokicu.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define SOFT_HYPHEN    0xad
#define LATIN_AE       0xe6
#define LATIN_OE       0x153
#define GREEK_SIGMA    0x3c3
#define GREEK_FINAL    0x3c2
#define ARABIC_TATWEEL 0x640
#define ARABIC_ALEF    0x627
#define ARABIC_WASLA   0x671
#define ARABIC_MAQSURA 0x649
#define ARABIC_YEH     0x64a
#define ARABIC_MARBUTA 0x629
#define ARABIC_HEH     0x647

/* Longest full decomposition of one character: 18 units, and no later version may exceed it. */
#define DECOMPOSED_MAX 18

void tokicu_fold_begin(struct tokicu_fold *f,
                       const struct tokicu_handle *h,
                       struct sx_buf *out,
                       UScriptCode script)
{
    f->h = h;
    f->out = out;
    f->script = script;
    f->has_letter = 0;
    f->n_marks = 0;
    out->n = 0;
}

static int drops_marks(UScriptCode script)
{
    switch ((int)script) {
    case USCRIPT_COMMON: /* letters that are also signs, as of units */
    case USCRIPT_LATIN:
    case USCRIPT_GREEK:
    case USCRIPT_HEBREW:
    case USCRIPT_ARABIC:
    case USCRIPT_THAI:
    case USCRIPT_HAN:
        return 1;
    default:
        return 0;
    }
}

static void write(struct tokicu_fold *f, UChar32 c)
{
    uint32_t n = 0;
    char *p = sx_buf_reserve(f->out, U8_MAX_LENGTH);
    if (p == NULL)
        return; /* the buffer remembers */
    U8_APPEND_UNSAFE(p, n, c);
    f->out->n += n;
    if (!f->has_letter && u_isUAlphabetic(c))
        f->has_letter = 1;
}

/* Stable insertion by combining class: there are one or two. */
static void write_marks(struct tokicu_fold *f)
{
    for (uint32_t i = 1; i < f->n_marks; i++) {
        UChar32 c = f->marks[i];
        uint8_t class = u_getCombiningClass(c);
        uint32_t k = i;
        for (; k > 0 && u_getCombiningClass(f->marks[k - 1]) > class; k--)
            f->marks[k] = f->marks[k - 1];
        f->marks[k] = c;
    }
    for (uint32_t i = 0; i < f->n_marks; i++)
        write(f, f->marks[i]);
    f->n_marks = 0;
}

/* What a script makes of one letter. */
static UChar32 letter_of(UScriptCode script, UChar32 c)
{
    if (script == USCRIPT_GREEK)
        return c == GREEK_FINAL ? GREEK_SIGMA : c;
    if (script != USCRIPT_ARABIC)
        return c;
    switch (c) {
    case ARABIC_WASLA:
        return ARABIC_ALEF;
    case ARABIC_MAQSURA:
        return ARABIC_YEH;
    case ARABIC_MARBUTA:
        return ARABIC_HEH;
    default:
        return c;
    }
}

/* One decomposed, lower-case character. */
static void add_part(struct tokicu_fold *f, UChar32 c)
{
    if (c == ARABIC_TATWEEL || (drops_marks(f->script) && u_charType(c) == U_NON_SPACING_MARK))
        return;
    if (u_getCombiningClass(c) != 0) {
        if (f->n_marks == TOKICU_MARKS)
            write_marks(f);
        f->marks[f->n_marks++] = c;
        return;
    }
    write_marks(f);
    if (c == LATIN_AE || c == LATIN_OE) {
        write(f, c == LATIN_AE ? 'a' : 'o');
        c = 'e';
    }
    write(f, letter_of(f->script, c));
}

void tokicu_fold_add(struct tokicu_fold *f, UChar32 c)
{
    UChar parts[DECOMPOSED_MAX + 2];
    UErrorCode code = U_ZERO_ERROR;
    if (f->script == USCRIPT_HAN) {
        if (c >= (UChar32)TOKICU_HAN_FIRST && c < (UChar32)TOKICU_HAN_END)
            c = f->h->simplified[(uint32_t)c - TOKICU_HAN_FIRST];
        add_part(f, c);
        return;
    }
    if (c == SOFT_HYPHEN) /* tells where a line may end */
        return;
    int32_t n = unorm2_getDecomposition(f->h->decompose, c, parts, DECOMPOSED_MAX + 2, &code);
    if (n < 0 || U_FAILURE(code)) {
        add_part(f, u_tolower(c));
        return;
    }
    for (int32_t i = 0; i < n;) {
        U16_NEXT(parts, i, n, c);
        add_part(f, u_tolower(c));
    }
}

int tokicu_fold_end(struct tokicu_fold *f)
{
    write_marks(f);
    if (f->out->failed)
        return SX_ENOMEM;
    return f->has_letter != 0;
}
