"""Filters and payloads as the reference engine sees them, run in process (package qdrant-edge-py).

Shard holds points with payloads in one shard without vectors worth speaking of; ids_of() gives the
ids that a filter, written as its JSON, finds. Indexes are given as {path: schema object}.
"""
import shutil
import tempfile

import qdrant_edge as qe


def geo(p):
    return qe.GeoPoint(float(p["lon"]), float(p["lat"]))


def match(m):
    kinds = {"value": qe.MatchValue, "text": qe.MatchText, "text_any": qe.MatchTextAny,
             "phrase": qe.MatchPhrase, "prefix": qe.MatchPrefix, "substring": qe.MatchSubstring,
             "any": qe.MatchAny, "except": qe.MatchExcept}
    (name, value), = m.items()
    return kinds[name](value)


def bounds(r):
    if any(isinstance(v, str) for v in r.values()):
        return qe.RangeDateTime(**r)
    return qe.RangeFloat(**{k: float(v) for k, v in r.items()})


def clause(name, value):
    if name == "match":
        return match(value)
    if name == "range":
        return bounds(value)
    if name == "geo_bounding_box":
        return qe.GeoBoundingBox(geo(value["top_left"]), geo(value["bottom_right"]))
    if name == "geo_radius":
        return qe.GeoRadius(geo(value["center"]), float(value["radius"]))
    if name == "geo_polygon":
        return qe.GeoPolygon([geo(p) for p in value["exterior"]["points"]],
                             [[geo(p) for p in r["points"]] for r in value.get("interiors") or []])
    if name == "values_count":
        return qe.ValuesCount(**value)
    return value


def condition(c):
    if "key" in c:
        rest = {k: clause(k, v) for k, v in c.items() if k != "key"}
        return qe.FieldCondition(c["key"], **rest)
    if "is_empty" in c:
        return qe.IsEmptyCondition(c["is_empty"]["key"])
    if "is_null" in c:
        return qe.IsNullCondition(c["is_null"]["key"])
    if "has_id" in c:
        return qe.HasIdCondition(set(c["has_id"]))
    if "has_vector" in c:
        return qe.HasVectorCondition(c["has_vector"])
    if "nested" in c:
        return qe.NestedCondition(c["nested"]["key"], filter_of(c["nested"]["filter"]))
    return filter_of(c)


def listed(v):
    if v is None:
        return None
    return [condition(c) for c in (v if isinstance(v, list) else [v])]


def filter_of(f):
    least = f.get("min_should")
    if least is not None:
        least = qe.MinShould([condition(c) for c in least["conditions"]], least["min_count"])
    return qe.Filter(must=listed(f.get("must")), should=listed(f.get("should")),
                     must_not=listed(f.get("must_not")), min_should=least)


PARAMS = {"keyword": qe.KeywordIndexParams, "integer": qe.IntegerIndexParams,
          "float": qe.FloatIndexParams, "geo": qe.GeoIndexParams, "text": qe.TextIndexParams,
          "bool": qe.BoolIndexParams, "datetime": qe.DatetimeIndexParams,
          "uuid": qe.UuidIndexParams}


class Shard:
    def __init__(self, payloads, indexes=None):
        """payloads: {id: object}; indexes: {path: {"type": name, parameters}}."""
        self.dir = tempfile.mkdtemp(prefix="edge-", dir="/dev/shm")
        shutil.rmtree(self.dir)
        self.shard = qe.EdgeShard.create(self.dir, qe.EdgeConfig(
            vectors={"a": qe.EdgeVectorParams(1, qe.Distance.Dot),
                     "b": qe.EdgeVectorParams(1, qe.Distance.Dot)}))
        points = [qe.Point(i, {"a": [1.0]}, p) for i, p in payloads.items()]
        self.shard.update(qe.UpdateOperation.upsert_points(points))
        for path, schema in (indexes or {}).items():
            self.index(path, schema)

    def index(self, path, schema):
        params = {k: v for k, v in schema.items() if k != "type"}
        self.shard.update(qe.UpdateOperation.create_field_index(
            path, PARAMS[schema["type"]](**params)))

    def ids_of(self, f):
        got, _ = self.shard.scroll(qe.ScrollRequest(
            limit=100000, filter=filter_of(f), with_payload=False, with_vector=False))
        return [r.id for r in got]

    def put(self, i, payload):
        self.shard.update(qe.UpdateOperation.upsert_points([qe.Point(i, {"a": [1.0]}, payload)]))

    def payload_of(self, i):
        return self.shard.retrieve([i], with_payload=True, with_vector=False)[0].payload

    def set_payload(self, i, payload, key=None):
        self.shard.update(qe.UpdateOperation.set_payload([i], payload, key))

    def delete_payload(self, i, keys):
        self.shard.update(qe.UpdateOperation.delete_payload([i], keys))

    def close(self):
        self.shard.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
