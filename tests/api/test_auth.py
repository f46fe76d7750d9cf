"""API keys: how they are presented, what a read-only key may do, what is open without any."""
import http.client
import pathlib
import signal
import time

import pytest

KEY, ALT, READ = "secret-key-1", "secret-key-2", "only-look"
MUST = "Must provide an API key or an Authorization bearer token"
WRONG = "Invalid API key or JWT"
DENIED = "Forbidden: Global manage access is required"


@pytest.fixture(scope="module")
def server(make_server):
    s = make_server({"service.api_key": KEY, "service.alt_api_key": ALT,
                     "service.read_only_api_key": READ})
    head = {"api-key": KEY}
    assert s.http("PUT", "/collections/a", {"vectors": {"size": 2, "distance": "Dot"}},
                  head)[0] == 200
    assert s.http("PUT", "/collections/a/points?wait=true",
                  {"points": [{"id": 1, "vector": [1, 2]}]}, head)[0] == 200
    return s


def test_no_credential(http):
    for path in ("/collections", "/collections/a", "/metrics", "/nonexistent", "/collections/",
                 "/HEALTHZ", "/readyz/x", "/healthz/../collections", "/healthz%2f..%2fcollections",
                 "//readyz//..//telemetry", "/collections?api-key=" + KEY):
        assert http("GET", path) == (401, MUST), path
    assert http("PUT", "/collections/b", {"vectors": {"size": 2, "distance": "Dot"}}) == (401, MUST)
    assert http("OPTIONS", "/collections") == (401, MUST)


def test_public_paths(http):
    for path in ("/", "/healthz", "/livez", "/readyz", "//healthz/"):
        assert http("GET", path)[0] == 200, path
        assert http("GET", path, headers={"api-key": "bad"})[0] == 200, path


@pytest.mark.parametrize("head", [
    {"api-key": KEY}, {"API-KEY": KEY}, {"Api-Key": ALT}, {"Authorization": "Bearer " + KEY},
    {"authorization": "Bearer " + ALT}, {"api-key": READ}, {"Authorization": "Bearer " + READ},
    {"api-key": "  " + KEY + " "}, {"api-key": KEY, "Authorization": "Bearer wrong"}])
def test_ways_in(http, head):
    status, answer = http("GET", "/collections/a/exists", headers=head)
    assert (status, answer["result"]) == (200, {"exists": True})


@pytest.mark.parametrize("head,text", [
    ({"api-key": "bad"}, WRONG), ({"api-key": ""}, WRONG), ({"api-key": KEY.upper()}, WRONG),
    ({"api-key": KEY + "x"}, WRONG), ({"api-key": KEY[:-1]}, WRONG),
    ({"Authorization": "Bearer bad"}, WRONG), ({"Authorization": "Bearer  " + KEY}, WRONG),
    ({"Authorization": "bearer " + KEY}, MUST), ({"Authorization": "BEARER " + KEY}, MUST),
    ({"Authorization": "Bearer"}, MUST), ({"Authorization": KEY}, MUST),
    ({"Authorization": "Basic eA=="}, MUST), ({"Authorization": ""}, MUST),
    ({"api-key": "bad", "Authorization": "Bearer " + KEY}, WRONG)])
def test_ways_that_are_none(http, head, text):
    assert http("GET", "/collections/a/exists", headers=head) == (401, text)


def test_refusals_are_bare_texts(server):
    con = http.client.HTTPConnection("127.0.0.1", server.port)
    con.request("GET", "/collections")
    rsp = con.getresponse()
    assert rsp.status == 401 and rsp.read().decode() == MUST
    assert rsp.getheader("WWW-Authenticate") is None and rsp.getheader("Content-Type") is None
    con.close()


