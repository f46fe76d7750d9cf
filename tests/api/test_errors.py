"""Bad input: every malformed body, type, dimension, path, half request gets its error or a closed
connection; the server goes on and nothing is applied by half."""
import json
import re
import socket
import threading
import time

import pytest
from harness import Http

DIM = 4


@pytest.fixture(scope="module")
def coll(server):
    server.http.ok("PUT", "/collections/e", {"vectors": {"size": DIM, "distance": "Dot"}})
    server.http.ok("PUT", "/collections/e/points?wait=true", {"points": [
        {"id": i, "vector": [i, 1, 1, 1], "payload": {"i": i}} for i in range(10)]})
    return "e"


@pytest.fixture(autouse=True)
def unharmed(server, coll):
    """After every test: the server lives and the collection is as it was."""
    server.http.close()  # an idle connection may have been closed meanwhile
    before = server.http.ok("POST", f"/collections/{coll}/points/scroll",
                            {"limit": 1000, "with_vector": True})
    yield
    assert server.alive()
    fresh = Http(server.port)
    after = fresh.ok("POST", f"/collections/{coll}/points/scroll",
                     {"limit": 1000, "with_vector": True})
    fresh.close()
    assert after == before


def error(http, method, path, body):
    status, answer = http(method, path, body)
    assert isinstance(answer, dict) and list(answer) == ["status", "time"], (status, answer)
    assert answer["time"] >= 0
    return status, answer["status"]["error"]


UPSERT = "/collections/e/points?wait=true"
QUERY = "/collections/e/points/query"


@pytest.mark.parametrize("body,text", [
    ("", "EOF while parsing a value at line 1 column 0"),
    ("{", "EOF while parsing an object at line 1 column 1"),
    ('{"points":[', "EOF while parsing a list at line 1 column 11"),
    ("nonsense", "expected ident at line 1 column 2"),
    ("\ufeff{}", "expected value at line 1 column 1"),
    ('{"limit":1} x', "trailing characters at line 1 column 13"),
    ('{"limit":1,}', "trailing comma at line 1 column 12"),
    ("{1:2}", "key must be a string at line 1 column 2"),
    ('{"limit":"x"}', 'invalid type: string "x", expected usize at line 1'),
    ('{"limit":-1}', "invalid value: integer `-1`, expected usize at line 1"),
    ('{"limit":1.5}', "invalid type: floating point `1.5`, expected usize at line 1"),
    ('{"limit":1,"limit":2}', "duplicate field `limit` at line 1"),
])
def test_json_of_scroll(http, body, text):
    status, got = error(http, "POST", "/collections/e/points/scroll", body.encode())
    assert status == 400
    assert got.startswith("Format error in JSON body: " + text)
    assert re.search(r" at line 1 column \d+$", got)


@pytest.mark.parametrize("method,path", [
    ("PUT", UPSERT), ("POST", "/collections/e/points"), ("POST", "/collections/e/points/delete"),
    ("POST", "/collections/e/points/scroll"), ("POST", "/collections/e/points/count"),
    ("POST", QUERY), ("POST", "/collections/e/points/query/batch"),
    ("POST", "/collections/e/points/search"), ("POST", "/collections/e/points/search/batch"),
    ("PUT", "/collections/new_one")])
@pytest.mark.parametrize("body", [
    b"", b"{", b"[", b"]", b"\x00", b"\xff\xfe", b"tru", b"-", b'"', b'{"a"', b'{"a":', b"[1,", b"nul",
    b'"abc"', b"5", b"true", b"[[[[", b"{" * 200, b"[" * 100000, b'{"a":' * 100000,
    b'{"points":"x"}', b'{"points":[{"id":1}]}', b'{"points":[1,2,{}]}', b'{"ids":{}}',
    b'{"vector":{"a":null},"limit":3,"query":{"a":[]},"searches":{},"vectors":[]}'],
    ids=lambda b: repr(bytes(b[:12])))
def test_malformed_everywhere(http, method, path, body):
    status, answer = http(method, path, body)
    assert status in (400, 422, 200), (status, answer)
    if status != 200:
        assert answer["status"]["error"]
    if path == "/collections/new_one":  # an object of unknown fields creates one without vectors
        assert http.ok("DELETE", path) is (status == 200)
        assert status != 200 or body[:1] == b"{"


