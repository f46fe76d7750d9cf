#!/usr/bin/env python3
"""Randomly mutated requests over raw sockets: an answer or a closed connection, never a crash or hang.

    tests/fault/mutate.py [--requests 10000] [--seed N]

The seeds are the requests of the recorded conversations (tests/corpus), most of them pointed at
collections that exist here. A mutation changes bytes of the body, its JSON values, the head or the
framing. A request whose framing is whole must be answered; others may also be met by a closed
connection. Every 50 requests a correct one must get its exact answer, and a collection that no
mutation names must be unchanged. Run against a build with sanitizers (SEXTANT_BIN).
"""
import argparse
import json
import pathlib
import random
import re
import socket
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import Http, Server  # noqa: E402

CORPUS = HERE.parent / "corpus"
LIVE = {"m1": {"vectors": {"size": 1, "distance": "Dot"}},
        "m2": {"vectors": {"size": 2, "distance": "Cosine"}},
        "m3": {"vectors": {"size": 3, "distance": "Euclid", "on_disk": True}},
        "m4": {"vectors": {"size": 4, "distance": "Dot"}},
        "mn": {"vectors": {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 4, "distance": "Dot"}}}}
ANCHOR = "anchor-7f3b19"
WORDS = [b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e999", b"-1e-999", b"18446744073709551615",
         b"18446744073709551616", b"-9223372036854775809", b"NaN", b"Infinity", b'""', b'"\\u0000"',
         b'"\\ud800"', b'"\xff"', b"[]", b"{}", b"[[]]", b"[" * 130, b"{\"a\":" * 130, b"\x00", b"\xef\xbb\xbf",
         b",", b":", b"}", b"]", b'"', b"\\", b"  \t\r\n", b"0" * 400, b"9" * 400, b"0." + b"3" * 400,
         b'"' + b"x" * 5000 + b'"', b"1,2,3,4,5,6,7,8", b"limit", b"points", b"query", b"vector"]


# Routes that do real work with a body; most requests go there.
DEEP = re.compile(r"PUT /collections/[^/?]+(/points)?(\?.*)?$|"
                  r"POST /collections/[^/?]+/points(/(delete|scroll|count|query|search|query/batch|"
                  r"search/batch))?(\?.*)?$")


def seeds():
    """(method, path, body bytes or None) of every recorded step, each once."""
    seen = {}
    for f in sorted(CORPUS.glob("0[1-4]*.jsonl")):
        for line in f.read_text().splitlines():
            for step in json.loads(line)["steps"] if line.strip() else []:
                body = None
                if "raw" in step:
                    body = step["raw"].encode()
                elif "b" in step:
                    body = json.dumps(step["b"], ensure_ascii=False).encode()
                if body is None or len(body) < 100000:
                    seen[(step["m"], step["p"], body)] = None
    return list(seen)


def mutate_value(v, rng):
    """One random place of a JSON value replaced, removed, doubled or renamed."""
    if isinstance(v, dict) and v and rng.random() < 0.85:
        v = dict(v)
        k = rng.choice(list(v))
        what = rng.random()
        if what < 0.7:
            v[k] = mutate_value(v[k], rng)
        elif what < 0.8:
            del v[k]
        elif what < 0.9:
            v[rng.choice((k.upper(), k + "s", "", "limit", "offset", "ids", "with_payload"))] = v[k]
        else:
            v[k] = {k: v[k]}
        return v
    if isinstance(v, list) and v and rng.random() < 0.85:
        v, i = list(v), rng.randrange(len(v))
        what = rng.random()
        if what < 0.6:
            v[i] = mutate_value(v[i], rng)
        elif what < 0.75:
            del v[i]
        elif what < 0.9:
            v[i:i] = v[i:i + 1] * rng.choice((1, 3, 100))
        else:
            v[i] = [v[i]]
        return v
    return rng.choice((None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, 0.5, -0.0, 1e38,
                       1e39, 1e308, "", "x", "é\u0000", "9" * 50, [], {}, [[]], [1], [1, 2], [0.1, 0.2, 0.3],
                       [1, 2, 3, 4], {"a": [1, 2]}, {"nearest": [1, 2]}, {"indices": [1], "values": [1.0]},
                       "00000000-0000-0000-0000-000000000001", v))


