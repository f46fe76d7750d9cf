#!/usr/bin/env python3
"""Starts the server on the disks that a power cut could have left, and reads everything back.

    tests/fault/power_cut.py [--states 2000] [--seed N] [--replay DIR]
    tests/fault/power_cut.py --skip-sync all|sample|edit

A recording server (SEXTANT_BIN, built with SX_IO_RECORD) runs a workload: collections with vectors in
memory and mapped, upserts, replacements and deletes with wait=true and false by three writers at once,
several log segments, many checkpoints, drops, recreation, a kill and a clean stop. Its journal says
what the disk was asked for (power_disk.py); at cuts all over it disks are built, the server
(SEXTANT_BIN_FAST, default build/release/sextant) is started on each, and what it answers is compared
with what the client was told (history.py): acknowledged <= state <= acknowledged + in flight, each
operation whole, every byte of vectors and payloads right, no collection damaged, no crash. On some disks
the checked server starts instead, takes a write, stops cleanly and starts again; on some the power
goes a second time, during or after the recovery.

A failure prints the seed and leaves journals, history, the disk and the server's log in a folder that
--replay takes.

--skip-sync shows that the test would notice a missing sync: `all` runs the workload once for each n
with SEXTANT_IO_SKIP_SYNC=n, `sample` for five random n, each time until the first failure; `edit`
takes each sync in turn out of one journal, which is the same for the disk and takes minutes instead of
an hour. Those not noticed are printed with the file or directory they were for.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import struct
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
import power_disk as pd  # noqa: E402
from harness import ROOT, Server, binary  # noqa: E402
from history import KINDS, NEVER, History, Life, ids_of, kind_of, read_all  # noqa: E402
from quick import Quick, end_cleanly, write_image  # noqa: E402

FAST = pathlib.Path(os.environ.get("SEXTANT_BIN_FAST", ROOT / "build/release/sextant"))
SETTINGS = {
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 50,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_LOG_MB": 1,
    "log_level": "WARN",
}


def scratch():
    """Memory, where there is some: the disks are models, what holds them need not be one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# --- the workload ---------------------------------------------------------------------------------


class Failure(Exception):
    def __init__(self, text, position=None, image=None, log=""):
        super().__init__(text)
        self.text, self.position, self.image, self.log = text, position, image, log

    def __reduce__(self):
        return Failure, (self.text, self.position, self.image, self.log)


