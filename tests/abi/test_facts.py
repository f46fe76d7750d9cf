"""The facts about what was built hold for the Release build and for the build of files only; and the
check that says so fails when they do not."""
import pytest

from conftest import ROOT, load_rooms, sh

rooms = load_rooms()


@pytest.mark.parametrize("variant", ["release", "shared"])
def test_facts(request, variant):
    build = request.getfixturevalue(variant)
    r = sh(ROOT / "scripts/check-rooms", "--facts", build, check=False)
    assert r.returncode == 0, r.stdout
    assert r.stdout.startswith("stripped: sextant ") and "engine.so " in r.stdout


def test_not_on_other_builds(tmp_path):
    (tmp_path / "CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=Debug\nSX_SANITIZE:STRING=\n")
    report = rooms.Report()
    rooms.check_facts(rooms.Tree(ROOT), tmp_path, report)
    assert len(report.lines) == 1 and "is not a Release build" in report.lines[0]


def test_loader_without_libltdl(tmp_path):
    """The plain dlopen loader compiles without warnings, names no libltdl, and finds a descriptor."""
    obj = tmp_path / "loader.o"
    sh("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-DSX_WITHOUT_LTDL=1", "-O2", "-fPIC", "-Wall", "-Wextra",
       "-Wshadow", "-Werror", "-I", ROOT / "sdk/include", "-I", ROOT, "-c", ROOT / "kernel/loader.c",
       "-o", obj)
    used = {name for kind, name in rooms.symbols(obj, "--undefined-only")}
    assert {"dlopen", "dlsym"} <= used and not [n for n in used if n.startswith("lt_")]


def test_server_without_libltdl(tmp_path, release, shared):
    """The server of that variant links no libltdl and takes the modules of another build."""
    build, plugins = tmp_path / "build", release / "lib/sextant/plugins-1"
    sh("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DSX_TESTS=OFF",
       "-DSX_WITHOUT_LTDL=ON", "-DSX_ALL_SHARED=ON", "-DSX_WERROR=ON", "-DCMAKE_C_FLAGS_DEBUG=-O0")
    sh("cmake", "--build", build, "--target", "sextant", "--", "-j", "2", timeout=1800)
    assert not [n for n in rooms.needed(build / "sextant") if "ltdl" in n]
    conf = tmp_path / "c.yaml"

    def server(settings, mode, code):
        conf.write_text(f"sextant: {{{settings}}}\n")
        r = sh(build / "sextant", "--config-path", conf, mode, cwd=tmp_path, check=False)
        assert r.returncode == code, r.stdout
        return r.stdout

    listed = server(f"plugin_dir: '{plugins}'", "--list-plugins", 0).splitlines()
    assert sorted(x.split()[0] for x in listed) == sorted(rooms.Tree(ROOT).modules)
    good, bad = plugins / "index-flat.so", shared / "test-plugins/wrong-symbol.so"
    assert f"ok   {good}" in server(f"plugins: ['{good}']", "--check", 0)
    assert "the file has no module descriptor 'wrong-symbol'" in server(f"plugins: ['{bad}']", "--check", 1)


# --- the check itself -----------------------------------------------------------------------------

GOOD = '#include "sextant/sx_plugin.h"\n' \
       'SX_PLUGIN(index_bad, "index-bad kinds=index abi=1.0") = {SX_PLUGIN_HEAD(index_bad), ' \
       '.name = "index-bad"};\n'
LINK = ["-Wl,-z,defs", "-Wl,-z,now", "-Wl,-z,nodelete"]


def file_of(tmp_path, source, *flags, link=LINK):
    src, out = tmp_path / "bad.c", tmp_path / "index-bad.so"
    src.write_text(source)
    sh("gcc", "-shared", "-fPIC", "-fvisibility=hidden", "-I", ROOT / "sdk/include", "-o", out, src,
       *link, *flags)
    return out


def findings(path, module="index-bad"):
    report = rooms.Report()
    rooms.check_module_file(path, module, report)
    return report.lines


def test_a_right_file_has_no_findings(tmp_path):
    assert findings(file_of(tmp_path, GOOD)) == []


@pytest.mark.parametrize("source, flags, link, finding", [
    (GOOD + '__attribute__((visibility("default"))) int more(void); int more(void) { return 1; }\n', [],
     LINK, "exports 'more'"),
    (GOOD.replace("index_bad,", "index_other,").replace("(index_bad)", "(index_other)"), [], LINK,
     "does not export 'index_bad_LTX_sx_plugin'"),
    (GOOD + "static int n;\n__attribute__((constructor)) static void early(void) { n = 1; }\n", [], LINK,
     "has constructors: INIT_ARRAYSZ is 16 bytes, without any it is 8"),
    (GOOD + "static __thread int n;\n"
            "__attribute__((used)) static int *at(void) { return &n; }\n", [], LINK,
     "has thread-local storage"),
    (GOOD + "void sx_klog(void); __attribute__((used)) static void say(void) { sx_klog(); }\n", [],
     LINK[1:], "imports 'sx_klog', which no library it names has: from the server?"),
    (GOOD, [], [LINK[0], "-Wl,-z,lazy", LINK[2]], "is not linked with -z now"),
    (GOOD, [], LINK[:2], "is not linked with -z nodelete"),
    (GOOD + "int yaml_parser_delete(void *); __attribute__((used)) static int y(void) { return "
            "yaml_parser_delete(0); }\n", ["-lyaml"], LINK, "links libyaml-0.so.2"),
], ids=["export", "descriptor", "constructor", "tls", "import", "now", "nodelete", "library"])
def test_a_wrong_file_is_found(tmp_path, source, flags, link, finding):
    lines = findings(file_of(tmp_path, source, *flags, link=link))
    assert f"index-bad.so: {finding}" in lines, lines
    assert all(finding in x or x.startswith(("index-bad.so: exports", "index-bad.so: does not export"))
               for x in lines), lines


