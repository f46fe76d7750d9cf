"""Points: ids of both kinds, vectors by name, both body forms, versions, payload to the last byte."""
import json
import random
import uuid

import numpy as np
import pytest

U64 = 2**64 - 1


def create(http, name, vectors=None):
    http.ok("PUT", f"/collections/{name}", {"vectors": vectors or {"size": 4, "distance": "Dot"}})


def upsert(http, name, points):
    return http.ok("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def get(http, name, pid):
    return http.ok("GET", f"/collections/{name}/points/{pid}")


def test_result_of_updates(http, name):
    create(http, name)
    first = upsert(http, name, [{"id": 1, "vector": [1, 2, 3, 4]}])
    assert first == {"operation_id": 1, "status": "completed"}
    answer = http.ok("PUT", f"/collections/{name}/points",
                     {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
    assert answer == {"operation_id": 2, "status": "acknowledged"}
    answer = http.ok("POST", f"/collections/{name}/points/delete?wait=true", {"points": [99]})
    assert answer == {"operation_id": 3, "status": "completed"}


def test_ids_of_both_kinds(http, name):
    create(http, name)
    u = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    forms = [str(u), u.hex, "{" + str(u) + "}", "urn:uuid:" + str(u), str(u).upper()]
    for i, form in enumerate(forms):
        upsert(http, name, [{"id": form, "vector": [i, 0, 0, 0], "payload": {"form": i}}])
    for i in (0, 1, 2**32, 2**63, U64):
        upsert(http, name, [{"id": i, "vector": [1, 1, 1, 1], "payload": {"n": i}}])
    zero = "00000000-0000-0000-0000-000000000000"
    last = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    upsert(http, name, [{"id": last, "vector": [0, 0, 0, 1]}, {"id": zero, "vector": [0, 0, 1, 0]}])
    listed = http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 100})
    assert [p["id"] for p in listed["points"]] == [0, 1, 2**32, 2**63, U64, zero, str(u), last]
    assert listed["next_page_offset"] is None
    for form in forms:
        p = get(http, name, form.replace("{", "%7B").replace("}", "%7D"))
        assert p["id"] == str(u) and p["payload"] == {"form": len(forms) - 1}
    assert get(http, name, U64)["payload"] == {"n": U64}
    assert get(http, name, "0001")["id"] == 1
    assert get(http, name, "%2B1")["id"] == 1
    status, answer = http("GET", f"/collections/{name}/points/12x")
    assert status == 400
    assert answer["status"]["error"] == 'Wrong input: Can not recognize "12x" as point id'
    status, answer = http("GET", f"/collections/{name}/points/12")
    assert status == 404
    assert answer["status"]["error"] == "Not found: Point with id 12 does not exists!"


def test_bad_ids_in_bodies(http, name):
    create(http, name)
    for bad, shown in (("-1", "-1"), ("1.5", "1.5"), ('"x"', "x"), ("true", "true")):
        body = '{"points":[{"id":%s,"vector":[1,2,3,4]}]}' % bad
        status, answer = http("PUT", f"/collections/{name}/points", body)
        assert status == 400, bad
        assert answer["status"]["error"].startswith(
            f"Format error in JSON body: value {shown} is not a valid point ID, valid values are "
            "either an unsigned integer or a UUID"), answer
    assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == 0


def test_named_vectors(http, name):
    create(http, name, {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 3, "distance": "Dot"}})
    upsert(http, name, [
        {"id": 1, "vector": {"a": [1, 2], "b": [3, 4, 5]}},
        {"id": 2, "vector": {"b": [6, 7, 8]}},
        {"id": 3, "vector": {}}])
    assert get(http, name, 1)["vector"] == {"a": [1, 2], "b": [3, 4, 5]}
    assert get(http, name, 2)["vector"] == {"b": [6, 7, 8]}
    assert get(http, name, 3)["vector"] == {}
    some = http.ok("POST", f"/collections/{name}/points", {"ids": [1, 2, 3], "with_vector": ["a"]})
    assert [p["vector"] for p in some] == [{"a": [1, 2]}, {}, {}]
    none = http.ok("POST", f"/collections/{name}/points", {"ids": [1]})
    assert "vector" not in none[0]
    # The whole point is replaced: what is not mentioned goes.
    upsert(http, name, [{"id": 1, "vector": {"a": [9, 9]}, "payload": {"x": 1}}])
    assert get(http, name, 1)["vector"] == {"a": [9, 9]}
    upsert(http, name, [{"id": 1, "vector": {"b": [1, 1, 1]}}])
    p = get(http, name, 1)
    assert p["vector"] == {"b": [1, 1, 1]} and p["payload"] == {}
    hits = http.ok("POST", f"/collections/{name}/points/query",
                   {"query": [1, 1], "using": "a", "limit": 10})["points"]
    assert [h["id"] for h in hits] == []
    hits = http.ok("POST", f"/collections/{name}/points/query",
                   {"query": [1, 1, 1], "using": "b", "limit": 10})["points"]
    assert [h["id"] for h in hits] == [2, 1]
    status, answer = http("PUT", f"/collections/{name}/points?wait=true",
                          {"points": [{"id": 4, "vector": {"c": [1]}}]})
    assert status == 400
    assert answer["status"]["error"] == "Wrong input: Not existing vector name error: c"


