#!/usr/bin/env python3
"""A disk that is really full: what makes room works, what takes room is refused, nothing is lost.

    tests/fault/full_disk.py [--mib 160] [--rounds 3] [--seed N]

The storage folder is a small file system in memory, mounted in a namespace of its own
(unshare -rm; the program starts itself again in there). A round: points are written until the disk is
full, half of them are deleted while it is, a collection is dropped, points are written again, the server
is stopped or killed and started again. All the while what is there is what was acknowledged.
"""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import Server  # noqa: E402

DIM = 64
BATCH = 200
POINT = 44 + 4 * DIM + 344  # bytes as row, location, vector, payload


def vector(version, pid):
    base = (pid * 31 + version * 7) % 4096
    return [float((base + i) % 4096) for i in range(DIM)]


class Round:
    def __init__(self, server, rng):
        self.server, self.rng = server, rng
        self.state, self.version = {}, 0

    def upsert(self, ids):
        """True when the server took them; a full disk is the one reason to refuse."""
        self.version += 1
        points = [{"id": i, "vector": vector(self.version, i), "payload": {"v": self.version, "t": "x" * 300}}
                  for i in ids]
        status, answer = self.server.http("PUT", "/collections/c/points?wait=true", {"points": points})
        if status == 200:
            self.state.update({i: self.version for i in ids})
            return True
        assert status == 507, f"an upsert was answered {status}: {str(answer)[:300]}"
        return False

    def delete(self, ids):
        self.server.http.ok("POST", "/collections/c/points/delete?wait=true", {"points": ids})
        for i in ids:
            self.state.pop(i, None)

    def check(self):
        offset, seen = None, 0
        while True:
            body = {"limit": 1000, "with_payload": True, "with_vector": True}
            if offset is not None:
                body["offset"] = offset
            page = self.server.http.ok("POST", "/collections/c/points/scroll", body)
            for p in page["points"]:
                seen += 1
                v = self.state.get(p["id"])
                assert v is not None, f"point {p['id']} was deleted, or never acknowledged"
                assert p["payload"]["v"] == v and p["vector"] == vector(v, p["id"]), f"point {p['id']}: not {v}"
            offset = page["next_page_offset"]
            if offset is None:
                break
        assert seen == len(self.state), f"{seen} points of {len(self.state)}"

    def fill(self):
        i, refused = 0, 0
        while refused < 10:  # what was deleted a moment ago comes back while we write
            if self.upsert(range(i, i + BATCH)):
                i += BATCH
                refused = 0
            else:
                refused += 1
                time.sleep(0.1 * refused)
            assert i < 10**6, "the disk is never full"
        return i

    def run(self, number):
        http = self.server.http
        other = {"vectors": {"size": 1024, "distance": "Dot"}}
        http.ok("PUT", f"/collections/d{number}", other)
        http.ok("PUT", f"/collections/d{number}/points?wait=true", {"points": [
            {"id": i, "vector": [1.0] * 1024} for i in range(1000)]})
        n = self.fill()
        self.check()
        ids = list(range(n))
        self.rng.shuffle(ids)
        half = ids[:n // 2]
        for at in range(0, len(half), 50):
            self.delete(half[at:at + 50])
        self.check()
        http.ok("DELETE", f"/collections/d{number}")
        deadline = time.monotonic() + 20
        while not self.upsert(range(n, n + BATCH)):
            assert time.monotonic() < deadline, "no space 20 s after a collection was dropped"
            time.sleep(0.05)
        self.check()
        if self.rng.random() < 0.5:
            self.server.kill()
        else:
            assert self.server.stop() == 0, "the exit code of a clean stop is not 0"
        self.server.start()
        self.check()
        for at in range(0, n + BATCH, 500):
            self.delete(list(range(at, at + 500)))
        self.check()
        return n


def inside(a):
    rng = random.Random(a.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sextant-full-"))
    storage = folder / "storage"
    storage.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={a.mib}m", "none", str(storage)], check=True)
    server = Server({"log_level": "WARN", "storage.wal.wal_capacity_mb": 2,
                     "plugins.engine.checkpoint_log_mb": 4}, dir=folder)
    server.http.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Euclid"}})
    server.http.ok("PUT", "/collections/c/index?wait=true", {"field_name": "v", "field_schema": "integer"})
    life = Round(server, rng)
    try:
        counts = [life.run(i) for i in range(a.rounds)]
    except AssertionError as e:
        print(f"FAILED, seed {a.seed}: {e}")
        print(server.log()[-3000:])
        server.kill()
        return 1
    finally:
        if server.alive():
            server.stop()
        subprocess.run(["umount", str(storage)], check=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{a.rounds} times full with {', '.join(map(str, counts))} points in {a.mib} MiB")
    # What lives times 1.5 and 64 MiB more are what a collection may take (see overwrite.py).
    if min(counts) * POINT < (a.mib - 64 - 8) * (1 << 20) / 1.5:
        print("FAILED: the disk holds too few points")
        return 1
    return 0


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mib", type=int, default=160)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seed", type=int, default=int(time.time() * 1000) % 10**9)
    a = ap.parse_args()
    if os.environ.get("SEXTANT_FULL_DISK") != "inside":
        print(f"seed {a.seed}", flush=True)
        env = {**os.environ, "SEXTANT_FULL_DISK": "inside"}
        return subprocess.run(["unshare", "-rm", sys.executable, __file__, "--mib", str(a.mib), "--rounds",
                               str(a.rounds), "--seed", str(a.seed)], env=env).returncode
    return inside(a)


if __name__ == "__main__":
    sys.exit(main())
