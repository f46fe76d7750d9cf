"""HTTP as bytes: order of pipelined answers, back-pressure, smuggling, descriptors, cross-origin."""
import json
import os
import resource
import socket
import struct
import time

import pytest

DIM = 32


def request(method, path, body=b"", head=b""):
    if body:
        head += b"Content-Length: %d\r\n" % len(body)
    return b"%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n%s" % (method, path, head, body)


class Wire:
    """One connection; answer() reads one response as (status, headers, body)."""

    def __init__(self, server, timeout=60, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", server.port))
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        got = self.sock.recv(1 << 20)
        if not got:
            raise EOFError(self.data)
        self.data += got

    def answer(self):
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        n = int(headers.get("content-length", 0))
        while len(self.data) < n:
            self.more()
        body, self.data = self.data[:n], self.data[n:]
        return int(lines[0].split()[1]), headers, body

    def closed(self):
        try:
            while True:
                self.more()
        except (EOFError, ConnectionResetError):
            return True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


@pytest.fixture
def wire(server):
    w = Wire(server)
    yield w
    w.close()


@pytest.fixture(scope="module")
def points(server):
    """2000 points of DIM numbers: 300 KB of text, so decoded on the pool."""
    server.http.ok("PUT", "/collections/w", {"vectors": {"size": DIM, "distance": "Dot"}})
    body = json.dumps({"points": [
        {"id": i, "vector": [(i * 7 + k) % 100 / 64 for k in range(DIM)], "payload": {"i": i}}
        for i in range(2000)]}).encode()
    assert len(body) > 262144
    server.http.ok("PUT", "/collections/w/points?wait=true", body)
    return body


@pytest.mark.parametrize("text", [
    b"POST /collections/w/points/count HTTP/1.1\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    b"POST /collections/w/points/count HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /collections/w/points/count HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n{}",
    b"POST /collections/w/points/count HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST /collections/w/points/count HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    b"GET /healthz HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n",
])
def test_ambiguous_requests_end_the_connection(wire, text):
    wire.send(text)
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert wire.closed() and wire.data == b""


def test_order_of_answers_with_work_on_the_pool(wire, points):
    count = request(b"POST", b"/collections/w/points/count", b"{}")
    wire.send(request(b"PUT", b"/collections/w/points?wait=true", points) + count +
              request(b"GET", b"/nowhere") + request(b"GET", b"/healthz"))
    assert b'"completed"' in wire.answer()[2]
    assert json.loads(wire.answer()[2])["result"] == {"count": 2000}
    assert wire.answer()[0] == 404
    assert wire.answer()[2] == b"healthz check passed"


def test_faulty_body_on_the_pool(wire, points):
    wire.send(request(b"PUT", b"/collections/w/points", points[:-1]) + request(b"GET", b"/healthz"))
    status, _, body = wire.answer()
    assert status == 400 and b"EOF while parsing an object" in body
    assert wire.answer()[0] == 200


def test_chunked_body_of_any_cut(wire, points):
    cut = [1, 2, 3, 5000, 70000, 11]
    text, at, i = b"", 0, 0
    while at < len(points):
        piece = points[at:at + cut[i % len(cut)]]
        text += b"%X;x=y\r\n%s\r\n" % (len(piece), piece)
        at, i = at + len(piece), i + 1
    wire.send(request(b"PUT", b"/collections/w/points?wait=true", head=b"Transfer-Encoding: chunked\r\n") +
              text + b"0\r\nT: v\r\n\r\n" + request(b"GET", b"/healthz"))
    assert wire.answer()[0] == 200
    assert wire.answer()[2] == b"healthz check passed"


def test_slow_reader_gets_everything(server, points):
    w = Wire(server, receive_buffer=16384)
    scroll = request(b"POST", b"/collections/w/points/scroll",
                     b'{"limit": 2000, "with_vector": true}')
    w.send(scroll * 30)  # 15 MB of answers
    time.sleep(0.5)
    assert server.http("GET", "/healthz")[0] == 200
    first = w.answer()[2]
    result = json.loads(first)["result"]
    assert len(result["points"]) == 2000
    for _ in range(29):
        assert json.loads(w.answer()[2])["result"] == result
    w.close()


def test_clients_that_leave(server, points):
    upsert = request(b"PUT", b"/collections/w/points?wait=true", points)
    for n in (10, 200, len(upsert) // 2, len(upsert)):
        for leave in (Wire.close, Wire.reset):
            w = Wire(server)
            w.send(upsert[:n])
            leave(w)
    assert server.http.ok("POST", "/collections/w/points/count", {}) == {"count": 2000}


def test_out_of_descriptors(make_server):
    s = make_server({"service.http_keep_alive_timeout_sec": 2})
    used = len(os.listdir(f"/proc/{s.proc.pid}/fd"))
    resource.prlimit(s.proc.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
    held = [Wire(s) for _ in range(20)]  # more than it can take; the rest waits in the backlog
    held[-1].send(request(b"GET", b"/healthz"))
    before = cpu_seconds(s)
    assert held[-1].answer()[0] == 200  # once idle ones were closed
    assert cpu_seconds(s) - before < 1  # and nobody spun meanwhile
    for w in held:
        w.close()


def cpu_seconds(server):
    fields = open(f"/proc/{server.proc.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


VARY = "origin, access-control-request-method, access-control-request-headers"


def test_cross_origin(wire):
    wire.send(request(b"GET", b"/healthz", head=b"Origin: http://a.b\r\n"))
    _, headers, _ = wire.answer()
    assert headers["access-control-allow-origin"] == "http://a.b" and headers["vary"] == VARY
    wire.send(request(b"GET", b"/collections/none"))
    _, headers, _ = wire.answer()
    assert "access-control-allow-origin" not in headers and headers["vary"] == VARY
    wire.send(request(b"OPTIONS", b"/any/path", head=b"Origin: o\r\nAccess-Control-Request-Method: "
                      b"PUT\r\nAccess-Control-Request-Headers: api-key, x\r\n"))
    status, headers, body = wire.answer()
    assert (status, body) == (200, b"")
    assert set(headers["access-control-allow-methods"].split(", ")) == {
        "head", "patch", "trace", "get", "connect", "post", "options", "put", "delete"}
    assert headers["access-control-allow-headers"] == "api-key, x"
    wire.send(request(b"OPTIONS", b"/collections", head=b"Origin: o\r\n"))
    assert wire.answer()[0] == 404


def test_cross_origin_off(make_server):
    s = make_server({"service.enable_cors": "false"})
    w = Wire(s)
    w.send(request(b"GET", b"/healthz", head=b"Origin: o\r\n"))
    _, headers, _ = w.answer()
    assert "vary" not in headers and "access-control-allow-origin" not in headers
    w.send(request(b"OPTIONS", b"/x", head=b"Origin: o\r\nAccess-Control-Request-Method: PUT\r\n"))
    assert w.answer()[0] == 404
    w.close()


def test_headers(wire):
    wire.send(request(b"GET", b"/collections"))
    _, headers, _ = wire.answer()
    assert headers["content-type"] == "application/json"
    assert "date" in headers and "server" not in headers and "connection" not in headers


def test_unserved_coding(wire):
    wire.send(request(b"POST", b"/collections/w/points/count", b"x", b"Content-Encoding: gzip\r\n"))
    status, _, body = wire.answer()
    assert status == 501 and json.loads(body)["status"]["error"].startswith("Not implemented: ")
