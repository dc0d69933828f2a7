"""How well the viewer answers while a model is trained, in a thread of napari's process and in a process of its own.

    python benchmarks/train_dock.py [--seconds 10] [--width 16]

Needs a screen; a virtual one will do: bash .ci/xvfb.sh python benchmarks/train_dock.py

A timer of 16 ms asks for frames; panning moves the camera at each of them, so that the canvas is drawn anew. Frames are
the intervals between two calls of the timer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_hush.training.process.child import Order, Stored
from napari_hush.training.process.parent import RemoteTraining, train_steps
from napari_hush.training.settings import SupervisedSettings
from napari_hush.widgets.parts.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_hush.progress import Progress

NAMES = ("noisy", "clean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--width", type=int, default=16, help="channels of the U-Net's first level")
    parser.add_argument("--patch", type=int, default=64, help="px")
    args = parser.parse_args()
    settings = SupervisedSettings(
        patch=args.patch,
        batch_size=4,
        steps=1_000_000,
        validate_every=1_000_000,
        network_options=f"width = {args.width}",
        device="cpu",
    )
    rng = np.random.default_rng(0)
    clean = np.kron(rng.random((12, 32, 32)), np.ones((8, 8))).astype(np.float32)
    images = {"noisy": clean + rng.normal(0, 0.2, clean.shape).astype(np.float32), "clean": clean}
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    viewer.add_image(rng.poisson(10, (2048, 2048)).astype(np.float32))
    print(f"{'training':>10} {'viewer':>8} {'median':>8} {'95 %':>8} {'longest':>8} {'steps/s':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, data in images.items():
            np.save(folder / f"{what}.npy", data)
        pump(lambda: False, 2)
        report(viewer, "none", args.seconds, None)
        for kind, make in (("thread", in_thread), ("process", in_process)):
            run = RemoteTraining()
            parent = QObject()
            job = Job(parent)
            job.errored.connect(fail)
            job.start(partial(make, folder, settings, run))
            pump(lambda run=run: run.step > 5, 120)
            report(viewer, kind, args.seconds, run)
            start = time.monotonic()
            job.cancel()
            pump(lambda job=job: not job.running, 60)
            print(f"{kind:>10} cancelled after {time.monotonic() - start:.2f} s")
    viewer.close()
    pump(lambda: False, 0.5)


def report(viewer: napari.Viewer, kind: str, seconds: float, run: RemoteTraining | None) -> None:
    """Measure with the viewer at rest and panned; print two lines."""
    for what in ("at rest", "panned"):
        ticks: list[float] = []

        def tick(ticks: list[float] = ticks, what: str = what) -> None:
            ticks.append(time.perf_counter())
            if what == "panned":
                angle = ticks[-1]
                viewer.scene.camera.center = (1024 + 300 * np.sin(angle), 1024 + 300 * np.cos(angle))

        timer = QTimer()
        timer.timeout.connect(tick)
        timer.start(16)
        before, start = run.step if run else 0, time.perf_counter()
        pump(lambda: False, seconds)
        rate = ((run.step if run else 0) - before) / (time.perf_counter() - start)
        timer.stop()
        gaps = 1e3 * np.diff(ticks)
        figures = (np.median(gaps), np.percentile(gaps, 95), gaps.max())
        words = " ".join(f"{figure:5.0f} ms" for figure in figures)
        print(f"{kind:>10} {what:>8} {words} {f'{rate:.2f}' if run else '':>8}", flush=True)


def in_thread(folder: Path, settings: SupervisedSettings, run: RemoteTraining) -> Iterator[Progress]:
    """Train where the viewer lives."""
    from napari_hush.training.fit import fit

    data = tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES)
    with closing(fit("supervised", data, settings, checkpoint=folder / "thread.ckpt")) as steps:
        for event in steps:
            run.step = event.step
            yield event


def in_process(folder: Path, settings: SupervisedSettings, run: RemoteTraining) -> Iterator[Progress]:
    """Train as the dock does."""

    def order(temporary: Path) -> Iterator[Order]:
        noisy, clean = (Stored(path=folder / f"{name}.npy", kind="npy") for name in NAMES)
        return Order(
            method="supervised",
            settings=settings,
            noisy=noisy,
            clean=clean,
            model=folder / "process.safetensors",
            checkpoint=folder / "process.ckpt",
            folder=temporary,
        )
        yield  # it is a generator

    return (yield from train_steps(order, run))


def pump(done: Callable[[], bool], seconds: float) -> None:
    """Let Qt work until something is done, or for some seconds."""
    application, end = QApplication.instance(), time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        application.processEvents()
        time.sleep(0.001)


def fail(error: BaseException) -> None:
    raise SystemExit(f"the training failed: {error}")


if __name__ == "__main__":
    main()
