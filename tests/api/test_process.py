"""The process as operators see it: flags, exit codes, configuration sources, signals, modules.

Every test has a folder of its own and starts the server with nothing but what it says; the harness'
own settings are two free ports and the loopback address.
"""
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
from harness import Server, binary, free_ports

ROOT = pathlib.Path(__file__).resolve().parents[2]
WAIT = 60


def clean_env(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.upper().startswith(("QDRANT", "SEXTANT__"))}
    env.pop("RUN_MODE", None)
    env.update(extra or {})
    return env


def run(cwd, *args, env=None):
    """Runs the binary to its end: (exit code, stdout, stderr)."""
    r = subprocess.run([str(binary()), *args], cwd=cwd, env=clean_env(env), timeout=WAIT,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return r.returncode, r.stdout, r.stderr


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def served(tmp_path):
    """served(env, args=...) -> a running Server in tmp_path; ended with the test."""
    mine = []

    def make(env=None, **kw):
        s = Server(env, dir=tmp_path, **kw)
        mine.append(s)
        return s

    yield make
    for s in mine:
        if s.proc is not None and s.proc.poll() is None:
            s.proc.kill()
            s.proc.wait()


def wait_log(server, text):
    end = time.monotonic() + WAIT
    while text not in server.log_text():
        assert time.monotonic() < end, f"no {text!r} in\n{server.log_text()}"
        assert server.proc.poll() is None or text in server.log_text(), server.log_text()
        time.sleep(0.02)


def stop(server, sig):
    server.proc.send_signal(sig)
    return server.proc.wait(WAIT)


# --- command line ---------------------------------------------------------------------------------


def test_version(tmp_path):
    for flag in ("--version", "-V"):
        rc, out, err = run(tmp_path, flag)
        assert rc == 0 and err == ""
        first, second = out.splitlines()
        assert first == "qdrant 1.20.0"
        assert re.fullmatch(r"sextant \d+\.\d+\.\d+", second)


def test_help(tmp_path):
    for flag in ("--help", "-h"):
        rc, out, _ = run(tmp_path, flag)
        assert rc == 0
        for name in ("--uri", "--bootstrap", "--snapshot", "--force-snapshot", "--storage-snapshot",
                     "--config-path", "--disable-telemetry", "--stacktrace", "--reinit",
                     "--version", "--check-config", "--print-defaults", "--check",
                     "--list-plugins"):
            assert name in out
        assert "--collection-snapshot" not in out


def test_stacktrace(tmp_path):
    assert run(tmp_path, "--stacktrace") == (0, "", "")


@pytest.mark.parametrize("args,text", [
    (["--nope"], "error: unexpected argument '--nope' found"),
    (["--nope=1"], "error: unexpected argument '--nope' found"),
    (["-x"], "error: unexpected argument '-x' found"),
    (["word"], "error: unexpected argument 'word' found"),
    (["--enable-tls"], "error: unexpected argument '--enable-tls' found"),
    (["--uri"], "error: a value is required for '--uri <URI>' but none was supplied"),
    (["--config-path", "--reinit"],
     "error: a value is required for '--config-path <PATH>' but none was supplied"),
    (["--uri", "a", "--uri", "b"],
     "error: the argument '--uri <URI>' cannot be used multiple times"),
])
def test_bad_command_line(tmp_path, args, text):
    rc, out, err = run(tmp_path, *args)
    assert rc == 2 and out == ""
    assert err.splitlines()[0] == text
    assert "Usage: " in err
    assert list(tmp_path.iterdir()) == []


# --- configuration errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("env,text", [
    ({"QDRANT__SERVICE__HTTP_PORT": "abc"},
     'invalid type: string "abc", expected an integer for key `service.http_port` in the '
     'environment'),
    ({"QDRANT__SERVICE__HTTP_PORT": "70000"},
     'invalid type: 64-bit unsigned integer `70000`, expected an unsigned 16 bit integer for key '
     '`service.http_port`'),
    ({"QDRANT__SERVICE__HTTP_PORT": ""},
     'invalid type: string "", expected an integer for key `service.http_port` in the environment'),
    ({"QDRANT__SERVICE__ENABLE_CORS": "maybe"},
     'invalid type: string "maybe", expected a boolean for key `service.enable_cors` in the '
     'environment'),
    ({"QDRANT__STORAGE__NODE_TYPE": "normal"},
     'enum NodeType does not have variant constructor normal for key `storage.node_type`'),
])
def test_bad_environment(tmp_path, env, text):
    assert run(tmp_path, env=env) == (1, "", f"Error: {text}\n")


