"""Acceptance facts 31 to 41 of the data model: reads, each by its number."""
import pytest

from facts import (UUID, V, build, collection, count, create, get, ids, index, indexed_states,
                   is_indexed, match, must, must_not, post, put, refused, refused_like, retrieve,
                   scroll, states)

QUERY_ERROR = "Deserialize error in query parameters: "
JSON_ERROR = "Format error in JSON body: "
BODY_ERROR = "Validation error in JSON body: "


def entries(http, name, order_by, **more):
    """(id, order_value) of an ordered scroll."""
    page = scroll(http, name, {"order_by": order_by, "with_payload": False} | more)
    assert page["next_page_offset"] is None
    assert all(set(p) == {"id", "order_value"} for p in page["points"]), page
    return [(p["id"], p["order_value"]) for p in page["points"]]


def facet(http, name, key, **more):
    hits = http.ok("POST", f"/collections/{name}/facet", {"key": key} | more)["hits"]
    return [(h["value"], h["count"]) for h in hits]


def test_02_fact_31_retrieve_and_payload_defaults(http, name):
    create(http, name)
    put(http, name, [(1, {"a": 1}), (2, {"a": 2}), (3, {"a": 3})])
    assert retrieve(http, name, {"ids": [3, 1, 3, 99]}) == [{"id": 3}, {"id": 1}]
    assert retrieve(http, name, {"ids": [3, UUID, 1], "with_payload": True}) == [
        {"id": 3, "payload": {"a": 3}}, {"id": 1, "payload": {"a": 1}}]
    assert retrieve(http, name, {"ids": []}) == []
    assert retrieve(http, name, {"ids": [2], "with_vectors": True}) == [{"id": 2, "vector": V}]
    page = http.ok("POST", f"/collections/{name}/points/scroll", {})
    assert page["points"] == [{"id": i, "payload": {"a": i}} for i in (1, 2, 3)]
    assert get(http, name, 1) == {"id": 1, "payload": {"a": 1}, "vector": V}


