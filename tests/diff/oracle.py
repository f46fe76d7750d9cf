"""The client's in-memory mode as the judge of a server.

Oracle.run(op) gives the answer that the specification wants: what the in-memory mode says, corrected
where chapters 02 and 06 settle it against that mode. SETTLED lists every such place with its paragraph;
the code that follows an entry carries its number, as "S3". Whatever payload indexes change (S10 to S14)
is in indexed.py.

An answer is ("ok", result) or ("error", class); Unspecified means that nobody needs to be asked, because
the answer is open or the operation would leave the two in different, equally good states.
"""
import warnings

from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.local import local_collection, payload_filters
from qdrant_client.local.payload_value_extractor import value_by_key
from qdrant_client.local.utils import normalize_point_id

import calls
import indexed
import tally
from indexed import Indexes, Unspecified, as_micros, steps

SETTLED = {
    "S1": ("02 §7.9", "an empty `should` inside a nested filter matches nothing; that mode: no restriction"),
    "S2": ("02 §7.1", "several clauses in one field condition are OR-ed per value; that mode: the first"),
    "S3": ("02 §7.5, 06 §5.2", "field form of is_empty and is_null without an index, several values: some "
           "value is / is not; that mode: the field as a whole"),
    "S4": ("02 §5.5", "an id that comes several times in one upsert: the last one counts, also with "
           "update_mode and update_filter; that mode: one after the other"),
    "S5": ("02 §5.10", "a batch is refused as a whole for what validation finds; dimensions, unknown names "
           "and empty operations come up in their turn and leave the elements before applied; that mode "
           "refuses the batch for all of them"),
    "S6": ("02 §5.8", "an unknown name in delete vectors is no error when a filter selects no point"),
    "S7": ("02 §6.3", "unknown names in with_vector are refused if there is a point to return; ignored there"),
    "S8": ("02 §6.2", "a repeated id is returned once"),
    "S9": ("02 §7.1", "a field condition without clause is refused, but not in delete and clear payload"),
    "S10": ("02 §8.2-8.3", "conditions on an indexed key"),
    "S11": ("06 §5.2", "conditions on a key with a nested index"),
    "S12": ("02 §6.7, §8.2", "a facet needs an index that looks values up, and counts its values only"),
    "S13": ("02 §6.5, §8.2", "order_by needs an index with ranges, and orders its values only; with offset "
            "it is refused, in an empty collection too"),
    "S14": ("02 §8.1", "what an index is refused for, and payload_schema"),
    "S15": ("02 §5.8", "update vectors: a point whose vector map is empty, or has empty sparse vectors only, "
            "is refused"),
    "S16": ("02 §5.5", "the columnar form with `{}` for vectors; that mode needs a list"),
    "S17": ("02 §5.4", "an upsert without points"),
    "S18": ("02 §7.9, 06 §5.2", "in a nested filter an index changes nothing but how text is analysed; one "
            "whose entries are the elements takes the texts of an element together"),
}

SCHEMA = Indexes()  # of the collection that is asked: filters look here
INSIDE = []         # steps of the nested conditions around the one at hand
WHOLE = []          # and the payload of the point


# --- filters ------------------------------------------------------------------------------------------

plain_condition = payload_filters.check_condition
plain_filter = payload_filters.check_filter


def check_condition(c, payload, point_id, has_vector):
    if not WHOLE:
        WHOLE.append(payload)
        try:
            return check_condition(c, payload, point_id, has_vector)
        finally:
            WHOLE.pop()
    verdict = judged(c, payload, point_id, has_vector)
    tally.condition(c, verdict)
    return verdict


def judged(c, payload, point_id, has_vector):
    if isinstance(c, m.NestedCondition):
        return nested(c, payload)
    if isinstance(c, m.FieldCondition):
        return field_condition(c, payload, point_id, has_vector)
    if isinstance(c, (m.IsEmptyCondition, m.IsNullCondition)):
        key = (c.is_empty if isinstance(c, m.IsEmptyCondition) else c.is_null).key
        by_index = of_index(c, key, payload)
        if by_index is not None:
            return by_index
    return plain_condition(c, payload, point_id, has_vector)


def nested(c, payload):
    key = c.nested.key if c.nested.key.endswith("[]") else c.nested.key + "[]"
    here = steps(key)
    INSIDE.extend(here)
    try:
        return any(check_filter(c.nested.filter, e, -1, {})
                   for e in indexed.walk(payload, here) if isinstance(e, dict))
    finally:
        del INSIDE[-len(here):]


