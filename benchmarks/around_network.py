"""What denoising and judging cost beside the network: the guard and the evidence, on the CPU.

    python benchmarks/around_network.py [--side 1024 2048] [--model stem general] [--repeats 3]

A simulated field is denoised with the default guard, and judged, in turns, so that a busy moment hits both alike; what
the network takes of the former is timed inside of it. Times are the processor's, all threads together, and in brackets
the wall's, medians over the repeats. The ratios are those of the processor's times within one round: all that denoising
does beside the network (measuring, scaling, the guard) over the network, and judging over the network.

``stem``: a square lattice of 13 px with a dent, 20 counts per pixel, rows out of place by 0.02 periods. ``general``:
a smooth texture, 20 counts per pixel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_hush as hush
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.synthesis import Lattice, ellipse, render_lattice, smooth_field
from napari_hush.synthesis.noise.registry import Compose, Poisson, RowJitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.inference.engines.registry import Engine

PERIOD, DOSE = 13.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, nargs="+", default=[1024, 2048], help="of the square image, px")
    parser.add_argument("--model", nargs="+", default=["stem", "general"], choices=["stem", "general"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(
        "| model | side, px | network, s | whole denoise, s | judge, s | beside it / network | judge / network | both |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in args.model:
        for side in args.side:
            print(f"| {name} | {side} | " + " | ".join(measure(name, side, args.repeats)) + " |", flush=True)


class TimedEngine:
    """An engine that adds up its own times."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.times = engine, (0.0, 0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        results: list[np.ndarray] = []
        own = clock(lambda: results.append(self._engine(*inputs)))
        self.times = self.times[0] + own[0], self.times[1] + own[1]
        return results[0]


def measure(name: str, side: int, repeats: int) -> list[str]:
    """The cells of one row."""
    image, model = draw(name, side), hush.load_model(name)
    settings = DenoiseSettings(device="cpu", precision="float32")
    engine = choose_engine(model.network, device="cpu", precision="float32", pixels=image.size)
    denoised = run_steps(denoise_steps(image, model, settings, engine=engine)).image
    rounds = []
    for _ in range(repeats):
        timed = TimedEngine(engine)
        whole = clock(lambda: run_steps(denoise_steps(image, model, settings, engine=timed)))  # noqa: B023
        rounds.append([timed.times, whole, clock(lambda: hush.judge(image, denoised))])
    cells = [
        f"{statistics.median(cpu for cpu, _ in way):.2f} ({statistics.median(wall for _, wall in way):.2f})"
        for way in zip(*rounds, strict=True)
    ]
    ratios = [((whole - own) / own, judge / own) for (own, _), (whole, _), (judge, _) in rounds]
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
