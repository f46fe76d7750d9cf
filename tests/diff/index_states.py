#!/usr/bin/env python3
"""An index changes how fast an answer comes, not the answer, whatever state the index is in.

    tests/diff/index_states.py [--points 20000] [--rounds 2] [--seed N] [--no-text]

A collection is filled, and some hundred filters are counted and scrolled: once without indexes, while
indexes are being built (creation without wait, questions and rewrites of the same points meanwhile),
when they are finished, after so many rewrites that rows fill a chunk and its part is sealed, while
they are replaced by indexes of other parameters, after a clean restart, a kill and a restart, and when
they are deleted again. The payloads are such that none of the listed differences (02 §8.3) shows:
numbers of one kind, valid instants and places, uuids in one spelling, one text a field. With the indexes
there, facets and orders are compared with what the payloads say.
"""
import argparse
import json
import pathlib
import random
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from pyenv import need  # noqa: E402

need("qdrant_client")
import indexed  # noqa: E402
from harness import Http, Server  # noqa: E402

SETTINGS = {"log_level": "WARN", "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 300,
            "service.http_keep_alive_timeout_sec": 3600}
WORDS = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "Cat", "runs", "x86"]
STRINGS = ["".join(p) for p in zip("aabbccddeeff", "xyzxyzxyzxyz", "zzzyyyxxxwww")] + ["", "é", "zebra"]
UUIDS = ["%08x-1111-4222-8333-%012x" % (i * 77777, i) for i in range(12)]
TIMES = ["20%02d-%02d-11T10:%02d:00.%06dZ" % (20 + i % 5, 1 + i % 12, i % 60, i * 1001) for i in range(40)]
SCHEMAS = {
    "s": ["keyword", {"type": "keyword", "prefix": True}, {"type": "keyword", "on_disk": True}],
    "i": ["integer", {"type": "integer", "memory": "cold"}, {"type": "integer", "is_principal": True}],
    "f": ["float", {"type": "float", "on_disk": True}],
    "b": ["bool", {"type": "bool", "memory": "cached"}],
    "t": ["datetime", {"type": "datetime", "is_principal": True}],
    "u": ["uuid", {"type": "uuid", "is_tenant": True}],
    "g": ["geo", {"type": "geo", "on_disk": True}],
    "w": [{"type": "text", "phrase_matching": True}, {"type": "text", "phrase_matching": True,
                                                      "memory": "cold", "scoring": True}],
    "a[].x": ["integer", {"type": "integer", "lookup": True, "range": True}],
    "a[].y": [{"type": "keyword", "nested": "a"}, {"type": "keyword", "nested": "a", "prefix": True}],
    "o.d.i": ["integer", {"type": "integer", "range": False}],
}


# --- payloads and filters ---------------------------------------------------------------------------


def scalar(r, key):
    if key in ("s", "y"):
        return r.choice(STRINGS)
    if key in ("i", "x"):
        return r.choice([r.randrange(-20, 20), r.randrange(-20, 20), r.randrange(-2**40, 2**40)])
    if key == "f":
        return r.choice([r.randrange(-40, 40) / 4 + 0.125, r.random() * 1e6, -0.0, 1e300])
    if key == "b":
        return r.random() < 0.4
    if key == "t":
        return r.choice(TIMES)
    if key == "u":
        return r.choice(UUIDS)
    if key == "g":
        return {"lon": r.randrange(-1790, 1790) / 10, "lat": r.randrange(-890, 890) / 10}
    return " ".join(r.choice(WORDS) for _ in range(r.randrange(6)))


def value(r, key):
    k = r.random()
    if k < 0.7:
        return scalar(r, key)
    if k < 0.75:
        return r.choice([None, [], [None]])
    if key == "w":
        return scalar(r, key)
    return [scalar(r, key) if r.random() < 0.9 else None for _ in range(r.randrange(1, 5))]


def payload(r):
    p = {k: value(r, k) for k in "sifbtugw" if r.random() < 0.8}
    if r.random() < 0.6:
        p["a"] = [{k: value(r, k) for k in "xy" if r.random() < 0.8} for _ in range(r.randrange(4))]
    if r.random() < 0.5:
        p["o"] = {"d": {"i": value(r, "i")}} if r.random() < 0.9 else {"d": 5}
    return p