def test_both_body_forms(http, name):
    create(http, name, {"a": {"size": 2, "distance": "Dot"}, "": {"size": 2, "distance": "Dot"}})
    http.ok("PUT", f"/collections/{name}/points?wait=true", {"batch": {
        "ids": [1, 2, 3], "vectors": [[1, 2], [3, 4], [5, 6]],
        "payloads": [{"i": 1}, None, {"i": 3}]}})
    assert get(http, name, 1) == {"id": 1, "payload": {"i": 1}, "vector": [1, 2]}
    assert get(http, name, 2) == {"id": 2, "payload": {}, "vector": [3, 4]}
    http.ok("PUT", f"/collections/{name}/points?wait=true", {"batch": {
        "ids": [4, 5], "vectors": {"a": [[1, 2], [3, 4]], "": [[7, 8], [9, 9]]}}})
    assert get(http, name, 5)["vector"] == {"a": [3, 4], "": [9, 9]}
    for body, text in (
            ({"ids": [1, 2], "vectors": [[1, 2]]},
             "number of ids and vectors must be equal (2 != 1)"),
            ({"ids": [1], "vectors": [[1, 2]], "payloads": [{}, {}]},
             "number of ids and payloads must be equal (1 != 2)")):
        status, answer = http("PUT", f"/collections/{name}/points", {"batch": body})
        assert status == 422, answer
        assert answer["status"]["error"] == f"Validation error in JSON body: [batch.batch: {text}]"
    status, answer = http("PUT", f"/collections/{name}/points", {"x": 1})
    assert status == 400
    assert "Invalid PointInsertOperations format" in answer["status"]["error"]


def test_same_id_twice_last_wins(http, name):
    create(http, name)
    upsert(http, name, [{"id": 1, "vector": [1, 1, 1, 1], "payload": {"n": i}} for i in range(5)])
    assert get(http, name, 1)["payload"] == {"n": 4}
    assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == 1


def test_versions(http, name):
    create(http, name)
    ops = [upsert(http, name, [{"id": i % 3, "vector": [1, 1, 1, i]}])["operation_id"]
           for i in range(9)]
    assert ops == list(range(1, 10))
    hits = http.ok("POST", f"/collections/{name}/points/query", {"query": [0, 0, 0, 1], "limit": 3})
    assert [(h["id"], h["version"]) for h in hits["points"]] == [(2, 9), (1, 8), (0, 7)]


