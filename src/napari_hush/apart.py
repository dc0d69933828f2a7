"""Both ends of a job in a process of its own: what it tells, what is asked of it, and how it ends.

The process sends (kind, content): ``event``, ``warning``, ``failed`` with whether a person can mend it, the words and
the traceback, ``stopped``, and ``done`` with the outcome. It is asked to ``stop``; a job may know further words.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import psutil

from napari_hush.datasets.main_aside import main_set_aside
from napari_hush.errors import InputError
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]

POLL_SECONDS = 0.05
REPORT_SECONDS = 0.1  # between two reports
GRACE_SECONDS = 60.0  # to finish a step and to leave things in order
STARTING = "starting a process…"


class ProcessError(RuntimeError):
    """What went wrong in the other process, with its traceback as the cause."""


class Follower:
    """Takes what a process tells; a job that tells more than `Progress` has one of its own.

    Attributes
    ----------
    process : str
        What the process is called.
    advice : str
        What to do where it was killed.
    error : type
        Raised for what nobody can mend.
    """

    process = "the process that computed"
    advice = "close other programs, or take smaller tiles"
    error: type[ProcessError] = ProcessError

    def started(self, pid: int) -> None:
        """The process runs."""

    def ask(self, pipe: Pipe) -> None:
        """Send what is asked of it, now and then."""

    def take(self, content: Any) -> Progress:
        """Note an event; how far the job is."""
        progress: Progress = content
        return progress

    def take_after_stop(self, kind: str, content: Any) -> None:
        """Note what comes after it was told to stop."""

    @property
    def in_a_hurry(self) -> bool:
        """Whether it is to be killed instead of waited for."""
        return False


def follow(
    work: Callable[..., None], task: Any, follower: Follower, *, name: str, daemon: bool = False
) -> Generator[Progress, None, Any]:
    """Go through a job in a new process; leaving the loop tells it to stop, and sees to it that it does.

    Parameters
    ----------
    work : callable
        A function of a module: all that the process does, with its end of the line and the task.
    task
        Picklable.
    follower : Follower
        Takes what it tells.
    name : str
        Of the process, for the system.
    daemon : bool
        Whether it ends with this one, whatever it does.

    Raises
    ------
    InputError
        If something can be mended, also when the process was killed.
    ProcessError
        That of the follower, if anything else went wrong in it.
    """
    yield Progress(0, 0, STARTING)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads of Qt or torch can hang
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, task), name=name, daemon=daemon)
    with main_set_aside():
        process.start()
    theirs.close()  # so that its end is noticed here
    follower.started(process.pid or 0)
    try:
        return (yield from _listen(process, ours, follower))
    finally:
        _end(process, ours, follower)


def _listen(process: Any, pipe: Pipe, follower: Follower) -> Generator[Progress, None, Any]:
    latest = Progress(0, 0, STARTING)
    while True:
        kind: str = ""
        content: Any = None
        try:
            follower.ask(pipe)
            if pipe.poll(POLL_SECONDS):
                kind, content = pipe.recv()
        except (EOFError, OSError):
            process.join(GRACE_SECONDS)
            code = process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
            words = f"{follower.process} {how}, perhaps because memory ran out: {follower.advice}"
            raise InputError(words) from None
        if kind == "event":
            latest = follower.take(content)
        elif kind == "warning":
            warnings.warn(content, UserWarning, stacklevel=2)
        elif kind == "failed":
            mendable, text, trace = content
            if mendable:
                raise InputError(text)
            raise follower.error(text) from follower.error(f"in {follower.process}:\n{trace}")
        elif kind == "done":
            return content
        yield latest


def _end(process: Any, pipe: Pipe, follower: Follower) -> None:
    """Let the process stop, and see to it that it does."""
    deadline = time.monotonic() + GRACE_SECONDS

    def patient() -> bool:
        return process.is_alive() and time.monotonic() < deadline and not follower.in_a_hurry

    try:
        with contextlib.suppress(EOFError, OSError):
            pipe.send("stop")
            while patient():
                if pipe.poll(POLL_SECONDS):
                    follower.take_after_stop(*pipe.recv())  # it may wait for somebody who reads
        while patient():
            process.join(POLL_SECONDS)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        pipe.close()
        process.close()


class Line:
    """The end of the line in the process that does the job.

    Parameters
    ----------
    pipe : Connection
        To the process that asked for it.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        """Tell something; nobody may be there any more."""
        with self._lock, contextlib.suppress(OSError):
            self._pipe.send((kind, content))

    def tell_warnings(self) -> None:
        """Send what is for users, from now on."""

        def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
            if issubclass(category, UserWarning) and not issubclass(category, DeprecationWarning):
                self.send("warning", str(message))

        warnings.simplefilter("default")
        warnings.showwarning = show  # type: ignore[assignment]

    def tell_error(self, error: BaseException, without_memory: str) -> None:
        """Send what went wrong, and whether a person can mend it; where memory ran out, what to do."""
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        mendable = True
        if isinstance(error, InputError):
            text = str(error)
        elif isinstance(error, OSError) and error.filename:  # the disk is full, or a drive has gone
            text = f"{error.filename}: {error.strerror}"
        elif isinstance(error, MemoryError) or "out of memory" in text.lower():
            text = f"not enough memory ({text}): {without_memory}"
        else:
            mendable = False
        self.send("failed", (mendable, text, "".join(traceback.format_exception(error))))


def make_way(niceness: int) -> None:
    """Give way to the viewer where there is too little to compute with."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else niceness)
