"""Acceptance facts of the 1.20 additions about points, filters, indexes and text, each by its number.

The ranking ones (BM25 queries, formula, fusion, MMR, datatypes) are tested where those live.
"""
import datetime
import warnings

import pytest

from facts import (UUID, V, build, crash, create, get, ids, index, indexed_points, indexed_states,
                   is_indexed, match, must, must_not, payloads, post, put, refused, refused_like,
                   schema_of, settles, states)
from harness import Server

JSON_ERROR = "Format error in JSON body: "
NO_SCHEMA = JSON_ERROR + "data did not match any variant of untagged enum PayloadFieldSchema"
CODE = {"type": "text", "tokenizer": "code"}


def found(http, name, key="t", **m):
    return ids(http, name, must(match(key, m)))


# --- tokenizer code ----------------------------------------------------------------------------------

@indexed_states
def test_06_fact_25_parts_and_compound(server, name, state):
    http = build(server, name, state, [(1, {"t": "getUserName"}), (2, {"t": "user name get"})],
                 [("t", CODE)])
    assert found(http, name, text="user") == [1, 2]
    assert found(http, name, text="name") == [1, 2]
    assert found(http, name, text="getusername") == [1]
    assert found(http, name, text="GetUserName") == [1, 2]   # the parts only, without the compound
    assert found(http, name, text="get_user_name") == [1, 2]
    assert found(http, name, text="username") == [] and found(http, name, text="getuser") == []
    assert found(http, name, text_any="username zzz get") == [1, 2]


@indexed_states
def test_06_fact_26_splitting(server, name, state):
    points = {1: "HTTPServer", 2: "x86_64", 3: "kebab-case", 4: "2FastCar", 5: "1_000", 6: "__init__",
              7: "v2Beta",
              8: "sha256sum", 9: "foo.bar", 10: "日本語Code", 11: "fooBAR", 12: "3.14f"}
    http = build(server, name, state, [(i, {"t": t}) for i, t in points.items()], [("t", CODE)])
    for query, want in (("http", [1]), ("server", [1]), ("httpserver", [1]), ("x86", [2]), ("64", [2]),
                        ("x8664", [2]), ("8664", []), ("kebab", [3]), ("case", [3]), ("kebabcase", []),
                        ("fast", []), ("2fastcar", [4]), ("1000", [5]), ("000", []), ("init", [6]),
                        ("v2", [7]),
                        ("beta", [7]), ("sha256sum", [8]), ("sha", []), ("foobar", [11]),
                        ("bar", [9, 11]),
                        ("日本語", [10]), ("code", [10]), ("14f", [12]), ("3", [12])):
        assert found(http, name, text=query) == want, query


@indexed_states
def test_06_fact_27_phrases(server, name, state):
    http = build(server, name, state, [(1, {"t": "call getUserName of HTTPServer"})],
                 [("t", CODE | {"phrase_matching": True})])
    for phrase in ("call get", "name of", "of http server", "call getUserName", "get user name of",
                   "getusername"):
        assert found(http, name, phrase=phrase) == [1], phrase
    for phrase in ("call getusername", "user get", "getusername of"):
        assert found(http, name, phrase=phrase) == [], phrase


# --- substring and unindexed text --------------------------------------------------------------------

SUBSTRING_INDEXES = ["none", "keyword", {"type": "keyword", "prefix": True}, "text", "uuid", "integer"]


@pytest.mark.parametrize("schema", SUBSTRING_INDEXES, ids=str)
@indexed_states
def test_06_fact_28_substring(server, name, state, schema):
    points = [(1, {"t": "ORD20260921ABCD"}), (2, {"t": "ord"}), (3, {"t": ["x", "a%b_c"]}),
              (4, {"t": 20260921}),
              (5, {"t": {"t": "20260921"}}), (6, {"t": "Ünïcode 日本"}), (7, {"t": [["20260921"]]}),
              (8, {})]
    http = build(server, name, state, points, [] if schema == "none" else [("t", schema)])
    for s, want in (("20260921", [1]), ("ord", [2]), ("ORD", [1]), ("ORD20260921ABCD", [1]),
                    ("%b_", [3]),
                    ("a%b_c", [3]), ("ïc", [6]), ("日本", [6]), ("B", [1]), ("zz", [])):
        assert found(http, name, substring=s) == want, s
        assert ids(http, name, must_not(match("t", {"substring": s}))) == [
            i for i in range(1, 9) if i not in want]


