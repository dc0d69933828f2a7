"""Work on parts of an image at the same time: numpy and scipy let other threads run while they compute."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

S = TypeVar("S")
T = TypeVar("T")

_inside = threading.local()


def thread_count() -> int:
    """How many threads compute: as many as torch takes where it is loaded, else OMP_NUM_THREADS, else all cores.

    Examples
    --------
    >>> thread_count() >= 1
    True
    """
    asked = getattr(sys.modules.get("torch"), "get_num_threads", None)  # none while it is being imported
    if asked is not None:
        return int(asked())
    named = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if named.isdecimal() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    count = min(thread_count(), len(todo))
    if count < 2 or getattr(_inside, "yes", False):
        return [function(item) for item in todo]
    with ThreadPoolExecutor(count, initializer=_enter) as pool:
        return list(pool.map(function, todo))


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
