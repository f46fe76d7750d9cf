"""Collections: create, info, list, exists, delete; what is echoed and what is refused."""
import pytest
from qdrant_client import models

DEFAULT_PARAMS = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1,
                  "on_disk_payload": True}


def test_life(http, name):
    assert http.ok("GET", f"/collections/{name}/exists") == {"exists": False}
    assert http.ok("PUT", f"/collections/{name}",
                   {"vectors": {"size": 4, "distance": "Dot"}}) is True
    assert http.ok("GET", f"/collections/{name}/exists") == {"exists": True}
    assert {"name": name} in http.ok("GET", "/collections")["collections"]
    status, answer = http("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    assert status == 409
    assert answer["status"]["error"] == f"Wrong input: Collection `{name}` already exists!"
    assert http.ok("DELETE", f"/collections/{name}") is True
    assert http.ok("DELETE", f"/collections/{name}") is False
    status, answer = http("GET", f"/collections/{name}")
    assert status == 404
    assert answer["status"]["error"] == f"Not found: Collection `{name}` doesn't exist!"
    assert {"name": name} not in http.ok("GET", "/collections")["collections"]


def test_info_of_defaults(http, name):
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    info = http.ok("GET", f"/collections/{name}")
    assert info["status"] == "green"
    assert info["optimizer_status"] == "ok"
    assert info["points_count"] == 0
    assert info["indexed_vectors_count"] == 0
    assert info["config"]["params"] == {"vectors": {"size": 4, "distance": "Dot"}, **DEFAULT_PARAMS}
    assert info["config"]["hnsw_config"] == {
        "m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0,
        "on_disk": False}
    assert info["config"]["optimizer_config"]["flush_interval_sec"] == 5
    assert info["config"]["wal_config"] == {
        "wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
    assert info["config"]["quantization_config"] is None
    assert info["payload_schema"] == {}


def test_envelope(http, name):
    status, answer = http("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    assert status == 200
    assert list(answer) == ["result", "status", "time"]
    assert isinstance(answer["time"], float) and 0 <= answer["time"] < 60


@pytest.mark.parametrize("distance", ["Cosine", "Euclid", "Dot", "Manhattan"])
def test_named_vectors_are_echoed(http, name, distance):
    vectors = {"b": {"size": 3, "distance": distance}, "a": {"size": 5, "distance": "Dot",
                                                             "on_disk": True}}
    http.ok("PUT", f"/collections/{name}", {"vectors": vectors})
    assert http.ok("GET", f"/collections/{name}")["config"]["params"]["vectors"] == vectors


def test_empty_and_dim_limits(http, name):
    http.ok("PUT", f"/collections/{name}", {})
    assert http.ok("GET", f"/collections/{name}")["config"]["params"]["vectors"] == {}
    http.ok("DELETE", f"/collections/{name}")
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 65536, "distance": "Dot"}})
    http.ok("DELETE", f"/collections/{name}")
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 1, "distance": "Dot"}})
    http.ok("DELETE", f"/collections/{name}")
    status, answer = http("PUT", f"/collections/{name}",
                          {"vectors": {"size": 65537, "distance": "Dot"}})
    assert status == 422
    assert answer["status"]["error"] == ("Validation error in JSON body: [vectors.size: value 65537 "
                                         "invalid, must be from 1 to 65536]")
    for bad in ({"size": 0, "distance": "Dot"}, {"size": 4, "distance": "dot"}, {"size": 4},
                {"size": 4.0, "distance": "Dot"}, {"size": -1, "distance": "Dot"}, None, 5, "x"):
        status, answer = http("PUT", f"/collections/{name}", {"vectors": bad})
        assert status == 400, bad
        assert "untagged enum VectorsConfig" in answer["status"]["error"]
    assert http.ok("GET", f"/collections/{name}/exists") == {"exists": False}


@pytest.mark.parametrize("bad", ["a<b", "a>b", "a:b", 'a"b', "a\\b", "a|b", "a?b", "a*b", "a\x1fb"])
def test_forbidden_letters(http, bad):
    from urllib.parse import quote
    status, answer = http("PUT", f"/collections/{quote(bad, safe='')}",
                          {"vectors": {"size": 4, "distance": "Dot"}})
    assert status == 422
    char = next(c for c in '<>:"/\\|?*\0\x1f' if c in bad)
    assert answer["status"]["error"] == (
        "Validation error in path parameters: [collection_name: collection name cannot contain "
        f'"{char}" char]')


