#!/usr/bin/env python3
"""Makes the n-th call to the disk fail, for every n of a scenario that uses everything.

    tests/fault/io_faults.py [--seconds 100] [--seed N]     a sample; full disks always
    tests/fault/io_faults.py --all                          every n of every mode
    tests/fault/io_faults.py --only eio:117                 one case

The scenario makes collections with vectors in memory and mapped, multivectors and sparse ones, indexes
every kind of field, writes in every way with wait=true over several segments of the log, lets
checkpoints run, deletes points, an index, a vector name and a collection, stops, starts again and writes
more. The checked server (SEXTANT_BIN, built with SX_IO_RECORD) runs it with SEXTANT_IO_FAULT
(kernel/io_fault.c). Modes:

    eio, eio-sticky     any call fails with EIO: that one, or all from it on
    full, full-sticky   a call that takes space fails with ENOSPC; the sticky one heals while the server
                        runs, and then everything must go again without a restart
    short, short-eio    a write writes its first half and fails
    names               a call that makes, renames, removes or syncs names fails with EIO
    sync-enospc         a sync fails with ENOSPC, as delayed allocation makes it
    map                 a mapping fails with ENOMEM
    space               the disk takes N more bytes: written until nothing goes, killed, started on the full
                        disk, read; then space comes back

Whatever fails: the server goes on, answers in time, reads give the state that io_shelf.py allows, errors
are 5xx with a reason, and a collection whose log could not be synced takes nothing more until a start. After it a server without faults (SEXTANT_BIN_FAST, default build/release/sextant)
starts on three disks: the folder as it is (the process was killed); what the disk holds when a failed
sync has lost the bytes it was for, as a kernel may drop them; and what is certain of that after a power
cut too. On each the collections must be green and hold what was acknowledged: so a sync that failed and
was tried again, or was taken for done, shows as a loss.
"""
import argparse
import collections
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
from harness import binary  # noqa: E402
from io_run import FAST, MODES, Run  # noqa: E402
from quick import end_cleanly  # noqa: E402


STOP = multiprocessing.get_context("fork").Value("b", 0)  # workers end what they do and begin nothing


def one(case):
    """(case, hits, what failed, refused operations, refused starts, deletions on a full disk, text of the
    failure, calls counted); None once all is to end"""
    if STOP.value:
        return None
    mode, nth = case
    where = tempfile.mkdtemp(prefix=f"{mode}-{nth}-", dir=TOP)
    run, wrong = Run(where, mode, nth), None
    run.calls = run.hits = 0
    run.what = ""
    try:
        run.full_disk() if mode == "space" else run.scenario()
        if run.calls == 0:
            raise AssertionError(f"{binary()} fails nothing: it was built without SX_IO_RECORD")
        run.after()
    except Exception as e:  # noqa: BLE001 - told by the main process
        wrong = f"{type(e).__name__}: {e}"
        if run.server.proc is not None:
            run.server.kill()
        wrong += f"\n--- {run.what}\n{run.server.log()[-2500:]}"
        keep = pathlib.Path(tempfile.gettempdir()) / f"io-fault-{mode}-{nth}"
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(where, keep)
        wrong += f"\nfolder and journals: {keep}"
    refused = sum(x.refused for x in [*run.shelves, run.aliases])
    run.control.close()
    shutil.rmtree(where, ignore_errors=True)
    return case, run.hits, run.what, refused, run.start_refused, run.deleted, wrong, run.calls


def every_case(args):
    """All cases: (mode, n). Full disks come first, the rest in an order by the seed."""
    rng, cases = random.Random(args.seed), []
    sizes = [int(2 ** rng.uniform(15, 23)) for _ in range(100 if args.all else 6)]
    modes = args.modes.split(",")
    for mode in modes:
        if mode == "space":
            continue
        result = one((mode, 0))
        if result[-2] or result[3]:
            raise SystemExit(f"without a fault: {result[-2] or 'something was refused'}")
        cases += [(mode, n) for n in range(1, result[-1] + 1)]
    rng.shuffle(cases)
    return [("space", n) for n in sizes if "space" in modes] + cases


def main():
    global TOP
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--all", action="store_true", help="every n of every mode")
    ap.add_argument("--modes", default=",".join(MODES))
    ap.add_argument("--seconds", type=float, default=100, help="how long a sample goes on")
    ap.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    ap.add_argument("--only", help="MODE:N")
    ap.add_argument("--go-on", action="store_true", help="do not stop at the first failure")
    args = ap.parse_args()
    if not FAST.is_file():
        raise SystemExit(f"no server binary at {FAST} (set SEXTANT_BIN_FAST or run scripts/build)")
    end_cleanly()
    TOP = tempfile.mkdtemp(prefix="io-faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        return sweep(args)
    finally:
        shutil.rmtree(TOP, ignore_errors=True)


def sweep(args):
    t0 = time.monotonic()
    print(f"seed {args.seed}", flush=True)
    if args.only:
        mode, n = args.only.rsplit(":", 1)
        cases = [(mode, int(n))]
    else:
        cases = every_case(args)
    kinds, counts, deleted, wrongs = collections.Counter(), collections.Counter(), [0, 0], 0
    with multiprocessing.get_context("fork").Pool(2, end_cleanly) as pool:
        for result in pool.imap_unordered(one, cases):
            if result is None:
                continue
            case, hits, what, refused, starts, deletions, wrong, _ = result
            kinds[what.split(" '")[0].replace("cannot ", "") or "none"] += 1
            counts.update(cases=1, hits=hits, refused=refused, starts=starts,
                          unseen=int(hits > 0 and not refused and not starts))
            deleted = [x + y for x, y in zip(deleted, deletions)]
            if wrong:
                wrongs += 1
                print(f"FAILED {case[0]}:{case[1]} ({what}): {wrong}", flush=True)
                if not args.go_on:
                    STOP.value = 1
            if not args.all and time.monotonic() - t0 > args.seconds:
                STOP.value = 1
    print("what failed first: " + ", ".join(f"{what} {n}" for what, n in kinds.most_common()))
    print(f"deletions on a full disk: {deleted[0]} of {deleted[1]} done")
    print(f"seed {args.seed}: {counts['cases']} of {len(cases)} faults in {time.monotonic() - t0:.0f} s, "
          f"{counts['hits']} failed calls, {counts['refused']} operations and {counts['starts']} starts "
          f"refused, {counts['unseen']} without a trace, {wrongs} wrong")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
