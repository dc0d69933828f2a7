"""Where the seconds of one command go: a small image from the shell, with a graph in the cache and without.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/cold_start.py [--side 512] [--model auto] [--repeats 5]

Each run is a process of its own, ``napari-hush denoise x.tif -o y.tif`` with everything on. ``first`` finds an empty
cache, ``kept`` what the first has left, ``off`` has none, as ``NAPARI_HUSH_CACHE=off``. Seconds are the wall's, medians
over the repeats, in turns so that a busy moment hits all alike; the last two columns are the whole process, by the wall
and by the processor. Each second belongs to one column only: ``import`` has all imports wherever they happen, ``start``
what Python takes before and after, ``convert`` the graph (read or built, and compiled), ``rest`` options and reading.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("start", "import", "load", "convert", "measure", "network", "guard", "judge", "write", "rest")
KINDS = ("off", "first", "kept")
CHILD = "child"  # as the first argument: this file measures itself


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="of the square image, px")
    parser.add_argument("--model", default="auto", help="as of napari-hush denoise")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "x.tif")
        write_image(image, options.side)
        for number in range(options.repeats):
            cache = Path(folder, f"cache{number}")
            for kind in KINDS:
                found[kind].append(run(image, options.model, "off" if kind == "off" else str(cache)))
    columns = (*STAGES, "wall", "cpu")
    print(f"{options.side} x {options.side} px, {options.model}, {os.cpu_count()} processors\n")
    print(f"| cache | torch | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for kind in KINDS:
        values = (statistics.median(one.get(name, 0.0) for one in found[kind]) for name in columns)
        torch = "yes" if any(one["torch"] for one in found[kind]) else "no"
        print(f"| {kind} | {torch} | {' | '.join(f'{value:.2f}' for value in values)} |")


def write_image(path: Path, side: int) -> None:
    """A square lattice of 13 px, 20 counts per pixel."""
    import numpy as np
    import tifffile

    y, x = np.mgrid[:side, :side] * (np.pi / 13)
    clean = 20 * np.sin(y) ** 8 * np.sin(x) ** 8 + 2
    tifffile.imwrite(path, np.random.default_rng(0).poisson(clean).astype(np.float32))


def run(image: Path, model: str, cache: str) -> dict[str, float]:
    """One process: seconds by stage, of the whole by the wall and by the processor, and whether torch was loaded."""
    command = [sys.executable, __file__, CHILD, "denoise", str(image), "-o", str(image.with_name("y.tif"))]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, "--model", model, "--overwrite"],
        env=os.environ | {"NAPARI_HUSH_CACHE": cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    seconds["start"] = wall - sum(seconds.get(name, 0.0) for name in STAGES)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds | {"wall": wall, "cpu": cpu}


class Clock:
    """Gives each second to the innermost stage that runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running = ["rest"]
        self._since = time.perf_counter()

    def turn(self) -> None:
        """Give what has passed to the stage that runs."""
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def of(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time is that of a stage."""

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            self.turn()
            self._running.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                self.turn()
                self._running.pop()

        return timed


def child(arguments: list[str]) -> None:
    """The command, with a clock in its parts."""
    import builtins
    import importlib

    clock = Clock()
    builtins.__import__ = clock.of("import", builtins.__import__)
    importlib.import_module = clock.of("import", importlib.import_module)
    from napari_hush.batch import one_file
    from napari_hush.cli import main as command
    from napari_hush.inference import denoise, plan, planning
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.tiles.runner import TileRunner

    def engine(self: LoadedModels, *given: Any) -> Any:
        chosen = choose(self, *given)
        kind = type(chosen)
        if not hasattr(kind.__call__, "__wrapped__"):
            kind.__call__ = clock.of("network", kind.__call__)
            if hasattr(kind, "_compile"):
                kind._compile = clock.of("convert", kind._compile)
        return chosen

    choose = LoadedModels.engine
    LoadedModels.engine = clock.of("load", engine)  # type: ignore[method-assign]
    LoadedModels.model = clock.of("load", LoadedModels.model)  # type: ignore[method-assign]
    denoise.plan_steps = lambda *given, **options: _timed_steps(clock, planned(*given, **options))
    planned = planning.plan_steps
    plan.Plan.task = clock.of("measure", plan.Plan.task)  # type: ignore[method-assign]
    TileRunner.finish = clock.of("guard", TileRunner.finish)  # type: ignore[method-assign]
    one_file.verdict_words = clock.of("judge", one_file.verdict_words)
    from napari_hush import io

    io.write_image = clock.of("write", io.write_image)
    code = command(arguments)
    clock.turn()
    print(json.dumps({**clock.seconds, "torch": float("torch" in sys.modules)}))
    sys.exit(code)


def _timed_steps(clock: Clock, steps: Any) -> Any:
    """A generator whose own time is that of measuring."""
    step = clock.of("measure", lambda: next(steps))
    while True:
        try:
            yield step()
        except StopIteration as stop:
            return stop.value


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        child(sys.argv[2:])
    else:
        main()