class Recorder:
    """Sessions of the recording server on one data directory, and the history of what it answered."""

    def __init__(self, where, seed, skip=None):
        self.where, self.seed = pathlib.Path(where), seed
        self.skip = skip              # (session, n) or None
        self.journals, self.base = [], 0
        self.history = History()
        self.lives = {}               # name -> Life of now
        self.versions = iter(range(1, 1 << 30))
        self.lock = threading.Lock()
        self.server = None

    def start(self):
        path = self.where / f"journal.{len(self.journals)}"
        env = {"SEXTANT_IO_JOURNAL": str(path), **SETTINGS}
        if self.skip and self.skip[0] == len(self.journals):
            env["SEXTANT_IO_SKIP_SYNC"] = self.skip[1]
        self.journals.append(path)
        self.server = Server(env=env, dir=self.where / "data")

    def now(self):
        return self.base + self.journals[-1].stat().st_size

    def end(self, clean):
        if clean:
            code = self.server.stop()
            if code != 0:
                raise Failure(f"exit code {code} of the recording server", log=self.server.log())
        else:
            self.server.kill()
        self.server.check_log()
        self.base = self.now()

    def call(self, http, method, path, body=None):
        """(sent, result, seen)"""
        sent = self.now()
        result = http.ok(method, path, body)
        return sent, result, self.now()

    def quiet(self):
        """Waits until nothing more is written: no checkpoint is due or under way."""
        last, since = self.now(), time.monotonic()
        while time.monotonic() - since < 0.15:
            time.sleep(0.01)
            if self.now() != last:
                last, since = self.now(), time.monotonic()

    def create(self, name, kind, http=None):
        sent, _, seen = self.call(http or self.server.http, "PUT", f"/collections/{name}",
                                  KINDS[kind].config)
        life = Life(name, kind, [sent, seen])
        with self.lock:
            self.history.lives.append(life)
        self.lives[name] = life

    def drop(self, name, http=None):
        life = self.lives.pop(name)
        sent, _, seen = self.call(http or self.server.http, "DELETE", f"/collections/{name}")
        life.dropped = [sent, seen]

    def write(self, http, name, changes, wait):
        """changes: [[id, version or None]], all upserts or all deletes."""
        life = self.lives[name]
        if changes[0][1] is None:
            method, path = "POST", f"/collections/{name}/points/delete"
            body = {"points": [i for i, _ in changes]}
        else:
            method, path = "PUT", f"/collections/{name}/points"
            body = {"points": [KINDS[life.kind].point(i, v) for i, v in changes]}
        sent, result, seen = self.call(http, method, f"{path}?wait={str(wait).lower()}", body)
        with self.lock:
            life.ops[result["operation_id"]] = [sent, seen, wait, changes]

    def upsert(self, http, name, ids, wait=True):
        with self.lock:
            changes = [[i, next(self.versions)] for i in ids]
        self.write(http, name, changes, wait)

    def delete(self, http, name, ids, wait=True):
        self.write(http, name, [[i, None] for i in ids], wait)

    def writer(self, part, names, n_ops, errors):
        """One of several at once, each with ids of its own."""
        rng = random.Random(f"{self.seed}/{part}/{len(self.journals)}")
        ids = ids_of(part, 24)
        http = type(self.server.http)(self.server.port)
        try:
            for _ in range(n_ops):
                name, wait = rng.choice(names), rng.random() < 0.6
                some = rng.sample(ids, rng.choice((1, 1, 2, 3, 8)))
                if rng.random() < 0.25:
                    self.delete(http, name, some, wait)
                else:
                    self.upsert(http, name, some, wait)
                if rng.random() < 0.15:
                    time.sleep(rng.choice((0.005, 0.06)))
        except Exception as e:  # told by the main thread
            errors.append(e)
        finally:
            http.close()

    def writers(self, names, n_ops, beside=None):
        errors = []
        threads = [threading.Thread(target=self.writer, args=(part, names, n_ops, errors))
                   for part in (1, 2, 3)]
        for t in threads:
            t.start()
        if beside:
            beside()
        for t in threads:
            t.join()
        if errors:
            raise errors[0]


def churn(rec, wide_ids):
    """While others write: a collection that comes and goes, one whose log has many segments."""
    http = rec.server.http
    rec.create("churn", "plain")
    rec.upsert(http, "churn", ids_of(9, 5))
    time.sleep(0.25)  # its checkpoint is over: a stale path must not name the next one's files
    rec.drop("churn")
    rec.create("churn", "named")  # the name again, other columns
    rec.upsert(http, "churn", ids_of(9, 3), wait=False)
    rec.create("busy", "plain")
    for i in range(6):
        rec.upsert(http, "busy", ids_of(9, 4), wait=i == 0)
    rec.drop("busy")  # with everything unsynced, perhaps in the middle of a checkpoint
    rec.create("wide", "wide")
    for i in range(0, len(wide_ids), 3):  # more than a segment before anything of it is synced
        rec.upsert(http, "wide", wide_ids[i:i + 3], wait=i > 75 and i % 2 == 0)


