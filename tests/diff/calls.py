"""Operations as calls of the official client, on a server or in its own in-memory mode alike.

run(client, collection, op) makes the call and returns the answer in one form for both: plain JSON,
records as dicts. Whatever the client raises is left to the caller.
"""
from qdrant_client import models as m


# --- filters: JSON -> models, without guessing through unions ------------------------------------------


def _bounds(v):
    if any(isinstance(x, str) for x in v.values()):
        return m.DatetimeRange(**v)
    return m.Range(**v)


def _match(v):
    name, x = next(iter(v.items()))
    return {"value": m.MatchValue, "text": m.MatchText, "text_any": m.MatchTextAny,
            "phrase": m.MatchPhrase, "prefix": m.MatchPrefix, "substring": m.MatchSubstring,
            "any": m.MatchAny, "except": m.MatchExcept}[name](**{name: x})


CLAUSES = {"match": _match, "range": _bounds, "geo_radius": lambda v: m.GeoRadius(**v),
           "geo_bounding_box": lambda v: m.GeoBoundingBox(**v),
           "geo_polygon": lambda v: m.GeoPolygon(**v), "values_count": lambda v: m.ValuesCount(**v),
           "is_empty": bool, "is_null": bool}


def condition(c):
    if "key" in c:
        return m.FieldCondition(key=c["key"], **{k: CLAUSES[k](v) for k, v in c.items() if k != "key"})
    if "is_empty" in c:
        return m.IsEmptyCondition(is_empty=m.PayloadField(key=c["is_empty"]["key"]))
    if "is_null" in c:
        return m.IsNullCondition(is_null=m.PayloadField(key=c["is_null"]["key"]))
    if "has_id" in c:
        return m.HasIdCondition(has_id=c["has_id"])
    if "has_vector" in c:
        return m.HasVectorCondition(has_vector=c["has_vector"])
    if "slice" in c:
        return m.SliceCondition(slice=m.Slice(**c["slice"]))
    if "nested" in c:
        return m.NestedCondition(nested=m.Nested(key=c["nested"]["key"],
                                                 filter=filter_of(c["nested"]["filter"])))
    return filter_of(c)


def listed(v):
    if v is None:
        return None
    return [condition(c) for c in v] if isinstance(v, list) else condition(v)


def filter_of(f):
    if f is None:
        return None
    least = f.get("min_should")
    if least is not None:
        least = m.MinShould(conditions=[condition(c) for c in least["conditions"]],
                            min_count=least["min_count"])
    return m.Filter(must=listed(f.get("must")), should=listed(f.get("should")),
                    must_not=listed(f.get("must_not")), min_should=least)


# --- bodies -> arguments -----------------------------------------------------------------------------


def vector(v):
    if isinstance(v, dict) and set(v) == {"indices", "values"}:
        return m.SparseVector(**v)
    return v


def vectors(v):
    return {n: vector(x) for n, x in v.items()} if isinstance(v, dict) else v


def point(p):
    return m.PointStruct(id=p["id"], payload=p.get("payload"), vector=vectors(p["vector"]))


def columnar(b):
    v = b["vectors"]
    if isinstance(v, dict):
        v = {n: [vector(x) for x in col] for n, col in v.items()}
    return m.Batch(ids=b["ids"], vectors=v, payloads=b.get("payloads"))


def selector(op):
    if "points" in op:
        return m.PointIdsList(points=op["points"])
    return m.FilterSelector(filter=filter_of(op["filter"]))


def point_vectors(op):
    return [m.PointVectors(id=p["id"], vector=vectors(p["vector"])) for p in op["points"]]


def element(do, op):
    """One operation of a batch."""
    if do == "upsert":
        how = {"update_filter": filter_of(op.get("update_filter")), "update_mode": op.get("update_mode")}
        if "batch" in op:
            return m.UpsertOperation(upsert=m.PointsBatch(batch=columnar(op["batch"]), **how))
        return m.UpsertOperation(upsert=m.PointsList(points=[point(p) for p in op["points"]], **how))
    if do == "delete":
        return m.DeleteOperation(delete=selector(op))
    if do == "clear_payload":
        return m.ClearPayloadOperation(clear_payload=selector(op))
    if do == "update_vectors":
        return m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(
            points=point_vectors(op), update_filter=filter_of(op.get("update_filter"))))
    which = {"points": op.get("points"), "filter": filter_of(op.get("filter"))}
    if do == "delete_vectors":
        return m.DeleteVectorsOperation(delete_vectors=m.DeleteVectors(vector=op["vector"], **which))
    if do == "set_payload":
        return m.SetPayloadOperation(set_payload=m.SetPayload(
            payload=op["payload"], key=op.get("key"), **which))
    if do == "overwrite_payload":
        return m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload=op["payload"], **which))
    return m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=op["keys"], **which))


PARAMS = {"keyword": m.KeywordIndexParams, "integer": m.IntegerIndexParams, "float": m.FloatIndexParams,
          "geo": m.GeoIndexParams, "text": m.TextIndexParams, "bool": m.BoolIndexParams,
          "datetime": m.DatetimeIndexParams, "uuid": m.UuidIndexParams}