@pytest.mark.parametrize("vector", [
    "[1,2,3]", "[1,2,3,4,5]", "[]", "[1,2,3,null]", '[1,2,3,"4"]', "[1,2,3,true]", "[1,2,3,[4]]", "5",
    '"x"', "null", "[NaN,1,1,1]", "[Infinity,1,1,1]", "[1e999,1,1,1]", "[1,2,3,4.]", "[1,2,3,.4]",
    "[1,2,3,04]", "[1,2,3,+4]", "[1,2,3,0x4]", "[1,2,3,1e]", '{"none":[1,2,3,4]}', '{"":[1]}',
    '{"":{"indices":[1],"values":[1]}}', "[[1,2,3,4],[1,2,3,4]]"])
def test_bad_vectors(http, vector):
    body = '{"points":[{"id":500,"vector":[1,1,1,1]},{"id":501,"vector":%s}]}' % vector
    # An unknown name or a wrong kind is found when the operation is applied: nobody is told then.
    late = vector[:1] == "{" and vector != '{"":[1]}' or vector[:2] == "[["
    for wait in ("true",) if late else ("true", "false"):
        status, text = error(http, "PUT", f"/collections/e/points?wait={wait}", body)
        assert status in (400, 422), text
    status, text = error(http, "POST", QUERY, '{"query":%s,"limit":3}' % vector) \
        if vector != "null" and vector != "5" else (400, "x")
    assert status in (400, 422, 404, 501), text


def test_numbers_beyond_f32_are_infinite_not_fatal(http, name):
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 2, "distance": "Dot"}})
    http.ok("PUT", f"/collections/{name}/points?wait=true", '{"points":[{"id":1,"vector":[1e39,1]}]}')
    assert http.ok("GET", f"/collections/{name}/points/1")["vector"] == [None, 1.0]
    for q in ("[0,1]", "[1,0]", "[1e39,-1e39]", "[-1e39,0]"):
        status, answer = http("POST", f"/collections/{name}/points/query", '{"query":%s}' % q)
        assert status == 200 and len(answer["result"]["points"]) == 1


def test_unknown_collection(http):
    text = "Not found: Collection `none` doesn't exist!"
    for method, path, body in (
            ("GET", "/collections/none", None), ("GET", "/collections/none/points/1", None),
            ("POST", "/collections/none/points", {"ids": [1]}),
            ("PUT", "/collections/none/points", {"points": [{"id": 1, "vector": [1]}]}),
            ("POST", "/collections/none/points/delete", {"points": [1]}),
            ("POST", "/collections/none/points/scroll", {}),
            ("POST", "/collections/none/points/count", {}),
            ("POST", "/collections/none/points/query", {"query": [1]}),
            ("POST", "/collections/none/points/search", {"vector": [1], "limit": 1})):
        assert error(http, method, path, body) == (404, text), path
    # The shape of a body is looked at first.
    assert http("POST", "/collections/none/points/scroll", {"limit": "x"})[0] == 400
    assert http("POST", "/collections/none/points/scroll", {"limit": 0})[0] == 422


def test_validation(http):
    assert error(http, "POST", "/collections/e/points/scroll", {"limit": 0}) == (
        422, "Validation error in JSON body: [scroll_request.limit: value 0 invalid, must be 1 or "
             "larger]")
    assert error(http, "POST", QUERY, {"query": [1, 1, 1, 1], "limit": 0}) == (
        422, "Validation error in JSON body: [internal.limit: value 0 invalid, must be 1 or larger]")
    assert error(http, "POST", "/collections/e/points/search", {"vector": [1, 1, 1, 1], "limit": 0}) \
        == (422, "Validation error in JSON body: [search_request.limit: value 0 invalid, must be 1 or "
                 "larger]")