def bounds(r, key):
    names = r.sample(["gt", "gte", "lt", "lte"], r.choice([1, 2]))
    return {n: scalar(r, key) for n in names}


def clause(r, key):
    """A clause on a key for which every index gives the answer of the payload."""
    k = r.random()
    if k < 0.12:
        return {"values_count": {r.choice(["gt", "lt", "gte", "lte"]): r.randrange(4)}}
    if key == "g":
        if k < 0.5:
            return {"geo_radius": {"center": scalar(r, "g"), "radius": r.choice([5e5, 3e6, 1e7])}}
        a, b = scalar(r, "g"), scalar(r, "g")
        if k < 0.75:
            top, low = max(a["lat"], b["lat"]), min(a["lat"], b["lat"])
            return {"geo_bounding_box": {"top_left": {"lon": a["lon"], "lat": top},
                                         "bottom_right": {"lon": b["lon"], "lat": low}}}
        c = scalar(r, "g")
        return {"geo_polygon": {"exterior": {"points": [a, b, c, a]}}}
    if key == "w":
        text = scalar(r, "w") or "fox"
        return {"match": {r.choice(["text", "text_any", "phrase"]): " ".join(text.split()[:2])}}
    if key == "b":
        return {"match": {"value": r.random() < 0.5}}
    if key in ("f", "t") or key in ("i", "x") and k < 0.55:
        return {"range": bounds(r, key)}
    if k < 0.6:
        return {"match": {"value": scalar(r, key)}}
    if k < 0.85:
        return {"match": {r.choice(["any", "except"]): [scalar(r, key) for _ in range(r.randrange(1, 6))]}}
    if key in ("s", "y"):
        return {"match": {r.choice(["prefix", "substring"]): r.choice(STRINGS)[:2]}}
    return {"match": {"any": [scalar(r, key) for _ in range(3)]}}


def condition(r):
    k = r.random()
    if k < 0.12:
        key = r.choice(list("sifbtugw"))
        return {r.choice(["is_empty", "is_null"]): {"key": key}} if r.random() < 0.5 else \
            {"key": key, r.choice(["is_empty", "is_null"]): r.random() < 0.5}
    if k < 0.16:
        return {"is_empty": {"key": "a[].x"}}
    if k < 0.3:
        inner = [{"key": n, **clause(r, n)} for n in r.choice(["x", "y", "xy"])]
        return {"nested": {"key": "a", "filter": {r.choice(["must", "should", "must_not"]): inner}}}
    if k < 0.36:
        return {"nested": {"key": "a", "filter": {"must": [{"is_empty": {"key": "x"}}]}}}
    if k < 0.48:
        key = r.choice(["a[].x", "a[].y", "o.d.i"])
        return {"key": key, **clause(r, key[-1])}
    if k < 0.52:
        return {"has_id": [r.randrange(30000) for _ in range(300)]}
    if k < 0.55:
        return {"slice": {"total": 3, "index": r.randrange(3)}}
    key = r.choice("sifbtugw")
    return {"key": key, **clause(r, key)}


def some_filter(r):
    f = {}
    for name in r.choice([["must"], ["must"], ["should"], ["must_not"], ["must", "must_not"],
                          ["must", "should"]]):
        f[name] = [condition(r) for _ in range(r.choice([1, 1, 2, 3]))]
    if r.random() < 0.1:
        f["min_should"] = {"conditions": [condition(r) for _ in range(3)], "min_count": 2}
    return f


# --- asking ------------------------------------------------------------------------------------------


class Wrong(Exception):
    pass


def held_by(index, payload):
    """The different values that an index has of a payload; of places only how many."""
    held = index.held(indexed.value_by_key(payload, index.path))
    return set(range(len(held)) if index.type == "geo" else held)


