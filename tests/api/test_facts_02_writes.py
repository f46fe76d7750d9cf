"""Acceptance facts 1 to 29 of the data model: ids, vectors and writes, each by its number."""
import uuid

import pytest

from facts import (U64, UUID, V, close, collection, count, create, error, f32, get, ids, match, must,
                   payload, payloads, post, put, refused, refused_like, retrieve, scroll, settles)

JSON_ERROR = "Format error in JSON body: "
BODY_ERROR = "Validation error in JSON body: "
POINTS = "/collections/{}/points"


# --- ids -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("form", [
    UUID.upper(), UUID, UUID.replace("-", ""), "{" + UUID + "}", "urn:uuid:" + UUID,
    "urn:uuid:" + UUID.upper(), "{" + UUID.upper() + "}"])
def test_02_fact_01_uuid_spellings(http, name, form):
    create(http, name)
    put(http, name, [{"id": form, "vector": V, "payload": {"form": form}}])
    p = get(http, name, UUID)
    assert p["id"] == UUID and p["payload"] == {"form": form}
    in_path = form.replace("{", "%7B").replace("}", "%7D")
    assert get(http, name, in_path)["id"] == UUID
    assert [p["id"] for p in retrieve(http, name, {"ids": [form]})] == [UUID]
    assert ids(http, name, must({"has_id": [form]})) == [UUID]
    post(http, name, "delete", {"points": [form]})
    assert ids(http, name) == []


@pytest.mark.parametrize("sent, shown", [
    ("-1", "-1"), ("1.0", "1"), ("1e3", "1000"), ('"1"', "1"), ('"abc"', "abc"), ("1.5", "1.5"),
    ("true", "true"), ("null", "Unit"), ('"urn:UUID:%s"' % UUID, "urn:UUID:" + UUID),
    ('" %s"' % UUID, " " + UUID)])
def test_02_fact_02_not_an_id(http, name, sent, shown):
    create(http, name)
    text = (f"{JSON_ERROR}value {shown} is not a valid point ID, valid values are either an unsigned "
            "integer or a UUID")
    path = POINTS.format(name)
    body = '{"points":[{"id":%s,"vector":[1,2,3,4]}]}'
    refused(http, "PUT", path, body % sent, 400, text)
    refused(http, "PUT", path, '{"batch":{"ids":[%s],"vectors":[[1,2,3,4]]}}' % sent, 400, text)
    refused(http, "POST", path, '{"ids":[%s]}' % sent, 400, text)
    refused(http, "POST", path + "/delete", '{"points":[%s]}' % sent, 400,
            f"{JSON_ERROR}data did not match any variant of untagged enum PointsSelector")
    assert ids(http, name) == []


def test_02_fact_02_largest_id(http, name):
    create(http, name)
    put(http, name, [{"id": U64, "vector": V, "payload": {"n": 1}}, {"id": U64 - 1, "vector": V}])
    assert get(http, name, U64)["id"] == U64
    assert ids(http, name) == [U64 - 1, U64]
    assert b'"id":18446744073709551615' in http.raw("GET", f"/collections/{name}/points/{U64}")[1]
    refused_like(http, "PUT", POINTS.format(name), '{"points":[{"id":%d,"vector":[1,2,3,4]}]}' % 2**64,
                 400, "is not a valid point ID")


def test_02_fact_03_id_in_the_path(http, name):
    create(http, name)
    put(http, name, [{"id": 1, "vector": V}])
    for text in ("xyz", "1.0", "-1", "12x", UUID[:-1]):
        refused(http, "GET", f"/collections/{name}/points/{text}", None, 400,
                f'Wrong input: Can not recognize "{text}" as point id')
    for pid in (7, UUID):
        refused(http, "GET", f"/collections/{name}/points/{pid}", None, 404,
                f"Not found: Point with id {pid} does not exists!")
    assert get(http, name, "001")["id"] == 1


def test_02_fact_04_order_of_ids(http, name):
    create(http, name)
    numbers = [0, 1, 9, 10, 2**32, 2**63, U64]
    uuids = [str(uuid.UUID(bytes=b)) for b in (
        bytes(16), bytes(15) + b"\1", b"\x0a" + bytes(15), b"\x7f" + b"\xff" * 15,
        b"\x80" + bytes(15), b"\xff" * 16)]
    mixed = [x for pair in zip(numbers[::-1], uuids[::-1] + [None]) for x in pair if x is not None]
    put(http, name, [{"id": i, "vector": V} for i in mixed])
    assert ids(http, name) == numbers + uuids
    page, seen = {"next_page_offset": None}, []
    while not seen or page["next_page_offset"] is not None:
        page = scroll(http, name, {"limit": 3, "offset": page["next_page_offset"]})
        seen += [p["id"] for p in page["points"]]
    assert seen == numbers + uuids