def test_query_strings(http):
    bool_text = ("Deserialize error in query parameters: provided string was not `true` or `false`")
    body = {"points": [{"id": 700, "vector": [1, 1, 1]}]}
    for q, text in (("wait=TRUE", bool_text), ("wait=", bool_text), ("wait=1", bool_text),
                    ("wait=true&wait=true",
                     "Deserialize error in query parameters: duplicate field `wait`"),
                    ("ordering=foo", "Deserialize error in query parameters: unknown variant `foo`, "
                                     "expected one of `weak`, `medium`, `strong`"),
                    ("timeout=x", "Deserialize error in query parameters: invalid digit found in "
                                  "string")):
        assert error(http, "PUT", "/collections/e/points?" + q, body) == (400, text), q


@pytest.mark.parametrize("limit", [2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1])
def test_huge_numbers_are_bounded(server, http, limit):
    from harness import rss_bytes
    before = rss_bytes(server.proc.pid)
    for path, body in ((QUERY, {"query": [1, 1, 1, 1], "limit": limit}),
                       (QUERY, {"query": [1, 1, 1, 1], "limit": limit, "offset": limit}),
                       (QUERY, {"query": [1, 1, 1, 1], "limit": 3, "offset": limit}),
                       (QUERY, {"limit": limit}),
                       (QUERY, {"query": [1, 1, 1, 1], "limit": 1, "params": {"hnsw_ef": limit}}),
                       ("/collections/e/points/search", {"vector": [1, 1, 1, 1], "limit": limit,
                                                         "offset": limit}),
                       ("/collections/e/points/scroll", {"limit": limit}),
                       ("/collections/e/points/scroll", {"limit": limit, "offset": limit})):
        status, answer = http("POST", path, body)
        assert status in (200, 400, 422), (path, answer)
    status, _ = http("POST", "/collections/e/points/scroll", {"limit": 2**64})
    assert status == 400
    assert rss_bytes(server.proc.pid) < before + (64 << 20)


def test_paths(http):
    for path in ("/collections/%", "/collections/%zz", "/collections/%e", "/collections/%00",
                 "/collections/%ff", "/collections/%c0%af", "/collections/..%2f..%2fetc",
                 "/collections/%2e%2e", "/collections/a%2fb", "/collections/e/points/%ff",
                 "/collections/e/points/1%00", "/collections/" + "x" * 5000,
                 "/collections/e/points/" + "1" * 5000):
        status, answer = http("GET", path)
        assert status in (400, 404, 422, 414), (path, status, answer)
    for path in ("/collections/e/../e", "/collections/./e", "/collections/e/points/1/x", "//", "/x"):
        status, _ = http.raw("GET", path)
        assert status in (404, 200 if path == "//" else 404), path
    assert http.ok("GET", "//collections///e//")["points_count"] == 10
    assert http.ok("GET", "/collections/%65")["points_count"] == 10


def test_wrong_methods(http):
    for method in ("HEAD", "PATCH", "DELETE", "TRACE", "FOO"):
        status, data = http.raw(method, "/collections/e/points")
        assert status == 404 and data == b"", method
    http.close()


# --- raw sockets ------------------------------------------------------------------------------------

def connect(server):
    s = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    """Everything until the server closes or falls silent for a second."""
    s.settimeout(1)
    data = b""
    try:
        while chunk := s.recv(65536):
            data += chunk
    except (TimeoutError, ConnectionError):
        pass
    return data


def request(body, headers=b"", method=b"POST", path=b"/collections/e/points/scroll"):
    return (method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: " +
            str(len(body)).encode() + b"\r\n" + headers + b"\r\n" + body)


def status_of(data):
    assert data.startswith(b"HTTP/1.1 "), data[:80]
    return int(data[9:12])


