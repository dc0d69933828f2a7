"""Runs a generator of `Progress` in a thread and reports to the GUI; the only file with threads.

The thread knows nothing of Qt: it leaves what it has in plain attributes, which a timer reads. So it does no harm when
the process ends before a long step has. A worker of Qt would then find its signals gone, and Qt would abort it all.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
import traceback
import warnings
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal, Slot  # type: ignore[attr-defined]

from napari_hush.progress import Progress
from napari_hush.widgets.parts.bits import when_deleted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

LOOK_MS = 25  # between two looks at what the thread has left
EVERY = 4  # looks: redrawing progress more often slows the computation down
PATIENCE = 0.3  # seconds that a cancelled job is waited for before it is left to end by itself
WAITING = "waiting for the end of what was cancelled…"
LAST_WAIT = 2.0  # seconds for steps under way when the process ends
QUIET = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)


@dataclass(eq=False)
class _Task:
    """What the thread and the GUI share: plain attributes, each written by one of them."""

    make: Callable[[], Generator[Progress, None, Any]]
    before: tuple[_Task, ...] = ()  # let go by who has cancelled them, and perhaps not at their end yet
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    latest: Progress | None = None
    outcome: tuple[str, Any] | None = None
    warned: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Leave the outcome; runs in the thread, which whoever ends the process knows meanwhile."""
        _RUNNING.add(threading.current_thread())
        self._wait()
        try:
            with _warnings_to(self.warned):
                self.outcome = self._drained()
        finally:
            self.ended.set()
            _RUNNING.discard(threading.current_thread())

    def _drained(self) -> tuple[str, Any]:
        try:
            if self.stop.is_set():
                return "cancelled", None
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

    def _wait(self) -> None:
        """Wait for those before it: two at once would be in each other's way."""
        for task in self.before:
            while not task.ended.wait(LOOK_MS / 1e3) and not self.stop.is_set():
                self.latest = Progress(0, 0, WAITING)
        self.before = ()


_RUNNING: set[threading.Thread] = set()


@contextmanager
def _warnings_to(texts: list[str]) -> Iterator[None]:
    """Collect the texts of this thread's warnings, once each; those of others are shown as ever."""
    mine, before = threading.get_ident(), warnings.showwarning

    def collect(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if threading.get_ident() != mine:
            before(message, category, *place, **more)
        elif not issubclass(category, QUIET) and str(message) not in texts:
            texts.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = collect
        yield


class Job(QObject):
    """One job at a time in a thread.

    Attributes
    ----------
    progressed : Signal(object)
        The latest `Progress`, at most ten times a second.
    returned, errored : Signal(object)
        The generator's return value; any exception.
    cancelled : Signal()
        It has stopped because of `cancel`, or will after its current step.
    settled : Signal()
        One that was heard of by `cancelled` before it had stopped has done so now.
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
    settled = Signal()
    warned = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._tasks: list[_Task] = []  # the running one, or none
        self._left: list[_Task] = []  # cancelled ones that go on to the end of their step
        self._due = math.inf  # when the running one is left, s
        self._reported: Progress | None = None
        self._heard, self._looks = 0, 0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
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
        task = _Task(make, tuple(self._left))
        self._tasks.append(task)
        self._heard = self._looks = 0
        self._due = math.inf
        self._timer.start()
        threading.Thread(target=task.run, name="napari-hush", daemon=True).start()

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the job to stop after its current step; `cancelled` tells when it has.

        Parameters
        ----------
        at_once : bool
            Whether a long step is not waited for: nothing is heard of it any more, and the next job begins at its end.
        """
        for task in self._tasks:
            task.stop.set()
        if at_once:
            self._due = min(self._due, time.monotonic() + PATIENCE)

    @Slot()  # type: ignore[untyped-decorator]
    def _look(self) -> None:
        """Tell what the thread has left."""
        self._look_after()
        if not self._tasks:
            return
        task, outcome = self._tasks[0], self._tasks[0].outcome  # first, so that no warning comes after the end
        while self._heard < len(task.warned):
            self._heard += 1
            self.warned.emit(task.warned[self._heard - 1])
            if not self._tasks:  # whoever heard of it has closed the dock
                return
        if outcome is not None:
            self._end(*outcome)
            return
        if time.monotonic() > self._due:
            self._left.append(task)
            self._end("cancelled", None)
            return
        self._looks += 1
        event = task.latest
        if self._looks % EVERY == 0 and event is not self._reported and event is not None and not task.stop.is_set():
            self._reported = event
            self.progressed.emit(event)

    def _look_after(self) -> None:
        """See whether what was left has ended."""
        ended = [task for task in self._left if task.ended.is_set()]
        for task in ended:
            self._left.remove(task)
        if not (self._left or self._tasks):
            self._timer.stop()
        if ended:
            self.settled.emit()

    def _end(self, kind: str, value: Any) -> None:
        self._tasks.clear()
        if not self._left:
            self._timer.stop()
        if kind == "cancelled":
            self.cancelled.emit()
        else:
            getattr(self, kind).emit(value)


@atexit.register
def _wait() -> None:
    """Let short steps end before the interpreter does."""
    for thread in tuple(_RUNNING):
        thread.join(LAST_WAIT)


def _forget_locals(error: BaseException | None) -> None:
    """Keep the lines of a traceback, but not the images and tiles that its frames hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _abandon(tasks: list[_Task]) -> None:
    for task in tasks:
        task.stop.set()
    tasks.clear()
