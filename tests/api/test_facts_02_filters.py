"""Acceptance facts 42 to 55 of the data model: filters, each by its number.

Where a fact holds with and without an index it is asked in every state of facts.STATES.
"""
import random
import uuid

import pytest

from facts import (U64, UUID, V, build, count, crash, create, get, ids, index, is_indexed, match, must,
                   must_not, payload, post, put, refused, refused_like, states)

JSON_ERROR = "Format error in JSON body: "
BODY_ERROR = "Validation error in JSON body: "
CONDITION = (JSON_ERROR + 'Expected some form of condition, which can be a field condition (like {"key": '
             '..., "match": ... }), or some other mentioned in the documentation: ')


def scroll_path(name):
    return f"/collections/{name}/points/scroll"


ABC = [(1, {"a": 1, "c": "x"}), (2, {"a": 2, "c": "y"}), (3, {"a": 3, "c": "x"}), (4, {"c": "z"}),
       (5, {})]
ABC_INDEX = [("a", "integer"), ("c", "keyword")]
ALL = [1, 2, 3, 4, 5]


@states
def test_02_fact_42_empty_clauses(server, name, state):
    http = build(server, name, state, ABC, ABC_INDEX)
    one = match("a", 1)
    for free in ({}, {"must": []}, {"should": []}, {"must_not": []}, {"should": None}, {"must": None},
                 {"must_not": None, "min_should": None}, {"must": [], "should": [], "must_not": []},
                 {"must": [{}]}, {"must": {}}):
        assert ids(http, name, free) == ALL, free
        assert ids(http, name, {"must": [one, free]}) == [1], free
    assert ids(http, name, {"must_not": [{}]}) == []

    def min_should(n, *conditions):
        return {"min_should": {"conditions": list(conditions), "min_count": n}}

    three = (one, match("c", "x"), match("a", 3))
    assert ids(http, name, min_should(1, *three)) == [1, 3]
    assert ids(http, name, min_should(2, *three)) == [1, 3]
    assert ids(http, name, min_should(3, *three)) == []
    assert ids(http, name, min_should(4, *three)) == []
    assert ids(http, name, min_should(1)) == []
    assert ids(http, name, {"must": [min_should(1)]}) == []
    assert ids(http, name, {"must_not": [min_should(1)]}) == ALL
    for conditions in ((), three):
        for endpoint, first in (("scroll", "scroll_request"), ("count", "count_request")):
            refused(http, "POST", f"/collections/{name}/points/{endpoint}",
                    {"filter": min_should(0, *conditions)}, 422,
                    f"{BODY_ERROR}[{first}.filter.min_should.min_count: min_count must be greater than 0]")


@states
def test_02_fact_43_single_condition(server, name, state):
    http = build(server, name, state, ABC, ABC_INDEX)
    x = match("c", "x")
    for clause, want in (("must", [1, 3]), ("should", [1, 3]), ("must_not", [2, 4, 5])):
        assert ids(http, name, {clause: x}) == ids(http, name, {clause: [x]}) == want
    assert ids(http, name, {"must": x, "must_not": match("a", 1)}) == [3]


