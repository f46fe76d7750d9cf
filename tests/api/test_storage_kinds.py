"""Where vectors lie (memory or mapped files) changes no answer, before and after a restart."""
import numpy as np
import pytest

N, DIM = 3000, 40
KINDS = {"ram": {}, "mmap": {"on_disk": True}, "cached": {"memory": "cached"},
         "cold": {"memory": "cold"}}


def fill(http, metric):
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(N, DIM)).astype(np.float32)
    for kind, more in KINDS.items():
        http.ok("PUT", f"/collections/{kind}", {
            "vectors": {"size": DIM, "distance": metric, **more}, "on_disk_payload": kind != "ram"})
    for start in range(0, N, 500):
        body = {"points": [{"id": i, "vector": rows[i].astype(float).tolist(),
                            "payload": {"i": i, "text": "x" * (i % 50)}}
                           for i in range(start, start + 500)]}
        for kind in KINDS:
            http.ok("PUT", f"/collections/{kind}/points?wait=true", body)
    for kind in KINDS:
        http.ok("POST", f"/collections/{kind}/points/delete?wait=true",
                {"points": list(range(0, N, 9))})


def answers(http, kind):
    out = []
    rng = np.random.default_rng(10)
    for _ in range(10):
        body = {"query": rng.normal(size=DIM).tolist(), "limit": 40, "with_payload": True,
                "with_vector": True}
        out.append(http.ok("POST", f"/collections/{kind}/points/query", body))
    out.append(http.ok("POST", f"/collections/{kind}/points/scroll",
                       {"limit": N, "with_vector": True}))
    out.append(http.ok("POST", f"/collections/{kind}/points/count", {}))
    return out


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_identical(make_server, metric):
    s = make_server()
    fill(s.http, metric)
    want = answers(s.http, "ram")
    assert want[-1]["count"] == N - len(range(0, N, 9))
    for kind in KINDS:
        assert answers(s.http, kind) == want, kind
    s.restart()
    for kind in KINDS:
        assert answers(s.http, kind) == want, kind
    s.kill()
    s.start()
    for kind in KINDS:
        assert answers(s.http, kind) == want, kind
    for kind, more in KINDS.items():
        params = s.http.ok("GET", f"/collections/{kind}")["config"]["params"]
        assert params["vectors"] == {"size": DIM, "distance": metric, **more}
        assert params["on_disk_payload"] == (kind != "ram")
