"""POST /sextant/collections/{c}/explain: the plan of a filter says what happens."""
import pytest


@pytest.fixture(scope="module")
def filled(server):
    server.http.ok("PUT", "/collections/e", {"vectors": {"size": 2, "distance": "Dot"}})
    server.http.ok("PUT", "/collections/e/index?wait=true", {"field_name": "n", "field_schema": "integer"})
    server.http.ok("PUT", "/collections/e/points?wait=true", {"points": [
        {"id": i, "vector": [i, 1], "payload": {"n": i, "s": f"x{i % 4}", "l": [{"a": i % 3}]}}
        for i in range(100)]})
    return server


def explain(s, **body):
    return s.http.ok("POST", "/sextant/collections/e/explain", body)


def test_without_filter(filled):
    e = explain(filled)
    assert (e["points"], e["matching"], e["filter"]) == (100, 100, True)
    assert e["estimate"] == {"min": 100, "expected": 100, "max": 100}


def test_leaves_say_how_they_are_answered(filled):
    e = explain(filled, filter={
        "must": [{"key": "n", "range": {"lt": 50}}, {"key": "s", "match": {"value": "x1"}}],
        "must_not": [{"has_id": [1, 2]}]})
    assert e["matching"] == 12  # 5, 9, ... 49 and not 1
    parts = e["filter"]["and"]
    by = {(p.get("not") or [p])[0]["condition"]: (p.get("not") or [p])[0] for p in parts}
    assert by["range"]["answered_by"] == "index" and by["range"]["key"] == "n"
    assert by["range"]["index"] == {"type": "integer", "rows_covered": 100, "rows": 100}
    low, high = by["range"]["estimate"]["min"], by["range"]["estimate"]["max"]
    assert low <= 50 <= high
    assert by["match"]["answered_by"] == "documents" and "index" not in by["match"]
    assert by["has_id"]["answered_by"] == "the point"
    assert by["has_id"]["estimate"] == {"min": 2, "expected": 2, "max": 2}


def test_the_estimate_is_what_an_approximate_count_says(filled):
    f = {"should": [{"key": "n", "match": {"value": 3}}, {"key": "n", "range": {"gte": 90}}]}
    e = explain(filled, filter=f, exact=False)
    assert "matching" not in e
    count = filled.http.ok("POST", "/collections/e/points/count", {"filter": f, "exact": False})
    assert e["estimate"]["expected"] == count["count"]


def test_nested_and_min_should(filled):
    e = explain(filled, filter={
        "must": [{"nested": {"key": "l", "filter": {"must": [{"key": "a", "match": {"value": 0}}]}}}],
        "min_should": {"min_count": 2, "conditions": [
            {"key": "n", "range": {"lt": 30}}, {"key": "s", "match": {"value": "x0"}}, {"has_id": [3, 4]}]}})
    nested, some = e["filter"]["and"]
    assert nested["condition"] == "nested" and nested["of_each"]["key"] == "l[].a"
    assert some["at_least"] == 2 and len(some["of"]) == 3
    assert e["matching"] == sum(
        i % 3 == 0 and (i < 30) + (i % 4 == 0) + (i in (3, 4)) >= 2 for i in range(100))


def test_errors_are_those_of_a_count(filled):
    for body in ({"filter": {"must": [{"key": "a"}]}}, {"filter": 3}, {"exact": 1}):
        count = filled.http("POST", "/collections/e/points/count", body)
        mine = filled.http("POST", "/sextant/collections/e/explain", body)
        assert mine[0] == count[0] in (400, 422) and mine[1]["status"] == count[1]["status"]
    assert filled.http("POST", "/sextant/collections/missing/explain", {})[0] == 404


def test_deep_filters_are_explained_or_refused_as_by_a_count(filled):
    for depth in (10, 30, 60, 100, 120):
        for wrap in (lambda f: {"must_not": [f]}, lambda f: {"must": [{"nested": {"key": "l", "filter": f}}]},
                     lambda f: {"should": [f, {"has_id": [1]}]}):
            f = {"must": [{"key": "n", "match": {"value": 1}}]}
            for _ in range(depth):
                f = wrap(f)
            count = filled.http("POST", "/collections/e/points/count", {"filter": f})
            mine = filled.http("POST", "/sextant/collections/e/explain", {"filter": f})
            assert mine[0] == count[0], (depth, mine)
            if count[0] == 200:
                assert mine[1]["result"]["matching"] == count[1]["result"]["count"]
