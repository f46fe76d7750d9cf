"""A disk rebuilt from the journals of the recording sx.io: what a power cut may leave of it.

The rules are those a file system must keep and no more:
  - bytes, length and holes of a file survive when a successful sync of that file began after they
    were written; otherwise each change survives whole, torn, or not at all, independent of others
  - a name (made, renamed, removed) survives when its directory was synced after; otherwise it does
    or does not, whatever happened to the file behind it
  - a rename is one step: old and new name change together, and the new one's directory decides
  - a file whose name did not survive is gone with it
Journal format: kernel/io_record.c.
"""
import random
import struct

HEAD = struct.Struct("<IIQQQiIIIQ")
MAGIC = 0x314A5853
(OPEN, WRITE, TRUNCATE, ALLOCATE, SYNC, DIRSYNC, RENAME, UNLINK, MKDIR, RMDIR, MARK,
 SKIPPED) = range(1, 13)


class Record:
    __slots__ = ("pos", "end", "op", "handle", "a", "b", "rc", "name", "name2", "data")

    def __init__(self, buf, at, shift):
        magic, self.op, self.handle, self.a, self.b, self.rc, n1, n2, _, nd = HEAD.unpack_from(buf, at)
        if magic != MAGIC:
            raise ValueError(f"no record at {at}")
        self.pos = at + shift
        at += HEAD.size
        self.name = bytes(buf[at:at + n1]).decode()
        self.name2 = bytes(buf[at + n1:at + n1 + n2]).decode()
        self.data = bytes(buf[at + n1 + n2:at + n1 + n2 + nd])
        self.end = at + n1 + n2 + nd + shift
        if self.op in (SYNC, DIRSYNC):
            self.a += shift  # positions of all sessions form one line


def read_journal(path, shift):
    """Records of one session; positions begin at `shift`. A record cut off by the kill is dropped."""
    buf = memoryview(path.read_bytes())
    out, at = [], 0
    while at + HEAD.size <= len(buf):
        n = sum(HEAD.unpack_from(buf, at)[6:8]) + HEAD.unpack_from(buf, at)[9]
        if at + HEAD.size + n > len(buf):
            break
        out.append(Record(buf, at, shift))
        at = out[-1].end - shift
    return out


class File:
    is_dir = False

    def __init__(self):
        self.base = bytearray()  # what is durable
        self.pending = []        # records not covered by a sync, in order


class Dir:
    is_dir = True

    def __init__(self):
        self.base = {}  # durable names
        self.live = {}  # names as the running system sees them


class NameOp:
    """Names that change together; `key` is the directory whose sync makes it durable."""

    __slots__ = ("pos", "key", "changes")

    def __init__(self, pos, key, changes):
        self.pos, self.key, self.changes = pos, key, changes


def apply(image, r):
    """One change of a file's bytes."""
    if r.op == WRITE:
        if r.a > len(image):
            image.extend(bytes(r.a - len(image)))
        image[r.a:r.a + len(r.data)] = r.data
    elif r.op == TRUNCATE:
        if r.a < len(image):
            del image[r.a:]
        else:
            image.extend(bytes(r.a - len(image)))
    elif r.op == ALLOCATE and r.a + r.b > len(image):
        image.extend(bytes(r.a + r.b - len(image)))


def apply_torn(image, r, rng):
    """A write of which only some sectors (512 B or 4 KiB of the file) arrived; the others show what
    was there, zeros where the file grew, now and then old bytes of something else."""
    unit = rng.choice((512, 4096))
    first, last = r.a // unit, (r.a + len(r.data) - 1) // unit
    if len(r.data) == 0:
        return
    n = last - first + 1
    if n == 1:
        keep = {first} if rng.random() < 0.3 else set()
    elif rng.random() < 0.5:
        keep = set(range(first, first + rng.randrange(n)))
    else:
        keep = {s for s in range(first, last + 1) if rng.random() < 0.5}
    if r.a + len(r.data) > len(image) and rng.random() < 0.8:
        grown = r.a + len(r.data) - len(image)
        image.extend(bytes(grown) if rng.random() < 0.9 else rng.randbytes(grown))
    for s in sorted(keep):
        lo, hi = max(r.a, s * unit), min(r.a + len(r.data), (s + 1) * unit)
        if lo > len(image):
            image.extend(bytes(lo - len(image)))
        image[lo:hi] = r.data[lo - r.a:hi - r.a]


