"""The process that trains for the dock *Train*: knows nothing of Qt, and ends by itself when its napari is gone."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - pickled
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hush.apart import GRACE_SECONDS, REPORT_SECONDS, Line, make_way
from napari_hush.progress import Progress, drain
from napari_hush.training.figures import WITHOUT_TRUTH, of_validation

if TYPE_CHECKING:
    from napari_hush.apart import Pipe
    from napari_hush.model import Model
    from napari_hush.training.settings import TrainSettings

NICE = 5  # how much the process gives way to others
SHOWN_FIGURES = ("psnr", "noisy_psnr", WITHOUT_TRUTH)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Images on the disk.

    Parameters
    ----------
    path : Path
        What a person chose; or a file with one array.
    kind : {"path", "npy", "raw", "zarr"}
        How to open it: as a person's choice, or as an array.
    inside : str
        The array's place in a zarr store.
    layout : tuple
        Of a raw file: dtype, shape and offset.
    """

    path: Path
    kind: Literal["path", "npy", "raw", "zarr"] = "path"
    inside: str = ""
    layout: tuple[str, tuple[int, ...], int] | None = None

    def open(self) -> Any:
        """The array, not read yet; or the path."""
        if self.kind == "npy":
            return np.load(self.path, mmap_mode="r")
        if self.kind == "raw" and self.layout is not None:
            dtype, shape, offset = self.layout
            return np.memmap(self.path, dtype, "r", offset, shape)
        if self.kind == "zarr":
            import zarr

            return zarr.open_array(str(self.path), path=self.inside, mode="r")
        return self.path


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    settings : TrainSettings
        Of the method.
    noisy, clean, truth : Stored
        The images.
    channel_axis : int or None
        The axis of arrays that counts colours or channels.
    model, checkpoint : Path
        The files to write.
    resume : bool
        Whether to go on from the checkpoint.
    folder : Path
        Of temporary files, which are removed here if napari is gone.
    """

    method: str
    settings: TrainSettings
    noisy: Stored
    clean: Stored | None = None
    truth: Stored | None = None
    channel_axis: int | None = None
    model: Path
    checkpoint: Path
    resume: bool = False
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Report:
    """What has happened since the last one: where the run is, and points (name, step, value) of the curves."""

    progress: Progress
    points: list[tuple[str, int, float]]


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """A finished training.

    Parameters
    ----------
    model : Path
        Its file.
    steps : int
        Updates of the network.
    stopped : str
        Why it ended early; empty if it did not.
    figures : dict of str to float
        Of the validation.
    """

    model: Path
    steps: int
    stopped: str
    figures: dict[str, float]


def work(pipe: Pipe, order: Order) -> None:
    """Train as ordered, and tell what happens; the process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for napari, whose end is noticed
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads would take the viewer's time
    make_way(NICE)
    line = _Line(pipe, order.folder)
    line.tell_warnings()
    try:
        line.send("event", Report(progress=Progress(0, 0, "loading PyTorch…"), points=[]))
        line.send(*_train(order, line))
    except BaseException as error:  # whatever it is, napari must hear of it
        line.tell_error(error, "take a smaller batch_size or patch, or a smaller network")
    line.clean_up()


class _StopRequestedError(Exception):
    """Napari wants the training to end after the step that was just done."""


def _train(order: Order, line: _Line) -> tuple[str, Any]:
    from napari_hush.training.data.open import TrainingSource
    from napari_hush.training.fit import fit

    line.send("event", Report(progress=Progress(0, 0, "opening the images…"), points=[]))
    reporter = _Reporter(line)
    if order.resume:
        reporter.remember(order.checkpoint)
    noisy, clean, truth = (None if one is None else one.open() for one in (order.noisy, order.clean, order.truth))
    images = noisy if clean is None else (noisy, clean)
    data = TrainingSource(data=images, truth=truth, channel_axis=order.channel_axis)
    steps = fit(
        order.method,
        data,
        order.settings,
        checkpoint=order.checkpoint,
        resume=order.checkpoint if order.resume else None,
    )

    def report(event: Progress) -> None:
        line.begun = True
        reporter.take(event)
        if line.wait():
            raise _StopRequestedError

    try:
        model = drain(steps, report)  # where it is left, the checkpoint is written
    except _StopRequestedError:
        return "stopped", reporter.step
    reporter.flush()
    return "done", _save(model, order)


