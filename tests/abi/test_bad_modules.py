"""Modules that are wrong in every way, before the real server.

Whatever is wrong is named exactly, all failing modules are told and not only the first, the exit
code says so, and the process that asked survives: under --check even what crashes.
"""
import os
import random
import re
import shutil
import struct

import pytest

from conftest import ROOT, Run, module_names, sh

# Found by looking at the file or at its descriptor: the text behind the module's name, as a pattern.
CAUSES = {
    "bad-caps": r"distance 'BadCaps': unknown capability bits 0x10000000000",
    "bad-magic": r"not a descriptor: magic 0x315458455359",
    "lying-sizes": r"distance 'LyingSizes': its table says 4096 bytes, version 1 has \d+",
    "newer-abi": r"built for ABI 2\.0, this is 1\.\d+",
    "newer-minor": r"built for ABI 1\.999, this is 1\.\d+",
    "short-size": r"descriptor of \d+ bytes, ABI 1\.0 has \d+ to \d+",
    "undefined-symbol": r"undefined symbol: sextant_function_that_does_not_exist",
    "wrong-symbol": r"the file has no module descriptor 'wrong-symbol'",
}
# In order by themselves; what is wrong shows when modules are put together, loaded or mapped.
LATER = {"constructor-run", "crash-in-load", "duplicate-name-a", "duplicate-name-b", "missing-need"}


def modules_of(build, *names):
    return [str(build / "test-plugins" / f"{n}.so") for n in names]


def told(r, path, cause, start):
    """The one line about a module: by --check on a line of its own, at a start in the log."""
    text = (r"ERROR sextant::startup: module '%s': %s" if start else r"FAIL %s: %s")
    found = re.findall("^.*" + text % (re.escape(path), cause) + "$", r.stdout, re.M)
    assert len(found) == 1, (path, cause, r.stdout)


def test_every_module_is_expected():
    assert {m for m in module_names() if not m.startswith("null-")} == set(CAUSES) | LATER


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
@pytest.mark.parametrize("name", sorted(CAUSES))
def test_cause(run, shared, name, start):
    path, = modules_of(shared, name)
    r = run.start([path]) if start else run.check([path])
    assert r.returncode == 1, r.stdout
    told(r, path, CAUSES[name], start)


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
def test_all_are_told(run, shared, start):
    """Wrong files, wrong names and right modules in one list: exactly the wrong ones are told."""
    wrong = modules_of(shared, *sorted(CAUSES))
    right = modules_of(shared, "null-tokenizer", "null-objstore")
    missing = "/nowhere/index-mine.so"
    r = (run.start if start else run.check)([right[0], *wrong, missing, "transport-nothing", right[1]])
    assert r.returncode == 1, r.stdout
    for path, name in zip(wrong, sorted(CAUSES)):
        told(r, path, CAUSES[name], start)
    told(r, missing, "/nowhere/index-mine.so: No such file or directory", start)
    told(r, "transport-nothing", r"not built in, and no file transport-nothing\.so in .*; "
                                 r"install package sextant-plugin-nothing", start)
    failed = r"ERROR sextant::startup: module " if start else r"^FAIL "
    assert len(re.findall(failed, r.stdout, re.M)) == len(wrong) + 2, r.stdout


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_cause_under_sanitizers(checked, place, name):
    """Nothing behind a lying size, a foreign ABI or a null is read on the way to the refusal."""
    path, = modules_of(checked, name)
    run = Run(checked / "sextant", place)
    for start in (False, True):
        r = run.start([path]) if start else run.check([path])
        assert r.returncode == 1, r.stdout
        told(r, path, CAUSES[name], start)
        assert "Sanitizer" not in r.stdout and "runtime error" not in r.stdout, r.stdout


# --- right by themselves ---------------------------------------------------------------------------

STRICT = """#include "sextant/sx_plugin.h"
SX_PLUGIN(auth_strict, "auth-strict kinds= abi=%d.%d") = {SX_PLUGIN_HEAD(auth_strict),
    .flags = %s, .name = "auth-strict", .version = "1", .licence = "Apache-2.0",
    .summary = "a module of another build"};
"""