def check_filter(f, payload, point_id, has_vector):
    if INSIDE and f.should == []:  # S1
        return False
    verdict = plain_filter(f, payload, point_id, has_vector)
    tally.filtered(f, verdict)
    return verdict


def of_index(c, key, payload):
    """What an index on the key says, or None."""
    index = SCHEMA.get(key, INSIDE)
    if index is None:
        return None
    says = indexed.answer(index, c, payload, WHOLE[0], bool(INSIDE))  # S10, S11
    if says is not None:
        tally.answered(index, c)
    return says


def field_condition(c, payload, point_id, has_vector):
    clauses = indexed.clauses_of(c)
    if not clauses:
        return False
    if len(clauses) > 1:
        return several_clauses(c, clauses, payload)
    by_index = of_index(c, c.key, payload)
    if isinstance(by_index, tuple):  # the values that a geo index holds
        by_index = any(value_clause(c, clauses[0], v) for v in by_index[1])
    if by_index is None or INSIDE:
        of_payload = field_form(c, payload) if c.is_empty is not None or c.is_null is not None else \
            plain_condition(c, payload, point_id, has_vector)
        return of_payload if by_index is None else of_element(c, payload, by_index, of_payload)
    return by_index


def of_element(c, payload, by_index, of_payload):
    """S18. A condition in a nested filter, where there is an index on the full path."""
    index = SCHEMA.get(c.key, INSIDE)
    if is_about_entries(index):
        tally.of_entry(index, c)
    if is_text(c):
        texts = [v for v in value_by_key(payload, c.key) or [] if isinstance(v, str)]
        of_payload = by_index if is_about_entries(index) else \
            any(index.analyzer.matches(c.match, [t], knows_phrases=True) for t in texts)
    elif index.type != "geo":
        return of_payload
    if of_payload != by_index:
        raise Unspecified("phrases, texts of several values, places beside the earth in a nested filter")
    return of_payload


def is_about_entries(index):
    """In a nested filter: is it about the elements that the index has as its entries (06 §5.2)?"""
    return len(index.nested) == len(INSIDE)


def is_text(c):
    """02 §7.9 names these: inside a nested filter they follow the index."""
    return isinstance(c.match, (m.MatchText, m.MatchTextAny, m.MatchPhrase))


def field_form(c, payload):
    """S3"""
    found = value_by_key(payload, c.key, flat=False)
    if c.is_empty is not None:
        if not found:
            return c.is_empty
        return any(payload_filters.value_is_empty(v) == c.is_empty for v in found)
    if not found:
        return not c.is_null
    return any(payload_filters.value_is_null(v) == c.is_null for v in found)


def several_clauses(c, clauses, payload):
    """S2. With an index, see check_validation()."""
    for name in ("values_count", "is_empty", "is_null"):
        if name in clauses:
            one = m.FieldCondition(key=c.key, **{name: getattr(c, name)})
            return field_form(one, payload) if name != "values_count" else \
                plain_condition(one, payload, -1, {})
    values = value_by_key(payload, c.key) or []
    return any(value_clause(c, name, v) for v in values for name in clauses)


def value_clause(c, name, v):
    check = {"match": payload_filters.check_match, "range": payload_filters.check_range_interface,
             "geo_radius": payload_filters.check_geo_radius,
             "geo_bounding_box": payload_filters.check_geo_bounding_box,
             "geo_polygon": payload_filters.check_geo_polygon}[name]
    return check(getattr(c, name), v)


def install():
    """Puts the corrected conditions under the in-memory mode."""
    warnings.simplefilter("ignore")
    payload_filters.check_condition = check_condition
    payload_filters.check_filter = check_filter
    local_collection.check_filter = check_filter
    indexed.remember_paths()


# --- what is refused before anything happens ----------------------------------------------------------


class Refused(Exception):
    """The server says no; `late`: not in the validation of a whole batch (S5)."""

    def __init__(self, why, late=False):
        super().__init__(why)
        self.late = late


def conditions_of(f, inside=()):
    """Every condition of a filter and every filter, itself first, with the steps of the nested ones around."""
    yield {"filter": f}, inside
    for name in ("must", "should", "must_not"):
        v = f.get(name)
        for c in v if isinstance(v, list) else [v] if v is not None else []:
            yield from within(c, inside)
    for c in (f.get("min_should") or {}).get("conditions", []):
        yield from within(c, inside)


