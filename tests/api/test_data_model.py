"""What a user of points expects beyond the acceptance facts: nothing is lost, changed or half done.

Payload fidelity on every way in, every payload operation against a second implementation of its
tables, batches, versions, ordered paging, vectors of every kind, schema changes with a crash between
each step or with writes beside them, and random histories against a model. Seeds are in the test's
name; a failure can be run again by it.
"""
import copy
import json
import random
import struct
import threading
import uuid

import numpy as np
import pytest

from facts import (U64, UUID, V, build, count, crash, create, get, ids, index, indexed_points, match,
                   must, must_not, payload, payloads, post, put, refused, retrieve, schema_of, scroll,
                   settles, states)
from harness import Http

QUERY = "/collections/{}/points/query"


@pytest.fixture(autouse=True)
def running(server):
    """One test that ends the server fails by itself, not all after it."""
    if not server.alive():
        server.http.close()
        server.start()


# --- payload fidelity ------------------------------------------------------------------------------

# sent as text, read back as text; None where it must come back as it was sent
FIDELITY = [
    ('{"u":[0,18446744073709551615,9223372036854775808],"i":[-9223372036854775808,-1]}', None),
    ('{"f":[-0.0,0.0,1e300,-1e300,5e-324,1.7976931348623157e308,0.1,1.0,100000.0,0.30000000000000004]}',
     None),
    ('{"beyond":[18446744073709551616,-9223372036854775809,-0]}',
     '{"beyond":[1.8446744073709552e19,-9.223372036854775809e18,-0.0]}'),
    ('{"a":[1,1.0],"b":[true,false,null],"c":[[],{},[[]],[{}],""]}', None),
    ('{"":{"":{"":[{"":null}]}}}', None),
    ('{"a.b":1,"a[0]":2,"a b":3,"$":4,"/":5,"\\"":6,"\\\\":7,"\\n":8,"[]":9}', None),
    ('{"z":1,"a":2,"m":{"z":1,"a":2},"0":3}', None),
    ('{"s":"ü \\u0000 \\u001f \\t\\r\\n \\" \\\\ / \u2028 \ufeff \U0001f600 日本語 e\u0301 \u202e"}',
     None),
    ('{"ключ":{"日":"本"},"\U0001f600":[1]}', None),
    ('{"surrogates":"\\ud83d\\ude00"}', '{"surrogates":"\U0001f600"}'),
    ('{"twice":1,"twice":{"x":1,"x":2}}', '{"twice":{"x":2}}'),
    ('{"long":"' + "é" * 40000 + '","list":[' + ",".join(map(str, range(2000))) + "]}", None),
    ('{"deep":' + '{"d":[' * 40 + "1" + "]}" * 40 + "}", None),
    ("{}", None),
]
WAYS = ["points", "batch", "set", "overwrite", "key", "update-batch", "set-filter"]


def exact(text):
    """The document with its numbers as texts: integers and floats stay different, so do 0 and -0."""
    def pairs(items):
        return ("object", *items)

    return json.loads(text, object_pairs_hook=pairs, parse_int=lambda t: ("int", int(t)),
                      parse_float=lambda t: ("float", struct.pack("d", float(t))))


def member(doc, key):
    return next(v for k, v in doc[1:] if k == key)


def raw_payload(http, name, pid):
    status, data = http.raw("GET", f"/collections/{name}/points/{pid}")
    assert status == 200, data
    return member(member(exact(data.decode()), "result"), "payload")


@pytest.mark.parametrize("way", WAYS)
def test_payload_comes_back_as_it_was_sent(server, http, name, way):
    create(http, name)
    base = f"/collections/{name}/points"
    wanted = {}
    for i, (sent, want) in enumerate(FIDELITY):
        point = '{"id":%d,"vector":[1,2,3,4],"payload":%s}'
        if way not in ("points", "batch"):
            put(http, name, [(i, {})])
        method, path, body = {
            "points": ("PUT", "", '{"points":[' + point % (i, sent) + "]}"),
            "batch": ("PUT", "", '{"batch":{"ids":[%d],"vectors":[[1,2,3,4]],"payloads":[%s]}}' % (i,
                sent)),
            "set": ("POST", "/payload", '{"payload":%s,"points":[%d]}' % (sent, i)),
            "overwrite": ("PUT", "/payload", '{"payload":%s,"points":[%d]}' % (sent, i)),
            "key": ("POST", "/payload", '{"payload":%s,"key":"under","points":[%d]}' % (sent, i)),
            "update-batch": ("POST", "/batch", '{"operations":[{"upsert":{"points":[' + point % (i,
                sent) + "]}}]}"),
            "set-filter": ("POST", "/payload", '{"payload":%s,"filter":{"must":[{"has_id":[%d]}]}}' % (sent, i)),
        }[way]
        http.ok(method, base + path + "?wait=true", body.encode())
        wanted[i] = exact(want or sent)
    for _ in range(2):
        for i, want in wanted.items():
            got = raw_payload(http, name, i)
            assert (member(got, "under") if way == "key" else got) == want, FIDELITY[i][0][:200]
        crash(server)


def test_payload_order_and_null_root(http, name):
    create(http, name)
    for body in ("null", "{}"):
        http.ok("PUT", f"/collections/{name}/points?wait=true",
                '{"points":[{"id":1,"vector":[1,2,3,4],"payload":%s}]}' % body)
        assert payload(http, name, 1) == {}
    for bad in ("[]", "5", '"x"', "true"):
        status, answer = http("PUT", f"/collections/{name}/points?wait=true",
                              '{"points":[{"id":2,"vector":[1,2,3,4],"payload":%s}]}' % bad)
        assert status == 400 and "expected a map" in answer["status"]["error"]
    status, _ = http("PUT", f"/collections/{name}/points?wait=true",
                     '{"points":[{"id":2,"vector":[1,2,3,4],"payload":{"a":"\\ud800"}}]}')
    assert status == 400 and ids(http, name) == [1]


# --- payload operations: the tables of the chapter as a second implementation ------------------------

def path_steps(path):
    """The steps of a path: a key, a number, or "[]" as None."""
    out, i = [], 0
    while i < len(path):
        if path[i] == ".":
            i += 1
        elif path[i] == "[":
            end = path.index("]", i)
            out.append(None if end == i + 1 else int(path[i + 1:end]))
            i = end + 1
        elif path[i] == '"':
            end = path.index('"', i + 1)
            out.append(path[i + 1:end])
            i = end + 1
        else:
            end = i
            while end < len(path) and path[end] not in '.["':
                end += 1
            out.append(path[i:end])
            i = end
    return out


def merged(into, values):
    out = dict(into)
    for k, v in values.items():
        if v is None:
            out.pop(k, None)
        else:
            out[k] = v
    return out


def set_at(node, steps, values):
    """The node after `values` were merged at steps."""
    if not steps:
        return merged(node if isinstance(node, dict) else {}, values)
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        node = dict(node) if isinstance(node, dict) else {}
        node[step] = set_at(node.get(step), rest, values)
        return node
    if not isinstance(node, list):
        return []
    return [set_at(e, rest, values) if step is None or step == i else e for i, e in enumerate(node)]


def delete_at(node, steps):
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if not isinstance(node, dict) or step not in node:
            return node
        if not rest:
            return {k: v for k, v in node.items() if k != step}
        return {k: delete_at(v, rest) if k == step else v for k, v in node.items()}
    if not isinstance(node, list):
        return node
    if not rest:
        return [] if step is None else node
    return [delete_at(e, rest) if step is None or step == i else e for i, e in enumerate(node)]


def values_at(node, steps):
    if not steps:
        return [node]
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        return values_at(node[step], rest) if isinstance(node, dict) and step in node else []
    if not isinstance(node, list):
        return []
    return [v for i, e in enumerate(node) if step is None or step == i for v in values_at(e, rest)]


def seen_by_conditions(doc, path):
    return [e for v in values_at(doc, path_steps(path)) for e in (v if isinstance(v, list) else [v])]