@pytest.mark.parametrize("yaml,text", [
    ("service:\n  http_port: [\n",
     "while parsing a node, did not find expected node content at byte 24 line 3 column 1 in "
     "config/config.yaml"),
    ("service:\n", 'missing configuration field "service.host"'),
    ("service: {max_request_size_mb: null}\n",
     "invalid type: unit value, expected an integer for key `service.max_request_size_mb` in "
     "config/config.yaml"),
    ("storage: {optimizers: {indexing_threshold: 1}}\n",
     "duplicate field `indexing_threshold` for key `storage.optimizers`"),
    ("storage: {hnsw_index: {full_scan_threshold: 1}}\n",
     "duplicate field `full_scan_threshold` for key `storage.hnsw_index`"),
])
def test_bad_file(tmp_path, yaml, text):
    write(tmp_path / "config/config.yaml", yaml)
    assert run(tmp_path) == (1, "", f"Error: {text}\n")
    assert run(tmp_path, "--check-config") == (1, "", f"Error: {text}\n")


def test_check_config(tmp_path):
    write(tmp_path / "config/config.yaml",
          "service:\n  foo: 1\n  hide_jwt_dashboard: true\nbar: 2\n"
          "storage: {optimizers: {deleted_threshold: 2}}\n")
    rc, out, err = run(tmp_path, "--check-config", env={"QDRANT__SERVICE__FOO2": "1"})
    assert rc == 0 and err == ""
    assert "- service.foo (config/config.yaml:2)" in out
    assert "- bar (config/config.yaml:4)" in out
    assert "- service.foo2 (the environment)" in out
    assert ("- storage.optimizers.deleted_threshold: value 2.0 invalid, must be from 0.0 to 1.0"
            in out)
    assert "The configuration is valid: 3 unknown keys, 1 values out of range" in out


def test_print_defaults(tmp_path):
    rc, out, err = run(tmp_path, "--print-defaults")
    assert rc == 0 and err == ""
    assert "\n  http_port: 6333\n" in out
    write(tmp_path / "config/config.yaml", out)
    rc, out2, _ = run(tmp_path, "--check-config")
    assert rc == 0
    assert "The configuration is valid: 0 unknown keys, 0 values out of range, 0 keys not" in out2
    assert run(tmp_path, "--print-defaults")[1] == out


def test_plugin_section_is_strict(tmp_path):
    write(tmp_path / "config/config.yaml", "plugins:\n  engine:\n    no_such_key: 1\n")
    rc, _, err = run(tmp_path, "--check-config")
    assert rc == 1
    assert "Error: unknown key plugins.engine.no_such_key (config/config.yaml:3)" in err
    rc, out, _ = run(tmp_path)
    assert rc == 1
    assert "unknown key plugins.engine.no_such_key (config/config.yaml:3)" in out


# --- sources ----------------------------------------------------------------------------------------


def answers(port):
    try:
        con = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        con.request("GET", "/")
        return con.getresponse().status == 200
    except OSError:
        return False


class Bare(Server):
    """A server with no settings but those given: ports come from files."""

    def environment(self):
        return clean_env({k: str(v) for k, v in self.settings.items()})


@pytest.fixture
def bare(tmp_path):
    mine = []

    def make(env=None, **kw):
        s = Bare(env, dir=tmp_path, **kw)
        mine.append(s)
        return s

    yield make
    for s in mine:
        if s.proc is not None and s.proc.poll() is None:
            s.proc.kill()
            s.proc.wait()


