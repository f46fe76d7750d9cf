"""Fixtures of the API tests: a server a module, its log shown when a test fails.

Run all with `python3 -m pytest tests/api`, one file with `python3 -m pytest tests/api/test_x.py`.
The binary is SEXTANT_BIN, default build/release/sextant.
"""
import pathlib
import sys
import threading
import uuid
import warnings

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import Server  # noqa: E402

SERVERS = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for s in SERVERS:
            report.sections.append((f"log of the server on {s.port}", s.log()))


@pytest.fixture(scope="module")
def make_server():
    """Starts servers that end with the module: make_server(env, ...) -> Server."""
    mine = []

    def make(env=None, **kw):
        s = Server(env, **kw)
        mine.append(s)
        SERVERS.append(s)
        return s

    yield make
    try:
        for s in mine:
            s.close()
    finally:
        for s in mine:
            SERVERS.remove(s)


@pytest.fixture(scope="module")
def server(make_server):
    return make_server()


@pytest.fixture
def http(server):
    server.http.close()
    return server.http


def connect(url, **kw):
    """The official client, once it has finished checking the server's version in a thread of its
    own: else that check, and its warning, may fall into the middle of a restart."""
    from qdrant_client import QdrantClient

    before = set(threading.enumerate())
    c = QdrantClient(url=url, timeout=60, **kw)
    for t in set(threading.enumerate()) - before:
        t.join(10)
    return c


@pytest.fixture(scope="session", name="connect")
def connect_fixture():
    return connect


@pytest.fixture
def client(server):
    """The official client; what it warns about is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        c = connect(server.url)
        yield c
        c.close()


@pytest.fixture
def name(http):
    """A collection name of this test, dropped afterwards."""
    n = "t_" + uuid.uuid4().hex[:12]
    yield n
    http("DELETE", f"/collections/{n}")
