/* The request parser.
 *
 * Two steps: find the end of the head (each byte is looked at once, however the pieces arrive),
 * then take it apart. Whatever two parsers could read differently is refused instead of
 * interpreted, because a proxy in front of us may be the other parser: a line feed without carriage
 * return, a blank before the colon, folded lines, a second Content-Length, Content-Length beside
 * Transfer-Encoding, any transfer coding but plain "chunked".
 *
 * Who calls: conn.c, and the fuzzer. Threads: any, no state. */
#include "http1.h"

#include <string.h>

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* Bytes of a token (RFC 9110 5.6.2). */
static int is_token(unsigned char c)
{
    static const uint32_t set[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff, 0, 0, 0, 0};

    return (int)(set[c >> 5] >> (c & 31) & 1);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* word is lower case */
static int same_text(struct sx_str s, const char *word)
{
    for (uint32_t i = 0; i < s.n; i++)
        if (lower(s.p[i]) !=
            word[i]) /* stops at the word's end, which matches no byte of a token */
            return 0;
    return word[s.n] == '\0';
}

static struct sx_str trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct sx_str){p, (uint32_t)(end - p), 0};
}

int rest_http_has_token(struct sx_str list, const char *token)
{
    const char *p = list.p, *end = list.p + list.n;

    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;

        if (same_text(trim(p, stop), token))
            return 1;
        p = stop + 1;
    }
    return 0;
}

/* Length of the head, 0 = not whole yet, negative = bare line feed or too long. */
static int64_t head_end(const char *p, uint64_t n, uint64_t *seen)
{
    uint64_t i = *seen;

    while (i < n) {
        const char *nl = memchr(p + i, '\n', n - i);

        if (nl == NULL)
            break;
        i = (uint64_t)(nl - p);
        if (i == 0 || p[i - 1] != '\r')
            return -400;
        if (i >= 3 && p[i - 2] == '\n')
            return i + 1 <= REST_HEAD_MAX ? (int64_t)(i + 1) : -431;
        i++;
    }
    *seen = n;
    return n > REST_HEAD_MAX ? -431 : 0;
}

static uint32_t method_of(struct sx_str m)
{
    static const char *const names[REST_M_OTHER] = {"GET",   "POST",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};

    for (uint32_t i = 0; i < REST_M_OTHER; i++)
        if (strlen(names[i]) == m.n && memcmp(names[i], m.p, m.n) == 0)
            return i;
    return REST_M_OTHER;
}

/* Splits the target into path and query. The absolute form loses scheme and authority. */
static int split_target(struct rest_head *out)
{
    const char *p = out->target.p, *query = NULL;
    uint32_t n = out->target.n, skip = 0, path_n;

    if (n > 7 && memcmp(p, "http://", 7) == 0)
        skip = 7;
    else if (n > 8 && memcmp(p, "https://", 8) == 0)
        skip = 8;
    else if (*p != '/' && *p != '*')
        return -400;
    if (skip != 0)
        while (skip < n && p[skip] != '/' && p[skip] != '?')
            skip++;
    p += skip;
    n -= skip;
    for (path_n = 0; path_n < n && p[path_n] != '#'; path_n++)
        if (p[path_n] == '?' && query == NULL)
            query = p + path_n;
    n = path_n; /* a fragment is none of our business */
    if (query != NULL) {
        path_n = (uint32_t)(query - p);
        out->query = (struct sx_str){query + 1, n - path_n - 1, 0};
    }
    out->path = (struct sx_str){p, path_n, 0};
    return 0;
}

/* "METHOD SP target SP HTTP/1.x"; [p, end) is the line without its CRLF. */
static int request_line(const char *p, const char *end, struct rest_head *out)
{
    const char *start = p;

    while (p < end && is_token((unsigned char)*p))
        p++;
    if (p == start || p == end || *p != ' ')
        return -400;
    out->method_text = (struct sx_str){start, (uint32_t)(p - start), 0};
    out->method = method_of(out->method_text);
    start = ++p;
    while (p < end && (unsigned char)*p > 0x20 && *p != 0x7f)
        p++;
    if (p == start || p == end || *p != ' ')
        return -400;
    out->target = (struct sx_str){start, (uint32_t)(p - start), 0};
    p++;
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0)
        return -400;
    if (memcmp(p + 5, "1.", 2) != 0 || (p[7] != '0' && p[7] != '1'))
        return -505;
    out->minor = (uint32_t)(p[7] - '0');
    if (out->minor == 1)
        out->flags |= REST_F_KEEP_ALIVE;
    return split_target(out);
}

static int content_length(struct sx_str v, struct rest_head *out)
{
    uint64_t n = 0;

    if (v.n == 0 || v.n > 18 || (out->flags & REST_F_LENGTH) != 0)
        return -400;
    for (uint32_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return -400;
        n = n * 10 + (uint64_t)(v.p[i] - '0');
    }
    out->content_length = n;
    out->flags |= REST_F_LENGTH;
    return 0;
}

static int keep(struct rest_head *out, uint32_t which, struct sx_str v)
{
    if (out->h[which].p == NULL)
        out->h[which] = v;
    return 0;
}

