"""Random sequences of operations on one collection.

An operation is a dict: "do" says what, the rest is the body of its REST request under the names of the
API, so that a printed operation can be sent by hand. Whoever runs it decides how: rest() here makes
the request, calls.py the call of the official client.
"""
import copy
import json
import urllib.parse

import grammar
import pool
from pool import chance

DISTANCES = ["Dot", "Cosine", "Euclid", "Manhattan"]
WRITES = {"upsert", "delete", "update_vectors", "delete_vectors", "set_payload", "overwrite_payload",
          "delete_payload", "clear_payload", "batch", "create_index", "delete_index", "create_vector",
          "delete_vector"}
NEW_NAMES = ["n1", "n2"]
KEYS = ["k", "l", "o", "o.k", "a", "a[]", "a[0]", "a[].x", "a[].y", "a[].n[].x", "x", "\"a.b\"", "\"\"",
        "none", "k[0]", "k[]", "a[1]"]
SET_KEYS = ["o", "o.k", "o.z", "a[]", "a[0]", "a[].x", "a[9]", "a[0].n", "k", "k.z", "new.deep", "new[]",
            "a", "\"a.b\"", "a[].n[]", "l[0]"]
BAD_PATHS = ["", "a..b", "a[", "a[-1]", " a", "a b", "a[].", "[0]"]


