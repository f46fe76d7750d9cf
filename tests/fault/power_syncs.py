"""Every sync of the engine and its stores, and what is lost without it.

SITES lists them; power_cut.py --skip-sync all shows that the list is whole and true:

  - the sources have these syncs and no others;
  - the server asked for each of them in one of the stories (power_work.py), and for no other;
  - with all syncs of a place taken out of a journal, which is what the disk would have seen had the line
    not been in the program, some disk is found that the server must not answer for.

It prints them as a table, which README.md has, too; `some` does the same with a few places of the workload.
What no cut can notice says why: a place that only a failing disk reaches is shown in
tests/unit/test_wal.c, test_without_a_sync, which leaves out each sync of the log.

`each` takes out one sync at a time and counts how many of a place are noticed alone (not all are: the
next sync of the same file may do the work). `run` lets the server itself leave one out, five times.
"""
import collections
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

import power_disk as pd
from harness import ROOT, binary
from power_look import JOB, examiner, plan, run_cuts, workers
from power_work import Failure, Story, record, stories

FILE, DIR = "file", "directory"
UNIT = "shown by tests/unit/test_wal.c"


class Site:
    """A sync in the sources: function and kind. path: what its path and, of a directory, its changed names
    hold, where one line serves several. why: of a place that no cut can notice."""

    def __init__(self, function, kind, path, lost, why=None):
        self.function, self.kind, self.path, self.lost, self.why = function, kind, path, lost, why

    def __str__(self):
        return f"{self.function}(), {self.kind}" + (f" {self.path}" if self.path else "")


SITES = [
    Site("eng_aliases_open", DIR, "",
         "the names of the folders `collections` and `aliases`, with everything in them"),
    Site("eng_small_file_replace", FILE, "/data.sum",
         "the checksum of the aliases: the rename may be there before the bytes"),
    Site("eng_small_file_replace", DIR, "+data.sum",
         "the checksum's new name: that of the new aliases may be there before it"),
    Site("eng_small_file_replace", FILE, "/data.json",
         "the aliases: the rename may be there before the bytes"),
    Site("eng_small_file_replace", DIR, "+data.json",
         "a change of aliases that was answered"),
    Site("eng_small_file_replace", FILE, "/config.json",
         "the configuration of a collection whose creation was answered: it is there, damaged"),
    Site("eng_small_file_replace", DIR, "+config.json",
         "the names in its folder: it is there without a shard or not seen as a collection"),
    Site("make_files", DIR, "/collections",
         "the collection itself"),
    Site("eng_catalog_drop", DIR, "",
         "the drop: the collection is back, or half of it while its files are removed"),
    Site("write_whole", FILE, "/manifest.new",
         "the manifest: the rename may be there before the bytes"),
    Site("write_whole", DIR, "+manifest",
         "the new manifest's name, while log segments and dead bits of the old one are removed"),
    Site("write_whole", FILE, "/dead.",
         "the dead bits that a manifest names: it comes without them or with an empty file"),
    Site("write_whole", DIR, "+dead.",
         "the name of the dead bits: the manifest's rename may be there before it"),
    Site("seg_write", FILE, "/tmp/",
         "the head of a new log: without it the log counts as lost"),
    Site("eng_shard_format", DIR, "",
         "the name of a new log's first segment: without it the log counts as lost"),
    Site("seg_write", FILE, "/collections/",
         "the head of a segment that a link leads to"),
    Site("seg_make", DIR, "",
         "the name of a segment that a link leads to, or that holds acknowledged operations"),
    Site("roll_undo", DIR, "",
         "the removal of a segment that was not to be: it comes back inside later operations", UNIT),
    Site("eng_wal_sync", FILE, "",
         "acknowledged operations; and a manifest may get ahead of the log"),
    Site("eng_wal_undo_sync", FILE, "",
         "the removal of a record or link whose failure was answered: it comes back", UNIT),
    Site("remove_unborn", DIR, "",
         "the removal of a file without a head: it comes back inside later operations"),
    Site("eng_wal_cut", FILE, "",
         "the removal of a link before the segment behind a torn tail goes: it leads nowhere"),
    Site("eng_wal_cut", DIR, "",
         "the removal of that segment: it comes back inside later operations"),
    Site("finish_making", FILE, "",
         "the head of a segment whose making a kill ended, before a link leads to it"),
    Site("finish_making", DIR, "",
         "its name"),
    Site("link_unread", FILE, "",
         "the link to the first segment that is needed: it may be lost and nobody notices"),
    Site("settle", FILE, "",
         "operations that a kill left unsynced, before others behind them are acknowledged"),
    Site("write_image", FILE, "",
         "the bytes of a part of an index: a power cut is taken for damage"),
    Site("run_save", DIR, "",
         "the names of parts of an index",
         "not needed for what is answered: the index is derived, and built again"),
    Site("eng_field_scan", DIR, "",
         "the removal of parts that count rows which are gone: they come back when others have their "
         "numbers", "only where a power cut takes rows out of a full chunk of 65536 that was saved: too "
         "many for this test"),
    Site("eng_field_clear_files", DIR, "",
         "the removal of parts of an index whose number is given again: they would answer for the new one",
         "only where a power cut takes back the creation of an index that has saved parts, which then come "
         "back in a second one"),
    Site("write_manifest", DIR, "",
         "the removal of parts of a chunk whose number is used again", "only where chunks of 65536 rows are "
         "emptied and filled again: too many for this test"),
    Site("flush_sync", FILE, "/",
         "rows, vectors and payload that a manifest counts on"),
    Site("flush_sync", FILE, ".crc",
         "their checksums"),
    Site("flush_sync", DIR, "",
         "the names of new chunks and segments: the manifest's rename may be there before them"),
]


