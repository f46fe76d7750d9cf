/* Characters: case, numbers, white space, folding to ASCII. See text_tables.h for the tables.
 *
 * Lower case is Unicode's, without a locale: one code point gives one, but U+0130, which gives two,
 * and sigma, which at the end of a word becomes the final one. What is the end of a word depends on
 * the whole string, so a token is lowered at once and not character by character. */
#include <string.h>

#include "text_priv.h"
#include "text_tables.h"

#include "sextant/sx_ban.h"

#define SIGMA       0x3a3u
#define SIGMA_SMALL 0x3c3u
#define SIGMA_FINAL 0x3c2u
#define I_DOTTED    0x130u

/* --- tables ------------------------------------------------------------------------------- */

/* Index of the last packed run that begins at or below c, n when there is none. */
static uint32_t run_of(const uint32_t *runs, uint32_t n, uint32_t c)
{
    uint32_t lo = 0, hi = n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (runs[mid] >> 11 <= c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == 0 ? n : lo - 1;
}

static uint32_t class_high(uint32_t c)
{
    uint32_t i = run_of(eng__text_classes, eng__text_n_classes, c);
    uint32_t offset, class;

    if (i == eng__text_n_classes)
        return 0;
    offset = c - (eng__text_classes[i] >> 11);
    class = eng__text_classes[i] & 7;
    if (offset > (eng__text_classes[i] >> 3 & 0xff))
        return 0;
    if (class == ENG__TEXT_ALTERNATING)
        return offset & 1 ? ENG__TEXT_CASED : ENG__TEXT_UPPER | ENG__TEXT_CASED;
    return class;
}

uint32_t eng__text_class(uint32_t c)
{
    if (c >= 0x80)
        return class_high(c);
    if (c >= 'a' && c <= 'z')
        return ENG__TEXT_CASED;
    if (c >= 'A' && c <= 'Z')
        return ENG__TEXT_UPPER | ENG__TEXT_CASED;
    return c >= '0' && c <= '9' ? ENG__TEXT_NUMBER : 0;
}

static int is_ignorable(uint32_t c)
{
    uint32_t i;

    if (c < 0x80)
        return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`';
    i = run_of(eng__text_ignorable, eng__text_n_ignorable, c);
    return i != eng__text_n_ignorable &&
           c - (eng__text_ignorable[i] >> 11) <= (eng__text_ignorable[i] & 0x7ff);
}

int eng__text_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* The last run that begins at or below c, or the first: Latin, Greek and Cyrillic are a few steps
 * from where their block begins, the rest is searched. */
static const struct eng__text_lower_run *lower_run_of(uint32_t c)
{
    uint32_t lo = 0, hi = eng__text_n_lower;

    if (c < ENG__TEXT_LOW) {
        for (lo = eng__text_lower_blocks[c >> 6]; eng__text_lower_runs[lo + 1].first <= c;)
            lo++;
        return &eng__text_lower_runs[lo];
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (eng__text_lower_runs[mid].first <= c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return &eng__text_lower_runs[lo == 0 ? 0 : lo - 1];
}

static uint32_t lower_high(uint32_t c)
{
    const struct eng__text_lower_run *r = lower_run_of(c);
    uint32_t offset = c - r->first; /* huge for a c before the first run */

    if (offset >= (uint32_t)r->n * r->step || offset % r->step != 0)
        return c;
    return (uint32_t)((int64_t)c + r->delta);
}

/* --- writing ------------------------------------------------------------------------------ */

static char *put(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* What c folds to, NULL when it stays. */
static const char *folded(uint32_t c)
{
    uint32_t lo = 0, hi = eng__text_n_fold;

    if (c > 0xffff)
        return NULL;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (eng__text_fold_code[mid] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == eng__text_n_fold || eng__text_fold_code[lo] != c)
        return NULL;
    return eng__text_fold_texts[eng__text_fold_text[lo]];
}

char *eng__text_fold(struct sx_str s, char *out)
{
    const char *p = s.p, *end = s.p + s.n;

    while (p < end) {
        const char *text;
        uint32_t c;

        if ((unsigned char)*p < 0x80) {
            *out++ = *p++;
            continue;
        }
        c = eng__text_next(&p, end);
        text = folded(c);
        if (text == NULL)
            out = put(out, c);
        else
            for (uint32_t i = 0; i < sizeof(eng__text_fold_texts[0]) && text[i] != '\0'; i++)
                *out++ = text[i];
    }
    return out;
}

/* --- lower case --------------------------------------------------------------------------- */

/* The first code point from p on, or before it, that case does not look through, is a letter with
 * case. */
static int cased_after(const char *p, const char *end)
{
    while (p < end) {
        uint32_t c = sx_utf8_next(&p, end);

        if (!is_ignorable(c))
            return (eng__text_class(c) & ENG__TEXT_CASED) != 0;
    }
    return 0;
}

static int cased_before(const char *start, const char *p)
{
    while (p > start) {
        const char *at = p - 1, *next;
        uint32_t c;

        while (at > start && ((unsigned char)*at & 0xc0) == 0x80)
            at--;
        next = at;
        c = sx_utf8_next(&next, p);
        if (!is_ignorable(c))
            return (eng__text_class(c) & ENG__TEXT_CASED) != 0;
        p = at;
    }
    return 0;
}

char *eng__text_lower(struct sx_str s, char *out)
{
    const char *p = s.p, *end = s.p + s.n;

    while (p < end) {
        const char *at = p;
        uint32_t c = (unsigned char)*p;

        if (c < 0x80) {
            *out++ = (char)(c - 'A' < 26u ? c + 32 : c);
            p++;
            continue;
        }
        c = eng__text_next(&p, end);
        if (c == SIGMA) {
            out =
                put(out, cased_before(s.p, at) && !cased_after(p, end) ? SIGMA_FINAL : SIGMA_SMALL);
        } else if (c == I_DOTTED) {
            *out++ = 'i';
            out = put(out, 0x307);
        } else {
            out = put(out, lower_high(c));
        }
    }
    return out;
}