class Session:
    """One collection: its configuration, moods, and what it might look like by now."""

    def __init__(self, r, text=True):
        self.r, self.text = r, text
        self.moods = pool.moods_of(r)
        self.columns = {}
        self.bare = chance(r, 0.35)
        if self.bare:
            self.columns[""] = {"kind": "dense", "size": 4, "distance": r.choice(DISTANCES)}
        else:
            self.columns.update(
                d={"kind": "dense", "size": 3, "distance": r.choice(DISTANCES)},
                e={"kind": "dense", "size": 2, "distance": r.choice(DISTANCES)},
                m={"kind": "multi", "size": 2, "distance": r.choice(DISTANCES)},
                s={"kind": "sparse"})
        self.config = config_of(self.columns)
        self.indexes = {}  # field: type
        self.known = []  # ids that were written: most requests name these
        # Reads of one session are mostly of points that keep coming back under a few indexes.
        self.starts_full = chance(r, 0.7)
        self.index_share = r.choice([0, 0.01, 0.03, 0.08])
        self.first = r.randrange(5) if self.index_share else 0  # so many indexes before all else

    def filter(self):
        return grammar.some_filter(self.r, self.moods)

    # --- selectors ----------------------------------------------------------------------------------

    def selector(self):
        r = self.r
        if chance(r, 0.02):
            return {"points": []}
        if chance(r, 0.03):
            return {"filter": grammar.broken(r, self.moods)}
        return {"points": self.ids(6)} if chance(r, 0.65) else {"filter": self.filter()}

    def ids(self, most):
        """Ids for a request, nearly always such as were written before."""
        r = self.r
        if not self.known or chance(r, 0.12):
            return pool.some_ids(r, most)
        return [pool.spelled(r, r.choice(self.known)) for _ in range(r.choice([1, 1, 1, 2, 3, most]))]

    # --- points -------------------------------------------------------------------------------------

    def vectors(self, most=True):
        """The `vector` of a point."""
        r = self.r
        if list(self.columns) == [""] and chance(r, 0.8):
            return pool.vector(r, self.columns[""])
        share = 0.8 if most else 0.4
        return {n: pool.vector(r, c) for n, c in self.columns.items() if chance(r, share)}

    def point(self):
        pid = self.r.choice(pool.IDS)
        self.known.append(pid)
        p = {"id": pool.spelled(self.r, pid), "vector": self.vectors()}
        if chance(self.r, 0.93):
            p["payload"] = pool.payload(self.r, self.moods)
        return p

    def wrong_vectors(self):
        r = self.r
        if chance(r, 0.3) or not self.columns:
            return {"nope": [0.5, 1.5]}
        name = r.choice(list(self.columns))
        return {name: pool.wrong_vector(r, self.columns[name])}

    def upsert(self):
        r, op = self.r, {}
        if chance(r, 0.02):
            return {"points": []}
        if chance(r, 0.04):
            return {"points": [{**self.point(), "vector": self.wrong_vectors()}]}
        points = [self.point() for _ in range(r.choice([1, 1, 2, 3, 5, 8]))]
        if chance(r, 0.25):
            op["batch"] = self.columnar(points)
        else:
            op["points"] = points
        if chance(r, 0.25):
            op["update_mode"] = r.choice(["upsert", "insert_only", "update_only"])
        if chance(r, 0.25):
            op["update_filter"] = self.filter()
        return op

    def filled(self):
        """A first operation that puts points there to look at."""
        return {"do": "upsert", "points": [self.point() for _ in range(25)]}

    def columnar(self, points):
        r = self.r
        names = [n for n in self.columns if chance(r, 0.8)]
        vectors = {n: [pool.vector(r, self.columns[n]) for _ in points] for n in names}
        if list(vectors) == [""]:
            vectors = vectors[""]
        batch = {"ids": [p["id"] for p in points], "vectors": vectors}
        if chance(r, 0.9):
            batch["payloads"] = [p.get("payload", {}) for p in points]
            if chance(r, 0.03):
                batch["payloads"].append({})
        return batch

    def update_vectors(self):
        r = self.r
        if chance(r, 0.03):
            return {"points": []}
        if chance(r, 0.05):
            return {"points": [{"id": r.choice(pool.IDS), "vector": self.wrong_vectors()}]}
        points = [{"id": i, "vector": self.vectors(False)} for i in self.ids(4)]
        for p in points:
            if not p["vector"] and self.columns and chance(r, 0.8):
                name = r.choice(list(self.columns))
                p["vector"] = {name: pool.vector(r, self.columns[name])}
        op = {"points": points}
        if chance(r, 0.3):
            op["update_filter"] = self.filter()
        return op

    def delete_vectors(self):
        r, names = self.r, list(self.columns)
        if chance(r, 0.04):
            return {"vector": r.choice([[], ["nope"]]), **self.selector()}
        picked = r.sample(names, min(len(names), r.choice([1, 1, 2])))
        return {"vector": picked, **self.selector()}

    # --- payloads -----------------------------------------------------------------------------------

    def set_payload(self):
        op = {"payload": pool.patch(self.r, self.moods), **self.selector()}
        if chance(self.r, 0.5):
            op["key"] = self.r.choice(SET_KEYS if chance(self.r, 0.97) else BAD_PATHS)
        return op

    def overwrite_payload(self):
        new = pool.payload(self.r, self.moods) if chance(self.r, 0.5) else pool.patch(self.r, self.moods)
        return {"payload": new, **self.selector()}

    def delete_payload(self):
        r = self.r
        keys = [r.choice(KEYS if chance(r, 0.97) else BAD_PATHS) for _ in range(r.choice([0, 1, 1, 2, 3]))]
        return {"keys": keys, **self.selector()}

    def clear_payload(self):
        return self.selector()

    def delete(self):
        return self.selector()

    def batch(self):
        r = self.r
        kinds = ["upsert", "upsert", "delete", "update_vectors", "delete_vectors", "set_payload",
                 "overwrite_payload", "delete_payload", "clear_payload"]
        return {"operations": [{k: getattr(self, k)()} for k in
                               (r.choice(kinds) for _ in range(r.choice([0, 1, 2, 3, 5])))]}

    # --- schema -------------------------------------------------------------------------------------

    def create_index(self):
        r = self.r
        if chance(r, 0.04):
            field, schema = r.choice(grammar.BAD_SCHEMAS)
        else:
            field = r.choice(grammar.INDEXED)
            schema = grammar.schema(r, self.moods, field, self.text)
            self.indexes[field] = schema if isinstance(schema, str) else schema["type"]
        return {"field_name": field, "field_schema": schema}

    def delete_index(self):
        field = self.r.choice(sorted(self.indexes) + ["none"])
        self.indexes.pop(field, None)
        return {"field": field}

    def create_vector(self):
        r = self.r
        name = r.choice(NEW_NAMES + ([n for n in self.columns] if chance(r, 0.15) else []))
        if chance(r, 0.35):
            column = {"kind": "sparse"}
        else:
            column = {"kind": r.choice(["dense", "dense", "multi"]), "size": r.choice([2, 3]),
                      "distance": r.choice(DISTANCES)}
        self.columns.setdefault(name, column)
        return {"name": name, **new_column(column)}

    def delete_vector(self):
        names = [n for n in self.columns if n != ""] + ["nope"]
        name = self.r.choice(names)
        self.columns.pop(name, None)
        return {"name": name}

    # --- reads --------------------------------------------------------------------------------------

    def with_payload(self):
        r = self.r
        if chance(r, 0.6):
            return chance(r, 0.7)
        keys = [r.choice(KEYS) for _ in range(r.randrange(4))]
        return r.choice([keys, {"include": keys}, {"exclude": keys}])

    def with_vector(self):
        r = self.r
        if chance(r, 0.7):
            return chance(r, 0.4)
        names = list(self.columns) + (["nope"] if chance(r, 0.1) else [])
        return r.sample(names, min(len(names), r.randrange(3)))

    def retrieve(self):
        return {"ids": self.ids(10), "with_payload": self.with_payload(),
                "with_vector": self.with_vector()}

    def scroll(self):
        r, op = self.r, {}
        if chance(r, 0.8):
            op["filter"] = self.filter() if chance(r, 0.97) else grammar.broken(r, self.moods)
        if chance(r, 0.8):
            op["limit"] = r.choice([1, 3, 10, 100, 100]) if chance(r, 0.98) else 0
        if chance(r, 0.4):
            op["offset"] = pool.spelled(r, r.choice(pool.IDS + [17, 500]))
        op["with_payload"], op["with_vector"] = self.with_payload(), self.with_vector()
        return op

    def indexed(self, types):
        """A key, mostly one with an index of one of the types."""
        r = self.r
        fitting = [f for f in sorted(self.indexes) if self.indexes[f] in types]
        fields = fitting if fitting and chance(r, 0.85) else sorted(self.indexes) or ["k"]
        return r.choice(fields) if chance(r, 0.9) else r.choice(grammar.PATHS)

    def ordered(self):
        r = self.r
        order = {"key": self.indexed(("integer", "float", "datetime"))}
        if chance(r, 0.5):
            order["direction"] = r.choice(["asc", "desc"])
        if chance(r, 0.4):
            order["start_from"] = r.choice(
                pool.TIMES if grammar.mood_of(r, self.moods, order["key"]) == "time"
                else pool.INTS + pool.FLOATS)
        op = {"order_by": order, "limit": r.choice([1, 5, 100, 100])}
        if chance(r, 0.5):
            op["filter"] = self.filter()
        if chance(r, 0.02):
            op["offset"] = r.choice(pool.IDS)
        op["with_payload"] = chance(r, 0.3)
        return {"do": "scroll", **op}

    def count(self):
        op = {"exact": True}
        if chance(self.r, 0.95):
            op["filter"] = self.filter() if chance(self.r, 0.98) else grammar.broken(self.r, self.moods)
        return op

    def facet(self):
        r = self.r
        op = {"key": self.indexed(("keyword", "integer", "bool", "uuid")), "exact": True}
        if chance(r, 0.5):
            op["filter"] = self.filter()
        if chance(r, 0.7):
            op["limit"] = r.choice([1, 3, 50, 50])
        return op

    def query(self):
        r = self.r
        if not self.columns:
            return {"do": "count", **self.count()}
        name = r.choice(list(self.columns))
        column = self.columns[name]
        q = pool.vector(r, column)
        while not any(flatten(q["values"] if column["kind"] == "sparse" else q)):
            q = pool.vector(r, column)
        op = {"query": q, "limit": r.choice([1, 3, 10, 100]), "with_payload": chance(r, 0.2),
              "params": {"exact": True}}
        if name or chance(r, 0.3):
            op["using"] = name
        if chance(r, 0.8):
            op["filter"] = self.filter()
        if chance(r, 0.2):
            op["offset"] = r.choice([1, 3])
        return op

    def info(self):
        return {}

    # --- the sequence -------------------------------------------------------------------------------

    def next(self):
        r = self.r
        k = r.random()
        self.first -= 1
        if self.first >= 0:
            kind = "create_index"
        elif k < self.index_share:
            kind = r.choice(["create_index"] * 3 + ["delete_index"] * (1 if self.indexes else 0))
        elif k < self.index_share + 0.012:
            kind = r.choice(["create_vector", "delete_vector"])
        elif k < 0.4:
            kind = r.choice(["upsert"] * 5 + ["batch"] * 2 + [
                "delete", "update_vectors", "delete_vectors", "set_payload", "set_payload", "set_payload",
                "overwrite_payload", "delete_payload", "delete_payload", "clear_payload"])
        else:
            kind = r.choice(["scroll"] * 6 + ["count"] * 6 + ["ordered", "ordered", "facet", "facet",
                                                              "query", "query", "retrieve", "info"])
        return {"do": kind, **getattr(self, kind)()}


