"""What the tests of the plugin boundary share: builds, configuration files, runs that must end.

Builds are made through scripts/build, each once a session. SEXTANT_BUILD, SEXTANT_BUILD_SHARED and
SEXTANT_BUILD_CHECKED name build folders that are there already and are then used as they are.
"""
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from harness import Server, free_ports  # noqa: E402


def load_rooms():
    """scripts/check-rooms as a module."""
    path = str(ROOT / "scripts/check-rooms")
    loader = importlib.machinery.SourceFileLoader("check_rooms", path)
    spec = importlib.util.spec_from_loader("check_rooms", loader)
    module = importlib.util.module_from_spec(spec)
    write = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = write
    return module


def sh(*cmd, cwd=None, env=None, check=True, timeout=900, **kw):
    """Runs a command to its end; output in .stdout, both streams in the order they came."""
    r = subprocess.run([str(c) for c in cmd], cwd=cwd, env=env, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                       errors="replace", timeout=timeout, **kw)
    if check and r.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, cmd))}: exit code {r.returncode}\n{r.stdout}")
    return r


def module_names():
    """Names of the modules in tests/plugins: null-* are right, all others wrong on purpose."""
    return sorted(p.stem.replace("_", "-") for p in (ROOT / "tests/plugins").glob("*.c"))


def build_of(variant, variable, *targets):
    given = os.environ.get(variable)
    if given:
        return pathlib.Path(given).resolve()
    sh("sh", "scripts/build", variant, *targets, cwd=ROOT, timeout=3600)
    return ROOT / "build" / variant


def testmods():
    return ["testmod-" + name.replace("-", "_") for name in module_names()]


@pytest.fixture(scope="session")
def release():
    """The folder of the Release build: server, modules as files, SDK."""
    return build_of("release", "SEXTANT_BUILD")


@pytest.fixture(scope="session")
def shared():
    """The same flags, with nothing built in, and the test modules."""
    modules = load_rooms().Tree(ROOT).modules
    return build_of("shared", "SEXTANT_BUILD_SHARED", "sextant", "sextant-plugin-check", *modules,
                    *testmods())


@pytest.fixture(scope="session")
def checked():
    """Server and test modules under the sanitizers: a read beyond a lying table is seen."""
    return build_of("checked", "SEXTANT_BUILD_CHECKED", "sextant", *testmods())


@pytest.fixture
def place():
    """A folder that only its owner may write to and everybody may enter, as vetting wants it;
    pytest's own cannot be entered by other users."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="sextant-abi-")).resolve()
    d.chmod(0o755)
    yield d
    shutil.rmtree(d)


class Run:
    """One server binary in one folder: modes that end by themselves, and starts that must fail.

    What it prints is in .stdout, what it did in .returncode (negative: a signal)."""

    def __init__(self, binary, place):
        self.binary, self.dir = pathlib.Path(binary), place / "run"
        self.dir.mkdir()
        self.dir.chmod(0o755)

    def config(self, plugins, allow_test=True, **more):
        port, grpc = free_ports(2)
        lines = ["log_level: INFO", "telemetry_disabled: true", "service:", "  host: 127.0.0.1",
                 f"  http_port: {port}", f"  grpc_port: {grpc}", "sextant:",
                 f"  allow_test_plugins: {str(allow_test).lower()}", "  plugins:"]
        lines += [f'    - "{p}"' for p in plugins]
        lines += [f'  {k}: {v}' for k, v in more.items()]
        path = self.dir / "config.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def __call__(self, plugins, *args, env=None, user=None, **conf):
        more = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("QDRANT_", "SEXTANT__", "LTDL_", "LD_"))}
        return sh(self.binary, "--config-path", self.config(plugins, **conf), *args, cwd=self.dir,
                  env={**clean, **(env or {})}, check=False, timeout=60, **more)

    def check(self, plugins, **kw):
        return self(plugins, "--check", **kw)

    def start(self, plugins, **kw):
        """A start that must fail by itself; one that serves is killed by the time limit."""
        return self(plugins, **kw)


@pytest.fixture
def run(release, place):
    return Run(release / "sextant", place)


@pytest.fixture
def serve(place, monkeypatch):
    """serve(binary, configuration text) -> a Server that is up. One binary a test; at its end all
    are stopped, and each must exit with 0."""
    servers = []

    def start(binary, text, **kw):
        path = place / f"serve-{len(servers)}.yaml"
        path.write_text(text)
        monkeypatch.setenv("SEXTANT_BIN", str(binary))
        servers.append(Server(args=["--config-path", str(path)], **kw))
        return servers[-1]

    yield start
    for s in servers:
        s.close()
