"""What the recording server is asked to do: the workload of power_cut.py, and more of it after kills and
power cuts at moments that the workload itself does not meet.

A story is a journal with what the client knows about it. The first is the workload: three sessions of the
server with a kill and a clean stop between them. The others begin in the middle of the first, at a place
that was searched in its journal: the disk as the server saw it there, or as a power cut could have left
it, is laid out, the recording server is started on it and goes on writing. So each of them records a
recovery, which a second power cut may meet.
"""
import pathlib
import random
import sys
import tempfile
import threading
import time

import power_disk as pd
from harness import Server, binary
from history import KINDS, History, Life, ids_of, kind_of, read_all
from quick import Quick, write_image

PATIENT = {"QDRANT__SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC": 600}  # with clients of a busy machine
SETTINGS = {
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 50,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_LOG_MB": 1,
    "log_level": "WARN",
    **PATIENT,
}
NO_CHECKPOINTS = {
    **SETTINGS,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 86400000,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_LOG_MB": 64,
}


class Failure(Exception):
    def __init__(self, text, position=None, image=None, log=""):
        super().__init__(text)
        self.text, self.position, self.image, self.log = text, position, image, log

    def __reduce__(self):
        return Failure, (self.text, self.position, self.image, self.log)


def kinds_of(history):
    out = {}
    for life in history.lives:
        out.setdefault(life.name, [])
        if life.kind not in out[life.name]:
            out[life.name].append(life.kind)
    return out


# --- the workload ---------------------------------------------------------------------------------


class Recorder:
    """Sessions of the recording server on one data directory, and the history of what it answered."""

    def __init__(self, where, seed, skip=None, settings=None):
        self.where, self.seed = pathlib.Path(where), seed
        self.settings = settings or SETTINGS
        self.skip = skip              # (session, n) or None
        self.journals, self.base = [], 0
        self.history = History()
        self.history.aliases = [(-1, -1, {})]  # what they were after each change: [(sent, seen, them)]
        self.lives = {}               # name -> Life of now
        self.versions = iter(range(1, 1 << 30))
        self.lock = threading.Lock()
        self.server = None

    def start(self):
        path = self.where / f"journal.{len(self.journals)}"
        env = {"SEXTANT_IO_JOURNAL": str(path), **self.settings}
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

    def wait_for(self, name, what, is_so):
        """Until is_so(folder of the shard)."""
        shard = self.where / "data/storage/collections" / name / "0"
        end = time.monotonic() + 120
        while not is_so(shard):
            if time.monotonic() > end:
                raise Failure(f"{name}: {what} did not happen in 120 s", log=self.server.log())
            time.sleep(0.005)

    def manifest(self, name):
        return (self.where / "data/storage/collections" / name / "0/manifest").read_bytes()

    def create(self, name, kind, http=None):
        sent, _, seen = self.call(http or self.server.http, "PUT", f"/collections/{name}",
                                  KINDS[kind].config)
        life = Life(name, kind, [sent, seen])
        with self.lock:
            self.history.lives.append(life)
        self.lives[name] = life

    def index(self, http, name):
        """An index of the versions: it takes two numbers and changes no point."""
        life = self.lives[name]
        sent, result, seen = self.call(http, "PUT", f"/collections/{name}/index?wait=true",
                                       {"field_name": "v", "field_schema": "integer"})
        with self.lock:
            for number in (result["operation_id"] - 1, result["operation_id"]):
                life.ops[number] = [sent, seen, True, []]

    def alias(self, http, alias, name):
        """Gives or takes (name None) an alias. Whoever calls it waits for one before the next."""
        old = self.history.aliases[-1][2]
        actions = [{"delete_alias": {"alias_name": alias}}] if alias in old else []
        new = {a: c for a, c in old.items() if a != alias}
        if name is not None:
            actions.append({"create_alias": {"alias_name": alias, "collection_name": name}})
            new[alias] = name
        sent, _, seen = self.call(http, "POST", "/collections/aliases", {"actions": actions})
        self.history.aliases.append((sent, seen, new))

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
    before = rec.manifest("churn")
    rec.upsert(http, "churn", ids_of(9, 5))
    # Its checkpoint is over: a stale path must not name the next one's files.
    rec.wait_for("churn", "a checkpoint", lambda _: rec.manifest("churn") != before)
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
    rec.index(rec.server.http, "plain")
    rec.alias(rec.server.http, "a", "plain")
    rec.writers(["plain", "named"], 26, lambda: churn(rec, wide_ids))
    http = rec.server.http
    rec.alias(http, "a", "named")
    rec.index(http, "named")
    rec.wait_for("named", "saving a part of an index", lambda d: any(d.glob("fields/*.part")))
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
    rec.alias(http, "b", "plain")
    rec.upsert(http, "named", ids_of(6, 3))
    rec.delete(http, "plain", ids_of(7, 3))
    rec.upsert(http, "plain", ids_of(6, 3), wait=False)
    rec.create("last", "named")
    rec.end(clean=False)


