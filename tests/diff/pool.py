"""Random payloads, ids and vectors from small pools, so that what a filter asks for is often there.

Every key of a payload has a mood, the kind of value it mostly holds; conditions on the key draw from
the pool of the same mood. Numbers keep away from the two borders where the specification leaves what a
filter without an index sees to rounding: integers next to 2^53 and bounds next to 2^63. Instants are
written as the client's own parser reads them and are no finer than a microsecond.
"""
import string

MOODS = ["str", "text", "int", "float", "num", "time", "bool", "uuid", "geo"]
MOOD_OF_TYPE = {"keyword": "str", "text": "text", "integer": "int", "float": "float", "bool": "bool",
                "datetime": "time", "uuid": "uuid", "geo": "geo"}
TYPE_OF_MOOD = {"str": "keyword", "text": "text", "int": "integer", "float": "float", "num": "integer",
                "time": "datetime", "bool": "bool", "uuid": "uuid", "geo": "geo"}

UUIDS = ["550e8400-e29b-41d4-a716-446655440000", "650e8400-e29b-41d4-a716-446655440000",
         "00000000-0000-0000-0000-000000000001"]
UUID_TEXTS = [UUIDS[0], UUIDS[0].upper(), UUIDS[0].replace("-", ""), "{%s}" % UUIDS[1],
              "urn:uuid:" + UUIDS[1], UUIDS[1], UUIDS[2], "x", "550e8400"]
WORDS = ["quick", "fox", "Quick", "FOX", "quick fox", "the quick brown fox", "fox, quick!", "brown",
         "fox-quick", "quickfox", "", " ", "!?", "quick quick fox", "running cats", "cat runs",
         "CATS", "a cat ran", "getUserName", "get_user_name x86_64", "5", "über fox", "uber"]
STRINGS = ["x", "xy", "y", "X", "", "xyx", "aé", "5", "true", "zebra", "a b", "é"]
INTS = [-3, -1, 0, 1, 2, 3, 5, 10, 2**40, -2**40, 10**15]
WIDE = [2**63 - 1, -2**63, 2**64 - 1]  # as values only
FLOATS = [-3.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.5, 3.0, 5.0, 1e15, 1e300, -1e300, 5.0000001]
TIMES = ["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00.000002Z",
         "2024-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00",
         "1970-01-01T00:00:00.000003+00:00", "2024-07-01T00:00:00Z", "2024-01-01 02:00:00+02:00",
         "0001-01-02", "9999-12-31 23:59:59"]
NO_TIMES = ["2024-13-01", "yesterday", "2024", "20240101"]
LON = [-180.0, -179.5, -10.0, 0.0, 1.0, 5, 10.0, 179.5, 180.0]
LAT = [-90.0, -45.5, 0.0, 1, 5.0, 10.0, 89.0, 90.0]
MICROS = [1704067200000000, 1704067200000001, 0, -1, 3]  # what TIMES are as numbers

POOLS = {"str": STRINGS, "text": WORDS, "int": INTS, "float": FLOATS, "num": INTS + FLOATS,
         "time": TIMES, "bool": [True, False], "uuid": UUID_TEXTS}

NUMBER_IDS = list(range(36)) + [42, 1000, 2**63, 2**64 - 1]
UUID_IDS = ["%08x-0000-4000-8000-%012x" % (i * 2654435761 % 2**32, i * 40503) for i in range(1, 17)]
IDS = NUMBER_IDS + UUID_IDS


def chance(r, p):
    return r.random() < p


def spelled(r, pid):
    """An id in one of the spellings that a request may use."""
    if not isinstance(pid, str) or chance(r, 0.7):
        return pid
    return r.choice([pid.upper(), pid.replace("-", ""), "{%s}" % pid, "urn:uuid:" + pid])


def some_ids(r, most=6):
    return [spelled(r, r.choice(IDS)) for _ in range(r.choice([1, 1, 1, 2, 3, most]))]


# --- payloads ----------------------------------------------------------------------------------------


def place(r, valid=True):
    """A geo value; not valid: now and then one that is none, or lies beside the earth."""
    if not valid and chance(r, 0.15):
        return {"lon": r.choice([500.0, -181, "1", None, True]), "lat": r.choice([91.0, 0, 1.5])}
    p = {"lon": r.choice(LON), "lat": r.choice(LAT)}
    if not valid and chance(r, 0.1):
        p["name"] = "x"
    return p


