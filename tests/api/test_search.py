"""Exact search against two oracles: numpy in double precision and the client's local mode."""
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

N, DIM = 1200, 48
METRICS = ["Cosine", "Dot", "Euclid", "Manhattan"]


def distances(metric, rows, q):
    """(score as clients see it, larger is better) of every row, in double precision."""
    rows, q = rows.astype(np.float64), q.astype(np.float64)
    if metric == "Cosine":
        norm = np.linalg.norm(rows, axis=1)
        norm[norm == 0] = 1
        return rows @ q / norm / (np.linalg.norm(q) or 1), True
    if metric == "Dot":
        return rows @ q, True
    if metric == "Euclid":
        return np.sqrt(((rows - q) ** 2).sum(axis=1)), False
    return np.abs(rows - q).sum(axis=1), False


def check(hits, scores, better_larger, limit, offset=0, ids=None, tol=2e-5):
    """hits are the best of `scores` (id -> score) in their order, except between scores that close."""
    order = sorted(scores, key=lambda i: -scores[i] if better_larger else scores[i])
    want = order[offset:offset + limit]
    assert len(hits) == len(want)
    assert len({h["id"] for h in hits}) == len(hits)
    for h, w in zip(hits, want):
        eps = tol * max(1.0, abs(scores[w]))
        assert abs(h["score"] - scores[h["id"]]) <= eps, (h, scores[h["id"]])
        assert h["id"] == w or abs(scores[h["id"]] - scores[w]) <= eps, (h, w)


class Data:
    def __init__(self, http, metric, rng):
        self.name = "s_" + metric.lower()
        self.metric = metric
        self.rows = rng.normal(size=(N, DIM)).astype(np.float32)
        self.rows[100:110] = self.rows[100]  # equal vectors
        self.rows[200] = 0
        self.rows[300] = -self.rows[301]
        self.live = set(range(N))
        http("DELETE", f"/collections/{self.name}")
        http.ok("PUT", f"/collections/{self.name}",
                {"vectors": {"size": DIM, "distance": metric}})
        for start in range(0, N, 300):
            http.ok("PUT", f"/collections/{self.name}/points?wait=true", {"points": [
                {"id": i, "vector": self.rows[i].astype(float).tolist(), "payload": {"i": i}}
                for i in range(start, start + 300)]})
        dead = list(range(5, N, 7))
        http.ok("POST", f"/collections/{self.name}/points/delete?wait=true", {"points": dead})
        self.live -= set(dead)
        for i in range(7, N, 14):  # replaced by another vector
            if i in self.live:
                self.rows[i] = rng.normal(size=DIM)
        moved = [i for i in range(7, N, 14) if i in self.live]
        http.ok("PUT", f"/collections/{self.name}/points?wait=true", {"points": [
            {"id": i, "vector": self.rows[i].astype(float).tolist(), "payload": {"i": i, "r": 1}}
            for i in moved]})

    def scores(self, q):
        values, larger = distances(self.metric, self.rows, q)
        return {i: float(values[i]) for i in self.live}, larger


@pytest.fixture(scope="module", params=METRICS)
def data(request, server):
    return Data(server.http, request.param, np.random.default_rng(METRICS.index(request.param)))


def search(http, d, q, **body):
    body = {"query": q.astype(float).tolist(), "limit": 10, **body}
    return http.ok("POST", f"/collections/{d.name}/points/query", body)["points"]


def queries(seed, n=8):
    return np.random.default_rng(1000 + seed).normal(size=(n, DIM)).astype(np.float32)


def test_against_brute_force(http, data):
    for q in list(queries(1)) + [data.rows[100], data.rows[1]]:
        scores, larger = data.scores(q)
        for limit, offset in ((1, 0), (10, 0), (10, 95), (5000, 0), (100, len(data.live) - 5),
                              (10, len(data.live) + 3)):
            hits = search(http, data, q, limit=limit, offset=offset)
            check(hits, scores, larger, limit, offset)


def test_exact_flag_changes_nothing(http, data):
    for q in queries(2, 3):
        plain = search(http, data, q, limit=50)
        assert search(http, data, q, limit=50, params={"exact": True}) == plain
        assert search(http, data, q, limit=50, params={"hnsw_ef": 128, "exact": False}) == plain