def within(c, inside):
    if "nested" in c:
        key = c["nested"]["key"]
        inside += steps(key if key.endswith("[]") else key + "[]")
        yield from conditions_of(c["nested"]["filter"], inside)
    elif any(n in c for n in ("key", "is_empty", "is_null", "has_id", "has_vector", "slice")):
        yield c, inside
    else:
        yield from conditions_of(c, inside)


def check_validation(f, validated=True):
    """02 §7.1, §7.8; S9."""
    refused = False
    for c, inside in conditions_of(f):
        bad = (c.get("filter", {}).get("min_should") or {}).get("min_count") == 0
        if "slice" in c and c["slice"]["index"] >= c["slice"]["total"]:
            bad = True
        if bad and not validated:
            raise Unspecified("a filter nobody validates", True)
        refused = refused or bad or validated and set(c) == {"key"}
        if "key" in c and len(c) > 2 and SCHEMA.get(c["key"], inside) is not None:
            raise Unspecified("several clauses, and an index that answers the first it can", True)
    if refused:
        raise Refused("filter")


def validate(do, op, columns):
    """What 02 §3.3, §5 and §7 say of a write, before the log (early) and at its turn (late)."""
    for name in ("filter", "update_filter"):
        if op.get(name) is not None:
            check_validation(op[name], not (name == "filter" and do in ("delete", "clear_payload")))
    if do == "upsert":
        validate_upsert(op, columns)
    elif do == "update_vectors":
        validate_update_vectors(op, columns)
    elif do == "delete_vectors" and not op["vector"]:
        raise Refused("no names")
    for key in op.get("keys", []) + ([op["key"]] if op.get("key") is not None else []):
        valid_path(key)
    if "points" in op and not op["points"]:
        raise Refused("empty", late=True)  # S17


def valid_path(path):
    try:
        steps(path)
    except ValueError:
        raise Refused("path")


def validate_upsert(op, columns):
    if "batch" not in op:
        check_points([p["vector"] for p in op["points"]], columns, True)
        return
    b = op["batch"]
    v = b["vectors"] if isinstance(b["vectors"], dict) else {"": b["vectors"]}
    if any(len(x) != len(b["ids"]) for x in v.values()):
        raise Refused("lengths")
    if b.get("payloads") is not None and len(b["payloads"]) != len(b["ids"]):
        raise Refused("lengths")
    check_points([{n: x[i] for n, x in v.items()} for i in range(len(b["ids"]))], columns, True)
    if not b["ids"]:
        raise Refused("empty", late=True)


def validate_update_vectors(op, columns):
    if not op["points"]:
        raise Refused("no points")
    for p in op["points"]:
        v = p["vector"]
        if v == {} or isinstance(v, dict) and all(
                isinstance(x, dict) and not x["indices"] for x in v.values()):  # S15
            raise Refused("no vectors")
    check_points([p["vector"] for p in op["points"]], columns, False)
    if op.get("update_filter") and len({normalize_point_id(p["id"]) for p in op["points"]}) < \
            len(op["points"]):
        raise Unspecified("which state of an id that comes again the filter sees", True)


def check_points(vectors, columns, is_upsert):
    """Faults of form refuse the request, whatever else is wrong; then dimensions; then, point by point, the
    rest: what a request of several points leaves behind then is open (02 §5.4)."""
    maps = [v if isinstance(v, dict) else {"": v} for v in vectors]
    for v in maps:
        for x in v.values():
            check_form(x)
    for v in maps:
        for n, x in v.items():
            if is_upsert and has_wrong_size(x, columns.get(n)):
                raise Refused("dimension", late=True)
    for v in maps:
        for n, x in v.items():
            if is_misplaced(x, columns.get(n)) or not is_upsert and has_wrong_size(x, columns.get(n)):
                if len(maps) > 1:
                    raise Unspecified("a point that fails among others", True)
                raise Refused("vector", late=True)


def check_form(x):
    if isinstance(x, dict):
        if len(x["indices"]) != len(x["values"]) or len(set(x["indices"])) != len(x["indices"]):
            raise Refused("sparse")
    elif not x or isinstance(x[0], list) and (not all(x) or len({len(row) for row in x}) > 1):
        raise Refused("form")


