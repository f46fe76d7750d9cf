"""What a client knows about collections: which operations it sent, which were answered, and when.

The clock is the length of the I/O journal. An operation has `sent`, the length before it was sent, and
`seen`, the length when its answer had arrived: whatever the server did for the answer lies before. So a
disk cut off at position p may hold only operations with sent < p, and must hold what was answered
with wait=true at seen <= p, together with every operation of a lower number, because they lie in the
same log. In between, each number is a possible end; a state that fits none of them is half an
operation, a lost one or an invented one.

Every point follows from (id, version); versions are given once in a whole run, so a version found on
the disk says which operation wrote it.
"""
import bisect
import functools
import hashlib

NEVER = 1 << 62


def _floats(pid, version, n, salt):
    """Multiples of 1/64 below 32: exact in f32 and in JSON."""
    x = int.from_bytes(hashlib.blake2b(f"{pid}/{version}/{salt}".encode(), digest_size=8).digest(), "big")
    out = []
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        out.append(((x >> 40) % 4096 - 2048) / 64.0)
    return out


class Kind:
    """A collection's configuration and what its points look like."""

    def __init__(self, config, columns, text):
        self.config, self.columns, self.text = config, columns, text

    @functools.lru_cache(maxsize=16384)
    def point(self, pid, version):
        vectors = {}
        for i, (name, dim) in enumerate(self.columns):
            if i == 0 or (version + i) % 3:  # now and then a named vector is left out
                vectors[name] = _floats(pid, version, dim, name)
        n = version * 7919 % (self.text + 1)
        payload = {"v": version, "id": pid, "text": ("%016x" % (version * 2654435761)) * (n // 16 + 1)}
        return {"id": pid, "payload": payload,
                "vector": vectors[""] if self.columns[0][0] == "" else vectors}


SMALL_LOG = {"wal_config": {"wal_capacity_mb": 1}}
KINDS = {
    "plain": Kind({"vectors": {"size": 4, "distance": "Dot"}, **SMALL_LOG}, [("", 4)], 60),
    "named": Kind({"vectors": {"x": {"size": 8, "distance": "Euclid", "on_disk": True},
                               "y": {"size": 3, "distance": "Manhattan", "on_disk": False}},
                   **SMALL_LOG}, [("x", 8), ("y", 3)], 200),
    "wide": Kind({"vectors": {"x": {"size": 400, "distance": "Dot", "on_disk": False},
                              "y": {"size": 400, "distance": "Euclid", "on_disk": True}},
                  **SMALL_LOG}, [("x", 400), ("y", 400)], 24000),
    "many": Kind({"vectors": {"size": 2, "distance": "Dot"}, **SMALL_LOG}, [("", 2)], 40),
}


def token(pid, version):
    return int.from_bytes(hashlib.blake2b(f"{pid}/{version}".encode(), digest_size=8).digest(), "big")


class Life:
    """One collection from its creation to its drop."""

    def __init__(self, name, kind, created, base=None, base_number=0):
        self.name, self.kind = name, kind
        self.created = created         # [sent, seen]
        self.dropped = [NEVER, NEVER]
        self.base = dict(base or {})   # id -> version before the first operation
        self.base_number = base_number
        self.ops = {}                  # number -> [sent, seen, wait, [[id, version or None], ...]]
        self.ready = None

    def prepare(self):
        """Tables for check(): the content after each number, as sums of tokens."""
        numbers = sorted(self.ops)
        if numbers != list(range(self.base_number + 1, self.base_number + 1 + len(numbers))):
            raise AssertionError(f"{self.name}: operation numbers with gaps: {numbers}")
        state, total = dict(self.base), sum(token(i, v) for i, v in self.base.items())
        sums = {total: [self.base_number]}
        durable = []  # (seen, number) of answered wait=true operations, number growing
        for n in numbers:
            sent, seen, wait, changes = self.ops[n]
            for pid, version in changes:
                if pid in state:
                    total -= token(pid, state.pop(pid))
                if version is not None:
                    state[pid] = version
                    total += token(pid, version)
            sums.setdefault(total, []).append(n)
            if wait and seen < NEVER:
                durable.append((seen, n))
        durable.sort()
        high, best = [], self.base_number
        for seen, n in durable:
            best = max(best, n)
            high.append(best)
        self.ready = (sums, [s for s, _ in durable], high,
                      sorted((op[0], n) for n, op in self.ops.items()))
        return self

    def is_idle(self, number):
        """The operation changed nothing: the deletion of what was not there."""
        return any(number in same and number - 1 in same for same in self.ready[0].values())

    def bounds(self, p):
        """Lowest and highest number that may be the last one at a cut at p."""
        sums, seen, high, sent = self.ready
        i = bisect.bisect_right(seen, p)
        lo = high[i - 1] if i else self.base_number
        j = bisect.bisect_left(sent, (p, 0))
        return lo, max([n for _, n in sent[:j]], default=self.base_number)

    def fits(self, state, p):
        lo, hi = self.bounds(p)
        return any(lo <= n <= hi for n in self.ready[0].get(sum(token(i, v) for i, v in state.items()),
                                                            ()))

    def explain(self, state, p):
        lo, hi = self.bounds(p)
        want = dict(self.base)
        for n in sorted(self.ops):
            if n > lo:
                break
            for pid, version in self.ops[n][3]:
                want.pop(pid, None)
                if version is not None:
                    want[pid] = version
        differ = {str(i): (want.get(i), state.get(i)) for i in set(want) | set(state)
                  if want.get(i) != state.get(i)}
        known = self.ready[0].get(sum(token(i, v) for i, v in state.items()))
        return (f"must hold operations up to {lo}, may up to {hi}; the state is that after "
                f"{known or 'no number at all'}; ids that differ from number {lo} (wanted, found): "
                f"{dict(sorted(differ.items())[:12])}")


class History:
    def __init__(self):
        self.lives = []

    def prepare(self):
        for life in self.lives:
            life.prepare()
        return self

    def names(self):
        return sorted({life.name for life in self.lives})

    def kinds(self):
        return {life.name: life.kind for life in self.lives}

    def check(self, p, found):
        """found: {name: {id: version}} as read from a server on a disk cut at p. None, or what is
        wrong."""
        for name in sorted(set(found) | set(self.names())):
            lives = [x for x in self.lives if x.name == name and x.created[0] < p]
            # Alternatives: one that may be there; none at all, unless one must be there.
            here = [x for x in lives if p >= x.created[0] and p < x.dropped[1]]
            must = [x for x in lives if p >= x.created[1] and p <= x.dropped[0]]
            if name not in found:
                if must:
                    return f"collection {name} is missing: its creation was answered"
                continue
            if not here:
                return f"collection {name} is there: " + \
                    ("its drop was answered" if lives else "nobody asked for it")
            if must:
                here = must
            if not any(x.fits(found[name], p) for x in here):
                return f"collection {name}: " + "; or ".join(x.explain(found[name], p) for x in here)
        return None

    def to_json(self):
        return [[x.name, x.kind, x.created, x.dropped, sorted(map(list, x.base.items()), key=str),
                 x.base_number, sorted(x.ops.items())] for x in self.lives]

    @classmethod
    def from_json(cls, rows):
        h = cls()
        for name, kind, created, dropped, base, number, ops in rows:
            x = Life(name, kind, created, {i: v for i, v in base}, number)
            x.dropped, x.ops = dropped, {n: op for n, op in ops}
            h.lives.append(x)
        return h.prepare()


def read_version(kind, point):
    """The version of a point as scroll answered it; raises when any of it differs from what that
    version is made of."""
    pid, version = point["id"], point["payload"].get("v")
    if not isinstance(version, int):
        raise AssertionError(f"point {pid}: no version in {str(point)[:300]}")
    want = KINDS[kind].point(pid, version)
    for key in ("payload", "vector"):
        if point[key] != want[key]:
            raise AssertionError(f"point {pid} version {version}: {key} is {str(point[key])[:300]}, "
                                 f"wanted {str(want[key])[:300]}")
    return version


def read_points(name, points, kinds):
    """{id: version} of scrolled points; a name may have had lives of several kinds."""
    state, wrong = {}, None
    for p in points:
        for kind in kinds:
            try:
                state[p["id"]] = read_version(kind, p)
                break
            except AssertionError as e:
                wrong = e
        else:
            raise AssertionError(f"collection {name}: {wrong}")
    if len(state) != len(points):
        raise AssertionError(f"collection {name}: a point twice in {[p['id'] for p in points]}")
    return state


SCROLL_ALL = {"limit": 100000, "with_vector": True, "with_payload": True}


def read_all(server, kinds):
    """{name: {id: version}} of a quick.Quick; raises AssertionError for an answer that is not right."""
    found = {}
    status, answer = server.get("GET", "/collections")
    if status != 200:
        raise AssertionError(f"GET /collections: {status} {str(answer)[:300]}")
    for c in answer["result"]["collections"]:
        name = c["name"]
        status, answer = server.get("POST", f"/collections/{name}/points/scroll", SCROLL_ALL)
        if status != 200:
            raise AssertionError(f"collection {name} answers {status}: {str(answer)[:400]}")
        found[name] = read_points(name, answer["result"]["points"], kinds.get(name) or ())
    return found


def kind_of(server, name):
    vectors = server.ok("GET", f"/collections/{name}")["config"]["params"]["vectors"]
    return next(k for k, v in KINDS.items()
                if v.columns[0][1] == (vectors["x"] if "x" in vectors else vectors)["size"])


def ids_of(part, n):
    """n ids of one writer, numbers and UUIDs; other writers (`part`) have others."""
    out = []
    for i in range(n):
        k = part * 1000 + i
        out.append(k if i % 4 else f"{k * 2654435761 % (1 << 32):08x}-0000-4000-8000-{k:012x}")
    return out
