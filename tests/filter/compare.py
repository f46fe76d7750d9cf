#!/usr/bin/env python3
"""Random payloads and filters: our matcher against the reference engine run in process.

    compare.py PROGRAM [--seed N] [--rounds N] [--plain | --indexed] [-v]

A round is 60 payloads and 60 filters over a few paths, without indexes or with random ones on these
paths. A disagreement is printed with the smallest filter that shows it, unless it is one of those
known to be the reference's (see KNOWN): they are counted by name. Exit code 1 when there is any
other.
"""
import argparse
import json
import random
import sys

from edge import Shard
from matcher import Matcher

U = ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000",
     "550e8400e29b41d4a716446655440000", "{650e8400-e29b-41d4-a716-446655440000}",
     "650e8400-e29b-41d4-a716-446655440000"]
WORDS = ["quick", "fox", "Quick", "FOX", "quick fox", "the quick brown fox", "fox, quick!",
         "brown", "fox-quick", "quickfox", "", " ", "!?", "quick quick fox", "über fox", "5"]
STRINGS = ["x", "xy", "y", "X", "", "xyx", "aé", "5", "true"] + U
INTS = [-3, -1, 0, 1, 2, 3, 5, 10, 2**53, 2**53 + 1, 2**63 - 1, -2**63, 2**63, 2**64 - 1]
FLOATS = [-3.0, -0.5, -0.0, 0.5, 1.0, 2.5, 3.0, 1e300, -1e300, 9007199254740992.0, 9.3e18,
          9223372036854775808.0, 5.0000001]
# Nothing finer than a microsecond: this engine cuts that off even where there is no index, servers do
# not.
TIMES = ["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00.000002Z",
         "2024-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z", "1970-01-01",
         "1970-01-01T00:00:00.000003+00:00", "2024-06-30T23:59:60Z", "2024-07-01T00:00:00Z",
         "2024-01-01 02:00:00+02:00", "2024-13-01", "0001-01-01", "9999-12-31 23:59:59"]
LON = [-180.0, -179.5, -10.0, 0.0, 1.0, 5, 10.0, 179.5, 180.0]
LAT = [-90.0, -45.5, 0.0, 1, 5.0, 10.0, 89.0, 90.0]


def place(r, valid=True):
    if not valid and r.random() < 0.1:
        return {"lon": r.choice([500.0, -181, "1", None, True]), "lat": r.choice([91.0, 0, 1.5])}
    return {"lon": r.choice(LON), "lat": r.choice(LAT)}


def scalar(r, mood):
    kinds = {"str": STRINGS, "text": WORDS, "int": INTS, "float": FLOATS, "num": INTS + FLOATS,
             "time": TIMES, "bool": [True, False], "uuid": U + ["x"]}
    if r.random() < 0.15:
        mood = r.choice(list(kinds))
    if mood == "geo":
        return place(r, False)
    return r.choice(kinds[mood])


def value(r, mood):
    k = r.random()
    if k < 0.55:
        return scalar(r, mood)
    if k < 0.62:
        return None
    if k < 0.66:
        return []
    if k < 0.70:
        return [None] * r.randrange(1, 3)
    if k < 0.73:
        return [[scalar(r, mood)], [None], []][r.randrange(3):]
    if k < 0.76:
        return {"z": scalar(r, mood)}
    return [scalar(r, mood) if r.random() < 0.9 else None for _ in range(r.randrange(1, 4))]


def element(r, mood):
    if r.random() < 0.1:
        return r.choice([5, None, "x", [], [{"x": scalar(r, mood)}]])
    e = {}
    if r.random() < 0.85:
        e["x"] = value(r, mood)
    if r.random() < 0.7:
        e["y"] = value(r, mood)
    if r.random() < 0.3:
        e["n"] = [{"x": value(r, mood)} for _ in range(r.randrange(3))]
    return e


