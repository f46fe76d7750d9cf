"""prevent_unoptimized: points beyond the threshold are kept, and shown when they may be."""
import pytest

HOLDING = {"prevent_unoptimized": True, "indexing_threshold": 1, "max_optimization_threads": 0}


def points(lo, hi, **payload):
    return {"points": [{"id": i, "vector": [i, 1, 0, 0], "payload": {"i": i, **payload}}
                       for i in range(lo, hi)]}


@pytest.fixture
def own(make_server):
    s = make_server()
    s.http.ok("PUT", "/collections/d", {"vectors": {"size": 4, "distance": "Dot"},
                                        "optimizers_config": HOLDING})
    yield s


def write(s, method, path, body, wait="false", timeout=None):
    end = f"?wait={wait}" + (f"&timeout={timeout}" if timeout else "")
    return s.http.ok(method, f"/collections/d/points{path}{end}", body)["status"]


def count(s, **kw):
    return s.http.ok("POST", "/collections/d/points/count", kw)["count"]


def ids(s, **kw):
    return sorted(p["id"] for p in s.http.ok("POST", "/collections/d/points/scroll",
                                              {"limit": 1000, **kw})["points"])


def found(s, **kw):
    return sorted(p["id"] for p in s.http.ok("POST", "/collections/d/points/query",
                                              {"query": [1, 0, 0, 0], "limit": 1000, **kw})["points"])


def info(s):
    i = s.http.ok("GET", "/collections/d")
    return i["points_count"], i["update_queue"].get("deferred_points")


def show(s):
    assert s.http.ok("PATCH", "/collections/d",
                     {"optimizers_config": {"max_optimization_threads": "auto"}}) is True


def agree(s, n):
    """Every way to read sees the same n points."""
    seen = ids(s)
    assert len(seen) == n
    assert found(s) == seen
    assert found(s, filter={"must": [{"key": "i", "range": {"gte": 0}}]}) == seen
    assert count(s) == count(s, exact=False) == n
    assert count(s, filter={"must": [{"key": "i", "range": {"gte": 0}}]}) == n
    assert ids(s, filter={"must": [{"has_id": list(range(200))}]}) == seen
    got = s.http.ok("POST", "/collections/d/points", {"ids": list(range(200))})
    assert sorted(p["id"] for p in got) == seen
    return seen


@pytest.mark.parametrize("index", [False, True])
def test_reads_see_what_is_shown(own, index):
    if index:
        own.http.ok("PUT", "/collections/d/index?wait=true", {"field_name": "i", "field_schema": "integer"})
    assert write(own, "PUT", "", points(0, 100), "true", 1) == "wait_timeout"
    agree(own, 64)
    assert info(own) == (100, 36)
    own.kill()
    own.start()
    agree(own, 64)
    own.restart()
    agree(own, 64)
    show(own)
    assert agree(own, 100) == list(range(100))
    assert info(own) == (100, 0)
    own.kill()
    own.start()
    agree(own, 100)
    own.restart()
    agree(own, 100)


def test_who_waits_is_answered_when_it_shows(own):
    import threading
    status = []
    http = type(own.http)(own.port)
    t = threading.Thread(target=lambda: status.append(
        http.ok("PUT", "/collections/d/points?wait=true&timeout=60", points(0, 70))["status"]))
    t.start()
    while info(own)[0] < 70:
        pass
    assert t.is_alive() and len(ids(own)) == 64
    show(own)
    t.join()
    assert status == ["completed"]
    http.close()


def test_hidden_points_are_written_to_and_deleted(own):
    write(own, "PUT", "", points(0, 100))
    shown = agree(own, 64)
    hidden = [i for i in range(100) if i not in shown]
    some, other = hidden[:4], hidden[4:8]
    assert write(own, "POST", "/payload", {"payload": {"a": 1}, "points": some}, "true", 1) == "wait_timeout"
    assert write(own, "POST", "/payload", {"payload": {"b": 1}, "points": shown[:3]}, "true") == "completed"
    assert write(own, "POST", "/delete", {"points": other}, "true") == "completed"
    agree(own, 64)
    assert info(own) == (96, 32)
    own.kill()
    own.start()
    agree(own, 64)
    show(own)
    assert agree(own, 96) == [i for i in range(100) if i not in other]
    got = own.http.ok("POST", "/collections/d/points", {"ids": some, "with_payload": True})
    assert all(p["payload"] == {"i": p["id"], "a": 1} for p in got) and len(got) == 4


def test_room_that_deletion_makes_is_used(own):
    write(own, "PUT", "", points(0, 64), "true")
    assert write(own, "POST", "/delete", {"points": [0, 1, 2]}, "true") == "completed"
    assert write(own, "PUT", "", points(100, 103), "true") == "completed"
    assert len(ids(own)) == 64
    assert write(own, "PUT", "", points(103, 104), "true", 1) == "wait_timeout"
    assert len(ids(own)) == 64


def test_replaced_points_stay_shown(own):
    write(own, "PUT", "", points(0, 64), "true")
    write(own, "PUT", "", points(64, 80))
    assert write(own, "PUT", "", points(0, 64, again=1), "true") == "completed"
    assert agree(own, 64) == list(range(64))


def test_with_optimization_nothing_is_held_back(own):
    show(own)
    assert write(own, "PUT", "", points(0, 100), "true") == "completed"
    agree(own, 100)
    own.http.ok("PATCH", "/collections/d", {"optimizers_config": {"max_optimization_threads": 0}})
    agree(own, 100)
    assert write(own, "PUT", "", points(100, 101), "true", 1) == "wait_timeout"
    agree(own, 100)
    own.restart()
    agree(own, 100)


def test_held_back_again_later(own):
    """What was shown once stays shown, whatever is asked later."""
    write(own, "PUT", "", points(0, 80))
    show(own)
    agree(own, 80)
    own.http.ok("PATCH", "/collections/d", {"optimizers_config": {"max_optimization_threads": 0}})
    agree(own, 80)
    write(own, "PUT", "", points(80, 90))
    agree(own, 80)
    for end in (own.kill, own.stop):
        end()
        own.start()
        agree(own, 80)
        assert info(own) == (90, 10)
    show(own)
    agree(own, 90)


def test_without_the_vector_that_bounds(make_server):
    s = make_server()
    s.http.ok("PUT", "/collections/d", {"vectors": {"a": {"size": 4, "distance": "Dot"}},
                                        "optimizers_config": HOLDING})
    body = {"points": [{"id": i, "vector": {"a": [i, 1, 0, 0]}} for i in range(70)]}
    write(s, "PUT", "", body)
    assert count(s) == len(ids(s)) == 64
    s.http.ok("DELETE", "/collections/d/vectors/a?wait=true")
    assert count(s) == len(ids(s)) == 70
    s.http.ok("PUT", "/collections/d/vectors/b?wait=true", {"dense": {"size": 4, "distance": "Dot"}})
    for end in (lambda: None, s.kill, s.stop):
        end()
        if not s.alive():
            s.start()
        assert count(s) == len(ids(s)) == 70