def test_delete_and_reinsert(http, name):
    create(http, name)
    for round_ in range(5):
        upsert(http, name, [{"id": i, "vector": [i, 1, 1, 1], "payload": {"r": round_}}
                            for i in range(20)])
        http.ok("POST", f"/collections/{name}/points/delete?wait=true",
                {"points": list(range(0, 20, 2))})
        listed = http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 100})["points"]
        assert [p["id"] for p in listed] == list(range(1, 20, 2))
        assert all(p["payload"] == {"r": round_} for p in listed)
        hits = http.ok("POST", f"/collections/{name}/points/query",
                       {"query": [1, 0, 0, 0], "limit": 100})["points"]
        assert [h["id"] for h in hits] == list(range(19, 0, -2))


def test_retrieve_order_and_missing(http, name):
    create(http, name)
    upsert(http, name, [{"id": i, "vector": [i, 0, 0, 0]} for i in range(10)])
    got = http.ok("POST", f"/collections/{name}/points", {"ids": [7, 99, 3, 3]})
    assert sorted({p["id"] for p in got}) == [3, 7]
    assert http.ok("POST", f"/collections/{name}/points", {"ids": []}) == []


def test_scroll_pages(http, name):
    create(http, name)
    ids = random.Random(5).sample(range(10**9), 500)
    for i in range(0, 500, 50):
        upsert(http, name, [{"id": x, "vector": [1, 1, 1, 1], "payload": {"x": x}}
                            for x in ids[i:i + 50]])
    for limit in (1, 7, 499, 500, 501):
        seen, offset = [], None
        while True:
            page = http.ok("POST", f"/collections/{name}/points/scroll",
                           {"limit": limit, "offset": offset, "with_payload": False})
            assert len(page["points"]) <= limit
            seen += [p["id"] for p in page["points"]]
            offset = page["next_page_offset"]
            if offset is None:
                break
            if limit == 1 and len(seen) >= 20:
                break
        want = sorted(ids)
        assert seen == (want[:20] if limit == 1 else want)
    between = sorted(ids)[100] + 1
    page = http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 2, "offset": between})
    assert [p["id"] for p in page["points"]] == [x for x in sorted(ids) if x >= between][:2]
    assert http("POST", f"/collections/{name}/points/scroll", {"limit": 0})[0] == 422


# --- payload ---------------------------------------------------------------------------------------

FIDELITY = [
    '{}',
    '{"a":null,"b":true,"c":false}',
    '{"z":1,"a":2,"m":3,"":4}',
    '{"n":[0,-1,9223372036854775807,-9223372036854775808,9223372036854775808,'
    '18446744073709551615]}',
    '{"f":[1.0,-0.0,0.1,1e300,5e-324,1.7976931348623157e308,0.30000000000000004,1e20,1e21,123456.0]}',
    '{"mixed":[1,1.0,"1",null,true,{},[]]}',
    '{"nested":{"a":{"b":{"c":[[[[]]],{"d":[{}]}]}}}}',
    '{"text":"ü日本\U0001f600 tab\\t nl\\n quote\\" back\\\\ slash/ nul\\u0000"}',
    '{"ключ":"значение","日":"本"}',
    '{"a.b":1,"a[0]":2,"a b":3,"\\"q\\"":4}',
    '{"empty":"","list":[],"obj":{}}',
    '{"long":"' + "x" * 70000 + '"}',
]


def payload_text(raw):
    """The payload's text out of {"result":{"id":1,"payload":...,"vector":[..]},...}."""
    text = raw.decode()
    start = text.index('"payload":') + 10
    depth, quoted, escaped = 0, False, False
    for i, c in enumerate(text[start:]):
        if quoted:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c in "{[":
            depth += 1
        elif c in "}]":
            depth -= 1
            if depth == 0:
                return text[start:start + i + 1]
    raise AssertionError("no end")


@pytest.mark.parametrize("i", range(len(FIDELITY)))
def test_payload_is_kept_byte_for_byte(http, name, i):
    create(http, name)
    body = '{"points":[{"id":1,"vector":[1,2,3,4],"payload":%s}]}' % FIDELITY[i]
    status, answer = http("PUT", f"/collections/{name}/points?wait=true", body.encode())
    assert status == 200, answer
    status, raw = http.raw("GET", f"/collections/{name}/points/1")
    assert status == 200
    got = payload_text(raw)
    # Escapes may be written in another spelling of the same characters; nothing else may differ.
    same = json.loads(got, object_pairs_hook=list, parse_float=str, parse_int=str)
    want = json.loads(FIDELITY[i], object_pairs_hook=list, parse_float=str, parse_int=str)
    assert normal(same) == normal(want)


