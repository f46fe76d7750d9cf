"""/metrics: the page parses by the rules of the text format, names and order are the published ones."""
import re
import signal
import time

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
PUBLISHED = ["app_info", "collections_total", "collections_vector_total", "collection_points",
             "rest_responses_total", "rest_responses_duration_seconds",
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