def test_search_is_query(http, data):
    for q in queries(3, 3):
        old = http.ok("POST", f"/collections/{data.name}/points/search",
                      {"vector": q.astype(float).tolist(), "limit": 20})
        assert old == search(http, data, q, limit=20)


def test_batches(http, data):
    qs = queries(4, 6)
    bodies = [{"query": q.astype(float).tolist(), "limit": 3 + i, "offset": i}
              for i, q in enumerate(qs)]
    batch = http.ok("POST", f"/collections/{data.name}/points/query/batch", {"searches": bodies})
    assert [b["points"] for b in batch] == [
        search(http, data, q, limit=3 + i, offset=i) for i, q in enumerate(qs)]
    old = http.ok("POST", f"/collections/{data.name}/points/search/batch", {"searches": [
        {"vector": b["query"], "limit": b["limit"], "offset": b["offset"]} for b in bodies]})
    assert old == [b["points"] for b in batch]
    assert http.ok("POST", f"/collections/{data.name}/points/query/batch", {"searches": []}) == []


def test_score_threshold_is_strict(http, data):
    for q in queries(5, 3):
        hits = search(http, data, q, limit=60)
        for at in (0, 1, 30):
            t = hits[at]["score"]
            got = search(http, data, q, limit=60, score_threshold=t)
            larger = data.metric in ("Cosine", "Dot")
            want = [h for h in hits if (h["score"] > t if larger else h["score"] < t)]
            assert got == want
            assert search(http, data, q, limit=60, offset=2, score_threshold=t) == want[2:]


def test_selectors(http, data):
    q = queries(6, 1)[0]
    plain = search(http, data, q)
    assert all(set(h) == {"id", "version", "score"} for h in plain)
    full = search(http, data, q, with_payload=True, with_vector=True)
    for h in full:
        assert h["payload"]["i"] == h["id"]
        want = data.rows[h["id"]].astype(np.float64)
        if data.metric == "Cosine":
            want = want / np.linalg.norm(want)
        np.testing.assert_allclose(h["vector"], want, rtol=1e-5, atol=1e-6)
    assert [(h["id"], h["score"]) for h in full] == [(h["id"], h["score"]) for h in plain]
    some = search(http, data, q, with_payload={"exclude": ["i"]})
    assert all(h["payload"] in ({}, {"r": 1}) for h in some)
    some = search(http, data, q, with_payload=["i"])
    assert all(h["payload"] == {"i": h["id"]} for h in some)


def test_query_forms(http, data):
    """nearest spelled out, by the id of a point (which is left out), and no query at all."""
    q = queries(7, 1)[0].astype(float).tolist()
    plain = http.ok("POST", f"/collections/{data.name}/points/query", {"query": q, "limit": 7})
    spelled = http.ok("POST", f"/collections/{data.name}/points/query",
                      {"query": {"nearest": q}, "limit": 7})
    assert spelled == plain
    pid = 14
    by_id = http.ok("POST", f"/collections/{data.name}/points/query",
                    {"query": pid, "limit": 25})["points"]
    scores, larger = data.scores(data.rows[pid])
    del scores[pid]
    check(by_id, scores, larger, 25)
    listed = http.ok("POST", f"/collections/{data.name}/points/query", {"limit": 5})["points"]
    assert [h["id"] for h in listed] == sorted(data.live)[:5]
    status, answer = http("POST", f"/collections/{data.name}/points/query",
                          {"query": 10**9, "limit": 5})
    assert status == 404


