"""A server for tests that start thousands: spawned in a folder, asked over one plain socket.

Ports lie below the ephemeral range, so that nobody gets them by chance; a worker uses one again and
again. For anything that is started once, harness.Server is more comfortable.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time


def end_cleanly():
    """SIGTERM raises SystemExit, so that `finally` ends servers and removes folders."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def free_port():
    for _ in range(1000):
        port = random.SystemRandom().randrange(11000, 31000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise SystemExit("no free port between 11000 and 31000")


OLD = 1_000_000_000_000_000_000  # a time of change that nobody but us gives


def write_image(where, image, before=None):
    """{path: bytes, or None for a directory} as files below a folder.

    before: what was written there last, by this function. Files whose bytes are the same object, and
    which nobody changed since, stay as they are.
    """
    where = str(where)
    if before is None:
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where)
        before = {}
    else:
        _remove_others(where, "", image)
    for path, data in image.items():  # parents come first
        full = f"{where}/{path}"
        if data is None:
            if path not in before or not os.path.isdir(full):
                os.makedirs(full, exist_ok=True)
            continue
        if before.get(path) is data:
            try:
                st = os.stat(full)
                if st.st_mtime_ns == OLD and st.st_size == len(data):
                    continue
            except FileNotFoundError:
                pass
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            used = data.rstrip(b"\0")
            if used:
                os.write(fd, used)
            if len(used) != len(data):
                os.ftruncate(fd, len(data))
            os.utime(fd, ns=(OLD, OLD))
        finally:
            os.close(fd)


def _remove_others(where, prefix, image):
    with os.scandir(f"{where}/{prefix}") as entries:
        for e in list(entries):
            path, is_dir = prefix + e.name, e.is_dir(follow_symlinks=False)
            if path not in image or (image[path] is None) != is_dir:
                shutil.rmtree(e.path) if is_dir else os.unlink(e.path)
            elif is_dir:
                _remove_others(where, path + "/", image)


def read_image(where):
    """The counterpart of write_image()."""
    where, out = pathlib.Path(where), {}
    for path in sorted(where.rglob("*")):
        out[str(path.relative_to(where))] = None if path.is_dir() else path.read_bytes()
    return out


class Quick:
    def __init__(self, binary, env=None):
        self.binary, self.port = str(binary), free_port()
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("QDRANT_", "SEXTANT_")) and k != "RUN_MODE"}
        self.env.update({"QDRANT__SERVICE__HOST": "127.0.0.1", "QDRANT__TELEMETRY_DISABLED": "true",
                         "QDRANT__LOG_LEVEL": "WARN"})
        self.set(env or {})
        self.proc = self.sock = self.where = None

    def set(self, env):
        self.env.update({k: str(v) for k, v in env.items()})
        self.env["QDRANT__SERVICE__HTTP_PORT"] = str(self.port)
        self.env["QDRANT__SERVICE__GRPC_PORT"] = str(self.port + 1)

    def start(self, where, timeout=30):
        self.where = str(where)
        with open(f"{where}/server.log", "ab") as log:
            self.proc = subprocess.Popen([self.binary], cwd=self.where, env=self.env, stdout=log,
                                         stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        end = time.monotonic() + timeout
        while True:
            s = socket.socket()
            try:
                s.connect(("127.0.0.1", self.port))
                break
            except OSError:
                s.close()
            if self.proc.poll() is not None:
                code, self.proc = self.proc.returncode, None
                raise AssertionError(f"the server ended with {code} while starting")
            if time.monotonic() > end:
                raise AssertionError(f"no answer {timeout} s after the start")
            time.sleep(0.001)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(timeout)
        self.sock, self.rest = s, b""
        return self

    def send(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                          f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def receive(self):
        buf = self.rest
        while (at := buf.find(b"\r\n\r\n")) < 0:
            buf += self._more()
        head = buf[:at].lower()
        i = head.find(b"\r\ncontent-length:")
        n = int(head[i + 17:].split(b"\r\n", 1)[0]) if i >= 0 else 0
        parts, have = [buf[at + 4:]], len(buf) - at - 4
        while have < n:
            parts.append(self._more())
            have += len(parts[-1])
        data = b"".join(parts)
        self.rest = data[n:]
        body = data[:n]
        try:
            return int(head[9:12]), json.loads(body)
        except ValueError:  # not JSON, or bytes in it that are no text
            return int(head[9:12]), body

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise AssertionError("the server closed the connection")
        return data

    def get(self, method, path, body=None):
        """(status, answer)"""
        try:
            self.send(method, path, body)
            return self.receive()
        except OSError as e:
            raise AssertionError(f"{method} {path}: {e}; exit code {self.proc.poll()}")

    def ok(self, method, path, body=None):
        status, answer = self.get(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {str(answer)[:400]}")
        return answer["result"]

    def _disconnect(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def kill(self):
        """SIGKILL. Returns None, or the exit code when it had ended before."""
        self._disconnect()
        if self.proc is None:
            return None
        code = self.proc.poll()
        self.proc.kill()
        self.proc.wait()
        self.proc = None
        return code

    def stop(self, timeout=30):
        """SIGTERM. Returns the exit code."""
        self._disconnect()
        self.proc.terminate()
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise AssertionError(f"no exit {timeout} s after SIGTERM")
        finally:
            self.proc = None

    def log(self):
        try:
            return open(f"{self.where}/server.log", errors="replace").read()
        except OSError:
            return ""

    def check_log(self):
        text = self.log()
        for word in ("Sanitizer", "runtime error:", "PANIC", "panic:"):
            if word in text:
                raise AssertionError(f"{word!r} in the server's log")