def test_02_fact_43_conditions_without_meaning(http, name):
    create(http, name)
    path = scroll_path(name)
    text = "Validation error: At least one field condition must be specified [{}]"
    for filter_, where in (({"must": [{"key": "a"}]}, "must[0]"), ({"must": {"key": "a"}}, "must[0]"),
                           ({"should": [match("a", 1), {"key": "a"}]}, "should[1]"),
                           ({"must_not": [{"key": "a", "match": None}]}, "must_not[0]"),
                           ({"must": [{"must": [{"key": "a"}]}]}, "must[0].must[0]"),
                           ({"must": [{"nested": {"key": "b", "filter": {"must": [{"key": "a"}]}}}]},
                            "must[0].nested.filter.must[0]"),
                           ({"min_should": {"conditions": [{"key": "a"}], "min_count": 1}},
                            "min_should.conditions[0]")):
        refused(http, "POST", path, {"filter": filter_}, 422,
                f"{BODY_ERROR}[scroll_request.filter.{where}.__all__: {text}]")
    for condition in ({"nonsense": 1}, {"match": {"value": 1}}, 5, "a", {"has_vector": 5},
                      {"has_id": ["x"]}, {"is_empty": {"key": "a["}}, {"nested": {"key": "a"}}):
        refused_like(http, "POST", path, {"filter": must(condition)}, 400, CONDITION)
    refused_like(http, "POST", path, {"filter": {"most": []}}, 400,
                 JSON_ERROR + "unknown field `most`, expected one of `should`, `min_should`, `must`, `must_not`")
    refused(http, "POST", path, {"filter": must(match("a[", 1))}, 400,
            f"{JSON_ERROR}Invalid json path: 'a['")
    refused(http, "POST", path, {"filter": must({"key": 5, "match": {"value": 1}})}, 400,
            f"{JSON_ERROR}Filter condition 'key' must be a string")
    refused(http, "POST", path, {"filter": must({"key": "a", "match": {"nope": 1}})}, 400,
            f"{JSON_ERROR}data did not match any variant of untagged enum MatchInterface")
    refused(http, "POST", path, {"filter": {"must": "x"}}, 400,
            f'{JSON_ERROR}invalid type: string "x", expected null, array or map')


@states
def test_02_fact_44_values_of_a_key(server, name, state):
    points = [(1, {"tags": ["x", "y"]}), (2, {"tags": "x"}), (3, {"a": [{"b": 1}]}),
              (4, {"a": {"b": 1}}),
              (5, {"a": [{"b": [2, 1]}, {"b": 7}]}), (6, {"tags": [["x"]]}), (7, {"a.b": 1}),
              (8, {"": 1})]
    http = build(server, name, state, points, [
        ("tags", "keyword"), ("tags[]", "keyword"), ("a.b", "integer"), ("a[].b", "integer"),
        ("a[0].b", "integer"), ("a[1].b", "integer"), ('"a.b"', "integer"), ('""', "integer")])
    everybody = list(range(1, 9))
    for key, value, want in (("tags", "x", [1, 2]), ("tags[]", "x", [1, 6]), ("tags", "y", [1]),
                             ("a.b", 1, [4]), ("a[].b", 1, [3, 5]), ("a[0].b", 1, [3, 5]),
                             ("a[1].b", 7, [5]), ("a[1].b", 1, []), ('"a.b"', 1, [7]), ('""', 1, [8])):
        assert ids(http, name, must(match(key, value))) == want, key
        assert ids(http, name, must_not(match(key, value))) == [i for i in everybody
                                                                if i not in want], key


@states
def test_02_fact_45_any_and_except(server, name, state):
    points = [(1, {"k": "x"}), (2, {"k": ["x", "y"]}), (3, {"k": "y"}), (4, {}), (5, {"k": None}),
              (6, {"k": []}), (7, {"k": [None]}), (8, {"k": ["z", None]})]
    http = build(server, name, state, points, [("k", "keyword")])

    def found(**m):
        return ids(http, name, must(match("k", m)))

    assert found(any=[]) == []
    assert found(any=["x", "z", "x"]) == [1, 2, 8]
    assert found(**{"except": []}) == [1, 2, 3, 8]
    assert found(**{"except": ["x"]}) == [2, 3, 8]
    assert found(**{"except": ["x", "y"]}) == [8]
    assert found(**{"except": ["x", "y", "z"]}) == []
    assert found(**{"except": ["other"]}) == [1, 2, 3, 8]
    assert ids(http, name, must_not(match("k", {"except": ["x"]}))) == [1, 4, 5, 6, 7]


@states
def test_02_fact_45_integers(server, name, state):
    points = [(1, {"k": 1}), (2, {"k": [1, 2]}), (3, {"k": 2}), (4, {}), (5, {"k": None}),
              (6, {"k": -2**63})]
    http = build(server, name, state, points, [("k", "integer")])

    def found(**m):
        return ids(http, name, must(match("k", m)))

    assert found(any=[1, -2**63]) == [1, 2, 6] and found(any=[]) == []
    assert found(**{"except": [1]}) == [2, 3, 6] and found(**{"except": []}) == [1, 2, 3, 6]
    assert found(**{"except": [1, 2, -2**63]}) == []


