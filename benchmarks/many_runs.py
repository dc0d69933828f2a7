"""Whether memory stays flat while the dock *Denoise* runs again and again in one session.

    bash .ci/xvfb.sh python benchmarks/many_runs.py [--runs 30] [--size 1024]

First layers are added and removed without the dock: napari and OpenGL keep some memory of each layer there ever was.
Then the dock runs on one layer, each result removed; then on a new layer each time, which is removed with its result.
Prints the resident memory after each run, and what was added per run after the first five, which fill caches: a line
through the rest, MB per run. Ends with 1 where a run adds more than `BOUND` to what napari keeps of its layers.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from typing import TYPE_CHECKING

import napari
import numpy as np
import psutil
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WARM = 5
BOUND = 0.5  # MB per run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="of each kind")
    parser.add_argument("--size", type=int, default=1024, help="side of the square image, px")
    args = parser.parse_args()
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    alone = session(viewer, None, args)
    above = [session(viewer, dock, args) - alone, session(viewer, dock, args, anew=True) - 2 * alone]
    print(f"above what napari keeps of its layers: {above[0]:+.2f} and {above[1]:+.2f} MB per run")
    viewer.close()
    QThreadPool.globalInstance().waitForDone()
    wait_until(lambda: False, 0.5)
    return int(max(above) > BOUND)


def session(viewer: napari.Viewer, dock: Any, args: argparse.Namespace, *, anew: bool = False) -> float:
    """Run after run on one layer, or on a new one each time; without a dock add a layer. Returns MB per run."""
    what = "no run, a layer" if dock is None else "another layer each time" if anew else "the same layer"
    process, used = psutil.Process(), []
    for number in range(args.runs):
        if anew or not number:
            viewer.layers.clear()
            image = np.random.default_rng(number).poisson(10, (args.size, args.size)).astype(np.float32)
            viewer.add_image(image, name=f"scan {number}")
        kept = list(viewer.layers)
        if dock is None:
            viewer.add_image(image * 2, name="layer")
            wait_until(lambda: False, 0.2)
        else:
            dock.run()
            wait_until(lambda: not dock.running and not dock._verdict.running)
        for layer in [one for one in viewer.layers if one not in kept]:
            viewer.layers.remove(layer)
        wait_until(lambda: False, 0.2)
        gc.collect()
        used.append(process.memory_info().rss / 2**20)
        print(f"{what}, run {number + 1}: {used[-1]:.0f} MB", flush=True)
    slope = float(np.polyfit(np.arange(len(used[WARM:])), used[WARM:], 1)[0])
    print(f"{what}: {slope:+.2f} MB per run after the first {WARM}, {used[-1] - used[WARM]:+.0f} MB in all")
    return slope


def wait_until(done: Callable[[], bool], seconds: float = 600.0) -> None:
    """Let the viewer live until something is so, or for some seconds."""
    application, end = QApplication.instance(), time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        application.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