class Round:
    def __init__(self, server, seed, n, text):
        self.server, self.r, self.n = server, random.Random(seed), n
        self.schemas = {k: v for k, v in SCHEMAS.items() if text or k != "w"}
        self.payloads = [payload(self.r) for _ in range(n)]
        self.filters = [some_filter(self.r) for _ in range(100)]
        self.asked = self.at_once = 0
        self.wanted = None
        # What an index of a path holds of each point; all schemas of a path have one type.
        indexes = {path: indexed.Index(path, s[0]) for path, s in self.schemas.items()}
        self.held = {path: [held_by(i, p) for p in self.payloads] for path, i in indexes.items()}
        self.complete = {path: sum(map(bool, held)) for path, held in self.held.items()}

    @property
    def http(self):
        return self.server.http

    def ask(self, f):
        self.asked += 1
        n = self.http.ok("POST", "/collections/c/points/count", {"filter": f})["count"]
        got = self.http.ok("POST", "/collections/c/points/scroll",
                           {"filter": f, "limit": 40, "with_payload": False})
        return n, [p["id"] for p in got["points"]], got["next_page_offset"]

    def check(self, state, filters=None):
        for i in filters if filters is not None else range(len(self.filters)):
            got = self.ask(self.filters[i])
            if got != self.wanted[i]:
                raise Wrong(f"{state}: {json.dumps(self.filters[i])}\n  found  {got}\n"
                            f"  wanted {self.wanted[i]}")

    def fill(self, wait="true"):
        http = Http(self.server.port)
        for at in range(0, self.n, 1000):
            http.ok("PUT", f"/collections/c/points?wait={wait}", {"points": [
                {"id": i, "vector": {}, "payload": self.payloads[i]}
                for i in range(at, min(at + 1000, self.n))]})
        http.close()

    def index(self, which, state):
        """Creates all, not waiting; what each of them may answer is asked at once."""
        for path, schemas in self.schemas.items():
            self.http.ok("PUT", "/collections/c/index?wait=false", {
                "field_name": path, "field_schema": schemas[which % len(schemas)]})
            key = json.dumps(path.removeprefix("a[]."))
            about = [i for i, f in enumerate(self.filters) if f'"key": {key}' in json.dumps(f)]
            self.at_once += self.figures().get(path) != self.complete[path]
            self.check(f"{state}, {path}", self.r.sample(about, min(4, len(about))))
        self.current = {p: s[which % len(s)] for p, s in self.schemas.items()}

    def figures(self):
        schema = self.http.ok("GET", "/collections/c")["payload_schema"]
        return {k: v["points"] for k, v in schema.items()}

    def while_building(self, state, rewrite):
        """Questions until all figures are complete, and some more; the points are written again as
        they are meanwhile."""
        stop = threading.Event()
        writer = threading.Thread(target=self.rewrite, args=(stop,)) if rewrite else None
        if writer:
            writer.start()
        rounds, until, wanted = 0, time.monotonic() + 120, self.complete
        try:
            while True:
                done = self.figures() == wanted
                self.check(f"{state}, {'complete' if done else 'in work'}",
                           self.r.sample(range(len(self.filters)), 12))
                rounds += not done
                if done or rewrite and rounds >= 8:
                    break
                if time.monotonic() > until:
                    raise Wrong(f"{state}: never complete: {self.figures()}, wanted {wanted}")
        finally:
            stop.set()
            if writer:
                writer.join()
        return rounds

    def rewrite(self, stop):
        http, r = Http(self.server.port), random.Random(1)
        while not stop.is_set():
            ids = r.sample(range(self.n), 50)
            http("PUT", "/collections/c/points?wait=false", {"points": [
                {"id": i, "vector": {}, "payload": self.payloads[i]} for i in ids]})
        http.close()

    def settled(self, state):
        until, wanted = time.monotonic() + 60, self.complete
        while self.figures() != wanted:
            if time.monotonic() > until:
                raise Wrong(f"{state}: figures {self.figures()}, wanted {wanted}")
            time.sleep(0.05)
        self.check(state)
        self.facets(state)
        self.orders(state)

    def matching(self, f):
        if f is None:
            return range(self.n)
        got = self.http.ok("POST", "/collections/c/points/scroll",
                           {"filter": f, "limit": self.n, "with_payload": False})
        return [p["id"] for p in got["points"]]

    def facets(self, state):
        for path, schema in self.current.items():
            index = indexed.Index(path, schema)
            if index.type not in ("keyword", "bool", "uuid") and not index.can("lookup"):
                continue
            f = self.r.choice([None, self.r.choice(self.filters)])
            counts = {}
            for i in self.matching(f):
                for v in self.held[path][i]:
                    counts[v] = counts.get(v, 0) + 1
            order = sorted(counts.items(), key=lambda h: (-h[1], h[0].encode() if isinstance(h[0], str)
                                                          else h[0]))[:20]
            wanted = [[str(v) if index.type == "uuid" else v, n] for v, n in order]
            body = {"key": path, "limit": 20, "exact": True, **({"filter": f} if f else {})}
            got = [[h["value"], h["count"]] for h in
                   self.http.ok("POST", "/collections/c/facet", body)["hits"]]
            self.asked += 1
            if got != wanted:
                raise Wrong(f"{state}: facet {json.dumps(body)}\n  found  {got}\n  wanted {wanted}")

    def orders(self, state):
        for path, schema in self.current.items():
            index = indexed.Index(path, schema)
            if index.type not in ("float", "datetime") and not index.can("range"):
                continue
            f = self.r.choice([None, self.r.choice(self.filters)])
            down = self.r.random() < 0.5
            rows = [v for i in self.matching(f) for v in self.held[path][i]]
            rows.sort(reverse=down)
            body = {"order_by": {"key": path, "direction": "desc" if down else "asc"}, "limit": 500,
                    "with_payload": False, **({"filter": f} if f else {})}
            got = self.http.ok("POST", "/collections/c/points/scroll", body)["points"]
            self.asked += 1
            values = [p["order_value"] for p in got]
            holds = all(v in self.held[path][p["id"]] for p, v in zip(got, values))
            if values != rows[:500] or not holds or len({(p["id"], p["order_value"]) for p in got}) != len(got):
                raise Wrong(f"{state}: {json.dumps(body)}\n  found  {values[:60]}\n  wanted {rows[:60]}")

    # --- the states -------------------------------------------------------------------------------

    def run(self):
        self.http.close()
        self.http("DELETE", "/collections/c")
        self.http.ok("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        self.fill()
        self.wanted = [self.ask(f) for f in self.filters]
        hits = sum(0 < w[0] < self.n for w in self.wanted)
        self.index(0, "being built")
        seen = self.while_building("being built", False)
        self.settled("finished")
        self.delete("deleted")
        self.index(0, "being built again")
        seen += self.while_building("being built under writes", True)
        self.settled("finished under writes")
        for _ in range(3):
            self.fill("false")  # the same points: rows go on into the next chunks
            self.check("between rewrites", self.r.sample(range(len(self.filters)), 20))
        self.settled("several chunks")
        self.index(1, "being replaced")
        seen += self.while_building("being replaced", self.r.random() < 0.5)
        self.settled("replaced")
        for how in ("restart", "kill", "kill while saving"):
            if how == "kill while saving":
                self.index(2, "being replaced again")
                self.fill("true")
            self.server.restart() if how == "restart" else (self.server.kill(), self.server.start())
            self.check(f"just after {how}", self.r.sample(range(len(self.filters)), 30))
            self.settled(f"after {how}")
        self.delete("deleted at the end")
        return hits, seen + self.at_once

    def delete(self, state):
        for path in self.schemas:
            self.http.ok("DELETE", f"/collections/c/index/{path.replace('[', '%5B').replace(']', '%5D')}"
                         "?wait=true")
        self.check(state)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--points", type=int, default=20000)
    ap.add_argument("--rounds", type=int, default=1)
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--no-text", action="store_true")
    args = ap.parse_args()
    indexed.remember_paths()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    t0, asked, bad, lines = time.monotonic(), 0, 0, []
    server = Server(env=SETTINGS)
    try:
        for i in range(args.rounds):
            one = Round(server, f"{seed}/{i}", args.points, not args.no_text)
            try:
                hits, seen = one.run()
                lines.append(f"{hits} of {len(one.filters)} filters split the points, {seen} times asked "
                             "while in work")
            except Wrong as e:
                bad += 1
                print(f"--- round {seed}/{i}: {e}", flush=True)
            asked += one.asked
    finally:
        server.close(check=not bad)
    print("; ".join(lines))
    print(f"seed {seed}: {args.rounds} rounds of {args.points} points, {asked} answers compared in "
          f"{time.monotonic() - t0:.0f} s, {bad} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
