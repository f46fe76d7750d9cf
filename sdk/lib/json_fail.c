/* Errors of the JSON reader that name types or carry a caller's text.
 *
 * All of this is the cold path, so it may walk the text again: the reader keeps no stack of the
 * containers it is in, and the one rule that needs the innermost one (custom texts, below) finds
 * it by going through the text from its start.
 *
 * `no_pos` takes the position off type errors and custom texts, as the reference does when a whole
 * body is one untagged union; syntax errors keep theirs even then. */
#include <stdarg.h>
#include <stdio.h>

#include "priv.h"

static int fail_text(struct sx_json *j, const char *at, const char *text)
{
    struct sx_str msg;

    if (j->failed)
        return SX_EFORMAT;
    if (!j->no_pos)
        return sx__json_syntax(j, at, text);
    msg.n = (uint32_t)strlen(text);
    msg.pad = 0;
    msg.p = sx_arena_strdup(j->arena, text, msg.n);
    if (msg.p == NULL)
        return sx__json_enomem(j);
    j->failed = 1;
    j->msg = msg;
    return SX_EFORMAT;
}

/* Formats into the arena; NULL when memory is short. */
static const char *SX_PRINTF(2, 0) format_text(struct sx_json *j, const char *fmt, va_list ap)
{
    va_list again;
    char *p;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    p = n < 0 ? NULL : sx_arena_alloc(j->arena, (uint64_t)n + 1);
    if (p != NULL)
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    return p;
}

/* The bracket that opened the innermost container around `at`: '{', '[', or 0 at the top. The text
 * before `at` was read without error, so strings end and brackets match. */
static char innermost(const struct sx_json *j, const char *at)
{
    char open[128];
    uint32_t depth = 0;

    for (const char *p = j->start; p < at; p++) {
        if (*p == '"') {
            for (p++; p < at && *p != '"'; p++)
                p += *p == '\\';
        } else if (*p == '{' || *p == '[') {
            if (depth < sizeof(open))
                open[depth] = *p;
            depth++;
        } else if ((*p == '}' || *p == ']') && depth != 0) {
            depth--;
        }
    }
    return depth != 0 && depth <= sizeof(open) ? open[depth - 1] : 0;
}

/* Where a custom text is reported. The reference learns of it while it closes the container around
 * the value: it passes blanks, takes the closing bracket if that is next (in a list also a comma
 * and the blanks behind it), and names the last byte passed. */
static const char *custom_position(const struct sx_json *j)
{
    char open = innermost(j, j->p);
    const char *p = j->p;

    if (open != 0) {
        p = sx__skip_space(p, j->end);
        if (p < j->end && *p == (open == '{' ? '}' : ']'))
            p++;
        else if (p < j->end && open == '[' && *p == ',')
            p = sx__skip_space(p + 1, j->end);
    }
    return p;
}

/* Names the last of the bytes before p; sx__json_syntax() names the byte it is given. */
static int fail_before(struct sx_json *j, const char *p, const char *text)
{
    struct sx_json cut = *j;
    int rc;

    cut.end = p;
    rc = fail_text(&cut, p, text);
    j->failed = cut.failed;
    j->msg = cut.msg;
    return rc;
}

int sx_json_fail(struct sx_json *j, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    if (j->failed)
        return SX_EFORMAT;
    va_start(ap, fmt);
    text = format_text(j, fmt, ap);
    va_end(ap);
    if (text == NULL)
        return sx__json_enomem(j);
    return fail_before(j, custom_position(j), text);
}

int sx_json_fail_at(struct sx_json *j, const char *at, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    if (j->failed)
        return SX_EFORMAT;
    va_start(ap, fmt);
    text = format_text(j, fmt, ap);
    va_end(ap);
    if (text == NULL)
        return sx__json_enomem(j);
    if (at < j->start)
        at = j->start;
    if (at > j->end)
        at = j->end;
    return fail_text(j, at, text);
}

/* Code points that a quoted string shows by number: controls, blanks that are no space, directions
 * and joiners, private use, non-characters. The reference's list is that of a Unicode version;
 * this is the part of it that turns up in practice. */