def workload(rec):
    wide_ids = ids_of(8, 90)
    rec.start()
    rec.create("plain", "plain")
    rec.create("named", "named")
    rec.writers(["plain", "named"], 26, lambda: churn(rec, wide_ids))
    http = rec.server.http
    rec.delete(http, "wide", wide_ids[:10])
    rec.quiet()  # checkpoints; segments of the log go
    rec.upsert(http, "wide", wide_ids[40:60], wait=False)
    rec.upsert(http, "wide", wide_ids[60:62])
    rec.quiet()
    rec.drop("wide")
    rec.create("wide", "plain")
    rec.upsert(http, "wide", ids_of(7, 2))
    rec.upsert(http, "plain", ids_of(7, 4), wait=False)
    rec.upsert(http, "named", ids_of(7, 3), wait=False)
    rec.end(clean=False)

    rec.start()  # replays; a part of what it reads was never synced
    http = rec.server.http
    rec.upsert(http, "plain", ids_of(7, 2))
    rec.writers(["plain", "named", "churn"], 10)
    rec.drop("churn")
    rec.end(clean=True)

    rec.start()
    http = rec.server.http
    rec.upsert(http, "named", ids_of(6, 3))
    rec.delete(http, "plain", ids_of(7, 3))
    rec.upsert(http, "plain", ids_of(6, 3), wait=False)
    rec.create("last", "named")
    rec.end(clean=False)


# --- reading a disk back -----------------------------------------------------------------------------


def kinds_of(history):
    out = collections.defaultdict(list)
    for life in history.lives:
        if life.kind not in out[life.name]:
            out[life.name].append(life.kind)
    return dict(out)


# --- where to cut, and what to keep --------------------------------------------------------------------


def plan(records, history, seed):
    """[(index, [label, ...])]: cut behind records[index]. The labels are explained in rules()."""
    rng = random.Random(seed)
    want = collections.defaultdict(list)
    for i, r in enumerate(records):
        if r.op == pd.RENAME:
            want[i] += ["none", "all", "names", "each"]
        elif r.op == pd.UNLINK:
            want[i] += ["names", "each"] if r.name.rsplit("/", 1)[-1].startswith("dead.") else ["any"]
        elif r.op in (pd.DIRSYNC, pd.SYNC):
            want[i] += ["none", "random"]
        elif r.op in (pd.MKDIR, pd.RMDIR, pd.TRUNCATE) or r.op == pd.OPEN and r.a:
            want[i] += ["random"]
        elif r.op == pd.WRITE and rng.random() < 0.2:
            want[i] += ["torn"]
    ends = [r.end for r in records]
    for life in history.lives:
        marks = [life.created[1], life.dropped[1]] + [op[1] for op in life.ops.values() if op[2]]
        for seen in marks:
            i = next((i for i, e in enumerate(ends) if e >= seen), None)
            if seen < NEVER and i is not None:
                want[i] += ["none", "any", "torn"]
    return sorted((i, sorted(set(labels))) for i, labels in want.items() if labels)


def more_cuts(indices, n, rng):
    want = collections.defaultdict(list)
    for _ in range(n):
        want[rng.choice(indices)].append("random")
    return sorted(want.items())


def rules(label, disk, rng):
    """The rules of what survives that a label stands for, each with its description."""
    dirty = list(disk.dirty)
    if label == "none":  # only what is certain
        yield label, pd.Rule(rng, 0, 0)
    elif label == "all":
        yield label, pd.Rule(rng, 1, 1)
    elif label == "names":  # files as they were, under the names of now
        yield label, pd.Rule(rng, 0, 1)
    elif label == "each":  # everything but one file or directory, for each; only it, for one
        for v in dirty:
            yield f"all but {v.name}", pd.Rule(rng, 1, 1, 0, v, 0)
            if isinstance(v, pd.Dir) and len(v.pending) > 1:
                last = v.pending[-1][0]
                yield (f"all, of {v.name} only the last change",
                       pd.Rule(rng, 1, 1, 0, v, 0, lambda op: op is last))
                yield (f"all, of {v.name} only removals",
                       pd.Rule(rng, 1, 1, 0, v, 0, lambda op: all(p[2] is None for p in op.parts)))
        label = "any"
    elif label == "torn":
        yield label, pd.TornLast(rng)
    elif label == "random":
        how = rng.randrange(4)
        share = rng.choice((0.2, 0.5, 0.8, 0.95))
        yield f"random {share}", pd.Rule(rng, share, share if how else 1, 0.3 if how > 1 else 0)
    if label == "any" and dirty:
        v = rng.choice(dirty)
        yield f"all but {v.name}", pd.Rule(rng, 1, 1, 0, v, 0)
        yield f"nothing but {v.name}", pd.Rule(rng, 0, 0, 0, v, 1)