@states
def test_02_fact_45_other_typed_values(server, name, state):
    """Among the listed differences: an index of the list's type considers indexed values only."""
    points = [(1, {"k": "x"}), (2, {"k": 5}), (3, {"k": True}), (4, {"k": {"o": 1}}),
              (5, {"k": ["x", 5]})]
    http = build(server, name, state, points, [("k", "keyword")])
    got = ids(http, name, must(match("k", {"except": ["x"]})))
    assert got == ([] if is_indexed(state) else [2, 3, 4, 5])
    assert ids(http, name, must(match("k", {"except": [5]}))) == [1, 3, 4, 5]


def test_02_fact_45_bad_lists(http, name):
    create(http, name)
    for m in ({"any": [1, "x"]}, {"any": [1.5]}, {"any": "x"}, {"except": [True]}, {"any": [None]}):
        refused(http, "POST", scroll_path(name), {"filter": must(match("k", m))}, 400,
                f"{JSON_ERROR}data did not match any variant of untagged enum MatchInterface")


@states
def test_02_fact_46_no_coercion(server, name, state):
    points = [(1, {"n": 1}), (2, {"n": "1"}), (3, {"n": True}), (4, {"n": 1.0}), (5, {"n": [0, 1]}),
              (6, {"n": {"n": 1}}), (7, {"n": 1.5}), (8, {"n": None})]
    http = build(server, name, state, points, [("n", "integer")])
    assert ids(http, name, must(match("n", 1))) == ([1, 4, 5] if is_indexed(state) else [1, 5])
    assert ids(http, name, must(match("n", "1"))) == [2]
    assert ids(http, name, must(match("n", True))) == [3]
    assert ids(http, name, must(match("n", False))) == []
    for bad in ("1.5", "1.0", "null", "9223372036854775808", "[1]", "{}"):
        refused(http, "POST", scroll_path(name),
                '{"filter":{"must":[{"key":"n","match":{"value":%s}}]}}' % bad, 400,
                f"{JSON_ERROR}data did not match any variant of untagged enum MatchInterface")


@pytest.mark.parametrize("schema", ["keyword", "bool", "float", "datetime", "uuid", "geo", "text"])
def test_02_fact_46_under_every_index(http, name, schema):
    create(http, name)
    index(http, name, "n", schema)
    put(http, name, [(1, {"n": 1}), (2, {"n": "1"}), (3, {"n": True}), (4, {"n": 1.0}),
                     (5, {"n": [0, 1]})])
    assert ids(http, name, must(match("n", 1))) == [1, 5]
    assert ids(http, name, must(match("n", "1"))) == [2]
    assert ids(http, name, must(match("n", True))) == [3]


RANGES = [(1, {"n": 3}), (2, {"n": 3.5}), (3, {"n": 4}), (4, {"n": [1, 10]}), (5, {"n": "3"}), (6, {}),
          (7, {"n": 2.9999999999999996}), (8, {"n": [2, 3.25, 100]}), (9, {"n": None}), (10, {"n": -5})]


@states
@pytest.mark.parametrize("schema", ["float", "integer"])
def test_02_fact_47_range(server, name, state, schema):
    http = build(server, name, state, RANGES, [("n", schema)])
    whole = is_indexed(state) and schema == "integer"  # fractions are not in an integer index

    def found(**r):
        return ids(http, name, must({"key": "n", "range": r}))

    assert found(gte=3, lt=4) == ([1] if whole else [1, 2, 8])
    assert found(gt=2, lt=20) == ([1, 3, 4] if whole else [1, 2, 3, 4, 7, 8])
    assert found(gt=2, lt=9) == ([1, 3] if whole else [1, 2, 3, 7, 8])
    assert found(gte=3, gt=3, lt=4.5, lte=4) == ([3] if whole else [2, 3, 8])
    assert found(lt=-5) == [] and found(lte=-5) == [10]
    assert found(lt=0, gte=None) == [10]
    assert found() == ([1, 3, 4, 8, 10] if whole else [1, 2, 3, 4, 7, 8, 10])
    assert found(gt=1e300) == [] and found(gt=-1e300, lt=1e300) == found()
    assert found(gte=5, lte=4) == []


