#!/usr/bin/env python3
"""The basic distance kernels beside numpy's matrix-vector product, in one run.

usage: distance_numpy.py PATH/bench_distance [--rows N] [--dim D] [--rounds R]

Both sides use one thread and the same amount of memory; rounds alternate A, B, A, B so that a noisy
neighbour hits both; times are processor time of the one thread. Printed: medians over the rounds
(ns per distance, GB/s) and the median of the per-round ratios to numpy and to a plain read of the
same memory, with their quartiles.
"""
import argparse
import os
import subprocess
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402  (the thread count must be set first)


def quartiles(values):
    return np.percentile(values, [25, 50, 75])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--rows", type=int, default=50000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()

    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((args.rows, args.dim), dtype=np.float32)
    query = rng.standard_normal(args.dim, dtype=np.float32)
    out = np.empty(args.rows, dtype=np.float32)

    child = subprocess.Popen(
        [args.bench, "--serve", "--rows", str(args.rows), "--dim", str(args.dim)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rounds = []
    for i in range(args.rounds + 1):
        child.stdin.write("go\n")
        child.stdin.flush()
        fields = child.stdout.readline().split()
        if not fields:
            sys.exit("bench_distance ended early")
        one = {fields[j]: float(fields[j + 1]) for j in range(0, len(fields), 2)}
        start = time.thread_time_ns()
        np.dot(matrix, query, out=out)
        one["numpy_matvec"] = (time.thread_time_ns() - start) / args.rows
        if i > 0:  # the first round touches the memory
            rounds.append(one)
    child.stdin.close()
    child.wait()

    row_bytes = args.dim * 4
    print(f"{args.rows} rows x {args.dim} f32, {args.rounds} rounds, one thread")
    print(f"{'':18} {'ns/distance':>11} {'GB/s':>6}  {'x numpy (quartiles)':>26}  x plain read")
    for name in rounds[0]:
        ns = np.median([r[name] for r in rounds])
        q1, q2, q3 = quartiles([r[name] / r["numpy_matvec"] for r in rounds])
        read = np.median([r[name] / r["read"] for r in rounds])
        print(f"{name:18} {ns:11.1f} {row_bytes / ns:6.1f}  {q2:8.2f} ({q1:.2f} - {q3:.2f})"
              f"{'':8} {read:8.2f}")


if __name__ == "__main__":
    main()
