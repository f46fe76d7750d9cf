"""Acceptance facts 56 to 60 of the data model: payload indexes and text, each by its number."""
import pytest

from facts import (UUID, build, crash, create, get, ids, index, indexed_points, indexed_states, match,
                   must, post, put, refused, schema_of, settles)

JSON_ERROR = "Format error in JSON body: "
BODY_ERROR = "Validation error in JSON body: "
NO_SCHEMA = JSON_ERROR + "data did not match any variant of untagged enum PayloadFieldSchema"
TYPES = ["keyword", "integer", "float", "bool", "geo", "datetime", "uuid", "text"]


@pytest.mark.parametrize("kind", TYPES)
def test_02_fact_56_create_and_delete(server, http, name, kind):
    create(http, name)
    put(http, name, [(1, {"other": 1})])
    for _ in range(2):
        assert index(http, name, "f", kind)["status"] == "completed"
        assert schema_of(http, name) == {"f": {"data_type": kind, "points": 0}}
    crash(server)
    assert schema_of(http, name) == {"f": {"data_type": kind, "points": 0}}
    for _ in range(2):
        answer = http.ok("DELETE", f"/collections/{name}/index/f?wait=true")
        assert answer["status"] == "completed"
        assert schema_of(http, name) == {}
    assert http.ok("DELETE", f"/collections/{name}/index/nobody?wait=true")["status"] == "completed"
    crash(server)
    assert schema_of(http, name) == {}


@pytest.mark.parametrize("given, shown", [
    ({"type": "keyword"}, {"type": "keyword"}),
    ({"type": "keyword", "is_tenant": True, "on_disk": False},
     {"type": "keyword", "is_tenant": True, "on_disk": False}),
    ({"type": "keyword", "prefix": True}, {"type": "keyword", "prefix": True}),
    ({"type": "integer", "lookup": True, "range": False},
     {"type": "integer", "lookup": True, "range": False}),
    ({"type": "float", "on_disk": True}, {"type": "float", "on_disk": True}),
    ({"type": "bool"}, {"type": "bool"}), ({"type": "geo", "memory": "cold"},
                                           {"type": "geo", "memory": "cold"}),
    ({"type": "uuid", "is_tenant": False}, {"type": "uuid", "is_tenant": False}),
    ({"type": "datetime", "is_principal": True}, {"type": "datetime", "is_principal": True}),
    ({"type": "keyword", "enable_hnsw": False}, {"type": "keyword", "enable_hnsw": False}),
    ({"type": "text"}, {"type": "text", "tokenizer": "word"}),
    ({"type": "text", "tokenizer": "prefix", "min_token_len": 2, "max_token_len": 9,
      "lowercase": False},
     {"type": "text", "tokenizer": "prefix", "min_token_len": 2, "max_token_len": 9,
      "lowercase": False}),
    ({"type": "text", "stopwords": "en", "stemmer": {"type": "snowball", "language": "english"}},
     {"type": "text", "tokenizer": "word", "stopwords": "english",
      "stemmer": {"type": "snowball", "language": "english"}}),
    ({"type": "text", "stopwords": {"languages": ["de"], "custom": ["b", "a"]}},
     {"type": "text", "tokenizer": "word", "stopwords": {"languages": ["german"],
                                                         "custom": ["a", "b"]}})],
    ids=lambda p: p.get("type"))
def test_02_fact_56_params_of_the_object_form(server, http, name, given, shown):
    create(http, name)
    index(http, name, "f", given)

    def check():
        entry = schema_of(http, name)["f"]
        assert set(entry) == {"data_type", "params", "points"} and entry["points"] == 0
        assert entry["data_type"] == given["type"]
        params = {k: v for k, v in entry["params"].items() if v is not None}
        assert params == shown
        may_be_null = {"lookup", "range", "is_principal"} if given["type"] in ("integer", "float",
                                                                               "datetime") else set()
        assert {k for k, v in entry["params"].items() if v is None} <= may_be_null

    check()
    crash(server)
    check()


def test_02_fact_56_points_of_every_type(server, http, name):
    values = {"keyword": "x", "integer": 5, "float": 1.5, "bool": True, "geo": {"lon": 1, "lat": 2},
              "datetime": "2024-02-29", "uuid": UUID, "text": "hello"}
    create(http, name)
    for kind in TYPES[:4]:
        index(http, name, kind, kind)
    put(http, name, [(i, {k: v for k, v in values.items()}) for i in range(3)] +
        [(3, {k: [v, v] for k, v in values.items()}), (4, {})])
    for kind in TYPES[4:]:
        index(http, name, kind, kind)
    want = {k: {"data_type": k, "points": 4} for k in TYPES}
    assert schema_of(http, name) == want
    crash(server)
    settles(lambda: schema_of(http, name), want)
    post(http, name, "delete", {"points": [0]})
    put(http, name, [(1, {})])
    assert indexed_points(http, name) == dict.fromkeys(TYPES, 2)


