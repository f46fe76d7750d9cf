"""Looking at the disks that a power cut may leave: where to cut, what survives, what the server says.

Workers are processes; each has a folder, a fast server and a checked one. What they inherit is in JOB.
"""
import bisect
import collections
import multiprocessing
import os
import pathlib
import random
import re
import tempfile
import time

import power_disk as pd
from harness import ROOT, binary
from history import KINDS, NEVER, SCROLL_ALL, History, Life, ids_of, kind_of, read_all, read_points
from power_work import PATIENT, SETTINGS, Failure, kinds_of
from quick import Quick, end_cleanly, write_image

FAST = pathlib.Path(os.environ.get("SEXTANT_BIN_FAST", ROOT / "build/release/sextant"))


def scratch():
    """Memory, where there is some: the disks are models, what holds them need not be one."""
    return "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None


# --- where to cut, and what to keep --------------------------------------------------------------------


def plan(records, history, seed, first=0):
    """[(index, [label, ...])]: cut behind records[index]. The labels are explained in rules(); "lost x":
    what is certain, without the last segment of the log of collection x."""
    rng = random.Random(seed)
    want = collections.defaultdict(list)
    for i, r in enumerate(records):
        if r.op == pd.RENAME:
            want[i] += ["none", "all", "names", "each"]
        elif r.op == pd.UNLINK:
            want[i] += ["names", "each"] if r.name.rsplit("/", 1)[-1].startswith("dead.") else ["any"]
        elif r.op in (pd.DIRSYNC, pd.SYNC):
            want[i] += ["none", "random"]
        elif r.op == pd.OPEN and r.a and r.name.endswith("/wal"):
            want[i] += ["random", "each"]
        elif r.op in (pd.MKDIR, pd.RMDIR, pd.TRUNCATE) or r.op == pd.OPEN and r.a:
            want[i] += ["random"]
        elif r.op == pd.WRITE and rng.random() < 0.2:
            want[i] += ["torn"]
    ends = [r.end for r in records]
    for life in history.lives:
        answers = sorted(op[1] for op in life.ops.values() if op[2])
        lost = set(answers if first else answers[::5])
        for seen in [life.created[1], life.dropped[1]] + answers:
            i = bisect.bisect_left(ends, seen)
            if seen < NEVER and i < len(ends):
                want[i] += ["none", "any", "torn"]
                if seen in lost:
                    want[i].append(f"lost {life.name}")
    return sorted((i, sorted(set(labels))) for i, labels in want.items() if labels and i >= first)


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


# A part of an index has its bytes before it has its name, so a power cut leaves it whole or not at all.
TORN_PART = re.compile(r"WARN .*\.part: (?!overlaps another part|holds rows up to).*")


class Found(dict):
    """{name: {id: version}}, and the aliases."""