@states
def test_02_fact_47_beyond_2_to_53(server, name, state):
    big = 2**53
    points = [(1, {"n": big}), (2, {"n": big + 1}), (3, {"n": 2**63 - 1}), (4, {"n": -2**63})]
    http = build(server, name, state, points, [("n", "integer")])
    got = ids(http, name, must({"key": "n", "range": {"gt": big, "lt": 2 * big}}))
    assert got == ([2] if is_indexed(state) else [])
    assert ids(http, name, must({"key": "n", "range": {"lte": -2**63}})) == [4]
    assert ids(http, name, must(match("n", big + 1))) == [2]
    assert ids(http, name, must(match("n", 2**63 - 1))) == [3]


def test_02_fact_47_bad_bounds(http, name):
    create(http, name)
    for bad in ({"gt": True}, {"gt": []}, {"gt": {}}):
        refused_like(http, "POST", scroll_path(name), {"filter": must({"key": "n", "range": bad})}, 400,
                     JSON_ERROR, "RangeInterfaceUntagged")
    refused_like(http, "POST", scroll_path(name),
                 {"filter": must({"key": "n", "range": {"gt": "2024-01-01", "lt": 1}})}, 400,
                 JSON_ERROR + "invalid type: integer `1`, expected a string")


@states
def test_02_fact_48_datetime_bounds(server, name, state):
    points = [(1, {"d": "2024-02-29"}), (2, {"d": "2024-02-29T00:00:00Z"}),
              (3, {"d": "2024-02-29 00:00:00"}),
              (4, {"d": "2024-02-28T23:59:59.999999Z"}), (5, {"d": "2024-02-29T02:00:00+02:00"}),
              (6, {"d": "yesterday"}), (7, {"d": 1709164800}),
              (8, {"d": ["2020-01-01", "2024-02-29T10:11"]}),
              (9, {}), (10, {"d": "2024-02-30"}), (11, {"d": "2024-02-29 00:00:00.000001"})]
    http = build(server, name, state, points, [("d", "datetime")])
    same = ["2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29 00:00:00", "2024-02-29T00:00:00",
            "2024-02-29T01:00:00+01:00", "2024-02-29T00:00", "2024-02-29 00:00:00.000 +0000",
            "2024-02-29t00:00:00z"]
    for bound in same:
        def found(**r):
            return ids(http, name, must({"key": "d", "range": r}))

        assert found(gte=bound) == [1, 2, 3, 5, 8, 11], bound
        assert found(gt=bound) == [8, 11], bound
        assert found(lt=bound) == [4, 8], bound
        assert found(lte=bound) == [1, 2, 3, 4, 5, 8], bound
        assert found(gte=bound, lte=bound) == [1, 2, 3, 5], bound
    for bad in ("yesterday", "2024-02-30", "20240229", "2024/02/29", "2024-02-29T24:00:00"):
        refused(http, "POST", scroll_path(name), {"filter": must({"key": "d", "range": {"gte": bad}})},
                400,
                f"{JSON_ERROR}'{bad}' does not match accepted datetime format (RFC3339). Example: "
                "2014-01-01T00:00:00Z")


EMPTIES = [(1, {}), (2, {"a": None}), (3, {"a": []}), (4, {"a": [None]}), (5, {"a": ""}),
           (6, {"a": {}}),
           (7, {"a": 0}), (8, {"a": False}), (9, {"a": [[]]}), (10, {"a": [None, "x"]}),
           (11, {"a": "x"}),
           (12, {"a": [[None]]})]


