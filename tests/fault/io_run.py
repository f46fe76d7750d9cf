"""One run of the scenario on one server with a fault somewhere, and the disks it leaves.

io_faults.py says what is asked for; io_shelf.py says which states are allowed.
"""
import os
import pathlib
import random
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
import io_control as ioc  # noqa: E402
import power_disk as pd  # noqa: E402
from harness import ROOT, binary  # noqa: E402
from io_shelf import (Aliases, Shelf, ask, check_reads, deletion, dense, multi, read_aliases,  # noqa: E402
                      read_state, sparse)
from quick import Quick, write_image  # noqa: E402

FAST = pathlib.Path(os.environ.get("SEXTANT_BIN_FAST", ROOT / "build/release/sextant")).resolve()
SETTINGS = {
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": 40,
    "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_LOG_MB": 1,
}
MODES = {  # kinds of calls, errno, flags
    "eio": (ioc.ALL, ioc.EIO, 0),
    "eio-sticky": (ioc.ALL, ioc.EIO, ioc.STICKY),
    "full": (ioc.SPACE_TAKERS, ioc.ENOSPC, ioc.GROWING),
    "full-sticky": (ioc.SPACE_TAKERS, ioc.ENOSPC, ioc.STICKY | ioc.GROWING),
    "short": (ioc.WRITE, ioc.ENOSPC, ioc.SHORT | ioc.GROWING),
    "short-eio": (ioc.WRITE, ioc.EIO, ioc.SHORT),
    "names": (ioc.DIRSYNC | ioc.RENAME | ioc.REMOVE | ioc.MKDIR, ioc.EIO, 0),
    "sync-enospc": (ioc.SYNCS, ioc.ENOSPC, 0),
    "map": (ioc.MAP, ioc.ENOMEM, 0),
    "space": (ioc.SPACE_TAKERS, ioc.ENOSPC, ioc.SPACE),
}
HANG = 20  # seconds


class StartRefused(Exception):
    """The server said why it does not start, and ended."""


# --- the scenario ------------------------------------------------------------------------------------