# --- vectors ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("wait", ["wait=false", "wait=true", ""])
def test_02_fact_05_dimension_before_the_log(http, name, wait):
    create(http, name)
    path = f"/collections/{name}/points?{wait}"
    text = "Wrong input: Vector dimension error: expected dim: 4, got 3"
    refused(http, "PUT", path, {"points": [{"id": 1, "vector": [1, 2, 3]}]}, 400, text)
    refused(http, "PUT", path, {"points": [{"id": 1, "vector": V}, {"id": 2, "vector": [1, 2, 3]}]},
            400, text)
    refused(http, "PUT", path, {"batch": {"ids": [1], "vectors": [[1, 2, 3]]}}, 400, text)
    assert ids(http, name) == []
    assert put(http, name, [(1, {})])["operation_id"] == 1


def test_02_fact_05_dimension_of_a_named_vector(http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}})
    refused(http, "PUT", f"/collections/{name}/points",
            {"points": [{"id": 1, "vector": {"a": [1, 2, 3]}}]},
            400, "Wrong input: Vector dimension error: expected dim: 4, got 3 for vector 'a'")
    assert ids(http, name) == []


def test_02_fact_06_unknown_vector_name(http, name):
    create(http, name)
    path = f"/collections/{name}/points"
    body = {"points": [{"id": 1, "vector": {"nope": [1, 2, 3, 4]}}]}
    refused(http, "PUT", path + "?wait=true", body, 400,
            "Wrong input: Not existing vector name error: nope")
    assert http.ok("PUT", path + "?wait=false", body)["status"] == "acknowledged"
    assert ids(http, name) == []
    with collection(http, name + "n", {"a": {"size": 4, "distance": "Dot"}}) as named:
        refused(http, "PUT", f"/collections/{named}/points?wait=true",
                {"points": [{"id": 1, "vector": V}]}, 400,
                "Wrong input: Not existing vector name error: ")
        refused(http, "PUT", f"/collections/{named}/points/vectors?wait=true",
                {"points": [{"id": 1, "vector": {"b": V}}]}, 400,
                "Wrong input: Not existing vector name error: b")


@pytest.mark.parametrize("wait", ["true", "false"])
def test_02_fact_07_empty_dense_vector(http, name, wait):
    create(http, name, {"": {"size": 4, "distance": "Dot"}, "a": {"size": 4, "distance": "Dot"}})
    path = f"/collections/{name}/points?wait={wait}"
    for body, where in (
            ({"points": [{"id": 1, "vector": []}]}, "points[0].vector.vector"),
            ({"points": [{"id": 1, "vector": V}, {"id": 2, "vector": []}]}, "points[1].vector.vector"),
            ({"points": [{"id": 1, "vector": {"a": []}}]}, "points[0].vector.?.vector"),
            ({"batch": {"ids": [1], "vectors": [[]]}}, "batch.vector"),
            ({"batch": {"ids": [1], "vectors": {"a": [[]]}}}, "batch.?.vector")):
        refused(http, "PUT", path, body, 422, f"{BODY_ERROR}[{where}: dense vector must not be empty]")
    refused(http, "POST", f"/collections/{name}/points/batch?wait={wait}",
            {"operations": [{"upsert": {"points": [{"id": 1, "vector": V}]}},
                            {"upsert": {"points": [{"id": 1, "vector": []}]}}]}, 422,
            f"{BODY_ERROR}[operations[1].upsert.points[0].vector.vector: dense vector must not be empty]")
    assert ids(http, name) == []


def test_02_fact_08_sparse_validation(http, name):
    http.ok("PUT", f"/collections/{name}", {"sparse_vectors": {"s": {}}})
    path = f"/collections/{name}/points"

    def upsert(indices, values):
        return {"points": [{"id": 1, "vector": {"s": {"indices": indices, "values": values}}}]}

    length = "values: Validation error: must be the same length as indices [{}]"
    unique = "indices: Validation error: must be unique [{}]"
    for wait in ("?wait=true", "?wait=false"):
        refused(http, "PUT", path + wait, upsert([1, 2], [1.0]), 422,
                f"{BODY_ERROR}[points[0].vector.?.{length}]")
        refused(http, "PUT", path + wait, upsert([1, 1], [1.0, 2.0]), 422,
                f"{BODY_ERROR}[points[0].vector.?.{unique}]")
        status, text = error(http, "PUT", path + wait, upsert([1, 1], [1.0]))
        assert status == 422 and set(text[len(BODY_ERROR) + 1:-1].split("; ")) == {
            "points[0].vector.?." + length, "points[0].vector.?." + unique}
    refused(http, "PUT", path, {"batch": {"ids": [1], "vectors": {
        "s": [{"indices": [1, 2], "values": [1.0]}]}}}, 422, f"{BODY_ERROR}[batch.?.{length}]")
    refused(http, "PUT", path + "/vectors", {"points": [
        {"id": 1, "vector": {"s": {"indices": [3, 3], "values": [1, 1]}}}]}, 422,
        f"{BODY_ERROR}[points[0].?.{unique}]")
    assert ids(http, name) == []


