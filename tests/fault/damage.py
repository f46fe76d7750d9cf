#!/usr/bin/env python3
"""Damages the files of collections in every way that a disk does, and looks what the server says.

    tests/fault/damage.py [--seed N] [--thorough] [--only TEXT]

Two data directories are made once: one that was stopped cleanly and one that was killed with operations
in its log. For each start some of the collections get one damage each; the last one never does. Then:

  - the process starts, answers, and goes on answering; the undamaged collection is exact
  - in the last record of a log: the longest valid prefix, exact, and a warning
  - in a record before others that were written when it was durable; in a segment of the log that is
    gone, empty, or shorter than it was known to be; in a link between segments, when the segment is gone:
    the collection answers with the file and the offset, and no file of it has changed
  - anywhere else: the collection is exact; or it answers with file and offset; or it turns red with them,
    at the latest when the scrub has been over it. Bytes that the manifest counts on must be found,
    so data that differ are never served without the collection being red.

SEXTANT_BIN names the server (default build/release/sextant). A failure prints the seed and leaves the
folder as the server found it.
"""
import argparse
import collections
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import struct
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
from harness import Server, binary  # noqa: E402
from history import KINDS, SCROLL_ALL, ids_of, read_points  # noqa: E402
from quick import Quick, end_cleanly, read_image, write_image  # noqa: E402

VICTIMS = {"v0": "plain", "v1": "named", "v2": "wide", "v3": "many", "v4": "plain", "v5": "named"}
WITNESS = "other"
LONG = "v2"  # its log has several segments
KIND = {**VICTIMS, WITNESS: "named"}
SETTINGS = {
    "SEXTANT__PLUGINS__ENGINE__SCRUB_PAUSE_MS": 1,
    "SEXTANT__PLUGINS__ENGINE__SCRUB_REST_MS": 1,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 86400000,
    "QDRANT__SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC": 600,  # a busy machine makes clients slow
}
HEAD = 4096       # of every large file, and of a log segment
LINK = range(512, 528)  # in the head of a log segment: which one follows
MARK = range(1024, 1040)  # how long the file is known to be
BLOCK = 65536     # one checksum
RECORD = struct.Struct("<IIQQ")  # length, checksum, number, synced; 64 bytes in all


def scratch():
    return "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None


# --- the data directories --------------------------------------------------------------------------


