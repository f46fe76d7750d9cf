"""What the parts of scripts/bench share: the table, medians, processor time, and who runs where.

Two cores are shared by server, client and whoever else is on the machine. So everything that is
compared is measured in alternating rounds within one run, figures are medians of the rounds, and
costs are processor time of the server's process rather than rates wherever that is possible.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from harness import cpu_seconds, free_ports  # noqa: E402

BENCH = ROOT / "build/bench"


class Table:
    """Lines of: what, our figure, the peer or bound beside it, their ratio, the goal."""

    HEAD = ("what", "measured", "beside it", "ratio", "goal", "")

    def __init__(self):
        self.lines = []

    def add(self, what, measured, beside="", ratio="", goal="", ok=None):
        """ok: whether the goal is met; None where there is none."""
        self.lines.append((what, measured, beside, ratio, goal,
                           "" if ok is None else "ok" if ok else "MISSED"))
        print(f"  {what}: {measured}; {beside} {ratio}", file=sys.stderr, flush=True)

    def head(self, title):
        self.lines.append((title,))

    def __str__(self):
        full = [line for line in self.lines if len(line) > 1] + [self.HEAD]
        widths = [max(len(line[i]) for line in full) for i in range(len(self.HEAD))]
        rows = ["  ".join(c.ljust(w) for c, w in zip(self.HEAD, widths)).rstrip(),
                "-" * (sum(widths) + 2 * len(widths) - 2)]
        for line in self.lines:
            if len(line) == 1:
                rows.append(line[0])
            else:
                rows.append("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip())
        return "\n".join(rows)


def median(values):
    return float(np.median(values))


def spread(values, form="{:.2f}"):
    """Median and quartiles, as text."""
    q1, q2, q3 = np.percentile(values, [25, 50, 75])
    return f"{form.format(q2)} ({form.format(q1)} - {form.format(q3)})"


def pin(pid, cpu):
    """Puts a process with all its threads on one processor, if there are two."""
    if os.cpu_count() < 2:
        return
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(tid), {cpu})
        except ProcessLookupError:
            pass


def wrk(url, seconds, connections=16, cpu=1):
    """Runs wrk with one thread; returns the number of requests that were answered well."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    if os.cpu_count() > 1:
        command = ["taskset", "-c", str(cpu), *command]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"wrk on {url}:\n{out}")
    return int(re.search(r"(\d+) requests in", out)[1])


class Nginx:
    """The peer of the request path: one worker, no access log, a constant body."""

    CONF = """daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
    uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
    server {{
        listen 127.0.0.1:{port};
        location = /healthz {{ return 200 "{body}"; }}
    }}
}}
"""

    def __init__(self, body):
        self.dir = tempfile.mkdtemp(prefix="sextant-bench-")
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/healthz"
        conf = pathlib.Path(self.dir, "nginx.conf")
        conf.write_text(self.CONF.format(dir=self.dir, port=self.port, body=body))
        self.proc = subprocess.Popen(["nginx", "-p", self.dir, "-c", str(conf)],
                                     stderr=subprocess.DEVNULL)
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children")
        end = time.monotonic() + 10
        while not children.read_text().split():
            if time.monotonic() > end:
                raise SystemExit("nginx has no worker after 10 s")
            time.sleep(0.01)
        self.worker = int(children.read_text().split()[0])

    def close(self):
        self.proc.terminate()
        self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def fdatasync_ms(folder, size, rounds=60):
    """Milliseconds of one write and fdatasync of `size` bytes over zeros that are there already, as
    the write-ahead log does it; one value a round."""
    path = pathlib.Path(folder, "fdatasync.probe")
    data, out = os.urandom(size), []
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.write(fd, bytes(size * rounds))
        os.fsync(fd)
        for i in range(rounds):
            start = time.perf_counter()
            os.pwrite(fd, data, i * size)
            os.fdatasync(fd)
            out.append((time.perf_counter() - start) * 1e3)
    finally:
        os.close(fd)
        path.unlink()
    return out


class Profile:
    """with Profile(pid) as p: ...; p.share(r"dot_.*") is the part of the process's time."""

    def __init__(self, pid, freq=1999):
        self.dir = tempfile.mkdtemp(prefix="sextant-bench-")
        self.data = os.path.join(self.dir, "perf.data")
        self.perf = ["perf", "--buildid-dir", self.dir]
        self.command = [*self.perf, "record", "-q", "-e", "cpu-clock", "-F", str(freq),
                        "-p", str(pid), "-o", self.data]
        self.symbols = []

    def __enter__(self):
        self.proc = subprocess.Popen(self.command, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        return self

    def __exit__(self, kind, value, tb):
        self.proc.send_signal(2)
        self.proc.wait()
        out = subprocess.run([*self.perf, "report", "-i", self.data, "--stdio", "--no-children",
                              "-g", "none", "-F", "overhead,dso,sym"],
                             capture_output=True, text=True)
        for line in out.stdout.splitlines():
            m = re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(\S+)", line)
            if m:
                self.symbols.append((float(m[1]), m[2], m[4]))
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None and not self.symbols:
            raise SystemExit(f"perf saw nothing:\n{out.stderr}")

    def share(self, pattern):
        return sum(s[0] for s in self.symbols if re.fullmatch(pattern, s[2]))

    def top(self, n=4, but=r"\b\B"):
        """The largest others, as text."""
        rest = [s for s in self.symbols if not re.fullmatch(but, s[2])]
        return ", ".join(f"{s[2]} {s[0]:.1f}" for s in rest[:n])


def program(name, *args):
    """Output of a program of tests/bench."""
    return subprocess.run([str(BENCH / name), *map(str, args)], capture_output=True, text=True,
                          check=True).stdout


__all__ = ["BENCH", "Nginx", "Profile", "ROOT", "Table", "cpu_seconds", "fdatasync_ms", "median",
           "pin", "program", "spread", "wrk"]
