#!/usr/bin/env python3
"""The recordings of tests/corpus, without a server: what filters found and what payloads became.

    recorded.py PROGRAM [-v]

Points, payloads and indexes of a recording are kept here as its steps make them (payload operations
through our code); each recorded scroll or count with a filter, and each read of payloads, is compared.
The recordings are of 1.18 and 1.19: answers that 1.20 changed, and those that are defects, are counted
by name.
"""
import argparse
import json
import pathlib
import re
import sys
import urllib.parse
import uuid

from matcher import Matcher

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "corpus"
TEXT = ("text", "text_any", "phrase")


# After delete_payload of "n" the recorded server still finds the point by its index on "n.m".
LEFT_BEHIND = "index follows payload changes: set, overwrite, delete keys, clear"


def plain(i):
    """An id as it is printed."""
    return str(uuid.UUID(i)) if isinstance(i, str) else i


class Lost(Exception):
    """The state of the collection is not known from here on."""


class Collection:
    def __init__(self, ours):
        self.ours, self.points, self.indexes, self.vectors = ours, {}, {}, {}

    def chosen(self, b):
        if b.get("points") is not None:
            return [i for i in map(plain, b["points"]) if i in self.points]
        return self.found(b["filter"])

    def found(self, f):
        self.ours.points(self.points)
        self.ours.indexes(self.indexes)
        return self.ours.ids_of(f or {})

    def payload(self, kind, b):
        for i in self.chosen(b):
            if kind == "set":
                self.points[i] = self.ours.ask(set=b["payload"], of=self.points[i], key=b.get("key"))
            elif kind == "overwrite":
                self.points[i] = b["payload"]
            elif kind == "clear":
                self.points[i] = {}
            else:
                self.points[i] = self.ours.ask(delete=b["keys"], of=self.points[i])

    def upsert(self, b):
        if "points" not in b or b.get("update_filter") or b.get("update_mode"):
            raise Lost
        for p in b["points"]:
            self.points[plain(p["id"])] = p.get("payload") or {}


def filters(f):
    """All conditions of a filter, with whether they stand in a nested one."""
    for name in ("must", "should", "must_not", "min_should"):
        cs = (f or {}).get(name) or []
        cs = cs.get("conditions", [cs]) if isinstance(cs, dict) else cs
        for c in cs:
            inner = c["nested"]["filter"] if "nested" in c else None if "key" in c else c
            yield c
            yield from filters(inner)


def otherwise(f):
    for c in filters(f):
        if any(k in c.get("match", {}) for k in TEXT):
            return "text without an index"
        if "is_null" in c and isinstance(c["is_null"], dict):
            return "is_null on a list with a null"
        if "has_vector" in c:
            return "vectors are not kept here"
    return None


class Replay:
    def __init__(self, ours, verbose):
        self.ours, self.verbose = ours, verbose
        self.same = self.skipped = self.bad = 0
        self.excused = {}

    def compare(self, name, what, want, got, f=None):
        if want == got:
            self.same += 1
            return
        why = "an index that was left behind" if name.endswith(LEFT_BEHIND) else otherwise(f)
        if why is not None:
            self.excused[why] = self.excused.get(why, 0) + 1
        else:
            self.bad += 1
        if why is None or self.verbose:
            print(f"{name}: {json.dumps(what)[:400]}\n    recorded {json.dumps(want)[:300]}\n"
                  f"    ours     {json.dumps(got)[:300]} {why or ''}")

    def read(self, name, col, s):
        b, result = s.get("b") or {}, s["r"]["result"]
        if s["p"].endswith("/count"):
            if b.get("exact", True) and "filter" in b:
                self.compare(name, b, result["count"], len(col.found(b["filter"])), b["filter"])
            return
        points = result["points"] if isinstance(result, dict) else result
        if s["p"].endswith("/scroll") and "filter" in b and not b.get("offset") and \
                not b.get("order_by") and result.get("next_page_offset") is None:
            got = col.found(b["filter"])
            order = lambda ids: sorted(ids, key=lambda i: (isinstance(i, str), i))  # noqa: E731
            self.compare(name, b["filter"], order([p["id"] for p in points]), order(got),
                         b["filter"])
        if b.get("with_payload") in (None, True):
            for p in points:
                if "payload" in p:
                    self.compare(name, p["id"], p["payload"], col.points.get(p["id"]))

    def step(self, name, cols, s):
        m = re.fullmatch(r"/collections/([^/?]+)(/[^?]*)?(\?.*)?", s["p"])
        if m is None:
            return
        col_name, rest, b = m.group(1), m.group(2) or "", s.get("b") or {}
        if not rest and s["m"] in ("PUT", "DELETE"):
            cols[col_name] = Collection(self.ours)
            return
        col = cols.get(col_name)
        if col is None or s["s"] != 200:
            if col is not None and s["m"] in ("PUT", "POST", "DELETE") and s["s"] == 404:
                raise Lost
            return
        verb = (s["m"], rest)
        if verb == ("PUT", "/points"):
            col.upsert(b)
        elif verb == ("POST", "/points/delete"):
            for i in col.chosen(b):
                del col.points[i]
        elif verb in (("POST", "/points/payload"), ("PUT", "/points/payload"),
                      ("POST", "/points/payload/delete"), ("POST", "/points/payload/clear")):
            kind = {"PUT": "overwrite", "POST": "set"}[s["m"]]
            if rest.endswith("/delete") or rest.endswith("/clear"):
                kind = rest.rsplit("/", 1)[1]
            col.payload(kind, b if isinstance(b, dict) else {"points": b})
        elif verb == ("PUT", "/index"):
            schema = b.get("field_schema", b.get("field_type"))
            if isinstance(schema, dict) and schema.get("tokenizer") == "multilingual":
                raise Lost
            col.indexes[b["field_name"]] = schema
        elif s["m"] == "DELETE" and rest.startswith("/index/"):
            col.indexes.pop(urllib.parse.unquote(rest[7:]), None)
        elif rest in ("/points/scroll", "/points/count", "/points"):
            self.read(name, col, s)
        elif rest.startswith("/points/") and s["m"] == "GET":
            self.compare(name, s["p"], s["r"]["result"].get("payload"),
                         col.points.get(s["r"]["result"]["id"]))
        elif rest.startswith(("/points/batch", "/points/vectors", "/shards", "/snapshots")):
            raise Lost

    def scenario(self, file, sc):
        cols = {}
        for n, s in enumerate(sc["steps"]):
            try:
                self.step(f"{file} / {sc['name']}", cols, s)
            except (Lost, KeyError, AttributeError):
                self.skipped += len(sc["steps"]) - n
                return


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("-v", action="store_true")
    args = p.parse_args()
    ours = Matcher(args.program)
    replay = Replay(ours, args.v)
    for file in sorted(CORPUS.glob("0[123]-*.jsonl")):
        for line in file.read_text().split("\n"):
            if line.strip():
                replay.scenario(file.stem, json.loads(line))
    ours.close()
    print(f"{replay.same} answers as recorded, {replay.bad} not, {replay.skipped} steps not followed, "
          f"known: {json.dumps(replay.excused)}")
    return replay.bad != 0


if __name__ == "__main__":
    sys.exit(main())
