"""/metrics: the page parses by the rules of the text format, names and order are the published ones."""
import collections
import re
import signal
import threading
import time

from harness import Http

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
PUBLISHED = ["app_info", "collections_total", "collections_vector_total", "collection_points",
             "rest_responses_total", "rest_responses_avg_duration_seconds",
             "rest_responses_min_duration_seconds", "rest_responses_max_duration_seconds",
             "rest_responses_duration_seconds",
             "memory_active_bytes", "memory_allocated_bytes", "memory_metadata_bytes",
             "memory_resident_bytes", "memory_retained_bytes", "process_threads",
             "process_open_mmaps", "system_max_mmaps", "process_open_fds", "process_max_fds",
             "process_minor_page_faults_total", "process_major_page_faults_total"]
ALWAYS = [n for n in PUBLISHED if n.startswith(("app_", "collections_total", "memory_", "process_"))]


def parse(text):
    """{family: (type, {(name, labels): value})} in the order of the page; raises on what a scraper
    would refuse."""
    families, current = {}, None
    assert text.endswith("\n") and "\n\n" not in text
    for line in text.splitlines():
        m = re.fullmatch(rf"# HELP ({NAME}) (.*)", line)
        if m:
            assert m[1] not in families, f"{m[1]} twice"
            current = m[1]
            families[current] = [None, {}]
            continue
        m = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line)
        if m:
            assert m[1] == current and families[current][0] is None, line
            families[current][0] = m[2]
            continue
        m = SAMPLE.fullmatch(line)
        assert m, f"no sample: {line!r}"
        name, labels = m[1], m[2] or ""
        at, pairs = 0, []
        while at < len(labels):
            pair = LABEL.match(labels, at)
            assert pair, f"bad labels: {line!r}"
            pairs.append((pair[1], pair[2]))
            at = pair.end()
        kind, samples = families[current]
        assert kind, f"{name} before its TYPE"
        base = re.sub(r"_(bucket|sum|count)$", "", name) if kind == "histogram" else name
        assert base == current, f"{name} among {current}"
        assert len({k for k, _ in pairs}) == len(pairs), line
        key = (name, tuple(pairs))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(m[3].replace("+Inf", "inf"))
        assert re.fullmatch(r"-?\d+|-?\d+\.\d+(e-?\d+)?|-?\d+(\.\d+)?e-?\d+|[+-]Inf|NaN", m[3]), line
    for name, (kind, samples) in families.items():
        assert samples, f"{name} is empty"
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(name, samples):
    series = {}
    for (n, pairs), v in samples.items():
        rest = tuple(p for p in pairs if p[0] != "le")
        s = series.setdefault(rest, {"buckets": []})
        if n.endswith("_bucket"):
            s["buckets"].append((float(dict(pairs)["le"].replace("+Inf", "inf")), v))
        else:
            s[n[len(name):]] = v
    for labels, s in series.items():
        assert s["buckets"] == sorted(s["buckets"]), (name, labels)
        counts = [c for _, c in s["buckets"]]
        assert counts == sorted(counts) and s["buckets"][-1][0] == float("inf"), (name, labels)
        assert counts[-1] == s["_count"] and s["_sum"] >= 0, (name, labels)


def value(page, name):
    (v,) = page[name][1].values()
    return v


def test_page(server, http):
    for i in range(3):
        http.ok("PUT", f"/collections/metrics_{i}", {"vectors": {"size": 2, "distance": "Dot"}})
    http("GET", "/collections/none")
    status, text = http("GET", "/metrics")
    assert status == 200
    page = parse(text)
    assert [n for n in ALWAYS if n not in page] == []
    known = [n for n in page if n in PUBLISHED]
    assert known == sorted(known, key=PUBLISHED.index)
    assert list(page)[0] == "app_info"
    ((_, labels),) = page["app_info"][1]
    version = http("GET", "/")[1]["version"]
    assert dict(labels) == {"name": "qdrant", "version": version}
    assert value(page, "collections_total") == 3
    assert value(page, "process_threads") >= 2
    assert value(page, "memory_resident_bytes") > 1 << 20
    assert value(page, "process_max_fds") >= value(page, "process_open_fds") > 3
    again = parse(http("GET", "/metrics")[1])
    assert set(again) >= set(page)
    for name, (kind, samples) in page.items():
        if kind == "counter":
            for key, v in samples.items():
                assert again[name][1][key] >= v, key