def test_02_fact_09_sparse_is_sorted(http, name):
    http.ok("PUT", f"/collections/{name}", {"sparse_vectors": {"s": {}}})
    put(http, name, [
        {"id": 1, "vector": {"s": {"indices": [9, 1], "values": [0.9, 0.1]}}},
        {"id": 2, "vector": {"s": {"indices": [], "values": []}}},
        {"id": 3, "vector": {"s": {"indices": [2**32 - 1, 0, 7], "values": [1, 0, -2]}}},
        {"id": 4, "vector": {}}])
    got = {p["id"]: p["vector"] for p in scroll(http, name, {"with_vector": True})["points"]}
    assert got[1] == {"s": {"indices": [1, 9], "values": [f32(0.1), f32(0.9)]}} or \
        got[1] == {"s": {"indices": [1, 9], "values": [0.1, 0.9]}}
    assert got[2] == {"s": {"indices": [], "values": []}}
    assert got[3] == {"s": {"indices": [0, 7, 2**32 - 1], "values": [0.0, -2.0, 1.0]}}
    assert got[4] == {}
    assert ids(http, name, must({"has_vector": "s"})) == [1, 2, 3]


def test_02_fact_10_cosine_normalises(http, name):
    create(http, name, {"size": 4, "distance": "Cosine"})
    put(http, name, [{"id": 1, "vector": [3, 0, 4, 0]}, {"id": 2, "vector": [0, 0, 0, 0]},
                     {"id": 3, "vector": [1e-4, 0, 0, 0]}, {"id": 4, "vector": [-5, 0, 0, 12]}])
    one = get(http, name, 1)["vector"]
    assert close(one, [0.6, 0, 0.8, 0], 1e-7)
    assert get(http, name, 2)["vector"] == [0, 0, 0, 0]
    assert close(get(http, name, 3)["vector"], [1e-4, 0, 0, 0], 1e-9)  # squares below f32 epsilon
    assert close(get(http, name, 4)["vector"], [-5 / 13, 0, 0, 12 / 13], 1e-7)
    for _ in range(3):  # what was normalised does not drift
        put(http, name, [{"id": 1, "vector": get(http, name, 1)["vector"]}])
    assert get(http, name, 1)["vector"] == one


@pytest.mark.parametrize("distance", ["Dot", "Euclid", "Manhattan"])
def test_02_fact_10_others_are_unchanged(http, name, distance):
    create(http, name, {"size": 4, "distance": distance})
    sent = [[3, 0, 4, 0], [0, 0, 0, 0], [-1.5, 0.1, 1e30, 1e-30]]
    put(http, name, [{"id": i, "vector": v} for i, v in enumerate(sent)])
    for i, v in enumerate(sent):
        assert [f32(x) for x in get(http, name, i)["vector"]] == [f32(x) for x in v]


@pytest.mark.parametrize("distance", ["Dot", "Euclid", "Manhattan", "Cosine"])
def test_02_fact_11_uint8(http, name, distance):
    create(http, name, {"size": 4, "distance": distance, "datatype": "uint8"})
    put(http, name, [{"id": 1, "vector": [-3, 2.9, 300, 7]},
                     {"id": 2, "vector": [-0.9, 255.9, 0, 254.1]}])
    assert get(http, name, 1)["vector"] == [0, 2, 255, 7]
    assert get(http, name, 2)["vector"] == [0, 255, 0, 254]
    assert b'[0.0,2.0,255.0,7.0]' in http.raw("GET", f"/collections/{name}/points/1")[1]


def test_02_fact_12_multivector(http, name):
    create(http, name, {"m": {"size": 2, "distance": "Dot",
                              "multivector_config": {"comparator": "max_sim"}}})
    path = f"/collections/{name}/points?wait=true"

    def upsert(v):
        return {"points": [{"id": 1, "vector": {"m": v}}]}

    where = f"{BODY_ERROR}[points[0].vector.?.data: "
    refused(http, "PUT", path, upsert([[1.5, 2], [3, 4], [5, 6, 7]]), 422,
            where + "all vectors must have the same dimension, found vector with dimension 3]")
    refused(http, "PUT", path, upsert([[1.5, 2], [3], [5, 6, 7]]), 422,
            where + "all vectors must have the same dimension, found vector with dimension 1]")
    refused(http, "PUT", path, upsert([[1.5, 2], [], [3, 4]]), 422,
            where + "all vectors must be non-empty]")
    assert ids(http, name) == []
    put(http, name, [{"id": 1, "vector": {"m": [1, 2]}},
                     {"id": 2, "vector": {"m": [[1, 2], [3, 4], [5, 6]]}}])
    assert get(http, name, 1)["vector"] == {"m": [[1.0, 2.0]]}
    assert get(http, name, 2)["vector"] == {"m": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}


