#!/usr/bin/env python3
"""Texts of points in time: our reader against the reference engine.

    instants.py PROGRAM [--seed N] [--count N]

The texts are made by a grammar that keeps near the accepted forms and then breaks some of
them. Accepted or not is compared for all; the value for those within years 1 to 9999.
"""
import argparse
import datetime
import random
import sys

from edge import Shard
from matcher import Matcher

BLANKS = [" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2003", "\x1c", "\u200b", "\u0085"]


def blank(r, odds=0.1):
    return r.choice(BLANKS) if r.random() < odds else ""


def rare(r, usual, odd):
    return r.choice(odd if r.random() < 0.03 else usual)


def num(r, v, width):
    k = r.random()
    if k < 0.1:
        return str(v)
    if k < 0.105:
        return str(v).zfill(width + 1)
    return str(v).zfill(width)


def year(r):
    k = r.random()
    if k < 0.8:
        return num(r, r.choice([1969, 1970, 2000, 2023, 2024, 2100]), 4)
    return r.choice(["0", "1", "0000", "0001", "9999", "10000", "+10000", "-1", "-0001", "+2024",
                     "-2024", "+262142", "+262143", "-262143", "-262144", "24", "999", "+0", "-0",
                     "+0000000002024", "99999", "+99999999999999999999", "-", "+", "++1"])


def date(r):
    m = rare(r, [1, 2, 2, 2, 3, 4, 11, 12], [13, 0])
    d = rare(r, [1, 9, 28, 29, 30], [31, 0, 32])
    dash = rare(r, ["-"], ["/", "", "_", "\u2212", "."])
    return (blank(r, 0.04) + year(r) + blank(r, 0.04) + dash + blank(r, 0.04) + num(r, m, 2) +
            blank(r, 0.04) + dash + blank(r, 0.04) + num(r, d, 2))


def clock(r):
    colon = rare(r, [":"], ["", ".", "-"])
    s = blank(r, 0.06) + num(r, rare(r, [0, 1, 10, 23], [24]), 2) + blank(r, 0.04) + colon
    s += blank(r, 0.04) + num(r, rare(r, [0, 5, 11, 59], [60]), 2)
    if r.random() < 0.2:
        return s
    s += blank(r, 0.04) + colon + blank(r, 0.04)
    s += num(r, rare(r, [0, 7, 12, 59, 60], [61]), 2)
    if r.random() < 0.4:
        s += rare(r, ["."], [",", ""]) + "".join(
            r.choice("0123456789") for _ in range(r.choice([0, 1, 3, 6, 9, 10, 15])))
    return s


def zone(r):
    k = r.random()
    if k < 0.25:
        return rare(r, ["Z", "z", "UTC", "utc", "Utc"], ["GMT", "UT", "ZZ"])
    sign = rare(r, ["+", "-", "\u2212"], ["--", "\u2013", ""])
    s = sign + blank(r, 0.03) + num(r, rare(r, [0, 1, 2, 5, 14, 23], [24, 99]), 2)
    if k < 0.45:
        return s + r.choice(["", "", "", ":", " ", "::", " : "])
    return (s + blank(r, 0.04) + r.choice([":"] * 6 + ["", "", "::", ": :"]) + blank(r, 0.04) +
            num(r, rare(r, [0, 15, 30, 59], [60]), 2))


def text(r):
    s = date(r)
    if r.random() < 0.92:
        s += r.choice(["T"] * 8 + [" "] * 6 + ["t", "t", "  ", "", "_", "\t", "\u3000", "T ", " T"])
        s += clock(r)
        if r.random() < 0.7:
            s += blank(r, 0.15) + zone(r)
    s += blank(r, 0.05)
    while r.random() < 0.04 and s:
        at = r.randrange(len(s))
        s = r.choice([s[:at] + s[at + 1:], s[:at] + r.choice("0123456789:-+.TZ x") + s[at:]])
    return s


def shown(instant):
    s, ns = instant
    extra = ns >= 10**9
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=s)
    sec = 60 if extra else t.second
    return (f"{t.year:04}-{t.month:02}-{t.day:02}T{t.hour:02}:{t.minute:02}:{sec:02}."
            f"{ns % 10**9:09}Z")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--count", type=int, default=20000)
    args = p.parse_args()
    r = random.Random(args.seed)
    texts = [text(r) for _ in range(args.count)]
    reader = Matcher(args.program)
    ours = [reader.ask(instant=t) for t in texts]
    reader.close()
    lo, hi = -62135596800, 253402300799
    bad = valued = 0
    read = [i for i in range(len(texts)) if ours[i] is not None]

    def where(shard, **bounds):
        return set(shard.ids_of({"must": [{"key": "a", "range": bounds}]}))

    with Shard({i + 1: {"a": t} for i, t in enumerate(texts)}) as s:
        known = where(s, gte="0001-01-01") | where(s, lt="0001-01-01")
    for i, t in enumerate(texts):
        if (ours[i] is not None) != (i + 1 in known):
            bad += 1
            print(f"{t!r}: ours {ours[i]}, reference {'accepts' if i + 1 in known else 'refuses'}")
    some = [i for i in read if i + 1 in known and lo < ours[i][0] < hi]
    some = r.sample(some, min(len(some), 1500))
    with Shard({i + 1: {"a": texts[i]} for i in some}) as s:
        for i in some:
            valued += 1
            at = shown(ours[i])
            if i + 1 not in where(s, gte=at, lte=at):
                bad += 1
                print(f"{texts[i]!r}: ours {at}, another instant in the reference")
    print(f"seed {args.seed}: {len(texts)} texts, {len(read)} accepted, {valued} values compared, "
          f"{bad} disagreements")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
