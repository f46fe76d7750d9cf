"""scripts/check-rooms finds what it is for: one violation in a small tree, one line that names it."""
import pytest

from conftest import ROOT, load_rooms, sh

rooms = load_rooms()

BAN = '#include "sextant/sx_ban.h"\n'
TREE = {
    "CMakeLists.txt": "set(SX_PLUGINS\n    index-flat storage-mmap engine)\n"
                      "set(SX_PLUGIN_COMMON storage-mmap:storage-common)\n",
    "kernel/loop.c": '/* https://example.org is no comment of its own */\n#include "loop.h"\n'
                     '#include <event2/event.h>\n#include <stdio.h>\n',
    "kernel/loop.h": '/* a file */\n#ifndef SX_KERNEL_LOOP_H\n#define SX_KERNEL_LOOP_H\n'
                     '#include "sextant/sx_base.h"\n#endif\n',
    "kernel/conf_tree.c": "#include <yaml.h>\n",
    "kernel/loader.c": '#include <dlfcn.h>\n#include <ltdl.h>\nstatic const char *c = "//";\n',
    "kernel/panic.c": "#include <link.h>\n",
    "sdk/include/sextant/sx_base.h": "#ifndef SX_BASE_H\n#define SX_BASE_H\n#include <stdint.h>\n#endif\n",
    "sdk/include/sextant/sx_ban.h": "#ifndef SX_BAN_H\n#define SX_BAN_H\n#endif\n",
    "sdk/lib/json.c": '#include "priv.h"\n#include <nmmintrin.h>\n',
    "sdk/lib/priv.h": '#ifndef SX_LIB_PRIV_H\n#define SX_LIB_PRIV_H\n#include "sextant/sx_base.h"\n#endif\n',
    "sdk/fake/fake.c": '#include "sx_fake_host.h"\n',
    "sdk/fake/sx_fake_host.h": "#ifndef SX_FAKE_HOST_H\n#define SX_FAKE_HOST_H\n#endif\n",
    "sdk/suites/suite.c": '#include "sextant/sx_base.h"\n#include "sx_fake_host.h"\n',
    "sdk/check/check.c": '#include <dlfcn.h>\n#include "sx_fake_host.h"\n',
    "sdk/skeleton/index-mine/mine.c": '#include "mine.h"\n',
    "sdk/skeleton/index-mine/mine.h": '#ifndef MINE_MINE_H\n#define MINE_MINE_H\n'
                                      '#include "sextant/sx_base.h"\n#endif\n',
    "plugins/index-flat/flat.h": '#ifndef FLAT_FLAT_H\n#define FLAT_FLAT_H\n'
                                 '#include "sextant/sx_base.h"\n#endif\n',
    "plugins/index-flat/plugin.c": '#include "flat.h"\n\n#include <string.h>\n' + BAN,
    "plugins/storage-common/store.h": "#ifndef STORE_H\n#define STORE_H\n#endif\n",
    "plugins/storage-common/file.c": '#include "store.h"\n' + BAN,
    "plugins/storage-mmap/plugin.c": '#include "../storage-common/store.h"\n' + BAN,
    "plugins/engine/engine.h": "#ifndef ENG_ENGINE_H\n#define ENG_ENGINE_H\n#endif\n",
    "plugins/engine/plugin.c": '#include "engine.h"\n#include <roaring/roaring.h>\n' + BAN,
    "tests/unit/test_a.c": '#include <cmocka.h>\n#include <jansson.h>\n'
                           '#include "kernel/loop.h"\n#include "index-flat/flat.h"\n',
}


def lines_of(tmp_path, changes):
    for path, text in {**TREE, **changes}.items():
        f = tmp_path / path
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text(text)
    report = rooms.Report()
    rooms.check_sources(rooms.Tree(tmp_path), report)
    return report.lines


def add(path, line, at_end=False):
    old = TREE[path]
    return {path: old + line + "\n" if at_end else line + "\n" + old}


def test_right_tree(tmp_path):
    assert lines_of(tmp_path, {}) == []


