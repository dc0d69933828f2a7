"""What denoising and judging cost beside the network: the guard and the evidence, on the CPU.

    python benchmarks/around_network.py [--side 1024 2048] [--model stem general] [--repeats 3]
    python benchmarks/around_network.py --parts [--side 2048] [--model stem]

A simulated field is denoised with the default guard, and judged, in turns, so that a busy moment hits both alike; what
the network takes of the former is timed inside of it. Times are the processor's, all threads together, and in brackets
the wall's, medians over the repeats. The ratios are those of the processor's times within one round: all that denoising
does beside the network (measuring, scaling, the guard) over the network, and judging over the network.

With --parts the parts of one call, from importing to writing a zarr, in seconds of the wall and of the processor: each
in a process of its own, with as many threads as OMP_NUM_THREADS says. ``first call`` is what the network takes the
first time beyond what it takes later, its graph. Parts that run at the same time, as the guard of one tile and the
network of the next, are each counted in full, so that they add up to more than the whole, and the processor's seconds
of either hold those of both.

``stem``: a square lattice of 13 px with a dent, 20 counts per pixel, rows out of place by 0.02 periods. ``general``:
a smooth texture, 20 counts per pixel.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from inspect import isgenerator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import napari_hush as hush
from napari_hush.inference import plan, planning
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.at_once import Computed
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.guards import guard
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.synthesis import Lattice, ellipse, render_lattice, smooth_field
from napari_hush.synthesis.noise.registry import Compose, Poisson, RowJitter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_hush.inference.engines.registry import Engine

PERIOD, DOSE = 13.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, nargs="+", default=[1024, 2048], help="of the square image, px")
    parser.add_argument("--model", nargs="+", default=["stem", "general"], choices=["stem", "general"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="of one call, instead")
    args = parser.parse_args()
    if args.parts:
        print("| model | side, px | part | wall, s | processor, s |\n|---|---|---|---|---|")
        for name in args.model:
            for side in args.side:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    rows = pool.submit(call_parts, name, side).result()
                for part, (cpu, wall) in rows.items():
                    print(f"| {name} | {side} | {part} | {wall:.2f} | {cpu:.2f} |", flush=True)
        return
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

    def submit(self, *inputs: np.ndarray) -> Computed:
        return Computed(self(*inputs))

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


def call_parts(name: str, side: int) -> dict[str, tuple[float, float]]:
    """The parts of a call: seconds of the processor and of the wall."""
    program = "from napari_hush import denoise; import napari_hush.inference.denoise"
    rows = {"import": child_clock(program)}
    image, settings = draw(name, side), DenoiseSettings(device="cpu", precision="float32")
    models: list[Any] = []
    rows["load"] = clock(lambda: models.append(hush.load_model(name)))
    with TemporaryDirectory() as folder, LoadedModels(settings) as loaded:
        engine = TimedEngine(loaded.engine(models[0], image.size))
        times = {part: [0.0, 0.0] for part in ("measure", "guard", "write")}
        for owner, method, part in (
            (plan, "measure_guards", "measure"),
            (planning, "measure_scale", "measure"),
            (planning, "norms_steps", "measure"),
            (planning, "fitting_model", "measure"),
            (guard.Guard, "apply", "guard"),
            (plan.Plan, "store", "write"),
        ):
            timed_method(owner, method, times[part])
        network = []
        for turn in range(2):
            engine.times = (0.0, 0.0)
            for part in times.values():
                part[:] = 0.0, 0.0
            steps = denoise_steps(
                image, "auto", settings, engine=engine, loaded=loaded, out=Path(folder, f"{turn}.zarr")
            )
            whole = clock(partial(run_steps, steps))
            network.append(engine.times)
    rows["first call"] = (network[0][0] - network[1][0], network[0][1] - network[1][1])
    rows |= {"measure": tuple(times["measure"]), "network": network[1]}
    rows |= {"guard": tuple(times["guard"]), "write": tuple(times["write"]), "whole, 2nd call": whole}
    return rows


def timed_method(owner: Any, name: str, total: list[float]) -> None:
    """Add up the times of a function, or of a generator from step to step."""
    inner = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        results: list[Any] = []

        def whole() -> None:
            result = inner(*args, **kwargs)
            results.append(drained(result) if isgenerator(result) else result)

        cpu, wall = clock(whole)
        total[0], total[1] = total[0] + cpu, total[1] + wall
        return handed(*results[0]) if isinstance(results[0], Drained) else results[0]

    setattr(owner, name, timed)


class Drained(NamedTuple):
    """What a generator yielded and returned."""

    steps: list[Any]
    result: Any


def drained(generator: Generator[Any, None, Any]) -> Drained:
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return Drained(steps, end.value)


def handed(steps: list[Any], result: Any) -> Generator[Any, None, Any]:
    yield from steps
    return result


def child_clock(program: str) -> tuple[float, float]:
    """The times of a Python process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


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