# --- examining one disk ----------------------------------------------------------------------------------


class Examiner:
    """Belongs to one worker process: servers, a folder, and what disks were seen."""

    def __init__(self, extra=True):
        self.dir = tempfile.mkdtemp(prefix="disk-", dir=JOB["top"])
        self.fast = Quick(FAST)
        self.checked = Quick(binary(), {k: v for k, v in SETTINGS.items() if k.isupper()})
        self.checked.env.pop("ASAN_OPTIONS", None)
        self.seen = {}     # digest -> {name: {id: version}}, of the last ones
        self.digests = []  # of all, until the worker has told them
        self.extra = extra  # the checked server and the second cut now and then
        self.counts = collections.Counter()
        self.written = None

    def write(self, image):
        write_image(self.dir, image, self.written)
        self.written = image

    def examine(self, image, digest, p, history, what):
        """Raises Failure."""
        self.counts["cuts"] += 1
        server = self.fast
        try:
            found, is_new = self.seen.get(digest), False
            if found is None:
                self.counts["disks"] += 1
                kinds = kinds_of(history)
                turn = self.counts["disks"] if self.extra else 1
                if turn % 25 == 0:
                    server = self.checked
                    found = self.go_on(server, image, kinds)
                else:
                    self.write(image)
                    try:
                        server.start(self.dir)
                        found = read_all(server, kinds)
                    finally:
                        code = server.kill()
                    if code is not None:
                        raise AssertionError(f"the server ended with {code}")
                self.digests.append(digest)
                self.seen[digest] = found
                if len(self.seen) > 3000:
                    del self.seen[next(iter(self.seen))]
                is_new = True
            wrong = history.check(p, found)
            if wrong:
                raise AssertionError(wrong)
            if self.extra and is_new and self.counts["disks"] % 60 == 20:
                server = self.checked
                self.second_cut(image, p, history, what)
        except AssertionError as e:
            raise Failure(f"cut at {p}, survived: {what}: {e}", p, image, server.log())

    def go_on(self, server, image, kinds):
        """A start under the sanitizers, a write to each collection, a clean stop, a start."""
        self.write(image)
        try:
            server.start(self.dir)
            found = read_all(server, kinds)
            want = {}
            for i, name in enumerate(sorted(found)):
                kind, pid, version = kind_of(server, name), 777000 + i, 900000 + i
                server.ok("PUT", f"/collections/{name}/points?wait=true",
                          {"points": [KINDS[kind].point(pid, version)]})
                want[name] = {**found[name], pid: version}
            code = server.stop()
            if code != 0:
                raise AssertionError(f"exit code {code} after SIGTERM")
            server.start(self.dir)
            again = read_all(server, kinds)
            if again != want:
                raise AssertionError(f"a write and a clean restart made {again} of {found}")
            for name in found:
                info = server.ok("GET", f"/collections/{name}")
                if info["status"] != "green" or info["points_count"] != len(want[name]):
                    raise AssertionError(f"collection {name}: {info['status']}, "
                                         f"{info['points_count']} points of {len(want[name])}, "
                                         f"{info['optimizer_status']}")
        finally:
            server.kill()
        server.check_log()
        return found

    def second_cut(self, image, p, history, what):
        """The server recovers, takes some more operations, and the power goes again."""
        server, rng = self.checked, random.Random(f"{p}/{what}")
        journal = pathlib.Path(self.dir + ".journal")
        self.write(image)
        server.set({"SEXTANT_IO_JOURNAL": str(journal)})
        then = History()
        try:
            server.start(self.dir)
            found = read_all(server, kinds_of(history))
            wrong = history.check(p, found)
            if wrong:
                raise AssertionError(wrong)
            for name in sorted(found):
                then.lives.append(Life(name, kind_of(server, name), [-1, -1], found[name]))
            version = iter(range(800000, 900000))
            for step in range(3 * len(then.lives)):
                life, wait = rng.choice(then.lives), rng.random() < 0.6
                ids = rng.sample(sorted(life.base, key=str), min(2, len(life.base))) + ids_of(5, 3)
                changes = [[i, next(version)] for i in rng.sample(ids, 2)]
                sent = journal.stat().st_size
                result = server.ok("PUT", f"/collections/{life.name}/points?wait={str(wait).lower()}",
                                   {"points": [KINDS[life.kind].point(i, v) for i, v in changes]})
                life.ops[result["operation_id"]] = [sent, journal.stat().st_size, wait, changes]
                if rng.random() < 0.1:
                    time.sleep(0.08)  # a checkpoint
        finally:
            server.kill()
            del server.env["SEXTANT_IO_JOURNAL"]
        server.check_log()
        for life in then.lives:
            life.base_number = min(life.ops, default=1) - 1
        then.prepare()
        records = pd.parse(journal.read_bytes())
        journal.unlink()
        disk = pd.Disk.of_image(image)
        steps = [i for i, r in enumerate(records) if r.op != pd.OPEN or r.a]
        cuts = dict(more_cuts(steps, 10, rng))
        self.extra, extra = False, self.extra
        try:
            for i, r in enumerate(records):
                disk.feed(r)
                for _ in cuts.get(i, ()):
                    for how, rule in rules(rng.choice(("none", "any", "random", "torn")), disk, rng):
                        self.counts["second cuts"] += 1
                        self.examine(*disk.image(rule), r.end, then, f"{what}; then {how}")
        finally:
            self.extra = extra