@pytest.mark.parametrize("changes, finding", [
    # foreign headers
    (add("kernel/conf_tree.c", "#include <event2/event.h>"),
     "kernel/conf_tree.c:1: <event2/event.h> may be included by kernel/loop.c only"),
    (add("plugins/engine/plugin.c", "#  include <event2/buffer.h>"),
     "plugins/engine/plugin.c:1: <event2/buffer.h> may be included by kernel/loop.c only"),
    (add("kernel/loop.c", "#include <yaml.h>"),
     "kernel/loop.c:1: <yaml.h> may be included by kernel/conf_tree.c only"),
    (add("kernel/loop.c", "#include <ltdl.h>"),
     "kernel/loop.c:1: <ltdl.h> may be included by kernel/loader.c only"),
    (add("plugins/engine/plugin.c", "#include <dlfcn.h>"),
     "plugins/engine/plugin.c:1: <dlfcn.h> may be included by kernel/loader.c, sdk/check/, tests/ only"),
    (add("plugins/engine/plugin.c", "#include <jansson.h>"),
     "plugins/engine/plugin.c:1: <jansson.h> may be included by tests/ only"),
    (add("plugins/index-flat/plugin.c", "#include <roaring/roaring.h>"),
     "plugins/index-flat/plugin.c:1: <roaring/roaring.h> may be included by plugins/engine/, tests/ only"),
    (add("kernel/loop.c", "#include <curl/curl.h>"),
     "kernel/loop.c:1: <curl/curl.h> is in no list of scripts/check-rooms"),
    (add("sdk/lib/json.c", "#include <zlib.h>"),
     "sdk/lib/json.c:1: <zlib.h> is in no list of scripts/check-rooms"),
    # installed headers
    ({"sdk/include/sextant/sx_base.h":
      "#ifndef SX_BASE_H\n#define SX_BASE_H\n#include <stdio.h>\n#endif\n"},
     "sdk/include/sextant/sx_base.h:3: <stdio.h> in an installed header; they may have "
     "stdarg.h, stddef.h, stdint.h"),
    ({"sdk/include/sextant/sx_base.h":
      "#ifndef SX_BASE_H\n#define SX_BASE_H\n#include <immintrin.h>\n#endif\n"},
     "sdk/include/sextant/sx_base.h:3: <immintrin.h> may be included by kernel/cpu.c, sdk/lib/, "
     "plugins/ only"),
    ({"sdk/include/sextant/sx_base.h":
      '#ifndef SX_BASE_H\n#define SX_BASE_H\n#include "kernel/loop.h"\n#endif\n'},
     'sdk/include/sextant/sx_base.h:3: room sdk/include/sextant may not include "kernel/loop.h" '
     '(kernel/loop.h)'),
    # arrows between rooms
    (add("plugins/index-flat/plugin.c", '#include "kernel/loop.h"'),
     'plugins/index-flat/plugin.c:1: room plugins/index-flat may not include "kernel/loop.h" '
     '(kernel/loop.h)'),
    (add("plugins/index-flat/plugin.c", '#include "../engine/engine.h"'),
     'plugins/index-flat/plugin.c:1: room plugins/index-flat may not include "../engine/engine.h" '
     '(plugins/engine/engine.h)'),
    (add("plugins/index-flat/plugin.c", '#include "engine/engine.h"'),
     'plugins/index-flat/plugin.c:1: room plugins/index-flat may not include "engine/engine.h" '
     '(plugins/engine/engine.h)'),
    (add("plugins/engine/plugin.c", '#include "storage-common/store.h"'),
     'plugins/engine/plugin.c:1: room plugins/engine may not include "storage-common/store.h" '
     '(plugins/storage-common/store.h)'),
    (add("plugins/engine/plugin.c", '#include "../../sdk/lib/priv.h"'),
     'plugins/engine/plugin.c:1: room plugins/engine may not include "../../sdk/lib/priv.h" '
     '(sdk/lib/priv.h)'),
    (add("kernel/loop.c", '#include "plugins/engine/engine.h"'),
     'kernel/loop.c:1: room kernel may not include "plugins/engine/engine.h" (plugins/engine/engine.h)'),
    (add("sdk/lib/json.c", '#include "kernel/loop.h"'),
     'sdk/lib/json.c:1: room sdk/lib may not include "kernel/loop.h" (kernel/loop.h)'),
    (add("sdk/lib/json.c", '#include "sx_fake_host.h"'),
     'sdk/lib/json.c:1: room sdk/lib may not include "sx_fake_host.h" (sdk/fake/sx_fake_host.h)'),
    (add("sdk/fake/fake.c", '#include "../lib/priv.h"'),
     'sdk/fake/fake.c:1: room sdk/fake may not include "../lib/priv.h" (sdk/lib/priv.h)'),
    (add("sdk/skeleton/index-mine/mine.c", '#include "../../fake/sx_fake_host.h"'),
     'sdk/skeleton/index-mine/mine.c:1: room sdk/skeleton/index-mine may not include '
     '"../../fake/sx_fake_host.h" (sdk/fake/sx_fake_host.h)'),
    (add("kernel/loop.c", '#include "sdk/include/sextant/sx_base.h"'),
     'kernel/loop.c:1: "sdk/include/sextant/sx_base.h" must be spelled "sextant/sx_base.h"'),
    (add("kernel/loop.c", '#include "nowhere.h"'), 'kernel/loop.c:1: "nowhere.h" is found nowhere in the tree'),
    # what every file keeps
    (add("kernel/loop.c", "int x; // a comment", True), "kernel/loop.c:5: // comment"),
    (add("tests/unit/test_a.c", "// a comment"), "tests/unit/test_a.c:1: // comment"),
    (add("plugins/index-flat/plugin.c", '#include <stdio.h>', True),
     'plugins/index-flat/plugin.c: the last include of a module\'s source must be "sextant/sx_ban.h"'),
    ({"plugins/index-flat/plugin.c": '#include "flat.h"\n/* ' + BAN.strip() + " */\n"},
     'plugins/index-flat/plugin.c: the last include of a module\'s source must be "sextant/sx_ban.h"'),
    ({"kernel/loop.h": "#ifndef LOOP_H\n#define LOOP_H\n#endif\n"},
     "kernel/loop.h: include guard LOOP_H, should be SX_KERNEL_LOOP_H"),
    ({"plugins/index-flat/flat.h": "#ifndef SX_FLAT_H\n#define SX_FLAT_H\n#endif\n"},
     "plugins/index-flat/flat.h: include guard SX_FLAT_H, should be FLAT_FLAT_H"),
    ({"kernel/loop.h": "#pragma once\n"},
     "kernel/loop.h: does not begin with the include guard SX_KERNEL_LOOP_H"),
    ({"kernel/loop.h": "#ifndef SX_KERNEL_LOOP_H\n#define SX_KERNEL_LOP_H\n#endif\n"},
     "kernel/loop.h: does not begin with the include guard SX_KERNEL_LOOP_H"),
    # names and state
    (add("kernel/loop.c", 'static const char *n = "index-flat";', True),
     "kernel/loop.c:5: names the module 'index-flat'"),
    (add("sdk/lib/json.c", "extern int engine_LTX_sx_plugin;", True),
     "sdk/lib/json.c:3: names the module 'engine_LTX_sx_plugin'"),
    (add("plugins/index-flat/plugin.c", "static __thread int n;", True),
     "plugins/index-flat/plugin.c:5: '__thread': thread-local storage: ask for thread_size bytes"),
    (add("plugins/index-flat/plugin.c", "__attribute__((__constructor__)) static void f(void);", True),
     "plugins/index-flat/plugin.c:5: '__constructor__': constructors and destructors"),
    (add("plugins/index-flat/plugin.c", "static void f(void) { fork(); }", True),
     "plugins/index-flat/plugin.c:5: 'fork(': what changes or ends the process"),
    ({"plugins/index-new/new.c": BAN}, "plugins/index-new: has no prefix in scripts/check-rooms"),
])
def test_one_violation(tmp_path, changes, finding):
    assert lines_of(tmp_path, changes) == [finding]