def payload(r, mood):
    p = {}
    if r.random() < 0.9:
        p["k"] = value(r, mood)
    if r.random() < 0.5:
        p["l"] = value(r, mood)
    if r.random() < 0.6:
        p["o"] = {"k": value(r, mood)} if r.random() < 0.7 else value(r, mood)
    if r.random() < 0.8:
        p["a"] = [element(r, mood) for _ in range(r.randrange(4))]
        if r.random() < 0.1:
            p["a"] = r.choice([{"x": scalar(r, mood)}, None, 5])
    return p


PATHS = ["k", "k", "k", "l", "o.k", "o", "k[]", "k[0]", "k[1]", "a[].x", "a[].x", "a[].x", "a[].y",
         "a[0].x", "a[].n[].x", "a.x", "a", "none"]
INNER = ["x", "x", "x", "y", "n[].x", "x[0]", "none"]


def match(r, mood):
    k = r.random()
    if mood == "text" and k < 0.6:
        return {r.choice(["text", "text", "text_any", "phrase"]): r.choice(WORDS)}
    strings = {"text": WORDS, "time": TIMES, "uuid": U + ["x"]}.get(mood, STRINGS)
    ints = [i for i in INTS if -2**63 <= i < 2**63]
    if k < 0.3:
        v = scalar(r, mood)
        # The package takes a boolean for an integer here, so none are asked for.
        while isinstance(v, (bool, float, dict)) or (isinstance(v, int) and v >= 2**63):
            v = scalar(r, r.choice(["str", "int", mood]))
        return {"value": v}
    name = r.choice(["any", "except", "except"])
    if k < 0.75:
        pool = ints if mood in ("int", "float", "num") or r.random() < 0.1 else strings
        return {name: [r.choice(pool) for _ in range(r.choice([0, 1, 1, 2, 3, 12]))]}
    if k < 0.85:
        return {"prefix": r.choice(strings)[:r.randrange(4)]}
    if k < 0.95:
        return {"substring": r.choice(strings)[r.randrange(2):][:r.randrange(4)]}
    return {r.choice(["text", "text_any", "phrase"]): r.choice(WORDS)}


def bounds(r, mood):
    pool = TIMES if mood == "time" or r.random() < 0.08 else INTS + FLOATS
    pool = [t for t in pool if t != "2024-13-01"]
    if mood == "time" and r.random() < 0.1:
        pool = [1704067200000000, 1704067200000000.5, 0.5, -0.5, 3, 1e300, -1e300]
    names = r.sample(["gt", "gte", "lt", "lte"], r.choice([0, 1, 1, 2, 2, 3]))
    return {n: r.choice(pool) for n in names}


def geo(r):
    k = r.random()
    if k < 0.4:
        return "geo_bounding_box", {"top_left": place(r), "bottom_right": place(r)}
    if k < 0.7:
        return "geo_radius", {"center": place(r), "radius": r.choice(
            [0, -1, 1, 111195, 150000.0, 1e6, 5e6, 1.5e7, 2e7, 3e7])}
    ring = [[0, 0], [10, 0], [10, 10], [0, 10]]
    if r.random() < 0.5:
        ring = [[r.choice(LON), r.choice(LAT)] for _ in range(3)]
    polygon = {"exterior": {"points": [{"lon": x, "lat": y} for x, y in ring + ring[:1]]}}
    if r.random() < 0.4:
        hole = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]
        polygon["interiors"] = [{"points": [{"lon": x, "lat": y} for x, y in hole]}]
    return "geo_polygon", polygon


def clause(r, mood):
    k = r.random()
    if mood == "geo" and k < 0.55:
        return geo(r)
    if k < 0.5:
        return "match", match(r, mood)
    if k < 0.72:
        return "range", bounds(r, mood)
    if k < 0.75:
        return geo(r)
    if k < 0.83:
        return "values_count", {n: r.randrange(4) for n in
                                r.sample(["gt", "gte", "lt", "lte"], r.choice([0, 1, 1, 2]))}
    return r.choice(["is_empty", "is_null"]), r.random() < 0.5