# --- many disks --------------------------------------------------------------------------------------


JOB = {}  # records, history, seed: what worker processes inherit


def examiner():
    if "examiner" not in JOB:
        JOB["examiner"] = Examiner(JOB["extra"])
    return JOB["examiner"]


def run_cuts(cuts, skip=(), stop=lambda disk, r: False):
    """Examines the cuts, which are in order. Returns the counts."""
    ex, records = examiner(), JOB["records"]
    disk, at = pd.Disk(skip), 0
    for i, labels in cuts:
        while at <= i:
            disk.feed(records[at])
            if stop(disk, records[at]):
                return
            at += 1
        for label in labels:
            rng = random.Random(f"{JOB['seed']}/{i}/{label}/{JOB['round']}")
            for what, rule in rules(label, disk, rng):
                ex.examine(*disk.image(rule), records[i].end, JOB["history"], what)


def worker(args):
    """(counts, digests, Failure or None) of a part of the cuts."""
    cuts, JOB["round"] = args
    ex = examiner()
    before = ex.counts.copy()
    ex.digests = []
    failure = None
    try:
        run_cuts(cuts)
    except Failure as e:
        failure = e
    counts = {k: ex.counts[k] - before[k] for k in ("cuts", "disks", "second cuts")}
    return counts, ex.digests, failure


