/* The on-demand JSON reader: cursor, containers, typed scalars.
 *
 * The reader is a pointer into the text; obj_next() and arr_next() step over commas and brackets,
 * typed reads step over one value. What nobody asks for is skipped by json_walk.c, strings are in
 * json_string.c, number tokens in json_num.c, lists of numbers in json_vec.c, the errors that name
 * types in json_fail.c.
 *
 * Positions. Clients compare error texts with those of the reference, so each error says which
 * byte it blames. Two habits of the reference explain all of them: an error found by looking ahead
 * names the byte looked at; an error found after taking a byte names the byte taken. At the end of
 * the text both name the last byte, and an empty text has column 0.
 *
 * Thread: one owner at a time; the text is borrowed until the last result is used. */
#include "priv.h"

#define JSON_DEPTH 127u

static const char json_enomem[] = "out of memory";

void sx_json_init(struct sx_json *j, const char *p, uint64_t n, struct sx_arena *arena)
{
    memset(j, 0, sizeof(*j));
    j->start = j->p = p;
    j->end = n != 0 ? p + n : p;
    j->arena = arena;
}

int sx__json_enomem(struct sx_json *j)
{
    j->failed = 1;
    j->msg = (struct sx_str){json_enomem, sizeof(json_enomem) - 1, 0};
    return SX_ENOMEM;
}

/* " at line L column C" for the byte `at`, counting from 1. */
static struct sx_str with_position(struct sx_json *j, const char *at, const char *text)
{
    uint64_t taken = (uint64_t)(at - j->start), line = 1, column = 0;

    taken += at < j->end;
    for (uint64_t i = 0; i < taken; i++) {
        column++;
        if (j->start[i] == '\n') {
            line++;
            column = 0;
        }
    }
    return sx_arena_printf(j->arena, "%s at line %llu column %llu", text, (unsigned long long)line,
                           (unsigned long long)column);
}

int sx__json_syntax(struct sx_json *j, const char *at, const char *text)
{
    struct sx_str msg;

    if (j->failed)
        return SX_EFORMAT;
    msg = with_position(j, at, text);
    if (msg.p == NULL)
        return sx__json_enomem(j);
    j->failed = 1;
    j->msg = msg;
    return SX_EFORMAT;
}

static int json_eof(struct sx_json *j, const char *text)
{
    return sx__json_syntax(j, j->end, text);
}

/* Steps over white space; 1 when a byte is there, else the error of a missing value. */
static int at_value(struct sx_json *j)
{
    if (SX_UNLIKELY(j->failed))
        return SX_EFORMAT;
    j->p = sx__skip_space(j->p, j->end);
    if (SX_UNLIKELY(j->p == j->end))
        return json_eof(j, "EOF while parsing a value");
    return 1;
}

int sx_json_peek(struct sx_json *j)
{
    if (at_value(j) < 0)
        return SX_JSON_ERROR;
    switch (*j->p) {
    case 'n':
        return SX_JSON_NULL;
    case 'f':
        return SX_JSON_FALSE;
    case 't':
        return SX_JSON_TRUE;
    case '"':
        return SX_JSON_STR;
    case '[':
        return SX_JSON_ARR;
    case '{':
        return SX_JSON_OBJ;
    default:
        if (*j->p == '-' || sx__is_digit(*j->p))
            return SX_JSON_NUM;
        (void)sx__json_syntax(j, j->p, "expected value");
        return SX_JSON_ERROR;
    }
}

int sx_json_end(struct sx_json *j)
{
    if (j->failed)
        return SX_EFORMAT;
    j->p = sx__skip_space(j->p, j->end);
    if (j->p != j->end)
        return sx__json_syntax(j, j->p, "trailing characters");
    return SX_OK;
}

static int container_begin(struct sx_json *j, char bracket, const char *expected)
{
    if (at_value(j) < 0)
        return SX_EFORMAT;
    if (*j->p != bracket)
        return sx_json_fail_type(j, expected);
    if (j->depth >= JSON_DEPTH)
        return sx__json_syntax(j, j->p, "recursion limit exceeded");
    j->depth++;
    j->first = 1;
    j->p++;
    return SX_OK;
}

static int container_end(struct sx_json *j)
{
    j->p++;
    j->depth--;
    j->first = 0;
    return 0;
}

