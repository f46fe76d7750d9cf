"""Random filters over every condition, and random schemas of payload indexes, as their JSON.

Written from chapter 02 §7, §8.2 and chapter 06 §4, §5 of the specification.
"""
import pool
from pool import chance

PATHS = ["k", "k", "k", "l", "l", "o.k", "o", "k[]", "k[0]", "k[1]", "a[].x", "a[].x", "a[].x",
         "a[].y", "a[0].x", "a[].n[].x", "a.x", "a", "a[]", "none", "\"a.b\"", "\"\"", "\"k\"", "x"]
INNER = ["x", "x", "x", "y", "y", "n[].x", "x[0]", "x[]", "none", "\"x\""]
INDEXED = ["k", "k", "l", "o.k", "k[]", "k[0]", "a[].x", "a[].x", "a[].x", "a[].y", "a[].y", "a[].n[].x",
           "a[0].x", "\"a.b\"", "x"]
SIDES = ["gt", "gte", "lt", "lte"]


def last_key(path):
    return path.replace("[]", "").replace("[0]", "").replace("[1]", "").strip('"').rsplit(".", 1)[-1]


def mood_of(r, moods, path):
    if chance(r, 0.05):
        return r.choice(pool.MOODS)
    return moods.get(last_key(path)) or r.choice(pool.MOODS)


def text_query(r):
    return r.choice(["text", "text", "text_any", "phrase"]), r.choice(pool.WORDS)


def match(r, mood):
    k = r.random()
    if mood == "text" and k < 0.6:
        return dict([text_query(r)])
    strings = {"text": pool.WORDS, "time": pool.TIMES, "uuid": pool.UUID_TEXTS}.get(mood, pool.STRINGS)
    if mood == "uuid" and chance(r, 0.6):
        strings = pool.UUID_TEXTS[:-2]  # an index compares lists of nothing else as uuids
    if k < 0.35:
        if mood == "bool":
            return {"value": chance(r, 0.5)}
        numbers = mood in ("int", "float", "num")
        return {"value": r.choice(pool.INTS if numbers or chance(r, 0.1) else strings)}
    if k < 0.75:
        one = pool.INTS if mood in ("int", "float", "num") or chance(r, 0.1) else strings
        return {r.choice(["any", "except", "except"]):
                [r.choice(one) for _ in range(r.choice([0, 1, 1, 2, 3, 12]))]}
    if k < 0.84:
        return {"prefix": r.choice(strings)[:r.randrange(4)]}
    if k < 0.94:
        return {"substring": r.choice(strings)[r.randrange(2):][:r.randrange(4)]}
    return dict([text_query(r)])


def bounds(r, mood):
    names = r.sample(SIDES, r.choice([0, 1, 1, 2, 2, 3]))
    if mood == "time" or chance(r, 0.08):
        from_pool = pool.MICROS + [0.5, 1e300, -1e300] if chance(r, 0.15) else pool.TIMES
    else:
        from_pool = pool.INTS + pool.FLOATS
    return {n: r.choice(from_pool) for n in names}


def ring(r):
    k = r.random()
    if k < 0.5:
        xy = [[0, 0], [10, 0], [10, 10], [0, 10]]
    else:
        xy = [[r.choice(pool.LON), r.choice(pool.LAT)] for _ in range(r.choice([3, 4, 5]))]
    return {"points": [{"lon": x, "lat": y} for x, y in xy + xy[:1]]}


def geo(r):
    k = r.random()
    if k < 0.4:
        return "geo_bounding_box", {"top_left": pool.place(r), "bottom_right": pool.place(r)}
    if k < 0.7:
        return "geo_radius", {"center": pool.place(r), "radius": r.choice(
            [0, -1, 1, 111000.0, 150000.0, 1e6, 5e6, 1.5e7, 2.1e7])}
    p = {"exterior": ring(r)}
    if chance(r, 0.4):
        hole = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]
        p["interiors"] = [{"points": [{"lon": x, "lat": y} for x, y in hole]}]
    return "geo_polygon", p


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
    if k < 0.84:
        return "values_count", {n: r.randrange(4) for n in r.sample(SIDES, r.choice([0, 1, 1, 2]))}
    return r.choice(["is_empty", "is_null"]), chance(r, 0.5)


def condition(r, moods, inner=False, depth=0):
    k = r.random()
    paths = INNER if inner else PATHS
    if k < 0.62:
        path = r.choice(paths)
        c = {"key": path}
        for _ in range(r.choice([1] * 40 + [2, 3])):
            name, v = clause(r, mood_of(r, moods, path))
            c[name] = v
        return c
    if k < 0.74:
        return {r.choice(["is_empty", "is_null"]): {"key": r.choice(paths)}}
    if k < 0.78:
        return {"has_id": [pool.spelled(r, i) for i in r.sample(pool.IDS, r.choice([0, 1, 20]))]}
    if k < 0.81:
        return {"has_vector": r.choice(["", "d", "e", "m", "s", "n1", "nope"])}
    if k < 0.84:
        total = r.choice([1, 2, 3, 7])
        return {"slice": {"total": total, "index": r.randrange(total)}}
    if k < 0.93 or depth > 2:
        key = r.choice(["n", "x", "n[]"]) if inner else r.choice(
            ["a", "a", "a", "a[]", "a[].n", "a[0].n", "o", "k", "none"])
        return {"nested": {"key": key, "filter": tree(r, moods, True, depth + 2)}}
    return tree(r, moods, inner, depth + 1)