def test_headers(http):
    http.raw("GET", "/metrics")
    http.con.request("GET", "/metrics")
    rsp = http.con.getresponse()
    rsp.read()
    assert rsp.getheader("content-type") == "text/plain; charset=utf-8"
    assert http.raw("GET", "/metrics/below")[0] == 404
    assert http.raw("POST", "/metrics", b"{}")[0] == 404


def test_query(http):
    assert http("GET", "/metrics?anonymize=x") == (400, {"status": {
        "error": "Deserialize error in query parameters: provided string was not `true` or `false`"},
        "time": 0.0})
    assert http("GET", "/metrics?timeout=0")[0] == 422
    assert "metrics_0" not in http("GET", "/metrics?anonymize=true")[1]
    parse(http("GET", "/metrics?anonymize=true&per_collection=true&timeout=5&x=y")[1])


# --- answers -----------------------------------------------------------------------------------------

BELOW = "/collections/{collection_name}"
# Spec chapter 01 section 8.2: the endpoints that appear, and the bounds of the histogram.
ENDPOINTS = {BELOW + e for e in """/index /points /points/batch /points/count /points/delete
    /points/discover /points/discover/batch /points/facet /points/payload /points/payload/clear
    /points/payload/delete /points/query /points/query/batch /points/query/groups /points/recommend
    /points/recommend/batch /points/recommend/groups /points/scroll /points/search
    /points/search/batch /points/search/groups /points/search/matrix/offsets
    /points/search/matrix/pairs /points/vectors /points/vectors/delete
    /vectors/{vector_name}""".split()}
BOUNDS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10, 50, float("inf")]


def totals(http):
    """{(method, endpoint, status): count} as the page has it."""
    page = parse(http("GET", "/metrics")[1])
    if "rest_responses_total" not in page:
        return collections.Counter()
    kind, samples = page["rest_responses_total"]
    assert kind == "counter"
    assert all([k for k, _ in labels] == ["method", "endpoint", "status"] for _, labels in samples)
    return collections.Counter({tuple(v for _, v in labels): n for (_, labels), n in samples.items()})