def mutate_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(7)
        if what == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[at:at + rng.choice((1, 2, 10, 1000))]
        elif what == 2:
            data[at:at] = rng.choice(WORDS)
        elif what == 3:
            data[at:at] = data[at:at + rng.choice((1, 5, 50))] * rng.choice((1, 2, 20))
        elif what == 4:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        elif what == 5:
            del data[at:]
        else:
            end = at + rng.choice((1, 3, 8))
            data[at:end] = rng.choice(WORDS)
    return bytes(data)


def mutate_path(path, rng):
    what = rng.randrange(8)
    if what == 0:
        return mutate_bytes(path.encode(), rng).replace(b" ", b"%20").replace(b"\n", b"").decode("latin-1")
    if what == 1:
        return path + rng.choice(("?wait=true", "&wait=maybe", "?timeout=0", "?timeout=1&timeout=2",
                                  "?consistency=all", "?a=b&=&&&", "?ordering=strong", "?%zz=%"))
    if what == 2:
        return path.replace("/", rng.choice(("//", "/./", "/../", "%2f", "/%00/")), rng.choice((1, 2, 9)))
    if what == 3:
        return re.sub(r"/collections/[^/?]+", "/collections/" + rng.choice(
            ("%ff", "x" * 256, "a%2fb", "%2e%2e", "mn", "%", "ü".encode().decode("latin-1"))), path)
    if what == 4:
        return path + rng.choice(("/", "/1", "/points", "/18446744073709551616", "/query", "/%20"))
    return path


def build(seed, rng, other):
    """(bytes to send, must it be answered)."""
    method, path, body = seed
    if rng.random() < 0.75:
        path = re.sub(r"^/collections/(?!aliases)[^/?]+(?=/)", "/collections/" + rng.choice(list(LIVE)), path)
    whole = True
    if body is not None:
        what = rng.random()
        if what < 0.5:
            try:
                body = json.dumps(mutate_value(json.loads(body), rng)).encode()
            except (ValueError, UnicodeEncodeError):
                body = mutate_bytes(body, rng)
        elif what < 0.9:
            body = mutate_bytes(body, rng)
        elif what < 0.95 and other:
            at = rng.randrange(len(body) + 1)
            body = body[:at] + other[rng.randrange(len(other) + 1):]
    if rng.random() < 0.2:
        path = mutate_path(path, rng)
    if rng.random() < 0.05:
        method = rng.choice(("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW", "get"))
    head = [f"{method} {path} HTTP/1.1".encode("latin-1", "replace"), b"Host: localhost"]
    how = rng.random()
    if body is not None and how < 0.12:  # chunked
        head.append(b"Transfer-Encoding: chunked")
        parts, at = [], 0
        while at < len(body):
            n = rng.choice((1, 3, 17, 1000))
            parts.append(b"%x\r\n%s\r\n" % (len(body[at:at + n]), body[at:at + n]))
            at += n
        body = b"".join(parts) + b"0\r\n\r\n"
        if rng.random() < 0.3:
            body, whole = mutate_bytes(body, rng), False
    elif body is not None and how < 0.18:  # a length that lies
        head.append(b"Content-Length: " + rng.choice((b"0", b"-1", b"1", b"99999999", b"x", b"",
                                                      b"%d" % max(0, len(body) - 1), b"+5")))
        whole = False
    elif body is not None:
        head.append(b"Content-Length: %d" % len(body))
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        head.append(rng.choice((b"Content-Type: text/plain", b"Accept-Encoding: gzip, br", b"Origin: http://x",
                                b"Connection: close", b"Connection: keep-alive", b"X-A: " + b"v" * 300,
                                b"Expect: 100-continue", b"Upgrade: h2c", b"Cookie: \x80\xff")))
    text = b"\r\n".join(head) + b"\r\n\r\n"
    if rng.random() < 0.08:
        text, whole = mutate_bytes(text, rng), False
    return text + (body or b""), whole


# The one 500 that a body alone may cause: a model that only an inference service could run.
NO_INFERENCE = b"InferenceService URL not configured"