def _save(model: Model, order: Order) -> TrainingOutcome:
    from napari_hush.training.keep import free_name, save_or_keep

    path = free_name(order.model)  # hours have passed since it was free
    save_or_keep(model, path)
    card = model.card
    return TrainingOutcome(
        model=path,
        steps=int(card.training["steps"]),
        stopped=str(card.training.get("stopped", "")),
        figures=dict(card.metrics.get("validation", {})),
    )


class _Line(Line):
    """The line to napari: sends, and hears in a thread what is asked for."""

    def __init__(self, pipe: Pipe, folder: Path) -> None:
        super().__init__(pipe)
        self.begun = False  # before the first step there is nothing to be saved
        self._folder, self._parent = folder, os.getppid()
        self._go, self._stop = threading.Event(), threading.Event()
        self._alone = False
        self._go.set()
        threading.Thread(target=self._hear, daemon=True).start()

    def wait(self) -> bool:
        """Between two steps: wait while the run is paused; returns whether it is to stop."""
        self._go.wait()
        return self._stop.is_set()

    def clean_up(self) -> None:
        """At the end: without a napari, the temporary files are removed here."""
        if self._alone:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _hear(self) -> None:
        while True:
            try:
                if self._pipe.poll(1.0):
                    self._obey(self._pipe.recv())
                elif self._orphaned():
                    break
            except (EOFError, OSError):
                break
        self._alone = True
        self._obey("stop")
        time.sleep(GRACE_SECONDS)
        self.clean_up()
        os._exit(1)

    def _obey(self, word: str) -> None:
        if word == "pause":
            self._go.clear()
            return
        if word == "stop":
            self._stop.set()
            if not self.begun:
                self.clean_up()
                os._exit(0)
        self._go.set()

    def _orphaned(self) -> bool:
        parent = multiprocessing.parent_process()
        return os.getppid() != self._parent or (parent is not None and not parent.is_alive())


class _Reporter:
    """Puts the events of fast steps together: at most ten reports a second, no validation lost."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._sums: dict[str, tuple[float, int]] = {}
        self._points: list[tuple[str, int, float]] = []
        self._event = Progress(0, 0)
        self._preview: Any = None
        self._sent = self._rated = time.monotonic()
        self._rate, self._first = 0.0, -1  # steps per second, and the step from which they count

    @property
    def step(self) -> int:
        """The last one that was taken."""
        return self._event.step

    def remember(self, checkpoint: Path) -> None:
        """Begin with the curves of the run that goes on."""
        from napari_hush.training.checkpoint import read_checkpoint

        for record in read_checkpoint(checkpoint).get("history", []):
            names = [name for name in record if name not in ("step", "seconds") and not of_validation(name)]
            self._add(int(record["step"]), {name: record[name] for name in (*names, *SHOWN_FIGURES) if name in record})

    def take(self, event: Progress) -> None:
        """Note one step."""
        validated = "noisy_psnr" in event.losses or WITHOUT_TRUTH in event.losses
        for name, value in event.losses.items():
            if not (validated and of_validation(name)):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + value, count + 1
        if validated:
            self._add(event.step, {name: event.losses[name] for name in SHOWN_FIGURES if name in event.losses})
        if event.preview is not None:
            self._preview = event.preview
        self._event = event
        if time.monotonic() - self._sent >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what was noted."""
        event, now = self._event, time.monotonic()
        self._add(event.step, {name: total / count for name, (total, count) in self._sums.items()})
        if self._first < 0:
            self._first, self._rated = event.step, now
        elif now > self._rated + 1.0:
            new = (event.step - self._first) / (now - self._rated)
            self._rate = new if not self._rate else 0.7 * self._rate + 0.3 * new
            self._first, self._rated = event.step, now
        words = f"step {event.step} of {event.total}"
        if self._rate:
            words += f", {self._rate:.2g} steps/s"
        words += event.message.partition(" left")[2]  # how good it is
        progress = replace(event, message=words, losses={}, preview=self._preview)
        self._line.send("event", Report(progress=progress, points=self._points))
        self._points, self._sums, self._preview, self._sent = [], {}, None, now

    def _add(self, step: int, values: dict[str, float]) -> None:
        self._points += [(name, step, float(value)) for name, value in values.items()]
