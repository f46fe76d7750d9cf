"""The kinds that nobody implements yet: a null module of each loads, is listed, and the server with
all of them serves, stops and forgets them. Their headers can therefore be implemented."""
import re

import pytest

from conftest import ROOT, module_names

KINDS = {"null-consensus": "consensus", "null-objstore": "objstore", "null-quantizer": "quantizer",
         "null-tokenizer": "tokenizer"}


def paths(shared, names=tuple(sorted(KINDS))):
    return [str(shared / "test-plugins" / f"{n}.so") for n in names]


def test_every_null_module_is_expected():
    assert {m for m in module_names() if m.startswith("null-")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_loads_alone(run, shared, name):
    path, = paths(shared, [name])
    r = run.check([path])
    assert r.returncode == 0 and f"ok   {path}" in r.stdout, r.stdout
    lines = run([path], "--list-plugins").stdout.splitlines()
    line, = [x for x in lines if x.startswith(name + " ")]
    assert path in line and f"{KINDS[name]}:" in line


def test_all_serve(serve, release, shared):
    text = "sextant:\n  allow_test_plugins: true\n  plugins:\n"
    text += "".join(f"    - {p}\n" for p in paths(shared))
    s = serve(release / "sextant", text)
    s.http.ok("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
    s.http.ok("PUT", "/collections/c/points?wait=true", {"points": [{"id": 1, "vector": [1, 2]}]})
    found = s.http.ok("POST", "/collections/c/points/query", {"query": [3, 4], "limit": 1})
    assert [(p["id"], p["score"]) for p in found["points"]] == [(1, 11.0)]
    s.restart()
    assert s.http.ok("POST", "/collections/c/points/count", {})["count"] == 1


def test_not_without_leave(run, shared):
    r = run.start(paths(shared), allow_test=False)
    assert r.returncode == 1, r.stdout
    assert r.stdout.count("is for tests only (sextant.allow_test_plugins is false)") == len(KINDS)


def test_versions_may_change():
    """Kinds without an implementation say version 0: their issue may still change them."""
    for kind in KINDS.values():
        header = (ROOT / f"sdk/include/sextant/sx_{kind}.h").read_text()
        assert re.search(rf"^#define SX_{kind.upper()}_IFACE +0u$", header, re.M), kind