@pytest.mark.parametrize("schema", SUBSTRING_INDEXES, ids=str)
@indexed_states
def test_06_fact_29_empty_substring(server, name, state, schema):
    points = [(1, {"t": "x"}), (2, {"t": ""}), (3, {"t": [5, ""]}), (4, {"t": 5}), (5, {"t": None}),
              (6, {"t": True}),
              (7, {"t": {"a": "x"}}), (8, {"t": []}), (9, {}), (10, {"t": [["x"]]}), (11, {"t": UUID})]
    http = build(server, name, state, points, [] if schema == "none" else [("t", schema)])
    assert found(http, name, substring="") == [1, 2, 3, 11]
    if schema != "none":
        return
    # The order of the variants: after prefix, before any; a member of the wrong type is passed over.
    assert found(http, name, substring="x", any=[5]) == [1]
    assert found(http, name, prefix="5", substring="x") == [11]
    assert found(http, name, substring=5, any=[5]) == [3, 4]


WORDS = [(1, {"t": "Hello World"}), (2, {"t": "hello-world"}), (3, {"t": "worldwide"}),
         (4, {"t": ["hello", "world"]}),
         (5, {"t": 5}), (6, {}), (7, {"t": ["x", "World, hello"]}), (8, {"t": ""})]


@pytest.mark.parametrize("state", ["index-first", "index-after-killed", "index-after-restarted"])
@pytest.mark.parametrize("schema", ["none", "keyword", "uuid", "integer"])
def test_06_fact_30_text_without_a_text_index(server, name, state, schema):
    http = build(server, name, state, WORDS, [] if schema == "none" else [("t", schema)])
    assert found(http, name, text="WORLD") == [1, 2, 4, 7]
    assert found(http, name, text="wor") == [] and found(http, name, text="") == []
    assert found(http, name, text="world hello") == [1, 2, 7]
    assert found(http, name, text="hello world hello") == [1, 2, 7]
    assert found(http, name, phrase="hello world") == [1, 2]
    assert found(http, name, phrase="world hello") == [7]
    assert found(http, name, text_any="world zzz") == [1, 2, 4, 7]
    for empty in ("", "  ", "-!?"):
        for clause in ("text", "text_any", "phrase"):
            assert found(http, name, **{clause: empty}) == []
            assert ids(http, name, must_not(match("t", {clause: empty}))) == list(range(1, 9))


@states
def test_06_fact_31_tokens_over_several_values(server, name, state):
    http = build(server, name, state, WORDS, [("t", "text")])
    assert found(http, name, text="hello world") == ([1, 2, 4, 7] if is_indexed(state) else [1, 2, 7])


# --- nested indexes ----------------------------------------------------------------------------------

def test_06_fact_32_declaration(server, http, name):
    create(http, name)
    kinds = ["keyword", "integer", "float", "bool", "geo", "datetime", "uuid", "text"]
    for kind in kinds:
        index(http, name, f"o[].{kind}", {"type": kind, "nested": "o"})
    accepted = {"o[].p": ("o", "o[]"), "o[].p.q": ("o[]", "o[]"), "x.o[].p": ("x.o", "x.o[]"),
                "a[].b[].c": ("a", "a[]")}
    for field, (nested, _) in accepted.items():
        index(http, name, field, {"type": "integer", "nested": nested})

    def check():
        schema = schema_of(http, name)
        assert set(schema) == {f"o[].{k}" for k in kinds} | set(accepted)
        for kind in kinds:
            assert schema[f"o[].{kind}"]["data_type"] == kind
            assert schema[f"o[].{kind}"]["params"]["nested"] == "o[]"
        for field, (_, shown) in accepted.items():
            assert schema[field]["params"]["nested"] == shown

    check()
    crash(server)
    check()


