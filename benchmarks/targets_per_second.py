"""How many simulated targets of 256 x 256 px with their truth and noise come out per second.

One target is a `random_scene`, the noise that `random_scan_noise` draws for its period, and the noisy image. Worker
processes make them from their numbers; clean, noisy and transmission images, masks, positions and species travel to
the parent, as they would for a data set. The goal is 100 per second on two otherwise idle cores. The load that others
put on the machine is printed beside the result; `per core-second` divides by the processor time that the workers
really had. `--own` has a crystal and dents such as users bring instead of the drawn ones.

    python benchmarks/targets_per_second.py [--count 400] [--size 256] [--workers 1 2] [--own] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np

from napari_hush.synthesis import Lattice, average_cell, ellipse, random_scan_noise, random_scene, render_lattice


@cache
def own_material() -> dict[str, Any]:
    """Stand-ins for what a user brings: a unit crop and two masks of the size of a micrograph."""
    crop = render_lattice(Lattice(kind="hexagonal", period=24.6, sublattice=0.5), (64, 64), 0).image
    masks = [ellipse((1024, 1024), centre=(512, 400), fwhm=(long, 90)) for long in (120, 300)]
    return {"cell": average_cell(crop), "masks": masks, "mask_periods": (12.0, 20.0)}


def target(number: int, *, seed: int = 0, size: int = 256, own: bool = False) -> tuple[dict[str, np.ndarray], float]:
    """Make one target from its number: the arrays and the processor time that they took, seconds."""
    options = own_material() if own else {}
    start = time.process_time()
    rng = np.random.default_rng([seed, number])
    scene = random_scene(rng, shape=(size, size), **options)
    noisy = random_scan_noise(rng, period=scene.period)(scene.clean, rng)
    arrays = {
        "clean": scene.clean,
        "noisy": noisy,
        "transmission": scene.transmission,
        "mask": scene.mask,
        "positions": scene.positions,
        "species": scene.species,
        "vacancies": scene.vacancies,
    }
    return arrays, time.process_time() - start


def measure(workers: int, count: int, size: int, own: bool) -> tuple[float, float]:
    """Return targets per second and targets per second of processor time."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(target, own=own), range(8 * workers), chunksize=4))  # imports and first allocations
        start, spent = time.perf_counter(), 0.0
        for _, seconds in pool.map(partial(target, size=size, own=own), range(count), chunksize=4):
            spent += seconds
        return count / (time.perf_counter() - start), count / spent


def profile(count: int, size: int, own: bool) -> None:
    recorder = cProfile.Profile(time.process_time)
    recorder.enable()
    for number in range(count):
        target(number, size=size, own=own)
    recorder.disable()
    pstats.Stats(recorder).strip_dirs().sort_stats("tottime").print_stats(15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="targets per measurement")
    parser.add_argument("--size", type=int, default=256, help="side of a target, px")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes to try")
    parser.add_argument("--own", action="store_true", help="with a crystal and dents of the user's own")
    parser.add_argument("--profile", action="store_true", help="also print where one process spends its time")
    args = parser.parse_args()
    for workers in args.workers:
        before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        rate, per_core = measure(workers, args.count, args.size, args.own)
        print(
            f"{workers} worker{'s' * (workers > 1)}: {rate:.0f} targets/s, {per_core:.0f} per core-second "
            f"({os.cpu_count()} cores, load before {before:.1f})"
        )
    if args.profile:
        profile(args.count, args.size, args.own)


if __name__ == "__main__":
    main()
