"""How often each kind of condition, write, read and index came up in a run, and how it ended.

A run that never drew something proves nothing about it: missing() names what was wanted and did not
come, conditions that never held or always did, and kinds of requests that were never accepted.
"""
import collections

from qdrant_client import models as m

CONDITIONS = collections.defaultdict(lambda: [0, 0])  # kind: [false, true]
BY_INDEX = collections.Counter()                      # (type of the index, kind)
REQUESTS = collections.defaultdict(lambda: [0, 0])    # kind: [refused, accepted]

MATCHES = {m.MatchText: "text", m.MatchTextAny: "text_any", m.MatchPhrase: "phrase",
           m.MatchPrefix: "prefix", m.MatchSubstring: "substring"}
OTHERS = {m.IsEmptyCondition: "is_empty", m.IsNullCondition: "is_null", m.HasIdCondition: "has_id",
          m.HasVectorCondition: "has_vector", m.SliceCondition: "slice", m.NestedCondition: "nested",
          m.Filter: "filter"}
CLAUSES = ["range", "geo_bounding_box", "geo_radius", "geo_polygon", "values_count", "is_empty",
           "is_null"]
TYPES = ["keyword", "integer", "float", "bool", "datetime", "uuid", "text", "geo"]
PARAMS = ["lookup", "range", "prefix", "is_principal", "is_tenant", "memory", "on_disk", "enable_hnsw",
          "nested", "tokenizer", "phrase_matching", "lowercase", "min_token_len", "max_token_len",
          "ascii_folding", "stopwords", "stemmer", "scoring"]

WANTED_CONDITIONS = (
    ["value string", "value integer", "value bool", "any string", "any integer", "except string",
     "except integer", "except nothing", "datetime range", "field is_empty true", "field is_empty false",
     "field is_null true", "field is_null false", "several clauses"] +
    list(MATCHES.values()) + list(OTHERS.values()) + CLAUSES[:5] +
    ["must", "should", "must_not", "min_should", "must (one)", "should (one)", "must_not (one)"])
WANTED_BY_INDEX = [
    ("keyword", "except string"), ("keyword", "except nothing"), ("integer", "value integer"),
    ("integer", "any integer"), ("integer", "except integer"), ("integer", "range"), ("float", "range"),
    ("datetime", "datetime range"), ("datetime", "range"), ("uuid", "value string"), ("uuid", "any string"),
    ("uuid", "except string"), ("text", "text"), ("text", "text_any"), ("text", "phrase"),
    ("geo", "geo_bounding_box"), ("geo", "geo_radius"), ("geo", "geo_polygon")] + [
    (t, "is_empty or is_null") for t in TYPES] + [
    ("entries", k) for k in ("match", "range", "text", "geo")]
SELECTED = ["delete", "delete_vectors", "set_payload", "overwrite_payload", "delete_payload", "clear_payload"]
WANTED_REQUESTS = (
    [f"{do} by {how}" for do in SELECTED for how in ("ids", "filter")] +
    [f"batch: {do}" for do in SELECTED + ["upsert", "update_vectors"]] +
    [f"upsert {form}" for form in ("points", "batch")] +
    [f"upsert mode {mode}{f}" for mode in ("upsert", "insert_only", "update_only")
     for f in ("", " with filter")] +
    ["upsert with filter", "update_vectors", "update_vectors with filter", "set_payload with key",
     "batch", "delete_index", "create_vector dense", "create_vector multi", "create_vector sparse",
     "delete_vector", "retrieve", "count", "count with filter", "facet", "facet with filter", "info",
     "scroll", "scroll with filter", "scroll with offset", "ordered asc", "ordered desc",
     "ordered with start_from", "query", "query with filter", "query with offset"] +
    [f"index {t}{form}" for t in TYPES for form in ("", " with parameters")] +
    [f"index parameter {p}" for p in PARAMS])


# --- conditions --------------------------------------------------------------------------------------


def match_kind(c):
    if type(c) in MATCHES:
        return MATCHES[type(c)]
    if isinstance(c, m.MatchValue):
        return "value " + {bool: "bool", int: "integer", str: "string"}[type(c.value)]
    name, values = ("any", c.any) if isinstance(c, m.MatchAny) else ("except", c.except_)
    return f"{name} " + ("nothing" if not values else "string" if isinstance(values[0], str) else "integer")


