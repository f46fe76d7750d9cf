"""Writes, filters, facets and pages, beside the reference engine in process (qdrant-edge-py).

The server is measured through REST: processor time of its process. The peer gets prepared objects in
this process and spends its own thread time; its calls are counted with the time of the whole process
(it has threads of its own). Both hold the same points in the same run, rounds alternate.
"""
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

import numpy as np

from measure import cpu_seconds, median, spread
from harness import Http, Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "filter"))
import edge as peer  # noqa: E402
import qdrant_edge as qe  # noqa: E402

NAME = "/collections/data"
INDEXES = [("kw", "keyword"), ("cat", "keyword"), ("num", "integer"), ("seq", "integer")]
BATCH = 256


class Points:
    def __init__(self, n, dim, seed=1):
        self.n, self.dim = n, dim
        self.vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)

    def payload(self, i):
        return {"kw": f"value-{i * 7919 % 1000}", "cat": f"c{i % 10}", "num": i * 31 % 100000,
                "seq": i, "title": f"Item number {i} of the list"}

    def bodies(self):
        for at in range(0, self.n, BATCH):
            ids = range(at, min(at + BATCH, self.n))
            yield json.dumps({"points": [
                {"id": i, "vector": [round(float(x), 5) for x in self.vectors[i]],
                 "payload": self.payload(i)} for i in ids]}).encode()

    def batches(self):
        for at in range(0, self.n, BATCH):
            ids = range(at, min(at + BATCH, self.n))
            yield [qe.Point(i, self.vectors[i].tolist(), self.payload(i)) for i in ids]


class Peer:
    def __init__(self, points):
        self.dir = tempfile.mkdtemp(prefix="sextant-bench-", dir=os.environ.get("TMPDIR"))
        shutil.rmtree(self.dir)
        self.shard = qe.EdgeShard.create(
            self.dir, qe.EdgeConfig(vectors=qe.EdgeVectorParams(points.dim, qe.Distance.Dot)))

    def index(self, field, kind):
        types = {"keyword": qe.PayloadSchemaType.Keyword, "integer": qe.PayloadSchemaType.Integer}
        self.shard.update(qe.UpdateOperation.create_field_index(field, types[kind]))

    def close(self):
        self.shard.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def own_cpu():
    t = os.times()
    return t.user + t.system


def anon_mb(pid="self"):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def send_all(server, bodies, connections=4):
    it, lock = iter(bodies), threading.Lock()

    def work():
        http = Http(server.port)
        while True:
            with lock:
                body = next(it, None)
            if body is None:
                return
            status, answer = http.raw("PUT", NAME + "/points?wait=true", body)
            if status != 200:
                raise SystemExit(f"upsert: {status} {answer[:300]}")

    threads = [threading.Thread(target=work) for _ in range(connections)]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter() - start


def create(server, points, indexes):
    server.http.ok("PUT", NAME, {"vectors": {"size": points.dim, "distance": "Dot"}})
    for field, kind in indexes:
        server.http.ok("PUT", NAME + "/index?wait=true", {"field_name": field, "field_schema": kind})


def writes(table, n=200000, rounds=3):
    for dim in 128, 384:
        points = Points(n if dim == 128 else min(n, 50000), dim)
        bodies, batches = list(points.bodies()), list(points.batches())
        for indexes in [], INDEXES:
            cost, rate, theirs = [], [], []
            for _ in range(rounds):
                with Server({"log_level": "WARN"}) as server:
                    create(server, points, indexes)
                    before = cpu_seconds(server.proc.pid)
                    rate.append(points.n / send_all(server, bodies))
                    cost.append((cpu_seconds(server.proc.pid) - before) / points.n * 1e6)
                other = Peer(points)
                for field, kind in indexes:
                    other.index(field, kind)
                before = own_cpu()
                for batch in batches:
                    other.shard.update(qe.UpdateOperation.upsert_points(batch))
                theirs.append((own_cpu() - before) / points.n * 1e6)
                other.close()
            ratio = median(cost) / median(theirs)
            what = f"upsert {points.n} x {dim}, {len(indexes)} indexes: server CPU a point"
            table.add(what, f"{median(cost):.1f} us", f"engine in process {median(theirs):.1f} us",
                      f"{ratio:.2f}", "<= 1.0", ratio <= 1.0)
            goal = (">= 40000", median(rate) >= 40000) if dim == 128 and not indexes else ("", None)
            table.add("  points a second, four connections, wait=true", f"{median(rate):.0f}",
                      spread(rate, "{:.0f}"), "", *goal)