def test_02_fact_12_unnamed_multivector(http, name):
    create(http, name, {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}})
    refused(http, "PUT", f"/collections/{name}/points",
            {"points": [{"id": 1, "vector": [[1, 2], [3]]}]}, 422,
            f"{BODY_ERROR}[points[0].vector.data: all vectors must have the same dimension, found vector "
            "with dimension 1]")
    put(http, name, [{"id": 1, "vector": [7, 8]}, {"id": 2, "vector": [[1, 2], [3, 4]]}])
    assert get(http, name, 1)["vector"] == [[7.0, 8.0]]
    assert get(http, name, 2)["vector"] == [[1.0, 2.0], [3.0, 4.0]]


def test_02_fact_13_some_or_no_vectors(http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    put(http, name, [{"id": 1, "vector": {"b": [1, 2]}}, {"id": 2, "vector": {}},
                     {"id": 3, "vector": {"a": V, "b": [3, 4]}}])
    assert get(http, name, 1)["vector"] == {"b": [1.0, 2.0]}
    assert get(http, name, 2) == {"id": 2, "payload": {}, "vector": {}}
    assert get(http, name, 3)["vector"] == {"a": V, "b": [3.0, 4.0]}
    assert ids(http, name) == [1, 2, 3]
    assert http.ok("GET", f"/collections/{name}")["points_count"] == 3
    hits = http.ok("POST", f"/collections/{name}/points/query", {"query": V, "using": "a", "limit": 9})
    assert [h["id"] for h in hits["points"]] == [3]


def test_02_fact_14_bm25_document(http, name):
    http.ok("PUT", f"/collections/{name}", {"sparse_vectors": {"s": {"modifier": "idf"}}})
    put(http, name, [
        {"id": 1, "vector": {"s": {"text": "hello world", "model": "qdrant/bm25"}}},
        {"id": 2, "vector": {"s": {"text": "hello hello qdrant", "model": "Qdrant/BM25",
                                   "options": {"k": 2, "b": 0, "avg_len": 10}}}},
        {"id": 3, "vector": {"s": {"text": "the and of", "model": "bm25"}}}])
    got = {p["id"]: p["vector"]["s"] for p in scroll(http, name, {"with_vector": True})["points"]}
    value = 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 256))
    assert got[1]["indices"] == [74040069, 613153351] and close(got[1]["values"], [value, value])
    assert got[2]["indices"] == [613153351, 802574768] and close(got[2]["values"], [1.5, 1.0])
    assert got[3] == {"indices": [], "values": []}


def test_02_fact_14_other_models_need_an_address(http, name):
    create(http, name, **{"sparse_vectors": {"s": {}}})
    text = ("Service internal error: InferenceService URL not configured - please provide valid address "
            "in config")
    for wait in ("true", "false"):
        for vector in ({"text": "x", "model": "some/model"}, {"": {"image": "http://x", "model": "m"}},
                       {"object": {"a": 1}, "model": "m"}, {"s": {"text": "x", "model": ""}}):
            refused(http, "PUT", f"/collections/{name}/points?wait={wait}",
                    {"points": [{"id": 1, "vector": V}, {"id": 2, "vector": vector}]}, 500, text)
    assert ids(http, name) == []


# --- writes ----------------------------------------------------------------------------------------

