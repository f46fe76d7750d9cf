/* Stemming by libstemmer, made to agree with what clients know.
 *
 * The tokens of BM25 vectors are hashes of stems, and vectors made elsewhere are searched with
 * queries analysed here, so a stem must be the same letter for letter. For fourteen languages the
 * library's algorithms give these stems. For five of them it has since been changed, and we undo
 * the change from outside: what the older algorithm had no rule for is shown to the library as a
 * letter that it has no rule for either, and put back in the stem. That is possible because these
 * algorithms only cut and replace endings: character i of the stem is still character i of the word
 * unless an ending was replaced there, and then it is not the letter we showed. (Finnish also drops
 * one of a pair of consonants, but behind it there are only vowels, which are never hidden.)
 *
 *   russian  ё is a letter without rules, not an е
 *   french   ë and ï are vowels without rules, H is a letter like others; but -guë loses its ë
 *   danish, finnish   whatever is no vowel is a consonant that can be doubled: digits, foreign
 *            letters, capitals
 *   arabic   punctuation is dropped like the strokes between letters (only the tokenizer
 *            `whitespace` leaves any)
 *
 * A word longer than STEM_MAX bytes is its own stem: no language has one, and the Arabic rules take
 * quadratic time. A stemmer serves one thread at a time. */
#include <libstemmer.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "text_priv.h"

#include "sextant/sx_ban.h"

#define STEM_MAX 2048u

struct sb_stemmer *eng__text_stemmer_open(uint32_t stemmer)
{
    return sb_stemmer_new(eng__text_stemmer_name(stemmer), "UTF_8");
}

void eng__text_stemmer_close(struct sb_stemmer *s)
{
    sb_stemmer_delete(s);
}

static int stem(struct sb_stemmer *s, struct sx_str word, struct sx_str *out)
{
    const sb_symbol *p = sb_stemmer_stem(s, (const sb_symbol *)word.p, (int)word.n);

    if (p == NULL)
        return SX_ENOMEM;
    *out = (struct sx_str){(const char *)p, (uint32_t)sb_stemmer_length(s), 0};
    return 0;
}

/* --- hiding letters ----------------------------------------------------------------------- */

enum disguise { NONE, ARABIC, DANISH, FINNISH, FRENCH, RUSSIAN };

/* By stemmer, as eng__text_stemmer_name() numbers them. */
static const uint8_t disguises[ENG__TEXT_STEMMERS + 1] = {
    [1] = ARABIC, [3] = DANISH, [6] = FINNISH, [7] = FRENCH, [15] = RUSSIAN};

static int is_arabic_mark(uint32_t c)
{
    return (c < 0x80 && memchr("!\"%*,./:;?\\", (int)c, 11) != NULL) || c == 0x60c || c == 0x61b ||
           c == 0x61f || (c >= 0x66a && c <= 0x66c);
}

/* Vowels beyond ASCII. */
static int is_danish_vowel(uint32_t c)
{
    return c == 0xe5 || c == 0xe6 || c == 0xf8;
}

static int is_finnish_vowel(uint32_t c)
{
    return c == 0xe4 || c == 0xf6;
}

/* Walks a word and says for each character how the library sees it. */
struct walk {
    enum disguise how;
    const char *p, *end;
    uint32_t c, shown; /* of the last step */
};

/* A consonant without rules that is doubled exactly where the hidden character is. */
static uint32_t consonant(const struct walk *w, uint32_t c)
{
    const char *p = w->p;
    uint32_t next = p < w->end ? sx_utf8_next(&p, w->end) : 0;

    if (c == w->c)
        return w->shown;
    for (const char *x = "qxw"; *x != '\0'; x++)
        if ((uint32_t)*x != w->shown && (uint32_t)*x != next)
            return (uint32_t)*x;
    return 'q';
}

/* Next character; w->p has been moved behind it. */
static void step(struct walk *w)
{
    uint32_t c = sx_utf8_next(&w->p, w->end), shown = c;

    switch (w->how) {
    case ARABIC:
        if (is_arabic_mark(c))
            shown = 0x640; /* the stroke that lengthens letters: the library drops it */
        break;
    case DANISH:
    case FINNISH:
        if (!(c >= 'a' && c <= 'z') &&
            !(w->how == DANISH ? is_danish_vowel(c) : is_finnish_vowel(c)))
            shown = consonant(w, c);
        break;
    case FRENCH:
        if (c == 0xeb || c == 0xef)
            shown = 0xf4; /* o with circumflex: a vowel that no rule names */
        else if (c == 'H')
            shown = 'h';
        break;
    case RUSSIAN:
        if (c == 0x451)
            shown = 'x';
        break;
    case NONE:
        break;
    }
    w->c = c;
    w->shown = shown;
}