@pytest.mark.parametrize("strict", [True, False])
def test_strict_module_of_another_build(run, place, strict):
    """Only a module that says it shares more than the tables is bound to the server's own build."""
    header = (ROOT / "sdk/include/sextant/sx_plugin.h").read_text()
    version = [int(re.search(rf"SX_ABI_{w} +(\d+)", header).group(1)) for w in ("MAJOR", "MINOR")]
    src, path = place / "strict.c", place / "auth-strict.so"
    src.write_text(STRICT % (*version, "SX_PLUGIN_STRICT" if strict else "0"))
    sh("gcc", "-shared", "-fPIC", "-fvisibility=hidden", '-DSX_BUILD_ID="of-tomorrow"',
       "-I", ROOT / "sdk/include", "-Wl,-z,defs,-z,now,-z,nodelete", "-o", path, src)
    if strict:
        refused(run, path, "strict module of build 'of-tomorrow', this is build '[0-9a-f]{40}'")
    else:
        assert run.check([path]).returncode == 0


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
def test_missing_need(run, shared, start):
    path, = modules_of(shared, "missing-need")
    r = run.start([path]) if start else run.check([path])
    assert r.returncode == 1, r.stdout
    assert re.search(r"module 'missing-need' needs index 'of-which-nobody-heard', which no loaded "
                     r"module provides; install package sextant-plugin-of-which-nobody-heard",
                     r.stdout), r.stdout


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
def test_two_providers_of_one_name(run, shared, start):
    both = modules_of(shared, "duplicate-name-a", "duplicate-name-b")
    r = run.start(both) if start else run.check(both)
    assert r.returncode == 1, r.stdout
    assert re.search(r"distance 'Twin' is provided by both 'duplicate-name-a' and 'duplicate-name-b' "
                     r"with the same priority; choose one with sextant\.providers\.distance\.Twin",
                     r.stdout), r.stdout


def test_configuration_chooses_between_two(run, shared):
    both = modules_of(shared, "duplicate-name-a", "duplicate-name-b")
    r = run.check(both, providers="{distance: {Twin: duplicate-name-b}}")
    assert r.returncode == 0, r.stdout
    r = run.check(both, providers="{distance: {Twin: duplicate-name-c}}")
    assert r.returncode == 1 and "duplicate-name-c" in r.stdout, r.stdout


def test_one_module_twice(run, shared, place):
    path, = modules_of(shared, "null-tokenizer")
    copy = place / "null-tokenizer.so"
    shutil.copy(path, copy)
    r = run.check([path, str(copy)])
    assert r.returncode == 1, r.stdout
    assert f"module 'null-tokenizer' is loaded already, from {path}" in r.stdout, r.stdout


def test_crash_in_load_is_named(run, shared, release):
    """A module that crashes when it is called takes the server with it; the last words say who. Under
    --check it takes a child."""
    path, = modules_of(shared, "crash-in-load")
    r = run.start([path])
    assert r.returncode < 0, r.stdout
    assert re.search(r"^panic: SIG\w+ .* in crash-in-load$", r.stdout, re.M), r.stdout
    assert re.search(r"^  crash-in-load\.so\+0x", r.stdout, re.M), r.stdout
    r = run.check([path])
    assert r.returncode == 1 and f"ok   {path}" in r.stdout, r.stdout
    assert re.search(r"^FAIL crash-in-load: died of signal 11 \(.*\) in load\(\)$", r.stdout, re.M), r.stdout
    r = sh(release / "sextant-plugin-check", "--suite", path, check=False)
    assert r.returncode == 1 and re.search(r"dies of signal 11 .* while running the suites", r.stdout)


def test_checker_refuses_constructor_without_running_it(shared, release):
    path, = modules_of(shared, "constructor-run")
    r = sh(release / "sextant-plugin-check", "--suite", path, check=False)
    assert r.returncode == 1, r.stdout
    assert "has constructors" in r.stdout and "constructor ran" not in r.stdout, r.stdout


@pytest.mark.parametrize("name", sorted(set(CAUSES)))
def test_checker_names_the_cause(shared, release, name):
    """The author's tool says what the server would say (a file of another name is told as such)."""
    path, = modules_of(shared, name)
    r = sh(release / "sextant-plugin-check", path, check=False)
    want = r"does not export 'wrong_symbol_LTX_sx_plugin'" if name == "wrong-symbol" else CAUSES[name]
    assert r.returncode == 1 and re.search(want, r.stdout), r.stdout


def test_test_modules_need_leave(run, shared):
    path, = modules_of(shared, "duplicate-name-a")
    for r in (run.check([path], allow_test=False), run.start([path], allow_test=False)):
        assert r.returncode == 1, r.stdout
        assert f"module '{path}': is for tests only (sextant.allow_test_plugins is false)" in r.stdout


# --- files -----------------------------------------------------------------------------------------

