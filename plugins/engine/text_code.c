/* Splitting of program text: identifiers, their parts, and parts joined.
 *
 * An identifier is a run of letters, digits and underscores. One that begins with an ASCII digit is
 * a token without its underscores. Any other falls apart at underscores, and each stretch between
 * them before a capital that follows no capital, or that is the last of several with a letter
 * behind it: getUser -> get, User; HTTPServer -> HTTP, Server; but a plural stays whole: getURLsOf
 * -> get, URLs, Of. A stretch of several parts is a further token, and so are several stretches
 * joined: fooBar_baz -> foo, Bar, baz, fooBar, fooBarbaz. These compounds are made with
 * lower-casing only, where they are other spellings of one name. */
#include "sextant/sx_text.h"

#include "text_priv.h"
#include "text_tables.h"

#include "sextant/sx_ban.h"

/* The next character of the identifier at p, its length in bytes to *n; 0 where it ends.
 * Underscores belong to it. */
static uint32_t peek(const char *p, const char *end, uint32_t *n)
{
    const char *next = p;
    uint32_t c;

    *n = 0;
    if (p >= end)
        return 0;
    c = sx_utf8_next(&next, end);
    if (c != '_' && !sx_is_alnum(c))
        return 0;
    *n = (uint32_t)(next - p);
    return c;
}

/* A letter that is no capital. */
static int is_small(uint32_t c)
{
    return c != 0 && c != '_' && (eng__text_class(c) & (ENG__TEXT_UPPER | ENG__TEXT_NUMBER)) == 0;
}

static int is_capital(uint32_t c)
{
    return (eng__text_class(c) & ENG__TEXT_UPPER) != 0;
}

/* Whether the letter at p makes the capital before it the first of a word: not the s of a plural.
 */
static int begins_word(const char *p, const char *end)
{
    uint32_t n;
    uint32_t c = peek(p, end, &n);

    return is_small(c) && (c != 's' || is_small(peek(p + n, end, &n)));
}

/* The end of the part that begins at p, which is no underscore. */
static const char *part_end(const char *p, const char *end)
{
    uint32_t n;
    int was_capital = is_capital(peek(p, end, &n));

    for (p += n;; p += n) {
        uint32_t c = peek(p, end, &n);
        int capital = is_capital(c);

        if (c == 0 || c == '_' || (capital && (!was_capital || begins_word(p + n, end))))
            return p;
        was_capital = capital;
    }
}

static const char *identifier_end(const char *p, const char *end)
{
    uint32_t n;

    while (peek(p, end, &n) != 0)
        p += n;
    return p;
}

/* compound: 0 or ENG__TEXT_COMPOUND. */
static int token(struct eng__text_run *r, const char *from, const char *to, uint32_t compound)
{
    struct sx_str word = {from, (uint32_t)(to - from), 0};

    return eng__text_word(r, word, eng__text_saw(word) | compound);
}

/* The identifier without underscores, in the buffer, before what the steps use of it: as they may
 * not move it, their room is taken here. */
static int joined(struct eng__text_run *r, const char *from, const char *to, uint32_t compound)
{
    uint64_t n = (uint64_t)(to - from);
    char *start = sx_buf_reserve(r->work, n + 4 * ENG__TEXT_ROOM(n) + 64), *out = start;
    int rc;

    if (start == NULL)
        return SX_ENOMEM;
    for (; from < to; from++)
        if (*from != '_')
            *out++ = *from;
    r->work->n += n;
    rc = token(r, start, out, compound);
    r->work->n -= n;
    return rc;
}

/* A stretch without underscores: its parts, and itself when there are several. */
static int stretch(struct eng__text_run *r, const char *from, const char *to, int compounds)
{
    const char *p = from;
    int rc = 0, parts = 0;

    for (; rc == 0 && p < to; parts++) {
        const char *part = p;

        p = part_end(p, to);
        rc = token(r, part, p, 0);
    }
    return rc == 0 && parts > 1 && compounds ? token(r, from, to, ENG__TEXT_COMPOUND) : rc;
}

static int identifier(struct eng__text_run *r, const char *from, const char *to)
{
    int compounds =
        r->a->p.lowercase && (r->mode == ENG_TEXT_DOC || r->mode == ENG_TEXT_BM25_QUERY);
    int rc = 0, stretches = 0;

    if (*from >= '0' && *from <= '9')
        return joined(r, from, to, 0);
    for (const char *p = from, *end; rc == 0; p = end) {
        while (p < to && *p == '_')
            p++;
        if (p == to)
            break;
        for (end = p; end < to && *end != '_';)
            end++;
        rc = stretch(r, p, end, compounds);
        stretches++;
    }
    return rc == 0 && stretches > 1 && compounds ? joined(r, from, to, ENG__TEXT_COMPOUND) : rc;
}

int eng__text_split_code(struct eng__text_run *r, struct sx_str text)
{
    const char *p = text.p, *end = text.p + text.n;
    int rc = 0;

    while (rc == 0 && p < end) {
        const char *from = p;

        p = identifier_end(p, end);
        if (p == from)
            (void)sx_utf8_next(&p, end);
        else
            rc = identifier(r, from, p);
    }
    return rc;
}