def test_precedence(bare, tmp_path):
    ports = free_ports(6)
    service = "service: {{host: 127.0.0.1, grpc_port: null, http_port: {}}}\n"
    steps = [
        (tmp_path / "config/config.yaml", {}, ()),
        (tmp_path / "config/staging.yml", {"RUN_MODE": "staging"}, ()),
        (tmp_path / "config/local.yaml", {"RUN_MODE": "staging"}, ()),
        (tmp_path / "extra.yaml", {"RUN_MODE": "staging"}, ("--config-path", "extra.yaml")),
    ]
    for port, (path, env, args) in zip(ports, steps):
        write(path, service.format(port))
        s = bare(env, port=port, args=args)
        assert answers(port)
        assert stop(s, signal.SIGTERM) == 0
    args = ("--config-path", "extra.yaml")
    s = bare({"RUN_MODE": "staging", "QDRANT__SERVICE__HTTP_PORT": ports[4]}, port=ports[4],
             args=args)
    assert answers(ports[4])
    assert stop(s, signal.SIGTERM) == 0
    s = bare({"RUN_MODE": "staging", "QDRANT__SERVICE__HTTP_PORT": ports[4],
              "SEXTANT__SERVICE__HTTP_PORT": ports[5]}, port=ports[5], args=args)
    assert answers(ports[5]) and not answers(ports[4])
    assert stop(s, signal.SIGTERM) == 0


def test_files_of_other_kinds_are_not_read(served, tmp_path):
    write(tmp_path / "config/config.json", '{"service": {"http_port": "x"}}')
    write(tmp_path / "config/config.toml", "broken = [")
    s = served()
    assert "WARN" in s.log_text() and "Config file not found: config/config\n" in s.log_text()


def test_missing_files_are_told_in_order(served):
    s = served(args=("--config-path", "nofile.yaml"))
    log = s.log_text()
    assert re.search(r"ERROR .*: Config file via --config-path is not found: nofile.yaml\n", log)
    assert re.search(r" WARN .*: Config file not found: config/config\n", log)
    assert re.search(r" WARN .*: Config file not found: config/development\n", log)
    assert "config/local" not in log
    assert log.index("--config-path") < log.index("config/config") < log.index("config/development")


def test_lower_case_variable(bare):
    port = free_ports(1)[0]
    s = bare({"qdrant__service__max_request_size_mb": 1, "QDRANT__SERVICE__HTTP_PORT": port},
             port=port)
    s.http.ok("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
    status, body = s.http("PUT", "/collections/c/points", b" " * 1100000,
                          {"content-type": "application/json"})
    assert status == 400
    assert "is larger than allowed (limit: 1048576 bytes)" in str(body)


def test_ranges_and_unknown_keys_do_not_stop(served, tmp_path):
    write(tmp_path / "config/config.yaml",
          "bar: 1\nstorage: {optimizers: {deleted_threshold: 2}}\nservice: {metrics_prefix: a-b}\n")
    s = served({"QDRANT__SERVICE__FOO": "1"})
    log = s.log_text()
    head = log.index("Settings configuration file has validation errors:")
    assert log.index("- storage.optimizers.deleted_threshold: value 2.0 invalid, must be from 0.0 "
                     "to 1.0") > head
    assert log.index("- service.metrics_prefix: Metrics prefix must be of all alphanumeric "
                     "characters, with an exception for '_'") > head


def test_compat_version(served):
    s = served({"SEXTANT__SEXTANT__COMPAT_VERSION": "1.19.7"})
    status, body = s.http("GET", "/")
    assert status == 200 and body["version"] == "1.19.7"
    assert "Version: 1.19.7, build: " in s.log_text()


# --- start ------------------------------------------------------------------------------------------


def test_banner_and_lines(served, tmp_path):
    s = served()
    log = s.log_text()
    assert re.search(r"^Version: 1\.20\.0, build: [0-9a-f]{8}$", log, re.M)
    assert f"Access web UI at http://localhost:{s.port}/dashboard\n" in log
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z  INFO \S+: Distributed mode disabled$",
                     log, re.M)
    assert "Telemetry reporting disabled" in log
    assert f"Qdrant HTTP listening on {s.port}" in log
    assert (tmp_path / "storage").is_dir()


def test_marker(served, tmp_path):
    s = served()
    wait_file(tmp_path / ".qdrant-initialized")
    assert (tmp_path / ".qdrant-initialized").read_bytes() == b""
    assert stop(s, signal.SIGTERM) == 0


