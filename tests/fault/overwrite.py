#!/usr/bin/env python3
"""A collection is overwritten again and again: its disk use stays bounded and its content exact.

    tests/fault/overwrite.py [--mib 64] [--times 8] [--dim 128] [--payload 200] [--seed N] [--restarts 3]

Uniform overwrite: every operation replaces a batch of points chosen at random (some are deleted and
come again later), until `times` the collection's size has been written. The data directory is
measured all the while by allocated blocks and must stay under 1.5 x live data + 64 MiB; live data is
what the points take as rows, locations, vectors and payload. The server is killed and started again
at random moments. At the end every point is read back and compared.

Printed: the highest disk use, and how much cleaning wrote for each byte the client wrote (rows, vectors
and payload; the log is not counted on either side).
"""
import argparse
import pathlib
import random
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import Server  # noqa: E402

MIB = 1 << 20


def vector(version, pid, dim):
    """Components follow from the point and its version, exactly representable as f32."""
    base = (pid * 31 + version * 7) % 4096
    return [float((base + i) % 4096) for i in range(dim)]


def payload(version, pid, n):
    return {"v": version, "t": chr(97 + (pid + version) % 26) * n}


class Disk(threading.Thread):
    """Samples the allocated bytes of a folder."""

    def __init__(self, path, bound):
        super().__init__(daemon=True)
        self.path, self.bound, self.most, self.over, self.done = path, bound, 0, [], threading.Event()

    def measure(self):
        total = 0
        for p in self.path.rglob("*"):
            try:
                total += p.stat().st_blocks * 512
            except OSError:
                pass
        return total

    def run(self):
        t0 = time.monotonic()
        while not self.done.wait(0.1):
            n = self.measure()
            self.most = max(self.most, n)
            if n > self.bound():
                self.over.append((time.monotonic() - t0, n, self.bound()))