SET_ROWS = [  # key, before, after set {"p": 1}: every row of the table
    (None, {}, {"p": 1}), (None, {"p": [2], "q": 1}, {"p": 1, "q": 1}),
    ("x", {"x": {"q": 2}}, {"x": {"q": 2, "p": 1}}),            # key step, object has key
    ("x.y", {}, {"x": {"y": {"p": 1}}}),                        # key missing, a key follows
    ("x", {"o": 1}, {"o": 1, "x": {"p": 1}}),                   # key missing, the end follows
    ("x[]", {}, {"x": []}), ("x[0]", {}, {"x": []}),            # key missing, an array step follows
    ("x[].y", {}, {"x": []}), ("x.y[3].z", {"x": {}}, {"x": {"y": []}}),
    ("x.y", {"x": 5}, {"x": {"y": {"p": 1}}}),                  # value is not an object
    ("x.y", {"x": [1]}, {"x": {"y": {"p": 1}}}), ("x.y", {"x": None}, {"x": {"y": {"p": 1}}}),
    ("x[1]", {"x": [{}, {"q": 2}]}, {"x": [{}, {"q": 2, "p": 1}]}),   # [n] inside
    ("x[1].y", {"x": [1, 2]}, {"x": [1, {"y": {"p": 1}}]}),
    ("x[2]", {"x": [1, 2]}, {"x": [1, 2]}), ("x[2].y", {"x": [1, 2]}, {"x": [1, 2]}),   # too short
    ("x[0]", {"x": 5}, {"x": []}), ("x[]", {"x": {"y": 1}}, {"x": []}),       # not an array
    ("x[0].y", {"x": "s"}, {"x": []}), ("x[].y", {"x": None}, {"x": []}),
    ("x[]", {"x": [1, {"q": 2}]}, {"x": [{"p": 1}, {"q": 2, "p": 1}]}),       # every element
    ("x[].y", {"x": [{"y": 1}, {}, 5]}, {"x": [{"y": {"p": 1}}] * 3}),
    ("x[][]", {"x": [[{"k": 1}], [], 7]}, {"x": [[{"k": 1, "p": 1}], [], []]}),
    ("x", {"x": 5}, {"x": {"p": 1}}), ("x", {"x": [1]}, {"x": {"p": 1}}),     # end is not an object
    ('"a.b".c', {"a": {"b": 1}}, {"a": {"b": 1}, "a.b": {"c": {"p": 1}}}),
    ('""', {}, {"": {"p": 1}}), ('a."".b', {"a": {"": 1}}, {"a": {"": {"b": {"p": 1}}}}),
]


def test_set_payload_every_row(server, http, name):
    create(http, name)
    put(http, name, [(i, before) for i, (_, before, _) in enumerate(SET_ROWS)])
    for i, (key, before, after) in enumerate(SET_ROWS):
        body = {"payload": {"p": 1}, "points": [i]} | ({} if key is None else {"key": key})
        post(http, name, "payload", body)
        assert set_at(before, path_steps(key or ""), {"p": 1}) == after, "the second implementation"
        assert payload(http, name, i) == after, (key, before)
    want = {i: after for i, (_, _, after) in enumerate(SET_ROWS)}
    crash(server)
    assert payloads(http, name) == want


def test_merge_rules(http, name):
    create(http, name)
    before = {"keep": 1, "list": [1, 2, 3], "obj": {"a": 1, "b": 2}, "gone": 5}
    change = {"list": [9], "obj": {"c": None}, "gone": None, "nobody": None, "new": {"x": None}}
    after = {"keep": 1, "list": [9], "obj": {"c": None}, "new": {"x": None}}
    put(http, name, [(1, before), (2, {"at": before})])
    post(http, name, "payload", {"payload": change, "points": [1]})
    post(http, name, "payload", {"payload": change, "points": [2], "key": "at"})
    assert payloads(http, name) == {1: after, 2: {"at": after}}
    http.ok("PUT", f"/collections/{name}/points/payload?wait=true",
            {"payload": change, "points": [1, 2], "key": "ignored"})
    assert payloads(http, name) == {1: change, 2: change}
    http.ok("PUT", f"/collections/{name}/points/payload?wait=true", {"payload": {}, "points": [1]})
    post(http, name, "payload/clear", {"points": [2]})
    assert payloads(http, name) == {1: {}, 2: {}}
    assert get(http, name, 2)["vector"] == V


def random_document(rng, depth=0):
    kind = rng.randrange(7 if depth < 3 else 4)
    if kind < 2:
        return rng.randrange(4)
    if kind == 2:
        return rng.choice(["x", "y", "", "z"])
    if kind == 3:
        return rng.choice([None, True, [], {}])
    if kind == 4:
        return [random_document(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["a", "b", "c", "d.e", ""]): random_document(rng, depth + 1)
            for _ in range(rng.randrange(4))}


def random_payload(rng):
    return {k: random_document(rng) for k in ("a", "b", "c", "d.e", "") if rng.random() < 0.6}


def random_path(rng, longest=3):
    path = rng.choice(["a", "b", "c", '"d.e"', '""'])
    for _ in range(rng.randrange(longest)):
        path += rng.choice([".a", ".b", ".c", '."d.e"', '.""', "[]", "[]", "[0]", "[1]"])
    return path


@pytest.mark.parametrize("seed", range(3))
def test_random_payload_operations(server, http, name, seed):
    rng = random.Random(seed)
    create(http, name)
    model = {i: random_payload(rng) for i in range(40)}
    put(http, name, list(model.items()))
    for field in ("a", "a.b", "a[].b", "b[]", '"d.e"'):
        index(http, name, field, rng.choice(["integer", "keyword"]))
    for step in range(150):
        some = rng.sample(sorted(model), rng.randrange(1, 6))
        path, values = random_path(rng), random_payload(rng)
        what = rng.randrange(6)
        if what < 3:
            post(http, name, "payload", {"payload": values, "key": path, "points": some})
            for i in some:
                model[i] = set_at(model[i], path_steps(path), values)
        elif what == 3:
            post(http, name, "payload/delete", {"keys": [path, random_path(rng)][:1], "points": some})
            for i in some:
                model[i] = delete_at(model[i], path_steps(path))
        elif what == 4:
            post(http, name, "payload", {"payload": values, "points": some})
            for i in some:
                model[i] = merged(model[i], values)
        else:
            http.ok("PUT", f"/collections/{name}/points/payload?wait=true",
                    {"payload": values, "points": some})
            for i in some:
                model[i] = values
        got = {p["id"]: p["payload"] for p in retrieve(http, name, {"ids": some, "with_payload": True})}
        assert got == {i: model[i] for i in some}, f"seed {seed} step {step}: {what} at {path} with {values}"
        if step % 10 == 9:
            check_matches(http, name, model, rng)
    crash(server)
    assert payloads(http, name) == model
    for _ in range(10):
        check_matches(http, name, model, rng)


def check_matches(http, name, model, rng):
    """A few conditions on paths with and without index, by a second implementation of values(path)."""
    for path in ("a", "a.b", "a[].b", "b[]", '"d.e"', random_path(rng)):
        n, s = rng.randrange(4), rng.choice(["x", "y", ""])

        def matching(holds):
            return [i for i in sorted(model) if holds(seen_by_conditions(model[i], path))]

        def number(v):
            return isinstance(v, int) and not isinstance(v, bool)

        for condition, want in (
                (match(path, n), matching(lambda vs: any(number(v) and v == n for v in vs))),
                (match(path, s), matching(lambda vs: any(v == s and isinstance(v, str) for v in vs))),
                (match(path, {"any": [n, 3]}), matching(lambda vs: any(number(v) and v in (n, 3)
                                                                       for v in vs))),
                ({"key": path, "range": {"gte": n, "lt": 3}},
                 matching(lambda vs: any(number(v) and n <= v < 3 for v in vs)))):
            assert ids(http, name, must(condition)) == want, condition
        plain = values_at
        want = [i for i in sorted(model) if all(v in (None, []) and not isinstance(v, (bool, int))
                                                for v in plain(model[i], path_steps(path)))]
        assert ids(http, name, must({"is_empty": {"key": path}})) == want, path