def condition(r, mood, inner, depth):
    k = r.random()
    paths = INNER if inner else PATHS
    if k < 0.62:
        c = {"key": r.choice(paths)}
        for _ in range(r.choice([1] * 12 + [2, 2, 3])):
            name, v = clause(r, mood)
            c[name] = v
        return c
    if k < 0.76:
        return {r.choice(["is_empty", "is_null"]): {"key": r.choice(paths)}}
    if k < 0.79:
        return {"has_id": r.sample(range(1, 61), r.choice([0, 1, 30]))}
    if k < 0.81:
        return {"has_vector": r.choice(["a", "b", "c"])}
    if k < 0.91 or depth > 2:
        key = r.choice(["n", "x", "n[]"]) if inner else r.choice(
            ["a", "a", "a", "a[]", "a[].n", "o", "k", "none"])
        return {"nested": {"key": key, "filter": tree(r, mood, True, depth + 2)}}
    return tree(r, mood, inner, depth + 1)


def tree(r, mood, inner=False, depth=0):
    f = {}
    one = r.random() < 0.5
    for name in (["must"] if one else ["must", "should", "must_not"]):
        if one or r.random() < 0.5:
            n = 1 if depth > 2 else r.choice([0, 1, 1, 1, 2, 2] if not one else [1])
            f[name] = [condition(r, mood, inner, depth) for _ in range(n)]
    if r.random() < 0.1:
        n = r.randrange(4)
        f["min_should"] = {"conditions": [condition(r, mood, inner, depth) for _ in range(n)],
                           "min_count": r.choice([0, 1, 1, 2, 2, 3])}
    return f


def schema(r, mood, path):
    usual = {"str": "keyword", "text": "text", "int": "integer", "float": "float", "num": "integer",
             "time": "datetime", "bool": "bool", "uuid": "uuid", "geo": "geo"}
    kind = usual[mood] if r.random() < 0.75 else r.choice(list(usual.values()))
    s = {"type": kind}
    if kind == "integer" and r.random() < 0.3:
        s[r.choice(["lookup", "range"])] = False
    if kind == "text" and r.random() < 0.5:
        s["phrase_matching"] = True
    if kind == "keyword" and r.random() < 0.3:
        s["prefix"] = True
    if path.startswith("a[].") and r.random() < 0.5:
        s["nested"] = "a"
    return s


# --- what the reference is known to answer otherwise --------------------------------------------

def walk(f, inner=()):
    """Every condition that is no filter, with the keys of the nested conditions around it."""
    for name in ("must", "should", "must_not"):
        for c in f.get(name) or []:
            yield from walk_one(c, inner)
    for c in (f.get("min_should") or {}).get("conditions") or []:
        yield from walk_one(c, inner)


def walk_one(c, inner):
    if "nested" in c:
        key = c["nested"]["key"]
        yield from walk(c["nested"]["filter"], inner + (key if key.endswith("[]") else key + "[]",))
    elif "key" in c or any(k in c for k in ("is_empty", "is_null", "has_id", "has_vector")):
        yield c, inner
    else:
        yield from walk(c, inner)


def on_index(c, inner, indexes):
    """The index of a condition's full path."""
    for name in ("is_empty", "is_null"):
        if "key" not in c and name in c:
            c = c[name]
    return (indexes or {}).get(".".join(inner + (c["key"],))) if "key" in c else None


def negative(t):
    return isinstance(t, str) and (t.startswith("1969") or t.startswith("0001"))


def known(f, indexes):
    """Why the reference may answer this filter as it does, or None."""
    for c, inner in walk(f):
        s = on_index(c, inner, indexes)
        if s is None:
            continue
        if inner and s["type"] == "geo" and any(k.startswith("geo") for k in c):
            return "ours: a geo index leaves out places out of range inside of nested too"
        rng = c.get("range", {})
        if "geo_bounding_box" in c and s["type"] == "geo":
            return "a box at the edge of the map, with an index"
        if s["type"] == "float" and any(negative(t) for t in rng.values()):
            return "times before 1970 on a float index"
        if ("gt" in rng and "gte" in rng) or ("lt" in rng and "lte" in rng):
            return "two bounds on one side, with an index"
        if c.get("match", {}).get("value") in U and s["type"] in ("integer", "float", "datetime"):
            return "a uuid asked of an index of numbers"
        if (f.get("min_should") or {}).get("conditions") == []:
            return "an empty min_should beside an index"
    return None