@states
@pytest.mark.parametrize("schema", ["keyword", "integer", "bool", "float", "datetime", "geo", "uuid"])
def test_02_fact_49_is_empty_and_is_null(server, name, state, schema):
    http = build(server, name, state, EMPTIES, [("a", schema)])
    everybody = list(range(1, 13))
    empty, null = [1, 2, 3], [2, 4, 10]

    def rest(some):
        return [i for i in everybody if i not in some]

    for condition, want in (({"is_empty": {"key": "a"}}, empty),
                            ({"key": "a", "is_empty": True}, empty),
                            ({"key": "a", "is_empty": False}, rest(empty)),
                            ({"is_null": {"key": "a"}}, null), ({"key": "a", "is_null": True}, null),
                            ({"key": "a", "is_null": False}, rest(null))):
        assert ids(http, name, must(condition)) == want, condition
        assert ids(http, name, must_not(condition)) == rest(want), condition


@states
def test_02_fact_50_values_count(server, name, state):
    points = [(1, {}), (2, {"a": None}), (3, {"a": []}), (4, {"a": [1]}), (5, {"a": [1, None]}),
              (6, {"a": 5}),
              (7, {"a": "x"}), (8, {"a": {"b": [1, 2]}}), (9, {"a": [1, 2, "x"]})]
    http = build(server, name, state, points, [("a", "integer")])

    def found(**r):
        return ids(http, name, must({"key": "a", "values_count": r}))

    assert found(lt=1) == [1, 2, 3]
    assert found(lte=0) == [1, 2, 3]
    assert found(gte=1) == [4, 5, 6, 7, 8, 9]
    assert found(gt=0, lte=1) == [4, 6, 7, 8]
    assert found(gte=2, lt=3) == [5] and found(gt=2) == [9] and found(gt=3) == []
    assert found() == list(range(1, 10))
    assert ids(http, name, must_not({"key": "a", "values_count": {"lt": 1}})) == [4, 5, 6, 7, 8, 9]
    for bad in ("-1", "1.5", "1.0", '"1"'):
        refused_like(http, "POST", scroll_path(name),
                     '{"filter":{"must":[{"key":"a","values_count":{"lt":%s}}]}}' % bad, 400,
                     JSON_ERROR)


def geo(lon, lat):
    return {"lon": lon, "lat": lat}


def box(left, top, right, bottom, key="g"):
    return {"key": key, "geo_bounding_box": {"top_left": geo(left, top),
                                             "bottom_right": geo(right, bottom)}}


@states
def test_02_fact_51_bounding_box(server, name, state):
    points = [(1, {"g": geo(175, 5)}), (2, {"g": geo(-175, 5)}), (3, {"g": geo(0, 5)}),
              (4, {"g": geo(170, 5)}),
              (5, {"g": geo(-170, 5)}), (6, {"g": geo(175, 10)}), (7, {"g": geo(175, 0)}),
              (8, {"g": [geo(0, 0), geo(179.5, 1)]}), (9, {"g": {"lon": "175", "lat": 5}}),
              (10, {"g": [175, 5]}),
              (11, {"g": geo(180, 5)}), (12, {"g": geo(-180, 5)}),
              (13, {"g": geo(175, 5) | {"alt": 7}}),
              (14, {}), (15, {"g": geo(1, 1)})]
    http = build(server, name, state, points, [("g", "geo")])
    assert ids(http, name, must(box(170, 10, -170, 0))) == [1, 2, 8, 11, 12, 13]
    assert ids(http, name, must(box(0, 5, 2, 0))) == [15]
    assert ids(http, name, must(box(-1, 6, 1, 4))) == [3]
    assert ids(http, name, must(box(0, 6, 1, 4))) == []      # a point on the left edge
    assert ids(http, name, must(box(-1, 6, 0, 4))) == []     # on the right edge
    assert ids(http, name, must(box(-1, 5, 1, 4))) == []     # on the top edge
    assert ids(http, name, must(box(-1, 6, 1, 5))) == []     # on the bottom edge
    assert ids(http, name, must(box(-1, 4, 1, 6))) == []     # upside down
    assert ids(http, name, must(box(-180, 90, 180, -90))) == [1, 2, 3, 4, 5, 6, 7, 8, 13, 15]
    refused(http, "POST", scroll_path(name), {"filter": must(box(-1, 91, 1, 0))}, 400,
            f"{JSON_ERROR}Wrong format of GeoPoint payload: expected `lat` = 91 within [-90;90] and `lon` = -1 "
            "within [-180;180]")