# --- where in the program ----------------------------------------------------------------------------

FUNCTION = re.compile(r"^(?!\s|#|/|\*|\{|\}|struct \w+ \{|typedef)[\w *]*?\b(\w+)\(")
CALL = re.compile(r"(?:->|\.)(datasync|sync|dir_sync)\(")


def in_sources():
    """{(function, kind): [file]}"""
    found = collections.defaultdict(list)
    for path in sorted((ROOT / "plugins").glob("*/*.c")):
        if path.parent.name != "engine" and not path.parent.name.startswith("storage-"):
            continue
        function = None
        for line in path.read_text().splitlines():
            m = FUNCTION.match(line)
            function = m[1] if m else function
            for call in CALL.findall(line):
                found[function, DIR if call == "dir_sync" else FILE].append(path.name)
    return found


def functions(records):
    """{site of a sync: function} for the program that recorded them."""
    places = sorted({r.site for r in records if r.op in (pd.SYNC, pd.DIRSYNC, pd.SKIPPED)})
    if 0 in places:
        raise SystemExit(f"{binary()} does not say where it syncs")
    start = next(int(x.split()[0], 16) for x in
                 subprocess.run(["nm", str(binary())], check=True, capture_output=True,
                                text=True).stdout.splitlines() if x.endswith(" __executable_start"))
    out = {}
    for place in places:  # of inlined functions the innermost comes first
        text = subprocess.run(["addr2line", "-f", "-i", "-e", str(binary()), hex(start + place - 1)],
                              check=True, capture_output=True, text=True).stdout
        out[place] = text.splitlines()[0]
    return out


def sites_of(story):
    """({Site: [index of a sync]}, [syncs of no site])"""
    names, paths, disk = functions(story.records), {}, story.disk()
    out, others = collections.defaultdict(list), []
    for i, r in enumerate(story.records):
        if r.op == pd.OPEN:
            paths[r.session, r.handle] = f"{r.name}/{r.name2}"
        if r.op in (pd.SYNC, pd.DIRSYNC, pd.SKIPPED):
            is_dir = r.op == pd.DIRSYNC or r.op == pd.SKIPPED and r.a == 1
            what = r.name if is_dir else paths[r.session, r.handle]
            if is_dir:
                node, n = disk.promise(r)
                changes = [op.parts[k] for op, k in node.pending[:n]] if node else []
                what += "".join(f" {'-' if p[2] is None else '+'}{p[1]}" for p in changes)
            site = site_for(names[r.site], DIR if is_dir else FILE, what)
            if site is None:
                others.append(f"{names[r.site]}() {what}")
            else:
                out[site].append(i)
        disk.feed(r)
    return out, others