def normal(v):
    """Number texts with one spelling of the exponent (1e20, 1e+20, 1.0e20)."""
    if isinstance(v, list):
        return [normal(x) for x in v]
    if isinstance(v, tuple):
        return tuple(normal(x) for x in v)
    if isinstance(v, str) and v[:1] in "-0123456789" and v[1:2] in ".e" + "0123456789" or v == "":
        try:
            if any(c in v for c in ".eE"):
                return ("float", float(v).hex())
            return ("int", int(v))
        except (ValueError, TypeError):
            return v
    return v


def test_float_text_is_shortest(http, name):
    create(http, name)
    values = [1.0, -0.0, 0.1, 1e300, 0.30000000000000004, 2.5e-5, 123456789.0, 1e15, 1e16]
    http.ok("PUT", f"/collections/{name}/points?wait=true",
            {"points": [{"id": 1, "vector": [1, 2, 3, 4], "payload": {"f": values}}]})
    text = payload_text(http.raw("GET", f"/collections/{name}/points/1")[1])
    items = text[text.index("[") + 1:text.index("]")].split(",")
    for t, v in zip(items, values):
        assert float(t) == v and ("." in t or "e" in t), t
        assert str(float(t)) == str(v)
    assert items[0] == "1.0" and items[1] == "-0.0" and items[2] == "0.1"


def test_duplicate_payload_key_last_wins(http, name):
    create(http, name)
    http.ok("PUT", f"/collections/{name}/points?wait=true",
            '{"points":[{"id":1,"vector":[1,2,3,4],"payload":{"a":1,"b":2,"a":3}}]}')
    assert payload_text(http.raw("GET", f"/collections/{name}/points/1")[1]) == '{"a":3,"b":2}'


def test_payload_selectors(http, name):
    create(http, name)
    upsert(http, name, [{"id": 1, "vector": [1, 2, 3, 4],
                         "payload": {"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}]}}])

    def select(s):
        return http.ok("POST", f"/collections/{name}/points", {"ids": [1], "with_payload": s})[0]

    assert "payload" not in select(False) or select(False)["payload"] is None
    assert select(True)["payload"]["b"] == {"c": 2, "d": 3}
    assert select(["a", "b.c"])["payload"] == {"a": 1, "b": {"c": 2}}
    assert select({"include": ["b"]})["payload"] == {"b": {"c": 2, "d": 3}}
    assert select({"exclude": ["b", "e"]})["payload"] == {"a": 1}
    assert select({"include": ["e[].f"]})["payload"] == {"e": [{"f": 1}]}
    assert select(["none"])["payload"] == {}


def test_random_documents(http, name):
    create(http, name)
    rng = random.Random(11)

    def value(depth):
        kind = rng.randrange(8 if depth < 5 else 6)
        if kind == 0:
            return rng.choice([None, True, False])
        if kind == 1:
            return rng.randrange(-2**63, 2**64)
        if kind == 2:
            return rng.choice([rng.random(), rng.gauss(0, 1e10), rng.random() * 10**rng.randrange(-300, 300)])
        if kind in (3, 4):
            return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xa0, 0x2000),
                                           rng.randrange(0x1f300, 0x1f600), 9, 10, 34, 92]))
                           for _ in range(rng.randrange(20)))
        if kind == 5:
            return [rng.randrange(100) for _ in range(rng.randrange(6))]
        if kind == 6:
            return [value(depth + 1) for _ in range(rng.randrange(5))]
        return {f"k{rng.randrange(30)}": value(depth + 1) for _ in range(rng.randrange(6))}

    docs = {i: {f"f{j}": value(0) for j in range(rng.randrange(6))} for i in range(300)}
    for i in range(0, 300, 30):
        upsert(http, name, [{"id": j, "vector": [1, 2, 3, 4], "payload": docs[j]}
                            for j in range(i, i + 30)])
    got = http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 1000})["points"]
    for p in got:
        assert json.dumps(p["payload"]) == json.dumps(docs[p["id"]])
    assert len(got) == 300


