"""PATCH of a collection beyond the recorded conversations: durability, beside changes of the schema."""
import json
import threading

import pytest

TWO = {"vectors": {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}}}


@pytest.fixture
def own(make_server):
    s = make_server()
    s.http.ok("PUT", "/collections/c", TWO)
    yield s


def config(s):
    return s.http.ok("GET", "/collections/c")["config"]


def patch(s, body):
    return s.http.ok("PATCH", "/collections/c", body)


def restarts(s):
    s.kill()
    s.start()
    yield "killed"
    s.restart()
    yield "stopped"


def test_it_survives(own):
    patch(own, {"hnsw_config": {"m": 7}, "optimizers_config": {"indexing_threshold": 55},
                "vectors": {"a": {"hnsw_config": {"m": 9}, "quantization_config": {"binary": {}}}},
                "params": {"read_fan_out_factor": 2}, "metadata": {"owner": "x"},
                "quantization_config": {"scalar": {"type": "int8"}}})
    want = config(own)
    assert want["hnsw_config"]["m"] == 7 and want["metadata"] == {"owner": "x"}
    assert want["params"]["vectors"]["a"]["hnsw_config"] == {"m": 9}
    for how in restarts(own):
        assert config(own) == want, how
    patch(own, {"quantization_config": "Disabled", "metadata": {"owner": None}})
    want = config(own)
    assert want["quantization_config"] is None and want["metadata"] == {}
    for how in restarts(own):
        assert config(own) == want, how


@pytest.mark.parametrize("saved", [False, True])
def test_beside_vector_names_that_come_and_go(own, saved):
    """The log and the manifest say which vectors there are, config.json how they are set."""
    def add(name, size=3):
        own.http.ok("PUT", f"/collections/c/vectors/{name}?wait=true",
                    {"dense": {"size": size, "distance": "Dot"}})

    def fill(i, **v):
        own.http.ok("PUT", "/collections/c/points?wait=true", {"points": [{"id": i, "vector": v}]})

    add("x")
    fill(1, x=[1, 2, 3])
    patch(own, {"vectors": {"x": {"hnsw_config": {"m": 11}}}})
    if saved:
        own.restart()
    add("y")
    own.http.ok("DELETE", "/collections/c/vectors/x?wait=true")
    add("x", 5)  # another column: it has none of the first one's settings
    fill(2, x=[1, 2, 3, 4, 5], y=[3, 2, 1])
    patch(own, {"vectors": {"y": {"hnsw_config": {"m": 12}}}})
    own.http.ok("PUT", "/collections/c/vectors/z?wait=true", {"sparse": {"modifier": "idf"}})
    patch(own, {"sparse_vectors": {"z": {"index": {"full_scan_threshold": 17}}}})
    own.http.ok("DELETE", "/collections/c/vectors/b?wait=true")
    want = config(own)
    vectors = want["params"]["vectors"]
    assert vectors["x"] == {"size": 5, "distance": "Dot"}
    assert vectors["y"]["hnsw_config"] == {"m": 12}
    assert "b" not in vectors
    assert want["params"]["sparse_vectors"]["z"] == {"index": {"full_scan_threshold": 17},
                                                     "modifier": "idf"}
    points = own.http.ok("POST", "/collections/c/points/scroll", {"with_vector": True})
    for how in restarts(own):
        assert config(own) == want, how
        assert own.http.ok("POST", "/collections/c/points/scroll", {"with_vector": True}) == points


def test_what_was_applied_before_a_refusal_stays(own):
    status, _ = own.http("PATCH", "/collections/c", {"hnsw_config": {"m": 5}, "metadata": {"k": 1},
                                                     "vectors": {"nope": {"on_disk": True}}})
    assert status == 400
    want = config(own)
    assert want["hnsw_config"]["m"] == 5 and "metadata" not in want
    for how in restarts(own):
        assert config(own) == want, how


def test_many_at_once_while_points_are_written(own):
    def patches(k):
        http = type(own.http)(own.port)
        for i in range(15):
            http.ok("PATCH", "/collections/c", {"metadata": {f"k{k}": i}})
            http.ok("PUT", "/collections/c/points?wait=true",
                    {"points": [{"id": k * 100 + i, "vector": {"a": [k, i, 0, 0]}}]})
        http.close()

    threads = [threading.Thread(target=patches, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    want = config(own)
    assert want["metadata"] == {f"k{k}": 14 for k in range(4)}
    for how in restarts(own):
        assert config(own) == want, how
        assert own.http.ok("POST", "/collections/c/points/count", {"exact": True})["count"] == 60


def test_damage_of_the_file_is_told(own):
    patch(own, {"hnsw_config": {"m": 7}})
    own.kill()
    f = own.storage / "collections/c/config.json"
    f.write_bytes(f.read_bytes().replace(b'"m":7', b'"m":8'))
    own.start()
    status, answer = own.http("GET", "/collections/c")
    assert status == 500 and "config.json: checksum mismatch" in json.dumps(answer)


def test_beside_a_collection_that_is_dropped_and_made_again(own):
    """A late PATCH writes nothing into the folder of the next collection of that name."""
    stop = threading.Event()

    def patches():
        http = type(own.http)(own.port)
        i = 0
        while not stop.is_set():
            status, answer = http("PATCH", "/collections/c", {"metadata": {"i": i}})
            assert status in (200, 404), answer
            i += 1
        http.close()

    threads = [threading.Thread(target=patches) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(40):
        assert own.http.ok("DELETE", "/collections/c") is True
        own.http.ok("PUT", "/collections/c", TWO)
    stop.set()
    for t in threads:
        t.join()
    own.http.ok("PUT", "/collections/c/points?wait=true", {"points": [{"id": 1, "vector": {"a": [1, 2, 3, 4]}}]})
    want = config(own)
    for how in restarts(own):
        assert config(own) == want, how
        assert own.http.ok("GET", "/collections/c")["status"] == "green"
        assert own.http.ok("POST", "/collections/c/points/count", {})["count"] == 1