@states
def test_02_fact_51_radius(server, name, state):
    meter = 180 / 3.141592653589793 / 6371008.8  # degrees of latitude
    points = [(1, {"g": geo(0, 0)}), (2, {"g": geo(0, 999 * meter)}), (3, {"g": geo(0, 1001 * meter)}),
              (4, {"g": geo(180, 0)}), (5, {"g": geo(-179.9999, 0)}), (6, {"g": geo(77, 89.9999)}),
              (7, {"g": geo(-103, 89.9999)})]
    http = build(server, name, state, points, [("g", "geo")])

    def found(lon, lat, radius):
        return ids(http, name, must({"key": "g", "geo_radius": {"center": geo(lon, lat),
                                                                "radius": radius}}))

    assert found(0, 0, 1000) == [1, 2] and found(0, 0, 998) == [1] and found(0, 0, 2000) == [1, 2, 3]
    assert found(179.9999, 0, 100) == [4, 5] and found(0, 90, 100) == [6, 7]
    assert found(0, 0, 0) == [] and found(0, 0, -5) == [] and found(0, 0, 1e9) == [1, 2, 3, 4, 5, 6, 7]


def ring(*pairs):
    return {"points": [geo(*p) for p in pairs]}


SQUARE = ring((0, 0), (10, 0), (10, 10), (0, 10), (0, 0))
HOLE = ring((3, 3), (7, 3), (7, 7), (3, 7), (3, 3))


@states
def test_02_fact_52_polygon(server, name, state):
    points = [(1, {"g": geo(1, 1)}), (2, {"g": geo(5, 5)}), (3, {"g": geo(0, 5)}),
              (4, {"g": geo(10, 10)}),
              (5, {"g": geo(5, 1)}), (6, {"g": geo(3, 5)}), (7, {"g": geo(20, 20)}),
              (8, {"g": [geo(5, 5), geo(9, 9)]}), (9, {}), (10, {"g": geo(11, 5)})]
    http = build(server, name, state, points, [("g", "geo")])

    def polygon(exterior, *interiors):
        p = {"exterior": exterior}
        if interiors:
            p["interiors"] = list(interiors)
        return {"key": "g", "geo_polygon": p}

    assert ids(http, name, must(polygon(SQUARE))) == [1, 2, 5, 6, 8]
    assert ids(http, name, must(polygon(SQUARE, HOLE))) == [1, 5, 8]
    backwards = {"points": HOLE["points"][::-1]}
    assert ids(http, name, must(polygon({"points": SQUARE["points"][::-1]}, backwards))) == [1, 5, 8]
    assert ids(http, name, must(polygon(ring((0, 0), (10, 0), (0, 10), (0, 0))))) == [1, 5, 6]
    assert ids(http, name, must_not(polygon(SQUARE))) == [3, 4, 7, 9, 10]
    small = f"{JSON_ERROR}Validation failed: polygon invalid, the size must be at least 4, got 3"
    unclosed = (f"{JSON_ERROR}Validation failed: polygon invalid, the first and the last points should be the "
                "same to form a closed line")
    for bad, text in ((ring((0, 0), (1, 0), (0, 0)), small),
                      (ring((0, 0), (1, 0), (1, 1), (0, 1)), unclosed)):
        for p in (polygon(bad), polygon(SQUARE, bad)):
            refused(http, "POST", scroll_path(name), {"filter": must(p)}, 400, text)


NESTED = [(1, {"a": [{"x": 1}, {"y": 2}]}), (2, {"a": [{"x": 1, "y": 2}]}),
          (3, {"a": {"x": 1, "y": 2}}),
          (4, {"a": []}), (5, {}), (6, {"a": None}), (7, {"a": [{"x": 5, "y": 2}, {"x": 1, "y": 2}]}),
          (8, {"a": [1, "x", {"x": [1, 9], "y": 2}]}), (9, {"a": [[{"x": 1, "y": 2}]]}),
          (10, {"x": 1, "y": 2})]