# --- vectors ---------------------------------------------------------------------------------------

def test_vectors_come_back_as_f32(http, name):
    dim = 129
    create(http, name, {"size": dim, "distance": "Euclid"})
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(50, dim)) * 10.0 ** rng.integers(-20, 20, size=(50, dim))).astype(np.float32)
    rows[0, :6] = [0.0, -0.0, 1e-45, 3.4028235e38, -3.4028235e38, 1.17549435e-38]
    upsert(http, name, [{"id": i, "vector": r.astype(float).tolist()} for i, r in enumerate(rows)])
    got = http.ok("POST", f"/collections/{name}/points/scroll", {"limit": 100, "with_vector": True})
    back = np.array([p["vector"] for p in got["points"]], dtype=np.float32)
    assert back.tobytes() == rows.tobytes()


def test_cosine_is_normalised(http, name):
    create(http, name, {"size": 3, "distance": "Cosine"})
    upsert(http, name, [{"id": 1, "vector": [3, 0, 4]}, {"id": 2, "vector": [0, 0, 0]}])
    np.testing.assert_allclose(get(http, name, 1)["vector"], [0.6, 0, 0.8], rtol=1e-6)
    assert get(http, name, 2)["vector"] == [0, 0, 0]


def test_wrong_dimensions_change_nothing(http, name):
    create(http, name)
    upsert(http, name, [{"id": 1, "vector": [1, 2, 3, 4]}])
    for bad in ([1, 2, 3], [1, 2, 3, 4, 5]):
        for wait in ("true", "false"):
            status, answer = http("PUT", f"/collections/{name}/points?wait={wait}", {"points": [
                {"id": 2, "vector": [4, 4, 4, 4]}, {"id": 1, "vector": bad}]})
            assert status == 400
            assert answer["status"]["error"].startswith(
                f"Wrong input: Vector dimension error: expected dim: 4, got {len(bad)}")
    assert get(http, name, 1)["vector"] == [1, 2, 3, 4]
    assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == 1


def test_empty_updates(http, name):
    create(http, name)
    for path, body in (("/points", {"points": []}),
                       ("/points", {"batch": {"ids": [], "vectors": []}})):
        status, answer = http("PUT", f"/collections/{name}{path}", body)
        assert (status, answer["status"]["error"]) == (400, "Bad request: Empty update request")
    status, answer = http("POST", f"/collections/{name}/points/delete", {"points": []})
    assert (status, answer["status"]["error"]) == (400, "Bad request: Empty update request")


def test_many_tiny_vectors_in_one_body(http, name):
    """What a body may need while it is read is bounded by its size, but not so tightly that short
    vectors, which cost more than their text, do not fit."""
    n = 20000
    create(http, name, {"size": 1, "distance": "Dot"})
    http.ok("PUT", f"/collections/{name}/points?wait=true",
            {"batch": {"ids": list(range(n)), "vectors": [[1]] * n}})
    assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == n
    upsert(http, name, [{"id": i, "vector": [2]} for i in range(n)])
    assert http.ok("POST", f"/collections/{name}/points/count", {})["count"] == n
    got = http.ok("POST", f"/collections/{name}/points", {"ids": [0, n - 1], "with_vector": True})
    assert [p["vector"] for p in got] == [[2], [2]]


def test_large_batch_and_count(http, name):
    create(http, name, {"size": 32, "distance": "Dot"})
    vec = [0.5] * 32
    for start in range(0, 6000, 2000):
        upsert(http, name, [{"id": i, "vector": vec, "payload": {"i": i}}
                            for i in range(start, start + 2000)])
    for body in ({}, {"exact": True}, {"exact": False}):
        assert http.ok("POST", f"/collections/{name}/points/count", body)["count"] == 6000
