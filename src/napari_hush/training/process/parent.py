"""A training in a process of its own, as a generator of `Progress`: it can be cancelled, and gives its memory back."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import shutil
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.datasets.pool import main_set_aside
from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.training.process.child import GRACE_SECONDS, Order, Report, TrainingOutcome, work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_hush.training.process.child import Pipe

POLL_SECONDS = 0.05
MOST_POINTS = 4000  # of a curve


class TrainingError(RuntimeError):
    """What went wrong in the other process, with its traceback as the cause."""


@dataclass(eq=False)
class RemoteTraining:
    """What the dock and the thread of one training share: plain attributes, each written by one of them.

    Attributes
    ----------
    curves : dict of str to list of (int, float)
        Steps and values of losses and figures.
    preview : ndarray or None
        The latest picture.
    step : int
        The last one that was heard of.
    paused : bool
        Whether it is to wait.
    at_once : Event
        Set to kill the process instead of waiting for its step.
    pid : int
        Of the process.
    """

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    preview: NDArray[Any] | None = None
    step: int = 0
    paused: bool = False
    at_once: threading.Event = field(default_factory=threading.Event)
    pid: int = 0
    _words: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)

    def pause(self, paused: bool) -> None:
        """Let it wait between two steps, or go on."""
        self.paused = paused
        self._words.put("pause" if paused else "go")

    def forward(self, pipe: Pipe) -> None:
        """Send to the process what was asked for; in the thread."""
        with contextlib.suppress(queue.Empty):
            while True:
                pipe.send(self._words.get_nowait())

    def take(self, report: Report) -> None:
        """Note what a report says; in the thread."""
        for name, step, value in report.points:
            curve = self.curves.setdefault(name, [])
            curve.append((step, value))
            if len(curve) > MOST_POINTS:
                self.curves[name] = curve[::2]
        self.step = max(self.step, report.progress.step)
        if report.progress.preview is not None:
            self.preview = report.progress.preview


def train_steps(
    order: Callable[[Path], Generator[Progress, None, Order]], run: RemoteTraining
) -> Generator[Progress, None, TrainingOutcome]:
    """Train in a new process; leaving the loop lets it finish its step and write its checkpoint.

    Parameters
    ----------
    order : callable
        Given a folder for temporary files, writes what the process needs and says what to do.
    run : RemoteTraining
        Is kept up to date.

    Raises
    ------
    InputError
        If something can be mended, also when the process was killed.
    TrainingError
        If anything else went wrong in it.
    """
    folder = Path(tempfile.mkdtemp(prefix="napari-hush-"))
    try:
        task = yield from order(folder)
        yield Progress(0, 0, "starting a process…")
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads of Qt or torch can hang
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, task), name="napari-hush train")
        with main_set_aside():
            process.start()
        theirs.close()  # so that its end is noticed here
        run.pid = process.pid or 0
        try:
            return (yield from _listen(process, ours, run))
        finally:
            _end(process, ours, run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listen(process: Any, pipe: Pipe, run: RemoteTraining) -> Generator[Progress, None, TrainingOutcome]:
    latest = Progress(0, 0, "starting a process…")
    while True:
        kind: str = ""
        content: Any = None
        try:
            run.forward(pipe)
            if pipe.poll(POLL_SECONDS):
                kind, content = pipe.recv()
        except (EOFError, OSError):
            process.join(GRACE_SECONDS)
            raise InputError(_why_it_ended(process.exitcode)) from None
        if kind == "event":
            run.take(content)
            latest = content.progress
        elif kind == "warning":
            warnings.warn(content, UserWarning, stacklevel=2)
        elif kind == "failed":
            mendable, text, trace = content
            if mendable:
                raise InputError(text)
            raise TrainingError(text) from TrainingError(f"in the training process:\n{trace}")
        elif kind == "done":
            outcome: TrainingOutcome = content
            return outcome
        yield latest


def _end(process: Any, pipe: Pipe, run: RemoteTraining) -> None:
    """Let the process stop, and see to it that it does."""
    deadline = time.monotonic() + GRACE_SECONDS

    def patient() -> bool:
        return process.is_alive() and time.monotonic() < deadline and not run.at_once.is_set()

    try:
        with contextlib.suppress(EOFError, OSError):
            pipe.send("stop")
            while patient():
                if not pipe.poll(POLL_SECONDS):
                    continue
                kind, content = pipe.recv()  # it may wait for somebody who reads
                if kind == "event":
                    run.take(content)
                elif kind == "stopped":
                    run.step = content
                elif kind == "failed":
                    warnings.warn(content[1], UserWarning, stacklevel=2)
        while patient():
            process.join(POLL_SECONDS)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        pipe.close()
        process.close()


def _why_it_ended(code: int | None) -> str:
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return (
        f"the training process {how}, perhaps because memory ran out: take a smaller batch_size or patch. The last "
        "checkpoint is kept, if there was one: Resume goes on from it"
    )
