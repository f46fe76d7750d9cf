/* The HTTP/1.1 parser: what it takes apart, what it refuses, and that pieces make no difference. */
/* needs: plugins/transport-rest/http1.c */
/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>

#include "transport-rest/http1.h"

static int64_t parse(const char *text, struct rest_head *out)
{
    uint64_t seen = 0;

    return rest_http_head(text, strlen(text), &seen, out);
}

static void assert_text(struct sx_str s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void plain_request(void **state)
{
    static const char text[] = "GET /a/b?x=1 HTTP/1.1\r\nHost: h\r\nAPI-Key:  k e y \r\n"
                               "User-Agent: t\r\n\r\nrest";
    struct rest_head h;

    (void)state;
    assert_int_equal(parse(text, &h), (int64_t)strlen(text) - 4);
    assert_int_equal(h.method, REST_M_GET);
    assert_text(h.method_text, "GET");
    assert_text(h.target, "/a/b?x=1");
    assert_text(h.path, "/a/b");
    assert_text(h.query, "x=1");
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.flags, REST_F_KEEP_ALIVE);
    assert_text(h.h[REST_H_API_KEY], "k e y");
    assert_text(h.h[REST_H_USER_AGENT], "t");
    assert_null(h.h[REST_H_ORIGIN].p);
}

static void every_known_header(void **state)
{
    static const char text[] =
        "POST / HTTP/1.1\r\norigin: 1\r\naccess-control-request-method: 2\r\n"
        "Access-Control-Request-Headers: 3\r\napi-key: 4\r\nAuthorization: 5\r\n"
        "Content-Encoding: 6\r\nUSER-AGENT: 7\r\nReferer: 8\r\nExpect: 100-Continue\r\n"
        "Content-Length: 17\r\napi-key: again\r\n\r\n";
    struct rest_head h;

    (void)state;
    assert_true(parse(text, &h) > 0);
    for (uint32_t i = 0; i < REST_H__N; i++) {
        char digit[2] = {(char)('1' + i), 0};

        assert_text(h.h[i], digit); /* the first of two counts */
    }
    assert_int_equal(h.flags, REST_F_KEEP_ALIVE | REST_F_EXPECT | REST_F_LENGTH);
    assert_int_equal(h.content_length, 17);
}

static void connection_rules(void **state)
{
    struct rest_head h;

    (void)state;
    assert_true(parse("GET / HTTP/1.0\r\n\r\n", &h) > 0);
    assert_int_equal(h.flags & REST_F_KEEP_ALIVE, 0);
    assert_true(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h) > 0);
    assert_true(h.flags & REST_F_KEEP_ALIVE);
    assert_true(parse("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", &h) > 0);
    assert_int_equal(h.flags & REST_F_KEEP_ALIVE, 0);
}

static void targets(void **state)
{
    struct rest_head h;

    (void)state;
    assert_true(parse("GET http://host:1/p?q HTTP/1.1\r\n\r\n", &h) > 0);
    assert_text(h.path, "/p");
    assert_text(h.query, "q");
    assert_true(parse("GET http://host HTTP/1.1\r\n\r\n", &h) > 0);
    assert_int_equal(h.path.n, 0);
    assert_true(parse("OPTIONS * HTTP/1.1\r\n\r\n", &h) > 0);
    assert_true(parse("GET /a?b?c#d?e HTTP/1.1\r\n\r\n", &h) > 0);
    assert_text(h.path, "/a");
    assert_text(h.query, "b?c");
    assert_true(parse("GET /\xc3\xa9 HTTP/1.1\r\n\r\n", &h) > 0);
    assert_int_equal(parse("GET a HTTP/1.1\r\n\r\n", &h), -400);
}

static void refused_heads(void **state)
{
    static const struct {
        const char *text;
        int status;
    } list[] = {
        {"GET / HTTP/1.1\n\n", 400},
        {"GET / HTTP/1.1\r\nA: b\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\n\r\n", 400},
        {"G{T / HTTP/1.1\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.2\r\n\r\n", 505},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET / http/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nExpect: tea\r\n\r\n", 417},
    };
    struct rest_head h;

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(list); i++)
        if (parse(list[i].text, &h) != -list[i].status)
            fail_msg("%s", list[i].text);
}

