"""Runs a generator of `Progress` in a thread and reports to the GUI; the only file with threads.

The generator is drained inside a plain function: superqt's generator workers swallow ``RuntimeError`` (so every torch
out-of-memory) and leave the generator's ``finally`` undone when they quit.
"""

from __future__ import annotations

import threading
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal, Slot  # type: ignore[attr-defined]
from superqt.utils import FunctionWorker

from napari_hush.widgets.parts.bits import when_deleted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_hush.progress import Progress

INTERVAL_MS = 100  # redrawing more often slows the computation down
QUIET = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)


@dataclass(eq=False)
class _Task:
    """What the thread and the GUI share: plain attributes, each written by one of them."""

    make: Callable[[], Generator[Progress, None, Any]]
    stop: threading.Event = field(default_factory=threading.Event)
    latest: Progress | None = None
    seen: set[str] = field(default_factory=set)
    worker: Any = None

    def drain(self) -> tuple[str, Any]:
        """Run to the end, to an error, or until it is told to stop; runs in the thread."""
        try:
            with closing(self.make()) as steps:
                while not self.stop.is_set():
                    try:
                        self.latest = next(steps)
                    except StopIteration as end:
                        return ("cancelled", None) if self.stop.is_set() else ("returned", end.value)
            return "cancelled", None
        except BaseException as error:  # whatever it is, the GUI must hear of it
            _forget_locals(error)
            return "errored", error


class Job(QObject):
    """One job at a time in a thread.

    Attributes
    ----------
    progressed : Signal(object)
        The latest `Progress`, at most ten times a second.
    returned, errored : Signal(object)
        The generator's return value; any exception.
    cancelled : Signal()
        It has stopped because of `cancel`.
    warned : Signal(str)
        The text of a warning raised by the job, once per text.

    Notes
    -----
    All signals are sent in the GUI's thread. When the parent is deleted, the job is told to stop and heard no more.
    """

    progressed = Signal(object)
    returned = Signal(object)
    errored = Signal(object)
    cancelled = Signal()
    warned = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._tasks: list[_Task] = []  # the running one, or none
        self._reported: Progress | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._report)
        # a method of a dying QObject is not called any more: the clean-up must not be one
        when_deleted(self, partial(_abandon, self._tasks))

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return bool(self._tasks)

    def start(self, make: Callable[[], Generator[Progress, None, Any]]) -> None:
        """Start a job.

        Parameters
        ----------
        make : callable
            Makes the generator; called in the thread, so that slow imports can happen there.

        Raises
        ------
        RuntimeError
            If the last one is still running.
        """
        if self.running:
            raise RuntimeError("a job is already running: cancel it or wait for its end")
        task = _Task(make)
        task.worker = FunctionWorker(task.drain)
        task.worker.returned.connect(self._on_end)
        task.worker.warned.connect(self._on_warning)
        self._tasks.append(task)
        self._timer.start()
        task.worker.start()

    def cancel(self) -> None:
        """Ask the job to stop after its current step; `cancelled` tells when it has."""
        for task in self._tasks:
            task.stop.set()

    @Slot()  # type: ignore[untyped-decorator]
    def _report(self) -> None:
        task = self._tasks[0]
        event = task.latest
        if event is not None and event is not self._reported and not task.stop.is_set():
            self._reported = event
            self.progressed.emit(event)

    @Slot(object)  # type: ignore[untyped-decorator]
    def _on_end(self, outcome: tuple[str, Any]) -> None:
        self._timer.stop()
        self._tasks.clear()
        kind, value = outcome
        if kind == "cancelled":
            self.cancelled.emit()
        else:
            getattr(self, kind).emit(value)

    @Slot(tuple)  # type: ignore[untyped-decorator]
    def _on_warning(self, shown: tuple[Any, ...]) -> None:
        text, category = str(shown[0]), shown[1]
        if not self._tasks or issubclass(category, QUIET) or text in self._tasks[0].seen:
            return
        self._tasks[0].seen.add(text)
        self.warned.emit(text)


def _forget_locals(error: BaseException | None) -> None:
    """Keep the lines of a traceback, but not the images and tiles that its frames hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _abandon(tasks: list[_Task]) -> None:
    for task in tasks:
        task.stop.set()
        for signal in (task.worker.returned, task.worker.warned):
            try:
                signal.disconnect()
            except (RuntimeError, TypeError):  # Qt was faster
                continue
    tasks.clear()
