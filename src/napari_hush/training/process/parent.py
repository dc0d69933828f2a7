"""A training in a process of its own, as a generator of `Progress`: it can be cancelled, and gives its memory back."""

from __future__ import annotations

import contextlib
import queue
import shutil
import tempfile
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.apart import Follower, ProcessError, follow
from napari_hush.training.process.child import Order, Report, TrainingOutcome, work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_hush.apart import Pipe
    from napari_hush.progress import Progress

MOST_POINTS = 4000  # of a curve


class TrainingError(ProcessError):
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
        outcome: TrainingOutcome = yield from follow(work, task, _Follower(run), name="napari-hush train")
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Follower(Follower):
    process = "the training process"
    advice = "take a smaller batch_size or patch. The last checkpoint is kept, if there was one: Resume goes on from it"
    error = TrainingError

    def __init__(self, run: RemoteTraining) -> None:
        self._run = run

    def started(self, pid: int) -> None:
        self._run.pid = pid

    def ask(self, pipe: Pipe) -> None:
        self._run.forward(pipe)

    def take(self, content: Report) -> Progress:
        self._run.take(content)
        return content.progress

    def take_after_stop(self, kind: str, content: Any) -> None:
        if kind == "event":
            self._run.take(content)
        elif kind == "stopped":
            self._run.step = content
        elif kind == "failed":
            warnings.warn(content[1], UserWarning, stacklevel=2)

    @property
    def in_a_hurry(self) -> bool:
        return self._run.at_once.is_set()