def test_02_fact_15_upsert_replaces_the_whole_point(http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    put(http, name, [{"id": 1, "vector": {"a": V, "b": [1, 2]}, "payload": {"x": 1, "y": [2]}}])
    put(http, name, [{"id": 1, "vector": {"b": [3, 4]}}])
    assert get(http, name, 1) == {"id": 1, "payload": {}, "vector": {"b": [3.0, 4.0]}}
    assert ids(http, name, must({"has_vector": "a"})) == []
    assert ids(http, name, must(match("x", 1))) == []
    for nothing in (None, {}):
        put(http, name, [{"id": 1, "vector": {"a": V}, "payload": {"x": 1}}])
        put(http, name, [{"id": 1, "vector": {"a": V}, "payload": nothing}])
        assert payload(http, name, 1) == {}


def test_02_fact_16_same_id_twice_and_columns(http, name):
    create(http, name)
    put(http, name, [{"id": 1, "vector": V, "payload": {"n": 1, "old": 1}},
                     {"id": 1, "vector": [9, 9, 9, 9], "payload": {"n": 2}}])
    assert get(http, name, 1) == {"id": 1, "payload": {"n": 2}, "vector": [9.0] * 4}
    assert ids(http, name) == [1]
    path = f"/collections/{name}/points?wait=true"
    refused(http, "PUT", path, {"batch": {"ids": [1, 2, 3], "vectors": [V, V]}}, 422,
            f"{BODY_ERROR}[batch.batch: number of ids and vectors must be equal (3 != 2)]")
    refused(http, "PUT", path, {"batch": {"ids": [1, 2], "vectors": {"": [V, V, V]}}}, 422,
            f"{BODY_ERROR}[batch.batch: number of ids and vectors must be equal (2 != 3)]")
    refused(http, "PUT", path, {"batch": {"ids": [1, 2], "vectors": [V, V], "payloads": [{}]}}, 422,
            f"{BODY_ERROR}[batch.batch: number of ids and payloads must be equal (2 != 1)]")
    http.ok("PUT", path, {"batch": {"ids": [5, 6], "vectors": {}, "payloads": [{"a": 1}, None]}})
    assert payloads(http, name) == {1: {"n": 2}, 5: {"a": 1}, 6: {}}


def test_02_fact_17_status_and_numbers(http, name):
    create(http, name)
    path = f"/collections/{name}/points"
    one = {"points": [{"id": 1, "vector": V}]}
    seen = []

    def note(answer, status):
        assert set(answer) == {"operation_id", "status"} and answer["status"] == status
        seen.append(answer["operation_id"])

    for wait, status in (("", "acknowledged"), ("?wait=false", "acknowledged"),
                         ("?wait=true", "completed")):
        join = wait or "?ordering=weak"
        note(http.ok("PUT", path + join, one), status)
        note(http.ok("PUT", path + "/vectors" + wait, one), status)
        note(http.ok("POST", path + "/payload" + wait, {"payload": {"a": 1}, "points": [1]}), status)
        note(http.ok("PUT", path + "/payload" + wait, {"payload": {"a": 1}, "points": [1]}), status)
        note(http.ok("POST", path + "/payload/delete" + wait, {"keys": ["a"], "points": [1]}), status)
        note(http.ok("POST", path + "/payload/clear" + wait, {"points": [1]}), status)
        note(http.ok("POST", path + "/vectors/delete" + wait, {"vector": [""], "points": [1]}), status)
        note(http.ok("PUT", f"/collections/{name}/index{wait}",
                     {"field_name": "a", "field_schema": "integer"}), status)
        note(http.ok("DELETE", f"/collections/{name}/index/a{wait}"), status)
        note(http.ok("POST", path + "/delete" + wait, {"points": [1]}), status)
    assert seen[0] == 1 and all(a < b for a, b in zip(seen, seen[1:])), seen
    # An operation that fails when applied has taken a number, one refused before the log has not.
    assert http("PUT", path + "/vectors?wait=true", {"points": [{"id": 77, "vector": V}]})[0] == 404
    assert http("PUT", path + "?wait=true", {"points": [{"id": 1, "vector": [1]}]})[0] == 400
    note(http.ok("PUT", path + "?wait=true", one), "completed")
    assert seen[-1] == seen[-2] + 2


def test_02_fact_17_index_takes_two_numbers(http, name):
    create(http, name)
    assert put(http, name, [(1, {})])["operation_id"] == 1
    make = {"field_name": "a", "field_schema": "integer"}
    for want in (3, 5):
        assert http.ok("PUT", f"/collections/{name}/index?wait=true", make)["operation_id"] == want
    for want in (7, 9):
        assert http.ok("DELETE", f"/collections/{name}/index/a?wait=true")["operation_id"] == want
    assert put(http, name, [(1, {})])["operation_id"] == 10


def test_02_fact_18_wait_timeout(http, name):
    """Points that are not visible before an optimizer ran, and no optimizer may run."""
    create(http, name, {"size": 64, "distance": "Dot"}, optimizers_config={
        "prevent_unoptimized": True, "indexing_threshold": 10, "max_optimization_threads": 0,
        "default_segment_number": 1})
    put(http, name, [{"id": i, "vector": [i + 0.5] * 64} for i in range(30)])
    answer = put(http, name, [{"id": 100 + i, "vector": [i + 0.5] * 64} for i in range(60)],
                 "wait=true&timeout=1")
    assert answer == {"operation_id": 2, "status": "wait_timeout"}
    http.ok("PATCH", f"/collections/{name}", {"optimizers_config": {"max_optimization_threads": 1}})
    settles(lambda: count(http, name), 90)
    assert len(retrieve(http, name, {"ids": list(range(100, 160))})) == 60


def test_02_fact_18_no_time_at_all(http, name):
    create(http, name)
    for i in range(20):
        answer = put(http, name, [(i, {"i": i})], "wait=true&timeout=0")
        assert answer["status"] in ("completed", "wait_timeout")
    assert put(http, name, [(20, {})], "wait=true")["status"] == "completed"
    assert len(ids(http, name)) == 21


def test_02_fact_19_empty_requests(http, name):
    create(http, name)
    put(http, name, [(1, {"a": 1})])
    path = f"/collections/{name}/points"
    for wait in ("?wait=true", "?wait=false"):
        for method, tail, body in (
                ("PUT", "", {"points": []}), ("PUT", "", {"batch": {"ids": [], "vectors": []}}),
                ("POST", "/delete", {"points": []}), ("POST", "/payload",
                                                      {"payload": {"b": 1}, "points": []}),
                ("PUT", "/payload", {"payload": {"b": 1}, "points": []}),
                ("POST", "/payload/delete", {"keys": ["a"], "points": []}),
                ("POST", "/payload/clear", {"points": []}),
                ("POST", "/vectors/delete", {"vector": [""], "points": []})):
            refused(http, method, path + tail + wait, body, 400, "Bad request: Empty update request")
    assert post(http, name, "payload", {"payload": {}, "points": [1]})["status"] == "completed"
    assert post(http, name, "payload/delete", {"keys": [], "points": [1]})["status"] == "completed"
    assert post(http, name, "delete", {"points": [7, 8, UUID]})["status"] == "completed"
    assert post(http, name, "delete", {"points": [7, 8, UUID]})["status"] == "completed"
    assert payloads(http, name) == {1: {"a": 1}}


@pytest.mark.parametrize("pid", [99, UUID])
def test_02_fact_20_unknown_ids(http, name, pid):
    create(http, name)
    put(http, name, [(1, {"a": 1}), (2, {"a": 2})])
    text = f"Not found: No point with id {pid} found"
    path = f"/collections/{name}/points"
    none = must({"has_id": [pid]})
    for method, tail, body in (
            ("POST", "/payload", {"payload": {"b": 1}}), ("PUT", "/payload", {"payload": {"b": 1}}),
            ("POST", "/payload", {"payload": {"b": 1}, "key": "c.d"}),
            ("POST", "/payload/delete", {"keys": ["a"]}), ("POST", "/payload/clear", {}),
            ("POST", "/vectors/delete", {"vector": [""]})):
        refused(http, method, path + tail + "?wait=true", body | {"points": [pid]}, 404, text)
        assert http.ok(method, path + tail, body | {"points": [pid]})["status"] == "acknowledged"
        answer = http.ok(method, path + tail + "?wait=true", body | {"filter": none})
        assert answer["status"] == "completed", tail
    one = {"points": [{"id": pid, "vector": V}]}
    refused(http, "PUT", path + "/vectors?wait=true", one, 404, text)
    assert http.ok("PUT", path + "/vectors?wait=false", one)["status"] == "acknowledged"
    assert payloads(http, name) == {1: {"a": 1}, 2: {"a": 2}}


def test_02_fact_21_empty_vector_lists(http, name):
    create(http, name, **{"sparse_vectors": {"s": {}}})
    put(http, name, [{"id": 1, "vector": V}])
    path = f"/collections/{name}/points/vectors"
    text = BODY_ERROR + "[points[{}].vector: must specify vectors to update for point]"
    refused(http, "PUT", path, {"points": [{"id": 1, "vector": {}}]}, 422, text.format(0))
    refused(http, "PUT", path, {"points": [{"id": 1, "vector": V}, {"id": 1, "vector": {}}]}, 422,
            text.format(1))
    refused(http, "PUT", path, {"points": [
        {"id": 1, "vector": {"s": {"indices": [], "values": []}}}]}, 422, text.format(0))
    refused(http, "PUT", path, {"points": []}, 422,
            f"{BODY_ERROR}[points: must specify points to update]")
    for selector in ({"points": [1]}, {"filter": {}}):
        refused(http, "POST", path + "/delete", {"vector": []} | selector, 422,
                f"{BODY_ERROR}[vector: must specify vector names to delete]")
    refused(http, "POST", path + "/delete", {"vector": [""]}, 400,
            "Bad request: No filter or points provided")
    assert get(http, name, 1)["vector"] == V


def test_02_fact_22_delete_vectors(http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}},
           sparse_vectors={"s": {}})
    full = {"a": V, "b": [1, 2], "s": {"indices": [1], "values": [2.0]}}
    put(http, name, [{"id": i, "vector": full, "payload": {"i": i}} for i in (1, 2)])
    left = dict(full)
    for gone in ("a", "s", "b"):
        for _ in range(2):
            answer = post(http, name, "vectors/delete", {"points": [1], "vector": [gone]})
            assert answer["status"] == "completed"
        left.pop(gone)
        p = get(http, name, 1)
        assert p["payload"] == {"i": 1} and p["vector"] == left
        assert ids(http, name, must({"has_vector": gone})) == [2]
        for kept in left:
            assert ids(http, name, must({"has_vector": kept})) == [1, 2]
    assert ids(http, name) == [1, 2]
    assert get(http, name, 2)["vector"] == full
    refused(http, "POST", f"/collections/{name}/points/vectors/delete?wait=true",
            {"points": [1], "vector": ["nope"]}, 400, "Wrong input: Not existing vector name error: nope")
    refused(http, "POST", f"/collections/{name}/points/vectors/delete?wait=true",
            {"points": [9], "vector": ["a"]}, 404, "Not found: No point with id 9 found")
    # An unknown name is no error when a filter selects nothing, whatever names are left.
    http.ok("DELETE", f"/collections/{name}/vectors/{list(full)[0]}?wait=true")
    nothing = {"filter": {"must": [{"has_id": [77]}]}, "vector": ["nope"]}
    assert post(http, name, "vectors/delete", nothing)["status"] == "completed"