@pytest.fixture
def good(release, place):
    """A copy of a real module in a proper folder; changed by each test in one way."""
    d = place / "modules"
    d.mkdir()
    d.chmod(0o755)
    path = d / "index-flat.so"
    shutil.copy(release / "lib/sextant/plugins-1/index-flat.so", path)
    path.chmod(0o644)
    return path


def refused(run, path, cause):
    for start in (False, True):
        r = run.start([path]) if start else run.check([path])
        assert r.returncode == 1, r.stdout
        told(r, str(path), cause, start)


def test_a_path_beats_the_built_in(run, good):
    r = run.check([good])
    assert r.returncode == 0 and f"ok   {good}" in r.stdout, r.stdout
    line, = [x for x in run([good], "--list-plugins").stdout.splitlines() if x.startswith("index-flat ")]
    assert str(good) in line
    line, = [x for x in run([], "--list-plugins").stdout.splitlines() if x.startswith("index-flat ")]
    assert "builtin" in line


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_file_that_others_may_write(run, good, mode):
    good.chmod(mode)
    refused(run, good, rf"file {good} may be written by others \(mode {mode:04o}\)")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_folder_that_others_may_write(run, good, mode):
    good.parent.chmod(mode)
    refused(run, good, rf"directory {good.parent} may be written by others \(mode {mode:04o}\)")


def test_owner(run, good):
    nobody = 65534
    os.chown(good, nobody, nobody)
    refused(run, good, f"file {good} belongs to user {nobody}; root or the user of the server must own it")
    os.chown(good, os.geteuid(), os.getegid())
    os.chown(good.parent, nobody, nobody)
    refused(run, good,
            f"directory {good.parent} belongs to user {nobody}; root or the user of the server must own it")


def test_owner_as_another_user(release, place, good):
    """A server without root takes what root owns and what it owns, nothing of a third user."""
    binary = place / "sextant"
    shutil.copy(release / "sextant", binary)
    run = Run(binary, place)
    nobody, third = 65534, 65533
    assert run.check([good], user=nobody).returncode == 0
    os.chown(good, nobody, nobody)
    assert run.check([good], user=nobody).returncode == 0
    os.chown(good, third, third)
    r = run.check([good], user=nobody)
    assert r.returncode == 1, r.stdout
    told(r, str(good), f"file {good} belongs to user {third}; root or the user of the server must own it",
         False)


def test_links_are_followed_first(run, good, place):
    """What counts is the file that a link leads to, and its folder; the link's name is the module's."""
    link = place / "index-flat.so"
    link.symlink_to(good)
    assert run.check([link]).returncode == 0
    good.chmod(0o666)
    refused(run, link, rf"file {good} may be written by others \(mode 0666\)")
    good.chmod(0o644)
    good.parent.chmod(0o777)
    refused(run, link, rf"directory {good.parent} may be written by others \(mode 0777\)")
    good.parent.chmod(0o755)
    other = place / "index-other.so"
    other.symlink_to(good)
    refused(run, other, "the file has no module descriptor 'index-other'")
    dangling = place / "index-gone.so"
    dangling.symlink_to(place / "nothing")
    refused(run, dangling, f"{dangling}: No such file or directory")


def test_linked_folder(run, good, place):
    link = place / "linked"
    link.symlink_to(good.parent)
    assert run.check([link / good.name]).returncode == 0
    good.parent.chmod(0o777)
    refused(run, link / good.name, rf"directory {good.parent} may be written by others \(mode 0777\)")


def test_not_a_regular_file(run, good):
    good.unlink()
    good.mkdir()
    refused(run, good, f"{good} is not a regular file")
    good.rmdir()
    os.mkfifo(good, 0o644)
    refused(run, good, f"{good} is not a regular file")  # and does not wait for a writer
    good.unlink()
    good.symlink_to("/dev/zero")
    refused(run, good, "/dev/zero is not a regular file")


def test_renamed_file(run, good):
    path = good.rename(good.parent / "index-mine.so")
    refused(run, path, "the file has no module descriptor 'index-mine'")


def test_libtool_files_are_not_read(run, good):
    """A .la file may name any library, with paths of its own: it is neither opened nor looked for."""
    la = good.parent / "index-lib.la"
    la.write_text(f"# index-lib.la - a libtool library file\ndlname='{good.name}'\n"
                  f"library_names='{good.name}'\ninstalled=yes\nlibdir='{good.parent}'\n")
    la.chmod(0o644)
    refused(run, la, "not an ELF file")
    r = run.check(["index-lib"], plugin_dir=f'"{good.parent}"')
    assert r.returncode == 1, r.stdout
    told(r, "index-lib", r"not built in, and no file index-lib\.so in .*", False)


