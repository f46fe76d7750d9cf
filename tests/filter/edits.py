#!/usr/bin/env python3
"""Set and delete of payloads: our code against the reference engine run in process.

    edits.py PROGRAM [--seed N] [--count N]

Random payloads, patches and paths over few names, so that steps meet values of every kind. Payloads
are compared as texts: the order of keys counts.
"""
import argparse
import json
import random
import sys

from edge import Shard
from matcher import Matcher

NAMES = ["a", "b", "c", "d", "e f", ""]


def value(r, depth=0):
    k = r.random()
    if depth > 3 or k < 0.3:
        return r.choice([None, 1, 2.5, "s", True, [], {}, [1, 2], [0.5, 1.5], [1, "x", None]])
    if k < 0.65:
        return {r.choice(NAMES): value(r, depth + 1) for _ in range(r.randrange(6))}
    return [value(r, depth + 1) for _ in range(r.randrange(5))]


def obj(r):
    return {r.choice(NAMES): value(r, 1) for _ in range(r.randrange(7))}


def key(r):
    n = r.choice(NAMES)
    return f'"{n}"' if n in ("", "e f") or r.random() < 0.1 else n


def path(r, v=None):
    """Any path, or one that follows v as far as it goes."""
    s, v = key(r), v or {}
    if v and r.random() < 0.8:
        n = r.choice(list(v))
        s, v = f'"{n}"', v[n]
    for _ in range(r.choice([0, 0, 1, 1, 2, 3, 4])):
        if isinstance(v, list) and r.random() < 0.85:
            i = r.randrange(len(v) + 1)
            s += r.choice(["[]", f"[{i}]"])
            v = v[i] if i < len(v) else None
        elif isinstance(v, dict) and v and r.random() < 0.85:
            n = r.choice(list(v))
            s, v = f'{s}."{n}"', v[n]
        else:
            s += r.choice(["[]", "[0]", "[1]", "." + key(r), "." + key(r)])
            v = None
    return s


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--count", type=int, default=4000)
    args = p.parse_args()
    r = random.Random(args.seed)
    ours = Matcher(args.program)
    bad = changed = 0
    with Shard({0: {}}) as s:
        for i in range(1, args.count + 1):
            old = obj(r)
            s.put(i, old)
            if r.random() < 0.5:
                what = {"set": obj(r), "key": path(r, old) if r.random() < 0.8 else None}
                s.set_payload(i, what["set"], what["key"])
            else:
                what = {"delete": [path(r, old) for _ in range(r.choice([1, 1, 2, 4, 9]))]}
                s.delete_payload(i, what["delete"])
            want, got = json.dumps(s.payload_of(i)), json.dumps(ours.ask(**what, of=old))
            changed += want != json.dumps(old)
            if want != got:
                bad += 1
                print(f"{json.dumps(what)}\n  of     {json.dumps(old)}\n  theirs {want}\n  ours   {got}")
    ours.close()
    print(f"seed {args.seed}: {args.count} edits, {changed} of them change something, "
          f"{bad} disagreements")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