def test_02_fact_23_null_in_set_and_overwrite(http, name):
    create(http, name)
    put(http, name, [(1, {"a": 1, "b": [1], "c": {"d": 1}})])
    post(http, name, "payload", {"payload": {"a": None, "b": 2}, "points": [1]})
    assert payload(http, name, 1) == {"b": 2, "c": {"d": 1}}
    put_payload(http, name, {"payload": {"a": None, "b": 2}, "points": [1]})
    assert payload(http, name, 1) == {"a": None, "b": 2}


def put_payload(http, name, body):
    return http.ok("PUT", f"/collections/{name}/points/payload?wait=true", body)


def test_02_fact_24_set_payload_with_key(http, name):
    create(http, name)

    def after(before, key, values={"p": 1}):
        put(http, name, [(1, before)])
        post(http, name, "payload", {"payload": values, "key": key, "points": [1]})
        return payload(http, name, 1)

    assert after({"x": 5}, "x.y") == {"x": {"y": {"p": 1}}}
    assert after({"x": 5, "o": 1}, "x.y", {"p": 1, "q": None}) == {"x": {"y": {"p": 1}}, "o": 1}
    assert after({"arr": [{"z": {"q": 0}}, {"w": 1}, 5]}, "arr[].z") == {
        "arr": [{"z": {"q": 0, "p": 1}}, {"w": 1, "z": {"p": 1}}, {"z": {"p": 1}}]}
    assert after({"arr": [{"z": 1}]}, "arr[9]") == {"arr": [{"z": 1}]}
    assert after({"arr": [{"z": 1}]}, "arr[0]") == {"arr": [{"z": 1, "p": 1}]}