def wait_file(path):
    end = time.monotonic() + WAIT
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_marker_path(served, tmp_path):
    served({"QDRANT_INIT_FILE_PATH": "marker"})
    wait_file(tmp_path / "marker")
    assert not (tmp_path / ".qdrant-initialized").exists()


def test_port_in_use(tmp_path):
    write(tmp_path / ".qdrant-initialized", "old")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        s = Server(dir=tmp_path, port=taken.getsockname()[1], start=False)
        s.spawn()
        assert s.proc.wait(WAIT) == 1
    assert "Error while starting REST server: Address already in use (os error 98)" in s.log_text()
    assert not (tmp_path / ".qdrant-initialized").exists()


def test_same_uri_and_bootstrap(served):
    s = served(args=("--uri", "http://a:6335", "--bootstrap=http://a:6335"))
    assert ("Bootstrap URI is the same as this peer URI. Consider this peer as a first in a new "
            "deployment.") in s.log_text()


def test_uri_from_the_environment(served):
    s = served({"QDRANT_URI": "http://a:6335", "QDRANT_BOOTSTRAP": "http://a:6335"})
    assert "Bootstrap URI is the same as this peer URI." in s.log_text()


def test_recovery_mode_is_told(tmp_path):
    s = Server({"storage.recovery_mode": "out of memory"}, dir=tmp_path, start=False)
    s.spawn()
    try:
        wait_log(s, "Qdrant is loaded in recovery mode: out of memory")
    finally:
        s.proc.kill()
        s.proc.wait()


@pytest.mark.parametrize("args,text", [
    (["--snapshot", "file"], "Collection name is missing: file"),
    (["--snapshot", "file:"], "Collection name is missing: file:"),
    (["--snapshot", ":c"], "Snapshot path is missing: :c"),
    (["--collection-snapshot", "file:a/b"], "Collection name must not contain slashes: a/b"),
    (["--snapshot", "f:c", "-f"], "Failed to recover snapshot"),
    (["--storage-snapshot", "file"], "Failed to recover snapshot"),
])
def test_snapshots_that_cannot_be_restored(tmp_path, args, text):
    rc, out, _ = run(tmp_path, *args, env={"QDRANT__SERVICE__HTTP_PORT": str(free_ports(1)[0])})
    assert rc == 101
    assert text in out.splitlines()[-1]


def test_cluster_without_consensus(tmp_path):
    rc, out, _ = run(tmp_path, env={"QDRANT__CLUSTER__ENABLED": "true"})
    assert rc == 1
    assert ("cluster.enabled is set, but no loaded module provides consensus; install a package "
            "sextant-plugin-<name> with a module consensus-<name>") in out


# --- keys -------------------------------------------------------------------------------------------


def test_key_warnings(served):
    s = served({"service.jwt_rbac": "true", "service.read_only_api_key": ""})
    assert "JWT RBAC configured but no API key set, JWT RBAC is not enabled" in s.log_text()
    assert ("Service read_only_api_key is set but empty, it is treated as unset and authentication "
            "may be disabled") in s.log_text()
    assert s.http("GET", "/collections")[0] == 200


def test_keys(served):
    s = served({"service.api_key": "secret", "service.read_only_api_key": "look"})
    for path in ("/", "/healthz", "/readyz"):
        assert s.http("GET", path)[0] == 200
    status, body = s.http("GET", "/collections")
    assert (status, body) == (401, "Must provide an API key or an Authorization bearer token")
    status, body = s.http("GET", "/collections", headers={"api-key": "wrong"})
    assert (status, body) == (401, "Invalid API key or JWT")
    create = {"vectors": {"size": 4, "distance": "Dot"}}
    for key in ({"api-key": "secret"}, {"Authorization": "Bearer secret"}):
        assert s.http("GET", "/collections", headers=key)[0] == 200
        assert s.http("PUT", "/collections/c", create, headers=key)[0] in (200, 409)
    look = {"api-key": "look"}
    assert s.http("GET", "/collections", headers=look)[0] == 200
    assert s.http("DELETE", "/collections/c", headers=look)[0] == 403
    assert s.http("GET", "/collections/c", headers=look)[0] == 200


