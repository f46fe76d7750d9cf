"""Modules of people who have the installed SDK and nothing else.

The server is installed into a prefix; the skeletons are copied from there, built with CMake and with
the Makefile, run through sextant-plugin-check and loaded by the installed server. Neither build may
have seen this repository.
"""
import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest

from conftest import ROOT, load_rooms, sh

SKELETONS = ["index-mine", "distance-mine"]


def outside(*, prefix, **more):
    """An environment in which only the prefix leads to Sextant."""
    env = {k: v for k, v in os.environ.items()
           if k in ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")}
    return {**env, **{k: str(v) for k, v in more.items()}}


@pytest.fixture(scope="session")
def prefix(release, tmp_path_factory):
    """An installed tree, moved once: nothing in it may depend on where it was put first."""
    first = tmp_path_factory.mktemp("install") / "first"
    sh("cmake", "--install", release, "--prefix", first)
    return first.rename(first.parent / "prefix")


@pytest.fixture(scope="session", params=["cmake", "make"])
def built(request, prefix, tmp_path_factory):
    """{name: file} of both skeletons, built outside the tree in one of the two ways."""
    top = tmp_path_factory.mktemp("outside-" + request.param).resolve()
    files = {}
    for name in SKELETONS:
        src = top / name
        shutil.copytree(prefix / "share/sextant/skeleton" / name, src)
        if request.param == "cmake":
            env = outside(prefix=prefix, CMAKE_PREFIX_PATH=prefix)
            sh("cmake", "-S", src, "-B", src / "build", "-DCMAKE_BUILD_TYPE=Release",
               "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror", cwd=src, env=env)
            sh("cmake", "--build", src / "build", cwd=src, env=env)
            files[name] = src / "build" / f"{name}.so"
        else:
            env = outside(prefix=prefix, PKG_CONFIG_PATH=prefix / "lib/pkgconfig")
            sh("make", "-f", "Makefile.pkgconfig", cwd=src, env=env)
            files[name] = src / f"{name}.so"
    for path in top.rglob("*"):
        # Files of code carry the debug lines of the installed library.
        if path.is_file() and not path.read_bytes().startswith(b"\x7fELF"):
            assert str(ROOT).encode() not in path.read_bytes(), f"{path} knows the repository"
    return files


def test_what_is_installed(prefix):
    files = {str(p.relative_to(prefix)) for p in prefix.rglob("*") if p.is_file()}
    headers = {p.name for p in (ROOT / "sdk/include/sextant").glob("*.h")}
    assert {f"include/sextant/{h}" for h in headers} <= files
    assert {"bin/sextant", "bin/sextant-plugin-check", "lib/libsextant-sdk.a",
            "lib/libsextant-sdk-test.a", "lib/pkgconfig/sextant-sdk.pc",
            "lib/cmake/Sextant/SextantConfig.cmake"} <= files
    extra = {f for f in files if f.startswith("include/")} - {f"include/sextant/{h}" for h in headers}
    assert extra == {"include/sextant/test/sx_suite.h", "include/sextant/test/sx_fake_host.h"}
    for f in ("lib/pkgconfig/sextant-sdk.pc", "lib/cmake/Sextant/SextantConfig.cmake"):
        text = re.sub(r"(?m)^#.*$", "", (prefix / f).read_text())
        assert str(ROOT) not in text and not re.search(r"@\w+@", text), f


def test_installed_server_runs(prefix, tmp_path):
    out = sh(prefix / "bin/sextant", "--version", cwd=tmp_path, env=outside(prefix=prefix)).stdout
    assert out.startswith("qdrant 1.") and "\nsextant " in out


def test_makefile_is_short(prefix):
    for name in SKELETONS:
        text = (prefix / "share/sextant/skeleton" / name / "Makefile.pkgconfig").read_text()
        assert text.count("\n") <= 12, name


def test_pkg_config_says(prefix):
    env = outside(prefix=prefix, PKG_CONFIG_PATH=prefix / "lib/pkgconfig")

    def ask(*args):
        return sh("pkg-config", *args, "sextant-sdk", env=env).stdout.strip()

    version = dict(re.findall(r"#define SX_ABI_(MAJOR|MINOR) +(\d+)",
                              (prefix / "include/sextant/sx_plugin.h").read_text()))
    assert ask("--variable=abi") == f"{version['MAJOR']}.{version['MINOR']}"
    where = pathlib.Path(ask("--variable=plugindir")).resolve()
    assert where == (prefix / f"lib/sextant/plugins-{version['MAJOR']}").resolve()
    for word in ("-Wl,-z,defs", "-Wl,-z,now", "-Wl,-z,nodelete"):
        assert word in ask("--variable=plugin_ldflags").split()


@pytest.mark.parametrize("name", SKELETONS)
def test_conformance(built, prefix, name, tmp_path):
    out = sh(prefix / "bin/sextant-plugin-check", "--suite", built[name], cwd=tmp_path,
             env=outside(prefix=prefix)).stdout
    assert out.strip() == f"{built[name]}: note: no findings"


@pytest.mark.parametrize("name", SKELETONS)
def test_facts_of_files(built, name):
    rooms = load_rooms()
    report = rooms.Report()
    rooms.check_module_file(built[name], name, report)
    assert report.lines == []


def test_conformance_through_ctest_and_make(built, prefix):
    """The ways the skeletons' own files offer: sx_add_conformance() and `make check`."""
    env = outside(prefix=prefix, PKG_CONFIG_PATH=prefix / "lib/pkgconfig")
    for name, path in built.items():
        if path.parent.name == "build":
            out = sh("ctest", "--test-dir", path.parent, "--no-tests=error", env=env).stdout
            assert "100% tests passed" in out and f"conformance-{name}" in out, out
        else:
            out = sh("make", "-f", "Makefile.pkgconfig", "check", cwd=path.parent, env=env).stdout
            assert "no findings" in out, out


def test_check_fails_a_broken_skeleton(prefix, tmp_path):
    """A distance whose batch disagrees with its single function: the suite must say so."""
    src = tmp_path / "distance-mine"
    shutil.copytree(prefix / "share/sextant/skeleton/distance-mine", src)
    text = (src / "chebyshev.c").read_text()
    broken = text.replace("sx_rows_at(rows, first + i)", "sx_rows_at(rows, first)")
    assert broken != text
    (src / "chebyshev.c").write_text(broken)
    env = outside(prefix=prefix, PKG_CONFIG_PATH=prefix / "lib/pkgconfig")
    sh("make", "-f", "Makefile.pkgconfig", cwd=src, env=env)
    r = sh(prefix / "bin/sextant-plugin-check", "--suite", src / "distance-mine.so", env=env,
           check=False)
    assert r.returncode == 1 and "score_rows" in r.stdout, r.stdout


# --- in the server ---------------------------------------------------------------------------------

N, DIM = 700, 19


def vectors():
    rng = np.random.default_rng(5)
    return rng.normal(size=(N, DIM)).astype(np.float32), rng.normal(size=(8, DIM)).astype(np.float32)


def fill(http, distance):
    rows, _ = vectors()
    http.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": distance}})
    for start in range(0, N, 100):
        http.ok("PUT", "/collections/c/points?wait=true", {
            "points": [{"id": i, "vector": rows[i].astype(float).tolist(), "payload": {"n": i}}
                       for i in range(start, start + 100)]})
    http.ok("POST", "/collections/c/points/delete?wait=true", {"points": list(range(0, N, 7))})


def expect(http, score, smaller_is_closer):
    """Every query's answer is the true one: ids in order, scores to rounding."""
    rows, queries = vectors()
    alive = np.array([i for i in range(N) if i % 7 != 0])
    for q in queries:
        truth = score(q.astype(np.float64), rows[alive].astype(np.float64))
        order = np.argsort(truth if smaller_is_closer else -truth, kind="stable")[:25]
        body = {"query": q.astype(float).tolist(), "limit": 25, "with_payload": True}
        points = http.ok("POST", "/collections/c/points/query", body)["points"]
        assert [p["id"] for p in points] == alive[order].tolist()
        assert [p["payload"]["n"] for p in points] == alive[order].tolist()
        np.testing.assert_allclose([p["score"] for p in points], truth[order], rtol=1e-5, atol=1e-6)


def chebyshev(q, rows):
    return np.abs(rows - q).max(axis=1)


def config(paths, **more):
    return json.dumps({"sextant": {"plugins": [str(p) for p in paths], **more.pop("sextant", {})},
                       **more})


def test_distance_in_the_server(built, prefix, serve):
    s = serve(prefix / "bin/sextant", config([built["distance-mine"]]))
    fill(s.http, "Chebyshev")
    expect(s.http, chebyshev, True)
    params = s.http.ok("GET", "/collections/c")["config"]["params"]
    assert params["vectors"] == {"size": DIM, "distance": "Chebyshev"}
    s.kill()  # what was answered is read back with the same module
    s.start()
    expect(s.http, chebyshev, True)
    status, answer = s.http("PUT", "/collections/d", {"vectors": {"size": 2, "distance": "Hamming"}})
    assert status == 400, answer


def test_distance_needs_its_module(built, prefix, serve):
    """Without the module the name is as unknown as any other."""
    s = serve(prefix / "bin/sextant", config([]))
    status, answer = s.http("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Chebyshev"}})
    assert status == 400, answer