def test_missing_section(tmp_path):
    path = file_of(tmp_path, GOOD)
    sh("objcopy", "--rename-section", ".sx_plugin=.other", path)
    assert findings(path) == ["index-bad.so: has no section .sx_plugin"]


def fake_build(tmp_path, kernel="", plugin="", sdk="int sx_base(void); int sx_base(void) { return 0; }\n",
               libs=()):
    """A tree of one module and a build of it: objects where CMake puts them, and a server."""
    build = tmp_path / "build"
    sources = {"obj-kernel": kernel + "int sx_kernel(void); int sx_kernel(void) { return 0; }\n",
               "obj-index-flat": plugin, "sextant-sdk": sdk, "sextant": "int main(void) { return 0; }\n"}
    objects = []
    for target, text in sources.items():
        d = build / "CMakeFiles" / f"{target}.dir"
        d.mkdir(parents=True)
        src = d / ("main.c" if target == "sextant" else target.replace("-", "_") + ".c")
        src.write_text(text)
        objects.append(d / (src.name + ".o"))
        sh("gcc", "-fPIC", "-w", "-c", src, "-o", objects[-1])
    sh("gcc", "-o", build / "sextant", *objects, "-Wl,--unresolved-symbols=ignore-all",
       "-Wl,--no-as-needed", *libs, cwd=tmp_path)
    root = tmp_path / "tree"
    (root / "plugins/index-flat").mkdir(parents=True)
    (root / "plugins/index-flat/flat.c").write_text("")
    (root / "CMakeLists.txt").write_text("set(SX_PLUGINS\n    index-flat)\n")
    return rooms.Tree(root), build


def test_right_objects(tmp_path):
    tree, build = fake_build(tmp_path, kernel="int sx_base(void); int puts(const char *);\n"
                                              "int sx_a(void) { puts(\"a\"); return sx_base(); }\n",
                             plugin="int flat_search(void) { return 1; } int index_flat_LTX_sx_plugin;\n")
    report = rooms.Report()
    rooms.check_kernel(build, rooms.check_objects(tree, build, report), report)
    rooms.check_server(tree, build, report)
    assert report.lines == []


@pytest.mark.parametrize("part, text, finding", [
    ("plugin", "int helper(void) { return 1; }",
     "index-flat: obj_index_flat.c.o defines 'helper', names of this room begin with flat_"),
    ("plugin", "int eng_search(void) { return 1; }",
     "index-flat: obj_index_flat.c.o defines 'eng_search', names of this room begin with flat_"),
    ("plugin", "int index_other_LTX_sx_plugin;",
     "index-flat: obj_index_flat.c.o defines 'index_other_LTX_sx_plugin', names of this room begin "
     "with flat_"),
    ("kernel", "int conf_get(void) { return 1; }",
     "kernel: obj_kernel.c.o defines 'conf_get', names of this room begin with sx_"),
    ("kernel", "__attribute__((weak)) int sx_base(void) { return 1; }",
     "sdk/lib: sextant_sdk.c.o defines 'sx_base', which kernel defines too"),
    ("kernel", "int flat_search(void); int sx_a(void) { return flat_search(); }",
     "kernel/obj_kernel.c: refers to 'flat_search' of module index-flat"),
    ("kernel", "int curl_easy_init(void); int sx_a(void) { return curl_easy_init(); }",
     "kernel/obj_kernel.c: refers to 'curl_easy_init' of no library it may use"),
])
def test_wrong_objects(tmp_path, part, text, finding):
    plugin = "int flat_search(void) { return 1; }\n"
    tree, build = fake_build(tmp_path, kernel=text if part == "kernel" else "",
                             plugin=plugin + (text if part == "plugin" else ""))
    report = rooms.Report()
    rooms.check_kernel(build, rooms.check_objects(tree, build, report), report)
    assert report.lines == [finding]


def test_forbidden_library(tmp_path):
    """One the server links, and one that only comes with another."""
    sh("gcc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", tmp_path / "libcurl.so.4",
       "-Wl,-soname,libcurl.so.4")
    sh("gcc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", tmp_path / "libother.so",
       "-Wl,-soname,libother.so", "-Wl,--no-as-needed", f"-L{tmp_path}", "-l:libcurl.so.4",
       f"-Wl,-rpath,{tmp_path}")
    tree, build = fake_build(tmp_path, libs=[f"-L{tmp_path}", "-lother", f"-Wl,-rpath,{tmp_path}"])
    report = rooms.Report()
    rooms.check_server(tree, build, report)
    assert report.lines == ["sextant: links libother.so", "sextant: is loaded with libcurl.so.4"]


def test_too_large(tmp_path, monkeypatch):
    tree, build = fake_build(tmp_path)
    monkeypatch.setattr(rooms, "STRIPPED_MAX", 1000)
    report = rooms.Report()
    rooms.check_server(tree, build, report)
    assert len(report.lines) == 1 and "bytes stripped, 1000 is the most" in report.lines[0]
