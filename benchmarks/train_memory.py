"""Peak memory of a training does not depend on the size of the data: a small set against one of 20 GB or more.

The images are made when they are read, from their number and place, so that no disk of that size is needed; any array
library that reads lazily (zarr, dask, h5py, memmap) is used in the same way. Each training has a process of its own.

    python benchmarks/train_memory.py --images 5000 --side 1024
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np


class Made:
    """An array (N, Y, X) of float32 whose values are made when they are asked for; counts what was read."""

    def __init__(self, count: int, side: int, noise: float) -> None:
        self.shape, self.dtype, self.noise = (count, side, side), np.dtype(np.float32), noise
        self.read = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        index, y, x = key
        rows, columns = np.arange(self.shape[1])[y, None], np.arange(self.shape[2])[None, x]
        clean = np.sin(rows / (5 + index % 7)) * np.sin(columns / (4 + index % 5))
        rng = np.random.default_rng([index, rows[0, 0], columns[0, 0]])
        values = clean + self.noise * rng.normal(size=clean.shape)
        self.read += values.size * 4
        return values.astype(np.float32)


def child(count: int, side: int, steps: int, method: str) -> None:
    import napari_hush as hush

    noisy, clean = Made(count, side, 0.3), Made(count, side, 0.0)
    settings = {"patch": 64, "batch_size": 4, "steps": steps, "network_options": "width = 8", "validate_every": steps}
    start, first = time.perf_counter(), 0.0
    for _ in hush.fit(method, noisy if method == "noise2void" else (noisy, clean), settings):
        first = first or time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"peak": peak, "first": first, "read": (noisy.read + clean.read) / 1e9}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--method", default="supervised", choices=["supervised", "noise2void"])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.side, args.steps, args.method)
        return
    sides = 1 if args.method == "noise2void" else 2
    print(f"{args.method}, images of {args.side} x {args.side} px, {args.steps} steps")
    print(f"{'images':>8} {'size':>10} {'read':>10} {'first step after':>17} {'peak memory':>12}")
    peaks = []
    for count in (20, args.images):
        command = [
            sys.executable,
            __file__,
            "--child",
            str(count),
            "--side",
            str(args.side),
            "--steps",
            str(args.steps),
        ]
        done = subprocess.run([*command, "--method", args.method], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found = json.loads(done.stdout)
        size = sides * count * args.side**2 * 4 / 1e9
        print(f"{count:8} {size:7.1f} GB {found['read']:7.1f} GB {found['first']:15.1f} s {found['peak']:9.0f} MB")
        peaks.append(found["peak"])
    print(f"the large set needs {peaks[1] - peaks[0]:+.0f} MB")


if __name__ == "__main__":
    main()