def test_names_are_looked_for_in_the_folders_of_the_rules_only(run, good):
    path = good.rename(good.parent / "index-mine.so")
    env = {k: str(path.parent) for k in ("LD_LIBRARY_PATH", "LTDL_LIBRARY_PATH")}
    r = run.check(["index-mine"], env=env)
    assert r.returncode == 1, r.stdout
    told(r, "index-mine", r"not built in, and no file index-mine\.so in .*", False)
    for name in ("modules/index-mine.so", "./index-mine.so", "../modules/index-mine.so", ""):
        r = run.check([name])
        assert r.returncode == 1, r.stdout
        told(r, name, "'.*' is neither the name of a module nor an absolute path", False)
    r = run.check(["index-mine"], plugin_dir=f'"{path.parent}"')
    told(r, "index-mine", "the file has no module descriptor 'index-mine'", False)


@pytest.mark.parametrize("what", ["empty", "text", "32 bit", "foreign", "program"])
def test_no_module_at_all(run, good, what):
    data = good.read_bytes()
    text, cause = {
        "empty": (b"", r"too short for an ELF file \(0 bytes\)"),
        "text": (b"# nothing to load here\n" * 50, "not an ELF file"),
        "32 bit": (data[:4] + b"\x01" + data[5:], r"not a 64-bit file \(ELF class 1\)"),
        "foreign": (data[:18] + b"\xff\xff" + data[20:], r"for machine 65535, this is machine \d+"),
        "program": (data[:16] + b"\x02\x00" + data[18:], r"not a shared file \(ELF type 2\)"),
    }[what]
    good.write_bytes(text)
    refused(run, good, cause)


def test_foreign_code_does_not_run(run, place):
    """A file that is no module of ours is refused before its constructors are called."""
    src = place / "foreign.c"
    src.write_text('#include <unistd.h>\nint use(void); int use(void) { return 1; }\n'
                   '__attribute__((constructor)) static void early(void)\n'
                   '{ (void)!write(2, "constructor ran\\n", 16); }\n')
    path = place / "index-foreign.so"
    sh("gcc", "-shared", "-fPIC", "-o", path, src)
    refused(run, path, "the file has no module descriptor 'index-foreign'")
    for r in (run.check([path]), run.start([path])):
        assert "constructor ran" not in r.stdout, r.stdout


# --- damaged files -----------------------------------------------------------------------------------

def variants(good, contents):
    """One file of the module's name for each content, in folders of their own."""
    paths = []
    for i, data in enumerate(contents):
        d = good.parent / str(i)
        d.mkdir()
        d.chmod(0o755)
        path = d / good.name
        path.write_bytes(data)
        path.chmod(0o644)
        paths.append(path)
    return paths


def causes(r, paths, start):
    """What is said of each file, None for one that is right by itself."""
    pattern = r"ERROR sextant::startup: module '(.*?)': (.*)$" if start else r"^(?:FAIL|ok  ) (.*?)(?:: (.*))?$"
    said = dict(re.findall(pattern, r.stdout, re.M))
    return [said.get(str(p)) or None for p in paths]


@pytest.fixture
def small(good):
    """Without what only debuggers read, so that changes hit what counts."""
    sh("strip", good)
    return good


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
def test_a_file_cut_anywhere(run, small, start):
    """The dynamic linker maps what the headers promise and dies of what is not there."""
    data = small.read_bytes()
    paths = variants(small, [data[:n] for n in range(0, len(data), 64)])
    r = (run.start if start else run.check)(paths)
    assert r.returncode == 1, r.stdout[-2000:]
    for n, cause in enumerate(causes(r, paths, start)):
        assert cause and re.match("too short|the file is cut short|.* outside the file$", cause), (n, cause)


def dynamic_of(data, sections):
    """{tag: place of its value} of the dynamic section."""
    _, at, size = sections[".dynamic"]
    return {struct.unpack_from("<Q", data, i)[0]: i + 8 for i in range(at, at + size, 16)}


def sections_of(data):
    """{name: (address, place, size)}."""
    shoff, = struct.unpack_from("<Q", data, 40)
    n, names = struct.unpack_from("<HH", data, 60)
    heads = [struct.unpack_from("<IIQQQQ", data, shoff + 64 * i) for i in range(n)]
    text = data[heads[names][4]:]
    return {text[h[0]:text.index(b"\0", h[0])].decode(): h[3:6] for h in heads}


