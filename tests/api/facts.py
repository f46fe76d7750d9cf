"""What the tests of acceptance facts share: short calls, and the states in which a filter must hold.

A fact that is true with and without an index is asked in every state of STATES: without index, with
the index made before or after the points, and each of these again after SIGKILL and a new start (all
comes from the log) and after a clean stop and start (all comes from the files of a checkpoint).
"""
import contextlib
import math
import struct
import time

import pytest

V = [0.5, 0.25, 0.125, 1.0]
UUID = "550e8400-e29b-41d4-a716-446655440000"
U64 = 2**64 - 1

STATES = [kind + end for end in ("", "-killed", "-restarted")
          for kind in ("plain", "index-first", "index-after")]
states = pytest.mark.parametrize("state", STATES)
indexed_states = pytest.mark.parametrize("state", [s for s in STATES if not s.startswith("plain")])


def is_indexed(state):
    return state.startswith("index")


def create(http, name, vectors=None, **more):
    http.ok("PUT", f"/collections/{name}", {"vectors": vectors
                                            or {"size": 4, "distance": "Dot"}} | more)


def put(http, name, points, query="wait=true", **more):
    """An upsert that must succeed; a point may be (id, payload)."""
    full = [{"id": p[0], "vector": V, "payload": p[1]} if isinstance(p, tuple) else p for p in points]
    return http.ok("PUT", f"/collections/{name}/points?{query}", {"points": full} | more)


def post(http, name, path, body=None, query="wait=true"):
    """POST to a points endpoint of the collection: the result of a write that must succeed."""
    return http.ok("POST", f"/collections/{name}/points/{path}?{query}", body)


def index(http, name, field, schema):
    return http.ok("PUT", f"/collections/{name}/index?wait=true",
                   {"field_name": field, "field_schema": schema})


def schema_of(http, name):
    return http.ok("GET", f"/collections/{name}").get("payload_schema", {})


def settles(what, want, seconds=60):
    """what() becomes want: for figures that follow while the server works in the background."""
    end = time.monotonic() + seconds
    while (got := what()) != want:
        assert time.monotonic() < end, f"still {got}, expected {want}"
        time.sleep(0.02)


def indexed_points(http, name):
    return {k: v["points"] for k, v in schema_of(http, name).items()}


def get(http, name, pid):
    return http.ok("GET", f"/collections/{name}/points/{pid}")


def payload(http, name, pid):
    return get(http, name, pid)["payload"]


def payloads(http, name):
    return {p["id"]: p["payload"] for p in scroll(http, name)["points"]}


def retrieve(http, name, body):
    return http.ok("POST", f"/collections/{name}/points", body)


def scroll(http, name, body=None):
    return http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 1000} | (body or {}))


def ids(http, name, filter=None):
    """The matching ids by scroll, which exact count must agree with."""
    body = {} if filter is None else {"filter": filter}
    page = scroll(http, name, body | {"with_payload": False})
    got = [p["id"] for p in page["points"]]
    assert page["next_page_offset"] is None
    assert count(http, name, filter) == len(got), f"scroll says {got}"
    return got


def must(*conditions):
    return {"must": list(conditions)}


def must_not(*conditions):
    return {"must_not": list(conditions)}


def match(key, value):
    return {"key": key, "match": value if isinstance(value, dict) else {"value": value}}


def count(http, name, filter=None, **more):
    body = {} if filter is None else {"filter": filter}
    return http.ok("POST", f"/collections/{name}/points/count", body | more)["count"]


def error(http, method, path, body=None):
    """(status, text) of a call that must fail."""
    status, answer = http(method, path, body)
    assert status != 200, f"{method} {path} {str(body)[:300]}: accepted, {str(answer)[:300]}"
    assert isinstance(answer, dict), (status, answer)
    return status, answer["status"]["error"]


def refused(http, method, path, body, status, text):
    """The call must fail with exactly this status and text (a parser text's place is free)."""
    got = error(http, method, path, body)
    want = (status, text)
    if text.startswith("Format error in JSON body: ") and got[1].startswith(text + " at line "):
        return
    assert got == want, f"{method} {path} {str(body)[:300]}: {got}, expected {want}"


def refused_like(http, method, path, body, status, *parts):
    got = error(http, method, path, body)
    assert got[0] == status and all(p in got[1] for p in parts), \
        f"{method} {path} {str(body)[:300]}: {got}, expected {status} with {parts}"


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def close(a, b, tolerance=1e-6):
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance)
                                    for x, y in zip(a, b))


def crash(server):
    """SIGKILL and a new start in the same folder."""
    server.kill()
    server.start()


def build(server, name, state, points, indexes, vectors=None, **more):
    """A collection with these points in this state; indexes: [(field, schema)]."""
    http = server.http
    create(http, name, vectors, **more)
    if state.startswith("index-first"):
        for field, schema in indexes:
            index(http, name, field, schema)
    put(http, name, points)
    if state.startswith("index-after"):
        for field, schema in indexes:
            index(http, name, field, schema)
    if state.endswith("killed"):
        crash(server)
    if state.endswith("restarted"):
        server.restart()
    for field, _ in indexes if state.startswith("index") else ():
        wait_covered(http, name, field)
    return http


def wait_covered(http, name, field):
    """Until the index covers every row: answers are right before, but estimates know less."""
    end = time.monotonic() + 60
    while True:
        e = http.ok("POST", f"/sextant/collections/{name}/explain",
                    {"filter": {"must": [{"is_empty": {"key": field}}]}, "exact": False})
        i = e["filter"].get("index") if e["filter"] is not True else None
        if i is None or i["rows_covered"] == i["rows"]:
            return
        assert time.monotonic() < end, f"the index of {field} is not finished: {e}"
        time.sleep(0.01)


@contextlib.contextmanager
def collection(http, name, vectors=None, **more):
    """One more collection inside a test."""
    create(http, name, vectors, **more)
    try:
        yield name
    finally:
        http("DELETE", f"/collections/{name}")