def test_02_fact_32_scroll_pages(http, name):
    create(http, name)
    put(http, name, [(i, {}) for i in range(25)] + [(UUID, {})])
    path = f"/collections/{name}/points/scroll"
    refused(http, "POST", path, {"limit": 0}, 422,
            f"{BODY_ERROR}[scroll_request.limit: value 0 invalid, must be 1 or larger]")
    refused_like(http, "POST", path, {"limit": -1}, 400, JSON_ERROR)
    refused_like(http, "POST", path, {"limit": 1.5}, 400, JSON_ERROR)
    page = http.ok("POST", path, {})
    assert len(page["points"]) == 10 and page["next_page_offset"] == 10
    everything = list(range(25)) + [UUID]
    for limit in (1, 10, 13, 25, 26, 27, 2**64 - 1):
        seen, offset, pages = [], None, 0
        while True:
            page = http.ok("POST", path, {"limit": limit, "offset": offset})
            seen += [p["id"] for p in page["points"]]
            pages += 1
            assert "next_page_offset" in page
            offset = page["next_page_offset"]
            if offset is None:
                break
        assert seen == everything and pages == -(-26 // limit)
    page = http.ok("POST", path, {"limit": 3, "offset": 24})
    assert [p["id"] for p in page["points"]] == [24, UUID] and page["next_page_offset"] is None


def test_02_fact_33_payload_selectors(http, name):
    create(http, name)
    put(http, name, [(1, {"a": [{"b": 1, "c": 2}]})])

    def select(s):
        body = {"ids": [1], "with_payload": s}
        by_id = retrieve(http, name, body)[0]["payload"]
        assert scroll(http, name, {"with_payload": s})["points"][0]["payload"] == by_id
        return by_id

    assert select(["a.b"]) == {"a": []}
    assert select({"include": ["a.b"]}) == {"a": []}
    assert select(["a[].b"]) == {"a": [{"b": 1}]}
    assert select({"exclude": ["a[].b"]}) == {"a": [{"c": 2}]}
    assert select({"exclude": ["a.b"]}) == {"a": [{"b": 1, "c": 2}]}
    assert select(["a[0]"]) == {"a": []}
    assert select([]) == {} and select({"exclude": []}) == {"a": [{"b": 1, "c": 2}]}
    refused(http, "POST", f"/collections/{name}/points",
            {"ids": [1], "with_payload": {"include": ["a"], "exclude": ["b"]}}, 400,
            f"{JSON_ERROR}Expected a boolean, an array of strings, or an object with an include/exclude field")


def test_02_fact_34_vector_selector(http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    text = "Wrong input: Not existing vector name error: nope"
    assert scroll(http, name, {"with_vector": ["nope"]})["points"] == []
    put(http, name, [{"id": 1, "vector": {"a": V}}])
    for body in ({"with_vector": ["nope"]}, {"with_vectors": ["a", "nope"]}):
        refused(http, "POST", f"/collections/{name}/points/scroll", body, 400, text)
        refused(http, "POST", f"/collections/{name}/points", body | {"ids": [1]}, 400, text)
    none = must({"has_id": []})
    assert scroll(http, name, {"with_vector": ["nope"], "filter": none}) == {
        "points": [], "next_page_offset": None}
    assert retrieve(http, name, {"ids": [7], "with_vector": ["nope"]}) == []
    assert retrieve(http, name, {"ids": [1], "with_vector": ["b"]}) == [{"id": 1, "vector": {}}]


NUMBERS = [(1, {"n": 5}), (2, {"n": 1}), (3, {"n": 3}), (4, {"n": 6}), (5, {"x": 1}), (6, {"n": "7"}),
           (7, {"n": [4, 2]}), (8, {"n": None}), (9, {"n": -2})]


def test_02_fact_35_order_by_needs_an_index(http, name):
    create(http, name)
    path = f"/collections/{name}/points/scroll"

    def check(key):
        for order in (key, {"key": key}):
            refused_like(http, "POST", path, {"order_by": order}, 400,
                         f"Wrong input: No range index for `order_by` key: `{key}`. Please create one to "
                         "use `order_by`. Check ")

    check("n")
    put(http, name, NUMBERS)
    check("n")
    for schema in ("keyword", "bool", "uuid", "geo", "text",
                   {"type": "integer", "lookup": True, "range": False}):
        index(http, name, "n", schema)
        check("n")
    index(http, name, "n", "integer")
    check("n[]")
    check("m")
    assert [v for _, v in entries(http, name, "n")] == [-2, 1, 2, 3, 4, 5, 6]


@indexed_states
@pytest.mark.parametrize("schema", ["integer", "float",
                                    {"type": "integer", "range": True, "lookup": False}])
def test_02_fact_35_order_by(server, name, state, schema):
    http = build(server, name, state, NUMBERS, [("n", schema)])
    up = [(9, -2), (2, 1), (7, 2), (3, 3), (7, 4), (1, 5), (4, 6)]
    assert entries(http, name, "n") == up
    assert entries(http, name, {"key": "n", "direction": "asc"}) == up
    assert entries(http, name, {"key": "n", "direction": "desc"}) == up[::-1]
    assert entries(http, name, "n", limit=3) == up[:3]
    assert entries(http, name, "n", filter=must({"has_id": [7, 9]})) == [(9, -2), (7, 2), (7, 4)]
    put(http, name, [(20 + i, {"n": 3}) for i in range(4)])
    down = entries(http, name, {"key": "n", "direction": "desc"})
    assert [v for _, v in down] == [6, 5, 4, 3, 3, 3, 3, 3, 2, 1, -2]
    assert {i for i, v in down if v == 3} == {3, 20, 21, 22, 23}
    page = scroll(http, name, {"order_by": "n", "limit": 1, "with_vector": True})
    assert page["points"] == [{"id": 9, "payload": {"n": -2}, "vector": V, "order_value": -2}]


@indexed_states
def test_02_fact_36_offset_values_and_start(server, name, state):
    http = build(server, name, state, NUMBERS, [("n", "integer")])
    path = f"/collections/{name}/points/scroll"
    refused(http, "POST", path, {"order_by": "n", "offset": 1}, 400,
            "Wrong input: Cannot use an `offset` when using `order_by`. The alternative for paging is to "
            "use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the "
            "`order_by.start_from` value")
    assert entries(http, name, "n", offset=None)[0] == (9, -2)
    got = entries(http, name, "n")
    assert {i for i, _ in got} == {1, 2, 3, 4, 7, 9}
    assert [i for i, _ in got].count(7) == 2

    def start(value, direction="asc"):
        return entries(http, name, {"key": "n", "start_from": value, "direction": direction})

    assert start(3) == [(3, 3), (7, 4), (1, 5), (4, 6)]
    assert start(3, "desc") == [(3, 3), (7, 2), (2, 1), (9, -2)]
    assert start(3.5) == [(7, 4), (1, 5), (4, 6)]
    assert start(2.5, "desc") == [(7, 2), (2, 1), (9, -2)]
    assert start(None) == got and start(100) == [] and start(-100) == got


@indexed_states
def test_02_fact_37_datetime_order_value(server, name, state):
    http = build(server, name, state, [
        (1, {"d": "2024-02-29T00:00:00Z"}), (2, {"d": "2024-02-29T01:00:00+02:00"}),
        (3, {"d": "1969-12-31T23:59:59.999999Z"}), (4, {"d": "yesterday"}), (5, {"d": 17}),
        (6, {"d": "2024-02-29 00:00:00.1234567"})], [("d", "datetime")])
    day = 1709164800 * 10**6
    assert entries(http, name, "d") == [(3, -1), (2, day - 3600 * 10**6), (1, day), (6, day + 123456)]
    assert entries(http, name, {"key": "d", "start_from": "2024-02-29"}) == [(1, day),
                                                                             (6, day + 123456)]
    assert entries(http, name, {"key": "d", "start_from": day, "direction": "desc"}) == [
        (1, day), (2, day - 3600 * 10**6), (3, -1)]
    refused(http, "POST", f"/collections/{name}/points/scroll",
            {"order_by": {"key": "d", "start_from": "yesterday"}}, 400,
            f"{JSON_ERROR}Expected a string, or an object with a key, direction and/or start_from")


@states
def test_02_fact_38_count(server, name, state):
    http = build(server, name, state, [(i, {"n": i % 3}) for i in range(30)], [("n", "integer")])
    assert count(http, name) == 30 and count(http, name, exact=False) == 30
    assert count(http, name, must(match("n", 1))) == count(http, name, must(match("n", 1)),
                                                           exact=True) == 10
    assert count(http, name, must(match("n", 7))) == 0
    estimate = count(http, name, must(match("n", 1)), exact=False)
    assert estimate == (10 if is_indexed(state) else 15)
    post(http, name, "delete", {"points": [1, 2]})
    put(http, name, [(4, {"n": 0})])
    assert count(http, name) == 28 and count(http, name, must(match("n", 1))) == 8


@indexed_states
def test_02_fact_39_facet(server, name, state):
    points = [(1, {"k": "b"}), (2, {"k": ["a", "b", "b"]}), (3, {"k": "c"}), (4, {"k": 5}), (5, {}),
              (6, {"k": ["c", None]})]
    http = build(server, name, state, points, [("k", "keyword")])
    assert facet(http, name, "k") == [("b", 2), ("c", 2), ("a", 1)]
    assert facet(http, name, "k", exact=True) == [("b", 2), ("c", 2), ("a", 1)]
    assert facet(http, name, "k", limit=1) == [("b", 2)]
    put(http, name, [(100 + i, {"k": f"v{i:02d}"}) for i in range(20)])
    assert facet(http, name, "k") == [("b", 2), ("c", 2), ("a", 1)] + [(f"v{i:02d}", 1)
                                                                       for i in range(7)]
    assert len(facet(http, name, "k", limit=100)) == 23
    refused(http, "POST", f"/collections/{name}/facet", {"key": "k", "limit": 0}, 422,
            f"{BODY_ERROR}[facet_request.limit: value 0 invalid, must be 1 or larger]")


def test_02_fact_39_facet_needs_an_index(http, name):
    create(http, name)
    put(http, name, [(1, {"k": "b", "n": 1.5})])
    text = "Wrong input: No appropriate index for faceting: `{}`. Please create one to facet on this field. Check "
    for exact in (True, False):
        refused_like(http, "POST", f"/collections/{name}/facet", {"key": "k", "exact": exact}, 400,
                     text.format("k"))
    for schema in ("float", "text", "geo", "datetime", {"type": "integer", "lookup": False,
                                                        "range": True}):
        index(http, name, "n", schema)
        refused_like(http, "POST", f"/collections/{name}/facet", {"key": "n"}, 400, text.format("n"))
    index(http, name, "k", "keyword")
    assert facet(http, name, "k") == [("b", 1)]
    refused_like(http, "POST", f"/collections/{name}/facet", {"key": "k[]"}, 400, text.format("k[]"))


@indexed_states
def test_02_fact_39_facet_types(server, name, state):
    u = "ffffffff-4455-6677-8899-aabbccddeeff"
    points = [(1, {"i": 5, "b": True, "u": UUID.upper()}),
              (2, {"i": [-1, 5], "b": [True, False], "u": UUID}),
              (3, {"i": 7, "b": False, "u": u}), (4, {"i": 6, "b": "x", "u": "no"})]
    http = build(server, name, state, points, [("i", "integer"), ("b", "bool"), ("u", "uuid")])
    assert facet(http, name, "i") == [(5, 2), (-1, 1), (6, 1), (7, 1)]
    assert facet(http, name, "b") == [(False, 2), (True, 2)]
    assert facet(http, name, "u") == [(UUID, 2), (u, 1)]


@indexed_states
def test_02_fact_40_facet_with_filter_on_its_key(server, name, state):
    points = [(1, {"k": ["a", "b"]}), (2, {"k": ["a", "c"]}), (3, {"k": ["b"]}), (4, {"k": "a"})]
    http = build(server, name, state, points, [("k", "keyword")])
    for exact in (True, False):
        assert facet(http, name, "k", exact=exact, filter=must(match("k", "a"))) == [
            ("a", 3), ("b", 1), ("c", 1)]
        assert facet(http, name, "k", exact=exact, filter=must_not(match("k", "a"))) == [("b", 1)]
        assert facet(http, name, "k", exact=exact, filter=must(match("k", "zzz"))) == []


def test_02_fact_41_consistency_and_timeout(http, name):
    create(http, name)
    index(http, name, "k", "keyword")
    put(http, name, [(1, {"k": "x"})])
    base = f"/collections/{name}"
    reads = (("GET", "/points/1", None), ("POST", "/points", {"ids": [1]}),
             ("POST", "/points/scroll", {}),
             ("POST", "/points/count", {}), ("POST", "/facet", {"key": "k"}))
    for method, path, body in reads:
        for value in ("0", "foo", "-1", "Majority", "1.5"):
            refused(http, method, f"{base}{path}?consistency={value}", body, 400,
                    f"{QUERY_ERROR}failed to deserialize read consistency query parameter value '{value}'")
        for value in ("majority", "quorum", "all", "1", "2", ""):
            http.ok(method, f"{base}{path}?consistency={value}", body)
        refused(http, method, f"{base}{path}?timeout=0", body, 400,
                f"{QUERY_ERROR}invalid value: integer `0`, expected a nonzero u64")
        for value in ("x", "-1", "1.5"):
            refused(http, method, f"{base}{path}?timeout={value}", body, 400,
                    f"{QUERY_ERROR}invalid digit found in string")
        http.ok(method, f"{base}{path}?timeout=5", body)
    one = {"points": [{"id": 1, "vector": V}]}
    assert http.ok("PUT", f"{base}/points?timeout=0", one)["status"] == "acknowledged"
    assert http.ok("PUT", f"{base}/points?timeout=0&wait=true", one)["status"] in ("completed",
                                                                                   "wait_timeout")
    refused(http, "PUT", f"{base}/points?timeout=x", one, 400,
            f"{QUERY_ERROR}invalid digit found in string")
    assert ids(http, name) == [1]


def test_02_fact_41_unknown_collection_and_alias(http, name):
    with collection(http, name) as c:
        put(http, c, [(1, {})])
        for method, path, body in (("GET", "/points/1", None), ("POST", "/points/scroll", {})):
            refused(http, method, f"/collections/{c}_none{path}", body, 404,
                    f"Not found: Collection `{c}_none` doesn't exist!")
