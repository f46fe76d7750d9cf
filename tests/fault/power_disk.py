"""The disks that a power cut may leave, rebuilt from the journal of the recording sx.io.

The journal (kernel/io_record.c) says in which order the server asked for changes. What is on the disk
afterwards is less certain, and the rules here are the weakest that a program may count on:

  - A change of a file (bytes, length, reserved space) survives for certain when a successful sync of
    that file *began* after it. Until then it survives or not, each on its own; a write may be torn at
    any 512-byte sector or 4 KiB page, and a later change may survive where an earlier one did not.
  - A name (made, renamed, removed) survives for certain when its directory was synced after it,
    whatever happened to the file behind it: a synced file may be without a name, and a name may stand
    for a file whose bytes never came.
  - A rename inside a directory is atomic. Between two directories each side becomes certain with the
    sync of its own directory; while neither is, both sides come or neither.

An ordered journal as ext4's keeps more than that, so every disk it may leave is among these.
A directory without a recorded parent (storage_path itself) counts as certain: sx.io promises that.

Positions are byte offsets in the journals of all sessions of the workload, laid end to end. A killed
process leaves the page cache: what was not certain when it died still is not.
"""
import hashlib
import struct

HEAD = struct.Struct("<IIQQQiIIIQ")
MAGIC = 0x314A5853
(OPEN, WRITE, TRUNCATE, ALLOCATE, SYNC, DIRSYNC, RENAME, UNLINK, MKDIR, RMDIR, MARK,
 SKIPPED) = range(1, 13)
OP_NAMES = ("?", "open", "write", "truncate", "allocate", "sync", "dirsync", "rename", "unlink",
            "mkdir", "rmdir", "mark", "skipped")


class Record:
    __slots__ = ("pos", "end", "op", "handle", "a", "b", "rc", "name", "name2", "data", "session", "site")

    def __repr__(self):
        return (f"{self.pos}: {OP_NAMES[self.op]} #{self.handle} a={self.a} b={self.b} rc={self.rc} "
                f"{self.name} {self.name2} [{len(self.data)}]")


def parse(data, base=0, session=0):
    """Records of one session, positions from `base` on. Half a record at the end is left out."""
    out, at = [], 0
    while at + HEAD.size <= len(data):
        magic, op, handle, a, b, rc, n1, n2, site, nd = HEAD.unpack_from(data, at)
        if magic != MAGIC or not 0 < op < len(OP_NAMES):
            raise ValueError(f"no journal record at offset {at}")
        end = at + HEAD.size + n1 + n2 + nd
        if end > len(data):
            break
        r = Record()
        p = at + HEAD.size
        r.name = data[p:p + n1].decode()
        r.name2 = data[p + n1:p + n1 + n2].decode()
        r.data = data[p + n1 + n2:end]
        r.pos, r.end, r.op, r.handle, r.rc, r.session = base + at, base + end, op, handle, rc, session
        r.site = site
        r.a, r.b = (a + base if op in (SYNC, DIRSYNC) else a), b
        out.append(r)
        at = end
    return out


def parse_sessions(paths):
    out, base = [], 0
    for i, path in enumerate(paths):
        data = path.read_bytes()
        out += parse(data, base, i)
        base += len(data)
    return out


def path_parts(path):
    return [p for p in path.split("/") if p not in ("", ".")]


# --- nodes ---------------------------------------------------------------------------------------


def change(image, r):
    """Applies one change to a file's bytes, whole."""
    if r.op == WRITE:
        end = r.a + len(r.data)
        if r.a > len(image):
            image.extend(bytes(r.a - len(image)))
        image[r.a:end] = r.data
    elif r.op == TRUNCATE:
        if r.a < len(image):
            del image[r.a:]
        else:
            image.extend(bytes(r.a - len(image)))
    elif r.op == ALLOCATE:
        if r.a + r.b > len(image):
            image.extend(bytes(r.a + r.b - len(image)))