static struct walk walk_of(enum disguise how, struct sx_str word)
{
    return (struct walk){how, word.p, word.p + word.n, UINT32_MAX, UINT32_MAX};
}

static int has_hidden(enum disguise how, struct sx_str word)
{
    struct walk w = walk_of(how, word);

    while (w.p < w.end) {
        step(&w);
        if (w.c != w.shown)
            return 1;
    }
    return 0;
}

/* What is shown is ASCII or has two bytes: at most twice as long as the word. */
static uint32_t show(enum disguise how, struct sx_str word, char *out)
{
    struct walk w = walk_of(how, word);
    char *to = out;

    while (w.p < w.end) {
        const char *from = w.p;

        step(&w);
        if (w.shown == w.c) {
            memcpy(to, from, (size_t)(w.p - from));
            to += w.p - from;
        } else if (w.shown < 0x80) {
            *to++ = (char)w.shown;
        } else {
            *to++ = (char)(0xc0 | w.shown >> 6);
            *to++ = (char)(0x80 | (w.shown & 0x3f));
        }
    }
    return (uint32_t)(to - out);
}

/* Puts hidden characters back; out has room for the word and the stem. */
static uint32_t unhide(enum disguise how, struct sx_str word, struct sx_str stemmed, char *out)
{
    struct walk w = walk_of(how, word);
    const char *p = stemmed.p, *end = stemmed.p + stemmed.n;
    char *to = out;

    while (p < end) {
        const char *from = p, *source = w.p;
        uint32_t c = sx_utf8_next(&p, end);
        uint32_t n = (uint32_t)(p - from);

        if (w.p < w.end) {
            step(&w);
            if (w.shown != w.c && w.shown == c) {
                from = source;
                n = (uint32_t)(w.p - source);
            }
        }
        memcpy(to, from, n);
        to += n;
    }
    return (uint32_t)(to - out);
}

/* --- -gue with diaeresis ------------------------------------------------------------------ */

static int is_french_vowel(uint32_t c)
{
    switch (c) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
    case 'y':
    case 0xe0:
    case 0xe2:
    case 0xe8:
    case 0xe9:
    case 0xea:
    case 0xeb:
    case 0xee:
    case 0xef:
    case 0xf4:
    case 0xf9:
    case 0xfb:
        return 1;
    default:
        return 0;
    }
}

/* Where endings may be cut: behind the third letter when two vowels begin the word, else behind the
 * first vowel that is not the first letter. The u of qu and a y beside a vowel count as consonants.
 * Bytes from the start. */
static uint32_t french_region(struct sx_str s)
{
    const char *p = s.p, *end = s.p + s.n;
    uint32_t before = 0;
    int n_vowels = 0;

    for (uint32_t i = 0; p < end; i++) {
        uint32_t c = sx_utf8_next(&p, end);
        const char *ahead = p;
        uint32_t next = p < end ? sx_utf8_next(&ahead, end) : 0;
        int is_vowel = is_french_vowel(c) && !(c == 'u' && before == 'q') &&
                       !(c == 'y' && (is_french_vowel(before) || is_french_vowel(next)));

        n_vowels += is_vowel;
        if (i == 1 && n_vowels == 2)
            return (uint32_t)(ahead - s.p);
        if (i >= 1 && is_vowel)
            return (uint32_t)(p - s.p);
        before = c;
    }
    return s.n;
}

static uint32_t cut_gue(const char *p, uint32_t n)
{
    if (n < 4 || memcmp(p + n - 4, "gu\xc3\xab", 4) != 0 ||
        french_region((struct sx_str){p, n, 0}) > n - 4)
        return n;
    return n - 2;
}

/* --- all of it ---------------------------------------------------------------------------- */

int eng__text_stem(struct sb_stemmer *s,
                   uint32_t stemmer,
                   struct sx_str word,
                   struct sx_buf *room,
                   struct sx_str *out)
{
    enum disguise how = (enum disguise)disguises[stemmer];
    char *p;
    int rc;

    if (word.n > STEM_MAX) {
        *out = word;
        return 0;
    }
    if (how == NONE || !has_hidden(how, word))
        return stem(s, word, out);
    room->n = 0;
    room->failed = 0;
    p = sx_buf_reserve(room, 3 * STEM_MAX);
    if (p == NULL)
        return SX_ENOMEM;
    rc = stem(s, (struct sx_str){p, show(how, word, p), 0}, out);
    if (rc != 0 || how == ARABIC)
        return rc;
    *out = (struct sx_str){p, unhide(how, word, *out, p), 0};
    if (how == FRENCH)
        out->n = cut_gue(p, out->n);
    return 0;
}