static void limits(void **state)
{
    static char text[REST_HEAD_MAX + 100];
    struct rest_head h;
    uint64_t seen = 0, n;

    (void)state;
    n = (uint64_t)sprintf(text, "GET / HTTP/1.1\r\nA: ");
    memset(text + n, 'a', REST_HEAD_MAX + 1 - n);
    assert_int_equal(rest_http_head(text, REST_HEAD_MAX, &seen, &h), 0);
    assert_int_equal(rest_http_head(text, REST_HEAD_MAX + 1, &seen, &h), -431);
    n = (uint64_t)sprintf(text, "GET / HTTP/1.1\r\n");
    for (uint32_t i = 0; i < REST_HEADERS_MAX; i++)
        n += (uint64_t)sprintf(text + n, "a: b\r\n");
    strcpy(text + n, "\r\n");
    assert_true(parse(text, &h) > 0);
    strcpy(text + n, "a: b\r\n\r\n");
    assert_int_equal(parse(text, &h), -431);
}

/* Each prefix is incomplete, whatever was seen before; the whole gives the same result. */
static void heads_in_pieces(void **state)
{
    static const char text[] = "POST /x HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    struct rest_head h;
    uint64_t seen = 0;

    (void)state;
    for (uint64_t n = 0; n + 1 < sizeof(text); n++)
        assert_int_equal(rest_http_head(text, n, &seen, &h), 0);
    assert_int_equal(rest_http_head(text, sizeof(text) - 1, &seen, &h), sizeof(text) - 1);
    assert_int_equal(h.content_length, 3);
}

/* Feeds the text in pieces of `step` bytes; returns the parser's result and the payload. */
static int chunks(const char *text, uint64_t step, char *out, uint64_t *out_n, uint64_t *used)
{
    struct rest_chunk c = {0, 0, 0};
    uint64_t n = strlen(text), in = 0, end = 0, w = 0;
    char buf[4096];
    int rc = 0;

    while (rc == 0 && end < n) {
        uint64_t more = n - end < step ? n - end : step;

        memcpy(buf + end, text + end, more);
        end += more;
        rc = rest_http_chunks(&c, buf, &in, end, &w);
    }
    memcpy(out, buf, w);
    *out_n = w;
    *used = in;
    return rc;
}

static void chunked_bodies(void **state)
{
    static const char text[] =
        "3\r\nabc\r\n0A;name=\"v\"\r\n0123456789\r\n000\r\nT: 1\r\nU:\r\n\r\nnext";
    char out[4096];
    uint64_t n, used;

    (void)state;
    for (uint64_t step = 1; step < sizeof(text); step++) {
        assert_int_equal(chunks(text, step, out, &n, &used), 1);
        assert_int_equal(n, 13);
        assert_memory_equal(out, "abc0123456789", 13);
        assert_int_equal(used, sizeof(text) - 1 - 4);
    }
    assert_int_equal(chunks("0\r\n\r\n", 1, out, &n, &used), 1);
    assert_int_equal(n, 0);
}

static void refused_chunks(void **state)
{
    static const char *const list[] = {
        "x\r\n",           "\r\n",       ";a\r\n",      "-1\r\n", "3\nabc",
        "3\r\nabcd\r\n",   "3\r\nabc\n", "3\r\nabc\rX", "3 \n",   "1000000000000000\r\n",
        "0\r\nA: b\n\r\n", "0\r\n\rX",
    };
    char out[4096];
    uint64_t n, used;

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(list); i++)
        if (chunks(list[i], 1, out, &n, &used) != -400)
            fail_msg("%s", list[i]);
}

static void chunk_lines_are_bounded(void **state)
{
    struct rest_chunk c = {0, 0, 0};
    uint64_t in = 0, out = 0;
    static char text[100000];

    (void)state;
    memset(text, 'a', 100000);
    memcpy(text, "1;", 2);
    assert_int_equal(rest_http_chunks(&c, text, &in, 100000, &out), -400);
    memset(text, 'a', 100000);
    memcpy(text, "0\r\n", 3);
    memset(&c, 0, sizeof(c));
    in = out = 0;
    assert_int_equal(rest_http_chunks(&c, text, &in, 100000, &out), -400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_request),    cmocka_unit_test(every_known_header),
        cmocka_unit_test(connection_rules), cmocka_unit_test(targets),
        cmocka_unit_test(refused_heads),    cmocka_unit_test(limits),
        cmocka_unit_test(heads_in_pieces),  cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(refused_chunks),   cmocka_unit_test(chunk_lines_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