def change_torn(image, r, rng):
    """Some sectors or pages of a write arrived. The rest shows what was there: zeros where the file
    grew, which it did up to the last sector that arrived, or to its full length."""
    unit = rng.choice((512, 4096))
    lo, hi = r.a, r.a + len(r.data)
    units = range(lo // unit, (hi + unit - 1) // unit)
    if len(units) < 2:
        return
    cut = rng.randrange(1, len(units))
    how = rng.randrange(4)
    if how == 0:
        kept = units[:cut]
    elif how == 1:
        kept = units[cut:]
    elif how == 2:  # one is missing
        kept = [u for u in units if u != units[cut]]
    else:
        kept = [u for u in units if rng.random() < 0.5]
    if rng.random() < 0.5 and len(image) < hi:
        image.extend(bytes(hi - len(image)))
    for u in kept:
        a, b = max(lo, u * unit), min(hi, (u + 1) * unit)
        if a > len(image):
            image.extend(bytes(a - len(image)))
        image[a:b] = r.data[a - lo:b - lo]


class File:
    def __init__(self, name, content=b""):
        self.name = name  # where it was seen last, for messages
        self.certain = bytearray(content)
        self.pending = []  # records of changes
        self.known = None  # (digest, bytes) of `certain`, while that does not change

    def fold(self, begin):
        n = 0
        while n < len(self.pending) and self.pending[n].pos < begin:
            change(self.certain, self.pending[n])
            n += 1
        if n:
            del self.pending[:n]
            self.known = None
        return n

    def base(self):
        if self.known is None:
            data = bytes(self.certain)
            self.known = (hashlib.blake2b(data, digest_size=16).digest(), data)
        return self.known


class NameOp:
    """One pending change of names. parts: [directory, name, node or None, is certain]."""

    __slots__ = ("pos", "parts")

    def __init__(self, pos, parts):
        self.pos, self.parts = pos, parts


class Dir:
    def __init__(self, name):
        self.name = name
        self.certain = {}
        self.now = {}      # what the running system sees
        self.pending = []  # (NameOp, index of its part here)

    def fold(self, begin):
        n = 0
        while n < len(self.pending) and self.pending[n][0].pos < begin:
            op, i = self.pending[n]
            part = op.parts[i]
            part[3] = True
            put(self.certain, part[1], part[2])
            n += 1
        del self.pending[:n]
        return n


def put(entries, name, node):
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


# --- the disk ------------------------------------------------------------------------------------


class Disk:
    """feed() records in order; between any two, image() tells a disk that a cut there may leave.

    skip: positions of syncs that count as not done; a record's SKIPPED says the same.
    """

    def __init__(self, skip=()):
        self.top = Dir("")
        self.files = {}  # handle -> File
        self.session = 0
        self.dirty = {}  # nodes with pending changes, in the order in which they became so
        self.skip = set(skip)
        self.skipped = None  # (node or None, changes it left pending) of the last skipped sync

    @classmethod
    def of_image(cls, image, skip=()):
        """A disk on which everything of an image is certain."""
        d = cls(skip)
        for path in sorted(image):
            parts = path_parts(path)
            at = d.top
            for p in parts[:-1]:
                at = at.now[p]
            node = Dir(path) if image[path] is None else File(path, image[path])
            at.now[parts[-1]] = at.certain[parts[-1]] = node
        return d

    def dir_at(self, parts):
        node = self.top
        for p in parts:
            node = node.now.get(p) if isinstance(node, Dir) else None
        return node if isinstance(node, Dir) else None

    def file_at(self, path):
        d, name = self.place(path)
        node = d.now.get(name) if d is not None else None
        return node if isinstance(node, File) else None

    def place(self, path):
        parts = path_parts(path)
        return (self.dir_at(parts[:-1]), parts[-1]) if parts else (None, "")

    def _names(self, pos, *parts):
        op = NameOp(pos, [[d, name, node, False] for d, name, node in parts])
        for i, (d, name, node) in enumerate(parts):
            put(d.now, name, node)
            d.pending.append((op, i))
            self.dirty[d] = True

    def _clean(self, node):
        if not node.pending:
            self.dirty.pop(node, None)

    def feed(self, r):
        if r.session != self.session:  # the process was killed; the page cache was not
            self.session, self.files = r.session, {}
        if r.op in (WRITE, TRUNCATE, ALLOCATE):
            f = self.files.get(r.handle)
            if f is not None and r.rc == 0 and (r.op != WRITE or r.data):
                f.pending.append(r)
                self.dirty[f] = True
        elif r.op in (SYNC, DIRSYNC):
            node, n = self.promise(r)
            if r.pos in self.skip:
                self.skipped = (node, n)
            elif node is not None and r.rc == 0:
                node.fold(r.a)
                self._clean(node)
        elif r.op == SKIPPED:
            self.skipped = self.promise(r)
        elif r.rc == 0:
            self._feed_names(r)

    def promise(self, r):
        """The file or directory of a sync, and how many of its pending changes that makes certain (or would,
        had it not been skipped)."""
        if r.op == SKIPPED:
            node = self.dir_at(path_parts(r.name)) if r.a == 1 else self.files.get(r.handle)
            return node, len(node.pending) if node else 0
        if r.op == SYNC:
            f = self.files.get(r.handle)
            return f, sum(p.pos < r.a for p in f.pending) if f else 0
        d = self.dir_at(path_parts(r.name))
        return d, sum(p[0].pos < r.a for p in d.pending) if d else 0

    def _feed_names(self, r):
        if r.op == OPEN:
            d = self.dir_at(path_parts(r.name))
            if d is None:
                return  # of a directory that was renamed while it was open: out of sight
            f = d.now.get(r.name2)
            if not isinstance(f, File):
                f = File(f"{r.name}/{r.name2}")
                self._names(r.pos, (d, r.name2, f))
            self.files[r.handle] = f
            return
        d, name = self.place(r.name)
        if d is None:
            return
        if r.op == MKDIR:
            if name in d.now:
                return
            node = Dir(r.name)
            if d is self.top:
                d.now[name] = d.certain[name] = node
            else:
                self._names(r.pos, (d, name, node))
        elif r.op in (UNLINK, RMDIR):
            self._names(r.pos, (d, name, None))
        elif r.op == RENAME:
            to, name2 = self.place(r.name2)
            node = d.now.get(name)
            if node is None or to is None:
                return
            node.name = r.name2
            self._names(r.pos, (d, name, None), (to, name2, node))

    def path_of(self, node):
        """As the running system sees it; where it was seen last when it has no name any more."""
        stack = [(self.top, "")]
        while stack:
            d, prefix = stack.pop()
            for name, n in d.now.items():
                if n is node:
                    return prefix + name
                if isinstance(n, Dir):
                    stack.append((n, f"{prefix}{name}/"))
        return "/".join(path_parts(node.name))

    def image(self, rule):
        """{path: bytes, or None for a directory}, and a digest of it all."""
        kept = {}  # NameOp -> kept, decided once for both sides

        def entries(d):
            out = dict(d.certain)
            for op, i in d.pending:
                if op not in kept:
                    # The other side is certain already, or of the same directory: then ours is free.
                    kept[op] = rule.name(op)
                if kept[op]:
                    put(out, op.parts[i][1], op.parts[i][2])
            return out

        files, total = {}, hashlib.blake2b(digest_size=16)

        def walk(d, prefix):
            for name, node in sorted(entries(d).items()):
                path = prefix + name
                if isinstance(node, Dir):
                    files[path] = None
                    total.update(path.encode() + b"/\0")
                    walk(node, path + "/")
                    continue
                digest, data = node.base()
                if node.pending:
                    content = rule.content(node)
                    if content is not None:
                        data = bytes(content)
                        digest = hashlib.blake2b(data, digest_size=16).digest()
                files[path] = data
                total.update(path.encode() + b"\0" + digest)

        walk(self.top, "")
        return files, total.digest()


# --- what of the pending changes survived ---------------------------------------------------------


class Rule:
    """kept: share of the changes that survive, or a function of the node; torn: share of the kept
    writes that are torn."""

    def __init__(self, rng, bytes_kept=1.0, names_kept=1.0, torn=0.0, victim=None, victim_kept=0.0,
                 victim_op=None):
        self.victim_op = victim_op  # of a directory's changes, which are kept
        self.rng, self.bytes_kept, self.names_kept, self.torn = rng, bytes_kept, names_kept, torn
        self.victim, self.victim_kept = victim, victim_kept

    def _toss(self, share):
        return share >= 1.0 or share > 0.0 and self.rng.random() < share

    def name(self, op):
        touched = any(p[0] is self.victim and not p[3] for p in op.parts)
        if touched and self.victim_op:
            return self.victim_op(op)
        return self._toss(self.victim_kept if touched else self.names_kept)

    def content(self, f):
        share = self.victim_kept if f is self.victim else self.bytes_kept
        out = None
        for r in f.pending:
            if not self._toss(share):
                continue
            if out is None:
                out = bytearray(f.certain)
            if r.op == WRITE and self._toss(self.torn):
                change_torn(out, r, self.rng)
            else:
                change(out, r)
        return out


class TornLast(Rule):
    """Everything survived but the last write of each file, which is torn."""

    def content(self, f):
        out = bytearray(f.certain)
        for r in f.pending[:-1]:
            change(out, r)
        last = f.pending[-1]
        if last.op == WRITE:
            change_torn(out, last, self.rng)
        return out
