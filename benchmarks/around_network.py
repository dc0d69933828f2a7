"""What denoising and judging cost beside the network: the guard and the evidence, on the CPU.

    python benchmarks/around_network.py [--side 1024 2048] [--model stem general] [--repeats 3]

A simulated field is denoised without and with the guard, and judged. All three ways take turns, so that a busy moment
hits all alike; each is given as the processor's time and, in brackets, the wall's, medians over the repeats. The ratio
is that of the processor's times within one round: what comes on top of the run without a guard, over that run.

``stem``: a square lattice of 13 px with a dent, 20 counts per pixel, rows out of place by 0.02 periods. ``general``:
a smooth texture, 20 counts per pixel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

import napari_hush as hush
from napari_hush.synthesis import Lattice, ellipse, render_lattice, smooth_field
from napari_hush.synthesis.noise.registry import Compose, Poisson, RowJitter

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD, DOSE = 13.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, nargs="+", default=[1024, 2048], help="of the square image, px")
    parser.add_argument("--model", nargs="+", default=["stem", "general"], choices=["stem", "general"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print("| model | side, px | network, s | whole denoise, s | judge, s | guard / network | judge / network | both |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.model:
        for side in args.side:
            print(f"| {name} | {side} | " + " | ".join(measure(name, side, args.repeats)) + " |", flush=True)


def measure(name: str, side: int, repeats: int) -> list[str]:
    """The cells of one row."""
    image, options = draw(name, side), {"device": "cpu", "precision": "float32"}
    denoised = hush.denoise(image, name, **options)
    hush.denoise(image[:128, :128], name, guard=False, **options)
    ways: list[Callable[[], object]] = [
        lambda: hush.denoise(image, name, guard=False, **options),
        lambda: hush.denoise(image, name, **options),
        lambda: hush.judge(image, denoised),
    ]
    rounds = [[clock(way) for way in ways] for _ in range(repeats)]
    cells = [
        f"{statistics.median(cpu for cpu, _ in way):.2f} ({statistics.median(wall for _, wall in way):.2f})"
        for way in zip(*rounds, strict=True)
    ]
    ratios = [((whole - bare) / bare, judge / bare) for (bare, _), (whole, _), (judge, _) in rounds]
    both = [sum(pair) for pair in ratios]
    return [*cells, *(f"{statistics.median(one):.2f}" for one in (*zip(*ratios, strict=True), both))]


def draw(name: str, side: int) -> np.ndarray:
    """A noisy field, float32."""
    rng = np.random.default_rng(0)
    if name == "general":
        return rng.poisson(DOSE * (1 + 0.5 * smooth_field((side, side), 12.0, rng)).clip(0.05)).astype(np.float32)
    lattice = Lattice(period=PERIOD, angle=7.0, sigma=0.18, displacement=0.01, vacancies=0.01, background=0.12)
    dent = ellipse((side, side), centre=(0.4 * side, 0.6 * side), fwhm=(100.0, 140.0), angle=30, depth=0.8, edge=8)
    scan = Compose(noises=(RowJitter(rms=0.02 * PERIOD, correlation=0.5), Poisson(dose=DOSE)))
    return scan(render_lattice(lattice, (side, side), rng).image * dent, rng)


def clock(way: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor, all threads together, and of the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    way()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