def answer(sock):
    """Status and body of one answer; (None, b"") when the connection was closed without one. Raises
    TimeoutError."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            try:
                chunk = sock.recv(65536)
            except ConnectionError:
                return None, b""
            if not chunk:
                if data:
                    raise AssertionError(f"half an answer: {data[:200]!r}")
                return None, b""
            data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        m = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z0-9' -]*\r\n", head + b"\r\n")
        if not m:
            raise AssertionError(f"no answer of HTTP: {data[:200]!r}")
        if m[1] == b"100":
            data = rest
            continue
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        want = int(length[1]) if length else 0
        while len(rest) < want:
            try:
                chunk = sock.recv(65536)
            except ConnectionError:
                chunk = b""
            if not chunk:
                return int(m[1]), rest  # HEAD-like, or closed on bytes it did not read
            rest += chunk
        return int(m[1]), rest


class Run:
    def __init__(self, seed):
        self.rng, self.seed = random.Random(seed), seed
        self.server = Server({"log_level": "WARN"})
        self.http = Http(self.server.port)
        self.counts = {}
        self.http.ok("PUT", f"/collections/{ANCHOR}", {"vectors": {"size": 4, "distance": "Dot"}})
        self.http.ok("PUT", f"/collections/{ANCHOR}/points?wait=true", {"points": [
            {"id": i, "vector": [i, 1, 2, 3], "payload": {"i": i}} for i in range(20)]})
        self.expected = self.anchor()
        self.refill()

    def anchor(self):
        return (self.http.ok("POST", f"/collections/{ANCHOR}/points/scroll",
                             {"limit": 100, "with_vector": True}),
                self.http.ok("POST", f"/collections/{ANCHOR}/points/query",
                             {"query": [1, 0, 0, 0], "limit": 3, "with_payload": True}))

    def refill(self):
        """Drops what mutations made, makes what they dropped."""
        have = {c["name"] for c in self.http.ok("GET", "/collections")["collections"]}
        for n in have - set(LIVE) - {ANCHOR}:
            from urllib.parse import quote
            self.http("DELETE", "/collections/" + quote(n, safe=""))
        for n, config in LIVE.items():
            if n not in have:
                self.http.ok("PUT", f"/collections/{n}", config)
            dims = config["vectors"].get("size")
            self.http("PUT", f"/collections/{n}/points?wait=true", {"points": [
                {"id": i, "vector": [i] * dims if dims else {"a": [i, 1], "b": [i, 1, 1, 1]},
                 "payload": {"a": i, "t": "text"}} for i in range(1, 30)]})

    def control(self):
        self.http.close()
        if self.anchor() != self.expected:
            raise AssertionError("the collection that nobody named has changed")

    def one(self, text, whole):
        sock = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        try:
            try:
                sock.sendall(text)
                if not whole:
                    sock.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass
            status, body = answer(sock)
        except TimeoutError:
            raise AssertionError("no answer and no close within 10 s") from None
        finally:
            sock.close()
        if whole and status is None:
            raise AssertionError("a whole request was not answered")
        if status is not None and not 200 <= status < 600:
            raise AssertionError(f"status {status}")
        if status == 500 and NO_INFERENCE not in body:
            raise AssertionError("status 500: an internal error by input alone")
        self.counts[status] = self.counts.get(status, 0) + 1


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--requests", type=int, default=10000)
    ap.add_argument("--seed", type=int, default=int(time.time() * 1000) % 10**9)
    a = ap.parse_args()
    print(f"seed {a.seed}", flush=True)
    all_seeds = seeds()
    deep = [s for s in all_seeds if s[2] is not None and DEEP.match(f"{s[0]} {s[1]}")]
    run = Run(a.seed)
    rng = run.rng
    text = b""
    try:
        for i in range(a.requests):
            if i % 50 == 49:
                run.control()
            if i % 500 == 499:
                run.refill()
            seed = rng.choice(deep if rng.random() < 0.6 else all_seeds)
            text, whole = build(seed, rng, rng.choice(all_seeds)[2])
            run.one(text, whole)
            if not run.server.alive():
                raise AssertionError("the server died")
        run.control()
        run.http.close()
        run.server.close()
    except (AssertionError, OSError) as e:
        path = pathlib.Path(tempfile.gettempdir()) / f"sextant-mutate-{a.seed}.bin"
        path.write_bytes(text)
        print(f"FAILED at request {i}, seed {a.seed}: {type(e).__name__}: {e}")
        print(f"the request ({len(text)} bytes) is in {path}: {text[:400]!r}")
        print(run.server.log(100))
        if run.server.alive():
            run.server.kill()
        run.server.close(check=False)
        return 1
    shown = ", ".join(f"{k or 'closed'}: {v}" for k, v in sorted(run.counts.items(), key=lambda c: str(c)))
    print(f"{a.requests} mutated requests of {len(all_seeds)} seeds answered ({shown}), nothing broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
