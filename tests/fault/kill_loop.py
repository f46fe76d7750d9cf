#!/usr/bin/env python3
"""Kill -9 at random moments under four writers; after each restart everything acknowledged is there.

    tests/fault/kill_loop.py [--cycles 200] [--seed N] [--keep DIR]

Four writers, each with its own ids, in two collections (one vector in memory, two named ones of which
one is mapped), wait=true; a fifth creates and drops collections. The process is killed at a random
moment, sometimes while it starts, sometimes stopped cleanly; then
acknowledged <= state <= acknowledged + in flight, operations whole, vectors and payloads exact.
Checkpoints come every second, so kills fall into them too. On failure the data directory as the
kill left it is saved and its path printed with the seed.
"""
import argparse
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
from harness import Http, Server  # noqa: E402
from model import KINDS, Writer, read_all  # noqa: E402

SETTINGS = {"storage.wal.wal_capacity_mb": 1, "log_level": "WARN"}
FRESH_EVERY = 20  # cycles on one data directory


class Churn:
    """Creates and drops collections of its own."""

    def __init__(self, seed):
        self.rng, self.have, self.flight = random.Random(seed), set(), None

    def next_op(self):
        name = f"churn{self.rng.randrange(6)}"
        self.flight = (name, name not in self.have)
        if self.flight[1]:
            return "PUT", f"/collections/{name}", {"vectors": {"size": 2, "distance": "Dot"}}
        return "DELETE", f"/collections/{name}", None

    def ack(self):
        name, made = self.flight
        (self.have.add if made else self.have.discard)(name)
        self.flight = None

    def settle(self, names):
        found = {n for n in names if n.startswith("churn")}
        wrong = [f"collection {n}: {'missing' if n in self.have else 'came back'}"
                 for n in found ^ self.have if self.flight is None or n != self.flight[0]]
        self.have, self.flight = found, None
        return wrong


def write(port, writer, stop, problems, pause=0.0):
    http = Http(port, timeout=30)
    while not stop.is_set():
        method, path, body = writer.next_op()
        try:
            status, answer = http(method, path, body)
        except Exception:  # noqa: BLE001 - the server was killed: the operation stays in flight
            return
        if status != 200:
            problems.append(f"{method} {path}: {status} {str(answer)[:300]}")
            return
        writer.ack()
        if pause:
            time.sleep(pause)
    http.close()


def check(server, writers, churn):
    http = Http(server.port)
    wrong = churn.settle([c["name"] for c in http.ok("GET", "/collections")["collections"]])
    for kind in KINDS:
        records = read_all(http, kind.name)
        mine = [w for w in writers if w.kind is kind]
        for w in mine:
            wrong += w.settle(records)
        stray = set(records) - {i for w in mine for i in w.ids}
        if stray:
            wrong.append(f"{kind.name}: ids nobody wrote: {sorted(stray)[:10]}")
        status = http.ok("GET", f"/collections/{kind.name}")["status"]
        if status != "green":
            wrong.append(f"{kind.name} is {status}")
        if records and not wrong:
            pid = random.choice(sorted(records))
            body = {"query": pid, "limit": 3, "params": {"exact": True}}
            if kind.names:
                body["using"] = kind.names[0]
            hits = http.ok("POST", f"/collections/{kind.name}/points/query", body)["points"]
            if any(h["id"] not in records for h in hits) or len(hits) != min(3, len(records) - 1):
                wrong.append(f"{kind.name}: search near {pid} found {hits}")
    http.close()
    return wrong


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--cycles", type=int, default=200)
    ap.add_argument("--seed", type=int, default=int(time.time() * 1000) % 10**9)
    ap.add_argument("--keep", default=None, help="where a failing data directory is saved")
    a = ap.parse_args()
    print(f"seed {a.seed}", flush=True)
    rng = random.Random(a.seed)
    random.seed(a.seed)
    keep = pathlib.Path(a.keep or tempfile.gettempdir()) / f"sextant-kill-{a.seed}"
    starts, acks, kills_in_start, clean = [], 0, 0, 0
    server = None
    for cycle in range(a.cycles):
        if cycle % FRESH_EVERY == 0:
            if server is not None:
                server.close()
            server = Server(SETTINGS)
            for kind in KINDS:
                server.http.ok("PUT", f"/collections/{kind.name}", kind.config)
            writers = [Writer(KINDS[i % 2], 1000 * i, 300, rng.random()) for i in range(4)]
            churn = Churn(rng.random())
        stop, problems = threading.Event(), []
        threads = [threading.Thread(target=write, args=(server.port, w, stop, problems))
                   for w in writers]
        threads.append(threading.Thread(target=write, args=(server.port, churn, stop, problems, 0.02)))
        for t in threads:
            t.start()
        time.sleep(rng.choice((rng.uniform(0, 0.1), rng.uniform(0.1, 0.6), rng.uniform(0.9, 1.3))))
        died = not server.alive()
        if rng.random() < 0.05 and not died:
            stop.set()  # a clean stop now and then: writers finish what they wait for
            for t in threads:
                t.join()
            code = server.stop()
            clean += 1
            if code != 0:
                problems.append(f"exit code {code} on SIGTERM")
        else:
            server.kill()
            stop.set()
            for t in threads:
                t.join()
        before = server.dir / "before"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(server.storage, before)
        wrong = list(problems) + (["the server died by itself"] if died else [])
        try:
            while not wrong and rng.random() < 0.15:  # and once more while it starts
                server.spawn()
                time.sleep(rng.uniform(0, 0.05))
                server.kill()
                kills_in_start += 1
            t0 = time.monotonic()
            server.start()
            starts.append(time.monotonic() - t0)
            wrong += check(server, writers, churn)
            server.check_log()
        except AssertionError as e:
            wrong.append(str(e))
        if wrong:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(server.dir, keep)
            print(f"FAILED in cycle {cycle}, seed {a.seed}; directory saved in {keep} "
                  "(before/ as the kill left it)")
            print("\n".join(wrong[:20]))
            print(server.log())
            if server.alive():
                server.kill()
            server.close(check=False)
            return 1
        acks += sum(w.op_acks for w in writers)
        for w in writers:
            w.op_acks = 0
    server.close()
    worst = max(starts)
    print(f"{a.cycles} kills ({clean} clean stops, {kills_in_start} more during a start), {acks} operations acknowledged, "
          f"restart median {statistics.median(starts) * 1000:.0f} ms, worst {worst * 1000:.0f} ms, nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