def test_02_fact_57_bad_schemas(http, name):
    create(http, name)
    path = f"/collections/{name}/index?wait=true"
    refused(http, "PUT", path, {"field_name": "n", "field_schema": {
        "type": "integer", "lookup": False, "range": False}}, 422,
        f"{BODY_ERROR}[field_schema.lookup: Validation error: the 'lookup' and 'range' capabilities can't be both "
        "disabled [{}]]")
    text = "Bad request: Can't auto-detect field type, please specify `field_schema` in the request"
    refused(http, "PUT", path, {"field_name": "n"}, 400, text)
    refused(http, "PUT", path, {"field_name": "n", "field_schema": None}, 400, text)
    for bad in ("nope", "", "Keyword", {}, {"lookup": True}, {"type": "nope"},
                {"type": "integer", "lookup": 1},
                {"type": "keyword", "memory": "warm"}, 5, ["keyword"]):
        refused(http, "PUT", path, {"field_name": "n", "field_schema": bad}, 400, NO_SCHEMA)
    refused(http, "PUT", path, {"field_schema": "keyword"}, 400,
            f"{JSON_ERROR}missing field `field_name`")
    for bad in ("", "a[", "a..b", "a b", "a[x]"):
        refused(http, "PUT", path, {"field_name": bad, "field_schema": "keyword"}, 400,
                f"{JSON_ERROR}Invalid json path: '{bad}'")
    refused(http, "DELETE", f"/collections/{name}/index/a%5B?wait=true", None, 400,
            "Deserialize error in path parameters: Invalid json path: 'a['")
    http.ok("PUT", path, {"field_name": "m", "field_type": "keyword", "unknown": 1})
    assert schema_of(http, name) == {"m": {"data_type": "keyword", "points": 0}}


WRONG = {"keyword": [5, True, None, {"a": 1}], "integer": ["5", True, 1.5, None, 2.0**70],
         "float": ["1.5", True, None], "bool": [1, "true", None],
         "geo": [{"lon": "1", "lat": 2}, [1, 2], "x", {"lon": 1}, {"lon": 181, "lat": 0}],
         "datetime": ["yesterday", 1709164800, True], "uuid": ["x", 5, UUID[:-1]],
         "text": [5, True, {"a": "b"}]}


@pytest.mark.parametrize("kind", TYPES)
@indexed_states
def test_02_fact_58_wrong_typed_values(server, name, state, kind):
    good = {"keyword": "x", "integer": 5, "float": 1.5, "bool": True, "geo": {"lon": 1, "lat": 2},
            "datetime": "2024-02-29", "uuid": UUID, "text": "hello"}[kind]
    wrong = WRONG[kind]
    points = [(i, {"f": w}) for i, w in enumerate(wrong)]
    points += [(100, {"f": good}), (101, {"f": wrong + [good]}), (102, {"f": wrong}), (103, {})]
    http = build(server, name, state, points, [("f", kind)])
    settles(lambda: schema_of(http, name), {"f": {"data_type": kind, "points": 2}})
    assert get(http, name, 102)["payload"] == {"f": wrong}
    put(http, name, [(0, {"f": good})])
    post(http, name, "payload", {"payload": {"f": wrong[0]}, "points": [100]})
    assert indexed_points(http, name) == {"f": 2}