# --- comparing -----------------------------------------------------------------------------------

def smaller(f):
    """Filters with one condition less."""
    for name in ("must", "should", "must_not"):
        for i in range(len(f.get(name) or [])):
            yield {**f, name: f[name][:i] + f[name][i + 1:]}
            c = f[name][i]
            for k in list(c) if "key" in c and len(c) > 2 else []:
                if k != "key":
                    yield {**f, name: f[name][:i] + [{m: v for m, v in c.items() if m != k}] +
                           f[name][i + 1:]}
            if "nested" in c:
                for g in smaller(c["nested"]["filter"]):
                    yield {**f, name: f[name][:i] + [{"nested": {**c["nested"], "filter": g}}] +
                           f[name][i + 1:]}
            elif "key" not in c and not any(k in c for k in ("is_empty", "is_null", "has_id",
                                                             "has_vector")):
                for g in smaller(c):
                    yield {**f, name: f[name][:i] + [g] + f[name][i + 1:]}
        if f.get(name) == []:
            yield {k: v for k, v in f.items() if k != name}
    if "min_should" in f:
        yield {k: v for k, v in f.items() if k != "min_should"}
        for c in f["min_should"]["conditions"]:
            yield {"must": [c]}


def twice(f):
    """The same, asked so that no index proposes points: every point is tested."""
    return {"must_not": [{"must_not": [f]}]}


def reduce(f, differs):
    again = True
    while again:
        again = False
        for g in smaller(f):
            if differs(g):
                f, again = g, True
                break
    return f


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--plain", action="store_true")
    p.add_argument("--indexed", action="store_true")
    p.add_argument("-v", action="store_true")
    args = p.parse_args()
    r = random.Random(args.seed)
    ours = Matcher(args.program)
    moods = ["str", "text", "int", "float", "num", "time", "bool", "uuid", "geo"]
    pairs = bad = 0
    excused = {}
    for n in range(args.rounds):
        mood = moods[n % len(moods)]
        payloads = {i: payload(r, mood) for i in range(1, 61)}
        indexes = {}
        if args.indexed or (not args.plain and n // len(moods) % 2):
            indexes = {path: schema(r, mood, path) for path in
                       r.sample(["k", "l", "o.k", "k[]", "k[0]", "a[].x", "a[].y", "a[].n[].x"], 5)}
        ours.points(payloads)
        ours.indexes(indexes)
        with Shard(payloads, indexes) as s:
            def differs(f):
                return sorted(ours.ids_of(f)) != sorted(s.ids_of(f))

            for _ in range(60):
                f = tree(r, mood)
                pairs += len(payloads)
                if not differs(f):
                    continue
                f = reduce(f, differs)
                why = known(f, indexes)
                if why is None and not differs(twice(f)):
                    why = "points that an index did not propose"
                if why is None and any(inner and on_index(c, inner, indexes)
                                       for c, inner in walk(f)):
                    with Shard(payloads) as bare:
                        if sorted(ours.ids_of(f)) == sorted(bare.ids_of(f)):
                            why = "an index that changes what nested finds"
                if why is not None:
                    excused[why] = excused.get(why, 0) + 1
                    if not args.v:
                        continue
                else:
                    bad += 1
                mine, theirs = set(ours.ids_of(f)), set(s.ids_of(f))
                print(json.dumps(f), "indexes", json.dumps(indexes), why or "")
                for i in sorted(mine ^ theirs)[:4]:
                    print("   ", "ours" if i in mine else "theirs", i, json.dumps(payloads[i]))
    ours.close()
    print(f"seed {args.seed}: {pairs} pairs, {bad} disagreements, the reference's own: "
          f"{json.dumps(excused)}")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
