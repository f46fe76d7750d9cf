"""Makes a failing sequence of operations small: fewer operations first, then less in each.

fails(ops) runs a sequence from an empty collection and says whether it still goes wrong in the same way,
at its last operation. It is asked until nothing more can go or the time is over.
"""
import copy
import time


def fewer(ops, fails, until):
    """Drops operations, never the last one: halves, quarters, ... single ones."""
    head, last = ops[:-1], ops[-1]
    size = max(1, len(head) // 2)
    while time.monotonic() < until:
        at, dropped = 0, False
        while at < len(head) and time.monotonic() < until:
            rest = head[:at] + head[at + size:]
            if fails(rest + [last]):
                head, dropped = rest, True
            else:
                at += size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return head + [last]


def places(value, path=()):
    """Paths to everything that can be left out, larger things first."""
    if isinstance(value, dict):
        for k, v in value.items():
            if k != "do":
                yield path + (k,)
        for k, v in value.items():
            yield from places(v, path + (k,))
    elif isinstance(value, list):
        for i in reversed(range(len(value))):
            yield path + (i,)
        for i, v in enumerate(value):
            yield from places(v, path + (i,))


def without(op, path):
    out = copy.deepcopy(op)
    at = out
    for k in path[:-1]:
        at = at[k]
    del at[path[-1]]
    return out


def lifted(op):
    """A filter that is a condition of a filter, in its place."""
    f = op.get("filter")
    if not isinstance(f, dict):
        return
    for name in ("must", "should", "must_not"):
        v = f.get(name)
        for c in v if isinstance(v, list) else [v] if v else []:
            if isinstance(c, dict) and any(n in c for n in ("must", "should", "must_not", "min_should")):
                yield {**op, "filter": c}
    for c in (f.get("min_should") or {}).get("conditions", []):
        yield {**op, "filter": {"must": [c]}}


def less(ops, fails, until):
    """Leaves out parts of the operations, one at a time."""
    for at in reversed(range(len(ops))):
        again = True
        while again and time.monotonic() < until:
            again = False
            tries = list(lifted(ops[at])) + [without(ops[at], p) for p in places(ops[at])]
            for op in tries:
                if time.monotonic() > until:
                    break
                if fails(ops[:at] + [op] + ops[at + 1:]):
                    ops, again = ops[:at] + [op] + ops[at + 1:], True
                    break
    return ops


def smallest(ops, fails, seconds):
    until = time.monotonic() + seconds
    ops = fewer(ops, fails, until)
    ops = less(ops, fails, until)
    return fewer(ops, fails, until)
