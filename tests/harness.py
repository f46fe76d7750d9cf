"""Starts the real server for tests: one process in a folder of its own, on free ports.

Used by every Python test of the tree (tests/api, tests/corpus, tests/fault, scripts/demo, scripts/bench).
The binary is SEXTANT_BIN, default build/release/sextant. A server is a process group of one process
that this file started; it is only ever ended by its own id.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def binary():
    path = pathlib.Path(os.environ.get("SEXTANT_BIN", ROOT / "build/release/sextant")).resolve()
    if not path.is_file():
        raise SystemExit(f"no server binary at {path} (set SEXTANT_BIN or run scripts/build)")
    return path


def free_ports(n):
    """n ports that were free a moment ago, all held open while they are chosen so that they differ."""
    held = []
    for _ in range(n):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        held.append(s)
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Http:
    """A keep-alive connection that answers (status, body). Opens itself again after it was closed."""

    def __init__(self, port, headers=None, timeout=60):
        self.port, self.headers, self.timeout = port, headers or {}, timeout
        self.con = None

    def raw(self, method, path, body=None, headers=None):
        if self.con is None:
            self.con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self.con.connect()
            self.con.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.con.request(method, path, body, {**self.headers, **(headers or {})})
            rsp = self.con.getresponse()
            return rsp.status, rsp.read()
        except Exception:
            self.close()
            raise

    def __call__(self, method, path, body=None, headers=None):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        status, data = self.raw(method, path, body, headers)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode("utf-8", "replace")

    def ok(self, method, path, body=None):
        """The result of a call that must succeed."""
        status, answer = self(method, path, body)
        if status != 200 or not isinstance(answer, dict) or answer.get("status") != "ok":
            raise AssertionError(f"{method} {path}: {status} {str(answer)[:400]}")
        return answer["result"]

    def close(self):
        if self.con is not None:
            self.con.close()
            self.con = None


class Server:
    """with Server() as s: s.http.ok("GET", "/collections")

    env: settings by dotted key ("service.api_key") or variable name. dir: an existing folder is used
    and kept, None makes a temporary one that goes away with the object.
    """

    def __init__(self, env=None, dir=None, start=True, port=None, args=()):
        self.own_dir = dir is None
        self.dir = pathlib.Path(dir or tempfile.mkdtemp(prefix="sextant-test-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        ports = free_ports(2)
        self.port = port or ports[0]
        self.grpc_port = ports[1]
        self.settings = dict(env or {})
        self.args = list(args)
        self.proc = None
        self.log_path = self.dir / "server.log"
        self.http = Http(self.port)
        if start:
            self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self):
        return self.dir / "storage"

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("QDRANT_", "SEXTANT__"))}
        env.pop("RUN_MODE", None)
        settings = {
            "service.host": "127.0.0.1",
            "service.http_port": self.port,
            "service.grpc_port": self.grpc_port,
            "storage.storage_path": "./storage",
            "storage.snapshots_path": "./snapshots",
            "telemetry_disabled": "true",
            **self.settings,
        }
        for k, v in settings.items():
            if not k.isupper():
                k = "QDRANT__" + k.replace(".", "__").upper()
            env[k] = str(v)
        return env

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(
                [str(binary()), *self.args], cwd=self.dir, env=self.environment(), stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def start(self, timeout=60):
        """Spawns and waits until the server takes traffic."""
        self.spawn()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60, path="/readyz"):
        end = time.monotonic() + timeout
        while True:
            if self.proc.poll() is not None:
                raise AssertionError(f"the server ended with {self.proc.returncode}\n{self.log()}")
            try:
                con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                con.request("GET", path)
                status = con.getresponse().status
                con.close()
                if status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not ready after {timeout} s\n{self.log()}")
            time.sleep(0.003)

    def kill(self):
        """SIGKILL, as a crash."""
        if self.proc is not None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()
            self.proc = None
        self.http.close()

    def stop(self, timeout=60):
        """SIGTERM; returns the exit code."""
        self.http.close()
        if self.proc is None:
            return 0
        self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.send_signal(signal.SIGABRT)  # shows where it hangs
            self.proc.wait()
            raise AssertionError(f"no exit {timeout} s after SIGTERM\n{self.log()}")
        finally:
            self.proc = None
        return code

    def restart(self):
        code = self.stop()
        if code != 0:
            raise AssertionError(f"exit code {code}\n{self.log()}")
        return self.start()

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def log(self, lines=60):
        try:
            text = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(["--- server log ---"] + text[-lines:])

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def check_log(self):
        """Raises when a sanitizer or the panic report spoke."""
        text = self.log_text()
        for word in ("Sanitizer", "runtime error:", "PANIC", "panic:"):
            if word in text:
                raise AssertionError(f"{word!r} in the server's log\n{self.log(120)}")

    def close(self, check=True):
        """Ends the server, checks how it ended, removes the folder if it is ours."""
        try:
            if self.proc is not None:
                code = self.stop()
                if check and code != 0:
                    raise AssertionError(f"exit code {code}\n{self.log()}")
            if check:
                self.check_log()
        finally:
            if self.own_dir:
                shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind is not None:
            print(self.log(), file=sys.stderr)
        self.close(check=kind is None)


def cpu_seconds(pid):
    """utime + stime of a process and all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