def kind_of(c):
    if not isinstance(c, m.FieldCondition):
        return OTHERS[type(c)]
    names = [n for n in CLAUSES if getattr(c, n) is not None]
    if c.match is not None:
        return "several clauses" if names else match_kind(c.match)
    if len(names) != 1:
        return "several clauses" if names else "no clause"
    if names[0] in ("is_empty", "is_null"):
        return f"field {names[0]} {str(getattr(c, names[0])).lower()}"
    return "datetime range" if isinstance(c.range, m.DatetimeRange) else names[0]


def condition(c, verdict):
    CONDITIONS[kind_of(c)][bool(verdict)] += 1


def answered(index, c):
    kind = kind_of(c)
    BY_INDEX[index.type, kind] += 1
    if "is_empty" in kind or "is_null" in kind:
        BY_INDEX[index.type, "is_empty or is_null"] += 1


def of_entry(index, c):
    """A condition in a nested filter about what an index with `nested` has as its entries."""
    what = index.type if index.type in ("text", "geo") else "range" if c.range is not None else "match"
    BY_INDEX["entries", what] += 1


def filtered(f, verdict):
    for name in ("must", "should", "must_not", "min_should"):
        v = getattr(f, name)
        if v is not None:
            one = name != "min_should" and not isinstance(v, list)
            CONDITIONS[f"{name} (one)" if one else name][bool(verdict)] += 1


# --- requests ----------------------------------------------------------------------------------------


def kinds_of(do, op):
    yield do
    has_filter = op.get("filter") is not None or op.get("update_filter") is not None
    filtered_by = " with filter" if has_filter else ""
    if do in SELECTED:
        yield f"{do} by {'filter' if filtered_by else 'ids'}"
        if op.get("key") is not None:
            yield f"{do} with key"
    elif do == "upsert":
        yield "upsert batch" if "batch" in op else "upsert points"
        if "update_mode" in op:
            yield f"upsert mode {op['update_mode']}{filtered_by}"
        elif filtered_by:
            yield "upsert with filter"
    elif do == "batch":
        for o in op["operations"]:
            for inner, body in o.items():
                yield f"batch: {inner}"
                yield from list(kinds_of(inner, body))[1:]
    elif do == "create_index":
        yield from index_kinds(op["field_schema"])
    elif do == "create_vector":
        yield "create_vector " + ("sparse" if "sparse" in op else
                                  "multi" if "multivector_config" in op["dense"] else "dense")
    elif "order_by" in op:
        yield "ordered " + op["order_by"].get("direction", "asc")
        if "start_from" in op["order_by"]:
            yield "ordered with start_from"
    else:
        if filtered_by:
            yield do + filtered_by
        if op.get("offset") is not None:
            yield f"{do} with offset"


def index_kinds(schema):
    if isinstance(schema, str):
        yield f"index {schema}"
        return
    yield f"index {schema['type']} with parameters"
    for name in schema:
        if name != "type":
            yield f"index parameter {name}"


def request(op, accepted):
    for kind in kinds_of(op["do"], op):
        REQUESTS[kind][accepted] += 1


# --- at the end --------------------------------------------------------------------------------------


def missing():
    out = [f"condition {k}: {no} times false, {yes} times true" for k in WANTED_CONDITIONS
           for no, yes in [CONDITIONS[k]] if not no or not yes]
    out += [f"{kind}, as an index of type {t} says" for t, kind in WANTED_BY_INDEX if not BY_INDEX[t, kind]]
    return out + [f"{k}: accepted never, refused {REQUESTS[k][0]} times" for k in WANTED_REQUESTS
                  if not REQUESTS[k][1]]


def lines():
    yield "conditions (held/did not): " + ", ".join(
        f"{k} {yes}/{no}" for k, (no, yes) in sorted(CONDITIONS.items()))
    yield "answered as an index says: " + ", ".join(
        f"{t} {k} {n}" for (t, k), n in sorted(BY_INDEX.items()))
    yield "requests (accepted/refused): " + ", ".join(
        f"{k} {yes}/{no}" for k, (no, yes) in sorted(REQUESTS.items()))