def test_key_without_a_module_that_honours_it(tmp_path):
    rc, out, _ = run(tmp_path, env={"QDRANT__SERVICE__API_KEY": "secret",
                                    "SEXTANT__SEXTANT__DISABLE": "auth-apikey"})
    assert rc == 1
    assert "service.api_key is set, but no loaded module honours it" in out
    assert "with a module auth-<name> that does" in out


# --- stopping and reloading -------------------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stop(served, sig):
    s = served()
    s.http("GET", "/")  # leaves an idle connection open
    assert stop(s, sig) == 0
    assert not answers(s.port)


def test_stop_keeps_what_was_acknowledged(served):
    s = served()
    s.http.ok("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
    points = [{"id": i, "vector": [i, 1, 2, 3]} for i in range(100)]
    s.http.ok("PUT", "/collections/c/points?wait=false", {"points": points})
    assert stop(s, signal.SIGTERM) == 0
    s.http.close()
    s.start()
    assert s.http.ok("POST", "/collections/c/points/count", {"exact": True}) == {"count": 100}


def test_hangup_reloads(served, tmp_path):
    write(tmp_path / "config/local.yaml", "log_level: ERROR\n")
    s = served()
    assert "Distributed mode" not in s.log_text()
    write(tmp_path / "config/local.yaml", "log_level: INFO\n")
    s.proc.send_signal(signal.SIGHUP)
    wait_log(s, "Configuration reloaded")
    assert answers(s.port)
    write(tmp_path / "config/local.yaml", "log_level: [\n")
    s.proc.send_signal(signal.SIGHUP)
    wait_log(s, "Configuration not reloaded, the old one stays: while parsing")
    assert answers(s.port)
    assert stop(s, signal.SIGTERM) == 0


def test_hangup_takes_a_new_key(served, tmp_path):
    write(tmp_path / "config/local.yaml", "service: {api_key: first}\n")
    s = served()
    first, second = {"api-key": "first"}, {"api-key": "second"}
    assert s.http("GET", "/collections", headers=first)[0] == 200
    write(tmp_path / "config/local.yaml", "service: {api_key: second}\n")
    s.proc.send_signal(signal.SIGHUP)
    wait_log(s, "Configuration reloaded, 1 modules changed")
    assert s.http("GET", "/collections", headers=second)[0] == 200
    assert s.http("GET", "/collections", headers=first)[0] == 401


# --- log --------------------------------------------------------------------------------------------


def test_log_file_and_both_levels(served, tmp_path):
    write(tmp_path / "config/local.yaml",
          "log_level: ERROR\nlogger: {log_level: INFO, format: json,\n"
          "  on_disk: {enabled: true, log_file: own.log, log_level: INFO}}\n")
    s = served()
    assert ("Both top-level `log_level` and `logger.log_level` config directives are used. "
            "`logger.log_level` takes priority, so top-level `log_level` will be ignored.\n"
            ) in s.log_text()
    assert '"fields":{"message":"Distributed mode disabled"}' in s.log_text()
    assert stop(s, signal.SIGTERM) == 0
    assert "INFO" in (tmp_path / "own.log").read_text()


# --- modules ----------------------------------------------------------------------------------------


HEAD = r"""
#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"
static int mount(void *self, uint32_t i, const char **prefix, uint32_t *is_public)
{ (void)self; (void)i; (void)prefix; (void)is_public; return 0; }
static int serve(void *self, const struct sx_web_request *rq, struct sx_web_reply *r)
{ (void)self; (void)rq; (void)r; return SX_OK; }
static const struct sx_web_ops ops = {.size = sizeof(ops), .mount = mount, .serve = serve};
static const struct sx_provide provides[] = {
    {.size = sizeof(struct sx_provide), .kind = SX_KIND_WEB, .iface_version = SX_WEB_IFACE,
     .name = "try", .ops = &ops}};
"""
BODY = r"""
SX_PLUGIN(web_try, "web-try kinds=web abi=1.0") = {
    SX_PLUGIN_HEAD(web_try), .name = "web-try", .version = "3.2.1", .licence = "MIT",
    .summary = "a module of the tests", .provides = provides, .n_provides = 1, .flags = FLAGS,
    .needs = needs, .n_needs = sizeof(needs) / sizeof(needs[0])};
"""
SOFT = ("static const struct sx_need needs[] = {{.size = sizeof(struct sx_need), "
        '.kind = SX_KIND_INDEX, .name = "*"}};')


def compile_module(path, extra=SOFT, flags="0"):
    """A module of the file's name, web-<word>."""
    word = path.stem.removeprefix("web-")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(path.parent, 0o755)
    source = path.with_suffix(".c")
    source.write_text(re.sub(r'(?<=web.)try|(?<=")try(?=")', word, HEAD + extra + BODY))
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-fvisibility=hidden", "-o", path,
                    f"-DFLAGS={flags}", f"-I{ROOT}/sdk/include", source], check=True)
    os.chmod(path, 0o755)