def tree(r, moods, inner=False, depth=0):
    f = {}
    one = chance(r, 0.5)
    for name in ["must"] if one else ["must", "should", "must_not"]:
        if one or chance(r, 0.5):
            n = 1 if one or depth > 2 else r.choice([0, 1, 1, 1, 2, 2])
            f[name] = [condition(r, moods, inner, depth) for _ in range(n)]
            if n == 1 and chance(r, 0.1):
                f[name] = f[name][0]
    if chance(r, 0.1):
        n = r.randrange(4)
        f["min_should"] = {"conditions": [condition(r, moods, inner, depth) for _ in range(n)],
                           "min_count": r.choice([1, 1, 2, 2, 3])}
    return f


def broken(r, moods):
    """A filter that validation refuses."""
    bad = r.choice([{"min_should": {"conditions": [condition(r, moods)], "min_count": 0}},
                    {"must": [{"slice": {"total": 3, "index": 3}}]},
                    {"must": [{"key": "k"}]},
                    {"should": [{"nested": {"key": "a", "filter": {"must": [{"key": "x"}]}}}]}])
    return bad if chance(r, 0.6) else {"must_not": [bad]}


def flat(r, moods):
    """A filter that mostly finds something: one or two plain conditions."""
    paths = ["k", "k", "l", "a[].x", "a[].y", "o.k"]
    parts = []
    for _ in range(r.choice([1, 1, 2])):
        path = r.choice(paths)
        name, v = clause(r, mood_of(r, moods, path))
        parts.append({"key": path, name: v})
    return {r.choice(["must", "should", "must_not"]): parts}


def about_entries(r, moods):
    """A filter about the elements of the array that an index with `nested` has as its entries."""
    parts = []
    for _ in range(r.choice([1, 1, 2])):
        key = r.choice(["x", "x", "y", "n[].x"])
        name, v = clause(r, mood_of(r, moods, key))
        parts.append({"key": key, name: v})
    inner = {r.choice(["must", "must", "should", "must_not"]): parts}
    entries = {"nested": {"key": r.choice(["a", "a[]"]), "filter": inner}}
    return {r.choice(["must", "must", "must_not"]): [entries]}


def some_filter(r, moods):
    k = r.random()
    return flat(r, moods) if k < 0.25 else about_entries(r, moods) if k < 0.4 else tree(r, moods)


# --- payload indexes ---------------------------------------------------------------------------------


def schema(r, moods, path, text=True):
    """A schema for an index on the path, mostly of the type that fits."""
    usual = pool.TYPE_OF_MOOD[mood_of(r, moods, path)]
    kind = usual if chance(r, 0.75) else r.choice(list(pool.MOOD_OF_TYPE))
    if kind == "text" and not text:
        kind = "keyword"
    if chance(r, 0.15 if path.startswith("a[].") else 0.3):
        return kind
    s = {"type": kind}
    if kind == "integer":
        k = r.random()
        if k < 0.3:
            s[r.choice(["lookup", "range"])] = False
        elif k < 0.4:
            s.update(lookup=True, range=True)
    elif kind == "keyword" and chance(r, 0.4):
        s["prefix"] = True
    elif kind == "text":
        s.update(text_params(r))
    if kind in ("integer", "float", "datetime") and chance(r, 0.2):
        s["is_principal"] = True
    if kind in ("keyword", "uuid") and chance(r, 0.2):
        s["is_tenant"] = True
    if chance(r, 0.2):
        s["memory"] = r.choice(["cold", "cached", "pinned"])
    elif chance(r, 0.2):
        s["on_disk"] = chance(r, 0.5)
    if chance(r, 0.1):
        s["enable_hnsw"] = chance(r, 0.5)
    if path.startswith("a[].") and chance(r, 0.6):
        s["nested"] = r.choice(["a", "a[]"])
    return s


def text_params(r):
    p = {"tokenizer": r.choice(["word", "word", "whitespace", "prefix", "code"])}
    if chance(r, 0.5):
        p["phrase_matching"] = True
    if chance(r, 0.25):
        p["lowercase"] = chance(r, 0.5)
    if chance(r, 0.2):
        p["min_token_len"] = r.choice([1, 2, 4])
    if chance(r, 0.2):
        p["max_token_len"] = r.choice([3, 5, 20])
    if chance(r, 0.2):
        p["ascii_folding"] = True
    if chance(r, 0.3):
        p["stopwords"] = r.choice(["english", {"languages": ["english"], "custom": ["fox"]},
                                   {"custom": ["Quick", "brown"]}, {}])
    if chance(r, 0.25):
        p["stemmer"] = {"type": "snowball", "language": "english"}
    if chance(r, 0.2):
        p["scoring"] = True
    return p


BAD_SCHEMAS = [("k", {"type": "integer", "lookup": False, "range": False}),
               ("k", {"type": "keyword", "nested": "a"}),
               ("a[].x", {"type": "integer", "nested": "o"}),
               ("a[].n[].x", {"type": "float", "nested": "a[].n"})]
