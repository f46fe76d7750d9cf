"""The README's quickstart: the official client from create to delete, with no warning."""
import warnings

import numpy as np
import pytest
from qdrant_client import models

N, DIM = 1000, 64

pytestmark = pytest.mark.filterwarnings("error")


def test_quickstart(server, name, connect):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(N, DIM)).astype(np.float32)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        client = connect(server.url)
        assert client.create_collection(
            name, vectors_config=models.VectorParams(size=DIM, distance=models.Distance.COSINE))
        assert client.collection_exists(name)
        done = client.upsert(name, wait=True, points=[
            models.PointStruct(id=i, vector=vectors[i].tolist(),
                               payload={"number": i, "city": "Berlin" if i % 2 else "London"})
            for i in range(N)])
        assert done.status == models.UpdateStatus.COMPLETED

        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        query = rng.normal(size=DIM).astype(np.float32)
        best = np.argsort(-(unit @ (query / np.linalg.norm(query))))[:10]
        hits = client.query_points(name, query=query.tolist(), limit=10, with_payload=True).points
        assert [h.id for h in hits] == best.tolist()
        assert hits[0].payload["number"] == hits[0].id
        assert all(a.score >= b.score for a, b in zip(hits, hits[1:]))

        got = client.retrieve(name, ids=[3, 999, 5000], with_vectors=True)
        assert [r.id for r in got] == [3, 999]
        np.testing.assert_allclose(got[0].vector, unit[3], atol=1e-6)

        seen_ids, offset = [], None
        while True:
            page, offset = client.scroll(name, limit=300, offset=offset)
            seen_ids += [r.id for r in page]
            if offset is None:
                break
        assert seen_ids == list(range(N))

        assert client.count(name, exact=True).count == N
        client.delete(name, points_selector=models.PointIdsList(points=list(range(0, N, 2))),
                      wait=True)
        assert client.count(name).count == N // 2
        assert client.get_collection(name).points_count == N // 2
        assert client.delete_collection(name)
        assert not client.collection_exists(name)
        client.close()
    assert [str(w.message) for w in seen] == []


def test_root_is_what_clients_check(http):
    status, answer = http("GET", "/")
    assert status == 200
    assert answer["title"] == "qdrant - vector search engine"
    assert tuple(int(x) for x in answer["version"].split(".")[:2]) >= (1, 19)
    for path, text in (("/healthz", "healthz check passed"), ("/livez", "healthz check passed"),
                       ("/readyz", "all shards are ready")):
        assert http("GET", path) == (200, text)


def test_restart_keeps_everything(make_server, connect):
    s = make_server()
    client = connect(s.url)
    client.create_collection("kept", vectors_config=models.VectorParams(
        size=8, distance=models.Distance.DOT))
    points = [models.PointStruct(id=i, vector=[float(i + j) for j in range(8)], payload={"i": i})
              for i in range(500)]
    client.upsert("kept", points=points, wait=True)
    client.delete("kept", points_selector=models.PointIdsList(points=[7]), wait=True)
    before = client.scroll("kept", limit=1000, with_vectors=True)[0]
    client.close()
    s.restart()
    client = connect(s.url)
    assert client.scroll("kept", limit=1000, with_vectors=True)[0] == before
    assert len(before) == 499
    client.close()
    s.kill()
    s.start()
    client = connect(s.url)
    assert client.scroll("kept", limit=1000, with_vectors=True)[0] == before
    client.close()