def test_module_from_a_file(tmp_path, served):
    module = tmp_path / "mods/web-try.so"
    compile_module(module)
    listed = f"web-try                3.2.1      {module}  web:try"
    usual = [line.split()[0] for line in run(tmp_path, "--list-plugins")[1].splitlines()]
    write(tmp_path / "config/local.yaml", f"sextant: {{plugins: [{module}]}}\n")
    rc, out, _ = run(tmp_path, "--list-plugins")
    assert rc == 0 and listed in out
    write(tmp_path / "config/local.yaml",
          f"sextant: {{plugins: [web-try], plugin_dir: {module.parent}}}\n")
    rc, out, _ = run(tmp_path, "--list-plugins")
    assert rc == 0 and listed in out
    rc, out, _ = run(tmp_path, "--check")
    assert rc == 0 and "ok   web-try" in out
    # a name that is built in may be listed too, and must be where everything is a file
    names = ", ".join([*usual, "web-try"])
    write(tmp_path / "config/local.yaml",
          f"sextant: {{plugins: [{names}], plugin_dir: {module.parent}}}\n")
    s = served()
    assert answers(s.port)
    assert stop(s, signal.SIGTERM) == 0


def test_all_missing_modules_are_told(tmp_path):
    rc, out, _ = run(tmp_path, env={"SEXTANT__SEXTANT__PLUGINS": "index-nowhere,transport-grpcx"})
    assert rc == 1
    assert "module 'index-nowhere': " in out and "sextant-plugin-nowhere" in out
    assert "module 'transport-grpcx': " in out and "sextant-plugin-grpcx" in out


def test_garbage_and_loose_permissions(tmp_path):
    mods = tmp_path / "mods"
    garbage, loose, wide = mods / "web-a.so", mods / "web-b.so", tmp_path / "wide/web-try.so"
    compile_module(loose)
    compile_module(wide)
    garbage.write_bytes(b"no module at all")
    os.chmod(garbage, 0o644)
    os.chmod(loose, 0o777)
    os.chmod(wide.parent, 0o777)
    rc, out, _ = run(tmp_path, "--check",
                     env={"SEXTANT__SEXTANT__PLUGINS": f"{garbage},{loose},{wide}"})
    assert rc == 1
    lines = dict(line[5:].split(": ", 1) for line in out.splitlines() if line.startswith("FAIL"))
    assert lines[str(garbage)] == "too short for an ELF file (16 bytes)"
    assert "may be written by others" in lines[str(loose)]
    assert f"directory {wide.parent} may be written by others" in lines[str(wide)]


def test_undefined_function_is_named(tmp_path):
    module = tmp_path / "mods/web-try.so"
    compile_module(module, "extern int nobody_has_this(void); int web_try_call(void); "
                   "__attribute__((visibility(\"default\"))) int web_try_call(void) "
                   "{ return nobody_has_this(); }" + SOFT)
    rc, out, _ = run(tmp_path, "--check", env={"SEXTANT__SEXTANT__PLUGINS": str(module)})
    assert rc == 1
    assert "undefined symbol: nobody_has_this" in out