QUERIES = {
    "1 %": {"must": [{"key": "cat", "match": {"value": "c3"}},
                     {"key": "num", "range": {"gte": 0, "lt": 10000}}]},
    "20 %": {"must": [{"key": "kw", "match": {"any": [f"value-{i}" for i in range(400)]}},
                      {"key": "num", "range": {"gte": 0, "lt": 50000}}]},
    "keyword of 1000 and range": {"must": [{"key": "kw", "match": {"value": "value-7"}},
                                           {"key": "num", "range": {"lt": 50000}}]},
}


def timed(table, what, ours, theirs, limit, rounds=7, times=40):
    """Ours: processor time of the server a call; theirs: of this process."""
    pid, request = ours
    a, b = [], []
    request()
    theirs()
    for _ in range(rounds):
        before = cpu_seconds(pid)
        for _ in range(times):
            request()
        a.append((cpu_seconds(pid) - before) / times * 1e6)
        before = own_cpu()
        for _ in range(max(times // 4, 1)):
            theirs()
        b.append((own_cpu() - before) / max(times // 4, 1) * 1e6)
    ratio = median(a) / max(median(b), 0.01)
    table.add(what, f"{median(a):.0f} us", f"engine in process {median(b):.0f} us", f"{ratio:.2f}",
              f"<= {limit}" if limit else "", ratio <= limit if limit else None)
    return median(a)


def filters(table, n=1000000, dim=8):
    points = Points(n, dim)
    table.head(f"filters: {n} points, two keyword and two integer indexes")
    with Server({"log_level": "WARN"}) as server:
        create(server, points, INDEXES)
        send_all(server, points.bodies())
        other = Peer(points)
        for field, kind in INDEXES:
            other.index(field, kind)
        for batch in points.batches():
            other.shard.update(qe.UpdateOperation.upsert_points(batch))
        other.shard.optimize()
        time.sleep(15)  # sealed and saved

        def rest(path, body):
            data = json.dumps(body).encode()

            def go():
                try:
                    status, answer = server.http.raw("POST", NAME + path, data)
                except OSError:  # closed as idle while the peer was measured
                    status, answer = server.http.raw("POST", NAME + path, data)
                if status != 200:
                    raise SystemExit(f"{path}: {status} {answer[:300]}")
                return json.loads(answer)["result"]
            return server.proc.pid, go

        for share, f in QUERIES.items():
            flt = peer.filter_of(f)
            ours, count = rest("/points/count", {"filter": f}), qe.CountRequest(True, flt)
            if ours[1]()["count"] != other.shard.count(count):
                raise SystemExit("the counts differ")
            timed(table, f"exact count, {share}", ours, lambda: other.shard.count(count), 0.2)
            facet = qe.FacetRequest("kw", 10, True, flt)
            timed(table, f"exact facet of 1000 values, {share}",
                  rest("/facet", {"key": "kw", "exact": True, "filter": f}),
                  lambda: other.shard.facet(facet), 0.2)
        f = QUERIES["1 %"]
        scroll = qe.ScrollRequest(None, 100, peer.filter_of(f), True, False)
        plain = timed(table, "filtered scroll of 100",
                      rest("/points/scroll", {"limit": 100, "filter": f}),
                      lambda: other.shard.scroll(scroll), 0.5)
        ordered = qe.ScrollRequest(None, 100, peer.filter_of(f), True, False, qe.OrderBy("num"))
        by = timed(table, "the same ordered by an integer",
                   rest("/points/scroll", {"limit": 100, "filter": f, "order_by": "num"}),
                   lambda: other.shard.scroll(ordered), None)
        table.add("  order_by beside the plain scroll", f"{by / plain:.2f} x", "", "", "<= 2",
                  by <= 2 * plain)
        ids = random.Random(3).sample(range(n), 100)
        timed(table, "retrieve 100 ids with payload",
              rest("/points", {"ids": ids, "with_payload": True}),
              lambda: other.shard.retrieve(ids, True, False), 0.5)
        other.close()