int sx_json_obj_begin(struct sx_json *j, const char *expected)
{
    return container_begin(j, '{', expected);
}

int sx_json_arr_begin(struct sx_json *j, const char *expected)
{
    return container_begin(j, '[', expected);
}

int sx_json_obj_next(struct sx_json *j, struct sx_str *key)
{
    int rc;

    if (SX_UNLIKELY(j->failed))
        return SX_EFORMAT;
    j->p = sx__skip_space(j->p, j->end);
    if (j->p == j->end)
        return json_eof(j, "EOF while parsing an object");
    if (*j->p == '}')
        return container_end(j);
    if (!j->first) {
        if (*j->p != ',')
            return sx__json_syntax(j, j->p, "expected `,` or `}`");
        j->p = sx__skip_space(j->p + 1, j->end);
        if (j->p == j->end)
            return json_eof(j, "EOF while parsing a value");
        if (*j->p == '}')
            return sx__json_syntax(j, j->p, "trailing comma");
    }
    j->first = 0;
    if (*j->p != '"')
        return sx__json_syntax(j, j->p, "key must be a string");
    rc = sx__json_string(j, key);
    if (rc < 0)
        return rc;
    j->p = sx__skip_space(j->p, j->end);
    if (j->p == j->end)
        return json_eof(j, "EOF while parsing an object");
    if (*j->p != ':')
        return sx__json_syntax(j, j->p, "expected `:`");
    j->p++;
    return 1;
}

int sx_json_arr_next(struct sx_json *j)
{
    if (SX_UNLIKELY(j->failed))
        return SX_EFORMAT;
    j->p = sx__skip_space(j->p, j->end);
    if (j->p == j->end)
        return json_eof(j, "EOF while parsing a list");
    if (*j->p == ']')
        return container_end(j);
    if (!j->first) {
        if (*j->p != ',')
            return sx__json_syntax(j, j->p, "expected `,` or `]`");
        j->p = sx__skip_space(j->p + 1, j->end);
        if (j->p == j->end)
            return json_eof(j, "EOF while parsing a value");
        if (*j->p == ']')
            return sx__json_syntax(j, j->p, "trailing comma");
    }
    j->first = 0;
    return 1;
}

int sx__json_word(struct sx_json *j, const char *word, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        if (j->p + i == j->end)
            return json_eof(j, "EOF while parsing a value");
        if (j->p[i] != word[i])
            return sx__json_syntax(j, j->p + i, "expected ident");
    }
    j->p += n;
    return SX_OK;
}

int sx__json_number(struct sx_json *j, struct sx_doc_num *out)
{
    const char *tok = j->p, *p = tok;
    struct sx__num num;
    int64_t small = 0;
    double v;

    /* Most numbers outside vectors are small counts. */
    while (p < j->end && p - tok < 9 && sx__is_digit(*p))
        small = small * 10 + (*p++ - '0');
    if (p > tok && p < j->end && (*p == ',' || *p == '}' || *p == ']') &&
        (*tok != '0' || p - tok == 1)) {
        out->type = SX_DOC_I64;
        out->v.i = small;
        j->p = p;
        return SX_OK;
    }
    switch (sx__num_scan(tok, j->end, &num)) {
    case SX__NUM_OK:
        break;
    case SX__NUM_EOF:
        return json_eof(j, "EOF while parsing a value");
    case SX__NUM_RANGE:
        return sx__json_syntax(j, num.end - 1, "number out of range");
    default:
        return sx__json_syntax(j, num.end, "invalid number");
    }
    if (num.is_int && !num.cut) {
        if (!num.neg) {
            out->type = num.m > INT64_MAX ? SX_DOC_U64 : SX_DOC_I64;
            out->v.u = num.m;
            j->p = num.end;
            return SX_OK;
        }
        /* "-0" is a float: an integer would lose the sign. */
        if (num.m != 0 && num.m <= (uint64_t)INT64_MAX + 1) {
            out->type = SX_DOC_I64;
            out->v.u = 0 - num.m;
            j->p = num.end;
            return SX_OK;
        }
    }
    v = sx__num_value(&num, tok);
    if (v - v != 0)
        return sx__json_syntax(j, num.end - 1, "number out of range");
    out->type = SX_DOC_F64;
    out->v.f = v;
    j->p = num.end;
    return SX_OK;
}