def schema(s):
    return m.PayloadSchemaType(s) if isinstance(s, str) else PARAMS[s["type"]](**s)


def vector_config(op):
    if "sparse" in op:
        return m.SparseVectorNameConfig(sparse=m.SparseVectorConfig(**op["sparse"]))
    return m.DenseVectorNameConfig(dense=m.DenseVectorConfig(**op["dense"]))


def payload_selector(v):
    if isinstance(v, dict):
        return m.PayloadSelectorInclude(**v) if "include" in v else m.PayloadSelectorExclude(**v)
    return v


def returned(op):
    return {"with_payload": payload_selector(op.get("with_payload", True)),
            "with_vectors": op.get("with_vector", False)}


# --- answers ---------------------------------------------------------------------------------------------


def plain_vector(v):
    if isinstance(v, m.SparseVector):
        return {"indices": v.indices, "values": v.values}
    if isinstance(v, dict):
        return {n: plain_vector(x) for n, x in v.items()}
    return v


def record(p):
    out = {"id": p.id}
    if p.payload is not None:
        out["payload"] = p.payload
    if p.vector is not None:
        out["vector"] = plain_vector(p.vector)
    return out


def ordered_record(p):
    return {**record(p), "order_value": p.order_value}


# --- the calls ---------------------------------------------------------------------------------------


def run(client, collection, op):
    return CALLS[op["do"]](client, collection, op)


def _upsert(c, name, op):
    points = columnar(op["batch"]) if "batch" in op else [point(p) for p in op["points"]]
    c.upsert(name, points, wait=True, update_filter=filter_of(op.get("update_filter")),
             update_mode=op.get("update_mode") and m.UpdateMode(op["update_mode"]))


def _batch(c, name, op):
    made = [element(*next(iter(o.items()))) for o in op["operations"]]
    return len(c.batch_update_points(name, made, wait=True))


def _scroll(c, name, op):
    order = op.get("order_by")
    got, following = c.scroll(name, scroll_filter=filter_of(op.get("filter")), limit=op.get("limit", 10),
                              offset=op.get("offset"), order_by=order and m.OrderBy(**order),
                              **returned(op))
    return {"points": [(ordered_record if order else record)(p) for p in got], "next": following}


def _query(c, name, op):
    got = c.query_points(name, query=vector(op["query"]), using=op.get("using"),
                         query_filter=filter_of(op.get("filter")), limit=op["limit"],
                         offset=op.get("offset"), search_params=m.SearchParams(**op["params"]),
                         **returned(op)).points
    return [{**record(p), "score": p.score} for p in got]


def _facet(c, name, op):
    hits = c.facet(name, op["key"], facet_filter=filter_of(op.get("filter")), limit=op.get("limit", 10),
                   exact=op["exact"]).hits
    return [[h.value, h.count] for h in hits]


def _info(c, name, op):
    info = c.get_collection(name)
    return {"points": info.points_count,
            "schema": {k: [v.data_type.value, v.points] for k, v in info.payload_schema.items()}}


CALLS = {
    "upsert": _upsert,
    "delete": lambda c, n, op: c.delete(n, selector(op), wait=True) and None,
    "update_vectors": lambda c, n, op: c.update_vectors(
        n, point_vectors(op), wait=True, update_filter=filter_of(op.get("update_filter"))) and None,
    "delete_vectors": lambda c, n, op: c.delete_vectors(n, op["vector"], selector(op), wait=True) and None,
    "set_payload": lambda c, n, op: c.set_payload(n, op["payload"], selector(op), key=op.get("key"),
                                                  wait=True) and None,
    "overwrite_payload": lambda c, n, op: c.overwrite_payload(n, op["payload"], selector(op),
                                                              wait=True) and None,
    "delete_payload": lambda c, n, op: c.delete_payload(n, op["keys"], selector(op), wait=True) and None,
    "clear_payload": lambda c, n, op: c.clear_payload(n, selector(op), wait=True) and None,
    "batch": _batch,
    "create_index": lambda c, n, op: c.create_payload_index(n, op["field_name"],
                                                            schema(op["field_schema"]), wait=True) and None,
    "delete_index": lambda c, n, op: c.delete_payload_index(n, op["field"], wait=True) and None,
    "create_vector": lambda c, n, op: c.create_vector_name(n, op["name"], vector_config(op)) and None,
    "delete_vector": lambda c, n, op: c.delete_vector_name(n, op["name"]) and None,
    "retrieve": lambda c, n, op: [record(p) for p in c.retrieve(n, op["ids"], **returned(op))],
    "scroll": _scroll,
    "count": lambda c, n, op: c.count(n, count_filter=filter_of(op.get("filter")), exact=op["exact"]).count,
    "facet": _facet,
    "query": _query,
    "info": _info,
}


def create(client, name, config):
    dense = config["vectors"]
    dense = m.VectorParams(**dense) if "size" in dense else {n: m.VectorParams(**v)
                                                             for n, v in dense.items()}
    sparse = {n: m.SparseVectorParams(**v) for n, v in config.get("sparse_vectors", {}).items()}
    client.create_collection(name, vectors_config=dense, sparse_vectors_config=sparse or None)