def site_for(function, kind, what):
    """The most particular one that fits."""
    fits = [s for s in SITES if (s.function, s.kind) == (function, kind) and s.path in what]
    return max(fits, key=lambda s: len(s.path), default=None)


# --- without all syncs of a place ----------------------------------------------------------------------


def without_site(k):
    """(index of the site, text of what was noticed or None, the story that did)"""
    for story, sites in JOB["stories"]:
        indices = [i for i in sites.get(SITES[k], ()) if i >= story.first]
        if not indices:
            continue
        examiner().seen.clear()
        cuts = plan(story.records, story.history, JOB["seed"], indices[0])
        if SITES[k].why:  # nothing is expected: some must do
            cuts = sorted(random.Random(JOB["seed"]).sample(cuts, min(100, len(cuts))))
        try:
            run_cuts(story, cuts, {story.records[i].pos for i in indices})
        except Failure as e:
            return k, e.text, story.name
    return k, None, None


def state_of(text, story):
    """Which disk showed it, and what the server said: for the table."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "*", text.replace("\n", " ").replace("|", "/"))
    m = re.match(r"cut at \d+, survived: (.*?): (?=(?:collection|the server|GET|POST|a power cut|aliases) )(.*)", text)
    how, wrong = (m[1], m[2]) if m else ("?", text)
    wrong = re.sub(r"\{'status': \{'error': 'Service internal error: (?:Collection [^']*? is damaged: )?", "",
                   wrong)[:110].split("'}")[0]
    return f"{story}; survived: {how.replace('./storage/', '').replace('storage/', '')}; {wrong}"


def row(site, sources, state):
    where = ", ".join(sorted(set(sources.get((site.function, site.kind), ["?"]))))
    return f"| {where}: {site} | {site.lost} | {state} |"


def table_errors(rows):
    """README.md has the same places with the same words; the states differ from run to run."""
    text = (pathlib.Path(__file__).parent / "README.md").read_text()
    listed = {tuple(x.split(" | ")[:2]) for x in text.splitlines() if "(), " in x and x.startswith("| ")}
    now = {tuple(x.split(" | ")[:2]) for x in rows}
    return [f"not in README.md: {' | '.join(x)}" for x in sorted(now - listed)] + \
        [f"in README.md only: {' | '.join(x)}" for x in sorted(listed - now)]


def check_sites(args):
    listed, sources = {(s.function, s.kind) for s in SITES}, in_sources()
    errors = [f"not in the list: {' '.join(x)}" for x in sorted(sources.keys() - listed)] + \
        [f"not in the sources: {' '.join(x)}" for x in sorted(listed - sources.keys())]
    counts = collections.Counter()
    for story, sites in JOB["stories"]:
        for site, indices in sites.items():
            counts[site] += sum(i >= story.first for i in indices)
    found, rows = {}, []
    todo = [k for k, s in enumerate(SITES) if counts[s]]
    if args.skip_sync == "some":
        todo = random.Random(args.seed).sample([k for k in todo if not SITES[k].why], 4)

    def done(result):
        found[result[0]] = result[1:]
        print(f"{'noticed' if result[1] else 'not noticed'}: {SITES[result[0]]}", flush=True)

    workers(without_site, todo, done)
    for k, s in enumerate(SITES):
        text, story = found.get(k, (None, None))
        rows.append(row(s, sources, state_of(text, story) if text else s.why or "-"))
        if k in todo or args.skip_sync == "all":
            print(f"{rows[-1]} {counts[s]} syncs" if text else rows[-1])
            if bool(text) == bool(s.why):
                what = "noticed" if text else "not noticed" if counts[s] else "never asked for"
                errors.append(f"{what}: {s}")
    errors += table_errors(rows)
    for e in errors:
        print(f"FAILED: {e}")
    n = sum(text is not None for text, _ in found.values())
    print(f"seed {args.seed}: failed" if errors else
          f"seed {args.seed}: {n} of {len(SITES)} places of syncs left out, each noticed" +
          (f"; {len(SITES) - n} with a reason why not" if args.skip_sync == "all" else ""))
    return 1 if errors else 0


# --- without one -----------------------------------------------------------------------------------------


def without_one(args):
    """(site's index, text or None): one sync taken out. When the next of the same file or directory is
    through, nothing is missing any more."""
    k, i = args
    story, left = JOB["stories"][0][0], {}
    pos = story.records[i].pos

    def stop(disk, s):
        if s.pos == pos:
            left["node"] = disk.skipped[0]
            return False
        return "node" in left and s.op in (pd.SYNC, pd.DIRSYNC) and s.rc == 0 and s.a > pos and \
            disk.promise(s)[0] is left["node"]

    try:
        run_cuts(story, [c for c in JOB["plan"] if c[0] >= i], {pos}, stop)
    except Failure as e:
        return k, e.text
    return k, None


def check_each(args):
    story, sites = JOB["stories"][0]
    JOB["plan"] = plan(story.records, story.history, args.seed)
    noticed = collections.Counter()
    workers(without_one, [(SITES.index(s), i) for s, ii in sites.items() for i in ii],
            lambda x: noticed.update({x[0]: x[1] is not None}))
    for s, ii in sites.items():
        print(f"{noticed[SITES.index(s)]:4} of {len(ii):4} noticed alone: {s}")
    print(f"{sum(noticed.values())} of {sum(map(len, sites.values()))} syncs are noticed when one is missing")
    return 0


def without_one_run(args):
    """Runs the workload with one sync left out by the server: (which, site, text or None)."""
    session, n, seed = args
    which, where = f"session {session}, sync {n}", tempfile.mkdtemp(prefix="skip-", dir=JOB["top"])
    site = None
    try:
        rec = record(where, seed, (session, n))
        at = next((i for i, r in enumerate(rec.records) if r.op == pd.SKIPPED), None)
        if at is None:
            return which, "not asked for in this run", None
        story = Story(which, rec.records, rec.history)
        site = next(s for s, ii in sites_of(story)[0].items() if at in ii)
        examiner().seen.clear()
        run_cuts(story, plan(story.records, story.history, seed, at))
        return which, str(site), None
    except Failure as e:
        return which, str(site), e.text
    finally:
        shutil.rmtree(where, ignore_errors=True)


def check_run(args):
    records = JOB["stories"][0][0].records
    counts = collections.Counter(r.session for r in records if r.op in (pd.SYNC, pd.DIRSYNC))
    todo = [(s, n, args.seed) for s, k in counts.items() for n in range(1, k + 1)]
    todo = random.Random(args.seed).sample(todo, 5)
    workers(without_one_run, todo, lambda x: print(
        f"{x[0]}: {x[1]}: " + (f"noticed: {x[2][:300]}" if x[2] else "not noticed alone"), flush=True))
    return 0


def main(args, where):
    """--skip-sync"""
    JOB.update(seed=args.seed, extra=False, round=0, stories=[])
    others = []
    for story in stories(where, args.seed):
        sites, no_site = sites_of(story)
        others += no_site
        JOB["stories"].append((story, sites))
        print(f"seed {args.seed}: {story.name}: "
              f"{sum(i >= story.first for ii in sites.values() for i in ii)} syncs", flush=True)
        if args.skip_sync != "all":
            break
    code = {"each": check_each, "run": check_run}.get(args.skip_sync, check_sites)(args)
    for text in sorted(set(others)):
        print(f"FAILED: a sync of no site: {text}")
    return 1 if others else code
