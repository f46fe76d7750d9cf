"""The parts of scripts/bench; each takes the table and adds its lines."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

import dataset
from measure import (BENCH, Nginx, Profile, ROOT, cpu_seconds, fdatasync_ms, median, pin, program,
                     spread, wrk)
from harness import Http, Server, binary, rss_bytes

COLLECTION = "/collections/bench"
KERNEL = r"(dot|cos|l1|l2)_\w+_(rows|ids|pair)"  # the distance loops of distance-basic


def create(http, dim, distance="Cosine", name=COLLECTION):
    http.ok("PUT", name, {"vectors": {"size": dim, "distance": distance}})


def send(http, bodies, name=COLLECTION):
    """Upserts prepared bodies one after the other over one connection."""
    for body in bodies:
        status, answer = http.raw("PUT", name + "/points?wait=true", body)
        if status != 200:
            raise SystemExit(f"upsert: {status} {answer[:300]}")


# --- requests ------------------------------------------------------------------------------------

def requests(table, rounds=9, seconds=2):
    """Processor time of one GET /healthz on a kept connection, beside nginx."""
    table.head("requests: GET /healthz, 16 connections, wrk, one loop or worker, no pipelining")
    with Server({"SEXTANT__SEXTANT__LOOPS": 1}) as server:
        body = server.http.raw("GET", "/healthz")[1].decode()
        server.http.close()
        nginx = Nginx(body)
        try:
            peers = (server.proc.pid, server.url + "/healthz"), (nginx.worker, nginx.url)
            for pid, url in peers:
                pin(pid, 0)
                wrk(url, 1)
            cost, count = ([], []), [0, 0]
            for _ in range(rounds):
                for i, (pid, url) in enumerate(peers):
                    before = cpu_seconds(pid)
                    n = wrk(url, seconds)
                    cost[i].append((cpu_seconds(pid) - before) / n * 1e6)
                    count[i] += n
        finally:
            nginx.close()
    if min(count) < 200000:
        raise SystemExit(f"only {min(count)} requests were measured")
    ratio = [a / b for a, b in zip(*cost)]
    table.add("server CPU a request", f"{median(cost[0]):.2f} us",
              f"nginx {median(cost[1]):.2f} us", spread(ratio), "<= 1.3 x nginx",
              median(ratio) <= 1.3)
    table.add("requests measured", f"{count[0]}", f"nginx {count[1]}")


# --- JSON ----------------------------------------------------------------------------------------

def json_bodies(table, rounds=5):
    """Reading vectors: the reader alone (bench_json), and whole bodies (bench_decode)."""
    table.head("JSON: 768 floats, ours beside jansson on the same bytes, CPU time")
    found = {}
    for _ in range(rounds):
        for line in program("bench_json").splitlines():
            m = re.match(r"(.*?)\s+(\d+) bytes\s+ours\s+(\d+) ns\s+jansson\s+(\d+) ns", line)
            found.setdefault(f"{m[1]}, {m[2]} bytes", []).append((int(m[3]) / 1e3, int(m[4]) / 1e3))
        for line in program("bench_decode", 768, 0.2).splitlines():
            m = re.match(r"(.*?)\s+(\d+) bytes\s+own\s+([\d.]+) us\s+jansson\s+([\d.]+) us", line)
            key = f"decoder: {m[1]}, {m[2]} bytes"
            found.setdefault(key, []).append((float(m[3]), float(m[4])))
    for name, values in found.items():
        ours, theirs = median([v[0] for v in values]), median([v[1] for v in values])
        ratio = [v[1] / v[0] for v in values]
        goal, ok = "", None
        if "upsert" in name:
            goal, ok = ">= 20 x jansson", median(ratio) >= 20
        elif name.startswith("decoder: query"):
            goal, ok = "<= 15 us", ours <= 15
        table.add(name, f"{ours:.2f} us", f"jansson {theirs:.1f} us", spread(ratio, "{:.1f}"),
                  goal, ok)


# --- the distance loop and exact search ----------------------------------------------------------

def distance(table, rows=50000, dim=384):
    """The loop beside numpy on one thread, alternating; and beside a plain read."""
    table.head(f"distance loop: {rows} x {dim} f32, one thread, CPU time")
    out = subprocess.run([sys.executable, str(ROOT / "tests/bench/distance_numpy.py"),
                          str(BENCH / "bench_distance"), "--rows", str(rows), "--dim", str(dim)],
                         capture_output=True, text=True, check=True).stdout
    lines = {}
    for line in out.splitlines():
        m = re.match(r"(\w+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+) \(([\d.]+) - ([\d.]+)\)\s+([\d.]+)",
                     line)
        if m:
            lines[m[1]] = [float(m[i]) for i in range(2, 8)]
    best = next(name for name in lines if name.endswith("_rows"))
    ns, speed, ratio, low, high, read = lines[best]
    table.add(f"{best.split('_')[0]}, consecutive rows", f"{ns:.1f} ns, {speed:.1f} GB/s",
              f"numpy {lines['numpy_matvec'][0]:.1f} ns, {lines['numpy_matvec'][1]:.1f} GB/s",
              f"{ratio:.2f} ({low:.2f} - {high:.2f})", "<= 1.3 x numpy", ratio <= 1.3)
    table.add("plain read of the same memory", f"{lines['read'][1]:.1f} GB/s",
              f"loop / read {read:.2f}")


def numpy_top(unit, q, k=10):
    scores = unit @ q
    near = np.argpartition(-scores, k)[:k]
    return near[np.argsort(-scores[near])]


def search(table, ds, rounds=7, per_round=60):
    """Exact search through REST: where the server's time goes, and what a search costs."""
    table.head(f"exact search through REST: {ds.n} x {ds.dim}, k = 10, one client")
    queries = ds.queries[:per_round]
    bodies = [dataset.query_body(q, 10, params={"exact": True}) for q in queries]
    unit_q = dataset.unit_queries(queries).astype(np.float32)
    for rows in "mmap", "ram":
        with Server({"SEXTANT__PLUGINS__ENGINE__ROWS": rows}) as server:
            create(server.http, ds.dim)
            send(server.http, dataset.upsert_bodies(ds))
            pid = server.proc.pid
            server.http.close()
            time.sleep(6)  # the checkpoint after the last change is over

            def ask():
                for body in bodies:
                    status, answer = server.http.raw("POST", COLLECTION + "/points/query", body)
                    if status != 200:
                        raise SystemExit(f"query: {status} {answer[:300]}")

            ask()
            with Profile(pid) as profile:
                for _ in range(rounds):
                    ask()
            share = profile.share(KERNEL)
            table.add(f"rows {rows}: CPU time in the loop", f"{share:.1f} %",
                      "else " + profile.top(2, KERNEL), "", ">= 80 %", share >= 80)
            wall, cpu, peer = [], [], []
            for _ in range(rounds):
                start, before = time.perf_counter(), cpu_seconds(pid)
                ask()
                wall.append((time.perf_counter() - start) * 1e3 / per_round)
                cpu.append((cpu_seconds(pid) - before) * 1e3 / per_round)
                start = time.thread_time()
                for q in unit_q:
                    numpy_top(ds.unit(), q)
                peer.append((time.thread_time() - start) * 1e3 / per_round)
            table.add(f"rows {rows}: one search",
                      f"{median(wall):.2f} ms, CPU {median(cpu):.2f} ms",
                      f"numpy matvec + top 10, CPU {median(peer):.2f} ms",
                      spread([a / b for a, b in zip(cpu, peer)]) + " CPU")