def test_index_in_the_server(built, prefix, serve):
    """The built-in index is out of the server, so that whatever answers is the module's."""
    s = serve(prefix / "bin/sextant", config([built["index-mine"]], plugins={"engine": {"index": "mine"}},
                                             sextant={"disable": ["index-flat"]}))
    fill(s.http, "Dot")
    expect(s.http, lambda q, rows: rows @ q, False)
    s.restart()
    expect(s.http, lambda q, rows: rows @ q, False)


def test_both_in_the_server(built, prefix, serve, place):
    """From the plugin directory by name, and both at once."""
    d = place / "plugins"
    d.mkdir()
    d.chmod(0o755)
    for path in built.values():
        shutil.copy(path, d)
    s = serve(prefix / "bin/sextant", config(SKELETONS, plugins={"engine": {"index": "mine"}},
                                             sextant={"disable": ["index-flat"], "plugin_dir": str(d)}))
    fill(s.http, "Chebyshev")
    expect(s.http, chebyshev, True)


def test_index_that_nobody_provides(run):
    path = run.config([])
    path.write_text(path.read_text() + "plugins:\n  engine:\n    index: nothing\n")
    r = sh(run.binary, "--config-path", path, cwd=run.dir, check=False, timeout=60)
    assert r.returncode > 0, r.stdout
    assert "plugins.engine.index: no loaded module provides 'nothing'" in r.stdout, r.stdout


def test_shared_server_installed(shared, tmp_path, serve):
    """With nothing built in the installed server finds its modules beside itself."""
    prefix = tmp_path / "prefix"
    sh("cmake", "--install", shared, "--prefix", prefix)
    modules = load_rooms().Tree(ROOT).modules
    where = prefix / "lib/sextant/plugins-1"
    assert sorted(p.stem for p in where.glob("*.so")) == sorted(modules)
    listed = sh(prefix / "bin/sextant", "--list-plugins", cwd=tmp_path).stdout.splitlines()
    assert {x.split()[0]: x.split()[2] for x in listed} == {m: str(where / f"{m}.so") for m in modules}
    s = serve(prefix / "bin/sextant", "{}")
    fill(s.http, "Dot")
    expect(s.http, lambda q, rows: rows @ q, False)