def test_a_crash_while_probing_is_contained(tmp_path):
    good, bad = tmp_path / "mods/web-try.so", tmp_path / "bad/web-try.so"
    compile_module(good)
    compile_module(bad, "#include <stdlib.h>\n__attribute__((constructor)) static void die(void) "
                   "{ abort(); }\n" + SOFT)
    rc, out, _ = run(tmp_path, "--check", env={"SEXTANT__SEXTANT__PLUGINS": f"{bad},{good}"})
    assert rc == 1
    assert f"FAIL {bad}: died of signal 6" in out
    assert f"ok   {good}" in out


def test_module_with_an_unmet_need(tmp_path):
    module = tmp_path / "mods/web-try.so"
    compile_module(module, SOFT.replace('"*"', '"nobody", .strength = SX_NEED_HARD'))
    rc, out, _ = run(tmp_path, env={"SEXTANT__SEXTANT__PLUGINS": str(module)})
    assert rc == 1
    assert "module 'web-try' needs index 'nobody', which no loaded module provides" in out
    assert "sextant-plugin-nobody" in out


FAILING = SOFT + r"""
static int bad(void *self, struct sx_err *err)
{ (void)self; err->code = CODE; __builtin_strcpy(err->msg, "no luck today"); return CODE; }
__attribute__((unused))
static int bad_thread(void *self, void *th, struct sx_loop *loop, struct sx_err *err)
{ (void)th; (void)loop; return bad(self, err); }
"""


@pytest.mark.parametrize("callback,code,rc", [
    (".start = bad", "SX_EIO", 1),
    (".start = bad", "SX_EPRECOND", 101),
    (".start = bad", "SX_ECORRUPT", 101),
    (".thread_start = bad_thread", "SX_EIO", 1),
])
def test_module_that_fails_to_start(tmp_path, callback, code, rc):
    module = tmp_path / "mods/web-try.so"
    compile_module(module, FAILING.replace("CODE", code), flags=f"0, {callback}")
    got, out, err = run(tmp_path, env={
        "SEXTANT__SEXTANT__PLUGINS": str(module),
        "QDRANT__SERVICE__HTTP_PORT": str(free_ports(1)[0])})
    assert got == rc
    assert "no luck today" in out and err == ""
    assert "listening" not in out
    assert not (tmp_path / ".qdrant-initialized").exists()


SPEAKING = SOFT + r"""
#include <unistd.h>
#define SAY(what) ((void)!write(STDERR_FILENO, "NAME " what "\n", sizeof("NAME " what)))
static int load(const struct sx_host *host, void *self, struct sx_err *err)
{ (void)host; (void)self; (void)err; SAY("load"); CRASH; return SX_OK; }
static int configure(void *self, const void *conf, struct sx_err *err)
{ (void)self; (void)conf; SAY("configure"); err->code = CONFIGURE;
  __builtin_strcpy(err->msg, "not like this"); return CONFIGURE; }
static int start(void *self, struct sx_err *err)
{ (void)self; SAY("start"); err->code = SX_EIO; __builtin_strcpy(err->msg, "no luck"); return SX_EIO; }
static void stop(void *self) { (void)self; SAY("stop"); }
"""


def speaking(path, configure="SX_OK", crash="0"):
    source = SPEAKING.replace("NAME", path.stem).replace("CONFIGURE", configure)
    compile_module(path, source.replace("CRASH", crash),
                   flags="0, .load = load, .configure = configure, .start = start, .stop = stop")
    return path


def spoken(err, *paths):
    return [tuple(line.split()) for line in err.splitlines()
            if line.split()[0] in [p.stem for p in paths]]


def test_check_goes_up_to_configure(tmp_path):
    """load and configure in order, stop in reverse, start of none; nothing is left behind."""
    a, b = speaking(tmp_path / "mods/web-a.so"), speaking(tmp_path / "mods/web-b.so")
    before = sorted(tmp_path.iterdir())
    rc, out, err = run(tmp_path, "--check", env={"SEXTANT__SEXTANT__PLUGINS": f"{a},{b}"})
    assert rc == 0, out + err
    assert re.search(r"^\d+ modules fit together$", out, re.M)
    assert spoken(err, a, b) == [("web-a", "load"), ("web-a", "configure"), ("web-b", "load"),
                                 ("web-b", "configure"), ("web-b", "stop"), ("web-a", "stop")]
    assert sorted(tmp_path.iterdir()) == before


