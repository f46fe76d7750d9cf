"""Quotas: what they refuse, what passes, and that they are kept."""
import os
import re

import pytest

DOT2 = {"vectors": {"size": 2, "distance": "Dot"}}
POINT = {"points": [{"id": 1, "vector": [1, 2], "payload": {"a": 1}}]}


@pytest.fixture
def own(make_server):
    s = make_server()
    s.http.ok("PUT", "/collections/c", DOT2)
    s.http.ok("PUT", "/collections/c/points?wait=true", POINT)
    yield s
    (s.storage / "ballast").unlink(missing_ok=True)


def usage(s, key):
    return s.http.ok("GET", "/quotas")["usage"][key]


def test_none_at_first(own):
    q = own.http.ok("GET", "/quotas")
    assert q["config"] == {"enabled": False}
    assert 0 <= q["usage"]["disk_usage_percent"] <= 100
    assert 0 <= q["usage"]["resident_memory_percent"] <= 100
    assert "quota_exceeded" not in own.http.raw("GET", "/metrics")[1].decode()


def exceed(s):
    """A limit that is reached; the disk of a test may be so empty that it takes ballast."""
    used = usage(s, "disk_usage_percent")
    if used < 1:
        v = os.statvfs(s.storage)
        with open(s.storage / "ballast", "wb") as f:
            os.posix_fallocate(f.fileno(), 0, v.f_blocks * v.f_frsize * 11 // 1000)
        used = usage(s, "disk_usage_percent")
    s.http.ok("PUT", "/quotas", {"enabled": True, "max_disk_usage_percent": used})
    return used


@pytest.mark.parametrize("method, path, body", [
    ("PUT", "/collections/c/points?wait=true", POINT),
    ("PUT", "/collections/c/points", POINT),
    ("PUT", "/collections/c/points/vectors?wait=true", {"points": [{"id": 1, "vector": [3, 4]}]}),
    ("POST", "/collections/c/points/payload?wait=true", {"payload": {"b": 1}, "points": [1]}),
    ("PUT", "/collections/c/points/payload?wait=true", {"payload": {"b": 1}, "points": [1]}),
    ("PUT", "/collections/c/index?wait=true", {"field_name": "a", "field_schema": "integer"}),
    ("PUT", "/collections/c/vectors/n?wait=true", {"dense": {"size": 2, "distance": "Dot"}}),
    ("POST", "/collections/c/points/batch?wait=true", {"operations": [{"upsert": POINT}]}),
])
def test_growing_writes_are_refused(own, method, path, body):
    before = own.http.ok("POST", "/collections/c/points/scroll", {"with_vector": True})
    exceed(own)
    status, answer = own.http(method, path, body)
    assert status == 507, answer
    assert re.fullmatch(
        r"Insufficient storage: Disk usage is at \d+% of total capacity, exceeding the configured "
        r"limit of \d+%\. Help: Reduce disk usage \(e\.g\. delete points or drop collections\), or "
        r"raise `max_disk_usage_percent` in the global quota config\.", answer["status"]["error"])
    assert own.http.ok("POST", "/collections/c/points/scroll", {"with_vector": True}) == before
    assert own.http.ok("GET", "/collections/c")["payload_schema"] == {}


def test_shrinking_writes_and_reads_pass(own):
    exceed(own)
    assert 'quota_exceeded{resource="disk"} 1' in own.http.raw("GET", "/metrics")[1].decode()
    for method, path, body in [
            ("POST", "/collections/c/points/payload/delete?wait=true", {"keys": ["a"], "points": [1]}),
            ("POST", "/collections/c/points/payload/clear?wait=true", {"points": [1]}),
            ("POST", "/collections/c/points/vectors/delete?wait=true", {"vector": [""], "points": [1]}),
            ("POST", "/collections/c/points/delete?wait=true", {"points": [1]})]:
        assert own.http.ok(method, path, body)["status"] == "completed", path
    assert own.http.ok("POST", "/collections/c/points/count", {})["count"] == 0
    assert own.http.ok("DELETE", "/collections/c") is True
    own.http.ok("PUT", "/collections/c", DOT2)


def test_they_are_kept_and_beat_the_configuration(make_server):
    s = make_server({"storage.quotas.enabled": "true",
                     "storage.quotas.max_resident_memory_percent": "99"})
    assert s.http.ok("GET", "/quotas")["config"] == {"enabled": True, "max_resident_memory_percent": 99}
    s.http.ok("PUT", "/quotas", {"enabled": True, "max_disk_usage_percent": 100,
                                 "release_margin_percent": 7})
    want = {"enabled": True, "max_disk_usage_percent": 100, "release_margin_percent": 7}
    assert s.http.ok("GET", "/quotas")["config"] == want
    s.kill()
    s.start()
    assert s.http.ok("GET", "/quotas")["config"] == want
    s.kill()
    f = s.storage / "quota.json"
    f.write_bytes(f.read_bytes().replace(b"100", b"101"))
    s.start()
    assert "quota.json: checksum mismatch" in s.log_text()
    assert s.http.ok("GET", "/quotas")["config"] == {"enabled": True, "max_resident_memory_percent": 99}


def test_a_resource_stays_refused_within_the_margin(own):
    used = exceed(own)
    assert own.http("PUT", "/collections/c/points", POINT)[0] == 507
    own.http.ok("PUT", "/quotas", {"enabled": True, "max_disk_usage_percent": used + 2,
                                   "release_margin_percent": 5})
    status, answer = own.http("PUT", "/collections/c/points", POINT)
    assert status == 507
    assert (f"It reached the configured limit of {used + 2}% and has to fall below"
            in answer["status"]["error"])
    own.http.ok("PUT", "/quotas", {"enabled": True, "max_disk_usage_percent": used + 2,
                                   "release_margin_percent": 0})
    own.http.ok("PUT", "/collections/c/points?wait=true", POINT)


def test_within_limits_nothing_is_refused(own):
    own.http.ok("PUT", "/quotas", {"enabled": True, "max_resident_memory_percent": 100,
                                   "max_disk_usage_percent": 100})
    own.http.ok("PUT", "/collections/c/points?wait=true", POINT)
    assert 'quota_exceeded{resource="memory"} 0' in own.http.raw("GET", "/metrics")[1].decode()
