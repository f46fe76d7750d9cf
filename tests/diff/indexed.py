"""What a payload index changes about a condition: chapter 02 §8.2-8.3 and chapter 06 §5.2 as code.

The client's in-memory mode has no indexes. Indexes holds the schemas of a collection; answer() judges one
condition on one payload as the index says, or returns None where the index has no say and the payload
decides. Where the specification leaves an answer open, Unspecified is raised and nobody is asked.
"""
import functools
import uuid
from datetime import datetime
from fractions import Fraction

from qdrant_client import models as m
from qdrant_client.local import datetime_utils, payload_value_extractor
from qdrant_client.local.json_path_parser import JsonPathItemType, parse_json_path
from qdrant_client.local.order_by import datetime_to_microseconds
from qdrant_client.local.payload_value_extractor import value_by_key
from qdrant_client.local.utils import _UUID_PATTERN

import words

I64_MIN, I64_MAX = -2**63, 2**63 - 1


class Unspecified(Exception):
    """The specification leaves the answer open. early: found before anything was changed."""

    def __init__(self, why, early=False):
        super().__init__(why)
        self.early = early


def steps(path):
    return tuple((i.item_type.value, i.key if i.item_type == JsonPathItemType.KEY else i.index)
                 for i in parse_json_path(path))


def remember_paths():
    """Parses each path once: reading them is most of what the in-memory mode does."""
    global parse_json_path, steps
    parse_json_path = functools.lru_cache(4096)(parse_json_path)
    payload_value_extractor.parse_json_path = parse_json_path
    steps = functools.lru_cache(4096)(steps)


def is_bare(key):
    return key != "" and all(c.isalnum() or c in "_-" for c in key)


def canonical(path):
    out = ""
    for kind, v in steps(path):
        if kind == "key":
            out += ("." if out else "") + (v if is_bare(v) else f'"{v}"')
        else:
            out += "[]" if v is None else f"[{v}]"
    return out


# --- the values an index holds ---------------------------------------------------------------------------


def as_integer(v):
    """§8.2: integers in i64, integral floats; 2^63 counts as 2^63 - 1."""
    if isinstance(v, bool) or not isinstance(v, (int, float)) or v != v or v in (float("inf"), -float("inf")):
        return None
    if v != int(v):
        return None
    v = int(v)
    if v == 2**63:
        return I64_MAX
    return v if I64_MIN <= v <= I64_MAX else None


def as_float(v):
    return float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else None


def as_micros(v):
    t = datetime_utils.parse(v) if isinstance(v, str) else None
    return None if t is None else datetime_to_microseconds(t)


def as_uuid(v):
    return uuid.UUID(v.removeprefix("urn:uuid:")) if isinstance(v, str) and _UUID_PATTERN.fullmatch(v) else None


def as_place(v):
    if not isinstance(v, dict):
        return None
    lon, lat = v.get("lon"), v.get("lat")
    if any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in (lon, lat)):
        return None
    return v if -180 <= lon <= 180 and -90 <= lat <= 90 else None


TAKES = {"keyword": lambda v: v if isinstance(v, str) else None, "integer": as_integer, "float": as_float,
         "bool": lambda v: v if isinstance(v, bool) else None, "datetime": as_micros, "uuid": as_uuid,
         "text": lambda v: v if isinstance(v, str) else None, "geo": as_place}


class Index:
    def __init__(self, path, schema):
        self.path = path
        self.params = {"type": schema} if isinstance(schema, str) else dict(schema)
        self.type = self.params["type"]
        self.nested = steps(path)[:self._nested_length()]
        self.analyzer = words.Analyzer(self.params) if self.type == "text" else None

    def _nested_length(self):
        """How many steps of the path lead to the elements that are the entries; 0 without `nested`."""
        if not self.params.get("nested"):
            return 0
        n = len(steps(self.params["nested"]))
        return n + (0 if steps(self.params["nested"])[-1] == ("wildcard_index", None) else 1)

    def can(self, capability):
        return self.type == "integer" and self.params.get(capability, True) is not False

    def held(self, values):
        """The indexed forms of values, which are already expanded."""
        out = [TAKES[self.type](v) for v in values or []]
        return [v for v in out if v is not None]


class Indexes:
    def __init__(self):
        self.by_steps = {}

    def put(self, path, schema):
        self.by_steps[steps(path)] = Index(path, schema)

    def drop(self, path):
        self.by_steps.pop(steps(path), None)

    def get(self, path, inside=()):
        return self.by_steps.get(tuple(inside) + steps(path))

    def of(self, path):
        return self.by_steps.get(steps(path))

    def points_of(self, payloads):
        """{canonical path: [type, points with a value]}"""
        return {canonical(i.path): [i.type, sum(bool(i.held(value_by_key(p, i.path))) for p in payloads)]
                for i in self.by_steps.values()}


# --- conditions ---------------------------------------------------------------------------------------------


def clauses_of(c):
    return [n for n in ("match", "range", "geo_bounding_box", "geo_radius", "geo_polygon", "values_count",
                        "is_empty", "is_null") if getattr(c, n) is not None]