def test_long_and_foreign_names(http):
    from urllib.parse import quote
    body = {"vectors": {"size": 2, "distance": "Dot"}}
    for n in ("x" * 200, "имя с пробелом", "日本語", "a.b", "aliases-not", "..."):
        path = "/collections/" + quote(n, safe="")
        http.ok("PUT", path, body)
        assert {"name": n} in http.ok("GET", "/collections")["collections"]
        http.ok("PUT", path + "/points?wait=true", {"points": [{"id": 1, "vector": [1, 2]}]})
        assert http.ok("GET", path)["points_count"] == 1
        http.ok("DELETE", path)
    status, answer = http("PUT", "/collections/" + "y" * 256, body)
    assert status == 422
    assert "must be from 1 to 255 characters" in answer["status"]["error"]


def test_many_collections_at_once(http):
    names = [f"many_{i}" for i in range(64)]
    for n in names:
        http.ok("PUT", f"/collections/{n}", {"vectors": {"size": 2, "distance": "Dot"}})
        http.ok("PUT", f"/collections/{n}/points?wait=true",
                {"points": [{"id": 1, "vector": [1, 2], "payload": {"of": n}}]})
    listed = {c["name"] for c in http.ok("GET", "/collections")["collections"]}
    assert set(names) <= listed
    for n in names:
        assert http.ok("GET", f"/collections/{n}/points/1")["payload"] == {"of": n}
        assert http.ok("DELETE", f"/collections/{n}") is True


def test_recreate_is_empty(http, name):
    for dim in (4, 7):
        http.ok("PUT", f"/collections/{name}", {"vectors": {"size": dim, "distance": "Dot"}})
        assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == 0
        http.ok("PUT", f"/collections/{name}/points?wait=true",
                {"points": [{"id": 1, "vector": [1] * dim}]})
        http.ok("DELETE", f"/collections/{name}")


def test_collections_survive_restart(make_server):
    s = make_server()
    s.http.ok("PUT", "/collections/a", {"vectors": {"size": 4, "distance": "Dot"}})
    s.http.ok("PUT", "/collections/b", {"vectors": {"x": {"size": 4, "distance": "Cosine"}},
                                        "metadata": {"k": [1, 2.5, "ü"]}})
    s.http.ok("PUT", "/collections/c", {})
    s.http.ok("DELETE", "/collections/c")
    before = [s.http.ok("GET", f"/collections/{n}") for n in "ab"]
    s.restart()
    assert [s.http.ok("GET", f"/collections/{n}") for n in "ab"] == before
    assert {c["name"] for c in s.http.ok("GET", "/collections")["collections"]} == {"a", "b"}


def test_client_reads_info(client, name):
    client.create_collection(name, vectors_config={
        "image": models.VectorParams(size=4, distance=models.Distance.DOT),
        "text": models.VectorParams(size=8, distance=models.Distance.COSINE)})
    info = client.get_collection(name)
    assert info.status == models.CollectionStatus.GREEN
    assert info.config.params.vectors["text"].size == 8
    assert [c.name for c in client.get_collections().collections if c.name == name] == [name]


def test_unserved_routes_say_so(http, name):
    """What exists in the API and not yet here is 501 with an envelope, never a wrong answer."""
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    for method, path, body in (
            ("POST", f"/collections/{name}/points/recommend", {"positive": [1], "limit": 1}),
            ("PUT", f"/collections/{name}/index", {"field_name": "a", "field_schema": "keyword"}),
            ("POST", f"/collections/{name}/points/scroll",
             {"filter": {"must": [{"key": "a", "match": {"value": 1}}]}})):
        status, answer = http(method, path, body)
        if status == 200:
            continue  # served by now
        assert status == 501, (path, status, answer)
        assert answer["status"]["error"]
    status, data = http.raw("GET", "/no/such/route")
    assert (status, data) == (404, b"")
    status, data = http.raw("PATCH", f"/collections/{name}/points")
    assert (status, data) == (404, b"")


@pytest.mark.parametrize("body", [
    {"vectors": {"size": 2, "distance": "Dot"}, "strict_mode_config": {"enabled": True, "max_query_limit": 1}},
    {"vectors": {"size": 2, "distance": "Dot"}, "sharding_method": "custom"},
    {"vectors": {"size": 2, "distance": "Dot", "datatype": "turbo4"}},
    {"vectors": {"a": {"size": 2, "distance": "Dot"}}, "sparse_vectors": {"a": {}}},
])
def test_a_refused_creation_leaves_nothing(http, name, body):
    assert http("PUT", f"/collections/{name}", body)[0] in (400, 501)
    assert http.ok("GET", f"/collections/{name}/exists") == {"exists": False}
    assert http("GET", f"/collections/{name}")[0] == 404
    http.ok("PUT", f"/collections/{name}", {"vectors": {"size": 2, "distance": "Dot"}})
    assert http.ok("GET", f"/collections/{name}")["status"] == "green"
