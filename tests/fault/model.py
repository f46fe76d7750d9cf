"""What the fault tests know about their data: every point follows from (id, version).

A writer owns a range of ids and remembers for each id what was acknowledged last: a version, or
nothing. The operation it was waiting for when the server died is in flight: afterwards each id has
either its acknowledged state or that of the operation, and all ids of one operation the same one.
"""
import random
import struct

DIM = 12


def mix(x):
    """A 64-bit finaliser: close numbers give far ones."""
    x = (x + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return x ^ (x >> 31)


def vector(pid, version, column=0):
    """DIM floats with full 24-bit mantissas, exact in f32 and in JSON."""
    out = []
    for j in range(DIM):
        h = mix(pid * 1000003 + version * 7919 + column * 104729 + j)
        out.append(((h >> 40) - (1 << 23)) / 4096.0)
    return out


def payload(pid, version):
    h = mix(pid ^ (version << 20))
    return {"id": pid, "v": version, "big": h, "f": (h & 0xFFFF) / 7.0,
            "text": "ü\n\"" + format(h, "016x") * (h % 40), "nest": {"a": [version, None, {"b": pid}]}}


def f32_bytes(values):
    return struct.pack(f"<{len(values)}f", *values)


class Columns:
    """One kind of collection: its config, a point's vectors on the way in and back."""

    def __init__(self, name, config, names):
        self.name, self.config, self.names = name, config, names

    def point(self, pid, version):
        if self.names is None:
            v = vector(pid, version)
        else:
            v = {n: vector(pid, version, i) for i, n in enumerate(self.names)}
        return {"id": pid, "vector": v, "payload": payload(pid, version)}

    def differs(self, record, pid, version):
        """None, or what is wrong with a record that should be this version."""
        if record["payload"] != payload(pid, version):
            return f"payload {str(record['payload'])[:200]}"
        got = record["vector"]
        if self.names is None:
            got = {"": got}
        for i, n in enumerate(self.names or [""]):
            want = f32_bytes(vector(pid, version, i))
            if n not in got or f32_bytes(got[n]) != want:
                return f"vector {n!r} {str(got.get(n))[:200]}"
        return None


FLUSH = {"optimizers_config": {"flush_interval_sec": 1}}
KINDS = [
    Columns("plain", {"vectors": {"size": DIM, "distance": "Euclid"}, **FLUSH}, None),
    Columns("named", {"vectors": {"a": {"size": DIM, "distance": "Dot", "on_disk": True},
                                  "b": {"size": DIM, "distance": "Manhattan"}}, **FLUSH},
            ["a", "b"]),
]


class Writer:
    """Random upserts and deletes of ids [first, first + n) of one collection."""

    def __init__(self, kind, first, n, seed):
        self.kind, self.ids = kind, range(first, first + n)
        self.rng = random.Random(seed)
        self.acked = {}    # id -> version
        self.flight = None  # {id: version or None}: sent, not answered
        self.version = 0
        self.op_acks = 0

    def next_op(self):
        """(method, path, body), and remembers it as in flight."""
        rng = self.rng
        base = f"/collections/{self.kind.name}/points"
        if self.acked and rng.random() < 0.25:
            ids = rng.sample(sorted(self.acked), min(len(self.acked), rng.randint(1, 4)))
            self.flight = {i: None for i in ids}
            return "POST", base + "/delete?wait=true", {"points": ids}
        self.version += 1
        ids = rng.sample(self.ids, rng.choice((1, 1, 2, 5, 9)))
        self.flight = {i: self.version for i in ids}
        return "PUT", base + "?wait=true", {"points": [self.kind.point(i, self.version) for i in ids]}

    def ack(self):
        for i, v in self.flight.items():
            if v is None:
                self.acked.pop(i, None)
            else:
                self.acked[i] = v
        self.flight = None
        self.op_acks += 1

    def settle(self, records):
        """Compares with the records {id: record} after a restart; adopts the state that is found.
        Returns the list of what is wrong."""
        flights = [self.flight] if self.flight else []
        self.flight = None
        wrong = judge(self.kind, self.ids, self.acked, flights, records)
        for pid in self.ids:
            if pid in records:
                self.acked[pid] = records[pid]["payload"]["v"]
            else:
                self.acked.pop(pid, None)
        return wrong


def judge(kind, ids, acked, flights, records):
    """What is wrong with the records of one writer's ids, given {id: version} of what was acknowledged
    and the operations that may or may not have happened."""
    wrong = []
    outcome = set()  # did the only operation in flight happen?
    for pid in ids:
        have, was = records.get(pid), acked.get(pid)
        v = have["payload"].get("v") if have else None
        fits = {i for i, f in enumerate(flights) if pid in f and f[pid] == v}
        if v == was:
            fits.add(-1)
        if not fits:
            wrong.append(f"{kind.name} {pid}: found version {v}, acknowledged {was}, may also be "
                         f"{[f[pid] for f in flights if pid in f]}")
        elif have:
            bad = kind.differs(have, pid, v)
            if bad:
                wrong.append(f"{kind.name} {pid} version {v}: {bad}")
        if len(flights) == 1 and pid in flights[0] and len(fits) == 1:
            outcome |= fits
    if len(outcome) == 2:
        wrong.append(f"{kind.name}: the operation {flights[0]} was applied by half")
    return wrong


def read_all(http, name):
    """{id: record} by scroll; the count must agree."""
    points = http.ok("POST", f"/collections/{name}/points/scroll",
                     {"limit": 1000000, "with_vector": True})["points"]
    count = http.ok("POST", f"/collections/{name}/points/count", {})["count"]
    out = {p["id"]: p for p in points}
    if len(out) != len(points) or count != len(points):
        raise AssertionError(f"{name}: {len(points)} records, {len(out)} ids, count {count}")
    return out
