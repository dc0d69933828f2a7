"""Work on parts of an image at the same time: numpy and scipy let other threads run while they compute."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, TypeVar

import psutil

from napari_hush.cgroups import control_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

S = TypeVar("S")
T = TypeVar("T")

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what torch obeys; the first that is set counts

_inside = threading.local()


def thread_count() -> int:
    """How many threads compute: as many as torch takes, found without loading it.

    What was set in torch counts where torch is loaded, then ``OMP_NUM_THREADS`` and ``MKL_NUM_THREADS``; else it is the
    number of cores, of those that the process may use and that its container or its job is given.

    Examples
    --------
    >>> thread_count() >= 1
    True
    """
    asked = getattr(sys.modules.get("torch"), "get_num_threads", None)  # none while it is being imported
    if asked is not None:
        return int(asked())
    for name in VARIABLES:
        first = os.environ.get(name, "").partition(",")[0].strip()  # a list has a number for each level of nesting
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return _cores()


def threads_here() -> int:
    """How many of them `in_threads` takes: one within another call of it."""
    return 1 if getattr(_inside, "yes", False) else thread_count()


def in_threads(function: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Call a function with each item, several at a time.

    Parameters
    ----------
    function : callable
        Of one item; it may not change what another call reads. What it raises comes out, the first one's.
    items : iterable

    Returns
    -------
    list
        In the order of the items. Within such a call everything runs in its own thread: threads do not multiply.

    Examples
    --------
    >>> in_threads(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    todo = list(items)
    count = min(threads_here(), len(todo))
    if count < 2:
        return [function(item) for item in todo]
    with ThreadPoolExecutor(count, initializer=_enter) as pool:
        return list(pool.map(function, todo))


def begun(function: Callable[[], T]) -> Callable[[], T]:
    """Begin a computation beside what comes next; where threads do not pay, it is done when it is asked for.

    Parameters
    ----------
    function : callable
        It may not change what is read meanwhile.

    Returns
    -------
    callable
        Waits and gives the result, or raises what the computation raised.

    Examples
    --------
    >>> total = begun(lambda: sum(range(10)))
    >>> total()
    45
    """
    if threads_here() < 2:
        return function
    pool = ThreadPoolExecutor(1, initializer=_enter)
    result = pool.submit(function).result
    pool.shutdown(wait=False)  # its thread ends with the computation
    return result


@contextmanager
def beside() -> Iterator[Callable[[Callable[[], T]], Callable[[], T]]]:
    """A thread for one computation after another, which have ended when the block ends.

    Yields
    ------
    callable
        Begins a computation, as `begun` does, and gives what waits for its result; in one thread it is done then.
    """
    if threads_here() < 2:
        yield lambda function: function
        return
    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(function).result


def strips(height: int, rows: int) -> list[slice]:
    """Rows in strips of so many, the last one with fewer.

    Examples
    --------
    >>> strips(5, 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]


def _enter() -> None:
    _inside.yes = True


@cache
def _cores() -> int:
    counts = [psutil.cpu_count(logical=False) or os.cpu_count() or 1, _quota()]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(min(count for count in counts if count is not None), 1)


def _quota() -> int | None:
    """The processors that the control groups of a container or a job allow, rounded up; None for no limit."""
    found = []
    for version, group in control_groups("cpu"):
        if version == 2:
            try:
                share, period = (group / "cpu.max").read_text("ascii").split()
                found.append(ceil(int(share) / int(period)))
            except (OSError, ValueError):  # no such file, or "max"
                continue
    return min(found, default=None)
