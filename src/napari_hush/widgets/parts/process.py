"""A generator of `Progress` in a process of its own, so that its steps take no time from the viewer's thread.

Python runs one thread at a time: what computes beside the viewer makes it stutter, also where it computes in C.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from napari_hush.apart import GRACE_SECONDS, REPORT_SECONDS, Follower, Line, follow, make_way

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_hush.apart import Pipe
    from napari_hush.progress import Progress

T = TypeVar("T")
NICE = 10  # how much the process gives way to others


def steps_apart(make: Callable[[], Generator[Progress, None, T]]) -> Generator[Progress, None, T]:
    """Go through a job in a new process; leaving the loop lets it finish its step and close its generator.

    Parameters
    ----------
    make : callable
        Makes the generator in the other process: a function of a module, or a partial of one. Pictures in its events
        stay there.

    Raises
    ------
    InputError
        If something can be mended, also when the process was killed.
    ProcessError
        If anything else went wrong in it.
    """
    outcome: T = yield from follow(work, make, Follower(), name="napari-hush", daemon=True)
    return outcome


def work(pipe: Pipe, make: Callable[[], Generator[Progress, None, Any]]) -> None:
    """All that the other process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in napari's terminal is napari's
    make_way(NICE)
    line = _Line(pipe)
    line.tell_warnings()
    try:
        line.send(*_drained(make, line))
    except BaseException as error:  # whatever it is, napari must hear of it
        line.tell_error(error, "choose a smaller tile, or close other programs")


def _drained(make: Callable[[], Generator[Progress, None, Any]], line: _Line) -> tuple[str, Any]:
    sent, latest = 0.0, None
    with closing(make()) as steps:
        while not line.stopped.is_set():
            try:
                latest = next(steps)
            except StopIteration as end:
                return "done", end.value
            if time.monotonic() - sent >= REPORT_SECONDS or latest.step == latest.total:
                sent = time.monotonic()
                line.send("event", replace(latest, preview=None))
    return "stopped", None


class _Line(Line):
    """The line to napari: sends, and hears in a thread whether to stop."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(pipe)
        self.stopped = threading.Event()
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        with contextlib.suppress(EOFError, OSError):
            if self._pipe in wait([self._pipe, parent.sentinel]):
                self._pipe.recv()
        self.stopped.set()
        if not parent.is_alive():
            time.sleep(GRACE_SECONDS)
            os._exit(1)
