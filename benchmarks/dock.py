"""How long each dock takes to open, *Denoise* to preview and to cancel, and how long the viewer stands still meanwhile.

    python benchmarks/dock.py [--size 1024] [--tile 128] [--opening]

Each dock is opened in a fresh napari with an image. Needs a screen; a virtual one will do:
bash .ci/xvfb.sh python benchmarks/dock.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import dask.array as da
import napari
import numpy as np
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication

from napari_hush.inference.settings import DenoiseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

DOCKS = ("Denoise", "Compare", "Evaluate", "Train", "Synthesise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side of the square image, px")
    parser.add_argument("--tile", type=int, default=128, help="px")
    parser.add_argument("--opening", action="store_true", help="measure nothing else")
    parser.add_argument("--only", choices=DOCKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        open_one(args.only)
        return
    for name in DOCKS:
        subprocess.run([sys.executable, __file__, "--only", name], check=True)
    if args.opening:
        return
    print(f"import napari_hush: {import_seconds('import napari_hush') - import_seconds(''):.3f} s")
    viewer = napari.Viewer()
    application = QApplication.instance()
    viewer.add_image(np.random.default_rng(0).poisson(10, (args.size, args.size)).astype(np.float32))

    def work_until(done: Callable[[], bool]) -> None:
        while not done():
            application.processEvents()
            time.sleep(0.002)

    def pause(seconds: float) -> None:
        end = time.monotonic() + seconds
        work_until(lambda: time.monotonic() > end)

    pause(1)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(10)

    def report(what: str) -> None:
        gaps = np.diff(ticks)
        print(f"{what}: longest standstill {gaps.max():.2f} s, median {np.median(gaps) * 1e3:.0f} ms")
        ticks.clear()

    pause(1)
    report("at rest")
    dock.preview()
    work_until(lambda: not dock.running)
    report("first preview, loading torch")
    dock._form.value = DenoiseSettings(tile=args.tile)
    dock.run()
    work_until(lambda: not dock.running)
    pause(0.5)
    report(f"run in tiles of {args.tile} px")
    dock.run()
    pause(1.5)
    start = time.monotonic()
    dock.cancel()
    work_until(lambda: not dock.running)
    print(f"cancel: {time.monotonic() - start:.2f} s, layers: {len(viewer.layers)}")
    viewer.layers.clear()
    stack = np.random.default_rng(1).poisson(10, (20, args.size, args.size)).astype(np.uint16)
    viewer.add_image(stack)
    viewer.scene.camera.zoom *= 4
    pause(0.5)
    for what in ("first", "second", "third"):
        start, used = time.monotonic(), time.process_time()
        dock.preview()
        work_until(lambda: not dock.running)
        seconds, used = time.monotonic() - start, time.process_time() - used
        print(f"{what} preview of a stack of 20: {seconds:.2f} s, {used:.2f} s of the processor")
    viewer.layers.clear()
    viewer.add_image(slow_stack(stack), contrast_limits=(0, 40))
    pause(0.5)
    for wait in (0.3, 1, 2, 4):
        dock.preview()
        pause(wait)
        start = time.monotonic()
        dock.cancel()
        work_until(lambda: not dock.running)
        print(f"chunks that take 1 s, cancelled after {wait} s: dock free in {time.monotonic() - start:.2f} s")
    viewer.close()
    QThreadPool.globalInstance().waitForDone()  # the verdict of the first run may still be under way
    pause(0.3)


def open_one(name: str) -> None:
    """Open a dock for the first time, and once more after it was closed."""
    viewer = napari.Viewer()
    application = QApplication.instance()
    viewer.add_image(np.random.default_rng(0).poisson(10, (1024, 1024)).astype(np.float32))
    for _ in range(50):
        application.processEvents()
        time.sleep(0.02)
    for when in ("at first", "again"):
        start, used = time.perf_counter(), time.process_time()
        _, dock = viewer.window.add_plugin_dock_widget("napari-hush", name)
        for _ in range(10):  # until it is drawn among its tabs
            application.processEvents()
        seconds, used = time.perf_counter() - start, time.process_time() - used
        print(f"{name} opens {when} in {seconds:.2f} s, {used:.2f} s of the processor", flush=True)
        viewer.window.remove_dock_widget(dock)
    assert "torch" not in sys.modules, f"{name} loaded torch"
    os._exit(0)  # Qt and OpenGL may crash where an interpreter ends, which is not what is measured


def slow_stack(stack: np.ndarray) -> Any:
    """The same stack with one chunk for each plane, which takes a second to be read."""

    def load(block_id: tuple[int, ...] | None = None) -> np.ndarray:
        if block_id is None:  # dask asks what comes out
            return stack[:1]
        time.sleep(1)
        return stack[block_id[0]][None]

    return da.map_blocks(load, chunks=((1,) * len(stack), *((n,) for n in stack.shape[1:])), dtype=stack.dtype)


def import_seconds(statement: str) -> float:
    """The fastest of five fresh interpreters."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