class Base:
    """An image of a data directory, and the state of each collection after each of its operations.

    first: number of the operation that the manifest stands for.
    """

    def __init__(self, image, states, first=None):
        self.image = image
        self.states = {name: list(s) for name, s in states.items()}
        self.last = {name: len(s) - 1 for name, s in states.items()}
        self.first = first or self.last
        self.certain = {}  # path -> bytes of it that the manifest counts on, if not all of them

    def files(self, name):
        prefix = f"storage/collections/{name}/"
        return [p[len(prefix):] for p in sorted(self.image) if p.startswith(prefix)]

    def get(self, name, file):
        return self.image.get(f"storage/collections/{name}/{file}")

    def is_needed(self, name, file):
        """Of a segment of a log: is it the last, or does it reach beyond the checkpoint?"""
        files = [f for f in self.files(name) if f.startswith("0/wal/")]
        after = files[files.index(file) + 1:]
        return not after or int(after[0][6:22], 16) > self.first[name] + 1

    def log(self, name):
        """[(file, [(offset, length, number, synced)])]"""
        out = []
        for file in self.files(name):
            if not file.startswith("0/wal/"):
                continue
            data, at, records = self.get(name, file), HEAD, []
            while at + 64 <= len(data):
                n, crc, number, synced = RECORD.unpack_from(data, at)
                if crc == 0:
                    break
                records.append((at, 64 + (n + 7) // 8 * 8, number, synced))
                at += records[-1][1]
            out.append((file, records))
        return out


def build(where):
    """(stopped cleanly, killed)"""
    states = {name: [{}] for name in KIND}
    version = iter(range(1, 1 << 30))

    def change(server, name, changes):
        if changes[0][1] is None:
            method, path = "POST", f"/collections/{name}/points/delete?wait=true"
            body = {"points": [i for i, _ in changes]}
        else:
            method, path = "PUT", f"/collections/{name}/points?wait=true"
            body = {"points": [KINDS[KIND[name]].point(i, v) for i, v in changes]}
        number = server.http.ok(method, path, body)["operation_id"]
        state = dict(states[name][-1])
        for i, v in changes:
            state.pop(i, None)
            if v is not None:
                state[i] = v
        states[name].append(state)
        if number != len(states[name]) - 1:
            raise AssertionError(f"{name}: operation {number}, expected {len(states[name]) - 1}")

    def upsert(server, name, ids):
        change(server, name, [[i, next(version)] for i in ids])

    server = Server(dir=where, env={**SETTINGS, "log_level": "WARN"})
    for name, kind in KIND.items():
        server.http.ok("PUT", f"/collections/{name}", KINDS[kind].config)
        ids = ids_of(1, {"wide": 50, "many": 1800}.get(kind, 10))
        for i in range(0, len(ids), 600 if kind == "many" else 10):
            upsert(server, name, ids[i:i + (600 if kind == "many" else 10)])
        upsert(server, name, ids[2:5])
        change(server, name, [[i, None] for i in ids[5:7]])
    code = server.stop()
    if code != 0:
        raise AssertionError(f"exit code {code}\n{server.log()}")
    clean = Base({p: d for p, d in read_image(where).items() if p.startswith("storage")}, states)
    server.start()
    for _ in range(12):  # a log of three segments
        upsert(server, LONG, ids_of(3, 10))
    for name in KIND:
        upsert(server, name, ids_of(1, 10)[:2])
        change(server, name, [[ids_of(1, 8)[7], None]])
        upsert(server, name, ids_of(2, 3))
        upsert(server, name, ids_of(2, 2))
        if KIND[name] == "plain":
            upsert(server, name, ids_of(2, 1))
        else:
            change(server, name, [[ids_of(2, 1)[0], None]])
    server.kill()
    server.check_log()
    image = {p: d for p, d in read_image(where).items() if p.startswith("storage")}
    killed = Base(image, states, clean.last)
    clean.certain = {p: end_of(d) for p, d in clean.image.items() if d is not None}
    killed.certain = {p: clean.certain.get(p, 0) for p, d in image.items() if d is not None}
    log = killed.log(LONG)
    if len(log) != 3 or len(log[-1][1]) < 5:
        raise AssertionError(f"the log of {LONG} has {[len(r) for _, r in log]} records in its segments")
    return clean, killed


# Small files and file heads of which each byte is flipped: one of each sort.
EVERY_BYTE = {
    (False, "v4"): ("config.json",),
    (False, "v1"): ("0/manifest", "0/vec1.00000000"),
    (False, "v5"): ("0/dead.0000000000000002", "0/loc0.00000000", "0/rows.00000000"),
    (False, "v2"): ("0/vec0.00000000.crc", "0/payload.00000000.crc"),
    (False, "v0"): ("0/payload.00000000", "0/vec0.00000000"),
}


# --- cases -----------------------------------------------------------------------------------------------

EXACT, PREFIX, FOUND, EITHER, GONE = "exact", "prefix", "found", "found or exact", "gone"


class Case:
    """One damage to one collection. changes: {file: bytes, None to remove it, "dir" for a folder}.

    want: EXACT: the state after operation `number`, the last one when there is none; PREFIX: that and one
    warning at `offset`; FOUND: damage reported; EITHER; GONE: the collection is not listed,
    with a warning. unchanged: nothing that was durable changes on the disk.
    """

    def __init__(self, victim, what, changes, want, number=None, offset=None, unchanged=False):
        self.victim, self.what, self.changes, self.want = victim, what, changes, want
        self.number, self.offset, self.unchanged = number, offset, unchanged

    def __str__(self):
        return f"{self.victim}: {self.what} (want {self.want})"


def flipped(data, at, rng):
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]


def last_record(base, victim, rng):
    """The last record cut at every byte, and each byte of it flipped."""
    file, records = base.log(victim)[-1]
    data, (at, n, number, _) = base.get(victim, file), records[-1]
    for cut in range(n):
        torn = data[:at + cut] + bytes(len(data) - at - cut)
        if torn != data:
            yield Case(victim, f"{file}: zeros from {at + cut} on, {cut} bytes into its last record",
                       {file: torn}, PREFIX if cut else EXACT, number - 1, at)
    # The file has been longer, and that was durable: a power cut does not make it shorter.
    for cut in [0, 1, n - 1, n, n + 1] + rng.sample(range(n), 8):
        yield Case(victim, f"{file} cut at {at + cut}, {cut} bytes into its last record",
                   {file: data[:at + cut]}, FOUND, unchanged=True)
    for i in range(n):
        yield Case(victim, f"{file}: byte {i} of the last record flipped",
                   {file: flipped(data, at + i, rng)}, PREFIX, number - 1, at)
    for i in (n, n + 1, n + 64, len(data) - at - 1):
        yield Case(victim, f"{file}: a byte {i - n} behind the last record",
                   {file: flipped(data, at + i, rng)}, PREFIX, number, at + n)


def durable_record(base, victim, rng, every):
    """Bytes of a record that others behind it call durable."""
    file, records = base.log(victim)[-1]
    data = base.get(victim, file)
    at, n, number, _ = records[-3]
    if not any(synced >= number for _, _, _, synced in records[-2:]):
        raise AssertionError(f"{victim}: no record calls {number} durable: {records}")
    offsets = range(n) if every else sorted(rng.sample(range(n), min(n, 24)))
    for i in offsets:
        yield Case(victim, f"{file}: byte {i} of record {number}, which {number + 1} calls durable",
                   {file: flipped(data, at + i, rng)}, FOUND, offset=at, unchanged=True)
    yield Case(victim, f"{file}: record {number} zeroed", {file: data[:at] + bytes(n) + data[at + n:]},
               FOUND, offset=at, unchanged=True)


def end_of(data):
    return len(data.rstrip(b"\0"))


def bytes_of_files(base, clean, victim, rng, few, every):
    """Flips in every file: each byte of the small ones, samples of the others."""
    for file in base.files(victim):
        data = base.get(victim, file)
        if data is None or not data:
            continue
        if file.startswith("0/wal/"):
            yield from bytes_of_log(base, victim, file, rng, few)
            continue
        before = clean.get(victim, file)
        # What the manifest counts on is what lay there at the last checkpoint.
        certain = end_of(data) if base is clean else end_of(before) if before else 0
        if file in ("config.json", "0/manifest") or file.startswith("0/dead."):
            certain = len(data)
            offsets = range(certain) if file in every else rng.sample(range(certain), min(certain, 12))
        else:
            # Heads, block ends, the durable end, and any others.
            places = set(range(56)) if file in every else set(rng.sample(range(56), 6))
            places |= {HEAD - 1, HEAD, HEAD + BLOCK - 1, HEAD + BLOCK, certain - 1, certain,
                       len(data) - 1}
            places |= {rng.randrange(56, HEAD) for _ in range(3)}
            if certain > HEAD:
                places |= {rng.randrange(HEAD, certain) for _ in range(8 if few else 24)}
            offsets = sorted(x for x in places if 0 <= x < len(data))
        for at in offsets:
            yield Case(victim, f"{file}: byte {at} of {len(data)} flipped ({certain} count)",
                       {file: flipped(data, at, rng)}, FOUND if at < certain else EITHER)


def bytes_of_log(base, victim, file, rng, few):
    """Anywhere in the log but its last record: damage, or nothing that was needed is missing."""
    data = base.get(victim, file)
    end = end_of(data)
    places = {0, 8, 55, 56, 75, 76, 79, 100, HEAD - 1} | \
        {rng.randrange(HEAD, end) for _ in range(6 if few else 24)}
    last, records = base.log(victim)[-1]
    for at in sorted(places):
        if file != last or at < records[-1][0]:
            yield Case(victim, f"{file}: byte {at} flipped", {file: flipped(data, at, rng)}, EITHER)
    # In the last segment a link to one that is not there; in the others it is written again.
    for at in LINK:
        yield Case(victim, f"{file}: byte {at}, of its link, flipped", {file: flipped(data, at, rng)},
                   FOUND if file == last else EXACT, offset=LINK[0] if file == last else None,
                   unchanged=file == last)
    for at in MARK:
        yield Case(victim, f"{file}: byte {at}, of its mark, flipped", {file: flipped(data, at, rng)}, EXACT)


def mark_of(data):
    return int.from_bytes(data[MARK[0]:MARK[0] + 8], "little")


def lost_segments(base, victim, file):
    """A segment that is gone, or of which nothing is left that could be a record."""
    data, last, needed = base.get(victim, file), base.log(victim)[-1][0], base.is_needed(victim, file)
    lost = [("missing", None), ("empty", b""), ("is a folder", "dir"), ("all zeros", bytes(len(data))),
            ("has no head", bytes(HEAD) + data[HEAD:])]
    lost += [(f"cut at {n}", data[:n]) for n in
             (1, 55, 56, 79, 80, 100, LINK[0], LINK[0] + 1, LINK[-1], LINK[-1] + 1, 2048, HEAD - 1)]
    for what, change in lost:
        yield Case(victim, f"{file} {what}", {file: change}, FOUND if needed else EXACT, unchanged=needed)
    # Behind the mark of the last one a cut is what a power cut may leave, as far as anybody can tell.
    first, records = int(file[6:22], 16), dict(base.log(victim))[file]
    for n in sorted({HEAD, HEAD + 64, end_of(data) // 2, mark_of(data) - 1, mark_of(data), end_of(data) - 1}):
        if not HEAD <= n < len(data):
            continue
        whole = max([number for at, k, number, _ in records if at + k <= n], default=first - 1)
        if file == last and n >= mark_of(data):
            yield Case(victim, f"{file} cut at {n}, behind its mark", {file: data[:n]}, EXACT,
                       number=max(whole, base.first[victim]))
        else:
            yield Case(victim, f"{file} cut at {n}", {file: data[:n]}, FOUND if needed else EXACT,
                       unchanged=needed)
    if file != last:
        after = [f for f, _ in base.log(victim) if f >= file]
        yield Case(victim, f"{file} and those behind it missing", {f: None for f in after}, FOUND)
        yield Case(victim, f"{file} with those behind it missing", {f: None for f in after[1:]}, FOUND)
        noise = {file: data[:LINK[0]] + b"\xa5" * len(LINK) + data[LINK[-1] + 1:]}
        yield Case(victim, f"{file} with a link that is noise and those behind it missing",
                   {**{f: None for f in after[1:]}, **noise}, FOUND)


def whole_files(base, clean, victim, twin):
    """Files that are gone, empty, cut in half, folders, or those of another collection."""
    for file in base.files(victim):
        data = base.get(victim, file)
        if data is None:
            continue
        before = clean.get(victim, file)
        is_log, is_small = file.startswith("0/wal/"), file in ("config.json", "0/manifest")
        certain = is_small or file.startswith("0/dead.") or before is not None
        want = FOUND if certain or is_log else EITHER
        if is_log:
            yield from lost_segments(base, victim, file)
        else:
            yield Case(victim, f"{file} missing", {file: None}, GONE if file == "config.json" else want)
            yield Case(victim, f"{file} empty", {file: b""}, want)
            yield Case(victim, f"{file} is a folder", {file: "dir"}, want)
            half = end_of(before or data) // 2
            yield Case(victim, f"{file} cut at {half}", {file: data[:half]}, want)
        if not is_log and end_of(before or b"") > HEAD:
            yield Case(victim, f"{file}: a page of zeros",
                       {file: data[:HEAD] + bytes(4096) + data[HEAD + 4096:]}, want)
            noise = random.Random(len(data)).randbytes(4096)
            yield Case(victim, f"{file}: a page of noise",
                       {file: data[:HEAD] + noise + data[HEAD + 4096:]}, want)
        foreign = base.get(twin, file)
        if foreign is not None and foreign != data:
            yield Case(victim, f"{file} of {twin}", {file: foreign}, FOUND)
    yield Case(victim, "0 missing", {f: None for f in base.files(victim) if f.startswith("0")}, FOUND)
    yield Case(victim, "0/wal missing", {f: None for f in base.files(victim) if f.startswith("0/wal")},
               FOUND)
    yield Case(victim, "files of nobody", {"0/rows.0000ffff": b"x", "0/payload.00000007.crc": b"y" * 5000,
                                           "0/what": b"z", "0/wal/0.log": b"z", "0/manifest.new": b"m",
                                           "junk": b"j", "0/dead.00000000000000ff": b"d"}, EXACT)


def cases_of(clean, killed, rng, thorough):
    """[(base, [case, ...])], each list for one start: one case per victim."""
    out = []
    for base, is_killed in ((killed, True), (clean, False)):
        queues = collections.defaultdict(list)
        if is_killed:
            for victim in ("v0", "v1"):
                queues[victim] += last_record(base, victim, rng)
            for victim, every in (("v4", True), ("v5", True), ("v2", False), ("v3", False)):
                queues[victim] += durable_record(base, victim, rng, every)
        for victim in VICTIMS:
            few = not thorough and (is_killed or victim in ("v4", "v5"))
            every = base.files(victim) if thorough else EVERY_BYTE.get((is_killed, victim), ())
            queues[victim] += bytes_of_files(base, clean, victim, rng, few, every)
            twin = {"v0": "v4", "v4": "v0", "v1": "v5", "v5": WITNESS}.get(victim, "v0")
            queues[victim] += whole_files(base, clean, victim, twin)
        # The long queues lend to nobody: a start takes one case of each that has one left.
        for q in queues.values():
            rng.shuffle(q)
        while any(queues.values()):
            out.append((base, [q.pop() for q in queues.values() if q]))
    return out


# --- looking --------------------------------------------------------------------------------------------


class Wrong(Exception):
    pass


def place(victim, file):
    return f"storage/collections/{victim}/{file}"


def damaged(base, cases):
    image = dict(base.image)
    for case in cases:
        for file, data in case.changes.items():
            path = place(case.victim, file)
            if data is None:
                image.pop(path, None)
            else:
                image[path] = None if data == "dir" else data
    return dict(sorted(image.items()))


class Look:
    """What one collection says. found: the text that reports damage. refused: a read that failed."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.found = self.refused = self.state = self.wrong = None
        self.missing = False
        self.info()
        self.read()

    def info(self):
        status, answer = self.server.get("GET", f"/collections/{self.name}")
        if status == 404:
            self.missing = True
        elif status == 200 and answer["result"]["status"] == "red":
            self.found = answer["result"]["optimizer_status"]["error"]
        elif status >= 500:
            self.found = answer["status"]["error"]
        elif status != 200:
            self.wrong = f"GET: {status} {answer}"

    def read(self):
        if self.missing:
            return
        status, answer = self.server.get("POST", f"/collections/{self.name}/points/scroll", SCROLL_ALL)
        if status >= 500:
            self.refused = answer["status"]["error"]
        elif status != 200:
            self.wrong = f"scroll: {status} {answer}"
        elif not isinstance(answer, dict):
            self.wrong = "scroll: not JSON"
        else:
            try:
                self.state = read_points(self.name, answer["result"]["points"], [KIND[self.name]])
            except (AssertionError, AttributeError, KeyError, TypeError) as e:
                self.wrong = f"scroll: {e}"

    def wait(self, seconds):
        """For the scrub."""
        end = time.monotonic() + seconds
        while not self.found and not self.missing and time.monotonic() < end:
            time.sleep(0.001)
            self.info()

    def __str__(self):
        if self.missing:
            return "not there"
        return "; ".join([f"damage: {self.found}"] * bool(self.found) +
                         [f"refused: {self.refused}"] * bool(self.refused) +
                         [f"wrong: {self.wrong}"] * bool(self.wrong) +
                         [f"{len(self.state)} points"] * (self.state is not None))


def names_file(text, case):
    """Does the report name what was damaged, and where in it?"""
    names = set()
    for file in case.changes:
        file = file.removeprefix("0/")
        names |= {file, file.removesuffix(".crc")}
        if not isinstance(case.changes.get("0/" + file), bytes) and file.startswith("wal/"):
            names |= {"wal: ", "the segment before is missing"}  # nobody knows which names were there
        if file.startswith("rows."):
            names.add("payload.")  # a row's locator may be found to point nowhere before the row is
    return any(n in text for n in names) and \
        (re.search(r"offset \d+", text) or not all(isinstance(d, bytes) for d in case.changes.values()))


def judge(server, base, case):
    """Raises Wrong. Waits for the scrub where damage must be found."""
    look = Look(server, case.victim)
    if case.want == GONE:
        if not look.missing and not look.found:
            raise Wrong(f"{case}: {look}")
        return look
    if look.missing:
        raise Wrong(f"{case}: the collection is gone")
    number = case.number if case.number is not None else base.last[case.victim]
    exact = look.state == base.states[case.victim][number]
    if case.want in (EXACT, PREFIX):
        if not exact or look.found:
            raise Wrong(f"{case}: {look}; wanted the state after operation {number}")
        return look
    # Data that differ, or reads that fail, are only allowed while the scrub is on its way.
    if case.want == FOUND or not exact:
        look.wait(15)
    if not look.found:
        if case.want == EITHER and exact:
            return look
        raise Wrong(f"{case}: not reported: {look}")
    return check_report(server, case, look)


def check_report(server, case, look):
    if len(case.changes) == 1 and not names_file(look.found, case):
        raise Wrong(f"{case}: the report names no file or no offset: {look.found}")
    if case.offset is not None and f"offset {case.offset}" not in look.found:
        raise Wrong(f"{case}: not at offset {case.offset}: {look.found}")
    if case.unchanged:  # damaged at open: it takes no writes either
        status, answer = server.get(
            "PUT", f"/collections/{case.victim}/points?wait=true",
            {"points": [KINDS[KIND[case.victim]].point(77777, 777777)]})
        if status < 500 or not look.refused:
            raise Wrong(f"{case}: still serves: {look}; a write: {status} {answer}")
    return look


def compare(where, base, image, case):
    """Nothing durable is different: the log, the manifest with all it counts on, the configuration. What
    lies in rows, vectors and payload behind that is what the log holds again; opening cuts it off."""
    prefix = place(case.victim, "")
    now = read_image(pathlib.Path(where) / prefix)
    for path, was in image.items():
        if not path.startswith(prefix):
            continue
        file = path[len(prefix):]
        n = None
        if was is not None and re.match(r"0/(rows|vec|loc|payload)", file):
            n = base.certain[path]
            if n == 0:
                continue  # an open removes it
        if file not in now or (now[file] is None) != (was is None) or \
                was is not None and now[file][:n] != was[:n]:
            raise Wrong(f"{case}: {file} was changed")


def go_on(server, where, base, cases):
    """A log that was cut takes writes; a clean stop and a start keep them."""
    whole = [c for c in cases if c.want in (EXACT, PREFIX)]
    for case in whole:
        server.ok("PUT", f"/collections/{case.victim}/points?wait=true",
                  {"points": [KINDS[KIND[case.victim]].point(77777, 777777)]})
    code = server.stop()
    if code != 0:
        raise Wrong(f"exit code {code} after SIGTERM")
    server.start(where)
    for case in whole:
        look = Look(server, case.victim)
        number = case.number if case.number is not None else base.last[case.victim]
        if look.state != {**base.states[case.victim][number], 77777: 777777} or look.found:
            raise Wrong(f"{case}: after a write and a restart: {look}")


WARNING = re.compile(r"WARN .*wal/\S+: .* at offset (\d+)")


def run(server, where, base, cases, before, stop):
    """One start with these damages; the image that was written. Raises Wrong."""
    image = damaged(base, cases)
    write_image(where, image, before)
    looks = []
    try:
        server.start(where)
        for case in cases:
            looks.append(judge(server, base, case))
        witness = Look(server, WITNESS)
        if witness.found or witness.wrong or witness.state != base.states[WITNESS][-1]:
            raise Wrong(f"the undamaged collection: {witness}")
        server.ok("PUT", f"/collections/{WITNESS}/points?wait=true",
                  {"points": [KINDS[KIND[WITNESS]].point(77777, 777777)]})
        text = server.log()
        want = collections.Counter(c.offset for c in cases if c.want == PREFIX)
        have = collections.Counter(int(x) for x in WARNING.findall(text))
        if want - have:
            raise Wrong(f"no warning at offset {list((want - have).elements())} of the log")
        for case in cases:
            if case.want == GONE and "config" not in text:
                raise Wrong(f"{case}: no warning")
        if stop:
            go_on(server, where, base, cases)
    except (AssertionError, OSError) as e:
        raise Wrong(str(e))
    finally:
        if server.proc is not None:
            code = server.kill()
            if code is not None:
                raise Wrong(f"the server ended with {code}")
    try:
        server.check_log()
    except AssertionError as e:
        raise Wrong(str(e))
    for case, look in zip(cases, looks):
        if case.unchanged:
            compare(where, base, image, case)
    return image, [(c, look.found or look.wrong or "exact") for c, look in zip(cases, looks)]


# --- all of them --------------------------------------------------------------------------------------

JOB = {}


def work(indices):
    """[(index, results or None, what is wrong, the server's log)]"""
    if "server" not in JOB:
        JOB["server"] = Quick(binary(), {k: v for k, v in SETTINGS.items()})
        JOB["dir"], JOB["before"] = tempfile.mkdtemp(prefix="damage-", dir=JOB["top"]), None
    out = []
    for i in indices:
        base, cases = JOB["starts"][i]
        try:
            JOB["before"], results = run(JOB["server"], JOB["dir"], base, cases, JOB["before"], i % 8 == 0)
            out.append((i, results_text(results), None, ""))
        except Wrong as e:
            JOB["before"] = None
            out.append((i, None, str(e), JOB["server"].log()))
        except Exception as e:
            raise RuntimeError("start " + "; ".join(map(str, cases))) from e
    return out


def results_text(results):
    return [(c.want, "exact" if text == "exact" else "found") for c, text in results]


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--thorough", action="store_true", help="every byte of small files everywhere")
    ap.add_argument("--only", help="only cases whose description holds this text")
    ap.add_argument("--all", action="store_true", help="go on after the first failure")
    ap.add_argument("--starts", type=int, default=0, help="at most so many, drawn by the seed; 0: all")
    args = ap.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    end_cleanly()
    t0 = time.monotonic()
    JOB["top"] = top = tempfile.mkdtemp(prefix="damage-", dir=scratch())
    failures, counts = [], collections.Counter()
    try:
        clean, killed = build(pathlib.Path(top) / "base")
        JOB["starts"] = starts = cases_of(clean, killed, random.Random(args.seed), args.thorough)
        if args.only:
            starts = [(b, [c for c in cs if args.only in str(c)]) for b, cs in starts]
            JOB["starts"] = starts = [s for s in starts if s[1]]
        if 0 < args.starts < len(starts):
            JOB["starts"] = starts = random.Random(args.seed).sample(starts, args.starts)
        print(f"seed {args.seed}: {sum(len(c) for _, c in starts)} damages in {len(starts)} starts",
              flush=True)
        parts = [range(i, min(i + 8, len(starts))) for i in range(0, len(starts), 8)]
        with multiprocessing.get_context("fork").Pool(2, end_cleanly) as pool:
            for part in pool.imap_unordered(work, parts):
                for i, results, wrong, log in part:
                    counts.update(results or ())
                    if wrong:
                        failures.append((i, wrong, log))
                        if args.all:
                            print(f"start {i}: {wrong}", flush=True)
                            for line in [x for x in log.splitlines() if "ERROR" in x][:8]:
                                print("    " + line[:300])
                if failures and not args.all:
                    break
    finally:
        if failures and not args.all:
            base, cases = starts[failures[0][0]]
            keep = tempfile.mkdtemp(prefix="damage-failed-")
            write_image(keep + "/data", damaged(base, cases))
        shutil.rmtree(top, ignore_errors=True)
    if failures:
        i, wrong, log = failures[0]
        print(f"FAILED, seed {args.seed}: {wrong}\n{len(failures)} starts failed")
        if not args.all:
            print("damaged at once: " + "; ".join(map(str, starts[i][1])))
            print(f"{log[-3000:]}\nthe folder as the server found it: {keep}/data")
        return 1
    for (want, got), n in sorted(counts.items()):
        print(f"{n:5} times wanted {want}: {got}")
    print(f"seed {args.seed}: {sum(counts.values())} damages in {len(starts)} starts, "
          f"{time.monotonic() - t0:.0f} s; none was served as data, none stopped the server")
    return 0


if __name__ == "__main__":
    sys.exit(main())