def scalar(r, mood):
    if chance(r, 0.12):
        mood = r.choice(MOODS)
    if mood == "geo":
        return place(r, False)
    if mood == "time" and chance(r, 0.1):
        return r.choice(NO_TIMES)
    if mood in ("int", "num", "float") and chance(r, 0.05):
        return r.choice(WIDE)
    return r.choice(POOLS[mood])


def value(r, mood):
    k = r.random()
    if k < 0.55:
        return scalar(r, mood)
    if k < 0.61:
        return None
    if k < 0.65:
        return []
    if k < 0.68:
        return [None] * r.randrange(1, 3)
    if k < 0.71:
        return [[scalar(r, mood)], [None], []][r.randrange(3):]
    if k < 0.74:
        return {"z": scalar(r, mood)}
    if k < 0.75:
        return {}
    return [scalar(r, mood) if chance(r, 0.9) else None for _ in range(r.randrange(1, 4))]


def element(r, moods):
    if chance(r, 0.1):
        return r.choice([5, None, "x", [], [{"x": scalar(r, moods["x"])}]])
    e = {}
    if chance(r, 0.85):
        e["x"] = value(r, moods["x"])
    if chance(r, 0.7):
        e["y"] = value(r, moods["y"])
    if chance(r, 0.3):
        e["n"] = [{"x": value(r, moods["x"])} for _ in range(r.randrange(3))]
    return e


def payload(r, moods):
    p = {}
    if chance(r, 0.9):
        p["k"] = value(r, moods["k"])
    if chance(r, 0.6):
        p["l"] = value(r, moods["l"])
    if chance(r, 0.6):
        p["o"] = {"k": value(r, moods["k"])} if chance(r, 0.7) else value(r, moods["l"])
    if chance(r, 0.7):
        p["a"] = [element(r, moods) for _ in range(r.randrange(4))]
        if chance(r, 0.1):
            p["a"] = r.choice([{"x": scalar(r, moods["x"])}, None, 5])
    if chance(r, 0.2):
        p["a.b"] = value(r, moods["k"])
    if chance(r, 0.1):
        p[""] = value(r, moods["l"])
    return p


def patch(r, moods):
    """What set and overwrite payload get: a few keys, some of them null."""
    whole = payload(r, moods)
    keys = r.sample(sorted(whole), min(len(whole), r.randrange(4)))
    out = {k: whole[k] for k in keys}
    if chance(r, 0.3):
        out[r.choice(["k", "l", "x", "o"])] = None
    if chance(r, 0.4):
        out["x"] = value(r, moods["x"])
    return out


def moods_of(r):
    return {k: r.choice(MOODS) for k in ("k", "l", "x", "y")}


# --- vectors -----------------------------------------------------------------------------------------
# Multiples of 1/8: exact in f32, and sums of products are exact in any order.


def floats(r, n):
    if chance(r, 0.04):
        return [0.0] * n
    return [r.randrange(-32, 33) / 8 for _ in range(n)]


def sparse(r):
    n = r.choice([0, 1, 2, 3, 5])
    return {"indices": r.sample([0, 1, 2, 3, 4, 7, 9, 2**32 - 1], n),
            "values": [r.randrange(-16, 17) / 8 for _ in range(n)]}


def vector(r, column):
    """column: {"kind": "dense" | "multi" | "sparse", "size": n}"""
    if column["kind"] == "sparse":
        return sparse(r)
    if column["kind"] == "multi":
        return [floats(r, column["size"]) for _ in range(r.randrange(1, 4))]
    return floats(r, column["size"])


def wrong_vector(r, column):
    """One that is refused, and whether it is so before the log."""
    k = r.randrange(3)
    if column["kind"] == "sparse":
        return [{"indices": [1, 1], "values": [1.5, 2.5]}, {"indices": [1, 2], "values": [1.5]},
                [1.5, 2.5]][k]
    if column["kind"] == "multi":
        return [[[1.5], [1.5, 2.5]], [[]], [[0.5] * (column["size"] + 1)] * 2][k]
    return [[0.5] * (column["size"] + 1), [], {"indices": [1], "values": [1.5]}][k]


def letters(r, n):
    return "".join(r.choice(string.ascii_lowercase) for _ in range(n))
