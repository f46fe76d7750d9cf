#!/usr/bin/env python3
"""Replays the recorded conversations against our server and compares with the list of those that pass.

    tests/corpus/run.py [-k TEXT] [-v] [--update] [FILE-PREFIX ...]

passing.txt holds one "file / name" a line and may only grow: a listed scenario that fails is a
failure. Unlisted ones that pass are counted; --update adds them. 04-auth runs against a server with
the recorded keys, 05-cluster is left to a server that forms clusters, the scenarios of 01-service
each get an empty server. superseded.json has the answers of later versions to steps of scenarios
whose behaviour has changed since they were recorded, each with the reason. The originals are looked for at SEXTANT_SHARED (default ../shared/corpus
beside the repository); a warning says when they are newer than the copies here.
"""
import argparse
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))
from harness import ROOT, Server  # noqa: E402
import replay  # noqa: E402

KEY = "corpus-secret-key-0123456789abcdef"
# The recordings are of 1.18 and 1.19: later additions to answers are told from 1.20 on only.
OPEN = {"sextant.compat_version": "1.19.0"}
AUTH = OPEN | {"service.api_key": KEY, "service.read_only_api_key": "corpus-read-only-key-0123456789ab"}
PASSING = HERE / "passing.txt"
SUPERSEDED = {x["scenario"]: x["answers"] for x in json.loads((HERE / "superseded.json").read_text())}
SKIP = ("05-cluster",)


def warn_if_older():
    origin = pathlib.Path(os.environ.get("SEXTANT_SHARED", ROOT.parent / "shared/corpus"))
    if not origin.is_dir():
        return
    for f in sorted(origin.glob("*.jsonl")) + [origin / "replay.py"]:
        mine = HERE / f.name
        if f.is_file() and (not mine.exists() or mine.read_bytes() != f.read_bytes()):
            print(f"warning: {f} differs from its copy in tests/corpus", file=sys.stderr)


def scenarios(prefixes=(), text="", only=None):
    for f in sorted(HERE.glob("*.jsonl")):
        if f.stem.startswith(SKIP) or (prefixes and not f.name.startswith(tuple(prefixes))):
            continue
        for line in f.read_text().split("\n"):
            if line.strip():
                sc = json.loads(line)
                for i, answer in SUPERSEDED.get(f"{f.stem} / {sc['name']}", {}).items():
                    sc["steps"][int(i) - 1]["r"] = answer
                if text in sc["name"] and (only is None or f"{f.stem} / {sc['name']}" in only):
                    yield f.stem, sc


def call_or_give_up(base, step, key, call=replay.call):
    """A step that waits for a state is not repeated for 30 s where the route does not exist yet."""
    status, answer = call(base, step, key)
    if "until" in step and status == 501:
        raise AssertionError(f"{step['m']} {step['p']}: 501 {json.dumps(answer)[:200]}")
    return status, answer


def fresh(server, key):
    """An empty server without the cost of a new process."""
    head = {"api-key": key} if key else {}
    status, answer = server.http("GET", "/collections", headers=head)
    for c in answer["result"]["collections"] if status == 200 else []:
        server.http("DELETE", f"/collections/{c['name']}", headers=head)


def run_all(found, verbose):
    """{"file / name": [problems]} in the order of the files."""
    replay.call = call_or_give_up
    out = {}
    server, kind = None, None
    try:
        for stem, sc in found:
            want = "auth" if stem.startswith("04-auth") else "open"
            key = KEY if want == "auth" else None
            if server is None or kind != want or not server.alive():
                if server is not None:
                    server.close(check=server.alive())
                server, kind = Server(AUTH if want == "auth" else OPEN), want
            name = f"{stem} / {sc['name']}"
            if stem == "01-service":
                fresh(server, key)
            try:
                problems = replay.run(server.url, sc, key, False, verbose)
            except Exception as e:  # noqa: BLE001 - whatever it was, the scenario failed
                problems = [f"  {type(e).__name__}: {e}"]
            if not server.alive():
                problems.append("  the server died\n" + server.log())
            out[name] = problems
            if problems and verbose:
                print("FAIL " + name, *problems[:8], sep="\n", flush=True)
    except BaseException:
        if server is not None:
            server.close(check=False)
        raise
    if server is not None:
        server.close(check=server.alive())
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("files", nargs="*", help="prefixes of file names, default all")
    ap.add_argument("-k", default="", help="only scenarios whose name contains this")
    ap.add_argument("-v", action="store_true", help="show every failure, listed or not")
    ap.add_argument("--update", action="store_true", help="add what passes to passing.txt")
    ap.add_argument("--listed", action="store_true", help="run the listed scenarios only")
    a = ap.parse_args()
    warn_if_older()
    listed = [x for x in PASSING.read_text().split("\n") if x] if PASSING.exists() else []
    order = {f"{stem} / {sc['name']}": i for i, (stem, sc) in enumerate(scenarios())}
    gone = [x for x in listed if x not in order]
    results = run_all(scenarios(a.files, a.k, set(listed) if a.listed else None), a.v)
    passed = [n for n, p in results.items() if not p]
    broken = [n for n in listed if results.get(n)]
    new = [n for n in passed if n not in set(listed)]
    for n in broken:
        print("FAIL (listed) " + n, *results[n][:8], sep="\n")
    for n in gone:
        print("FAIL (listed, but no such scenario) " + n)
    if a.update and new:
        kept = sorted(set(listed) | set(new), key=lambda n: order.get(n, -1))
        PASSING.write_text("".join(n + "\n" for n in kept))
    print(f"{len(results)} scenarios, {len(passed)} pass, {len(listed)} listed, "
          f"{len(broken) + len(gone)} of them broken, {len(new)} unlisted pass"
          + (" (added)" if a.update and new else ""))
    return 1 if broken or gone else 0


if __name__ == "__main__":
    sys.exit(main())