static int is_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa1) || c == 0xad || c == 0x34f || c == 0x61c ||
           c == 0x1680 || c == 0x180e || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) || c == 0x3000 ||
           (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff ||
           (c >= 0xfff0 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || c >= 0xe0000;
}

static void describe_string(struct sx_buf *b, struct sx_str s)
{
    const char *p = s.p, *end = s.p + s.n;

    sx_buf_adds(b, "string \"");
    while (p < end) {
        const char *at = p;
        uint32_t c = sx_utf8_next(&p, end);

        if (c == '"' || c == '\\') {
            sx_buf_addc(b, '\\');
            sx_buf_addc(b, (char)c);
        } else if (c == '\n' || c == '\r' || c == '\t' || c == 0) {
            sx_buf_addc(b, '\\');
            sx_buf_addc(b, c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : '0');
        } else if (is_invisible(c)) {
            sx_buf_printf(b, "\\u{%x}", c);
        } else {
            sx_buf_add(b, at, (uint64_t)(p - at));
        }
    }
    sx_buf_addc(b, '"');
}

/* The float as the reference prints it in such texts: with a sign in the exponent, `1e+20`. */
static void describe_float(struct sx_buf *b, double v)
{
    char text[40];
    uint32_t n = sx_num_format_f64(v, text);

    sx_buf_adds(b, "floating point `");
    for (uint32_t i = 0; i < n; i++) {
        sx_buf_addc(b, text[i]);
        if (text[i] == 'e' && text[i + 1] != '-')
            sx_buf_addc(b, '+');
    }
    sx_buf_addc(b, '`');
}

/* Describes the next value into b and moves behind a scalar, so that j->p is where the type error
 * belongs. Negative when the value has a syntax error of its own, which is then the error. */
static int describe_next(struct sx_json *j, struct sx_buf *b)
{
    struct sx_doc_num num;
    struct sx_str s;
    int rc = SX_OK;

    switch (sx_json_peek(j)) {
    case SX_JSON_ERROR:
        return SX_EFORMAT;
    case SX_JSON_NULL:
        rc = sx__json_word(j, "null", 4);
        sx_buf_adds(b, "null");
        break;
    case SX_JSON_FALSE:
        rc = sx__json_word(j, "false", 5);
        sx_buf_adds(b, "boolean `false`");
        break;
    case SX_JSON_TRUE:
        rc = sx__json_word(j, "true", 4);
        sx_buf_adds(b, "boolean `true`");
        break;
    case SX_JSON_NUM:
        rc = sx__json_number(j, &num);
        if (rc < 0)
            break;
        if (num.type == SX_DOC_F64)
            describe_float(b, num.v.f);
        else if (num.type == SX_DOC_U64)
            sx_buf_printf(b, "integer `%llu`", (unsigned long long)num.v.u);
        else
            sx_buf_printf(b, "integer `%lld`", (long long)num.v.i);
        break;
    case SX_JSON_STR:
        rc = sx__json_string(j, &s);
        if (rc == SX_OK)
            describe_string(b, s);
        break;
    case SX_JSON_ARR:
        sx_buf_adds(b, "sequence");
        break;
    default:
        sx_buf_adds(b, "map");
        break;
    }
    return rc;
}

int sx_json_fail_type(struct sx_json *j, const char *expected)
{
    const char *text = NULL;
    struct sx_buf b;
    int rc;

    if (j->failed)
        return SX_EFORMAT;
    sx_buf_init(&b, j->arena->mem);
    sx_buf_adds(&b, "invalid type: ");
    rc = describe_next(j, &b);
    if (rc == SX_OK) {
        sx_buf_printf(&b, ", expected %s", expected);
        text = b.failed ? NULL : sx_arena_strdup(j->arena, b.p, b.n);
        rc = text == NULL ? sx__json_enomem(j) : fail_before(j, j->p, text);
    }
    sx_buf_fini(&b);
    return rc;
}

struct sx_str sx_json_describe(struct sx_json *j)
{
    struct sx_str out = {NULL, 0, 0};
    struct sx_json look = *j;
    struct sx_buf b;

    if (j->failed)
        return out;
    sx_buf_init(&b, j->arena->mem);
    if (describe_next(&look, &b) == SX_OK && !b.failed && b.n < UINT32_MAX) {
        out.p = sx_arena_strdup(j->arena, b.p, b.n);
        out.n = out.p != NULL ? (uint32_t)b.n : 0;
    }
    sx_buf_fini(&b);
    return out;
}