@indexed_states
def test_02_fact_58_index_follows_the_payload(server, name, state):
    http = build(server, name, state, [(i, {"n": i, "k": f"k{i}", "o": {"p": i}}) for i in range(5)],
                 [("n", "integer"), ("k", "keyword"), ("o.p", "integer")])

    def found(key, value):
        return ids(http, name, must(match(key, value)))

    settles(lambda: indexed_points(http, name), {"n": 5, "k": 5, "o.p": 5})
    post(http, name, "payload", {"payload": {"n": 77}, "points": [1]})
    assert found("n", 1) == [] and found("n", 77) == [1] and found("k", "k1") == [1]
    http.ok("PUT", f"/collections/{name}/points/payload?wait=true",
            {"payload": {"k": "new"}, "points": [2]})
    assert found("k", "k2") == [] and found("k", "new") == [2] and found("n", 2) == [] and found("o.p",
        2) == []
    post(http, name, "payload/delete", {"keys": ["o"], "points": [3]})
    assert found("o.p", 3) == [] and found("n", 3) == [3]
    post(http, name, "payload", {"payload": {"p": 9}, "key": "o", "points": [3]})
    assert found("o.p", 9) == [3]
    post(http, name, "payload", {"payload": {"o": {"p": [4, 44]}}, "points": [4]})
    assert found("o.p", 44) == [4] and found("o.p", 4) == [4]
    post(http, name, "payload/clear", {"points": [4]})
    assert found("o.p", 44) == [] and found("n", 4) == [] and found("k", "k4") == []
    put(http, name, [(0, {"n": [1, 2]})])
    assert found("n", 0) == [] and found("n", 2) == [0] and found("k", "k0") == []
    post(http, name, "delete", {"points": [1]})
    assert found("n", 77) == []
    want = {"n": 2, "k": 2, "o.p": 1}  # n: 0 and 3, k: 2 and 3, o.p: 3
    assert indexed_points(http, name) == want
    crash(server)
    settles(lambda: indexed_points(http, name), want)
    assert found("n", 2) == [0] and found("k", "new") == [2] and found("o.p", 9) == [3]
    assert ids(http, name) == [0, 2, 3, 4]


FOX = [(1, {"t": "The Quick-Brown Fox"}), (2, {"t": "quick dog"}),
       (3, {"t": ["brown bear", "quick cat"]}),
       (4, {"t": "Broth"}), (5, {"t": 5}), (6, {}), (7, {"t": "QUICK brown"})]


def text_filter(http, name, **m):
    return ids(http, name, must(match("t", m)))


@indexed_states
@pytest.mark.parametrize("schema", ["text", {"type": "text", "tokenizer": "word", "lowercase": True},
                                    {"type": "text", "phrase_matching": True}],
                                    ids=["name", "object", "phrase"])
def test_02_fact_59_word_tokenizer(server, name, state, schema):
    http = build(server, name, state, FOX, [("t", schema)])
    assert text_filter(http, name, text="brown quick") == [1, 3, 7]
    assert text_filter(http, name, text="bro") == []
    assert text_filter(http, name, text="quick wolf") == []
    assert text_filter(http, name, text_any="quick wolf") == [1, 2, 3, 7]
    phrases = schema != "text" and "phrase_matching" in schema
    assert text_filter(http, name, phrase="quick brown") == ([1, 7] if phrases else [])
    assert text_filter(http, name, phrase="brown quick") == []
    assert text_filter(http, name, phrase="bear quick") == []   # elements are never joined
    for empty in ("", "  ", "-!"):
        for clause in ("text", "text_any", "phrase"):
            assert text_filter(http, name, **{clause: empty}) == []
    assert text_filter(http, name, value="quick dog") == [2]


@indexed_states
def test_02_fact_60_prefix_tokenizer(server, name, state):
    http = build(server, name, state, FOX, [("t", {"type": "text", "tokenizer": "prefix",
                                                   "min_token_len": 2})])
    assert text_filter(http, name, text="qu") == [1, 2, 3, 7]
    assert text_filter(http, name, text="q") == []
    assert text_filter(http, name, text="bro qu") == [1, 3, 7]
    assert text_filter(http, name, text="bro") == [1, 3, 4, 7]
    assert text_filter(http, name, text="quicker") == []


@indexed_states
def test_02_fact_60_stop_words_by_case(server, name, state):
    http = build(server, name, state, [(1, {"t": "Not a Word"}), (2, {"t": "not a word"})],
                 [("t", {"type": "text", "lowercase": False, "stopwords": {"custom": ["Not"]}})])
    assert text_filter(http, name, text="Not") == []
    assert text_filter(http, name, text="not") == [2]
    assert text_filter(http, name, text="Not Word") == [1]
    assert text_filter(http, name, text="word") == [2]


@indexed_states
def test_02_fact_60_stop_words_lower_cased(server, name, state):
    http = build(server, name, state, [(1, {"t": "Not a Word"}), (2, {"t": "the words"})],
                 [("t", {"type": "text", "stopwords": {"custom": ["NOT"], "languages": ["english"]}})])
    assert text_filter(http, name, text="not") == [] and text_filter(http, name, text="the") == []
    assert text_filter(http, name, text="NOT WORD") == [1]


@indexed_states
def test_02_fact_60_stemmer(server, name, state):
    http = build(server, name, state, [(1, {"t": "he runs"}), (2, {"t": "Running"}),
                                       (3, {"t": "runner"})],
                 [("t", {"type": "text", "stemmer": {"type": "snowball", "language": "english"}})])
    assert text_filter(http, name, text="running") == [1, 2]
    assert text_filter(http, name, text="run") == [1, 2]
    assert text_filter(http, name, text="runner") == [3]
