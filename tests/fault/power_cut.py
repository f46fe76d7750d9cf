#!/usr/bin/env python3
"""Starts the server on the disks that a power cut could have left, and reads everything back.

    tests/fault/power_cut.py [--states 2000] [--seed N] [--replay DIR]
    tests/fault/power_cut.py --skip-sync all|some|each|run [--seed N]

A recording server (SEXTANT_BIN, built with SX_IO_RECORD) runs a workload (power_work.py): collections with
vectors in memory and mapped, upserts, replacements and deletes with wait=true and false by three writers at
once, several log segments, many checkpoints, drops, recreation, a kill and a clean stop. Its journal says
what the disk was asked for (power_disk.py); at cuts all over it disks are built (power_look.py), the server
(SEXTANT_BIN_FAST, default build/release/sextant) is started on each, and what it answers is compared
with what the client was told (history.py): acknowledged <= state <= acknowledged + in flight, each
operation whole, every byte of vectors and payloads right, no collection damaged, no crash. On some disks
the checked server starts instead, takes a write, stops cleanly and starts again; on some the power
goes a second time, during or after the recovery; on some the last segment of a log is lost too, and then
that is reported unless nothing of it is missing.

A failure prints the seed and leaves journals, history, the disk and the server's log in a folder that
--replay takes.

--skip-sync shows that the test would notice a missing sync; power_syncs.py has the list of all of them
with what is lost without each. `all` checks that list and prints it, `some` a few of it by seed.
"""
import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
import power_disk as pd  # noqa: E402
import power_syncs  # noqa: E402
from history import History  # noqa: E402
from power_look import FAST, JOB, examine_all, scratch  # noqa: E402
from power_work import Story, record  # noqa: E402
from quick import end_cleanly, write_image  # noqa: E402


def save(where, failure, seed, history):
    """Leaves everything that shows a failure in a folder of its own."""
    keep = pathlib.Path(tempfile.mkdtemp(prefix="power-cut-failed-"))
    for path in sorted(pathlib.Path(where).glob("journal.*")):
        shutil.copy(path, keep)
    (keep / "history.json").write_text(json.dumps({"seed": seed, "lives": history.to_json()}))
    (keep / "failure.txt").write_text(f"seed {seed}\n{failure.text}\n\n{failure.log}")
    if failure.image is not None:
        write_image(keep / "disk", failure.image)
    return keep


def test(args, where):
    t0 = time.monotonic()
    if args.replay:
        where = pathlib.Path(args.replay)
        saved = json.loads((where / "history.json").read_text())
        args.seed, history = saved["seed"], History.from_json(saved["lives"])
        records = pd.parse_sessions(sorted(where.glob("journal.*")))
    else:
        rec = record(where, args.seed)
        records, history = rec.records, rec.history
    t1 = time.monotonic()
    n_ops = sum(len(x.ops) for x in history.lives)
    print(f"seed {args.seed}: {len(records)} journal records, {n_ops} operations on "
          f"{len(history.lives)} collections in {t1 - t0:.1f} s", flush=True)
    counts, n, failure = examine_all(Story("the workload", records, history), args.seed, args.states)
    if failure:
        keep = save(where, failure, args.seed, history)
        print(f"FAILED, seed {args.seed}: {failure.text}\n{failure.log[-3000:]}\n"
              f"journals, history and disk are in {keep}")
        return 1
    print(f"seed {args.seed}: {n} different disks, {counts['cuts']} cuts, {counts['second cuts']} of "
          f"them a second time, {counts['lost segments']} with a lost segment, in "
          f"{time.monotonic() - t1:.1f} s; nothing lost, nothing invented")
    return 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--states", type=int, default=2000, help="different disks, at least")
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--replay", help="a folder that a failure left")
    ap.add_argument("--skip-sync", choices=("all", "some", "each", "run"))
    args = ap.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    if not FAST.is_file():
        raise SystemExit(f"no server binary at {FAST} (set SEXTANT_BIN_FAST or run scripts/build)")
    end_cleanly()
    JOB["top"] = tempfile.mkdtemp(prefix="power-cut-", dir=scratch())
    JOB["extra"], JOB["round"] = True, 0
    try:
        return (power_syncs.main if args.skip_sync else test)(args, JOB["top"])
    finally:
        shutil.rmtree(JOB["top"], ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
