"""How many simulated targets of 256 x 256 px with their truth and noise come out per second.

One target is a `random_scene`, the noise that `random_scan_noise` draws for its period, and the noisy image. Worker
processes make them from their numbers; clean, noisy and transmission images and positions travel to the parent, as
they would for a data set. The goal is 100 per second on two otherwise idle cores. The load that others put on the
machine is printed beside the result; `per core-second` divides by the processor time that the workers really had.

    python benchmarks/targets_per_second.py [--count 400] [--size 256] [--workers 1 2] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from napari_hush.synthesis import random_scan_noise, random_scene


def target(number: int, *, seed: int = 0, size: int = 256) -> tuple[dict[str, np.ndarray], float]:
    """Make one target from its number: the arrays and the processor time that they took, seconds."""
    start = time.process_time()
    rng = np.random.default_rng([seed, number])
    scene = random_scene(rng, shape=(size, size))
    noisy = random_scan_noise(rng, period=scene.period)(scene.clean, rng)
    arrays = {
        "clean": scene.clean,
        "noisy": noisy,
        "transmission": scene.transmission,
        "positions": scene.positions,
        "vacancies": scene.vacancies,
    }
    return arrays, time.process_time() - start


def measure(workers: int, count: int, size: int) -> tuple[float, float]:
    """Return targets per second and targets per second of processor time."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(target, range(8 * workers), chunksize=4))  # imports and first allocations
        start, spent = time.perf_counter(), 0.0
        for _, seconds in pool.map(partial(target, size=size), range(count), chunksize=4):
            spent += seconds
        return count / (time.perf_counter() - start), count / spent


def profile(count: int, size: int) -> None:
    recorder = cProfile.Profile(time.process_time)
    recorder.enable()
    for number in range(count):
        target(number, size=size)
    recorder.disable()
    pstats.Stats(recorder).strip_dirs().sort_stats("tottime").print_stats(15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="targets per measurement")
    parser.add_argument("--size", type=int, default=256, help="side of a target, px")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes to try")
    parser.add_argument("--profile", action="store_true", help="also print where one process spends its time")
    args = parser.parse_args()
    for workers in args.workers:
        before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        rate, per_core = measure(workers, args.count, args.size)
        print(
            f"{workers} worker{'s' * (workers > 1)}: {rate:.0f} targets/s, {per_core:.0f} per core-second "
            f"({os.cpu_count()} cores, load before {before:.1f})"
        )
    if args.profile:
        profile(args.count, args.size)


if __name__ == "__main__":
    main()