@pytest.mark.parametrize("field, nested, text", [
    ("o[].p", "x", "field `o[].p` must be inside the elements of nested `x[]`, like `x[].price`"),
    ("o.p", "o", "field `o.p` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("p", "o", "field `p` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("o", "o", "field `o` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("o[]", "o", "field `o[]` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("o[0].p", "o", "field `o[0].p` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("o[][].p", "o", "field `o[][].p` must be inside the elements of nested `o[]`, like `o[].price`"),
    ("a[].b[].c", "a[].b", "nested `a[].b[]` must point to a single array level, like `offers` or `offers[]`"),
    ("o[].p", "o[0]", "must point to a single array level, like `offers` or `offers[]`"),
    ("o[].p", "o[][]", "must point to a single array level, like `offers` or `offers[]`"),
    ("o[].p", "o[].p", "must point to a single array level, like `offers` or `offers[]`"),
    ("o[].p", "", ""), ("o[].p", "o[", "")])
def test_06_fact_32_refused(http, name, field, nested, text):
    create(http, name)
    refused_like(http, "PUT", f"/collections/{name}/index?wait=true",
                 {"field_name": field, "field_schema": {"type": "integer", "nested": nested}}, 400,
                 text)
    assert schema_of(http, name) == {}


WORKED = {1: {"o": [{"p": 10}, {"p": 20}]}, 2: {"o": [{"p": 10}]}, 3: {"o": []}, 4: {}, 5: {"o": None},
          6: {"o": [{"c": 1}]}, 7: {"o": {"p": 10}}, 8: {"o": [{"p": [10, 20]}]},
          9: {"o": [5, "x", {"p": 10}]},
          10: {"o": [{"p": None}, {"p": 20}]}, 11: {"o": [[{"p": 10}]]},
          12: {"o": [{"p": []}, {"p": 20}]}}


@states
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_06_fact_33_worked_table(server, name, state, nested):
    schema = {"type": "integer", "nested": "o"} if nested else "integer"
    http = build(server, name, state, list(WORKED.items()), [("o[].p", schema)])
    with_nested = nested and is_indexed(state)
    with_plain = is_indexed(state) and not nested
    p = "o[].p"
    missing = [6, 10, 12] if with_nested else [3, 4, 5, 6, 7, 11]
    assert ids(http, name, must({"is_empty": {"key": p}})) == missing
    # Unindexed, the reference's field form looks at any value and its own in-memory mode at all of
    # them; the chapter's corrections recommend all.
    assert ids(http, name, must({"key": p, "is_empty": True})) in (
        [missing] if is_indexed(state) else [missing, [3, 4, 5, 6, 7, 10, 11, 12]])
    assert ids(http, name, must({"key": p, "is_empty": False})) == [1, 2, 8, 9, 10, 12]
    for null in ({"is_null": {"key": p}}, {"key": p, "is_null": True}):
        assert ids(http, name, must(null)) == [10]
    assert ids(http, name, must(match(p, 10))) == [1, 2, 8, 9]
    inner = {"nested": {"key": "o", "filter": must({"is_empty": {"key": "p"}})}}
    if not with_plain:  # there the reference's answer is known to be wrong
        assert ids(http, name, must(inner)) == [6, 10, 12]
        assert ids(http, name, must_not(inner)) == [1, 2, 3, 4, 5, 7, 8, 9, 11]
    assert ids(http, name, must({"nested": {"key": "o", "filter": must(match("p", 20))}})) == [1, 8, 10,
                                                                                               12]
    assert ids(http, name, must({"key": p, "range": {"gt": 15}})) == [1, 8, 10, 12]
    if is_indexed(state):
        settles(lambda: indexed_points(http, name), {p: 6})
        page = http.ok("POST", f"/collections/{name}/points/scroll",
                       {"order_by": p, "limit": 100, "with_payload": False})["points"]
        assert [(x["order_value"], x["id"]) for x in sorted(page,
            key=lambda x: (x["order_value"], x["id"]))] == [
            (10, 1), (10, 2), (10, 8), (10, 9), (20, 1), (20, 8), (20, 10), (20, 12)]
        assert [x["order_value"] for x in page] == [10] * 4 + [20] * 4


def test_06_fact_33_updates_by_path(server, http, name):
    create(http, name)
    index(http, name, "o[].p", {"type": "integer", "nested": "o"})
    put(http, name, [(1, {"o": [{"p": 1}, {"p": 2}]}), (2, {"o": [{"p": 5}]})])
    post(http, name, "payload", {"payload": {"p": 9}, "key": "o[0]", "points": [1]})

    def check():
        assert ids(http, name, must(match("o[].p", 1))) == []
        assert ids(http, name, must(match("o[].p", 9))) == [1] and ids(http, name,
                                                                       must(match("o[].p", 2))) == [1]
        assert ids(http, name, must({"nested": {"key": "o", "filter": must(match("p", 9))}})) == [1]

    check()
    crash(server)
    check()


@states
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_06_fact_34_text_in_elements(server, name, state, nested):
    schema = {"type": "text", "nested": "o"} if nested else "text"
    points = [(1, {"o": [{"t": "quick fox"}, {"t": "lazy dog dog"}]}), (2, {"o": [{"t": "quick dog"}]}),
              (8, {"o": [{"t": ["quick", "dog"]}]})]
    http = build(server, name, state, points, [("o[].t", schema)])
    got = found(http, name, "o[].t", text="quick dog")
    if not is_indexed(state):
        assert got == [2]          # one value must hold all tokens
    else:
        assert got == ([2, 8] if nested else [1, 2, 8])
    assert found(http, name, "o[].t", text_any="quick zzz") == [1, 2, 8]
    assert found(http, name, "o[].t", text="dog") == [1, 2, 8]


@indexed_states
@pytest.mark.parametrize("kind, a, b", [("keyword", "x", "y"), ("integer", 1, 2), ("bool", True, False),
                                        ("uuid", UUID, "650e8400-e29b-41d4-a716-446655440000")])
def test_06_fact_36_facet(server, name, state, kind, a, b):
    points = [(1, {"o": [{"k": a}, {"k": a}, {"k": b}]}), (2, {"o": [{"k": [a, a]}]}),
              (3, {"o": [{"c": 1}]}),
              (4, {"o": {"k": a}})]
    http = build(server, name, state, points, [("o[].k", {"type": kind, "nested": "o"})])
    for exact in (True, False):
        hits = http.ok("POST", f"/collections/{name}/facet", {"key": "o[].k", "exact": exact})["hits"]
        assert hits == [{"value": a, "count": 2}, {"value": b, "count": 1}]
    settles(lambda: indexed_points(http, name), {"o[].k": 2})


# --- nulls, ids, service -------------------------------------------------------------------------------

@states
def test_06_fact_42_is_null_in_arrays(server, name, state):
    points = [(1, {"k": [None, "a"]}), (2, {"k": None}), (3, {"k": "a"}), (4, {}), (5, {"k": [[None]]}),
              (6, {"k": []})]
    http = build(server, name, state, points, [("k", "keyword")])
    assert ids(http, name, must({"is_null": {"key": "k"}})) == [1, 2]
    assert ids(http, name, must({"key": "k", "is_null": True})) == [1, 2]
    assert ids(http, name, must({"key": "k", "is_null": False})) == [3, 4, 5, 6]


def test_06_fact_45_missing_ids(http, name):
    create(http, name)
    path = f"/collections/{name}/points"
    text = "Not found: No point with id {} found"
    many = list(range(100, 180))
    for order in ([1, 99], [99, 1], [77, 1, 99, 2], [1, 77, 2], [999] + many,
                  many[:40] + [999] + many[40:],
                  many + [999]):
        present = [i for i in order if i not in (77, 99, 999)]
        first_missing = next(i for i in order if i in (77, 99, 999))
        for method, tail, body, want in (
                ("POST", "/payload", {"payload": {"b": 1}}, {"a": 1, "b": 1}),
                ("PUT", "/payload", {"payload": {"b": 1}}, {"b": 1}),
                ("POST", "/payload/delete", {"keys": ["a"]}, {}), ("POST", "/payload/clear", {}, {})):
            put(http, name, [(i, {"a": 1}) for i in present])
            refused(http, method, path + tail + "?wait=true", body | {"points": order}, 404,
                    text.format(first_missing))
            assert payloads(http, name) == {i: want for i in present}, (tail, order)
        new = [9.0, 8.0, 7.0, 6.0]
        refused(http, "PUT", path + "/vectors?wait=true",
                {"points": [{"id": i, "vector": new} for i in order]}, 404,
                text.format(first_missing))
        assert all(get(http, name, i)["vector"] == new for i in present)
        refused(http, "POST", path + "/vectors/delete?wait=true", {"vector": [""], "points": order},
                404,
                text.format(first_missing))
        assert ids(http, name, must({"has_vector": ""})) == []
        post(http, name, "delete", {"points": order})


@pytest.mark.parametrize("version, silent", [(None, True), ("1.20.0", True), ("1.19.5", True),
                                             ("1.18.3", False)])
def test_06_fact_46_version(connect, version, silent):
    with Server({} if version is None else {"sextant.compat_version": version}) as server:
        status, answer = server.http("GET", "/")
        assert status == 200 and answer["version"] == (version or "1.20.0")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            client = connect(server.url)
            assert client.get_collections().collections == []
            client.close()
        assert (seen == []) == silent, [str(w.message) for w in seen]


def test_06_fact_47_field_name_in_the_path(http, name):
    create(http, name)
    for field, encoded in (("o[].t", "o%5B%5D.t"), ("o[].t", "o[].t"), ('"a/b"', "%22a%2Fb%22"),
                           ('"a b%c#?"', "%22a%20b%25c%23%3F%22"),
                           ("ключ", "%D0%BA%D0%BB%D1%8E%D1%87")):
        index(http, name, field, "keyword")
        index(http, name, "other", "keyword")
        assert set(schema_of(http, name)) == {field, "other"}
        answer = http.ok("DELETE", f"/collections/{name}/index/{encoded}?wait=true")
        assert answer["status"] == "completed" and set(schema_of(http, name)) == {"other"}


def test_06_fact_47_from_the_client(client, http, name):
    create(http, name)
    index(http, name, "o[].t", "text")
    client.delete_payload_index(name, "o[].t", wait=True)
    assert schema_of(http, name) == {}


@pytest.mark.parametrize("memory", ["cold", "cached", "pinned"])
def test_06_fact_48_id_tracker(server, http, name, memory):
    create(http, name, **{"id_tracker": {"memory": memory}})

    def params():
        return http.ok("GET", f"/collections/{name}")["config"]["params"]

    assert params()["id_tracker"] == {"memory": memory}
    put(http, name, [(1, {})])
    crash(server)
    assert params()["id_tracker"] == {"memory": memory} and ids(http, name) == [1]


def test_06_fact_48_wrong_word(http, name):
    refused_like(http, "PUT", f"/collections/{name}",
                 {"vectors": {"size": 4, "distance": "Dot"}, "id_tracker": {"memory": "warm"}}, 400,
                 JSON_ERROR)
    create(http, name)
    assert "id_tracker" not in http.ok("GET", f"/collections/{name}")["config"]["params"]


def test_06_fact_49_created_at(server, http, name):
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    create(http, name)
    text = http.ok("GET", f"/collections/{name}")["created_at"]
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert text.endswith("Z") and before <= moment <= datetime.datetime.now(datetime.timezone.utc)
    crash(server)
    assert http.ok("GET", f"/collections/{name}")["created_at"] == text


def test_06_fact_50_timeout_of_one_point(http, name):
    create(http, name)
    put(http, name, [(1, {"a": 1})])
    path = f"/collections/{name}/points/1"
    assert http.ok("GET", path + "?timeout=5") == {"id": 1, "payload": {"a": 1}, "vector": V}
    assert http.ok("GET", path + "?timeout=5&consistency=majority")["id"] == 1
    text = "Deserialize error in query parameters: "
    refused(http, "GET", path + "?timeout=0", None, 400,
            text + "invalid value: integer `0`, expected a nonzero u64")
    refused(http, "GET", path + "?timeout=x", None, 400, text + "invalid digit found in string")


def test_06_fact_51_tokenizers(http, name):
    create(http, name)
    path = f"/collections/{name}/index?wait=true"
    for bad in ("nope", "Code", "", None, 5):
        refused(http, "PUT", path, {"field_name": "t", "field_schema": {"type": "text",
                                                                        "tokenizer": bad}}, 400,
                NO_SCHEMA)
    for good in ("word", "whitespace", "prefix", "code"):
        index(http, name, "t", {"type": "text", "tokenizer": good})
        assert schema_of(http, name)["t"]["params"] == {"type": "text", "tokenizer": good}


@indexed_states
def test_06_fact_51_multilingual(server, name, state):
    schema = {"type": "text", "tokenizer": "multilingual"}
    points = [(1, {"t": "Hello World"}), (2, {"t": "我爱北京天安门"}), (3, {"t": "world-wide"})]
    http = build(server, name, state, points, [("t", schema)])
    assert schema_of(http, name)["t"]["params"] == schema
    assert found(http, name, text="WORLD") == [1, 3] and found(http, name, text="北京") == [2]


# --- corrections of section 10 that have no number ------------------------------------------------------

def test_06_paths_have_ascii_digits_only(http, name):
    create(http, name)
    put(http, name, [(1, {"a": [5, 6]})])
    assert ids(http, name, must(match("a[0001]", 6))) == [1]
    assert ids(http, name, must(match(f"a[{2**64 - 1}]", 6))) == []
    for bad in ("a[+1]", "a[-1]", "a[ 1]", "a[1_0]", "a[١]", f"a[{2**64}]"):
        refused(http, "POST", f"/collections/{name}/points/scroll", {"filter": must(match(bad, 6))},
                400,
                f"{JSON_ERROR}Invalid json path: '{bad}'")


@states
def test_06_geo_values(server, name, state):
    points = [(1, {"g": {"lon": 1, "lat": 2, "name": "x"}}), (2, {"g": {"lon": "1", "lat": 2}}),
              (3, {"g": {"lon": 1.0, "lat": 2.0}}), (4, {"g": {"lon": True, "lat": 2}}),
              (5, {"g": {"lon": 1}})]
    http = build(server, name, state, points, [("g", "geo")])
    near = {"key": "g", "geo_radius": {"center": {"lon": 1, "lat": 2}, "radius": 10}}
    assert ids(http, name, must(near)) == [1, 3]


@states
def test_06_datetime_texts(server, name, state):
    same = ["2024-06-15T12:30", "  2024-06-15T12:30:00Z", "2024-06-15T12:30:00z",
            "2024-06-15 12:30:00 UTC",
            "2024-06-15 12:30:00.000 +0000", "2024-06-15T12:30:00+00",
            "2024-06-15T12:30:00.0000000000000Z"]
    points = [(i, {"d": t}) for i, t in enumerate(same)] + [(99, {"d": "2024-06-15 12"})]
    http = build(server, name, state, points, [("d", "datetime")])
    for bound in same:
        r = {"gte": bound, "lte": bound}
        assert ids(http, name, must({"key": "d", "range": r})) == list(range(len(same))), bound
    refused_like(http, "POST", f"/collections/{name}/points/scroll",
                 {"filter": must({"key": "d", "range": {"gt": "2024-06-15 12"}})}, 400, "2024-06-15 12")