# --- ingest --------------------------------------------------------------------------------------

def ingest(table, ds, rounds=5):
    """Prepared bytes over one connection, wait=true; a new collection each round."""
    batch = 256
    table.head(f"ingest: {ds.n} x {ds.dim} with payload, batches of {batch}, wait=true, "
               "one connection, bytes prepared")
    for digits in "short", "long":
        bodies = list(dataset.upsert_bodies(ds, batch, digits))
        size = sum(map(len, bodies)) / ds.n
        synced = batch * (ds.dim * 4 + sum(map(len, ds.payloads)) // ds.n)
        rate, cpu, disk = [], [], []
        with Server() as server:
            for i in range(rounds):
                name = f"{COLLECTION}{i}"
                create(server.http, ds.dim, name=name)
                disk += fdatasync_ms(server.dir, synced, 20)
                start, before = time.perf_counter(), cpu_seconds(server.proc.pid)
                send(server.http, bodies, name)
                rate.append(ds.n / (time.perf_counter() - start))
                cpu.append((cpu_seconds(server.proc.pid) - before) / ds.n * 1e6)
                n = server.http.ok("POST", name + "/points/count", {"exact": True})["count"]
                if n != ds.n:
                    raise SystemExit(f"{n} points after {ds.n} were sent")
                server.http.ok("DELETE", name)
        goal = (">= 15000 points/s", median(rate) >= 15000)
        table.add(f"floats as {digits} text, {size:.0f} bytes a point",
                  f"{median(rate):.0f} points/s", f"{min(rate):.0f} - {max(rate):.0f}", "", *goal)
        table.add("  server CPU a point", f"{median(cpu):.1f} us",
                  f"a batch takes {batch / median(rate) * 1e3:.1f} ms")
        table.add("  one fdatasync of a batch's bytes", f"{spread(disk)} ms", f"{synced} bytes")


# --- the process ---------------------------------------------------------------------------------

def first_answer(server, path="/healthz", check=None):
    """Milliseconds from exec to the first right answer."""
    start = time.perf_counter()
    server.spawn()
    while True:
        if server.proc.poll() is not None:
            raise SystemExit(f"the server ended\n{server.log()}")
        try:
            http = Http(server.port)
            status, answer = http("GET" if check is None else "POST", path,
                                  None if check is None else {"exact": True})
            http.close()
            if status == 200 and (check is None or check(answer)):
                return (time.perf_counter() - start) * 1e3
        except OSError:
            pass
        time.sleep(0.001)


def idle(table, rounds=9):
    """Start on an empty directory, memory after a thousand requests, size of the binary."""
    table.head("the process: default set of modules")
    start, memory = [], []
    for _ in range(rounds):
        server = Server(start=False)
        try:
            start.append(first_answer(server))
            for i in range(250):
                for path in "/healthz", "/", "/collections", "/readyz":
                    if server.http.raw("GET", path)[0] != 200:
                        raise SystemExit(f"GET {path} failed")
            memory.append(rss_bytes(server.proc.pid) / 2**20)
        finally:
            server.close()
    table.add("start to first answer, empty directory", spread(start, "{:.1f}") + " ms", "", "",
              "<= 100 ms", median(start) <= 100)
    table.add("RSS after 1000 requests", f"{median(memory):.1f} MB", f"most {max(memory):.1f} MB",
              "", "<= 12 MB", median(memory) <= 12)
    with tempfile.TemporaryDirectory(prefix="sextant-bench-") as folder:
        stripped = pathlib.Path(folder, "sextant")
        subprocess.run(["strip", "-o", str(stripped), str(binary())], check=True)
        size = stripped.stat().st_size / 1e6
        files = sorted((binary().parent / "lib/sextant/plugins-1").glob("*.so"))
        total = 0
        for f in files:
            subprocess.run(["strip", "-o", str(stripped), str(f)], check=True)
            total += stripped.stat().st_size
    table.add("binary, stripped, built-in set", f"{size:.2f} MB",
              f"as files: {len(files)} .so, {total / 1e6:.2f} MB", "", "<= 3 MB", size <= 3)


def restart(table, sets, rounds=5):
    """From exec to the first right count after kill -9, on copies of the killed directory."""
    table.head("restart after kill -9: exec to the right count")
    for ds in sets:
        server = Server()
        try:
            create(server.http, ds.dim)
            send(server.http, dataset.upsert_bodies(ds))
            server.kill()
            log = sum(p.stat().st_size for p in server.storage.rglob("*.log"))
            killed, took = server.dir / "killed", []
            shutil.copytree(server.storage, killed)
            for _ in range(rounds):
                shutil.rmtree(server.storage)
                shutil.copytree(killed, server.storage)
                took.append(first_answer(server, COLLECTION + "/points/count",
                                         lambda a: a["result"]["count"] == ds.n))
                server.kill()
        finally:
            server.kill()
            server.close(check=False)
        table.add(f"{ds.n} x {ds.dim}", f"{spread(took, '{:.0f}')} ms",
                  f"files of the log {log / 2**20:.0f} MB", "", "<= 2000 ms", median(took) <= 2000)
