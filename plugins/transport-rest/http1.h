/* HTTP/1.1 as bytes: request heads and chunked bodies. Pure functions over a buffer; no I/O, no
 * memory, no state but what the caller holds, so that a fuzzer can feed them anything. */
#ifndef REST_HTTP1_H
#define REST_HTTP1_H

#include "sextant/sx_base.h"

enum {
    REST_M_GET = 0,
    REST_M_POST,
    REST_M_PUT,
    REST_M_PATCH,
    REST_M_DELETE,
    REST_M_OPTIONS,
    REST_M_OTHER, /* HEAD and the rest: no route has them */
    REST_M__N
};

/* The headers anybody here reads; the others are checked for form and dropped. */
enum {
    REST_H_ORIGIN = 0,
    REST_H_ACR_METHOD,
    REST_H_ACR_HEADERS,
    REST_H_API_KEY,
    REST_H_AUTHORIZATION,
    REST_H_CONTENT_ENCODING,
    REST_H_USER_AGENT,
    REST_H_REFERER,
    REST_H__N
};

#define REST_F_KEEP_ALIVE 1u
#define REST_F_CHUNKED    2u
#define REST_F_EXPECT     4u /* Expect: 100-continue */
#define REST_F_LENGTH     8u /* content_length was given */

struct rest_head {
    struct sx_str method_text, target; /* target as sent */
    struct sx_str path, query;         /* undecoded; query without '?', p NULL = none */
    uint32_t method, minor, flags, n_headers;
    uint64_t content_length;
    struct sx_str h[REST_H__N]; /* p NULL = absent; blanks around the value are gone */
};

#define REST_HEAD_MAX    65536u
#define REST_HEADERS_MAX 100u

/* Parses the head that starts at p. Returns its length, 0 when bytes are missing, or the negated
 * HTTP status the request deserves (-400, -417, -431, -505). *seen remembers how far earlier calls
 * over a growing buffer have looked; start with 0. Borrowed pointers into p. */
int64_t rest_http_head(const char *p, uint64_t n, uint64_t *seen, struct rest_head *out);

/* A chunked body, decoded in place. */
struct rest_chunk {
    uint32_t state, line; /* line: bytes of the size or trailer line so far */
    uint64_t left;        /* bytes of the chunk still to come */
};
/* Takes bytes [*in, end) of buf and moves payload to buf[*out]; *out <= *in always. Returns 1 when
 * the body has ended (*in is behind it), 0 when more is needed, -400 when it is malformed. */
int rest_http_chunks(struct rest_chunk *c, char *buf, uint64_t *in, uint64_t end, uint64_t *out);

/* 1 when the comma separated list has the token (case does not matter). */
int rest_http_has_token(struct sx_str list, const char *token);

#endif
