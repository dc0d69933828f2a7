"""How evenly the viewer draws while the dock *Denoise* works on a layer of a gigapixel, against a viewer at rest.

    python benchmarks/viewer_gaps.py [--side 32768] [--seconds 60] [--model stem]

Needs a screen; a virtual one will do: bash .ci/xvfb.sh python benchmarks/viewer_gaps.py

A sparse OME-Zarr (all chunks of a level are one file) is opened and moved about, in turn as a whole and pixel by pixel:
at rest, while the image is measured, while tiles are denoised into a file and shown, and at rest again with both
layers. Printed are percentiles of the time between two turns of the event loop, which a timer of 5 ms asks for, between
two frames, and of the processor's time that the viewer's process takes for a frame (which others on the machine change
less), ms. The run is then stopped: it need not come to its end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import zarr
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import Metadata
from napari_hush.io.formats.ngff import NOTE_KEY, image_note, layout_of, own_note
from napari_hush.io.formats.pyramid import halved, level_factors

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1024
TURN_MS, MOVE_MS = 5, 33
LOOK_SECONDS = 5.0  # at the whole, then at single pixels
SHARES = (50, 95, 99)
WHAT = ("turns", "frames", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32768, help="of the square image, px: a multiple of 1024")
    parser.add_argument("--seconds", type=float, default=60, help="that each part is looked at")
    parser.add_argument("--patience", type=float, default=900, help="seconds until the first tile")
    parser.add_argument("--model", default="stem", help="a bundled one, or a file")
    parser.add_argument("--tile", type=int, default=None, help="px")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "giga.zarr"
        sparse_zarr(source, args.side)
        measure(source, args)


def sparse_zarr(path: Path, side: int) -> None:
    """An image of one tile again and again, with smaller levels."""
    layout, factors = layout_of("YX"), level_factors((side, side))
    assert layout is not None
    notes = {"ome": image_note(layout, {}, "", factors), NOTE_KEY: own_note(layout, Metadata())}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes=notes)
    tile = np.tile(noisy_tile(), (2, 2))
    for number, factor in enumerate(factors):
        size = side // factor
        chunk = min(CHUNK, size)
        level = group.create_array(
            str(number), shape=(size, size), dtype=np.uint16, chunks=(chunk, chunk), dimension_names=["y", "x"]
        )
        level[:chunk, :chunk] = tile[:chunk, :chunk]
        first = path / str(number) / "c" / "0" / "0"
        for y in range(size // chunk):
            (path / str(number) / "c" / str(y)).mkdir(exist_ok=True)
            for x in range(size // chunk):
                if (y, x) != (0, 0):
                    os.link(first, path / str(number) / "c" / str(y) / str(x))
        tile = np.tile(halved(tile), (2, 2))


def noisy_tile() -> np.ndarray:
    """A lattice at low dose, uint16."""
    y, x = np.mgrid[:CHUNK, :CHUNK] * (2 * np.pi / 16)
    return np.random.default_rng(0).poisson(6 + 3 * np.cos(y) + 3 * np.cos(x)).astype(np.uint16)


class Watch:
    """Moves the camera and notes when the event loop turns and when the canvas is drawn."""

    def __init__(self, viewer: napari.Viewer, side: int) -> None:
        self.viewer, self.side = viewer, side
        self.turns: list[float] = []
        self.frames: list[float] = []
        self.cpu: list[float] = []
        self._step = 0
        self._timers = [self._timer(TURN_MS, self._turn), self._timer(MOVE_MS, self._move)]
        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._drawn)

    def percentiles(self) -> dict[str, np.ndarray]:
        """Of what was noted since the last call, ms."""
        found = {name: 1e3 * np.percentile(np.diff(getattr(self, name)), SHARES) for name in WHAT}
        self.turns, self.frames, self.cpu = [], [], []
        return found

    def _timer(self, pause: int, does: Callable[[], None]) -> QTimer:
        timer = QTimer()
        timer.timeout.connect(does)
        timer.start(pause)
        return timer

    def _turn(self) -> None:
        self.turns.append(time.perf_counter())

    def _drawn(self, _: Any) -> None:
        self.frames.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def _move(self) -> None:
        self._step += 1
        close = int(time.perf_counter() / LOOK_SECONDS) % 2
        zoom = 1.0 if close else 700 / self.side
        camera = self.viewer.scene.camera
        if camera.zoom != zoom:
            camera.zoom = zoom
        shift = 8 * (self._step % 50) / zoom
        camera.center = (0, self.side / 8 + shift * close, self.side / 8 + shift)


def measure(source: Path, args: argparse.Namespace) -> None:
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1300, 900)
    viewer.open(str(source), plugin="napari-hush")
    _, dock = viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    if Path(args.model).is_file():
        dock._models.add(Path(args.model))
    else:
        dock._models.setCurrentIndex(dock._models.findText(args.model))
    dock._form.value = DenoiseSettings(tile=args.tile)
    dock._keep.combo.setCurrentText("a .zarr file")
    watch = Watch(viewer, args.side)
    application = QApplication.instance()

    def pump(done: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            application.processEvents()
            time.sleep(0.0005)

    def look(what: str, done: Callable[[], bool] = lambda: False) -> dict[str, np.ndarray]:
        watch.percentiles() if len(watch.frames) > 1 else None
        pump(done, args.seconds)
        found = watch.percentiles()
        for name, values in found.items():
            print(f"{what:32} {name:7} " + "  ".join(f"{p} %: {v:6.1f}" for p, v in zip(SHARES, values, strict=True)))
        return found

    pump(lambda: False, 5)
    rest = look("at rest")
    dock.run()
    look("loading and measuring", lambda: len(viewer.layers) > 1)
    pump(lambda: len(viewer.layers) > 1 or not dock.running, args.patience)
    running = look("tiles", lambda: not dock.running)
    print(f"dock: {dock._progress.text}")
    dock.cancel()
    pump(lambda: not dock.running, 120)
    again = look("at rest, both layers")
    for name in WHAT:
        for other, what in ((rest, "at rest"), (again, "at rest with both layers")):
            print(f"{name}: 95 % above {what}: {running[name][1] - other[name][1]:.1f} ms")
    viewer.close()
    pump(lambda: False, 1)


if __name__ == "__main__":
    main()