def in_parts(cuts, n):
    size = max(1, len(cuts) // n)
    return [cuts[i:i + size] for i in range(0, len(cuts), size)]


def workers(function, parts, done=lambda result: False):
    """Calls function for the parts in two processes, until done(result) is true."""
    with multiprocessing.get_context("fork").Pool(2, end_cleanly) as pool:
        for result in pool.imap_unordered(function, parts):
            if done(result):
                return  # leaving ends the workers


def examine_all(records, history, seed, states, deadline=None):
    """Returns (counts, number of different disks, Failure or None)."""
    JOB.update(records=records, history=history, seed=seed)
    counts, digests, failures, rnd = collections.Counter(), set(), [], 0

    def done(result):
        counts.update(result[0])
        digests.update(result[1])
        if result[2]:
            failures.append(result[2])
        return bool(failures)

    cuts = plan(records, history, seed)
    while True:
        workers(worker, [(part, rnd) for part in in_parts(cuts, 40)], done)
        if failures or len(digests) >= states:
            return counts, len(digests), failures[0] if failures else None
        rnd += 1
        cuts = more_cuts(range(len(records)), max(100, (states - len(digests)) * 5 // 4),
                         random.Random(f"{seed}/{rnd}"))


# --- the modes -------------------------------------------------------------------------------------------


def record(where, seed, skip=None):
    rec = Recorder(where, seed, skip)
    try:
        workload(rec)
    except BaseException:
        if rec.server is not None:
            print(rec.server.log(), file=sys.stderr)
            rec.server.kill()
        raise
    if not rec.journals[0].exists():
        raise SystemExit(f"{binary()} records nothing: it was built without SX_IO_RECORD")
    records = pd.parse_sessions(rec.journals)
    return records, rec.history.prepare()


def save(where, failure, seed, history):
    """Leaves everything that shows a failure in a folder of its own."""
    keep = pathlib.Path(tempfile.mkdtemp(prefix="power-cut-failed-"))
    for path in sorted(pathlib.Path(where).glob("journal.*")):
        shutil.copy(path, keep)
    (keep / "history.json").write_text(json.dumps({"seed": seed, "lives": history.to_json()}))
    (keep / "failure.txt").write_text(f"seed {seed}\n{failure.text}\n\n{failure.log}")
    if failure.image is not None:
        write_image(keep / "disk", failure.image)
    return keep


def test(args, where):
    t0 = time.monotonic()
    if args.replay:
        source = pathlib.Path(args.replay)
        saved = json.loads((source / "history.json").read_text())
        args.seed, history = saved["seed"], History.from_json(saved["lives"])
        records = pd.parse_sessions(sorted(source.glob("journal.*")))
        where = source
    else:
        records, history = record(where, args.seed)
    t1 = time.monotonic()
    n_ops = sum(len(x.ops) for x in history.lives)
    print(f"seed {args.seed}: {len(records)} journal records, {n_ops} operations on "
          f"{len(history.lives)} collections in {t1 - t0:.1f} s", flush=True)
    counts, n, failure = examine_all(records, history, args.seed, args.states)
    if failure:
        keep = save(where, failure, args.seed, history)
        print(f"FAILED, seed {args.seed}: {failure.text}\n{failure.log[-3000:]}\n"
              f"journals, history and disk are in {keep}")
        return 1
    print(f"seed {args.seed}: {n} different disks, {counts['cuts']} cuts, {counts['second cuts']} of "
          f"them a second time, in {time.monotonic() - t1:.1f} s; nothing lost, nothing invented")
    return 0


def syncs_of(records):
    """Per session, how many syncs were asked for."""
    n = collections.Counter(r.session for r in records if r.op in (pd.SYNC, pd.DIRSYNC, pd.SKIPPED))
    return [n[s] for s in range(max(n) + 1)]


def shorten(path):
    """Without what differs from run to run."""
    parts = []
    for p in path.split("/"):
        p = re.sub(r"^[0-9a-f]{32}$", "<uuid>", re.sub(r"^dead\..*", "dead.*", re.sub(r".*\.log$", "*.log", p)))
        p = re.sub(r"^(rows|vec\d+|loc\d+|payload)\.[0-9a-f]{8}", "<store>", p)
        parts.append("*" if parts and parts[-1] == "collections" else p)
    return "/".join(parts)


NOTHING = "nothing was left to sync"
NO_ANSWER = "no answer waits for it"
# Syncs that one run may well do without, and why the server has them.
REASONS = [
    (NOTHING, "another sync of the same file or directory came first"),
    (NO_ANSWER, "a checkpoint's, a recovery's, or of an operation that changed nothing"),
    ("directory storage: +.deleted +tmp", "both are made anew by each start; a first start needs it"),
    ("directory storage/collections/*/0: +<store>",
     "each store syncs its new names, the next store or the manifest syncs the same directory"),
    ("directory storage/collections/*/0: +manifest",
     "until old log segments or dead bits are removed, the manifest before is as good"),
]


def describe(disk, node, n, records, history, r):
    """What the sync r was for: (place, what it should have made certain)."""
    if node is None:
        return "a directory without a change", NOTHING
    path = disk.path_of(node)
    if n == 0:
        what = NOTHING
    elif isinstance(node, pd.Dir):
        names = {("-" if op.parts[i][2] is None else "+") + shorten(op.parts[i][1])
                 for op, i in node.pending[:n]}
        what = " ".join(sorted(names))
    elif not path.endswith(".log"):
        what = "changes"
    else:
        what = "answers wait" if answers_of(disk, node, n, records, history, r) else NO_ANSWER
    return ("file " if isinstance(node, pd.File) else "directory ") + shorten(path), what


def answers_of(disk, f, n, records, history, r):
    """How many answers rest on this sync of a log: of operations that it was to make certain and that
    changed something, arrived before the next sync of the log could have done it."""
    numbers = {}
    for p in f.pending[:n]:
        if p.op == pd.WRITE and p.a >= 4096 and len(p.data) >= 64:
            numbers[struct.unpack_from("<Q", p.data, 8)[0]] = p.pos
    name = disk.path_of(f).split("/")[2]
    handles = {h for h, g in disk.files.items() if g is f}
    until = next((s.end for s in records if s.op == pd.SYNC and s.pos > r.pos and
                  s.session == r.session and s.handle in handles), NEVER)
    return sum(op[2] and numbers[k] < op[1] < until and not life.is_idle(k)
               for life in history.lives if life.name == name and
               life.created[0] < r.pos <= life.dropped[1]
               for k, op in life.ops.items() if k in numbers)


def skip_one(args):
    """Runs the workload with one sync left out; (what it was, where, what it was for, Failure text)."""
    session, n, seed = args
    which, where = f"session {session}, sync {n}", tempfile.mkdtemp(prefix="skip-", dir=JOB["top"])
    try:
        records, history = record(where, seed, (session, n))
        at = next((i for i, r in enumerate(records) if r.op == pd.SKIPPED), None)
        if at is None:
            return which, None, None  # this run had fewer syncs
        disk = pd.Disk()
        for r in records[:at + 1]:
            disk.feed(r)
        what = describe(disk, *disk.skipped, records, history, records[at])
        JOB.update(records=records, history=history, seed=seed, round=0, extra=False)
        examiner().seen.clear()  # nothing comes again, and memory is finite
        try:
            run_cuts([c for c in plan(records, history, seed) if c[0] >= at])
        except Failure as e:
            return which, what, e.text
        return which, what, None
    except Failure as e:
        return which, ("?", ""), e.text
    finally:
        shutil.rmtree(where, ignore_errors=True)


def edit_one(indices):
    """The same, by taking the syncs records[indices] out of the journal."""
    records, left = JOB["records"], {}
    skip, first = {records[i].pos for i in indices}, min(indices)

    def stop(disk, s):
        """Of one sync: when the next of the same file or directory is through, nothing is missing."""
        if len(skip) > 1:
            return False
        if s.pos in skip:
            left["node"] = disk.skipped[0]
            return False
        return "node" in left and s.op in (pd.SYNC, pd.DIRSYNC) and s.rc == 0 and \
            s.a > min(skip) and disk.promise(s)[0] is left["node"]

    try:
        run_cuts([c for c in JOB["plan"] if c[0] >= first], skip, stop)
    except Failure as e:
        return indices, e.text
    return indices, None


def edit_syncs(records, history):
    """Takes each sync out of the journal in turn, then all of each sort at once."""
    sorts, disk = collections.defaultdict(list), pd.Disk()
    for i, r in enumerate(records):
        if r.op in (pd.SYNC, pd.DIRSYNC):
            sorts[describe(disk, *disk.promise(r), records, history, r)].append(i)
        disk.feed(r)
    texts = {}
    workers(edit_one, [(i,) for ii in sorts.values() for i in ii] +
            [tuple(ii) for ii in sorts.values() if len(ii) > 1], lambda x: texts.update([x]))
    print("noticed of skipped, and all at once: what the syncs were for")
    single = bad = 0
    for what, ii in sorted(sorts.items()):
        n, all_at_once = sum(texts[(i,)] is not None for i in ii), texts[tuple(ii)]
        print(f"{n:4} of {len(ii):4}, {'noticed' if all_at_once else '      -'}: {what[0]}: {what[1]}")
        example = next((texts[(i,)] for i in ii if texts[(i,)]), all_at_once)
        if example:
            print(f"      {example[:240]}")
        single += n
        reason = reason_for(what)
        if n < len(ii):
            print(f"      not noticed: {reason or 'NO REASON KNOWN'}")
            bad += 0 if reason else len(ii) - n
    print(f"{single} of {sum(map(len, sorts.values()))} syncs are noticed when missing; without a "
          f"reason unnoticed: {bad}")
    return 1 if bad else 0


def reason_for(what):
    text = ": ".join(what)
    return next((why for start, why in REASONS if text.startswith(start) or what[1] == start), None)


def skip_syncs(args, where):
    records, history = record(where, args.seed)
    counts = syncs_of(records)
    print(f"seed {args.seed}: {counts} syncs in the sessions of the workload", flush=True)
    JOB.update(records=records, history=history, seed=args.seed, extra=False, round=0,
               plan=plan(records, history, args.seed))
    if args.skip_sync == "edit":
        return edit_syncs(records, history)
    todo = [(s, n, args.seed) for s, k in enumerate(counts) for n in range(1, k + 1)]
    if args.skip_sync == "sample":
        todo = random.Random(args.seed).sample(todo, 5)
    counts = collections.Counter()

    def done(result):
        which, what, text = result
        if what is None:
            return
        reason = None if text else reason_for(what) or "NO REASON KNOWN"
        counts["noticed" if text else "unexplained" if reason[:2] == "NO" else "explained"] += 1
        print(f"{which}: {what[0]}: {what[1]}: " +
              (f"noticed: {text[:200]}" if text else f"NOT noticed: {reason}"), flush=True)

    workers(skip_one, todo, done)
    print(f"{counts['noticed']} of {sum(counts.values())} skipped syncs noticed, "
          f"{counts['explained']} not noticed with a reason, {counts['unexplained']} without one")
    return 1 if counts["unexplained"] else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--states", type=int, default=2000, help="different disks, at least")
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--replay", help="a folder that a failure left")
    ap.add_argument("--skip-sync", choices=("all", "sample", "edit"))
    args = ap.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    if not FAST.is_file():
        raise SystemExit(f"no server binary at {FAST} (set SEXTANT_BIN_FAST or run scripts/build)")
    end_cleanly()
    JOB["top"] = tempfile.mkdtemp(prefix="power-cut-", dir=scratch())
    JOB["extra"], JOB["round"] = True, 0
    try:
        return (skip_syncs if args.skip_sync else test)(args, JOB["top"])
    finally:
        shutil.rmtree(JOB["top"], ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