def has_wrong_size(x, column):
    if column is None or isinstance(x, dict) or column["kind"] == "sparse":
        return False
    return any(len(row) != column["size"] for row in (x if isinstance(x[0], list) else [x]))


def is_misplaced(x, column):
    if column is None:
        return True
    if isinstance(x, dict) != (column["kind"] == "sparse"):
        return True
    return not isinstance(x, dict) and isinstance(x[0], list) and column["kind"] != "multi"


# --- the oracle -----------------------------------------------------------------------------------------


class Oracle:
    def __init__(self):
        self.client = None

    def create(self, config):
        """A new collection, alone."""
        global SCHEMA
        if self.client is not None:
            self.client.close()
        self.client = QdrantClient(":memory:")
        calls.create(self.client, "c", config)
        SCHEMA = self.indexes = Indexes()
        dense = config["vectors"]
        dense = {"": dense} if "size" in dense else dense
        self.columns = {n: {"kind": "multi" if "multivector_config" in v else "dense", "size": v["size"]}
                        for n, v in dense.items()}
        self.columns.update({n: {"kind": "sparse"} for n in config.get("sparse_vectors", {})})

    @property
    def local(self):
        return self.client._client.collections["c"]

    def run(self, op):
        do = op["do"]
        try:
            return "ok", getattr(self, "do_" + do, self.write)(op)
        except ValidationError:
            raise  # no request at all
        except Refused as e:
            return "error", str(e)
        except KeyError as e:
            return "error", f"404 {e}"
        except ValueError as e:
            return "error", str(e)[:80]

    def live(self):
        c = self.local
        return [(i, c.payload[at]) for i, at in c.ids.items() if not c.deleted[at]]

    def matching(self, f):
        """Payloads and ids of the points that a filter finds."""
        c = self.local
        if f is not None:
            check_validation(f)
        mask = c._payload_and_non_deleted_mask(calls.filter_of(f))
        return [(i, c.payload[at]) for i, at in c.ids.items() if mask[at]]

    # --- writes -----------------------------------------------------------------------------------

    def write(self, op):
        do = op["do"]
        validate(do, op, self.columns)
        if do == "upsert":
            op = self.last_ones(op)
        elif do == "delete_vectors":
            unknown = [n for n in op["vector"] if n not in self.columns]
            if unknown and "filter" in op and not self.matching(op["filter"]):
                return None  # S6
        return calls.run(self.client, "c", op)

    def last_ones(self, op):
        """S4, S16: rows, each id once."""
        points = op.get("points")
        if "batch" in op:
            b = op["batch"]
            v = b["vectors"] if isinstance(b["vectors"], dict) else {"": b["vectors"]}
            points = [{"id": i, "vector": {n: x[k] for n, x in v.items()},
                       "payload": (b.get("payloads") or {k: None})[k]} for k, i in enumerate(b["ids"])]
        last = {normalize_point_id(p["id"]): p for p in points}
        return {**{k: v for k, v in op.items() if k != "batch"}, "points": [
            {**p, "vector": self.rows_of(p["vector"])} for p in last.values()]}

    def rows_of(self, v):
        """02 §3.4: a plain list for a multivector is one row."""
        if not isinstance(v, dict):
            return v
        return {n: [x] if self.columns[n]["kind"] == "multi" and not isinstance(x[0], list) else x
                for n, x in v.items()}

    def do_update_vectors(self, op):
        validate("update_vectors", op, self.columns)
        return calls.run(self.client, "c", {**op, "points": [
            {**p, "vector": self.rows_of(p["vector"])} for p in op["points"]]})

    def do_batch(self, op):
        parts = [next(iter(o.items())) for o in op["operations"]]
        for do, body in parts:  # S5
            if "points" in body and "filter" in body:
                raise Unspecified("two selectors", True)
            try:
                validate(do, body, self.columns)
            except Refused as e:
                if not e.late:
                    raise
        for do, body in parts:
            getattr(self, "do_" + do, self.write)({"do": do, **body})
        return len(parts)

    # --- schema -----------------------------------------------------------------------------------

    def do_create_index(self, op):
        """S14"""
        schema, field = op["field_schema"], op["field_name"]
        if isinstance(schema, dict):
            if schema.get("lookup") is False and schema.get("range") is False:
                raise Refused("capabilities")
            if schema.get("nested") is not None:
                check_nested(field, schema["nested"])
        self.indexes.put(field, schema)

    def do_delete_index(self, op):
        self.indexes.drop(op["field"])

    def do_create_vector(self, op):
        calls.run(self.client, "c", op)
        self.columns.setdefault(op["name"], {"kind": "sparse"} if "sparse" in op else {
            "kind": "multi" if "multivector_config" in op["dense"] else "dense", "size": op["dense"]["size"]})

    def do_delete_vector(self, op):
        calls.run(self.client, "c", op)
        self.columns.pop(op["name"], None)

    def do_info(self, op):
        payloads = [p for _, p in self.live()]
        return {"points": len(payloads), "schema": self.indexes.points_of(payloads)}

    # --- reads --------------------------------------------------------------------------------------

    def check_names(self, op, found):
        wanted = op.get("with_vector")
        if found and isinstance(wanted, list) and any(n not in self.columns for n in wanted):  # S7
            raise Refused("unknown vector name")

    def do_retrieve(self, op):
        ids = list(dict.fromkeys(normalize_point_id(i) for i in op["ids"]))  # S8
        got = calls.run(self.client, "c", {**op, "ids": ids})
        self.check_names(op, got)
        return got

    def do_scroll(self, op):
        if op.get("limit") == 0:
            raise Refused("limit")
        if op.get("filter") is not None:
            check_validation(op["filter"])
        if op.get("order_by"):
            return self.ordered(op)
        got = calls.run(self.client, "c", op)
        self.check_names(op, got["points"])
        return got

    def ordered(self, op):
        """S13. The result is a list of ties: (value, ids, how many of them)."""
        order = op["order_by"]
        index = self.indexes.of(order["key"])
        if op.get("offset") is not None:
            raise Refused("offset")
        if index is None or not (index.type in ("float", "datetime") or index.can("range")):
            raise Refused("no index")
        start = order.get("start_from")
        start = as_micros(start) if isinstance(start, str) else start
        rows = {}
        down = order.get("direction") == "desc"
        for i, p in self.matching(op.get("filter")):
            for v in set(index.held(value_by_key(p, order["key"]))):
                if start is None or (v <= start if down else v >= start):
                    rows.setdefault(v, []).append(i)
        out, left = [], op["limit"]
        for v in sorted(rows, reverse=down):
            if left > 0:
                out.append([v, sorted(rows[v], key=str), min(left, len(rows[v]))])
                left -= len(rows[v])
        return {"ties": out}

    def do_count(self, op):
        return len(self.matching(op.get("filter")))

    def do_facet(self, op):
        """S12"""
        index = self.indexes.of(op["key"])
        if index is None or not (index.type in ("keyword", "uuid", "bool") or index.can("lookup")):
            raise Refused("no index")
        counts = {}
        for _, p in self.matching(op.get("filter")):
            for v in set(index.held(value_by_key(p, op["key"]))):
                counts[v] = counts.get(v, 0) + 1
        key = (lambda v: v.encode()) if index.type == "keyword" else lambda v: v
        hits = sorted(counts.items(), key=lambda h: (-h[1], key(h[0])))[:op.get("limit", 10)]
        return [[str(v) if index.type == "uuid" else v, n] for v, n in hits]

    def do_query(self, op):
        """Everything that might be returned, best first: ties may be cut anywhere (03 §2.4)."""
        if op.get("filter") is not None:
            check_validation(op["filter"])
        name = op.get("using", "")
        if name not in self.columns:
            raise Refused("unknown vector name")
        got = calls.run(self.client, "c", {**op, "limit": 100000, "offset": None})
        self.check_names(op, got[op.get("offset") or 0:])
        return {"all": got, "offset": op.get("offset") or 0, "limit": op["limit"]}


def check_nested(field, nested):
    """06 §5.1"""
    inner = list(steps(nested))
    if inner[-1] != ("wildcard_index", None):
        inner.append(("wildcard_index", None))
    if sum(kind != "key" for kind, _ in inner) != 1:
        raise Refused("single array level")
    outer = list(steps(field))
    rest = outer[len(inner):]
    if outer[:len(inner)] != inner or not rest or rest[0][0] != "key":
        raise Refused("not inside")


__all__ = ["Oracle", "SETTLED", "Unspecified", "install"]