# --- batches, versions, paging -----------------------------------------------------------------------

def test_batch_of_every_operation(server, http, name):
    create(http, name, {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    operations = [
        {"upsert": {"points": [{"id": 1, "vector": {"a": V}, "payload": {"p": 1}},
                               {"id": 2, "vector": {"a": V}, "payload": {"p": 2}}]}},
        {"upsert": {"batch": {"ids": [3, 4], "vectors": {"b": [[1, 2], [3, 4]]},
                              "payloads": [{"p": 3}, None]}}},
        {"set_payload": {"payload": {"s": 1}, "points": [1]}},
        {"set_payload": {"payload": {"t": 1}, "key": "deep.er", "filter": must(match("p", 2))}},
        {"overwrite_payload": {"payload": {"o": None}, "points": [3]}},
        {"delete_payload": {"keys": ["p"], "points": [1, 2]}},
        {"update_vectors": {"points": [{"id": 1, "vector": {"b": [7, 8]}}]}},
        {"delete_vectors": {"points": [2], "vector": ["a"]}},
        {"upsert": {"points": [{"id": 1, "vector": {}, "payload": {}}, {"id": 5, "vector": {}}],
                    "update_mode": "insert_only"}},
        {"clear_payload": {"points": [4]}}, {"clear_payload": {"filter": must({"has_id": [3]})}},
        {"delete": {"points": [4, 99]}}, {"delete": {"filter": must({"has_id": [5]})}}]
    answer = http.ok("POST", f"/collections/{name}/points/batch?wait=true", {"operations": operations})
    assert answer == [{"operation_id": i + 1, "status": "completed"} for i in range(len(operations))]
    want = [{"id": 1, "payload": {"s": 1}, "vector": {"a": V, "b": [7.0, 8.0]}},
            {"id": 2, "payload": {"deep": {"er": {"t": 1}}}, "vector": {}},
            {"id": 3, "payload": {}, "vector": {"b": [1.0, 2.0]}}]
    for _ in range(2):
        assert scroll(http, name, {"with_vector": True})["points"] == want
        crash(server)


def test_batch_without_wait_and_bad_elements(http, name):
    create(http, name)
    path = f"/collections/{name}/points/batch"
    up = {"upsert": {"points": [{"id": 1, "vector": V, "payload": {"a": 1}}]}}
    # Without wait nobody is told of an error of application, and nothing stops.
    answer = http.ok("POST", path, {"operations": [
        up, {"set_payload": {"payload": {"b": 1}, "points": [99]}},
        {"set_payload": {"payload": {"c": 1}, "points": [1]}}]})
    assert [(a["operation_id"], a["status"]) for a in answer] == [
        (1, "acknowledged"), (2, "acknowledged"), (3, "acknowledged")]
    put(http, name, [(2, {})])
    assert payload(http, name, 1) == {"a": 1, "c": 1}
    # The first of several keys in the chapter's order decides.
    http.ok("POST", path + "?wait=true", {"operations": [
        {"clear_payload": {"points": [1]}, "set_payload": {"payload": {"d": 1}, "points": [1]}}]})
    assert payload(http, name, 1) == {"a": 1, "c": 1, "d": 1}
    for bad in ({}, {"nope": 1}, 5, None, {"upsert": {}}, {"delete": {"points": ["x"]}},
                {"set_payload": {"points": [1]}}):
        refused(http, "POST", path, {"operations": [{"clear_payload": {"points": [1]}}, bad]}, 400,
                "Format error in JSON body: data did not match any variant of untagged enum UpdateOperation")
    # Unknown names and empty operations are found when their turn comes.
    for bad, text in (({"upsert": {"points": [{"id": 3, "vector": {"no": [1]}}]}},
                       "Wrong input: Not existing vector name error: no"),
                      ({"delete": {"points": []}}, "Bad request: Empty update request")):
        put(http, name, [(1, {"n": 0})])
        refused(http, "POST", path + "?wait=true", {"operations": [
            {"set_payload": {"payload": {"n": 1}, "points": [1]}}, bad,
            {"set_payload": {"payload": {"n": 2}, "points": [1]}}]}, 400, text)
        assert payload(http, name, 1) == {"n": 1}


def versions(http, name):
    hits = http.ok("POST", QUERY.format(name), {"query": V, "limit": 100})["points"]
    return {h["id"]: h["version"] for h in hits}


def test_versions_in_search_results(server, http, name):
    create(http, name)
    want = {}

    def did(answer, *touched):
        for i in touched:
            want[i] = answer["operation_id"]
        assert versions(http, name) == want

    did(put(http, name, [(i, {"n": i}) for i in (1, 2, 3)]), 1, 2, 3)
    did(post(http, name, "payload", {"payload": {"a": 1}, "points": [1]}), 1)
    did(put(http, name, [(2, {"n": 9})], update_mode="insert_only"))
    did(put(http, name, [(2, {"n": 9})], update_filter=must(match("n", 7))))
    did(post(http, name, "payload", {"payload": {}, "points": [1]}), 1)
    did(post(http, name, "payload/delete", {"keys": ["nobody"], "points": [2]}), 2)
    did(http.ok("PUT", f"/collections/{name}/points/vectors?wait=true",
                {"points": [{"id": 3, "vector": V}]}), 3)
    did(index(http, name, "n", "integer"))
    did(post(http, name, "payload/clear", {"filter": must(match("n", 3))}), 3)
    did(post(http, name, "payload", {"payload": {"a": 2}, "filter": must(match("n", 77))}))
    did(put(http, name, [(4, {})]), 4)
    did(post(http, name, "delete", {"points": [99]}))
    crash(server)
    assert versions(http, name) == want
    did(put(http, name, [(1, {})]), 1)
    searched = http.ok("POST", f"/collections/{name}/points/search", {"vector": V, "limit": 100})
    assert {h["id"]: h["version"] for h in searched} == want
    assert "version" not in get(http, name, 1)


@pytest.mark.parametrize("kind", ["integer", "float", "datetime"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_ordered_paging(server, http, name, kind, direction):
    """Pages by start_from and must_not has_id of what was seen there: everything once, in order."""
    rng = random.Random(f"{kind}{direction}")

    def value():
        if kind == "integer":
            return rng.randrange(-20, 20)
        if kind == "float":
            return rng.choice([rng.randrange(-20, 20), rng.randrange(-5, 5) / 4])
        return f"20{rng.randrange(20, 26)}-02-0{rng.randrange(1, 9)}T00:00:0{rng.randrange(2)}.5Z"

    create(http, name)
    index(http, name, "n", kind)
    points = {rng.choice([rng.randrange(2**64), str(uuid.UUID(int=rng.randrange(2**128)))]): {"n": value()}
              for _ in range(300)}
    for chunk in range(0, 300, 60):
        put(http, name, list(points.items())[chunk:chunk + 60])
    put(http, name, [(i, {"n": "no value"}) for i in range(5)])
    for restart in range(2):
        for limit in (7, 50):
            seen, order, start = [], [], None
            while True:
                body = {"order_by": {"key": "n", "direction": direction, "start_from": start},
                        "limit": limit,
                        "filter": must_not({"has_id": [i for i, v in zip(seen, order) if v == start]})}
                page = http.ok("POST", f"/collections/{name}/points/scroll", body)
                assert page["next_page_offset"] is None
                if not page["points"]:
                    break
                seen += [p["id"] for p in page["points"]]
                order += [p["order_value"] for p in page["points"]]
                start = order[-1]
            assert len(seen) == len(set(seen)) and set(seen) == set(points)
            assert order == sorted(order, reverse=direction == "desc")
            for i, v in zip(seen, order):
                assert points[i]["n"] == v or kind == "datetime"
        if not restart:
            crash(server)


# --- vectors -----------------------------------------------------------------------------------------

def test_vectors_of_every_kind(server, http, name):
    rng = np.random.default_rng(7)
    multi = {"multivector_config": {"comparator": "max_sim"}}
    create(http, name, {
        "f32": {"size": 24, "distance": "Dot"}, "f16": {"size": 24, "distance": "Euclid",
                                                        "datatype": "float16"},
        "u8": {"size": 24, "distance": "Manhattan", "datatype": "uint8"},
        "cos": {"size": 24, "distance": "Cosine"}, "multi": {"size": 5, "distance": "Dot"} | multi,
        "m16": {"size": 5, "distance": "Dot", "datatype": "float16"} | multi,
        "": {"size": 2, "distance": "Dot"}},
        sparse_vectors={"s": {}, "i": {"modifier": "idf"}})

    def sparse():
        indices = sorted(rng.choice(2**32, size=int(rng.integers(0, 30)), replace=False).tolist())
        return {"indices": indices, "values": rng.normal(size=len(indices)).astype(np.float32).tolist()}

    def full():
        return {"f32": rng.normal(size=24), "f16": rng.normal(size=24) * 100,
                "u8": rng.integers(0, 256, 24),
                "cos": rng.normal(size=24), "multi": rng.normal(size=(int(rng.integers(1, 6)), 5)),
                "m16": rng.normal(size=(int(rng.integers(1, 6)), 5)), "": rng.normal(size=2),
                "s": sparse(), "i": sparse()}

    def sent(vectors):
        return {k: v if isinstance(v, dict) else v.tolist() for k, v in vectors.items()}

    def check_all():
        got = {p["id"]: p["vector"] for p in scroll(http, name, {"with_vector": True})["points"]}
        assert {i: set(v) for i, v in got.items()} == {i: set(v) for i, v in model.items()}
        for i, vectors in model.items():
            for k, v in vectors.items():
                g = got[i][k]
                if isinstance(v, dict):
                    assert g["indices"] == v["indices"]
                    assert np.array_equal(np.float32(g["values"]), np.float32(v["values"]))
                elif k == "cos":
                    unit = v / np.linalg.norm(v)
                    np.testing.assert_allclose(g, unit, rtol=0, atol=2e-7)
                else:
                    stored = np.float32(v)
                    if k in ("f16", "m16"):
                        stored = np.float32(np.float16(stored))
                    assert np.array_equal(np.float32(g), stored), (i, k)
        for k in ("f32", "f16", "u8", "cos", "multi", "m16", "", "s", "i"):
            assert ids(http, name, must({"has_vector": k})) == [i for i in model if k in model[i]]

    model = {}
    for i in range(60):
        some = {k: v for k, v in full().items() if rng.random() < 0.7}
        model[i] = some
    put(http, name, [{"id": i, "vector": sent(v), "payload": {"i": i}} for i, v in model.items()])
    check_all()
    for _ in range(30):
        i, new = int(rng.integers(60)), {k: v for k, v in full().items() if rng.random() < 0.3}
        new = {k: v for k, v in new.items() if not isinstance(v, dict) or v["indices"]}
        if new:
            http.ok("PUT", f"/collections/{name}/points/vectors?wait=true",
                    {"points": [{"id": i, "vector": sent(new)}]})
            model[i] = model[i] | new
        i, gone = int(rng.integers(60)), str(rng.choice(["f32", "u8", "multi", "", "s", "m16"]))
        post(http, name, "vectors/delete", {"points": [i], "vector": [gone]})
        model[i].pop(gone, None)
    check_all()
    crash(server)
    check_all()
    assert payloads(http, name) == {i: {"i": i} for i in range(60)}
    only = retrieve(http, name, {"ids": [0, 1, 2], "with_vector": ["s", "cos"]})
    assert [set(p["vector"]) for p in only] == [set(model[i]) & {"s", "cos"} for i in range(3)]


def test_update_vectors_merges_repeats_and_restores(server, http, name):
    create(http, name, {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    put(http, name, [{"id": 1, "vector": {"a": [1, 1], "b": [1, 1]}, "payload": {"p": 1}}])
    http.ok("PUT", f"/collections/{name}/points/vectors?wait=true", {"points": [
        {"id": 1, "vector": {"a": [2, 2]}}, {"id": 1, "vectors": {"b": [3, 3]}},
        {"id": 1, "vector": {"a": [4, 4]}}]})
    assert get(http, name, 1) == {"id": 1, "payload": {"p": 1},
                                  "vector": {"a": [4.0, 4.0], "b": [3.0, 3.0]}}
    post(http, name, "vectors/delete", {"points": [1], "vectors": ["a"]})

    def found(using):
        hits = http.ok("POST", QUERY.format(name), {"query": [1, 1], "using": using,
                                                    "limit": 9})["points"]
        return [h["id"] for h in hits]

    assert found("a") == [] and found("b") == [1]
    http.ok("PUT", f"/collections/{name}/points/vectors?wait=true",
            {"points": [{"id": 1, "vector": {"a": [5, 5]}}]})
    assert found("a") == [1] and get(http, name, 1)["vector"]["a"] == [5.0, 5.0]
    refused(http, "PUT", f"/collections/{name}/points/vectors?wait=true",
            {"points": [{"id": 1, "vector": {"a": [1, 2, 3]}}]}, 400,
            "Wrong input: Vector dimension error: expected dim: 2, got 3")
    crash(server)
    assert found("a") == [1] and get(http, name, 1)["vector"] == {"a": [5.0, 5.0], "b": [3.0, 3.0]}
    # With both selectors it is two operations, the filter's first.
    put(http, name, [{"id": 2, "vector": {"a": [1, 1]}, "payload": {"p": 2}}])
    answer = post(http, name, "vectors/delete", {"points": [1], "filter": must(match("p", 2)),
                                                 "vector": ["a"]})
    assert found("a") == [] and answer["status"] == "completed"


@pytest.mark.parametrize("between", ["crash", "restart", "both"])
def test_vector_names_with_a_start_between_each_step(server, http, name, between):
    base = f"/collections/{name}"

    def step(method, path, body=None):
        answer = http.ok(method, f"{base}{path}?wait=true", body)
        assert answer["status"] == "completed"
        if between != "restart":
            crash(server)
        if between != "crash":
            server.restart()

    def vectors():
        params = http.ok("GET", base)["config"]["params"]
        return {k: v["size"] for k, v in (params.get("vectors")
                                          or {}).items()}, set(params.get("sparse_vectors") or {})

    http.ok("PUT", base, {"vectors": {"a": {"size": 4, "distance": "Dot"}}})
    crash(server)
    step("PUT", "/points", {"points": [{"id": i, "vector": {"a": V}, "payload": {"i": i}}
                                       for i in (1, 2)]})
    step("PUT", "/vectors/n", {"dense": {"size": 2, "distance": "Dot"}})
    assert vectors() == ({"a": 4, "n": 2}, set())
    assert get(http, name, 1)["vector"] == {"a": V} and ids(http, name, must({"has_vector": "n"})) == []
    step("PUT", "/points/vectors", {"points": [{"id": 1, "vector": {"n": [1, 2]}}]})
    assert get(http, name, 1)["vector"] == {"a": V, "n": [1.0, 2.0]}
    step("PUT", "/vectors/s", {"sparse": {"modifier": "idf"}})
    assert vectors() == ({"a": 4, "n": 2}, {"s"})
    step("PUT", "/points", {"points": [{"id": 3, "vector": {"s": {"indices": [7], "values": [1]},
                                                            "n": [3, 4]}}]})
    assert get(http, name, 3)["vector"] == {"n": [3.0, 4.0], "s": {"indices": [7], "values": [1.0]}}
    hits = http.ok("POST", QUERY.format(name), {"query": [1, 0], "using": "n", "limit": 9})["points"]
    assert [h["id"] for h in hits] == [3, 1]
    step("DELETE", "/vectors/n")
    assert vectors() == ({"a": 4}, {"s"})
    assert get(http, name, 1)["vector"] == {"a": V} and ids(http, name, must({"has_vector": "n"})) == []
    refused(http, "PUT", f"{base}/points?wait=true", {"points": [{"id": 9, "vector": {"n": [1, 2]}}]},
            400,
            "Wrong input: Not existing vector name error: n")
    step("DELETE", "/vectors/n")
    step("PUT", "/vectors/n", {"dense": {"size": 3, "distance": "Cosine", "datatype": "float16"}})
    assert vectors() == ({"a": 4, "n": 3}, {"s"})
    assert [p["vector"] for p in scroll(http, name, {"with_vector": ["n"]})["points"]] == [{}, {}, {}]
    step("PUT", "/points/vectors", {"points": [{"id": 2, "vector": {"n": [0, 3, 0]}}]})
    assert get(http, name, 2)["vector"] == {"a": V, "n": [0.0, 1.0, 0.0]}
    step("DELETE", "/vectors/s")
    step("DELETE", "/vectors/a")
    assert vectors() == ({"n": 3}, set())
    assert {p["id"]: (p["payload"], p["vector"]) for p in scroll(http, name,
                                                                 {"with_vector": True})["points"]} == {
        1: ({"i": 1}, {}), 2: ({"i": 2}, {"n": [0.0, 1.0, 0.0]}), 3: ({}, {})}
    step("PUT", "/vectors/a", {"sparse": {}})
    assert vectors() == ({"n": 3}, {"a"})
    assert ids(http, name, must({"has_vector": "a"})) == []


@pytest.mark.parametrize("before", ["new collection", "crash", "restart"])
def test_the_first_write_may_change_nothing(server, http, name, before):
    create(http, name)
    base = f"/collections/{name}/points"
    none = {"filter": must(match("nobody", 1))}
    completed = (
        ("POST", "/delete", {"points": [5]}), ("POST", "/delete", none),
        ("POST", "/payload", {"payload": {"a": 1}} | none),
        ("PUT", "/payload", {"payload": {"a": 1}} | none),
        ("POST", "/payload", {"payload": {"a": 1}, "key": "b"} | none),
        ("POST", "/payload/delete", {"keys": ["a"]} | none), ("POST", "/payload/clear", none),
        ("POST", "/vectors/delete", {"vector": [""]} | none),
        ("PUT", "", {"points": [{"id": 5, "vector": V}], "update_mode": "update_only"}),
        ("PUT", "", {"batch": {"ids": [5], "vectors": [V]}, "update_mode": "update_only"}))
    missing = (
        ("POST", "/payload", {"payload": {"a": 1}, "points": [5]}),
        ("PUT", "/payload", {"payload": {"a": 1}, "points": [5]}),
        ("POST", "/payload/delete", {"keys": ["a"], "points": [5]}),
        ("POST", "/payload/clear", {"points": [5]}),
        ("POST", "/vectors/delete", {"vector": [""], "points": [5]}),
        ("PUT", "/vectors", {"points": [{"id": 5, "vector": V}]}))
    if before != "new collection":
        put(http, name, [(1, {"p": 1})])
    for method, path, body in completed + missing:
        if before == "crash":
            crash(server)
        elif before == "restart":
            server.restart()
        else:
            http.ok("DELETE", f"/collections/{name}")
            create(http, name)
        status, answer = http(method, f"{base}{path}?wait=true", body)
        if (method, path, body) in missing:
            assert (status, answer["status"]["error"]) == (404,
                "Not found: No point with id 5 found"), (path, body)
        else:
            assert status == 200 and answer["result"]["status"] == "completed", (path, body, answer)
        assert payloads(http, name) == ({} if before == "new collection" else {1: {"p": 1}})


@pytest.mark.parametrize("seed", range(4))
def test_random_vector_names(server, http, name, seed):
    """Names come and go, with points, crashes and restarts between, against a model."""
    rng = random.Random(2000 + seed)
    create(http, name, {"": {"size": 2, "distance": "Dot"}})
    names, model = {}, {}
    forms = {"d2": {"dense": {"size": 2, "distance": "Dot"}},
             "d3": {"dense": {"size": 3, "distance": "Euclid"}},
             "s": {"sparse": {}}, "m": {"dense": {"size": 2, "distance": "Dot", "multivector_config": {
                 "comparator": "max_sim"}}}}
    values = {"d2": lambda: [rng.random(), 0.5], "d3": lambda: [rng.random(), 0.5, 2.0], "m": lambda: [
        [rng.random(), 1.5], [2.5, 1.0], [0.5, 0.0]],
        "s": lambda: {"indices": [rng.randrange(9)], "values": [rng.random()]}}

    def as_f32(v):
        if isinstance(v, dict):
            return v["indices"], as_f32(v["values"])
        return np.float32(v).tolist()

    def check():
        got = {p["id"]: p["vector"] for p in scroll(http, name, {"with_vector": True})["points"]}
        got = {i: {"": v} if isinstance(v, list) else v for i, v in got.items()}  # alone it has no name
        assert {i: {k: as_f32(v) for k, v in vs.items()} for i, vs in got.items()} == {
            i: {k: as_f32(v) for k, v in vs.items()} for i, vs in sorted(model.items())}
        for k in list(names) + [""]:
            assert ids(http, name, must({"has_vector": k})) == [i for i in sorted(model)
                                                                if k in model[i]]

    for step in range(60):
        what, k = rng.randrange(8), rng.choice("xyz")
        if what < 2 and k not in names:
            form = rng.choice(list(forms))
            http.ok("PUT", f"/collections/{name}/vectors/{k}?wait=true", forms[form])
            names[k] = form
        elif what < 4:
            http.ok("DELETE", f"/collections/{name}/vectors/{k}?wait=true")
            names.pop(k, None)
            for vectors in model.values():
                vectors.pop(k, None)
        elif what < 6:
            i = rng.randrange(8)
            model[i] = {"": [float(i), 1.0]} | {k: values[f]() for k, f in names.items()
                                                if rng.random() < 0.6}
            put(http, name, [{"id": i, "vector": model[i]}])
        elif what == 6 and k in names and model:
            i, v = rng.choice(list(model)), values[names[k]]()
            http.ok("PUT", f"/collections/{name}/points/vectors?wait=true",
                    {"points": [{"id": i, "vector": {k: v}}]})
            model[i][k] = v
        else:
            rng.choice([lambda: crash(server), server.restart])()
        check()


# --- indexes beside writes, and after a crash --------------------------------------------------------

class Writer(threading.Thread):
    """Changes points 1000 to 1199 until it is told to stop, and knows what they must be."""

    def __init__(self, port, name, seed):
        super().__init__()
        self.http, self.name, self.rng = Http(port), name, random.Random(seed)
        self.stop, self.model, self.problem, self.rounds = threading.Event(), {}, None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                self.change()
                self.rounds += 1
        except Exception as e:  # noqa: BLE001 - shown by the test
            self.problem = e
        self.http.close()

    def change(self):
        rng = self.rng
        some = rng.sample(range(1000, 1200), 10)
        what = rng.randrange(4)
        if what < 2:
            new = {i: {"n": rng.randrange(50), "k": rng.choice("abc")} for i in some}
            put(self.http, self.name, list(new.items()))
            self.model.update(new)
        elif what == 2:
            post(self.http, self.name, "delete", {"points": some})
            for i in some:
                self.model.pop(i, None)
        elif some := [i for i in some if i in self.model]:
            n = rng.randrange(50)
            post(self.http, self.name, "payload", {"payload": {"n": n}, "points": some})
            for i in some:
                self.model[i] = self.model[i] | {"n": n}


def test_indexes_come_and_go_beside_writes(server, http, name):
    create(http, name)
    stable = {i: {"n": i % 50, "k": "abc"[i % 3]} for i in range(600)}
    put(http, name, list(stable.items()))
    writer = Writer(server.port, name, 3)
    writer.start()

    def check():
        mine = {"has_id": list(stable)}
        for n in (0, 7, 49):
            assert ids(http, name, must(match("n", n), mine)) == [i for i in stable if i % 50 == n]
        assert count(http, name, must(match("k", "b"), {"key": "n", "range": {"lt": 25}}, mine)) == sum(
            p["k"] == "b" and p["n"] < 25 for p in stable.values())

    try:
        for i in range(12):
            index(http, name, "n", ["integer", "float"][i % 2])
            index(http, name, "k", "keyword")
            check()
            page = http.ok("POST", f"/collections/{name}/points/scroll", {
                "order_by": "n", "limit": 13, "filter": must({"has_id": list(stable)})})["points"]
            assert [p["order_value"] for p in page] == [0] * 12 + [1]
            hits = http.ok("POST", f"/collections/{name}/facet", {
                "key": "k", "exact": True, "filter": must({"has_id": list(stable)})})["hits"]
            assert hits == [{"value": c, "count": 200} for c in "abc"]
            if i % 3 == 2:
                http.ok("DELETE", f"/collections/{name}/index/n?wait=true")
                check()
            if i % 4 == 3:
                http.ok("DELETE", f"/collections/{name}/index/k?wait=true")
                check()
    finally:
        writer.stop.set()
        writer.join()
    assert writer.problem is None, writer.problem
    assert writer.rounds > 0
    want = stable | writer.model
    index(http, name, "n", "integer")
    for _ in range(2):
        assert payloads(http, name) == want
        for n in range(50):
            assert ids(http, name, must(match("n", n))) == sorted(i for i, p in want.items()
                                                                  if p["n"] == n)
        settles(lambda: indexed_points(http, name).get("n"), len(want))
        crash(server)


def test_index_answers_right_after_a_crash(server, http, name):
    """Ordered scrolls and facets must not miss their index while it is being made again."""
    create(http, name)
    rng = random.Random(8)
    model = {i: {"n": rng.randrange(10**6), "k": rng.choice(["a", "b"]), "pad": "x" * 100}
             for i in range(6000)}
    for chunk in range(0, 6000, 500):
        put(http, name, [(i, model[i]) for i in range(chunk, chunk + 500)])
    index(http, name, "n", "integer")
    index(http, name, "k", "keyword")
    crash(server)
    page = http.ok("POST", f"/collections/{name}/points/scroll",
                   {"order_by": "n", "limit": 5})["points"]
    assert [p["order_value"] for p in page] == sorted(p["n"] for p in model.values())[:5]
    hits = http.ok("POST", f"/collections/{name}/facet", {"key": "k", "exact": True})["hits"]
    assert {h["value"]: h["count"] for h in hits} == {
        c: sum(p["k"] == c for p in model.values()) for c in "ab"}
    below = must({"key": "n", "range": {"lt": 5000}})
    assert count(http, name, below) == sum(p["n"] < 5000 for p in model.values())
    settles(lambda: indexed_points(http, name), {"n": 6000, "k": 6000})
    assert count(http, name, below) == sum(p["n"] < 5000 for p in model.values())


@pytest.mark.parametrize("made", ["before", "after"])
def test_more_points_than_one_part_of_an_index(server, http, name, made):
    """Enough rows for several parts of every index, changed and deleted, from log and from files."""
    rng = np.random.default_rng(41)
    n_points, words = 66000, np.array(["alpha", "beta", "gamma", "delta"])
    number, group = rng.integers(0, 1000, n_points), rng.integers(0, 90, n_points)
    real, lon = rng.random(n_points), rng.integers(-179, 180, n_points)
    first, second = rng.integers(0, 4, n_points), rng.integers(0, 4, n_points)
    alive = np.ones(n_points, bool)
    fields = [("n", "integer"), ("k", "keyword"), ("f", "float"), ("b", "bool"), ("t", "text"),
              ("g", "geo"),
              ("d", "datetime"), ("u", "uuid")]

    def point(i):
        return {"n": int(number[i]), "k": f"k{group[i]}", "f": float(real[i]), "b": bool(group[i] % 2),
                "t": f"{words[first[i]]} {words[second[i]]}", "g": {"lon": int(lon[i]), "lat": 1},
                "d": f"2024-01-01T00:{group[i] % 60:02d}:00Z", "u": str(uuid.UUID(int=int(group[i])))}

    def make():
        for field, kind in fields:
            index(http, name, field, kind)

    create(http, name, {"size": 2, "distance": "Dot"})
    if made == "before":
        make()
    for c in range(0, n_points, 3000):
        put(http, name, [{"id": i, "vector": [1, i], "payload": point(i)} for i in range(c, c + 3000)])
    if made == "after":
        make()

    def check():
        def counts(mask, *conditions):
            assert count(http, name, must(*conditions)) == int((mask & alive).sum()), conditions

        for n in (5000, 7, 300, 999):
            counts(number == n, match("n", n))
        counts((number >= 400) & (number < 420), {"key": "n", "range": {"gte": 400, "lt": 420}})
        counts((group == 5) & (real < 0.25), match("k", "k5"), {"key": "f", "range": {"lt": 0.25}})
        counts(group % 2 == 1, match("b", True))
        counts((first == 0) & (second == 1) | (first == 1) & (second == 0),
               match("t", {"text": "beta ALPHA"}))
        counts((lon > 10) & (lon < 20), {"key": "g", "geo_bounding_box": {
            "top_left": {"lon": 10, "lat": 2}, "bottom_right": {"lon": 20, "lat": 0}}})
        counts(group % 60 >= 58, {"key": "d", "range": {"gte": "2024-01-01T00:58:00Z"}})
        counts(group == 77, match("u", str(uuid.UUID(int=77)).upper()))
        counts(np.ones(n_points, bool), {"key": "n", "is_empty": False})
        some = scroll(http, name, {"filter": must(match("k", "k5"), match("n", 7)),
                                   "with_payload": False})
        assert [p["id"] for p in some["points"]] == np.nonzero((group == 5) & (number == 7) & alive)[0].tolist()
        hits = http.ok("POST", f"/collections/{name}/facet",
                       {"key": "k", "exact": True, "limit": 100})["hits"]
        assert {h["value"]: h["count"] for h in hits} == {
            f"k{g}": int(c) for g, c in enumerate(np.bincount(group[alive], minlength=90)) if c}
        page = scroll(http, name, {"order_by": {"key": "f", "start_from": 0.5}, "limit": 50,
                                   "with_payload": False})
        after = np.nonzero((real >= 0.5) & alive)[0]
        assert [p["id"] for p in page["points"]] == after[np.argsort(real[after])][:50].tolist()

    check()
    post(http, name, "payload", {"payload": {"n": 5000},
                                 "filter": must({"key": "n", "range": {"lt": 300}})})
    number[number < 300] = 5000
    check()
    post(http, name, "delete", {"filter": must(match("k", {"any": ["k1", "k2", "k3", "k44"]}))})
    alive &= ~np.isin(group, (1, 2, 3, 44))
    post(http, name, "payload", {"payload": {"n": 7}, "filter": {}})
    number[:] = 7
    check()
    for again in (crash, server.restart, crash):
        again(server) if again is crash else again()
        check()
        settles(lambda: set(indexed_points(http, name).values()), {int(alive.sum())})
        check()


@pytest.mark.parametrize("seed", range(4))
def test_random_history(server, http, name, seed):
    """Every kind of write in random order, with crashes and restarts, against a model of points."""
    rng = random.Random(1000 + seed)
    create(http, name, {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}})
    model, indexes = {}, {}
    pool = list(range(30)) + [str(uuid.UUID(int=rng.randrange(2**128))) for _ in range(10)]
    order = sorted(i for i in pool if isinstance(i, int)) + sorted(i for i in pool
                                                                   if isinstance(i, str))

    def point():
        vectors = {k: [float(rng.randrange(9)), 1.0] for k in "ab" if rng.random() < 0.7}
        return {"payload": {"n": rng.choice([rng.randrange(6), [rng.randrange(6), rng.randrange(6)]]),
                            "k": rng.choice(["x", "y", "z", None]), "t": text(),
                            "l": [rng.choice([{"t": text()}, {"p": rng.randrange(4)}, 5])
                                  for _ in range(rng.randrange(3))]}, "vector": vectors}

    def text():
        return " ".join(rng.choice(["Red", "green", "BLUE", "light-red"])
                        for _ in range(rng.randrange(4)))

    def words(t):
        return t.lower().replace("-", " ").split() if isinstance(t, str) else []

    def n_values(p):
        v = p["payload"].get("n")
        return set(v if isinstance(v, list) else [v] if v is not None else [])

    def selection():
        """(selector of a request, the ids it selects)"""
        if rng.random() < 0.5 or not model:
            some = rng.sample(order, rng.randrange(1, 6))
            return {"points": some}, some
        n = rng.randrange(6)
        return {"filter": must(match("n", n))}, [i for i in order if i in model
                                                 and n in n_values(model[i])]

    def write(method, path, body, chosen, by_ids):
        """The write; with ids that are missing the answer is 404 and the others are changed."""
        status, answer = http(method, f"/collections/{name}/points{path}?wait=true", body)
        missing = [i for i in chosen if i not in model] if by_ids else []
        if missing:
            assert (status, answer["status"]["error"]) == (404,
                f"Not found: No point with id {missing[0]} found")
        else:
            assert status == 200, answer
        return [i for i in chosen if i in model]

    def act():
        what = rng.randrange(12)
        if what < 3:
            new = {i: point() for i in rng.sample(order, rng.randrange(1, 8))}
            mode = rng.choice([{}, {}, {"update_mode": "insert_only"}, {"update_mode": "update_only"},
                               {"update_filter": must(match("k", "x"))}])
            put(http, name, [{"id": i} | copy.deepcopy(p) for i, p in new.items()], **mode)
            for i, p in new.items():
                if (mode.get("update_mode") == "insert_only" and i in model) or \
                        (mode.get("update_mode") == "update_only" and i not in model) or \
                        ("update_filter" in mode and i in model
                         and model[i]["payload"].get("k") != "x"):
                    continue
                model[i] = p
        elif what == 3:
            selector, chosen = selection()
            post(http, name, "delete", selector)
            for i in chosen:
                model.pop(i, None)
        elif what == 4:
            selector, chosen = selection()
            values = {"n": rng.choice([None, rng.randrange(6)]), "s": rng.randrange(3)}
            for i in write("POST", "/payload", {"payload": values} | selector, chosen,
                           "points" in selector):
                model[i]["payload"] = merged(model[i]["payload"], values)
        elif what == 5:
            selector, chosen = selection()
            for i in write("POST", "/payload", {"payload": {"d": 1}, "key": "o.p"} | selector, chosen,
                           "points" in selector):
                model[i]["payload"] = set_at(model[i]["payload"], ["o", "p"], {"d": 1})
        elif what == 6:
            selector, chosen = selection()
            values = {"n": rng.randrange(6), "k": None}
            for i in write("PUT", "/payload", {"payload": values} | selector, chosen,
                           "points" in selector):
                model[i]["payload"] = dict(values)
        elif what == 7:
            selector, chosen = selection()
            for i in write("POST", "/payload/delete", {"keys": ["k", "o.p"]} | selector, chosen,
                           "points" in selector):
                model[i]["payload"] = delete_at(delete_at(model[i]["payload"], ["k"]), ["o", "p"])
        elif what == 8:
            selector, chosen = selection()
            for i in write("POST", "/vectors/delete", {"vector": ["a"]} | selector, chosen,
                           "points" in selector):
                model[i]["vector"].pop("a", None)
        elif what == 9:
            some = rng.sample(order, rng.randrange(1, 4))
            vector = {"b": [float(rng.randrange(9)), 2.0]}
            for i in write("PUT", "/vectors", {"points": [{"id": i, "vector": vector} for i in some]},
                           some, True):
                model[i]["vector"]["b"] = list(vector["b"])
        elif what == 10:
            field, kind = rng.choice([
                ("n", "integer"), ("n", "float"), ("k", "keyword"), ("o.p.d", "integer"), ("t", "text"),
                ("t", {"type": "text", "phrase_matching": True}),
                ("l[].t", {"type": "text", "nested": "l"}),
                ("l[].p", "integer"), ("l[].p", {"type": "integer", "nested": "l"})])
            if rng.random() < 0.7:
                index(http, name, field, kind)
                indexes[field] = kind if isinstance(kind, str) else kind["type"]
            else:
                http.ok("DELETE", f"/collections/{name}/index/{field}?wait=true")
                indexes.pop(field, None)
        else:
            rng.choice([lambda: None, lambda: crash(server), server.restart])()

    def check():
        got = {p["id"]: {"payload": p["payload"], "vector": p["vector"]}
               for p in scroll(http, name, {"with_vector": True})["points"]}
        present = [i for i in order if i in model]
        assert list(got) == present and got == model
        for n in range(6):
            assert ids(http, name, must(match("n", n))) == [i for i in present
                                                            if n in n_values(model[i])]
        for k in ("x", "y"):
            assert ids(http, name, must(match("k", k))) == [i for i in present
                                                            if model[i]["payload"].get("k") == k]
        assert ids(http, name, must({"is_null": {"key": "k"}})) == [
            i for i in present if "k" in model[i]["payload"] and model[i]["payload"]["k"] is None]
        assert ids(http, name, must(match("o.p.d", 1), {"has_vector": "a"})) == [
            i for i in present if values_at(model[i]["payload"], ["o", "p", "d"]) == [1]
            and "a" in model[i]["vector"]]
        for wanted in ("red", "green blue", "LIGHT"):
            tokens = set(words(wanted))
            assert ids(http, name, must(match("t", {"text": wanted}))) == [
                i for i in present if tokens <= set(words(model[i]["payload"].get("t")))]
            assert ids(http, name, must(match("l[].t", {"text": wanted}))) == [
                i for i in present if any(tokens <= set(words(e.get("t"))) for e in
                                          model[i]["payload"].get("l", []) if isinstance(e, dict))]
        for n in range(3):
            inner = must({"nested": {"key": "l", "filter": must(match("p", n))}})
            assert ids(http, name, inner) == ids(http, name, must(match("l[].p", n))) == [
                i for i in present if {"p": n} in model[i]["payload"].get("l", [])]
        assert {f: s["data_type"] for f, s in schema_of(http, name).items()} == indexes
        if "n" in indexes:
            page = scroll(http, name, {"order_by": "n"})["points"]
            assert sorted((p["order_value"], str(p["id"])) for p in page) == sorted(
                (n, str(i)) for i in present for n in n_values(model[i]))
            assert [p["order_value"] for p in page] == sorted(p["order_value"] for p in page)
        if "k" in indexes:
            hits = http.ok("POST", f"/collections/{name}/facet", {"key": "k", "exact": True})["hits"]
            counts = [(k, sum(model[i]["payload"].get("k") == k for i in present)) for k in "xyz"]
            assert [(h["value"], h["count"]) for h in hits] == sorted(
                [c for c in counts if c[1]], key=lambda c: (-c[1], c[0]))
        hits = http.ok("POST", QUERY.format(name), {"query": [1, 0], "using": "b",
                                                    "limit": 100})["points"]
        assert {h["id"] for h in hits} == {i for i in present if "b" in model[i]["vector"]}

    for step in range(160):
        act()
        if step % 8 == 7:
            check()
    crash(server)
    check()


# --- the official client -------------------------------------------------------------------------------

def test_the_client_end_to_end(client, name):
    from qdrant_client import models as m
    done = m.UpdateStatus.COMPLETED
    client.create_collection(name, vectors_config={
        "d": m.VectorParams(size=4, distance=m.Distance.DOT),
        "m": m.VectorParams(size=2, distance=m.Distance.DOT, multivector_config=m.MultiVectorConfig(
            comparator=m.MultiVectorComparator.MAX_SIM))},
            sparse_vectors_config={"s": m.SparseVectorParams()})
    points = [m.PointStruct(id=i, vector={"d": [i, 1, 2, 3], "m": [[i, 1], [2.5, 3]],
                                          "s": m.SparseVector(indices=[5, 1], values=[1.0, i])},
                            payload={"n": i, "k": "ab"[i % 2], "at": f"2024-02-{i + 1:02d}",
                                     "g": {"lon": i, "lat": 1}}) for i in range(12)]
    assert client.upsert(name, points, wait=True).status == done
    for field, schema in (("n", m.IntegerIndexParams(type="integer", lookup=True, range=True)),
                          ("k", m.PayloadSchemaType.KEYWORD),
                          ("at", m.DatetimeIndexParams(type="datetime")),
                          ("g", m.PayloadSchemaType.GEO)):
        assert client.create_payload_index(name, field, schema, wait=True).status == done
    info = client.get_collection(name)
    assert {k: (v.data_type, v.points) for k, v in info.payload_schema.items()} == {
        "n": ("integer", 12), "k": ("keyword", 12), "at": ("datetime", 12), "g": ("geo", 12)}

    def found(*conditions, **clauses):
        f = m.Filter(must=list(conditions) or None, **clauses)
        records, offset = client.scroll(name, scroll_filter=f, limit=100)
        assert offset is None and client.count(name, count_filter=f).count == len(records)
        return [r.id for r in records]

    assert found(m.FieldCondition(key="n", range=m.Range(gte=3, lt=6))) == [3, 4, 5]
    assert found(m.FieldCondition(key="k", match=m.MatchAny(any=["a"])),
                 m.HasIdCondition(has_id=[0, 1, 2])) == [0, 2]
    assert found(m.FieldCondition(key="at", range=m.DatetimeRange(lte="2024-02-02T00:00:00Z"))) == [0,
                                                                                                    1]
    assert found(m.FieldCondition(key="g", geo_radius=m.GeoRadius(center=m.GeoPoint(lon=3, lat=1),
                                                                  radius=1000))) == [3]
    assert found(must_not=[m.FieldCondition(key="k", match=m.MatchExcept(**{"except": ["a"]}))]) == [0,
        2, 4, 6, 8, 10]
    assert found(m.IsEmptyCondition(is_empty=m.PayloadField(key="none")),
                 m.HasVectorCondition(has_vector="s")) \
        == list(range(12))
    assert found(min_should=m.MinShould(min_count=2, conditions=[
        m.FieldCondition(key="n", match=m.MatchValue(value=4)),
        m.FieldCondition(key="k", match=m.MatchValue(value="a")),
        m.SliceCondition(slice=m.Slice(total=1, index=0))])) == [0, 2, 4, 6, 8, 10]
    ordered, _ = client.scroll(name, limit=3, order_by=m.OrderBy(key="n", direction=m.Direction.DESC))
    assert [(r.id, r.order_value) for r in ordered] == [(11, 11), (10, 10), (9, 9)]
    assert [(h.value, h.count) for h in client.facet(name, "k", exact=True).hits] == [("a", 6),
                                                                                      ("b", 6)]
    hits = client.query_points(name, query=[1, 0, 0, 0], using="d", limit=2, query_filter=m.Filter(
        must=[m.FieldCondition(key="k", match=m.MatchValue(value="b"))])).points
    assert [h.id for h in hits] == [11, 9]

    assert client.set_payload(name, {"x": {"y": 1}}, points=[1], wait=True).status == done
    assert client.set_payload(name, {"z": 2}, points=[1], key="x", wait=True).status == done
    assert client.overwrite_payload(name, {"only": None},
                                    points=m.Filter(must=[m.HasIdCondition(has_id=[2])]),
                                    wait=True).status == done
    assert client.delete_payload(name, keys=["n", "g.lon"], points=[3], wait=True).status == done
    assert client.clear_payload(name, points_selector=[4], wait=True).status == done
    got = {r.id: r.payload for r in client.retrieve(name, [1, 2, 3, 4])}
    assert got[1]["x"] == {"y": 1, "z": 2} and got[2] == {"only": None} and got[4] == {}
    assert got[3] == {"k": "b", "at": "2024-02-04", "g": {"lat": 1}}
    assert client.update_vectors(name, [m.PointVectors(id=5, vector={"d": [9, 9, 9, 9]})],
                                 wait=True).status == done
    assert client.delete_vectors(name, ["m"], points=[5], wait=True).status == done
    r = client.retrieve(name, [5], with_vectors=True)[0]
    assert r.vector == {"d": [9, 9, 9, 9], "s": m.SparseVector(indices=[1, 5], values=[5.0, 1.0])}
    assert client.create_vector_name(name, "late", m.DenseVectorNameConfig(
        dense=m.DenseVectorConfig(size=2, distance=m.Distance.DOT))) is not None
    assert client.delete_vector_name(name, "late") is not None
    results = client.batch_update_points(name, [
        m.UpsertOperation(upsert=m.PointsList(points=[m.PointStruct(id=UUID, vector={},
                                                                    payload={"n": 99})])),
        m.SetPayloadOperation(set_payload=m.SetPayload(payload={"n": 100}, points=[UUID])),
        m.DeleteOperation(delete=m.FilterSelector(filter=m.Filter(must=[m.HasIdCondition(has_id=[0])])))], wait=True)
    assert [x.status for x in results] == [done] * 3
    assert found(m.FieldCondition(key="n", match=m.MatchValue(value=100))) == [UUID]
    assert client.delete(name, [1, U64], wait=True).status == done
    assert client.count(name).count == 11
    assert client.delete_payload_index(name, "n", wait=True).status == done
    assert "n" not in client.get_collection(name).payload_schema


@states
def test_filters_agree_over_a_crash_with_many_points(server, name, state):
    """Several hundred points, every clause, one oracle: what the payload says."""
    rng = random.Random(12)
    model = {i: {"n": rng.randrange(100), "k": [rng.choice("abcdef") for _ in range(rng.randrange(3))],
                 "f": rng.random(), "b": rng.random() < 0.5} for i in range(700)}
    http = build(server, name, state, list(model.items()),
                 [("n", "integer"), ("k", "keyword"), ("f", "float"),
                                                            ("b", "bool")])
    for i in rng.sample(sorted(model), 150):
        if i % 3:
            model[i] = {"n": rng.randrange(100), "f": rng.random()}
            put(http, name, [(i, model[i])])
        else:
            del model[i]
            post(http, name, "delete", {"points": [i]})

    def check(filter_, holds):
        assert ids(http, name, filter_) == [i for i in sorted(model) if holds(model[i])], filter_

    for _ in range(15):
        lo, x, f = rng.randrange(100), rng.choice("abcdef"), rng.random()
        hi = lo + rng.randrange(30)
        check(must({"key": "n", "range": {"gte": lo, "lt": hi}}), lambda p: lo <= p["n"] < hi)
        check(must(match("k", x), {"key": "f", "range": {"lt": f}}), lambda p: x in p.get("k", [])
              and p["f"] < f)
        check({"should": [match("k", x), match("n", lo)], "must_not": match("b", True)},
              lambda p: (x in p.get("k", []) or p["n"] == lo) and p.get("b") is not True)
        check(must({"is_empty": {"key": "k"}}), lambda p: not p.get("k"))
        check({"min_should": {"conditions": [match("k", x), match("b", False),
                                             {"key": "n", "range": {"gt": lo}}],
                              "min_count": 2}},
              lambda p: (x in p.get("k", [])) + (p.get("b") is False) + (p["n"] > lo) >= 2)
        check(must({"key": "k", "values_count": {"gte": 2}}), lambda p: len(p.get("k", [])) >= 2)