def left_alone(data):
    """Bytes that are not changed: code, what says which code runs on loading, and what the descriptor
    and its tables are made of. Nobody can tell those from what was meant."""
    sections, out = sections_of(data), set()

    def add(at, n):
        out.update(range(at, at + n))

    for name in (".init", ".plt", ".plt.got", ".plt.sec", ".text", ".fini", ".data.rel.ro", ".data"):
        if name in sections:
            add(*sections[name][1:])
    for tag, at in dynamic_of(data, sections).items():
        if tag in (12, 13):  # DT_INIT, DT_FINI
            add(at, 8)
    _, at, size = sections[".dynsym"]
    weak = {i for i in range(size // 24)
            if data[at + 24 * i + 4] >> 4 == 2 and data[at + 24 * i + 6:at + 24 * i + 8] == b"\0\0"}
    for i in weak:  # called at start and end if they are there, whatever they are
        add(at + 24 * i, 24)
    _, at, size = sections[".rela.dyn"]
    for i in range(at, at + size, 24):
        target, symbol = struct.unpack_from("<Q4xI", data, i)
        if symbol in weak:
            add(i, 24)
        for name in (".init_array", ".fini_array", ".data.rel.ro", ".data"):
            if name in sections and 0 <= target - sections[name][0] < sections[name][2]:
                add(i, 24)
    return out


def test_checker_on_a_damaged_file(release, small):
    data = bytearray(small.read_bytes())
    at = dynamic_of(data, sections_of(data))[0x6ffffff9]  # DT_RELACOUNT
    data[at:at + 8] = struct.pack("<Q", 1 << 40)
    for content, cause in ((data, "damaged file: a table of relocations"), (data[:5000], "the file is cut")):
        small.write_bytes(content)
        r = sh(release / "sextant-plugin-check", small, check=False)
        assert r.returncode == 1 and cause in r.stdout and "dies of" not in r.stdout, r.stdout


@pytest.mark.parametrize("start", [False, True], ids=["check", "start"])
def test_a_file_changed_anywhere(run, small, start):
    """500 files with one byte changed: each is told with a text or is right, none kills the server."""
    data, seed = small.read_bytes(), int(os.environ.get("SX_TEST_SEED", 7))
    print("seed", seed)
    rnd, frozen = random.Random(seed), left_alone(data)
    _, at, size = sections_of(data)[".dynamic"]
    contents = []
    while len(contents) < 500:
        # a third anywhere, a third in heads, names and relocations, a third in the dynamic section
        i = rnd.choice((rnd.randrange(len(data)), rnd.randrange(2048), at + rnd.randrange(size)))
        value = data[i] ^ 1 << rnd.randrange(8) if rnd.random() < 0.5 else rnd.randrange(256)
        if i not in frozen:
            contents.append(data[:i] + bytes([value]) + data[i + 1:])
    paths = variants(small, contents)
    r = (run.start if start else run.check)([*paths, "/nowhere/index-flat.so"])
    assert r.returncode == 1, r.stdout[-2000:]
    said = causes(r, paths, start)
    assert not [c for c in said if c and "died of" in c], [c for c in said if c and "died of" in c]
    damaged = [c for c in said if c and re.match("damaged file|.* outside the file$", c)]
    assert len(damaged) > 100, len(damaged)
    if not start:
        assert 100 < said.count(None) < 450


def test_missing_library(run, place):
    """The cause is the library, not "file not found"."""
    src = place / "part.c"
    src.write_text("int part(void); int part(void) { return 1; }\n")
    sh("gcc", "-shared", "-fPIC", "-o", place / "libpart.so", src)
    user = place / "user.c"
    user.write_text('#include "sextant/sx_plugin.h"\n'
                    'int part(void); int use(void); int use(void) { return part(); }\n'
                    'SX_PLUGIN(index_user, "index-user kinds= abi=1.0") = {SX_PLUGIN_HEAD(index_user)};\n')
    path = place / "index-user.so"
    sh("gcc", "-shared", "-fPIC", "-I", ROOT / "sdk/include", "-o", path, user, f"-L{place}", "-lpart")
    (place / "libpart.so").unlink()
    refused(run, path, "libpart.so: cannot open shared object file: No such file or directory")


def test_disable(run):
    r = run([], "--list-plugins", disable="[export-prometheus]")
    assert r.returncode == 0 and "engine " in r.stdout, r.stdout
    assert "export-prometheus" not in r.stdout, r.stdout
    r = run.check([], disable="[index-flat]")  # the engine cannot do without any index
    assert r.returncode == 1 and "module 'engine' needs " in r.stdout, r.stdout
    r = run.check([], disable="[index-nothing]")
    assert r.returncode == 1 and "sextant.disable names no built-in module" in r.stdout, r.stdout