def test_too_large_body(server):
    limit = 32 << 20
    s = connect(server)
    s.sendall(b"POST /collections/e/points/scroll HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
              % (limit + 1))
    data = read_all(s)
    assert status_of(data) == 400
    assert (f"JSON payload ({limit + 1} bytes) is larger than allowed (limit: {limit} bytes).".encode()
            in data)
    s.close()
    s = connect(server)
    s.sendall(b"POST /collections/e/points/scroll HTTP/1.1\r\nHost: x\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        for _ in range(33):
            s.sendall(chunk)
        s.sendall(b"0\r\n\r\n")
    except ConnectionError:
        pass
    data = read_all(s)
    if data:  # the answer may be lost when the server closes on bytes it did not read
        assert status_of(data) == 400
        assert f"JSON payload has exceeded limit ({limit} bytes).".encode() in data
    s.close()


def test_largest_body_passes(server):
    body = b'{"limit":1' + b" " * ((32 << 20) - 11) + b"}"
    s = connect(server)
    s.sendall(request(body))
    assert status_of(read_all(s)) == 200
    s.close()


@pytest.mark.parametrize("text", [
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET /\r\n\r\n", b"\r\n\r\n\r\n", b"\x00\x01\x02\x03\r\n\r\n",
    b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100000 + b"\r\n",
    b"GET /" + b"a" * 1000000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1000000 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=lambda b: repr(bytes(b[:40])))
def test_malformed_http(server, text):
    s = connect(server)
    try:
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
    except ConnectionError:
        pass
    data = read_all(s)
    s.close()
    if data:
        assert 400 <= status_of(data) < 600, data[:200]


def test_half_requests_and_closed_sockets(server):
    whole = request(json.dumps({"points": [{"id": 600 + i, "vector": [1, 1, 1, 1]}
                                           for i in range(50)]}).encode(),
                    method=b"PUT", path=b"/collections/e/points?wait=true")
    for cut in list(range(0, 150, 7)) + list(range(150, len(whole), 211)) + [len(whole) - 1]:
        s = connect(server)
        s.sendall(whole[:cut])
        if cut % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # reset
        s.close()


def test_client_leaves_before_the_answer(server):
    body = json.dumps({"query": [1, 1, 1, 1], "limit": 1000, "with_payload": True}).encode()
    for i in range(50):
        s = connect(server)
        s.sendall(request(body, path=b"/collections/e/points/query") * 20)
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        s.close()


def test_slow_and_idle_connections_are_closed(server):
    """One that says nothing and one that dribbles its head: both end, neither disturbs the others."""
    idle, slow = connect(server), connect(server)
    slow.sendall(b"GET / HT")
    end = time.monotonic() + 60
    for s in (idle, slow):
        s.settimeout(max(0.1, end - time.monotonic()))
        data = b""
        while chunk := s.recv(4096):
            data += chunk
        assert data == b"" or status_of(data) == 408
        s.close()


def test_pipelining_and_pieces(server):
    one = request(b'{"limit":1}')
    s = connect(server)
    s.sendall(one * 50)
    data = b""
    s.settimeout(30)
    while data.count(b"HTTP/1.1 200 OK") < 50:
        data += s.recv(65536)
    s.close()
    assert data.count(b"next_page_offset") == 50
    s = connect(server)
    for byte in one:
        s.sendall(bytes([byte]))
    assert status_of(read_all(s)) == 200
    s.close()


def test_chunked_and_expect(server):
    s = connect(server)
    s.sendall(b"POST /collections/e/points/scroll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
              b"\r\n4;ext=1\r\n{\"li\r\n7\r\nmit\":1}\r\n0\r\nTrailer: x\r\n\r\n")
    assert status_of(read_all(s)) == 200
    s.close()
    s = connect(server)
    s.sendall(b"POST /collections/e/points/scroll HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
              b"Content-Length: 11\r\n\r\n")
    s.settimeout(10)
    assert s.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    s.sendall(b'{"limit":1}')
    assert status_of(read_all(s)) == 200
    s.close()


def test_connection_close_and_http10(server):
    s = connect(server)
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    s.settimeout(10)
    data = b""
    while chunk := s.recv(4096):
        data += chunk
    assert status_of(data) == 200 and data.endswith(b"healthz check passed")
    s.close()
    s = connect(server)
    s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    data = b""
    while chunk := s.recv(4096):
        data += chunk
    assert b" 200 " in data and data.endswith(b"healthz check passed")
    s.close()


def test_many_connections_at_once(server):
    problems = []

    def work():
        try:
            h = Http(server.port)
            for _ in range(50):
                assert h("POST", "/collections/e/points/count", {})[1]["result"] == {"count": 10}
                assert h("POST", "/collections/e/points/scroll", "{")[0] == 400
            h.close()
        except Exception as e:  # noqa: BLE001 - shown below
            problems.append(e)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert problems == []