LONG = "wide"  # the collection whose log has segments that wait for a sync


def long_log(rec):
    """Without checkpoints but at the clean stop: a log grows into a second segment before anything of it
    is synced; a segment begins where the checkpoint ends."""
    rec.start()
    http = rec.server.http
    rec.create(LONG, "wide")
    rec.create("plain", "plain")
    rec.upsert(http, "plain", ids_of(7, 3))
    rec.index(http, "plain")  # of rows that no manifest counts
    ids = ids_of(8, 120)
    for i in range(0, len(ids), 3):
        rec.upsert(http, LONG, ids[i:i + 3], wait=False)
    rec.upsert(http, LONG, ids[:2])
    rec.upsert(http, "plain", ids_of(7, 1), wait=False)
    rec.end(clean=True)

    rec.start()
    http = rec.server.http
    rec.upsert(http, "plain", ids_of(7, 2), wait=False)
    rec.upsert(http, LONG, ids[:30], wait=False)  # does not fit, and does not fill the next one
    rec.end(clean=False)


def record(where, seed, skip=None, what=workload, settings=None):
    """A Recorder after the workload, with `records` and a prepared `history`."""
    pathlib.Path(where).mkdir(exist_ok=True)
    rec = Recorder(where, seed, skip, settings)
    try:
        what(rec)
    except BaseException:
        if rec.server is not None:
            print(rec.server.log(), file=sys.stderr)
            rec.server.kill()
        raise
    if not rec.journals[0].exists():
        raise SystemExit(f"{binary()} records nothing: it was built without SX_IO_RECORD")
    rec.records = pd.parse_sessions(rec.journals)
    rec.history.prepare()
    return rec


# --- going on in the middle -------------------------------------------------------------------------


class Story:
    """image: the certain disk that the records begin with; None: an empty one. first: index of the first
    record that no other story has."""

    def __init__(self, name, records, history, image=None, first=0):
        self.name, self.records, self.history = name, records, history
        self.image, self.first = image, first

    def disk(self, skip=()):
        return pd.Disk(skip) if self.image is None else pd.Disk.of_image(self.image, skip)


def log_writes(f):
    """Records among the pending changes of a segment of a log."""
    return [r for r in f.pending if r.op == pd.WRITE and r.a >= 4096]


class Places:
    """Indices of the records of long_log() behind which the log of LONG is in a state that nothing stays
    in."""

    def __init__(self, rec):
        disk, old, paths = pd.Disk(), None, {}
        self.made = self.headed = self.unsynced = self.below = None
        self.old = None  # path of the segment before the last one, at `unsynced`
        for i, r in enumerate(rec.records):
            if i and r.session != rec.records[i - 1].session:
                old, paths = None, {}
            disk.feed(r)
            if r.op == pd.OPEN:
                paths[r.handle] = f"{r.name}/{r.name2}"
            if f"/collections/{LONG}/0/wal/" not in paths.get(r.handle, ""):
                continue
            if r.op == pd.OPEN and r.a and self.made is None:
                self.made = i
            elif r.op == pd.WRITE and r.a == 0 and self.made is not None and self.headed is None:
                self.headed = i
            elif r.op == pd.WRITE and r.a == 512:
                old = r.handle
            elif r.op == pd.WRITE and old and r.a >= 4096 and r.handle != old:
                if not self.unsynced and log_writes(disk.files[old]) and log_writes(disk.files[r.handle]):
                    self.unsynced, self.old = i, paths[old]
                if not self.below and r.session == 1:
                    self.below = i
        for name in ("made", "headed", "unsynced", "below"):
            if getattr(self, name) is None:
                raise AssertionError(f"no place that is called {name} in the journal")


class Everything(pd.Rule):
    """What the running system sees."""

    def __init__(self):
        super().__init__(random.Random(0))