def read(server, kinds):
    """read_all(), and a filter that an index may answer must find what it would find without."""
    found = Found(read_all(server, kinds))
    found.aliases = {a["alias_name"]: a["collection_name"] for a in server.ok("GET", "/aliases")["aliases"]}
    torn = TORN_PART.search(server.log())
    if torn:
        raise AssertionError(f"a power cut was taken for damage: {torn[0]}")
    for name, state in found.items():
        versions = sorted(state.values())
        if not versions:
            continue
        least = versions[len(versions) // 2]
        answer = server.ok("POST", f"/collections/{name}/points/scroll", {
            "limit": 100000, "with_payload": False, "filter": {"must": [
                {"key": "v", "range": {"gte": least}}]}})
        ids, want = {p["id"] for p in answer["points"]}, {i for i, v in state.items() if v >= least}
        if ids != want:
            raise AssertionError(f"collection {name}: filtered by v >= {least}: {len(ids)} points, missing "
                                 f"{list(want - ids)[:5]}, too many {list(ids - want)[:5]}")
    return found


# --- examining one disk ----------------------------------------------------------------------------------


def aliases_wrong(history, p, found):
    """None, or what is wrong with the aliases on a disk cut at p."""
    states = [(sent, seen, a) for sent, seen, a in getattr(history, "aliases", ()) if sent < p]
    known = [i for i, (_, seen, _) in enumerate(states) if seen <= p]
    want = [a for _, _, a in states[known[-1] if known else 0:]]
    if want and found.aliases not in want:
        return f"aliases are {found.aliases}, not {' or '.join(map(str, want))}"
    return None


class Examiner:
    """Belongs to one worker process: servers, a folder, and what disks were seen."""

    def __init__(self, extra=True):
        self.dir = tempfile.mkdtemp(prefix="disk-", dir=JOB["top"])
        self.fast = Quick(FAST, PATIENT)
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
                        found = read(server, kinds)
                    finally:
                        code = server.kill()
                    if code is not None:
                        raise AssertionError(f"the server ended with {code}")
                self.digests.append(digest)
                self.seen[digest] = found
                if len(self.seen) > 3000:
                    del self.seen[next(iter(self.seen))]
                is_new = True
            wrong = history.check(p, found) or aliases_wrong(history, p, found)
            if wrong:
                raise AssertionError(wrong)
            if self.extra and is_new and self.counts["disks"] % 60 == 20:
                server = self.checked
                self.second_cut(image, p, history, what)
        except AssertionError as e:
            raise Failure(f"cut at {p}, survived: {what}: {e}", p, image, server.log())

    def examine_lost(self, image, p, history, name, what):
        """The log of one collection has lost its last segment: that is reported, or nothing was in it
        that is needed."""
        self.counts["lost segments"] += 1
        logs = [f for f in image if f.startswith(f"storage/collections/{name}/0/wal/")]
        if not logs:
            return
        image = {f: data for f, data in image.items() if f != max(logs)}
        lives = History()
        lives.lives = [x for x in history.lives if x.name == name]
        server, found = self.fast, {}
        self.write(image)
        try:
            server.start(self.dir)
            status, answer = server.get("POST", f"/collections/{name}/points/scroll", SCROLL_ALL)
            if status == 200:
                found[name] = read_points(name, answer["result"]["points"], kinds_of(history)[name])
            error = answer["status"]["error"] if status >= 500 else ""
            if not re.search(r"wal.* offset \d", error):
                wrong = f"{name} answers {status}: {error}" if error else lives.check(p, found)
                if wrong:
                    raise AssertionError(wrong)
        except AssertionError as e:
            raise Failure(f"cut at {p}, survived: {what}, without {max(logs)}: {e}", p, image, server.log())
        finally:
            server.kill()

    def go_on(self, server, image, kinds):
        """A start under the sanitizers, a write to each collection, a clean stop, a start."""
        self.write(image)
        try:
            server.start(self.dir)
            found = read(server, kinds)
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
            again = read(server, kinds)
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
            found = read(server, kinds_of(history))
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


JOB = {}  # top, story, seed, extra, round: what worker processes inherit


def examiner():
    if "examiner" not in JOB:
        JOB["examiner"] = Examiner(JOB["extra"])
    return JOB["examiner"]


def run_cuts(story, cuts, skip=(), stop=lambda disk, r: False):
    """Examines the cuts, which are in order. skip: positions of syncs that are left out."""
    ex, records = examiner(), story.records
    disk, at = story.disk(skip), 0
    for i, labels in cuts:
        while at <= i:
            disk.feed(records[at])
            if stop(disk, records[at]):
                return
            at += 1
        for label in labels:
            rng = random.Random(f"{JOB['seed']}/{i}/{label}/{JOB['round']}")
            if label.startswith("lost "):
                image, _ = disk.image(pd.Rule(rng, 0, 0))
                ex.examine_lost(image, records[i].end, story.history, label[5:], label)
                continue
            for what, rule in rules(label, disk, rng):
                ex.examine(*disk.image(rule), records[i].end, story.history, what)


COUNTS = ("cuts", "disks", "second cuts", "lost segments")


def worker(args):
    """(counts, digests, Failure or None) of a part of the cuts."""
    cuts, JOB["round"] = args
    ex = examiner()
    before = ex.counts.copy()
    ex.digests = []
    failure = None
    try:
        run_cuts(JOB["story"], cuts)
    except Failure as e:
        failure = e
    return {k: ex.counts[k] - before[k] for k in COUNTS}, ex.digests, failure


def in_parts(cuts, n):
    size = max(1, len(cuts) // n)
    return [cuts[i:i + size] for i in range(0, len(cuts), size)]


def workers(function, parts, done=lambda result: False):
    """Calls function for the parts in two processes, until done(result) is true."""
    with multiprocessing.get_context("fork").Pool(2, end_cleanly) as pool:
        for result in pool.imap_unordered(function, parts):
            if done(result):
                return  # leaving ends the workers


def examine_all(story, seed, states):
    """Returns (counts, number of different disks, Failure or None)."""
    JOB.update(story=story, seed=seed)
    counts, digests, failures, rnd = collections.Counter(), set(), [], 0

    def done(result):
        counts.update(result[0])
        digests.update(result[1])
        if result[2]:
            failures.append(result[2])
        return bool(failures)

    cuts = plan(story.records, story.history, seed, story.first)
    while True:
        workers(worker, [(part, rnd) for part in in_parts(cuts, 40)], done)
        if failures or len(digests) >= states:
            return counts, len(digests), failures[0] if failures else None
        rnd += 1
        cuts = more_cuts(range(story.first, len(story.records)),
                         max(100, (states - len(digests)) * 5 // 4), random.Random(f"{seed}/{rnd}"))