@pytest.mark.parametrize("changes", [
    add("kernel/loop.c", "/* such as index-flat, or plugins/engine */"),
    add("kernel/loop.c", 'static const char *n = "index-flatter", *e = "engine";', True),
    add("plugins/index-flat/plugin.c", '/* __thread, fork() */ static const char *n = "abort()";', True),
    add("plugins/index-flat/plugin.c", "static void f(void) { eng_abort(1); }", True),
    add("tests/unit/test_a.c", '#include "../../sdk/lib/priv.h"'),
])
def test_no_violation(tmp_path, changes):
    assert lines_of(tmp_path, changes) == []


def test_command(tmp_path):
    """Exit code and form: one line a violation, then their number."""
    lines_of(tmp_path, {})
    r = sh(ROOT / "scripts/check-rooms", "--root", tmp_path)
    assert r.stdout.strip().endswith("files keep the rules")
    lines_of(tmp_path, {**add("kernel/loop.c", "// one"), **add("sdk/lib/json.c", "// two")})
    r = sh(ROOT / "scripts/check-rooms", "--root", tmp_path, check=False)
    assert r.returncode == 1
    assert r.stdout.splitlines() == ["kernel/loop.c:1: // comment", "sdk/lib/json.c:1: // comment",
                                     "2 violations"]


def test_this_tree():
    r = sh(ROOT / "scripts/check-rooms", check=False)
    assert r.returncode == 0, r.stdout