class LastRecordLost(Everything):
    """Everything arrived but the last record in one segment of a log; its link did."""

    def __init__(self, f):
        super().__init__()
        self.file = f

    def content(self, f):
        if f is not self.file:
            return super().content(f)
        out, last = bytearray(f.certain), log_writes(f)[-1]
        for r in f.pending:
            if r is not last:
                pd.change(out, r)
        return out


def go_on(server, where, image, records, history, p):
    """Starts the recording server on an image and lets it take operations; (records, History) with those
    of before, when there are any. The power may go, so what is acknowledged is told apart."""
    journal, base = pathlib.Path(where), records[-1].end if records else 0
    folder = tempfile.mkdtemp(prefix="go-on-", dir=journal.parent)
    write_image(folder, image)
    server.set({"SEXTANT_IO_JOURNAL": str(journal)})
    versions = iter(range(700000, 800000))
    then = History()
    try:
        server.start(folder)
        found = read_all(server, kinds_of(history))
        wrong = history.check(p, found)
        if wrong:
            raise Failure(f"{wrong} (a start at {p})", p, image, server.log())
        kinds = {name: kind_of(server, name) for name in found}
        for name in sorted(found):
            life = next((x for x in history.lives if records and x.name == name and
                         x.created[0] < p < x.dropped[1]), None)
            new = Life(name, kinds[name], life.created if life else [-1, -1], {} if life else found[name])
            new.ops = {n: op for n, op in life.ops.items() if op[0] < p} if life else {}
            new.first = None
            then.lives.append(new)

        def upsert(life, ids, wait):
            changes = [[i, next(versions)] for i in ids]
            sent = base + journal.stat().st_size
            answer = server.ok("PUT", f"/collections/{life.name}/points?wait={str(wait).lower()}",
                               {"points": [KINDS[life.kind].point(i, v) for i, v in changes]})
            number = answer["operation_id"]
            if life.first is None:  # what was under way at the kill has no number
                life.first = number
                life.ops = {n: op for n, op in life.ops.items() if n < number}
            life.ops[number] = [sent, base + journal.stat().st_size, wait, changes]

        for life in then.lives:
            ids = ids_of(4, 90 if life.name == LONG else 6)
            upsert(life, ids[:1], False)
            upsert(life, ids[1:3], False)
            upsert(life, ids[2:3], True)
            upsert(life, ids, False)  # of LONG: more than a segment
            upsert(life, ids[:1], True)
        code = server.stop()  # checkpoints
        if code != 0:
            raise Failure(f"exit code {code} of the recording server", p, image, server.log())
    finally:
        server.kill()
        del server.env["SEXTANT_IO_JOURNAL"]
    server.check_log()
    for life in then.lives:
        if life.created == [-1, -1]:
            life.base_number = min(life.ops) - 1
    session = records[-1].session + 1 if records else 0
    return records + pd.parse(journal.read_bytes(), base, session), then.prepare()


def stories(where, seed):
    """The workload, and what follows on the states of Places."""
    rec = record(where, seed)
    yield Story("the workload", rec.records, rec.history)
    rec = record(f"{where}/long", seed, what=long_log, settings=NO_CHECKPOINTS)
    places, server = Places(rec), Quick(binary(), {k: v for k, v in NO_CHECKPOINTS.items() if k.isupper()})
    server.env.pop("ASAN_OPTIONS", None)
    kills = [("a kill while a segment of a log is made", places.headed),
             ("a kill with two segments unsynced", places.unsynced),
             ("a kill with a link below the checkpoint", places.below)]
    cuts = [("a cut while a segment of a log is made", places.made, lambda disk: Everything()),
            ("a cut that leaves a hole before a segment", places.unsynced,
             lambda disk: LastRecordLost(disk.file_at(places.old)))]
    for i, (name, at) in enumerate(kills):
        yield follow(server, f"{where}/kill.{i}", rec, name, at)
    for i, (name, at, rule) in enumerate(cuts):
        yield follow(server, f"{where}/cut.{i}", rec, name, at, rule)


def follow(server, journal, rec, name, at, rule=None):
    """The story after a kill behind records[at], or after a power cut there that left what rule(disk)
    says."""
    before, disk = rec.records[:at + 1], pd.Disk()
    for r in before:
        disk.feed(r)
    image, _ = disk.image(rule(disk) if rule else Everything())
    records, history = go_on(server, journal, image, [] if rule else before, rec.history, before[-1].end)
    return Story(name, records, history, image if rule else None, 0 if rule else len(before))