def answer(index, c, payload, whole, inside):
    """True, False, or None: the index has no say. c: a field condition with one clause, or an is_empty or
    is_null condition. payload: what the key is relative to; whole: the point's; inside: in a nested
    filter."""
    if isinstance(c, (m.IsEmptyCondition, m.IsNullCondition)):
        return presence(index, isinstance(c, m.IsEmptyCondition), True, whole, inside)
    if c.is_empty is not None or c.is_null is not None:
        is_empty = c.is_empty is not None
        return presence(index, is_empty, c.is_empty if is_empty else c.is_null, whole, inside)
    if c.values_count is not None:
        return None
    values = value_by_key(payload, c.key) or []
    if c.match is not None:
        return match(index, c.match, values, payload, c.key, inside)
    if c.range is not None:
        return in_range(index, c.range, values)
    if index.type == "geo":
        return ("payload", index.held(values))
    return None


def presence(index, is_empty, wanted, whole, inside):
    """§8.2: the index answers for the field as a whole. In a nested filter the payload does (§7.9)."""
    if inside:
        return None
    says = is_empty_value if is_empty else is_null_value
    if index.nested and (is_empty or not wanted):
        # Chapter 06 §5.2: an element lacks the field, or has it. The field form of is_null: false follows
        # the same pattern in the reference engine: some element is not null.
        rest = steps(index.path)[len(index.nested):]
        return any(says(walk(e, rest)) == wanted for e in elements(index, whole))
    return says(value_by_key(whole, index.path, flat=False) or []) == wanted


def is_empty_value(found):
    return all(v is None or v == [] for v in found)


def is_null_value(found):
    return any(v is None or isinstance(v, list) and any(x is None for x in v) for v in found)


def walk(value, path):
    if not path:
        yield value
        return
    (kind, key), rest = path[0], path[1:]
    if kind == "key":
        if isinstance(value, dict) and key in value:
            yield from walk(value[key], rest)
    elif isinstance(value, list):
        if key is None:
            for v in value:
                yield from walk(v, rest)
        elif key < len(value):
            yield from walk(value[key], rest)


def elements(index, payload):
    return [e for e in walk(payload, index.nested) if isinstance(e, dict)]


def match(index, c, values, payload, key, inside):
    if isinstance(c, (m.MatchText, m.MatchTextAny, m.MatchPhrase)):
        return full_text(index, c, values, payload, inside) if index.type == "text" else None
    held = index.held(values)
    if isinstance(c, m.MatchValue):
        v = c.value
        if index.type == "integer" and type(v) is int and index.can("lookup"):
            return v in held
        if index.type == "uuid" and isinstance(v, str) and as_uuid(v):
            return as_uuid(v) in held
        return None
    if isinstance(c, m.MatchAny):
        if index.type == "integer" and is_list(c.any, int) and index.can("lookup"):
            return any(v in c.any for v in held)
        if index.type == "uuid" and c.any and all(as_uuid(v) for v in c.any):
            return any(v in [as_uuid(x) for x in c.any] for v in held)
        return None
    if isinstance(c, m.MatchExcept):
        return match_except(index, c.except_, held)
    return None


def is_list(values, kind):
    return bool(values) and all(type(v) is kind for v in values)


def match_except(index, listed, held):
    """§7.3: with an index of the list's type only indexed values count; the empty list is one of strings."""
    if index.type == "integer" and is_list(listed, int) and index.can("lookup"):
        return any(v not in listed for v in held)
    if index.type == "keyword" and (not listed or is_list(listed, str)):
        return any(v not in listed for v in held)
    if index.type == "uuid":
        if not listed:
            return bool(held)
        if is_list(listed, str) and all(as_uuid(v) for v in listed):
            return any(v not in [as_uuid(x) for x in listed] for v in held)
    return None


def in_range(index, c, values):
    """§7.4 with its cross-typed cases: bounds and values meet as numbers, instants in microseconds."""
    if not (index.type in ("datetime", "float") or index.can("range")):
        return None
    if isinstance(c, m.DatetimeRange):
        of = {n: micros_of(getattr(c, n)) for n in ("lt", "lte", "gt", "gte")}
    else:
        of = {n: getattr(c, n) for n in ("lt", "lte", "gt", "gte")}
    exact = index.type != "float"
    of = {n: None if v is None else clamped(v) if exact else float(v) for n, v in of.items()}
    return any(holds(of, v) for v in index.held(values))


def clamped(v):
    """§7.4: bounds beyond i64 are clamped, as strict or not as they are."""
    return max(Fraction(I64_MIN), min(Fraction(I64_MAX), Fraction(v)))


def micros_of(v):
    """Of a bound as the client has it."""
    if v is None:
        return None
    return datetime_to_microseconds(v if isinstance(v, datetime) else
                                    datetime.combine(v, datetime.min.time()))


def holds(of, v):
    return ((of["lt"] is None or v < of["lt"]) and (of["lte"] is None or v <= of["lte"]) and
            (of["gt"] is None or v > of["gt"]) and (of["gte"] is None or v >= of["gte"]))


def full_text(index, c, values, payload, inside):
    """§9.5; with a nested index one element must hold it all (chapter 06 §5.2). In a nested filter the
    values are those of the element at hand."""
    if index.nested and not inside:
        rest = steps(index.path)[len(index.nested):]
        groups = [[x for v in walk(e, rest) for x in (v if isinstance(v, list) else [v])]
                  for e in elements(index, payload)]
    else:
        groups = [values]
    return any(index.analyzer.matches(c, [v for v in g if isinstance(v, str)]) for g in groups)