@states
@pytest.mark.parametrize("key", ["a", "a[]"])
def test_02_fact_53_nested(server, name, state, key):
    http = build(server, name, state, NESTED, [("a[].x", "integer"), ("a[].y", "integer")])

    def nested(**inner):
        return {"nested": {"key": key, "filter": inner}}

    x, y = match("x", 1), match("y", 2)
    assert ids(http, name, must(nested(must=[x, y]))) == [2, 7, 8]
    assert ids(http, name, must(match("a[].x", 1), match("a[].y", 2))) == [1, 2, 7, 8]
    assert ids(http, name, must(nested(must=[x], must_not=[y]))) == [1]
    assert ids(http, name, must_not(nested(must=[x, y]))) == [1, 3, 4, 5, 6, 9, 10]
    assert ids(http, name, must(nested(must_not=[x]))) == [1, 7]
    assert ids(http, name, must(nested(must=[{"is_empty": {"key": "x"}}]))) == [1]
    assert ids(http, name, must(nested(should=[match("x", 5), match("x", 9)]))) == [7, 8]
    everyone = [1, 2, 7, 8]
    for inside in ({"has_id": [1, 2, 7, 8]}, {"has_vector": ""}, {"slice": {"total": 1, "index": 0}}):
        assert ids(http, name, must(nested(must=[inside]))) == [], inside
        assert ids(http, name, must(nested(should=[inside]))) == [], inside
        assert ids(http, name, must(nested(must_not=[inside]))) == everyone, inside
    assert ids(http, name, must(nested(must=[x]), {"has_id": [2, 3]})) == [2]


@states
def test_02_fact_53_nested_in_nested(server, name, state):
    points = [(1, {"a": [{"b": [{"c": 1, "d": 1}]}]}), (2, {"a": [{"b": [{"c": 1}, {"d": 1}]}]}),
              (3, {"a": [{"b": [{"c": 1}]}, {"b": [{"d": 1}]}]}), (4, {"a": {"b": [{"c": 1, "d": 1}]}})]
    http = build(server, name, state, points, [("a[].b[].c", "integer"), ("a[].b[].d", "integer")])
    c, d = match("c", 1), match("d", 1)

    def nested(key, *conditions):
        return {"nested": {"key": key, "filter": must(*conditions)}}

    assert ids(http, name, must(nested("a", nested("b", c, d)))) == [1]
    assert ids(http, name, must(nested("a", nested("b", c), nested("b", d)))) == [1, 2]
    assert ids(http, name, must(nested("a[].b", c, d))) == [1]
    assert ids(http, name, must(nested("a.b", c, d))) == [4]


def test_02_fact_54_has_vector_and_has_id(server, http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}},
           sparse_vectors={"s": {}})
    put(http, name, [{"id": 1, "vector": {"a": V}}, {"id": 2, "vector": {"b": [1, 2]}},
                     {"id": 3, "vector": {}},
                     {"id": UUID, "vector": {"s": {"indices": [], "values": []}}}])
    for _ in range(2):
        assert ids(http, name, must({"has_vector": "a"})) == [1]
        assert ids(http, name, must({"has_vector": "b"})) == [2]
        assert ids(http, name, must({"has_vector": "s"})) == [UUID]
        assert ids(http, name, must({"has_vector": "nope"})) == []
        assert ids(http, name, must({"has_vector": ""})) == []
        assert ids(http, name, must_not({"has_vector": "nope"})) == [1, 2, 3, UUID]
        assert ids(http, name, must({"has_id": []})) == []
        assert ids(http, name, must_not({"has_id": []})) == [1, 2, 3, UUID]
        assert ids(http, name, must({"has_id": [3, 3, 99, UUID.upper(), 1]})) == [1, 3, UUID]
        crash(server)


def siphash24(data):
    """SipHash-2-4 with a key of zeros."""
    mask = U64
    v = [0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573]

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & mask

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i:i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def hash_of(pid):
    return siphash24(pid.to_bytes(8, "little") if isinstance(pid, int) else uuid.UUID(pid).bytes)