def test_read_only(http):
    def call(method, path, body=None):
        return http(method, path, body, {"api-key": READ})

    for method, path, body in (
            ("GET", "/collections", None), ("GET", "/collections/a", None),
            ("GET", "/collections/a/points/1", None),
            ("POST", "/collections/a/points", {"ids": [1]}),
            ("POST", "/collections/a/points/scroll", {}),
            ("POST", "/collections/a/points/count", {}),
            ("POST", "/collections/a/points/query", {"query": [1, 2]}),
            ("POST", "/collections/a/points/query/batch", {"searches": [{"query": [1, 2]}]}),
            ("POST", "/collections/a/points/search", {"vector": [1, 2], "limit": 1}),
            ("GET", "/metrics", None)):
        assert call(method, path, body)[0] == 200, path
    for method, path, body in (
            ("PUT", "/collections/b", {"vectors": {"size": 2, "distance": "Dot"}}),
            ("DELETE", "/collections/a", None),
            ("PUT", "/collections/a/points?wait=true", {"points": [{"id": 2, "vector": [1, 2]}]}),
            ("POST", "/collections/a/points/delete", {"points": [1]}),
            # Rights come before existence and meaning ...
            ("PUT", "/collections/none/points", {"points": [{"id": 2, "vector": [1]}]}),
            ("PUT", "/collections/a/points", {"points": []})):
        status, answer = call(method, path, body)
        assert (status, answer["status"]["error"]) == (403, DENIED), path
    # ... and after the shape of the body.
    assert call("PUT", "/collections/a/points", "{")[0] == 400
    assert call("PUT", "/collections/b", "{")[0] == 400
    status, answer = http("POST", "/collections/a/points/count", {}, {"api-key": KEY})
    assert answer["result"] == {"count": 1}


def test_only_read_only_key(make_server):
    s = make_server({"service.read_only_api_key": READ})
    assert s.http("GET", "/collections") == (401, MUST)
    assert s.http("GET", "/collections", headers={"api-key": READ})[0] == 200
    assert s.http("PUT", "/collections/a", {}, {"api-key": READ})[0] == 403


def test_no_keys_at_all(make_server):
    s = make_server({"service.api_key": "", "service.read_only_api_key": ""})
    assert s.http("GET", "/collections", headers={"api-key": "whatever"})[0] == 200
    assert s.http("PUT", "/collections/a", {}, {"Authorization": "Bearer x"})[0] == 200
    for name in ("api_key", "read_only_api_key"):
        assert (f"Service {name} is set but empty, it is treated as unset and authentication may be "
                "disabled") in s.log_text()


def test_numbers_are_texts(make_server):
    s = make_server({"service.api_key": "123456"})
    assert s.http("GET", "/collections", headers={"api-key": "123456"})[0] == 200
    assert s.http("GET", "/collections", headers={"api-key": "0123456"})[0] == 401
    s.stop()
    (pathlib.Path(s.dir) / "config").mkdir()
    (pathlib.Path(s.dir) / "config/local.yaml").write_text("service:\n  api_key: 123456\n")
    del s.settings["service.api_key"]
    s.start()
    assert s.http("GET", "/collections", headers={"api-key": "123456"})[0] == 200
    assert s.http("GET", "/collections", headers={"api-key": "123457"})[0] == 401


def test_secrets_do_not_show(make_server):
    s = make_server({"service.api_key": KEY, "service.alt_api_key": ALT, "log_level": "TRACE",
                     "service.read_only_api_key": READ})
    for head in ({"api-key": KEY}, {"Authorization": "Bearer " + READ}, {"api-key": "nearly-" + ALT}):
        for path in ("/collections", "/telemetry", "/metrics"):
            answer = str(s.http("GET", path, headers=head))
            assert not [x for x in (KEY, ALT, READ) if x in answer]
    assert s.stop() == 0
    assert not [x for x in (KEY, ALT, READ) if x in s.log_text()]


def test_keys_are_reloaded(make_server):
    s = make_server(start=False)
    conf = pathlib.Path(s.dir) / "config"
    conf.mkdir()
    local = conf / "local.yaml"
    local.write_text("service:\n  api_key: old-key\n")
    s.start()
    assert s.http("GET", "/collections", headers={"api-key": "old-key"})[0] == 200
    local.write_text("service:\n  api_key: new-key\n")
    s.proc.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while s.http("GET", "/collections", headers={"api-key": "new-key"})[0] != 200:
        assert time.monotonic() < end, s.log()
        time.sleep(0.02)
    assert s.http("GET", "/collections", headers={"api-key": "old-key"}) == (401, WRONG)


def test_tokens_without_a_module_refuse_to_start(make_server):
    """jwt_rbac with a key needs a module that honours it; without a key it only warns."""
    s = make_server({"service.jwt_rbac": "true"})
    assert ("JWT RBAC configured but no API key set, JWT RBAC is not enabled") in s.log_text()
    assert s.http("GET", "/collections")[0] == 200
    bad = make_server({"service.jwt_rbac": "true", "service.api_key": KEY}, start=False)
    bad.spawn()
    try:
        code = bad.proc.wait(20)
    except Exception:
        # A module for tokens exists by now.
        bad.wait_ready()
        return
    bad.proc = None
    assert code == 1
    assert "jwt_rbac" in bad.log_text()