class Run:
    """One server on one folder with a fault somewhere."""

    def __init__(self, where, mode, nth):
        self.where, self.mode, self.nth = pathlib.Path(where), mode, nth
        self.control = ioc.Control(self.where / "control")
        self.journals = []
        self.data = self.where / "data"
        self.data.mkdir()
        self.server = Quick(binary(), {**SETTINGS, "SEXTANT_IO_FAULT": self.control.path})
        self.server.env.pop("ASAN_OPTIONS", None)
        wal = {"wal_config": {"wal_capacity_mb": 1}}
        self.a = Shelf("a", {"vectors": {"size": 4, "distance": "Dot", "on_disk": True},
                             "on_disk_payload": True, **wal}, {"": dense(4)})
        self.b = Shelf("b", {"vectors": {"x": {"size": 8, "distance": "Euclid", "on_disk": False},
                                         "y": {"size": 2, "distance": "Dot", "on_disk": True,
                                               "multivector_config": {"comparator": "max_sim"}}},
                             "sparse_vectors": {"s": {}}, **wal},
                       {"x": dense(8), "y": multi(2), "s": sparse})
        self.c = Shelf("c", {"vectors": {"size": 2, "distance": "Dot", "on_disk": False}, **wal},
                       {"": dense(2)})
        self.shelves = [self.a, self.b, self.c]
        self.aliases = Aliases()
        for shelf in self.shelves:  # a full disk is no reason: it must go on when there is space again
            shelf.may_be_red = MODES[mode][1] != ioc.ENOSPC or mode == "sync-enospc"
        self.healed = False
        self.start_refused = 0
        self.deleted = [0, 0]  # deletions on a full disk: done, tried

    def start(self):
        journal = self.where / f"journal.{len(self.journals)}"
        journal.touch()
        self.journals.append(journal)
        self.server.set({"SEXTANT_IO_JOURNAL": journal})
        for again in (False, True):
            try:
                self.server.start(self.data, timeout=HANG)
                break
            except AssertionError as e:
                self.server.check_log()
                log = self.server.log()
                hit = self.control.get("hits")
                if "ended with" not in str(e) or "-" in str(e).split("ended with")[1] or not hit:
                    raise
                if os.strerror(self.control.get("error")) not in log:
                    raise AssertionError(f"{e}, and its log does not say why ({self.control.what})")
                self.start_refused += 1
                if again or self.control.get("flags") & ioc.STICKY:
                    raise StartRefused()
        self.server.sock.settimeout(HANG)

    def quiet(self, limit=0.6):
        """Until the disk is left alone: checkpoints and builds are over (or go on failing)."""
        end, last, since = time.monotonic() + limit, -1, time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < 0.09:
            n = self.control.get("calls") + sum(j.stat().st_size for j in self.journals[-1:])
            if n != last:
                last, since = n, time.monotonic()
            time.sleep(0.005)

    def created(self, shelf):
        """Creates it; a fault that has passed must not stand in the way of a second try."""
        if shelf.create(self.server):
            return True
        if self.control.get("flags") & ioc.STICKY:
            return False
        if shelf.create(self.server):
            return True
        raise AssertionError(f"{shelf.name} cannot be created again after one failure")

    def session_one(self):
        s, a, b, c = self.server, self.a, self.b, self.c
        for shelf in self.shelves:
            self.created(shelf)
        self.index(a, "k", "keyword")
        self.index(a, "n", "integer")
        self.index(b, "t", "text")
        if a.chain:
            a.upsert(s, range(30), 1)
            a.upsert(s, range(10, 20), 2)
            self.payloads(a)
        if b.chain:
            b.upsert(s, range(100, 120), 1)
            self.vectors(b)
        if c.chain:
            c.upsert(s, range(5), 1)
        if a.chain and b.chain:
            self.aliases.do(s, ("one", "a"), ("two", "b"))
            self.aliases.do(s, ("one", "b"), ("two", None))
        self.quiet()
        if a.chain:
            for i in range(4):  # more than a segment of the log, more than the first step of files
                a.upsert(s, range(200 + 16 * i, 216 + 16 * i), 3 + i, pad=18000)
            self.filtered(a)
            self.batch(a)
        self.index(b, "k", "keyword")
        self.index(b, "n", "float")
        self.names(b)
        self.quiet()
        self.unindex(a, "n")
        if a.chain:
            a.delete(s, list(range(200, 230)))
            a.upsert(s, range(3), 9)
        if c.absent == "no" and not c.drop(s):  # still there, or not: what it takes it keeps
            c.upsert(s, range(5), 2)
        self.quiet()
        if self.mode == "full-sticky":
            self.heal()

    def payloads(self, shelf):
        def change(path, method, body, ids, fn):
            ids = [i for i in ids if str(i) in shelf.now()["points"]]
            if not ids:
                return

            def step(state):
                for i in ids:
                    fn(state["points"][str(i)]["payload"])
            shelf.do(self.server, method, path + "?wait=true", {**body, "points": ids}, step)

        change("/points/payload", "POST", {"payload": {"k": "violet", "extra": [1, {"x": None}]}}, range(5),
               lambda p: p.update({"k": "violet", "extra": [1, {"x": None}]}))
        change("/points/payload", "PUT", {"payload": {"n": 11}}, range(5, 8),
               lambda p: (p.clear(), p.update({"n": 11})))
        change("/points/payload/delete", "POST", {"keys": ["n", "v"]}, range(8, 12),
               lambda p: (p.pop("n", None), p.pop("v", None)))
        change("/points/payload/clear", "POST", {}, [12], lambda p: p.clear())

    def vectors(self, shelf):
        new = [[0.5, -0.25], [1.0, 2.0]]
        if "100" not in shelf.now()["points"]:
            return

        def update(state):
            for i in (100, 101):
                state["points"][str(i)]["vector"]["y"] = new

        def remove(state):
            for i in (102, 103):
                state["points"][str(i)]["vector"].pop("s", None)
        shelf.do(self.server, "PUT", "/points/vectors?wait=true",
                 {"points": [{"id": i, "vector": {"y": new}} for i in (100, 101)]}, update)
        shelf.do(self.server, "POST", "/points/vectors/delete?wait=true",
                 {"points": [102, 103], "vectors": ["s"]}, remove)

    def filtered(self, shelf):
        def step(state):
            for i in [i for i, p in state["points"].items() if p["payload"].get("k") == "green"]:
                del state["points"][i]
        shelf.do(self.server, "POST", "/points/delete?wait=true",
                 {"filter": {"must": [{"key": "k", "match": {"value": "green"}}]}}, step)

    def batch(self, shelf):
        body, up = shelf.upsert_op(range(300, 304), 7)

        if "0" not in shelf.now()["points"]:
            return

        def mark(state):
            for i in (300, 301):
                state["points"][str(i)]["payload"]["mark"] = True
        shelf.do(self.server, "POST", "/points/batch?wait=true", {"operations": [
            {"upsert": body}, {"delete": {"points": [0, 1, 302]}},
            {"set_payload": {"payload": {"mark": True}, "points": [300, 301]}}]},
            up, deletion([0, 1, 302]), mark)

    def index(self, shelf, field, kind):
        if shelf.chain:
            shelf.do(self.server, "PUT", "/index?wait=true", {"field_name": field, "field_schema": kind},
                     lambda state: state["fields"].update({field: kind}))

    def unindex(self, shelf, field):
        if shelf.chain:
            shelf.do(self.server, "DELETE", f"/index/{field}?wait=true", None,
                     lambda state: state["fields"].pop(field, None))

    def names(self, shelf):
        """Vector names go and come."""
        def gone(state):
            state["vectors"].remove("y")
            for p in state["points"].values():
                p["vector"].pop("y", None)

        def new(state):
            state["vectors"] = sorted(state["vectors"] + ["z"])
        if not shelf.chain:
            return
        if shelf.do(self.server, "DELETE", "/vectors/y?wait=true", None, gone):
            shelf.vectors = {k: v for k, v in shelf.vectors.items() if k != "y"}
        if shelf.do(self.server, "PUT", "/vectors/z?wait=true", {"dense": {"size": 3, "distance": "Dot"}},
                    new):
            shelf.vectors = {**shelf.vectors, "z": dense(3)}
        if "y" in shelf.now()["vectors"] or "z" not in shelf.now()["vectors"]:
            return
        shelf.upsert(self.server, range(110, 116), 4)

    def heal(self):
        """Space is there again: nobody has to do anything for the writes to go on."""
        self.control.heal()
        self.healed = True
        for shelf in self.shelves:
            if not shelf.chain:
                if not shelf.create(self.server):
                    raise AssertionError(f"{shelf.name} cannot be created though space came back")
            if shelf.absent != "no":
                continue
            for version in (20, 21):
                if not shelf.upsert(self.server, range(400, 404), version):
                    raise AssertionError(f"{shelf.name} takes no writes though space came back")
            shelf.check_live(self.server)
            self.quiet()
            if shelf.absent == "no":
                status = self.server.ok("GET", f"/collections/{shelf.name}")["status"]
                if status not in ("green", "yellow", "grey"):
                    raise AssertionError(f"{shelf.name} is {status} though space came back")

    def session_two(self):
        """After a stop: what is found is where the shelves go on from."""
        s = self.server
        for shelf in self.shelves:
            self.look(shelf)
        found = read_aliases(s)
        wrong = self.aliases.may_be(found)
        if wrong:
            raise AssertionError(f"after a restart: {wrong}")
        self.aliases.adopt(found)
        if self.a.chain and not self.a.red:
            self.aliases.do(s, ("three", "a"))
        for shelf in self.shelves:
            if shelf.absent == "no" and shelf.chain:
                shelf.upsert(s, range(500, 508), 30)
                shelf.delete(s, [500, 501])
        self.index(self.a, "t", "text")
        self.quiet()
        for shelf in self.shelves:
            if shelf.absent == "no" and shelf.chain:
                shelf.upsert(s, range(503, 506), 31)

    def look(self, shelf):
        status, answer = self.server.get("GET", f"/collections/{shelf.name}")
        if status == 200:
            status, answer = ask(self.server, "POST", f"/collections/{shelf.name}/points/count", {})
        if status == 200:
            state = read_state(self.server, shelf.name)
        elif status == 404:
            state = None
        elif self.control.get("hits"):  # it could not be opened: nothing to go on from
            shelf.unopened = True
            raise StartRefused()
        else:
            raise AssertionError(f"{shelf.name} answers {status} after a restart: {answer}")
        wrong = shelf.may_be(state)
        if wrong:
            raise AssertionError(f"after a restart: {wrong}")
        if state is not None:
            check_reads(self.server, shelf.name, state)
        shelf.adopt(state)

    def scenario(self):
        kinds, error, flags = MODES[self.mode]
        self.control.arm(kinds, self.nth, error, flags)
        try:
            self.start()
            self.session_one()
            self.check_alive()
            self.check_refusals()
            code = self.server.stop(HANG)
            if code != 0 and not self.control.get("hits"):
                raise AssertionError(f"exit code {code}")
            if code < 0 or code > 2:
                raise AssertionError(f"exit code {code}")
            self.server.check_log()
            self.start()
            self.session_two()
            self.check_alive()
        except StartRefused:
            pass
        finally:
            code = self.server.kill()
            self.calls, self.hits, self.what = (self.control.get("calls"), self.control.get("hits"),
                                                self.control.what)
        if code is not None:
            raise AssertionError(f"the server ended with {code}")
        self.server.check_log()

    def check_refusals(self):
        """A log whose sync failed is not synced again, so nothing can be acknowledged any more."""
        what = self.control.what
        if not what.startswith("cannot sync '") or ".log" not in what:
            return
        for shelf in self.shelves:
            first = shelf.outcomes.index(False) if False in shelf.outcomes else None
            if first is not None and any(shelf.outcomes[first:]):
                raise AssertionError(f"{shelf.name} took a write after a failed sync of its log")

    # --- a full disk ---

    def fill(self):
        """Writes until nothing goes any more."""
        ids, left = iter(range(1000, 100000)), 3 * len(self.shelves)
        while left:
            for shelf in self.shelves:
                if not shelf.chain:
                    left -= 1
                elif not shelf.upsert(self.server, [next(ids) for _ in range(8)], 2,
                                      pad=3000 if shelf is not self.c else 0):
                    left -= 1
                left = max(left, 0)

    def delete_some(self):
        for shelf in self.shelves:
            if shelf.absent == "no" and shelf.now()["points"]:
                some = [int(i) for i in sorted(shelf.now()["points"])[:3]]
                self.deleted[0] += shelf.delete(self.server, some)
                self.deleted[1] += 1

    def full_disk(self):
        """nth is the number of bytes that the disk takes."""
        self.control.arm(ioc.SPACE_TAKERS, 0, ioc.ENOSPC, ioc.SPACE, self.nth)
        try:
            self.start()
            for shelf in self.shelves:
                shelf.create(self.server)
            self.index(self.a, "k", "keyword")
            self.index(self.b, "t", "text")
            self.fill()
            self.check_alive()
            self.delete_some()
            self.quiet()
            self.check_alive()
            self.server.kill()
            self.start()
            for shelf in self.shelves:
                self.look(shelf)
            self.delete_some()
            self.check_alive()
            self.control.put("space", 1 << 40)
            self.heal()
            code = self.server.stop(HANG)
            if code != 0:
                raise AssertionError(f"exit code {code}")
            self.start()
            self.session_two()
            self.check_alive()
        finally:
            code = self.server.kill()
            self.calls, self.hits, self.what = (self.control.get("calls"), self.control.get("hits"),
                                                self.control.what)
        if code is not None:
            raise AssertionError(f"the server ended with {code}")
        self.server.check_log()
        if self.hits == 0:
            raise AssertionError("the disk was never full")

    def check_alive(self):
        for shelf in self.shelves:
            if shelf.absent == "no":
                shelf.check_live(self.server)
        self.aliases.check_live(self.server)

    # --- what is left ---

    def disks(self):
        """(what it is, image or None for the folder itself)"""
        yield "the folder as it is", None
        if self.hits == 0 or self.mode == "space":
            return
        disk = LossyDisk()
        for r in pd.parse_sessions(self.journals):
            disk.feed(r)
        keep_all, keep_none = pd.Rule(random.Random(0), 1, 1), pd.Rule(random.Random(0), 0, 0)
        if disk.lost:
            yield "without what failed syncs lost", disk.image(keep_all)[0]
        yield "after a power cut", disk.image(keep_none)[0]

    def after(self):
        """Starts without faults on each disk, looks at everything."""
        server, folder = Quick(FAST), self.where / "disk"
        for what, image in self.disks():
            if image is None:
                shutil.copytree(self.data, folder, ignore=lambda d, names: ["server.log"])
            else:
                write_image(folder, image)
            try:
                server.start(folder, timeout=HANG)
                self.judge(server)
                for shelf in self.shelves:
                    state = self.found[shelf.name]
                    if state is not None:
                        check_reads(server, shelf.name, state)
                        server.ok("PUT", f"/collections/{shelf.name}/points?wait=true",
                                  {"points": [{"id": 777, "vector": {}, "payload": {"v": 1}}]
                                   if "" not in state["vectors"] else shelf.upsert_op([777], 1)[0]["points"]})
            except AssertionError as e:
                raise AssertionError(f"{what}: {e}")
            finally:
                server.kill()
            server.check_log()
            shutil.rmtree(folder)

    def judge(self, server):
        self.found = {shelf.name: None for shelf in self.shelves}
        for entry in server.ok("GET", "/collections")["collections"]:
            name = entry["name"]
            self.found[name] = read_state(server, name)
            status = server.ok("GET", f"/collections/{name}")["status"]
            if status != "green":
                raise AssertionError(f"collection {name} is {status}")
        for shelf in self.shelves:
            wrong = shelf.may_be(self.found[shelf.name])
            if wrong:
                raise AssertionError(wrong)
        wrong = self.aliases.may_be(read_aliases(server))
        if wrong:
            raise AssertionError(wrong)


class LossyDisk(pd.Disk):
    """A sync that failed has lost what it was for: the kernel counts those pages as clean."""

    def __init__(self):
        super().__init__()
        self.lost = 0

    def feed(self, r):
        if r.op == pd.SYNC and r.rc != 0:
            f = self.files.get(r.handle)
            if f is not None:
                self.lost += sum(p.pos < r.a for p in f.pending)
                f.pending = [p for p in f.pending if p.pos >= r.a]
                self._clean(f)
            return
        super().feed(r)