def flatten(q):
    return [x for y in q for x in flatten(y)] if isinstance(q, list) and q and isinstance(q[0], list) else q


def new_column(column):
    if column["kind"] == "sparse":
        return {"sparse": {}}
    dense = {"size": column["size"], "distance": column["distance"]}
    if column["kind"] == "multi":
        dense["multivector_config"] = {"comparator": "max_sim"}
    return {"dense": dense}


def config_of(columns):
    dense = {n: new_column(c)["dense"] for n, c in columns.items() if c["kind"] != "sparse"}
    config = {"vectors": dense[""] if list(dense) == [""] else dense}
    names = [n for n, c in columns.items() if c["kind"] == "sparse"]
    if names:
        config["sparse_vectors"] = {n: {} for n in names}
    return config


FULL = {"do": "scroll", "limit": 1000, "with_payload": True, "with_vector": True}

PATHS = {"upsert": ("PUT", "points"), "delete": ("POST", "points/delete"),
         "update_vectors": ("PUT", "points/vectors"), "delete_vectors": ("POST", "points/vectors/delete"),
         "set_payload": ("POST", "points/payload"), "overwrite_payload": ("PUT", "points/payload"),
         "delete_payload": ("POST", "points/payload/delete"),
         "clear_payload": ("POST", "points/payload/clear"), "batch": ("POST", "points/batch"),
         "create_index": ("PUT", "index"), "retrieve": ("POST", "points"),
         "scroll": ("POST", "points/scroll"), "count": ("POST", "points/count"), "facet": ("POST", "facet"),
         "query": ("POST", "points/query")}


def rest(op, collection, wait=True):
    """(method, path, body) of an operation."""
    do = op["do"]
    body = {k: v for k, v in op.items() if k != "do"}
    base, tail = f"/collections/{collection}", f"?wait={str(wait).lower()}" if do in WRITES else ""
    if do == "info":
        return "GET", base, None
    if do == "delete_index":
        return "DELETE", f"{base}/index/{urllib.parse.quote(op['field'], safe='')}{tail}", None
    if do in ("create_vector", "delete_vector"):
        body.pop("name")
        return ("PUT" if body else "DELETE",
                f"{base}/vectors/{urllib.parse.quote(op['name'], safe='')}{tail}", body or None)
    method, path = PATHS[do]
    return method, f"{base}/{path}{tail}", body


def shown(op, collection="c"):
    method, path, body = rest(op, collection)
    return f"{method} {path}" + ("" if body is None else " " + json.dumps(body, ensure_ascii=False))


def copied(op):
    return copy.deepcopy(op)