class Disk:
    """Replays records in order; state() may be asked between any two of them."""

    def __init__(self, root):
        self.root_path = root.rstrip("/")
        self.root = Dir()
        self.handles = {}
        self.names = []  # pending NameOps, in order
        self.where = ""  # of the last record, for messages

    def split(self, path):
        """(parent Dir, last component) of a path below the root; (None, "") for others."""
        if path == self.root_path:
            return None, ""
        if not path.startswith(self.root_path + "/"):
            return None, None
        parts = path[len(self.root_path) + 1:].split("/")
        d = self.root
        for p in parts[:-1]:
            d = d.live.get(p)
            if d is None or not d.is_dir:
                return None, None
        return d, parts[-1]

    def dir_at(self, path):
        if path == self.root_path:
            return self.root
        d, name = self.split(path)
        return d.live.get(name) if d is not None else None

    def change_names(self, pos, key, changes):
        for d, name, target in changes:
            if target is None:
                d.live.pop(name, None)
            else:
                d.live[name] = target
        self.names.append(NameOp(pos, key, changes))

    def new_session(self):
        self.handles = {}

    def feed(self, r):
        self.where = r.name2 or r.name or self.where
        if r.op == OPEN:
            d = self.dir_at(r.name)
            if d is None:
                return
            if r.name2 not in d.live:
                self.change_names(r.pos, d, [(d, r.name2, File())])
            self.handles[r.handle] = d.live[r.name2]
        elif r.op in (WRITE, TRUNCATE, ALLOCATE):
            if r.handle in self.handles:
                self.handles[r.handle].pending.append(r)
        elif r.op == SYNC:
            f = self.handles.get(r.handle)
            if f is not None and r.rc == 0:
                n = 0
                while n < len(f.pending) and f.pending[n].pos < r.a:
                    apply(f.base, f.pending[n])
                    n += 1
                del f.pending[:n]
        elif r.op == DIRSYNC:
            if r.rc == 0:
                self.dir_synced(self.dir_at(r.name), r.a)
        elif r.rc == 0:
            self.feed_name(r)

    def feed_name(self, r):
        d, name = self.split(r.name)
        if d is None:
            return
        if r.op == MKDIR and name not in d.live:
            self.change_names(r.pos, d, [(d, name, Dir())])
        elif r.op in (UNLINK, RMDIR):
            self.change_names(r.pos, d, [(d, name, None)])
        elif r.op == RENAME:
            to, new = self.split(r.name2)
            if to is not None and name in d.live:
                self.change_names(r.pos, to, [(d, name, None), (to, new, d.live[name])])

    def dir_synced(self, d, begin):
        done = [op for op in self.names if op.key is d and op.pos < begin]
        for op in done:
            for at, name, target in op.changes:
                if target is None:
                    at.base.pop(name, None)
                else:
                    at.base[name] = target
        # What an older pending change said about the same name is overtaken.
        last = {}
        for op in done:
            for at, name, _ in op.changes:
                last[id(at), name] = op.pos
        keep = []
        for op in self.names:
            if op in done:
                continue
            op.changes = [c for c in op.changes if last.get((id(c[0]), c[1]), -1) < op.pos]
            if op.changes:
                keep.append(op)
        self.names = keep

    def state(self, mode, rng):
        """{relative path: bytes, or None for a directory} after a cut here.

        mode: "least" nothing that was not synced, "most" all of it, "names" only names, "bytes"
        only bytes, "random" any of it, torn.
        """
        share = rng.choice((0.1, 0.5, 0.9))
        names = {}

        def entries(d):
            if id(d) not in names:
                names[id(d)] = dict(d.base)
            return names[id(d)]

        for op in self.names:
            if mode in ("most", "names") or mode == "random" and rng.random() < share:
                for at, name, target in op.changes:
                    if target is None:
                        entries(at).pop(name, None)
                    else:
                        entries(at)[name] = target
        out = {}

        def walk(d, path):
            for name, node in sorted(entries(d).items()):
                if node.is_dir:
                    out[path + name] = None
                    walk(node, path + name + "/")
                    continue
                image = node.base
                if node.pending and mode not in ("least", "names"):
                    image = bytearray(image)
                    for r in node.pending:
                        if mode in ("most", "bytes"):
                            apply(image, r)
                        elif rng.random() < share:
                            if r.op == WRITE and rng.random() < 0.3:
                                apply_torn(image, r, rng)
                            else:
                                apply(image, r)
                out[path + name] = bytes(image)

        walk(self.root, "")
        return out


def selftest():
    """The rules above on a small journal made by hand."""
    def rec(pos, op, **kw):
        r = Record.__new__(Record)
        r.pos, r.end, r.op = pos, pos + 1, op
        r.handle, r.a, r.b, r.rc, r.name, r.name2, r.data = 0, 0, 0, 0, "", "", b""
        for k, v in kw.items():
            setattr(r, k, v)
        return r

    d, rng = Disk("./s"), random.Random(1)
    d.feed(rec(1, MKDIR, name="./s/t"))
    d.feed(rec(2, OPEN, name="./s/t", name2="x", handle=1))
    d.feed(rec(3, WRITE, handle=1, data=b"abc"))
    assert d.state("least", rng) == {} and d.state("most", rng) == {"t": None, "t/x": b"abc"}
    d.feed(rec(4, SYNC, handle=1, a=4))
    assert d.state("least", rng) == {}, "a synced file without a synced name is gone"
    assert d.state("names", rng) == {"t": None, "t/x": b"abc"}
    d.feed(rec(5, DIRSYNC, name="./s/t", a=5))
    assert d.state("least", rng) == {}, "its directory's own name is not synced"
    d.feed(rec(6, DIRSYNC, name="./s", a=6))
    assert d.state("least", rng) == {"t": None, "t/x": b"abc"}
    d.feed(rec(7, WRITE, handle=1, a=3, data=b"d"))
    d.feed(rec(8, SYNC, handle=1, a=7))
    assert d.state("least", rng)["t/x"] == b"abc", "a sync that began before a write promises nothing"
    d.feed(rec(9, RENAME, name="./s/t/x", name2="./s/y"))
    assert d.state("least", rng) == {"t": None, "t/x": b"abc"}
    assert d.state("names", rng) == {"t": None, "y": b"abc"}
    d.feed(rec(10, DIRSYNC, name="./s", a=10))
    assert d.state("least", rng) == {"t": None, "y": b"abc"}
    d.feed(rec(11, TRUNCATE, handle=1, a=1))
    d.feed(rec(12, UNLINK, name="./s/y"))
    assert d.state("bytes", rng) == {"t": None, "y": b"a"}
    seen = {tuple(sorted((k, v) for k, v in d.state("random", rng).items() if v is not None))
            for _ in range(200)}
    assert {(), (("y", b"abc"),), (("y", b"a"),), (("y", b"abcd"),)} <= seen


if __name__ == "__main__":
    selftest()
    print("ok")