def written(server):
    """Bytes the process has handed to write calls, sockets included."""
    try:
        text = pathlib.Path(f"/proc/{server.proc.pid}/io").read_text()
        return int(text.split("write_bytes:")[0].split("wchar:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return 0


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mib", type=float, default=64, help="live data")
    ap.add_argument("--times", type=float, default=8, help="data written, in sizes of the collection")
    ap.add_argument("--dim", type=int, default=128)
    ap.add_argument("--payload", type=int, default=200)
    ap.add_argument("--batch", type=int, default=400)
    ap.add_argument("--restarts", type=int, default=3)
    ap.add_argument("--seed", type=int, default=int(time.time() * 1000) % 10**9)
    a = ap.parse_args()
    print(f"seed {a.seed}", flush=True)
    rng = random.Random(a.seed)
    # A document of one small number and one text: measured, not read off a specification.
    point = 44 + 4 * a.dim + 8 + (40 + a.payload + 7) // 8 * 8
    n = int(a.mib * MIB / point)
    total = int(a.times * n)
    settings = {"log_level": "WARN", "storage.wal.wal_capacity_mb": 4,
                "plugins.engine.checkpoint_log_mb": 8}
    server = Server(settings)
    state = {}
    flight = set()
    disk = Disk(server.storage, lambda: 1.5 * max(len(state), 1) * point + 64 * MIB)
    server.http.ok("PUT", "/collections/c", {"vectors": {"size": a.dim, "distance": "Euclid"}})
    server_bytes, fill_bytes = 0, 0
    restart_at = sorted(rng.randrange(n, n + total) for _ in range(a.restarts))
    done, version, t0 = 0, 0, time.monotonic()
    disk.start()

    def put(ids):
        nonlocal version
        version += 1
        points = [{"id": i, "vector": vector(version, i, a.dim), "payload": payload(version, i, a.payload)}
                  for i in ids]
        server.http.ok("PUT", "/collections/c/points?wait=false", {"points": points})
        for i in ids:
            state[i] = version

    def check_some(k):
        ids = rng.sample(range(n), k)
        found = server.http.ok("POST", "/collections/c/points",
                               {"ids": ids, "with_payload": True, "with_vector": True})
        got = {p["id"]: p for p in found}
        for i in ids:
            if (i in got) != (i in state):
                return f"point {i} is {'there' if i in got else 'missing'}"
            if i in got and (got[i]["payload"] != payload(state[i], i, a.payload)
                             or got[i]["vector"] != vector(state[i], i, a.dim)):
                return f"point {i} is not of version {state[i]}: {str(got[i])[:200]}"
        return None

    def fail(why):
        print(f"FAILED after {done} points, seed {a.seed}: {why}")
        print(server.log())
        disk.done.set()
        if server.alive():
            server.kill()
        server.close(check=False)
        return 1

    while done < n + total:
        if done < n:
            ids = range(done, min(done + a.batch, n))
            put(list(ids))
            done += len(ids)
            fill_bytes = written(server)
        else:
            ids = rng.sample(range(n), min(a.batch, n))
            if rng.random() < 0.05:
                gone = ids[: a.batch // 4]
                server.http.ok("POST", "/collections/c/points/delete?wait=false", {"points": gone})
                for i in gone:
                    state.pop(i, None)
                ids = ids[a.batch // 4:]
            put(ids)
            done += len(ids)
        if restart_at and done >= restart_at[0]:
            restart_at.pop(0)
            # Everything before is durable once a later operation is.
            last = rng.randrange(n)
            version += 1
            server.http.ok("PUT", "/collections/c/points?wait=true", {"points": [
                {"id": last, "vector": vector(version, last, a.dim),
                 "payload": payload(version, last, a.payload)}]})
            state[last] = version
            server_bytes += written(server)
            if rng.random() < 0.7:
                server.kill()
            elif server.stop() != 0:
                return fail("the exit code of a clean stop is not 0")
            server.start()
        if rng.random() < 0.02:
            why = check_some(20)
            if why:
                return fail(why)
        if not server.alive():
            return fail("the server died")
    time.sleep(1.5)
    server_bytes += written(server)
    last = disk.measure()
    count = server.http.ok("POST", "/collections/c/points/count", {"exact": True})["count"]
    if count != len(state):
        return fail(f"{count} points, {len(state)} are expected")
    offset, seen = None, 0
    while True:
        body = {"limit": 1000, "with_payload": True, "with_vector": True}
        if offset is not None:
            body["offset"] = offset
        page = server.http.ok("POST", "/collections/c/points/scroll", body)
        for p in page["points"]:
            i = p["id"]
            seen += 1
            if i not in state or p["payload"] != payload(state[i], i, a.payload) \
                    or p["vector"] != vector(state[i], i, a.dim):
                return fail(f"point {i}: {str(p)[:200]}")
        offset = page["next_page_offset"]
        if offset is None:
            break
    if seen != len(state):
        return fail(f"scrolling finds {seen} points of {len(state)}")
    disk.done.set()
    disk.join()
    live = len(state) * point
    # While the collection was filled nothing was moved: what a point costs then (log, data, answer) it
    # costs later too, and the rest is cleaning.
    extra = (server_bytes - fill_bytes - (done - n) * fill_bytes / n) / ((done - n) * point)
    print(f"{done} points written in {time.monotonic() - t0:.0f} s, {n} live: {live / MIB:.0f} MiB; disk at "
          f"most {disk.most / MIB:.0f} MiB ({disk.most / live:.2f} x), at the end {last / MIB:.0f} MiB; bound "
          f"{(1.5 * live) / MIB + 64:.0f} MiB; {extra:.2f} extra bytes written per byte of data")
    if disk.over:
        return fail(f"over the bound {len(disk.over)} times, first (s, bytes, bound) {disk.over[0]}, "
                    f"worst {max(o[1] for o in disk.over)}")
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