def test_02_fact_25_delete_keys(http, name):
    create(http, name)

    def after(before, *keys):
        put(http, name, [(1, before)])
        post(http, name, "payload/delete", {"keys": list(keys), "points": [1]})
        return payload(http, name, 1)

    assert after({"a": [{"b": 1, "c": 2}, {"b": 3}, 5]}, "a[].b") == {"a": [{"c": 2}, {}, 5]}
    assert after({"a": [1, 2]}, "a[0]") == {"a": [1, 2]}
    assert after({"a": [1, 2], "b": 1}, "a[]") == {"a": [], "b": 1}
    refused(http, "POST", f"/collections/{name}/points/payload/delete",
            {"keys": ["a[x]"], "points": [1]},
            400, f"{JSON_ERROR}Invalid json path: 'a[x]'")


def test_02_fact_26_selector_of_payload_operations(http, name):
    create(http, name)
    path = f"/collections/{name}/points/payload"
    text = f"{JSON_ERROR}Either list of point ids or filter must be provided"
    cases = (("POST", "", {"payload": {"b": 1}}, {"a": 1, "b": 1}),
             ("PUT", "", {"payload": {"b": 1}}, {"b": 1}),
             ("POST", "/delete", {"keys": ["a"]}, {}))
    for method, tail, body, want in cases:
        put(http, name, [(1, {"a": 1}), (2, {"a": 2})])
        refused(http, method, path + tail, body, 400, text)
        refused(http, method, path + tail, body | {"points": None, "filter": None}, 400, text)
        assert payloads(http, name) == {1: {"a": 1}, 2: {"a": 2}}
        http.ok(method, path + tail + "?wait=true",
                body | {"points": [1], "filter": must({"has_id": [2]})})
        assert payloads(http, name) == {1: want, 2: {"a": 2}}
    put(http, name, [(1, {"a": 1}), (2, {"a": 2})])
    refused_like(http, "POST", path + "/clear", {}, 400, JSON_ERROR)
    http.ok("POST", path + "/clear?wait=true", {"points": [1], "filter": must({"has_id": [2]})})
    assert payloads(http, name) == {1: {}, 2: {"a": 2}}