int sx_json_null(struct sx_json *j)
{
    if (at_value(j) < 0)
        return SX_EFORMAT;
    if (*j->p != 'n')
        return 0;
    return sx__json_word(j, "null", 4) < 0 ? SX_EFORMAT : 1;
}

int sx_json_bool(struct sx_json *j, const char *expected, int *out)
{
    int rc, yes;

    if (at_value(j) < 0)
        return SX_EFORMAT;
    if (*j->p != 't' && *j->p != 'f')
        return sx_json_fail_type(j, expected);
    yes = *j->p == 't';
    rc = yes ? sx__json_word(j, "true", 4) : sx__json_word(j, "false", 5);
    if (rc == SX_OK)
        *out = yes;
    return rc;
}

/* A number of any kind; other values fail with the type error. */
static int read_number(struct sx_json *j, const char *expected, struct sx_doc_num *num)
{
    if (at_value(j) < 0)
        return SX_EFORMAT;
    if (*j->p != '-' && !sx__is_digit(*j->p))
        return sx_json_fail_type(j, expected);
    return sx__json_number(j, num);
}

/* The token at `tok` was read and is an integer, but not one that `expected` can hold; or it is a
 * float. Both are reported at the token's last byte. */
static int
bad_number(struct sx_json *j, const char *tok, const struct sx_doc_num *num, const char *expected)
{
    const char *last = j->p - 1;

    if (num->type == SX_DOC_F64) {
        j->p = tok;
        return sx_json_fail_type(j, expected);
    }
    if (num->type == SX_DOC_U64)
        return sx_json_fail_at(j, last, "invalid value: integer `%llu`, expected %s",
                               (unsigned long long)num->v.u, expected);
    return sx_json_fail_at(j, last, "invalid value: integer `%lld`, expected %s",
                           (long long)num->v.i, expected);
}

int sx_json_u64(struct sx_json *j, const char *expected, uint64_t max, uint64_t *out)
{
    struct sx_doc_num num;
    const char *tok;
    int rc;

    if (at_value(j) < 0)
        return SX_EFORMAT;
    tok = j->p;
    rc = read_number(j, expected, &num);
    if (rc < 0)
        return rc;
    if (num.type == SX_DOC_F64 || (num.type == SX_DOC_I64 && num.v.i < 0) || num.v.u > max)
        return bad_number(j, tok, &num, expected);
    *out = num.v.u;
    return SX_OK;
}

int sx_json_i64(struct sx_json *j, const char *expected, int64_t *out)
{
    struct sx_doc_num num;
    const char *tok;
    int rc;

    if (at_value(j) < 0)
        return SX_EFORMAT;
    tok = j->p;
    rc = read_number(j, expected, &num);
    if (rc < 0)
        return rc;
    if (num.type != SX_DOC_I64)
        return bad_number(j, tok, &num, expected);
    *out = num.v.i;
    return SX_OK;
}

int sx_json_f64(struct sx_json *j, const char *expected, double *out)
{
    struct sx_doc_num num;
    int rc = read_number(j, expected, &num);

    if (rc < 0)
        return rc;
    *out = num.type == SX_DOC_F64   ? num.v.f
           : num.type == SX_DOC_U64 ? (double)num.v.u
                                    : (double)num.v.i;
    return SX_OK;
}

int sx_json_f32(struct sx_json *j, const char *expected, float *out)
{
    double v;
    int rc = sx_json_f64(j, expected, &v);

    if (rc == SX_OK)
        *out = (float)v;
    return rc;
}

int sx_json_str(struct sx_json *j, const char *expected, struct sx_str *out)
{
    if (at_value(j) < 0)
        return SX_EFORMAT;
    if (*j->p != '"')
        return sx_json_fail_type(j, expected);
    return sx__json_string(j, out);
}

struct sx_json_mark sx_json_mark(const struct sx_json *j)
{
    return (struct sx_json_mark){j->p, j->depth, j->first};
}

void sx_json_reset(struct sx_json *j, struct sx_json_mark m)
{
    j->p = m.p;
    j->depth = m.depth;
    j->first = m.first;
    j->failed = 0;
    j->msg = (struct sx_str){NULL, 0, 0};
}