def test_every_answer_is_counted_once(make_server):
    """By method, endpoint and status, whoever gives the answer: the engine, the kernel, the decoder
    or the head's checks."""
    s = make_server({"service.api_key": "secret", "service.max_request_size_mb": "1"})
    key = {"api-key": "secret"}
    http, stranger = Http(s.port, key), s.http
    http.ok("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
    points = {"points": [{"id": i, "vector": [i, 1]} for i in range(5)]}
    assert totals(http) == {}
    asked = [
        ("PUT", "/points?wait=true", points, 200),
        ("PUT", "/points?wait=true", points, 200),
        ("PUT", "/points?wait=true", {"points": [{"id": 1, "vector": [1, 2, 3]}]}, 400),
        ("PUT", "/points", "{", 400),
        ("PUT", "/points", {"points": [{"id": 1, "vector": []}]}, 422),
        ("PUT", "/points", b" " * (1 << 20) + b"{}", 400),  # larger than allowed
        ("POST", "/points", {"ids": [1, 2]}, 200),
        ("POST", "/points/query", {"query": [1, 1], "limit": 2}, 200),
        ("POST", "/points/query", {"query": [1, 1], "limit": 0}, 422),
        ("POST", "/points/count", {}, 200),
        ("POST", "/points/scroll?timeout=x", {}, 400),
        ("POST", "/points/scroll", {"limit": 3}, 200),
    ]
    want = collections.Counter()
    for method, path, body, status in asked:
        got = http(method, "/collections/c" + path, body)
        assert got[0] == status, (method, path, got)
        want[method, BELOW + path.split("?")[0], str(status)] += 1
    assert http("POST", "/collections/none/points/count", {})[0] == 404
    want["POST", BELOW + "/points/count", "404"] += 1
    assert stranger("POST", "/collections/c/points/count", {})[0] == 401
    want["POST", BELOW + "/points/count", "401"] += 1
    chunked = http.raw("POST", "/collections/c/points/count", iter([b"{", b"}"]), key)
    assert chunked[0] == 200
    want["POST", BELOW + "/points/count", "200"] += 1
    # counted as well, but no part of the page
    for method, path in (("GET", "/collections"), ("GET", "/collections/c"), ("GET", "/healthz"),
                         ("GET", "/collections/c/points/1"), ("GET", "/nothing"), ("HEAD", "/"),
                         ("DELETE", "/collections/c/points"), ("OPTIONS", "/collections/c/points")):
        http.raw(method, path)
    assert totals(http) == want
    assert {e for _, e, _ in want} <= ENDPOINTS


def test_durations_of_what_succeeded(server, http):
    http("PUT", "/collections/durations", {"vectors": {"size": 2, "distance": "Dot"}})
    for _ in range(7):
        http.ok("POST", "/collections/durations/points/count", {})
    assert http("POST", "/collections/durations/points/count", "[")[0] == 400
    status, text = http("GET", "/metrics")
    page = parse(text)
    assert "# HELP rest_responses_total total number of responses\n" in text
    assert "# HELP rest_responses_duration_seconds response duration histogram\n" in text
    for word, full in (("avg", "average"), ("min", "minimum"), ("max", "maximum")):
        assert f"# HELP rest_responses_{word}_duration_seconds {full} response duration\n" in text
    durations = [n for n in page if re.match("rest_responses_.*duration_seconds$", n)]
    assert len(durations) == 4
    for name in durations:
        assert {dict(labels)["status"] for _, labels in page[name][1]} == {"200"}
    labels = (("method", "POST"), ("endpoint", BELOW + "/points/count"), ("status", "200"))
    histogram = {(n, dict(k).get("le")): v for (n, k), v in page["rest_responses_duration_seconds"][1].items()
                 if k[:3] == labels}
    name = "rest_responses_duration_seconds"
    assert [float(le.replace("+Inf", "inf")) for n, le in histogram if n == name + "_bucket"] == BOUNDS
    count, total = histogram[name + "_count", None], histogram[name + "_sum", None]
    assert count == page["rest_responses_total"][1]["rest_responses_total", labels] >= 7
    low, mean, high = (page[f"rest_responses_{w}_duration_seconds"][1][f"rest_responses_{w}_duration_seconds",
                                                                        labels]
                       for w in ("min", "avg", "max"))
    assert 0 < low <= mean <= high < 60
    assert abs(mean * count - total) <= 1e-9 * total


def test_none_is_lost_between_loops(server, http):
    http("PUT", "/collections/many", {"vectors": {"size": 2, "distance": "Dot"}})
    row = "POST", BELOW + "/points/count", "200"
    before, n, each = totals(http)[row], 8, 50

    def ask():
        h = Http(server.port)
        for _ in range(each):
            h.ok("POST", "/collections/many/points/count", {})
        h.close()

    threads = [threading.Thread(target=ask) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert totals(http)[row] == before + n * each


def test_prefix_and_reload(make_server):
    s = make_server(start=False)
    (s.dir / "config").mkdir()
    local = s.dir / "config/local.yaml"
    local.write_text("service:\n  metrics_prefix: qdrant_\n")
    s.start()
    page = parse(s.http("GET", "/metrics")[1])
    assert all(n.startswith("qdrant_") for n in page) and "qdrant_app_info" in page
    local.write_text("service:\n  metrics_prefix: other_\n")
    s.proc.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while "other_app_info" not in s.http("GET", "/metrics")[1]:
        assert time.monotonic() < end, s.log()
        time.sleep(0.02)


def test_bad_prefix_warns(make_server):
    s = make_server({"service.metrics_prefix": "a-b"})
    assert ("- service.metrics_prefix: Metrics prefix must be of all alphanumeric characters, with an "
            "exception for '_'") in s.log_text()
