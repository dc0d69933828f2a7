"""A generator of `Progress` in a process of its own, so that its steps take no time from the viewer's thread.

Python runs one thread at a time: what computes beside the viewer makes it stutter, also where it computes in C.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from napari_hush.datasets.pool import main_set_aside
from napari_hush.errors import InputError
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]

T = TypeVar("T")
POLL_SECONDS = 0.05
REPORT_SECONDS = 0.1  # between two reports
GRACE_SECONDS = 60.0  # to finish a step and to leave things in order


class ProcessError(RuntimeError):
    """What went wrong in the other process, with its traceback as the cause."""


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
    yield Progress(0, 0, "starting a process…")
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads of Qt or torch can hang
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, make), name="napari-hush", daemon=True)
    with main_set_aside():
        process.start()
    theirs.close()  # so that its end is noticed here
    try:
        outcome: T = yield from _listen(process, ours)
        return outcome
    finally:
        _end(process, ours)


def _listen(process: Any, pipe: Pipe) -> Generator[Progress, None, Any]:
    latest = Progress(0, 0, "starting a process…")
    while True:
        kind: str = ""
        content: Any = None
        try:
            if pipe.poll(POLL_SECONDS):
                kind, content = pipe.recv()
        except (EOFError, OSError):
            process.join(GRACE_SECONDS)
            raise InputError(_why_it_ended(process.exitcode)) from None
        if kind == "event":
            latest = content
        elif kind == "warning":
            warnings.warn(content, UserWarning, stacklevel=2)
        elif kind == "failed":
            mendable, text, trace = content
            if mendable:
                raise InputError(text)
            raise ProcessError(text) from ProcessError(f"in the other process:\n{trace}")
        elif kind == "done":
            return content
        yield latest


def _end(process: Any, pipe: Pipe) -> None:
    """Let the process stop, and see to it that it does."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        with contextlib.suppress(EOFError, OSError):
            pipe.send("stop")
            while process.is_alive() and time.monotonic() < deadline:
                if pipe.poll(POLL_SECONDS):
                    pipe.recv()  # it may wait for somebody who reads
        process.join(max(deadline - time.monotonic(), 0))
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        pipe.close()
        process.close()


def _why_it_ended(code: int | None) -> str:
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return (
        f"the process that computed {how}, perhaps because memory ran out: close other programs, or take smaller tiles"
    )


def work(pipe: Pipe, make: Callable[[], Generator[Progress, None, Any]]) -> None:
    """All that the other process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in napari's terminal is napari's
    _make_way()
    line = _Line(pipe)
    line.tell_warnings()
    try:
        line.send(*_drained(make, line))
    except BaseException as error:  # whatever it is, napari must hear of it
        line.send("failed", (*_told(error), "".join(traceback.format_exception(error))))


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


def _told(error: BaseException) -> tuple[bool, str]:
    """Whether a person can mend it, and what it says."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, InputError):
        return True, str(error)
    if isinstance(error, OSError) and error.filename:  # the disk is full, or a drive has gone
        return True, f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return True, f"not enough memory ({text}): choose a smaller tile, or close other programs"
    return False, text


class _Line:
    """The line to napari: sends, and hears in a thread whether to stop."""

    def __init__(self, pipe: Pipe) -> None:
        self.stopped = threading.Event()
        self._pipe, self._lock = pipe, threading.Lock()
        threading.Thread(target=self._hear, daemon=True).start()

    def send(self, kind: str, content: Any) -> None:
        """Tell something; nobody may be there any more."""
        with self._lock, contextlib.suppress(OSError):
            self._pipe.send((kind, content))

    def tell_warnings(self) -> None:
        """Send what is for users."""

        def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
            if issubclass(category, UserWarning) and not issubclass(category, DeprecationWarning):
                self.send("warning", str(message))

        warnings.simplefilter("default")
        warnings.showwarning = show  # type: ignore[assignment]

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


def _make_way() -> None:
    """Give way to the viewer where there is too little to compute with."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 10)