def test_02_fact_55_slice(server, http, name):
    for pid, want in ((0, 16738165381834614119), (1, 9224715256000962398), (42, 1135563785245924819),
                      (UUID, 17712879580654916868)):
        assert hash_of(pid) == want
    create(http, name)
    rng = random.Random(55)
    everything = sorted({0, 1, 42, U64} | {rng.randrange(2**64) for _ in range(100)})
    everything += sorted([UUID] + [str(uuid.UUID(int=rng.randrange(2**128))) for _ in range(50)])
    put(http, name, [(i, {}) for i in everything])
    for _ in range(2):
        for total in (1, 4, 7, 2**32 - 1):
            seen = []
            for i in range(total) if total < 8 else sorted({hash_of(p) % total
                                                            for p in everything[:5]}):
                part = ids(http, name, must({"slice": {"total": total, "index": i}}))
                assert part == [p for p in everything if hash_of(p) % total == i]
                seen += part
            if total < 8:
                assert len(seen) == len(everything) and set(seen) == set(everything)
        crash(server)
    assert 42 in ids(http, name, must({"slice": {"total": 4, "index": 3}}))
    assert 1 in ids(http, name, must({"slice": {"total": 4, "index": 2}}))
    assert count(http, name, must_not({"slice": {"total": 4, "index": 2}})) == sum(
        hash_of(p) % 4 != 2 for p in everything)
    refused_like(http, "POST", scroll_path(name), {"filter": must({"slice": {"total": 0, "index": 0}})},
                 400,
                 CONDITION)
    refused(http, "POST", scroll_path(name), {"filter": must({"slice": {"total": 4, "index": 4}})}, 422,
            f"{BODY_ERROR}[scroll_request.filter.must[0].__all__: Validation error: Slice index must be less "
            "than the total number of slices [{}]]")


@states
def test_02_filters_select_the_same_points_everywhere(server, name, state):
    """One filter in scroll, count, query, and every write that takes a filter."""
    points = [(i, {"n": i % 5, "k": "even" if i % 2 == 0 else "odd"}) for i in range(40)]
    http = build(server, name, state, points, [("n", "integer"), ("k", "keyword")])
    f = {"must": [match("k", "even")], "must_not": [match("n", 0)],
         "should": [match("n", 2), match("n", 4)]}
    want = [i for i in range(40) if i % 2 == 0 and i % 5 in (2, 4)]
    assert ids(http, name, f) == want
    hits = http.ok("POST", f"/collections/{name}/points/query",
                   {"query": V, "limit": 100, "filter": f})["points"]
    assert sorted(h["id"] for h in hits) == want
    hits = http.ok("POST", f"/collections/{name}/points/search",
                   {"vector": V, "limit": 100, "filter": f})
    assert sorted(h["id"] for h in hits) == want
    post(http, name, "payload", {"payload": {"mark": 1}, "filter": f})
    assert ids(http, name, must(match("mark", 1))) == want
    post(http, name, "payload/delete", {"keys": ["mark"], "filter": f})
    assert ids(http, name, must(match("mark", 1))) == []
    post(http, name, "vectors/delete", {"vector": [""], "filter": f})
    assert ids(http, name, must_not({"has_vector": ""})) == want
    http.ok("PUT", f"/collections/{name}/points/payload?wait=true",
            {"payload": {"k": "even", "n": 2}, "filter": f})
    assert all(payload(http, name, i) == {"k": "even", "n": 2} for i in want)
    assert ids(http, name, f) == want
    post(http, name, "payload/clear", {"filter": f})
    assert all(payload(http, name, i) == {} for i in want) and ids(http, name, f) == []
    put(http, name, [(i, {"k": "even", "n": 4}) for i in want])
    post(http, name, "delete", {"filter": f})
    assert ids(http, name) == [i for i in range(40) if i not in want]
    assert http("GET", f"/collections/{name}/points/{want[0]}")[0] == 404
    assert get(http, name, 0)["payload"] == {"n": 0, "k": "even"}