static int known_header(struct sx_str name, struct sx_str v, struct rest_head *out)
{
    switch (name.n) {
    case 6:
        if (same_text(name, "origin"))
            return keep(out, REST_H_ORIGIN, v);
        if (same_text(name, "expect")) {
            if (!same_text(v, "100-continue"))
                return -417;
            out->flags |= REST_F_EXPECT;
        }
        return 0;
    case 7:
        if (same_text(name, "api-key"))
            return keep(out, REST_H_API_KEY, v);
        if (same_text(name, "referer"))
            return keep(out, REST_H_REFERER, v);
        return 0;
    case 10:
        if (same_text(name, "user-agent"))
            return keep(out, REST_H_USER_AGENT, v);
        if (same_text(name, "connection")) {
            if (rest_http_has_token(v, "close"))
                out->flags &= ~REST_F_KEEP_ALIVE;
            else if (rest_http_has_token(v, "keep-alive"))
                out->flags |= REST_F_KEEP_ALIVE;
        }
        return 0;
    case 13:
        return same_text(name, "authorization") ? keep(out, REST_H_AUTHORIZATION, v) : 0;
    case 14:
        return same_text(name, "content-length") ? content_length(v, out) : 0;
    case 16:
        return same_text(name, "content-encoding") ? keep(out, REST_H_CONTENT_ENCODING, v) : 0;
    case 17:
        if (!same_text(name, "transfer-encoding"))
            return 0;
        if (!same_text(v, "chunked") || (out->flags & REST_F_CHUNKED) != 0 || out->minor == 0)
            return -400;
        out->flags |= REST_F_CHUNKED;
        return 0;
    case 29:
        return same_text(name, "access-control-request-method") ? keep(out, REST_H_ACR_METHOD, v)
                                                                : 0;
    case 30:
        return same_text(name, "access-control-request-headers") ? keep(out, REST_H_ACR_HEADERS, v)
                                                                 : 0;
    default:
        return 0;
    }
}

static int header_line(const char *p, const char *end, struct rest_head *out)
{
    const char *start = p;
    struct sx_str name;

    while (p < end && is_token((unsigned char)*p))
        p++;
    if (p == start || p == end || *p != ':')
        return -400;
    name = (struct sx_str){start, (uint32_t)(p - start), 0};
    for (const char *c = p + 1; c < end; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return -400;
    if (++out->n_headers > REST_HEADERS_MAX)
        return -431;
    return known_header(name, trim(p + 1, end), out);
}

int64_t rest_http_head(const char *p, uint64_t n, uint64_t *seen, struct rest_head *out)
{
    int64_t len = head_end(p, n, seen);
    const char *end, *line, *nl;
    int rc;

    if (len <= 0)
        return len;
    memset(out, 0, sizeof(*out));
    end = p + len - 2; /* the empty line's CRLF is no line of ours */
    nl = memchr(p, '\n', (size_t)(end - p));
    if (nl == NULL)
        return -400;
    rc = request_line(p, nl - 1, out);
    for (line = nl + 1; rc == 0 && line < end; line = nl + 1) {
        nl = memchr(line, '\n', (size_t)(end - line));
        rc = header_line(line, nl - 1, out);
    }
    if (rc != 0)
        return rc;
    if ((out->flags & (REST_F_CHUNKED | REST_F_LENGTH)) == (REST_F_CHUNKED | REST_F_LENGTH))
        return -400;
    return len;
}

/* --- chunks --------------------------------------------------------------------------------- */

enum { C_SIZE = 0, C_EXT, C_SIZE_LF, C_DATA, C_DATA_CR, C_DATA_LF, C_TRAILER, C_TRAILER_LF };

#define CHUNK_LINE_MAX 4096u  /* a size with its extensions */
#define TRAILERS_MAX   16384u /* all trailers together */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of framing; 1 = the body has ended, 0 = go on, -400. */
static int chunk_byte(struct rest_chunk *c, char b)
{
    switch (c->state) {
    case C_SIZE: {
        int v = hex(b);

        if (v >= 0) {
            if (++c->line > 15) /* 60 bits */
                return -400;
            c->left = c->left << 4 | (uint64_t)v;
            return 0;
        }
        if (c->line == 0 || (b != '\r' && b != ';' && b != ' ' && b != '\t'))
            return -400;
        c->state = b == '\r' ? C_SIZE_LF : C_EXT;
        return 0;
    }
    case C_EXT:
        if (b == '\r')
            c->state = C_SIZE_LF;
        else if (b == '\n' || ++c->line > CHUNK_LINE_MAX)
            return -400;
        return 0;
    case C_SIZE_LF:
        if (b != '\n')
            return -400;
        c->line = 0;
        c->state = c->left != 0 ? C_DATA : C_TRAILER;
        if (c->state == C_TRAILER)
            c->left = 0;
        return 0;
    case C_DATA_CR:
        c->state = C_DATA_LF;
        return b == '\r' ? 0 : -400;
    case C_DATA_LF:
        c->state = C_SIZE;
        c->line = 0;
        return b == '\n' ? 0 : -400;
    case C_TRAILER: /* left counts the bytes of all trailers, line those of this one */
        if (b == '\r') {
            c->state = C_TRAILER_LF;
            return 0;
        }
        c->line++;
        return b == '\n' || ++c->left > TRAILERS_MAX ? -400 : 0;
    default: /* C_TRAILER_LF */
        if (b != '\n')
            return -400;
        if (c->line == 0)
            return 1;
        c->line = 0;
        c->state = C_TRAILER;
        return 0;
    }
}

int rest_http_chunks(struct rest_chunk *c, char *buf, uint64_t *in, uint64_t end, uint64_t *out)
{
    while (*in < end) {
        int rc;

        if (c->state == C_DATA) {
            uint64_t n = end - *in < c->left ? end - *in : c->left;

            if (*in != *out)
                memmove(buf + *out, buf + *in, n);
            *in += n;
            *out += n;
            c->left -= n;
            if (c->left == 0)
                c->state = C_DATA_CR;
            continue;
        }
        rc = chunk_byte(c, buf[(*in)++]);
        if (rc != 0)
            return rc;
    }
    return 0;
}