def test_check_tells_what_configure_refuses(tmp_path):
    """All refusals are told; stop is called for the modules that were configured, and only those."""
    a, b, c = [speaking(tmp_path / f"mods/web-{n}.so", configure=code)
               for n, code in (("a", "SX_EINPUT"), ("b", "SX_OK"), ("c", "SX_EINPUT"))]
    rc, out, err = run(tmp_path, "--check", env={"SEXTANT__SEXTANT__PLUGINS": f"{a},{b},{c}"})
    assert rc == 1 and "fit together" not in out
    assert "Error: module 'web-a': not like this" in err
    assert "Error: module 'web-c': not like this" in err
    assert [x for x in spoken(err, a, b, c) if x[1] == "stop"] == [("web-b", "stop")]


def test_check_tells_what_a_start_would(tmp_path):
    rc, _, err = run(tmp_path, "--check", env={"QDRANT__SERVICE__ENABLE_TLS": "true"})
    assert rc == 1 and "module 'transport-rest': service.enable_tls" in err
    rc, _, err = run(tmp_path, "--check", env={"QDRANT__CLUSTER__ENABLED": "true"})
    assert rc == 1 and "no loaded module provides consensus" in err
    rc, _, err = run(tmp_path, "--check", env={"QDRANT__SERVICE__API_KEY": "secret",
                                               "SEXTANT__SEXTANT__DISABLE": "auth-apikey"})
    assert rc == 1 and "service.api_key is set, but no loaded module honours it" in err
    assert run(tmp_path, "--check")[0] == 0


@pytest.mark.parametrize("how,text", [
    ("__builtin_trap()", r"died of signal \d+ \(.*\)"),
    ("_exit(5)", r"ended the process with code 5"),
])
def test_check_outlives_a_module(tmp_path, how, text):
    a, b = speaking(tmp_path / "mods/web-a.so"), speaking(tmp_path / "mods/web-b.so", crash=how)
    rc, out, _ = run(tmp_path, "--check", env={"SEXTANT__SEXTANT__PLUGINS": f"{a},{b}"})
    assert rc == 1 and f"ok   {a}" in out and f"ok   {b}" in out
    assert re.search(rf"^FAIL web-b: {text} in load\(\)$", out, re.M), out


def test_stop_after_a_start_that_failed(tmp_path):
    """Of the module that failed, and of the one whose start was never called."""
    a, b = speaking(tmp_path / "mods/web-a.so"), speaking(tmp_path / "mods/web-b.so")
    rc, out, err = run(tmp_path, env={"SEXTANT__SEXTANT__PLUGINS": f"{a},{b}"})
    assert rc == 1 and "no luck" in out
    assert spoken(err, a, b)[4:] == [("web-a", "start"), ("web-b", "stop"), ("web-a", "stop")]


def test_test_modules_need_permission(tmp_path):
    module = tmp_path / "mods/web-try.so"
    compile_module(module, flags="SX_PLUGIN_TEST_ONLY")
    env = {"SEXTANT__SEXTANT__PLUGINS": str(module)}
    rc, _, err = run(tmp_path, "--list-plugins", env=env)
    assert rc == 1 and "allow_test_plugins" in err
    env["SEXTANT__SEXTANT__ALLOW_TEST_PLUGINS"] = "true"
    rc, out, _ = run(tmp_path, "--list-plugins", env=env)
    assert rc == 0 and str(module) in out


def test_file_name_must_be_the_module_name(tmp_path):
    module = tmp_path / "mods/web-try.so"
    compile_module(module)
    other = module.with_name("web-other.so")
    module.rename(other)
    rc, _, err = run(tmp_path, "--list-plugins", env={"SEXTANT__SEXTANT__PLUGINS": str(other)})
    assert rc == 1 and "no module descriptor 'web-other'" in err


def test_listed_modules(tmp_path):
    rc, out, err = run(tmp_path, "--list-plugins")
    assert rc == 0 and err == ""
    names = [line.split()[0] for line in out.splitlines()]
    assert {"engine", "distance-basic", "transport-rest"} <= set(names)
    assert names.index("distance-basic") < names.index("engine") < names.index("transport-rest")
