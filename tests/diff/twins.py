#!/usr/bin/env python3
"""Two servers get the same random operations; one runs on, the other is killed and started again.

    tests/diff/twins.py [--ops 4000] [--seed N] [--no-text]      killed at random points
    tests/diff/twins.py --each 40                                after each operation of short histories
    tests/diff/twins.py --power 2000                             on the disks that a power cut may leave

Every answer of the two must be equal, operation numbers and texts of errors included; after each start
the whole state and the last reads are compared once more. Kills fall between operations, into one, and
into the start; some ends are clean. Checkpoints come all the time. --power records one history with
SX_IO_RECORD (SEXTANT_BIN; the disks are read by SEXTANT_BIN_FAST): what a disk cut off at a position
holds must be what the uninterrupted twin held after one of the operations that may be the last.

A disagreement is printed with the seed of its session and the data directory is kept. Exit code 1.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import time
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "fault")]
import power_disk as pd  # noqa: E402
import power_look  # noqa: E402
import sequence  # noqa: E402
from harness import Server  # noqa: E402
from history import NEVER  # noqa: E402
from quick import Quick, end_cleanly, write_image  # noqa: E402

SESSION = 150
CHUNK = 65536
SETTINGS = {"log_level": "WARN", "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_LOG_MB": 1,
            "service.http_keep_alive_timeout_sec": 3600}  # a stopped client is no error
IDLE_MS = "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS"
LATE = 30         # seconds
TWO_NUMBERS = ("create_index", "delete_index", "create_vector", "delete_vector")
READS = ("scroll", "count", "facet", "query", "retrieve")


class Disagree(Exception):
    pass


# --- answers ------------------------------------------------------------------------------------------


def stripped(answer):
    """Without what may differ: the time it took."""
    status, body = answer
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k not in ("time", "usage")}
    return status, body


def without_number(answer):
    status, body = answer
    result = body.get("result") if isinstance(body, dict) else None
    for r in result if isinstance(result, list) else [result]:
        if isinstance(r, dict):
            r.pop("operation_id", None)
    return status, body


def numbers(answer):
    """The operation numbers of an answer."""
    result = answer[1].get("result") if isinstance(answer[1], dict) else None
    return [r["operation_id"] for r in (result if isinstance(result, list) else [result])
            if isinstance(r, dict) and "operation_id" in r]


def shown(answer):
    return json.dumps(answer, sort_keys=True, ensure_ascii=False)[:500]


def difference(a, b):
    """Where two answers begin to differ."""
    a, b = (x if isinstance(x, str) else json.dumps(x, sort_keys=True, ensure_ascii=False) for x in (a, b))
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    lo = max(0, at - 200)
    return f"at {at}:\n  wanted ...{a[lo:at + 200]}\n  found  ...{b[lo:at + 200]}"


def in_any_order(op, answer):
    """Hits of equal score, and entries of equal value, may stand in any order (02 §6.5, 03 §2.4). What
    a limit cuts off of a tie is left out of the comparison."""
    if answer[0] != 200 or op["do"] not in ("query", "scroll") or \
            op["do"] == "scroll" and not op.get("order_by"):
        return answer
    points = answer[1]["result"]["points"]
    key = "score" if op["do"] == "query" else "order_value"
    last = points[-1][key] if len(points) == op.get("limit", 10) else None
    rows = sorted((p[key], json.dumps(p, sort_keys=True)) for p in points if p[key] != last)
    return 200, [len(points), last, rows]


def ask(http, op, wait=True):
    method, path, body = sequence.rest(op, "c", wait)
    return stripped(http(method, path, body))


class Journal:
    """What a session asked, for the report."""

    def __init__(self):
        self.lines = []

    def add(self, op, note=""):
        self.lines.append(sequence.shown(op) + note)

    def event(self, text):
        self.lines.append("--- " + text)


# --- random kills ----------------------------------------------------------------------------------------


class Twins:
    def __init__(self, seed, text, reads_kept=8):
        self.seed, self.text, self.kept = seed, text, reads_kept
        self.counts = collections.Counter()
        self.a = Server(env={**SETTINGS, IDLE_MS: 100})
        self.b = Server(env={**SETTINGS, IDLE_MS: 30})
        self.keep = None

    def close(self):
        for s in (self.a, self.b):
            s.close(check=self.keep is None)

    def begin(self, name, padding=True):
        self.r = random.Random(name)
        self.name = name
        self.s = sequence.Session(self.r, self.text)
        self.journal, self.reads, self.shift = Journal(), [], 0
        self.shifts = [(0, 0)]  # (operation number, shift of it and those after it)
        for server in (self.a, self.b):
            server.http("DELETE", "/collections/c")
            server.http.ok("PUT", "/collections/c", self.s.config)
        self.journal.event(json.dumps(self.s.config))
        if padding and self.r.random() < 0.15:
            n = CHUNK - self.r.randrange(300)
            self.journal.event(f"{n} points without anything, and gone again")
            for server in (self.a, self.b):
                pad(server.http, n)

    def compare(self, op, a, b, why=""):
        wrote = op["do"] in sequence.WRITES
        if a[0] != b[0]:
            raise Disagree(f"{sequence.shown(op)}{why}\n  twin   {shown(a)}\n  killed {shown(b)}")
        if wrote:
            na, nb = numbers(a), numbers(b)
            if [n + self.shift for n in na] != nb:
                raise Disagree(f"{sequence.shown(op)}{why}: operation numbers {nb}, the twin {na}")
            a, b = without_number(a), without_number(b)
        elif op["do"] == "query" and a[0] == 200:
            for p in a[1]["result"]["points"]:
                p["version"] += next(d for n, d in reversed(self.shifts) if n <= p["version"])
        if a != b and in_any_order(op, a) != in_any_order(op, b):
            raise Disagree(f"{sequence.shown(op)}{why}\n  {difference(a, b)}")

    def both(self, op, why="", wait=True):
        self.counts[op["do"]] += 1
        a, b = ask(self.a.http, op, wait), ask(self.b.http, op, wait)
        if a[0] >= 500 and a[0] != 501:
            raise Disagree(f"{sequence.shown(op)}: both {shown(a)}")
        self.compare(op, a, b, why)

    def whole(self, why):
        """The last reads once more (after a start indexes may still be filled), the state, the schema."""
        for op in self.reads:
            self.both(op, why)
        self.both(sequence.FULL, why)
        self.info(why)

    def info(self, why):
        """The figures of payload_schema may come a moment late (02 §8.1)."""
        until = time.monotonic() + LATE
        a, b = (state_of_info(s.http) for s in (self.a, self.b))
        while a != b and time.monotonic() < until:
            self.counts["figures that came late"] += 1
            time.sleep(0.02)
            a, b = (state_of_info(s.http) for s in (self.a, self.b))
        if a != b:
            raise Disagree(f"GET /collections/c{why}\n  {difference(a, b)}")

    def restart(self, how):
        self.journal.event(how)
        self.counts[how] += 1
        if how == "stop":
            code = self.b.stop()
            if code != 0:
                raise Disagree(f"exit code {code} on SIGTERM")
        else:
            self.b.kill()
        if how == "kill, kill while it starts":
            self.b.spawn()
            time.sleep(self.r.random() * 0.06)
            self.b.kill()
        try:
            self.b.start(timeout=60)
        except AssertionError as e:
            raise Disagree(f"after {how}: {str(e)[:2000]}")

    def step(self, op):
        r = self.r
        write = op["do"] in sequence.WRITES
        if not write and op["do"] in READS:
            self.reads = (self.reads + [op])[-self.kept:]
        if op["do"] == "info":
            self.counts["info"] += 1
            self.info("")
        elif write and op["do"] != "batch" and r.random() < 0.02:
            self.in_flight(op)
        else:
            wait = r.random() < 0.85
            self.journal.add(op, "" if wait else " (wait=false)")
            self.both(op, wait=wait)

    def in_flight(self, op):
        """The kill comes while the operation is under way: it happened whole, or not at all."""
        self.journal.add(op, " (killed meanwhile)")
        before = state(self.a.http)
        send_and_leave(self.b.port, op, self.r.random() ** 2 * 0.004)
        self.restart("kill in an operation")
        self.counts[op["do"]] += 1
        a = ask(self.a.http, op)
        after, found = state(self.a.http), state(self.b.http)
        until = time.monotonic() + LATE
        while found not in (before, after) and time.monotonic() < until:
            time.sleep(0.02)
            found = state(self.b.http)
        if found == before and before != after:
            b = ask(self.b.http, op)
            self.compare(op, without_number(a), without_number(b), " (again after the kill)")
            self.learn_shift(1 if op["do"] in TWO_NUMBERS else 0)
        elif found not in (before, after):
            raise Disagree(f"{sequence.shown(op)} (killed meanwhile): half of it\n"
                           f"  to the state before: {difference(before, found)}\n"
                           f"  to the one after: {difference(after, found)}")
        else:
            self.learn_shift()

    def learn_shift(self, more=0):
        """An operation that changed nothing may have taken its number or not. more: how many numbers
        the first try may have taken, too."""
        op = {"do": "delete", "points": [777000777]}
        a, b = ask(self.a.http, op), ask(self.b.http, op)
        shift = numbers(b)[0] - numbers(a)[0]
        if not self.shift - 2 <= shift <= self.shift + more:
            raise Disagree(f"operation numbers moved from {self.shift} to {shift}")
        self.shift = shift
        self.shifts.append((numbers(a)[0], shift))

    def session(self, name, length):
        self.begin(name)
        for i in range(length):
            self.step(self.s.filled() if i == 0 else self.s.next())
            k = self.r.random()
            if k < 0.035:
                how = "stop" if k < 0.006 else "kill, kill while it starts" if k < 0.012 else "kill"
                self.restart(how)
                self.whole(f" (after {how})")
            elif k < 0.08:
                time.sleep(0.04)  # a checkpoint
        self.restart("kill")
        self.whole(" (at the end)")

    def each(self, name):
        """A restart after every operation."""
        self.begin(name, padding=False)
        for i in range(30):
            op = self.s.filled() if i == 0 else self.s.next()
            while op["do"] not in sequence.WRITES:
                self.reads = (self.reads + [op] if op["do"] in READS else self.reads)[-self.kept:]
                op = self.s.next()
            self.journal.add(op)
            self.both(op, wait=self.r.random() < 0.85)
            if self.r.random() < 0.3:
                time.sleep(0.05)
            how = self.r.choice(["kill", "kill", "kill", "stop"])
            self.restart(how)
            self.whole(f" (after {how})")

    def fail(self, e):
        self.keep = pathlib.Path(tempfile.mkdtemp(prefix="twins-failed-"))
        for s, who in ((self.a, "twin"), (self.b, "killed")):
            if s.alive():
                s.kill()
            shutil.copytree(s.dir, self.keep / who, dirs_exist_ok=True)
        (self.keep / "history.txt").write_text("\n".join(self.journal.lines) + f"\n\n{e}\n")
        log = [x for x in self.b.log(40).splitlines() if "ERROR" in x or "panic" in x or "rror:" in x]
        print(f"--- session {self.name}: {str(e)[:4000]}\n{log}\nhistory and directories in {self.keep}",
              flush=True)


def pad(http, n):
    for at in range(0, n, 8192):
        http.ok("PUT", "/collections/c/points?wait=true",
                {"points": [{"id": 10**9 + i, "vector": {}} for i in range(at, min(n, at + 8192))]})
    http.ok("POST", "/collections/c/points/delete?wait=true", {"filter": {}})


def state_of_info(http):
    status, body = http("GET", "/collections/c")
    if status != 200:
        return f"{status} {str(body)[:300]}"
    r = body["result"]
    return json.dumps([r["status"], r["points_count"], r["payload_schema"], r["config"]["params"]],
                      sort_keys=True)


def state(http):
    return shown_whole(ask(http, sequence.FULL)) + state_of_info(http)


def shown_whole(answer):
    return json.dumps(answer, sort_keys=True, ensure_ascii=False)


def send_and_leave(port, op, pause):
    """Sends a request and waits a moment, not for the answer."""
    method, path, body = sequence.rest(op, "c")
    data = b"" if body is None else json.dumps(body).encode()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
              f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    time.sleep(pause)
    return s


def run(args, seed):
    counts, t0, bad, number = collections.Counter(), time.monotonic(), 0, 0
    twins = Twins(seed, not args.no_text)
    try:
        while True:
            name = args.session or f"{seed}/{number}"
            number += 1
            try:
                twins.each(name) if args.each else twins.session(name, SESSION)
            except Disagree as e:
                bad += 1
                twins.fail(e)
            except OSError as e:
                bad += 1
                twins.fail(f"{type(e).__name__} {e}")
            counts = counts + twins.counts
            twins.counts.clear()
            if args.session or bad >= args.errors or \
                    (number >= args.each if args.each else total(counts) >= args.ops):
                break
            if twins.keep:  # from scratch
                twins.close()
                twins = Twins(seed, not args.no_text)
    finally:
        twins.close()
    print(f"{number} sessions in {time.monotonic() - t0:.0f} s: {dict(sorted(counts.items()))}")
    starts = sum(n for k, n in counts.items() if k.startswith(("kill", "stop")))
    print(f"seed {seed}: {total(counts)} operations, {starts} restarts, {bad} disagreements")
    return 1 if bad else 0


def total(counts):
    return sum(n for k, n in counts.items() if not k.startswith(("kill", "stop", "figures")))


# --- power cuts ---------------------------------------------------------------------------------------


class Recording:
    """One history on a recording server, next to a twin that says what the state is after each number."""

    def __init__(self, where, seed, text):
        self.where, self.seed, self.text = pathlib.Path(where), seed, text
        self.journals, self.base = [], 0
        self.states = []   # (sent, seen, wait, text of the state), the first is the creation
        self.server = None

    def now(self):
        return self.base + self.journals[-1].stat().st_size

    def start(self):
        path = self.where / f"journal.{len(self.journals)}"
        self.journals.append(path)
        self.server = Server(env={**SETTINGS, IDLE_MS: 40, "SEXTANT_IO_JOURNAL": str(path)},
                             dir=self.where / "data")

    def end(self, clean):
        if clean:
            if self.server.stop() != 0:
                raise Disagree("the recording server did not stop cleanly\n" + self.server.log())
        else:
            self.server.kill()
        self.server.check_log()
        self.base = self.now()

    def call(self, twin, op, wait):
        sent = self.now()
        mine = ask(self.server.http, op, wait)
        seen = self.now()
        theirs = ask(twin.http, op, wait)
        if mine != theirs:
            raise Disagree(f"{sequence.shown(op)}\n  recording {shown(mine)}\n  twin {shown(theirs)}")
        self.states.append((sent, seen, wait and mine[0] == 200, sequence.shown(op)))
        return state_with(self.reads, twin.http)

    def make(self):
        r = random.Random(self.seed)
        s = sequence.Session(r, self.text)
        s.index_share = 0.15
        self.reads = [op for op in (s.next() for _ in range(400))
                      if op["do"] in ("count", "facet") or op["do"] == "scroll" and "order_by" in op][:30]
        s.indexes.clear()
        self.found = []
        twin = Server(env={**SETTINGS, IDLE_MS: 100})
        try:
            self.start()
            sent = self.now()
            self.server.http.ok("PUT", "/collections/c", s.config)
            twin.http.ok("PUT", "/collections/c", s.config)
            self.states.append((sent, self.now(), True, "creation"))
            self.found.append(state_with(self.reads, twin.http))
            self.found.append(self.call(twin, s.filled(), True))
            for part, n in enumerate((25, 12, 12, 12)):
                if part:
                    self.start()
                # Unsynced changes of everything while the indexes of replayed rows are being filled.
                hasty = [{"do": "overwrite_payload", "payload": {"k": part}, "filter": s.filter()},
                         s.filled()][:r.randrange(3)]
                for op in hasty + [self.a_write(s) for _ in range(n)]:
                    self.found.append(self.call(twin, op, op not in hasty and r.random() < 0.6))
                    if r.random() < (0.5 if op in hasty else 0.2):
                        time.sleep(r.choice((0.01, 0.07)))
                self.end(clean=part == 1)
        finally:
            twin.close()
        return pd.parse_sessions(self.journals)

    @staticmethod
    def a_write(s):
        """The next operation that is one write: of a batch a part may survive."""
        op = s.next()
        while op["do"] not in sequence.WRITES or op["do"] == "batch":
            op = s.next()
        return op

    def bounds(self, p):
        """The first and the last of the states that a disk cut at p may hold; -1: no collection."""
        lo = max([i for i, (_, seen, wait, _) in enumerate(self.states) if wait and seen <= p], default=-1)
        hi = max([i for i, (sent, _, _, _) in enumerate(self.states) if sent < p], default=-1)
        return lo, hi

    def lives(self):
        """As power_look.plan() wants it."""
        ops = {i: [sent, seen, wait, []] for i, (sent, seen, wait, _) in enumerate(self.states)}
        return types.SimpleNamespace(lives=[types.SimpleNamespace(
            name="c", created=list(self.states[0][:2]), dropped=[NEVER, NEVER], ops=ops)])


def state_with(reads, http):
    """State, schema and some reads through the indexes."""
    parts = [shown_whole(ask(http, sequence.FULL)), state_of_info(http)]
    return parts + [shown_whole(in_any_order(op, ask(http, op))) for op in reads]


class QuickHttp:
    """A Quick in the form of harness.Http."""

    def __init__(self, quick):
        self.quick = quick

    def __call__(self, method, path, body=None):
        return self.quick.get(method, path, body)


def examine(rec, server, where, image, p, what, written):
    """None or what is wrong with a disk."""
    write_image(where, image, written)
    lo, hi = rec.bounds(p)
    http = QuickHttp(server)
    try:
        server.start(where)
        status, _ = server.get("GET", "/collections/c")
        if status == 404:
            return None if lo < 0 else f"no collection; its creation was answered (up to {lo})"
        found = state_with(rec.reads, http)
        until = time.monotonic() + LATE
        while found not in rec.found and time.monotonic() < until:
            time.sleep(0.01)
            again = state_with(rec.reads, http)
            own = [k for k, (x, y) in enumerate(zip(found, again)) if k != 1 and x != y]
            if own:
                what = "points" if own[0] == 0 else sequence.shown(rec.reads[own[0] - 2])
                return f"an answer changed by itself: {what} {difference(found[own[0]], again[own[0]])}"
            found = again
    except AssertionError as e:
        return str(e)
    finally:
        code = server.kill()
    if code is not None:
        return f"the server ended with {code}"
    for i in range(max(lo, 0), hi + 1):
        if rec.found[i] == found:
            return None
    allowed = rec.found[max(lo, 0):hi + 1] or rec.found[:1]
    near = min(allowed, key=lambda g: sum(x != y for x, y in zip(g, found)))
    diff = next(f"{sequence.shown(rec.reads[k - 2]) if k > 1 else 'points' if k == 0 else 'info'} "
                f"{difference(y, x)}" for k, (x, y) in enumerate(zip(found, near)) if x != y)
    known = [i for i, f in enumerate(rec.found) if f[:2] == found[:2]]
    return (f"must hold operations up to {lo}, may up to {hi}; points and schema are those after "
            f"{known or 'no number'}; nearest: {diff}\n  last operations: "
            f"{[x[3][:200] for x in rec.states[max(lo, 0):hi + 1]]}")


def power_session(seed, states, text, where):
    """(disks, cuts, what is wrong or None)"""
    rec = Recording(where, seed, text)
    records = rec.make()
    server = Quick(power_look.FAST, {"QDRANT__LOG_LEVEL": "WARN"})
    scratch = pathlib.Path(where) / "disk"
    seen, written, n = {}, None, 0
    rng = random.Random(seed)
    cuts = power_look.plan(records, rec.lives(), seed)
    rng.shuffle(cuts)
    cuts = sorted(cuts[:states])  # about one disk a cut
    disk, at = pd.Disk(), 0
    for i, labels in cuts:
        while at <= i:
            disk.feed(records[at])
            at += 1
        labels = [x for x in labels if not x.startswith("lost ")]  # damage, not a power cut
        for what, rule in power_look.rules(rng.choice(labels), disk, rng) if labels else ():
            if n >= states:
                return len(seen), n, None
            n += 1
            image, digest = disk.image(rule)
            p = records[i].end
            key = (digest, rec.bounds(p))
            if key in seen:
                continue
            seen[key] = True
            wrong = examine(rec, server, scratch, image, p, what, written)
            written = image
            if wrong:
                keep = pathlib.Path(tempfile.mkdtemp(prefix="twins-power-failed-"))
                write_image(keep / "disk", image)
                (keep / "server.log").write_text(server.log())
                (keep / "history.txt").write_text("\n".join(x[3] for x in rec.states))
                return len(seen), n, f"cut at {p}, survived: {what}: {wrong}\ndisk and history in {keep}"
    return len(seen), n, None


def power(args, seed):
    t0, disks, cuts, number, bad = time.monotonic(), 0, 0, 0, 0
    while disks < args.power and bad < args.errors:
        top = tempfile.mkdtemp(prefix="twins-power-", dir=power_look.scratch())
        name = args.session or f"{seed}/{number}"
        try:
            d, c, wrong = power_session(name, min(400, args.power - disks + 50), not args.no_text, top)
        except Disagree as e:
            d, c, wrong = 0, 0, str(e)
        finally:
            shutil.rmtree(top, ignore_errors=True)
        disks, cuts, number = disks + d, cuts + c, number + 1
        if wrong:
            bad += 1
            print(f"--- history {name}: {wrong}", flush=True)
        if args.session:
            break
    print(f"seed {seed}: {number} histories, {disks} disks of {cuts} cuts in {time.monotonic() - t0:.0f} s, "
          f"{bad} wrong")
    return 1 if bad else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--ops", type=int, default=4000)
    ap.add_argument("--each", type=int, default=0, help="so many histories with a restart after each operation")
    ap.add_argument("--power", type=int, default=0, help="so many disks")
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--session", help="this one only, as printed")
    ap.add_argument("--no-text", action="store_true", help="no text indexes")
    ap.add_argument("--errors", type=int, default=5)
    args = ap.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    end_cleanly()
    os.environ.setdefault("TMPDIR", power_look.scratch() or tempfile.gettempdir())
    return power(args, seed) if args.power else run(args, seed)


if __name__ == "__main__":
    sys.exit(main())
