#!/usr/bin/env python3
"""The client's in-memory mode and the server get the same random operations; their answers must agree.

    tests/diff/local_mode.py [--ops 20000] [--seed N] [--no-text] [--errors 10] [--shrink 20]

The server is asked over REST by the official client. A session is one collection and some hundred
operations: writes of every kind, indexes and vector names that come and go, reads with filters of every
kind; now and then, and at its end, all points are compared. Some collections begin with so many rows
of points that are gone again that the session crosses the end of a chunk of rows. Checkpoints come all
the time. What the specification settles against the in-memory mode is listed in oracle.py, with its
paragraphs; any other disagreement is printed with the shortest sequence of requests that shows it, and
ends the session. What was drawn how often, and how it ended, is counted (tally.py). Exit code 1 when
there was a disagreement, or when a long run never came across a kind of condition, write, read or index.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from pyenv import need  # noqa: E402

need("qdrant_client")
from qdrant_client import QdrantClient  # noqa: E402
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse  # noqa: E402

import agree  # noqa: E402
import calls  # noqa: E402
import oracle  # noqa: E402
import sequence  # noqa: E402
import tally  # noqa: E402
from harness import Server  # noqa: E402
from oracle import Oracle, Unspecified  # noqa: E402
from shrink import smallest  # noqa: E402

SESSION = 120  # operations on one collection
FULL_EVERY = 12
ENOUGH = 20000  # operations of a run that must draw everything there is; it may take half as many more
CHUNK = 65536    # rows
SETTINGS = {"log_level": "WARN", "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 200,
            "service.http_keep_alive_timeout_sec": 3600}  # a stopped client is no error


# What the server answers 501 to so far; any other 501 is a failure.
NOT_YET = ("Not implemented: queries on sparse vectors", "Not implemented: queries on multivectors")


class Abandoned(Exception):
    """The session cannot go on: what one write should have done is open."""


class Remote:
    """The server, in the form of the oracle."""

    def __init__(self, server):
        self.server = server
        self.client = QdrantClient(url=server.url, check_compatibility=False, timeout=60)

    def create(self, config):
        if not self.alive():
            self.restart()
        self.client.delete_collection("c")
        calls.create(self.client, "c", config)

    def run(self, op):
        try:
            return "ok", calls.run(self.client, "c", op)
        except UnexpectedResponse as e:
            text = e.content.decode("utf-8", "replace")[:200]
            # What nobody should see is no refusal: it must not pass for one.
            return ("error" if 400 <= e.status_code < 500 else "broken"), f"{e.status_code} {text}"
        except ResponseHandlingException as e:
            time.sleep(0.3)  # it may be busy with its last words
            if not self.alive():
                return "broken", "the server died: " + last_words(self.server)
            return "broken", f"{type(e.source).__name__} {str(e.source)[:200]}"

    def alive(self):
        return self.server.alive()

    def restart(self):
        """After a crash, with nothing of before."""
        self.server.kill()
        shutil.rmtree(self.server.storage, ignore_errors=True)
        self.server.log_path.unlink()
        self.server.start()


def last_words(server):
    lines = [x for x in server.log_text().splitlines()
             if "panic" in x or "ERROR: AddressSanitizer" in x or "runtime error" in x or "#1 " in x]
    return "; ".join(lines[:3])[:300] or server.log(5)


def pad(http, n):
    """Upserts and deletes n points without vectors and payload."""
    http.close()
    for at in range(0, n, 8192):
        http.ok("PUT", "/collections/c/points?wait=true",
                {"points": [{"id": 10**9 + i, "vector": {}} for i in range(at, min(n, at + 8192))]})
    http.ok("POST", "/collections/c/points/delete?wait=true", {"filter": {}})


class Pair:
    def __init__(self, server):
        self.remote, self.oracle = Remote(server), Oracle()
        self.counts = collections.Counter()

    def start(self, config):
        """padding, in the configuration: rows that are taken before the session begins."""
        config = dict(config)
        padding = config.pop("padding", 0)
        self.oracle.create(config)
        self.remote.create(config)
        if padding:
            pad(self.remote.server.http, padding)

    def total(self):
        return sum(self.counts[k] for k in calls.CALLS)

    def step(self, op):
        """None or what is wrong."""
        try:
            want = self.oracle.run(op)
        except Unspecified as e:
            self.counts["open"] += 1
            if op["do"] in sequence.WRITES and not e.early:
                raise Abandoned  # half of it may have been done
            return None
        got = self.remote.run(op)
        if got[0] == "broken" and any(x in got[1] for x in NOT_YET):
            self.counts["not implemented"] += 1
            return None
        self.counts[op["do"]] += 1
        self.counts["refused"] += want[0] == "error"
        tally.request(op, want[0] == "ok")
        if want[0] == "ok" and isinstance(want[1], int) and want[1] and op["do"] == "count":
            self.counts["hits"] += 1
        return agree.differs(op, want, got)

    def replay(self, config, ops):
        """Where a sequence first disagrees: (index, what), or None."""
        self.start(config)
        for i, op in enumerate(ops):
            wrong = self.step(op)
            if wrong:
                return i, wrong
        return None


def kind_of(op, wrong):
    """What makes two failures the same while one of them is made smaller."""
    return op["do"], "wanted [\"ok\"" in wrong, "wanted [\"error\"" in wrong, "broken" in wrong[:12]


def signature(wrong):
    """The same server error is told once."""
    if "broken" not in wrong[:12]:
        return None
    return re.sub(r"[0-9]+|0x[0-9a-f]+", "#", wrong.split('\\"}')[0].split("wanted")[0].replace("\\", ""))[:120]


def shortest(pair, config, ops, wrong, seconds):
    kind = kind_of(ops[-1], wrong)

    def fails(some):
        try:
            found = pair.replay(config, some)
        except Exception:  # noqa: BLE001 - a part was left out that makes no request any more
            return False
        return found is not None and found[0] == len(some) - 1 and kind_of(some[-1], found[1]) == kind

    ops = smallest(ops, fails, seconds)
    found = pair.replay(config, ops)
    return ops, found[1] if found else wrong + " (not every time)"


def report(n, seed, config, ops, wrong):
    print(f"--- disagreement {n}, session {seed}")
    print(f"PUT /collections/c {agree.plain(config)}")
    if len(ops) > 40:
        path = pathlib.Path(tempfile.gettempdir()) / f"diff-{seed.replace('/', '-')}.json"
        path.write_text(json.dumps({"config": config, "ops": ops}))
        print(f"{len(ops)} operations, in {path}; the last:")
        ops = ops[-3:]
    for op in ops:
        print(sequence.shown(op))
    print(f"    {wrong}", flush=True)


def session(pair, seed, text, length):
    """Runs one. Returns (config, operations, what is wrong or None)."""
    r = random.Random(seed)
    s = sequence.Session(r, text)
    if r.random() < 0.03:
        s.config["padding"] = CHUNK - r.randrange(400)
    pair.start(s.config)
    done = []
    for i in range(length):
        ops = [s.filled() if i == 0 and s.starts_full else s.next()]
        if i % FULL_EVERY == FULL_EVERY - 1 or i == length - 1:
            ops.append(sequence.FULL)
        for op in ops:
            done.append(op)
            try:
                wrong = pair.step(op)
            except Abandoned:
                return s.config, done, None
            if wrong:
                return s.config, done, wrong
    return s.config, done, None


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--ops", type=int, default=20000)
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--session", help="run this one only, as printed")
    ap.add_argument("--replay", help="a file that a long disagreement left")
    ap.add_argument("--no-text", action="store_true", help="no text indexes")
    ap.add_argument("--errors", type=int, default=10, help="stop after so many disagreements")
    ap.add_argument("--shrink", type=float, default=20, help="seconds to make one of them small")
    args = ap.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    must_draw_all = args.ops >= ENOUGH and not args.no_text and not args.session
    oracle.install()
    bad, t0, told = 0, time.monotonic(), collections.Counter()
    server = Server(env=SETTINGS)
    try:
        pair = Pair(server)
        number = 0
        if args.replay:
            saved = json.loads(pathlib.Path(args.replay).read_text())
            found = pair.replay(saved["config"], saved["ops"])
            print(found and f"operation {found[0]}: {sequence.shown(saved['ops'][found[0]])}\n{found[1]}")
            return 1 if found else 0
        while bad < args.errors and (pair.total() < args.ops or pair.total() < args.ops * 1.5 and
                                     must_draw_all and tally.missing()):
            name = args.session or f"{seed}/{number}"
            config, ops, wrong = session(pair, name, not args.no_text, SESSION)
            number += 1
            same = wrong and signature(wrong)
            if same:
                told[same] += 1
            if wrong and told[same] < 2:
                bad += 1
                counts = pair.counts.copy()
                ops, wrong = shortest(pair, config, ops, wrong, args.shrink)
                pair.counts = counts
                report(bad, name, config, ops, wrong)
            if args.session:
                break
    finally:
        server.close(check=not bad)
    total = pair.total()
    for text, n in told.items():
        print(f"{n} times: {text}")
    print(f"{total} operations in {number} sessions, {time.monotonic() - t0:.0f} s: "
          f"{ {k: v for k, v in sorted(pair.counts.items())} }")
    print("\n".join(tally.lines()))
    short = tally.missing() if must_draw_all and not bad else []
    print("\n".join(f"never: {x}" for x in short))
    print(f"seed {seed}: {total} operations, {bad} disagreements" +
          (f", {len(short)} kinds that never came" if short else ""))
    return 1 if bad or short else 0


if __name__ == "__main__":
    sys.exit(main())