def test_02_fact_27_batch(http, name):
    create(http, name)
    path = f"/collections/{name}/points/batch"
    refused(http, "POST", path + "?wait=true", {"operations": [
        {"upsert": {"points": [{"id": 1, "vector": V, "payload": {"a": 1}}]}},
        {"set_payload": {"payload": {"b": 1}, "points": [99]}},
        {"overwrite_payload": {"payload": {"c": 1}, "points": [1]}}]}, 404,
        "Not found: No point with id 99 found")
    assert payloads(http, name) == {1: {"a": 1}}
    # A wrong dimension is found when the element's turn comes.
    refused(http, "POST", path + "?wait=true", {"operations": [
        {"set_payload": {"payload": {"b": 1}, "points": [1]}},
        {"upsert": {"points": [{"id": 2, "vector": [1]}]}},
        {"delete": {"points": [1]}}]}, 400, "Wrong input: Vector dimension error: expected dim: 4, got 1")
    assert payloads(http, name) == {1: {"a": 1, "b": 1}}
    # Validation comes first: nothing is applied.
    refused(http, "POST", path + "?wait=true", {"operations": [
        {"delete": {"points": [1]}}, {"upsert": {"points": [{"id": 2, "vector": []}]}}]}, 422,
        f"{BODY_ERROR}[operations[1].upsert.points[0].vector.vector: dense vector must not be empty]")
    assert payloads(http, name) == {1: {"a": 1, "b": 1}}
    assert http.ok("POST", path, {"operations": []}) == []
    assert http.ok("POST", "/collections/nobody/points/batch", {"operations": []}) == []


def test_02_fact_28_update_mode(http, name):
    create(http, name)
    put(http, name, [(1, {"v": "old"})])
    answer = put(http, name, [(1, {"v": "new"}), (2, {"v": "new"})], update_mode="insert_only")
    assert answer == {"operation_id": 2, "status": "completed"}
    assert payloads(http, name) == {1: {"v": "old"}, 2: {"v": "new"}}
    answer = put(http, name, [(1, {"v": "newer"}), (3, {"v": "newer"})], update_mode="update_only")
    assert answer == {"operation_id": 3, "status": "completed"}
    assert payloads(http, name) == {1: {"v": "newer"}, 2: {"v": "new"}}
    put(http, name, [(1, {"v": 5}), (3, {"v": 5})], update_mode="upsert")
    assert payloads(http, name) == {1: {"v": 5}, 2: {"v": "new"}, 3: {"v": 5}}
    refused_like(http, "PUT", f"/collections/{name}/points",
                 {"points": [{"id": 1, "vector": V}], "update_mode": "never"}, 400, JSON_ERROR)


@pytest.mark.parametrize("mode, inserts, replaces, replaces_match", [
    (None, True, True, True), ("upsert", True, True, True), ("insert_only", True, False, False),
    ("update_only", False, True, True)])
def test_02_fact_28_every_row_of_the_table(http, name, mode, inserts, replaces, replaces_match):
    create(http, name)
    more = {} if mode is None else {"update_mode": mode}
    old, new = {"v": 1}, {"v": 2}
    put(http, name, [(1, old)])
    put(http, name, [(1, new), (9, new)], **more)
    assert payloads(http, name) == {1: new if replaces else old} | ({9: new} if inserts else {})
    put(http, name, [(1, old)])
    post(http, name, "delete", {"points": [9]})
    put(http, name, [(1, new), (9, new)], update_filter=must(match("v", 1)), **more)
    assert payloads(http, name) == {1: new if replaces_match else old} | ({9: new} if inserts else {})
    put(http, name, [(1, old)])
    post(http, name, "delete", {"points": [9]})
    put(http, name, [(1, new), (9, new)], update_filter=must(match("v", 7)), **more)
    assert payloads(http, name) == {1: old} | ({9: new} if inserts else {})


def test_02_fact_29_update_filter(http, name):
    create(http, name)
    put(http, name, [(1, {"v": 1}), (2, {"v": 2})])
    only_one = must(match("v", 1))
    answer = put(http, name, [(2, {"v": 1}), (3, {"v": 5})], update_filter=only_one)
    assert answer == {"operation_id": 2, "status": "completed"}
    assert payloads(http, name) == {1: {"v": 1}, 2: {"v": 2}, 3: {"v": 5}}
    http.ok("PUT", f"/collections/{name}/points?wait=true",
            {"batch": {"ids": [1, 2], "vectors": [V, V], "payloads": [{"v": 9}, {"v": 9}]},
             "update_filter": only_one})
    assert payloads(http, name) == {1: {"v": 9}, 2: {"v": 2}, 3: {"v": 5}}
    hits = http.ok("POST", f"/collections/{name}/points/query", {"query": V, "limit": 9})["points"]
    assert {h["id"]: h["version"] for h in hits} == {1: 3, 2: 1, 3: 2}
    # In update vectors a point that does not match is passed over, one that does not exist is not.
    path = f"/collections/{name}/points/vectors?wait=true"
    http.ok("PUT", path, {"points": [{"id": 1, "vector": [9, 9, 9, 9]},
                                     {"id": 2, "vector": [9, 9, 9, 9]}],
                          "update_filter": must(match("v", 9))})
    assert get(http, name, 1)["vector"] == [9.0] * 4 and get(http, name, 2)["vector"] == V
    refused(http, "PUT", path, {"points": [{"id": 77, "vector": V}],
                                "update_filter": must(match("v", 9))},
            404, "Not found: No point with id 77 found")