def test_against_local_mode(server, data, connect):
    """The same points in the client's own implementation: ids and scores agree."""
    local = QdrantClient(":memory:")
    remote = connect(server.url)
    local.create_collection(data.name, vectors_config=models.VectorParams(
        size=DIM, distance=models.Distance(data.metric)))
    live = sorted(data.live)
    local.upsert(data.name, points=[
        models.PointStruct(id=i, vector=data.rows[i].astype(float).tolist(), payload={"i": i})
        for i in live])
    for q in queries(8, 6):
        args = dict(query=q.astype(float).tolist(), limit=30, offset=3, with_payload=["i"])
        a = remote.query_points(data.name, **args).points
        b = local.query_points(data.name, **args).points
        scores, larger = data.scores(q)
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert x.score == pytest.approx(y.score, rel=1e-4, abs=1e-4)
            assert x.id == y.id or scores[x.id] == pytest.approx(scores[y.id], rel=1e-4, abs=1e-4)
            assert x.payload == {"i": x.id}
    ids = live[::50]
    a = remote.retrieve(data.name, ids=ids, with_vectors=True)
    b = local.retrieve(data.name, ids=ids, with_vectors=True)
    for x, y in zip(a, b):
        assert x.id == y.id
        np.testing.assert_allclose(x.vector, y.vector, rtol=1e-5, atol=1e-6)
    assert remote.count(data.name).count == local.count(data.name).count == len(live)
    remote.close()
    local.close()


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 255, 384, 1000])
def test_every_tail_of_the_kernels(http, name, dim):
    """Dimensions around the widths of vector registers, all metrics as named vectors of one point."""
    rng = np.random.default_rng(dim)
    rows = rng.normal(size=(70, dim)).astype(np.float32)
    q = rng.normal(size=dim).astype(np.float32)
    http.ok("PUT", f"/collections/{name}",
            {"vectors": {m: {"size": dim, "distance": m} for m in METRICS}})
    http.ok("PUT", f"/collections/{name}/points?wait=true", {"points": [
        {"id": i, "vector": {m: r.astype(float).tolist() for m in METRICS}}
        for i, r in enumerate(rows)]})
    for m in METRICS:
        hits = http.ok("POST", f"/collections/{name}/points/query", {
            "query": q.astype(float).tolist(), "using": m, "limit": 70})["points"]
        values, larger = distances(m, rows, q)
        check(hits, dict(enumerate(map(float, values))), larger, 70)


def test_largest_dimension(http, name):
    dim = 65536
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": dim, "distance": "Dot"}})
    rows = np.zeros((3, dim), dtype=np.float32)
    rows[0, 0], rows[1, dim - 1], rows[2, dim // 2] = 1, 2, 3
    for i in range(3):
        http.ok("PUT", f"/collections/{name}/points?wait=true",
                {"points": [{"id": i, "vector": rows[i].tolist()}]})
    hits = http.ok("POST", f"/collections/{name}/points/query",
                   {"query": [1.0] * dim, "limit": 3})["points"]
    assert [(h["id"], h["score"]) for h in hits] == [(2, 3.0), (1, 2.0), (0, 1.0)]


def test_ties_have_one_order(http, name):
    """Equal scores come in any order, but always in the same one: pages fit together."""
    for metric in METRICS:
        http("DELETE", f"/collections/{name}")
        http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": metric}})
        ids = list(range(100))
        np.random.default_rng(0).shuffle(ids)
        http.ok("PUT", f"/collections/{name}/points?wait=true",
                {"points": [{"id": int(i), "vector": [1, 1, 1, 1]} for i in ids]})

        def page(limit, offset):
            return [h["id"] for h in http.ok("POST", f"/collections/{name}/points/query", {
                "query": [1, 1, 1, 1], "limit": limit, "offset": offset})["points"]]

        whole = page(100, 0)
        assert sorted(whole) == list(range(100))
        assert [i for offset in range(0, 100, 7) for i in page(7, offset)] == whole


def test_lookup_of_another_collection(http, name):
    other = name + "_from"
    for n in (name, other):
        http.ok("PUT", f"/collections/{n}", {"vectors": {"size": 2, "distance": "Dot"}})
    try:
        http.ok("PUT", f"/collections/{other}/points?wait=true",
                {"points": [{"id": 5, "vector": [0, 1]}]})
        http.ok("PUT", f"/collections/{name}/points?wait=true", {"points": [
            {"id": 1, "vector": [1, 0]}, {"id": 2, "vector": [0, 2]}, {"id": 5, "vector": [0, 9]}]})
        body = {"query": 5, "lookup_from": {"collection": other}, "limit": 3}
        status, answer = http("POST", f"/collections/{name}/points/query", body)
        if status == 501:  # not served yet, and said so
            assert answer["status"]["error"].startswith("Not implemented: lookup_from")
            return
        hits = answer["result"]["points"]
        assert [(h["id"], h["score"]) for h in hits] == [(5, 9.0), (2, 2.0), (1, 0.0)]
    finally:
        http("DELETE", f"/collections/{other}")
