"""Does a server's answer agree with the wanted one? differs() returns None or what is wrong."""
import json

CLOSE = 2e-6


def plain(x):
    """One text for one JSON value: 1, 1.0 and true differ, the order of keys does not count."""
    return json.dumps(x, sort_keys=True, ensure_ascii=False)


def close(a, b):
    return abs(a - b) <= CLOSE * max(1.0, abs(a), abs(b))


def same_vector(a, b):
    if isinstance(a, dict) or isinstance(b, dict):
        return isinstance(a, dict) and isinstance(b, dict) and set(a) == set(b) and all(
            same_vector(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
        return isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b) and all(
            map(same_vector, a, b))
    return close(a, b)


def record_differs(want, got):
    if want["id"] != got["id"]:
        return f"id {got['id']}, wanted {want['id']}"
    if ("payload" in want) != ("payload" in got) or \
            "payload" in want and plain(want["payload"]) != plain(got["payload"]):
        return f"point {want['id']}: payload {plain(got.get('payload'))}, wanted {plain(want.get('payload'))}"
    if ("vector" in want) != ("vector" in got) or \
            "vector" in want and not same_vector(want["vector"], got["vector"]):
        return f"point {want['id']}: vector {plain(got.get('vector'))}, wanted {plain(want.get('vector'))}"
    return None


def records_differ(want, got):
    a, b = [p["id"] for p in want], [p["id"] for p in got]
    if a != b:
        return f"ids {plain(b)}, wanted {plain(a)}"
    return next(filter(None, map(record_differs, want, got)), None)


def ties_differ(want, got):
    """want: [value, ids, how many]; a tie that `limit` cuts may be cut anywhere."""
    at = 0
    for value, ids, n in want:
        part, at = got[at:at + n], at + n
        mine = [p["id"] for p in part]
        if len(mine) != n or len(set(mine)) != n or not set(mine) <= set(ids) or \
                any(type(p["order_value"]) is not type(value) or p["order_value"] != value for p in part):
            return (f"for the value {value}: {[[p['order_value'], p['id']] for p in part]}, wanted {n} of "
                    f"{ids}")
    if at != len(got):
        return f"more than wanted: {[[p['order_value'], p['id']] for p in got[at:]]}"
    return None


def hits_differ(want, got):
    """Scores in order; who of equals comes first, or at all, is open."""
    everything = want["all"]
    part = everything[want["offset"]:want["offset"] + want["limit"]]
    of = {p["id"]: p for p in everything}
    if len(got) != len(part) or len({p["id"] for p in got}) != len(got):
        return f"{[p['id'] for p in got]}, wanted {len(part)} of {[p['id'] for p in everything]}"
    for w, g in zip(part, got):
        mine = of.get(g["id"])
        if mine is None or not close(mine["score"], g["score"]):
            return f"point {g['id']} scores {g['score']}, wanted {mine and mine['score']}"
        if not close(w["score"], g["score"]):
            return f"point {g['id']} with {g['score']} stands where {w['score']} should"
        wrong = record_differs(mine, g)
        if wrong:
            return wrong
    return None


def differs(op, want, got):
    if want[0] != got[0]:
        return f"{plain(got)[:300]}, wanted {plain(want)[:300]}"
    if want[0] == "error":
        return None
    want, got = want[1], got[1]
    if op["do"] == "scroll":
        if "ties" in want:
            return ties_differ(want["ties"], got["points"]) or \
                (None if got["next"] is None else f"next_page_offset {got['next']}")
        return records_differ(want["points"], got["points"]) or \
            (None if want["next"] == got["next"] else f"next {got['next']}, wanted {want['next']}")
    if op["do"] == "retrieve":
        return records_differ(want, got)
    if op["do"] == "query":
        return hits_differ(want, got)
    return None if plain(want) == plain(got) else f"{plain(got)[:400]}, wanted {plain(want)[:400]}"
